/*
 * UTF-8, quoting, base64, hexadecimal, times.
 *
 * UTF-8.  One function steps over the next character.  What may follow a lead
 * byte is table 3-7 of the Unicode standard; only the second byte has limits that
 * depend on the first, and they are what keeps out overlong forms, surrogates
 * and what lies beyond U+10FFFF:
 *
 *     lead       2nd       3rd      4th
 *     00..7F
 *     C2..DF     80..BF
 *     E0         A0..BF    80..BF
 *     E1..EF     80..BF    80..BF            (ED: 80..9F)
 *     F0         90..BF    80..BF   80..BF
 *     F1..F4     80..BF    80..BF   80..BF   (F4: 80..8F)
 *
 * Where the table is left, the bytes so far (at least one) are a *maximal
 * ill-formed subpart* and make one U+FFFD, the practice that the standard
 * recommends (chapter 3, "U+FFFD Substitution of Maximal Subparts") and that
 * browsers and Python follow, so paths look the same in all of them.
 *
 * Times.  The calendar repeats every 400 years = 146,097 days, and a year that
 * begins in March has its leap day at the end, so the day of the year gives the
 * month by a linear formula (Howard Hinnant, "chrono-Compatible Low-Level Date
 * Algorithms").  Days are what 64-bit seconds are divided into first, so nothing
 * overflows on the way out; on the way in, only the last multiplication can,
 * and is checked.
 */
#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
	NS_PER_SECOND = 1000000000,
	SECONDS_PER_DAY = 86400,
	DAYS_PER_ERA = 146097,
	YEARS_PER_ERA = 400,
	/** From 0000-03-01 to 1970-01-01. */
	DAYS_TO_EPOCH = 719468,
	/** What the year of INT64_MAX seconds has. */
	YEAR_MAX_DIGITS = 12,
};

bool fsmeta_time_to_ns(struct fsmeta_time time, int64_t *ns)
{
	int64_t seconds = time.seconds;
	int64_t rest = time.nanoseconds;

	/* Both parts get the sign of the sum: so the product overflows only if the sum does. */
	if (seconds < 0) {
		seconds += 1;
		rest -= NS_PER_SECOND;
	}
	return !__builtin_mul_overflow(seconds, (int64_t)NS_PER_SECOND, &seconds) &&
	       !__builtin_add_overflow(seconds, rest, ns);
}

/** Floored division by a positive number. */
static int64_t divide_floor(int64_t value, int64_t by, int64_t *rest)
{
	int64_t quotient = value / by;

	*rest = value % by;
	if (*rest < 0) {
		*rest += by;
		quotient--;
	}
	return quotient;
}

struct fsmeta_time fsmeta_time_from_ns(int64_t ns)
{
	struct fsmeta_time time;
	int64_t rest;

	time.seconds = divide_floor(ns, NS_PER_SECOND, &rest);
	time.nanoseconds = (uint32_t)rest;
	return time;
}

struct fsmeta_time fsmeta_time_from_us(int64_t us)
{
	struct fsmeta_time time;
	int64_t rest;

	time.seconds = divide_floor(us, NS_PER_SECOND / 1000, &rest);
	time.nanoseconds = (uint32_t)rest * 1000;
	return time;
}

struct fsmeta_time fsmeta_time_now(void)
{
	struct timespec now = {0};

	clock_gettime(CLOCK_REALTIME, &now);
	return (struct fsmeta_time){.seconds = now.tv_sec, .nanoseconds = (uint32_t)now.tv_nsec};
}

struct civil_date {
	int64_t year;
	unsigned month, day;
};

