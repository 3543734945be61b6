/*
 * Windows of FSV.  All of it runs with the content lock of the stream.
 */
#include "archive/fsv_inside.h"

#include <errno.h>
#include <string.h>

/** One reading. */
struct reading {
	struct fsmeta_fsv *fsv;
	struct fsmeta_fsv_stream *stream;
	const char *track;
	unsigned bit;
	struct fsmeta_buffer bytes;
	fsmeta_fsv_visit *visit;
	void *payload;
};

/** 1 with a reader; 0 where the file has no such track or is gone. */
static int open_file(struct fsmeta_container_reader **out, const struct reading *reading,
    const struct fsmeta_fsv_file *file, struct fsmeta_error *error)
{
	struct fsmeta_error local;
	int code;

	*out = NULL;
	if (!(file->indexes & file->packets & 1U << reading->bit))
		return 0;
	fsmeta_error_clear(&local);
	code = reading->fsv->container->open(
	    out, reading->stream->folder, fsmeta_fsv_name_time(file), reading->track, &local);
	if (code == FSMETA_E_SYSTEM && local.system_errno == ENOENT)
		return 0;
	/* A crash before the header was written, or no index at all; whoever checks reports it. */
	if (code == FSMETA_E_FOREIGN || code == FSMETA_E_LIMIT)
		return 0;
	if (code && error)
		*error = local;
	return code ? code : 1;
}

/** A track whose packets are handed out. */
struct visiting {
	const struct reading *reading;
	const struct fsmeta_track_format *format;
};

static int visit_packet(
    void *payload, const struct fsmeta_packet *packet, struct fsmeta_error *error)
{
	const struct visiting *visiting = payload;

	return visiting->reading->visit(
	    visiting->reading->payload, visiting->format, packet, error);
}

static int visit_packets(struct reading *reading, const struct fsmeta_track *track, uint32_t first,
    uint32_t last, struct fsmeta_error *error)
{
	struct visiting visiting = {.reading = reading, .format = &track->format};

	return fsmeta_track_visit_packets(
	    track, first, last, &reading->bytes, visit_packet, error, &visiting);
}

static bool needs_before(const struct fsmeta_track *track, uint32_t first)
{
	return !track->format.is_audio && track->format.flags & FSMETA_TRACK_CONTINUES &&
	       !fsmeta_track_begins_with_key(track, first);
}

/** *begin = the file before `i` with which decoding of it can begin, its last key frame the first.
 */
static int find_before(const struct reading *reading, size_t i, size_t *begin, uint32_t *first,
    struct fsmeta_error *error)
{
	struct fsmeta_container_reader *reader;
	bool more = true;

	for (*begin = i; more && *begin > reading->stream->file_first; --*begin) {
		const struct fsmeta_track *track;
		int code = open_file(&reader, reading, &reading->stream->files[*begin - 1], error);

		if (code <= 0)
			return code;
		track = reading->fsv->container->track(reader);
		*first = fsmeta_track_last_key(track);
		more = needs_before(track, *first);
		reading->fsv->container->release(reader);
	}
	return 0;
}

/**
 * Hands out what file `i`, which continues the one before, needs: from the last key frame on, files
 * away if need be.  One file is open at a time, as there may be more than a process may open.
 */
static int visit_before(struct reading *reading, size_t i, struct fsmeta_error *error)
{
	uint32_t first = 0;
	size_t begin;
	int code = find_before(reading, i, &begin, &first, error);

	for (size_t at = begin; at < i && !code; at++) {
		struct fsmeta_container_reader *reader;
		const struct fsmeta_track *track;

		code = open_file(&reader, reading, &reading->stream->files[at], error);
		if (code <= 0)
			continue;
		track = reading->fsv->container->track(reader);
		code = visit_packets(reading, track, at == begin ? first : 0, track->count, error);
		reading->fsv->container->release(reader);
	}
	return code;
}

/** Reads what one file, number `i` or the one that grows behind them, has of the window. */
static int read_file(struct reading *reading, size_t i, int64_t from_us, int64_t to_us,
    bool *at_start, struct fsmeta_error *error)
{
	const struct fsmeta_fsv_stream *stream = reading->stream;
	bool grows = i == stream->file_count;
	const struct fsmeta_fsv_file *file = grows ? &stream->current_file : &stream->files[i];
	struct fsmeta_container_reader *reader;
	const struct fsmeta_track *track;
	uint32_t first, last;
	int code = open_file(&reader, reading, file, error);

	if (code <= 0)
		return code;
	code = 0;
	track = reading->fsv->container->track(reader);
	fsmeta_track_window(
	    track, from_us, to_us, *at_start && !track->format.is_audio, &first, &last);
	if (last && *at_start && needs_before(track, first))
		code = visit_before(
		    reading, grows ? fsmeta_fsv_find_start(stream, file->start_ms) : i, error);
	/* What was begun is gone on with from the first packet. */
	if (last && !*at_start && !track->format.is_audio)
		first = 0;
	if (!code)
		code = visit_packets(reading, track, first, last, error);
	*at_start &= !last;
	reading->fsv->container->release(reader);
	return code;
}

static int read_files(
    struct reading *reading, int64_t from_us, int64_t to_us, struct fsmeta_error *error)
{
	const struct fsmeta_fsv_stream *stream = reading->stream;
	int64_t latest_ms =
	    to_us / 1000 < INT64_MAX - FSMETA_FSV_ANY_FILE_MS ? to_us / 1000 : INT64_MAX;
	bool at_start = true;
	int code = 0;

	for (size_t i = fsmeta_fsv_find_file(stream, from_us / 1000 - 1);
	     i < stream->file_count && stream->files[i].start_ms <= latest_ms && !code; i++)
		code = read_file(reading, i, from_us, to_us, &at_start, error);
	if (!code && stream->current)
		code = read_file(reading, stream->file_count, from_us, to_us, &at_start, error);
	return code;
}

static bool is_buffered(struct fsmeta_fsv_stream *stream, int64_t from_us, int64_t to_us)
{
	bool is;

	pthread_mutex_lock(&stream->buffer_lock);
	is = stream->held_bytes && stream->min_time_us < to_us && stream->max_time_us >= from_us;
	pthread_mutex_unlock(&stream->buffer_lock);
	return is;
}

int fsmeta_fsv_read(struct fsmeta_fsv *fsv, const char *name, const char *track, int64_t from_us,
    int64_t to_us, fsmeta_fsv_visit *visit, struct fsmeta_error *error, void *payload)
{
	struct reading reading = {.fsv = fsv, .track = track, .visit = visit, .payload = payload};
	size_t tracks;
	int code = 0;

	reading.stream = fsmeta_fsv_find_stream(fsv, name);
	if (!reading.stream || from_us >= to_us)
		return 0;
	pthread_mutex_lock(&reading.stream->content_lock);
	if (is_buffered(reading.stream, from_us, to_us))
		code = fsmeta_fsv_write_held(fsv, reading.stream, error);
	tracks = fsmeta_fsv_count_tracks(reading.stream);
	while (reading.bit < tracks && strcmp(reading.stream->tracks[reading.bit], track) != 0)
		reading.bit++;
	if (!code && reading.bit < tracks)
		code = read_files(&reading, from_us, to_us, error);
	pthread_mutex_unlock(&reading.stream->content_lock);
	fsmeta_buffer_release(&reading.bytes);
	return code;
}
