/*
 * Recordings: writing and keeping.  recording_read.c reads.
 *
 *     append   chunk ──────────────> data.bin        at once, one write
 *              line  ──> buffer ┐
 *     flush                     ├──> index.jsonl     every 100 chunks or 3 s
 *              16 bytes ──> buf ┴──> index.bin       and then its header
 *
 * Payload first: what cannot be made again is with the system before append returns.  A crash takes
 * the lines of the last flush interval at most; of H.264 and H.265 even these are found again in
 * the bitstream.  Of VP9, which has no marks between frames, they are lost, as the seed of this
 * layout decided.
 *
 *     index.bin   0 "fsri"   4 version 1   8 count   16 bytes of index.jsonl   24 flags (1 sorted)
 *                32 records: offset << 1 | key, timestamp (8 bytes each, little endian)
 *                   and one more whose offset is the end
 *
 * Chunks lie without gaps, so a record needs no size.  The header comes last and names the length
 * of index.jsonl that it stands for: where that is another by now, somebody else appended, or a
 * crash came between the two writes, and the lines are read instead.
 */
#include "archive/recordings.h"

#include "archive/annexb.h"
#include "archive/names.h"
#include "archive/recording_lines.h"
#include "base/file.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	FLUSH_CHUNKS = 100,
	FLUSH_US = 3000000,
	META_MAX_BYTES = 1 << 20,
	/** Between two chunks, where neither the index nor meta.json says it. */
	INTERVAL_US = 33333,
};

struct fsmeta_recording_writer {
	char *root;
	char *id;
	char *path;
	struct fsmeta_recording_format format;
	struct fsmeta_recording_options options;
	int data_fd;
	int lines_fd;
	int index_fd;
	uint64_t data_bytes;
	uint64_t lines_bytes;
	uint64_t count;
	/** Of these, written to the index. */
	uint64_t flushed;
	int64_t last_timestamp_us;
	bool is_sorted;
	struct fsmeta_buffer lines;
	struct fsmeta_buffer records;
	int64_t flushed_at_us;
	/** Of the other recordings, as it was counted last. */
	uint64_t others_bytes;
};

static int64_t clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

char *fsmeta_recording_path(const char *root, const char *id)
{
	return fsmeta_names_join_format(root, FSMETA_RECORDING_PREFIX "%s", id);
}

/* ---- meta.json ---- */

static int write_meta(const char *folder, const json_t *meta, struct fsmeta_error *error)
{
	struct fsmeta_replace replace;
	char *path = fsmeta_names_join(folder, FSMETA_RECORDING_META);
	char *text = json_dumps(meta, JSON_INDENT(2));
	int code;

	if (!path || !text) {
		code = fsmeta_error_set_memory(error, "writing meta.json");
		goto done;
	}
	code = fsmeta_replace_file_begin(&replace, path, 0666, error);
	if (code)
		goto done;
	code = fsmeta_write_all(replace.fd, text, strlen(text), path, error);
	if (code)
		fsmeta_replace_abort(&replace);
	else
		code = fsmeta_replace_commit(&replace, error);
done:
	free(path);
	free(text);
	return code;
}

/** "rotation" in degrees, "mirrored", and "colorSpace" in numbers of H.273: what is said. */
static int add_look(json_t *meta, const struct fsmeta_look *look)
{
	json_t *colors = json_object();
	int failed = !colors;

	if (look->quarters)
		failed |= json_object_set_new(meta, "rotation", json_integer(look->quarters * 90));
	if (look->mirrored)
		failed |= json_object_set_new(meta, "mirrored", json_true());
	if (look->primaries)
		failed |= json_object_set_new(colors, "primaries", json_integer(look->primaries));
	if (look->transfer)
		failed |= json_object_set_new(colors, "transfer", json_integer(look->transfer));
	if (look->matrix)
		failed |= json_object_set_new(colors, "matrix", json_integer(look->matrix));
	if (look->range)
		failed |= json_object_set_new(
		    colors, "fullRange", json_boolean(look->range == FSMETA_LOOK_RANGE_FULL));
	if (json_object_size(colors))
		failed |= json_object_set(meta, "colorSpace", colors);
	json_decref(colors);
	return failed ? FSMETA_E_MEMORY : 0;
}

