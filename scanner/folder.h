/*
 * One folder, read: its names in canonical order, and chunk by chunk what
 * statx(2) says about them.
 *
 * Nothing here knows what comes before or after the folder in a walk, and
 * nothing is shared: a thread with a reader of its own may list any folder, and
 * several threads may read different chunks of the same listed folder at once.
 * Descriptors belong to the caller.  What the file system refuses is data in the
 * result, never a failure; functions fail for memory or on request alone.
 */
#ifndef FSMETA_SCANNER_FOLDER_H
#define FSMETA_SCANNER_FOLDER_H

#include "base/error.h"
#include "base/memory.h"
#include "format/entry.h"
#include "scanner/scanner.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	/** Records of a chunk: enough to share out, small enough to keep at every depth. */
	FSMETA_FOLDER_CHUNK_RECORDS = 256,
};

/** What one statx(2) said, and a link's target.  Values without their bit are 0. */
struct fsmeta_folder_record {
	int64_t mtime_seconds;
	int64_t ctime_seconds;
	int64_t btime_seconds;
	uint64_t size;
	uint64_t allocated;
	uint64_t inode;
	/** st_dev; where `error` is set and `fields` is 0 this is not known. */
	uint64_t device;
	/** As in /proc/self/mountinfo; 0 where the kernel does not tell. */
	uint64_t mount_id;
	uint32_t mtime_nanoseconds;
	uint32_t ctime_nanoseconds;
	uint32_t btime_nanoseconds;
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint32_t rdev_major;
	uint32_t rdev_minor;
	/** Place of the link's target in the chunk's `targets`. */
	uint32_t target_offset;
	uint32_t target_length;
	/** enum fsmeta_field bits that are known, whether wanted or not. */
	uint16_t fields;
	/** errno of what could not be read about it, else 0. */
	uint16_t error;
	/** Permission bits, 07777. */
	uint16_t mode;
	/** enum fsmeta_type. */
	uint8_t type;
	/** Vanished between listing and statx, or listed twice: to be left out. */
	bool gone;
	/** Looking into it would mount something. */
	bool automount;
};

/** One name of a listing, 16 bytes. */
struct fsmeta_folder_name {
	/** Eight bytes of the name, big-endian; which ones only the sort knows. */
	uint64_t key;
	/** Where it stands in the listing's `names`, NUL-terminated. */
	uint64_t offset : 48;
	uint64_t length : 12;
	/** d_type of getdents64(2). */
	uint64_t d_type : 4;
};

/** The listing of one folder.  Zero-initialised = empty. */
struct fsmeta_folder {
	/** In canonical order; `count` of them. */
	struct fsmeta_folder_name *sorted;
	size_t count;
	size_t capacity;
	/** All names, each with a NUL behind it, in the order of the file system. */
	struct fsmeta_buffer names;
	/** errno that makes the listing partial, else 0; the names before it are there. */
	int error;
	/** mtime or ctime moved while the names were read. */
	bool changed;
	/** Suspended: names are still to be read, and those that are there are not sorted. */
	bool suspended;
};

/** Records of a run of names of a listing.  Zero-initialised = empty. */
struct fsmeta_folder_chunk {
	/** Index of the first one in the listing. */
	size_t first;
	uint32_t count;
	/** How many of them are folders. */
	uint32_t folders;
	uint32_t capacity;
	struct fsmeta_folder_record *records;
	struct fsmeta_buffer targets;
};

/** What is to become of a folder that is being read. */
enum fsmeta_folder_pace {
	FSMETA_FOLDER_GO_ON = 0,
	/** Leave the listing where it is; goes for fsmeta_folder_list() alone. */
	FSMETA_FOLDER_SUSPEND = 1,
	FSMETA_FOLDER_STOP = 2,
};

/** What one thread needs to read folders; reused from folder to folder. */
struct fsmeta_folder_reader {
	/** enum fsmeta_field bits that are wanted; links are only read for their target's sake. */
	uint32_t field_mask;
	/** *Borrowed*; see struct fsmeta_scan_options. */
	const struct fsmeta_scan_hidden *hidden;
	size_t hidden_count;
	const volatile sig_atomic_t *stop;
	/**
	 * Asked now and then while a folder is read; `listing` is what is listed so far,
	 * NULL while records are read.  NULL = always go on.
	 */
	enum fsmeta_folder_pace (*pace)(void *payload, const struct fsmeta_folder *listing);
	void *payload;
	/** Raw getdents64(2) output. */
	void *entries;
	/** Cleared once O_NOATIME was refused on a folder of somebody else. */
	bool may_keep_atime;
};

