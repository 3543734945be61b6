/*
 * Reading ahead: whatever the number of threads, the shape of the tree and the pace of
 * who reads the cursor, the same entries come out, within bounds, and nothing is left.
 *
 * Nothing here waits for time to pass.  Where a test needs threads to have done all that
 * they may, it waits until every one of them says so.
 */
#include "test_scanner_tree.h"

#include "scanner/ahead.h"

#include <pthread.h>
#include <sched.h>

#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif

enum {
/** Threads while there is no scan: ThreadSanitizer has one of its own … */
#ifdef __SANITIZE_THREAD__
	THREADS_BEFORE = 2,
#else
	THREADS_BEFORE = 1,
#endif
};

static void *do_nothing(void *payload)
{
	return payload;
}

/** … from the first of ours on. */
static void start_sanitizer_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, do_nothing, NULL) == 0)
		pthread_join(thread, NULL);
}

/* ---- trees ----------------------------------------------------------------- */

static uint64_t random_state = 7;

static uint32_t random_below(uint32_t bound)
{
	random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)((random_state >> 33) % bound);
}

/** Makes folder `name` in `fd`; its descriptor. */
static int enter_new(int fd, const char *name)
{
	int below;

	assert_int_equal(mkdirat(fd, name, 0755), 0);
	below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(below >= 0);
	return below;
}

static void touch(int fd, const char *name)
{
	int file = openat(fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	assert_true(file >= 0);
	close(file);
}

/** `count` files whose names are filled up to `length` bytes. */
static void fill(int fd, unsigned count, unsigned length)
{
	char name[256];

	memset(name, 'n', sizeof(name));
	for (unsigned i = 0; i < count; i++) {
		int prefix = snprintf(name, sizeof(name), "%07u", i * 7919 % 1000003);

		if ((unsigned)prefix < length)
			name[prefix] = 'n';
		name[length] = '\0';
		touch(fd, name);
		name[length] = 'n';
	}
}

/** `folders` folders with `files` files each. */
static void make_wide(const struct tree *tree, unsigned folders, unsigned files)
{
	for (unsigned i = 0; i < folders; i++) {
		char name[16];
		int fd;

		snprintf(name, sizeof(name), "d%06u", i);
		fd = enter_new(tree->fd, name);
		fill(fd, files, 8);
		close(fd);
	}
}

static void make_chain(const struct tree *tree, unsigned depth)
{
	int fd = dup(tree->fd);

	for (unsigned i = 0; i < depth; i++) {
		int below = enter_new(fd, "d");

		if (i % 3 == 0)
			touch(fd, "after");
		if (i % 5 == 0)
			touch(fd, "a");
		close(fd);
		fd = below;
	}
	close(fd);
}

/** Folders and files at random, `budget` of them. */
static void grow(int fd, unsigned depth, unsigned *budget)
{
	unsigned count = random_below(depth < 2 ? 40 : 12);

	if (random_below(60) == 0)
		count = 700;
	for (unsigned i = 0; i<count && * budget> 0; i++) {
		char name[24];

		(*budget)--;
		snprintf(name, sizeof(name), "%c%u", "a!.zm"[random_below(5)], i);
		if (random_below(3) == 0 && depth < 30) {
			int below = enter_new(fd, name);

			grow(below, depth + 1, budget);
			close(below);
		} else if (random_below(9) == 0) {
			assert_int_equal(symlinkat("target of a link", fd, name), 0);
		} else {
			touch(fd, name);
		}
	}
}

static struct tree make_random(unsigned budget)
{
	struct tree tree = tree_new_in_memory();

	while (budget > 0) {
		char name[24];
		int fd;

		snprintf(name, sizeof(name), "top%u", budget);
		fd = enter_new(tree.fd, name);
		budget--;
		grow(fd, 1, &budget);
		close(fd);
	}
	return tree;
}

/* ---- comparing --------------------------------------------------------------- */

static void assert_same_entry(const struct fsmeta_entry *a, const struct fsmeta_entry *b)
{
	assert_int_equal(a->path_length, b->path_length);
	assert_memory_equal(a->path, b->path, a->path_length);
	assert_int_equal(a->depth, b->depth);
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->fields, b->fields);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->error, b->error);
	assert_int_equal(
	    fsmeta_entry_differences(a, b, FSMETA_FIELDS_ALL | FSMETA_FIELD_FLAGS, NULL, 0), 0);
	assert_int_equal(a->device, b->device);
}

