/*
 * Records of changes in a spool.
 *
 * A record is one run of bytes.  What may still change when the record is
 * already written has a fixed width and stands in front, so that amending it is
 * one patch; everything behind is as short as it can be made cheaply:
 *
 *     | length | kind | marks | entries | bytes | fields, path, before, after |
 *     |  u32   |  u8  |  u8   |   u64   |  u64  |  varints and raw bytes      |
 *              '--------- patched ------'-------'
 *
 *     path:    bytes shared with the path of the record before, bytes that
 *              follow, those bytes, how many of them all are the name, depth; at a
 *              key record none are shared
 *     entry:   type, and as a bit whether it is ALIKE; if not the traits; then what
 *              each file has for itself: a group of id, size, inode, allocated;
 *              times, …
 *     group:   a byte with two bits for each, which say how wide it is: 1, 2, 4 or 8
 *              bytes; read without a branch (Dean, "Challenges in building large-scale
 *              information retrieval systems", 2009)
 *     traits:  field mask, flags, errno, unknown_since, mode, owner, group, device,
 *              number of links
 *
 * Changes come in canonical order, where neighbours share most of their path, and
 * mostly all traits: then the entry is ALIKE to the one that the same side had last,
 * and the reader leaves in place what it read for that one.  A removed folder of
 * frames costs some seventy bytes a file with all fields.  Both entries of a change have the
 * same path, except in a move, whose older path is written out behind the newer one.
 *
 * A dropped record stays where it is and is only marked, since the record behind
 * it leans on its path and its traits.
 *
 * The bytes may have been on a disk in between, so reading checks every length
 * before it is believed, as with any other file.  What has no length of its own is
 * bounded, and reads on behind the end of a record that lies; the block has room for
 * that, and the end is looked at when the record is through.
 */
#include "diff/change_spool.h"

#include "base/path.h"
#include "base/spool.h"

#include <stdlib.h>
#include <string.h>

/** The `marks` byte: the change's own flags in the low bits, ours in the high ones. */
enum {
	MARK_FLAGS = 0x0f,
	MARK_DROPPED = 0x10,
	MARK_BEFORE = 0x20,
	MARK_AFTER = 0x40,
	/** The older path is another one. */
	MARK_OLD_PATH = 0x80,
};

/** The `type` byte of an entry. */
enum {
	TYPE_MASK = 0x0f,
	/** Traits are those of the entry that this side had last. */
	TYPE_ALIKE = 0x80,
};

enum side {
	BEFORE = 0,
	AFTER = 1,
};

enum {
	KIND_AT = sizeof(uint32_t),
	MARKS_AT = KIND_AT + 1,
	TOTALS_AT = MARKS_AT + 1,
	HEAD_BYTES = TOTALS_AT + 2 * sizeof(uint64_t),
	VARINT_MAX_BYTES = 10,
	/** Numbers that are written together. */
	GROUP = 4,
	/** An entry without its target: 2 bytes, less than 24 varints with what is wider, a hash.
	 */
	ENTRY_MAX_BYTES = 2 + 24 * VARINT_MAX_BYTES + FSMETA_HASH_MAX_BYTES,
	/** Behind a block: more than all of a record that is read without a look at its end. */
	SLACK_BYTES = HEAD_BYTES + 8 * VARINT_MAX_BYTES + 2 * ENTRY_MAX_BYTES,
	/** No record is longer: three paths' worth, two targets, two entries. */
	RECORD_MAX_BYTES = 64 << 20,
	/** Every so many records one whose path leans on none, so that reading can begin there. */
	KEY_INTERVAL = 16,
	REPLAY_AHEAD_BYTES = 64 << 10,
};

static const char what[] = "change spool";

struct fsmeta_change_spool {
	struct fsmeta_spool *spool;
	/** The record being written. */
	struct fsmeta_buffer record;
	/** Path of the last record appended. */
	struct fsmeta_buffer last_path;
	/** Of the last entry of each side since reading can begin; only traits count. */
	struct fsmeta_entry last[2];
	bool has_last[2];
	/** Records appended so far, also dropped ones, and how many since the last key. */
	uint64_t count;
	uint32_t since_key;
	uint64_t last_key;
};

