/*
 * BatchSource: where a scan comes from, what it speaks about, and what it
 * counted.  Stored as `source.json` beside a stream, inside the stream's trailer,
 * and in the database with every generation.
 */
#ifndef FSMETA_FORMAT_SOURCE_H
#define FSMETA_FORMAT_SOURCE_H

#include "base/memory.h"
#include "base/text.h"
#include "format/entry.h"

/** A 128-bit sum or hash, two's-complement arithmetic modulo 2^128. */
struct fsmeta_digest {
	uint64_t low;
	uint64_t high;
};

enum {
	/** 32 hexadecimal digits, most significant first, and NUL. */
	FSMETA_DIGEST_TEXT_BYTES = 33,
	FSMETA_FORMAT_VERSION = 1,
	/** Most roots of one kind that a scope lists; the rest is only counted. */
	FSMETA_SCOPE_LIST_MAX = 1000,
	/** Longest source.json accepted and written, in bytes. */
	FSMETA_SOURCE_JSON_MAX_BYTES = 16 << 20,
	/** Largest table of file systems. */
	FSMETA_FILESYSTEMS_MAX = 65536,
	/** Most owner names, and most group names, that are kept. */
	FSMETA_OWNERS_MAX = 65536,
	/** Most other ids of a source. */
	FSMETA_SOURCE_ALIASES_MAX = 1000,
};

/** One file system of a scan.  Its index in the table is `device` of entries. */
struct fsmeta_filesystem {
	/** UUID as the system prints it, "" if it has none.  Never NULL. */
	const char *uuid;
	/** "ext4", "vfat", "9p", …; "" if unknown. */
	const char *type;
	/** Volume label, "" if none or unknown. */
	const char *label;
};

/** What entries' ids are worth. */
enum fsmeta_id_kind {
	/** Position in the stream, from 1; good for nothing but lookups in it. */
	FSMETA_IDS_ORDINAL = 0,
	/** Given by a database, unique in the source for ever. */
	FSMETA_IDS_STABLE = 1,
};

/** Whether names that differ in case only are the same file on the source. */
enum fsmeta_path_case {
	FSMETA_PATH_CASE_UNKNOWN = 0,
	FSMETA_PATH_CASE_SENSITIVE = 1,
	FSMETA_PATH_CASE_INSENSITIVE = 2,
};

/** A place in the tree that was not looked into, and why. */
struct fsmeta_scope_root {
	/** Raw bytes, relative to the root. */
	const char *path;
	size_t path_length;
	/** errno of an unreadable folder; 0 for another file system. */
	int error;
};

/** A growing list of scope roots; strings live in the source's arena. */
struct fsmeta_scope_list {
	struct fsmeta_scope_root *roots;
	size_t count;
	/** How many there were, listed or not. */
	uint64_t total;
	size_t capacity;
};

/** A list of strings in the source's arena (raw bytes with lengths). */
struct fsmeta_string_list {
	const char **items;
	size_t *lengths;
	size_t count;
	size_t capacity;
};

/** Owner or group name of a numeric id. */
struct fsmeta_owner_name {
	uint32_t id;
	const char *name;
};

/** Counts over the entries of a scan or generation, the root included. */
struct fsmeta_totals {
	uint64_t entries;
	uint64_t files;
	uint64_t folders;
	uint64_t symlinks;
	/** FIFOs, sockets, devices. */
	uint64_t others;
	/** Sum of apparent sizes of regular files, each path counted. */
	uint64_t bytes;
	/** Sum of allocated bytes of regular files, each path counted. */
	uint64_t allocated;
	/** Entries with FSMETA_FLAG_UNREADABLE. */
	uint64_t unreadable;
	/** Entries that are only carried (unknown_since != 0). */
	uint64_t carried;
};

/**
 * A BatchSource.  All strings are NUL-terminated and live in `arena`, which the
 * struct owns; NULL means "not known".
 */
struct fsmeta_batch_source {
	struct fsmeta_arena arena;

	uint32_t format_version;
	const char *fsmeta_version;

	const char *machine_name;
	const char *machine_id;
	/** Where the file system of the root was mounted. */
	const char *mount_point;
	/** Path of the root below the mount point, "" = the mount point itself; raw bytes. */
	const char *root_path;
	/** Stable name of the source; see docs/source-identity.md. */
	const char *source_id;
	/** Other names under which the same source is known, in any order. */
	struct fsmeta_string_list source_aliases;