static void assert_same(const struct seen *a, const struct seen *b)
{
	assert_int_equal(a->count, b->count);
	for (size_t i = 0; i < a->count; i++)
		assert_same_entry(&a->entries[i], &b->entries[i]);
}

static void assert_bounds(const struct fsmeta_scan_measures *measures)
{
	/* What is begun below the bound ends above it: one task for each thread. */
	const size_t task = 64 << 10, listing = 1 << 20;

	assert_true(measures->waiting_bytes <= FSMETA_AHEAD_TOTAL_BYTES + test_threads * task);
	assert_true(
	    measures->listing_bytes <= FSMETA_AHEAD_LISTINGS_BYTES + test_threads * listing);
	assert_true(measures->descriptors <= FSMETA_AHEAD_DESCRIPTORS + 2 * test_threads + 1);
	assert_true(measures->threads <= test_threads - 1);
}

/** Waits until all threads have done what they may. */
static struct fsmeta_scan_measures settle(struct fsmeta_cursor *cursor)
{
	struct fsmeta_scan_measures measures;

	for (;;) {
		fsmeta_scan_measure(cursor, &measures);
		if (measures.sleeping == measures.threads)
			return measures;
		sched_yield();
	}
}

static const struct fsmeta_scan_options alone = {.threads = 1};

/** The tree gives what one thread sees with as many as the tests run with. */
static void assert_as_expected(const struct tree *tree, const struct seen *expected)
{
	unsigned descriptors = open_descriptors();
	struct seen seen = {0};
	struct fsmeta_cursor *cursor = open_scan(tree->path, NULL);
	struct fsmeta_scan_measures measures;

	assert_int_equal(seen_rest(&seen, cursor), 0);
	assert_same(expected, &seen);
	fsmeta_scan_measure(cursor, &measures);
	assert_bounds(&measures);
	if (test_threads == 1) {
		assert_int_equal(measures.threads, 0);
		assert_int_equal(measures.done_ahead, 0);
	}
	fsmeta_cursor_close(cursor);
	assert_int_equal(open_descriptors(), descriptors);
	assert_threads(THREADS_BEFORE);
	seen_release(&seen);
}

static void assert_thread_count_is_invisible(const struct tree *tree)
{
	struct seen expected = scan_all(tree->path, &alone);

	assert_as_expected(tree, &expected);
	seen_release(&expected);
}

/* ---- trees that take their time to be made --------------------------------------- */

enum which {
	/** 5,000 folders of one file. */
	KEPT_SMALL_FOLDERS,
	/** One folder of 40,000 files. */
	KEPT_FOLDER,
	/** Folders of all sizes around that of a piece. */
	KEPT_SIZES,
	/** 5,000 folders, one in the other. */
	KEPT_CHAIN,
	/** 300 folders of 300 files. */
	KEPT_WIDE,
	/** 6 folders of 16,000 files with long names. */
	KEPT_LISTINGS,
	KEPT_COUNT,
};

enum {
	LISTINGS_FOLDERS = 6,
	LISTINGS_FILES = 16000,
};

/** Kept from one number of threads to the next, with what one thread sees. */
static struct kept {
	struct tree tree;
	struct seen expected;
	bool is_made;
} kept_trees[KEPT_COUNT];

static void make_listings(const struct tree *tree)
{
	for (unsigned i = 0; i < LISTINGS_FOLDERS; i++) {
		char name[16];
		int fd;

		snprintf(name, sizeof(name), "f%u", i);
		fd = enter_new(tree->fd, name);
		fill(fd, LISTINGS_FILES, 240);
		close(fd);
	}
}

static void make_sizes(const struct tree *tree)
{
	static const unsigned sizes[] = {0, 1, 255, 256, 257, 511, 512, 513, 5000};

	for (unsigned i = 0; i < 36; i++) {
		char name[16];
		int fd;

		snprintf(name, sizeof(name), "f%02u", i);
		fd = enter_new(tree->fd, name);
		fill(fd, sizes[i % 9], 9);
		close(fd);
	}
}

