/*
 * SQLite files of archives.  WAL, so that readers and the recorder do not wait for one
 * another; a file system that cannot do that keeps the rollback journal.
 */
#include "archive/sqlite_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BUSY_TIMEOUT_MS = 20000
};

/** Turns a result of SQLite into an error. */
static int fail(const struct fsmeta_sqlite_file *file, int result, struct fsmeta_error *error)
{
	static const char action[] = "using the database";
	enum fsmeta_code code = FSMETA_E_CORRUPT;

	switch (result & 0xff) {
	case SQLITE_NOMEM:
		return fsmeta_error_set_memory(error, action);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		code = FSMETA_E_BUSY;
		break;
	case SQLITE_NOTADB:
		code = FSMETA_E_FOREIGN;
		break;
	case SQLITE_FULL:
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_READONLY:
		code = FSMETA_E_SYSTEM;
		break;
	case SQLITE_MISUSE:
		code = FSMETA_E_INTERNAL;
		break;
	}
	fsmeta_error_set(error, code, file->path, action, "%s",
	    file->handle ? sqlite3_errmsg(file->handle) : sqlite3_errstr(result));
	if (error && code == FSMETA_E_SYSTEM) {
		error->system_errno = file->handle ? sqlite3_system_errno(file->handle) : 0;
		if (!error->system_errno)
			error->system_errno = (result & 0xff) == SQLITE_FULL ? ENOSPC : EIO;
	}
	return code;
}

int fsmeta_sqlite_file_execute(
    const struct fsmeta_sqlite_file *file, const char *sql, struct fsmeta_error *error)
{
	int result = sqlite3_exec(file->handle, sql, NULL, NULL, NULL);

	return result == SQLITE_OK ? 0 : fail(file, result, error);
}

int fsmeta_sqlite_file_prepare(sqlite3_stmt **out, const struct fsmeta_sqlite_file *file,
    const char *sql, struct fsmeta_error *error)
{
	int result =
	    sqlite3_prepare_v3(file->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);

	return result == SQLITE_OK ? 0 : fail(file, result, error);
}

int fsmeta_sqlite_file_step(
    const struct fsmeta_sqlite_file *file, sqlite3_stmt *statement, struct fsmeta_error *error)
{
	int result = sqlite3_step(statement);
	int code;

	if (result == SQLITE_ROW)
		return 1;
	code = result == SQLITE_DONE ? 0 : fail(file, result, error);
	sqlite3_reset(statement);
	return code;
}

int fsmeta_sqlite_file_run(
    const struct fsmeta_sqlite_file *file, sqlite3_stmt *statement, struct fsmeta_error *error)
{
	int code;

	do {
		code = fsmeta_sqlite_file_step(file, statement, error);
	} while (code > 0);
	return code;
}

static int get_pragma(int64_t *out, const struct fsmeta_sqlite_file *file, const char *sql,
    struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_sqlite_file_prepare(&statement, file, sql, error);

	*out = 0;
	if (!code && (code = fsmeta_sqlite_file_step(file, statement, error)) > 0)
		*out = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return code < 0 ? code : 0;
}

/** Two that find it empty at once: the second finds the schema of the first. */
static int make_schema(const struct fsmeta_sqlite_file *file, int32_t application_id,
    int32_t version, const char *schema, struct fsmeta_error *error)
{
	int64_t tables = 0;
	char pragmas[96];
	int code = fsmeta_sqlite_file_execute(file, "BEGIN IMMEDIATE", error);

	snprintf(pragmas, sizeof(pragmas), "PRAGMA application_id=%d;PRAGMA user_version=%d;",
	    (int)application_id, (int)version);
	if (code)
		return code;
	code = get_pragma(&tables, file, "SELECT count(*) FROM sqlite_schema", error);
	if (!code && !tables)
		code = fsmeta_sqlite_file_execute(file, pragmas, error);
	if (!code && !tables)
		code = fsmeta_sqlite_file_execute(file, schema, error);
	if (!code)
		code = fsmeta_sqlite_file_execute(file, "COMMIT", error);
	if (code)
		sqlite3_exec(file->handle, "ROLLBACK", NULL, NULL, NULL);
	return code;
}

static int check_kind(const struct fsmeta_sqlite_file *file, bool writable, int32_t application_id,
    int32_t version, const char *schema, struct fsmeta_error *error)
{
	static const char action[] = "opening the database";
	int64_t tables, id, found;
	int code = get_pragma(&tables, file, "SELECT count(*) FROM sqlite_schema", error);

	if (!code && !tables && writable)
		code = make_schema(file, application_id, version, schema, error);
	if (!code)
		code = get_pragma(&id, file, "PRAGMA application_id", error);
	if (!code)
		code = get_pragma(&found, file, "PRAGMA user_version", error);
	if (!code && id != application_id)
		code = fsmeta_error_set(error, FSMETA_E_FOREIGN, file->path, action,
		    "this is a database of another kind");
	if (!code && found != version)
		code = fsmeta_error_set(error, FSMETA_E_UNSUPPORTED, file->path, action,
		    "its version is %lld, known is %d", (long long)found, (int)version);
	return code;
}

static void put_up_defences(sqlite3 *handle)
{
	sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
	sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, (int *)NULL);
	sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, (int *)NULL);
	sqlite3_limit(handle, SQLITE_LIMIT_ATTACHED, 0);
}

int fsmeta_sqlite_file_open(struct fsmeta_sqlite_file *out, const char *path, bool writable,
    bool synchronous, int32_t application_id, int32_t version, const char *schema,
    struct fsmeta_error *error)
{
	int flags = writable ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
	int result, code;

	*out = (struct fsmeta_sqlite_file){.path = strdup(path)};
	if (!out->path)
		return fsmeta_error_set_memory(error, "opening the database");
	/* FULLMUTEX: what is built on it has locks of its own, but none around its statistics. */
	result = sqlite3_open_v2(path, &out->handle, flags | SQLITE_OPEN_FULLMUTEX, NULL);
	if (result != SQLITE_OK)
		return fail(out, result, error);
	sqlite3_extended_result_codes(out->handle, 1);
	sqlite3_busy_timeout(out->handle, BUSY_TIMEOUT_MS);
	put_up_defences(out->handle);
	if (writable) {
		sqlite3_exec(out->handle, "PRAGMA journal_mode=WAL", NULL, NULL, NULL);
		code = fsmeta_sqlite_file_execute(out,
		    synchronous ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", error);
		if (code)
			return code;
	}
	return check_kind(out, writable, application_id, version, schema, error);
}

void fsmeta_sqlite_file_close(struct fsmeta_sqlite_file *file)
{
	sqlite3_close(file->handle);
	free(file->path);
	*file = (struct fsmeta_sqlite_file){0};
}
