/*
 * Reading a batch.
 *
 * load() lets protobuf-c unpack the message into an arena that is reused from
 * batch to batch, with a budget, so that a hostile message cannot ask for more
 * than any true one needs.  Everything that can be judged for a column as a whole
 * is judged there: lengths, sums, no '/' and no NUL among the bytes of names.
 * next() then takes one value from each column:
 *
 *     columns      level  type  name_prefix …  size  mtime …
 *                    │                                        index
 *     running      path stack, last name, last mtime, last inode, last id
 *     sparse       position of the next exception in each
 *
 * and judges what only shows entry by entry: order, levels, dictionary indices,
 * nanoseconds.  Names are compared from the shared prefix on, since what is shared
 * is equal by construction.
 *
 * Between batches the path stack stays, so the first entry of a batch goes through
 * the same checks as every other: its base path must be a folder that is still
 * open, and its level follows from that.
 */
#include "format/batch.h"

#include "format/fsscan.pb-c.h"
#include "format/stream.h"
#include "format/unpack.h"

#include <stdlib.h>
#include <string.h>

enum {
	NANOSECONDS_PER_SECOND = 1000000000,
	ALLOCATION_UNIT_BYTES = 4096,
};

/** A walk over one sparse column: index of the next entry that it speaks of. */
struct sparse {
	const uint32_t *gaps;
	size_t count;
	size_t at;
	/** UINT32_MAX when it is used up. */
	uint32_t next;
};

/** A column of byte planes. */
struct planes {
	const unsigned char *bytes;
	uint32_t count;
};

struct fsmeta_batch_reader {
	struct fsmeta_batch_source *source;
	uint32_t field_mask;
	enum fsmeta_id_kind id_kind;
	bool table_grows;
	uint32_t expected[FSMETA_TYPE_CHAR + 1];

	struct fsmeta_unpack unpack;
	/** The batch in hand, in the arena; NULL for none. */
	const Fsmeta__V1__Batch *batch;
	uint32_t index;
	uint64_t first_ordinal;
	/** The source's index for each of the batch's file systems, in the arena. */
	uint32_t *devices;

	/** Where the walk over concatenated bytes and partial columns stands. */
	size_t names_at;
	size_t targets_at;
	size_t target_index;
	size_t hashes_at;
	size_t hash_index;
	size_t rdev_index;
	struct planes size;
	struct planes mtime_nanoseconds;
	struct planes ctime_nanoseconds;
	struct planes btime_nanoseconds;
	struct sparse missing;
	struct sparse flags;
	struct sparse unknown_since;

	/** What the next entry's values are differences to. */
	char name[FSMETA_NAME_MAX_BYTES];
	size_t name_length;
	int64_t mtime_seconds;
	uint64_t inode;
	uint64_t id;

	/** Place in the tree; goes on from batch to batch. */
	struct fsmeta_path_stack path;
	bool yielded_any;
	bool detached;
	enum fsmeta_type last_type;

	struct fsmeta_entry entry;
};

static int corrupt(struct fsmeta_error *error, const char *reason)
{
	return fsmeta_error_set(error, FSMETA_E_CORRUPT, NULL, "reading a batch", "%s", reason);
}

/* ---- loading ---------------------------------------------------------- */

/** Values of a column that has one for every entry or is left out. */
static bool is_dense(size_t column_count, const Fsmeta__V1__Batch *batch)
{
	return column_count == 0 || column_count == batch->count;
}

static bool are_dense(const Fsmeta__V1__Batch *batch)
{
	const size_t counts[] = {
	    batch->n_level,
	    batch->n_type,
	    batch->n_name_prefix,
	    batch->n_name_suffix,
	    batch->n_mtime_seconds,
	    batch->n_ctime_seconds,
	    batch->n_btime_seconds,
	    batch->n_owner,
	    batch->n_device,
	    batch->n_inode,
	    batch->n_nlink,
	    batch->n_allocated,
	    batch->n_id,
	};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		if (!is_dense(counts[i], batch))
			return false;
	return true;
}

