/*
 * The largest places of a tree: random trees against sums and ranks told naively, deep and
 * wide ones, and changes that each belong to just one place.
 */
#include "base/path.h"
#include "tools/report_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
	ENTRIES_MAX = 8000,
	PATH_BYTES = 64,
	SEEDS = 30,
};

static char paths[ENTRIES_MAX][PATH_BYTES];
static struct fsmeta_entry entries[ENTRIES_MAX];
static size_t entry_count;

/** splitmix64 */
static uint64_t next_random(uint64_t *state)
{
	uint64_t value = *state += UINT64_C(0x9e3779b97f4a7c15);

	value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
	return value ^ value >> 31;
}

static struct fsmeta_entry *add(const char *folder, const char *name, enum fsmeta_type type)
{
	struct fsmeta_entry *entry = &entries[entry_count];
	char *path = paths[entry_count++];

	assert_true(entry_count <= ENTRIES_MAX);
	assert_true(
	    snprintf(path, PATH_BYTES, "%s%s%s", folder, *folder ? "/" : "", name) < PATH_BYTES);
	memset(entry, 0, sizeof(*entry));
	entry->path = path;
	entry->path_length = strlen(path);
	entry->depth = fsmeta_path_depth(path, entry->path_length);
	entry->name = path + fsmeta_path_name_offset(path, entry->path_length);
	entry->name_length = strlen(entry->name);
	entry->type = type;
	entry->fields = FSMETA_FIELD_SIZE;
	return entry;
}

/** Sizes of folders are never to count. */
static struct fsmeta_entry *add_folder(const char *folder, const char *name)
{
	struct fsmeta_entry *entry = add(folder, name, FSMETA_TYPE_FOLDER);

	entry->size = 4096;
	return entry;
}

static void grow(const char *folder, uint32_t depth, uint64_t *random)
{
	unsigned names = (unsigned)(next_random(random) % 9);

	for (unsigned i = 0; i < names && entry_count < ENTRIES_MAX - 1; i++) {
		char name[8];
		struct fsmeta_entry *entry;

		snprintf(name, sizeof(name), "%c%u", (char)('a' + i),
		    (unsigned)(next_random(random) % 3));
		if (depth < 6 && next_random(random) % 2) {
			entry = add_folder(folder, name);
			grow(entry->path, depth + 1, random);
			continue;
		}
		entry = add(
		    folder, name, next_random(random) % 8 ? FSMETA_TYPE_FILE : FSMETA_TYPE_SYMLINK);
		/* Few sizes, so that places often are of one size. */
		entry->size = next_random(random) % 4 * 1000;
		entry->unknown_since = next_random(random) % 5 == 0;
	}
}

static struct fsmeta_report_tree *read_tree(void)
{
	struct fsmeta_report_tree *tree;
	struct fsmeta_error error;

	assert_int_equal(fsmeta_report_tree_new(&tree, &error), 0);
	for (size_t i = 0; i < entry_count; i++)
		assert_int_equal(fsmeta_report_tree_entry(tree, &entries[i], &error), 0);
	assert_int_equal(fsmeta_report_tree_finish(tree, &error), 0);
	return tree;
}

static bool is_below(const struct fsmeta_entry *entry, const struct fsmeta_report_node *node)
{
	return fsmeta_path_is_within(
	    entry->path, entry->path_length, (const char *)node->path.data, node->path.length);
}

static void check_sums(const struct fsmeta_report_node *node)
{
	uint64_t bytes = 0, unknown = 0, count = 0;

	for (size_t i = 0; i < entry_count; i++) {
		if (!is_below(&entries[i], node))
			continue;
		count += entries[i].path_length > node->path.length;
		if (entries[i].type != FSMETA_TYPE_FILE)
			continue;
		bytes += entries[i].size;
		unknown += entries[i].unknown_since ? entries[i].size : 0;
	}
	assert_int_equal(node->bytes, bytes);
	assert_int_equal(node->unknown_bytes, unknown);
	assert_int_equal(node->entries, count);
}

