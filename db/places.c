/*
 * Places: from paths to folders, and where a new folder goes in the order.
 *
 * Changes come in canonical order, so a path mostly shares its folders with the
 * one before; a walk keeps the ids along the last path, and only what differs is
 * looked up.  There are two of them, because a removed entry is named by where it
 * was in the base, any other by where it is now.
 *
 * A new folder goes directly before its successor in pre-order, which is
 *
 *     the next living sibling by name,
 *     else the next living sibling of its parent, and so on upward,
 *     else there is none: it is the last.
 *
 *        root ─┬─ a ─┬─ x      new folder a/y: no sibling behind it, so climb:
 *              │     └─ (y)    the next sibling of a is c, and y goes between
 *              └─ c            the highest label below that of c, and that of c
 *
 * "Highest label below" may be that of a dead folder's, which does not matter:
 * the order among the living is what is asked for, and older generations do not
 * see the newcomer.  Below a folder that is itself new, the one placed last is the
 * predecessor, which saves the climb.
 */
#include "db/update.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char action[] = "writing a generation";

void fsmeta_walk_release(struct fsmeta_walk *walk)
{
	fsmeta_path_stack_release(&walk->path);
	free(walk->folders);
	*walk = (struct fsmeta_walk){0};
}

/* ---- paths --------------------------------------------------------------- */

static int find_child(struct fsmeta_db_update *update, const struct fsmeta_walk *walk,
    int64_t parent, const char *name, size_t length, int64_t *folder, struct fsmeta_error *error)
{
	sqlite3_stmt *statement;
	int code = fsmeta_update_statement(
	    update, walk->was ? STATEMENT_FIND_WAS : STATEMENT_FIND_NOW, &statement, error);

	*folder = 0;
	if (code)
		return code;
	sqlite3_bind_int64(statement, 1, parent);
	sqlite3_bind_blob64(statement, 2, length ? name : "", length, SQLITE_STATIC);
	if (walk->was)
		sqlite3_bind_int64(statement, 3, (int64_t)update->base);
	code = fsmeta_connection_step(update->connection, statement, error);
	if (code > 0)
		*folder = sqlite3_column_int64(statement, 0);
	sqlite3_reset(statement);
	return code < 0 ? code : 0;
}

static int walk_reserve(struct fsmeta_walk *walk, uint32_t depth, struct fsmeta_error *error)
{
	uint32_t capacity = walk->capacity ? walk->capacity : 64;
	int64_t *grown;

	if (depth < walk->capacity)
		return 0;
	while (capacity <= depth)
		capacity *= 2;
	grown = reallocarray(walk->folders, capacity, sizeof(*grown));
	if (!grown)
		return fsmeta_error_set_memory(error, action);
	memset(grown + walk->capacity, 0, (capacity - walk->capacity) * sizeof(*grown));
	walk->folders = grown;
	walk->capacity = capacity;
	return 0;
}

static int walk_push(struct fsmeta_walk *walk, const char *name, size_t length, int64_t folder,
    struct fsmeta_error *error)
{
	int code = walk_reserve(walk, walk->path.depth + 1, error);

	if (code)
		return code;
	code = fsmeta_path_stack_push(&walk->path, name, length);
	if (code)
		return fsmeta_error_set(error, (enum fsmeta_code)code, NULL, action,
		    code == FSMETA_E_MEMORY ? "out of memory" : "a path is too long");
	walk->folders[walk->path.depth] = folder;
	return 0;
}

/** Drops what the walk does not share with `path`; *rest is the offset of what differs. */
static void walk_trim(struct fsmeta_walk *walk, const char *path, size_t length, size_t *rest)
{
	uint32_t depth = 0;
	size_t at = 0;

	while (depth < walk->path.depth && at < length) {
		size_t have_length;
		const char *have = fsmeta_path_stack_name(&walk->path, depth + 1, &have_length);
		const char *slash = memchr(path + at, '/', length - at);
		size_t name_length = slash ? (size_t)(slash - path) - at : length - at;

		if (name_length != have_length || memcmp(have, path + at, name_length) != 0)
			break;
		depth++;
		at += name_length + (slash ? 1 : 0);
	}
	fsmeta_path_stack_truncate(&walk->path, depth);
	*rest = at;
}

static int find_root(
    struct fsmeta_db_update *update, struct fsmeta_walk *walk, struct fsmeta_error *error)
{
	int code = walk_reserve(walk, 0, error);

	if (code || walk->folders[0])
		return code;
	return find_child(update, walk, 0, "", 0, &walk->folders[0], error);
}

