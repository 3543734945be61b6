/*
 * The rf1 family as a container: each track is an index and a packet file (track.h).
 */
#include "archive/fsv_container.h"
#include "archive/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	TRACKS_MAX = 16,
	DIGITS_OF_SECONDS = 10,
	DIGITS_OF_MS = 13
};

struct named_track {
	char *name;
	struct fsmeta_track_writer *writer;
};

struct fsmeta_container_writer {
	char *folder;
	uint64_t time_ms;
	uint64_t reserve_bytes;
	struct named_track tracks[TRACKS_MAX];
	size_t count;
};

struct fsmeta_container_reader {
	struct fsmeta_track track;
};

struct paths {
	char *index;
	char *packets;
};

static int make_paths(struct paths *out, const char *folder, uint64_t time, const char *track,
    struct fsmeta_error *error)
{
	out->index =
	    fsmeta_names_join_format(folder, "%llu_%s.rf1i", (unsigned long long)time, track);
	out->packets =
	    fsmeta_names_join_format(folder, "%llu_%s.rf1p", (unsigned long long)time, track);
	return out->index && out->packets ? 0 : fsmeta_error_set_memory(error, "naming a track");
}

static void release_paths(struct paths *paths)
{
	free(paths->index);
	free(paths->packets);
}

static bool parse_name(struct fsmeta_container_name *out, const char *name, size_t length)
{
	static const size_t ending = sizeof(".rf1i") - 1;
	size_t digits = fsmeta_names_number(&out->time, name, length);

	if ((digits != DIGITS_OF_SECONDS && digits != DIGITS_OF_MS) ||
	    length <= digits + 1 + ending || name[digits] != '_' ||
	    memcmp(name + length - ending, ".rf1", ending - 1) != 0)
		return false;
	out->digits = (unsigned)digits;
	out->track = name + digits + 1;
	out->track_length = length - digits - 1 - ending;
	out->parts = name[length - 1] == 'i' ? 1 : name[length - 1] == 'p' ? 2 : 0;
	return out->parts && !memchr(out->track, '.', out->track_length);
}

/* ---- writing ---- */

static int create(struct fsmeta_container_writer **out, const char *folder, uint64_t time_ms,
    uint64_t reserve_bytes, struct fsmeta_error *error)
{
	*out = calloc(1, sizeof(**out));
	if (!*out || !((*out)->folder = strdup(folder))) {
		free(*out);
		*out = NULL;
		return fsmeta_error_set_memory(error, "beginning a file");
	}
	(*out)->time_ms = time_ms;
	(*out)->reserve_bytes = reserve_bytes;
	return 0;
}

static int add_track(struct fsmeta_container_writer *writer, const char *track,
    const struct fsmeta_track_format *format, struct fsmeta_error *error)
{
	struct named_track *added = &writer->tracks[writer->count];
	struct paths paths = {0};
	int code;

	if (writer->count == TRACKS_MAX)
		return fsmeta_error_set(error, FSMETA_E_LIMIT, writer->folder, "adding a track",
		    "a file has no more than %d", TRACKS_MAX);
	code = make_paths(&paths, writer->folder, writer->time_ms, track, error);
	if (!code)
		code = fsmeta_track_create(&added->writer, paths.index, paths.packets, format,
		    writer->reserve_bytes, error);
	release_paths(&paths);
	if (code)
		return code;
	added->name = strdup(track);
	if (!added->name) {
		fsmeta_track_abandon(added->writer);
		return fsmeta_error_set_memory(error, "adding a track");
	}
	writer->count++;
	return 0;
}

static struct fsmeta_track_writer *find(
    const struct fsmeta_container_writer *writer, const char *track)
{
	for (size_t i = 0; i < writer->count; i++)
		if (strcmp(writer->tracks[i].name, track) == 0)
			return writer->tracks[i].writer;
	return NULL;
}