	/** The table moves when it grows: keep indices, not pointers. */
	struct fsmeta_filesystem *filesystems;
	size_t filesystem_count;
	size_t filesystem_capacity;

	/** Seconds = nanoseconds = 0: not known. */
	struct fsmeta_time started;
	struct fsmeta_time finished;

	/** 0 = not numbered: a plain scan. */
	uint64_t generation;
	/** Base of a delta, 0 = none. */
	uint64_t base_generation;
	bool has_state_digest;
	struct fsmeta_digest state_digest;
	bool has_base_state_digest;
	struct fsmeta_digest base_state_digest;

	/** Fields that the entries of this source may have. */
	uint32_t field_mask;
	enum fsmeta_hash_algorithm hash_algorithm;
	enum fsmeta_id_kind id_kind;
	enum fsmeta_path_case path_case;
	/** A scan that left out what it could prove unchanged. */
	bool quick;

	/** Scope: sub-trees asked for (none = everything) … */
	struct fsmeta_string_list subtrees;
	/** … patterns excluded, as given, in order … */
	struct fsmeta_string_list excludes;
	/** … whether file systems below the root were entered … */
	bool cross_filesystems;
	/** … what was found on others and not entered … */
	struct fsmeta_scope_list not_entered;
	/** … and what could not be read. */
	struct fsmeta_scope_list unreadable;

	/** Names of the ids that occur, in ascending order of the ids. */
	struct fsmeta_owner_name *owners;
	size_t owner_count;
	size_t owner_capacity;
	struct fsmeta_owner_name *groups;
	size_t group_count;
	size_t group_capacity;

	bool has_totals;
	struct fsmeta_totals totals;

	/**
	 * What from_json() met and this version does not know, for to_json() to
	 * write again; *owned*, may be NULL.  Its form is source_read.c's.
	 */
	struct json_t *unknown_keys;
};

/** Empty: format version 1, no mask, everything else unknown. */
void fsmeta_batch_source_init(struct fsmeta_batch_source *source);
void fsmeta_batch_source_release(struct fsmeta_batch_source *source);

/** Makes `out` (initialised here) a deep copy, unknown keys included.  0 or FSMETA_E_MEMORY. */
int fsmeta_batch_source_copy(
    struct fsmeta_batch_source *out, const struct fsmeta_batch_source *source);

/**
 * Appends the JSON text that docs/batchsource.md describes: indented, with a
 * final newline, keys in a fixed order, unknown keys at the end of the object in
 * which they were met.  Bytes that are no UTF-8 go into `…_b64` keys.  `out` is
 * as before on failure: FSMETA_E_MEMORY, FSMETA_E_LIMIT beyond
 * FSMETA_SOURCE_JSON_MAX_BYTES, FSMETA_E_INTERNAL for a NUL inside a string.
 */
int fsmeta_batch_source_to_json(struct fsmeta_buffer *out, const struct fsmeta_batch_source *source,
    struct fsmeta_error *error);

/** The same on one line, without spaces and newline: for what is no file of its own. */
int fsmeta_batch_source_to_compact_json(struct fsmeta_buffer *out,
    const struct fsmeta_batch_source *source, struct fsmeta_error *error);

/**
 * The compact text without what goes without saying: keys whose value is the one that is
 * read where the key is not there.
 */
int fsmeta_batch_source_to_terse_json(struct fsmeta_buffer *out,
    const struct fsmeta_batch_source *source, struct fsmeta_error *error);

/**
 * Initialises `out` from JSON.  FSMETA_E_FOREIGN where it is no BatchSource,
 * FSMETA_E_TRUNCATED where the text ends too early, FSMETA_E_CORRUPT (with the
 * offset) for any other wrong JSON and (with the key in the reason) for a wrong
 * value, FSMETA_E_LIMIT for too long a text or list, FSMETA_E_UNSUPPORTED for a
 * newer format version.  `out` is released on failure.  `path` is for messages
 * and may be NULL.
 */
int fsmeta_batch_source_from_json(struct fsmeta_batch_source *out, const char *text, size_t length,
    const char *path, struct fsmeta_error *error);

