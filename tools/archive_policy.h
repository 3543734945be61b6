/*
 * What people demand of an archive, and whether a stream of it does that.
 */
#ifndef FSMETA_TOOLS_ARCHIVE_POLICY_H
#define FSMETA_TOOLS_ARCHIVE_POLICY_H

#include "archive/archive.h"

#include <argp.h>

enum {
	FSMETA_POLICIES_MAX = 64,
};

enum fsmeta_policy_kind {
	/** "keep 90d": the stream reaches back so far. */
	FSMETA_POLICY_KEEP = 1,
	/** "gaps 5m": no gap in it is longer. */
	FSMETA_POLICY_GAPS,
	/** "fresh 1h": its end is no older. */
	FSMETA_POLICY_FRESH,
	/** "budget 2TB": all streams together take no more. */
	FSMETA_POLICY_BUDGET,
};

struct fsmeta_policy {
	enum fsmeta_policy_kind kind;
	int64_t duration_us;
	uint64_t bytes;
	/** Of the paths of streams that it is about, as fnmatch(3) reads it; NULL = all.
	 *  *Borrowed* from the text. */
	const char *pattern;
	/** As given; *borrowed*. */
	const char *text;
};

/** Those of a command line; zero-initialised = none. */
struct fsmeta_policies {
	struct fsmeta_policy items[FSMETA_POLICIES_MAX];
	size_t count;
};

/** Reads "30s", "5m" (minutes), "12h", "90d", "8w", "1y" as microseconds; false on anything else.
 */
bool fsmeta_duration_parse(int64_t *out, const char *text);

/**
 * Reads "KIND VALUE [PATTERN]".  False on anything else.  `out` borrows from `text`, which must
 * outlive it.
 */
bool fsmeta_policy_parse(struct fsmeta_policy *out, const char *text);

/** Adds what stands behind --policy; wrong usage ends the program. */
void fsmeta_policies_take(
    struct fsmeta_policies *policies, const char *text, struct argp_state *state);

/** The same where only "keep" is understood. */
void fsmeta_policies_take_keep(
    struct fsmeta_policies *policies, const char *text, struct argp_state *state);

/** Whether its pattern fits a path ("" is the root, which "." fits); without one it always does. */
bool fsmeta_policy_fits(const struct fsmeta_policy *policy, const char *path, size_t path_length);

/**
 * Whether a policy, other than a budget, speaks about a stream of FSV or segments.  Recordings are
 * judged by folder (tools/archive_recordings.h), and frames have no times.
 */
bool fsmeta_policy_concerns(const struct fsmeta_policy *policy, enum fsmeta_layout layout,
    const char *path, size_t path_length);

/** As of when policies are judged: when the scan began; microseconds since 1970. */
int64_t fsmeta_policy_now_us(const struct fsmeta_batch_source *source);

/**
 * Whether it holds for a stream that it concerns, as things were at now_us.  Appends why not.
 */
int fsmeta_policy_judge(bool *holds, struct fsmeta_buffer *reason,
    const struct fsmeta_policy *policy, const struct fsmeta_archive_stream *stream, int64_t now_us);

/** How all streams together fill their space. */
struct fsmeta_growth {
	uint64_t bytes;
	/** What comes in a day to the streams that were still recorded. */
	double bytes_a_day;
};

/** Adds a stream.  One counts as recorded where it ends within a day before now_us. */
void fsmeta_growth_add(
    struct fsmeta_growth *growth, const struct fsmeta_archive_stream *stream, int64_t now_us);

/** Days until `budget` is full; 0 where it is, -1 where it never is. */
double fsmeta_growth_days_left(const struct fsmeta_growth *growth, uint64_t budget);

/** Days that `budget` keeps at this growth; -1 where nothing grows. */
double fsmeta_growth_days_kept(const struct fsmeta_growth *growth, uint64_t budget);

#endif
