/*
 * Migration: a file of an older schema becomes one of the newest.
 *
 * Reading does not need it: whoever reads asks connection->schema_version and does
 * without what came later.
 */
#ifndef FSMETA_DB_MIGRATE_H
#define FSMETA_DB_MIGRATE_H

#include "db/connection.h"

/**
 * Brings the file to FSMETA_DB_SCHEMA_VERSION.  To be called under the write lock
 * (after BEGIN IMMEDIATE) before anything is written; does nothing, and costs next
 * to nothing, where the file is there already.  What it does commits or rolls back
 * with the caller's transaction, and connection->schema_version keeps its value.
 * FSMETA_E_CORRUPT, FSMETA_E_UNSUPPORTED, FSMETA_E_SYSTEM (no space).
 */
int fsmeta_migrate(const struct fsmeta_connection *connection, struct fsmeta_error *error);

#endif
