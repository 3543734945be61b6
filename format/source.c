/*
 * BatchSource: the struct, and its JSON both ways.
 *
 * Everything a source holds lives in its arena, so growing an array means
 * copying it to twice the room and leaving the old one behind: all that is ever
 * left behind is less than what is in use.
 *
 * Reading *consumes*.  A key that is understood is taken out of its object, so
 * what is left in the object at the end is, without any list of known keys that
 * could fall behind the code, what this version does not know.  It is kept in
 * `unknown_keys`, one flat object whose keys are places:
 *
 *     { "":       { …unknown top-level keys… },
 *       "scope":  { …unknown keys of scope… },
 *       "filesystems": [ { "known":   {"uuid": …, "type": …, "label": …},
 *                          "unknown": { … } }, … ] }
 *
 * Writing builds each object from the struct and then adds what is kept for its
 * place behind.  Elements of arrays have no place that lasts: the table may have
 * grown meanwhile.  So theirs is kept together with the keys that were known, and
 * goes to the next element that still says the same.
 *
 * Nothing that comes from the file is printed raw: messages name our own keys,
 * and values only in quotes.
 */
#include "format/source.h"

#include "base/path.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** What marks the JSON as a BatchSource. */
#define FORMAT_MARK "fsmeta-batch-source"

enum {
	/** Room for a key with "_b64". */
	KEY_BYTES = 32,
	/** Room for a quoted value in a message. */
	QUOTED_BYTES = 96,
	/** Room for UINT64_MAX in decimal. */
	DECIMAL_BYTES = 21,
};

static const char *const id_kind_names[] = {
    [FSMETA_IDS_ORDINAL] = "ordinal",
    [FSMETA_IDS_STABLE] = "stable",
};

static const char *const path_case_names[] = {
    [FSMETA_PATH_CASE_UNKNOWN] = "unknown",
    [FSMETA_PATH_CASE_SENSITIVE] = "sensitive",
    [FSMETA_PATH_CASE_INSENSITIVE] = "insensitive",
};

