/*
 * scan --hash: a cursor around the live cursor that gives files their content hashes.
 *
 *     live ────┐
 *              ├─ hashing ──► the same entries, with hashes
 *     newest ──┘     │
 *     generation     └── threads that read what is new
 *
 * A file that has the size, time of modification and inode that the newest generation knows, at
 * this path or another one, has its hash from there and is not opened.  Others are read, some ahead
 * of the entry that is handed out; order and everything else about entries stay as they are.  What
 * cannot be read has no hash; that is no failure of the scan.
 *
 * docs/content-hashes.md says what follows from it.
 */
#ifndef FSMETA_TOOLS_HASHING_H
#define FSMETA_TOOLS_HASHING_H

#include "db/db.h"
#include "format/cursor.h"

#include <signal.h>

struct fsmeta_hashing_options {
	/** NONE: no file is read; what the newest generation knows is handed on. */
	enum fsmeta_hash_algorithm algorithm;
	/** The folder that is scanned; *borrowed* until wrap returns. */
	const char *root;
	/** Database that the scan goes into, and its path; NULL: there is none. */
	struct fsmeta_db *db;
	const char *db_path;
	/** What moved is a new file. */
	bool no_moves;
	/** Share of the known hashes, in per cent, that are taken again, oldest first. */
	double rehash_percent;
	/** Threads that read, 0 = as many as pay. */
	unsigned threads;
	/** Bytes a second, 0 = any number. */
	uint64_t max_rate;
	/** *Borrowed* until the cursor is closed.  May be NULL. */
	const volatile sig_atomic_t *stop;
};

struct fsmeta_hashing_counts {
	/** Files whose hash was known, read in this scan, or left by one that did not end. */
	uint64_t known;
	uint64_t read;
	uint64_t resumed;
	/** Bytes read from files; known at the end. */
	uint64_t bytes_read;
	/** Files whose content is another although size and mtime are not. */
	uint64_t corrupted;
	/** Files that could not be read, and that changed while they were. */
	uint64_t unreadable;
	uint64_t changed;
};

/** *Borrowed* from the cursor that wraps. */
struct fsmeta_hashing;

/**
 * Wraps *cursor (which is *stolen* on success, untouched on failure).  Where nothing is to
 * be read and nothing is known it stays as it is, and *out is NULL.
 *
 * Errors: those of fsmeta_hash_journal_open() and fsmeta_content_reader_new(), and those of
 * reading the newest generation.  next() has FSMETA_E_STOPPED, too.
 */
int fsmeta_hashing_wrap(struct fsmeta_hashing **out, struct fsmeta_cursor **cursor,
    const struct fsmeta_hashing_options *options, struct fsmeta_error *error);

/** NULL is allowed in all of these. */
void fsmeta_hashing_count(struct fsmeta_hashing *hashing, struct fsmeta_hashing_counts *out);

/** Within the transaction: notes which contents were read and found as they were. */
int fsmeta_hashing_note_contents(
    struct fsmeta_hashing *hashing, struct fsmeta_db_update *update, struct fsmeta_error *error);

/** The generation is committed: what was kept for the case that it is not may go. */
void fsmeta_hashing_committed(struct fsmeta_hashing *hashing);

/**
 * Tells on stderr what was found corrupted, what could not be read, and, unless `quiet`, what
 * was done.  Also after a failure of the scan: corruption is not to be kept to ourselves.
 */
void fsmeta_hashing_report(struct fsmeta_hashing *hashing, bool quiet);

#endif
