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
 * What is loaded, and how it is found, is in history_rows.c.
 */
#include "db/history.h"

#include "base/path.h"
#include "db/history_rows.h"
#include "db/internal.h"

#include <stdlib.h>
#include <string.h>

static const char action[] = "reading the history";

struct history {
	struct fsmeta_rows rows;
	struct fsmeta_db_history *out;
	/** The path of the entry that is looked at. */
	struct fsmeta_buffer path;
};

/* ---- looking at a generation ------------------------------------------------------ */

/** An entry as one generation shows it; the path is in history->path. */
struct sight {
	bool present;
	const struct fsmeta_rows_version *version;
	/** The topmost interval that covers it, NULL where it was looked at. */
	const struct fsmeta_rows_interval *interval;
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
static void cover(struct sight *sight, const struct fsmeta_rows_interval *interval)
{
	if (!interval)
		return;
	if (!sight->interval || interval->since < sight->covered)
		sight->covered = interval->since;
	sight->interval = interval;
}

static const struct fsmeta_rows_position *position_at(
    const struct history *history, const struct fsmeta_rows_folder *node, int64_t generation)
{
	const struct fsmeta_rows_position *positions = history->rows.positions.items;

	for (size_t i = 0; i < node->position_count; i++) {
		const struct fsmeta_rows_position *position = &positions[node->first_position + i];

		if (position->since <= generation && position->until > generation)
			return position;
	}
	return NULL;
}

static const struct fsmeta_rows_interval *interval_at(const struct history *history,
    const struct fsmeta_rows_folder *node, int64_t generation, bool whole)
{
	const struct fsmeta_rows_interval *intervals = history->rows.intervals.items;

	for (size_t i = 0; i < node->interval_count; i++) {
		const struct fsmeta_rows_interval *interval = &intervals[node->first_interval + i];

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
		const struct fsmeta_rows_folder *node =
		    fsmeta_rows_folder_at(&history->rows, folder);
		const struct fsmeta_rows_position *position =
		    position_at(history, node, generation);
		const struct fsmeta_rows_interval *interval =
		    interval_at(history, node, generation, own && !depth);

		if (!position)
			return 0;
		narrow(sight, position->since, position->until);
		cover(sight, interval);
		if (prepend(history, position->name, position->name_length))
			return fsmeta_error_set_memory(error, action);
		if (position->above == FSMETA_ROWS_NO_FOLDER) {
			sight->present = true;
			return 0;
		}
		folder = position->above;
	}
	return fsmeta_connection_corrupt(
	    history->rows.connection, error, "%s", "a folder lies in itself");
}

static const struct fsmeta_rows_version *version_at(
    const struct history *history, int64_t generation)
{
	const struct fsmeta_rows_version *versions = history->rows.versions.items;
	size_t low = 0, high = history->rows.versions.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (versions[middle].since <= generation)
			low = middle + 1;
		else
			high = middle;
	}
	return low && versions[low - 1].until > generation ? &versions[low - 1] : NULL;
}

/** What entry `index` of the folders is in this generation. */
static int look(struct history *history, uint32_t index, int64_t generation, struct sight *sight,
    struct fsmeta_error *error)
{
	const struct fsmeta_rows_version *version = version_at(history, generation);

	*sight = (struct sight){.version = version, .until = INT64_MAX};
	fsmeta_buffer_clear(&history->path);
	if (!version)
		return 0;
	narrow(sight, version->since, version->until);
	if (version->above == FSMETA_ROWS_NO_FOLDER)
		return climb(history, index, generation, true, sight, error);
	cover(sight,
	    interval_at(history, fsmeta_rows_folder_at(&history->rows, index), generation, true));
	if (prepend(history, version->name, version->name_length))
		return fsmeta_error_set_memory(error, action);
	return climb(history, version->above, generation, false, sight, error);
}

/* ---- lives ------------------------------------------------------------------------ */

/** Notes the kept generations from `since` and from `until` on, as indexes. */
static int note_candidates(struct history *history, struct fsmeta_rows_list *out, int64_t since,
    int64_t until, struct fsmeta_error *error)
{
	const int64_t ends[] = {since, until};
	int code = 0;

	for (size_t i = 0; i < 2 && !code; i++) {
		int64_t index = (int64_t)fsmeta_rows_find_kept(&history->rows, ends[i]);

		if (index < (int64_t)history->rows.kept.count)
			code = fsmeta_rows_list_append(out, &index, sizeof(index), error);
	}
	return code;
}

/** The kept generations in which something of what is loaded begins or ends. */
static int find_candidates(
    struct history *history, struct fsmeta_rows_list *out, struct fsmeta_error *error)
{
	const struct fsmeta_rows_version *versions = history->rows.versions.items;
	const struct fsmeta_rows_position *positions = history->rows.positions.items;
	const struct fsmeta_rows_interval *intervals = history->rows.intervals.items;
	int code = 0;

