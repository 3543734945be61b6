/*
 * The module that links libavformat.
 *
 *     fd ──read──> AVIOContext ──> demuxer ──> packet ──lengths to start codes──> caller
 *     caller ──> packet ──> muxer ──> AVIOContext ──write──> fd
 *
 * Files of strangers come in here, so a demuxer gets no more than the bytes of the one file: our
 * own AVIOContext over its descriptor, a list of formats that may be recognised (no playlists,
 * which name other files), and an io_open that refuses.  What libav… logs is not printed; its last
 * complaint is the reason of the error.
 *
 * A muxer must know what only the bitstream says: pixel format, profile, level, aspect, and how far
 * the encoder reorders.  The decoder is shown the first key frame and asked; that is the same code
 * that players have, and it knows all codecs.  Where there is no decoder, the layouts' own width
 * and height will do.
 *
 * Layouts keep times as microseconds or as ticks of 244 us.  Of audio the exact time follows from
 * how many samples a packet holds, so a packet that is as near to the end of the one before as a
 * tick allows is taken to begin there.
 *
 * base/error.c and what else is needed is compiled in once more: the module takes nothing from the
 * program that loads it.
 */
#include "archive/media.h"
#include "archive/media_nal.h"
#include "base/text.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/avutil.h>
#include <libavutil/mastering_display_metadata.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>

enum {
	IO_BYTES = 1 << 16,
	IDLE_MS = 250,
	LOG_BYTES = 200,
	AAC_FRAME_SAMPLES = 1024,
	/** A frame that stands alone is shown so long. */
	INTERVAL_US = 40000,
	RATE_MAX_MILLIHERTZ = 1000000,
	/** Two ticks of an index word. */
	NEAR_US = 490,
};

static const AVRational microseconds = {1, 1000000};

#define TIME_MAX_US (INT64_MAX / 4)

/** What may be recognised, as libavformat names its demuxers. */
static const char formats[] =
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,flv,avi,ivf,h264,hevc,asf,mxf,nut,ogg";

/* ---- what libav… says ---- */

static __thread char last_log[LOG_BYTES];

static void __attribute__((format(printf, 3, 0)))
take_log(void *context, int level, const char *format, va_list arguments)
{
	(void)context;
	if (level > AV_LOG_ERROR)
		return;
	vsnprintf(last_log, sizeof(last_log), format, arguments);
	last_log[strcspn(last_log, "\n")] = '\0';
}

static void begin_libav(void)
{
	av_log_set_callback(take_log);
	last_log[0] = '\0';
}

static int fail(
    struct fsmeta_error *error, int code, int av_code, const char *path, const char *action)
{
	char words[AV_ERROR_MAX_STRING_SIZE];

	if (av_code == AVERROR(ENOMEM))
		return fsmeta_error_set_memory(error, action);
	av_strerror(av_code, words, sizeof(words));
	if (last_log[0] && strcmp(last_log, words) != 0)
		return fsmeta_error_set(
		    error, (enum fsmeta_code)code, path, action, "%s (%s)", words, last_log);
	return fsmeta_error_set(error, (enum fsmeta_code)code, path, action, "%s", words);
}

/* ---- names of codecs ---- */

struct codec_name {
	enum AVCodecID id;
	char name[FSMETA_CODEC_BYTES + 1];
};

static const struct codec_name codec_names[] = {
    {AV_CODEC_ID_H264, "h264"},
    {AV_CODEC_ID_HEVC, "h265"},
    {AV_CODEC_ID_VP9, "vp09"},
    {AV_CODEC_ID_AAC, "mp4a"},
    {AV_CODEC_ID_OPUS, "opus"},
    {AV_CODEC_ID_MP3, "mpga"},
    {AV_CODEC_ID_FLAC, "flac"},
    {AV_CODEC_ID_PCM_ALAW, "alaw"},
    {AV_CODEC_ID_PCM_MULAW, "ulaw"},
};

enum {
	CODEC_COUNT = sizeof(codec_names) / sizeof(codec_names[0])
};

static enum AVCodecID find_codec(const char name[FSMETA_CODEC_BYTES])
{
	for (size_t i = 0; i < CODEC_COUNT; i++)
		if (memcmp(codec_names[i].name, name, FSMETA_CODEC_BYTES) == 0)
			return codec_names[i].id;
	return AV_CODEC_ID_NONE;
}

static void name_codec(char out[FSMETA_CODEC_BYTES], enum AVCodecID id)
{
	for (size_t i = 0; i < CODEC_COUNT; i++)
		if (codec_names[i].id == id)
			memcpy(out, codec_names[i].name, FSMETA_CODEC_BYTES);
}

/* ---- demuxing ---- */

/** One track that is read. */
struct input_track {
	/** Of H.264 and H.265. */
	unsigned length_bytes;
	struct fsmeta_buffer sets;
};

struct fsmeta_media_input {
	const struct fsmeta_media_source *source;
	bool is_regular;
	uint64_t file_bytes;
	AVIOContext *io;
	AVFormatContext *format;
	AVPacket *packet;
	struct fsmeta_media_description description;
	struct fsmeta_media_track tracks[FSMETA_MEDIA_TRACKS_MAX];
	struct input_track states[FSMETA_MEDIA_TRACKS_MAX];
	/** The packet that was handed out last, in Annex B. */
	struct fsmeta_buffer annexb;
	/** What `idle` ended the reading with. */
	int stop_code;
	struct fsmeta_error stop;
};

