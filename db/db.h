/*
 * FsMetaDb: one SQLite file per source that keeps generations.
 *
 * Every kept generation reads back exactly, in canonical order, as a cursor.
 * A new generation comes in as a sequence of changes against the newest one, in
 * one write transaction.  The schema is explained in docs/fsmetadb.md and, for
 * people with a database browser, by the comments and views in the file.
 *
 * A struct fsmeta_db is used by one thread at a time.  Cursors have their own
 * connection and read snapshot, so they are independent of later writes.
 */
#ifndef FSMETA_DB_DB_H
#define FSMETA_DB_DB_H

#include "format/change.h"
#include "format/cursor.h"
#include "format/delta.h"

#include <signal.h>

struct fsmeta_db;

enum fsmeta_db_mode {
	/** Must exist; nothing is written, not even beside it where that can be helped. */
	FSMETA_DB_READ = 0,
	/** Made if it does not exist (with its first committed generation). */
	FSMETA_DB_WRITE = 1,
};

/**
 * Opens a database.  Errors: FSMETA_E_SYSTEM, FSMETA_E_FOREIGN (no SQLite file or
 * another application's), FSMETA_E_UNSUPPORTED (newer schema, by its number),
 * FSMETA_E_CORRUPT, FSMETA_E_BUSY.
 */
int fsmeta_db_open(
    struct fsmeta_db **out, const char *path, enum fsmeta_db_mode mode, struct fsmeta_error *error);

/** Checkpoints, truncates the log, closes.  NULL is allowed. */
void fsmeta_db_close(struct fsmeta_db *db);

/** True where `path` is a SQLite file with FsMetaDb's application_id. */
bool fsmeta_db_is_database(const char *path);

/** One generation as `log` shows it.  Strings live as long as `source` does. */
struct fsmeta_db_generation {
	uint64_t number;
	/** The generation it was compared with, 0 for the first. */
	uint64_t base;
	/** Origin, scope, times, mask, state digest, totals; *owned*. */
	struct fsmeta_batch_source source;
	/** Changes against the base, stored notion: entries, not events. */
	uint64_t added;
	uint64_t removed;
	uint64_t modified;
	uint64_t moved;
	/** Removed from the database by prune: totals are known, entries are not. */
	bool pruned;
};

void fsmeta_db_generation_release(struct fsmeta_db_generation *generation);

/** Newest kept generation; 0 in an empty database. */
int fsmeta_db_newest(struct fsmeta_db *db, uint64_t *number, struct fsmeta_error *error);

/**
 * Generation that `specification` names: "7", "-1" (the kept one before the
 * newest), "latest", "{2026-11-01}" or "{RFC 3339}" (newest finished by then; a
 * bare date means its end, UTC); NULL = the newest.  Years beyond what 64-bit
 * nanoseconds hold mean before or after all.  FSMETA_E_NOT_FOUND, FSMETA_E_USAGE.
 */
int fsmeta_db_resolve(
    struct fsmeta_db *db, const char *specification, uint64_t *number, struct fsmeta_error *error);

/** Fills *out (initialised here, to be released).  FSMETA_E_NOT_FOUND. */
int fsmeta_db_generation(struct fsmeta_db *db, uint64_t number, struct fsmeta_db_generation *out,
    struct fsmeta_error *error);

/**
 * Sets *percent to the share of entries that may go without somebody being asked, as it
 * was last kept for this source; *percent stays where none was.
 */
int fsmeta_db_max_removed(struct fsmeta_db *db, double *percent, struct fsmeta_error *error);

/**
 * Calls `each` for every generation, oldest first, pruned ones included; a
 * non-zero return ends the loop and is returned.
 */
int fsmeta_db_each_generation(struct fsmeta_db *db, struct fsmeta_error *error,
    int (*each)(const struct fsmeta_db_generation *generation, void *payload), void *payload);

struct fsmeta_db_update;

struct fsmeta_db_cursor_options {
	/** Leave out what is only carried. */
	bool seen_only;
	/**
	 * Offer FSMETA_RUN_FILES for folders of the newest generation, with the token that a
	 * guide over it gives (db/guide.h); not together with seen_only.
	 */
	bool offer_files;
	const volatile sig_atomic_t *stop;
};

