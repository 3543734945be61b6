/*
 * The move pass: against the naive one (tests/support/naive_diff.h) on random trees that
 * known operations made from each other; and whatever it says, applying it to the older
 * listing must give the newer one.
 */
#include "base/path.h"
#include "diff/diff.h"
#include "tests/support/naive_diff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void fail_with(const char *text)
{
	fail_msg("%s", text);
}

/* ---- chance ----------------------------------------------------------- */

struct chance {
	uint64_t state;
};

/** splitmix64 */
static unsigned below(struct chance *chance, unsigned limit)
{
	uint64_t value = chance->state += UINT64_C(0x9e3779b97f4a7c15);

	value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
	return (unsigned)((value ^ value >> 31) % limit);
}

/* ---- trees that change -------------------------------------------------- */

enum {
	NODES_MAX = 400,
	PATH_ROOM = 512,
};

/** An entry that knows where it is, not where it was. */
struct node {
	char path[PATH_ROOM];
	struct fsmeta_entry entry;
	bool gone;
};

struct world {
	struct node nodes[NODES_MAX];
	size_t count;
	uint64_t next_inode;
	/** Sizes and times are of so few that many are alike. */
	unsigned values;
};

static struct node *find_node(struct world *world, const char *path)
{
	for (size_t i = 0; i < world->count; i++)
		if (!world->nodes[i].gone && strcmp(world->nodes[i].path, path) == 0)
			return &world->nodes[i];
	return NULL;
}

static bool is_at_or_below(const char *path, const char *folder)
{
	size_t length = strlen(folder);

	return strncmp(path, folder, length) == 0 && (path[length] == '/' || !path[length]);
}

static struct node *add_node(
    struct world *world, struct chance *chance, const char *path, enum fsmeta_type type)
{
	struct node *node;

	if (world->count == NODES_MAX || find_node(world, path))
		return NULL;
	node = &world->nodes[world->count++];
	*node = (struct node){0};
	snprintf(node->path, sizeof(node->path), "%s", path);
	node->entry = (struct fsmeta_entry){
	    .type = type,
	    .fields = fsmeta_fields_of_type(type) & ~(uint32_t)FSMETA_FIELD_HASH,
	    .size = below(chance, world->values),
	    .mtime = {.seconds = below(chance, world->values)},
	    .ctime = {.seconds = below(chance, 1000)},
	    .mode = 0644,
	    .inode = world->next_inode++,
	    .id = world->count,
	    .nlink = 1,
	};
	node->entry.btime.seconds = (int64_t)node->entry.inode;
	if (type == FSMETA_TYPE_FILE && below(chance, 2)) {
		node->entry.fields |= FSMETA_FIELD_HASH;
		node->entry.hash_algorithm = FSMETA_HASH_XXH3;
		node->entry.hash[0] = (unsigned char)below(chance, 3);
	}
	return node;
}

/** A random living node; never the root. */
static struct node *any_node(struct world *world, struct chance *chance)
{
	for (int tries = 0; tries < 20; tries++) {
		struct node *node = &world->nodes[below(chance, (unsigned)world->count)];

		if (!node->gone && node->path[0])
			return node;
	}
	return NULL;
}

static struct node *any_folder(struct world *world, struct chance *chance)
{
	for (int tries = 0; tries < 20; tries++) {
		struct node *node = &world->nodes[below(chance, (unsigned)world->count)];

		if (!node->gone && node->entry.type == FSMETA_TYPE_FOLDER)
			return node;
	}
	return &world->nodes[0];
}

static bool make_place(char out[PATH_ROOM], struct world *world, struct chance *chance)
{
	static const char *const names[] = {"a", "b", "c", "a!b", "d", "e", "\xff", "f", "g", "h"};
	const struct node *folder = any_folder(world, chance);
	const char *name = names[below(chance, 10)];
	int length =
	    snprintf(out, PATH_ROOM, "%s%s%s", folder->path, folder->path[0] ? "/" : "", name);

	return length < PATH_ROOM / 2 && !find_node(world, out);
}

