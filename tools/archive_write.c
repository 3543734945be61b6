/*
 * fsmeta archive write: a video file, or one that is still being made and comes through a pipe,
 * into a stream of an archive.
 */
#include "archive/media_write.h"
#include "base/text.h"
#include "tools/archive.h"
#include "tools/archive_layout.h"
#include "tools/command.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum option_key {
	OPTION_LAYOUT = 0x100,
	OPTION_START,
};

enum {
	TIME_DIGITS = 19,
};

/** Later than any video, and far enough from the end to reckon with. */
static const int64_t forever_us = INT64_MAX / 4;

struct write_arguments {
	const char *archive;
	const char *stream;
	const char *input;
	enum fsmeta_layout layout;
	bool has_start;
	int64_t start_us;
	bool quiet;
};

static const struct argp_option options[] = {
    {"layout", OPTION_LAYOUT, "LAYOUT", 0,
	"fsv, segments or recording (default: what ARCHIVE holds already, else fsv)", 1},
    {"start", OPTION_START, "TIME", 0,
	"When the video begins: 2026-11-20T10:00:00Z, a day, how long ago (2h), or now (default: "
	"the file's own date; of a pipe, when it begins to talk)",
	1},
    {"quiet", 'q', NULL, 0, "No closing line", 1},
    {0},
};

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct write_arguments *arguments = state->input;
	const char **operands[] = {&arguments->archive, &arguments->stream, &arguments->input};

	switch (key) {
	case OPTION_LAYOUT:
		if (!fsmeta_archive_parse_layout(&arguments->layout, text))
			argp_error(
			    state, "--layout: '%s' is none of fsv, segments, recording", text);
		return 0;
	case OPTION_START:
		if (!fsmeta_archive_parse_time(&arguments->start_us, text))
			argp_error(state, "--start: '%s' is no time", text);
		arguments->has_start = true;
		return 0;
	case 'q':
		arguments->quiet = true;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num >= sizeof(operands) / sizeof(operands[0]))
			argp_error(state, "'%s' is one operand too many", text);
		*operands[state->arg_num] = text;
		return 0;
	case ARGP_KEY_END:
		if (!arguments->input)
			argp_error(state, "which archive, which stream of it, and which video?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {options, parse_option, "ARCHIVE STREAM VIDEO",
    "Write the packets of VIDEO (H.264, H.265 or VP9 in mp4, mkv, webm, MPEG-TS, …) into a stream "
    "of a video archive, without re-encoding."
    "\vARCHIVE is made where it is not there. VIDEO may be - for standard input: what comes "
    "through a "
    "pipe is written as it comes, and Ctrl-C seals it. Sound goes into the layout fsv. A stream "
    "that "
    "has video from that time already is refused.",
    NULL, NULL, NULL};

/** One command. */
struct writing {
	const struct write_arguments *arguments;
	const struct fsmeta_media_operations *media;
	const struct fsmeta_media_description *description;
	struct fsmeta_media_input *input;
	struct fsmeta_media_target target;
	struct fsmeta_media_writer *writer;
	/** What was written when it ended. */
	struct fsmeta_media_written written;
	/** What is added to times of the file. */
	int64_t shift_us;
};

static int idle(void *payload, struct fsmeta_error *error)
{
	struct writing *writing = payload;
	int code = fsmeta_check_stop(error);

	if (!code && writing->writer)
		code = fsmeta_media_write_idle(writing->writer, error);
	return code;
}

static bool is_pipe(const struct write_arguments *arguments)
{
	return strcmp(arguments->input, "-") == 0;
}

