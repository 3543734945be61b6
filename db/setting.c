/*
 * What somebody chose for a source, kept as properties of it.  Such choices are this
 * database's alone: they go with no export and no delta.
 */
#include "db/update.h"

static const char property[] = "max_removed";

int fsmeta_db_max_removed(struct fsmeta_db *db, double *percent, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	double kept;
	int code;

	if (!db->connection.handle)
		return 0;
	code = fsmeta_connection_prepare(
	    &statement, &db->connection, "SELECT value FROM source WHERE name = ?1", error);
	if (!code) {
		sqlite3_bind_text(statement, 1, property, -1, SQLITE_STATIC);
		code = fsmeta_connection_step(&db->connection, statement, error);
	}
	if (code > 0) {
		code = 0;
		kept = sqlite3_column_double(statement, 0);
		if (kept >= 0 && kept <= 100)
			*percent = kept;
		else
			code = fsmeta_connection_corrupt(&db->connection, error,
			    "its limit for removed entries is no percentage");
	}
	sqlite3_finalize(statement);
	return code;
}

int fsmeta_db_update_keep_max_removed(
    struct fsmeta_db_update *update, double percent, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_connection_prepare(&statement, update->connection,
	    "INSERT OR REPLACE INTO source (name, value) VALUES (?1, ?2)", error);

	if (!code) {
		sqlite3_bind_text(statement, 1, property, -1, SQLITE_STATIC);
		sqlite3_bind_double(statement, 2, percent);
		code = fsmeta_connection_run(update->connection, statement, error);
	}
	sqlite3_finalize(statement);
	return code;
}
