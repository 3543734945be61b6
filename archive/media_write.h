/*
 * Packets of a video into a stream of an archive, in whichever layout (docs/archives.md says what
 * each of them keeps).  One thread at a time.
 */
#ifndef FSMETA_ARCHIVE_MEDIA_WRITE_H
#define FSMETA_ARCHIVE_MEDIA_WRITE_H

#include "archive/archive.h"
#include "archive/media.h"

struct fsmeta_media_writer;

/** Where packets go. */
struct fsmeta_media_target {
	const char *archive;
	/** Of a recording: what stands behind rec_. */
	const char *stream;
	enum fsmeta_layout layout;
	/** Time that will be covered: what is there already from then is a reason to refuse. */
	int64_t from_us;
	int64_t to_us;
};

struct fsmeta_media_written {
	uint64_t video_packets;
	uint64_t audio_packets;
	uint64_t bytes;
	/** Packets before the first key frame, which nobody could decode. */
	uint64_t skipped;
	/** First and last time of the video that is shown, microseconds since 1970. */
	int64_t from_us;
	int64_t to_us;
};

/** Whether a layout keeps sound beside the picture. */
bool fsmeta_media_keeps_audio(enum fsmeta_layout layout);

/**
 * Opens the archive, or makes it.  FSMETA_E_UNSUPPORTED where the layout cannot hold the codec;
 * FSMETA_E_REFUSED where the stream has video from that time, FSMETA_E_BUSY while somebody else
 * writes to it.  All of `target` and the tracks are
 * *borrowed* until the end; `audio` may be NULL.
 */
int fsmeta_media_write_begin(struct fsmeta_media_writer **out,
    const struct fsmeta_media_target *target, const struct fsmeta_media_track *video,
    const struct fsmeta_media_track *audio, struct fsmeta_error *error);

/**
 * Takes the next packet in the order of decoding, of `track`, which is one of the two; its times
 * are since 1970.  Packets before the first key frame are counted and left out.
 */
int fsmeta_media_write_packet(struct fsmeta_media_writer *writer,
    const struct fsmeta_media_track *track, const struct fsmeta_media_packet *packet,
    struct fsmeta_error *error);

/** To be called while nothing comes: writes what has waited for 3 s. */
int fsmeta_media_write_idle(struct fsmeta_media_writer *writer, struct fsmeta_error *error);

/** What was taken so far. */
const struct fsmeta_media_written *fsmeta_media_written(const struct fsmeta_media_writer *writer);

/** Seals what was written, and frees, on failure too.  NULL is allowed. */
int fsmeta_media_write_end(struct fsmeta_media_writer *writer, struct fsmeta_error *error);

#endif
