/*
 * FsScanStream: entries in canonical order as a zstd seekable file of
 * length-delimited protobuf records.  docs/format.md is the byte-level document,
 * format/fsscan.proto the schema.
 *
 * A stream is a folder with `source.json` and `entries.fss`, or the bytes of
 * `entries.fss` alone, as a file or through a pipe.
 */
#ifndef FSMETA_FORMAT_STREAM_H
#define FSMETA_FORMAT_STREAM_H

#include "base/file.h"
#include "format/change.h"
#include "format/cursor.h"

#include <signal.h>

#define FSMETA_STREAM_SOURCE_NAME "source.json"
#define FSMETA_STREAM_ENTRIES_NAME "entries.fss"

enum {
	/** Batches are cut by content between these two, in entries. */
	FSMETA_BATCH_MIN_ENTRIES = 2048,
	FSMETA_BATCH_MAX_ENTRIES = 32768,
	/** A batch is also cut before its names and targets pass this, in bytes. */
	FSMETA_BATCH_TEXT_BYTES = 4 << 20,
	/**
	 * Between the two a batch is cut before an entry whose cut hash has none of
	 * these bits: XXH3-64 of its name, seeded with its folder's cut hash; the
	 * root's is 0.  One entry in 1024 is such a place, so that a batch has some
	 * 3,000 entries, and where they are does not depend on what is around them.
	 */
	FSMETA_BATCH_CUT_MASK = 1023,
	/** Longest record that a reader accepts, in bytes. */
	FSMETA_RECORD_MAX_BYTES = 256 << 20,
};

/* ---- writing ---------------------------------------------------------- */

struct fsmeta_path_index_builder;
struct fsmeta_stream_writer;

struct fsmeta_stream_writer_options {
	/** zstd level; 0 = 1. */
	int level;
	/**
	 * 1: everything is done in the calls.  2: once there are some batches, a thread of
	 * the writer's own packs, compresses and writes them.  0: as pays here.  The
	 * bytes are the same.
	 */
	unsigned threads;
	/** Receives every path (format/path_index.h); *borrowed* until finish.  May be NULL. */
	struct fsmeta_path_index_builder *path_index;
	/** Of fsmeta_stream_output_new(): paths.idx beside entries.fss. */
	bool with_path_index;
};

/**
 * A writer of one stream to `fd` (*borrowed*; a file, a pipe or a socket; only
 * ever written forward).  `source` is *borrowed* until free: what it says now
 * goes into the header; at finish it is read again for the trailer, so its table
 * of file systems may grow while entries are added.  `options` may be NULL.
 * `label` is for messages, *borrowed*.
 *
 * All calls on a writer are for one thread at a time.  What the writer's own thread
 * touches belongs to it alone, `fd` included: nobody else may write there before
 * finish or free.  It receives no signals.  Where writing fails there, the next add or
 * finish says so, and only free is allowed afterwards.
 */
int fsmeta_stream_writer_new(struct fsmeta_stream_writer **out, int fd, const char *label,
    const struct fsmeta_batch_source *source, const struct fsmeta_stream_writer_options *options,
    struct fsmeta_error *error);

/**
 * Adds the next entry; out of canonical order is FSMETA_E_INTERNAL.  Fields
 * outside the source's mask are left out.  Ids are written where the source's
 * are stable.
 */
int fsmeta_stream_writer_add(struct fsmeta_stream_writer *writer, const struct fsmeta_entry *entry,
    struct fsmeta_error *error);

/** What the writer counted; valid after finish. */
struct fsmeta_stream_summary {
	struct fsmeta_totals totals;
	struct fsmeta_digest state_digest;
	/** The trailer's, over all records in front of it. */
	struct fsmeta_digest records_digest;
	uint64_t batches;
	/** Bytes written to fd. */
	uint64_t file_bytes;
};

/**
 * Writes the last batch, the trailer and the seek table.  The trailer's
 * BatchSource is the source as it is now, with totals and state digest as
 * counted here; `json` (may be NULL) receives the same text, for source.json.
 * Does not sync or close fd.
 */
int fsmeta_stream_writer_finish(struct fsmeta_stream_writer *writer,
    struct fsmeta_stream_summary *summary, struct fsmeta_buffer *json, struct fsmeta_error *error);

