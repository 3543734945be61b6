/*
 * The index of FSV: streams, and of each an array of its files.
 *
 *     names, sorted                    files
 *     1700000000123_audio.rf1i    \
 *     1700000000123_audio.rf1p     >   {1700000000123, bytes of all four, indexes 11, packets 11}
 *     1700000000123_video.rf1i    /    one bit a track, by its place in the stream's table
 *     1700000000123_video.rf1p
 *
 * The names come sorted, from a listing or from a cursor, so the parts of a file stand side by
 * side; the array is sorted by time once at the end, as names in seconds and in milliseconds do not
 * sort together.  What rollover takes leaves at the front (`file_first`), what is closed joins at
 * the end.
 */
#include "archive/fsv_inside.h"
#include "archive/names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- streams ---- */

static struct fsmeta_fsv_stream *new_stream(
    const struct fsmeta_fsv *fsv, const char *name, size_t length)
{
	struct fsmeta_fsv_stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	stream->name = strndup(name, length);
	stream->folder = stream->name ? fsmeta_names_join(fsv->root, stream->name) : NULL;
	if (!stream->folder) {
		free(stream->name);
		free(stream);
		return NULL;
	}
	pthread_mutex_init(&stream->buffer_lock, NULL);
	pthread_mutex_init(&stream->content_lock, NULL);
	return stream;
}

int fsmeta_fsv_open_folder(const struct fsmeta_fsv *fsv, const struct fsmeta_fsv_stream *stream,
    struct fsmeta_stream_folder *out, struct fsmeta_error *error)
{
	if (stream->is_inside)
		return fsmeta_stream_folder_open(
		    out, fsv->root_fd, stream->name, strlen(stream->name), error);
	out->fd = open(stream->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fsmeta_stream_folder_take(out, error);
}

void fsmeta_fsv_name_folder(const struct fsmeta_fsv_stream *stream, struct fsmeta_error *error)
{
	if (error)
		fsmeta_stream_folder_name(error, stream->folder);
}

static void release_queue(struct fsmeta_fsv_queue *queue)
{
	fsmeta_buffer_release(&queue->bytes);
	free(queue->packets);
}

void fsmeta_fsv_free_stream(struct fsmeta_fsv_stream *stream)
{
	for (size_t i = 0; i < stream->track_count; i++)
		free(stream->tracks[i]);
	for (size_t i = 0; i < stream->format_count; i++)
		free(stream->formats[i]);
	free(stream->formats);
	free(stream->files);
	release_queue(&stream->pending);
	release_queue(&stream->writing);
	pthread_mutex_destroy(&stream->buffer_lock);
	pthread_mutex_destroy(&stream->content_lock);
	free(stream->name);
	free(stream->folder);
	free(stream);
}

/** With the lock held.  NULL where there is none of that name. */
static struct fsmeta_fsv_stream *find_stream_locked(
    const struct fsmeta_fsv *fsv, const char *name, size_t length)
{
	/* The newest first: whoever reads a tree in order asks for it again and again. */
	for (size_t i = fsv->stream_count; i--;)
		if (strncmp(fsv->streams[i]->name, name, length) == 0 &&
		    !fsv->streams[i]->name[length])
			return fsv->streams[i];
	return NULL;
}

struct fsmeta_fsv_stream *fsmeta_fsv_find_stream(struct fsmeta_fsv *fsv, const char *name)
{
	struct fsmeta_fsv_stream *stream;

	pthread_mutex_lock(&fsv->lock);
	stream = find_stream_locked(fsv, name, strlen(name));
	pthread_mutex_unlock(&fsv->lock);
	return stream;
}

/** With the lock held, or before others know of the archive.  NULL when memory is out. */
static struct fsmeta_fsv_stream *add_stream(struct fsmeta_fsv *fsv, const char *name, size_t length)
{
	struct fsmeta_fsv_stream *stream, **streams = fsv->streams;
	size_t count = fsv->stream_count;

