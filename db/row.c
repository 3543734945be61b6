/*
 * Rows.
 *
 * Most of an archive's entries are alike, and a row should cost what is special
 * about it.  SQLite keeps an integer in 0 bytes where it is 0 or 1, and in the
 * least of 1, 2, 3, 4, 6 and 8 otherwise, so values become small by being kept as
 * differences to what one would expect:
 *
 *     mtime       ns since 1970
 *     ctime       what it is after mtime: 0 for what was written once
 *     btime       what it is after ctime: a copied file has both at about one time
 *     allocated   what it is beyond whole blocks of the size: mostly 0
 *     type, mode, uid, gid, device    one small number, through a dictionary
 *
 * What fits no column (times that int64 ns cannot hold, sizes from 2^63 on) and
 * what is rare (flags, errno, device numbers) goes into `extra` as a JSON object:
 *
 *     {"flags": 1, "error": 13}            enum fsmeta_entry_flag, errno
 *     {"rdev": [8, 17]}
 *     {"mtime": [99999999999, 5]}          seconds and ns, exact; the column has
 *                                          the nearest that it can hold
 *     {"size": "18446744073709551615"}     likewise
 *
 * The column is NULL exactly where the value is not known, so `extra` is only
 * looked at where it is there.
 */
#include "db/row.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum {
	BLOCK_BYTES = 4096,
	EXTRA_MAX_BYTES = 4096,
	/** More kinds of attributes than any archive has. */
	ATTRIBUTES_MAX = 1 << 24,
	FILESYSTEMS_MAX = 1 << 16,
	FLAGS_KNOWN =
	    FSMETA_FLAG_UNREADABLE | FSMETA_FLAG_OTHER_FILESYSTEM | FSMETA_FLAG_CHANGED_WHILE_READ,
};

/** The shared columns, and those of content behind them, as FSMETA_ROW_COLUMNS has them. */
enum row_column {
	COLUMN_ATTRIBUTES,
	COLUMN_SIZE,
	COLUMN_MTIME,
	COLUMN_CTIME,
	COLUMN_BTIME,
	COLUMN_INODE,
	COLUMN_NLINK,
	COLUMN_ALLOCATED,
	COLUMN_EXTRA,
	COLUMN_TARGET,
	COLUMN_HASH,
};

/* ---- the dictionary ---------------------------------------------------- */

void fsmeta_dictionary_release(struct fsmeta_dictionary *dictionary)
{
	free(dictionary->items);
	free(dictionary->slots);
	*dictionary = (struct fsmeta_dictionary){0};
}

static uint32_t attributes_hash(const struct fsmeta_attributes *attributes)
{
	const uint32_t words[] = {attributes->type, attributes->fields, attributes->mode,
	    attributes->uid, attributes->gid, attributes->device};
	uint64_t hash = 0;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15;
	return (uint32_t)(hash >> 32);
}

static bool attributes_equal(const struct fsmeta_attributes *a, const struct fsmeta_attributes *b)
{
	return a->type == b->type && a->fields == b->fields && a->mode == b->mode &&
	       a->uid == b->uid && a->gid == b->gid && a->device == b->device;
}

/** Slot of these attributes, or the free one where they would go. */
static uint32_t *find_slot(
    const struct fsmeta_dictionary *dictionary, const struct fsmeta_attributes *attributes)
{
	uint32_t at = attributes_hash(attributes);

	for (;; at++) {
		uint32_t *slot = &dictionary->slots[at & (dictionary->slot_count - 1)];

		if (!*slot || attributes_equal(&dictionary->items[*slot - 1], attributes))
			return slot;
	}
}

/** Keeps at least half of the slots free. */
static int grow_slots(struct fsmeta_dictionary *dictionary)
{
	uint32_t wanted = 64;

	while (wanted < 2 * (dictionary->count + 1))
		wanted *= 2;
	if (wanted <= dictionary->slot_count)
		return 0;
	free(dictionary->slots);
	dictionary->slot_count = 0;
	dictionary->slots = calloc(wanted, sizeof(*dictionary->slots));
	if (!dictionary->slots)
		return FSMETA_E_MEMORY;
	dictionary->slot_count = wanted;
	for (uint32_t i = 0; i < dictionary->count; i++)
		*find_slot(dictionary, &dictionary->items[i]) = i + 1;
	return 0;
}