static json_t *pack_display(const struct fsmeta_hdr *hdr)
{
	const uint16_t(*points)[2] = hdr->points;

	return json_pack("{s:[[i,i],[i,i],[i,i],[i,i]],s:I,s:I}", "points", points[0][0],
	    points[0][1], points[1][0], points[1][1], points[2][0], points[2][1], points[3][0],
	    points[3][1], "maxLuminance", (json_int_t)hdr->max_luminance, "minLuminance",
	    (json_int_t)hdr->min_luminance);
}

/** "masteringDisplay" and "contentLight", in the units of H.265: what is said. */
static int add_hdr(json_t *meta, const struct fsmeta_hdr *hdr)
{
	int failed = 0;

	if (fsmeta_hdr_has_display(hdr))
		failed |= json_object_set_new(meta, "masteringDisplay", pack_display(hdr));
	if (fsmeta_hdr_has_light(hdr))
		failed |= json_object_set_new(meta, "contentLight",
		    json_pack(
			"{s:i,s:i}", "max", hdr->max_light, "maxAverage", hdr->max_average_light));
	return failed ? FSMETA_E_MEMORY : 0;
}

static int write_first_meta(
    const struct fsmeta_recording_writer *writer, const char *folder, struct fsmeta_error *error)
{
	const struct fsmeta_recording_format *format = &writer->format;
	char now[FSMETA_TIME_TEXT_BYTES];
	json_t *meta;
	int code;

	fsmeta_time_format(now, fsmeta_time_now());
	meta = json_pack("{s:s, s:s, s:i, s:i, s:s, s:b}", "id", writer->id, "codec", format->codec,
	    "width", (int)format->width, "height", (int)format->height, "createdAt", now,
	    "completed", 0);
	if (!meta ||
	    (format->framerate_millihertz &&
		json_object_set_new(
		    meta, "framerate", json_real(format->framerate_millihertz / 1000.0))) ||
	    add_look(meta, &format->look) || add_hdr(meta, &format->hdr))
		code = fsmeta_error_set_memory(error, "writing meta.json");
	else
		code = write_meta(folder, meta, error);
	json_decref(meta);
	return code;
}

/** What is there already stays; what is said is `completed` and the totals. */
static int complete_meta(
    const char *folder, uint64_t chunks, uint64_t bytes, bool recovered, struct fsmeta_error *error)
{
	struct fsmeta_buffer text = {0};
	char *path = fsmeta_names_join(folder, FSMETA_RECORDING_META);
	json_t *meta = NULL;
	int code = path ? 0 : fsmeta_error_set_memory(error, "completing meta.json");

	if (!code)
		code = fsmeta_read_file_at(&text, AT_FDCWD, path, META_MAX_BYTES, error);
	if (!code) {
		meta =
		    json_loadb((const char *)text.data, text.length, JSON_REJECT_DUPLICATES, NULL);
		if (!json_is_object(meta))
			code = fsmeta_error_set(error, FSMETA_E_FOREIGN, path,
			    "completing meta.json", "it is no JSON object");
	}
	if (!code &&
	    (json_object_set_new(meta, "completed", json_true()) ||
		json_object_set_new(meta, "totalChunks", json_integer((json_int_t)chunks)) ||
		json_object_set_new(meta, "totalBytes", json_integer((json_int_t)bytes)) ||
		(recovered && json_object_set_new(meta, "recovered", json_true()))))
		code = fsmeta_error_set_memory(error, "completing meta.json");
	if (!code)
		code = write_meta(folder, meta, error);
	json_decref(meta);
	fsmeta_buffer_release(&text);
	free(path);
	return code;
}

