/*
 * Building a batch.
 *
 *     add()                                   pack()
 *     entry ──► its values as they are ──►    column by column: differences, prefixes,
 *               into columns                  planes ──► protobuf-c
 *
 *     depth    1 2 2 2 1 …            level        1 0 1 1 2 …
 *     mtime    1700000000 1700000060  mtime        +1700000000 +60 …
 *     names    "cam1" "1_video.rf1i"  names        "cam1" "1_video.rf1i" "p"
 *                "1_video.rf1p" …
 *
 * Adding is on the path of every entry, on the thread that all others wait for, and
 * does nothing but store; a column outside the field mask is not even stored.  What the
 * format makes of the values is made of a whole column at once, in loops without
 * choices that a compiler turns into vectors, and by the thread that packs
 * (format/frame_output.h).  It is made in place, so a batch is packed once.
 *
 * Columns are arrays of one capacity, grown together and kept from batch to batch, and
 * what is made of them is what protobuf-c packs: nothing is copied in between.  A dense
 * column in which no value differs from the column's default is left out.  Differences
 * wrap around in two's complement, so every int64 pair has one.
 *
 * Sizes and nanoseconds are nearly random, and most of what a stream weighs.
 * Nothing makes random bytes shorter, but their top bytes are not random: written
 * as byte planes, these stand together, where an entropy coder sees them apart
 * (docs/decisions/0004 has the figures).
 *
 * Owners (mode, uid and gid together) and file systems go through dictionaries in
 * order of first use, because archives have few of them; a small open-addressing
 * table finds them, after a look at the previous entry's.
 *
 * Nothing here depends on earlier batches: two streams that hold the same run of
 * entries hold the same bytes, which is what lets a diff step over them.
 */
#include "format/batch.h"

#include "format/fsscan.pb-c.h"

#include <stdlib.h>
#include <string.h>

enum column {
	/* uint32, dense */
	/** Depths at first. */
	COLUMN_LEVEL,
	COLUMN_TYPE,
	/** Empty at first. */
	COLUMN_NAME_PREFIX,
	/** Lengths of the names at first. */
	COLUMN_NAME_SUFFIX,
	COLUMN_MTIME_NANOSECONDS,
	COLUMN_CTIME_NANOSECONDS,
	COLUMN_BTIME_NANOSECONDS,
	COLUMN_OWNER,
	COLUMN_DEVICE,
	/* uint32, of some entries or of a dictionary */
	COLUMN_OWNER_MODE,
	COLUMN_OWNER_UID,
	COLUMN_OWNER_GID,
	COLUMN_RDEV_MAJOR,
	COLUMN_RDEV_MINOR,
	COLUMN_TARGET_LENGTH,
	COLUMN_HASH_ALGORITHM,
	COLUMN_MISSING_GAP,
	COLUMN_MISSING,
	COLUMN_FLAGS_GAP,
	COLUMN_FLAGS,
	COLUMN_ERROR,
	COLUMN_UNKNOWN_SINCE_GAP,
	/* 64 bits, dense but for the last */
	COLUMN_WIDE,
	COLUMN_SIZE = COLUMN_WIDE,
	COLUMN_MTIME_SECONDS,
	COLUMN_CTIME_SECONDS,
	COLUMN_BTIME_SECONDS,
	COLUMN_INODE,
	COLUMN_NLINK,
	COLUMN_ALLOCATED,
	COLUMN_ID,
	COLUMN_UNKNOWN_SINCE,
	COLUMN_COUNT,
};

enum {
	CAPACITY_MIN = 256,
	/** What sizes are rounded up to for the guess of allocated bytes. */
	ALLOCATION_UNIT_BYTES = 4096,
	NANOSECONDS_PER_SECOND = 1000000000,
	/** A column of this length is worth a block of its own to the compressor. */
	CUT_MIN_BYTES = 1024,
	/** Most bytes of a number as a varint, and of all that a message has beside its columns. */
	VARINT_MAX_BYTES = 5,
	VARINT_MAX_BYTES_WIDE = 10,
	FRAMING_MAX_BYTES = 1024,
};

/**
 * One column: values one after the other, and the bits in which any of them differs from the
 * default.  Those of dense columns are not counted; there is one an entry.
 */
struct column_values {
	union {
		void *memory;
		uint32_t *narrow;
		uint64_t *wide;
		int64_t *wide_signed;
	};
	uint32_t count;
	uint64_t differs;
};

struct owner {
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
};

/** Finds an owner's index in the dictionary; slots hold index + 1. */
struct owner_table {
	uint32_t *slots;
	uint32_t capacity;
};

/**
 * A file system in the dictionary: the source's index, and its names as the source
 * had them when it was met (*borrowed*).  Packing may be another thread's work, for
 * which the source's table, which grows meanwhile, is out of bounds.
 */
struct batch_device {
	uint32_t index;
	struct fsmeta_filesystem names;
};

struct fsmeta_batch_builder {
	const struct fsmeta_batch_source *source;
	uint32_t field_mask;
	bool with_ids;
	/** Fields that an entry of each type has, if nothing is missing. */
	uint32_t expected[FSMETA_TYPE_CHAR + 1];

	struct column_values columns[COLUMN_COUNT];
	uint32_t capacity;
	uint32_t count;

	struct fsmeta_buffer first_path;
	size_t base_path_length;
	/** Names whole, and what of them is not shared with the one before. */
	struct fsmeta_buffer names;
	struct fsmeta_buffer suffixes;
	struct fsmeta_buffer targets;
	struct fsmeta_buffer hashes;
	/** Byte planes of the columns that are written so. */
	struct fsmeta_buffer planes;

