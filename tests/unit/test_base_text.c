/* Times, UTF-8, quoting, base64, hexadecimal, numbers for people. */
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static uint64_t random_bits(void)
{
	/* xorshift64*, so that a failure repeats everywhere. */
	static uint64_t seed = UINT64_C(0x9E3779B97F4A7C15);

	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * UINT64_C(2685821657736338717);
}

static struct fsmeta_time at(int64_t seconds, uint32_t nanoseconds)
{
	return (struct fsmeta_time){.seconds = seconds, .nanoseconds = nanoseconds};
}

static bool parse(const char *text, struct fsmeta_time *out)
{
	return fsmeta_time_parse(out, text, strlen(text));
}

static void assert_both_ways(int64_t seconds, uint32_t nanoseconds, const char *expected)
{
	char text[FSMETA_TIME_TEXT_BYTES];
	size_t length = fsmeta_time_format(text, at(seconds, nanoseconds));
	struct fsmeta_time back;

	assert_int_equal(length, strlen(text));
	if (expected)
		assert_string_equal(text, expected);
	assert_true(fsmeta_time_parse(&back, text, length));
	assert_true(back.seconds == seconds);
	assert_int_equal(back.nanoseconds, nanoseconds);
}

static void test_time_known(void **state)
{
	(void)state;
	assert_both_ways(0, 0, "1970-01-01T00:00:00.000000000Z");
	assert_both_ways(-1, 500000000, "1969-12-31T23:59:59.500000000Z");
	assert_both_ways(1795168800, 1, "2026-11-20T10:00:00.000000001Z");
	assert_both_ways(951782400, 0, "2000-02-29T00:00:00.000000000Z");
	assert_both_ways(-2203891200, 0, "1900-03-01T00:00:00.000000000Z");
	assert_both_ways(-2203891201, 0, "1900-02-28T23:59:59.000000000Z");
	assert_both_ways(253402300799, 999999999, "9999-12-31T23:59:59.999999999Z");
	assert_both_ways(253402300800, 0, "+10000-01-01T00:00:00.000000000Z");
	assert_both_ways(-62167219200, 0, "0000-01-01T00:00:00.000000000Z");
	assert_both_ways(-62167219201, 999999999, "-0001-12-31T23:59:59.999999999Z");
	assert_both_ways(INT64_MAX, 999999999, "+292277026596-12-04T15:30:07.999999999Z");
	assert_both_ways(INT64_MIN, 0, "-292277022657-01-27T08:29:52.000000000Z");
}

static void test_time_against_libc(void **state)
{
	(void)state;
	for (int i = 0; i < 100000; i++) {
		time_t seconds = (time_t)(random_bits() % 253402300800);
		char text[FSMETA_TIME_TEXT_BYTES], expected[64];
		struct tm parts;

		gmtime_r(&seconds, &parts);
		strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.000000000Z", &parts);
		fsmeta_time_format(text, at(seconds, 0));
		assert_string_equal(text, expected);
	}
}

static void test_time_round_trip(void **state)
{
	(void)state;
	for (int i = 0; i < 200000; i++) {
		int64_t seconds = (int64_t)random_bits();

		/* All magnitudes, not only the huge ones. */
		seconds >>= random_bits() % 63;
		assert_both_ways(seconds, (uint32_t)(random_bits() % 1000000000), NULL);
	}
	for (int64_t delta = 0; delta < 200000; delta += 97) {
		assert_both_ways(INT64_MAX - delta, 0, NULL);
		assert_both_ways(INT64_MIN + delta, 999999999, NULL);
	}
}

