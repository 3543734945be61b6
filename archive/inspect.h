/*
 * What is inside of the pieces of an archive: each is opened with its layout's reader and judged.
 * The survey (archive.h) says where they are; this says whether they are what they seem.
 *
 * Nothing is ever written, nothing is locked, and nothing is followed out of the folder.
 */
#ifndef FSMETA_ARCHIVE_INSPECT_H
#define FSMETA_ARCHIVE_INSPECT_H

#include "archive/archive.h"

#include <signal.h>

enum fsmeta_finding_kind {
	/** What is there contradicts itself. */
	FSMETA_FINDING_DAMAGED = 1,
	/** A writer did not close it and is gone; `fsmeta archive recover` closes it. */
	FSMETA_FINDING_UNSEALED = 2,
	/** It could not be read. */
	FSMETA_FINDING_UNREADABLE = 3,
};

/** One thing that is not as it should be. */
struct fsmeta_finding {
	enum fsmeta_finding_kind kind;
	/** Name within the stream's folder; "" is the folder.  *Borrowed* for the call. */
	const char *name;
	/** What is wrong, in words.  *Borrowed* for the call. */
	const char *text;
};

/** "damaged", "unsealed", "unreadable". */
const char *fsmeta_finding_kind_name(enum fsmeta_finding_kind kind);

/** Takes findings; a code other than 0 ends the inspection and becomes its own. */
typedef int fsmeta_finding_visit(
    void *payload, const struct fsmeta_finding *finding, struct fsmeta_error *error);

/**
 * Opens every piece of `stream`, a folder below the open folder `root_fd` that the survey found,
 * and hands out what is wrong with it.  What goes away meanwhile was rotated out and is no
 * finding; what is not sealed, or a frame that is not whole, and was written to in the last two
 * minutes still grows.  *pieces counts what was opened.
 *
 * Of tracks: the header, that locations rise and lie within the packets, times, the sentinel, that
 * decoding can begin with the first packet, that the last one is not zeros.  Of frames: the header
 * against the size; packed ones are unpacked.  Of recordings: every line, every record of
 * index.bin against them, nothing left over.  FSMETA_E_STOPPED once *stop (may be NULL) is not 0.
 */
int fsmeta_archive_inspect(int root_fd, const struct fsmeta_archive_stream *stream,
    const volatile sig_atomic_t *stop, uint64_t *pieces, fsmeta_finding_visit *visit,
    struct fsmeta_error *error, void *payload);

#endif