/* ---- usage ---- */

static int add_folder_bytes(const char *folder, uint64_t *bytes, struct fsmeta_error *error)
{
	struct fsmeta_names names;
	int code = fsmeta_names_list(&names, folder, error);

	for (size_t i = 0; i < names.count && !code; i++) {
		char *path = fsmeta_names_join(folder, names.items[i]);
		struct stat status;

		if (!path)
			code = fsmeta_error_set_memory(error, "counting recordings");
		else if (lstat(path, &status) == 0 && S_ISREG(status.st_mode))
			*bytes += (uint64_t)status.st_size;
		free(path);
	}
	fsmeta_names_release(&names);
	return code;
}

/** A recording, not merely a name like one. */
static bool is_recording(const char *folder)
{
	char *path = fsmeta_names_join(folder, FSMETA_RECORDING_DATA);
	struct stat status;
	bool is = path && lstat(path, &status) == 0 && S_ISREG(status.st_mode);

	free(path);
	return is;
}

/** Usage of all but `except` (NULL = of all). */
static int count_usage(const char *root, const char *except, uint64_t *bytes, uint64_t *count,
    struct fsmeta_error *error)
{
	struct fsmeta_error local;
	struct fsmeta_names names;
	int code;

	*bytes = *count = 0;
	fsmeta_error_clear(&local);
	code = fsmeta_names_list(&names, root, &local);
	if (code && local.system_errno == ENOENT)
		code = 0;
	for (size_t i = 0; i < names.count && !code; i++) {
		const char *name = names.items[i];
		char *folder;

		if (strncmp(name, FSMETA_RECORDING_PREFIX, strlen(FSMETA_RECORDING_PREFIX)) != 0)
			continue;
		if (except && strcmp(name + strlen(FSMETA_RECORDING_PREFIX), except) == 0)
			continue;
		folder = fsmeta_names_join(root, name);
		if (!folder) {
			code = fsmeta_error_set_memory(&local, "counting recordings");
		} else if (is_recording(folder)) {
			++*count;
			code = add_folder_bytes(folder, bytes, &local);
			/* It was deleted meanwhile. */
			if (code && local.system_errno == ENOENT)
				code = 0;
		}
		free(folder);
	}
	fsmeta_names_release(&names);
	if (code && error)
		*error = local;
	return code;
}

int fsmeta_recordings_usage(
    const char *root, uint64_t *bytes, uint64_t *count, struct fsmeta_error *error)
{
	return count_usage(root, NULL, bytes, count, error);
}

/* ---- writing ---- */

static uint64_t own_bytes(const struct fsmeta_recording_writer *writer)
{
	return writer->data_bytes + writer->lines_bytes + writer->lines.length +
	       FSMETA_RECORD_HEADER_BYTES + (writer->count + 1) * FSMETA_RECORD_BYTES;
}

static int check_quota(
    const struct fsmeta_recording_writer *writer, uint64_t more, struct fsmeta_error *error)
{
	uint64_t quota = writer->options.quota_bytes;

	if (!quota || writer->others_bytes + own_bytes(writer) + more <= quota)
		return 0;
	return fsmeta_error_set(error, FSMETA_E_REFUSED, writer->path, "recording",
	    "all recordings together would be beyond their quota of %llu bytes",
	    (unsigned long long)quota);
}

bool fsmeta_recording_is_near_quota(const struct fsmeta_recording_writer *writer)
{
	uint64_t quota = writer->options.quota_bytes;

	return quota && writer->others_bytes + own_bytes(writer) >= quota - quota / 10;
}

static int open_file(
    int *fd, const char *folder, const char *name, int flags, struct fsmeta_error *error)
{
	char *path = fsmeta_names_join(folder, name);
	int code = 0;

	if (!path)
		return fsmeta_error_set_memory(error, "recording");
	*fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0666);
	if (*fd < 0)
		code = fsmeta_error_set_errno(error, errno, path, "opening");
	free(path);
	return code;
}

