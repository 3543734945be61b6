/*
 * For every path of either side: what is it here, what is it there?
 *
 * An absence on the newer side is judged by climbing: the nearest folder that both the
 * path and the newer listing have either hides it (it could not be read, is on another
 * file system, or was itself only carried), or the scope says that nobody looked, or
 * the entry is gone.  What a place hides is counted by asking so for every entry of the
 * older side, and totals of folders by asking each entry whether it lies below.  That is
 * quadratic, and meant to be.
 */
#include "tests/support/naive_diff.h"

#include "base/path.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- listings ----------------------------------------------------------- */

void naive_tree_init(struct naive_tree *tree)
{
	memset(tree, 0, sizeof(*tree));
	fsmeta_batch_source_init(&tree->source);
	tree->source.field_mask = FSMETA_FIELDS_KNOWN;
}

void naive_tree_release(struct naive_tree *tree)
{
	free(tree->entries);
	fsmeta_arena_release(&tree->arena);
	fsmeta_batch_source_release(&tree->source);
}

struct fsmeta_entry *naive_tree_add(struct naive_tree *tree, const struct fsmeta_entry *entry)
{
	struct fsmeta_entry *copy;

	if (tree->count == tree->capacity) {
		tree->capacity = tree->capacity ? tree->capacity * 2 : 64;
		tree->entries = reallocarray(tree->entries, tree->capacity, sizeof(*tree->entries));
		EXPECT(tree->entries, "out of memory");
	}
	copy = &tree->entries[tree->count++];
	*copy = *entry;
	copy->path = fsmeta_arena_copy(&tree->arena, entry->path, entry->path_length);
	EXPECT(copy->path, "out of memory");
	return copy;
}