	/* Room doubles: it is full whenever the count is a power of two. */
	if (!(count & (count - 1))) {
		streams = realloc(streams, (count ? 2 * count : 1) * sizeof(*streams));
		if (!streams)
			return NULL;
		fsv->streams = streams;
	}
	stream = new_stream(fsv, name, length);
	if (stream)
		streams[fsv->stream_count++] = stream;
	return stream;
}

struct fsmeta_fsv_stream *fsmeta_fsv_take_stream(
    struct fsmeta_fsv *fsv, const char *name, size_t length)
{
	struct fsmeta_fsv_stream *stream;

	pthread_mutex_lock(&fsv->lock);
	stream = find_stream_locked(fsv, name, length);
	if (!stream)
		stream = add_stream(fsv, name, length);
	pthread_mutex_unlock(&fsv->lock);
	return stream;
}

size_t fsmeta_fsv_count_streams(struct fsmeta_fsv *fsv)
{
	size_t count;

	pthread_mutex_lock(&fsv->lock);
	count = fsv->stream_count;
	pthread_mutex_unlock(&fsv->lock);
	return count;
}

struct fsmeta_fsv_stream *fsmeta_fsv_get_stream(struct fsmeta_fsv *fsv, size_t i)
{
	struct fsmeta_fsv_stream *stream;

