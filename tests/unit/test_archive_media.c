/* Lengths into start codes, and decode times out of show times. */
#include "archive/index_word.h"
#include "archive/media_grid.h"
#include "archive/media_nal.h"
#include "archive/media_order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const unsigned char sps[] = {0x67, 0x64, 0x00, 0x0a, 0xac};
static const unsigned char pps[] = {0x68, 0xee, 0x3c, 0x80};
static const unsigned char idr[] = {0x65, 0x88, 0x84, 0x00, 0x33};

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void put(struct fsmeta_buffer *out, const void *bytes, size_t size)
{
	assert_int_equal(fsmeta_buffer_append(out, bytes, size), 0);
}

/** A big-endian number. */
static void put_number(struct fsmeta_buffer *out, size_t value, unsigned bytes)
{
	while (bytes--) {
		const unsigned char byte = (unsigned char)(value >> 8 * bytes);

		put(out, &byte, 1);
	}
}

static void put_unit(struct fsmeta_buffer *out, const void *bytes, size_t size)
{
	put(out, "\0\0\0\1", 4);
	put(out, bytes, size);
}

static void assert_same(const struct fsmeta_buffer *a, const struct fsmeta_buffer *b)
{
	assert_int_equal(a->length, b->length);
	assert_memory_equal(a->data, b->data, a->length);
}

/** avcC with one of each, in the order that is asked for. */
static void put_avcc(struct fsmeta_buffer *out)
{
	put(out, "\1\x64\0\x0a\xff\xe1", 6);
	put_number(out, sizeof(sps), 2);
	put(out, sps, sizeof(sps));
	put(out, "\1", 1);
	put_number(out, sizeof(pps), 2);
	put(out, pps, sizeof(pps));
}

static void test_avcc(void **state)
{
	struct fsmeta_buffer record = {0}, sets = {0}, wanted = {0};
	unsigned length_bytes = 0;

	(void)state;
	put_avcc(&record);
	put_unit(&wanted, sps, sizeof(sps));
	put_unit(&wanted, pps, sizeof(pps));
	assert_int_equal(fsmeta_nal_parse_config(
			     &sets, &length_bytes, FSMETA_CODEC_H264, record.data, record.length),
	    0);
	assert_int_equal(length_bytes, 4);
	assert_same(&sets, &wanted);

	/* Annex B says the same, and has no lengths. */
	fsmeta_buffer_release(&sets);
	assert_int_equal(fsmeta_nal_parse_config(
			     &sets, &length_bytes, FSMETA_CODEC_H264, wanted.data, wanted.length),
	    0);
	assert_int_equal(length_bytes, 0);
	assert_same(&sets, &wanted);

	/* Cut anywhere, it is damaged, and what is read stays within it. */
	for (size_t size = 1; size < record.length; size++) {
		struct fsmeta_buffer none = {0};
		unsigned char *exact = malloc(size);

		assert_non_null(exact);
		memcpy(exact, record.data, size);
		assert_int_equal(
		    fsmeta_nal_parse_config(&none, &length_bytes, FSMETA_CODEC_H264, exact, size),
		    FSMETA_E_CORRUPT);
		assert_int_equal(none.length, 0);
		free(exact);
	}
	fsmeta_buffer_release(&record);
	fsmeta_buffer_release(&sets);
	fsmeta_buffer_release(&wanted);
}

