/*
 * The database as a file: what is refused and how, crashes, damage, read-only
 * places, readers beside a writer, and who may write what.
 */
#include "tests/unit/test_db_file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char folder[] = "/tmp/fsmeta-db-file-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/x.db", folder);
	return 0;
}

/** Nothing but the database may be left: rmdir() would fail. */
static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static void execute_sql(const char *sql)
{
	sqlite3 *handle;

	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	if (sqlite3_exec(handle, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(handle));
	sqlite3_close(handle);
}

static int open_code(enum fsmeta_db_mode mode)
{
	struct fsmeta_db *db;
	int code = fsmeta_db_open(&db, path, mode, &error);

	if (!code)
		fsmeta_db_close(db);
	return code;
}

static void write_file(const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
}

/* ---- what is refused ---------------------------------------------------- */

static void test_foreign(void **state)
{
	(void)state;
	assert_int_equal(open_code(FSMETA_DB_READ), FSMETA_E_SYSTEM);
	assert_false(fsmeta_db_is_database(path));
	write_file("", 0);
	assert_int_equal(open_code(FSMETA_DB_READ), FSMETA_E_FOREIGN);
	assert_int_equal(open_code(FSMETA_DB_WRITE), FSMETA_E_FOREIGN);
	write_file("some text that is no database", 29);
	assert_int_equal(open_code(FSMETA_DB_WRITE), FSMETA_E_FOREIGN);
	assert_false(fsmeta_db_is_database(path));
	unlink(path);
	execute_sql("CREATE TABLE t (x); INSERT INTO t VALUES (1)");
	assert_int_equal(open_code(FSMETA_DB_READ), FSMETA_E_FOREIGN);
	assert_false(fsmeta_db_is_database(path));
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(open_code(FSMETA_DB_READ), FSMETA_E_FOREIGN);
	unlink(path);
	make_database(path, 1, 1);
	assert_true(fsmeta_db_is_database(path));
	execute_sql("PRAGMA user_version=3");
	assert_int_equal(open_code(FSMETA_DB_READ), FSMETA_E_UNSUPPORTED);
	assert_non_null(strstr(error.reason, "version 3"));
	assert_true(fsmeta_db_is_database(path));
}

/** Whatever a crafted schema would make us run is not run: the schema is not ours. */
static void test_crafted_schema(void **state)
{
	(void)state;
	make_database(path, 1, 1);
	execute_sql("DROP TABLE unknown; CREATE VIEW unknown AS SELECT 1 AS root, 1 AS since,"
		    " NULL AS until, 1 AS whole");
	assert_int_equal(open_code(FSMETA_DB_READ), FSMETA_E_CORRUPT);
	unlink(path);
	make_database(path, 1, 1);
	execute_sql("DROP INDEX folder_position_by_name;"
		    "CREATE INDEX folder_position_by_name ON folder_position (abs(parent), name)");
	assert_int_equal(open_code(FSMETA_DB_WRITE), FSMETA_E_CORRUPT);
	unlink(path);
	make_database(path, 1, 1);
	/* Somebody's own view is welcome. */
	execute_sql("CREATE VIEW mine AS SELECT path FROM entries");
	assert_ok(open_code(FSMETA_DB_READ));
}

/** Each kind of damage that a row can have is found by reading or by verify. */
static void test_damaged_rows(void **state)
{
	static const char *const damages[] = {
	    "UPDATE file SET size = -1",
	    "UPDATE file SET size = 7 WHERE size = 1",
	    "UPDATE file SET attributes = 77 WHERE size = 2",
	    "UPDATE attributes SET type = 9",
	    "UPDATE attributes SET mode = 99999",
	    "UPDATE file SET parent = 999 WHERE size = 3 AND parent = 2",
	    "UPDATE file SET name = x'2f' WHERE size = 0",
	    "UPDATE file SET name = x'2e2e' WHERE size = 0",
	    "UPDATE file SET name = 'text' WHERE size = 0",
	    "UPDATE file SET name = zeroblob(5000) WHERE size = 0",
	    "UPDATE file SET extra = '{' WHERE size = 0",
	    "UPDATE file SET extra = '{\"flags\":1e9}' WHERE size = 0",
	    "UPDATE file SET extra = '{\"rdev\":[1]}' WHERE size = 0",
	    "UPDATE file SET extra = '{\"what\":1}' WHERE size = 0",
	    "UPDATE file SET id = 1 WHERE size = 0",
	    "UPDATE file SET id = 99999 WHERE size = 0",
	    "UPDATE file SET since = 5",
	    "DELETE FROM file WHERE size = 1",
	    "DELETE FROM folder WHERE id = (SELECT max(id) FROM folder)",
	    "DELETE FROM folder_position WHERE depth = 1",
	    "UPDATE folder_position SET depth = 70000 WHERE depth = 1",
	    "UPDATE folder_position SET parent = folder WHERE depth = 1",
	    "UPDATE folder_position SET depth = 0, parent = 0",
	    "UPDATE folder_position SET ord = -ord",
	    "UPDATE folder_position SET name = x'666666' WHERE folder = 2",
	    "UPDATE folder_position SET since = 2 WHERE depth = 1",
	    ("INSERT INTO file_past (parent, name, until, id, attributes, since)"
	     " SELECT parent, name, 3, id, attributes, 1 FROM file WHERE size = 2"),
	    "INSERT INTO unknown VALUES (2, 1, NULL, 0, '', 0)",
	    "INSERT INTO unknown VALUES (2, 5, 5, 0, '', 0)",
	    "UPDATE generation SET state_digest = '00'",
	    "UPDATE generation SET state_digest = '00000000000000000000000000000000'",
	    "UPDATE generation SET entries = 5",
	    "UPDATE generation SET field_mask = -1",
	    "UPDATE generation SET number = -1",
	    "UPDATE generation SET source = 'what?'",
	    "UPDATE generation SET source = x''",
	    "UPDATE source SET value = 3 WHERE name = 'next_id'",
	    "DELETE FROM source WHERE name = 'next_id'",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		struct fsmeta_db *db;
		int code;

		make_database(path, 3, 5);
		execute_sql(damages[i]);
		assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error));
		read_all(db, 1);
		code = fsmeta_db_verify(db, NULL, &error);
		fsmeta_db_close(db);
		if (code != FSMETA_E_CORRUPT)
			fail_msg("not found (%d): %s", code, damages[i]);
		assert_string_equal(error.path, path);
		unlink(path);
	}
}

