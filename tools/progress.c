#include "tools/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	/** Milliseconds between two lines. */
	LINE_MS = 200,
};

struct progress_cursor {
	struct fsmeta_cursor cursor;
	struct fsmeta_cursor *inner;
	const char *verb;
	uint64_t expected;
	uint64_t entries;
	uint64_t bytes;
	int64_t started_ms;
	int64_t shown_ms;
	bool shown;
};

static int64_t clock_ms(void)
{
	struct timespec now;

	/* Asked at each entry, of which one may take an hour where contents are hashed. */
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/** Reads "auto", "always" or "never"; false on anything else. */
static bool parse_when(enum fsmeta_progress_when *out, const char *text)
{
	static const char *const names[] = {"auto", "always", "never"};
	int i;

	for (i = 0; i < 3; i++)
		if (strcmp(text, names[i]) == 0) {
			*out = (enum fsmeta_progress_when)i;
			return true;
		}
	return false;
}

void fsmeta_progress_take(
    enum fsmeta_progress_when *out, const char *text, struct argp_state *state)
{
	if (!parse_when(out, text))
		argp_error(state, "--progress: '%s' is none of auto, always, never", text);
}

static void append_time_left(
    struct fsmeta_buffer *line, const struct progress_cursor *progress, int64_t elapsed_ms)
{
	uint64_t seconds;

	/* The first second's rate says little about the rest. */
	if (!progress->expected || progress->entries >= progress->expected || elapsed_ms < 1000)
		return;
	seconds = (uint64_t)((double)elapsed_ms / 1000 / (double)progress->entries *
			     (double)(progress->expected - progress->entries));
	fsmeta_buffer_append_format(
	    line, ", about %" PRIu64 ":%02" PRIu64 " left", seconds / 60, seconds % 60);
}

static void show(struct progress_cursor *progress, int64_t now_ms)
{
	int64_t elapsed_ms = now_ms - progress->started_ms;
	struct fsmeta_buffer line;

	fsmeta_buffer_init(&line);
	fsmeta_buffer_append_format(&line, "\r\033[K%s: ", progress->verb);
	fsmeta_text_append_count(&line, progress->entries);
	fsmeta_buffer_append_text(&line, " entries, ");
	fsmeta_text_append_size(&line, progress->bytes);
	fsmeta_buffer_append_text(&line, ", ");
	fsmeta_text_append_count(
	    &line, elapsed_ms > 0 ? progress->entries * 1000 / (uint64_t)elapsed_ms : 0);
	fsmeta_buffer_append_text(&line, "/s");
	append_time_left(&line, progress, elapsed_ms);
	fwrite(line.data, 1, line.length, stderr);
	fflush(stderr);
	fsmeta_buffer_release(&line);
	progress->shown_ms = now_ms;
	progress->shown = true;
}

static void wipe(struct progress_cursor *progress)
{
	if (progress->shown) {
		fputs("\r\033[K", stderr);
		fflush(stderr);
	}
	progress->shown = false;
}

static int progress_next(
    struct fsmeta_cursor *cursor, const struct fsmeta_entry **entry, struct fsmeta_error *error)
{
	struct progress_cursor *progress = (struct progress_cursor *)cursor;
	int status = fsmeta_cursor_next(progress->inner, entry, error);
	int64_t now_ms;

	if (status <= 0) {
		wipe(progress);
		return status;
	}
	if ((*entry)->type == FSMETA_TYPE_FILE)
		progress->bytes += (*entry)->size;
	progress->entries++;
	now_ms = clock_ms();
	if (now_ms - progress->shown_ms >= LINE_MS)
		show(progress, now_ms);
	return status;
}

static int progress_skip(struct fsmeta_cursor *cursor, uint32_t depth, struct fsmeta_error *error)
{
	return fsmeta_cursor_skip(((struct progress_cursor *)cursor)->inner, depth, error);
}

static int progress_run(struct fsmeta_cursor *cursor, enum fsmeta_run_kind kind,
    struct fsmeta_run *run, struct fsmeta_error *error)
{
	return fsmeta_cursor_run(((struct progress_cursor *)cursor)->inner, kind, run, error);
}

static int progress_step(
    struct fsmeta_cursor *cursor, const struct fsmeta_run *run, struct fsmeta_error *error)
{
	struct progress_cursor *progress = (struct progress_cursor *)cursor;

	progress->entries += run->entries;
	return fsmeta_cursor_step(progress->inner, run, error);
}

static void progress_close(struct fsmeta_cursor *cursor)
{
	struct progress_cursor *progress = (struct progress_cursor *)cursor;

	wipe(progress);
	fsmeta_cursor_close(progress->inner);
	free(progress);
}

static const struct fsmeta_cursor_operations progress_operations = {
    .next = progress_next,
    .skip = progress_skip,
    .run = progress_run,
    .step = progress_step,
    .close = progress_close,
};

int fsmeta_progress_wrap(struct fsmeta_cursor **cursor, enum fsmeta_progress_when when,
    const char *verb, uint64_t expected, struct fsmeta_error *error)
{
	struct progress_cursor *progress;

	if (when == FSMETA_PROGRESS_NEVER ||
	    (when == FSMETA_PROGRESS_AUTO && !isatty(STDERR_FILENO)))
		return 0;
	progress = calloc(1, sizeof(*progress));
	if (!progress)
		return fsmeta_error_set_memory(error, "showing progress");
	progress->cursor.operations = &progress_operations;
	progress->cursor.source = (*cursor)->source;
	progress->cursor.label = (*cursor)->label;
	progress->inner = *cursor;
	progress->verb = verb;
	progress->expected = expected;
	progress->started_ms = clock_ms();
	progress->shown_ms = progress->started_ms;
	*cursor = &progress->cursor;
	return 0;
}
