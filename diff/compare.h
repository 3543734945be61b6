/*
 * Two entries that are one and the same: in which fields do they differ?
 * Internal to diff/; the merge asks it of equal paths, the move pass of what it paired.
 */
#ifndef FSMETA_DIFF_COMPARE_H
#define FSMETA_DIFF_COMPARE_H

#include "diff/diff.h"

struct fsmeta_compare {
	/** The two sides' sources, *borrowed*; their tables of file systems may grow. */
	const struct fsmeta_batch_source *a;
	const struct fsmeta_batch_source *b;
	/** *Borrowed*. */
	const struct fsmeta_diff_options *options;
	/** The newer side shows what it carries, so what it lacks is gone. */
	bool b_is_state;

	/** Fields to compare, by kind of entry. */
	uint32_t folder_mask;
	uint32_t other_mask;

	/** For b's index of a file system that of a; see fsmeta_compare_refresh(). */
	uint32_t *device_map;
	size_t device_map_a_count;
	size_t device_map_count;
	bool device_map_is_identity;
};

void fsmeta_compare_init(struct fsmeta_compare *compare, const struct fsmeta_batch_source *a,
    const struct fsmeta_batch_source *b, const struct fsmeta_diff_options *options);
void fsmeta_compare_release(struct fsmeta_compare *compare);

/** Makes the map of file systems anew where a table has grown; before each comparison. */
int fsmeta_compare_refresh(struct fsmeta_compare *compare, struct fsmeta_error *error);

/** What a pair comes to. */
struct fsmeta_compared {
	/** Fields that differ. */
	uint32_t fields;
	/** The content differs and nothing tells of it: corrupted, not modified. */
	bool is_corrupted;
	/** The newer entry as it is to be told: the one given, or `filled`. */
	const struct fsmeta_entry *after;
	struct fsmeta_entry filled;
};

/**
 * Compares two entries of one type.  In the stored notion an entry whose own metadata
 * could not be read is filled up with the older values, out->filled, which *borrows*
 * from both.
 */
void fsmeta_compare_pair(struct fsmeta_compared *out, const struct fsmeta_compare *compare,
    const struct fsmeta_entry *before, const struct fsmeta_entry *after);

/**
 * What hides something behind `entry`: the kind of change to tell it with, 0 for nothing.
 */
enum fsmeta_change_kind fsmeta_hiding_kind(const struct fsmeta_entry *entry);

#endif
