/*
 * Counting what is below a folder.
 *
 * Folders are taken from a list of those that were found and not yet looked into; for
 * each, SQLite adds up its files in one pass over their rows, where they lie side by side:
 *
 *     pending        cam1 ──► 2026 11 12 ──► 11 12 ──► …
 *     files of each  count(*), and sizes in two halves, so that no sum of them overflows
 *
 * The few rows that keep a size which is no int64 aside, in `extra`, are decoded.
 */
#include "db/below.h"

#include "db/internal.h"
#include "db/row.h"

#include <stdlib.h>
#include <string.h>

static const char action[] = "counting what is below a folder";

/** Statements over the files of one folder, in one of the two tables. */
struct files {
	/** How many, how many with `extra`, and the sizes of the others in two halves. */
	sqlite3_stmt *sums;
	/** Metadata of those with `extra`. */
	sqlite3_stmt *extras;
};

struct count {
	const struct fsmeta_connection *connection;
	struct fsmeta_dictionary dictionary;
	sqlite3_stmt *folders;
	struct files files[2];
	/** int64: folders that are still to be looked into. */
	struct fsmeta_buffer pending;
	/** No more than these can be there, unless the file is crafted. */
	uint64_t limit;
	const volatile sig_atomic_t *stop;
	uint64_t entries;
	uint64_t bytes;
};

static int count_entries(struct count *count, uint64_t entries, struct fsmeta_error *error)
{
	if (entries > count->limit - count->entries)
		return fsmeta_connection_corrupt(
		    count->connection, error, "a folder holds more than its generation");
	count->entries += entries;
	return 0;
}

static int add_pending(struct count *count, int64_t folder, struct fsmeta_error *error)
{
	return fsmeta_buffer_append(&count->pending, &folder, sizeof(folder))
		   ? fsmeta_error_set_memory(error, action)
		   : 0;
}

static int count_folders(struct count *count, int64_t folder, struct fsmeta_error *error)
{
	int code = 0;

	sqlite3_reset(count->folders);
	sqlite3_bind_int64(count->folders, 1, folder);
	while (!code &&
	       (code = fsmeta_connection_step(count->connection, count->folders, error)) > 0) {
		code = add_pending(count, sqlite3_column_int64(count->folders, 0), error);
		if (!code)
			code = count_entries(count, 1, error);
	}
	return code;
}

static int count_extras(
    struct count *count, sqlite3_stmt *statement, int64_t folder, struct fsmeta_error *error)
{
	struct fsmeta_entry entry = {0};
	int code = 0;

	sqlite3_reset(statement);
	sqlite3_bind_int64(statement, 1, folder);
	while (!code && (code = fsmeta_connection_step(count->connection, statement, error)) > 0) {
		code = fsmeta_row_decode(count->connection, statement, 0, true, &count->dictionary,
		    FSMETA_FIELD_SIZE, &entry, error);
		if (entry.type == FSMETA_TYPE_FILE)
			count->bytes += entry.size;
	}
	return code;
}

static int count_files(
    struct count *count, const struct files *files, int64_t folder, struct fsmeta_error *error)
{
	sqlite3_stmt *sums = files->sums;
	int64_t extras = 0;
	int code;

	sqlite3_reset(sums);
	sqlite3_bind_int64(sums, 1, folder);
	code = fsmeta_connection_step(count->connection, sums, error);
	if (code > 0) {
		code = count_entries(count, (uint64_t)sqlite3_column_int64(sums, 0), error);
		extras = sqlite3_column_int64(sums, 1);
		count->bytes += ((uint64_t)sqlite3_column_int64(sums, 2) << 32) +
				(uint64_t)sqlite3_column_int64(sums, 3);
	}
	return code || !extras ? code : count_extras(count, files->extras, folder, error);
}

static int count_below(struct count *count, int64_t folder, struct fsmeta_error *error)
{
	int code = add_pending(count, folder, error);

	while (!code && count->pending.length) {
		if (count->stop && *count->stop)
			return fsmeta_error_set(
			    error, FSMETA_E_STOPPED, count->connection->path, action, "stopped");
		count->pending.length -= sizeof(folder);
		memcpy(&folder, count->pending.data + count->pending.length, sizeof(folder));
		code = count_folders(count, folder, error);
		for (int i = 0; i < 2 && !code; i++)
			code = count_files(count, &count->files[i], folder, error);
	}
	return code;
}

