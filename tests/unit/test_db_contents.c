/*
 * When contents were read: which files are the oldest, whatever happens to them.
 */
#include "db/prune.h"
#include "test_db_file.h"

#include <sqlite3.h>

static char path[64];
static struct fsmeta_db *db;
static uint64_t newest;

/** A hashed file; `seed` is its content. */
static struct fsmeta_entry make_hashed(const char *name, unsigned char seed, uint32_t mode)
{
	struct fsmeta_entry entry = make_entry(name, FSMETA_TYPE_FILE, 10);

	entry.fields |= FSMETA_FIELD_HASH;
	entry.hash_algorithm = FSMETA_HASH_XXH3;
	entry.hash[0] = seed;
	entry.mode = mode;
	return entry;
}

static struct fsmeta_batch_source source;
static struct fsmeta_db_update *update;

static void begin(void)
{
	describe_scan(&source, newest + 1);
	source.field_mask |= FSMETA_FIELD_HASH;
	source.hash_algorithm = FSMETA_HASH_XXH3;
	assert_ok(fsmeta_db_update_begin(&update, db, newest, &source, &error));
}

static void commit(void)
{
	assert_ok(fsmeta_db_update_commit(update, NULL, &error));
	fsmeta_batch_source_release(&source);
	newest++;
	assert_ok(fsmeta_db_verify(db, NULL, &error));
}

static void tell(const struct fsmeta_change *change)
{
	struct fsmeta_change_sink *sink = fsmeta_db_update_sink(update);

	assert_ok(sink->change(sink, change, &error));
}

static void add(const char *name, unsigned char seed)
{
	const struct fsmeta_entry entry = make_hashed(name, seed, 0644);

	tell(&(struct fsmeta_change){.kind = FSMETA_CHANGE_ADDED, .after = &entry});
}

static void modify(const char *name, unsigned char seed, uint32_t mode)
{
	const struct fsmeta_entry entry = make_hashed(name, seed, mode);

	tell(&(struct fsmeta_change){.kind = FSMETA_CHANGE_MODIFIED,
	    .before = &entry,
	    .after = &entry,
	    .fields = FSMETA_FIELD_MODE});
}

static uint64_t id_of(const char *name)
{
	const struct fsmeta_entry *entry;
	struct fsmeta_cursor *cursor;
	uint64_t id = 0;

	assert_ok(fsmeta_db_cursor(&cursor, db, newest, NULL, &error));
	while (fsmeta_cursor_next(cursor, &entry, &error) > 0)
		if (entry->path_length == strlen(name) &&
		    memcmp(entry->path, name, entry->path_length) == 0)
			id = entry->id;
	fsmeta_cursor_close(cursor);
	assert_int_not_equal(id, 0);
	return id;
}

/** The oldest of `percent` are those whose names begin with the letters of `expected`. */
static void assert_oldest(double percent, const char *expected)
{
	uint64_t *ids;
	size_t count;

	assert_ok(fsmeta_db_oldest_contents(&ids, &count, db, percent, &error));
	assert_int_equal(count, strlen(expected));
	for (size_t i = 0; i < count; i++) {
		char name[] = {'f', '/', expected[i], '\0'};

		if (strchr("xyz", expected[i]))
			name[0] = 'g';
		assert_int_equal(ids[i], id_of(name));
	}
	free(ids);
}

static void confirm(const char *letters)
{
	uint64_t ids[16];
	size_t count = 0;

	for (; letters[count]; count++) {
		char name[] = {'f', '/', letters[count], '\0'};

		ids[count] = id_of(name);
	}
	begin();
	assert_ok(fsmeta_db_update_note_contents(update, ids, count, &error));
	commit();
}

