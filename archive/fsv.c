/*
 * FSV.
 *
 *     producers        ──write──> [pending]  ──swap──> [writing] ──> current file ──> index
 *     (any thread)       copy       ^ one buffer lock    one content lock a stream
 *                                   | held for a copy    held while the disk is written to
 *     flusher (one)   ──────────────┘ when 1 MiB is full or 5 s are over; then rollover
 *
 * A producer takes the buffer lock of its stream, which nobody ever holds across a system call on
 * the disk, so it does not wait for one.  Whoever writes takes the content lock first and the
 * buffer lock inside for the swap alone.  What could not be written stays in `writing` and is tried
 * again; meanwhile `pending` grows up to the bound, and then producers are told, with the reason.
 *
 * The index is an array a stream, sorted by time, 24 bytes a file; its names are made of the
 * numbers, its tracks are bits that stand for a table of the stream's track names.  A window is
 * found by binary search; no file is longer than 1000 s, so it is enough to look so far back.
 *
 * Rollover takes the oldest file of all streams, again and again; only the oldest of each stream is
 * looked at, and the one that is being written is never taken.
 */
#include "archive/fsv_inside.h"
#include "archive/names.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	FILE_S = 1000,
	BUFFER_BYTES = 1 << 20,
	BUFFER_S = 5,
	IDLE_S = 60,
	BUFFER_MAX_MULTIPLE = 32,
	RESERVE_BYTES = 8 << 20,
	CLOSING_THREADS = 7,
};

static const int64_t file_limit_us = INT64_C(1000000) * FILE_S;

static void set_options(struct fsmeta_fsv *fsv, const struct fsmeta_fsv_options *given)
{
	struct fsmeta_fsv_options *options = &fsv->options;

	if (given)
		*options = *given;
	if (!options->file_us || options->file_us > file_limit_us)
		options->file_us = file_limit_us;
	if (!options->buffer_bytes)
		options->buffer_bytes = BUFFER_BYTES;
	if (!options->buffer_us)
		options->buffer_us = (int64_t)BUFFER_S * 1000000;
	if (!options->idle_us)
		options->idle_us = (int64_t)IDLE_S * 1000000;
	if (!options->buffer_max_bytes)
		options->buffer_max_bytes = options->buffer_bytes * BUFFER_MAX_MULTIPLE;
	if (!options->reserve_bytes)
		options->reserve_bytes = RESERVE_BYTES;
	else if (options->reserve_bytes == 1)
		options->reserve_bytes = 0;
	fsv->container = options->container ? options->container : &fsmeta_container_rf1;
}

