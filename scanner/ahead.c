/*
 * The queue.
 *
 * What is known of the tree, while the walker stands at x in folder b of the root:
 *
 *   /  ─ a            taken and left
 *      ─ b ── w       taken and left             b, / : on the path
 *          ── x
 *          ── y       done: waits for the walker
 *          ── z ── …  done, and being read below
 *      ─ c
 *      ─ …            1.7 million names that nobody has looked at yet
 *
 * The queue holds what is to be done and what is being done, in canonical order, and
 * nothing else; what is done waits in the tree itself, where the walker finds it.
 * Between two items it is only noted how many bytes wait there:
 *
 *    walker             DISTANCE
 *      │<───────────────────────────────────────>│
 *      ▼
 *    ──┬──[ z/q ]─────────[ z/s ]──┬──[ z: rest ]─┬──[ c ]──┬──[ /: rest ]──  end
 *      │   running         waiting │    waiting   │ waiting │    waiting
 *    12 KB               0        90 KB           0         0
 *
 * Three kinds of items: a folder to be opened and listed; the rest of a listed folder,
 * which is the names that are in no piece yet; and a piece of 256 records, while it is
 * being read.  Each turns into what it leads to, in its own place: a folder into its rest
 * (or, if it is small, at once into its first piece, in the same go); a rest puts
 * pieces in front of itself; a piece becomes the folders that were found in it.  So
 * the order needs no comparing of paths, and a thread finds what is needed soonest by
 * going from the front over what is being done by others: as many steps as there are
 * threads.  A huge folder is shared piece by piece like anything else.
 *
 * The walker takes results in order, and works like everybody else where there is
 * nothing to take: it begins what it needs if nobody has, and while somebody else is at it,
 * it does whatever is next.  One thread is therefore the same program without threads.
 *
 * Memory.  Nothing is begun when DISTANCE bytes lie between the walker and the item,
 * or when TOTAL bytes wait in all; what the walker itself needs is always begun.  The
 * two differ when something near was slow and others went far ahead meanwhile: what
 * then comes to light near the walker must not find the whole budget spent far away,
 * or the walker would be left alone with it.  As the walker eats from the front, and
 * what it eats always lies before the first item, the bookkeeping is one number
 * an item.  A listing that gets large while the walker is elsewhere is counted apart, and
 * suspended when all of those are too large together: the descriptor remembers where
 * it was, and the walker goes on with it when it comes.
 *
 * Sleeping.  A thread that finds nothing it may begin sleeps until something was
 * published or eaten that lets it; as to bytes, until a quarter of the bound is free, so
 * that a slow walker does not wake threads for every folder.  Threads are started one by
 * one, when there is something that nobody is at: small trees are over before.
 *
 * Guided folders.  A quick scan has a guide that knows the tree of an earlier one
 * (docs/quick-scans.md).  It goes down with the queue: whoever reads a piece asks it for the
 * folders found there, and whoever opens one of them compares inode and times.  If they
 * are as known, and the guide vouches for the files, the listing is made from the sub-folders
 * that the guide names, and the disk is not asked for names at all.  What follows is
 * as ever, from reading records to reading ahead below.  Where the walker finds
 * that somebody wants the files all the same, it leaves the folder and has it listed again.
 *
 * Leaving.  The walker leaves a folder with all below.  What waits is taken out of the
 * queue; what is being read is told to stop and waited for, because names and
 * descriptors above it are in use; then everything is freed.  Closing is leaving the
 * root.  A thread that hangs in the kernel on a dead disk cannot be told anything.
 */
#include "scanner/ahead.h"

#include "base/path.h"
#include "scanner/keep.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	/** Listings from here on count as large. */
	LARGE_BYTES = 256 << 10,
	/** What becomes of a task, beside 0 and codes. */
	RUN_LACKS_DESCRIPTOR = 1,
	RUN_SUSPENDED = 2,
	/** How often a waiting walker looks whether it is to stop. */
	STOP_POLL_NS = 50 * 1000 * 1000,
};

/** What a thread has for itself. */
struct thread {
	struct fsmeta_ahead *ahead;
	struct fsmeta_folder_reader reader;
	/** Reused for listing. */
	struct fsmeta_folder scratch;
	/** A path for the scope to judge. */
	struct fsmeta_buffer path;
	/** What it is reading. */
	struct fsmeta_ahead_folder *folder;
	pthread_t id;
};

struct fsmeta_ahead {
	struct fsmeta_ahead_options options;
	/** A copy: threads begin long after whoever opened the scan forgot its options. */
	struct fsmeta_scan_options scan;
	const volatile sig_atomic_t *stop;
	struct thread walker;
	/** Room for options.threads - 1. */
	struct thread *threads;
	/** Tasks that the walker has begun. */
	uint64_t walker_tasks;

	pthread_mutex_t lock;
	/** Something may be begun. */
	pthread_cond_t work;
	/** Something was published, for the walker. */
	pthread_cond_t done;

	/* All that follows is under the lock. */
	/** The end of the queue, and the ring's link to its beginning. */
	struct fsmeta_ahead_item end;
	unsigned thread_count;
	/** When the next thread may be started, CLOCK_MONOTONIC in ns. */
	int64_t next_start_ns;
	unsigned idle;
	bool walker_waits;
	bool quit;
	/** Tasks that are being run, and those among them that nobody wants. */
	uint32_t running;
	uint32_t abandoned;
	size_t waiting_bytes;
	size_t listing_bytes;
	/** Open, or about to be opened. */
	uint32_t open_count;
	/** Nothing ahead is opened beyond this. */
	uint32_t open_limit;
	uint32_t evicted_count;
	struct fsmeta_scan_measures most;