/** Copies `text` (NULL allowed) into the source's arena and sets *field. */
int fsmeta_batch_source_set(
    struct fsmeta_batch_source *source, const char **field, const char *text);

/**
 * Index of the file system with this UUID and type, added where it is new.
 * Two file systems are the same where UUID and type are equal; ones without a
 * UUID are the same where type and label are.  NULL counts as "".  0,
 * FSMETA_E_MEMORY, or FSMETA_E_LIMIT beyond FSMETA_FILESYSTEMS_MAX.
 */
int fsmeta_batch_source_add_filesystem(struct fsmeta_batch_source *source, const char *uuid,
    const char *type, const char *label, uint32_t *index);

/**
 * Appends to `not_entered` or `unreadable` of the same source; beyond
 * FSMETA_SCOPE_LIST_MAX only the total grows.  0 or FSMETA_E_MEMORY, as are all
 * below.
 */
int fsmeta_batch_source_add_root(struct fsmeta_batch_source *source, struct fsmeta_scope_list *list,
    const char *path, size_t path_length, int error_number);

/** Appends to `subtrees`, `excludes` or `source_aliases`. */
int fsmeta_batch_source_add_string(struct fsmeta_batch_source *source,
    struct fsmeta_string_list *list, const char *bytes, size_t length);

/**
 * Notes another name of the source; one that it has already, as its id or as an
 * alias, is ignored.  0, FSMETA_E_MEMORY, or FSMETA_E_LIMIT beyond
 * FSMETA_SOURCE_ALIASES_MAX.
 */
int fsmeta_batch_source_add_alias(struct fsmeta_batch_source *source, const char *alias);

/**
 * Notes the name of a uid (is_group false) or gid; a second note of it, and any
 * beyond FSMETA_OWNERS_MAX, is ignored.
 */
int fsmeta_batch_source_add_owner(
    struct fsmeta_batch_source *source, bool is_group, uint32_t id, const char *name);

/**
 * For every file system of `b` the index of the same one in `a`, UINT32_MAX
 * where a has none: map[i], i < b->filesystem_count.  *map is *new* (free()) and
 * never NULL on success.
 */
int fsmeta_batch_source_map_filesystems(
    uint32_t **map, const struct fsmeta_batch_source *a, const struct fsmeta_batch_source *b);

/** True where something of the tree was not looked at (unreadable, not entered, sub-trees). */
bool fsmeta_batch_source_is_partial(const struct fsmeta_batch_source *source);

/** Counts one entry in (sign +1) or out (sign -1). */
void fsmeta_totals_count(struct fsmeta_totals *totals, const struct fsmeta_entry *entry, int sign);

/** sum += term, sum -= term, modulo 2^128. */
static inline void fsmeta_digest_add(struct fsmeta_digest *sum, struct fsmeta_digest term)
{
	sum->high += term.high + __builtin_add_overflow(sum->low, term.low, &sum->low);
}

static inline void fsmeta_digest_subtract(struct fsmeta_digest *sum, struct fsmeta_digest term)
{
	sum->high -= term.high + __builtin_sub_overflow(sum->low, term.low, &sum->low);
}

static inline bool fsmeta_digest_equal(struct fsmeta_digest a, struct fsmeta_digest b)
{
	return a.low == b.low && a.high == b.high;
}

/** 32 lower-case hexadecimal digits, high half first, and NUL. */
void fsmeta_digest_format(char out[FSMETA_DIGEST_TEXT_BYTES], struct fsmeta_digest digest);

/** The reverse; false for anything but 32 hexadecimal digits. */
bool fsmeta_digest_parse(struct fsmeta_digest *out, const char *text);

/**
 * The term of one entry in the state digest: XXH3-128 of its path, type, flags,
 * error and those of its fields that are in `mask`, in the serialisation that
 * docs/state-digest.md gives.  The device enters by the identity of the file system
 * in `source`'s table, never by its index.  Id and unknown_since do not enter.
 * `scratch` is reused between calls and keeps the serialised bytes until the next
 * one.  0 or FSMETA_E_MEMORY.
 */
int fsmeta_entry_digest(struct fsmeta_digest *out, const struct fsmeta_entry *entry, uint32_t mask,
    const struct fsmeta_batch_source *source, struct fsmeta_buffer *scratch);

#endif