static void move_node(struct world *world, struct node *node, const char *to)
{
	char from[PATH_ROOM];
	size_t length = strlen(node->path);

	if (is_at_or_below(to, node->path))
		return;
	memcpy(from, node->path, length + 1);
	for (size_t i = 0; i < world->count; i++) {
		struct node *each = &world->nodes[i];
		char rest[PATH_ROOM];

		if (each->gone || !is_at_or_below(each->path, from))
			continue;
		memcpy(rest, each->path + length, strlen(each->path + length) + 1);
		if (strlen(to) + strlen(rest) >= PATH_ROOM)
			abort();
		snprintf(each->path, sizeof(each->path), "%s", to);
		strcat(each->path, rest);
	}
	node->entry.ctime.seconds++;
}

static void remove_node(struct world *world, const struct node *node)
{
	char path[PATH_ROOM];

	memcpy(path, node->path, sizeof(path));
	for (size_t i = 0; i < world->count; i++)
		if (is_at_or_below(world->nodes[i].path, path))
			world->nodes[i].gone = true;
}

static void link_node(
    struct world *world, struct chance *chance, const struct node *node, const char *path)
{
	struct node *link = add_node(world, chance, path, node->entry.type);
	uint64_t links = node->entry.nlink + 1;

	if (!link)
		return;
	link->entry = node->entry;
	link->entry.id = world->count;
	for (size_t i = 0; i < world->count; i++)
		if (world->nodes[i].entry.inode == node->entry.inode)
			world->nodes[i].entry.nlink = links;
}

static void grow(struct world *world, struct chance *chance, unsigned tries)
{
	char path[PATH_ROOM];

	while (tries--)
		if (make_place(path, world, chance))
			add_node(world, chance, path,
			    below(chance, 3)
				? FSMETA_TYPE_FILE
				: (below(chance, 6) ? FSMETA_TYPE_FOLDER : FSMETA_TYPE_SYMLINK));
}

static void mutate(struct world *world, struct chance *chance)
{
	struct node *node = any_node(world, chance);
	char path[PATH_ROOM];
	unsigned what = below(chance, 12);

	if (!node)
		return;
	if (what < 6) {
		if (make_place(path, world, chance))
			move_node(world, node, path);
	} else if (what < 7) {
		remove_node(world, node);
	} else if (what < 9) {
		grow(world, chance, 1);
	} else if (what < 11) {
		node->entry.mtime.seconds = 5000 + below(chance, 5);
		node->entry.mode = below(chance, 2) ? 0600 : 0644;
	} else if (node->entry.type == FSMETA_TYPE_FILE && make_place(path, world, chance)) {
		link_node(world, chance, node, path);
	}
}

static int by_path(const void *a, const void *b)
{
	const struct node *x = *(const struct node *const *)a;
	const struct node *y = *(const struct node *const *)b;

	return fsmeta_path_compare(x->path, strlen(x->path), y->path, strlen(y->path));
}

static void take_listing(struct naive_tree *tree, struct world *world, uint32_t mask)
{
	struct node *living[NODES_MAX];
	size_t count = 0;
	uint32_t index;

	naive_tree_init(tree);
	tree->source.field_mask = mask;
	assert_int_equal(
	    fsmeta_batch_source_add_filesystem(&tree->source, "u-0", "ext4", "", &index), 0);
	for (size_t i = 0; i < world->count; i++)
		if (!world->nodes[i].gone)
			living[count++] = &world->nodes[i];
	qsort(living, count, sizeof(living[0]), by_path);
	for (size_t i = 0; i < count; i++) {
		struct fsmeta_entry entry = living[i]->entry;

		entry.path = living[i]->path;
		entry.path_length = strlen(living[i]->path);
		entry.fields &= mask;
		if (entry.fields & FSMETA_FIELD_TARGET) {
			entry.target = "to";
			entry.target_length = 2;
		}
		if (!(entry.fields & FSMETA_FIELD_DEVICE))
			entry.device = FSMETA_DEVICE_NONE;
		naive_tree_add(tree, &entry);
	}
}

/* ---- running and applying -------------------------------------------------- */

