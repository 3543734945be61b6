/*
 * An output collects the lines that its format writes and hands them to its stream
 * in large pieces.  What a line looks like is in a file for each format (output_text.c, …),
 * what they share in output_line.c.
 */
#include "tools/output_line.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	/** Lines are written out when so much has been collected. */
	FLUSH_BYTES = 128 << 10,
};

static const char action[] = "writing";

static const struct {
	const char *name;
	const struct fsmeta_output_writer *writer;
} formats[] = {
    [FSMETA_OUTPUT_TEXT] = {"text", &fsmeta_output_text},
    [FSMETA_OUTPUT_JSONL] = {"jsonl", &fsmeta_output_json},
    [FSMETA_OUTPUT_CSV] = {"csv", &fsmeta_output_csv},
    [FSMETA_OUTPUT_MTREE] = {"mtree", &fsmeta_output_mtree},
    [FSMETA_OUTPUT_NCDU] = {"ncdu", &fsmeta_output_ncdu},
};

bool fsmeta_output_format_parse(enum fsmeta_output_format *out, const char *name, uint32_t allowed)
{
	for (unsigned i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		if (strcmp(name, formats[i].name) == 0 && allowed & 1u << i) {
			*out = (enum fsmeta_output_format)i;
			return true;
		}
	}
	return false;
}

void fsmeta_output_format_take(
    enum fsmeta_output_format *out, const char *text, uint32_t allowed, struct argp_state *state)
{
	char names[64] = "";

	if (fsmeta_output_format_parse(out, text, allowed))
		return;
	if (allowed == FSMETA_OUTPUT_LINES) {
		argp_error(state, "--format: '%s' is neither text nor jsonl", text);
		return;
	}
	for (unsigned i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		size_t length = strlen(names);

		if (allowed & 1u << i)
			snprintf(names + length, sizeof(names) - length, "%s%s", length ? ", " : "",
			    formats[i].name);
	}
	argp_error(state, "--format: '%s' is none of %s", text, names);
}

void fsmeta_output_check_null(
    enum fsmeta_output_format format, uint32_t flags, struct argp_state *state)
{
	if (flags & FSMETA_OUTPUT_NULL && format != FSMETA_OUTPUT_TEXT)
		argp_error(state, "--null writes raw paths, and no %s", formats[format].name);
}

bool fsmeta_output_colours_parse(bool *out, const char *when, FILE *stream)
{
	const char *forbidden = getenv("NO_COLOR"), *terminal = getenv("TERM");
	int descriptor = fileno(stream);

	if (strcmp(when, "auto") == 0)
		*out = descriptor >= 0 && isatty(descriptor) && !(forbidden && *forbidden) &&
		       terminal && strcmp(terminal, "dumb") != 0;
	else if (strcmp(when, "always") == 0 || strcmp(when, "never") == 0)
		*out = *when == 'a';
	else
		return false;
	return true;
}

static const struct fsmeta_output_writer *choose_writer(
    enum fsmeta_output_format format, uint32_t flags)
{
	if (format == FSMETA_OUTPUT_TEXT && flags & FSMETA_OUTPUT_NULL)
		return &fsmeta_output_raw;
	return formats[format].writer;
}

int fsmeta_output_new(struct fsmeta_output **out, FILE *stream, enum fsmeta_output_format format,
    uint32_t flags, const struct fsmeta_batch_source *source, struct fsmeta_error *error)
{
	struct fsmeta_output *output = calloc(1, sizeof(*output));
	int descriptor = fileno(stream);

	*out = NULL;
	if (!output)
		return fsmeta_error_set_memory(error, action);
	output->stream = stream;
	output->writer = choose_writer(format, flags);
	output->newer_only = flags & FSMETA_OUTPUT_NEWER_ONLY;
	output->dated = flags & FSMETA_OUTPUT_DATED;
	output->colours = flags & FSMETA_OUTPUT_COLOURS;
	output->shows_inside = output->writer->shows_inside || flags & FSMETA_OUTPUT_ALL;
	output->newer = source;
	output->flush_bytes = descriptor >= 0 && isatty(descriptor) ? 1 : FLUSH_BYTES;
	*out = output;
	return 0;
}

/** Hands the collected lines to the stream. */
static int write_lines(struct fsmeta_output *output, struct fsmeta_error *error)
{
	size_t length = output->lines.length;

	fsmeta_buffer_clear(&output->lines);
	errno = 0;
	if (length && fwrite(output->lines.data, 1, length, output->stream) != length)
		return fsmeta_error_set_errno(error, errno ? errno : EIO, NULL, action);
	return 0;
}

static int flush(struct fsmeta_output *output, struct fsmeta_error *error)
{
	int code = write_lines(output, error);

	errno = 0;
	if (!code && fflush(output->stream))
		code = fsmeta_error_set_errno(error, errno ? errno : EIO, NULL, action);
	return code;
}

