/*
 * When the content of a file was read last.
 *
 * A row of `file` begins in the generation that brought its hash, and mostly that is when the
 * content was read.  Two things differ, and only they have a row in `content_read`:
 *
 *     chmod in generation 9      the row begins anew, the hash is taken over: 4, as before
 *     read again in 12, equal    no new row, since nothing changed: 12
 *
 * So a database whose files are hashed once pays nothing for it.
 *
 * Which are the oldest is asked of the files that live: below a folder that was removed rows
 * stay as they were, and have to be passed by, so the tree is gone down from its root.
 */
#include "db/update.h"

#include <math.h>
#include <stdlib.h>

static const char action[] = "choosing contents to be read again";

#define LIVE_FILES                                                               \
	"WITH RECURSIVE live (id) AS ("                                          \
	" SELECT folder FROM folder_position WHERE parent = 0 AND until IS NULL" \
	" UNION ALL"                                                             \
	" SELECT p.folder FROM live JOIN folder_position p"                      \
	" ON p.parent = live.id AND p.until IS NULL) "

static const char count_sql[] = LIVE_FILES
    "SELECT count(*) FROM live JOIN file f ON f.parent = live.id WHERE f.hash IS NOT NULL";

static const char oldest_sql[] =
    LIVE_FILES "SELECT f.id FROM live JOIN file f ON f.parent = live.id"
	       " LEFT JOIN content_read r ON r.file = f.id WHERE f.hash IS NOT NULL"
	       " ORDER BY coalesce(r.generation, f.since), f.id LIMIT ?1";

/** Without the table, in a file of version 1 that has not been migrated yet. */
static const char oldest_sql_v1[] =
    LIVE_FILES "SELECT f.id FROM live JOIN file f ON f.parent = live.id"
	       " WHERE f.hash IS NOT NULL ORDER BY f.since, f.id LIMIT ?1";

static int compare_ids(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

static uint64_t share_of(uint64_t count, double percent)
{
	double share = ceil((double)count * percent / 100);

	return share < (double)count ? (uint64_t)share : count;
}

int fsmeta_db_oldest_contents(
    uint64_t **ids, size_t *count, struct fsmeta_db *db, double percent, struct fsmeta_error *error)
{
	const struct fsmeta_connection *connection = &db->connection;
	const char *sql = connection->schema_version < 2 ? oldest_sql_v1 : oldest_sql;
	sqlite3_stmt *statement = NULL;
	uint64_t wanted;
	int64_t all = 0;
	int code = 0;

	*ids = NULL;
	*count = 0;
	if (connection->handle)
		code = fsmeta_connection_integer(&all, connection, count_sql, 0, error);
	wanted = share_of((uint64_t)all, percent);
	if (code || !wanted)
		return code;
	*ids = reallocarray(NULL, wanted, sizeof(**ids));
	if (!*ids)
		return fsmeta_error_set_memory(error, action);
	code = fsmeta_connection_prepare(&statement, connection, sql, error);
	if (!code)
		sqlite3_bind_int64(statement, 1, (int64_t)wanted);
	while (!code && *count < wanted &&
	       (code = fsmeta_connection_step(connection, statement, error)) > 0) {
		(*ids)[(*count)++] = (uint64_t)sqlite3_column_int64(statement, 0);
		code = 0;
	}
	sqlite3_finalize(statement);
	if (code < 0) {
		free(*ids);
		*ids = NULL;
		*count = 0;
		return code;
	}
	qsort(*ids, *count, sizeof(**ids), compare_ids);
	return 0;
}

int fsmeta_contents_keep(struct fsmeta_db_update *update, int64_t id, int64_t since,
    const struct fsmeta_entry *before, const struct fsmeta_entry *after, struct fsmeta_error *error)
{
	const int64_t values[] = {id, since};

	if (!(before->fields & FSMETA_FIELD_HASH))
		return 0;
	if (!fsmeta_entry_differences(before, after, FSMETA_FIELD_HASH, NULL, 0))
		return fsmeta_update_run(update, STATEMENT_KEEP_CONTENT_READ, values, 2, error);
	return fsmeta_update_run(update, STATEMENT_DROP_CONTENT_READ, values, 1, error);
}

int fsmeta_db_update_note_contents(
    struct fsmeta_db_update *update, const uint64_t *ids, size_t count, struct fsmeta_error *error)
{
	int code = 0;

	for (size_t i = 0; i < count && !code; i++) {
		const int64_t values[] = {(int64_t)ids[i], (int64_t)update->number};

		code = fsmeta_update_run(update, STATEMENT_SET_CONTENT_READ, values, 2, error);
	}
	return code;
}
