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
 * one, when there is something that nobody is at: small trees are over before.  More of
 * them than processors help only where a disk is waited for, so each of those is started
 * when the process has not kept the processors busy since the last one was.  Whoever begins
 * something asks for one, and whoever is long at it asks again: on a slow disk all may be.
 *
 * Guided folders.  A quick scan has a guide that knows the tree of an earlier one
 * (docs/quick-scans.md).  It goes down with the queue: whoever reads a piece asks it for the
 * folders found there, and whoever opens one of them compares inode and times.  If they
 * are as known, the guide vouches for the files, and the few that it names as witnesses are
 * what they were, the listing is made from the sub-folders
 * that the guide names, and the disk is not asked for names at all.  What follows is
 * as ever, from reading records to reading ahead below.  Where the walker finds
 * that somebody wants the files all the same, it leaves the folder and has it listed again.
 *
 * Leaving.  The walker leaves a folder with all below.  What waits is taken out of the
 * queue; what is being read is told to stop and waited for, because names and
 * descriptors above it are in use; then everything is freed.  Closing is leaving the
 * root.  A thread that hangs in the kernel on a dead disk cannot be told anything.
 */
#include "scanner/ahead_queue.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	/** How often a waiting walker looks whether it is to stop. */
	STOP_POLL_NS = 50 * 1000 * 1000,
	/** With so much of the processors' time used nobody waits for anything else. */
	BUSY_PERCENT = 80,
};

/* ---- tasks --------------------------------------------------------------------- */

/**
 * Runs what was begun.  The lock is held, but not meanwhile.  0 or
 * FSMETA_AHEAD_LACKS_DESCRIPTOR.
 */
static int run(struct fsmeta_ahead_thread *thread, struct fsmeta_ahead_task *task)
{
	struct fsmeta_ahead *ahead = thread->ahead;
	struct fsmeta_ahead_piece *piece = task->piece;
	int code;

	fsmeta_ahead_unlock(ahead);
	thread->folder = task->folder;
	code = piece ? fsmeta_ahead_read_piece(thread, task->folder, piece)
		     : fsmeta_ahead_read_folder(thread, task);
	fsmeta_ahead_lock(ahead);
	ahead->running--;
	if (piece)
		fsmeta_ahead_publish_piece(ahead, piece, code);
	else
		fsmeta_ahead_publish_folder(ahead, task, code);
	fsmeta_ahead_call_for_work(ahead);
	if (ahead->walker_waits)
		pthread_cond_signal(&ahead->done);
	return code == FSMETA_AHEAD_LACKS_DESCRIPTOR ? code : 0;
}

/* ---- threads ---------------------------------------------------------------- */

static int thread_init(struct fsmeta_ahead_thread *thread, struct fsmeta_ahead *ahead)
{
	*thread = (struct fsmeta_ahead_thread){.ahead = ahead};
	if (fsmeta_folder_reader_init(
		&thread->reader, ahead->options.field_mask, ahead->options.scan))
		return FSMETA_E_MEMORY;
	/* It may be written by the walker's thread without a lock: the walker looks. */
	thread->reader.stop = NULL;
	thread->reader.pace = fsmeta_ahead_pace;
	thread->reader.payload = thread;
	return 0;
}

static void thread_release(struct fsmeta_ahead_thread *thread)
{
	fsmeta_folder_reader_release(&thread->reader);
	fsmeta_folder_release(&thread->scratch);
	fsmeta_buffer_release(&thread->path);
	fsmeta_buffer_release(&thread->witnesses.names);
}

static void *work(void *payload);

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/** Begins a pause before the next thread, and notes what the process has used by now. */
static void begin_pause(struct fsmeta_ahead *ahead, int64_t pause_ns)
{
	bool is_last = ahead->thread_count + 1 >= ahead->options.threads;

	ahead->pause_start_ns = clock_ns(CLOCK_MONOTONIC);
	ahead->pause_used_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	__atomic_store_n(&ahead->pause_end_ns,
	    is_last || !ahead->options.pause_ns ? INT64_MAX : ahead->pause_start_ns + pause_ns,
	    __ATOMIC_RELAXED);
}

/** How long until the next thread: of more than processors it is to be seen whether they help. */
static int64_t pause_of(const struct fsmeta_ahead *ahead)
{
	const struct fsmeta_ahead_options *options = &ahead->options;

	return ahead->thread_count + 1 < options->processors ? options->pause_ns
							     : options->long_pause_ns;
}

/**
 * True where the pause is over, and a thread more has a processor: because there are more of
 * those, or because who had one waited for the disk.
 */
static bool is_time_to_start(struct fsmeta_ahead *ahead)
{
	const struct fsmeta_ahead_options *options = &ahead->options;
	int64_t now = clock_ns(CLOCK_MONOTONIC), used, past;

	if (now < ahead->pause_end_ns)
		return false;
	if (ahead->thread_count + 1 < options->processors)
		return true;
	past = now - ahead->pause_start_ns;
	used = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - ahead->pause_used_ns;
	if (used < past * options->processors / 100 * BUSY_PERCENT)
		return true;
	begin_pause(ahead, pause_of(ahead));
	return false;
}

