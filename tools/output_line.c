/*
 * What is costly in a line is the times: a file has up to three, but a tree has few
 * days.  So the text of a day is made once by base/ and kept in a table by day
 * number, and only the time of day is written here.
 */
#include "tools/output_line.h"

enum {
	SECONDS_PER_DAY = 86400,
};

static const char two_digits[] =
    "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546"
    "4748495051525354555657585960616263646566676869707172737475767778798081828384858687888990919293"
    "949596979899";

void fsmeta_line_number(struct fsmeta_buffer *out, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	while (value >= 100) {
		at -= 2;
		memcpy(digits + at, two_digits + value % 100 * 2, 2);
		value /= 100;
	}
	if (value >= 10) {
		at -= 2;
		memcpy(digits + at, two_digits + value * 2, 2);
	} else {
		digits[--at] = (char)('0' + value);
	}
	fsmeta_line_text(out, digits + at, sizeof(digits) - at);
}

void fsmeta_line_mode(struct fsmeta_buffer *out, uint32_t mode)
{
	for (int shift = 9; shift >= 0; shift -= 3)
		fsmeta_line_byte(out, (char)('0' + (mode >> shift & 7)));
}

static void put_pair(struct fsmeta_buffer *out, unsigned value)
{
	fsmeta_line_text(out, two_digits + value * 2, 2);
}

/* Floored division. */
int64_t fsmeta_line_day_of(int64_t seconds)
{
	return seconds / SECONDS_PER_DAY - (seconds % SECONDS_PER_DAY < 0);
}

static unsigned second_of_day(int64_t seconds)
{
	int64_t rest = seconds % SECONDS_PER_DAY;

	return (unsigned)(rest < 0 ? rest + SECONDS_PER_DAY : rest);
}

/** The text of a day, from the table. */
static const struct fsmeta_line_day_text *day_text(struct fsmeta_output *output, int64_t day)
{
	struct fsmeta_line_day_text *slot = &output->days[(uint64_t)day % FSMETA_LINE_DAY_SLOTS];
	char text[FSMETA_TIME_TEXT_BYTES];
	struct fsmeta_time start = {.seconds = 0};

	if (slot->length && slot->day == day)
		return slot;
	/* The first day of int64 is not a whole one; any second of it will do. */
	if (__builtin_mul_overflow(day, (int64_t)SECONDS_PER_DAY, &start.seconds))
		start.seconds = INT64_MIN;
	fsmeta_time_format(text, start);
	slot->day = day;
	slot->length = (unsigned char)strcspn(text, "T");
	memcpy(slot->text, text, slot->length);
	return slot;
}

void fsmeta_line_time_of_day(struct fsmeta_buffer *out, struct fsmeta_time time)
{
	unsigned second = second_of_day(time.seconds);

	put_pair(out, second / 3600);
	fsmeta_line_byte(out, ':');
	put_pair(out, second / 60 % 60);
	fsmeta_line_byte(out, ':');
	put_pair(out, second % 60);
}

void fsmeta_line_fraction(struct fsmeta_buffer *out, uint32_t nanoseconds)
{
	fsmeta_line_byte(out, '.');
	fsmeta_line_byte(out, (char)('0' + nanoseconds / 100000000));
	put_pair(out, nanoseconds / 1000000 % 100);
	put_pair(out, nanoseconds / 10000 % 100);
	put_pair(out, nanoseconds / 100 % 100);
	put_pair(out, nanoseconds % 100);
}

void fsmeta_line_day(struct fsmeta_output *output, struct fsmeta_time time)
{
	const struct fsmeta_line_day_text *day = day_text(output, fsmeta_line_day_of(time.seconds));

	fsmeta_line_text(&output->lines, day->text, day->length);
}

void fsmeta_line_time(struct fsmeta_output *output, struct fsmeta_time time)
{
	fsmeta_line_day(output, time);
	fsmeta_line_byte(&output->lines, 'T');
	fsmeta_line_time_of_day(&output->lines, time);
	fsmeta_line_fraction(&output->lines, time.nanoseconds);
	fsmeta_line_byte(&output->lines, 'Z');
}

int fsmeta_line_errno_name(struct fsmeta_buffer *out, int number)
{
	const char *name = fsmeta_errno_name(number);

	return name ? fsmeta_buffer_append_text(out, name)
		    : fsmeta_buffer_append_format(out, "ERRNO_%d", number);
}
