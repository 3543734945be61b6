/*
 * The queue itself: what is in it, what may be begun, and what follows from what was done.
 * All of this is done under the lock, and none of it waits.  The drawing is on top of
 * scanner/ahead.c.
 */
#include "scanner/ahead_queue.h"

#include <stdlib.h>
#include <unistd.h>

/* ---- the queue ----------------------------------------------------------- */

void fsmeta_ahead_insert(struct fsmeta_ahead_item *place, struct fsmeta_ahead_item *item)
{
	item->previous = place->previous;
	item->next = place;
	item->done_before = place->done_before;
	place->done_before = 0;
	place->previous->next = item;
	place->previous = item;
}

void fsmeta_ahead_take_out(struct fsmeta_ahead_item *item)
{
	item->next->done_before += item->done_before;
	item->previous->next = item->next;
	item->next->previous = item->previous;
	item->next = item->previous = NULL;
}

/** Notes that something waits in front of `item`. */
static void note_done(struct fsmeta_ahead *ahead, struct fsmeta_ahead_item *item, size_t bytes)
{
	item->done_before += bytes;
	ahead->waiting_bytes += bytes;
	if (ahead->most.waiting_bytes < ahead->waiting_bytes)
		ahead->most.waiting_bytes = ahead->waiting_bytes;
}

void fsmeta_ahead_note_taken(struct fsmeta_ahead *ahead, size_t *bytes)
{
	ahead->end.next->done_before -= *bytes;
	ahead->waiting_bytes -= *bytes;
	*bytes = 0;
}

void fsmeta_ahead_count_open(struct fsmeta_ahead *ahead, int change)
{
	ahead->open_count += (uint32_t)change;
	if (ahead->most.descriptors < ahead->open_count)
		ahead->most.descriptors = ahead->open_count;
}

/** True where a task about `item` could be run now by anybody. */
static bool can_begin(const struct fsmeta_ahead *ahead, const struct fsmeta_ahead_item *item)
{
	const struct fsmeta_ahead_folder *folder = item->folder;

	if (folder->state == FSMETA_AHEAD_DONE)
		return folder->fd >= 0;
	return folder->parent && folder->parent->fd >= 0 && ahead->open_count < ahead->open_limit;
}

struct fsmeta_ahead_item *fsmeta_ahead_find_work(const struct fsmeta_ahead *ahead, size_t quarters)
{
	size_t distance = 0;

	if (ahead->waiting_bytes >= FSMETA_AHEAD_TOTAL_BYTES / 4 * quarters)
		return NULL;
	for (struct fsmeta_ahead_item *item = ahead->end.next; item != &ahead->end;
	     item = item->next) {
		distance += item->done_before;
		if (distance >= FSMETA_AHEAD_DISTANCE_BYTES / 4 * quarters)
			return NULL;
		if (!item->running && !item->folder->suspended)
			return can_begin(ahead, item) ? item : NULL;
	}
	return NULL;
}

void fsmeta_ahead_call_for_work(struct fsmeta_ahead *ahead)
{
	if (ahead->idle > ahead->called && fsmeta_ahead_find_work(ahead, 3)) {
		ahead->called++;
		pthread_cond_signal(&ahead->work);
	}
}

/* ---- descriptors ------------------------------------------------------------ */

bool fsmeta_ahead_needs_descriptor(const struct fsmeta_ahead_folder *folder)
{
	return !folder->lost && (folder->next_first < folder->listing.count ||
				    folder->unopened > 0 || folder->keeps_descriptor);
}

void fsmeta_ahead_close_if_done(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder)
{
	if (folder->fd < 0 || !folder->parent || folder->users > 0 ||
	    fsmeta_ahead_needs_descriptor(folder) || (folder->on_path && ahead->evicted_count > 0))
		return;
	close(folder->fd);
	folder->fd = -1;
	fsmeta_ahead_count_open(ahead, -1);
}

/* ---- tasks are begun … -------------------------------------------------------- */

struct fsmeta_ahead_piece *fsmeta_ahead_new_piece(struct fsmeta_ahead_folder *folder)
{
	struct fsmeta_ahead_piece *piece = calloc(1, sizeof(*piece));

	if (piece)
		piece->item = (struct fsmeta_ahead_item){.folder = folder, .piece = piece};
	return piece;
}

static void append_piece(struct fsmeta_ahead_folder *folder, struct fsmeta_ahead_piece *piece)
{
	if (folder->last)
		folder->last->next = piece;
	else
		folder->first = piece;
	folder->last = piece;
}

/** Cuts the next piece off the rest of a folder. */
static int begin_piece(struct fsmeta_ahead_task *task, struct fsmeta_ahead_folder *folder)
{
	struct fsmeta_ahead_piece *piece = fsmeta_ahead_new_piece(folder);
	size_t left = folder->listing.count - folder->next_first;

	if (!piece)
		return FSMETA_E_MEMORY;
	piece->chunk.first = folder->next_first;
	piece->state = FSMETA_AHEAD_RUNNING;
	piece->item.running = true;
	append_piece(folder, piece);
	fsmeta_ahead_insert(&folder->item, &piece->item);
	if (left <= FSMETA_FOLDER_CHUNK_RECORDS)
		fsmeta_ahead_take_out(&folder->item);
	folder->next_first +=
	    left < FSMETA_FOLDER_CHUNK_RECORDS ? left : FSMETA_FOLDER_CHUNK_RECORDS;
	folder->users++;
	*task = (struct fsmeta_ahead_task){folder, piece};
	return 0;
}

