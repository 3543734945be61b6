/*
 * H.264 and H.265 as Annex B byte streams: NAL units and access units, and which of them a
 * decoder must have first.  Pure; nothing is kept between calls.  ITU-T H.264 7.3.1, 7.4.1.2.3,
 * B.1; H.265 7.3.1, 7.4.2.4.4.
 */
#ifndef FSMETA_ARCHIVE_ANNEXB_H
#define FSMETA_ARCHIVE_ANNEXB_H

#include "base/memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fsmeta_codec {
	/** Of this codec only packets are known, nothing of their inside. */
	FSMETA_CODEC_OTHER = 0,
	FSMETA_CODEC_H264 = 1,
	FSMETA_CODEC_H265 = 2,
};

/** From the four letters of an index header. */
enum fsmeta_codec fsmeta_codec_from_name(const char name[4]);

/** A NAL unit within bytes; `size` counts its start code. */
struct fsmeta_nal {
	size_t offset;
	size_t size;
	/** nal_unit_type. */
	unsigned type;
	/** SPS, PPS, VPS. */
	bool is_parameter_set;
	/** A slice of a picture … */
	bool is_slice;
	/** … the first of one, … */
	bool is_first_slice;
	/** … with which decoding can begin (IDR; in H.265 any IRAP). */
	bool is_key;
};

/** The next NAL unit from *at on, which moves behind it.  False where there is none. */
bool fsmeta_annexb_next(struct fsmeta_nal *out, enum fsmeta_codec codec, const unsigned char *bytes,
    size_t size, size_t *at);

/** An access unit: one picture with all that goes in front of it. */
struct fsmeta_access_unit {
	size_t offset;
	size_t size;
	bool is_key;
	/** It ends where another begins, not merely where the bytes end. */
	bool is_whole;
};

/** The next access unit from *at on, which moves behind it.  False where no slice follows. */
bool fsmeta_annexb_next_unit(struct fsmeta_access_unit *out, enum fsmeta_codec codec,
    const unsigned char *bytes, size_t size, size_t *at);

/** What a packet holds that somebody else says to be Annex B. */
struct fsmeta_annexb_summary {
	/** It begins with a start code. */
	bool is_annexb;
	bool is_key;
	bool has_slices;
	/** SPS and PPS (and VPS) stand in front of the first slice. */
	bool has_parameter_sets;
};

/** What is in a packet.  Where is_annexb is false the rest tells nothing. */
void fsmeta_annexb_summarise(struct fsmeta_annexb_summary *out, enum fsmeta_codec codec,
    const unsigned char *bytes, size_t size);

/**
 * Brings `sets`, all parameter sets that are in force, up to date with a packet: each type that the
 * packet holds replaces what there was of it.  0 or FSMETA_E_MEMORY, with `sets` as it was.
 */
int fsmeta_annexb_update_sets(
    struct fsmeta_buffer *sets, enum fsmeta_codec codec, const unsigned char *bytes, size_t size);

#endif