static void test_time_parse_variants(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds;
		uint32_t nanoseconds;
	} cases[] = {
	    {"1970-01-01T00:00:00Z", 0, 0},
	    {"1970-01-01t00:00:00z", 0, 0},
	    {"1970-01-01T00:00:00.5Z", 0, 500000000},
	    {"1970-01-01T00:00:00.000001Z", 0, 1000},
	    {"1970-01-01T01:30:00+01:30", 0, 0},
	    {"1969-12-31T19:00:00-05:00", 0, 0},
	    {"1970-01-01T00:00:00-00:00", 0, 0},
	    {"2016-12-31T23:59:60Z", 1483228800, 0},
	    {"2017-01-01T00:59:60.25+01:00", 1483228800, 250000000},
	    {"1985-04-12T23:20:50.52Z", 482196050, 520000000},
	    {"+292277026596-12-04T16:30:07+01:00", INT64_MAX, 0},
	    {"-292277022657-01-26T08:30:52-23:59", INT64_MIN, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fsmeta_time out;

		assert_true(parse(cases[i].text, &out));
		assert_true(out.seconds == cases[i].seconds);
		assert_int_equal(out.nanoseconds, cases[i].nanoseconds);
	}
}

static void test_time_parse_refuses(void **state)
{
	static const char *const bad[] = {"", "1970", "1970-01-01", "1970-01-01T00:00:00",
	    "1970-01-01 00:00:00Z", "1970-01-01T00:00:00Z ", " 1970-01-01T00:00:00Z",
	    "1970-01-01T00:00:00.Z", "1970-01-01T00:00:00.0000000001Z", "1970-13-01T00:00:00Z",
	    "1970-00-01T00:00:00Z", "1970-01-32T00:00:00Z", "1970-01-00T00:00:00Z",
	    "1900-02-29T00:00:00Z", "2023-02-29T00:00:00Z", "1970-04-31T00:00:00Z",
	    "1970-01-01T24:00:00Z", "1970-01-01T00:60:00Z", "1970-01-01T00:00:61Z",
	    "1970-01-01T00:00:60Z", "1970-01-01T23:59:60+01:00", "1970-01-01T00:00:00+24:00",
	    "1970-01-01T00:00:00+00:60", "1970-01-01T00:00:00+0000", "1970-1-01T00:00:00Z",
	    "19700-01-01T00:00:00Z", "+1970-01-01T00:00:00Z", "+010000-01-01T00:00:00Z",
	    "-0000-01-01T00:00:00Z", "-00001-01-01T00:00:00Z", "+-1000-01-01T00:00:00Z",
	    "-001-01-01T00:00:00Z", "+292277026596-12-04T15:30:08Z",
	    "-292277022657-01-27T08:29:51Z", "+9999999999999-01-01T00:00:00Z",
	    "+999999999999-01-01T00:00:00Z", "1970-01-01T00:00:00,5Z"};
	struct fsmeta_time out = {.seconds = 77};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (parse(bad[i], &out))
			fail_msg("accepted: %s", bad[i]);
		assert_true(out.seconds == 77);
	}
	assert_false(fsmeta_time_parse(&out, NULL, 0));
	assert_false(fsmeta_time_parse(&out, "1970-01-01T00:00:00\0Z", 21));
}

/** Whatever is parsed of a damaged text, what is accepted formats and parses again. */
static void test_time_parse_damaged(void **state)
{
	(void)state;
	for (int i = 0; i < 200000; i++) {
		char text[] = "2024-02-29T23:59:59.123456789+05:30";
		struct fsmeta_time out;

		text[random_bits() % (sizeof(text) - 1)] = "0123456789-+:.TZ "[random_bits() % 17];
		if (fsmeta_time_parse(&out, text, random_bits() % sizeof(text)))
			assert_both_ways(out.seconds, out.nanoseconds, NULL);
	}
}