	struct fsmeta_ahead_folder root;
};

static void lock(struct fsmeta_ahead *ahead)
{
	pthread_mutex_lock(&ahead->lock);
}

static void unlock(struct fsmeta_ahead *ahead)
{
	pthread_mutex_unlock(&ahead->lock);
}

/* ---- the queue ----------------------------------------------------------- */

/** Puts `item` in front of `place`; what waits there waits in front of the item. */
static void insert_before(struct fsmeta_ahead_item *place, struct fsmeta_ahead_item *item)
{
	item->previous = place->previous;
	item->next = place;
	item->done_before = place->done_before;
	place->done_before = 0;
	place->previous->next = item;
	place->previous = item;
}

static void take_out(struct fsmeta_ahead_item *item)
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

/** The walker has taken, or left, what was noted with `bytes`. */
static void note_taken(struct fsmeta_ahead *ahead, size_t *bytes)
{
	ahead->end.next->done_before -= *bytes;
	ahead->waiting_bytes -= *bytes;
	*bytes = 0;
}

static void count_open(struct fsmeta_ahead *ahead, int change)
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

/**
 * The first item that may be begun, or NULL.  `quarters` of the bounds count.  The
 * first one that cannot be begun ends the search: what is behind is needed later still.
 */
static struct fsmeta_ahead_item *find_work(const struct fsmeta_ahead *ahead, size_t quarters)
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

/** Wakes a thread if there is one and something for it to do. */
static void call_for_work(struct fsmeta_ahead *ahead)
{
	if (ahead->idle > 0 && find_work(ahead, 3))
		pthread_cond_signal(&ahead->work);
}

/* ---- descriptors ------------------------------------------------------------ */

/** True while something is left to be read through the folder's descriptor. */
static bool needs_descriptor(const struct fsmeta_ahead_folder *folder)
{
	return !folder->lost && (folder->next_first < folder->listing.count ||
				    folder->unopened > 0 || folder->keeps_descriptor);
}

/** Closes the descriptor of a listed folder if neither it nor the way back needs it. */
static void close_if_done(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder)
{
	if (folder->fd < 0 || !folder->parent || folder->users > 0 || needs_descriptor(folder) ||
	    (folder->on_path && ahead->evicted_count > 0))
		return;
	close(folder->fd);
	folder->fd = -1;
	count_open(ahead, -1);
}

/* ---- tasks: begun under the lock … ------------------------------------------- */

struct task {
	struct fsmeta_ahead_folder *folder;
	/** NULL where the folder is to be opened and listed. */
	struct fsmeta_ahead_piece *piece;
};

static struct fsmeta_ahead_piece *new_piece(struct fsmeta_ahead_folder *folder)
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
static int begin_piece(struct task *task, struct fsmeta_ahead_folder *folder)
{
	struct fsmeta_ahead_piece *piece = new_piece(folder);
	size_t left = folder->listing.count - folder->next_first;

	if (!piece)
		return FSMETA_E_MEMORY;
	piece->chunk.first = folder->next_first;
	piece->state = FSMETA_AHEAD_RUNNING;
	piece->item.running = true;
	append_piece(folder, piece);
	insert_before(&folder->item, &piece->item);
	if (left <= FSMETA_FOLDER_CHUNK_RECORDS)
		take_out(&folder->item);
	folder->next_first +=
	    left < FSMETA_FOLDER_CHUNK_RECORDS ? left : FSMETA_FOLDER_CHUNK_RECORDS;
	folder->users++;
	*task = (struct task){folder, piece};
	return 0;
}

static void begin_folder(
    struct fsmeta_ahead *ahead, struct task *task, struct fsmeta_ahead_folder *folder)
{
	folder->state = FSMETA_AHEAD_RUNNING;
	folder->item.running = true;
	if (folder->parent)
		folder->parent->users++;
	if (folder->fd < 0)
		count_open(ahead, +1);
	*task = (struct task){folder, NULL};
}

static int begin(struct fsmeta_ahead *ahead, struct task *task, struct fsmeta_ahead_folder *folder)
{
	if (folder->state == FSMETA_AHEAD_DONE) {
		int code = begin_piece(task, folder);

		if (code != 0)
			return code;
	} else {
		begin_folder(ahead, task, folder);
	}
	ahead->running++;
	return 0;
}

/* ---- … run without it … -------------------------------------------------------- */

/** Decides what becomes of a listing that gets large; see the top. */
static enum fsmeta_folder_pace pace(void *payload, const struct fsmeta_folder *listing)
{
	struct thread *thread = payload;
	struct fsmeta_ahead *ahead = thread->ahead;
	struct fsmeta_ahead_folder *folder = thread->folder;
	size_t bytes;
	bool is_too_large;

