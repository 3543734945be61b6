/*
 * A window of a stream as a file.
 *
 *     fsv, segments, recording ──visit──> take_video ──> [ahead, 128 packets] ──> begin_file
 *                                             │                                      │
 *                                             └── when it has begun ──> write_video ─┴─> muxer
 *     fsv, a second handle ──visit, 2 s at a time, never behind the video──> take_audio ──┘
 *
 * The stores hand packets out in the order of decoding, each with the time when it is shown.  The
 * beginning is held back until it is known how far the encoder reorders and which parameter sets
 * there are; from then on packets go straight through, and memory does not depend on the window.
 *
 * Three things are not handed on.  Packets before the first key frame, if the stream has none so
 * early.  Leading pictures of an H.265 stream with open groups: they follow the first key frame,
 * are shown before it, and lean on what is not there; where the window begins with one of these, it
 * is read again from an earlier time.  And the parameter sets that `archive write` put in front of
 * key frames; they stand in front of the file.
 *
 * A visitor must not use the archive that it is called from, so sound is read by another handle.
 */
#include "archive/media_read.h"

#include "archive/annexb.h"
#include "archive/fsv.h"
#include "archive/media_grid.h"
#include "archive/media_nal.h"
#include "archive/media_order.h"
#include "archive/recordings.h"
#include "archive/segments.h"
#include "base/text.h"

#include <endian.h>
#include <string.h>

enum {
	AHEAD_BYTES = 64 << 20,
	/** Sound is read in pieces of this. */
	AUDIO_PIECE_US = 2000000,
	AUDIO_BEFORE_US = 1000000,
	/** A tick and more: times of two tracks are rounded apart. */
	NEAR_US = 1000,
	/** Of an index word, rounded up. */
	TICK_US = 245,
	AUDIO_CONFIG_BYTES = 8,
	RECORDING_PIECE_BYTES = 32 << 20,
	VIDEO = 0,
	AUDIO = 1,
	TIME_DIGITS = 19,
	/** How much earlier first, and each time twice as much, up to the length of any file. */
	EARLIER_US = 500000,
	EARLIER_MAX_US = 1024000000,
	/** What a visitor ends a reading with that begins too late. */
	READ_EARLIER = 2,
	/** … and with one that needs the parameter sets at the start of a segment. */
	READ_SETS = 3,
};

static const char action[] = "reading a stream";

/** A packet that is held back. */
struct ahead {
	size_t offset;
	size_t size;
	bool is_key;
};

struct reading {
	const struct fsmeta_media_operations *media;
	const struct fsmeta_media_window *window;
	int fd;
	const char *name;
	struct fsmeta_media_read *result;
	struct fsmeta_media_output *output;

	struct fsmeta_media_track tracks[2];
	enum fsmeta_codec codec;
	/** Parameter sets in force, and those that stand in front of the file. */
	struct fsmeta_buffer sets;
	struct fsmeta_buffer first_sets;
	/** Sets may stand in packets without being the encoder's own. */
	bool strips_sets;
	bool has_begun;
	/** The first key frame's, where the file's clock begins. */
	int64_t origin_us;
	/** A second key frame has come, so nothing leads any more. */
	bool is_behind_start;
	bool has_in_window;
	/** Where reading begins: the window's beginning, or earlier. */
	int64_t read_from_us;
	/** There is nothing earlier, so what there is must do. */
	bool accepts_late;
	/** Of the packet at hand. */
	int64_t segment_start_us;

	struct ahead ahead[FSMETA_ORDER_AHEAD];
	int64_t ahead_us[FSMETA_ORDER_AHEAD];
	size_t ahead_count;
	struct fsmeta_buffer ahead_bytes;
	/** Of layouts that cut times to ticks. */
	struct fsmeta_grid grid;
	struct fsmeta_order order;
	struct fsmeta_buffer scratch;
	/** A piece of a recording. */
	struct fsmeta_buffer chunks;

	struct fsmeta_fsv *audio;
	struct fsmeta_buffer audio_config;
	/** Sound is written up to here, and the piece that is read began there. */
	int64_t audio_us;
	int64_t audio_piece_us;
};

