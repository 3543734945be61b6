/*
 * A state digest in the making, in two steps that two threads can share: one
 * writes down what every entry's term is made of, the other hashes it.  Internal to
 * format/.
 */
#ifndef FSMETA_FORMAT_DIGEST_SUM_H
#define FSMETA_FORMAT_DIGEST_SUM_H

#include "format/entry.h"
#include "format/source.h"

/** Zero-initialised = no entries. */
struct fsmeta_digest_sum {
	/** Sum of the terms hashed so far. */
	struct fsmeta_digest sum;
	/** Of each entry that waits: length (uint32_t), then its serialisation. */
	struct fsmeta_buffer waiting;
};

void fsmeta_digest_sum_release(struct fsmeta_digest_sum *sum);

/**
 * Writes an entry down; arguments as of fsmeta_entry_digest().  Where much waits
 * already it is hashed here.  0 or FSMETA_E_MEMORY.
 */
int fsmeta_digest_sum_add(struct fsmeta_digest_sum *sum, const struct fsmeta_entry *entry,
    uint32_t mask, const struct fsmeta_batch_source *source);

/** Hashes what waits; sum->sum is then that of all entries added. */
void fsmeta_digest_sum_hash(struct fsmeta_digest_sum *sum);

#endif
