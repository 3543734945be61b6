/*
 * Recordings by folder.
 *
 *     site/rec_a  |=========|                      begin and end known
 *     site/rec_b                  ?=====|          only its end: no pause is judged in front of it
 *     site/rec_c                           |====|
 *                 keep: from here |     |<->|   |  gaps: this one
 *                           (end of rec_a)      fresh: from here
 *
 * keep asks for the first end, not for the first begin: a copy has no begins, and a policy must
 * not hold for a tree and break for its copy.  What ended long enough ago reaches back so far in
 * any case.
 */
#include "tools/archive_recordings.h"

#include "archive/piece.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>

int fsmeta_recordings_add(
    struct fsmeta_recordings *recordings, const struct fsmeta_archive_stream *stream)
{
	const char *slash =
	    stream->path_length ? memrchr(stream->path, '/', stream->path_length) : NULL;

	if (recordings->count == recordings->capacity) {
		size_t capacity = recordings->capacity ? recordings->capacity * 2 : 64;
		struct fsmeta_seen_recording *items =
		    reallocarray(recordings->items, capacity, sizeof(*items));

		if (!items)
			return FSMETA_E_MEMORY;
		recordings->items = items;
		recordings->capacity = capacity;
	}
	recordings->items[recordings->count++] = (struct fsmeta_seen_recording){
	    .path_offset = recordings->paths.length,
	    .path_length = stream->path_length,
	    .folder_length = slash ? (size_t)(slash - stream->path) : 0,
	    .has_from = stream->has_from,
	    .has_to = stream->has_to,
	    .from_us = stream->from_us,
	    .to_us = stream->to_us,
	};
	return fsmeta_buffer_append(&recordings->paths, stream->path, stream->path_length);
}

static const char *path_of(
    const struct fsmeta_recordings *recordings, const struct fsmeta_seen_recording *item)
{
	return (const char *)recordings->paths.data + item->path_offset;
}

static int compare_folders(const struct fsmeta_recordings *recordings,
    const struct fsmeta_seen_recording *one, const struct fsmeta_seen_recording *other)
{
	return fsmeta_path_compare(path_of(recordings, one), one->folder_length,
	    path_of(recordings, other), other->folder_length);
}

/** When it began, or else ended. */
static int64_t place_of(const struct fsmeta_seen_recording *item)
{
	return item->has_from ? item->from_us : item->to_us;
}

static int compare(const void *a, const void *b, void *payload)
{
	const struct fsmeta_seen_recording *one = a, *other = b;
	int order = compare_folders(payload, one, other);

	return order ? order
		     : (place_of(one) > place_of(other)) - (place_of(one) < place_of(other));
}

void fsmeta_recordings_sort(struct fsmeta_recordings *recordings)
{
	if (recordings->count)
		qsort_r(recordings->items, recordings->count, sizeof(*recordings->items), compare,
		    recordings);
}

bool fsmeta_recordings_next(
    const struct fsmeta_recordings *recordings, struct fsmeta_recordings_folder *out)
{
	size_t first = out->first + out->count, end = first;
	const struct fsmeta_seen_recording *item = recordings->items + first;

	while (end < recordings->count &&
	       compare_folders(recordings, item, recordings->items + end) == 0)
		end++;
	if (end == first)
		return false;
	*out = (struct fsmeta_recordings_folder){
	    .first = first,
	    .count = end - first,
	    .path = path_of(recordings, item),
	    .path_length = item->folder_length,
	};
	return true;
}

static bool fits(const struct fsmeta_policy *policy, const struct fsmeta_recordings *recordings,
    const struct fsmeta_seen_recording *item)
{
	const char *path = path_of(recordings, item);

	return !policy || fsmeta_policy_fits(policy, path, item->path_length) ||
	       fsmeta_policy_fits(policy, path, item->folder_length);
}

/** Adds one that began, or ended, no earlier than those that were added. */
static void add_to_sum(struct fsmeta_archive_stream *sum, const struct fsmeta_seen_recording *item)
{
	int64_t pause_us = item->from_us - sum->to_us;

	if (sum->has_to && item->has_from && pause_us > FSMETA_PIECE_GAP_US) {
		sum->gaps++;
		if (pause_us > sum->longest_gap_us) {
			sum->longest_gap_us = pause_us;
			sum->longest_gap_at_us = sum->to_us;
		}
	}
	if (!sum->has_from || item->to_us < sum->from_us)
		sum->from_us = item->to_us;
	if (!sum->has_to || item->to_us > sum->to_us)
		sum->to_us = item->to_us;
	sum->has_from = sum->has_to = true;
}

bool fsmeta_recordings_sum(struct fsmeta_archive_stream *out,
    const struct fsmeta_recordings *recordings, const struct fsmeta_recordings_folder *folder,
    const struct fsmeta_policy *policy)
{
	bool knows_begin = false;

	*out = (struct fsmeta_archive_stream){
	    .layout = FSMETA_LAYOUT_RECORDING,
	    .path = folder->path,
	    .path_length = folder->path_length,
	};
	for (size_t i = 0; i < folder->count; i++) {
		const struct fsmeta_seen_recording *item = &recordings->items[folder->first + i];

		if (!fits(policy, recordings, item))
			continue;
		out->pieces++;
		knows_begin |= item->has_from;
		if (item->has_to)
			add_to_sum(out, item);
	}
	if (!out->pieces || (policy && policy->kind == FSMETA_POLICY_BUDGET))
		return false;
	return knows_begin || !policy || policy->kind != FSMETA_POLICY_GAPS;
}

void fsmeta_recordings_release(struct fsmeta_recordings *recordings)
{
	free(recordings->items);
	fsmeta_buffer_release(&recordings->paths);
	*recordings = (struct fsmeta_recordings){0};
}