/** Borrows what `options` points to until release.  0 or FSMETA_E_MEMORY. */
int fsmeta_folder_reader_init(struct fsmeta_folder_reader *reader, uint32_t field_mask,
    const struct fsmeta_scan_options *options);
void fsmeta_folder_reader_release(struct fsmeta_folder_reader *reader);

void fsmeta_folder_release(struct fsmeta_folder *folder);

/** Bytes that a listing takes. */
size_t fsmeta_folder_held_bytes(const struct fsmeta_folder *folder);

/**
 * Moves what is in `from` to `to`, whose old content is freed, in as little memory as it
 * takes; where it is small `from` keeps its own.  0, or FSMETA_E_MEMORY and `to` is empty.
 */
int fsmeta_folder_move(struct fsmeta_folder *to, struct fsmeta_folder *from);

/** True where some name in the folder that `self` describes is to be left out as hidden. */
bool fsmeta_folder_hides(
    const struct fsmeta_folder_reader *reader, const struct fsmeta_folder_record *self);

/** Forgets what is listed; memory is kept for the next listing. */
void fsmeta_folder_clear(struct fsmeta_folder *folder);

/**
 * Appends a sub-folder's name to a listing that is made without asking the disk; it has to
 * come behind those that are there.  0 or FSMETA_E_MEMORY.
 */
int fsmeta_folder_add(struct fsmeta_folder *folder, const char *name, size_t length);

void fsmeta_folder_chunk_release(struct fsmeta_folder_chunk *chunk);

/**
 * Opens folder `name` in `folder_fd` for listing: no link is followed, no atime
 * changed where that is allowed, nothing waited for.  `owner` is its uid where
 * known, else -1.  A descriptor, *owned* by the caller, or -1 with errno.
 */
int fsmeta_folder_open(
    struct fsmeta_folder_reader *reader, int folder_fd, const char *name, int64_t owner);

/**
 * statx(2) of `name` in `fd`, or of `fd` itself where name is "".  Never follows
 * a link, never mounts anything.  0 or an errno, and `record` is then zeroed.
 */
int fsmeta_folder_identify(struct fsmeta_folder_record *record, int fd, const char *name);

/**
 * Lists the folder behind `fd`, which stands at its beginning, into `folder`,
 * whose old content is forgotten and whose memory is reused.  `self` is what
 * identify said about it just before.  Names longer than `name_limit` bytes are
 * left out and make the listing partial with ENAMETOOLONG.  A suspended one is gone
 * on with where it was; `fd` has to be the same.
 * 0, 1 where it was suspended, FSMETA_E_MEMORY or FSMETA_E_STOPPED.
 */
int fsmeta_folder_list(struct fsmeta_folder *folder, struct fsmeta_folder_reader *reader, int fd,
    const struct fsmeta_folder_record *self, size_t name_limit, struct fsmeta_error *error);

/**
 * Reads the records of up to FSMETA_FOLDER_CHUNK_RECORDS names from index
 * `first` on into `chunk`, whose old content is forgotten.  Where the folder
 * cannot be reached any more `lost` is the errno that all of them get.
 * 0, FSMETA_E_MEMORY or FSMETA_E_STOPPED.
 */
int fsmeta_folder_read(struct fsmeta_folder_chunk *chunk, struct fsmeta_folder_reader *reader,
    const struct fsmeta_folder *folder, int fd, int lost, size_t first, struct fsmeta_error *error);

/** The name at index `at` of the listing, NUL-terminated, *borrowed* from it. */
static inline const char *fsmeta_folder_name(
    const struct fsmeta_folder *folder, size_t at, size_t *length)
{
	*length = folder->sorted[at].length;
	return (const char *)folder->names.data + folder->sorted[at].offset;
}

/**
 * For a loop that is at index `at`: has the processor fetch a name that will be needed soon.
 * In order of names they lie all over the listing.
 */
static inline void fsmeta_folder_prefetch(const struct fsmeta_folder *folder, size_t at)
{
	enum {
		AHEAD = 3
	};

	if (at + AHEAD < folder->count)
		__builtin_prefetch(folder->names.data + folder->sorted[at + AHEAD].offset);
}

#endif
