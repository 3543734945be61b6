/*
 * The spool: a file whose end is kept in memory.
 *
 * There is one invariant: bytes before `flushed` are in the file, bytes from
 * there on are in `tail`.  While the spool is small, `flushed` is 0 and no file
 * exists; when an append would take the tail beyond its bound, the tail is
 * written out whole and starts again empty, from then on with a small bound.
 *
 *     0                          flushed              size
 *     |------- file ----------------|------ tail -------|
 *                 |-- window --|
 *
 * A write that fails leaves `flushed` where it was, and the next attempt writes
 * the same bytes to the same place, so a full disk costs the append but not
 * what was there before.
 *
 * Spools are mostly read from front to back in records of some dozen bytes.  So
 * a read that begins where the last one ended fetches a window ahead; any other
 * one reads just what it needs.  Bytes of the file change only by patching,
 * which forgets a window that it touches.
 */
#include "base/spool.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/temporary.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	DEFAULT_MEMORY_BYTES = 16 << 20,
	/** Bound of the tail once there is a file. */
	TAIL_BYTES = 256 << 10,
	WINDOW_BYTES = 64 << 10,
};

struct fsmeta_spool {
	/** As given, or where the default led to, *owned*; NULL while undecided. */
	char *folder;
	/** -1 until the bound was passed. */
	int fd;
	uint64_t flushed;
	struct fsmeta_buffer tail;
	size_t tail_bound;
	/** Copy of the file from window_offset on, *owned*, NULL until needed. */
	unsigned char *window;
	uint64_t window_offset;
	size_t window_length;
	/** Where the last read ended. */
	uint64_t next_read;
};

int fsmeta_spool_new(
    struct fsmeta_spool **out, size_t memory_bytes, const char *folder, struct fsmeta_error *error)
{
	struct fsmeta_spool *spool = calloc(1, sizeof(*spool));

	*out = NULL;
	if (!spool)
		goto no_memory;
	spool->fd = -1;
	spool->tail_bound = memory_bytes ? memory_bytes : DEFAULT_MEMORY_BYTES;
	if (folder) {
		spool->folder = strdup(folder);
		if (!spool->folder)
			goto no_memory;
	}
	*out = spool;
	return 0;
no_memory:
	fsmeta_spool_free(spool);
	return fsmeta_error_set_memory(error, "making a spool");
}

void fsmeta_spool_free(struct fsmeta_spool *spool)
{
	if (!spool)
		return;
	if (spool->fd >= 0)
		close(spool->fd);
	fsmeta_buffer_release(&spool->tail);
	free(spool->window);
	free(spool->folder);
	free(spool);
}

uint64_t fsmeta_spool_size(const struct fsmeta_spool *spool)
{
	return spool->flushed + spool->tail.length;
}

static int open_file(struct fsmeta_spool *spool, struct fsmeta_error *error)
{
	const char *used;
	int code = fsmeta_temporary_open(&spool->fd, spool->folder, &used, error);

	if (!code && !spool->folder)
		spool->folder = strdup(used); /* for messages alone; may be NULL */
	return code;
}

/** pwrite until all is written. */
static int write_at(struct fsmeta_spool *spool, uint64_t offset, const void *bytes, size_t size,
    struct fsmeta_error *error)
{
	const unsigned char *from = bytes;

	while (size) {
		ssize_t written = pwrite(spool->fd, from, size, (off_t)offset);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return fsmeta_error_set_errno(error, written ? errno : EIO, spool->folder,
			    "writing a temporary file");
		from += written;
		offset += (uint64_t)written;
		size -= (size_t)written;
	}
	return 0;
}

/** Moves the tail to the file.  A tail of the size it had without one is given back. */
static int flush(struct fsmeta_spool *spool, struct fsmeta_error *error)
{
	int code = spool->fd < 0 ? open_file(spool, error) : 0;

	if (!code)
		code = write_at(spool, spool->flushed, spool->tail.data, spool->tail.length, error);
	if (code)
		return code;
	spool->flushed += spool->tail.length;
	fsmeta_buffer_clear(&spool->tail);
	if (spool->tail.capacity > 2 * TAIL_BYTES)
		fsmeta_buffer_release(&spool->tail);
	if (spool->tail_bound > TAIL_BYTES)
		spool->tail_bound = TAIL_BYTES;
	return 0;
}

static int append_to_tail(
    struct fsmeta_spool *spool, const void *bytes, size_t size, struct fsmeta_error *error)
{
	if (fsmeta_buffer_append(&spool->tail, bytes, size))
		return fsmeta_error_set_memory(error, "appending to a spool");
	return 0;
}

/** For what does not fit into the tail any more. */
static int append_beyond(
    struct fsmeta_spool *spool, const void *bytes, size_t size, struct fsmeta_error *error)
{
	int code = flush(spool, error);

