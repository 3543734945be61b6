/*
 * fsmeta log: the generations of a database, oldest first.
 *
 * Text is a table.  How wide its columns must be is known when all cells are, so the
 * lines are collected first: a database has thousands of generations, not millions.
 */
#include "db/db.h"
#include "tools/command.h"
#include "tools/operand.h"
#include "tools/output.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char action[] = "listing generations";

enum option_key {
	OPTION_FORMAT = 0x100,
	OPTION_LAST = 'n',
};

enum column {
	COLUMN_NUMBER,
	COLUMN_FINISHED,
	COLUMN_DURATION,
	COLUMN_ENTRIES,
	COLUMN_BYTES,
	COLUMN_ADDED,
	COLUMN_REMOVED,
	COLUMN_MODIFIED,
	COLUMN_MOVED,
	/** What else is to be said; not aligned. */
	COLUMN_NOTES,
	COLUMNS,
};

static const char *const titles[COLUMNS] = {"#", "finished (UTC)", "duration", "entries", "size",
    "added", "removed", "modified", "moved", ""};

struct log_arguments {
	const char *db;
	bool json_lines;
	/** How many of the newest generations are shown. */
	size_t last;
};

/** The lines to be shown, each of COLUMNS cells or of one JSON object. */
struct log {
	const struct log_arguments *arguments;
	/** All cells, each ended by a NUL. */
	struct fsmeta_buffer text;
	/** size_t: where the cells of each line begin in `text`. */
	struct fsmeta_buffer lines;
	size_t widths[COLUMNS];
};

static const struct argp_option options[] = {
    {"format", OPTION_FORMAT, "FORMAT", 0, "text (default) or jsonl", 1},
    {"last", OPTION_LAST, "N", 0, "Only the newest N generations", 1},
    {0},
};