static void make(const struct tree *tree, enum which which)
{
	switch (which) {
	case KEPT_SMALL_FOLDERS:
		make_wide(tree, 5000, 1);
		break;
	case KEPT_FOLDER:
		fill(tree->fd, 40000, 20);
		break;
	case KEPT_SIZES:
		make_sizes(tree);
		break;
	case KEPT_CHAIN:
		make_chain(tree, 5000);
		break;
	case KEPT_WIDE:
		make_wide(tree, 300, 300);
		break;
	case KEPT_LISTINGS:
		make_listings(tree);
		break;
	case KEPT_COUNT:
		break;
	}
}

static const struct kept *kept_tree(enum which which)
{
	struct kept *kept = &kept_trees[which];

	if (kept->is_made)
		return kept;
	kept->tree = tree_new_in_memory();
	kept->is_made = true;
	make(&kept->tree, which);
	kept->expected = scan_all(kept->tree.path, &alone);
	return kept;
}

static void free_kept_trees(void)
{
	for (int i = 0; i < KEPT_COUNT; i++) {
		if (!kept_trees[i].is_made)
			continue;
		tree_free(&kept_trees[i].tree);
		seen_release(&kept_trees[i].expected);
	}
}

static void assert_kept_as_expected(enum which which)
{
	const struct kept *kept = kept_tree(which);

	assert_as_expected(&kept->tree, &kept->expected);
}

/* ---- shapes ------------------------------------------------------------------- */

static void many_small_folders(void **state)
{
	(void)state;
	assert_kept_as_expected(KEPT_SMALL_FOLDERS);
}

static void one_large_folder(void **state)
{
	(void)state;
	assert_kept_as_expected(KEPT_FOLDER);
}

static void folders_of_many_sizes(void **state)
{
	(void)state;
	assert_kept_as_expected(KEPT_SIZES);
}

static void a_long_chain(void **state)
{
	(void)state;
	assert_kept_as_expected(KEPT_CHAIN);
}

static void random_trees(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct tree tree = make_random(6000);

		assert_thread_count_is_invisible(&tree);
		tree_free(&tree);
	}
}

static void with_a_scope(void **state)
{
	const char *const subtrees[] = {"d000100", "d000777/0000000n", "d001000", "d001999", "no"};
	const char *const excludes[] = {"*7n", "!d000777/*", "d001000/", "d0011*"};
	struct fsmeta_scan_options options = {
	    .excludes = excludes, .exclude_count = 4, .threads = 1};
	struct tree tree = tree_new_in_memory();

	(void)state;
	make_wide(&tree, 2000, 3);
	for (int i = 0; i < 2; i++) {
		struct seen expected, seen;

		options.threads = 1;
		expected = scan_all(tree.path, &options);
		options.threads = test_threads;
		seen = scan_all(tree.path, &options);
		assert_same(&expected, &seen);
		assert_true(seen.count > 5);
		seen_release(&expected);
		seen_release(&seen);
		options.subtrees = subtrees;
		options.subtree_count = 5;
		/* What is asked for may not be excluded. */
		options.exclude_count = 2;
	}
	tree_free(&tree);
}

/* ---- pace ---------------------------------------------------------------------- */

/** Who reads slowly is waited for, with no more in hand than there may be. */
static void a_slow_reader(void **state)
{
	const struct kept *kept = kept_tree(KEPT_WIDE);
	struct fsmeta_cursor *cursor;
	const struct fsmeta_entry *entry;
	struct fsmeta_scan_measures measures;
	struct seen seen = {0};

	(void)state;
	cursor = open_scan(kept->tree.path, NULL);
	while (fsmeta_cursor_next(cursor, &entry, NULL) == 1) {
		seen_add(&seen, entry);
		if (seen.count % 997 != 5)
			continue;
		measures = settle(cursor);
		assert_bounds(&measures);
		if (test_threads > 1)
			assert_true(measures.waiting_bytes > FSMETA_AHEAD_DISTANCE_BYTES / 2);
	}
	assert_same(&kept->expected, &seen);
	fsmeta_scan_measure(cursor, &measures);
	/* Nearly all folders, and both pieces of them. */
	if (test_threads > 1)
		assert_true(measures.done_ahead > 800);
	fsmeta_cursor_close(cursor);
	seen_release(&seen);
}