/* ---- sound ---- */

static int open_fsv(
    const struct reading *reading, struct fsmeta_fsv **out, struct fsmeta_error *error)
{
	const struct fsmeta_fsv_options options = {.only_stream = reading->window->stream};

	return fsmeta_fsv_open(out, reading->window->archive, &options, error);
}

static int take_audio(void *payload, const struct fsmeta_track_format *format,
    const struct fsmeta_packet *packet, struct fsmeta_error *error)
{
	struct reading *reading = payload;
	struct fsmeta_media_packet out = {
	    .track = AUDIO,
	    .is_key = true,
	    .pts_us = packet->time_us - reading->origin_us,
	    .dts_us = packet->time_us - reading->origin_us,
	    .bytes = packet->bytes,
	    .size = packet->size,
	};
	int code;

	/* What lies among the packets of this piece and is of another one. */
	if (packet->time_us < reading->audio_piece_us || packet->time_us >= reading->audio_us)
		return 0;
	if (packet->flags & FSMETA_PACKET_ESSENTIAL ||
	    memcmp(format->codec, reading->tracks[AUDIO].codec, sizeof(format->codec)) != 0)
		return 0;
	code = reading->media->write(reading->output, &out, error);
	reading->result->audio_packets += !code;
	reading->result->bytes += packet->size;
	return code;
}

/** Sound up to `until_us`, and no further than the window. */
static int write_audio(struct reading *reading, int64_t until_us, struct fsmeta_error *error)
{
	if (until_us > reading->window->to_us)
		until_us = reading->window->to_us;
	if (!reading->audio || until_us <= reading->audio_us)
		return 0;
	reading->audio_piece_us = reading->audio_us;
	reading->audio_us = until_us;
	return fsmeta_fsv_read(reading->audio, reading->window->stream, "audio",
	    reading->audio_piece_us, until_us, take_audio, error, reading);
}

/** 1 with the configuration of the sound. */
static int find_config(void *payload, const struct fsmeta_track_format *format,
    const struct fsmeta_packet *packet, struct fsmeta_error *error)
{
	struct reading *reading = payload;
	struct fsmeta_media_track *track = &reading->tracks[AUDIO];
	const unsigned char *bytes = packet->bytes;
	uint32_t rate;
	uint16_t channels;

	if (!(packet->flags & FSMETA_PACKET_ESSENTIAL) || packet->size < AUDIO_CONFIG_BYTES)
		return 0;
	memcpy(&rate, bytes, sizeof(rate));
	memcpy(&channels, bytes + sizeof(rate), sizeof(channels));
	track->sample_rate = le32toh(rate);
	track->channels = le16toh(channels);
	if (!track->sample_rate || track->sample_rate > INT32_MAX || !track->channels)
		return 0;
	track->is_audio = true;
	memcpy(track->codec, format->codec, sizeof(track->codec));
	if (packet->size > AUDIO_CONFIG_BYTES &&
	    fsmeta_buffer_append(&reading->audio_config, bytes + AUDIO_CONFIG_BYTES,
		packet->size - AUDIO_CONFIG_BYTES))
		return fsmeta_error_set_memory(error, action);
	track->config = reading->audio_config.data;
	track->config_bytes = reading->audio_config.length;
	return 1;
}

/** Sound begins with the picture; where the stream does, a little of it may be earlier. */
static int64_t first_sound(const struct reading *reading)
{
	int64_t from_us = reading->window->from_us, origin_us = reading->origin_us;

	if (from_us >= origin_us)
		return origin_us;
	return from_us > origin_us - AUDIO_BEFORE_US ? from_us : origin_us - AUDIO_BEFORE_US;
}

