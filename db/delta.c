/*
 * Deltas: what the sender of one asks a database, and applying one.
 *
 *     BEGIN ─ section 41 → 42 ─ section 42 → 43 ─ … ─ COMMIT
 *             an update each,      or nothing at all
 *             as of a scan
 *
 * A section is an update like that of a scan (writer.c), but nothing is decided
 * here any more: ids come with the entries, the unknown places are listed whole,
 * and what the row of the generation says was said by the sender.  In return it is
 * checked: the base by number and state digest before, ids of everything that is
 * touched and of the folders above it meanwhile, totals and state digest after.
 *
 * Equal state digests do not mean equal ids: two databases may have scanned the
 * same tree each for itself.  Then the first parent tells.
 */
#include "db/identity.h"
#include "db/update.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char action[] = "applying a delta";

/* ---- applying: sections ------------------------------------------------ */

struct fsmeta_db_delta {
	struct fsmeta_db *db;
	bool begun;
	/** The section that is being applied, NULL = none. */
	struct fsmeta_db_update *update;
	/** Ids of added entries; they ascend but where a section spans generations. */
	struct fsmeta_buffer added_ids;
	bool ids_ascend;
};

int fsmeta_db_delta_begin(
    struct fsmeta_db_delta **out, struct fsmeta_db *db, struct fsmeta_error *error)
{
	struct fsmeta_db_delta *delta;
	int code = 0;

	*out = NULL;
	if (db->mode != FSMETA_DB_WRITE || db->updating)
		return fsmeta_error_set(error, FSMETA_E_INTERNAL, db->path, action,
		    "the database is not open for writing");
	delta = calloc(1, sizeof(*delta));
	if (!delta)
		return fsmeta_error_set_memory(error, action);
	delta->db = db;
	if (db->connection.handle) {
		db->connection.action = action;
		code = fsmeta_connection_execute(&db->connection, "BEGIN IMMEDIATE", error);
		delta->begun = !code;
	}
	if (code)
		fsmeta_db_delta_abort(delta);
	else
		*out = delta;
	return code;
}

/** The newest generation must be the one that the section starts from. */
static int check_base(struct fsmeta_db_delta *delta, const struct fsmeta_delta_section *section,
    struct fsmeta_error *error)
{
	struct fsmeta_db *db = delta->db;
	struct fsmeta_db_generation newest;
	uint64_t number;
	int code = fsmeta_db_newest(db, &number, error);

	if (code)
		return code;
	if (!number)
		return fsmeta_error_set(error, FSMETA_E_REFUSED, db->path, action,
		    "it is empty, and the delta needs generation %" PRIu64
		    ": import a full export of that first",
		    section->base_generation);
	/* Its name first: what the numbers of another source say means nothing. */
	code = fsmeta_identity_check(&db->connection, section->source, error);
	if (code)
		return code;
	if (number >= section->generation)
		return fsmeta_error_set(error, FSMETA_E_REFUSED, db->path, action,
		    "the delta leads from generation %" PRIu64 " to %" PRIu64
		    ", and the newest here is already %" PRIu64,
		    section->base_generation, section->generation, number);
	if (number != section->base_generation)
		return fsmeta_error_set(error, FSMETA_E_REFUSED, db->path, action,
		    "the delta needs generation %" PRIu64 ", and the newest here is %" PRIu64,
		    section->base_generation, number);
	code = fsmeta_generation_load(&newest, &db->connection, number, error);
	if (code)
		return code;
	if (!fsmeta_digest_equal(newest.source.state_digest, section->base_state_digest))
		code = fsmeta_error_set(error, FSMETA_E_REFUSED, db->path, action,
		    "the delta needs the generation %" PRIu64
		    " of another history: the one here has another state digest",
		    number);
	fsmeta_db_generation_release(&newest);
	return code;
}

int fsmeta_db_delta_begin_section(struct fsmeta_db_delta *delta,
    const struct fsmeta_delta_section *section, struct fsmeta_error *error)
{
	int code = check_base(delta, section, error);

	if (code)
		return code;
	delta->ids_ascend = true;
	fsmeta_buffer_clear(&delta->added_ids);
	return fsmeta_update_begin(
	    &delta->update, delta->db, section->base_generation, section->source, section, error);
}

