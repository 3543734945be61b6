/*
 * Reading a generation.
 *
 * Two sequences are merged.  Folders come in one pass over folder_position by
 * ord, which is pre-order.  The files of the folders on the current path come
 * from one statement a folder, each ordered by name:
 *
 *     folder_position by ord        levels (the current path)
 *       1  (root)                     0  (root)    files: notes.txt  z.txt
 *       5    cam1                     1  cam1      files: a.mp4  b.mp4
 *       9      cam1/2026
 *      12    cam2         <- next
 *
 * The next position says how far the current path must be left: cam2 has depth 1,
 * so all files of levels above 0 come first, from the deepest level on, and those
 * of level 0 that are named below "cam2".  Then cam2 becomes level 1.
 *
 * Folders below a removed folder keep their positions, with `until` NULL, because
 * a removal is one event.  They are recognised here: the folder that they name as
 * parent does not stand on the current path at depth - 1.  In the same way their
 * files are never asked for.
 *
 * An older generation merges two statements a folder, live rows and past ones; at
 * most one version of a name is valid in any generation.
 *
 * Memory is O(depth), and little of it: statements are expensive, so there are
 * only POOL_SLOTS of them, held by the deepest levels.  A level that comes to need
 * one takes it from the shallowest holder, which notes the name it was about to
 * read, and seeks there when it is its turn again.  A chain of 5,000 folders costs
 * 5,000 small structs.
 *
 * A leap towards a path leaves the folders that are not above it, lets the files of the
 * deepest one left begin with the name that the path has there, and looks up by parent and
 * name which folder comes next.
 *
 * A row is not asked for its columns one by one: each sqlite3_column_…() takes a
 * mutex, looks for errors and copies flags, and with fourteen columns a row that took
 * longer than the reading.  The statements are
 *
 *     SELECT fsmeta_file(feed, name, id, …) FROM file WHERE parent = … ORDER BY name
 *
 * and fsmeta_file() is ours: called once for each row with all the values at hand, it
 * decodes them into the feed.
 *
 * A file may be damaged or crafted.  Order is checked where names meet the path
 * stack: whatever was last read at this depth in this folder must come before.
 */
#include "db/reader.h"

#include "base/memory.h"
#include "base/path.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char action[] = "reading the database";
/** What a bound pointer to a feed is called. */
static const char feed_pointer[] = "fsmeta_feed";
/** Behind every name that a folder can hold. */
static const char above_all_names[FSMETA_NAME_MAX_BYTES + 1] = {
    [0 ... FSMETA_NAME_MAX_BYTES] = '\xff'};
/** A damage that is none. */
static const char out_of_memory[] = "out of memory";

enum {
	POOL_SLOTS = 32,
	NO_SLOT = -1,
	NOT_WHOLE = UINT32_MAX,
	/** The feed, name and id before the columns of a row. */
	TAKE_FILE_ARGUMENTS = 3 + FSMETA_ROW_COLUMN_COUNT + FSMETA_ROW_CONTENT_COLUMN_COUNT,
	/** Entries between two looks at the stop flag. */
	STOP_INTERVAL = 1024,
};

/** A source of files of one folder: live rows or past ones. */
struct feed {
	struct fsmeta_reader *reader;
	sqlite3_stmt *statement;
	/** Stands on a row that was not handed out. */
	bool has_row;
	/** The row, as take_file() got it; all but path and what follows from it. */
	struct fsmeta_entry entry;
	/** What is wrong with the row, NULL = nothing. */
	const char *damage;
	size_t name_length;
	char name[FSMETA_NAME_MAX_BYTES];
	/** Holds entry.target. */
	struct fsmeta_buffer target;
};

/** Statements that a level has borrowed. */
struct slot {
	struct feed live;
	/** Unused for the newest generation. */
	struct feed past;
	/** Holder, an index into levels. */
	uint32_t level;
};

/** A folder on the current path. */
struct level {
	int64_t folder;
	int slot;
	/** All its files were read. */
	bool exhausted;
	/** Whether what is below was seen. */
	struct fsmeta_carried_below below;
	/** Where to go on after the slot was taken away; *owned*, NULL = at the beginning. */
	char *seek;
	size_t seek_length;
	/** What to read of a folder that is not read whole; NULL = all. */
	const struct fsmeta_selected_folder *selected;
	/** The name that the slot stands at, or is to be set to. */
	size_t next_name;
};

/** The next folder to come. */
struct position {
	bool has_row;
	int64_t ord;
	/** As in its level. */
	const struct fsmeta_selected_folder *selected;
	uint32_t depth;
	int64_t folder;
	const char *name;
	size_t name_length;
};

struct fsmeta_reader {
	const struct fsmeta_connection *connection;
	const struct fsmeta_dictionary *dictionary;
	struct fsmeta_reader_options options;

