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
	FSMETA_DB_SCHEMA_VERSION = 2,
	FSMETA_SCHEMA_VIEW_COUNT = 7,
};

/** A table, index or view. */
struct fsmeta_schema_object {
	/** The first version of the schema that has it. */
	int since_version;
	const char *name;
	const char *sql;
};

/** Those of the newest version, each behind what it reads; views.c. */
extern const struct fsmeta_schema_object fsmeta_schema_views[FSMETA_SCHEMA_VIEW_COUNT];

/** Makes tables and views in an empty file; indexes follow when it is filled. */
int fsmeta_schema_create(const struct fsmeta_connection *connection, struct fsmeta_error *error);

/** Makes the indexes. */
int fsmeta_schema_create_indexes(
    const struct fsmeta_connection *connection, struct fsmeta_error *error);

/**
 * Within a transaction: adds the tables that came after `version`, makes the views
 * anew, and sets the version.  Filling the tables is for migrate.c.
 */
int fsmeta_schema_upgrade(
    const struct fsmeta_connection *connection, int version, struct fsmeta_error *error);

/** Whether we know this version: 0, FSMETA_E_UNSUPPORTED (newer) or FSMETA_E_CORRUPT (none). */
int fsmeta_schema_judge_version(int64_t version, const char *path, struct fsmeta_error *error);

/**
 * Reads connection->schema_version, and compares tables and indexes with what create
 * makes in that version, text for text, so that a crafted file cannot put something
 * else in their place.  FSMETA_E_CORRUPT, FSMETA_E_UNSUPPORTED.
 */
int fsmeta_schema_check(struct fsmeta_connection *connection, struct fsmeta_error *error);

#endif
