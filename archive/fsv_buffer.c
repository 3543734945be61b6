/*
 * The write buffer of FSV: producers fill it, one thread empties it.
 *
 *     producer ── copies under buffer_lock ──> pending      (refused where too much is held)
 *     flusher  ── swaps under buffer_lock ───> writing ──> the disk, under content_lock alone
 *
 * The swap exchanges two buffers that keep their memory, so nobody allocates in the steady state. A
 * stream is due when it holds enough, when its oldest packet is old enough, or a second after a
 * write that failed.
 */
#include "archive/fsv_inside.h"
#include "archive/names.h"

#include <stdlib.h>
#include <string.h>

enum {
	/** Longest that the flusher sleeps. */
	NAP_MS = 250,
	/** Most that is laid out for a buffer ahead. */
	ROOM_MAX_BYTES = 16 << 20,
	/** Of the 1024 s that words can tell. */
	LEAD_MAX_US = 1000000000,
};

/* ---- producers: with the buffer lock alone ---- */

/** A track with its format, *borrowed* from the stream. */
static int take_format(const struct fsmeta_fsv_named_format **out, struct fsmeta_fsv_stream *stream,
    const char *track, const struct fsmeta_track_format *format, struct fsmeta_error *error)
{
	struct fsmeta_fsv_named_format **formats, *added;
	int position;

	for (size_t i = stream->format_count; i--;) {
		*out = stream->formats[i];
		if (strcmp(stream->tracks[(*out)->track], track) == 0 &&
		    fsmeta_fsv_is_same_format(&(*out)->format, format))
			return 0;
	}
	position = fsmeta_fsv_take_track(stream, track, strlen(track));
	if (position == -1)
		return fsmeta_error_set(error, FSMETA_E_LIMIT, stream->folder, "writing packets",
		    "a stream has no more than %d tracks", FSMETA_FSV_TRACKS_MAX);
	formats = realloc(stream->formats, (stream->format_count + 1) * sizeof(*formats));
	if (formats)
		stream->formats = formats;
	added = position < 0 || !formats ? NULL : calloc(1, sizeof(*added));
	if (!added)
		return fsmeta_error_set_memory(error, "writing packets");
	added->track = (unsigned)position;
	added->format = *format;
	formats[stream->format_count++] = added;
	*out = added;
	return 0;
}

/**
 * Room for a full buffer from the first packet on, which costs nothing until it is touched: growing
 * by and by would copy half a MiB in a producer's call.
 */
static int reserve_bytes(const struct fsmeta_fsv *fsv, struct fsmeta_buffer *buffer, uint64_t bytes)
{
	uint64_t full = 2 * fsv->options.buffer_bytes;

	if (full > ROOM_MAX_BYTES)
		full = ROOM_MAX_BYTES;
	if (!buffer->data && bytes < full && !fsmeta_buffer_reserve(buffer, full))
		return 0;
	return fsmeta_buffer_reserve(buffer, bytes);
}

static int reserve_packets(struct fsmeta_fsv_queue *queue, size_t count)
{
	size_t capacity = queue->capacity ? queue->capacity : 64;
	struct fsmeta_fsv_queued *packets;

	if (queue->count + count <= queue->capacity)
		return 0;
	while (capacity < queue->count + count)
		capacity *= 2;
	packets = realloc(queue->packets, capacity * sizeof(*packets));
	if (!packets)
		return FSMETA_E_MEMORY;
	queue->packets = packets;
	queue->capacity = capacity;
	return 0;
}

