/*
 * Migration.
 *
 *     import, scan --db, prune:  BEGIN IMMEDIATE ─ migrate ─ their own work ─ COMMIT
 *
 * One transaction for both: a reader beside it sees the old file or the new one, and
 * a crash leaves the old one.  A file that is only read is never touched, so a
 * database on a read-only disk stays as it is and is read as it is.
 *
 * Version 2 has the table `change`.  The rows that there are tell it (changes.c).
 */
#include "db/migrate.h"

#include "db/changes.h"
#include "db/schema.h"

int fsmeta_migrate(const struct fsmeta_connection *connection, struct fsmeta_error *error)
{
	int64_t version;
	/* Not connection->schema_version: somebody else may have been faster. */
	int code = fsmeta_connection_integer(&version, connection, "PRAGMA user_version", 0, error);

	if (!code)
		code = fsmeta_schema_judge_version(version, connection->path, error);
	if (code || version == FSMETA_DB_SCHEMA_VERSION)
		return code;
	code = fsmeta_schema_upgrade(connection, (int)version, error);
	if (!code && version < 2)
		code = fsmeta_connection_execute(connection, fsmeta_changes_fill, error);
	return code;
}