	pthread_mutex_lock(&fsv->lock);
	stream = fsv->streams[i];
	pthread_mutex_unlock(&fsv->lock);
	return stream;
}

int fsmeta_fsv_take_track(struct fsmeta_fsv_stream *stream, const char *name, size_t length)
{
	for (size_t i = 0; i < stream->track_count; i++)
		if (strncmp(stream->tracks[i], name, length) == 0 && !stream->tracks[i][length])
			return (int)i;
	if (stream->track_count == FSMETA_FSV_TRACKS_MAX)
		return -1;
	stream->tracks[stream->track_count] = strndup(name, length);
	return stream->tracks[stream->track_count] ? (int)stream->track_count++ : -2;
}

size_t fsmeta_fsv_count_tracks(struct fsmeta_fsv_stream *stream)
{
	size_t count;

	pthread_mutex_lock(&stream->buffer_lock);
	count = stream->track_count;
	pthread_mutex_unlock(&stream->buffer_lock);
	return count;
}

/* ---- files ---- */

size_t fsmeta_fsv_count_files(const struct fsmeta_fsv_stream *stream)
{
	return stream->file_count - stream->file_first;
}

uint64_t fsmeta_fsv_name_time(const struct fsmeta_fsv_file *file)
{
	return (uint64_t)(file->in_seconds ? file->start_ms / 1000 : file->start_ms);
}

static int add_file(struct fsmeta_fsv_stream *stream, const struct fsmeta_fsv_file *file)
{
	if (stream->file_count == stream->file_capacity) {
		size_t capacity = stream->file_capacity + stream->file_capacity / 2 + 64;
		struct fsmeta_fsv_file *files = realloc(stream->files, capacity * sizeof(*files));

		if (!files)
			return FSMETA_E_MEMORY;
		stream->files = files;
		stream->file_capacity = capacity;
	}
	stream->files[stream->file_count++] = *file;
	return 0;
}

size_t fsmeta_fsv_find_start(const struct fsmeta_fsv_stream *stream, int64_t start_ms)
{
	size_t low = stream->file_first, high = stream->file_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (stream->files[middle].start_ms < start_ms)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

size_t fsmeta_fsv_find_file(const struct fsmeta_fsv_stream *stream, int64_t from_ms)
{
	int64_t earliest = from_ms < INT64_MIN + FSMETA_FSV_ANY_FILE_MS
			       ? INT64_MIN
			       : from_ms - FSMETA_FSV_ANY_FILE_MS;
	size_t low = stream->file_first, high = stream->file_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (stream->files[middle].start_ms < earliest)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int fsmeta_fsv_insert_file(struct fsmeta_fsv_stream *stream, const struct fsmeta_fsv_file *file)
{
	size_t at = fsmeta_fsv_find_start(stream, file->start_ms);

	if (add_file(stream, file))
		return FSMETA_E_MEMORY;
	memmove(stream->files + at + 1, stream->files + at,
	    (stream->file_count - 1 - at) * sizeof(*file));
	stream->files[at] = *file;
	return 0;
}

int64_t fsmeta_fsv_free_start(const struct fsmeta_fsv_stream *stream, int64_t start_ms)
{
	size_t at = fsmeta_fsv_find_start(stream, start_ms);

	while (at < stream->file_count && stream->files[at].start_ms == start_ms) {
		start_ms++;
		while (at < stream->file_count && stream->files[at].start_ms < start_ms)
			at++;
	}
	return start_ms;
}

void fsmeta_fsv_count_bytes(struct fsmeta_fsv *fsv, uint64_t more, uint64_t less)
{
	pthread_mutex_lock(&fsv->lock);
	fsv->bytes = fsv->bytes + more - less;
	pthread_mutex_unlock(&fsv->lock);
}

/* ---- opening ---- */

/** Takes a name out of a sorted listing, so that the tracks of one file come side by side. */
static int take_name(struct fsmeta_fsv *fsv, struct fsmeta_fsv_stream *stream, const char *name,
    size_t length, uint64_t bytes)
{
	struct fsmeta_container_name parsed;
	struct fsmeta_fsv_file *last =
	    stream->file_count ? &stream->files[stream->file_count - 1] : NULL;
	struct fsmeta_fsv_file file = {0};
	int track;

	if (!fsv->container->parse_name(&parsed, name, length))
		return 0;
	track = fsmeta_fsv_take_track(stream, parsed.track, parsed.track_length);
	if (track == -2)
		return FSMETA_E_MEMORY;
	if (track < 0)
		return 0;
	file.in_seconds = parsed.digits == 10;
	file.start_ms = (int64_t)parsed.time * (file.in_seconds ? 1000 : 1);
	if (!last || last->start_ms != file.start_ms || last->in_seconds != file.in_seconds) {
		if (add_file(stream, &file))
			return FSMETA_E_MEMORY;
		last = &stream->files[stream->file_count - 1];
	}
	last->bytes += bytes;
	fsv->bytes += bytes;
	if (parsed.parts & 1)
		last->indexes |= (uint16_t)(1 << track);
	if (parsed.parts & 2)
		last->packets |= (uint16_t)(1 << track);
	return 0;
}

static int compare_files(const void *a, const void *b)
{
	const struct fsmeta_fsv_file *one = a, *other = b;

	return (one->start_ms > other->start_ms) - (one->start_ms < other->start_ms);
}

/** Names in seconds and in milliseconds do not sort together by themselves. */
static void finish_stream(struct fsmeta_fsv *fsv, struct fsmeta_fsv_stream *stream)
{
	struct fsmeta_fsv_file *fitted;
	bool is_sorted = true;

	for (size_t i = 1; i < stream->file_count && is_sorted; i++)
		is_sorted = stream->files[i - 1].start_ms <= stream->files[i].start_ms;
	if (!is_sorted)
		qsort(stream->files, stream->file_count, sizeof(*stream->files), compare_files);
	for (size_t i = 0; i < stream->file_count; i++)
		fsv->orphans += stream->files[i].indexes != stream->files[i].packets;
	/* Most archives that are opened never grow. */
	fitted = stream->file_count
		     ? realloc(stream->files, stream->file_count * sizeof(*stream->files))
		     : NULL;
	if (fitted) {
		stream->files = fitted;
		stream->file_capacity = stream->file_count;
	}
}

/** Seals what the newest file's writer left behind in `folder`, the stream's. */
static int recover_newest(struct fsmeta_fsv *fsv, struct fsmeta_fsv_stream *stream,
    const char *folder, struct fsmeta_error *error)
{
	const struct fsmeta_fsv_file *file = &stream->files[stream->file_count - 1];

	for (size_t i = 0; i < stream->track_count && stream->file_count; i++) {
		struct fsmeta_error local;
		int code;

		if (!(file->indexes & file->packets & 1 << i))
			continue;
		fsmeta_error_clear(&local);
		code = fsv->container->recover(
		    folder, fsmeta_fsv_name_time(file), stream->tracks[i], &local);
		/* What is damaged stays for those who examine it. */
		if (code >= 0 || fsmeta_track_is_damage(code))
			continue;
		if (error)
			*error = local;
		return code;
	}
	return 0;
}

static int take_names(struct fsmeta_fsv *fsv, struct fsmeta_fsv_stream *stream,
    const struct fsmeta_stream_folder *folder, struct fsmeta_error *error)
{
	struct fsmeta_names names;
	int code = fsmeta_names_list(&names, folder->path, error);

	for (size_t i = 0; i < names.count && !code; i++) {
		const char *name = names.items[i];
		struct stat status;

		if (fstatat(folder->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(status.st_mode) &&
		    take_name(fsv, stream, name, strlen(name), (uint64_t)status.st_size))
			code = fsmeta_error_set_memory(error, "opening the archive");
	}
	fsmeta_names_release(&names);
	return code;
}

static bool is_folder(const struct fsmeta_fsv *fsv, const char *name)
{
	/* A link is followed for whoever names the stream; rollover and recovery stay in ROOT. */
	int flags = fsv->options.only_stream ? 0 : AT_SYMLINK_NOFOLLOW;
	struct stat status;

	return fstatat(fsv->root_fd, name, &status, flags) == 0 && S_ISDIR(status.st_mode);
}

static int scan_stream(struct fsmeta_fsv *fsv, const char *name, struct fsmeta_error *error)
{
	struct fsmeta_stream_folder folder = {.fd = -1};
	struct fsmeta_fsv_stream *stream;
	int code;

	if (!is_folder(fsv, name))
		return 0;
	stream = add_stream(fsv, name, strlen(name));
	if (!stream)
		return fsmeta_error_set_memory(error, "opening the archive");
	stream->is_inside = !fsv->options.only_stream;
	code = fsmeta_fsv_open_folder(fsv, stream, &folder, error);
	if (!code)
		code = take_names(fsv, stream, &folder, error);
	if (!code)
		finish_stream(fsv, stream);
	if (!code && fsv->options.writable && stream->file_count)
		code = recover_newest(fsv, stream, folder.path, error);
	if (code)
		fsmeta_fsv_name_folder(stream, error);
	fsmeta_stream_folder_close(&folder);
	return code;
}

int fsmeta_fsv_scan_root(struct fsmeta_fsv *fsv, struct fsmeta_error *error)
{
	const char *only = fsv->options.only_stream;
	struct fsmeta_names names;
	struct fsmeta_error local;
	int code;

	fsmeta_error_clear(&local);
	fsv->root_fd = open(fsv->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fsv->root_fd < 0)
		return fsmeta_error_set_errno(error, errno, fsv->root, "opening the archive");
	code = fsmeta_names_list(&names, fsv->root, &local);
	for (size_t i = 0; i < names.count && !code; i++)
		if (fsmeta_names_is_stream(names.items[i]) &&
		    (!only || strcmp(names.items[i], only) == 0))
			code = scan_stream(fsv, names.items[i], &local);
	fsmeta_names_release(&names);
	if (code && error)
		*error = local;
	return code;
}

int fsmeta_fsv_take_entries(
    struct fsmeta_fsv *fsv, struct fsmeta_cursor *entries, struct fsmeta_error *error)
{
	const struct fsmeta_entry *entry;
	struct fsmeta_fsv_stream *stream = NULL;
	int code;

	while ((code = fsmeta_cursor_next(entries, &entry, error)) > 0) {
		if (entry->depth == 1 && entry->type == FSMETA_TYPE_FOLDER) {
			/* Entries are sorted, so none comes twice. */
			stream = add_stream(fsv, entry->name, entry->name_length);
			if (!stream)
				break;
		} else if (entry->depth == 2 && entry->type == FSMETA_TYPE_FILE) {
			if (!stream ||
			    take_name(fsv, stream, entry->name, entry->name_length, entry->size))
				break;
		} else if (entry->depth == 2 && entry->type == FSMETA_TYPE_FOLDER) {
			code = fsmeta_cursor_skip(entries, 3, error);
			if (code)
				return code;
		}
	}
	if (code > 0)
		return fsmeta_error_set_memory(error, "opening the archive");
	for (size_t i = 0; i < fsv->stream_count && !code; i++)
		finish_stream(fsv, fsv->streams[i]);
	return code;
}