	sqlite3_stmt *positions;
	struct position position;
	/** Of a selection: the folder to be sought next. */
	size_t next_selected;
	/** All below a folder of this depth is read, one after the other; else NOT_WHOLE. */
	uint32_t whole_depth;
	/** Past metadata of one folder; prepared by the first use. */
	sqlite3_stmt *folder_past;
	/** The first folder in one from a name on; prepared by the first use. */
	sqlite3_stmt *next_folder;

	struct slot slots[POOL_SLOTS];
	int free_slots[POOL_SLOTS];
	int free_count;

	struct level *levels;
	uint32_t level_count;
	uint32_t level_capacity;
	/** No shallower level holds a slot. */
	uint32_t first_holder;

	struct fsmeta_carried *carried;

	struct fsmeta_path_stack path;
	/** Of a folder; a file's is its feed's. */
	struct fsmeta_entry entry;
	/** Whose row was handed out last and is to be stepped over. */
	struct feed *pending;
	bool pending_position;
	uint32_t until_stop;
	/** The root was handed out. */
	bool rooted;
	bool failed;
};

static int corrupt(struct fsmeta_reader *reader, struct fsmeta_error *error, const char *what)
{
	return fsmeta_connection_corrupt(reader->connection, error, "generation %" PRIu64 ": %s",
	    reader->options.generation, what);
}

static int step(struct fsmeta_reader *reader, sqlite3_stmt *statement, struct fsmeta_error *error)
{
	return fsmeta_connection_step(reader->connection, statement, error);
}

/** The name in a result column; false where it cannot be one. */
static bool read_name(sqlite3_stmt *statement, int column, const char **name, size_t *length)
{
	if (sqlite3_column_type(statement, column) != SQLITE_BLOB)
		return false;
	*name = sqlite3_column_blob(statement, column);
	*length = (size_t)sqlite3_column_bytes(statement, column);
	return *name || !*length;
}

/* ---- slots -------------------------------------------------------------- */

/** Takes over a row; what is wrong with it is told when it would be handed out. */
static const char *take_row(struct feed *feed, sqlite3_value **columns)
{
	const struct fsmeta_reader *reader = feed->reader;
	struct fsmeta_entry *entry = &feed->entry;
	const char *name = sqlite3_value_blob(columns[0]);
	int length = sqlite3_value_bytes(columns[0]);
	int64_t id = sqlite3_value_int64(columns[1]);

	feed->name_length = 0;
	if (!name || length > FSMETA_NAME_MAX_BYTES ||
	    sqlite3_value_type(columns[0]) != SQLITE_BLOB)
		return "a name is not valid";
	memcpy(feed->name, name, (size_t)length);
	feed->name_length = (size_t)length;
	if (id <= 0)
		return "a file has no id";
	entry->id = (uint64_t)id;
	if (!fsmeta_row_decode_values(
		columns + 2, true, reader->dictionary, reader->options.field_mask, entry))
		return "the metadata of an entry is damaged";
	if (!entry->target_length)
		return NULL;
	fsmeta_buffer_clear(&feed->target);
	if (fsmeta_buffer_append(&feed->target, entry->target, entry->target_length))
		return out_of_memory;
	entry->target = (const char *)feed->target.data;
	return NULL;
}

/**
 * fsmeta_file(feed, name, id, columns …): an SQL function that hands a row over.  Its
 * arguments are the values themselves, where asking a statement for each of its
 * columns takes a mutex, a look for errors and a copy of flags every time.
 */
static void take_file(sqlite3_context *context, int count, sqlite3_value **values)
{
	struct feed *feed = sqlite3_value_pointer(values[0], feed_pointer);

	if (feed && count == TAKE_FILE_ARGUMENTS)
		feed->damage = take_row(feed, values + 1);
	else
		sqlite3_result_error(context, "only fsmeta can call this", -1);
}

int fsmeta_reader_register(const struct fsmeta_connection *connection, struct fsmeta_error *error)
{
	int result =
	    sqlite3_create_function_v2(connection->handle, "fsmeta_file", TAKE_FILE_ARGUMENTS,
		SQLITE_UTF8 | SQLITE_DIRECTONLY, NULL, take_file, NULL, NULL, NULL);

	return result == SQLITE_OK ? 0 : fsmeta_connection_fail(connection, result, error);
}