/** Flipped bits and missing ends never crash, and verify never says fine to other content. */
static void test_damaged_pages(void **state)
{
	static unsigned char good[1 << 20], bad[1 << 20];
	uint64_t random = 88172645463325252;
	size_t size, found = 0;
	int fd;

	(void)state;
	make_database(path, 20, 50);
	fd = open(path, O_RDONLY);
	size = (size_t)read(fd, good, sizeof(good));
	close(fd);
	for (unsigned round = 0; round < 400; round++) {
		struct fsmeta_db *db;
		size_t length = size;

		memcpy(bad, good, size);
		for (unsigned i = 0; i <= round % 7; i++) {
			random = random * 6364136223846793005 + 1442695040888963407;
			bad[(random >> 20) % size] ^= (unsigned char)(1 << (random >> 60) % 8);
		}
		if (round % 5 == 0)
			length = (random >> 20) % size;
		write_file(bad, length);
		if (fsmeta_db_open(&db, path, FSMETA_DB_READ, &error)) {
			found++;
			continue;
		}
		read_all(db, 1);
		if (fsmeta_db_verify(db, NULL, &error))
			found++;
		else
			assert_int_equal(read_all(db, 1), 1021);
		fsmeta_db_close(db);
	}
	/* Bits that were flipped where nothing is kept hurt nobody. */
	assert_true(found > 200);
	unlink(path);
}

/* ---- whose changes are taken --------------------------------------------- */

static int begin_code(struct fsmeta_db *db, uint64_t base, const struct fsmeta_batch_source *source)
{
	struct fsmeta_db_update *update;
	int code = fsmeta_db_update_begin(&update, db, base, source, &error);

	fsmeta_db_update_abort(update);
	return code;
}

