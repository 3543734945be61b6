/*
 * A good neighbour gives way: the lowest priority for the processor, and the idle class
 * for disks, in which a request is served when nobody else has one (where the disk's
 * scheduler knows classes: bfq does, mq-deadline partly, none and kyber do not).  Both
 * go for this thread and for those that it starts later, so they are set before any is.
 */
#include "tools/reading.h"

#include "scanner/scanner.h"
#include "tools/command.h"

#include <errno.h>
#include <limits.h>
#include <linux/ioprio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum option_key {
	/* Apart from those of the commands themselves. */
	OPTION_THREADS = 0x1000,
	OPTION_BACKGROUND,
	OPTION_MAX_RATE,
	LOWEST_PRIORITY = 19,
	THREADS_MAX = 256,
};

static const struct argp_option options[] = {
    {"threads", OPTION_THREADS, "N", 0,
	"Read a live tree with N threads, 1 to 256 (default: as many as pay)", 0},
    {"background", OPTION_BACKGROUND, NULL, 0,
	"Give way to everybody else: lowest priority, and the disk only when it is idle", 0},
    {"max-rate", OPTION_MAX_RATE, "N", 0,
	"Read no more than N entries a second of a live tree (with one thread)", 0},
    {0},
};

static unsigned parse_number(
    const char *name, const char *text, unsigned long most, struct argp_state *state)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || value < 1 || value > most)
		argp_error(state, "--%s: '%s' is no number from 1 to %lu", name, text, most);
	return (unsigned)value;
}

static void give_way(void)
{
	const int idle = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0);

	if (setpriority(PRIO_PROCESS, 0, LOWEST_PRIORITY) != 0)
		fsmeta_note(NULL, "warning: lowering the priority: %s", strerror(errno));
	if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, idle) != 0)
		fsmeta_note(
		    NULL, "warning: using the disk only when it is idle: %s", strerror(errno));
}

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct fsmeta_scan_options *scan = state->input;

	switch (key) {
	case OPTION_THREADS:
		scan->threads = parse_number("threads", text, THREADS_MAX, state);
		return 0;
	case OPTION_BACKGROUND:
		give_way();
		return 0;
	case OPTION_MAX_RATE:
		scan->max_rate = parse_number("max-rate", text, UINT_MAX, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp fsmeta_reading_argp = {options, parse_option, NULL, NULL, NULL, NULL, NULL};
