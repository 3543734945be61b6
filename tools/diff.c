/*
 * fsmeta diff: what changed from one tree to another, whatever the two are.
 */
#include "diff/diff.h"

#include "tools/churn.h"
#include "tools/command.h"
#include "tools/hidden.h"
#include "tools/operand.h"
#include "tools/output.h"
#include "tools/pipe_copy.h"
#include "tools/progress.h"
#include "tools/reading.h"
#include "tools/selection.h"
#include "tools/stories.h"
#include "tools/tally.h"
#include "tools/walk.h"

#include <stdio.h>
#include <string.h>

enum option_key {
	OPTION_FORMAT = 0x100,
	OPTION_ALL,
	OPTION_STAT,
	OPTION_DEPTH,
	OPTION_COLOUR,
	OPTION_KIND,
	OPTION_FIELDS,
	OPTION_PROGRESS,
	OPTION_ACCEPT_EMPTY,
	OPTION_NO_MOVES,
	OPTION_NO_ARCHIVE,
	OPTION_POLICY,
};

struct diff_arguments {
	const char *operands[2];
	enum fsmeta_output_format format;
	/** enum fsmeta_output_flag bits. */
	uint32_t output_flags;
	/** A summary instead of the changes; by folders how deep. */
	bool stat;
	uint32_t stat_depth;
	bool has_stat_depth;
	struct fsmeta_selection selection;
	enum fsmeta_progress_when progress;
	bool accept_empty;
	bool no_moves;
	bool no_archive;
	struct fsmeta_policies policies;
	/** How a live operand is read. */
	struct fsmeta_scan_options scan;
	struct fsmeta_diff_options diff;
};

static const struct argp_option options[] = {
    {"format", OPTION_FORMAT, "FORMAT", 0, "text (default), jsonl or csv", 1},
    {"null", '0', NULL, 0, "Letter and raw path, each ended by a NUL byte", 1},
    {"all", OPTION_ALL, NULL, 0,
	"Text: show what is inside added and removed folders too, and what means nothing", 1},
    {"stat", OPTION_STAT, NULL, 0,
	"Instead of the changes how much there is of each kind, and in which folders, largest "
	"first",
	1},
    {"depth", OPTION_DEPTH, "N", 0, "With --stat: folders N levels below the root (default 1)", 1},
    {"color", OPTION_COLOUR, "WHEN", 0,
	"auto (default: on a terminal, unless NO_COLOR is set), always or never", 1},
    {"kind", OPTION_KIND, "LIST", 0,
	"Only these kinds: added, removed, modified, moved, corrupted, unreadable, unknown", 2},
    {"fields", OPTION_FIELDS, "LIST", 0,
	"Fields to compare instead of size, mtime, mode, uid, gid, rdev, target, hash of files and "
	"mode, uid, gid of folders; '+LIST' adds to these",
	4},
    {"accept-empty", OPTION_ACCEPT_EMPTY, NULL, 0,
	"Believe that the live folder B is empty although A is not", 4},
    {"no-moves", OPTION_NO_MOVES, NULL, 0, "What moved is removed and added", 4},
    {"no-archive", OPTION_NO_ARCHIVE, NULL, 0,
	"Files of video archives are files like all others: no line for each stream, no events", 4},
    {"policy", OPTION_POLICY, "POLICY", 0,
	"What recorders are to keep: 'keep 30d', for all streams or for those that a pattern "
	"behind it names; repeatable. Says what was rotated out too early, or is overdue",
	4},
    {"progress", OPTION_PROGRESS, "WHEN", 0, "auto (default), always or never", 5},
    {0},
};

/** Words on archives are wanted, and there is a place for them. */
static bool looks_at_archives(const struct diff_arguments *arguments)
{
	return !arguments->no_archive && arguments->format != FSMETA_OUTPUT_CSV &&
	       !(arguments->output_flags & FSMETA_OUTPUT_NULL);
}