int fsmeta_places_find(struct fsmeta_db_update *update, struct fsmeta_walk *walk, const char *path,
    size_t length, int64_t *folder, struct fsmeta_error *error)
{
	size_t at = 0;
	int code = find_root(update, walk, error);

	*folder = 0;
	if (code || !walk->folders[0])
		return code;
	walk_trim(walk, path, length, &at);
	while (at < length) {
		const char *slash = memchr(path + at, '/', length - at);
		size_t name_length = slash ? (size_t)(slash - path) - at : length - at;
		int64_t found;

		code = find_child(update, walk, walk->folders[walk->path.depth], path + at,
		    name_length, &found, error);
		if (!code && found)
			code = walk_push(walk, path + at, name_length, found, error);
		if (code || !found)
			return code;
		at += name_length + 1;
	}
	*folder = walk->folders[walk->path.depth];
	return 0;
}

int fsmeta_places_parent(struct fsmeta_db_update *update, struct fsmeta_walk *walk,
    const char *path, size_t length, int64_t *folder, struct fsmeta_error *error)
{
	size_t name_at = fsmeta_path_name_offset(path, length);
	int code = fsmeta_places_find(update, walk, path, name_at ? name_at - 1 : 0, folder, error);

	if (!code && !*folder)
		return fsmeta_error_set(error, FSMETA_E_INTERNAL, update->db->path, action,
		    "a change is about \"%.*s\", whose folder is not there",
		    (int)(length < 256 ? length : 256), path);
	return code;
}

/** Makes the walk end at this folder, whose parent it ends at or passes through. */
static int walk_enter(struct fsmeta_walk *walk, const struct fsmeta_entry *entry, int64_t folder,
    struct fsmeta_error *error)
{
	if (!entry->depth) {
		int code = walk_reserve(walk, 0, error);

		if (!code)
			walk->folders[0] = folder;
		return code;
	}
	fsmeta_path_stack_truncate(&walk->path, entry->depth - 1);
	return walk_push(walk, entry->name, entry->name_length, folder, error);
}

/* ---- labels -------------------------------------------------------------- */

static struct fsmeta_db_update *update_of(struct fsmeta_ord_list *list)
{
	return (struct fsmeta_db_update *)((char *)list - offsetof(struct fsmeta_db_update, ord));
}

static int count_labels(struct fsmeta_ord_list *list, int64_t low, int64_t high, uint64_t *count,
    struct fsmeta_error *error)
{
	const int64_t range[] = {low, high};
	int64_t number;
	int code =
	    fsmeta_update_query(update_of(list), STATEMENT_ORD_COUNT, range, 2, &number, error);

	*count = (uint64_t)number;
	return code;
}

static int read_labels(struct fsmeta_ord_list *list, int64_t low, int64_t high, int64_t *labels,
    struct fsmeta_error *error)
{
	struct fsmeta_db_update *update = update_of(list);
	const int64_t range[] = {low, high};
	sqlite3_stmt *statement;
	int code = fsmeta_update_statement_integers(
	    update, STATEMENT_ORD_READ, &statement, range, 2, error);

	if (code)
		return code;
	while ((code = fsmeta_connection_step(update->connection, statement, error)) > 0)
		*labels++ = sqlite3_column_int64(statement, 0);
	sqlite3_reset(statement);
	return code;
}

static int move_label(
    struct fsmeta_ord_list *list, int64_t from, int64_t to, struct fsmeta_error *error)
{
	const int64_t labels[] = {from, to};

	return fsmeta_update_run(update_of(list), STATEMENT_ORD_MOVE, labels, 2, error);
}

void fsmeta_places_init(struct fsmeta_db_update *update)
{
	update->ord = (struct fsmeta_ord_list){
	    .count = count_labels, .read = read_labels, .move = move_label};
	update->was.was = true;
}

/** Label of the first living sibling behind `name`, 0 where there is none. */
static int next_sibling(struct fsmeta_db_update *update, int64_t parent, const char *name,
    size_t length, int64_t *ord, struct fsmeta_error *error)
{
	sqlite3_stmt *statement;
	int code = fsmeta_update_statement(update, STATEMENT_NEXT_SIBLING, &statement, error);

	*ord = 0;
	if (code)
		return code;
	sqlite3_bind_int64(statement, 1, parent);
	sqlite3_bind_blob64(statement, 2, name, length, SQLITE_STATIC);
	code = fsmeta_connection_step(update->connection, statement, error);
	if (code > 0)
		*ord = sqlite3_column_int64(statement, 0);
	sqlite3_reset(statement);
	return code < 0 ? code : 0;
}

/** The walk stands at the new folder's parent or below it. */
static int find_successor(struct fsmeta_db_update *update, const struct fsmeta_entry *entry,
    int64_t *ord, struct fsmeta_error *error)
{
	const struct fsmeta_walk *walk = &update->now;
	const char *name = entry->name;
	size_t length = entry->name_length;
	int code = 0;

	*ord = 0;
	for (uint32_t depth = entry->depth; depth > 0 && !*ord && !code; depth--) {
		code = next_sibling(update, walk->folders[depth - 1], name, length, ord, error);
		if (depth > 1)
			name = fsmeta_path_stack_name(&walk->path, depth - 1, &length);
	}
	return code;
}

