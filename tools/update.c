#include "tools/update.h"

#include "diff/diff.h"
#include "tools/command.h"
#include "tools/stories.h"

#include <inttypes.h>
#include <string.h>

enum {
	/** Below so many entries a large share of them says nothing. */
	GUARD_MIN_ENTRIES = 1000,
};

void fsmeta_update_options_init(struct fsmeta_update_options *options)
{
	memset(options, 0, sizeof(*options));
	options->max_removed_percent = 50;
}

/* ---- guards: a partial view is never taken for a deletion --------------- */

/** Nothing is there but the root, which was once filled. */
static bool is_emptied(const struct fsmeta_db_generation *base, const struct fsmeta_cursor *cursor,
    const struct fsmeta_diff_counts *counts)
{
	return counts->entries_b <= 1 && !counts->runs_stepped && base->source.totals.entries > 1 &&
	       !cursor->source->unreadable.total;
}

/** A disk that is not mounted is another source, and most likely that is what happened. */
static int add_question(const char *label, struct fsmeta_error *error)
{
	return fsmeta_error_set(error, FSMETA_E_REFUSED, error->path, error->action,
	    "%s; %s is empty: is it mounted?", error->reason, label);
}

static int guard_empty(const struct fsmeta_db_generation *base, const struct fsmeta_cursor *cursor,
    const struct fsmeta_diff_counts *counts, const struct fsmeta_update_options *options,
    struct fsmeta_error *error)
{
	if (options->accept_empty || !is_emptied(base, cursor, counts))
		return 0;
	return fsmeta_error_set(error, FSMETA_E_REFUSED, cursor->label,
	    "comparing with the newest generation",
	    "the root is empty, and generation %" PRIu64 " has %" PRIu64
	    " entries; is it mounted? (--accept-empty takes it as it is)",
	    base->number, base->source.totals.entries - 1);
}

/** On which file system an entry lies; NULL where that is not known. */
static const struct fsmeta_filesystem *filesystem_of(
    const struct fsmeta_batch_source *source, const struct fsmeta_entry *entry)
{
	return entry && entry->fields & FSMETA_FIELD_DEVICE &&
		       entry->device < source->filesystem_count
		   ? &source->filesystems[entry->device]
		   : NULL;
}

/** Where the root lies, if that changed; the tables of file systems do not say which is its. */
struct root_sink {
	struct fsmeta_change_sink sink;
	const struct fsmeta_batch_source *then;
	const struct fsmeta_batch_source *now;
	/** NULL = as it was, or not known. */
	const struct fsmeta_filesystem *before;
	const struct fsmeta_filesystem *after;
};

/** The root's change is the first, and no other one is asked for. */
static int take_root(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct root_sink *root = (struct root_sink *)sink;

	(void)error;
	if (change->before && change->after && !change->after->path_length) {
		root->before = filesystem_of(root->then, change->before);
		root->after = filesystem_of(root->now, change->after);
	}
	return 1;
}

static int find_root(struct root_sink *out, const struct fsmeta_cursor *before,
    const struct fsmeta_cursor *after, struct fsmeta_diff *diff, struct fsmeta_error *error)
{
	*out = (struct root_sink){
	    .sink.change = take_root, .then = before->source, .now = after->source};
	return fsmeta_diff_replay(diff, &out->sink, error);
}

static int guard_filesystem(const struct fsmeta_db_generation *base, const struct root_sink *root,
    const struct fsmeta_cursor *cursor, const struct fsmeta_update_options *options,
    struct fsmeta_error *error)
{
	if (options->accept_other_filesystem || !root->before || !root->after ||
	    !root->before->uuid[0] || !root->after->uuid[0] ||
	    strcmp(root->before->uuid, root->after->uuid) == 0)
		return 0;
	return fsmeta_error_set(error, FSMETA_E_REFUSED, cursor->label,
	    "comparing with the newest generation",
	    "the root lies on file system %s, and generation %" PRIu64
	    " on %s (--accept-other-filesystem takes it as it is)",
	    root->after->uuid, base->number, root->before->uuid);
}

static bool has_filesystem(
    const struct fsmeta_batch_source *source, const struct fsmeta_filesystem *wanted)
{
	for (size_t i = 0; i < source->filesystem_count; i++) {
		const struct fsmeta_filesystem *one = &source->filesystems[i];

		if (strcmp(one->uuid, wanted->uuid) == 0 && strcmp(one->type, wanted->type) == 0 &&
		    (wanted->uuid[0] || strcmp(one->label, wanted->label) == 0))
			return true;
	}
	return false;
}

/** Counts what went with a file system below the root that the scan did not meet. */
struct absence_sink {
	struct fsmeta_change_sink sink;
	const struct root_sink *root;
	/** One of those that are missing; NULL = none. */
	const struct fsmeta_filesystem *missing;
	uint64_t entries;
};