	if (__atomic_load_n(&folder->abandoned, __ATOMIC_RELAXED))
		return FSMETA_FOLDER_STOP;
	if (!listing || __atomic_load_n(&folder->wanted, __ATOMIC_RELAXED))
		return FSMETA_FOLDER_GO_ON;
	bytes = listing->count * sizeof(*listing->sorted) + listing->names.length;
	if (bytes < LARGE_BYTES)
		return FSMETA_FOLDER_GO_ON;
	lock(ahead);
	ahead->listing_bytes += bytes - folder->large_cost;
	folder->large_cost = bytes;
	if (ahead->most.listing_bytes < ahead->listing_bytes)
		ahead->most.listing_bytes = ahead->listing_bytes;
	is_too_large = ahead->listing_bytes > FSMETA_AHEAD_LISTINGS_BYTES;
	unlock(ahead);
	return is_too_large ? FSMETA_FOLDER_SUSPEND : FSMETA_FOLDER_GO_ON;
}

/** True where the walk may not go from `parent` into this folder. */
static bool is_elsewhere(const struct fsmeta_ahead *ahead, const struct fsmeta_ahead_folder *parent,
    const struct fsmeta_folder_record *record)
{
	return !ahead->options.cross_filesystems &&
	       (record->device != parent->record->device || record->automount);
}

/** Opens a folder; its descriptor stays -1 where it is not to be listed. */
static int open_folder(struct thread *thread, struct fsmeta_ahead_folder *folder)
{
	struct fsmeta_ahead_folder *parent = folder->parent;
	const struct fsmeta_folder_record *record = folder->record;
	int fd = -1, failure = 0;

	if (record->error || parent->lost) {
		failure = record->error ? record->error : parent->lost;
	} else if (is_elsewhere(thread->ahead, parent, record)) {
		folder->flags |= FSMETA_FLAG_OTHER_FILESYSTEM;
	} else if (folder->depth >= FSMETA_DEPTH_MAX) {
		failure = ENAMETOOLONG;
	} else {
		fd = fsmeta_folder_open(&thread->reader, parent->fd, folder->name, record->uid);
		if (fd < 0 && (errno == EMFILE || errno == ENFILE))
			return RUN_LACKS_DESCRIPTOR;
		failure = fd < 0 ? errno : fsmeta_folder_identify(&folder->opened, fd, "");
		if (!failure) {
			/* The walker may be reading the piece that has the other one. */
			folder->record = record = &folder->opened;
			if (is_elsewhere(thread->ahead, parent, record))
				folder->flags |= FSMETA_FLAG_OTHER_FILESYSTEM;
		}
	}
	if (failure) {
		folder->flags |= FSMETA_FLAG_UNREADABLE;
		folder->error = failure;
	}
	if (fd >= 0 && folder->flags) {
		close(fd);
		fd = -1;
	}
	folder->fd = fd;
	folder->keeps_descriptor = fd >= 0 && (record->device != parent->record->device ||
						  record->mount_id != parent->record->mount_id);
	return 0;
}

/** Puts the path of `folder` into thread->path.  0 or FSMETA_E_MEMORY. */
static int build_path(struct thread *thread, const struct fsmeta_ahead_folder *folder)
{
	size_t at = folder->path_length;

	fsmeta_buffer_clear(&thread->path);
	if (fsmeta_buffer_reserve(&thread->path, at + 1))
		return FSMETA_E_MEMORY;
	thread->path.length = at;
	for (; folder->parent; folder = folder->parent) {
		size_t start = folder->parent->path_length + (folder->parent->path_length > 0);

		memcpy(thread->path.data + start, folder->name, at - start);
		if (start > 0)
			thread->path.data[start - 1] = '/';
		at = folder->parent->path_length;
	}
	return 0;
}

/** Takes out of a listing what the scan does not look at.  0 or FSMETA_E_MEMORY. */
static int keep_scope(
    struct thread *thread, const struct fsmeta_ahead_folder *folder, struct fsmeta_folder *listing)
{
	const struct fsmeta_scope *scope = thread->ahead->options.scope;

	if (!scope->count && !scope->excludes.count)
		return 0;
	if (build_path(thread, folder))
		return FSMETA_E_MEMORY;
	if (!fsmeta_keep_is_needed(scope, (const char *)thread->path.data, thread->path.length))
		return 0;
	return fsmeta_keep_names(scope, &thread->path, listing);
}

/** The longest name that may follow the folder's path. */
static size_t name_limit(const struct fsmeta_ahead_folder *folder)
{
	size_t start = folder->path_length + (folder->path_length > 0);

	return start < FSMETA_PATH_MAX_BYTES ? FSMETA_PATH_MAX_BYTES - start : 0;
}

static bool has_time(struct fsmeta_time time, int64_t seconds, uint32_t nanoseconds)
{
	return time.seconds == seconds && time.nanoseconds == nanoseconds;
}

/** True where the guide vouches for the files of an opened folder, and it is what it was. */
static bool is_as_known(struct thread *thread, const struct fsmeta_ahead_folder *folder)
{
	const struct fsmeta_ahead *ahead = thread->ahead;
	const struct fsmeta_guide_folder *known = &folder->known;
	const struct fsmeta_folder_record *record = folder->record;

	if (!known->files_known || record->device != ahead->root.record->device ||
	    (known->device != FSMETA_DEVICE_NONE && known->device != ahead->options.guide_device))
		return false;
	if (known->fields & FSMETA_FIELD_INODE && known->inode != record->inode)
		return false;
	return has_time(known->mtime, record->mtime_seconds, record->mtime_nanoseconds) &&
	       has_time(known->ctime, record->ctime_seconds, record->ctime_nanoseconds) &&
	       !fsmeta_folder_hides(&thread->reader, record);
}

