/*
 * The questions of docs/fsmetadb.md: every SQL block there is asked in plain SQLite,
 * of a database with a history, and has the right answer.  The views have, too.
 */
#include "tests/unit/test_db_file.h"

#include <sqlite3.h>

static char folder[] = "/tmp/fsmeta-db-docs-XXXXXX";
static char path[64];

/** The document beside this file's folder; *new*. */
static char *read_document(void)
{
	static const char here[] = "tests/unit/test_db_docs.c";
	const char *file = __FILE__;
	char name[4096];
	char *text = calloc(1, 1 << 20);
	FILE *stream;

	assert_non_null(text);
	snprintf(
	    name, sizeof(name), "%.*sdocs/fsmetadb.md", (int)(strlen(file) - strlen(here)), file);
	stream = fopen(name, "r");
	assert_non_null(stream);
	assert_true(fread(text, 1, (1 << 20) - 1, stream) > 1000);
	fclose(stream);
	return text;
}

/** Appends a row as text: columns between bars, rows on lines of their own. */
static int add_row(void *payload, int count, char **values, char **columns)
{
	FILE *stream = payload;

	(void)columns;
	for (int i = 0; i < count; i++)
		fprintf(stream, "%s%s", i ? "|" : "", values[i] ? values[i] : "-");
	fputc('\n', stream);
	return 0;
}

/** The answer to a query, *new*. */
static char *ask(sqlite3 *handle, const char *sql)
{
	char *message = NULL, *answer = NULL;
	size_t length;
	FILE *stream = open_memstream(&answer, &length);

	if (sqlite3_exec(handle, sql, add_row, stream, &message) != SQLITE_OK)
		fail_msg("%s\n%s", sql, message);
	fclose(stream);
	return answer;
}

/** The number of rows. */
static int query(sqlite3 *handle, const char *sql)
{
	char *answer = ask(handle, sql);
	int rows = 0;

	for (const char *at = answer; *at; at++)
		rows += *at == '\n';
	free(answer);
	return rows;
}

static void apply(struct fsmeta_db_update *update, const struct fsmeta_change *change)
{
	struct fsmeta_change_sink *sink = fsmeta_db_update_sink(update);

	assert_ok(sink->change(sink, change, &error));
}

static void remove_entry(struct fsmeta_db_update *update, const char *name, enum fsmeta_type type,
    uint64_t size, uint32_t flags)
{
	const struct fsmeta_entry entry = make_entry(name, type, size);
	const struct fsmeta_change change = {
	    .kind = FSMETA_CHANGE_REMOVED, .flags = flags, .before = &entry};

	apply(update, &change);
}

/** Its metadata say that it cannot be read, and what is below it is carried. */
static void lose_folder(struct fsmeta_db_update *update, const char *name)
{
	struct fsmeta_entry entry = make_entry(name, FSMETA_TYPE_FOLDER, 0);
	struct fsmeta_change change = {
	    .kind = FSMETA_CHANGE_MODIFIED, .before = &entry, .after = &entry};

	entry.flags = FSMETA_FLAG_UNREADABLE;
	entry.error = 13;
	apply(update, &change);
	change.kind = FSMETA_CHANGE_UNREADABLE;
	apply(update, &change);
}

static void make_second(struct fsmeta_db *db)
{
	struct fsmeta_batch_source source;
	struct fsmeta_db_update *update;

	describe_scan(&source, 2);
	assert_ok(fsmeta_batch_source_set(&source, &source.machine_name, "recorder"));
	assert_ok(fsmeta_db_update_begin(&update, db, 1, &source, &error));
	assert_ok(modify_entry(update, "f000/00000001", 4711));
	assert_ok(add_entry(update, "f001/new", FSMETA_TYPE_FOLDER, 0));
	assert_ok(add_entry(update, "f001/new/file", FSMETA_TYPE_FILE, 5));
	assert_ok(fsmeta_db_update_commit(update, NULL, &error));
	fsmeta_batch_source_release(&source);
}

static void make_third(struct fsmeta_db *db)
{
	struct fsmeta_batch_source source;
	struct fsmeta_db_update *update;

	describe_scan(&source, 3);
	assert_ok(fsmeta_db_update_begin(&update, db, 2, &source, &error));
	remove_entry(update, "f000/00000003", FSMETA_TYPE_FILE, 3, 0);
	remove_entry(update, "f001/new", FSMETA_TYPE_FOLDER, 0, 0);
	remove_entry(update, "f001/new/file", FSMETA_TYPE_FILE, 5, FSMETA_CHANGE_INSIDE);
	lose_folder(update, "f002");
	assert_ok(fsmeta_db_update_commit(update, NULL, &error));
	fsmeta_batch_source_release(&source);
}

