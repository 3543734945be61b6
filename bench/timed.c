/*
 * timed COMMAND [ARGUMENT…]: runs a command and says on descriptor 3 what it took:
 *
 *     wall seconds, user seconds, system seconds, peak resident bytes
 *
 * For measure.py, whose own children begin with the runner's peak memory (the kernel
 * keeps it across exec) and with its slow start.  This program is small, so what it says
 * is the command's own from 2 MB on.  The exit status is the command's.
 */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum {
	REPORT_FD = 3,
	FAILED = 127,
};

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double seconds(struct timeval time)
{
	return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

int main(int argc, char **argv)
{
	posix_spawn_file_actions_t actions;
	struct rusage usage;
	double start;
	int status, failure;
	pid_t child;

	if (argc < 2) {
		fprintf(stderr, "usage: timed COMMAND [ARGUMENT…]\n");
		return 64;
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addclose(&actions, REPORT_FD);
	start = now();
	failure = posix_spawnp(&child, argv[1], &actions, NULL, argv + 1, environ);
	if (failure) {
		fprintf(stderr, "timed: %s: %s\n", argv[1], strerror(failure));
		return FAILED;
	}
	while (wait4(child, &status, 0, &usage) < 0)
		if (errno != EINTR)
			return FAILED;
	dprintf(REPORT_FD, "%.6f %.6f %.6f %ld\n", now() - start, seconds(usage.ru_utime),
	    seconds(usage.ru_stime), usage.ru_maxrss * 1024);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