/** How many tracks the file will have: 2 with sound. */
static int find_audio(struct reading *reading, size_t *count, struct fsmeta_error *error)
{
	const struct fsmeta_media_window *window = reading->window;
	int code;

	*count = 1;
	if (window->layout != FSMETA_LAYOUT_FSV)
		return 0;
	code = open_fsv(reading, &reading->audio, error);
	if (!code)
		code = fsmeta_fsv_read(reading->audio, window->stream, "audio",
		    reading->origin_us - NEAR_US, window->to_us, find_config, error, reading);
	if (code == 1 && reading->media->takes(reading->name, &reading->tracks[AUDIO])) {
		*count = 2;
		reading->audio_us = first_sound(reading);
		return 0;
	}
	reading->result->has_left_audio = code == 1;
	fsmeta_fsv_close(reading->audio, NULL);
	reading->audio = NULL;
	return code < 0 ? code : 0;
}

/* ---- video ---- */

static int write_video(struct reading *reading, int64_t time_us, bool is_key, const void *bytes,
    size_t size, struct fsmeta_error *error)
{
	struct fsmeta_media_read *result = reading->result;
	int64_t decode_us = fsmeta_order_next(&reading->order, time_us);
	struct fsmeta_media_packet packet = {
	    .track = VIDEO,
	    .is_key = is_key,
	    .pts_us = time_us - reading->origin_us,
	    .dts_us = decode_us - reading->origin_us,
	    .bytes = bytes,
	    .size = size,
	};
	int code = 0;

	if (decode_us >= reading->audio_us)
		code = write_audio(reading, decode_us + AUDIO_PIECE_US, error);
	if (!code)
		code = reading->media->write(reading->output, &packet, error);
	if (time_us > result->to_us)
		result->to_us = time_us;
	result->video_packets++;
	result->bytes += size;
	return code;
}

/** Times as they were before they were cut to ticks, if they tell. */
static void place_beginning(struct reading *reading)
{
	if (reading->window->layout != FSMETA_LAYOUT_RECORDING)
		fsmeta_grid_find(&reading->grid, reading->ahead_us, reading->ahead_count);
	if (reading->grid.frames)
		reading->tracks[VIDEO].framerate_millihertz =
		    reading->grid.frames * 1000 / reading->grid.seconds;
	for (size_t i = 0; i < reading->ahead_count; i++)
		reading->ahead_us[i] = fsmeta_grid_snap(&reading->grid, reading->ahead_us[i]);
	reading->origin_us = reading->ahead_us[0];
	reading->result->from_us = reading->result->to_us = reading->origin_us;
}

/** With the beginning of the window, or all of it, in `ahead`. */
static int begin_file(struct reading *reading, struct fsmeta_error *error)
{
	const struct ahead *first = &reading->ahead[0];
	struct fsmeta_media_packet key = {
	    .is_key = true,
	    .bytes = reading->ahead_bytes.data + first->offset,
	    .size = first->size,
	};
	size_t count;
	int code;

	place_beginning(reading);
	code = find_audio(reading, &count, error);
	reading->tracks[VIDEO].config = reading->first_sets.data;
	reading->tracks[VIDEO].config_bytes = reading->first_sets.length;
	if (!code)
		code = reading->media->create(&reading->output, reading->fd, reading->name,
		    reading->tracks, count, &key, reading->origin_us, error);
	if (code)
		return code;
	fsmeta_order_begin(&reading->order, reading->media->reorder_depth(reading->output),
	    reading->ahead_us, reading->ahead_count);
	for (size_t i = 0; i < reading->ahead_count && !code; i++)
		code = write_video(reading, reading->ahead_us[i], reading->ahead[i].is_key,
		    reading->ahead_bytes.data + reading->ahead[i].offset, reading->ahead[i].size,
		    error);
	fsmeta_buffer_release(&reading->ahead_bytes);
	return code;
}

static int hold_back(struct reading *reading, int64_t time_us, bool is_key, const void *bytes,
    size_t size, struct fsmeta_error *error)
{
	size_t i = reading->ahead_count;

	reading->ahead[i] =
	    (struct ahead){.offset = reading->ahead_bytes.length, .size = size, .is_key = is_key};
	reading->ahead_us[i] = time_us;
	if (fsmeta_buffer_append(&reading->ahead_bytes, bytes, size))
		return fsmeta_error_set_memory(error, action);
	reading->ahead_count++;
	if (reading->ahead_count < FSMETA_ORDER_AHEAD && reading->ahead_bytes.length < AHEAD_BYTES)
		return 0;
	return begin_file(reading, error);
}

