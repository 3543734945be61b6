/*
 * stream_speed [--fields LIST] [--level N] [--threads N] [--rounds N] [--read | --write] ENTRIES |
 * FILE.fss
 *
 * How fast a stream is written and read, and what an entry weighs: of a recorder's
 * archive that is made up (bench/synthetic.h), or of a stream that is there, which
 * is read and written again.  Nothing touches a disk but what is named; the stream
 * stands in memory.  One line a measurement, entries a millisecond, the best of
 * all rounds (with --read nothing but reading FILE.fss, with --write nothing but writing, for a
 * profiler):
 *
 *     made       the cursor alone, so that its share can be taken off
 *     written    cursor to finished stream
 *     read       every entry with its path
 *     counted    the same, into a digest of the state (what import must do)
 */
#include "base/error.h"
#include "bench/synthetic.h"
#include "format/stream.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static struct fsmeta_error error;

static void die(void)
{
	fprintf(stderr, "stream_speed: %s: %s: %s\n", error.path, error.action, error.reason);
	exit(1);
}

static double now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static double cpu_ms(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

struct input {
	/** NULL: made up. */
	const char *file;
	struct fsmeta_synthetic_options synthetic;
};

static struct fsmeta_cursor *open_input(const struct input *input)
{
	struct fsmeta_cursor *cursor;

	if ((input->file ? fsmeta_stream_open_file(&cursor, input->file, &error)
			 : fsmeta_synthetic_open(&cursor, &input->synthetic, &error)) < 0)
		die();
	return cursor;
}

/** Reads to the end; returns the entries. */
static uint64_t drain(struct fsmeta_cursor *cursor, bool with_digest)
{
	struct fsmeta_digest state = {0}, term;
	struct fsmeta_buffer scratch = {0};
	const struct fsmeta_entry *entry;
	uint64_t entries = 0, path_bytes = 0;
	int code;

	while ((code = fsmeta_cursor_next(cursor, &entry, &error)) > 0) {
		entries++;
		path_bytes += entry->path_length;
		if (with_digest) {
			fsmeta_entry_digest(
			    &term, entry, cursor->source->field_mask, cursor->source, &scratch);
			fsmeta_digest_add(&state, term);
		}
	}
	if (code < 0)
		die();
	fsmeta_buffer_release(&scratch);
	if (path_bytes == UINT64_MAX)
		abort();
	return entries;
}

static uint64_t write_stream(int fd, struct fsmeta_cursor *cursor, int level, unsigned threads)
{
	struct fsmeta_stream_writer_options options = {.level = level, .threads = threads};
	struct fsmeta_stream_summary summary;
	struct fsmeta_stream_writer *writer;
	const struct fsmeta_entry *entry;
	int code;

	if (fsmeta_stream_writer_new(&writer, fd, "memory", cursor->source, &options, &error) < 0)
		die();
	while ((code = fsmeta_cursor_next(cursor, &entry, &error)) > 0)
		if (fsmeta_stream_writer_add(writer, entry, &error) < 0)
			die();
	if (code < 0 || fsmeta_stream_writer_finish(writer, &summary, NULL, &error) < 0)
		die();
	fsmeta_stream_writer_free(writer);
	return summary.file_bytes;
}

/** The best of some rounds, each measured from start() to note(). */
struct best {
	const char *what;
	double ms;
	/** Processor time of this thread and of all. */
	double own_cpu;
	double cpu;
	double start_ms;
	double start_own_cpu;
	double start_cpu;
};

static void start(struct best *best)
{
	best->start_cpu = cpu_ms(CLOCK_PROCESS_CPUTIME_ID);
	best->start_own_cpu = cpu_ms(CLOCK_THREAD_CPUTIME_ID);
	best->start_ms = now_ms();
}

static void note(struct best *best)
{
	double ms = now_ms() - best->start_ms;

	if (!best->ms || ms < best->ms) {
		best->ms = ms;
		best->own_cpu = cpu_ms(CLOCK_THREAD_CPUTIME_ID) - best->start_own_cpu;
		best->cpu = cpu_ms(CLOCK_PROCESS_CPUTIME_ID) - best->start_cpu;
	}
}

static void tell(const struct best *best, uint64_t entries)
{
	double scale = 1e6 / (double)entries;

	printf(
	    "%-8s %8.0f entries/ms   ns an entry: %6.1f, processor %6.1f, of that beside %6.1f\n",
	    best->what, (double)entries / best->ms, best->ms * scale, best->cpu * scale,
	    (best->cpu - best->own_cpu) * scale);
}

/** Writes, and nothing else. */
static int write_only(const struct input *input, int level, unsigned threads, int rounds)
{
	struct best written = {.what = "written"};

	while (rounds-- > 0) {
		int fd = memfd_create("stream", MFD_CLOEXEC);
		struct fsmeta_cursor *cursor = open_input(input);

		start(&written);
		write_stream(fd, cursor, level, threads);
		note(&written);
		fsmeta_cursor_close(cursor);
		close(fd);
	}
	tell(&written, input->synthetic.entries);
	return 0;
}

/** Opens and reads the file, and nothing else. */
static int read_only(const struct input *input, int rounds)
{
	struct best read = {.what = "read"};
	uint64_t entries = 0;

	while (rounds-- > 0) {
		struct fsmeta_cursor *cursor = open_input(input);

		start(&read);
		entries = drain(cursor, false);
		note(&read);
		fsmeta_cursor_close(cursor);
	}
	tell(&read, entries);
	return 0;
}

int main(int argc, char **argv)
{
	struct best made = {.what = "made"}, written = {.what = "written"}, read = {.what = "read"},
		    counted = {.what = "counted"};
	struct input input = {.synthetic = {.field_mask = FSMETA_FIELDS_CORE}};
	uint64_t entries = 0, bytes = 0;
	struct rusage usage;
	int level = 0, rounds = 3;
	unsigned threads = 0;
	bool reads_only = false, writes_only = false;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--fields") && i + 1 < argc) {
			if (fsmeta_fields_parse(&input.synthetic.field_mask, argv[++i], &error) < 0)
				die();
		} else if (!strcmp(argv[i], "--level") && i + 1 < argc) {
			level = atoi(argv[++i]);
		} else if (!strcmp(argv[i], "--threads") && i + 1 < argc) {
			threads = (unsigned)atoi(argv[++i]);
		} else if (!strcmp(argv[i], "--rounds") && i + 1 < argc) {
			rounds = atoi(argv[++i]);
		} else if (!strcmp(argv[i], "--read")) {
			reads_only = true;
		} else if (!strcmp(argv[i], "--write")) {
			writes_only = true;
		} else if (strtoull(argv[i], NULL, 10)) {
			input.synthetic.entries = strtoull(argv[i], NULL, 10);
		} else {
			input.file = argv[i];
		}
	}
	if (!input.file && !input.synthetic.entries) {
		fprintf(stderr,
		    "usage: stream_speed [--fields LIST] [--level N] [--threads N] [--rounds N] "
		    "[--read | --write] ENTRIES | FILE.fss\n");
		return 64;
	}
	if (reads_only)
		return read_only(&input, rounds);
	if (writes_only)
		return write_only(&input, level, threads, rounds);
	while (rounds-- > 0) {
		int fd = memfd_create("stream", MFD_CLOEXEC);
		struct fsmeta_cursor *cursor = open_input(&input);

		start(&made);
		drain(cursor, false);
		note(&made);
		fsmeta_cursor_close(cursor);

		cursor = open_input(&input);
		start(&written);
		bytes = write_stream(fd, cursor, level, threads);
		note(&written);
		fsmeta_cursor_close(cursor);

		for (int with_digest = 0; with_digest < 2; with_digest++) {
			if (lseek(fd, 0, SEEK_SET) < 0 ||
			    fsmeta_stream_open_fd(&cursor, dup(fd), "memory", &error) < 0)
				die();
			start(with_digest ? &counted : &read);
			entries = drain(cursor, with_digest);
			note(with_digest ? &counted : &read);
			fsmeta_cursor_close(cursor);
		}
		close(fd);
	}
	tell(&made, entries);
	tell(&written, entries);
	tell(&read, entries);
	tell(&counted, entries);
	getrusage(RUSAGE_SELF, &usage);
	printf("%.2f bytes an entry, %llu entries, %ld MB at most (the stream included)\n",
	    (double)bytes / (double)entries, (unsigned long long)entries, usage.ru_maxrss >> 10);
	return 0;
}
