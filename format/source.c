/*
 * BatchSource: the struct, its lists and its tables.
 *
 * Everything a source holds lives in its arena, so growing an array means copying
 * it to twice the room and leaving the old one behind: what is left behind is
 * never more than what is in use.
 *
 * Two sources meet in a merge with two tables of file systems.  Their indices are
 * translated once, by a sorted copy of one table, instead of comparing UUIDs for
 * every pair of entries.
 */
#include "format/source.h"

#include "format/source_json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

void fsmeta_batch_source_init(struct fsmeta_batch_source *source)
{
	*source = (struct fsmeta_batch_source){.format_version = FSMETA_FORMAT_VERSION};
	fsmeta_arena_init(&source->arena);
}

void fsmeta_batch_source_release(struct fsmeta_batch_source *source)
{
	json_decref(source->unknown_keys);
	fsmeta_arena_release(&source->arena);
	fsmeta_batch_source_init(source);
}

/**
 * Makes room for one more item in an array of `count`.  `array` is the address of
 * the pointer to its first item, of whatever type.
 */
static int make_room(
    struct fsmeta_arena *arena, void *array, size_t count, size_t *capacity, size_t item_bytes)
{
	size_t wanted = count ? count * 2 : 4;
	void *old, *moved;

	if (count < *capacity)
		return 0;
	moved = fsmeta_arena_allocate_array(arena, wanted, item_bytes);
	if (!moved)
		return FSMETA_E_MEMORY;
	memcpy(&old, array, sizeof(old));
	if (count)
		memcpy(moved, old, count * item_bytes);
	memcpy(array, &moved, sizeof(moved));
	*capacity = wanted;
	return 0;
}

int fsmeta_batch_source_set(
    struct fsmeta_batch_source *source, const char **field, const char *text)
{
	const char *copy = NULL;

	if (text) {
		copy = fsmeta_arena_copy(&source->arena, text, strlen(text));
		if (!copy)
			return FSMETA_E_MEMORY;
	}
	*field = copy;
	return 0;
}

static bool same_filesystem(const struct fsmeta_filesystem *a, const struct fsmeta_filesystem *b)
{
	if (strcmp(a->uuid, b->uuid) || strcmp(a->type, b->type))
		return false;
	return a->uuid[0] || !strcmp(a->label, b->label);
}

int fsmeta_source_append_filesystem(
    struct fsmeta_batch_source *source, const struct fsmeta_filesystem *filesystem)
{
	struct fsmeta_filesystem copy = {0};

	if (source->filesystem_count >= FSMETA_FILESYSTEMS_MAX)
		return FSMETA_E_LIMIT;
	if (make_room(&source->arena, &source->filesystems, source->filesystem_count,
		&source->filesystem_capacity, sizeof(copy)) ||
	    fsmeta_batch_source_set(source, &copy.uuid, filesystem->uuid) ||
	    fsmeta_batch_source_set(source, &copy.type, filesystem->type) ||
	    fsmeta_batch_source_set(source, &copy.label, filesystem->label))
		return FSMETA_E_MEMORY;
	source->filesystems[source->filesystem_count++] = copy;
	return 0;
}

int fsmeta_batch_source_add_filesystem(struct fsmeta_batch_source *source, const char *uuid,
    const char *type, const char *label, uint32_t *index)
{
	struct fsmeta_filesystem wanted = {
	    .uuid = uuid ? uuid : "", .type = type ? type : "", .label = label ? label : ""};
	size_t at = 0;

	while (at < source->filesystem_count && !same_filesystem(&source->filesystems[at], &wanted))
		at++;
	if (at == source->filesystem_count) {
		int code = fsmeta_source_append_filesystem(source, &wanted);

		if (code)
			return code;
	}
	*index = (uint32_t)at;
	return 0;
}

int fsmeta_batch_source_add_root(struct fsmeta_batch_source *source, struct fsmeta_scope_list *list,
    const char *path, size_t path_length, int error_number)
{
	struct fsmeta_scope_root root = {.path_length = path_length, .error = error_number};

	if (list->count < FSMETA_SCOPE_LIST_MAX) {
		root.path = fsmeta_arena_copy(&source->arena, path, path_length);
		if (!root.path || make_room(&source->arena, &list->roots, list->count,
				      &list->capacity, sizeof(root)))
			return FSMETA_E_MEMORY;
		list->roots[list->count++] = root;
	}
	list->total++;
	return 0;
}

int fsmeta_batch_source_add_string(struct fsmeta_batch_source *source,
    struct fsmeta_string_list *list, const char *bytes, size_t length)
{
	size_t items_capacity = list->capacity, lengths_capacity = list->capacity;
	char *copy = fsmeta_arena_copy(&source->arena, bytes, length);