static void test_guards(void **state)
{
	struct fsmeta_batch_source source;
	struct fsmeta_db *db;

	(void)state;
	make_database(path, 1, 3);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	describe_scan(&source, 2);
	assert_ok(begin_code(db, 1, &source));
	assert_int_equal(begin_code(db, 0, &source), FSMETA_E_BUSY);
	assert_int_equal(begin_code(db, 2, &source), FSMETA_E_BUSY);
	source.started.seconds = 1700000105;
	assert_int_equal(begin_code(db, 1, &source), FSMETA_E_REFUSED);
	assert_non_null(strstr(error.reason, "before generation 1"));
	source.started.seconds = 1700000110;
	assert_ok(begin_code(db, 1, &source));
	source.source_id = "another";
	assert_int_equal(begin_code(db, 1, &source), FSMETA_E_REFUSED);
	assert_non_null(strstr(error.reason, "\"another\""));
	assert_non_null(strstr(error.reason, "\"the source\""));
	source.source_id = NULL;
	assert_int_equal(begin_code(db, 1, &source), FSMETA_E_REFUSED);
	execute_sql("INSERT INTO source_alias VALUES ('another')");
	source.source_id = "another";
	assert_ok(begin_code(db, 1, &source));
	fsmeta_db_close(db);
	fsmeta_batch_source_release(&source);
}

static void test_made_up_id(void **state)
{
	struct fsmeta_db_generation generation;
	struct fsmeta_batch_source source;
	struct fsmeta_db_update *update;
	struct fsmeta_db *db;

	(void)state;
	describe_scan(&source, 1);
	source.source_id = NULL;
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	assert_ok(fsmeta_db_update_begin(&update, db, 0, &source, &error));
	assert_ok(add_entry(update, "", FSMETA_TYPE_FOLDER, 0));
	assert_ok(fsmeta_db_update_commit(update, &generation, &error));
	assert_non_null(generation.source.source_id);
	assert_int_equal(strncmp(generation.source.source_id, "made-up:", 8), 0);
	fsmeta_db_generation_release(&generation);
	source.started.seconds += 100;
	assert_ok(begin_code(db, 1, &source));
	source.source_id = "real";
	assert_int_equal(begin_code(db, 1, &source), FSMETA_E_REFUSED);
	fsmeta_db_close(db);
	fsmeta_batch_source_release(&source);
}

/** A numbered export keeps its number and its ids; ids that come twice are refused. */
static void test_adopted_ids(void **state)
{
	struct fsmeta_db_generation generation;
	struct fsmeta_batch_source source;
	struct fsmeta_db_update *update;
	const struct fsmeta_entry *entry;
	struct fsmeta_cursor *cursor;
	struct fsmeta_db *db;

	(void)state;
	describe_scan(&source, 1);
	source.generation = 41;
	source.id_kind = FSMETA_IDS_STABLE;
	for (unsigned twice = 0; twice < 2; twice++) {
		struct fsmeta_entry entries[] = {make_entry("", FSMETA_TYPE_FOLDER, 0),
		    make_entry("a", FSMETA_TYPE_FILE, 1), make_entry("b", FSMETA_TYPE_FILE, 1)};
		struct fsmeta_change_sink *sink;

		entries[0].id = 7;
		entries[1].id = 900;
		entries[2].id = twice ? 900 : 12;
		unlink(path);
		assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
		assert_ok(fsmeta_db_update_begin(&update, db, 0, &source, &error));
		sink = fsmeta_db_update_sink(update);
		for (unsigned i = 0; i < 3; i++) {
			const struct fsmeta_change change = {
			    .kind = FSMETA_CHANGE_ADDED, .after = &entries[i]};

			assert_ok(sink->change(sink, &change, &error));
		}
		if (twice) {
			assert_int_equal(
			    fsmeta_db_update_commit(update, NULL, &error), FSMETA_E_CORRUPT);
			assert_non_null(strstr(error.reason, "900"));
			fsmeta_db_close(db);
			assert_int_not_equal(access(path, F_OK), 0);
			break;
		}
		assert_ok(fsmeta_db_update_commit(update, &generation, &error));
		assert_int_equal(generation.number, 41);
		fsmeta_db_generation_release(&generation);
		assert_ok(fsmeta_db_cursor(&cursor, db, 41, NULL, &error));
		for (unsigned i = 0; i < 3; i++) {
			assert_int_equal(fsmeta_cursor_next(cursor, &entry, &error), 1);
			assert_int_equal(entry->id, entries[i].id);
		}
		fsmeta_cursor_close(cursor);
		assert_ok(fsmeta_db_verify(db, NULL, &error));
		fsmeta_db_close(db);
	}
	fsmeta_batch_source_release(&source);
}