/** A listing that is made from what the guide says. */
struct guided_listing {
	struct fsmeta_folder *listing;
	size_t name_limit;
};

static int add_known_name(void *payload, const struct fsmeta_guide_folder *known)
{
	struct guided_listing *guided = payload;

	if (known->name_length > guided->name_limit)
		return FSMETA_E_LIMIT;
	return fsmeta_folder_add(guided->listing, known->name, known->name_length);
}

/** Lists the sub-folders that the guide knows.  False where it cannot tell them. */
static bool list_known(struct thread *thread, struct fsmeta_ahead_folder *folder)
{
	struct guided_listing guided = {&thread->scratch, name_limit(folder)};

	if (!is_as_known(thread, folder))
		return false;
	fsmeta_folder_clear(&thread->scratch);
	folder->is_guided = fsmeta_guide_folders(thread->ahead->options.guide, folder->known.id,
				NULL, 0, NULL, 0, add_known_name, &guided, NULL) == 0;
	return folder->is_guided;
}

static int list_folder(struct thread *thread, struct fsmeta_ahead_folder *folder)
{
	bool is_resumed = folder->listing.suspended;
	struct fsmeta_folder *listing = is_resumed ? &folder->listing : &thread->scratch;
	int code = 0;

	if (is_resumed || !list_known(thread, folder))
		code = fsmeta_folder_list(
		    listing, &thread->reader, folder->fd, folder->record, name_limit(folder), NULL);
	if (code < 0)
		return code;
	if (code == 0 && keep_scope(thread, folder, listing))
		return FSMETA_E_MEMORY;
	if (!is_resumed && fsmeta_folder_move(&folder->listing, listing))
		return FSMETA_E_MEMORY;
	if (code > 0)
		return RUN_SUSPENDED;
	if (folder->listing.error) {
		folder->flags |= FSMETA_FLAG_UNREADABLE;
		folder->error = folder->listing.error;
	}
	if (folder->listing.changed)
		folder->flags |= FSMETA_FLAG_CHANGED_WHILE_READ;
	return 0;
}

/** Folders of a piece, in order, that have not been compared with what the guide knows. */
struct guided_folders {
	struct fsmeta_ahead_folder *next;
	struct fsmeta_ahead_folder *end;
};

/** Gives `known` to the folder of its name, if that was found. */
static int note_known(void *payload, const struct fsmeta_guide_folder *known)
{
	struct guided_folders *found = payload;

	for (; found->next < found->end; found->next++) {
		const char *name = found->next->name;
		int order =
		    fsmeta_name_compare(name, strlen(name), known->name, known->name_length);

		if (order > 0)
			break;
		if (order == 0) {
			found->next->known = *known;
			found->next->known.name = NULL;
		}
	}
	return 0;
}

/** Asks the guide about the folders of a piece; what it cannot tell is not known. */
static void ask_guide(struct fsmeta_guide *guide, const struct fsmeta_ahead_folder *folder,
    struct fsmeta_ahead_piece *piece)
{
	struct guided_folders found = {piece->folders, piece->folders + piece->chunk.folders};
	const char *first, *last;

	if (!folder->known.id)
		return;
	first = found.next->name;
	last = found.end[-1].name;
	(void)fsmeta_guide_folders(guide, folder->known.id, first, strlen(first), last,
	    strlen(last), note_known, &found, NULL);
}

/** Makes the folders of a piece known.  0 or FSMETA_E_MEMORY. */
static int find_folders(
    struct thread *thread, struct fsmeta_ahead_folder *folder, struct fsmeta_ahead_piece *piece)
{
	struct fsmeta_ahead_folder *found;

	if (!piece->chunk.folders)
		return 0;
	piece->folders = found = calloc(piece->chunk.folders, sizeof(*found));
	if (!found)
		return FSMETA_E_MEMORY;
	for (uint32_t i = 0; i < piece->chunk.count; i++) {
		const struct fsmeta_folder_record *record = &piece->chunk.records[i];
		size_t length;

		if (record->type != FSMETA_TYPE_FOLDER || record->gone)
			continue;
		found->parent = folder;
		found->name = fsmeta_folder_name(&folder->listing, piece->chunk.first + i, &length);
		found->path_length = folder->path_length + (folder->path_length > 0) + length;
		found->depth = folder->depth + 1;
		found->record = record;
		found->item.folder = found;
		found->fd = -1;
		found++;
	}
	ask_guide(thread->ahead->options.guide, folder, piece);
	return 0;
}

static int read_piece(
    struct thread *thread, struct fsmeta_ahead_folder *folder, struct fsmeta_ahead_piece *piece)
{
	const struct fsmeta_scope *scope = thread->ahead->options.scope;
	int code = fsmeta_folder_read(&piece->chunk, &thread->reader, &folder->listing, folder->fd,
	    folder->lost, piece->chunk.first, NULL);

	if (code == 0 && scope->excludes.count) {
		code = build_path(thread, folder);
		if (code == 0)
			code = fsmeta_keep_records(
			    scope, &thread->path, &folder->listing, &piece->chunk);
	}
	return code ? code : find_folders(thread, folder, piece);
}

/** True where nothing in a folder is left to be read or opened, `piece` being its only one. */
static bool is_read(
    const struct fsmeta_ahead_folder *folder, const struct fsmeta_ahead_piece *piece)
{
	return folder->parent && !folder->keeps_descriptor &&
	       (piece ? !piece->chunk.folders : !folder->listing.count);
}