static void test_time_ns(void **state)
{
	int64_t ns;

	(void)state;
	assert_true(fsmeta_time_to_ns(at(-1, 500000000), &ns));
	assert_int_equal(ns, -500000000);
	assert_true(fsmeta_time_to_ns(fsmeta_time_from_ns(INT64_MAX), &ns));
	assert_true(ns == INT64_MAX);
	assert_true(fsmeta_time_to_ns(fsmeta_time_from_ns(INT64_MIN), &ns));
	assert_true(ns == INT64_MIN);
	assert_false(fsmeta_time_to_ns(at(9223372036, 854775808), &ns));
	assert_false(fsmeta_time_to_ns(at(-9223372037, 145224191), &ns));
	assert_false(fsmeta_time_to_ns(at(INT64_MAX, 0), &ns));
	assert_false(fsmeta_time_to_ns(at(INT64_MIN, 0), &ns));
	for (int i = 0; i < 100000; i++) {
		int64_t wanted = (int64_t)random_bits();
		struct fsmeta_time time = fsmeta_time_from_ns(wanted);

		assert_true(time.nanoseconds < 1000000000);
		assert_true(fsmeta_time_to_ns(time, &ns));
		assert_true(ns == wanted);
	}
	/* Microseconds reach further than nanoseconds. */
	assert_true(fsmeta_time_compare(fsmeta_time_from_us(-1), at(-1, 999999000)) == 0);
	assert_true(fsmeta_time_compare(fsmeta_time_from_us(INT64_MAX),
			at(INT64_MAX / 1000000, (uint32_t)(INT64_MAX % 1000000) * 1000)) == 0);
	assert_true(fsmeta_time_now().seconds > 1700000000);
	assert_true(fsmeta_time_compare(at(-1, 5), at(0, 0)) < 0);
	assert_true(fsmeta_time_compare(at(1, 5), at(1, 4)) > 0);
	assert_true(fsmeta_time_compare(at(1, 5), at(1, 5)) == 0);
}

static void assert_json(const char *bytes, size_t length, const char *expected)
{
	struct fsmeta_buffer out = {0};

	assert_int_equal(fsmeta_text_append_json(&out, bytes, length), 0);
	assert_string_equal(fsmeta_buffer_string(&out), expected);
	fsmeta_buffer_release(&out);
}

#define FFFD "\xEF\xBF\xBD"

static void test_json(void **state)
{
	(void)state;
	assert_json(NULL, 0, "");
	assert_json("plain \xC3\xA4 \xF0\x9F\x8E\xA5", 13, "plain \xC3\xA4 \xF0\x9F\x8E\xA5");
	assert_json("\"\\/", 3, "\\\"\\\\/");
	assert_json("\b\t\n\f\r", 5, "\\b\\t\\n\\f\\r");
	assert_json("\a\v\0\x1F\x7F", 5, "\\u0007\\u000b\\u0000\\u001f\\u007f");
	assert_json("\xC2\x80\xC2\x9B\xC2\xA0", 6, "\\u0080\\u009b\xC2\xA0");
	/* The tables 3-8 to 3-11 of the Unicode standard. */
	assert_json(
	    "\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", 9, FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A");
	assert_json(
	    "\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", 9, FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A");
	assert_json(
	    "\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", 9, FFFD FFFD FFFD FFFD FFFD "A" FFFD FFFD "B");
	assert_json("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", 9, FFFD FFFD FFFD FFFD "A");
	/* Cut off at the end. */
	assert_json("x\xF0\x9F\x8E", 4, "x" FFFD);
}

/** Undoes the escapes that fsmeta_text_append_json() makes. */
static size_t undo_json(char *out, const char *text)
{
	size_t length = 0;

	while (*text) {
		static const char from[] = "bfnrt\"\\", to[] = "\b\f\n\r\t\"\\";

		if (*text != '\\') {
			out[length++] = *text++;
		} else if (text[1] == 'u') {
			char digits[5] = {text[2], text[3], text[4], text[5], 0};

			long code_point = strtol(digits, NULL, 16);

			/* Only controls are written so: at most U+009F, two bytes. */
			if (code_point >= 0x80)
				out[length++] = (char)(0xC0 | code_point >> 6);
			out[length++] =
			    (char)(code_point < 0x80 ? code_point : 0x80 | (code_point & 0x3F));
			text += 6;
		} else {
			out[length++] = to[strchr(from, text[1]) - from];
			text += 2;
		}
	}
	return length;
}

static void test_json_round_trip(void **state)
{
	(void)state;
	for (int i = 0; i < 50000; i++) {
		struct fsmeta_buffer out = {0};
		char bytes[24], back[200];
		size_t length = random_bits() % 24;

		for (size_t j = 0; j < length; j++)
			bytes[j] = (char)(random_bits() % (i % 2 ? 256 : 128));
		assert_int_equal(fsmeta_text_append_json(&out, bytes, length), 0);
		assert_true(fsmeta_utf8_is_valid((char *)out.data, out.length));
		if (fsmeta_utf8_is_valid(bytes, length)) {
			assert_int_equal(undo_json(back, fsmeta_buffer_string(&out)), length);
			assert_memory_equal(back, bytes, length);
		}
		fsmeta_buffer_release(&out);
	}
}

static bool is_utf8(const char *text)
{
	return fsmeta_utf8_is_valid(text, strlen(text));
}

/** Writes a code point as the definition of UTF-8 says. */
static size_t encode_utf8(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xC0 | c >> 6);
		out[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xE0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 63));
		out[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	out[0] = (char)(0xF0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 63));
	out[2] = (char)(0x80 | (c >> 6 & 63));
	out[3] = (char)(0x80 | (c & 63));
	return 4;
}