static void test_hvcc(void **state)
{
	/* Arrays in another order than decoders want them, and one that is none of theirs. */
	static const unsigned char types[] = {34, 39, 33, 32};
	static const unsigned char order[] = {32, 33, 34};
	struct fsmeta_buffer record = {0}, sets = {0}, wanted = {0};
	unsigned length_bytes = 0;

	(void)state;
	for (size_t i = 0; i < 21; i++)
		put_number(&record, i == 0, 1);
	put_number(&record, 0xfd, 1);
	put_number(&record, sizeof(types), 1);
	for (size_t i = 0; i < sizeof(types); i++) {
		const unsigned char nal[] = {(unsigned char)(types[i] << 1), 1, 0x80, types[i]};

		put_number(&record, 0x80 | types[i], 1);
		put_number(&record, 1, 2);
		put_number(&record, sizeof(nal), 2);
		put(&record, nal, sizeof(nal));
	}
	for (size_t i = 0; i < sizeof(order); i++) {
		const unsigned char nal[] = {(unsigned char)(order[i] << 1), 1, 0x80, order[i]};

		put_unit(&wanted, nal, sizeof(nal));
	}
	assert_int_equal(fsmeta_nal_parse_config(
			     &sets, &length_bytes, FSMETA_CODEC_H265, record.data, record.length),
	    0);
	assert_int_equal(length_bytes, 2);
	assert_same(&sets, &wanted);
	for (size_t size = 1; size < record.length; size++) {
		struct fsmeta_buffer none = {0};

		assert_int_equal(fsmeta_nal_parse_config(
				     &none, &length_bytes, FSMETA_CODEC_H265, record.data, size),
		    FSMETA_E_CORRUPT);
		fsmeta_buffer_release(&none);
	}
	fsmeta_buffer_release(&record);
	fsmeta_buffer_release(&sets);
	fsmeta_buffer_release(&wanted);
}

static void test_lengths(void **state)
{
	uint64_t random = 1;

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		struct fsmeta_buffer lengths = {0}, out = {0}, wanted = {0};
		unsigned length_bytes = 1 + round % 4;
		size_t units = 1 + next_random(&random) % 5, last = 0;

		for (size_t i = 0; i < units; i++) {
			unsigned char nal[200];
			size_t size = 1 + next_random(&random) % sizeof(nal);

			for (size_t n = 0; n < size; n++)
				nal[n] = (unsigned char)next_random(&random);
			last = lengths.length;
			put_number(&lengths, size, length_bytes);
			put(&lengths, nal, size);
			put_unit(&wanted, nal, size);
		}
		assert_int_equal(
		    fsmeta_nal_to_annexb(&out, length_bytes, lengths.data, lengths.length), 0);
		assert_same(&out, &wanted);
		/* Cut within a unit, or where nothing is left. */
		for (size_t size = last + 1; size < lengths.length; size++) {
			fsmeta_buffer_clear(&out);
			assert_int_equal(
			    fsmeta_nal_to_annexb(&out, length_bytes, lengths.data, size),
			    FSMETA_E_CORRUPT);
		}
		assert_int_equal(
		    fsmeta_nal_to_annexb(&out, length_bytes, lengths.data, 0), FSMETA_E_CORRUPT);
		fsmeta_buffer_release(&lengths);
		fsmeta_buffer_release(&out);
		fsmeta_buffer_release(&wanted);
	}
}

static void test_sets_in_front(void **state)
{
	struct fsmeta_buffer sets = {0}, packet = {0};

	(void)state;
	put_unit(&sets, sps, sizeof(sps));
	put_unit(&sets, pps, sizeof(pps));
	put(&packet, sets.data, sets.length);
	/* Nothing but sets is no picture, and stays. */
	assert_int_equal(
	    fsmeta_nal_count_sets(FSMETA_CODEC_H264, &sets, packet.data, packet.length), 0);
	put_unit(&packet, idr, sizeof(idr));
	assert_int_equal(
	    fsmeta_nal_count_sets(FSMETA_CODEC_H264, &sets, packet.data, packet.length),
	    sets.length);
	/* One byte of them is another. */
	packet.data[6] ^= 1;
	assert_int_equal(
	    fsmeta_nal_count_sets(FSMETA_CODEC_H264, &sets, packet.data, packet.length), 0);
	fsmeta_buffer_release(&sets);
	fsmeta_buffer_release(&packet);
}

/* ---- order ---- */

static int compare_times(const void *a, const void *b)
{
	const int64_t *one = a, *other = b;

	return (*one > *other) - (*one < *other);
}

/**
 * Show times in the order of decoding, of groups I P B… as encoders make them: each frame is
 * decoded at most `depth` places behind its place in time.
 */
