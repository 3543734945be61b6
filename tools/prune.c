/*
 * fsmeta prune: take generations out of a database that a policy does not keep.
 *
 * What is decided is printed first, a line a generation, then it is done, and a
 * closing line says what came of it.  A dry run leaves out the doing.
 */
#include "db/prune.h"
#include "tools/command.h"
#include "tools/keep.h"
#include "tools/operand.h"
#include "tools/output.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum option_key {
	/** One for each rule, in their order. */
	OPTION_KEEP = 0x100,
	OPTION_FORMAT = OPTION_KEEP + FSMETA_KEEP_RULES,
};

struct prune_arguments {
	const char *db;
	struct fsmeta_keep_policy policy;
	bool dry_run;
	bool json_lines;
};

static const struct argp_option options[] = {
    {"keep-last", OPTION_KEEP + FSMETA_KEEP_LAST, "N", 0, "Keep the newest N generations", 1},
    {"keep-daily", OPTION_KEEP + FSMETA_KEEP_DAILY, "N", 0,
	"Keep the newest generation of each of the last N days that have one (UTC)", 1},
    {"keep-weekly", OPTION_KEEP + FSMETA_KEEP_WEEKLY, "N", 0, "The same for weeks, from Monday on",
	1},
    {"keep-monthly", OPTION_KEEP + FSMETA_KEEP_MONTHLY, "N", 0, "The same for months", 1},
    {"keep-yearly", OPTION_KEEP + FSMETA_KEEP_YEARLY, "N", 0, "The same for years", 1},
    {"keep-within", OPTION_KEEP + FSMETA_KEEP_WITHIN, "DURATION", 0,
	"Keep all that were finished so long before the newest: 48h, 30d, 8w, 6m (31 days each), "
	"2y (365 days each)",
	1},
    {"dry-run", 'n', NULL, 0, "Tell what would be removed, and change nothing", 2},
    {"format", OPTION_FORMAT, "FORMAT", 0, "text (default) or jsonl", 2},
    {0},
};

static void parse_keep(
    struct prune_arguments *arguments, int rule, const char *text, struct argp_state *state)
{
	uint64_t *count = &arguments->policy.counts[rule];

