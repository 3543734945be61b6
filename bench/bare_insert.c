/*
 * bare_insert DATABASE NEW [wal]: the rows and columns of an FsMetaDb's newest
 * state, inserted into the same clustered tables of a new file and nothing else: no stream
 * to decode, no order to check, no digest, no labels.  The limit for an import.
 *
 * Rows are read into memory first; what is timed is the inserting, in key order, in one
 * transaction, up to the end of fsync.  By default without a journal, as a first
 * import can do it; with `wal` in WAL mode with synchronous=NORMAL, as a program
 * would that adds to a database of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	COLUMNS_MAX = 32,
};

static const char *const tables[] = {"file", "folder", "folder_position", "attributes"};

/** Values one behind the other: type byte, then 8 bytes, or 4 bytes length and bytes. */
struct rows {
	unsigned char *data;
	size_t length;
	size_t capacity;
	uint64_t count;
	int columns;
};

static _Noreturn void fail(sqlite3 *db, const char *what)
{
	fprintf(stderr, "bare_insert: %s: %s\n", what, db ? sqlite3_errmsg(db) : strerror(errno));
	exit(1);
}

static void execute(sqlite3 *db, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail(db, sql);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *statement;

	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
		fail(db, sql);
	return statement;
}

static void append(struct rows *rows, const void *bytes, size_t length)
{
	if (rows->capacity - rows->length < length) {
		size_t capacity = rows->capacity ? 2 * rows->capacity : (size_t)1 << 24;
		unsigned char *grown = realloc(rows->data, capacity);

		if (!grown)
			fail(NULL, "memory");
		rows->data = grown;
		rows->capacity = capacity;
	}
	memcpy(rows->data + rows->length, bytes, length);
	rows->length += length;
}

static void append_value(struct rows *rows, sqlite3_stmt *statement, int column)
{
	unsigned char type = (unsigned char)sqlite3_column_type(statement, column);

	append(rows, &type, 1);
	if (type == SQLITE_INTEGER) {
		int64_t value = sqlite3_column_int64(statement, column);

		append(rows, &value, sizeof(value));
	} else if (type != SQLITE_NULL) {
		const void *bytes = sqlite3_column_blob(statement, column);
		uint32_t length = (uint32_t)sqlite3_column_bytes(statement, column);

		append(rows, &length, sizeof(length));
		if (length)
			append(rows, bytes, length);
	}
}

static void load(struct rows *rows, sqlite3 *db, const char *table)
{
	char *sql = sqlite3_mprintf("SELECT * FROM %s", table);
	sqlite3_stmt *statement = prepare(db, sql);

	rows->columns = sqlite3_column_count(statement);
	while (sqlite3_step(statement) == SQLITE_ROW) {
		for (int i = 0; i < rows->columns; i++)
			append_value(rows, statement, i);
		rows->count++;
	}
	if (sqlite3_finalize(statement) != SQLITE_OK || rows->columns > COLUMNS_MAX)
		fail(db, sql);
	sqlite3_free(sql);
}

static const unsigned char *bind_value(sqlite3_stmt *statement, int column, const unsigned char *at)
{
	unsigned char type = *at++;
	uint32_t length;
	int64_t value;

	if (type == SQLITE_NULL) {
		sqlite3_bind_null(statement, column);
		return at;
	}
	if (type == SQLITE_INTEGER) {
		memcpy(&value, at, sizeof(value));
		sqlite3_bind_int64(statement, column, value);
		return at + sizeof(value);
	}
	memcpy(&length, at, sizeof(length));
	at += sizeof(length);
	if (type == SQLITE_TEXT)
		sqlite3_bind_text(statement, column, (const char *)at, (int)length, SQLITE_STATIC);
	else
		sqlite3_bind_blob(statement, column, at, (int)length, SQLITE_STATIC);
	return at + length;
}

static void insert(const struct rows *rows, sqlite3 *db, const char *table)
{
	char places[2 * COLUMNS_MAX + 1] = "";
	const unsigned char *at = rows->data;
	sqlite3_stmt *statement;
	char *sql;

	for (int i = 0; i < rows->columns; i++)
		strcat(places, i ? ",?" : "?");
	sql = sqlite3_mprintf("INSERT INTO %s VALUES (%s)", table, places);
	statement = prepare(db, sql);
	for (uint64_t row = 0; row < rows->count; row++) {
		for (int i = 0; i < rows->columns; i++)
			at = bind_value(statement, i + 1, at);
		if (sqlite3_step(statement) != SQLITE_DONE)
			fail(db, sql);
		sqlite3_reset(statement);
	}
	sqlite3_finalize(statement);
	sqlite3_free(sql);
}

/** The table as the old file has it. */
static void copy_table(sqlite3 *to, sqlite3 *from, const char *table)
{
	sqlite3_stmt *statement = prepare(from, "SELECT sql FROM sqlite_schema WHERE name = ?1");

	sqlite3_bind_text(statement, 1, table, -1, SQLITE_STATIC);
	if (sqlite3_step(statement) != SQLITE_ROW)
		fail(from, table);
	execute(to, (const char *)sqlite3_column_text(statement, 0));
	sqlite3_finalize(statement);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void sync_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		fail(NULL, path);
	close(fd);
}

int main(int argc, char **argv)
{
	struct rows rows[sizeof(tables) / sizeof(tables[0])] = {{0}};
	size_t table_count = sizeof(tables) / sizeof(tables[0]);
	uint64_t total = 0;
	sqlite3 *from, *to;
	struct stat status;
	double start;

	if (argc != 3 && !(argc == 4 && strcmp(argv[3], "wal") == 0)) {
		fprintf(stderr, "usage: bare_insert DATABASE NEW [wal]\n");
		return 64;
	}
	if (stat(argv[2], &status) == 0) {
		fprintf(stderr, "bare_insert: %s: exists already\n", argv[2]);
		return 1;
	}
	if (sqlite3_open_v2(argv[1], &from, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
		fail(from, argv[1]);
	for (size_t i = 0; i < table_count; i++)
		load(&rows[i], from, tables[i]);

	start = now();
	if (sqlite3_open(argv[2], &to) != SQLITE_OK)
		fail(to, argv[2]);
	execute(to, "PRAGMA page_size=4096; PRAGMA cache_size=-32768");
	execute(to, argc == 4 ? "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL"
			      : "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF");
	for (size_t i = 0; i < table_count; i++)
		copy_table(to, from, tables[i]);
	execute(to, "BEGIN");
	for (size_t i = 0; i < table_count; i++) {
		insert(&rows[i], to, tables[i]);
		total += rows[i].count;
	}
	execute(to, "COMMIT");
	if (sqlite3_close(to) != SQLITE_OK)
		fail(to, argv[2]);
	sync_file(argv[2]);
	printf("%.3f s  %" PRIu64 " rows\n", now() - start, total);
	for (size_t i = 0; i < table_count; i++)
		free(rows[i].data);
	sqlite3_close(from);
	return 0;
}
