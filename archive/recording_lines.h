/*
 * Inside of recordings: the line and the record of a chunk.
 */
#ifndef FSMETA_ARCHIVE_RECORDING_LINES_H
#define FSMETA_ARCHIVE_RECORDING_LINES_H

#include "archive/recordings.h"

enum {
	FSMETA_RECORD_BYTES = 16,
	FSMETA_RECORD_HEADER_BYTES = 32,
	/** No line of ours is longer. */
	FSMETA_LINE_MAX_BYTES = 160,
	/** Most of a bitstream behind the index that is searched for frames. */
	FSMETA_REBUILD_MAX_BYTES = 1 << 30,
};

/** "ROOT/rec_ID", *new*; NULL when memory is out. */
char *fsmeta_recording_path(const char *root, const char *id);

/** Appends {"offset":0,"size":45023,"timestamp":0,"type":"key","isKeyframe":true} and a newline. */
int fsmeta_recording_append_line(struct fsmeta_buffer *out, const struct fsmeta_chunk *chunk);

/** Reads one line without its newline, as above or any JSON object with these keys. */
bool fsmeta_recording_parse_line(struct fsmeta_chunk *out, const char *line, size_t length);

int fsmeta_recording_append_record(
    struct fsmeta_buffer *out, uint64_t offset, bool is_key, int64_t timestamp_us);

void fsmeta_recording_put_header(unsigned char out[FSMETA_RECORD_HEADER_BYTES], uint64_t count,
    uint64_t lines_bytes, bool is_sorted);

/** False where it is none of ours. */
bool fsmeta_recording_get_header(const unsigned char *from, size_t size, uint64_t *count,
    uint64_t *lines_bytes, bool *is_sorted);

/** As fsmeta_recording_open(), by the lines alone. */
int fsmeta_recording_open_lines(
    struct fsmeta_recording *out, const char *root, const char *id, struct fsmeta_error *error);

/** The same of a folder that somebody found, under whatever name, by the lines alone or not. */
int fsmeta_recording_open_folder(
    struct fsmeta_recording *out, const char *folder, bool lines_only, struct fsmeta_error *error);

/** As fsmeta_recording_recover(), of such a folder. */
int fsmeta_recording_recover_folder(
    const char *folder, struct fsmeta_recording_recovered *out, struct fsmeta_error *error);

#endif