static struct naive_changes run(struct naive_tree *a, struct naive_tree *b,
    const struct fsmeta_diff_options *options, struct fsmeta_diff_counts *counts)
{
	struct fsmeta_error error = {0};
	struct fsmeta_cursor *cursors[2];
	struct fsmeta_diff *diff;
	struct naive_changes items;

	assert_int_equal(
	    fsmeta_cursor_from_array(&cursors[0], a->entries, a->count, &a->source, &error), 0);
	assert_int_equal(
	    fsmeta_cursor_from_array(&cursors[1], b->entries, b->count, &b->source, &error), 0);
	assert_int_equal(fsmeta_diff_run(&diff, cursors[0], cursors[1], options, &error), 0);
	naive_changes_init(&items);
	assert_int_equal(fsmeta_diff_replay(diff, &items.sink, &error), 0);
	*counts = *fsmeta_diff_get_counts(diff);
	fsmeta_diff_free(diff);
	fsmeta_cursor_close(cursors[0]);
	fsmeta_cursor_close(cursors[1]);
	return items;
}

/** Where `entry` of the older listing is, as the changes have it; false where it is gone. */
static bool find_new_place(
    char out[PATH_ROOM], const struct fsmeta_entry *entry, const struct naive_changes *items)
{
	const struct naive_change *best = NULL;
	size_t rest;

	for (size_t i = 0; i < items->count; i++) {
		const struct naive_change *item = &items->items[i];

		if (item->kind == FSMETA_CHANGE_REMOVED &&
		    item->before.path_length == entry->path_length &&
		    memcmp(item->before.path, entry->path, entry->path_length) == 0)
			return false;
		if (item->kind == FSMETA_CHANGE_MOVED &&
		    fsmeta_path_is_within(entry->path, entry->path_length, item->before.path,
			item->before.path_length) &&
		    (!best || item->before.path_length > best->before.path_length))
			best = item;
	}
	rest = best ? best->before.path_length : 0;
	snprintf(out, PATH_ROOM, "%.*s%.*s", best ? (int)best->after.path_length : 0,
	    best ? best->after.path : "", (int)(entry->path_length - rest), entry->path + rest);
	return true;
}

/** What the changes say of the entry that is now at `path`, NULL where nothing. */
static const struct naive_change *find_news(const struct naive_changes *items, const char *path)
{
	for (size_t i = 0; i < items->count; i++) {
		const struct naive_change *item = &items->items[i];

		if (item->has_after && item->after.path_length == strlen(path) &&
		    memcmp(item->after.path, path, strlen(path)) == 0)
			return item;
	}
	return NULL;
}

static void assert_applies(const struct naive_tree *a, const struct naive_tree *b,
    const struct naive_changes *items, const struct fsmeta_diff_options *options)
{
	size_t met = 0;

	for (size_t i = 0; i < a->count; i++) {
		const struct naive_change *news;
		const struct fsmeta_entry *there;
		char path[PATH_ROOM];
		uint32_t mask;

		if (!find_new_place(path, &a->entries[i], items))
			continue;
		there = naive_tree_find(b, path, strlen(path));
		assert_non_null(there);
		assert_int_equal(there->type, a->entries[i].type);
		met++;
		news = find_news(items, path);
		mask = options->notion == FSMETA_DIFF_STORED ? FSMETA_FIELDS_KNOWN
		       : there->type == FSMETA_TYPE_FOLDER   ? FSMETA_FIELDS_REPORTED_FOLDER
							     : FSMETA_FIELDS_REPORTED_FILE;
		if (options->notion == FSMETA_DIFF_REPORTED &&
		    !(a->entries[i].fields & there->fields & FSMETA_FIELD_HASH))
			mask &= ~(uint32_t)FSMETA_FIELD_HASH;
		/* What is said to differ does, and nothing else. */
		assert_int_equal(fsmeta_entry_differences(
				     &a->entries[i], there, mask & b->source.field_mask, NULL, 0),
		    news && news->kind != FSMETA_CHANGE_ADDED ? news->fields : 0);
	}
	for (size_t i = 0; i < items->count; i++)
		met += items->items[i].kind == FSMETA_CHANGE_ADDED;
	assert_int_equal(met, b->count);
}

