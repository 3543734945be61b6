/*
 * Writing trees as streams into memory and reading such bytes back, as a file and
 * through a pipe, for the tests of the stream.
 */
#ifndef FSMETA_TESTS_FORMAT_STREAM_IO_H
#define FSMETA_TESTS_FORMAT_STREAM_IO_H

#include "test_format_stream_tree.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/** A descriptor of a file in memory that holds `bytes`, at its start. */
static inline int io_file(const void *bytes, size_t size)
{
	int fd = memfd_create("stream", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(0, fsmeta_write_all(fd, bytes, size, "memory", NULL));
	assert_int_equal(0, lseek(fd, 0, SEEK_SET));
	return fd;
}

/** The reading end of a pipe; *child is the process that fills it, 0 where none is needed. */
static inline int io_pipe(pid_t *child, const void *bytes, size_t size)
{
	int ends[2];

	*child = 0;
	assert_int_equal(0, pipe2(ends, O_CLOEXEC));
	if (size > 60000) {
		*child = fork();
		assert_true(*child >= 0);
	}
	if (size <= 60000) {
		assert_int_equal(0, fsmeta_write_all(ends[1], bytes, size, "pipe", NULL));
	} else if (*child == 0) {
		signal(SIGPIPE, SIG_DFL);
		close(ends[0]);
		fsmeta_write_all(ends[1], bytes, size, "pipe", NULL);
		_exit(0);
	}
	close(ends[1]);
	return ends[0];
}

static inline void io_wait(pid_t child)
{
	if (child)
		assert_int_equal(child, waitpid(child, NULL, 0));
}

/** Asserts success and shows the error otherwise. */
static inline void io_assert_ok(int code, const struct fsmeta_error *error)
{
	if (code < 0)
		print_error("%d: %s: %s: %s (%lld)\n", code, error->path, error->action,
		    error->reason, (long long)error->offset);
	assert_true(code >= 0);
}

/** Replaces `out` by the stream of the entries. */
static inline void io_write_entries(struct fsmeta_buffer *out,
    const struct fsmeta_batch_source *source, const struct fsmeta_entry *entries, size_t count,
    struct fsmeta_stream_summary *summary)
{
	struct fsmeta_stream_summary own;
	struct fsmeta_stream_writer *writer;
	struct fsmeta_error error = {0};
	int fd = memfd_create("stream", MFD_CLOEXEC);
	size_t got;

	summary = summary ? summary : &own;
	assert_true(fd >= 0);
	io_assert_ok(fsmeta_stream_writer_new(&writer, fd, "memory", source, NULL, &error), &error);
	for (size_t i = 0; i < count; i++)
		io_assert_ok(fsmeta_stream_writer_add(writer, &entries[i], &error), &error);
	io_assert_ok(fsmeta_stream_writer_finish(writer, summary, NULL, &error), &error);
	fsmeta_stream_writer_free(writer);
	fsmeta_buffer_clear(out);
	assert_int_equal(0, fsmeta_buffer_reserve(out, (size_t)summary->file_bytes));
	assert_int_equal(0, fsmeta_read_full_at(fd, out->data, (size_t)summary->file_bytes, 0, &got,
				"memory", &error));
	assert_int_equal(got, summary->file_bytes);
	assert_int_equal(got, lseek(fd, 0, SEEK_END));
	out->length = got;
	close(fd);
}

static inline void io_write(struct fsmeta_buffer *out, const struct tree *tree)
{
	io_write_entries(out, &tree->source, tree->entries, tree->count, NULL);
}

/** Reads all of an open cursor and asserts that it yields the tree. */
static inline void io_assert_yields(struct fsmeta_cursor *cursor, const struct tree *tree)
{
	bool stable = tree->source.id_kind == FSMETA_IDS_STABLE;
	const struct fsmeta_entry *entry;
	struct fsmeta_error error = {0};
	size_t count = 0;
	int code;

	while ((code = fsmeta_cursor_next(cursor, &entry, &error)) > 0) {
		assert_true(count < tree->count);
		tree_assert_equal(entry, &tree->entries[count], stable);
		if (!stable)
			assert_int_equal(entry->id, count + 1);
		count++;
	}
	io_assert_ok(code, &error);
	assert_int_equal(count, tree->count);
	assert_int_equal(0, fsmeta_cursor_next(cursor, &entry, &error));
	assert_true(cursor->source->has_totals);
	assert_int_equal(cursor->source->totals.entries, count);
}

/** How far bytes can be read: 0 for whole, or the code of the first failure. */
static inline int io_drain(int fd, struct fsmeta_error *error)
{
	const struct fsmeta_entry *entry;
	struct fsmeta_cursor *cursor;
	int code;

	code = fsmeta_stream_open_fd(&cursor, fd, "damaged", error);
	if (code)
		return code;
	while ((code = fsmeta_cursor_next(cursor, &entry, error)) > 0)
		;
	fsmeta_cursor_close(cursor);
	return code;
}

static inline int io_drain_file(const void *bytes, size_t size, struct fsmeta_error *error)
{
	return io_drain(io_file(bytes, size), error);
}

static inline int io_drain_pipe(const void *bytes, size_t size, struct fsmeta_error *error)
{
	pid_t child;
	int code = io_drain(io_pipe(&child, bytes, size), error);

	io_wait(child);
	return code;
}

#endif
