/*
 * fsmeta lookup: single entries of a stream by path or by id, without reading all of it.
 *
 * That something is not there is an answer, not a failure: exit status 1, a word on
 * stderr that says what, and the other ones asked for are printed all the same.
 */
#include "format/lookup.h"
#include "tools/command.h"
#include "tools/operand.h"
#include "tools/output.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum option_key {
	OPTION_FORMAT = 0x100,
	OPTION_ID,
};

struct lookup_arguments {
	const char *operand;
	/** What to look for, as typed; they point into argv. */
	char **words;
	int word_count;
	/** They are ids, not paths. */
	bool by_id;
	enum fsmeta_output_format format;
	bool null_terminated;
};

static const struct argp_option options[] = {
    {"id", OPTION_ID, NULL, 0, "By id: stable ones, or else positions in the stream, from 1", 1},
    {"format", OPTION_FORMAT, "FORMAT", 0, "text (default), jsonl or csv", 1},
    {"null", '0', NULL, 0, "Raw paths, each ended by a NUL byte", 1},
    {0},
};

static bool parse_id(uint64_t *out, const char *text)
{
	uint64_t value = 0;

	if (!*text)
		return false;
	for (; *text; text++)
		if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return false;
	*out = value;
	return value > 0;
}

/** Behind all options, so that --id may stand anywhere. */
static void check_words(struct lookup_arguments *arguments, struct argp_state *state)
{
	for (int i = 0; i < arguments->word_count; i++) {
		uint64_t id;

		if (arguments->by_id && !parse_id(&id, arguments->words[i]))
			argp_error(state, "'%s' is no id: a number from 1 on", arguments->words[i]);
	}
}

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct lookup_arguments *arguments = state->input;

	switch (key) {
	case OPTION_ID:
		arguments->by_id = true;
		return 0;
	case OPTION_FORMAT:
		fsmeta_output_format_take(&arguments->format, text, FSMETA_OUTPUT_CHANGES, state);
		return 0;
	case '0':
		arguments->null_terminated = true;
		return 0;
	case ARGP_KEY_ARGS:
		arguments->operand = state->argv[state->next];
		arguments->words = state->argv + state->next + 1;
		arguments->word_count = state->argc - state->next - 1;
		return 0;
	case ARGP_KEY_END:
		if (!arguments->operand)
			argp_error(state, "in which stream?");
		if (!arguments->word_count)
			argp_error(state, "look up what? A PATH, or with --id an ID");
		check_words(arguments, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {options, parse_option, "STREAM PATH...\nSTREAM --id ID...",
    "Print single entries of STREAM (a folder or a bare .fss file) as ls does, without reading "
    "all of it.\vPaths are relative to the root, which is '.'. Exit status 1 where something is "
    "not there. A paths.idx beside the stream (scan --index) says so without decoding anything.",
    NULL, NULL, NULL};

/** 1 with *entry, 0 where there is none, or a code. */
static int look_up(const struct lookup_arguments *arguments, struct fsmeta_lookup *lookup,
    char *word, const struct fsmeta_entry **entry, struct fsmeta_error *error)
{
	const char *path;
	uint64_t id;

	if (arguments->by_id && parse_id(&id, word))
		return fsmeta_lookup_id(lookup, id, entry, error);
	path = fsmeta_operand_inner_path(word);
	if (!path)
		return fsmeta_error_set(error, FSMETA_E_USAGE, word, "looking up",
		    "a path is relative to the root, without '..'");
	return fsmeta_lookup_path(lookup, path, strlen(path), entry, error);
}

/** Prints what is there; *missing is set where something is not. */
static int look_up_all(const struct lookup_arguments *arguments, struct fsmeta_lookup *lookup,
    struct fsmeta_output *output, bool *missing, struct fsmeta_error *error)
{
	for (int i = 0; i < arguments->word_count; i++) {
		const struct fsmeta_entry *entry;
		int status = look_up(arguments, lookup, arguments->words[i], &entry, error);

		if (status == 0) {
			fsmeta_note(arguments->words[i], "not in %s", arguments->operand);
			*missing = true;
		} else if (status == 1) {
			status = fsmeta_output_entry(output, entry, error);
		}
		if (status < 0)
			return status;
	}
	return fsmeta_output_finish(output, error);
}

static int open_lookup(struct fsmeta_lookup **out, const struct lookup_arguments *arguments,
    struct fsmeta_operand *operand, struct fsmeta_error *error)
{
	struct fsmeta_error ignored;
	int status;

	if (operand->kind == FSMETA_OPERAND_STREAM_PIPE)
		return fsmeta_error_set(error, FSMETA_E_REFUSED, operand->path, "looking up",
		    "a pipe can only be read from its beginning");
	if (operand->kind != FSMETA_OPERAND_STREAM_FOLDER &&
	    operand->kind != FSMETA_OPERAND_STREAM_FILE)
		return fsmeta_error_set(error, FSMETA_E_FOREIGN, arguments->operand, "looking up",
		    "it is no stream (fsmeta ls OPERAND PATH lists in any operand)");
	status = fsmeta_lookup_open(out, operand->path, &ignored, error);
	if (!status && ignored.code)
		fsmeta_note(ignored.path, "not used: %s", ignored.reason);
	return status;
}

static int lookup(const struct lookup_arguments *arguments, struct fsmeta_error *error)
{
	struct fsmeta_lookup *lookup = NULL;
	struct fsmeta_output *output = NULL;
	const struct fsmeta_error *damage;
	struct fsmeta_operand operand;
	bool missing = false;
	int status;

	status = fsmeta_operand_parse(&operand, arguments->operand, error);
	if (status >= 0)
		status = open_lookup(&lookup, arguments, &operand, error);
	if (status >= 0)
		status = fsmeta_output_new(&output, stdout, arguments->format,
		    arguments->null_terminated ? FSMETA_OUTPUT_NULL : 0,
		    fsmeta_lookup_source(lookup), error);
	if (status >= 0)
		status = look_up_all(arguments, lookup, output, &missing, error);
	damage = lookup ? fsmeta_lookup_index_damage(lookup) : NULL;
	if (damage)
		fsmeta_note(damage->path, "not used: %s", damage->reason);
	fsmeta_output_free(output);
	fsmeta_lookup_close(lookup);
	fsmeta_operand_release(&operand);
	if (status < 0)
		return status;
	return missing ? FSMETA_EXIT_CHANGES : FSMETA_EXIT_OK;
}

int fsmeta_command_lookup(int argc, char **argv)
{
	struct lookup_arguments arguments = {0};
	struct fsmeta_error error;
	int status;

	fsmeta_error_clear(&error);
	fsmeta_arguments(&argp, argc, argv, &arguments);
	status = lookup(&arguments, &error);
	return status < 0 ? fsmeta_report(&error) : status;
}
