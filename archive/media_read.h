/*
 * A window of a stream as a file that players play.
 */
#ifndef FSMETA_ARCHIVE_MEDIA_READ_H
#define FSMETA_ARCHIVE_MEDIA_READ_H

#include "archive/archive.h"
#include "archive/media.h"

/** What is to be read. */
struct fsmeta_media_window {
	const char *archive;
	/** Of a recording: what stands behind rec_. */
	const char *stream;
	enum fsmeta_layout layout;
	/** Shown in [from_us, to_us), microseconds since 1970. */
	int64_t from_us;
	int64_t to_us;
	/** Asked again and again; a code other than 0 ends the reading. */
	int (*check)(struct fsmeta_error *error);
};

/** What was written. */
struct fsmeta_media_read {
	uint64_t video_packets;
	uint64_t audio_packets;
	uint64_t bytes;
	/** First and last time of the video that is shown: it begins with a key frame. */
	int64_t from_us;
	int64_t to_us;
	/** There is sound that the format of the file does not take. */
	bool has_left_audio;
};

/**
 * Writes a file to `fd` (for writing and seeking, *borrowed*), in the format that the ending of
 * `name` says: from the key frame on with which the window can be decoded.  The file's clock
 * begins with 0 at that frame, and its date is that of it.  FSMETA_E_NOT_FOUND where
 * nothing is shown in the window; FSMETA_E_REFUSED where the format of the stream changes within
 * it.
 */
int fsmeta_media_read(struct fsmeta_media_read *out, const struct fsmeta_media_operations *media,
    const struct fsmeta_media_window *window, int fd, const char *name, struct fsmeta_error *error);

#endif
