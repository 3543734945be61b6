/*
 * A spool: bytes that are appended now and read again later, in memory up to a
 * bound and in an unnamed temporary file beyond it.
 *
 * Used for what cannot be decided until more has been seen (the totals of a
 * removed folder, moves) and for what must not hold a database lock while it is
 * collected.  One thread at a time.
 */
#ifndef FSMETA_BASE_SPOOL_H
#define FSMETA_BASE_SPOOL_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct fsmeta_spool;

/**
 * A new, empty spool, *owned* by the caller.  `memory_bytes` is the bound (0 =
 * the default, 16 MiB).  `folder` is where a temporary file would be made with
 * O_TMPFILE (or made and unlinked at once); NULL = $TMPDIR, else /var/tmp, else
 * /tmp.  No file exists before the bound is passed.
 */
int fsmeta_spool_new(
    struct fsmeta_spool **out, size_t memory_bytes, const char *folder, struct fsmeta_error *error);

/** NULL is allowed. */
void fsmeta_spool_free(struct fsmeta_spool *spool);

/** Appends; *offset (may be NULL) receives where it begins. */
int fsmeta_spool_append(struct fsmeta_spool *spool, const void *bytes, size_t size,
    uint64_t *offset, struct fsmeta_error *error);

/** Overwrites bytes that were appended before; beyond the end is FSMETA_E_INTERNAL. */
int fsmeta_spool_patch(struct fsmeta_spool *spool, uint64_t offset, const void *bytes, size_t size,
    struct fsmeta_error *error);

/** Reads exactly `size` bytes; beyond the end is FSMETA_E_INTERNAL. */
int fsmeta_spool_read(struct fsmeta_spool *spool, uint64_t offset, void *bytes, size_t size,
    struct fsmeta_error *error);

/** Bytes appended so far. */
uint64_t fsmeta_spool_size(const struct fsmeta_spool *spool);

#endif
