#include "scanner/rate.h"

#include <errno.h>
#include <time.h>

enum {
	SECOND_NS = 1000 * 1000 * 1000,
	/** What may be saved up, and the longest sleep between two looks at the stop flag. */
	SLICE_NS = SECOND_NS / 10,
	/** Shorter sleeps are put together: a timer is not that exact. */
	SLEEP_MIN_NS = SECOND_NS / 500,
};

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

void fsmeta_rate_wait(struct fsmeta_rate *rate, const volatile sig_atomic_t *stop)
{
	int64_t now = now_ns(), left;

	if (rate->used_until_ns < now - SLICE_NS)
		rate->used_until_ns = now - SLICE_NS;
	rate->used_until_ns += SECOND_NS / rate->most;
	if (rate->used_until_ns - now < SLEEP_MIN_NS)
		return;
	for (; (left = rate->used_until_ns - now) > 0 && !(stop && *stop); now = now_ns()) {
		struct timespec sleep = {.tv_nsec = left < SLICE_NS ? left : SLICE_NS};

		nanosleep(&sleep, NULL);
	}
}