static int refuse_change(
    const struct reading *reading, int64_t time_us, const char *what, struct fsmeta_error *error)
{
	char text[FSMETA_TIME_TEXT_BYTES];

	fsmeta_time_format(text, fsmeta_time_from_us(time_us));
	return fsmeta_error_set(error, FSMETA_E_REFUSED, reading->window->stream, action,
	    "%s at %.*sZ: one file cannot hold both; read up to there, and from there on", what,
	    TIME_DIGITS, text);
}

/** Of colours the first word holds: it depends on who wrote which part, and means the same. */
static bool is_same_format(
    const struct fsmeta_media_track *track, const struct fsmeta_track_format *format)
{
	return memcmp(track->codec, format->codec, sizeof(track->codec)) == 0 &&
	       track->width == format->width && track->height == format->height &&
	       track->look.quarters == format->look.quarters &&
	       track->look.mirrored == format->look.mirrored;
}

/** The first packet says what the file is of; the others must agree. */
static int check_format(struct reading *reading, const struct fsmeta_track_format *format,
    int64_t time_us, struct fsmeta_error *error)
{
	struct fsmeta_media_track *track = &reading->tracks[VIDEO];

	if (reading->has_begun) {
		if (is_same_format(track, format))
			return 0;
		return refuse_change(
		    reading, time_us, "codec, size or direction of the picture change", error);
	}
	memcpy(track->codec, format->codec, sizeof(track->codec));
	memcpy(track->codec_name, format->codec, sizeof(format->codec));
	track->width = format->width;
	track->height = format->height;
	track->look = format->look;
	reading->codec = fsmeta_codec_from_name(format->codec);
	if (reading->media->takes(reading->name, track))
		return 0;
	return fsmeta_error_set(error, FSMETA_E_USAGE, reading->name, "making a video",
	    "a file of this ending does not hold %s: .mkv holds all, .webm VP9, .mp4 and .mov most",
	    track->codec_name);
}

static bool is_same(const struct fsmeta_buffer *a, const struct fsmeta_buffer *b)
{
	return a->length == b->length && (!a->length || memcmp(a->data, b->data, a->length) == 0);
}

/**
 * Sets in a key frame's own packet, and those that have come to be others: H.264 carries them in
 * its packets then; of H.265 the file may be one that does not allow that.
 */
static int take_key(
    struct reading *reading, struct fsmeta_packet *packet, struct fsmeta_error *error)
{
	struct fsmeta_annexb_summary summary;

	if (reading->codec == FSMETA_CODEC_OTHER)
		return 0;
	fsmeta_annexb_summarise(&summary, reading->codec, packet->bytes, packet->size);
	if (summary.has_parameter_sets &&
	    fsmeta_annexb_update_sets(&reading->sets, reading->codec, packet->bytes, packet->size))
		return fsmeta_error_set_memory(error, action);
	if (!reading->sets.length && reading->segment_start_us)
		return READ_SETS;
	if (!reading->has_begun && reading->sets.length &&
	    fsmeta_buffer_append(&reading->first_sets, reading->sets.data, reading->sets.length))
		return fsmeta_error_set_memory(error, action);
	if (!is_same(&reading->sets, &reading->first_sets)) {
		if (reading->codec != FSMETA_CODEC_H264)
			return refuse_change(reading, packet->time_us,
			    "the parameters of the encoder change", error);
		if (summary.has_parameter_sets)
			return 0;
		fsmeta_buffer_clear(&reading->scratch);
		if (fsmeta_buffer_append(
			&reading->scratch, reading->sets.data, reading->sets.length) ||
		    fsmeta_buffer_append(&reading->scratch, packet->bytes, packet->size))
			return fsmeta_error_set_memory(error, action);
		packet->bytes = reading->scratch.data;
		packet->size = reading->scratch.length;
	} else if (reading->strips_sets) {
		size_t sets = fsmeta_nal_count_sets(
		    reading->codec, &reading->sets, packet->bytes, packet->size);

		packet->bytes = (const unsigned char *)packet->bytes + sets;
		packet->size -= sets;
	}
	return 0;
}

