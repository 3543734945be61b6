/*
 * soak [--jobs N] [--generations N] [--folder FOLDER] [FIRST [LAST]]
 *
 * Runs the seeds FIRST to LAST (1 to 1000) of the soak (tests/support/soak.h) in N
 * processes (1).  A seed that fails is named with what was not as expected, its
 * databases stay in FOLDER (/dev/shm where that is, else /tmp), and the exit status
 * is 1; the other processes go on.  `soak 17 17` runs seed 17 again.
 *
 *     process 0   1   4   7  10 …
 *     process 1     2   5   8  11 …      each in a folder of its own
 *     process 2       3   6   9  12 …
 */
#include "tests/support/soak.h"
#include "tests/support/expect.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	MOST_JOBS = 64,
};

struct plan {
	uint64_t first;
	uint64_t last;
	uint64_t generations;
	unsigned jobs;
	const char *folder;
};

static void usage(void)
{
	fprintf(
	    stderr, "usage: soak [--jobs N] [--generations N] [--folder FOLDER] [FIRST [LAST]]\n");
	exit(64);
}

static uint64_t parse_number(const char *text)
{
	char *end;
	uint64_t number = strtoull(text, &end, 10);

	if (!*text || *end || !number)
		usage();
	return number;
}

static void parse(struct plan *plan, int argc, char **argv)
{
	static const struct option options[] = {
	    {"jobs", required_argument, NULL, 'j'},
	    {"generations", required_argument, NULL, 'g'},
	    {"folder", required_argument, NULL, 'f'},
	    {0},
	};
	int key;

	while ((key = getopt_long(argc, argv, "j:g:f:", options, NULL)) != -1) {
		if (key == 'j')
			plan->jobs = (unsigned)parse_number(optarg);
		else if (key == 'g')
			plan->generations = parse_number(optarg);
		else if (key == 'f')
			plan->folder = optarg;
		else
			usage();
	}
	if (optind < argc)
		plan->first = plan->last = parse_number(argv[optind++]);
	if (optind < argc)
		plan->last = parse_number(argv[optind++]);
	if (optind < argc || plan->last < plan->first || plan->jobs > MOST_JOBS)
		usage();
}

static void add(struct soak_counts *to, const struct soak_counts *from)
{
	to->generations += from->generations;
	to->entries += from->entries;
	to->carried += from->carried;
	to->reads += from->reads;
	to->pairs += from->pairs;
	to->changes += from->changes;
	to->deltas += from->deltas;
	to->sections += from->sections;
	to->pruned += from->pruned;
	to->histories += from->histories;
}

/** One process: every jobs-th seed, then the counts to `out`. */
static void work(const struct plan *plan, unsigned job, int out)
{
	struct soak_counts counts = {0};
	char folder[300];

	snprintf(folder, sizeof(folder), "%s/fsmeta-soak-XXXXXX", plan->folder);
	if (!mkdtemp(folder)) {
		fprintf(stderr, "soak: %s: %s\n", folder, strerror(errno));
		exit(1);
	}
	for (uint64_t seed = plan->first + job; seed <= plan->last; seed += plan->jobs)
		soak_run(&counts, seed, plan->generations, folder);
	if (rmdir(folder) || write(out, &counts, sizeof(counts)) != sizeof(counts)) {
		fprintf(stderr, "soak: %s: %s\n", folder, strerror(errno));
		exit(1);
	}
	exit(0);
}

static void print(const struct soak_counts *counts, double seconds)
{
	printf("%12" PRIu64 "  generations\n", counts->generations);
	printf("%12" PRIu64 "  entries in them\n", counts->entries);
	printf("%12" PRIu64 "  of these carried\n", counts->carried);
	printf("%12" PRIu64 "  generations read back\n", counts->reads);
	printf("%12" PRIu64 "  pairs compared\n", counts->pairs);
	printf("%12" PRIu64 "  changes in these\n", counts->changes);
	printf("%12" PRIu64 "  deltas applied\n", counts->deltas);
	printf("%12" PRIu64 "  sections in these\n", counts->sections);
	printf("%12" PRIu64 "  generations pruned\n", counts->pruned);
	printf("%12" PRIu64 "  histories compared\n", counts->histories);
	printf("%12.1f  seconds\n", seconds);
}

int main(int argc, char **argv)
{
	struct plan plan = {.first = 1,
	    .last = 1000,
	    .generations = 20,
	    .jobs = 1,
	    .folder = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm"};
	struct soak_counts all = {0}, counts;
	struct timespec start, end;
	bool failed = false;
	int ends[2], status;

	parse(&plan, argc, argv);
	clock_gettime(CLOCK_MONOTONIC, &start);
	if (pipe(ends)) {
		perror("soak");
		return 1;
	}
	for (unsigned job = 0; job < plan.jobs; job++) {
		pid_t child = fork();

		if (child < 0) {
			perror("soak");
			return 1;
		}
		if (child == 0)
			work(&plan, job, ends[1]);
	}
	close(ends[1]);
	/* What is written to the pipe is small enough to come in one piece. */
	while (read(ends[0], &counts, sizeof(counts)) == sizeof(counts))
		add(&all, &counts);
	while (wait(&status) > 0)
		failed |= status != 0;
	clock_gettime(CLOCK_MONOTONIC, &end);
	print(&all,
	    (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec));
	return failed;
}
