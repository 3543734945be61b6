/*
 * fsmeta history: what happened to all that ever stood at a path.
 *
 * The database tells the lives of these entries as states.  Two neighbouring states of
 * one life are compared here, as diff compares the two sides of a pair, and what
 * differs is printed as diff prints it, with the generation in front:
 *
 *     states      1 absent | 2 a/x, 10 bytes | 5 a/x, 12 bytes | 6 b/x, 12 bytes | 9 absent
 *     told                 A a/x             M a/x size        R b/x (from a/x)  D b/x
 */
#include "db/history.h"

#include "db/below.h"
#include "tools/command.h"
#include "tools/operand.h"
#include "tools/output.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum option_key {
	OPTION_FORMAT = 0x100,
	OPTION_FIELDS,
	OPTION_REVERSE,
};

struct history_arguments {
	const char *db;
	const char *path;
	enum fsmeta_output_format format;
	/** Fields told beyond (or, with `fields_only`, instead of) the default. */
	uint32_t fields;
	bool fields_only;
	bool reverse;
};

static const struct argp_option options[] = {
    {"format", OPTION_FORMAT, "FORMAT", 0, "text (default) or jsonl", 1},
    {"reverse", OPTION_REVERSE, NULL, 0, "Newest first", 1},
    {"fields", OPTION_FIELDS, "LIST", 0,
	"Fields to tell of instead of size, mtime, mode, uid, gid, rdev, target, hash of files and "
	"mode, uid, gid of folders; '+LIST' adds to these",
	2},
    {0},
};

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct history_arguments *arguments = state->input;
	struct fsmeta_error error;

	switch (key) {
	case OPTION_FORMAT:
		fsmeta_output_format_take(&arguments->format, text, FSMETA_OUTPUT_LINES, state);
		return 0;
	case OPTION_REVERSE:
		arguments->reverse = true;
		return 0;
	case OPTION_FIELDS:
		arguments->fields_only = *text != '+';
		if (fsmeta_fields_parse(
			&arguments->fields, *text == '+' ? text + 1 : text, &error) < 0)
			argp_error(state, "--fields: %s", error.reason);
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num == 0) {
			arguments->db = text;
		} else if (state->arg_num == 1) {
			arguments->path = fsmeta_operand_inner_path(text);
			if (!arguments->path)
				argp_error(state,
				    "PATH is relative to the root, without '..': '%s' is not",
				    text);
		} else {
			argp_error(state, "one path at a time, and '%s' is the second", text);
		}
		return 0;
	case ARGP_KEY_END:
		if (!arguments->path)
			argp_error(state, arguments->db ? "the history of which path?"
							: "which database, and which path?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {options, parse_option, "DB PATH",
    "Tell what happened to everything that stands or ever stood at PATH, in all kept "
    "generations of the FsMetaDb DB, oldest first: when it came, changed, moved, went, and "
    "could not be looked at."
    "\vEach of these entries is told from its beginning to its end, under whatever path.  "
    "PATH is relative to the source's root; the root is '.'.",
    NULL, NULL, NULL};

/* ---- comparing two states ---------------------------------------------------- */

/** An entry with what its generation has of it. */
static struct fsmeta_entry shown(const struct fsmeta_db_state *state, uint32_t field_mask)
{
	struct fsmeta_entry entry = state->entry;

	entry.fields &= field_mask;
	return entry;
}

static uint32_t differences(const struct history_arguments *arguments,
    const struct fsmeta_db_state *before, const struct fsmeta_db_state *after)
{
	uint32_t fields = arguments->fields;

	if (!arguments->fields_only)
		fields |= after->entry.type == FSMETA_TYPE_FOLDER ? FSMETA_FIELDS_REPORTED_FOLDER
								  : FSMETA_FIELDS_REPORTED_FILE;
	fields &= (after->field_mask & after->previous_field_mask) | FSMETA_FIELD_FLAGS;
	/* What could not be read is unknown, which is no difference. */
	if (after->entry.flags & FSMETA_FLAG_UNREADABLE)
		fields &= after->entry.fields | FSMETA_FIELD_FLAGS;
	if (before->entry.flags & FSMETA_FLAG_UNREADABLE)
		fields &= before->entry.fields | FSMETA_FIELD_FLAGS;
	return fsmeta_entry_differences(&before->entry, &after->entry, fields, NULL, 0);
}

