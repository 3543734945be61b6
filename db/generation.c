/*
 * Generation rows: reading, writing, and finding the one that somebody means.
 *
 * A row keeps the scan's BatchSource twice, in a way: as the JSON text it came
 * as, which loses nothing, and as columns for what people and queries ask for.
 * Where both say the same thing the columns count.  The table of file systems is
 * the database's own, because entries' devices are indices into that one.
 */
#include "db/identity.h"
#include "db/internal.h"
#include "db/row.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char select_generation[] =
    "SELECT number, base, started, finished, field_mask, state_digest, entries, files, folders,"
    " symlinks, others, bytes, allocated, unreadable, carried, added, removed, modified, moved,"
    " pruned, source FROM generation";

enum generation_column {
	COLUMN_NUMBER,
	COLUMN_BASE,
	COLUMN_STARTED,
	COLUMN_FINISHED,
	COLUMN_FIELD_MASK,
	COLUMN_STATE_DIGEST,
	COLUMN_TOTALS,
	COLUMN_ADDED = COLUMN_TOTALS + 9,
	COLUMN_REMOVED,
	COLUMN_MODIFIED,
	COLUMN_MOVED,
	COLUMN_PRUNED,
	COLUMN_SOURCE,
};

/* ---- reading ----------------------------------------------------------- */

static bool read_count(sqlite3_stmt *statement, int column, uint64_t *out)
{
	int64_t value = sqlite3_column_int64(statement, column);

	*out = (uint64_t)value;
	return value >= 0 && sqlite3_column_type(statement, column) == SQLITE_INTEGER;
}

/** The totals' nine columns, in the order of the struct. */
static bool read_totals(sqlite3_stmt *statement, struct fsmeta_totals *totals)
{
	uint64_t *const fields[] = {&totals->entries, &totals->files, &totals->folders,
	    &totals->symlinks, &totals->others, &totals->bytes, &totals->allocated,
	    &totals->unreadable, &totals->carried};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		/* Sums of absurd sizes wrap around, so any bits may be right. */
		bool is_sum = fields[i] == &totals->bytes || fields[i] == &totals->allocated;

		if (!read_count(statement, COLUMN_TOTALS + (int)i, fields[i]) && !is_sum)
			return false;
	}
	return true;
}

static bool read_columns(sqlite3_stmt *statement, struct fsmeta_db_generation *out)
{
	struct fsmeta_batch_source *source = &out->source;
	const char *digest = (const char *)sqlite3_column_text(statement, COLUMN_STATE_DIGEST);
	uint64_t mask;

	out->pruned = sqlite3_column_int(statement, COLUMN_PRUNED) != 0;
	source->generation = out->number;
	source->base_generation = 0;
	source->has_base_state_digest = false;
	source->id_kind = FSMETA_IDS_STABLE;
	source->has_totals = true;
	source->has_state_digest = true;
	if (!read_count(statement, COLUMN_FIELD_MASK, &mask) ||
	    mask & ~(uint64_t)FSMETA_FIELDS_KNOWN)
		return false;
	source->field_mask = (uint32_t)mask;
	return digest && strlen(digest) == FSMETA_DIGEST_TEXT_BYTES - 1 &&
	       fsmeta_digest_parse(&source->state_digest, digest) &&
	       read_totals(statement, &source->totals) &&
	       read_count(statement, COLUMN_BASE, &out->base) &&
	       read_count(statement, COLUMN_ADDED, &out->added) &&
	       read_count(statement, COLUMN_REMOVED, &out->removed) &&
	       read_count(statement, COLUMN_MODIFIED, &out->modified) &&
	       read_count(statement, COLUMN_MOVED, &out->moved);
}