static int64_t now_us(void)
{
	struct fsmeta_time now = fsmeta_time_now();

	return now.seconds * 1000000 + now.nanoseconds / 1000;
}

static int read_bytes(void *opaque, uint8_t *bytes, int size)
{
	struct fsmeta_media_input *input = opaque;
	const struct fsmeta_media_source *source = input->source;

	for (;;) {
		struct pollfd ready = {.fd = source->fd, .events = POLLIN};
		ssize_t got;

		input->stop_code = source->idle(source->payload, &input->stop);
		if (input->stop_code)
			return AVERROR_EXIT;
		if (!input->is_regular && poll(&ready, 1, IDLE_MS) <= 0)
			continue;
		got = read(source->fd, bytes, (size_t)size);
		if (got > 0) {
			if (!input->description.arrived_us)
				input->description.arrived_us = now_us();
			return (int)got;
		}
		if (got == 0)
			return AVERROR_EOF;
		if (errno != EINTR && errno != EAGAIN)
			return AVERROR(errno);
	}
}

static int64_t seek_file(int fd, uint64_t size, int64_t offset, int whence)
{
	off_t at;

	whence &= ~AVSEEK_FORCE;
	if (whence == AVSEEK_SIZE)
		return (int64_t)size;
	at = lseek(fd, offset, whence);
	return at < 0 ? AVERROR(errno) : at;
}

static int64_t seek_input(void *opaque, int64_t offset, int whence)
{
	struct fsmeta_media_input *input = opaque;

	return seek_file(input->source->fd, input->file_bytes, offset, whence);
}

/** No file leads to another. */
static int refuse_open(
    AVFormatContext *format, AVIOContext **io, const char *url, int flags, AVDictionary **options)
{
	(void)format;
	(void)io;
	(void)url;
	(void)flags;
	(void)options;
	return AVERROR(EPERM);
}

static AVIOContext *make_io(void *opaque, bool writes, bool seeks,
    int (*read_packet)(void *, uint8_t *, int), int (*write_packet)(void *, uint8_t *, int),
    int64_t (*seek)(void *, int64_t, int))
{
	unsigned char *buffer = av_malloc(IO_BYTES);
	AVIOContext *io = buffer ? avio_alloc_context(buffer, IO_BYTES, writes, opaque, read_packet,
				       write_packet, seeks ? seek : NULL)
				 : NULL;

	if (!io)
		av_free(buffer);
	return io;
}

static void free_io(AVIOContext **io)
{
	if (*io)
		av_freep(&(*io)->buffer);
	avio_context_free(io);
}

/** Stopped by the caller, or failed by itself. */
static int input_failed(struct fsmeta_media_input *input, int av_code, int code, const char *action,
    struct fsmeta_error *error)
{
	if (input->stop_code) {
		if (error)
			*error = input->stop;
		return input->stop_code;
	}
	return fail(error, code, av_code, input->source->name, action);
}

static int take_config(
    struct fsmeta_media_track *track, struct input_track *state, const uint8_t *bytes, size_t size)
{
	enum fsmeta_codec codec = fsmeta_codec_from_name(track->codec);

	if (codec == FSMETA_CODEC_OTHER) {
		fsmeta_buffer_clear(&state->sets);
		if (size && fsmeta_buffer_append(&state->sets, bytes, size))
			return FSMETA_E_MEMORY;
	} else {
		int code =
		    fsmeta_nal_parse_config(&state->sets, &state->length_bytes, codec, bytes, size);

		if (code)
			return code;
	}
	track->config = state->sets.data;
	track->config_bytes = state->sets.length;
	return 0;
}

/** "vp09.PROFILE.LEVEL.DEPTH"; level 1 where nobody says. */
static void spell_vp9(struct fsmeta_media_track *track, const AVCodecParameters *parameters)
{
	const AVPixFmtDescriptor *pixels =
	    av_pix_fmt_desc_get((enum AVPixelFormat)parameters->format);

	snprintf(track->codec_string, sizeof(track->codec_string), "vp09.%02u.%02u.%02u",
	    parameters->profile > 0 ? (unsigned)parameters->profile & 3 : 0,
	    parameters->level > 0 ? (unsigned)parameters->level % 100 : 10,
	    pixels ? (unsigned)pixels->comp[0].depth % 100 : 8);
}

/* ---- how pictures are shown ---- */

/** The part of a display matrix that turns, in units of 1 << 16: of each number of quarter turns.
 */
static const int8_t turns[4][4] = {{1, 0, 0, 1}, {0, 1, -1, 0}, {-1, 0, 0, -1}, {0, -1, 1, 0}};

enum {
	MATRIX_NUMBERS = 9,
	/** Of a matrix in `turns`. */
	MATRIX_A = 0,
	MATRIX_B = 1,
	MATRIX_C = 3,
	MATRIX_D = 4,
	MATRIX_W = 8,
	ONE = 1 << 16,
	LAST_ONE = 1 << 30,
	/** Of struct fsmeta_hdr. */
	POINT_UNIT = 50000,
	LUMINANCE_UNIT = 10000,
};

/** Where side data of a track stands has moved between releases. */
static const void *get_side_data(
    const AVStream *stream, enum AVPacketSideDataType type, size_t wanted)
{
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(60, 31, 102)
	const AVPacketSideData *found = av_packet_side_data_get(
	    stream->codecpar->coded_side_data, stream->codecpar->nb_coded_side_data, type);

	return found && found->size >= wanted ? found->data : NULL;
#else
	size_t size = 0;
	const uint8_t *data = av_stream_get_side_data(stream, type, &size);

	return size >= wanted ? data : NULL;
#endif
}

