/*
 * Lines of listings and of changes.
 *
 * A JSON line is put together by hand, key by key: a library that builds an object
 * for each of some million lines takes ten times as long as the scan itself.
 *
 *     room for all fixed parts ─► {"type":"file","path":"  ◄─ path, checked once
 *     is made once a line         ","size":123,"mtime":"   ◄─ date from the cache
 *                                 T10:00:00.000000001Z"…}
 *
 * What is costly in a line is the paths (most are printable ASCII, which one pass
 * of eight bytes a step proves, and then they are copied as they are) and the
 * times.  A file has up to three times, but a tree has few days; so the text of a
 * day is made once by base/ and kept in a table by day number, and only the time
 * of day is written here.
 *
 * Text is for people, and is written with the formatting functions of base/; what
 * is shown of a change is what one wants to know first: how much came or went, and
 * what changed from what to what, as short as it stays unmistakable.
 *
 * Memory: every append says whether memory was out; the answers are or-ed and
 * looked at once a line.
 */
#include "tools/output.h"

#include "base/memory.h"
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	/** Lines are written out when so much has been collected. */
	FLUSH_BYTES = 128 << 10,
	/** More than the fixed parts of any line: every key, every number, three times. */
	FIXED_BYTES = 2048,
	/** Slots of the table of days, a power of two. */
	DAY_SLOTS = 1024,
	DAY_TEXT_BYTES = 24,
	SECONDS_PER_DAY = 86400,
};

/** "2026-11-20", or with a longer year. */
struct day_text {
	int64_t day;
	unsigned char length;
	char text[DAY_TEXT_BYTES];
};

struct fsmeta_output {
	/** First, so that the sink is the output. */
	struct fsmeta_change_sink sink;
	FILE *stream;
	enum fsmeta_output_format format;
	uint32_t flags;
	const struct fsmeta_batch_source *newer;
	const struct fsmeta_batch_source *older;
	/** Lines not written yet. */
	struct fsmeta_buffer lines;
	size_t flush_bytes;
	/** For paths that are put together before they are quoted, reused. */
	struct fsmeta_buffer scratch;
	/** A slot whose length is 0 is empty. */
	struct day_text days[DAY_SLOTS];
};

static const char action[] = "writing";

bool fsmeta_output_format_parse(enum fsmeta_output_format *out, const char *name)
{
	if (strcmp(name, "text") == 0)
		*out = FSMETA_OUTPUT_TEXT;
	else if (strcmp(name, "jsonl") == 0)
		*out = FSMETA_OUTPUT_JSONL;
	else
		return false;
	return true;
}

/* ---- fixed parts: room has been made ---------------------------------- */

static void put_text(struct fsmeta_buffer *out, const char *text, size_t length)
{
	memcpy(out->data + out->length, text, length);
	out->length += length;
}

#define PUT(out, literal) put_text(out, literal, sizeof(literal) - 1)

static void put_byte(struct fsmeta_buffer *out, char byte)
{
	out->data[out->length++] = (unsigned char)byte;
}

static const char two_digits[] =
    "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546"
    "4748495051525354555657585960616263646566676869707172737475767778798081828384858687888990919293"
    "949596979899";

static void put_number(struct fsmeta_buffer *out, uint64_t value)
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
	put_text(out, digits + at, sizeof(digits) - at);
}

/** At least four octal digits: "0644", "4755". */
static void put_mode(struct fsmeta_buffer *out, uint32_t mode)
{
	for (int shift = 9; shift >= 0; shift -= 3)
		put_byte(out, (char)('0' + (mode >> shift & 7)));
}

static void put_pair(struct fsmeta_buffer *out, unsigned value)
{
	put_text(out, two_digits + value * 2, 2);
}

/** Floored division: the number of the day since 1970. */
static int64_t day_of(int64_t seconds)
{
	return seconds / SECONDS_PER_DAY - (seconds % SECONDS_PER_DAY < 0);
}

static unsigned second_of_day(int64_t seconds)
{
	int64_t rest = seconds % SECONDS_PER_DAY;

	return (unsigned)(rest < 0 ? rest + SECONDS_PER_DAY : rest);
}

