/*
 * fsmeta find: the entries of any operand that meet all conditions, in canonical order, as
 * they come.
 *
 * With --changed-since the entries are not those of a walk but the newer sides of what
 * differs between two generations, which is found without reading the trees:
 *
 *     operand            ── walk ──────────────────────┐
 *                                                      ├─► selection ─► output
 *     DB@GEN, DB@newer   ── diff ─ added, modified ────┘
 */
#include "diff/diff.h"

#include "tools/command.h"
#include "tools/operand.h"
#include "tools/output.h"
#include "tools/reading.h"
#include "tools/selection.h"
#include "tools/walk.h"

#include <stdio.h>

enum option_key {
	OPTION_CHANGED_SINCE = 0x100,
};

struct find_arguments {
	struct fsmeta_walk walk;
	struct fsmeta_selection selection;
	/** Generation, NULL = whether changed or not. */
	const char *since;
};

static const struct argp_option options[] = {
    {"changed-since", OPTION_CHANGED_SINCE, "GEN", 0,
	"Of a database: only what came or changed after generation GEN (7, -1, {2026-11-01})", 1},
    {"depth", FSMETA_WALK_DEPTH, "N", 0, "Look no deeper than N levels below the root or PATH", 1},
    {"format", FSMETA_WALK_FORMAT, "FORMAT", 0, "text (default), jsonl or csv", 3},
    {"null", FSMETA_WALK_NULL, NULL, 0, "Raw paths, each ended by a NUL byte", 3},
    {"seen", FSMETA_WALK_SEEN, NULL, 0, "Of a database: leave out what is only carried", 3},
    {0},
};

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct find_arguments *arguments = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &arguments->selection;
		state->child_inputs[1] = &arguments->walk.scan;
		return 0;
	case OPTION_CHANGED_SINCE:
		arguments->since = text;
		return 0;
	case ARGP_KEY_END:
		fsmeta_walk_end(&arguments->walk, "find in what?", state);
		return 0;
	default:
		return fsmeta_walk_parse(&arguments->walk, key, text, state);
	}
}

static const struct argp_child children[] = {
    FSMETA_SELECTION_CHILD(2), FSMETA_READING_CHILD(4), {0}};

static const struct argp argp = {options, parse_option, "OPERAND [PATH]",
    "List the entries of OPERAND (a live folder, a stream, or a database at a generation), or of "
    "PATH in it, that meet all conditions, as ls does."
    "\vPaths are relative to the operand's root, also with PATH. SIZE is in bytes or with K, M, "
    "G, T, P, E (1024s; kB, MB, … are 1000s); TIME is UTC.",
    children, NULL, NULL};

/** Takes entries, of a walk or as the newer sides of changes, and shows those selected. */
struct finder {
	struct fsmeta_entry_sink entries;
	struct fsmeta_change_sink changes;
	struct fsmeta_walk *walk;
	struct fsmeta_selection *selection;
	struct fsmeta_output *output;
};

static int show(struct finder *finder, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	int status = fsmeta_selection_judge(finder->selection, entry, error);

	return status > 0 ? fsmeta_output_entry(finder->output, entry, error) : status;
}

static int take_entry(
    struct fsmeta_entry_sink *sink, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	return show((struct finder *)sink, entry, error);
}

static int take_change(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct finder *finder = (struct finder *)((char *)sink - offsetof(struct finder, changes));

	switch (change->kind) {
	case FSMETA_CHANGE_ADDED:
	case FSMETA_CHANGE_MODIFIED:
	case FSMETA_CHANGE_CORRUPTED:
	case FSMETA_CHANGE_MOVED:
		if (!fsmeta_walk_shows(finder->walk, change->after))
			return 0;
		finder->walk->unreadable |= (change->after->flags & FSMETA_FLAG_UNREADABLE) != 0;
		return show(finder, change->after, error);
	case FSMETA_CHANGE_REMOVED:
	case FSMETA_CHANGE_UNREADABLE:
	case FSMETA_CHANGE_UNKNOWN:
		return 0;
	}
	return 0;
}

static int find_all(struct find_arguments *arguments, struct finder *finder,
    struct fsmeta_operand *operand, struct fsmeta_error *error)
{
	struct fsmeta_operand_options operand_options =
	    fsmeta_walk_operand_options(&arguments->walk);
	struct fsmeta_cursor *cursor;
	int status = fsmeta_operand_open(&cursor, operand, &operand_options, error);

