/*
 * Extreme shapes: a chain of thousands of folders, one folder with hundreds of
 * thousands of files, and folders in which everything is inserted in front.
 */
#include "tests/unit/test_db_file.h"

#include <sys/resource.h>

enum {
	CHAIN_DEPTH = 3000,
	WIDE_FILES = 300000,
	/** Levels of the chain that have files besides the next folder. */
	CHAIN_STEP = 3,
};

static char folder[] = "/tmp/fsmeta-db-shapes-XXXXXX";
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

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

/** Path of level `depth` of the chain: "d/d/d…". */
static void chain_path(char *out, unsigned depth)
{
	for (unsigned i = 0; i < depth; i++) {
		out[2 * i] = 'd';
		out[2 * i + 1] = '/';
	}
	out[depth ? 2 * depth - 1 : 0] = '\0';
}

/** Before and behind the next folder, on every third level, is a file. */
static void add_chain(struct fsmeta_db_update *update)
{
	static char name[2 * CHAIN_DEPTH + 16];

	for (unsigned depth = 0; depth < CHAIN_DEPTH; depth++) {
		chain_path(name, depth);
		assert_ok(add_entry(update, name, FSMETA_TYPE_FOLDER, 0));
		strcat(name, depth ? "/a" : "a");
		if (depth % CHAIN_STEP == 0)
			assert_ok(add_entry(update, name, FSMETA_TYPE_FILE, depth));
	}
	for (unsigned depth = CHAIN_DEPTH; depth-- > 0;) {
		chain_path(name, depth);
		strcat(name, depth ? "/e" : "e");
		if (depth % CHAIN_STEP == 0)
			assert_ok(add_entry(update, name, FSMETA_TYPE_FILE, depth));
	}
}

static void test_chain(void **state)
{
	struct fsmeta_batch_source source;
	struct fsmeta_db_update *update;
	struct fsmeta_change change = {.kind = FSMETA_CHANGE_REMOVED};
	struct fsmeta_change_sink *sink;
	struct fsmeta_entry gone;
	struct fsmeta_db *db;

	(void)state;
	describe_scan(&source, 1);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	assert_ok(fsmeta_db_update_begin(&update, db, 0, &source, &error));
	add_chain(update);
	assert_ok(fsmeta_db_update_commit(update, NULL, &error));
	assert_int_equal(read_all(db, 1), CHAIN_DEPTH + 2 * (CHAIN_DEPTH / CHAIN_STEP));

	/* Removing it is one event, whatever lies below. */
	source.started.seconds += 100;
	assert_ok(fsmeta_db_update_begin(&update, db, 1, &source, &error));
	sink = fsmeta_db_update_sink(update);
	for (unsigned depth = 1; depth < CHAIN_DEPTH; depth++) {
		static char name[2 * CHAIN_DEPTH + 16];

		chain_path(name, depth);
		gone = make_entry(name, FSMETA_TYPE_FOLDER, 0);
		change.before = &gone;
		change.flags = depth > 1 ? FSMETA_CHANGE_INSIDE : 0;
		assert_ok(sink->change(sink, &change, &error));
		strcat(name, "/a");
		gone = make_entry(name, FSMETA_TYPE_FILE, depth);
		change.flags = FSMETA_CHANGE_INSIDE;
		if (depth % CHAIN_STEP == 0)
			assert_ok(sink->change(sink, &change, &error));
		name[strlen(name) - 1] = 'e';
		if (depth % CHAIN_STEP == 0)
			assert_ok(sink->change(sink, &change, &error));
	}
	assert_ok(fsmeta_db_update_commit(update, NULL, &error));
	assert_int_equal(read_all(db, 2), 3);
	assert_int_equal(read_all(db, 1), CHAIN_DEPTH + 2 * (CHAIN_DEPTH / CHAIN_STEP));
	assert_ok(fsmeta_db_verify(db, NULL, &error));
	fsmeta_db_close(db);
	fsmeta_batch_source_release(&source);
}

static void test_wide(void **state)
{
	struct fsmeta_batch_source source;
	struct fsmeta_db_update *update;
	const struct fsmeta_entry *entry;
	struct fsmeta_cursor *cursor;
	struct fsmeta_db *db;
	unsigned at = 0;
	char name[64];

	(void)state;
	describe_scan(&source, 1);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	assert_ok(fsmeta_db_update_begin(&update, db, 0, &source, &error));
	assert_ok(add_entry(update, "", FSMETA_TYPE_FOLDER, 0));
	for (unsigned i = 0; i < WIDE_FILES; i++) {
		snprintf(name, sizeof(name), "%08u", i);
		assert_ok(
		    add_entry(update, name, i % 1000 ? FSMETA_TYPE_FILE : FSMETA_TYPE_FOLDER, i));
	}
	assert_ok(fsmeta_db_update_commit(update, NULL, &error));
	assert_ok(fsmeta_db_cursor(&cursor, db, 1, NULL, &error));
	assert_int_equal(fsmeta_cursor_next(cursor, &entry, &error), 1);
	while (fsmeta_cursor_next(cursor, &entry, &error) == 1) {
		snprintf(name, sizeof(name), "%08u", at++);
		assert_int_equal(entry->path_length, 8);
		assert_memory_equal(entry->path, name, 8);
	}
	assert_int_equal(at, WIDE_FILES);
	fsmeta_cursor_close(cursor);
	assert_ok(fsmeta_db_verify(db, NULL, &error));
	fsmeta_db_close(db);
	fsmeta_batch_source_release(&source);
}

/** 20 generations with 200 new folders each, always in front of all others. */
static void test_front(void **state)
{
	struct fsmeta_batch_source source;
	struct fsmeta_db_update *update;
	struct fsmeta_db *db;
	char name[64];

	(void)state;
	make_database(path, 10, 2);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	for (unsigned number = 2; number <= 21; number++) {
		describe_scan(&source, number);
		assert_ok(fsmeta_db_update_begin(&update, db, number - 1, &source, &error));
		for (unsigned i = 0; i < 200; i++) {
			snprintf(name, sizeof(name), "%04u", 9000 - number * 200 + i);
			assert_ok(add_entry(update, name, FSMETA_TYPE_FOLDER, 0));
		}
		assert_ok(fsmeta_db_update_commit(update, NULL, &error));
		assert_int_equal(read_all(db, number), 31 + 200 * (number - 1));
		fsmeta_batch_source_release(&source);
	}
	assert_ok(fsmeta_db_verify(db, NULL, &error));
	fsmeta_db_close(db);
}

/** Reading and writing the shapes above must not have cost much memory. */
static void test_memory(void **state)
{
	struct rusage usage;

	(void)state;
	getrusage(RUSAGE_SELF, &usage);
	printf("peak memory: %ld MiB\n", usage.ru_maxrss / 1024);
#ifndef __SANITIZE_ADDRESS__
	assert_true(usage.ru_maxrss < 100 * 1024);
#endif
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
	const struct CMUnitTest tests[] = {
	    TEST(test_chain),
	    TEST(test_wide),
	    TEST(test_front),
	    cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
