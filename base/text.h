/*
 * Text for people and for machines: UTF-8, quoting, base64, RFC 3339 times.
 */
#ifndef FSMETA_BASE_TEXT_H
#define FSMETA_BASE_TEXT_H

#include "base/memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * A point in time: whole seconds since 1970-01-01 UTC, floored, and
 * nanoseconds 0 to 999,999,999 after it.  Half a second before the epoch is
 * {-1, 500000000}.
 */
struct fsmeta_time {
	int64_t seconds;
	uint32_t nanoseconds;
};

/** <0, 0, >0. */
static inline int fsmeta_time_compare(struct fsmeta_time a, struct fsmeta_time b)
{
	if (a.seconds != b.seconds)
		return a.seconds < b.seconds ? -1 : 1;
	return (a.nanoseconds > b.nanoseconds) - (a.nanoseconds < b.nanoseconds);
}

/** Sets *ns to signed nanoseconds since 1970; false where it does not fit int64. */
bool fsmeta_time_to_ns(struct fsmeta_time time, int64_t *ns);

/** The reverse, always exact. */
struct fsmeta_time fsmeta_time_from_ns(int64_t ns);

/** The same of microseconds: always exact, also behind the year 2262. */
struct fsmeta_time fsmeta_time_from_us(int64_t us);

/** CLOCK_REALTIME now. */
struct fsmeta_time fsmeta_time_now(void);

enum {
	/** Room for any RFC 3339 time below with its NUL. */
	FSMETA_TIME_TEXT_BYTES = 48,
};

/**
 * "2026-11-20T10:00:00.000000001Z", proleptic Gregorian, always nine digits.
 * Years outside 0000 to 9999 are written with a sign and at least four digits
 * ("+12026-…", "-0001-…"), as ISO 8601 expanded years.  Returns its length.
 */
size_t fsmeta_time_format(char out[FSMETA_TIME_TEXT_BYTES], struct fsmeta_time time);

/**
 * Reads what fsmeta_time_format() writes, and RFC 3339 with fewer or no
 * fraction digits, with "Z" or an offset ("T" and "Z" in either case).  A leap
 * second, which must be the last of a UTC day, is the first of the next, as POSIX
 * counts.  False on anything else, on days that the calendar lacks and on what
 * does not fit int64 seconds; *out is then untouched.
 */
bool fsmeta_time_parse(struct fsmeta_time *out, const char *text, size_t length);

/** True where `bytes` is well-formed UTF-8 (no surrogates, no overlong forms). */
bool fsmeta_utf8_is_valid(const char *bytes, size_t length);

/**
 * Appends `bytes` as the inside of a JSON string: '"', '\\' and control bytes
 * (DEL and C1 too) escaped, each maximal ill-formed part replaced by U+FFFD,
 * everything else as it is.
 * 0 or FSMETA_E_MEMORY.
 */
int fsmeta_text_append_json(struct fsmeta_buffer *out, const char *bytes, size_t length);

/**
 * Appends `bytes` as UTF-8: as they are, but each maximal ill-formed part replaced by
 * U+FFFD.  0 or FSMETA_E_MEMORY.
 */
int fsmeta_text_append_utf8(struct fsmeta_buffer *out, const char *bytes, size_t length);

/**
 * Appends `bytes` for a terminal: as they are if all is printable UTF-8 without
 * '"' or '\\', otherwise as a C string in double quotes with \a \b \t \n \v \f \r
 * \" \\ and three-digit octal for all other control bytes, C1 controls, bidi and
 * other format characters, and ill-formed bytes (git's quoting).
 * 0 or FSMETA_E_MEMORY.
 */
int fsmeta_text_append_quoted(struct fsmeta_buffer *out, const char *bytes, size_t length);

/**
 * Appends a sentence for a terminal: escapes as above for what is not printable,
 * but no quotes around it, and '"' and '\\' stand for themselves.
 */
int fsmeta_text_append_plain(struct fsmeta_buffer *out, const char *bytes, size_t length);

/** Appends RFC 4648 base64 with padding. */
int fsmeta_text_append_base64(struct fsmeta_buffer *out, const void *bytes, size_t length);

/**
 * Appends the bytes that `text` encodes; FSMETA_E_CORRUPT where it is no base64 as
 * the function above writes it (padding, no line ends, unused bits 0); `out` is
 * then as it was.
 */
int fsmeta_text_decode_base64(struct fsmeta_buffer *out, const char *text, size_t length);

/** Appends lower-case hexadecimal. */
int fsmeta_text_append_hex(struct fsmeta_buffer *out, const void *bytes, size_t length);

/**
 * Reads exactly `size` bytes from 2 * size hexadecimal digits of either case;
 * false otherwise, with `out` undefined.
 */
bool fsmeta_text_parse_hex(void *out, size_t size, const char *text, size_t length);

/** Appends a size for people, rounded: "999 B", "1.5 KiB", "12 GiB"; one decimal below 10. */
int fsmeta_text_append_size(struct fsmeta_buffer *out, uint64_t bytes);

/** Appends a count with thin grouping: "1,234,567". */
int fsmeta_text_append_count(struct fsmeta_buffer *out, uint64_t count);

#endif
