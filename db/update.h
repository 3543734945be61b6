/*
 * A generation being written: what writer.c, places.c, unknown.c and newfile.c
 * share.
 */
#ifndef FSMETA_DB_UPDATE_H
#define FSMETA_DB_UPDATE_H

#include "base/file.h"
#include "base/path.h"
#include "db/internal.h"
#include "db/ord.h"
#include "db/row.h"

enum {
	/** Flags of a folder whose content is unknown. */
	FSMETA_UNKNOWN_BELOW = FSMETA_FLAG_UNREADABLE | FSMETA_FLAG_OTHER_FILESYSTEM,
};

/** Prepared by first use; the texts are in statements.c. */
enum fsmeta_statement {
	STATEMENT_INSERT_FILE,
	STATEMENT_REPLACE_FILE,
	STATEMENT_SELECT_FILE,
	STATEMENT_KEEP_FILE,
	STATEMENT_DELETE_FILE,
	STATEMENT_SELECT_FILE_PAST,
	STATEMENT_INSERT_FOLDER,
	STATEMENT_REPLACE_FOLDER,
	STATEMENT_SELECT_FOLDER,
	STATEMENT_KEEP_FOLDER,
	STATEMENT_FIND_NOW,
	STATEMENT_FIND_WAS,
	STATEMENT_PLACE_OF,
	STATEMENT_SUB_FOLDERS,
	STATEMENT_COUNT_FILES,
	STATEMENT_INSERT_POSITION,
	STATEMENT_END_POSITION,
	STATEMENT_DROP_POSITION,
	STATEMENT_DROP_NEW_POSITION,
	STATEMENT_NEXT_SIBLING,
	STATEMENT_ORD_BEFORE,
	STATEMENT_ORD_AFTER,
	STATEMENT_ORD_LAST,
	STATEMENT_ORD_COUNT,
	STATEMENT_ORD_READ,
	STATEMENT_ORD_MOVE,
	STATEMENT_INSERT_ATTRIBUTES,
	STATEMENT_INSERT_FILESYSTEM,
	STATEMENT_INSERT_CHANGE,
	STATEMENT_KEEP_CONTENT_READ,
	STATEMENT_SET_CONTENT_READ,
	STATEMENT_DROP_CONTENT_READ,
	STATEMENT_COUNT
};

/** A path that was resolved last, with the id of every folder on it. */
struct fsmeta_walk {
	/** Resolve in the base's tree, not in the one that is being made. */
	bool was;
	struct fsmeta_path_stack path;
	/** folders[d] is the folder at depth d; path.depth + 1 of them once the root is known. */
	int64_t *folders;
	uint32_t capacity;
};

/** A place that is unknown in the generation being written. */
struct fsmeta_unknown_place {
	int64_t root;
	/** First generation in which it is; the number being written unless imported. */
	uint64_t since;
	bool whole;
	bool unreadable;
	int error;
};

struct fsmeta_unknown_list {
	struct fsmeta_unknown_place *items;
	size_t count;
	size_t capacity;
};

struct fsmeta_db_update {
	struct fsmeta_change_sink sink;
	struct fsmeta_db *db;
	/** The database's, or `building`. */
	struct fsmeta_connection *connection;
	const struct fsmeta_batch_source *source;
	/** The section of a delta that is applied, *borrowed*; NULL = a scan. */
	const struct fsmeta_delta_section *section;
	uint64_t base;
	uint64_t number;
	/** Ids of the source are stable and taken over. */
	bool adopts_ids;
	int64_t first_id;
	int64_t next_id;
	/** A change could not be applied; only abort is left. */
	bool failed;
	/** All is written but the commit. */
	bool finished;

	/** While the file does not exist yet: it is built beside its place. */
	bool is_new_file;
	struct fsmeta_connection building;
	struct fsmeta_replace replace;
	char *building_path;

	/** What the base was, and what it becomes change by change. */
	uint32_t base_mask;
	struct fsmeta_totals totals;
	struct fsmeta_digest digest;
	/** Too much differs for counting along: the new state is read once at the end. */
	bool recount;
	uint64_t added, removed, modified, moved;

	/** The database's table of file systems, in a source for its functions' sake. */
	struct fsmeta_batch_source filesystems;
	size_t filesystems_stored;
	/** For the source's index of a file system the database's; grows with its table. */
	uint32_t *devices;
	size_t device_count;
	struct fsmeta_dictionary dictionary;
	/** The dictionary's answer to the last entry, which the next mostly wants again. */
	struct fsmeta_attributes last_attributes;
	uint32_t last_attributes_id;

	struct fsmeta_walk now;
	struct fsmeta_walk was;
	/** The last folder that was given a new position; 0 = none. */
	int64_t last_placed;
	/** Positions of sub-trees were rewritten. */
	bool moved_folders;
	/** The highest label, while everything is appended. */
	int64_t last_ord;
	struct fsmeta_ord_list ord;
	/** What was moved away from under an arrival, and is to arrive elsewhere. */
	int64_t *displaced;
	size_t displaced_count;
	size_t displaced_capacity;

	struct fsmeta_unknown_list unknown;
	/** First import: unknown_since of the folders on the path, and their places. */
	struct fsmeta_buffer inherited;

	struct fsmeta_buffer scratch;
	sqlite3_stmt *statements[STATEMENT_COUNT];
};

/* ---- writer.c ----------------------------------------------------------- */

