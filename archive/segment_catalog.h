/*
 * The records of segments: stream, start, end, sizes, in a SQLite file `segments.db` in the
 * root of the archive, by stream and start, so that a window is found without opening a segment.
 *
 * The files are the truth and the catalog can be made from them again; it says where to look.
 * One thread at a time.
 */
#ifndef FSMETA_ARCHIVE_SEGMENT_CATALOG_H
#define FSMETA_ARCHIVE_SEGMENT_CATALOG_H

#include "archive/track.h"

#define FSMETA_SEGMENT_CATALOG_NAME "segments.db"

/** One segment. */
struct fsmeta_segment {
	/** *Borrowed*, for as long as the call that hands it out. */
	const char *stream;
	/** START_MS of the files' names, which need not be the start to the microsecond. */
	int64_t name_ms;
	/** Microseconds since 1970: the first and the last packet that is shown. */
	int64_t start_us;
	int64_t end_us;
	uint32_t packets;
	uint64_t index_bytes;
	uint64_t frame_bytes;
	char codec[FSMETA_CODEC_BYTES + 1];
	uint16_t width;
	uint16_t height;
	/** Only of segments whose packets are read; the catalog does not keep it. */
	struct fsmeta_look look;
	/** Begins where the one before ended at a limit, not at a key frame. */
	bool continues;
	/** false while it grows; its end and sizes are then those of its beginning. */
	bool sealed;
};

struct fsmeta_segment_catalog;

/** Opens, and makes where `writable`.  ":memory:" is one for the time being. */
int fsmeta_segment_catalog_open(struct fsmeta_segment_catalog **out, const char *path,
    bool writable, struct fsmeta_error *error);

/** NULL is allowed. */
void fsmeta_segment_catalog_close(struct fsmeta_segment_catalog *catalog);

/** Adds a segment or replaces what is known of it (stream and name_ms tell which). */
int fsmeta_segment_catalog_put(struct fsmeta_segment_catalog *catalog,
    const struct fsmeta_segment *segment, struct fsmeta_error *error);

/** Forgets all. */
int fsmeta_segment_catalog_clear(
    struct fsmeta_segment_catalog *catalog, struct fsmeta_error *error);

/** What comes between is done as a whole or not at all. */
int fsmeta_segment_catalog_begin(
    struct fsmeta_segment_catalog *catalog, struct fsmeta_error *error);
int fsmeta_segment_catalog_commit(
    struct fsmeta_segment_catalog *catalog, struct fsmeta_error *error);
void fsmeta_segment_catalog_rollback(struct fsmeta_segment_catalog *catalog);

/** Takes segments; a code other than 0 ends the query and becomes its own. */
typedef int fsmeta_segment_visit(
    void *payload, const struct fsmeta_segment *segment, struct fsmeta_error *error);

/**
 * Visits what may hold something in [from_us, to_us), by start; of all streams, by
 * stream and start, where `stream` is NULL.  The catalog must not be changed meanwhile.
 */
int fsmeta_segment_catalog_window(struct fsmeta_segment_catalog *catalog, const char *stream,
    int64_t from_us, int64_t to_us, fsmeta_segment_visit *visit, struct fsmeta_error *error,
    void *payload);

/** Visits the segment of a stream that starts last before `before_us`, if there is one. */
int fsmeta_segment_catalog_previous(struct fsmeta_segment_catalog *catalog, const char *stream,
    int64_t before_us, fsmeta_segment_visit *visit, struct fsmeta_error *error, void *payload);

#endif
