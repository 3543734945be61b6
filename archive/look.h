/*
 * What a container says of how pictures are to be shown, and their bitstream often does not: which
 * way is up, and what the numbers of colours mean.  Pure.
 */
#ifndef FSMETA_ARCHIVE_LOOK_H
#define FSMETA_ARCHIVE_LOOK_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum fsmeta_look_range {
	/** Nobody says. */
	FSMETA_LOOK_RANGE_NONE = 0,
	FSMETA_LOOK_RANGE_LIMITED = 1,
	FSMETA_LOOK_RANGE_FULL = 2,
};

/** All 0: nothing is said. */
struct fsmeta_look {
	/** Quarter turns clockwise, 0 to 3, … */
	uint8_t quarters;
	/** … of the picture after its left and right were exchanged (1) or not. */
	uint8_t mirrored;
	/** enum fsmeta_look_range. */
	uint8_t range;
	/** Code points of ITU-T H.273; 0 = not said. */
	uint8_t primaries;
	uint8_t transfer;
	uint8_t matrix;
};

/**
 * The display for which pictures of high dynamic range were made, in the units of H.265 (SEI 137
 * and 144).  All 0: nothing is said.
 */
struct fsmeta_hdr {
	/** Red, green, blue and white in CIE 1931: x and y in 1/50000. */
	uint16_t points[4][2];
	/** 1/10000 cd/m². */
	uint32_t max_luminance;
	uint32_t min_luminance;
	/** Of the pictures themselves, cd/m²: the brightest point, the brightest average. */
	uint16_t max_light;
	uint16_t max_average_light;
};

enum {
	FSMETA_HDR_BYTES = 28,
};

/** The members in this order, little endian. */
static inline void fsmeta_hdr_put(unsigned char out[FSMETA_HDR_BYTES], const struct fsmeta_hdr *hdr)
{
	uint16_t numbers[FSMETA_HDR_BYTES / 2];

	memcpy(numbers, hdr->points, sizeof(hdr->points));
	numbers[8] = (uint16_t)hdr->max_luminance;
	numbers[9] = (uint16_t)(hdr->max_luminance >> 16);
	numbers[10] = (uint16_t)hdr->min_luminance;
	numbers[11] = (uint16_t)(hdr->min_luminance >> 16);
	numbers[12] = hdr->max_light;
	numbers[13] = hdr->max_average_light;
	for (size_t i = 0; i < FSMETA_HDR_BYTES / 2; i++)
		numbers[i] = htole16(numbers[i]);
	memcpy(out, numbers, FSMETA_HDR_BYTES);
}

/** What is of another size says nothing. */
static inline struct fsmeta_hdr fsmeta_hdr_get(const void *bytes, size_t size)
{
	uint16_t numbers[FSMETA_HDR_BYTES / 2];
	struct fsmeta_hdr hdr = {0};

	if (size != FSMETA_HDR_BYTES)
		return hdr;
	memcpy(numbers, bytes, sizeof(numbers));
	for (size_t i = 0; i < FSMETA_HDR_BYTES / 2; i++)
		numbers[i] = le16toh(numbers[i]);
	memcpy(hdr.points, numbers, sizeof(hdr.points));
	hdr.max_luminance = numbers[8] | (uint32_t)numbers[9] << 16;
	hdr.min_luminance = numbers[10] | (uint32_t)numbers[11] << 16;
	hdr.max_light = numbers[12];
	hdr.max_average_light = numbers[13];
	return hdr;
}

static inline bool fsmeta_hdr_has_display(const struct fsmeta_hdr *hdr)
{
	return hdr->max_luminance || hdr->points[3][0];
}

static inline bool fsmeta_hdr_has_light(const struct fsmeta_hdr *hdr)
{
	return hdr->max_light || hdr->max_average_light;
}

/**
 * As the header of an index keeps it: bits 0–1 quarter turns, 2 mirrored, 3–4 range, 8–15
 * primaries, 16–23 transfer, 24–31 matrix.
 */
static inline uint32_t fsmeta_look_pack(const struct fsmeta_look *look)
{
	return (look->quarters & 3U) | (look->mirrored & 1U) << 2 | (look->range & 3U) << 3 |
	       (uint32_t)look->primaries << 8 | (uint32_t)look->transfer << 16 |
	       (uint32_t)look->matrix << 24;
}

static inline struct fsmeta_look fsmeta_look_unpack(uint32_t packed)
{
	return (struct fsmeta_look){
	    .quarters = packed & 3,
	    .mirrored = packed >> 2 & 1,
	    .range = packed >> 3 & 3,
	    .primaries = packed >> 8 & 255,
	    .transfer = packed >> 16 & 255,
	    .matrix = packed >> 24,
	};
}

static inline bool fsmeta_look_is_same(const struct fsmeta_look *a, const struct fsmeta_look *b)
{
	return fsmeta_look_pack(a) == fsmeta_look_pack(b);
}

#endif
