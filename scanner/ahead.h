/*
 * Reading ahead: folders are opened, listed, sorted and looked at by several
 * threads, before a walk in canonical order comes to them.  How is told on top of
 * ahead.c.
 *
 * One thread, the walker, owns a `struct fsmeta_ahead` and is the only one that
 * calls what is declared here.  Besides asking for results it works itself where
 * what it needs is not there yet, so one thread is simply a walker without help.
 * What comes out does not depend on the number of threads.
 *
 * Descriptors: a folder that is open is counted, and is closed as soon as nothing
 * is left to be read through it.  The walker may close one before and open it
 * again; see fsmeta_ahead_evict().
 */
#ifndef FSMETA_SCANNER_AHEAD_H
#define FSMETA_SCANNER_AHEAD_H

#include "format/guide.h"
#include "format/scope.h"
#include "scanner/folder.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	/** Descriptors for the walk; each thread beside the walker may have two more open. */
	FSMETA_AHEAD_DESCRIPTORS = 128,
	/** Most threads, the walker included. */
	FSMETA_AHEAD_THREADS_MAX = 256,
	/** Bytes of results that may lie between the walker and what is begun next … */
	FSMETA_AHEAD_DISTANCE_BYTES = 4 << 20,
	/** … that may wait in all … */
	FSMETA_AHEAD_TOTAL_BYTES = 16 << 20,
	/** … and that listings of large folders may take beside that. */
	FSMETA_AHEAD_LISTINGS_BYTES = 16 << 20,
};

struct fsmeta_ahead;
struct fsmeta_ahead_folder;
struct fsmeta_ahead_piece;

/** Something that is to be done or is being done, in canonical order. */
struct fsmeta_ahead_item {
	struct fsmeta_ahead_item *previous;
	struct fsmeta_ahead_item *next;
	/** What it is about; `piece` is NULL where it is about the folder as such. */
	struct fsmeta_ahead_folder *folder;
	struct fsmeta_ahead_piece *piece;
	/** Bytes of what is done and not taken between the item before and this one. */
	size_t done_before;
	bool running;
};

enum fsmeta_ahead_state {
	FSMETA_AHEAD_WAITING = 0,
	FSMETA_AHEAD_RUNNING = 1,
	FSMETA_AHEAD_DONE = 2,
};

/** A chunk of a folder's records, and the folders among them. */
struct fsmeta_ahead_piece {
	/** The walker's once it is taken. */
	struct fsmeta_folder_chunk chunk;
	/** chunk.folders of them, in order; the walker's as far as their own comments say. */
	struct fsmeta_ahead_folder *folders;

	/* The queue's. */
	struct fsmeta_ahead_piece *next;
	struct fsmeta_ahead_item item;
	enum fsmeta_ahead_state state;
	size_t cost;
	int code;
};

/** A folder that was found. */
struct fsmeta_ahead_folder {
	/** The folder that holds it, NULL for the root. */
	struct fsmeta_ahead_folder *parent;
	/** NUL-terminated, *borrowed* from the parent's listing. */
	const char *name;
	size_t path_length;
	uint32_t depth;

	/* What opening and listing gave; the walker's once it took the folder. */
	/**
	 * What is known about it: as it was listed, *borrowed* from the parent's piece, or
	 * `opened`.
	 */
	const struct fsmeta_folder_record *record;
	/** What was opened, which may be something else by then. */
	struct fsmeta_folder_record opened;
	/** Empty unless it was entered. */
	struct fsmeta_folder listing;
	/**
	 * The listing is the guide's and has sub-folders alone: the guide vouches for the
	 * rest, which nobody has looked at.
	 */
	bool is_guided;
	/** enum fsmeta_entry_flag bits, and the errno that goes with them. */
	uint32_t flags;
	int error;

	/** The piece that the walker has in hand; NULL before the first. */
	struct fsmeta_ahead_piece *piece;

	/* The queue's. */
	/** What the guide says of it, its name left out; id 0 = nothing. */
	struct fsmeta_guide_folder known;
	/** Stands for opening and listing it, then for the names that are in no piece yet. */
	struct fsmeta_ahead_item item;
	/** Of opening and listing. */
	enum fsmeta_ahead_state state;
	int code;
	/** Part of it was listed; the walker goes on. */
	bool suspended;
	/** The walker stands in it, or below. */
	bool on_path;
	/** Set where it lies on another mount than its parent: `fd` stays until it is left. */
	bool keeps_descriptor;
	/** Closed although something is left to be read. */
	bool evicted;
	/** Atomic: the walker waits for it; nobody wants it any more. */
	bool wanted;
	bool abandoned;
	/** -1 while closed. */
	int fd;
	/** errno since when it cannot be reached any more, else 0. */
	int lost;
	/** How many tasks use `fd` right now. */
	uint32_t users;
	/** Folders that are found in it and not opened. */
	uint32_t unopened;
	/** Index of the first name that is in no piece. */
	size_t next_first;
	/** Pieces that are not taken yet, in order. */
	struct fsmeta_ahead_piece *first;
	struct fsmeta_ahead_piece *last;
	/** Bytes of its listing, by which of the two bounds they count. */
	size_t cost;
	size_t large_cost;
	/** For going through a sub-tree without recursion. */
	struct fsmeta_ahead_folder *link;
};

