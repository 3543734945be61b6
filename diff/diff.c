/*
 * A diff from its two cursors to its replay:
 *
 *     fsmeta_merge()  ──►  change spool  ──►  replay, once or more, into any sink
 *           └──────► moves ─────┘
 *               (pairs what is left on one side alone and makes another spool)
 *
 * Two sides meet in merge.c, two entries are judged in compare.c, what went and what
 * came meet in moves.c, and change_spool.c remembers.
 */
#include "diff/diff.h"

#include "diff/change_spool.h"
#include "diff/merge.h"
#include "diff/moves.h"

#include <stdlib.h>

struct fsmeta_diff {
	struct fsmeta_change_spool *changes;
	/** *Borrowed* from the options; may be NULL. */
	const volatile sig_atomic_t *stop;
	struct fsmeta_diff_counts counts;
};

/** Both passes; the spool with moves takes the place of the one without. */
static int compare(struct fsmeta_diff *diff, struct fsmeta_cursor *a, struct fsmeta_cursor *b,
    const struct fsmeta_diff_options *options, struct fsmeta_error *error)
{
	struct fsmeta_change_spool *with_moves = NULL;
	struct fsmeta_moves *moves = NULL;
	struct fsmeta_compare compare;
	int code = 0;

	fsmeta_compare_init(&compare, a->source, b->source, options);
	if (options->moves)
		code = fsmeta_moves_new(&moves, &compare, diff->changes, error);
	if (!code)
		code = fsmeta_merge(diff->changes, &diff->counts, moves, &compare, a, b, error);
	if (!code && moves)
		code = fsmeta_moves_resolve(&with_moves, moves, &diff->counts, error);
	if (!code && with_moves) {
		fsmeta_change_spool_free(diff->changes);
		diff->changes = with_moves;
	}
	fsmeta_moves_free(moves);
	fsmeta_compare_release(&compare);
	return code;
}

int fsmeta_diff_run(struct fsmeta_diff **out, struct fsmeta_cursor *a, struct fsmeta_cursor *b,
    const struct fsmeta_diff_options *options, struct fsmeta_error *error)
{
	struct fsmeta_diff *diff = calloc(1, sizeof(*diff));
	int code;

	*out = NULL;
	if (!diff)
		return fsmeta_error_set_memory(error, "comparing");
	diff->stop = options->stop;
	code = fsmeta_change_spool_new(&diff->changes, options->spool_bytes, error);
	if (!code)
		code = compare(diff, a, b, options, error);
	if (code) {
		fsmeta_diff_free(diff);
		return code;
	}
	*out = diff;
	return 0;
}

/** A sink in front of the sink, which stops when it is told to. */
struct stoppable_sink {
	/** First, so that the sink is this. */
	struct fsmeta_change_sink sink;
	struct fsmeta_change_sink *inner;
	const volatile sig_atomic_t *stop;
};

static int hand_on(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct stoppable_sink *stoppable = (struct stoppable_sink *)sink;

	if (*stoppable->stop)
		return fsmeta_error_set(
		    error, FSMETA_E_STOPPED, NULL, "telling changes", "stopped on request");
	return stoppable->inner->change(stoppable->inner, change, error);
}

static int replay(struct fsmeta_diff *diff, struct fsmeta_change_sink *sink, bool names_only,
    struct fsmeta_error *error)
{
	struct stoppable_sink stoppable = {
	    .sink = {.change = hand_on}, .inner = sink, .stop = diff->stop};

	if (diff->stop)
		sink = &stoppable.sink;
	return names_only ? fsmeta_change_spool_replay_names(diff->changes, sink, error)
			  : fsmeta_change_spool_replay(diff->changes, sink, error);
}

int fsmeta_diff_replay(
    struct fsmeta_diff *diff, struct fsmeta_change_sink *sink, struct fsmeta_error *error)
{
	return replay(diff, sink, false, error);
}

int fsmeta_diff_replay_names(
    struct fsmeta_diff *diff, struct fsmeta_change_sink *sink, struct fsmeta_error *error)
{
	return replay(diff, sink, true, error);
}

const struct fsmeta_diff_counts *fsmeta_diff_get_counts(const struct fsmeta_diff *diff)
{
	return &diff->counts;
}

bool fsmeta_diff_has_changes(const struct fsmeta_diff *diff)
{
	uint64_t changes = 0;

	for (size_t i = 0; i < sizeof(diff->counts.kinds) / sizeof(diff->counts.kinds[0]); i++)
		changes += diff->counts.kinds[i];
	return changes > diff->counts.continued;
}

void fsmeta_diff_free(struct fsmeta_diff *diff)
{
	if (!diff)
		return;
	fsmeta_change_spool_free(diff->changes);
	free(diff);
}
