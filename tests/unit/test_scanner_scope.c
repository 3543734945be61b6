/*
 * Sub-trees and excludes in the walk, also where listings do not tell types.
 */
#include "test_scanner_tree.h"

#include <sys/syscall.h>

/* ---- listings that tell no types, or wrong ones ---------------------------- */

/** What getdents64 tells instead of each type; -1 = the truth. */
static int told_type = -1;

long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);

/** As getdents64(2) writes it. */
struct told_entry {
	uint64_t d_ino;
	int64_t d_off;
	uint16_t d_reclen;
	uint8_t d_type;
};

long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	long got = __real_syscall(number, a, b, c, d, e, f);

	for (long at = 0; number == SYS_getdents64 && told_type >= 0 && at < got;) {
		struct told_entry *entry = (void *)((char *)b + at);

		entry->d_type = (uint8_t)told_type;
		at += entry->d_reclen;
	}
	return got;
}

/* ---- the walk -------------------------------------------------------------- */

/** Scans in this scope (NULL-terminated lists) and expects these paths (likewise). */
static void expect_scope(const struct tree *tree, const char *const *subtrees,
    const char *const *excludes, const char *const *paths)
{
	struct fsmeta_scan_options options = {.subtrees = subtrees, .excludes = excludes};
	struct fsmeta_cursor *cursor;
	size_t i;

	while (subtrees && subtrees[options.subtree_count])
		options.subtree_count++;
	while (excludes && excludes[options.exclude_count])
		options.exclude_count++;
	cursor = open_scan(tree->path, &options);
	assert_int_equal(cursor->source->subtrees.count, options.subtree_count);
	assert_int_equal(cursor->source->excludes.count, options.exclude_count);
	for (i = 0; i < options.subtree_count; i++)
		assert_string_equal(cursor->source->subtrees.items[i], subtrees[i]);
	for (i = 0; i < options.exclude_count; i++)
		assert_string_equal(cursor->source->excludes.items[i], excludes[i]);
	for (i = 0; paths[i]; i++)
		expect_next(cursor, paths[i]);
	expect_end(cursor);
	assert_int_equal(cursor->source->totals.entries, i);
	assert_int_equal(cursor->source->unreadable.total, 0);
	fsmeta_cursor_close(cursor);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct tree make_sample(void)
{
	struct tree tree = tree_new();

	make_folder(&tree, "a");
	make_folder(&tree, "a/b");
	make_file(&tree, "a/b/c", "");
	make_folder(&tree, "a/b/tmp");
	make_file(&tree, "a/b/tmp/x", "");
	make_file(&tree, "a/tmp", "");
	make_folder(&tree, "a!b");
	make_file(&tree, "a!b/y", "");
	make_link(&tree, "link", "a");
	make_file(&tree, "z", "");
	return tree;
}

static void subtrees_and_the_way_to_them(void **state)
{
	struct tree tree = make_sample();

	(void)state;
	expect_scope(
	    &tree, LIST("a/b"), NULL, LIST("", "a", "a/b", "a/b/c", "a/b/tmp", "a/b/tmp/x"));
	expect_scope(&tree, LIST("z", "a/tmp", "a/b/tmp/x"), NULL,
	    LIST("", "a", "a/b", "a/b/tmp", "a/b/tmp/x", "a/tmp", "z"));
	/* One inside another, and twice. */
	expect_scope(&tree, LIST("a/b", "a", "a", "a/b/c"), NULL,
	    LIST("", "a", "a/b", "a/b/c", "a/b/tmp", "a/b/tmp/x", "a/tmp"));
	/* A neighbour in byte order is another. */
	expect_scope(&tree, LIST("a!b"), NULL, LIST("", "a!b", "a!b/y"));
	expect_scope(&tree, LIST("a!"), NULL, LIST(""));
	/* Missing; below a file; through a link. */
	expect_scope(&tree, LIST("a/no/such"), NULL, LIST("", "a"));
	expect_scope(&tree, LIST("z/below"), NULL, LIST("", "z"));
	expect_scope(&tree, LIST("link/b"), NULL, LIST("", "link"));
	tree_free(&tree);
}

static void excluded_folders_are_not_entered(void **state)
{
	struct tree tree = make_sample();

	(void)state;
	for (int type = -1; type <= DT_UNKNOWN; type++) {
		told_type = type;
		expect_scope(&tree, NULL, LIST("tmp"),
		    LIST("", "a", "a/b", "a/b/c", "a!b", "a!b/y", "link", "z"));
		expect_scope(&tree, NULL, LIST("tmp/"),
		    LIST("", "a", "a/b", "a/b/c", "a/tmp", "a!b", "a!b/y", "link", "z"));
		/* Below an excluded folder nothing is taken back. */
		expect_scope(&tree, NULL, LIST("b/", "!c"),
		    LIST("", "a", "a/tmp", "a!b", "a!b/y", "link", "z"));
		expect_scope(&tree, NULL, LIST("*", "!*/", "!c"),
		    LIST("", "a", "a/b", "a/b/c", "a/b/tmp", "a!b"));
		expect_scope(
		    &tree, LIST("a"), LIST("/a/b/*", "!c"), LIST("", "a", "a/b", "a/b/c", "a/tmp"));
	}
	told_type = -1;
	tree_free(&tree);
}

/** Every folder was a file a moment ago, as far as the listing can tell. */
static void types_that_change_under_the_scan(void **state)
{
	struct tree tree = make_sample();

	(void)state;
	told_type = DT_REG;
	expect_scope(
	    &tree, NULL, LIST("tmp/", "a!b/"), LIST("", "a", "a/b", "a/b/c", "a/tmp", "link", "z"));
	told_type = -1;
	tree_free(&tree);
}

static void what_makes_no_scope(void **state)
{
	static const char *const wrong[] = {
	    "", ".", "..", "/a", "a/", "a//b", "./a", "a/..", "../a", "a/./b"};
	struct tree tree = make_sample();
	const char *subtree, *exclude;
	struct fsmeta_scan_options options = {.subtrees = &subtree, .subtree_count = 1};
	struct fsmeta_cursor *cursor;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		subtree = wrong[i];
		assert_int_equal(fsmeta_scan_open(&cursor, tree.path, with_threads(&options), NULL),
		    FSMETA_E_USAGE);
		assert_null(cursor);
	}
	options.excludes = &exclude;
	options.exclude_count = 1;
	subtree = "a/b/tmp";
	for (size_t i = 0; i < 4; i++) {
		exclude = LIST("a", "b/", "tmp", "/a/b/*")[i];
		assert_int_equal(fsmeta_scan_open(&cursor, tree.path, with_threads(&options), NULL),
		    FSMETA_E_USAGE);
	}
	tree_free(&tree);
}

