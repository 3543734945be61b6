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

void naive_diff(struct naive_changes *out, const struct naive_tree *a, const struct naive_tree *b,
    const struct fsmeta_diff_options *options)
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