static void *add_side_data(AVStream *stream, enum AVPacketSideDataType type, size_t size)
{
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(60, 31, 102)
	AVPacketSideData *added = av_packet_side_data_new(&stream->codecpar->coded_side_data,
	    &stream->codecpar->nb_coded_side_data, type, size, 0);

	return added ? added->data : NULL;
#else
	return av_stream_new_side_data(stream, type, size);
#endif
}

static bool is_turn(const int32_t *matrix, const int8_t *turn, int sign)
{
	return matrix[MATRIX_A] == sign * turn[0] * ONE &&
	       matrix[MATRIX_B] == sign * turn[1] * ONE && matrix[MATRIX_C] == turn[2] * ONE &&
	       matrix[MATRIX_D] == turn[3] * ONE;
}

static void take_direction(struct fsmeta_look *out, const AVStream *stream)
{
	int32_t matrix[MATRIX_NUMBERS];
	const void *found = get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, sizeof(matrix));

	if (!found)
		return;
	memcpy(matrix, found, sizeof(matrix));
	for (uint8_t i = 0; i < 4; i++)
		for (uint8_t mirrored = 0; mirrored < 2; mirrored++)
			if (is_turn(matrix, turns[i], mirrored ? -1 : 1)) {
				out->quarters = i;
				out->mirrored = mirrored;
			}
}

static int put_direction(AVStream *stream, const struct fsmeta_look *look)
{
	const int8_t *turn = turns[look->quarters & 3];
	int sign = look->mirrored ? -1 : 1;
	int32_t *matrix;

	if (!look->quarters && !look->mirrored)
		return 0;
	matrix = add_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, MATRIX_NUMBERS * sizeof(*matrix));
	if (!matrix)
		return AVERROR(ENOMEM);
	memset(matrix, 0, MATRIX_NUMBERS * sizeof(*matrix));
	matrix[MATRIX_A] = sign * turn[0] * ONE;
	matrix[MATRIX_B] = sign * turn[1] * ONE;
	matrix[MATRIX_C] = turn[2] * ONE;
	matrix[MATRIX_D] = turn[3] * ONE;
	matrix[MATRIX_W] = LAST_ONE;
	return 0;
}

/** libav… has the numbers of H.273, of which 2 says nothing. */
static uint8_t code_point(int value)
{
	return value > 0 && value <= UINT8_MAX && value != AVCOL_PRI_UNSPECIFIED ? (uint8_t)value
										 : 0;
}

static void take_look(struct fsmeta_look *out, const AVStream *stream)
{
	const AVCodecParameters *parameters = stream->codecpar;

	take_direction(out, stream);
	out->primaries = code_point((int)parameters->color_primaries);
	out->transfer = code_point((int)parameters->color_trc);
	out->matrix = code_point((int)parameters->color_space);
	if (parameters->color_range == AVCOL_RANGE_JPEG)
		out->range = FSMETA_LOOK_RANGE_FULL;
	else if (parameters->color_range == AVCOL_RANGE_MPEG)
		out->range = FSMETA_LOOK_RANGE_LIMITED;
}

/** In units of 1/`unit`, 0 where it cannot be. */
static uint32_t in_units(AVRational value, int unit, uint32_t most)
{
	double units = value.den ? av_q2d(value) * unit + 0.5 : 0;

	return units > 0 && units <= most ? (uint32_t)units : 0;
}

static void take_hdr(struct fsmeta_hdr *out, const AVStream *stream)
{
	const AVMasteringDisplayMetadata *display =
	    get_side_data(stream, AV_PKT_DATA_MASTERING_DISPLAY_METADATA, sizeof(*display));
	const AVContentLightMetadata *light =
	    get_side_data(stream, AV_PKT_DATA_CONTENT_LIGHT_LEVEL, sizeof(*light));

	for (int i = 0; display && display->has_primaries && i < 4; i++) {
		const AVRational *point =
		    i < 3 ? display->display_primaries[i] : display->white_point;

		for (int axis = 0; axis < 2; axis++)
			out->points[i][axis] =
			    (uint16_t)in_units(point[axis], POINT_UNIT, UINT16_MAX);
	}
	if (display && display->has_luminance) {
		out->max_luminance = in_units(display->max_luminance, LUMINANCE_UNIT, UINT32_MAX);
		out->min_luminance = in_units(display->min_luminance, LUMINANCE_UNIT, UINT32_MAX);
	}
	if (light && light->MaxCLL <= UINT16_MAX && light->MaxFALL <= UINT16_MAX) {
		out->max_light = (uint16_t)light->MaxCLL;
		out->max_average_light = (uint16_t)light->MaxFALL;
	}
}

/** Members of libav…'s structures may only be added behind these. */
static int put_display(AVStream *stream, const struct fsmeta_hdr *hdr)
{
	AVMasteringDisplayMetadata *display;

	if (!fsmeta_hdr_has_display(hdr))
		return 0;
	display = add_side_data(stream, AV_PKT_DATA_MASTERING_DISPLAY_METADATA, sizeof(*display));
	if (!display)
		return AVERROR(ENOMEM);
	*display = (AVMasteringDisplayMetadata){
	    .max_luminance = av_make_q((int)(hdr->max_luminance & INT32_MAX), LUMINANCE_UNIT),
	    .min_luminance = av_make_q((int)(hdr->min_luminance & INT32_MAX), LUMINANCE_UNIT),
	    .has_primaries = hdr->points[3][0] > 0,
	    .has_luminance = hdr->max_luminance > 0,
	};
	for (int i = 0; i < 4; i++)
		for (int axis = 0; axis < 2; axis++)
			(i < 3 ? display->display_primaries[i] : display->white_point)[axis] =
			    av_make_q(hdr->points[i][axis], POINT_UNIT);
	return 0;
}