/** Imports the root alone on top of `base`; the number that the generation gets. */
static uint64_t import_root(
    struct fsmeta_db *db, uint64_t base, const struct fsmeta_batch_source *source)
{
	struct fsmeta_db_generation generation;
	struct fsmeta_db_update *update;
	uint64_t number;

	assert_ok(fsmeta_db_update_begin(&update, db, base, source, &error));
	if (!base)
		assert_ok(add_entry(update, "", FSMETA_TYPE_FOLDER, 0));
	assert_ok(fsmeta_db_update_commit(update, &generation, &error));
	number = generation.number;
	fsmeta_db_generation_release(&generation);
	return number;
}

/** An export may skip numbers and keeps its own; a plain scan, or an older number, is the next. */
static void test_skipped_numbers(void **state)
{
	struct fsmeta_batch_source source;
	struct fsmeta_db *db;

	(void)state;
	describe_scan(&source, 1);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	assert_int_equal(import_root(db, 0, &source), 1);
	source.started.seconds += 100;
	source.finished.seconds += 100;
	source.generation = 45;
	source.id_kind = FSMETA_IDS_STABLE;
	assert_int_equal(import_root(db, 1, &source), 45);
	source.started.seconds += 100;
	source.finished.seconds += 100;
	source.generation = 12;
	assert_int_equal(import_root(db, 45, &source), 46);
	source.started.seconds += 100;
	source.finished.seconds += 100;
	source.generation = 0;
	source.id_kind = FSMETA_IDS_ORDINAL;
	assert_int_equal(import_root(db, 46, &source), 47);
	assert_ok(fsmeta_db_verify(db, NULL, &error));
	fsmeta_db_close(db);
	fsmeta_batch_source_release(&source);
}

/** What an export says to be carried is carried here, since the same generations. */
static void test_adopted_unknown(void **state)
{
	struct fsmeta_entry entries[] = {make_entry("", FSMETA_TYPE_FOLDER, 0),
	    make_entry("a", FSMETA_TYPE_FOLDER, 0), make_entry("a/x", FSMETA_TYPE_FILE, 1),
	    make_entry("a/y", FSMETA_TYPE_FOLDER, 0), make_entry("a/y/z", FSMETA_TYPE_FILE, 2),
	    make_entry("b", FSMETA_TYPE_FILE, 3), make_entry("c", FSMETA_TYPE_FOLDER, 0),
	    make_entry("c/x", FSMETA_TYPE_FILE, 1), make_entry("d", FSMETA_TYPE_FOLDER, 0)};
	const uint64_t since[] = {0, 0, 3, 3, 2, 5, 4, 4, 0};
	const size_t count = sizeof(entries) / sizeof(entries[0]);
	struct fsmeta_db_generation generation;
	struct fsmeta_batch_source source;
	struct fsmeta_db_update *update;
	struct fsmeta_change_sink *sink;
	const struct fsmeta_entry *entry;
	struct fsmeta_cursor *cursor;
	struct fsmeta_db *db;

	(void)state;
	describe_scan(&source, 1);
	source.generation = 9;
	source.id_kind = FSMETA_IDS_STABLE;
	entries[1].flags = entries[8].flags = FSMETA_FLAG_UNREADABLE;
	entries[1].error = entries[8].error = 13;
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	assert_ok(fsmeta_db_update_begin(&update, db, 0, &source, &error));
	sink = fsmeta_db_update_sink(update);
	for (size_t i = 0; i < count; i++) {
		const struct fsmeta_change change = {
		    .kind = FSMETA_CHANGE_ADDED, .after = &entries[i]};

		entries[i].id = i + 1;
		entries[i].unknown_since = since[i];
		assert_ok(sink->change(sink, &change, &error));
	}
	assert_ok(fsmeta_db_update_commit(update, &generation, &error));
	assert_int_equal(generation.source.totals.carried, 6);
	assert_int_equal(generation.source.totals.unreadable, 2);
	fsmeta_db_generation_release(&generation);
	assert_ok(fsmeta_db_cursor(&cursor, db, 9, NULL, &error));
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(fsmeta_cursor_next(cursor, &entry, &error), 1);
		assert_int_equal(entry->unknown_since, since[i]);
	}
	assert_int_equal(fsmeta_cursor_next(cursor, &entry, &error), 0);
	fsmeta_cursor_close(cursor);
	assert_ok(fsmeta_db_verify(db, NULL, &error));
	fsmeta_db_close(db);
	fsmeta_batch_source_release(&source);
}

