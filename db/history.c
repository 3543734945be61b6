/*
 * What happened at a place, found without reading the tree.
 *
 * An entry's state in generation G is put together from rows, each of which says from
 * when until when it holds:
 *
 *     generation           1     2     3     4     5     6     7
 *     file cam1/a          [1 ........)[3 ..................)          versions
 *     file cam2/a                                     [6 .......
 *     folder cam1          [1 ...............................          positions
 *     folder cam2          [1 .........)[3 ......................      (moved there)
 *     unknown(cam1)                          [4 ..)                    intervals
 *                          ^           ^     ^  ^     ^
 *
 * Between two ends of any of these nothing can change.  So the rows of the entry and of
 * all folders that were ever above it are loaded, a handful, and the entry is looked at
 * in the kept generations right behind those ends alone.  Looking at neighbours
 * instead of interpreting rows makes it say what the listings of these generations say:
 * a folder above that moved or went needs no thought, nor does a generation that was pruned.
 *
 *     path ── by name ──► ids that were there ──► rows of each ──► folders above
 *                                  ▲                   │
 *                                  └── by `change` ────┘ where a file came or went by a move
 *
 * Folders are found by id.  Files lie by folder and name, without an index by id; where
 * one came from somewhere else, or left, in a generation that has moves, the rows of
 * table `change` name all places of that generation at which it can have been.  A file
 * of the first schema has no such table, and all files of the past are looked through.
 */
#include "db/history.h"

#include "base/path.h"
#include "db/internal.h"
#include "db/row.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char action[] = "reading the history";

enum {
	NO_FOLDER = UINT32_MAX,
};

/** What is known of a generation without its BatchSource. */
struct generation_row {
	uint64_t number;
	bool pruned;
	int64_t finished_ns;
	int64_t first_id;
	uint32_t field_mask;
	uint64_t moved;
};

/** A row of folder_position, valid in generations since <= G < until. */
struct position {
	int64_t since;
	int64_t until;
	int64_t parent;
	/** Index of the parent in the folders, NO_FOLDER above the root. */
	uint32_t above;
	const char *name;
	size_t name_length;
};

/** A row of `unknown`. */
struct interval {
	int64_t since;
	int64_t until;
	bool whole;
	bool unreadable;
	int error;
};

/** A folder that was ever on a way to the root, or an entry whose life is told. */
struct node {
	int64_t id;
	size_t first_position;
	size_t position_count;
	size_t first_interval;
	size_t interval_count;
};

/** Metadata that an entry had; of a file also where it was. */
struct version {
	int64_t since;
	int64_t until;
	int64_t parent;
	uint32_t above;
	const char *name;
	size_t name_length;
	struct fsmeta_entry entry;
};

/** A growing array; `items` is what malloc gave. */
struct list {
	void *items;
	size_t count;
	size_t capacity;
};

enum statement {
	FOLDERS_BY_NAME,
	FILES_BY_NAME,
	POSITIONS,
	INTERVALS,
	FOLDER_VERSIONS,
	FILE_VERSIONS,
	FILE_ELSEWHERE,
	STATEMENTS,
};

#define OPEN_END "9223372036854775807"
#define FILE_COLUMNS FSMETA_ROW_COLUMNS FSMETA_ROW_CONTENT_COLUMNS

static const char *const texts[STATEMENTS] = {
    [FOLDERS_BY_NAME] = "SELECT folder FROM folder_position WHERE parent = ?1 AND name = ?2",
    [FILES_BY_NAME] = "SELECT id FROM file WHERE parent = ?1 AND name = ?2 UNION ALL"
		      " SELECT id FROM file_past WHERE parent = ?1 AND name = ?2",
    [POSITIONS] = "SELECT since, ifnull(until, " OPEN_END "), parent, name"
		  " FROM folder_position WHERE folder = ?1",
    [INTERVALS] = "SELECT since, ifnull(until, " OPEN_END "), whole, reason = 'unreadable', error"
		  " FROM unknown WHERE root = ?1",
    [FOLDER_VERSIONS] =
	"SELECT since, " OPEN_END ", 0, x'', " FSMETA_ROW_COLUMNS
	" FROM folder WHERE id = ?1 UNION ALL"
	" SELECT since, until, 0, x'', " FSMETA_ROW_COLUMNS " FROM folder_past WHERE id = ?1",
    [FILE_VERSIONS] = "SELECT since, " OPEN_END ", parent, name, " FILE_COLUMNS
		      " FROM file WHERE parent = ?2 AND name = ?3 AND id = ?1 UNION ALL"
		      " SELECT since, until, parent, name, " FILE_COLUMNS
		      " FROM file_past WHERE parent = ?2 AND name = ?3 AND id = ?1",
    [FILE_ELSEWHERE] =
	"SELECT f.parent, f.name FROM change c CROSS JOIN file f"
	" ON f.parent = c.folder AND f.name = c.name"
	" WHERE c.generation = ?2 AND f.id = ?1 UNION"
	" SELECT f.parent, f.name FROM change c CROSS JOIN file_past f"
	" ON f.parent = c.folder AND f.name = c.name WHERE c.generation = ?2 AND f.id = ?1",
};

