/*
 * Verifying.
 *
 * The file's length and SQLite's own check come first, because everything else
 * reads through its trees.  Then questions about rows that no generation's listing
 * would show, each a query that finds the first row that breaks a rule; that table
 * `change` is complete is one of them, since who compares two generations by it would
 * not notice what it leaves out.  Then every kept generation is read, in order, and
 * totals and state digest must come out as they were stored: that covers names,
 * order, parents, versions and metadata at once.
 */
#include "db/changes.h"
#include "db/internal.h"
#include "db/reader.h"
#include "db/row.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char action[] = "checking the database";

enum {
	/** Steps of SQLite's machine between two looks at the stop flag: about a millisecond. */
	STEPS_BETWEEN_LOOKS = 10000,
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

struct verification {
	struct fsmeta_db *db;
	struct fsmeta_connection connection;
	struct fsmeta_dictionary dictionary;
	struct fsmeta_buffer scratch;
	uint64_t newest;
	int64_t next_id;
	const volatile sig_atomic_t *stop;
};

/** For SQLite: other than 0 ends the statement with SQLITE_INTERRUPT. */
static int is_stopped(void *payload)
{
	const struct verification *verification = payload;

	return verification->stop && *verification->stop;
}

/* ---- rows ------------------------------------------------------------------ */

struct rule {
	/** Yields a number that names the culprit, or nothing. */
	const char *sql;
	const char *damage;
};

static const struct rule rules[] = {
    {"SELECT id FROM (SELECT id FROM file UNION ALL SELECT id FROM folder)"
     " GROUP BY id HAVING count(*) > 1 LIMIT 1",
	"id %" PRId64 " belongs to two entries"},
    {"SELECT id FROM (SELECT id FROM file UNION ALL SELECT id FROM file_past"
     " UNION ALL SELECT id FROM folder)"
     " WHERE id < 1 OR id >= (SELECT value FROM source WHERE name = 'next_id') LIMIT 1",
	"id %" PRId64 " was never given out"},
    {"SELECT id FROM file f WHERE NOT EXISTS (SELECT 1 FROM folder WHERE id = f.parent) LIMIT 1",
	"file %" PRId64 " lies in a folder that does not exist"},
    {"SELECT id FROM file_past f WHERE NOT EXISTS"
     " (SELECT 1 FROM folder WHERE id = f.parent) LIMIT 1",
	"a past version of file %" PRId64 " lies in a folder that does not exist"},
    {"SELECT folder FROM folder_position p WHERE NOT EXISTS"
     " (SELECT 1 FROM folder WHERE id = p.folder) LIMIT 1",
	"folder %" PRId64 " has a place but no metadata"},
    {"SELECT id FROM folder f WHERE NOT EXISTS"
     " (SELECT 1 FROM folder_position WHERE folder = f.id) LIMIT 1",
	"folder %" PRId64 " has no place"},
    {"SELECT id FROM folder_past f WHERE NOT EXISTS"
     " (SELECT 1 FROM folder WHERE id = f.id) LIMIT 1",
	"folder %" PRId64 " has a past but no present"},
    {"SELECT folder FROM folder_position p WHERE depth > 0 AND NOT EXISTS"
     " (SELECT 1 FROM folder_position q WHERE q.folder = p.parent"
     "  AND q.depth = p.depth - 1 AND q.ord < p.ord) LIMIT 1",
	"folder %" PRId64 " does not come behind the folder that holds it"},
    {"SELECT a.folder FROM folder_position a JOIN folder_position b"
     " ON b.folder = a.folder AND b.ord <> a.ord WHERE a.since <= b.since"
     " AND (a.until IS NULL OR a.until > b.since) LIMIT 1",
	"folder %" PRId64 " is in two places at once"},
    {"SELECT id FROM (SELECT id, since, until, lag(until) OVER"
     "  (PARTITION BY parent, name ORDER BY until) AS before FROM file_past)"
     " WHERE since >= until OR since < before LIMIT 1",
	"versions of file %" PRId64 " overlap"},
    {"SELECT f.id FROM file f JOIN file_past p ON p.parent = f.parent AND p.name = f.name"
     " WHERE p.until > f.since LIMIT 1",
	"the newest version of file %" PRId64 " overlaps a past one"},
    {"SELECT id FROM (SELECT id, since, until, lag(until) OVER"
     "  (PARTITION BY id ORDER BY until) AS before FROM folder_past)"
     " WHERE since >= until OR since < before LIMIT 1",
	"versions of folder %" PRId64 " overlap"},
    {"SELECT f.id FROM folder f JOIN folder_past p ON p.id = f.id WHERE p.until > f.since LIMIT 1",
	"the newest version of folder %" PRId64 " overlaps a past one"},
    {"SELECT root FROM unknown WHERE until <= since LIMIT 1",
	"entry %" PRId64 " is unknown in no generation"},
    {"SELECT since FROM (SELECT since FROM file UNION SELECT since FROM folder"
     " UNION SELECT since FROM folder_position UNION SELECT until FROM folder_position"
     " UNION SELECT until FROM file_past UNION SELECT until FROM folder_past"
     " UNION SELECT until FROM unknown)"
     " WHERE since > (SELECT max(number) FROM generation) LIMIT 1",
	"rows speak of generation %" PRId64 ", which does not exist"},
};

/** The same of a file that has the tables of version 2. */
static const struct rule change_rules[] = {
    {"SELECT generation FROM change WHERE generation"
     " NOT IN (SELECT number FROM generation WHERE pruned = 0 AND number >"
     "  (SELECT min(number) FROM generation WHERE pruned = 0)) LIMIT 1",
	"changes are told of generation %" PRId64 ", which is compared with none"},
    {fsmeta_changes_unfounded,
	"a change of folder %" PRId64 " or in it is told that never happened"},
    {"SELECT file FROM content_read WHERE generation > (SELECT max(number) FROM generation)"
     " OR file >= (SELECT value FROM source WHERE name = 'next_id') LIMIT 1",
	"the content of entry %" PRId64 " was read in no generation"},
    {fsmeta_changes_missing, "a change of folder %" PRId64 " or in it is not told"},
};

static int check_rules(struct verification *verification, const struct rule *list, size_t count,
    struct fsmeta_error *error)
{
	int code = 0;

