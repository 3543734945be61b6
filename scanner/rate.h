/*
 * A bound on how many things happen in a second.
 */
#ifndef FSMETA_SCANNER_RATE_H
#define FSMETA_SCANNER_RATE_H

#include <signal.h>
#include <stdint.h>

/** Zero-initialised = no bound. */
struct fsmeta_rate {
	/** Most a second, 0 = any number. */
	uint32_t most;
	/** CLOCK_MONOTONIC, ns: when what was allowed so far has used up its time. */
	int64_t used_until_ns;
};

/**
 * Allows one more, and sleeps until it is due; at once when `stop` (may be NULL) is set.
 * Time in which nothing was asked for is not saved up, but for a tenth of a second.
 */
void fsmeta_rate_wait(struct fsmeta_rate *rate, const volatile sig_atomic_t *stop);

#endif