static bool has_room(const struct fsmeta_container_writer *writer, const char *track,
    int64_t time_us, uint64_t bytes, uint32_t count)
{
	const struct fsmeta_track_writer *found = find(writer, track);

	return found && fsmeta_track_has_room(found, time_us, bytes, count);
}

static int append(struct fsmeta_container_writer *writer, const char *track,
    const struct fsmeta_packet *packets, size_t count, struct fsmeta_error *error)
{
	struct fsmeta_track_writer *found = find(writer, track);

	return found
		   ? fsmeta_track_append(found, packets, count, error)
		   : fsmeta_error_set(error, FSMETA_E_INTERNAL, track, "writing", "no such track");
}

static uint64_t bytes_of(const struct fsmeta_container_writer *writer)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < writer->count; i++) {
		uint32_t count;
		uint64_t bytes;
		int64_t end_us;

		fsmeta_track_written(writer->tracks[i].writer, &count, &bytes, &end_us);
		sum += bytes + FSMETA_TRACK_HEADER_BYTES + ((uint64_t)count + 1) * 8;
	}
	return sum;
}

static int sync_tracks(struct fsmeta_container_writer *writer, struct fsmeta_error *error)
{
	int code = 0;

	for (size_t i = 0; i < writer->count && !code; i++)
		code = fsmeta_track_sync(writer->tracks[i].writer, error);
	return code;
}

static int close_tracks(struct fsmeta_container_writer *writer, struct fsmeta_error *error)
{
	int first = 0;

	if (!writer)
		return 0;
	for (size_t i = 0; i < writer->count; i++) {
		int code = fsmeta_track_close(writer->tracks[i].writer, first ? NULL : error);

		first = first ? first : code;
		free(writer->tracks[i].name);
	}
	free(writer->folder);
	free(writer);
	return first;
}

/* ---- reading and keeping ---- */

static int open_track(struct fsmeta_container_reader **out, const char *folder, uint64_t time,
    const char *track, struct fsmeta_error *error)
{
	struct paths paths = {0};
	int code = make_paths(&paths, folder, time, track, error);

	*out = code ? NULL : calloc(1, sizeof(**out));
	if (!code && !*out)
		code = fsmeta_error_set_memory(error, "opening a track");
	if (!code)
		code = fsmeta_track_open(&(*out)->track, paths.index, paths.packets, error);
	release_paths(&paths);
	if (code) {
		free(*out);
		*out = NULL;
	}
	return code;
}

static const struct fsmeta_track *track_of(const struct fsmeta_container_reader *reader)
{
	return &reader->track;
}

static void release(struct fsmeta_container_reader *reader)
{
	if (!reader)
		return;
	fsmeta_track_release(&reader->track);
	free(reader);
}

static int recover(const char *folder, uint64_t time, const char *track, struct fsmeta_error *error)
{
	struct paths paths = {0};
	int code = make_paths(&paths, folder, time, track, error);

	if (!code)
		code = fsmeta_track_recover(paths.index, paths.packets, error);
	release_paths(&paths);
	return code;
}

static int remove_file(const char *path, struct fsmeta_error *error)
{
	if (unlink(path) < 0 && errno != ENOENT)
		return fsmeta_error_set_errno(error, errno, path, "removing");
	return 0;
}

/** The index last: a crash between leaves an index, which says what is missing. */
static int remove_track(
    const char *folder, uint64_t time, const char *track, struct fsmeta_error *error)
{
	struct paths paths = {0};
	int code = make_paths(&paths, folder, time, track, error);

	if (!code)
		code = remove_file(paths.packets, error);
	if (!code)
		code = remove_file(paths.index, error);
	release_paths(&paths);
	return code;
}

const struct fsmeta_container_operations fsmeta_container_rf1 = {
    .parse_name = parse_name,
    .create = create,
    .add_track = add_track,
    .has_room = has_room,
    .append = append,
    .bytes = bytes_of,
    .sync = sync_tracks,
    .close = close_tracks,
    .open = open_track,
    .track = track_of,
    .release = release,
    .recover = recover,
    .remove = remove_track,
};
