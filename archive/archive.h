/*
 * Which layouts of video archives a tree holds, judged from its entries alone: names, sizes and
 * times. So it works on a live tree, on a stream of a drive that lies in a cupboard, and on a
 * generation of a database.
 *
 * Each layout has a recogniser that is shown the files of one folder and counts verified evidence:
 * pieces of which all parts are there. The highest count wins; a folder of which nobody can verify
 * anything is claimed by nobody.
 */
#ifndef FSMETA_ARCHIVE_ARCHIVE_H
#define FSMETA_ARCHIVE_ARCHIVE_H

#include "format/cursor.h"

enum fsmeta_layout {
	FSMETA_LAYOUT_NONE = 0,
	/** TIME_TRACK.rf1i beside .rf1p (fsv.h). */
	FSMETA_LAYOUT_FSV = 1,
	/** START_MS.vidx beside .h264 or .h265 (segments.h). */
	FSMETA_LAYOUT_SEGMENTS = 2,
	/** frame_NNNNNN.npy (frame_store.h). */
	FSMETA_LAYOUT_FRAMES = 3,
	/** rec_ID with data.bin, index.jsonl and meta.json (recordings.h). */
	FSMETA_LAYOUT_RECORDING = 4,
};

/** "fsv", "segments", "frames", "recording"; NULL for none. */
const char *fsmeta_layout_name(enum fsmeta_layout layout);

/** One stream, video of frames, or recording: a folder that a layout claims. */
struct fsmeta_archive_stream {
	enum fsmeta_layout layout;
	/** Path of the folder, *borrowed* for the call that hands it out. */
	const char *path;
	size_t path_length;
	/** Pieces that are whole: files of FSV, segments, frames, 1 recording. */
	uint64_t pieces;
	/** Bytes of all that belongs to the layout. */
	uint64_t bytes;
	/** Parts without their counterpart. */
	uint64_t orphans;
	/** A recording that was not completed as far as times tell: its data changed behind
	 * meta.json. */
	bool is_unfinished;
	/** When the newest of what belongs to the layout was modified last, microseconds since
	 * 1970; INT64_MIN where no times are known. */
	int64_t changed_us;
	/** FSV and segments only; microseconds since 1970. */
	int64_t from_us;
	int64_t to_us;
	/** Time that pieces cover, gaps left out. */
	int64_t covered_us;
	uint64_t gaps;
	int64_t longest_gap_us;
	/** Where the longest gap begins. */
	int64_t longest_gap_at_us;
	uint64_t overlaps;
};

/** Takes streams; a code other than 0 ends the survey and becomes its own. */
typedef int fsmeta_archive_visit(
    void *payload, const struct fsmeta_archive_stream *stream, struct fsmeta_error *error);

/**
 * Reads a cursor (*borrowed*) to its end and hands out what layouts claim, each folder when all of
 * it was seen. Memory for one folder's pieces at a time and each open level.
 *
 * A piece ends when it was modified last, where that lies within 1100 s of its start; where times
 * were lost in copying, it is taken to reach the next piece if that starts within 1024 s. A gap is
 * longer than 10 s.
 */
int fsmeta_archive_survey(struct fsmeta_cursor *cursor, fsmeta_archive_visit *visit,
    struct fsmeta_error *error, void *payload);

#endif
