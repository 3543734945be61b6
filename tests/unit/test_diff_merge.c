/*
 * The merge against the naive diff of two sorted arrays (tests/support/naive_diff.h),
 * on seeded random pairs of trees, and by hand where a case deserves to be read.
 */
#include "base/path.h"
#include "diff/diff.h"
#include "format/stream.h"
#include "tests/support/naive_diff.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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
static uint64_t next_random(struct chance *chance)
{
	uint64_t value = chance->state += UINT64_C(0x9e3779b97f4a7c15);

	value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
	return value ^ value >> 31;
}

static unsigned below(struct chance *chance, unsigned limit)
{
	return (unsigned)(next_random(chance) % limit);
}

static bool one_in(struct chance *chance, unsigned limit)
{
	return below(chance, limit) == 0;
}

/* ---- trees ------------------------------------------------------------ */

/** A tree on the one file system that all trees made by hand are on. */
static void tree_init_by_hand(struct naive_tree *tree)
{
	uint32_t index;

	naive_tree_init(tree);
	assert_int_equal(
	    fsmeta_batch_source_add_filesystem(&tree->source, "u-0", "ext4", "", &index), 0);
}

/** A file whose every field is known; `value` makes it differ from others. */
static struct fsmeta_entry make_entry(const char *path, enum fsmeta_type type, unsigned value)
{
	struct fsmeta_entry entry = {
	    .path = path,
	    .path_length = strlen(path),
	    .type = type,
	    .fields = fsmeta_fields_of_type(type),
	    .size = value,
	    .mtime = {.seconds = value, .nanoseconds = 1},
	    .mode = 0644,
	};

	if (type == FSMETA_TYPE_SYMLINK) {
		entry.target = "target";
		entry.target_length = 6;
	}
	if (type == FSMETA_TYPE_FILE)
		entry.hash_algorithm = FSMETA_HASH_XXH3;
	return entry;
}

static void add(struct naive_tree *tree, const char *path, enum fsmeta_type type, unsigned value)
{
	struct fsmeta_entry entry = make_entry(path, type, value);

	naive_tree_add(tree, &entry);
}

static struct fsmeta_entry *last(struct naive_tree *tree)
{
	return &tree->entries[tree->count - 1];
}

/* ---- random trees ----------------------------------------------------- */

/** In byte order; few, so that two trees meet in many; one of 255 bytes is added below. */
static const char *const names[] = {"\001", "\n", " ", "\"", "-", "a", "a!b", "a.mp4", "a0", "b",
    "\x7f", "\xc3\xa9", "\xff\xfe", NULL};

enum {
	NAME_COUNT = sizeof(names) / sizeof(names[0]),
	MOST_ENTRIES = 70,
};

static const char *name_at(size_t index)
{
	static char longest[256];

	if (names[index])
		return names[index];
	memset(longest, 0xff, 255);
	return longest;
}

static void randomise_fields(struct chance *chance, struct fsmeta_entry *entry)
{
	static const char *const targets[] = {"x", "../y", "\xff"};

	entry->size = below(chance, 3);
	entry->mtime.seconds = below(chance, 2);
	entry->mtime.nanoseconds = below(chance, 2);
	entry->mode = one_in(chance, 4) ? 0600 : 0644;
	entry->uid = below(chance, 2);
	entry->device = below(chance, 2);
	entry->inode = below(chance, 3);
	entry->fields = fsmeta_fields_of_type(entry->type);
	if (one_in(chance, 4))
		entry->fields &= ~(uint32_t)FSMETA_FIELD_BTIME;
	if (one_in(chance, 4))
		entry->fields &= ~(uint32_t)FSMETA_FIELD_HASH;
	if (entry->fields & FSMETA_FIELD_TARGET) {
		entry->target = targets[below(chance, 3)];
		entry->target_length = strlen(entry->target);
	}
	if (entry->fields & FSMETA_FIELD_HASH) {
		entry->hash_algorithm = one_in(chance, 8) ? FSMETA_HASH_SHA256 : FSMETA_HASH_XXH3;
		entry->hash[0] = (unsigned char)below(chance, 2);
	}
}

static enum fsmeta_type random_type(struct chance *chance, uint32_t depth)
{
	if (below(chance, 10) < (depth < 2 ? 6u : 3u))
		return FSMETA_TYPE_FOLDER;
	return one_in(chance, 4) ? (enum fsmeta_type)(3 + below(chance, 5)) : FSMETA_TYPE_FILE;
}

/** Appends a random tree below `folder`, in canonical order by construction. */
static void grow(struct chance *chance, struct naive_tree *tree, const char *folder, uint32_t depth)
{
	for (size_t i = 0; i < NAME_COUNT && tree->count < MOST_ENTRIES; i++) {
		struct fsmeta_entry entry = {.type = random_type(chance, depth)};
		char path[4096];

		if (!one_in(chance, 3))
			continue;
		snprintf(path, sizeof(path), "%s%s%s", folder, *folder ? "/" : "", name_at(i));
		entry.path = path;
		entry.path_length = strlen(path);
		randomise_fields(chance, &entry);
		naive_tree_add(tree, &entry);
		if (entry.type == FSMETA_TYPE_FOLDER && depth < 6)
			grow(chance, tree, path, depth + 1);
	}
}

static void make_random_tree(struct chance *chance, struct naive_tree *tree)
{
	struct fsmeta_entry root = {.path = "", .type = FSMETA_TYPE_FOLDER};

	naive_tree_init(tree);
	randomise_fields(chance, &root);
	naive_tree_add(tree, &root);
	grow(chance, tree, "", 0);
}

/** A copy of `from` in which much or little happened. */
static void make_mutated_tree(
    struct chance *chance, struct naive_tree *tree, const struct naive_tree *from)
{
	const struct fsmeta_entry *gone = NULL;
	unsigned quiet = 1 + below(chance, 12);

	naive_tree_init(tree);
	for (size_t i = 0; i < from->count; i++) {
		struct fsmeta_entry *entry;

		if (gone && naive_is_below(&from->entries[i], gone))
			continue;
		if (i && one_in(chance, 8 * quiet)) {
			gone = &from->entries[i];
			continue;
		}
		entry = naive_tree_add(tree, &from->entries[i]);
		if (i && one_in(chance, 10 * quiet)) {
			entry->type = random_type(chance, 9);
			randomise_fields(chance, entry);
			gone = entry->type == FSMETA_TYPE_FOLDER ? gone : &from->entries[i];
		} else if (one_in(chance, 5 * quiet)) {
			randomise_fields(chance, entry);
		}
	}
}

/** Takes out the entries for which `leaves` says so. */
static void tree_filter(struct naive_tree *tree, const bool *out)
{
	size_t kept = 0;

	for (size_t i = 0; i < tree->count; i++)
		if (!out[i])
			tree->entries[kept++] = tree->entries[i];
	tree->count = kept;
}

/** Some entries could not be read, some folders are on other file systems. */
static void hide_some(struct chance *chance, struct naive_tree *tree, bool carries)
{
	bool out[MOST_ENTRIES + 1] = {false};

	for (size_t i = 0; i < tree->count; i++) {
		struct fsmeta_entry *entry = &tree->entries[i];
		unsigned partial = below(chance, 3);

		if (!one_in(chance, 6))
			continue;
		if (entry->type == FSMETA_TYPE_FOLDER && one_in(chance, 3)) {
			entry->flags |= FSMETA_FLAG_OTHER_FILESYSTEM;
			partial = 0;
		} else {
			entry->flags |= FSMETA_FLAG_UNREADABLE;
			entry->error = one_in(chance, 2) ? EACCES : EIO;
			if (entry->type != FSMETA_TYPE_FOLDER || one_in(chance, 4))
				entry->fields &= (uint32_t)next_random(chance);
		}
		for (size_t j = i + 1; j < tree->count && naive_is_below(&tree->entries[j], entry);
		     j++) {
			if (carries)
				tree->entries[j].unknown_since = one_in(chance, 3) ? 0 : 7;
			else if (partial == 0)
				out[j] = true;
			else if (partial == 1 && one_in(chance, 3))
				out[j] = true;
		}
	}
	/* Nothing stands without its folder. */
	for (size_t i = 0; i < tree->count; i++)
		for (size_t j = i + 1; out[i] && j < tree->count; j++)
			if (naive_is_below(&tree->entries[j], &tree->entries[i]))
				out[j] = true;
	tree_filter(tree, out);
}

