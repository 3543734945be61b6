/*
 * fsmeta ls: every entry of an operand, or of what lies below a path in it, in
 * canonical order.
 */
#include "base/path.h"
#include "tools/command.h"
#include "tools/delta.h"
#include "tools/operand.h"
#include "tools/output.h"
#include "tools/reading.h"
#include "tools/unseen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum option_key {
	OPTION_FORMAT = 0x100,
	OPTION_DEPTH,
	OPTION_SEEN,
	OPTION_UNKNOWN,
	OPTION_FIELDS,
};

struct ls_arguments {
	const char *operand;
	/** Below which to list; "" = everything. */
	const char *path;
	enum fsmeta_output_format format;
	bool null_terminated;
	/** Deepest entry listed, counted from `path`. */
	uint32_t depth;
	bool seen_only;
	/** Only the places that are not known. */
	bool unknown_only;
	struct fsmeta_scan_options scan;
};

static const struct argp_option options[] = {
    {"format", OPTION_FORMAT, "FORMAT", 0, "text (default), jsonl, csv, mtree or ncdu", 1},
    {"null", '0', NULL, 0, "Raw paths, each ended by a NUL byte", 1},
    {"depth", OPTION_DEPTH, "N", 0, "List no deeper than N levels below the root or PATH", 1},
    {"seen", OPTION_SEEN, NULL, 0, "Of a database: leave out what is only carried", 1},
    {"unknown", OPTION_UNKNOWN, NULL, 0,
	"Only the topmost places that could not be looked at or were left out, since when and why, "
	"with how much is carried there",
	1},
    {"fields", OPTION_FIELDS, "LIST", 0, "Of a live folder: fields to read (core, all, names)", 1},
    {0},
};

static bool parse_depth(uint32_t *out, const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value > FSMETA_DEPTH_MAX)
		return false;
	*out = (uint32_t)value;
	return true;
}

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct ls_arguments *arguments = state->input;
	struct fsmeta_error error;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &arguments->scan;
		return 0;
	case OPTION_FORMAT:
		if (!fsmeta_output_format_parse(&arguments->format, text, FSMETA_OUTPUT_TREES))
			argp_error(
			    state, "--format: '%s' is none of text, jsonl, csv, mtree, ncdu", text);
		return 0;
	case '0':
		arguments->null_terminated = true;
		return 0;
	case OPTION_DEPTH:
		if (!parse_depth(&arguments->depth, text))
			argp_error(state, "--depth: '%s' is no number of levels", text);
		return 0;
	case OPTION_SEEN:
		arguments->seen_only = true;
		return 0;
	case OPTION_UNKNOWN:
		arguments->unknown_only = true;
		return 0;
	case OPTION_FIELDS:
		if (fsmeta_fields_parse(&arguments->scan.field_mask, text, &error) < 0)
			argp_error(state, "--fields: %s", error.reason);
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num == 0) {
			arguments->operand = text;
		} else if (state->arg_num == 1) {
			arguments->path = fsmeta_operand_inner_path(text);
			if (!arguments->path)
				argp_error(state,
				    "PATH is relative to the root, without '..': '%s' is not",
				    text);
		} else {
			argp_error(state, "one operand is listed at a time");
		}
		return 0;
	case ARGP_KEY_END:
		if (!arguments->operand)
			argp_error(state, "list what?");
		if (arguments->unknown_only &&
		    (arguments->seen_only || arguments->depth != UINT32_MAX))
			argp_error(state, "--unknown goes with neither --seen nor --depth");
		if (arguments->unknown_only && !(FSMETA_OUTPUT_LINES & 1u << arguments->format))
			argp_error(state, "--unknown is listed as text or jsonl");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {FSMETA_READING_CHILD(2), {0}};

static const struct argp argp = {options, parse_option, "OPERAND [PATH]",
    "List every entry of OPERAND (a live folder, a stream, or a database at a generation), or "
    "PATH in it and what lies below, recursively in canonical order; of a delta its changes."
    "\vPaths are relative to the operand's root, also with PATH; the root is '.'.",
    children, NULL, NULL};

/** Who takes what is listed. */
struct listing {
	struct fsmeta_output *output;
	/** NULL = every entry is shown. */
	struct fsmeta_unseen *unseen;
};

static int show(
    struct listing *listing, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	return listing->unseen ? fsmeta_unseen_take(listing->unseen, entry, error)
			       : fsmeta_output_entry(listing->output, entry, error);
}

/*
 * Walks the cursor and shows what lies at or below the path, stepping over
 * folders that cannot hold any of it.
 */
