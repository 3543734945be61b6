/*
 * Keeping.
 *
 * Each rule goes back from the newest generation and keeps the first that it meets
 * in each period (day, week, …), until it has kept as many as it may:
 *
 *     generation     1      2      3      4      5      6
 *     finished       Mon    Mon    Mon    Tue    Thu    Thu
 *     keep-daily 2                        daily         daily
 *     keep-last 2                                last   last
 *     keep                                x      x      x
 *
 * Periods without a generation do not count, so a drive that lay in a cupboard for a
 * year loses nothing by it.  The order is that of numbers: a clock that was set back
 * does not change which generation is the newest.
 *
 * Days, months and years are told apart by the text of the time, which base/text
 * knows how to write for any year.
 */
#include "tools/keep.h"

#include <stdlib.h>
#include <string.h>

enum {
	SECONDS_PER_HOUR = 3600,
	SECONDS_PER_DAY = 86400,
	DAYS_PER_WEEK = 7,
	/** 1970-01-01 was a Thursday, three days after Monday. */
	EPOCH_WEEKDAY = 3,
	COUNT_DIGITS = 9,
};

const char *const fsmeta_keep_rule_names[FSMETA_KEEP_RULES] = {
    [FSMETA_KEEP_LAST] = "last",
    [FSMETA_KEEP_DAILY] = "daily",
    [FSMETA_KEEP_WEEKLY] = "weekly",
    [FSMETA_KEEP_MONTHLY] = "monthly",
    [FSMETA_KEEP_YEARLY] = "yearly",
    [FSMETA_KEEP_WITHIN] = "within",
};

bool fsmeta_keep_policy_is_any(const struct fsmeta_keep_policy *policy)
{
	for (int rule = 0; rule < FSMETA_KEEP_RULES; rule++)
		if (policy->counts[rule])
			return true;
	return false;
}

/* ---- periods ----------------------------------------------------------------- */

/** Rounds towards the past, also before 1970. */
static int64_t divide_floor(int64_t value, int64_t by)
{
	return value / by - (value % by < 0);
}

/** Weeks since the one that 1970 began in. */
static int64_t week_of(struct fsmeta_time time)
{
	int64_t days = divide_floor(time.seconds, SECONDS_PER_DAY);

	return divide_floor(days + EPOCH_WEEKDAY, DAYS_PER_WEEK);
}

/** Both times are alike up to the dash number `dashes` of "2026-11-20T…"; 3 = up to the T. */
static bool same_date(struct fsmeta_time a, struct fsmeta_time b, int dashes)
{
	char text_a[FSMETA_TIME_TEXT_BYTES], text_b[FSMETA_TIME_TEXT_BYTES];
	size_t length;

	fsmeta_time_format(text_a, a);
	fsmeta_time_format(text_b, b);
	/* The first character may be the year's sign. */
	for (length = 1; text_a[length]; length++)
		if ((text_a[length] == '-' || text_a[length] == 'T') && --dashes == 0)
			break;
	return strncmp(text_a, text_b, length + 1) == 0;
}

static bool same_period(enum fsmeta_keep_rule rule, struct fsmeta_time a, struct fsmeta_time b)
{
	switch (rule) {
	case FSMETA_KEEP_DAILY:
		return same_date(a, b, 3);
	case FSMETA_KEEP_WEEKLY:
		return week_of(a) == week_of(b);
	case FSMETA_KEEP_MONTHLY:
		return same_date(a, b, 2);
	case FSMETA_KEEP_YEARLY:
		return same_date(a, b, 1);
	default:
		return false;
	}
}

/* ---- rules ----------------------------------------------------------------------- */

static void keep(struct fsmeta_keep_generation *generation, enum fsmeta_keep_rule rule)
{
	generation->reasons |= (uint32_t)1 << rule;
	generation->keep = true;
}

/** The newest of each of the last `left` periods. */
static void apply_rule(struct fsmeta_keep_generation *generations, size_t count,
    enum fsmeta_keep_rule rule, uint64_t left)
{
	const struct fsmeta_keep_generation *last = NULL;

	for (size_t i = count; i-- > 0 && left;) {
		if (last && same_period(rule, last->finished, generations[i].finished))
			continue;
		last = &generations[i];
		keep(&generations[i], rule);
		left--;
	}
}

static void apply_within(struct fsmeta_keep_generation *generations, size_t count, uint64_t seconds)
{
	const struct fsmeta_time newest = generations[count - 1].finished;
	struct fsmeta_time oldest = newest;

	if (!seconds)
		return;
	if (__builtin_sub_overflow(newest.seconds, (int64_t)seconds, &oldest.seconds))
		oldest.seconds = INT64_MIN;
	for (size_t i = 0; i < count; i++)
		if (fsmeta_time_compare(generations[i].finished, oldest) >= 0)
			keep(&generations[i], FSMETA_KEEP_WITHIN);
}

void fsmeta_keep_decide(struct fsmeta_keep_generation *generations, size_t count,
    const struct fsmeta_keep_policy *policy)
{
	if (!count)
		return;
	for (size_t i = 0; i < count; i++) {
		generations[i].reasons = 0;
		generations[i].keep = i == count - 1;
	}
	for (int rule = 0; rule < FSMETA_KEEP_WITHIN; rule++)
		apply_rule(generations, count, (enum fsmeta_keep_rule)rule, policy->counts[rule]);
	apply_within(generations, count, policy->counts[FSMETA_KEEP_WITHIN]);
}

/* ---- arguments ------------------------------------------------------------------- */

/** Reads the digits that `text` begins with; NULL where there are none or too many. */
static const char *parse_digits(uint64_t *out, const char *text)
{
	size_t length = strspn(text, "0123456789");

	if (!length || length > COUNT_DIGITS)
		return NULL;
	*out = strtoull(text, NULL, 10);
	return text + length;
}

bool fsmeta_keep_parse_count(uint64_t *out, const char *text)
{
	uint64_t count;
	const char *end = parse_digits(&count, text);

	if (!end || *end)
		return false;
	*out = count;
	return true;
}

bool fsmeta_keep_parse_duration(uint64_t *seconds, const char *text)
{
	static const struct {
		char unit;
		uint64_t seconds;
	} units[] = {
	    {'h', SECONDS_PER_HOUR},
	    {'d', SECONDS_PER_DAY},
	    {'w', 7 * SECONDS_PER_DAY},
	    {'m', 31 * SECONDS_PER_DAY},
	    {'y', 365 * SECONDS_PER_DAY},
	};
	uint64_t count;
	const char *unit = parse_digits(&count, text);

	if (!unit || !unit[0] || unit[1])
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (units[i].unit != unit[0])
			continue;
		*seconds = count * units[i].seconds;
		return true;
	}
	return false;
}
