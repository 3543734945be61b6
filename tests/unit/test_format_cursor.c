/*
 * The array cursor (order, skipping, runs) against naive readings of the array,
 * and the tee.
 */
#include "base/path.h"
#include "format/cursor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
	MAX_ENTRIES = 512,
};

/** Entries with room for their paths. */
struct tree {
	struct fsmeta_entry entries[MAX_ENTRIES];
	size_t count;
	struct fsmeta_arena arena;
	struct fsmeta_batch_source source;
};

static void tree_init(struct tree *tree)
{
	tree->count = 0;
	fsmeta_arena_init(&tree->arena);
	fsmeta_batch_source_init(&tree->source);
}

static void tree_release(struct tree *tree)
{
	fsmeta_arena_release(&tree->arena);
	fsmeta_batch_source_release(&tree->source);
}

static void tree_add(struct tree *tree, const char *path, enum fsmeta_type type)
{
	char *copy = fsmeta_arena_copy(&tree->arena, path, strlen(path));

	assert_non_null(copy);
	assert_true(tree->count < MAX_ENTRIES);
	tree->entries[tree->count++] =
	    (struct fsmeta_entry){.path = copy, .path_length = strlen(copy), .type = type};
}

/** "x/" is a folder, "x" a file, "" the root. */
static void tree_fill(struct tree *tree, const char *const *paths)
{
	tree_init(tree);
	for (; *paths; paths++) {
		char path[256];
		size_t length = strlen(*paths);
		bool folder = length == 0 || (*paths)[length - 1] == '/';

		memcpy(path, *paths, length + 1);
		if (folder && length)
			path[length - 1] = '\0';
		tree_add(tree, path, folder ? FSMETA_TYPE_FOLDER : FSMETA_TYPE_FILE);
	}
}

static struct fsmeta_cursor *tree_open(struct tree *tree)
{
	struct fsmeta_cursor *cursor;
	struct fsmeta_error error = {0};

	if (fsmeta_cursor_from_array(&cursor, tree->entries, tree->count, &tree->source, &error))
		fail_msg("%s", error.reason);
	return cursor;
}

static void expect(struct fsmeta_cursor *cursor, const char *path)
{
	const struct fsmeta_entry *entry;

	assert_int_equal(fsmeta_cursor_next(cursor, &entry, NULL), 1);
	assert_int_equal(entry->path_length, strlen(path));
	assert_memory_equal(entry->path, path, strlen(path));
}

static void expect_end(struct fsmeta_cursor *cursor)
{
	const struct fsmeta_entry *entry;

	assert_int_equal(fsmeta_cursor_next(cursor, &entry, NULL), 0);
	assert_int_equal(fsmeta_cursor_next(cursor, &entry, NULL), 0);
}

static const char *const small[] = {
    "", "a/", "a/x/", "a/x/1", "a/x/2", "a/y", "a!b/", "a!b/z", "a.mp4", "b", NULL};

static void entries_come_in_order_with_names_and_depths(void **state)
{
	static const char *const names[] = {"", "a", "x", "1", "2", "y", "a!b", "z", "a.mp4", "b"};
	static const uint32_t depths[] = {0, 1, 2, 3, 3, 2, 1, 2, 1, 1};
	struct fsmeta_cursor *cursor;
	struct tree tree;

	(void)state;
	tree_fill(&tree, small);
	cursor = tree_open(&tree);
	assert_ptr_equal(cursor->source, &tree.source);
	assert_non_null(cursor->label);
	for (size_t i = 0; i < tree.count; i++) {
		const struct fsmeta_entry *entry;

		assert_int_equal(fsmeta_cursor_next(cursor, &entry, NULL), 1);
		assert_ptr_equal(entry, &tree.entries[i]);
		assert_int_equal(entry->name_length, strlen(names[i]));
		assert_memory_equal(entry->name, names[i], entry->name_length);
		assert_ptr_equal(
		    entry->name + entry->name_length, entry->path + entry->path_length);
		assert_int_equal(entry->depth, depths[i]);
	}
	expect_end(cursor);
	fsmeta_cursor_close(cursor);
	tree_release(&tree);
}

static void nothing_at_all_is_an_end(void **state)
{
	struct fsmeta_cursor *cursor;
	struct tree tree;

	(void)state;
	tree_init(&tree);
	cursor = tree_open(&tree);
	assert_int_equal(fsmeta_cursor_skip(cursor, 1, NULL), 0);
	expect_end(cursor);
	fsmeta_cursor_close(cursor);
	fsmeta_cursor_close(NULL);
	tree_release(&tree);
}

