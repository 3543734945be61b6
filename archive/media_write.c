/*
 * Video into the layouts.
 *
 *     fsv         sets  K p p b b p …  sets  K p …        track "video"; sets: parameter sets,
 * their conf  a a a a …      conf  a a …        own packet; track "audio", conf likewise segments
 * sets  K p p b b p …        K p …        the store repeats the sets recording   [sets K] p p b b p
 * …  [sets K] p …      a chunk has no flag for sets
 *
 * The layouts keep one time a packet, and it is when the packet is shown; the order is that of
 * decoding.  When it must be decoded follows from these two (media_order.h), so nothing is lost
 * with B-frames.
 *
 * Parameter sets of mp4 and mkv stand in front of the file and not among the packets.  Each key
 * frame must be decodable by itself, so they are put in front of it, and marked where the layout
 * can: `archive read` then takes them out again, and packets come back as they were.  Sets that the
 * encoder itself repeats in its packets stay where they are.
 *
 * Of audio a decoder wants the rate and the codec's own configuration.  They go with every key
 * frame of the video, at its time, so that whoever reads from a key frame on finds them:
 *
 *     0 sample rate (4 bytes)   4 channels (2)   6 zero (2)   8 configuration
 */
#include "archive/media_write.h"

#include "archive/annexb.h"
#include "archive/fsv.h"
#include "archive/names.h"
#include "archive/recordings.h"
#include "archive/segments.h"
#include "base/text.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	IDLE_FLUSH_US = 3000000,
	/** Sound that comes after a key frame and is heard before it. */
	AUDIO_LEAD_US = 1000000,
	AUDIO_CONFIG_BYTES = 8,
	SECOND_US = 1000000,
	/** Packets of sound that wait for the first key frame: the latest of them. */
	EARLY_MAX = 64,
	DIGITS_OF_MS = 13,
	/** What ended so long ago was not recorded just now. */
	LIVE_S = 60,
	/** No encoder looks further ahead. */
	LEAD_MAX_US = 60 * SECOND_US,
};

/** What a layout does. */
struct layout {
	enum fsmeta_layout layout;
	bool (*keeps)(const struct fsmeta_media_track *track);
	int (*begin)(struct fsmeta_media_writer *writer, struct fsmeta_error *error);
	int (*put)(struct fsmeta_media_writer *writer, const struct fsmeta_media_track *track,
	    const struct fsmeta_media_packet *packet, struct fsmeta_error *error);
	int (*idle)(struct fsmeta_media_writer *writer, struct fsmeta_error *error);
	int (*end)(struct fsmeta_media_writer *writer, struct fsmeta_error *error);
};

/** A packet that waits; its bytes stand in a buffer in the same order. */
struct early {
	int64_t pts_us;
	size_t size;
};

struct fsmeta_media_writer {
	const struct layout *layout;
	struct fsmeta_media_target target;
	const struct fsmeta_media_track *video;
	const struct fsmeta_media_track *audio;
	enum fsmeta_codec codec;
	struct fsmeta_media_written written;
	/** Where the first key frame has come. */
	bool has_begun;
	/** The last key frame's. */
	int64_t key_us;
	/** Sound that came before the first key frame. */
	struct fsmeta_buffer early_bytes;
	struct early early[EARLY_MAX];
	size_t early_count;
	/** Audio has come to a place where its configuration is to be repeated. */
	bool wants_audio_config;
	int64_t flushed_at_us;
	/** Held against other writers of the stream; -1 = none. */
	int folder_fd;
	/** Sets that the store has, and a chunk with its sets in front. */
	struct fsmeta_buffer sets;
	struct fsmeta_buffer scratch;

	struct fsmeta_fsv *fsv;
	struct fsmeta_segments *segments;
	struct fsmeta_recording_writer *recording;
};

static int64_t clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- what they share ---- */

/** A lead of whole ticks, so that the time of what it precedes comes back as it was. */
static uint32_t whole_ticks(int64_t lead_us)
{
	uint64_t ticks =
	    ((uint64_t)lead_us * FSMETA_WORD_TICKS_A_SECOND + SECOND_US - 1) / SECOND_US;

	return (uint32_t)fsmeta_ticks_to_us((uint32_t)ticks);
}

