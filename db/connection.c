/*
 * Connections.
 *
 * A database may come from anywhere, so it is met with SQLite's own defences: no
 * triggers, no views, no functions from the schema, defensive mode, cell sizes
 * checked, no ATTACH, and a schema that must be ours to the letter (schema.c).
 *
 * The path always goes in as a URI that is escaped here.  Otherwise names such as
 * "file:x?mode=memory" or ":memory:" would mean something else to SQLite.
 *
 * Reading must not leave anything behind.  Which way is open depends on the file:
 *
 *     journal mode    folder and file writable    how it is opened
 *     DELETE          either                      read-only; nothing is made beside it
 *     WAL             yes                         read-write with query_only, so that
 *                                                 the last one to close removes -wal
 *                                                 and -shm, which a read-only
 *                                                 connection makes and cannot remove
 *     WAL             no, -wal and -shm there     read-only, with the writer's -shm
 *     WAL             no, -wal has something      refused: it cannot be read without -shm
 *     WAL             no, -wal is not or empty    immutable: no locks at all
 *
 * A file system that cannot map files shared (some network file systems) has no WAL, and
 * SQLite finds that out too late, when the file says WAL already.  So it is tried first,
 * and a database that was brought there in WAL mode gets another journal when it is
 * written, or when there is something in its log; else it is read as an immutable one.
 *
 * Nothing here opens the file but through SQLite, not even to look at its header: POSIX
 * takes all locks of a process from a file as soon as the process closes any descriptor of
 * it, and so a header that is read aside would take SQLite's locks from under the
 * connections that are open.  Another process could then remove their log while they
 * write to it.  SQLite's own file layer knows, and closes such descriptors later.
 *
 * Immutable is a promise that nobody writes, and on a read-only mount it is kept.
 * In a folder that is only not writable for us somebody else may; so size,
 * times and inode are compared when a cursor ends or meets damage.
 */
#include "db/connection.h"

#include "base/memory.h"
#include "db/reader.h"
#include "db/schema.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	HEADER_BYTES = 100,
	HEADER_WRITE_VERSION_AT = 18,
	HEADER_USER_VERSION_AT = 60,
	HEADER_APPLICATION_ID_AT = 68,
	/** Write version of a database in WAL mode. */
	HEADER_WRITE_VERSION_WAL = 2,
	/** SQLite maps -shm in pieces of this size. */
	SHARED_MEMORY_BYTES = 32768,
	BUSY_TIMEOUT_MS = 5000,
	/** No value of ours is longer: BatchSource JSON is the longest. */
	VALUE_MAX_BYTES = 32 << 20,
};

