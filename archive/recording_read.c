/*
 * Recordings: reading.
 *
 *     open    meta.json, then
 *             index.bin, mapped       where it agrees with index.jsonl: its header names that
 *                                     file's length, and its last record is that file's last line
 *             index.jsonl, read       otherwise; the records are made in memory
 *
 *     seek    binary search by time, then back to the key frame; one pass where an encoder
 *             reorders and times are not sorted
 *     window  chunks are contiguous, so it is one range of data.bin and one read
 *
 * A mapped index is not checked through when it is opened, as that would read all of it; each chunk
 * is when it is asked for.
 */
#include "archive/names.h"
#include "archive/recording_lines.h"
#include "base/file.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	META_MAX_BYTES = 1 << 20,
	/** Lines are read in pieces, and none is longer. */
	PIECE_BYTES = 1 << 20,
	LAST_LINE_BYTES = 4096,
};

/* ---- meta.json ---- */

static uint32_t get_number(const json_t *object, const char *key, uint32_t most)
{
	json_int_t value = json_integer_value(json_object_get(object, key));

	return value > 0 && value <= most ? (uint32_t)value : 0;
}

/** Other programs may have other ideas of these keys: what is not understood is not said. */
static void take_look(struct fsmeta_look *out, const json_t *meta)
{
	const json_t *colors = json_object_get(meta, "colorSpace");
	const json_t *full = json_object_get(colors, "fullRange");
	json_int_t rotation = json_integer_value(json_object_get(meta, "rotation"));

	if (rotation > 0 && rotation < 360 && rotation % 90 == 0)
		out->quarters = (uint8_t)(rotation / 90);
	out->mirrored = json_is_true(json_object_get(meta, "mirrored"));
	out->primaries = (uint8_t)get_number(colors, "primaries", UINT8_MAX);
	out->transfer = (uint8_t)get_number(colors, "transfer", UINT8_MAX);
	out->matrix = (uint8_t)get_number(colors, "matrix", UINT8_MAX);
	if (json_is_boolean(full))
		out->range =
		    json_is_true(full) ? FSMETA_LOOK_RANGE_FULL : FSMETA_LOOK_RANGE_LIMITED;
}

static void take_hdr(struct fsmeta_hdr *out, const json_t *meta)
{
	const json_t *display = json_object_get(meta, "masteringDisplay");
	const json_t *light = json_object_get(meta, "contentLight");
	const json_t *points = json_object_get(display, "points");

	for (size_t i = 0; i < 8; i++) {
		json_int_t value =
		    json_integer_value(json_array_get(json_array_get(points, i / 2), i % 2));

		if (value > 0 && value <= UINT16_MAX)
			out->points[i / 2][i % 2] = (uint16_t)value;
	}
	out->max_luminance = get_number(display, "maxLuminance", UINT32_MAX);
	out->min_luminance = get_number(display, "minLuminance", UINT32_MAX);
	out->max_light = (uint16_t)get_number(light, "max", UINT16_MAX);
	out->max_average_light = (uint16_t)get_number(light, "maxAverage", UINT16_MAX);
}

static int take_meta(
    struct fsmeta_recording *out, const json_t *meta, const char *path, struct fsmeta_error *error)
{
	const json_t *completed = json_object_get(meta, "completed");
	const char *codec = json_string_value(json_object_get(meta, "codec"));
	json_int_t width = json_integer_value(json_object_get(meta, "width"));
	json_int_t height = json_integer_value(json_object_get(meta, "height"));
	double rate = json_number_value(json_object_get(meta, "framerate"));

	if (!json_is_boolean(completed))
		return fsmeta_error_set(error, FSMETA_E_FOREIGN, path, "reading meta.json",
		    "it does not say whether the recording was completed");
	out->is_completed = json_is_true(completed);
	snprintf(out->format.codec, sizeof(out->format.codec), "%s", codec ? codec : "");
	if (width > 0 && width <= INT32_MAX)
		out->format.width = (uint32_t)width;
	if (height > 0 && height <= INT32_MAX)
		out->format.height = (uint32_t)height;
	if (rate > 0 && rate < 100000)
		out->format.framerate_millihertz = (uint32_t)(rate * 1000 + 0.5);
	take_look(&out->format.look, meta);
	take_hdr(&out->format.hdr, meta);
	return 0;
}