/** What would fail later, when nobody is there to be told. */
static int check_packets(const char *stream, const char *track,
    const struct fsmeta_track_format *format, const struct fsmeta_packet *packets, size_t count,
    uint64_t *bytes, struct fsmeta_error *error)
{
	static const char action[] = "writing packets";

	*bytes = 0;
	if (!fsmeta_names_is_stream(stream) || !fsmeta_names_is_stream(track) || strchr(track, '.'))
		return fsmeta_error_set(error, FSMETA_E_USAGE, stream, action,
		    "a stream or track of that name cannot be");
	for (int i = 0; i < FSMETA_CODEC_BYTES; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789", format->codec[i]) ||
		    !format->codec[i])
			return fsmeta_error_set(error, FSMETA_E_USAGE, stream, action,
			    "the name of a codec is four of a-z and 0-9");
	if (!format->is_audio && (!format->width || !format->height))
		return fsmeta_error_set(
		    error, FSMETA_E_USAGE, stream, action, "a picture without width or height");
	for (size_t i = 0; i < count; i++) {
		if (!packets[i].size || packets[i].size > FSMETA_TRACK_BYTES_MAX ||
		    packets[i].flags > FSMETA_WORD_FLAGS_MAX)
			return fsmeta_error_set(error, FSMETA_E_USAGE, stream, action,
			    "a packet has no bytes, too many, or flags beyond 12 bits");
		if (packets[i].time_us < 0 || packets[i].time_us > INT64_MAX / 2 ||
		    packets[i].lead_us > packets[i].time_us)
			return fsmeta_error_set(error, FSMETA_E_USAGE, stream, action,
			    "a packet is shown before 1970 or never");
		if (packets[i].lead_us > LEAD_MAX_US)
			return fsmeta_error_set(error, FSMETA_E_LIMIT, stream, action,
			    "a packet is shown later after its decoding than a file can last");
		*bytes += packets[i].size;
	}
	return 0;
}

static void queue_packets(struct fsmeta_fsv_stream *stream,
    const struct fsmeta_fsv_named_format *format, const struct fsmeta_packet *packets, size_t count)
{
	struct fsmeta_fsv_queue *queue = &stream->pending;

	for (size_t i = 0; i < count; i++) {
		queue->packets[queue->count++] = (struct fsmeta_fsv_queued){
		    .time_us = packets[i].time_us,
		    .lead_us = packets[i].lead_us,
		    .size = (uint32_t)packets[i].size,
		    .flags = packets[i].flags,
		    .format = format,
		};
		/* Room was made. */
		memcpy(queue->bytes.data + queue->bytes.length, packets[i].bytes, packets[i].size);
		queue->bytes.length += packets[i].size;
		if (packets[i].time_us < stream->min_time_us)
			stream->min_time_us = packets[i].time_us;
		if (packets[i].time_us > stream->max_time_us)
			stream->max_time_us = packets[i].time_us;
	}
}

static int refuse(const struct fsmeta_fsv_stream *stream, struct fsmeta_error *error)
{
	const struct fsmeta_error *failure = &stream->failure;

	if (failure->code)
		return fsmeta_error_set(error, FSMETA_E_REFUSED, stream->folder, "writing packets",
		    "the buffer is full, as the disk takes nothing: %s: %s", failure->action,
		    failure->reason);
	return fsmeta_error_set(error, FSMETA_E_REFUSED, stream->folder, "writing packets",
	    "the buffer is full, as the disk is too slow");
}

int fsmeta_fsv_write(struct fsmeta_fsv *fsv, const char *name, const char *track,
    const struct fsmeta_track_format *format, const struct fsmeta_packet *packets, size_t count,
    struct fsmeta_error *error)
{
	struct fsmeta_fsv_stream *stream;
	uint64_t bytes;
	bool wake = false;
	const struct fsmeta_fsv_named_format *named = NULL;
	int code;

	if (!fsv->options.writable)
		return fsmeta_error_set(error, FSMETA_E_USAGE, fsv->root, "writing packets",
		    "the archive is open for reading");
	code = check_packets(name, track, format, packets, count, &bytes, error);
	if (code || !count)
		return code;
	stream = fsmeta_fsv_take_stream(fsv, name, strlen(name));
	if (!stream)
		return fsmeta_error_set_memory(error, "writing packets");
	pthread_mutex_lock(&stream->buffer_lock);
	if (stream->held_bytes + bytes > fsv->options.buffer_max_bytes) {
		code = refuse(stream, error);
	} else if (reserve_bytes(fsv, &stream->pending.bytes, bytes) ||
		   reserve_packets(&stream->pending, count)) {
		code = fsmeta_error_set_memory(error, "writing packets");
	} else {
		code = take_format(&named, stream, track, format, error);
	}
	if (!code) {
		if (!stream->held_bytes) {
			stream->min_time_us = INT64_MAX;
			stream->max_time_us = INT64_MIN;
		}
		queue_packets(stream, named, packets, count);
		stream->held_bytes += bytes;
		if (!stream->oldest_us)
			stream->oldest_us = fsmeta_fsv_clock_us();
		wake = stream->held_bytes >= fsv->options.buffer_bytes;
	}
	pthread_mutex_unlock(&stream->buffer_lock);
	if (wake || code == FSMETA_E_REFUSED) {
		pthread_mutex_lock(&fsv->lock);
		fsv->is_woken = true;
		pthread_cond_signal(&fsv->wake);
		pthread_mutex_unlock(&fsv->lock);
	}
	return code;
}