/** True where the lengths sum up to exactly `bytes`. */
static bool lengths_agree(const uint32_t *lengths, size_t count, size_t bytes)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += lengths[i];
	return sum == bytes;
}

/** True for whole planes, `most` at most. */
static bool are_planes(ProtobufCBinaryData data, uint32_t count, size_t most)
{
	return data.len % count == 0 && data.len / count <= most;
}

/** NULL, or what is wrong with the batch's columns as wholes. */
static const char *judge_columns(
    const struct fsmeta_batch_reader *reader, const Fsmeta__V1__Batch *batch)
{
	if (batch->count == 0 || batch->count > FSMETA_BATCH_MAX_ENTRIES)
		return "the number of entries is out of range";
	if (batch->field_mask != reader->field_mask)
		return "the field mask is not the stream's";
	if (!are_dense(batch) || !are_planes(batch->size, batch->count, 8) ||
	    !are_planes(batch->mtime_nanoseconds, batch->count, 4) ||
	    !are_planes(batch->ctime_nanoseconds, batch->count, 4) ||
	    !are_planes(batch->btime_nanoseconds, batch->count, 4))
		return "a column's length is not the number of entries";
	if (!lengths_agree(batch->name_suffix, batch->n_name_suffix, batch->names.len))
		return "the lengths of names do not agree";
	if (batch->names.len && (memchr(batch->names.data, '/', batch->names.len) ||
				    memchr(batch->names.data, '\0', batch->names.len)))
		return "a name holds a slash or a NUL";
	if (batch->n_owner_mode == 0 || batch->n_owner_mode > batch->count ||
	    batch->n_owner_uid != batch->n_owner_mode || batch->n_owner_gid != batch->n_owner_mode)
		return "the dictionary of owners is damaged";
	if (batch->n_filesystems > batch->count)
		return "there are too many file systems";
	if (batch->n_missing != batch->n_missing_gap || batch->n_flags != batch->n_flags_gap ||
	    (batch->n_error && batch->n_error != batch->n_flags_gap) ||
	    batch->n_unknown_since != batch->n_unknown_since_gap)
		return "a sparse column's length does not agree";
	if (batch->n_rdev_major && batch->n_rdev_minor &&
	    batch->n_rdev_major != batch->n_rdev_minor)
		return "the lengths of device numbers do not agree";
	if (!lengths_agree(batch->target_length, batch->n_target_length, batch->targets.len))
		return "the lengths of targets do not agree";
	if ((batch->n_id != 0) && reader->id_kind != FSMETA_IDS_STABLE)
		return "it has ids and the stream has none";
	if (!fsmeta_path_is_valid((const char *)batch->base_path.data, batch->base_path.len))
		return "the base path is not valid";
	return NULL;
}

/** A NUL-terminated copy in the arena; NULL when memory is out or a NUL is inside. */
static const char *copy_text(struct fsmeta_batch_reader *reader, ProtobufCBinaryData text)
{
	if (text.len && memchr(text.data, '\0', text.len))
		return NULL;
	return fsmeta_arena_copy(&reader->unpack.arena, text.data, text.len);
}

/** Index in the source's table, or UINT32_MAX. */
static uint32_t find_filesystem(
    const struct fsmeta_batch_source *source, const char *uuid, const char *type, const char *label)
{
	for (size_t i = 0; i < source->filesystem_count; i++) {
		const struct fsmeta_filesystem *filesystem = &source->filesystems[i];

		if (!strcmp(filesystem->uuid, uuid) && !strcmp(filesystem->type, type) &&
		    (*uuid || !strcmp(filesystem->label, label)))
			return (uint32_t)i;
	}
	return UINT32_MAX;
}

