/*
 * soak [--jobs N] [--generations N] [--folder FOLDER] [FIRST [LAST]]
 *
 * Runs the seeds FIRST to LAST (1 to 1000) of the soak (tests/support/soak.h), each in a
 * process and a folder of its own, N of them (1) at a time.  A seed that fails is named
 * with what was not as expected, and its databases stay in FOLDER (/dev/shm where that
 * is, else /tmp); the others go on, and the exit status is 1.  `soak 17` runs seed 17
 * again.
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

/** Adds what a process that is through has written to the pipe, in one piece. */
static void add_counts(struct soak_counts *to, int in)
{
	struct soak_counts counts, *from = &counts;

	if (read(in, &counts, sizeof(counts)) != sizeof(counts))
		return;
	to->generations += from->generations;
	to->entries += from->entries;
	to->carried += from->carried;
	to->reads += from->reads;
	to->pairs += from->pairs;
	to->changes += from->changes;
	to->read_whole += from->read_whole;
	to->read_selected += from->read_selected;
	to->deltas += from->deltas;
	to->sections += from->sections;
	to->pruned += from->pruned;
	to->histories += from->histories;
}

/** One process: the seed in a folder of its own, then its counts to `out`. */
static void run_seed(const struct plan *plan, uint64_t seed, int out)
{
	struct soak_counts counts = {0};
	char folder[300];

	snprintf(folder, sizeof(folder), "%s/fsmeta-soak-%" PRIu64 "-XXXXXX", plan->folder, seed);
	if (!mkdtemp(folder)) {
		fprintf(stderr, "soak: %s: %s\n", folder, strerror(errno));
		exit(1);
	}
	soak_run(&counts, seed, plan->generations, folder);
	if (rmdir(folder) || write(out, &counts, sizeof(counts)) != sizeof(counts)) {
		fprintf(stderr, "soak: %s: %s\n", folder, strerror(errno));
		exit(1);
	}
	exit(0);
}

/** Waits for one process; false where its seed failed. */
static bool reap(unsigned *running)
{
	int status;

	if (wait(&status) < 0)
		return false;
	--*running;
	return status == 0;
}

/** Runs all seeds; how many failed. */
static uint64_t run_seeds(const struct plan *plan, struct soak_counts *all)
{
	uint64_t failed = 0;
	unsigned running = 0;
	int ends[2];

	if (pipe(ends)) {
		perror("soak");
		exit(1);
	}
	for (uint64_t seed = plan->first; seed <= plan->last || running; seed++) {
		while (running && (running == plan->jobs || seed > plan->last)) {
			if (reap(&running))
				add_counts(all, ends[0]);
			else
				failed++;
		}
		if (seed > plan->last)
			break;
		switch (fork()) {
		case -1:
			perror("soak");
			exit(1);
		case 0:
			run_seed(plan, seed, ends[1]);
		}
		running++;
	}
	close(ends[0]);
	close(ends[1]);
	return failed;
}

static void print(const struct soak_counts *counts, double seconds)
{
	printf("%12" PRIu64 "  generations\n", counts->generations);
	printf("%12" PRIu64 "  entries in them\n", counts->entries);
	printf("%12" PRIu64 "  of these carried\n", counts->carried);
	printf("%12" PRIu64 "  generations read back\n", counts->reads);
	printf("%12" PRIu64 "  pairs compared\n", counts->pairs);
	printf("%12" PRIu64 "  changes in these\n", counts->changes);
	printf("%12" PRIu64 "  entries read for that, whole generations\n", counts->read_whole);
	printf("%12" PRIu64 "  where only what may differ is read\n", counts->read_selected);
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
	struct soak_counts all = {0};
	struct timespec start, end;
	uint64_t failed;

	parse(&plan, argc, argv);
	clock_gettime(CLOCK_MONOTONIC, &start);
	failed = run_seeds(&plan, &all);
	clock_gettime(CLOCK_MONOTONIC, &end);
	print(&all,
	    (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec));
	printf("%12" PRIu64 "  seeds failed\n", failed);
	return failed ? 1 : 0;
}