static void wrong_arrays_are_refused(void **state)
{
	static const char *const wrong[][6] = {
	    {"a", NULL},                     /* no root */
	    {"", "", NULL},                  /* twice */
	    {"", "b", "a", NULL},            /* order */
	    {"", "a", "a", NULL},            /* twice */
	    {"", "a.mp4", "a/", NULL},       /* order: '/' is below '.' */
	    {"", "a/x", NULL},               /* no folder */
	    {"", "a", "a/x", NULL},          /* its folder is a file */
	    {"", "a/", "b/", "b/x/y", NULL}, /* one level missing */
	    {"", "a/", "ab/x", NULL},        /* a prefix, but no folder of it */
	    {"", "..", NULL},                /* not a name */
	    {"", "a//", NULL},               /* an empty name */
	    {"", "a/", "a/b/", "c/", "c/b/", "a/d"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct fsmeta_cursor *cursor;
		struct fsmeta_error error = {0};
		const char *paths[7] = {0};
		struct tree tree;

		memcpy(paths, wrong[i], sizeof(wrong[i]));
		tree_fill(&tree, paths);
		assert_int_equal(fsmeta_cursor_from_array(
				     &cursor, tree.entries, tree.count, &tree.source, &error),
		    FSMETA_E_CORRUPT);
		assert_null(cursor);
		assert_int_equal(error.code, FSMETA_E_CORRUPT);
		tree_release(&tree);
	}
}

static void the_first_wrong_entry_is_named(void **state)
{
	static const char *const paths[] = {"", "a/", "a/x", "c", "b", NULL};
	struct fsmeta_cursor *cursor;
	struct fsmeta_error error = {0};
	struct tree tree;

	(void)state;
	tree_fill(&tree, paths);
	assert_int_equal(
	    fsmeta_cursor_from_array(&cursor, tree.entries, tree.count, &tree.source, &error),
	    FSMETA_E_CORRUPT);
	assert_string_equal(error.reason, "entry 4 ('b'): out of canonical order");
	tree_release(&tree);
}

static void skipping_leaves_out_what_is_below(void **state)
{
	struct fsmeta_cursor *cursor;
	struct tree tree;

	(void)state;
	tree_fill(&tree, small);
	cursor = tree_open(&tree);
	expect(cursor, "");
	expect(cursor, "a");
	assert_int_equal(fsmeta_cursor_skip(cursor, 2, NULL), 0);
	expect(cursor, "a!b");
	expect(cursor, "a!b/z");
	/* The rest of the folder that the last entry is in. */
	assert_int_equal(fsmeta_cursor_skip(cursor, 2, NULL), 0);
	expect(cursor, "a.mp4");
	assert_int_equal(fsmeta_cursor_skip(cursor, 5, NULL), 0);
	expect(cursor, "b");
	expect_end(cursor);
	fsmeta_cursor_close(cursor);
	cursor = tree_open(&tree);
	expect(cursor, "");
	expect(cursor, "a");
	expect(cursor, "a/x");
	expect(cursor, "a/x/1");
	assert_int_equal(fsmeta_cursor_skip(cursor, 3, NULL), 0);
	expect(cursor, "a/y");
	assert_int_equal(fsmeta_cursor_skip(cursor, 1, NULL), 0);
	expect_end(cursor);
	fsmeta_cursor_close(cursor);
	tree_release(&tree);
}

/* ---- runs ------------------------------------------------------------- */

static const struct fsmeta_array_run small_runs[] = {
    {.kind = FSMETA_RUN_SUBTREE, .path = "a", .token = {.low = 1}},
    {.kind = FSMETA_RUN_FILES, .path = "a", .token = {.low = 2}},
    {.kind = FSMETA_RUN_SUBTREE, .path = "a/x", .token = {.low = 3}},
    {.kind = FSMETA_RUN_FILES, .path = "", .token = {.low = 4}},
    {.kind = FSMETA_RUN_BATCH, .path = "a/x/2", .token = {.low = 5}, .entries = 3},
    {.kind = FSMETA_RUN_BATCH, .path = "b", .token = {.low = 6}, .entries = 100},
};

static struct fsmeta_cursor *open_with_runs(struct tree *tree)
{
	struct fsmeta_cursor *cursor;

	tree_fill(tree, small);
	cursor = tree_open(tree);
	fsmeta_cursor_array_offer_runs(
	    cursor, small_runs, sizeof(small_runs) / sizeof(small_runs[0]));
	return cursor;
}

static void expect_run(struct fsmeta_cursor *cursor, struct fsmeta_run *run,
    enum fsmeta_run_kind kind, uint64_t token, uint64_t entries)
{
	assert_int_equal(fsmeta_cursor_run(cursor, kind, run, NULL), 1);
	assert_int_equal(run->kind, kind);
	assert_int_equal(run->token.low, token);
	assert_int_equal(run->entries, entries);
}

static void without_a_table_no_run_is_offered(void **state)
{
	struct fsmeta_cursor *cursor;
	struct fsmeta_run run = {.kind = FSMETA_RUN_SUBTREE};
	struct fsmeta_error error = {0};
	struct tree tree;

	(void)state;
	tree_fill(&tree, small);
	cursor = tree_open(&tree);
	assert_int_equal(fsmeta_cursor_run(cursor, FSMETA_RUN_SUBTREE, &run, NULL), 0);
	expect(cursor, "");
	assert_int_equal(fsmeta_cursor_run(cursor, FSMETA_RUN_SUBTREE, &run, NULL), 0);
	assert_int_equal(fsmeta_cursor_run(cursor, FSMETA_RUN_BATCH, &run, NULL), 0);
	assert_int_equal(fsmeta_cursor_step(cursor, &run, &error), FSMETA_E_INTERNAL);
	fsmeta_cursor_close(cursor);
	tree_release(&tree);
}

static void a_subtree_is_stepped_over(void **state)
{
	struct fsmeta_run run;
	struct tree tree;
	struct fsmeta_cursor *cursor = open_with_runs(&tree);

	(void)state;
	expect(cursor, "");
	assert_int_equal(fsmeta_cursor_run(cursor, FSMETA_RUN_SUBTREE, &run, NULL), 0);
	expect(cursor, "a");
	expect_run(cursor, &run, FSMETA_RUN_SUBTREE, 1, 4);
	assert_int_equal(fsmeta_cursor_step(cursor, &run, NULL), 0);
	/* The folder is behind us now. */
	assert_int_equal(fsmeta_cursor_run(cursor, FSMETA_RUN_SUBTREE, &run, NULL), 0);
	expect(cursor, "a!b");
	fsmeta_cursor_close(cursor);
	tree_release(&tree);
}

static void an_offer_need_not_be_taken(void **state)
{
	struct fsmeta_run run;
	struct fsmeta_error error = {0};
	struct tree tree;
	struct fsmeta_cursor *cursor = open_with_runs(&tree);

	(void)state;
	expect(cursor, "");
	expect(cursor, "a");
	expect_run(cursor, &run, FSMETA_RUN_SUBTREE, 1, 4);
	expect(cursor, "a/x");
	assert_int_equal(fsmeta_cursor_step(cursor, &run, &error), FSMETA_E_INTERNAL);
	expect_run(cursor, &run, FSMETA_RUN_SUBTREE, 3, 2);
	assert_int_equal(fsmeta_cursor_step(cursor, &run, NULL), 0);
	expect(cursor, "a/y");
	fsmeta_cursor_close(cursor);
	tree_release(&tree);
}

static void files_are_stepped_over_and_folders_still_come(void **state)
{
	struct fsmeta_run run;
	struct tree tree;
	struct fsmeta_cursor *cursor = open_with_runs(&tree);

	(void)state;
	expect(cursor, "");
	expect_run(cursor, &run, FSMETA_RUN_FILES, 4, 2);
	assert_int_equal(fsmeta_cursor_step(cursor, &run, NULL), 0);
	expect(cursor, "a");
	expect_run(cursor, &run, FSMETA_RUN_FILES, 2, 1);
	assert_int_equal(fsmeta_cursor_step(cursor, &run, NULL), 0);
	expect(cursor, "a/x");
	expect(cursor, "a/x/1");
	expect(cursor, "a/x/2");
	expect(cursor, "a!b");
	expect(cursor, "a!b/z");
	expect_end(cursor);
	fsmeta_cursor_close(cursor);
	tree_release(&tree);
}

static void batches_are_stepped_over_wherever_they_begin(void **state)
{
	struct fsmeta_run run;
	struct tree tree;
	struct fsmeta_cursor *cursor = open_with_runs(&tree);

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(fsmeta_cursor_run(cursor, FSMETA_RUN_BATCH, &run, NULL), 0);
		expect(cursor, tree.entries[i].path);
	}
	expect_run(cursor, &run, FSMETA_RUN_BATCH, 5, 3);
	assert_int_equal(fsmeta_cursor_step(cursor, &run, NULL), 0);
	expect(cursor, "a!b/z");
	expect(cursor, "a.mp4");
	/* Longer than what is left. */
	expect_run(cursor, &run, FSMETA_RUN_BATCH, 6, 100);
	assert_int_equal(fsmeta_cursor_step(cursor, &run, NULL), 0);
	expect_end(cursor);
	assert_int_equal(fsmeta_cursor_run(cursor, FSMETA_RUN_BATCH, &run, NULL), 0);
	fsmeta_cursor_close(cursor);
	tree_release(&tree);
}