static bool parse_count(size_t *out, const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end)
		return false;
	*out = value;
	return true;
}

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct log_arguments *arguments = state->input;
	enum fsmeta_output_format format;

	switch (key) {
	case OPTION_FORMAT:
		fsmeta_output_format_take(&format, text, FSMETA_OUTPUT_LINES, state);
		arguments->json_lines = format == FSMETA_OUTPUT_JSONL;
		return 0;
	case OPTION_LAST:
		if (!parse_count(&arguments->last, text))
			argp_error(state, "--last: '%s' is no number", text);
		return 0;
	case ARGP_KEY_ARG:
		if (arguments->db)
			argp_error(state, "one database at a time, and '%s' is the second", text);
		arguments->db = text;
		return 0;
	case ARGP_KEY_END:
		if (!arguments->db)
			argp_error(state, "which database?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {options, parse_option, "DB",
    "List the generations of the FsMetaDb DB, oldest first: when, how much, what changed, and "
    "what of it was not looked at.",
    NULL, NULL, NULL};

static bool is_known(struct fsmeta_time time)
{
	return time.seconds || time.nanoseconds;
}

/* ---- JSON lines ---------------------------------------------------------------- */

static void append_json_text(struct fsmeta_buffer *line, const char *key, const char *value)
{
	if (!value)
		return;
	fsmeta_buffer_append_format(line, ",\"%s\":\"", key);
	fsmeta_text_append_json(line, value, strlen(value));
	fsmeta_buffer_append_byte(line, '"');
}

static void append_json_time(struct fsmeta_buffer *line, const char *key, struct fsmeta_time time)
{
	char text[FSMETA_TIME_TEXT_BYTES];

	if (!is_known(time))
		return;
	fsmeta_time_format(text, time);
	append_json_text(line, key, text);
}

static void append_json_count(struct fsmeta_buffer *line, const char *key, uint64_t count)
{
	fsmeta_buffer_append_format(line, ",\"%s\":%" PRIu64, key, count);
}

static void append_json_bool(struct fsmeta_buffer *line, const char *key, bool value)
{
	fsmeta_buffer_append_format(line, ",\"%s\":%s", key, value ? "true" : "false");
}

/** ,"KEY":["…"], and "KEY_b64" with all of them where one is no UTF-8; nothing where empty. */
static void append_json_list(
    struct fsmeta_buffer *line, const char *key, const struct fsmeta_string_list *list)
{
	bool valid = true;

	if (!list->count)
		return;
	fsmeta_buffer_append_format(line, ",\"%s\":[", key);
	for (size_t i = 0; i < list->count; i++) {
		fsmeta_buffer_append_text(line, i ? ",\"" : "\"");
		fsmeta_text_append_json(line, list->items[i], list->lengths[i]);
		fsmeta_buffer_append_byte(line, '"');
		valid = valid && fsmeta_utf8_is_valid(list->items[i], list->lengths[i]);
	}
	fsmeta_buffer_append_byte(line, ']');
	if (valid)
		return;
	fsmeta_buffer_append_format(line, ",\"%s_b64\":[", key);
	for (size_t i = 0; i < list->count; i++) {
		fsmeta_buffer_append_text(line, i ? ",\"" : "\"");
		fsmeta_text_append_base64(line, list->items[i], list->lengths[i]);
		fsmeta_buffer_append_byte(line, '"');
	}
	fsmeta_buffer_append_byte(line, ']');
}

static void append_json(struct fsmeta_buffer *line, const struct fsmeta_db_generation *generation)
{
	const struct fsmeta_batch_source *source = &generation->source;
	const struct fsmeta_totals *totals = &source->totals;
	char digest[FSMETA_DIGEST_TEXT_BYTES];

	fsmeta_buffer_append_format(line, "{\"generation\":%" PRIu64, generation->number);
	if (generation->base)
		append_json_count(line, "base", generation->base);
	append_json_time(line, "started", source->started);
	append_json_time(line, "finished", source->finished);
	append_json_text(line, "machine", source->machine_name);
	append_json_count(line, "entries", totals->entries);
	append_json_count(line, "files", totals->files);
	append_json_count(line, "folders", totals->folders);
	append_json_count(line, "symlinks", totals->symlinks);
	append_json_count(line, "others", totals->others);
	append_json_count(line, "bytes", totals->bytes);
	append_json_count(line, "allocated", totals->allocated);
	append_json_count(line, "added", generation->added);
	append_json_count(line, "removed", generation->removed);
	append_json_count(line, "modified", generation->modified);
	append_json_count(line, "moved", generation->moved);
	append_json_count(line, "unreadable", totals->unreadable);
	append_json_count(line, "carried", totals->carried);
	append_json_count(line, "not_entered", source->not_entered.total);
	append_json_list(line, "subtrees", &source->subtrees);
	append_json_list(line, "excludes", &source->excludes);
	append_json_bool(line, "partial", fsmeta_batch_source_is_partial(source));
	append_json_bool(line, "quick", source->quick);
	append_json_bool(line, "pruned", generation->pruned);
	if (source->has_state_digest) {
		fsmeta_digest_format(digest, source->state_digest);
		append_json_text(line, "state_digest", digest);
	}
	fsmeta_buffer_append_byte(line, '}');
}

/* ---- text ------------------------------------------------------------------------- */

/** "2026-11-20 10:00:00" */
static void append_finished(struct fsmeta_buffer *cell, const struct fsmeta_batch_source *source)
{
	char text[FSMETA_TIME_TEXT_BYTES];
	size_t length = fsmeta_time_format(text, source->finished);
	const char *time_of_day = memchr(text, 'T', length);

	if (!is_known(source->finished) || !time_of_day)
		fsmeta_buffer_append_byte(cell, '-');
	else
		fsmeta_buffer_append_format(
		    cell, "%.*s %.8s", (int)(time_of_day - text), text, time_of_day + 1);
}

/** "30.2 s", "12m05s", "3h00m" */
static void append_duration(struct fsmeta_buffer *cell, const struct fsmeta_batch_source *source)
{
	const struct fsmeta_time started = source->started, finished = source->finished;
	double seconds = (double)(finished.seconds - started.seconds) +
			 ((double)finished.nanoseconds - (double)started.nanoseconds) / 1e9;
	int64_t whole = (int64_t)(seconds + 0.5);

	if (!is_known(started) || !is_known(finished) || seconds < 0)
		fsmeta_buffer_append_byte(cell, '-');
	else if (seconds < 59.95)
		fsmeta_buffer_append_format(cell, "%.1f s", seconds);
	else if (whole < 3600)
		fsmeta_buffer_append_format(
		    cell, "%" PRId64 "m%02" PRId64 "s", whole / 60, whole % 60);
	else
		fsmeta_buffer_append_format(
		    cell, "%" PRId64 "h%02" PRId64 "m", whole / 3600, whole % 3600 / 60);
}

static void append_note(struct fsmeta_buffer *cell, bool *any, uint64_t count, const char *what)
{
	fsmeta_buffer_append_text(cell, *any ? ", " : "");
	*any = true;
	if (count) {
		fsmeta_text_append_count(cell, count);
		fsmeta_buffer_append_byte(cell, ' ');
	}
	fsmeta_buffer_append_text(cell, what);
}

/** "only cam1/ and 2 more" */
static void append_subtrees(
    struct fsmeta_buffer *cell, bool *any, const struct fsmeta_string_list *subtrees)
{
	append_note(cell, any, 0, "only ");
	fsmeta_text_append_quoted(cell, subtrees->items[0], subtrees->lengths[0]);
	if (subtrees->count > 1)
		fsmeta_buffer_append_format(cell, " and %zu more", subtrees->count - 1);
}

/** What was not looked at, and other things out of the ordinary. */
static void append_notes(struct fsmeta_buffer *cell, const struct fsmeta_db_generation *generation)
{
	const struct fsmeta_batch_source *source = &generation->source;
	bool any = false;

	if (generation->pruned)
		append_note(cell, &any, 0, "pruned");
	if (source->quick)
		append_note(cell, &any, 0, "quick");
	if (source->subtrees.count)
		append_subtrees(cell, &any, &source->subtrees);
	if (source->totals.unreadable)
		append_note(cell, &any, source->totals.unreadable, "unreadable");
	if (source->not_entered.total)
		append_note(cell, &any, source->not_entered.total, "not entered");
	if (source->totals.carried)
		append_note(cell, &any, source->totals.carried, "carried");
}

static void append_cell(
    struct fsmeta_buffer *cell, enum column column, const struct fsmeta_db_generation *generation)
{
	const struct fsmeta_batch_source *source = &generation->source;

	switch (column) {
	case COLUMN_NUMBER:
		fsmeta_buffer_append_format(cell, "%" PRIu64, generation->number);
		break;
	case COLUMN_FINISHED:
		append_finished(cell, source);
		break;
	case COLUMN_DURATION:
		append_duration(cell, source);
		break;
	case COLUMN_ENTRIES:
		fsmeta_text_append_count(cell, source->totals.entries);
		break;
	case COLUMN_BYTES:
		fsmeta_text_append_size(cell, source->totals.bytes);
		break;
	case COLUMN_ADDED:
		fsmeta_text_append_count(cell, generation->added);
		break;
	case COLUMN_REMOVED:
		fsmeta_text_append_count(cell, generation->removed);
		break;
	case COLUMN_MODIFIED:
		fsmeta_text_append_count(cell, generation->modified);
		break;
	case COLUMN_MOVED:
		fsmeta_text_append_count(cell, generation->moved);
		break;
	case COLUMN_NOTES:
		append_notes(cell, generation);
		break;
	case COLUMNS:
		break;
	}
}

/** Adds the cells of a line and makes their columns wide enough for them. */
static void append_cells(struct log *log, const struct fsmeta_db_generation *generation)
{
	for (int column = 0; column < COLUMNS; column++) {
		size_t start = log->text.length, width;

		append_cell(&log->text, (enum column)column, generation);
		width = log->text.length - start;
		if (width > log->widths[column])
			log->widths[column] = width;
		fsmeta_buffer_append_byte(&log->text, '\0');
	}
}

/** Cells flush right, which are ASCII, and the notes behind them. */
static void print_cells(const struct log *log, const char *cell)
{
	for (int column = 0; column < COLUMN_NOTES; column++) {
		printf("%s%*s", column ? "  " : "", (int)log->widths[column], cell);
		cell += strlen(cell) + 1;
	}
	printf("%s%s\n", *cell ? "  " : "", cell);
}

static void print_titles(const struct log *log)
{
	for (int column = 0; column < COLUMN_NOTES; column++)
		printf("%s%*s", column ? "  " : "", (int)log->widths[column], titles[column]);
	putchar('\n');
}

/* ---- collecting ---------------------------------------------------------------------- */

static int take_generation(const struct fsmeta_db_generation *generation, void *payload)
{
	struct log *log = payload;
	size_t start = log->text.length;

	if (log->arguments->json_lines) {
		append_json(&log->text, generation);
		fsmeta_buffer_append_byte(&log->text, '\0');
	} else {
		append_cells(log, generation);
	}
	return fsmeta_buffer_append(&log->lines, &start, sizeof(start));
}

static void print_lines(const struct log *log)
{
	size_t count = log->lines.length / sizeof(size_t);
	size_t first = count > log->arguments->last ? count - log->arguments->last : 0;

	if (!log->arguments->json_lines)
		print_titles(log);
	for (size_t i = first; i < count; i++) {
		size_t start;

		memcpy(&start, log->lines.data + i * sizeof(start), sizeof(start));
		if (log->arguments->json_lines)
			puts((const char *)log->text.data + start);
		else
			print_cells(log, (const char *)log->text.data + start);
	}
}

static int print_log(const struct log_arguments *arguments, struct fsmeta_operand *operand,
    struct fsmeta_error *error)
{
	struct log log = {.arguments = arguments};
	int status = fsmeta_operand_open_database(operand, arguments->db, error);

	if (status < 0)
		return status;
	for (int column = 0; column < COLUMN_NOTES; column++)
		log.widths[column] = strlen(titles[column]);
	status = fsmeta_db_each_generation(operand->db, error, take_generation, &log);
	if (status == FSMETA_E_MEMORY)
		fsmeta_error_set_memory(error, action);
	if (status >= 0) {
		print_lines(&log);
		status = fsmeta_flush_output(error);
	}
	fsmeta_buffer_release(&log.text);
	fsmeta_buffer_release(&log.lines);
	return status;
}

int fsmeta_command_log(int argc, char **argv)
{
	struct log_arguments arguments = {.last = SIZE_MAX};
	struct fsmeta_operand operand;
	struct fsmeta_error error;
	int status;

	fsmeta_error_clear(&error);
	fsmeta_arguments(&argp, argc, argv, &arguments);
	status = print_log(&arguments, &operand, &error);
	fsmeta_operand_release(&operand);
	return status < 0 ? fsmeta_report(&error) : FSMETA_EXIT_OK;
}
