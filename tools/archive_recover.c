/*
 * fsmeta archive recover: closes what a crash left open, of all archives below a folder.
 *
 *     survey -> each stream -> its pieces are sealed or completed, a line each
 *     then each root with a catalog of segments: it is made to say what the folders hold
 */
#include "archive/recover.h"
#include "archive/segments.h"
#include "base/text.h"
#include "tools/archive.h"
#include "tools/archive_roots.h"
#include "tools/command.h"
#include "tools/output.h"

#include <stdio.h>
#include <string.h>

enum option_key {
	OPTION_FORMAT = 0x100,
};

struct recover_arguments {
	const char *operand;
	enum fsmeta_output_format format;
	bool dry_run;
};

static const struct argp_option options[] = {
    {"dry-run", 'n', NULL, 0, "Tell what would be done, and change nothing", 1},
    {"format", OPTION_FORMAT, "FORMAT", 0, "text (default) or jsonl", 1},
    {0},
};

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct recover_arguments *arguments = state->input;

	switch (key) {
	case 'n':
		arguments->dry_run = true;
		return 0;
	case OPTION_FORMAT:
		fsmeta_output_format_take(&arguments->format, text, FSMETA_OUTPUT_LINES, state);
		return 0;
	case ARGP_KEY_ARG:
		if (arguments->operand)
			argp_error(state, "one archive at a time, and '%s' is the second", text);
		arguments->operand = text;
		return 0;
	case ARGP_KEY_END:
		if (!arguments->operand)
			argp_error(state, "recover what?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp recover_argp = {options, parse_option, "ARCHIVE",
    "Close what a crash of its writer left open in the live folder ARCHIVE: files of FSV and "
    "segments are cut behind their last whole packet and sealed, recordings are completed (of "
    "H.264 and H.265 frames that the index lost are taken in again), a catalog of segments is "
    "made to say what the folders hold."
    "\vWhat somebody still writes is left alone, and so is what was damaged after it had been "
    "closed: archive check --deep names that. Exit status 2: something could not be mended, or is "
    "in use.",
    NULL, NULL, NULL};

struct recover {
	const struct recover_arguments *arguments;
	struct fsmeta_archive_live live;
	const struct fsmeta_archive_stream *stream;
	/** Those of segments, whose catalogs come last. */
	struct fsmeta_archive_roots segment_roots;
	struct fsmeta_buffer line;
	uint64_t mended;
	uint64_t left;
};

static const char *word_of(enum fsmeta_recovery_kind kind, bool dry_run)
{
	switch (kind) {
	case FSMETA_RECOVERY_MENDED:
		return dry_run ? "would mend" : "mended";
	case FSMETA_RECOVERY_BUSY:
		return "in use";
	case FSMETA_RECOVERY_FAILED:
		break;
	}
	return "left alone";
}

/** "mended: cam1/1700000000123_video.rf1i: 57 packets, 1200 bytes cut off" */
static int append_text(struct recover *recover, const struct fsmeta_recovery *recovery,
    const char *path, size_t length)
{
	struct fsmeta_buffer *out = &recover->line;
	int code = fsmeta_buffer_append_format(
	    out, "%s: ", word_of(recovery->kind, recover->arguments->dry_run));

	if (!code)
		code = fsmeta_text_append_quoted(out, path, length);
	if (!code)
		code = fsmeta_buffer_append_text(out, ": ");
	if (!code)
		code = fsmeta_text_append_plain(out, recovery->text, strlen(recovery->text));
	return code ? code : fsmeta_buffer_append_byte(out, '\n');
}

static int append_json(struct recover *recover, const struct fsmeta_recovery *recovery,
    const char *path, size_t length)
{
	static const char *const kinds[] = {
	    [FSMETA_RECOVERY_MENDED] = "mended",
	    [FSMETA_RECOVERY_BUSY] = "in use",
	    [FSMETA_RECOVERY_FAILED] = "left alone",
	};
	struct fsmeta_buffer *out = &recover->line;
	int code = fsmeta_buffer_append_byte(out, '{');

	if (!code)
		code = fsmeta_archive_append_path(out, path, length);
	if (!code)
		code = fsmeta_buffer_append_format(out,
		    ",\"layout\":\"%s\",\"outcome\":\"%s\",\"dry_run\":%s,\"text\":\"",
		    fsmeta_layout_name(recover->stream->layout), kinds[recovery->kind],
		    recover->arguments->dry_run ? "true" : "false");
	if (!code)
		code = fsmeta_text_append_json(out, recovery->text, strlen(recovery->text));
	return code ? code : fsmeta_buffer_append_text(out, "\"}\n");
}

static int take_recovery(
    void *payload, const struct fsmeta_recovery *recovery, struct fsmeta_error *error)
{
	struct recover *recover = payload;
	const struct fsmeta_archive_stream *stream = recover->stream;
	struct fsmeta_buffer path = {0};
	int code = fsmeta_buffer_append(&path, stream->path, stream->path_length);

	if (!code && stream->path_length && *recovery->name)
		code = fsmeta_buffer_append_byte(&path, '/');
	if (!code)
		code = fsmeta_buffer_append_text(&path, recovery->name);
	fsmeta_buffer_clear(&recover->line);
	if (!code)
		code = recover->arguments->format == FSMETA_OUTPUT_JSONL
			   ? append_json(recover, recovery, (char *)path.data, path.length)
			   : append_text(recover, recovery, (char *)path.data, path.length);
	fsmeta_buffer_release(&path);
	if (code)
		return fsmeta_error_set_memory(error, "recovering");
	recover->mended += recovery->kind == FSMETA_RECOVERY_MENDED;
	recover->left += recovery->kind != FSMETA_RECOVERY_MENDED;
	if (fwrite(recover->line.data, 1, recover->line.length, stdout) != recover->line.length)
		return fsmeta_flush_output(error);
	return 0;
}

static int take_stream(
    void *payload, const struct fsmeta_archive_stream *stream, struct fsmeta_error *error)
{
	struct recover *recover = payload;
	int code = fsmeta_check_stop(error);

	/* Halves of pieces are no licence to change a folder. */
	if (code || !stream->pieces)
		return code;
	recover->stream = stream;
	if (stream->layout == FSMETA_LAYOUT_SEGMENTS &&
	    fsmeta_archive_roots_add(&recover->segment_roots, recover->live.operand.path, stream))
		return fsmeta_error_set_memory(error, "recovering");
	return fsmeta_archive_recover(recover->live.fd, stream, recover->arguments->dry_run,
	    &fsmeta_stop_signal, take_recovery, error, recover);
}

/** A catalog that is there; one that is not is nobody's loss. */
static int renew_catalog(const char *root, struct fsmeta_error *error)
{
	struct fsmeta_segments_found found;
	struct fsmeta_segments *segments;
	int code;

	if (!fsmeta_archive_has_file(root, FSMETA_SEGMENT_CATALOG_NAME))
		return 0;
	code = fsmeta_segments_open(&segments, root, true, NULL, error);
	if (code)
		return code;
	code = fsmeta_segments_reconcile(segments, &found, error);
	if (code)
		fsmeta_segments_close(segments, NULL);
	else
		code = fsmeta_segments_close(segments, error);
	return code;
}

static int renew_catalogs(struct recover *recover, struct fsmeta_error *error)
{
	int code = 0;

	for (size_t i = 0; i < recover->segment_roots.count && !code; i++) {
		const char *root = recover->segment_roots.items[i];
		struct fsmeta_stream_folder folder;

		code = fsmeta_archive_live_open_root(&folder, &recover->live, root, error);
		if (!code)
			code = renew_catalog(folder.path, error);
		if (code)
			fsmeta_stream_folder_name(error, root);
		fsmeta_stream_folder_close(&folder);
	}
	return code;
}

static int recover(const struct recover_arguments *arguments, struct fsmeta_error *error)
{
	struct recover recovering = {.arguments = arguments};
	int code = fsmeta_archive_live_open(&recovering.live, arguments->operand, error);

	if (!code)
		code =
		    fsmeta_archive_live_survey(&recovering.live, take_stream, error, &recovering);
	if (!code && !arguments->dry_run)
		code = renew_catalogs(&recovering, error);
	if (!code)
		code = fsmeta_flush_output(error);
	if (!code && !recovering.mended && !recovering.left)
		fsmeta_note(arguments->operand, "nothing was left open");
	fsmeta_archive_live_release(&recovering.live);
	fsmeta_buffer_release(&recovering.line);
	fsmeta_archive_roots_release(&recovering.segment_roots);
	if (code)
		return code;
	return recovering.left || recovering.live.is_partial ? FSMETA_EXIT_PARTIAL : FSMETA_EXIT_OK;
}

int fsmeta_archive_command_recover(int argc, char **argv)
{
	struct recover_arguments arguments = {0};
	struct fsmeta_error error;
	int status;

	fsmeta_error_clear(&error);
	fsmeta_arguments(&recover_argp, argc, argv, &arguments);
	status = recover(&arguments, &error);
	return status < 0 ? fsmeta_report(&error) : status;
}
