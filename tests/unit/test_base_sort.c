/* Sorting in memory and beyond it, against a stable naive sort. */
#include "base/sort.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct record {
	uint64_t key;
	uint64_t number;
	uint64_t rest[3];
};

/** splitmix64 */
static uint64_t next_random(uint64_t *state)
{
	uint64_t value = *state += UINT64_C(0x9e3779b97f4a7c15);

	value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
	return value ^ value >> 31;
}

static int by_key_then_number(const void *a, const void *b)
{
	const struct record *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->number < y->number ? -1 : 1;
}

static void expect_sorted(struct fsmeta_sort *sort, const struct record *wanted, size_t count)
{
	struct fsmeta_error error = {0};
	const void *record;

	for (size_t i = 0; i < count; i++) {
		assert_int_equal(fsmeta_sort_next(sort, &record, &error), 1);
		assert_memory_equal(record, &wanted[i], sizeof(wanted[i]));
	}
	assert_int_equal(fsmeta_sort_next(sort, &record, &error), 0);
	assert_null(record);
	assert_int_equal(fsmeta_sort_next(sort, &record, &error), 0);
}

/** `limit` keeps keys few, so that many are equal; 0 = any key. */
static void check(size_t count, size_t memory_bytes, uint64_t limit)
{
	struct record *records = calloc(count + 1, sizeof(*records));
	struct fsmeta_error error = {0};
	struct fsmeta_sort *sort;
	uint64_t state = count + limit;

	assert_non_null(records);
	assert_int_equal(fsmeta_sort_new(&sort, sizeof(*records), memory_bytes, &error), 0);
	for (size_t i = 0; i < count; i++) {
		records[i].key = limit ? next_random(&state) % limit : next_random(&state);
		records[i].number = i;
		records[i].rest[2] = ~records[i].key;
		assert_int_equal(fsmeta_sort_add(sort, &records[i], &error), 0);
	}
	assert_int_equal(fsmeta_sort_count(sort), count);
	qsort(records, count, sizeof(*records), by_key_then_number);
	assert_int_equal(fsmeta_sort_finish(sort, &error), 0);
	expect_sorted(sort, records, count);
	/* Again, and again after stopping on the way. */
	for (size_t stop = 0; stop < 3; stop++) {
		const void *record;

		assert_int_equal(fsmeta_sort_rewind(sort, &error), 0);
		for (size_t i = 0; i < stop && i < count; i++)
			assert_int_equal(fsmeta_sort_next(sort, &record, &error), 1);
	}
	assert_int_equal(fsmeta_sort_rewind(sort, &error), 0);
	expect_sorted(sort, records, count);
	fsmeta_sort_free(sort);
	free(records);
}

static void records_come_back_in_order(void **state)
{
	static const size_t counts[] = {0, 1, 2, 63, 64, 65, 128, 1000, 5000, 20000};
	static const uint64_t limits[] = {0, 1, 7, 300, 70000};

	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		for (size_t k = 0; k < sizeof(limits) / sizeof(limits[0]); k++) {
			check(counts[i], 0, limits[k]);
			/* 512 records at once: beyond that in runs. */
			check(counts[i], 2 * 512 * sizeof(struct record), limits[k]);
		}
}

static void too_many_runs_are_refused(void **state)
{
	struct fsmeta_error error = {0};
	struct record record = {0};
	struct fsmeta_sort *sort;

	(void)state;
	/* 64 records at once and 16 of read-ahead a run: 8 runs. */
	assert_int_equal(fsmeta_sort_new(&sort, sizeof(record), 1, &error), 0);
	for (size_t i = 0; i < 64 * 8; i++)
		assert_int_equal(fsmeta_sort_add(sort, &record, &error), 0);
	assert_int_equal(fsmeta_sort_finish(sort, &error), 0);
	fsmeta_sort_free(sort);
	assert_int_equal(fsmeta_sort_new(&sort, sizeof(record), 1, &error), 0);
	for (size_t i = 0; i < 64 * 8 + 1; i++)
		assert_int_equal(fsmeta_sort_add(sort, &record, &error), 0);
	assert_int_equal(fsmeta_sort_finish(sort, &error), FSMETA_E_LIMIT);
	fsmeta_sort_free(sort);
	fsmeta_sort_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(records_come_back_in_order),
	    cmocka_unit_test(too_many_runs_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