static int prepare_feed(struct fsmeta_reader *reader, struct feed *feed, const char *table,
    const char *condition, struct fsmeta_error *error)
{
	/* A column that nothing is wanted of need not be read. */
	const char *hash = reader->options.field_mask & FSMETA_FIELD_HASH ? "hash" : "NULL";
	const char *last = reader->options.selection ? " AND name <= ?5" : "";
	char *sql = sqlite3_mprintf("SELECT fsmeta_file(?3, name, id, " FSMETA_ROW_COLUMNS
				    ", target, %s) FROM %s WHERE parent = ?1 AND name >= ?2%s%s"
				    " ORDER BY name",
	    hash, table, last, condition);
	int code;

	if (!sql)
		return fsmeta_error_set_memory(error, action);
	feed->reader = reader;
	code = fsmeta_connection_prepare(&feed->statement, reader->connection, sql, error);
	sqlite3_free(sql);
	if (code)
		return code;
	sqlite3_bind_pointer(feed->statement, 3, feed, feed_pointer, NULL);
	if (*condition)
		sqlite3_bind_int64(feed->statement, 4, (int64_t)reader->options.generation);
	return 0;
}

static int prepare_slot(struct fsmeta_reader *reader, struct slot *slot, struct fsmeta_error *error)
{
	bool newest = reader->options.newest;
	int code;

	if (slot->live.statement)
		return 0;
	code = prepare_feed(reader, &slot->live, "file", newest ? "" : " AND since <= ?4", error);
	if (!code && !newest)
		code = prepare_feed(
		    reader, &slot->past, "file_past", " AND since <= ?4 AND until > ?4", error);
	return code;
}

/** The feed's next row: its first, or the one behind. */
static int step_feed(struct fsmeta_reader *reader, struct feed *feed, struct fsmeta_error *error)
{
	int code = step(reader, feed->statement, error);

	feed->has_row = code > 0;
	return code < 0 ? code : 0;
}

static struct feed *next_feed(struct slot *slot);

/** The feeds are at their end, and other names were selected. */
static bool has_more_names(const struct level *level)
{
	return level->selected && level->next_name + 1 < level->selected->name_count;
}

/** Lets the level go on with the file of this name, or behind. */
static int set_seek(
    struct level *level, const char *name, size_t length, struct fsmeta_error *error)
{
	free(level->seek);
	level->seek = malloc(length + 1);
	if (!level->seek)
		return fsmeta_error_set_memory(error, action);
	memcpy(level->seek, name, length);
	level->seek_length = length;
	return 0;
}

/** Takes the slot from the shallowest holder, which will go on from where it was. */
static int steal_slot(struct fsmeta_reader *reader, struct fsmeta_error *error)
{
	struct level *victim;
	struct feed *feed;
	int code = 0;

	while (reader->levels[reader->first_holder].slot == NO_SLOT)
		reader->first_holder++;
	victim = &reader->levels[reader->first_holder];
	feed = next_feed(&reader->slots[victim->slot]);
	victim->exhausted = !feed && !has_more_names(victim);
	/* Selected names are found again by next_name. */
	if (feed && !victim->selected)
		code = set_seek(victim, feed->name, feed->name_length, error);
	if (code)
		return code;
	reader->free_slots[reader->free_count++] = victim->slot;
	victim->slot = NO_SLOT;
	reader->first_holder++;
	return 0;
}

/** Binds the names that are to be read: from where it left off, or the one selected. */
static void bind_names(sqlite3_stmt *statement, const struct level *level, bool is_bounded)
{
	const char *first = level->seek ? level->seek : "", *last = above_all_names;
	size_t first_length = level->seek ? level->seek_length : 0;
	size_t last_length = sizeof(above_all_names);

	if (level->selected) {
		first = last = level->selected->names[level->next_name].name;
		first_length = last_length = level->selected->names[level->next_name].length;
	}
	sqlite3_bind_blob64(statement, 2, first, first_length, SQLITE_STATIC);
	if (is_bounded)
		sqlite3_bind_blob64(statement, 5, last, last_length, SQLITE_STATIC);
}

static int start_feed(struct fsmeta_reader *reader, struct feed *feed, const struct level *level,
    struct fsmeta_error *error)
{
	feed->has_row = false;
	if (!feed->statement)
		return 0;
	sqlite3_reset(feed->statement);
	sqlite3_bind_int64(feed->statement, 1, level->folder);
	bind_names(feed->statement, level, reader->options.selection != NULL);
	return step_feed(reader, feed, error);
}

static int start_slot(
    struct fsmeta_reader *reader, const struct level *level, struct fsmeta_error *error)
{
	struct slot *slot = &reader->slots[level->slot];
	int code = start_feed(reader, &slot->live, level, error);

	return code ? code : start_feed(reader, &slot->past, level, error);
}

/** Gives the deepest level a slot that stands on its next file. */
static int acquire_slot(struct fsmeta_reader *reader, struct fsmeta_error *error)
{
	uint32_t index = reader->level_count - 1;
	struct level *level = &reader->levels[index];
	int code;

	if (!reader->free_count) {
		code = steal_slot(reader, error);
		if (code)
			return code;
	}
	if (reader->free_count == POOL_SLOTS)
		reader->first_holder = index;
	level->slot = reader->free_slots[--reader->free_count];
	reader->slots[level->slot].level = index;
	code = prepare_slot(reader, &reader->slots[level->slot], error);
	return code ? code : start_slot(reader, level, error);
}

