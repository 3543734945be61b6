/*
 * Loading the rows of a life.
 *
 * Folders are found by id.  Files lie by folder and name, without an index by id; where
 * one came from somewhere else, or left, in a generation that has moves, the rows of
 * table `change` name all places of that generation at which it can have been.  A file
 * of the first schema has no such table, and all files of the past are looked through.
 *
 * Folders above are added while rows that name them are loaded, and are loaded in turn, so
 * the list is complete when its end is reached.
 */
#include "db/history_rows.h"

#include "base/path.h"

#include <stdlib.h>
#include <string.h>

static const char action[] = "reading the history";

#define OPEN_END "9223372036854775807"
#define FILE_COLUMNS FSMETA_ROW_COLUMNS FSMETA_ROW_CONTENT_COLUMNS

static const char *const texts[ROWS_STATEMENT_COUNT] = {
    [ROWS_FOLDERS_BY_NAME] = "SELECT folder FROM folder_position WHERE parent = ?1 AND name = ?2",
    [ROWS_FILES_BY_NAME] = "SELECT id FROM file WHERE parent = ?1 AND name = ?2 UNION ALL"
			   " SELECT id FROM file_past WHERE parent = ?1 AND name = ?2",
    [ROWS_POSITIONS] = "SELECT since, ifnull(until, " OPEN_END "), parent, name"
		       " FROM folder_position WHERE folder = ?1",
    [ROWS_INTERVALS] =
	"SELECT since, ifnull(until, " OPEN_END "), whole, reason = 'unreadable', error"
	" FROM unknown WHERE root = ?1",
    [ROWS_FOLDER_VERSIONS] =
	"SELECT since, " OPEN_END ", 0, x'', " FSMETA_ROW_COLUMNS
	" FROM folder WHERE id = ?1 UNION ALL"
	" SELECT since, until, 0, x'', " FSMETA_ROW_COLUMNS " FROM folder_past WHERE id = ?1",
    [ROWS_FILE_VERSIONS] = "SELECT since, " OPEN_END ", parent, name, " FILE_COLUMNS
			   " FROM file WHERE parent = ?2 AND name = ?3 AND id = ?1 UNION ALL"
			   " SELECT since, until, parent, name, " FILE_COLUMNS
			   " FROM file_past WHERE parent = ?2 AND name = ?3 AND id = ?1",
    [ROWS_FILE_ELSEWHERE] =
	"SELECT f.parent, f.name FROM change c CROSS JOIN file f"
	" ON f.parent = c.folder AND f.name = c.name"
	" WHERE c.generation = ?2 AND f.id = ?1 UNION"
	" SELECT f.parent, f.name FROM change c CROSS JOIN file_past f"
	" ON f.parent = c.folder AND f.name = c.name WHERE c.generation = ?2 AND f.id = ?1",
};

/** In a file of the first schema. */
static const char file_elsewhere_scan[] = "SELECT parent, name FROM file WHERE id = ?1 UNION"
					  " SELECT parent, name FROM file_past WHERE id = ?1";

int fsmeta_rows_list_append(
    struct fsmeta_rows_list *list, const void *item, size_t size, struct fsmeta_error *error)
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

void fsmeta_rows_list_sort(struct fsmeta_rows_list *list)
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
static int ready(struct fsmeta_rows *rows, enum fsmeta_rows_statement which, int64_t first,
    sqlite3_stmt **statement, struct fsmeta_error *error)
{
	sqlite3_stmt **slot = &rows->statements[which];
	const char *text = texts[which];
	int code = 0;

	if (which == ROWS_FILE_ELSEWHERE && rows->connection->schema_version < 2)
		text = file_elsewhere_scan;
	if (*slot)
		sqlite3_reset(*slot);
	else
		code = fsmeta_connection_prepare(slot, rows->connection, text, error);
	*statement = *slot;
	if (!code)
		sqlite3_bind_int64(*slot, 1, first);
	return code;
}

static int step(struct fsmeta_rows *rows, sqlite3_stmt *statement, struct fsmeta_error *error)
{
	return fsmeta_connection_step(rows->connection, statement, error);
}

static int corrupt(struct fsmeta_rows *rows, const char *what, struct fsmeta_error *error)
{
	return fsmeta_connection_corrupt(rows->connection, error, "%s", what);
}