/** Opens and lists; reads the only piece too where there is one.  A code or RUN_. */
static int run_folder(struct thread *thread, struct task *task)
{
	struct fsmeta_ahead_folder *folder = task->folder;
	int code = folder->fd < 0 ? open_folder(thread, folder) : 0;

	if (code != 0 || folder->fd < 0)
		return code;
	code = list_folder(thread, folder);
	if (code == 0 && folder->listing.count > 0 &&
	    folder->listing.count <= FSMETA_FOLDER_CHUNK_RECORDS) {
		task->piece = new_piece(folder);
		code = task->piece ? read_piece(thread, folder, task->piece) : FSMETA_E_MEMORY;
	}
	if (code == 0 && is_read(folder, task->piece)) {
		close(folder->fd);
		folder->fd = -1;
	}
	return code;
}

/* ---- … and published under it again -------------------------------------------- */

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
		insert_before(place, &piece->folders[i].item);
	piece->item.folder->unopened += piece->chunk.folders;
}

static void publish_piece(struct fsmeta_ahead *ahead, struct fsmeta_ahead_piece *piece, int code)
{
	struct fsmeta_ahead_folder *folder = piece->item.folder;

	piece->code = code;
	folder->users--;
	publish_content(ahead, piece, &piece->item);
	take_out(&piece->item);
	close_if_done(ahead, folder);
	if (folder->abandoned)
		ahead->abandoned--;
}

/** A folder that could not be opened, or not be listed to its end, is to be begun again. */
static void publish_again(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder, int code)
{
	folder->state = FSMETA_AHEAD_WAITING;
	folder->suspended = code == RUN_SUSPENDED;
	if (code == RUN_SUSPENDED) {
		ahead->most.suspended++;
		return;
	}
	count_open(ahead, -1);
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

static void publish_folder(struct fsmeta_ahead *ahead, const struct task *task, int code)
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
		count_open(ahead, -1);
	publish_listing(ahead, folder);
	if (task->piece) {
		folder->next_first = folder->listing.count;
		append_piece(folder, task->piece);
		publish_content(ahead, task->piece, &folder->item);
	}
	if (folder->next_first >= folder->listing.count || folder->abandoned || code < 0)
		take_out(&folder->item);
	close_if_done(ahead, folder);
	if (folder->parent)
		close_if_done(ahead, folder->parent);
}

/** Runs what was begun.  The lock is held, but not meanwhile.  RUN_LACKS_DESCRIPTOR or 0. */
static int run(struct thread *thread, struct task *task)
{
	struct fsmeta_ahead *ahead = thread->ahead;
	struct fsmeta_ahead_piece *piece = task->piece;
	int code;

	unlock(ahead);
	thread->folder = task->folder;
	code = piece ? read_piece(thread, task->folder, piece) : run_folder(thread, task);
	lock(ahead);
	ahead->running--;
	if (piece)
		publish_piece(ahead, piece, code);
	else
		publish_folder(ahead, task, code);
	call_for_work(ahead);
	if (ahead->walker_waits)
		pthread_cond_signal(&ahead->done);
	return code == RUN_LACKS_DESCRIPTOR ? code : 0;
}

/* ---- threads ---------------------------------------------------------------- */

static int thread_init(struct thread *thread, struct fsmeta_ahead *ahead)
{
	*thread = (struct thread){.ahead = ahead};
	if (fsmeta_folder_reader_init(
		&thread->reader, ahead->options.field_mask, ahead->options.scan))
		return FSMETA_E_MEMORY;
	/* It may be written by the walker's thread without a lock: the walker looks. */
	thread->reader.stop = NULL;
	thread->reader.pace = pace;
	thread->reader.payload = thread;
	return 0;
}

static void thread_release(struct thread *thread)
{
	fsmeta_folder_reader_release(&thread->reader);
	fsmeta_folder_release(&thread->scratch);
	fsmeta_buffer_release(&thread->path);
}

static void *work(void *payload);

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/** True where one more thread may be started, with what is there to be done aside. */
static bool may_start(const struct fsmeta_ahead *ahead)
{
	return ahead->thread_count + 1 < ahead->options.threads && ahead->idle == 0 &&
	       !ahead->quit && ahead->walker_tasks > ahead->options.tasks_alone &&
	       (!ahead->options.pause_ns || now_ns() >= ahead->next_start_ns);
}

