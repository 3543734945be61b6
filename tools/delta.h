/*
 * Deltas between databases: written from generations of one, applied to another,
 * listed.
 *
 *     generations k, k + 1 ── diff ──┐
 *     ids of the folders above ──────┼─► section k → k + 1
 *     unknown places of k + 1 ───────┘
 */
#ifndef FSMETA_TOOLS_DELTA_H
#define FSMETA_TOOLS_DELTA_H

#include "db/db.h"
#include "format/delta.h"
#include "tools/corruption.h"
#include "tools/output.h"

/**
 * Writes what leads from generation `since` to `until` of `db`, a section for every
 * kept generation, to `path` (a folder, or "-").  FSMETA_E_NOT_FOUND where there is
 * no kept generation `since`, or none behind it.
 */
int fsmeta_delta_export(struct fsmeta_db *db, uint64_t since, uint64_t until, const char *path,
    struct fsmeta_delta_summary *summary, struct fsmeta_error *error);

/**
 * The same, all but giving it its name: fsmeta_delta_output_commit() does that.  With an
 * `update` that is finished (else NULL) its generation is one of them, before it is
 * committed.
 */
int fsmeta_delta_prepare(struct fsmeta_delta_output **out, struct fsmeta_db *db,
    struct fsmeta_db_update *update, uint64_t since, uint64_t until, const char *path,
    struct fsmeta_error *error);

/**
 * Applies all sections in one transaction; *out (initialised here on success, to be
 * released) is the newest generation.  On failure the database is unchanged.  `corrupted` (may
 * be NULL) takes what one of the sections says is.
 */
int fsmeta_delta_import(struct fsmeta_db_generation *out, struct fsmeta_db *db,
    struct fsmeta_delta *delta, struct fsmeta_corruption *corrupted, struct fsmeta_error *error);

/** Prints the changes of every section as `diff` does, behind a line for the section. */
int fsmeta_delta_list(struct fsmeta_delta *delta, enum fsmeta_output_format format,
    uint32_t output_flags, struct fsmeta_error *error);

#endif
