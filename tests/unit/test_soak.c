/*
 * A share of the soak: as many seeds as take some seconds, of which bench/soak runs a
 * thousand.  FSMETA_SOAK_SEED says where to begin (1), FSMETA_SOAK_SEEDS how many.
 */
#include "tests/support/expect.h"
#include "tests/support/soak.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	GENERATIONS = 20,
	SEEDS = 4,
};

static void fail_with(const char *text)
{
	fail_msg("%s", text);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void seeds_hold_in_every_way(void **state)
{
	uint64_t first = from_environment("FSMETA_SOAK_SEED", 1);
	uint64_t count = from_environment("FSMETA_SOAK_SEEDS", SEEDS);
	char folder[] = "/tmp/fsmeta-test-XXXXXX";
	struct soak_counts counts = {0};

	(void)state;
	assert_non_null(mkdtemp(folder));
	for (uint64_t seed = first; seed < first + count; seed++)
		soak_run(&counts, seed, GENERATIONS, folder);
	/* Nothing may be left, and it was no idle run. */
	assert_int_equal(rmdir(folder), 0);
	assert_int_equal(counts.generations, count * GENERATIONS);
	assert_true(counts.carried > count && counts.changes > count && counts.deltas >= count);
	assert_true(counts.read_selected < counts.read_whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(seeds_hold_in_every_way),
	};

	expect_handler = fail_with;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
