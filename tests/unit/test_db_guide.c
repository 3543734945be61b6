/* What the newest generation vouches for, and that its cursor offers the same tokens. */
#include "db/guide.h"

#include <sqlite3.h>

/* Behind what has parameters of the same name as its `error`. */
#include "tests/unit/test_db_file.h"

enum {
	/** When generation 1 started, s; each later one 1,000 s after the one before. */
	STARTED = 1700000000,
	INTERVAL = 1000,
	/** Each takes so long. */
	TAKES = 10,
	/** A time that is settled in every test. */
	OLD = 1600000000,
};

static char path[64];

/* ---- generations ---------------------------------------------------------------- */

struct writer {
	struct fsmeta_db *db;
	struct fsmeta_db_update *update;
	struct fsmeta_batch_source source;
};

static void begin(struct writer *writer, uint64_t number)
{
	describe_scan(&writer->source, 1);
	writer->source.field_mask = FSMETA_FIELDS_CORE | FSMETA_FIELD_CTIME | FSMETA_FIELD_INODE;
	writer->source.started.seconds = (int64_t)(STARTED + INTERVAL * (number - 1));
	writer->source.finished.seconds = writer->source.started.seconds + TAKES;
	assert_ok(fsmeta_db_open(&writer->db, path, FSMETA_DB_WRITE, &error));
	assert_ok(fsmeta_db_update_begin(
	    &writer->update, writer->db, number - 1, &writer->source, &error));
}

static void end(struct writer *writer)
{
	assert_ok(fsmeta_db_update_commit(writer->update, NULL, &error));
	fsmeta_db_close(writer->db);
	fsmeta_batch_source_release(&writer->source);
}

static struct fsmeta_entry at_time(
    const char *name, enum fsmeta_type type, int64_t seconds, uint32_t nanoseconds)
{
	struct fsmeta_entry entry = make_entry(name, type, 1);

	entry.fields |= FSMETA_FIELD_CTIME | FSMETA_FIELD_INODE;
	entry.inode = 100 + strlen(name);
	entry.mtime = entry.ctime =
	    (struct fsmeta_time){.seconds = seconds, .nanoseconds = nanoseconds};
	return entry;
}

static void change(struct writer *writer, enum fsmeta_change_kind kind,
    const struct fsmeta_entry *entry, uint32_t flags)
{
	struct fsmeta_change_sink *sink = fsmeta_db_update_sink(writer->update);
	const struct fsmeta_change item = {.kind = kind,
	    .flags = flags,
	    .before = kind == FSMETA_CHANGE_ADDED ? NULL : entry,
	    .after = entry,
	    .fields = kind == FSMETA_CHANGE_MODIFIED ? FSMETA_FIELD_MTIME : 0};

	assert_ok(sink->change(sink, &item, &error));
}

static void add(struct writer *writer, const char *name, enum fsmeta_type type, int64_t seconds,
    uint32_t nanoseconds, uint32_t flags)
{
	struct fsmeta_entry entry = at_time(name, type, seconds, nanoseconds);

	change(writer, FSMETA_CHANGE_ADDED, &entry, flags);
}

/** Old folders a, b and c, with an old file in each. */
static void first_generation(void)
{
	struct writer writer;

	begin(&writer, 1);
	add(&writer, "", FSMETA_TYPE_FOLDER, OLD, 0, 0);
	for (const char *name = "abc"; *name; name++) {
		const char folder[] = {*name, 0}, file[] = {*name, '/', 'f', 0};

		add(&writer, folder, FSMETA_TYPE_FOLDER, OLD, 0, 0);
		add(&writer, file, FSMETA_TYPE_FILE, OLD, 0, 0);
	}
	end(&writer);
}

static void nothing_happens(uint64_t number)
{
	struct writer writer;

	begin(&writer, number);
	end(&writer);
}

/* ---- what the guide says --------------------------------------------------------- */

struct told {
	char names[8][16];
	struct fsmeta_guide_folder folders[8];
	size_t count;
};

static int take(void *payload, const struct fsmeta_guide_folder *folder)
{
	struct told *told = payload;

	assert_true(told->count < 8 && folder->name_length < 16);
	memcpy(told->names[told->count], folder->name, folder->name_length);
	told->folders[told->count++] = *folder;
	return 0;
}

static struct told ask(struct fsmeta_guide *guide, uint64_t id, const char *first, const char *last)
{
	struct told told = {0};

