/*
 * paths.idx: CityHash64 of every path of a stream and its position in it, sorted by
 * hash, so that "no such path" is said without decoding a batch.  docs/format.md
 * section 8 is the byte-level document.  Internal to format/ but for the name.
 */
#ifndef FSMETA_FORMAT_PATH_INDEX_H
#define FSMETA_FORMAT_PATH_INDEX_H

#include "base/memory.h"
#include "format/source.h"

#include <signal.h>

#define FSMETA_PATH_INDEX_NAME "paths.idx"

/* ---- building --------------------------------------------------------- */

struct fsmeta_path_index_builder;

/**
 * An empty index in the making, *new*.  It takes at most some `memory_bytes` (0 = 16 MiB) and a
 * temporary file for what is more.
 */
int fsmeta_path_index_builder_new(
    struct fsmeta_path_index_builder **out, size_t memory_bytes, struct fsmeta_error *error);

/** NULL is allowed. */
void fsmeta_path_index_builder_free(struct fsmeta_path_index_builder *builder);

/** Adds the path of the next entry; the first has position 1. */
int fsmeta_path_index_builder_add(struct fsmeta_path_index_builder *builder, const char *path,
    size_t length, struct fsmeta_error *error);

/**
 * Writes the file to `fd`, bound to the stream whose trailer has this records digest.
 * Once; then only free.  `label` is for messages.
 */
int fsmeta_path_index_builder_write(struct fsmeta_path_index_builder *builder, int fd,
    const char *label, struct fsmeta_digest records_digest, struct fsmeta_error *error);

/* ---- reading ---------------------------------------------------------- */

struct fsmeta_path_index;

/**
 * Opens the index in the folder `folder_fd`, which must be that of a stream of so many
 * `entries` with this records digest.  `folder` is its path for messages.  *out is
 * NULL with 0 where the folder has none.  FSMETA_E_FOREIGN, FSMETA_E_UNSUPPORTED (newer
 * version), FSMETA_E_CORRUPT (damaged, or another stream's), with the path of the file.
 */
int fsmeta_path_index_open(struct fsmeta_path_index **out, int folder_fd, const char *folder,
    struct fsmeta_digest records_digest, uint64_t entries, struct fsmeta_error *error);

/** NULL is allowed. */
void fsmeta_path_index_close(struct fsmeta_path_index *index);

/**
 * 0 where the stream has no such path; 1 where it may have, and if so, mostly at
 * *position (may be NULL); FSMETA_E_CORRUPT.
 */
int fsmeta_path_index_find(struct fsmeta_path_index *index, const char *path, size_t length,
    uint64_t *position, struct fsmeta_error *error);

/** What a path at a position adds to the sum that verify() compares. */
struct fsmeta_digest fsmeta_path_index_term(const char *path, size_t length, uint64_t position);

/**
 * Reads everything: checksums, order, and that it holds exactly the paths and
 * positions whose terms sum up to `sum`.  FSMETA_E_CORRUPT, FSMETA_E_STOPPED.
 */
int fsmeta_path_index_verify(struct fsmeta_path_index *index, struct fsmeta_digest sum,
    const volatile sig_atomic_t *stop, struct fsmeta_error *error);

#endif