/** Starts a thread where there is something that nobody is at. */
static void ask_for_help(struct fsmeta_ahead *ahead)
{
	struct thread *thread = &ahead->threads[ahead->thread_count];
	sigset_t all, before;

	if (!may_start(ahead) || !find_work(ahead, 3))
		return;
	ahead->next_start_ns = now_ns() + ahead->options.pause_ns;
	if (thread_init(thread, ahead)) {
		ahead->options.threads = ahead->thread_count + 1;
		return;
	}
	/* Signals are for the thread that the program listens with. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&thread->id, NULL, work, thread) == 0) {
		ahead->thread_count++;
	} else {
		ahead->options.threads = ahead->thread_count + 1;
		thread_release(thread);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void *work(void *payload)
{
	struct thread *thread = payload;
	struct fsmeta_ahead *ahead = thread->ahead;

	lock(ahead);
	while (!ahead->quit) {
		struct fsmeta_ahead_item *item = find_work(ahead, 4);
		struct task task;

		if (item && begin(ahead, &task, item->folder) == 0) {
			call_for_work(ahead);
			ask_for_help(ahead);
			(void)run(thread, &task);
			continue;
		}
		ahead->idle++;
		pthread_cond_wait(&ahead->work, &ahead->lock);
		ahead->idle--;
	}
	unlock(ahead);
	return NULL;
}

/* ---- the walker --------------------------------------------------------------- */

static bool is_stopped(const struct fsmeta_ahead *ahead)
{
	return ahead->stop && *ahead->stop;
}

static int fail(int code, struct fsmeta_error *error)
{
	if (code == FSMETA_E_STOPPED)
		return fsmeta_error_set(error, code, NULL, "scanning", "stopped on request");
	return fsmeta_error_set_memory(error, "scanning");
}

static void wait_a_moment(struct fsmeta_ahead *ahead)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += STOP_POLL_NS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	ahead->walker_waits = true;
	pthread_cond_timedwait(&ahead->done, &ahead->lock, &until);
	ahead->walker_waits = false;
}

/** While somebody else is at what the walker needs. */
static int help_or_wait(struct fsmeta_ahead *ahead)
{
	struct fsmeta_ahead_item *item = find_work(ahead, 4);
	struct task task;

	if (is_stopped(ahead))
		return FSMETA_E_STOPPED;
	if (!item || begin(ahead, &task, item->folder) != 0)
		wait_a_moment(ahead);
	else
		(void)run(&ahead->walker, &task);
	return 0;
}

/** What the walker begins itself. */
static int run_alone(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder)
{
	struct task task;
	int code = begin(ahead, &task, folder);

	ahead->walker_tasks++;
	ask_for_help(ahead);
	return code ? code : run(&ahead->walker, &task);
}

static int wait_for_folder(
    struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder, bool may_exceed)
{
	int code = 0;

	ahead->most.done_ahead += folder->state == FSMETA_AHEAD_DONE;
	__atomic_store_n(&folder->wanted, true, __ATOMIC_RELAXED);
	while (code == 0 && folder->state != FSMETA_AHEAD_DONE) {
		if (folder->state == FSMETA_AHEAD_RUNNING)
			code = help_or_wait(ahead);
		else if (folder->fd < 0 && ahead->open_count >= FSMETA_AHEAD_DESCRIPTORS &&
			 !may_exceed)
			code = RUN_LACKS_DESCRIPTOR;
		else
			code = run_alone(ahead, folder);
	}
	return code ? code : folder->code;
}

int fsmeta_ahead_take_folder(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder,
    bool may_exceed, struct fsmeta_error *error)
{
	int code;

	lock(ahead);
	code = wait_for_folder(ahead, folder, may_exceed);
	if (code == 0) {
		note_taken(ahead, &folder->cost);
		ahead->listing_bytes -= folder->large_cost;
		folder->large_cost = 0;
		ask_for_help(ahead);
		call_for_work(ahead);
	}
	unlock(ahead);
	return code < 0 ? fail(code, error) : code;
}

void fsmeta_ahead_refuse(
    struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder, int failure)
{
	struct task task;

	lock(ahead);
	begin_folder(ahead, &task, folder);
	folder->flags |= FSMETA_FLAG_UNREADABLE;
	folder->error = failure;
	publish_folder(ahead, &task, 0);
	note_taken(ahead, &folder->cost);
	unlock(ahead);
}

static int find_root(void *payload, const struct fsmeta_guide_folder *known)
{
	struct fsmeta_ahead_folder *root = payload;

	root->known = *known;
	root->known.name = NULL;
	return 0;
}

static void piece_free(struct fsmeta_ahead_piece *piece)
{
	if (!piece)
		return;
	fsmeta_folder_chunk_release(&piece->chunk);
	free(piece->folders);
	free(piece);
}

bool fsmeta_ahead_has_piece(const struct fsmeta_ahead_folder *folder)
{
	const struct fsmeta_folder_chunk *chunk = folder->piece ? &folder->piece->chunk : NULL;

	return (chunk ? chunk->first + chunk->count : 0) < folder->listing.count;
}

static int wait_for_piece(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder)
{
	int code = 0;

	if (!folder->first)
		code = run_alone(ahead, folder);
	else if (folder->listing.count > FSMETA_FOLDER_CHUNK_RECORDS)
		ahead->most.done_ahead += folder->first->state == FSMETA_AHEAD_DONE;
	while (code == 0 && folder->first->state != FSMETA_AHEAD_DONE)
		code = help_or_wait(ahead);
	return code ? code : folder->first->code;
}

int fsmeta_ahead_take_piece(
    struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder, struct fsmeta_error *error)
{
	struct fsmeta_ahead_piece *piece;
	int code;

	if (!fsmeta_ahead_has_piece(folder))
		return 0;
	piece_free(folder->piece);
	folder->piece = NULL;
	lock(ahead);
	code = wait_for_piece(ahead, folder);
	if (code == 0) {
		piece = folder->first;
		folder->first = piece->next;
		if (!folder->first)
			folder->last = NULL;
		folder->piece = piece;
		note_taken(ahead, &piece->cost);
		ask_for_help(ahead);
		call_for_work(ahead);
	}
	unlock(ahead);
	return code < 0 ? fail(code, error) : 1;
}

/* ---- leaving ------------------------------------------------------------------- */

