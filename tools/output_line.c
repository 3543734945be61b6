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

static void set_day(struct fsmeta_line_day_text *slot, int64_t day)
{
	char text[FSMETA_TIME_TEXT_BYTES];
	struct fsmeta_time start = {.seconds = 0};

	/* The first day of int64 is not a whole one; any second of it will do. */
	if (__builtin_mul_overflow(day, (int64_t)SECONDS_PER_DAY, &start.seconds))
		start.seconds = INT64_MIN;
	fsmeta_time_format(text, start);
	slot->day = day;
	slot->length = (unsigned char)strcspn(text, "T");
	memcpy(slot->text, text, slot->length);
}

static inline void put_day(
    struct fsmeta_buffer *out, struct fsmeta_line_day_text *slot, int64_t day)
{
	if (!slot->length || slot->day != day)
		set_day(slot, day);
	memcpy(out->data + out->length, slot->text, sizeof(slot->text));
	out->length += slot->length;
}

/** Where the table keeps a day. */
static inline struct fsmeta_line_day_text *slot_of(struct fsmeta_output *output, int64_t day)
{
	return &output->days[(uint64_t)day % FSMETA_LINE_DAY_SLOTS];
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
	int64_t day = fsmeta_line_day_of(time.seconds);

	put_day(&output->lines, slot_of(output, day), day);
}

/** "T10:00:00.000000001Z", put together in place. */
static inline void put_clock(struct fsmeta_buffer *out, unsigned second, uint32_t nanoseconds)
{
	static const char shape[] = "T00:00:00.000000000Z";
	unsigned char *at = out->data + out->length;
	unsigned minute = second / 60, millionths = nanoseconds / 1000;

	memcpy(at, shape, sizeof(shape) - 1);
	memcpy(at + 1, two_digits + minute / 60 * 2, 2);
	memcpy(at + 4, two_digits + minute % 60 * 2, 2);
	memcpy(at + 7, two_digits + second % 60 * 2, 2);
	at[10] = (unsigned char)('0' + nanoseconds / 100000000);
	memcpy(at + 11, two_digits + millionths / 1000 % 100 * 2, 2);
	memcpy(at + 13, two_digits + millionths / 10 % 100 * 2, 2);
	memcpy(at + 15, two_digits + nanoseconds / 100 % 100 * 2, 2);
	memcpy(at + 17, two_digits + nanoseconds % 100 * 2, 2);
	out->length += sizeof(shape) - 1;
}

static inline void put_time(struct fsmeta_buffer *out, struct fsmeta_line_day_text *slot,
    int64_t day, struct fsmeta_time time)
{
	put_day(out, slot, day);
	put_clock(out, second_of_day(time.seconds), time.nanoseconds);
}

/** As fsmeta_time_format() writes it. */
static void add_time(struct fsmeta_output *output, struct fsmeta_time time)
{
	int64_t day = fsmeta_line_day_of(time.seconds);

	put_time(&output->lines, slot_of(output, day), day, time);
}

void fsmeta_line_time_by(
    struct fsmeta_buffer *out, struct fsmeta_line_day_text *day, struct fsmeta_time time)
{
	put_time(out, day, fsmeta_line_day_of(time.seconds), time);
}

#define NUMBER(field, name)                                               \
	{                                                                 \
		field, false, name, FSMETA_LINE_LITERAL(",\"" name "\":") \
	}
#define STRING(field, name)                                                \
	{                                                                  \
		field, true, name, FSMETA_LINE_LITERAL(",\"" name "\":\"") \
	}

const struct fsmeta_line_column fsmeta_line_columns[FSMETA_LINE_COLUMNS] = {
    NUMBER(FSMETA_FIELD_SIZE, "size"),
    STRING(FSMETA_FIELD_MTIME, "mtime"),
    STRING(FSMETA_FIELD_CTIME, "ctime"),
    STRING(FSMETA_FIELD_BTIME, "btime"),
    STRING(FSMETA_FIELD_MODE, "mode"),
    NUMBER(FSMETA_FIELD_UID, "uid"),
    NUMBER(FSMETA_FIELD_GID, "gid"),
    NUMBER(FSMETA_FIELD_DEVICE, "dev"),
    NUMBER(FSMETA_FIELD_INODE, "inode"),
    NUMBER(FSMETA_FIELD_NLINK, "nlink"),
    NUMBER(FSMETA_FIELD_ALLOCATED, "allocated"),
    STRING(FSMETA_FIELD_RDEV, "rdev"),
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
		add_time(output, entry->mtime);
		break;
	case FSMETA_FIELD_CTIME:
		add_time(output, entry->ctime);
		break;
	case FSMETA_FIELD_BTIME:
		add_time(output, entry->btime);
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
