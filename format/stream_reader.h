/*
 * What the modules of the stream say to each other about reading.  Internal to
 * format/.
 */
#ifndef FSMETA_FORMAT_STREAM_READER_H
#define FSMETA_FORMAT_STREAM_READER_H

#include "format/cursor.h"

/**
 * fsmeta_stream_open_fd(), with a choice: without `may_index` a file is read
 * forward like a pipe, so that everything in it is looked at.  `fd` is *stolen*.
 */
int fsmeta_stream_open_descriptor(struct fsmeta_cursor **out, int fd, const char *label,
    bool may_index, struct fsmeta_error *error);

/** How far an open stream was read; for streams only. */
struct fsmeta_stream_progress {
	uint64_t batches;
	/** Those of them that were decoded; seeking does not turn this back. */
	uint64_t decoded;
	/** Of a stream read forward. */
	uint64_t file_bytes;
	/** The trailer's, where it was read. */
	struct fsmeta_digest records_digest;
};

/** Of a cursor that fsmeta_stream_open…() made. */
void fsmeta_stream_get_progress(
    const struct fsmeta_cursor *cursor, struct fsmeta_stream_progress *progress);

/** The trailer of a stream that is read by its index, *borrowed*; NULL of any other. */
const struct fsmeta_trailer *fsmeta_stream_get_trailer(const struct fsmeta_cursor *cursor);

/**
 * Makes the first entry of a batch the next one, wherever the cursor stands; only
 * where there is a trailer.  Nothing is read yet.
 */
int fsmeta_stream_seek(struct fsmeta_cursor *cursor, size_t batch, struct fsmeta_error *error);

struct fsmeta_delta;
struct fsmeta_frame_input;
struct fsmeta_trailer;
struct fsmeta_header;

/**
 * Reads the rest of a delta whose header frame is in hand.  `input` and `header`
 * are *stolen*: what is left of them is to be released as always.
 */
int fsmeta_delta_read(struct fsmeta_delta **out, struct fsmeta_frame_input *input,
    struct fsmeta_header *header, struct fsmeta_error *error);

/**
 * The source.json in folder `folder_fd` must say of source, generations, states and
 * start what `trailer` says.  FSMETA_E_CORRUPT with the difference, and whatever reading
 * it gives.
 */
int fsmeta_stream_check_source(int folder_fd, const char *path,
    const struct fsmeta_batch_source *trailer, struct fsmeta_error *error);

/** True where the file's first frame is that of a stream.  Reads at offset 0. */
bool fsmeta_stream_begins(int fd);

#endif