/** What all layouts hand their packets to. */
static int take_video(struct reading *reading, const struct fsmeta_track_format *format,
    const struct fsmeta_packet *given, struct fsmeta_error *error)
{
	const struct fsmeta_media_window *window = reading->window;
	struct fsmeta_packet packet = *given;
	bool is_key = packet.flags & FSMETA_PACKET_KEY;
	int code = window->check(error);

	if (!code)
		code = check_format(reading, format, packet.time_us, error);
	if (code)
		return code;
	/* On a picture the flag is somebody else's. */
	if (packet.flags & FSMETA_PACKET_HDR && packet.flags & FSMETA_PACKET_ESSENTIAL) {
		reading->tracks[VIDEO].hdr = fsmeta_hdr_get(packet.bytes, packet.size);
		return 0;
	}
	if (packet.flags & FSMETA_PACKET_ESSENTIAL)
		return fsmeta_annexb_update_sets(
			   &reading->sets, reading->codec, packet.bytes, packet.size)
			   ? fsmeta_error_set_memory(error, action)
			   : 0;
	if (!reading->has_begun && !is_key)
		return 0;
	if (is_key)
		code = take_key(reading, &packet, error);
	if (code)
		return code;
	if (!reading->has_begun) {
		reading->has_begun = true;
		reading->origin_us = reading->result->from_us = packet.time_us;
		reading->result->to_us = packet.time_us;
	} else if (is_key) {
		reading->is_behind_start = true;
	} else if (!reading->is_behind_start && packet.time_us < reading->origin_us) {
		return packet.time_us >= window->from_us && !reading->accepts_late &&
			       !reading->output
			   ? READ_EARLIER
			   : 0;
	}
	reading->has_in_window |=
	    packet.time_us >= window->from_us && packet.time_us < window->to_us;
	if (!reading->output)
		return hold_back(reading, packet.time_us, is_key, packet.bytes, packet.size, error);
	return write_video(reading, fsmeta_grid_snap(&reading->grid, packet.time_us), is_key,
	    packet.bytes, packet.size, error);
}

/* ---- the layouts ---- */

static int visit_fsv(void *payload, const struct fsmeta_track_format *format,
    const struct fsmeta_packet *packet, struct fsmeta_error *error)
{
	return take_video(payload, format, packet, error);
}

static int read_fsv(struct reading *reading, struct fsmeta_error *error)
{
	const struct fsmeta_media_window *window = reading->window;
	struct fsmeta_fsv *fsv;
	int code = open_fsv(reading, &fsv, error);

	if (code)
		return code;
	code = fsmeta_fsv_read(fsv, window->stream, "video", reading->read_from_us, window->to_us,
	    visit_fsv, error, reading);
	fsmeta_fsv_close(fsv, NULL);
	return code;
}

static int visit_segment(void *payload, const struct fsmeta_segment *segment,
    const struct fsmeta_packet *packet, struct fsmeta_error *error)
{
	struct fsmeta_track_format format = {
	    .width = segment->width, .height = segment->height, .look = segment->look};
	struct reading *reading = payload;

	memcpy(format.codec, segment->codec, sizeof(format.codec));
	reading->segment_start_us = segment->start_us;
	return take_video(reading, &format, packet, error);
}

/** Takes what stands in front of the first frame of a segment, and ends there. */
static int visit_first(void *payload, const struct fsmeta_segment *segment,
    const struct fsmeta_packet *packet, struct fsmeta_error *error)
{
	struct reading *reading = payload;

	if (fsmeta_annexb_update_sets(&reading->sets, fsmeta_codec_from_name(segment->codec),
		packet->bytes, packet->size))
		return fsmeta_error_set_memory(error, action);
	return !(packet->flags & FSMETA_PACKET_ESSENTIAL);
}