static void set_colours(struct diff_arguments *arguments, bool colours)
{
	arguments->output_flags &= ~(uint32_t)FSMETA_OUTPUT_COLOURS;
	if (colours)
		arguments->output_flags |= FSMETA_OUTPUT_COLOURS;
}

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct diff_arguments *arguments = state->input;
	struct fsmeta_error error;
	bool colours;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &arguments->selection;
		state->child_inputs[1] = &arguments->scan;
		return 0;
	case OPTION_FORMAT:
		fsmeta_output_format_take(&arguments->format, text, FSMETA_OUTPUT_CHANGES, state);
		return 0;
	case '0':
		arguments->output_flags |= FSMETA_OUTPUT_NULL;
		return 0;
	case OPTION_ALL:
		arguments->output_flags |= FSMETA_OUTPUT_ALL;
		return 0;
	case OPTION_STAT:
		arguments->stat = true;
		return 0;
	case OPTION_DEPTH:
		fsmeta_depth_take(&arguments->stat_depth, text, state);
		arguments->has_stat_depth = true;
		return 0;
	case OPTION_COLOUR:
		if (!fsmeta_output_colours_parse(&colours, text, stdout))
			argp_error(state, "--color: '%s' is none of auto, always, never", text);
		set_colours(arguments, colours);
		return 0;
	case OPTION_KIND:
		if (!fsmeta_selection_parse_kinds(&arguments->selection.kinds, text))
			argp_error(state,
			    "--kind: '%s' is no list of added, removed, modified, moved, "
			    "corrupted, "
			    "unreadable, unknown",
			    text);
		return 0;
	case OPTION_FIELDS:
		arguments->diff.fields_only = *text != '+';
		if (fsmeta_fields_parse(
			&arguments->diff.fields, *text == '+' ? text + 1 : text, &error) < 0)
			argp_error(state, "--fields: %s", error.reason);
		return 0;
	case OPTION_ACCEPT_EMPTY:
		arguments->accept_empty = true;
		return 0;
	case OPTION_NO_MOVES:
		arguments->no_moves = true;
		return 0;
	case OPTION_NO_ARCHIVE:
		arguments->no_archive = true;
		return 0;
	case OPTION_POLICY:
		fsmeta_policies_take_keep(&arguments->policies, text, state);
		return 0;
	case OPTION_PROGRESS:
		fsmeta_progress_take(&arguments->progress, text, state);
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num >= 2)
			argp_error(state, "two operands are compared, and '%s' is the third", text);
		arguments->operands[state->arg_num] = text;
		return 0;
	case ARGP_KEY_END:
		if (state->arg_num < 2)
			argp_error(state, "two operands are needed, the older first");
		fsmeta_output_check_null(arguments->format, arguments->output_flags, state);
		if (arguments->stat && (arguments->format == FSMETA_OUTPUT_CSV ||
					   arguments->output_flags & FSMETA_OUTPUT_NULL))
			argp_error(state, "--stat is written as text or jsonl");
		if (arguments->has_stat_depth && !arguments->stat)
			argp_error(state, "--depth is for --stat");
		if (arguments->policies.count && !looks_at_archives(arguments))
			argp_error(state, "--policy is for text and jsonl, without --no-archive");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
    FSMETA_SELECTION_CHILD(3), FSMETA_READING_CHILD(4), {0}};

static const struct argp argp = {options, parse_option, "A B",
    "Tell what changed from A to B, each of them a live folder, a stream, or a database at a "
    "generation."
    "\vA added, D removed, M modified, R moved, ! corrupted, U unreadable, ? not looked at; V says "
    "in a "
    "sentence what happened to a stream of a video archive, instead of a line for each file that "
    "came or "
    "went as it should. What B could not or did not look at is never called removed. Exit status 1 "
    "means changes (of those "
    "selected), 2 that something was unreadable.",
    children, NULL, NULL};

