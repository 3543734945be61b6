/*
 * A connection to the SQLite file: how it is opened so that it can be trusted
 * with a hostile file, and how SQLite's result codes become fsmeta errors.
 */
#ifndef FSMETA_DB_CONNECTION_H
#define FSMETA_DB_CONNECTION_H

#include "base/error.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

enum fsmeta_connection_kind {
	/** Reads only.  Leaves nothing beside the file where that can be helped. */
	FSMETA_CONNECTION_READ = 0,
	/** Reads and writes, with a write-ahead log where the file system can. */
	FSMETA_CONNECTION_WRITE = 1,
	/** Fills a new, empty, private file without journal or sync. */
	FSMETA_CONNECTION_BUILD = 2,
};

struct fsmeta_connection {
	sqlite3 *handle;
	/** For messages, *borrowed*. */
	const char *path;
	/** What fails is about this while it is set; constant text. */
	const char *action;
	/**
	 * PRAGMA user_version when it was opened.  A writer may have migrated the file
	 * since, so what this version has is there, and perhaps more: there is no table
	 * `change` to be read below 2.
	 */
	int schema_version;
	/**
	 * Opened without locks, because neither -wal nor -shm can be made there;
	 * `identity` tells whether somebody else wrote meanwhile.
	 */
	bool immutable;
	struct stat identity;
};

/**
 * What the first bytes of the file say, without SQLite.  FSMETA_E_SYSTEM,
 * FSMETA_E_FOREIGN, FSMETA_E_UNSUPPORTED.  *wal (may be NULL): it is in WAL mode.
 */
int fsmeta_connection_probe(const char *path, bool *wal, struct fsmeta_error *error);

/**
 * Opens `path` (which must exist) and, for READ and WRITE, checks that tables and
 * indexes are exactly those of the schema.  `path` is *borrowed* until close.
 */
int fsmeta_connection_open(struct fsmeta_connection *out, const char *path,
    enum fsmeta_connection_kind kind, struct fsmeta_error *error);

/** Closes; a zeroed connection is allowed.  All statements must be finalised. */
void fsmeta_connection_close(struct fsmeta_connection *connection);

/** Turns the connection's last failure into an error and returns its code. */
int fsmeta_connection_fail(
    const struct fsmeta_connection *connection, int result, struct fsmeta_error *error);

/** FSMETA_E_CORRUPT (or BUSY where an immutable file was changed) with this reason. */
int fsmeta_connection_corrupt(const struct fsmeta_connection *connection,
    struct fsmeta_error *error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/** False where a file that was opened without locks has been written to since. */
bool fsmeta_connection_is_unchanged(const struct fsmeta_connection *connection);

/** True where a write-ahead log with content lies beside the file. */
bool fsmeta_connection_has_log(const struct fsmeta_connection *connection);

/** Runs statements that yield nothing of interest. */
int fsmeta_connection_execute(
    const struct fsmeta_connection *connection, const char *sql, struct fsmeta_error *error);

/** Prepares one statement for repeated use; *owned* by the caller. */
int fsmeta_connection_prepare(sqlite3_stmt **out, const struct fsmeta_connection *connection,
    const char *sql, struct fsmeta_error *error);

/** 1 for a row, 0 at the end, or a negative code. */
static inline int fsmeta_connection_step(
    const struct fsmeta_connection *connection, sqlite3_stmt *statement, struct fsmeta_error *error)
{
	int result = sqlite3_step(statement);

	if (__builtin_expect(result == SQLITE_ROW, 1))
		return 1;
	return result == SQLITE_DONE ? 0 : fsmeta_connection_fail(connection, result, error);
}

/** Steps a statement that yields no row, and resets it.  0 or a code. */
int fsmeta_connection_run(const struct fsmeta_connection *connection, sqlite3_stmt *statement,
    struct fsmeta_error *error);

/** First column of the first row as an integer; `fallback` where there is none or NULL. */
int fsmeta_connection_integer(int64_t *out, const struct fsmeta_connection *connection,
    const char *sql, int64_t fallback, struct fsmeta_error *error);

#endif
