/*
 * Frame store: arrays on the disk that exist exactly as long as a task needs them.
 *
 *     ROOT/VIDEO/frame_NNNNNN.npy        a frame; read-only once it is there
 *     ROOT/VIDEO/frame_NNNNNN.npy.zst    a cold one
 *     ROOT/tasks.db                      tasks and the frames that they depend on
 *
 * A payload_ref is "VIDEO_N".  Safe for any number of threads (one handle may be shared) and
 * processes.  Saving, loading and mapping never touch SQLite.
 */
#ifndef FSMETA_ARCHIVE_FRAME_STORE_H
#define FSMETA_ARCHIVE_FRAME_STORE_H

#include "archive/npy.h"

#define FSMETA_FRAME_STORE_TASKS "tasks.db"

enum {
	/** Room for any payload_ref with its NUL. */
	FSMETA_PAYLOAD_REF_BYTES = 224,
	/** Most frames that a task depends on. */
	FSMETA_TASK_FRAMES_MAX = 4096,
};

struct fsmeta_frame_store_options {
	/** A commit outlives a power cut, too (a sync each).  Otherwise only crashes of processes.
	 */
	bool durable;
	/** A task that was claimed so long ago is handed out again (0 = 10 min). */
	int64_t lease_us;
	/** A frame of that age on which no task depends was left by a crash (0 = 1 h).  Whoever
	 * saves frames adds their tasks within that time. */
	int64_t orphan_us;
	/** Loading notes when, for fsmeta_frame_store_trim(). */
	bool track_use;
	/** Sweeping and trimming only count what would go. */
	bool dry_run;
};

struct fsmeta_frame_store;

/** Opens, and makes, the store, *new*.  `options` may be NULL. */
int fsmeta_frame_store_open(struct fsmeta_frame_store **out, const char *root,
    const struct fsmeta_frame_store_options *options, struct fsmeta_error *error);

/** NULL is allowed. */
void fsmeta_frame_store_close(struct fsmeta_frame_store *store);

/* ---- frames ---- */

/** "VIDEO_N".  FSMETA_E_USAGE where the video's name cannot be a folder. */
int fsmeta_payload_ref_format(char out[FSMETA_PAYLOAD_REF_BYTES], const char *video, uint64_t frame,
    struct fsmeta_error *error);

/** The reverse: everything up to the last '_' is the video. */
int fsmeta_payload_ref_parse(char video[FSMETA_PAYLOAD_REF_BYTES], uint64_t *frame, const char *ref,
    struct fsmeta_error *error);

/**
 * Saves an array; `ref` (may be NULL) receives its name.  Nobody ever sees half of it.
 * FSMETA_E_REFUSED where the frame is there already.
 */
int fsmeta_frame_store_save(struct fsmeta_frame_store *store, const char *video, uint64_t frame,
    const struct fsmeta_npy *array, const void *data, size_t data_bytes,
    char ref[FSMETA_PAYLOAD_REF_BYTES], struct fsmeta_error *error);

/** A frame in memory. */
struct fsmeta_frame {
	struct fsmeta_npy array;
	/** array.data_bytes, read-only where it is mapped. */
	const unsigned char *data;
	/** *Owned*: what release gives back. */
	unsigned char *memory;
	size_t memory_bytes;
	bool is_mapped;
};

/**
 * Reads a frame.  FSMETA_E_NOT_FOUND, or FSMETA_E_TRUNCATED where a power cut took some of it.
 * Release `out` after success.
 */
int fsmeta_frame_store_load(struct fsmeta_frame_store *store, const char *ref,
    struct fsmeta_frame *out, struct fsmeta_error *error);

/** Maps it, without a copy; a cold one is read.  It stays as it is while it is mapped, also when it
 * is deleted. */
int fsmeta_frame_store_map(struct fsmeta_frame_store *store, const char *ref,
    struct fsmeta_frame *out, struct fsmeta_error *error);

void fsmeta_frame_release(struct fsmeta_frame *frame);

/** Deletes a frame, whatever depends on it; for people.  Missing is fine. */
int fsmeta_frame_store_delete(
    struct fsmeta_frame_store *store, const char *ref, struct fsmeta_error *error);

/* ---- tasks ---- */

/** What is to be done with frames. */
struct fsmeta_task {
	/** Given by the store. */
	int64_t id;
	/** Text for the workers; the store does not look at it.  NULL = "". */
	const char *kind;
	const char *payload;
	const char *const *frames;
	size_t frame_count;
};

/** Adds a task and sets its id.  FSMETA_E_NOT_FOUND where one of its frames is not there (any
 * more). */
int fsmeta_frame_store_add_task(
    struct fsmeta_frame_store *store, struct fsmeta_task *task, struct fsmeta_error *error);

/** A task that was claimed; *owned*. */
struct fsmeta_claimed_task {
	int64_t id;
	char *kind;
	char *payload;
};

/** 1 with the oldest task that nobody works on, 0 where there is none, or a code. */
int fsmeta_frame_store_claim(
    struct fsmeta_frame_store *store, struct fsmeta_claimed_task *out, struct fsmeta_error *error);
void fsmeta_claimed_task_release(struct fsmeta_claimed_task *task);

/**
 * A result was processed: the task is no more, `successors` (may be NULL) take its place in the
 * same step, and frames on which nothing depends any more are deleted; *deleted (may be NULL)
 * counts them.  FSMETA_E_NOT_FOUND for a task that was finished already.
 */
int fsmeta_frame_store_finish(struct fsmeta_frame_store *store, int64_t task,
    struct fsmeta_task *successors, size_t successor_count, uint64_t *deleted,
    struct fsmeta_error *error);

/** How many tasks depend on a frame. */
int fsmeta_frame_store_count_dependents(
    struct fsmeta_frame_store *store, const char *ref, uint64_t *count, struct fsmeta_error *error);

/* ---- keeping ---- */

struct fsmeta_frame_store_swept {
	/** Frames whose deletion a crash had stopped. */
	uint64_t finished;
	/** Frames without any task, and halves of frames. */
	uint64_t orphans;
};

/** Cleans up after crashes.  For a start, and now and then. */
int fsmeta_frame_store_sweep(struct fsmeta_frame_store *store, struct fsmeta_frame_store_swept *out,
    struct fsmeta_error *error);

/**
 * Deletes those frames that were used longest ago and on which nothing depends until all hold no
 * more than `budget_bytes`, or none of that kind is left; *deleted counts them.
 */
int fsmeta_frame_store_trim(struct fsmeta_frame_store *store, uint64_t budget_bytes,
    uint64_t *deleted, struct fsmeta_error *error);

/** Packs frames with zstd that were not used for `age_us`; *packed counts them. */
int fsmeta_frame_store_pack(
    struct fsmeta_frame_store *store, int64_t age_us, uint64_t *packed, struct fsmeta_error *error);

#endif