static void make_history(unsigned generations)
{
	struct fsmeta_db *db;

	make_database(path, 3, 4);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	make_second(db);
	if (generations > 2)
		make_third(db);
	fsmeta_db_close(db);
}

#define MTIME "2023-11-14T22:13:20.000000005Z"

/** Answers to the questions, in the order of the document. */
static const char *const answers[] = {
    /* scans */
    "3|2023-11-14T22:18:20.000000000Z|10.0|15|4725|0|3|1\n"
    "2|2023-11-14T22:16:40.000000000Z|10.0|18|4733|2|0|1\n"
    "1|2023-11-14T22:15:00.000000000Z|10.0|16|18|16|0|0\n",
    /* growth */
    "1|2023-11-14T22:15:10.000000000Z|18|-|-\n"
    "2|2023-11-14T22:16:50.000000000Z|4733|4715|2\n"
    "3|2023-11-14T22:18:30.000000000Z|4725|-8|-3\n",
    /* largest files */
    "4711|" MTIME "|f000/00000001\n3|" MTIME "|f001/00000003\n3|" MTIME "|f002/00000003\n",
    /* biggest folders */
    "|11|4725\nf000|3|4713\nf001|4|6\nf002|4|6\n",
    /* generation 2 */
    "modified|file|f000/00000001|1|4711\nadded|folder|f001/new|-|0\n",
    /* removed in 3 */
    "file|f000/00000003|3\nfolder|f001/new|0\n",
    /* what the folder held */
    "folder|f001/new|0\nfile|f001/new/file|5\n",
    /* between two days */
    "2023-11-14T22:16:50.000000000Z|modified|f000/00000001\n"
    "2023-11-14T22:18:30.000000000Z|removed|f000/00000003\n",
    /* versions */
    "1|2|1|" MTIME "|0644\n2|-|4711|" MTIME "|0644\n",
    /* a folder in generation 2 */
    "file|f001/00000000|0\nfile|f001/00000001|1\nfile|f001/00000002|2\n"
    "file|f001/00000003|3\nfolder|f001/new|0\nfile|f001/new/file|5\n",
    /* twice */
    "00000002|2|3|4\n00000003|3|2|3\n00000001|1|2|1\n",
    /* unknown */
    "f002|3|unreadable|13\n",
};

static void test_document(void **state)
{
	char *text = read_document();
	char *at = text;
	sqlite3 *handle;
	size_t blocks = 0;

	(void)state;
	make_history(3);
	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	while ((at = strstr(at, "```sql\n")) != NULL) {
		char *end = strstr(at + 7, "```");
		char *answer;

		assert_non_null(end);
		*end = '\0';
		assert_true(blocks < sizeof(answers) / sizeof(answers[0]));
		answer = ask(handle, at + 7);
		if (strcmp(answer, answers[blocks]) != 0)
			fail_msg("%s\nis answered\n%s\nand should be\n%s", at + 7, answer,
			    answers[blocks]);
		free(answer);
		at = end + 1;
		blocks++;
	}
	assert_int_equal(blocks, sizeof(answers) / sizeof(answers[0]));
	assert_true(blocks >= 10);
	sqlite3_close(handle);
	free(text);
}

static void test_views(void **state)
{
	sqlite3 *handle;

	(void)state;
	make_history(2);
	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	assert_int_equal(query(handle, "SELECT * FROM entries"), 18);
	assert_int_equal(query(handle, "SELECT * FROM folders"), 5);
	assert_int_equal(
	    query(handle, "SELECT * FROM entries WHERE path = 'f001/new/file' AND type = 'file'"
			  " AND size = 5 AND mtime = '2023-11-14T22:13:20.000000005Z'"
			  " AND mode = '0644' AND uid = 0 AND created = 2 AND modified = 2"),
	    1);
	assert_int_equal(
	    query(handle, "SELECT * FROM entries WHERE path = 'f000/00000001' AND size = 4711"
			  " AND created = 1 AND modified = 2"),
	    1);
	assert_int_equal(query(handle, "SELECT * FROM entries WHERE path = '.'"), 1);
	assert_int_equal(query(handle, "SELECT * FROM generations WHERE number = 2 AND added = 2"
				       " AND modified = 1 AND seconds = 10.0"
				       " AND started = '2023-11-14T22:16:40.000000000Z'"
				       " AND machine = 'recorder'"),
	    1);
	sqlite3_close(handle);
}

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/x.db", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_document, make_folder, remove_folder),
	    cmocka_unit_test_setup_teardown(test_views, make_folder, remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
