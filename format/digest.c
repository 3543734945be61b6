/*
 * The state digest: one 128-bit term an entry, and digests as text.
 *
 * docs/state-digest.md gives the serialisation byte for byte and has the test
 * vectors; this is its drawing:
 *
 *     0        4     5   6        8        12             16
 *     | fields | type | 0 | errno | flags  | path length  | path … | fields in order of their bits
 * … |  u32   |  u8  |u8 |  u16  |  u32   |     u32      | bytes
 *
 * All numbers are little-endian.  The sum of all entries' terms modulo 2^128
 * names a state whatever order it was added up in, and a database that changes
 * one entry subtracts the old term and adds the new one.
 *
 * This runs once for every entry of every scan, so the worst case is reserved at
 * once and the fields are then stored without further checks; XXH3 is compiled
 * in from its header, because inputs of this size spend a good part of their
 * time in the call and in the choice of a vector unit.
 */
#include "format/digest_sum.h"
#include "format/source.h"

#include <endian.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
	HEAD_BYTES = 16,
	/** Of entries that wait to be hashed. */
	WAITING_BYTES = 2 << 20,
	/** All fields of fixed width, the lengths and the algorithm of the others. */
	FIELDS_MAX_BYTES = 8 + 3 * 12 + 3 * 4 + 3 * 4 + 3 * 8 + 8 + 4 + 1 + FSMETA_HASH_MAX_BYTES,
};

/*
 * Each store_…() writes at `at` and returns where the next byte goes.
 */
static inline unsigned char *store_u8(unsigned char *at, uint8_t value)
{
	*at = value;
	return at + 1;
}

static inline unsigned char *store_u16(unsigned char *at, uint16_t value)
{
	value = htole16(value);
	memcpy(at, &value, sizeof(value));
	return at + sizeof(value);
}

static inline unsigned char *store_u32(unsigned char *at, uint32_t value)
{
	value = htole32(value);
	memcpy(at, &value, sizeof(value));
	return at + sizeof(value);
}

static inline unsigned char *store_u64(unsigned char *at, uint64_t value)
{
	value = htole64(value);
	memcpy(at, &value, sizeof(value));
	return at + sizeof(value);
}

static inline unsigned char *store_time(unsigned char *at, struct fsmeta_time time)
{
	return store_u32(store_u64(at, (uint64_t)time.seconds), time.nanoseconds);
}

static inline unsigned char *store_bytes(unsigned char *at, const void *bytes, size_t length)
{
	if (length)
		memcpy(at, bytes, length);
	return at + length;
}

/** Length as u32, then the bytes. */
static inline unsigned char *store_text(unsigned char *at, const char *bytes, size_t length)
{
	return store_bytes(store_u32(at, (uint32_t)length), bytes, length);
}

/** What names a file system wherever it is mounted: the strings with their lengths. */
struct filesystem_identity {
	const char *uuid, *type, *label;
	size_t uuid_length, type_length, label_length;
};

static struct filesystem_identity identify_filesystem(
    const struct fsmeta_batch_source *source, uint32_t index)
{
	struct filesystem_identity identity = {.uuid = "", .type = "", .label = ""};

	if (index >= source->filesystem_count)
		return identity;
	identity.uuid = source->filesystems[index].uuid;
	identity.type = source->filesystems[index].type;
	/* A label is changed at will, so it counts only where there is nothing better. */
	if (!identity.uuid[0])
		identity.label = source->filesystems[index].label;
	identity.uuid_length = strlen(identity.uuid);
	identity.type_length = strlen(identity.type);
	identity.label_length = strlen(identity.label);
	return identity;
}

static inline unsigned char *store_head(
    unsigned char *at, const struct fsmeta_entry *entry, uint32_t fields)
{
	at = store_u32(at, fields);
	at = store_u8(at, (uint8_t)entry->type);
	at = store_u8(at, 0);
	at = store_u16(at, (uint16_t)entry->error);
	at = store_u32(at, entry->flags);
	return store_text(at, entry->path, entry->path_length);
}

static inline unsigned char *store_fields(unsigned char *at, const struct fsmeta_entry *entry,
    uint32_t fields, const struct filesystem_identity *filesystem)
{
	if (fields & FSMETA_FIELD_SIZE)
		at = store_u64(at, entry->size);
	if (fields & FSMETA_FIELD_MTIME)
		at = store_time(at, entry->mtime);
	if (fields & FSMETA_FIELD_CTIME)
		at = store_time(at, entry->ctime);
	if (fields & FSMETA_FIELD_BTIME)
		at = store_time(at, entry->btime);
	if (fields & FSMETA_FIELD_MODE)
		at = store_u32(at, entry->mode);
	if (fields & FSMETA_FIELD_UID)
		at = store_u32(at, entry->uid);
	if (fields & FSMETA_FIELD_GID)
		at = store_u32(at, entry->gid);
	if (fields & FSMETA_FIELD_DEVICE) {
		at = store_text(at, filesystem->uuid, filesystem->uuid_length);
		at = store_text(at, filesystem->type, filesystem->type_length);
		at = store_text(at, filesystem->label, filesystem->label_length);
	}
	if (fields & FSMETA_FIELD_INODE)
		at = store_u64(at, entry->inode);
	if (fields & FSMETA_FIELD_NLINK)
		at = store_u64(at, entry->nlink);
	if (fields & FSMETA_FIELD_ALLOCATED)
		at = store_u64(at, entry->allocated);
	if (fields & FSMETA_FIELD_RDEV)
		at = store_u32(store_u32(at, entry->rdev_major), entry->rdev_minor);
	if (fields & FSMETA_FIELD_TARGET)
		at = store_text(at, entry->target, entry->target_length);
	if (fields & FSMETA_FIELD_HASH) {
		at = store_u8(at, (uint8_t)entry->hash_algorithm);
		at = store_bytes(at, entry->hash, fsmeta_hash_bytes(entry->hash_algorithm));
	}
	return at;
}

