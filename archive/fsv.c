/*
 * FSV.
 *
 *     producers        ──write──> [pending]  ──swap──> [writing] ──> current file ──> index
 *     (any thread)       copy       ^ one buffer lock    one content lock a stream
 *                                   | held for a copy    held while the disk is written to
 *     flusher (one)   ──────────────┘ when 1 MiB is full or 5 s are over; then rollover
 *
 * A producer takes the buffer lock of its stream, which nobody ever holds across a system call on
 * the disk, so it does not wait for one.  Whoever writes takes the content lock first and the
 * buffer lock inside for the swap alone.  What could not be written stays in `writing` and is tried
 * again; meanwhile `pending` grows up to the bound, and then producers are told, with the reason.
 *
 * The index is an array a stream, sorted by time, 24 bytes a file; its names are made of the
 * numbers, its tracks are bits that stand for a table of the stream's track names.  A window is
 * found by binary search; no file is longer than 1000 s, so it is enough to look so far back.
 *
 * Rollover takes the oldest file of all streams, again and again; only the oldest of each stream is
 * looked at, and the one that is being written is never taken.
 */
#include "archive/fsv.h"

#include "archive/names.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	TRACKS_MAX = 16,
	FILE_S = 1000,
	BUFFER_BYTES = 1 << 20,
	BUFFER_S = 5,
	IDLE_S = 60,
	BUFFER_MAX_MULTIPLE = 32,
	RESERVE_BYTES = 8 << 20,
	READ_PIECE_BYTES = 32 << 20,
	NAME_ATTEMPTS = 1000,
	/** Longest that the flusher sleeps. */
	NAP_MS = 250,
	/** After a write that failed. */
	RETRY_US = 1000000,
};

static const int64_t file_limit_us = INT64_C(1000000) * FILE_S;
/** Longest that a file of this family can be, whoever wrote it. */
static const int64_t any_file_ms = 1024000;

/** A file of the index. */
struct file {
	int64_t start_ms;
	uint64_t bytes;
	/** Bits of the stream's tracks that have an index, and packets. */
	uint16_t indexes;
	uint16_t packets;
	/** The name counts seconds. */
	bool in_seconds;
};

struct track {
	char *name;
	struct fsmeta_track_format format;
};

/** A packet in a buffer; its bytes stand there in the same order. */
struct queued {
	int64_t time_us;
	uint32_t lead_us;
	uint32_t size;
	uint32_t flags;
	/** One of the stream's formats, which stay where they are. */
	const struct named_format *format;
};

struct queue {
	struct fsmeta_buffer bytes;
	struct queued *packets;
	size_t count;
	size_t capacity;
};

/** A track and what it is made of, as a producer named them. */
struct named_format {
	char *track;
	struct fsmeta_track_format format;
};

struct stream {
	char *name;
	char *folder;

	pthread_mutex_t buffer_lock;
	struct queue pending;
	/** Bytes in pending and writing. */
	uint64_t held_bytes;
	/** When the oldest of pending came, by the clock; 0 = nothing there. */
	int64_t oldest_us;
	/** Times of what is held. */
	int64_t min_time_us;
	int64_t max_time_us;
	/** What writing failed with last, until it works again. */
	struct fsmeta_error failure;
	int64_t retry_at_us;
	struct named_format **formats;
	size_t format_count;

	pthread_mutex_t content_lock;
	struct queue writing;
	/** Packets and bytes of `writing` that are done. */
	size_t written;
	size_t written_bytes;
	struct track tracks[TRACKS_MAX];
	size_t track_count;
	struct file *files;
	size_t file_first;
	size_t file_count;
	size_t file_capacity;
	/** What grows; it joins `files` when it is closed. */
	struct fsmeta_container_writer *current;
	struct file current_file;
	int64_t current_start_us;
	/** When it was written to last, by the clock. */
	int64_t current_at_us;
	/** Format of each track in the current file. */
	struct fsmeta_track_format current_formats[TRACKS_MAX];
	int64_t current_bases[TRACKS_MAX];
};

struct fsmeta_fsv {
	char *root;
	struct fsmeta_fsv_options options;
	const struct fsmeta_container_operations *container;
	pthread_mutex_t lock;
	/** One at a time takes files away, or each would take one for the same bytes. */
	pthread_mutex_t rollover_lock;
	pthread_cond_t wake;
	bool is_woken;
	bool stop;
	bool has_flusher;
	pthread_t flusher;
	/** Under `lock`; streams only ever come. */
	struct stream **streams;
	size_t stream_count;
	uint64_t bytes;
	uint64_t rolled_over;
	uint64_t orphans;
};

static int64_t clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- the index ---- */

