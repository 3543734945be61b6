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

int64_t fsmeta_rate_take(struct fsmeta_rate *rate, uint64_t amount)
{
	int64_t now = now_ns();

	if (rate->used_until_ns < now - SLICE_NS)
		rate->used_until_ns = now - SLICE_NS;
	rate->used_until_ns += (int64_t)(amount * SECOND_NS / rate->most);
	return rate->used_until_ns;
}

void fsmeta_rate_sleep(int64_t until_ns, const volatile sig_atomic_t *stop)
{
	int64_t now = now_ns(), left;

	if (until_ns - now < SLEEP_MIN_NS)
		return;
	for (; (left = until_ns - now) > 0 && !(stop && __atomic_load_n(stop, __ATOMIC_RELAXED));
	     now = now_ns()) {
		struct timespec sleep = {.tv_nsec = left < SLICE_NS ? left : SLICE_NS};

		nanosleep(&sleep, NULL);
	}
}

void fsmeta_rate_wait(struct fsmeta_rate *rate, const volatile sig_atomic_t *stop)
{
	fsmeta_rate_sleep(fsmeta_rate_take(rate, 1), stop);
}
