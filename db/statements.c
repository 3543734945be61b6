/*
 * The SQL of an update, in one place.
 */
#include "db/update.h"

#define FILE_COLUMNS FSMETA_ROW_COLUMNS FSMETA_ROW_CONTENT_COLUMNS
#define FILE_VALUES                                          \
	" INTO file (parent, name, id, since, " FILE_COLUMNS \
	") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)"
#define FOLDER_VALUES                                  \
	" INTO folder (id, since, " FSMETA_ROW_COLUMNS \
	") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"

static const char *const texts[STATEMENT_COUNT] = {
    [STATEMENT_INSERT_FILE] = "INSERT" FILE_VALUES,
    [STATEMENT_REPLACE_FILE] = "INSERT OR REPLACE" FILE_VALUES,
    [STATEMENT_SELECT_FILE] =
	"SELECT id, since, " FILE_COLUMNS " FROM file WHERE parent = ?1 AND name = ?2",
    [STATEMENT_KEEP_FILE] = "INSERT INTO file_past (parent, name, until, id, since, " FILE_COLUMNS
			    ") SELECT parent, name, ?3, id, since, " FILE_COLUMNS
			    " FROM file WHERE parent = ?1 AND name = ?2",
    [STATEMENT_DELETE_FILE] = "DELETE FROM file WHERE parent = ?1 AND name = ?2",
    [STATEMENT_SELECT_FILE_PAST] = "SELECT id, since, " FILE_COLUMNS
				   " FROM file_past WHERE parent = ?1 AND name = ?2 AND until = ?3",
    [STATEMENT_INSERT_FOLDER] = "INSERT" FOLDER_VALUES,
    [STATEMENT_REPLACE_FOLDER] = "INSERT OR REPLACE" FOLDER_VALUES,
    [STATEMENT_SELECT_FOLDER] =
	"SELECT id, since, " FSMETA_ROW_COLUMNS " FROM folder WHERE id = ?1",
    [STATEMENT_KEEP_FOLDER] =
	"INSERT INTO folder_past (id, until, since, " FSMETA_ROW_COLUMNS
	") SELECT id, ?2, since, " FSMETA_ROW_COLUMNS " FROM folder WHERE id = ?1",
    [STATEMENT_FIND_NOW] = "SELECT folder FROM folder_position"
			   " WHERE parent = ?1 AND name = ?2 AND until IS NULL",
    [STATEMENT_FIND_WAS] = "SELECT folder FROM folder_position WHERE parent = ?1 AND name = ?2"
			   " AND since <= ?3 AND (until IS NULL OR until > ?3)",
    [STATEMENT_PLACE_OF] = "SELECT ord, parent, depth, since, name FROM folder_position"
			   " WHERE folder = ?1 AND until IS NULL",
    [STATEMENT_SUB_FOLDERS] = "SELECT folder, name FROM folder_position"
			      " WHERE parent = ?1 AND name > ?2 AND until IS NULL"
			      " ORDER BY name LIMIT 1",
    [STATEMENT_COUNT_FILES] = "SELECT count(*) FROM file WHERE parent = ?1",
    [STATEMENT_INSERT_POSITION] =
	"INSERT INTO folder_position (ord, folder, parent, depth, since, name)"
	" VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [STATEMENT_END_POSITION] =
	"UPDATE folder_position SET until = ?2 WHERE folder = ?1 AND until IS NULL",
    [STATEMENT_DROP_POSITION] =
	"DELETE FROM folder_position WHERE folder = ?1 AND since = ?2 AND until = ?2",
    [STATEMENT_DROP_NEW_POSITION] =
	"DELETE FROM folder_position WHERE folder = ?1 AND since = ?2 AND until IS NULL",
    [STATEMENT_NEXT_SIBLING] = "SELECT ord FROM folder_position"
			       " WHERE parent = ?1 AND name > ?2 AND until IS NULL"
			       " ORDER BY name LIMIT 1",
    [STATEMENT_ORD_BEFORE] = "SELECT max(ord) FROM folder_position WHERE ord < ?1",
    [STATEMENT_ORD_AFTER] = "SELECT min(ord) FROM folder_position WHERE ord > ?1",
    [STATEMENT_ORD_LAST] = "SELECT max(ord) FROM folder_position",
    [STATEMENT_ORD_COUNT] = "SELECT count(*) FROM folder_position WHERE ord BETWEEN ?1 AND ?2",
    [STATEMENT_ORD_READ] =
	"SELECT ord FROM folder_position WHERE ord BETWEEN ?1 AND ?2 ORDER BY ord",
    [STATEMENT_ORD_MOVE] = "UPDATE folder_position SET ord = ?2 WHERE ord = ?1",
    [STATEMENT_INSERT_ATTRIBUTES] = "INSERT INTO attributes (id, type, mode, uid, gid, filesystem)"
				    " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [STATEMENT_INSERT_FILESYSTEM] =
	"INSERT INTO filesystem (id, uuid, type, label) VALUES (?1, ?2, ?3, ?4)",
    /* What goes and what comes may do so at one place. */
    [STATEMENT_INSERT_CHANGE] =
	"INSERT OR IGNORE INTO change (generation, folder, name) VALUES (?1, ?2, ?3)",
    [STATEMENT_KEEP_CONTENT_READ] =
	"INSERT OR IGNORE INTO content_read (file, generation) VALUES (?1, ?2)",
    [STATEMENT_SET_CONTENT_READ] =
	"INSERT OR REPLACE INTO content_read (file, generation) VALUES (?1, ?2)",
    [STATEMENT_DROP_CONTENT_READ] = "DELETE FROM content_read WHERE file = ?1",
};

int fsmeta_update_statement(struct fsmeta_db_update *update, enum fsmeta_statement which,
    sqlite3_stmt **out, struct fsmeta_error *error)
{
	sqlite3_stmt **statement = &update->statements[which];
	int code = 0;

	if (*statement)
		sqlite3_reset(*statement);
	else
		code =
		    fsmeta_connection_prepare(statement, update->connection, texts[which], error);
	*out = *statement;
	return code;
}

int fsmeta_update_statement_integers(struct fsmeta_db_update *update, enum fsmeta_statement which,
    sqlite3_stmt **out, const int64_t *values, int count, struct fsmeta_error *error)
{
	int code = fsmeta_update_statement(update, which, out, error);

	for (int i = 0; i < count && !code; i++)
		sqlite3_bind_int64(*out, i + 1, values[i]);
	return code;
}

int fsmeta_update_query(struct fsmeta_db_update *update, enum fsmeta_statement which,
    const int64_t *values, int count, int64_t *out, struct fsmeta_error *error)
{
	sqlite3_stmt *statement;
	int code =
	    fsmeta_update_statement_integers(update, which, &statement, values, count, error);

	*out = 0;
	if (code)
		return code;
	code = fsmeta_connection_step(update->connection, statement, error);
	if (code > 0)
		*out = sqlite3_column_int64(statement, 0);
	sqlite3_reset(statement);
	return code < 0 ? code : 0;
}

int fsmeta_update_run(struct fsmeta_db_update *update, enum fsmeta_statement which,
    const int64_t *values, int count, struct fsmeta_error *error)
{
	sqlite3_stmt *statement;
	int code =
	    fsmeta_update_statement_integers(update, which, &statement, values, count, error);

	return code ? code : fsmeta_connection_run(update->connection, statement, error);
}

void fsmeta_update_finalize(struct fsmeta_db_update *update)
{
	for (int i = 0; i < STATEMENT_COUNT; i++) {
		sqlite3_finalize(update->statements[i]);
		update->statements[i] = NULL;
	}
}
