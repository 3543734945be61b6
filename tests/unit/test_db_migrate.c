/*
 * Golden databases of every version of the schema, in tests/golden, each with a
 * listing of every generation: they read as they are where nothing can be written,
 * and the first generation that is added makes them the newest version.
 *
 * A listing is compared with what the program prints, byte for byte.
 */
#include "tests/unit/test_db_file.h"

#include "tools/output.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum {
	VERSIONS = 2,
	GENERATIONS = 9,
	FILE_MAX = 1 << 20,
};

static char folder[] = "/tmp/fsmeta-db-migrate-XXXXXX";
static char path[64];

/* ---- golden files ------------------------------------------------------------ */

struct bytes {
	char *data;
	size_t length;
};

static struct bytes read_file(const char *name)
{
	struct bytes bytes = {.data = malloc(FILE_MAX)};
	FILE *stream = fopen(name, "rb");

	if (!stream || !bytes.data)
		fail_msg("%s cannot be read", name);
	bytes.length = fread(bytes.data, 1, FILE_MAX, stream);
	assert_true(bytes.length > 0 && bytes.length < FILE_MAX);
	fclose(stream);
	return bytes;
}

/** "fsmetadb-v1" and what follows, in tests/golden beside this file's folder. */
static struct bytes read_golden(int version, const char *rest)
{
	static const char here[] = "unit/test_db_migrate.c";
	const char *file = __FILE__;
	char name[4096];

	snprintf(name, sizeof(name), "%.*sgolden/fsmetadb-v%d%s",
	    (int)(strlen(file) - strlen(here)), file, version, rest);
	return read_file(name);
}

/** Read at the beginning, while we may still read everything. */
static struct bytes listings[VERSIONS + 1][GENERATIONS + 1];

static int read_listings(void **state)
{
	(void)state;
	for (int version = 1; version <= VERSIONS; version++) {
		for (int number = 1; number <= GENERATIONS; number++) {
			char rest[32];

			snprintf(rest, sizeof(rest), "@%d.jsonl", number);
			listings[version][number] = read_golden(version, rest);
		}
	}
	return 0;
}

static int release_listings(void **state)
{
	(void)state;
	for (int version = 1; version <= VERSIONS; version++)
		for (int number = 1; number <= GENERATIONS; number++)
			free(listings[version][number].data);
	return 0;
}

static void copy_golden(int version)
{
	struct bytes golden = read_golden(version, ".db");
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, golden.data, golden.length), golden.length);
	close(fd);
	free(golden.data);
}

/** As `fsmeta ls --format jsonl DB@number` prints it; NULL where it cannot be read. */
static struct bytes list(struct fsmeta_db *db, uint64_t number)
{
	const struct fsmeta_entry *entry;
	struct fsmeta_output *output = NULL;
	struct fsmeta_cursor *cursor;
	struct bytes out = {0};
	FILE *stream = open_memstream(&out.data, &out.length);
	int code = fsmeta_db_cursor(&cursor, db, number, NULL, &error);

	if (code)
		goto done;
	code = fsmeta_output_new(&output, stream, FSMETA_OUTPUT_JSONL, 0, cursor->source, &error);
	while (!code && (code = fsmeta_cursor_next(cursor, &entry, &error)) > 0)
		code = fsmeta_output_entry(output, entry, &error);
	if (!code)
		code = fsmeta_output_finish(output, &error);
	fsmeta_output_free(output);
	fsmeta_cursor_close(cursor);
done:
	fclose(stream);
	if (code) {
		free(out.data);
		out = (struct bytes){0};
	}
	return out;
}

static bool is_listed(struct fsmeta_db *db, int version, uint64_t number)
{
	struct bytes have = list(db, number);
	struct bytes want = listings[version][number];
	bool same = have.data && have.length == want.length &&
		    memcmp(have.data, want.data, want.length) == 0;

	free(have.data);
	return same;
}

