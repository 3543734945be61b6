/*
 * What a crash left in an archive, closed: tracks are sealed behind their last whole packet,
 * recordings are completed.  Nothing that is whole is lost; what somebody still writes is left
 * alone, and so is what was damaged after it had been closed.
 */
#ifndef FSMETA_ARCHIVE_RECOVER_H
#define FSMETA_ARCHIVE_RECOVER_H

#include "archive/archive.h"

#include <signal.h>

enum fsmeta_recovery_kind {
	/** Done, or with a dry run: it would be. */
	FSMETA_RECOVERY_MENDED = 1,
	/** Somebody writes to it. */
	FSMETA_RECOVERY_BUSY = 2,
	/** It cannot be mended. */
	FSMETA_RECOVERY_FAILED = 3,
};

/** What became of one piece that was not closed. */
struct fsmeta_recovery {
	enum fsmeta_recovery_kind kind;
	/** Name within the stream's folder; "" is the folder.  *Borrowed* for the call. */
	const char *name;
	/** "57 packets, 1200 bytes cut off", or why not.  *Borrowed* for the call. */
	const char *text;
};

/** Takes what became of pieces; a code other than 0 ends the recovery and becomes its own. */
typedef int fsmeta_recovery_visit(
    void *payload, const struct fsmeta_recovery *recovery, struct fsmeta_error *error);

/**
 * Recovers all pieces of `stream`, a folder below the open folder `root_fd` that the
 * survey found; with `dry_run` only tells, and then cannot know what somebody still writes.
 * Frames have nothing to recover (fsmeta_frame_store_sweep()).  FSMETA_E_STOPPED once *stop
 * (may be NULL) is not 0.
 */
int fsmeta_archive_recover(int root_fd, const struct fsmeta_archive_stream *stream, bool dry_run,
    const volatile sig_atomic_t *stop, fsmeta_recovery_visit *visit, struct fsmeta_error *error,
    void *payload);

#endif
