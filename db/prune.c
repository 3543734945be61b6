/*
 * Pruning.
 *
 * A row holds for a run of generations, and goes when none of them is kept:
 *
 *     generation        1    2    3    4    5    6    7
 *     kept                   k              k         k
 *     file_past              [2 ..... 4)                     stays, since = 2
 *     file_past                  [3 . 4)                     goes
 *     folder_position                [4 ... 6)               stays, since = 4
 *
 * What stays keeps its true since and until, also where that is a generation which
 * is pruned now: it is when it happened, and costs no writing.  So pruning touches
 * rows that go and no others, but for those of `change` (below).
 *
 * Superseded versions, file_past and folder_past, say by themselves when they held;
 * one pass over each finds those that go.  The tree is different, because the
 * removal of a folder is one event on its position, and nothing below it has heard
 * of it:
 *
 *     cam1          [1 .......... 5)   removed in 5
 *     cam1/2026     [1 ................   no end; dead all the same
 *     files in it   live rows
 *
 * So a position that goes takes those with it that were made within its time under
 * its folder, wherever they end, and so on down the tree: a list of positions to
 * go, found by the index on (parent, name), in proportion to what dies.  A folder
 * whose last position went is buried: its metadata, its files, and their past.  A
 * folder that was moved away in time has another position, and lives on there; its
 * files name it as their parent and do not even notice.
 *
 * A row that came to a folder after the last kept generation which has that folder
 * stays until the folder goes (cam1/x in 4, where only 2 of 1 to 4 is kept).  To
 * find it, all that ever was removed would have to be searched at each prune.
 *
 * Table `change` answers what differs between two kept generations, and rows of
 * what lies between them belong to the second: they are relabelled to the next kept
 * generation.  Those whose reason went with a row of the past go, and so do those up
 * to the oldest kept generation, which nobody can ask about.
 *
 * `unknown` is left alone but for entries that are gone, and rows of generations stay
 * with their scopes: both tell since when a kept generation carries something.  Ids
 * and labels are not given out again.
 *
 * All that is one transaction.  The space it frees is inside the file, and the next
 * generations would fill it.  To give it back the file is rewritten (VACUUM), which
 * is atomic, too: the new content passes through the log, readers go on reading the
 * old one, and closing truncates the log.  It needs room for two copies of
 * what is left for a while, and takes time in proportion to what is left, not to
 * what went; so it waits until at least one page in UNUSED_SHARE is free, unless the
 * file is small anyway.  (The share is the one that restic tolerates in its packs.)
 */
#include "db/prune.h"

#include "db/changes.h"
#include "db/internal.h"
#include "db/migrate.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char action[] = "pruning generations";

enum {
	/** Steps of SQLite's machine between two looks at the stop flag: about a millisecond. */
	STEPS_BETWEEN_LOOKS = 10000,
	/** Rewriting pays where one page of so many is free ... */
	UNUSED_SHARE = 20,
	/** ... or where it takes no time. */
	SMALL_BYTES = 16 << 20,
};

/** For SQLite: other than 0 ends the statement with SQLITE_INTERRUPT. */
static int is_stopped(void *payload)
{
	const volatile sig_atomic_t *stop = payload;

	return *stop != 0;
}

static void watch_stop(const struct fsmeta_db *db, const volatile sig_atomic_t *stop)
{
	sqlite3_progress_handler(db->connection.handle, stop ? STEPS_BETWEEN_LOOKS : 0,
	    stop ? is_stopped : NULL, (void *)(uintptr_t)stop);
}

/* ---- which generations are kept ---------------------------------------------- */

struct prune {
	struct fsmeta_db *db;
	const struct fsmeta_connection *connection;
	/** uint64_t each, ascending. */
	struct fsmeta_buffer kept;
	/** Those that are pruned now, in any order. */
	struct fsmeta_buffer dropped;
	struct fsmeta_db_pruned *result;

	/** struct position each: those that go, as a stack. */
	struct fsmeta_buffer positions;
	sqlite3_stmt *drop_position;
	sqlite3_stmt *below;
	sqlite3_stmt *has_place;
	sqlite3_stmt *bury[5];
};

