/*
 * archive_open OPERAND [RUNS]: an archive of FSV opened from the entries of a stream or a database
 * instead of its disk: seconds, and bytes of the index a file.  For one of 2.4 million files:
 *
 *     make_stream s synthetic 2400000 && fsmeta import a.db s && archive_open a.db
 */
#include "archive/fsv.h"
#include "tools/command.h"
#include "tools/operand.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static double now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int open_once(const char *text, struct fsmeta_fsv_info *info, struct fsmeta_error *error)
{
	struct fsmeta_cursor *cursor = NULL;
	struct fsmeta_fsv *fsv = NULL;
	struct fsmeta_operand operand;
	int code = fsmeta_operand_parse(&operand, text, error);

	if (!code)
		code = fsmeta_operand_open(&cursor, &operand, NULL, error);
	if (!code)
		code = fsmeta_fsv_open_entries(&fsv, "/", cursor, NULL, error);
	if (!code)
		fsmeta_fsv_information(fsv, info);
	fsmeta_fsv_close(fsv, NULL);
	fsmeta_cursor_close(cursor);
	fsmeta_operand_release(&operand);
	return code;
}

int main(int argc, char **argv)
{
	int runs = argc > 2 ? atoi(argv[2]) : 3;
	struct fsmeta_fsv_info info;
	struct fsmeta_error error;
	struct rusage usage;

	if (argc < 2 || runs < 1) {
		fprintf(stderr, "usage: archive_open OPERAND [RUNS]\n");
		return FSMETA_EXIT_USAGE;
	}
	fsmeta_error_clear(&error);
	for (int run = 0; run < runs; run++) {
		double wall = now(CLOCK_MONOTONIC), process = now(CLOCK_PROCESS_CPUTIME_ID);

		if (open_once(argv[1], &info, &error) < 0)
			return fsmeta_report(&error);
		printf("%" PRIu64 " streams, %" PRIu64 " files: %.3f s wall, %.3f s process, "
		       "%.1f bytes of index a file\n",
		    info.streams, info.files, now(CLOCK_MONOTONIC) - wall,
		    now(CLOCK_PROCESS_CPUTIME_ID) - process,
		    info.files ? (double)info.index_bytes / (double)info.files : 0.0);
	}
	getrusage(RUSAGE_SELF, &usage);
	printf("memory: %.1f MB\n", (double)usage.ru_maxrss / 1024);
	return FSMETA_EXIT_OK;
}