bool fsmeta_ahead_enter(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder)
{
	lock(ahead);
	folder->on_path = true;
	unlock(ahead);
	return folder->evicted;
}

/** Appends the folders of a piece to a chain that ends in `last`; the new end. */
static struct fsmeta_ahead_folder *chain_folders(
    struct fsmeta_ahead_folder *last, const struct fsmeta_ahead_piece *piece)
{
	for (uint32_t i = 0; piece && piece->folders && i < piece->chunk.folders; i++) {
		last->link = &piece->folders[i];
		last = last->link;
		last->link = NULL;
	}
	return last;
}

/** Takes the items of one folder out of the queue; what is being done is told to stop. */
static void abandon(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder)
{
	__atomic_store_n(&folder->abandoned, true, __ATOMIC_RELAXED);
	if (folder->item.running)
		ahead->abandoned++;
	else if (folder->item.next)
		take_out(&folder->item);
	for (struct fsmeta_ahead_piece *piece = folder->first; piece; piece = piece->next)
		ahead->abandoned += piece->state == FSMETA_AHEAD_RUNNING;
}

/** Abandons a folder and all that is known below it, and makes a chain of them. */
static void abandon_all(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder)
{
	struct fsmeta_ahead_folder *last = folder;

	folder->link = NULL;
	for (; folder; folder = folder->link) {
		abandon(ahead, folder);
		last = chain_folders(last, folder->piece);
		for (struct fsmeta_ahead_piece *piece = folder->first; piece; piece = piece->next)
			if (piece->state == FSMETA_AHEAD_DONE && piece->code == 0)
				last = chain_folders(last, piece);
	}
}

/** Takes an abandoned folder out of all counts. */
static void discount(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder)
{
	for (struct fsmeta_ahead_piece *piece = folder->first; piece; piece = piece->next) {
		note_taken(ahead, &piece->cost);
		ahead->most.dropped++;
	}
	note_taken(ahead, &folder->cost);
	ahead->listing_bytes -= folder->large_cost;
	folder->large_cost = 0;
	ahead->evicted_count -= folder->evicted;
	folder->evicted = false;
	if (folder->fd >= 0)
		count_open(ahead, -1);
}

/** Frees a chain of folders, of which the first is in nobody's piece. */
static void free_chain(struct fsmeta_ahead_folder *folder)
{
	struct fsmeta_ahead_piece *pieces = NULL, *piece;

	for (; folder; folder = folder->link) {
		/* Those further on in the chain lie in these pieces. */
		if (folder->piece) {
			folder->piece->next = pieces;
			pieces = folder->piece;
		}
		if (folder->first) {
			folder->last->next = pieces;
			pieces = folder->first;
		}
		folder->piece = folder->first = folder->last = NULL;
		fsmeta_folder_release(&folder->listing);
		if (folder->fd >= 0)
			close(folder->fd);
		folder->fd = -1;
	}
	while ((piece = pieces)) {
		pieces = piece->next;
		piece_free(piece);
	}
}

void fsmeta_ahead_leave(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder)
{
	lock(ahead);
	abandon_all(ahead, folder);
	ahead->walker_waits = true;
	while (ahead->abandoned > 0)
		pthread_cond_wait(&ahead->done, &ahead->lock);
	ahead->walker_waits = false;
	for (struct fsmeta_ahead_folder *at = folder; at; at = at->link)
		discount(ahead, at);
	folder->on_path = false;
	call_for_work(ahead);
	unlock(ahead);
	free_chain(folder);
}

int fsmeta_ahead_list_again(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder, int fd,
    struct fsmeta_error *error)
{
	fsmeta_ahead_leave(ahead, folder);
	lock(ahead);
	folder->state = FSMETA_AHEAD_WAITING;
	folder->abandoned = folder->suspended = folder->is_guided = false;
	folder->known.files_known = false;
	folder->lost = 0;
	folder->unopened = 0;
	folder->next_first = 0;
	folder->fd = fd;
	count_open(ahead, +1);
	/* All that is left in the queue comes behind it. */
	insert_before(ahead->end.next, &folder->item);
	if (folder->parent)
		folder->parent->unopened++;
	unlock(ahead);
	return fsmeta_ahead_take_folder(ahead, folder, true, error);
}

/* ---- descriptors, for the walker --------------------------------------------- */

uint32_t fsmeta_ahead_evicted_count(const struct fsmeta_ahead *ahead)
{
	/* Nobody but the walker changes it. */
	return ahead->evicted_count;
}

bool fsmeta_ahead_is_evicted(const struct fsmeta_ahead_folder *folder)
{
	return folder->evicted;
}

/** Closes the descriptor of a listed folder that nobody is using. */
static int evict(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder)
{
	if (folder->fd < 0)
		return 0;
	if (folder->users > 0)
		return -1;
	if (needs_descriptor(folder)) {
		folder->evicted = true;
		ahead->evicted_count++;
	}
	close(folder->fd);
	folder->fd = -1;
	count_open(ahead, -1);
	return 1;
}

int fsmeta_ahead_evict(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder)
{
	int evicted;

	lock(ahead);
	evicted = evict(ahead, folder);
	unlock(ahead);
	return evicted;
}