/** Makes `tree` what a scan of one to three sub-trees would have shown. */
static void look_at_subtrees(
    struct chance *chance, struct naive_tree *tree, const struct naive_tree *other)
{
	bool out[MOST_ENTRIES + 1] = {false};
	unsigned count = 1 + below(chance, 3);

	for (unsigned i = 0; i < count; i++) {
		const struct naive_tree *from = one_in(chance, 2) ? tree : other;
		const struct fsmeta_entry *entry =
		    &from->entries[below(chance, (unsigned)from->count)];

		assert_int_equal(fsmeta_batch_source_add_string(&tree->source,
				     &tree->source.subtrees, entry->path, entry->path_length),
		    0);
	}
	for (size_t i = 0; i < tree->count; i++)
		out[i] = !naive_is_asked_for(
		    &tree->source, tree->entries[i].path, tree->entries[i].path_length);
	tree_filter(tree, out);
}

/** Makes `tree` what a scan with one to three excludes would have shown, or carried. */
static void exclude_some(struct chance *chance, struct naive_tree *tree, bool carries)
{
	bool out[MOST_ENTRIES + 1] = {false};
	unsigned count = 1 + below(chance, 3);

	for (unsigned i = 0; i < count; i++) {
		char pattern[300];

		snprintf(pattern, sizeof(pattern), "%s%s%s", one_in(chance, 3) ? "/" : "",
		    name_at(below(chance, NAME_COUNT)), one_in(chance, 3) ? "/" : "");
		assert_int_equal(fsmeta_batch_source_add_string(&tree->source,
				     &tree->source.excludes, pattern, strlen(pattern)),
		    0);
	}
	for (size_t i = 0; i < tree->count; i++) {
		if (!naive_is_excluded(&tree->source, tree->entries[i].path,
			tree->entries[i].path_length, tree->entries[i].type))
			continue;
		for (size_t j = i; j < tree->count; j++)
			if (j == i || naive_is_below(&tree->entries[j], &tree->entries[i]))
				out[j] = true;
	}
	for (size_t i = 0; i < tree->count && carries; i++)
		if (out[i])
			tree->entries[i].unknown_since = 7;
	if (!carries)
		tree_filter(tree, out);
}

/** File systems in the same order, in another, or some missing. */
static void add_filesystems(struct chance *chance, struct naive_tree *a, struct naive_tree *b)
{
	unsigned order = below(chance, 3);
	uint32_t index;

	fsmeta_batch_source_add_filesystem(&a->source, "u-0", "ext4", "", &index);
	fsmeta_batch_source_add_filesystem(&a->source, "u-1", "ext4", "", &index);
	fsmeta_batch_source_add_filesystem(
	    &b->source, order == 1 ? "u-1" : "u-0", "ext4", "", &index);
	fsmeta_batch_source_add_filesystem(&b->source,
	    order == 1   ? "u-0"
	    : order == 2 ? "u-9"
			 : "u-1",
	    "ext4", "", &index);
}

/* ---- runs --------------------------------------------------------------- */

struct runs {
	struct fsmeta_array_run *runs;
	size_t count;
};

static void mix(struct fsmeta_digest *digest, const void *bytes, size_t size)
{
	const unsigned char *from = bytes;

	for (size_t i = 0; i < size; i++) {
		digest->low = (digest->low ^ from[i]) * UINT64_C(0x100000001b3);
		digest->high = (digest->high + from[i]) * UINT64_C(0x9e3779b97f4a7c15);
	}
}

/** False for an entry that no run may comprise. */
static bool mix_entry(struct fsmeta_digest *digest, const struct fsmeta_entry *entry)
{
	uint64_t values[] = {entry->path_length, entry->type, entry->fields, entry->size,
	    (uint64_t)entry->mtime.seconds, entry->mtime.nanoseconds, entry->mode, entry->uid,
	    entry->device, entry->inode, entry->target_length, entry->hash_algorithm, entry->flags};

	mix(digest, values, sizeof(values));
	mix(digest, entry->path, entry->path_length);
	mix(digest, entry->target, entry->target_length);
	mix(digest, entry->hash, sizeof(entry->hash));
	return !entry->unknown_since &&
	       !(entry->flags & (FSMETA_FLAG_UNREADABLE | FSMETA_FLAG_OTHER_FILESYSTEM));
}

/** The same of a file: its file system by what it is called, not by its index. */
static bool mix_file(
    struct fsmeta_digest *digest, const struct naive_tree *tree, const struct fsmeta_entry *entry)
{
	struct fsmeta_entry file = *entry;

	if (entry->fields & FSMETA_FIELD_DEVICE) {
		const char *uuid = tree->source.filesystems[entry->device].uuid;

		mix(digest, uuid, strlen(uuid));
		file.device = 0;
	}
	return mix_entry(digest, &file);
}

static void offer(struct runs *runs, enum fsmeta_run_kind kind, const char *path,
    struct fsmeta_digest token, uint64_t entries)
{
	runs->runs[runs->count++] = (struct fsmeta_array_run){
	    .kind = kind, .path = path, .token = token, .entries = entries};
}

static void offer_folder(struct runs *runs, const struct naive_tree *tree, size_t index)
{
	const struct fsmeta_entry *folder = &tree->entries[index];
	struct fsmeta_digest all = {1, 1}, files = {2, 2};
	bool all_seen = true, files_seen = true;

	mix(&all, folder->path, folder->path_length);
	mix(&files, folder->path, folder->path_length);
	for (size_t i = index + 1; i < tree->count && naive_is_below(&tree->entries[i], folder);
	     i++) {
		const struct fsmeta_entry *entry = &tree->entries[i];

		all_seen &= mix_entry(&all, entry);
		if (entry->type != FSMETA_TYPE_FOLDER &&
		    naive_parent_length(entry->path, entry->path_length) == folder->path_length)
			files_seen &= mix_file(&files, tree, entry);
	}
	if (all_seen)
		offer(runs, FSMETA_RUN_SUBTREE, folder->path, all, 0);
	if (files_seen)
		offer(runs, FSMETA_RUN_FILES, folder->path, files, 0);
}

/** Batches begin where a hash of the path says so: anywhere, also inside folders. */
static bool begins_batch(const struct fsmeta_entry *entry)
{
	struct fsmeta_digest digest = {3, 3};

	mix(&digest, entry->path, entry->path_length);
	return (digest.high >> 40) % 3 == 0;
}

static void offer_batch(struct runs *runs, const struct naive_tree *tree, size_t index)
{
	struct fsmeta_digest token = {4, 4};
	bool seen = true;
	size_t end = index;

	do
		seen &= mix_entry(&token, &tree->entries[end++]);
	while (end < tree->count && !begins_batch(&tree->entries[end]));
	if (seen)
		offer(runs, FSMETA_RUN_BATCH, tree->entries[index].path, token, end - index);
}