static int map_filesystem(uint32_t *index, struct fsmeta_batch_reader *reader,
    const Fsmeta__V1__FileSystem *message, struct fsmeta_error *error)
{
	const char *uuid = copy_text(reader, message->uuid);
	const char *type = copy_text(reader, message->type);
	const char *label = copy_text(reader, message->label);

	if (!uuid || !type || !label)
		return corrupt(error, "a file system's name is damaged");
	*index = find_filesystem(reader->source, uuid, type, label);
	if (*index != UINT32_MAX)
		return 0;
	if (!reader->table_grows)
		return corrupt(error, "it names a file system that the trailer does not");
	if (fsmeta_batch_source_add_filesystem(reader->source, uuid, type, label, index))
		return fsmeta_error_set_memory(error, "reading a batch");
	return 0;
}

static int map_filesystems(
    struct fsmeta_batch_reader *reader, const Fsmeta__V1__Batch *batch, struct fsmeta_error *error)
{
	int code = 0;

	reader->devices = fsmeta_arena_allocate_array(
	    &reader->unpack.arena, batch->n_filesystems + 1, sizeof(*reader->devices));
	if (!reader->devices)
		return fsmeta_error_set_memory(error, "reading a batch");
	for (size_t i = 0; i < batch->n_filesystems && !code; i++)
		code = map_filesystem(&reader->devices[i], reader, batch->filesystems[i], error);
	return code;
}

static void sparse_begin(struct sparse *sparse, const uint32_t *gaps, size_t count)
{
	*sparse = (struct sparse){gaps, count, 0, count ? gaps[0] : UINT32_MAX};
}

/** On to the next exception.  False where it does not lie behind this one. */
static bool sparse_advance(struct sparse *sparse)
{
	uint32_t before = sparse->next;

	sparse->at++;
	if (sparse->at == sparse->count) {
		sparse->next = UINT32_MAX;
		return true;
	}
	/* An overflow lands below, or beyond the batch, where it is never used up. */
	sparse->next = before + sparse->gaps[sparse->at];
	return sparse->next > before;
}

static struct planes planes_of(ProtobufCBinaryData data, uint32_t count)
{
	return (struct planes){data.data, (uint32_t)(data.len / count)};
}

static void begin_walk(
    struct fsmeta_batch_reader *reader, const Fsmeta__V1__Batch *batch, uint64_t first_ordinal)
{
	reader->batch = batch;
	reader->index = 0;
	reader->first_ordinal = first_ordinal;
	reader->names_at = 0;
	reader->targets_at = 0;
	reader->target_index = 0;
	reader->hashes_at = 0;
	reader->hash_index = 0;
	reader->rdev_index = 0;
	reader->size = planes_of(batch->size, batch->count);
	reader->mtime_nanoseconds = planes_of(batch->mtime_nanoseconds, batch->count);
	reader->ctime_nanoseconds = planes_of(batch->ctime_nanoseconds, batch->count);
	reader->btime_nanoseconds = planes_of(batch->btime_nanoseconds, batch->count);
	sparse_begin(&reader->missing, batch->missing_gap, batch->n_missing_gap);
	sparse_begin(&reader->flags, batch->flags_gap, batch->n_flags_gap);
	sparse_begin(&reader->unknown_since, batch->unknown_since_gap, batch->n_unknown_since_gap);
	reader->name_length = 0;
	reader->mtime_seconds = 0;
	reader->inode = 0;
	reader->id = 0;
}

int fsmeta_batch_reader_load(struct fsmeta_batch_reader *reader, const unsigned char *bytes,
    size_t size, uint64_t first_ordinal, struct fsmeta_error *error)
{
	const Fsmeta__V1__Batch *batch;
	const char *wrong;
	int code;

	reader->batch = NULL;
	if (size > FSMETA_BATCH_MAX_BYTES)
		return fsmeta_error_set(error, FSMETA_E_LIMIT, NULL, "reading a batch",
		    "%zu bytes are beyond the limit of %d", size, FSMETA_BATCH_MAX_BYTES);
	batch = fsmeta__v1__batch__unpack(fsmeta_unpack_begin(&reader->unpack, size), size, bytes);
	if (!batch)
		return corrupt(error, "it is no protobuf message");
	wrong = judge_columns(reader, batch);
	if (wrong)
		return corrupt(error, wrong);
	code = map_filesystems(reader, batch, error);
	if (code)
		return code;
	begin_walk(reader, batch, first_ordinal);
	return 0;
}