	struct owner last_owner;
	uint32_t last_owner_index;
	struct owner_table owner_table;

	/** The batch's dictionary of file systems. */
	struct batch_device *devices;
	size_t device_count;
	size_t device_capacity;
	uint32_t last_device_index;

	/** What stands for a value that is absent: no difference. */
	int64_t last_mtime_seconds;
	uint64_t last_inode;
	/** Index of the last entry in each sparse column. */
	uint32_t last_missing;
	uint32_t last_flags;
	uint32_t last_unknown_since;

	uint64_t id_min;
	uint64_t id_max;
	uint32_t unseen;
};

/* ---- columns ---------------------------------------------------------- */

/** A value of a dense column. */
static inline void store(struct fsmeta_batch_builder *builder, enum column column, uint32_t value)
{
	builder->columns[column].narrow[builder->count] = value;
}

static inline void store_wide(
    struct fsmeta_batch_builder *builder, enum column column, uint64_t value)
{
	builder->columns[column].wide[builder->count] = value;
}

/** A value of a column of some entries, left out where all are the default. */
static inline void put(struct fsmeta_batch_builder *builder, enum column column, uint32_t value,
    uint32_t default_value)
{
	struct column_values *values = &builder->columns[column];

	values->narrow[values->count++] = value;
	values->differs |= value ^ default_value;
}

/** A value of a column that is never left out. */
static inline void put_whole(
    struct fsmeta_batch_builder *builder, enum column column, uint32_t value)
{
	struct column_values *values = &builder->columns[column];

	values->narrow[values->count++] = value;
}

static inline void put_whole_wide(
    struct fsmeta_batch_builder *builder, enum column column, uint64_t value)
{
	struct column_values *values = &builder->columns[column];

	values->wide[values->count++] = value;
}

/** Room for one more entry in every column. */
static int reserve_entry(struct fsmeta_batch_builder *builder)
{
	uint32_t capacity = builder->capacity ? builder->capacity * 2 : CAPACITY_MIN;

	if (builder->count < builder->capacity)
		return 0;
	for (int i = 0; i < COLUMN_COUNT; i++) {
		struct column_values *values = &builder->columns[i];
		size_t width = i < COLUMN_WIDE ? sizeof(uint32_t) : sizeof(uint64_t);
		void *memory = reallocarray(values->memory, capacity, width);

		if (!memory)
			return FSMETA_E_MEMORY;
		values->memory = memory;
	}
	builder->capacity = capacity;
	return 0;
}

/* ---- dictionaries ----------------------------------------------------- */

static uint32_t owner_hash(struct owner owner)
{
	uint64_t hash = ((uint64_t)owner.uid << 32 | owner.gid) * 0x9E3779B97F4A7C15U;

	hash = (hash ^ owner.mode) * 0x9E3779B97F4A7C15U;
	return (uint32_t)(hash >> 32);
}

static struct owner owner_at(const struct fsmeta_batch_builder *builder, uint32_t index)
{
	return (struct owner){builder->columns[COLUMN_OWNER_MODE].narrow[index],
	    builder->columns[COLUMN_OWNER_UID].narrow[index],
	    builder->columns[COLUMN_OWNER_GID].narrow[index]};
}

static bool owners_equal(struct owner a, struct owner b)
{
	return a.mode == b.mode && a.uid == b.uid && a.gid == b.gid;
}

/** The slot that holds `owner`, or the free one where it belongs. */
static uint32_t *owner_slot(struct fsmeta_batch_builder *builder, struct owner owner)
{
	struct owner_table *table = &builder->owner_table;
	uint32_t at = owner_hash(owner) & (table->capacity - 1);

	while (table->slots[at] && !owners_equal(owner_at(builder, table->slots[at] - 1), owner))
		at = (at + 1) & (table->capacity - 1);
	return &table->slots[at];
}

/** Keeps the table at most half full. */
static int reserve_owner(struct fsmeta_batch_builder *builder)
{
	struct owner_table *table = &builder->owner_table;
	uint32_t count = builder->columns[COLUMN_OWNER_MODE].count;
	uint32_t capacity = table->capacity ? table->capacity * 2 : 64;
	uint32_t *slots;

	if (count < table->capacity / 2)
		return 0;
	slots = calloc(capacity, sizeof(*slots));
	if (!slots)
		return FSMETA_E_MEMORY;
	free(table->slots);
	*table = (struct owner_table){slots, capacity};
	for (uint32_t i = 0; i < count; i++)
		*owner_slot(builder, owner_at(builder, i)) = i + 1;
	return 0;
}

/** Index of the owner in the batch's dictionary, added where it is new. */
static int find_owner(uint32_t *index, struct fsmeta_batch_builder *builder, struct owner owner)
{
	uint32_t count = builder->columns[COLUMN_OWNER_MODE].count;
	uint32_t *slot;

	if (count && owners_equal(owner, builder->last_owner)) {
		*index = builder->last_owner_index;
		return 0;
	}
	if (reserve_owner(builder))
		return FSMETA_E_MEMORY;
	slot = owner_slot(builder, owner);
	if (!*slot) {
		put_whole(builder, COLUMN_OWNER_MODE, owner.mode);
		put_whole(builder, COLUMN_OWNER_UID, owner.uid);
		put_whole(builder, COLUMN_OWNER_GID, owner.gid);
		*slot = count + 1;
	}
	*index = *slot - 1;
	builder->last_owner = owner;
	builder->last_owner_index = *index;
	return 0;
}