	for (size_t i = 0; i < history->rows.versions.count && !code; i++)
		code = note_candidates(history, out, versions[i].since, versions[i].until, error);
	for (size_t i = 0; i < history->rows.positions.count && !code; i++)
		code = note_candidates(history, out, positions[i].since, positions[i].until, error);
	for (size_t i = 0; i < history->rows.intervals.count && !code; i++)
		code = note_candidates(history, out, intervals[i].since, intervals[i].until, error);
	fsmeta_rows_list_sort(out);
	return code;
}

/** What is told of a place that was not looked at. */
static bool same_interval(
    const struct fsmeta_rows_interval *a, const struct fsmeta_rows_interval *b)
{
	if (!a || !b)
		return a == b;
	return a->unreadable == b->unreadable && a->error == b->error;
}

/** A row may be written anew with what it said before, for example by a scan of other fields. */
static bool same_version(const struct fsmeta_rows_version *a, const struct fsmeta_rows_version *b)
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
		return fsmeta_rows_generation_of_id(
		    &history->rows, (int64_t)sight->version->entry.id);
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
	const struct fsmeta_rows_generation *row = fsmeta_rows_kept(&history->rows, index);
	const struct fsmeta_rows_generation *previous =
	    index ? fsmeta_rows_kept(&history->rows, index - 1) : NULL;
	const struct fsmeta_rows_version *version = sight->present ? sight->version : last->version;
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

/** The states of entry `index` of the folders, whose versions are loaded. */
static int tell_life(struct history *history, uint32_t index, struct fsmeta_rows_list *states,
    struct fsmeta_error *error)
{
	struct fsmeta_rows_list candidates = {0};
	struct sight last = {0};
	int code = find_candidates(history, &candidates, error);

	for (size_t i = 0; i < candidates.count && !code; i++) {
		size_t at = (size_t)((int64_t *)candidates.items)[i];
		const struct fsmeta_db_state *told = states->items;
		struct fsmeta_db_state state;
		struct sight sight;

		if (told)
			told = states->count ? &told[states->count - 1] : NULL;
		code = look(history, index, (int64_t)fsmeta_rows_kept(&history->rows, at)->number,
		    &sight, error);
		if (!code && !same_sight(history, &sight, &last, told)) {
			code = fill_state(history, &state, &sight, &last, told, at, error);
			if (!code)
				code =
				    fsmeta_rows_list_append(states, &state, sizeof(state), error);
		}
		last = sight;
	}
	free(candidates.items);
	return code;
}

static bool stood_at(const struct fsmeta_rows_list *states, const char *path, size_t length)
{
	const struct fsmeta_db_state *items = states->items;

	for (size_t i = 0; i < states->count; i++)
		if (items[i].present && items[i].entry.path_length == length &&
		    memcmp(items[i].entry.path, path, length) == 0)
			return true;
	return false;
}

/** Takes the states over, which lived in a list for the while. */
static int keep_life(struct history *history, int64_t id, const struct fsmeta_rows_list *states,
    struct fsmeta_error *error)
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

static int tell_lives(struct history *history, const char *path, size_t length,
    const struct fsmeta_rows_list *candidates, struct fsmeta_error *error)
{
	const struct fsmeta_rows_candidate *items = candidates->items;
	struct fsmeta_rows_list states = {0};
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
		code = fsmeta_rows_load_life(&history->rows, &items[i], &index, error);
		if (!code)
			code = tell_life(history, index, &states, error);
		if (!code && stood_at(&states, path, length))
			code = keep_life(history, items[i].id, &states, error);
	}
	free(states.items);
	return code;
}

int fsmeta_db_history(struct fsmeta_db_history *out, struct fsmeta_db *db, const char *path,
    size_t length, struct fsmeta_error *error)
{
	struct history history = {.out = out};
	struct fsmeta_rows_list candidates = {0};
	int code;

	*out = (struct fsmeta_db_history){0};
	/* All rows are to be of one moment. */
	code = fsmeta_connection_execute(&db->connection, "SAVEPOINT history", error);
	if (code)
		return code;
	code = fsmeta_rows_init(&history.rows, &db->connection, &out->arena, error);
	if (!code)
		code = fsmeta_rows_find_candidates(&history.rows, path, length, &candidates, error);
	if (!code)
		code = tell_lives(&history, path, length, &candidates, error);
	if (!code && !fsmeta_connection_is_unchanged(&db->connection))
		code = fsmeta_error_set(error, FSMETA_E_BUSY, db->path, action,
		    "somebody else wrote to the database while it was read");
	fsmeta_rows_release(&history.rows);
	sqlite3_exec(db->connection.handle, "RELEASE history", NULL, NULL, NULL);
	fsmeta_buffer_release(&history.path);
	free(candidates.items);
	if (code)
		fsmeta_db_history_release(out);
	return code;
}

void fsmeta_db_history_release(struct fsmeta_db_history *history)
{
	fsmeta_arena_release(&history->arena);
	*history = (struct fsmeta_db_history){0};
}