static int hold(int fd, const char *path, struct fsmeta_error *error)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return fsmeta_error_set(
		    error, FSMETA_E_BUSY, path, "locking", "it is being recorded");
	return fsmeta_error_set_errno(error, errno, path, "locking");
}

/** What a crash left of an attempt to begin the same recording. */
static int clear_begun(const char *begun, struct fsmeta_error *error)
{
	int fd, code = 0;

	if (open_file(&fd, begun, FSMETA_RECORDING_DATA, O_RDWR, NULL) == 0) {
		code = hold(fd, begun, error);
		close(fd);
	}
	return code ? code : fsmeta_remove_tree_at(AT_FDCWD, begun, error);
}

/** All of it under a name that is none of a recording, so that nobody ever sees half of one. */
static int fill_folder(
    struct fsmeta_recording_writer *writer, const char *folder, struct fsmeta_error *error)
{
	const int flags = O_RDWR | O_CREAT | O_EXCL;
	int code = open_file(&writer->data_fd, folder, FSMETA_RECORDING_DATA, flags, error);

	if (!code)
		code = hold(writer->data_fd, folder, error);
	if (!code)
		code = open_file(&writer->lines_fd, folder, FSMETA_RECORDING_LINES, flags, error);
	if (!code)
		code = open_file(&writer->index_fd, folder, FSMETA_RECORDING_INDEX, flags, error);
	if (!code)
		code = write_first_meta(writer, folder, error);
	return code;
}

static int make_files(struct fsmeta_recording_writer *writer, struct fsmeta_error *error)
{
	char *begun = fsmeta_names_join_format(
	    writer->root, ".begun-" FSMETA_RECORDING_PREFIX "%s", writer->id);
	struct stat status;
	int code = begun ? fsmeta_names_make_folder(writer->root, error)
			 : fsmeta_error_set_memory(error, "recording");

	if (!code && lstat(writer->path, &status) == 0)
		code = fsmeta_error_set_errno(error, EEXIST, writer->path, "making the recording");
	if (!code)
		code = clear_begun(begun, error);
	if (!code && mkdir(begun, 0777) < 0)
		code = fsmeta_error_set_errno(error, errno, begun, "making the recording");
	if (code)
		goto done;
	code = fill_folder(writer, begun, error);
	/* Fails where somebody made one of that name meanwhile, as it is not empty. */
	if (!code && rename(begun, writer->path) < 0)
		code = fsmeta_error_set_errno(error, errno, writer->path, "making the recording");
	if (code)
		fsmeta_remove_tree_at(AT_FDCWD, begun, NULL);
	else
		code = fsmeta_names_sync_folder(writer->root, error);
done:
	free(begun);
	return code;
}

int fsmeta_recording_init(struct fsmeta_recording_writer **out, const char *root, const char *id,
    const struct fsmeta_recording_format *format, const struct fsmeta_recording_options *options,
    struct fsmeta_error *error)
{
	struct fsmeta_recording_writer *writer;
	uint64_t others;
	int code = 0;

	*out = NULL;
	if (!fsmeta_names_is_stream(id))
		return fsmeta_error_set(error, FSMETA_E_USAGE, id, "naming a recording",
		    "it cannot be the name of a folder");
	writer = calloc(1, sizeof(*writer));
	if (!writer)
		return fsmeta_error_set_memory(error, "recording");
	writer->data_fd = writer->lines_fd = writer->index_fd = -1;
	writer->format = *format;
	if (options)
		writer->options = *options;
	if (!writer->options.flush_chunks)
		writer->options.flush_chunks = FLUSH_CHUNKS;
	if (!writer->options.flush_us)
		writer->options.flush_us = FLUSH_US;
	writer->is_sorted = true;
	writer->flushed_at_us = clock_us();
	writer->last_timestamp_us = INT64_MIN;
	writer->root = strdup(root);
	writer->id = strdup(id);
	writer->path = fsmeta_recording_path(root, id);
	if (!writer->root || !writer->id || !writer->path)
		code = fsmeta_error_set_memory(error, "recording");
	if (!code && writer->options.quota_bytes)
		code = count_usage(root, id, &writer->others_bytes, &others, error);
	if (!code)
		code = check_quota(writer, 1, error);
	if (!code)
		code = make_files(writer, error);
	if (code)
		fsmeta_recording_abandon(writer);
	else
		*out = writer;
	return code;
}

