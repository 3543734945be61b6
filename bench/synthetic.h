/*
 * A cursor that makes a recorder's archive of any size without a disk, for
 * measuring the stream, the database and the diff.
 *
 *     .  camera-000000  camera-000000/1708584695_video.rf1i  …rf1p  …
 *
 * Flat folders, one a camera and stretch of time; names by start time; files in
 * pairs of index and packets; sizes and nanoseconds random; ctime = mtime, a birth
 * time of its own.  The same options always give the same entries, and one entry
 * costs some tens of nanoseconds and no memory.
 */
#ifndef FSMETA_BENCH_SYNTHETIC_H
#define FSMETA_BENCH_SYNTHETIC_H

#include "format/cursor.h"

struct fsmeta_synthetic_options {
	/** Entries of the unchanged archive, root and folders included; at least 1. */
	uint64_t entries;
	/** Files in a folder; 0 = 1000. */
	uint32_t folder_files;
	/** Fields that it has; 0 = FSMETA_FIELDS_ALL. */
	uint32_t field_mask;
	/** Sizes and times follow from it. */
	uint64_t seed;
	/**
	 * How many files differ from the archive with 0 changes, spread evenly: in
	 * turn one is modified, one removed, one added behind it.
	 */
	uint64_t changes;
	/**
	 * So many files are missing from the front of every folder: what a recorder
	 * that rotates leaves.  `entries` counts them all the same.
	 */
	uint32_t rotated;
};

/** The same as fsmeta_cursor_from_array(), but for entries that are made up. */
int fsmeta_synthetic_open(struct fsmeta_cursor **out,
    const struct fsmeta_synthetic_options *options, struct fsmeta_error *error);

#endif