enum {
	BURIALS = sizeof(((struct prune *)NULL)->bury) / sizeof(sqlite3_stmt *),
};

static size_t count_of(const struct fsmeta_buffer *numbers)
{
	return numbers->length / sizeof(uint64_t);
}

static uint64_t number_at(const struct fsmeta_buffer *numbers, size_t index)
{
	uint64_t number;

	memcpy(&number, numbers->data + index * sizeof(number), sizeof(number));
	return number;
}

/** Index of the first kept generation from `number` on; the count where there is none. */
static size_t find_kept(const struct prune *prune, uint64_t number)
{
	size_t low = 0, high = count_of(&prune->kept);

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (number_at(&prune->kept, middle) < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/** SQL: is_needed(since, until), true where a generation since <= G < until is kept. */
static void is_needed(sqlite3_context *context, int count, sqlite3_value **values)
{
	const struct prune *prune = sqlite3_user_data(context);
	int64_t since = sqlite3_value_int64(values[0]);
	int64_t until = sqlite3_value_int64(values[1]);
	size_t index = find_kept(prune, since > 0 ? (uint64_t)since : 0);

	(void)count;
	sqlite3_result_int(context, index < count_of(&prune->kept) && until > 0 &&
					number_at(&prune->kept, index) < (uint64_t)until);
}

static int define_is_needed(struct prune *prune, struct fsmeta_error *error)
{
	int result = sqlite3_create_function_v2(prune->connection->handle, "is_needed", 2,
	    SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY, prune, is_needed, NULL, NULL,
	    NULL);

	return result == SQLITE_OK ? 0 : fsmeta_connection_fail(prune->connection, result, error);
}

static void undefine_is_needed(const struct prune *prune)
{
	sqlite3_create_function_v2(prune->connection->handle, "is_needed", 2,
	    SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY, NULL, NULL, NULL, NULL, NULL);
}

/** Marks one generation as pruned; passes over one that was before. */
static int mark(struct prune *prune, sqlite3_stmt *statement, uint64_t number, uint64_t newest,
    struct fsmeta_error *error)
{
	struct fsmeta_db_generation generation;
	bool was_pruned;
	int code = fsmeta_generation_load(&generation, prune->connection, number, error);

	if (code)
		return code;
	was_pruned = generation.pruned;
	fsmeta_db_generation_release(&generation);
	if (was_pruned)
		return 0;
	if (number == newest)
		return fsmeta_error_set(error, FSMETA_E_REFUSED, prune->db->path, action,
		    "generation %" PRIu64 " is the newest, which always stays", number);
	sqlite3_bind_int64(statement, 1, (int64_t)number);
	code = fsmeta_connection_run(prune->connection, statement, error);
	if (code)
		return code;
	prune->result->generations++;
	return fsmeta_buffer_append(&prune->dropped, &number, sizeof(number))
		   ? fsmeta_error_set_memory(error, action)
		   : 0;
}

static int mark_all(
    struct prune *prune, const uint64_t *numbers, size_t count, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	uint64_t newest;
	int code = fsmeta_generation_newest(&newest, prune->connection, error);

	if (!code)
		code = fsmeta_connection_prepare(&statement, prune->connection,
		    "UPDATE generation SET pruned = 1 WHERE number = ?1", error);
	for (size_t i = 0; i < count && !code; i++)
		code = mark(prune, statement, numbers[i], newest, error);
	sqlite3_finalize(statement);
	return code;
}

static int load_kept(struct prune *prune, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_connection_prepare(&statement, prune->connection,
	    "SELECT number FROM generation WHERE pruned = 0 ORDER BY number", error);

	while (!code && (code = fsmeta_connection_step(prune->connection, statement, error)) > 0) {
		uint64_t number = (uint64_t)sqlite3_column_int64(statement, 0);

		code = fsmeta_buffer_append(&prune->kept, &number, sizeof(number))
			   ? fsmeta_error_set_memory(error, action)
			   : 0;
	}
	sqlite3_finalize(statement);
	return code;
}

/* ---- rows that say themselves when they held ---------------------------------- */

/** Runs a DELETE and counts its rows. */
static int run_delete(struct prune *prune, sqlite3_stmt *statement, struct fsmeta_error *error)
{
	int code = fsmeta_connection_run(prune->connection, statement, error);

	if (!code)
		prune->result->rows += (uint64_t)sqlite3_changes64(prune->connection->handle);
	return code;
}

/** Where only the newest is kept, SQLite can empty the tables without reading them. */
static int drop_past(struct prune *prune, struct fsmeta_error *error)
{
	bool none_needed = count_of(&prune->kept) == 1;
	const char *const texts[] = {
	    none_needed ? "DELETE FROM file_past"
			: "DELETE FROM file_past WHERE NOT is_needed(since, until)",
	    none_needed ? "DELETE FROM folder_past"
			: "DELETE FROM folder_past WHERE NOT is_needed(since, until)",
	};
	int code = 0;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && !code; i++) {
		sqlite3_stmt *statement = NULL;

		code = fsmeta_connection_prepare(&statement, prune->connection, texts[i], error);
		if (!code)
			code = run_delete(prune, statement, error);
		sqlite3_finalize(statement);
	}
	return code;
}

/* ---- the tree -------------------------------------------------------------------- */

/** A place that goes. */
struct position {
	int64_t ord;
	int64_t folder;
	int64_t since;
	/** INT64_MAX where it has no end. */
	int64_t until;
};

/** Notes the places that `statement` yields. */
static int push_positions(struct prune *prune, sqlite3_stmt *statement, struct fsmeta_error *error)
{
	int code;

	while ((code = fsmeta_connection_step(prune->connection, statement, error)) > 0) {
		const struct position position = {
		    .ord = sqlite3_column_int64(statement, 0),
		    .folder = sqlite3_column_int64(statement, 1),
		    .since = sqlite3_column_int64(statement, 2),
		    .until = sqlite3_column_int64(statement, 3),
		};

		if (fsmeta_buffer_append(&prune->positions, &position, sizeof(position))) {
			code = fsmeta_error_set_memory(error, action);
			break;
		}
	}
	sqlite3_reset(statement);
	return code;
}

static int push_ended(struct prune *prune, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_connection_prepare(&statement, prune->connection,
	    "SELECT ord, folder, since, until FROM folder_position"
	    " WHERE until IS NOT NULL AND NOT is_needed(since, until)",
	    error);

	if (!code)
		code = push_positions(prune, statement, error);
	sqlite3_finalize(statement);
	return code;
}

/** All that is left of a folder without a place. */
static int bury(struct prune *prune, int64_t folder, struct fsmeta_error *error)
{
	int code = 0;

	for (size_t i = 0; i < BURIALS && !code; i++) {
		sqlite3_bind_int64(prune->bury[i], 1, folder);
		code = run_delete(prune, prune->bury[i], error);
	}
	return code;
}

static int has_place(struct prune *prune, int64_t folder, bool *there, struct fsmeta_error *error)
{
	int code;

	sqlite3_bind_int64(prune->has_place, 1, folder);
	code = fsmeta_connection_step(prune->connection, prune->has_place, error);
	*there = code > 0;
	sqlite3_reset(prune->has_place);
	return code < 0 ? code : 0;
}

/** Takes one place out, notes those below it, and buries its folder if it was the last. */
static int drop_position(
    struct prune *prune, const struct position *position, struct fsmeta_error *error)
{
	bool there = false;
	int code;

	sqlite3_bind_int64(prune->drop_position, 1, position->ord);
	code = run_delete(prune, prune->drop_position, error);
	/* It may have been found twice. */
	if (code || !sqlite3_changes64(prune->connection->handle))
		return code;
	sqlite3_bind_int64(prune->below, 1, position->folder);
	sqlite3_bind_int64(prune->below, 2, position->since);
	sqlite3_bind_int64(prune->below, 3, position->until);
	code = push_positions(prune, prune->below, error);
	if (!code)
		code = has_place(prune, position->folder, &there, error);
	return code || there ? code : bury(prune, position->folder, error);
}

static int prepare_tree(struct prune *prune, struct fsmeta_error *error)
{
	static const char *const burials[BURIALS] = {
	    "DELETE FROM file WHERE parent = ?1",
	    "DELETE FROM file_past WHERE parent = ?1",
	    "DELETE FROM folder_past WHERE id = ?1",
	    "DELETE FROM folder WHERE id = ?1",
	    "DELETE FROM unknown WHERE root = ?1",
	};
	int code = fsmeta_connection_prepare(&prune->drop_position, prune->connection,
	    "DELETE FROM folder_position WHERE ord = ?1", error);

	if (!code)
		code = fsmeta_connection_prepare(&prune->has_place, prune->connection,
		    "SELECT 1 FROM folder_position WHERE folder = ?1 LIMIT 1", error);
	if (!code)
		code = fsmeta_connection_prepare(&prune->below, prune->connection,
		    "SELECT ord, folder, since, ifnull(until, 9223372036854775807)"
		    " FROM folder_position WHERE parent = ?1 AND since >= ?2 AND since < ?3",
		    error);
	for (size_t i = 0; i < BURIALS && !code; i++)
		code = fsmeta_connection_prepare(
		    &prune->bury[i], prune->connection, burials[i], error);
	return code;
}

static int drop_places(struct prune *prune, struct fsmeta_error *error)
{
	struct fsmeta_buffer *list = &prune->positions;
	int code = prepare_tree(prune, error);

	if (!code)
		code = push_ended(prune, error);
	while (!code && list->length) {
		struct position position;

		list->length -= sizeof(position);
		memcpy(&position, list->data + list->length, sizeof(position));
		code = drop_position(prune, &position, error);
	}
	return code;
}

/**
 * Unknown places that are files which are gone; folders took theirs along.  Files
 * have no index by id, so they are looked for only where such a place is one.
 */
static int drop_unknown_files(struct prune *prune, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int64_t files;
	int code = fsmeta_connection_integer(&files, prune->connection,
	    "SELECT count(*) FROM unknown WHERE root NOT IN (SELECT id FROM folder)", 0, error);

	if (code || !files)
		return code;
	code = fsmeta_connection_prepare(&statement, prune->connection,
	    "DELETE FROM unknown WHERE root IN (SELECT root FROM unknown"
	    " EXCEPT SELECT id FROM folder EXCEPT SELECT id FROM file"
	    " EXCEPT SELECT id FROM file_past)",
	    error);
	if (!code)
		code = run_delete(prune, statement, error);
	sqlite3_finalize(statement);
	return code;
}

/** Of files that are gone; looked for only where there are any such rows. */
static int drop_contents_read(struct prune *prune, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int64_t rows;
	int code = fsmeta_connection_integer(
	    &rows, prune->connection, "SELECT EXISTS (SELECT 1 FROM content_read)", 0, error);

	if (code || !rows)
		return code;
	code = fsmeta_connection_prepare(&statement, prune->connection,
	    "DELETE FROM content_read WHERE file NOT IN (SELECT id FROM file)", error);
	if (!code)
		code = fsmeta_connection_run(prune->connection, statement, error);
	sqlite3_finalize(statement);
	return code;
}

/* ---- changes --------------------------------------------------------------------- */

enum change_statement {
	/** Of pruned generation ?1 to the kept ?2; what is there already stays behind. */
	CHANGE_RELABEL,
	/** ... and goes, as do those that go in any case. */
	CHANGE_DROP,
	/** Of generation ?1, where the rows are gone that said so. */
	CHANGE_DROP_UNFOUNDED,
	/** Up to generation ?1. */
	CHANGE_DROP_OLD,
	CHANGE_COUNT
};

static int run_change(
    struct prune *prune, sqlite3_stmt *statement, uint64_t first, struct fsmeta_error *error)
{
	sqlite3_bind_int64(statement, 1, (int64_t)first);
	return fsmeta_connection_run(prune->connection, statement, error);
}

/**
 * Gives the rows of generations that are pruned to the next kept one: of
 * dropped[*index] and of those behind it with the same heir.  *index is then behind
 * them.
 */
static int relabel(struct prune *prune, sqlite3_stmt *const statements[CHANGE_COUNT], size_t *index,
    struct fsmeta_error *error)
{
	size_t next = find_kept(prune, number_at(&prune->dropped, *index));
	uint64_t heir = number_at(&prune->kept, next);
	int code = 0;

	sqlite3_bind_int64(statements[CHANGE_RELABEL], 2, (int64_t)heir);
	while (!code && *index < count_of(&prune->dropped)) {
		uint64_t number = number_at(&prune->dropped, *index);

		if (number > heir)
			break;
		code = run_change(prune, statements[CHANGE_RELABEL], number, error);
		if (!code)
			code = run_change(prune, statements[CHANGE_DROP], number, error);
		++*index;
	}
	return code ? code : run_change(prune, statements[CHANGE_DROP_UNFOUNDED], heir, error);
}

static int compare_numbers(const void *left, const void *right)
{
	uint64_t a, b;

	memcpy(&a, left, sizeof(a));
	memcpy(&b, right, sizeof(b));
	return (a > b) - (a < b);
}

static int settle_changes(struct prune *prune, struct fsmeta_error *error)
{
	static const char *const texts[CHANGE_COUNT] = {
	    [CHANGE_RELABEL] = "UPDATE OR IGNORE change SET generation = ?2 WHERE generation = ?1",
	    [CHANGE_DROP] = "DELETE FROM change WHERE generation = ?1",
	    [CHANGE_DROP_UNFOUNDED] = fsmeta_changes_drop_unfounded,
	    [CHANGE_DROP_OLD] = "DELETE FROM change WHERE generation <= ?1",
	};
	sqlite3_stmt *statements[CHANGE_COUNT] = {NULL};
	int code = 0;

	for (size_t i = 0; i < CHANGE_COUNT && !code; i++)
		code =
		    fsmeta_connection_prepare(&statements[i], prune->connection, texts[i], error);
	if (!code)
		code = run_change(
		    prune, statements[CHANGE_DROP_OLD], number_at(&prune->kept, 0), error);
	/* The newest is kept, so every one that is pruned has an heir. */
	qsort(prune->dropped.data, count_of(&prune->dropped), sizeof(uint64_t), compare_numbers);
	for (size_t i = 0; i < count_of(&prune->dropped) && !code;)
		code = relabel(prune, statements, &i, error);
	for (size_t i = 0; i < CHANGE_COUNT; i++)
		sqlite3_finalize(statements[i]);
	return code;
}

/* ---- all of it -------------------------------------------------------------------- */

static int drop_generations(
    struct prune *prune, const uint64_t *numbers, size_t count, struct fsmeta_error *error)
{
	int code = mark_all(prune, numbers, count, error);

	if (code || !prune->result->generations)
		return code;
	code = fsmeta_migrate(prune->connection, error);
	if (!code)
		code = load_kept(prune, error);
	if (!code)
		code = define_is_needed(prune, error);
	if (!code)
		code = drop_past(prune, error);
	if (!code)
		code = drop_places(prune, error);
	if (!code)
		code = drop_unknown_files(prune, error);
	if (!code)
		code = drop_contents_read(prune, error);
	return code ? code : settle_changes(prune, error);
}

static void prune_release(struct prune *prune)
{
	sqlite3_finalize(prune->drop_position);
	sqlite3_finalize(prune->below);
	sqlite3_finalize(prune->has_place);
	for (size_t i = 0; i < BURIALS; i++)
		sqlite3_finalize(prune->bury[i]);
	undefine_is_needed(prune);
	fsmeta_buffer_release(&prune->kept);
	fsmeta_buffer_release(&prune->dropped);
	fsmeta_buffer_release(&prune->positions);
}

static int check_writable(const struct fsmeta_db *db, struct fsmeta_error *error)
{
	if (db->mode == FSMETA_DB_WRITE && !db->updating && db->connection.handle)
		return 0;
	return fsmeta_error_set(
	    error, FSMETA_E_INTERNAL, db->path, action, "the database is not open for writing");
}

int fsmeta_db_prune(struct fsmeta_db_pruned *out, struct fsmeta_db *db, const uint64_t *numbers,
    size_t count, const volatile sig_atomic_t *stop, struct fsmeta_error *error)
{
	struct prune prune = {.db = db, .connection = &db->connection, .result = out};
	int code = check_writable(db, error);

	*out = (struct fsmeta_db_pruned){0};
	if (code)
		return code;
	db->connection.action = action;
	watch_stop(db, stop);
	code = fsmeta_connection_execute(prune.connection, "BEGIN IMMEDIATE", error);
	if (!code)
		code = drop_generations(&prune, numbers, count, error);
	prune_release(&prune);
	if (!code)
		code = fsmeta_connection_execute(prune.connection, "COMMIT", error);
	watch_stop(db, NULL);
	if (code) {
		*out = (struct fsmeta_db_pruned){0};
		if (!sqlite3_get_autocommit(db->connection.handle))
			sqlite3_exec(db->connection.handle, "ROLLBACK", NULL, NULL, NULL);
	}
	db->connection.action = NULL;
	return code;
}

/* ---- space -------------------------------------------------------------------------- */

static int measure(
    const struct fsmeta_db *db, uint64_t *bytes, uint64_t *free_bytes, struct fsmeta_error *error)
{
	const struct fsmeta_connection *connection = &db->connection;
	int64_t page_bytes, pages, free_pages;
	int code = fsmeta_connection_integer(&page_bytes, connection, "PRAGMA page_size", 0, error);

	if (!code)
		code = fsmeta_connection_integer(&pages, connection, "PRAGMA page_count", 0, error);
	if (!code)
		code = fsmeta_connection_integer(
		    &free_pages, connection, "PRAGMA freelist_count", 0, error);
	if (code)
		return code;
	*bytes = (uint64_t)(pages * page_bytes);
	*free_bytes = (uint64_t)(free_pages * page_bytes);
	return 0;
}

static bool is_worth_it(const struct fsmeta_db_space *space)
{
	return space->free_bytes && (space->bytes_before <= SMALL_BYTES ||
					space->free_bytes >= space->bytes_before / UNUSED_SHARE);
}

static int rewrite(const struct fsmeta_db *db, struct fsmeta_error *error)
{
	sqlite3 *handle = db->connection.handle;
	int code;

	/* The log then begins anew, so that there is room for one of both.  Waits for nobody. */
	sqlite3_exec(handle, "PRAGMA wal_checkpoint(PASSIVE)", NULL, NULL, NULL);
	/* The copy is an attached database to SQLite, and the defences allow none. */
	sqlite3_limit(handle, SQLITE_LIMIT_ATTACHED, 1);
	code = fsmeta_connection_execute(&db->connection, "VACUUM", error);
	sqlite3_limit(handle, SQLITE_LIMIT_ATTACHED, 0);
	return code;
}

int fsmeta_db_get_space(
    struct fsmeta_db_space *out, struct fsmeta_db *db, struct fsmeta_error *error)
{
	int code = 0;

	*out = (struct fsmeta_db_space){0};
	if (db->connection.handle)
		code = measure(db, &out->bytes_before, &out->free_bytes, error);
	out->bytes_after = out->bytes_before;
	return code;
}

int fsmeta_db_give_back(struct fsmeta_db_space *out, struct fsmeta_db *db,
    const volatile sig_atomic_t *stop, struct fsmeta_error *error)
{
	int code = fsmeta_db_get_space(out, db, error);

	if (!code)
		code = check_writable(db, error);
	if (code || !is_worth_it(out))
		return code;
	db->connection.action = "giving back free space";
	watch_stop(db, stop);
	code = rewrite(db, error);
	watch_stop(db, NULL);
	if (!code)
		code = measure(db, &out->bytes_after, &out->free_bytes, error);
	db->connection.action = NULL;
	return code;
}