/** A video packet as the stores take it; whether parameter sets must go in front of it. */
static bool describe_packet(const struct fsmeta_media_writer *writer,
    const struct fsmeta_media_packet *from, struct fsmeta_packet *out)
{
	struct fsmeta_annexb_summary summary = {0};
	int64_t lead = from->pts_us - from->dts_us;

	*out = (struct fsmeta_packet){
	    .time_us = from->pts_us,
	    .flags = from->is_key ? FSMETA_PACKET_KEY : 0,
	    .bytes = from->bytes,
	    .size = from->size,
	};
	if (writer->codec == FSMETA_CODEC_OTHER)
		return false;
	fsmeta_annexb_summarise(&summary, writer->codec, from->bytes, from->size);
	out->flags |= FSMETA_PACKET_ANNEX_B;
	if (summary.is_key)
		out->flags |= FSMETA_PACKET_KEY;
	/* Behind an IDR picture of H.264 nothing is shown that comes before it. */
	if (out->flags & FSMETA_PACKET_KEY && lead > 0 && lead <= LEAD_MAX_US &&
	    !(writer->codec == FSMETA_CODEC_H264 && summary.is_key))
		out->lead_us = whole_ticks(lead);
	return out->flags & FSMETA_PACKET_KEY && !summary.has_parameter_sets &&
	       writer->video->config_bytes;
}

static bool is_video_of_size(const struct fsmeta_media_track *track)
{
	return !track->is_audio && track->width && track->height && track->width <= UINT16_MAX &&
	       track->height <= UINT16_MAX;
}

static bool is_bitstream(const struct fsmeta_media_track *track)
{
	return fsmeta_codec_from_name(track->codec) != FSMETA_CODEC_OTHER;
}

static bool is_codec(const struct fsmeta_media_track *track, const char *name)
{
	return memcmp(track->codec, name, FSMETA_CODEC_BYTES) == 0;
}

/** Whether there is something in the time that is to be written. */
struct occupied {
	int64_t from_us;
	int64_t to_us;
};

static bool is_within(const struct occupied *occupied, const struct fsmeta_packet *packet)
{
	return !(packet->flags & FSMETA_PACKET_ESSENTIAL) && packet->time_us >= occupied->from_us &&
	       packet->time_us < occupied->to_us;
}

static int refuse_occupied(const struct fsmeta_media_writer *writer, struct fsmeta_error *error)
{
	return fsmeta_error_set(error, FSMETA_E_REFUSED, writer->target.stream, "writing a video",
	    "the stream has video from that time already; --start gives it another");
}

/**
 * Makes the stream's folder and holds it against other writers of this stream, who would find
 * nothing of what is still in a buffer here.
 */
static int hold_stream(struct fsmeta_media_writer *writer, struct fsmeta_error *error)
{
	static const char hold_action[] = "writing a video";
	const char *stream = writer->target.stream;
	char *folder;
	int code;

	if (!fsmeta_names_is_stream(stream))
		return fsmeta_error_set(error, FSMETA_E_USAGE, stream, hold_action,
		    "it cannot be the name of a folder");
	folder = fsmeta_names_join(writer->target.archive, stream);
	if (!folder)
		return fsmeta_error_set_memory(error, hold_action);
	code = fsmeta_names_make_folder(writer->target.archive, error);
	if (!code)
		code = fsmeta_names_make_folder(folder, error);
	if (!code) {
		writer->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (writer->folder_fd < 0)
			code = fsmeta_error_set_errno(error, errno, folder, hold_action);
	}
	if (!code && flock(writer->folder_fd, LOCK_EX | LOCK_NB) < 0)
		code = errno == EWOULDBLOCK
			   ? fsmeta_error_set(error, FSMETA_E_BUSY, folder, hold_action,
				 "somebody else writes to this stream")
			   : fsmeta_error_set_errno(error, errno, folder, "locking");
	free(folder);
	return code;
}