static int read_meta(struct fsmeta_recording *out, const char *folder, struct fsmeta_error *error)
{
	char *path = fsmeta_names_join(folder, FSMETA_RECORDING_META);
	struct fsmeta_buffer text = {0};
	json_t *meta = NULL;
	int code;

	if (!path)
		return fsmeta_error_set_memory(error, "reading meta.json");
	code = fsmeta_read_file_at(&text, AT_FDCWD, path, META_MAX_BYTES, error);
	if (!code) {
		meta =
		    json_loadb((const char *)text.data, text.length, JSON_REJECT_DUPLICATES, NULL);
		code = take_meta(out, meta, path, error);
	}
	json_decref(meta);
	fsmeta_buffer_release(&text);
	free(path);
	return code;
}

static int open_regular(
    int *fd, uint64_t *size, const char *folder, const char *name, struct fsmeta_error *error)
{
	char *path = fsmeta_names_join(folder, name);
	struct stat status;
	int code = 0;

	if (!path)
		return fsmeta_error_set_memory(error, "opening a recording");
	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (*fd < 0 || fstat(*fd, &status) < 0)
		code = fsmeta_error_set_errno(error, errno, path, "opening");
	else if (!S_ISREG(status.st_mode))
		code = fsmeta_error_set(
		    error, FSMETA_E_FOREIGN, path, "opening", "it is not a regular file");
	else
		*size = (uint64_t)status.st_size;
	if (code && *fd >= 0) {
		close(*fd);
		*fd = -1;
	}
	free(path);
	return code;
}

/* ---- the lines ---- */

/** The lines of a recording, being read. */
struct line_reading {
	struct fsmeta_recording *recording;
	struct fsmeta_buffer records;
	int64_t last_timestamp_us;
	uint64_t valid_bytes;
};

/** Takes the whole lines in `text`; false at the first that is not valid. */
static bool take_lines(
    struct line_reading *reading, const char *text, size_t length, size_t *used, int *code)
{
	struct fsmeta_recording *recording = reading->recording;
	const char *newline;

	*used = 0;
	while ((newline = memchr(text + *used, '\n', length - *used))) {
		size_t size = (size_t)(newline - text) - *used;
		struct fsmeta_chunk chunk;

		if (!fsmeta_recording_parse_line(&chunk, text + *used, size) ||
		    chunk.offset != recording->indexed_bytes ||
		    chunk.size > recording->data_bytes - recording->indexed_bytes)
			return false;
		*code = fsmeta_recording_append_record(
		    &reading->records, chunk.offset, chunk.is_key, chunk.timestamp_us);
		if (*code)
			return false;
		recording->is_sorted &= chunk.timestamp_us >= reading->last_timestamp_us;
		reading->last_timestamp_us = chunk.timestamp_us;
		recording->indexed_bytes += chunk.size;
		recording->count++;
		*used += size + 1;
		reading->valid_bytes += size + 1;
	}
	return true;
}

static int read_lines(
    struct fsmeta_recording *recording, int fd, uint64_t lines_bytes, struct fsmeta_error *error)
{
	struct line_reading reading = {.recording = recording, .last_timestamp_us = INT64_MIN};
	struct fsmeta_buffer text = {0};
	int code = fsmeta_buffer_reserve(&text, PIECE_BYTES);
	bool go_on = !code;

	recording->is_sorted = true;
	while (go_on) {
		size_t got = 0, used;

		if (fd >= 0 && fsmeta_read_full(fd, text.data + text.length,
				   PIECE_BYTES - text.length, &got, recording->path, error)) {
			code = FSMETA_E_SYSTEM;
			goto done;
		}
		text.length += got;
		go_on = take_lines(&reading, (const char *)text.data, text.length, &used, &code);
		memmove(text.data, text.data + used, text.length - used);
		text.length -= used;
		go_on &= got > 0 && text.length < PIECE_BYTES;
	}
	if (!code)
		code = fsmeta_recording_append_record(
		    &reading.records, recording->indexed_bytes, false, 0);
	if (code) {
		code = fsmeta_error_set_memory(error, "reading the index");
		goto done;
	}
	/* A writer may have added lines since the size was asked for. */
	recording->invalid_line_bytes =
	    lines_bytes > reading.valid_bytes ? lines_bytes - reading.valid_bytes : 0;
	recording->records = reading.records.data;
	reading.records = (struct fsmeta_buffer){0};
done:
	fsmeta_buffer_release(&reading.records);
	fsmeta_buffer_release(&text);
	return code;
}

