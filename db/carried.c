/*
 * What a generation carries, and since when.
 *
 * A generation G did not look at an entry where an interval of table `unknown`
 * covers G on the entry's path (unreadable, excluded, not entered), or where its
 * scan was asked for sub-trees and the entry is outside of them.  The second is
 * written nowhere: it follows from the generation's scope.  Both mix in time, and
 * unknown_since is where the unbroken run begins:
 *
 *     generation          1     2     3     4     5     6
 *     asked for           all   all   cam2  cam2  all   cam2
 *     unknown(cam1/x)           [2 ....................)
 *     cam1/x              seen  2     2     2     2     2
 *     cam1/y              seen  seen  3     3     seen  6
 *
 * So from G a step goes back to the earliest generation that is known to belong to
 * the run (an interval's since, or G itself), and on from the generation before,
 * until one had looked.  An entry's path is the same all the while: what nobody
 * looked at did not move.
 *
 * Which generations such a walk can come to is found once, when a reader starts:
 * the one before a sub-tree scan, and the ones before the beginnings of intervals.
 * In a database of complete scans that is none.
 *
 * Most entries need no walk.  A folder outside or inside of all the sub-trees
 * concerned has one answer for all that is below it, and hands it down.  Only
 * folders on the way to a sub-tree judge each child by itself, with two steps of a
 * binary search a scope, and so do the roots of intervals.
 */
#include "db/carried.h"

#include "db/internal.h"
#include "format/scope.h"

#include <inttypes.h>
#include <stdlib.h>

static const char action[] = "reading unknown places";

/** A row of `unknown`; until is INT64_MAX while it is open. */
struct interval {
	int64_t root;
	int64_t since;
	int64_t until;
	bool whole;
};

/** A generation that a walk may come to. */
struct looker {
	uint64_t number;
	/** Of sub-trees alone; none = it was asked for everything. */
	struct fsmeta_scope scope;
	/** *Owned*, holds what scope borrows; NULL for the generation itself. */
	struct fsmeta_db_generation *row;
};

/** A folder on the current path with intervals of its own. */
struct root_on_path {
	uint32_t depth;
	size_t first;
	size_t count;
};

struct fsmeta_carried {
	const struct fsmeta_connection *connection;
	/** Sorted by root and since. */
	struct interval *intervals;
	size_t interval_count;
	size_t interval_capacity;
	/** Newest first; [0] is the generation itself. */
	struct looker *lookers;
	size_t looker_count;
	struct root_on_path *roots;
	size_t root_count;
};

/* ---- which generations count ------------------------------------------------ */

/** Numbers of all generations up to one, newest first, and which of them are needed. */
struct candidates {
	struct candidate {
		uint64_t number;
		bool needed;
	} * items;
	size_t count;
	size_t capacity;
};

/** Makes room for one more item of `size` bytes. */
static int grow(
    void **items, size_t count, size_t *capacity, size_t size, struct fsmeta_error *error)
{
	size_t wanted = *capacity ? 2 * *capacity : 16;
	void *grown;

	if (count < *capacity)
		return 0;
	grown = reallocarray(*items, wanted, size);
	if (!grown)
		return fsmeta_error_set_memory(error, action);
	*items = grown;
	*capacity = wanted;
	return 0;
}

static int add_candidate(
    struct candidates *candidates, uint64_t number, bool needed, struct fsmeta_error *error)
{
	void *items = candidates->items;
	int code = grow(
	    &items, candidates->count, &candidates->capacity, sizeof(*candidates->items), error);

	candidates->items = items;
	if (!code)
		candidates->items[candidates->count++] =
		    (struct candidate){.number = number, .needed = needed};
	return code;
}

static int list_candidates(struct candidates *candidates, const struct fsmeta_carried *carried,
    uint64_t generation, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int code = add_candidate(candidates, generation, true, error);

	if (!code)
		code = fsmeta_connection_prepare(&statement, carried->connection,
		    "SELECT number FROM generation WHERE number < ?1 ORDER BY number DESC", error);
	if (!code)
		sqlite3_bind_int64(statement, 1, (int64_t)generation);
	while (!code && (code = fsmeta_connection_step(carried->connection, statement, error)) > 0)
		code = add_candidate(
		    candidates, (uint64_t)sqlite3_column_int64(statement, 0), false, error);
	sqlite3_finalize(statement);
	return code;
}

/** The generation before `number` may be in a run, too. */
static void need_before(struct candidates *candidates, uint64_t number)
{
	size_t low = 0, high = candidates->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (candidates->items[middle].number >= number)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < candidates->count)
		candidates->items[low].needed = true;
}