/** A change as it is handed out, with the entries that it points to. */
struct decoded {
	struct fsmeta_change change;
	/** By enum side, and whether there was one since reading can begin. */
	struct fsmeta_entry entries[2];
	bool has_entry[2];
	bool dropped;
};

struct fsmeta_change_reader {
	struct fsmeta_change_spool *spool;
	/** Of the spool. */
	uint64_t size;
	/** What entries hold besides path and type is passed by. */
	bool names_only;
	/** A part of the spool from `block_at` on, with SLACK_BYTES behind its room. */
	unsigned char *block;
	size_t block_room;
	size_t block_length;
	uint64_t block_at;
	/** The next record. */
	uint64_t place;
	uint64_t ordinal;
	/** The record read last. */
	struct fsmeta_change_place last;
	struct fsmeta_buffer path;
	struct fsmeta_buffer old_path;
	struct decoded decoded;
};

int fsmeta_change_spool_new(
    struct fsmeta_change_spool **out, size_t memory_bytes, struct fsmeta_error *error)
{
	struct fsmeta_change_spool *spool = calloc(1, sizeof(*spool));
	int code;

	*out = NULL;
	if (!spool)
		return fsmeta_error_set_memory(error, "making a change spool");
	code = fsmeta_spool_new(&spool->spool, memory_bytes, NULL, error);
	if (code) {
		fsmeta_change_spool_free(spool);
		return code;
	}
	*out = spool;
	return 0;
}

void fsmeta_change_spool_free(struct fsmeta_change_spool *spool)
{
	if (!spool)
		return;
	fsmeta_spool_free(spool->spool);
	fsmeta_buffer_release(&spool->record);
	fsmeta_buffer_release(&spool->last_path);
	free(spool);
}

/* ---- writing ---------------------------------------------------------- */

/** Writes without asking for room; the caller has reserved it. */
struct writer {
	unsigned char *at;
};

static void put_varint(struct writer *writer, uint64_t value)
{
	while (value >= 0x80) {
		*writer->at++ = (unsigned char)(value | 0x80);
		value >>= 7;
	}
	*writer->at++ = (unsigned char)value;
}

static void put_bytes(struct writer *writer, const void *bytes, size_t size)
{
	if (size)
		memcpy(writer->at, bytes, size);
	writer->at += size;
}

/** As it is: its varints would be hardly shorter, and every entry has three. */
static void put_time(struct writer *writer, struct fsmeta_time time)
{
	put_bytes(writer, &time.seconds, sizeof(time.seconds));
	put_bytes(writer, &time.nanoseconds, sizeof(time.nanoseconds));
}

/** What is seldom another than in the entry before. */
static void put_traits(struct writer *writer, const struct fsmeta_entry *entry)
{
	uint32_t fields = entry->fields;

	put_varint(writer, fields);
	put_varint(writer, entry->flags);
	put_varint(writer, (uint64_t)entry->error);
	put_varint(writer, entry->unknown_since);
	if (fields & FSMETA_FIELD_MODE)
		put_varint(writer, entry->mode);
	if (fields & FSMETA_FIELD_UID)
		put_varint(writer, entry->uid);
	if (fields & FSMETA_FIELD_GID)
		put_varint(writer, entry->gid);
	if (fields & FSMETA_FIELD_DEVICE)
		put_varint(writer, entry->device);
	if (fields & FSMETA_FIELD_NLINK)
		put_varint(writer, entry->nlink);
}

/** Of fields that neither has the values are the same nothing. */
static bool is_alike(const struct fsmeta_entry *entry, const struct fsmeta_entry *last)
{
	uint32_t fields = entry->fields;

	return fields == last->fields && entry->flags == last->flags &&
	       entry->error == last->error && entry->unknown_since == last->unknown_since &&
	       (!(fields & FSMETA_FIELD_MODE) || entry->mode == last->mode) &&
	       (!(fields & FSMETA_FIELD_UID) || entry->uid == last->uid) &&
	       (!(fields & FSMETA_FIELD_GID) || entry->gid == last->gid) &&
	       (!(fields & FSMETA_FIELD_DEVICE) || entry->device == last->device) &&
	       (!(fields & FSMETA_FIELD_NLINK) || entry->nlink == last->nlink);
}

