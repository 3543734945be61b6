/*
 * fsmeta check: is a stream or a database whole and true to itself?
 */
#include "format/stream.h"
#include "tools/command.h"
#include "tools/operand.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct check_arguments {
	const char *operand;
	bool quiet;
};

static const struct argp_option options[] = {
    {"quiet", 'q', NULL, 0, "Say nothing when all is well", 1},
    {0},
};

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct check_arguments *arguments = state->input;

	switch (key) {
	case 'q':
		arguments->quiet = true;
		return 0;
	case ARGP_KEY_ARG:
		if (arguments->operand)
			argp_error(state,
			    "one operand is checked at a time, and '%s' is the second", text);
		arguments->operand = text;
		return 0;
	case ARGP_KEY_END:
		if (!arguments->operand)
			argp_error(state, "check what?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {options, parse_option, "OPERAND",
    "Verify a FsScanStream (checksums, digests, order, counts, state digest) or a FsMetaDb "
    "(SQLite's "
    "own check, then order, ids, versions, counts and state digest of every generation)."
    "\vExit status 1 means that damage was found; the first of it is named.",
    NULL, NULL, NULL};

static int check_delta(const struct check_arguments *arguments, struct fsmeta_delta *delta)
{
	struct fsmeta_delta_facts facts = fsmeta_delta_get_facts(delta);

	if (!arguments->quiet)
		printf("delta is whole: generation %" PRIu64 " to %" PRIu64 ", %" PRIu64
		       " changes\n",
		    facts.base_generation, facts.generation, facts.changes);
	fsmeta_delta_close(delta);
	return 0;
}

/** A pipe may also turn out to bring a delta. */
static int check_pipe(uint64_t *entries, struct fsmeta_delta **delta,
    struct fsmeta_operand *operand, struct fsmeta_error *error)
{
	const struct fsmeta_entry *entry;
	struct fsmeta_cursor *cursor;
	int status = fsmeta_operand_open_either(&cursor, delta, operand, NULL, error);

	if (status < 0 || *delta)
		return status;
	while ((status = fsmeta_cursor_next(cursor, &entry, error)) > 0) {
		++*entries;
		status = fsmeta_check_stop(error);
		if (status < 0)
			break;
	}
	fsmeta_cursor_close(cursor);
	return status;
}

static int check_stream(const struct check_arguments *arguments, struct fsmeta_operand *operand,
    struct fsmeta_error *error)
{
	struct fsmeta_stream_check result;
	struct fsmeta_delta *delta = NULL;
	int status;

	memset(&result, 0, sizeof(result));
	if (operand->kind == FSMETA_OPERAND_STREAM_PIPE)
		status = check_pipe(&result.entries, &delta, operand, error);
	else if (fsmeta_delta_is(operand->path))
		status = fsmeta_delta_open(&delta, operand->path, error);
	else
		status = fsmeta_stream_verify(&result, operand->path, &fsmeta_stop_signal, error);
	if (delta)
		return check_delta(arguments, delta);
	if (status >= 0 && !arguments->quiet)
		printf("stream is whole: %" PRIu64 " entries\n", result.entries);
	return status;
}

static int check_database(const struct check_arguments *arguments, struct fsmeta_operand *operand,
    struct fsmeta_error *error)
{
	uint64_t newest = 0;
	int status = fsmeta_db_open(&operand->db, operand->path, FSMETA_DB_READ, error);

	if (status >= 0)
		status = fsmeta_db_verify(operand->db, &fsmeta_stop_signal, error);
	if (status >= 0)
		status = fsmeta_db_newest(operand->db, &newest, error);
	if (status >= 0 && !arguments->quiet)
		printf("database is whole: newest generation %" PRIu64 "\n", newest);
	return status;
}

int fsmeta_command_check(int argc, char **argv)
{
	struct check_arguments arguments = {.operand = NULL};
	struct fsmeta_operand operand;
	struct fsmeta_error error;
	int status;

	fsmeta_error_clear(&error);
	fsmeta_arguments(&argp, argc, argv, &arguments);
	status = fsmeta_operand_parse(&operand, arguments.operand, &error);
	if (status >= 0 && operand.kind == FSMETA_OPERAND_LIVE)
		status = fsmeta_error_set(&error, FSMETA_E_USAGE, operand.path, "checking",
		    "a live folder has nothing to be checked against; name a stream or a database");
	else if (status >= 0 && operand.kind == FSMETA_OPERAND_DATABASE)
		status = check_database(&arguments, &operand, &error);
	else if (status >= 0)
		status = check_stream(&arguments, &operand, &error);
	if (status >= 0)
		status = fsmeta_flush_output(&error);
	fsmeta_operand_release(&operand);
	if (status >= 0)
		return FSMETA_EXIT_OK;
	status = fsmeta_report(&error);
	if (error.code == FSMETA_E_CORRUPT || error.code == FSMETA_E_TRUNCATED)
		return FSMETA_EXIT_CHANGES;
	return status;
}
