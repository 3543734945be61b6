/*
 * The 64-bit word that says of one packet when it is shown, where it lies and what it is.
 * Segments and FSV share it.  Little endian on disk:
 *
 *      63                  42 41                        12 11         0
 *     +----------------------+----------------------------+------------+
 *     | time, 1/4096 s       | location in the frame file | flags      |
 *     | 22 bits, below 1024 s| 30 bits, below 1 GiB       | 12 bits    |
 *     +----------------------+----------------------------+------------+
 *
 * Time counts from the base in the header of the index.  A tick is 244 us, so frames up
 * to 4,096 a second keep times of their own; what is read back is the first microsecond of the
 * tick.
 */
#ifndef FSMETA_ARCHIVE_INDEX_WORD_H
#define FSMETA_ARCHIVE_INDEX_WORD_H

#include <stdbool.h>
#include <stdint.h>

enum {
	FSMETA_WORD_TIME_BITS = 22,
	FSMETA_WORD_LOCATION_BITS = 30,
	FSMETA_WORD_FLAG_BITS = 12,
	FSMETA_WORD_TICKS_A_SECOND = 4096,
	FSMETA_WORD_TICKS_MAX = (1 << FSMETA_WORD_TIME_BITS) - 1,
	FSMETA_WORD_LOCATION_MAX = (1 << FSMETA_WORD_LOCATION_BITS) - 1,
	FSMETA_WORD_FLAGS_MAX = (1 << FSMETA_WORD_FLAG_BITS) - 1,
};

/** Flags of a packet; the first three are those of the rf1 family. */
enum fsmeta_packet_flag {
	/** Decoding can begin here. */
	FSMETA_PACKET_KEY = 1 << 0,
	/** Parameter sets (SPS, PPS, VPS) and nothing to be shown. */
	FSMETA_PACKET_ESSENTIAL = 1 << 1,
	/** Start codes and emulation prevention bytes are in place. */
	FSMETA_PACKET_ANNEX_B = 1 << 2,
	/** With ESSENTIAL: a struct fsmeta_hdr (look.h), and nothing for the decoder. */
	FSMETA_PACKET_HDR = 1 << 3,
};

static inline uint64_t fsmeta_word_pack(uint32_t ticks, uint32_t location, uint32_t flags)
{
	return (uint64_t)ticks << (FSMETA_WORD_LOCATION_BITS + FSMETA_WORD_FLAG_BITS) |
	       (uint64_t)location << FSMETA_WORD_FLAG_BITS | flags;
}

static inline uint32_t fsmeta_word_ticks(uint64_t word)
{
	return (uint32_t)(word >> (FSMETA_WORD_LOCATION_BITS + FSMETA_WORD_FLAG_BITS));
}

static inline uint32_t fsmeta_word_location(uint64_t word)
{
	return (uint32_t)(word >> FSMETA_WORD_FLAG_BITS) & FSMETA_WORD_LOCATION_MAX;
}

static inline uint32_t fsmeta_word_flags(uint64_t word)
{
	return (uint32_t)word & FSMETA_WORD_FLAGS_MAX;
}

/** Sets *ticks to the tick that holds `offset_us` after the base; false, and 0, where none does. */
static inline bool fsmeta_ticks_from_us(uint32_t *ticks, int64_t offset_us)
{
	*ticks = 0;
	if (offset_us < 0 || offset_us >= 1024 * INT64_C(1000000))
		return false;
	*ticks = (uint32_t)(offset_us * FSMETA_WORD_TICKS_A_SECOND / 1000000);
	return true;
}

/** First microsecond of a tick, so that it comes back as the same tick. */
static inline int64_t fsmeta_ticks_to_us(uint32_t ticks)
{
	return ((int64_t)ticks * 1000000 + FSMETA_WORD_TICKS_A_SECOND - 1) /
	       FSMETA_WORD_TICKS_A_SECOND;
}

#endif