/** Listings of large folders are bounded too, and gone on with where they were. */
static void large_listings_ahead(void **state)
{
	const struct kept *kept = kept_tree(KEPT_LISTINGS);
	struct fsmeta_cursor *cursor;
	struct fsmeta_scan_measures measures;
	struct seen seen = {0};

	(void)state;
	cursor = open_scan(kept->tree.path, NULL);
	for (unsigned i = 0; i < 2; i++) {
		const struct fsmeta_entry *entry;

		assert_int_equal(fsmeta_cursor_next(cursor, &entry, NULL), 1);
		seen_add(&seen, entry);
		measures = settle(cursor);
		assert_bounds(&measures);
	}
	assert_int_equal(seen_rest(&seen, cursor), 0);
	fsmeta_scan_measure(cursor, &measures);
	assert_bounds(&measures);
	if (test_threads > LISTINGS_FOLDERS)
		assert_true(measures.suspended > 0);
	assert_same(&kept->expected, &seen);
	fsmeta_cursor_close(cursor);
	seen_release(&seen);
}

/* ---- leaving ------------------------------------------------------------------- */

/** What a reader sees who steps over folders at random; the same for the same seed. */
static struct seen scan_with_skips(
    const char *path, const struct fsmeta_scan_options *options, uint64_t seed)
{
	struct fsmeta_cursor *cursor = open_scan(path, options);
	const struct fsmeta_entry *entry;
	struct seen seen = {0};

	random_state = seed;
	while (fsmeta_cursor_next(cursor, &entry, NULL) == 1) {
		uint32_t depth = entry->depth;

		seen_add(&seen, entry);
		if (random_below(12) == 0)
			assert_int_equal(
			    fsmeta_cursor_skip(cursor,
				random_below(8) ? depth + 1 : 1 + random_below(depth + 1), NULL),
			    0);
	}
	fsmeta_cursor_close(cursor);
	return seen;
}

static void skipping_at_random(void **state)
{
	struct tree tree = make_random(12000);

	(void)state;
	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct seen expected = scan_with_skips(tree.path, &alone, seed);
		struct seen seen = scan_with_skips(tree.path, NULL, seed);

		assert_same(&expected, &seen);
		seen_release(&expected);
		seen_release(&seen);
	}
	tree_free(&tree);
}

/** What was read ahead below a folder that is stepped over is dropped, and forgotten. */
static void skipping_what_was_read(void **state)
{
	struct tree tree = tree_new_in_memory();
	struct fsmeta_cursor *cursor;
	struct fsmeta_scan_measures measures;
	int fd;

	(void)state;
	make_folder(&tree, "a");
	for (unsigned i = 0; i < 200; i++) {
		char name[16];

		snprintf(name, sizeof(name), "a/%03u", i);
		make_folder(&tree, name);
		fd = openat(tree.fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		fill(fd, 20, 8);
		close(fd);
	}
	make_file(&tree, "b", "");
	cursor = open_scan(tree.path, NULL);
	expect_next(cursor, "");
	expect_next(cursor, "a");
	measures = settle(cursor);
	assert_int_equal(fsmeta_cursor_skip(cursor, 2, NULL), 0);
	measures = settle(cursor);
	if (test_threads > 1)
		assert_true(measures.dropped > 0);
	expect_next(cursor, "b");
	expect_end(cursor);
	fsmeta_cursor_close(cursor);
	tree_free(&tree);
}

static void closing_in_the_middle(void **state)
{
	struct tree tree = make_random(6000);
	unsigned descriptors = open_descriptors();

	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		struct fsmeta_cursor *cursor = open_scan(tree.path, NULL);
		const struct fsmeta_entry *entry;

		random_state = i;
		for (unsigned left = i < 10 ? i : random_below(3000); left > 0; left--)
			assert_int_equal(fsmeta_cursor_next(cursor, &entry, NULL), 1);
		fsmeta_cursor_close(cursor);
		assert_threads(THREADS_BEFORE);
		assert_int_equal(open_descriptors(), descriptors);
	}
	tree_free(&tree);
}