static void put_group(struct writer *writer, const uint64_t values[GROUP])
{
	unsigned char *widths = writer->at++;

	*widths = 0;
	for (unsigned i = 0; i < GROUP; i++) {
		uint64_t wide = htole64(values[i]);
		unsigned width =
		    (values[i] > UINT8_MAX) + (values[i] > UINT16_MAX) + (values[i] > UINT32_MAX);

		*widths |= (unsigned char)(width << 2 * i);
		memcpy(writer->at, &wide, sizeof(wide));
		writer->at += 1u << width;
	}
}

/** Numbers that nearly every entry has, and each its own. */
static void put_numbers(struct writer *writer, const struct fsmeta_entry *entry)
{
	uint32_t fields = entry->fields;
	const uint64_t values[GROUP] = {
	    entry->id,
	    fields & FSMETA_FIELD_SIZE ? entry->size : 0,
	    fields & FSMETA_FIELD_INODE ? entry->inode : 0,
	    fields & FSMETA_FIELD_ALLOCATED ? entry->allocated : 0,
	};

	put_group(writer, values);
}

static void put_own(struct writer *writer, const struct fsmeta_entry *entry)
{
	uint32_t fields = entry->fields;

	put_numbers(writer, entry);
	if (fields & FSMETA_FIELD_MTIME)
		put_time(writer, entry->mtime);
	if (fields & FSMETA_FIELD_CTIME)
		put_time(writer, entry->ctime);
	if (fields & FSMETA_FIELD_BTIME)
		put_time(writer, entry->btime);
	if (fields & FSMETA_FIELD_RDEV) {
		put_varint(writer, entry->rdev_major);
		put_varint(writer, entry->rdev_minor);
	}
	if (fields & FSMETA_FIELD_TARGET) {
		put_varint(writer, entry->target_length);
		put_bytes(writer, entry->target, entry->target_length);
	}
	if (fields & FSMETA_FIELD_HASH) {
		*writer->at++ = (unsigned char)entry->hash_algorithm;
		put_bytes(writer, entry->hash, fsmeta_hash_bytes(entry->hash_algorithm));
	}
}

static void put_entry(struct fsmeta_change_spool *spool, struct writer *writer,
    const struct fsmeta_entry *entry, enum side side)
{
	bool alike = spool->has_last[side] && is_alike(entry, &spool->last[side]);

	*writer->at++ = (unsigned char)(entry->type | (alike ? TYPE_ALIKE : 0));
	if (!alike) {
		put_traits(writer, entry);
		spool->last[side] = *entry;
		spool->has_last[side] = true;
	}
	put_own(writer, entry);
}

/** Room that an entry takes at most. */
static size_t entry_room(const struct fsmeta_entry *entry)
{
	return entry ? ENTRY_MAX_BYTES + entry->target_length : 0;
}

static size_t shared_prefix(const struct fsmeta_buffer *last, const struct fsmeta_entry *entry)
{
	size_t most = last->length < entry->path_length ? last->length : entry->path_length;

	return most ? fsmeta_first_difference((const char *)last->data, entry->path, most) : 0;
}

static bool paths_differ(const struct fsmeta_change *change)
{
	return change->before && change->after &&
	       (change->before->path_length != change->after->path_length ||
		   (change->before->path != change->after->path &&
		       memcmp(change->before->path, change->after->path,
			   change->before->path_length) != 0));
}

static void put_head(struct writer *writer, const struct fsmeta_change *change, bool old_path)
{
	unsigned marks = change->flags & MARK_FLAGS;

	if (change->before)
		marks |= MARK_BEFORE;
	if (change->after)
		marks |= MARK_AFTER;
	if (old_path)
		marks |= MARK_OLD_PATH;
	/* The length is filled in when it is known. */
	writer->at += KIND_AT;
	*writer->at++ = (unsigned char)change->kind;
	*writer->at++ = (unsigned char)marks;
	put_bytes(writer, &change->entries, sizeof(change->entries));
	put_bytes(writer, &change->bytes, sizeof(change->bytes));
}