static void make_times(int64_t *times, size_t count, uint32_t depth, uint64_t *random)
{
	int64_t waiting[FSMETA_ORDER_DEPTH_MAX + 1];
	size_t held = 0, next = 0;
	int64_t now = 0;

	for (size_t i = 0; i < count; i++) {
		size_t take;

		/* Frames depth ahead of the earliest that is not decoded may be. */
		while (held < depth + 1 && next < count) {
			now += 1 + (int64_t)(next_random(random) % 50000);
			waiting[held++] = now;
			next++;
		}
		take = next_random(random) % held;
		/* waiting[0] is the earliest: it may wait for `depth` others, no longer. */
		if (i && times[i - 1] > waiting[0] + 200000)
			take = 0;
		times[i] = waiting[take];
		memmove(&waiting[take], &waiting[take + 1], (--held - take) * sizeof(*waiting));
	}
}

/** All frames that are decoded before one and shown after it. */
static uint32_t count_depth(const int64_t *times, size_t count)
{
	uint32_t depth = 0;

	for (size_t i = 0; i < count; i++) {
		uint32_t later = 0;

		for (size_t j = 0; j < i; j++)
			later += times[j] > times[i];
		depth = later > depth ? later : depth;
	}
	return depth;
}

static void check_order(const int64_t *times, size_t count, uint32_t depth)
{
	struct fsmeta_order order;
	int64_t *sorted = malloc(count * sizeof(*sorted));
	int64_t last = INT64_MIN;

	assert_non_null(sorted);
	memcpy(sorted, times, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare_times);
	fsmeta_order_begin(
	    &order, depth, times, count < FSMETA_ORDER_AHEAD ? count : FSMETA_ORDER_AHEAD);
	for (size_t i = 0; i < count; i++) {
		int64_t decode = fsmeta_order_next(&order, times[i]);

		assert_true(decode > last);
		assert_true(decode <= times[i]);
		/* The sorted times, so many places late. */
		if (i >= order.depth)
			assert_int_equal(decode, sorted[i - order.depth]);
		last = decode;
	}
	free(sorted);
}

static void test_order(void **state)
{
	static int64_t times[1000];
	uint64_t random = 7;

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		size_t count = 1 + next_random(&random) % (round % 10 ? 60 : 1000);
		uint32_t depth;

		make_times(times, count, round % 5, &random);
		depth = count_depth(times, count);
		if (depth > FSMETA_ORDER_DEPTH_MAX)
			continue;
		if (count <= FSMETA_ORDER_AHEAD)
			assert_int_equal(fsmeta_order_depth(times, count), depth);
		/* By itself where all is seen, and told what a decoder would say. */
		check_order(times, count, depth);
		check_order(times, count, depth < FSMETA_ORDER_DEPTH_MAX ? depth + 1 : depth);
	}
}

static void test_order_as_encoded(void **state)
{
	/* I P B b b, 40 ms: x264's own decode times are -80, -40, 0, 40, 80 … */
	static const int64_t shown[] = {
	    0, 160000, 80000, 40000, 120000, 320000, 240000, 200000, 280000};
	struct fsmeta_order order;

	(void)state;
	fsmeta_order_begin(&order, 0, shown, 9);
	assert_int_equal(order.depth, 2);
	for (int i = 0; i < 9; i++)
		assert_int_equal(fsmeta_order_next(&order, shown[i]), (i - 2) * 40000);
	/* A single frame. */
	fsmeta_order_begin(&order, 2, shown, 1);
	assert_true(fsmeta_order_next(&order, 0) < 0);
}

static void test_order_deeper_than_said(void **state)
{
	/* What lies behind the look ahead is deeper: times still rise, by a microsecond where need
	 * be. */
	int64_t times[FSMETA_ORDER_AHEAD + 6], last = INT64_MIN;
	struct fsmeta_order order;

	(void)state;
	for (int i = 0; i < FSMETA_ORDER_AHEAD + 6; i++)
		times[i] = i * 40000;
	times[FSMETA_ORDER_AHEAD + 1] = (FSMETA_ORDER_AHEAD + 4) * 40000 + 1;
	times[FSMETA_ORDER_AHEAD + 5] = (FSMETA_ORDER_AHEAD + 1) * 40000;
	fsmeta_order_begin(&order, 0, times, FSMETA_ORDER_AHEAD);
	assert_int_equal(order.depth, 0);
	for (int i = 0; i < FSMETA_ORDER_AHEAD + 6; i++) {
		int64_t decode = fsmeta_order_next(&order, times[i]);

		assert_true(decode > last);
		last = decode;
	}
}

