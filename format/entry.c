/*
 * Names and numbers of types and fields, and the comparison of two entries.
 *
 * fsmeta_entry_differences() is called once for every pair of entries that a
 * merge meets, and nearly all of them are equal.  So every fixed-width field is
 * compared whether it is masked or not, each result becomes one bit, and only
 * the finished word is masked: no branch depends on the data until the word is
 * known to hold something.
 *
 *     differing   one bit a field whose values are not equal
 *     both        the fields that both entries have, within the mask
 *     one         the fields that only one of them has, within the mask
 *
 *     result = (differing & both) | one
 *
 * A value whose bit is not set may be anything, since `both` removes it.  The
 * three that are not of fixed width (device, target, hash) follow, each only
 * where `both` has its bit.
 */
#include "format/entry.h"

#include <string.h>
#include <sys/stat.h>

size_t fsmeta_hash_bytes(enum fsmeta_hash_algorithm algorithm)
{
	switch (algorithm) {
	case FSMETA_HASH_NONE:
		return 0;
	case FSMETA_HASH_XXH3:
		return 16;
	case FSMETA_HASH_SHA256:
		return 32;
	}
	return 0;
}

const char *fsmeta_hash_algorithm_name(enum fsmeta_hash_algorithm algorithm)
{
	switch (algorithm) {
	case FSMETA_HASH_NONE:
		return "none";
	case FSMETA_HASH_XXH3:
		return "xxh3";
	case FSMETA_HASH_SHA256:
		return "sha256";
	}
	return NULL;
}

bool fsmeta_hash_algorithm_from_name(enum fsmeta_hash_algorithm *out, const char *name)
{
	static const enum fsmeta_hash_algorithm all[] = {
	    FSMETA_HASH_NONE, FSMETA_HASH_XXH3, FSMETA_HASH_SHA256};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (!strcmp(name, fsmeta_hash_algorithm_name(all[i]))) {
			*out = all[i];
			return true;
		}
	}
	return false;
}

const char *fsmeta_type_name(enum fsmeta_type type)
{
	switch (type) {
	case FSMETA_TYPE_FILE:
		return "file";
	case FSMETA_TYPE_FOLDER:
		return "folder";
	case FSMETA_TYPE_SYMLINK:
		return "symlink";
	case FSMETA_TYPE_FIFO:
		return "fifo";
	case FSMETA_TYPE_SOCKET:
		return "socket";
	case FSMETA_TYPE_BLOCK:
		return "block";
	case FSMETA_TYPE_CHAR:
		return "char";
	}
	return NULL;
}

enum fsmeta_type fsmeta_type_from_mode(uint32_t st_mode)
{
	switch (st_mode & S_IFMT) {
	case S_IFREG:
		return FSMETA_TYPE_FILE;
	case S_IFDIR:
		return FSMETA_TYPE_FOLDER;
	case S_IFLNK:
		return FSMETA_TYPE_SYMLINK;
	case S_IFIFO:
		return FSMETA_TYPE_FIFO;
	case S_IFSOCK:
		return FSMETA_TYPE_SOCKET;
	case S_IFBLK:
		return FSMETA_TYPE_BLOCK;
	case S_IFCHR:
		return FSMETA_TYPE_CHAR;
	}
	return (enum fsmeta_type)0;
}

/** Keys in the order of their bits. */
static const char *const field_names[] = {"size", "mtime", "ctime", "btime", "mode", "uid", "gid",
    "dev", "inode", "nlink", "allocated", "rdev", "target", "hash", "error"};

enum {
	FIELD_COUNT = sizeof(field_names) / sizeof(field_names[0]),
};

const char *fsmeta_field_name(uint32_t field)
{
	for (unsigned bit = 0; bit < FIELD_COUNT; bit++)
		if (field == UINT32_C(1) << bit)
			return field_names[bit];
	return NULL;
}

static bool is_word(const char *word, const char *text, size_t length)
{
	return strlen(word) == length && !memcmp(word, text, length);
}

uint32_t fsmeta_field_from_name(const char *name, size_t length)
{
	for (unsigned bit = 0; bit < FIELD_COUNT; bit++)
		if (is_word(field_names[bit], name, length))
			return UINT32_C(1) << bit;
	return 0;
}

