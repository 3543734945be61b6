/*
 * What FSV asks of a format of video files, so that another one can take its place.  A container is
 * one file of a stream with one or more tracks, which may be several files on the disk.
 *
 * Handles are used by one thread at a time.
 */
#ifndef FSMETA_ARCHIVE_FSV_CONTAINER_H
#define FSMETA_ARCHIVE_FSV_CONTAINER_H

#include "archive/track.h"

struct fsmeta_container_writer;
struct fsmeta_container_reader;

/** What the name of a file on the disk says. */
struct fsmeta_container_name {
	/** As written: Unix time. */
	uint64_t time;
	/** 10 = seconds, 13 = milliseconds. */
	unsigned digits;
	/** Points into the name. */
	const char *track;
	size_t track_length;
	/** Bit 0: the index, bit 1: the packets. */
	unsigned parts;
};

struct fsmeta_container_operations {
	/** False where a file of that name is none of this format. */
	bool (*parse_name)(struct fsmeta_container_name *out, const char *name, size_t length);

	/** A writer of the file FOLDER/TIME; no track and nothing on the disk yet. */
	int (*create)(struct fsmeta_container_writer **out, const char *folder, uint64_t time_ms,
	    uint64_t reserve_bytes, struct fsmeta_error *error);
	/** Adds a track; FSMETA_E_SYSTEM with EEXIST where its files are there. */
	int (*add_track)(struct fsmeta_container_writer *writer, const char *track,
	    const struct fsmeta_track_format *format, struct fsmeta_error *error);
	/** Whether the track, which was added, takes these. */
	bool (*has_room)(const struct fsmeta_container_writer *writer, const char *track,
	    int64_t time_us, uint64_t bytes, uint32_t count);
	/** All or none, as fsmeta_track_append(). */
	int (*append)(struct fsmeta_container_writer *writer, const char *track,
	    const struct fsmeta_packet *packets, size_t count, struct fsmeta_error *error);
	/** What all files will measure when they are closed. */
	uint64_t (*bytes)(const struct fsmeta_container_writer *writer);
	int (*sync)(struct fsmeta_container_writer *writer, struct fsmeta_error *error);
	/** Seals and frees, also on failure.  NULL is allowed. */
	int (*close)(struct fsmeta_container_writer *writer, struct fsmeta_error *error);

	/** Opens one track of the file FOLDER/NAME-as-written. */
	int (*open)(struct fsmeta_container_reader **out, const char *folder, uint64_t time,
	    const char *track, struct fsmeta_error *error);
	/** The packets as an open track; *borrowed*. */
	const struct fsmeta_track *(*track)(const struct fsmeta_container_reader *reader);
	void (*release)(struct fsmeta_container_reader *reader);

	/** Seals what a crash left.  1 = done, 0 = was sealed, or a code. */
	int (*recover)(
	    const char *folder, uint64_t time, const char *track, struct fsmeta_error *error);
	/** Removes a track's files; that they are missing is fine. */
	int (*remove)(
	    const char *folder, uint64_t time, const char *track, struct fsmeta_error *error);
};

/** TIME_TRACK.rf1i and TIME_TRACK.rf1p. */
extern const struct fsmeta_container_operations fsmeta_container_rf1;

#endif
