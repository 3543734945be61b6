/*
 * fsmeta archive info: which layouts, streams, times and gaps there are, judged from the entries
 * alone.
 */
#include "base/text.h"
#include "tools/archive.h"
#include "tools/command.h"
#include "tools/operand.h"
#include "tools/output.h"
#include "tools/reading.h"

#include <stdio.h>
#include <string.h>

enum option_key {
	OPTION_FORMAT = 0x100,
};

enum {
	SECOND_US = 1000000
};

struct archive_arguments {
	const char *operand;
	enum fsmeta_output_format format;
	struct fsmeta_scan_options scan;
};

static const struct argp_option options[] = {
    {"format", OPTION_FORMAT, "FORMAT", 0, "text (default) or jsonl", 1},
    {0},
};

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct archive_arguments *arguments = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &arguments->scan;
		return 0;
	case OPTION_FORMAT:
		fsmeta_output_format_take(&arguments->format, text, FSMETA_OUTPUT_LINES, state);
		return 0;
	case ARGP_KEY_ARG:
		if (arguments->operand)
			argp_error(state, "one operand at a time, and '%s' is the second", text);
		arguments->operand = text;
		return 0;
	case ARGP_KEY_END:
		if (!arguments->operand)
			argp_error(state, "of what?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {FSMETA_READING_CHILD(2), {0}};

static const struct argp info_argp = {options, parse_option, "OPERAND",
    "Tell which video archives OPERAND (a live folder, a stream, or a database at a generation) "
    "holds: layouts, streams, the time that they cover, gaps, overlaps, parts without their "
    "counterpart, recordings that were not completed."
    "\vJudged from names, sizes and times alone; no file is opened. Layouts: fsv "
    "(TIME_TRACK.rf1i beside .rf1p), segments (START_MS.vidx beside .h264 or .h265), frames "
    "(frame_NNNNNN.npy), recording (rec_ID with data.bin, index.jsonl and meta.json).",
    children, NULL, NULL};

/** Writes streams as they are found. */
struct info {
	enum fsmeta_output_format format;
	struct fsmeta_buffer line;
	uint64_t streams;
};

static int64_t bitrate(const struct fsmeta_archive_stream *stream)
{
	double seconds = (double)stream->covered_us / SECOND_US;

	return seconds > 0 ? (int64_t)((double)stream->bytes * 8 / seconds) : 0;
}

int fsmeta_archive_append_duration(struct fsmeta_buffer *out, int64_t duration_us)
{
	int64_t seconds = duration_us / SECOND_US, minutes = seconds / 60;

	if (seconds < 60)
		return fsmeta_buffer_append_format(out, "%lld s", (long long)seconds);
	if (minutes < 60)
		return fsmeta_buffer_append_format(out, "%lld min", (long long)minutes);
	return fsmeta_buffer_append_format(
	    out, "%lld h %lld min", (long long)(minutes / 60), (long long)(minutes % 60));
}

/** ", 4.1 Mbit/s"; nothing where no time is covered. */
static int append_bitrate(struct fsmeta_buffer *out, const struct fsmeta_archive_stream *stream)
{
	int64_t bits = bitrate(stream);

	if (!bits)
		return 0;
	if (bits < 1000)
		return fsmeta_buffer_append_format(out, ", %lld bit/s", (long long)bits);
	if (bits < 999950)
		return fsmeta_buffer_append_format(out, ", %.1f kbit/s", (double)bits / 1e3);
	return fsmeta_buffer_append_format(out, ", %.1f Mbit/s", (double)bits / 1e6);
}

static int append_time(struct fsmeta_buffer *out, int64_t time_us, size_t length)
{
	char text[FSMETA_TIME_TEXT_BYTES];
	size_t whole = fsmeta_time_format(text, fsmeta_time_from_us(time_us));

	return fsmeta_buffer_append(out, text, length && length < whole ? length : whole);
}

static const char *pieces_word(const struct fsmeta_archive_stream *stream)
{
	bool one = stream->pieces == 1;

	switch (stream->layout) {
	case FSMETA_LAYOUT_SEGMENTS:
		return one ? "segment" : "segments";
	case FSMETA_LAYOUT_FRAMES:
		return one ? "frame" : "frames";
	default:
		return one ? "file" : "files";
	}
}

/** ", 2026-11-03T10:00:00Z to 2026-11-03T11:00:00Z, 1 h 0 min, 4.1 Mbit/s", as far as known. */
static int append_times(struct fsmeta_buffer *out, const struct fsmeta_archive_stream *stream)
{
	int code = 0;

	if (!stream->has_to)
		return 0;
	code = fsmeta_buffer_append_text(out, ", ");
	if (!code && stream->has_from)
		code = append_time(out, stream->from_us, 19);
	if (!code)
		code = fsmeta_buffer_append_text(out, stream->has_from ? "Z to " : "to ");
	if (!code)
		code = append_time(out, stream->to_us, 19);
	if (!code)
		code = fsmeta_buffer_append_byte(out, 'Z');
	if (code || !stream->has_from)
		return code;
	code = fsmeta_buffer_append_text(out, ", ");
	if (!code)
		code = fsmeta_archive_append_duration(out, stream->covered_us);
	return code ? code : append_bitrate(out, stream);
}

int fsmeta_archive_append_text(
    struct fsmeta_buffer *out, const struct fsmeta_archive_stream *stream)
{
	int code = fsmeta_buffer_append_format(out, "%-9s  ", fsmeta_layout_name(stream->layout));

	if (!code)
		code = stream->path_length
			   ? fsmeta_text_append_quoted(out, stream->path, stream->path_length)
			   : fsmeta_buffer_append_byte(out, '.');
	if (!code)
		code = fsmeta_buffer_append_text(out, "  (");
	if (!code && stream->layout != FSMETA_LAYOUT_RECORDING) {
		code = fsmeta_text_append_count(out, stream->pieces);
		if (!code)
			code = fsmeta_buffer_append_format(out, " %s, ", pieces_word(stream));
	}
	if (!code)
		code = fsmeta_text_append_size(out, stream->bytes);
	if (!code)
		code = append_times(out, stream);
	if (!code && stream->gaps) {
		code = fsmeta_buffer_append_format(out, ", %llu gap%s, longest ",
		    (unsigned long long)stream->gaps, stream->gaps == 1 ? "" : "s");
		if (!code)
			code = fsmeta_archive_append_duration(out, stream->longest_gap_us);
	}
	if (!code && stream->overlaps)
		code = fsmeta_buffer_append_format(out, ", %llu overlap%s",
		    (unsigned long long)stream->overlaps, stream->overlaps == 1 ? "" : "s");
	if (!code && stream->orphans)
		code = fsmeta_buffer_append_format(out, ", %llu orphan%s",
		    (unsigned long long)stream->orphans, stream->orphans == 1 ? "" : "s");
	if (!code && stream->is_unfinished)
		code = fsmeta_buffer_append_text(out, ", not completed");
	return code ? code : fsmeta_buffer_append_text(out, ")\n");
}

int fsmeta_archive_append_path(struct fsmeta_buffer *out, const char *path, size_t length)
{
	int code = fsmeta_buffer_append_text(out, "\"path\":\"");

	if (!code)
		code = length ? fsmeta_text_append_json(out, path, length)
			      : fsmeta_buffer_append_byte(out, '.');
	if (!code)
		code = fsmeta_buffer_append_byte(out, '"');
	if (code || fsmeta_utf8_is_valid(path, length))
		return code;
	code = fsmeta_buffer_append_text(out, ",\"path_b64\":\"");
	if (!code)
		code = fsmeta_text_append_base64(out, path, length);
	return code ? code : fsmeta_buffer_append_byte(out, '"');
}

static int append_json_time(struct fsmeta_buffer *out, const char *key, int64_t time_us)
{
	int code = fsmeta_buffer_append_format(out, ",\"%s\":\"", key);

	if (!code)
		code = append_time(out, time_us, 0);
	return code ? code : fsmeta_buffer_append_byte(out, '"');
}

/** Gaps and overlaps are between the pieces of a stream; a recording is one. */
static int append_json_times(struct fsmeta_buffer *out, const struct fsmeta_archive_stream *stream)
{
	int code = 0;

	if (stream->has_from)
		code = append_json_time(out, "from", stream->from_us);
	if (!code && stream->has_to)
		code = append_json_time(out, "to", stream->to_us);
	if (!code && stream->has_from)
		code =
		    fsmeta_buffer_append_format(out, ",\"covered_seconds\":%lld,\"bitrate\":%lld",
			(long long)(stream->covered_us / SECOND_US), (long long)bitrate(stream));
	if (code || !stream->has_from || stream->layout == FSMETA_LAYOUT_RECORDING)
		return code;
	return fsmeta_buffer_append_format(out,
	    ",\"gaps\":%llu,\"longest_gap_seconds\":%lld,\"overlaps\":%llu",
	    (unsigned long long)stream->gaps, (long long)(stream->longest_gap_us / SECOND_US),
	    (unsigned long long)stream->overlaps);
}

int fsmeta_archive_append_json(
    struct fsmeta_buffer *out, const struct fsmeta_archive_stream *stream)
{
	int code = fsmeta_buffer_append_format(
	    out, "{\"layout\":\"%s\",", fsmeta_layout_name(stream->layout));

	if (!code)
		code = fsmeta_archive_append_path(out, stream->path, stream->path_length);
	if (!code)
		code = fsmeta_buffer_append_format(out,
		    ",\"pieces\":%llu,\"bytes\":%llu,\"orphans\":%llu",
		    (unsigned long long)stream->pieces, (unsigned long long)stream->bytes,
		    (unsigned long long)stream->orphans);
	if (!code)
		code = append_json_times(out, stream);
	if (!code && stream->layout == FSMETA_LAYOUT_RECORDING)
		code = fsmeta_buffer_append_format(
		    out, ",\"completed\":%s", stream->is_unfinished ? "false" : "true");
	return code;
}

static int show(
    void *payload, const struct fsmeta_archive_stream *stream, struct fsmeta_error *error)
{
	struct info *info = payload;
	int code = fsmeta_check_stop(error);

	if (code)
		return code;
	fsmeta_buffer_clear(&info->line);
	if (info->format == FSMETA_OUTPUT_JSONL) {
		code = fsmeta_archive_append_json(&info->line, stream);
		if (!code)
			code = fsmeta_buffer_append_text(&info->line, "}\n");
	} else {
		code = fsmeta_archive_append_text(&info->line, stream);
	}
	if (code)
		return fsmeta_error_set_memory(error, "telling of archives");
	info->streams++;
	if (fwrite(info->line.data, 1, info->line.length, stdout) != info->line.length)
		return fsmeta_flush_output(error);
	return 0;
}

static int info(const struct archive_arguments *arguments, struct fsmeta_error *error)
{
	const struct fsmeta_operand_options operand_options = {.scan = &arguments->scan};
	struct info told = {.format = arguments->format};
	struct fsmeta_operand operand;
	struct fsmeta_cursor *cursor = NULL;
	bool is_partial = false;
	int status = fsmeta_operand_parse(&operand, arguments->operand, error);

	if (status >= 0)
		status = fsmeta_operand_open(&cursor, &operand, &operand_options, error);
	if (status >= 0)
		status = fsmeta_archive_survey(cursor, show, error, &told);
	if (status >= 0)
		status = fsmeta_flush_output(error);
	if (status >= 0)
		is_partial = cursor->source->totals.unreadable;
	if (status >= 0 && !told.streams)
		fsmeta_note(arguments->operand, "no video archive is recognised in it");
	fsmeta_buffer_release(&told.line);
	fsmeta_cursor_close(cursor);
	fsmeta_operand_release(&operand);
	if (status < 0)
		return status;
	return is_partial ? FSMETA_EXIT_PARTIAL : FSMETA_EXIT_OK;
}

int fsmeta_archive_command_info(int argc, char **argv)
{
	struct archive_arguments arguments = {0};
	struct fsmeta_error error;
	int status;

	fsmeta_error_clear(&error);
	fsmeta_arguments(&info_argp, argc, argv, &arguments);
	status = info(&arguments, &error);
	return status < 0 ? fsmeta_report(&error) : status;
}