	if (status < 0)
		return status;
	status = fsmeta_walk_output_new(&finder->output, &arguments->walk, cursor->source, error);
	if (status >= 0)
		status = fsmeta_walk_run(&arguments->walk, cursor, &finder->entries, error);
	if (status >= 0)
		status = fsmeta_output_finish(finder->output, error);
	fsmeta_output_free(finder->output);
	fsmeta_cursor_close(cursor);
	return status;
}

/** The same database at the generation that the changes are counted from. */
static int parse_since(struct fsmeta_operand *out, const struct find_arguments *arguments,
    const struct fsmeta_operand *newer, struct fsmeta_buffer *text, struct fsmeta_error *error)
{
	if (newer->kind != FSMETA_OPERAND_DATABASE)
		return fsmeta_error_set(error, FSMETA_E_USAGE, newer->path, "finding changes",
		    "only a database has generations to begin with");
	if (fsmeta_buffer_append_format(text, "db:%s@%s", newer->path, arguments->since) ||
	    !fsmeta_buffer_string(text))
		return fsmeta_error_set_memory(error, "finding changes");
	return fsmeta_operand_parse(out, fsmeta_buffer_string(text), error);
}

static int find_changes(struct find_arguments *arguments, struct finder *finder,
    struct fsmeta_operand operands[2], struct fsmeta_error *error)
{
	const struct fsmeta_diff_options diff_options = {.stop = &fsmeta_stop_signal};
	struct fsmeta_operand_options operand_options = {.seen_only = arguments->walk.seen_only};
	struct fsmeta_cursor *cursors[2] = {NULL, NULL};
	struct fsmeta_diff *diff = NULL;
	int status;

	status = fsmeta_operand_open_pair(cursors, operands, &operand_options, error);
	if (status >= 0)
		status = fsmeta_diff_run(&diff, cursors[0], cursors[1], &diff_options, error);
	if (status >= 0)
		status = fsmeta_walk_output_new(
		    &finder->output, &arguments->walk, cursors[1]->source, error);
	if (status >= 0)
		status = fsmeta_diff_replay(diff, &finder->changes, error);
	if (status >= 0)
		status = fsmeta_output_finish(finder->output, error);
	fsmeta_output_free(finder->output);
	fsmeta_diff_free(diff);
	fsmeta_cursor_close(cursors[0]);
	fsmeta_cursor_close(cursors[1]);
	return status;
}

static int find_changed_since(struct find_arguments *arguments, struct finder *finder,
    struct fsmeta_operand *newer, struct fsmeta_error *error)
{
	struct fsmeta_operand operands[2] = {{.path = NULL}, *newer};
	struct fsmeta_buffer text = {0};
	int status = parse_since(&operands[0], arguments, newer, &text, error);

	if (status >= 0)
		status = find_changes(arguments, finder, operands, error);
	fsmeta_operand_release(&operands[0]);
	/* What the newer one owns since it was opened. */
	*newer = operands[1];
	fsmeta_buffer_release(&text);
	return status;
}

static int find(struct find_arguments *arguments, struct fsmeta_error *error)
{
	struct finder finder = {
	    .entries.entry = take_entry,
	    .changes.change = take_change,
	    .walk = &arguments->walk,
	    .selection = &arguments->selection,
	};
	struct fsmeta_operand operand;
	int status = fsmeta_operand_parse(&operand, arguments->walk.operand, error);

	if (status >= 0)
		status = arguments->since ? find_changed_since(arguments, &finder, &operand, error)
					  : find_all(arguments, &finder, &operand, error);
	fsmeta_operand_release(&operand);
	if (status < 0)
		return status;
	return fsmeta_walk_status(&arguments->walk);
}

int fsmeta_command_find(int argc, char **argv)
{
	struct find_arguments arguments = {.walk = FSMETA_WALK_INIT(FSMETA_OUTPUT_CHANGES)};
	struct fsmeta_error error;
	int status;

	fsmeta_error_clear(&error);
	fsmeta_arguments(&argp, argc, argv, &arguments);
	status = find(&arguments, &error);
	fsmeta_selection_release(&arguments.selection);
	return status < 0 ? fsmeta_report(&error) : status;
}