/* ---- fsv ---- */

static int find_fsv(void *payload, const struct fsmeta_track_format *format,
    const struct fsmeta_packet *packet, struct fsmeta_error *error)
{
	(void)format;
	(void)error;
	return is_within(payload, packet);
}

static bool fsv_keeps(const struct fsmeta_media_track *track)
{
	if (track->is_audio)
		return track->codec[0] && track->sample_rate && track->channels <= UINT16_MAX;
	return is_video_of_size(track) && (is_bitstream(track) || is_codec(track, "vp09"));
}

static int fsv_begin(struct fsmeta_media_writer *writer, struct fsmeta_error *error)
{
	struct fsmeta_fsv_options options = {
	    .writable = true, .only_stream = writer->target.stream};
	struct occupied occupied = {writer->target.from_us, writer->target.to_us};
	int code = hold_stream(writer, error);

	if (!code)
		code = fsmeta_fsv_open(&writer->fsv, writer->target.archive, &options, error);
	if (!code)
		code = fsmeta_fsv_read(writer->fsv, writer->target.stream, "video",
		    occupied.from_us, occupied.to_us, find_fsv, error, &occupied);
	return code > 0 ? refuse_occupied(writer, error) : code;
}

static void set_format(struct fsmeta_track_format *out, const struct fsmeta_media_track *track)
{
	*out = (struct fsmeta_track_format){
	    .is_audio = track->is_audio,
	    .width = track->is_audio ? 0 : (uint16_t)track->width,
	    .height = track->is_audio ? 0 : (uint16_t)track->height,
	};
	if (!track->is_audio)
		out->look = track->look;
	memcpy(out->codec, track->codec, sizeof(out->codec));
}

/** All of them or none.  A buffer that is full is emptied first: a file comes faster than a camera.
 */
static int fsv_write(struct fsmeta_media_writer *writer, const struct fsmeta_media_track *track,
    const struct fsmeta_packet *packets, size_t count, struct fsmeta_error *error)
{
	const char *stream = writer->target.stream;
	const char *name = track->is_audio ? "audio" : "video";
	struct fsmeta_track_format format;
	int code;

	set_format(&format, track);
	code = fsmeta_fsv_write(writer->fsv, stream, name, &format, packets, count, error);
	if (code != FSMETA_E_REFUSED)
		return code;
	code = fsmeta_fsv_flush(writer->fsv, stream, false, error);
	if (!code)
		code = fsmeta_fsv_write(writer->fsv, stream, name, &format, packets, count, error);
	return code;
}

/** A file begins at the first of the packets, so what goes in front of a key frame stands in it. */
static int fsv_put_video(struct fsmeta_media_writer *writer,
    const struct fsmeta_media_packet *packet, struct fsmeta_error *error)
{
	const struct fsmeta_media_track *track = writer->video;
	unsigned char hdr[FSMETA_HDR_BYTES];
	struct fsmeta_packet packets[3], picture;
	bool with_sets = describe_packet(writer, packet, &picture);
	bool is_key = picture.flags & FSMETA_PACKET_KEY;
	size_t count = 0;

	writer->wants_audio_config |= is_key;
	if (is_key && (fsmeta_hdr_has_display(&track->hdr) || fsmeta_hdr_has_light(&track->hdr))) {
		fsmeta_hdr_put(hdr, &track->hdr);
		packets[count] = picture;
		packets[count].flags =
		    FSMETA_PACKET_KEY | FSMETA_PACKET_ESSENTIAL | FSMETA_PACKET_HDR;
		packets[count].bytes = hdr;
		packets[count++].size = sizeof(hdr);
	}
	if (with_sets) {
		packets[count] = picture;
		packets[count].flags |= FSMETA_PACKET_ESSENTIAL;
		packets[count].bytes = track->config;
		packets[count++].size = track->config_bytes;
	}
	packets[count++] = picture;
	return fsv_write(writer, track, packets, count, error);
}