static int append_device(struct fsmeta_batch_builder *builder, uint32_t device)
{
	if (builder->device_count == builder->device_capacity) {
		size_t capacity = builder->device_capacity ? builder->device_capacity * 2 : 8;
		struct batch_device *devices =
		    reallocarray(builder->devices, capacity, sizeof(*devices));

		if (!devices)
			return FSMETA_E_MEMORY;
		builder->devices = devices;
		builder->device_capacity = capacity;
	}
	builder->devices[builder->device_count++] =
	    (struct batch_device){device, builder->source->filesystems[device]};
	return 0;
}

/**
 * Index of the source's file system `device` in the batch's dictionary, added
 * where it is new.  A batch rarely has more than one, so a plain search will do.
 */
static int find_device(uint32_t *index, struct fsmeta_batch_builder *builder, uint32_t device)
{
	if (builder->device_count && builder->devices[builder->last_device_index].index == device) {
		*index = builder->last_device_index;
		return 0;
	}
	for (*index = 0; *index < builder->device_count; (*index)++)
		if (builder->devices[*index].index == device)
			break;
	if (*index == builder->device_count && append_device(builder, device))
		return FSMETA_E_MEMORY;
	builder->last_device_index = *index;
	return 0;
}

/* ---- adding an entry -------------------------------------------------- */

static int begin_batch(struct fsmeta_batch_builder *builder, const struct fsmeta_entry *entry)
{
	builder->base_path_length = entry->path_length > entry->name_length
					? entry->path_length - entry->name_length - 1
					: 0;
	fsmeta_buffer_clear(&builder->first_path);
	return fsmeta_buffer_append(&builder->first_path, entry->path, entry->path_length);
}

/** As fsmeta_buffer_append(), which is a call, for what every entry has. */
static inline int append(struct fsmeta_buffer *buffer, const char *bytes, size_t size)
{
	if (buffer->capacity - buffer->length < size && fsmeta_buffer_reserve(buffer, size))
		return FSMETA_E_MEMORY;
	if (size)
		memcpy(buffer->data + buffer->length, bytes, size);
	buffer->length += size;
	return 0;
}

static int add_place(struct fsmeta_batch_builder *builder, const struct fsmeta_entry *entry)
{
	if (!builder->count && begin_batch(builder, entry))
		return FSMETA_E_MEMORY;
	if (append(&builder->names, entry->name, entry->name_length))
		return FSMETA_E_MEMORY;
	store(builder, COLUMN_LEVEL, entry->depth);
	store(builder, COLUMN_TYPE, entry->type);
	store(builder, COLUMN_NAME_SUFFIX, (uint32_t)entry->name_length);
	return 0;
}

static inline void add_time(struct fsmeta_batch_builder *builder, enum column seconds_column,
    enum column nanoseconds_column, struct fsmeta_time time)
{
	store_wide(builder, seconds_column, (uint64_t)time.seconds);
	store(builder, nanoseconds_column, time.nanoseconds);
}

/** Absent times are written as the cheapest value: no difference. */
static void add_times(
    struct fsmeta_batch_builder *builder, const struct fsmeta_entry *entry, uint32_t fields)
{
	struct fsmeta_time mtime = {builder->last_mtime_seconds, 0};

	if (fields & FSMETA_FIELD_MTIME)
		mtime = entry->mtime;
	builder->last_mtime_seconds = mtime.seconds;
	add_time(builder, COLUMN_MTIME_SECONDS, COLUMN_MTIME_NANOSECONDS, mtime);
	if (builder->field_mask & FSMETA_FIELD_CTIME)
		add_time(builder, COLUMN_CTIME_SECONDS, COLUMN_CTIME_NANOSECONDS,
		    fields & FSMETA_FIELD_CTIME ? entry->ctime : mtime);
	if (builder->field_mask & FSMETA_FIELD_BTIME)
		add_time(builder, COLUMN_BTIME_SECONDS, COLUMN_BTIME_NANOSECONDS,
		    fields & FSMETA_FIELD_BTIME ? entry->btime : mtime);
}

static int add_owner(
    struct fsmeta_batch_builder *builder, const struct fsmeta_entry *entry, uint32_t fields)
{
	struct owner owner = {
	    .mode = fields & FSMETA_FIELD_MODE ? entry->mode : 0,
	    .uid = fields & FSMETA_FIELD_UID ? entry->uid : 0,
	    .gid = fields & FSMETA_FIELD_GID ? entry->gid : 0,
	};
	uint32_t index;

	if (find_owner(&index, builder, owner))
		return FSMETA_E_MEMORY;
	store(builder, COLUMN_OWNER, index);
	return 0;
}

static int add_device(
    struct fsmeta_batch_builder *builder, const struct fsmeta_entry *entry, uint32_t fields)
{
	uint32_t index = 0;

	if (!(builder->field_mask & FSMETA_FIELD_DEVICE))
		return 0;
	if (fields & FSMETA_FIELD_DEVICE && find_device(&index, builder, entry->device))
		return FSMETA_E_MEMORY;
	store(builder, COLUMN_DEVICE, index);
	return 0;
}

static uint64_t implied_allocation(uint64_t size)
{
	return (size + (ALLOCATION_UNIT_BYTES - 1)) & ~(uint64_t)(ALLOCATION_UNIT_BYTES - 1);
}

