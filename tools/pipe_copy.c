/*
 * The copy.
 *
 *     pipe ── cursor ──┬── merge                  every entry
 *                      └── stream ── file ── cursor ── events
 *                          folders and pieces of archives alone
 *
 * What a change means depends on what stayed beside it, and that is no change: so the older side is
 * read again, and a pipe cannot be.  The spool of the changes does not serve, as it has no entry
 * that did not change.  A stream does, in a tenth of the room that the entries take; of a tree
 * without archives it holds little but folders.
 *
 * The merge steps over what it need not compare.  That is read here all the same: what lies beside
 * a stream may be there.
 */
#include "tools/pipe_copy.h"

#include "archive/piece.h"
#include "base/temporary.h"
#include "format/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static const char action[] = "keeping what comes through a pipe";

struct fsmeta_pipe_copy {
	int fd;
	/** NULL once all is written. */
	struct fsmeta_stream_writer *writer;
};

/** Stands in front of the pipe's cursor. */
struct copying_cursor {
	struct fsmeta_cursor base;
	struct fsmeta_cursor *inner;
	struct fsmeta_pipe_copy *copy;
	/** What ended a skip and was not handed out; *borrowed* from `inner`. */
	const struct fsmeta_entry *pending;
};

static bool is_kept(const struct fsmeta_entry *entry)
{
	struct fsmeta_piece_name name;

	return entry->type == FSMETA_TYPE_FOLDER ||
	       (entry->type == FSMETA_TYPE_FILE &&
		   fsmeta_piece_parse(&name, entry->name, entry->name_length));
}

static int copying_next(
    struct fsmeta_cursor *base, const struct fsmeta_entry **entry, struct fsmeta_error *error)
{
	struct copying_cursor *cursor = (struct copying_cursor *)base;
	int status;

	if (cursor->pending) {
		*entry = cursor->pending;
		cursor->pending = NULL;
		return 1;
	}
	status = fsmeta_cursor_next(cursor->inner, entry, error);
	if (status == 1 && is_kept(*entry)) {
		int code = fsmeta_stream_writer_add(cursor->copy->writer, *entry, error);

		if (code)
			return code;
	}
	return status;
}

static int copying_skip(struct fsmeta_cursor *base, uint32_t depth, struct fsmeta_error *error)
{
	struct copying_cursor *cursor = (struct copying_cursor *)base;
	const struct fsmeta_entry *entry;
	int status;

	while ((status = copying_next(base, &entry, error)) == 1)
		if (entry->depth < depth) {
			cursor->pending = entry;
			break;
		}
	return status < 0 ? status : 0;
}

static void copying_close(struct fsmeta_cursor *base)
{
	struct copying_cursor *cursor = (struct copying_cursor *)base;

	fsmeta_cursor_close(cursor->inner);
	free(cursor);
}

static int wrap(
    struct fsmeta_cursor **cursor, struct fsmeta_pipe_copy *copy, struct fsmeta_error *error)
{
	static const struct fsmeta_cursor_operations operations = {
	    .next = copying_next, .skip = copying_skip, .close = copying_close};
	struct copying_cursor *copying = calloc(1, sizeof(*copying));

	if (!copying)
		return fsmeta_error_set_memory(error, action);
	*copying = (struct copying_cursor){
	    .base = {.operations = &operations,
		.source = (*cursor)->source,
		.label = (*cursor)->label},
	    .inner = *cursor,
	    .copy = copy,
	};
	*cursor = &copying->base;
	return 0;
}

/** Where no folder takes a file, as in a container that is all read-only, memory does. */
static int open_file(int *fd, struct fsmeta_error *error)
{
	int code = fsmeta_temporary_open(fd, NULL, NULL, error);

	if (!code)
		return 0;
	*fd = memfd_create("fsmeta", MFD_CLOEXEC);
	if (*fd < 0)
		return code;
	fsmeta_error_clear(error);
	return 0;
}

int fsmeta_pipe_copy_new(
    struct fsmeta_pipe_copy **out, struct fsmeta_cursor **cursor, struct fsmeta_error *error)
{
	struct fsmeta_pipe_copy *copy = calloc(1, sizeof(*copy));
	int code = copy ? 0 : fsmeta_error_set_memory(error, action);

	if (!code)
		code = open_file(&copy->fd, error);
	if (!code)
		code = fsmeta_stream_writer_new(
		    &copy->writer, copy->fd, "a temporary file", (*cursor)->source, NULL, error);
	if (!code)
		code = wrap(cursor, copy, error);
	if (code) {
		fsmeta_cursor_close(*cursor);
		*cursor = NULL;
		fsmeta_pipe_copy_free(copy);
		copy = NULL;
	}
	*out = copy;
	return code;
}

static int finish(struct fsmeta_pipe_copy *copy, struct fsmeta_error *error)
{
	struct fsmeta_stream_summary summary;
	int code = fsmeta_stream_writer_finish(copy->writer, &summary, NULL, error);

	fsmeta_stream_writer_free(copy->writer);
	copy->writer = NULL;
	return code;
}

int fsmeta_pipe_copy_open(
    struct fsmeta_pipe_copy *copy, struct fsmeta_cursor **out, struct fsmeta_error *error)
{
	int code = copy->writer ? finish(copy, error) : 0;
	int fd;

	*out = NULL;
	if (code)
		return code;
	/* One reader at a time, so the offset that both descriptors share belongs to it. */
	fd = lseek(copy->fd, 0, SEEK_SET) < 0 ? -1 : fcntl(copy->fd, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? fsmeta_error_set_errno(error, errno, NULL, action)
		      : fsmeta_stream_open_fd(out, fd, "a temporary file", error);
}

void fsmeta_pipe_copy_free(struct fsmeta_pipe_copy *copy)
{
	if (!copy)
		return;
	fsmeta_stream_writer_free(copy->writer);
	if (copy->fd >= 0)
		close(copy->fd);
	free(copy);
}