	assert_ok(fsmeta_guide_folders(guide, id, first, first ? strlen(first) : 0, last,
	    last ? strlen(last) : 0, take, &told, &error));
	return told;
}

/** Names of the root's folders whose files are known, in order; "." for the root's own. */
static void expect_known(uint64_t number, uint64_t settle, const char *expected)
{
	struct fsmeta_guide *guide;
	struct fsmeta_db *db;
	struct told root, told;
	char known[64] = "";

	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error));
	assert_ok(fsmeta_db_guide(&guide, db, number, settle, &error));
	root = ask(guide, 0, NULL, NULL);
	assert_int_equal(root.count, 1);
	if (root.folders[0].files_known)
		strcat(known, ".");
	told = ask(guide, root.folders[0].id, NULL, NULL);
	for (size_t i = 0; i < told.count; i++)
		if (told.folders[i].files_known)
			strcat(known, told.names[i]);
	assert_string_equal(known, expected);
	fsmeta_guide_close(guide);
	fsmeta_db_close(db);
}

static void execute(const char *sql)
{
	sqlite3 *raw;

	assert_int_equal(sqlite3_open(path, &raw), SQLITE_OK);
	assert_int_equal(sqlite3_exec(raw, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(raw);
}

/* ---- tests ------------------------------------------------------------------------ */

static int new_database(void **state)
{
	(void)state;
	snprintf(path, sizeof(path), "/tmp/fsmeta-guide-XXXXXX");
	if (!mkdtemp(path))
		return -1;
	strcat(path, "/db");
	return 0;
}

static int remove_database(void **state)
{
	(void)state;
	unlink(path);
	*strrchr(path, '/') = '\0';
	return rmdir(path);
}

static void it_tells_folders(void **state)
{
	struct fsmeta_guide *guide;
	struct fsmeta_db *db;
	struct told root, told;

	(void)state;
	first_generation();
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error));
	assert_ok(fsmeta_db_guide(&guide, db, 1, 900, &error));
	root = ask(guide, 0, NULL, NULL);
	assert_int_equal(root.count, 1);
	assert_string_equal(root.names[0], "");
	told = ask(guide, root.folders[0].id, NULL, NULL);
	assert_int_equal(told.count, 3);
	assert_string_equal(told.names[1], "b");
	assert_int_equal(told.folders[1].inode, 101);
	assert_int_equal(told.folders[1].ctime.seconds, OLD);
	assert_int_equal(told.folders[1].device, FSMETA_DEVICE_NONE);
	assert_true(told.folders[1].fields & FSMETA_FIELD_INODE);
	assert_int_equal(ask(guide, told.folders[1].id, NULL, NULL).count, 0);
	told = ask(guide, root.folders[0].id, "aa", "c");
	assert_int_equal(told.count, 2);
	assert_string_equal(told.names[0], "b");
	assert_string_equal(told.names[1], "c");
	assert_int_equal(ask(guide, root.folders[0].id, "bb", "bz").count, 0);
	fsmeta_guide_close(guide);
	nothing_happens(2);
	assert_int_equal(fsmeta_db_guide(&guide, db, 1, 900, &error), FSMETA_E_BUSY);
	fsmeta_db_close(db);
}

/** The entries of a cursor that steps over what is offered, as a string of paths. */
static void read_stepping(char *out, struct fsmeta_db *db, uint64_t number, struct told *told)
{
	const struct fsmeta_db_cursor_options options = {.offer_files = true};
	const struct fsmeta_entry *entry;
	struct fsmeta_cursor *cursor;
	struct fsmeta_run run;

	*out = '\0';
	assert_ok(fsmeta_db_cursor(&cursor, db, number, &options, &error));
	assert_int_equal(fsmeta_cursor_run(cursor, FSMETA_RUN_FILES, &run, &error), 0);
	while (fsmeta_cursor_next(cursor, &entry, &error) == 1) {
		strcat(strcat(out, entry->path), " ");
		assert_int_equal(fsmeta_cursor_run(cursor, FSMETA_RUN_BATCH, &run, &error), 0);
		if (entry->type != FSMETA_TYPE_FOLDER) {
			assert_int_equal(
			    fsmeta_cursor_run(cursor, FSMETA_RUN_FILES, &run, &error), 0);
			continue;
		}
		for (size_t i = 0; i < told->count; i++) {
			if (entry->id != told->folders[i].id || !told->folders[i].files_known)
				continue;
			assert_int_equal(
			    fsmeta_cursor_run(cursor, FSMETA_RUN_FILES, &run, &error), 1);
			assert_true(fsmeta_digest_equal(run.token, told->folders[i].token));
			assert_ok(fsmeta_cursor_step(cursor, &run, &error));
		}
	}
	fsmeta_cursor_close(cursor);
}

