/*
 * fsmeta export: any operand as a stream, or as a listing that other programs read.  A
 * database gives its stable ids.
 */
#include "base/file.h"
#include "format/stream.h"
#include "tools/command.h"
#include "tools/delta.h"
#include "tools/hidden.h"
#include "tools/operand.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/summary.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum option_key {
	OPTION_PROGRESS = 0x100,
	OPTION_SINCE,
	OPTION_FORMAT,
};

struct export_arguments {
	const char *operand;
	const char *output;
	/** Generation that a delta starts from, NULL = no delta. */
	const char *since;
	/** Not a stream but a listing, in this format. */
	bool is_listing;
	enum fsmeta_output_format format;
	enum fsmeta_progress_when progress;
	bool quiet;
};

static const struct argp_option options[] = {
    {"output", 'o', "PATH", 0,
	"FsScanStream folder, or file of a listing, to write (default: - , standard output)", 1},
    {"format", OPTION_FORMAT, "FORMAT", 0,
	"stream (default), or a listing: text, jsonl, csv, mtree, ncdu", 1},
    {"since", OPTION_SINCE, "N", 0,
	"Of a database: write a delta, what leads from generation N to OPERAND's", 1},
    {"progress", OPTION_PROGRESS, "WHEN", 0, "auto (default), always or never", 2},
    {"quiet", 'q', NULL, 0, "No closing line", 2},
    {0},
};

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct export_arguments *arguments = state->input;

	switch (key) {
	case 'o':
		arguments->output = text;
		return 0;
	case OPTION_FORMAT:
		arguments->is_listing = strcmp(text, "stream") != 0;
		if (arguments->is_listing &&
		    !fsmeta_output_format_parse(&arguments->format, text, FSMETA_OUTPUT_TREES))
			argp_error(state,
			    "--format: '%s' is none of stream, text, jsonl, csv, mtree, ncdu",
			    text);
		return 0;
	case OPTION_SINCE:
		arguments->since = text;
		return 0;
	case OPTION_PROGRESS:
		fsmeta_progress_take(&arguments->progress, text, state);
		return 0;
	case 'q':
		arguments->quiet = true;
		return 0;
	case ARGP_KEY_ARG:
		if (arguments->operand)
			argp_error(state,
			    "one operand is exported at a time, and '%s' is the second", text);
		arguments->operand = text;
		return 0;
	case ARGP_KEY_END:
		if (!arguments->operand)
			argp_error(state, "export what?");
		if (arguments->is_listing && arguments->since)
			argp_error(state, "--since writes a stream; `ls` lists it");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {options, parse_option, "OPERAND",
    "Write OPERAND (a database generation, a stream, or a live folder) as a FsScanStream, or as a "
    "listing that other programs read."
    "\vEntries of a database carry their stable ids and the number of their generation, so that "
    "an import into an empty database gives an equal one. With --since, an import into a database "
    "that has generation N brings it up to date.",
    NULL, NULL, NULL};

static int copy_entries(
    struct fsmeta_stream_writer *writer, struct fsmeta_cursor *cursor, struct fsmeta_error *error)
{
	const struct fsmeta_entry *entry;
	int status;

	while ((status = fsmeta_cursor_next(cursor, &entry, error)) > 0) {
		status = fsmeta_stream_writer_add(writer, entry, error);
		if (status >= 0)
			status = fsmeta_check_stop(error);
		if (status < 0)
			return status;
	}
	return status;
}

/** Opens a cursor over the operand; what is being written is no part of a live one. */
static int open_operand(struct fsmeta_cursor **out, struct fsmeta_operand *operand,
    struct fsmeta_hidden *hidden, const struct export_arguments *arguments,
    struct fsmeta_error *error)
{
	struct fsmeta_scan_options scan = {.field_mask = 0};
	const struct fsmeta_operand_options operand_options = {.scan = &scan};
	uint64_t expected;
	int status = fsmeta_operand_parse(operand, arguments->operand, error);

	if (status >= 0 && strcmp(arguments->output, "-") != 0)
		status = fsmeta_hide_output(hidden, arguments->output, false, error);
	scan.hidden = hidden->items;
	scan.hidden_count = hidden->count;
	if (status >= 0)
		status = fsmeta_operand_open(out, operand, &operand_options, error);
	if (status < 0)
		return status;
	expected = (*out)->source->has_totals ? (*out)->source->totals.entries : 0;
	return fsmeta_progress_wrap(out, arguments->progress, "exporting", expected, error);
}

static int export(const struct export_arguments *arguments, struct fsmeta_error *error)
{
	struct fsmeta_hidden hidden = {.count = 0};
	struct fsmeta_operand operand;
	struct fsmeta_cursor *cursor = NULL;
	struct fsmeta_stream_output *output = NULL;
	struct fsmeta_stream_summary summary;
	int status = open_operand(&cursor, &operand, &hidden, arguments, error);

	if (status >= 0)
		status = fsmeta_stream_output_new(
		    &output, arguments->output, cursor->source, NULL, error);
	if (status >= 0)
		status = copy_entries(fsmeta_stream_output_writer(output), cursor, error);
	if (status >= 0) {
		status = fsmeta_stream_output_commit(output, &summary, error);
		output = NULL;
	}
	if (status >= 0) {
		if (!arguments->quiet)
			fsmeta_print_stream_summary(
			    arguments->output, cursor->source, &summary, false);
		status = cursor->source->unreadable.total ? FSMETA_EXIT_PARTIAL : FSMETA_EXIT_OK;
	}
	fsmeta_stream_output_abort(output);
	fsmeta_cursor_close(cursor);
	fsmeta_operand_release(&operand);
	fsmeta_hidden_release(&hidden);
	return status;
}

static int list_entries(
    struct fsmeta_output *output, struct fsmeta_cursor *cursor, struct fsmeta_error *error)
{
	const struct fsmeta_entry *entry;
	int status;

	while ((status = fsmeta_cursor_next(cursor, &entry, error)) > 0) {
		status = fsmeta_output_entry(output, entry, error);
		if (status >= 0)
			status = fsmeta_check_stop(error);
		if (status < 0)
			return status;
	}
	return status < 0 ? status : fsmeta_output_finish(output, error);
}

/** A second descriptor of what is being replaced, as a FILE of its own; NULL on failure. */
static FILE *open_file(const struct fsmeta_replace *replace, struct fsmeta_error *error)
{
	int descriptor = dup(replace->fd);
	FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "w");

	if (!file) {
		fsmeta_error_set_errno(error, errno, replace->path, "opening");
		if (descriptor >= 0)
			close(descriptor);
	}
	return file;
}