void fsmeta_ahead_begin_folder(
    struct fsmeta_ahead *ahead, struct fsmeta_ahead_task *task, struct fsmeta_ahead_folder *folder)
{
	folder->state = FSMETA_AHEAD_RUNNING;
	folder->item.running = true;
	if (folder->parent)
		folder->parent->users++;
	if (folder->fd < 0)
		fsmeta_ahead_count_open(ahead, +1);
	*task = (struct fsmeta_ahead_task){folder, NULL};
}

int fsmeta_ahead_begin(
    struct fsmeta_ahead *ahead, struct fsmeta_ahead_task *task, struct fsmeta_ahead_folder *folder)
{
	if (folder->state == FSMETA_AHEAD_DONE) {
		int code = begin_piece(task, folder);

		if (code != 0)
			return code;
	} else {
		fsmeta_ahead_begin_folder(ahead, task, folder);
	}
	ahead->running++;
	return 0;
}

/* ---- … and published ---------------------------------------------------------- */

static size_t piece_cost(const struct fsmeta_ahead_piece *piece)
{
	return sizeof(*piece) + piece->chunk.capacity * sizeof(*piece->chunk.records) +
	       piece->chunk.targets.capacity + piece->chunk.folders * sizeof(*piece->folders);
}

/** Puts what follows from a piece that is read in front of `place`. */
static void publish_content(
    struct fsmeta_ahead *ahead, struct fsmeta_ahead_piece *piece, struct fsmeta_ahead_item *place)
{
	piece->state = FSMETA_AHEAD_DONE;
	piece->cost = piece_cost(piece);
	note_done(ahead, place, piece->cost);
	if (piece->code != 0 || piece->item.folder->abandoned)
		return;
	for (uint32_t i = 0; i < piece->chunk.folders; i++)
		fsmeta_ahead_insert(place, &piece->folders[i].item);
	piece->item.folder->unopened += piece->chunk.folders;
}

void fsmeta_ahead_publish_piece(
    struct fsmeta_ahead *ahead, struct fsmeta_ahead_piece *piece, int code)
{
	struct fsmeta_ahead_folder *folder = piece->item.folder;

	piece->code = code;
	folder->users--;
	publish_content(ahead, piece, &piece->item);
	fsmeta_ahead_take_out(&piece->item);
	fsmeta_ahead_close_if_done(ahead, folder);
	if (folder->abandoned)
		ahead->abandoned--;
}

/** A folder that could not be opened, or not be listed to its end, is to be begun again. */
static void publish_again(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder, int code)
{
	folder->state = FSMETA_AHEAD_WAITING;
	folder->suspended = code == FSMETA_AHEAD_SUSPENDED;
	if (code == FSMETA_AHEAD_SUSPENDED) {
		ahead->most.suspended++;
		return;
	}
	fsmeta_ahead_count_open(ahead, -1);
	/* Others in this process need descriptors too. */
	if (ahead->open_limit > ahead->open_count)
		ahead->open_limit = ahead->open_count;
	if (ahead->open_limit > 0)
		ahead->open_limit--;
}

/** Counts a listing by its size as it is kept. */
static void publish_listing(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder)
{
	size_t bytes = fsmeta_folder_held_bytes(&folder->listing);

	folder->state = FSMETA_AHEAD_DONE;
	folder->suspended = false;
	if (folder->large_cost) {
		ahead->listing_bytes += bytes - folder->large_cost;
		folder->large_cost = bytes;
	} else {
		folder->cost = bytes;
		note_done(ahead, &folder->item, bytes);
	}
	if (folder->parent && !folder->parent->abandoned)
		folder->parent->unopened--;
}

void fsmeta_ahead_publish_folder(
    struct fsmeta_ahead *ahead, const struct fsmeta_ahead_task *task, int code)
{
	struct fsmeta_ahead_folder *folder = task->folder;

	folder->item.running = false;
	if (folder->parent)
		folder->parent->users--;
	if (folder->abandoned)
		ahead->abandoned--;
	if (code > 0 && !folder->abandoned) {
		publish_again(ahead, folder, code);
		return;
	}
	folder->code = code < 0 ? code : 0;
	if (folder->fd < 0)
		fsmeta_ahead_count_open(ahead, -1);
	publish_listing(ahead, folder);
	if (task->piece) {
		folder->next_first = folder->listing.count;
		append_piece(folder, task->piece);
		publish_content(ahead, task->piece, &folder->item);
	}
	if (folder->next_first >= folder->listing.count || folder->abandoned || code < 0)
		fsmeta_ahead_take_out(&folder->item);
	fsmeta_ahead_close_if_done(ahead, folder);
	if (folder->parent)
		fsmeta_ahead_close_if_done(ahead, folder->parent);
}