static int dictionary_append(
    struct fsmeta_dictionary *dictionary, const struct fsmeta_attributes *attributes)
{
	if (dictionary->count == dictionary->capacity) {
		uint32_t capacity = dictionary->capacity ? 2 * dictionary->capacity : 32;
		struct fsmeta_attributes *items =
		    dictionary->count < ATTRIBUTES_MAX
			? reallocarray(dictionary->items, capacity, sizeof(*items))
			: NULL;

		if (!items)
			return FSMETA_E_MEMORY;
		dictionary->items = items;
		dictionary->capacity = capacity;
	}
	dictionary->items[dictionary->count++] = *attributes;
	return 0;
}

int fsmeta_dictionary_find(struct fsmeta_dictionary *dictionary,
    const struct fsmeta_attributes *attributes, uint32_t *id, bool *added)
{
	uint32_t *slot;
	int code = grow_slots(dictionary);

	*added = false;
	if (code)
		return code;
	slot = find_slot(dictionary, attributes);
	if (!*slot) {
		code = dictionary_append(dictionary, attributes);
		if (code)
			return code;
		*slot = dictionary->count;
		*added = true;
	}
	*id = *slot - 1;
	return 0;
}

/** Reads a column that is NULL or an integer up to `limit`; false where it is neither. */
static bool read_attribute(sqlite3_stmt *statement, int column, int64_t limit, uint32_t field,
    struct fsmeta_attributes *attributes, uint32_t *value)
{
	int64_t number;

	*value = 0;
	if (sqlite3_column_type(statement, column) == SQLITE_NULL)
		return true;
	number = sqlite3_column_int64(statement, column);
	if (number < 0 || number > limit)
		return false;
	*value = (uint32_t)number;
	attributes->fields |= field;
	return true;
}

static bool read_attributes(
    sqlite3_stmt *statement, size_t filesystem_count, struct fsmeta_attributes *attributes)
{
	int64_t type = sqlite3_column_int64(statement, 1);

	*attributes = (struct fsmeta_attributes){.type = (enum fsmeta_type)type};
	return type >= FSMETA_TYPE_FILE && type <= FSMETA_TYPE_CHAR &&
	       read_attribute(
		   statement, 2, 07777, FSMETA_FIELD_MODE, attributes, &attributes->mode) &&
	       read_attribute(
		   statement, 3, UINT32_MAX, FSMETA_FIELD_UID, attributes, &attributes->uid) &&
	       read_attribute(
		   statement, 4, UINT32_MAX, FSMETA_FIELD_GID, attributes, &attributes->gid) &&
	       read_attribute(statement, 5, (int64_t)filesystem_count - 1, FSMETA_FIELD_DEVICE,
		   attributes, &attributes->device);
}

int fsmeta_dictionary_load(struct fsmeta_dictionary *dictionary,
    const struct fsmeta_connection *connection, size_t filesystem_count, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_connection_prepare(&statement, connection,
	    "SELECT id, type, mode, uid, gid, filesystem FROM attributes ORDER BY id", error);

	while (!code && (code = fsmeta_connection_step(connection, statement, error)) > 0) {
		struct fsmeta_attributes attributes;

		if (sqlite3_column_int64(statement, 0) != dictionary->count ||
		    !read_attributes(statement, filesystem_count, &attributes))
			code = fsmeta_connection_corrupt(connection, error,
			    "attributes %" PRIu32 " are damaged", dictionary->count);
		else if (dictionary_append(dictionary, &attributes))
			code = fsmeta_error_set_memory(error, "reading attributes");
		else
			code = 0;
	}
	sqlite3_finalize(statement);
	return code;
}

/* ---- file systems ------------------------------------------------------ */

