/*
 * Lookups.
 *
 *     path    trailer's first paths:   ""  cam1/2026/07…  cam2  cam3/x…
 *                                                          ▲
 *             the last batch whose first path is not behind the path looked for;
 *             it is decoded up to where the path is or would be
 *
 *     id      ordinal: the batches' numbers of entries, summed up
 *             stable:  every batch whose range of ids holds it
 *
 * First paths are front-coded, so finding the batch is a walk over them, not a
 * bisection; it costs a copy of some bytes a batch and has some thousand entries a step,
 * next to which reading the trailer, done before, is the greater part.
 *
 * The index of paths is asked first where there is one, and believed only in its "no":
 * two paths may have one hash, so its "yes" means looking.
 */
#include "format/lookup.h"

#include "base/path.h"
#include "format/path_index.h"
#include "format/stream.h"
#include "format/stream_reader.h"
#include "format/stream_record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct fsmeta_lookup {
	struct fsmeta_cursor *cursor;
	/** *Borrowed* from the cursor. */
	const struct fsmeta_trailer *trailer;
	/** NULL = none, or not used any more. */
	struct fsmeta_path_index *index;
	struct fsmeta_error index_damage;
};

/* ---- opening ---------------------------------------------------------- */

static int open_stream(
    struct fsmeta_lookup *lookup, const char *path, bool is_folder, struct fsmeta_error *error)
{
	int code = is_folder ? fsmeta_stream_open_folder(&lookup->cursor, path, error)
			     : fsmeta_stream_open_file(&lookup->cursor, path, error);

	if (code)
		return code;
	lookup->trailer = fsmeta_stream_get_trailer(lookup->cursor);
	if (!lookup->trailer)
		return fsmeta_error_set(error, FSMETA_E_REFUSED, path, "looking up",
		    "it can only be read from its beginning");
	return 0;
}

/** An index that is there and cannot be used is no failure. */
static void open_index(struct fsmeta_lookup *lookup, const char *path, struct fsmeta_error *ignored)
{
	int folder_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (folder_fd < 0)
		return;
	fsmeta_path_index_open(&lookup->index, folder_fd, path, lookup->trailer->records_digest,
	    lookup->trailer->message->entries, ignored);
	close(folder_fd);
}

int fsmeta_lookup_open(struct fsmeta_lookup **out, const char *path, struct fsmeta_error *ignored,
    struct fsmeta_error *error)
{
	struct fsmeta_lookup *lookup = calloc(1, sizeof(*lookup));
	struct stat status;
	bool is_folder;
	int code;

	*out = NULL;
	fsmeta_error_clear(ignored);
	if (!lookup)
		return fsmeta_error_set_memory(error, "looking up");
	is_folder = stat(path, &status) == 0 && S_ISDIR(status.st_mode);
	code = open_stream(lookup, path, is_folder, error);
	if (!code && is_folder)
		open_index(lookup, path, ignored);
	if (code)
		fsmeta_lookup_close(lookup);
	else
		*out = lookup;
	return code;
}

void fsmeta_lookup_close(struct fsmeta_lookup *lookup)
{
	if (!lookup)
		return;
	fsmeta_path_index_close(lookup->index);
	fsmeta_cursor_close(lookup->cursor);
	free(lookup);
}

const struct fsmeta_error *fsmeta_lookup_index_damage(const struct fsmeta_lookup *lookup)
{
	return lookup->index_damage.code ? &lookup->index_damage : NULL;
}

const struct fsmeta_batch_source *fsmeta_lookup_source(const struct fsmeta_lookup *lookup)
{
	return lookup->cursor->source;
}

uint64_t fsmeta_lookup_batches(const struct fsmeta_lookup *lookup)
{
	struct fsmeta_stream_progress progress;

	fsmeta_stream_get_progress(lookup->cursor, &progress);
	return progress.decoded;
}

/* ---- within a batch --------------------------------------------------- */

