/*
 * What the name of a file says of its place in a video archive: which layout it may belong to,
 * which piece, and which part of the piece it is.  Names and times only; no file is opened.
 */
#ifndef FSMETA_ARCHIVE_PIECE_H
#define FSMETA_ARCHIVE_PIECE_H

#include "archive/archive.h"

enum {
	/** Parts of a piece of FSV and of segments. */
	FSMETA_PIECE_INDEX = 1,
	FSMETA_PIECE_PAYLOAD = 2,
	FSMETA_PIECE_BOTH = 3,
	/** Of a recording: data.bin, index.jsonl, meta.json; index.bin is no part that it needs. */
	FSMETA_PIECE_DATA = 1,
	FSMETA_PIECE_LINES = 2,
	FSMETA_PIECE_META = 4,
	FSMETA_PIECE_RECORDING = 7,
	/** A frame is one file. */
	FSMETA_PIECE_FRAME = 1,
};

/** A second, a gap, the longest a piece lasts, and when its files have stopped to change. */
#define FSMETA_PIECE_SECOND_US INT64_C(1000000)
#define FSMETA_PIECE_GAP_US (10 * FSMETA_PIECE_SECOND_US)
#define FSMETA_PIECE_MAX_US (1024 * FSMETA_PIECE_SECOND_US)
#define FSMETA_PIECE_CLOSED_US (1100 * FSMETA_PIECE_SECOND_US)

struct fsmeta_piece_name {
	enum fsmeta_layout layout;
	/** What all parts of one track of one piece begin with. */
	size_t stem_length;
	/** One of the numbers above, by layout; 0 for index.bin. */
	unsigned part;
	/** FSV and segments: when it begins, microseconds since 1970.  Frames: its number. */
	int64_t start_us;
};

/** False where a file of this name belongs to no layout. */
bool fsmeta_piece_parse(struct fsmeta_piece_name *out, const char *name, size_t length);

/** "rec_ID". */
bool fsmeta_piece_is_recording_folder(const char *name, size_t length);

/** When it was modified last, microseconds since 1970; INT64_MIN where that is not known. */
int64_t fsmeta_piece_modified_us(const struct fsmeta_entry *entry);

/** When it was born, microseconds since 1970; INT64_MIN where that is not known. */
int64_t fsmeta_piece_born_us(const struct fsmeta_entry *entry);

#endif
