/*
 * Depth: chains longer than PATH_MAX, the bound on descriptors, and the way back
 * through folders whose descriptor had to be closed.
 */
#include "test_scanner_tree.h"

#include <sys/resource.h>

enum {
	/** More than the scanner keeps open. */
	COMB_DEPTH = 400,
};

/** What the scanner's documentation says, and a few of the moment. */
static unsigned descriptors_bound(void)
{
	return 128 + 2 * (test_threads - 1) + 4;
}

/** Makes `depth` folders of this name, each in the one before; a descriptor of the last. */
static int make_chain(const struct tree *tree, const char *name, unsigned depth)
{
	int fd = dup(tree->fd);

	for (unsigned i = 0; i < depth; i++) {
		int below;

		assert_int_equal(mkdirat(fd, name, 0755), 0);
		below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(below >= 0);
		close(fd);
		fd = below;
	}
	return fd;
}

static void chain_beyond_path_max(void **state)
{
	enum {
		DEPTH = 3000,
		NAME = 200
	};
	struct tree tree = tree_new_in_memory();
	struct fsmeta_cursor *cursor;
	const struct fsmeta_entry *entry;
	char name[NAME + 1];
	unsigned count = 0, descriptors;

	(void)state;
	memset(name, 'n', NAME);
	name[NAME] = '\0';
	close(make_chain(&tree, name, DEPTH));
	descriptors = open_descriptors();
	cursor = open_scan(tree.path, NULL);
	while (fsmeta_cursor_next(cursor, &entry, NULL) == 1) {
		assert_int_equal(entry->depth, count);
		assert_int_equal(entry->path_length, count ? count * (NAME + 1) - 1 : 0);
		assert_int_equal(entry->flags, 0);
		if (count)
			assert_memory_equal(entry->name, name, NAME);
		count++;
		/* A chain needs the root, one folder and the next, and the ones that are ahead. */
		if (count % 500 == 0)
			assert_true(open_descriptors() <= descriptors + 3 + 2 * (test_threads > 1));
	}
	assert_int_equal(count, DEPTH + 1);
	fsmeta_cursor_close(cursor);
	assert_int_equal(open_descriptors(), descriptors);
	tree_free(&tree);
}

static void deeper_than_any_input_may_be(void **state)
{
	struct tree tree = tree_new_in_memory();
	struct fsmeta_cursor *cursor;
	const struct fsmeta_entry *entry;
	unsigned count = 0;

	(void)state;
	close(make_chain(&tree, "d", FSMETA_DEPTH_MAX + 3));
	cursor = open_scan(tree.path, NULL);
	while (fsmeta_cursor_next(cursor, &entry, NULL) == 1) {
		bool last = count == FSMETA_DEPTH_MAX;

		assert_int_equal(entry->depth, count++);
		assert_int_equal(entry->flags, last ? FSMETA_FLAG_UNREADABLE : 0);
		assert_int_equal(entry->error, last ? ENAMETOOLONG : 0);
	}
	assert_int_equal(count, FSMETA_DEPTH_MAX + 1);
	assert_int_equal(cursor->source->unreadable.total, 1);
	fsmeta_cursor_close(cursor);
	tree_free(&tree);
}

/*
 * A comb: in every folder `a` leads on, `m` is a file, and `z` is a folder with a
 * file, so that every level is needed again on the way back.
 */