/* ---- place and name --------------------------------------------------- */

/**
 * Level of a batch's first entry against the entry before the batch: the base
 * path must be that entry or one of the folders above it.
 */
static int connect(uint32_t *level, struct fsmeta_batch_reader *reader, struct fsmeta_error *error)
{
	const char *base = (const char *)reader->batch->base_path.data;
	size_t base_length = reader->batch->base_path.len;
	uint32_t base_depth = fsmeta_path_depth(base, base_length);
	size_t path_length;
	const char *path = fsmeta_path_stack_path(&reader->path, &path_length);

	if (!reader->yielded_any)
		return corrupt(error, "the first entry is not the root");
	if (base_depth > reader->path.depth ||
	    !fsmeta_path_is_within(path, path_length, base, base_length))
		return corrupt(error, "its base path is not a folder around the entry before");
	*level = reader->path.depth - base_depth;
	return 0;
}

/** Believes the base path, after batches were passed over. */
static int attach(uint32_t *level, struct fsmeta_batch_reader *reader, struct fsmeta_error *error)
{
	const char *base = (const char *)reader->batch->base_path.data;

	if (fsmeta_path_stack_set(&reader->path, base, reader->batch->base_path.len))
		return fsmeta_error_set_memory(error, "reading a batch");
	reader->last_type = FSMETA_TYPE_FOLDER;
	reader->detached = false;
	*level = 0;
	return 0;
}

static int next_level(
    uint32_t *level, struct fsmeta_batch_reader *reader, struct fsmeta_error *error)
{
	const Fsmeta__V1__Batch *batch = reader->batch;

	*level = batch->n_level ? batch->level[reader->index] : 1;
	if (reader->index)
		return 0;
	if (*level != 1)
		return corrupt(error, "the first entry's level is not 1");
	return reader->detached ? attach(level, reader, error) : connect(level, reader, error);
}

/** Puts the next name into reader->name; NULL or what is wrong with it. */
static const char *next_name(struct fsmeta_batch_reader *reader)
{
	const Fsmeta__V1__Batch *batch = reader->batch;
	size_t prefix = batch->n_name_prefix ? batch->name_prefix[reader->index] : 0;
	size_t suffix = batch->n_name_suffix ? batch->name_suffix[reader->index] : 0;
	size_t length = prefix + suffix;

	if (prefix > reader->name_length)
		return "a name's prefix is longer than the name before";
	if (length == 0 || length > FSMETA_NAME_MAX_BYTES)
		return "a name's length is out of range";
	memcpy(reader->name + prefix, batch->names.data + reader->names_at, suffix);
	reader->names_at += suffix;
	reader->name_length = length;
	if (reader->name[0] == '.' && (length == 1 || (length == 2 && reader->name[1] == '.')))
		return "a name is \".\" or \"..\"";
	return NULL;
}

/** Steps the path stack to the next entry, checking level and order. */
static int step_place(struct fsmeta_batch_reader *reader, struct fsmeta_error *error)
{
	const char *wrong, *before;
	size_t before_length;
	uint32_t level, depth;
	int code;

	code = next_level(&level, reader, error);
	if (code)
		return code;
	wrong = next_name(reader);
	if (wrong)
		return corrupt(error, wrong);
	if (level == 0) {
		if (reader->last_type != FSMETA_TYPE_FOLDER)
			return corrupt(error, "an entry lies below one that is no folder");
	} else {
		if (level > reader->path.depth)
			return corrupt(error, "a level leads out of the tree");
		depth = reader->path.depth + 1 - level;
		before = fsmeta_path_stack_name(&reader->path, depth, &before_length);
		if (fsmeta_name_compare(reader->name, reader->name_length, before, before_length) <=
		    0)
			return corrupt(error, "an entry is out of canonical order");
		fsmeta_path_stack_truncate(&reader->path, depth - 1);
	}
	code = fsmeta_path_stack_push(&reader->path, reader->name, reader->name_length);
	if (code == FSMETA_E_LIMIT)
		return fsmeta_error_set(
		    error, code, NULL, "reading a batch", "a path is too long or too deep");
	return code ? fsmeta_error_set_memory(error, "reading a batch") : 0;
}

