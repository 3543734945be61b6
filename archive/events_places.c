/*
 * Which folders of the older side are read.
 *
 *     touched   a/cam1  a/cam3  b/x        in which something of an archive changed, sorted
 *     parents   a                          in which many files came: all streams in it are read
 *
 * A folder on the way to one of them is entered, all others are stepped over.
 */
#include "archive/events_inside.h"

#include "base/path.h"

#include <stdlib.h>

enum {
	/** So many files came to each stream on average where recorders were at work. */
	AT_WORK = 4,
};

static struct fsmeta_events_place *places_of(const struct fsmeta_buffer *buffer, size_t *count)
{
	*count = buffer->length / sizeof(struct fsmeta_events_place);
	return (struct fsmeta_events_place *)(void *)buffer->data;
}

int fsmeta_events_compare_paths(const void *a, const void *b)
{
	const struct fsmeta_events_path *one = a, *other = b;

	return fsmeta_path_compare(one->bytes, one->length, other->bytes, other->length);
}

/** The path is first in a place. */
static void add_up_place(struct fsmeta_events_place *to, const struct fsmeta_events_place *place)
{
	to->folders += place->folders;
	to->came += place->came;
	to->is_needed |= place->is_needed;
}

int fsmeta_events_touch(struct fsmeta_archive_events *events, const struct fsmeta_change *change)
{
	const struct fsmeta_entry *entry = fsmeta_change_entry(change);
	struct fsmeta_events_item item;
	size_t count;
	struct fsmeta_events_place *places = places_of(&events->touched, &count);
	struct fsmeta_events_place place = {.folders = 1};

	if (!fsmeta_events_recognise(&item, entry))
		return 0;
	place.path = fsmeta_events_folder_of(entry);
	place.came =
	    fsmeta_events_has_times(item.name.layout) && change->kind == FSMETA_CHANGE_ADDED;
	/* Recordings are in order only among those beside them. */
	place.is_needed =
	    item.name.layout == FSMETA_LAYOUT_RECORDING && change->kind == FSMETA_CHANGE_REMOVED;
	if (count && fsmeta_events_compare_paths(&places[count - 1], &place) == 0) {
		place.folders = 0;
		add_up_place(&places[count - 1], &place);
		return 0;
	}
	place.path.bytes = fsmeta_arena_copy(&events->arena, place.path.bytes, place.path.length);
	return place.path.bytes ? fsmeta_buffer_append(&events->touched, &place, sizeof(place))
				: FSMETA_E_MEMORY;
}

/** Sorts places, and adds up those of one path. */
static void sort_places(struct fsmeta_buffer *buffer)
{
	size_t count, kept = 0;
	struct fsmeta_events_place *places = places_of(buffer, &count);

	if (!count)
		return;
	qsort(places, count, sizeof(*places), fsmeta_events_compare_paths);
	for (size_t i = 0; i < count; i++) {
		if (kept && fsmeta_events_compare_paths(&places[kept - 1], &places[i]) == 0)
			add_up_place(&places[kept - 1], &places[i]);
		else
			places[kept++] = places[i];
	}
	buffer->length = kept * sizeof(*places);
}

/** Folders of which all streams are read: where recorders were at work, or order matters. */
static int find_parents(struct fsmeta_archive_events *events)
{
	size_t count, kept = 0;
	const struct fsmeta_events_place *touched = places_of(&events->touched, &count);
	struct fsmeta_events_place *parents;
	int code = 0;

	for (size_t i = 0; i < count && !code; i++) {
		struct fsmeta_events_place parent = touched[i];

		parent.path = fsmeta_events_parent_of(parent.path.bytes, parent.path.length);
		code = fsmeta_buffer_append(&events->parents, &parent, sizeof(parent));
	}
	sort_places(&events->parents);
	parents = places_of(&events->parents, &count);
	for (size_t i = 0; i < count; i++)
		if (parents[i].is_needed ||
		    (parents[i].came && parents[i].came >= AT_WORK * parents[i].folders))
			parents[kept++] = parents[i];
	events->parents.length = kept * sizeof(*parents);
	return code;
}

int fsmeta_events_settle_places(struct fsmeta_archive_events *events)
{
	sort_places(&events->touched);
	return find_parents(events);
}

/** Index of the first path that is not in front of `path`. */
static size_t find_path(
    const struct fsmeta_events_place *items, size_t count, struct fsmeta_events_path path)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (fsmeta_events_compare_paths(&items[middle], &path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool fsmeta_events_reads_all_in(
    const struct fsmeta_archive_events *events, struct fsmeta_events_path folder)
{
	size_t count, at;
	const struct fsmeta_events_place *parents = places_of(&events->parents, &count);

	at = find_path(parents, count, folder);
	return at < count && fsmeta_events_compare_paths(&parents[at], &folder) == 0;
}

bool fsmeta_events_enters(
    const struct fsmeta_archive_events *events, const struct fsmeta_entry *entry)
{
	struct fsmeta_events_path folder = {entry->path, entry->path_length};
	size_t count, at;
	const struct fsmeta_events_place *touched = places_of(&events->touched, &count);

	at = find_path(touched, count, folder);
	if (at < count && fsmeta_path_is_within(touched[at].path.bytes, touched[at].path.length,
			      folder.bytes, folder.length))
		return true;
	return fsmeta_events_reads_all_in(
	    events, fsmeta_events_parent_of(entry->path, entry->path_length));
}

/** Whether this folder or one around it is read itself, or all streams in it are. */
static bool is_read_around(
    const struct fsmeta_archive_events *events, struct fsmeta_events_path folder)
{
	size_t count;
	const struct fsmeta_events_place *touched = places_of(&events->touched, &count);

	for (;;) {
		size_t at = find_path(touched, count, folder);

		if (at < count && fsmeta_events_compare_paths(&touched[at], &folder) == 0)
			return true;
		if (events->parents.length && fsmeta_events_reads_all_in(events, folder))
			return true;
		if (!folder.length)
			return false;
		folder = fsmeta_events_parent_of(folder.bytes, folder.length);
	}
}

enum fsmeta_events_distance fsmeta_events_next_place(struct fsmeta_events_path *path,
    const struct fsmeta_archive_events *events, const struct fsmeta_entry *entry,
    struct fsmeta_events_path around)
{
	struct fsmeta_events_path here = {entry->path, entry->path_length};
	size_t touched_count, parent_count;
	const struct fsmeta_events_place *touched = places_of(&events->touched, &touched_count);
	const struct fsmeta_events_place *parents = places_of(&events->parents, &parent_count);
	size_t next_touched = find_path(touched, touched_count, here);
	size_t next_parent = find_path(parents, parent_count, here);

	/* What is next in it is nowhere written down. */
	if (is_read_around(events, around))
		return FSMETA_EVENTS_NEAR;
	if (next_touched == touched_count)
		return FSMETA_EVENTS_NOTHING;
	*path = touched[next_touched].path;
	if (next_parent < parent_count &&
	    fsmeta_events_compare_paths(&parents[next_parent], path) < 0)
		*path = parents[next_parent].path;
	return FSMETA_EVENTS_FAR;
}