static void assert_order(const struct naive_changes *items)
{
	for (size_t i = 1; i < items->count; i++) {
		const struct fsmeta_entry *x = naive_change_entry(&items->items[i - 1]);
		const struct fsmeta_entry *y = naive_change_entry(&items->items[i]);
		int order = fsmeta_path_compare(x->path, x->path_length, y->path, y->path_length);

		assert_true(order <= 0);
		if (!order && items->items[i].kind < FSMETA_CHANGE_UNREADABLE)
			assert_int_equal(items->items[i - 1].kind, FSMETA_CHANGE_REMOVED);
	}
}

static void assert_counts(
    const struct fsmeta_diff_counts *counts, const struct naive_changes *items)
{
	uint64_t kinds[8] = {0};

	for (size_t i = 0; i < items->count; i++)
		kinds[items->items[i].kind]++;
	assert_memory_equal(kinds, counts->kinds, sizeof(kinds));
}

/* ---- random ------------------------------------------------------------------ */

static void check_seed(uint64_t seed, uint64_t *moved)
{
	static struct world world;
	static const uint32_t masks[] = {FSMETA_FIELDS_KNOWN, FSMETA_FIELDS_CORE,
	    FSMETA_FIELDS_CORE | FSMETA_FIELD_HASH, FSMETA_FIELDS_ALL};
	struct chance chance = {.state = seed};
	struct fsmeta_diff_options options = {
	    .notion = seed % 2 ? FSMETA_DIFF_STORED : FSMETA_DIFF_REPORTED,
	    .moves = FSMETA_DIFF_MOVES_BY_EVIDENCE,
	    .spool_bytes = seed % 5 ? 0 : 200};
	bool by_id = seed % 3 == 0;
	uint32_t mask = masks[seed / 2 % 4];
	struct fsmeta_diff_counts counts;
	struct naive_changes got, wanted;
	struct naive_tree a, b;

	world = (struct world){.next_inode = 10, .values = 1 + below(&chance, 300)};
	add_node(&world, &chance, "", FSMETA_TYPE_FOLDER);
	grow(&world, &chance, 5 + below(&chance, 150));
	take_listing(&a, &world, mask);
	for (unsigned i = below(&chance, 12); i-- > 0;)
		mutate(&world, &chance);
	take_listing(&b, &world, mask);

	if (by_id) {
		options.moves = FSMETA_DIFF_MOVES_BY_ID;
		a.source.id_kind = b.source.id_kind = FSMETA_IDS_STABLE;
	}
	got = run(&a, &b, &options, &counts);
	naive_changes_init(&wanted);
	naive_diff(&wanted, &a, &b, &options);
	naive_changes_expect_equal(&got, &wanted);
	assert_order(&got);
	assert_counts(&counts, &got);
	assert_applies(&a, &b, &got, &options);
	*moved += counts.kinds[FSMETA_CHANGE_MOVED];
	naive_changes_release(&got);
	naive_changes_release(&wanted);
	naive_tree_release(&a);
	naive_tree_release(&b);
}

static void random_trees_move_as_the_naive_ones(void **state)
{
	const char *text = getenv("FSMETA_TEST_SEEDS");
	uint64_t seeds = text ? strtoull(text, NULL, 10) : 1000;
	uint64_t moved = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= seeds; seed++) {
		expect_context("seed %llu", (unsigned long long)seed);
		check_seed(seed, &moved);
	}
	assert_true(moved > seeds);
}

/* ---- by hand -------------------------------------------------------------------- */

/** Trees side by side: the older, the newer, and what differs between them. */
struct case_of {
	struct naive_tree trees[2];
	struct naive_changes items;
	struct fsmeta_diff_counts counts;
};

static void begin_case(struct case_of *one)
{
	uint32_t index;

	memset(one, 0, sizeof(*one));
	for (int side = 0; side < 2; side++) {
		naive_tree_init(&one->trees[side]);
		assert_int_equal(fsmeta_batch_source_add_filesystem(
				     &one->trees[side].source, "u-0", "ext4", "", &index),
		    0);
	}
}

/** Entries with one inode are one and the same; 0 = none is known. */
static struct fsmeta_entry *put(
    struct case_of *one, int side, const char *path, char type, uint64_t inode, uint64_t size)
{
	struct fsmeta_entry entry = {
	    .path = path,
	    .path_length = strlen(path),
	    .type = type == 'd' ? FSMETA_TYPE_FOLDER : FSMETA_TYPE_FILE,
	    .size = size,
	    .mtime.seconds = (int64_t)(1000 * size),
	    .btime.seconds = (int64_t)inode,
	    .nlink = 1,
	    .inode = inode,
	};