static uint32_t read_big_endian(const unsigned char *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

/** The header is filled up with zeros where the file is shorter. */
static int judge_header(const unsigned char *header, const char *path, struct fsmeta_error *error)
{
	static const char action[] = "opening the database";

	if (memcmp(header, "SQLite format 3", 16) != 0)
		return fsmeta_error_set(
		    error, FSMETA_E_FOREIGN, path, action, "this is not a SQLite database");
	if (read_big_endian(header + HEADER_APPLICATION_ID_AT) != FSMETA_DB_APPLICATION_ID)
		return fsmeta_error_set(error, FSMETA_E_FOREIGN, path, action,
		    "this is a SQLite database of another application");
	return fsmeta_schema_judge_version(
	    read_big_endian(header + HEADER_USER_VERSION_AT), path, error);
}

/** Nobody asks how much memory SQLite has, and to count it takes a lock for each piece. */
static void configure_library(void)
{
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

/** Before anything else is asked of SQLite. */
static void prepare_library(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, configure_library);
}

/** A file as SQLite itself opens it, without a database around it. */
struct raw_file {
	sqlite3_file *file;
	/** Lives as long as it is open. */
	sqlite3_filename name;
};

/** 0 or SQLite's result; to be closed by close_file() in any case. */
static int open_file(struct raw_file *out, const char *path, int flags)
{
	sqlite3_vfs *vfs;
	char *full;
	int result = SQLITE_NOMEM;

	prepare_library();
	vfs = sqlite3_vfs_find(NULL);
	full = vfs ? calloc(1, (size_t)vfs->mxPathname + 1) : NULL;
	*out = (struct raw_file){0};
	if (!full)
		return result;
	/* It opens no symlink, and has them followed before. */
	result = vfs->xFullPathname(vfs, path, vfs->mxPathname + 1, full);
	if (result == SQLITE_OK_SYMLINK)
		result = SQLITE_OK;
	if (!result) {
		out->name = sqlite3_create_filename(full, "", "", 0, NULL);
		out->file = calloc(1, (size_t)vfs->szOsFile);
		result = out->name && out->file ? vfs->xOpen(vfs, out->name, out->file,
						      flags | SQLITE_OPEN_MAIN_DB, NULL)
						: SQLITE_NOMEM;
	}
	free(full);
	return result;
}

static void close_file(struct raw_file *raw)
{
	if (raw->file && raw->file->pMethods)
		raw->file->pMethods->xClose(raw->file);
	free(raw->file);
	sqlite3_free_filename(raw->name);
}

static int read_header(const char *path, unsigned char *header, struct fsmeta_error *error)
{
	static const char action[] = "opening the database";
	struct raw_file raw;
	int result = open_file(&raw, path, SQLITE_OPEN_READONLY);
	int failed = errno;

	if (!result) {
		result = raw.file->pMethods->xRead(raw.file, header, HEADER_BYTES, 0);
		failed = errno;
	}
	close_file(&raw);
	if (result == SQLITE_NOMEM)
		return fsmeta_error_set_memory(error, action);
	if (result == SQLITE_OK || result == SQLITE_IOERR_SHORT_READ)
		return 0;
	return fsmeta_error_set_errno(error, failed ? failed : EIO, path, action);
}

int fsmeta_connection_probe(const char *path, bool *wal, struct fsmeta_error *error)
{
	static const char action[] = "opening the database";
	unsigned char header[HEADER_BYTES] = {0};
	struct stat status;
	int code;

	/* A FIFO of that name would hold us up. */
	if (stat(path, &status) < 0)
		return fsmeta_error_set_errno(error, errno, path, action);
	if (!S_ISREG(status.st_mode))
		return fsmeta_error_set(
		    error, FSMETA_E_FOREIGN, path, action, "this is not a regular file");
	code = read_header(path, header, error);
	if (!code)
		code = judge_header(header, path, error);
	if (!code && wal)
		*wal = header[HEADER_WRITE_VERSION_AT] == HEADER_WRITE_VERSION_WAL;
	return code;
}

/* ---- errors ----------------------------------------------------------- */

static int code_of_result(int result)
{
	switch (result & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return FSMETA_E_BUSY;
	case SQLITE_NOMEM:
		return FSMETA_E_MEMORY;
	case SQLITE_FULL:
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_READONLY:
		return FSMETA_E_SYSTEM;
	case SQLITE_NOTADB:
		return FSMETA_E_FOREIGN;
	case SQLITE_TOOBIG:
		return FSMETA_E_LIMIT;
	case SQLITE_INTERRUPT:
		return FSMETA_E_STOPPED;
	case SQLITE_MISUSE:
		return FSMETA_E_INTERNAL;
	default:
		return FSMETA_E_CORRUPT;
	}
}

static const char *action_of(const struct fsmeta_connection *connection)
{
	return connection->action ? connection->action : "reading the database";
}

bool fsmeta_connection_is_unchanged(const struct fsmeta_connection *connection)
{
	const struct stat *was = &connection->identity;
	struct stat now;

	if (!connection->immutable)
		return true;
	return stat(connection->path, &now) == 0 && now.st_ino == was->st_ino &&
	       now.st_size == was->st_size && now.st_mtim.tv_sec == was->st_mtim.tv_sec &&
	       now.st_mtim.tv_nsec == was->st_mtim.tv_nsec;
}

int fsmeta_connection_fail(
    const struct fsmeta_connection *connection, int result, struct fsmeta_error *error)
{
	int code = code_of_result(result);
	int system_errno = connection->handle ? sqlite3_system_errno(connection->handle) : 0;
	const char *reason =
	    connection->handle ? sqlite3_errmsg(connection->handle) : sqlite3_errstr(result);

	if (code == FSMETA_E_CORRUPT)
		return fsmeta_connection_corrupt(connection, error, "%s", reason);
	if (code == FSMETA_E_MEMORY)
		return fsmeta_error_set_memory(error, action_of(connection));
	if (code != FSMETA_E_SYSTEM)
		system_errno = 0;
	else if (!system_errno)
		system_errno = (result & 0xff) == SQLITE_FULL ? ENOSPC : EIO;
	if (system_errno)
		fsmeta_error_set(error, code, connection->path, action_of(connection), "%s (%s)",
		    reason, strerrordesc_np(system_errno));
	else
		fsmeta_error_set(
		    error, code, connection->path, action_of(connection), "%s", reason);
	if (error)
		error->system_errno = system_errno;
	return code;
}

int fsmeta_connection_corrupt(
    const struct fsmeta_connection *connection, struct fsmeta_error *error, const char *format, ...)
{
	char reason[FSMETA_ERROR_REASON_BYTES];
	va_list arguments;

	if (!fsmeta_connection_is_unchanged(connection))
		return fsmeta_error_set(error, FSMETA_E_BUSY, connection->path,
		    action_of(connection), "somebody else wrote to it while it was read");
	va_start(arguments, format);
	vsnprintf(reason, sizeof(reason), format, arguments);
	va_end(arguments);
	return fsmeta_error_set(
	    error, FSMETA_E_CORRUPT, connection->path, action_of(connection), "%s", reason);
}

/* ---- statements ------------------------------------------------------- */

int fsmeta_connection_execute(
    const struct fsmeta_connection *connection, const char *sql, struct fsmeta_error *error)
{
	int result = sqlite3_exec(connection->handle, sql, NULL, NULL, NULL);

	return result == SQLITE_OK ? 0 : fsmeta_connection_fail(connection, result, error);
}

int fsmeta_connection_prepare(sqlite3_stmt **out, const struct fsmeta_connection *connection,
    const char *sql, struct fsmeta_error *error)
{
	int result =
	    sqlite3_prepare_v3(connection->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);

	return result == SQLITE_OK ? 0 : fsmeta_connection_fail(connection, result, error);
}

int fsmeta_connection_run(
    const struct fsmeta_connection *connection, sqlite3_stmt *statement, struct fsmeta_error *error)
{
	int result = sqlite3_step(statement);
	int code = 0;

	if (result != SQLITE_DONE && result != SQLITE_ROW)
		code = fsmeta_connection_fail(connection, result, error);
	sqlite3_reset(statement);
	return code;
}

int fsmeta_connection_integer(int64_t *out, const struct fsmeta_connection *connection,
    const char *sql, int64_t fallback, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_connection_prepare(&statement, connection, sql, error);

	*out = fallback;
	if (!code)
		code = fsmeta_connection_step(connection, statement, error);
	if (code > 0 && sqlite3_column_type(statement, 0) != SQLITE_NULL)
		*out = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return code < 0 ? code : 0;
}

/* ---- opening ---------------------------------------------------------- */

/** "file:" with the path escaped, and `query` behind it. */
static int append_uri(struct fsmeta_buffer *out, const char *path, const char *query)
{
	static const char plain[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-";
	int code = fsmeta_buffer_append_text(out, path[0] == '/' ? "file://" : "file:./");

	for (; *path && !code; path++)
		code = strchr(plain, *path)
			   ? fsmeta_buffer_append_byte(out, (unsigned char)*path)
			   : fsmeta_buffer_append_format(out, "%%%02X", (unsigned char)*path);
	if (!code)
		code = fsmeta_buffer_append_text(out, query);
	return code;
}

/** Checks that files can be made beside `path`, else errno says why not. */
static int check_folder(const char *path, struct fsmeta_error *error)
{
	const char *slash = strrchr(path, '/');
	char *folder = strndup(path, !slash ? 0 : slash == path ? 1 : (size_t)(slash - path));
	int code = 0;

	if (!folder)
		return fsmeta_error_set_memory(error, "opening the database");
	if (access(slash ? folder : ".", W_OK) < 0)
		code = fsmeta_error_set_errno(
		    error, errno, slash ? folder : ".", "making the database's journal");
	free(folder);
	return code;
}

/** SQLite would say that it cannot open the file, and not why. */
static int check_writable(const char *path, struct fsmeta_error *error)
{
	if (access(path, W_OK) < 0)
		return fsmeta_error_set_errno(
		    error, errno, path, "opening the database for writing");
	return check_folder(path, error);
}

/** Finds the size of the file beside it; false where there is none. */
static bool find_beside(const char *path, const char *suffix, off_t *bytes)
{
	struct fsmeta_buffer name = {0};
	struct stat status;
	bool there = fsmeta_buffer_append_text(&name, path) == 0 &&
		     fsmeta_buffer_append_text(&name, suffix) == 0 && fsmeta_buffer_string(&name) &&
		     stat((const char *)name.data, &status) == 0;

	*bytes = there ? status.st_size : 0;
	fsmeta_buffer_release(&name);
	return there;
}

bool fsmeta_connection_has_log(const struct fsmeta_connection *connection)
{
	off_t bytes;

	return find_beside(connection->path, "-wal", &bytes) && bytes > 0;
}

/**
 * True where files of this file system can be mapped by several at once, as WAL needs it:
 * SQLite maps its own -shm.  That stays for who opens the log next, or goes: `alone` is a
 * promise that nobody else has one.
 */
static bool can_share_memory(const char *path, bool alone)
{
	void volatile *memory;
	struct raw_file raw;
	int result = open_file(&raw, path, SQLITE_OPEN_READWRITE);
	bool cannot = false;

	if (!result) {
		result = raw.file->pMethods->xShmMap(raw.file, 0, SHARED_MEMORY_BYTES, 1, &memory);
		/* That we are out of memory says nothing of others, who may well have it mapped. */
		cannot = result == SQLITE_IOERR_SHMMAP && errno != ENOMEM;
		raw.file->pMethods->xShmUnmap(raw.file, alone || cannot);
	}
	close_file(&raw);
	/* What else may be wrong SQLite will say. */
	return !cannot;
}

static int open_handle(struct fsmeta_connection *connection, int flags, struct fsmeta_error *error)
{
	struct fsmeta_buffer uri = {0};
	const char *text = NULL;
	int code = append_uri(&uri, connection->path, connection->immutable ? "?immutable=1" : "");

	if (!code)
		text = fsmeta_buffer_string(&uri);
	if (!text) {
		code = fsmeta_error_set_memory(error, connection->action);
	} else {
		int result = sqlite3_open_v2(
		    text, &connection->handle, flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL);

		code = result == SQLITE_OK ? 0 : fsmeta_connection_fail(connection, result, error);
	}
	fsmeta_buffer_release(&uri);
	return code;
}

/** Folds the log into the file, which gets another journal: whoever is alone needs no memory. */
static int leave_log(const char *path, struct fsmeta_error *error)
{
	struct fsmeta_connection alone = {.path = path, .action = "folding the database's log"};
	int code = open_handle(&alone, SQLITE_OPEN_READWRITE, error);

	if (!code)
		code = fsmeta_connection_execute(
		    &alone, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=DELETE", error);
	fsmeta_connection_close(&alone);
	return code;
}

/** What cannot be opened for writing, by the last three lines of the table in the essay. */
static int plan_reading(struct fsmeta_connection *connection, bool wal, struct fsmeta_error *error)
{
	off_t log_bytes, bytes;
	bool log = find_beside(connection->path, "-wal", &log_bytes);

	if (!wal || (log && find_beside(connection->path, "-shm", &bytes)))
		return 0;
	if (log_bytes)
		return fsmeta_error_set(error, FSMETA_E_REFUSED, connection->path,
		    connection->action,
		    "it was not closed when it was last written to, and nothing can be written "
		    "beside it; open a copy of it and its -wal elsewhere");
	connection->immutable = true;
	return stat(connection->path, &connection->identity) < 0
		   ? fsmeta_error_set_errno(error, errno, connection->path, connection->action)
		   : 0;
}

/** The table in the essay: flags for SQLite, and whether to look without locks. */
static int plan_opening(struct fsmeta_connection *connection, enum fsmeta_connection_kind kind,
    int *flags, struct fsmeta_error *error)
{
	bool wal = false, writes = kind == FSMETA_CONNECTION_WRITE;
	int code;

	*flags = SQLITE_OPEN_READWRITE;
	if (kind == FSMETA_CONNECTION_BUILD)
		return 0;
	code = fsmeta_connection_probe(connection->path, &wal, error);
	if (!code && writes)
		code = check_writable(connection->path, error);
	if (code || (!wal && writes))
		return code;
	if (wal && (writes || check_writable(connection->path, NULL) == 0)) {
		if (can_share_memory(connection->path, false))
			return 0;
		if (writes || fsmeta_connection_has_log(connection)) {
			code = leave_log(connection->path, error);
			wal = false;
		}
	}
	if (code || writes)
		return code;
	*flags = SQLITE_OPEN_READONLY;
	return plan_reading(connection, wal, error);
}

static void put_up_defences(sqlite3 *handle)
{
	static const struct {
		int option;
		int value;
	} settings[] = {
	    {SQLITE_DBCONFIG_DEFENSIVE, 1},
	    {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
	    {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
	    {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
	    {SQLITE_DBCONFIG_ENABLE_FKEY, 0},
	    {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
	};

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		sqlite3_db_config(handle, settings[i].option, settings[i].value, (int *)NULL);
	sqlite3_limit(handle, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, VALUE_MAX_BYTES);
}

static int configure(struct fsmeta_connection *connection, enum fsmeta_connection_kind kind,
    struct fsmeta_error *error)
{
	/* What is only read is read in order; a large cache would be memory to be had first. */
	static const char *const pragmas[] = {
	    [FSMETA_CONNECTION_READ] = "PRAGMA cell_size_check=ON;"
				       "PRAGMA cache_size=-512;"
				       "PRAGMA query_only=ON;",
	    [FSMETA_CONNECTION_WRITE] = "PRAGMA cell_size_check=ON;"
					"PRAGMA cache_size=-32768;"
					"PRAGMA secure_delete=OFF;"
					"PRAGMA synchronous=FULL;",
	    [FSMETA_CONNECTION_BUILD] = "PRAGMA page_size=4096;"
					"PRAGMA cache_size=-32768;"
					"PRAGMA secure_delete=OFF;"
					"PRAGMA locking_mode=EXCLUSIVE;"
					"PRAGMA journal_mode=OFF;"
					"PRAGMA synchronous=OFF;",
	};
	int code;

	sqlite3_extended_result_codes(connection->handle, 1);
	code = fsmeta_connection_execute(connection, pragmas[kind], error);
	/* Defensive mode forbids journal_mode=OFF, so it comes behind. */
	put_up_defences(connection->handle);
	return code;
}

static bool uses_log(const struct fsmeta_connection *connection)
{
	sqlite3_stmt *statement = NULL;
	bool wal = false;

	if (sqlite3_prepare_v2(connection->handle, "PRAGMA journal_mode", -1, &statement, NULL) ==
		SQLITE_OK &&
	    sqlite3_step(statement) == SQLITE_ROW)
		wal = strcmp((const char *)sqlite3_column_text(statement, 0), "wal") == 0;
	sqlite3_finalize(statement);
	return wal;
}

/**
 * WAL where the file system can; the answer "delete" is as good.  Somebody who
 * reads just now prevents the change, and it is made another time.
 */
static void prefer_log(const struct fsmeta_connection *connection)
{
	sqlite3 *handle = connection->handle;
	bool can;

	if (uses_log(connection))
		return;
	sqlite3_busy_timeout(handle, 0);
	if (sqlite3_exec(handle, "BEGIN EXCLUSIVE", NULL, NULL, NULL) == SQLITE_OK) {
		can = can_share_memory(connection->path, true);
		sqlite3_exec(handle, "ROLLBACK", NULL, NULL, NULL);
		if (can)
			sqlite3_exec(handle, "PRAGMA journal_mode=WAL", NULL, NULL, NULL);
	}
	sqlite3_busy_timeout(handle, BUSY_TIMEOUT_MS);
}

int fsmeta_connection_open(struct fsmeta_connection *out, const char *path,
    enum fsmeta_connection_kind kind, struct fsmeta_error *error)
{
	int flags, code;

	prepare_library();
	*out = (struct fsmeta_connection){.path = path,
	    .action = "opening the database",
	    .schema_version = FSMETA_DB_SCHEMA_VERSION};
	code = plan_opening(out, kind, &flags, error);
	if (!code)
		code = open_handle(out, flags, error);
	if (code)
		goto done;
	sqlite3_busy_timeout(out->handle, BUSY_TIMEOUT_MS);
	code = configure(out, kind, error);
	if (!code)
		code = fsmeta_reader_register(out, error);
	if (!code && kind != FSMETA_CONNECTION_BUILD)
		code = fsmeta_schema_check(out, error);
	if (!code && kind == FSMETA_CONNECTION_WRITE)
		prefer_log(out);
done:
	if (code)
		fsmeta_connection_close(out);
	else
		out->action = NULL;
	return code;
}

void fsmeta_connection_close(struct fsmeta_connection *connection)
{
	sqlite3_close(connection->handle);
	connection->handle = NULL;
}
