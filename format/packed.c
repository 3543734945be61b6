/*
 * Decoding packed columns.
 *
 * A varint has seven bits a byte, the lowest first, and the top bit set in all bytes but its
 * last.  A protobuf library looks at the bytes one by one, and there are tens of millions.
 * Here eight are looked at together:
 *
 *     bytes    05 01 07 00 02 11 01 03      no top bit set: eight numbers at once, which
 *                                           is the rule for levels and lengths
 *
 *     bytes    E9 D3 92 06 | 05 01 07 00    the lowest byte without a top bit ends the
 *                       ▲                   number; the bits in front of it are moved together
 *                                           in three steps, pairs, fours, eights:
 *              0gggggggffffffff…  ─►  7 + 7 = 14, 14 + 14 = 28, 28 + 28 = 56 bits
 *
 * That there are as many numbers as there ought to be is counted first, as bytes without a top
 * bit.  Where the count is right and the last byte is one of them, every number ends
 * within the column, and nothing has to be compared with its end but the reading of eight
 * bytes.
 */
#include "format/packed.h"

#include <endian.h>
#include <string.h>

enum {
	VARINT_MAX_BYTES = 10,
};

static const uint64_t top_bits = 0x8080808080808080U;

/** True where the bytes are `count` varints, as far as their number and the last one's end go. */
static bool are_varints(uint32_t count, const unsigned char *bytes, size_t size)
{
	size_t ends = 0;

	for (size_t i = 0; i < size; i++)
		ends += !(bytes[i] & 0x80);
	return ends == count && (!size || !(bytes[size - 1] & 0x80));
}

static uint64_t load_word(const unsigned char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return le64toh(word);
}

/** Moves the lower seven bits of all bytes together. */
static uint64_t close_gaps(uint64_t word)
{
	word = (word & 0x007F007F007F007FU) | (word & 0x7F007F007F007F00U) >> 1;
	word = (word & 0x00003FFF00003FFFU) | (word & 0x3FFF00003FFF0000U) >> 2;
	return (word & 0x0FFFFFFFU) | (word & 0x0FFFFFFF00000000U) >> 4;
}

/** Takes the varint at *at, byte by byte.  False where it is too long. */
static bool take_slowly(uint64_t *value, const unsigned char **at)
{
	*value = 0;
	for (unsigned i = 0; i < VARINT_MAX_BYTES; i++) {
		unsigned char byte = *(*at)++;

		*value |= (uint64_t)(byte & 0x7F) << (7 * i);
		if (!(byte & 0x80))
			return true;
	}
	return false;
}

/** Takes the varint at *at, of which `word` are the first eight bytes. */
static inline bool take(uint64_t *value, const unsigned char **at, uint64_t word)
{
	uint64_t ends = ~word & top_bits;
	unsigned last_bit;

	if (!ends)
		return take_slowly(value, at);
	last_bit = (unsigned)__builtin_ctzll(ends);
	*at += last_bit / 8 + 1;
	*value = close_gaps(word & ~top_bits & (UINT64_MAX >> (63 - last_bit)));
	return true;
}

/** One of the two arrays is NULL, which is known when this is compiled. */
static inline void set(uint32_t *narrow, uint64_t *wide, uint32_t index, uint64_t value)
{
	if (narrow)
		narrow[index] = (uint32_t)value;
	else
		wide[index] = value;
}

static inline __attribute__((always_inline)) bool decode(uint32_t *restrict narrow,
    uint64_t *restrict wide, uint32_t count, const unsigned char *bytes, size_t size)
{
	const unsigned char *at = bytes, *end = at + size;
	uint32_t i = 0;

	if (!are_varints(count, bytes, size))
		return false;
	while (i < count) {
		bool is_whole = true;
		uint64_t value, word;

		if (end - at < (ptrdiff_t)sizeof(word)) {
			is_whole = take_slowly(&value, &at);
		} else {
			word = load_word(at);
			if (!(word & top_bits)) {
				for (uint32_t byte = 0; byte < sizeof(word); byte++)
					set(narrow, wide, i + byte, at[byte]);
				at += sizeof(word);
				i += sizeof(word);
				continue;
			}
			is_whole = take(&value, &at, word);
		}
		if (!is_whole)
			return false;
		set(narrow, wide, i++, value);
	}
	return true;
}

bool fsmeta_packed_decode(uint32_t *values, uint32_t count, const unsigned char *bytes, size_t size)
{
	return decode(values, NULL, count, bytes, size);
}

bool fsmeta_packed_decode_wide(
    uint64_t *values, uint32_t count, const unsigned char *bytes, size_t size)
{
	return decode(NULL, values, count, bytes, size);
}

bool fsmeta_packed_decode_signed(
    int64_t *values, uint32_t count, const unsigned char *bytes, size_t size)
{
	uint64_t *wide = (uint64_t *)values;

	if (!decode(NULL, wide, count, bytes, size))
		return false;
	for (uint32_t i = 0; i < count; i++)
		wide[i] = wide[i] >> 1 ^ (0 - (wide[i] & 1));
	return true;
}
