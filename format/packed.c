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
 * The number behind it mostly ends within the same eight bytes and is taken along: where the
 * next one begins is what all else waits for, and it is worked out half as often.
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

/** The number that begins at bit `first` of eight bytes, and ends with bit `last`. */
static inline uint64_t cut(uint64_t word, unsigned first, unsigned last)
{
	return close_gaps((word & ~top_bits & (UINT64_MAX >> (63 - last))) >> first);
}

/** What is being filled: one of the two arrays; which one is known when this is compiled. */
struct column {
	uint32_t *narrow;
	uint64_t *wide;
	bool is_signed;
	uint32_t filled;
};

static inline __attribute__((always_inline)) void set(
    const struct column *column, uint32_t index, uint64_t value)
{
	if (column->narrow)
		column->narrow[index] = (uint32_t)value;
	else
		column->wide[index] = column->is_signed ? value >> 1 ^ (0 - (value & 1)) : value;
}

static inline __attribute__((always_inline)) void add(struct column *column, uint64_t value)
{
	set(column, column->filled++, value);
}

/** Adds the numbers of eight bytes that are one each. */
static inline __attribute__((always_inline)) void add_eight(
    struct column *column, const unsigned char *at)
{
	for (uint32_t byte = 0; byte < 8; byte++)
		set(column, column->filled + byte, at[byte]);
	column->filled += 8;
}

/**
 * Takes one or two of the varints at `at`, as many as `word`, its first eight bytes, holds whole.
 * Returns where the next one is, NULL where one is too long.
 */
static inline __attribute__((always_inline)) const unsigned char *take(
    struct column *column, const unsigned char *at, uint64_t word)
{
	uint64_t ends = ~word & top_bits, value;
	unsigned first, second;

	if (!ends) {
		if (!take_slowly(&value, &at))
			return NULL;
		add(column, value);
		return at;
	}
	first = (unsigned)__builtin_ctzll(ends);
	add(column, cut(word, 0, first));
	ends &= ends - 1;
	if (!ends)
		return at + first / 8 + 1;
	second = (unsigned)__builtin_ctzll(ends);
	add(column, cut(word, first + 1, second));
	return at + second / 8 + 1;
}

static inline __attribute__((always_inline)) bool decode(
    struct column column, uint32_t count, const unsigned char *bytes, size_t size)
{
	const unsigned char *at = bytes, *end = at + size;
	uint64_t value, word;

	if (!are_varints(count, bytes, size))
		return false;
	while (end - at >= (ptrdiff_t)sizeof(word)) {
		word = load_word(at);
		if (word & top_bits) {
			at = take(&column, at, word);
			if (!at)
				return false;
		} else {
			add_eight(&column, at);
			at += sizeof(word);
		}
	}
	while (at < end) {
		if (!take_slowly(&value, &at))
			return false;
		add(&column, value);
	}
	return true;
}

bool fsmeta_packed_decode(uint32_t *values, uint32_t count, const unsigned char *bytes, size_t size)
{
	return decode((struct column){.narrow = values}, count, bytes, size);
}

bool fsmeta_packed_decode_wide(
    uint64_t *values, uint32_t count, const unsigned char *bytes, size_t size)
{
	return decode((struct column){.wide = values}, count, bytes, size);
}

bool fsmeta_packed_decode_signed(
    int64_t *values, uint32_t count, const unsigned char *bytes, size_t size)
{
	return decode(
	    (struct column){.wide = (uint64_t *)values, .is_signed = true}, count, bytes, size);
}
