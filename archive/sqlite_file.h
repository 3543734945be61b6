/*
 * The SQLite files of archives: opened with SQLite's defences, errors told as ours.
 * One connection, one thread at a time.
 */
#ifndef FSMETA_ARCHIVE_SQLITE_FILE_H
#define FSMETA_ARCHIVE_SQLITE_FILE_H

#include "base/error.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

struct fsmeta_sqlite_file {
	sqlite3 *handle;
	/** *Owned*. */
	char *path;
};

/**
 * Opens `path` (":memory:" is one in memory), and where it is empty makes it with `schema`.
 * `application_id` tells our kinds apart: another one is FSMETA_E_FOREIGN, another `version`
 * FSMETA_E_UNSUPPORTED.  `synchronous`: every commit outlives a power cut, otherwise the last
 * ones may go, whole.  Close it in any case.
 */
int fsmeta_sqlite_file_open(struct fsmeta_sqlite_file *out, const char *path, bool writable,
    bool synchronous, int32_t application_id, int32_t version, const char *schema,
    struct fsmeta_error *error);

void fsmeta_sqlite_file_close(struct fsmeta_sqlite_file *file);

int fsmeta_sqlite_file_execute(
    const struct fsmeta_sqlite_file *file, const char *sql, struct fsmeta_error *error);

/** *new*, for sqlite3_finalize(). */
int fsmeta_sqlite_file_prepare(sqlite3_stmt **out, const struct fsmeta_sqlite_file *file,
    const char *sql, struct fsmeta_error *error);

/** 1 with a row, 0 at the end, or a code; at the end and on failure it is reset. */
int fsmeta_sqlite_file_step(
    const struct fsmeta_sqlite_file *file, sqlite3_stmt *statement, struct fsmeta_error *error);

/** Runs it to its end and resets it. */
int fsmeta_sqlite_file_run(
    const struct fsmeta_sqlite_file *file, sqlite3_stmt *statement, struct fsmeta_error *error);

#endif
