/*
 * Segments.
 *
 *     stream   ---K----------K----------K----------K--|-------K----     K = key frame
 *     segments [1699999999000][1700000999000][1700001999000 ][170000...
 *                  target reached: ends at the next K      ^ limit reached in between:
 *                                                            the next one CONTINUES
 *
 * A segment ends at the first key frame behind its target, which lies so far below the hard limits
 * (1024 s, 1 GiB, 65,535 packets) that this is what happens.  An encoder that sends key frames once
 * in a quarter of an hour runs into a limit: the segment then ends where it is, and the next one
 * says in its header that it continues; a reader that wants to decode it goes back to the key frame
 * before.  Nothing is dropped either way.
 *
 * Each segment begins with the parameter sets that are in force, in the key frame's own packet or,
 * where the encoder sent them once and never again, in a packet in front of it.  So each frame file
 * plays by itself, and `cat` of all of them too.
 *
 * The catalog gets a row when a segment begins and the final one when it is sealed: two small
 * transactions every quarter of an hour.  Between them the row's end is not known, and whoever asks
 * looks into the index.  After a crash fsmeta_segments_reconcile() makes the catalog from the
 * files; these are the truth.
 *
 * Clocks go backwards, too.  A key frame that is shown before the base of the growing segment
 * begins a new one; another packet is kept, shown at the base.
 */
#include "archive/segments.h"

#include "archive/annexb.h"
#include "archive/names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	TARGET_S = 1000,
	TARGET_BYTES = 960 << 20,
	TARGET_PACKETS = 60000,
	PAUSE_S = 10,
	RESERVE_BYTES = 16 << 20,
	SECOND_US = 1000000,
	/** Attempts to find a name where a segment of the same millisecond stands. */
	NAME_ATTEMPTS = 1000,
	/** Most that is read of a segment in one piece. */
	PATH_EXTRA = 64,
};

/** A stream that is written. */
struct stream {
	char *name;
	struct fsmeta_segment_format format;
	struct fsmeta_track_writer *writer;
	struct fsmeta_segment record;
	int64_t base_us;
	int64_t last_us;
	int64_t synced_us;
	/** Parameter sets in force. */
	struct fsmeta_buffer sets;
};

struct fsmeta_segments {
	char *root;
	bool writable;
	/** The catalog is in memory, because there is none to be read. */
	bool is_passing;
	struct fsmeta_segments_options options;
	struct fsmeta_segment_catalog *catalog;
	struct stream **streams;
	size_t stream_count;
};

/** The paths of one segment's files; *owned*. */
struct paths {
	char *index;
	char *frames;
};

static int make_paths(struct paths *out, const char *root, const char *stream, int64_t name_ms,
    const char *codec, struct fsmeta_error *error)
{
	out->index = fsmeta_names_join_format(root, "%s/%lld.vidx", stream, (long long)name_ms);
	out->frames =
	    fsmeta_names_join_format(root, "%s/%lld.%.4s", stream, (long long)name_ms, codec);
	if (!out->index || !out->frames)
		return fsmeta_error_set_memory(error, "naming a segment");
	return 0;
}

static void release_paths(struct paths *paths)
{
	free(paths->index);
	free(paths->frames);
	*paths = (struct paths){0};
}

/* ---- opening ---- */

static void set_options(
    struct fsmeta_segments_options *out, const struct fsmeta_segments_options *given)
{
	if (given)
		*out = *given;
	if (!out->target_us)
		out->target_us = (int64_t)TARGET_S * SECOND_US;
	if (!out->target_bytes)
		out->target_bytes = TARGET_BYTES;
	if (!out->target_packets)
		out->target_packets = TARGET_PACKETS;
	if (!out->pause_us)
		out->pause_us = (int64_t)PAUSE_S * SECOND_US;
	if (!out->reserve_bytes)
		out->reserve_bytes = RESERVE_BYTES;
	else if (out->reserve_bytes == 1)
		out->reserve_bytes = 0;
}