/** Bits of one item of a field list; 0 for an unknown one. */
static uint32_t fields_from_word(const char *word, size_t length)
{
	if (is_word("core", word, length))
		return FSMETA_FIELDS_CORE;
	if (is_word("all", word, length))
		return FSMETA_FIELDS_ALL;
	return fsmeta_field_from_name(word, length);
}

int fsmeta_fields_parse(uint32_t *out, const char *text, struct fsmeta_error *error)
{
	uint32_t mask = 0;

	for (;;) {
		size_t length = strcspn(text, ",");
		uint32_t fields = fields_from_word(text, length);

		if (!fields)
			return fsmeta_error_set(error, FSMETA_E_USAGE, NULL,
			    "reading a list of fields", "unknown field '%.*s'",
			    (int)(length < 64 ? length : 64), text);
		mask |= fields;
		if (!text[length])
			break;
		text += length + 1;
	}
	*out = mask;
	return 0;
}

/** The field's bit where `differs`, without a branch. */
static inline uint32_t bit_where(uint32_t field, bool differs)
{
	return differs ? field : 0;
}

static inline bool time_differs(struct fsmeta_time a, struct fsmeta_time b)
{
	return (a.seconds != b.seconds) | (a.nanoseconds != b.nanoseconds);
}

/** Bits of the fields of fixed width whose values are not equal, and FSMETA_FIELD_FLAGS. */
static inline uint32_t fixed_differences(const struct fsmeta_entry *a, const struct fsmeta_entry *b)
{
	return bit_where(FSMETA_FIELD_SIZE, a->size != b->size) |
	       bit_where(FSMETA_FIELD_MTIME, time_differs(a->mtime, b->mtime)) |
	       bit_where(FSMETA_FIELD_CTIME, time_differs(a->ctime, b->ctime)) |
	       bit_where(FSMETA_FIELD_BTIME, time_differs(a->btime, b->btime)) |
	       bit_where(FSMETA_FIELD_MODE, a->mode != b->mode) |
	       bit_where(FSMETA_FIELD_UID, a->uid != b->uid) |
	       bit_where(FSMETA_FIELD_GID, a->gid != b->gid) |
	       bit_where(FSMETA_FIELD_INODE, a->inode != b->inode) |
	       bit_where(FSMETA_FIELD_NLINK, a->nlink != b->nlink) |
	       bit_where(FSMETA_FIELD_ALLOCATED, a->allocated != b->allocated) |
	       bit_where(FSMETA_FIELD_RDEV,
		   (a->rdev_major != b->rdev_major) | (a->rdev_minor != b->rdev_minor)) |
	       bit_where(FSMETA_FIELD_FLAGS, (a->flags != b->flags) | (a->error != b->error));
}

static bool device_differs(
    uint32_t a, uint32_t b, const uint32_t *device_map, size_t device_map_count)
{
	if (!device_map)
		return a != b;
	/* What a's side does not know maps to UINT32_MAX, which is nobody's index. */
	return b >= device_map_count || device_map[b] == UINT32_MAX || device_map[b] != a;
}

static bool target_differs(const struct fsmeta_entry *a, const struct fsmeta_entry *b)
{
	return a->target_length != b->target_length ||
	       (a->target_length && memcmp(a->target, b->target, a->target_length));
}

static bool hash_differs(const struct fsmeta_entry *a, const struct fsmeta_entry *b)
{
	return a->hash_algorithm != b->hash_algorithm ||
	       memcmp(a->hash, b->hash, fsmeta_hash_bytes(a->hash_algorithm));
}

uint32_t fsmeta_entry_differences(const struct fsmeta_entry *a, const struct fsmeta_entry *b,
    uint32_t mask, const uint32_t *device_map, size_t device_map_count)
{
	uint32_t both = ((a->fields & b->fields) | FSMETA_FIELD_FLAGS) & mask;
	uint32_t one = (a->fields ^ b->fields) & mask;
	uint32_t result = (fixed_differences(a, b) & both) | one;

	if ((both & FSMETA_FIELD_DEVICE) &&
	    device_differs(a->device, b->device, device_map, device_map_count))
		result |= FSMETA_FIELD_DEVICE;
	if ((both & FSMETA_FIELD_TARGET) && target_differs(a, b))
		result |= FSMETA_FIELD_TARGET;
	if ((both & FSMETA_FIELD_HASH) && hash_differs(a, b))
		result |= FSMETA_FIELD_HASH;
	return result;
}