static int load_source(struct fsmeta_db_generation *out, const struct fsmeta_connection *connection,
    sqlite3_stmt *statement, struct fsmeta_error *error)
{
	const char *text = (const char *)sqlite3_column_text(statement, COLUMN_SOURCE);
	int length = sqlite3_column_bytes(statement, COLUMN_SOURCE);
	int code;

	if (!text || length > FSMETA_SOURCE_JSON_MAX_BYTES)
		return fsmeta_connection_corrupt(
		    connection, error, "generation %" PRIu64 " has no BatchSource", out->number);
	code = fsmeta_batch_source_from_json(
	    &out->source, text, (size_t)length, connection->path, error);
	if (code)
		fsmeta_batch_source_init(&out->source);
	/* Whatever is wrong with it, here it is damage. */
	if (code == FSMETA_E_FOREIGN)
		code = fsmeta_connection_corrupt(connection, error,
		    "generation %" PRIu64 ": its BatchSource is damaged", out->number);
	return code;
}

/** Fills from the statement's row; out->source is initialised where 0 is returned. */
static int load_row(struct fsmeta_db_generation *out, const struct fsmeta_connection *connection,
    sqlite3_stmt *statement, struct fsmeta_error *error)
{
	int64_t number = sqlite3_column_int64(statement, COLUMN_NUMBER);
	int code;

	*out = (struct fsmeta_db_generation){.number = (uint64_t)number};
	if (number <= 0)
		return fsmeta_connection_corrupt(
		    connection, error, "a generation has number %" PRId64, number);
	code = load_source(out, connection, statement, error);
	if (code)
		return code;
	if (!read_columns(statement, out))
		code = fsmeta_connection_corrupt(
		    connection, error, "generation %" PRIu64 ": its row is damaged", out->number);
	if (!code)
		code = fsmeta_row_load_filesystems(&out->source, connection, error);
	if (!code)
		code = fsmeta_identity_load(&out->source, connection, error);
	if (code)
		fsmeta_db_generation_release(out);
	return code;
}

int fsmeta_generation_load(struct fsmeta_db_generation *out,
    const struct fsmeta_connection *connection, uint64_t number, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	char *sql = sqlite3_mprintf("%s WHERE number = ?1", select_generation);
	int code;

	*out = (struct fsmeta_db_generation){0};
	fsmeta_batch_source_init(&out->source);
	if (!sql)
		return fsmeta_error_set_memory(error, "reading a generation");
	code = fsmeta_connection_prepare(&statement, connection, sql, error);
	if (!code) {
		sqlite3_bind_int64(statement, 1, number <= INT64_MAX ? (int64_t)number : INT64_MAX);
		code = fsmeta_connection_step(connection, statement, error);
		if (code > 0)
			code = load_row(out, connection, statement, error);
		else if (!code)
			code = fsmeta_error_set(error, FSMETA_E_NOT_FOUND, connection->path,
			    "reading a generation", "there is no generation %" PRIu64, number);
	}
	sqlite3_finalize(statement);
	sqlite3_free(sql);
	return code;
}

int fsmeta_generation_newest(
    uint64_t *number, const struct fsmeta_connection *connection, struct fsmeta_error *error)
{
	int64_t newest;
	int code = fsmeta_connection_integer(
	    &newest, connection, "SELECT max(number) FROM generation WHERE pruned = 0", 0, error);

	*number = newest > 0 ? (uint64_t)newest : 0;
	return code;
}

void fsmeta_db_generation_release(struct fsmeta_db_generation *generation)
{
	fsmeta_batch_source_release(&generation->source);
	*generation = (struct fsmeta_db_generation){0};
}

/* ---- writing ------------------------------------------------------------ */

static void bind_time(sqlite3_stmt *statement, int column, struct fsmeta_time time)
{
	int64_t ns;

	if ((time.seconds || time.nanoseconds) && fsmeta_time_to_ns(time, &ns))
		sqlite3_bind_int64(statement, column, ns);
	else
		sqlite3_bind_null(statement, column);
}