static int fsv_put_audio_config(struct fsmeta_media_writer *writer, struct fsmeta_error *error)
{
	const struct fsmeta_media_track *track = writer->audio;
	const uint32_t rate = htole32(track->sample_rate);
	const uint16_t channels[2] = {htole16((uint16_t)track->channels), 0};
	struct fsmeta_packet packet = {
	    .time_us = writer->key_us,
	    .lead_us = writer->key_us < AUDIO_LEAD_US ? 0 : AUDIO_LEAD_US,
	    .flags = FSMETA_PACKET_ESSENTIAL,
	};
	struct fsmeta_buffer *bytes = &writer->scratch;

	fsmeta_buffer_clear(bytes);
	if (fsmeta_buffer_append(bytes, &rate, sizeof(rate)) ||
	    fsmeta_buffer_append(bytes, channels, sizeof(channels)) ||
	    (track->config_bytes &&
		fsmeta_buffer_append(bytes, track->config, track->config_bytes)))
		return fsmeta_error_set_memory(error, "writing a video");
	packet.bytes = bytes->data;
	packet.size = bytes->length;
	return fsv_write(writer, track, &packet, 1, error);
}

static int fsv_put(struct fsmeta_media_writer *writer, const struct fsmeta_media_track *track,
    const struct fsmeta_media_packet *packet, struct fsmeta_error *error)
{
	struct fsmeta_packet sound = {
	    .time_us = packet->pts_us,
	    .flags = FSMETA_PACKET_KEY,
	    .bytes = packet->bytes,
	    .size = packet->size,
	};
	int code = 0;

	if (!track->is_audio)
		return fsv_put_video(writer, packet, error);
	if (writer->wants_audio_config)
		code = fsv_put_audio_config(writer, error);
	writer->wants_audio_config = false;
	return code ? code : fsv_write(writer, track, &sound, 1, error);
}

/** The flusher looks at the clock by itself. */
static int no_idle(struct fsmeta_media_writer *writer, struct fsmeta_error *error)
{
	(void)writer;
	(void)error;
	return 0;
}

static int fsv_end(struct fsmeta_media_writer *writer, struct fsmeta_error *error)
{
	return fsmeta_fsv_close(writer->fsv, error);
}

/* ---- segments ---- */

static int find_segment(void *payload, const struct fsmeta_segment *segment,
    const struct fsmeta_packet *packet, struct fsmeta_error *error)
{
	(void)segment;
	(void)error;
	return is_within(payload, packet);
}

static bool segments_keep(const struct fsmeta_media_track *track)
{
	return is_video_of_size(track) && is_bitstream(track);
}

static int segments_begin(struct fsmeta_media_writer *writer, struct fsmeta_error *error)
{
	struct occupied occupied = {writer->target.from_us, writer->target.to_us};
	int code = hold_stream(writer, error);

	if (!code)
		code = fsmeta_segments_open(
		    &writer->segments, writer->target.archive, true, NULL, error);
	if (!code)
		code = fsmeta_segments_read(writer->segments, writer->target.stream,
		    occupied.from_us, occupied.to_us, NULL, find_segment, error, &occupied);
	return code > 0 ? refuse_occupied(writer, error) : code;
}

/** The store keeps the sets for all segments to come, so it is told when there are others. */
static int tell_sets(struct fsmeta_media_writer *writer, const struct fsmeta_segment_format *format,
    const struct fsmeta_packet *key, struct fsmeta_error *error)
{
	const struct fsmeta_media_track *track = writer->video;
	struct fsmeta_packet packet = *key;

	if (writer->sets.length == track->config_bytes &&
	    memcmp(writer->sets.data, track->config, track->config_bytes) == 0)
		return 0;
	fsmeta_buffer_clear(&writer->sets);
	if (fsmeta_buffer_append(&writer->sets, track->config, track->config_bytes))
		return fsmeta_error_set_memory(error, "writing a video");
	packet.flags = FSMETA_PACKET_ESSENTIAL | FSMETA_PACKET_ANNEX_B;
	packet.bytes = track->config;
	packet.size = track->config_bytes;
	return fsmeta_segments_append(
	    writer->segments, writer->target.stream, format, &packet, error);
}