/** What applying makes of a change that the database cannot follow is the delta's fault. */
static int blame_delta(struct fsmeta_db_delta *delta, int code, struct fsmeta_error *error)
{
	if (code != FSMETA_E_INTERNAL || !error)
		return code;
	return fsmeta_error_set(
	    error, FSMETA_E_CORRUPT, delta->db->path, action, "%s", error->reason);
}

static int compare_ids(const void *left, const void *right)
{
	uint64_t a, b;

	memcpy(&a, left, sizeof(a));
	memcpy(&b, right, sizeof(b));
	return (a > b) - (a < b);
}

/** No id may come twice within the section. */
static int check_added_ids(struct fsmeta_db_delta *delta, struct fsmeta_error *error)
{
	size_t count = delta->added_ids.length / sizeof(uint64_t);
	uint64_t *ids = (uint64_t *)(void *)delta->added_ids.data;

	if (delta->ids_ascend)
		return 0;
	qsort(ids, count, sizeof(*ids), compare_ids);
	for (size_t i = 1; i < count; i++)
		if (ids[i] == ids[i - 1])
			return fsmeta_error_set(error, FSMETA_E_CORRUPT, delta->db->path, action,
			    "id %" PRIu64 " arrives twice", ids[i]);
	return 0;
}

int fsmeta_db_delta_end_section(struct fsmeta_db_delta *delta, struct fsmeta_error *error)
{
	int code = check_added_ids(delta, error);

	if (!code)
		code = blame_delta(delta, fsmeta_update_finish(delta->update, error), error);
	fsmeta_db_update_abort(delta->update);
	delta->update = NULL;
	return code;
}

int fsmeta_db_delta_commit(struct fsmeta_db_delta *delta, struct fsmeta_error *error)
{
	int code =
	    delta->begun ? fsmeta_connection_execute(&delta->db->connection, "COMMIT", error) : 0;

	fsmeta_db_delta_abort(delta);
	return code;
}

void fsmeta_db_delta_abort(struct fsmeta_db_delta *delta)
{
	if (!delta)
		return;
	fsmeta_db_update_abort(delta->update);
	if (delta->begun && !sqlite3_get_autocommit(delta->db->connection.handle))
		sqlite3_exec(delta->db->connection.handle, "ROLLBACK", NULL, NULL, NULL);
	delta->db->connection.action = NULL;
	fsmeta_buffer_release(&delta->added_ids);
	free(delta);
}

/* ---- applying: changes -------------------------------------------------- */

static int refuse_id(struct fsmeta_db_delta *delta, const struct fsmeta_entry *entry, int64_t id,
    struct fsmeta_error *error)
{
	return fsmeta_error_set(error, FSMETA_E_REFUSED, delta->db->path, action,
	    "\"%.*s\" has id %" PRId64 " here and %" PRIu64
	    " in the delta, which was made from another history",
	    (int)(entry->path_length < 256 ? entry->path_length : 256),
	    entry->path_length ? entry->path : ".", id, entry->id);
}

static int check_parent(
    struct fsmeta_db_delta *delta, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	struct fsmeta_db_update *update = delta->update;
	int64_t folder;
	int code = fsmeta_places_find(
	    update, &update->now, entry->path, entry->path_length, &folder, error);

	return code || folder == (int64_t)entry->id ? code : refuse_id(delta, entry, folder, error);
}

/** What arrives is new to the source, so its id must be new here. */
static int take_added_id(
    struct fsmeta_db_delta *delta, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	struct fsmeta_buffer *ids = &delta->added_ids;
	uint64_t last = 0;

	if (entry->id < (uint64_t)delta->update->first_id)
		return fsmeta_error_set(error, FSMETA_E_REFUSED, delta->db->path, action,
		    "id %" PRIu64 " arrives with \"%.*s\", and was given out here before",
		    entry->id, (int)(entry->path_length < 256 ? entry->path_length : 256),
		    entry->path);
	if (ids->length)
		memcpy(&last, ids->data + ids->length - sizeof(last), sizeof(last));
	delta->ids_ascend = delta->ids_ascend && entry->id > last;
	return fsmeta_buffer_append(ids, &entry->id, sizeof(entry->id))
		   ? fsmeta_error_set_memory(error, action)
		   : 0;
}