/* ---- random trees ----------------------------------------------------- */

static int compare_entries(const void *a, const void *b)
{
	const struct fsmeta_entry *left = a, *right = b;

	return fsmeta_path_compare(left->path, left->path_length, right->path, right->path_length);
}

/** A random tree in canonical order; names from bytes around '/'. */
static void tree_random(struct tree *tree, unsigned seed)
{
	static const char *const names[] = {"a", "a!", "a.b", "\x01", "\xff", "-", "0", "a b"};

	tree_init(tree);
	tree_add(tree, "", FSMETA_TYPE_FOLDER);
	for (int i = 0; i < 300; i++) {
		const struct fsmeta_entry *folder =
		    &tree->entries[(size_t)rand_r(&seed) % tree->count];
		const char *slash = folder->path_length ? "/" : "";
		char path[1024];
		bool taken = folder->type != FSMETA_TYPE_FOLDER || folder->path_length > 900;

		snprintf(
		    path, sizeof(path), "%s%s%s", folder->path, slash, names[rand_r(&seed) % 8]);
		for (size_t j = 0; j < tree->count; j++)
			taken = taken || !strcmp(tree->entries[j].path, path);
		if (!taken)
			tree_add(
			    tree, path, rand_r(&seed) % 2 ? FSMETA_TYPE_FOLDER : FSMETA_TYPE_FILE);
	}
	qsort(tree->entries, tree->count, sizeof(tree->entries[0]), compare_entries);
}