static void add_numbers(
    struct fsmeta_batch_builder *builder, const struct fsmeta_entry *entry, uint32_t fields)
{
	uint64_t size = fields & FSMETA_FIELD_SIZE ? entry->size : 0;

	store_wide(builder, COLUMN_SIZE, size);
	if (builder->field_mask & FSMETA_FIELD_INODE) {
		if (fields & FSMETA_FIELD_INODE)
			builder->last_inode = entry->inode;
		store_wide(builder, COLUMN_INODE, builder->last_inode);
	}
	if (builder->field_mask & FSMETA_FIELD_NLINK)
		store_wide(builder, COLUMN_NLINK, fields & FSMETA_FIELD_NLINK ? entry->nlink : 1);
	if (builder->field_mask & FSMETA_FIELD_ALLOCATED)
		store_wide(builder, COLUMN_ALLOCATED,
		    fields & FSMETA_FIELD_ALLOCATED ? entry->allocated : implied_allocation(size));
	if (!builder->with_ids)
		return;
	store_wide(builder, COLUMN_ID, entry->id);
	if (!builder->count || entry->id < builder->id_min)
		builder->id_min = entry->id;
	if (!builder->count || entry->id > builder->id_max)
		builder->id_max = entry->id;
}

/** What only entries of some types have. */
static int add_particulars(
    struct fsmeta_batch_builder *builder, const struct fsmeta_entry *entry, uint32_t fields)
{
	if (fields & FSMETA_FIELD_RDEV) {
		put(builder, COLUMN_RDEV_MAJOR, entry->rdev_major, 0);
		put(builder, COLUMN_RDEV_MINOR, entry->rdev_minor, 0);
	}
	if (fields & FSMETA_FIELD_TARGET) {
		if (fsmeta_buffer_append(&builder->targets, entry->target, entry->target_length))
			return FSMETA_E_MEMORY;
		put(builder, COLUMN_TARGET_LENGTH, (uint32_t)entry->target_length, 0);
	}
	if (fields & FSMETA_FIELD_HASH) {
		if (fsmeta_buffer_append(
			&builder->hashes, entry->hash, fsmeta_hash_bytes(entry->hash_algorithm)))
			return FSMETA_E_MEMORY;
		put(builder, COLUMN_HASH_ALGORITHM, entry->hash_algorithm, FSMETA_HASH_XXH3);
	}
	return 0;
}

/** What few entries have: sparse columns. */
static void add_exceptions(
    struct fsmeta_batch_builder *builder, const struct fsmeta_entry *entry, uint32_t missing)
{
	uint32_t index = builder->count;

	if (missing) {
		put_whole(builder, COLUMN_MISSING_GAP, index - builder->last_missing);
		put_whole(builder, COLUMN_MISSING, missing);
		builder->last_missing = index;
	}
	if (entry->flags || entry->error) {
		put_whole(builder, COLUMN_FLAGS_GAP, index - builder->last_flags);
		put_whole(builder, COLUMN_FLAGS, entry->flags);
		put(builder, COLUMN_ERROR, (uint32_t)entry->error, 0);
		builder->last_flags = index;
	}
	if (entry->unknown_since) {
		put_whole(builder, COLUMN_UNKNOWN_SINCE_GAP, index - builder->last_unknown_since);
		put_whole_wide(builder, COLUMN_UNKNOWN_SINCE, entry->unknown_since);
		builder->last_unknown_since = index;
	}
}

/** NULL, or the value of `entry` that no entry can have. */
static const char *impossible_value(
    const struct fsmeta_batch_builder *builder, const struct fsmeta_entry *entry, uint32_t fields)
{
	if ((fields & FSMETA_FIELD_MTIME && entry->mtime.nanoseconds >= NANOSECONDS_PER_SECOND) ||
	    (fields & FSMETA_FIELD_CTIME && entry->ctime.nanoseconds >= NANOSECONDS_PER_SECOND) ||
	    (fields & FSMETA_FIELD_BTIME && entry->btime.nanoseconds >= NANOSECONDS_PER_SECOND))
		return "nanoseconds";
	if (fields & FSMETA_FIELD_DEVICE && entry->device >= builder->source->filesystem_count)
		return "device";
	if (fields & FSMETA_FIELD_TARGET &&
	    (!entry->target || entry->target_length > FSMETA_TARGET_MAX_BYTES ||
		memchr(entry->target, '\0', entry->target_length)))
		return "target";
	if (fields & FSMETA_FIELD_HASH && !fsmeta_hash_bytes(entry->hash_algorithm))
		return "hash algorithm";
	if (fields & FSMETA_FIELD_MODE && entry->mode & ~07777U)
		return "mode";
	if (entry->error < 0 || entry->error > FSMETA_ERRNO_MAX)
		return "errno";
	return NULL;
}

int fsmeta_batch_builder_add(struct fsmeta_batch_builder *builder, const struct fsmeta_entry *entry,
    struct fsmeta_error *error)
{
	uint32_t expected = builder->expected[entry->type];
	uint32_t fields = entry->fields & expected;
	const char *wrong = impossible_value(builder, entry, fields);

	if (wrong)
		return fsmeta_error_set(error, FSMETA_E_INTERNAL, NULL, "adding to a batch",
		    "an entry has an impossible %s", wrong);
	if (reserve_entry(builder) || add_place(builder, entry) ||
	    add_owner(builder, entry, fields) || add_device(builder, entry, fields) ||
	    add_particulars(builder, entry, fields))
		return fsmeta_error_set_memory(error, "adding to a batch");
	add_times(builder, entry, fields);
	add_numbers(builder, entry, fields);
	add_exceptions(builder, entry, expected & ~fields);
	builder->unseen += fsmeta_entry_is_unseen(entry);
	builder->count++;
	return 0;
}