/* ---- which generation ------------------------------------------------------ */

static void add_generation(struct fsmeta_db *db, uint64_t number, uint64_t size)
{
	struct fsmeta_batch_source source;
	struct fsmeta_db_update *update;

	describe_scan(&source, number);
	assert_ok(fsmeta_db_update_begin(&update, db, number - 1, &source, &error));
	assert_ok(modify_entry(update, "f000/00000001", size));
	assert_ok(fsmeta_db_update_commit(update, NULL, &error));
	fsmeta_batch_source_release(&source);
}

static int count_generation(const struct fsmeta_db_generation *generation, void *payload)
{
	uint64_t *next = payload;

	assert_int_equal(generation->number, *next);
	assert_int_equal(generation->base, *next - 1);
	assert_int_equal(generation->modified, *next > 1);
	return ++*next == 4 ? 77 : 0;
}

static void test_resolve(void **state)
{
	static const struct {
		const char *text;
		int64_t expected;
	} cases[] = {
	    {NULL, 4},
	    {"latest", 4},
	    {"2", 2},
	    {"4", 4},
	    {"5", FSMETA_E_NOT_FOUND},
	    {"0", FSMETA_E_NOT_FOUND},
	    {"-1", 3},
	    {"-3", 1},
	    {"-4", FSMETA_E_NOT_FOUND},
	    {"-0", FSMETA_E_USAGE},
	    {"", FSMETA_E_USAGE},
	    {"x", FSMETA_E_USAGE},
	    {"1x", FSMETA_E_USAGE},
	    {"99999999999999999999", FSMETA_E_USAGE},
	    {"{2023-11-14}", 4},
	    {"{2023-11-13}", FSMETA_E_NOT_FOUND},
	    {"{2023-11-14T22:16:50Z}", 2}, /* 1700000210 */
	    {"{2023-11-14T22:16:49.999999999Z}", 1},
	    {"{2023-11-14T23:16:50+01:00}", 2},
	    /* Beyond int64 nanoseconds: after all, before all. */
	    {"{2999-01-01}", 4},
	    {"{9999-12-31T23:59:59Z}", 4},
	    {"{1600-01-01}", FSMETA_E_NOT_FOUND},
	    {"{}", FSMETA_E_USAGE},
	    {"{yesterday}", FSMETA_E_USAGE},
	};
	struct fsmeta_db *db;
	uint64_t number, next = 1;

	(void)state;
	make_database(path, 1, 3);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	for (uint64_t i = 2; i <= 4; i++)
		add_generation(db, i, 100 + i);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int code = fsmeta_db_resolve(db, cases[i].text, &number, &error);

		if ((code ? code : (int64_t)number) != cases[i].expected)
			fail_msg("%s: %d, %d", cases[i].text, code, (int)number);
	}
	assert_int_equal(fsmeta_db_each_generation(db, &error, count_generation, &next), 77);
	assert_int_equal(next, 4);
	assert_int_equal(read_all(db, 0), 0);
	assert_int_equal(read_all(db, 9), FSMETA_E_NOT_FOUND);
	fsmeta_db_close(db);
}

