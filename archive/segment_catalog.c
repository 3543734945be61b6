/*
 * The catalog of segments.
 *
 * No segment is longer than 1024 s, so a window [from, to) needs only those that start
 * in (from - 1024 s, to): one range of the primary key (stream, start), whatever the
 * length of the history.  Of those the ends decide; what still grows is always looked at.
 */
#include "archive/segment_catalog.h"

#include "archive/sqlite_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	/** "FSSG" */
	APPLICATION_ID = 0x46535347,
	VERSION = 1,
};

/** Longest that a segment can be, and a second for the rounding. */
static const int64_t segment_max_us = INT64_C(1025) * 1000000;

static const char schema[] =
    "CREATE TABLE segment ("
    " stream TEXT NOT NULL, start_us INTEGER NOT NULL, name_ms INTEGER NOT NULL,"
    " end_us INTEGER NOT NULL, packets INTEGER NOT NULL, index_bytes INTEGER NOT NULL,"
    " frame_bytes INTEGER NOT NULL, codec TEXT NOT NULL, width INTEGER NOT NULL,"
    " height INTEGER NOT NULL, continues INTEGER NOT NULL, sealed INTEGER NOT NULL,"
    " PRIMARY KEY (stream, start_us, name_ms)) WITHOUT ROWID;"
    "CREATE UNIQUE INDEX segment_by_name ON segment(stream, name_ms);"
    "CREATE INDEX segment_by_start ON segment(start_us);"
    "CREATE VIEW segment_utc AS SELECT stream,"
    " strftime('%Y-%m-%dT%H:%M:%fZ', start_us / 1e6, 'unixepoch') AS start,"
    " strftime('%Y-%m-%dT%H:%M:%fZ', end_us / 1e6, 'unixepoch') AS end,"
    " (end_us - start_us) / 1e6 AS seconds, packets, index_bytes + frame_bytes AS bytes,"
    " name_ms || '.vidx' AS index_name, sealed FROM segment;";

#define COLUMNS                                                                                \
	"stream, start_us, name_ms, end_us, packets, index_bytes, frame_bytes, codec, width, " \
	"height, continues, sealed"

enum statement {
	PUT,
	WINDOW,
	WINDOW_OF_ALL,
	PREVIOUS,
	STATEMENT_COUNT,
};

static const char *const texts[STATEMENT_COUNT] = {
    [PUT] = "INSERT OR REPLACE INTO segment(" COLUMNS ") VALUES(?,?,?,?,?,?,?,?,?,?,?,?)",
    [WINDOW] = "SELECT " COLUMNS " FROM segment WHERE stream = ?1 AND start_us > ?2"
	       " AND start_us < ?3 AND (end_us >= ?4 OR NOT sealed)"
	       " ORDER BY start_us, name_ms",
    [WINDOW_OF_ALL] = "SELECT " COLUMNS " FROM segment INDEXED BY segment_by_start"
		      " WHERE start_us > ?2 AND start_us < ?3 AND (end_us >= ?4 OR NOT sealed)"
		      " ORDER BY stream, start_us, name_ms",
    [PREVIOUS] = "SELECT " COLUMNS " FROM segment WHERE stream = ?1 AND start_us < ?2"
		 " ORDER BY start_us DESC, name_ms DESC LIMIT 1",
};

struct fsmeta_segment_catalog {
	struct fsmeta_sqlite_file file;
	sqlite3_stmt *statements[STATEMENT_COUNT];
};

int fsmeta_segment_catalog_open(struct fsmeta_segment_catalog **out, const char *path,
    bool writable, struct fsmeta_error *error)
{
	struct fsmeta_segment_catalog *catalog = calloc(1, sizeof(*catalog));
	int code;

	*out = NULL;
	if (!catalog)
		return fsmeta_error_set_memory(error, "opening the catalog");
	code = fsmeta_sqlite_file_open(
	    &catalog->file, path, writable, false, APPLICATION_ID, VERSION, schema, error);
	for (int i = 0; i < STATEMENT_COUNT && !code; i++)
		code = fsmeta_sqlite_file_prepare(
		    &catalog->statements[i], &catalog->file, texts[i], error);
	if (code)
		fsmeta_segment_catalog_close(catalog);
	else
		*out = catalog;
	return code;
}

void fsmeta_segment_catalog_close(struct fsmeta_segment_catalog *catalog)
{
	if (!catalog)
		return;
	for (int i = 0; i < STATEMENT_COUNT; i++)
		sqlite3_finalize(catalog->statements[i]);
	fsmeta_sqlite_file_close(&catalog->file);
	free(catalog);
}