static int buffer_line(struct fsmeta_recording_writer *writer, const struct fsmeta_chunk *chunk)
{
	size_t lines = writer->lines.length;
	int code = fsmeta_recording_append_line(&writer->lines, chunk);

	if (!code)
		code = fsmeta_recording_append_record(
		    &writer->records, chunk->offset, chunk->is_key, chunk->timestamp_us);
	if (code)
		writer->lines.length = lines;
	return code;
}

int fsmeta_recording_append(struct fsmeta_recording_writer *writer, int64_t timestamp_us,
    bool is_key, const void *bytes, size_t size, struct fsmeta_error *error)
{
	const struct fsmeta_chunk chunk = {.offset = writer->data_bytes,
	    .size = size,
	    .timestamp_us = timestamp_us,
	    .is_key = is_key};
	int code;

	if (!size || size > INT64_MAX / 4)
		return fsmeta_error_set(
		    error, FSMETA_E_USAGE, writer->path, "appending a chunk", "it has no bytes");
	code = check_quota(writer, size + FSMETA_LINE_MAX_BYTES, error);
	if (code)
		return code;
	/* Behind what is whole, over what a write that failed may have left. */
	if (lseek(writer->data_fd, (off_t)writer->data_bytes, SEEK_SET) < 0)
		return fsmeta_error_set_errno(error, errno, writer->path, "appending a chunk");
	code = fsmeta_write_all(writer->data_fd, bytes, size, writer->path, error);
	if (code)
		return code;
	if (buffer_line(writer, &chunk))
		return fsmeta_error_set_memory(error, "appending a chunk");
	writer->data_bytes += size;
	writer->count++;
	writer->is_sorted &= timestamp_us >= writer->last_timestamp_us;
	writer->last_timestamp_us = timestamp_us;
	if (writer->count - writer->flushed < writer->options.flush_chunks &&
	    clock_us() - writer->flushed_at_us < writer->options.flush_us)
		return 0;
	return fsmeta_recording_flush(writer, error);
}

static int write_at(int fd, const void *bytes, size_t size, uint64_t offset, const char *path,
    struct fsmeta_error *error)
{
	if (lseek(fd, (off_t)offset, SEEK_SET) < 0)
		return fsmeta_error_set_errno(error, errno, path, "writing");
	return fsmeta_write_all(fd, bytes, size, path, error);
}

/** Records that wait, the end behind them, and the header that stands for it. */
static int write_index(struct fsmeta_recording_writer *writer, struct fsmeta_error *error)
{
	unsigned char header[FSMETA_RECORD_HEADER_BYTES];
	size_t length = writer->records.length;
	int code = fsmeta_recording_append_record(&writer->records, writer->data_bytes, false, 0);

	if (code)
		return fsmeta_error_set_memory(error, "writing the index");
	code = write_at(writer->index_fd, writer->records.data, writer->records.length,
	    FSMETA_RECORD_HEADER_BYTES + writer->flushed * FSMETA_RECORD_BYTES, writer->path,
	    error);
	writer->records.length = length;
	fsmeta_recording_put_header(
	    header, writer->count, writer->lines_bytes + writer->lines.length, writer->is_sorted);
	if (!code)
		code = write_at(writer->index_fd, header, sizeof(header), 0, writer->path, error);
	return code;
}