/** Makes spool->record hold the record of `change` and last_path its path. */
static int encode(struct fsmeta_change_spool *spool, const struct fsmeta_change *change)
{
	const struct fsmeta_entry *named = fsmeta_change_entry(change);
	bool old_path = paths_differ(change);
	size_t shared = spool->since_key ? shared_prefix(&spool->last_path, named) : 0;
	size_t rest = named->path_length - shared;
	size_t room = HEAD_BYTES + 7 * VARINT_MAX_BYTES + rest + entry_room(change->before) +
		      entry_room(change->after) + (old_path ? change->before->path_length : 0);
	struct writer writer;
	uint32_t length;

	spool->record.length = 0;
	spool->last_path.length = shared;
	/* Whatever shares nothing can be read first. */
	if (!shared)
		spool->has_last[BEFORE] = spool->has_last[AFTER] = false;
	if (room > RECORD_MAX_BYTES || fsmeta_buffer_reserve(&spool->record, room) ||
	    fsmeta_buffer_append(&spool->last_path, named->path + shared, rest))
		return FSMETA_E_MEMORY;
	writer.at = spool->record.data;
	put_head(&writer, change, old_path);
	put_varint(&writer, change->fields);
	put_varint(&writer, shared);
	put_varint(&writer, rest);
	put_bytes(&writer, named->path + shared, rest);
	put_varint(&writer, named->name_length);
	put_varint(&writer, named->depth);
	if (old_path) {
		put_varint(&writer, change->before->path_length);
		put_bytes(&writer, change->before->path, change->before->path_length);
	}
	if (change->before)
		put_entry(spool, &writer, change->before, BEFORE);
	if (change->after)
		put_entry(spool, &writer, change->after, AFTER);
	spool->record.length = (size_t)(writer.at - spool->record.data);
	length = (uint32_t)spool->record.length;
	memcpy(spool->record.data, &length, sizeof(length));
	return 0;
}

int fsmeta_change_spool_append(struct fsmeta_change_spool *spool,
    const struct fsmeta_change *change, uint64_t *place, struct fsmeta_error *error)
{
	uint64_t at = fsmeta_spool_size(spool->spool);
	int code;

	if (encode(spool, change))
		return fsmeta_error_set_memory(error, "spooling a change");
	code =
	    fsmeta_spool_append(spool->spool, spool->record.data, spool->record.length, &at, error);
	if (place)
		*place = at;
	if (!spool->since_key)
		spool->last_key = at;
	spool->since_key = (spool->since_key + 1) % KEY_INTERVAL;
	spool->count++;
	return code;
}

struct fsmeta_change_place fsmeta_change_spool_last(
    const struct fsmeta_change_spool *spool, uint64_t place)
{
	return (struct fsmeta_change_place){.record = place, .key = spool->last_key};
}

void fsmeta_change_spool_begin_key(struct fsmeta_change_spool *spool)
{
	spool->since_key = 0;
}

uint64_t fsmeta_change_spool_count(const struct fsmeta_change_spool *spool)
{
	return spool->count;
}

uint64_t fsmeta_change_spool_end(const struct fsmeta_change_spool *spool)
{
	return fsmeta_spool_size(spool->spool);
}

/** The marks of the record at `place` with `clear` taken out and `set` put in. */
static int change_marks(struct fsmeta_change_spool *spool, uint64_t place, unsigned clear,
    unsigned set, struct fsmeta_error *error)
{
	unsigned char marks;
	int code = fsmeta_spool_read(spool->spool, place + MARKS_AT, &marks, sizeof(marks), error);

	if (code)
		return code;
	marks = (unsigned char)((marks & ~clear) | set);
	return fsmeta_spool_patch(spool->spool, place + MARKS_AT, &marks, sizeof(marks), error);
}

int fsmeta_change_spool_amend(struct fsmeta_change_spool *spool, uint64_t place, uint32_t flags,
    uint64_t entries, uint64_t bytes, struct fsmeta_error *error)
{
	uint64_t totals[2] = {entries, bytes};
	int code = change_marks(spool, place, MARK_FLAGS, flags & MARK_FLAGS, error);

	if (code)
		return code;
	return fsmeta_spool_patch(spool->spool, place + TOTALS_AT, totals, sizeof(totals), error);
}

