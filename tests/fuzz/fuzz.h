/*
 * What the fuzz targets share.
 */
#ifndef FSMETA_TESTS_FUZZ_H
#define FSMETA_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/** One input; returns 0.  Defined by every target, called by libFuzzer or replay.c. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** A broken promise ends the program, in every kind of build. */
#define FUZZ_ASSERT(condition)    \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

#endif