/**
 * fsmeta_db_update_begin(), or for a section of a delta, whose transaction is the
 * caller's.
 */
int fsmeta_update_begin(struct fsmeta_db_update **out, struct fsmeta_db *db, uint64_t base,
    const struct fsmeta_batch_source *source, const struct fsmeta_delta_section *section,
    struct fsmeta_error *error);

/** All of a commit but committing: totals, digest, intervals, the generation's row. */
int fsmeta_update_finish(struct fsmeta_db_update *update, struct fsmeta_error *error);

/* ---- statements.c ------------------------------------------------------- */

/** The prepared statement, reset; *borrowed*. */
int fsmeta_update_statement(struct fsmeta_db_update *update, enum fsmeta_statement which,
    sqlite3_stmt **out, struct fsmeta_error *error);

/** The same with `count` integers bound to its first parameters. */
int fsmeta_update_statement_integers(struct fsmeta_db_update *update, enum fsmeta_statement which,
    sqlite3_stmt **out, const int64_t *values, int count, struct fsmeta_error *error);

/** First column of the first row, 0 where there is none or it is NULL. */
int fsmeta_update_query(struct fsmeta_db_update *update, enum fsmeta_statement which,
    const int64_t *values, int count, int64_t *out, struct fsmeta_error *error);

/** Runs it with these integers. */
int fsmeta_update_run(struct fsmeta_db_update *update, enum fsmeta_statement which,
    const int64_t *values, int count, struct fsmeta_error *error);

void fsmeta_update_finalize(struct fsmeta_db_update *update);

/* ---- places.c: folders, their positions, and paths ----------------------- */

void fsmeta_walk_release(struct fsmeta_walk *walk);

/**
 * Id of the folder that holds the entry at `path`.  FSMETA_E_INTERNAL where there
 * is none, with the path in the reason.  Not for the root.
 */
int fsmeta_places_parent(struct fsmeta_db_update *update, struct fsmeta_walk *walk,
    const char *path, size_t length, int64_t *folder, struct fsmeta_error *error);

/** Id of the folder at `path`, 0 where there is none. */
int fsmeta_places_find(struct fsmeta_db_update *update, struct fsmeta_walk *walk, const char *path,
    size_t length, int64_t *folder, struct fsmeta_error *error);

/** Gives the folder its position at the entry's path, whose parent is `parent`. */
int fsmeta_places_insert(struct fsmeta_db_update *update, int64_t folder, int64_t parent,
    const struct fsmeta_entry *entry, struct fsmeta_error *error);

/** Ends the folder's position with this generation. */
int fsmeta_places_end(
    struct fsmeta_db_update *update, int64_t folder, uint32_t depth, struct fsmeta_error *error);

/** The same for a folder that is gone with all that is below it. */
int fsmeta_places_remove(
    struct fsmeta_db_update *update, int64_t folder, uint32_t depth, struct fsmeta_error *error);

/**
 * After the folder itself was given a new position at `depth`: new positions for
 * all folders below it.
 */
int fsmeta_places_move_below(
    struct fsmeta_db_update *update, int64_t folder, uint32_t depth, struct fsmeta_error *error);

/** How many entries live below the folder, itself not counted. */
int fsmeta_places_count_below(
    struct fsmeta_db_update *update, int64_t folder, uint64_t *count, struct fsmeta_error *error);

void fsmeta_places_init(struct fsmeta_db_update *update);

/* ---- unknown.c ------------------------------------------------------------ */

/** Notes that the place is unknown in this generation. */
int fsmeta_unknown_note(struct fsmeta_db_update *update, const struct fsmeta_unknown_place *place,
    struct fsmeta_error *error);

/** The same for a folder whose flags say that what is below it was not seen. */
int fsmeta_unknown_note_folder(struct fsmeta_db_update *update, const struct fsmeta_entry *folder,
    int64_t id, struct fsmeta_error *error);

/** Closes the intervals of places that are known again, opens those of new ones. */
int fsmeta_unknown_store(struct fsmeta_db_update *update, struct fsmeta_error *error);

/** How many entries of the state being written are carried; after store. */
int fsmeta_unknown_count(
    struct fsmeta_db_update *update, uint64_t *carried, struct fsmeta_error *error);

/** First import: finds the places from the entries' unknown_since. */
int fsmeta_unknown_adopt(struct fsmeta_db_update *update, const struct fsmeta_entry *entry,
    int64_t id, struct fsmeta_error *error);

/* ---- newfile.c ------------------------------------------------------------ */

/** Starts a new database beside `db->path`; update->connection is it. */
int fsmeta_newfile_begin(struct fsmeta_db_update *update, struct fsmeta_error *error);

/** Makes it durable and visible; never replaces anything (FSMETA_E_BUSY). */
int fsmeta_newfile_commit(struct fsmeta_db_update *update, struct fsmeta_error *error);

/** Removes it.  Harmless after commit and where there is none. */
void fsmeta_newfile_abort(struct fsmeta_db_update *update);

/**
 * The row of a file begins anew, with what it was since generation `since` and what comes: where
 * its hash is the same, when it was read is kept (contents.c).
 */
int fsmeta_contents_keep(struct fsmeta_db_update *update, int64_t id, int64_t since,
    const struct fsmeta_entry *before, const struct fsmeta_entry *after,
    struct fsmeta_error *error);

#endif