static int open_catalog(struct fsmeta_segments *segments, struct fsmeta_error *error)
{
	char *path = fsmeta_names_join(segments->root, FSMETA_SEGMENT_CATALOG_NAME);
	int code;

	if (!path)
		return fsmeta_error_set_memory(error, "opening the archive");
	segments->is_passing = !segments->writable && access(path, R_OK) < 0 && errno == ENOENT;
	code = fsmeta_segment_catalog_open(&segments->catalog,
	    segments->is_passing ? ":memory:" : path, segments->writable || segments->is_passing,
	    error);
	free(path);
	if (!code && segments->is_passing)
		code = fsmeta_segments_reconcile(segments, NULL, error);
	return code;
}

int fsmeta_segments_open(struct fsmeta_segments **out, const char *root, bool writable,
    const struct fsmeta_segments_options *options, struct fsmeta_error *error)
{
	struct fsmeta_segments *segments = calloc(1, sizeof(*segments));
	int code = 0;

	*out = NULL;
	if (!segments || !(segments->root = strdup(root))) {
		free(segments);
		return fsmeta_error_set_memory(error, "opening the archive");
	}
	segments->writable = writable;
	set_options(&segments->options, options);
	if (writable)
		code = fsmeta_names_make_folder(root, error);
	if (!code)
		code = open_catalog(segments, error);
	if (code)
		fsmeta_segments_close(segments, NULL);
	else
		*out = segments;
	return code;
}

struct fsmeta_segment_catalog *fsmeta_segments_catalog(struct fsmeta_segments *segments)
{
	return segments->catalog;
}

/* ---- writing ---- */

static int find_stream(struct stream **out, struct fsmeta_segments *segments, const char *name,
    struct fsmeta_error *error)
{
	struct stream **streams;
	struct stream *stream;

	for (size_t i = 0; i < segments->stream_count; i++) {
		*out = segments->streams[i];
		if (strcmp((*out)->name, name) == 0)
			return 0;
	}
	if (!fsmeta_names_is_stream(name))
		return fsmeta_error_set(error, FSMETA_E_USAGE, name, "naming a stream",
		    "it cannot be the name of a folder");
	streams =
	    realloc(segments->streams, (segments->stream_count + 1) * sizeof(*segments->streams));
	if (streams)
		segments->streams = streams;
	stream = streams ? calloc(1, sizeof(*stream)) : NULL;
	if (!stream || !(stream->name = strdup(name))) {
		free(stream);
		return fsmeta_error_set_memory(error, "adding a stream");
	}
	segments->streams[segments->stream_count++] = stream;
	*out = stream;
	return 0;
}

/** What the writer has, as the catalog keeps it. */
static void update_record(struct stream *stream)
{
	struct fsmeta_segment *record = &stream->record;

	fsmeta_track_written(
	    stream->writer, &record->packets, &record->frame_bytes, &record->end_us);
	record->index_bytes = FSMETA_TRACK_HEADER_BYTES + ((uint64_t)record->packets + 1) * 8;
}

static int seal(struct fsmeta_segments *segments, struct stream *stream, struct fsmeta_error *error)
{
	int code;

	if (!stream->writer)
		return 0;
	update_record(stream);
	code = fsmeta_track_close(stream->writer, error);
	stream->writer = NULL;
	stream->record.sealed = true;
	return code ? code : fsmeta_segment_catalog_put(segments->catalog, &stream->record, error);
}

/** Makes the files; a name that is taken makes way for the next millisecond. */
static int create_files(struct fsmeta_segments *segments, struct stream *stream,
    const struct fsmeta_track_format *format, struct fsmeta_error *error)
{
	int64_t name_ms = format->base_us / 1000;
	int code;

	for (int attempt = 0;; attempt++, name_ms++) {
		struct fsmeta_error local;
		struct paths paths = {0};

		fsmeta_error_clear(&local);
		code = make_paths(
		    &paths, segments->root, stream->name, name_ms, format->codec, &local);
		/* A frame file alone, or the other codec's, has the name as well. */
		if (!code)
			code = fsmeta_track_create(&stream->writer, paths.index, paths.frames,
			    format, segments->options.reserve_bytes, &local);
		release_paths(&paths);
		stream->record.name_ms = name_ms;
		if (code && local.system_errno == EEXIST && attempt < NAME_ATTEMPTS)
			continue;
		if (code && error)
			*error = local;
		return code;
	}
}