static const char *const hash_algorithm_names[] = {
    [FSMETA_HASH_NONE] = "none",
    [FSMETA_HASH_XXH3] = "xxh3",
    [FSMETA_HASH_SHA256] = "sha256",
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- the struct ------------------------------------------------------- */

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

/** Appends without looking whether it is there. */
static int append_filesystem(
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
		int code = append_filesystem(source, &wanted);

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

	for (size_t i = 0; i < COUNT_OF(texts); i++)
		if (!own_text(arena, texts[i]))
			return false;
	return own_filesystems(out) && own_string_list(arena, &out->subtrees) &&
	       own_string_list(arena, &out->excludes) && own_scope_list(arena, &out->not_entered) &&
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
		if (!out->unknown_keys)
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

/* ---- writing ---------------------------------------------------------- */

/** The first thing that went wrong is kept, so that only the end need ask. */
struct writer {
	const struct fsmeta_batch_source *source;
	struct fsmeta_buffer scratch;
	int code;
};

static void writer_fail(struct writer *writer, int code)
{
	if (!writer->code)
		writer->code = code;
}

/** Takes `value` over (NULL where memory was out). */
static void put(struct writer *writer, json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new_nocheck(object, key, value))
		writer_fail(writer, FSMETA_E_MEMORY);
}

static void append(struct writer *writer, json_t *array, json_t *value)
{
	if (json_array_append_new(array, value))
		writer_fail(writer, FSMETA_E_MEMORY);
}

/** JSON numbers of our library end at INT64_MAX; what is above is decimal text. */
static json_t *count_value(uint64_t count)
{
	char decimal[DECIMAL_BYTES];

	if (count <= INT64_MAX)
		return json_integer((json_int_t)count);
	snprintf(decimal, sizeof(decimal), "%" PRIu64, count);
	return json_string(decimal);
}

/** A string with U+FFFD for what is no UTF-8: base/ knows how to, we let JSON read it. */
static json_t *replaced_text(struct writer *writer, const char *bytes, size_t length)
{
	struct fsmeta_buffer *scratch = &writer->scratch;

	fsmeta_buffer_clear(scratch);
	if (fsmeta_buffer_append_byte(scratch, '"') ||
	    fsmeta_text_append_json(scratch, bytes, length) ||
	    fsmeta_buffer_append_byte(scratch, '"'))
		return NULL;
	return json_loadb((const char *)scratch->data, scratch->length, JSON_DECODE_ANY, NULL);
}

static json_t *base64_text(struct writer *writer, const char *bytes, size_t length)
{
	struct fsmeta_buffer *scratch = &writer->scratch;

	fsmeta_buffer_clear(scratch);
	if (fsmeta_text_append_base64(scratch, bytes, length))
		return NULL;
	return json_stringn((const char *)scratch->data, scratch->length);
}

/** KEY, and KEY_b64 where the bytes are no UTF-8.  NULL bytes: nothing. */
static void put_bytes(
    struct writer *writer, json_t *object, const char *key, const char *bytes, size_t length)
{
	char key_b64[KEY_BYTES];

	if (!bytes)
		return;
	if (memchr(bytes, '\0', length))
		writer_fail(writer, FSMETA_E_INTERNAL);
	if (fsmeta_utf8_is_valid(bytes, length)) {
		put(writer, object, key, json_stringn_nocheck(bytes, length));
		return;
	}
	snprintf(key_b64, sizeof(key_b64), "%s_b64", key);
	put(writer, object, key, replaced_text(writer, bytes, length));
	put(writer, object, key_b64, base64_text(writer, bytes, length));
}

static void put_text(struct writer *writer, json_t *object, const char *key, const char *text)
{
	if (text)
		put_bytes(writer, object, key, text, strlen(text));
}

static void put_count(struct writer *writer, json_t *object, const char *key, uint64_t count)
{
	put(writer, object, key, count_value(count));
}

/** Nothing for a count of 0, where that means "none". */
static void put_known_count(struct writer *writer, json_t *object, const char *key, uint64_t count)
{
	if (count)
		put_count(writer, object, key, count);
}

static void put_time(
    struct writer *writer, json_t *object, const char *key, struct fsmeta_time time)
{
	char text[FSMETA_TIME_TEXT_BYTES];

	if (!time.seconds && !time.nanoseconds)
		return;
	fsmeta_time_format(text, time);
	put(writer, object, key, json_string(text));
}

static void put_digest(
    struct writer *writer, json_t *object, const char *key, bool known, struct fsmeta_digest digest)
{
	char text[FSMETA_DIGEST_TEXT_BYTES];

	if (!known)
		return;
	fsmeta_digest_format(text, digest);
	put(writer, object, key, json_string(text));
}

/** One of `names`; a number beyond them is a bug of the caller. */
static void put_choice(struct writer *writer, json_t *object, const char *key,
    const char *const *names, size_t count, unsigned choice)
{
	if (choice < count)
		put(writer, object, key, json_string(names[choice]));
	else
		writer_fail(writer, FSMETA_E_INTERNAL);
}

/** Adds what was kept for the object at `place`. */
static void put_unknown(struct writer *writer, json_t *object, const char *place)
{
	json_t *kept = json_object_get(writer->source->unknown_keys, place);

	if (kept && json_object_update_missing(object, kept))
		writer_fail(writer, FSMETA_E_MEMORY);
}

/** Adds a nested object (stolen), unless it has nothing to say. */
static void put_object(
    struct writer *writer, json_t *parent, const char *key, json_t *object, bool always)
{
	if (always || json_object_size(object))
		put(writer, parent, key, object);
	else
		json_decref(object);
}

/** True where every key of `known` is in `element` with the same value. */
static bool says_the_same(json_t *element, json_t *known)
{
	const char *key;
	json_t *value;

	json_object_foreach(known, key, value)
	{
		if (!json_equal(json_object_get(element, key), value))
			return false;
	}
	return true;
}

/**
 * Gives the elements of `array` back what was kept for them.  Both are in the
 * same order, so one walk finds all that are still there.
 */
static void put_unknown_of_elements(struct writer *writer, json_t *array, const char *place)
{
	json_t *kept = json_object_get(writer->source->unknown_keys, place);
	size_t count = json_array_size(kept), next = 0;

	for (size_t i = 0; i < json_array_size(array) && next < count; i++) {
		json_t *element = json_array_get(array, i);
		json_t *pair = json_array_get(kept, next);

		if (!says_the_same(element, json_object_get(pair, "known")))
			continue;
		if (json_object_update_missing(element, json_object_get(pair, "unknown")))
			writer_fail(writer, FSMETA_E_MEMORY);
		next++;
	}
}

static void put_array(
    struct writer *writer, json_t *parent, const char *key, json_t *array, const char *place)
{
	put_unknown_of_elements(writer, array, place);
	put(writer, parent, key, array);
}

static void put_machine(struct writer *writer, json_t *top)
{
	json_t *object = json_object();

	put_text(writer, object, "name", writer->source->machine_name);
	put_text(writer, object, "id", writer->source->machine_id);
	put_unknown(writer, object, "machine");
	put_object(writer, top, "machine", object, false);
}

static void put_source(struct writer *writer, json_t *top)
{
	json_t *object = json_object();

	put_text(writer, object, "id", writer->source->source_id);
	put_text(writer, object, "mount_point", writer->source->mount_point);
	put_text(writer, object, "root_path", writer->source->root_path);
	put_unknown(writer, object, "source");
	put_object(writer, top, "source", object, false);
}

static void put_filesystems(struct writer *writer, json_t *top)
{
	json_t *array = json_array();

	for (size_t i = 0; i < writer->source->filesystem_count; i++) {
		const struct fsmeta_filesystem *filesystem = &writer->source->filesystems[i];
		json_t *object = json_object();

		put_text(writer, object, "uuid", filesystem->uuid);
		put_text(writer, object, "type", filesystem->type);
		put_text(writer, object, "label", filesystem->label);
		append(writer, array, object);
	}
	put_array(writer, top, "filesystems", array, "filesystems");
}

static void put_scan(struct writer *writer, json_t *top)
{
	json_t *object = json_object();

	put_time(writer, object, "started", writer->source->started);
	put_time(writer, object, "finished", writer->source->finished);
	put(writer, object, "quick", json_boolean(writer->source->quick));
	put_unknown(writer, object, "scan");
	put_object(writer, top, "scan", object, true);
}

static void put_generation(struct writer *writer, json_t *top)
{
	const struct fsmeta_batch_source *source = writer->source;

	put_known_count(writer, top, "generation", source->generation);
	put_known_count(writer, top, "base_generation", source->base_generation);
	put_digest(writer, top, "state_digest", source->has_state_digest, source->state_digest);
	put_digest(writer, top, "base_state_digest", source->has_base_state_digest,
	    source->base_state_digest);
}

static void put_fields(struct writer *writer, json_t *top)
{
	json_t *array = json_array();

	for (uint32_t field = 1; field <= FSMETA_FIELDS_KNOWN; field <<= 1)
		if (writer->source->field_mask & FSMETA_FIELDS_KNOWN & field)
			append(writer, array, json_string(fsmeta_field_name(field)));
	put(writer, top, "fields", array);
}

static void put_strings(struct writer *writer, json_t *parent, const char *key,
    const struct fsmeta_string_list *list, const char *item_key, const char *place)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->count; i++) {
		json_t *object = json_object();

		put_bytes(writer, object, item_key, list->items[i], list->lengths[i]);
		append(writer, array, object);
	}
	put_array(writer, parent, key, array, place);
}

