/*
 * A bound on how much happens in a second: entries, bytes.
 */
#ifndef FSMETA_SCANNER_RATE_H
#define FSMETA_SCANNER_RATE_H

#include <signal.h>
#include <stdint.h>

/** Zero-initialised = no bound. */
struct fsmeta_rate {
	/** Most a second, 0 = any number. */
	uint64_t most;
	/** CLOCK_MONOTONIC, ns: when what was allowed so far has used up its time. */
	int64_t used_until_ns;
};

/**
 * Allows one more, and sleeps until it is due; at once when `stop` (may be NULL) is set.
 * Time in which nothing was asked for is not saved up, but for a tenth of a second.
 */
void fsmeta_rate_wait(struct fsmeta_rate *rate, const volatile sig_atomic_t *stop);

/**
 * The two halves of it, for `amount` at once (up to 2^33): the first, which wants a lock
 * where threads share a rate, says when (CLOCK_MONOTONIC, ns) it is due; the second sleeps
 * until then.
 */
int64_t fsmeta_rate_take(struct fsmeta_rate *rate, uint64_t amount);
void fsmeta_rate_sleep(int64_t until_ns, const volatile sig_atomic_t *stop);

#endif