static int sync_all(struct fsmeta_recording_writer *writer, struct fsmeta_error *error)
{
	if (fdatasync(writer->data_fd) < 0 || fdatasync(writer->lines_fd) < 0 ||
	    fdatasync(writer->index_fd) < 0)
		return fsmeta_error_set_errno(error, errno, writer->path, "syncing");
	return 0;
}

int fsmeta_recording_flush(struct fsmeta_recording_writer *writer, struct fsmeta_error *error)
{
	uint64_t others;
	int code = 0;

	if (writer->count != writer->flushed) {
		code = write_at(writer->lines_fd, writer->lines.data, writer->lines.length,
		    writer->lines_bytes, writer->path, error);
		if (!code)
			code = write_index(writer, error);
		if (code)
			return code;
		writer->lines_bytes += writer->lines.length;
		writer->flushed = writer->count;
		fsmeta_buffer_clear(&writer->lines);
		fsmeta_buffer_clear(&writer->records);
	}
	writer->flushed_at_us = clock_us();
	if (writer->options.sync)
		code = sync_all(writer, error);
	/* Others record into the same quota. */
	if (!code && writer->options.quota_bytes)
		code = count_usage(writer->root, writer->id, &writer->others_bytes, &others, error);
	return code;
}

int fsmeta_recording_finalize(struct fsmeta_recording_writer *writer, struct fsmeta_error *error)
{
	int code = fsmeta_recording_flush(writer, error);

	/* What a write that failed left behind the last chunk. */
	if (!code && ftruncate(writer->data_fd, (off_t)writer->data_bytes) < 0)
		code = fsmeta_error_set_errno(error, errno, writer->path, "cutting");
	if (!code)
		code = sync_all(writer, error);
	if (!code)
		code = complete_meta(writer->path, writer->count, writer->data_bytes, false, error);
	fsmeta_recording_abandon(writer);
	return code;
}

void fsmeta_recording_abandon(struct fsmeta_recording_writer *writer)
{
	if (!writer)
		return;
	if (writer->data_fd >= 0)
		close(writer->data_fd);
	if (writer->lines_fd >= 0)
		close(writer->lines_fd);
	if (writer->index_fd >= 0)
		close(writer->index_fd);
	fsmeta_buffer_release(&writer->lines);
	fsmeta_buffer_release(&writer->records);
	free(writer->root);
	free(writer->id);
	free(writer->path);
	free(writer);
}

/* ---- recovery ---- */

/** A recovery under way. */
struct recovery {
	const char *path;
	struct fsmeta_recording recording;
	/** The lines and records of what is found in the bitstream. */
	struct fsmeta_buffer lines;
	struct fsmeta_buffer records;
	uint64_t rebuilt;
	uint64_t end;
	bool is_sorted;
};

/** Between two chunks: by the index, by meta.json, or 30 a second. */
static int64_t reckon_interval(
    const struct recovery *recovery, const struct fsmeta_recording_summary *summary)
{
	uint32_t rate = recovery->recording.format.framerate_millihertz;

	if (summary->chunks > 1 && summary->last_us > summary->first_us)
		return (summary->last_us - summary->first_us) / (int64_t)(summary->chunks - 1);
	return rate ? INT64_C(1000000000) / rate : INTERVAL_US;
}