/** "error": a name, or the number where it has none; nothing for 0. */
static void put_errno(struct writer *writer, json_t *object, int number)
{
	const char *name = fsmeta_errno_name(number);

	if (name)
		put(writer, object, "error", json_string(name));
	else if (number)
		put(writer, object, "error", json_integer(number));
}

/** The two places that a scope list has. */
struct scope_place {
	const char *key, *place, *roots_place;
};

static const struct scope_place not_entered_place = {
    "not_entered", "scope.not_entered", "scope.not_entered.roots"};
static const struct scope_place unreadable_place = {
    "unreadable", "scope.unreadable", "scope.unreadable.roots"};

static void put_scope_list(struct writer *writer, json_t *scope,
    const struct fsmeta_scope_list *list, const struct scope_place *place)
{
	json_t *object = json_object();
	json_t *array = json_array();

	for (size_t i = 0; i < list->count; i++) {
		const struct fsmeta_scope_root *root = &list->roots[i];
		json_t *element = json_object();

		put_bytes(writer, element, "path", root->path, root->path_length);
		put_errno(writer, element, root->error);
		append(writer, array, element);
	}
	put_count(writer, object, "total", list->total);
	put_array(writer, object, "roots", array, place->roots_place);
	put_unknown(writer, object, place->place);
	put_object(writer, scope, place->key, object, true);
}

static void put_scope(struct writer *writer, json_t *top)
{
	const struct fsmeta_batch_source *source = writer->source;
	json_t *object = json_object();

	put_strings(writer, object, "subtrees", &source->subtrees, "path", "scope.subtrees");
	put_strings(writer, object, "excludes", &source->excludes, "pattern", "scope.excludes");
	put(writer, object, "cross_filesystems", json_boolean(source->cross_filesystems));
	put_scope_list(writer, object, &source->not_entered, &not_entered_place);
	put_scope_list(writer, object, &source->unreadable, &unreadable_place);
	put_unknown(writer, object, "scope");
	put_object(writer, top, "scope", object, true);
}

static void put_names(struct writer *writer, json_t *top, const char *key,
    const struct fsmeta_owner_name *names, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++) {
		json_t *object = json_object();

		put_count(writer, object, "id", names[i].id);
		put_text(writer, object, "name", names[i].name);
		append(writer, array, object);
	}
	put_array(writer, top, key, array, key);
}

static void put_totals(struct writer *writer, json_t *top)
{
	const struct fsmeta_totals *totals = &writer->source->totals;
	json_t *object;

	if (!writer->source->has_totals)
		return;
	object = json_object();
	put_count(writer, object, "entries", totals->entries);
	put_count(writer, object, "files", totals->files);
	put_count(writer, object, "folders", totals->folders);
	put_count(writer, object, "symlinks", totals->symlinks);
	put_count(writer, object, "others", totals->others);
	put_count(writer, object, "bytes", totals->bytes);
	put_count(writer, object, "allocated", totals->allocated);
	put_count(writer, object, "unreadable", totals->unreadable);
	put_count(writer, object, "carried", totals->carried);
	put_unknown(writer, object, "totals");
	put_object(writer, top, "totals", object, true);
}

/** The whole, in the order that docs/batchsource.md gives. */
static json_t *make_json(struct writer *writer)
{
	const struct fsmeta_batch_source *source = writer->source;
	json_t *top = json_object();

	put_text(writer, top, "format", FORMAT_MARK);
	put_count(writer, top, "format_version", source->format_version);
	put_text(writer, top, "fsmeta_version", source->fsmeta_version);
	put_machine(writer, top);
	put_source(writer, top);
	put_filesystems(writer, top);
	put_scan(writer, top);
	put_generation(writer, top);
	put_fields(writer, top);
	put_choice(writer, top, "hash_algorithm", hash_algorithm_names,
	    COUNT_OF(hash_algorithm_names), source->hash_algorithm);
	put_choice(writer, top, "ids", id_kind_names, COUNT_OF(id_kind_names), source->id_kind);
	put_choice(writer, top, "path_case", path_case_names, COUNT_OF(path_case_names),
	    source->path_case);
	put_scope(writer, top);
	put_names(writer, top, "owners", source->owners, source->owner_count);
	put_names(writer, top, "groups", source->groups, source->group_count);
	put_totals(writer, top);
	put_unknown(writer, top, "");
	return top;
}

static int append_dump(const char *text, size_t length, void *buffer)
{
	return fsmeta_buffer_append(buffer, text, length);
}

static int report_write_failure(int code, struct fsmeta_error *error)
{
	const char *action = "writing a BatchSource";

	if (code == FSMETA_E_LIMIT)
		return fsmeta_error_set(error, code, NULL, action, "longer than %d bytes",
		    FSMETA_SOURCE_JSON_MAX_BYTES);
	if (code == FSMETA_E_INTERNAL)
		return fsmeta_error_set(
		    error, code, NULL, action, "a NUL in a string or a number that has no name");
	return fsmeta_error_set_memory(error, action);
}