static int put_light(AVStream *stream, const struct fsmeta_hdr *hdr)
{
	AVContentLightMetadata *light;

	if (!fsmeta_hdr_has_light(hdr))
		return 0;
	light = add_side_data(stream, AV_PKT_DATA_CONTENT_LIGHT_LEVEL, sizeof(*light));
	if (!light)
		return AVERROR(ENOMEM);
	*light =
	    (AVContentLightMetadata){.MaxCLL = hdr->max_light, .MaxFALL = hdr->max_average_light};
	return 0;
}

static int put_side_data(AVStream *stream, const struct fsmeta_media_track *track)
{
	int result = put_direction(stream, &track->look);

	if (result >= 0)
		result = put_display(stream, &track->hdr);
	return result < 0 ? result : put_light(stream, &track->hdr);
}

/** Before the decoder is asked, who knows better where the bitstream says it. */
static void put_colors(AVCodecParameters *parameters, const struct fsmeta_look *look)
{
	if (look->primaries)
		parameters->color_primaries = (enum AVColorPrimaries)look->primaries;
	if (look->transfer)
		parameters->color_trc = (enum AVColorTransferCharacteristic)look->transfer;
	if (look->matrix)
		parameters->color_space = (enum AVColorSpace)look->matrix;
	if (look->range)
		parameters->color_range =
		    look->range == FSMETA_LOOK_RANGE_FULL ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
}

static int describe_track(struct fsmeta_media_input *input, size_t i, struct fsmeta_error *error)
{
	const AVStream *stream = input->format->streams[i];
	const AVCodecParameters *parameters = stream->codecpar;
	struct fsmeta_media_track *track = &input->tracks[i];
	int code;

	track->is_audio = parameters->codec_type == AVMEDIA_TYPE_AUDIO;
	name_codec(track->codec, parameters->codec_id);
	snprintf(track->codec_name, sizeof(track->codec_name), "%s",
	    avcodec_get_name(parameters->codec_id));
	if (parameters->width > 0 && parameters->height > 0) {
		track->width = (uint32_t)parameters->width;
		track->height = (uint32_t)parameters->height;
	}
	if (stream->avg_frame_rate.num > 0 && stream->avg_frame_rate.den > 0 &&
	    stream->avg_frame_rate.num / stream->avg_frame_rate.den < RATE_MAX_MILLIHERTZ)
		track->framerate_millihertz =
		    (uint32_t)(av_q2d(stream->avg_frame_rate) * 1000 + 0.5);
	if (parameters->sample_rate > 0 && parameters->ch_layout.nb_channels > 0) {
		track->sample_rate = (uint32_t)parameters->sample_rate;
		track->channels = (uint32_t)parameters->ch_layout.nb_channels;
	}
	if (parameters->codec_type == AVMEDIA_TYPE_VIDEO) {
		take_look(&track->look, stream);
		take_hdr(&track->hdr, stream);
	}
	if (parameters->codec_id == AV_CODEC_ID_VP9)
		spell_vp9(track, parameters);
	code = take_config(track, &input->states[i], parameters->extradata,
	    (size_t)(parameters->extradata_size > 0 ? parameters->extradata_size : 0));
	if (code == FSMETA_E_MEMORY)
		return fsmeta_error_set_memory(error, "opening a video");
	/* Of a track that is not asked for it does not matter. */
	if (code)
		track->codec[0] = '\0';
	return 0;
}

static int find_best(AVFormatContext *format, enum AVMediaType type)
{
	int best = av_find_best_stream(format, type, -1, -1, NULL, 0);

	if (best < 0 || best >= FSMETA_MEDIA_TRACKS_MAX ||
	    format->streams[best]->disposition & AV_DISPOSITION_ATTACHED_PIC)
		return -1;
	return best;
}

static int64_t find_created(const AVFormatContext *format)
{
	const AVDictionaryEntry *entry = av_dict_get(format->metadata, "creation_time", NULL, 0);
	struct fsmeta_time time;

	/* 1970 and what is before it are clocks that nobody set. */
	if (!entry || !fsmeta_time_parse(&time, entry->value, strlen(entry->value)) ||
	    time.seconds <= 0 || time.seconds > INT64_MAX / 4000000)
		return -1;
	return time.seconds * 1000000 + time.nanoseconds / 1000;
}

/** Far enough from the ends that the time of an archive can be added. */
static bool is_reckonable(int64_t time_us)
{
	return time_us >= -TIME_MAX_US && time_us <= TIME_MAX_US;
}

static void describe_times(struct fsmeta_media_input *input)
{
	const AVFormatContext *format = input->format;
	struct fsmeta_media_description *description = &input->description;
	int64_t start = AV_NOPTS_VALUE;

	if (description->video >= 0) {
		const AVStream *stream = format->streams[description->video];

		if (stream->start_time != AV_NOPTS_VALUE)
			start = av_rescale_q(stream->start_time, stream->time_base, microseconds);
	}
	if (start == AV_NOPTS_VALUE)
		start = format->start_time;
	description->start_us = is_reckonable(start) ? start : 0;
	description->duration_us =
	    format->duration > 0 && is_reckonable(format->duration) ? format->duration : 0;
	description->created_us = find_created(format);
}

