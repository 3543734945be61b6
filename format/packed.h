/*
 * Packed columns: protobuf varints one after the other, taken apart a column at a time.
 */
#ifndef FSMETA_FORMAT_PACKED_H
#define FSMETA_FORMAT_PACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Decodes `size` bytes into `count` values.  False unless they are exactly so many varints of
 * ten bytes at most; `values` then holds anything.  As in protobuf libraries, a number that
 * is wider than its type loses its upper bits.
 */
bool fsmeta_packed_decode(
    uint32_t *values, uint32_t count, const unsigned char *bytes, size_t size);
bool fsmeta_packed_decode_wide(
    uint64_t *values, uint32_t count, const unsigned char *bytes, size_t size);

/** The same for sint64: zigzag numbers. */
bool fsmeta_packed_decode_signed(
    int64_t *values, uint32_t count, const unsigned char *bytes, size_t size);

#endif