/** The date `days` after 1970-01-01. */
static struct civil_date civil_from_days(int64_t days)
{
	int64_t day_of_era;
	int64_t era = divide_floor(days + DAYS_TO_EPOCH, DAYS_PER_ERA, &day_of_era);
	int64_t year_of_era =
	    (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year =
	    day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t month_from_march = (5 * day_of_year + 2) / 153;
	int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;

	return (struct civil_date){
	    .year = era * YEARS_PER_ERA + year_of_era + (month <= 2),
	    .month = (unsigned)month,
	    .day = (unsigned)(day_of_year - (153 * month_from_march + 2) / 5 + 1),
	};
}

/** Days from 1970-01-01 to the date; the year must have at most 12 digits. */
static int64_t days_from_civil(struct civil_date date)
{
	int64_t year_of_era;
	int64_t year = date.year - (date.month <= 2);
	int64_t era = divide_floor(year, YEARS_PER_ERA, &year_of_era);
	int64_t month_from_march = date.month > 2 ? date.month - 3 : date.month + 9;
	int64_t day_of_year = (153 * month_from_march + 2) / 5 + date.day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return era * DAYS_PER_ERA + day_of_era - DAYS_TO_EPOCH;
}

static unsigned days_in_month(int64_t year, unsigned month)
{
	static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap);
}

size_t fsmeta_time_format(char out[FSMETA_TIME_TEXT_BYTES], struct fsmeta_time time)
{
	int64_t second_of_day;
	int64_t days = divide_floor(time.seconds, SECONDS_PER_DAY, &second_of_day);
	struct civil_date date = civil_from_days(days);
	unsigned second = (unsigned)second_of_day;
	const char *sign = date.year < 0 ? "-" : date.year > 9999 ? "+" : "";
	int64_t year = date.year < 0 ? -date.year : date.year;
	int length = snprintf(out, FSMETA_TIME_TEXT_BYTES,
	    "%s%04lld-%02u-%02uT%02u:%02u:%02u.%09uZ", sign, (long long)year, date.month, date.day,
	    second / 3600, second / 60 % 60, second % 60, (unsigned)time.nanoseconds);

	return (size_t)length;
}

