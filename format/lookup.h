/*
 * Single entries of a stream, by path or by id, without reading the whole: one batch is
 * decoded in the usual case, and none for a path that is not there where the stream has a
 * paths.idx.
 */
#ifndef FSMETA_FORMAT_LOOKUP_H
#define FSMETA_FORMAT_LOOKUP_H

#include "format/cursor.h"

struct fsmeta_lookup;

/**
 * Opens a stream, folder or bare file, *new*, to look things up in it.  Errors as of
 * fsmeta_stream_open_folder(), and FSMETA_E_REFUSED for what can only be read forward.
 *
 * A paths.idx beside it that is damaged, or another stream's, is not used; *ignored
 * (may be NULL) then says why, and has code 0 otherwise.
 */
int fsmeta_lookup_open(struct fsmeta_lookup **out, const char *path, struct fsmeta_error *ignored,
    struct fsmeta_error *error);

/**
 * Why the paths.idx is not used any more although it opened, *borrowed* until close: a page turned
 * out to be damaged, and the stream was asked instead.  NULL where that is not so.
 */
const struct fsmeta_error *fsmeta_lookup_index_damage(const struct fsmeta_lookup *lookup);

/** NULL is allowed. */
void fsmeta_lookup_close(struct fsmeta_lookup *lookup);

/** The stream's, *borrowed* until close. */
const struct fsmeta_batch_source *fsmeta_lookup_source(const struct fsmeta_lookup *lookup);

/**
 * 1 with *entry (*borrowed* until the next call) where the stream has this path, which
 * is valid; 0 where not; or a code as of a cursor.
 */
int fsmeta_lookup_path(struct fsmeta_lookup *lookup, const char *path, size_t length,
    const struct fsmeta_entry **entry, struct fsmeta_error *error);

/**
 * The same by id: a stable one, or, where the stream's are ordinal, a position from 1.
 */
int fsmeta_lookup_id(struct fsmeta_lookup *lookup, uint64_t id, const struct fsmeta_entry **entry,
    struct fsmeta_error *error);

/** Batches decoded so far, to see what it costs. */
uint64_t fsmeta_lookup_batches(const struct fsmeta_lookup *lookup);

#endif