static void bind_generation(
    sqlite3_stmt *statement, const struct fsmeta_db_generation *generation, int64_t first_id)
{
	const struct fsmeta_batch_source *source = &generation->source;
	const struct fsmeta_totals *totals = &source->totals;
	const uint64_t counts[] = {totals->entries, totals->files, totals->folders,
	    totals->symlinks, totals->others, totals->bytes, totals->allocated, totals->unreadable,
	    totals->carried, generation->added, generation->removed, generation->modified,
	    generation->moved};
	char digest[FSMETA_DIGEST_TEXT_BYTES];

	fsmeta_digest_format(digest, source->state_digest);
	sqlite3_bind_int64(statement, 1, (int64_t)generation->number);
	sqlite3_bind_int64(statement, 2, (int64_t)generation->base);
	bind_time(statement, 3, source->started);
	bind_time(statement, 4, source->finished);
	sqlite3_bind_int64(statement, 5, source->field_mask);
	sqlite3_bind_text(statement, 6, digest, -1, SQLITE_TRANSIENT);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		sqlite3_bind_int64(statement, 7 + (int)i, (int64_t)counts[i]);
	sqlite3_bind_int64(statement, 22, first_id);
}

int fsmeta_generation_store(const struct fsmeta_connection *connection,
    const struct fsmeta_db_generation *generation, int64_t first_id, struct fsmeta_error *error)
{
	struct fsmeta_buffer json = {0};
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_batch_source_to_compact_json(&json, &generation->source, error);

	if (!code)
		code = fsmeta_connection_prepare(&statement, connection,
		    "INSERT INTO generation (number, base, started, finished, field_mask,"
		    " state_digest, entries, files, folders, symlinks, others, bytes, allocated,"
		    " unreadable, carried, added, removed, modified, moved, pruned, source,"
		    " first_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,"
		    " ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)",
		    error);
	if (!code) {
		bind_generation(statement, generation, first_id);
		sqlite3_bind_int(statement, 20, 0);
		sqlite3_bind_text64(statement, 21, (const char *)json.data, json.length,
		    SQLITE_STATIC, SQLITE_UTF8);
		code = fsmeta_connection_run(connection, statement, error);
	}
	sqlite3_finalize(statement);
	fsmeta_buffer_release(&json);
	return code;
}

/* ---- finding the one that is meant --------------------------------------- */

static int usage(const struct fsmeta_db *db, const char *specification, struct fsmeta_error *error)
{
	return fsmeta_error_set(error, FSMETA_E_USAGE, db->path, "finding a generation",
	    "\"%s\" is no generation: a number, -1, latest, or {2026-11-01}", specification);
}

static int not_found(
    const struct fsmeta_db *db, const char *specification, struct fsmeta_error *error)
{
	return fsmeta_error_set(error, FSMETA_E_NOT_FOUND, db->path, "finding a generation",
	    "there is no generation %s", specification);
}

/** Digits alone, as a number. */
static bool parse_number(const char *text, uint64_t *out)
{
	size_t length = strspn(text, "0123456789");

	if (!length || length > 18 || text[length])
		return false;
	*out = strtoull(text, NULL, 10);
	return true;
}

/** First column of a query with one parameter; 0 for nothing. */
static int query_number(const struct fsmeta_connection *connection, const char *sql,
    int64_t parameter, uint64_t *number, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_connection_prepare(&statement, connection, sql, error);

	*number = 0;
	if (!code) {
		sqlite3_bind_int64(statement, 1, parameter);
		code = fsmeta_connection_step(connection, statement, error);
	}
	if (code > 0)
		*number = (uint64_t)sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return code < 0 ? code : 0;
}

/** "2026-11-01" (its end) or an RFC 3339 time, within braces. */
static bool parse_moment(const char *text, size_t length, int64_t *ns)
{
	char day[FSMETA_TIME_TEXT_BYTES];
	struct fsmeta_time time;

	if (length == strlen("2026-11-01")) {
		memcpy(day, text, length);
		memcpy(day + length, "T23:59:59.999999999Z", 21);
		text = day;
		length += 20;
	}
	if (!fsmeta_time_parse(&time, text, length))
		return false;
	/* No generation was finished beyond what the column holds. */
	if (!fsmeta_time_to_ns(time, ns))
		*ns = time.seconds < 0 ? INT64_MIN : INT64_MAX;
	return true;
}

