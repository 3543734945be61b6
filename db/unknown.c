/*
 * Unknown places: what a generation carries because its scan could not look.
 *
 * Nothing is written to the rows of carried entries.  An interval of generations
 * is kept for the topmost place, and reading tells from it what is carried and
 * since when:
 *
 *     generation        1    2    3    4    5
 *     cam1 readable     yes  no   no   yes  no
 *     unknown(cam1)          [2 ........ 4)  [5 …
 *
 * The diff names every place that is unknown in the new generation, the old ones
 * too.  So an open interval whose place is not named is over, with two exceptions:
 * a place that a sub-tree scan was not asked for, and one that lies below another
 * unknown place.  Both are as unknown as before.
 *
 * That a sub-tree scan was not asked for a place is not kept here at all, as its
 * scope says so; carried.c reads both together.  Where an interval ends because it
 * is covered otherwise, the run of generations goes on all the same.
 */
#include "db/update.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char action[] = "writing a generation";

/* ---- collecting ------------------------------------------------------------ */

int fsmeta_unknown_note(struct fsmeta_db_update *update, const struct fsmeta_unknown_place *place,
    struct fsmeta_error *error)
{
	struct fsmeta_unknown_list *list = &update->unknown;

	/* A folder that is new and unreadable may be named twice, one after the other. */
	if (list->count && list->items[list->count - 1].root == place->root) {
		list->items[list->count - 1].whole |= place->whole;
		return 0;
	}
	if (list->count == list->capacity) {
		size_t capacity = list->capacity ? 2 * list->capacity : 16;
		struct fsmeta_unknown_place *grown =
		    reallocarray(list->items, capacity, sizeof(*grown));

		if (!grown)
			return fsmeta_error_set_memory(error, action);
		list->items = grown;
		list->capacity = capacity;
	}
	list->items[list->count++] = *place;
	return 0;
}

int fsmeta_unknown_note_folder(struct fsmeta_db_update *update, const struct fsmeta_entry *folder,
    int64_t id, struct fsmeta_error *error)
{
	const struct fsmeta_unknown_place place = {
	    .root = id,
	    .since = update->number,
	    .unreadable = folder->flags & FSMETA_FLAG_UNREADABLE,
	    .error = folder->error,
	};

	return fsmeta_unknown_note(update, &place, error);
}

/** Within a sub-tree, or on the way to one. */
static bool is_asked_for(const struct fsmeta_batch_source *source, const char *path, size_t length)
{
	const struct fsmeta_string_list *subtrees = &source->subtrees;

	for (size_t i = 0; i < subtrees->count; i++)
		if (fsmeta_path_is_within(path, length, subtrees->items[i], subtrees->lengths[i]) ||
		    fsmeta_path_is_within(subtrees->items[i], subtrees->lengths[i], path, length))
			return true;
	return subtrees->count == 0;
}

/** What a folder on the path hands down, on the first import. */
struct inherited {
	uint64_t unknown_since;
	int64_t folder;
	/** Its own place in the list plus 1; 0 = what is below it could be seen. */
	size_t noted;
};

static struct inherited *inherited_at(struct fsmeta_db_update *update, uint32_t depth)
{
	return (struct inherited *)(void *)update->inherited.data + depth;
}

static int inherited_push(struct fsmeta_db_update *update, const struct fsmeta_entry *entry,
    int64_t id, struct fsmeta_error *error)
{
	struct inherited item = {.unknown_since = entry->unknown_since};
	int code = 0;

	if (entry->flags & FSMETA_UNKNOWN_BELOW) {
		code = fsmeta_unknown_note_folder(update, entry, id, error);
		item.noted = update->unknown.count;
	}
	update->inherited.length = entry->depth * sizeof(item);
	if (!code && fsmeta_buffer_append(&update->inherited, &item, sizeof(item)))
		code = fsmeta_error_set_memory(error, action);
	return code;
}

int fsmeta_unknown_adopt(struct fsmeta_db_update *update, const struct fsmeta_entry *entry,
    int64_t id, struct fsmeta_error *error)
{
	struct inherited *above = entry->depth ? inherited_at(update, entry->depth - 1) : NULL;
	int code = 0;

	if (entry->unknown_since && (!above || above->unknown_since != entry->unknown_since)) {
		const struct fsmeta_unknown_place place = {
		    .root = id, .since = entry->unknown_since, .whole = true};

		if (above && above->noted) {
			above->unknown_since = entry->unknown_since;
			update->unknown.items[above->noted - 1].since = entry->unknown_since;
		} else if (entry->unknown_since != update->number ||
			   is_asked_for(update->source, entry->path, entry->path_length)) {
			code = fsmeta_unknown_note(update, &place, error);
		}
	}
	if (!code && entry->type == FSMETA_TYPE_FOLDER)
		code = inherited_push(update, entry, id, error);
	return code;
}