/** The feed with the smaller name, NULL where both are at their end. */
static struct feed *next_feed(struct slot *slot)
{
	struct feed *live = &slot->live, *past = &slot->past;

	if (!past->has_row)
		return live->has_row ? live : NULL;
	if (!live->has_row)
		return past;
	/* A name that is none sorts first, and is met by whoever reads it. */
	return fsmeta_name_compare(live->name, live->name_length, past->name, past->name_length) <=
		       0
		   ? live
		   : past;
}

/* ---- levels ------------------------------------------------------------- */

static int push_level(struct fsmeta_reader *reader, const struct position *position,
    struct fsmeta_carried_below below, struct fsmeta_error *error)
{
	const struct fsmeta_selected_folder *selected = position->selected;
	struct level *level;

	if (reader->level_count == reader->level_capacity) {
		uint32_t capacity = reader->level_capacity ? 2 * reader->level_capacity : 64;
		struct level *grown = reallocarray(reader->levels, capacity, sizeof(*grown));

		if (!grown)
			return fsmeta_error_set_memory(error, action);
		reader->levels = grown;
		reader->level_capacity = capacity;
	}
	level = &reader->levels[reader->level_count++];
	*level = (struct level){.folder = position->folder,
	    .slot = NO_SLOT,
	    .below = below,
	    .selected = selected,
	    .exhausted = selected && !selected->name_count};
	/* Its files are asked for when it is their turn: perhaps nobody wants them. */
	return 0;
}

static void release_slot(struct fsmeta_reader *reader, struct level *level)
{
	struct slot *slot;

	if (level->slot == NO_SLOT)
		return;
	slot = &reader->slots[level->slot];
	sqlite3_reset(slot->live.statement);
	sqlite3_reset(slot->past.statement);
	reader->free_slots[reader->free_count++] = level->slot;
	level->slot = NO_SLOT;
}

static void pop_level(struct fsmeta_reader *reader)
{
	struct level *level = &reader->levels[--reader->level_count];

	release_slot(reader, level);
	free(level->seek);
}

/** The deepest level's next file, NULL where it has none left. */
static int peek_file(struct fsmeta_reader *reader, struct feed **feed, struct fsmeta_error *error)
{
	struct level *level = &reader->levels[reader->level_count - 1];

	*feed = NULL;
	if (level->exhausted)
		return 0;
	if (level->slot == NO_SLOT) {
		int code = acquire_slot(reader, error);

		if (code)
			return code;
	}
	*feed = next_feed(&reader->slots[level->slot]);
	while (!*feed && has_more_names(level)) {
		int code;

		level->next_name++;
		code = start_slot(reader, level, error);
		if (code)
			return code;
		*feed = next_feed(&reader->slots[level->slot]);
	}
	level->exhausted = !*feed;
	return 0;
}

/* ---- positions ---------------------------------------------------------- */

enum position_column {
	POSITION_FOLDER,
	POSITION_PARENT,
	POSITION_NAME,
	POSITION_DEPTH,
	POSITION_ORD,
	POSITION_SINCE,
	POSITION_METADATA,
};

static int prepare_positions(struct fsmeta_reader *reader, struct fsmeta_error *error)
{
	int code = fsmeta_connection_prepare(&reader->positions, reader->connection,
	    "SELECT p.folder, p.parent, p.name, p.depth, p.ord, f.since, " FSMETA_ROW_COLUMNS
	    " FROM folder_position p LEFT JOIN folder f ON f.id = p.folder"
	    " WHERE p.ord >= ?2 AND p.since <= ?1 AND (p.until IS NULL OR p.until > ?1)"
	    " ORDER BY p.ord",
	    error);

	if (code)
		return code;
	sqlite3_bind_int64(reader->positions, 1, (int64_t)reader->options.generation);
	sqlite3_bind_int64(reader->positions, 2, INT64_MIN);
	return 0;
}

static int read_position(
    struct fsmeta_reader *reader, struct position *position, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = reader->positions;
	int64_t depth = sqlite3_column_int64(statement, POSITION_DEPTH);

	if (depth < 0 || depth > FSMETA_DEPTH_MAX)
		return corrupt(reader, error, "a folder's depth is out of range");
	position->depth = (uint32_t)depth;
	position->ord = sqlite3_column_int64(statement, POSITION_ORD);
	position->selected = NULL;
	position->folder = sqlite3_column_int64(statement, POSITION_FOLDER);
	if (!read_name(statement, POSITION_NAME, &position->name, &position->name_length))
		return corrupt(reader, error, "a folder has no name");
	return 0;
}

