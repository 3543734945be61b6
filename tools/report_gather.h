/*
 * What a report tells: the generations of a database, and what changed between two of
 * them and in each of the last steps.
 */
#ifndef FSMETA_TOOLS_REPORT_GATHER_H
#define FSMETA_TOOLS_REPORT_GATHER_H

#include "db/db.h"
#include "diff/churn.h"
#include "diff/diff.h"
#include "tools/progress.h"
#include "tools/report_archive.h"
#include "tools/report_tree.h"

enum {
	/** Steps from generation to generation that are told apart. */
	FSMETA_REPORT_STEPS_MAX = 30,
};

/** What changed, by kind; entries, and bytes of the regular files among them. */
struct fsmeta_report_sums {
	uint64_t counts[FSMETA_REPORT_KINDS];
	/** Of what was removed the bytes it had, else those that it has. */
	uint64_t bytes[FSMETA_REPORT_KINDS];
	/** What modified files had before. */
	uint64_t modified_bytes_before;
	/** Lines that a listing of the changes has, and those of them that are not INSIDE. */
	uint64_t lines;
	uint64_t outer_lines;
};

/** One generation, as it is shown among all. */
struct fsmeta_report_generation {
	uint64_t number;
	/** Seconds = nanoseconds = 0: not known. */
	struct fsmeta_time finished;
	uint64_t entries;
	uint64_t files;
	uint64_t bytes;
	uint64_t carried;
	uint64_t unreadable;
	bool pruned;
};

/** The way from one kept generation to the next. */
struct fsmeta_report_step {
	uint64_t older;
	uint64_t newer;
	struct fsmeta_report_sums sums;
};

/** All of it; zero-initialised = empty. */
struct fsmeta_report {
	/** Generations compared; `older` is 0 where there is none before `newer`. */
	uint64_t older;
	uint64_t newer;
	/** struct fsmeta_report_generation, oldest first. */
	struct fsmeta_buffer generations;
	/** Oldest first; the newest leads to `newer`. */
	struct fsmeta_report_step steps[FSMETA_REPORT_STEPS_MAX];
	size_t step_count;
	struct fsmeta_report_sums sums;
	/** Changes that mean nothing, by rule; they are in no sum. */
	struct fsmeta_churn_finding churn[FSMETA_CHURN_RULES];
	/** What the changes mean for video archives. */
	struct fsmeta_report_archive archive;
	/** The tree at `newer`, with what changed since `older`. */
	struct fsmeta_report_tree *tree;
	/** Where entries of `newer` come from, *owned*. */
	struct fsmeta_db_generation generation;
	/** Places of it that nobody could look at. */
	struct fsmeta_db_unknown_places unknown;
	/** Changes from `older` to `newer` and the cursors under them; NULL where there is no older
	 * one. */
	struct fsmeta_diff *diff;
	struct fsmeta_cursor *cursors[2];
};

static inline const struct fsmeta_report_generation *fsmeta_report_generations(
    const struct fsmeta_report *report, size_t *count)
{
	*count = report->generations.length / sizeof(struct fsmeta_report_generation);
	return (const struct fsmeta_report_generation *)(const void *)report->generations.data;
}

/**
 * Fills `report` with what there is to say of the way from `older` to `newer` (NULL: the
 * newest, and the kept one before it; see fsmeta_db_resolve()).  FSMETA_E_USAGE where the
 * older one is not older, FSMETA_E_NOT_FOUND where there is no such generation or it was pruned.
 * `db` must stay until release; release in any case.
 */
int fsmeta_report_gather(struct fsmeta_report *report, struct fsmeta_db *db, const char *older,
    const char *newer, enum fsmeta_progress_when progress, struct fsmeta_error *error);

void fsmeta_report_release(struct fsmeta_report *report);

#endif