/* ---- readers and writers ------------------------------------------------------ */

/** A cursor does not see what is committed while it reads. */
static void test_snapshot(void **state)
{
	const struct fsmeta_entry *entry;
	struct fsmeta_cursor *cursor;
	struct fsmeta_db *db;
	int code;

	(void)state;
	make_database(path, 1, 3);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	assert_ok(fsmeta_db_cursor(&cursor, db, 1, NULL, &error));
	assert_int_equal(fsmeta_cursor_next(cursor, &entry, &error), 1);
	add_generation(db, 2, 12345);
	while ((code = fsmeta_cursor_next(cursor, &entry, &error)) > 0)
		assert_true(entry->size < 100);
	assert_ok(code);
	fsmeta_cursor_close(cursor);
	assert_ok(fsmeta_db_verify(db, NULL, &error));
	fsmeta_db_close(db);
}

static void test_abort(void **state)
{
	struct fsmeta_batch_source source;
	struct fsmeta_db_update *update;
	struct fsmeta_db *db;
	uint64_t number;

	(void)state;
	describe_scan(&source, 1);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	assert_ok(fsmeta_db_newest(db, &number, &error));
	assert_int_equal(number, 0);
	assert_int_equal(fsmeta_db_resolve(db, "latest", &number, &error), FSMETA_E_NOT_FOUND);
	assert_ok(fsmeta_db_update_begin(&update, db, 0, &source, &error));
	assert_ok(add_entry(update, "", FSMETA_TYPE_FOLDER, 0));
	fsmeta_db_update_abort(update);
	assert_int_not_equal(access(path, F_OK), 0);
	/* Somebody else is faster. */
	assert_ok(fsmeta_db_update_begin(&update, db, 0, &source, &error));
	assert_ok(add_entry(update, "", FSMETA_TYPE_FOLDER, 0));
	make_database(path, 1, 3);
	assert_int_equal(fsmeta_db_update_commit(update, NULL, &error), FSMETA_E_BUSY);
	fsmeta_db_close(db);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	source.started.seconds += 100;
	assert_ok(fsmeta_db_update_begin(&update, db, 1, &source, &error));
	assert_ok(modify_entry(update, "f000/00000001", 99));
	fsmeta_db_update_abort(update);
	/* A change that makes no sense spoils the update. */
	assert_ok(fsmeta_db_update_begin(&update, db, 1, &source, &error));
	assert_int_equal(modify_entry(update, "f000/nowhere", 99), FSMETA_E_INTERNAL);
	assert_int_equal(fsmeta_db_update_commit(update, NULL, &error), FSMETA_E_INTERNAL);
	assert_ok(fsmeta_db_newest(db, &number, &error));
	assert_int_equal(number, 1);
	assert_ok(fsmeta_db_verify(db, NULL, &error));
	fsmeta_db_close(db);
	fsmeta_batch_source_release(&source);
}

/** Writes until it is killed, or until it is done. */
static void write_and_die(unsigned changes)
{
	struct fsmeta_batch_source source;
	struct fsmeta_db_update *update;
	struct fsmeta_db *db;
	char name[64];

	describe_scan(&source, 2);
	if (fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error) ||
	    fsmeta_db_update_begin(&update, db, 1, &source, &error))
		_exit(1);
	for (unsigned i = 0; i < 40; i++) {
		for (unsigned k = 0; k < 500; k++) {
			snprintf(name, sizeof(name), "f%03u/%08u", i, k);
			if (changes-- == 0)
				raise(SIGKILL);
			if (modify_entry(update, name, 1000000 + k))
				_exit(2);
		}
	}
	if (fsmeta_db_update_commit(update, NULL, &error))
		_exit(3);
	raise(SIGKILL);
}

/** Killed in the middle of an update, or right after it: the old or the new generation. */
static void test_killed(void **state)
{
	(void)state;
	for (unsigned changes = 10; changes < 40000; changes *= 5) {
		struct fsmeta_db *db;
		uint64_t number;
		pid_t child;
		int status;

		make_database(path, 40, 500);
		child = fork();
		if (!child)
			write_and_die(changes);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error));
		assert_ok(fsmeta_db_newest(db, &number, &error));
		assert_int_equal(number, changes < 20000 ? 1 : 2);
		assert_ok(fsmeta_db_verify(db, NULL, &error));
		fsmeta_db_close(db);
		unlink(path);
	}
}