static void stopping_in_the_middle(void **state)
{
	struct tree tree = make_random(6000);
	unsigned descriptors = open_descriptors();

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		volatile sig_atomic_t stop = 0;
		const struct fsmeta_scan_options options = {.stop = &stop};
		struct fsmeta_cursor *cursor = open_scan(tree.path, &options);
		const struct fsmeta_entry *entry;

		for (unsigned left = i * 97; left > 0; left--)
			assert_int_equal(fsmeta_cursor_next(cursor, &entry, NULL), 1);
		stop = 1;
		assert_int_equal(fsmeta_cursor_next(cursor, &entry, NULL), FSMETA_E_STOPPED);
		fsmeta_cursor_close(cursor);
		assert_threads(THREADS_BEFORE);
		assert_int_equal(open_descriptors(), descriptors);
	}
	tree_free(&tree);
}

/** Two scans at a time have nothing to do with one another. */
static void two_cursors_side_by_side(void **state)
{
	struct tree tree = make_random(4000);
	struct seen expected = scan_all(tree.path, &alone), seen = {0}, again = {0};
	struct fsmeta_cursor *one = open_scan(tree.path, NULL);
	struct fsmeta_cursor *other = open_scan(tree.path, NULL);
	const struct fsmeta_entry *entry;

	(void)state;
	while (fsmeta_cursor_next(one, &entry, NULL) == 1) {
		seen_add(&seen, entry);
		assert_int_equal(fsmeta_cursor_next(other, &entry, NULL), 1);
		seen_add(&again, entry);
	}
	assert_same(&expected, &seen);
	assert_same(&expected, &again);
	fsmeta_cursor_close(one);
	fsmeta_cursor_close(other);
	seen_release(&expected);
	seen_release(&seen);
	seen_release(&again);
	tree_free(&tree);
}

/** Threads begin when the options that the scan was opened with are long gone. */
static void options_are_forgotten(void **state)
{
	struct tree tree = tree_new_in_memory();
	struct fsmeta_scan_options options = {.threads = 4};
	struct fsmeta_cursor *cursor;
	struct fsmeta_error error;
	struct fsmeta_scan_measures measures;
	struct seen seen = {0};

	(void)state;
	make_wide(&tree, 200, 20);
	assert_int_equal(fsmeta_scan_open(&cursor, tree.path, &options, &error), 0);
	memset(&options, 0xa5, sizeof(options));
	assert_int_equal(seen_rest(&seen, cursor), 0);
	fsmeta_scan_measure(cursor, &measures);
	assert_true(measures.threads > 0);
	fsmeta_cursor_close(cursor);
	seen_release(&seen);
	tree_free(&tree);
}

/** Ordinarily, threads are for trees that are worth it. */
static void a_small_tree_needs_no_thread(void **state)
{
	struct tree tree = tree_new_in_memory();
	struct fsmeta_cursor *cursor;
	struct fsmeta_error error;
	struct fsmeta_scan_measures measures;
	struct seen seen = {0};

	(void)state;
	make_wide(&tree, 3, 5);
	assert_int_equal(fsmeta_scan_open(&cursor, tree.path, NULL, &error), 0);
	assert_int_equal(seen_rest(&seen, cursor), 0);
	fsmeta_scan_measure(cursor, &measures);
	assert_int_equal(measures.threads, 0);
	fsmeta_cursor_close(cursor);
	seen_release(&seen);
	tree_free(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(many_small_folders),
	    cmocka_unit_test(one_large_folder),
	    cmocka_unit_test(folders_of_many_sizes),
	    cmocka_unit_test(a_long_chain),
	    cmocka_unit_test(random_trees),
	    cmocka_unit_test(with_a_scope),
	    cmocka_unit_test(a_slow_reader),
	    cmocka_unit_test(large_listings_ahead),
	    cmocka_unit_test(skipping_at_random),
	    cmocka_unit_test(skipping_what_was_read),
	    cmocka_unit_test(closing_in_the_middle),
	    cmocka_unit_test(stopping_in_the_middle),
	    cmocka_unit_test(two_cursors_side_by_side),
	    cmocka_unit_test(options_are_forgotten),
	    cmocka_unit_test(a_small_tree_needs_no_thread),
	};

	int failed;

	start_sanitizer_thread();
	failed = RUN_WITH_THREADS(tests);
	free_kept_trees();
	return failed;
}
