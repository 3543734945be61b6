/*
 * CityHash64 v1.1.
 *
 * Short inputs are read from both ends, so that every byte takes part without a
 * loop, and folded by one multiplication whose factor depends on the length:
 *
 *     1 … 16   17 … 32     33 … 64             above
 *     one word two words   four words from     64 bytes at a time into
 *     from each end        each end            56 bytes of state
 *
 * Above 64 bytes the state begins with the last 64 bytes, and the chunks in front of
 * them follow from the start; the last chunk may overlap them.
 *
 * All words are little-endian.
 */
#include "format/cityhash.h"

#include <byteswap.h>
#include <endian.h>
#include <string.h>

/** Primes between 2^63 and 2^64 that the algorithm names k0, k1 and k2. */
static const uint64_t prime0 = 0xC3A5C85C97CB3127;
static const uint64_t prime1 = 0xB492B66FBE98F273;
static const uint64_t prime2 = 0x9AE16A3B2F90404F;
/** What two words are folded with where no length has a say. */
static const uint64_t fold_multiplier = 0x9DDFEA08EB382D69;

struct pair {
	uint64_t first;
	uint64_t second;
};

static inline uint64_t word(const unsigned char *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return le64toh(value);
}

static inline uint64_t half_word(const unsigned char *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return le32toh(value);
}

/** To the right, by 1 to 63. */
static inline uint64_t rotate(uint64_t value, unsigned by)
{
	return value >> by | value << (64 - by);
}

static inline uint64_t mix(uint64_t value)
{
	return value ^ value >> 47;
}

static inline uint64_t fold(uint64_t u, uint64_t v, uint64_t multiplier)
{
	return mix((v ^ mix((u ^ v) * multiplier)) * multiplier) * multiplier;
}

static inline uint64_t multiplier_for(size_t length)
{
	return prime2 + length * 2;
}

static uint64_t hash_up_to_16(const unsigned char *bytes, size_t length)
{
	uint64_t multiplier = multiplier_for(length);

	if (length >= 8) {
		uint64_t head = word(bytes) + prime2;
		uint64_t tail = word(bytes + length - 8);

		return fold(rotate(tail, 37) * multiplier + head,
		    (rotate(head, 25) + tail) * multiplier, multiplier);
	}
	if (length >= 4)
		return fold(
		    length + (half_word(bytes) << 3), half_word(bytes + length - 4), multiplier);
	if (length > 0) {
		uint64_t low = bytes[0] + ((uint64_t)bytes[length / 2] << 8);
		uint64_t high = length + ((uint64_t)bytes[length - 1] << 2);

		return mix(low * prime2 ^ high * prime0) * prime2;
	}
	return prime2;
}

static uint64_t hash_17_to_32(const unsigned char *bytes, size_t length)
{
	uint64_t multiplier = multiplier_for(length);
	uint64_t a = word(bytes) * prime1;
	uint64_t b = word(bytes + 8);
	uint64_t c = word(bytes + length - 8) * multiplier;
	uint64_t d = word(bytes + length - 16) * prime2;

	return fold(
	    rotate(a + b, 43) + rotate(c, 30) + d, a + rotate(b + prime2, 18) + c, multiplier);
}

static uint64_t hash_33_to_64(const unsigned char *bytes, size_t length)
{
	uint64_t multiplier = multiplier_for(length);
	const unsigned char *end = bytes + length;
	uint64_t a = word(bytes) * prime2;
	uint64_t b = word(bytes + 8);
	uint64_t c = word(bytes + 16) * prime2;
	uint64_t d = word(bytes + 24) * 9;
	uint64_t e = word(end - 32);
	uint64_t f = word(end - 24);
	uint64_t g = word(end - 16) * multiplier;
	uint64_t h = word(end - 8);
	uint64_t u = rotate(a + h, 43) + (rotate(b, 30) + f) * 9;
	uint64_t v = ((a + h) ^ e) + d + 1;
	uint64_t w = bswap_64((u + v) * multiplier) + g;
	uint64_t x = rotate(c + d, 42) + f;
	uint64_t y = (bswap_64((v + w) * multiplier) + h) * multiplier;
	uint64_t z = c + d + f;
	uint64_t s = bswap_64((x + z) * multiplier + y) + b;

	return mix((z + s) * multiplier + e + g) * multiplier + x;
}

/** 32 bytes and two words into two words. */
static inline struct pair absorb(const unsigned char *at, uint64_t a, uint64_t b)
{
	uint64_t start = a + word(at);
	uint64_t sum = start + word(at + 8) + word(at + 16);
	uint64_t turned = rotate(b + start + word(at + 24), 21);

	return (struct pair){sum + word(at + 24), turned + rotate(sum, 44) + start};
}

static uint64_t hash_long(const unsigned char *bytes, size_t length)
{
	const unsigned char *end = bytes + length;
	const unsigned char *last = bytes + ((length - 1) & ~(size_t)63);
	uint64_t x = word(end - 40);
	uint64_t y = word(end - 16) + word(end - 56);
	uint64_t z = fold(word(end - 48) + length, word(end - 24), fold_multiplier);
	struct pair v = absorb(end - 64, length, z);
	struct pair w = absorb(end - 32, y + prime1, x);

	x = x * prime1 + word(bytes);
	for (const unsigned char *at = bytes; at < last; at += 64) {
		uint64_t next_z = rotate(x + y + v.first + word(at + 8), 37) * prime1 ^ w.second;

		y = rotate(y + v.second + word(at + 48), 42) * prime1 + v.first + word(at + 40);
		x = rotate(z + w.first, 33) * prime1;
		z = next_z;
		v = absorb(at, v.second * prime1, z + w.first);
		w = absorb(at + 32, x + w.second, y + word(at + 16));
	}
	return fold(fold(v.first, w.first, fold_multiplier) + mix(y) * prime1 + z,
	    fold(v.second, w.second, fold_multiplier) + x, fold_multiplier);
}

uint64_t fsmeta_cityhash64(const void *bytes, size_t length)
{
	if (length <= 16)
		return hash_up_to_16(bytes, length);
	if (length <= 32)
		return hash_17_to_32(bytes, length);
	if (length <= 64)
		return hash_33_to_64(bytes, length);
	return hash_long(bytes, length);
}
