/*
 * Three things are read, and each only once:
 *
 *     table of generations      every number, time and total: how the archive grew
 *     differences               from `older` to `newer`, and of each of the last steps; in time in
 *                               proportion to what changed
 *     the tree at `newer`       all of it, for the sums of its folders: this is what takes long
 *
 * What changed is counted from changes of the reported notion, as `diff` tells them: the database's
 * own counts are of the stored notion, in which a new ctime is a change, and know no bytes.  What
 * means nothing (diff/churn.h) is counted apart, and is no change here.
 */
#include "tools/report_gather.h"

#include "tools/churn.h"
#include "tools/command.h"

#include <string.h>

static const char action[] = "gathering the report";

void fsmeta_report_release(struct fsmeta_report *report)
{
	fsmeta_diff_free(report->diff);
	fsmeta_cursor_close(report->cursors[0]);
	fsmeta_cursor_close(report->cursors[1]);
	fsmeta_report_tree_free(report->tree);
	fsmeta_report_archive_release(&report->archive);
	fsmeta_db_unknown_places_release(&report->unknown);
	fsmeta_db_generation_release(&report->generation);
	fsmeta_buffer_release(&report->generations);
	memset(report, 0, sizeof(*report));
}

/* ---- generations ----------------------------------------------------------------- */

static int take_generation(const struct fsmeta_db_generation *generation, void *payload)
{
	struct fsmeta_report *report = payload;
	const struct fsmeta_totals *totals = &generation->source.totals;
	const struct fsmeta_report_generation row = {
	    .number = generation->number,
	    .finished = generation->source.finished,
	    .entries = totals->entries,
	    .files = totals->files,
	    .bytes = totals->bytes,
	    .carried = totals->carried,
	    .unreadable = totals->unreadable,
	    .pruned = generation->pruned,
	};

	return fsmeta_buffer_append(&report->generations, &row, sizeof(row));
}

/** The kept generation before `number`, 0 for none. */
static uint64_t kept_before(const struct fsmeta_report *report, uint64_t number)
{
	const struct fsmeta_report_generation *rows;
	uint64_t before = 0;
	size_t count;

	rows = fsmeta_report_generations(report, &count);
	for (size_t i = 0; i < count && rows[i].number < number; i++)
		if (!rows[i].pruned)
			before = rows[i].number;
	return before;
}

static int choose_generations(struct fsmeta_report *report, struct fsmeta_db *db, const char *older,
    const char *newer, struct fsmeta_error *error)
{
	int status = fsmeta_db_each_generation(db, error, take_generation, report);

	if (status == FSMETA_E_MEMORY)
		fsmeta_error_set_memory(error, action);
	if (!status)
		status = fsmeta_db_resolve(db, newer, &report->newer, error);
	if (status)
		return status;
	if (!older) {
		report->older = kept_before(report, report->newer);
		return 0;
	}
	status = fsmeta_db_resolve(db, older, &report->older, error);
	if (!status && report->older >= report->newer)
		return fsmeta_error_set(error, FSMETA_E_USAGE, NULL, action,
		    "generation %llu is not older than generation %llu",
		    (unsigned long long)report->older, (unsigned long long)report->newer);
	return status;
}

/* ---- changes --------------------------------------------------------------------- */

/** A taker of changes that counts them. */
struct counter {
	/** First, so that the sink is the counter. */
	struct fsmeta_change_sink sink;
	struct fsmeta_report_sums *sums;
	/** Takes them too, if it is there. */
	struct fsmeta_report_tree *tree;
};

static void count_change(struct fsmeta_report_sums *sums, const struct fsmeta_change *change)
{
	const struct fsmeta_entry *entry = fsmeta_change_entry(change);
	enum fsmeta_change_kind kind = change->kind;
	bool is_folder = entry->type == FSMETA_TYPE_FOLDER;

	sums->lines++;
	sums->outer_lines += !(change->flags & FSMETA_CHANGE_INSIDE);
	sums->counts[kind]++;
	if (entry->type == FSMETA_TYPE_FILE)
		sums->bytes[kind] += entry->size;
	if (kind == FSMETA_CHANGE_MODIFIED && entry->type == FSMETA_TYPE_FILE)
		sums->modified_bytes_before += change->before->size;
	/* What came or went with its folder has a change of its own; what else happened to a folder
	   happened to all that is in it without further words. */
	if (is_folder && kind != FSMETA_CHANGE_ADDED && kind != FSMETA_CHANGE_REMOVED &&
	    kind != FSMETA_CHANGE_MODIFIED) {
		sums->counts[kind] += change->entries;
		sums->bytes[kind] += change->bytes;
	}
}

static int take_change(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct counter *counter = (struct counter *)sink;

	(void)error;
	if (!fsmeta_report_tells(change))
		return 0;
	count_change(counter->sums, change);
	if (counter->tree)
		fsmeta_report_tree_change(counter->tree, change);
	return 0;
}

/** Compares two generations; the cursors are needed as long as the diff. */
static int compare(struct fsmeta_diff **diff, struct fsmeta_cursor *cursors[2],
    struct fsmeta_db *db, uint64_t older, uint64_t newer, struct fsmeta_error *error)
{
	static const struct fsmeta_diff_options options = {
	    .moves = FSMETA_DIFF_MOVES_BY_ID | FSMETA_DIFF_MOVES_BY_EVIDENCE,
	    .stop = &fsmeta_stop_signal,
	};
	static const struct fsmeta_db_cursor_options cursor_options = {.stop = &fsmeta_stop_signal};
	const uint64_t numbers[2] = {older, newer};
	int status =
	    fsmeta_db_difference_cursors(cursors, db, NULL, numbers, &cursor_options, error);