/** The store puts parameter sets at the start of each segment, and a window may begin behind. */
static int read_sets(
    struct reading *reading, struct fsmeta_segments *segments, struct fsmeta_error *error)
{
	int64_t start_us = reading->segment_start_us;
	int code = fsmeta_segments_read(segments, reading->window->stream, start_us - TICK_US,
	    start_us + TICK_US, NULL, visit_first, error, reading);

	if (code < 0)
		return code;
	return reading->sets.length
		   ? 0
		   : fsmeta_error_set(error, FSMETA_E_CORRUPT, reading->window->stream, action,
			 "a segment begins without parameter sets");
}

static int read_segments(struct reading *reading, struct fsmeta_error *error)
{
	const struct fsmeta_media_window *window = reading->window;
	struct fsmeta_segments *segments;
	int code = fsmeta_segments_open(&segments, window->archive, false, NULL, error);

	if (code)
		return code;
	do {
		code = fsmeta_segments_read(segments, window->stream, reading->read_from_us,
		    window->to_us, NULL, visit_segment, error, reading);
	} while (code == READ_SETS && !(code = read_sets(reading, segments, error)));
	fsmeta_segments_close(segments, NULL);
	return code;
}

struct spelling {
	const char *beginning;
	char codec[FSMETA_CODEC_BYTES + 1];
};

/** As recorders and WebCodecs spell codecs. */
static const struct spelling spellings[] = {
    {"h264", "h264"},
    {"avc1", "h264"},
    {"avc3", "h264"},
    {"h265", "h265"},
    {"hvc1", "h265"},
    {"hev1", "h265"},
    {"hevc", "h265"},
    {"vp09", "vp09"},
    {"vp9", "vp09"},
};

static int spell_format(struct fsmeta_track_format *out, const struct fsmeta_recording *recording,
    struct fsmeta_error *error)
{
	const struct fsmeta_recording_format *format = &recording->format;

	*out = (struct fsmeta_track_format){.look = format->look};
	if (format->width <= UINT16_MAX && format->height <= UINT16_MAX) {
		out->width = (uint16_t)format->width;
		out->height = (uint16_t)format->height;
	}
	for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++)
		if (strncmp(format->codec, spellings[i].beginning,
			strlen(spellings[i].beginning)) == 0) {
			memcpy(out->codec, spellings[i].codec, sizeof(out->codec));
			return 0;
		}
	return fsmeta_error_set(error, FSMETA_E_UNSUPPORTED, recording->path, action,
	    "its codec is '%s', and only H.264, H.265 and VP9 are known", format->codec);
}

static int visit_chunk(struct reading *reading, const struct fsmeta_recording *recording,
    const struct fsmeta_track_format *format, uint64_t i, uint64_t base, struct fsmeta_error *error)
{
	enum fsmeta_codec codec = fsmeta_codec_from_name(format->codec);
	struct fsmeta_annexb_summary summary;
	struct fsmeta_packet packet = {0};
	struct fsmeta_chunk chunk;
	int code = fsmeta_recording_chunk(recording, i, &chunk, error);

	if (code)
		return code;
	packet.time_us = chunk.timestamp_us;
	packet.flags = chunk.is_key ? FSMETA_PACKET_KEY : 0;
	packet.bytes = reading->chunks.data + (chunk.offset - base);
	packet.size = chunk.size;
	if (codec != FSMETA_CODEC_OTHER && chunk.is_key) {
		fsmeta_annexb_summarise(&summary, codec, packet.bytes, packet.size);
		if (!summary.is_annexb)
			return fsmeta_error_set(error, FSMETA_E_UNSUPPORTED, recording->path,
			    action,
			    "its %s is not a byte stream (Annex B), and lacks what a decoder needs",
			    recording->format.codec);
	}
	return take_video(reading, format, &packet, error);
}

/** Chunks [first, last), a piece at a time. */
static int visit_chunks(struct reading *reading, const struct fsmeta_recording *recording,
    const struct fsmeta_track_format *format, uint64_t first, uint64_t last,
    struct fsmeta_error *error)
{
	int code = 0;

