/*
 * The inside of FSV: what its files share.  Nobody else includes this.
 *
 *     fsv           opening, closing, figures
 *     fsv_index     streams, and the files of each by time
 *     fsv_buffer    producers, the buffers, and the thread that empties them
 *     fsv_disk      from a buffer into files
 *     fsv_rollover  the oldest files go
 *     fsv_read      windows
 *
 * Locks, each taken before those behind it: rollover_lock, content_lock of a stream, buffer_lock
 * of the same stream; `lock` of the archive is taken last and for a moment.
 */
#ifndef FSMETA_ARCHIVE_FSV_INSIDE_H
#define FSMETA_ARCHIVE_FSV_INSIDE_H

#include "archive/fsv.h"
#include "archive/stream_folder.h"

#include <pthread.h>
#include <time.h>

enum {
	FSMETA_FSV_TRACKS_MAX = 16,
};

/** Longest that a file of this family can be, whoever wrote it. */
#define FSMETA_FSV_ANY_FILE_MS INT64_C(1024000)

/** A file of the index. */
struct fsmeta_fsv_file {
	int64_t start_ms;
	uint64_t bytes;
	/** Bits of the stream's tracks that have an index, and packets. */
	uint16_t indexes;
	uint16_t packets;
	/** The name counts seconds. */
	bool in_seconds;
};

/** A track, by its place in the stream's table, and what it is made of. */
struct fsmeta_fsv_named_format {
	unsigned track;
	struct fsmeta_track_format format;
};

/** A packet in a buffer; its bytes stand there in the same order. */
struct fsmeta_fsv_queued {
	int64_t time_us;
	uint32_t lead_us;
	uint32_t size;
	uint32_t flags;
	/** One of the stream's formats, which stay where they are. */
	const struct fsmeta_fsv_named_format *format;
};

struct fsmeta_fsv_queue {
	struct fsmeta_buffer bytes;
	struct fsmeta_fsv_queued *packets;
	size_t count;
	size_t capacity;
};

/** A stream.  What comes first is under buffer_lock, the rest under content_lock. */
struct fsmeta_fsv_stream {
	char *name;
	char *folder;
	/** A folder in ROOT itself as it was when the archive was opened: from then on no link
	 * takes its place.  Those that somebody names are followed. */
	bool is_inside;

	pthread_mutex_t buffer_lock;
	struct fsmeta_fsv_queue pending;
	/** Bytes in pending and writing. */
	uint64_t held_bytes;
	/** When the oldest of pending came, by the clock; 0 = nothing there. */
	int64_t oldest_us;
	/** Times of what is held. */
	int64_t min_time_us;
	int64_t max_time_us;
	/** What writing failed with last, until it works again. */
	struct fsmeta_error failure;
	int64_t retry_at_us;
	struct fsmeta_fsv_named_format **formats;
	size_t format_count;
	/** Names, in the order in which they came.  What is below the count stays as it is. */
	char *tracks[FSMETA_FSV_TRACKS_MAX];
	size_t track_count;

	pthread_mutex_t content_lock;
	struct fsmeta_fsv_queue writing;
	/** Packets and bytes of `writing` that are done. */
	size_t written;
	size_t written_bytes;
	/** Why the first of the packets that no file takes was refused, until somebody is told. */
	struct fsmeta_error refusal;
	struct fsmeta_fsv_file *files;
	size_t file_first;
	size_t file_count;
	size_t file_capacity;
	/** What grows; it joins `files` when it is closed. */
	struct fsmeta_container_writer *current;
	struct fsmeta_fsv_file current_file;
	int64_t current_start_us;
	/** When it was written to last, by the clock. */
	int64_t current_at_us;
	/** Format of each track in the current file. */
	struct fsmeta_track_format current_formats[FSMETA_FSV_TRACKS_MAX];
	int64_t current_bases[FSMETA_FSV_TRACKS_MAX];
};

struct fsmeta_fsv {
	char *root;
	/** ROOT, or -1 of an archive that was opened from entries. */
	int root_fd;
	struct fsmeta_fsv_options options;
	const struct fsmeta_container_operations *container;
	pthread_mutex_t lock;
	/** One at a time takes files away, or each would take one for the same bytes. */
	pthread_mutex_t rollover_lock;
	pthread_cond_t wake;
	bool is_woken;
	bool stop;
	bool has_flusher;
	pthread_t flusher;
	/** Under `lock`; streams only ever come. */
	struct fsmeta_fsv_stream **streams;
	size_t stream_count;
	uint64_t bytes;
	uint64_t rolled_over;
	uint64_t rolled_over_bytes;
	uint64_t refused;
	uint64_t orphans;
};

static inline int64_t fsmeta_fsv_clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- streams ---- */

