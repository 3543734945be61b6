/*
 * read_cursor OPERAND [RUNS]: how fast a cursor hands out all entries with their
 * paths: a live folder, a stream or a database at a generation, read to the end RUNS
 * times (3 by default), opening included.
 *
 * Every byte of every path is looked at, so that nobody can be fast by not making it.
 */
#include "tools/command.h"
#include "tools/operand.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

struct reading {
	uint64_t entries;
	uint64_t path_bytes;
	/** Of all that was read, so that runs and operands can be compared. */
	uint64_t sum;
};

static double seconds_now(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/** Every byte once, at little cost. */
static uint64_t sum_path(const struct fsmeta_entry *entry)
{
	uint64_t sum = 0, word = 0;
	size_t at = 0;

	for (; entry->path_length - at >= sizeof(word); at += sizeof(word)) {
		memcpy(&word, entry->path + at, sizeof(word));
		sum += word;
	}
	for (word = 0; at < entry->path_length; at++)
		word = word << 8 | (unsigned char)entry->path[at];
	return sum + word;
}

static int read_all(const char *text, struct reading *reading, struct fsmeta_error *error)
{
	struct fsmeta_cursor *cursor = NULL;
	const struct fsmeta_entry *entry;
	struct fsmeta_operand operand;
	int code = fsmeta_operand_parse(&operand, text, error);

	*reading = (struct reading){0};
	if (!code)
		code = fsmeta_operand_open(&cursor, &operand, NULL, error);
	while (!code && (code = fsmeta_cursor_next(cursor, &entry, error)) > 0) {
		reading->entries++;
		reading->path_bytes += entry->path_length;
		reading->sum = (reading->sum ^ sum_path(entry)) * 0x9e3779b97f4a7c15 + entry->size;
		code = 0;
	}
	fsmeta_cursor_close(cursor);
	fsmeta_operand_release(&operand);
	return code;
}

int main(int argc, char **argv)
{
	int runs = argc > 2 ? atoi(argv[2]) : 3;
	struct fsmeta_error error;
	struct reading reading;
	struct rusage usage;

	if (argc < 2 || runs < 1) {
		fprintf(stderr, "usage: read_cursor OPERAND [RUNS]\n");
		return FSMETA_EXIT_USAGE;
	}
	fsmeta_error_clear(&error);
	for (int run = 0; run < runs; run++) {
		double wall = seconds_now(CLOCK_MONOTONIC);
		double process = seconds_now(CLOCK_PROCESS_CPUTIME_ID);

		if (read_all(argv[1], &reading, &error) < 0)
			return fsmeta_report(&error);
		wall = seconds_now(CLOCK_MONOTONIC) - wall;
		process = seconds_now(CLOCK_PROCESS_CPUTIME_ID) - process;
		printf("%" PRIu64 " entries, %.1f bytes a path, sum %016" PRIx64
		       ": %.3f s wall, %.3f s process, %.0f entries/ms\n",
		    reading.entries,
		    reading.entries ? (double)reading.path_bytes / (double)reading.entries : 0.0,
		    reading.sum, wall, process, (double)reading.entries / process / 1000);
	}
	getrusage(RUSAGE_SELF, &usage);
	printf("memory: %.1f MB\n", (double)usage.ru_maxrss / 1024);
	return FSMETA_EXIT_OK;
}
