/*
 * fsmeta export: any operand as a stream.  A database gives its stable ids.
 */
#include "format/stream.h"
#include "tools/command.h"
#include "tools/delta.h"
#include "tools/operand.h"
#include "tools/progress.h"
#include "tools/summary.h"

#include <string.h>

enum option_key {
	OPTION_PROGRESS = 0x100,
	OPTION_SINCE,
};

struct export_arguments {
	const char *operand;
	const char *output;
	/** Generation that a delta starts from, NULL = no delta. */
	const char *since;
	enum fsmeta_progress_when progress;
	bool quiet;
};

static const struct argp_option options[] = {
    {"output", 'o', "STREAM", 0, "FsScanStream folder to write (default: - , standard output)", 1},
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
	case OPTION_SINCE:
		arguments->since = text;
		return 0;
	case OPTION_PROGRESS:
		if (!fsmeta_progress_parse(&arguments->progress, text))
			argp_error(state, "--progress: '%s' is none of auto, always, never", text);
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
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {options, parse_option, "OPERAND",
    "Write OPERAND (a database generation, a stream, or a live folder) as a FsScanStream."
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

static int export(const struct export_arguments *arguments, struct fsmeta_error *error)
{
	struct fsmeta_operand operand;
	struct fsmeta_cursor *cursor = NULL;
	struct fsmeta_stream_output *output = NULL;
	struct fsmeta_stream_summary summary;
	uint64_t expected;
	int status;

	status = fsmeta_operand_parse(&operand, arguments->operand, error);
	if (status >= 0)
		status = fsmeta_operand_open(&cursor, &operand, NULL, error);
	if (status >= 0) {
		expected = cursor->source->has_totals ? cursor->source->totals.entries : 0;
		status = fsmeta_progress_wrap(
		    &cursor, arguments->progress, "exporting", expected, error);
	}
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
