/*
 * Frames and seek table of zstd's seekable format, which libzstd does not ship.
 *
 * A seekable file is a sequence of independent zstd frames and, at its end, a
 * skippable frame that lists their sizes; docs/format.md gives the bytes.  Any
 * zstd reads such a file from front to back; whoever reads the table first can
 * decompress a single frame.
 *
 * Source: contrib/seekable_format/zstd_seekable_compression_format.md of zstd.
 */
#ifndef FSMETA_FORMAT_SEEKABLE_H
#define FSMETA_FORMAT_SEEKABLE_H

#include "base/memory.h"

#include <stddef.h>
#include <stdint.h>
#include <zstd.h>

enum {
	/** Magic of the skippable frame with its size, in front of the entries. */
	FSMETA_SEEK_TABLE_HEADER_BYTES = 8,
	/** Compressed and decompressed size; we write no checksums there. */
	FSMETA_SEEK_TABLE_ENTRY_BYTES = 8,
	/** Number of frames, descriptor, magic. */
	FSMETA_SEEK_TABLE_FOOTER_BYTES = 9,
	/** The most bytes that a frame's header takes: enough to judge the frame. */
	FSMETA_FRAME_HEADER_BYTES = 18,
};

/** One frame. */
struct fsmeta_frame {
	uint32_t compressed_bytes;
	uint32_t content_bytes;
};

/** The frames of a file in order.  Zero-initialised = empty. */
struct fsmeta_seek_table {
	struct fsmeta_frame *frames;
	size_t count;
	size_t capacity;
};

void fsmeta_seek_table_release(struct fsmeta_seek_table *table);

/** Appends a frame.  0, FSMETA_E_MEMORY, or FSMETA_E_LIMIT beyond 2^27 frames. */
int fsmeta_seek_table_append(
    struct fsmeta_seek_table *table, uint32_t compressed_bytes, uint32_t content_bytes);

/** Bytes of the skippable frame that holds a table of `count` frames, without checksums. */
size_t fsmeta_seek_table_bytes(size_t count);

/** Appends the skippable frame to `out`.  0 or FSMETA_E_MEMORY. */
int fsmeta_seek_table_write(struct fsmeta_buffer *out, const struct fsmeta_seek_table *table);

/**
 * Fills the empty *table from the whole skippable frame.  Tables with checksums,
 * as other writers make them, are read too.  FSMETA_E_CORRUPT or FSMETA_E_MEMORY.
 * `label` and `offset` (of the frame in its file) are for messages.
 */
int fsmeta_seek_table_parse(struct fsmeta_seek_table *table, const unsigned char *bytes,
    size_t size, const char *label, uint64_t offset, struct fsmeta_error *error);

/**
 * Fills the empty *table from the end of a file of `file_bytes` bytes.  The frames
 * it lists and the table itself fill the file exactly, otherwise FSMETA_E_CORRUPT.
 */
int fsmeta_seek_table_read(struct fsmeta_seek_table *table, int fd, uint64_t file_bytes,
    const char *label, struct fsmeta_error *error);

/** True where `bytes` begins with the magic of a seek table's skippable frame. */
bool fsmeta_seek_table_begins(const unsigned char *bytes, size_t size);

/** True where `bytes` begins with the magic of a zstd frame. */
bool fsmeta_frame_begins(const unsigned char *bytes, size_t size);

/**
 * Appends `size` bytes as one frame with its content size and checksum, and sets
 * *frame to its sizes.  A block ends at each of the `cut_count` ascending offsets
 * in `cuts` (may be NULL with 0), so that what differs in nature does not share
 * the statistics of one block.  FSMETA_E_MEMORY, FSMETA_E_LIMIT, or
 * FSMETA_E_INTERNAL with zstd's words.
 */
int fsmeta_frame_compress(struct fsmeta_buffer *out, struct fsmeta_frame *frame, ZSTD_CCtx *context,
    const unsigned char *bytes, size_t size, const size_t *cuts, size_t cut_count,
    const char *label, struct fsmeta_error *error);

/**
 * Reads from the first FSMETA_FRAME_HEADER_BYTES bytes of a frame (or all there
 * are) how long its content is.  FSMETA_E_CORRUPT where it does not say, has no
 * checksum or is no frame; FSMETA_E_LIMIT beyond `limit_bytes`.
 */
int fsmeta_frame_content_bytes(size_t *content_bytes, const unsigned char *bytes, size_t size,
    size_t limit_bytes, const char *label, uint64_t offset, struct fsmeta_error *error);

/**
 * Replaces `out` by the content of the whole frame `bytes`.  Nothing is allocated
 * before fsmeta_frame_content_bytes() is content.  Errors as there, and
 * FSMETA_E_CORRUPT where checksum or structure is wrong.
 */
int fsmeta_frame_decompress(struct fsmeta_buffer *out, ZSTD_DCtx *context,
    const unsigned char *bytes, size_t size, size_t limit_bytes, const char *label, uint64_t offset,
    struct fsmeta_error *error);

#endif
