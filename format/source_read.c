/*
 * JSON to BatchSource.
 *
 * Reading *consumes*.  A key that is understood is taken out of its object, so
 * what is left in the object at the end is, without any list of known keys that
 * could fall behind the code, what this version does not know.  It is kept for
 * its place (see source_json.h).
 *
 *     {"name": "nas", "future": 1}  -- take "name" -->  {"future": 1}  -- kept
 *
 * Nothing that comes from the file is printed raw: messages name our own keys,
 * and values only in quotes.
 */
#include "format/source.h"

#include "base/path.h"
#include "format/source_json.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	/** Room for a quoted value in a message. */
	QUOTED_BYTES = 96,
};

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
	if (length == 0 || length >= FSMETA_SOURCE_DECIMAL_BYTES || (text[0] == '0' && length > 1))
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
	char key_b64[FSMETA_SOURCE_KEY_BYTES];
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

/** A shallow copy, *new*; NULL when memory is out, where json_copy() just leaves out keys. */
static json_t *copy_object(json_t *object)
{
	json_t *copy = json_copy(object);

	if (json_object_size(copy) == json_object_size(object))
		return copy;
	json_decref(copy);
	return NULL;
}

/** {"known": …, "unknown": …} of an element, `whole` before and `left` after reading. */
static json_t *make_pair(json_t *whole, json_t *left)
{
	json_t *known = copy_object(whole);
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
	element->json = copy_object(whole);
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

static int read_source(struct object *object, void *into)
{
	struct fsmeta_batch_source *out = object->reader->out;
	size_t length;
	struct string_list_target aliases = {&out->source_aliases, "id", false};
	int code = take_text(object, "id", &out->source_id);

	(void)into;
	if (!code)
		code = take_array(object, "aliases", "source.aliases", FSMETA_SOURCE_ALIASES_MAX,
		    read_string, &aliases);
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
	if (!code && fsmeta_source_append_filesystem(element->reader->out, &filesystem))
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
	const struct fsmeta_source_scope_place *place;
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

static int take_scope_list(struct object *scope, struct fsmeta_scope_list *list,
    const struct fsmeta_source_scope_place *place)
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
		code = take_scope_list(object, &out->not_entered, &fsmeta_source_not_entered);
	if (!code)
		code = take_scope_list(object, &out->unreadable, &fsmeta_source_unreadable);
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
	for (size_t i = 0; !code && i < FSMETA_COUNT_OF(counts); i++)
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
	int code = take_choice(top, "hash_algorithm", fsmeta_source_hash_algorithm_names,
	    FSMETA_COUNT_OF(fsmeta_source_hash_algorithm_names), &algorithm);

	if (!code)
		code = take_choice(top, "ids", fsmeta_source_id_kind_names,
		    FSMETA_COUNT_OF(fsmeta_source_id_kind_names), &ids);
	if (!code)
		code = take_choice(top, "path_case", fsmeta_source_path_case_names,
		    FSMETA_COUNT_OF(fsmeta_source_path_case_names), &path_case);
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

	if (!json_is_string(mark) || strcmp(json_string_value(mark), FSMETA_SOURCE_MARK))
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

	/* Where an allocation fails deep inside, jansson says nothing at all. */
	if (json_error_code(json_error) == json_error_out_of_memory || !json_error->text[0])
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