/** The two sides while they are open. */
struct diff_state {
	struct fsmeta_operand operands[2];
	struct fsmeta_cursor *cursors[2];
	/** Of A, where that can be read only once; else NULL. */
	struct fsmeta_pipe_copy *copy;
	/** How a live operand is read, without what `hidden` says. */
	struct fsmeta_scan_options scan;
	struct fsmeta_operand_options operand_options;
	struct fsmeta_hidden hidden;
	struct fsmeta_diff *diff;
	/** How many changes were selected, or summed up as churn. */
	uint64_t selected;
	struct fsmeta_churn_filter churn;
	/** What the changes mean for video archives; NULL = none is concerned. */
	struct fsmeta_archive_events *events;
	struct fsmeta_retention retention;
};

static bool is_pipe(const struct fsmeta_operand *operand)
{
	return operand->kind == FSMETA_OPERAND_STREAM_PIPE && strcmp(operand->path, "-") == 0;
}

static int parse_operands(
    struct diff_state *state, const struct diff_arguments *arguments, struct fsmeta_error *error)
{
	int i, status;

	for (i = 0; i < 2; i++) {
		struct fsmeta_operand *operand = &state->operands[i];

		status = fsmeta_operand_parse(operand, arguments->operands[i], error);
		/* A scan leaves its own stream and database out, and so does the comparison. */
		if (status >= 0 && operand->kind != FSMETA_OPERAND_LIVE && !is_pipe(operand))
			status = fsmeta_hide_output(&state->hidden, operand->path,
			    operand->kind == FSMETA_OPERAND_DATABASE, error);
		if (status < 0)
			return status;
	}
	if (is_pipe(&state->operands[0]) && is_pipe(&state->operands[1]))
		return fsmeta_error_set(error, FSMETA_E_USAGE, NULL, "reading the operands",
		    "only one of two can be standard input");
	return 0;
}

static int open_cursors(
    struct diff_state *state, const struct diff_arguments *arguments, struct fsmeta_error *error)
{
	int status;

	state->scan = arguments->scan;
	state->scan.hidden = state->hidden.items;
	state->scan.hidden_count = state->hidden.count;
	state->operand_options.scan = &state->scan;
	status = fsmeta_operand_open_pair(
	    state->cursors, state->operands, &state->operand_options, error);
	if (status >= 0 && looks_at_archives(arguments) &&
	    state->operands[0].kind == FSMETA_OPERAND_STREAM_PIPE)
		status = fsmeta_pipe_copy_new(&state->copy, &state->cursors[0], error);
	if (status < 0)
		return status;
	return fsmeta_progress_wrap(&state->cursors[1], arguments->progress, "comparing",
	    state->cursors[0]->source->has_totals ? state->cursors[0]->source->totals.entries : 0,
	    error);
}

/* A drive that is not mounted looks like one that was emptied. */
static int guard_empty(const struct diff_state *state, const struct diff_arguments *arguments,
    struct fsmeta_error *error)
{
	const struct fsmeta_diff_counts *counts = fsmeta_diff_get_counts(state->diff);

	if (arguments->accept_empty || state->operands[1].kind != FSMETA_OPERAND_LIVE ||
	    state->cursors[1]->source->unreadable.total || counts->entries_b > 1 ||
	    counts->entries_a <= 1)
		return 0;
	return fsmeta_error_set(error, FSMETA_E_REFUSED, state->operands[1].path, "comparing",
	    "the folder is empty, and %s is not; is it mounted? (--accept-empty takes it as it is)",
	    state->operands[0].text);
}

static bool shows_churn(const struct diff_arguments *arguments)
{
	return arguments->format != FSMETA_OUTPUT_TEXT ||
	       arguments->output_flags & (FSMETA_OUTPUT_ALL | FSMETA_OUTPUT_NULL);
}

/** Only some of the changes are asked for. */
static bool selects(const struct fsmeta_selection *selection)
{
	return selection->types || selection->kinds || selection->names.count ||
	       selection->paths.count || selection->has_larger || selection->has_smaller ||
	       selection->has_newer || selection->has_older;
}