/** Steps to the next row, whatever it is.  1, or 0 at the end. */
static int step_position(struct fsmeta_reader *reader, struct fsmeta_error *error)
{
	struct position *position = &reader->position;
	int code = step(reader, reader->positions, error);

	position->has_row = false;
	if (code <= 0)
		return code;
	code = read_position(reader, position, error);
	position->has_row = !code;
	return code ? code : 1;
}

/** Seeks the next selected folder that stands at `ord` or behind. */
static int seek_selected(struct fsmeta_reader *reader, int64_t ord, struct fsmeta_error *error)
{
	const struct fsmeta_selection *selection = reader->options.selection;
	struct position *position = &reader->position;
	const struct fsmeta_selected_folder *selected;
	int code;

	while (reader->next_selected < selection->count &&
	       selection->folders[reader->next_selected].ord < ord)
		reader->next_selected++;
	if (reader->next_selected == selection->count) {
		position->has_row = false;
		return 0;
	}
	selected = &selection->folders[reader->next_selected++];
	if (!position->has_row || position->ord != selected->ord) {
		sqlite3_reset(reader->positions);
		sqlite3_bind_int64(reader->positions, 2, selected->ord);
		code = step_position(reader, error);
		if (code < 0)
			return code;
		if (!code || position->ord != selected->ord)
			return corrupt(reader, error, "a folder's position cannot be found");
	}
	if (selected->whole)
		reader->whole_depth = position->depth;
	else
		position->selected = selected;
	return 1;
}

/** The folder that the position names as parent stands on the current path. */
static bool is_in_tree(const struct fsmeta_reader *reader)
{
	uint32_t depth = reader->position.depth;

	return depth && depth <= reader->level_count &&
	       reader->levels[depth - 1].folder ==
		   sqlite3_column_int64(reader->positions, POSITION_PARENT);
}

/** Goes to the next row that is to be read.  1, or 0 at the end. */
static int next_position(struct fsmeta_reader *reader, struct fsmeta_error *error)
{
	struct position *position = &reader->position;
	int code;

	if (!reader->options.selection)
		return step_position(reader, error);
	if (reader->whole_depth == NOT_WHOLE)
		return seek_selected(reader, INT64_MIN, error);
	code = step_position(reader, error);
	/* What is left of a folder that is gone may stand anywhere, and ends nothing. */
	if (code <= 0 || position->depth > reader->whole_depth || !is_in_tree(reader))
		return code;
	/* This is the first row behind the folder that was read whole. */
	reader->whole_depth = NOT_WHOLE;
	return seek_selected(reader, position->ord, error);
}

/**
 * Goes to the next position whose folder is in the tree.  Positions deeper than
 * `deepest` are passed over.
 */
static int advance_position(
    struct fsmeta_reader *reader, uint32_t deepest, struct fsmeta_error *error)
{
	struct position *position = &reader->position;

	for (;;) {
		int code = next_position(reader, error);

		if (code <= 0)
			return code;
		if (position->depth > deepest)
			continue;
		if (position->depth == 0) {
			if (reader->rooted)
				return corrupt(reader, error, "it has two roots");
			return 0;
		}
		if (is_in_tree(reader))
			return 0;
	}
}

/* ---- handing out -------------------------------------------------------- */

/** Puts the name on the path at `depth`, where it must come behind what was there. */
static int enter_name(struct fsmeta_reader *reader, uint32_t depth, const char *name, size_t length,
    struct fsmeta_error *error)
{
	struct fsmeta_path_stack *path = &reader->path;
	int code;

	if (!fsmeta_name_is_valid(name, length))
		return corrupt(reader, error, "a name is not valid");
	if (path->depth >= depth) {
		size_t before_length;
		const char *before = fsmeta_path_stack_name(path, depth, &before_length);

		if (fsmeta_name_compare(before, before_length, name, length) >= 0)
			return corrupt(reader, error, "entries are out of order");
		fsmeta_path_stack_truncate(path, depth - 1);
	}
	code = fsmeta_path_stack_push(path, name, length);
	if (code == FSMETA_E_MEMORY)
		return fsmeta_error_set_memory(error, "reading entries");
	return code ? corrupt(reader, error, "a path is too long") : 0;
}

/** Sets what follows from the path. */
static void finish_entry(
    struct fsmeta_reader *reader, struct fsmeta_entry *entry, uint32_t depth, size_t name_length)
{
	entry->path = fsmeta_path_stack_path(&reader->path, &entry->path_length);
	entry->name_length = name_length;
	entry->name = entry->path + (entry->path_length - name_length);
	entry->depth = depth;
}