/** Whether all that the file's index speaks of lies within it. */
static int check_whole(const struct fsmeta_media_input *input, struct fsmeta_error *error)
{
	uint64_t missing = 0, all = 0;

	for (unsigned i = 0; input->is_regular && i < input->format->nb_streams; i++) {
		AVStream *stream = input->format->streams[i];
		int count = avformat_index_get_entries_count(stream);

		for (int n = 0; n < count; n++) {
			const AVIndexEntry *entry = avformat_index_get_entry(stream, n);
			uint64_t size = entry->size > 0 ? (uint64_t)entry->size : 0;

			missing +=
			    entry->pos >= 0 && (uint64_t)entry->pos + size > input->file_bytes;
			all++;
		}
	}
	if (!missing)
		return 0;
	return fsmeta_error_set_at(error, FSMETA_E_TRUNCATED, input->source->name,
	    (int64_t)input->file_bytes, "opening a video",
	    "it is cut off: of %llu packets in its index %llu reach beyond its end",
	    (unsigned long long)all, (unsigned long long)missing);
}

static int open_format(struct fsmeta_media_input *input, struct fsmeta_error *error)
{
	static const char action[] = "opening a video";
	AVDictionary *options = NULL;
	int result;

	input->io = make_io(input, false, input->is_regular, read_bytes, NULL, seek_input);
	input->format = avformat_alloc_context();
	input->packet = av_packet_alloc();
	if (!input->io || !input->format || !input->packet)
		return fsmeta_error_set_memory(error, action);
	input->format->pb = input->io;
	input->format->flags |= AVFMT_FLAG_CUSTOM_IO;
	input->format->io_open = refuse_open;
	av_dict_set(&options, "format_whitelist", formats, 0);
	result = avformat_open_input(&input->format, NULL, NULL, &options);
	av_dict_free(&options);
	if (result == AVERROR(EINVAL) || result == AVERROR_INVALIDDATA)
		return input->stop_code || (last_log[0] && !strstr(last_log, "whitelist"))
			   ? input_failed(input, result, FSMETA_E_FOREIGN, action, error)
			   : fsmeta_error_set(error, FSMETA_E_FOREIGN, input->source->name, action,
				 "it is none of the formats of video files that are known");
	if (result < 0)
		return input_failed(input, result, FSMETA_E_FOREIGN, action, error);
	result = avformat_find_stream_info(input->format, NULL);
	if (result < 0 || input->stop_code)
		return input_failed(input, result, FSMETA_E_FOREIGN, action, error);
	return check_whole(input, error);
}

static int describe_all(struct fsmeta_media_input *input, struct fsmeta_error *error)
{
	struct fsmeta_media_description *description = &input->description;
	int code = 0;

	description->tracks = input->tracks;
	description->count = input->format->nb_streams < FSMETA_MEDIA_TRACKS_MAX
				 ? input->format->nb_streams
				 : FSMETA_MEDIA_TRACKS_MAX;
	description->video = find_best(input->format, AVMEDIA_TYPE_VIDEO);
	description->audio = find_best(input->format, AVMEDIA_TYPE_AUDIO);
	for (size_t i = 0; i < description->count && !code; i++)
		code = describe_track(input, i, error);
	for (unsigned i = 0; i < input->format->nb_streams; i++)
		if ((int)i != description->video && (int)i != description->audio)
			input->format->streams[i]->discard = AVDISCARD_ALL;
	describe_times(input);
	return code;
}

static void close_input(struct fsmeta_media_input *input)
{
	if (!input)
		return;
	avformat_close_input(&input->format);
	free_io(&input->io);
	av_packet_free(&input->packet);
	for (size_t i = 0; i < FSMETA_MEDIA_TRACKS_MAX; i++)
		fsmeta_buffer_release(&input->states[i].sets);
	fsmeta_buffer_release(&input->annexb);
	free(input);
}

static int open_input(struct fsmeta_media_input **out, const struct fsmeta_media_source *source,
    struct fsmeta_error *error)
{
	struct fsmeta_media_input *input = calloc(1, sizeof(*input));
	struct stat status;
	int code;

	*out = NULL;
	begin_libav();
	if (!input)
		return fsmeta_error_set_memory(error, "opening a video");
	input->source = source;
	input->is_regular = fstat(source->fd, &status) == 0 && S_ISREG(status.st_mode);
	input->file_bytes = input->is_regular ? (uint64_t)status.st_size : 0;
	code = open_format(input, error);
	if (!code)
		code = describe_all(input, error);
	if (code)
		close_input(input);
	else
		*out = input;
	return code;
}

static const struct fsmeta_media_description *describe(const struct fsmeta_media_input *input)
{
	return &input->description;
}

/** Annex B, and the configuration that came along. */
static int convert_packet(struct fsmeta_media_input *input, struct fsmeta_media_packet *out)
{
	const AVPacket *packet = input->packet;
	struct fsmeta_media_track *track = &input->tracks[out->track];
	struct input_track *state = &input->states[out->track];
	size_t size = 0;
	const uint8_t *config = av_packet_get_side_data(packet, AV_PKT_DATA_NEW_EXTRADATA, &size);
	int code = config && size ? take_config(track, state, config, size) : 0;

	if (code || !state->length_bytes)
		return code;
	fsmeta_buffer_clear(&input->annexb);
	code = fsmeta_nal_to_annexb(
	    &input->annexb, state->length_bytes, packet->data, (size_t)packet->size);
	out->bytes = input->annexb.data;
	out->size = input->annexb.length;
	return code;
}