/** Takes in whole access units behind the last chunk of the index. */
static int rebuild(struct recovery *recovery, struct fsmeta_error *error)
{
	const struct fsmeta_recording *recording = &recovery->recording;
	enum fsmeta_codec codec = fsmeta_codec_from_name(recording->format.codec);
	uint64_t tail = recording->data_bytes - recording->indexed_bytes;
	struct fsmeta_recording_summary summary;
	struct fsmeta_access_unit unit;
	struct fsmeta_buffer bytes = {0};
	int64_t interval, time_us;
	size_t got, at = 0;
	int code;

	recovery->end = recording->indexed_bytes;
	if (codec == FSMETA_CODEC_OTHER || !tail || tail > FSMETA_REBUILD_MAX_BYTES ||
	    recording->format.codec[4])
		return 0;
	code = fsmeta_recording_summarise(recording, &summary, error);
	if (!code && fsmeta_buffer_reserve(&bytes, tail))
		code = fsmeta_error_set_memory(error, "recovering");
	if (!code)
		code = fsmeta_read_full_at(recording->data_fd, bytes.data, tail,
		    recording->indexed_bytes, &got, recovery->path, error);
	if (code)
		goto done;
	interval = reckon_interval(recovery, &summary);
	time_us = summary.chunks ? summary.last_us : -interval;
	while (!code && fsmeta_annexb_next_unit(&unit, codec, bytes.data, got, &at)) {
		struct fsmeta_chunk chunk = {.offset = recovery->end,
		    .size = recording->indexed_bytes + at - recovery->end,
		    .is_key = unit.is_key};

		/* The last may be half of one. */
		if (!unit.is_whole)
			break;
		time_us += interval;
		chunk.timestamp_us = time_us;
		recovery->end += chunk.size;
		recovery->rebuilt++;
		if (fsmeta_recording_append_line(&recovery->lines, &chunk) ||
		    fsmeta_recording_append_record(
			&recovery->records, chunk.offset, chunk.is_key, chunk.timestamp_us))
			code = fsmeta_error_set_memory(error, "recovering");
	}
done:
	fsmeta_buffer_release(&bytes);
	return code;
}

/** index.jsonl: cut behind its last valid line, and what was rebuilt behind that. */
static int repair_lines(
    struct recovery *recovery, uint64_t *lines_bytes, struct fsmeta_error *error)
{
	struct stat status;
	int fd, code;

	code = open_file(&fd, recovery->path, FSMETA_RECORDING_LINES, O_RDWR | O_CREAT, error);
	if (code)
		return code;
	if (fstat(fd, &status) < 0) {
		code = fsmeta_error_set_errno(error, errno, recovery->path, "recovering");
		goto done;
	}
	*lines_bytes = (uint64_t)status.st_size - recovery->recording.invalid_line_bytes;
	code = write_at(
	    fd, recovery->lines.data, recovery->lines.length, *lines_bytes, recovery->path, error);
	*lines_bytes += recovery->lines.length;
	if (!code && (ftruncate(fd, (off_t)*lines_bytes) < 0 || fdatasync(fd) < 0))
		code = fsmeta_error_set_errno(error, errno, recovery->path, "recovering");
done:
	close(fd);
	return code;
}

/** index.bin: a new file, since readers may have the old one mapped. */
static int renew_index(
    const struct recovery *recovery, uint64_t lines_bytes, struct fsmeta_error *error)
{
	const struct fsmeta_recording *recording = &recovery->recording;
	unsigned char header[FSMETA_RECORD_HEADER_BYTES];
	struct fsmeta_replace replace;
	struct fsmeta_buffer end = {0};
	char *path = fsmeta_names_join(recovery->path, FSMETA_RECORDING_INDEX);
	int code;

	if (!path || fsmeta_recording_append_record(&end, recovery->end, false, 0)) {
		code = fsmeta_error_set_memory(error, "recovering");
		goto done;
	}
	fsmeta_recording_put_header(
	    header, recording->count + recovery->rebuilt, lines_bytes, recording->is_sorted);
	code = fsmeta_replace_file_begin(&replace, path, 0666, error);
	if (code)
		goto done;
	code = fsmeta_write_all(replace.fd, header, sizeof(header), path, error);
	if (!code)
		code = fsmeta_write_all(replace.fd, recording->records,
		    recording->count * FSMETA_RECORD_BYTES, path, error);
	if (!code)
		code = fsmeta_write_all(
		    replace.fd, recovery->records.data, recovery->records.length, path, error);
	if (!code)
		code = fsmeta_write_all(replace.fd, end.data, end.length, path, error);
	if (code)
		fsmeta_replace_abort(&replace);
	else
		code = fsmeta_replace_commit(&replace, error);
done:
	fsmeta_buffer_release(&end);
	free(path);
	return code;
}

