/*
 * The handle: opening, closing, and the cursor over a generation.
 *
 * A cursor reads within a transaction that lasts until its end, so a writer may commit
 * meanwhile and the cursor does not see it.  To open a connection takes longer than to look
 * for a hundred entries: so a handle that only reads lends its own to the first cursor, and
 * sees the same moment meanwhile; else the cursor has one to itself.  Only what a writer has not
 * committed yet is read on the writer's own connection.
 */
#include "db/db.h"

#include "db/internal.h"
#include "db/reader.h"
#include "db/row.h"
#include "db/unseen.h"
#include "db/update.h"
#include "format/guide.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool fsmeta_db_is_database(const char *path)
{
	int code = fsmeta_connection_probe(path, NULL, NULL);

	/* A newer version's is one too, and is refused by name when it is opened. */
	return code == 0 || code == FSMETA_E_UNSUPPORTED;
}

static bool is_missing(const char *path)
{
	struct stat status;

	return lstat(path, &status) < 0 && errno == ENOENT;
}

int fsmeta_db_open(
    struct fsmeta_db **out, const char *path, enum fsmeta_db_mode mode, struct fsmeta_error *error)
{
	struct fsmeta_db *db = calloc(1, sizeof(*db));
	int code = 0;

	*out = NULL;
	if (db)
		db->path = strdup(path);
	if (!db || !db->path) {
		free(db);
		return fsmeta_error_set_memory(error, "opening the database");
	}
	db->mode = mode;
	db->connection.path = db->path;
	if (mode == FSMETA_DB_READ || !is_missing(path))
		code = fsmeta_connection_open(&db->connection, db->path,
		    mode == FSMETA_DB_WRITE ? FSMETA_CONNECTION_WRITE : FSMETA_CONNECTION_READ,
		    error);
	if (code) {
		fsmeta_db_close(db);
		return code;
	}
	*out = db;
	return 0;
}