	for (size_t i = 0; i < count && !code; i++) {
		sqlite3_stmt *statement = NULL;

		code = fsmeta_connection_prepare(
		    &statement, &verification->connection, list[i].sql, error);
		if (!code)
			code = fsmeta_connection_step(&verification->connection, statement, error);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		if (code > 0)
			code = fsmeta_connection_corrupt(&verification->connection, error,
			    list[i].damage, sqlite3_column_int64(statement, 0));
#pragma GCC diagnostic pop
		sqlite3_finalize(statement);
	}
	return code;
}

static int check_all_rules(struct verification *verification, struct fsmeta_error *error)
{
	int code = check_rules(verification, rules, LENGTH(rules), error);

	if (!code && verification->connection.schema_version >= 2)
		code = check_rules(verification, change_rules, LENGTH(change_rules), error);
	return code;
}

static int check_integrity(struct verification *verification, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_connection_prepare(
	    &statement, &verification->connection, "PRAGMA integrity_check(1)", error);

	if (!code)
		code = fsmeta_connection_step(&verification->connection, statement, error);
	if (code > 0) {
		const char *answer = (const char *)sqlite3_column_text(statement, 0);

		code = answer && strcmp(answer, "ok") == 0
			   ? 0
			   : fsmeta_connection_corrupt(&verification->connection, error, "%s",
				 answer ? answer : "SQLite's check gives no answer");
	}
	sqlite3_finalize(statement);
	return code;
}

/* ---- generations -------------------------------------------------------------- */

struct counted {
	struct fsmeta_totals totals;
	struct fsmeta_digest digest;
};

static int count_entry(struct verification *verification,
    const struct fsmeta_db_generation *generation, const struct fsmeta_entry *entry,
    struct counted *counted, struct fsmeta_error *error)
{
	struct fsmeta_digest term;

	if (entry->id >= (uint64_t)verification->next_id)
		return fsmeta_connection_corrupt(&verification->connection, error,
		    "generation %" PRIu64 ": id %" PRIu64 " was never given out",
		    generation->number, entry->id);
	fsmeta_totals_count(&counted->totals, entry, 1);
	if (fsmeta_entry_digest(&term, entry, generation->source.field_mask, &generation->source,
		&verification->scratch))
		return fsmeta_error_set_memory(error, action);
	fsmeta_digest_add(&counted->digest, term);
	return 0;
}

static int compare_counts(struct verification *verification,
    const struct fsmeta_db_generation *generation, const struct counted *counted,
    struct fsmeta_error *error)
{
	char stored[FSMETA_DIGEST_TEXT_BYTES], found[FSMETA_DIGEST_TEXT_BYTES];