/** The entry as it stood at the older path. */
static struct fsmeta_entry older_entry(const struct fsmeta_delta_change *change)
{
	struct fsmeta_entry before = {
	    .path = change->old_path,
	    .path_length = change->old_path_length,
	    .type = change->entry->type,
	    .id = change->entry->id,
	};
	size_t name_at = fsmeta_path_name_offset(before.path, before.path_length);

	before.depth = fsmeta_path_depth(before.path, before.path_length);
	before.name = before.path + name_at;
	before.name_length = before.path_length - name_at;
	return before;
}

int fsmeta_db_delta_change(struct fsmeta_db_delta *delta, const struct fsmeta_delta_change *change,
    struct fsmeta_error *error)
{
	struct fsmeta_change_sink *sink = fsmeta_db_update_sink(delta->update);
	struct fsmeta_change out = {.fields = change->differs};
	struct fsmeta_entry before;
	int code = 0;

	if (change->kind == FSMETA_DELTA_PARENT)
		return blame_delta(delta, check_parent(delta, change->entry, error), error);
	out.kind = (enum fsmeta_change_kind)change->kind;
	out.after = change->entry;
	switch (out.kind) {
	case FSMETA_CHANGE_ADDED:
		code = take_added_id(delta, change->entry, error);
		break;
	case FSMETA_CHANGE_REMOVED:
		out.before = change->entry;
		out.after = NULL;
		break;
	case FSMETA_CHANGE_MOVED:
		before = older_entry(change);
		out.before = &before;
		break;
	case FSMETA_CHANGE_UNREADABLE:
	case FSMETA_CHANGE_UNKNOWN:
		if (change->whole) {
			out.before = change->entry;
			out.after = NULL;
		}
		break;
	case FSMETA_CHANGE_MODIFIED:
	case FSMETA_CHANGE_CORRUPTED:
		break;
	}
	if (!code)
		code = sink->change(sink, &out, error);
	return blame_delta(delta, code, error);
}

/* ---- what a sender asks: ids of folders ---------------------------------- */

struct fsmeta_db_folders {
	struct fsmeta_connection *connection;
	sqlite3_stmt *statement;
	uint64_t number;
	/** The path found last, and the ids on it; ids[0] is the root's, 0 = not yet known. */
	struct fsmeta_path_stack path;
	int64_t *ids;
	uint32_t capacity;
};

int fsmeta_db_folders_new(struct fsmeta_db_folders **out, struct fsmeta_db *db, uint64_t number,
    struct fsmeta_error *error)
{
	struct fsmeta_db_folders *folders = calloc(1, sizeof(*folders));
	int code;

	*out = NULL;
	if (!folders)
		return fsmeta_error_set_memory(error, action);
	folders->connection = &db->connection;
	folders->number = number;
	fsmeta_path_stack_init(&folders->path);
	code = fsmeta_connection_prepare(&folders->statement, folders->connection,
	    "SELECT folder FROM folder_position WHERE parent = ?1 AND name = ?2"
	    " AND since <= ?3 AND (until IS NULL OR until > ?3)",
	    error);
	if (code)
		fsmeta_db_folders_free(folders);
	else
		*out = folders;
	return code;
}

void fsmeta_db_folders_free(struct fsmeta_db_folders *folders)
{
	if (!folders)
		return;
	sqlite3_finalize(folders->statement);
	fsmeta_path_stack_release(&folders->path);
	free(folders->ids);
	free(folders);
}

static int find_child(struct fsmeta_db_folders *folders, int64_t parent, const char *name,
    size_t length, int64_t *id, struct fsmeta_error *error)
{
	int code;

	*id = 0;
	sqlite3_reset(folders->statement);
	sqlite3_bind_int64(folders->statement, 1, parent);
	sqlite3_bind_blob64(folders->statement, 2, length ? name : "", length, SQLITE_STATIC);
	sqlite3_bind_int64(folders->statement, 3, (int64_t)folders->number);
	code = fsmeta_connection_step(folders->connection, folders->statement, error);
	if (code > 0)
		*id = sqlite3_column_int64(folders->statement, 0);
	sqlite3_reset(folders->statement);
	return code < 0 ? code : 0;
}

static int reserve_ids(struct fsmeta_db_folders *folders, uint32_t depth)
{
	uint32_t capacity = folders->capacity ? folders->capacity : 64;
	int64_t *grown;

	if (depth < folders->capacity)
		return 0;
	while (capacity <= depth)
		capacity *= 2;
	grown = reallocarray(folders->ids, capacity, sizeof(*grown));
	if (!grown)
		return FSMETA_E_MEMORY;
	memset(grown + folders->capacity, 0, (capacity - folders->capacity) * sizeof(*grown));
	folders->ids = grown;
	folders->capacity = capacity;
	return 0;
}

