/*
 * Churn in front of an output: what means nothing is left out, and said in one line.
 */
#ifndef FSMETA_TOOLS_CHURN_H
#define FSMETA_TOOLS_CHURN_H

#include "diff/churn.h"
#include "diff/diff.h"

#include <stdio.h>

struct fsmeta_churn_filter {
	/** First, so that the sink is this. */
	struct fsmeta_change_sink sink;
	/** NULL where there is no churn. */
	struct fsmeta_churn *churn;
	struct fsmeta_change_sink *next;
	/** Leave churn out; else it is only counted, and goes to `aside`, or with NULL to `next`.
	 */
	bool hides;
	struct fsmeta_change_sink *aside;
	/** How many changes were left out. */
	uint64_t hidden;
};

/** Looks through the changes for churn.  `next` and the sources are *borrowed* until release. */
int fsmeta_churn_filter_init(struct fsmeta_churn_filter *filter, struct fsmeta_diff *diff,
    const struct fsmeta_batch_source *older, const struct fsmeta_batch_source *newer, bool hides,
    struct fsmeta_change_sink *next, struct fsmeta_error *error);

/**
 * All that is no churn, and nothing else, to `sink`.  As often as needed; what was counted and left
 * out is forgotten.
 */
int fsmeta_churn_filter_replay(struct fsmeta_churn_filter *filter, struct fsmeta_diff *diff,
    struct fsmeta_change_sink *sink, struct fsmeta_error *error);

void fsmeta_churn_filter_release(struct fsmeta_churn_filter *filter);

/** Behind the changes: a line for each rule, of JSON or for people. */
void fsmeta_churn_print(FILE *stream, const struct fsmeta_churn_filter *filter, bool as_json);

#endif
