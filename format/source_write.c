/*
 * BatchSource to JSON.
 *
 * Each object is built from the struct, key by key in the order of
 * docs/batchsource.md; then what was kept for its place (see source_json.h) is
 * added behind.  Failure is sticky: the functions that put a key need no checking,
 * and the end asks once.
 *
 * The terse form leaves out every key whose value is read where the key is not there.
 */
#include "format/source.h"

#include "format/source_json.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

const char *const fsmeta_source_id_kind_names[] = {
    [FSMETA_IDS_ORDINAL] = "ordinal",
    [FSMETA_IDS_STABLE] = "stable",
};

const char *const fsmeta_source_path_case_names[] = {
    [FSMETA_PATH_CASE_UNKNOWN] = "unknown",
    [FSMETA_PATH_CASE_SENSITIVE] = "sensitive",
    [FSMETA_PATH_CASE_INSENSITIVE] = "insensitive",
};

const char *const fsmeta_source_hash_algorithm_names[] = {
    [FSMETA_HASH_NONE] = "none",
    [FSMETA_HASH_XXH3] = "xxh3",
    [FSMETA_HASH_SHA256] = "sha256",
};

const struct fsmeta_source_scope_place fsmeta_source_not_entered = {
    "not_entered", "scope.not_entered", "scope.not_entered.roots"};
const struct fsmeta_source_scope_place fsmeta_source_unreadable = {
    "unreadable", "scope.unreadable", "scope.unreadable.roots"};

