/*
 * Sorting more records than memory should hold.
 *
 *     add … add ─ finish ─ next … next
 *
 * A record is a fixed number of bytes and begins with its key, a uint64_t in the
 * machine's order; records come out by ascending key, those with equal keys in the
 * order in which they were added.  One thread at a time.
 */
#ifndef FSMETA_BASE_SORT_H
#define FSMETA_BASE_SORT_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct fsmeta_sort;

/**
 * A new, empty sort, *owned* by the caller.  `record_bytes`: a multiple of 8, at least 8.
 * `memory_bytes` is the bound (0 = the default, 16 MiB); what is beyond it lies in a
 * temporary file (base/spool.h).
 */
int fsmeta_sort_new(
    struct fsmeta_sort **out, size_t record_bytes, size_t memory_bytes, struct fsmeta_error *error);

/** NULL is allowed. */
void fsmeta_sort_free(struct fsmeta_sort *sort);

/** Adds a copy of a record.  Before finish. */
int fsmeta_sort_add(struct fsmeta_sort *sort, const void *record, struct fsmeta_error *error);

/** How many records were added. */
uint64_t fsmeta_sort_count(const struct fsmeta_sort *sort);

/** Nothing more is added. */
int fsmeta_sort_finish(struct fsmeta_sort *sort, struct fsmeta_error *error);

/** 1 with the next record, *borrowed* until the next call; 0 behind the last; or a code. */
int fsmeta_sort_next(struct fsmeta_sort *sort, const void **record, struct fsmeta_error *error);

/** Back in front of the first record.  After finish. */
int fsmeta_sort_rewind(struct fsmeta_sort *sort, struct fsmeta_error *error);

#endif
