/*
 * Rollover: from 99 % of the budget on the oldest file of all streams goes, again and again, until
 * it is below 98 %.  Only the first file of each stream is looked at, so the choice costs as much
 * as there are streams.  What is being written is not among the files yet and cannot be chosen. The
 * plan goes the same way with a count for each stream in place of taking files away.
 */
#include "archive/fsv_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/** That they are gone already is fine, and with their folder, too. */
static int remove_tracks(const struct fsmeta_fsv *fsv, struct fsmeta_fsv_stream *stream,
    const struct fsmeta_fsv_file *file, struct fsmeta_error *error)
{
	size_t tracks = fsmeta_fsv_count_tracks(stream);
	struct fsmeta_stream_folder folder;
	struct fsmeta_error local;
	int code;

	fsmeta_error_clear(&local);
	code = fsmeta_fsv_open_folder(fsv, stream, &folder, &local);
	if (code && local.system_errno == ENOENT)
		return 0;
	for (size_t i = 0; i < tracks && !code; i++)
		if ((file->indexes | file->packets) & 1 << i)
			code = fsv->container->remove(
			    folder.path, fsmeta_fsv_name_time(file), stream->tracks[i], &local);
	fsmeta_stream_folder_close(&folder);
	if (code && error) {
		fsmeta_fsv_name_folder(stream, &local);
		*error = local;
	}
	return code;
}

static int remove_file(
    struct fsmeta_fsv *fsv, struct fsmeta_fsv_stream *stream, struct fsmeta_error *error)
{
	const struct fsmeta_fsv_file *file = &stream->files[stream->file_first];
	int code = remove_tracks(fsv, stream, file, error);

	if (code)
		return code;
	pthread_mutex_lock(&fsv->lock);
	fsv->bytes -= file->bytes;
	fsv->rolled_over++;
	fsv->rolled_over_bytes += file->bytes;
	pthread_mutex_unlock(&fsv->lock);
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

static bool oldest_of(struct fsmeta_fsv_stream *stream, int64_t *start_ms)
{
	size_t count;

	pthread_mutex_lock(&stream->content_lock);
	count = fsmeta_fsv_count_files(stream);
	if (count)
		*start_ms = stream->files[stream->file_first].start_ms;
	pthread_mutex_unlock(&stream->content_lock);
	return count;
}

/** The stream that holds the oldest file which nobody writes; NULL without. */
static struct fsmeta_fsv_stream *find_oldest(struct fsmeta_fsv *fsv)
{
	size_t count = fsmeta_fsv_count_streams(fsv);
	struct fsmeta_fsv_stream *oldest = NULL;
	int64_t oldest_ms = INT64_MAX, start_ms;

	for (size_t i = 0; i < count; i++) {
		struct fsmeta_fsv_stream *stream = fsmeta_fsv_get_stream(fsv, i);

		if (oldest_of(stream, &start_ms) && start_ms < oldest_ms) {
			oldest = stream;
			oldest_ms = start_ms;
		}
	}
	return oldest;
}

static uint64_t percent_of_budget(const struct fsmeta_fsv *fsv, uint64_t percent)
{
	uint64_t budget = fsv->options.budget_bytes;

	return budget / 100 * percent + budget % 100 * percent / 100;
}

static uint64_t bytes_of(struct fsmeta_fsv *fsv)
{
	uint64_t bytes;

	pthread_mutex_lock(&fsv->lock);
	bytes = fsv->bytes;
	pthread_mutex_unlock(&fsv->lock);
	return bytes;
}

static bool is_above(struct fsmeta_fsv *fsv, uint64_t percent)
{
	return fsv->options.budget_bytes && bytes_of(fsv) >= percent_of_budget(fsv, percent);
}

int fsmeta_fsv_roll_over(struct fsmeta_fsv *fsv, uint64_t *files, struct fsmeta_error *error)
{
	bool is_full;
	int code = 0;

	*files = 0;
	pthread_mutex_lock(&fsv->rollover_lock);
	is_full = is_above(fsv, 99);
	while (!code && is_full && is_above(fsv, 98)) {
		struct fsmeta_fsv_stream *stream = find_oldest(fsv);

		if (!stream)
			break;
		pthread_mutex_lock(&stream->content_lock);
		if (fsmeta_fsv_count_files(stream)) {
			code = remove_file(fsv, stream, error);
			*files += !code;
		}
		pthread_mutex_unlock(&stream->content_lock);
	}
	pthread_mutex_unlock(&fsv->rollover_lock);
	return code;
}

/* ---- the plan of it ---- */

/** File number `skipped` of those that a stream has; false where there are fewer. */
static bool look_at(struct fsmeta_fsv_stream *stream, size_t skipped, struct fsmeta_fsv_file *out)
{
	bool is;

	pthread_mutex_lock(&stream->content_lock);
	is = skipped < fsmeta_fsv_count_files(stream);
	if (is)
		*out = stream->files[stream->file_first + skipped];
	pthread_mutex_unlock(&stream->content_lock);
	return is;
}

/** The oldest file behind those that are planned; *stream tells whose.  False without. */
static bool next_oldest(struct fsmeta_fsv *fsv, const size_t *planned, size_t count,
    struct fsmeta_fsv_file *out, size_t *stream)
{
	struct fsmeta_fsv_file file;
	bool found = false;

	for (size_t i = 0; i < count; i++) {
		if (!look_at(fsmeta_fsv_get_stream(fsv, i), planned[i], &file) ||
		    (found && file.start_ms >= out->start_ms))
			continue;
		*out = file;
		*stream = i;
		found = true;
	}
	return found;
}

int fsmeta_fsv_plan_roll_over(
    struct fsmeta_fsv *fsv, struct fsmeta_fsv_plan *out, struct fsmeta_error *error)
{
	size_t count = fsmeta_fsv_count_streams(fsv), stream = 0;
	size_t *planned = calloc(count + 1, sizeof(*planned));
	struct fsmeta_fsv_file file = {0};
	bool is_full, found;
	uint64_t bytes;

	*out = (struct fsmeta_fsv_plan){.kept_from_ms = INT64_MAX};
	if (!planned)
		return fsmeta_error_set_memory(error, "planning a rollover");
	pthread_mutex_lock(&fsv->rollover_lock);
	bytes = bytes_of(fsv);
	is_full = is_above(fsv, 99);
	while ((found = next_oldest(fsv, planned, count, &file, &stream)) && is_full &&
	       bytes - out->bytes >= percent_of_budget(fsv, 98)) {
		planned[stream]++;
		out->files++;
		out->bytes += file.bytes;
	}
	pthread_mutex_unlock(&fsv->rollover_lock);
	if (found)
		out->kept_from_ms = file.start_ms;
	free(planned);
	return 0;
}