static int choose_label(struct fsmeta_db_update *update, int64_t parent,
    const struct fsmeta_entry *entry, int64_t *label, struct fsmeta_error *error)
{
	bool follows = update->last_placed && parent == update->last_placed;
	int64_t before = 0, after = 0;
	int code;

	if (follows) {
		code = fsmeta_update_query(
		    update, STATEMENT_PLACE_OF, &update->last_placed, 1, &before, error);
		if (!code)
			code = fsmeta_update_query(
			    update, STATEMENT_ORD_AFTER, &before, 1, &after, error);
	} else {
		code = find_successor(update, entry, &after, error);
		if (!code)
			code = after ? fsmeta_update_query(
					   update, STATEMENT_ORD_BEFORE, &after, 1, &before, error)
				     : fsmeta_update_query(
					   update, STATEMENT_ORD_LAST, NULL, 0, &before, error);
	}
	if (code)
		return code;
	return fsmeta_ord_insert(
	    label, &update->ord, before, after, update->last_placed != 0, error);
}

/* ---- positions ------------------------------------------------------------ */

static int insert_position(struct fsmeta_db_update *update, int64_t folder, int64_t parent,
    const struct fsmeta_entry *entry, int64_t label, struct fsmeta_error *error)
{
	const int64_t values[] = {label, folder, parent, entry->depth, (int64_t)update->number};
	sqlite3_stmt *statement;
	int code = fsmeta_update_statement_integers(
	    update, STATEMENT_INSERT_POSITION, &statement, values, 5, error);

	if (code)
		return code;
	sqlite3_bind_blob64(
	    statement, 6, entry->name_length ? entry->name : "", entry->name_length, SQLITE_STATIC);
	return fsmeta_connection_run(update->connection, statement, error);
}

int fsmeta_places_insert(struct fsmeta_db_update *update, int64_t folder, int64_t parent,
    const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	int64_t label = update->last_ord + FSMETA_ORD_STRIDE;
	int code = 0;

	if (update->base || label > FSMETA_ORD_MAX - FSMETA_ORD_STRIDE)
		code = choose_label(update, parent, entry, &label, error);
	if (!code)
		code = insert_position(update, folder, parent, entry, label, error);
	if (code)
		return code;
	update->last_ord = label;
	update->last_placed = folder;
	return walk_enter(&update->now, entry, folder, error);
}

int fsmeta_places_end(
    struct fsmeta_db_update *update, int64_t folder, uint32_t depth, struct fsmeta_error *error)
{
	const int64_t values[] = {folder, (int64_t)update->number};

	int code;

	if (depth)
		fsmeta_path_stack_truncate(&update->now.path, depth - 1);
	code = fsmeta_update_run(update, STATEMENT_END_POSITION, values, 2, error);
	/* A place that a move gave it in this very generation was never valid. */
	if (!code)
		code = fsmeta_update_run(update, STATEMENT_DROP_POSITION, values, 2, error);
	return code;
}

/* ---- moving a sub-tree ------------------------------------------------------ */

/** The first living sub-folder of the walk's last folder behind `name`. */
static int next_sub_folder(struct fsmeta_db_update *update, int64_t parent, const char *name,
    size_t length, int64_t *folder, struct fsmeta_buffer *found, struct fsmeta_error *error)
{
	sqlite3_stmt *statement;
	int code = fsmeta_update_statement(update, STATEMENT_SUB_FOLDERS, &statement, error);

	*folder = 0;
	if (code)
		return code;
	sqlite3_bind_int64(statement, 1, parent);
	sqlite3_bind_blob64(statement, 2, length ? name : "", length, SQLITE_STATIC);
	code = fsmeta_connection_step(update->connection, statement, error);
	if (code > 0) {
		*folder = sqlite3_column_int64(statement, 0);
		fsmeta_buffer_clear(found);
		code = fsmeta_buffer_append(found, sqlite3_column_blob(statement, 1),
			   (size_t)sqlite3_column_bytes(statement, 1))
			   ? fsmeta_error_set_memory(error, action)
			   : 0;
	}
	sqlite3_reset(statement);
	return code;
}

/** Climbs; `name` becomes that of the folder that was left. */
static int walk_leave(
    struct fsmeta_walk *walk, struct fsmeta_buffer *name, struct fsmeta_error *error)
{
	size_t length;
	const char *left = fsmeta_path_stack_name(&walk->path, walk->path.depth, &length);

	fsmeta_buffer_clear(name);
	if (fsmeta_buffer_append(name, left, length))
		return fsmeta_error_set_memory(error, action);
	fsmeta_path_stack_truncate(&walk->path, walk->path.depth - 1);
	return 0;
}