int fsmeta_batch_source_to_json(
    struct fsmeta_buffer *out, const struct fsmeta_batch_source *source, struct fsmeta_error *error)
{
	struct writer writer = {.source = source};
	size_t start = out->length;
	json_t *top = make_json(&writer);

	if (!writer.code && (json_dump_callback(top, append_dump, out, JSON_INDENT(2)) ||
				fsmeta_buffer_append_byte(out, '\n')))
		writer.code = FSMETA_E_MEMORY;
	if (!writer.code && out->length - start > FSMETA_SOURCE_JSON_MAX_BYTES)
		writer.code = FSMETA_E_LIMIT;
	json_decref(top);
	fsmeta_buffer_release(&writer.scratch);
	if (!writer.code)
		return 0;
	out->length = start;
	return report_write_failure(writer.code, error);
}

/* ---- reading ---------------------------------------------------------- */

struct reader {
	struct fsmeta_batch_source *out;
	/** What becomes out->unknown_keys. */
	json_t *unknown;
	struct fsmeta_buffer scratch;
	const char *path;
	struct fsmeta_error *error;
};

/** An object being consumed. */
struct object {
	struct reader *reader;
	json_t *json;
	/** Where it is, "" for the top, and which element of an array, -1 for none. */
	const char *place;
	ptrdiff_t index;
};

static const char reading[] = "reading a BatchSource";

static int memory_failure(struct reader *reader)
{
	return fsmeta_error_set_memory(reader->error, reading);
}

/**
 * FSMETA_E_… with the key's full name and what is wrong with its value.  A NULL
 * key is the element itself.
 */
static int __attribute__((format(printf, 4, 5)))
wrong(const struct object *object, int code, const char *key, const char *format, ...)
{
	const char *dot = key && object->place[0] ? "." : "";
	char position[32] = "";
	char why[256];
	va_list arguments;

	if (object->index >= 0)
		snprintf(position, sizeof(position), "[%td]", object->index);
	va_start(arguments, format);
	vsnprintf(why, sizeof(why), format, arguments);
	va_end(arguments);
	return fsmeta_error_set(object->reader->error, (enum fsmeta_code)code, object->reader->path,
	    reading, "%s%s%s%s: %s", object->place, position, dot, key ? key : "", why);
}

/** `text` in quotes where it needs them, cut to what fits; never fails. */
static const char *quoted(char out[QUOTED_BYTES], const char *text, size_t length)
{
	struct fsmeta_buffer buffer = {0};
	size_t fits;

	if (fsmeta_text_append_quoted(&buffer, text, length))
		fsmeta_buffer_clear(&buffer);
	fits = buffer.length < QUOTED_BYTES ? buffer.length : QUOTED_BYTES - 1;
	if (fits)
		memcpy(out, buffer.data, fits);
	out[fits] = '\0';
	fsmeta_buffer_release(&buffer);
	return out;
}

/** The value of a key, out of its object: *new*, NULL where there is none. */
static json_t *take(struct object *object, const char *key)
{
	json_t *value = json_incref(json_object_get(object->json, key));

	if (value)
		json_object_del(object->json, key);
	return value;
}

static bool is_decimal(const char *text, size_t length)
{
	if (length == 0 || length >= DECIMAL_BYTES || (text[0] == '0' && length > 1))
		return false;
	return strspn(text, "0123456789") == length;
}