	while (first < last && !code) {
		struct fsmeta_chunk begin, end;
		uint64_t behind = first;

		code = fsmeta_recording_chunk(recording, first, &begin, error);
		do {
			if (!code)
				code = fsmeta_recording_chunk(recording, behind++, &end, error);
		} while (!code && behind < last &&
			 end.offset + end.size - begin.offset < RECORDING_PIECE_BYTES);
		fsmeta_buffer_clear(&reading->chunks);
		if (!code)
			code = fsmeta_recording_read(
			    recording, first, behind, &reading->chunks, error);
		for (; first < behind && !code; first++)
			code = visit_chunk(reading, recording, format, first, begin.offset, error);
	}
	return code;
}

static int read_recording(struct reading *reading, struct fsmeta_error *error)
{
	const struct fsmeta_media_window *window = reading->window;
	struct fsmeta_recording recording;
	struct fsmeta_track_format format;
	uint64_t first, last;
	int code = fsmeta_recording_open(&recording, window->archive, window->stream, error);

	if (code)
		return code;
	reading->strips_sets = true;
	reading->tracks[VIDEO].framerate_millihertz = recording.format.framerate_millihertz;
	reading->tracks[VIDEO].hdr = recording.format.hdr;
	code = spell_format(&format, &recording, error);
	if (!code)
		code = fsmeta_recording_window(
		    &recording, reading->read_from_us, window->to_us, &first, &last, error);
	if (!code)
		code = visit_chunks(reading, &recording, &format, first, last, error);
	fsmeta_recording_release(&recording);
	return code;
}

/* ---- all of it ---- */

static int end_file(struct reading *reading, struct fsmeta_error *error)
{
	struct fsmeta_media_output *output;
	int code = 0;

	if (!reading->has_in_window)
		return fsmeta_error_set(error, FSMETA_E_NOT_FOUND, reading->window->stream, action,
		    "it has no video in that time");
	if (!reading->output)
		code = begin_file(reading, error);
	if (!code)
		code = write_audio(reading, reading->window->to_us, error);
	if (code)
		return code;
	output = reading->output;
	reading->output = NULL;
	return reading->media->finish(output, error);
}

static int read_layout(struct reading *reading, struct fsmeta_error *error)
{
	switch (reading->window->layout) {
	case FSMETA_LAYOUT_FSV:
		return read_fsv(reading, error);
	case FSMETA_LAYOUT_SEGMENTS:
		return read_segments(reading, error);
	case FSMETA_LAYOUT_RECORDING:
		return read_recording(reading, error);
	default:
		return fsmeta_error_set(error, FSMETA_E_USAGE, reading->window->stream, action,
		    "this layout holds no streams");
	}
}

static void release(struct reading *reading)
{
	reading->media->abandon(reading->output);
	fsmeta_fsv_close(reading->audio, NULL);
	fsmeta_buffer_release(&reading->sets);
	fsmeta_buffer_release(&reading->first_sets);
	fsmeta_buffer_release(&reading->ahead_bytes);
	fsmeta_buffer_release(&reading->scratch);
	fsmeta_buffer_release(&reading->chunks);
	fsmeta_buffer_release(&reading->audio_config);
}

int fsmeta_media_read(struct fsmeta_media_read *out, const struct fsmeta_media_operations *media,
    const struct fsmeta_media_window *window, int fd, const char *name, struct fsmeta_error *error)
{
	int64_t earlier_us = 0;
	int code;

	do {
		struct reading reading = {
		    .media = media, .window = window, .fd = fd, .name = name, .result = out};

		*out = (struct fsmeta_media_read){0};
		reading.read_from_us =
		    window->from_us > earlier_us ? window->from_us - earlier_us : 0;
		reading.accepts_late = !reading.read_from_us || earlier_us > EARLIER_MAX_US;
		code = read_layout(&reading, error);
		if (!code)
			code = end_file(&reading, error);
		release(&reading);
		earlier_us = earlier_us ? 2 * earlier_us : EARLIER_US;
	} while (code == READ_EARLIER);
	return code;
}
