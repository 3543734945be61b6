/*
 * The progress line: entries, rate, bytes, time left, on a terminal's stderr.
 *
 * Progress is a cursor around the cursor that is being read, so that no command
 * has to count.
 */
#ifndef FSMETA_TOOLS_PROGRESS_H
#define FSMETA_TOOLS_PROGRESS_H

#include "format/cursor.h"

#include <argp.h>

enum fsmeta_progress_when {
	/** Where stderr is a terminal. */
	FSMETA_PROGRESS_AUTO = 0,
	FSMETA_PROGRESS_ALWAYS,
	FSMETA_PROGRESS_NEVER,
};

/** Takes the value of --progress.  Wrong usage ends the program. */
void fsmeta_progress_take(
    enum fsmeta_progress_when *out, const char *text, struct argp_state *state);

/**
 * Wraps *cursor (which is *stolen* on success, untouched on failure) so that it
 * shows progress under the word `verb` ("scanning") where `when` says so; leaves
 * it as it is otherwise.  `expected` entries (0 = unknown) give the time left.
 * The line is wiped when the cursor ends or is closed.
 */
int fsmeta_progress_wrap(struct fsmeta_cursor **cursor, enum fsmeta_progress_when when,
    const char *verb, uint64_t expected, struct fsmeta_error *error);

#endif
