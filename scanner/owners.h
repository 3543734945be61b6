/*
 * The distinct owners and groups of a scan, and their names on this machine.
 */
#ifndef FSMETA_SCANNER_OWNERS_H
#define FSMETA_SCANNER_OWNERS_H

#include "format/source.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	/** Most ids of one kind that are remembered; the ones beyond get no name. */
	FSMETA_OWNER_SET_MAX = 10000,
};

/** A set of ids, open addressing.  Zero-initialised = empty. */
struct fsmeta_owner_set {
	/** id + 1; 0 = free. */
	uint64_t *slots;
	/** A power of two, or 0. */
	uint32_t capacity;
	uint32_t count;
	/** The id + 1 that came last: most entries have the owner of their neighbour. */
	uint64_t last;
};

/** Do not call; see fsmeta_owner_set_add(). */
int fsmeta_owner_set_insert(struct fsmeta_owner_set *set, uint32_t id);

/** Remembers `id`.  0 or FSMETA_E_MEMORY. */
static inline int fsmeta_owner_set_add(struct fsmeta_owner_set *set, uint32_t id)
{
	return set->last == (uint64_t)id + 1 ? 0 : fsmeta_owner_set_insert(set, id);
}

void fsmeta_owner_set_release(struct fsmeta_owner_set *set);

/**
 * Asks the system for the name of every id, ascending, and notes those that
 * have one in `source`.  0 or FSMETA_E_MEMORY.
 */
int fsmeta_owner_set_resolve(
    const struct fsmeta_owner_set *set, struct fsmeta_batch_source *source, bool is_group);

#endif