/** Sets the entry's unknown_since; *below, for a folder, is what it hands down. */
static void judge_seen(
    struct fsmeta_reader *reader, struct fsmeta_entry *entry, struct fsmeta_carried_below *below)
{
	const struct fsmeta_carried_entry judged = {
	    .path = entry->path,
	    .length = entry->path_length,
	    .depth = entry->depth,
	    .id = (int64_t)entry->id,
	    .above = entry->depth ? &reader->levels[entry->depth - 1].below : NULL,
	};

	entry->unknown_since = fsmeta_carried_since(reader->carried, &judged, below);
}

static int hand_out_file(struct fsmeta_reader *reader, struct feed *feed,
    const struct fsmeta_entry **out, struct fsmeta_error *error)
{
	uint32_t depth = reader->level_count;
	int code;

	if (feed->damage == out_of_memory)
		return fsmeta_error_set_memory(error, action);
	if (feed->damage)
		return corrupt(reader, error, feed->damage);
	code = enter_name(reader, depth, feed->name, feed->name_length, error);
	if (code)
		return code;
	finish_entry(reader, &feed->entry, depth, feed->name_length);
	judge_seen(reader, &feed->entry, NULL);
	reader->pending = feed;
	*out = &feed->entry;
	return 0;
}

/** Metadata of a folder that was modified after the generation. */
static int decode_past_folder(
    struct fsmeta_reader *reader, int64_t folder, struct fsmeta_error *error)
{
	int64_t generation = (int64_t)reader->options.generation;
	int code = 0;

	if (!reader->folder_past)
		code = fsmeta_connection_prepare(&reader->folder_past, reader->connection,
		    "SELECT since, " FSMETA_ROW_COLUMNS
		    " FROM folder_past WHERE id = ?1 AND until > ?2 ORDER BY until LIMIT 1",
		    error);
	if (code)
		return code;
	sqlite3_bind_int64(reader->folder_past, 1, folder);
	sqlite3_bind_int64(reader->folder_past, 2, generation);
	code = step(reader, reader->folder_past, error);
	if (code > 0 && sqlite3_column_int64(reader->folder_past, 0) <= generation)
		code = fsmeta_row_decode(reader->connection, reader->folder_past, 1, false,
		    reader->dictionary, reader->options.field_mask, &reader->entry, error);
	else if (code >= 0)
		code = corrupt(reader, error, "a folder's metadata is missing");
	sqlite3_reset(reader->folder_past);
	return code;
}

static int decode_folder(struct fsmeta_reader *reader, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = reader->positions;

	if (sqlite3_column_type(statement, POSITION_SINCE) != SQLITE_INTEGER)
		return corrupt(reader, error, "a folder has no metadata");
	if (sqlite3_column_int64(statement, POSITION_SINCE) > (int64_t)reader->options.generation)
		return decode_past_folder(reader, reader->position.folder, error);
	return fsmeta_row_decode(reader->connection, statement, POSITION_METADATA, false,
	    reader->dictionary, reader->options.field_mask, &reader->entry, error);
}

static int hand_out_folder(
    struct fsmeta_reader *reader, const struct fsmeta_entry **out, struct fsmeta_error *error)
{
	const struct position *position = &reader->position;
	struct fsmeta_carried_below below;
	int code = 0;

	if (position->folder <= 0)
		return corrupt(reader, error, "a folder has no id");
	if (position->depth)
		code = enter_name(
		    reader, position->depth, position->name, position->name_length, error);
	else if (position->name_length)
		code = corrupt(reader, error, "the root has a name");
	if (!code)
		code = decode_folder(reader, error);
	if (code)
		return code;
	reader->entry.id = (uint64_t)position->folder;
	finish_entry(reader, &reader->entry, position->depth, position->name_length);
	judge_seen(reader, &reader->entry, &below);
	*out = &reader->entry;
	reader->pending_position = true;
	reader->rooted = true;
	return push_level(reader, position, below, error);
}

/** Steps over what was handed out last. */
static int leave_pending(struct fsmeta_reader *reader, struct fsmeta_error *error)
{
	int code = 0;

	if (reader->pending) {
		/* A name that was selected has one row. */
		if (reader->levels[reader->level_count - 1].selected)
			reader->pending->has_row = false;
		else
			code = step_feed(reader, reader->pending, error);
		reader->pending = NULL;
	} else if (reader->pending_position) {
		reader->pending_position = false;
		code = advance_position(reader, UINT32_MAX, error);
	}
	return code < 0 ? code : 0;
}

static int check_stop(struct fsmeta_reader *reader, struct fsmeta_error *error)
{
	if (reader->until_stop--)
		return 0;
	reader->until_stop = STOP_INTERVAL;
	if (reader->options.stop && *reader->options.stop)
		return fsmeta_error_set(
		    error, FSMETA_E_STOPPED, reader->connection->path, action, "stopped");
	return 0;
}