int fsmeta_change_spool_drop(
    struct fsmeta_change_spool *spool, uint64_t place, struct fsmeta_error *error)
{
	return change_marks(spool, place, 0, MARK_DROPPED, error);
}

/* ---- reading ---------------------------------------------------------- */

/**
 * What is left of a record.  `bad` once something asked for more than that, or else `at` is behind
 * `end` then, by less than SLACK_BYTES.
 */
struct reader {
	const unsigned char *at;
	const unsigned char *end;
	bool bad;
};

static uint64_t get_long_varint(struct reader *reader)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		value |= (uint64_t)(*reader->at & 0x7f) << shift;
		if (!(*reader->at++ & 0x80))
			return value;
	}
	reader->bad = true;
	return 0;
}

static inline uint64_t get_varint(struct reader *reader)
{
	return *reader->at < 0x80 ? *reader->at++ : get_long_varint(reader);
}

/** The next `size` bytes, or NULL and bad. */
static const void *get_bytes(struct reader *reader, uint64_t size)
{
	const unsigned char *bytes = reader->at;

	if (reader->bad || reader->at > reader->end ||
	    size > (uint64_t)(reader->end - reader->at)) {
		reader->bad = true;
		return NULL;
	}
	reader->at += size;
	return bytes;
}

static inline struct fsmeta_time get_time(struct reader *reader)
{
	struct fsmeta_time time = {0};

	memcpy(&time.seconds, reader->at, sizeof(time.seconds));
	memcpy(&time.nanoseconds, reader->at + sizeof(time.seconds), sizeof(time.nanoseconds));
	reader->at += sizeof(time.seconds) + sizeof(time.nanoseconds);
	return time;
}

static void get_hash(struct reader *reader, struct fsmeta_entry *entry)
{
	size_t size;
	const void *bytes;

	entry->hash_algorithm = (enum fsmeta_hash_algorithm) * reader->at++;
	size = fsmeta_hash_bytes(entry->hash_algorithm);
	bytes = get_bytes(reader, size);
	if (bytes)
		memcpy(entry->hash, bytes, size);
}

/** All else of the entry becomes nothing. */
static void get_traits(struct reader *reader, struct fsmeta_entry *entry)
{
	uint32_t fields = (uint32_t)get_varint(reader);

	*entry = (struct fsmeta_entry){.device = FSMETA_DEVICE_NONE, .fields = fields};
	entry->flags = (uint32_t)get_varint(reader);
	entry->error = (int)get_varint(reader);
	entry->unknown_since = get_varint(reader);
	if (fields & FSMETA_FIELD_MODE)
		entry->mode = (uint32_t)get_varint(reader);
	if (fields & FSMETA_FIELD_UID)
		entry->uid = (uint32_t)get_varint(reader);
	if (fields & FSMETA_FIELD_GID)
		entry->gid = (uint32_t)get_varint(reader);
	if (fields & FSMETA_FIELD_DEVICE)
		entry->device = (uint32_t)get_varint(reader);
	if (fields & FSMETA_FIELD_NLINK)
		entry->nlink = get_varint(reader);
}

static inline void get_group(struct reader *reader, uint64_t values[GROUP])
{
	static const uint64_t masks[] = {UINT8_MAX, UINT16_MAX, UINT32_MAX, UINT64_MAX};
	unsigned widths = *reader->at++;

	for (unsigned i = 0; i < GROUP; i++, widths >>= 2) {
		uint64_t wide;

		memcpy(&wide, reader->at, sizeof(wide));
		values[i] = le64toh(wide) & masks[widths & 3];
		reader->at += 1u << (widths & 3);
	}
}

/** What the entry does not have was written as 0. */
static void get_numbers(struct reader *reader, struct fsmeta_entry *entry)
{
	uint64_t values[GROUP];

	get_group(reader, values);
	entry->id = values[0];
	entry->size = values[1];
	entry->inode = values[2];
	entry->allocated = values[3];
}