/* ---- grid ---- */

/** As an index word keeps a time. */
static int64_t cut_to_tick(int64_t base_us, int64_t time_us)
{
	uint32_t ticks;

	assert_true(fsmeta_ticks_from_us(&ticks, time_us - base_us));
	return base_us + fsmeta_ticks_to_us(ticks);
}

static void test_grid(void **state)
{
	static const uint32_t rates[][2] = {
	    {1, 1}, {25, 2}, {24000, 1001}, {25, 1}, {30000, 1001}, {60, 1}, {1000, 1}};
	const int64_t base_us = INT64_C(1795168800000000);
	uint64_t random = 3;

	(void)state;
	for (unsigned round = 0; round < 700; round++) {
		const uint32_t *rate = rates[round % 7];
		const int64_t phase_us = (int64_t)(next_random(&random) % 100000);
		int64_t wanted[100], times[100];
		struct fsmeta_grid grid;
		uint64_t number = 0;

		for (int i = 0; i < 100; i++) {
			wanted[i] = base_us + phase_us +
				    (int64_t)(number * 1000000 * rate[1] + rate[0] / 2) / rate[0];
			times[i] = cut_to_tick(base_us, wanted[i]);
			/* Frames that were left out. */
			number += 1 + (next_random(&random) % 4 == 0);
		}
		fsmeta_grid_find(&grid, times, 100);
		assert_int_not_equal(grid.frames, 0);
		for (int i = 1; i < 100; i++) {
			int64_t got =
			    fsmeta_grid_snap(&grid, times[i]) - fsmeta_grid_snap(&grid, times[0]);

			/* Rounded to microseconds three times. */
			assert_true(llabs(got - (wanted[i] - wanted[0])) <= 2);
		}
	}
}

static void test_no_grid(void **state)
{
	uint64_t random = 5;

	(void)state;
	for (unsigned round = 0; round < 100; round++) {
		int64_t times[100], now = 0;
		struct fsmeta_grid grid;

		for (int i = 0; i < 100; i++)
			times[i] = now += 10000 + (int64_t)(next_random(&random) % 30000);
		fsmeta_grid_find(&grid, times, 100);
		assert_int_equal(grid.frames, 0);
		assert_int_equal(fsmeta_grid_snap(&grid, times[50]), times[50]);
		/* Two times say nothing. */
		fsmeta_grid_find(&grid, times, 2);
		assert_int_equal(grid.frames, 0);
	}
	/* A rate that drifts away, and what lies beyond all reach, is left as it is. */
	{
		int64_t times[] = {0, 40000, 80000, 120000};
		struct fsmeta_grid grid;

		fsmeta_grid_find(&grid, times, 4);
		assert_int_equal(fsmeta_grid_snap(&grid, 4000100), 4000000);
		assert_int_equal(fsmeta_grid_snap(&grid, 4000300), 4000300);
		assert_int_equal(fsmeta_grid_snap(&grid, INT64_MAX / 4), INT64_MAX / 4);
		assert_int_equal(fsmeta_grid_snap(&grid, INT64_MIN / 4), INT64_MIN / 4);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_avcc),
	    cmocka_unit_test(test_hvcc),
	    cmocka_unit_test(test_lengths),
	    cmocka_unit_test(test_sets_in_front),
	    cmocka_unit_test(test_order),
	    cmocka_unit_test(test_order_as_encoded),
	    cmocka_unit_test(test_order_deeper_than_said),
	    cmocka_unit_test(test_grid),
	    cmocka_unit_test(test_no_grid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