/** True where this file of the deepest level comes before the next folder. */
static bool file_is_next(const struct fsmeta_reader *reader, const struct feed *feed)
{
	const struct position *position = &reader->position;

	return !position->has_row || position->depth < reader->level_count ||
	       fsmeta_name_compare(
		   feed->name, feed->name_length, position->name, position->name_length) < 0;
}

/** One step of the merge.  1 with *entry, 0 at the end. */
static int merge(
    struct fsmeta_reader *reader, const struct fsmeta_entry **entry, struct fsmeta_error *error)
{
	for (;;) {
		const struct position *position = &reader->position;
		struct feed *feed = NULL;
		int code = 0;

		if (reader->level_count)
			code = peek_file(reader, &feed, error);
		if (code)
			return code;
		if (feed && file_is_next(reader, feed)) {
			code = hand_out_file(reader, feed, entry, error);
			return code ? code : 1;
		}
		if (position->has_row && position->depth == reader->level_count) {
			code = hand_out_folder(reader, entry, error);
			return code ? code : 1;
		}
		if (!reader->level_count)
			return 0;
		pop_level(reader);
	}
}

int fsmeta_reader_next(
    struct fsmeta_reader *reader, const struct fsmeta_entry **entry, struct fsmeta_error *error)
{
	int code;

	*entry = NULL;
	if (reader->failed)
		return fsmeta_error_set(error, FSMETA_E_INTERNAL, reader->connection->path, action,
		    "reading went on after a failure");
	do {
		code = check_stop(reader, error);
		if (!code)
			code = leave_pending(reader, error);
		if (!code)
			code = merge(reader, entry, error);
	} while (code > 0 && reader->options.seen_only && (*entry)->unknown_since);
	reader->failed = code < 0;
	return code;
}

static void leave_all(struct fsmeta_reader *reader)
{
	reader->pending = NULL;
	reader->pending_position = false;
	reader->position.has_row = false;
	while (reader->level_count)
		pop_level(reader);
}

int fsmeta_reader_skip(struct fsmeta_reader *reader, uint32_t depth, struct fsmeta_error *error)
{
	int code;

	if (reader->failed)
		return fsmeta_error_set(error, FSMETA_E_INTERNAL, reader->connection->path, action,
		    "nothing can be skipped here");
	if (!depth) {
		leave_all(reader);
		return 0;
	}
	code = leave_pending(reader, error);
	while (reader->level_count >= depth)
		pop_level(reader);
	if (!code && reader->position.has_row && reader->position.depth >= depth)
		code = advance_position(reader, depth - 1, error);
	reader->failed = code < 0;
	return code < 0 ? code : 0;
}

/* ---- leaping ------------------------------------------------------------ */

/** Where a leap goes: the deepest folder on the current path that holds it, and the name there. */
struct goal {
	uint32_t level;
	const char *name;
	size_t length;
};

/** False where nothing that comes is in front of the path. */
static bool find_goal(
    const struct fsmeta_reader *reader, const char *path, size_t length, struct goal *out)
{
	const char *end = path + length;
	uint32_t entered = reader->path.depth;

	*out = (struct goal){.name = path};
	for (;; out->level++, out->name += out->length + 1) {
		const char *slash = memchr(out->name, '/', (size_t)(end - out->name));
		const char *name;
		size_t name_length;
		int order;

		out->length = (size_t)((slash ? slash : end) - out->name);
		if (out->level == entered)
			return true;
		name = fsmeta_path_stack_name(&reader->path, out->level + 1, &name_length);
		order = fsmeta_name_compare(name, name_length, out->name, out->length);
		if (order)
			return order < 0;
		/* It was handed out, or a file stands where the path goes on. */
		if (!slash || out->level + 1 >= reader->level_count)
			return false;
	}
}

/** Finds the first folder in `folder` that is named so, or behind; 1 with *ord, 0 or a code. */
static int find_folder(struct fsmeta_reader *reader, int64_t folder, const char *name,
    size_t length, int64_t *ord, struct fsmeta_error *error)
{
	int code = 0;

	if (!reader->next_folder)
		code = fsmeta_connection_prepare(&reader->next_folder, reader->connection,
		    "SELECT ord FROM folder_position WHERE parent = ?1 AND name >= ?2"
		    " AND since <= ?3 AND (until IS NULL OR until > ?3) ORDER BY name LIMIT 1",
		    error);
	if (code)
		return code;
	sqlite3_bind_int64(reader->next_folder, 1, folder);
	sqlite3_bind_blob64(reader->next_folder, 2, name, length, SQLITE_STATIC);
	sqlite3_bind_int64(reader->next_folder, 3, (int64_t)reader->options.generation);
	code = step(reader, reader->next_folder, error);
	if (code > 0)
		*ord = sqlite3_column_int64(reader->next_folder, 0);
	sqlite3_reset(reader->next_folder);
	return code;
}

