/*
 * Reading a batch.
 *
 * load() lets protobuf-c unpack the message into an arena that is reused from
 * batch to batch, with a budget, so that a hostile message cannot ask for more
 * than any true one needs.  The packed columns that have a value for every entry come out
 * of it as bytes (format/packed_batch.proto) and are decoded into the same arena, in a
 * quarter of the time that it takes number by number (format/packed.h).
 * Everything that can be judged for a column as a whole
 * is judged there: lengths, sums, no '/' and no NUL among the bytes of names.
 * The values are then taken column by column, a block of entries at a time, so that
 * each loop reads one column in order and has no choices to make:
 *
 *     columns      size  mtime  owner  inode …       (for the whole batch)
 *                   │      │      │      │
 *     rows         [ 0 ][ 1 ][ 2 ] … [ BLOCK - 1 ]   entries, but for their paths
 *                    │
 *     next()         └── + place and name ──► entry
 *
 * Few columns have a value for some entries only: what is missing, flags, the target
 * of a link.  They are laid over the rows of a block afterwards, and wiped off when
 * the rows are used again.
 *
 * Place and name are next()'s work, since only the path stack knows where the walk
 * stands.  The name before is the last one on that stack, so a sibling costs the
 * bytes in which it differs: they are written over the end of the path, and the first
 * of them tells that it comes behind.  All else takes the long way round.
 *
 * Two readers are mostly compared where nearly all is equal.  Where both stand at one path, equal
 * columns of level, prefix and suffix with equal bytes mean equal names, so
 * pass_equal() compares rows where they are, takes only the one path along, and brings the
 * other one up in the end.
 *
 * Between batches the path stack stays, so the first entry of a batch goes through
 * the same checks as every other: its base path must be a folder that is still
 * open, and its level follows from that.
 */
#include "format/batch.h"

#include "format/fsscan.pb-c.h"
#include "format/packed.h"
#include "format/packed_batch.pb-c.h"
#include "format/stream.h"
#include "format/unpack.h"

#include <stdlib.h>
#include <string.h>

enum {
	NANOSECONDS_PER_SECOND = 1000000000,
	ALLOCATION_UNIT_BYTES = 4096,
	/** Rows that are filled at once: as many as stay in the first-level cache. */
	BLOCK = 64,
};

/** What a column that was left out holds. */
static const uint32_t narrow_zeros[BLOCK];
static const int64_t wide_zeros[BLOCK];
static const unsigned char no_plane[BLOCK];
#define ONES_8 1, 1, 1, 1, 1, 1, 1, 1
#define ONES_64 ONES_8, ONES_8, ONES_8, ONES_8, ONES_8, ONES_8, ONES_8, ONES_8
static const uint32_t narrow_ones[BLOCK] = {ONES_64};
static const uint64_t wide_ones[BLOCK] = {ONES_64};

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

/** The dense columns of numbers, in the arena; NULL where one was left out. */
struct dense_columns {
	const uint32_t *level;
	const uint32_t *type;
	const uint32_t *name_prefix;
	const uint32_t *name_suffix;
	const int64_t *mtime_seconds;
	const int64_t *ctime_seconds;
	const int64_t *btime_seconds;
	const uint32_t *owner;
	const uint32_t *device;
	const int64_t *inode;
	const uint64_t *nlink;
	const int64_t *allocated;
	const int64_t *id;
};

struct fsmeta_batch_reader {
	struct fsmeta_batch_source *source;
	uint32_t field_mask;
	enum fsmeta_id_kind id_kind;
	bool table_grows;
	uint32_t expected[FSMETA_TYPE_CHAR + 1];

	struct fsmeta_unpack unpack;
	/** The batch in hand, in the arena; NULL for none. */
	const Fsmeta__V1__PackedBatch *batch;
	struct dense_columns dense;
	/** The entry that next() will yield; those in front of block_end are in `rows`. */
	uint32_t index;
	uint32_t block_begin;
	uint32_t block_end;
	/** Fields that any of the rows has. */
	uint32_t block_fields;
	/** Place and name of the rows: columns from block_begin on. */
	const uint32_t *level;
	const uint32_t *name_prefix;
	const uint32_t *name_suffix;
	/** The batch's names. */
	const unsigned char *names;
	size_t names_bytes;
	/** Rows hold values that only few entries have, and must be wiped before their next use. */
	bool rows_are_marked;
	/** Entries in the rows so far that were not seen. */
	uint32_t unseen;
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
	int64_t mtime_seconds;
	uint64_t inode;
	uint64_t id;

	/** Place in the tree; goes on from batch to batch. */
	struct fsmeta_path_stack path;
	bool yielded_any;
	bool detached;
	enum fsmeta_type last_type;
	/** A name that does not replace the one before, put together. */
	char name[FSMETA_NAME_MAX_BYTES];

	struct fsmeta_entry rows[BLOCK];
};

static int corrupt(struct fsmeta_error *error, const char *reason)
{
	return fsmeta_error_set(error, FSMETA_E_CORRUPT, NULL, "reading a batch", "%s", reason);
}

/* ---- loading ---------------------------------------------------------- */

/** What a packed column decodes to. */
enum packing {
	PACKED_NARROW,
	PACKED_WIDE,
	PACKED_SIGNED,
};