/** In a file of the first schema. */
static const char file_elsewhere_scan[] = "SELECT parent, name FROM file WHERE id = ?1 UNION"
					  " SELECT parent, name FROM file_past WHERE id = ?1";

struct history {
	const struct fsmeta_connection *connection;
	struct fsmeta_db_history *out;
	struct fsmeta_dictionary dictionary;
	sqlite3_stmt *statements[STATEMENTS];
	/** struct generation_row: all, by number; and of those that are kept. */
	struct list generations;
	struct list kept;
	/** struct node, position, interval, version. */
	struct list nodes;
	struct list positions;
	struct list intervals;
	/** Of one life, by since. */
	struct list versions;
	/** Open addressing by id; holds index + 1 into nodes, 0 = free. */
	uint32_t *slots;
	size_t slot_count;
	/** The path of the entry that is looked at. */
	struct fsmeta_buffer path;
};

static int append(struct list *list, const void *item, size_t size, struct fsmeta_error *error)
{
	if (list->count == list->capacity) {
		size_t capacity = list->capacity ? 2 * list->capacity : 16;
		void *grown = reallocarray(list->items, capacity, size);

		if (!grown)
			return fsmeta_error_set_memory(error, action);
		list->items = grown;
		list->capacity = capacity;
	}
	memcpy((char *)list->items + list->count++ * size, item, size);
	return 0;
}

static int compare_integers(const void *left, const void *right)
{
	int64_t a, b;

	memcpy(&a, left, sizeof(a));
	memcpy(&b, right, sizeof(b));
	return (a > b) - (a < b);
}

/** Sorts a list of int64 and drops what comes twice. */
static void sort_unique(struct list *list)
{
	int64_t *items = list->items;
	size_t kept = 0;

	if (list->count)
		qsort(items, list->count, sizeof(*items), compare_integers);
	for (size_t i = 0; i < list->count; i++)
		if (!kept || items[kept - 1] != items[i])
			items[kept++] = items[i];
	list->count = kept;
}

/** A statement ready to be bound; the one in use before is forgotten. */
static int ready(struct history *history, enum statement which, int64_t first,
    sqlite3_stmt **statement, struct fsmeta_error *error)
{
	sqlite3_stmt **slot = &history->statements[which];
	const char *text = texts[which];
	int code = 0;

	if (which == FILE_ELSEWHERE && history->connection->schema_version < 2)
		text = file_elsewhere_scan;
	if (*slot)
		sqlite3_reset(*slot);
	else
		code = fsmeta_connection_prepare(slot, history->connection, text, error);
	*statement = *slot;
	if (!code)
		sqlite3_bind_int64(*slot, 1, first);
	return code;
}

static int step(struct history *history, sqlite3_stmt *statement, struct fsmeta_error *error)
{
	return fsmeta_connection_step(history->connection, statement, error);
}

static int corrupt(struct history *history, const char *what, struct fsmeta_error *error)
{
	return fsmeta_connection_corrupt(history->connection, error, "%s", what);
}

/** A copy of the name in a column; the root's alone may be empty. */
static int copy_name(struct history *history, sqlite3_stmt *statement, int column,
    bool may_be_empty, const char **name, size_t *length, struct fsmeta_error *error)
{
	const void *bytes = sqlite3_column_blob(statement, column);

	*length = (size_t)sqlite3_column_bytes(statement, column);
	if (*length ? !fsmeta_name_is_valid(bytes, *length) : !may_be_empty)
		return corrupt(history, "a name is not valid", error);
	*name = fsmeta_arena_copy(&history->out->arena, *length ? bytes : "", *length);
	return *name ? 0 : fsmeta_error_set_memory(error, action);
}

/* ---- generations ---------------------------------------------------------- */

static int load_generations(struct history *history, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_connection_prepare(&statement, history->connection,
	    "SELECT number, pruned, finished, first_id, field_mask, moved FROM generation"
	    " ORDER BY number",
	    error);

	while (!code && (code = step(history, statement, error)) > 0) {
		const struct generation_row row = {
		    .number = (uint64_t)sqlite3_column_int64(statement, 0),
		    .pruned = sqlite3_column_int(statement, 1) != 0,
		    .finished_ns = sqlite3_column_int64(statement, 2),
		    .first_id = sqlite3_column_int64(statement, 3),
		    .field_mask = (uint32_t)sqlite3_column_int64(statement, 4),
		    .moved = (uint64_t)sqlite3_column_int64(statement, 5),
		};

		code = append(&history->generations, &row, sizeof(row), error);
		if (!code && !row.pruned)
			code = append(&history->kept, &row, sizeof(row), error);
	}
	sqlite3_finalize(statement);
	return code;
}