static int segments_put(struct fsmeta_media_writer *writer, const struct fsmeta_media_track *track,
    const struct fsmeta_media_packet *from, struct fsmeta_error *error)
{
	struct fsmeta_segment_format format = {.width = (uint16_t)track->width,
	    .height = (uint16_t)track->height,
	    .look = track->look};
	struct fsmeta_packet packet;
	int code = 0;

	memcpy(format.codec, track->codec, sizeof(format.codec));
	if (describe_packet(writer, from, &packet))
		code = tell_sets(writer, &format, &packet, error);
	return code ? code
		    : fsmeta_segments_append(
			  writer->segments, writer->target.stream, &format, &packet, error);
}

static int segments_end(struct fsmeta_media_writer *writer, struct fsmeta_error *error)
{
	return fsmeta_segments_close(writer->segments, error);
}

/* ---- recordings ---- */

static bool recordings_keep(const struct fsmeta_media_track *track)
{
	return !track->is_audio && (is_bitstream(track) || is_codec(track, "vp09"));
}

static int recordings_begin(struct fsmeta_media_writer *writer, struct fsmeta_error *error)
{
	const struct fsmeta_media_track *track = writer->video;
	struct fsmeta_recording_format format = {
	    .width = track->width,
	    .height = track->height,
	    .framerate_millihertz = track->framerate_millihertz,
	    .look = track->look,
	    .hdr = track->hdr,
	};

	if (is_bitstream(track))
		memcpy(format.codec, track->codec, FSMETA_CODEC_BYTES);
	else
		strcpy(format.codec, track->codec_string);
	return fsmeta_recording_init(&writer->recording, writer->target.archive,
	    writer->target.stream, &format, NULL, error);
}

static int recordings_put(struct fsmeta_media_writer *writer,
    const struct fsmeta_media_track *track, const struct fsmeta_media_packet *from,
    struct fsmeta_error *error)
{
	struct fsmeta_buffer *whole = &writer->scratch;
	struct fsmeta_packet packet;

	if (describe_packet(writer, from, &packet)) {
		fsmeta_buffer_clear(whole);
		if (fsmeta_buffer_append(whole, track->config, track->config_bytes) ||
		    fsmeta_buffer_append(whole, packet.bytes, packet.size))
			return fsmeta_error_set_memory(error, "writing a video");
		packet.bytes = whole->data;
		packet.size = whole->length;
	}
	return fsmeta_recording_append(writer->recording, packet.time_us,
	    packet.flags & FSMETA_PACKET_KEY, packet.bytes, packet.size, error);
}

static int recordings_idle(struct fsmeta_media_writer *writer, struct fsmeta_error *error)
{
	if (clock_us() - writer->flushed_at_us < IDLE_FLUSH_US)
		return 0;
	writer->flushed_at_us = clock_us();
	return fsmeta_recording_flush(writer->recording, error);
}

static int recordings_end(struct fsmeta_media_writer *writer, struct fsmeta_error *error)
{
	return writer->recording ? fsmeta_recording_finalize(writer->recording, error) : 0;
}

/* ---- all of them ---- */

static const struct layout layouts[] = {
    {FSMETA_LAYOUT_FSV, fsv_keeps, fsv_begin, fsv_put, no_idle, fsv_end},
    {FSMETA_LAYOUT_SEGMENTS, segments_keep, segments_begin, segments_put, no_idle, segments_end},
    {FSMETA_LAYOUT_RECORDING, recordings_keep, recordings_begin, recordings_put, recordings_idle,
	recordings_end},
};

static const struct layout *find_layout(enum fsmeta_layout layout)
{
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
		if (layouts[i].layout == layout)
			return &layouts[i];
	return NULL;
}

bool fsmeta_media_keeps_audio(enum fsmeta_layout layout)
{
	return layout == FSMETA_LAYOUT_FSV;
}