static int add_filesystem(struct fsmeta_batch_source *source,
    const struct fsmeta_connection *connection, sqlite3_stmt *statement, struct fsmeta_error *error)
{
	const char *uuid = (const char *)sqlite3_column_text(statement, 1);
	const char *type = (const char *)sqlite3_column_text(statement, 2);
	const char *label = (const char *)sqlite3_column_text(statement, 3);
	size_t expected = source->filesystem_count;
	uint32_t index = 0;
	int code;

	if (!uuid || !type || !label || expected >= FILESYSTEMS_MAX ||
	    sqlite3_column_int64(statement, 0) != (int64_t)expected)
		return fsmeta_connection_corrupt(
		    connection, error, "file system %zu is damaged", expected);
	code = fsmeta_batch_source_add_filesystem(source, uuid, type, label, &index);
	if (code)
		return fsmeta_error_set_memory(error, "reading file systems");
	if (index != expected)
		return fsmeta_connection_corrupt(
		    connection, error, "file system %zu is there twice", expected);
	return 0;
}

int fsmeta_row_load_filesystems(struct fsmeta_batch_source *source,
    const struct fsmeta_connection *connection, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_connection_prepare(&statement, connection,
	    "SELECT id, uuid, type, label FROM filesystem ORDER BY id", error);

	source->filesystem_count = 0;
	while (!code && (code = fsmeta_connection_step(connection, statement, error)) > 0)
		code = add_filesystem(source, connection, statement, error);
	sqlite3_finalize(statement);
	return code;
}

/* ---- writing ----------------------------------------------------------- */

/** What a row cannot hold in its columns; made where the first such thing comes up. */
struct extra {
	json_t *object;
	bool failed;
};

/** Takes `value`. */
static void extra_set(struct extra *extra, const char *key, json_t *value)
{
	if (!extra->object)
		extra->object = json_object();
	if (!extra->object || json_object_set_new(extra->object, key, value) < 0)
		extra->failed = true;
}

static void extra_set_time(struct extra *extra, const char *key, struct fsmeta_time time)
{
	extra_set(
	    extra, key, json_pack("[I,I]", (json_int_t)time.seconds, (json_int_t)time.nanoseconds));
}

/** An unsigned value as SQLite's signed one; what does not fit goes beside. */
static int64_t clamp(struct extra *extra, const char *key, uint64_t value)
{
	char text[32];

	if (value <= INT64_MAX)
		return (int64_t)value;
	snprintf(text, sizeof(text), "%" PRIu64, value);
	extra_set(extra, key, json_string(text));
	return INT64_MAX;
}

static uint64_t implied_bytes(enum fsmeta_type type, uint64_t size)
{
	uint64_t rest = size % BLOCK_BYTES;

	if (type != FSMETA_TYPE_FILE && type != FSMETA_TYPE_FOLDER)
		return 0;
	return rest && size <= UINT64_MAX - BLOCK_BYTES ? size - rest + BLOCK_BYTES : size - rest;
}

/** Difference of the time to `base`, which becomes the time as its column gives it. */
static int64_t time_difference(
    struct extra *extra, const char *key, struct fsmeta_time time, int64_t *base)
{
	int64_t ns, difference;

	if (!fsmeta_time_to_ns(time, &ns) || __builtin_sub_overflow(ns, *base, &difference)) {
		extra_set_time(extra, key, time);
		difference = 0;
	}
	*base += difference;
	return difference;
}

static void bind_times(
    sqlite3_stmt *statement, int first, const struct fsmeta_entry *entry, struct extra *extra)
{
	int64_t base = 0;

	if (!(entry->fields & FSMETA_FIELD_MTIME)) {
		sqlite3_bind_null(statement, first);
	} else {
		if (!fsmeta_time_to_ns(entry->mtime, &base)) {
			extra_set_time(extra, "mtime", entry->mtime);
			base = entry->mtime.seconds < 0 ? INT64_MIN : INT64_MAX;
		}
		sqlite3_bind_int64(statement, first, base);
	}
	if (!(entry->fields & FSMETA_FIELD_CTIME))
		sqlite3_bind_null(statement, first + 1);
	else
		sqlite3_bind_int64(
		    statement, first + 1, time_difference(extra, "ctime", entry->ctime, &base));
	if (!(entry->fields & FSMETA_FIELD_BTIME))
		sqlite3_bind_null(statement, first + 2);
	else
		sqlite3_bind_int64(
		    statement, first + 2, time_difference(extra, "btime", entry->btime, &base));
}

