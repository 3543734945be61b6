/*
 * Recordings: one session each, payload first and index later.
 *
 *     ROOT/rec_ID/data.bin       the encoded chunks, one behind the other, only ever appended to
 *     ROOT/rec_ID/index.jsonl    a line a chunk: where, how long, when, whether decoding can begin
 *     ROOT/rec_ID/index.bin      the same, 16 bytes a chunk: ten hours open in milliseconds (ours)
 *     ROOT/rec_ID/meta.json      codec, size of the picture, …, whether it was completed
 *
 * Any other program may read and write the first, second and fourth; index.bin is believed only
 * where it agrees with them, and is not needed.  A writer and a reader are used by one thread at a
 * time each; a reader may open what is being recorded, and sees what was flushed.
 */
#ifndef FSMETA_ARCHIVE_RECORDINGS_H
#define FSMETA_ARCHIVE_RECORDINGS_H

#include "archive/look.h"
#include "base/error.h"
#include "base/memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FSMETA_RECORDING_PREFIX "rec_"
#define FSMETA_RECORDING_DATA "data.bin"
#define FSMETA_RECORDING_LINES "index.jsonl"
#define FSMETA_RECORDING_INDEX "index.bin"
#define FSMETA_RECORDING_META "meta.json"

enum {
	FSMETA_RECORDING_CODEC_BYTES = 64,
};

/** What a recording is of. */
struct fsmeta_recording_format {
	/** As WebCodecs names them: "vp09.00.10.08", "avc1.640028", or "h264", "h265" of Annex B.
	 */
	char codec[FSMETA_RECORDING_CODEC_BYTES];
	uint32_t width;
	uint32_t height;
	/** Frames a second, in thousandths; 0 = not known. */
	uint32_t framerate_millihertz;
	struct fsmeta_look look;
	struct fsmeta_hdr hdr;
};

/** A chunk of a recording. */
struct fsmeta_chunk {
	uint64_t offset;
	uint64_t size;
	/** Microseconds, from wherever the recording counts. */
	int64_t timestamp_us;
	bool is_key;
};

struct fsmeta_recording_options {
	/** The index is flushed after so many chunks (0 = 100) … */
	uint32_t flush_chunks;
	/** … and where the last flush is so long ago, by the clock (0 = 3 s). */
	int64_t flush_us;
	/** Each flush also syncs, so that it outlives a power cut. */
	bool sync;
	/** Most that all recordings below the root may hold; 0 = no limit. */
	uint64_t quota_bytes;
};

/* ---- writing ---- */

struct fsmeta_recording_writer;

/**
 * Makes ROOT/rec_ID, which must not exist, and ROOT if need be.  FSMETA_E_REFUSED where
 * the quota is reached.  `options` may be NULL.
 */
int fsmeta_recording_init(struct fsmeta_recording_writer **out, const char *root, const char *id,
    const struct fsmeta_recording_format *format, const struct fsmeta_recording_options *options,
    struct fsmeta_error *error);

/**
 * Appends a chunk.  Its bytes are with the system when it returns and outlive the process; its line
 * is, when it is flushed.  FSMETA_E_REFUSED beyond the quota.  On failure nothing was appended.
 */
int fsmeta_recording_append(struct fsmeta_recording_writer *writer, int64_t timestamp_us,
    bool is_key, const void *bytes, size_t size, struct fsmeta_error *error);

/** Writes the lines that wait. */
int fsmeta_recording_flush(struct fsmeta_recording_writer *writer, struct fsmeta_error *error);

/** True from 90 % of the quota on: time to warn, or to delete. */
bool fsmeta_recording_is_near_quota(const struct fsmeta_recording_writer *writer);

/** Flushes, syncs, marks it completed, frees (on failure too). */
int fsmeta_recording_finalize(struct fsmeta_recording_writer *writer, struct fsmeta_error *error);

/** Frees without finalizing, as a crash would.  NULL is allowed. */
void fsmeta_recording_abandon(struct fsmeta_recording_writer *writer);

/* ---- reading ---- */

