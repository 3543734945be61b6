/*
 * Pruning: generations are taken out of the database, and what no other generation
 * needs goes with them.
 */
#ifndef FSMETA_DB_PRUNE_H
#define FSMETA_DB_PRUNE_H

#include "db/db.h"

/** What a prune took out. */
struct fsmeta_db_pruned {
	/** Generations that were kept before and are not now. */
	uint64_t generations;
	/** Rows of entries, past ones and places, that went with them. */
	uint64_t rows;
};

/**
 * Takes out `count` generations in one transaction; those that were pruned before
 * are passed over.  Their rows in the list of generations stay (times, totals,
 * digest), as pruned; all others read as before.  *out is set in every case.
 * FSMETA_E_NOT_FOUND for a number that there never was, FSMETA_E_REFUSED for the
 * newest kept one, FSMETA_E_STOPPED soon after *stop (may be NULL) is raised,
 * FSMETA_E_BUSY where somebody else writes.  On failure the database is as before.
 */
int fsmeta_db_prune(struct fsmeta_db_pruned *out, struct fsmeta_db *db, const uint64_t *numbers,
    size_t count, const volatile sig_atomic_t *stop, struct fsmeta_error *error);

/** How large the file was and is, and what of that is free for coming generations. */
struct fsmeta_db_space {
	uint64_t bytes_before;
	uint64_t bytes_after;
	uint64_t free_bytes;
};

/** The file's size as it is; bytes_before equals bytes_after. */
int fsmeta_db_get_space(
    struct fsmeta_db_space *out, struct fsmeta_db *db, struct fsmeta_error *error);

/**
 * Gives what is free inside the file back to the file system, where it is worth the
 * work (see prune.c).  The content is the same before and after, and after a
 * failure too; *out tells the sizes in every case.  FSMETA_E_SYSTEM where there is
 * too little room to rewrite the file, FSMETA_E_BUSY where somebody else writes,
 * FSMETA_E_STOPPED.
 */
int fsmeta_db_give_back(struct fsmeta_db_space *out, struct fsmeta_db *db,
    const volatile sig_atomic_t *stop, struct fsmeta_error *error);

#endif
