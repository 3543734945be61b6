/*
 * What the files of the queue share: scanner/ahead.c has the drawing and the walker,
 * scanner/ahead_queue.c what is done under the lock, and scanner/ahead_read.c what is done
 * without it.  Of no interest to anybody else.
 */
#ifndef FSMETA_SCANNER_AHEAD_QUEUE_H
#define FSMETA_SCANNER_AHEAD_QUEUE_H

#include "scanner/ahead.h"

#include <pthread.h>
#include <signal.h>

/** What becomes of a task, beside 0 and codes. */
enum fsmeta_ahead_outcome {
	FSMETA_AHEAD_LACKS_DESCRIPTOR = 1,
	FSMETA_AHEAD_SUSPENDED = 2,
};

/** A file that a folder's files are judged by. */
struct fsmeta_ahead_witness {
	/** Its name stands elsewhere. */
	struct fsmeta_guide_file file;
	size_t name_offset;
};

/** The witnesses of the folder in hand. */
struct fsmeta_ahead_witnesses {
	struct fsmeta_ahead_witness items[FSMETA_GUIDE_WITNESSES_MAX];
	size_t count;
	/** Their names, each with a NUL behind it; reused. */
	struct fsmeta_buffer names;
};

/** What a thread has for itself. */
struct fsmeta_ahead_thread {
	struct fsmeta_ahead *ahead;
	struct fsmeta_folder_reader reader;
	/** Reused for listing. */
	struct fsmeta_folder scratch;
	/** A path for the scope to judge. */
	struct fsmeta_buffer path;
	struct fsmeta_ahead_witnesses witnesses;
	/** What it is reading. */
	struct fsmeta_ahead_folder *folder;
	pthread_t id;
};

/** The queue, and who works at it. */
struct fsmeta_ahead {
	struct fsmeta_ahead_options options;
	/** A copy: threads begin long after whoever opened the scan forgot its options. */
	struct fsmeta_scan_options scan;
	const volatile sig_atomic_t *stop;
	struct fsmeta_ahead_thread walker;
	/** Room for options.threads - 1. */
	struct fsmeta_ahead_thread *threads;
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
	/**
	 * The pause before the next thread, in which none is idle: CLOCK_MONOTONIC in ns, and what
	 * processor time the process had used at its start.
	 */
	int64_t pause_start_ns;
	int64_t pause_used_ns;
	/** Atomic; INT64_MAX where there is nothing to wait for. */
	int64_t pause_end_ns;
	/** Threads that wait for work, and those among them that were called and have not come yet.
	 */
	unsigned idle;
	unsigned called;
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

/** What a thread has in hand. */
struct fsmeta_ahead_task {
	struct fsmeta_ahead_folder *folder;
	/** NULL where the folder is to be opened and listed. */
	struct fsmeta_ahead_piece *piece;
};

static inline void fsmeta_ahead_lock(struct fsmeta_ahead *ahead)
{
	pthread_mutex_lock(&ahead->lock);
}

static inline void fsmeta_ahead_unlock(struct fsmeta_ahead *ahead)
{
	pthread_mutex_unlock(&ahead->lock);
}

/* ---- ahead_queue.c: all with the lock ------------------------------------------ */

/** Puts `item` in front of `place`; what waits there waits in front of the item. */
void fsmeta_ahead_insert(struct fsmeta_ahead_item *place, struct fsmeta_ahead_item *item);

/** Takes it out; what waits in front of it waits in front of the next one. */
void fsmeta_ahead_take_out(struct fsmeta_ahead_item *item);

/** The walker has taken, or left, what was noted with `bytes`, which become 0. */
void fsmeta_ahead_note_taken(struct fsmeta_ahead *ahead, size_t *bytes);

/** One descriptor more, or less. */
void fsmeta_ahead_count_open(struct fsmeta_ahead *ahead, int change);

/**
 * The first item that may be begun, or NULL.  `quarters` of the bounds count.  The
 * first one that cannot be begun ends the search: what is behind is needed later still.
 */
struct fsmeta_ahead_item *fsmeta_ahead_find_work(const struct fsmeta_ahead *ahead, size_t quarters);

/** Wakes a thread if there is one and something for it to do. */
void fsmeta_ahead_call_for_work(struct fsmeta_ahead *ahead);

/** True while something is left to be read through the folder's descriptor. */
bool fsmeta_ahead_needs_descriptor(const struct fsmeta_ahead_folder *folder);

/** Closes the descriptor of a listed folder if neither it nor the way back needs it. */
void fsmeta_ahead_close_if_done(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder);

/** A piece of `folder` that is in no queue, *new*; NULL when memory is out. */
struct fsmeta_ahead_piece *fsmeta_ahead_new_piece(struct fsmeta_ahead_folder *folder);

/**
 * Begins what is next about `folder`: opening and listing it, or its next piece.
 * 0 or FSMETA_E_MEMORY.
 */
int fsmeta_ahead_begin(
    struct fsmeta_ahead *ahead, struct fsmeta_ahead_task *task, struct fsmeta_ahead_folder *folder);

/** Begins opening and listing it. */
void fsmeta_ahead_begin_folder(
    struct fsmeta_ahead *ahead, struct fsmeta_ahead_task *task, struct fsmeta_ahead_folder *folder);

/** What came of a piece that was begun, with the code of reading it. */
void fsmeta_ahead_publish_piece(
    struct fsmeta_ahead *ahead, struct fsmeta_ahead_piece *piece, int code);

/** What came of a folder that was begun, with the code or outcome of reading it. */
void fsmeta_ahead_publish_folder(
    struct fsmeta_ahead *ahead, const struct fsmeta_ahead_task *task, int code);

/* ---- ahead.c: without the lock --------------------------------------------------- */

/** Starts a thread more where it is time for that; for whoever is at something for long. */
void fsmeta_ahead_ask_meanwhile(struct fsmeta_ahead *ahead);

/* ---- ahead_read.c: all without the lock ----------------------------------------- */

/** Decides what becomes of a listing that gets large; `payload` is the thread. */
enum fsmeta_folder_pace fsmeta_ahead_pace(void *payload, const struct fsmeta_folder *listing);

/** Reads the records of a piece and makes its folders known.  0 or a code. */
int fsmeta_ahead_read_piece(struct fsmeta_ahead_thread *thread, struct fsmeta_ahead_folder *folder,
    struct fsmeta_ahead_piece *piece);

/**
 * Opens and lists; reads the only piece too where there is one.  A code or one of
 * enum fsmeta_ahead_outcome.
 */
int fsmeta_ahead_read_folder(struct fsmeta_ahead_thread *thread, struct fsmeta_ahead_task *task);

#endif
