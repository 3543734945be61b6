/*
 * The contents that a generation knows, found by file instead of by path.
 *
 *     new (reads the generation once) ─ find … find ─ free
 *
 * A file that was renamed is not where the generation has it, but it has the inode, the size
 * and the times of modification and birth that it had: its hash goes with it.
 * docs/content-hashes.md says what follows from it.  One thread at a time.
 */
#ifndef FSMETA_TOOLS_KNOWN_CONTENTS_H
#define FSMETA_TOOLS_KNOWN_CONTENTS_H

#include "db/db.h"
#include "scanner/content.h"

#include <signal.h>

struct fsmeta_known_contents;

/**
 * Of all files that generation `number` of `db` has a hash of with this algorithm; it is read
 * to its end.  `stop` (may be NULL) is *borrowed* for that long.  *out is *new*, NULL on failure.
 * Errors: those of fsmeta_db_cursor() and of temporary files.
 */
int fsmeta_known_contents_new(struct fsmeta_known_contents **out, struct fsmeta_db *db,
    uint64_t number, enum fsmeta_hash_algorithm algorithm, const volatile sig_atomic_t *stop,
    struct fsmeta_error *error);

/** NULL is allowed. */
void fsmeta_known_contents_free(struct fsmeta_known_contents *known);

/** Whether the entry says enough about a file for it to be found. */
bool fsmeta_known_contents_can_find(
    const struct fsmeta_entry *entry, const struct fsmeta_batch_source *source);

/**
 * 1 with *hash where the generation has this file, wherever it was; 0 where it does not, or
 * has it with several hashes.  `source` has the entry's table of file systems.
 */
int fsmeta_known_contents_find(struct fsmeta_known_contents *known,
    const struct fsmeta_entry *entry, const struct fsmeta_batch_source *source,
    struct fsmeta_content_hash *hash, struct fsmeta_error *error);

#endif
