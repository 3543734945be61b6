/*
 * What is costly in a line is the times: a file has up to three, but a tree has few
 * days.  So the text of a day is made once by base/ and kept in a table by day
 * number, and only the time of day is written here.
 */
#include "tools/output_line.h"

#include <sys/stat.h>

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

#define COLUMN(field, is_string, name)                   \
	{                                                \
		field, is_string, sizeof(name) - 1, name \
	}

const struct fsmeta_line_column fsmeta_line_columns[FSMETA_LINE_COLUMNS] = {
    COLUMN(FSMETA_FIELD_SIZE, false, "size"),
    COLUMN(FSMETA_FIELD_MTIME, true, "mtime"),
    COLUMN(FSMETA_FIELD_CTIME, true, "ctime"),
    COLUMN(FSMETA_FIELD_BTIME, true, "btime"),
    COLUMN(FSMETA_FIELD_MODE, true, "mode"),
    COLUMN(FSMETA_FIELD_UID, false, "uid"),
    COLUMN(FSMETA_FIELD_GID, false, "gid"),
    COLUMN(FSMETA_FIELD_DEVICE, false, "dev"),
    COLUMN(FSMETA_FIELD_INODE, false, "inode"),
    COLUMN(FSMETA_FIELD_NLINK, false, "nlink"),
    COLUMN(FSMETA_FIELD_ALLOCATED, false, "allocated"),
    COLUMN(FSMETA_FIELD_RDEV, true, "rdev"),
};

void fsmeta_line_value(
    struct fsmeta_output *output, const struct fsmeta_entry *entry, uint32_t field)
{
	struct fsmeta_buffer *out = &output->lines;

	switch (field) {
	case FSMETA_FIELD_SIZE:
		fsmeta_line_number(out, entry->size);
		break;
	case FSMETA_FIELD_MTIME:
		fsmeta_line_time(output, entry->mtime);
		break;
	case FSMETA_FIELD_CTIME:
		fsmeta_line_time(output, entry->ctime);
		break;
	case FSMETA_FIELD_BTIME:
		fsmeta_line_time(output, entry->btime);
		break;
	case FSMETA_FIELD_MODE:
		fsmeta_line_mode(out, entry->mode);
		break;
	case FSMETA_FIELD_UID:
		fsmeta_line_number(out, entry->uid);
		break;
	case FSMETA_FIELD_GID:
		fsmeta_line_number(out, entry->gid);
		break;
	case FSMETA_FIELD_DEVICE:
		fsmeta_line_number(out, entry->device);
		break;
	case FSMETA_FIELD_INODE:
		fsmeta_line_number(out, entry->inode);
		break;
	case FSMETA_FIELD_NLINK:
		fsmeta_line_number(out, entry->nlink);
		break;
	case FSMETA_FIELD_ALLOCATED:
		fsmeta_line_number(out, entry->allocated);
		break;
	case FSMETA_FIELD_RDEV:
		fsmeta_line_number(out, entry->rdev_major);
		fsmeta_line_byte(out, ':');
		fsmeta_line_number(out, entry->rdev_minor);
		break;
	}
}

int fsmeta_line_hash(struct fsmeta_buffer *out, const struct fsmeta_entry *entry)
{
	const char *name = fsmeta_hash_algorithm_name(entry->hash_algorithm);
	int failed;

	if (!name || entry->hash_algorithm == FSMETA_HASH_NONE)
		return 0;
	failed = fsmeta_buffer_append_format(out, "%s:", name);
	return failed |
	       fsmeta_text_append_hex(out, entry->hash, fsmeta_hash_bytes(entry->hash_algorithm));
}

uint32_t fsmeta_line_full_mode(const struct fsmeta_entry *entry)
{
	static const uint32_t types[] = {
	    [FSMETA_TYPE_FILE] = S_IFREG,
	    [FSMETA_TYPE_FOLDER] = S_IFDIR,
	    [FSMETA_TYPE_SYMLINK] = S_IFLNK,
	    [FSMETA_TYPE_FIFO] = S_IFIFO,
	    [FSMETA_TYPE_SOCKET] = S_IFSOCK,
	    [FSMETA_TYPE_BLOCK] = S_IFBLK,
	    [FSMETA_TYPE_CHAR] = S_IFCHR,
	};

	return types[entry->type] | entry->mode;
}

int fsmeta_line_errno_name(struct fsmeta_buffer *out, int number)
{
	const char *name = fsmeta_errno_name(number);

	return name ? fsmeta_buffer_append_text(out, name)
		    : fsmeta_buffer_append_format(out, "ERRNO_%d", number);
}