static int next_packet(
    struct fsmeta_media_input *input, struct fsmeta_media_packet *out, struct fsmeta_error *error)
{
	static const char action[] = "reading a video";
	const AVPacket *packet = input->packet;
	const AVStream *stream;
	int64_t pts, dts;
	int code;

	do {
		int result;

		av_packet_unref(input->packet);
		last_log[0] = '\0';
		result = av_read_frame(input->format, input->packet);
		if (result == AVERROR_EOF && !input->stop_code)
			return 0;
		if (result < 0)
			return input_failed(input, result, FSMETA_E_CORRUPT, action, error);
	} while ((packet->stream_index != input->description.video &&
		     packet->stream_index != input->description.audio) ||
		 packet->size <= 0);
	stream = input->format->streams[packet->stream_index];
	pts = packet->pts == AV_NOPTS_VALUE ? packet->dts : packet->pts;
	dts = packet->dts == AV_NOPTS_VALUE ? pts : packet->dts;
	if (pts == AV_NOPTS_VALUE)
		return fsmeta_error_set_at(error, FSMETA_E_FOREIGN, input->source->name,
		    packet->pos, action,
		    "a packet has no time: a bare bitstream must be put into a container first");
	*out = (struct fsmeta_media_packet){
	    .track = (size_t)packet->stream_index,
	    .is_key = packet->flags & AV_PKT_FLAG_KEY,
	    .pts_us = av_rescale_q(pts, stream->time_base, microseconds),
	    .dts_us = av_rescale_q(dts, stream->time_base, microseconds),
	    .bytes = packet->data,
	    .size = (size_t)packet->size,
	};
	if (!is_reckonable(out->pts_us) || !is_reckonable(out->dts_us))
		return fsmeta_error_set_at(error, FSMETA_E_CORRUPT, input->source->name,
		    packet->pos, action, "a packet is shown at a time that cannot be");
	code = convert_packet(input, out);
	if (code == FSMETA_E_CORRUPT)
		return fsmeta_error_set_at(error, FSMETA_E_CORRUPT, input->source->name,
		    packet->pos, action, "the lengths in a packet do not add up");
	return code ? fsmeta_error_set_memory(error, action) : 1;
}

/* ---- muxing ---- */

struct ending {
	const char *ending;
	const char *muxer;
};

static const struct ending endings[] = {
    {".mp4", "mp4"}, {".mov", "mov"}, {".mkv", "matroska"}, {".webm", "webm"}};

struct fsmeta_media_output {
	AVFormatContext *format;
	AVIOContext *io;
	AVPacket *packet;
	int fd;
	char *name;
	uint32_t depth;
	/** Of each track: time of the last packet, and where the next one would begin. */
	int64_t last_dts[FSMETA_MEDIA_TRACKS_MAX];
	int64_t next_pts[FSMETA_MEDIA_TRACKS_MAX];
};

static const AVOutputFormat *find_muxer(const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		size_t end = strlen(endings[i].ending);

		if (length > end && strcasecmp(name + length - end, endings[i].ending) == 0)
			return av_guess_format(endings[i].muxer, NULL, NULL);
	}
	return NULL;
}

static bool takes(const char *name, const struct fsmeta_media_track *track)
{
	const AVOutputFormat *muxer = find_muxer(name);
	enum AVCodecID id = find_codec(track->codec);

	begin_libav();
	/* Matroska counts G.711 as unofficial, and every player plays it. */
	return muxer && id != AV_CODEC_ID_NONE &&
	       avformat_query_codec(muxer, id, FF_COMPLIANCE_UNOFFICIAL) == 1;
}

static int write_bytes(void *opaque, uint8_t *bytes, int size)
{
	const struct fsmeta_media_output *output = opaque;
	int done = 0;

	while (done < size) {
		ssize_t written = write(output->fd, bytes + done, (size_t)(size - done));

		if (written < 0 && errno != EINTR)
			return AVERROR(errno);
		done += written > 0 ? (int)written : 0;
	}
	return size;
}

static int64_t seek_output(void *opaque, int64_t offset, int whence)
{
	const struct fsmeta_media_output *output = opaque;
	struct stat status;

	return seek_file(output->fd, fstat(output->fd, &status) == 0 ? (uint64_t)status.st_size : 0,
	    offset, whence);
}

static int set_config(AVCodecParameters *out, const struct fsmeta_media_track *track)
{
	if (!track->config_bytes || track->config_bytes > INT32_MAX / 2)
		return 0;
	out->extradata = av_mallocz(track->config_bytes + AV_INPUT_BUFFER_PADDING_SIZE);
	if (!out->extradata)
		return AVERROR(ENOMEM);
	memcpy(out->extradata, track->config, track->config_bytes);
	out->extradata_size = (int)track->config_bytes;
	return 0;
}

static int show_to_decoder(AVCodecContext *decoder, const struct fsmeta_media_packet *first)
{
	AVPacket *packet = av_packet_alloc();
	AVFrame *frame = av_frame_alloc();
	int result = packet && frame ? av_new_packet(packet, (int)first->size) : AVERROR(ENOMEM);

	if (result >= 0) {
		memcpy(packet->data, first->bytes, first->size);
		packet->flags = AV_PKT_FLAG_KEY;
		result = avcodec_send_packet(decoder, packet);
		/* The picture is of no interest, and that it is made is. */
		if (result >= 0 && avcodec_receive_frame(decoder, frame) == AVERROR(EAGAIN) &&
		    avcodec_send_packet(decoder, NULL) >= 0)
			avcodec_receive_frame(decoder, frame);
	}
	av_frame_free(&frame);
	av_packet_free(&packet);
	return result;
}

