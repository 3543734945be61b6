/*
 * The rows that the history of a place is put together from (history.c).
 *
 *     path ── by name ──► ids that were there ──► rows of each ──► folders above
 *                                  ▲                   │
 *                                  └── by `change` ────┘ where a file came or went by a move
 *
 * One life is in hand at a time: fsmeta_rows_load_life() replaces what the one before had.
 */
#ifndef FSMETA_DB_HISTORY_ROWS_H
#define FSMETA_DB_HISTORY_ROWS_H

#include "base/memory.h"
#include "db/connection.h"
#include "db/row.h"

enum {
	FSMETA_ROWS_NO_FOLDER = UINT32_MAX,
};

/** What is known of a generation without its BatchSource. */
struct fsmeta_rows_generation {
	uint64_t number;
	bool pruned;
	int64_t finished_ns;
	int64_t first_id;
	uint32_t field_mask;
	uint64_t moved;
};

/** A row of folder_position, valid in generations since <= G < until. */
struct fsmeta_rows_position {
	int64_t since;
	int64_t until;
	int64_t parent;
	/** Index of the parent in the folders, FSMETA_ROWS_NO_FOLDER above the root. */
	uint32_t above;
	const char *name;
	size_t name_length;
};

/** A row of `unknown`. */
struct fsmeta_rows_interval {
	int64_t since;
	int64_t until;
	bool whole;
	bool unreadable;
	int error;
};

/** A folder that was ever on a way to the root, or an entry whose life is told. */
struct fsmeta_rows_folder {
	int64_t id;
	size_t first_position;
	size_t position_count;
	size_t first_interval;
	size_t interval_count;
};

/** Metadata that an entry had; of a file also where it was. */
struct fsmeta_rows_version {
	int64_t since;
	int64_t until;
	int64_t parent;
	uint32_t above;
	const char *name;
	size_t name_length;
	struct fsmeta_entry entry;
};

/** A growing array; `items` is what malloc gave. */
struct fsmeta_rows_list {
	void *items;
	size_t count;
	size_t capacity;
};

/** A place by name in a folder. */
struct fsmeta_rows_place {
	int64_t parent;
	const char *name;
	size_t length;
};

/** Something that once had the place's name in a folder that once was there. */
struct fsmeta_rows_candidate {
	int64_t id;
	bool is_folder;
	struct fsmeta_rows_place place;
};

enum fsmeta_rows_statement {
	ROWS_FOLDERS_BY_NAME,
	ROWS_FILES_BY_NAME,
	ROWS_POSITIONS,
	ROWS_INTERVALS,
	ROWS_FOLDER_VERSIONS,
	ROWS_FILE_VERSIONS,
	ROWS_FILE_ELSEWHERE,
	ROWS_STATEMENT_COUNT,
};

struct fsmeta_rows {
	const struct fsmeta_connection *connection;
	/** Names, and targets of symlinks, live here; *borrowed*. */
	struct fsmeta_arena *arena;
	struct fsmeta_dictionary dictionary;
	/** Prepared by first use. */
	sqlite3_stmt *statements[ROWS_STATEMENT_COUNT];
	/** struct fsmeta_rows_generation: all, by number; and of those that are kept. */
	struct fsmeta_rows_list generations;
	struct fsmeta_rows_list kept;
	/** struct fsmeta_rows_folder, of the life in hand, and what belongs to each. */
	struct fsmeta_rows_list folders;
	/** struct fsmeta_rows_position and fsmeta_rows_interval. */
	struct fsmeta_rows_list positions;
	struct fsmeta_rows_list intervals;
	/** struct fsmeta_rows_version of the life in hand, by since. */
	struct fsmeta_rows_list versions;
	/** Open addressing by id; holds index + 1 into folders, 0 = free. */
	uint32_t *slots;
	size_t slot_count;
};

/** Loads the generations; the connection is within a transaction.  To be released on failure, too.
 */
int fsmeta_rows_init(struct fsmeta_rows *rows, const struct fsmeta_connection *connection,
    struct fsmeta_arena *arena, struct fsmeta_error *error);

void fsmeta_rows_release(struct fsmeta_rows *rows);

/**
 * All that may ever have been at the path: struct fsmeta_rows_candidate, by id, perhaps twice.
 * Generations are not looked at, so some may never have been there; their lives tell.
 */
int fsmeta_rows_find_candidates(struct fsmeta_rows *rows, const char *path, size_t length,
    struct fsmeta_rows_list *candidates, struct fsmeta_error *error);

/** Loads all that is needed for one life, and nothing of any other; *index is that of its own row
 * among the folders. */
int fsmeta_rows_load_life(struct fsmeta_rows *rows, const struct fsmeta_rows_candidate *candidate,
    uint32_t *index, struct fsmeta_error *error);

/** The kept generation with this index. */
const struct fsmeta_rows_generation *fsmeta_rows_kept(const struct fsmeta_rows *rows, size_t index);

/** Index of the first kept generation from `number` on; kept.count where there is none. */
size_t fsmeta_rows_find_kept(const struct fsmeta_rows *rows, int64_t number);

/** The generation that gave the id out, 0 = it is not known. */
int64_t fsmeta_rows_generation_of_id(const struct fsmeta_rows *rows, int64_t id);

struct fsmeta_rows_folder *fsmeta_rows_folder_at(const struct fsmeta_rows *rows, uint32_t index);

/** Appends a copy of the item.  0 or FSMETA_E_MEMORY. */
int fsmeta_rows_list_append(
    struct fsmeta_rows_list *list, const void *item, size_t size, struct fsmeta_error *error);

/** Sorts a list of int64_t and drops what comes twice. */
void fsmeta_rows_list_sort(struct fsmeta_rows_list *list);

#endif