/** All runs of the kinds in `kinds` (bits by number) that the tree can offer. */
static void make_runs(struct runs *runs, const struct naive_tree *tree, unsigned kinds)
{
	runs->count = 0;
	runs->runs = calloc(tree->count * 3 + 1, sizeof(*runs->runs));
	assert_non_null(runs->runs);
	for (size_t i = 0; i < tree->count; i++) {
		size_t before = runs->count, kept = before;

		if (tree->entries[i].type == FSMETA_TYPE_FOLDER)
			offer_folder(runs, tree, i);
		if (begins_batch(&tree->entries[i]))
			offer_batch(runs, tree, i);
		for (size_t j = before; j < runs->count; j++)
			if (kinds & 1u << runs->runs[j].kind)
				runs->runs[kept++] = runs->runs[j];
		runs->count = kept;
	}
}

/* ---- running the merge -------------------------------------------------- */

/** Which kinds of runs are offered; 0 = none. */
static struct fsmeta_diff *run_diff(struct naive_tree *a, struct naive_tree *b,
    const struct fsmeta_diff_options *options, unsigned run_kinds)
{
	struct fsmeta_error error = {0};
	struct fsmeta_cursor *cursor_a, *cursor_b;
	struct fsmeta_diff *diff;
	struct runs runs_a = {0}, runs_b = {0};

	assert_int_equal(
	    fsmeta_cursor_from_array(&cursor_a, a->entries, a->count, &a->source, &error), 0);
	assert_int_equal(
	    fsmeta_cursor_from_array(&cursor_b, b->entries, b->count, &b->source, &error), 0);
	if (run_kinds) {
		make_runs(&runs_a, a, run_kinds);
		make_runs(&runs_b, b, run_kinds);
		fsmeta_cursor_array_offer_runs(cursor_a, runs_a.runs, runs_a.count);
		fsmeta_cursor_array_offer_runs(cursor_b, runs_b.runs, runs_b.count);
	}
	assert_int_equal(fsmeta_diff_run(&diff, cursor_a, cursor_b, options, &error), 0);
	fsmeta_cursor_close(cursor_a);
	fsmeta_cursor_close(cursor_b);
	free(runs_a.runs);
	free(runs_b.runs);
	return diff;
}

static struct naive_changes collect_diff(struct fsmeta_diff *diff)
{
	struct naive_changes items;
	struct fsmeta_error error = {0};

	naive_changes_init(&items);
	assert_int_equal(fsmeta_diff_replay(diff, &items.sink, &error), 0);
	return items;
}

static void assert_counts(const struct fsmeta_diff *diff, const struct naive_changes *items)
{
	const struct fsmeta_diff_counts *counts = fsmeta_diff_get_counts(diff);
	struct fsmeta_diff_counts wanted = {0};

	for (size_t i = 0; i < items->count; i++) {
		const struct naive_change *item = &items->items[i];
		uint64_t bytes = naive_change_entry(item)->type == FSMETA_TYPE_FILE
				     ? naive_change_entry(item)->size
				     : 0;

		wanted.kinds[item->kind]++;
		wanted.continued += (item->flags & FSMETA_CHANGE_CONTINUED) != 0;
		wanted.bytes_added += item->kind == FSMETA_CHANGE_ADDED ? bytes : 0;
		wanted.bytes_removed += item->kind == FSMETA_CHANGE_REMOVED ? bytes : 0;
	}
	assert_memory_equal(counts->kinds, wanted.kinds, sizeof(wanted.kinds));
	assert_int_equal(counts->continued, wanted.continued);
	assert_int_equal(counts->bytes_added, wanted.bytes_added);
	assert_int_equal(counts->bytes_removed, wanted.bytes_removed);
	assert_int_equal(fsmeta_diff_has_changes(diff), items->count > wanted.continued);
}

/** By path; removed before added, modified before unreadable at the same path. */
static void assert_canonical(const struct naive_changes *items)
{
	for (size_t i = 1; i < items->count; i++) {
		const struct fsmeta_entry *before = naive_change_entry(&items->items[i - 1]);
		const struct fsmeta_entry *after = naive_change_entry(&items->items[i]);
		int order = fsmeta_path_compare(
		    before->path, before->path_length, after->path, after->path_length);

		assert_true(order <= 0);
		if (order == 0 && items->items[i].kind == FSMETA_CHANGE_ADDED)
			assert_int_equal(items->items[i - 1].kind, FSMETA_CHANGE_REMOVED);
		else if (order == 0)
			assert_true(items->items[i].kind >= FSMETA_CHANGE_UNREADABLE);
	}
}

/** Applies stored changes to the listing of `a`: it becomes that of `b` plus what is carried. */
static void assert_applies(const struct naive_tree *a, const struct naive_tree *b,
    const struct naive_changes *items, bool nothing_hidden)
{
	size_t at = 0, in_a = 0;
	size_t met = 0;

	while (in_a < a->count || at < items->count) {
		const struct naive_change *item = at < items->count ? &items->items[at] : NULL;
		const struct fsmeta_entry *entry = in_a < a->count ? &a->entries[in_a] : NULL;
		const struct fsmeta_entry *now = entry, *there;
		int order = !entry  ? 1
			    : !item ? -1
				    : fsmeta_path_compare(entry->path, entry->path_length,
					  naive_change_entry(item)->path,
					  naive_change_entry(item)->path_length);

		if (order >= 0) {
			now = item->kind == FSMETA_CHANGE_REMOVED ? NULL : &item->after;
			at++;
			/* Unseen says nothing about the entry itself. */
			if (item->kind >= FSMETA_CHANGE_UNREADABLE)
				continue;
			if (item->kind == FSMETA_CHANGE_REMOVED ||
			    item->kind == FSMETA_CHANGE_MODIFIED ||
			    item->kind == FSMETA_CHANGE_CORRUPTED) {
				assert_int_equal(order, 0);
				in_a++;
			}
		} else {
			in_a++;
		}
		if (!now)
			continue;
		there = naive_tree_find(b, now->path, now->path_length);
		if (nothing_hidden)
			assert_non_null(there);
		if (there) {
			met++;
			assert_int_equal(there->type, now->type);
			if (nothing_hidden)
				assert_int_equal(
				    fsmeta_entry_differences(there, now,
					FSMETA_FIELDS_KNOWN & ~(uint32_t)FSMETA_FIELD_DEVICE, NULL,
					0),
				    0);
		}
	}
	assert_int_equal(met, b->count);
}

/* ---- random pairs ------------------------------------------------------- */

struct pair {
	struct naive_tree a;
	struct naive_tree b;
	struct fsmeta_diff_options options;
	bool nothing_hidden;
};

/** Entries have no fields beyond their source's, and what they do not have is zero. */
static void keep_promises(struct naive_tree *tree)
{
	for (size_t i = 0; i < tree->count; i++) {
		struct fsmeta_entry *entry = &tree->entries[i];

		entry->fields &= tree->source.field_mask;
		if (!(entry->fields & FSMETA_FIELD_SIZE))
			entry->size = 0;
		if (!(entry->fields & FSMETA_FIELD_MTIME))
			entry->mtime = (struct fsmeta_time){0};
		if (!(entry->fields & FSMETA_FIELD_MODE))
			entry->mode = 0;
		if (!(entry->fields & FSMETA_FIELD_UID))
			entry->uid = 0;
		if (!(entry->fields & FSMETA_FIELD_DEVICE))
			entry->device = FSMETA_DEVICE_NONE;
		if (!(entry->fields & FSMETA_FIELD_INODE))
			entry->inode = 0;
		if (!(entry->fields & FSMETA_FIELD_TARGET)) {
			entry->target = NULL;
			entry->target_length = 0;
		}
		if (!(entry->fields & FSMETA_FIELD_HASH)) {
			entry->hash_algorithm = FSMETA_HASH_NONE;
			memset(entry->hash, 0, sizeof(entry->hash));
		}
	}
}