/* ---- index.bin ---- */

static void get_record(
    const unsigned char *from, uint64_t *offset, bool *is_key, int64_t *timestamp_us)
{
	uint64_t words[2];

	memcpy(words, from, sizeof(words));
	*offset = le64toh(words[0]) >> 1;
	*is_key = le64toh(words[0]) & 1;
	*timestamp_us = (int64_t)le64toh(words[1]);
}

/** Whether the last line of index.jsonl is what the last record says. */
static bool agrees_with_last_line(
    const unsigned char *records, uint64_t count, int lines_fd, uint64_t lines_bytes)
{
	char text[LAST_LINE_BYTES];
	size_t size = lines_bytes < sizeof(text) ? (size_t)lines_bytes : sizeof(text), got, start;
	struct fsmeta_chunk chunk;
	uint64_t offset, end;
	int64_t timestamp_us;
	bool is_key, ignored;

	if (!count)
		return lines_bytes == 0;
	if (fsmeta_read_full_at(lines_fd, text, size, lines_bytes - size, &got, NULL, NULL) ||
	    got < size || size < 2 || text[size - 1] != '\n')
		return false;
	for (start = size - 1; start && text[start - 1] != '\n';)
		start--;
	if (!fsmeta_recording_parse_line(&chunk, text + start, size - 1 - start))
		return false;
	get_record(records + (count - 1) * FSMETA_RECORD_BYTES, &offset, &is_key, &timestamp_us);
	get_record(records + count * FSMETA_RECORD_BYTES, &end, &ignored, &(int64_t){0});
	return chunk.offset == offset && chunk.is_key == is_key &&
	       chunk.timestamp_us == timestamp_us && chunk.offset + chunk.size == end;
}

/** Maps index.bin where it can stand for the lines; false where these are to be read. */
static bool map_index(struct fsmeta_recording *out, int lines_fd, uint64_t lines_bytes)
{
	unsigned char *mapped = MAP_FAILED;
	uint64_t size, stated_lines, end;
	bool ignored, good = false;
	int fd;

	if (open_regular(&fd, &size, out->path, FSMETA_RECORDING_INDEX, NULL))
		return false;
	if (size >= FSMETA_RECORD_HEADER_BYTES + FSMETA_RECORD_BYTES && size <= SIZE_MAX)
		mapped = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (mapped == MAP_FAILED)
		return false;
	good = fsmeta_recording_get_header(
		   mapped, (size_t)size, &out->count, &stated_lines, &out->is_sorted) &&
	       stated_lines == lines_bytes &&
	       out->count < (size - FSMETA_RECORD_HEADER_BYTES) / FSMETA_RECORD_BYTES &&
	       agrees_with_last_line(
		   mapped + FSMETA_RECORD_HEADER_BYTES, out->count, lines_fd, lines_bytes);
	if (good)
		get_record(mapped + FSMETA_RECORD_HEADER_BYTES + out->count * FSMETA_RECORD_BYTES,
		    &end, &ignored, &(int64_t){0});
	if (!good || end > out->data_bytes) {
		munmap(mapped, (size_t)size);
		out->count = 0;
		return false;
	}
	out->indexed_bytes = end;
	out->records = mapped + FSMETA_RECORD_HEADER_BYTES;
	out->mapped_bytes = (size_t)size;
	out->is_quick = true;
	return true;
}

/* ---- opening ---- */

/** Without index.jsonl there is a recording of which no chunk is known: *fd is -1. */
static int open_lines_file(int *fd, uint64_t *size, const char *folder, struct fsmeta_error *error)
{
	struct fsmeta_error local;
	int code;

	fsmeta_error_clear(&local);
	code = open_regular(fd, size, folder, FSMETA_RECORDING_LINES, &local);
	if (code == FSMETA_E_SYSTEM && local.system_errno == ENOENT)
		return 0;
	if (code && error)
		*error = local;
	return code;
}