static int resolve(const struct fsmeta_db *db, const char *specification, uint64_t *number,
    struct fsmeta_error *error)
{
	const struct fsmeta_connection *connection = &db->connection;
	size_t length = specification ? strlen(specification) : 0;
	uint64_t wanted;
	int64_t moment;

	if (!specification || strcmp(specification, "latest") == 0)
		return fsmeta_generation_newest(number, connection, error);
	if (parse_number(specification, &wanted))
		return query_number(connection,
		    "SELECT number FROM generation WHERE number = ?1 AND pruned = 0",
		    (int64_t)wanted, number, error);
	if (specification[0] == '-' && parse_number(specification + 1, &wanted) && wanted)
		return query_number(connection,
		    "SELECT number FROM generation WHERE pruned = 0"
		    " ORDER BY number DESC LIMIT 1 OFFSET ?1",
		    (int64_t)wanted, number, error);
	if (length > 2 && specification[0] == '{' && specification[length - 1] == '}' &&
	    parse_moment(specification + 1, length - 2, &moment))
		return query_number(connection,
		    "SELECT max(number) FROM generation WHERE pruned = 0 AND finished <= ?1",
		    moment, number, error);
	return usage(db, specification, error);
}

int fsmeta_db_resolve(
    struct fsmeta_db *db, const char *specification, uint64_t *number, struct fsmeta_error *error)
{
	uint64_t wanted, pruned = 0;
	int code;

	*number = 0;
	if (!db->connection.handle)
		return not_found(db, specification ? specification : "yet", error);
	code = resolve(db, specification, number, error);
	if (!code && !*number && specification && parse_number(specification, &wanted))
		code =
		    query_number(&db->connection, "SELECT number FROM generation WHERE number = ?1",
			(int64_t)wanted, &pruned, error);
	if (!code && pruned)
		code = fsmeta_error_set(error, FSMETA_E_NOT_FOUND, db->path, "finding a generation",
		    "generation %" PRIu64 " was pruned", pruned);
	else if (!code && !*number)
		code = not_found(db, specification ? specification : "yet", error);
	return code;
}

int fsmeta_db_newest(struct fsmeta_db *db, uint64_t *number, struct fsmeta_error *error)
{
	*number = 0;
	return db->connection.handle ? fsmeta_generation_newest(number, &db->connection, error) : 0;
}

int fsmeta_db_generation(struct fsmeta_db *db, uint64_t number, struct fsmeta_db_generation *out,
    struct fsmeta_error *error)
{
	if (db->connection.handle)
		return fsmeta_generation_load(out, &db->connection, number, error);
	*out = (struct fsmeta_db_generation){0};
	fsmeta_batch_source_init(&out->source);
	return fsmeta_error_set(error, FSMETA_E_NOT_FOUND, db->path, "reading a generation",
	    "there is no generation %" PRIu64, number);
}

int fsmeta_db_each_generation(struct fsmeta_db *db, struct fsmeta_error *error,
    int (*each)(const struct fsmeta_db_generation *generation, void *payload), void *payload)
{
	sqlite3_stmt *statement = NULL;
	char *sql;
	int code;

	if (!db->connection.handle)
		return 0;
	sql = sqlite3_mprintf("%s ORDER BY number", select_generation);
	if (!sql)
		return fsmeta_error_set_memory(error, "reading generations");
	code = fsmeta_connection_prepare(&statement, &db->connection, sql, error);
	while (!code && (code = fsmeta_connection_step(&db->connection, statement, error)) > 0) {
		struct fsmeta_db_generation generation;

		code = load_row(&generation, &db->connection, statement, error);
		if (code)
			break;
		code = each(&generation, payload);
		fsmeta_db_generation_release(&generation);
	}
	sqlite3_finalize(statement);
	sqlite3_free(sql);
	return code;
}