/** The content differs although size and time of modification do not. */
static bool is_corruption(
    const struct fsmeta_entry *before, const struct fsmeta_entry *after, uint32_t fields)
{
	const uint32_t needed = FSMETA_FIELD_SIZE | FSMETA_FIELD_MTIME | FSMETA_FIELD_HASH;

	return fields & FSMETA_FIELD_HASH && (before->fields & after->fields & needed) == needed &&
	       before->hash_algorithm == after->hash_algorithm && before->size == after->size &&
	       fsmeta_time_compare(before->mtime, after->mtime) == 0;
}

static bool same_path(const struct fsmeta_entry *a, const struct fsmeta_entry *b)
{
	return a->path_length == b->path_length && memcmp(a->path, b->path, a->path_length) == 0;
}

/** What hides something: 0 where everything was looked at. */
static enum fsmeta_change_kind hiding_kind(const struct fsmeta_db_state *state)
{
	const struct fsmeta_entry *entry = &state->entry;

	if (entry->flags & FSMETA_FLAG_UNREADABLE || (state->unknown && state->unreadable))
		return FSMETA_CHANGE_UNREADABLE;
	if (state->unknown ||
	    (entry->flags & FSMETA_FLAG_OTHER_FILESYSTEM && entry->type == FSMETA_TYPE_FOLDER))
		return FSMETA_CHANGE_UNKNOWN;
	return 0;
}

static int hiding_error(const struct fsmeta_db_state *state)
{
	return state->unknown ? state->error : state->entry.error;
}

/* ---- telling -------------------------------------------------------------------- */

/** A step in a life, from one state to the next. */
struct event {
	/** NULL where the entry was not there. */
	const struct fsmeta_db_state *before;
	const struct fsmeta_db_state *after;
	/** Where `before` is not known: the generation since which that was so, else 0. */
	uint64_t unknown_since;
};

struct teller {
	const struct history_arguments *arguments;
	struct fsmeta_db *db;
	struct fsmeta_output *output;
	struct fsmeta_change_sink *sink;
};

/** Counts what is below a folder and hands the change on. */
static int tell(struct teller *teller, struct fsmeta_change *change, uint64_t generation,
    struct fsmeta_error *error)
{
	const struct fsmeta_entry *entry = fsmeta_change_entry(change);
	int status = 0;

	if (entry->type == FSMETA_TYPE_FOLDER && change->kind != FSMETA_CHANGE_MODIFIED)
		status = fsmeta_db_count_below(teller->db, entry->id, generation, &change->entries,
		    &change->bytes, &fsmeta_stop_signal, error);
	return status < 0 ? status : teller->sink->change(teller->sink, change, error);
}

static int tell_arrival(
    struct teller *teller, const struct fsmeta_db_state *state, struct fsmeta_error *error)
{
	struct fsmeta_entry entry = shown(state, state->field_mask);
	struct fsmeta_change change = {.kind = FSMETA_CHANGE_ADDED, .after = &entry};

	return tell(teller, &change, state->generation, error);
}

static int tell_end(struct teller *teller, const struct event *event, struct fsmeta_error *error)
{
	struct fsmeta_entry entry = shown(event->before, event->after->previous_field_mask);
	struct fsmeta_change change = {.kind = FSMETA_CHANGE_REMOVED, .before = &entry};

	return tell(teller, &change, event->after->previous, error);
}

static int tell_differences(
    struct teller *teller, const struct event *event, struct fsmeta_error *error)
{
	struct fsmeta_entry before = shown(event->before, event->after->previous_field_mask);
	struct fsmeta_entry after = shown(event->after, event->after->field_mask);
	struct fsmeta_change change = {
	    .kind = FSMETA_CHANGE_MODIFIED,
	    .before = &before,
	    .after = &after,
	    .fields = differences(teller->arguments, event->before, event->after),
	};

