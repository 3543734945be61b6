/*
 * Keeping: cases worked out by hand with a calendar, and random histories against a
 * naive reading of the rules' words.
 */
#include "tools/keep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum {
	GENERATIONS_MAX = 200,
	ROUNDS = 400,
};

static struct fsmeta_keep_generation generations[GENERATIONS_MAX];

static void set_times(const char *const *times, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		generations[i] = (struct fsmeta_keep_generation){.number = i + 1};
		assert_true(
		    fsmeta_time_parse(&generations[i].finished, times[i], strlen(times[i])));
	}
}

/** What is kept, as text: "1 3:daily,monthly". */
static const char *decide(size_t count, const struct fsmeta_keep_policy *policy)
{
	static char text[4096];
	char *end = text;

	fsmeta_keep_decide(generations, count, policy);
	*end = '\0';
	for (size_t i = 0; i < count; i++) {
		char separator = ':';

		if (!generations[i].keep) {
			assert_int_equal(generations[i].reasons, 0);
			continue;
		}
		end += sprintf(end, "%s%d", end == text ? "" : " ", (int)generations[i].number);
		for (int rule = 0; rule < FSMETA_KEEP_RULES; rule++) {
			if (!(generations[i].reasons & (uint32_t)1 << rule))
				continue;
			end += sprintf(end, "%c%s", separator, fsmeta_keep_rule_names[rule]);
			separator = ',';
		}
	}
	return text;
}

static const char *decide_by(size_t count, enum fsmeta_keep_rule rule, uint64_t number)
{
	struct fsmeta_keep_policy policy = {{0}};

	policy.counts[rule] = number;
	return decide(count, &policy);
}

/* ---- by hand -------------------------------------------------------------------- */

static void test_rules(void **state)
{
	/* 2026-11-02 is a Monday. */
	static const char *const times[] = {
	    "2024-12-31T12:00:00Z",           /* 1 */
	    "2026-10-30T08:00:00Z",           /* 2: Friday */
	    "2026-11-01T23:59:59.999999999Z", /* 3: Sunday */
	    "2026-11-02T00:00:00Z",           /* 4: Monday */
	    "2026-11-02T20:00:00Z",           /* 5 */
	    "2026-11-04T01:00:00Z",           /* 6 */
	    "2026-11-04T02:00:00Z",           /* 7 */
	};
	const size_t count = sizeof(times) / sizeof(times[0]);

	(void)state;
	set_times(times, count);
	assert_string_equal(decide_by(count, FSMETA_KEEP_LAST, 1), "7:last");
	assert_string_equal(decide_by(count, FSMETA_KEEP_LAST, 3), "5:last 6:last 7:last");
	assert_string_equal(decide_by(count, FSMETA_KEEP_DAILY, 2), "5:daily 7:daily");
	assert_string_equal(decide_by(count, FSMETA_KEEP_DAILY, 3), "3:daily 5:daily 7:daily");
	assert_string_equal(decide_by(count, FSMETA_KEEP_WEEKLY, 2), "3:weekly 7:weekly");
	assert_string_equal(decide_by(count, FSMETA_KEEP_MONTHLY, 2), "2:monthly 7:monthly");
	assert_string_equal(
	    decide_by(count, FSMETA_KEEP_MONTHLY, 9), "1:monthly 2:monthly 7:monthly");
	assert_string_equal(decide_by(count, FSMETA_KEEP_YEARLY, 9), "1:yearly 7:yearly");
	assert_string_equal(decide_by(count, FSMETA_KEEP_WITHIN, 3600), "6:within 7:within");
	assert_string_equal(decide_by(count, FSMETA_KEEP_WITHIN, 3599), "7:within");
	assert_string_equal(decide_by(count, FSMETA_KEEP_WITHIN, UINT32_MAX),
	    "1:within 2:within 3:within 4:within "
	    "5:within 6:within 7:within");
}

static void test_union(void **state)
{
	static const char *const times[] = {
	    "2026-09-10T00:00:00Z",
	    "2026-10-10T00:00:00Z",
	    "2026-11-01T00:00:00Z",
	    "2026-11-02T00:00:00Z",
	    "2026-11-02T01:00:00Z",
	};
	const struct fsmeta_keep_policy policy = {
	    .counts = {[FSMETA_KEEP_LAST] = 1, [FSMETA_KEEP_DAILY] = 2, [FSMETA_KEEP_MONTHLY] = 2}};

	(void)state;
	set_times(times, 5);
	assert_string_equal(decide(5, &policy), "2:monthly 3:daily 5:last,daily,monthly");
}

/** The week from 2020-12-28 to 2021-01-03 is one, although the year changes in it. */
static void test_week_over_new_year(void **state)
{
	static const char *const times[] = {
	    "2020-12-27T23:59:59Z",
	    "2020-12-28T00:00:00Z",
	    "2021-01-03T23:59:59Z",
	    "2021-01-04T00:00:00Z",
	};

	(void)state;
	set_times(times, 4);
	assert_string_equal(decide_by(4, FSMETA_KEEP_WEEKLY, 9), "1:weekly 3:weekly 4:weekly");
}

static void test_far_years(void **state)
{
	static const char *const times[] = {
	    "-0044-03-14T00:00:00Z",
	    "-0044-03-15T00:00:00Z",
	    "1969-12-28T23:59:59Z", /* a Sunday */
	    "1969-12-29T00:00:00Z",
	    "1970-01-04T00:00:00Z",
	    "+12026-01-01T00:00:00Z",
	    "+12026-02-01T00:00:00Z",
	};

	(void)state;
	set_times(times, 7);
	assert_string_equal(
	    decide_by(7, FSMETA_KEEP_YEARLY, 9), "2:yearly 4:yearly 5:yearly 7:yearly");
	assert_string_equal(decide_by(7, FSMETA_KEEP_MONTHLY, 9),
	    "2:monthly 4:monthly 5:monthly 6:monthly 7:monthly");
	assert_string_equal(
	    decide_by(7, FSMETA_KEEP_WEEKLY, 4), "3:weekly 5:weekly 6:weekly 7:weekly");
}