static int set_up(void **state)
{
	int fd;

	(void)state;
	strcpy(path, "/tmp/fsmeta-db-contents-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(unlink(path), 0);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	newest = 0;
	begin();
	assert_ok(add_entry(update, "", FSMETA_TYPE_FOLDER, 0));
	assert_ok(add_entry(update, "f", FSMETA_TYPE_FOLDER, 0));
	for (char letter = 'a'; letter <= 'e'; letter++)
		add((char[]){'f', '/', letter, '\0'}, (unsigned char)letter);
	assert_ok(add_entry(update, "f/unhashed", FSMETA_TYPE_FILE, 1));
	assert_ok(add_entry(update, "g", FSMETA_TYPE_FOLDER, 0));
	for (char letter = 'x'; letter <= 'z'; letter++)
		add((char[]){'g', '/', letter, '\0'}, (unsigned char)letter);
	commit();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fsmeta_db_close(db);
	return unlink(path);
}

static void the_share_is_rounded_up(void **state)
{
	(void)state;
	assert_oldest(0, "");
	assert_oldest(0.001, "a");
	assert_oldest(12.5, "a");
	assert_oldest(12.6, "ab");
	assert_oldest(100, "abcdexyz");
}

static void who_was_read_goes_to_the_end(void **state)
{
	(void)state;
	confirm("ab");
	assert_oldest(25, "cd");
	confirm("cd");
	assert_oldest(50, "exyz");
	confirm("e");
	assert_oldest(62.5, "abxyz");
	confirm("a");
	assert_oldest(50, "bxyz");
}

/** Only another content is a new reading. */
static void other_metadata_makes_nobody_younger(void **state)
{
	(void)state;
	begin();
	modify("f/a", 'a', 0600);
	modify("f/b", 'B', 0644);
	commit();
	assert_oldest(87.5, "acdexyz");
	confirm("a");
	begin();
	modify("f/a", 'a', 0640);
	commit();
	/* b of generation 2 is older than a, which was read in 3. */
	assert_oldest(87.5, "bcdexyz");
	begin();
	modify("f/a", 'A', 0640);
	commit();
	confirm("b");
	assert_oldest(87.5, "acdexyz");
}

static void what_moved_keeps_its_age(void **state)
{
	const struct fsmeta_entry before = make_hashed("f/a", 'a', 0644);
	const struct fsmeta_entry after = make_hashed("f/q", 'a', 0644);
	uint64_t id, *ids;
	size_t count;

	(void)state;
	confirm("bcde");
	id = id_of("f/a");
	begin();
	tell(&(struct fsmeta_change){
	    .kind = FSMETA_CHANGE_MOVED, .before = &before, .after = &after});
	commit();
	assert_int_equal(id_of("f/q"), id);
	assert_ok(fsmeta_db_oldest_contents(&ids, &count, db, 10, &error));
	assert_int_equal(count, 1);
	assert_int_equal(ids[0], id);
	free(ids);
}

/** Below a removed folder rows stay; they are nobody's concern, and go with pruning. */
static void what_is_gone_is_not_asked_for(void **state)
{
	const struct fsmeta_entry folder = make_entry("g", FSMETA_TYPE_FOLDER, 0);
	const uint64_t all[] = {1, 2};
	struct fsmeta_db_pruned pruned;
	struct fsmeta_entry inside[3];
	sqlite3 *handle;
	sqlite3_stmt *statement;
	uint64_t ids[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		ids[i] = id_of((char[]){'g', '/', (char)('x' + i), '\0'});
	begin();
	assert_ok(fsmeta_db_update_note_contents(update, ids, 3, &error));
	commit();
	begin();
	tell(&(struct fsmeta_change){.kind = FSMETA_CHANGE_REMOVED, .before = &folder});
	for (int i = 0; i < 3; i++) {
		inside[i] = make_hashed((const char *[]){"g/x", "g/y", "g/z"}[i], 'x', 0644);
		inside[i].hash[0] = (unsigned char)('x' + i);
		tell(&(struct fsmeta_change){.kind = FSMETA_CHANGE_REMOVED,
		    .flags = FSMETA_CHANGE_INSIDE,
		    .before = &inside[i]});
	}
	commit();
	assert_oldest(100, "abcde");
	assert_ok(fsmeta_db_prune(&pruned, db, all, 2, NULL, &error));
	assert_ok(fsmeta_db_verify(db, NULL, &error));
	assert_oldest(100, "abcde");
	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	assert_int_equal(
	    sqlite3_prepare_v2(handle, "SELECT count(*) FROM content_read", -1, &statement, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	assert_int_equal(sqlite3_column_int(statement, 0), 0);
	sqlite3_finalize(statement);
	sqlite3_close(handle);
}

/** Another hash with the same size and mtime is what the view calls corrupted, and nothing else. */
static void the_view_says_corrupted(void **state)
{
	struct fsmeta_entry touched = make_hashed("f/c", 'C', 0644);
	struct fsmeta_entry weaker = make_hashed("f/d", 'D', 0644);
	sqlite3 *handle;
	sqlite3_stmt *statement;

	(void)state;
	touched.mtime.seconds++;
	weaker.hash_algorithm = FSMETA_HASH_SHA256;
	begin();
	modify("f/a", 'a', 0600);
	modify("f/b", 'B', 0644);
	tell(&(struct fsmeta_change){
	    .kind = FSMETA_CHANGE_MODIFIED, .before = &touched, .after = &touched});
	tell(&(struct fsmeta_change){
	    .kind = FSMETA_CHANGE_MODIFIED, .before = &weaker, .after = &weaker});
	commit();
	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(handle,
			     "SELECT group_concat(path || ' ' || kind, ', ') FROM"
			     " (SELECT path, kind FROM changes WHERE generation = 2 ORDER BY path)",
			     -1, &statement, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(statement, 0),
	    "f/a modified, f/b corrupted, f/c modified, f/d modified");
	sqlite3_finalize(statement);
	sqlite3_close(handle);
}

static void a_reading_in_the_future_is_damage(void **state)
{
	sqlite3 *handle;

	(void)state;
	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	assert_int_equal(
	    sqlite3_exec(handle, "INSERT INTO content_read VALUES (3, 99)", NULL, NULL, NULL),
	    SQLITE_OK);
	sqlite3_close(handle);
	assert_int_equal(fsmeta_db_verify(db, NULL, &error), FSMETA_E_CORRUPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(the_share_is_rounded_up, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(who_was_read_goes_to_the_end, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(other_metadata_makes_nobody_younger, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(what_moved_keeps_its_age, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(what_is_gone_is_not_asked_for, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(the_view_says_corrupted, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_reading_in_the_future_is_damage, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