/** The folder that comes is not in front of the goal, or there is none. */
static bool is_at_goal(const struct fsmeta_reader *reader, const struct goal *goal)
{
	const struct position *position = &reader->position;

	if (!position->has_row)
		return true;
	if (reader->pending_position || position->depth > goal->level + 1)
		return false;
	return position->depth <= goal->level ||
	       fsmeta_name_compare(
		   position->name, position->name_length, goal->name, goal->length) >= 0;
}

/** Goes on with the first folder that is not in front of the goal, there or further up. */
static int seek_position(
    struct fsmeta_reader *reader, const struct goal *goal, struct fsmeta_error *error)
{
	char behind[FSMETA_NAME_MAX_BYTES + 1];
	const char *name = goal->name;
	size_t length = goal->length;
	int64_t ord = 0;
	int code;

	for (uint32_t level = goal->level;; level--) {
		code = find_folder(reader, reader->levels[level].folder, name, length, &ord, error);
		if (code || !level)
			break;
		name = fsmeta_path_stack_name(&reader->path, level, &length);
		memcpy(behind, name, length);
		/* No name can stand between the two. */
		behind[length++] = '\0';
		name = behind;
	}
	reader->pending_position = false;
	if (code <= 0) {
		reader->position.has_row = false;
		return code;
	}
	sqlite3_reset(reader->positions);
	sqlite3_bind_int64(reader->positions, 2, ord);
	return advance_position(reader, UINT32_MAX, error);
}

int fsmeta_reader_leap(
    struct fsmeta_reader *reader, const char *path, size_t length, struct fsmeta_error *error)
{
	struct level *level;
	struct goal goal;
	int code = 0;

	if (!length || reader->failed || reader->options.selection || !reader->level_count ||
	    !find_goal(reader, path, length, &goal))
		return 0;
	while (reader->level_count > goal.level + 1)
		pop_level(reader);
	level = &reader->levels[goal.level];
	reader->pending = NULL;
	if (!level->seek ||
	    fsmeta_name_compare(level->seek, level->seek_length, goal.name, goal.length) < 0) {
		code = set_seek(level, goal.name, goal.length, error);
		release_slot(reader, level);
	}
	if (!code && !is_at_goal(reader, &goal))
		code = seek_position(reader, &goal, error);
	reader->failed = code < 0;
	return code < 0 ? code : 1;
}

int fsmeta_reader_new(struct fsmeta_reader **out, const struct fsmeta_connection *connection,
    const struct fsmeta_dictionary *dictionary, const struct fsmeta_reader_options *options,
    struct fsmeta_error *error)
{
	struct fsmeta_reader *reader = calloc(1, sizeof(*reader));
	int code;

	*out = NULL;
	if (!reader)
		return fsmeta_error_set_memory(error, action);
	reader->connection = connection;
	reader->dictionary = dictionary;
	reader->options = *options;
	reader->whole_depth = NOT_WHOLE;
	fsmeta_path_stack_init(&reader->path);
	for (int i = 0; i < POOL_SLOTS; i++)
		reader->free_slots[reader->free_count++] = POOL_SLOTS - 1 - i;
	code = fsmeta_carried_new(
	    &reader->carried, connection, options->generation, options->source, error);
	if (!code)
		code = prepare_positions(reader, error);
	if (!code)
		code = advance_position(reader, 0, error);
	if (!code || code > 0) {
		*out = reader;
		return 0;
	}
	fsmeta_reader_free(reader);
	return code;
}

bool fsmeta_reader_enters(const struct fsmeta_reader *reader, uint64_t *folder)
{
	const struct level *level;

	if (reader->failed || !reader->pending_position || !reader->level_count)
		return false;
	level = &reader->levels[reader->level_count - 1];
	*folder = (uint64_t)level->folder;
	return !level->below.since && !level->below.varies;
}

void fsmeta_reader_pass_files(struct fsmeta_reader *reader)
{
	reader->levels[reader->level_count - 1].exhausted = true;
}

static void release_feed(struct feed *feed)
{
	sqlite3_finalize(feed->statement);
	fsmeta_buffer_release(&feed->target);
}

void fsmeta_reader_free(struct fsmeta_reader *reader)
{
	if (!reader)
		return;
	while (reader->level_count)
		pop_level(reader);
	for (int i = 0; i < POOL_SLOTS; i++) {
		release_feed(&reader->slots[i].live);
		release_feed(&reader->slots[i].past);
	}
	sqlite3_finalize(reader->positions);
	sqlite3_finalize(reader->folder_past);
	sqlite3_finalize(reader->next_folder);
	fsmeta_path_stack_release(&reader->path);
	free(reader->levels);
	fsmeta_carried_free(reader->carried);
	free(reader);
}
