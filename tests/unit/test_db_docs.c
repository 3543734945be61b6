/*
 * The questions of docs/fsmetadb.md: every SQL block there runs in plain SQLite,
 * on a database with a history, and has an answer.  The views do, too.
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

static int count_rows(void *payload, int count, char **values, char **columns)
{
	(void)count;
	(void)values;
	(void)columns;
	++*(int *)payload;
	return 0;
}

static int query(sqlite3 *handle, const char *sql)
{
	char *message = NULL;
	int rows = 0;

	if (sqlite3_exec(handle, sql, count_rows, &rows, &message) != SQLITE_OK)
		fail_msg("%s\n%s", sql, message);
	return rows;
}

static void make_history(void)
{
	struct fsmeta_batch_source source;
	struct fsmeta_db_update *update;
	struct fsmeta_db *db;

	make_database(path, 3, 4);
	describe_scan(&source, 2);
	assert_ok(fsmeta_batch_source_set(&source, &source.machine_name, "recorder"));
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	assert_ok(fsmeta_db_update_begin(&update, db, 1, &source, &error));
	assert_ok(modify_entry(update, "f000/00000001", 4711));
	assert_ok(add_entry(update, "f001/new", FSMETA_TYPE_FOLDER, 0));
	assert_ok(add_entry(update, "f001/new/file", FSMETA_TYPE_FILE, 5));
	assert_ok(fsmeta_db_update_commit(update, NULL, &error));
	fsmeta_db_close(db);
	fsmeta_batch_source_release(&source);
}

static void test_document(void **state)
{
	char *text = read_document();
	char *at = text;
	sqlite3 *handle;
	int blocks = 0;

	(void)state;
	make_history();
	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	while ((at = strstr(at, "```sql\n")) != NULL) {
		char *end = strstr(at + 7, "```");

		assert_non_null(end);
		*end = '\0';
		if (query(handle, at + 7) == 0)
			fail_msg("no answer to:\n%s", at + 7);
		at = end + 1;
		blocks++;
	}
	assert_true(blocks >= 5);
	sqlite3_close(handle);
	free(text);
}

static void test_views(void **state)
{
	sqlite3 *handle;

	(void)state;
	make_history();
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