struct fsmeta_ahead_options {
	uint32_t field_mask;
	bool cross_filesystems;
	/** 1 to FSMETA_AHEAD_THREADS_MAX, the walker included. */
	unsigned threads;
	/** Tasks that the walker does before it starts a thread. */
	unsigned tasks_alone;
	/**
	 * So long the walker is alone, and then from one thread to the next, nanoseconds.
	 * Without a pause all threads are started as there is work for them.
	 */
	int64_t alone_ns;
	int64_t pause_ns;
	/**
	 * With a pause: how many processors there are.  Once there are as many threads, the walker
	 * included, a further one is started only after `long_pause_ns` in which none was idle
	 * and the process left processors unused.
	 */
	unsigned processors;
	int64_t long_pause_ns;
	/** *Borrowed* until new returns; hidden and stop are what counts. */
	const struct fsmeta_scan_options *scan;
	/** *Borrowed*. */
	const struct fsmeta_scope *scope;
	/** *Borrowed*; NULL = every folder is listed. */
	struct fsmeta_guide *guide;
	/** The guide's index of the root's file system, the only one on which it is believed. */
	uint32_t guide_device;
};

/**
 * A new queue whose root is the open folder `fd`, *stolen* also on failure;
 * `record` is *borrowed* and must be what it is when the root is taken.  Nothing is
 * begun before that.  0 or FSMETA_E_MEMORY.
 */
int fsmeta_ahead_new(struct fsmeta_ahead **out, const struct fsmeta_ahead_options *options, int fd,
    const struct fsmeta_folder_record *record, struct fsmeta_error *error);

/** Ends all threads (which waits for the calls that they are in) and frees.  NULL is allowed. */
void fsmeta_ahead_free(struct fsmeta_ahead *ahead);

/** The folder that it was made with, *borrowed*. */
struct fsmeta_ahead_folder *fsmeta_ahead_root(struct fsmeta_ahead *ahead);

/**
 * Has `folder` opened and listed, which has to be the first one in canonical order
 * that was neither taken nor left: sub-folders of a piece in turn.
 * 0, FSMETA_E_MEMORY, FSMETA_E_STOPPED, or 1 where a descriptor is lacking: because
 * the system has none, or (unless `may_exceed`) all FSMETA_AHEAD_DESCRIPTORS are open.
 * The caller evicts something and tries again, or gives up with fsmeta_ahead_refuse().
 */
int fsmeta_ahead_take_folder(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder,
    bool may_exceed, struct fsmeta_error *error);

/** Makes a folder that was not opened for lack of descriptors unreadable with `failure`. */
void fsmeta_ahead_refuse(
    struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder, int failure);

/**
 * Frees the piece in hand and puts the next one of `folder` into folder->piece.
 * All folders in the one before have to be left.  1, 0 where there is none, or as
 * above.
 */
int fsmeta_ahead_take_piece(
    struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder, struct fsmeta_error *error);

/**
 * Forgets that the guide vouches for `folder`, which the walker has entered and taken no
 * piece of, and has it listed from the disk, through `fd`, *stolen* also on failure.
 * 0, FSMETA_E_MEMORY or FSMETA_E_STOPPED; the listing's own error is in the folder.
 */
int fsmeta_ahead_list_again(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder, int fd,
    struct fsmeta_error *error);

/** True where folder->piece was not the last. */
bool fsmeta_ahead_has_piece(const struct fsmeta_ahead_folder *folder);

/**
 * The walker enters a folder that it took.  Where this returns true the descriptor was
 * evicted before, and has to be restored first.
 */
bool fsmeta_ahead_enter(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder);

/**
 * The walker is done with a folder that it took: what is below and not taken is dropped,
 * also what is being read at the moment; memory is freed, and the descriptor closed.
 */
void fsmeta_ahead_leave(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder);

/* ---- descriptors ----------------------------------------------------------- */

/** Folders that were evicted and are not restored. */
uint32_t fsmeta_ahead_evicted_count(const struct fsmeta_ahead *ahead);

/** True where this folder is one of them. */
bool fsmeta_ahead_is_evicted(const struct fsmeta_ahead_folder *folder);

/**
 * Closes the descriptor of a folder on the path; if something is left to be read through
 * it, it has to be restored before.  1; 0 where it was closed, -1 where it is being used.
 */
int fsmeta_ahead_evict(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder);

/**
 * Closes what descriptors of folders ahead are not being used, and keeps the threads from
 * opening as many again; where all are being used waits until one is not.
 * False where there is none.
 */
bool fsmeta_ahead_evict_ahead(struct fsmeta_ahead *ahead);

/** Gives an evicted or closed folder on the path a descriptor, *stolen*; or -1 and why not. */
void fsmeta_ahead_restore(
    struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder, int fd, int failure);

/**
 * The descriptor of a folder on the path with a claim that keeps it open until
 * fsmeta_ahead_return(); -1 where it is closed, without a claim.
 */
int fsmeta_ahead_borrow(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder);
void fsmeta_ahead_return(struct fsmeta_ahead *ahead, struct fsmeta_ahead_folder *folder);

void fsmeta_ahead_measure(struct fsmeta_ahead *ahead, struct fsmeta_scan_measures *out);

#endif