/** In order, each behind the folder it is in, which is in the tree, with sums that are right. */
static void check_nodes(const struct fsmeta_report_node *nodes, size_t count)
{
	assert_int_equal(nodes[0].parent, FSMETA_REPORT_NODE_NONE);
	assert_int_equal(nodes[0].path.length, 0);
	for (size_t i = 0; i < count; i++) {
		const char *path = (const char *)nodes[i].path.data;
		size_t length = nodes[i].path.length;

		check_sums(&nodes[i]);
		if (!i)
			continue;
		assert_true(fsmeta_path_compare((const char *)nodes[i - 1].path.data,
				nodes[i - 1].path.length, path, length) < 0);
		assert_true(nodes[i].parent < i);
		assert_int_equal(nodes[nodes[i].parent].depth + 1, nodes[i].depth);
		assert_true(fsmeta_path_is_within(path, length,
		    (const char *)nodes[nodes[i].parent].path.data,
		    nodes[nodes[i].parent].path.length));
	}
}

static void random_trees(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		const struct fsmeta_report_node *nodes;
		struct fsmeta_report_tree *tree;
		uint64_t random = seed, unknown, unknown_bytes, expected = 0;
		size_t count;

		entry_count = 0;
		add_folder("", "");
		grow("", 0, &random);
		tree = read_tree();
		nodes = fsmeta_report_tree_nodes(tree, &count);
		check_nodes(nodes, count);
		for (size_t i = 0; i < entry_count; i++)
			expected += entries[i].unknown_since != 0;
		fsmeta_report_tree_unknown(tree, &unknown, &unknown_bytes);
		assert_int_equal(unknown, expected);
		assert_int_equal(unknown_bytes, nodes[0].unknown_bytes);
		fsmeta_report_tree_free(tree);
	}
}

/** Of more places than there is room for, the largest are kept, whatever their order. */
static void the_largest_are_kept(void **state)
{
	static const uint32_t strides[] = {1, 7, 1999};

	(void)state;
	for (size_t round = 0; round < 3; round++) {
		const struct fsmeta_report_node *nodes;
		struct fsmeta_report_tree *tree;
		uint64_t smallest = UINT64_MAX;
		size_t count;

		entry_count = 0;
		add_folder("", "");
		for (uint32_t i = 0; i < 2000; i++) {
			char name[8];

			snprintf(name, sizeof(name), "f%04u", i);
			/* 2,000 sizes that differ, none below a thousandth of all but by much. */
			add("", name, FSMETA_TYPE_FILE)->size =
			    1000 + (i < 900 ? 500000 : 0) + i * strides[round] % 2000;
		}
		tree = read_tree();
		nodes = fsmeta_report_tree_nodes(tree, &count);
		check_nodes(nodes, count);
		assert_int_equal(count, FSMETA_REPORT_NODES_MAX);
		for (size_t i = 1; i < count; i++)
			smallest = nodes[i].bytes < smallest ? nodes[i].bytes : smallest;
		for (size_t i = 1, larger = 0; i < entry_count; i++) {
			larger += entries[i].size > smallest;
			assert_true(larger < FSMETA_REPORT_NODES_MAX);
		}
		fsmeta_report_tree_free(tree);
	}
}

/** Sums of sizes that a stranger's file makes up do not begin at 0 again. */
static void sums_stay_at_the_greatest_number(void **state)
{
	const struct fsmeta_report_node *nodes;
	struct fsmeta_report_tree *tree;
	struct fsmeta_change change = {.kind = FSMETA_CHANGE_ADDED};
	size_t count;

	(void)state;
	entry_count = 0;
	add_folder("", "");
	add_folder("", "a");
	for (char name[] = "x"; *name <= 'z'; ++*name)
		add("a", name, FSMETA_TYPE_FILE)->size = UINT64_MAX - 1;
	add("", "b", FSMETA_TYPE_FILE)->size = 3;
	tree = read_tree();
	nodes = fsmeta_report_tree_nodes(tree, &count);
	assert_int_equal(count, 5); /* root, a, a/x, a/y, a/z */
	for (size_t i = 0; i < count; i++)
		assert_int_equal(nodes[i].bytes, i < 2 ? UINT64_MAX : UINT64_MAX - 1);
	change.after = &entries[entry_count - 1];
	entries[entry_count - 1].size = UINT64_MAX;
	fsmeta_report_tree_change(tree, &change);
	fsmeta_report_tree_change(tree, &change);
	assert_int_equal(nodes[0].changed_bytes[FSMETA_CHANGE_ADDED], UINT64_MAX);
	fsmeta_report_tree_free(tree);
}