/* ---- storing ----------------------------------------------------------------- */

static int compare_places(const void *left, const void *right)
{
	const struct fsmeta_unknown_place *a = left, *b = right;

	return (a->root > b->root) - (a->root < b->root);
}

static struct fsmeta_unknown_place *find_place(struct fsmeta_db_update *update, int64_t root)
{
	const struct fsmeta_unknown_place key = {.root = root};

	return update->unknown.count ? bsearch(&key, update->unknown.items, update->unknown.count,
					   sizeof(key), compare_places)
				     : NULL;
}

/** Steps from a folder to the one above it; 0 above the root and where it is dead. */
static int parent_of(struct fsmeta_db_update *update, int64_t folder, int64_t *parent,
    struct fsmeta_buffer *name, struct fsmeta_error *error)
{
	sqlite3_stmt *statement;
	int code = fsmeta_update_statement_integers(
	    update, STATEMENT_PLACE_OF, &statement, &folder, 1, error);

	*parent = -1;
	if (code)
		return code;
	fsmeta_buffer_clear(name);
	code = fsmeta_connection_step(update->connection, statement, error);
	if (code > 0) {
		*parent = sqlite3_column_int64(statement, 1);
		code = fsmeta_buffer_append(name, sqlite3_column_blob(statement, 4),
			   (size_t)sqlite3_column_bytes(statement, 4))
			   ? fsmeta_error_set_memory(error, action)
			   : 0;
	}
	sqlite3_reset(statement);
	return code;
}

/** Puts `name` and a slash in front of `path`. */
static int prepend(struct fsmeta_buffer *path, const struct fsmeta_buffer *name)
{
	size_t extra = name->length + (path->length ? 1 : 0);

	if (fsmeta_buffer_reserve(path, extra))
		return FSMETA_E_MEMORY;
	memmove(path->data + extra, path->data, path->length);
	if (path->length)
		path->data[name->length] = '/';
	memcpy(path->data, name->data, name->length);
	path->length += extra;
	return 0;
}

/** Whether a place that was not named is unknown all the same: the two exceptions. */
static int is_still_unknown(
    struct fsmeta_db_update *update, int64_t root, bool *still, struct fsmeta_error *error)
{
	struct fsmeta_buffer path = {0}, name = {0};
	int64_t folder = root;
	int code = 0;

	*still = false;
	for (uint32_t depth = 0; depth <= FSMETA_DEPTH_MAX && folder > 0 && !code; depth++) {
		int64_t parent;

		if (find_place(update, folder)) {
			*still = true;
			goto done;
		}
		code = parent_of(update, folder, &parent, &name, error);
		if (!code && parent > 0 && prepend(&path, &name))
			code = fsmeta_error_set_memory(error, action);
		folder = parent;
	}
	/* 0 is above the root; anything else is dead. */
	if (!code && folder == 0)
		*still = !is_asked_for(update->source, (const char *)path.data, path.length);
done:
	fsmeta_buffer_release(&path);
	fsmeta_buffer_release(&name);
	return code;
}

/** An interval that is open in the base. */
struct open_interval {
	int64_t root;
	int64_t since;
	bool whole;
};

static int load_open(
    struct fsmeta_db_update *update, struct fsmeta_buffer *out, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_connection_prepare(&statement, update->connection,
	    "SELECT root, since, whole FROM unknown WHERE until IS NULL", error);

	while (!code && (code = fsmeta_connection_step(update->connection, statement, error)) > 0) {
		const struct open_interval interval = {
		    .root = sqlite3_column_int64(statement, 0),
		    .since = sqlite3_column_int64(statement, 1),
		    .whole = sqlite3_column_int(statement, 2) != 0,
		};

		code = fsmeta_buffer_append(out, &interval, sizeof(interval))
			   ? fsmeta_error_set_memory(error, action)
			   : 0;
	}
	sqlite3_finalize(statement);
	return code;
}

static int close_interval(struct fsmeta_db_update *update, sqlite3_stmt *statement,
    const struct open_interval *interval, struct fsmeta_error *error)
{
	struct fsmeta_unknown_place *named = find_place(update, interval->root);
	bool still = false;
	int code = 0;

	if (named && named->whole == interval->whole &&
	    !(update->section && named->since > update->base)) {
		/* It goes on; nothing is to be opened. */
		named->since = 0;
		return 0;
	}
	/* A delta lists all places, so what is not named is known. */
	if (!named && !update->section)
		code = is_still_unknown(update, interval->root, &still, error);
	if (code || still)
		return code;
	sqlite3_reset(statement);
	sqlite3_bind_int64(statement, 1, interval->root);
	sqlite3_bind_int64(statement, 2, interval->since);
	sqlite3_bind_int64(statement, 3, (int64_t)update->number);
	return fsmeta_connection_run(update->connection, statement, error);
}