static void bind_size(
    sqlite3_stmt *statement, int column, const struct fsmeta_entry *entry, struct extra *extra)
{
	if (entry->fields & FSMETA_FIELD_SIZE)
		sqlite3_bind_int64(statement, column, clamp(extra, "size", entry->size));
	else
		sqlite3_bind_null(statement, column);
}

static void bind_numbers(
    sqlite3_stmt *statement, int first, const struct fsmeta_entry *entry, struct extra *extra)
{
	if (entry->fields & FSMETA_FIELD_INODE)
		sqlite3_bind_int64(statement, first, (int64_t)entry->inode);
	else
		sqlite3_bind_null(statement, first);
	if (entry->fields & FSMETA_FIELD_NLINK)
		sqlite3_bind_int64(statement, first + 1, clamp(extra, "nlink", entry->nlink));
	else
		sqlite3_bind_null(statement, first + 1);
	if (entry->fields & FSMETA_FIELD_ALLOCATED) {
		int64_t allocated = clamp(extra, "allocated", entry->allocated);
		uint64_t size = entry->fields & FSMETA_FIELD_SIZE ? entry->size : 0;

		/* A size from 2^63 on implies nothing, or this would overflow. */
		if (size <= INT64_MAX - BLOCK_BYTES)
			allocated -= (int64_t)implied_bytes(entry->type, size);
		sqlite3_bind_int64(statement, first + 2, allocated);
	} else {
		sqlite3_bind_null(statement, first + 2);
	}
}

static void bind_content(sqlite3_stmt *statement, int first, const struct fsmeta_entry *entry)
{
	if (entry->fields & FSMETA_FIELD_TARGET)
		sqlite3_bind_blob64(statement, first, entry->target_length ? entry->target : "",
		    entry->target_length, SQLITE_STATIC);
	else
		sqlite3_bind_null(statement, first);
	if (entry->fields & FSMETA_FIELD_HASH)
		sqlite3_bind_blob64(statement, first + 1, entry->hash,
		    fsmeta_hash_bytes(entry->hash_algorithm), SQLITE_STATIC);
	else
		sqlite3_bind_null(statement, first + 1);
}