/** The first generation that is not as its listing; 0 where all are. */
static uint64_t first_wrong(struct fsmeta_db *db, int version)
{
	for (uint64_t number = 1; number <= GENERATIONS; number++)
		if (!is_listed(db, version, number))
			return number;
	return 0;
}

/* ---- helpers ------------------------------------------------------------------ */

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

static sqlite3 *open_plain(void)
{
	sqlite3 *handle;

	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	return handle;
}

/** First column of the first row of a query, *new*; "" where there is none. */
static char *ask(const char *sql)
{
	sqlite3 *handle = open_plain();
	sqlite3_stmt *statement;
	char *answer = NULL;

	if (sqlite3_prepare_v2(handle, sql, -1, &statement, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(handle));
	if (sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_text(statement, 0))
		answer = strdup((const char *)sqlite3_column_text(statement, 0));
	sqlite3_finalize(statement);
	sqlite3_close(handle);
	return answer ? answer : strdup("");
}

static void expect_answer(const char *sql, const char *expected)
{
	char *answer = ask(sql);

	if (strcmp(answer, expected) != 0)
		fail_msg("%s\n  is        %s\n  should be %s", sql, answer, expected);
	free(answer);
}

static void expect_version(int version)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", version);
	expect_answer("PRAGMA user_version", text);
}