/** Makes room for a line, behind what stands in front of the first one. */
static int begin_line(struct fsmeta_output *output)
{
	int failed = 0;

	if (!output->has_begun && output->writer->begin)
		failed = output->writer->begin(output);
	output->has_begun = true;
	return failed | fsmeta_buffer_reserve(&output->lines, FSMETA_LINE_FIXED_BYTES);
}

int fsmeta_output_finish(struct fsmeta_output *output, struct fsmeta_error *error)
{
	int failed = begin_line(output);

	if (!failed && output->writer->end)
		failed = output->writer->end(output);
	return failed ? fsmeta_error_set_memory(error, action) : flush(output, error);
}

/** Behind each line: out with them, if there are enough. */
static int line_is_done(struct fsmeta_output *output, int failed, struct fsmeta_error *error)
{
	if (failed)
		return fsmeta_error_set_memory(error, action);
	if (output->lines.length < output->flush_bytes)
		return 0;
	if (output->flush_bytes == 1)
		return flush(output, error);
	return write_lines(output, error);
}

int fsmeta_output_entry(
    struct fsmeta_output *output, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	int failed = begin_line(output);

	if (!failed)
		failed = output->writer->entry(output, entry);
	return line_is_done(output, failed, error);
}

int fsmeta_output_usage(struct fsmeta_output *output, const struct fsmeta_output_usage *usage,
    struct fsmeta_error *error)
{
	int failed;

	output->rows = FSMETA_LINE_USAGES;
	failed = begin_line(output);
	if (!failed)
		failed = output->writer->usage(output, usage);
	return line_is_done(output, failed, error);
}

static bool is_shown(const struct fsmeta_output *output, const struct fsmeta_change *change)
{
	if (change->flags & FSMETA_CHANGE_CONTINUED || !fsmeta_change_kind_name(change->kind))
		return false;
	return output->shows_inside || !(change->flags & FSMETA_CHANGE_INSIDE);
}

/** NULL is no text. */
static int insert_text(struct fsmeta_buffer *lines, size_t at, const char *text)
{
	size_t length = text ? strlen(text) : 0;

	if (!length)
		return 0;
	if (fsmeta_buffer_reserve(lines, length))
		return FSMETA_E_MEMORY;
	memmove(lines->data + at + length, lines->data + at, lines->length - at);
	memcpy(lines->data + at, text, length);
	lines->length += length;
	return 0;
}

/** Adds what is said besides to the line at `start`: keys behind its brace, or text around it. */
static int add_context(struct fsmeta_output *output, size_t start)
{
	const struct fsmeta_output_context *context = &output->context;

	switch (output->writer->context) {
	case FSMETA_LINE_NO_CONTEXT:
		return 0;
	case FSMETA_LINE_JSON_CONTEXT:
		/* Behind the last key are the brace and the end of the line. */
		return insert_text(&output->lines, output->lines.length - 2, context->json_after) |
		       insert_text(&output->lines, start + 1, context->json);
	case FSMETA_LINE_TEXT_CONTEXT:
		return insert_text(&output->lines, output->lines.length - 1, context->after) |
		       insert_text(&output->lines, start, context->before);
	}
	return 0;
}

static int take_change(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct fsmeta_output *output = (struct fsmeta_output *)sink;
	size_t start;
	int failed;

	if (!is_shown(output, change))
		return 0;
	failed = begin_line(output);
	start = output->lines.length;
	if (!failed)
		failed = output->writer->change(output, change);
	if (!failed)
		failed = add_context(output, start);
	return line_is_done(output, failed, error);
}

int fsmeta_output_known(struct fsmeta_output *output, const struct fsmeta_entry *entry,
    uint64_t unknown_since, struct fsmeta_error *error)
{
	int failed = begin_line(output);
	size_t start = output->lines.length;

	if (!failed)
		failed = output->writer->known(output, entry, unknown_since);
	if (!failed)
		failed = add_context(output, start);
	return line_is_done(output, failed, error);
}

void fsmeta_output_set_context(
    struct fsmeta_output *output, const struct fsmeta_output_context *context)
{
	output->context = *context;
}

struct fsmeta_change_sink *fsmeta_output_change_sink(
    struct fsmeta_output *output, const struct fsmeta_batch_source *older)
{
	output->older = older;
	output->rows = FSMETA_LINE_CHANGES;
	output->sink.change = take_change;
	return &output->sink;
}

void fsmeta_output_free(struct fsmeta_output *output)
{
	if (!output)
		return;
	if (output->writer->release)
		output->writer->release(output);
	fsmeta_buffer_release(&output->lines);
	fsmeta_buffer_release(&output->scratch);
	free(output);
}
