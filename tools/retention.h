/*
 * What a policy of keeping says of changes: whether what was rotated out was due, and what should
 * have gone by now.
 */
#ifndef FSMETA_TOOLS_RETENTION_H
#define FSMETA_TOOLS_RETENTION_H

#include "archive/events.h"
#include "diff/diff.h"
#include "tools/archive_policy.h"
#include "tools/churn.h"

/** Of one stream. */
struct fsmeta_retention_verdict {
	/** The one of those that concern it that keeps longest; NULL where none does. */
	const struct fsmeta_policy *policy;
	/** What began until then may go; microseconds since 1970. */
	int64_t due_us;
	/** Pieces that were rotated out although they began later. */
	uint64_t early;
	/** By how much the oldest piece outlived the policy, where that is worth a word; else 0. */
	int64_t overdue_us;
};

/** Zero-initialised = no policies. */
struct fsmeta_retention {
	/** *Borrowed* from the events. */
	const struct fsmeta_archive_story *stories;
	/** One for each story. */
	struct fsmeta_retention_verdict *verdicts;
	size_t count;
};

/**
 * Judges what `events` (*borrowed* until release; NULL is allowed) found in the changes of `diff`
 * without what `churn` (NULL: nothing) takes for churn.  Of the policies only "keep" is asked, as
 * things were when `newer` was looked at.  Ends behind the last change: rewind the events.
 * 0 or a code; `out` is to be released in any case.
 */
int fsmeta_retention_judge(struct fsmeta_retention *out, struct fsmeta_archive_events *events,
    const struct fsmeta_policies *policies, struct fsmeta_diff *diff,
    struct fsmeta_churn_filter *churn, const struct fsmeta_batch_source *newer,
    struct fsmeta_error *error);

void fsmeta_retention_release(struct fsmeta_retention *retention);

/** NULL where no policy concerns the stream.  `retention` may be NULL. */
const struct fsmeta_retention_verdict *fsmeta_retention_of(
    const struct fsmeta_retention *retention, const struct fsmeta_archive_story *story);

/** Whether the file was rotated out too early.  `retention` may be NULL. */
bool fsmeta_retention_is_early(
    const struct fsmeta_retention *retention, const struct fsmeta_archive_verdict *verdict);

#endif
