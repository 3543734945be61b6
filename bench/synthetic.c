/*
 * Every entry follows from its number alone:
 *
 *     number    0     1        2 … 1001        1002     1003 …
 *               root  folder   its files       folder   its files
 *
 * so skipping is arithmetic, and two archives with other changes share all the
 * rest.  So does whether it changes: every so many numbers one does.
 *
 * The path is written in place: a folder's once, a file's ten digits by division.
 */
#include "bench/synthetic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	DEFAULT_FOLDER_FILES = 1000,
	FIRST_START_SECONDS = 1708584695,
	/** A file pair every so many seconds. */
	PAIR_SECONDS = 86,
	START_DIGITS = 10,
	/** "camera-000000" */
	FOLDER_DIGITS = 6,
};

static const char file_suffix[] = "_video.rf1";

struct synthetic_cursor {
	struct fsmeta_cursor cursor;
	struct fsmeta_batch_source source;
	struct fsmeta_synthetic_options options;
	/** Number of the entry to be made next. */
	uint64_t number;
	/** One entry in so many changes; 0 = none. */
	uint64_t spacing;
	/** The file handed out last has a new one behind it. */
	bool adds;
	char path[128];
	size_t folder_length;
	/** What the digits of a file's name in `path` say; two files in a row have the same. */
	uint64_t start;
	struct fsmeta_entry entry;
};

static struct synthetic_cursor *from_cursor(struct fsmeta_cursor *cursor)
{
	return (struct synthetic_cursor *)cursor;
}

/** splitmix64 (Vigna, public domain) of a number. */
static uint64_t scramble(uint64_t z)
{
	z += 0x9E3779B97F4A7C15U;
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
	return z ^ (z >> 31);
}

static void write_digits(char *out, size_t count, uint64_t value)
{
	while (count--) {
		out[count] = (char)('0' + value % 10);
		value /= 10;
	}
}

static uint64_t period(const struct synthetic_cursor *synthetic)
{
	return (uint64_t)synthetic->options.folder_files + 1;
}

static void set_times(
    const struct synthetic_cursor *synthetic, struct fsmeta_entry *entry, int64_t seconds)
{
	uint64_t random = scramble(synthetic->number ^ synthetic->options.seed << 40);

	entry->size = entry->type == FSMETA_TYPE_FILE ? random & 0xFFFFFFF : 4096;
	entry->mtime.seconds = seconds;
	entry->mtime.nanoseconds = (uint32_t)((random >> 28) % 1000000000);
	if (synthetic->source.field_mask & FSMETA_FIELD_CTIME)
		entry->ctime = entry->mtime;
	if (synthetic->source.field_mask & FSMETA_FIELD_BTIME) {
		entry->btime.seconds = seconds - PAIR_SECONDS - (int64_t)(random >> 62);
		entry->btime.nanoseconds =
		    (uint32_t)((random * 0x9E3779B97F4A7C15U) >> 36) % 1000000000;
	}
	if (synthetic->source.field_mask & FSMETA_FIELD_INODE)
		entry->inode = 12 + synthetic->number;
	if (synthetic->source.field_mask & FSMETA_FIELD_ALLOCATED)
		entry->allocated = (entry->size + 4095) & ~(uint64_t)4095;
}

static void make_folder(struct synthetic_cursor *synthetic)
{
	struct fsmeta_entry *entry = &synthetic->entry;
	uint64_t folder = (synthetic->number - 1) / period(synthetic);

	memcpy(synthetic->path, "camera-", 7);
	write_digits(synthetic->path + 7, FOLDER_DIGITS, folder);
	synthetic->folder_length = 7 + FOLDER_DIGITS;
	synthetic->path[synthetic->folder_length] = '\0';
	entry->path_length = synthetic->folder_length;
	entry->name = synthetic->path;
	entry->name_length = entry->path_length;
	entry->depth = 1;
	entry->type = FSMETA_TYPE_FOLDER;
	entry->mode = 0755;
	entry->nlink = synthetic->source.field_mask & FSMETA_FIELD_NLINK ? 2 : 0;
	set_times(synthetic, entry, FIRST_START_SECONDS + (int64_t)folder * 3600);
}

static void make_file(struct synthetic_cursor *synthetic, uint64_t index)
{
	struct fsmeta_entry *entry = &synthetic->entry;
	char *name = synthetic->path + synthetic->folder_length + 1;
	uint64_t start = FIRST_START_SECONDS + index / 2 * PAIR_SECONDS;

	name[-1] = '/';
	if (synthetic->start != start)
		write_digits(name, START_DIGITS, start);
	synthetic->start = start;
	memcpy(name + START_DIGITS, file_suffix, sizeof(file_suffix));
	name[START_DIGITS + sizeof(file_suffix) - 1] = index % 2 ? 'p' : 'i';
	name[START_DIGITS + sizeof(file_suffix)] = '\0';
	entry->name = name;
	entry->name_length = START_DIGITS + sizeof(file_suffix);
	entry->path_length = synthetic->folder_length + 1 + entry->name_length;
	entry->depth = 2;
	entry->type = FSMETA_TYPE_FILE;
	entry->mode = 0644;
	entry->nlink = synthetic->source.field_mask & FSMETA_FIELD_NLINK ? 1 : 0;
	set_times(synthetic, entry, (int64_t)start + PAIR_SECONDS);
}