/** A suspended listing without its descriptor is none. */
static bool forget_suspended(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder)
{
	if (!folder->suspended)
		return false;
	folder->suspended = false;
	fsmeta_folder_release(&folder->listing);
	ahead->listing_bytes -= folder->large_cost;
	folder->large_cost = 0;
	close(folder->fd);
	folder->fd = -1;
	count_open(ahead, -1);
	return true;
}

static bool evict_items(struct fsmeta_ahead *ahead)
{
	bool is_evicted = false;

	for (struct fsmeta_ahead_item *item = ahead->end.next; item != &ahead->end;
	     item = item->next) {
		struct fsmeta_ahead_folder *folder = item->folder;

		if (folder->state != FSMETA_AHEAD_DONE) {
			is_evicted |= forget_suspended(ahead, folder);
			folder = folder->parent;
		}
		if (folder && !folder->on_path)
			is_evicted |= evict(ahead, folder) > 0;
	}
	return is_evicted;
}

bool fsmeta_ahead_evict_ahead(struct fsmeta_ahead *ahead)
{
	bool is_evicted;

	lock(ahead);
	ahead->open_limit =
	    ahead->open_limit < ahead->open_count / 2 ? ahead->open_limit : ahead->open_count / 2;
	for (;;) {
		is_evicted = evict_items(ahead);
		if (is_evicted || ahead->running == 0)
			break;
		wait_a_moment(ahead);
	}
	unlock(ahead);
	return is_evicted;
}

void fsmeta_ahead_restore(
    struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder, int fd, int failure)
{
	lock(ahead);
	if (folder->evicted) {
		folder->evicted = false;
		ahead->evicted_count--;
		if (fd < 0)
			folder->lost = failure;
	}
	if (fd >= 0) {
		folder->fd = fd;
		count_open(ahead, +1);
		call_for_work(ahead);
	}
	unlock(ahead);
}

int fsmeta_ahead_borrow(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder)
{
	int fd;

	lock(ahead);
	fd = folder->fd;
	folder->users += fd >= 0;
	unlock(ahead);
	return fd;
}

void fsmeta_ahead_return(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder)
{
	lock(ahead);
	folder->users--;
	close_if_done(ahead, folder);
	unlock(ahead);
}

/* ---- beginning and end --------------------------------------------------------- */

struct fsmeta_ahead_folder *fsmeta_ahead_root(struct fsmeta_ahead *ahead)
{
	return &ahead->root;
}

void fsmeta_ahead_measure(struct fsmeta_ahead *ahead, struct fsmeta_scan_measures *out)
{
	lock(ahead);
	*out = ahead->most;
	out->threads = ahead->thread_count;
	out->sleeping = ahead->idle;
	unlock(ahead);
}

static int init_synchronisation(struct fsmeta_ahead *ahead)
{
	pthread_condattr_t attributes;

	if (pthread_condattr_init(&attributes))
		return FSMETA_E_MEMORY;
	/* Somebody sets the clock, and a waiting walker still looks whether it is to stop. */
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&ahead->done, &attributes);
	pthread_cond_init(&ahead->work, NULL);
	pthread_mutex_init(&ahead->lock, NULL);
	pthread_condattr_destroy(&attributes);
	return 0;
}

int fsmeta_ahead_new(struct fsmeta_ahead **out, const struct fsmeta_ahead_options *options, int fd,
    const struct fsmeta_folder_record *record, struct fsmeta_error *error)
{
	struct fsmeta_ahead *ahead = calloc(1, sizeof(*ahead));

	*out = NULL;
	if (!ahead || init_synchronisation(ahead)) {
		free(ahead);
		close(fd);
		return fsmeta_error_set_memory(error, "preparing a scan");
	}
	ahead->options = *options;
	ahead->scan = *options->scan;
	ahead->options.scan = &ahead->scan;
	ahead->stop = options->scan->stop;
	ahead->end.next = ahead->end.previous = &ahead->end;
	ahead->open_limit = FSMETA_AHEAD_DESCRIPTORS + 2 * (options->threads - 1);
	ahead->open_count = 1;
	ahead->next_start_ns = now_ns() + options->alone_ns;
	ahead->root.record = record;
	ahead->root.fd = fd;
	ahead->root.item.folder = &ahead->root;
	insert_before(&ahead->end, &ahead->root.item);
	if (options->guide)
		(void)fsmeta_guide_folders(
		    options->guide, 0, NULL, 0, NULL, 0, find_root, &ahead->root, NULL);
	ahead->threads = calloc(options->threads, sizeof(*ahead->threads));
	if (!ahead->threads || thread_init(&ahead->walker, ahead)) {
		fsmeta_ahead_free(ahead);
		return fsmeta_error_set_memory(error, "preparing a scan");
	}
	ahead->walker.reader.stop = ahead->stop;
	*out = ahead;
	return 0;
}

void fsmeta_ahead_free(struct fsmeta_ahead *ahead)
{
	if (!ahead)
		return;
	fsmeta_ahead_leave(ahead, &ahead->root);
	lock(ahead);
	ahead->quit = true;
	pthread_cond_broadcast(&ahead->work);
	unlock(ahead);
	for (unsigned i = 0; i < ahead->thread_count; i++) {
		pthread_join(ahead->threads[i].id, NULL);
		thread_release(&ahead->threads[i]);
	}
	thread_release(&ahead->walker);
	pthread_cond_destroy(&ahead->work);
	pthread_cond_destroy(&ahead->done);
	pthread_mutex_destroy(&ahead->lock);
	free(ahead->threads);
	free(ahead);
}