/** True where one more thread may be started, with what is there to be done aside. */
static bool may_start(struct fsmeta_ahead *ahead)
{
	return ahead->thread_count + 1 < ahead->options.threads && ahead->idle == 0 &&
	       !ahead->quit && ahead->walker_tasks > ahead->options.tasks_alone &&
	       (!ahead->options.pause_ns || is_time_to_start(ahead));
}

/** Starts a thread where there is something that nobody is at. */
static void ask_for_help(struct fsmeta_ahead *ahead)
{
	struct fsmeta_ahead_thread *thread = &ahead->threads[ahead->thread_count];
	sigset_t all, before;

	if (!may_start(ahead) || !fsmeta_ahead_find_work(ahead, 3))
		return;
	if (thread_init(thread, ahead)) {
		ahead->options.threads = ahead->thread_count + 1;
		return;
	}
	/* Signals are for the thread that the program listens with. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&thread->id, NULL, work, thread) == 0) {
		ahead->thread_count++;
		begin_pause(ahead, pause_of(ahead));
	} else {
		ahead->options.threads = ahead->thread_count + 1;
		thread_release(thread);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void fsmeta_ahead_ask_meanwhile(struct fsmeta_ahead *ahead)
{
	if (clock_ns(CLOCK_MONOTONIC) < __atomic_load_n(&ahead->pause_end_ns, __ATOMIC_RELAXED))
		return;
	fsmeta_ahead_lock(ahead);
	ask_for_help(ahead);
	fsmeta_ahead_unlock(ahead);
}

static void *work(void *payload)
{
	struct fsmeta_ahead_thread *thread = payload;
	struct fsmeta_ahead *ahead = thread->ahead;

	fsmeta_ahead_lock(ahead);
	while (!ahead->quit) {
		struct fsmeta_ahead_item *item = fsmeta_ahead_find_work(ahead, 4);
		struct fsmeta_ahead_task task;

		if (item && fsmeta_ahead_begin(ahead, &task, item->folder) == 0) {
			fsmeta_ahead_call_for_work(ahead);
			ask_for_help(ahead);
			(void)run(thread, &task);
			continue;
		}
		ahead->idle++;
		pthread_cond_wait(&ahead->work, &ahead->lock);
		/* The pause is to tell of a disk, and not of a walker that is slow. */
		if (--ahead->idle == 0)
			begin_pause(ahead, pause_of(ahead));
		/* Also where nobody called: one call more than is needed does no harm. */
		if (ahead->called > 0)
			ahead->called--;
	}
	fsmeta_ahead_unlock(ahead);
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
	struct fsmeta_ahead_item *item = fsmeta_ahead_find_work(ahead, 4);
	struct fsmeta_ahead_task task;

	if (is_stopped(ahead))
		return FSMETA_E_STOPPED;
	if (!item || fsmeta_ahead_begin(ahead, &task, item->folder) != 0)
		wait_a_moment(ahead);
	else
		(void)run(&ahead->walker, &task);
	return 0;
}

/** What the walker begins itself. */
static int run_alone(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder)
{
	struct fsmeta_ahead_task task;
	int code = fsmeta_ahead_begin(ahead, &task, folder);

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
			code = FSMETA_AHEAD_LACKS_DESCRIPTOR;
		else
			code = run_alone(ahead, folder);
	}
	return code ? code : folder->code;
}

int fsmeta_ahead_take_folder(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder,
    bool may_exceed, struct fsmeta_error *error)
{
	int code;

	fsmeta_ahead_lock(ahead);
	code = wait_for_folder(ahead, folder, may_exceed);
	if (code == 0) {
		fsmeta_ahead_note_taken(ahead, &folder->cost);
		ahead->listing_bytes -= folder->large_cost;
		folder->large_cost = 0;
		ask_for_help(ahead);
		fsmeta_ahead_call_for_work(ahead);
	}
	fsmeta_ahead_unlock(ahead);
	return code < 0 ? fail(code, error) : code;
}

void fsmeta_ahead_refuse(
    struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder, int failure)
{
	struct fsmeta_ahead_task task;

	fsmeta_ahead_lock(ahead);
	fsmeta_ahead_begin_folder(ahead, &task, folder);
	folder->flags |= FSMETA_FLAG_UNREADABLE;
	folder->error = failure;
	fsmeta_ahead_publish_folder(ahead, &task, 0);
	fsmeta_ahead_note_taken(ahead, &folder->cost);
	fsmeta_ahead_unlock(ahead);
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
	fsmeta_ahead_lock(ahead);
	code = wait_for_piece(ahead, folder);
	if (code == 0) {
		piece = folder->first;
		folder->first = piece->next;
		if (!folder->first)
			folder->last = NULL;
		folder->piece = piece;
		fsmeta_ahead_note_taken(ahead, &piece->cost);
		ask_for_help(ahead);
		fsmeta_ahead_call_for_work(ahead);
	}
	fsmeta_ahead_unlock(ahead);
	return code < 0 ? fail(code, error) : 1;
}