static bool decode_column(
    void *values, enum packing packing, uint32_t count, ProtobufCBinaryData column)
{
	switch (packing) {
	case PACKED_NARROW:
		return fsmeta_packed_decode(values, count, column.data, column.len);
	case PACKED_WIDE:
		return fsmeta_packed_decode_wide(values, count, column.data, column.len);
	case PACKED_SIGNED:
		return fsmeta_packed_decode_signed(values, count, column.data, column.len);
	}
	return false;
}

/** Decodes the dense columns, which have a value for every entry or are left out. */
static int decode_columns(struct fsmeta_batch_reader *reader, const Fsmeta__V1__PackedBatch *batch,
    struct fsmeta_error *error)
{
	struct dense_columns *dense = &reader->dense;
	const struct {
		void *to;
		enum packing packing;
		ProtobufCBinaryData column;
	} columns[] = {
	    {&dense->level, PACKED_NARROW, batch->level},
	    {&dense->type, PACKED_NARROW, batch->type},
	    {&dense->name_prefix, PACKED_NARROW, batch->name_prefix},
	    {&dense->name_suffix, PACKED_NARROW, batch->name_suffix},
	    {&dense->mtime_seconds, PACKED_SIGNED, batch->mtime_seconds},
	    {&dense->ctime_seconds, PACKED_SIGNED, batch->ctime_seconds},
	    {&dense->btime_seconds, PACKED_SIGNED, batch->btime_seconds},
	    {&dense->owner, PACKED_NARROW, batch->owner},
	    {&dense->device, PACKED_NARROW, batch->device},
	    {&dense->inode, PACKED_SIGNED, batch->inode},
	    {&dense->nlink, PACKED_WIDE, batch->nlink},
	    {&dense->allocated, PACKED_SIGNED, batch->allocated},
	    {&dense->id, PACKED_SIGNED, batch->id},
	};

	*dense = (struct dense_columns){0};
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		size_t width =
		    columns[i].packing == PACKED_NARROW ? sizeof(uint32_t) : sizeof(uint64_t);
		void *values;

