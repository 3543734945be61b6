/*
 * CityHash64, version 1.1: the hash that paths.idx finds a path by.
 *
 * Source: "CityHash", Geoff Pike and Jyrki Alakuijala, Google 2011, version 1.1 of
 * 22 October 2012, https://github.com/google/cityhash.  Written anew from the
 * algorithm; tests/unit/test_format_cityhash.c has its published vectors.
 */
#ifndef FSMETA_FORMAT_CITYHASH_H
#define FSMETA_FORMAT_CITYHASH_H

#include <stddef.h>
#include <stdint.h>

/** CityHash64 of `length` bytes.  Equal on every machine.  Not for secrets. */
uint64_t fsmeta_cityhash64(const void *bytes, size_t length);

#endif