static struct fsmeta_change change_of(
    enum fsmeta_change_kind kind, const struct fsmeta_entry *entry)
{
	return (struct fsmeta_change){.kind = kind,
	    .before = kind == FSMETA_CHANGE_REMOVED ? entry : NULL,
	    .after = kind == FSMETA_CHANGE_REMOVED ? NULL : entry};
}

/** A change belongs to the deepest place that holds it, also where it is of something gone. */
static void changes_find_their_place(void **state)
{
	const struct fsmeta_report_node *nodes;
	struct fsmeta_report_tree *tree;
	struct fsmeta_entry *gone[3];
	struct fsmeta_change change;
	size_t count;

	(void)state;
	entry_count = 0;
	add_folder("", "");
	add_folder("", "a");
	add("a", "large", FSMETA_TYPE_FILE)->size = 1000000;
	add("a", "small", FSMETA_TYPE_FILE)->size = 1;
	add_folder("", "b");
	add("b", "large", FSMETA_TYPE_FILE)->size = 500000;
	tree = read_tree();
	nodes = fsmeta_report_tree_nodes(tree, &count);
	assert_int_equal(count, 5); /* root, a, a/large, b, b/large */
	gone[0] = add("a/was", "here", FSMETA_TYPE_FILE);
	gone[1] = add("a!", "x", FSMETA_TYPE_FILE);
	gone[2] = add("c", "x", FSMETA_TYPE_FILE);
	for (int i = 0; i < 3; i++)
		gone[i]->size = 10;

	change = change_of(FSMETA_CHANGE_MODIFIED, &entries[2]);
	fsmeta_report_tree_change(tree, &change);
	change = change_of(FSMETA_CHANGE_ADDED, &entries[3]);
	fsmeta_report_tree_change(tree, &change);
	for (int i = 0; i < 2; i++) {
		change = change_of(FSMETA_CHANGE_REMOVED, gone[i]);
		fsmeta_report_tree_change(tree, &change);
	}
	change = change_of(FSMETA_CHANGE_MOVED, &entries[4]);
	change.entries = 1;
	change.bytes = 500000;
	fsmeta_report_tree_change(tree, &change);
	change = change_of(FSMETA_CHANGE_REMOVED, gone[2]);
	fsmeta_report_tree_change(tree, &change);

	assert_int_equal(nodes[2].changed_bytes[FSMETA_CHANGE_MODIFIED], 1000000);
	assert_int_equal(nodes[1].changed_bytes[FSMETA_CHANGE_ADDED], 1);
	assert_int_equal(nodes[1].changes[FSMETA_CHANGE_REMOVED], 1);
	assert_int_equal(nodes[0].changes[FSMETA_CHANGE_REMOVED], 2);
	assert_int_equal(nodes[0].changed_bytes[FSMETA_CHANGE_REMOVED], 20);
	assert_int_equal(nodes[3].changes[FSMETA_CHANGE_MOVED], 2);
	assert_int_equal(nodes[3].changed_bytes[FSMETA_CHANGE_MOVED], 500000);
	assert_int_equal(nodes[3].whole, FSMETA_CHANGE_MOVED);
	assert_int_equal(nodes[1].whole, 0);
	fsmeta_report_tree_free(tree);
}

static void nothing_at_all(void **state)
{
	const struct fsmeta_entry file = {.path = "a", .path_length = 1, .depth = 1};
	struct fsmeta_report_tree *tree;
	struct fsmeta_error error;
	size_t count;

	(void)state;
	entry_count = 0;
	tree = read_tree();
	fsmeta_report_tree_nodes(tree, &count);
	assert_int_equal(count, 0);
	fsmeta_report_tree_free(tree);
	fsmeta_report_tree_free(NULL);

	assert_int_equal(fsmeta_report_tree_new(&tree, &error), 0);
	assert_int_equal(fsmeta_report_tree_entry(tree, &file, &error), FSMETA_E_INTERNAL);
	fsmeta_report_tree_free(tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(random_trees),
	    cmocka_unit_test(the_largest_are_kept),
	    cmocka_unit_test(sums_stay_at_the_greatest_number),
	    cmocka_unit_test(changes_find_their_place),
	    cmocka_unit_test(nothing_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
