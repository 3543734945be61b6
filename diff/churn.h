/*
 * Churn: changes that mean nothing, because one cause made them all.
 *
 *     new ─ a replay into the sink ─ settle ─ judge change after change
 *
 * A volume that was mounted with another time zone, copied to a file system with coarser
 * times, given other inode numbers or owners: millions of entries are modified, and one
 * sentence says it.  Each rule is recognised only where it explains nearly all of the tree;
 * what it does not explain is told as ever.  Constant memory.
 */
#ifndef FSMETA_DIFF_CHURN_H
#define FSMETA_DIFF_CHURN_H

#include "format/change.h"

enum fsmeta_churn_rule {
	/** All times are later or earlier by the same, or rounded to two seconds, or both. */
	FSMETA_CHURN_TIMES = 0,
	/** Inode or device numbers are others. */
	FSMETA_CHURN_NUMBERS,
	/** Owners or groups are others, one for one. */
	FSMETA_CHURN_OWNERS,
	/** Names differ in Unicode normalisation, or where the source folds case in case. */
	FSMETA_CHURN_NAMES,
	FSMETA_CHURN_RULES,
};

struct fsmeta_churn_finding {
	/** Changes that judge() attributed to it. */
	uint64_t count;
	/** TIMES: by how much; seconds and nanoseconds, the latter of the same sign. */
	int64_t shift_seconds;
	int32_t shift_nanoseconds;
	/** TIMES: and rounded to two seconds. */
	bool is_rounded;
};

struct fsmeta_churn;

/** Sources of both sides, read to their ends, *borrowed*. */
int fsmeta_churn_new(struct fsmeta_churn **out, const struct fsmeta_batch_source *older,
    const struct fsmeta_batch_source *newer, struct fsmeta_error *error);

/** NULL is allowed. */
void fsmeta_churn_free(struct fsmeta_churn *churn);

/** Takes all changes, to find the rules. *Borrowed*. */
struct fsmeta_change_sink *fsmeta_churn_sink(struct fsmeta_churn *churn);

/** After the last change: true where there is a rule. */
bool fsmeta_churn_settle(struct fsmeta_churn *churn);

/** 1 where rules explain all of the change, which is then counted; 0 where not; or a code. */
int fsmeta_churn_judge(
    struct fsmeta_churn *churn, const struct fsmeta_change *change, struct fsmeta_error *error);

/** All counts are 0 again: judge() will see the same changes once more. */
void fsmeta_churn_rewind(struct fsmeta_churn *churn);

/** "times", "numbers", "owners", "names": what JSON says. */
const char *fsmeta_churn_rule_name(enum fsmeta_churn_rule rule);

/** What judge() has counted so far.  *Borrowed*. */
const struct fsmeta_churn_finding *fsmeta_churn_finding(
    const struct fsmeta_churn *churn, enum fsmeta_churn_rule rule);

#endif