static int take_absence(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct absence_sink *absence = (struct absence_sink *)sink;
	const struct fsmeta_filesystem *filesystem;

	(void)error;
	if (change->kind != FSMETA_CHANGE_REMOVED)
		return 0;
	filesystem = filesystem_of(absence->root->then, change->before);
	/* The root's is not below it; what was not entered is one folder. */
	if (!filesystem || filesystem == absence->root->before ||
	    change->before->flags & FSMETA_FLAG_OTHER_FILESYSTEM)
		return 0;
	if (filesystem == absence->missing || !has_filesystem(absence->root->now, filesystem)) {
		absence->missing = filesystem;
		absence->entries++;
	}
	return 0;
}

/** A disk below the root that is not mounted leaves an empty folder, or none. */
static int guard_mounts(const struct fsmeta_db_generation *base, const struct root_sink *root,
    const struct fsmeta_cursor *cursor, struct fsmeta_diff *diff,
    const struct fsmeta_update_options *options, struct fsmeta_error *error)
{
	struct absence_sink absence = {.sink.change = take_absence, .root = root};
	int status;

	if (options->accept_other_filesystem || !base->source.cross_filesystems)
		return 0;
	status = fsmeta_diff_replay(diff, &absence.sink, error);
	if (status < 0 || !absence.missing)
		return status;
	return fsmeta_error_set(error, FSMETA_E_REFUSED, cursor->label,
	    "comparing with the newest generation",
	    "%" PRIu64 " entries are gone with file system %s (%s), which was entered in "
	    "generation %" PRIu64 " and is not there; is it mounted? "
	    "(--accept-other-filesystem takes it as it is)",
	    absence.entries, absence.missing->uuid[0] ? absence.missing->uuid : "without UUID",
	    absence.missing->type, base->number);
}

static double percent_of(uint64_t removed, uint64_t before)
{
	return 100.0 * (double)removed / (double)before;
}

/** Where the base is read again. */
struct base_place {
	struct fsmeta_db *db;
	uint64_t number;
};

static int open_base(void *payload, struct fsmeta_cursor **out, struct fsmeta_error *error)
{
	static const struct fsmeta_db_cursor_options options = {.stop = &fsmeta_stop_signal};
	const struct base_place *place = payload;

	return fsmeta_db_cursor(out, place->db, place->number, &options, error);
}

/** What a recorder rotated out and a frame store deleted is no loss; sets *removed to what is left.
 */
static int leave_expected_out(uint64_t *removed, struct fsmeta_db *db, uint64_t number,
    struct fsmeta_diff *diff, const struct fsmeta_cursor *cursor, struct fsmeta_error *error)
{
	struct base_place place = {db, number};
	struct fsmeta_archive_events *events;
	int status = fsmeta_stories_gather(&events, diff, cursor->source, open_base, error, &place);
	uint64_t expected;

	if (status < 0 || !events)
		return status;
	expected = fsmeta_archive_events_expected_removals(events);
	*removed -= expected < *removed ? expected : *removed;
	fsmeta_archive_events_free(events);
	return 0;
}

static int guard_removed(struct fsmeta_db *db, const struct fsmeta_db_generation *base,
    const struct fsmeta_cursor *cursor, struct fsmeta_diff *diff,
    const struct fsmeta_update_options *options, double limit, struct fsmeta_error *error)
{
	uint64_t before = base->source.totals.entries;
	uint64_t all = fsmeta_diff_get_counts(diff)->kinds[FSMETA_CHANGE_REMOVED], removed = all;
	double percent;
	int status;

	if (before < GUARD_MIN_ENTRIES || options->accept_removed || limit >= 100 ||
	    percent_of(removed, before) <= limit)
		return 0;
	status = leave_expected_out(&removed, db, base->number, diff, cursor, error);
	percent = percent_of(removed, before);
	if (status < 0 || percent <= limit)
		return status;
	return fsmeta_error_set(error, FSMETA_E_REFUSED, cursor->label,
	    "comparing with the newest generation",
	    "%" PRIu64 " of %" PRIu64 " entries are gone (%.0f%%, more than %g%%)%s; "
	    "--accept-removed takes it as it is, this once",
	    removed, before, percent, limit,
	    removed < all ? ", those aside that archives rotated out or deleted" : "");
}

/* ---- the two ways in ----------------------------------------------------- */

static int commit(struct fsmeta_db_generation *out, struct fsmeta_db_update *update,
    const struct fsmeta_update_options *options, struct fsmeta_error *error)
{
	int status = 0;

	if (options->has_max_removed)
		status =
		    fsmeta_db_update_keep_max_removed(update, options->max_removed_percent, error);
	if (status >= 0)
		status = fsmeta_db_update_finish(update, error);
	if (status >= 0 && options->before_commit)
		status = options->before_commit(options->before_commit_payload, update, error);
	if (status < 0) {
		fsmeta_db_update_abort(update);
		return status;
	}
	return fsmeta_db_update_commit(update, out, error);
}