/** A copy of the name in a column; the root's alone may be empty. */
static int copy_name(struct fsmeta_rows *rows, sqlite3_stmt *statement, int column,
    bool may_be_empty, const char **name, size_t *length, struct fsmeta_error *error)
{
	const void *bytes = sqlite3_column_blob(statement, column);

	*length = (size_t)sqlite3_column_bytes(statement, column);
	if (*length ? !fsmeta_name_is_valid(bytes, *length) : !may_be_empty)
		return corrupt(rows, "a name is not valid", error);
	*name = fsmeta_arena_copy(rows->arena, *length ? bytes : "", *length);
	return *name ? 0 : fsmeta_error_set_memory(error, action);
}

/* ---- generations ---------------------------------------------------------- */

static int load_generations(struct fsmeta_rows *rows, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_connection_prepare(&statement, rows->connection,
	    "SELECT number, pruned, finished, first_id, field_mask, moved FROM generation"
	    " ORDER BY number",
	    error);

	while (!code && (code = step(rows, statement, error)) > 0) {
		const struct fsmeta_rows_generation row = {
		    .number = (uint64_t)sqlite3_column_int64(statement, 0),
		    .pruned = sqlite3_column_int(statement, 1) != 0,
		    .finished_ns = sqlite3_column_int64(statement, 2),
		    .first_id = sqlite3_column_int64(statement, 3),
		    .field_mask = (uint32_t)sqlite3_column_int64(statement, 4),
		    .moved = (uint64_t)sqlite3_column_int64(statement, 5),
		};

		code = fsmeta_rows_list_append(&rows->generations, &row, sizeof(row), error);
		if (!code && !row.pruned)
			code = fsmeta_rows_list_append(&rows->kept, &row, sizeof(row), error);
	}
	sqlite3_finalize(statement);
	return code;
}