static void execute_sql(const char *sql)
{
	sqlite3 *handle = open_plain();

	if (sqlite3_exec(handle, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(handle));
	sqlite3_close(handle);
}

/** Begins generation 10, of the source that the golden files are of. */
static struct fsmeta_db_update *begin_next(struct fsmeta_db *db, struct fsmeta_batch_source *source)
{
	struct fsmeta_db_generation newest;
	struct fsmeta_db_update *update;

	assert_ok(fsmeta_db_generation(db, GENERATIONS, &newest, &error));
	assert_int_equal(fsmeta_batch_source_copy(source, &newest.source), 0);
	fsmeta_db_generation_release(&newest);
	source->started.seconds += 1000000;
	source->finished.seconds += 1000000;
	assert_ok(fsmeta_db_update_begin(&update, db, GENERATIONS, source, &error));
	return update;
}

/** a.mp4 goes. */
static void remove_something(struct fsmeta_db_update *update)
{
	const struct fsmeta_entry entry = make_entry("a.mp4", FSMETA_TYPE_FILE, 2);
	const struct fsmeta_change change = {.kind = FSMETA_CHANGE_REMOVED, .before = &entry};
	struct fsmeta_change_sink *sink = fsmeta_db_update_sink(update);

	assert_ok(sink->change(sink, &change, &error));
}

static void add_generation(struct fsmeta_db *db)
{
	struct fsmeta_batch_source source;
	struct fsmeta_db_update *update = begin_next(db, &source);

	remove_something(update);
	assert_ok(fsmeta_db_update_commit(update, NULL, &error));
	fsmeta_batch_source_release(&source);
}

/* ---- tests ---------------------------------------------------------------------- */

/** As somebody who may write neither the file nor beside it. */
static int read_without_rights(int version)
{
	struct fsmeta_db *db;
	uint64_t wrong;

	if (fsmeta_db_open(&db, path, FSMETA_DB_READ, &error))
		return 100;
	wrong = first_wrong(db, version);
	if (!wrong && fsmeta_db_verify(db, NULL, &error))
		wrong = 101;
	fsmeta_db_close(db);
	return (int)wrong;
}

static void read_only(int version)
{
	struct bytes before, after;
	pid_t child;
	int status;

	copy_golden(version);
	before = read_file(path);
	assert_int_equal(chmod(path, 0444), 0);
	assert_int_equal(chmod(folder, 0555), 0);
	child = fork();
	if (!child) {
		if (geteuid() == 0 && setuid(65534))
			_exit(99);
		_exit(read_without_rights(version));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(chmod(folder, 0755), 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	after = read_file(path);
	assert_int_equal(before.length, after.length);
	assert_memory_equal(before.data, after.data, before.length);
	free(before.data);
	free(after.data);
	assert_int_equal(unlink(path), 0);
}

static void test_read_only(void **state)
{
	(void)state;
	for (int version = 1; version <= VERSIONS; version++)
		read_only(version);
}

static void test_migrated(void **state)
{
	(void)state;
	for (int version = 1; version <= VERSIONS; version++) {
		struct fsmeta_db *db;

		copy_golden(version);
		expect_version(version);
		assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
		assert_int_equal(first_wrong(db, version), 0);
		add_generation(db);
		assert_int_equal(first_wrong(db, version), 0);
		assert_ok(fsmeta_db_verify(db, NULL, &error));
		fsmeta_db_close(db);
		expect_version(VERSIONS);
		expect_answer("SELECT group_concat(kind || ' ' || path) FROM changes"
			      " WHERE generation = 10",
		    "removed a.mp4");
		assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error));
		assert_int_equal(first_wrong(db, version), 0);
		assert_ok(fsmeta_db_verify(db, NULL, &error));
		fsmeta_db_close(db);
		assert_int_equal(unlink(path), 0);
	}
}

/**
 * What a migration finds is what writing would have left: the golden files of all
 * versions were made from the same tree, with the same changes.
 */
static void test_changes(void **state)
{
	static const char *const queries[] = {
	    "SELECT group_concat(generation || ' ' || folder || ' ' || quote(name), char(10))"
	    " FROM (SELECT * FROM change ORDER BY generation, folder, name)",
	    "SELECT group_concat(generation || kind || type || path || id, char(10))"
	    " FROM (SELECT * FROM changes ORDER BY generation, id)",
	    "SELECT group_concat(id || type || path || since || ifnull(until, '-'), char(10))"
	    " FROM (SELECT * FROM versions ORDER BY id, since)",
	    "SELECT group_concat(path || since || ifnull(until, '-') || reason, char(10))"
	    " FROM (SELECT * FROM unknown_places ORDER BY path, since)",
	};
	char *written[sizeof(queries) / sizeof(queries[0])];
	struct fsmeta_db *db;

	(void)state;
	copy_golden(VERSIONS);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	add_generation(db);
	fsmeta_db_close(db);
	for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++)
		written[i] = ask(queries[i]);
	assert_int_equal(unlink(path), 0);
	for (int version = 1; version < VERSIONS; version++) {
		copy_golden(version);
		assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
		add_generation(db);
		fsmeta_db_close(db);
		for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++)
			expect_answer(queries[i], written[i]);
		assert_int_equal(unlink(path), 0);
	}
	for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++)
		free(written[i]);
}

/** Known by heart, in case both are wrong. */
static void test_known_changes(void **state)
{
	struct fsmeta_db *db;

	(void)state;
	copy_golden(1);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	add_generation(db);
	fsmeta_db_close(db);
	expect_answer("SELECT count(*) FROM change WHERE generation IN (1, 8)", "0");
	expect_answer("SELECT group_concat(kind || ' ' || type || ' ' || path, ', ') FROM ("
		      "SELECT * FROM changes WHERE generation = 3 AND kind <> 'modified'"
		      " ORDER BY path, kind DESC)",
	    "removed folder cam1/2026-01-01, removed folder empty, added file empty,"
	    " removed file odd/with space, added folder odd/with space");
	expect_answer("SELECT group_concat(kind || ' ' || path || ' ' || old_size || ' ' || size,"
		      " ', ') FROM changes WHERE generation = 4 AND type = 'file'",
	    "modified cam2/0000005.mp4 20480 55555");
	/* What was carried is no change. */
	expect_answer("SELECT group_concat(kind || ' ' || path, ', ') FROM ("
		      "SELECT * FROM changes WHERE generation = 5 AND type = 'file' ORDER BY path)",
	    "added cam1/2026-01-02/w.mp4, removed cam1/2026-01-02/x.mp4");
}