/** To a file, which appears when it is whole, or to standard output. */
static int write_listing(const struct export_arguments *arguments, struct fsmeta_cursor *cursor,
    struct fsmeta_error *error)
{
	struct fsmeta_replace replace = {.fd = -1};
	bool is_file = strcmp(arguments->output, "-") != 0;
	struct fsmeta_output *output = NULL;
	FILE *file = stdout;
	int status = 0;

	if (is_file)
		status = fsmeta_operand_replace_begin(&replace, arguments->output, error);
	if (status < 0)
		return status;
	if (is_file)
		file = open_file(&replace, error);
	status = file
		     ? fsmeta_output_new(&output, file, arguments->format, 0, cursor->source, error)
		     : FSMETA_E_SYSTEM;
	if (status >= 0)
		status = list_entries(output, cursor, error);
	fsmeta_output_free(output);
	if (is_file && file && fclose(file) != 0 && status >= 0)
		status = fsmeta_error_set_errno(error, errno, arguments->output, "writing");
	if (is_file && status >= 0)
		return fsmeta_replace_commit(&replace, error);
	if (is_file)
		fsmeta_replace_abort(&replace);
	return status;
}

static int export_listing(const struct export_arguments *arguments, struct fsmeta_error *error)
{
	struct fsmeta_hidden hidden = {.count = 0};
	struct fsmeta_operand operand;
	struct fsmeta_cursor *cursor = NULL;
	int status = open_operand(&cursor, &operand, &hidden, arguments, error);

	if (status >= 0)
		status = write_listing(arguments, cursor, error);
	if (status >= 0)
		status = cursor->source->unreadable.total ? FSMETA_EXIT_PARTIAL : FSMETA_EXIT_OK;
	fsmeta_cursor_close(cursor);
	fsmeta_operand_release(&operand);
	fsmeta_hidden_release(&hidden);
	return status;
}

static int export_since(const struct export_arguments *arguments, struct fsmeta_operand *operand,
    struct fsmeta_error *error)
{
	struct fsmeta_delta_summary summary;
	uint64_t since, until;
	int status = 0;

	if (operand->kind != FSMETA_OPERAND_DATABASE)
		return fsmeta_error_set(error, FSMETA_E_USAGE, operand->path, "writing a delta",
		    "only a database has generations to start from");
	if (strcmp(arguments->since, "0") == 0)
		status = fsmeta_error_set(error, FSMETA_E_REFUSED, operand->path, "writing a delta",
		    "there is no generation 0; an export without --since holds everything");
	if (!status)
		status = fsmeta_db_open(&operand->db, operand->path, FSMETA_DB_READ, error);
	if (!status)
		status = fsmeta_db_resolve(operand->db, arguments->since, &since, error);
	if (!status)
		status = fsmeta_db_resolve(operand->db, operand->generation, &until, error);
	if (!status)
		status = fsmeta_delta_export(
		    operand->db, since, until, arguments->output, &summary, error);
	if (status)
		fsmeta_error_add_path(error, operand->path);
	else if (!arguments->quiet)
		fsmeta_print_delta_summary(arguments->output, since, until, &summary);
	return status;
}

static int export_operand(const struct export_arguments *arguments, struct fsmeta_error *error)
{
	struct fsmeta_operand operand;
	int status;

	if (arguments->is_listing)
		return export_listing(arguments, error);
	if (!arguments->since)
		return export(arguments, error);
	status = fsmeta_operand_parse(&operand, arguments->operand, error);
	if (status >= 0)
		status = export_since(arguments, &operand, error);
	fsmeta_operand_release(&operand);
	return status;
}

int fsmeta_command_export(int argc, char **argv)
{
	struct export_arguments arguments = {.output = "-"};
	struct fsmeta_error error;
	int status;

	fsmeta_error_clear(&error);
	fsmeta_arguments(&argp, argc, argv, &arguments);
	status = export_operand(&arguments, &error);
	return status < 0 ? fsmeta_report(&error) : status;
}
