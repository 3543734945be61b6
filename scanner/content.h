/*
 * What is in a file, as a hash of its content.
 *
 * A file is found below the root of a scan by its path, with no symbolic link followed in
 * any component, and read only if it is a regular one and what the scan has seen: the
 * same inode, size and time of modification, before it is read and after.  So a hash
 * belongs to the entry it stands beside, or there is none.
 *
 * Holes of sparse files are not read.  Where the kernel permits it atime stays as it is,
 * and what was read does not stay in the page cache at the cost of what others need.
 */
#ifndef FSMETA_SCANNER_CONTENT_H
#define FSMETA_SCANNER_CONTENT_H

#include "format/entry.h"
#include "scanner/rate.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

struct fsmeta_content_hash {
	enum fsmeta_hash_algorithm algorithm;
	/** fsmeta_hash_bytes(algorithm) of them count, the others are 0. */
	unsigned char bytes[FSMETA_HASH_MAX_BYTES];
};

static inline bool fsmeta_content_hash_equal(
    const struct fsmeta_content_hash *a, const struct fsmeta_content_hash *b)
{
	return a->algorithm == b->algorithm && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

enum fsmeta_content_outcome {
	/** The hash is that of the entry's content. */
	FSMETA_CONTENT_HASHED = 0,
	/**
	 * There is another file now, or none, or something that is no regular file, or it
	 * changed while it was read.
	 */
	FSMETA_CONTENT_CHANGED,
	/** Refused or broken; an errno says why. */
	FSMETA_CONTENT_UNREADABLE,
	/** The stop flag was set. */
	FSMETA_CONTENT_STOPPED,
};

/** Bytes a second for all readers that share it. */
struct fsmeta_content_rate {
	struct fsmeta_rate rate;
	pthread_mutex_t lock;
};

struct fsmeta_content_options {
	/** Folder that paths are relative to; *borrowed*. */
	int root_fd;
	enum fsmeta_hash_algorithm algorithm;
	/** Most bytes a second; NULL = any number.  *Borrowed*. */
	struct fsmeta_content_rate *rate;
	/** When it becomes non-zero reading ends, also within a file.  May be NULL. */
	const volatile sig_atomic_t *stop;
	/** The same by another thread, which sets it atomically.  May be NULL. */
	const bool *give_up;
};

/** Reads one file after the other; one thread at a time. */
struct fsmeta_content_reader;

/**
 * *new*.  FSMETA_E_MEMORY; FSMETA_E_UNSUPPORTED where the library for SHA-256 (libcrypto, loaded
 * when it is first asked for) is not there.
 */
int fsmeta_content_reader_new(struct fsmeta_content_reader **out,
    const struct fsmeta_content_options *options, struct fsmeta_error *error);

/** NULL is allowed. */
void fsmeta_content_reader_free(struct fsmeta_content_reader *reader);

/**
 * Hashes the content of the file that `entry` describes: of its fields size and mtime must
 * be there, and inode is compared where it is.  `from_disk`: what the page cache has of it
 * is dropped first where that can be, so that what is read is what the disk has.
 * *error_number is an errno with UNREADABLE, else 0.
 */
enum fsmeta_content_outcome fsmeta_content_read(struct fsmeta_content_reader *reader,
    const struct fsmeta_entry *entry, bool from_disk, struct fsmeta_content_hash *hash,
    int *error_number);

/** The hash of an empty content.  Errors as those of fsmeta_content_reader_new(). */
int fsmeta_content_hash_of_nothing(struct fsmeta_content_hash *out,
    enum fsmeta_hash_algorithm algorithm, struct fsmeta_error *error);

/** Bytes read from files so far, holes left out. */
uint64_t fsmeta_content_bytes_read(const struct fsmeta_content_reader *reader);

#endif
