/*
 * From a stream's buffer into its files.  All of it runs with the content lock of the stream.
 */
#include "archive/fsv_inside.h"
#include "archive/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	NAME_ATTEMPTS = 1000,
	/** After a write that failed. */
	RETRY_US = 1000000,
};

int fsmeta_fsv_close_current(
    struct fsmeta_fsv *fsv, struct fsmeta_fsv_stream *stream, struct fsmeta_error *error)
{
	bool counts = stream->current && stream->current_file.indexes;
	int code = fsv->container->close(stream->current, error);

	stream->current = NULL;
	if (counts && fsmeta_fsv_insert_file(stream, &stream->current_file) && !code)
		code = fsmeta_error_set_memory(error, "closing a file");
	stream->current_file = (struct fsmeta_fsv_file){0};
	return code;
}

static int begin_file(struct fsmeta_fsv *fsv, struct fsmeta_fsv_stream *stream, int64_t time_us,
    struct fsmeta_error *error)
{
	int code = fsmeta_fsv_close_current(fsv, stream, error);

	if (!code)
		code = fsmeta_names_make_folder(stream->folder, error);
	stream->current_file =
	    (struct fsmeta_fsv_file){.start_ms = fsmeta_fsv_free_start(stream, time_us / 1000)};
	if (!code)
		code = fsv->container->create(&stream->current, stream->folder,
		    (uint64_t)stream->current_file.start_ms, fsv->options.reserve_bytes, error);
	stream->current_start_us = time_us;
	return code;
}

bool fsmeta_fsv_is_same_format(
    const struct fsmeta_track_format *a, const struct fsmeta_track_format *b)
{
	return memcmp(a->codec, b->codec, sizeof(a->codec)) == 0 && a->is_audio == b->is_audio &&
	       a->width == b->width && a->height == b->height &&
	       fsmeta_look_is_same(&a->look, &b->look);
}

/** Whether a packet must stand in a new file; *continues where it is no key frame that begins it.
 */
static bool must_begin(const struct fsmeta_fsv *fsv, const struct fsmeta_fsv_stream *stream,
    int track, const struct fsmeta_track_format *format, const struct fsmeta_fsv_queued *packet,
    bool *continues)
{
	int64_t age = packet->time_us - stream->current_start_us;
	int64_t limit = fsv->options.file_us;
	bool key = packet->flags & FSMETA_PACKET_KEY && !format->is_audio;

	*continues = false;
	if (!stream->current)
		return true;
	if (key && (age >= limit - limit / 20 || age < 0))
		return true;
	*continues = !key;
	if (age >= limit)
		return true;
	if (!(stream->current_file.indexes & 1 << track))
		return false;
	return !fsmeta_fsv_is_same_format(&stream->current_formats[track], format) ||
	       !fsv->container->has_room(stream->current, stream->tracks[track],
		   packet->time_us > stream->current_bases[track] ? packet->time_us
								  : stream->current_bases[track],
		   packet->size, 1);
}

/** Counts what the current file has become. */
static void measure_current(struct fsmeta_fsv *fsv, struct fsmeta_fsv_stream *stream)
{
	uint64_t bytes = fsv->container->bytes(stream->current);

	fsmeta_fsv_count_bytes(fsv, bytes, stream->current_file.bytes);
	stream->current_file.bytes = bytes;
}

/** A name that stands on the disk all the same makes way for the next millisecond. */
static int add_track(struct fsmeta_fsv *fsv, struct fsmeta_fsv_stream *stream, const char *name,
    const struct fsmeta_track_format *format, struct fsmeta_error *error)
{
	for (int attempt = 0;; attempt++) {
		struct fsmeta_error local;
		int code;

		fsmeta_error_clear(&local);
		code = fsv->container->add_track(stream->current, name, format, &local);
		if (code && local.system_errno == EEXIST && !stream->current_file.indexes &&
		    attempt < NAME_ATTEMPTS) {
			fsv->container->close(stream->current, NULL);
			stream->current = NULL;
			stream->current_file.start_ms =
			    fsmeta_fsv_free_start(stream, stream->current_file.start_ms + 1);
			code = fsv->container->create(&stream->current, stream->folder,
			    (uint64_t)stream->current_file.start_ms, fsv->options.reserve_bytes,
			    &local);
			if (!code)
				continue;
		}
		if (code && error)
			*error = local;
		return code;
	}
}

static int begin_track(struct fsmeta_fsv *fsv, struct fsmeta_fsv_stream *stream, int track,
    const struct fsmeta_track_format *given, const struct fsmeta_fsv_queued *packet, bool continues,
    struct fsmeta_error *error)
{
	struct fsmeta_fsv_file *file = &stream->current_file;
	struct fsmeta_track_format format = *given;
	int code;

	format.base_us = packet->time_us - packet->lead_us;
	format.flags = continues && !format.is_audio ? FSMETA_TRACK_CONTINUES : 0;
	code = add_track(fsv, stream, stream->tracks[track], &format, error);
	if (code)
		return code;
	file->indexes |= (uint16_t)(1 << track);
	file->packets |= (uint16_t)(1 << track);
	stream->current_formats[track] = format;
	stream->current_bases[track] = format.base_us;
	measure_current(fsv, stream);
	return 0;
}

