/*
 * Order maintenance in memory: the order stays right whatever the pattern, and
 * few labels are rewritten.
 */
#include "db/ord.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/** Members as a linked list of labels, and a sorted array to look them up in. */
struct array_list {
	struct fsmeta_ord_list list;
	int64_t *labels;
	size_t count;
};

static size_t lower_bound(const struct array_list *array, int64_t label)
{
	size_t low = 0, high = array->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (array->labels[middle] < label)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int count(struct fsmeta_ord_list *list, int64_t low, int64_t high, uint64_t *out,
    struct fsmeta_error *error)
{
	struct array_list *array = (struct array_list *)list;

	(void)error;
	*out = lower_bound(array, high) - lower_bound(array, low);
	if (lower_bound(array, high) < array->count &&
	    array->labels[lower_bound(array, high)] == high)
		++*out;
	return 0;
}

static int read_labels(struct fsmeta_ord_list *list, int64_t low, int64_t high, int64_t *labels,
    struct fsmeta_error *error)
{
	struct array_list *array = (struct array_list *)list;

	(void)error;
	for (size_t i = lower_bound(array, low); i < array->count && array->labels[i] <= high; i++)
		*labels++ = array->labels[i];
	return 0;
}

/** Moving must keep the order at every single step: no two labels meet or pass. */
static int move(struct fsmeta_ord_list *list, int64_t from, int64_t to, struct fsmeta_error *error)
{
	struct array_list *array = (struct array_list *)list;
	size_t at = lower_bound(array, from);

	(void)error;
	assert_true(at < array->count && array->labels[at] == from);
	assert_true(to >= 1);
	assert_true(at == 0 || array->labels[at - 1] < to);
	assert_true(at + 1 == array->count || array->labels[at + 1] > to);
	array->labels[at] = to;
	return 0;
}

/** Inserts so that the new member becomes number `at`. */
static void insert_at(struct array_list *array, size_t at, bool ascending)
{
	int64_t before = at ? array->labels[at - 1] : 0;
	int64_t after = at < array->count ? array->labels[at] : 0;
	int64_t label;

	assert_int_equal(
	    fsmeta_ord_insert(&label, &array->list, before, after, ascending, NULL), 0);
	assert_true(label >= 1);
	assert_true(at == 0 || array->labels[at - 1] < label);
	assert_true(at == array->count || array->labels[at] > label);
	memmove(array->labels + at + 1, array->labels + at,
	    (array->count - at) * sizeof(*array->labels));
	array->labels[at] = label;
	array->count++;
}

static void array_init(struct array_list *array, size_t start, size_t room)
{
	*array = (struct array_list){.list = {.count = count, .read = read_labels, .move = move}};
	array->labels = calloc(start + room, sizeof(*array->labels));
	assert_non_null(array->labels);
	while (array->count < start)
		insert_at(array, array->count, false);
}

enum pattern {
	PATTERN_RANDOM,
	PATTERN_FRONT,
	PATTERN_BACK,
	PATTERN_ZIGZAG,
	PATTERN_ONE_PLACE,
	PATTERN_COUNT,
};

static const char *const pattern_names[] = {"random", "front", "back", "zig-zag", "one place"};

static double run_pattern(enum pattern pattern, size_t start, size_t inserts, bool ascending)
{
	struct array_list array;
	size_t middle = start / 2;
	uint64_t state = 88172645463325252;
	double moves;

	array_init(&array, start, inserts);
	for (size_t i = 0; i < inserts; i++) {
		size_t at = 0;

		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		if (pattern == PATTERN_RANDOM)
			at = state % (array.count + 1);
		else if (pattern == PATTERN_BACK)
			at = array.count;
		else if (pattern == PATTERN_ZIGZAG)
			at = middle + (i + 1) / 2;
		else if (pattern == PATTERN_ONE_PLACE)
			at = middle;
		insert_at(&array, at, ascending);
	}
	moves = (double)array.list.moves / (double)inserts;
	free(array.labels);
	return moves;
}

static void test_patterns(void **state)
{
	(void)state;
	printf("labels rewritten per insert, into 1,000 and into an empty list:\n");
	for (int pattern = 0; pattern < PATTERN_COUNT; pattern++) {
		for (size_t inserts = 1000; inserts <= 30000; inserts *= 30) {
			double full = run_pattern((enum pattern)pattern, 1000, inserts, false);
			double empty = run_pattern((enum pattern)pattern, 0, inserts, false);
			double sequence = run_pattern((enum pattern)pattern, 1000, inserts, true);

			printf("  %-10s %6zu inserts: %6.2f %6.2f, ascending hint %6.2f\n",
			    pattern_names[pattern], inserts, full, empty, sequence);
			assert_true(full < 18);
			assert_true(empty < 18);
			assert_true(sequence < 18);
		}
	}
}

/** A list at the upper end of the labels, and one in which all are neighbours. */
static void test_edges(void **state)
{
	struct array_list array;

	(void)state;
	array_init(&array, 0, 3000);
	for (size_t i = 0; i < 1000; i++)
		array.labels[i] = FSMETA_ORD_MAX - 999 + (int64_t)i;
	array.count = 1000;
	for (size_t i = 0; i < 500; i++)
		insert_at(&array, array.count, false);
	for (size_t i = 0; i < 500; i++)
		insert_at(&array, 0, false);
	free(array.labels);

	array_init(&array, 0, 3000);
	for (size_t i = 0; i < 1000; i++)
		array.labels[i] = 1 + (int64_t)i;
	array.count = 1000;
	for (size_t i = 0; i < 500; i++)
		insert_at(&array, 0, false);
	for (size_t i = 0; i < 500; i++)
		insert_at(&array, 700, false);
	free(array.labels);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_patterns),
	    cmocka_unit_test(test_edges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