/** More names than a chunk, of which few are left; nothing is lost at its borders. */
static void large_folders(void **state)
{
	const char *const excludes[] = {"*[1-9]"};
	const struct fsmeta_scan_options options = {.excludes = excludes, .exclude_count = 1};
	struct tree tree = tree_new_in_memory();
	struct seen seen;
	char name[32];

	(void)state;
	for (int i = 0; i < 6000; i++) {
		snprintf(name, sizeof(name), "%05d", i);
		if (i % 3)
			make_file(&tree, name, "");
		else
			make_folder(&tree, name);
	}
	for (told_type = -1; told_type <= DT_UNKNOWN; told_type++) {
		seen = scan_all(tree.path, &options);
		assert_int_equal(seen.count, 601);
		for (size_t i = 1; i < seen.count; i++) {
			snprintf(name, sizeof(name), "%05zu", (i - 1) * 10);
			assert_string_equal(seen.entries[i].path, name);
		}
		seen_release(&seen);
	}
	told_type = -1;
	tree_free(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(subtrees_and_the_way_to_them),
	    cmocka_unit_test(excluded_folders_are_not_entered),
	    cmocka_unit_test(types_that_change_under_the_scan),
	    cmocka_unit_test(what_makes_no_scope),
	    cmocka_unit_test(large_folders),
	};

	return RUN_WITH_THREADS(tests);
}
