/*
 * What the parts of db/ share: the handle, and generation rows.
 */
#ifndef FSMETA_DB_INTERNAL_H
#define FSMETA_DB_INTERNAL_H

#include "db/connection.h"
#include "db/db.h"

struct fsmeta_db {
	/** *Owned*. */
	char *path;
	enum fsmeta_db_mode mode;
	/** handle is NULL while the file does not exist. */
	struct fsmeta_connection connection;
	/** A cursor reads through the connection, within a transaction. */
	bool lent;
	/** A fsmeta_db_update is under way. */
	bool updating;
};

/**
 * Reads one generation row; *out is initialised here, to be released.
 * FSMETA_E_NOT_FOUND, FSMETA_E_CORRUPT.
 */
int fsmeta_generation_load(struct fsmeta_db_generation *out,
    const struct fsmeta_connection *connection, uint64_t number, struct fsmeta_error *error);

/** Inserts the row of `generation`, whose source holds digest and totals. */
int fsmeta_generation_store(const struct fsmeta_connection *connection,
    const struct fsmeta_db_generation *generation, int64_t first_id, struct fsmeta_error *error);

/** Newest kept generation, 0 where there is none. */
int fsmeta_generation_newest(
    uint64_t *number, const struct fsmeta_connection *connection, struct fsmeta_error *error);

#endif