static int list(const struct ls_arguments *arguments, struct fsmeta_cursor *cursor,
    struct listing *listing, bool *unreadable, struct fsmeta_error *error)
{
	size_t path_length = strlen(arguments->path);
	uint32_t base_depth = fsmeta_path_depth(arguments->path, path_length);
	const struct fsmeta_entry *entry;
	bool found = false;
	int status;

	while ((status = fsmeta_cursor_next(cursor, &entry, error)) > 0) {
		bool within = fsmeta_path_is_within(
		    entry->path, entry->path_length, arguments->path, path_length);

		if (within && !found && arguments->format == FSMETA_OUTPUT_NCDU &&
		    entry->type != FSMETA_TYPE_FOLDER)
			return fsmeta_error_set(error, FSMETA_E_USAGE, arguments->path, "listing",
			    "ncdu's format begins with a folder, and this is none");
		if (within) {
			found = true;
			*unreadable |= (entry->flags & FSMETA_FLAG_UNREADABLE) != 0;
			status = show(listing, entry, error);
			if (status >= 0 && entry->depth - base_depth >= arguments->depth)
				status = fsmeta_cursor_skip(cursor, entry->depth + 1, error);
		} else if (found) {
			break;
		} else if (entry->type == FSMETA_TYPE_FOLDER &&
			   !fsmeta_path_is_within(
			       arguments->path, path_length, entry->path, entry->path_length)) {
			status = fsmeta_cursor_skip(cursor, entry->depth + 1, error);
		}
		if (status >= 0)
			status = fsmeta_check_stop(error);
		if (status < 0)
			return status;
	}
	if (status >= 0 && !found && path_length)
		return fsmeta_error_set(error, FSMETA_E_NOT_FOUND, arguments->path, "listing",
		    "no such path in %s", cursor->label);
	return status;
}

/** A delta is no tree; its changes are what there is to list. */
static int list_delta(
    const struct ls_arguments *arguments, struct fsmeta_delta *delta, struct fsmeta_error *error)
{
	if (*arguments->path || arguments->depth != UINT32_MAX || arguments->seen_only ||
	    arguments->unknown_only)
		return fsmeta_error_set(error, FSMETA_E_USAGE, arguments->operand, "listing",
		    "it is a delta: its changes are listed whole");
	if (!(FSMETA_OUTPUT_LINES & 1u << arguments->format))
		return fsmeta_error_set(error, FSMETA_E_USAGE, arguments->operand, "listing",
		    "it is a delta: its changes are listed as text or jsonl");
	return fsmeta_delta_list(
	    delta, arguments->format, arguments->null_terminated ? FSMETA_OUTPUT_NULL : 0, error);
}

static int ls(const struct ls_arguments *arguments, struct fsmeta_error *error)
{
	struct fsmeta_operand_options operand_options = {
	    .scan = &arguments->scan,
	    .seen_only = arguments->seen_only,
	};
	struct listing listing = {.output = NULL};
	struct fsmeta_operand operand;
	struct fsmeta_cursor *cursor = NULL;
	struct fsmeta_delta *delta = NULL;
	bool unreadable = false;
	int status;

	status = fsmeta_operand_parse(&operand, arguments->operand, error);
	if (status >= 0)
		status =
		    fsmeta_operand_open_either(&cursor, &delta, &operand, &operand_options, error);
	if (delta) {
		status = list_delta(arguments, delta, error);
		fsmeta_delta_close(delta);
		fsmeta_operand_release(&operand);
		return status;
	}
	if (status >= 0)
		status = fsmeta_output_new(&listing.output, stdout, arguments->format,
		    arguments->null_terminated ? FSMETA_OUTPUT_NULL : 0, cursor->source, error);
	if (status >= 0 && arguments->unknown_only)
		status =
		    fsmeta_unseen_new(&listing.unseen, listing.output, cursor, &operand, error);
	if (status >= 0)
		status = list(arguments, cursor, &listing, &unreadable, error);
	if (status >= 0 && listing.unseen)
		status = fsmeta_unseen_finish(listing.unseen, error);
	if (status >= 0)
		status = fsmeta_output_finish(listing.output, error);
	fsmeta_unseen_free(listing.unseen);
	fsmeta_output_free(listing.output);
	fsmeta_cursor_close(cursor);
	fsmeta_operand_release(&operand);
	if (status < 0)
		return status;
	return unreadable ? FSMETA_EXIT_PARTIAL : FSMETA_EXIT_OK;
}

int fsmeta_command_ls(int argc, char **argv)
{
	struct ls_arguments arguments = {.path = "", .depth = UINT32_MAX};
	struct fsmeta_error error;
	int status;

	fsmeta_error_clear(&error);
	fsmeta_arguments(&argp, argc, argv, &arguments);
	status = ls(&arguments, &error);
	return status < 0 ? fsmeta_report(&error) : status;
}