/** How many packets from `first` on go to the same place in one write. */
static size_t count_run(const struct fsmeta_fsv *fsv, const struct fsmeta_fsv_stream *stream,
    int track, size_t first, uint64_t *bytes)
{
	const struct fsmeta_fsv_queue *queue = &stream->writing;
	const struct fsmeta_track_format *format = &queue->packets[first].format->format;
	size_t end = first;

	*bytes = 0;
	while (end < queue->count && queue->packets[end].format == queue->packets[first].format) {
		const struct fsmeta_fsv_queued *packet = &queue->packets[end];
		bool ignored;

		if (end > first &&
		    (packet->time_us < stream->current_bases[track] ||
			must_begin(fsv, stream, track, format, packet, &ignored) ||
			!fsv->container->has_room(stream->current, stream->tracks[track],
			    packet->time_us, *bytes + packet->size, (uint32_t)(end - first + 1))))
			break;
		*bytes += packet->size;
		end++;
	}
	return end - first;
}

static int append_run(struct fsmeta_fsv *fsv, struct fsmeta_fsv_stream *stream, int track,
    size_t count, struct fsmeta_error *error)
{
	struct fsmeta_packet *packets = calloc(count, sizeof(*packets));
	const unsigned char *bytes = stream->writing.bytes.data + stream->written_bytes;
	int code;

	if (!packets)
		return fsmeta_error_set_memory(error, "writing packets");
	for (size_t i = 0; i < count; i++) {
		const struct fsmeta_fsv_queued *from =
		    &stream->writing.packets[stream->written + i];
		int64_t base = stream->current_bases[track];

		packets[i] = (struct fsmeta_packet){
		    .time_us = from->time_us > base ? from->time_us : base,
		    .flags = from->flags,
		    .bytes = bytes,
		    .size = from->size,
		};
		bytes += from->size;
	}
	code =
	    fsv->container->append(stream->current, stream->tracks[track], packets, count, error);
	free(packets);
	if (!code)
		measure_current(fsv, stream);
	return code;
}

/** Writes the next packets of `writing` that belong together. */
static int write_some(
    struct fsmeta_fsv *fsv, struct fsmeta_fsv_stream *stream, struct fsmeta_error *error)
{
	const struct fsmeta_fsv_queued *packet = &stream->writing.packets[stream->written];
	const struct fsmeta_fsv_named_format *named = packet->format;
	int track = (int)named->track;
	bool continues;
	uint64_t bytes;
	size_t count;
	int code = 0;

	if (must_begin(fsv, stream, track, &named->format, packet, &continues))
		code = begin_file(fsv, stream, packet->time_us - packet->lead_us, error);
	if (!code && !(stream->current_file.indexes & 1 << track))
		code = begin_track(fsv, stream, track, &named->format, packet, continues, error);
	if (code)
		return code;
	count = count_run(fsv, stream, track, stream->written, &bytes);
	code = append_run(fsv, stream, track, count, error);
	if (!code) {
		stream->written += count;
		stream->written_bytes += bytes;
		stream->current_at_us = fsmeta_fsv_clock_us();
	}
	return code;
}

static void clear_queue(struct fsmeta_fsv_queue *queue)
{
	queue->count = 0;
	fsmeta_buffer_clear(&queue->bytes);
}

/** What was written is held no more; the other buffer takes its place. */
static bool swap_queues(struct fsmeta_fsv_stream *stream)
{
	struct fsmeta_fsv_queue done;
	bool more;

	pthread_mutex_lock(&stream->buffer_lock);
	stream->held_bytes -= stream->written_bytes;
	stream->written = stream->written_bytes = 0;
	done = stream->writing;
	clear_queue(&done);
	stream->writing = stream->pending;
	stream->pending = done;
	stream->oldest_us = 0;
	more = stream->writing.count;
	if (!more) {
		stream->min_time_us = INT64_MAX;
		stream->max_time_us = INT64_MIN;
	}
	pthread_mutex_unlock(&stream->buffer_lock);
	return more;
}

static void note_result(
    struct fsmeta_fsv_stream *stream, int code, const struct fsmeta_error *error)
{
	pthread_mutex_lock(&stream->buffer_lock);
	if (code)
		stream->failure = *error;
	else
		fsmeta_error_clear(&stream->failure);
	stream->retry_at_us = code ? fsmeta_fsv_clock_us() + RETRY_US : 0;
	pthread_mutex_unlock(&stream->buffer_lock);
}

/**
 * What the container itself does not take will never be taken.  A run is one packet where it does
 * not fit, so it is the first that waits.
 */
static void leave_out(
    struct fsmeta_fsv *fsv, struct fsmeta_fsv_stream *stream, const struct fsmeta_error *error)
{
	stream->written_bytes += stream->writing.packets[stream->written++].size;
	if (!stream->refusal.code)
		stream->refusal = *error;
	pthread_mutex_lock(&fsv->lock);
	fsv->refused++;
	pthread_mutex_unlock(&fsv->lock);
}

int fsmeta_fsv_tell_refusal(struct fsmeta_fsv_stream *stream, struct fsmeta_error *error)
{
	int code = stream->refusal.code;

	if (code && error)
		*error = stream->refusal;
	fsmeta_error_clear(&stream->refusal);
	return code;
}

int fsmeta_fsv_write_held(
    struct fsmeta_fsv *fsv, struct fsmeta_fsv_stream *stream, struct fsmeta_error *out)
{
	struct fsmeta_error error;
	int code = 0;

	fsmeta_error_clear(&error);
	do {
		while (!code && stream->written < stream->writing.count) {
			code = write_some(fsv, stream, &error);
			if (code != FSMETA_E_LIMIT && code != FSMETA_E_USAGE)
				continue;
			leave_out(fsv, stream, &error);
			code = 0;
		}
	} while (!code && swap_queues(stream));
	note_result(stream, code, &error);
	if (code && out)
		*out = error;
	return code;
}