/** next(), skip() and leap() at random, against an index into the array. */
static void walk_at_random(struct tree *tree, unsigned seed)
{
	struct fsmeta_cursor *cursor = tree_open(tree);
	size_t at = 0;

	for (;;) {
		const struct fsmeta_entry *entry;
		uint32_t depth = (uint32_t)rand_r(&seed) % 6;
		int status;

		if (at && rand_r(&seed) % 8 == 0) {
			assert_int_equal(fsmeta_cursor_skip(cursor, depth, NULL), 0);
			while (at < tree->count && fsmeta_path_depth(tree->entries[at].path,
						       tree->entries[at].path_length) >= depth)
				at++;
		}
		if (rand_r(&seed) % 16 == 0) {
			size_t target = (size_t)rand_r(&seed) % tree->count;
			const struct fsmeta_entry *goal = &tree->entries[target];

			assert_int_equal(
			    fsmeta_cursor_leap(cursor, goal->path, goal->path_length, NULL),
			    target > at);
			at = target > at ? target : at;
		}
		status = fsmeta_cursor_next(cursor, &entry, NULL);
		assert_int_equal(status, at < tree->count);
		if (!status)
			break;
		assert_ptr_equal(entry, &tree->entries[at]);
		at++;
	}
	fsmeta_cursor_close(cursor);
}

static void random_trees_are_walked(void **state)
{
	static struct tree tree;

	(void)state;
	for (unsigned seed = 1; seed <= 100; seed++) {
		tree_random(&tree, seed);
		walk_at_random(&tree, seed);
		tree_release(&tree);
	}
}

/** A folder taken out of a random tree that was not empty leaves orphans. */
static void random_trees_with_a_hole_are_refused(void **state)
{
	static struct tree tree;
	int refused = 0;

	(void)state;
	for (unsigned seed = 1; seed <= 100; seed++) {
		struct fsmeta_cursor *cursor = NULL;
		size_t hole;
		bool orphans;
		int code;

		tree_random(&tree, seed);
		hole = 1 + seed % (tree.count - 1);
		orphans = hole + 1 < tree.count &&
			  fsmeta_path_is_within(tree.entries[hole + 1].path,
			      tree.entries[hole + 1].path_length, tree.entries[hole].path,
			      tree.entries[hole].path_length);
		tree.count--;
		memmove(&tree.entries[hole], &tree.entries[hole + 1],
		    (tree.count - hole) * sizeof(tree.entries[0]));
		code =
		    fsmeta_cursor_from_array(&cursor, tree.entries, tree.count, &tree.source, NULL);
		assert_int_equal(code, orphans ? FSMETA_E_CORRUPT : 0);
		refused += orphans;
		fsmeta_cursor_close(cursor);
		tree_release(&tree);
	}
	assert_true(refused > 10 && refused < 90);
}

