/*
 * A stream's frames on their way to a descriptor: header, batches, trailer, seek
 * table.  Batches are packed, compressed and written by a thread of their own while
 * the caller collects the next one.  Internal to format/.
 */
#ifndef FSMETA_FORMAT_FRAME_OUTPUT_H
#define FSMETA_FORMAT_FRAME_OUTPUT_H

#include "format/digest_sum.h"
#include "format/stream_record.h"

struct fsmeta_frame_output;

/** A batch that is being collected.  Both are *borrowed* until end_batch(). */
struct fsmeta_frame_batch {
	struct fsmeta_batch_builder *builder;
	/** Every entry of the batch is to be added here as well. */
	struct fsmeta_digest_sum digests;
};

/**
 * Frames to `fd` (*borrowed*).  `source` and `label` are *borrowed* until free; the
 * thread reads neither of them.  `level` is zstd's; with `threaded` false everything is
 * done in the calls below.  All of them are for one thread, the caller's.
 * FSMETA_E_USAGE where zstd does not know the level; FSMETA_E_MEMORY.
 */
int fsmeta_frame_output_new(struct fsmeta_frame_output **out, int fd, const char *label,
    const struct fsmeta_batch_source *source, int level, bool threaded, struct fsmeta_error *error);

/**
 * Ends the thread, which finishes the batch that it has in hand and drops those that
 * wait, and frees.  NULL is allowed.
 */
void fsmeta_frame_output_free(struct fsmeta_frame_output *output);

/** The batch to add entries to; changes with every end_batch(). */
struct fsmeta_frame_batch *fsmeta_frame_output_batch(struct fsmeta_frame_output *output);

/**
 * Hands the batch over, which must not be empty, and begins the next one.  Waits
 * where the thread is far behind.  A failure may be that of an earlier batch; after it
 * only free() is allowed.
 */
int fsmeta_frame_output_end_batch(struct fsmeta_frame_output *output, struct fsmeta_error *error);

/** Waits until all batches that were handed over are written; codes as end_batch(). */
int fsmeta_frame_output_drain(struct fsmeta_frame_output *output, struct fsmeta_error *error);

/**
 * Writes a message, appended to what fsmeta_record_begin() began, as a record in a frame of
 * its own.  All batches must be drained.
 */
int fsmeta_frame_output_single(struct fsmeta_frame_output *output, enum fsmeta_record_kind kind,
    struct fsmeta_buffer *record, struct fsmeta_error *error);

/** Writes the seek table.  All batches must be drained. */
int fsmeta_frame_output_seek_table(struct fsmeta_frame_output *output, struct fsmeta_error *error);

/** What was written; only right after drain() or the two calls above. */
struct fsmeta_frame_written {
	/** *Borrowed* until free. */
	struct fsmeta_batch_list *batches;
	struct fsmeta_digest state_digest;
	/** Over all records but the trailer. */
	struct fsmeta_digest records_digest;
	uint64_t file_bytes;
};

void fsmeta_frame_output_get_written(
    struct fsmeta_frame_output *output, struct fsmeta_frame_written *written);

#endif