static void the_cursor_offers_the_same(void **state)
{
	struct fsmeta_guide *guide;
	struct fsmeta_db *db;
	struct told told;
	struct fsmeta_digest before;
	char paths[128];

	(void)state;
	first_generation();
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error));
	assert_ok(fsmeta_db_guide(&guide, db, 1, 900, &error));
	told = ask(guide, ask(guide, 0, NULL, NULL).folders[0].id, NULL, NULL);
	read_stepping(paths, db, 1, &told);
	assert_string_equal(paths, " a b c ");
	told.folders[1].files_known = false;
	read_stepping(paths, db, 1, &told);
	assert_string_equal(paths, " a b b/f c ");
	assert_false(fsmeta_digest_equal(told.folders[0].token, told.folders[1].token));
	before = told.folders[0].token;
	fsmeta_guide_close(guide);
	fsmeta_db_close(db);

	/* The files of the same folder in another generation are not vouched for by this one. */
	nothing_happens(2);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error));
	assert_ok(fsmeta_db_guide(&guide, db, 2, 900, &error));
	told = ask(guide, ask(guide, 0, NULL, NULL).folders[0].id, NULL, NULL);
	assert_false(fsmeta_digest_equal(told.folders[0].token, before));
	fsmeta_guide_close(guide);
	fsmeta_db_close(db);
}

static void folders_that_changed_late(void **state)
{
	struct writer writer;
	struct fsmeta_entry entry;

	(void)state;
	begin(&writer, 1);
	add(&writer, "", FSMETA_TYPE_FOLDER, OLD, 0, 0);
	add(&writer, "a", FSMETA_TYPE_FOLDER, STARTED - 3, 999999999, 0);
	add(&writer, "b", FSMETA_TYPE_FOLDER, STARTED - 2, 0, 0);
	entry = at_time("c", FSMETA_TYPE_FOLDER, OLD, 0);
	entry.ctime.seconds = STARTED - 1;
	change(&writer, FSMETA_CHANGE_ADDED, &entry, 0);
	entry = at_time("d", FSMETA_TYPE_FOLDER, OLD, 0);
	entry.fields &= ~(uint32_t)FSMETA_FIELD_CTIME;
	change(&writer, FSMETA_CHANGE_ADDED, &entry, 0);
	entry = at_time("e", FSMETA_TYPE_FOLDER, OLD, 0);
	entry.flags = FSMETA_FLAG_CHANGED_WHILE_READ;
	change(&writer, FSMETA_CHANGE_ADDED, &entry, 0);
	end(&writer);
	expect_known(1, 0, ".a");
}

static void young_files_of_the_first_scan(void **state)
{
	struct writer writer;

	(void)state;
	begin(&writer, 1);
	add(&writer, "", FSMETA_TYPE_FOLDER, OLD, 0, 0);
	add(&writer, "a", FSMETA_TYPE_FOLDER, OLD, 0, 0);
	add(&writer, "a/f", FSMETA_TYPE_FILE, STARTED - 100, 0, 0);
	add(&writer, "b", FSMETA_TYPE_FOLDER, OLD, 0, 0);
	add(&writer, "b/f", FSMETA_TYPE_FILE, STARTED - 100, 1, 0);
	add(&writer, "z", FSMETA_TYPE_FILE, STARTED + 5, 0, 0);
	end(&writer);
	expect_known(1, 101, "");
	expect_known(1, 100, "a");
	expect_known(1, 99, "ab");
	expect_known(1, UINT64_MAX, "");
}

/**
 * Generation 2 modifies a/f, 3 brings folder d with d/f and e in c, 4 and 5 nothing.  What
 * table `change` says must be what all files say.
 */