static void make_pair(struct pair *pair, struct chance *chance)
{
	memset(pair, 0, sizeof(*pair));
	pair->nothing_hidden = one_in(chance, 2);
	make_random_tree(chance, &pair->a);
	if (one_in(chance, 4))
		make_random_tree(chance, &pair->b);
	else
		make_mutated_tree(chance, &pair->b, &pair->a);
	add_filesystems(chance, &pair->a, &pair->b);
	if (one_in(chance, 20))
		pair->a.count = 0;
	if (!pair->nothing_hidden) {
		bool state = one_in(chance, 4);

		if (one_in(chance, 2))
			hide_some(chance, &pair->a, true);
		pair->b.source.id_kind = state ? FSMETA_IDS_STABLE : FSMETA_IDS_ORDINAL;
		pair->options.seen_only = one_in(chance, 4);
		hide_some(chance, &pair->b, state && !pair->options.seen_only);
		if (one_in(chance, 3) && pair->a.count)
			look_at_subtrees(chance, &pair->b, &pair->a);
		if (one_in(chance, 2))
			exclude_some(chance, &pair->b, state && !pair->options.seen_only);
	}
	pair->options.notion = one_in(chance, 2) ? FSMETA_DIFF_STORED : FSMETA_DIFF_REPORTED;
	pair->options.spool_bytes = one_in(chance, 2) ? 64 : 0;
	if (one_in(chance, 3)) {
		pair->options.fields =
		    (uint32_t)next_random(chance) & (FSMETA_FIELDS_KNOWN | FSMETA_FIELD_FLAGS);
		pair->options.fields_only = one_in(chance, 2);
	}
	if (one_in(chance, 4))
		pair->a.source.field_mask &= (uint32_t)next_random(chance);
	if (one_in(chance, 4))
		pair->b.source.field_mask &= (uint32_t)next_random(chance);
	keep_promises(&pair->a);
	keep_promises(&pair->b);
}

static void pair_release(struct pair *pair)
{
	naive_tree_release(&pair->a);
	naive_tree_release(&pair->b);
}

/** The tree as a stream in memory, opened with its index. */
static struct fsmeta_cursor *open_as_stream(const struct naive_tree *tree)
{
	struct fsmeta_stream_writer *writer;
	struct fsmeta_cursor *array, *cursor;
	const struct fsmeta_entry *entry;
	struct fsmeta_error error = {0};
	int fd = memfd_create("stream", MFD_CLOEXEC);
	int code;

	assert_true(fd >= 0);
	assert_int_equal(
	    fsmeta_cursor_from_array(&array, tree->entries, tree->count, &tree->source, &error), 0);
	assert_int_equal(
	    fsmeta_stream_writer_new(&writer, fd, "memory", &tree->source, NULL, &error), 0);
	while ((code = fsmeta_cursor_next(array, &entry, &error)) == 1)
		assert_int_equal(fsmeta_stream_writer_add(writer, entry, &error), 0);
	assert_int_equal(code, 0);
	assert_int_equal(fsmeta_stream_writer_finish(writer, NULL, NULL, &error), 0);
	fsmeta_stream_writer_free(writer);
	fsmeta_cursor_close(array);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(fsmeta_stream_open_fd(&cursor, fd, "memory", &error), 0);
	return cursor;
}

/** The same from two streams, which pass over much that is equal without handing it out. */
static void check_streams(struct pair *pair, const struct naive_changes *wanted)
{
	struct fsmeta_cursor *a, *b;
	struct fsmeta_error error = {0};
	struct fsmeta_diff *diff;
	struct naive_changes got;

	if (!pair->a.count || !pair->b.count)
		return;
	a = open_as_stream(&pair->a);
	b = open_as_stream(&pair->b);
	assert_int_equal(fsmeta_diff_run(&diff, a, b, &pair->options, &error), 0);
	got = collect_diff(diff);
	/* A stream numbers its entries; these trees have no ids. */
	for (size_t i = 0; i < got.count; i++)
		got.items[i].before.id = got.items[i].after.id = 0;
	naive_changes_expect_equal(&got, wanted);
	assert_counts(diff, &got);
	naive_changes_release(&got);
	fsmeta_diff_free(diff);
	fsmeta_cursor_close(a);
	fsmeta_cursor_close(b);
}

static void check_pair(struct pair *pair, uint64_t *stepped)
{
	struct naive_changes wanted, got, again;
	struct fsmeta_diff *diff;

	diff = run_diff(&pair->a, &pair->b, &pair->options, 0);
	naive_changes_init(&wanted);
	naive_diff(&wanted, &pair->a, &pair->b, &pair->options);
	got = collect_diff(diff);
	naive_changes_expect_equal(&got, &wanted);
	assert_canonical(&got);
	assert_counts(diff, &got);
	again = collect_diff(diff);
	naive_changes_expect_equal(&again, &wanted);
	if (pair->options.notion == FSMETA_DIFF_STORED &&
	    pair->a.source.field_mask == pair->b.source.field_mask)
		assert_applies(&pair->a, &pair->b, &got, pair->nothing_hidden);
	naive_changes_release(&again);
	naive_changes_release(&got);
	fsmeta_diff_free(diff);

	/* Every set of kinds of runs: the same changes from fewer entries. */
	for (unsigned kinds = 1; kinds < 8; kinds++) {
		diff = run_diff(&pair->a, &pair->b, &pair->options, kinds << 1);
		got = collect_diff(diff);
		naive_changes_expect_equal(&got, &wanted);
		assert_counts(diff, &got);
		stepped[kinds] += fsmeta_diff_get_counts(diff)->entries_stepped;
		naive_changes_release(&got);
		fsmeta_diff_free(diff);
	}
	check_streams(pair, &wanted);
	naive_changes_release(&wanted);
}

static void random_pairs_equal_the_naive_diff(void **state)
{
	uint64_t stepped[8] = {0};
	const char *seeds = getenv("FSMETA_TEST_SEEDS");
	uint64_t count = seeds ? strtoull(seeds, NULL, 10) : 2000;

	(void)state;
	for (uint64_t seed = 1; seed <= count; seed++) {
		struct chance chance = {.state = seed};
		struct pair pair;

		make_pair(&pair, &chance);
		check_pair(&pair, stepped);
		pair_release(&pair);
	}
	/* The runs were no idle ones: on average more than one entry a pair was not read. */
	for (unsigned kinds = 1; kinds < 8; kinds++)
		assert_true(stepped[kinds] > count);
}

/* ---- by hand ------------------------------------------------------------ */

static void assert_item(const struct naive_changes *items, size_t index,
    enum fsmeta_change_kind kind, const char *path, uint32_t flags, uint64_t entries,
    uint64_t bytes)
{
	const struct naive_change *item;

	if (index >= items->count)
		naive_changes_print("got:", items);
	assert_true(index < items->count);
	item = &items->items[index];
	assert_string_equal(naive_change_entry(item)->path, path);
	assert_int_equal(item->kind, kind);
	assert_int_equal(item->flags, flags);
	assert_int_equal(item->entries, entries);
	assert_int_equal(item->bytes, bytes);
}

static struct naive_changes diff_items(
    struct naive_tree *a, struct naive_tree *b, enum fsmeta_diff_notion notion)
{
	struct fsmeta_diff_options options = {.notion = notion};
	struct fsmeta_diff *diff = run_diff(a, b, &options, 0);
	struct naive_changes items = collect_diff(diff);

	fsmeta_diff_free(diff);
	return items;
}

