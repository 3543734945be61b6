/*
 * The entry: one folder, file, symlink or special file with its metadata, as
 * every part of fsmeta hands it to every other.
 */
#ifndef FSMETA_FORMAT_ENTRY_H
#define FSMETA_FORMAT_ENTRY_H

#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** What an entry is.  The numbers are those of the stream and of the database. */
enum fsmeta_type {
	FSMETA_TYPE_FILE = 1,
	FSMETA_TYPE_FOLDER = 2,
	FSMETA_TYPE_SYMLINK = 3,
	FSMETA_TYPE_FIFO = 4,
	FSMETA_TYPE_SOCKET = 5,
	FSMETA_TYPE_BLOCK = 6,
	FSMETA_TYPE_CHAR = 7,
};

/**
 * Fields, as bits of a mask.  A mask says which fields a source has at all, or
 * which an entry has; absent is not zero.  Type, name, flags and error are
 * always there and have no bit that could be off.  The numbers are those of the
 * stream and of the database.
 */
enum fsmeta_field {
	FSMETA_FIELD_SIZE = 1 << 0,
	FSMETA_FIELD_MTIME = 1 << 1,
	FSMETA_FIELD_CTIME = 1 << 2,
	FSMETA_FIELD_BTIME = 1 << 3,
	FSMETA_FIELD_MODE = 1 << 4,
	FSMETA_FIELD_UID = 1 << 5,
	FSMETA_FIELD_GID = 1 << 6,
	FSMETA_FIELD_DEVICE = 1 << 7,
	FSMETA_FIELD_INODE = 1 << 8,
	FSMETA_FIELD_NLINK = 1 << 9,
	FSMETA_FIELD_ALLOCATED = 1 << 10,
	FSMETA_FIELD_RDEV = 1 << 11,
	FSMETA_FIELD_TARGET = 1 << 12,
	FSMETA_FIELD_HASH = 1 << 13,
	/** In change masks only: flags or error differ. */
	FSMETA_FIELD_FLAGS = 1 << 14,
};

enum {
	/** `--fields core`. */
	FSMETA_FIELDS_CORE = FSMETA_FIELD_SIZE | FSMETA_FIELD_MTIME | FSMETA_FIELD_MODE |
			     FSMETA_FIELD_UID | FSMETA_FIELD_GID | FSMETA_FIELD_RDEV |
			     FSMETA_FIELD_TARGET,
	/** All that a file system keeps; no content hash. */
	FSMETA_FIELDS_ALL = FSMETA_FIELDS_CORE | FSMETA_FIELD_CTIME | FSMETA_FIELD_BTIME |
			    FSMETA_FIELD_DEVICE | FSMETA_FIELD_INODE | FSMETA_FIELD_NLINK |
			    FSMETA_FIELD_ALLOCATED,
	/** Every bit that may stand in a source's mask. */
	FSMETA_FIELDS_KNOWN = FSMETA_FIELDS_ALL | FSMETA_FIELD_HASH,
	/** What a diff reports by default: for files … and for folders. */
	FSMETA_FIELDS_REPORTED_FILE = FSMETA_FIELDS_CORE | FSMETA_FIELD_HASH,
	FSMETA_FIELDS_REPORTED_FOLDER = FSMETA_FIELD_MODE | FSMETA_FIELD_UID | FSMETA_FIELD_GID,
};

/** Facts about how an entry was seen; part of the stored state. */
enum fsmeta_entry_flag {
	/**
	 * The folder could not be listed, or the entry's own metadata could not be
	 * read; `error` says why.  What is below is unknown, not absent.
	 */
	FSMETA_FLAG_UNREADABLE = 1 << 0,
	/** A folder on another file system, which was not entered. */
	FSMETA_FLAG_OTHER_FILESYSTEM = 1 << 1,
	/** The folder changed while it was being listed. */
	FSMETA_FLAG_CHANGED_WHILE_READ = 1 << 2,
};

/** Content hash algorithms.  The numbers are those of stream and database. */
enum fsmeta_hash_algorithm {
	FSMETA_HASH_NONE = 0,
	/** XXH3-128, 16 bytes, canonical (big-endian) form. */
	FSMETA_HASH_XXH3 = 1,
	/** SHA-256, 32 bytes. */
	FSMETA_HASH_SHA256 = 2,
};

enum {
	FSMETA_HASH_MAX_BYTES = 32,
	/** Longest symlink target accepted from any input, in bytes. */
	FSMETA_TARGET_MAX_BYTES = 65536,
	/** Largest errno accepted from any input. */
	FSMETA_ERRNO_MAX = 4095,
	/** `device` of an entry without FSMETA_FIELD_DEVICE. */
	FSMETA_DEVICE_NONE = UINT32_MAX,
};

/**
 * One entry.  All pointers are *borrowed* from whoever hands it out; a cursor's
 * entry lives until the next call on that cursor.  A value whose bit is not in
 * `fields` is zero and means nothing.
 */