static int begin(struct fsmeta_segments *segments, struct stream *stream,
    const struct fsmeta_packet *packet, bool continues, struct fsmeta_error *error)
{
	struct fsmeta_track_format format = {
	    .flags = continues ? FSMETA_TRACK_CONTINUES : 0,
	    .width = stream->format.width,
	    .height = stream->format.height,
	    .look = stream->format.look,
	    .base_us = packet->time_us - packet->lead_us,
	};
	char *folder = fsmeta_names_join(segments->root, stream->name);
	int code;

	if (!folder)
		return fsmeta_error_set_memory(error, "beginning a segment");
	memcpy(format.codec, stream->format.codec, sizeof(format.codec));
	stream->record = (struct fsmeta_segment){.stream = stream->name,
	    .start_us = packet->time_us,
	    .width = format.width,
	    .height = format.height,
	    .continues = continues};
	memcpy(stream->record.codec, format.codec, sizeof(format.codec));
	stream->base_us = format.base_us;
	stream->last_us = stream->synced_us = packet->time_us;
	code = fsmeta_names_make_folder(folder, error);
	if (!code)
		code = create_files(segments, stream, &format, error);
	if (!code)
		code = fsmeta_names_sync_folder(folder, error);
	free(folder);
	if (code)
		return code;
	update_record(stream);
	return fsmeta_segment_catalog_put(segments->catalog, &stream->record, error);
}

/** Whether the packet begins a segment; *continues where it is no key frame that does. */
static bool must_begin(const struct fsmeta_segments *segments, const struct stream *stream,
    const struct fsmeta_packet *packet, bool changed, bool *continues)
{
	const struct fsmeta_segments_options *options = &segments->options;
	bool key = packet->flags & FSMETA_PACKET_KEY;
	uint64_t bytes = packet->size + stream->sets.length;
	uint32_t count;
	uint64_t written;
	int64_t end_us;

	*continues = false;
	if (!stream->writer)
		return true;
	fsmeta_track_written(stream->writer, &count, &written, &end_us);
	if (key)
		return changed || packet->time_us < stream->base_us ||
		       packet->time_us - stream->base_us >= options->target_us ||
		       written + bytes > options->target_bytes ||
		       count >= options->target_packets ||
		       packet->time_us - stream->last_us > options->pause_us ||
		       !fsmeta_track_has_room(stream->writer, packet->time_us, bytes, 2);
	*continues = packet->time_us >= stream->base_us &&
		     !fsmeta_track_has_room(stream->writer, packet->time_us, bytes, 2);
	return *continues;
}

/** The parameter sets in front of a packet that has none and begins a segment. */
static int append_sets(
    struct stream *stream, const struct fsmeta_packet *packet, struct fsmeta_error *error)
{
	struct fsmeta_packet sets = {
	    .time_us = packet->time_us,
	    .flags = FSMETA_PACKET_ESSENTIAL | FSMETA_PACKET_ANNEX_B,
	    .bytes = stream->sets.data,
	    .size = stream->sets.length,
	};

	return fsmeta_track_append(stream->writer, &sets, 1, error);
}

static int sync_if_due(
    struct fsmeta_segments *segments, struct stream *stream, struct fsmeta_error *error)
{
	int code;

	if (!segments->options.sync_us ||
	    stream->last_us - stream->synced_us < segments->options.sync_us)
		return 0;
	code = fsmeta_track_sync(stream->writer, error);
	if (!code)
		stream->synced_us = stream->last_us;
	return code;
}

static bool is_same_format(
    const struct fsmeta_segment_format *a, const struct fsmeta_segment_format *b)
{
	return memcmp(a->codec, b->codec, sizeof(a->codec)) == 0 && a->width == b->width &&
	       a->height == b->height && fsmeta_look_is_same(&a->look, &b->look);
}

/** Whether a segment may begin here, and with what before it. */
static int prepare(struct stream *stream, const struct fsmeta_segment_format *format,
    const struct fsmeta_packet *packet, const struct fsmeta_annexb_summary *summary, bool changed,
    struct fsmeta_error *error)
{
	static const char action[] = "appending a packet";
	enum fsmeta_codec codec = fsmeta_codec_from_name(format->codec);

	if (changed) {
		if (!(packet->flags & FSMETA_PACKET_KEY))
			return fsmeta_error_set(error, FSMETA_E_USAGE, stream->name, action,
			    "the format changes at another place than a key frame");
		if (!summary->has_parameter_sets)
			fsmeta_buffer_clear(&stream->sets);
	}
	if (fsmeta_annexb_update_sets(&stream->sets, codec, packet->bytes, packet->size))
		return fsmeta_error_set_memory(error, action);
	if (changed || !stream->writer)
		stream->format = *format;
	return 0;
}

