/*
 * A stream's frames one after the other, from a file or a pipe: what readers of
 * trees and of deltas have in common.  Internal to format/.
 */
#ifndef FSMETA_FORMAT_FRAME_INPUT_H
#define FSMETA_FORMAT_FRAME_INPUT_H

#include "format/seekable.h"
#include "format/stream_record.h"

struct fsmeta_frame_input {
	/** *Owned*, -1 = none. */
	int fd;
	/** For messages; *owned*. */
	char *label;
	ZSTD_DCtx *zstd;
	/** Bytes from the descriptor; those from `start` on are not used yet. */
	struct fsmeta_buffer bytes;
	size_t start;
	bool ended;
	/** Offset in the file of the byte at `start`. */
	uint64_t offset;
	/** Offset of the frame in hand, and its content. */
	uint64_t frame_offset;
	struct fsmeta_buffer content;
	/** The frames as they were, to compare with the seek table. */
	struct fsmeta_seek_table frames;
};

/** `fd` is *stolen*, also on failure; to be released in any case. */
int fsmeta_frame_input_init(
    struct fsmeta_frame_input *input, int fd, const char *label, struct fsmeta_error *error);

void fsmeta_frame_input_release(struct fsmeta_frame_input *input);

static inline size_t fsmeta_frame_input_left(const struct fsmeta_frame_input *input)
{
	return input->bytes.length - input->start;
}

static inline const unsigned char *fsmeta_frame_input_bytes(const struct fsmeta_frame_input *input)
{
	return input->bytes.data + input->start;
}

/**
 * Decompresses the next frame into `content`.  FSMETA_E_TRUNCATED where the input
 * ends within it, FSMETA_E_CORRUPT, FSMETA_E_LIMIT.
 */
int fsmeta_frame_input_next(struct fsmeta_frame_input *input, struct fsmeta_error *error);

/** The same for a frame with exactly one record, *borrowed* from `content`. */
int fsmeta_frame_input_record(
    struct fsmeta_frame_input *input, struct fsmeta_record *record, struct fsmeta_error *error);

/** Takes the seek table, which must list the frames that came, and the end of input. */
int fsmeta_frame_input_finish(struct fsmeta_frame_input *input, struct fsmeta_error *error);

/**
 * Takes the first frame, whose one record must be a stream's header; `header` is
 * initialised here and to be released.  Beyond the codes above FSMETA_E_FOREIGN, and
 * FSMETA_E_UNSUPPORTED as of fsmeta_header_parse().
 */
int fsmeta_frame_input_header(
    struct fsmeta_frame_input *input, struct fsmeta_header *header, struct fsmeta_error *error);

/** FSMETA_E_CORRUPT at the frame in hand. */
int fsmeta_frame_input_corrupt(const struct fsmeta_frame_input *input, const char *action,
    const char *reason, struct fsmeta_error *error);

#endif