static int flush_stream(
    struct fsmeta_fsv *fsv, struct fsmeta_fsv_stream *stream, bool sync, struct fsmeta_error *error)
{
	int code;

	pthread_mutex_lock(&stream->content_lock);
	code = fsmeta_fsv_write_held(fsv, stream, error);
	if (!code && sync && stream->current)
		code = fsv->container->sync(stream->current, error);
	if (!code)
		code = fsmeta_fsv_tell_refusal(stream, error);
	pthread_mutex_unlock(&stream->content_lock);
	return code;
}

int fsmeta_fsv_flush(
    struct fsmeta_fsv *fsv, const char *name, bool sync, struct fsmeta_error *error)
{
	size_t count = fsmeta_fsv_count_streams(fsv);
	int first = 0;

	for (size_t i = 0; i < count; i++) {
		struct fsmeta_fsv_stream *stream = fsmeta_fsv_get_stream(fsv, i);
		int code;

		if (name && strcmp(stream->name, name) != 0)
			continue;
		code = flush_stream(fsv, stream, sync, first ? NULL : error);
		first = first ? first : code;
	}
	return first;
}

/* ---- the flusher ---- */

static bool is_due(const struct fsmeta_fsv *fsv, struct fsmeta_fsv_stream *stream)
{
	int64_t now = fsmeta_fsv_clock_us();
	bool due;

	pthread_mutex_lock(&stream->buffer_lock);
	due = stream->held_bytes && now >= stream->retry_at_us &&
	      (stream->failure.code || stream->held_bytes >= fsv->options.buffer_bytes ||
		  (stream->oldest_us && now - stream->oldest_us >= fsv->options.buffer_us));
	pthread_mutex_unlock(&stream->buffer_lock);
	return due;
}

static void nap(struct fsmeta_fsv *fsv)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += NAP_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	while (!fsv->stop && !fsv->is_woken)
		if (pthread_cond_timedwait(&fsv->wake, &fsv->lock, &until))
			break;
	fsv->is_woken = false;
}

static void seal_if_idle(struct fsmeta_fsv *fsv, struct fsmeta_fsv_stream *stream)
{
	/* Whoever holds it writes, or reads what can wait. */
	if (pthread_mutex_trylock(&stream->content_lock))
		return;
	if (stream->current && stream->written == stream->writing.count &&
	    fsmeta_fsv_clock_us() - stream->current_at_us >= fsv->options.idle_us)
		fsmeta_fsv_close_current(fsv, stream, NULL);
	pthread_mutex_unlock(&stream->content_lock);
}

static void *flush_for_ever(void *payload)
{
	struct fsmeta_fsv *fsv = payload;

	for (;;) {
		size_t count;
		uint64_t ignored;
		bool stop;

		pthread_mutex_lock(&fsv->lock);
		nap(fsv);
		count = fsv->stream_count;
		stop = fsv->stop;
		pthread_mutex_unlock(&fsv->lock);
		if (stop)
			return NULL;
		for (size_t i = 0; i < count; i++) {
			struct fsmeta_fsv_stream *stream = fsmeta_fsv_get_stream(fsv, i);

			if (!is_due(fsv, stream)) {
				seal_if_idle(fsv, stream);
				continue;
			}
			pthread_mutex_lock(&stream->content_lock);
			fsmeta_fsv_write_held(fsv, stream, NULL);
			pthread_mutex_unlock(&stream->content_lock);
		}
		fsmeta_fsv_roll_over(fsv, &ignored, NULL);
	}
}

int fsmeta_fsv_start_flusher(struct fsmeta_fsv *fsv, struct fsmeta_error *error)
{
	int result = pthread_create(&fsv->flusher, NULL, flush_for_ever, fsv);

	fsv->has_flusher = !result;
	return result ? fsmeta_error_set_errno(error, result, fsv->root, "starting a thread") : 0;
}

void fsmeta_fsv_stop_flusher(struct fsmeta_fsv *fsv)
{
	if (!fsv->has_flusher)
		return;
	pthread_mutex_lock(&fsv->lock);
	fsv->stop = true;
	pthread_cond_signal(&fsv->wake);
	pthread_mutex_unlock(&fsv->lock);
	pthread_join(fsv->flusher, NULL);
	fsv->has_flusher = false;
}