	if (!code && size <= spool->tail_bound)
		return append_to_tail(spool, bytes, size, error);
	if (!code)
		code = write_at(spool, spool->flushed, bytes, size, error);
	if (!code)
		spool->flushed += size;
	return code;
}

int fsmeta_spool_append(struct fsmeta_spool *spool, const void *bytes, size_t size,
    uint64_t *offset, struct fsmeta_error *error)
{
	uint64_t start = fsmeta_spool_size(spool);
	int code;

	if (size > (uint64_t)INT64_MAX - start)
		return fsmeta_error_set(
		    error, FSMETA_E_LIMIT, NULL, "appending to a spool", "beyond 2^63 bytes");
	/* The tail never exceeds its bound, so the difference cannot wrap. */
	if (size <= spool->tail_bound - spool->tail.length)
		code = append_to_tail(spool, bytes, size, error);
	else
		code = append_beyond(spool, bytes, size, error);
	if (!code && offset)
		*offset = start;
	return code;
}

static int check_range(const struct fsmeta_spool *spool, uint64_t offset, size_t size,
    const char *action, struct fsmeta_error *error)
{
	uint64_t end = fsmeta_spool_size(spool);

	if (offset <= end && size <= end - offset)
		return 0;
	return fsmeta_error_set_at(error, FSMETA_E_INTERNAL, NULL,
	    offset <= INT64_MAX ? (int64_t)offset : -1, action, "beyond the end of the spool");
}

/** How many of `size` bytes at `offset` are in the file; the others are in the tail. */
static size_t file_part(const struct fsmeta_spool *spool, uint64_t offset, size_t size)
{
	if (offset >= spool->flushed)
		return 0;
	return size < spool->flushed - offset ? size : (size_t)(spool->flushed - offset);
}

int fsmeta_spool_patch(struct fsmeta_spool *spool, uint64_t offset, const void *bytes, size_t size,
    struct fsmeta_error *error)
{
	int code = check_range(spool, offset, size, "patching a spool", error);
	size_t in_file;

	if (code)
		return code;
	in_file = file_part(spool, offset, size);
	if (in_file) {
		if (offset < spool->window_offset + spool->window_length &&
		    spool->window_offset < offset + in_file)
			spool->window_length = 0;
		code = write_at(spool, offset, bytes, in_file, error);
	}
	if (!code && in_file < size)
		memcpy(spool->tail.data + (offset + in_file - spool->flushed),
		    (const unsigned char *)bytes + in_file, size - in_file);
	return code;
}

/** Reads `size` bytes that are in the file. */
static int read_exactly(struct fsmeta_spool *spool, uint64_t offset, void *bytes, size_t size,
    struct fsmeta_error *error)
{
	size_t got;
	int code = fsmeta_read_full_at(spool->fd, bytes, size, offset, &got, spool->folder, error);

	if (!code && got < size)
		return fsmeta_error_set_at(error, FSMETA_E_TRUNCATED, spool->folder,
		    (int64_t)(offset + got), "reading a temporary file",
		    "it is shorter than what was written");
	return code;
}

static int fill_window(struct fsmeta_spool *spool, uint64_t offset, struct fsmeta_error *error)
{
	size_t length = file_part(spool, offset, WINDOW_BYTES);
	int code;

	if (!spool->window)
		spool->window = malloc(WINDOW_BYTES);
	if (!spool->window)
		return fsmeta_error_set_memory(error, "reading a spool");
	spool->window_length = 0;
	code = read_exactly(spool, offset, spool->window, length, error);
	if (code)
		return code;
	spool->window_offset = offset;
	spool->window_length = length;
	return 0;
}

static bool window_holds(const struct fsmeta_spool *spool, uint64_t offset, size_t size)
{
	return offset >= spool->window_offset &&
	       offset + size <= spool->window_offset + spool->window_length;
}

static int read_from_file(struct fsmeta_spool *spool, uint64_t offset, void *bytes, size_t size,
    struct fsmeta_error *error)
{
	if (!window_holds(spool, offset, size)) {
		int code;

		if (offset != spool->next_read || size > WINDOW_BYTES)
			return read_exactly(spool, offset, bytes, size, error);
		code = fill_window(spool, offset, error);
		if (code)
			return code;
	}
	memcpy(bytes, spool->window + (offset - spool->window_offset), size);
	return 0;
}

int fsmeta_spool_read(struct fsmeta_spool *spool, uint64_t offset, void *bytes, size_t size,
    struct fsmeta_error *error)
{
	int code = check_range(spool, offset, size, "reading a spool", error);
	size_t in_file;

	if (code)
		return code;
	in_file = file_part(spool, offset, size);
	if (in_file)
		code = read_from_file(spool, offset, bytes, in_file, error);
	if (!code && in_file < size)
		memcpy((unsigned char *)bytes + in_file,
		    spool->tail.data + (offset + in_file - spool->flushed), size - in_file);
	spool->next_read = offset + size;
	return code;
}