/** Loads the intervals that cover the generation. */
static int load_intervals(struct fsmeta_carried *carried, sqlite3_stmt *statement,
    struct candidates *candidates, uint64_t number, struct fsmeta_error *error)
{
	int code = 0;

	sqlite3_reset(statement);
	sqlite3_bind_int64(statement, 1, (int64_t)number);
	while (
	    !code && (code = fsmeta_connection_step(carried->connection, statement, error)) > 0) {
		void *items = carried->intervals;

		code = grow(&items, carried->interval_count, &carried->interval_capacity,
		    sizeof(*carried->intervals), error);
		carried->intervals = items;
		if (code)
			break;
		carried->intervals[carried->interval_count++] = (struct interval){
		    .root = sqlite3_column_int64(statement, 0),
		    .since = sqlite3_column_int64(statement, 1),
		    .until = sqlite3_column_int64(statement, 2),
		    .whole = sqlite3_column_int(statement, 3) != 0,
		};
		need_before(candidates, (uint64_t)sqlite3_column_int64(statement, 1));
	}
	return code;
}

/** Notes the generation's scope. */
static int add_looker(struct fsmeta_carried *carried, uint64_t number,
    const struct fsmeta_batch_source *source, struct fsmeta_error *error)
{
	struct fsmeta_batch_source subtrees = {0};
	struct looker *grown =
	    reallocarray(carried->lookers, carried->looker_count + 1, sizeof(*grown));
	struct looker *looker;
	int code = 0;

	if (!grown)
		return fsmeta_error_set_memory(error, action);
	carried->lookers = grown;
	looker = &grown[carried->looker_count++];
	*looker = (struct looker){.number = number};
	if (!source) {
		looker->row = calloc(1, sizeof(*looker->row));
		if (!looker->row)
			return fsmeta_error_set_memory(error, action);
		code = fsmeta_generation_load(looker->row, carried->connection, number, error);
		source = &looker->row->source;
	}
	if (code)
		return code;
	/* What was excluded is in the intervals. */
	subtrees.subtrees = source->subtrees;
	return fsmeta_scope_init(&looker->scope, &subtrees) ? fsmeta_error_set_memory(error, action)
							    : 0;
}

static int find_lookers(struct fsmeta_carried *carried, struct candidates *candidates,
    const struct fsmeta_batch_source *source, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_connection_prepare(&statement, carried->connection,
	    "SELECT root, since, ifnull(until, 9223372036854775807), whole FROM unknown"
	    " WHERE since <= ?1 AND (until IS NULL OR until > ?1)",
	    error);

	for (size_t i = 0; i < candidates->count && !code; i++) {
		uint64_t number = candidates->items[i].number;

		if (!candidates->items[i].needed)
			continue;
		code = add_looker(carried, number, i ? NULL : source, error);
		if (code)
			break;
		if (carried->lookers[carried->looker_count - 1].scope.count)
			need_before(candidates, number);
		code = load_intervals(carried, statement, candidates, number, error);
	}
	sqlite3_finalize(statement);
	return code;
}

static int compare_intervals(const void *left, const void *right)
{
	const struct interval *a = left, *b = right;

	if (a->root != b->root)
		return a->root < b->root ? -1 : 1;
	return (a->since > b->since) - (a->since < b->since);
}

/** One that covers several generations was loaded for each. */
static void sort_intervals(struct fsmeta_carried *carried)
{
	size_t kept = 0;

	if (carried->interval_count)
		qsort(carried->intervals, carried->interval_count, sizeof(*carried->intervals),
		    compare_intervals);
	for (size_t i = 0; i < carried->interval_count; i++)
		if (!kept ||
		    compare_intervals(&carried->intervals[kept - 1], &carried->intervals[i]) != 0)
			carried->intervals[kept++] = carried->intervals[i];
	carried->interval_count = kept;
}

int fsmeta_carried_new(struct fsmeta_carried **out, const struct fsmeta_connection *connection,
    uint64_t generation, const struct fsmeta_batch_source *source, struct fsmeta_error *error)
{
	struct fsmeta_carried *carried = calloc(1, sizeof(*carried));
	struct candidates candidates = {0};
	int code;

	*out = NULL;
	if (!carried)
		return fsmeta_error_set_memory(error, action);
	carried->connection = connection;
	code = list_candidates(&candidates, carried, generation, error);
	if (!code)
		code = find_lookers(carried, &candidates, source, error);
	sort_intervals(carried);
	if (!code && carried->interval_count) {
		carried->roots = calloc(carried->interval_count, sizeof(*carried->roots));
		if (!carried->roots)
			code = fsmeta_error_set_memory(error, action);
	}
	free(candidates.items);
	if (code) {
		fsmeta_carried_free(carried);
		return code;
	}
	*out = carried;
	return 0;
}