static bool parse_decimal(const char *text, size_t length, uint64_t *out)
{
	uint64_t value = 0;

	if (!is_decimal(text, length))
		return false;
	for (size_t i = 0; i < length; i++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
			return false;
	*out = value;
	return true;
}

static bool count_from_value(json_t *value, uint64_t *out)
{
	if (json_is_string(value))
		return parse_decimal(json_string_value(value), json_string_length(value), out);
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return false;
	*out = (uint64_t)json_integer_value(value);
	return true;
}

/** Absent: *out stays. */
static int take_count(struct object *object, const char *key, uint64_t most, uint64_t *out)
{
	json_t *value = take(object, key);
	int code = 0;
	uint64_t count;

	if (!value)
		return 0;
	if (!count_from_value(value, &count))
		code = wrong(object, FSMETA_E_CORRUPT, key, "not a count");
	else if (count > most)
		code = wrong(object, FSMETA_E_CORRUPT, key, "greater than %" PRIu64, most);
	else
		*out = count;
	json_decref(value);
	return code;
}

/** Absent: *out stays. */
static int take_bool(struct object *object, const char *key, bool *out)
{
	json_t *value = take(object, key);
	int code = 0;

	if (!value)
		return 0;
	if (json_is_boolean(value))
		*out = json_is_true(value);
	else
		code = wrong(object, FSMETA_E_CORRUPT, key, "neither true nor false");
	json_decref(value);
	return code;
}

/** A string without NUL in it; absent: *value is NULL. */
static int take_string(struct object *object, const char *key, json_t **value)
{
	const char *why = "not a string";

	*value = take(object, key);
	if (!*value)
		return 0;
	if (json_is_string(*value)) {
		if (!memchr(json_string_value(*value), '\0', json_string_length(*value)))
			return 0;
		why = "has a NUL in it";
	}
	json_decref(*value);
	*value = NULL;
	return wrong(object, FSMETA_E_CORRUPT, key, "%s", why);
}

/** Decodes KEY_b64 into the scratch buffer. */
static int decode_bytes(struct object *object, const char *key, json_t *value)
{
	struct fsmeta_buffer *scratch = &object->reader->scratch;
	int code;

	fsmeta_buffer_clear(scratch);
	code =
	    fsmeta_text_decode_base64(scratch, json_string_value(value), json_string_length(value));
	if (code == FSMETA_E_MEMORY)
		return memory_failure(object->reader);
	if (code)
		return wrong(object, FSMETA_E_CORRUPT, key, "not base64");
	if (scratch->length && memchr(scratch->data, '\0', scratch->length))
		return wrong(object, FSMETA_E_CORRUPT, key, "has a NUL in it");
	return 0;
}

/**
 * Bytes of KEY, or of KEY_b64 where there is one, copied into the arena.  Absent:
 * *out and *length stay.
 */
static int take_bytes(struct object *object, const char *key, const char **out, size_t *length)
{
	struct fsmeta_buffer *scratch = &object->reader->scratch;
	json_t *plain = NULL, *encoded = NULL;
	const char *bytes = NULL;
	char key_b64[KEY_BYTES];
	int code;

	snprintf(key_b64, sizeof(key_b64), "%s_b64", key);
	code = take_string(object, key, &plain);
	if (!code)
		code = take_string(object, key_b64, &encoded);
	if (code || (!plain && !encoded))
		goto done;
	if (encoded) {
		code = decode_bytes(object, key_b64, encoded);
		bytes = (const char *)scratch->data;
		*length = scratch->length;
	} else {
		bytes = json_string_value(plain);
		*length = json_string_length(plain);
	}
	if (code)
		goto done;
	*out = fsmeta_arena_copy(&object->reader->out->arena, bytes, *length);
	if (!*out)
		code = memory_failure(object->reader);
done:
	json_decref(encoded);
	json_decref(plain);
	return code;
}

static int take_text(struct object *object, const char *key, const char **out)
{
	size_t length;

	return take_bytes(object, key, out, &length);
}

/** As take_bytes(), for a path relative to the root; absent is wrong where `required`. */
static int take_path(
    struct object *object, const char *key, bool required, const char **out, size_t *length)
{
	const char *path = NULL;
	int code = take_bytes(object, key, &path, length);

	if (code)
		return code;
	if (!path && required)
		return wrong(object, FSMETA_E_CORRUPT, key, "missing");
	if (path && !fsmeta_path_is_valid(path, *length))
		return wrong(object, FSMETA_E_CORRUPT, key, "not a relative path");
	if (path)
		*out = path;
	return 0;
}

/** Absent: *out stays. */
static int take_time(struct object *object, const char *key, struct fsmeta_time *out)
{
	json_t *value;
	int code = take_string(object, key, &value);

	if (!value)
		return code;
	if (!fsmeta_time_parse(out, json_string_value(value), json_string_length(value)))
		code = wrong(object, FSMETA_E_CORRUPT, key, "not an RFC 3339 time");
	json_decref(value);
	return code;
}

static int take_digest(
    struct object *object, const char *key, bool *known, struct fsmeta_digest *out)
{
	json_t *value;
	int code = take_string(object, key, &value);

	if (!value)
		return code;
	*known = fsmeta_digest_parse(out, json_string_value(value));
	if (!*known)
		code = wrong(object, FSMETA_E_CORRUPT, key, "not 32 hexadecimal digits");
	json_decref(value);
	return code;
}

/** Index of the string in `names`.  Absent: *choice stays. */
static int take_choice(struct object *object, const char *key, const char *const *names,
    size_t count, unsigned *choice)
{
	char room[QUOTED_BYTES];
	json_t *value;
	int code = take_string(object, key, &value);
	size_t at = 0;

	if (!value)
		return code;
	while (at < count && strcmp(names[at], json_string_value(value)))
		at++;
	if (at < count)
		*choice = (unsigned)at;
	else
		code = wrong(object, FSMETA_E_CORRUPT, key, "unknown value %s",
		    quoted(room, json_string_value(value), json_string_length(value)));
	json_decref(value);
	return code;
}

static int take_errno(struct object *object, int *out)
{
	json_t *value = take(object, "error");
	uint64_t number = 0;
	int code = 0;

	if (!value)
		return 0;
	if (json_is_string(value))
		number = (uint64_t)fsmeta_errno_from_name(json_string_value(value));
	else if (json_is_integer(value))
		number = (uint64_t)json_integer_value(value);
	if (number >= 1 && number <= FSMETA_ERRNO_MAX)
		*out = (int)number;
	else
		code = wrong(object, FSMETA_E_CORRUPT, "error", "not the name of an error");
	json_decref(value);
	return code;
}

/** Keeps what was left in an object.  0 or FSMETA_E_MEMORY. */
static int keep_unknown(struct object *object)
{
	if (!json_object_size(object->json))
		return 0;
	if (json_object_set(object->reader->unknown, object->place, object->json))
		return memory_failure(object->reader);
	return 0;
}

/** Reads an object with `read` and keeps what that leaves. */
static int take_object(struct object *parent, const char *key, const char *place,
    int (*read)(struct object *object, void *into), void *into)
{
	struct object object = {.reader = parent->reader, .place = place, .index = -1};
	int code;

	object.json = take(parent, key);
	if (!object.json)
		return 0;
	if (json_is_object(object.json))
		code = read(&object, into);
	else
		code = wrong(parent, FSMETA_E_CORRUPT, key, "not an object");
	if (!code)
		code = keep_unknown(&object);
	json_decref(object.json);
	return code;
}

/** {"known": …, "unknown": …} of an element, `whole` before and `left` after reading. */
static json_t *make_pair(json_t *whole, json_t *left)
{
	json_t *known = json_copy(whole);
	const char *key;
	json_t *value;

	json_object_foreach(left, key, value)
	{
		json_object_del(known, key);
	}
	return json_pack("{s:o, s:O}", "known", known, "unknown", left);
}

/** Keeps what was left in an element of an array; see put_unknown_of_elements(). */
static int keep_unknown_of_element(struct object *element, json_t *whole)
{
	json_t *unknown = element->reader->unknown;
	json_t *kept;

	if (!json_object_size(element->json))
		return 0;
	if (!json_object_get(unknown, element->place) &&
	    json_object_set_new(unknown, element->place, json_array()))
		return memory_failure(element->reader);
	kept = json_object_get(unknown, element->place);
	if (json_array_append_new(kept, make_pair(whole, element->json)))
		return memory_failure(element->reader);
	return 0;
}

static int take_element(struct object *element, json_t *whole,
    int (*read)(struct object *element, void *into), void *into)
{
	int code;

	if (!json_is_object(whole))
		return wrong(element, FSMETA_E_CORRUPT, NULL, "not an object");
	element->json = json_copy(whole);
	if (!element->json)
		return memory_failure(element->reader);
	code = read(element, into);
	if (!code)
		code = keep_unknown_of_element(element, whole);
	json_decref(element->json);
	return code;
}

/** Reads an array of at most `most` objects, each with `read`. */
static int take_array(struct object *parent, const char *key, const char *place, size_t most,
    int (*read)(struct object *element, void *into), void *into)
{
	struct object element = {.reader = parent->reader, .place = place};
	json_t *array = take(parent, key);
	int code = 0;

	if (!array)
		return 0;
	if (!json_is_array(array))
		code = wrong(parent, FSMETA_E_CORRUPT, key, "not an array");
	else if (json_array_size(array) > most)
		code = wrong(parent, FSMETA_E_LIMIT, key, "more than %zu elements", most);
	for (size_t i = 0; !code && i < json_array_size(array); i++) {
		element.index = (ptrdiff_t)i;
		code = take_element(&element, json_array_get(array, i), read, into);
	}
	json_decref(array);
	return code;
}

static int read_machine(struct object *object, void *into)
{
	struct fsmeta_batch_source *out = object->reader->out;
	int code = take_text(object, "name", &out->machine_name);

	(void)into;
	return code ? code : take_text(object, "id", &out->machine_id);
}

static int read_source(struct object *object, void *into)
{
	struct fsmeta_batch_source *out = object->reader->out;
	size_t length;
	int code = take_text(object, "id", &out->source_id);

	(void)into;
	if (!code)
		code = take_text(object, "mount_point", &out->mount_point);
	if (!code)
		code = take_path(object, "root_path", false, &out->root_path, &length);
	return code;
}

static int read_filesystem(struct object *element, void *into)
{
	struct fsmeta_filesystem filesystem = {.uuid = "", .type = "", .label = ""};
	int code = take_text(element, "uuid", &filesystem.uuid);

	(void)into;
	if (!code)
		code = take_text(element, "type", &filesystem.type);
	if (!code)
		code = take_text(element, "label", &filesystem.label);
	if (!code && append_filesystem(element->reader->out, &filesystem))
		code = memory_failure(element->reader);
	return code;
}

static int read_scan(struct object *object, void *into)
{
	struct fsmeta_batch_source *out = object->reader->out;
	int code = take_time(object, "started", &out->started);

	(void)into;
	if (!code)
		code = take_time(object, "finished", &out->finished);
	if (!code)
		code = take_bool(object, "quick", &out->quick);
	return code;
}

/** Where a string list is read to, and the key of its strings. */
struct string_list_target {
	struct fsmeta_string_list *list;
	const char *key;
	bool are_paths;
};

static int read_string(struct object *element, void *into)
{
	const struct string_list_target *target = into;
	const char *bytes = NULL;
	size_t length = 0;
	int code;

	if (target->are_paths)
		code = take_path(element, target->key, true, &bytes, &length);
	else
		code = take_bytes(element, target->key, &bytes, &length);
	if (code)
		return code;
	if (!bytes)
		return wrong(element, FSMETA_E_CORRUPT, target->key, "missing");
	if (fsmeta_batch_source_add_string(element->reader->out, target->list, bytes, length))
		return memory_failure(element->reader);
	return 0;
}

static int read_root(struct object *element, void *into)
{
	struct fsmeta_scope_list *list = into;
	const char *path = NULL;
	size_t length = 0;
	int number = 0;
	int code = take_path(element, "path", true, &path, &length);

	if (!code)
		code = take_errno(element, &number);
	if (!code && fsmeta_batch_source_add_root(element->reader->out, list, path, length, number))
		code = memory_failure(element->reader);
	return code;
}

/** Where a scope list is read to. */
struct scope_list_target {
	struct fsmeta_scope_list *list;
	const struct scope_place *place;
};

static int read_scope_list(struct object *object, void *into)
{
	const struct scope_list_target *target = into;
	int code = take_array(object, "roots", target->place->roots_place, FSMETA_SCOPE_LIST_MAX,
	    read_root, target->list);
	uint64_t total = target->list->count;

	if (!code)
		code = take_count(object, "total", UINT64_MAX, &total);
	if (!code && total < target->list->count)
		code = wrong(object, FSMETA_E_CORRUPT, "total", "less than there are roots");
	target->list->total = total;
	return code;
}

static int take_scope_list(
    struct object *scope, struct fsmeta_scope_list *list, const struct scope_place *place)
{
	struct scope_list_target target = {.list = list, .place = place};

	return take_object(scope, place->key, place->place, read_scope_list, &target);
}

static int read_scope(struct object *object, void *into)
{
	struct fsmeta_batch_source *out = object->reader->out;
	struct string_list_target subtrees = {&out->subtrees, "path", true};
	struct string_list_target excludes = {&out->excludes, "pattern", false};
	int code =
	    take_array(object, "subtrees", "scope.subtrees", SIZE_MAX, read_string, &subtrees);

	(void)into;
	if (!code)
		code = take_array(
		    object, "excludes", "scope.excludes", SIZE_MAX, read_string, &excludes);
	if (!code)
		code = take_bool(object, "cross_filesystems", &out->cross_filesystems);
	if (!code)
		code = take_scope_list(object, &out->not_entered, &not_entered_place);
	if (!code)
		code = take_scope_list(object, &out->unreadable, &unreadable_place);
	return code;
}

/** `into` is a bool: groups. */
static int read_name(struct object *element, void *into)
{
	struct fsmeta_batch_source *out = element->reader->out;
	const bool *is_group = into;
	const struct fsmeta_owner_name *names = *is_group ? out->groups : out->owners;
	size_t count = *is_group ? out->group_count : out->owner_count;
	uint64_t id = UINT64_MAX;
	const char *name = NULL;
	int code = take_count(element, "id", UINT32_MAX, &id);

	if (!code)
		code = take_text(element, "name", &name);
	if (code)
		return code;
	if (id == UINT64_MAX || !name)
		return wrong(element, FSMETA_E_CORRUPT, name ? "id" : "name", "missing");
	/* Refusing disorder also keeps the insertions from becoming quadratic. */
	if (count && id <= names[count - 1].id)
		return wrong(element, FSMETA_E_CORRUPT, "id", "not above the one before");
	if (fsmeta_batch_source_add_owner(out, *is_group, (uint32_t)id, name))
		return memory_failure(element->reader);
	return 0;
}

static int take_names(struct object *top)
{
	bool is_group = false;
	int code = take_array(top, "owners", "owners", FSMETA_OWNERS_MAX, read_name, &is_group);

	is_group = true;
	if (!code)
		code = take_array(top, "groups", "groups", FSMETA_OWNERS_MAX, read_name, &is_group);
	return code;
}

static int read_totals(struct object *object, void *into)
{
	struct fsmeta_totals *totals = &object->reader->out->totals;
	const struct {
		const char *key;
		uint64_t *count;
	} counts[] = {
	    {"entries", &totals->entries},
	    {"files", &totals->files},
	    {"folders", &totals->folders},
	    {"symlinks", &totals->symlinks},
	    {"others", &totals->others},
	    {"bytes", &totals->bytes},
	    {"allocated", &totals->allocated},
	    {"unreadable", &totals->unreadable},
	    {"carried", &totals->carried},
	};
	int code = 0;

	(void)into;
	for (size_t i = 0; !code && i < COUNT_OF(counts); i++)
		code = take_count(object, counts[i].key, UINT64_MAX, counts[i].count);
	object->reader->out->has_totals = true;
	return code;
}

/** Bit of one element of "fields". */
static int read_field(struct object *top, json_t *value, uint32_t *mask)
{
	char room[QUOTED_BYTES];
	uint32_t field;

	if (!json_is_string(value))
		return wrong(top, FSMETA_E_CORRUPT, "fields", "not a list of strings");
	field = fsmeta_field_from_name(json_string_value(value), json_string_length(value));
	if (!(field & FSMETA_FIELDS_KNOWN))
		return wrong(top, FSMETA_E_CORRUPT, "fields", "unknown field %s",
		    quoted(room, json_string_value(value), json_string_length(value)));
	*mask |= field;
	return 0;
}

static int take_fields(struct object *top)
{
	json_t *array = take(top, "fields");
	int code = 0;

	if (!array)
		return 0;
	if (!json_is_array(array))
		code = wrong(top, FSMETA_E_CORRUPT, "fields", "not a list of strings");
	for (size_t i = 0; !code && i < json_array_size(array); i++)
		code = read_field(top, json_array_get(array, i), &top->reader->out->field_mask);
	json_decref(array);
	return code;
}

static int take_choices(struct object *top)
{
	struct fsmeta_batch_source *out = top->reader->out;
	unsigned algorithm = FSMETA_HASH_NONE;
	unsigned ids = FSMETA_IDS_ORDINAL;
	unsigned path_case = FSMETA_PATH_CASE_UNKNOWN;
	int code = take_choice(top, "hash_algorithm", hash_algorithm_names,
	    COUNT_OF(hash_algorithm_names), &algorithm);

	if (!code)
		code = take_choice(top, "ids", id_kind_names, COUNT_OF(id_kind_names), &ids);
	if (!code)
		code = take_choice(
		    top, "path_case", path_case_names, COUNT_OF(path_case_names), &path_case);
	out->hash_algorithm = (enum fsmeta_hash_algorithm)algorithm;
	out->id_kind = (enum fsmeta_id_kind)ids;
	out->path_case = (enum fsmeta_path_case)path_case;
	return code;
}

static int take_generation(struct object *top)
{
	struct fsmeta_batch_source *out = top->reader->out;
	int code = take_count(top, "generation", UINT64_MAX, &out->generation);

	if (!code)
		code = take_count(top, "base_generation", UINT64_MAX, &out->base_generation);
	if (!code)
		code = take_digest(top, "state_digest", &out->has_state_digest, &out->state_digest);
	if (!code)
		code = take_digest(
		    top, "base_state_digest", &out->has_base_state_digest, &out->base_state_digest);
	return code;
}

/** The mark and the version, before anything else is believed. */
static int take_version(struct object *top)
{
	struct reader *reader = top->reader;
	json_t *mark = take(top, "format");
	uint64_t version = 0;
	int code = 0;

	if (!json_is_string(mark) || strcmp(json_string_value(mark), FORMAT_MARK))
		code = fsmeta_error_set(reader->error, FSMETA_E_FOREIGN, reader->path, reading,
		    "JSON, but no BatchSource");
	json_decref(mark);
	if (!code)
		code = take_count(top, "format_version", UINT64_MAX, &version);
	if (code)
		return code;
	if (version == 0)
		return wrong(top, FSMETA_E_CORRUPT, "format_version", "missing or 0");
	if (version > FSMETA_FORMAT_VERSION)
		return wrong(top, FSMETA_E_UNSUPPORTED, "format_version",
		    "%" PRIu64 " is newer than the %d that this fsmeta knows", version,
		    FSMETA_FORMAT_VERSION);
	reader->out->format_version = (uint32_t)version;
	return 0;
}

static int read_top(struct object *top)
{
	struct fsmeta_batch_source *out = top->reader->out;
	int code = take_version(top);

	if (!code)
		code = take_text(top, "fsmeta_version", &out->fsmeta_version);
	if (!code)
		code = take_object(top, "machine", "machine", read_machine, NULL);
	if (!code)
		code = take_object(top, "source", "source", read_source, NULL);
	if (!code)
		code = take_array(top, "filesystems", "filesystems", FSMETA_FILESYSTEMS_MAX,
		    read_filesystem, NULL);
	if (!code)
		code = take_object(top, "scan", "scan", read_scan, NULL);
	if (!code)
		code = take_generation(top);
	if (!code)
		code = take_fields(top);
	if (!code)
		code = take_choices(top);
	if (!code)
		code = take_object(top, "scope", "scope", read_scope, NULL);
	if (!code)
		code = take_names(top);
	if (!code)
		code = take_object(top, "totals", "totals", read_totals, NULL);
	return code ? code : keep_unknown(top);
}

/** True where the text begins like a JSON object, so that it may well be ours. */
static bool begins_like_object(const char *text, size_t length)
{
	size_t at = 0;

	while (at < length && memchr(" \t\r\n", text[at], 4))
		at++;
	return at < length && text[at] == '{';
}

/**
 * True where the text was not wrong as far as it goes, but goes not far enough.
 * A literal cut short ("fal") is a wrong token to jansson; that it is the last
 * thing in the text, and no bracket, gives it away.
 */
static bool ends_too_early(const json_error_t *json_error, const char *text, size_t length)
{
	if (json_error_code(json_error) == json_error_premature_end_of_input)
		return true;
	return json_error_code(json_error) == json_error_invalid_syntax &&
	       (size_t)json_error->position == length && !memchr(" \t\r\n]}", text[length - 1], 6);
}

/** Turns jansson's error into ours. */
static int report_json_error(const json_error_t *json_error, const char *text, size_t length,
    const char *path, struct fsmeta_error *error)
{
	/* "… near 'BYTES OF THE FILE'": those are not for a terminal. */
	const char *near = strstr(json_error->text, " near ");
	size_t words = near ? (size_t)(near - json_error->text) : strlen(json_error->text);
	enum fsmeta_code code = FSMETA_E_CORRUPT;

	if (json_error_code(json_error) == json_error_out_of_memory)
		return fsmeta_error_set_memory(error, reading);
	if (!begins_like_object(text, length))
		return fsmeta_error_set(error, FSMETA_E_FOREIGN, path, reading, "no JSON object");
	if (ends_too_early(json_error, text, length))
		code = FSMETA_E_TRUNCATED;
	return fsmeta_error_set_at(error, code, path, json_error->position, reading,
	    "line %d: %.*s", json_error->line, (int)words, json_error->text);
}

static int parse_json(
    json_t **out, const char *text, size_t length, const char *path, struct fsmeta_error *error)
{
	json_error_t json_error = {0};

	*out = NULL;
	if (length > FSMETA_SOURCE_JSON_MAX_BYTES)
		return fsmeta_error_set(error, FSMETA_E_LIMIT, path, reading,
		    "longer than %d bytes", FSMETA_SOURCE_JSON_MAX_BYTES);
	*out = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &json_error);
	if (!*out)
		return report_json_error(&json_error, text, length, path, error);
	if (json_is_object(*out))
		return 0;
	json_decref(*out);
	*out = NULL;
	return fsmeta_error_set(error, FSMETA_E_FOREIGN, path, reading, "no JSON object");
}

int fsmeta_batch_source_from_json(struct fsmeta_batch_source *out, const char *text, size_t length,
    const char *path, struct fsmeta_error *error)
{
	struct reader reader = {.out = out, .path = path, .error = error};
	struct object top = {.reader = &reader, .place = "", .index = -1};
	int code;

	fsmeta_batch_source_init(out);
	code = parse_json(&top.json, text, length, path, error);
	if (code)
		return code;
	reader.unknown = json_object();
	if (reader.unknown)
		code = read_top(&top);
	else
		code = memory_failure(&reader);
	if (!code && json_object_size(reader.unknown))
		out->unknown_keys = json_incref(reader.unknown);
	json_decref(reader.unknown);
	fsmeta_buffer_release(&reader.scratch);
	json_decref(top.json);
	if (code)
		fsmeta_batch_source_release(out);
	return code;
}
