/*
 * A tree that comes through a pipe, kept while it is read, as far as the words of archives need it
 * a second time.
 */
#ifndef FSMETA_TOOLS_PIPE_COPY_H
#define FSMETA_TOOLS_PIPE_COPY_H

#include "format/cursor.h"

struct fsmeta_pipe_copy;

/**
 * Puts itself in front of *cursor (*stolen*, also on failure): what is read from there on, folders
 * and files whose names belong to an archive, goes into a temporary file without a name, or into
 * memory where none can be made.  *out is *new*.  0 or a code: FSMETA_E_MEMORY, FSMETA_E_SYSTEM.
 * One thread.
 */
int fsmeta_pipe_copy_new(
    struct fsmeta_pipe_copy **out, struct fsmeta_cursor **cursor, struct fsmeta_error *error);

/**
 * Sets *out, *new*, to a cursor over the copy, as often as needed, once the one in front was read
 * to its end.  To be closed before the copy is freed.  0 or a code.
 */
int fsmeta_pipe_copy_open(
    struct fsmeta_pipe_copy *copy, struct fsmeta_cursor **out, struct fsmeta_error *error);

/** Before the cursor in front is closed, which nobody reads any more.  NULL is allowed. */
void fsmeta_pipe_copy_free(struct fsmeta_pipe_copy *copy);

#endif