/** An update that comes to nothing leaves the file as it was. */
static void test_aborted(void **state)
{
	struct fsmeta_batch_source source;
	struct fsmeta_db_update *update;
	struct fsmeta_db *db;

	(void)state;
	copy_golden(1);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	update = begin_next(db, &source);
	remove_something(update);
	fsmeta_db_update_abort(update);
	fsmeta_batch_source_release(&source);
	assert_int_equal(first_wrong(db, 1), 0);
	assert_ok(fsmeta_db_verify(db, NULL, &error));
	expect_version(1);
	/* And the next one is as good as the first. */
	add_generation(db);
	assert_ok(fsmeta_db_verify(db, NULL, &error));
	fsmeta_db_close(db);
	expect_version(VERSIONS);
}

/** Killed with the file migrated and the generation written, but not committed. */
static void test_killed(void **state)
{
	struct fsmeta_db *db;
	pid_t child;
	int status;

	(void)state;
	copy_golden(1);
	child = fork();
	if (!child) {
		struct fsmeta_batch_source source;

		if (fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error))
			_exit(1);
		remove_something(begin_next(db, &source));
		/* Out of the cache and into the log. */
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	assert_int_equal(first_wrong(db, 1), 0);
	assert_ok(fsmeta_db_verify(db, NULL, &error));
	add_generation(db);
	assert_ok(fsmeta_db_verify(db, NULL, &error));
	fsmeta_db_close(db);
}

/** Who reads beside it reads the old file to its end, and whoever comes then the new one. */
static void test_beside_reader(void **state)
{
	const struct fsmeta_entry *entry;
	struct fsmeta_cursor *cursor;
	struct fsmeta_db *reader, *writer;
	int code, count = 0;

	(void)state;
	copy_golden(1);
	assert_ok(fsmeta_db_open(&reader, path, FSMETA_DB_READ, &error));
	assert_ok(fsmeta_db_cursor(&cursor, reader, 7, NULL, &error));
	assert_int_equal(fsmeta_cursor_next(cursor, &entry, &error), 1);
	assert_ok(fsmeta_db_open(&writer, path, FSMETA_DB_WRITE, &error));
	add_generation(writer);
	while ((code = fsmeta_cursor_next(cursor, &entry, &error)) > 0)
		count++;
	assert_ok(code);
	assert_int_equal(count, 44);
	fsmeta_cursor_close(cursor);
	/* The handle was opened when the file was of version 1. */
	assert_int_equal(first_wrong(reader, 1), 0);
	assert_int_equal(read_all(reader, GENERATIONS + 1), 42);
	assert_ok(fsmeta_db_verify(reader, NULL, &error));
	fsmeta_db_close(reader);
	fsmeta_db_close(writer);
}

/** What somebody has added stays, even where it has the name of a view that is new. */
static void test_own_additions(void **state)
{
	struct fsmeta_db *db;

	(void)state;
	copy_golden(1);
	execute_sql("CREATE TABLE versions (x); INSERT INTO versions VALUES (4711);"
		    "CREATE VIEW mine AS SELECT count(*) FROM entries");
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	add_generation(db);
	fsmeta_db_close(db);
	expect_version(VERSIONS);
	expect_answer("SELECT x FROM versions", "4711");
	expect_answer("SELECT * FROM mine", "42");
	expect_answer("SELECT count(*) FROM changes WHERE generation = 10", "1");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
	const struct CMUnitTest tests[] = {
	    TEST(test_read_only),
	    TEST(test_migrated),
	    TEST(test_changes),
	    TEST(test_known_changes),
	    TEST(test_aborted),
	    TEST(test_killed),
	    TEST(test_beside_reader),
	    TEST(test_own_additions),
	};

	return cmocka_run_group_tests(tests, read_listings, release_listings);
}