static void get_own(struct reader *reader, struct fsmeta_entry *entry)
{
	uint32_t fields = entry->fields;

	get_numbers(reader, entry);
	if (fields & FSMETA_FIELD_MTIME)
		entry->mtime = get_time(reader);
	if (fields & FSMETA_FIELD_CTIME)
		entry->ctime = get_time(reader);
	if (fields & FSMETA_FIELD_BTIME)
		entry->btime = get_time(reader);
	if (fields & FSMETA_FIELD_RDEV) {
		entry->rdev_major = (uint32_t)get_varint(reader);
		entry->rdev_minor = (uint32_t)get_varint(reader);
	}
	if (fields & FSMETA_FIELD_TARGET) {
		entry->target_length = get_varint(reader);
		entry->target = get_bytes(reader, entry->target_length);
	}
	if (fields & FSMETA_FIELD_HASH)
		get_hash(reader, entry);
}

static struct fsmeta_entry *get_entry(
    struct reader *reader, struct decoded *decoded, enum side side)
{
	struct fsmeta_entry *entry = &decoded->entries[side];
	unsigned type = *reader->at++;

	if (!(type & TYPE_ALIKE))
		get_traits(reader, entry);
	else if (!decoded->has_entry[side])
		reader->bad = true;
	decoded->has_entry[side] = true;
	entry->type = (enum fsmeta_type)(type & TYPE_MASK);
	if (!fsmeta_type_name(entry->type))
		reader->bad = true;
	get_own(reader, entry);
	return entry;
}

static void set_path(struct fsmeta_entry *entry, const struct fsmeta_buffer *path,
    size_t name_length, uint32_t depth)
{
	entry->path = (const char *)path->data;
	entry->path_length = path->length;
	entry->name = entry->path + path->length - name_length;
	entry->name_length = name_length;
	entry->depth = depth;
}

/** What a record says of the path, besides its bytes. */
struct path_shape {
	size_t name_length;
	uint32_t depth;
};

/** Makes room for a path and the NUL behind it. */
static int reserve_path(struct fsmeta_buffer *path, size_t extra)
{
	return path->capacity - path->length > extra ? 0 : fsmeta_buffer_reserve(path, extra + 1);
}

/** Reads the path of the record behind the one before; in->path changes. */
static int get_path(
    struct fsmeta_change_reader *in, struct reader *reader, struct path_shape *shape)
{
	uint64_t shared = get_varint(reader);
	uint64_t rest = get_varint(reader);
	const void *bytes = get_bytes(reader, rest);

	shape->name_length = get_varint(reader);
	shape->depth = (uint32_t)get_varint(reader);
	if (reader->bad || shared > in->path.length || shape->name_length > shared + rest) {
		reader->bad = true;
		return 0;
	}
	if (!shared) {
		in->last.key = in->last.record;
		in->decoded.has_entry[BEFORE] = in->decoded.has_entry[AFTER] = false;
	}
	in->path.length = shared;
	if (reserve_path(&in->path, rest))
		return FSMETA_E_MEMORY;
	memcpy(in->path.data + shared, bytes, rest);
	in->path.length = shared + rest;
	in->path.data[in->path.length] = '\0';
	return 0;
}

static int get_old_path(struct fsmeta_change_reader *in, struct reader *reader)
{
	uint64_t length = get_varint(reader);
	const void *bytes = get_bytes(reader, length);

	fsmeta_buffer_clear(&in->old_path);
	if (reader->bad)
		return 0;
	return fsmeta_buffer_append(&in->old_path, bytes, length) ||
		       !fsmeta_buffer_string(&in->old_path)
		   ? FSMETA_E_MEMORY
		   : 0;
}

static void get_before(struct fsmeta_change_reader *in, struct reader *reader, unsigned marks,
    const struct path_shape *shape)
{
	struct fsmeta_entry *before = get_entry(reader, &in->decoded, BEFORE);
	const char *old_path = (const char *)in->old_path.data;
	size_t length = in->old_path.length;

	if (marks & MARK_OLD_PATH)
		set_path(before, &in->old_path, length - fsmeta_path_name_offset(old_path, length),
		    fsmeta_path_depth(old_path, length));
	else
		set_path(before, &in->path, shape->name_length, shape->depth);
	in->decoded.change.before = before;
}