	return status ? status : fsmeta_diff_run(diff, cursors[0], cursors[1], &options, error);
}

/**
 * Hands all changes but churn to the counter, says what churn there was, and tells the rest to the
 * archives.
 */
static int count_changes(struct fsmeta_report *report, struct counter *counter,
    struct fsmeta_report_way *way, struct fsmeta_cursor *const cursors[2],
    struct fsmeta_churn_finding *churn, struct fsmeta_error *error)
{
	struct fsmeta_churn_filter filter;
	int status = fsmeta_churn_filter_init(&filter, way->diff, cursors[0]->source,
	    cursors[1]->source, true, &counter->sink, error);

	way->churn = &filter;
	way->source = cursors[1]->source;
	if (!status)
		status = fsmeta_diff_replay(way->diff, &filter.sink, error);
	for (int rule = 0; filter.churn && rule < FSMETA_CHURN_RULES; rule++)
		churn[rule] = *fsmeta_churn_finding(filter.churn, (enum fsmeta_churn_rule)rule);
	if (!status)
		status = fsmeta_report_archive_way(&report->archive, way, error);
	fsmeta_churn_filter_release(&filter);
	return status;
}

static int gather_step(struct fsmeta_report *report, struct fsmeta_report_step *step,
    struct fsmeta_db *db, struct fsmeta_error *error)
{
	struct counter counter = {.sink = {take_change}, .sums = &step->sums};
	struct fsmeta_report_way way = {
	    .db = db, .older = step->older, .newer = step->newer, .is_step = true};
	struct fsmeta_churn_finding churn[FSMETA_CHURN_RULES];
	struct fsmeta_cursor *cursors[2] = {NULL, NULL};
	int status = compare(&way.diff, cursors, db, step->older, step->newer, error);

	if (!status)
		status = count_changes(report, &counter, &way, cursors, churn, error);
	fsmeta_diff_free(way.diff);
	fsmeta_cursor_close(cursors[0]);
	fsmeta_cursor_close(cursors[1]);
	return status;
}

/** The last steps up to `newer`; one that is the very comparison asked for is not made twice. */
static int gather_steps(
    struct fsmeta_report *report, struct fsmeta_db *db, struct fsmeta_error *error)
{
	uint64_t newer = report->newer, older;
	size_t count = 0;
	int status = 0;

	while (count < FSMETA_REPORT_STEPS_MAX && (older = kept_before(report, newer))) {
		struct fsmeta_report_step *step = &report->steps[FSMETA_REPORT_STEPS_MAX - ++count];

		step->older = older;
		step->newer = newer;
		newer = older;
	}
	memmove(report->steps, report->steps + FSMETA_REPORT_STEPS_MAX - count,
	    count * sizeof(report->steps[0]));
	report->step_count = count;
	for (size_t i = 0; i < count && !status; i++) {
		struct fsmeta_report_step *step = &report->steps[i];

		if (step->older == report->older && step->newer == report->newer)
			step->sums = report->sums;
		else
			status = gather_step(report, step, db, error);
	}
	return status;
}

/* ---- the tree -------------------------------------------------------------------- */

static int gather_tree(struct fsmeta_report *report, struct fsmeta_db *db,
    enum fsmeta_progress_when progress, struct fsmeta_error *error)
{
	static const struct fsmeta_db_cursor_options options = {.stop = &fsmeta_stop_signal};
	struct fsmeta_cursor *cursor = NULL;
	const struct fsmeta_entry *entry;
	int status = fsmeta_report_tree_new(&report->tree, error);

	if (!status)
		status = fsmeta_report_archive_begin(&report->archive, error);
	if (!status)
		status = fsmeta_db_cursor(&cursor, db, report->newer, &options, error);
	if (!status)
		status = fsmeta_progress_wrap(&cursor, progress, "reporting",
		    report->generation.source.totals.entries, error);
	if (!status)
		while ((status = fsmeta_cursor_next(cursor, &entry, error)) > 0) {
			status = fsmeta_report_tree_entry(report->tree, entry, error);
			if (!status)
				status =
				    fsmeta_report_archive_entry(&report->archive, entry, error);
			if (!status)
				status = fsmeta_check_stop(error);
			if (status)
				break;
		}
	fsmeta_cursor_close(cursor);
	if (!status)
		status = fsmeta_report_archive_end(&report->archive, error);
	return status ? status : fsmeta_report_tree_finish(report->tree, error);
}

static int gather_changes(
    struct fsmeta_report *report, struct fsmeta_db *db, struct fsmeta_error *error)
{
	struct counter counter = {
	    .sink = {take_change}, .sums = &report->sums, .tree = report->tree};
	struct fsmeta_report_way way = {.db = db,
	    .older = report->older,
	    .newer = report->newer,
	    .is_step = report->older == kept_before(report, report->newer),
	    .is_asked = true};
	int status;

	if (!report->older)
		return 0;
	status = compare(&report->diff, report->cursors, db, report->older, report->newer, error);
	way.diff = report->diff;
	return status
		   ? status
		   : count_changes(report, &counter, &way, report->cursors, report->churn, error);
}

int fsmeta_report_gather(struct fsmeta_report *report, struct fsmeta_db *db, const char *older,
    const char *newer, enum fsmeta_progress_when progress, struct fsmeta_error *error)
{
	int status = choose_generations(report, db, older, newer, error);

	if (!status)
		status = fsmeta_db_generation(db, report->newer, &report->generation, error);
	if (!status)
		status = fsmeta_db_unknown_places(&report->unknown, db, report->newer, error);
	if (!status)
		status = gather_tree(report, db, progress, error);
	if (!status)
		status = gather_changes(report, db, error);
	return status ? status : gather_steps(report, db, error);
}