/** Drops from the path found last what `path` does not share; returns where that ends. */
static size_t keep_shared(struct fsmeta_path_stack *stack, const char *path, size_t length)
{
	uint32_t depth = 0;
	size_t at = 0;

	while (depth < stack->depth && at < length) {
		size_t name_length;
		const char *name = fsmeta_path_stack_name(stack, depth + 1, &name_length);

		if (length - at < name_length || memcmp(path + at, name, name_length) != 0 ||
		    (length - at > name_length && path[at + name_length] != '/'))
			break;
		at += name_length + (length - at > name_length);
		depth++;
	}
	fsmeta_path_stack_truncate(stack, depth);
	return at;
}

int fsmeta_db_folders_find(struct fsmeta_db_folders *folders, const char *path, size_t length,
    uint64_t *id, struct fsmeta_error *error)
{
	size_t at;
	int code = 0;

	*id = 0;
	if (reserve_ids(folders, 0))
		return fsmeta_error_set_memory(error, action);
	if (!folders->ids[0])
		code = find_child(folders, 0, "", 0, &folders->ids[0], error);
	if (code || !folders->ids[0])
		return code;
	at = keep_shared(&folders->path, path, length);
	while (at < length) {
		const char *slash = memchr(path + at, '/', length - at);
		size_t name_length = slash ? (size_t)(slash - path) - at : length - at;
		int64_t found;

		code = find_child(folders, folders->ids[folders->path.depth], path + at,
		    name_length, &found, error);
		if (code || !found)
			return code;
		if (reserve_ids(folders, folders->path.depth + 1) ||
		    fsmeta_path_stack_push(&folders->path, path + at, name_length))
			return fsmeta_error_set_memory(error, action);
		folders->ids[folders->path.depth] = found;
		at += name_length + (slash ? 1 : 0);
	}
	*id = (uint64_t)folders->ids[folders->path.depth];
	return 0;
}

/* ---- what a sender asks: unknown places ----------------------------------- */

/** Puts the path of what `parent` holds as `name` into `path`; *found false where it is dead. */
static int climb(sqlite3_stmt *place, const struct fsmeta_db *db, uint64_t number, int64_t folder,
    struct fsmeta_buffer *path, bool *found, struct fsmeta_error *error)
{
	int code = 0;

	*found = false;
	for (uint32_t depth = 0; folder > 0 && depth <= FSMETA_DEPTH_MAX && !code; depth++) {
		size_t length, extra;

		sqlite3_reset(place);
		sqlite3_bind_int64(place, 1, folder);
		sqlite3_bind_int64(place, 2, (int64_t)number);
		code = fsmeta_connection_step(&db->connection, place, error);
		if (code <= 0)
			break;
		code = 0;
		folder = sqlite3_column_int64(place, 0);
		length = (size_t)sqlite3_column_bytes(place, 1);
		if (!length)
			break;
		extra = length + (path->length ? 1 : 0);
		if (fsmeta_buffer_reserve(path, extra + 1))
			return fsmeta_error_set_memory(error, action);
		if (path->length) {
			memmove(path->data + extra, path->data, path->length);
			path->data[length] = '/';
		}
		memcpy(path->data, sqlite3_column_blob(place, 1), length);
		path->length += extra;
	}
	*found = !code && folder == 0;
	sqlite3_reset(place);
	return code;
}

/** Takes rows of root, type, parent, name (of what is no folder), since, whole, unreadable, error.
 */