/** A fresh cursor over A. */
static int open_older(void *payload, struct fsmeta_cursor **out, struct fsmeta_error *error)
{
	struct diff_state *state = payload;
	struct fsmeta_operand *operand = &state->operands[0];
	static const struct fsmeta_db_cursor_options cursor_options = {.stop = &fsmeta_stop_signal};

	if (state->copy)
		return fsmeta_pipe_copy_open(state->copy, out, error);
	if (operand->kind == FSMETA_OPERAND_DATABASE)
		return fsmeta_db_cursor(out, operand->db, operand->number, &cursor_options, error);
	return fsmeta_operand_open(out, operand, &state->operand_options, error);
}

/**
 * Churn first: it means nothing, for archives neither.  What is written without words is not looked
 * at as an archive.
 */
static int find_meaning(
    struct diff_state *state, const struct diff_arguments *arguments, struct fsmeta_error *error)
{
	const struct fsmeta_batch_source *older = state->cursors[0]->source;
	const struct fsmeta_batch_source *newer = state->cursors[1]->source;
	int status = fsmeta_churn_filter_init(
	    &state->churn, state->diff, older, newer, !shows_churn(arguments), NULL, error);

	if (status < 0 || !looks_at_archives(arguments) || !fsmeta_diff_has_changes(state->diff))
		return status;
	status = fsmeta_stories_gather_meant(
	    &state->events, state->diff, &state->churn, newer, open_older, error, state);
	return status < 0 ? status
			  : fsmeta_retention_judge(&state->retention, state->events,
				&arguments->policies, state->diff, &state->churn, newer, error);
}

/** Sentences are of all that happened. */
static bool tells_stories(const struct diff_arguments *arguments)
{
	return !selects(&arguments->selection) &&
	       (arguments->format == FSMETA_OUTPUT_TEXT || arguments->stat);
}

static bool hides_files(const struct diff_arguments *arguments)
{
	return tells_stories(arguments) && !arguments->stat &&
	       !(arguments->output_flags & FSMETA_OUTPUT_ALL);
}

/** Hands the changes that are selected to the sink, which may be that of `output`. */
static int replay(struct diff_state *state, struct diff_arguments *arguments,
    struct fsmeta_change_sink *sink, struct fsmeta_output *output, struct fsmeta_error *error)
{
	struct fsmeta_stories_filter stories;
	struct fsmeta_selection_sink selected;
	int status;

	fsmeta_selection_sink_init(&selected, &arguments->selection, sink);
	fsmeta_stories_filter_init(&stories, state->events, &state->retention, output,
	    hides_files(arguments), &selected.sink);
	state->churn.next = &stories.sink;
	state->churn.aside = &selected.sink;
	status = fsmeta_diff_replay(state->diff, &state->churn.sink, error);
	state->selected = selected.passed + state->churn.hidden + stories.hidden;
	fsmeta_stories_filter_release(&stories);
	fsmeta_selection_sink_release(&selected);
	return status;
}

static int print_churn(const struct diff_state *state, const struct diff_arguments *arguments,
    struct fsmeta_error *error)
{
	bool as_json = arguments->format == FSMETA_OUTPUT_JSONL;

	if (!as_json && arguments->format != FSMETA_OUTPUT_TEXT)
		return 0;
	fsmeta_churn_print(stdout, &state->churn, as_json);
	return fsmeta_flush_output(error);
}

static int print_changes(
    struct diff_state *state, struct diff_arguments *arguments, struct fsmeta_error *error)
{
	struct fsmeta_output *output;
	int status;

	status = fsmeta_output_new(&output, stdout, arguments->format, arguments->output_flags,
	    state->cursors[1]->source, error);
	if (status < 0)
		return status;
	if (tells_stories(arguments))
		status =
		    fsmeta_stories_print(stdout, state->events, &state->retention, false, error);
	if (status >= 0)
		status = replay(state, arguments,
		    fsmeta_output_change_sink(output, state->cursors[0]->source), output, error);
	if (status >= 0)
		status = fsmeta_output_finish(output, error);
	fsmeta_output_free(output);
	return status < 0 ? status : print_churn(state, arguments, error);
}