#define IS_VALID "since <= ?2 AND (until IS NULL OR until > ?2)"
/* In a file that is not crafted, sizes are no negative numbers. */
#define IS_PLAIN_FILE "extra IS NULL AND attributes IN (SELECT id FROM attributes WHERE type = 1)"
#define SUMS                                                                         \
	"SELECT count(*), count(extra), sum(iif(" IS_PLAIN_FILE ", size >> 32, 0))," \
	" sum(iif(" IS_PLAIN_FILE ", size & 4294967295, 0)) FROM "
#define EXTRAS "SELECT " FSMETA_ROW_COLUMNS FSMETA_ROW_CONTENT_COLUMNS " FROM "
#define NOW "file WHERE parent = ?1 AND since <= ?2"
#define PAST "file_past WHERE parent = ?1 AND since <= ?2 AND until > ?2"

static int prepare(struct count *count, uint64_t generation, struct fsmeta_error *error)
{
	const struct {
		sqlite3_stmt **statement;
		const char *sql;
	} all[] = {
	    {&count->folders, "SELECT folder FROM folder_position WHERE parent = ?1 AND " IS_VALID},
	    {&count->files[0].sums, SUMS NOW},
	    {&count->files[0].extras, EXTRAS NOW " AND extra IS NOT NULL"},
	    {&count->files[1].sums, SUMS PAST},
	    {&count->files[1].extras, EXTRAS PAST " AND extra IS NOT NULL"},
	};
	int code = 0;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]) && !code; i++) {
		code = fsmeta_connection_prepare(
		    all[i].statement, count->connection, all[i].sql, error);
		if (!code)
			sqlite3_bind_int64(*all[i].statement, 2, (int64_t)generation);
	}
	return code;
}

/** True for the root, of which the totals say all. */
static int is_root(struct count *count, int64_t folder, uint64_t generation, bool *root,
    struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_connection_prepare(&statement, count->connection,
	    "SELECT 1 FROM folder_position WHERE folder = ?1 AND parent = 0 AND " IS_VALID, error);

	*root = false;
	if (!code) {
		sqlite3_bind_int64(statement, 1, folder);
		sqlite3_bind_int64(statement, 2, (int64_t)generation);
		code = fsmeta_connection_step(count->connection, statement, error);
		*root = code > 0;
	}
	sqlite3_finalize(statement);
	return code < 0 ? code : 0;
}

static int count_all(struct count *count, int64_t folder,
    const struct fsmeta_db_generation *generation, struct fsmeta_error *error)
{
	const struct fsmeta_totals *totals = &generation->source.totals;
	bool root;
	int code = is_root(count, folder, generation->number, &root, error);

	if (code)
		return code;
	if (root) {
		count->entries = totals->entries ? totals->entries - 1 : 0;
		count->bytes = totals->bytes;
		return 0;
	}
	count->limit = totals->entries;
	code = fsmeta_dictionary_load(
	    &count->dictionary, count->connection, generation->source.filesystem_count, error);
	if (!code)
		code = prepare(count, generation->number, error);
	if (!code)
		code = count_below(count, folder, error);
	/* What the generation's scan did not ask for is not known, whatever rows still say. */
	if (!(generation->source.field_mask & FSMETA_FIELD_SIZE))
		count->bytes = 0;
	return code;
}

int fsmeta_db_count_below(struct fsmeta_db *db, uint64_t folder, uint64_t generation,
    uint64_t *entries, uint64_t *bytes, const volatile sig_atomic_t *stop,
    struct fsmeta_error *error)
{
	struct count count = {.connection = &db->connection, .stop = stop};
	struct fsmeta_db_generation row;
	int code;

	*entries = 0;
	*bytes = 0;
	/* All rows are to be of one moment. */
	code = fsmeta_connection_execute(&db->connection, "SAVEPOINT below", error);
	if (code)
		return code;
	code = fsmeta_generation_load(&row, count.connection, generation, error);
	if (!code)
		code = count_all(&count, (int64_t)folder, &row, error);
	if (!code) {
		*entries = count.entries;
		*bytes = count.bytes;
	}
	sqlite3_finalize(count.folders);
	for (int i = 0; i < 2; i++) {
		sqlite3_finalize(count.files[i].sums);
		sqlite3_finalize(count.files[i].extras);
	}
	sqlite3_exec(db->connection.handle, "RELEASE below", NULL, NULL, NULL);
	fsmeta_dictionary_release(&count.dictionary);
	fsmeta_db_generation_release(&row);
	fsmeta_buffer_release(&count.pending);
	return code;
}