/** Binds and forgets what was collected. */
static int bind_extra(sqlite3_stmt *statement, int column, struct extra *extra)
{
	char *text = NULL;

	if (extra->object)
		text = json_dumps(extra->object, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(extra->object);
	if (extra->failed || (extra->object && !text))
		return FSMETA_E_MEMORY;
	if (text)
		return sqlite3_bind_text(statement, column, text, -1, free) == SQLITE_OK
			   ? 0
			   : FSMETA_E_MEMORY;
	sqlite3_bind_null(statement, column);
	return 0;
}

int fsmeta_row_bind(sqlite3_stmt *statement, int first, const struct fsmeta_entry *entry,
    uint32_t attributes, bool content, struct fsmeta_error *error)
{
	struct extra extra = {0};

	sqlite3_bind_int64(statement, first, attributes);
	bind_size(statement, first + 1, entry, &extra);
	bind_times(statement, first + 2, entry, &extra);
	bind_numbers(statement, first + 5, entry, &extra);
	if (content)
		bind_content(statement, first + 9, entry);
	if (entry->flags)
		extra_set(&extra, "flags", json_integer(entry->flags));
	if (entry->error)
		extra_set(&extra, "error", json_integer(entry->error));
	if (entry->fields & FSMETA_FIELD_RDEV)
		extra_set(&extra, "rdev",
		    json_pack(
			"[I,I]", (json_int_t)entry->rdev_major, (json_int_t)entry->rdev_minor));
	if (bind_extra(statement, first + 8, &extra))
		return fsmeta_error_set_memory(error, "writing an entry");
	return 0;
}

/* ---- reading ----------------------------------------------------------- */

static bool json_to_uint32(const json_t *value, uint32_t limit, uint32_t *out)
{
	json_int_t number = json_integer_value(value);

	if (!json_is_integer(value) || number < 0 || number > (json_int_t)limit)
		return false;
	*out = (uint32_t)number;
	return true;
}

static bool json_to_time(const json_t *value, struct fsmeta_time *out)
{
	const json_t *seconds = json_array_get(value, 0);

	if (json_array_size(value) != 2 || !json_is_integer(seconds))
		return false;
	out->seconds = json_integer_value(seconds);
	return json_to_uint32(json_array_get(value, 1), 999999999, &out->nanoseconds);
}

static bool json_to_uint64(const json_t *value, uint64_t *out)
{
	const char *text = json_string_value(value);
	char *end;

	if (!text || *text < '0' || *text > '9' || strlen(text) > 20)
		return false;
	*out = strtoull(text, &end, 10);
	return *end == '\0' && *out > INT64_MAX;
}

static bool json_to_rdev(const json_t *value, uint32_t mask, struct fsmeta_entry *entry)
{
	uint32_t major, minor;

	if (json_array_size(value) != 2 ||
	    !json_to_uint32(json_array_get(value, 0), UINT32_MAX, &major) ||
	    !json_to_uint32(json_array_get(value, 1), UINT32_MAX, &minor))
		return false;
	if (mask & FSMETA_FIELD_RDEV) {
		entry->rdev_major = major;
		entry->rdev_minor = minor;
		entry->fields |= FSMETA_FIELD_RDEV;
	}
	return true;
}

/** Takes one exact value; one whose field was masked out is only judged. */
static bool apply_exact(struct fsmeta_entry *entry, const char *key, const json_t *value)
{
	static const struct {
		const char *key;
		uint32_t field;
		size_t offset;
		bool is_time;
	} exact[] = {
	    {"mtime", FSMETA_FIELD_MTIME, offsetof(struct fsmeta_entry, mtime), true},
	    {"ctime", FSMETA_FIELD_CTIME, offsetof(struct fsmeta_entry, ctime), true},
	    {"btime", FSMETA_FIELD_BTIME, offsetof(struct fsmeta_entry, btime), true},
	    {"size", FSMETA_FIELD_SIZE, offsetof(struct fsmeta_entry, size), false},
	    {"nlink", FSMETA_FIELD_NLINK, offsetof(struct fsmeta_entry, nlink), false},
	    {"allocated", FSMETA_FIELD_ALLOCATED, offsetof(struct fsmeta_entry, allocated), false},
	};

	for (size_t i = 0; i < sizeof(exact) / sizeof(exact[0]); i++) {
		struct fsmeta_time time;
		uint64_t number;
		bool good;

		if (strcmp(key, exact[i].key) != 0)
			continue;
		good =
		    exact[i].is_time ? json_to_time(value, &time) : json_to_uint64(value, &number);
		if (!good || !(entry->fields & exact[i].field))
			return good;
		if (exact[i].is_time)
			memcpy((char *)entry + exact[i].offset, &time, sizeof(time));
		else
			memcpy((char *)entry + exact[i].offset, &number, sizeof(number));
		return true;
	}
	return false;
}

static bool apply_extra(
    struct fsmeta_entry *entry, const char *key, const json_t *value, uint32_t mask)
{
	uint32_t number;

	if (strcmp(key, "flags") == 0)
		return json_to_uint32(value, FLAGS_KNOWN, &entry->flags);
	if (strcmp(key, "error") == 0) {
		if (!json_to_uint32(value, FSMETA_ERRNO_MAX, &number))
			return false;
		entry->error = (int)number;
		return true;
	}
	if (strcmp(key, "rdev") == 0)
		return json_to_rdev(value, mask, entry);
	return apply_exact(entry, key, value);
}

static bool decode_extra(sqlite3_value *column, uint32_t mask, struct fsmeta_entry *entry)
{
	const char *text = (const char *)sqlite3_value_text(column);
	int length = sqlite3_value_bytes(column);
	json_t *object, *value;
	const char *key;
	bool good;

	if (!text || length > EXTRA_MAX_BYTES)
		return false;
	object = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, NULL);
	good = json_is_object(object);
	if (good)
		json_object_foreach(object, key, value) good =
		    good && apply_extra(entry, key, value, mask);
	json_decref(object);
	return good;
}