static int check_packet(const struct fsmeta_segment_format *format, const char *stream,
    const struct fsmeta_packet *packet, struct fsmeta_annexb_summary *summary,
    struct fsmeta_error *error)
{
	static const char action[] = "appending a packet";
	enum fsmeta_codec codec = fsmeta_codec_from_name(format->codec);

	if (codec == FSMETA_CODEC_OTHER)
		return fsmeta_error_set(error, FSMETA_E_USAGE, stream, action,
		    "segments are of h264 or h265, not %.4s", format->codec);
	fsmeta_annexb_summarise(summary, codec, packet->bytes, packet->size);
	if (!summary->is_annexb)
		return fsmeta_error_set(error, FSMETA_E_USAGE, stream, action,
		    "the packet has no start code (Annex B)");
	if (packet->time_us < 0 || packet->time_us > INT64_MAX / 2 ||
	    packet->lead_us > packet->time_us)
		return fsmeta_error_set(error, FSMETA_E_USAGE, stream, action,
		    "the packet is shown before 1970 or never");
	return 0;
}

static int append_to_stream(struct fsmeta_segments *segments, struct stream *stream,
    const struct fsmeta_annexb_summary *summary, const struct fsmeta_packet *packet, bool changed,
    struct fsmeta_error *error)
{
	bool continues;
	int code = 0;

	if (must_begin(segments, stream, packet, changed, &continues)) {
		/* Parameter sets that come ahead wait for their key frame. */
		if (!summary->has_slices)
			return 0;
		if (!continues && !(packet->flags & FSMETA_PACKET_KEY))
			return fsmeta_error_set(error, FSMETA_E_REFUSED, stream->name,
			    "beginning a segment", "there was no key frame yet");
		if (!summary->has_parameter_sets && !stream->sets.length)
			return fsmeta_error_set(error, FSMETA_E_REFUSED, stream->name,
			    "beginning a segment", "there were no parameter sets yet");
		code = seal(segments, stream, error);
		if (!code)
			code = begin(segments, stream, packet, continues, error);
		if (!code && !summary->has_parameter_sets)
			code = append_sets(stream, packet, error);
	}
	if (!code)
		code = fsmeta_track_append(stream->writer, packet, 1, error);
	if (!code)
		stream->last_us = packet->time_us;
	return code;
}

int fsmeta_segments_append(struct fsmeta_segments *segments, const char *name,
    const struct fsmeta_segment_format *format, const struct fsmeta_packet *given,
    struct fsmeta_error *error)
{
	struct fsmeta_packet packet = *given;
	struct fsmeta_annexb_summary summary;
	struct stream *stream = NULL;
	bool changed;
	int code;

	if (!segments->writable)
		return fsmeta_error_set(error, FSMETA_E_USAGE, segments->root, "appending a packet",
		    "the archive is open for reading");
	code = check_packet(format, name, given, &summary, error);
	if (!code)
		code = find_stream(&stream, segments, name, error);
	if (code)
		return code;
	packet.flags |= FSMETA_PACKET_ANNEX_B;
	if (summary.is_key)
		packet.flags |= FSMETA_PACKET_KEY;
	else if (!summary.has_slices)
		packet.flags |= FSMETA_PACKET_ESSENTIAL;
	changed = stream->writer && !is_same_format(&stream->format, format);
	code = prepare(stream, format, &packet, &summary, changed, error);
	if (!code && stream->writer && !(packet.flags & FSMETA_PACKET_KEY) &&
	    packet.time_us < stream->base_us)
		packet.time_us = stream->base_us;
	if (!code)
		code = append_to_stream(segments, stream, &summary, &packet, changed, error);
	if (!code && stream->writer)
		code = sync_if_due(segments, stream, error);
	return code;
}

int fsmeta_segments_sync(struct fsmeta_segments *segments, struct fsmeta_error *error)
{
	for (size_t i = 0; i < segments->stream_count; i++) {
		struct stream *stream = segments->streams[i];
		int code = stream->writer ? fsmeta_track_sync(stream->writer, error) : 0;

		if (code)
			return code;
		stream->synced_us = stream->last_us;
	}
	return 0;
}