/* ---- from values to what is written ------------------------------------ */

/** Bits in which any value differs from `default_value`. */
static uint64_t differences(const uint32_t *values, uint32_t count, uint32_t default_value)
{
	uint32_t differs = 0;

	for (uint32_t i = 0; i < count; i++)
		differs |= values[i] ^ default_value;
	return differs;
}

static uint64_t wide_differences(const uint64_t *values, uint32_t count, uint64_t default_value)
{
	uint64_t differs = 0;

	for (uint32_t i = 0; i < count; i++)
		differs |= values[i] ^ default_value;
	return differs;
}

/** A dense column that is written as it was collected. */
static void take_as_is(
    struct fsmeta_batch_builder *builder, enum column column, uint32_t default_value)
{
	struct column_values *values = &builder->columns[column];

	values->differs = differences(values->narrow, builder->count, default_value);
}

static void take_wide_as_is(
    struct fsmeta_batch_builder *builder, enum column column, uint64_t default_value)
{
	struct column_values *values = &builder->columns[column];

	values->differs = wide_differences(values->wide, builder->count, default_value);
}

/** Each value becomes its difference to the one before. */
static void take_steps(struct fsmeta_batch_builder *builder, enum column column)
{
	uint64_t *values = builder->columns[column].wide;
	uint64_t before = 0, differs = 0;

	for (uint32_t i = 0; i < builder->count; i++) {
		uint64_t value = values[i];

		values[i] = value - before;
		differs |= values[i];
		before = value;
	}
	builder->columns[column].differs = differs;
}

/** Depths become levels: how far each entry is above a child of the one before. */
static void take_levels(struct fsmeta_batch_builder *builder)
{
	uint32_t *values = builder->columns[COLUMN_LEVEL].narrow;
	uint32_t before = builder->count ? values[0] : 0, differs = 0;

	for (uint32_t i = 0; i < builder->count; i++) {
		uint32_t depth = values[i];

		values[i] = i ? before + 1 - depth : 1;
		differs |= values[i] ^ 1;
		before = depth;
	}
	builder->columns[COLUMN_LEVEL].differs = differs;
}

/** ctime or birth time becomes the difference to mtime, which is still whole. */
static void take_other_times(struct fsmeta_batch_builder *builder, enum column seconds_column,
    enum column nanoseconds_column)
{
	const uint64_t *mtime_seconds = builder->columns[COLUMN_MTIME_SECONDS].wide;
	const uint32_t *mtime_nanoseconds = builder->columns[COLUMN_MTIME_NANOSECONDS].narrow;
	uint64_t *seconds = builder->columns[seconds_column].wide;
	uint32_t *nanoseconds = builder->columns[nanoseconds_column].narrow;

	for (uint32_t i = 0; i < builder->count; i++)
		seconds[i] -= mtime_seconds[i];
	for (uint32_t i = 0; i < builder->count; i++)
		nanoseconds[i] =
		    nanoseconds[i] >= mtime_nanoseconds[i]
			? nanoseconds[i] - mtime_nanoseconds[i]
			: nanoseconds[i] + NANOSECONDS_PER_SECOND - mtime_nanoseconds[i];
	take_wide_as_is(builder, seconds_column, 0);
	take_as_is(builder, nanoseconds_column, 0);
}

static void take_allocated(struct fsmeta_batch_builder *builder)
{
	const uint64_t *sizes = builder->columns[COLUMN_SIZE].wide;
	uint64_t *allocated = builder->columns[COLUMN_ALLOCATED].wide;

	for (uint32_t i = 0; i < builder->count; i++)
		allocated[i] -= implied_allocation(sizes[i]);
	take_wide_as_is(builder, COLUMN_ALLOCATED, 0);
}

/** Splits each name into what it shares with the one before and the rest. */
static int take_names(struct fsmeta_batch_builder *builder)
{
	uint32_t *prefixes = builder->columns[COLUMN_NAME_PREFIX].narrow;
	uint32_t *lengths = builder->columns[COLUMN_NAME_SUFFIX].narrow;
	const char *name = (const char *)builder->names.data, *before = name;
	size_t before_length = 0;
	char *end;

	fsmeta_buffer_clear(&builder->suffixes);
	/* The root alone has none. */
	if (!builder->names.length)
		return 0;
	if (fsmeta_buffer_reserve(&builder->suffixes, builder->names.length))
		return FSMETA_E_MEMORY;
	end = (char *)builder->suffixes.data;
	for (uint32_t i = 0; i < builder->count; i++) {
		size_t length = lengths[i];
		size_t prefix = fsmeta_first_difference(
		    before, name, before_length < length ? before_length : length);

		prefixes[i] = (uint32_t)prefix;
		lengths[i] = (uint32_t)(length - prefix);
		memcpy(end, name + prefix, length - prefix);
		end += length - prefix;
		before = name;
		before_length = length;
		name += length;
	}
	builder->suffixes.length = (size_t)(end - (char *)builder->suffixes.data);
	take_as_is(builder, COLUMN_NAME_PREFIX, 0);
	take_as_is(builder, COLUMN_NAME_SUFFIX, 0);
	return 0;
}