/** Index of the first generation in `list` from `number` on; list->count = none. */
static size_t find_generation(const struct list *list, int64_t number)
{
	const struct generation_row *rows = list->items;
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if ((int64_t)rows[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static const struct generation_row *kept_at(const struct history *history, size_t index)
{
	return (const struct generation_row *)history->kept.items + index;
}

/** The generation that gave the id out, 0 = it is not known. */
static int64_t generation_of_id(const struct history *history, int64_t id)
{
	const struct generation_row *rows = history->generations.items;
	size_t low = 0, high = history->generations.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (rows[middle].first_id <= id)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? (int64_t)rows[low - 1].number : 0;
}

/** True where something moved in kept generation `index` or a pruned one right before it. */
static bool has_moves(const struct history *history, size_t index)
{
	const struct generation_row *rows = history->generations.items;
	uint64_t after = index ? kept_at(history, index - 1)->number : 0;
	size_t at = find_generation(&history->generations, (int64_t)after + 1);

	for (; at < history->generations.count; at++) {
		if (rows[at].number > kept_at(history, index)->number)
			break;
		if (rows[at].moved)
			return true;
	}
	return false;
}

/* ---- folders -------------------------------------------------------------- */

static size_t hash(const struct history *history, int64_t id)
{
	return ((uint64_t)id * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (history->slot_count - 1);
}

/** The slot of this id, free where it is not there. */
static uint32_t *find_slot(const struct history *history, int64_t id)
{
	const struct node *nodes = history->nodes.items;
	size_t at = hash(history, id);

	while (history->slots[at] && nodes[history->slots[at] - 1].id != id)
		at = (at + 1) & (history->slot_count - 1);
	return &history->slots[at];
}

static int grow_slots(struct history *history, struct fsmeta_error *error)
{
	const struct node *nodes = history->nodes.items;
	size_t count = history->slot_count ? 2 * history->slot_count : 64;
	uint32_t *slots;

	if (history->slot_count > 2 * history->nodes.count)
		return 0;
	slots = calloc(count, sizeof(*slots));
	if (!slots)
		return fsmeta_error_set_memory(error, action);
	free(history->slots);
	history->slots = slots;
	history->slot_count = count;
	for (size_t i = 0; i < history->nodes.count; i++)
		*find_slot(history, nodes[i].id) = (uint32_t)i + 1;
	return 0;
}

/** Index of the node with this id, which is added with nothing in it where it is new. */
static int add_node(
    struct history *history, int64_t id, uint32_t *index, struct fsmeta_error *error)
{
	const struct node node = {.id = id};
	uint32_t *slot;
	int code = grow_slots(history, error);

	if (code)
		return code;
	slot = find_slot(history, id);
	if (!*slot) {
		code = append(&history->nodes, &node, sizeof(node), error);
		if (code)
			return code;
		*slot = (uint32_t)history->nodes.count;
	}
	*index = *slot - 1;
	return 0;
}

static struct node *node_at(const struct history *history, uint32_t index)
{
	return (struct node *)history->nodes.items + index;
}

static int load_positions(struct history *history, uint32_t index, struct fsmeta_error *error)
{
	size_t first = history->positions.count;
	sqlite3_stmt *statement;
	int code = ready(history, POSITIONS, node_at(history, index)->id, &statement, error);

	while (!code && (code = step(history, statement, error)) > 0) {
		struct position position = {
		    .since = sqlite3_column_int64(statement, 0),
		    .until = sqlite3_column_int64(statement, 1),
		    .parent = sqlite3_column_int64(statement, 2),
		    .above = NO_FOLDER,
		};

		code = copy_name(history, statement, 3, !position.parent, &position.name,
		    &position.name_length, error);
		if (!code && position.parent)
			code = add_node(history, position.parent, &position.above, error);
		if (!code)
			code = append(&history->positions, &position, sizeof(position), error);
	}
	node_at(history, index)->first_position = first;
	node_at(history, index)->position_count = history->positions.count - first;
	return code;
}

static int load_intervals(struct history *history, uint32_t index, struct fsmeta_error *error)
{
	size_t first = history->intervals.count;
	sqlite3_stmt *statement;
	int code = ready(history, INTERVALS, node_at(history, index)->id, &statement, error);

	while (!code && (code = step(history, statement, error)) > 0) {
		const struct interval interval = {
		    .since = sqlite3_column_int64(statement, 0),
		    .until = sqlite3_column_int64(statement, 1),
		    .whole = sqlite3_column_int(statement, 2) != 0,
		    .unreadable = sqlite3_column_int(statement, 3) != 0,
		    .error = sqlite3_column_int(statement, 4),
		};

		code = append(&history->intervals, &interval, sizeof(interval), error);
	}
	node_at(history, index)->first_interval = first;
	node_at(history, index)->interval_count = history->intervals.count - first;
	return code;
}

/** Loads the nodes from `first` on, and so on up to the root. */
static int load_nodes(struct history *history, size_t first, struct fsmeta_error *error)
{
	int code = 0;

	for (size_t i = first; i < history->nodes.count && !code; i++) {
		code = load_positions(history, (uint32_t)i, error);
		if (!code)
			code = load_intervals(history, (uint32_t)i, error);
	}
	return code;
}

/* ---- versions --------------------------------------------------------------- */

static int load_version(struct history *history, sqlite3_stmt *statement, int64_t id,
    bool is_folder, struct fsmeta_error *error)
{
	struct version version = {
	    .since = sqlite3_column_int64(statement, 0),
	    .until = sqlite3_column_int64(statement, 1),
	    .parent = sqlite3_column_int64(statement, 2),
	    .above = NO_FOLDER,
	};
	struct fsmeta_entry *entry = &version.entry;
	int code = fsmeta_row_decode(history->connection, statement, 4, !is_folder,
	    &history->dictionary, FSMETA_FIELDS_KNOWN, entry, error);

	if (code)
		return code;
	entry->id = (uint64_t)id;
	if (entry->target) {
		entry->target =
		    fsmeta_arena_copy(&history->out->arena, entry->target, entry->target_length);
		if (!entry->target)
			return fsmeta_error_set_memory(error, action);
	}
	if (!is_folder) {
		code = copy_name(
		    history, statement, 3, false, &version.name, &version.name_length, error);
		if (!code)
			code = add_node(history, version.parent, &version.above, error);
	}
	return code ? code : append(&history->versions, &version, sizeof(version), error);
}

static int load_versions(
    struct history *history, sqlite3_stmt *statement, int64_t id, struct fsmeta_error *error)
{
	bool is_folder = statement == history->statements[FOLDER_VERSIONS];
	int code;

	while ((code = step(history, statement, error)) > 0) {
		code = load_version(history, statement, id, is_folder, error);
		if (code)
			break;
	}
	return code;
}

static int load_folder_versions(struct history *history, int64_t id, struct fsmeta_error *error)
{
	sqlite3_stmt *statement;
	int code = ready(history, FOLDER_VERSIONS, id, &statement, error);

	return code ? code : load_versions(history, statement, id, error);
}

/** Loads what file `id` was at this place, unless that was done. */
static int load_file_versions(struct history *history, int64_t id, int64_t parent, const char *name,
    size_t length, struct fsmeta_error *error)
{
	const struct version *versions = history->versions.items;
	sqlite3_stmt *statement;
	int code;

	for (size_t i = 0; i < history->versions.count; i++)
		if (versions[i].parent == parent && versions[i].name_length == length &&
		    memcmp(versions[i].name, name, length) == 0)
			return 0;
	code = ready(history, FILE_VERSIONS, id, &statement, error);
	if (code)
		return code;
	sqlite3_bind_int64(statement, 2, parent);
	sqlite3_bind_blob64(statement, 3, name, length, SQLITE_STATIC);
	return load_versions(history, statement, id, error);
}

/* ---- moves of files ----------------------------------------------------------- */

/** Looks for more places of the file in what changed in kept generation `index`. */
static int load_elsewhere(
    struct history *history, int64_t id, size_t index, struct fsmeta_error *error)
{
	sqlite3_stmt *statement;
	int code = ready(history, FILE_ELSEWHERE, id, &statement, error);

	if (!code && history->connection->schema_version >= 2)
		sqlite3_bind_int64(statement, 2, (int64_t)kept_at(history, index)->number);
	while (!code && (code = step(history, statement, error)) > 0) {
		int64_t parent = sqlite3_column_int64(statement, 0);
		const char *name;
		size_t length;

		code = copy_name(history, statement, 1, false, &name, &length, error);
		if (!code)
			code = load_file_versions(history, id, parent, name, length, error);
	}
	return code;
}

/** True where some version begins (`begins`) or else ends in generation `number`. */
static bool has_end(const struct history *history, int64_t number, bool begins)
{
	const struct version *versions = history->versions.items;

	for (size_t i = 0; i < history->versions.count; i++)
		if ((begins ? versions[i].since : versions[i].until) == number)
			return true;
	return false;
}

/** Where `number` is an end that no other version continues, notes its kept generation. */
static int note_loose_end(struct history *history, struct list *loose, int64_t number, bool begins,
    struct fsmeta_error *error)
{
	size_t index = find_generation(&history->kept, number);
	int64_t item = (int64_t)index;

	if (index == history->kept.count || has_end(history, number, !begins) ||
	    !has_moves(history, index))
		return 0;
	return append(loose, &item, sizeof(item), error);
}

static int find_loose_ends(
    struct history *history, int64_t id, struct list *loose, struct fsmeta_error *error)
{
	const struct version *versions = history->versions.items;
	int64_t born = generation_of_id(history, id);
	int code = 0;

	loose->count = 0;
	for (size_t i = 0; i < history->versions.count && !code; i++) {
		if (versions[i].since > born)
			code = note_loose_end(history, loose, versions[i].since, true, error);
		if (!code && versions[i].until != INT64_MAX)
			code = note_loose_end(history, loose, versions[i].until, false, error);
	}
	sort_unique(loose);
	return code;
}

static bool contains(const struct list *list, int64_t item)
{
	return list->count &&
	       bsearch(&item, list->items, list->count, sizeof(item), compare_integers);
}

/** Follows a file whose versions at one place are loaded through all its moves. */
static int follow_moves(struct history *history, int64_t id, struct fsmeta_error *error)
{
	struct list loose = {0}, searched = {0};
	size_t before;
	int code;

	do {
		before = history->versions.count;
		code = find_loose_ends(history, id, &loose, error);
		for (size_t i = 0; i < loose.count && !code; i++) {
			int64_t index = ((int64_t *)loose.items)[i];

			if (contains(&searched, index))
				continue;
			code = load_elsewhere(history, id, (size_t)index, error);
			if (!code)
				code = append(&searched, &index, sizeof(index), error);
			sort_unique(&searched);
		}
	} while (!code && history->versions.count > before);
	free(loose.items);
	free(searched.items);
	return code;
}

/* ---- looking at a generation ------------------------------------------------------ */

/** An entry as one generation shows it; the path is in history->path. */
struct sight {
	bool present;
	const struct version *version;
	/** The topmost interval that covers it, NULL where it was looked at. */
	const struct interval *interval;
	/** When the first of those that cover it began. */
	int64_t covered;
	/** It does not stand at this path before, ... */
	int64_t placed;
	/** ... and is not as it is, or not here, from then on. */
	int64_t until;
};

static void narrow(struct sight *sight, int64_t since, int64_t until)
{
	if (since > sight->placed)
		sight->placed = since;
	if (until < sight->until)
		sight->until = until;
}

/** Notes an interval that covers the entry, from the bottom to the top; NULL = none. */
static void cover(struct sight *sight, const struct interval *interval)
{
	if (!interval)
		return;
	if (!sight->interval || interval->since < sight->covered)
		sight->covered = interval->since;
	sight->interval = interval;
}

static const struct position *position_at(
    const struct history *history, const struct node *node, int64_t generation)
{
	const struct position *positions = history->positions.items;

	for (size_t i = 0; i < node->position_count; i++) {
		const struct position *position = &positions[node->first_position + i];

		if (position->since <= generation && position->until > generation)
			return position;
	}
	return NULL;
}

static const struct interval *interval_at(
    const struct history *history, const struct node *node, int64_t generation, bool whole)
{
	const struct interval *intervals = history->intervals.items;

	for (size_t i = 0; i < node->interval_count; i++) {
		const struct interval *interval = &intervals[node->first_interval + i];

		if (interval->since <= generation && interval->until > generation &&
		    (interval->whole || !whole))
			return interval;
	}
	return NULL;
}

/** Puts `name` and, where something follows, a slash in front of the path. */
static int prepend(struct history *history, const char *name, size_t length)
{
	struct fsmeta_buffer *path = &history->path;
	size_t extra = length + (path->length ? 1 : 0);

	/* The root has none. */
	if (!length)
		return 0;
	if (fsmeta_buffer_reserve(path, extra))
		return FSMETA_E_MEMORY;
	memmove(path->data + extra, path->data, path->length);
	if (path->length)
		path->data[length] = '/';
	memcpy(path->data, name, length);
	path->length += extra;
	return 0;
}

/** Climbs from the folder to the root; sight->present says whether it got there. */
static int climb(struct history *history, uint32_t folder, int64_t generation, bool own,
    struct sight *sight, struct fsmeta_error *error)
{
	for (uint32_t depth = 0; depth <= FSMETA_DEPTH_MAX; depth++) {
		const struct node *node = node_at(history, folder);
		const struct position *position = position_at(history, node, generation);
		const struct interval *interval =
		    interval_at(history, node, generation, own && !depth);

		if (!position)
			return 0;
		narrow(sight, position->since, position->until);
		cover(sight, interval);
		if (prepend(history, position->name, position->name_length))
			return fsmeta_error_set_memory(error, action);
		if (position->above == NO_FOLDER) {
			sight->present = true;
			return 0;
		}
		folder = position->above;
	}
	return corrupt(history, "a folder lies in itself", error);
}

static const struct version *version_at(const struct history *history, int64_t generation)
{
	const struct version *versions = history->versions.items;
	size_t low = 0, high = history->versions.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (versions[middle].since <= generation)
			low = middle + 1;
		else
			high = middle;
	}
	return low && versions[low - 1].until > generation ? &versions[low - 1] : NULL;
}

/** What entry `index` of the nodes is in this generation. */
static int look(struct history *history, uint32_t index, int64_t generation, struct sight *sight,
    struct fsmeta_error *error)
{
	const struct version *version = version_at(history, generation);

	*sight = (struct sight){.version = version, .until = INT64_MAX};
	fsmeta_buffer_clear(&history->path);
	if (!version)
		return 0;
	narrow(sight, version->since, version->until);
	if (version->above == NO_FOLDER)
		return climb(history, index, generation, true, sight, error);
	cover(sight, interval_at(history, node_at(history, index), generation, true));
	if (prepend(history, version->name, version->name_length))
		return fsmeta_error_set_memory(error, action);
	return climb(history, version->above, generation, false, sight, error);
}

/* ---- lives ------------------------------------------------------------------------ */

/** Notes the kept generations from `since` and from `until` on, as indexes. */
static int note_candidates(struct history *history, struct list *out, int64_t since, int64_t until,
    struct fsmeta_error *error)
{
	const int64_t ends[] = {since, until};
	int code = 0;

	for (size_t i = 0; i < 2 && !code; i++) {
		int64_t index = (int64_t)find_generation(&history->kept, ends[i]);

		if (index < (int64_t)history->kept.count)
			code = append(out, &index, sizeof(index), error);
	}
	return code;
}

/** The kept generations in which something of what is loaded begins or ends. */
static int find_candidates(struct history *history, struct list *out, struct fsmeta_error *error)
{
	const struct version *versions = history->versions.items;
	const struct position *positions = history->positions.items;
	const struct interval *intervals = history->intervals.items;
	int code = 0;

	for (size_t i = 0; i < history->versions.count && !code; i++)
		code = note_candidates(history, out, versions[i].since, versions[i].until, error);
	for (size_t i = 0; i < history->positions.count && !code; i++)
		code = note_candidates(history, out, positions[i].since, positions[i].until, error);
	for (size_t i = 0; i < history->intervals.count && !code; i++)
		code = note_candidates(history, out, intervals[i].since, intervals[i].until, error);
	sort_unique(out);
	return code;
}

/** What is told of a place that was not looked at. */
static bool same_interval(const struct interval *a, const struct interval *b)
{
	if (!a || !b)
		return a == b;
	return a->unreadable == b->unreadable && a->error == b->error;
}

/** A row may be written anew with what it said before, for example by a scan of other fields. */
static bool same_version(const struct version *a, const struct version *b)
{
	if (!a || !b)
		return a == b;
	return a == b || fsmeta_entry_differences(&a->entry, &b->entry,
			     FSMETA_FIELDS_KNOWN | FSMETA_FIELD_FLAGS, NULL, 0) == 0;
}

/** True where the path that was put together last is that of the state. */
static bool same_path(const struct history *history, const struct fsmeta_db_state *state)
{
	size_t length = history->path.length;

	return state->entry.path_length == length &&
	       (!length || memcmp(state->entry.path, history->path.data, length) == 0);
}

/** `state` is the last one, NULL while there is none. */
static bool same_sight(const struct history *history, const struct sight *sight,
    const struct sight *last, const struct fsmeta_db_state *state)
{
	if (sight->present != last->present)
		return false;
	if (!sight->present || !state)
		return true;
	return same_version(sight->version, last->version) &&
	       same_interval(sight->interval, last->interval) && same_path(history, state);
}

/** Which generation brought this about: the last in which something that differs began. */
static int64_t cause(const struct history *history, const struct sight *sight,
    const struct sight *last, const struct fsmeta_db_state *state)
{
	int64_t since = 0, turn;

	if (!state)
		return generation_of_id(history, (int64_t)sight->version->entry.id);
	if (!sight->present)
		return last->until;
	if (!last->present || !same_path(history, state))
		since = sight->placed;
	if (!same_version(sight->version, last->version) && sight->version->since > since)
		since = sight->version->since;
	if (same_interval(sight->interval, last->interval))
		return since;
	if (!sight->interval)
		turn = last->interval->until;
	else
		turn = last->interval ? sight->interval->since : sight->covered;
	return turn > since ? turn : since;
}

/** `told` is the state before, NULL where there is none. */
static int fill_state(struct history *history, struct fsmeta_db_state *state,
    const struct sight *sight, const struct sight *last, const struct fsmeta_db_state *told,
    size_t index, struct fsmeta_error *error)
{
	const struct generation_row *row = kept_at(history, index);
	const struct generation_row *previous = index ? kept_at(history, index - 1) : NULL;
	const struct version *version = sight->present ? sight->version : last->version;
	struct fsmeta_entry *entry = &state->entry;
	int64_t since = cause(history, sight, last, told);

	*state = (struct fsmeta_db_state){
	    .generation = row->number,
	    .previous = previous ? previous->number : 0,
	    .finished = fsmeta_time_from_ns(row->finished_ns),
	    .since = row->number,
	    .present = sight->present,
	    .field_mask = row->field_mask,
	    .previous_field_mask = previous ? previous->field_mask : 0,
	    .unknown = sight->interval != NULL,
	};
	if (since > (int64_t)state->previous && since < (int64_t)row->number)
		state->since = (uint64_t)since;
	if (!sight->present) {
		state->unknown = false;
		entry->id = version->entry.id;
		entry->type = version->entry.type;
		return 0;
	}
	if (sight->interval) {
		state->unreadable = sight->interval->unreadable;
		state->error = sight->interval->error;
	}
	*entry = version->entry;
	entry->path = fsmeta_arena_copy(&history->out->arena,
	    history->path.length ? (const char *)history->path.data : "", history->path.length);
	if (!entry->path)
		return fsmeta_error_set_memory(error, action);
	entry->path_length = history->path.length;
	entry->depth = fsmeta_path_depth(entry->path, entry->path_length);
	entry->name = entry->path + fsmeta_path_name_offset(entry->path, entry->path_length);
	entry->name_length = entry->path_length - (size_t)(entry->name - entry->path);
	return 0;
}

/** The states of entry `index` of the nodes, whose versions are loaded. */
static int tell_life(
    struct history *history, uint32_t index, struct list *states, struct fsmeta_error *error)
{
	struct list candidates = {0};
	struct sight last = {0};
	int code = find_candidates(history, &candidates, error);

	for (size_t i = 0; i < candidates.count && !code; i++) {
		size_t at = (size_t)((int64_t *)candidates.items)[i];
		const struct fsmeta_db_state *told = states->items;
		struct fsmeta_db_state state;
		struct sight sight;

		if (told)
			told = states->count ? &told[states->count - 1] : NULL;
		code = look(history, index, (int64_t)kept_at(history, at)->number, &sight, error);
		if (!code && !same_sight(history, &sight, &last, told)) {
			code = fill_state(history, &state, &sight, &last, told, at, error);
			if (!code)
				code = append(states, &state, sizeof(state), error);
		}
		last = sight;
	}
	free(candidates.items);
	return code;
}

static bool stood_at(const struct list *states, const char *path, size_t length)
{
	const struct fsmeta_db_state *items = states->items;

	for (size_t i = 0; i < states->count; i++)
		if (items[i].present && items[i].entry.path_length == length &&
		    memcmp(items[i].entry.path, path, length) == 0)
			return true;
	return false;
}

static int compare_versions(const void *left, const void *right)
{
	const struct version *a = left, *b = right;

	return (a->since > b->since) - (a->since < b->since);
}

/** Takes the states over, which lived in a list for the while. */
static int keep_life(
    struct history *history, int64_t id, const struct list *states, struct fsmeta_error *error)
{
	struct fsmeta_db_history *out = history->out;
	struct fsmeta_db_life *life = &out->lives[out->count];

	life->id = (uint64_t)id;
	life->count = states->count;
	life->states =
	    fsmeta_arena_allocate_array(&out->arena, states->count, sizeof(struct fsmeta_db_state));
	if (!life->states)
		return fsmeta_error_set_memory(error, action);
	memcpy(life->states, states->items, states->count * sizeof(struct fsmeta_db_state));
	out->count++;
	return 0;
}

/** A place by name in a folder. */
struct place {
	int64_t parent;
	const char *name;
	size_t length;
};

/** Loads all that is needed for one life, and nothing of any other. */
static int load_life(struct history *history, int64_t id, const struct place *place, bool is_folder,
    uint32_t *index, struct fsmeta_error *error)
{
	int code;

	history->nodes.count = 0;
	history->positions.count = 0;
	history->intervals.count = 0;
	history->versions.count = 0;
	if (history->slots)
		memset(history->slots, 0, history->slot_count * sizeof(*history->slots));
	code = add_node(history, id, index, error);
	if (!code && is_folder)
		code = load_folder_versions(history, id, error);
	else if (!code)
		code = load_file_versions(
		    history, id, place->parent, place->name, place->length, error);
	if (!code && !is_folder)
		code = follow_moves(history, id, error);
	if (!code)
		code = load_nodes(history, 0, error);
	if (history->versions.count)
		qsort(history->versions.items, history->versions.count, sizeof(struct version),
		    compare_versions);
	return code;
}

/* ---- who was there ------------------------------------------------------------------ */

/** Something that once had the place's name in a folder that once was there. */
struct candidate {
	int64_t id;
	bool is_folder;
	struct place place;
};

static int compare_candidates(const void *left, const void *right)
{
	const struct candidate *a = left, *b = right;

	return (a->id > b->id) - (a->id < b->id);
}

static int find_named(struct history *history, enum statement which, const struct place *place,
    struct list *ids, struct fsmeta_error *error)
{
	sqlite3_stmt *statement;
	int code = ready(history, which, place->parent, &statement, error);

	if (code)
		return code;
	sqlite3_bind_blob64(
	    statement, 2, place->length ? place->name : "", place->length, SQLITE_STATIC);
	while (!code && (code = step(history, statement, error)) > 0) {
		int64_t id = sqlite3_column_int64(statement, 0);

		code = append(ids, &id, sizeof(id), error);
	}
	sort_unique(ids);
	return code;
}

/** Adds files or folders that were at the place. */
static int add_candidates(struct history *history, enum statement which, const struct place *place,
    struct list *candidates, struct fsmeta_error *error)
{
	struct list ids = {0};
	int code = find_named(history, which, place, &ids, error);

	for (size_t i = 0; i < ids.count && !code; i++) {
		const struct candidate candidate = {
		    .id = ((int64_t *)ids.items)[i],
		    .is_folder = which == FOLDERS_BY_NAME,
		    .place = *place,
		};

		code = append(candidates, &candidate, sizeof(candidate), error);
	}
	free(ids.items);
	return code;
}

/** From the folders above to those of the next component, whatever the generation. */
static int step_down(struct history *history, struct list *folders, const char *name, size_t length,
    struct fsmeta_error *error)
{
	struct list below = {0};
	int code = 0;

	for (size_t i = 0; i < folders->count && !code; i++) {
		const struct place place = {((int64_t *)folders->items)[i], name, length};

		code = find_named(history, FOLDERS_BY_NAME, &place, &below, error);
	}
	free(folders->items);
	*folders = below;
	return code;
}

/**
 * All that may ever have been at the path.  Generations are not looked at, so some
 * may never have been there; their lives tell.
 */
static int find_candidates_at(struct history *history, const char *path, size_t length,
    struct list *candidates, struct fsmeta_error *error)
{
	size_t at = fsmeta_path_name_offset(path, length);
	struct list folders = {0};
	int64_t above_root = 0;
	int code = append(&folders, &above_root, sizeof(above_root), error);

	if (!code && length)
		code = step_down(history, &folders, "", 0, error);
	for (size_t from = 0; from < at && !code;) {
		const char *slash = memchr(path + from, '/', at - from);
		size_t to = (size_t)(slash - path);

		code = step_down(history, &folders, path + from, to - from, error);
		from = to + 1;
	}
	for (size_t i = 0; i < folders.count && !code; i++) {
		const struct place place = {((int64_t *)folders.items)[i], path + at, length - at};

		code = add_candidates(history, FOLDERS_BY_NAME, &place, candidates, error);
		if (!code && length)
			code = add_candidates(history, FILES_BY_NAME, &place, candidates, error);
	}
	free(folders.items);
	if (candidates->count)
		qsort(candidates->items, candidates->count, sizeof(struct candidate),
		    compare_candidates);
	return code;
}

static int tell_lives(struct history *history, const char *path, size_t length,
    const struct list *candidates, struct fsmeta_error *error)
{
	const struct candidate *items = candidates->items;
	struct list states = {0};
	int code = 0;

	history->out->lives = fsmeta_arena_allocate_array(
	    &history->out->arena, candidates->count, sizeof(struct fsmeta_db_life));
	if (!history->out->lives)
		return fsmeta_error_set_memory(error, action);
	for (size_t i = 0; i < candidates->count && !code; i++) {
		uint32_t index;

		if (i && items[i].id == items[i - 1].id)
			continue;
		states.count = 0;
		code = load_life(
		    history, items[i].id, &items[i].place, items[i].is_folder, &index, error);
		if (!code)
			code = tell_life(history, index, &states, error);
		if (!code && stood_at(&states, path, length))
			code = keep_life(history, items[i].id, &states, error);
	}
	free(states.items);
	return code;
}

static int load_dictionary(struct history *history, struct fsmeta_error *error)
{
	int64_t filesystems;
	int code = fsmeta_connection_integer(
	    &filesystems, history->connection, "SELECT count(*) FROM filesystem", 0, error);

	return code ? code
		    : fsmeta_dictionary_load(
			  &history->dictionary, history->connection, (size_t)filesystems, error);
}

int fsmeta_db_history(struct fsmeta_db_history *out, struct fsmeta_db *db, const char *path,
    size_t length, struct fsmeta_error *error)
{
	struct history history = {.connection = &db->connection, .out = out};
	struct list candidates = {0};
	int code;

	*out = (struct fsmeta_db_history){0};
	/* All rows are to be of one moment. */
	code = fsmeta_connection_execute(&db->connection, "SAVEPOINT history", error);
	if (code)
		return code;
	code = load_generations(&history, error);
	if (!code)
		code = load_dictionary(&history, error);
	if (!code)
		code = find_candidates_at(&history, path, length, &candidates, error);
	if (!code)
		code = tell_lives(&history, path, length, &candidates, error);
	if (!code && !fsmeta_connection_is_unchanged(&db->connection))
		code = fsmeta_error_set(error, FSMETA_E_BUSY, db->path, action,
		    "somebody else wrote to the database while it was read");
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(history.statements[i]);
	sqlite3_exec(db->connection.handle, "RELEASE history", NULL, NULL, NULL);
	fsmeta_dictionary_release(&history.dictionary);
	fsmeta_buffer_release(&history.path);
	free(candidates.items);
	free(history.generations.items);
	free(history.kept.items);
	free(history.nodes.items);
	free(history.positions.items);
	free(history.intervals.items);
	free(history.versions.items);
	free(history.slots);
	if (code)
		fsmeta_db_history_release(out);
	return code;
}

void fsmeta_db_history_release(struct fsmeta_db_history *history)
{
	fsmeta_arena_release(&history->arena);
	*history = (struct fsmeta_db_history){0};
}
