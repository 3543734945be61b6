/*
 * How much lies below a folder in some generation.
 */
#ifndef FSMETA_DB_BELOW_H
#define FSMETA_DB_BELOW_H

#include "db/db.h"

#include <signal.h>

/**
 * How many entries lie below a folder in a kept generation, and the sizes of the
 * regular files among them.  Takes time for each of them, except for the root, for
 * which the generation's totals say it.  FSMETA_E_STOPPED once *stop (may be NULL) is set.
 */
int fsmeta_db_count_below(struct fsmeta_db *db, uint64_t folder, uint64_t generation,
    uint64_t *entries, uint64_t *bytes, const volatile sig_atomic_t *stop,
    struct fsmeta_error *error);

#endif
