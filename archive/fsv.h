/*
 * FSV, filesystem video: ROOT/STREAM/TIME_TRACK.*, an index of all files in memory, writes that
 * never wait for the disk, and rollover within a budget.
 *
 * All functions may be called by any thread at any time between open and close.  One
 * process writes an archive, or one each of its streams (only_stream); readers in other processes
 * see it as it was when they opened it.
 */
#ifndef FSMETA_ARCHIVE_FSV_H
#define FSMETA_ARCHIVE_FSV_H

#include "archive/fsv_container.h"
#include "format/cursor.h"

struct fsmeta_fsv_options {
	/** NULL = rf1. */
	const struct fsmeta_container_operations *container;
	bool writable;
	/**
	 * Of no other stream is the folder looked at (NULL = all; *borrowed* for the opening): a
	 * window of one in an archive of a thousand; or writers in several processes, each of its
	 * own stream.  Not with a budget, for which all streams count.
	 */
	const char *only_stream;
	/** A file ends at this (0 = 1000 s; at most that), and at a key frame from 19/20 of it on.
	 */
	int64_t file_us;
	/** A stream's buffer is written when it holds so much (0 = 1 MiB) … */
	uint64_t buffer_bytes;
	/** … or its oldest packet is so old (0 = 5 s); … */
	int64_t buffer_us;
	/** … beyond this, writes are refused (0 = 32 times buffer_bytes). */
	uint64_t buffer_max_bytes;
	/** Most that the archive may hold (0 = no limit).  From 99 % on the oldest files go until
	 * it is below 98 %. */
	uint64_t budget_bytes;
	/** After so long without a packet, by the clock, a stream's file is sealed (0 = 60 s). */
	int64_t idle_us;
	/** Disk space that is laid out ahead for each file (0 = 8 MiB, 1 = none). */
	uint64_t reserve_bytes;
};

struct fsmeta_fsv;

/**
 * Opens ROOT, *new*, and reads its folders; with `writable` makes it, and seals what a crash left.
 * `options` NULL = all of them left out.
 */
int fsmeta_fsv_open(struct fsmeta_fsv **out, const char *root,
    const struct fsmeta_fsv_options *options, struct fsmeta_error *error);

/**
 * The same with the entries of a cursor (*borrowed*; read to its end) in place of the disk: a
 * database's newest generation opens an archive of millions of files without listing it.  The
 * tree's root is ROOT.  Only for reading.
 */
int fsmeta_fsv_open_entries(struct fsmeta_fsv **out, const char *root,
    struct fsmeta_cursor *entries, const struct fsmeta_fsv_options *options,
    struct fsmeta_error *error);

/** Writes what is buffered, seals, frees.  Frees on failure too.  NULL is allowed. */
int fsmeta_fsv_close(struct fsmeta_fsv *fsv, struct fsmeta_error *error);

/**
 * Takes packets of one track in the order of decoding into the stream's buffer, all or none, and
 * never waits for the disk.  The track is what its name and `format` (base and flags are not looked
 * at) say; a change of format begins a new file.  FSMETA_E_REFUSED beyond the bound of the buffer:
 * what the disk does not take is told, never dropped in silence; if writing failed before, with the
 * reason.  FSMETA_E_LIMIT for a 17th track and a lead_us above 1000 s, which no file takes.
 */
int fsmeta_fsv_write(struct fsmeta_fsv *fsv, const char *stream, const char *track,
    const struct fsmeta_track_format *format, const struct fsmeta_packet *packets, size_t count,
    struct fsmeta_error *error);

/**
 * Writes what is buffered, of one stream or (NULL) of all, and waits for it.  With `sync` also
 * through a power cut.  A packet that the container takes nowhere (FSMETA_E_LIMIT, _USAGE) is left
 * out, does not stop those behind it, and is told once: by this or by fsmeta_fsv_close().
 */
int fsmeta_fsv_flush(
    struct fsmeta_fsv *fsv, const char *stream, bool sync, struct fsmeta_error *error);

/** Takes packets, whose bytes live as long as the call; a code other than 0 ends the reading. */
typedef int fsmeta_fsv_visit(void *payload, const struct fsmeta_track_format *format,
    const struct fsmeta_packet *packet, struct fsmeta_error *error);

/**
 * Visits the packets of a track with which [from_us, to_us) can be decoded, from a key frame on,
 * across files.  What is still buffered of that time is written first.  A stream or track that is
 * not there has none.  The visitor must not use this archive.
 */
int fsmeta_fsv_read(struct fsmeta_fsv *fsv, const char *stream, const char *track, int64_t from_us,
    int64_t to_us, fsmeta_fsv_visit *visit, struct fsmeta_error *error, void *payload);

/**
 * Deletes the oldest files across streams until the archive is below its budget; *files were.  The
 * archive does so by itself, too: fsmeta_fsv_info tells what went in all.
 */
int fsmeta_fsv_roll_over(struct fsmeta_fsv *fsv, uint64_t *files, struct fsmeta_error *error);

/** What fsmeta_fsv_roll_over() would delete. */
struct fsmeta_fsv_plan {
	uint64_t files;
	uint64_t bytes;
	/** Start of the oldest file that would stay; INT64_MAX where none would. */
	int64_t kept_from_ms;
};

/** Tells it, and changes nothing; for an archive that is open for reading, too. */
int fsmeta_fsv_plan_roll_over(
    struct fsmeta_fsv *fsv, struct fsmeta_fsv_plan *out, struct fsmeta_error *error);

struct fsmeta_fsv_info {
	uint64_t streams;
	/** Files as FSV counts them, whatever tracks they have. */
	uint64_t files;
	uint64_t bytes;
	/** Memory that the index takes. */
	uint64_t index_bytes;
	/** Files that went with rollover since it was opened, whoever asked for it. */
	uint64_t rolled_over;
	uint64_t rolled_over_bytes;
	/** Packets that were taken and that no file could take after all. */
	uint64_t refused;
	/** An index without packets or the reverse. */
	uint64_t orphans;
	/** Start of the oldest file; INT64_MAX without any. */
	int64_t start_ms;
	/** Start of the newest file; 0 without any. */
	int64_t newest_ms;
};

/** As things are now.  Any thread may call it. */
void fsmeta_fsv_information(struct fsmeta_fsv *fsv, struct fsmeta_fsv_info *out);

#endif