/** What is left to be read. */
struct reader {
	const char *at;
	const char *end;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool read_character(struct reader *reader, char wanted)
{
	if (reader->at == reader->end || *reader->at != wanted)
		return false;
	reader->at++;
	return true;
}

/** At least `least` and at most `most` digits, as many as there are; their number in *count. */
static bool read_digits(
    struct reader *reader, unsigned least, unsigned most, int64_t *value, unsigned *count)
{
	*value = 0;
	*count = 0;
	while (*count < most && reader->at < reader->end && is_digit(*reader->at)) {
		*value = *value * 10 + (*reader->at++ - '0');
		++*count;
	}
	return *count >= least;
}

/** Exactly two digits from `low` to `high`. */
static bool read_two_digits(struct reader *reader, unsigned low, unsigned high, unsigned *out)
{
	int64_t value;
	unsigned count;

	if (!read_digits(reader, 2, 2, &value, &count) || value < low || value > high)
		return false;
	*out = (unsigned)value;
	return true;
}

/** Four digits, or a sign and a year that four digits cannot hold, without idle zeros. */
static bool read_year(struct reader *reader, int64_t *year)
{
	bool minus = read_character(reader, '-');
	bool plus = !minus && read_character(reader, '+');
	unsigned count;

	if (!minus && !plus)
		return read_digits(reader, 4, 4, year, &count);
	if (!read_digits(reader, 4, YEAR_MAX_DIGITS, year, &count))
		return false;
	if (plus && *year <= 9999)
		return false;
	if (*year == 0 || (count > 4 && reader->at[-(int)count] == '0'))
		return false;
	if (minus)
		*year = -*year;
	return true;
}

static bool read_date(struct reader *reader, int64_t *days)
{
	struct civil_date date;

	if (!read_year(reader, &date.year) || !read_character(reader, '-') ||
	    !read_two_digits(reader, 1, 12, &date.month) || !read_character(reader, '-') ||
	    !read_two_digits(reader, 1, days_in_month(date.year, date.month), &date.day))
		return false;
	*days = days_from_civil(date);
	return true;
}

/** "HH:MM"; seconds of it in *out. */
static bool read_hour_and_minute(struct reader *reader, int64_t *out)
{
	unsigned hour, minute;

	if (!read_two_digits(reader, 0, 23, &hour) || !read_character(reader, ':') ||
	    !read_two_digits(reader, 0, 59, &minute))
		return false;
	*out = hour * 3600 + minute * 60;
	return true;
}

static bool read_fraction(struct reader *reader, uint32_t *nanoseconds)
{
	int64_t value;
	unsigned count;

	*nanoseconds = 0;
	if (!read_character(reader, '.'))
		return true;
	if (!read_digits(reader, 1, 9, &value, &count))
		return false;
	for (; count < 9; count++)
		value *= 10;
	*nanoseconds = (uint32_t)value;
	return true;
}

/** "Z" or "+HH:MM"; seconds east of UTC in *out. */
static bool read_zone(struct reader *reader, int64_t *out)
{
	bool minus;

	*out = 0;
	if (read_character(reader, 'Z') || read_character(reader, 'z'))
		return true;
	minus = read_character(reader, '-');
	if (!minus && !read_character(reader, '+'))
		return false;
	if (!read_hour_and_minute(reader, out))
		return false;
	if (minus)
		*out = -*out;
	return true;
}

/** days * 86400 + second_of_day, where `second_of_day` is in [0, 86400). */
static bool join_seconds(int64_t days, int64_t second_of_day, int64_t *out)
{
	if (days < 0) {
		days += 1;
		second_of_day -= SECONDS_PER_DAY;
	}
	return !__builtin_mul_overflow(days, (int64_t)SECONDS_PER_DAY, &days) &&
	       !__builtin_add_overflow(days, second_of_day, out);
}

bool fsmeta_time_parse(struct fsmeta_time *out, const char *text, size_t length)
{
	struct reader reader = {.at = text, .end = length ? text + length : text};
	int64_t days, second_of_day, east;
	struct fsmeta_time time;
	unsigned second;

	if (!read_date(&reader, &days))
		return false;
	if (!read_character(&reader, 'T') && !read_character(&reader, 't'))
		return false;
	if (!read_hour_and_minute(&reader, &second_of_day) || !read_character(&reader, ':') ||
	    !read_two_digits(&reader, 0, 60, &second))
		return false;
	if (!read_fraction(&reader, &time.nanoseconds) || !read_zone(&reader, &east))
		return false;
	if (reader.at != reader.end)
		return false;
	second_of_day += second - east;
	days += divide_floor(second_of_day, SECONDS_PER_DAY, &second_of_day);
	/* A leap second is the last of a UTC day; POSIX counts it as the next day's first. */
	if (second == 60 && second_of_day != 0)
		return false;
	if (!join_seconds(days, second_of_day, &time.seconds))
		return false;
	*out = time;
	return true;
}

/** What utf8_step() reports instead of a code point. */
#define UTF8_ILL_FORMED UINT32_MAX

/** Bytes of the sequence that `lead` begins, with the limits of its second; 0 = no lead. */
static unsigned utf8_expected(unsigned char lead, unsigned char *low, unsigned char *high)
{
	*low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
	*high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
	if (lead < 0x80)
		return 1;
	if (lead < 0xC2 || lead > 0xF4)
		return 0;
	return lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

/**
 * Bytes of the character at `bytes`, or of the maximal ill-formed subpart there.
 * `left` must not be 0.
 */
static size_t utf8_step(const char *bytes, size_t left, uint32_t *code_point)
{
	unsigned char lead = (unsigned char)bytes[0], low, high;
	unsigned expected = utf8_expected(lead, &low, &high);
	uint32_t value = expected == 1 ? lead : lead & (0x7Fu >> expected);
	size_t taken = 1;

	while (taken < expected && taken < left) {
		unsigned char next = (unsigned char)bytes[taken];

		if (next < low || next > high)
			break;
		value = value << 6 | (next & 0x3F);
		low = 0x80;
		high = 0xBF;
		taken++;
	}
	*code_point = taken == expected ? value : UTF8_ILL_FORMED;
	return taken;
}

/** Bytes below 0x80 at the start of `bytes`, rounded down to a multiple of eight. */
static size_t skip_ascii(const char *bytes, size_t length)
{
	size_t at = 0;

	for (; length - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
		uint64_t wide;

		memcpy(&wide, bytes + at, sizeof(wide));
		if (wide & UINT64_C(0x8080808080808080))
			break;
	}
	return at;
}

bool fsmeta_utf8_is_valid(const char *bytes, size_t length)
{
	size_t at = 0;

	while (at < length) {
		uint32_t code_point;

		if ((unsigned char)bytes[at] < 0x80) {
			size_t ascii = skip_ascii(bytes + at, length - at);

			at += ascii ? ascii : 1;
			continue;
		}
		at += utf8_step(bytes + at, length - at, &code_point);
		if (code_point == UTF8_ILL_FORMED)
			return false;
	}
	return true;
}

/** The letter behind the backslash for a control byte, 0 where there is none. */
static char escape_letter(unsigned char byte, const char *letters)
{
	/* \a \b \t \n \v \f \r are 7 to 13; ' ' in `letters` means none. */
	if (byte < 7 || byte > 13 || letters[byte - 7] == ' ')
		return 0;
	return letters[byte - 7];
}

/** U+FFFD */
static const char replacement_character[] = "\xEF\xBF\xBD";

/** The common case, to be decided without decoding. */
static bool is_plain_ascii(char c)
{
	return c >= ' ' && c < 0x7F && c != '"' && c != '\\';
}

static bool needs_json_escape(uint32_t code_point)
{
	/* C1 controls are as good as ESC to some terminals. */
	return code_point < 0x20 || (code_point >= 0x7F && code_point < 0xA0) ||
	       code_point == '"' || code_point == '\\' || code_point == UTF8_ILL_FORMED;
}

static int append_json_escape(struct fsmeta_buffer *out, uint32_t code_point)
{
	char letter;

	if (code_point == UTF8_ILL_FORMED)
		return fsmeta_buffer_append_text(out, replacement_character);
	letter = code_point == '"' || code_point == '\\'
		     ? (char)code_point
		     : escape_letter((unsigned char)code_point, " btn fr");
	if (letter)
		return fsmeta_buffer_append_format(out, "\\%c", letter);
	return fsmeta_buffer_append_format(out, "\\u%04x", (unsigned)code_point);
}

int fsmeta_text_append_json(struct fsmeta_buffer *out, const char *bytes, size_t length)
{
	size_t run = 0, at = 0;

	while (at < length) {
		uint32_t code_point;
		size_t step;

		if (is_plain_ascii(bytes[at])) {
			at++;
			continue;
		}
		step = utf8_step(bytes + at, length - at, &code_point);
		if (needs_json_escape(code_point)) {
			if (fsmeta_buffer_append(out, bytes + run, at - run) ||
			    append_json_escape(out, code_point))
				return FSMETA_E_MEMORY;
			run = at + step;
		}
		at += step;
	}
	return run < length ? fsmeta_buffer_append(out, bytes + run, length - run) : 0;
}

int fsmeta_text_append_utf8(struct fsmeta_buffer *out, const char *bytes, size_t length)
{
	size_t run = 0, at = skip_ascii(bytes, length);

	while (at < length) {
		uint32_t code_point;
		size_t step = utf8_step(bytes + at, length - at, &code_point);

		if (code_point == UTF8_ILL_FORMED) {
			if (fsmeta_buffer_append(out, bytes + run, at - run) ||
			    fsmeta_buffer_append_text(out, replacement_character))
				return FSMETA_E_MEMORY;
			run = at + step;
		}
		at += step;
	}
	return run < length ? fsmeta_buffer_append(out, bytes + run, length - run) : 0;
}

/**
 * Invisible characters that change how their surroundings look: general category
 * Cf of Unicode 15 (bidi controls among them), and the line and paragraph
 * separators.
 */
static bool is_format_character(uint32_t code_point)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
	    {0xAD, 0xAD},
	    {0x600, 0x605},
	    {0x61C, 0x61C},
	    {0x6DD, 0x6DD},
	    {0x70F, 0x70F},
	    {0x890, 0x891},
	    {0x8E2, 0x8E2},
	    {0x180E, 0x180E},
	    {0x200B, 0x200F},
	    {0x2028, 0x202E},
	    {0x2060, 0x206F},
	    {0xFEFF, 0xFEFF},
	    {0xFFF9, 0xFFFB},
	    {0x110BD, 0x110BD},
	    {0x110CD, 0x110CD},
	    {0x13430, 0x1343F},
	    {0x1BCA0, 0x1BCA3},
	    {0x1D173, 0x1D17A},
	    {0xE0001, 0xE0001},
	    {0xE0020, 0xE007F},
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (code_point <= ranges[i].last)
			return code_point >= ranges[i].first;
	return false;
}

static bool is_printable(uint32_t code_point)
{
	if (code_point < 0xA0)
		return code_point >= 0x20 && code_point < 0x7F;
	return code_point != UTF8_ILL_FORMED && !is_format_character(code_point);
}

static bool stands_plain(uint32_t code_point)
{
	return is_printable(code_point) && code_point != '"' && code_point != '\\';
}

static bool needs_quotes(const char *bytes, size_t length)
{
	for (size_t at = 0; at < length;) {
		uint32_t code_point;

		if (is_plain_ascii(bytes[at])) {
			at++;
			continue;
		}
		at += utf8_step(bytes + at, length - at, &code_point);
		if (!stands_plain(code_point))
			return true;
	}
	return false;
}

static int append_c_escape(struct fsmeta_buffer *out, unsigned char byte)
{
	char letter = byte == '"' || byte == '\\' ? (char)byte : escape_letter(byte, "abtnvfr");

	if (letter)
		return fsmeta_buffer_append_format(out, "\\%c", letter);
	return fsmeta_buffer_append_format(out, "\\%03o", byte);
}

static int append_c_escapes(struct fsmeta_buffer *out, const char *bytes, size_t length)
{
	for (size_t at = 0; at < length; at++)
		if (append_c_escape(out, (unsigned char)bytes[at]))
			return FSMETA_E_MEMORY;
	return 0;
}

int fsmeta_text_append_quoted(struct fsmeta_buffer *out, const char *bytes, size_t length)
{
	if (!needs_quotes(bytes, length))
		return fsmeta_buffer_append(out, bytes, length);
	if (fsmeta_buffer_append_byte(out, '"'))
		return FSMETA_E_MEMORY;
	for (size_t at = 0; at < length;) {
		uint32_t code_point;
		size_t step = utf8_step(bytes + at, length - at, &code_point);
		int code = stands_plain(code_point) ? fsmeta_buffer_append(out, bytes + at, step)
						    : append_c_escapes(out, bytes + at, step);

		if (code)
			return code;
		at += step;
	}
	return fsmeta_buffer_append_byte(out, '"');
}

int fsmeta_text_append_plain(struct fsmeta_buffer *out, const char *bytes, size_t length)
{
	for (size_t at = 0; at < length;) {
		uint32_t code_point;
		size_t step = utf8_step(bytes + at, length - at, &code_point);
		int code = is_printable(code_point) ? fsmeta_buffer_append(out, bytes + at, step)
						    : append_c_escapes(out, bytes + at, step);

		if (code)
			return code;
		at += step;
	}
	return 0;
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** One to three bytes as four characters. */
static void encode_group(char out[4], const unsigned char *bytes, size_t count)
{
	uint32_t bits = (uint32_t)bytes[0] << 16;

	if (count > 1)
		bits |= (uint32_t)bytes[1] << 8;
	if (count > 2)
		bits |= bytes[2];
	out[0] = base64_digits[bits >> 18];
	out[1] = base64_digits[bits >> 12 & 63];
	out[2] = count > 1 ? base64_digits[bits >> 6 & 63] : '=';
	out[3] = count > 2 ? base64_digits[bits & 63] : '=';
}

int fsmeta_text_append_base64(struct fsmeta_buffer *out, const void *bytes, size_t length)
{
	const unsigned char *from = bytes;
	size_t size;

	if (!fsmeta_size_multiply(length / 3 + (length % 3 != 0), 4, &size) ||
	    fsmeta_buffer_reserve(out, size))
		return FSMETA_E_MEMORY;
	for (size_t at = 0; at < length; at += 3) {
		encode_group((char *)out->data + out->length, from + at, length - at);
		out->length += 4;
	}
	return 0;
}

/** The value of a digit, -1 where it is none. */
static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (is_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/** Four characters as `count` bytes (1 to 3); false where they do not encode that. */
static bool decode_group(unsigned char out[3], const char text[4], size_t count)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < 4; i++) {
		int value = i <= count ? base64_value(text[i]) : text[i] == '=' ? 0 : -1;

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
	}
	for (size_t i = 0; i < count; i++)
		out[i] = (unsigned char)(bits >> (16 - 8 * i));
	/* Bits that no byte receives must be 0, or two texts would mean the same bytes. */
	return (bits & (0xFFFFFFu >> (8 * count))) == 0;
}

int fsmeta_text_decode_base64(struct fsmeta_buffer *out, const char *text, size_t length)
{
	size_t start = out->length;

	if (length % 4)
		return FSMETA_E_CORRUPT;
	if (fsmeta_buffer_reserve(out, length / 4 * 3))
		return FSMETA_E_MEMORY;
	for (size_t at = 0; at < length; at += 4) {
		size_t count = 3;

		if (at + 4 == length && text[at + 3] == '=')
			count = text[at + 2] == '=' ? 1 : 2;
		if (!decode_group(out->data + out->length, text + at, count)) {
			out->length = start;
			return FSMETA_E_CORRUPT;
		}
		out->length += count;
	}
	return 0;
}

int fsmeta_text_append_hex(struct fsmeta_buffer *out, const void *bytes, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *from = bytes;
	size_t size;

	if (!fsmeta_size_multiply(length, 2, &size) || fsmeta_buffer_reserve(out, size))
		return FSMETA_E_MEMORY;
	for (size_t at = 0; at < length; at++) {
		out->data[out->length++] = (unsigned char)digits[from[at] >> 4];
		out->data[out->length++] = (unsigned char)digits[from[at] & 15];
	}
	return 0;
}

static int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool fsmeta_text_parse_hex(void *out, size_t size, const char *text, size_t length)
{
	unsigned char *to = out;

	if (length % 2 || length / 2 != size)
		return false;
	for (size_t at = 0; at < size; at++) {
		int high = hex_value(text[2 * at]), low = hex_value(text[2 * at + 1]);

		if (high < 0 || low < 0)
			return false;
		to[at] = (unsigned char)(high << 4 | low);
	}
	return true;
}

int fsmeta_text_append_size(struct fsmeta_buffer *out, uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	unsigned unit = 0;

	/* Up to 9.9 one decimal, from 10 on none; in the unit in which it rounds below 1024. */
	while (unit < 6 && bytes >> (10 * unit) >= 1024)
		unit++;
	while (unit > 0) {
		uint64_t one = UINT64_C(1) << (10 * unit);
		uint64_t whole = bytes / one, rest = bytes % one;
		uint64_t tenths = whole * 10 + (rest * 10 + one / 2) / one;
		uint64_t rounded = whole + (rest >= one / 2);

		if (tenths < 100)
			return fsmeta_buffer_append_format(out, "%u.%u %s", (unsigned)(tenths / 10),
			    (unsigned)(tenths % 10), units[unit]);
		if (rounded < 1024)
			return fsmeta_buffer_append_format(
			    out, "%u %s", (unsigned)rounded, units[unit]);
		unit++;
	}
	return fsmeta_buffer_append_format(out, "%u B", (unsigned)bytes);
}

int fsmeta_text_append_count(struct fsmeta_buffer *out, uint64_t count)
{
	/* 20 digits and 6 commas, filled from behind. */
	char text[26];
	size_t at = sizeof(text);
	unsigned digits = 0;

	do {
		if (digits && digits % 3 == 0)
			text[--at] = ',';
		text[--at] = (char)('0' + count % 10);
		count /= 10;
		digits++;
	} while (count);
	return fsmeta_buffer_append(out, text + at, sizeof(text) - at);
}