/** The first thing that went wrong is kept, so that only the end need ask. */
struct writer {
	const struct fsmeta_batch_source *source;
	/** Values that go without saying are not said. */
	bool terse;
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
	char decimal[FSMETA_SOURCE_DECIMAL_BYTES];

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
	char key_b64[FSMETA_SOURCE_KEY_BYTES];

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

/** Nothing in the terse form where the value is what is read where the key is not there. */
static void put_count_unless(
    struct writer *writer, json_t *object, const char *key, uint64_t count, uint64_t unsaid)
{
	if (!writer->terse || count != unsaid)
		put_count(writer, object, key, count);
}

static void put_boolean(struct writer *writer, json_t *object, const char *key, bool value)
{
	if (!writer->terse || value)
		put(writer, object, key, json_boolean(value));
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

/** One of `names`, the first of them unsaid; a number beyond them is a bug of the caller. */
static void put_choice(struct writer *writer, json_t *object, const char *key,
    const char *const *names, size_t count, unsigned choice)
{
	if (choice >= count)
		writer_fail(writer, FSMETA_E_INTERNAL);
	else if (!writer->terse || choice)
		put(writer, object, key, json_string(names[choice]));
}

/**
 * Adds the keys of `kept` (NULL: none) that `object` does not have.  Not by
 * json_object_update_missing(), which does not say when memory runs out.
 */
static void put_missing(struct writer *writer, json_t *object, json_t *kept)
{
	const char *key;
	json_t *value;

	json_object_foreach(kept, key, value)
	{
		if (!json_object_get(object, key))
			put(writer, object, key, json_incref(value));
	}
}

/** Adds what was kept for the object at `place`. */
static void put_unknown(struct writer *writer, json_t *object, const char *place)
{
	put_missing(writer, object, json_object_get(writer->source->unknown_keys, place));
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
		put_missing(writer, element, json_object_get(pair, "unknown"));
		next++;
	}
}

/** Takes `array` over. */
static void put_list(struct writer *writer, json_t *parent, const char *key, json_t *array)
{
	if (!writer->terse || json_array_size(array))
		put(writer, parent, key, array);
	else
		json_decref(array);
}

/** The same for one whose elements may have unknown keys, kept for `place`. */
static void put_array(
    struct writer *writer, json_t *parent, const char *key, json_t *array, const char *place)
{
	put_unknown_of_elements(writer, array, place);
	put_list(writer, parent, key, array);
}

static void put_machine(struct writer *writer, json_t *top)
{
	json_t *object = json_object();

	put_text(writer, object, "name", writer->source->machine_name);
	put_text(writer, object, "id", writer->source->machine_id);
	put_unknown(writer, object, "machine");
	put_object(writer, top, "machine", object, false);
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

static void put_source(struct writer *writer, json_t *top)
{
	json_t *object = json_object();

	put_text(writer, object, "id", writer->source->source_id);
	if (writer->source->source_aliases.count)
		put_strings(writer, object, "aliases", &writer->source->source_aliases, "id",
		    "source.aliases");
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
	put_boolean(writer, object, "quick", writer->source->quick);
	put_unknown(writer, object, "scan");
	put_object(writer, top, "scan", object, !writer->terse);
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
	put_list(writer, top, "fields", array);
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

static void put_scope_list(struct writer *writer, json_t *scope,
    const struct fsmeta_scope_list *list, const struct fsmeta_source_scope_place *place)
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
	put_count_unless(writer, object, "total", list->total, list->count);
	put_array(writer, object, "roots", array, place->roots_place);
	put_unknown(writer, object, place->place);
	put_object(writer, scope, place->key, object, !writer->terse);
}

static void put_scope(struct writer *writer, json_t *top)
{
	const struct fsmeta_batch_source *source = writer->source;
	json_t *object = json_object();

	put_strings(writer, object, "subtrees", &source->subtrees, "path", "scope.subtrees");
	put_strings(writer, object, "excludes", &source->excludes, "pattern", "scope.excludes");
	put_boolean(writer, object, "cross_filesystems", source->cross_filesystems);
	put_scope_list(writer, object, &source->not_entered, &fsmeta_source_not_entered);
	put_scope_list(writer, object, &source->unreadable, &fsmeta_source_unreadable);
	put_unknown(writer, object, "scope");
	put_object(writer, top, "scope", object, !writer->terse);
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
	put_count_unless(writer, object, "entries", totals->entries, 0);
	put_count_unless(writer, object, "files", totals->files, 0);
	put_count_unless(writer, object, "folders", totals->folders, 0);
	put_count_unless(writer, object, "symlinks", totals->symlinks, 0);
	put_count_unless(writer, object, "others", totals->others, 0);
	put_count_unless(writer, object, "bytes", totals->bytes, 0);
	put_count_unless(writer, object, "allocated", totals->allocated, 0);
	put_count_unless(writer, object, "unreadable", totals->unreadable, 0);
	put_count_unless(writer, object, "carried", totals->carried, 0);
	put_unknown(writer, object, "totals");
	put_object(writer, top, "totals", object, true);
}

/** The whole, in the order that docs/batchsource.md gives. */
static json_t *make_json(struct writer *writer)
{
	const struct fsmeta_batch_source *source = writer->source;
	json_t *top = json_object();

	put_text(writer, top, "format", FSMETA_SOURCE_MARK);
	put_count(writer, top, "format_version", source->format_version);
	put_text(writer, top, "fsmeta_version", source->fsmeta_version);
	put_machine(writer, top);
	put_source(writer, top);
	put_filesystems(writer, top);
	put_scan(writer, top);
	put_generation(writer, top);
	put_fields(writer, top);
	put_choice(writer, top, "hash_algorithm", fsmeta_source_hash_algorithm_names,
	    FSMETA_COUNT_OF(fsmeta_source_hash_algorithm_names), source->hash_algorithm);
	put_choice(writer, top, "ids", fsmeta_source_id_kind_names,
	    FSMETA_COUNT_OF(fsmeta_source_id_kind_names), source->id_kind);
	put_choice(writer, top, "path_case", fsmeta_source_path_case_names,
	    FSMETA_COUNT_OF(fsmeta_source_path_case_names), source->path_case);
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

static int write_json(struct fsmeta_buffer *out, const struct fsmeta_batch_source *source,
    bool terse, size_t flags, const char *end, struct fsmeta_error *error)
{
	struct writer writer = {.source = source, .terse = terse};
	size_t start = out->length;
	json_t *top = make_json(&writer);

	if (!writer.code && (json_dump_callback(top, append_dump, out, flags) ||
				fsmeta_buffer_append_text(out, end)))
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

int fsmeta_batch_source_to_json(
    struct fsmeta_buffer *out, const struct fsmeta_batch_source *source, struct fsmeta_error *error)
{
	return write_json(out, source, false, JSON_INDENT(2), "\n", error);
}

int fsmeta_batch_source_to_compact_json(
    struct fsmeta_buffer *out, const struct fsmeta_batch_source *source, struct fsmeta_error *error)
{
	return write_json(out, source, false, JSON_COMPACT, "", error);
}

int fsmeta_batch_source_to_terse_json(
    struct fsmeta_buffer *out, const struct fsmeta_batch_source *source, struct fsmeta_error *error)
{
	return write_json(out, source, true, JSON_COMPACT, "", error);
}