	entry.fields = fsmeta_fields_of_type(entry.type) & ~(uint32_t)FSMETA_FIELD_HASH;
	if (!inode)
		entry.fields &= ~(uint32_t)(FSMETA_FIELD_INODE | FSMETA_FIELD_BTIME);
	return naive_tree_add(&one->trees[side], &entry);
}

static void run_case(struct case_of *one, enum fsmeta_diff_notion notion)
{
	const struct fsmeta_diff_options options = {
	    .notion = notion, .moves = FSMETA_DIFF_MOVES_BY_EVIDENCE};

	one->items = run(&one->trees[0], &one->trees[1], &options, &one->counts);
	assert_counts(&one->counts, &one->items);
	assert_order(&one->items);
}

static void expect_item(const struct case_of *one, size_t at, enum fsmeta_change_kind kind,
    const char *path, uint64_t entries, uint64_t bytes)
{
	const struct naive_change *item = &one->items.items[at];
	const struct fsmeta_entry *entry = naive_change_entry(item);

	assert_true(at < one->items.count);
	assert_int_equal(item->kind, kind);
	assert_int_equal(entry->path_length, strlen(path));
	assert_memory_equal(entry->path, path, entry->path_length);
	assert_int_equal(item->entries, entries);
	assert_int_equal(item->bytes, bytes);
}

static void end_case(struct case_of *one)
{
	naive_changes_release(&one->items);
	naive_tree_release(&one->trees[0]);
	naive_tree_release(&one->trees[1]);
}

static void what_changed_in_a_moved_folder_is_told_at_its_new_path(void **state)
{
	struct case_of one;

	(void)state;
	begin_case(&one);
	put(&one, 0, "", 'd', 1, 0);
	put(&one, 0, "old", 'd', 2, 0);
	put(&one, 0, "old/a", 'f', 3, 10);
	put(&one, 0, "old/b", 'f', 4, 20);
	put(&one, 0, "old/s", 'd', 5, 0);
	put(&one, 0, "old/s/c", 'f', 6, 30);
	put(&one, 1, "", 'd', 1, 0);
	put(&one, 1, "new", 'd', 2, 0);
	put(&one, 1, "new/a", 'f', 3, 11);
	put(&one, 1, "new/d", 'f', 7, 40);
	put(&one, 1, "new/s", 'd', 5, 0);
	put(&one, 1, "new/s/c", 'f', 6, 30);
	run_case(&one, FSMETA_DIFF_REPORTED);
	assert_int_equal(one.items.count, 4);
	expect_item(&one, 0, FSMETA_CHANGE_MOVED, "new", 3, 41);
	expect_item(&one, 1, FSMETA_CHANGE_MODIFIED, "new/a", 0, 0);
	expect_item(&one, 2, FSMETA_CHANGE_ADDED, "new/d", 0, 0);
	/* What is gone is named by where it was. */
	expect_item(&one, 3, FSMETA_CHANGE_REMOVED, "old/b", 0, 0);
	assert_int_equal(one.items.items[3].flags, 0);
	end_case(&one);
}