static void whole_folders_carry_totals(void **state)
{
	struct naive_tree a, b;
	struct naive_changes items;

	(void)state;
	tree_init_by_hand(&a);
	tree_init_by_hand(&b);
	add(&a, "", FSMETA_TYPE_FOLDER, 0);
	add(&a, "cam", FSMETA_TYPE_FOLDER, 9);
	add(&a, "cam/1", FSMETA_TYPE_FILE, 10);
	add(&a, "cam/2", FSMETA_TYPE_FOLDER, 9);
	add(&a, "cam/2/x", FSMETA_TYPE_FILE, 100);
	add(&a, "cam/3", FSMETA_TYPE_SYMLINK, 7);
	add(&a, "cam!", FSMETA_TYPE_FILE, 1);
	add(&b, "", FSMETA_TYPE_FOLDER, 0);
	add(&b, "cam!", FSMETA_TYPE_FILE, 1);
	items = diff_items(&a, &b, FSMETA_DIFF_REPORTED);
	assert_int_equal(items.count, 5);
	assert_item(&items, 0, FSMETA_CHANGE_REMOVED, "cam", 0, 4, 110);
	assert_item(&items, 1, FSMETA_CHANGE_REMOVED, "cam/1", FSMETA_CHANGE_INSIDE, 0, 0);
	assert_item(&items, 2, FSMETA_CHANGE_REMOVED, "cam/2", FSMETA_CHANGE_INSIDE, 1, 100);
	assert_item(&items, 3, FSMETA_CHANGE_REMOVED, "cam/2/x", FSMETA_CHANGE_INSIDE, 0, 0);
	assert_item(&items, 4, FSMETA_CHANGE_REMOVED, "cam/3", FSMETA_CHANGE_INSIDE, 0, 0);
	naive_changes_release(&items);
	naive_tree_release(&a);
	naive_tree_release(&b);
}

static void another_type_is_removed_and_added(void **state)
{
	struct naive_tree a, b;
	struct naive_changes items;

	(void)state;
	tree_init_by_hand(&a);
	tree_init_by_hand(&b);
	add(&a, "", FSMETA_TYPE_FOLDER, 0);
	add(&a, "x", FSMETA_TYPE_FOLDER, 0);
	add(&a, "x/y", FSMETA_TYPE_FILE, 5);
	add(&a, "z", FSMETA_TYPE_FILE, 6);
	add(&b, "", FSMETA_TYPE_FOLDER, 0);
	add(&b, "x", FSMETA_TYPE_FILE, 5);
	add(&b, "z", FSMETA_TYPE_FOLDER, 0);
	add(&b, "z/q", FSMETA_TYPE_FILE, 7);
	items = diff_items(&a, &b, FSMETA_DIFF_REPORTED);
	assert_int_equal(items.count, 6);
	assert_item(&items, 0, FSMETA_CHANGE_REMOVED, "x", 0, 1, 5);
	assert_item(&items, 1, FSMETA_CHANGE_ADDED, "x", 0, 0, 0);
	assert_item(&items, 2, FSMETA_CHANGE_REMOVED, "x/y", FSMETA_CHANGE_INSIDE, 0, 0);
	assert_item(&items, 3, FSMETA_CHANGE_REMOVED, "z", 0, 0, 0);
	assert_item(&items, 4, FSMETA_CHANGE_ADDED, "z", 0, 1, 7);
	assert_item(&items, 5, FSMETA_CHANGE_ADDED, "z/q", FSMETA_CHANGE_INSIDE, 0, 0);
	naive_changes_release(&items);
	naive_tree_release(&a);
	naive_tree_release(&b);
}

static void what_cannot_be_read_is_not_removed(void **state)
{
	struct naive_tree a, b;
	struct naive_changes items;

	(void)state;
	tree_init_by_hand(&a);
	tree_init_by_hand(&b);
	add(&a, "", FSMETA_TYPE_FOLDER, 0);
	add(&a, "disk", FSMETA_TYPE_FOLDER, 0);
	add(&a, "disk/f", FSMETA_TYPE_FILE, 50);
	add(&a, "private", FSMETA_TYPE_FOLDER, 0);
	add(&a, "private/a", FSMETA_TYPE_FILE, 20);
	add(&a, "private/d", FSMETA_TYPE_FOLDER, 0);
	add(&a, "private/d/b", FSMETA_TYPE_FILE, 30);
	add(&a, "zz", FSMETA_TYPE_FILE, 1);
	add(&b, "", FSMETA_TYPE_FOLDER, 0);
	add(&b, "disk", FSMETA_TYPE_FOLDER, 0);
	last(&b)->flags = FSMETA_FLAG_OTHER_FILESYSTEM;
	add(&b, "private", FSMETA_TYPE_FOLDER, 0);
	last(&b)->flags = FSMETA_FLAG_UNREADABLE;
	last(&b)->error = EACCES;
	items = diff_items(&a, &b, FSMETA_DIFF_REPORTED);
	assert_int_equal(items.count, 3);
	assert_item(&items, 0, FSMETA_CHANGE_UNKNOWN, "disk", 0, 1, 50);
	assert_true(items.items[0].has_after);
	assert_item(&items, 1, FSMETA_CHANGE_UNREADABLE, "private", 0, 3, 50);
	assert_item(&items, 2, FSMETA_CHANGE_REMOVED, "zz", 0, 0, 0);
	naive_changes_release(&items);

	/* Once more, now that the older side knew: no news. */
	a.entries[1].flags = FSMETA_FLAG_OTHER_FILESYSTEM;
	a.entries[3].flags = FSMETA_FLAG_UNREADABLE;
	a.entries[3].error = EACCES;
	items = diff_items(&a, &b, FSMETA_DIFF_STORED);
	assert_int_equal(items.count, 3);
	assert_item(&items, 0, FSMETA_CHANGE_UNKNOWN, "disk", FSMETA_CHANGE_CONTINUED, 1, 50);
	assert_item(&items, 1, FSMETA_CHANGE_UNREADABLE, "private", FSMETA_CHANGE_CONTINUED, 3, 50);
	naive_changes_release(&items);
	naive_tree_release(&a);
	naive_tree_release(&b);
}

static void a_listed_folder_in_an_unlisted_one_is_believed(void **state)
{
	struct naive_tree a, b;
	struct naive_changes items;

	(void)state;
	tree_init_by_hand(&a);
	tree_init_by_hand(&b);
	add(&a, "", FSMETA_TYPE_FOLDER, 0);
	add(&a, "p", FSMETA_TYPE_FOLDER, 0);
	add(&a, "p/seen", FSMETA_TYPE_FOLDER, 0);
	add(&a, "p/seen/gone", FSMETA_TYPE_FILE, 3);
	add(&a, "p/unseen", FSMETA_TYPE_FILE, 4);
	add(&b, "", FSMETA_TYPE_FOLDER, 0);
	add(&b, "p", FSMETA_TYPE_FOLDER, 0);
	last(&b)->flags = FSMETA_FLAG_UNREADABLE;
	last(&b)->error = EIO;
	add(&b, "p/seen", FSMETA_TYPE_FOLDER, 0);
	items = diff_items(&a, &b, FSMETA_DIFF_REPORTED);
	assert_int_equal(items.count, 2);
	assert_item(&items, 0, FSMETA_CHANGE_UNREADABLE, "p", 0, 1, 4);
	assert_item(&items, 1, FSMETA_CHANGE_REMOVED, "p/seen/gone", 0, 0, 0);
	naive_changes_release(&items);
	naive_tree_release(&a);
	naive_tree_release(&b);
}

