/*
 * The soak: one seed is one history of the model (tests/support/model.h), brought into
 * a database by the functions that scan, import, export and prune use, and judged in
 * every way that a database can be asked.  bench/soak runs a thousand of them,
 * tests/unit/test_soak.c some.
 */
#ifndef FSMETA_TESTS_SOAK_H
#define FSMETA_TESTS_SOAK_H

#include <stdint.h>

/** What was looked at, so that a run can show that it was no idle one. */
struct soak_counts {
	uint64_t generations;
	/** Entries in them, and how many of these were only carried. */
	uint64_t entries;
	uint64_t carried;
	/** Generations read back, pairs of them compared, and changes in these. */
	uint64_t reads;
	uint64_t pairs;
	uint64_t changes;
	/** Entries read for that, of whole generations and of what may differ. */
	uint64_t read_whole;
	uint64_t read_selected;
	/** Deltas applied, and their sections. */
	uint64_t deltas;
	uint64_t sections;
	/** Generations pruned. */
	uint64_t pruned;
	/** Paths whose history two databases told alike. */
	uint64_t histories;
};

/**
 * Runs one seed over `generations` generations in `folder`, which must exist and is
 * empty again afterwards.  Adds to `counts`.  What is not as expected goes to
 * expect_handler, with the seed in the text, and leaves the files where they are.
 */
void soak_run(struct soak_counts *counts, uint64_t seed, uint64_t generations, const char *folder);

#endif