struct fsmeta_entry {
	/** Path relative to the root, without NUL guarantee beyond length; "" is the root. */
	const char *path;
	size_t path_length;
	/** Last component, points into path. */
	const char *name;
	size_t name_length;
	/** Number of components; the root has 0. */
	uint32_t depth;
	enum fsmeta_type type;
	/** Which fields this entry has: enum fsmeta_field bits. */
	uint32_t fields;
	/** enum fsmeta_entry_flag bits. */
	uint32_t flags;
	/** errno with FSMETA_FLAG_UNREADABLE, else 0. */
	int error;
	/** Stable or ordinal id (the source says which); 0 = none. */
	uint64_t id;
	/** Apparent size in bytes. */
	uint64_t size;
	struct fsmeta_time mtime;
	struct fsmeta_time ctime;
	struct fsmeta_time btime;
	/** Permission bits with set-id and sticky, 07777; no type bits. */
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	/** Index into the source's table of file systems. */
	uint32_t device;
	uint64_t inode;
	uint64_t nlink;
	/** Bytes on the disk (512-byte blocks times 512). */
	uint64_t allocated;
	/** Device number of block and char entries. */
	uint32_t rdev_major;
	uint32_t rdev_minor;
	/** Symlink target, raw bytes; NULL unless FSMETA_FIELD_TARGET. */
	const char *target;
	size_t target_length;
	enum fsmeta_hash_algorithm hash_algorithm;
	/** fsmeta_hash_bytes(hash_algorithm) bytes count. */
	unsigned char hash[FSMETA_HASH_MAX_BYTES];
	/**
	 * First generation since which this entry is only carried, because the
	 * scans could not or were not asked to look; 0 = seen.
	 */
	uint64_t unknown_since;
};

/**
 * True where the entry says that something was not seen: it could not be read or was
 * not entered, or it is only carried.
 */
static inline bool fsmeta_entry_is_unseen(const struct fsmeta_entry *entry)
{
	return entry->flags & (FSMETA_FLAG_UNREADABLE | FSMETA_FLAG_OTHER_FILESYSTEM) ||
	       entry->unknown_since;
}

/** Bytes of a hash: 0, 16 or 32. */
size_t fsmeta_hash_bytes(enum fsmeta_hash_algorithm algorithm);

/** "xxh3", "sha256"; "none" for none; NULL for a number that is none of them. */
const char *fsmeta_hash_algorithm_name(enum fsmeta_hash_algorithm algorithm);

/** The reverse; false for a name that is none of them. */
bool fsmeta_hash_algorithm_from_name(enum fsmeta_hash_algorithm *out, const char *name);

/** "file", "folder", "symlink", "fifo", "socket", "block", "char"; NULL otherwise. */
const char *fsmeta_type_name(enum fsmeta_type type);

/** Type from st_mode's S_IFMT bits; 0 for none that we know. */
enum fsmeta_type fsmeta_type_from_mode(uint32_t st_mode);

/**
 * Key of a single field bit as listings write it ("size", "mtime", "dev", …;
 * "error" for FSMETA_FIELD_FLAGS); NULL for anything else.
 */
const char *fsmeta_field_name(uint32_t field);

/** Field bit of a key; 0 for none. */
uint32_t fsmeta_field_from_name(const char *name, size_t length);

/**
 * Parses "core", "all", or comma-separated keys, also mixed ("core,inode").
 * "error" (FSMETA_FIELD_FLAGS) is accepted; what takes a mask of stored fields
 * masks it off.  0 or FSMETA_E_USAGE naming the unknown key; an empty key is one.
 */
int fsmeta_fields_parse(uint32_t *out, const char *text, struct fsmeta_error *error);

/**
 * The fields that an entry of `type` can have at all: target only for symlinks,
 * rdev only for devices, hash only for files; 0 for a number that is no type.
 */
static inline uint32_t fsmeta_fields_of_type(enum fsmeta_type type)
{
	const uint32_t common =
	    FSMETA_FIELDS_KNOWN &
	    ~(uint32_t)(FSMETA_FIELD_TARGET | FSMETA_FIELD_RDEV | FSMETA_FIELD_HASH);

	switch (type) {
	case FSMETA_TYPE_FILE:
		return common | FSMETA_FIELD_HASH;
	case FSMETA_TYPE_SYMLINK:
		return common | FSMETA_FIELD_TARGET;
	case FSMETA_TYPE_BLOCK:
	case FSMETA_TYPE_CHAR:
		return common | FSMETA_FIELD_RDEV;
	case FSMETA_TYPE_FOLDER:
	case FSMETA_TYPE_FIFO:
	case FSMETA_TYPE_SOCKET:
		return common;
	}
	return 0;
}

/**
 * The fields out of `mask` in which two entries of the same type differ; a
 * field that only one of them has differs; FSMETA_FIELD_FLAGS where flags or
 * error differ and `mask` has that bit.  Id and unknown_since are never compared.
 * `device_map`: for b's device index the equal index on a's side (see
 * fsmeta_batch_source_map_filesystems()), NULL = same table; `device_map_count`
 * its length; an index beyond it differs.
 */
uint32_t fsmeta_entry_differences(const struct fsmeta_entry *a, const struct fsmeta_entry *b,
    uint32_t mask, const uint32_t *device_map, size_t device_map_count);

#endif
