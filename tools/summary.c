#include "tools/summary.h"

#include "tools/command.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	/** Unreadable places that are named one by one. */
	UNREADABLE_SHOWN = 10,
};

static void append_totals(struct fsmeta_buffer *line, const struct fsmeta_totals *totals)
{
	fsmeta_text_append_count(line, totals->entries);
	fsmeta_buffer_append_text(line, totals->entries == 1 ? " entry (" : " entries (");
	fsmeta_text_append_count(line, totals->files);
	fsmeta_buffer_append_text(line, totals->files == 1 ? " file, " : " files, ");
	fsmeta_text_append_size(line, totals->bytes);
	fsmeta_buffer_append_text(line, ")");
}

static void append_duration(struct fsmeta_buffer *line, const struct fsmeta_batch_source *source)
{
	double seconds =
	    (double)(source->finished.seconds - source->started.seconds) +
	    ((double)source->finished.nanoseconds - (double)source->started.nanoseconds) / 1e9;

	if (source->finished.seconds && source->started.seconds && seconds >= 0)
		fsmeta_buffer_append_format(line, " in %.1f s", seconds);
}

static void append_partial(struct fsmeta_buffer *line, const struct fsmeta_batch_source *source)
{
	if (source->unreadable.total) {
		fsmeta_buffer_append_text(line, "; ");
		fsmeta_text_append_count(line, source->unreadable.total);
		fsmeta_buffer_append_text(line, " unreadable");
	}
	if (source->not_entered.total) {
		fsmeta_buffer_append_text(line, "; ");
		fsmeta_text_append_count(line, source->not_entered.total);
		fsmeta_buffer_append_text(line, source->not_entered.total == 1
						    ? " other file system not entered"
						    : " other file systems not entered");
	}
}

void fsmeta_print_stream_summary(const char *path, const struct fsmeta_batch_source *source,
    const struct fsmeta_stream_summary *summary, bool timed)
{
	struct fsmeta_buffer line;

	fsmeta_buffer_init(&line);
	append_totals(&line, &summary->totals);
	if (timed)
		append_duration(&line, source);
	fsmeta_buffer_append_text(&line, ", ");
	fsmeta_text_append_size(&line, summary->file_bytes);
	append_partial(&line, source);
	fsmeta_note(
	    strcmp(path, "-") == 0 ? "standard output" : path, "%s", fsmeta_buffer_string(&line));
	fsmeta_buffer_release(&line);
}

void fsmeta_print_delta_summary(
    const char *path, uint64_t since, uint64_t until, const struct fsmeta_delta_summary *summary)
{
	struct fsmeta_buffer line;

	fsmeta_buffer_init(&line);
	fsmeta_buffer_append_format(&line, "generation %" PRIu64 " to %" PRIu64 ": ", since, until);
	fsmeta_text_append_count(&line, summary->changes);
	fsmeta_buffer_append_text(&line, summary->changes == 1 ? " record, " : " records, ");
	fsmeta_text_append_size(&line, summary->file_bytes);
	fsmeta_note(
	    strcmp(path, "-") == 0 ? "standard output" : path, "%s", fsmeta_buffer_string(&line));
	fsmeta_buffer_release(&line);
}

void fsmeta_print_generation_summary(
    const char *path, const struct fsmeta_db_generation *generation)
{
	struct fsmeta_buffer line;

	fsmeta_buffer_init(&line);
	fsmeta_buffer_append_format(&line, "generation %" PRIu64 ": ", generation->number);
	append_totals(&line, &generation->source.totals);
	append_duration(&line, &generation->source);
	if (generation->base) {
		fsmeta_buffer_append_text(&line, "; ");
		fsmeta_text_append_count(&line, generation->added);
		fsmeta_buffer_append_text(&line, " added, ");
		fsmeta_text_append_count(&line, generation->removed);
		fsmeta_buffer_append_text(&line, " removed, ");
		fsmeta_text_append_count(&line, generation->modified);
		fsmeta_buffer_append_text(&line, " modified");
	}
	if (generation->base && generation->moved) {
		fsmeta_buffer_append_text(&line, ", ");
		fsmeta_text_append_count(&line, generation->moved);
		fsmeta_buffer_append_text(&line, " moved");
	}
	if (generation->source.totals.carried) {
		fsmeta_buffer_append_text(&line, "; ");
		fsmeta_text_append_count(&line, generation->source.totals.carried);
		fsmeta_buffer_append_text(&line, " carried unseen");
	}
	append_partial(&line, &generation->source);
	fsmeta_note(path, "%s", fsmeta_buffer_string(&line));
	fsmeta_buffer_release(&line);
}

void fsmeta_print_unreadable(const struct fsmeta_batch_source *source)
{
	const struct fsmeta_scope_list *list = &source->unreadable;
	size_t shown = list->count < UNREADABLE_SHOWN ? list->count : UNREADABLE_SHOWN;
	size_t i;

	for (i = 0; i < shown; i++) {
		const struct fsmeta_scope_root *root = &list->roots[i];

		fsmeta_note(root->path_length ? root->path : ".", "scanning: %s",
		    strerrordesc_np(root->error) ? strerrordesc_np(root->error) : "cannot be read");
	}
	if (list->total > shown)
		fsmeta_note(NULL, "and %" PRIu64 " more could not be read", list->total - shown);
}

bool fsmeta_percent_parse(double *out, const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || !isfinite(value) || value < 0 || value > 100)
		return false;
	if (*end == '%')
		end++;
	*out = value;
	return *end == '\0';
}

/** What the letters behind a number multiply it by, 0 = they are no unit. */
static uint64_t size_unit(const char *text)
{
	static const char letters[] = "kmgtpe";
	const char *letter;
	uint64_t base, unit = 1;

	if (!*text || strcasecmp(text, "B") == 0)
		return 1;
	letter = strchr(letters, tolower((unsigned char)*text));
	if (!letter)
		return 0;
	if (!text[1] || strcasecmp(text + 1, "iB") == 0)
		base = 1024;
	else if (strcasecmp(text + 1, "B") == 0)
		base = 1000;
	else
		return 0;
	for (; letter >= letters; letter--)
		unit *= base;
	return unit;
}

bool fsmeta_size_parse(uint64_t *out, const char *text)
{
	uint64_t unit;
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || errno)
		return false;
	unit = size_unit(end);
	return unit && !__builtin_mul_overflow(*out, unit, out);
}