/** Makes of all dense columns what is written. */
static int take_columns(struct fsmeta_batch_builder *builder)
{
	uint32_t mask = builder->field_mask;

	take_levels(builder);
	take_as_is(builder, COLUMN_TYPE, FSMETA_TYPE_FILE);
	take_as_is(builder, COLUMN_OWNER, 0);
	if (mask & FSMETA_FIELD_DEVICE)
		take_as_is(builder, COLUMN_DEVICE, 0);
	if (mask & FSMETA_FIELD_CTIME)
		take_other_times(builder, COLUMN_CTIME_SECONDS, COLUMN_CTIME_NANOSECONDS);
	if (mask & FSMETA_FIELD_BTIME)
		take_other_times(builder, COLUMN_BTIME_SECONDS, COLUMN_BTIME_NANOSECONDS);
	take_steps(builder, COLUMN_MTIME_SECONDS);
	take_as_is(builder, COLUMN_MTIME_NANOSECONDS, 0);
	if (mask & FSMETA_FIELD_ALLOCATED)
		take_allocated(builder);
	take_wide_as_is(builder, COLUMN_SIZE, 0);
	if (mask & FSMETA_FIELD_INODE)
		take_steps(builder, COLUMN_INODE);
	if (mask & FSMETA_FIELD_NLINK)
		take_wide_as_is(builder, COLUMN_NLINK, 1);
	if (builder->with_ids)
		take_steps(builder, COLUMN_ID);
	return take_names(builder);
}

/* ---- packing ---------------------------------------------------------- */

/** Hands `length` values to protobuf-c, or leaves them out where all are the default. */
#define SET_VALUES(message, member, column, as, length)                    \
	do {                                                               \
		struct column_values *values_ = &builder->columns[column]; \
		if (values_->differs) {                                    \
			(message)->n_##member = (length);                  \
			(message)->member = values_->as;                   \
		}                                                          \
	} while (0)

#define SET_DENSE(message, member, column, as) \
	SET_VALUES(message, member, column, as, builder->count)

/** A column of some entries. */
#define SET_SOME(message, member, column, as) \
	SET_VALUES(message, member, column, as, values_->count)

/** The same for columns that stand whole or not at all with their companions. */
#define SET_WHOLE(message, member, column, as)                          \
	do {                                                            \
		(message)->n_##member = builder->columns[column].count; \
		(message)->member = builder->columns[column].as;        \
	} while (0)

static void set_columns(Fsmeta__V1__Batch *message, struct fsmeta_batch_builder *builder)
{
	SET_DENSE(message, level, COLUMN_LEVEL, narrow);
	SET_DENSE(message, type, COLUMN_TYPE, narrow);
	SET_DENSE(message, name_prefix, COLUMN_NAME_PREFIX, narrow);
	SET_DENSE(message, name_suffix, COLUMN_NAME_SUFFIX, narrow);
	SET_DENSE(message, mtime_seconds, COLUMN_MTIME_SECONDS, wide_signed);
	SET_DENSE(message, ctime_seconds, COLUMN_CTIME_SECONDS, wide_signed);
	SET_DENSE(message, btime_seconds, COLUMN_BTIME_SECONDS, wide_signed);
	SET_DENSE(message, owner, COLUMN_OWNER, narrow);
	SET_WHOLE(message, owner_mode, COLUMN_OWNER_MODE, narrow);
	SET_WHOLE(message, owner_uid, COLUMN_OWNER_UID, narrow);
	SET_WHOLE(message, owner_gid, COLUMN_OWNER_GID, narrow);
	SET_DENSE(message, device, COLUMN_DEVICE, narrow);
	SET_DENSE(message, inode, COLUMN_INODE, wide_signed);
	SET_DENSE(message, nlink, COLUMN_NLINK, wide);
	SET_DENSE(message, allocated, COLUMN_ALLOCATED, wide_signed);
	SET_SOME(message, rdev_major, COLUMN_RDEV_MAJOR, narrow);
	SET_SOME(message, rdev_minor, COLUMN_RDEV_MINOR, narrow);
	SET_SOME(message, target_length, COLUMN_TARGET_LENGTH, narrow);
	SET_SOME(message, hash_algorithm, COLUMN_HASH_ALGORITHM, narrow);
	SET_DENSE(message, id, COLUMN_ID, wide_signed);
	SET_WHOLE(message, missing_gap, COLUMN_MISSING_GAP, narrow);
	SET_WHOLE(message, missing, COLUMN_MISSING, narrow);
	SET_WHOLE(message, flags_gap, COLUMN_FLAGS_GAP, narrow);
	SET_WHOLE(message, flags, COLUMN_FLAGS, narrow);
	SET_SOME(message, error, COLUMN_ERROR, narrow);
	SET_WHOLE(message, unknown_since_gap, COLUMN_UNKNOWN_SINCE_GAP, narrow);
	SET_WHOLE(message, unknown_since, COLUMN_UNKNOWN_SINCE, wide);
}

/** Planes that a column needs: bytes of its largest value. */
static size_t plane_count(const struct column_values *values)
{
	return values->differs ? 8 - (size_t)__builtin_clzll(values->differs) / 8 : 0;
}

static void write_plane(
    unsigned char *restrict plane, const uint32_t *restrict values, uint32_t count, unsigned shift)
{
	for (uint32_t i = 0; i < count; i++)
		plane[i] = (unsigned char)(values[i] >> shift);
}