/**
 * A cursor over generation `number` (0 = an empty tree: no entries at all).
 * Entries have stable ids and, where carried, unknown_since.  cursor->source is
 * the generation's BatchSource with id_kind stable.  Memory O(depth).
 * `options` may be NULL.  To be closed before `db`, which a cursor over a database that is only
 * read shares with its thread: until it is at its end or closed `db` shows the same moment.
 */
int fsmeta_db_cursor(struct fsmeta_cursor **out, struct fsmeta_db *db, uint64_t number,
    const struct fsmeta_db_cursor_options *options, struct fsmeta_error *error);

/**
 * Cursors over two generations (either may be the older one) that hand out only what
 * may differ between them, with all folders above, and below places that one of the two
 * does not know everything; what both leave out is equal in both but for unknown_since.
 * So diffing them gives what diffing whole generations gives, in time in proportion to
 * the changes; only how many entries were compared is another number.  Where the
 * database cannot tell, or much differs, everything is handed out.
 *
 * With `update` (finished; else NULL) within its transaction: to be closed before commit
 * or abort, else as fsmeta_db_cursor().  The two share a connection: they are used by one
 * thread, and each is closed by itself.  On failure both are NULL.
 */
int fsmeta_db_difference_cursors(struct fsmeta_cursor *out[2], struct fsmeta_db *db,
    struct fsmeta_db_update *update, const uint64_t numbers[2],
    const struct fsmeta_db_cursor_options *options, struct fsmeta_error *error);

/**
 * Of the files of the newest generation that have a content hash the share of `percent`
 * (at least one, if there are any) whose content was read longest ago: their ids, ascending, *new*
 * (free(); NULL where there are none).  A hash counts as read in the generation that brought
 * it, or in which fsmeta_db_update_note_contents() confirmed it last.
 */
int fsmeta_db_oldest_contents(uint64_t **ids, size_t *count, struct fsmeta_db *db, double percent,
    struct fsmeta_error *error);

/* ---- writing a generation --------------------------------------------- */

/**
 * A generation being written, in one transaction.
 *
 *     begin(base, source)  →  sink takes every change, canonical order  →  commit
 *
 * With base 0 the database must be empty; the changes are then FSMETA_CHANGE_ADDED
 * for every entry, root first, and go in fast.
 */
struct fsmeta_db_update;

/**
 * Takes the write lock and checks that `base` is still the newest generation
 * (FSMETA_E_BUSY otherwise), that `source` is the same source (FSMETA_E_REFUSED,
 * by name), and that it started after the newest finished (FSMETA_E_REFUSED).
 * The new number is base + 1; where the source is numbered, its ids are stable and its
 * number is beyond base, it is that: numbers may be skipped.  With base 0 the ids are adopted.
 * `source` is *borrowed* until commit or abort and read again at commit.
 */
int fsmeta_db_update_begin(struct fsmeta_db_update **out, struct fsmeta_db *db, uint64_t base,
    const struct fsmeta_batch_source *source, struct fsmeta_error *error);

/**
 * *Borrowed* until commit or abort.  Takes changes of the stored notion against the
 * base; `before` is as the base's cursor gave it, id and device included.  Every
 * place that is unknown in the new generation needs its UNREADABLE or UNKNOWN
 * change, CONTINUED or not: one that is not named is known again.
 */
struct fsmeta_change_sink *fsmeta_db_update_sink(struct fsmeta_db_update *update);

/**
 * Keeps `percent` as the share of entries that may go without somebody being asked,
 * with this generation and from then on.  Before finish.
 */
int fsmeta_db_update_keep_max_removed(
    struct fsmeta_db_update *update, double percent, struct fsmeta_error *error);

/**
 * Notes that the contents of the files with these ids were read for this generation and
 * have the hashes that its base knew.  Only files that are in both count; before commit.
 */
int fsmeta_db_update_note_contents(
    struct fsmeta_db_update *update, const uint64_t *ids, size_t count, struct fsmeta_error *error);

/**
 * All of a commit but committing: the generation's row is written, and `db` (but no
 * other connection) sees the new generation, in fsmeta_db_generation() and the like
 * and in fsmeta_db_difference_cursors(); with base 0 it is seen after commit only.  After a
 * failure only abort is left.
 */
int fsmeta_db_update_finish(struct fsmeta_db_update *update, struct fsmeta_error *error);