static int close_intervals(struct fsmeta_db_update *update, struct fsmeta_error *error)
{
	struct fsmeta_buffer open = {0};
	sqlite3_stmt *statement = NULL;
	int code = load_open(update, &open, error);

	if (!code)
		code = fsmeta_connection_prepare(&statement, update->connection,
		    "UPDATE unknown SET until = ?3 WHERE root = ?1 AND since = ?2", error);
	for (size_t at = 0; at < open.length && !code; at += sizeof(struct open_interval)) {
		struct open_interval interval;

		memcpy(&interval, open.data + at, sizeof(interval));
		code = close_interval(update, statement, &interval, error);
	}
	sqlite3_finalize(statement);
	fsmeta_buffer_release(&open);
	return code;
}

static int open_intervals(struct fsmeta_db_update *update, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_connection_prepare(&statement, update->connection,
	    "INSERT INTO unknown (root, since, whole, reason, error) VALUES (?1, ?2, ?3, ?4, ?5)",
	    error);

	for (size_t i = 0; i < update->unknown.count && !code; i++) {
		const struct fsmeta_unknown_place *place = &update->unknown.items[i];

		if (!place->since)
			continue;
		sqlite3_bind_int64(statement, 1, place->root);
		sqlite3_bind_int64(statement, 2, (int64_t)place->since);
		sqlite3_bind_int(statement, 3, place->whole);
		sqlite3_bind_text(statement, 4, place->unreadable ? "unreadable" : "not entered",
		    -1, SQLITE_STATIC);
		sqlite3_bind_int(statement, 5, place->error);
		code = fsmeta_connection_run(update->connection, statement, error);
	}
	sqlite3_finalize(statement);
	return code;
}

int fsmeta_unknown_store(struct fsmeta_db_update *update, struct fsmeta_error *error)
{
	int code;

	if (update->unknown.count)
		qsort(update->unknown.items, update->unknown.count, sizeof(*update->unknown.items),
		    compare_places);
	code = close_intervals(update, error);
	return code ? code : open_intervals(update, error);
}

/* ---- counting ------------------------------------------------------------------ */

/** Replaces the list by what is open now, sorted. */
static int reload(struct fsmeta_db_update *update, struct fsmeta_error *error)
{
	struct fsmeta_buffer open = {0};
	int code = load_open(update, &open, error);

	update->unknown.count = 0;
	for (size_t at = 0; at < open.length && !code; at += sizeof(struct open_interval)) {
		struct open_interval interval;
		struct fsmeta_unknown_place place;

		memcpy(&interval, open.data + at, sizeof(interval));
		place = (struct fsmeta_unknown_place){.root = interval.root,
		    .since = (uint64_t)interval.since,
		    .whole = interval.whole};
		code = fsmeta_unknown_note(update, &place, error);
	}
	fsmeta_buffer_release(&open);
	if (update->unknown.count)
		qsort(update->unknown.items, update->unknown.count, sizeof(*update->unknown.items),
		    compare_places);
	return code;
}

/**
 * Whether a folder above `root` is unknown too, or dead.  A file has no position
 * to climb from, and needs none: one that is dead or covered was not named.
 */
static int is_covered(
    struct fsmeta_db_update *update, int64_t root, bool *covered, struct fsmeta_error *error)
{
	struct fsmeta_buffer name = {0};
	int64_t folder = root;
	int code = 0;

	*covered = false;
	for (uint32_t depth = 0; depth <= FSMETA_DEPTH_MAX && folder > 0 && !code; depth++) {
		int64_t parent;

		code = parent_of(update, folder, &parent, &name, error);
		*covered = parent > 0 ? find_place(update, parent) != NULL : parent < 0 && depth;
		folder = *covered ? 0 : parent;
	}
	fsmeta_buffer_release(&name);
	return code;
}

int fsmeta_unknown_count(
    struct fsmeta_db_update *update, uint64_t *carried, struct fsmeta_error *error)
{
	int code = reload(update, error);

	*carried = 0;
	for (size_t i = 0; i < update->unknown.count && !code; i++) {
		const struct fsmeta_unknown_place *place = &update->unknown.items[i];
		uint64_t below = 0;
		bool covered;

		code = is_covered(update, place->root, &covered, error);
		if (!code && !covered)
			code = fsmeta_places_count_below(update, place->root, &below, error);
		*carried += below + (place->whole && !covered);
	}
	return code;
}
