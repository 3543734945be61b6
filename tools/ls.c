/*
 * fsmeta ls: every entry of an operand, or of what lies below a path in it, in
 * canonical order.
 */
#include "tools/command.h"
#include "tools/delta.h"
#include "tools/operand.h"
#include "tools/output.h"
#include "tools/reading.h"
#include "tools/unseen.h"
#include "tools/walk.h"

#include <stdio.h>
#include <string.h>

enum option_key {
	OPTION_UNKNOWN = 0x100,
	OPTION_FIELDS,
};

struct ls_arguments {
	struct fsmeta_walk walk;
	/** Only the places that are not known. */
	bool unknown_only;
};

static const struct argp_option options[] = {
    {"format", FSMETA_WALK_FORMAT, "FORMAT", 0, "text (default), jsonl, csv, mtree or ncdu", 1},
    {"null", FSMETA_WALK_NULL, NULL, 0, "Raw paths, each ended by a NUL byte", 1},
    {"depth", FSMETA_WALK_DEPTH, "N", 0, "List no deeper than N levels below the root or PATH", 1},
    {"seen", FSMETA_WALK_SEEN, NULL, 0, "Of a database: leave out what is only carried", 1},
    {"unknown", OPTION_UNKNOWN, NULL, 0,
	"Only the topmost places that could not be looked at or were left out, since when and why, "
	"with how much is carried there",
	1},
    {"fields", OPTION_FIELDS, "LIST", 0, "Of a live folder: fields to read (core, all, names)", 1},
    {0},
};

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct ls_arguments *arguments = state->input;
	struct fsmeta_error error;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &arguments->walk.scan;
		return 0;
	case OPTION_UNKNOWN:
		arguments->unknown_only = true;
		return 0;
	case OPTION_FIELDS:
		if (fsmeta_fields_parse(&arguments->walk.scan.field_mask, text, &error) < 0)
			argp_error(state, "--fields: %s", error.reason);
		return 0;
	case ARGP_KEY_END:
		fsmeta_walk_end(&arguments->walk, "list what?", state);
		if (arguments->unknown_only &&
		    (arguments->walk.seen_only || arguments->walk.depth != UINT32_MAX))
			argp_error(state, "--unknown goes with neither --seen nor --depth");
		if (arguments->unknown_only &&
		    !(FSMETA_OUTPUT_LINES & 1u << arguments->walk.format))
			argp_error(state, "--unknown is listed as text or jsonl");
		return 0;
	default:
		return fsmeta_walk_parse(&arguments->walk, key, text, state);
	}
}

static const struct argp_child children[] = {FSMETA_READING_CHILD(2), {0}};

static const struct argp argp = {options, parse_option, "OPERAND [PATH]",
    "List every entry of OPERAND (a live folder, a stream, or a database at a generation), or "
    "PATH in it and what lies below, recursively in canonical order; of a delta its changes."
    "\vPaths are relative to the operand's root, also with PATH; the root is '.'.",
    children, NULL, NULL};

/** Takes what is listed. */
struct listing {
	/** First, so that the sink is the listing. */
	struct fsmeta_entry_sink sink;
	struct fsmeta_output *output;
	/** NULL = every entry is shown. */
	struct fsmeta_unseen *unseen;
	/** What is written begins with a folder. */
	bool wants_folder;
};

static int show(
    struct fsmeta_entry_sink *sink, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	struct listing *listing = (struct listing *)sink;

	if (listing->wants_folder && entry->type != FSMETA_TYPE_FOLDER)
		return fsmeta_error_set(error, FSMETA_E_USAGE, NULL, "listing",
		    "ncdu's format begins with a folder, and this is none");
	listing->wants_folder = false;
	return listing->unseen ? fsmeta_unseen_take(listing->unseen, entry, error)
			       : fsmeta_output_entry(listing->output, entry, error);
}

/** A delta is no tree; its changes are what there is to list. */
static int list_delta(
    const struct ls_arguments *arguments, struct fsmeta_delta *delta, struct fsmeta_error *error)
{
	if (*arguments->walk.path || arguments->walk.depth != UINT32_MAX ||
	    arguments->walk.seen_only || arguments->unknown_only)
		return fsmeta_error_set(error, FSMETA_E_USAGE, arguments->walk.operand, "listing",
		    "it is a delta: its changes are listed whole");
	if (!(FSMETA_OUTPUT_LINES & 1u << arguments->walk.format))
		return fsmeta_error_set(error, FSMETA_E_USAGE, arguments->walk.operand, "listing",
		    "it is a delta: its changes are listed as text or jsonl");
	return fsmeta_delta_list(
	    delta, arguments->walk.format, arguments->walk.output_flags, error);
}

static int ls(struct ls_arguments *arguments, struct fsmeta_error *error)
{
	struct fsmeta_operand_options operand_options =
	    fsmeta_walk_operand_options(&arguments->walk);
	struct listing listing = {
	    .sink.entry = show,
	    .wants_folder = arguments->walk.format == FSMETA_OUTPUT_NCDU,
	};
	struct fsmeta_operand operand;
	struct fsmeta_cursor *cursor = NULL;
	struct fsmeta_delta *delta = NULL;
	int status;

	status = fsmeta_operand_parse(&operand, arguments->walk.operand, error);
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
		status = fsmeta_walk_output_new(
		    &listing.output, &arguments->walk, cursor->source, error);
	if (status >= 0 && arguments->unknown_only)
		status =
		    fsmeta_unseen_new(&listing.unseen, listing.output, cursor, &operand, error);
	if (status >= 0)
		status = fsmeta_walk_run(&arguments->walk, cursor, &listing.sink, error);
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
	return fsmeta_walk_status(&arguments->walk);
}

int fsmeta_command_ls(int argc, char **argv)
{
	struct ls_arguments arguments = {.walk = FSMETA_WALK_INIT(FSMETA_OUTPUT_TREES)};
	struct fsmeta_error error;
	int status;

	fsmeta_error_clear(&error);
	fsmeta_arguments(&argp, argc, argv, &arguments);
	status = ls(&arguments, &error);
	return status < 0 ? fsmeta_report(&error) : status;
}