static void an_unreadable_file_loses_nothing(void **state)
{
	struct naive_tree a, b;
	struct naive_changes items;

	(void)state;
	tree_init_by_hand(&a);
	tree_init_by_hand(&b);
	add(&a, "", FSMETA_TYPE_FOLDER, 0);
	add(&a, "f", FSMETA_TYPE_FILE, 20);
	add(&b, "", FSMETA_TYPE_FOLDER, 0);
	add(&b, "f", FSMETA_TYPE_FILE, 0);
	last(&b)->flags = FSMETA_FLAG_UNREADABLE;
	last(&b)->error = EACCES;
	last(&b)->fields = 0;
	last(&b)->hash_algorithm = FSMETA_HASH_NONE;
	items = diff_items(&a, &b, FSMETA_DIFF_REPORTED);
	assert_int_equal(items.count, 1);
	assert_item(&items, 0, FSMETA_CHANGE_UNREADABLE, "f", 0, 0, 0);
	naive_changes_release(&items);

	items = diff_items(&a, &b, FSMETA_DIFF_STORED);
	assert_int_equal(items.count, 2);
	assert_item(&items, 0, FSMETA_CHANGE_MODIFIED, "f", 0, 0, 0);
	assert_int_equal(items.items[0].fields, FSMETA_FIELD_FLAGS);
	assert_int_equal(items.items[0].after.size, 20);
	assert_int_equal(items.items[0].after.error, EACCES);
	assert_item(&items, 1, FSMETA_CHANGE_UNREADABLE, "f", 0, 0, 0);
	naive_changes_release(&items);
	naive_tree_release(&a);
	naive_tree_release(&b);
}

static void rotten_content_is_corruption(void **state)
{
	struct naive_tree a, b;
	struct naive_changes items;

	(void)state;
	tree_init_by_hand(&a);
	tree_init_by_hand(&b);
	for (int side = 0; side < 2; side++) {
		struct naive_tree *tree = side ? &b : &a;

		add(tree, "", FSMETA_TYPE_FOLDER, 0);
		add(tree, "larger", FSMETA_TYPE_FILE, 20);
		last(tree)->hash[0] = (unsigned char)side;
		last(tree)->size += (uint64_t)side;
		add(tree, "rotten", FSMETA_TYPE_FILE, 20);
		last(tree)->hash[0] = (unsigned char)side;
		add(tree, "unhashed", FSMETA_TYPE_FILE, 20);
		last(tree)->fields &= side ? UINT32_MAX : ~(uint32_t)FSMETA_FIELD_HASH;
		add(tree, "with-another", FSMETA_TYPE_FILE, 20);
		last(tree)->hash_algorithm = side ? FSMETA_HASH_SHA256 : FSMETA_HASH_XXH3;
	}
	items = diff_items(&a, &b, FSMETA_DIFF_REPORTED);
	assert_int_equal(items.count, 2);
	assert_item(&items, 0, FSMETA_CHANGE_MODIFIED, "larger", 0, 0, 0);
	assert_item(&items, 1, FSMETA_CHANGE_CORRUPTED, "rotten", 0, 0, 0);
	naive_changes_release(&items);
	/* What can be compared and what is to be stored are two things. */
	items = diff_items(&a, &b, FSMETA_DIFF_STORED);
	assert_int_equal(items.count, 4);
	assert_item(&items, 2, FSMETA_CHANGE_MODIFIED, "unhashed", 0, 0, 0);
	assert_item(&items, 3, FSMETA_CHANGE_MODIFIED, "with-another", 0, 0, 0);
	naive_changes_release(&items);
	naive_tree_release(&a);
	naive_tree_release(&b);
}

static void what_was_not_asked_for_is_carried_silently(void **state)
{
	struct naive_tree a, b;
	struct naive_changes items;

	(void)state;
	tree_init_by_hand(&a);
	tree_init_by_hand(&b);
	add(&a, "", FSMETA_TYPE_FOLDER, 0);
	add(&a, "cam1", FSMETA_TYPE_FOLDER, 0);
	add(&a, "cam1/old", FSMETA_TYPE_FILE, 1);
	add(&a, "cam1/x", FSMETA_TYPE_FILE, 1);
	add(&a, "cam2", FSMETA_TYPE_FOLDER, 0);
	add(&a, "cam2/x", FSMETA_TYPE_FOLDER, 0);
	add(&a, "cam2/x/deep", FSMETA_TYPE_FILE, 1);
	add(&a, "cam3", FSMETA_TYPE_FOLDER, 0);
	add(&a, "cam3/sub", FSMETA_TYPE_FOLDER, 0);
	add(&a, "cam3/other", FSMETA_TYPE_FILE, 4);
	add(&b, "", FSMETA_TYPE_FOLDER, 0);
	add(&b, "cam1", FSMETA_TYPE_FOLDER, 0);
	add(&b, "cam1/x", FSMETA_TYPE_FILE, 1);
	/* cam3/other comes before cam3/sub. */
	a.entries[8] = make_entry("cam3/other", FSMETA_TYPE_FILE, 4);
	a.entries[9] = make_entry("cam3/sub", FSMETA_TYPE_FOLDER, 0);
	fsmeta_batch_source_add_string(&b.source, &b.source.subtrees, "cam3/sub", 8);
	fsmeta_batch_source_add_string(&b.source, &b.source.subtrees, "cam1", 4);
	items = diff_items(&a, &b, FSMETA_DIFF_REPORTED);
	/* cam3 is on the way to what was asked for, so it was seen to be gone. */
	assert_int_equal(items.count, 4);
	assert_item(&items, 0, FSMETA_CHANGE_REMOVED, "cam1/old", 0, 0, 0);
	assert_item(&items, 1, FSMETA_CHANGE_REMOVED, "cam3", 0, 2, 4);
	assert_item(&items, 2, FSMETA_CHANGE_REMOVED, "cam3/other", FSMETA_CHANGE_INSIDE, 0, 0);
	assert_item(&items, 3, FSMETA_CHANGE_REMOVED, "cam3/sub", FSMETA_CHANGE_INSIDE, 0, 0);
	naive_changes_release(&items);
	naive_tree_release(&a);
	naive_tree_release(&b);
}

static void what_was_excluded_is_unknown_at_the_topmost_place(void **state)
{
	struct naive_tree a, b;
	struct naive_changes items;

	(void)state;
	tree_init_by_hand(&a);
	tree_init_by_hand(&b);
	add(&a, "", FSMETA_TYPE_FOLDER, 0);
	add(&a, "gone", FSMETA_TYPE_FOLDER, 0);
	add(&a, "gone/x.tmp", FSMETA_TYPE_FILE, 1);
	add(&a, "keep", FSMETA_TYPE_FOLDER, 0);
	add(&a, "keep/new.tmp", FSMETA_TYPE_FILE, 2);
	add(&a, "keep/old", FSMETA_TYPE_FILE, 1);
	add(&a, "keep/old.tmp", FSMETA_TYPE_FILE, 2);
	last(&a)->unknown_since = 3;
	add(&a, "tmp", FSMETA_TYPE_FOLDER, 0);
	add(&a, "tmp/a", FSMETA_TYPE_FOLDER, 0);
	add(&a, "tmp/a/b", FSMETA_TYPE_FILE, 5);
	add(&a, "tmp/c.tmp", FSMETA_TYPE_FILE, 6);
	add(&b, "", FSMETA_TYPE_FOLDER, 0);
	add(&b, "keep", FSMETA_TYPE_FOLDER, 0);
	fsmeta_batch_source_add_string(&b.source, &b.source.excludes, "*.tmp", 5);
	fsmeta_batch_source_add_string(&b.source, &b.source.excludes, "/tmp/", 5);
	items = diff_items(&a, &b, FSMETA_DIFF_REPORTED);
	/* What is below a folder that is gone is gone. */
	assert_int_equal(items.count, 6);
	assert_item(&items, 0, FSMETA_CHANGE_REMOVED, "gone", 0, 1, 1);
	assert_item(&items, 1, FSMETA_CHANGE_REMOVED, "gone/x.tmp", FSMETA_CHANGE_INSIDE, 0, 0);
	assert_item(&items, 2, FSMETA_CHANGE_UNKNOWN, "keep/new.tmp", 0, 0, 0);
	assert_item(&items, 3, FSMETA_CHANGE_REMOVED, "keep/old", 0, 0, 0);
	assert_item(
	    &items, 4, FSMETA_CHANGE_UNKNOWN, "keep/old.tmp", FSMETA_CHANGE_CONTINUED, 0, 0);
	assert_item(&items, 5, FSMETA_CHANGE_UNKNOWN, "tmp", 0, 3, 11);
	assert_false(items.items[5].has_after);
	naive_changes_release(&items);

	/* All of it was unknown before: no news. */
	for (size_t i = 7; i < a.count; i++)
		a.entries[i].unknown_since = 3;
	items = diff_items(&a, &b, FSMETA_DIFF_REPORTED);
	assert_item(&items, 5, FSMETA_CHANGE_UNKNOWN, "tmp", FSMETA_CHANGE_CONTINUED, 3, 11);
	naive_changes_release(&items);
	naive_tree_release(&a);
	naive_tree_release(&b);
}