/** The entry that names the change, as far as names go: both are of one type. */
static void get_name(struct fsmeta_change_reader *in, struct reader *reader, unsigned marks,
    const struct path_shape *shape)
{
	enum side side = marks & MARK_AFTER ? AFTER : BEFORE;
	struct fsmeta_entry *entry = &in->decoded.entries[side];

	entry->type = (enum fsmeta_type)(*reader->at & TYPE_MASK);
	if (reader->at >= reader->end || !fsmeta_type_name(entry->type))
		reader->bad = true;
	set_path(entry, &in->path, shape->name_length, shape->depth);
	if (side == AFTER)
		in->decoded.change.after = entry;
	else
		in->decoded.change.before = entry;
}

/** Decodes the record that begins with `head`; one that makes no sense sets reader->bad. */
static int decode(struct fsmeta_change_reader *in, const unsigned char *head, struct reader *reader)
{
	struct decoded *out = &in->decoded;
	unsigned marks = head[MARKS_AT];
	struct path_shape shape;
	int code;

	out->change = (struct fsmeta_change){
	    .kind = (enum fsmeta_change_kind)head[KIND_AT],
	    .flags = marks & MARK_FLAGS,
	};
	out->dropped = marks & MARK_DROPPED;
	memcpy(&out->change.entries, head + TOTALS_AT, sizeof(uint64_t));
	memcpy(&out->change.bytes, head + TOTALS_AT + sizeof(uint64_t), sizeof(uint64_t));
	if (!fsmeta_change_kind_name(out->change.kind) || !(marks & (MARK_BEFORE | MARK_AFTER)))
		reader->bad = true;
	out->change.fields = (uint32_t)get_varint(reader);
	code = get_path(in, reader, &shape);
	if (!code && marks & MARK_OLD_PATH)
		code = get_old_path(in, reader);
	if (code || reader->bad)
		return code;
	if (in->names_only) {
		get_name(in, reader, marks, &shape);
		return 0;
	}
	if (marks & MARK_BEFORE)
		get_before(in, reader, marks, &shape);
	if (marks & MARK_AFTER) {
		struct fsmeta_entry *after = get_entry(reader, out, AFTER);

		set_path(after, &in->path, shape.name_length, shape.depth);
		out->change.after = after;
	}
	if (reader->at != reader->end)
		reader->bad = true;
	return 0;
}

static int damaged(uint64_t place, struct fsmeta_error *error)
{
	return fsmeta_error_set_at(error, FSMETA_E_CORRUPT, what, (int64_t)place,
	    "reading changes back", "the record makes no sense");
}

int fsmeta_change_reader_new(struct fsmeta_change_reader **out, struct fsmeta_change_spool *spool,
    size_t ahead_bytes, struct fsmeta_error *error)
{
	struct fsmeta_change_reader *reader = calloc(1, sizeof(*reader));
	uint64_t size = fsmeta_spool_size(spool->spool);

	/* Most spools are small. */
	if (ahead_bytes > size)
		ahead_bytes = size ? (size_t)size : 1;
	*out = reader;
	if (reader)
		reader->block = calloc(1, ahead_bytes + SLACK_BYTES);
	if (!reader || !reader->block) {
		free(reader);
		*out = NULL;
		return fsmeta_error_set_memory(error, "reading changes back");
	}
	reader->spool = spool;
	reader->size = size;
	reader->block_room = ahead_bytes;
	return 0;
}

void fsmeta_change_reader_free(struct fsmeta_change_reader *reader)
{
	if (!reader)
		return;
	free(reader->block);
	fsmeta_buffer_release(&reader->path);
	fsmeta_buffer_release(&reader->old_path);
	free(reader);
}

void fsmeta_change_reader_seek(
    struct fsmeta_change_reader *reader, uint64_t place, uint64_t ordinal)
{
	reader->place = place;
	reader->ordinal = ordinal;
	fsmeta_buffer_clear(&reader->path);
}

/** Room for a record that is longer than any before. */
static int grow_block(struct fsmeta_change_reader *reader, size_t bytes)
{
	unsigned char *grown = realloc(reader->block, bytes + SLACK_BYTES);

	if (!grown)
		return FSMETA_E_MEMORY;
	memset(grown + bytes, 0, SLACK_BYTES);
	reader->block = grown;
	reader->block_room = bytes;
	return 0;
}

