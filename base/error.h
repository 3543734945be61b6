/*
 * The error value: what went wrong, where, and what was being done.
 *
 * Every function of fsmeta that can fail returns 0 (or a documented positive
 * value) on success and one of the negative codes below on failure, and takes
 * a caller-owned `struct fsmeta_error *` as its last parameter before any
 * callback payload.  The pointer may be NULL where the caller needs the code
 * alone.  Libraries never print and never exit; only tools/ turns an error into
 * the one line the user sees:
 *
 *     fsmeta: PATH: ACTION: REASON
 */
#ifndef FSMETA_BASE_ERROR_H
#define FSMETA_BASE_ERROR_H

#include <stddef.h>
#include <stdint.h>

/** Return codes.  Negative, stable within a release, never shown to users. */
enum fsmeta_code {
	FSMETA_OK = 0,
	/** The operating system said no; `system_errno` says how. */
	FSMETA_E_SYSTEM = -1,
	/** An allocation failed. */
	FSMETA_E_MEMORY = -2,
	/** The input is of our kind but damaged (digest, order, structure). */
	FSMETA_E_CORRUPT = -3,
	/** The input ends before its end; `offset` says how far it was good. */
	FSMETA_E_TRUNCATED = -4,
	/** The input is not of our kind at all. */
	FSMETA_E_FOREIGN = -5,
	/** Written by a newer version or with an unknown feature, named in text. */
	FSMETA_E_UNSUPPORTED = -6,
	/** We could, but must not: a guard, a wrong base, another source. */
	FSMETA_E_REFUSED = -7,
	/** A size or count from a file or from the user is beyond what we accept. */
	FSMETA_E_LIMIT = -8,
	/** What was asked for does not exist (path, generation, id). */
	FSMETA_E_NOT_FOUND = -9,
	/** The command line or an argument makes no sense. */
	FSMETA_E_USAGE = -10,
	/** The caller's stop flag was raised (SIGINT, SIGTERM). */
	FSMETA_E_STOPPED = -11,
	/** Somebody else holds the lock, or the base is no longer the newest. */
	FSMETA_E_BUSY = -12,
	/** A broken promise inside fsmeta; a bug. */
	FSMETA_E_INTERNAL = -13,
};

enum {
	/** Bytes of a path kept in an error; longer ones lose their middle. */
	FSMETA_ERROR_PATH_BYTES = 1024,
	FSMETA_ERROR_ACTION_BYTES = 128,
	FSMETA_ERROR_REASON_BYTES = 512,
};

/**
 * One error.  Holds no pointers, so it can be copied and needs no release.
 * Zero-initialise it, or call fsmeta_error_clear().
 */
struct fsmeta_error {
	/** 0 while there is no error. */
	enum fsmeta_code code;
	/** errno of FSMETA_E_SYSTEM, else 0. */
	int system_errno;
	/** Byte offset in the file, or -1 where there is none. */
	int64_t offset;
	/** Path concerned, raw bytes, NUL-terminated; "" where there is none. */
	char path[FSMETA_ERROR_PATH_BYTES];
	/** What was being done, as a present participle: "reading batch 3". */
	char action[FSMETA_ERROR_ACTION_BYTES];
	/** Why it failed: "digest does not match", or strerror's words. */
	char reason[FSMETA_ERROR_REASON_BYTES];
};

/** Forgets what `error` held.  NULL is allowed. */
void fsmeta_error_clear(struct fsmeta_error *error);

/**
 * Fills `error` (NULL is allowed) and returns `code`, so that a function can
 * `return fsmeta_error_set(...)`.  `path` may be NULL.  `action` is a constant
 * phrase; `format` makes the reason.  offset is set to -1.  errno is preserved.
 * The arguments may be parts of `error` itself, so that one can reword another.
 */
int fsmeta_error_set(struct fsmeta_error *error, enum fsmeta_code code, const char *path,
    const char *action, const char *format, ...) __attribute__((format(printf, 5, 6)));

/** The same with a byte offset, which the user's line carries too. */
int fsmeta_error_set_at(struct fsmeta_error *error, enum fsmeta_code code, const char *path,
    int64_t offset, const char *action, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/**
 * FSMETA_E_SYSTEM with `system_errno` and its strerror text as the reason
 * (thread-safe).  ENOMEM becomes FSMETA_E_MEMORY.
 */
int fsmeta_error_set_errno(
    struct fsmeta_error *error, int system_errno, const char *path, const char *action);

/** FSMETA_E_MEMORY. */
int fsmeta_error_set_memory(struct fsmeta_error *error, const char *action);

/**
 * Puts `path` where the error has none yet, so that a caller who knows the
 * file's name can add it on the way up.
 */
void fsmeta_error_add_path(struct fsmeta_error *error, const char *path);

/**
 * The symbolic name of an errno ("EACCES"), as listings and BatchSource carry
 * it; NULL for 0 and for a number this system does not know.  The string is static.
 */
const char *fsmeta_errno_name(int system_errno);

/**
 * The reverse of fsmeta_errno_name(), which also knows the second names of a
 * number ("EWOULDBLOCK"); 0 for an unknown name.
 */
int fsmeta_errno_from_name(const char *name);

#endif