/** A sub-folder that could not be read is carried, wherever its folder went. */
static void what_a_moved_folder_hides_is_not_removed(void **state)
{
	(void)state;
	for (int notion = 0; notion < 2; notion++) {
		struct fsmeta_entry *entry;
		struct case_of one;

		begin_case(&one);
		put(&one, 0, "", 'd', 1, 0);
		put(&one, 0, "old", 'd', 2, 0);
		put(&one, 0, "old/s", 'd', 3, 0);
		put(&one, 0, "old/s/a", 'f', 4, 10);
		put(&one, 0, "old/s/t", 'd', 5, 0);
		put(&one, 0, "old/s/t/b", 'f', 6, 20);
		put(&one, 1, "", 'd', 1, 0);
		put(&one, 1, "new", 'd', 2, 0);
		entry = put(&one, 1, "new/s", 'd', 3, 0);
		entry->flags = FSMETA_FLAG_UNREADABLE;
		entry->error = 13;
		run_case(&one, notion ? FSMETA_DIFF_STORED : FSMETA_DIFF_REPORTED);
		assert_int_equal(one.counts.kinds[FSMETA_CHANGE_REMOVED], 0);
		assert_int_equal(one.items.count, 2 + (size_t)notion);
		expect_item(&one, 0, FSMETA_CHANGE_MOVED, "new", 1, 0);
		/* Stored, its flag is a version of its own. */
		if (notion)
			expect_item(&one, 1, FSMETA_CHANGE_MODIFIED, "new/s", 0, 0);
		expect_item(&one, 1 + (size_t)notion, FSMETA_CHANGE_UNREADABLE, "new/s", 3, 30);
		end_case(&one);
	}
}

static void ambiguous_ones_stay_what_they_are(void **state)
{
	struct case_of one;

	(void)state;
	begin_case(&one);
	put(&one, 0, "", 'd', 0, 0);
	put(&one, 0, "a", 'd', 0, 1);
	put(&one, 0, "a/x", 'f', 0, 10);
	put(&one, 0, "b", 'd', 0, 2);
	put(&one, 1, "", 'd', 0, 0);
	put(&one, 1, "a", 'd', 0, 1);
	put(&one, 1, "b", 'd', 0, 2);
	put(&one, 1, "b/x", 'f', 0, 10);
	put(&one, 1, "c", 'd', 0, 3);
	put(&one, 1, "c/x", 'f', 0, 10);
	run_case(&one, FSMETA_DIFF_REPORTED);
	assert_int_equal(one.counts.kinds[FSMETA_CHANGE_MOVED], 0);
	assert_int_equal(one.counts.kinds[FSMETA_CHANGE_REMOVED], 1);
	assert_int_equal(one.counts.kinds[FSMETA_CHANGE_ADDED], 3);
	end_case(&one);
}

/** One of two links got another name; the other shows that the file itself went nowhere. */
static void a_link_is_no_move(void **state)
{
	(void)state;
	for (int stays = 0; stays < 2; stays++) {
		struct case_of one;

		begin_case(&one);
		for (int side = 0; side < 2; side++) {
			put(&one, side, "", 'd', 1, 0);
			if (stays)
				put(&one, side, "a", 'f', 2, 10)->nlink = 2;
			put(&one, side, side ? "new" : "old", 'f', 2, 10)->nlink = 2;
		}
		run_case(&one, FSMETA_DIFF_REPORTED);
		/* Where the other link lies outside of the tree, nothing speaks against it. */
		assert_int_equal(one.counts.kinds[FSMETA_CHANGE_MOVED], !stays);
		end_case(&one);
	}
}

static void two_folders_exchange_their_parents(void **state)
{
	struct case_of one;

	(void)state;
	begin_case(&one);
	put(&one, 0, "", 'd', 1, 0);
	put(&one, 0, "a", 'd', 2, 0);
	put(&one, 0, "a/b", 'd', 3, 0);
	put(&one, 0, "a/b/x", 'f', 4, 10);
	put(&one, 1, "", 'd', 1, 0);
	put(&one, 1, "b", 'd', 3, 0);
	put(&one, 1, "b/a", 'd', 2, 0);
	put(&one, 1, "b/x", 'f', 4, 10);
	run_case(&one, FSMETA_DIFF_REPORTED);
	assert_int_equal(one.items.count, 2);
	expect_item(&one, 0, FSMETA_CHANGE_MOVED, "b", 1, 10);
	expect_item(&one, 1, FSMETA_CHANGE_MOVED, "b/a", 0, 0);
	end_case(&one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(random_trees_move_as_the_naive_ones),
	    cmocka_unit_test(what_changed_in_a_moved_folder_is_told_at_its_new_path),
	    cmocka_unit_test(what_a_moved_folder_hides_is_not_removed),
	    cmocka_unit_test(ambiguous_ones_stay_what_they_are),
	    cmocka_unit_test(a_link_is_no_move),
	    cmocka_unit_test(two_folders_exchange_their_parents),
	};

	expect_handler = fail_with;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