	if (!same_path(&before, &after))
		change.kind = FSMETA_CHANGE_MOVED;
	else if (!change.fields)
		return 0;
	else if (is_corruption(&before, &after, change.fields))
		change.kind = FSMETA_CHANGE_CORRUPTED;
	return tell(teller, &change, event->after->generation, error);
}

/** That it could not be looked at, or could be again. */
static int tell_sight(struct teller *teller, const struct event *event, struct fsmeta_error *error)
{
	const struct fsmeta_db_state *state = event->after;
	enum fsmeta_change_kind kind = hiding_kind(state);
	enum fsmeta_change_kind before = event->before ? hiding_kind(event->before) : 0;
	struct fsmeta_entry entry = shown(state, state->field_mask);
	struct fsmeta_change change = {.kind = kind, .after = &entry};

	if (!kind)
		return before ? fsmeta_output_known(
				    teller->output, &entry, event->unknown_since, error)
			      : 0;
	if (kind == before && hiding_error(state) == hiding_error(event->before))
		return 0;
	/* The line of an arrival says the flags of the entry itself. */
	if (!event->before && !state->unknown)
		return 0;
	if (state->unknown) {
		entry.flags = state->unreadable ? FSMETA_FLAG_UNREADABLE : 0;
		entry.error = state->error;
	}
	return tell(teller, &change, state->generation, error);
}

static int tell_event(struct teller *teller, const struct event *event, struct fsmeta_error *error)
{
	int status;

	if (!event->after->present)
		return tell_end(teller, event, error);
	if (event->before)
		status = tell_differences(teller, event, error);
	else
		status = tell_arrival(teller, event->after, error);
	return status < 0 ? status : tell_sight(teller, event, error);
}

/** The generation in front of the line, and what is to be said of it. */
static int set_context(struct fsmeta_output *output, const struct fsmeta_db_state *state,
    struct fsmeta_buffer texts[3])
{
	char finished[FSMETA_TIME_TEXT_BYTES];
	bool dated = state->finished.seconds || state->finished.nanoseconds;
	int failed = 0;

	fsmeta_time_format(finished, state->finished);
	for (int i = 0; i < 3; i++)
		fsmeta_buffer_clear(&texts[i]);
	failed |= fsmeta_buffer_append_format(&texts[0], "%5" PRIu64 "  ", state->generation);
	failed |=
	    dated ? fsmeta_buffer_append_format(&texts[0], "%.10s %.8s  ", finished, finished + 11)
		  : fsmeta_buffer_append_format(&texts[0], "%-19s  ", "-");
	failed |= fsmeta_buffer_append_format(
	    &texts[2], "\"generation\":%" PRIu64 ",", state->generation);
	if (dated)
		failed |= fsmeta_buffer_append_format(&texts[2], "\"finished\":\"%s\",", finished);
	if (state->since != state->generation) {
		failed |= fsmeta_buffer_append_format(
		    &texts[1], "  [in generation %" PRIu64 ", which was pruned]", state->since);
		failed |=
		    fsmeta_buffer_append_format(&texts[2], "\"since\":%" PRIu64 ",", state->since);
	}
	failed |= fsmeta_buffer_append_format(&texts[2], "\"id\":%" PRIu64 ",", state->entry.id);
	if (failed || !fsmeta_buffer_string(&texts[0]) || !fsmeta_buffer_string(&texts[1]) ||
	    !fsmeta_buffer_string(&texts[2]))
		return FSMETA_E_MEMORY;
	fsmeta_output_set_context(output, &(struct fsmeta_output_context){
					      .before = (const char *)texts[0].data,
					      .after = (const char *)texts[1].data,
					      .json = (const char *)texts[2].data,
					  });
	return 0;
}

static int tell_events(
    struct teller *teller, const struct event *events, size_t count, struct fsmeta_error *error)
{
	struct fsmeta_buffer texts[3] = {{0}, {0}, {0}};
	int status = 0;