static int step_root(struct fsmeta_batch_reader *reader, struct fsmeta_error *error)
{
	const Fsmeta__V1__Batch *batch = reader->batch;

	if (reader->yielded_any || reader->detached)
		return corrupt(error, "a root stands within the stream");
	if (batch->base_path.len || (batch->n_name_suffix && batch->name_suffix[0]) ||
	    (batch->n_name_prefix && batch->name_prefix[0]) ||
	    (batch->n_level && batch->level[0] != 1))
		return corrupt(error, "the root has a name");
	if (!batch->n_type || batch->type[0] != FSMETA_TYPE_FOLDER)
		return corrupt(error, "the root is no folder");
	fsmeta_path_stack_clear(&reader->path);
	return 0;
}

/* ---- values ----------------------------------------------------------- */

static int take_exceptions(
    struct fsmeta_batch_reader *reader, struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	const Fsmeta__V1__Batch *batch = reader->batch;
	uint32_t index = reader->index;
	bool ordered = true;

	if (reader->missing.next == index) {
		uint32_t missing = batch->missing[reader->missing.at];

		if (missing & ~entry->fields)
			return corrupt(error, "a field is missing that was not promised");
		entry->fields &= ~missing;
		ordered &= sparse_advance(&reader->missing);
	}
	if (reader->flags.next == index) {
		uint32_t errno_value = batch->n_error ? batch->error[reader->flags.at] : 0;

		if (errno_value > FSMETA_ERRNO_MAX)
			return corrupt(error, "an errno is out of range");
		entry->flags = batch->flags[reader->flags.at];
		entry->error = (int)errno_value;
		ordered &= sparse_advance(&reader->flags);
	}
	if (reader->unknown_since.next == index) {
		entry->unknown_since = batch->unknown_since[reader->unknown_since.at];
		ordered &= sparse_advance(&reader->unknown_since);
	}
	return ordered ? 0 : corrupt(error, "a sparse column is out of order");
}