	if (memcmp(&counted->totals, &generation->source.totals, sizeof(counted->totals)) != 0)
		return fsmeta_connection_corrupt(&verification->connection, error,
		    "generation %" PRIu64 ": %" PRIu64 " entries, %" PRIu64 " bytes, %" PRIu64
		    " carried were found, its row says %" PRIu64 ", %" PRIu64 ", %" PRIu64,
		    generation->number, counted->totals.entries, counted->totals.bytes,
		    counted->totals.carried, generation->source.totals.entries,
		    generation->source.totals.bytes, generation->source.totals.carried);
	if (fsmeta_digest_equal(counted->digest, generation->source.state_digest))
		return 0;
	fsmeta_digest_format(found, counted->digest);
	fsmeta_digest_format(stored, generation->source.state_digest);
	return fsmeta_connection_corrupt(&verification->connection, error,
	    "generation %" PRIu64 ": its state digest is %s, its row says %s", generation->number,
	    found, stored);
}

static int check_generation(struct verification *verification,
    const struct fsmeta_db_generation *generation, struct fsmeta_error *error)
{
	const struct fsmeta_reader_options options = {
	    .generation = generation->number,
	    .source = &generation->source,
	    .newest = generation->number == verification->newest,
	    .field_mask = generation->source.field_mask,
	    .stop = verification->stop,
	};
	const struct fsmeta_entry *entry;
	struct fsmeta_reader *reader;
	struct counted counted = {0};
	int code = fsmeta_reader_new(
	    &reader, &verification->connection, &verification->dictionary, &options, error);

	while (!code && (code = fsmeta_reader_next(reader, &entry, error)) > 0)
		code = count_entry(verification, generation, entry, &counted, error);
	if (!code)
		code = compare_counts(verification, generation, &counted, error);
	fsmeta_reader_free(reader);
	return code;
}

static int check_generations(struct verification *verification, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_connection_prepare(&statement, &verification->connection,
	    "SELECT number FROM generation ORDER BY number", error);

	while (!code &&
	       (code = fsmeta_connection_step(&verification->connection, statement, error)) > 0) {
		struct fsmeta_db_generation generation;

		code = fsmeta_generation_load(&generation, &verification->connection,
		    (uint64_t)sqlite3_column_int64(statement, 0), error);
		if (code)
			break;
		if (!generation.pruned)
			code = check_generation(verification, &generation, error);
		fsmeta_db_generation_release(&generation);
	}
	sqlite3_finalize(statement);
	return code;
}

static int load_tables(struct verification *verification, struct fsmeta_error *error)
{
	struct fsmeta_batch_source filesystems;
	int code;

	fsmeta_batch_source_init(&filesystems);
	code = fsmeta_row_load_filesystems(&filesystems, &verification->connection, error);
	if (!code)
		code = fsmeta_dictionary_load(&verification->dictionary, &verification->connection,
		    filesystems.filesystem_count, error);
	fsmeta_batch_source_release(&filesystems);
	if (!code)
		code = fsmeta_generation_newest(
		    &verification->newest, &verification->connection, error);
	if (!code)
		code = fsmeta_connection_integer(&verification->next_id, &verification->connection,
		    "SELECT value FROM source WHERE name = 'next_id'", 0, error);
	return code;
}

/** Every page that there should be is there to its last byte; SQLite rounds up. */
static int check_length(struct verification *verification, struct fsmeta_error *error)
{
	const struct fsmeta_connection *connection = &verification->connection;
	int64_t pages, page_bytes;
	struct stat status;
	int code = fsmeta_connection_integer(&pages, connection, "PRAGMA page_count", 0, error);

	if (!code)
		code = fsmeta_connection_integer(
		    &page_bytes, connection, "PRAGMA page_size", 0, error);
	if (code)
		return code;
	/* The last pages may be in the log alone, until it is checkpointed. */
	if (fsmeta_connection_has_log(connection))
		return 0;
	if (stat(connection->path, &status) < 0)
		return fsmeta_error_set_errno(error, errno, connection->path, action);
	if (status.st_size >= pages * page_bytes)
		return 0;
	return fsmeta_error_set_at(error, FSMETA_E_TRUNCATED, connection->path, status.st_size,
	    action, "it ends here and should be %" PRId64 " bytes long", pages * page_bytes);
}

static int verify(struct verification *verification, struct fsmeta_error *error)
{
	int code = fsmeta_connection_execute(&verification->connection, "BEGIN", error);

	if (!code)
		code = check_length(verification, error);
	if (!code)
		code = check_integrity(verification, error);
	if (!code)
		code = load_tables(verification, error);
	if (!code)
		code = check_all_rules(verification, error);
	if (!code)
		code = check_generations(verification, error);
	if (!code && !fsmeta_connection_is_unchanged(&verification->connection))
		code = fsmeta_error_set(error, FSMETA_E_BUSY, verification->db->path, action,
		    "somebody else wrote to it while it was read");
	return code;
}

int fsmeta_db_verify(
    struct fsmeta_db *db, const volatile sig_atomic_t *stop, struct fsmeta_error *error)
{
	struct verification verification = {.db = db, .stop = stop};
	int code;

	if (!db->connection.handle)
		return fsmeta_error_set(
		    error, FSMETA_E_NOT_FOUND, db->path, action, "it does not exist yet");
	code = fsmeta_connection_open(
	    &verification.connection, db->path, FSMETA_CONNECTION_READ, error);
	if (code)
		return code;
	verification.connection.action = action;
	sqlite3_progress_handler(
	    verification.connection.handle, STEPS_BETWEEN_LOOKS, is_stopped, &verification);
	code = verify(&verification, error);
	fsmeta_dictionary_release(&verification.dictionary);
	fsmeta_buffer_release(&verification.scratch);
	fsmeta_connection_close(&verification.connection);
	return code;
}