/** Reads a block that begins at the reader's place and holds at least `bytes`. */
static int refill(struct fsmeta_change_reader *reader, size_t bytes, struct fsmeta_error *error)
{
	uint64_t left = reader->size - reader->place;
	size_t most;
	int code;

	if (bytes > left || bytes > RECORD_MAX_BYTES)
		return damaged(reader->place, error);
	reader->block_length = 0;
	if (bytes > reader->block_room && grow_block(reader, bytes))
		return fsmeta_error_set_memory(error, "reading changes back");
	most = left < reader->block_room ? (size_t)left : reader->block_room;
	code = fsmeta_spool_read(reader->spool->spool, reader->place, reader->block, most, error);
	if (code)
		return code;
	reader->block_at = reader->place;
	reader->block_length = most;
	return 0;
}

/** Makes the next `bytes` bytes from the reader's place lie in its block, at *out. */
static inline int load(struct fsmeta_change_reader *reader, size_t bytes, const unsigned char **out,
    struct fsmeta_error *error)
{
	uint64_t within = reader->place - reader->block_at;
	int code = 0;

	/* A place in front of the block is very far within. */
	if (within > reader->block_length || bytes > reader->block_length - within) {
		code = refill(reader, bytes, error);
		within = 0;
	}
	*out = reader->block + within;
	return code;
}

int fsmeta_change_reader_next(struct fsmeta_change_reader *reader,
    const struct fsmeta_change **change, struct fsmeta_error *error)
{
	struct reader rest = {0};
	const unsigned char *head;
	uint32_t length;
	int code;

	*change = NULL;
	if (reader->place >= reader->size)
		return 0;
	code = load(reader, sizeof(length), &head, error);
	if (code)
		return code;
	memcpy(&length, head, sizeof(length));
	if (length < HEAD_BYTES)
		return damaged(reader->place, error);
	code = load(reader, length, &head, error);
	if (code)
		return code;
	reader->last.record = reader->place;
	rest.at = head + HEAD_BYTES;
	rest.end = head + length;
	if (decode(reader, head, &rest))
		return fsmeta_error_set_memory(error, "reading changes back");
	if (rest.bad)
		return damaged(reader->place, error);
	reader->place += length;
	reader->ordinal++;
	*change = &reader->decoded.change;
	return 1;
}

bool fsmeta_change_reader_dropped(const struct fsmeta_change_reader *reader)
{
	return reader->decoded.dropped;
}

struct fsmeta_change_place fsmeta_change_reader_place(
    const struct fsmeta_change_reader *reader, uint64_t *ordinal)
{
	*ordinal = reader->ordinal - 1;
	return reader->last;
}

int fsmeta_change_reader_at(struct fsmeta_change_reader *reader, struct fsmeta_change_place place,
    const struct fsmeta_change **change, struct fsmeta_error *error)
{
	int code = 1;

	fsmeta_change_reader_seek(reader, place.key, 0);
	while (code > 0 && reader->place <= place.record)
		code = fsmeta_change_reader_next(reader, change, error);
	if (code < 0)
		return code;
	return reader->last.record == place.record ? 0 : damaged(place.record, error);
}

static int replay(struct fsmeta_change_spool *spool, struct fsmeta_change_sink *sink,
    bool names_only, struct fsmeta_error *error)
{
	struct fsmeta_change_reader *reader;
	const struct fsmeta_change *change;
	int code = fsmeta_change_reader_new(&reader, spool, REPLAY_AHEAD_BYTES, error);

	if (!code)
		reader->names_only = names_only;
	while (!code && (code = fsmeta_change_reader_next(reader, &change, error)) > 0)
		code = reader->decoded.dropped ? 0 : sink->change(sink, change, error);
	fsmeta_change_reader_free(reader);
	return code;
}

int fsmeta_change_spool_replay(
    struct fsmeta_change_spool *spool, struct fsmeta_change_sink *sink, struct fsmeta_error *error)
{
	return replay(spool, sink, false, error);
}

int fsmeta_change_spool_replay_names(
    struct fsmeta_change_spool *spool, struct fsmeta_change_sink *sink, struct fsmeta_error *error)
{
	return replay(spool, sink, true, error);
}