static int check_tracks(const struct fsmeta_media_writer *writer, struct fsmeta_error *error)
{
	static const char action[] = "writing a video";
	const struct fsmeta_media_track *wrong =
	    !writer->layout->keeps(writer->video)                    ? writer->video
	    : writer->audio && !writer->layout->keeps(writer->audio) ? writer->audio
								     : NULL;
	enum fsmeta_layout layout = writer->target.layout;

	if (!wrong)
		return 0;
	if (is_bitstream(wrong) || is_codec(wrong, "vp09"))
		return fsmeta_error_set(error, FSMETA_E_UNSUPPORTED, writer->target.stream, action,
		    layout == FSMETA_LAYOUT_SEGMENTS && !is_bitstream(wrong)
			? "segments hold H.264 and H.265, and this is %s; --layout fsv takes it"
			: "%s without a picture of 1 to 65,535 lines and columns",
		    wrong->codec_name);
	return fsmeta_error_set(error, FSMETA_E_UNSUPPORTED, writer->target.stream, action,
	    "%s is kept by no layout: video is H.264, H.265 or VP9", wrong->codec_name);
}

int fsmeta_media_write_begin(struct fsmeta_media_writer **out,
    const struct fsmeta_media_target *target, const struct fsmeta_media_track *video,
    const struct fsmeta_media_track *audio, struct fsmeta_error *error)
{
	struct fsmeta_media_writer *writer = calloc(1, sizeof(*writer));
	int code;

	*out = NULL;
	if (!writer)
		return fsmeta_error_set_memory(error, "writing a video");
	writer->target = *target;
	writer->video = video;
	writer->audio = audio;
	writer->codec = fsmeta_codec_from_name(video->codec);
	writer->layout = find_layout(target->layout);
	writer->flushed_at_us = clock_us();
	writer->folder_fd = -1;
	code = writer->layout ? check_tracks(writer, error)
			      : fsmeta_error_set(error, FSMETA_E_USAGE, target->stream,
				    "writing a video", "this layout holds no streams");
	if (!code)
		code = writer->layout->begin(writer, error);
	if (code)
		fsmeta_media_write_end(writer, NULL);
	else
		*out = writer;
	return code;
}

static void count(struct fsmeta_media_written *written, const struct fsmeta_media_track *track,
    const struct fsmeta_media_packet *packet)
{
	written->bytes += packet->size;
	if (track->is_audio) {
		written->audio_packets++;
		return;
	}
	if (!written->video_packets || packet->pts_us < written->from_us)
		written->from_us = packet->pts_us;
	if (!written->video_packets || packet->pts_us > written->to_us)
		written->to_us = packet->pts_us;
	written->video_packets++;
}

static int take(struct fsmeta_media_writer *writer, const struct fsmeta_media_track *track,
    const struct fsmeta_media_packet *packet, struct fsmeta_error *error)
{
	int code = writer->layout->put(writer, track, packet, error);

	if (!code)
		count(&writer->written, track, packet);
	return code;
}

/** Sound is heard with the first picture and may stand before it in the file. */
static int wait_for_key(struct fsmeta_media_writer *writer, const struct fsmeta_media_track *track,
    const struct fsmeta_media_packet *packet, struct fsmeta_error *error)
{
	if (!track->is_audio) {
		writer->written.skipped++;
		return 0;
	}
	if (writer->early_count == EARLY_MAX) {
		size_t size = writer->early[0].size;

		memmove(writer->early, writer->early + 1,
		    --writer->early_count * sizeof(*writer->early));
		memmove(writer->early_bytes.data, writer->early_bytes.data + size,
		    writer->early_bytes.length -= size);
		writer->written.skipped++;
	}
	if (fsmeta_buffer_append(&writer->early_bytes, packet->bytes, packet->size))
		return fsmeta_error_set_memory(error, "writing a video");
	writer->early[writer->early_count++] =
	    (struct early){.pts_us = packet->pts_us, .size = packet->size};
	return 0;
}

