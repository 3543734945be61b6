/*
 * fsmeta archive read: a window of a stream as a file that players play.
 */
#include "archive/media_read.h"
#include "base/file.h"
#include "base/text.h"
#include "tools/archive.h"
#include "tools/archive_layout.h"
#include "tools/command.h"

#include <string.h>

enum option_key {
	OPTION_FROM = 0x100,
	OPTION_TO,
};

enum {
	TIME_DIGITS = 19,
};

/** Later than any video, and far enough from the end to reckon with. */
static const int64_t forever_us = INT64_MAX / 4;

struct read_arguments {
	const char *archive;
	const char *stream;
	const char *output;
	int64_t from_us;
	int64_t to_us;
	bool quiet;
};

static const struct argp_option options[] = {
    {"output", 'o', "FILE", 0, "Write to FILE; its ending says the format: .mp4 .mov .mkv .webm",
	1},
    {"from", OPTION_FROM, "TIME", 0,
	"From this time on: 2026-11-20T10:00:00Z, a day, or how long ago (2h)", 1},
    {"to", OPTION_TO, "TIME", 0, "Up to this time", 1},
    {"quiet", 'q', NULL, 0, "No closing line", 1},
    {0},
};

static void parse_time(struct argp_state *state, const char *option, const char *text, int64_t *out)
{
	if (!fsmeta_archive_parse_time(out, text))
		argp_error(state, "%s: '%s' is no time", option, text);
}

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct read_arguments *arguments = state->input;

	switch (key) {
	case 'o':
		arguments->output = text;
		return 0;
	case 'q':
		arguments->quiet = true;
		return 0;
	case OPTION_FROM:
		parse_time(state, "--from", text, &arguments->from_us);
		return 0;
	case OPTION_TO:
		parse_time(state, "--to", text, &arguments->to_us);
		return 0;
	case ARGP_KEY_ARG:
		if (arguments->stream)
			argp_error(state, "'%s' is one operand too many", text);
		*(arguments->archive ? &arguments->stream : &arguments->archive) = text;
		return 0;
	case ARGP_KEY_END:
		if (!arguments->stream)
			argp_error(state, "which archive, and which stream of it?");
		if (!arguments->output)
			argp_error(state, "-o says where to");
		if (arguments->from_us >= arguments->to_us)
			argp_error(state, "--from must be before --to");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {options, parse_option, "ARCHIVE STREAM -o FILE",
    "Write what a stream of a video archive shows between two times to a file that players play, "
    "without re-encoding."
    "\vARCHIVE is a folder with streams of the layouts fsv, segments or recording; STREAM is the "
    "name "
    "of one. The file begins with the key frame that is needed to show the first picture, so it "
    "may "
    "begin earlier than --from; its date is that of its first picture. Without --from and --to all "
    "of the stream is read. Sound comes along where the stream has any and FILE can hold it.",
    NULL, NULL, NULL};

static void tell(const struct read_arguments *arguments, const struct fsmeta_media_read *read)
{
	struct fsmeta_buffer line = {0};
	char text[FSMETA_TIME_TEXT_BYTES];

	fsmeta_time_format(text, fsmeta_time_from_us(read->from_us));
	if (fsmeta_text_append_count(&line, read->video_packets) ||
	    fsmeta_buffer_append_format(&line, " frame%s", read->video_packets == 1 ? "" : "s") ||
	    (read->audio_packets && (fsmeta_buffer_append_text(&line, " and ") ||
					fsmeta_text_append_count(&line, read->audio_packets) ||
					fsmeta_buffer_append_text(&line, " packets of sound"))) ||
	    fsmeta_buffer_append_text(&line, ", ") || fsmeta_text_append_size(&line, read->bytes) ||
	    fsmeta_buffer_append_format(&line, ", %.1f s from %.*sZ",
		(double)(read->to_us - read->from_us) / 1e6, TIME_DIGITS, text) ||
	    (read->has_left_audio &&
		fsmeta_buffer_append_text(&line, "; its format has no place for the sound")))
		fsmeta_buffer_clear(&line);
	fsmeta_note(arguments->output, "%.*s", (int)line.length, (const char *)line.data);
	fsmeta_buffer_release(&line);
}

static int read_stream(const struct read_arguments *arguments, struct fsmeta_error *error)
{
	struct fsmeta_media_window window = {
	    .archive = arguments->archive,
	    .stream = arguments->stream,
	    .from_us = arguments->from_us,
	    .to_us = arguments->to_us,
	    .check = fsmeta_check_stop,
	};
	const struct fsmeta_media_operations *media;
	struct fsmeta_media_read read;
	struct fsmeta_replace replace;
	int code =
	    fsmeta_archive_find_layout(&window.layout, window.archive, &window.stream, error);

	if (!code)
		code = fsmeta_media_load(&media, error);
	if (!code)
		code = fsmeta_replace_file_begin(&replace, arguments->output, 0666, error);
	if (code)
		return code;
	code = fsmeta_media_read(&read, media, &window, replace.fd, arguments->output, error);
	if (code) {
		fsmeta_replace_abort(&replace);
		return code;
	}
	code = fsmeta_replace_commit(&replace, error);
	if (!code && !arguments->quiet)
		tell(arguments, &read);
	return code;
}

int fsmeta_archive_command_read(int argc, char **argv)
{
	struct read_arguments arguments = {.to_us = forever_us};
	struct fsmeta_error error;

	fsmeta_error_clear(&error);
	fsmeta_arguments(&argp, argc, argv, &arguments);
	return read_stream(&arguments, &error) < 0 ? fsmeta_report(&error) : FSMETA_EXIT_OK;
}
