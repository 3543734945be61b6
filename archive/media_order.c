/*
 * Decode times.
 *
 *     decoded    I0  P4  B2  b1  b3  P8 …        depth 2: b1 is decoded behind two that are shown
 * later sorted      0   1   2   3   4   8 … decode at  -2  -1   0   1   2   3 …        the sorted
 * times, two places late
 *
 * A frame that is shown as number r is decoded as number r + depth at the latest. So with frame i
 * the times up to number i - depth are all known, and the smallest of depth + 1 that are held is
 * the one: nothing needs to be read ahead.  Only the first `depth` frames have no place to take a
 * time from. They get the first sorted times moved forward by what the depth takes, as x264 does
 * it, and for this the beginning must be known.
 */
#include "archive/media_order.h"

#include <stdlib.h>
#include <string.h>

enum {
	/** Between two frames, where there is but one. */
	INTERVAL_US = 40000,
};

uint32_t fsmeta_order_depth(const int64_t *times_us, size_t count)
{
	uint32_t depth = 0;

	for (size_t i = 0; i < count; i++) {
		size_t reach = i > 2 * FSMETA_ORDER_DEPTH_MAX ? i - 2 * FSMETA_ORDER_DEPTH_MAX : 0;
		uint32_t later = 0;

		for (size_t j = reach; j < i; j++)
			later += times_us[j] > times_us[i];
		depth = later > depth ? later : depth;
	}
	return depth < FSMETA_ORDER_DEPTH_MAX ? depth : FSMETA_ORDER_DEPTH_MAX;
}

static int compare_times(const void *a, const void *b)
{
	const int64_t *one = a, *other = b;

	return (*one > *other) - (*one < *other);
}

/** Times for the frames that have none to take, before `sorted`. */
static void set_before(struct fsmeta_order *order, const int64_t *sorted, size_t count)
{
	size_t depth = order->depth;
	int64_t interval = INTERVAL_US;

	order->before_count = depth;
	if (count > depth) {
		for (size_t i = 0; i < depth; i++)
			order->before[i] = sorted[i] - (sorted[depth] - sorted[0]);
		return;
	}
	if (count > 1)
		interval = (sorted[count - 1] - sorted[0]) / (int64_t)(count - 1);
	for (size_t i = 0; i < depth; i++)
		order->before[i] = sorted[0] - (int64_t)(depth - i) * interval;
}

void fsmeta_order_begin(
    struct fsmeta_order *order, uint32_t depth, const int64_t *times_us, size_t count)
{
	int64_t sorted[FSMETA_ORDER_AHEAD];
	uint32_t seen = fsmeta_order_depth(times_us, count);

	if (count > FSMETA_ORDER_AHEAD)
		count = FSMETA_ORDER_AHEAD;
	*order = (struct fsmeta_order){.depth = depth > seen ? depth : seen, .last_us = INT64_MIN};
	if (order->depth > FSMETA_ORDER_DEPTH_MAX)
		order->depth = FSMETA_ORDER_DEPTH_MAX;
	memcpy(sorted, times_us, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare_times);
	set_before(order, sorted, count);
}

/** Puts a time among those that are held. */
static void hold(struct fsmeta_order *order, int64_t time_us)
{
	size_t at = order->held_count++;

	for (; at && order->held[at - 1] > time_us; at--)
		order->held[at] = order->held[at - 1];
	order->held[at] = time_us;
}

static int64_t take_smallest(struct fsmeta_order *order)
{
	int64_t smallest = order->held[0];

	order->held_count--;
	memmove(order->held, order->held + 1, order->held_count * sizeof(*order->held));
	return smallest;
}

int64_t fsmeta_order_next(struct fsmeta_order *order, int64_t time_us)
{
	int64_t decode;

	hold(order, time_us);
	decode = order->held_count <= order->depth ? order->before[order->held_count - 1]
						   : take_smallest(order);
	/* Where the encoder went deeper than it said. */
	if (decode > time_us)
		decode = time_us;
	if (decode <= order->last_us)
		decode = order->last_us + 1;
	order->last_us = decode;
	return decode;
}