/** The value of a dense column, or its default. */
#define DENSE(batch, member, index, default_value) \
	((batch)->n_##member ? (batch)->member[index] : (default_value))

static inline uint64_t take_planes(const struct planes *planes, uint32_t index, uint32_t stride)
{
	uint64_t value = 0;
	size_t at = index;

	for (uint32_t plane = 0; plane < planes->count; plane++, at += stride)
		value |= (uint64_t)planes->bytes[at] << (8 * plane);
	return value;
}

/** A time as difference to mtime; false where the difference cannot be one. */
static bool take_other_time(
    struct fsmeta_time *out, struct fsmeta_time mtime, int64_t seconds, uint64_t nanoseconds)
{
	out->seconds = (int64_t)((uint64_t)mtime.seconds + (uint64_t)seconds);
	out->nanoseconds = mtime.nanoseconds + (uint32_t)nanoseconds;
	if (out->nanoseconds >= NANOSECONDS_PER_SECOND)
		out->nanoseconds -= NANOSECONDS_PER_SECOND;
	return nanoseconds < NANOSECONDS_PER_SECOND;
}

static int take_times(
    struct fsmeta_batch_reader *reader, struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	const Fsmeta__V1__Batch *batch = reader->batch;
	uint32_t index = reader->index;
	const struct fsmeta_time unknown = {0, 0};
	struct fsmeta_time mtime, ctime, btime;
	bool valid;

	reader->mtime_seconds = (int64_t)((uint64_t)reader->mtime_seconds +
					  (uint64_t)DENSE(batch, mtime_seconds, index, 0));
	mtime.seconds = reader->mtime_seconds;
	mtime.nanoseconds = (uint32_t)take_planes(&reader->mtime_nanoseconds, index, batch->count);
	valid = mtime.nanoseconds < NANOSECONDS_PER_SECOND;
	valid &= take_other_time(&ctime, mtime, DENSE(batch, ctime_seconds, index, 0),
	    take_planes(&reader->ctime_nanoseconds, index, batch->count));
	valid &= take_other_time(&btime, mtime, DENSE(batch, btime_seconds, index, 0),
	    take_planes(&reader->btime_nanoseconds, index, batch->count));
	if (!valid)
		return corrupt(error, "nanoseconds are out of range");
	entry->mtime = entry->fields & FSMETA_FIELD_MTIME ? mtime : unknown;
	entry->ctime = entry->fields & FSMETA_FIELD_CTIME ? ctime : unknown;
	entry->btime = entry->fields & FSMETA_FIELD_BTIME ? btime : unknown;
	return 0;
}

static int take_owner(
    struct fsmeta_batch_reader *reader, struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	const Fsmeta__V1__Batch *batch = reader->batch;
	uint32_t owner = DENSE(batch, owner, reader->index, 0);

	if (owner >= batch->n_owner_mode)
		return corrupt(error, "an owner is not in the dictionary");
	if (batch->owner_mode[owner] & ~07777U)
		return corrupt(error, "a mode is out of range");
	entry->mode = entry->fields & FSMETA_FIELD_MODE ? batch->owner_mode[owner] : 0;
	entry->uid = entry->fields & FSMETA_FIELD_UID ? batch->owner_uid[owner] : 0;
	entry->gid = entry->fields & FSMETA_FIELD_GID ? batch->owner_gid[owner] : 0;
	return 0;
}

static int take_numbers(
    struct fsmeta_batch_reader *reader, struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	const Fsmeta__V1__Batch *batch = reader->batch;
	uint32_t index = reader->index;
	uint64_t size = take_planes(&reader->size, index, batch->count);

	reader->inode += (uint64_t)DENSE(batch, inode, index, 0);
	entry->size = entry->fields & FSMETA_FIELD_SIZE ? size : 0;
	entry->inode = entry->fields & FSMETA_FIELD_INODE ? reader->inode : 0;
	entry->nlink = entry->fields & FSMETA_FIELD_NLINK ? DENSE(batch, nlink, index, 1) : 0;
	entry->allocated = 0;
	if (entry->fields & FSMETA_FIELD_ALLOCATED)
		entry->allocated = ((size + (ALLOCATION_UNIT_BYTES - 1)) &
				       ~(uint64_t)(ALLOCATION_UNIT_BYTES - 1)) +
				   (uint64_t)DENSE(batch, allocated, index, 0);
	entry->device = FSMETA_DEVICE_NONE;
	if (entry->fields & FSMETA_FIELD_DEVICE) {
		uint32_t device = DENSE(batch, device, index, 0);

		if (device >= batch->n_filesystems)
			return corrupt(error, "a file system is not in the dictionary");
		entry->device = reader->devices[device];
	}
	if (reader->id_kind == FSMETA_IDS_STABLE) {
		reader->id += (uint64_t)DENSE(batch, id, index, 0);
		entry->id = reader->id;
	} else {
		entry->id = reader->first_ordinal + index;
	}
	return 0;
}

static int take_target(
    struct fsmeta_batch_reader *reader, struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	const Fsmeta__V1__Batch *batch = reader->batch;
	size_t length = 0;

	if (batch->n_target_length) {
		if (reader->target_index == batch->n_target_length)
			return corrupt(error, "there are fewer targets than links");
		length = batch->target_length[reader->target_index];
	}
	reader->target_index++;
	if (length > FSMETA_TARGET_MAX_BYTES)
		return corrupt(error, "a target is too long");
	entry->target = length ? (const char *)batch->targets.data + reader->targets_at : "";
	entry->target_length = length;
	if (length && memchr(entry->target, '\0', length))
		return corrupt(error, "a target holds a NUL");
	reader->targets_at += length;
	return 0;
}

static int take_rdev(
    struct fsmeta_batch_reader *reader, struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	const Fsmeta__V1__Batch *batch = reader->batch;
	size_t index = reader->rdev_index++;

	if ((batch->n_rdev_major && index >= batch->n_rdev_major) ||
	    (batch->n_rdev_minor && index >= batch->n_rdev_minor))
		return corrupt(error, "there are fewer device numbers than devices");
	entry->rdev_major = DENSE(batch, rdev_major, index, 0);
	entry->rdev_minor = DENSE(batch, rdev_minor, index, 0);
	return 0;
}

static int take_hash(
    struct fsmeta_batch_reader *reader, struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	const Fsmeta__V1__Batch *batch = reader->batch;
	size_t index = reader->hash_index++;
	uint32_t algorithm;
	size_t bytes;

	if (batch->n_hash_algorithm && index >= batch->n_hash_algorithm)
		return corrupt(error, "there are fewer hashes than entries with one");
	algorithm = DENSE(batch, hash_algorithm, index, FSMETA_HASH_XXH3);
	if (algorithm != FSMETA_HASH_XXH3 && algorithm != FSMETA_HASH_SHA256)
		return corrupt(error, "a hash algorithm is not known");
	entry->hash_algorithm = (enum fsmeta_hash_algorithm)algorithm;
	bytes = fsmeta_hash_bytes(entry->hash_algorithm);
	if (bytes > batch->hashes.len - reader->hashes_at)
		return corrupt(error, "there are fewer hashes than entries with one");
	memcpy(entry->hash, batch->hashes.data + reader->hashes_at, bytes);
	reader->hashes_at += bytes;
	return 0;
}

/** Forgets what only few entries have; everything else is set for every entry. */
static inline void clear_exceptions(struct fsmeta_entry *entry)
{
	entry->flags = 0;
	entry->error = 0;
	entry->unknown_since = 0;
	entry->target = NULL;
	entry->target_length = 0;
	entry->rdev_major = 0;
	entry->rdev_minor = 0;
	if (entry->hash_algorithm != FSMETA_HASH_NONE) {
		entry->hash_algorithm = FSMETA_HASH_NONE;
		memset(entry->hash, 0, sizeof(entry->hash));
	}
}

static int take_values(
    struct fsmeta_batch_reader *reader, struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	int code = take_exceptions(reader, entry, error);

	if (!code)
		code = take_times(reader, entry, error);
	if (!code)
		code = take_owner(reader, entry, error);
	if (!code)
		code = take_numbers(reader, entry, error);
	if (!code && entry->fields & FSMETA_FIELD_TARGET)
		code = take_target(reader, entry, error);
	if (!code && entry->fields & FSMETA_FIELD_RDEV)
		code = take_rdev(reader, entry, error);
	if (!code && entry->fields & FSMETA_FIELD_HASH)
		code = take_hash(reader, entry, error);
	return code;
}

/* ---- walking ---------------------------------------------------------- */

/** Behind the last entry: what the columns hold must be used up. */
static int end_batch(struct fsmeta_batch_reader *reader, struct fsmeta_error *error)
{
	const Fsmeta__V1__Batch *batch = reader->batch;

	reader->batch = NULL;
	if ((batch->n_target_length && reader->target_index != batch->n_target_length) ||
	    (batch->n_rdev_major && reader->rdev_index != batch->n_rdev_major) ||
	    (batch->n_rdev_minor && reader->rdev_index != batch->n_rdev_minor) ||
	    (batch->n_hash_algorithm && reader->hash_index != batch->n_hash_algorithm) ||
	    reader->hashes_at != batch->hashes.len || reader->missing.next != UINT32_MAX ||
	    reader->flags.next != UINT32_MAX || reader->unknown_since.next != UINT32_MAX)
		return corrupt(error, "a column holds more than its entries use");
	return 0;
}

static int next_type(
    enum fsmeta_type *type, struct fsmeta_batch_reader *reader, struct fsmeta_error *error)
{
	uint32_t value = DENSE(reader->batch, type, reader->index, FSMETA_TYPE_FILE);

	if (value < FSMETA_TYPE_FILE || value > FSMETA_TYPE_CHAR)
		return corrupt(error, "a type is not known");
	*type = (enum fsmeta_type)value;
	return 0;
}

static void set_place(struct fsmeta_batch_reader *reader, struct fsmeta_entry *entry)
{
	const struct fsmeta_path_stack *path = &reader->path;

	entry->path = fsmeta_path_stack_path(path, &entry->path_length);
	entry->depth = path->depth;
	entry->name = entry->path;
	entry->name_length = 0;
	if (path->depth) {
		entry->name += path->starts[path->depth - 1];
		entry->name_length = entry->path_length - path->starts[path->depth - 1];
	}
}

int fsmeta_batch_reader_next(
    struct fsmeta_batch_reader *reader, const struct fsmeta_entry **out, struct fsmeta_error *error)
{
	struct fsmeta_entry *entry = &reader->entry;
	enum fsmeta_type type;
	int code;

	if (!reader->batch)
		return 0;
	if (reader->index == reader->batch->count)
		return end_batch(reader, error);
	code = next_type(&type, reader, error);
	if (code)
		return code;
	if (reader->batch->root && reader->index == 0)
		code = step_root(reader, error);
	else
		code = step_place(reader, error);
	if (code)
		return code;
	clear_exceptions(entry);
	entry->type = type;
	entry->fields = reader->expected[type];
	set_place(reader, entry);
	code = take_values(reader, entry, error);
	if (code)
		return code;
	reader->index++;
	reader->last_type = type;
	reader->yielded_any = true;
	*out = entry;
	return 1;
}

void fsmeta_batch_reader_detach(struct fsmeta_batch_reader *reader)
{
	reader->batch = NULL;
	reader->detached = true;
	reader->yielded_any = true;
}

uint32_t fsmeta_batch_reader_count(const struct fsmeta_batch_reader *reader)
{
	return reader->batch ? reader->batch->count : 0;
}

uint32_t fsmeta_batch_reader_left(const struct fsmeta_batch_reader *reader)
{
	return reader->batch ? reader->batch->count - reader->index : 0;
}

uint32_t fsmeta_batch_reader_next_depth(const struct fsmeta_batch_reader *reader)
{
	const Fsmeta__V1__Batch *batch = reader->batch;

	if (reader->index == 0)
		return batch->root ? 0
				   : fsmeta_path_depth((const char *)batch->base_path.data,
					 batch->base_path.len) +
					 1;
	/* A level that leads out of the tree is next()'s to report. */
	return reader->path.depth + 1 - DENSE(batch, level, reader->index, 1);
}

const char *fsmeta_batch_reader_path(const struct fsmeta_batch_reader *reader, size_t *length)
{
	return fsmeta_path_stack_path(&reader->path, length);
}

/* ---- life ------------------------------------------------------------- */

int fsmeta_batch_reader_new(struct fsmeta_batch_reader **out, struct fsmeta_batch_source *source,
    uint32_t field_mask, enum fsmeta_id_kind id_kind, bool table_grows)
{
	struct fsmeta_batch_reader *reader = calloc(1, sizeof(*reader));

	*out = reader;
	if (!reader)
		return FSMETA_E_MEMORY;
	reader->source = source;
	reader->field_mask = field_mask;
	reader->id_kind = id_kind;
	reader->table_grows = table_grows;
	for (int type = FSMETA_TYPE_FILE; type <= FSMETA_TYPE_CHAR; type++)
		reader->expected[type] = field_mask & fsmeta_fields_of_type((enum fsmeta_type)type);
	fsmeta_unpack_init(&reader->unpack);
	fsmeta_path_stack_init(&reader->path);
	return 0;
}

void fsmeta_batch_reader_free(struct fsmeta_batch_reader *reader)
{
	if (!reader)
		return;
	fsmeta_unpack_release(&reader->unpack);
	fsmeta_path_stack_release(&reader->path);
	free(reader);
}
