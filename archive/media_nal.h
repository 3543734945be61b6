/*
 * H.264 and H.265 as mp4 and mkv keep them, turned into Annex B: lengths become start codes, and
 * the parameter sets come out of the container's own record.  Pure.  ISO/IEC 14496-15, 5.3.3.1 and
 * 8.3.3.1.
 */
#ifndef FSMETA_ARCHIVE_MEDIA_NAL_H
#define FSMETA_ARCHIVE_MEDIA_NAL_H

#include "archive/annexb.h"

/**
 * Reads a configuration record (avcC, hvcC): *length_bytes are the bytes of each length in packets,
 * and its parameter sets are appended to `sets`, with start codes of four bytes, VPS before SPS
 * before PPS.  What begins with a start code is Annex B already: *length_bytes is 0, and its
 * parameter sets are taken.  0, FSMETA_E_CORRUPT or FSMETA_E_MEMORY.
 */
int fsmeta_nal_parse_config(struct fsmeta_buffer *sets, unsigned *length_bytes,
    enum fsmeta_codec codec, const unsigned char *bytes, size_t size);

/**
 * Appends a packet's NAL units to `out`, a start code of four bytes in front of each.
 * FSMETA_E_CORRUPT where a length reaches beyond the packet, or there is none.
 */
int fsmeta_nal_to_annexb(
    struct fsmeta_buffer *out, unsigned length_bytes, const unsigned char *bytes, size_t size);

/**
 * How many bytes at the start of a packet are parameter sets, and the same as `sets`, byte for
 * byte; 0 where it begins otherwise.
 */
size_t fsmeta_nal_count_sets(enum fsmeta_codec codec, const struct fsmeta_buffer *sets,
    const unsigned char *bytes, size_t size);

#endif