static void test_utf8(void **state)
{
	(void)state;
	for (uint32_t c = 0; c < 0x120000; c++) {
		char bytes[4];
		size_t length = encode_utf8(bytes, c);
		bool valid = c < 0x110000 && (c < 0xD800 || c > 0xDFFF);

		if (fsmeta_utf8_is_valid(bytes, length) != valid)
			fail_msg("U+%04X", c);
		assert_false(length > 1 && fsmeta_utf8_is_valid(bytes, length - 1));
	}
	assert_true(fsmeta_utf8_is_valid(NULL, 0));
	assert_true(is_utf8("0123456789abcdef\xC3\xA4"
			    "0123456789"));
	assert_false(is_utf8("0123456789abcdef\xC3"
			     "0123456789"));
	assert_false(is_utf8("\xC0\x80"));
	assert_false(is_utf8("\xC1\xBF"));
	assert_false(is_utf8("\xE0\x9F\xBF"));
	assert_false(is_utf8("\xF0\x8F\xBF\xBF"));
	assert_false(is_utf8("\xF5\x80\x80\x80"));
	assert_false(is_utf8("01234567\xFF"));
	assert_false(is_utf8("\x80"));
}

static void assert_quoted(const char *text, const char *expected)
{
	struct fsmeta_buffer out = {0};

	assert_int_equal(fsmeta_text_append_quoted(&out, text, strlen(text)), 0);
	assert_string_equal(fsmeta_buffer_string(&out), expected);
	fsmeta_buffer_release(&out);
}

static void test_quoted(void **state)
{
	(void)state;
	assert_quoted("", "");
	assert_quoted("a b'c", "a b'c");
	assert_quoted("\xC3\xA4\xF0\x9F\x8E\xA5", "\xC3\xA4\xF0\x9F\x8E\xA5");
	assert_quoted("a\"b", "\"a\\\"b\"");
	assert_quoted("a\\b", "\"a\\\\b\"");
	assert_quoted("\a\b\t\n\v\f\r", "\"\\a\\b\\t\\n\\v\\f\\r\"");
	assert_quoted("\x1B[31m\x7F\x01"
		      "7",
	    "\"\\033[31m\\177\\0017\"");
	assert_quoted("\xC3\xA4\xFF", "\"\xC3\xA4\\377\"");
	/* C1, right-to-left override, zero-width space, soft hyphen, line separator, tag. */
	assert_quoted("\xC2\x9B", "\"\\302\\233\"");
	assert_quoted("\xE2\x80\xAEgpj", "\"\\342\\200\\256gpj\"");
	assert_quoted("\xE2\x80\x8B", "\"\\342\\200\\213\"");
	assert_quoted("\xC2\xAD", "\"\\302\\255\"");
	assert_quoted("\xE2\x80\xA8", "\"\\342\\200\\250\"");
	assert_quoted("\xF3\xA0\x81\x81", "\"\\363\\240\\201\\201\"");
	assert_quoted("\xC2\xA0\xE3\x80\x80", "\xC2\xA0\xE3\x80\x80");
}