/** *Steals* `path`, which may be NULL: then memory was out. */
static int open_path(
    struct fsmeta_recording *out, char *path, bool lines_only, struct fsmeta_error *error)
{
	uint64_t lines_bytes = 0;
	int lines_fd = -1, code;

	*out = (struct fsmeta_recording){.data_fd = -1, .path = path};
	if (!out->path)
		return fsmeta_error_set_memory(error, "opening a recording");
	code = read_meta(out, out->path, error);
	/* The lines before the size of the data: what they speak of was written earlier. */
	if (!code)
		code = open_lines_file(&lines_fd, &lines_bytes, out->path, error);
	if (!code)
		code = open_regular(
		    &out->data_fd, &out->data_bytes, out->path, FSMETA_RECORDING_DATA, error);
	if (!code && (lines_only || lines_fd < 0 || !map_index(out, lines_fd, lines_bytes)))
		code = read_lines(out, lines_fd, lines_bytes, error);
	if (lines_fd >= 0)
		close(lines_fd);
	if (code)
		fsmeta_recording_release(out);
	return code;
}

int fsmeta_recording_open(
    struct fsmeta_recording *out, const char *root, const char *id, struct fsmeta_error *error)
{
	return open_path(out, fsmeta_recording_path(root, id), false, error);
}

int fsmeta_recording_open_lines(
    struct fsmeta_recording *out, const char *root, const char *id, struct fsmeta_error *error)
{
	return open_path(out, fsmeta_recording_path(root, id), true, error);
}

int fsmeta_recording_open_folder(
    struct fsmeta_recording *out, const char *folder, bool lines_only, struct fsmeta_error *error)
{
	return open_path(out, strdup(folder), lines_only, error);
}

void fsmeta_recording_release(struct fsmeta_recording *recording)
{
	union {
		const unsigned char *borrowed;
		unsigned char *owned;
	} records = {.borrowed = recording->records};

	if (recording->mapped_bytes)
		munmap(records.owned - FSMETA_RECORD_HEADER_BYTES, recording->mapped_bytes);
	else
		free(records.owned);
	if (recording->data_fd >= 0)
		close(recording->data_fd);
	free(recording->path);
	*recording = (struct fsmeta_recording){.data_fd = -1};
}

/* ---- chunks ---- */

int fsmeta_recording_chunk(const struct fsmeta_recording *recording, uint64_t i,
    struct fsmeta_chunk *out, struct fsmeta_error *error)
{
	static const char action[] = "reading the index";
	uint64_t end;
	bool ignored;

	if (i >= recording->count)
		return fsmeta_error_set(
		    error, FSMETA_E_INTERNAL, recording->path, action, "no such chunk");
	get_record(recording->records + i * FSMETA_RECORD_BYTES, &out->offset, &out->is_key,
	    &out->timestamp_us);
	get_record(
	    recording->records + (i + 1) * FSMETA_RECORD_BYTES, &end, &ignored, &(int64_t){0});
	if (end <= out->offset || end > recording->indexed_bytes)
		return fsmeta_error_set_at(error, FSMETA_E_CORRUPT, recording->path,
		    (int64_t)(FSMETA_RECORD_HEADER_BYTES + i * FSMETA_RECORD_BYTES), action,
		    "chunk %llu lies where it cannot", (unsigned long long)i);
	out->size = end - out->offset;
	return 0;
}

int fsmeta_recording_summarise(const struct fsmeta_recording *recording,
    struct fsmeta_recording_summary *out, struct fsmeta_error *error)
{
	*out = (struct fsmeta_recording_summary){0};
	for (uint64_t i = 0; i < recording->count; i++) {
		struct fsmeta_chunk chunk;
		int code = fsmeta_recording_chunk(recording, i, &chunk, error);

		if (code)
			return code;
		out->keys += chunk.is_key;
		out->bytes += chunk.size;
		if (!i || chunk.timestamp_us < out->first_us)
			out->first_us = chunk.timestamp_us;
		if (!i || chunk.timestamp_us > out->last_us)
			out->last_us = chunk.timestamp_us;
	}
	out->chunks = recording->count;
	return 0;
}

