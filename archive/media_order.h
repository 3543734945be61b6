/*
 * When packets must be decoded, from when they are shown and the order in which they come.
 *
 * The layouts keep one time a packet, that of showing.  A decoder that holds `depth` frames back
 * brings them into order, so frame i must be decoded when frame i - depth is shown, counted in the
 * order of showing: the decode times are the sorted show times, `depth` frames late.  That is what
 * encoders write, too.
 */
#ifndef FSMETA_ARCHIVE_MEDIA_ORDER_H
#define FSMETA_ARCHIVE_MEDIA_ORDER_H

#include <stddef.h>
#include <stdint.h>

enum {
	/** Frames that H.264 and H.265 may hold back at most. */
	FSMETA_ORDER_DEPTH_MAX = 16,
	/** Times that must be known ahead, so that the first ones can be told. */
	FSMETA_ORDER_AHEAD = 128,
};

/** How many of the times before each the encoder put behind it, at most: 0 where they rise. */
uint32_t fsmeta_order_depth(const int64_t *times_us, size_t count);

/** Decode times, one after the other. */
struct fsmeta_order {
	uint32_t depth;
	/** The depth + 1 latest times that are taken and not yet handed out, sorted. */
	int64_t held[FSMETA_ORDER_DEPTH_MAX + 2];
	size_t held_count;
	/** What precedes the first, for the frames that wait for nobody. */
	int64_t before[FSMETA_ORDER_DEPTH_MAX];
	size_t before_count;
	int64_t last_us;
};

/**
 * Begins with the first times (in the order of decoding, up to FSMETA_ORDER_AHEAD of them, or
 * all), of which at least one is there; the depth is the greater of `depth` and theirs.
 */
void fsmeta_order_begin(
    struct fsmeta_order *order, uint32_t depth, const int64_t *times_us, size_t count);

/**
 * The decode time of the next packet, which is shown at time_us: later than the one before and,
 * wherever the depth holds, not later than time_us.
 */
int64_t fsmeta_order_next(struct fsmeta_order *order, int64_t time_us);

#endif