static void test_plain(void **state)
{
	static const char text[] = "it's \"x\\y\"\n\xE2\x80\xAE\xFF \xC3\xA4";
	struct fsmeta_buffer out = {0};

	(void)state;
	assert_int_equal(fsmeta_text_append_plain(&out, text, strlen(text)), 0);
	assert_string_equal(
	    fsmeta_buffer_string(&out), "it's \"x\\y\"\\n\\342\\200\\256\\377 \xC3\xA4");
	fsmeta_buffer_release(&out);
}

static void assert_base64(const char *bytes, const char *expected)
{
	struct fsmeta_buffer out = {0};

	assert_int_equal(fsmeta_text_append_base64(&out, bytes, strlen(bytes)), 0);
	assert_string_equal(fsmeta_buffer_string(&out), expected);
	fsmeta_buffer_release(&out);
}

static void test_base64(void **state)
{
	static const char *const bad[] = {"A", "AA", "AAA", "AAAAA", "A===", "====", "AA=A", "=AAA",
	    "AB==", "AAB=", "AA==AAAA", "AA A", "AA-_", "AAAA\n", "AAA\x80"};
	struct fsmeta_buffer out = {0};

	(void)state;
	/* RFC 4648, section 10. */
	assert_base64("", "");
	assert_base64("f", "Zg==");
	assert_base64("fo", "Zm8=");
	assert_base64("foo", "Zm9v");
	assert_base64("foob", "Zm9vYg==");
	assert_base64("fooba", "Zm9vYmE=");
	assert_base64("foobar", "Zm9vYmFy");
	assert_base64("\xFB\xFF", "+/8=");
	fsmeta_buffer_append_text(&out, "kept");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (fsmeta_text_decode_base64(&out, bad[i], strlen(bad[i])) != FSMETA_E_CORRUPT)
			fail_msg("accepted: %s", bad[i]);
	assert_string_equal(fsmeta_buffer_string(&out), "kept");
	assert_int_equal(fsmeta_text_decode_base64(&out, NULL, 0), 0);
	assert_int_equal(fsmeta_text_append_base64(&out, "", SIZE_MAX - 2), FSMETA_E_MEMORY);
	fsmeta_buffer_release(&out);
}

static void test_base64_and_hex_round_trip(void **state)
{
	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct fsmeta_buffer text = {0}, back = {0};
		unsigned char bytes[64], hex[64];
		size_t length = random_bits() % 64;

		for (size_t j = 0; j < length; j++)
			bytes[j] = (unsigned char)random_bits();
		assert_int_equal(fsmeta_text_append_base64(&text, bytes, length), 0);
		assert_int_equal(
		    fsmeta_text_decode_base64(&back, (char *)text.data, text.length), 0);
		assert_int_equal(back.length, length);
		if (length)
			assert_memory_equal(back.data, bytes, length);
		fsmeta_buffer_clear(&text);
		assert_int_equal(fsmeta_text_append_hex(&text, bytes, length), 0);
		assert_int_equal(text.length, 2 * length);
		assert_true(fsmeta_text_parse_hex(hex, length, (char *)text.data, text.length));
		assert_memory_equal(hex, bytes, length);
		fsmeta_buffer_release(&text);
		fsmeta_buffer_release(&back);
	}
}