/** Behind the first key frame: what can be heard with it. */
static int take_early(struct fsmeta_media_writer *writer, struct fsmeta_error *error)
{
	const unsigned char *bytes = writer->early_bytes.data;
	int code = 0;

	for (size_t i = 0; i < writer->early_count && !code; i++) {
		const struct fsmeta_media_packet packet = {
		    .is_key = true,
		    .pts_us = writer->early[i].pts_us,
		    .dts_us = writer->early[i].pts_us,
		    .bytes = bytes,
		    .size = writer->early[i].size,
		};

		bytes += packet.size;
		if (packet.pts_us >= writer->key_us - AUDIO_LEAD_US)
			code = take(writer, writer->audio, &packet, error);
		else
			writer->written.skipped++;
	}
	writer->early_count = 0;
	fsmeta_buffer_release(&writer->early_bytes);
	return code;
}

int fsmeta_media_write_packet(struct fsmeta_media_writer *writer,
    const struct fsmeta_media_track *track, const struct fsmeta_media_packet *packet,
    struct fsmeta_error *error)
{
	bool is_key = packet->is_key && !track->is_audio;
	int code;

	if (!is_key && !writer->has_begun)
		return wait_for_key(writer, track, packet, error);
	if (is_key)
		writer->key_us = packet->pts_us;
	writer->has_begun = true;
	code = take(writer, track, packet, error);
	return code ? code : take_early(writer, error);
}

int fsmeta_media_write_idle(struct fsmeta_media_writer *writer, struct fsmeta_error *error)
{
	return writer->layout->idle(writer, error);
}

const struct fsmeta_media_written *fsmeta_media_written(const struct fsmeta_media_writer *writer)
{
	return &writer->written;
}

/** The start of a piece in milliseconds, by its name; -1 where it is none. */
static int64_t piece_start(const char *name)
{
	uint64_t start;
	size_t digits = fsmeta_names_number(&start, name, strlen(name));

	return digits == DIGITS_OF_MS && (name[digits] == '_' || name[digits] == '.')
		   ? (int64_t)start
		   : -1;
}

/**
 * The last piece gets the time of its last frame, as if it had been recorded when it was: that is
 * where those look who see names and times alone (archive.h).  What is live has it by itself.
 * A failure leaves times that say less, and nothing else.
 */
static void date_last_piece(const struct fsmeta_media_writer *writer)
{
	const struct fsmeta_media_written *written = &writer->written;
	const struct fsmeta_time end = fsmeta_time_from_us(written->to_us);
	const struct timespec times[2] = {
	    {.tv_nsec = UTIME_OMIT},
	    {.tv_sec = end.seconds, .tv_nsec = end.nanoseconds},
	};
	struct fsmeta_names names;
	int64_t newest_ms = -1;
	char *folder;

	if (writer->folder_fd < 0 || !written->video_packets ||
	    end.seconds > fsmeta_time_now().seconds - LIVE_S)
		return;
	folder = fsmeta_names_join(writer->target.archive, writer->target.stream);
	if (folder && fsmeta_names_list(&names, folder, NULL) == 0) {
		for (size_t i = 0; i < names.count; i++) {
			int64_t start_ms = piece_start(names.items[i]);

			if (start_ms <= written->to_us / 1000 && start_ms > newest_ms)
				newest_ms = start_ms;
		}
		for (size_t i = 0; i < names.count && newest_ms >= 0; i++)
			if (piece_start(names.items[i]) == newest_ms)
				(void)!utimensat(
				    writer->folder_fd, names.items[i], times, AT_SYMLINK_NOFOLLOW);
	}
	if (folder)
		fsmeta_names_release(&names);
	free(folder);
}

int fsmeta_media_write_end(struct fsmeta_media_writer *writer, struct fsmeta_error *error)
{
	int code;

	if (!writer)
		return 0;
	code = writer->layout ? writer->layout->end(writer, error) : 0;
	date_last_piece(writer);
	if (writer->folder_fd >= 0)
		close(writer->folder_fd);
	fsmeta_buffer_release(&writer->sets);
	fsmeta_buffer_release(&writer->scratch);
	fsmeta_buffer_release(&writer->early_bytes);
	free(writer);
	return code;
}