static void make_root(struct synthetic_cursor *synthetic)
{
	struct fsmeta_entry *entry = &synthetic->entry;

	synthetic->path[0] = '\0';
	entry->path_length = 0;
	entry->name = synthetic->path;
	entry->name_length = 0;
	entry->depth = 0;
	entry->type = FSMETA_TYPE_FOLDER;
	entry->mode = 0755;
	entry->nlink = synthetic->source.field_mask & FSMETA_FIELD_NLINK ? 2 : 0;
	set_times(synthetic, entry, FIRST_START_SECONDS);
}

/** The new file behind the one handed out last: a name that is one byte longer. */
static void make_added(struct synthetic_cursor *synthetic)
{
	struct fsmeta_entry *entry = &synthetic->entry;

	synthetic->path[entry->path_length++] = '+';
	synthetic->path[entry->path_length] = '\0';
	entry->name_length++;
	if (entry->inode)
		entry->inode += UINT32_MAX;
	synthetic->adds = false;
}

/** What becomes of the file just made, the first of its folder or not; false where it is gone. */
static bool change_file(struct synthetic_cursor *synthetic, bool is_first)
{
	uint64_t spacing = synthetic->spacing;
	uint64_t number = synthetic->number;

	/* A folder's change is its first file's. */
	if (number % spacing && !(is_first && (number - 1) % spacing == 0))
		return true;
	switch (number / spacing % 3) {
	case 0:
		synthetic->entry.size++;
		synthetic->entry.mtime.seconds++;
		return true;
	case 1:
		return false;
	default:
		synthetic->adds = true;
		return true;
	}
}

/** Makes entry `number`; false where the archive does not have it. */
static bool make_entry(struct synthetic_cursor *synthetic)
{
	uint64_t place;

	if (synthetic->number == 0) {
		make_root(synthetic);
		return true;
	}
	place = (synthetic->number - 1) % period(synthetic);
	if (place == 0) {
		make_folder(synthetic);
		return true;
	}
	if (place <= synthetic->options.rotated)
		return false;
	make_file(synthetic, place - 1);
	return !synthetic->spacing || change_file(synthetic, place == 1);
}

static int synthetic_next(
    struct fsmeta_cursor *cursor, const struct fsmeta_entry **out, struct fsmeta_error *error)
{
	struct synthetic_cursor *synthetic = from_cursor(cursor);
	struct fsmeta_entry *entry = &synthetic->entry;
	bool made = false;

	(void)error;
	*out = entry;
	if (synthetic->adds) {
		make_added(synthetic);
		return 1;
	}
	while (!made && synthetic->number < synthetic->options.entries) {
		made = make_entry(synthetic);
		synthetic->number++;
	}
	entry->fields = synthetic->source.field_mask & fsmeta_fields_of_type(entry->type);
	return made;
}

static int synthetic_skip(struct fsmeta_cursor *cursor, uint32_t depth, struct fsmeta_error *error)
{
	struct synthetic_cursor *synthetic = from_cursor(cursor);

	(void)error;
	if (depth <= 1) {
		synthetic->number = synthetic->options.entries;
		synthetic->adds = false;
	} else if (depth == 2 && synthetic->number > 1) {
		synthetic->adds = false;
		while (synthetic->number < synthetic->options.entries &&
		       (synthetic->number - 1) % period(synthetic))
			synthetic->number++;
	}
	return 0;
}

static void synthetic_close(struct fsmeta_cursor *cursor)
{
	struct synthetic_cursor *synthetic = from_cursor(cursor);

	fsmeta_batch_source_release(&synthetic->source);
	free(synthetic);
}

static const struct fsmeta_cursor_operations synthetic_operations = {
    .next = synthetic_next,
    .skip = synthetic_skip,
    .close = synthetic_close,
};

static int describe(struct synthetic_cursor *synthetic)
{
	struct fsmeta_batch_source *source = &synthetic->source;
	uint32_t device;

	source->field_mask =
	    synthetic->options.field_mask ? synthetic->options.field_mask : FSMETA_FIELDS_ALL;
	source->started.seconds =
	    FIRST_START_SECONDS + (int64_t)synthetic->options.changes + synthetic->options.rotated;
	source->finished = source->started;
	if (fsmeta_batch_source_set(source, &source->source_id, "synthetic"))
		return FSMETA_E_MEMORY;
	return fsmeta_batch_source_add_filesystem(
	    source, "5f0d3c3e-7a5c-4f64-9d2c-5b8d7f5f1c11", "ext4", "", &device);
}

int fsmeta_synthetic_open(struct fsmeta_cursor **out,
    const struct fsmeta_synthetic_options *options, struct fsmeta_error *error)
{
	struct synthetic_cursor *synthetic = calloc(1, sizeof(*synthetic));

	*out = NULL;
	if (!synthetic)
		return fsmeta_error_set_memory(error, "making an archive");
	synthetic->options = *options;
	if (!synthetic->options.folder_files)
		synthetic->options.folder_files = DEFAULT_FOLDER_FILES;
	if (options->changes)
		synthetic->spacing =
		    options->entries > options->changes ? options->entries / options->changes : 1;
	fsmeta_batch_source_init(&synthetic->source);
	synthetic->cursor.operations = &synthetic_operations;
	synthetic->cursor.source = &synthetic->source;
	synthetic->cursor.label = "synthetic";
	synthetic->entry.path = synthetic->path;
	synthetic->entry.uid = 1000;
	synthetic->entry.gid = 1000;
	if (describe(synthetic)) {
		synthetic_close(&synthetic->cursor);
		return fsmeta_error_set_memory(error, "making an archive");
	}
	*out = &synthetic->cursor;
	return 0;
}