/**
 * Ends the writer's thread, dropping what it has not written, and frees.  NULL is
 * allowed.
 */
void fsmeta_stream_writer_free(struct fsmeta_stream_writer *writer);

/** The writer as an entry sink, for fsmeta_cursor_tee(); *borrowed*. */
struct fsmeta_entry_sink *fsmeta_stream_writer_sink(struct fsmeta_stream_writer *writer);

/**
 * A stream on its way to a place: the folder PATH (replaced whole on commit,
 * refused if it exists and is no stream, or holds anything else), or standard
 * output for "-" (refused with FSMETA_E_USAGE if that is a terminal, or where a
 * paths.idx is wanted).
 */
struct fsmeta_stream_output;

/** *new*, for commit or abort; `source` and `options` as for fsmeta_stream_writer_new(). */
int fsmeta_stream_output_new(struct fsmeta_stream_output **out, const char *path,
    const struct fsmeta_batch_source *source, const struct fsmeta_stream_writer_options *options,
    struct fsmeta_error *error);

/** The writer to add entries to; *borrowed*. */
struct fsmeta_stream_writer *fsmeta_stream_output_writer(struct fsmeta_stream_output *output);

/** Finishes the writer, writes source.json, syncs, renames.  Frees `output` in every case. */
int fsmeta_stream_output_commit(struct fsmeta_stream_output *output,
    struct fsmeta_stream_summary *summary, struct fsmeta_error *error);

/** Removes what was written and frees.  NULL is allowed. */
void fsmeta_stream_output_abort(struct fsmeta_stream_output *output);

/* ---- reading ---------------------------------------------------------- */

/**
 * Opens a stream as a cursor.  A regular file is read by its seek table and its
 * trailer is checked first; a pipe is read forward and its trailer checked at
 * the end, before next() says 0.  Only a file offers runs (FSMETA_RUN_BATCH), and
 * skips folders without reading them.
 *
 * cursor->source is the trailer's BatchSource; of a pipe it is the header's until
 * next() has said 0, with file systems added as entries name them.  Strings that
 * it held before stay valid until close.
 *
 * Errors: FSMETA_E_FOREIGN (no FsScanStream), FSMETA_E_TRUNCATED (no trailer;
 * offset and reason say how far it was good and how many entries that is),
 * FSMETA_E_CORRUPT (digest, order, structure; with the offset of the frame),
 * FSMETA_E_UNSUPPORTED (newer version, unknown feature), FSMETA_E_REFUSED (a
 * delta, which is no tree).
 */
int fsmeta_stream_open_folder(
    struct fsmeta_cursor **out, const char *path, struct fsmeta_error *error);

/** The same for a bare `.fss` file. */
int fsmeta_stream_open_file(
    struct fsmeta_cursor **out, const char *path, struct fsmeta_error *error);

/** The same for a descriptor, *stolen* (closed on failure too). */
int fsmeta_stream_open_fd(
    struct fsmeta_cursor **out, int fd, const char *label, struct fsmeta_error *error);

/**
 * True where `path` is a folder with the two files of a stream of which at least
 * one is what it is called: `entries.fss` begins like a stream, or `source.json` is a
 * BatchSource.  Opening it tells whether it is sound.  Likewise for a bare file,
 * by its beginning.
 */
bool fsmeta_stream_is_folder(const char *path);
bool fsmeta_stream_is_file(const char *path);

/** What check found; filled as far as it came. */
struct fsmeta_stream_check {
	uint64_t batches;
	uint64_t entries;
	uint64_t file_bytes;
	/** True where source.json stands beside it and agrees with the trailer. */
	bool source_json_agrees;
	/** True where paths.idx stands beside it and holds its paths. */
	bool path_index_agrees;
};

/**
 * Reads everything: frames and their checksums, seek table, batch digests,
 * order, counts, totals, state digest, trailer, source.json, paths.idx if there is
 * one.  0 where all is
 * well, otherwise the first damage as an error; FSMETA_E_STOPPED once `stop` (may be
 * NULL) is not 0.
 */
int fsmeta_stream_verify(struct fsmeta_stream_check *out, const char *path,
    const volatile sig_atomic_t *stop, struct fsmeta_error *error);

#endif