int fsmeta_segments_close(struct fsmeta_segments *segments, struct fsmeta_error *error)
{
	int first = 0;

	if (!segments)
		return 0;
	for (size_t i = 0; i < segments->stream_count; i++) {
		struct stream *stream = segments->streams[i];
		int code = seal(segments, stream, first ? NULL : error);

		first = first ? first : code;
		fsmeta_buffer_release(&stream->sets);
		free(stream->name);
		free(stream);
	}
	free(segments->streams);
	fsmeta_segment_catalog_close(segments->catalog);
	free(segments->root);
	free(segments);
	return first;
}

/* ---- reconciling ---- */

/** "1700000000123.vidx": the number, and what stands behind the dot. */
static const char *split_name(const char *name, int64_t *name_ms)
{
	uint64_t value;
	size_t digits = fsmeta_names_number(&value, name, strlen(name));

	*name_ms = (int64_t)value;
	return digits && name[digits] == '.' ? name + digits + 1 : NULL;
}

static bool has_name(const struct fsmeta_names *names, int64_t name_ms, const char *ending)
{
	char wanted[PATH_EXTRA];
	const char *key = wanted;
	size_t low = 0, high = names->count;

	snprintf(wanted, sizeof(wanted), "%lld.%s", (long long)name_ms, ending);
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(names->items[middle], key);

		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/** What a segment's files say of it; false where they are none. */
static int describe(struct fsmeta_segment *out, const struct paths *paths, uint64_t *lost_packets,
    struct fsmeta_error *error)
{
	struct fsmeta_track track;
	int code = fsmeta_track_open(&track, paths->index, paths->frames, error);

	if (code)
		return code;
	fsmeta_track_extent(&track, &out->start_us, &out->end_us);
	out->packets = track.count;
	out->index_bytes = track.index_bytes;
	out->frame_bytes = track.packets_bytes;
	memcpy(out->codec, track.format.codec, FSMETA_CODEC_BYTES);
	out->width = track.format.width;
	out->height = track.format.height;
	out->continues = track.format.flags & FSMETA_TRACK_CONTINUES;
	out->sealed = track.is_sealed;
	*lost_packets += track.lost_packets;
	fsmeta_track_release(&track);
	return 0;
}

static int reconcile_segment(struct fsmeta_segments *segments, const char *stream, int64_t name_ms,
    const char *codec, struct fsmeta_segments_found *found, struct fsmeta_error *error)
{
	struct fsmeta_segment segment = {.stream = stream, .name_ms = name_ms};
	struct paths paths = {0};
	uint64_t lost = 0;
	int recovered = 0;
	int code = make_paths(&paths, segments->root, stream, name_ms, codec, error);

	/* Counted before a recovery takes them out of the index. */
	if (!code)
		code = describe(&segment, &paths, &lost, error);
	if (!code && segments->writable) {
		recovered = fsmeta_track_recover(paths.index, paths.frames, error);
		if (recovered == FSMETA_E_BUSY)
			found->growing++;
		else
			code = recovered < 0 ? recovered : 0;
		if (!code && recovered == 1)
			code = describe(&segment, &paths, &(uint64_t){0}, error);
	} else if (!code && !segment.sealed) {
		found->growing++;
	}
	release_paths(&paths);
	if (fsmeta_track_is_damage(code)) {
		found->orphans++;
		fsmeta_error_clear(error);
		return 0;
	}
	if (code)
		return code;
	found->segments++;
	found->recovered += recovered == 1;
	found->lost_packets += lost;
	return fsmeta_segment_catalog_put(segments->catalog, &segment, error);
}

static int reconcile_stream(struct fsmeta_segments *segments, const char *stream,
    struct fsmeta_segments_found *found, struct fsmeta_error *error)
{
	struct fsmeta_names names;
	char *folder = fsmeta_names_join(segments->root, stream);
	int code;

	if (!folder)
		return fsmeta_error_set_memory(error, "reconciling");
	code = fsmeta_names_list(&names, folder, error);
	free(folder);
	if (code && error && error->system_errno == ENOTDIR) {
		fsmeta_error_clear(error);
		code = 0;
	}
	for (size_t i = 0; i < names.count && !code; i++) {
		int64_t name_ms;
		const char *ending = split_name(names.items[i], &name_ms);

		if (!ending)
			continue;
		if (strcmp(ending, "vidx") == 0) {
			const char *codec = has_name(&names, name_ms, "h264")   ? "h264"
					    : has_name(&names, name_ms, "h265") ? "h265"
										: NULL;

			if (codec)
				code = reconcile_segment(
				    segments, stream, name_ms, codec, found, error);
			else
				found->orphans++;
		} else if (strcmp(ending, "h264") == 0 || strcmp(ending, "h265") == 0) {
			found->orphans += !has_name(&names, name_ms, "vidx");
		}
	}
	fsmeta_names_release(&names);
	return code;
}

/** A catalog that cannot be written to makes way for one in memory. */
static int pass_catalog(struct fsmeta_segments *segments, struct fsmeta_error *error)
{
	struct fsmeta_segment_catalog *catalog;
	int code;

	if (segments->writable || segments->is_passing)
		return 0;
	code = fsmeta_segment_catalog_open(&catalog, ":memory:", true, error);
	if (code)
		return code;
	fsmeta_segment_catalog_close(segments->catalog);
	segments->catalog = catalog;
	segments->is_passing = true;
	return 0;
}

int fsmeta_segments_reconcile(
    struct fsmeta_segments *segments, struct fsmeta_segments_found *out, struct fsmeta_error *error)
{
	struct fsmeta_segments_found found = {0};
	struct fsmeta_error local;
	struct fsmeta_names names;
	int code;

	fsmeta_error_clear(&local);
	code = fsmeta_names_list(&names, segments->root, &local);
	if (!code)
		code = pass_catalog(segments, &local);
	if (!code)
		code = fsmeta_segment_catalog_begin(segments->catalog, &local);
	if (code) {
		fsmeta_names_release(&names);
		if (error)
			*error = local;
		return code;
	}
	code = fsmeta_segment_catalog_clear(segments->catalog, &local);
	for (size_t i = 0; i < names.count && !code; i++)
		if (fsmeta_names_is_stream(names.items[i]) &&
		    strncmp(names.items[i], FSMETA_SEGMENT_CATALOG_NAME,
			sizeof(FSMETA_SEGMENT_CATALOG_NAME) - 1) != 0)
			code = reconcile_stream(segments, names.items[i], &found, &local);
	if (!code)
		code = fsmeta_segment_catalog_commit(segments->catalog, &local);
	if (code)
		fsmeta_segment_catalog_rollback(segments->catalog);
	fsmeta_names_release(&names);
	if (out)
		*out = found;
	if (code && error)
		*error = local;
	return code;
}

/* ---- reading ---- */

struct reading {
	struct fsmeta_segments *segments;
	int64_t from_us;
	int64_t to_us;
	uint64_t missing;
	/** Nothing was handed out yet, so what comes must begin with a key frame. */
	bool at_start;
	fsmeta_packet_visit *visit;
	void *payload;
	struct fsmeta_buffer bytes;
};

/** A segment whose packets are handed out. */
struct visiting {
	const struct reading *reading;
	const struct fsmeta_segment *segment;
};

static int visit_packet(
    void *payload, const struct fsmeta_packet *packet, struct fsmeta_error *error)
{
	const struct visiting *visiting = payload;

	return visiting->reading->visit(
	    visiting->reading->payload, visiting->segment, packet, error);
}

static int visit_packets(struct reading *reading, const struct fsmeta_segment *segment,
    const struct fsmeta_track *track, uint32_t first, uint32_t last, struct fsmeta_error *error)
{
	struct fsmeta_segment described = *segment;
	struct visiting visiting = {.reading = reading, .segment = &described};

	described.look = track->format.look;
	return fsmeta_track_visit_packets(
	    track, first, last, &reading->bytes, visit_packet, error, &visiting);
}

static int open_segment(struct fsmeta_track *track, struct reading *reading,
    const struct fsmeta_segment *segment, struct fsmeta_error *error)
{
	struct fsmeta_error local;
	struct paths paths = {0};
	int code;

	fsmeta_error_clear(&local);
	code = make_paths(&paths, reading->segments->root, segment->stream, segment->name_ms,
	    segment->codec, &local);
	if (!code)
		code = fsmeta_track_open(track, paths.index, paths.frames, &local);
	release_paths(&paths);
	if (code == FSMETA_E_SYSTEM && local.system_errno == ENOENT) {
		reading->missing++;
		return 0;
	}
	if (code && error)
		*error = local;
	return code ? code : 1;
}

/** A copy of a record that outlives its row. */
struct kept_segment {
	struct fsmeta_segment segment;
	char stream[256];
	bool found;
};

static int keep_segment(
    void *payload, const struct fsmeta_segment *segment, struct fsmeta_error *error)
{
	struct kept_segment *kept = payload;

	(void)error;
	kept->segment = *segment;
	snprintf(kept->stream, sizeof(kept->stream), "%s", segment->stream);
	kept->segment.stream = kept->stream;
	kept->found = true;
	return 0;
}

/**
 * Appends to `chain` the segments before `segment` with which decoding of it can begin, the latest
 * first; of the earliest, packets from *first on are needed.
 */
static int find_before(struct reading *reading, const struct fsmeta_segment *segment,
    struct fsmeta_buffer *chain, uint32_t *first, struct fsmeta_error *error)
{
	int64_t start_us = segment->start_us;
	bool more = true;

	while (more) {
		struct kept_segment before = {0};
		struct fsmeta_track track;
		int code = fsmeta_segment_catalog_previous(reading->segments->catalog,
		    segment->stream, start_us, keep_segment, error, &before);

		if (code || !before.found)
			return code;
		code = open_segment(&track, reading, &before.segment, error);
		if (code <= 0)
			return code;
		*first = fsmeta_track_last_key(&track);
		more = !fsmeta_track_begins_with_key(&track, *first) && before.segment.continues;
		fsmeta_track_release(&track);
		start_us = before.segment.start_us;
		before.segment.stream = segment->stream;
		if (fsmeta_buffer_append(chain, &before.segment, sizeof(before.segment)))
			return fsmeta_error_set_memory(error, "reading a stream");
	}
	return 0;
}

/**
 * Hands out what a segment that continues another needs: from the last key frame on, segments away
 * if need be.  One is open at a time, as there may be more than a process may open.
 */
static int visit_before(
    struct reading *reading, const struct fsmeta_segment *segment, struct fsmeta_error *error)
{
	struct fsmeta_buffer chain = {0};
	uint32_t first = 0;
	int code = find_before(reading, segment, &chain, &first, error);

	for (size_t left = chain.length; left && !code; first = 0) {
		struct fsmeta_segment before;
		struct fsmeta_track track;

		left -= sizeof(before);
		memcpy(&before, chain.data + left, sizeof(before));
		code = open_segment(&track, reading, &before, error);
		if (code <= 0)
			continue;
		code = visit_packets(reading, &before, &track, first, track.count, error);
		fsmeta_track_release(&track);
	}
	fsmeta_buffer_release(&chain);
	return code;
}

static int read_segment(
    void *payload, const struct fsmeta_segment *segment, struct fsmeta_error *error)
{
	struct reading *reading = payload;
	struct fsmeta_track track;
	uint32_t first, last;
	int code = open_segment(&track, reading, segment, error);

	if (code <= 0)
		return code;
	code = 0;
	fsmeta_track_window(
	    &track, reading->from_us, reading->to_us, reading->at_start, &first, &last);
	/* What was begun is gone on with from the first packet. */
	if (last && !reading->at_start)
		first = 0;
	if (last && reading->at_start && !fsmeta_track_begins_with_key(&track, first) &&
	    segment->continues)
		code = visit_before(reading, segment, error);
	if (!code)
		code = visit_packets(reading, segment, &track, first, last, error);
	reading->at_start &= !last;
	fsmeta_track_release(&track);
	return code;
}

int fsmeta_segments_read(struct fsmeta_segments *segments, const char *stream, int64_t from_us,
    int64_t to_us, uint64_t *missing, fsmeta_packet_visit *visit, struct fsmeta_error *error,
    void *payload)
{
	struct reading reading = {.segments = segments,
	    .from_us = from_us,
	    .to_us = to_us,
	    .at_start = true,
	    .visit = visit,
	    .payload = payload};
	int code = fsmeta_segment_catalog_window(
	    segments->catalog, stream, from_us, to_us, read_segment, error, &reading);

	if (missing)
		*missing = reading.missing;
	fsmeta_buffer_release(&reading.bytes);
	return code;
}