int fsmeta_segment_catalog_put(struct fsmeta_segment_catalog *catalog,
    const struct fsmeta_segment *segment, struct fsmeta_error *error)
{
	sqlite3_stmt *put = catalog->statements[PUT];
	const int64_t numbers[] = {segment->start_us, segment->name_ms, segment->end_us,
	    segment->packets, (int64_t)segment->index_bytes, (int64_t)segment->frame_bytes};

	sqlite3_bind_text(put, 1, segment->stream, -1, SQLITE_STATIC);
	for (int i = 0; i < 6; i++)
		sqlite3_bind_int64(put, 2 + i, numbers[i]);
	sqlite3_bind_text(put, 8, segment->codec, -1, SQLITE_STATIC);
	sqlite3_bind_int(put, 9, segment->width);
	sqlite3_bind_int(put, 10, segment->height);
	sqlite3_bind_int(put, 11, segment->continues);
	sqlite3_bind_int(put, 12, segment->sealed);
	return fsmeta_sqlite_file_run(&catalog->file, put, error);
}

int fsmeta_segment_catalog_clear(struct fsmeta_segment_catalog *catalog, struct fsmeta_error *error)
{
	return fsmeta_sqlite_file_execute(&catalog->file, "DELETE FROM segment", error);
}

int fsmeta_segment_catalog_begin(struct fsmeta_segment_catalog *catalog, struct fsmeta_error *error)
{
	return fsmeta_sqlite_file_execute(&catalog->file, "BEGIN IMMEDIATE", error);
}

int fsmeta_segment_catalog_commit(
    struct fsmeta_segment_catalog *catalog, struct fsmeta_error *error)
{
	return fsmeta_sqlite_file_execute(&catalog->file, "COMMIT", error);
}

void fsmeta_segment_catalog_rollback(struct fsmeta_segment_catalog *catalog)
{
	sqlite3_exec(catalog->file.handle, "ROLLBACK", NULL, NULL, NULL);
}

static const char *text_of(sqlite3_stmt *statement, int column)
{
	const unsigned char *text = sqlite3_column_text(statement, column);

	return text ? (const char *)text : "";
}

static void take_row(struct fsmeta_segment *out, sqlite3_stmt *row)
{
	*out = (struct fsmeta_segment){
	    .stream = text_of(row, 0),
	    .start_us = sqlite3_column_int64(row, 1),
	    .name_ms = sqlite3_column_int64(row, 2),
	    .end_us = sqlite3_column_int64(row, 3),
	    .packets = (uint32_t)sqlite3_column_int64(row, 4),
	    .index_bytes = (uint64_t)sqlite3_column_int64(row, 5),
	    .frame_bytes = (uint64_t)sqlite3_column_int64(row, 6),
	    .width = (uint16_t)sqlite3_column_int(row, 8),
	    .height = (uint16_t)sqlite3_column_int(row, 9),
	    .continues = sqlite3_column_int(row, 10),
	    .sealed = sqlite3_column_int(row, 11),
	};
	snprintf(out->codec, sizeof(out->codec), "%s", text_of(row, 7));
}

static int visit_rows(struct fsmeta_segment_catalog *catalog, sqlite3_stmt *statement,
    fsmeta_segment_visit *visit, struct fsmeta_error *error, void *payload)
{
	int code;

	while ((code = fsmeta_sqlite_file_step(&catalog->file, statement, error)) > 0) {
		struct fsmeta_segment segment;

		take_row(&segment, statement);
		code = visit(payload, &segment, error);
		if (code)
			break;
	}
	sqlite3_reset(statement);
	return code;
}

int fsmeta_segment_catalog_window(struct fsmeta_segment_catalog *catalog, const char *stream,
    int64_t from_us, int64_t to_us, fsmeta_segment_visit *visit, struct fsmeta_error *error,
    void *payload)
{
	sqlite3_stmt *statement = catalog->statements[stream ? WINDOW : WINDOW_OF_ALL];
	int64_t earliest;

	if (__builtin_sub_overflow(from_us, segment_max_us, &earliest))
		earliest = INT64_MIN;
	if (stream)
		sqlite3_bind_text(statement, 1, stream, -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 2, earliest);
	sqlite3_bind_int64(statement, 3, to_us);
	sqlite3_bind_int64(statement, 4, from_us);
	return visit_rows(catalog, statement, visit, error, payload);
}

int fsmeta_segment_catalog_previous(struct fsmeta_segment_catalog *catalog, const char *stream,
    int64_t before_us, fsmeta_segment_visit *visit, struct fsmeta_error *error, void *payload)
{
	sqlite3_stmt *statement = catalog->statements[PREVIOUS];

	sqlite3_bind_text(statement, 1, stream, -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 2, before_us);
	return visit_rows(catalog, statement, visit, error, payload);
}