/**
 * Finishes where that was not done, and commits; frees `update` in every case.  On
 * failure the database is as before.  `out` (may be NULL) is initialised here.
 */
int fsmeta_db_update_commit(
    struct fsmeta_db_update *update, struct fsmeta_db_generation *out, struct fsmeta_error *error);

/** Rolls back and frees.  NULL is allowed. */
void fsmeta_db_update_abort(struct fsmeta_db_update *update);

/* ---- deltas -------------------------------------------------------------- */

/**
 * A delta being applied: all its sections in one transaction.
 *
 *     begin ─ (begin_section ─ change … ─ end_section) … ─ commit
 *
 * Whatever fails, only abort is left, and the database is as before.
 */
struct fsmeta_db_delta;

/** *new*, for commit or abort.  Takes the write lock. */
int fsmeta_db_delta_begin(
    struct fsmeta_db_delta **out, struct fsmeta_db *db, struct fsmeta_error *error);

/**
 * Begins a section; `section` and its source are *borrowed* until its end.
 * FSMETA_E_REFUSED, saying which generation is needed, where the newest is not its
 * base by number and state digest, or is of another source.
 */
int fsmeta_db_delta_begin_section(struct fsmeta_db_delta *delta,
    const struct fsmeta_delta_section *section, struct fsmeta_error *error);

/**
 * Applies a change, in the order of the delta.  FSMETA_E_REFUSED where an id is not
 * the one here, FSMETA_E_CORRUPT where the change cannot be followed.
 */
int fsmeta_db_delta_change(struct fsmeta_db_delta *delta, const struct fsmeta_delta_change *change,
    struct fsmeta_error *error);

/** FSMETA_E_CORRUPT where totals or state digest are not those of the section. */
int fsmeta_db_delta_end_section(struct fsmeta_db_delta *delta, struct fsmeta_error *error);

/** Commits; frees `delta` in every case. */
int fsmeta_db_delta_commit(struct fsmeta_db_delta *delta, struct fsmeta_error *error);

/** Rolls back and frees.  NULL is allowed. */
void fsmeta_db_delta_abort(struct fsmeta_db_delta *delta);

/** Finds the ids of folders of one generation by path; fast where paths ascend. */
struct fsmeta_db_folders;

/** *new*, of generation `number`. */
int fsmeta_db_folders_new(struct fsmeta_db_folders **out, struct fsmeta_db *db, uint64_t number,
    struct fsmeta_error *error);

/** Sets *id, 0 where there is no such folder.  0 or a code. */
int fsmeta_db_folders_find(struct fsmeta_db_folders *folders, const char *path, size_t length,
    uint64_t *id, struct fsmeta_error *error);

/** NULL is allowed.  Before the database is closed. */
void fsmeta_db_folders_free(struct fsmeta_db_folders *folders);

/** A place that a generation carries because its scan could not look there. */
struct fsmeta_db_unknown_place {
	const char *path;
	size_t path_length;
	uint64_t id;
	enum fsmeta_type type;
	/** First generation in which it is unknown. */
	uint64_t since;
	/** The entry itself, too, not only what is below it. */
	bool whole;
	/** It could not be read, `error` (an errno) says why; else it was not entered. */
	bool unreadable;
	int error;
};

/** Paths live in `arena`. */
struct fsmeta_db_unknown_places {
	struct fsmeta_db_unknown_place *items;
	size_t count;
	struct fsmeta_arena arena;
};

/** All unknown places of a generation in canonical order; *out is initialised here. */
int fsmeta_db_unknown_places(struct fsmeta_db_unknown_places *out, struct fsmeta_db *db,
    uint64_t number, struct fsmeta_error *error);

void fsmeta_db_unknown_places_release(struct fsmeta_db_unknown_places *places);

/**
 * Verifies the whole file: its length, SQLite's integrity check, then per kept
 * generation canonical order, ids, parents, versions, totals and state digest.  0
 * where all is well, else the first damage (FSMETA_E_CORRUPT, FSMETA_E_TRUNCATED).
 * FSMETA_E_STOPPED soon after *stop (may be NULL) is raised.
 */
int fsmeta_db_verify(
    struct fsmeta_db *db, const volatile sig_atomic_t *stop, struct fsmeta_error *error);

#endif