/** What a database's generation carries it shows, so what it does not show is gone. */
static void a_state_is_believed_unless_it_shows_only_what_was_seen(void **state)
{
	struct fsmeta_diff_options options = {.notion = FSMETA_DIFF_REPORTED};
	struct naive_tree a, b;

	(void)state;
	tree_init_by_hand(&a);
	tree_init_by_hand(&b);
	b.source.id_kind = FSMETA_IDS_STABLE;
	add(&a, "", FSMETA_TYPE_FOLDER, 0);
	add(&a, "p", FSMETA_TYPE_FOLDER, 0);
	add(&a, "p/carried", FSMETA_TYPE_FILE, 3);
	add(&a, "p/gone", FSMETA_TYPE_FILE, 4);
	add(&b, "", FSMETA_TYPE_FOLDER, 0);
	add(&b, "p", FSMETA_TYPE_FOLDER, 0);
	last(&b)->flags = FSMETA_FLAG_UNREADABLE;
	last(&b)->error = EIO;
	add(&b, "p/carried", FSMETA_TYPE_FILE, 3);
	last(&b)->unknown_since = 9;
	for (int seen_only = 0; seen_only < 2; seen_only++) {
		struct fsmeta_diff *diff;
		struct naive_changes items;

		options.seen_only = seen_only;
		b.count -= (size_t)seen_only;
		diff = run_diff(&a, &b, &options, 0);
		items = collect_diff(diff);
		assert_int_equal(items.count, seen_only ? 1 : 2);
		assert_item(&items, 0, FSMETA_CHANGE_UNREADABLE, "p", 0, seen_only ? 2 : 1,
		    seen_only ? 7 : 3);
		if (!seen_only)
			assert_item(&items, 1, FSMETA_CHANGE_REMOVED, "p/gone", 0, 0, 0);
		naive_changes_release(&items);
		fsmeta_diff_free(diff);
	}
	naive_tree_release(&a);
	naive_tree_release(&b);
}

static void first_import_adds_the_root_and_all_below(void **state)
{
	struct naive_tree a, b;
	struct naive_changes items;

	(void)state;
	tree_init_by_hand(&a);
	tree_init_by_hand(&b);
	a.source.field_mask = 0;
	add(&b, "", FSMETA_TYPE_FOLDER, 0);
	add(&b, "x", FSMETA_TYPE_FILE, 5);
	items = diff_items(&a, &b, FSMETA_DIFF_STORED);
	assert_int_equal(items.count, 2);
	assert_item(&items, 0, FSMETA_CHANGE_ADDED, "", 0, 1, 5);
	assert_item(&items, 1, FSMETA_CHANGE_ADDED, "x", FSMETA_CHANGE_INSIDE, 0, 0);
	naive_changes_release(&items);
	naive_tree_release(&a);
	naive_tree_release(&b);
}

enum {
	CHAIN_DEPTH = 2000,
};

/** A chain of folders "d/d/d/…" with a file in each of the last ten. */
static void add_chain(struct naive_tree *tree, uint32_t depth, uint32_t files_from)
{
	struct fsmeta_path_stack stack;
	uint32_t level;

	fsmeta_path_stack_init(&stack);
	add(tree, "", FSMETA_TYPE_FOLDER, 0);
	for (level = 0; level < depth; level++) {
		assert_int_equal(fsmeta_path_stack_push(&stack, "d", 1), 0);
		add(tree, fsmeta_path_stack_path(&stack, NULL), FSMETA_TYPE_FOLDER, 0);
	}
	for (; level > files_from; level--) {
		assert_int_equal(fsmeta_path_stack_push(&stack, "f", 1), 0);
		add(tree, fsmeta_path_stack_path(&stack, NULL), FSMETA_TYPE_FILE, 3);
		fsmeta_path_stack_truncate(&stack, level - 1);
	}
	fsmeta_path_stack_release(&stack);
}

static void deep_chains_are_totalled(void **state)
{
	struct naive_tree a, b;
	struct naive_changes items;

	(void)state;
	tree_init_by_hand(&a);
	tree_init_by_hand(&b);
	add_chain(&a, CHAIN_DEPTH, CHAIN_DEPTH - 10);
	add_chain(&b, 5, 5);
	items = diff_items(&a, &b, FSMETA_DIFF_STORED);
	assert_int_equal(items.count, CHAIN_DEPTH - 5 + 10);
	assert_item(&items, 0, FSMETA_CHANGE_REMOVED, "d/d/d/d/d/d", 0, items.count - 1, 30);
	for (size_t i = 1; i < CHAIN_DEPTH - 5; i++)
		assert_int_equal(items.items[i].entries,
		    items.count - 1 - i - (i + 15 > CHAIN_DEPTH - 0 ? i + 15 - CHAIN_DEPTH : 0));
	naive_changes_release(&items);
	items = diff_items(&b, &a, FSMETA_DIFF_REPORTED);
	assert_item(&items, 0, FSMETA_CHANGE_ADDED, "d/d/d/d/d/d", 0, items.count - 1, 30);
	naive_changes_release(&items);
	naive_tree_release(&a);
	naive_tree_release(&b);
}

/** With "c" in hand and a batch behind it, stepping over the batch would lose the order. */
static void a_batch_is_not_stepped_over_with_an_entry_in_hand(void **state)
{
	const struct fsmeta_array_run run = {
	    .kind = FSMETA_RUN_BATCH, .path = "d", .token = {1, 2}, .entries = 2};
	struct fsmeta_diff_options options = {0};
	struct fsmeta_cursor *cursors[2];
	struct fsmeta_error error = {0};
	struct fsmeta_diff *diff;
	struct naive_tree trees[2];
	struct naive_changes items;

	(void)state;
	for (int side = 0; side < 2; side++) {
		struct naive_tree *tree = &trees[side];

		tree_init_by_hand(tree);
		add(tree, "", FSMETA_TYPE_FOLDER, 0);
		add(tree, side ? "b" : "c", FSMETA_TYPE_FILE, 1);
		add(tree, "d", FSMETA_TYPE_FOLDER, 0);
		add(tree, "d/x", FSMETA_TYPE_FILE, 1);
		add(tree, "d/y", FSMETA_TYPE_FILE, 1);
		assert_int_equal(fsmeta_cursor_from_array(&cursors[side], tree->entries,
				     tree->count, &tree->source, &error),
		    0);
		fsmeta_cursor_array_offer_runs(cursors[side], &run, 1);
	}
	assert_int_equal(fsmeta_diff_run(&diff, cursors[0], cursors[1], &options, &error), 0);
	items = collect_diff(diff);
	assert_int_equal(items.count, 2);
	assert_item(&items, 0, FSMETA_CHANGE_ADDED, "b", 0, 0, 0);
	assert_item(&items, 1, FSMETA_CHANGE_REMOVED, "c", 0, 0, 0);
	naive_changes_release(&items);
	fsmeta_diff_free(diff);
	for (int side = 0; side < 2; side++) {
		fsmeta_cursor_close(cursors[side]);
		naive_tree_release(&trees[side]);
	}
}

