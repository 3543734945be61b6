/*
 * The marker: a small file in a source's root that carries its id, so that a drive
 * is known again wherever it is mounted.  docs/source-identity.md describes it.
 *
 * It names the file system that it was made on.  One that lies on another came
 * there with a copy of the tree, and would give two drives one identity.
 */
#ifndef FSMETA_SCANNER_MARKER_H
#define FSMETA_SCANNER_MARKER_H

#include "base/error.h"
#include "base/memory.h"
#include "base/text.h"

#include <stdbool.h>

/** Its name in the root. */
#define FSMETA_MARKER_NAME ".fsmetadrive.json"

enum {
	FSMETA_MARKER_MAX_BYTES = 64 << 10,
	FSMETA_SOURCE_ID_MAX_BYTES = 4096,
};

enum fsmeta_marker_state {
	FSMETA_MARKER_MISSING = 0,
	FSMETA_MARKER_USABLE = 1,
	/** There is something of that name that is none: other JSON, a link, unreadable. */
	FSMETA_MARKER_UNUSABLE = 2,
};

/** What a marker says.  Zero-initialised = nothing. */
struct fsmeta_marker {
	/** 1 to FSMETA_SOURCE_ID_MAX_BYTES bytes of UTF-8; *owned*. */
	char *source_id;
	/** Of the file system that it was made on, "" where that had none; *owned*. */
	char *filesystem_uuid;
};

/**
 * Reads the marker in folder `root_fd` into `out`, to be released where it is
 * USABLE.  An enum fsmeta_marker_state, or FSMETA_E_MEMORY.
 */
int fsmeta_marker_read(struct fsmeta_marker *out, int root_fd, struct fsmeta_error *error);

void fsmeta_marker_release(struct fsmeta_marker *marker);

/** True where it was made on another file system than `uuid` ("" = not known, never true). */
bool fsmeta_marker_is_copy(const struct fsmeta_marker *marker, const char *uuid);

/**
 * Appends the marker's text: indented JSON with a final newline.  Without a UUID
 * ("") there is no key for it.  0 or FSMETA_E_MEMORY; FSMETA_E_USAGE where the id is
 * empty, too long or no UTF-8.
 */
int fsmeta_marker_write(struct fsmeta_buffer *out, const struct fsmeta_marker *marker,
    struct fsmeta_time created, struct fsmeta_error *error);

#endif