/** NULL where there is none of that name. */
struct fsmeta_fsv_stream *fsmeta_fsv_find_stream(struct fsmeta_fsv *fsv, const char *name);

/** Finds or adds; NULL when memory is out. */
struct fsmeta_fsv_stream *fsmeta_fsv_take_stream(
    struct fsmeta_fsv *fsv, const char *name, size_t length);

/** How many streams there are by now; what is below that number stays. */
size_t fsmeta_fsv_count_streams(struct fsmeta_fsv *fsv);

/** Stream i, which stays as long as the archive. */
struct fsmeta_fsv_stream *fsmeta_fsv_get_stream(struct fsmeta_fsv *fsv, size_t i);

/**
 * Opens a stream's folder for what changes or removes files that nobody named: the container then
 * gets `out->path`.  ENOENT where it is gone, ENOTDIR or ELOOP where it has become a link.
 */
int fsmeta_fsv_open_folder(const struct fsmeta_fsv *fsv, const struct fsmeta_fsv_stream *stream,
    struct fsmeta_stream_folder *out, struct fsmeta_error *error);

/**
 * Puts the stream's folder in front of the name in an error that came from there, the opening
 * included.  Once: ROOT may be a name of the same kind.
 */
void fsmeta_fsv_name_folder(const struct fsmeta_fsv_stream *stream, struct fsmeta_error *error);

/** With what it holds; its file must be closed. */
void fsmeta_fsv_free_stream(struct fsmeta_fsv_stream *stream);

/**
 * Position of a track in the stream's table; -1 where that is full, -2 when memory is out.  With
 * the buffer lock, or before others know of the archive.
 */
int fsmeta_fsv_take_track(struct fsmeta_fsv_stream *stream, const char *name, size_t length);

/** How many tracks there are by now; their names can then be read without a lock. */
size_t fsmeta_fsv_count_tracks(struct fsmeta_fsv_stream *stream);

/* ---- files of a stream: with its content lock ---- */

/** Those that rollover has not taken. */
size_t fsmeta_fsv_count_files(const struct fsmeta_fsv_stream *stream);

/** The number in its name. */
uint64_t fsmeta_fsv_name_time(const struct fsmeta_fsv_file *file);

/** Where a file that starts then stands, or would. */
size_t fsmeta_fsv_find_start(const struct fsmeta_fsv_stream *stream, int64_t start_ms);

/** The first file that may hold something from from_ms on. */
size_t fsmeta_fsv_find_file(const struct fsmeta_fsv_stream *stream, int64_t from_ms);

/** Among its like by time: at the end, unless the clock went back. */
int fsmeta_fsv_insert_file(struct fsmeta_fsv_stream *stream, const struct fsmeta_fsv_file *file);

/** The next millisecond of which no file has the name. */
int64_t fsmeta_fsv_free_start(const struct fsmeta_fsv_stream *stream, int64_t start_ms);

/** Of the whole archive. */
void fsmeta_fsv_count_bytes(struct fsmeta_fsv *fsv, uint64_t more, uint64_t less);

/* ---- opening ---- */

/** Reads the folders; of an archive that is written to, seals what a crash left. */
int fsmeta_fsv_scan_root(struct fsmeta_fsv *fsv, struct fsmeta_error *error);

/** The same from a cursor. */
int fsmeta_fsv_take_entries(
    struct fsmeta_fsv *fsv, struct fsmeta_cursor *entries, struct fsmeta_error *error);

/* ---- writing ---- */

/** Bases and flags aside. */
bool fsmeta_fsv_is_same_format(
    const struct fsmeta_track_format *a, const struct fsmeta_track_format *b);

/**
 * Writes all that is held of a stream.  With its content lock.  A packet that no file can take is
 * left out and remembered as the stream's `refusal`; it does not stop those behind it.
 */
int fsmeta_fsv_write_held(
    struct fsmeta_fsv *fsv, struct fsmeta_fsv_stream *stream, struct fsmeta_error *out);

/** Tells the refusal, which is then forgotten: its code, or 0.  With the content lock. */
int fsmeta_fsv_tell_refusal(struct fsmeta_fsv_stream *stream, struct fsmeta_error *error);

/** Seals what grows, which joins the files.  With the content lock.  NULL for no error is fine. */
int fsmeta_fsv_close_current(
    struct fsmeta_fsv *fsv, struct fsmeta_fsv_stream *stream, struct fsmeta_error *error);

/** Begins the thread that empties buffers and rolls over. */
int fsmeta_fsv_start_flusher(struct fsmeta_fsv *fsv, struct fsmeta_error *error);

/** Waits for its end; none is fine. */
void fsmeta_fsv_stop_flusher(struct fsmeta_fsv *fsv);

#endif