	if (rule == FSMETA_KEEP_WITHIN && !fsmeta_keep_parse_duration(count, text))
		argp_error(state,
		    "--keep-within: '%s' is no duration, as 48h, 30d, 8w, 6m or 2y are", text);
	else if (rule != FSMETA_KEEP_WITHIN && !fsmeta_keep_parse_count(count, text))
		argp_error(
		    state, "--keep-%s: '%s' is no number", fsmeta_keep_rule_names[rule], text);
}

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct prune_arguments *arguments = state->input;
	enum fsmeta_output_format format;

	if (key >= OPTION_KEEP && key < OPTION_KEEP + FSMETA_KEEP_RULES) {
		parse_keep(arguments, key - OPTION_KEEP, text, state);
		return 0;
	}
	switch (key) {
	case 'n':
		arguments->dry_run = true;
		return 0;
	case OPTION_FORMAT:
		fsmeta_output_format_take(&format, text, FSMETA_OUTPUT_LINES, state);
		arguments->json_lines = format == FSMETA_OUTPUT_JSONL;
		return 0;
	case ARGP_KEY_ARG:
		if (arguments->db)
			argp_error(state, "one database at a time, and '%s' is the second", text);
		arguments->db = text;
		return 0;
	case ARGP_KEY_END:
		if (!arguments->db)
			argp_error(state, "which database?");
		else if (!fsmeta_keep_policy_is_any(&arguments->policy))
			argp_error(state, "what is to be kept? --keep-last 10, for example");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {options, parse_option, "DB",
    "Remove from the FsMetaDb DB the generations that no --keep option keeps, and give the space "
    "back to the file system. The newest generation always stays; the list of generations (log) "
    "remembers those that were removed."
    "\vExit status 2 means that the generations were removed, and the space stays inside the "
    "file for coming ones, because there was no room to rewrite it.",
    NULL, NULL, NULL};

/* ---- what is decided ------------------------------------------------------------ */

static int note_generation(const struct fsmeta_db_generation *generation, void *payload)
{
	struct fsmeta_buffer *list = payload;
	const struct fsmeta_keep_generation item = {
	    .number = generation->number,
	    .finished = generation->source.finished,
	};

	return generation->pruned ? 0 : fsmeta_buffer_append(list, &item, sizeof(item));
}

static size_t length_of(const struct fsmeta_buffer *list)
{
	return list->length / sizeof(struct fsmeta_keep_generation);
}

/** Fills `list` with the generations and what is to become of each. */
static int decide(struct fsmeta_buffer *list, struct fsmeta_db *db,
    const struct fsmeta_keep_policy *policy, struct fsmeta_error *error)
{
	int code = fsmeta_db_each_generation(db, error, note_generation, list);

	if (code == FSMETA_E_MEMORY)
		code = fsmeta_error_set_memory(error, "pruning generations");
	if (!code)
		fsmeta_keep_decide(
		    (struct fsmeta_keep_generation *)(void *)list->data, length_of(list), policy);
	return code;
}

/** "last, daily", or with quotes for JSON. */
static void append_reasons(
    struct fsmeta_buffer *line, uint32_t reasons, const char *quote, const char *separator)
{
	const char *before = "";

	for (int rule = 0; rule < FSMETA_KEEP_RULES; rule++) {
		if (!(reasons & (uint32_t)1 << rule))
			continue;
		fsmeta_buffer_append_format(
		    line, "%s%s%s%s", before, quote, fsmeta_keep_rule_names[rule], quote);
		before = separator;
	}
}

static void append_json(struct fsmeta_buffer *line, const struct fsmeta_keep_generation *item)
{
	char finished[FSMETA_TIME_TEXT_BYTES];

	fsmeta_time_format(finished, item->finished);
	fsmeta_buffer_append_format(line,
	    "{\"generation\":%" PRIu64 ",\"finished\":\"%s\",\"keep\":%s,\"reasons\":[",
	    item->number, finished, item->keep ? "true" : "false");
	append_reasons(line, item->reasons, "\"", ",");
	fsmeta_buffer_append_text(line, "]}\n");
}

static void append_text(struct fsmeta_buffer *line, const struct fsmeta_keep_generation *item)
{
	char finished[FSMETA_TIME_TEXT_BYTES];

	fsmeta_time_format(finished, item->finished);
	fsmeta_buffer_append_format(line, "%5" PRIu64 "  %.10s %.8s  %s", item->number, finished,
	    finished + 11, item->keep ? "keep    " : "remove");
	append_reasons(line, item->reasons, "", ", ");
	fsmeta_buffer_append_byte(line, '\n');
}

static void print_decision(const struct fsmeta_buffer *list, bool json_lines)
{
	const struct fsmeta_keep_generation *items =
	    (const struct fsmeta_keep_generation *)(const void *)list->data;
	struct fsmeta_buffer lines;

	fsmeta_buffer_init(&lines);
	if (!json_lines)
		fsmeta_buffer_append_text(&lines, "    #  finished (UTC)       keep or remove\n");
	for (size_t i = 0; i < length_of(list); i++) {
		if (json_lines)
			append_json(&lines, &items[i]);
		else
			append_text(&lines, &items[i]);
	}
	fwrite(lines.data, 1, lines.length, stdout);
	fsmeta_buffer_release(&lines);
}

/* ---- what came of it --------------------------------------------------------------- */

struct outcome {
	uint64_t kept;
	uint64_t removed;
	bool dry_run;
	struct fsmeta_db_space space;
};

static void append_outcome_json(struct fsmeta_buffer *line, const struct outcome *outcome)
{
	fsmeta_buffer_append_format(line,
	    "{\"kept\":%" PRIu64 ",\"removed\":%" PRIu64 ",\"dry_run\":%s,\"bytes_before\":%" PRIu64
	    ",\"bytes_after\":%" PRIu64 ",\"bytes_free\":%" PRIu64 "}\n",
	    outcome->kept, outcome->removed, outcome->dry_run ? "true" : "false",
	    outcome->space.bytes_before, outcome->space.bytes_after, outcome->space.free_bytes);
}

static void append_outcome_text(struct fsmeta_buffer *line, const struct outcome *outcome)
{
	const struct fsmeta_db_space *space = &outcome->space;

	fsmeta_text_append_count(line, outcome->kept);
	fsmeta_buffer_append_text(line, outcome->kept == 1 ? " generation " : " generations ");
	fsmeta_buffer_append_text(line, outcome->dry_run ? "would stay, " : "kept, ");
	fsmeta_text_append_count(line, outcome->removed);
	fsmeta_buffer_append_text(line, outcome->dry_run ? " would be removed; " : " removed; ");
	fsmeta_text_append_size(line, space->bytes_after);
	if (outcome->dry_run) {
		fsmeta_buffer_append_text(line, " now, nothing was changed");
	} else {
		fsmeta_buffer_append_text(line, " left, ");
		fsmeta_text_append_size(line, space->bytes_before - space->bytes_after);
		fsmeta_buffer_append_text(line, " came back");
	}
	if (space->free_bytes && !outcome->dry_run) {
		fsmeta_buffer_append_text(line, ", ");
		fsmeta_text_append_size(line, space->free_bytes);
		fsmeta_buffer_append_text(line, " inside are free");
	}
	fsmeta_buffer_append_byte(line, '\n');
}

static void print_outcome(const struct outcome *outcome, bool json_lines)
{
	struct fsmeta_buffer line;

	fsmeta_buffer_init(&line);
	if (json_lines)
		append_outcome_json(&line, outcome);
	else
		append_outcome_text(&line, outcome);
	fwrite(line.data, 1, line.length, stdout);
	fsmeta_buffer_release(&line);
}

/* ---- doing it ------------------------------------------------------------------------ */

static int remove_generations(
    struct fsmeta_db *db, const struct fsmeta_buffer *list, struct fsmeta_error *error)
{
	const struct fsmeta_keep_generation *items =
	    (const struct fsmeta_keep_generation *)(const void *)list->data;
	struct fsmeta_buffer numbers = {0};
	struct fsmeta_db_pruned pruned;
	int code = 0;

	for (size_t i = 0; i < length_of(list) && !code; i++)
		if (!items[i].keep)
			code = fsmeta_buffer_append(
			    &numbers, &items[i].number, sizeof(items[i].number));
	if (code)
		code = fsmeta_error_set_memory(error, "pruning generations");
	else if (numbers.length)
		code = fsmeta_db_prune(&pruned, db, (const uint64_t *)(void *)numbers.data,
		    numbers.length / sizeof(uint64_t), &fsmeta_stop_signal, error);
	fsmeta_buffer_release(&numbers);
	return code;
}

/** The generations are gone already, so that there is no room is no failure. */
static int give_back(struct outcome *outcome, struct fsmeta_db *db, struct fsmeta_error *error)
{
	int code = fsmeta_db_give_back(&outcome->space, db, &fsmeta_stop_signal, error);

	if (code != FSMETA_E_SYSTEM && code != FSMETA_E_BUSY && code != FSMETA_E_STOPPED)
		return code;
	fsmeta_note(error->path,
	    "%s: %s; the generations are removed, and the space they had is free inside the file "
	    "for coming ones (the next prune tries again)",
	    error->action, error->reason);
	return code == FSMETA_E_STOPPED ? code : FSMETA_EXIT_PARTIAL;
}

static int prune(const struct prune_arguments *arguments, struct fsmeta_db *db,
    struct fsmeta_buffer *list, struct fsmeta_error *error)
{
	struct outcome outcome = {.dry_run = arguments->dry_run};
	const struct fsmeta_keep_generation *items;
	int status = decide(list, db, &arguments->policy, error);

	if (status < 0)
		return status;
	items = (const struct fsmeta_keep_generation *)(const void *)list->data;
	for (size_t i = 0; i < length_of(list); i++)
		outcome.kept += items[i].keep;
	outcome.removed = length_of(list) - outcome.kept;
	print_decision(list, arguments->json_lines);
	if (arguments->dry_run) {
		status = fsmeta_db_get_space(&outcome.space, db, error);
	} else {
		status = remove_generations(db, list, error);
		if (status >= 0)
			status = give_back(&outcome, db, error);
	}
	if (status >= 0)
		print_outcome(&outcome, arguments->json_lines);
	return status;
}

static int prune_operand(const struct prune_arguments *arguments, struct fsmeta_operand *operand,
    struct fsmeta_error *error)
{
	struct fsmeta_buffer list = {0};
	int status = fsmeta_operand_parse(operand, arguments->db, error);

	if (status < 0)
		return status;
	if (operand->kind != FSMETA_OPERAND_DATABASE || operand->generation)
		return fsmeta_error_set(error, FSMETA_E_USAGE, operand->path, "pruning generations",
		    operand->generation ? "the --keep options say which generations"
					: "only a database has generations");
	status = fsmeta_db_open(&operand->db, operand->path,
	    arguments->dry_run ? FSMETA_DB_READ : FSMETA_DB_WRITE, error);
	if (status >= 0)
		status = prune(arguments, operand->db, &list, error);
	fsmeta_buffer_release(&list);
	return status;
}

int fsmeta_command_prune(int argc, char **argv)
{
	struct prune_arguments arguments = {.db = NULL};
	struct fsmeta_operand operand;
	struct fsmeta_error error;
	int status, flushed;

	fsmeta_error_clear(&error);
	fsmeta_arguments(&argp, argc, argv, &arguments);
	status = prune_operand(&arguments, &operand, &error);
	fsmeta_operand_release(&operand);
	if (status < 0) {
		fflush(stdout);
		return fsmeta_report(&error);
	}
	flushed = fsmeta_flush_output(&error);
	return flushed < 0 ? fsmeta_report(&error) : status;
}