/** What only the bitstream says.  That it says nothing is no failure. */
static int ask_decoder(
    AVCodecParameters *parameters, const struct fsmeta_media_packet *first, uint32_t *depth)
{
	const AVCodec *codec = avcodec_find_decoder(parameters->codec_id);
	AVCodecContext *decoder = codec ? avcodec_alloc_context3(codec) : NULL;
	int width = parameters->width, height = parameters->height;
	int result = 0;

	if (!decoder)
		return codec ? AVERROR(ENOMEM) : 0;
	decoder->thread_count = 1;
	if (avcodec_parameters_to_context(decoder, parameters) >= 0 &&
	    avcodec_open2(decoder, codec, NULL) >= 0 && show_to_decoder(decoder, first) >= 0) {
		*depth = decoder->has_b_frames > 0 ? (uint32_t)decoder->has_b_frames : 0;
		result = avcodec_parameters_from_context(parameters, decoder);
	}
	if (parameters->width <= 0 || parameters->height <= 0) {
		parameters->width = width;
		parameters->height = height;
	}
	avcodec_free_context(&decoder);
	return result;
}

/** Apple's players want hvc1, which has parameter sets in front of the file alone. */
static bool is_hvc1(const AVOutputFormat *muxer, const struct fsmeta_media_packet *first)
{
	struct fsmeta_annexb_summary summary;

	if (strcmp(muxer->name, "mp4") != 0 && strcmp(muxer->name, "mov") != 0)
		return false;
	fsmeta_annexb_summarise(&summary, FSMETA_CODEC_H265, first->bytes, first->size);
	return !summary.has_parameter_sets;
}

/** 29970 is 30000/1001. */
static AVRational spell_rate(uint32_t millihertz)
{
	int64_t whole = ((int64_t)millihertz * 1001 + 500000) / 1000000;

	if (llabs(whole * 1000000 / 1001 - millihertz) <= 1)
		return (AVRational){(int)whole * 1000, 1001};
	return (AVRational){(int)millihertz, 1000};
}

static int add_video(struct fsmeta_media_output *output, AVStream *stream,
    const struct fsmeta_media_track *track, const struct fsmeta_media_packet *first)
{
	AVCodecParameters *parameters = stream->codecpar;
	int result;

	parameters->codec_type = AVMEDIA_TYPE_VIDEO;
	parameters->width = (int)track->width;
	parameters->height = (int)track->height;
	put_colors(parameters, &track->look);
	result = ask_decoder(parameters, first, &output->depth);
	parameters->codec_tag = 0;
	if (parameters->codec_id == AV_CODEC_ID_HEVC && is_hvc1(output->format->oformat, first))
		parameters->codec_tag = MKTAG('h', 'v', 'c', '1');
	stream->time_base = microseconds;
	if (track->framerate_millihertz && track->framerate_millihertz < RATE_MAX_MILLIHERTZ)
		stream->avg_frame_rate = spell_rate(track->framerate_millihertz);
	return result < 0 ? result : put_side_data(stream, track);
}

static int add_audio(AVStream *stream, const struct fsmeta_media_track *track)
{
	AVCodecParameters *parameters = stream->codecpar;

	parameters->codec_type = AVMEDIA_TYPE_AUDIO;
	parameters->sample_rate = (int)track->sample_rate;
	av_channel_layout_default(&parameters->ch_layout, (int)track->channels);
	if (parameters->codec_id == AV_CODEC_ID_AAC)
		parameters->frame_size = AAC_FRAME_SAMPLES;
	stream->time_base = (AVRational){1, (int)track->sample_rate};
	return 0;
}

static int add_track(struct fsmeta_media_output *output, const struct fsmeta_media_track *track,
    const struct fsmeta_media_packet *first)
{
	AVStream *stream = avformat_new_stream(output->format, NULL);
	int result;

	if (!stream)
		return AVERROR(ENOMEM);
	stream->codecpar->codec_id = find_codec(track->codec);
	result = set_config(stream->codecpar, track);
	if (result < 0)
		return result;
	return track->is_audio ? add_audio(stream, track) : add_video(output, stream, track, first);
}

static int note_start(AVFormatContext *format, int64_t start_us)
{
	char text[FSMETA_TIME_TEXT_BYTES];

	fsmeta_time_format(text, fsmeta_time_from_us(start_us));
	return av_dict_set(&format->metadata, "creation_time", text, 0);
}

static int begin_file(struct fsmeta_media_output *output, const AVOutputFormat *muxer,
    const struct fsmeta_media_track *tracks, size_t count, const struct fsmeta_media_packet *first,
    int64_t start_us)
{
	int result = avformat_alloc_output_context2(&output->format, muxer, NULL, NULL);

	if (result < 0)
		return result;
	output->io = make_io(output, true, true, NULL, write_bytes, seek_output);
	output->packet = av_packet_alloc();
	if (!output->io || !output->packet)
		return AVERROR(ENOMEM);
	output->format->pb = output->io;
	output->format->flags |= AVFMT_FLAG_CUSTOM_IO;
	output->format->io_open = refuse_open;
	for (size_t i = 0; i < count && result >= 0; i++)
		result = add_track(output, &tracks[i], first);
	if (result >= 0)
		result = note_start(output->format, start_us);
	return result < 0 ? result : avformat_write_header(output->format, NULL);
}

