/*
 * fsmeta log: the generations of a database, oldest first.
 */
#include "db/db.h"
#include "tools/command.h"
#include "tools/operand.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum option_key {
	OPTION_FORMAT = 0x100,
};

struct log_arguments {
	const char *db;
	bool json_lines;
};

static const struct argp_option options[] = {
    {"format", OPTION_FORMAT, "FORMAT", 0, "text (default) or jsonl", 1},
    {0},
};

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct log_arguments *arguments = state->input;

	switch (key) {
	case OPTION_FORMAT:
		if (strcmp(text, "jsonl") != 0 && strcmp(text, "text") != 0)
			argp_error(state, "--format: '%s' is neither text nor jsonl", text);
		arguments->json_lines = strcmp(text, "jsonl") == 0;
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
    "List the generations of the FsMetaDb DB, oldest first: when, how much, what changed.", NULL,
    NULL, NULL};

static double duration_seconds(const struct fsmeta_batch_source *source)
{
	return (double)(source->finished.seconds - source->started.seconds) +
	       ((double)source->finished.nanoseconds - (double)source->started.nanoseconds) / 1e9;
}

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

	if (!time.seconds && !time.nanoseconds)
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
	append_json_bool(line, "partial", fsmeta_batch_source_is_partial(source));
	append_json_bool(line, "quick", source->quick);
	append_json_bool(line, "pruned", generation->pruned);
	if (source->has_state_digest) {
		fsmeta_digest_format(digest, source->state_digest);
		append_json_text(line, "state_digest", digest);
	}
	fsmeta_buffer_append_text(line, "}\n");
}

/* A column of `width`, right-aligned; ASCII only. */
static void append_column(
    struct fsmeta_buffer *line, const struct fsmeta_buffer *text, size_t width)
{
	size_t i;

	for (i = text->length; i < width; i++)
		fsmeta_buffer_append_byte(line, ' ');
	fsmeta_buffer_append(line, text->data, text->length);
}

static void append_count_column(struct fsmeta_buffer *line, uint64_t count, size_t width)
{
	struct fsmeta_buffer text;

	fsmeta_buffer_init(&text);
	fsmeta_text_append_count(&text, count);
	append_column(line, &text, width);
	fsmeta_buffer_release(&text);
}

static void append_size_column(struct fsmeta_buffer *line, uint64_t bytes, size_t width)
{
	struct fsmeta_buffer text;

	fsmeta_buffer_init(&text);
	fsmeta_text_append_size(&text, bytes);
	append_column(line, &text, width);
	fsmeta_buffer_release(&text);
}

static void append_notes(struct fsmeta_buffer *line, const struct fsmeta_db_generation *generation)
{
	const struct fsmeta_totals *totals = &generation->source.totals;

	if (totals->unreadable)
		fsmeta_buffer_append_format(line, "  %" PRIu64 " unreadable", totals->unreadable);
	if (totals->carried)
		fsmeta_buffer_append_format(line, "  %" PRIu64 " carried", totals->carried);
	if (generation->source.quick)
		fsmeta_buffer_append_text(line, "  quick");
	if (generation->pruned)
		fsmeta_buffer_append_text(line, "  pruned");
}

static void append_text(struct fsmeta_buffer *line, const struct fsmeta_db_generation *generation)
{
	const struct fsmeta_batch_source *source = &generation->source;
	char finished[FSMETA_TIME_TEXT_BYTES];

	fsmeta_time_format(finished, source->finished);
	fsmeta_buffer_append_format(
	    line, "%5" PRIu64 "  %.10s %.8s", generation->number, finished, finished + 11);
	fsmeta_buffer_append_format(line, " %8.1f s", duration_seconds(source));
	append_count_column(line, source->totals.entries, 13);
	append_size_column(line, source->totals.bytes, 11);
	append_count_column(line, generation->added, 11);
	append_count_column(line, generation->removed, 11);
	append_count_column(line, generation->modified, 11);
	append_notes(line, generation);
	fsmeta_buffer_append_byte(line, '\n');
}

static int print_generation(const struct fsmeta_db_generation *generation, void *payload)
{
	const struct log_arguments *arguments = payload;
	struct fsmeta_buffer line;

	fsmeta_buffer_init(&line);
	if (arguments->json_lines)
		append_json(&line, generation);
	else
		append_text(&line, generation);
	fwrite(line.data, 1, line.length, stdout);
	fsmeta_buffer_release(&line);
	return 0;
}

static int print_log(
    struct log_arguments *arguments, struct fsmeta_operand *operand, struct fsmeta_error *error)
{
	int status = fsmeta_operand_parse(operand, arguments->db, error);

	if (status < 0)
		return status;
	if (operand->kind != FSMETA_OPERAND_DATABASE)
		return fsmeta_error_set(error, FSMETA_E_USAGE, operand->path, "listing generations",
		    "only a database has generations");
	status = fsmeta_db_open(&operand->db, operand->path, FSMETA_DB_READ, error);
	if (status < 0)
		return status;
	if (!arguments->json_lines)
		printf("    #  finished (UTC)       duration      entries       size      added"
		       "    removed   modified\n");
	status = fsmeta_db_each_generation(operand->db, error, print_generation, arguments);
	return status < 0 ? status : fsmeta_flush_output(error);
}

int fsmeta_command_log(int argc, char **argv)
{
	struct log_arguments arguments = {.db = NULL};
	struct fsmeta_operand operand;
	struct fsmeta_error error;
	int status;

	fsmeta_error_clear(&error);
	fsmeta_arguments(&argp, argc, argv, &arguments);
	status = print_log(&arguments, &operand, &error);
	fsmeta_operand_release(&operand);
	return status < 0 ? fsmeta_report(&error) : FSMETA_EXIT_OK;
}
