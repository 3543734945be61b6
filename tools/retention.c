/*
 * Retention.  When a piece went, nobody saw; it was gone when the newer side was looked at:
 *
 *     older side            newer side
 *         |---- it went ----|
 *                           now
 *                |<- keep ->|
 *     ─────[ 1 ]─|───────────          was due, when it went late enough
 *     ────────[ 2|]──────────          likewise: recorders go by the beginning or by the end
 *     ───────────|─[ 3 ]─────          too early, whenever it went
 *
 * So what is called too early was, without a doubt.  `archive check` is stricter by a piece, as the
 * stream reaches back to the end of 2 alone.
 *
 * Who keeps for longer breaks no promise of keeping, but where a policy is also what the law
 * allows, it is said: of the oldest piece that is there, once it ended longer ago than the policy
 * and a day's round of rotation (of short policies a tenth) allow.
 */
#include "tools/retention.h"

#include "archive/piece.h"

#include <stdlib.h>
#include <string.h>

static const int64_t day_us = (int64_t)86400 * FSMETA_PIECE_SECOND_US;

/* ---- streams ---- */

static const struct fsmeta_policy *longest_for(
    const struct fsmeta_policies *policies, const struct fsmeta_archive_story *story)
{
	const struct fsmeta_policy *longest = NULL;

	for (size_t i = 0; i < policies->count; i++) {
		const struct fsmeta_policy *policy = &policies->items[i];

		if (policy->kind == FSMETA_POLICY_KEEP &&
		    fsmeta_policy_concerns(
			policy, story->layout, story->path, story->path_length) &&
		    (!longest || policy->duration_us > longest->duration_us))
			longest = policy;
	}
	return longest;
}

static int64_t overdue_by(const struct fsmeta_archive_story *story, int64_t due_us, int64_t keep_us)
{
	int64_t slack_us = keep_us / 10 < day_us ? keep_us / 10 : day_us;
	int64_t overdue_us;

	/* The oldest is there until its end is due. */
	if (story->oldest_us == INT64_MIN ||
	    __builtin_sub_overflow(due_us - FSMETA_PIECE_MAX_US, story->oldest_us, &overdue_us))
		return 0;
	return overdue_us > slack_us ? overdue_us : 0;
}

static void judge_story(struct fsmeta_retention_verdict *out,
    const struct fsmeta_archive_story *story, const struct fsmeta_policies *policies,
    int64_t now_us)
{
	out->policy = longest_for(policies, story);
	if (!out->policy)
		return;
	out->due_us = now_us - out->policy->duration_us;
	out->overdue_us = overdue_by(story, out->due_us, out->policy->duration_us);
}

const struct fsmeta_retention_verdict *fsmeta_retention_of(
    const struct fsmeta_retention *retention, const struct fsmeta_archive_story *story)
{
	const struct fsmeta_retention_verdict *verdict;

	if (!retention || !retention->count)
		return NULL;
	verdict = &retention->verdicts[story - retention->stories];
	return verdict->policy ? verdict : NULL;
}

/* ---- files ---- */

bool fsmeta_retention_is_early(
    const struct fsmeta_retention *retention, const struct fsmeta_archive_verdict *verdict)
{
	const struct fsmeta_retention_verdict *of_stream;

	if (verdict->event != FSMETA_EVENT_ROTATED)
		return false;
	of_stream = fsmeta_retention_of(retention, verdict->story);
	return of_stream && verdict->from_us > of_stream->due_us;
}

/** Counts pieces, whose files come one behind the other. */
struct counter {
	/** First, so that the sink is the counter. */
	struct fsmeta_change_sink sink;
	struct fsmeta_archive_events *events;
	struct fsmeta_retention *retention;
	/** The piece that was counted last. */
	const struct fsmeta_archive_story *story;
	int64_t from_us;
};

static int count_change(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct counter *counter = (struct counter *)sink;
	struct fsmeta_archive_verdict verdict;

	(void)error;
	if (!fsmeta_archive_events_judge(counter->events, &verdict, change) ||
	    !fsmeta_retention_is_early(counter->retention, &verdict) ||
	    (counter->story == verdict.story && counter->from_us == verdict.from_us))
		return 0;
	counter->story = verdict.story;
	counter->from_us = verdict.from_us;
	counter->retention->verdicts[verdict.story - counter->retention->stories].early++;
	return 0;
}

/** Something may have gone too early: mostly nothing did, and no change is looked at. */
static bool needs_counting(
    const struct fsmeta_retention *retention, const struct fsmeta_archive_events *events)
{
	size_t count;
	const struct fsmeta_archive_run *runs = fsmeta_archive_events_runs(events, &count);

	for (size_t i = 0; i < count; i++) {
		const struct fsmeta_retention_verdict *verdict;

		if (runs[i].event != FSMETA_EVENT_ROTATED || runs[i].story == UINT32_MAX)
			continue;
		verdict = fsmeta_retention_of(retention, &retention->stories[runs[i].story]);
		if (verdict && runs[i].sum.to_us > verdict->due_us)
			return true;
	}
	return false;
}

/* ---- all ---- */

int fsmeta_retention_judge(struct fsmeta_retention *out, struct fsmeta_archive_events *events,
    const struct fsmeta_policies *policies, struct fsmeta_diff *diff,
    struct fsmeta_churn_filter *churn, const struct fsmeta_batch_source *newer,
    struct fsmeta_error *error)
{
	struct counter counter = {.sink = {count_change}, .events = events, .retention = out};
	int64_t now_us = fsmeta_policy_now_us(newer);

	*out = (struct fsmeta_retention){0};
	if (!events || !policies->count)
		return 0;
	out->stories = fsmeta_archive_events_stories(events, &out->count);
	if (!out->count)
		return 0;
	out->verdicts = calloc(out->count, sizeof(*out->verdicts));
	if (!out->verdicts) {
		out->count = 0;
		return fsmeta_error_set_memory(error, "judging what was kept");
	}
	for (size_t i = 0; i < out->count; i++)
		judge_story(&out->verdicts[i], &out->stories[i], policies, now_us);
	if (!needs_counting(out, events))
		return 0;
	fsmeta_archive_events_rewind(events);
	return churn ? fsmeta_churn_filter_replay(churn, diff, &counter.sink, error)
		     : fsmeta_diff_replay(diff, &counter.sink, error);
}

void fsmeta_retention_release(struct fsmeta_retention *retention)
{
	free(retention->verdicts);
	*retention = (struct fsmeta_retention){0};
}