static void make_comb(const struct tree *tree, unsigned depth)
{
	int fd = dup(tree->fd);

	for (unsigned i = 0; i < depth; i++) {
		int below, file;

		assert_int_equal(mkdirat(fd, "a", 0755), 0);
		assert_int_equal(mkdirat(fd, "z", 0755), 0);
		file = openat(fd, "m", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		close(file);
		file = openat(fd, "z/inside", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		close(file);
		below = openat(fd, "a", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(below >= 0 && file >= 0);
		close(fd);
		fd = below;
	}
	close(fd);
}

/** The next entry of the comb on the way down; false at the bottom. */
static bool comb_is_at_bottom(const struct fsmeta_entry *entry)
{
	return entry->depth == COMB_DEPTH && entry->name[0] == 'a';
}

static void comb_needs_a_bounded_number_of_descriptors(void **state)
{
	struct tree tree = tree_new_in_memory();
	unsigned descriptors, count = 0, most = 0;
	const struct fsmeta_entry *entry;
	struct fsmeta_cursor *cursor;

	(void)state;
	make_comb(&tree, COMB_DEPTH);
	descriptors = open_descriptors();
	cursor = open_scan(tree.path, NULL);
	while (fsmeta_cursor_next(cursor, &entry, NULL) == 1) {
		unsigned now = open_descriptors() - descriptors;

		assert_int_equal(entry->flags, 0);
		if (most < now)
			most = now;
		count++;
	}
	assert_int_equal(count, 1 + 4 * COMB_DEPTH);
	assert_in_range(most, test_threads == 1 ? 100 : 3, descriptors_bound());
	fsmeta_cursor_close(cursor);
	assert_int_equal(open_descriptors(), descriptors);
	tree_free(&tree);
}

static void with_hardly_any_descriptors(const struct tree *tree)
{
	/* Whatever is open already, and five more. */
	int lowest = open("/", O_RDONLY | O_CLOEXEC);
	const struct rlimit limit = {(rlim_t)lowest + 5, (rlim_t)lowest + 5};
	struct fsmeta_cursor *cursor;
	const struct fsmeta_entry *entry;
	unsigned count = 0;

	close(lowest);
	CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHILD_CHECK(fsmeta_scan_open(&cursor, tree->path, with_threads(NULL), NULL) == 0);
	while (fsmeta_cursor_next(cursor, &entry, NULL) == 1) {
		CHILD_CHECK(entry->flags == 0);
		count++;
	}
	CHILD_CHECK(count == 1 + 4 * COMB_DEPTH);
	fsmeta_cursor_close(cursor);
}

static void comb_with_five_descriptors(void **state)
{
	struct tree tree = tree_new_in_memory();

	(void)state;
	make_comb(&tree, COMB_DEPTH);
	assert_int_equal(in_child(with_hardly_any_descriptors, &tree), CHILD_GOOD);
	tree_free(&tree);
}

/** Renames comb folder `depth` (1 = the first `a`) to `name` in `to`. */
static void rename_comb_folder(const struct tree *tree, unsigned depth, int to, const char *name)
{
	char path[2 * COMB_DEPTH] = "a";

	for (unsigned i = 1; i < depth; i++)
		strcat(path, "/a");
	assert_int_equal(renameat(tree->fd, path, to, name), 0);
}

static struct fsmeta_cursor *scan_to_bottom(const struct tree *tree)
{
	struct fsmeta_cursor *cursor = open_scan(tree->path, NULL);
	const struct fsmeta_entry *entry;

	do
		assert_int_equal(fsmeta_cursor_next(cursor, &entry, NULL), 1);
	while (!comb_is_at_bottom(entry));
	return cursor;
}

/** The way back leads through another folder now, but the old place still stands. */
static void folder_moved_on_the_way_back(void **state)
{
	struct tree tree = tree_new_in_memory(), elsewhere = tree_new_in_memory();
	struct fsmeta_cursor *cursor;
	struct seen seen = {0};

	(void)state;
	make_comb(&tree, COMB_DEPTH);
	cursor = scan_to_bottom(&tree);
	rename_comb_folder(&tree, 100, elsewhere.fd, "taken");
	assert_int_equal(seen_rest(&seen, cursor), 0);
	assert_int_equal(seen.count, 3 * COMB_DEPTH);
	for (size_t i = 0; i < seen.count; i++)
		assert_int_equal(seen.entries[i].flags, 0);
	assert_int_equal(cursor->source->totals.entries, 1 + 4 * COMB_DEPTH);
	fsmeta_cursor_close(cursor);
	seen_release(&seen);
	tree_free(&tree);
	tree_free(&elsewhere);
}

/** Neither the way back nor the way down leads to levels 50 to 98 any more. */
static void folders_lost_on_the_way_back(void **state)
{
	enum {
		UPPER = 50,
		LOWER = 100
	};
	struct tree tree = tree_new_in_memory(), elsewhere = tree_new_in_memory();
	struct fsmeta_cursor *cursor;
	struct seen seen = {0};
	unsigned lost = 0, descriptors = open_descriptors();

	(void)state;
	make_comb(&tree, COMB_DEPTH);
	cursor = scan_to_bottom(&tree);
	rename_comb_folder(&tree, LOWER, elsewhere.fd, "lower");
	rename_comb_folder(&tree, UPPER, elsewhere.fd, "upper");
	assert_int_equal(seen_rest(&seen, cursor), 0);
	for (size_t i = 0; i < seen.count; i++) {
		const struct fsmeta_entry *entry = &seen.entries[i];
		/* z at depth d stands in level d - 1; levels UPPER to LOWER - 1 are lost. */
		bool is_lost =
		    !strcmp(entry->name, "z") && entry->depth > UPPER && entry->depth <= LOWER;

		/* Some may have been read before. */
		is_lost = is_lost && (test_threads == 1 || entry->flags);
		assert_int_equal(entry->flags, is_lost ? FSMETA_FLAG_UNREADABLE : 0);
		assert_int_equal(entry->error, is_lost ? ENOENT : 0);
		assert_true(entry->fields & FSMETA_FIELD_MTIME);
		lost += is_lost;
	}
	assert_true(test_threads == 1 ? lost == LOWER - UPPER : lost <= LOWER - UPPER);
	assert_int_equal(seen.count, 3 * COMB_DEPTH - lost);
	assert_int_equal(cursor->source->unreadable.total, lost);
	fsmeta_cursor_close(cursor);
	assert_int_equal(open_descriptors(), descriptors);
	seen_release(&seen);
	tree_free(&tree);
	tree_free(&elsewhere);
}

/** Names that were not read before the folder was lost keep their type, no more. */
static void unread_names_of_a_lost_folder(void **state)
{
	enum {
		UPPER = 50,
		LOWER = 51,
		FILES = 400
	};
	struct tree tree = tree_new_in_memory(), elsewhere = tree_new_in_memory();
	struct fsmeta_cursor *cursor;
	struct seen seen = {0};
	unsigned unread = 0;
	char path[2 * COMB_DEPTH + 32] = "a";
	int fd;

	(void)state;
	make_comb(&tree, COMB_DEPTH);
	for (unsigned i = 1; i < UPPER; i++)
		strcat(path, "/a");
	fd = openat(tree.fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (unsigned i = 0; i < FILES; i++) {
		char name[16];

		sprintf(name, "n%03u", i);
		close(openat(fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	}
	close(fd);
	cursor = scan_to_bottom(&tree);
	rename_comb_folder(&tree, LOWER, elsewhere.fd, "lower");
	rename_comb_folder(&tree, UPPER, elsewhere.fd, "upper");
	assert_int_equal(seen_rest(&seen, cursor), 0);
	for (size_t i = 0; i < seen.count; i++) {
		const struct fsmeta_entry *entry = &seen.entries[i];

		if (entry->fields)
			continue;
		unread++;
		assert_int_equal(entry->depth, UPPER + 1);
		assert_int_equal(entry->flags, FSMETA_FLAG_UNREADABLE);
		assert_int_equal(entry->error, ENOENT);
		assert_int_equal(
		    entry->type, entry->name[0] == 'z' ? FSMETA_TYPE_FOLDER : FSMETA_TYPE_FILE);
	}
	/* a, m and FILES names and z; the first 256 were read, or all ahead. */
	if (test_threads == 1 || unread > 0)
		assert_int_equal(unread, FILES + 3 - 256);
	fsmeta_cursor_close(cursor);
	seen_release(&seen);
	tree_free(&tree);
	tree_free(&elsewhere);
}

static void skipping_from_the_bottom(void **state)
{
	struct tree tree = tree_new_in_memory();
	struct fsmeta_cursor *cursor;
	const struct fsmeta_entry *entry;

	(void)state;
	make_comb(&tree, COMB_DEPTH);
	cursor = scan_to_bottom(&tree);
	assert_int_equal(fsmeta_cursor_skip(cursor, 12, NULL), 0);
	assert_int_equal(fsmeta_cursor_next(cursor, &entry, NULL), 1);
	assert_int_equal(entry->depth, 11);
	assert_int_equal(entry->name[0], 'm');
	assert_int_equal(fsmeta_cursor_next(cursor, &entry, NULL), 1);
	assert_int_equal(entry->name[0], 'z');
	assert_int_equal(entry->flags, 0);
	assert_int_equal(fsmeta_cursor_next(cursor, &entry, NULL), 1);
	assert_int_equal(entry->depth, 12);
	assert_string_equal(entry->name, "inside");
	fsmeta_cursor_close(cursor);
	tree_free(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(chain_beyond_path_max),
	    cmocka_unit_test(deeper_than_any_input_may_be),
	    cmocka_unit_test(comb_needs_a_bounded_number_of_descriptors),
	    cmocka_unit_test(comb_with_five_descriptors),
	    cmocka_unit_test(folder_moved_on_the_way_back),
	    cmocka_unit_test(folders_lost_on_the_way_back),
	    cmocka_unit_test(unread_names_of_a_lost_folder),
	    cmocka_unit_test(skipping_from_the_bottom),
	};

	return RUN_WITH_THREADS(tests);
}
