/*
 * Migration.
 *
 *     import, scan --db, prune:  BEGIN IMMEDIATE ─ migrate ─ their own work ─ COMMIT
 *
 * One transaction for both: a reader beside it sees the old file or the new one, and
 * a crash leaves the old one.  A file that is only read is never touched, so a
 * database on a read-only disk stays as it is and is read as it is.
 *
 * Version 2 has the table `change`.  The rows that there are tell it: every since and
 * until is a change in that generation.  Three kinds leave no row, as they would not
 * have had one had they been written by version 2:
 *
 *     the first generation, which is compared with nothing
 *     what is new in a folder that is new itself (ids from first_id on are new)
 *     a folder that has the same parent and name before and after: it was taken
 *     along by one above it, which moved
 */
#include "db/migrate.h"

#include "db/schema.h"

/** `row` has a value in its column `since` that is not the first generation's. */
#define IS_LATER(row) row ".since > (SELECT min(number) FROM generation)"
/** The entry `id` came with generation `since` of `row`. */
#define IS_NEW(id, row) id " >= (SELECT first_id FROM generation WHERE number = " row ".since)"
/** There is another position of the folder, under the same parent and name. */
#define TAKEN_ALONG(condition)                                              \
	"EXISTS (SELECT 1 FROM folder_position q WHERE q.folder = p.folder" \
	" AND q.parent = p.parent AND q.name = p.name AND " condition ")"

static const char fill_changes[] =
    "INSERT OR IGNORE INTO change"
    " SELECT f.since, f.parent, f.name FROM file f WHERE " IS_LATER("f") " AND NOT (" IS_NEW(
	"f.id", "f") " AND " IS_NEW("f.parent",
	"f") ");"
	     "INSERT OR IGNORE INTO change"
	     " SELECT f.since, f.parent, f.name FROM file_past f WHERE " IS_LATER(
		 "f") " AND NOT (" IS_NEW("f.id", "f") " AND " IS_NEW("f.parent",
		 "f") ");"
		      "INSERT OR IGNORE INTO change SELECT until, parent, name FROM file_past;"
		      "INSERT OR IGNORE INTO change"
		      " SELECT f.since, f.id, x'' FROM folder f WHERE " IS_LATER(
			  "f") " AND NOT " IS_NEW("f.id",
			  "f") ";"
			       "INSERT OR IGNORE INTO change"
			       " SELECT f.since, f.id, x'' FROM folder_past f WHERE " IS_LATER(
				   "f") " AND NOT " IS_NEW("f.id",
				   "f") ";"
					"INSERT OR IGNORE INTO change SELECT until, id, x'' "
					"FROM folder_past;"
					"INSERT OR IGNORE INTO change"
					" SELECT p.since, p.folder, x'' FROM folder_position p "
					"WHERE " IS_LATER("p") " AND NOT (" IS_NEW(
					    "p.folder", "p") " AND " IS_NEW("p.parent",
					    "p") ")"
						 " AND NOT " TAKEN_ALONG(
						     "q.until = p.since") ";"
									  "INSERT OR IGNORE "
									  "INTO change"
									  " SELECT p.until, "
									  "p.folder, x'' FROM "
									  "folder_position p "
									  "WHERE p.until IS "
									  "NOT NULL"
									  " AND "
									  "NOT " TAKEN_ALONG(
									      "q.since = "
									      "p.until") ";";

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
		code = fsmeta_connection_execute(connection, fill_changes, error);
	return code;
}