/** Ends the folder's old position and gives it one behind the folder placed last. */
static int move_position(struct fsmeta_db_update *update, int64_t folder, int64_t parent,
    const struct fsmeta_buffer *name, uint32_t depth, struct fsmeta_error *error)
{
	const struct fsmeta_entry entry = {
	    .name = (const char *)name->data, .name_length = name->length, .depth = depth};
	int64_t before, after, label;
	int code = fsmeta_places_end(update, folder, 0, error);

	if (!code)
		code = fsmeta_update_query(
		    update, STATEMENT_PLACE_OF, &update->last_placed, 1, &before, error);
	if (!code)
		code = fsmeta_update_query(update, STATEMENT_ORD_AFTER, &before, 1, &after, error);
	if (!code)
		code = fsmeta_ord_insert(&label, &update->ord, before, after, true, error);
	if (!code)
		code = insert_position(update, folder, parent, &entry, label, error);
	if (!code)
		update->last_placed = folder;
	return code;
}

/**
 * Visits the living folders below `folder` in pre-order; `depth` counts from it.
 */
static int visit_below(struct fsmeta_db_update *update, int64_t folder,
    int (*visit)(struct fsmeta_db_update *update, int64_t folder, int64_t parent,
	const struct fsmeta_buffer *name, uint32_t depth, void *payload,
	struct fsmeta_error *error),
    void *payload, struct fsmeta_error *error)
{
	/* The way down; names are below `folder`. */
	struct fsmeta_walk walk = {0};
	struct fsmeta_buffer name = {0};
	int code = walk_reserve(&walk, 0, error);

	if (!code)
		walk.folders[0] = folder;
	while (!code) {
		int64_t parent = walk.folders[walk.path.depth], found;

		code = next_sub_folder(
		    update, parent, (const char *)name.data, name.length, &found, &name, error);
		if (code)
			break;
		if (found) {
			code = walk_push(&walk, (const char *)name.data, name.length, found, error);
			if (!code)
				code = visit(
				    update, found, parent, &name, walk.path.depth, payload, error);
			fsmeta_buffer_clear(&name);
			continue;
		}
		if (!walk.path.depth)
			break;
		/* Go on behind the one that is done. */
		code = walk_leave(&walk, &name, error);
	}
	fsmeta_buffer_release(&name);
	fsmeta_walk_release(&walk);
	return code;
}

static int visit_move(struct fsmeta_db_update *update, int64_t folder, int64_t parent,
    const struct fsmeta_buffer *name, uint32_t depth, void *payload, struct fsmeta_error *error)
{
	const uint32_t *moved_depth = payload;

	return move_position(update, folder, parent, name, *moved_depth + depth, error);
}

int fsmeta_places_move_below(
    struct fsmeta_db_update *update, int64_t folder, uint32_t depth, struct fsmeta_error *error)
{
	return visit_below(update, folder, visit_move, &depth, error);
}

static int visit_drop(struct fsmeta_db_update *update, int64_t folder, int64_t parent,
    const struct fsmeta_buffer *name, uint32_t depth, void *payload, struct fsmeta_error *error)
{
	const int64_t values[] = {folder, (int64_t)update->number};

	(void)parent;
	(void)name;
	(void)depth;
	(void)payload;
	return fsmeta_update_run(update, STATEMENT_DROP_NEW_POSITION, values, 2, error);
}

int fsmeta_places_remove(
    struct fsmeta_db_update *update, int64_t folder, uint32_t depth, struct fsmeta_error *error)
{
	int code = fsmeta_places_end(update, folder, depth, error);

	/* Folders below that a move took along before this one's end was known. */
	if (!code && update->moved_folders)
		code = visit_below(update, folder, visit_drop, NULL, error);
	return code;
}

static int count_files(
    struct fsmeta_db_update *update, int64_t folder, uint64_t *count, struct fsmeta_error *error)
{
	int64_t files;
	int code = fsmeta_update_query(update, STATEMENT_COUNT_FILES, &folder, 1, &files, error);

	*count += (uint64_t)files;
	return code;
}

static int visit_count(struct fsmeta_db_update *update, int64_t folder, int64_t parent,
    const struct fsmeta_buffer *name, uint32_t depth, void *payload, struct fsmeta_error *error)
{
	uint64_t *count = payload;

	(void)parent;
	(void)name;
	(void)depth;
	++*count;
	return count_files(update, folder, count, error);
}

int fsmeta_places_count_below(
    struct fsmeta_db_update *update, int64_t folder, uint64_t *count, struct fsmeta_error *error)
{
	int code;

	*count = 0;
	code = count_files(update, folder, count, error);
	return code ? code : visit_below(update, folder, visit_count, count, error);
}
