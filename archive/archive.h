/*
 * Which layouts of video archives a tree holds, judged from its entries alone: names, sizes and
 * times. So it works on a live tree, on a stream of a drive that lies in a cupboard, and on a
 * generation of a database.
 *
 * Each layout has a recogniser that is shown the files of one folder and counts verified evidence:
 * pieces of which all parts are there. The highest count wins; a folder of which nobody can verify
 * anything is claimed by nobody, but for one: a stream that lost every index, or all of its
 * packets, has no whole piece left and must not vanish for that. fsmeta_archive_survey() says how
 * it is told from what only looks like it.
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

enum {
	/** Orphans of one stream that have a name. */
	FSMETA_ORPHANS_NAMED_MAX = 100,
};

/** One stream, video of frames, or recording: a folder that a layout claims. */
struct fsmeta_archive_stream {
	enum fsmeta_layout layout;
	/** Path of the folder, *borrowed* for the call that hands it out. */
	const char *path;
	size_t path_length;
	/** Pieces that are whole: files of FSV, segments, frames, 1 recording.  0: of what once was
	 * a stream only orphans are left. */
	uint64_t pieces;
	/** Bytes of all that belongs to the layout. */
	uint64_t bytes;
	/** Parts without their counterpart. */
	uint64_t orphans;
	/** Names of the first FSMETA_ORPHANS_NAMED_MAX of them, in canonical order, each ended by a
	 * NUL.  *Borrowed* for the call. */
	const char *orphan_names;
	size_t orphan_names_bytes;
	/** A recording that was not completed as far as times tell: its data changed behind
	 * meta.json. */
	bool is_unfinished;
	/** When the newest of what belongs to the layout was modified last, microseconds since
	 * 1970; INT64_MIN where no times are known. */
	int64_t changed_us;
	/**
	 * What it covers, microseconds since 1970; 0 where it is not known.  Of FSV and segments
	 * with whole pieces both are.  A recording ends when its data were modified last; it began
	 * when they, or meta.json, were born, whichever was first and not later than that end.
	 */
	bool has_from;
	bool has_to;
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
 *
 * A folder without a whole piece of any layout is a stream of orphans (`pieces` 0) where
 * - its names are unmistakable: there are parts with endings that nothing else has (.rf1i and .rf1p
 *   behind TIME_TRACK, .vidx behind START_MS), at least four times as many as files of no layout;
 * - or it stands beside a stream of that layout with whole pieces in the same folder, and has more
 *   parts (.h264 and .h265 count, too) than files of no layout.  Such a folder is handed out
 *   when the first whole stream beside it was seen, just before that one.
 */
int fsmeta_archive_survey(struct fsmeta_cursor *cursor, fsmeta_archive_visit *visit,
    struct fsmeta_error *error, void *payload);

#endif
