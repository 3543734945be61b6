/*
 * Which generations a policy keeps: a pure function of when they were finished.
 *
 * Rules are those of restic and borg.  Each keeps a number of generations, going
 * back from the newest; what no rule keeps is to be removed.
 */
#ifndef FSMETA_TOOLS_KEEP_H
#define FSMETA_TOOLS_KEEP_H

#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fsmeta_keep_rule {
	/** The newest N. */
	FSMETA_KEEP_LAST = 0,
	/** The newest of each of the last N days that have one, UTC; the others likewise. */
	FSMETA_KEEP_DAILY,
	/** ISO weeks: from Monday on. */
	FSMETA_KEEP_WEEKLY,
	FSMETA_KEEP_MONTHLY,
	FSMETA_KEEP_YEARLY,
	/** All that were finished at most so long before the newest. */
	FSMETA_KEEP_WITHIN,
	FSMETA_KEEP_RULES,
};

/** What a rule is called in listings: "last", "daily", … */
extern const char *const fsmeta_keep_rule_names[FSMETA_KEEP_RULES];

struct fsmeta_keep_policy {
	/** For each rule N, of WITHIN seconds; 0 = the rule keeps nothing. */
	uint64_t counts[FSMETA_KEEP_RULES];
};

/** False where no rule keeps anything. */
bool fsmeta_keep_policy_is_any(const struct fsmeta_keep_policy *policy);

/** One kept generation. */
struct fsmeta_keep_generation {
	uint64_t number;
	struct fsmeta_time finished;
	/** Set by fsmeta_keep_decide(): 1 << rule for each rule that keeps it. */
	uint32_t reasons;
	/** Set likewise: false = to be removed.  The newest is kept without a reason, too. */
	bool keep;
};

/** Decides about `generations`, which ascend by number. */
void fsmeta_keep_decide(struct fsmeta_keep_generation *generations, size_t count,
    const struct fsmeta_keep_policy *policy);

/** Reads a whole number up to 10^9; false on anything else. */
bool fsmeta_keep_parse_count(uint64_t *out, const char *text);

/**
 * Reads "30d": hours (h), days (d), weeks (w), months of 31 days (m) or years of 365
 * days (y), as borg does.  Sets *seconds; false on anything else.
 */
bool fsmeta_keep_parse_duration(uint64_t *seconds, const char *text);

#endif
