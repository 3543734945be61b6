/*
 * The schema of FsMetaDb.  docs/fsmetadb.md explains it.
 */
#ifndef FSMETA_DB_SCHEMA_H
#define FSMETA_DB_SCHEMA_H

#include "db/connection.h"

enum {
	/** "FSMD", PRAGMA application_id. */
	FSMETA_DB_APPLICATION_ID = 0x46534d44,
	/** PRAGMA user_version. */
	FSMETA_DB_SCHEMA_VERSION = 1,
	FSMETA_DB_PAGE_BYTES = 4096,
};

/** Makes tables and views in an empty file; indexes follow when it is filled. */
int fsmeta_schema_create(const struct fsmeta_connection *connection, struct fsmeta_error *error);

/** Makes the indexes. */
int fsmeta_schema_create_indexes(
    const struct fsmeta_connection *connection, struct fsmeta_error *error);

/**
 * Compares tables and indexes with what create makes, text for text, so that a
 * crafted file cannot put something else in their place.  FSMETA_E_CORRUPT.
 */
int fsmeta_schema_check(const struct fsmeta_connection *connection, struct fsmeta_error *error);

#endif