static int update_first(struct fsmeta_db_generation *out, struct fsmeta_db *db,
    struct fsmeta_cursor *cursor, const struct fsmeta_update_options *options,
    struct fsmeta_error *error)
{
	struct fsmeta_change change = {.kind = FSMETA_CHANGE_ADDED};
	struct fsmeta_db_update *update = NULL;
	struct fsmeta_change_sink *sink;
	int status;

	status = fsmeta_db_update_begin(&update, db, 0, cursor->source, error);
	if (status < 0)
		return status;
	sink = fsmeta_db_update_sink(update);
	while ((status = fsmeta_cursor_next(cursor, &change.after, error)) > 0) {
		status = sink->change(sink, &change, error);
		if (status >= 0)
			status = fsmeta_check_stop(error);
		if (status < 0)
			break;
		/* What lies below a new folder is inside it, as a diff would say. */
		change.flags = FSMETA_CHANGE_INSIDE;
	}
	if (status < 0) {
		fsmeta_db_update_abort(update);
		return status;
	}
	return commit(out, update, options, error);
}

/** Passes changes on, and notes what is corrupted. */
struct noting_sink {
	struct fsmeta_change_sink sink;
	struct fsmeta_change_sink *inner;
	struct fsmeta_corruption *corrupted;
};

static int note_change(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct noting_sink *noting = (struct noting_sink *)sink;

	if (change->kind == FSMETA_CHANGE_CORRUPTED)
		fsmeta_corruption_add(noting->corrupted, change->after);
	return noting->inner->change(noting->inner, change, error);
}

static int apply(struct fsmeta_diff *diff, struct fsmeta_db_update *update,
    struct fsmeta_corruption *corrupted, struct fsmeta_error *error)
{
	struct noting_sink noting = {
	    .sink.change = note_change,
	    .inner = fsmeta_db_update_sink(update),
	    .corrupted = corrupted,
	};
	bool notes = corrupted && fsmeta_diff_get_counts(diff)->kinds[FSMETA_CHANGE_CORRUPTED];

	return fsmeta_diff_replay(diff, notes ? &noting.sink : noting.inner, error);
}

static int update_next(struct fsmeta_db_generation *out, struct fsmeta_db *db, uint64_t number,
    struct fsmeta_cursor *cursor, const struct fsmeta_update_options *options,
    struct fsmeta_error *error)
{
	struct fsmeta_diff_options diff_options = {
	    .notion = FSMETA_DIFF_STORED,
	    .moves = options->no_moves ? 0 : FSMETA_DIFF_MOVES_BY_EVIDENCE,
	    .spool_bytes = options->spool_bytes,
	    .stop = &fsmeta_stop_signal,
	};
	const struct fsmeta_db_cursor_options cursor_options = {
	    .offer_files = options->quick,
	};
	struct fsmeta_db_generation base;
	struct root_sink root;
	struct fsmeta_db_update *update = NULL;
	struct fsmeta_cursor *before = NULL;
	struct fsmeta_diff *diff = NULL;
	double limit = options->max_removed_percent;
	int status;

	status = fsmeta_db_generation(db, number, &base, error);
	if (status < 0)
		return status;
	if (!options->has_max_removed)
		status = fsmeta_db_max_removed(db, &limit, error);
	if (status >= 0)
		status = fsmeta_db_cursor(&before, db, number, &cursor_options, error);
	if (status >= 0)
		status = fsmeta_diff_run(&diff, before, cursor, &diff_options, error);
	/* Its identity first: what the guards say of another source means nothing. */
	if (status >= 0)
		status = fsmeta_db_update_begin(&update, db, number, cursor->source, error);
	if (status == FSMETA_E_REFUSED && diff &&
	    is_emptied(&base, cursor, fsmeta_diff_get_counts(diff)))
		status = add_question(cursor->label, error);
	if (status >= 0)
		status = find_root(&root, before, cursor, diff, error);
	if (status >= 0)
		status = guard_filesystem(&base, &root, cursor, options, error);
	if (status >= 0)
		status = guard_empty(&base, cursor, fsmeta_diff_get_counts(diff), options, error);
	if (status >= 0)
		status = guard_mounts(&base, &root, cursor, diff, options, error);
	if (status >= 0)
		status = guard_removed(db, &base, cursor, diff, options, limit, error);
	if (status >= 0)
		status = apply(diff, update, options->corrupted, error);
	if (status >= 0) {
		status = commit(out, update, options, error);
		update = NULL;
	}
	fsmeta_db_update_abort(update);
	fsmeta_diff_free(diff);
	fsmeta_cursor_close(before);
	fsmeta_db_generation_release(&base);
	return status;
}

int fsmeta_update_database(struct fsmeta_db_generation *out, struct fsmeta_db *db,
    const char *db_path, struct fsmeta_cursor *cursor, const struct fsmeta_update_options *options,
    struct fsmeta_error *error)
{
	uint64_t newest;
	int status = fsmeta_db_newest(db, &newest, error);

	if (status >= 0)
		status = newest ? update_next(out, db, newest, cursor, options, error)
				: update_first(out, db, cursor, options, error);
	if (status < 0)
		fsmeta_error_add_path(error, db_path);
	return status;
}