const struct fsmeta_entry *naive_tree_find(
    const struct naive_tree *tree, const char *path, size_t length)
{
	size_t low = 0, high = tree->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct fsmeta_entry *entry = &tree->entries[middle];
		int order = fsmeta_path_compare(entry->path, entry->path_length, path, length);

		if (order == 0)
			return entry;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

bool naive_is_below(const struct fsmeta_entry *entry, const struct fsmeta_entry *folder)
{
	return entry->path_length > folder->path_length &&
	       fsmeta_path_is_within(
		   entry->path, entry->path_length, folder->path, folder->path_length);
}

bool naive_is_asked_for(const struct fsmeta_batch_source *source, const char *path, size_t length)
{
	const struct fsmeta_string_list *list = &source->subtrees;

	for (size_t i = 0; i < list->count; i++)
		if (fsmeta_path_is_within(path, length, list->items[i], list->lengths[i]) ||
		    fsmeta_path_is_within(list->items[i], list->lengths[i], path, length))
			return true;
	return list->count == 0;
}

static bool pattern_names(const char *pattern, const char *path, size_t length, bool is_folder)
{
	size_t pattern_length = strlen(pattern);

	if (pattern[pattern_length - 1] == '/') {
		if (!is_folder)
			return false;
		pattern_length--;
	}
	if (*pattern == '/') {
		pattern++;
		pattern_length--;
	} else {
		size_t name = fsmeta_path_name_offset(path, length);

		path += name;
		length -= name;
	}
	return length == pattern_length && memcmp(path, pattern, length) == 0;
}

bool naive_is_excluded(const struct fsmeta_batch_source *source, const char *path, size_t length,
    enum fsmeta_type type)
{
	for (size_t i = 0; i < source->excludes.count && length; i++)
		if (pattern_names(
			source->excludes.items[i], path, length, type == FSMETA_TYPE_FOLDER))
			return true;
	return false;
}

/* ---- changes ------------------------------------------------------------ */

void naive_changes_release(struct naive_changes *changes)
{
	free(changes->items);
	fsmeta_arena_release(&changes->arena);
}

static struct fsmeta_entry copy_entry(
    struct naive_changes *items, const struct fsmeta_entry *entry, const uint32_t *devices)
{
	struct fsmeta_entry copy = *entry;

	copy.path = fsmeta_arena_copy(&items->arena, entry->path, entry->path_length);
	copy.target = fsmeta_arena_copy(&items->arena, entry->target, entry->target_length);
	EXPECT(copy.path && copy.target, "out of memory");
	if (devices && copy.fields & FSMETA_FIELD_DEVICE)
		copy.device = devices[copy.device];
	copy.name = copy.path + fsmeta_path_name_offset(copy.path, copy.path_length);
	copy.name_length = copy.path_length - (size_t)(copy.name - copy.path);
	copy.depth = fsmeta_path_depth(copy.path, copy.path_length);
	return copy;
}

static int collect(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct naive_changes *items = (struct naive_changes *)sink;
	struct naive_change *item;

	(void)error;
	if (items->count == items->capacity) {
		items->capacity = items->capacity ? items->capacity * 2 : 64;
		items->items = reallocarray(items->items, items->capacity, sizeof(*items->items));
		EXPECT(items->items, "out of memory");
	}
	item = &items->items[items->count++];
	*item = (struct naive_change){.kind = change->kind,
	    .flags = change->flags,
	    .fields = change->fields,
	    .entries = change->entries,
	    .bytes = change->bytes,
	    .has_before = change->before,
	    .has_after = change->after};
	if (change->before)
		item->before = copy_entry(items, change->before, items->devices_before);
	if (change->after)
		item->after = copy_entry(items, change->after, items->devices_after);
	return 0;
}

void naive_changes_init(struct naive_changes *changes)
{
	*changes = (struct naive_changes){.sink = {.change = collect}};
}

const struct fsmeta_entry *naive_change_entry(const struct naive_change *item)
{
	return item->has_after ? &item->after : &item->before;
}

void naive_changes_print(const char *title, const struct naive_changes *items)
{
	fprintf(stderr, "%s\n", title);
	for (size_t i = 0; i < items->count; i++) {
		const struct naive_change *item = &items->items[i];
		struct fsmeta_buffer text = {0};

		fsmeta_text_append_json(
		    &text, naive_change_entry(item)->path, naive_change_entry(item)->path_length);
		fprintf(stderr, "  %s flags=%x fields=%x %llu/%llu %s\n",
		    fsmeta_change_kind_name(item->kind), item->flags, item->fields,
		    (unsigned long long)item->entries, (unsigned long long)item->bytes,
		    fsmeta_buffer_string(&text));
		fsmeta_buffer_release(&text);
	}
}

/** All of it: the spool must lose nothing. */
static bool same_entry(const struct fsmeta_entry *a, const struct fsmeta_entry *b)
{
	return a->path_length == b->path_length && memcmp(a->path, b->path, a->path_length) == 0 &&
	       a->name_length == b->name_length && memcmp(a->name, b->name, a->name_length) == 0 &&
	       a->depth == b->depth && a->type == b->type && a->fields == b->fields &&
	       a->flags == b->flags && a->error == b->error && a->id == b->id &&
	       a->unknown_since == b->unknown_since &&
	       !fsmeta_entry_differences(a, b, FSMETA_FIELDS_KNOWN, NULL, 0);
}

static bool same_change(const struct naive_change *a, const struct naive_change *b)
{
	return a->kind == b->kind && a->flags == b->flags && a->fields == b->fields &&
	       a->entries == b->entries && a->bytes == b->bytes && a->has_before == b->has_before &&
	       a->has_after == b->has_after &&
	       (!a->has_before || same_entry(&a->before, &b->before)) &&
	       (!a->has_after || same_entry(&a->after, &b->after));
}

static void print_entry(const char *title, const struct fsmeta_entry *entry)
{
	fprintf(stderr,
	    "%s: id %" PRIu64 " fields %x flags %x error %d unknown since %" PRIu64 " size %" PRIu64
	    " mtime %" PRId64 " device %u rdev %u:%u hash %d target %zu\n",
	    title, entry->id, entry->fields, entry->flags, entry->error, entry->unknown_since,
	    entry->size, entry->mtime.seconds, entry->device, entry->rdev_major, entry->rdev_minor,
	    (int)entry->hash_algorithm, entry->target_length);
}

void naive_changes_expect_equal(const struct naive_changes *got, const struct naive_changes *wanted)
{
	size_t at = 0;

	while (at < got->count && at < wanted->count &&
	       same_change(&got->items[at], &wanted->items[at]))
		at++;
	if (at == got->count && at == wanted->count)
		return;
	naive_changes_print("wanted:", wanted);
	naive_changes_print("got:", got);
	if (at < got->count && at < wanted->count) {
		print_entry("wanted before", &wanted->items[at].before);
		print_entry("got before", &got->items[at].before);
		print_entry("wanted after", &wanted->items[at].after);
		print_entry("got after", &got->items[at].after);
	}
	EXPECT(false, "change %zu differs", at);
}

/* ---- the naive diff ----------------------------------------------------- */

struct naive {
	const struct naive_tree *a;
	const struct naive_tree *b;
	const struct fsmeta_diff_options *options;
	bool b_is_state;
	uint32_t *device_map;
	struct naive_changes *out;
};

/** Entry of the parent folder of a path that is not the root; NULL where the tree has none. */
static const struct fsmeta_entry *find_parent(
    const struct naive_tree *tree, const char *path, size_t length)
{
	size_t name = fsmeta_path_name_offset(path, length);

	return naive_tree_find(tree, path, name ? name - 1 : 0);
}

size_t naive_parent_length(const char *path, size_t length)
{
	size_t name = fsmeta_path_name_offset(path, length);

	return name ? name - 1 : 0;
}

static bool is_folder_of(const struct naive_tree *tree, const char *path, size_t length)
{
	const struct fsmeta_entry *entry = naive_tree_find(tree, path, length);

	return entry && entry->type == FSMETA_TYPE_FOLDER;
}

static bool is_shown_unseen(const struct naive *naive, const struct fsmeta_entry *entry);

/** The folder of `b` that hides what is at `path`, NULL where none does. */
static const struct fsmeta_entry *hidden_by(
    const struct naive *naive, const char *path, size_t length)
{
	while (length) {
		const struct fsmeta_entry *folder;

		length = naive_parent_length(path, length);
		folder = naive_tree_find(naive->b, path, length);
		if (!folder)
			continue;
		if (folder->type != FSMETA_TYPE_FOLDER)
			return NULL;
		/* New as a whole: what hides it hides what is below. */
		if (!is_folder_of(naive->a, path, length))
			continue;
		if (folder->flags & (FSMETA_FLAG_UNREADABLE | FSMETA_FLAG_OTHER_FILESYSTEM))
			return folder;
		if (!folder->unknown_since)
			return NULL;
		if (is_shown_unseen(naive, folder))
			return folder;
	}
	return NULL;
}

/** Where `b` is a state, what its own scan excluded is in it all the same. */
static bool is_shown_unseen(const struct naive *naive, const struct fsmeta_entry *entry)
{
	return naive->b_is_state && entry->unknown_since &&
	       naive_is_asked_for(&naive->b->source, entry->path, entry->path_length) &&
	       naive_is_excluded(&naive->b->source, entry->path, entry->path_length, entry->type) &&
	       !hidden_by(naive, entry->path, entry->path_length);
}

enum fate {
	FATE_REMOVED,
	FATE_HIDDEN,
	FATE_NOT_ASKED,
	FATE_EXCLUDED,
};

/** What became of an entry that only `a` has. */
static enum fate naive_fate(
    const struct naive *naive, const struct fsmeta_entry *entry, const struct fsmeta_entry **folder)
{
	size_t topmost = entry->path_length;
	const struct fsmeta_entry *around = NULL;

	*folder = NULL;
	if (naive->b_is_state)
		return FATE_REMOVED;
	while (topmost) {
		size_t up = naive_parent_length(entry->path, topmost);

		around = naive_tree_find(naive->b, entry->path, up);
		if (around)
			break;
		topmost = up;
	}
	if (around && around->type != FSMETA_TYPE_FOLDER)
		return FATE_REMOVED;
	*folder = hidden_by(naive, entry->path, entry->path_length);
	if (*folder)
		return FATE_HIDDEN;
	if (!naive_is_asked_for(&naive->b->source, entry->path, topmost))
		return FATE_NOT_ASKED;
	*folder = naive_tree_find(naive->a, entry->path, topmost);
	return naive_is_excluded(
		   &naive->b->source, (*folder)->path, (*folder)->path_length, (*folder)->type)
		   ? FATE_EXCLUDED
		   : FATE_REMOVED;
}

static void naive_emit(struct naive *naive, const struct naive_change *item)
{
	struct fsmeta_change change = {.kind = item->kind,
	    .flags = item->flags,
	    .before = item->has_before ? &item->before : NULL,
	    .after = item->has_after ? &item->after : NULL,
	    .fields = item->fields,
	    .entries = item->entries,
	    .bytes = item->bytes};

	collect(&naive->out->sink, &change, NULL);
}

/** True where `entry` has no folder of its type on the other side. */
static bool is_inside(const struct naive_tree *other, const struct fsmeta_entry *entry)
{
	const struct fsmeta_entry *folder;

	if (!entry->path_length)
		return false;
	folder = find_parent(other, entry->path, entry->path_length);
	return !folder || folder->type != FSMETA_TYPE_FOLDER;
}

static void naive_whole(struct naive *naive, enum fsmeta_change_kind kind,
    const struct naive_tree *tree, const struct naive_tree *other, const struct fsmeta_entry *entry)
{
	struct naive_change item = {.kind = kind};

	if (is_inside(other, entry))
		item.flags = FSMETA_CHANGE_INSIDE;
	for (size_t i = 0; i < tree->count; i++) {
		const struct fsmeta_entry *each = &tree->entries[i];

		if (!naive_is_below(each, entry))
			continue;
		item.entries++;
		item.bytes += each->type == FSMETA_TYPE_FILE ? each->size : 0;
	}
	if (kind == FSMETA_CHANGE_ADDED) {
		item.has_after = true;
		item.after = *entry;
	} else {
		item.has_before = true;
		item.before = *entry;
	}
	naive_emit(naive, &item);
}

static uint32_t naive_mask(
    const struct naive *naive, const struct fsmeta_entry *before, const struct fsmeta_entry *after)
{
	const struct fsmeta_diff_options *options = naive->options;
	uint32_t a = naive->a->source.field_mask, b = naive->b->source.field_mask;
	uint32_t mask;

	if (options->notion == FSMETA_DIFF_STORED)
		return b | FSMETA_FIELD_FLAGS;
	mask = before->type == FSMETA_TYPE_FOLDER ? FSMETA_FIELDS_REPORTED_FOLDER
						  : FSMETA_FIELDS_REPORTED_FILE;
	mask = options->fields_only ? options->fields : mask | options->fields;
	mask &= (a & b) | FSMETA_FIELD_FLAGS;
	if (before->flags & FSMETA_FLAG_UNREADABLE)
		mask &= before->fields | FSMETA_FIELD_FLAGS;
	if (after->flags & FSMETA_FLAG_UNREADABLE)
		mask &= after->fields | FSMETA_FIELD_FLAGS;
	if (!(before->fields & after->fields & FSMETA_FIELD_HASH) ||
	    before->hash_algorithm != after->hash_algorithm)
		mask &= ~(uint32_t)FSMETA_FIELD_HASH;
	return mask;
}

/** `entry` with what it lacks because it could not be read, as far as it can be said. */
static void naive_fill(struct naive *naive, struct fsmeta_entry *entry,
    const struct fsmeta_entry *before, uint32_t *mask)
{
	struct fsmeta_entry filled = *before;
	uint32_t lacking = before->fields & ~entry->fields & naive->b->source.field_mask;
	uint32_t device = UINT32_MAX;

	for (uint32_t i = 0; i < naive->b->source.filesystem_count; i++)
		if (naive->device_map[i] == before->device)
			device = i;
	if (device == UINT32_MAX)
		lacking &= ~(uint32_t)FSMETA_FIELD_DEVICE;
#define TAKE(FIELD, member)                    \
	if (!(lacking & FSMETA_FIELD_##FIELD)) \
	filled.member = entry->member
	TAKE(SIZE, size);
	TAKE(MTIME, mtime);
	TAKE(CTIME, ctime);
	TAKE(BTIME, btime);
	TAKE(MODE, mode);
	TAKE(UID, uid);
	TAKE(GID, gid);
	TAKE(INODE, inode);
	TAKE(NLINK, nlink);
	TAKE(ALLOCATED, allocated);
	TAKE(RDEV, rdev_major);
	TAKE(RDEV, rdev_minor);
	TAKE(TARGET, target);
	TAKE(TARGET, target_length);
	TAKE(HASH, hash_algorithm);
#undef TAKE
	if (!(lacking & FSMETA_FIELD_HASH))
		memcpy(filled.hash, entry->hash, sizeof(filled.hash));
	filled.device = lacking & FSMETA_FIELD_DEVICE ? device : entry->device;
	filled.flags = entry->flags;
	filled.error = entry->error;
	filled.id = entry->id;
	filled.unknown_since = entry->unknown_since;
	filled.fields = entry->fields | lacking;
	*entry = filled;
	*mask &= entry->fields | FSMETA_FIELD_FLAGS;
}

static void naive_unseen(struct naive *naive, const struct fsmeta_entry *before,
    const struct fsmeta_entry *original, const struct naive_change *pair)
{
	struct naive_change item = *pair;
	bool unreadable = original->flags & FSMETA_FLAG_UNREADABLE;
	bool same = unreadable
			? before->flags & FSMETA_FLAG_UNREADABLE && before->error == original->error
			: before->flags & FSMETA_FLAG_OTHER_FILESYSTEM &&
			      !(before->flags & FSMETA_FLAG_UNREADABLE) &&
			      before->error == original->error;
	bool known = false;

	item.kind = unreadable ? FSMETA_CHANGE_UNREADABLE : FSMETA_CHANGE_UNKNOWN;
	item.fields = 0;
	for (size_t i = 0; i < naive->a->count; i++) {
		const struct fsmeta_entry *each = &naive->a->entries[i], *folder;

		if (!naive_tree_find(naive->b, each->path, each->path_length) &&
		    naive_fate(naive, each, &folder) == FATE_HIDDEN && folder == original) {
			item.entries++;
			item.bytes += each->type == FSMETA_TYPE_FILE ? each->size : 0;
			known |= !each->unknown_since;
		}
	}
	for (size_t i = 0; i < naive->b->count; i++) {
		const struct fsmeta_entry *each = &naive->b->entries[i], *there;

		if (!each->unknown_since ||
		    hidden_by(naive, each->path, each->path_length) != original)
			continue;
		there = naive_tree_find(naive->a, each->path, each->path_length);
		item.entries++;
		item.bytes += each->type == FSMETA_TYPE_FILE ? each->size : 0;
		known |= !there || there->type != each->type || !there->unknown_since;
	}
	if (same || (item.entries && !known))
		item.flags = FSMETA_CHANGE_CONTINUED;
	if (unreadable || item.entries)
		naive_emit(naive, &item);
}

/** `before` was left out by b's excludes; `after` is what b as a state shows of it, or NULL. */
static void naive_left_out(
    struct naive *naive, const struct fsmeta_entry *before, const struct fsmeta_entry *after)
{
	const struct naive_tree *tree = after ? naive->b : naive->a;
	struct naive_change item = {
	    .kind = FSMETA_CHANGE_UNKNOWN, .has_before = true, .before = *before};
	bool known = !before->unknown_since;

	for (size_t i = 0; i < tree->count; i++) {
		const struct fsmeta_entry *each = &tree->entries[i], *was = each;

		if (after && (!each->unknown_since ||
				 hidden_by(naive, each->path, each->path_length) != after))
			continue;
		if (!after && !naive_is_below(each, before))
			continue;
		if (after)
			was = naive_tree_find(naive->a, each->path, each->path_length);
		item.entries++;
		item.bytes += each->type == FSMETA_TYPE_FILE ? each->size : 0;
		known |= !was || was->type != each->type || !was->unknown_since;
	}
	item.flags = known ? 0 : FSMETA_CHANGE_CONTINUED;
	naive_emit(naive, &item);
}

static void naive_pair(
    struct naive *naive, const struct fsmeta_entry *before, const struct fsmeta_entry *after)
{
	const uint32_t evidence = FSMETA_FIELD_SIZE | FSMETA_FIELD_MTIME | FSMETA_FIELD_HASH;
	struct naive_change item = {.kind = FSMETA_CHANGE_MODIFIED,
	    .has_before = true,
	    .has_after = true,
	    .before = *before,
	    .after = *after};
	uint32_t mask = naive_mask(naive, before, after);
	bool both_hashed = before->fields & after->fields & FSMETA_FIELD_HASH &&
			   before->hash_algorithm == after->hash_algorithm;

	if (naive->options->notion == FSMETA_DIFF_REPORTED && !both_hashed)
		mask &= ~(uint32_t)FSMETA_FIELD_HASH;
	/* A state has been filled up before; what it still lacks it lacks. */
	if (naive->options->notion == FSMETA_DIFF_STORED && !naive->b_is_state &&
	    after->flags & FSMETA_FLAG_UNREADABLE)
		naive_fill(naive, &item.after, before, &mask);
	item.fields = fsmeta_entry_differences(
	    before, &item.after, mask, naive->device_map, naive->b->source.filesystem_count);
	if (before->type == FSMETA_TYPE_FILE && item.fields & FSMETA_FIELD_HASH &&
	    (item.before.fields & evidence) == evidence &&
	    (item.after.fields & evidence) == evidence &&
	    item.before.hash_algorithm == item.after.hash_algorithm &&
	    !fsmeta_entry_differences(
		before, &item.after, FSMETA_FIELD_SIZE | FSMETA_FIELD_MTIME, NULL, 0))
		item.kind = FSMETA_CHANGE_CORRUPTED;
	if (item.fields)
		naive_emit(naive, &item);
	if (is_shown_unseen(naive, after))
		naive_left_out(naive, before, after);
	else if (after->flags & FSMETA_FLAG_UNREADABLE ||
		 (after->flags & FSMETA_FLAG_OTHER_FILESYSTEM && after->type == FSMETA_TYPE_FOLDER))
		naive_unseen(naive, before, after, &item);
}

static void naive_path(
    struct naive *naive, const struct fsmeta_entry *before, const struct fsmeta_entry *after)
{
	const struct fsmeta_entry *folder = NULL;
	enum fate fate = FATE_REMOVED;

	if (before && after && before->type == after->type) {
		naive_pair(naive, before, after);
		return;
	}
	if (before && !after)
		fate = naive_fate(naive, before, &folder);
	if (before && fate == FATE_REMOVED)
		naive_whole(naive, FSMETA_CHANGE_REMOVED, naive->a, naive->b, before);
	else if (fate == FATE_EXCLUDED && folder == before)
		naive_left_out(naive, before, NULL);
	if (after)
		naive_whole(naive, FSMETA_CHANGE_ADDED, naive->b, naive->a, after);
}

static void naive_merge(struct naive_changes *out, const struct naive_tree *a,
    const struct naive_tree *b, const struct fsmeta_diff_options *options)
{
	struct naive naive = {.a = a, .b = b, .options = options, .out = out};
	size_t i = 0, j = 0;

	naive.b_is_state = b->source.id_kind == FSMETA_IDS_STABLE && !options->seen_only;
	EXPECT(!fsmeta_batch_source_map_filesystems(&naive.device_map, &a->source, &b->source),
	    "out of memory");
	while (i < a->count || j < b->count) {
		const struct fsmeta_entry *before = i < a->count ? &a->entries[i] : NULL;
		const struct fsmeta_entry *after = j < b->count ? &b->entries[j] : NULL;
		int order = !before  ? 1
			    : !after ? -1
				     : fsmeta_path_compare(before->path, before->path_length,
					   after->path, after->path_length);

		naive_path(&naive, order <= 0 ? before : NULL, order >= 0 ? after : NULL);
		i += order <= 0;
		j += order >= 0;
	}
	free(naive.device_map);
}

/* ---- moves --------------------------------------------------------------- */

/** What came or went, and what it is one and the same with. */
struct half {
	const struct naive_change *change;
	const struct fsmeta_entry *entry;
	enum fsmeta_change_kind kind;
	struct half *other;
	/** It only went along with its folder. */
	bool along;
	bool barred;
};

struct naive_moves {
	struct naive *naive;
	struct half *halves;
	size_t count;
};

static bool same_bytes(const char *a, size_t a_length, const char *b, size_t b_length)
{
	return a_length == b_length && memcmp(a, b, a_length) == 0;
}

static bool both_have(const struct fsmeta_entry *a, const struct fsmeta_entry *b, uint32_t fields)
{
	return (a->fields & b->fields & fields) == fields;
}

/** The two lie on one file system. */
static bool share_device(const struct naive *naive, const struct half *x, const struct half *y)
{
	uint32_t devices[2];
	const struct half *halves[] = {x, y};

	for (int i = 0; i < 2; i++) {
		devices[i] = halves[i]->entry->device;
		if (halves[i]->kind == FSMETA_CHANGE_ADDED)
			devices[i] = naive->device_map[devices[i]];
	}
	return devices[0] == devices[1] && devices[0] != UINT32_MAX;
}

static bool same_inode(const struct naive *naive, const struct half *x, const struct half *y)
{
	return both_have(x->entry, y->entry,
		   FSMETA_FIELD_DEVICE | FSMETA_FIELD_INODE | FSMETA_FIELD_BTIME) &&
	       share_device(naive, x, y) && x->entry->inode == y->entry->inode &&
	       fsmeta_time_compare(x->entry->btime, y->entry->btime) == 0;
}

static bool same_id(const struct naive *naive, const struct half *x, const struct half *y)
{
	(void)naive;
	return x->entry->id && x->entry->id == y->entry->id;
}

static bool same_name(const struct naive *naive, const struct half *x, const struct half *y)
{
	const struct fsmeta_entry *a = x->entry, *b = y->entry;
	bool is_folder = a->type == FSMETA_TYPE_FOLDER;

	(void)naive;
	return both_have(
		   a, b, FSMETA_FIELD_MTIME | (is_folder ? 0 : (uint32_t)FSMETA_FIELD_SIZE)) &&
	       fsmeta_time_compare(a->mtime, b->mtime) == 0 && (is_folder || a->size == b->size) &&
	       same_bytes(a->name, a->name_length, b->name, b->name_length);
}

static bool same_hash(const struct naive *naive, const struct half *x, const struct half *y)
{
	const struct fsmeta_entry *a = x->entry, *b = y->entry;

	(void)naive;
	return a->type == FSMETA_TYPE_FILE &&
	       both_have(a, b, FSMETA_FIELD_HASH | FSMETA_FIELD_SIZE) && a->size &&
	       a->size == b->size && a->hash_algorithm == b->hash_algorithm &&
	       memcmp(a->hash, b->hash, fsmeta_hash_bytes(a->hash_algorithm)) == 0;
}

static const struct naive_tree *tree_of(const struct naive *naive, const struct half *half)
{
	return half->kind == FSMETA_CHANGE_REMOVED ? naive->a : naive->b;
}

/** True where all that is below the two is alike, by path from there. */
static bool same_content(const struct naive *naive, const struct half *x, const struct half *y)
{
	const struct half *halves[] = {x, y};
	size_t counts[2] = {0, 0};

	if (x->entry->type != FSMETA_TYPE_FOLDER)
		return false;
	for (int i = 0; i < 2; i++) {
		const struct naive_tree *tree = tree_of(naive, halves[i]);

		for (size_t k = 0; k < tree->count; k++)
			counts[i] += naive_is_below(&tree->entries[k], halves[i]->entry);
	}
	if (counts[0] != counts[1] || !counts[0])
		return false;
	for (size_t k = 0; k < tree_of(naive, x)->count; k++) {
		const struct fsmeta_entry *each = &tree_of(naive, x)->entries[k], *there;
		uint32_t mask;
		char path[4096];
		size_t rest, length;

		if (!naive_is_below(each, x->entry))
			continue;
		rest = each->path_length - x->entry->path_length;
		length = y->entry->path_length + rest;
		memcpy(path, y->entry->path, y->entry->path_length);
		memcpy(path + y->entry->path_length, each->path + x->entry->path_length, rest);
		there = naive_tree_find(tree_of(naive, y), path, length);
		if (!there || there->type != each->type)
			return false;
		mask = naive_mask(naive, each, there) | FSMETA_FIELD_MTIME | FSMETA_FIELD_FLAGS;
		if (each->type != FSMETA_TYPE_FOLDER)
			mask |= FSMETA_FIELD_SIZE;
		if (fsmeta_entry_differences(each, there, mask,
			x->kind == y->kind ? NULL : naive->device_map,
			naive->b->source.filesystem_count))
			return false;
	}
	return true;
}

/** Pairs all that have exactly one other half of this kind. */
static void pair_by(struct naive_moves *moves, bool folders,
    bool (*same)(const struct naive *naive, const struct half *x, const struct half *y))
{
	struct half **found = calloc(moves->count + 1, sizeof(struct half *));

	EXPECT(found, "out of memory");
	for (size_t i = 0; i < moves->count; i++) {
		struct half *x = &moves->halves[i];
		size_t alike[2] = {0, 0};

		if (x->kind != FSMETA_CHANGE_REMOVED || x->other || x->barred ||
		    (x->entry->type == FSMETA_TYPE_FOLDER) != folders)
			continue;
		for (size_t k = 0; k < moves->count; k++) {
			struct half *y = &moves->halves[k];

			if (y->other || y->barred || y->entry->type != x->entry->type)
				continue;
			if (y != x && !same(moves->naive, x, y))
				continue;
			alike[y->kind == FSMETA_CHANGE_ADDED]++;
			if (y->kind == FSMETA_CHANGE_ADDED)
				found[i] = y;
		}
		if (alike[0] != 1 || alike[1] != 1)
			found[i] = NULL;
	}
	for (size_t i = 0; i < moves->count; i++) {
		if (!found[i])
			continue;
		moves->halves[i].other = found[i];
		found[i]->other = &moves->halves[i];
	}
	free(found);
}

static struct half *find_half(
    const struct naive_moves *moves, enum fsmeta_change_kind kind, const char *path, size_t length)
{
	for (size_t i = 0; i < moves->count; i++)
		if (moves->halves[i].kind == kind &&
		    same_bytes(moves->halves[i].entry->path, moves->halves[i].entry->path_length,
			path, length))
			return &moves->halves[i];
	return NULL;
}

/** The nearest folder strictly above that is one of a pair, `along` ones not. */
static struct half *nearest_pair(const struct naive_moves *moves, const struct half *half)
{
	size_t length = half->entry->path_length;

	while (length) {
		struct half *above;

		length = naive_parent_length(half->entry->path, length);
		above = find_half(moves, half->kind, half->entry->path, length);
		if (!above)
			return NULL;
		if (above->other)
			return above;
	}
	return NULL;
}

/** What stands at the same place in both folders of a pair is one and the same. */
static void pair_by_place(struct naive_moves *moves)
{
	struct half **others = calloc(moves->count + 1, sizeof(struct half *));

	EXPECT(others, "out of memory");
	for (size_t i = 0; i < moves->count; i++) {
		struct half *x = &moves->halves[i], *folder, *y;
		char path[4096];
		size_t rest, base;

		folder = x->kind == FSMETA_CHANGE_REMOVED ? nearest_pair(moves, x) : NULL;
		if (!folder)
			continue;
		base = folder->other->entry->path_length;
		rest = x->entry->path_length - folder->entry->path_length;
		memcpy(path, folder->other->entry->path, base);
		memcpy(path + base, x->entry->path + folder->entry->path_length, rest);
		y = find_half(moves, FSMETA_CHANGE_ADDED, path, base + rest);
		if (y && y->entry->type == x->entry->type &&
		    nearest_pair(moves, y) == folder->other &&
		    (x->other == y || (!x->other && !y->other)))
			others[i] = y;
	}
	for (size_t i = 0; i < moves->count; i++) {
		if (!others[i])
			continue;
		moves->halves[i].other = others[i];
		others[i]->other = &moves->halves[i];
		others[i]->along = true;
		moves->halves[i].along = true;
	}
	free(others);
}

/** An inode that has a path on both sides moves nowhere. */
static void bar_links(struct naive_moves *moves)
{
	const struct naive *naive = moves->naive;
	const uint32_t needed = FSMETA_FIELD_DEVICE | FSMETA_FIELD_INODE | FSMETA_FIELD_NLINK;

	for (size_t i = 0; i < moves->count; i++) {
		struct half *half = &moves->halves[i];
		const struct fsmeta_entry *entry = half->entry;

		if (entry->type == FSMETA_TYPE_FOLDER || (entry->fields & needed) != needed ||
		    entry->nlink < 2)
			continue;
		for (size_t k = 0; k < naive->a->count && !half->barred; k++) {
			struct half before = {
			    .entry = &naive->a->entries[k], .kind = FSMETA_CHANGE_REMOVED};
			struct half after = {.kind = FSMETA_CHANGE_ADDED};

			after.entry = naive_tree_find(
			    naive->b, before.entry->path, before.entry->path_length);
			if (!after.entry || after.entry->type != before.entry->type ||
			    !both_have(before.entry, after.entry, needed) ||
			    !share_device(naive, &before, &after) ||
			    before.entry->inode != after.entry->inode ||
			    (before.entry->nlink < 2 && after.entry->nlink < 2))
				continue;
			half->barred = share_device(naive, &before, half) &&
				       before.entry->inode == entry->inode &&
				       before.entry->type == entry->type;
		}
	}
}

static void find_moves(struct naive_moves *moves)
{
	uint32_t wanted = moves->naive->options->moves;

	if (wanted & FSMETA_DIFF_MOVES_BY_ID)
		pair_by(moves, true, same_id);
	if (wanted & FSMETA_DIFF_MOVES_BY_EVIDENCE) {
		pair_by(moves, true, same_inode);
		pair_by(moves, true, same_content);
		pair_by(moves, true, same_name);
	}
	pair_by_place(moves);
	if (wanted & FSMETA_DIFF_MOVES_BY_ID)
		pair_by(moves, false, same_id);
	if (!(wanted & FSMETA_DIFF_MOVES_BY_EVIDENCE))
		return;
	bar_links(moves);
	pair_by(moves, false, same_inode);
	pair_by(moves, false, same_name);
	pair_by(moves, false, same_hash);
}

/** A removed or added entry that stays one: is its folder one, too? */
static void emit_whole(struct naive_moves *moves, const struct half *half)
{
	struct naive_change item = *half->change;
	const struct half *folder = find_half(moves, half->kind, half->entry->path,
	    naive_parent_length(half->entry->path, half->entry->path_length));

	item.flags = 0;
	if (half->entry->path_length && folder && folder != half && !folder->other)
		item.flags = FSMETA_CHANGE_INSIDE;
	item.entries = 0;
	item.bytes = 0;
	for (size_t i = 0; i < moves->count; i++) {
		const struct half *each = &moves->halves[i], *up = each;

		if (each->kind != half->kind || !naive_is_below(each->entry, half->entry))
			continue;
		/* It went with this one if all folders in between did. */
		while (up && up != half && !up->other)
			up = find_half(moves, half->kind, up->entry->path,
			    naive_parent_length(up->entry->path, up->entry->path_length));
		if (up != half)
			continue;
		item.entries++;
		item.bytes += each->entry->type == FSMETA_TYPE_FILE ? each->entry->size : 0;
	}
	naive_emit(moves->naive, &item);
}

static void emit_arrival(struct naive_moves *moves, const struct half *half)
{
	const struct naive *naive = moves->naive;
	struct naive_changes pair;
	struct naive_change item;

	/* As if it had been there all the time. */
	naive_changes_init(&pair);
	{
		struct naive alone = *naive;

		alone.out = &pair;
		naive_pair(&alone, half->other->entry, half->entry);
	}
	if (pair.count)
		item = pair.items[0];
	else
		item = (struct naive_change){.kind = FSMETA_CHANGE_MODIFIED,
		    .has_before = true,
		    .has_after = true,
		    .before = *half->other->entry,
		    .after = *half->entry};
	if (!half->along) {
		item.kind = FSMETA_CHANGE_MOVED;
		for (size_t i = 0; i < moves->count; i++) {
			const struct half *each = &moves->halves[i], *up = each;

			if (each->kind != FSMETA_CHANGE_ADDED || !each->along ||
			    !naive_is_below(each->entry, half->entry))
				continue;
			while (up && up != half && up->along)
				up = find_half(moves, half->kind, up->entry->path,
				    naive_parent_length(up->entry->path, up->entry->path_length));
			if (up != half)
				continue;
			item.entries++;
			item.bytes += each->entry->type == FSMETA_TYPE_FILE ? each->entry->size : 0;
		}
	}
	if (!half->along || item.fields)
		naive_emit(moves->naive, &item);
	naive_changes_release(&pair);
}

static void naive_moves(
    struct naive_changes *out, const struct naive_changes *changes, struct naive *naive)
{
	struct naive_moves moves = {
	    .naive = naive, .halves = calloc(changes->count + 1, sizeof(struct half))};
	size_t at = 0;

	EXPECT(moves.halves, "out of memory");
	naive->out = out;
	for (size_t i = 0; i < changes->count; i++) {
		const struct naive_change *change = &changes->items[i];

		if (change->kind == FSMETA_CHANGE_REMOVED || change->kind == FSMETA_CHANGE_ADDED)
			moves.halves[moves.count++] = (struct half){.change = change,
			    .entry = naive_change_entry(change),
			    .kind = change->kind};
	}
	find_moves(&moves);
	for (size_t i = 0; i < changes->count; i++) {
		const struct half *half = &moves.halves[at];

		if (at == moves.count || half->change != &changes->items[i]) {
			naive_emit(naive, &changes->items[i]);
			continue;
		}
		at++;
		if (!half->other)
			emit_whole(&moves, half);
		else if (half->kind == FSMETA_CHANGE_ADDED)
			emit_arrival(&moves, half);
	}
	free(moves.halves);
}

void naive_diff(struct naive_changes *out, const struct naive_tree *a, const struct naive_tree *b,
    const struct fsmeta_diff_options *options)
{
	struct naive naive = {.a = a, .b = b, .options = options};
	struct naive_changes changes;

	if (!options->moves) {
		naive_merge(out, a, b, options);
		return;
	}
	naive_changes_init(&changes);
	naive_merge(&changes, a, b, options);
	naive.b_is_state = b->source.id_kind == FSMETA_IDS_STABLE && !options->seen_only;
	EXPECT(!fsmeta_batch_source_map_filesystems(&naive.device_map, &a->source, &b->source),
	    "out of memory");
	naive_moves(out, &changes, &naive);
	free(naive.device_map);
	naive_changes_release(&changes);
}
