/*
 * Whether a scan is of the source that a database is about, and under which names
 * that source is known.  docs/source-identity.md says what names there are.
 */
#ifndef FSMETA_DB_IDENTITY_H
#define FSMETA_DB_IDENTITY_H

#include "db/connection.h"
#include "format/source.h"

/**
 * FSMETA_E_REFUSED, naming both, where `offered` is another source than the
 * database's.  `connection` holds at least one generation.
 */
int fsmeta_identity_check(const struct fsmeta_connection *connection,
    const struct fsmeta_batch_source *offered, struct fsmeta_error *error);

/**
 * Keeps the names of a scan that was accepted.  The first one's id, or one that is
 * made up where it has none, is the database's from then on; all else are aliases.
 */
int fsmeta_identity_store(const struct fsmeta_connection *connection,
    const struct fsmeta_batch_source *offered, struct fsmeta_error *error);

/**
 * Gives `source` the database's id and aliases in place of its own, so that
 * whoever gets it from here knows them all.
 */
int fsmeta_identity_load(struct fsmeta_batch_source *source,
    const struct fsmeta_connection *connection, struct fsmeta_error *error);

#endif
