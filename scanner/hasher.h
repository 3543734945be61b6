/*
 * Threads that hash contents: jobs go in, in any order, and are waited for one by one.
 *
 * The jobs are the caller's.  Submit, wait and free are for one thread at a time.  Threads
 * start when there is work for them, block all signals, and are gone when the hasher is freed.
 */
#ifndef FSMETA_SCANNER_HASHER_H
#define FSMETA_SCANNER_HASHER_H

#include "scanner/content.h"

enum fsmeta_hash_job_state {
	FSMETA_HASH_JOB_QUEUED = 0,
	FSMETA_HASH_JOB_RUNNING,
	FSMETA_HASH_JOB_DONE,
};

/** One file to be hashed; from submit until wait has returned it belongs to the hasher. */
struct fsmeta_hash_job {
	/** As fsmeta_content_read() wants it; *borrowed*, its path too. */
	const struct fsmeta_entry *entry;
	bool from_disk;
	/** The caller's, for `done`. */
	void *payload;

	/** What came of it. */
	enum fsmeta_content_outcome outcome;
	struct fsmeta_content_hash hash;
	/** With FSMETA_CONTENT_UNREADABLE. */
	int error_number;

	/** The hasher's own. */
	enum fsmeta_hash_job_state state;
	struct fsmeta_hash_job *next;
};

struct fsmeta_hasher_options {
	/** The folder that is scanned; *borrowed* until new returns. */
	const char *root;
	enum fsmeta_hash_algorithm algorithm;
	/** 0 = as many as pay: one where the disk turns. */
	unsigned threads;
	/** Bytes a second of all threads together, 0 = any number. */
	uint64_t max_rate;
	/** May be NULL; *borrowed* until free. */
	const volatile sig_atomic_t *stop;
	/**
	 * Called for each job right when it is done, before anybody waits for it; by any
	 * thread, but never by two at once.  May be NULL.
	 */
	void (*done)(void *payload, const struct fsmeta_hash_job *job);
	void *done_payload;
};

struct fsmeta_hasher;

/** Errors: FSMETA_E_SYSTEM (the root), and those of fsmeta_content_reader_new(). */
int fsmeta_hasher_new(struct fsmeta_hasher **out, const struct fsmeta_hasher_options *options,
    struct fsmeta_error *error);

/** Jobs are begun in the order in which they are submitted. */
void fsmeta_hasher_submit(struct fsmeta_hasher *hasher, struct fsmeta_hash_job *job);

/** Returns when the job is done.  Where no thread could be started it is done here. */
void fsmeta_hasher_wait(struct fsmeta_hasher *hasher, struct fsmeta_hash_job *job);

/** Bytes read from files; after the jobs that they were read for have been waited for. */
uint64_t fsmeta_hasher_bytes_read(struct fsmeta_hasher *hasher);

/** Jobs that were not waited for are given up.  NULL is allowed. */
void fsmeta_hasher_free(struct fsmeta_hasher *hasher);

#endif