static int open_video(const struct write_arguments *arguments, int *fd, struct fsmeta_error *error)
{
	*fd = -1;
	if (is_pipe(arguments)) {
		*fd = STDIN_FILENO;
		if (isatty(*fd))
			return fsmeta_error_set(error, FSMETA_E_USAGE, "-", "reading a video",
			    "standard input is a terminal");
		return 0;
	}
	*fd = open(arguments->input, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	return *fd < 0 ? fsmeta_error_set_errno(error, errno, arguments->input, "opening") : 0;
}

/** When the video begins, in whoever's words. */
static int find_start(const struct writing *writing, int64_t *start_us, struct fsmeta_error *error)
{
	const struct write_arguments *arguments = writing->arguments;

	*start_us = arguments->has_start ? arguments->start_us
		    : is_pipe(arguments) ? writing->description->arrived_us
					 : writing->description->created_us;
	if (*start_us >= 0)
		return 0;
	return fsmeta_error_set(error, FSMETA_E_REFUSED, arguments->input, "writing a video",
	    "it does not say when it was made; --start does (--start now, or a time)");
}

static int choose_layout(struct writing *writing, struct fsmeta_error *error)
{
	enum fsmeta_layout *layout = &writing->target.layout;
	int code = 0;

	*layout = writing->arguments->layout;
	if (!*layout)
		code = fsmeta_archive_guess_layout(layout, writing->target.archive, error);
	if (!*layout)
		*layout = FSMETA_LAYOUT_FSV;
	return code;
}

static int prepare(struct writing *writing, struct fsmeta_error *error)
{
	const struct write_arguments *arguments = writing->arguments;
	const struct fsmeta_media_description *description;
	int64_t start_us;
	int code;

	writing->description = description = writing->media->describe(writing->input);
	if (description->video < 0)
		return fsmeta_error_set(error, FSMETA_E_FOREIGN, arguments->input,
		    "writing a video", "there is no video in it");
	code = find_start(writing, &start_us, error);
	if (code)
		return code;
	writing->shift_us = start_us - description->start_us;
	writing->target = (struct fsmeta_media_target){
	    .archive = arguments->archive,
	    .stream = arguments->stream,
	    .from_us = start_us,
	    .to_us = description->duration_us ? start_us + description->duration_us : forever_us,
	};
	return choose_layout(writing, error);
}

/** Sound that the layout keeps, or NULL. */
static const struct fsmeta_media_track *choose_audio(const struct writing *writing)
{
	const struct fsmeta_media_description *description = writing->description;
	const struct fsmeta_media_track *audio =
	    description->audio >= 0 ? &description->tracks[description->audio] : NULL;
	bool quiet = writing->arguments->quiet;

	if (!audio)
		return NULL;
	if (!fsmeta_media_keeps_audio(writing->target.layout)) {
		if (!quiet)
			fsmeta_note(writing->arguments->input,
			    "its sound is left out, as the layout %s has no place for it",
			    fsmeta_layout_name(writing->target.layout));
		return NULL;
	}
	if (!audio->codec[0] || !audio->sample_rate) {
		if (!quiet)
			fsmeta_note(writing->arguments->input,
			    "its sound (%s) is left out, as the archive has no name for it",
			    audio->codec_name);
		return NULL;
	}
	return audio;
}

static int copy_packets(struct writing *writing, struct fsmeta_error *error)
{
	const struct fsmeta_media_description *description = writing->description;
	const struct fsmeta_media_track *video = &description->tracks[description->video];
	const struct fsmeta_media_track *audio = choose_audio(writing);
	struct fsmeta_media_packet packet;
	int code =
	    fsmeta_media_write_begin(&writing->writer, &writing->target, video, audio, error);

	while (!code && (code = writing->media->next(writing->input, &packet, error)) > 0) {
		const struct fsmeta_media_track *track = &description->tracks[packet.track];

		packet.pts_us += writing->shift_us;
		packet.dts_us += writing->shift_us;
		code = track == video || track == audio
			   ? fsmeta_media_write_packet(writing->writer, track, &packet, error)
			   : 0;
	}
	return code;
}

/** The first error counts, and what was written is sealed in any case. */
static int seal(struct writing *writing, int code, struct fsmeta_error *error)
{
	struct fsmeta_error local;
	int sealed;

	fsmeta_error_clear(&local);
	if (writing->writer)
		writing->written = *fsmeta_media_written(writing->writer);
	sealed = fsmeta_media_write_end(writing->writer, &local);
	writing->writer = NULL;
	if (code || !sealed)
		return code;
	*error = local;
	return sealed;
}

static void tell(const struct writing *writing)
{
	const struct fsmeta_media_written *written = &writing->written;
	struct fsmeta_buffer line = {0};
	char text[FSMETA_TIME_TEXT_BYTES];

	fsmeta_time_format(text, fsmeta_time_from_us(written->from_us));
	if (fsmeta_buffer_append_format(&line, "%s: ", writing->target.stream) ||
	    fsmeta_text_append_count(&line, written->video_packets) ||
	    fsmeta_buffer_append_format(
		&line, " frame%s", written->video_packets == 1 ? "" : "s") ||
	    (written->audio_packets &&
		(fsmeta_buffer_append_text(&line, " and ") ||
		    fsmeta_text_append_count(&line, written->audio_packets) ||
		    fsmeta_buffer_append_text(&line, " packets of sound"))) ||
	    fsmeta_buffer_append_text(&line, ", ") ||
	    fsmeta_text_append_size(&line, written->bytes) ||
	    fsmeta_buffer_append_format(&line, ", %.1f s from %.*sZ (%s)",
		(double)(written->to_us - written->from_us) / 1e6, TIME_DIGITS, text,
		fsmeta_layout_name(writing->target.layout)) ||
	    (written->skipped &&
		(fsmeta_buffer_append_text(&line, "; left out ") ||
		    fsmeta_text_append_count(&line, written->skipped) ||
		    fsmeta_buffer_append_text(&line, " before the first key frame"))))
		fsmeta_buffer_clear(&line);
	fsmeta_note(writing->target.archive, "%.*s", (int)line.length, (const char *)line.data);
	fsmeta_buffer_release(&line);
}

static int write_stream(
    const struct write_arguments *arguments, struct writing *writing, struct fsmeta_error *error)
{
	struct fsmeta_media_source source = {
	    .name = arguments->input, .idle = idle, .payload = writing};
	int code = open_video(arguments, &source.fd, error);

	if (!code)
		code = fsmeta_media_load(&writing->media, error);
	if (!code)
		code = writing->media->open(&writing->input, &source, error);
	if (!code)
		code = prepare(writing, error);
	if (!code)
		code = copy_packets(writing, error);
	code = seal(writing, code, error);
	if (writing->input)
		writing->media->close(writing->input);
	if (source.fd > STDIN_FILENO)
		close(source.fd);
	if (!code && !writing->written.video_packets)
		code = fsmeta_error_set(error, FSMETA_E_FOREIGN, arguments->input,
		    "writing a video", "there is no key frame in it");
	return code;
}

int fsmeta_archive_command_write(int argc, char **argv)
{
	struct write_arguments arguments = {0};
	struct writing writing = {.arguments = &arguments};
	struct fsmeta_error error;
	int code, status = FSMETA_EXIT_OK;

	fsmeta_error_clear(&error);
	fsmeta_arguments(&argp, argc, argv, &arguments);
	code = write_stream(&arguments, &writing, &error);
	if (code)
		status = fsmeta_report(&error);
	if (writing.written.video_packets) {
		if (!arguments.quiet)
			tell(&writing);
		/* Some of it is in the archive. */
		if (status == FSMETA_EXIT_FAILED)
			status = FSMETA_EXIT_PARTIAL;
	}
	return status;
}