	if (!copy ||
	    make_room(&source->arena, &list->items, list->count, &items_capacity, sizeof(copy)) ||
	    make_room(
		&source->arena, &list->lengths, list->count, &lengths_capacity, sizeof(length)))
		return FSMETA_E_MEMORY;
	list->capacity = items_capacity;
	list->items[list->count] = copy;
	list->lengths[list->count] = length;
	list->count++;
	return 0;
}

int fsmeta_batch_source_add_alias(struct fsmeta_batch_source *source, const char *alias)
{
	struct fsmeta_string_list *list = &source->source_aliases;

	if (source->source_id && strcmp(source->source_id, alias) == 0)
		return 0;
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i], alias) == 0)
			return 0;
	if (list->count >= FSMETA_SOURCE_ALIASES_MAX)
		return FSMETA_E_LIMIT;
	return fsmeta_batch_source_add_string(source, list, alias, strlen(alias));
}

/** Index of the first name whose id is not below `id`. */
static size_t find_owner(const struct fsmeta_owner_name *names, size_t count, uint32_t id)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (names[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int fsmeta_batch_source_add_owner(
    struct fsmeta_batch_source *source, bool is_group, uint32_t id, const char *name)
{
	struct fsmeta_owner_name **names = is_group ? &source->groups : &source->owners;
	size_t *count = is_group ? &source->group_count : &source->owner_count;
	size_t *capacity = is_group ? &source->group_capacity : &source->owner_capacity;
	size_t at = find_owner(*names, *count, id);
	struct fsmeta_owner_name added = {.id = id};

	if (at < *count && (*names)[at].id == id)
		return 0;
	if (*count >= FSMETA_OWNERS_MAX)
		return 0;
	if (fsmeta_batch_source_set(source, &added.name, name ? name : "") ||
	    make_room(&source->arena, names, *count, capacity, sizeof(added)))
		return FSMETA_E_MEMORY;
	memmove(*names + at + 1, *names + at, (*count - at) * sizeof(added));
	(*names)[at] = added;
	++*count;
	return 0;
}

bool fsmeta_batch_source_is_partial(const struct fsmeta_batch_source *source)
{
	return source->subtrees.count || source->not_entered.total || source->unreadable.total;
}

void fsmeta_totals_count(struct fsmeta_totals *totals, const struct fsmeta_entry *entry, int sign)
{
	/* Unsigned: adding the two's complement of 1 takes one away. */
	uint64_t one = sign < 0 ? UINT64_MAX : 1;

	totals->entries += one;
	switch (entry->type) {
	case FSMETA_TYPE_FILE:
		totals->files += one;
		totals->bytes += one * entry->size;
		totals->allocated += one * entry->allocated;
		break;
	case FSMETA_TYPE_FOLDER:
		totals->folders += one;
		break;
	case FSMETA_TYPE_SYMLINK:
		totals->symlinks += one;
		break;
	default:
		totals->others += one;
		break;
	}
	if (entry->flags & FSMETA_FLAG_UNREADABLE)
		totals->unreadable += one;
	if (entry->unknown_since)
		totals->carried += one;
}

/* ---- deep copy -------------------------------------------------------- */

/** Replaces a string of the original by a copy in `arena`; true where that worked. */
static bool own_text(struct fsmeta_arena *arena, const char **text)
{
	if (*text)
		*text = fsmeta_arena_copy(arena, *text, strlen(*text));
	else
		return true;
	return *text != NULL;
}

/** The same for an array; `array` is the address of the pointer to its first item. */
static bool own_array(
    struct fsmeta_arena *arena, void *array, size_t count, size_t *capacity, size_t item_bytes)
{
	void *items = NULL, *original;

	memcpy(&original, array, sizeof(original));
	if (count) {
		items = fsmeta_arena_allocate_array(arena, count, item_bytes);
		if (!items)
			return false;
		memcpy(items, original, count * item_bytes);
	}
	memcpy(array, &items, sizeof(items));
	*capacity = count;
	return true;
}

static bool own_filesystems(struct fsmeta_batch_source *out)
{
	if (!own_array(&out->arena, &out->filesystems, out->filesystem_count,
		&out->filesystem_capacity, sizeof(*out->filesystems)))
		return false;
	for (size_t i = 0; i < out->filesystem_count; i++) {
		struct fsmeta_filesystem *filesystem = &out->filesystems[i];

		if (!own_text(&out->arena, &filesystem->uuid) ||
		    !own_text(&out->arena, &filesystem->type) ||
		    !own_text(&out->arena, &filesystem->label))
			return false;
	}
	return true;
}

static bool own_scope_list(struct fsmeta_arena *arena, struct fsmeta_scope_list *list)
{
	if (!own_array(arena, &list->roots, list->count, &list->capacity, sizeof(*list->roots)))
		return false;
	for (size_t i = 0; i < list->count; i++) {
		struct fsmeta_scope_root *root = &list->roots[i];

		root->path = fsmeta_arena_copy(arena, root->path, root->path_length);
		if (!root->path)
			return false;
	}
	return true;
}

static bool own_string_list(struct fsmeta_arena *arena, struct fsmeta_string_list *list)
{
	if (!own_array(arena, &list->items, list->count, &list->capacity, sizeof(*list->items)) ||
	    !own_array(arena, &list->lengths, list->count, &list->capacity, sizeof(*list->lengths)))
		return false;
	for (size_t i = 0; i < list->count; i++) {
		list->items[i] = fsmeta_arena_copy(arena, list->items[i], list->lengths[i]);
		if (!list->items[i])
			return false;
	}
	return true;
}

static bool own_names(
    struct fsmeta_arena *arena, struct fsmeta_owner_name **names, size_t count, size_t *capacity)
{
	if (!own_array(arena, names, count, capacity, sizeof(**names)))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!own_text(arena, &(*names)[i].name))
			return false;
	return true;
}

/** Makes everything that `out` points to its own. */
static bool own_all(struct fsmeta_batch_source *out)
{
	struct fsmeta_arena *arena = &out->arena;
	const char **texts[] = {&out->fsmeta_version, &out->machine_name, &out->machine_id,
	    &out->mount_point, &out->root_path, &out->source_id};

	for (size_t i = 0; i < FSMETA_COUNT_OF(texts); i++)
		if (!own_text(arena, texts[i]))
			return false;
	return own_filesystems(out) && own_string_list(arena, &out->source_aliases) &&
	       own_string_list(arena, &out->subtrees) && own_string_list(arena, &out->excludes) &&
	       own_scope_list(arena, &out->not_entered) &&
	       own_scope_list(arena, &out->unreadable) &&
	       own_names(arena, &out->owners, out->owner_count, &out->owner_capacity) &&
	       own_names(arena, &out->groups, out->group_count, &out->group_capacity);
}

int fsmeta_batch_source_copy(
    struct fsmeta_batch_source *out, const struct fsmeta_batch_source *source)
{
	*out = *source;
	fsmeta_arena_init(&out->arena);
	out->unknown_keys = NULL;
	if (!own_all(out))
		goto fail;
	if (source->unknown_keys) {
		out->unknown_keys = json_deep_copy(source->unknown_keys);
		/* Where memory runs out half-way, jansson leaves out keys and says nothing. */
		if (!json_equal(out->unknown_keys, source->unknown_keys))
			goto fail;
	}
	return 0;
fail:
	fsmeta_batch_source_release(out);
	return FSMETA_E_MEMORY;
}

/* ---- tables of file systems ------------------------------------------- */

/** The key that same_filesystem() compares, as an order; then the index. */
struct indexed_filesystem {
	const struct fsmeta_filesystem *filesystem;
	uint32_t index;
};

static int compare_filesystems(const struct fsmeta_filesystem *a, const struct fsmeta_filesystem *b)
{
	int order = strcmp(a->uuid, b->uuid);

	if (!order)
		order = strcmp(a->type, b->type);
	if (!order && !a->uuid[0])
		order = strcmp(a->label, b->label);
	return order;
}

static int compare_indexed(const void *a, const void *b)
{
	const struct indexed_filesystem *left = a, *right = b;
	int order = compare_filesystems(left->filesystem, right->filesystem);

	if (order)
		return order;
	return (left->index > right->index) - (left->index < right->index);
}

/** `source`'s table in the order of compare_indexed(); *new*, NULL when memory is out. */
static struct indexed_filesystem *sort_filesystems(const struct fsmeta_batch_source *source)
{
	size_t count = source->filesystem_count;
	struct indexed_filesystem *sorted = calloc(count + 1, sizeof(*sorted));

	if (!sorted)
		return NULL;
	for (size_t i = 0; i < count; i++)
		sorted[i] = (struct indexed_filesystem){
		    .filesystem = &source->filesystems[i], .index = (uint32_t)i};
	qsort(sorted, count, sizeof(*sorted), compare_indexed);
	return sorted;
}

/** Lowest index of an equal file system; UINT32_MAX for none. */
static uint32_t find_filesystem(
    const struct indexed_filesystem *sorted, size_t count, const struct fsmeta_filesystem *wanted)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_filesystems(sorted[middle].filesystem, wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < count && same_filesystem(sorted[low].filesystem, wanted))
		return sorted[low].index;
	return UINT32_MAX;
}

int fsmeta_batch_source_map_filesystems(
    uint32_t **map, const struct fsmeta_batch_source *a, const struct fsmeta_batch_source *b)
{
	struct indexed_filesystem *sorted = sort_filesystems(a);
	uint32_t *found = calloc(b->filesystem_count + 1, sizeof(*found));

	*map = NULL;
	if (sorted && found) {
		for (size_t i = 0; i < b->filesystem_count; i++)
			found[i] = find_filesystem(sorted, a->filesystem_count, &b->filesystems[i]);
		*map = found;
		found = NULL;
	}
	free(found);
	free(sorted);
	return *map ? 0 : FSMETA_E_MEMORY;
}