/** An open recording.  Fields are for reading. */
struct fsmeta_recording {
	struct fsmeta_recording_format format;
	bool is_completed;
	/** index.bin was as good as the lines, so these were not read. */
	bool is_quick;
	uint64_t count;
	/** End of the last chunk of the index. */
	uint64_t indexed_bytes;
	/** Size of data.bin. */
	uint64_t data_bytes;
	/** Lines, whole or not, behind the last valid one, in bytes. */
	uint64_t invalid_line_bytes;
	/** Timestamps never go back. */
	bool is_sorted;
	int data_fd;
	/** 16 bytes a chunk and the end: mapped or allocated. */
	const unsigned char *records;
	size_t mapped_bytes;
	/** *Owned*, for messages. */
	char *path;
};

/**
 * Opens ROOT/rec_ID: the longest beginning whose lines are valid and whose chunks are there.
 * FSMETA_E_FOREIGN where meta.json or data.bin are missing or of another kind.
 */
int fsmeta_recording_open(
    struct fsmeta_recording *out, const char *root, const char *id, struct fsmeta_error *error);
void fsmeta_recording_release(struct fsmeta_recording *recording);

/** Chunk i < count; FSMETA_E_CORRUPT where index.bin says what cannot be. */
int fsmeta_recording_chunk(const struct fsmeta_recording *recording, uint64_t i,
    struct fsmeta_chunk *out, struct fsmeta_error *error);

struct fsmeta_recording_summary {
	uint64_t chunks;
	uint64_t keys;
	uint64_t bytes;
	/** Smallest and largest timestamp; the duration lies between them. */
	int64_t first_us;
	int64_t last_us;
};

/** One pass over the index. */
int fsmeta_recording_summarise(const struct fsmeta_recording *recording,
    struct fsmeta_recording_summary *out, struct fsmeta_error *error);

/**
 * *key = the last key frame at or before time_us, with which a decoder begins; the first of all
 * where there is none so early.  FSMETA_E_NOT_FOUND in a recording without any.
 */
int fsmeta_recording_seek(const struct fsmeta_recording *recording, int64_t time_us, uint64_t *key,
    struct fsmeta_error *error);

/**
 * Chunks [*first, *last) with which [from_us, to_us) can be decoded, key frame first.  Empty where
 * nothing is shown then.
 */
int fsmeta_recording_window(const struct fsmeta_recording *recording, int64_t from_us,
    int64_t to_us, uint64_t *first, uint64_t *last, struct fsmeta_error *error);

/**
 * Appends the bytes of chunks [first, last) to `out` with one read; chunk i then lies at
 * its offset minus the first one's.
 */
int fsmeta_recording_read(const struct fsmeta_recording *recording, uint64_t first, uint64_t last,
    struct fsmeta_buffer *out, struct fsmeta_error *error);

/* ---- keeping ---- */

struct fsmeta_recording_recovered {
	uint64_t chunks;
	/** Of these, found in the bitstream and not in the index; their times are reckoned. */
	uint64_t rebuilt;
	/** Bytes of data.bin that belong to no chunk any more and were cut off. */
	uint64_t cut_bytes;
};

/**
 * Completes what a crash left: the index is cut behind its last valid line, of H.264 and H.265 in
 * Annex B whole access units behind it are taken in again, data.bin is cut behind the last
 * chunk, index.bin is made anew.  1, or 0 where it was completed and sound already;
 * FSMETA_E_BUSY while it is recorded.
 */
int fsmeta_recording_recover(const char *root, const char *id,
    struct fsmeta_recording_recovered *out, struct fsmeta_error *error);

/** Deletes the whole folder: from one moment to the next it is no recording any more. FSMETA_E_BUSY
 * as above. */
int fsmeta_recording_delete(const char *root, const char *id, struct fsmeta_error *error);

/** Bytes of all recordings below `root`, and how many there are; a root that is missing has none.
 */
int fsmeta_recordings_usage(
    const char *root, uint64_t *bytes, uint64_t *count, struct fsmeta_error *error);

#endif