static void decode_attributes(
    const struct fsmeta_attributes *attributes, uint32_t mask, struct fsmeta_entry *entry)
{
	uint32_t fields = attributes->fields & mask;

	entry->type = attributes->type;
	entry->fields = fields;
	entry->mode = fields & FSMETA_FIELD_MODE ? attributes->mode : 0;
	entry->uid = fields & FSMETA_FIELD_UID ? attributes->uid : 0;
	entry->gid = fields & FSMETA_FIELD_GID ? attributes->gid : 0;
	entry->device = fields & FSMETA_FIELD_DEVICE ? attributes->device : FSMETA_DEVICE_NONE;
}

/**
 * The column as an integer, 0 for NULL.  False where it is neither.  What a
 * crafted file has there instead reads as some number, and is then as wrong as any
 * other number; only what reads as 0 is looked at twice, for it is mostly NULL.
 */
static inline bool read_integer(sqlite3_value *column, bool *known, int64_t *value)
{
	int type;

	*value = sqlite3_value_int64(column);
	*known = true;
	if (__builtin_expect(*value != 0, 1))
		return true;
	type = sqlite3_value_type(column);
	*known = type != SQLITE_NULL;
	return type == SQLITE_INTEGER || type == SQLITE_NULL;
}

static inline void set_time(struct fsmeta_entry *entry, struct fsmeta_time *time, uint32_t field,
    bool known, int64_t ns, uint32_t mask)
{
	if (known && (mask & field)) {
		*time = fsmeta_time_from_ns(ns);
		entry->fields |= field;
	} else {
		*time = (struct fsmeta_time){0};
	}
}

static bool decode_times(sqlite3_value **columns, uint32_t mask, struct fsmeta_entry *entry)
{
	int64_t value, base = 0;
	bool known;

	if (!read_integer(columns[COLUMN_MTIME], &known, &base))
		return false;
	set_time(entry, &entry->mtime, FSMETA_FIELD_MTIME, known, base, mask);
	if (!read_integer(columns[COLUMN_CTIME], &known, &value) ||
	    __builtin_add_overflow(base, value, &base))
		return false;
	set_time(entry, &entry->ctime, FSMETA_FIELD_CTIME, known, base, mask);
	if (!read_integer(columns[COLUMN_BTIME], &known, &value) ||
	    __builtin_add_overflow(base, value, &base))
		return false;
	set_time(entry, &entry->btime, FSMETA_FIELD_BTIME, known, base, mask);
	return true;
}

static inline uint64_t take(
    struct fsmeta_entry *entry, uint32_t field, bool known, uint64_t value, uint32_t mask)
{
	if (!known || !(mask & field))
		return 0;
	entry->fields |= field;
	return value;
}

static bool decode_numbers(sqlite3_value **columns, uint32_t mask, struct fsmeta_entry *entry)
{
	int64_t size, value;
	bool known;

	if (!read_integer(columns[COLUMN_SIZE], &known, &size) || size < 0)
		return false;
	entry->size = take(entry, FSMETA_FIELD_SIZE, known, (uint64_t)size, mask);
	if (!read_integer(columns[COLUMN_INODE], &known, &value))
		return false;
	entry->inode = take(entry, FSMETA_FIELD_INODE, known, (uint64_t)value, mask);
	if (!read_integer(columns[COLUMN_NLINK], &known, &value) || value < 0)
		return false;
	entry->nlink = take(entry, FSMETA_FIELD_NLINK, known, (uint64_t)value, mask);
	if (!read_integer(columns[COLUMN_ALLOCATED], &known, &value))
		return false;
	if (known && size <= INT64_MAX - BLOCK_BYTES &&
	    (__builtin_add_overflow(
		 value, (int64_t)implied_bytes(entry->type, (uint64_t)size), &value) ||
		value < 0))
		return false;
	entry->allocated = take(entry, FSMETA_FIELD_ALLOCATED, known, (uint64_t)value, mask);
	return true;
}