		if (!columns[i].column.len)
			continue;
		/* `count` was judged, and every value is written below. */
		values = fsmeta_arena_allocate(&reader->unpack.arena, batch->count * width);
		if (!values)
			return fsmeta_error_set_memory(error, "reading a batch");
		if (!decode_column(values, columns[i].packing, batch->count, columns[i].column))
			return corrupt(error, "a column's length is not the number of entries");
		memcpy(columns[i].to, &values, sizeof(values));
	}
	return 0;
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
    const struct fsmeta_batch_reader *reader, const Fsmeta__V1__PackedBatch *batch)
{
	if (batch->count == 0 || batch->count > FSMETA_BATCH_MAX_ENTRIES)
		return "the number of entries is out of range";
	if (batch->field_mask != reader->field_mask)
		return "the field mask is not the stream's";
	if (!are_planes(batch->size, batch->count, 8) ||
	    !are_planes(batch->mtime_nanoseconds, batch->count, 4) ||
	    !are_planes(batch->ctime_nanoseconds, batch->count, 4) ||
	    !are_planes(batch->btime_nanoseconds, batch->count, 4))
		return "a column's length is not the number of entries";
	if (batch->names.len && (memchr(batch->names.data, '/', batch->names.len) ||
				    memchr(batch->names.data, '\0', batch->names.len)))
		return "a name holds a slash or a NUL";
	if (batch->n_owner_mode == 0 || batch->n_owner_mode > batch->count ||
	    batch->n_owner_uid != batch->n_owner_mode || batch->n_owner_gid != batch->n_owner_mode)
		return "the dictionary of owners is damaged";
	for (size_t i = 0; i < batch->n_owner_mode; i++)
		if (batch->owner_mode[i] & ~07777U)
			return "a mode is out of range";
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
	if (batch->id.len && reader->id_kind != FSMETA_IDS_STABLE)
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

static int map_filesystems(struct fsmeta_batch_reader *reader, const Fsmeta__V1__PackedBatch *batch,
    struct fsmeta_error *error)
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

static void begin_walk(struct fsmeta_batch_reader *reader, const Fsmeta__V1__PackedBatch *batch,
    uint64_t first_ordinal)
{
	reader->batch = batch;
	reader->index = 0;
	reader->block_begin = 0;
	reader->block_end = 0;
	reader->first_ordinal = first_ordinal;
	reader->unseen = 0;
	reader->names = batch->names.data;
	reader->names_bytes = batch->names.len;
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
	reader->mtime_seconds = 0;
	reader->inode = 0;
	reader->id = 0;
}

/** No batch in hand. */
static void drop_batch(struct fsmeta_batch_reader *reader)
{
	reader->batch = NULL;
	reader->index = 0;
	reader->block_begin = 0;
	reader->block_end = 0;
}

int fsmeta_batch_reader_load(struct fsmeta_batch_reader *reader, const unsigned char *bytes,
    size_t size, uint64_t first_ordinal, struct fsmeta_error *error)
{
	const Fsmeta__V1__PackedBatch *batch;
	const char *wrong;
	int code;

	drop_batch(reader);
	if (size > FSMETA_BATCH_MAX_BYTES)
		return fsmeta_error_set(error, FSMETA_E_LIMIT, NULL, "reading a batch",
		    "%zu bytes are beyond the limit of %d", size, FSMETA_BATCH_MAX_BYTES);
	batch = fsmeta__v1__packed_batch__unpack(
	    fsmeta_unpack_begin(&reader->unpack, size), size, bytes);
	if (!batch)
		return corrupt(error, "it is no protobuf message");
	wrong = judge_columns(reader, batch);
	if (wrong)
		return corrupt(error, wrong);
	code = decode_columns(reader, batch, error);
	if (code)
		return code;
	if (!lengths_agree(reader->dense.name_suffix, reader->dense.name_suffix ? batch->count : 0,
		batch->names.len))
		return corrupt(error, "the lengths of names do not agree");
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

/** NULL, or what is wrong with a name by itself; its bytes were judged as a column. */
static const char *judge_name(const char *name, size_t length)
{
	if (length == 0 || length > FSMETA_NAME_MAX_BYTES)
		return "a name's length is out of range";
	/* The length first: the bytes may only just have been written. */
	if (length <= 2 && name[0] == '.' && (length == 1 || name[1] == '.'))
		return "a name is \".\" or \"..\"";
	return NULL;
}

static int place_failed(int code, struct fsmeta_error *error)
{
	if (code == FSMETA_E_LIMIT)
		return fsmeta_error_set(
		    error, code, NULL, "reading a batch", "a path is too long or too deep");
	return fsmeta_error_set_memory(error, "reading a batch");
}

/** The name of the entry before, in this batch; empty for the root and before the first. */
static const char *name_before(const struct fsmeta_batch_reader *reader, size_t *length)
{
	*length = 0;
	if (!reader->index || !reader->path.depth)
		return "";
	return fsmeta_path_stack_name(&reader->path, reader->path.depth, length);
}

/** Puts the next name together in reader->name; NULL or what is wrong with it. */
static const char *next_name(struct fsmeta_batch_reader *reader, size_t *length)
{
	uint32_t row = reader->index - reader->block_begin;
	size_t prefix = reader->name_prefix[row];
	size_t suffix = reader->name_suffix[row];
	size_t before_length;
	const char *before = name_before(reader, &before_length);

	if (prefix > before_length)
		return "a name's prefix is longer than the name before";
	*length = prefix + suffix;
	if (*length > FSMETA_NAME_MAX_BYTES)
		return judge_name(before, *length);
	memcpy(reader->name, before, prefix);
	if (suffix)
		memcpy(reader->name + prefix, reader->batch->names.data + reader->names_at, suffix);
	reader->names_at += suffix;
	return judge_name(reader->name, *length);
}

/** Level of the next entry against the one before, which may be of another batch. */
static int next_level(
    uint32_t *level, struct fsmeta_batch_reader *reader, struct fsmeta_error *error)
{
	*level = reader->level[reader->index - reader->block_begin];
	if (reader->index)
		return 0;
	if (*level != 1)
		return corrupt(error, "the first entry's level is not 1");
	return reader->detached ? attach(level, reader, error) : connect(level, reader, error);
}

/**
 * Steps the path stack to the next entry wherever that is, checking level and order.  This
 * and what is done once a block stay calls, so that next() is short.
 */
static __attribute__((noinline)) int step_anywhere(
    struct fsmeta_batch_reader *reader, struct fsmeta_error *error)
{
	const char *wrong, *before;
	size_t before_length, length;
	uint32_t level, depth;
	int code;

	code = next_level(&level, reader, error);
	if (code)
		return code;
	wrong = next_name(reader, &length);
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
		if (fsmeta_name_compare(reader->name, length, before, before_length) <= 0)
			return corrupt(error, "an entry is out of canonical order");
		fsmeta_path_stack_truncate(&reader->path, depth - 1);
	}
	code = fsmeta_path_stack_push(&reader->path, reader->name, length);
	return code ? place_failed(code, error) : 0;
}

/**
 * Steps the path stack to a sibling of the entry before: what the names share stays
 * where it is, and the first byte behind it decides the order.  False, and nothing is
 * done, where it is not as simple as that.
 */
static inline bool step_sibling_at_once(struct fsmeta_batch_reader *reader, uint32_t row)
{
	struct fsmeta_path_stack *path = &reader->path;
	size_t start = path->starts[path->depth - 1];
	size_t prefix = reader->name_prefix[row];
	size_t length = reader->name_suffix[row];
	const char *suffix = (const char *)reader->names + reader->names_at;
	const unsigned char *before = path->path.data + start;

	/* Two bytes might be "..", and where the name before ends stands a NUL. */
	if (reader->names_bytes - reader->names_at < FSMETA_PATH_AT_ONCE_BYTES || !length ||
	    length > FSMETA_PATH_AT_ONCE_BYTES || prefix > path->path.length - start ||
	    prefix + length <= 2 || prefix + length > FSMETA_NAME_MAX_BYTES ||
	    (unsigned char)suffix[0] <= before[prefix] ||
	    !fsmeta_path_stack_replace_end_at_once(path, prefix, suffix, length))
		return false;
	reader->names_at += length;
	return true;
}

/** The same step for all names, whatever is right or wrong with them. */
static __attribute__((noinline)) int step_sibling(
    struct fsmeta_batch_reader *reader, uint32_t row, struct fsmeta_error *error)
{
	struct fsmeta_path_stack *path = &reader->path;
	size_t start = path->starts[path->depth - 1];
	size_t before_length = path->path.length - start;
	size_t prefix = reader->name_prefix[row];
	size_t length = reader->name_suffix[row];
	const char *before = (const char *)path->path.data + start;
	const char *suffix, *wrong;
	int code;

	if (prefix > before_length)
		return corrupt(error, "a name's prefix is longer than the name before");
	/* There may be no bytes at all to point into where all are empty. */
	if (!length)
		return corrupt(error, "an entry is out of canonical order");
	suffix = (const char *)reader->batch->names.data + reader->names_at;
	if (prefix < before_length && (unsigned char)suffix[0] <= (unsigned char)before[prefix] &&
	    fsmeta_name_compare(suffix, length, before + prefix, before_length - prefix) <= 0)
		return corrupt(error, "an entry is out of canonical order");
	code = fsmeta_path_stack_replace_end(path, prefix, suffix, length);
	if (code)
		return place_failed(code, error);
	reader->names_at += length;
	wrong = judge_name((const char *)path->path.data + start, prefix + length);
	return wrong ? corrupt(error, wrong) : 0;
}

static inline int step_place(struct fsmeta_batch_reader *reader, struct fsmeta_error *error)
{
	uint32_t row = reader->index - reader->block_begin;

	if (!reader->index || reader->level[row] != 1 || !reader->path.depth)
		return step_anywhere(reader, error);
	return step_sibling_at_once(reader, row) ? 0 : step_sibling(reader, row, error);
}

static __attribute__((noinline)) int step_root(
    struct fsmeta_batch_reader *reader, struct fsmeta_error *error)
{
	if (reader->yielded_any || reader->detached)
		return corrupt(error, "a root stands within the stream");
	if (reader->batch->base_path.len || reader->name_suffix[0] || reader->name_prefix[0] ||
	    reader->level[0] != 1)
		return corrupt(error, "the root has a name");
	if (reader->rows[0].type != FSMETA_TYPE_FOLDER)
		return corrupt(error, "the root is no folder");
	fsmeta_path_stack_clear(&reader->path);
	return 0;
}

/* ---- values, a block of rows at a time -------------------------------- */

/** A dense column from the block on, or what stands for it where it was left out. */
#define DENSE(reader, member, otherwise) \
	((reader)->dense.member ? (reader)->dense.member + (reader)->block_begin : (otherwise))

static uint32_t block_count(const struct fsmeta_batch_reader *reader)
{
	return reader->block_end - reader->block_begin;
}

/** Wipes off what only few entries have; everything else is set for every row. */
static void unmark_rows(struct fsmeta_batch_reader *reader)
{
	if (!reader->rows_are_marked)
		return;
	for (uint32_t row = 0; row < BLOCK; row++) {
		struct fsmeta_entry *entry = &reader->rows[row];

		entry->flags = 0;
		entry->error = 0;
		entry->unknown_since = 0;
		entry->target = NULL;
		entry->target_length = 0;
		entry->rdev_major = 0;
		entry->rdev_minor = 0;
		entry->hash_algorithm = FSMETA_HASH_NONE;
		memset(entry->hash, 0, sizeof(entry->hash));
	}
	reader->rows_are_marked = false;
}

/** Types, and with them which fields there are. */
static int take_types(struct fsmeta_batch_reader *reader, struct fsmeta_error *error)
{
	const uint32_t *types = DENSE(reader, type, narrow_ones);
	uint32_t count = block_count(reader), fields = 0;

	for (uint32_t row = 0; row < count; row++) {
		uint32_t type = types[row];

		if (type < FSMETA_TYPE_FILE || type > FSMETA_TYPE_CHAR)
			return corrupt(error, "a type is not known");
		reader->rows[row].type = (enum fsmeta_type)type;
		reader->rows[row].fields = reader->expected[type];
		fields |= reader->expected[type];
	}
	reader->block_fields = fields;
	return 0;
}

/**
 * Four planes of a column from `first` on, from the block on; those that there are not are 0.
 * All in one go, so that a value is never stored half done.
 */
static void take_four_planes(uint32_t values[BLOCK], const struct fsmeta_batch_reader *reader,
    const struct planes *planes, uint32_t first)
{
	const unsigned char *plane[4];
	uint32_t count = block_count(reader);

	for (uint32_t i = 0; i < 4; i++)
		plane[i] = first + i < planes->count
			       ? planes->bytes + (size_t)(first + i) * reader->batch->count +
				     reader->block_begin
			       : no_plane;
	for (uint32_t row = 0; row < count; row++)
		values[row] = (uint32_t)plane[0][row] | (uint32_t)plane[1][row] << 8 |
			      (uint32_t)plane[2][row] << 16 | (uint32_t)plane[3][row] << 24;
}

/** Values of a column of planes, from the block on. */
static void take_planes(
    uint64_t values[BLOCK], const struct fsmeta_batch_reader *reader, const struct planes *planes)
{
	uint32_t count = block_count(reader), four[BLOCK];

	take_four_planes(four, reader, planes, 0);
	for (uint32_t row = 0; row < count; row++)
		values[row] = four[row];
	if (planes->count <= 4)
		return;
	take_four_planes(four, reader, planes, 4);
	for (uint32_t row = 0; row < count; row++)
		values[row] |= (uint64_t)four[row] << 32;
}

/** The same for nanoseconds; false where one cannot be. */
static bool take_nanoseconds(
    uint32_t values[BLOCK], const struct fsmeta_batch_reader *reader, const struct planes *planes)
{
	uint32_t count = block_count(reader), signs = 0;

	take_four_planes(values, reader, planes, 0);
	/* Negative, or so when it is taken off what may be at most: that much SSE2 can compare. */
	for (uint32_t row = 0; row < count; row++)
		signs |= values[row] | ((uint32_t)NANOSECONDS_PER_SECOND - 1 - values[row]);
	return !(signs >> 31);
}

/** Times that are differences to mtime, which all rows have by now. */
static struct fsmeta_time other_time(
    struct fsmeta_time mtime, int64_t seconds, uint32_t nanoseconds)
{
	struct fsmeta_time time = {
	    .seconds = (int64_t)((uint64_t)mtime.seconds + (uint64_t)seconds),
	    .nanoseconds = mtime.nanoseconds + nanoseconds,
	};

	if (time.nanoseconds >= NANOSECONDS_PER_SECOND)
		time.nanoseconds -= NANOSECONDS_PER_SECOND;
	return time;
}

static int take_times(struct fsmeta_batch_reader *reader, struct fsmeta_error *error)
{
	uint32_t count = block_count(reader);
	struct fsmeta_entry *rows = reader->rows;
	uint32_t nanoseconds[BLOCK];
	const int64_t *seconds = DENSE(reader, mtime_seconds, wide_zeros);
	uint64_t sum = (uint64_t)reader->mtime_seconds;
	bool valid = take_nanoseconds(nanoseconds, reader, &reader->mtime_nanoseconds);

	for (uint32_t row = 0; row < count; row++) {
		sum += (uint64_t)seconds[row];
		rows[row].mtime = (struct fsmeta_time){(int64_t)sum, nanoseconds[row]};
	}
	reader->mtime_seconds = (int64_t)sum;
	if (reader->field_mask & FSMETA_FIELD_CTIME) {
		seconds = DENSE(reader, ctime_seconds, wide_zeros);
		valid &= take_nanoseconds(nanoseconds, reader, &reader->ctime_nanoseconds);
		for (uint32_t row = 0; row < count; row++)
			rows[row].ctime =
			    other_time(rows[row].mtime, seconds[row], nanoseconds[row]);
	}
	if (reader->field_mask & FSMETA_FIELD_BTIME) {
		seconds = DENSE(reader, btime_seconds, wide_zeros);
		valid &= take_nanoseconds(nanoseconds, reader, &reader->btime_nanoseconds);
		for (uint32_t row = 0; row < count; row++)
			rows[row].btime =
			    other_time(rows[row].mtime, seconds[row], nanoseconds[row]);
	}
	if (!(reader->field_mask & FSMETA_FIELD_MTIME))
		for (uint32_t row = 0; row < count; row++)
			rows[row].mtime = (struct fsmeta_time){0, 0};
	return valid ? 0 : corrupt(error, "nanoseconds are out of range");
}

static int take_owners(struct fsmeta_batch_reader *reader, struct fsmeta_error *error)
{
	const Fsmeta__V1__PackedBatch *batch = reader->batch;
	const uint32_t *owners = DENSE(reader, owner, narrow_zeros);
	uint32_t with_mode = reader->field_mask & FSMETA_FIELD_MODE ? UINT32_MAX : 0;
	uint32_t with_uid = reader->field_mask & FSMETA_FIELD_UID ? UINT32_MAX : 0;
	uint32_t with_gid = reader->field_mask & FSMETA_FIELD_GID ? UINT32_MAX : 0;
	uint32_t owner = ~owners[0], mode = 0, uid = 0, gid = 0;

	for (uint32_t row = 0; row < block_count(reader); row++) {
		struct fsmeta_entry *entry = &reader->rows[row];

		/* Most have the owner of the one before. */
		if (owners[row] != owner) {
			owner = owners[row];
			if (owner >= batch->n_owner_mode)
				return corrupt(error, "an owner is not in the dictionary");
			mode = batch->owner_mode[owner] & with_mode;
			uid = batch->owner_uid[owner] & with_uid;
			gid = batch->owner_gid[owner] & with_gid;
		}
		entry->mode = mode;
		entry->uid = uid;
		entry->gid = gid;
	}
	return 0;
}

static uint64_t implied_allocation(uint64_t size)
{
	return (size + (ALLOCATION_UNIT_BYTES - 1)) & ~(uint64_t)(ALLOCATION_UNIT_BYTES - 1);
}

/** Size, and allocated bytes, which are a difference to it. */
static void take_sizes(struct fsmeta_batch_reader *reader)
{
	uint32_t count = block_count(reader);
	struct fsmeta_entry *rows = reader->rows;
	uint64_t sizes[BLOCK];

	take_planes(sizes, reader, &reader->size);
	if (reader->field_mask & FSMETA_FIELD_SIZE)
		for (uint32_t row = 0; row < count; row++)
			rows[row].size = sizes[row];
	if (reader->field_mask & FSMETA_FIELD_ALLOCATED) {
		const int64_t *allocated = DENSE(reader, allocated, wide_zeros);

		for (uint32_t row = 0; row < count; row++)
			rows[row].allocated =
			    implied_allocation(sizes[row]) + (uint64_t)allocated[row];
	}
}

static void take_numbers(struct fsmeta_batch_reader *reader)
{
	uint32_t count = block_count(reader);
	struct fsmeta_entry *rows = reader->rows;

	if (reader->field_mask & FSMETA_FIELD_INODE) {
		const int64_t *inodes = DENSE(reader, inode, wide_zeros);

		for (uint32_t row = 0; row < count; row++) {
			reader->inode += (uint64_t)inodes[row];
			rows[row].inode = reader->inode;
		}
	}
	if (reader->field_mask & FSMETA_FIELD_NLINK) {
		const uint64_t *nlinks = DENSE(reader, nlink, wide_ones);

		for (uint32_t row = 0; row < count; row++)
			rows[row].nlink = nlinks[row];
	}
}

static void take_ids(struct fsmeta_batch_reader *reader)
{
	uint32_t count = block_count(reader);
	struct fsmeta_entry *rows = reader->rows;

	if (reader->id_kind == FSMETA_IDS_STABLE) {
		const int64_t *ids = DENSE(reader, id, wide_zeros);

		for (uint32_t row = 0; row < count; row++) {
			reader->id += (uint64_t)ids[row];
			rows[row].id = reader->id;
		}
	} else {
		for (uint32_t row = 0; row < count; row++)
			rows[row].id = reader->first_ordinal + reader->block_begin + row;
	}
}

/* ---- values that few entries have -------------------------------------- */

/** Takes fields off an entry: absent is zero. */
static void take_off(struct fsmeta_entry *entry, uint32_t missing)
{
	const struct fsmeta_time unknown = {0, 0};

	entry->fields &= ~missing;
	if (missing & FSMETA_FIELD_SIZE)
		entry->size = 0;
	if (missing & FSMETA_FIELD_MTIME)
		entry->mtime = unknown;
	if (missing & FSMETA_FIELD_CTIME)
		entry->ctime = unknown;
	if (missing & FSMETA_FIELD_BTIME)
		entry->btime = unknown;
	if (missing & FSMETA_FIELD_MODE)
		entry->mode = 0;
	if (missing & FSMETA_FIELD_UID)
		entry->uid = 0;
	if (missing & FSMETA_FIELD_GID)
		entry->gid = 0;
	if (missing & FSMETA_FIELD_INODE)
		entry->inode = 0;
	if (missing & FSMETA_FIELD_NLINK)
		entry->nlink = 0;
	if (missing & FSMETA_FIELD_ALLOCATED)
		entry->allocated = 0;
}

/** The row that an exception within the block speaks of; NULL where there is none. */
static struct fsmeta_entry *next_exception(
    struct fsmeta_batch_reader *reader, const struct sparse *sparse)
{
	/* What lies in front of the block was never used up, which end_batch() tells. */
	if (sparse->next < reader->block_begin || sparse->next >= reader->block_end)
		return NULL;
	reader->rows_are_marked = true;
	return &reader->rows[sparse->next - reader->block_begin];
}

static int disorder(struct fsmeta_error *error)
{
	return corrupt(error, "a sparse column is out of order");
}

static int take_exceptions(struct fsmeta_batch_reader *reader, struct fsmeta_error *error)
{
	const Fsmeta__V1__PackedBatch *batch = reader->batch;
	struct fsmeta_entry *entry;

	while ((entry = next_exception(reader, &reader->missing))) {
		uint32_t missing = batch->missing[reader->missing.at];

		if (missing & ~entry->fields)
			return corrupt(error, "a field is missing that was not promised");
		take_off(entry, missing);
		if (!sparse_advance(&reader->missing))
			return disorder(error);
	}
	while ((entry = next_exception(reader, &reader->flags))) {
		uint32_t errno_value = batch->n_error ? batch->error[reader->flags.at] : 0;

		if (errno_value > FSMETA_ERRNO_MAX)
			return corrupt(error, "an errno is out of range");
		entry->flags = batch->flags[reader->flags.at];
		entry->error = (int)errno_value;
		reader->unseen += fsmeta_entry_is_unseen(entry);
		if (!sparse_advance(&reader->flags))
			return disorder(error);
	}
	while ((entry = next_exception(reader, &reader->unknown_since))) {
		/* One that is both is counted once. */
		reader->unseen -= fsmeta_entry_is_unseen(entry);
		entry->unknown_since = batch->unknown_since[reader->unknown_since.at];
		reader->unseen += fsmeta_entry_is_unseen(entry);
		if (!sparse_advance(&reader->unknown_since))
			return disorder(error);
	}
	return 0;
}

/** The value of a partial column, or its default. */
#define PARTIAL(batch, member, index, default_value) \
	((batch)->n_##member ? (batch)->member[index] : (default_value))

static int take_target(
    struct fsmeta_batch_reader *reader, struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	const Fsmeta__V1__PackedBatch *batch = reader->batch;
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
	const Fsmeta__V1__PackedBatch *batch = reader->batch;
	size_t index = reader->rdev_index++;

	if ((batch->n_rdev_major && index >= batch->n_rdev_major) ||
	    (batch->n_rdev_minor && index >= batch->n_rdev_minor))
		return corrupt(error, "there are fewer device numbers than devices");
	entry->rdev_major = PARTIAL(batch, rdev_major, index, 0);
	entry->rdev_minor = PARTIAL(batch, rdev_minor, index, 0);
	return 0;
}

static int take_hash(
    struct fsmeta_batch_reader *reader, struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	const Fsmeta__V1__PackedBatch *batch = reader->batch;
	size_t index = reader->hash_index++;
	uint32_t algorithm;
	size_t bytes;

	if (batch->n_hash_algorithm && index >= batch->n_hash_algorithm)
		return corrupt(error, "there are fewer hashes than entries with one");
	algorithm = PARTIAL(batch, hash_algorithm, index, FSMETA_HASH_XXH3);
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

/** Behind the exceptions: an entry that lacks its device has no say in what stands there. */
static int take_devices(struct fsmeta_batch_reader *reader, struct fsmeta_error *error)
{
	const uint32_t *devices = DENSE(reader, device, narrow_zeros);

	if (!(reader->field_mask & FSMETA_FIELD_DEVICE))
		return 0;
	for (uint32_t row = 0; row < block_count(reader); row++) {
		struct fsmeta_entry *entry = &reader->rows[row];

		entry->device = FSMETA_DEVICE_NONE;
		if (!(entry->fields & FSMETA_FIELD_DEVICE))
			continue;
		if (devices[row] >= reader->batch->n_filesystems)
			return corrupt(error, "a file system is not in the dictionary");
		entry->device = reader->devices[devices[row]];
	}
	return 0;
}

/** Targets, device numbers and hashes, for those rows that have them. */
static int take_particulars(struct fsmeta_batch_reader *reader, struct fsmeta_error *error)
{
	const uint32_t particular = FSMETA_FIELD_TARGET | FSMETA_FIELD_RDEV | FSMETA_FIELD_HASH;
	int code = 0;

	if (!(reader->block_fields & particular))
		return 0;
	for (uint32_t row = 0; row < block_count(reader) && !code; row++) {
		struct fsmeta_entry *entry = &reader->rows[row];

		if (!(entry->fields & particular))
			continue;
		reader->rows_are_marked = true;
		if (entry->fields & FSMETA_FIELD_TARGET)
			code = take_target(reader, entry, error);
		if (!code && entry->fields & FSMETA_FIELD_RDEV)
			code = take_rdev(reader, entry, error);
		if (!code && entry->fields & FSMETA_FIELD_HASH)
			code = take_hash(reader, entry, error);
	}
	return code;
}

static int take_values(struct fsmeta_batch_reader *reader, struct fsmeta_error *error)
{
	int code;

	unmark_rows(reader);
	code = take_types(reader, error);
	if (!code)
		code = take_times(reader, error);
	if (!code)
		code = take_owners(reader, error);
	if (code)
		return code;
	take_sizes(reader);
	take_numbers(reader);
	take_ids(reader);
	code = take_exceptions(reader, error);
	if (!code)
		code = take_devices(reader, error);
	return code ? code : take_particulars(reader, error);
}

/* ---- walking ---------------------------------------------------------- */

/** Behind the last entry: what the columns hold must be used up. */
static int end_batch(struct fsmeta_batch_reader *reader, struct fsmeta_error *error)
{
	const Fsmeta__V1__PackedBatch *batch = reader->batch;

	drop_batch(reader);
	if ((batch->n_target_length && reader->target_index != batch->n_target_length) ||
	    (batch->n_rdev_major && reader->rdev_index != batch->n_rdev_major) ||
	    (batch->n_rdev_minor && reader->rdev_index != batch->n_rdev_minor) ||
	    (batch->n_hash_algorithm && reader->hash_index != batch->n_hash_algorithm) ||
	    reader->hashes_at != batch->hashes.len || reader->missing.next != UINT32_MAX ||
	    reader->flags.next != UINT32_MAX || reader->unknown_since.next != UINT32_MAX)
		return corrupt(error, "a column holds more than its entries use");
	return 0;
}

/** Fills the rows with the next entries: 1, 0 where there are none, or a code. */
static __attribute__((noinline)) int next_block(
    struct fsmeta_batch_reader *reader, struct fsmeta_error *error)
{
	uint32_t left;
	int code;

	if (!reader->batch)
		return 0;
	left = reader->batch->count - reader->index;
	if (!left)
		return end_batch(reader, error);
	reader->block_begin = reader->index;
	reader->block_end = reader->index + (left < BLOCK ? left : BLOCK);
	reader->level = DENSE(reader, level, narrow_ones);
	reader->name_prefix = DENSE(reader, name_prefix, narrow_zeros);
	reader->name_suffix = DENSE(reader, name_suffix, narrow_zeros);
	code = take_values(reader, error);
	return code ? code : 1;
}

static inline void set_place(const struct fsmeta_path_stack *path, struct fsmeta_entry *entry)
{
	size_t start = path->depth ? path->starts[path->depth - 1] : 0;

	entry->path = path->path.data ? (const char *)path->path.data : "";
	entry->path_length = path->path.length;
	entry->depth = path->depth;
	entry->name = entry->path + start;
	entry->name_length = entry->path_length - start;
}

int fsmeta_batch_reader_next(
    struct fsmeta_batch_reader *reader, const struct fsmeta_entry **out, struct fsmeta_error *error)
{
	struct fsmeta_entry *entry;
	int code;

	if (reader->index == reader->block_end) {
		code = next_block(reader, error);
		if (code != 1)
			return code;
	}
	if (reader->index == 0 && reader->batch->root)
		code = step_root(reader, error);
	else
		code = step_place(reader, error);
	if (code)
		return code;
	entry = &reader->rows[reader->index - reader->block_begin];
	set_place(&reader->path, entry);
	reader->index++;
	reader->last_type = entry->type;
	reader->yielded_any = true;
	*out = entry;
	return 1;
}

/* ---- two at once ------------------------------------------------------- */

/** True where both stand at one path, behind an entry of the batch in hand. */
static bool stand_at_one_path(
    const struct fsmeta_batch_reader *a, const struct fsmeta_batch_reader *b)
{
	return a->index && b->index && a->path.depth && a->path.depth == b->path.depth &&
	       a->path.path.length == b->path.path.length &&
	       !memcmp(a->path.path.data, b->path.path.data, a->path.path.length);
}

/** True where nothing but the mask decides whether two entries are equal. */
static inline bool is_plain(const struct fsmeta_entry *entry)
{
	return entry->type != FSMETA_TYPE_FOLDER && !entry->flags && !entry->unknown_since &&
	       entry->nlink <= 1;
}

/** True where the next rows are siblings of what stands before them, and equal. */
static inline bool rows_agree(const struct fsmeta_batch_reader *a, uint32_t a_row,
    const struct fsmeta_batch_reader *b, uint32_t b_row, uint32_t mask)
{
	const struct fsmeta_entry *x = &a->rows[a_row], *y = &b->rows[b_row];
	uint32_t suffix = a->name_suffix[a_row];

	return a->level[a_row] == 1 && b->level[b_row] == 1 &&
	       a->name_prefix[a_row] == b->name_prefix[b_row] && suffix > 0 &&
	       suffix == b->name_suffix[b_row] &&
	       !memcmp(a->names + a->names_at, b->names + b->names_at, suffix) &&
	       x->type == y->type && is_plain(x) && is_plain(y) &&
	       !fsmeta_entry_differences(x, y, mask, NULL, 0);
}

int fsmeta_batch_reader_pass_equal(struct fsmeta_batch_reader *a, struct fsmeta_batch_reader *b,
    uint32_t mask, uint64_t *count, struct fsmeta_error *error)
{
	const char *name;
	size_t length;

	*count = 0;
	if (!stand_at_one_path(a, b))
		return 0;
	for (; a->index < a->block_end && b->index < b->block_end; ++*count) {
		uint32_t a_row = a->index - a->block_begin, b_row = b->index - b->block_begin;

		if (!rows_agree(a, a_row, b, b_row, mask) || !step_sibling_at_once(a, a_row))
			break;
		b->names_at += b->name_suffix[b_row];
		a->last_type = b->last_type = a->rows[a_row].type;
		a->index++;
		b->index++;
	}
	if (!*count)
		return 0;
	name = fsmeta_path_stack_name(&a->path, a->path.depth, &length);
	if (fsmeta_path_stack_replace_end(&b->path, 0, name, length))
		return fsmeta_error_set_memory(error, "reading a batch");
	return 0;
}

void fsmeta_batch_reader_detach(struct fsmeta_batch_reader *reader)
{
	drop_batch(reader);
	reader->detached = true;
	reader->yielded_any = true;
}

void fsmeta_batch_reader_rewind(struct fsmeta_batch_reader *reader)
{
	drop_batch(reader);
	fsmeta_path_stack_clear(&reader->path);
	reader->detached = false;
	reader->yielded_any = false;
}

uint32_t fsmeta_batch_reader_count(const struct fsmeta_batch_reader *reader)
{
	return reader->batch ? reader->batch->count : 0;
}

uint32_t fsmeta_batch_reader_unseen(const struct fsmeta_batch_reader *reader)
{
	return reader->unseen;
}

uint32_t fsmeta_batch_reader_left(const struct fsmeta_batch_reader *reader)
{
	return reader->batch ? reader->batch->count - reader->index : 0;
}

uint32_t fsmeta_batch_reader_next_depth(const struct fsmeta_batch_reader *reader)
{
	const Fsmeta__V1__PackedBatch *batch = reader->batch;

	if (reader->index == 0)
		return batch->root ? 0
				   : fsmeta_path_depth((const char *)batch->base_path.data,
					 batch->base_path.len) +
					 1;
	/* A level that leads out of the tree is next()'s to report. */
	return reader->path.depth + 1 -
	       (reader->dense.level ? reader->dense.level[reader->index] : 1);
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
	for (uint32_t row = 0; row < BLOCK; row++)
		reader->rows[row].device = FSMETA_DEVICE_NONE;
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