static void write_wide_plane(
    unsigned char *restrict plane, const uint64_t *restrict values, uint32_t count, unsigned shift)
{
	for (uint32_t i = 0; i < count; i++)
		plane[i] = (unsigned char)(values[i] >> shift);
}

/** Writes the planes of `count` values to `out`; *out moves behind them. */
static ProtobufCBinaryData make_planes(
    unsigned char **out, const struct column_values *values, uint32_t count, bool is_wide)
{
	size_t planes = plane_count(values);
	ProtobufCBinaryData data = {planes * count, planes ? *out : NULL};

	for (unsigned plane = 0; plane < planes; plane++, *out += count) {
		if (is_wide)
			write_wide_plane(*out, values->wide, count, 8 * plane);
		else
			write_plane(*out, values->narrow, count, 8 * plane);
	}
	return data;
}

static int set_planes(Fsmeta__V1__Batch *message, struct fsmeta_batch_builder *builder)
{
	const struct column_values *columns = builder->columns;
	size_t planes = plane_count(&columns[COLUMN_SIZE]) +
			plane_count(&columns[COLUMN_MTIME_NANOSECONDS]) +
			plane_count(&columns[COLUMN_CTIME_NANOSECONDS]) +
			plane_count(&columns[COLUMN_BTIME_NANOSECONDS]);
	unsigned char *at;

	fsmeta_buffer_clear(&builder->planes);
	if (fsmeta_buffer_reserve(&builder->planes, planes * builder->count))
		return FSMETA_E_MEMORY;
	at = builder->planes.data;
	message->size = make_planes(&at, &columns[COLUMN_SIZE], builder->count, true);
	message->mtime_nanoseconds =
	    make_planes(&at, &columns[COLUMN_MTIME_NANOSECONDS], builder->count, false);
	message->ctime_nanoseconds =
	    make_planes(&at, &columns[COLUMN_CTIME_NANOSECONDS], builder->count, false);
	message->btime_nanoseconds =
	    make_planes(&at, &columns[COLUMN_BTIME_NANOSECONDS], builder->count, false);
	builder->planes.length = planes * builder->count;
	return 0;
}

static ProtobufCBinaryData binary(const struct fsmeta_buffer *buffer)
{
	return (ProtobufCBinaryData){buffer->length, buffer->data};
}