static int new_archive(struct fsmeta_fsv **out, const char *root,
    const struct fsmeta_fsv_options *options, struct fsmeta_error *error)
{
	struct fsmeta_fsv *fsv = calloc(1, sizeof(*fsv));
	pthread_condattr_t attributes;

	*out = NULL;
	if (!fsv || !(fsv->root = strdup(root))) {
		free(fsv);
		return fsmeta_error_set_memory(error, "opening the archive");
	}
	fsv->root_fd = -1;
	set_options(fsv, options);
	pthread_mutex_init(&fsv->lock, NULL);
	pthread_mutex_init(&fsv->rollover_lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&fsv->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	*out = fsv;
	return 0;
}

int fsmeta_fsv_open(struct fsmeta_fsv **out, const char *root,
    const struct fsmeta_fsv_options *options, struct fsmeta_error *error)
{
	struct fsmeta_fsv *fsv;
	int code;

	*out = NULL;
	if (options && options->only_stream && options->budget_bytes)
		return fsmeta_error_set(error, FSMETA_E_USAGE, root, "opening the archive",
		    "a budget is for all streams");
	code = new_archive(&fsv, root, options, error);
	if (code)
		return code;
	if (fsv->options.writable)
		code = fsmeta_names_make_folder(root, error);
	if (!code)
		code = fsmeta_fsv_scan_root(fsv, error);
	if (!code && fsv->options.writable)
		code = fsmeta_fsv_start_flusher(fsv, error);
	if (code)
		fsmeta_fsv_close(fsv, NULL);
	else
		*out = fsv;
	return code;
}

int fsmeta_fsv_open_entries(struct fsmeta_fsv **out, const char *root,
    struct fsmeta_cursor *entries, const struct fsmeta_fsv_options *options,
    struct fsmeta_error *error)
{
	struct fsmeta_fsv *fsv;
	int code = new_archive(&fsv, root, options, error);

	*out = NULL;
	if (code)
		return code;
	fsv->options.writable = false;
	code = fsmeta_fsv_take_entries(fsv, entries, error);
	if (code)
		fsmeta_fsv_close(fsv, NULL);
	else
		*out = fsv;
	return code;
}

/* ---- closing ---- */

/** Streams that are being closed, by several threads. */
struct closing {
	struct fsmeta_fsv *fsv;
	pthread_mutex_t lock;
	size_t next;
	/** The first failure. */
	struct fsmeta_error error;
};

static int close_stream(
    struct fsmeta_fsv *fsv, struct fsmeta_fsv_stream *stream, struct fsmeta_error *error)
{
	int first = fsmeta_fsv_write_held(fsv, stream, error);
	int code = fsmeta_fsv_close_current(fsv, stream, first ? NULL : error);

	first = first ? first : code;
	code = fsmeta_fsv_tell_refusal(stream, first ? NULL : error);
	return first ? first : code;
}

static struct fsmeta_fsv_stream *next_stream(struct closing *closing)
{
	struct fsmeta_fsv_stream *stream = NULL;

	pthread_mutex_lock(&closing->lock);
	if (closing->next < closing->fsv->stream_count)
		stream = closing->fsv->streams[closing->next++];
	pthread_mutex_unlock(&closing->lock);
	return stream;
}

static void *close_some(void *payload)
{
	struct closing *closing = payload;
	struct fsmeta_fsv_stream *stream;
	struct fsmeta_error error;

	while ((stream = next_stream(closing))) {
		fsmeta_error_clear(&error);
		if (!close_stream(closing->fsv, stream, &error))
			continue;
		pthread_mutex_lock(&closing->lock);
		if (!closing->error.code)
			closing->error = error;
		pthread_mutex_unlock(&closing->lock);
	}
	return NULL;
}

/** A file is sealed by three syncs, one behind the other; those of several files go together. */
static int close_streams(struct fsmeta_fsv *fsv, struct fsmeta_error *error)
{
	struct closing closing = {.fsv = fsv, .lock = PTHREAD_MUTEX_INITIALIZER};
	pthread_t threads[CLOSING_THREADS];
	size_t count = 0, open = 0;

	fsmeta_error_clear(&closing.error);
	for (size_t i = 0; i < fsv->stream_count; i++)
		open += fsv->streams[i]->current || fsv->streams[i]->held_bytes;
	while (count < CLOSING_THREADS && count + 1 < open &&
	       !pthread_create(&threads[count], NULL, close_some, &closing))
		count++;
	close_some(&closing);
	while (count)
		pthread_join(threads[--count], NULL);
	pthread_mutex_destroy(&closing.lock);
	if (closing.error.code && error)
		*error = closing.error;
	return closing.error.code;
}

int fsmeta_fsv_close(struct fsmeta_fsv *fsv, struct fsmeta_error *error)
{
	int first;

	if (!fsv)
		return 0;
	fsmeta_fsv_stop_flusher(fsv);
	first = close_streams(fsv, error);
	for (size_t i = 0; i < fsv->stream_count; i++)
		fsmeta_fsv_free_stream(fsv->streams[i]);
	free(fsv->streams);
	pthread_cond_destroy(&fsv->wake);
	pthread_mutex_destroy(&fsv->rollover_lock);
	pthread_mutex_destroy(&fsv->lock);
	if (fsv->root_fd >= 0)
		close(fsv->root_fd);
	free(fsv->root);
	free(fsv);
	return first;
}

void fsmeta_fsv_information(struct fsmeta_fsv *fsv, struct fsmeta_fsv_info *out)
{
	size_t count = fsmeta_fsv_count_streams(fsv);

	*out = (struct fsmeta_fsv_info){.streams = count, .start_ms = INT64_MAX};
	for (size_t i = 0; i < count; i++) {
		struct fsmeta_fsv_stream *stream = fsmeta_fsv_get_stream(fsv, i);
		size_t files;

		pthread_mutex_lock(&stream->content_lock);
		files = fsmeta_fsv_count_files(stream);
		out->files += files + (stream->current && stream->current_file.indexes);
		if (stream->current && stream->current_file.start_ms > out->newest_ms)
			out->newest_ms = stream->current_file.start_ms;
		if (stream->current && stream->current_file.start_ms < out->start_ms)
			out->start_ms = stream->current_file.start_ms;
		out->index_bytes += stream->file_capacity * sizeof(*stream->files);
		if (files && stream->files[stream->file_first].start_ms < out->start_ms)
			out->start_ms = stream->files[stream->file_first].start_ms;
		if (files && stream->files[stream->file_count - 1].start_ms > out->newest_ms)
			out->newest_ms = stream->files[stream->file_count - 1].start_ms;
		pthread_mutex_unlock(&stream->content_lock);
	}
	pthread_mutex_lock(&fsv->lock);
	out->bytes = fsv->bytes;
	out->rolled_over = fsv->rolled_over;
	out->rolled_over_bytes = fsv->rolled_over_bytes;
	out->refused = fsv->refused;
	out->orphans = fsv->orphans;
	pthread_mutex_unlock(&fsv->lock);
}