	for (size_t i = 0; i < count && status >= 0; i++) {
		const struct event *event = &events[teller->arguments->reverse ? count - 1 - i : i];

		if (set_context(teller->output, event->after, texts))
			status = fsmeta_error_set_memory(error, "telling the history");
		else
			status = tell_event(teller, event, error);
	}
	for (int i = 0; i < 3; i++)
		fsmeta_buffer_release(&texts[i]);
	return status;
}

/* ---- putting lives in order -------------------------------------------------------- */

/** By generation; in one, what goes before what comes to its place. */
static int compare_events(const void *left, const void *right)
{
	const struct fsmeta_db_state *a = ((const struct event *)left)->after;
	const struct fsmeta_db_state *b = ((const struct event *)right)->after;

	if (a->generation != b->generation)
		return a->generation < b->generation ? -1 : 1;
	if (a->present != b->present)
		return a->present ? 1 : -1;
	return (a->entry.id > b->entry.id) - (a->entry.id < b->entry.id);
}

static size_t add_events(struct event *events, const struct fsmeta_db_life *life)
{
	uint64_t unknown_since = 0;

	for (size_t i = 0; i < life->count; i++) {
		const struct fsmeta_db_state *state = &life->states[i];
		const struct fsmeta_db_state *before = i ? &life->states[i - 1] : NULL;

		events[i] = (struct event){
		    .before = before && before->present ? before : NULL,
		    .after = state,
		    .unknown_since = unknown_since,
		};
		if (!state->present || !hiding_kind(state))
			unknown_since = 0;
		else if (!unknown_since)
			unknown_since = state->since;
	}
	return life->count;
}

static int tell_history(
    struct teller *teller, const struct fsmeta_db_history *history, struct fsmeta_error *error)
{
	struct event *events;
	size_t count = 0;
	int status;

	for (size_t i = 0; i < history->count; i++)
		count += history->lives[i].count;
	if (!count)
		return fsmeta_error_set(error, FSMETA_E_NOT_FOUND,
		    *teller->arguments->path ? teller->arguments->path : ".", "telling the history",
		    "no kept generation in %s has it", teller->arguments->db);
	events = calloc(count, sizeof(*events));
	if (!events)
		return fsmeta_error_set_memory(error, "telling the history");
	count = 0;
	for (size_t i = 0; i < history->count; i++)
		count += add_events(events + count, &history->lives[i]);
	qsort(events, count, sizeof(*events), compare_events);
	status = tell_events(teller, events, count, error);
	free(events);
	return status;
}

static int print_history(const struct history_arguments *arguments, struct fsmeta_operand *operand,
    struct fsmeta_error *error)
{
	struct teller teller = {.arguments = arguments};
	struct fsmeta_db_history history = {0};
	int status = fsmeta_operand_open_database(operand, arguments->db, error);

	if (status < 0)
		return status;
	teller.db = operand->db;
	/* Ids are told in front of each line. */
	status = fsmeta_output_new(
	    &teller.output, stdout, arguments->format, FSMETA_OUTPUT_DATED, NULL, error);
	if (status < 0)
		return status;
	teller.sink = fsmeta_output_change_sink(teller.output, NULL);
	status = fsmeta_db_history(
	    &history, operand->db, arguments->path, strlen(arguments->path), error);
	if (status >= 0)
		status = tell_history(&teller, &history, error);
	if (status >= 0)
		status = fsmeta_output_finish(teller.output, error);
	fsmeta_output_free(teller.output);
	fsmeta_db_history_release(&history);
	return status;
}

int fsmeta_command_history(int argc, char **argv)
{
	struct history_arguments arguments = {.db = NULL};
	struct fsmeta_operand operand;
	struct fsmeta_error error;
	int status;

	fsmeta_error_clear(&error);
	fsmeta_arguments(&argp, argc, argv, &arguments);
	status = print_history(&arguments, &operand, &error);
	fsmeta_operand_release(&operand);
	return status < 0 ? fsmeta_report(&error) : FSMETA_EXIT_OK;
}
