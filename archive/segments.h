/*
 * Segments: continuous recording of H.264 and H.265 streams, many hundred hours of them.
 *
 *     ROOT/segments.db                        records of all segments (segment_catalog.h)
 *     ROOT/STREAM/START_MS.vidx               an index (track.h)
 *     ROOT/STREAM/START_MS.h264 or .h265      its frames: a byte stream that any player plays
 *
 * One thread at a time.  Readers in other processes see what the writer appended; two
 * writers of one stream are refused.
 */
#ifndef FSMETA_ARCHIVE_SEGMENTS_H
#define FSMETA_ARCHIVE_SEGMENTS_H

#include "archive/segment_catalog.h"
#include "archive/track.h"

struct fsmeta_segments_options {
	/** From here on the next key frame begins a new segment; 0 = 1000 s, 960 MiB, 60,000. */
	int64_t target_us;
	uint64_t target_bytes;
	uint32_t target_packets;
	/** A key frame after a pause longer than this begins a new segment; 0 = 10 s. */
	int64_t pause_us;
	/** How much of the recording a power cut may take; 0 = what the system has not written yet.
	 */
	int64_t sync_us;
	/** Disk space that is laid out ahead (track.h); 0 = 16 MiB, 1 = none. */
	uint64_t reserve_bytes;
};

/** What a stream consists of; a change begins a new segment. */
struct fsmeta_segment_format {
	/** "h264" or "h265". */
	char codec[FSMETA_CODEC_BYTES];
	uint16_t width;
	uint16_t height;
	struct fsmeta_look look;
};

struct fsmeta_segments;

/** What fsmeta_segments_reconcile() found. */
struct fsmeta_segments_found {
	uint64_t segments;
	/** Left unsealed by a crash, and sealed now. */
	uint64_t recovered;
	/** Held by a writer. */
	uint64_t growing;
	/** An index without frames, frames without an index, or what is no index inside. */
	uint64_t orphans;
	/** Packets that an index speaks of and that are not there. */
	uint64_t lost_packets;
};

/**
 * Opens the archive at `root`; with `writable` makes root and catalog.  Without, an archive that
 * has no catalog is read by one that is made in memory.  `options` may be NULL.
 */
int fsmeta_segments_open(struct fsmeta_segments **out, const char *root, bool writable,
    const struct fsmeta_segments_options *options, struct fsmeta_error *error);

/** Seals what grows, frees.  Frees on failure too.  NULL is allowed. */
int fsmeta_segments_close(struct fsmeta_segments *segments, struct fsmeta_error *error);

/**
 * Makes the catalog say what the folders hold, and seals what crashed writers left.  Of an archive
 * that is not open for writing only the catalog in memory is made; nothing on the disk is changed.
 * Files that it does not know are left alone.
 */
int fsmeta_segments_reconcile(struct fsmeta_segments *segments, struct fsmeta_segments_found *found,
    struct fsmeta_error *error);

/**
 * Appends an access unit in Annex B to a stream, in the order of decoding.  KEY and ESSENTIAL
 * are found out, the flags are only added to.  The parameter sets that were seen last are
 * put at the start of a segment, so that each can be decoded by itself.  Where a limit comes before
 * a key frame, the segment ends there and the next one continues it: no packet is lost.
 *
 * FSMETA_E_REFUSED before the first key frame with its parameter sets.  FSMETA_E_USAGE for
 * what is no Annex B and for a format that is changed at another place than a key frame.
 */
int fsmeta_segments_append(struct fsmeta_segments *segments, const char *stream,
    const struct fsmeta_segment_format *format, const struct fsmeta_packet *packet,
    struct fsmeta_error *error);

/** Makes all that was appended outlive a power cut. */
int fsmeta_segments_sync(struct fsmeta_segments *segments, struct fsmeta_error *error);

/** The records; *borrowed* until close, and of an archive for reading until it is reconciled. */
struct fsmeta_segment_catalog *fsmeta_segments_catalog(struct fsmeta_segments *segments);

/** Takes packets, whose bytes live as long as the call; a code other than 0 ends the reading. */
typedef int fsmeta_packet_visit(void *payload, const struct fsmeta_segment *segment,
    const struct fsmeta_packet *packet, struct fsmeta_error *error);

/**
 * Visits the packets of a stream from the key frame with which [from_us, to_us) can be
 * decoded, in the order of decoding, across segments.  *missing (may be NULL) counts segments that
 * the catalog knows and that are not there any more.
 */
int fsmeta_segments_read(struct fsmeta_segments *segments, const char *stream, int64_t from_us,
    int64_t to_us, uint64_t *missing, fsmeta_packet_visit *visit, struct fsmeta_error *error,
    void *payload);

#endif