/**
 * Folders a, d and e, of which d could be listed only in part: what the newer side
 * lacks there is carried, and all that is equal in a and e is stepped over unread.
 */
static void streams_with_an_unreadable_folder_are_stepped_over(void **state)
{
	enum {
		FILES = 30000
	};
	struct fsmeta_diff_options options = {0};
	const struct fsmeta_diff_counts *counts;
	struct fsmeta_cursor *cursors[2];
	struct fsmeta_error error = {0};
	struct fsmeta_diff *diff;
	struct naive_tree trees[2];
	struct naive_changes items;
	char path[32];

	(void)state;
	for (int side = 0; side < 2; side++) {
		struct naive_tree *tree = &trees[side];

		tree_init_by_hand(tree);
		assert_int_equal(fsmeta_batch_source_add_root(
				     &tree->source, &tree->source.unreadable, "d", 1, EIO),
		    0);
		add(tree, "", FSMETA_TYPE_FOLDER, 0);
		for (const char *folder = "ade"; *folder; folder++) {
			snprintf(path, sizeof(path), "%c", *folder);
			add(tree, path, FSMETA_TYPE_FOLDER, 0);
			if (*folder == 'd') {
				last(tree)->flags = FSMETA_FLAG_UNREADABLE;
				last(tree)->error = EIO;
			}
			/* The newer listing of d broke off at 20,000. */
			for (unsigned i = 0; i < (*folder == 'd' && side ? 20000 : FILES); i++) {
				snprintf(path, sizeof(path), "%c/%05u", *folder, i);
				add(tree, path, FSMETA_TYPE_FILE, 1);
			}
		}
		cursors[side] = open_as_stream(tree);
	}
	assert_int_equal(fsmeta_diff_run(&diff, cursors[0], cursors[1], &options, &error), 0);
	items = collect_diff(diff);
	assert_int_equal(items.count, 1);
	assert_item(
	    &items, 0, FSMETA_CHANGE_UNREADABLE, "d", FSMETA_CHANGE_CONTINUED, 10000, 10000);
	assert_false(fsmeta_diff_has_changes(diff));
	counts = fsmeta_diff_get_counts(diff);
	assert_true(counts->entries_stepped > FILES);
	assert_true(counts->entries_a + counts->entries_stepped == 3 * FILES + 4);
	naive_changes_release(&items);
	fsmeta_diff_free(diff);
	for (int side = 0; side < 2; side++) {
		fsmeta_cursor_close(cursors[side]);
		naive_tree_release(&trees[side]);
	}
}

/** Takes changes and checks only their number and the first one's totals. */
struct tally {
	struct fsmeta_change_sink sink;
	uint64_t count;
	uint64_t entries;
	uint64_t bytes;
};

static int tally_change(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct tally *tally = (struct tally *)sink;
	char path[32];

	(void)error;
	if (tally->count == 0) {
		tally->entries = change->entries;
		tally->bytes = change->bytes;
	} else {
		snprintf(path, sizeof(path), "big/%06llu", (unsigned long long)tally->count - 1);
		assert_string_equal(change->before->path, path);
	}
	tally->count++;
	return 0;
}

static void a_folder_beyond_the_spool_bound_is_totalled(void **state)
{
	enum {
		FILES = 100000
	};
	struct tally tally = {.sink = {.change = tally_change}};
	struct fsmeta_diff_options options = {.spool_bytes = 4096};
	struct fsmeta_error error = {0};
	struct fsmeta_diff *diff;
	struct naive_tree a, b;

	(void)state;
	tree_init_by_hand(&a);
	tree_init_by_hand(&b);
	add(&a, "", FSMETA_TYPE_FOLDER, 0);
	add(&b, "", FSMETA_TYPE_FOLDER, 0);
	add(&a, "big", FSMETA_TYPE_FOLDER, 0);
	for (unsigned i = 0; i < FILES; i++) {
		char path[32];

		snprintf(path, sizeof(path), "big/%06u", i);
		add(&a, path, FSMETA_TYPE_FILE, i);
	}
	diff = run_diff(&a, &b, &options, 0);
	assert_int_equal(fsmeta_diff_replay(diff, &tally.sink, &error), 0);
	assert_int_equal(tally.count, FILES + 1);
	assert_int_equal(tally.entries, FILES);
	assert_int_equal(tally.bytes, (uint64_t)FILES * (FILES - 1) / 2);
	assert_int_equal(fsmeta_diff_get_counts(diff)->bytes_removed, tally.bytes);
	fsmeta_diff_free(diff);
	naive_tree_release(&a);
	naive_tree_release(&b);
}

static void the_stop_flag_stops(void **state)
{
	volatile sig_atomic_t stop = 1;
	struct fsmeta_diff_options options = {.stop = &stop};
	struct fsmeta_error error = {0};
	struct fsmeta_cursor *cursor_a, *cursor_b;
	struct fsmeta_diff *diff;
	struct naive_tree a;

	(void)state;
	tree_init_by_hand(&a);
	add(&a, "", FSMETA_TYPE_FOLDER, 0);
	fsmeta_cursor_from_array(&cursor_a, a.entries, a.count, &a.source, &error);
	fsmeta_cursor_from_array(&cursor_b, a.entries, a.count, &a.source, &error);
	assert_int_equal(
	    fsmeta_diff_run(&diff, cursor_a, cursor_b, &options, &error), FSMETA_E_STOPPED);
	assert_null(diff);
	fsmeta_diff_free(diff);
	fsmeta_cursor_close(cursor_a);
	fsmeta_cursor_close(cursor_b);
	naive_tree_release(&a);
}

static int refuse(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	(void)sink;
	(void)change;
	return fsmeta_error_set(error, FSMETA_E_BUSY, NULL, "testing", "no");
}

static void a_failing_sink_ends_the_replay(void **state)
{
	struct fsmeta_change_sink sink = {.change = refuse};
	struct fsmeta_diff_options options = {0};
	struct fsmeta_error error = {0};
	struct fsmeta_diff *diff;
	struct naive_tree a, b;

	(void)state;
	tree_init_by_hand(&a);
	tree_init_by_hand(&b);
	add(&b, "", FSMETA_TYPE_FOLDER, 0);
	diff = run_diff(&a, &b, &options, 0);
	assert_int_equal(fsmeta_diff_replay(diff, &sink, &error), FSMETA_E_BUSY);
	fsmeta_diff_free(diff);
	naive_tree_release(&a);
	naive_tree_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whole_folders_carry_totals),
	    cmocka_unit_test(another_type_is_removed_and_added),
	    cmocka_unit_test(what_cannot_be_read_is_not_removed),
	    cmocka_unit_test(a_listed_folder_in_an_unlisted_one_is_believed),
	    cmocka_unit_test(an_unreadable_file_loses_nothing),
	    cmocka_unit_test(rotten_content_is_corruption),
	    cmocka_unit_test(what_was_not_asked_for_is_carried_silently),
	    cmocka_unit_test(what_was_excluded_is_unknown_at_the_topmost_place),
	    cmocka_unit_test(a_state_is_believed_unless_it_shows_only_what_was_seen),
	    cmocka_unit_test(first_import_adds_the_root_and_all_below),
	    cmocka_unit_test(deep_chains_are_totalled),
	    cmocka_unit_test(a_batch_is_not_stepped_over_with_an_entry_in_hand),
	    cmocka_unit_test(streams_with_an_unreadable_folder_are_stepped_over),
	    cmocka_unit_test(a_folder_beyond_the_spool_bound_is_totalled),
	    cmocka_unit_test(the_stop_flag_stops),
	    cmocka_unit_test(a_failing_sink_ends_the_replay),
	    cmocka_unit_test(random_pairs_equal_the_naive_diff),
	};

	expect_handler = fail_with;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