static void test_hex(void **state)
{
	unsigned char out[4];

	(void)state;
	assert_true(fsmeta_text_parse_hex(out, 4, "00fFA9b0", 8));
	assert_memory_equal(out, "\x00\xFF\xA9\xB0", 4);
	assert_false(fsmeta_text_parse_hex(out, 4, "00ffa9b", 7));
	assert_false(fsmeta_text_parse_hex(out, 3, "00ffa9b0", 8));
	assert_false(fsmeta_text_parse_hex(out, 4, "00ffa9b00", 9));
	assert_false(fsmeta_text_parse_hex(out, 1, "0g", 2));
	assert_false(fsmeta_text_parse_hex(out, 1, " 0", 2));
	assert_true(fsmeta_text_parse_hex(out, 0, "", 0));
}

static void assert_size(uint64_t bytes, const char *expected)
{
	struct fsmeta_buffer out = {0};

	assert_int_equal(fsmeta_text_append_size(&out, bytes), 0);
	assert_string_equal(fsmeta_buffer_string(&out), expected);
	fsmeta_buffer_release(&out);
}

static void assert_count(uint64_t count, const char *expected)
{
	struct fsmeta_buffer out = {0};

	assert_int_equal(fsmeta_text_append_count(&out, count), 0);
	assert_string_equal(fsmeta_buffer_string(&out), expected);
	fsmeta_buffer_release(&out);
}

static void test_numbers_for_people(void **state)
{
	(void)state;
	assert_size(0, "0 B");
	assert_size(999, "999 B");
	assert_size(1023, "1023 B");
	assert_size(1024, "1.0 KiB");
	assert_size(1536, "1.5 KiB");
	assert_size(10188, "9.9 KiB");
	assert_size(10189, "10 KiB");
	assert_size(UINT64_C(12) << 30, "12 GiB");
	assert_size((1 << 20) - 513, "1023 KiB");
	assert_size((1 << 20) - 512, "1.0 MiB");
	assert_size((UINT64_C(1) << 60) - 1, "1.0 EiB");
	assert_size(UINT64_MAX, "16 EiB");
	assert_count(0, "0");
	assert_count(999, "999");
	assert_count(1000, "1,000");
	assert_count(1234567, "1,234,567");
	assert_count(UINT64_MAX, "18,446,744,073,709,551,615");
}

static void test_append_utf8(void **state)
{
	static const char *const pairs[][2] = {
	    {"", ""},
	    {"plain \"text\" \\ \n\033", "plain \"text\" \\ \n\033"},
	    {"0123456789 \xC3\xA4", "0123456789 \xC3\xA4"},
	    {"\xFF", "\xEF\xBF\xBD"},
	    {"a\xFF\xFE"
	     "b",
		"a\xEF\xBF\xBD\xEF\xBF\xBD"
		"b"},
	    {"01234567\xE2\x82", "01234567\xEF\xBF\xBD"},
	    {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
	    {"\xF0\x9F\x8E\xA5\xC0z", "\xF0\x9F\x8E\xA5\xEF\xBF\xBDz"},
	};
	struct fsmeta_buffer out = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		fsmeta_buffer_clear(&out);
		assert_int_equal(
		    fsmeta_text_append_utf8(&out, pairs[i][0], strlen(pairs[i][0])), 0);
		assert_string_equal(fsmeta_buffer_string(&out), pairs[i][1]);
	}
	fsmeta_buffer_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_time_known),
	    cmocka_unit_test(test_time_against_libc),
	    cmocka_unit_test(test_time_round_trip),
	    cmocka_unit_test(test_time_parse_variants),
	    cmocka_unit_test(test_time_parse_refuses),
	    cmocka_unit_test(test_time_parse_damaged),
	    cmocka_unit_test(test_time_ns),
	    cmocka_unit_test(test_json),
	    cmocka_unit_test(test_json_round_trip),
	    cmocka_unit_test(test_utf8),
	    cmocka_unit_test(test_append_utf8),
	    cmocka_unit_test(test_quoted),
	    cmocka_unit_test(test_plain),
	    cmocka_unit_test(test_base64),
	    cmocka_unit_test(test_base64_and_hex_round_trip),
	    cmocka_unit_test(test_hex),
	    cmocka_unit_test(test_numbers_for_people),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