static ProtobufCBinaryData binary_text(const char *text)
{
	/* protobuf-c packs from pointers to non-const bytes and does not write to them. */
	return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

/** The batch's dictionary of file systems; *out is *new* (free()), NULL for none. */
static int make_filesystems(
    Fsmeta__V1__FileSystem ***out, const struct fsmeta_batch_builder *builder)
{
	size_t count = builder->device_count;
	Fsmeta__V1__FileSystem *messages;
	unsigned char *memory;

	*out = NULL;
	if (!count)
		return 0;
	memory = calloc(count, sizeof(**out) + sizeof(*messages));
	if (!memory)
		return FSMETA_E_MEMORY;
	messages = (Fsmeta__V1__FileSystem *)memory;
	*out = (Fsmeta__V1__FileSystem **)(memory + count * sizeof(*messages));
	for (size_t i = 0; i < count; i++) {
		const struct fsmeta_filesystem *filesystem = &builder->devices[i].names;

		fsmeta__v1__file_system__init(&messages[i]);
		messages[i].uuid = binary_text(filesystem->uuid);
		messages[i].type = binary_text(filesystem->type);
		if (!*filesystem->uuid)
			messages[i].label = binary_text(filesystem->label);
		(*out)[i] = &messages[i];
	}
	return 0;
}

/**
 * Bytes that the message has at most.  Asking protobuf-c for its very size costs as much as
 * packing; room that is not used is never touched.
 */
static size_t most_packed_bytes(
    const Fsmeta__V1__Batch *message, const struct fsmeta_batch_builder *builder)
{
	size_t most = FRAMING_MAX_BYTES + message->base_path.len + message->names.len +
		      message->targets.len + message->hashes.len + builder->planes.length;

	for (size_t i = 0; i < message->n_filesystems; i++)
		most += FRAMING_MAX_BYTES + message->filesystems[i]->uuid.len +
			message->filesystems[i]->type.len + message->filesystems[i]->label.len;
	for (int i = 0; i < COLUMN_COUNT; i++) {
		const struct column_values *values = &builder->columns[i];
		size_t count = values->count ? values->count : builder->count;

		most += count * (i < COLUMN_WIDE ? VARINT_MAX_BYTES : VARINT_MAX_BYTES_WIDE);
	}
	return most;
}

int fsmeta_batch_builder_pack(
    struct fsmeta_batch_builder *builder, struct fsmeta_buffer *out, struct fsmeta_error *error)
{
	Fsmeta__V1__Batch message = FSMETA__V1__BATCH__INIT;
	Fsmeta__V1__FileSystem **filesystems;
	int code;

	if (take_columns(builder) || make_filesystems(&filesystems, builder))
		return fsmeta_error_set_memory(error, "packing a batch");
	message.count = builder->count;
	message.field_mask = builder->field_mask;
	message.base_path =
	    (ProtobufCBinaryData){builder->base_path_length, builder->first_path.data};
	message.root = builder->count && !builder->first_path.length;
	message.names = binary(&builder->suffixes);
	message.targets = binary(&builder->targets);
	message.hashes = binary(&builder->hashes);
	message.filesystems = filesystems;
	message.n_filesystems = builder->device_count;
	set_columns(&message, builder);

	code = set_planes(&message, builder);
	if (!code)
		code = fsmeta_buffer_reserve(out, most_packed_bytes(&message, builder));
	if (!code)
		out->length += fsmeta__v1__batch__pack(&message, out->data + out->length);
	else
		fsmeta_error_set_memory(error, "packing a batch");
	free(filesystems ? (void *)filesystems[0] : NULL);
	return code;
}

/* ---- cuts for the compressor ------------------------------------------ */

/** Reads a varint that is there whole. */
static uint64_t take_varint(const unsigned char **at)
{
	uint64_t value = 0;

	for (unsigned shift = 0;; shift += 7) {
		unsigned char byte = *(*at)++;

		value |= (uint64_t)(byte & 0x7F) << shift;
		if (!(byte & 0x80))
			return value;
	}
}

static bool is_plane_field(uint64_t field)
{
	/* size and the nanoseconds of the three times. */
	return field == 10 || field == 12 || field == 14 || field == 16;
}

/** Appends a cut unless it is there, or the list is full. */
static size_t add_cut(size_t *cuts, size_t count, size_t cut)
{
	if (cut == 0 || count == FSMETA_BATCH_CUTS_MAX || (count && cuts[count - 1] == cut))
		return count;
	cuts[count] = cut;
	return count + 1;
}

size_t fsmeta_batch_cuts(
    size_t cuts[FSMETA_BATCH_CUTS_MAX], const unsigned char *bytes, size_t size)
{
	const unsigned char *at = bytes;
	size_t entries = 0, count = 0;

	while (at < bytes + size) {
		size_t begin = (size_t)(at - bytes);
		uint64_t tag = take_varint(&at);
		uint64_t length = take_varint(&at);

		/* Batch.count comes first; all other numbers are of no interest. */
		if ((tag & 7) != 2) {
			if (tag >> 3 == 1)
				entries = (size_t)length;
			continue;
		}
		at += length;
		if (length < CUT_MIN_BYTES)
			continue;
		count = add_cut(cuts, count, begin);
		for (uint64_t plane = 1; is_plane_field(tag >> 3) && plane * entries < length;
		     plane++)
			count =
			    add_cut(cuts, count, (size_t)(at - bytes - length + plane * entries));
		count = add_cut(cuts, count, (size_t)(at - bytes));
	}
	return count;
}

void fsmeta_batch_builder_facts(
    const struct fsmeta_batch_builder *builder, struct fsmeta_batch_facts *facts)
{
	*facts = (struct fsmeta_batch_facts){
	    .entries = builder->count,
	    .first_path = (const char *)builder->first_path.data,
	    .first_path_length = builder->first_path.length,
	    .id_min = builder->id_min,
	    .id_max = builder->id_max,
	    .unseen = builder->unseen,
	};
}

/* ---- life ------------------------------------------------------------- */

int fsmeta_batch_builder_new(struct fsmeta_batch_builder **out,
    const struct fsmeta_batch_source *source, struct fsmeta_error *error)
{
	struct fsmeta_batch_builder *builder = calloc(1, sizeof(*builder));

	*out = builder;
	if (!builder)
		return fsmeta_error_set_memory(error, "making a batch");
	builder->source = source;
	builder->field_mask = source->field_mask & FSMETA_FIELDS_KNOWN;
	builder->with_ids = source->id_kind == FSMETA_IDS_STABLE;
	for (int type = FSMETA_TYPE_FILE; type <= FSMETA_TYPE_CHAR; type++)
		builder->expected[type] =
		    builder->field_mask & fsmeta_fields_of_type((enum fsmeta_type)type);
	return 0;
}

void fsmeta_batch_builder_free(struct fsmeta_batch_builder *builder)
{
	if (!builder)
		return;
	for (int i = 0; i < COLUMN_COUNT; i++)
		free(builder->columns[i].memory);
	fsmeta_buffer_release(&builder->first_path);
	fsmeta_buffer_release(&builder->names);
	fsmeta_buffer_release(&builder->suffixes);
	fsmeta_buffer_release(&builder->targets);
	fsmeta_buffer_release(&builder->hashes);
	fsmeta_buffer_release(&builder->planes);
	free(builder->owner_table.slots);
	free(builder->devices);
	free(builder);
}

void fsmeta_batch_builder_clear(struct fsmeta_batch_builder *builder)
{
	struct owner_table *table = &builder->owner_table;

	for (int i = 0; i < COLUMN_COUNT; i++) {
		builder->columns[i].count = 0;
		builder->columns[i].differs = 0;
	}
	if (table->slots)
		memset(table->slots, 0, table->capacity * sizeof(*table->slots));
	fsmeta_buffer_clear(&builder->first_path);
	fsmeta_buffer_clear(&builder->names);
	fsmeta_buffer_clear(&builder->targets);
	fsmeta_buffer_clear(&builder->hashes);
	builder->count = 0;
	builder->base_path_length = 0;
	builder->device_count = 0;
	builder->last_device_index = 0;
	builder->last_mtime_seconds = 0;
	builder->last_inode = 0;
	builder->last_missing = 0;
	builder->last_flags = 0;
	builder->last_unknown_since = 0;
	builder->id_min = 0;
	builder->id_max = 0;
	builder->unseen = 0;
}

uint32_t fsmeta_batch_builder_count(const struct fsmeta_batch_builder *builder)
{
	return builder->count;
}

size_t fsmeta_batch_builder_text_bytes(const struct fsmeta_batch_builder *builder)
{
	return builder->names.length + builder->targets.length;
}