static bool has_stories(const struct diff_state *state, const struct diff_arguments *arguments)
{
	size_t count = 0;

	if (state->events && tells_stories(arguments))
		(void)fsmeta_archive_events_stories(state->events, &count);
	return count > 0;
}

static int print_summary(
    struct diff_state *state, struct diff_arguments *arguments, struct fsmeta_error *error)
{
	struct fsmeta_tally *tally;
	int status = fsmeta_tally_new(&tally, arguments->stat_depth, error);

	if (status < 0)
		return status;
	status = replay(state, arguments, fsmeta_tally_sink(tally), NULL, error);
	if (status >= 0)
		status = fsmeta_tally_print(tally, arguments->format, error);
	if (status >= 0 && arguments->format == FSMETA_OUTPUT_TEXT && has_stories(state, arguments))
		fputc('\n', stdout);
	if (status >= 0 && tells_stories(arguments))
		status = fsmeta_stories_print(stdout, state->events, &state->retention,
		    arguments->format == FSMETA_OUTPUT_JSONL, error);
	if (status >= 0)
		status = print_churn(state, arguments, error);
	fsmeta_tally_free(tally);
	return status;
}

static int judge(const struct diff_state *state)
{
	if (state->cursors[1]->source->unreadable.total)
		return FSMETA_EXIT_PARTIAL;
	return state->selected ? FSMETA_EXIT_CHANGES : FSMETA_EXIT_OK;
}

int fsmeta_command_diff(int argc, char **argv)
{
	struct diff_arguments arguments;
	struct diff_state state;
	struct fsmeta_error error;
	bool colours;
	int status;

	memset(&arguments, 0, sizeof(arguments));
	arguments.stat_depth = 1;
	if (fsmeta_output_colours_parse(&colours, "auto", stdout))
		set_colours(&arguments, colours);
	memset(&state, 0, sizeof(state));
	fsmeta_error_clear(&error);
	fsmeta_arguments(&argp, argc, argv, &arguments);

	arguments.diff.stop = &fsmeta_stop_signal;
	status = parse_operands(&state, &arguments, &error);
	if (status >= 0)
		status = open_cursors(&state, &arguments, &error);
	if (!arguments.no_moves)
		arguments.diff.moves = FSMETA_DIFF_MOVES_BY_EVIDENCE;
	/* A move keeps its id in a database. */
	if (!arguments.no_moves && fsmeta_operands_are_one_database(state.operands))
		arguments.diff.moves |= FSMETA_DIFF_MOVES_BY_ID;
	if (status >= 0)
		status = fsmeta_diff_run(
		    &state.diff, state.cursors[0], state.cursors[1], &arguments.diff, &error);
	if (status >= 0)
		status = guard_empty(&state, &arguments, &error);
	if (status >= 0)
		status = find_meaning(&state, &arguments, &error);
	if (status >= 0)
		status = arguments.stat ? print_summary(&state, &arguments, &error)
					: print_changes(&state, &arguments, &error);
	status = status < 0 ? fsmeta_report(&error) : judge(&state);

	fsmeta_retention_release(&state.retention);
	fsmeta_archive_events_free(state.events);
	fsmeta_churn_filter_release(&state.churn);
	fsmeta_diff_free(state.diff);
	fsmeta_pipe_copy_free(state.copy);
	fsmeta_cursor_close(state.cursors[0]);
	fsmeta_cursor_close(state.cursors[1]);
	fsmeta_operand_release(&state.operands[0]);
	fsmeta_operand_release(&state.operands[1]);
	fsmeta_hidden_release(&state.hidden);
	fsmeta_selection_release(&arguments.selection);
	return status;
}