/** Appends the serialisation of `entry` to `out`, with `room` bytes left free in front of it. */
static inline int serialize(struct fsmeta_buffer *out, size_t room,
    const struct fsmeta_entry *entry, uint32_t mask, const struct fsmeta_batch_source *source)
{
	uint32_t fields = entry->fields & mask & fsmeta_fields_of_type(entry->type);
	struct filesystem_identity filesystem = {0};
	size_t most = room + HEAD_BYTES + FIELDS_MAX_BYTES + entry->path_length;
	unsigned char *end;

	if (fields & FSMETA_FIELD_DEVICE) {
		filesystem = identify_filesystem(source, entry->device);
		most += filesystem.uuid_length + filesystem.type_length + filesystem.label_length;
	}
	if (fields & FSMETA_FIELD_TARGET)
		most += entry->target_length;
	if (out->capacity - out->length < most && fsmeta_buffer_reserve(out, most))
		return FSMETA_E_MEMORY;
	end = store_head(out->data + out->length + room, entry, fields);
	end = store_fields(end, entry, fields, &filesystem);
	out->length = (size_t)(end - out->data);
	return 0;
}

int fsmeta_entry_digest(struct fsmeta_digest *out, const struct fsmeta_entry *entry, uint32_t mask,
    const struct fsmeta_batch_source *source, struct fsmeta_buffer *scratch)
{
	XXH128_hash_t hash;

	fsmeta_buffer_clear(scratch);
	if (serialize(scratch, 0, entry, mask, source))
		return FSMETA_E_MEMORY;
	hash = XXH3_128bits(scratch->data, scratch->length);
	*out = (struct fsmeta_digest){.low = hash.low64, .high = hash.high64};
	return 0;
}

/* ---- sums ------------------------------------------------------------- */

int fsmeta_digest_sum_add(struct fsmeta_digest_sum *sum, const struct fsmeta_entry *entry,
    uint32_t mask, const struct fsmeta_batch_source *source)
{
	struct fsmeta_buffer *waiting = &sum->waiting;
	size_t begin = waiting->length;
	uint32_t length;

	if (serialize(waiting, sizeof(length), entry, mask, source))
		return FSMETA_E_MEMORY;
	length = (uint32_t)(waiting->length - begin - sizeof(length));
	memcpy(waiting->data + begin, &length, sizeof(length));
	if (waiting->length > WAITING_BYTES)
		fsmeta_digest_sum_hash(sum);
	return 0;
}

void fsmeta_digest_sum_hash(struct fsmeta_digest_sum *sum)
{
	const unsigned char *at = sum->waiting.data;
	const unsigned char *end = at + sum->waiting.length;

	while (at < end) {
		XXH128_hash_t hash;
		uint32_t length;

		memcpy(&length, at, sizeof(length));
		at += sizeof(length);
		hash = XXH3_128bits(at, length);
		fsmeta_digest_add(
		    &sum->sum, (struct fsmeta_digest){.low = hash.low64, .high = hash.high64});
		at += length;
	}
	fsmeta_buffer_clear(&sum->waiting);
}

void fsmeta_digest_sum_release(struct fsmeta_digest_sum *sum)
{
	fsmeta_buffer_release(&sum->waiting);
}

/* ---- text ------------------------------------------------------------- */

static void store_hex(char *out, uint64_t value)
{
	for (int i = 15; i >= 0; i--) {
		out[i] = "0123456789abcdef"[value & 15];
		value >>= 4;
	}
}

void fsmeta_digest_format(char out[FSMETA_DIGEST_TEXT_BYTES], struct fsmeta_digest digest)
{
	store_hex(out, digest.high);
	store_hex(out + 16, digest.low);
	out[32] = '\0';
}

bool fsmeta_digest_parse(struct fsmeta_digest *out, const char *text)
{
	unsigned char bytes[16];
	uint64_t high, low;

	if (!fsmeta_text_parse_hex(bytes, sizeof(bytes), text, strlen(text)))
		return false;
	memcpy(&high, bytes, sizeof(high));
	memcpy(&low, bytes + sizeof(high), sizeof(low));
	*out = (struct fsmeta_digest){.low = be64toh(low), .high = be64toh(high)};
	return true;
}