void fsmeta_carried_free(struct fsmeta_carried *carried)
{
	if (!carried)
		return;
	for (size_t i = 0; i < carried->looker_count; i++) {
		fsmeta_scope_release(&carried->lookers[i].scope);
		if (carried->lookers[i].row)
			fsmeta_db_generation_release(carried->lookers[i].row);
		free(carried->lookers[i].row);
	}
	free(carried->lookers);
	free(carried->intervals);
	free(carried->roots);
	free(carried);
}

/* ---- judging an entry ---------------------------------------------------------- */

/** The intervals of one id; count 0 = none. */
static struct root_on_path find_intervals(
    const struct fsmeta_carried *carried, int64_t id, uint32_t depth)
{
	struct root_on_path found = {.depth = depth};
	size_t low = 0, high = carried->interval_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (carried->intervals[middle].root < id)
			low = middle + 1;
		else
			high = middle;
	}
	found.first = low;
	while (low < carried->interval_count && carried->intervals[low].root == id)
		low++;
	found.count = low - found.first;
	return found;
}

/** The earliest since of those that cover the generation, or `since` where that is earlier. */
static uint64_t earliest(const struct fsmeta_carried *carried, const struct root_on_path *root,
    uint64_t number, bool whole_only, uint64_t since)
{
	for (size_t i = root->first; i < root->first + root->count; i++) {
		const struct interval *interval = &carried->intervals[i];
		uint64_t begins = (uint64_t)interval->since;

		if (begins <= number && interval->until > (int64_t)number &&
		    (interval->whole || !whole_only) && (!since || begins < since))
			since = begins;
	}
	return since;
}

/** What is asked about: an entry, or all that is below a folder with one answer. */
struct question {
	const struct fsmeta_carried_entry *entry;
	const struct root_on_path *own;
	bool below;
};

/** First generation of a run that is known to go up to this one, 0 = it looked. */
static uint64_t step_back(const struct fsmeta_carried *carried, const struct looker *looker,
    const struct question *question)
{
	const struct fsmeta_carried_entry *entry = question->entry;
	uint64_t since = 0;
	bool looked = question->below
			  ? fsmeta_scope_holds(&looker->scope, entry->path, entry->length)
			  : fsmeta_scope_judge(&looker->scope, entry->path, entry->length, true) !=
				FSMETA_SCOPE_NOT_ASKED;

	if (!looked)
		since = looker->number;
	for (size_t i = 0; i < carried->root_count; i++)
		since = earliest(carried, &carried->roots[i], looker->number, false, since);
	return earliest(carried, question->own, looker->number, !question->below, since);
}

static uint64_t walk_back(const struct fsmeta_carried *carried, const struct question *question)
{
	uint64_t since = 0;

	for (size_t i = 0; i < carried->looker_count; i++) {
		uint64_t begins;

		/* It belongs to the run already. */
		if (since && carried->lookers[i].number >= since)
			continue;
		begins = step_back(carried, &carried->lookers[i], question);
		if (!begins)
			break;
		since = begins;
	}
	return since;
}

/** The way to somebody's sub-tree leads through this folder. */
static bool is_on_the_way(
    const struct fsmeta_carried *carried, const struct fsmeta_carried_entry *entry)
{
	for (size_t i = 0; i < carried->looker_count; i++) {
		const struct fsmeta_scope *scope = &carried->lookers[i].scope;

		if (scope->count &&
		    fsmeta_scope_judge(scope, entry->path, entry->length, true) !=
			FSMETA_SCOPE_NOT_ASKED &&
		    !fsmeta_scope_holds(scope, entry->path, entry->length))
			return true;
	}
	return false;
}

uint64_t fsmeta_carried_since(struct fsmeta_carried *carried,
    const struct fsmeta_carried_entry *entry, struct fsmeta_carried_below *below)
{
	struct root_on_path own = find_intervals(carried, entry->id, entry->depth);
	struct question question = {.entry = entry, .own = &own};
	uint64_t since;

	while (carried->root_count && carried->roots[carried->root_count - 1].depth >= entry->depth)
		carried->root_count--;
	if (entry->above && !entry->above->varies && !own.count) {
		if (below)
			*below = *entry->above;
		return entry->above->since;
	}
	since = walk_back(carried, &question);
	if (!below)
		return since;
	below->varies = is_on_the_way(carried, entry);
	question.below = true;
	below->since = below->varies ? 0 : walk_back(carried, &question);
	/* Only in a crafted file could there be more, by a folder that lies in itself. */
	if (own.count && carried->root_count < carried->interval_count)
		carried->roots[carried->root_count++] = own;
	return since;
}
