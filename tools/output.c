/*
 * An output collects the lines that its format writes and hands them to its stream
 * in large pieces.  What a line looks like is in output_text.c and output_json.c,
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

bool fsmeta_output_format_parse(enum fsmeta_output_format *out, const char *name)
{
	if (strcmp(name, "text") == 0)
		*out = FSMETA_OUTPUT_TEXT;
	else if (strcmp(name, "jsonl") == 0)
		*out = FSMETA_OUTPUT_JSONL;
	else
		return false;
	return true;
}

static const struct fsmeta_output_writer *choose_writer(
    enum fsmeta_output_format format, uint32_t flags)
{
	if (format == FSMETA_OUTPUT_JSONL)
		return &fsmeta_output_json;
	return flags & FSMETA_OUTPUT_NULL ? &fsmeta_output_raw : &fsmeta_output_text;
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

int fsmeta_output_finish(struct fsmeta_output *output, struct fsmeta_error *error)
{
	int code = write_lines(output, error);

	errno = 0;
	if (!code && fflush(output->stream))
		code = fsmeta_error_set_errno(error, errno ? errno : EIO, NULL, action);
	return code;
}

/** Behind each line: out with them, if there are enough. */
static int line_is_done(struct fsmeta_output *output, int failed, struct fsmeta_error *error)
{
	if (failed)
		return fsmeta_error_set_memory(error, action);
	if (output->lines.length < output->flush_bytes)
		return 0;
	if (output->flush_bytes == 1)
		return fsmeta_output_finish(output, error);
	return write_lines(output, error);
}

int fsmeta_output_entry(
    struct fsmeta_output *output, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	int failed = fsmeta_buffer_reserve(&output->lines, FSMETA_LINE_FIXED_BYTES);

	if (!failed)
		failed = output->writer->entry(output, entry);
	return line_is_done(output, failed, error);
}

static bool is_shown(const struct fsmeta_output *output, const struct fsmeta_change *change)
{
	if (change->flags & FSMETA_CHANGE_CONTINUED || !fsmeta_change_kind_name(change->kind))
		return false;
	return output->shows_inside || !(change->flags & FSMETA_CHANGE_INSIDE);
}

/** Makes room for a line, which begins with its context. */
static int begin_line(struct fsmeta_output *output)
{
	const char *before = output->context.before;

	if (before && !output->writer->is_json && fsmeta_buffer_append_text(&output->lines, before))
		return FSMETA_E_MEMORY;
	return fsmeta_buffer_reserve(&output->lines, FSMETA_LINE_FIXED_BYTES);
}

/** Puts the context's keys behind the brace at `start`, or its end in front of the line's. */
static int add_context(struct fsmeta_output *output, size_t start)
{
	struct fsmeta_buffer *lines = &output->lines;
	const char *text = output->writer->is_json ? output->context.json : output->context.after;
	size_t at = output->writer->is_json ? start + 1 : lines->length - 1;
	size_t length = text ? strlen(text) : 0;

	if (fsmeta_buffer_reserve(lines, length))
		return FSMETA_E_MEMORY;
	memmove(lines->data + at + length, lines->data + at, lines->length - at);
	if (length)
		memcpy(lines->data + at, text, length);
	lines->length += length;
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
	start = output->lines.length;
	failed = begin_line(output);
	if (!failed)
		failed = output->writer->change(output, change);
	if (!failed)
		failed = add_context(output, start);
	return line_is_done(output, failed, error);
}

int fsmeta_output_known(struct fsmeta_output *output, const struct fsmeta_entry *entry,
    uint64_t unknown_since, struct fsmeta_error *error)
{
	size_t start = output->lines.length;
	int failed = begin_line(output);

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
	output->sink.change = take_change;
	return &output->sink;
}

void fsmeta_output_free(struct fsmeta_output *output)
{
	if (!output)
		return;
	fsmeta_buffer_release(&output->lines);
	fsmeta_buffer_release(&output->scratch);
	free(output);
}