static void young_files_of_later_scans(void **state)
{
	struct writer writer;
	struct fsmeta_entry entry;

	(void)state;
	first_generation();
	begin(&writer, 2);
	entry = at_time("a/f", FSMETA_TYPE_FILE, STARTED + INTERVAL + 3, 0);
	change(&writer, FSMETA_CHANGE_MODIFIED, &entry, 0);
	end(&writer);
	expect_known(2, 500, ".bc");
	expect_known(2, 2000, ".bc"); /* back to generation 1: all files are asked */
	begin(&writer, 3);
	add(&writer, "c/e", FSMETA_TYPE_FILE, STARTED + INTERVAL, 0, 0);
	add(&writer, "d", FSMETA_TYPE_FOLDER, OLD, 0, 0);
	add(&writer, "d/f", FSMETA_TYPE_FILE, STARTED + INTERVAL + 3, 0, FSMETA_CHANGE_INSIDE);
	add(&writer, "d/g", FSMETA_TYPE_FOLDER, OLD, 0, FSMETA_CHANGE_INSIDE);
	end(&writer);
	expect_known(3, 500, ".abcd"); /* 2 was finished before, and what came in 3 is older */
	expect_known(3, 998, ".bc");
	expect_known(3, 1000, ".bc");
	expect_known(3, 1001, ".b");
	for (uint64_t number = 4; number <= 5; number++) {
		nothing_happens(number);
		expect_known(number, 500, ".abcd");
		expect_known(number, INTERVAL * (number - 2), ".bc");
		expect_known(number, INTERVAL * (number - 2) + 1, ".b");
	}
}

static void what_was_not_seen(void **state)
{
	struct writer writer;
	struct fsmeta_entry entry;
	struct fsmeta_guide *guide;
	struct fsmeta_db *db;
	struct told told;
	char paths[128];

	(void)state;
	first_generation();
	begin(&writer, 2);
	/* b cannot be listed, and a file of c not be looked at. */
	entry = at_time("b", FSMETA_TYPE_FOLDER, OLD, 0);
	entry.flags = FSMETA_FLAG_UNREADABLE;
	entry.error = 13;
	change(&writer, FSMETA_CHANGE_MODIFIED, &entry, 0);
	change(&writer, FSMETA_CHANGE_UNREADABLE, &entry, 0);
	entry = at_time("c/f", FSMETA_TYPE_FILE, OLD, 0);
	entry.flags = FSMETA_FLAG_UNREADABLE;
	entry.error = 13;
	change(&writer, FSMETA_CHANGE_MODIFIED, &entry, 0);
	change(&writer, FSMETA_CHANGE_UNREADABLE, &entry, 0);
	end(&writer);
	expect_known(2, 0, ".a");
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error));
	assert_ok(fsmeta_db_guide(&guide, db, 2, 0, &error));
	told = ask(guide, ask(guide, 0, NULL, NULL).folders[0].id, NULL, NULL);
	assert_int_equal(told.count, 3);
	assert_int_equal(told.folders[1].id, 0);
	assert_int_not_equal(told.folders[2].id, 0);
	read_stepping(paths, db, 2, &told);
	assert_string_equal(paths, " a b b/f c c/f ");
	fsmeta_guide_close(guide);
	fsmeta_db_close(db);
}

static void a_damaged_name_is_not_told(void **state)
{
	static const char *const names[] = {"x'2e2e'", "x'612f62'", "x''", "x'6100'"};
	struct fsmeta_guide *guide;
	struct fsmeta_db *db;
	struct told told = {0};
	uint64_t root;
	char sql[128];

	(void)state;
	first_generation();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(sql, sizeof(sql), "UPDATE folder_position SET name = %s WHERE folder = 2",
		    names[i]);
		execute(sql);
		assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error));
		assert_ok(fsmeta_db_guide(&guide, db, 1, 900, &error));
		root = ask(guide, 0, NULL, NULL).folders[0].id;
		told.count = 0;
		assert_int_equal(
		    fsmeta_guide_folders(guide, root, NULL, 0, NULL, 0, take, &told, &error),
		    FSMETA_E_CORRUPT);
		fsmeta_guide_close(guide);
		fsmeta_db_close(db);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(it_tells_folders, new_database, remove_database),
	    cmocka_unit_test_setup_teardown(
		the_cursor_offers_the_same, new_database, remove_database),
	    cmocka_unit_test_setup_teardown(
		folders_that_changed_late, new_database, remove_database),
	    cmocka_unit_test_setup_teardown(
		young_files_of_the_first_scan, new_database, remove_database),
	    cmocka_unit_test_setup_teardown(
		young_files_of_later_scans, new_database, remove_database),
	    cmocka_unit_test_setup_teardown(what_was_not_seen, new_database, remove_database),
	    cmocka_unit_test_setup_teardown(
		a_damaged_name_is_not_told, new_database, remove_database),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