static int repair(struct recovery *recovery, int data_fd, struct fsmeta_error *error)
{
	const struct fsmeta_recording *recording = &recovery->recording;
	uint64_t lines_bytes = 0;
	int code = rebuild(recovery, error);

	if (!code)
		code = repair_lines(recovery, &lines_bytes, error);
	if (!code)
		code = renew_index(recovery, lines_bytes, error);
	if (!code && (ftruncate(data_fd, (off_t)recovery->end) < 0 || fdatasync(data_fd) < 0))
		code = fsmeta_error_set_errno(error, errno, recovery->path, "recovering");
	if (!code)
		code = complete_meta(recovery->path, recording->count + recovery->rebuilt,
		    recovery->end, true, error);
	return code;
}

int fsmeta_recording_recover_folder(
    const char *folder, struct fsmeta_recording_recovered *out, struct fsmeta_error *error)
{
	struct recovery recovery = {.path = folder, .recording.data_fd = -1};
	int code, data_fd = -1;

	*out = (struct fsmeta_recording_recovered){0};
	code = open_file(&data_fd, folder, FSMETA_RECORDING_DATA, O_RDWR, error);
	if (!code)
		code = hold(data_fd, folder, error);
	/* By the lines: index.bin is what is to be made. */
	if (!code)
		code = fsmeta_recording_open_folder(&recovery.recording, folder, true, error);
	if (code)
		goto done;
	if (!recovery.recording.is_completed || recovery.recording.invalid_line_bytes ||
	    recovery.recording.indexed_bytes != recovery.recording.data_bytes) {
		code = repair(&recovery, data_fd, error);
		code = code ? code : 1;
	} else {
		recovery.end = recovery.recording.indexed_bytes;
	}
	out->chunks = recovery.recording.count + recovery.rebuilt;
	out->rebuilt = recovery.rebuilt;
	out->cut_bytes = recovery.recording.data_bytes - recovery.end;
	fsmeta_recording_release(&recovery.recording);
done:
	fsmeta_buffer_release(&recovery.lines);
	fsmeta_buffer_release(&recovery.records);
	if (data_fd >= 0)
		close(data_fd);
	return code;
}

int fsmeta_recording_recover(const char *root, const char *id,
    struct fsmeta_recording_recovered *out, struct fsmeta_error *error)
{
	char *path = fsmeta_recording_path(root, id);
	int code = path ? fsmeta_recording_recover_folder(path, out, error)
			: fsmeta_error_set_memory(error, "recovering");

	free(path);
	return code;
}

/* ---- deleting ---- */

int fsmeta_recording_delete(const char *root, const char *id, struct fsmeta_error *error)
{
	char *path = fsmeta_recording_path(root, id);
	/* A name that is no recording; whatever a crash leaves of it is removed with the next. */
	char *gone = fsmeta_names_join_format(root, ".deleted-" FSMETA_RECORDING_PREFIX "%s", id);
	int code = 0, fd = -1;

	if (!path || !gone)
		code = fsmeta_error_set_memory(error, "deleting");
	if (!code)
		code = open_file(&fd, path, FSMETA_RECORDING_DATA, O_RDWR, error);
	if (!code)
		code = hold(fd, path, error);
	if (!code)
		code = fsmeta_remove_tree_at(AT_FDCWD, gone, error);
	if (!code && rename(path, gone) < 0)
		code = fsmeta_error_set_errno(error, errno, path, "deleting");
	if (!code)
		code = fsmeta_remove_tree_at(AT_FDCWD, gone, error);
	if (fd >= 0)
		close(fd);
	free(path);
	free(gone);
	return code;
}