/** The text of a day, from the table. */
static const struct day_text *day_text(struct fsmeta_output *output, int64_t day)
{
	struct day_text *slot = &output->days[(uint64_t)day % DAY_SLOTS];
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

/** "10:00:00" */
static void put_time_of_day(struct fsmeta_buffer *out, struct fsmeta_time time)
{
	unsigned second = second_of_day(time.seconds);

	put_pair(out, second / 3600);
	put_byte(out, ':');
	put_pair(out, second / 60 % 60);
	put_byte(out, ':');
	put_pair(out, second % 60);
}

static void put_fraction(struct fsmeta_buffer *out, uint32_t nanoseconds)
{
	put_byte(out, '.');
	put_byte(out, (char)('0' + nanoseconds / 100000000));
	put_pair(out, nanoseconds / 1000000 % 100);
	put_pair(out, nanoseconds / 10000 % 100);
	put_pair(out, nanoseconds / 100 % 100);
	put_pair(out, nanoseconds % 100);
}

static void put_day(struct fsmeta_output *output, struct fsmeta_time time)
{
	const struct day_text *day = day_text(output, day_of(time.seconds));

	put_text(&output->lines, day->text, day->length);
}

/** As fsmeta_time_format() writes it. */
static void put_time(struct fsmeta_output *output, struct fsmeta_time time)
{
	put_day(output, time);
	put_byte(&output->lines, 'T');
	put_time_of_day(&output->lines, time);
	put_fraction(&output->lines, time.nanoseconds);
	put_byte(&output->lines, 'Z');
}

/* ---- JSON ------------------------------------------------------------- */

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/** The high bit of every byte of `word` that is below `limit`; exact for bytes below 0x80. */
static uint64_t bytes_below(uint64_t word, uint64_t limit)
{
	return (word - ONES * limit) & ~word & HIGHS;
}

static uint64_t bytes_equal(uint64_t word, unsigned char byte)
{
	return bytes_below(word ^ (ONES * byte), 1);
}

/** True where a JSON string holds these eight bytes as they are: printable ASCII. */
static bool word_is_plain(uint64_t word)
{
	return !((word & HIGHS) | bytes_below(word, 0x20) | bytes_equal(word, '"') |
		 bytes_equal(word, '\\') | bytes_equal(word, 0x7f));
}

static bool is_plain(const char *bytes, size_t length)
{
	uint64_t word;
	size_t at = 0;

	for (; length - at >= sizeof(word); at += sizeof(word)) {
		memcpy(&word, bytes + at, sizeof(word));
		if (!word_is_plain(word))
			return false;
	}
	memset(&word, ' ', sizeof(word));
	memcpy(&word, bytes + at, length - at);
	return word_is_plain(word);
}

/** A string that is not plain: ,"KEY":"TEXT", and "KEY_b64" where it is no UTF-8. */
static int append_json_bytes(
    struct fsmeta_buffer *out, const char *key, const char *bytes, size_t length)
{
	int failed = fsmeta_buffer_append_format(out, ",\"%s\":\"", key);

	failed |= fsmeta_text_append_json(out, bytes, length);
	failed |= fsmeta_buffer_append_byte(out, '"');
	if (fsmeta_utf8_is_valid(bytes, length))
		return failed;
	failed |= fsmeta_buffer_append_format(out, ",\"%s_b64\":\"", key);
	failed |= fsmeta_text_append_base64(out, bytes, length);
	return failed | fsmeta_buffer_append_byte(out, '"');
}

/** The string's keys; afterwards there is room for the fixed parts again. */
static int append_json_string(
    struct fsmeta_buffer *out, const char *key, const char *bytes, size_t length)
{
	size_t key_length = strlen(key);
	size_t room;

	if (!fsmeta_size_add(length, 2 * FIXED_BYTES, &room) || fsmeta_buffer_reserve(out, room))
		return FSMETA_E_MEMORY;
	if (!is_plain(bytes, length))
		return append_json_bytes(out, key, bytes, length) |
		       fsmeta_buffer_reserve(out, FIXED_BYTES);
	PUT(out, ",\"");
	put_text(out, key, key_length);
	PUT(out, "\":\"");
	if (length)
		put_text(out, bytes, length);
	put_byte(out, '"');
	return 0;
}

/** The key of a path; the root is ".". */
static int append_json_path(
    struct fsmeta_buffer *out, const char *key, const struct fsmeta_entry *entry)
{
	if (!entry->path_length)
		return append_json_string(out, key, ".", 1);
	return append_json_string(out, key, entry->path, entry->path_length);
}

static void put_json_number(struct fsmeta_buffer *out, const char *key, uint64_t value)
{
	put_text(out, key, strlen(key));
	put_number(out, value);
}

static void put_json_time(struct fsmeta_output *output, const char *key, struct fsmeta_time time)
{
	put_text(&output->lines, key, strlen(key));
	put_time(output, time);
	put_byte(&output->lines, '"');
}

/** The fields in `mask` that have a fixed width, up to rdev: the order of the keys. */
static void put_json_fixed(
    struct fsmeta_output *output, const struct fsmeta_entry *entry, uint32_t mask)
{
	struct fsmeta_buffer *out = &output->lines;

	if (mask & FSMETA_FIELD_SIZE)
		put_json_number(out, ",\"size\":", entry->size);
	if (mask & FSMETA_FIELD_MTIME)
		put_json_time(output, ",\"mtime\":\"", entry->mtime);
	if (mask & FSMETA_FIELD_CTIME)
		put_json_time(output, ",\"ctime\":\"", entry->ctime);
	if (mask & FSMETA_FIELD_BTIME)
		put_json_time(output, ",\"btime\":\"", entry->btime);
	if (mask & FSMETA_FIELD_MODE) {
		PUT(out, ",\"mode\":\"");
		put_mode(out, entry->mode);
		put_byte(out, '"');
	}
	if (mask & FSMETA_FIELD_UID)
		put_json_number(out, ",\"uid\":", entry->uid);
	if (mask & FSMETA_FIELD_GID)
		put_json_number(out, ",\"gid\":", entry->gid);
	if (mask & FSMETA_FIELD_DEVICE)
		put_json_number(out, ",\"dev\":", entry->device);
	if (mask & FSMETA_FIELD_INODE)
		put_json_number(out, ",\"inode\":", entry->inode);
	if (mask & FSMETA_FIELD_NLINK)
		put_json_number(out, ",\"nlink\":", entry->nlink);
	if (mask & FSMETA_FIELD_ALLOCATED)
		put_json_number(out, ",\"allocated\":", entry->allocated);
	if (mask & FSMETA_FIELD_RDEV) {
		put_json_number(out, ",\"rdev\":\"", entry->rdev_major);
		put_json_number(out, ":", entry->rdev_minor);
		put_byte(out, '"');
	}
}

/** Why it is unreadable; a number that has no name here as "ERRNO_123". */
static int append_errno_name(struct fsmeta_buffer *out, int number)
{
	const char *name = fsmeta_errno_name(number);

	return name ? fsmeta_buffer_append_text(out, name)
		    : fsmeta_buffer_append_format(out, "ERRNO_%d", number);
}

/** error, and the other flags where they are set. */
static int append_json_flags(struct fsmeta_buffer *out, const struct fsmeta_entry *entry)
{
	int failed = 0;

	if (!entry->flags)
		return 0;
	if (entry->flags & FSMETA_FLAG_UNREADABLE) {
		PUT(out, ",\"error\":\"");
		failed |= append_errno_name(out, entry->error);
		failed |= fsmeta_buffer_append_byte(out, '"');
	}
	if (entry->flags & FSMETA_FLAG_OTHER_FILESYSTEM)
		failed |= fsmeta_buffer_append_text(out, ",\"other_filesystem\":true");
	if (entry->flags & FSMETA_FLAG_CHANGED_WHILE_READ)
		failed |= fsmeta_buffer_append_text(out, ",\"changed_while_read\":true");
	return failed | fsmeta_buffer_reserve(out, FIXED_BYTES);
}

static int append_json_hash(struct fsmeta_buffer *out, const struct fsmeta_entry *entry)
{
	const char *name = fsmeta_hash_algorithm_name(entry->hash_algorithm);
	int failed;

	if (!name || entry->hash_algorithm == FSMETA_HASH_NONE)
		return 0;
	failed = fsmeta_buffer_append_format(out, ",\"hash\":\"%s:", name);
	failed |=
	    fsmeta_text_append_hex(out, entry->hash, fsmeta_hash_bytes(entry->hash_algorithm));
	failed |= fsmeta_buffer_append_byte(out, '"');
	return failed | fsmeta_buffer_reserve(out, FIXED_BYTES);
}

/** All keys of the fields in `mask` that the entry has, each with a comma in front. */
static int append_json_fields(
    struct fsmeta_output *output, const struct fsmeta_entry *entry, uint32_t mask)
{
	struct fsmeta_buffer *out = &output->lines;
	int failed = 0;

	mask &= entry->fields | FSMETA_FIELD_FLAGS;
	put_json_fixed(output, entry, mask);
	if (mask & FSMETA_FIELD_TARGET)
		failed |= append_json_string(out, "target", entry->target, entry->target_length);
	if (!failed && mask & FSMETA_FIELD_FLAGS)
		failed |= append_json_flags(out, entry);
	if (!failed && mask & FSMETA_FIELD_HASH)
		failed |= append_json_hash(out, entry);
	return failed;
}

static void put_json_type(struct fsmeta_buffer *out, const struct fsmeta_entry *entry)
{
	const char *type = fsmeta_type_name(entry->type);

	PUT(out, ",\"type\":\"");
	put_text(out, type, strlen(type));
	put_byte(out, '"');
}

/** The entry's keys from id to unknown_since, each with a comma in front. */
static int append_json_entry(struct fsmeta_output *output, const struct fsmeta_batch_source *source,
    const struct fsmeta_entry *entry)
{
	struct fsmeta_buffer *out = &output->lines;

	if (entry->id && source && source->id_kind == FSMETA_IDS_STABLE)
		put_json_number(out, ",\"id\":", entry->id);
	put_json_type(out, entry);
	if (append_json_path(out, "path", entry) || append_json_fields(output, entry, UINT32_MAX))
		return FSMETA_E_MEMORY;
	if (entry->unknown_since)
		put_json_number(out, ",\"unknown_since\":", entry->unknown_since);
	return 0;
}

/** Every key has a comma in front; that of the first at `start` becomes the brace. */
static void finish_json_object(struct fsmeta_buffer *out, size_t start)
{
	if (out->length == start)
		put_byte(out, '{');
	else
		out->data[start] = '{';
	put_byte(out, '}');
}

static int append_json_line(struct fsmeta_output *output, const struct fsmeta_entry *entry)
{
	size_t start = output->lines.length;

	if (append_json_entry(output, output->newer, entry))
		return FSMETA_E_MEMORY;
	finish_json_object(&output->lines, start);
	put_byte(&output->lines, '\n');
	return 0;
}

static void put_json_totals(struct fsmeta_buffer *out, const struct fsmeta_change *change)
{
	if (fsmeta_change_entry(change)->type != FSMETA_TYPE_FOLDER)
		return;
	put_json_number(out, ",\"entries\":", change->entries);
	put_json_number(out, ",\"bytes\":", change->bytes);
}

static void put_json_field_names(struct fsmeta_buffer *out, uint32_t fields)
{
	size_t start;

	PUT(out, ",\"fields\":");
	start = out->length;
	for (uint32_t rest = fields; rest; rest &= rest - 1) {
		const char *name = fsmeta_field_name(rest & -rest);

		if (!name)
			continue;
		PUT(out, ",\"");
		put_text(out, name, strlen(name));
		put_byte(out, '"');
	}
	if (out->length == start)
		put_byte(out, '[');
	else
		out->data[start] = '[';
	put_byte(out, ']');
}

/** ,"KEY":{…} with the fields in `mask` only. */
static int append_json_side(
    struct fsmeta_output *output, const char *key, const struct fsmeta_entry *entry, uint32_t mask)
{
	size_t start;

	put_text(&output->lines, key, strlen(key));
	start = output->lines.length;
	if (append_json_fields(output, entry, mask))
		return FSMETA_E_MEMORY;
	finish_json_object(&output->lines, start);
	return 0;
}

/** fields, old, new */
static int append_json_differences(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	put_json_field_names(&output->lines, change->fields);
	if (append_json_side(output, ",\"old\":", change->before, change->fields))
		return FSMETA_E_MEMORY;
	return append_json_side(output, ",\"new\":", change->after, change->fields);
}

static int append_json_modified(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	put_json_type(&output->lines, change->after);
	if (append_json_path(&output->lines, "path", change->after))
		return FSMETA_E_MEMORY;
	return append_json_differences(output, change);
}

static int append_json_moved(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	put_json_type(&output->lines, change->after);
	if (append_json_path(&output->lines, "path", change->after) ||
	    append_json_path(&output->lines, "old_path", change->before))
		return FSMETA_E_MEMORY;
	put_json_totals(&output->lines, change);
	return change->fields ? append_json_differences(output, change) : 0;
}

static int append_json_unseen(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	const struct fsmeta_entry *entry = fsmeta_change_entry(change);

	put_json_type(&output->lines, entry);
	if (append_json_path(&output->lines, "path", entry) ||
	    append_json_flags(&output->lines, entry))
		return FSMETA_E_MEMORY;
	put_json_totals(&output->lines, change);
	return 0;
}

static int append_json_kind(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	int failed;

	switch (change->kind) {
	case FSMETA_CHANGE_ADDED:
		failed = append_json_entry(output, output->newer, change->after);
		break;
	case FSMETA_CHANGE_REMOVED:
		failed = append_json_entry(output, output->older, change->before);
		break;
	case FSMETA_CHANGE_MODIFIED:
	case FSMETA_CHANGE_CORRUPTED:
		return append_json_modified(output, change);
	case FSMETA_CHANGE_MOVED:
		return append_json_moved(output, change);
	case FSMETA_CHANGE_UNREADABLE:
	case FSMETA_CHANGE_UNKNOWN:
		return append_json_unseen(output, change);
	default:
		return 0;
	}
	if (!failed)
		put_json_totals(&output->lines, change);
	return failed;
}

static int append_json_change(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	const char *kind = fsmeta_change_kind_name(change->kind);

	PUT(&output->lines, "{\"kind\":\"");
	put_text(&output->lines, kind, strlen(kind));
	put_byte(&output->lines, '"');
	if (append_json_kind(output, change))
		return FSMETA_E_MEMORY;
	PUT(&output->lines, "}\n");
	return 0;
}

/* ---- text ------------------------------------------------------------- */

/** The path for a terminal, a folder with a slash behind it; "./" is the root. */
static int append_text_path(struct fsmeta_output *output, const struct fsmeta_entry *entry)
{
	const char *path = entry->path_length ? entry->path : ".";
	size_t length = entry->path_length ? entry->path_length : 1;

	if (entry->type != FSMETA_TYPE_FOLDER)
		return fsmeta_text_append_quoted(&output->lines, path, length);
	fsmeta_buffer_clear(&output->scratch);
	if (fsmeta_buffer_append(&output->scratch, path, length) ||
	    fsmeta_buffer_append_byte(&output->scratch, '/'))
		return FSMETA_E_MEMORY;
	return fsmeta_text_append_quoted(
	    &output->lines, (const char *)output->scratch.data, output->scratch.length);
}

/** The path as it is and a NUL. */
static int append_raw_path(struct fsmeta_buffer *out, const struct fsmeta_entry *entry)
{
	int failed = entry->path_length ? fsmeta_buffer_append(out, entry->path, entry->path_length)
					: fsmeta_buffer_append_byte(out, '.');

	return failed | fsmeta_buffer_append_byte(out, '\0');
}

/** What the error or the flags of an entry mean, for people. */
static int append_text_flags(struct fsmeta_buffer *out, const struct fsmeta_entry *entry)
{
	const char *name = fsmeta_errno_name(entry->error);
	const char *description = name ? strerrordesc_np(entry->error) : NULL;

	if (entry->flags & FSMETA_FLAG_UNREADABLE)
		return description ? fsmeta_buffer_append_text(out, description)
				   : append_errno_name(out, entry->error);
	if (entry->flags & FSMETA_FLAG_OTHER_FILESYSTEM)
		return fsmeta_buffer_append_text(out, "another file system, not entered");
	if (entry->flags & FSMETA_FLAG_CHANGED_WHILE_READ)
		return fsmeta_buffer_append_text(out, "changed while read");
	return 0;
}

/** "-rwsr-x--T" as ls writes it. */
static void put_text_mode(struct fsmeta_buffer *out, const struct fsmeta_entry *entry)
{
	static const char types[] = "?-dlpsbc";
	char text[] = "?---------";
	uint32_t mode = entry->mode;

	text[0] = types[entry->type];
	for (int bit = 0; bit < 9; bit++)
		if (mode & 0400u >> bit)
			text[1 + bit] = "rwx"[bit % 3];
	if (mode & 04000)
		text[3] = mode & 0100 ? 's' : 'S';
	if (mode & 02000)
		text[6] = mode & 010 ? 's' : 'S';
	if (mode & 01000)
		text[9] = mode & 01 ? 't' : 'T';
	if (!(entry->fields & FSMETA_FIELD_MODE))
		memset(text + 1, '?', 9);
	put_text(out, text, sizeof(text) - 1);
}

/** Fills up with blanks in front so that what was written since `start` has `width`. */
static int align_right(struct fsmeta_buffer *out, size_t start, size_t width)
{
	size_t length = out->length - start;
	size_t blanks = length < width ? width - length : 0;

	if (fsmeta_buffer_reserve(out, blanks))
		return FSMETA_E_MEMORY;
	memmove(out->data + start + blanks, out->data + start, length);
	memset(out->data + start, ' ', blanks);
	out->length += blanks;
	return 0;
}

static int append_text_owner(struct fsmeta_buffer *out, const struct fsmeta_entry *entry)
{
	size_t start = out->length;

	if (entry->fields & FSMETA_FIELD_UID)
		put_number(out, entry->uid);
	else
		put_byte(out, '-');
	put_byte(out, ':');
	if (entry->fields & FSMETA_FIELD_GID)
		put_number(out, entry->gid);
	else
		put_byte(out, '-');
	return align_right(out, start, 11);
}

/** Size for people, device number of a device; a folder's own size means nothing. */
static int append_text_size(struct fsmeta_buffer *out, const struct fsmeta_entry *entry)
{
	size_t start = out->length;
	int failed = 0;

	if (entry->fields & FSMETA_FIELD_RDEV)
		failed =
		    fsmeta_buffer_append_format(out, "%u:%u", entry->rdev_major, entry->rdev_minor);
	else if (entry->fields & FSMETA_FIELD_SIZE && entry->type != FSMETA_TYPE_FOLDER)
		failed = fsmeta_text_append_size(out, entry->size);
	else
		failed = fsmeta_buffer_append_byte(out, '-');
	return failed | align_right(out, start, 8);
}

/** "2026-11-20 10:00:00" */
static void put_text_time(struct fsmeta_output *output, struct fsmeta_time time)
{
	put_day(output, time);
	put_byte(&output->lines, ' ');
	put_time_of_day(&output->lines, time);
}

static int append_text_mtime(struct fsmeta_output *output, const struct fsmeta_entry *entry)
{
	size_t start = output->lines.length;

	if (entry->fields & FSMETA_FIELD_MTIME)
		put_text_time(output, entry->mtime);
	else
		put_byte(&output->lines, '-');
	return align_right(&output->lines, start, 19);
}

/** "  [Permission denied]", "  [not seen since generation 7]" */
static int append_text_remarks(struct fsmeta_buffer *out, const struct fsmeta_entry *entry)
{
	int failed = 0;

	if (entry->flags) {
		failed |= fsmeta_buffer_append_text(out, "  [");
		failed |= append_text_flags(out, entry);
		failed |= fsmeta_buffer_append_byte(out, ']');
	}
	if (entry->unknown_since)
		failed |= fsmeta_buffer_append_format(out, "  [not seen since generation %llu]",
		    (unsigned long long)entry->unknown_since);
	return failed;
}

/** mode, owner:group, size, mtime (UTC), path, target, remarks */
static int append_text_line(struct fsmeta_output *output, const struct fsmeta_entry *entry)
{
	struct fsmeta_buffer *out = &output->lines;
	int failed;

	put_text_mode(out, entry);
	put_byte(out, ' ');
	failed = append_text_owner(out, entry);
	failed |= fsmeta_buffer_append_byte(out, ' ');
	failed |= append_text_size(out, entry);
	failed |= fsmeta_buffer_append_text(out, "  ");
	failed |= fsmeta_buffer_reserve(out, FIXED_BYTES);
	if (failed)
		return failed;
	failed = append_text_mtime(output, entry);
	failed |= fsmeta_buffer_append_text(out, "  ");
	failed |= append_text_path(output, entry);
	if (entry->fields & FSMETA_FIELD_TARGET) {
		failed |= fsmeta_buffer_append_text(out, " -> ");
		failed |= fsmeta_text_append_quoted(out, entry->target, entry->target_length);
	}
	failed |= append_text_remarks(out, entry);
	return failed | fsmeta_buffer_append_byte(out, '\n');
}

static char change_letter(enum fsmeta_change_kind kind)
{
	/* By number of the kind. */
	return " ADMR!U?"[kind];
}

/** "1 entry", "1,000 entries" */
static int append_entries(struct fsmeta_buffer *out, uint64_t entries)
{
	return fsmeta_text_append_count(out, entries) |
	       fsmeta_buffer_append_text(out, entries == 1 ? " entry" : " entries");
}

/** "1,000 entries, 12 GiB" */
static int append_totals(struct fsmeta_buffer *out, const struct fsmeta_change *change)
{
	int failed;

	if (!change->entries)
		return fsmeta_buffer_append_text(out, "empty");
	failed = append_entries(out, change->entries);
	failed |= fsmeta_buffer_append_text(out, ", ");
	return failed | fsmeta_text_append_size(out, change->bytes);
}

/** Of an added or removed entry: how much it is. */
static int append_text_amount(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	const struct fsmeta_entry *entry = fsmeta_change_entry(change);
	struct fsmeta_buffer *out = &output->lines;
	int failed = 0;

	if (entry->type == FSMETA_TYPE_FOLDER) {
		failed |= append_totals(out, change);
	} else if (entry->type == FSMETA_TYPE_SYMLINK && entry->fields & FSMETA_FIELD_TARGET) {
		failed |= fsmeta_buffer_append_text(out, "link to ");
		failed |= fsmeta_text_append_quoted(out, entry->target, entry->target_length);
	} else if (entry->type == FSMETA_TYPE_FILE && entry->fields & FSMETA_FIELD_SIZE) {
		failed |= fsmeta_text_append_size(out, entry->size);
	} else {
		failed |= fsmeta_buffer_append_text(out, fsmeta_type_name(entry->type));
	}
	if (entry->flags) {
		failed |= fsmeta_buffer_append_text(out, "; ");
		failed |= append_text_flags(out, entry);
	}
	return failed;
}

static const char arrow[] = " → ";

/** One value in the unit in which people read it, or exactly. */
static int append_bytes_value(struct fsmeta_buffer *out, uint64_t value, bool exact)
{
	return exact ? fsmeta_text_append_count(out, value) : fsmeta_text_append_size(out, value);
}

/** "1.0 MiB → 1.5 MiB"; where that would look equal, "1,048,576 → 1,048,580 bytes". */
static int append_bytes_change(struct fsmeta_buffer *out, uint64_t before, uint64_t after)
{
	struct fsmeta_buffer texts[2] = {{0}, {0}};
	bool exact;
	int failed = fsmeta_text_append_size(&texts[0], before);

	failed |= fsmeta_text_append_size(&texts[1], after);
	exact = failed || (texts[0].length == texts[1].length &&
			      memcmp(texts[0].data, texts[1].data, texts[0].length) == 0);
	failed |= append_bytes_value(out, before, exact);
	failed |= fsmeta_buffer_append_text(out, arrow);
	failed |= append_bytes_value(out, after, exact);
	if (exact)
		failed |= fsmeta_buffer_append_text(out, " bytes");
	fsmeta_buffer_release(&texts[0]);
	fsmeta_buffer_release(&texts[1]);
	return failed;
}

/** "2026-11-20 10:00:00 → 11:02:13 UTC"; as much of each as tells them apart. */
static int append_time_change(
    struct fsmeta_output *output, struct fsmeta_time before, struct fsmeta_time after)
{
	struct fsmeta_buffer *out = &output->lines;
	bool same_second = before.seconds == after.seconds;

	if (fsmeta_buffer_reserve(out, FIXED_BYTES))
		return FSMETA_E_MEMORY;
	put_text_time(output, before);
	if (same_second)
		put_fraction(out, before.nanoseconds);
	put_text(out, arrow, sizeof(arrow) - 1);
	if (day_of(before.seconds) == day_of(after.seconds))
		put_time_of_day(out, after);
	else
		put_text_time(output, after);
	if (same_second)
		put_fraction(out, after.nanoseconds);
	PUT(out, " UTC");
	return 0;
}

/** One value of a field that both entries have. */
static int append_value(struct fsmeta_buffer *out, uint32_t field, const struct fsmeta_entry *entry)
{
	switch (field) {
	case FSMETA_FIELD_MODE:
		return fsmeta_buffer_append_format(out, "%04o", entry->mode);
	case FSMETA_FIELD_UID:
		return fsmeta_buffer_append_format(out, "%u", entry->uid);
	case FSMETA_FIELD_GID:
		return fsmeta_buffer_append_format(out, "%u", entry->gid);
	case FSMETA_FIELD_INODE:
		return fsmeta_buffer_append_format(out, "%llu", (unsigned long long)entry->inode);
	case FSMETA_FIELD_NLINK:
		return fsmeta_buffer_append_format(out, "%llu", (unsigned long long)entry->nlink);
	case FSMETA_FIELD_RDEV:
		return fsmeta_buffer_append_format(
		    out, "%u:%u", entry->rdev_major, entry->rdev_minor);
	case FSMETA_FIELD_TARGET:
		return fsmeta_text_append_quoted(out, entry->target, entry->target_length);
	case FSMETA_FIELD_FLAGS:
		return entry->flags ? append_text_flags(out, entry)
				    : fsmeta_buffer_append_text(out, "none");
	}
	return 0;
}

static struct fsmeta_time time_field(const struct fsmeta_entry *entry, uint32_t field)
{
	switch (field) {
	case FSMETA_FIELD_CTIME:
		return entry->ctime;
	case FSMETA_FIELD_BTIME:
		return entry->btime;
	default:
		return entry->mtime;
	}
}

/** " 0644 → 0755" for a field that both sides have; nothing where values tell nothing. */
static int append_field_values(
    struct fsmeta_output *output, const struct fsmeta_change *change, uint32_t field)
{
	struct fsmeta_buffer *out = &output->lines;
	const struct fsmeta_entry *before = change->before, *after = change->after;
	int failed = 0;

	/* A hash says nothing to people, a device is an index into two tables. */
	if (field == FSMETA_FIELD_HASH || field == FSMETA_FIELD_DEVICE)
		return 0;
	failed |= fsmeta_buffer_append_byte(out, ' ');
	if (field == FSMETA_FIELD_SIZE)
		return failed | append_bytes_change(out, before->size, after->size);
	if (field == FSMETA_FIELD_ALLOCATED)
		return failed | append_bytes_change(out, before->allocated, after->allocated);
	if (field & (FSMETA_FIELD_MTIME | FSMETA_FIELD_CTIME | FSMETA_FIELD_BTIME))
		return failed | append_time_change(
				    output, time_field(before, field), time_field(after, field));
	failed |= append_value(out, field, before);
	failed |= fsmeta_buffer_append_text(out, arrow);
	return failed | append_value(out, field, after);
}

/** "size 1.0 MiB → 1.5 MiB, mode 0644 → 0755" */
static int append_text_differences(
    struct fsmeta_output *output, const struct fsmeta_change *change, const char *separator)
{
	uint32_t both = (change->before->fields & change->after->fields) | FSMETA_FIELD_FLAGS;
	int failed = 0;

	for (uint32_t rest = change->fields; rest; rest &= rest - 1) {
		uint32_t field = rest & -rest;
		const char *name = fsmeta_field_name(field);

		if (!name)
			continue;
		failed |= fsmeta_buffer_append_text(&output->lines, separator);
		failed |= fsmeta_buffer_append_text(&output->lines, name);
		if (field & both)
			failed |= append_field_values(output, change, field);
		else
			failed |= fsmeta_buffer_append_text(&output->lines,
			    field & change->after->fields ? " now known" : " no longer known");
		separator = ", ";
	}
	return failed;
}

static int append_text_corrupted(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	struct fsmeta_change rest = *change;
	int failed =
	    fsmeta_buffer_append_text(&output->lines, "content differs, size and mtime do not");

	rest.fields &= ~(uint32_t)FSMETA_FIELD_HASH;
	return failed | append_text_differences(output, &rest, "; ");
}

static int append_text_moved(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	int failed = fsmeta_buffer_append_text(&output->lines, "from ");

	failed |= append_text_path(output, change->before);
	if (change->after->type == FSMETA_TYPE_FOLDER) {
		failed |= fsmeta_buffer_append_text(&output->lines, ", ");
		failed |= append_totals(&output->lines, change);
	}
	return failed | append_text_differences(output, change, "; ");
}

/** "Permission denied; below it 12,411 entries, 1.0 GiB as last seen" */
static int append_text_unseen(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	struct fsmeta_buffer *out = &output->lines;
	const struct fsmeta_entry *entry = fsmeta_change_entry(change);
	int failed = entry->flags ? append_text_flags(out, entry)
				  : fsmeta_buffer_append_text(out, "not looked at");

	if (!change->entries)
		return failed;
	failed |= fsmeta_buffer_append_text(out, "; below it ");
	failed |= append_totals(out, change);
	return failed | fsmeta_buffer_append_text(out, " as last seen");
}

static int append_text_details(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	switch (change->kind) {
	case FSMETA_CHANGE_ADDED:
	case FSMETA_CHANGE_REMOVED:
		return append_text_amount(output, change);
	case FSMETA_CHANGE_MODIFIED:
		return append_text_differences(output, change, "");
	case FSMETA_CHANGE_CORRUPTED:
		return append_text_corrupted(output, change);
	case FSMETA_CHANGE_MOVED:
		return append_text_moved(output, change);
	case FSMETA_CHANGE_UNREADABLE:
	case FSMETA_CHANGE_UNKNOWN:
		return append_text_unseen(output, change);
	}
	return 0;
}

/** "A  cam2/  (1,000 entries, 12 GiB)" */
static int append_text_change(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	struct fsmeta_buffer *out = &output->lines;
	int failed = fsmeta_buffer_append_format(out, "%c  ", change_letter(change->kind));

	failed |= append_text_path(output, fsmeta_change_entry(change));
	failed |= fsmeta_buffer_append_text(out, "  (");
	failed |= append_text_details(output, change);
	return failed | fsmeta_buffer_append_text(out, ")\n");
}

/** letter NUL [old path NUL] path NUL */
static int append_raw_change(struct fsmeta_buffer *out, const struct fsmeta_change *change)
{
	put_byte(out, change_letter(change->kind));
	put_byte(out, '\0');
	if (change->kind == FSMETA_CHANGE_MOVED && append_raw_path(out, change->before))
		return FSMETA_E_MEMORY;
	return append_raw_path(out, fsmeta_change_entry(change));
}

/* ---- the output ------------------------------------------------------- */

int fsmeta_output_new(struct fsmeta_output **out, FILE *stream, enum fsmeta_output_format format,
    uint32_t flags, const struct fsmeta_batch_source *source, struct fsmeta_error *error)
{
	struct fsmeta_output *output = calloc(1, sizeof(*output));
	int descriptor = fileno(stream);

	*out = NULL;
	if (!output)
		return fsmeta_error_set_memory(error, action);
	output->stream = stream;
	output->format = format;
	output->flags = flags;
	output->newer = source;
	output->flush_bytes = descriptor >= 0 && isatty(descriptor) ? 1 : FLUSH_BYTES;
	*out = output;
	return 0;
}

/** Hands the collected lines to the stream. */
static int write_lines(struct fsmeta_output *output, struct fsmeta_error *error)
{
	size_t length = output->lines.length;

	fsmeta_buffer_clear(&output->lines);
	errno = 0;
	if (length && fwrite(output->lines.data, 1, length, output->stream) != length)
		return fsmeta_error_set_errno(error, errno ? errno : EIO, NULL, action);
	return 0;
}

int fsmeta_output_finish(struct fsmeta_output *output, struct fsmeta_error *error)
{
	int code = write_lines(output, error);

	errno = 0;
	if (!code && fflush(output->stream))
		code = fsmeta_error_set_errno(error, errno ? errno : EIO, NULL, action);
	return code;
}

/** Behind each line: out with them, if there are enough. */
static int line_is_done(struct fsmeta_output *output, int failed, struct fsmeta_error *error)
{
	if (failed)
		return fsmeta_error_set_memory(error, action);
	if (output->lines.length < output->flush_bytes)
		return 0;
	if (output->flush_bytes == 1)
		return fsmeta_output_finish(output, error);
	return write_lines(output, error);
}

int fsmeta_output_entry(
    struct fsmeta_output *output, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	int failed = fsmeta_buffer_reserve(&output->lines, FIXED_BYTES);

	if (!failed && output->format == FSMETA_OUTPUT_JSONL)
		failed = append_json_line(output, entry);
	else if (!failed && output->flags & FSMETA_OUTPUT_NULL)
		failed = append_raw_path(&output->lines, entry);
	else if (!failed)
		failed = append_text_line(output, entry);
	return line_is_done(output, failed, error);
}

static bool is_shown(const struct fsmeta_output *output, const struct fsmeta_change *change)
{
	if (change->flags & FSMETA_CHANGE_CONTINUED || !fsmeta_change_kind_name(change->kind))
		return false;
	return output->format == FSMETA_OUTPUT_JSONL || output->flags & FSMETA_OUTPUT_ALL ||
	       !(change->flags & FSMETA_CHANGE_INSIDE);
}

static int take_change(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct fsmeta_output *output = (struct fsmeta_output *)sink;
	int failed;

	if (!is_shown(output, change))
		return 0;
	failed = fsmeta_buffer_reserve(&output->lines, FIXED_BYTES);
	if (!failed && output->format == FSMETA_OUTPUT_JSONL)
		failed = append_json_change(output, change);
	else if (!failed && output->flags & FSMETA_OUTPUT_NULL)
		failed = append_raw_change(&output->lines, change);
	else if (!failed)
		failed = append_text_change(output, change);
	return line_is_done(output, failed, error);
}

struct fsmeta_change_sink *fsmeta_output_change_sink(
    struct fsmeta_output *output, const struct fsmeta_batch_source *older)
{
	output->older = older;
	output->sink.change = take_change;
	return &output->sink;
}

void fsmeta_output_free(struct fsmeta_output *output)
{
	if (!output)
		return;
	fsmeta_buffer_release(&output->lines);
	fsmeta_buffer_release(&output->scratch);
	free(output);
}