/** Index of the first generation in `list` from `number` on; list->count = none. */
static size_t find_generation(const struct fsmeta_rows_list *list, int64_t number)
{
	const struct fsmeta_rows_generation *rows = list->items;
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

size_t fsmeta_rows_find_kept(const struct fsmeta_rows *rows, int64_t number)
{
	return find_generation(&rows->kept, number);
}

const struct fsmeta_rows_generation *fsmeta_rows_kept(const struct fsmeta_rows *rows, size_t index)
{
	return (const struct fsmeta_rows_generation *)rows->kept.items + index;
}

int64_t fsmeta_rows_generation_of_id(const struct fsmeta_rows *rows, int64_t id)
{
	const struct fsmeta_rows_generation *all = rows->generations.items;
	size_t low = 0, high = rows->generations.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (all[middle].first_id <= id)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? (int64_t)all[low - 1].number : 0;
}

/** True where something moved in kept generation `index` or a pruned one right before it. */
static bool has_moves(const struct fsmeta_rows *rows, size_t index)
{
	const struct fsmeta_rows_generation *all = rows->generations.items;
	uint64_t after = index ? fsmeta_rows_kept(rows, index - 1)->number : 0;
	size_t at = find_generation(&rows->generations, (int64_t)after + 1);

	for (; at < rows->generations.count; at++) {
		if (all[at].number > fsmeta_rows_kept(rows, index)->number)
			break;
		if (all[at].moved)
			return true;
	}
	return false;
}

/* ---- folders -------------------------------------------------------------- */

static size_t hash(const struct fsmeta_rows *rows, int64_t id)
{
	return ((uint64_t)id * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (rows->slot_count - 1);
}

/** The slot of this id, free where it is not there. */
static uint32_t *find_slot(const struct fsmeta_rows *rows, int64_t id)
{
	const struct fsmeta_rows_folder *folders = rows->folders.items;
	size_t at = hash(rows, id);

	while (rows->slots[at] && folders[rows->slots[at] - 1].id != id)
		at = (at + 1) & (rows->slot_count - 1);
	return &rows->slots[at];
}

static int grow_slots(struct fsmeta_rows *rows, struct fsmeta_error *error)
{
	const struct fsmeta_rows_folder *folders = rows->folders.items;
	size_t count = rows->slot_count ? 2 * rows->slot_count : 64;
	uint32_t *slots;

	if (rows->slot_count > 2 * rows->folders.count)
		return 0;
	slots = calloc(count, sizeof(*slots));
	if (!slots)
		return fsmeta_error_set_memory(error, action);
	free(rows->slots);
	rows->slots = slots;
	rows->slot_count = count;
	for (size_t i = 0; i < rows->folders.count; i++)
		*find_slot(rows, folders[i].id) = (uint32_t)i + 1;
	return 0;
}

/** Index of the folder with this id, which is added with nothing in it where it is new. */
static int add_folder(
    struct fsmeta_rows *rows, int64_t id, uint32_t *index, struct fsmeta_error *error)
{
	const struct fsmeta_rows_folder folder = {.id = id};
	uint32_t *slot;
	int code = grow_slots(rows, error);

	if (code)
		return code;
	slot = find_slot(rows, id);
	if (!*slot) {
		code = fsmeta_rows_list_append(&rows->folders, &folder, sizeof(folder), error);
		if (code)
			return code;
		*slot = (uint32_t)rows->folders.count;
	}
	*index = *slot - 1;
	return 0;
}

struct fsmeta_rows_folder *fsmeta_rows_folder_at(const struct fsmeta_rows *rows, uint32_t index)
{
	return (struct fsmeta_rows_folder *)rows->folders.items + index;
}

static int load_positions(struct fsmeta_rows *rows, uint32_t index, struct fsmeta_error *error)
{
	size_t first = rows->positions.count;
	sqlite3_stmt *statement;
	int code =
	    ready(rows, ROWS_POSITIONS, fsmeta_rows_folder_at(rows, index)->id, &statement, error);

	while (!code && (code = step(rows, statement, error)) > 0) {
		struct fsmeta_rows_position position = {
		    .since = sqlite3_column_int64(statement, 0),
		    .until = sqlite3_column_int64(statement, 1),
		    .parent = sqlite3_column_int64(statement, 2),
		    .above = FSMETA_ROWS_NO_FOLDER,
		};

		code = copy_name(rows, statement, 3, !position.parent, &position.name,
		    &position.name_length, error);
		if (!code && position.parent)
			code = add_folder(rows, position.parent, &position.above, error);
		if (!code)
			code = fsmeta_rows_list_append(
			    &rows->positions, &position, sizeof(position), error);
	}
	fsmeta_rows_folder_at(rows, index)->first_position = first;
	fsmeta_rows_folder_at(rows, index)->position_count = rows->positions.count - first;
	return code;
}

static int load_intervals(struct fsmeta_rows *rows, uint32_t index, struct fsmeta_error *error)
{
	size_t first = rows->intervals.count;
	sqlite3_stmt *statement;
	int code =
	    ready(rows, ROWS_INTERVALS, fsmeta_rows_folder_at(rows, index)->id, &statement, error);

	while (!code && (code = step(rows, statement, error)) > 0) {
		const struct fsmeta_rows_interval interval = {
		    .since = sqlite3_column_int64(statement, 0),
		    .until = sqlite3_column_int64(statement, 1),
		    .whole = sqlite3_column_int(statement, 2) != 0,
		    .unreadable = sqlite3_column_int(statement, 3) != 0,
		    .error = sqlite3_column_int(statement, 4),
		};

		code =
		    fsmeta_rows_list_append(&rows->intervals, &interval, sizeof(interval), error);
	}
	fsmeta_rows_folder_at(rows, index)->first_interval = first;
	fsmeta_rows_folder_at(rows, index)->interval_count = rows->intervals.count - first;
	return code;
}

/** Loads the folders from `first` on, and so on up to the root. */
static int load_folders(struct fsmeta_rows *rows, size_t first, struct fsmeta_error *error)
{
	int code = 0;

	for (size_t i = first; i < rows->folders.count && !code; i++) {
		code = load_positions(rows, (uint32_t)i, error);
		if (!code)
			code = load_intervals(rows, (uint32_t)i, error);
	}
	return code;
}

/* ---- versions --------------------------------------------------------------- */

static int load_version(struct fsmeta_rows *rows, sqlite3_stmt *statement, int64_t id,
    bool is_folder, struct fsmeta_error *error)
{
	struct fsmeta_rows_version version = {
	    .since = sqlite3_column_int64(statement, 0),
	    .until = sqlite3_column_int64(statement, 1),
	    .parent = sqlite3_column_int64(statement, 2),
	    .above = FSMETA_ROWS_NO_FOLDER,
	};
	struct fsmeta_entry *entry = &version.entry;
	int code = fsmeta_row_decode(rows->connection, statement, 4, !is_folder, &rows->dictionary,
	    FSMETA_FIELDS_KNOWN, entry, error);

	if (code)
		return code;
	entry->id = (uint64_t)id;
	if (entry->target) {
		entry->target = fsmeta_arena_copy(rows->arena, entry->target, entry->target_length);
		if (!entry->target)
			return fsmeta_error_set_memory(error, action);
	}
	if (!is_folder) {
		code = copy_name(
		    rows, statement, 3, false, &version.name, &version.name_length, error);
		if (!code)
			code = add_folder(rows, version.parent, &version.above, error);
	}
	return code ? code
		    : fsmeta_rows_list_append(&rows->versions, &version, sizeof(version), error);
}

static int load_versions(
    struct fsmeta_rows *rows, sqlite3_stmt *statement, int64_t id, struct fsmeta_error *error)
{
	bool is_folder = statement == rows->statements[ROWS_FOLDER_VERSIONS];
	int code;

	while ((code = step(rows, statement, error)) > 0) {
		code = load_version(rows, statement, id, is_folder, error);
		if (code)
			break;
	}
	return code;
}

static int load_folder_versions(struct fsmeta_rows *rows, int64_t id, struct fsmeta_error *error)
{
	sqlite3_stmt *statement;
	int code = ready(rows, ROWS_FOLDER_VERSIONS, id, &statement, error);

	return code ? code : load_versions(rows, statement, id, error);
}

/** Loads what file `id` was at this place, unless that was done. */
static int load_file_versions(struct fsmeta_rows *rows, int64_t id, int64_t parent,
    const char *name, size_t length, struct fsmeta_error *error)
{
	const struct fsmeta_rows_version *versions = rows->versions.items;
	sqlite3_stmt *statement;
	int code;

	for (size_t i = 0; i < rows->versions.count; i++)
		if (versions[i].parent == parent && versions[i].name_length == length &&
		    memcmp(versions[i].name, name, length) == 0)
			return 0;
	code = ready(rows, ROWS_FILE_VERSIONS, id, &statement, error);
	if (code)
		return code;
	sqlite3_bind_int64(statement, 2, parent);
	sqlite3_bind_blob64(statement, 3, name, length, SQLITE_STATIC);
	return load_versions(rows, statement, id, error);
}

/* ---- moves of files ----------------------------------------------------------- */

/** Looks for more places of the file in what changed in kept generation `index`. */
static int load_elsewhere(
    struct fsmeta_rows *rows, int64_t id, size_t index, struct fsmeta_error *error)
{
	sqlite3_stmt *statement;
	int code = ready(rows, ROWS_FILE_ELSEWHERE, id, &statement, error);

	if (!code && rows->connection->schema_version >= 2)
		sqlite3_bind_int64(statement, 2, (int64_t)fsmeta_rows_kept(rows, index)->number);
	while (!code && (code = step(rows, statement, error)) > 0) {
		int64_t parent = sqlite3_column_int64(statement, 0);
		const char *name;
		size_t length;

		code = copy_name(rows, statement, 1, false, &name, &length, error);
		if (!code)
			code = load_file_versions(rows, id, parent, name, length, error);
	}
	return code;
}

/** True where some version begins (`begins`) or else ends in generation `number`. */
static bool has_end(const struct fsmeta_rows *rows, int64_t number, bool begins)
{
	const struct fsmeta_rows_version *versions = rows->versions.items;

	for (size_t i = 0; i < rows->versions.count; i++)
		if ((begins ? versions[i].since : versions[i].until) == number)
			return true;
	return false;
}

/** Where `number` is an end that no other version continues, notes its kept generation. */
static int note_loose_end(struct fsmeta_rows *rows, struct fsmeta_rows_list *loose, int64_t number,
    bool begins, struct fsmeta_error *error)
{
	size_t index = fsmeta_rows_find_kept(rows, number);
	int64_t item = (int64_t)index;

	if (index == rows->kept.count || has_end(rows, number, !begins) || !has_moves(rows, index))
		return 0;
	return fsmeta_rows_list_append(loose, &item, sizeof(item), error);
}

static int find_loose_ends(struct fsmeta_rows *rows, int64_t id, struct fsmeta_rows_list *loose,
    struct fsmeta_error *error)
{
	const struct fsmeta_rows_version *versions = rows->versions.items;
	int64_t born = fsmeta_rows_generation_of_id(rows, id);
	int code = 0;

	loose->count = 0;
	for (size_t i = 0; i < rows->versions.count && !code; i++) {
		if (versions[i].since > born)
			code = note_loose_end(rows, loose, versions[i].since, true, error);
		if (!code && versions[i].until != INT64_MAX)
			code = note_loose_end(rows, loose, versions[i].until, false, error);
	}
	fsmeta_rows_list_sort(loose);
	return code;
}

static bool contains(const struct fsmeta_rows_list *list, int64_t item)
{
	return list->count &&
	       bsearch(&item, list->items, list->count, sizeof(item), compare_integers);
}

/** Follows a file whose versions at one place are loaded through all its moves. */
static int follow_moves(struct fsmeta_rows *rows, int64_t id, struct fsmeta_error *error)
{
	struct fsmeta_rows_list loose = {0}, searched = {0};
	size_t before;
	int code;

	do {
		before = rows->versions.count;
		code = find_loose_ends(rows, id, &loose, error);
		for (size_t i = 0; i < loose.count && !code; i++) {
			int64_t index = ((int64_t *)loose.items)[i];

			if (contains(&searched, index))
				continue;
			code = load_elsewhere(rows, id, (size_t)index, error);
			if (!code)
				code = fsmeta_rows_list_append(
				    &searched, &index, sizeof(index), error);
			fsmeta_rows_list_sort(&searched);
		}
	} while (!code && rows->versions.count > before);
	free(loose.items);
	free(searched.items);
	return code;
}

/* ---- one life ------------------------------------------------------------------------ */

static int compare_versions(const void *left, const void *right)
{
	const struct fsmeta_rows_version *a = left, *b = right;

	return (a->since > b->since) - (a->since < b->since);
}

int fsmeta_rows_load_life(struct fsmeta_rows *rows, const struct fsmeta_rows_candidate *candidate,
    uint32_t *index, struct fsmeta_error *error)
{
	const struct fsmeta_rows_place *place = &candidate->place;
	int64_t id = candidate->id;
	bool is_folder = candidate->is_folder;
	int code;

	rows->folders.count = 0;
	rows->positions.count = 0;
	rows->intervals.count = 0;
	rows->versions.count = 0;
	if (rows->slots)
		memset(rows->slots, 0, rows->slot_count * sizeof(*rows->slots));
	code = add_folder(rows, id, index, error);
	if (!code && is_folder)
		code = load_folder_versions(rows, id, error);
	else if (!code)
		code =
		    load_file_versions(rows, id, place->parent, place->name, place->length, error);
	if (!code && !is_folder)
		code = follow_moves(rows, id, error);
	if (!code)
		code = load_folders(rows, 0, error);
	if (rows->versions.count)
		qsort(rows->versions.items, rows->versions.count,
		    sizeof(struct fsmeta_rows_version), compare_versions);
	return code;
}

/* ---- who was there ------------------------------------------------------------------ */

static int compare_candidates(const void *left, const void *right)
{
	const struct fsmeta_rows_candidate *a = left, *b = right;

	return (a->id > b->id) - (a->id < b->id);
}

static int find_named(struct fsmeta_rows *rows, enum fsmeta_rows_statement which,
    const struct fsmeta_rows_place *place, struct fsmeta_rows_list *ids, struct fsmeta_error *error)
{
	sqlite3_stmt *statement;
	int code = ready(rows, which, place->parent, &statement, error);

	if (code)
		return code;
	sqlite3_bind_blob64(
	    statement, 2, place->length ? place->name : "", place->length, SQLITE_STATIC);
	while (!code && (code = step(rows, statement, error)) > 0) {
		int64_t id = sqlite3_column_int64(statement, 0);

		code = fsmeta_rows_list_append(ids, &id, sizeof(id), error);
	}
	fsmeta_rows_list_sort(ids);
	return code;
}

/** Adds files or folders that were at the place. */
static int add_candidates(struct fsmeta_rows *rows, enum fsmeta_rows_statement which,
    const struct fsmeta_rows_place *place, struct fsmeta_rows_list *candidates,
    struct fsmeta_error *error)
{
	struct fsmeta_rows_list ids = {0};
	int code = find_named(rows, which, place, &ids, error);

	for (size_t i = 0; i < ids.count && !code; i++) {
		const struct fsmeta_rows_candidate candidate = {
		    .id = ((int64_t *)ids.items)[i],
		    .is_folder = which == ROWS_FOLDERS_BY_NAME,
		    .place = *place,
		};

		code = fsmeta_rows_list_append(candidates, &candidate, sizeof(candidate), error);
	}
	free(ids.items);
	return code;
}

/** From the folders above to those of the next component, whatever the generation. */
static int step_down(struct fsmeta_rows *rows, struct fsmeta_rows_list *folders, const char *name,
    size_t length, struct fsmeta_error *error)
{
	struct fsmeta_rows_list below = {0};
	int code = 0;

	for (size_t i = 0; i < folders->count && !code; i++) {
		const struct fsmeta_rows_place place = {
		    ((int64_t *)folders->items)[i], name, length};

		code = find_named(rows, ROWS_FOLDERS_BY_NAME, &place, &below, error);
	}
	free(folders->items);
	*folders = below;
	return code;
}

int fsmeta_rows_find_candidates(struct fsmeta_rows *rows, const char *path, size_t length,
    struct fsmeta_rows_list *candidates, struct fsmeta_error *error)
{
	size_t at = fsmeta_path_name_offset(path, length);
	struct fsmeta_rows_list folders = {0};
	int64_t above_root = 0;
	int code = fsmeta_rows_list_append(&folders, &above_root, sizeof(above_root), error);

	if (!code && length)
		code = step_down(rows, &folders, "", 0, error);
	for (size_t from = 0; from < at && !code;) {
		const char *slash = memchr(path + from, '/', at - from);
		size_t to = (size_t)(slash - path);

		code = step_down(rows, &folders, path + from, to - from, error);
		from = to + 1;
	}
	for (size_t i = 0; i < folders.count && !code; i++) {
		const struct fsmeta_rows_place place = {
		    ((int64_t *)folders.items)[i], path + at, length - at};

		code = add_candidates(rows, ROWS_FOLDERS_BY_NAME, &place, candidates, error);
		if (!code && length)
			code = add_candidates(rows, ROWS_FILES_BY_NAME, &place, candidates, error);
	}
	free(folders.items);
	if (candidates->count)
		qsort(candidates->items, candidates->count, sizeof(struct fsmeta_rows_candidate),
		    compare_candidates);
	return code;
}

/* ---- begin and end ------------------------------------------------------------------ */

static int load_dictionary(struct fsmeta_rows *rows, struct fsmeta_error *error)
{
	int64_t filesystems;
	int code = fsmeta_connection_integer(
	    &filesystems, rows->connection, "SELECT count(*) FROM filesystem", 0, error);

	return code ? code
		    : fsmeta_dictionary_load(
			  &rows->dictionary, rows->connection, (size_t)filesystems, error);
}

int fsmeta_rows_init(struct fsmeta_rows *rows, const struct fsmeta_connection *connection,
    struct fsmeta_arena *arena, struct fsmeta_error *error)
{
	int code;

	*rows = (struct fsmeta_rows){.connection = connection, .arena = arena};
	code = load_generations(rows, error);
	return code ? code : load_dictionary(rows, error);
}

void fsmeta_rows_release(struct fsmeta_rows *rows)
{
	for (int i = 0; i < ROWS_STATEMENT_COUNT; i++)
		sqlite3_finalize(rows->statements[i]);
	fsmeta_dictionary_release(&rows->dictionary);
	free(rows->generations.items);
	free(rows->kept.items);
	free(rows->folders.items);
	free(rows->positions.items);
	free(rows->intervals.items);
	free(rows->versions.items);
	free(rows->slots);
}