static int collect_places(struct fsmeta_db_unknown_places *out, sqlite3_stmt *rows,
    sqlite3_stmt *place, const struct fsmeta_db *db, uint64_t number, struct fsmeta_error *error)
{
	struct fsmeta_buffer path = {0};
	int code = 0;

	while (!code && (code = fsmeta_connection_step(&db->connection, rows, error)) > 0) {
		bool is_folder = sqlite3_column_type(rows, 2) == SQLITE_NULL;
		struct fsmeta_db_unknown_place *grown;
		bool found;

		fsmeta_buffer_clear(&path);
		if (!is_folder && fsmeta_buffer_append(&path, sqlite3_column_blob(rows, 3),
				      (size_t)sqlite3_column_bytes(rows, 3))) {
			code = fsmeta_error_set_memory(error, action);
			break;
		}
		code = climb(place, db, number, sqlite3_column_int64(rows, is_folder ? 0 : 2),
		    &path, &found, error);
		if (code || !found)
			continue;
		grown = reallocarray(out->items, out->count + 1, sizeof(*grown));
		if (!grown) {
			code = fsmeta_error_set_memory(error, action);
			break;
		}
		out->items = grown;
		grown += out->count++;
		*grown = (struct fsmeta_db_unknown_place){
		    .path = fsmeta_arena_copy(
			&out->arena, path.length ? (char *)path.data : "", path.length),
		    .path_length = path.length,
		    .id = (uint64_t)sqlite3_column_int64(rows, 0),
		    .type = (enum fsmeta_type)sqlite3_column_int(rows, 1),
		    .since = (uint64_t)sqlite3_column_int64(rows, 4),
		    .whole = sqlite3_column_int(rows, 5) != 0,
		    .unreadable = sqlite3_column_int(rows, 6) != 0,
		    .error = sqlite3_column_int(rows, 7),
		};
		if (!grown->path)
			code = fsmeta_error_set_memory(error, action);
	}
	fsmeta_buffer_release(&path);
	return code;
}

static int compare_places(const void *left, const void *right)
{
	const struct fsmeta_db_unknown_place *a = left, *b = right;

	return fsmeta_path_compare(a->path, a->path_length, b->path, b->path_length);
}

#define IS_IN(row) row ".since <= ?1 AND (" row ".until IS NULL OR " row ".until > ?1)"
#define REST " u.since, u.whole, u.reason = 'unreadable', u.error"

/* Files have no index by id, so they are looked for only where a place is one. */
static const char *const unknown_queries[] = {
    "SELECT u.root, 2, NULL, NULL," REST " FROM unknown u JOIN folder f ON f.id = u.root"
    " WHERE " IS_IN("u"),
    "SELECT u.root, a.type, f.parent, f.name," REST
    " FROM file f CROSS JOIN unknown u ON u.root = f.id JOIN attributes a ON a.id = f.attributes"
    " WHERE f.since <= ?1 AND " IS_IN("u"),
    "SELECT u.root, a.type, f.parent, f.name," REST
    " FROM file_past f CROSS JOIN unknown u ON u.root = f.id"
    " JOIN attributes a ON a.id = f.attributes WHERE " IS_IN("f") " AND " IS_IN("u"),
};

static const char count_unknown_files[] =
    "SELECT count(*) FROM unknown WHERE root NOT IN (SELECT id FROM folder)";

int fsmeta_db_unknown_places(struct fsmeta_db_unknown_places *out, struct fsmeta_db *db,
    uint64_t number, struct fsmeta_error *error)
{
	sqlite3_stmt *place = NULL;
	size_t queries = 1;
	int64_t files;
	int code;

	*out = (struct fsmeta_db_unknown_places){0};
	code = fsmeta_connection_integer(&files, &db->connection, count_unknown_files, 0, error);
	if (!code && files)
		queries = sizeof(unknown_queries) / sizeof(unknown_queries[0]);
	if (!code)
		code = fsmeta_connection_prepare(&place, &db->connection,
		    "SELECT parent, name FROM folder_position WHERE folder = ?1"
		    " AND since <= ?2 AND (until IS NULL OR until > ?2)",
		    error);
	for (size_t i = 0; i < queries && !code; i++) {
		sqlite3_stmt *rows = NULL;

		code = fsmeta_connection_prepare(&rows, &db->connection, unknown_queries[i], error);
		if (!code) {
			sqlite3_bind_int64(rows, 1, (int64_t)number);
			code = collect_places(out, rows, place, db, number, error);
		}
		sqlite3_finalize(rows);
	}
	sqlite3_finalize(place);
	if (code)
		fsmeta_db_unknown_places_release(out);
	else if (out->count)
		qsort(out->items, out->count, sizeof(*out->items), compare_places);
	return code;
}

void fsmeta_db_unknown_places_release(struct fsmeta_db_unknown_places *places)
{
	free(places->items);
	fsmeta_arena_release(&places->arena);
	*places = (struct fsmeta_db_unknown_places){0};
}