static bool decode_hash(sqlite3_value *column, struct fsmeta_entry *entry)
{
	int type = sqlite3_value_type(column);
	int length;

	if (type == SQLITE_NULL)
		return true;
	length = sqlite3_value_bytes(column);
	if (type != SQLITE_BLOB)
		return false;
	if (length == 16)
		entry->hash_algorithm = FSMETA_HASH_XXH3;
	else if (length == 32)
		entry->hash_algorithm = FSMETA_HASH_SHA256;
	else
		return false;
	memcpy(entry->hash, sqlite3_value_blob(column), (size_t)length);
	entry->fields |= FSMETA_FIELD_HASH;
	return true;
}

static bool decode_target(sqlite3_value *column, struct fsmeta_entry *entry)
{
	int type = sqlite3_value_type(column);
	int length;

	if (type == SQLITE_NULL)
		return true;
	entry->target = sqlite3_value_blob(column);
	length = sqlite3_value_bytes(column);
	if (type != SQLITE_BLOB || length > FSMETA_TARGET_MAX_BYTES)
		return false;
	if (!length)
		entry->target = "";
	entry->target_length = (size_t)length;
	entry->fields |= FSMETA_FIELD_TARGET;
	return true;
}

/** Both are asked for only where the type can have them: most rows are spared the calls. */
static bool decode_content(sqlite3_value **columns, uint32_t mask, struct fsmeta_entry *entry)
{
	if (entry->type == FSMETA_TYPE_SYMLINK && mask & FSMETA_FIELD_TARGET)
		return decode_target(columns[COLUMN_TARGET], entry);
	if (entry->type == FSMETA_TYPE_FILE && mask & FSMETA_FIELD_HASH)
		return decode_hash(columns[COLUMN_HASH], entry);
	return true;
}

static void clear_content(struct fsmeta_entry *entry)
{
	entry->target = NULL;
	entry->target_length = 0;
	if (entry->hash_algorithm == FSMETA_HASH_NONE)
		return;
	entry->hash_algorithm = FSMETA_HASH_NONE;
	memset(entry->hash, 0, sizeof(entry->hash));
}

bool fsmeta_row_decode_values(sqlite3_value **columns, bool content,
    const struct fsmeta_dictionary *dictionary, uint32_t mask, struct fsmeta_entry *entry)
{
	int64_t attributes = sqlite3_value_int64(columns[COLUMN_ATTRIBUTES]);

	entry->flags = 0;
	entry->error = 0;
	entry->rdev_major = 0;
	entry->rdev_minor = 0;
	clear_content(entry);
	if (attributes < 0 || attributes >= dictionary->count)
		return false;
	decode_attributes(&dictionary->items[attributes], mask, entry);
	return (entry->type == FSMETA_TYPE_FOLDER) == !content &&
	       decode_times(columns, mask, entry) && decode_numbers(columns, mask, entry) &&
	       (!content || decode_content(columns, mask, entry)) &&
	       (sqlite3_value_type(columns[COLUMN_EXTRA]) == SQLITE_NULL ||
		   decode_extra(columns[COLUMN_EXTRA], mask, entry));
}

int fsmeta_row_decode(const struct fsmeta_connection *connection, sqlite3_stmt *statement,
    int first, bool content, const struct fsmeta_dictionary *dictionary, uint32_t mask,
    struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	sqlite3_value *columns[FSMETA_ROW_COLUMN_COUNT + FSMETA_ROW_CONTENT_COLUMN_COUNT];
	int count = FSMETA_ROW_COLUMN_COUNT + (content ? FSMETA_ROW_CONTENT_COLUMN_COUNT : 0);

	/* Connections are ours alone, so no value needs a mutex to protect it. */
	for (int i = 0; i < count; i++)
		columns[i] = sqlite3_column_value(statement, first + i);
	if (fsmeta_row_decode_values(columns, content, dictionary, mask, entry))
		return 0;
	return fsmeta_connection_corrupt(connection, error, "the metadata of an entry is damaged");
}