/** Killed while the file is being made: there is none, and a new attempt works. */
static void test_killed_first(void **state)
{
	char command[128];
	pid_t child;
	int status;

	(void)state;
	child = fork();
	if (!child) {
		struct fsmeta_batch_source source;
		struct fsmeta_db_update *update;
		struct fsmeta_db *db;

		describe_scan(&source, 1);
		if (fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error) ||
		    fsmeta_db_update_begin(&update, db, 0, &source, &error) ||
		    add_entry(update, "", FSMETA_TYPE_FOLDER, 0))
			_exit(1);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_not_equal(access(path, F_OK), 0);
	make_database(path, 1, 1);
	/* The hidden temporary file that the crash left is swept by who comes next. */
	snprintf(command, sizeof(command), "test -z \"$(ls -A %s | grep fsmeta-)\"", folder);
	assert_int_equal(system(command), 0);
}

/** In a folder where nothing can be made, reading works and leaves no trace. */
static void test_read_only_folder(void **state)
{
	struct fsmeta_db *db;
	int status;
	pid_t child;

	(void)state;
	make_database(path, 2, 3);
	/* WAL mode, as it is after the first import. */
	execute_sql("PRAGMA journal_mode=WAL");
	assert_int_equal(chmod(folder, 0555), 0);
	assert_int_equal(chmod(path, 0444), 0);
	child = fork();
	if (!child) {
		if (geteuid() == 0 && setuid(65534))
			_exit(1);
		if (fsmeta_db_open(&db, path, FSMETA_DB_READ, &error))
			_exit(2);
		if (read_all(db, 1) != 9)
			_exit(3);
		fsmeta_db_close(db);
		if (fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error) != FSMETA_E_SYSTEM ||
		    error.system_errno != EACCES || strcmp(error.path, path) != 0 ||
		    strcmp(error.reason, strerror(EACCES)) != 0)
			_exit(4);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(chmod(folder, 0755), 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/** A file that could be written in a folder where no journal can be made: the folder is named. */
static void test_unwritable_folder(void **state)
{
	struct fsmeta_db *db;
	int status;
	pid_t child;

	(void)state;
	make_database(path, 2, 3);
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(chmod(folder, 0555), 0);
	child = fork();
	if (!child) {
		if (geteuid() == 0 && setuid(65534))
			_exit(1);
		if (fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error) != FSMETA_E_SYSTEM)
			_exit(2);
		_exit(error.system_errno == EACCES && strcmp(error.path, folder) == 0 ? 0 : 3);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(chmod(folder, 0755), 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/** The end of the file is missing, be it one byte, which SQLite itself does not mind. */
static void test_truncated(void **state)
{
	static const off_t missing[] = {1, 100, 4095, 4096, 3 * 4096};

	(void)state;
	for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++) {
		struct fsmeta_db *db;
		struct stat status;
		int code;

		make_database(path, 20, 50);
		assert_int_equal(stat(path, &status), 0);
		assert_int_equal(truncate(path, status.st_size - missing[i]), 0);
		code = fsmeta_db_open(&db, path, FSMETA_DB_READ, &error);
		if (!code) {
			code = fsmeta_db_verify(db, NULL, &error);
			fsmeta_db_close(db);
		}
		if (missing[i] < 4096) {
			assert_int_equal(code, FSMETA_E_TRUNCATED);
			assert_int_equal(error.offset, status.st_size - missing[i]);
		} else {
			assert_true(code == FSMETA_E_TRUNCATED || code == FSMETA_E_CORRUPT);
		}
		assert_string_equal(error.path, path);
		unlink(path);
	}
}

/** Pages that lie in the log alone are not missing. */
static void test_length_with_log(void **state)
{
	struct fsmeta_cursor *reader;
	struct fsmeta_db *db;
	struct stat status;
	off_t before;

	(void)state;
	make_database(path, 1, 3);
	assert_int_equal(stat(path, &status), 0);
	before = status.st_size;
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	/* A reader keeps the log from being put back. */
	assert_ok(fsmeta_db_cursor(&reader, db, 1, NULL, &error));
	for (uint64_t number = 2; number < 40; number++)
		add_generation(db, number, number);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_size, before);
	assert_ok(fsmeta_db_verify(db, NULL, &error));
	fsmeta_cursor_close(reader);
	fsmeta_db_close(db);
}

/** What SQLite locks as long as somebody has the database open with a log: 510 bytes from here. */
enum {
	SHARED_LOCK_AT = 0x40000000 + 2,
	SHARED_LOCK_BYTES = 510,
};

/** True where another process finds our lock on the database; ours alone would not hinder us. */
static bool is_locked_for_others(void)
{
	struct flock lock = {.l_type = F_WRLCK,
	    .l_whence = SEEK_SET,
	    .l_start = SHARED_LOCK_AT,
	    .l_len = SHARED_LOCK_BYTES};
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (!child) {
		int fd = open(path, O_RDWR | O_CLOEXEC);

		_exit(fd < 0 || fcntl(fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/**
 * Whoever has it open keeps his lock whatever else this process opens and closes; else others
 * would remove the log from under him.
 */
static void test_locks_stay(void **state)
{
	struct fsmeta_cursor *reader;
	struct fsmeta_db *writer, *db;

	(void)state;
	make_database(path, 1, 3);
	assert_false(is_locked_for_others());
	for (enum fsmeta_db_mode mode = FSMETA_DB_READ; mode <= FSMETA_DB_WRITE; mode++) {
		assert_ok(fsmeta_db_open(&writer, path, mode, &error));
		assert_true(is_locked_for_others());
		assert_true(fsmeta_db_is_database(path));
		assert_true(is_locked_for_others());
		assert_ok(fsmeta_db_cursor(&reader, writer, 1, NULL, &error));
		assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error));
		assert_true(is_locked_for_others());
		fsmeta_db_close(db);
		fsmeta_cursor_close(reader);
		assert_true(is_locked_for_others());
		fsmeta_db_close(writer);
		assert_false(is_locked_for_others());
	}
}

static void test_stopped(void **state)
{
	static const volatile sig_atomic_t stop = 1;
	struct fsmeta_db *db;

	(void)state;
	make_database(path, 20, 100);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error));
	assert_int_equal(fsmeta_db_verify(db, &stop, &error), FSMETA_E_STOPPED);
	assert_ok(fsmeta_db_verify(db, NULL, &error));
	fsmeta_db_close(db);
}

/** Names that SQLite would take for something else. */
static void test_odd_paths(void **state)
{
	static const char *const odd[] = {
	    "file:x?mode=memory", ":memory:", "a?b#c%41", "with space", "\xff\xfe", "-"};
	char before[4096];

	(void)state;
	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(folder), 0);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		struct fsmeta_db *db;

		make_database(odd[i], 1, 2);
		assert_ok(fsmeta_db_open(&db, odd[i], FSMETA_DB_READ, &error));
		assert_int_equal(read_all(db, 1), 4);
		fsmeta_db_close(db);
		assert_int_equal(unlink(odd[i]), 0);
	}
	assert_int_equal(chdir(before), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
	const struct CMUnitTest tests[] = {
	    TEST(test_foreign),
	    TEST(test_crafted_schema),
	    TEST(test_damaged_rows),
	    TEST(test_damaged_pages),
	    TEST(test_guards),
	    TEST(test_made_up_id),
	    TEST(test_adopted_ids),
	    TEST(test_skipped_numbers),
	    TEST(test_adopted_unknown),
	    TEST(test_resolve),
	    TEST(test_snapshot),
	    TEST(test_abort),
	    TEST(test_killed),
	    TEST(test_killed_first),
	    TEST(test_read_only_folder),
	    TEST(test_unwritable_folder),
	    TEST(test_truncated),
	    TEST(test_length_with_log),
	    TEST(test_locks_stay),
	    TEST(test_stopped),
	    TEST(test_odd_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
