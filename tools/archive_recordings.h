/*
 * The recordings of an archive by the folder they lie in, for policies: each is whole by itself and
 * came when it was wanted, so what is demanded is demanded of all in a folder together.
 */
#ifndef FSMETA_TOOLS_ARCHIVE_RECORDINGS_H
#define FSMETA_TOOLS_ARCHIVE_RECORDINGS_H

#include "tools/archive_policy.h"

/** One that was seen. */
struct fsmeta_seen_recording {
	/** Where its path begins in `paths`, and how long it and its folder's are. */
	size_t path_offset;
	size_t path_length;
	size_t folder_length;
	/** As in struct fsmeta_archive_stream. */
	bool has_from;
	bool has_to;
	int64_t from_us;
	int64_t to_us;
};

/** Those of one survey; zero-initialised = none. */
struct fsmeta_recordings {
	struct fsmeta_seen_recording *items;
	size_t count;
	size_t capacity;
	struct fsmeta_buffer paths;
};

/** Those of one folder: `count` items from `first` on. */
struct fsmeta_recordings_folder {
	size_t first;
	size_t count;
	/** *Borrowed* from the recordings; "" is the root. */
	const char *path;
	size_t path_length;
};

/** Adds one that the survey found.  FSMETA_E_MEMORY. */
int fsmeta_recordings_add(
    struct fsmeta_recordings *recordings, const struct fsmeta_archive_stream *stream);

/** Brings them in order: by folder, then by time.  Before the first _next(). */
void fsmeta_recordings_sort(struct fsmeta_recordings *recordings);

/** Steps to the first folder (`out` zero-initialised) or the next; false behind the last. */
bool fsmeta_recordings_next(
    const struct fsmeta_recordings *recordings, struct fsmeta_recordings_folder *out);

/**
 * Sums those up whose own path or whose folder's fits the policy (NULL: all), as one stream that
 * fsmeta_policy_judge() takes.  It runs from the end of the one that ended first to the end of
 * the one that ended last, as begins are often not known; gaps are in front of those whose begin
 * is.  Returns whether the policy speaks about them: of gaps it does where a begin is known.
 */
bool fsmeta_recordings_sum(struct fsmeta_archive_stream *out,
    const struct fsmeta_recordings *recordings, const struct fsmeta_recordings_folder *folder,
    const struct fsmeta_policy *policy);

void fsmeta_recordings_release(struct fsmeta_recordings *recordings);

#endif