/* ---- leaving ------------------------------------------------------------------- */

bool fsmeta_ahead_enter(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder)
{
	fsmeta_ahead_lock(ahead);
	folder->on_path = true;
	fsmeta_ahead_unlock(ahead);
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
		fsmeta_ahead_take_out(&folder->item);
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
		fsmeta_ahead_note_taken(ahead, &piece->cost);
		ahead->most.dropped++;
	}
	fsmeta_ahead_note_taken(ahead, &folder->cost);
	ahead->listing_bytes -= folder->large_cost;
	folder->large_cost = 0;
	ahead->evicted_count -= folder->evicted;
	folder->evicted = false;
	if (folder->fd >= 0)
		fsmeta_ahead_count_open(ahead, -1);
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
	fsmeta_ahead_lock(ahead);
	abandon_all(ahead, folder);
	ahead->walker_waits = true;
	while (ahead->abandoned > 0)
		pthread_cond_wait(&ahead->done, &ahead->lock);
	ahead->walker_waits = false;
	for (struct fsmeta_ahead_folder *at = folder; at; at = at->link)
		discount(ahead, at);
	folder->on_path = false;
	fsmeta_ahead_call_for_work(ahead);
	fsmeta_ahead_unlock(ahead);
	free_chain(folder);
}

int fsmeta_ahead_list_again(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder, int fd,
    struct fsmeta_error *error)
{
	fsmeta_ahead_leave(ahead, folder);
	fsmeta_ahead_lock(ahead);
	folder->state = FSMETA_AHEAD_WAITING;
	folder->abandoned = folder->suspended = folder->is_guided = false;
	folder->known.files_known = false;
	folder->lost = 0;
	folder->unopened = 0;
	folder->next_first = 0;
	folder->fd = fd;
	fsmeta_ahead_count_open(ahead, +1);
	/* All that is left in the queue comes behind it. */
	fsmeta_ahead_insert(ahead->end.next, &folder->item);
	if (folder->parent)
		folder->parent->unopened++;
	fsmeta_ahead_unlock(ahead);
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
	if (fsmeta_ahead_needs_descriptor(folder)) {
		folder->evicted = true;
		ahead->evicted_count++;
	}
	close(folder->fd);
	folder->fd = -1;
	fsmeta_ahead_count_open(ahead, -1);
	return 1;
}

int fsmeta_ahead_evict(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder)
{
	int evicted;

	fsmeta_ahead_lock(ahead);
	evicted = evict(ahead, folder);
	fsmeta_ahead_unlock(ahead);
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
	fsmeta_ahead_count_open(ahead, -1);
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

	fsmeta_ahead_lock(ahead);
	ahead->open_limit =
	    ahead->open_limit < ahead->open_count / 2 ? ahead->open_limit : ahead->open_count / 2;
	for (;;) {
		is_evicted = evict_items(ahead);
		if (is_evicted || ahead->running == 0)
			break;
		wait_a_moment(ahead);
	}
	fsmeta_ahead_unlock(ahead);
	return is_evicted;
}

void fsmeta_ahead_restore(
    struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder, int fd, int failure)
{
	fsmeta_ahead_lock(ahead);
	if (folder->evicted) {
		folder->evicted = false;
		ahead->evicted_count--;
		if (fd < 0)
			folder->lost = failure;
	}
	if (fd >= 0) {
		folder->fd = fd;
		fsmeta_ahead_count_open(ahead, +1);
		fsmeta_ahead_call_for_work(ahead);
	}
	fsmeta_ahead_unlock(ahead);
}

int fsmeta_ahead_borrow(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder)
{
	int fd;

	fsmeta_ahead_lock(ahead);
	fd = folder->fd;
	folder->users += fd >= 0;
	fsmeta_ahead_unlock(ahead);
	return fd;
}

void fsmeta_ahead_return(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder)
{
	fsmeta_ahead_lock(ahead);
	folder->users--;
	fsmeta_ahead_close_if_done(ahead, folder);
	fsmeta_ahead_unlock(ahead);
}

/* ---- beginning and end --------------------------------------------------------- */

struct fsmeta_ahead_folder *fsmeta_ahead_root(struct fsmeta_ahead *ahead)
{
	return &ahead->root;
}

void fsmeta_ahead_measure(struct fsmeta_ahead *ahead, struct fsmeta_scan_measures *out)
{
	fsmeta_ahead_lock(ahead);
	*out = ahead->most;
	out->threads = ahead->thread_count;
	out->sleeping = ahead->idle - ahead->called;
	fsmeta_ahead_unlock(ahead);
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
	begin_pause(ahead, options->alone_ns);
	ahead->root.record = record;
	ahead->root.fd = fd;
	ahead->root.item.folder = &ahead->root;
	fsmeta_ahead_insert(&ahead->end, &ahead->root.item);
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
	fsmeta_ahead_lock(ahead);
	ahead->quit = true;
	pthread_cond_broadcast(&ahead->work);
	fsmeta_ahead_unlock(ahead);
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