static void get_time(
    const struct fsmeta_recording *recording, uint64_t i, int64_t *time_us, bool *is_key)
{
	get_record(recording->records + i * FSMETA_RECORD_BYTES, &(uint64_t){0}, is_key, time_us);
}

/** The first chunk that is not before time_us, or `count`.  Of sorted ones. */
static uint64_t find_time(const struct fsmeta_recording *recording, int64_t time_us)
{
	uint64_t low = 0, high = recording->count;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		int64_t time;
		bool ignored;

		get_time(recording, middle, &time, &ignored);
		if (time < time_us)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/** The last key frame among [0, behind) that is shown at or before time_us; false without. */
static bool find_key(
    const struct fsmeta_recording *recording, uint64_t behind, int64_t time_us, uint64_t *key)
{
	while (behind--) {
		int64_t time;
		bool is_key;

		get_time(recording, behind, &time, &is_key);
		if (is_key && time <= time_us) {
			*key = behind;
			return true;
		}
	}
	return false;
}

static bool find_first_key(const struct fsmeta_recording *recording, uint64_t *key)
{
	for (*key = 0; *key < recording->count; ++*key) {
		int64_t time;
		bool is_key;

		get_time(recording, *key, &time, &is_key);
		if (is_key)
			return true;
	}
	return false;
}

int fsmeta_recording_seek(const struct fsmeta_recording *recording, int64_t time_us, uint64_t *key,
    struct fsmeta_error *error)
{
	uint64_t behind = recording->count;

	if (recording->is_sorted && time_us < INT64_MAX)
		behind = find_time(recording, time_us + 1);
	if (find_key(recording, behind, time_us, key) || find_first_key(recording, key))
		return 0;
	return fsmeta_error_set(
	    error, FSMETA_E_NOT_FOUND, recording->path, "seeking", "it has no key frame");
}

int fsmeta_recording_window(const struct fsmeta_recording *recording, int64_t from_us,
    int64_t to_us, uint64_t *first, uint64_t *last, struct fsmeta_error *error)
{
	struct fsmeta_chunk chunk;
	uint64_t key, begin = 0, end = recording->count;

	*first = *last = 0;
	if (recording->is_sorted) {
		begin = find_time(recording, from_us);
		end = find_time(recording, to_us);
		*first = begin;
		*last = end > begin ? end : 0;
	} else {
		for (uint64_t i = begin; i < end; i++) {
			int64_t time;
			bool ignored;

			get_time(recording, i, &time, &ignored);
			if (time < from_us || time >= to_us)
				continue;
			if (!*last)
				*first = i;
			*last = i + 1;
		}
	}
	if (!*last) {
		*first = 0;
		return 0;
	}
	int code = fsmeta_recording_chunk(recording, *first, &chunk, error);
	if (!code && find_key(recording, *first + 1, chunk.timestamp_us, &key))
		*first = key;
	return code;
}

int fsmeta_recording_read(const struct fsmeta_recording *recording, uint64_t first, uint64_t last,
    struct fsmeta_buffer *out, struct fsmeta_error *error)
{
	static const char action[] = "reading chunks";
	struct fsmeta_chunk from, to;
	uint64_t size;
	size_t got;
	int code;

	if (first >= last)
		return 0;
	code = fsmeta_recording_chunk(recording, first, &from, error);
	if (!code)
		code = fsmeta_recording_chunk(recording, last - 1, &to, error);
	if (code)
		return code;
	if (to.offset + to.size <= from.offset)
		return fsmeta_error_set(
		    error, FSMETA_E_CORRUPT, recording->path, action, "they run backwards");
	size = to.offset + to.size - from.offset;
	if (size > SIZE_MAX || fsmeta_buffer_reserve(out, (size_t)size))
		return fsmeta_error_set_memory(error, action);
	code = fsmeta_read_full_at(recording->data_fd, out->data + out->length, (size_t)size,
	    from.offset, &got, recording->path, error);
	if (code)
		return code;
	if (got < size)
		return fsmeta_error_set_at(error, FSMETA_E_TRUNCATED, recording->path,
		    (int64_t)(from.offset + got), action, "data.bin has become shorter");
	out->length += (size_t)size;
	return 0;
}