void fsmeta_db_close(struct fsmeta_db *db)
{
	if (!db)
		return;
	/* Where somebody still reads, the log stays until that one closes. */
	if (db->connection.handle && db->mode == FSMETA_DB_WRITE) {
		sqlite3_busy_timeout(db->connection.handle, 0);
		sqlite3_exec(
		    db->connection.handle, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
	}
	fsmeta_connection_close(&db->connection);
	free(db->path);
	free(db);
}

/* ---- cursor ------------------------------------------------------------ */

/**
 * A moment of the database, for one cursor or the two of a difference: until the last of them is
 * at its end.
 */
struct snapshot {
	unsigned users;
	/** `own`, that of the lender, or *borrowed* of an update. */
	struct fsmeta_connection *connection;
	struct fsmeta_connection own;
	/** Whose connection it is; NULL = `own` or an update's. */
	struct fsmeta_db *lender;
	struct fsmeta_difference difference;
};

struct db_cursor {
	struct fsmeta_cursor cursor;
	/** *Owned*: what messages call it. */
	char *label;
	/** NULL behind the end, and for generation 0. */
	struct snapshot *snapshot;
	struct fsmeta_dictionary dictionary;
	struct fsmeta_db_generation generation;
	/** NULL for generation 0, which is empty. */
	struct fsmeta_reader *reader;
	/** Where runs are offered: folders with something that was not seen. */
	struct fsmeta_unseen unseen;
};

/**
 * A handle for reading lends its own connection, which takes a while to open, where that is not
 * lent yet; within an update it is the update's.
 */
static int snapshot_new(struct snapshot **out, struct fsmeta_db *db,
    struct fsmeta_db_update *update, struct fsmeta_error *error)
{
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
	int code = 0;

	*out = snapshot;
	if (!snapshot)
		return fsmeta_error_set_memory(error, "reading the database");
	snapshot->users = 1;
	snapshot->connection = update ? update->connection : &snapshot->own;
	if (update)
		return 0;
	if (db->mode == FSMETA_DB_READ && !db->lent) {
		snapshot->connection = &db->connection;
		snapshot->lender = db;
		db->lent = true;
	} else {
		code =
		    fsmeta_connection_open(&snapshot->own, db->path, FSMETA_CONNECTION_READ, error);
	}
	return code ? code : fsmeta_connection_execute(snapshot->connection, "BEGIN", error);
}

/** NULL is allowed. */
static void snapshot_release(struct snapshot *snapshot)
{
	if (!snapshot || --snapshot->users)
		return;
	if (snapshot->lender) {
		sqlite3_exec(snapshot->connection->handle, "COMMIT", NULL, NULL, NULL);
		snapshot->lender->lent = false;
	}
	fsmeta_difference_release(&snapshot->difference);
	fsmeta_connection_close(&snapshot->own);
	free(snapshot);
}

/** Nothing is left to be read.  Without WAL nobody could commit while the snapshot lasts. */
static void end_reading(struct db_cursor *cursor)
{
	fsmeta_reader_free(cursor->reader);
	cursor->reader = NULL;
	snapshot_release(cursor->snapshot);
	cursor->snapshot = NULL;
}

static int cursor_next(
    struct fsmeta_cursor *base, const struct fsmeta_entry **entry, struct fsmeta_error *error)
{
	struct db_cursor *cursor = (struct db_cursor *)base;
	int code;

	*entry = NULL;
	if (!cursor->reader)
		return 0;
	code = fsmeta_reader_next(cursor->reader, entry, error);
	if (code == 0 && !fsmeta_connection_is_unchanged(cursor->snapshot->connection))
		return fsmeta_error_set(error, FSMETA_E_BUSY, cursor->snapshot->connection->path,
		    "reading the database", "somebody else wrote to it while it was read");
	if (code == 0)
		end_reading(cursor);
	return code;
}

static int cursor_skip(struct fsmeta_cursor *base, uint32_t depth, struct fsmeta_error *error)
{
	struct db_cursor *cursor = (struct db_cursor *)base;

	return cursor->reader ? fsmeta_reader_skip(cursor->reader, depth, error) : 0;
}

static int cursor_leap(
    struct fsmeta_cursor *base, const char *path, size_t length, struct fsmeta_error *error)
{
	struct db_cursor *cursor = (struct db_cursor *)base;

	return cursor->reader ? fsmeta_reader_leap(cursor->reader, path, length, error) : 0;
}

/** Nothing in the folder may be carried, or be a place that could not be looked at. */
static int cursor_run(struct fsmeta_cursor *base, enum fsmeta_run_kind kind, struct fsmeta_run *run,
    struct fsmeta_error *error)
{
	struct db_cursor *cursor = (struct db_cursor *)base;
	uint64_t folder;

	(void)error;
	if (kind != FSMETA_RUN_FILES || !cursor->reader ||
	    !fsmeta_reader_enters(cursor->reader, &folder) ||
	    fsmeta_folder_set_has(&cursor->unseen.folders, (int64_t)folder))
		return 0;
	*run = (struct fsmeta_run){.kind = kind,
	    .token =
		fsmeta_guide_token(&cursor->generation.source, cursor->generation.number, folder)};
	return 1;
}

static int cursor_step(
    struct fsmeta_cursor *base, const struct fsmeta_run *run, struct fsmeta_error *error)
{
	(void)run;
	(void)error;
	fsmeta_reader_pass_files(((struct db_cursor *)base)->reader);
	return 0;
}

static void cursor_close(struct fsmeta_cursor *base)
{
	struct db_cursor *cursor = (struct db_cursor *)base;

	end_reading(cursor);
	fsmeta_unseen_release(&cursor->unseen);
	fsmeta_dictionary_release(&cursor->dictionary);
	fsmeta_db_generation_release(&cursor->generation);
	free(cursor->label);
	free(cursor);
}

static const struct fsmeta_cursor_operations cursor_operations = {
    .next = cursor_next,
    .skip = cursor_skip,
    .leap = cursor_leap,
    .close = cursor_close,
};

static const struct fsmeta_cursor_operations offering_operations = {
    .next = cursor_next,
    .skip = cursor_skip,
    .leap = cursor_leap,
    .run = cursor_run,
    .step = cursor_step,
    .close = cursor_close,
};

static int load_generation(struct db_cursor *cursor, uint64_t number, struct fsmeta_error *error)
{
	const struct fsmeta_connection *connection = cursor->snapshot->connection;
	int code;

	fsmeta_db_generation_release(&cursor->generation);
	code = fsmeta_generation_load(&cursor->generation, connection, number, error);
	if (!code && cursor->generation.pruned)
		code = fsmeta_error_set(error, FSMETA_E_NOT_FOUND, connection->path,
		    "reading a generation", "generation %" PRIu64 " was pruned", number);
	return code;
}

static int start_reader(struct db_cursor *cursor, const struct fsmeta_db_cursor_options *options,
    const struct fsmeta_selection *selection, struct fsmeta_error *error)
{
	const struct fsmeta_connection *connection = cursor->snapshot->connection;
	const struct fsmeta_db_generation *generation = &cursor->generation;
	struct fsmeta_reader_options reader_options = {
	    .generation = generation->number,
	    .source = &generation->source,
	    .field_mask = generation->source.field_mask,
	    .seen_only = options && options->seen_only,
	    .selection = selection,
	    .stop = options ? options->stop : NULL,
	};
	uint64_t newest;
	int code = fsmeta_generation_newest(&newest, connection, error);

	if (!code)
		code = fsmeta_dictionary_load(
		    &cursor->dictionary, connection, generation->source.filesystem_count, error);
	if (code)
		return code;
	reader_options.newest = generation->number == newest;
	if (options && options->offer_files && !options->seen_only && reader_options.newest) {
		code = fsmeta_unseen_load(&cursor->unseen, connection, generation, error);
		cursor->cursor.operations = &offering_operations;
	}
	if (code)
		return code;
	return fsmeta_reader_new(
	    &cursor->reader, connection, &cursor->dictionary, &reader_options, error);
}

static int cursor_new(
    struct db_cursor **out, const struct fsmeta_db *db, uint64_t number, struct fsmeta_error *error)
{
	struct db_cursor *cursor = calloc(1, sizeof(*cursor));

	*out = cursor;
	if (!cursor)
		return fsmeta_error_set_memory(error, "reading the database");
	cursor->cursor.operations = &cursor_operations;
	cursor->cursor.source = &cursor->generation.source;
	fsmeta_batch_source_init(&cursor->generation.source);
	cursor->generation.source.id_kind = FSMETA_IDS_STABLE;
	if (asprintf(&cursor->label, "%s@%" PRIu64, db->path, number) < 0)
		cursor->label = NULL;
	cursor->cursor.label = cursor->label;
	return cursor->label ? 0 : fsmeta_error_set_memory(error, "reading the database");
}

/** Hands the cursor out, or closes it where `code` is one of a failure; NULL is allowed. */
static int deliver(struct fsmeta_cursor **out, struct db_cursor *cursor, int code)
{
	*out = code ? NULL : &cursor->cursor;
	if (code && cursor)
		cursor_close(&cursor->cursor);
	return code;
}

int fsmeta_db_cursor(struct fsmeta_cursor **out, struct fsmeta_db *db, uint64_t number,
    const struct fsmeta_db_cursor_options *options, struct fsmeta_error *error)
{
	struct db_cursor *cursor;
	int code = cursor_new(&cursor, db, number, error);

	if (!code && number)
		code = snapshot_new(&cursor->snapshot, db, NULL, error);
	if (!code && number)
		code = load_generation(cursor, number, error);
	if (!code && number)
		code = start_reader(cursor, options, NULL, error);
	return deliver(out, cursor, code);
}

/* ---- the two cursors of a difference ------------------------------------- */

static int add_side(struct db_cursor **out, struct snapshot *snapshot, struct fsmeta_db *db,
    uint64_t number, struct fsmeta_error *error)
{
	int code = cursor_new(out, db, number, error);

	if (code || !number)
		return code;
	(*out)->snapshot = snapshot;
	snapshot->users++;
	return load_generation(*out, number, error);
}

/** Starts the readers; a generation 0 has nothing to read. */
static int start_sides(struct db_cursor *sides[2], struct snapshot *snapshot,
    const struct fsmeta_db_cursor_options *options, struct fsmeta_error *error)
{
	const struct fsmeta_db_generation *const generations[] = {
	    &sides[0]->generation, &sides[1]->generation};
	int code = 0;

	/* What one has seen and the other carries differs, and nothing says where that is. */
	if (generations[0]->number && generations[1]->number && !(options && options->seen_only))
		code = fsmeta_difference_init(
		    &snapshot->difference, snapshot->connection, generations, error);
	for (int i = 0; i < 2 && !code; i++)
		if (generations[i]->number)
			code = start_reader(sides[i], options,
			    snapshot->difference.is_known ? &snapshot->difference.sides[i] : NULL,
			    error);
	return code;
}

int fsmeta_db_difference_cursors(struct fsmeta_cursor *out[2], struct fsmeta_db *db,
    struct fsmeta_db_update *update, const uint64_t numbers[2],
    const struct fsmeta_db_cursor_options *options, struct fsmeta_error *error)
{
	struct db_cursor *sides[2] = {NULL, NULL};
	struct snapshot *snapshot;
	int code = snapshot_new(&snapshot, db, update, error);

	for (int i = 0; i < 2 && !code; i++)
		code = add_side(&sides[i], snapshot, db, numbers[i], error);
	if (!code)
		code = start_sides(sides, snapshot, options, error);
	for (int i = 0; i < 2; i++)
		deliver(&out[i], sides[i], code);
	snapshot_release(snapshot);
	return code;
}