static void abandon_output(struct fsmeta_media_output *output)
{
	if (!output)
		return;
	avformat_free_context(output->format);
	free_io(&output->io);
	av_packet_free(&output->packet);
	free(output->name);
	free(output);
}

static int create_output(struct fsmeta_media_output **out, int fd, const char *name,
    const struct fsmeta_media_track *tracks, size_t count, const struct fsmeta_media_packet *first,
    int64_t start_us, struct fsmeta_error *error)
{
	static const char action[] = "making a video";
	const AVOutputFormat *muxer = find_muxer(name);
	struct fsmeta_media_output *output;
	int result;

	*out = NULL;
	begin_libav();
	if (!muxer || count > FSMETA_MEDIA_TRACKS_MAX || first->size > INT32_MAX / 2)
		return fsmeta_error_set(error, FSMETA_E_USAGE, name, action,
		    "its name ends in none of .mp4 .mov .mkv .webm");
	output = calloc(1, sizeof(*output));
	if (!output || !(output->name = strdup(name))) {
		free(output);
		return fsmeta_error_set_memory(error, action);
	}
	output->fd = fd;
	for (size_t i = 0; i < FSMETA_MEDIA_TRACKS_MAX; i++)
		output->last_dts[i] = output->next_pts[i] = AV_NOPTS_VALUE;
	result = begin_file(output, muxer, tracks, count, first, start_us);
	if (result < 0) {
		abandon_output(output);
		return fail(error, FSMETA_E_UNSUPPORTED, result, name, action);
	}
	*out = output;
	return 0;
}

static uint32_t reorder_depth(const struct fsmeta_media_output *output)
{
	return output->depth;
}

/** Where a packet of audio begins in samples: behind the one before, if it is as near as can be
 * told. */
static void place_audio(struct fsmeta_media_output *output, AVPacket *packet, AVStream *stream)
{
	int64_t *next = &output->next_pts[packet->stream_index];
	int64_t near = av_rescale_q(NEAR_US, microseconds, stream->time_base);
	int samples = av_get_audio_frame_duration2(stream->codecpar, packet->size);

	packet->duration =
	    samples > 0 ? av_rescale_q(samples, (AVRational){1, stream->codecpar->sample_rate},
			      stream->time_base)
			: 0;
	if (*next != AV_NOPTS_VALUE && llabs(packet->pts - *next) <= near)
		packet->pts = *next;
	packet->dts = packet->pts;
	*next = packet->duration ? packet->pts + packet->duration : AV_NOPTS_VALUE;
}

static int write_packet(struct fsmeta_media_output *output, const struct fsmeta_media_packet *from,
    struct fsmeta_error *error)
{
	static const char action[] = "writing a video";
	AVStream *stream = output->format->streams[from->track];
	AVPacket *packet = output->packet;
	int64_t *last = &output->last_dts[from->track];
	int result = from->size > INT32_MAX / 2 ? AVERROR(EINVAL) : 0;

	last_log[0] = '\0';
	if (result >= 0)
		result = av_new_packet(packet, (int)from->size);
	if (result < 0)
		return fail(error, FSMETA_E_LIMIT, result, output->name, action);
	memcpy(packet->data, from->bytes, from->size);
	packet->stream_index = (int)from->track;
	packet->flags = from->is_key ? AV_PKT_FLAG_KEY : 0;
	packet->pts = av_rescale_q(from->pts_us, microseconds, stream->time_base);
	packet->dts = av_rescale_q(from->dts_us, microseconds, stream->time_base);
	if (stream->codecpar->codec_type == AVMEDIA_TYPE_AUDIO)
		place_audio(output, packet, stream);
	/* Two that came out the same, where a tick was too long for the frame rate. */
	if (*last != AV_NOPTS_VALUE && packet->dts <= *last)
		packet->dts = *last + 1;
	if (packet->pts < packet->dts)
		packet->pts = packet->dts;
	/* As long as the one before; it counts for the last of all, which would be cut off without.
	 */
	if (!packet->duration)
		packet->duration = *last == AV_NOPTS_VALUE
				       ? av_rescale_q(INTERVAL_US, microseconds, stream->time_base)
				       : packet->dts - *last;
	*last = packet->dts;
	result = av_interleaved_write_frame(output->format, packet);
	av_packet_unref(packet);
	if (result >= 0 && output->io->error < 0)
		result = output->io->error;
	return result < 0 ? fail(error, FSMETA_E_SYSTEM, result, output->name, action) : 0;
}

static int finish_output(struct fsmeta_media_output *output, struct fsmeta_error *error)
{
	int result, code = 0;

	last_log[0] = '\0';
	result = av_write_trailer(output->format);
	avio_flush(output->io);
	if (result >= 0 && output->io->error < 0)
		result = output->io->error;
	if (result < 0)
		code = fail(error, FSMETA_E_SYSTEM, result, output->name, "ending a video");
	abandon_output(output);
	return code;
}

__attribute__((
    visibility("default"))) extern const struct fsmeta_media_operations fsmeta_media_libav;

const struct fsmeta_media_operations fsmeta_media_libav = {
    .interface = FSMETA_MEDIA_INTERFACE,
    .version = FSMETA_VERSION,
    .open = open_input,
    .describe = describe,
    .next = next_packet,
    .close = close_input,
    .create = create_output,
    .takes = takes,
    .reorder_depth = reorder_depth,
    .write = write_packet,
    .finish = finish_output,
    .abandon = abandon_output,
};