static struct stream *new_stream(const struct fsmeta_fsv *fsv, const char *name, size_t length)
{
	struct stream *stream = calloc(1, sizeof(*stream));

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

static void release_queue(struct queue *queue)
{
	fsmeta_buffer_release(&queue->bytes);
	free(queue->packets);
}

static void free_stream(struct stream *stream)
{
	for (size_t i = 0; i < stream->track_count; i++)
		free(stream->tracks[i].name);
	for (size_t i = 0; i < stream->format_count; i++) {
		free(stream->formats[i]->track);
		free(stream->formats[i]);
	}
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
static struct stream *find_stream_locked(
    const struct fsmeta_fsv *fsv, const char *name, size_t length)
{
	/* The newest first: whoever reads a tree in order asks for it again and again. */
	for (size_t i = fsv->stream_count; i--;)
		if (strncmp(fsv->streams[i]->name, name, length) == 0 &&
		    !fsv->streams[i]->name[length])
			return fsv->streams[i];
	return NULL;
}

static struct stream *find_stream(struct fsmeta_fsv *fsv, const char *name)
{
	struct stream *stream;

	pthread_mutex_lock(&fsv->lock);
	stream = find_stream_locked(fsv, name, strlen(name));
	pthread_mutex_unlock(&fsv->lock);
	return stream;
}

/** Finds or adds; NULL when memory is out. */
static struct stream *take_stream(struct fsmeta_fsv *fsv, const char *name, size_t length)
{
	struct stream *stream, **streams;

	pthread_mutex_lock(&fsv->lock);
	stream = find_stream_locked(fsv, name, length);
	if (!stream) {
		streams = realloc(fsv->streams, (fsv->stream_count + 1) * sizeof(*streams));
		if (streams)
			fsv->streams = streams;
		stream = streams ? new_stream(fsv, name, length) : NULL;
		if (stream)
			fsv->streams[fsv->stream_count++] = stream;
	}
	pthread_mutex_unlock(&fsv->lock);
	return stream;
}

/** Position of a track in the stream's table; -1 where that is full, -2 when memory is out. */
static int take_track(struct stream *stream, const char *name, size_t length)
{
	for (size_t i = 0; i < stream->track_count; i++)
		if (strncmp(stream->tracks[i].name, name, length) == 0 &&
		    !stream->tracks[i].name[length])
			return (int)i;
	if (stream->track_count == TRACKS_MAX)
		return -1;
	stream->tracks[stream->track_count].name = strndup(name, length);
	return stream->tracks[stream->track_count].name ? (int)stream->track_count++ : -2;
}

static int add_file(struct stream *stream, const struct file *file)
{
	if (stream->file_count == stream->file_capacity) {
		size_t capacity = stream->file_capacity ? stream->file_capacity * 3 / 2 : 64;
		struct file *files = realloc(stream->files, capacity * sizeof(*files));

		if (!files)
			return FSMETA_E_MEMORY;
		stream->files = files;
		stream->file_capacity = capacity;
	}
	stream->files[stream->file_count++] = *file;
	return 0;
}

/** Takes a name out of a sorted listing, so that the tracks of one file come side by side. */
static int take_name(
    struct fsmeta_fsv *fsv, struct stream *stream, const char *name, size_t length, uint64_t bytes)
{
	struct fsmeta_container_name parsed;
	struct file *last = stream->file_count ? &stream->files[stream->file_count - 1] : NULL;
	struct file file = {0};
	int track;

	if (!fsv->container->parse_name(&parsed, name, length))
		return 0;
	track = take_track(stream, parsed.track, parsed.track_length);
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
	const struct file *one = a, *other = b;

	return (one->start_ms > other->start_ms) - (one->start_ms < other->start_ms);
}

static uint64_t name_time(const struct file *file)
{
	return (uint64_t)(file->in_seconds ? file->start_ms / 1000 : file->start_ms);
}

/** Names in seconds and in milliseconds do not sort together by themselves. */
static void finish_stream(struct fsmeta_fsv *fsv, struct stream *stream)
{
	if (stream->file_count)
		qsort(stream->files, stream->file_count, sizeof(*stream->files), compare_files);
	for (size_t i = 0; i < stream->file_count; i++)
		fsv->orphans += stream->files[i].indexes != stream->files[i].packets;
}

static size_t count_files(const struct stream *stream)
{
	return stream->file_count - stream->file_first;
}

/** Seals what the newest file's writer left behind. */
static int recover_newest(struct fsmeta_fsv *fsv, struct stream *stream, struct fsmeta_error *error)
{
	const struct file *file = &stream->files[stream->file_count - 1];

	for (size_t i = 0; i < stream->track_count && stream->file_count; i++) {
		struct fsmeta_error local;
		int code;

		if (!(file->indexes & file->packets & 1 << i))
			continue;
		fsmeta_error_clear(&local);
		code = fsv->container->recover(
		    stream->folder, name_time(file), stream->tracks[i].name, &local);
		/* What is damaged stays for those who examine it. */
		if (code >= 0 || code == FSMETA_E_FOREIGN || code == FSMETA_E_UNSUPPORTED)
			continue;
		if (error)
			*error = local;
		return code;
	}
	return 0;
}

static int scan_stream(struct fsmeta_fsv *fsv, const char *name, struct fsmeta_error *error)
{
	struct fsmeta_names names;
	char *folder = fsmeta_names_join(fsv->root, name);
	struct stream *stream = NULL;
	int code;

	if (!folder)
		return fsmeta_error_set_memory(error, "opening the archive");
	code = fsmeta_names_list(&names, folder, error);
	if (code && error && error->system_errno == ENOTDIR) {
		fsmeta_error_clear(error);
		code = 0;
		goto done;
	}
	if (!code && !(stream = take_stream(fsv, name, strlen(name))))
		code = fsmeta_error_set_memory(error, "opening the archive");
	for (size_t i = 0; i < names.count && !code; i++) {
		struct stat status;
		char *path = fsmeta_names_join(folder, names.items[i]);

		if (!path || (lstat(path, &status) == 0 && S_ISREG(status.st_mode) &&
				 take_name(fsv, stream, names.items[i], strlen(names.items[i]),
				     (uint64_t)status.st_size)))
			code = fsmeta_error_set_memory(error, "opening the archive");
		free(path);
	}
	if (!code)
		finish_stream(fsv, stream);
	if (!code && fsv->options.writable && stream->file_count)
		code = recover_newest(fsv, stream, error);
done:
	fsmeta_names_release(&names);
	free(folder);
	return code;
}

static int scan_root(struct fsmeta_fsv *fsv, struct fsmeta_error *error)
{
	struct fsmeta_names names;
	struct fsmeta_error local;
	int code;

	fsmeta_error_clear(&local);
	code = fsmeta_names_list(&names, fsv->root, &local);
	for (size_t i = 0; i < names.count && !code; i++)
		if (fsmeta_names_is_stream(names.items[i]))
			code = scan_stream(fsv, names.items[i], &local);
	fsmeta_names_release(&names);
	if (code && error)
		*error = local;
	return code;
}

static int take_entries(
    struct fsmeta_fsv *fsv, struct fsmeta_cursor *entries, struct fsmeta_error *error)
{
	const struct fsmeta_entry *entry;
	struct stream *stream = NULL;
	int code;

	while ((code = fsmeta_cursor_next(entries, &entry, error)) > 0) {
		if (entry->depth == 1 && entry->type == FSMETA_TYPE_FOLDER) {
			stream = take_stream(fsv, entry->name, entry->name_length);
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

/* ---- writing to the disk: with the content lock ---- */

static void count_bytes(struct fsmeta_fsv *fsv, uint64_t more, uint64_t less)
{
	pthread_mutex_lock(&fsv->lock);
	fsv->bytes = fsv->bytes + more - less;
	pthread_mutex_unlock(&fsv->lock);
}

/** Where a file that starts then stands, or would. */
static size_t find_start(const struct stream *stream, int64_t start_ms)
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

/** Among its like by time: at the end, unless the clock went back. */
static int insert_file(struct stream *stream, const struct file *file)
{
	size_t at = find_start(stream, file->start_ms);

	if (add_file(stream, file))
		return FSMETA_E_MEMORY;
	memmove(stream->files + at + 1, stream->files + at,
	    (stream->file_count - 1 - at) * sizeof(*file));
	stream->files[at] = *file;
	return 0;
}

static int close_current(struct fsmeta_fsv *fsv, struct stream *stream, struct fsmeta_error *error)
{
	bool counts = stream->current && stream->current_file.indexes;
	int code = fsv->container->close(stream->current, error);

	stream->current = NULL;
	if (counts && insert_file(stream, &stream->current_file) && !code)
		code = fsmeta_error_set_memory(error, "closing a file");
	stream->current_file = (struct file){0};
	return code;
}

/** The next millisecond of which no file has the name. */
static int64_t free_start(const struct stream *stream, int64_t start_ms)
{
	size_t at = find_start(stream, start_ms);

	while (at < stream->file_count && stream->files[at].start_ms == start_ms) {
		start_ms++;
		while (at < stream->file_count && stream->files[at].start_ms < start_ms)
			at++;
	}
	return start_ms;
}

static int begin_file(
    struct fsmeta_fsv *fsv, struct stream *stream, int64_t time_us, struct fsmeta_error *error)
{
	int code = close_current(fsv, stream, error);

	if (!code)
		code = fsmeta_names_make_folder(stream->folder, error);
	stream->current_file = (struct file){.start_ms = free_start(stream, time_us / 1000)};
	if (!code)
		code = fsv->container->create(&stream->current, stream->folder,
		    (uint64_t)stream->current_file.start_ms, fsv->options.reserve_bytes, error);
	stream->current_start_us = time_us;
	return code;
}

static bool is_same_format(const struct fsmeta_track_format *a, const struct fsmeta_track_format *b)
{
	return memcmp(a->codec, b->codec, sizeof(a->codec)) == 0 && a->is_audio == b->is_audio &&
	       a->width == b->width && a->height == b->height;
}

/** Whether a packet must stand in a new file; *continues where it is no key frame that begins it.
 */
static bool must_begin(const struct fsmeta_fsv *fsv, const struct stream *stream, int track,
    const struct fsmeta_track_format *format, const struct queued *packet, bool *continues)
{
	int64_t age = packet->time_us - stream->current_start_us;
	int64_t limit = fsv->options.file_us;
	bool key = packet->flags & FSMETA_PACKET_KEY && !format->is_audio;

	*continues = false;
	if (!stream->current)
		return true;
	if (key && (age >= limit - limit / 20 || age < 0))
		return true;
	*continues = !key;
	if (age >= limit)
		return true;
	if (!(stream->current_file.indexes & 1 << track))
		return false;
	return !is_same_format(&stream->current_formats[track], format) ||
	       !fsv->container->has_room(stream->current, stream->tracks[track].name,
		   packet->time_us > stream->current_bases[track] ? packet->time_us
								  : stream->current_bases[track],
		   packet->size, 1);
}

/** Counts what the current file has become. */
static void measure_current(struct fsmeta_fsv *fsv, struct stream *stream)
{
	uint64_t bytes = fsv->container->bytes(stream->current);

	count_bytes(fsv, bytes, stream->current_file.bytes);
	stream->current_file.bytes = bytes;
}

/** A name that stands on the disk all the same makes way for the next millisecond. */
static int add_track(struct fsmeta_fsv *fsv, struct stream *stream, const char *name,
    const struct fsmeta_track_format *format, struct fsmeta_error *error)
{
	for (int attempt = 0;; attempt++) {
		struct fsmeta_error local;
		int code;

		fsmeta_error_clear(&local);
		code = fsv->container->add_track(stream->current, name, format, &local);
		if (code && local.system_errno == EEXIST && !stream->current_file.indexes &&
		    attempt < NAME_ATTEMPTS) {
			fsv->container->close(stream->current, NULL);
			stream->current = NULL;
			stream->current_file.start_ms =
			    free_start(stream, stream->current_file.start_ms + 1);
			code = fsv->container->create(&stream->current, stream->folder,
			    (uint64_t)stream->current_file.start_ms, fsv->options.reserve_bytes,
			    &local);
			if (!code)
				continue;
		}
		if (code && error)
			*error = local;
		return code;
	}
}

static int begin_track(struct fsmeta_fsv *fsv, struct stream *stream, int track,
    const struct fsmeta_track_format *given, const struct queued *packet, bool continues,
    struct fsmeta_error *error)
{
	struct file *file = &stream->current_file;
	struct fsmeta_track_format format = *given;
	int code;

	format.base_us = packet->time_us - packet->lead_us;
	format.flags = continues && !format.is_audio ? FSMETA_TRACK_CONTINUES : 0;
	code = add_track(fsv, stream, stream->tracks[track].name, &format, error);
	if (code)
		return code;
	file->indexes |= (uint16_t)(1 << track);
	file->packets |= (uint16_t)(1 << track);
	stream->current_formats[track] = format;
	stream->current_bases[track] = format.base_us;
	measure_current(fsv, stream);
	return 0;
}

/** How many packets from `first` on go to the same place in one write. */
static size_t count_run(const struct fsmeta_fsv *fsv, const struct stream *stream, int track,
    size_t first, uint64_t *bytes)
{
	const struct queue *queue = &stream->writing;
	const struct fsmeta_track_format *format = &queue->packets[first].format->format;
	size_t end = first;

	*bytes = 0;
	while (end < queue->count && queue->packets[end].format == queue->packets[first].format) {
		const struct queued *packet = &queue->packets[end];
		bool ignored;

		if (end > first &&
		    (packet->time_us < stream->current_bases[track] ||
			must_begin(fsv, stream, track, format, packet, &ignored) ||
			!fsv->container->has_room(stream->current, stream->tracks[track].name,
			    packet->time_us, *bytes + packet->size, (uint32_t)(end - first + 1))))
			break;
		*bytes += packet->size;
		end++;
	}
	return end - first;
}

static int append_run(struct fsmeta_fsv *fsv, struct stream *stream, int track, size_t count,
    struct fsmeta_error *error)
{
	struct fsmeta_packet *packets = calloc(count, sizeof(*packets));
	const unsigned char *bytes = stream->writing.bytes.data + stream->written_bytes;
	int code;

	if (!packets)
		return fsmeta_error_set_memory(error, "writing packets");
	for (size_t i = 0; i < count; i++) {
		const struct queued *from = &stream->writing.packets[stream->written + i];
		int64_t base = stream->current_bases[track];

		packets[i] = (struct fsmeta_packet){
		    .time_us = from->time_us > base ? from->time_us : base,
		    .flags = from->flags,
		    .bytes = bytes,
		    .size = from->size,
		};
		bytes += from->size;
	}
	code = fsv->container->append(
	    stream->current, stream->tracks[track].name, packets, count, error);
	free(packets);
	if (!code)
		measure_current(fsv, stream);
	return code;
}

/** Writes the next packets of `writing` that belong together. */
static int write_some(struct fsmeta_fsv *fsv, struct stream *stream, struct fsmeta_error *error)
{
	const struct queued *packet = &stream->writing.packets[stream->written];
	const struct named_format *named = packet->format;
	int track = take_track(stream, named->track, strlen(named->track));
	bool continues;
	uint64_t bytes;
	size_t count;
	int code = 0;

	if (track < 0)
		return fsmeta_error_set(error, FSMETA_E_LIMIT, stream->folder, "writing packets",
		    "a stream has no more than %d tracks", TRACKS_MAX);
	if (must_begin(fsv, stream, track, &named->format, packet, &continues))
		code = begin_file(fsv, stream, packet->time_us - packet->lead_us, error);
	if (!code && !(stream->current_file.indexes & 1 << track))
		code = begin_track(fsv, stream, track, &named->format, packet, continues, error);
	if (code)
		return code;
	count = count_run(fsv, stream, track, stream->written, &bytes);
	code = append_run(fsv, stream, track, count, error);
	if (!code) {
		stream->written += count;
		stream->written_bytes += bytes;
		stream->current_at_us = clock_us();
	}
	return code;
}

static void clear_queue(struct queue *queue)
{
	queue->count = 0;
	fsmeta_buffer_clear(&queue->bytes);
}

/** What was written is held no more; the other buffer takes its place. */
static bool swap_queues(struct stream *stream)
{
	struct queue done;
	bool more;

	pthread_mutex_lock(&stream->buffer_lock);
	stream->held_bytes -= stream->written_bytes;
	stream->written = stream->written_bytes = 0;
	done = stream->writing;
	clear_queue(&done);
	stream->writing = stream->pending;
	stream->pending = done;
	stream->oldest_us = 0;
	more = stream->writing.count;
	if (!more) {
		stream->min_time_us = INT64_MAX;
		stream->max_time_us = INT64_MIN;
	}
	pthread_mutex_unlock(&stream->buffer_lock);
	return more;
}

static void note_result(struct stream *stream, int code, const struct fsmeta_error *error)
{
	pthread_mutex_lock(&stream->buffer_lock);
	if (code)
		stream->failure = *error;
	else
		fsmeta_error_clear(&stream->failure);
	stream->retry_at_us = code ? clock_us() + RETRY_US : 0;
	pthread_mutex_unlock(&stream->buffer_lock);
}

/** Writes all that is held of a stream.  With its content lock. */
static int write_held(struct fsmeta_fsv *fsv, struct stream *stream, struct fsmeta_error *out)
{
	struct fsmeta_error error;
	int code = 0;

	fsmeta_error_clear(&error);
	do {
		while (!code && stream->written < stream->writing.count)
			code = write_some(fsv, stream, &error);
	} while (!code && swap_queues(stream));
	note_result(stream, code, &error);
	if (code && out)
		*out = error;
	return code;
}

/* ---- rollover ---- */

static int remove_file(struct fsmeta_fsv *fsv, struct stream *stream, struct fsmeta_error *error)
{
	const struct file *file = &stream->files[stream->file_first];

	for (size_t i = 0; i < stream->track_count; i++) {
		int code;

		if (!((file->indexes | file->packets) & 1 << i))
			continue;
		code = fsv->container->remove(
		    stream->folder, name_time(file), stream->tracks[i].name, error);
		if (code)
			return code;
	}
	count_bytes(fsv, 0, file->bytes);
	stream->file_first++;
	/* Memory goes with the files. */
	if (stream->file_first > 1024 && stream->file_first > stream->file_count / 2) {
		stream->file_count -= stream->file_first;
		memmove(stream->files, stream->files + stream->file_first,
		    stream->file_count * sizeof(*stream->files));
		stream->file_first = 0;
	}
	return 0;
}

/** How many streams there are by now; what is below that number stays. */
static size_t count_streams(struct fsmeta_fsv *fsv)
{
	size_t count;

	pthread_mutex_lock(&fsv->lock);
	count = fsv->stream_count;
	pthread_mutex_unlock(&fsv->lock);
	return count;
}

static struct stream *get_stream(struct fsmeta_fsv *fsv, size_t i)
{
	struct stream *stream;

	pthread_mutex_lock(&fsv->lock);
	stream = fsv->streams[i];
	pthread_mutex_unlock(&fsv->lock);
	return stream;
}

static bool oldest_of(struct stream *stream, int64_t *start_ms)
{
	size_t count;

	pthread_mutex_lock(&stream->content_lock);
	count = count_files(stream);
	if (count)
		*start_ms = stream->files[stream->file_first].start_ms;
	pthread_mutex_unlock(&stream->content_lock);
	return count;
}

/** The stream that holds the oldest file which nobody writes; NULL without. */
static struct stream *find_oldest(struct fsmeta_fsv *fsv)
{
	size_t count = count_streams(fsv);
	struct stream *oldest = NULL;
	int64_t oldest_ms = INT64_MAX, start_ms;

	for (size_t i = 0; i < count; i++) {
		struct stream *stream = get_stream(fsv, i);

		if (oldest_of(stream, &start_ms) && start_ms < oldest_ms) {
			oldest = stream;
			oldest_ms = start_ms;
		}
	}
	return oldest;
}

static bool is_above(struct fsmeta_fsv *fsv, uint64_t percent)
{
	uint64_t budget = fsv->options.budget_bytes;
	bool above;

	pthread_mutex_lock(&fsv->lock);
	above = budget && fsv->bytes >= budget / 100 * percent + budget % 100 * percent / 100;
	pthread_mutex_unlock(&fsv->lock);
	return above;
}

int fsmeta_fsv_roll_over(struct fsmeta_fsv *fsv, uint64_t *files, struct fsmeta_error *error)
{
	bool is_full;
	int code = 0;

	*files = 0;
	pthread_mutex_lock(&fsv->rollover_lock);
	is_full = is_above(fsv, 99);
	while (!code && is_full && is_above(fsv, 98)) {
		struct stream *stream = find_oldest(fsv);

		if (!stream)
			break;
		pthread_mutex_lock(&stream->content_lock);
		if (count_files(stream)) {
			code = remove_file(fsv, stream, error);
			*files += !code;
		}
		pthread_mutex_unlock(&stream->content_lock);
	}
	pthread_mutex_lock(&fsv->lock);
	fsv->rolled_over += *files;
	pthread_mutex_unlock(&fsv->lock);
	pthread_mutex_unlock(&fsv->rollover_lock);
	return code;
}

/* ---- the flusher ---- */

static bool is_due(const struct fsmeta_fsv *fsv, struct stream *stream)
{
	int64_t now = clock_us();
	bool due;

	pthread_mutex_lock(&stream->buffer_lock);
	due = stream->held_bytes && now >= stream->retry_at_us &&
	      (stream->failure.code || stream->held_bytes >= fsv->options.buffer_bytes ||
		  (stream->oldest_us && now - stream->oldest_us >= fsv->options.buffer_us));
	pthread_mutex_unlock(&stream->buffer_lock);
	return due;
}

static void nap(struct fsmeta_fsv *fsv)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += NAP_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	while (!fsv->stop && !fsv->is_woken)
		if (pthread_cond_timedwait(&fsv->wake, &fsv->lock, &until))
			break;
	fsv->is_woken = false;
}

static void seal_if_idle(struct fsmeta_fsv *fsv, struct stream *stream)
{
	/* Whoever holds it writes, or reads what can wait. */
	if (pthread_mutex_trylock(&stream->content_lock))
		return;
	if (stream->current && stream->written == stream->writing.count &&
	    clock_us() - stream->current_at_us >= fsv->options.idle_us)
		close_current(fsv, stream, NULL);
	pthread_mutex_unlock(&stream->content_lock);
}

static void *flush_for_ever(void *payload)
{
	struct fsmeta_fsv *fsv = payload;

	for (;;) {
		size_t count;
		uint64_t ignored;
		bool stop;

		pthread_mutex_lock(&fsv->lock);
		nap(fsv);
		count = fsv->stream_count;
		stop = fsv->stop;
		pthread_mutex_unlock(&fsv->lock);
		if (stop)
			return NULL;
		for (size_t i = 0; i < count; i++) {
			struct stream *stream = get_stream(fsv, i);

			if (!is_due(fsv, stream)) {
				seal_if_idle(fsv, stream);
				continue;
			}
			pthread_mutex_lock(&stream->content_lock);
			write_held(fsv, stream, NULL);
			pthread_mutex_unlock(&stream->content_lock);
		}
		fsmeta_fsv_roll_over(fsv, &ignored, NULL);
	}
}

static int start_flusher(struct fsmeta_fsv *fsv, struct fsmeta_error *error)
{
	int result = pthread_create(&fsv->flusher, NULL, flush_for_ever, fsv);

	fsv->has_flusher = !result;
	return result ? fsmeta_error_set_errno(error, result, fsv->root, "starting a thread") : 0;
}

/* ---- opening and closing ---- */

static void set_options(struct fsmeta_fsv *fsv, const struct fsmeta_fsv_options *given)
{
	struct fsmeta_fsv_options *options = &fsv->options;

	if (given)
		*options = *given;
	if (!options->file_us || options->file_us > file_limit_us)
		options->file_us = file_limit_us;
	if (!options->buffer_bytes)
		options->buffer_bytes = BUFFER_BYTES;
	if (!options->buffer_us)
		options->buffer_us = (int64_t)BUFFER_S * 1000000;
	if (!options->idle_us)
		options->idle_us = (int64_t)IDLE_S * 1000000;
	if (!options->buffer_max_bytes)
		options->buffer_max_bytes = options->buffer_bytes * BUFFER_MAX_MULTIPLE;
	if (!options->reserve_bytes)
		options->reserve_bytes = RESERVE_BYTES;
	else if (options->reserve_bytes == 1)
		options->reserve_bytes = 0;
	fsv->container = options->container ? options->container : &fsmeta_container_rf1;
}

static int new_archive(struct fsmeta_fsv **out, const char *root,
    const struct fsmeta_fsv_options *options, struct fsmeta_error *error)
{
	struct fsmeta_fsv *fsv = calloc(1, sizeof(*fsv));
	pthread_condattr_t attributes;

	*out = NULL;
	if (!fsv || !(fsv->root = strdup(root))) {
		free(fsv);
		return fsmeta_error_set_memory(error, "opening the archive");
	}
	set_options(fsv, options);
	pthread_mutex_init(&fsv->lock, NULL);
	pthread_mutex_init(&fsv->rollover_lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&fsv->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	*out = fsv;
	return 0;
}

int fsmeta_fsv_open(struct fsmeta_fsv **out, const char *root,
    const struct fsmeta_fsv_options *options, struct fsmeta_error *error)
{
	struct fsmeta_fsv *fsv;
	int code = new_archive(&fsv, root, options, error);

	*out = NULL;
	if (code)
		return code;
	if (fsv->options.writable)
		code = fsmeta_names_make_folder(root, error);
	if (!code)
		code = scan_root(fsv, error);
	if (!code && fsv->options.writable)
		code = start_flusher(fsv, error);
	if (code)
		fsmeta_fsv_close(fsv, NULL);
	else
		*out = fsv;
	return code;
}

int fsmeta_fsv_open_entries(struct fsmeta_fsv **out, const char *root,
    struct fsmeta_cursor *entries, const struct fsmeta_fsv_options *options,
    struct fsmeta_error *error)
{
	struct fsmeta_fsv *fsv;
	int code = new_archive(&fsv, root, options, error);

	*out = NULL;
	if (code)
		return code;
	fsv->options.writable = false;
	code = take_entries(fsv, entries, error);
	if (code)
		fsmeta_fsv_close(fsv, NULL);
	else
		*out = fsv;
	return code;
}

static void stop_flusher(struct fsmeta_fsv *fsv)
{
	if (!fsv->has_flusher)
		return;
	pthread_mutex_lock(&fsv->lock);
	fsv->stop = true;
	pthread_cond_signal(&fsv->wake);
	pthread_mutex_unlock(&fsv->lock);
	pthread_join(fsv->flusher, NULL);
	fsv->has_flusher = false;
}

int fsmeta_fsv_close(struct fsmeta_fsv *fsv, struct fsmeta_error *error)
{
	int first = 0;

	if (!fsv)
		return 0;
	stop_flusher(fsv);
	for (size_t i = 0; i < fsv->stream_count; i++) {
		struct stream *stream = fsv->streams[i];
		int code = write_held(fsv, stream, first ? NULL : error);

		first = first ? first : code;
		code = close_current(fsv, stream, first ? NULL : error);
		first = first ? first : code;
		free_stream(stream);
	}
	free(fsv->streams);
	pthread_cond_destroy(&fsv->wake);
	pthread_mutex_destroy(&fsv->rollover_lock);
	pthread_mutex_destroy(&fsv->lock);
	free(fsv->root);
	free(fsv);
	return first;
}

/* ---- producers: with the buffer lock alone ---- */

/** A track with its format, *borrowed* from the stream; NULL when memory is out. */
static const struct named_format *take_format(
    struct stream *stream, const char *track, const struct fsmeta_track_format *format)
{
	struct named_format **formats, *added;

	for (size_t i = stream->format_count; i--;)
		if (strcmp(stream->formats[i]->track, track) == 0 &&
		    is_same_format(&stream->formats[i]->format, format))
			return stream->formats[i];
	formats = realloc(stream->formats, (stream->format_count + 1) * sizeof(*formats));
	if (!formats)
		return NULL;
	stream->formats = formats;
	added = calloc(1, sizeof(*added));
	if (!added || !(added->track = strdup(track))) {
		free(added);
		return NULL;
	}
	added->format = *format;
	formats[stream->format_count++] = added;
	return added;
}

static int reserve_packets(struct queue *queue, size_t count)
{
	size_t capacity = queue->capacity ? queue->capacity : 64;
	struct queued *packets;

	if (queue->count + count <= queue->capacity)
		return 0;
	while (capacity < queue->count + count)
		capacity *= 2;
	packets = realloc(queue->packets, capacity * sizeof(*packets));
	if (!packets)
		return FSMETA_E_MEMORY;
	queue->packets = packets;
	queue->capacity = capacity;
	return 0;
}

/** What would fail later, when nobody is there to be told. */
static int check_packets(const char *stream, const char *track,
    const struct fsmeta_track_format *format, const struct fsmeta_packet *packets, size_t count,
    uint64_t *bytes, struct fsmeta_error *error)
{
	static const char action[] = "writing packets";

	*bytes = 0;
	if (!fsmeta_names_is_stream(stream) || !fsmeta_names_is_stream(track) || strchr(track, '.'))
		return fsmeta_error_set(error, FSMETA_E_USAGE, stream, action,
		    "a stream or track of that name cannot be");
	for (int i = 0; i < FSMETA_CODEC_BYTES; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789", format->codec[i]) ||
		    !format->codec[i])
			return fsmeta_error_set(error, FSMETA_E_USAGE, stream, action,
			    "the name of a codec is four of a-z and 0-9");
	if (!format->is_audio && (!format->width || !format->height))
		return fsmeta_error_set(
		    error, FSMETA_E_USAGE, stream, action, "a picture without width or height");
	for (size_t i = 0; i < count; i++) {
		if (!packets[i].size || packets[i].size > FSMETA_TRACK_BYTES_MAX ||
		    packets[i].flags > FSMETA_WORD_FLAGS_MAX)
			return fsmeta_error_set(error, FSMETA_E_USAGE, stream, action,
			    "a packet has no bytes, too many, or flags beyond 12 bits");
		if (packets[i].time_us < 0 || packets[i].time_us > INT64_MAX / 2 ||
		    packets[i].lead_us > packets[i].time_us)
			return fsmeta_error_set(error, FSMETA_E_USAGE, stream, action,
			    "a packet is shown before 1970 or never");
		*bytes += packets[i].size;
	}
	return 0;
}

static void queue_packets(struct stream *stream, const struct named_format *format,
    const struct fsmeta_packet *packets, size_t count)
{
	struct queue *queue = &stream->pending;

	for (size_t i = 0; i < count; i++) {
		queue->packets[queue->count++] = (struct queued){
		    .time_us = packets[i].time_us,
		    .lead_us = packets[i].lead_us,
		    .size = (uint32_t)packets[i].size,
		    .flags = packets[i].flags,
		    .format = format,
		};
		/* Room was made. */
		memcpy(queue->bytes.data + queue->bytes.length, packets[i].bytes, packets[i].size);
		queue->bytes.length += packets[i].size;
		if (packets[i].time_us < stream->min_time_us)
			stream->min_time_us = packets[i].time_us;
		if (packets[i].time_us > stream->max_time_us)
			stream->max_time_us = packets[i].time_us;
	}
}

static int refuse(const struct stream *stream, struct fsmeta_error *error)
{
	const struct fsmeta_error *failure = &stream->failure;

	if (failure->code)
		return fsmeta_error_set(error, FSMETA_E_REFUSED, stream->folder, "writing packets",
		    "the buffer is full, as the disk takes nothing: %s: %s", failure->action,
		    failure->reason);
	return fsmeta_error_set(error, FSMETA_E_REFUSED, stream->folder, "writing packets",
	    "the buffer is full, as the disk is too slow");
}

int fsmeta_fsv_write(struct fsmeta_fsv *fsv, const char *name, const char *track,
    const struct fsmeta_track_format *format, const struct fsmeta_packet *packets, size_t count,
    struct fsmeta_error *error)
{
	struct stream *stream;
	uint64_t bytes;
	bool wake = false;
	const struct named_format *named;
	int code;

	if (!fsv->options.writable)
		return fsmeta_error_set(error, FSMETA_E_USAGE, fsv->root, "writing packets",
		    "the archive is open for reading");
	code = check_packets(name, track, format, packets, count, &bytes, error);
	if (code || !count)
		return code;
	stream = take_stream(fsv, name, strlen(name));
	if (!stream)
		return fsmeta_error_set_memory(error, "writing packets");
	pthread_mutex_lock(&stream->buffer_lock);
	if (stream->held_bytes + bytes > fsv->options.buffer_max_bytes) {
		code = refuse(stream, error);
	} else if (!(named = take_format(stream, track, format)) ||
		   fsmeta_buffer_reserve(&stream->pending.bytes, bytes) ||
		   reserve_packets(&stream->pending, count)) {
		code = fsmeta_error_set_memory(error, "writing packets");
	} else {
		if (!stream->held_bytes) {
			stream->min_time_us = INT64_MAX;
			stream->max_time_us = INT64_MIN;
		}
		queue_packets(stream, named, packets, count);
		stream->held_bytes += bytes;
		if (!stream->oldest_us)
			stream->oldest_us = clock_us();
		wake = stream->held_bytes >= fsv->options.buffer_bytes;
	}
	pthread_mutex_unlock(&stream->buffer_lock);
	if (wake || code == FSMETA_E_REFUSED) {
		pthread_mutex_lock(&fsv->lock);
		fsv->is_woken = true;
		pthread_cond_signal(&fsv->wake);
		pthread_mutex_unlock(&fsv->lock);
	}
	return code;
}

static int flush_stream(
    struct fsmeta_fsv *fsv, struct stream *stream, bool sync, struct fsmeta_error *error)
{
	int code;

	pthread_mutex_lock(&stream->content_lock);
	code = write_held(fsv, stream, error);
	if (!code && sync && stream->current)
		code = fsv->container->sync(stream->current, error);
	pthread_mutex_unlock(&stream->content_lock);
	return code;
}

int fsmeta_fsv_flush(
    struct fsmeta_fsv *fsv, const char *name, bool sync, struct fsmeta_error *error)
{
	size_t count = count_streams(fsv);
	int first = 0;

	for (size_t i = 0; i < count; i++) {
		struct stream *stream = get_stream(fsv, i);
		int code;

		if (name && strcmp(stream->name, name) != 0)
			continue;
		code = flush_stream(fsv, stream, sync, first ? NULL : error);
		first = first ? first : code;
	}
	return first;
}

/* ---- reading: with the content lock ---- */

/** One reading. */
struct reading {
	struct fsmeta_fsv *fsv;
	struct stream *stream;
	const char *track;
	unsigned bit;
	struct fsmeta_buffer bytes;
	fsmeta_fsv_visit *visit;
	void *payload;
};

/** The first file that may hold something from from_ms on. */
static size_t find_file(const struct stream *stream, int64_t from_ms)
{
	int64_t earliest = from_ms < INT64_MIN + any_file_ms ? INT64_MIN : from_ms - any_file_ms;
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

/** 1 with a reader; 0 where the file has no such track or is gone. */
static int open_file(struct fsmeta_container_reader **out, const struct reading *reading,
    const struct file *file, struct fsmeta_error *error)
{
	struct fsmeta_error local;
	int code;

	*out = NULL;
	if (!(file->indexes & file->packets & 1U << reading->bit))
		return 0;
	fsmeta_error_clear(&local);
	code = reading->fsv->container->open(
	    out, reading->stream->folder, name_time(file), reading->track, &local);
	if (code == FSMETA_E_SYSTEM && local.system_errno == ENOENT)
		return 0;
	/* A crash before the header was written; whoever checks reports it. */
	if (code == FSMETA_E_FOREIGN)
		return 0;
	if (code && error)
		*error = local;
	return code ? code : 1;
}

static int visit_packets(struct reading *reading, const struct fsmeta_track *track, uint32_t first,
    uint32_t last, struct fsmeta_error *error)
{
	int code = 0;

	while (first < last && !code) {
		const unsigned char *from;
		uint32_t piece = first;
		uint64_t size = 0;

		do {
			size += fsmeta_track_size(track, piece++);
		} while (
		    piece < last && size + fsmeta_track_size(track, piece) <= READ_PIECE_BYTES);
		fsmeta_buffer_clear(&reading->bytes);
		code = fsmeta_track_read(track, first, piece, &reading->bytes, error);
		from = reading->bytes.data;
		for (; first < piece && !code; first++) {
			struct fsmeta_packet packet = {
			    .time_us = fsmeta_track_time_us(track, first),
			    .flags = fsmeta_word_flags(track->words[first]),
			    .bytes = from,
			    .size = fsmeta_track_size(track, first),
			};

			from += packet.size;
			code = reading->visit(reading->payload, &track->format, &packet, error);
		}
	}
	return code;
}

static bool needs_before(const struct fsmeta_track *track, uint32_t first)
{
	if (track->format.is_audio || !(track->format.flags & FSMETA_TRACK_CONTINUES))
		return false;
	while (first < track->count &&
	       fsmeta_word_flags(track->words[first]) & FSMETA_PACKET_ESSENTIAL)
		first++;
	return first < track->count &&
	       !(fsmeta_word_flags(track->words[first]) & FSMETA_PACKET_KEY);
}

/** Hands out what a file that continues the one before needs: from its last key frame on. */
static int visit_before(struct reading *reading, size_t i, struct fsmeta_error *error)
{
	struct fsmeta_container_reader *reader;
	const struct fsmeta_track *track;
	uint32_t first;
	int code;

	if (i == reading->stream->file_first)
		return 0;
	code = open_file(&reader, reading, &reading->stream->files[--i], error);
	if (code <= 0)
		return code;
	track = reading->fsv->container->track(reader);
	first = track->count;
	while (first && !(fsmeta_word_flags(track->words[first - 1]) & FSMETA_PACKET_KEY))
		first--;
	first = first ? first - 1 : 0;
	while (first && fsmeta_word_flags(track->words[first - 1]) & FSMETA_PACKET_ESSENTIAL)
		first--;
	code = needs_before(track, first) ? visit_before(reading, i, error) : 0;
	if (!code)
		code = visit_packets(reading, track, first, track->count, error);
	reading->fsv->container->release(reader);
	return code;
}

/** Reads what one file, number `i` or the one that grows behind them, has of the window. */
static int read_file(struct reading *reading, size_t i, int64_t from_us, int64_t to_us,
    bool *at_start, struct fsmeta_error *error)
{
	const struct stream *stream = reading->stream;
	bool grows = i == stream->file_count;
	const struct file *file = grows ? &stream->current_file : &stream->files[i];
	struct fsmeta_container_reader *reader;
	const struct fsmeta_track *track;
	uint32_t first, last;
	int code = open_file(&reader, reading, file, error);

	if (code <= 0)
		return code;
	code = 0;
	track = reading->fsv->container->track(reader);
	fsmeta_track_window(
	    track, from_us, to_us, *at_start && !track->format.is_audio, &first, &last);
	if (last && *at_start && needs_before(track, first))
		code = visit_before(reading, grows ? find_start(stream, file->start_ms) : i, error);
	/* What was begun is gone on with from the first packet. */
	if (last && !*at_start && !track->format.is_audio)
		first = 0;
	if (!code)
		code = visit_packets(reading, track, first, last, error);
	*at_start &= !last;
	reading->fsv->container->release(reader);
	return code;
}

static int read_files(
    struct reading *reading, int64_t from_us, int64_t to_us, struct fsmeta_error *error)
{
	const struct stream *stream = reading->stream;
	int64_t latest_ms = to_us / 1000 < INT64_MAX - any_file_ms ? to_us / 1000 : INT64_MAX;
	bool at_start = true;
	int code = 0;

	for (size_t i = find_file(stream, from_us / 1000 - 1);
	     i < stream->file_count && stream->files[i].start_ms <= latest_ms && !code; i++)
		code = read_file(reading, i, from_us, to_us, &at_start, error);
	if (!code && stream->current)
		code = read_file(reading, stream->file_count, from_us, to_us, &at_start, error);
	return code;
}

static bool is_buffered(struct stream *stream, int64_t from_us, int64_t to_us)
{
	bool is;

	pthread_mutex_lock(&stream->buffer_lock);
	is = stream->held_bytes && stream->min_time_us < to_us && stream->max_time_us >= from_us;
	pthread_mutex_unlock(&stream->buffer_lock);
	return is;
}

int fsmeta_fsv_read(struct fsmeta_fsv *fsv, const char *name, const char *track, int64_t from_us,
    int64_t to_us, fsmeta_fsv_visit *visit, struct fsmeta_error *error, void *payload)
{
	struct reading reading = {.fsv = fsv, .track = track, .visit = visit, .payload = payload};
	int code = 0;

	reading.stream = find_stream(fsv, name);
	if (!reading.stream || from_us >= to_us)
		return 0;
	pthread_mutex_lock(&reading.stream->content_lock);
	if (is_buffered(reading.stream, from_us, to_us))
		code = write_held(fsv, reading.stream, error);
	while (reading.bit < reading.stream->track_count &&
	       strcmp(reading.stream->tracks[reading.bit].name, track) != 0)
		reading.bit++;
	if (!code && reading.bit < reading.stream->track_count)
		code = read_files(&reading, from_us, to_us, error);
	pthread_mutex_unlock(&reading.stream->content_lock);
	fsmeta_buffer_release(&reading.bytes);
	return code;
}

void fsmeta_fsv_information(struct fsmeta_fsv *fsv, struct fsmeta_fsv_info *out)
{
	size_t count = count_streams(fsv);

	*out = (struct fsmeta_fsv_info){.streams = count, .start_ms = INT64_MAX};
	for (size_t i = 0; i < count; i++) {
		struct stream *stream = get_stream(fsv, i);
		size_t files;

		pthread_mutex_lock(&stream->content_lock);
		files = count_files(stream);
		out->files += files + (stream->current && stream->current_file.indexes);
		if (stream->current && stream->current_file.start_ms > out->newest_ms)
			out->newest_ms = stream->current_file.start_ms;
		out->index_bytes += stream->file_capacity * sizeof(*stream->files);
		if (files && stream->files[stream->file_first].start_ms < out->start_ms)
			out->start_ms = stream->files[stream->file_first].start_ms;
		if (files && stream->files[stream->file_count - 1].start_ms > out->newest_ms)
			out->newest_ms = stream->files[stream->file_count - 1].start_ms;
		pthread_mutex_unlock(&stream->content_lock);
	}
	pthread_mutex_lock(&fsv->lock);
	out->bytes = fsv->bytes;
	out->rolled_over = fsv->rolled_over;
	out->orphans = fsv->orphans;
	pthread_mutex_unlock(&fsv->lock);
}