static void test_newest_always(void **state)
{
	static const char *const times[] = {"2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"};
	const struct fsmeta_keep_policy nothing = {{0}};

	(void)state;
	set_times(times, 2);
	assert_false(fsmeta_keep_policy_is_any(&nothing));
	assert_string_equal(decide(2, &nothing), "2");
	/* Nothing at all is decided without a complaint. */
	assert_string_equal(decide(0, &nothing), "");
}

/* ---- naively -------------------------------------------------------------------- */

/** The period as a text that strftime() makes. */
static void name_period(char out[64], enum fsmeta_keep_rule rule, struct fsmeta_time moment)
{
	static const char *const formats[] = {
	    [FSMETA_KEEP_DAILY] = "%Y-%m-%d",
	    [FSMETA_KEEP_WEEKLY] = "%G-%V",
	    [FSMETA_KEEP_MONTHLY] = "%Y-%m",
	    [FSMETA_KEEP_YEARLY] = "%Y",
	};
	time_t seconds = (time_t)moment.seconds;
	struct tm fields;

	assert_non_null(gmtime_r(&seconds, &fields));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	assert_true(strftime(out, 64, formats[rule], &fields) > 0);
#pragma GCC diagnostic pop
}

/** "The newest of each of the last N periods that have one", word by word. */
static bool is_kept(size_t index, size_t count, enum fsmeta_keep_rule rule, uint64_t limit)
{
	char own[64], other[64], last[64] = "";
	uint64_t periods = 0;

	if (rule == FSMETA_KEEP_LAST)
		return count - index <= limit;
	name_period(own, rule, generations[index].finished);
	for (size_t i = index + 1; i < count; i++) {
		name_period(other, rule, generations[i].finished);
		if (strcmp(other, own) == 0)
			return false;
		periods += strcmp(other, last) != 0;
		strcpy(last, other);
	}
	return periods < limit;
}

static void test_random(void **state)
{
	static const int64_t steps[] = {600, 7000, 90000, 700000, 9000000};
	uint64_t random = 88172645463325252;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		struct fsmeta_keep_policy policy = {{0}};
		int64_t now = 1500000000;
		size_t count;

		random = random * 6364136223846793005 + 1442695040888963407;
		count = 1 + (random >> 33) % GENERATIONS_MAX;
		for (size_t i = 0; i < count; i++) {
			random = random * 6364136223846793005 + 1442695040888963407;
			now += (int64_t)(random >> 33) % steps[round % 5];
			generations[i] =
			    (struct fsmeta_keep_generation){.number = i + 1, .finished = {now, 0}};
		}
		for (int rule = 0; rule < FSMETA_KEEP_WITHIN; rule++) {
			random = random * 6364136223846793005 + 1442695040888963407;
			policy.counts[rule] = (random >> 33) % 12;
		}
		fsmeta_keep_decide(generations, count, &policy);
		for (size_t i = 0; i < count; i++) {
			uint32_t expected = 0;

			for (int rule = 0; rule < FSMETA_KEEP_WITHIN; rule++)
				if (is_kept(
					i, count, (enum fsmeta_keep_rule)rule, policy.counts[rule]))
					expected |= (uint32_t)1 << rule;
			assert_int_equal(generations[i].reasons, expected);
			assert_int_equal(generations[i].keep, expected || i == count - 1);
		}
	}
}

/* ---- arguments -------------------------------------------------------------------- */

static void test_counts(void **state)
{
	static const char *const wrong[] = {"", "-1", "+1", " 1", "1 ", "1d", "x", "1234567890"};
	uint64_t count = 0;

	(void)state;
	assert_true(fsmeta_keep_parse_count(&count, "0"));
	assert_int_equal(count, 0);
	assert_true(fsmeta_keep_parse_count(&count, "999999999"));
	assert_int_equal(count, 999999999);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(fsmeta_keep_parse_count(&count, wrong[i]));
}

static void test_durations(void **state)
{
	static const char *const wrong[] = {"", "d", "1", "1D", "1dd", "1d ", "-1d", "1.5d", "1s"};
	uint64_t seconds = 0;

	(void)state;
	assert_true(fsmeta_keep_parse_duration(&seconds, "48h"));
	assert_int_equal(seconds, 48 * 3600);
	assert_true(fsmeta_keep_parse_duration(&seconds, "30d"));
	assert_int_equal(seconds, 30 * 86400);
	assert_true(fsmeta_keep_parse_duration(&seconds, "2w"));
	assert_int_equal(seconds, 14 * 86400);
	assert_true(fsmeta_keep_parse_duration(&seconds, "6m"));
	assert_int_equal(seconds, 186 * 86400);
	assert_true(fsmeta_keep_parse_duration(&seconds, "999999999y"));
	assert_int_equal(seconds, 999999999ULL * 365 * 86400);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(fsmeta_keep_parse_duration(&seconds, wrong[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rules),
	    cmocka_unit_test(test_union),
	    cmocka_unit_test(test_week_over_new_year),
	    cmocka_unit_test(test_far_years),
	    cmocka_unit_test(test_newest_always),
	    cmocka_unit_test(test_random),
	    cmocka_unit_test(test_counts),
	    cmocka_unit_test(test_durations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