/* ---- tee -------------------------------------------------------------- */

struct counting_sink {
	struct fsmeta_entry_sink sink;
	const struct fsmeta_entry *last;
	int count;
	/** Fails at this entry, counted from 1; 0 = never. */
	int fail_at;
};

static int count_entry(
    struct fsmeta_entry_sink *sink, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	struct counting_sink *counting = (struct counting_sink *)sink;

	counting->last = entry;
	counting->count++;
	if (counting->count == counting->fail_at)
		return fsmeta_error_set(error, FSMETA_E_LIMIT, NULL, "counting", "enough");
	return 0;
}

static void a_tee_shows_every_entry_to_its_sink(void **state)
{
	struct counting_sink counting = {.sink = {count_entry}};
	struct fsmeta_cursor *cursor;
	struct fsmeta_error error = {0};
	struct fsmeta_run run;
	struct tree tree;
	const struct fsmeta_entry *entry;

	(void)state;
	cursor = open_with_runs(&tree);
	assert_int_equal(fsmeta_cursor_tee(&cursor, cursor, &counting.sink, NULL), 0);
	assert_ptr_equal(cursor->source, &tree.source);
	assert_non_null(cursor->label);
	for (size_t i = 0; i < tree.count; i++) {
		assert_int_equal(fsmeta_cursor_next(cursor, &entry, NULL), 1);
		assert_ptr_equal(entry, counting.last);
		assert_int_equal(counting.count, i + 1);
		assert_int_equal(fsmeta_cursor_run(cursor, FSMETA_RUN_SUBTREE, &run, NULL), 0);
		assert_int_equal(fsmeta_cursor_run(cursor, FSMETA_RUN_FILES, &run, NULL), 0);
		assert_int_equal(fsmeta_cursor_run(cursor, FSMETA_RUN_BATCH, &run, NULL), 0);
	}
	assert_int_equal(fsmeta_cursor_skip(cursor, 1, &error), FSMETA_E_INTERNAL);
	expect_end(cursor);
	assert_int_equal(counting.count, tree.count);
	fsmeta_cursor_close(cursor);
	tree_release(&tree);
}

static void a_failing_sink_ends_the_tee(void **state)
{
	struct counting_sink counting = {.sink = {count_entry}, .fail_at = 3};
	struct fsmeta_cursor *cursor;
	struct fsmeta_error error = {0};
	const struct fsmeta_entry *entry;
	struct tree tree;

	(void)state;
	tree_fill(&tree, small);
	cursor = tree_open(&tree);
	assert_int_equal(fsmeta_cursor_tee(&cursor, cursor, &counting.sink, NULL), 0);
	expect(cursor, "");
	expect(cursor, "a");
	assert_int_equal(fsmeta_cursor_next(cursor, &entry, &error), FSMETA_E_LIMIT);
	assert_string_equal(error.reason, "enough");
	fsmeta_cursor_close(cursor);
	tree_release(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(entries_come_in_order_with_names_and_depths),
	    cmocka_unit_test(nothing_at_all_is_an_end),
	    cmocka_unit_test(wrong_arrays_are_refused),
	    cmocka_unit_test(the_first_wrong_entry_is_named),
	    cmocka_unit_test(skipping_leaves_out_what_is_below),
	    cmocka_unit_test(without_a_table_no_run_is_offered),
	    cmocka_unit_test(a_subtree_is_stepped_over),
	    cmocka_unit_test(an_offer_need_not_be_taken),
	    cmocka_unit_test(files_are_stepped_over_and_folders_still_come),
	    cmocka_unit_test(batches_are_stepped_over_wherever_they_begin),
	    cmocka_unit_test(random_trees_are_walked),
	    cmocka_unit_test(random_trees_with_a_hole_are_refused),
	    cmocka_unit_test(a_tee_shows_every_entry_to_its_sink),
	    cmocka_unit_test(a_failing_sink_ends_the_tee),
	};

	return cmocka_run_group_tests_name("format/cursor", tests, NULL, NULL);
}