/** What is looked for in a batch. */
struct wanted {
	/** NULL: the id. */
	const char *path;
	size_t path_length;
	uint64_t id;
};

/** <0 where it is behind this entry, 0 where it is this, >0 where it is not to come. */
static int compare_wanted(const struct wanted *wanted, const struct fsmeta_entry *entry)
{
	if (!wanted->path)
		return entry->id == wanted->id ? 0 : -1;
	return fsmeta_path_compare(
	    entry->path, entry->path_length, wanted->path, wanted->path_length);
}

static int search_batch(struct fsmeta_lookup *lookup, size_t batch, const struct wanted *wanted,
    const struct fsmeta_entry **entry, struct fsmeta_error *error)
{
	uint32_t left = lookup->trailer->message->batch_entries[batch];
	int code = fsmeta_stream_seek(lookup->cursor, batch, error);

	if (code)
		return code;
	while (left--) {
		int order;

		code = fsmeta_cursor_next(lookup->cursor, entry, error);
		if (code != 1)
			return code;
		order = compare_wanted(wanted, *entry);
		if (order >= 0)
			return order == 0;
	}
	return 0;
}

/* ---- the batch -------------------------------------------------------- */

/** The last batch whose first path is not behind `path`. */
static int find_batch(size_t *batch, const struct fsmeta_lookup *lookup, const char *path,
    size_t length, struct fsmeta_error *error)
{
	const struct fsmeta_trailer *trailer = lookup->trailer;
	struct fsmeta_trailer_walk walk = {0};
	int code = 0;

	*batch = 0;
	while (walk.count < trailer->batch_count) {
		if (fsmeta_trailer_walk_next(&walk, trailer)) {
			code = fsmeta_error_set_memory(error, "looking up");
			break;
		}
		if (fsmeta_path_compare(
			(const char *)walk.path.data, walk.path.length, path, length) > 0)
			break;
		*batch = walk.count - 1;
	}
	fsmeta_trailer_walk_release(&walk);
	return code;
}

/** Asks the index; one that is damaged says nothing that the stream would not say. */
static bool may_have_path(struct fsmeta_lookup *lookup, const char *path, size_t length)
{
	int code;

	if (!lookup->index)
		return true;
	code = fsmeta_path_index_find(lookup->index, path, length, NULL, &lookup->index_damage);
	if (code < 0) {
		fsmeta_path_index_close(lookup->index);
		lookup->index = NULL;
	}
	return code != 0;
}

int fsmeta_lookup_path(struct fsmeta_lookup *lookup, const char *path, size_t length,
    const struct fsmeta_entry **entry, struct fsmeta_error *error)
{
	struct wanted wanted = {.path = path, .path_length = length};
	size_t batch;
	int code;

	if (!may_have_path(lookup, path, length))
		return 0;
	code = find_batch(&batch, lookup, path, length, error);
	return code ? code : search_batch(lookup, batch, &wanted, entry, error);
}

/** Whether a batch may hold an id; `before` entries stand in front of it. */
static bool may_hold(
    const struct fsmeta_trailer *trailer, size_t batch, uint64_t before, uint64_t id)
{
	const Fsmeta__V1__Trailer *message = trailer->message;

	if (message->n_batch_id_min)
		return id >= message->batch_id_min[batch] && id <= message->batch_id_max[batch];
	return id > before && id - before <= message->batch_entries[batch];
}

int fsmeta_lookup_id(struct fsmeta_lookup *lookup, uint64_t id, const struct fsmeta_entry **entry,
    struct fsmeta_error *error)
{
	const struct fsmeta_trailer *trailer = lookup->trailer;
	struct wanted wanted = {.id = id};
	uint64_t before = 0;
	int code = 0;

	for (size_t batch = 0; batch < trailer->batch_count && !code; batch++) {
		if (may_hold(trailer, batch, before, id))
			code = search_batch(lookup, batch, &wanted, entry, error);
		before += trailer->message->batch_entries[batch];
	}
	return code;
}
