/*
 * A track: an index of 64-bit words beside a file of packets, as the rf1 family has it.
 * Segments (.vidx beside .h264) and FSV (.rf1i beside .rf1p) are made of it.
 *
 * One thread at a time for each writer and each reader.  A reader may open what a writer, here
 * or in another process, still appends to, and sees what was appended so far.
 */
#ifndef FSMETA_ARCHIVE_TRACK_H
#define FSMETA_ARCHIVE_TRACK_H

#include "archive/index_word.h"
#include "archive/look.h"
#include "base/error.h"
#include "base/memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FSMETA_TRACK_HEADER_BYTES = 32,
	/** The header counts in 16 bits; the closing sentinel is not counted. */
	FSMETA_TRACK_PACKETS_MAX = 65535,
	FSMETA_TRACK_BYTES_MAX = FSMETA_WORD_LOCATION_MAX,
	FSMETA_CODEC_BYTES = 4,
};

/** Flags of the header. */
enum fsmeta_track_flag {
	/** Closed in order.  A count above 0 says the same, of files that others wrote. */
	FSMETA_TRACK_SEALED = 1 << 0,
	/** Begins where the file before ended at a limit, not at a key frame. */
	FSMETA_TRACK_CONTINUES = 1 << 1,
};

/** What the header of an index says. */
struct fsmeta_track_format {
	/** "h264", "h265", or another four of a-z 0-9; no NUL. */
	char codec[FSMETA_CODEC_BYTES];
	bool is_audio;
	/** FSMETA_TRACK_CONTINUES or 0; the writer sets SEALED. */
	uint32_t flags;
	/** Pixels; 0 of audio. */
	uint16_t width;
	uint16_t height;
	/** All 0 of audio. */
	struct fsmeta_look look;
	/** Microseconds since 1970 from which the words count. */
	int64_t base_us;
};

/** One packet: an access unit, or its parameter sets. */
struct fsmeta_packet {
	/** When it is shown, microseconds since 1970. */
	int64_t time_us;
	/**
	 * How long before that it must be decoded at the latest, where the encoder reorders;
	 * 0 = not known.  Packets that follow a key frame and are shown before it are
	 * provided for by this much.  Not stored.
	 */
	uint32_t lead_us;
	/** enum fsmeta_packet_flag bits. */
	uint32_t flags;
	/** *Borrowed*. */
	const void *bytes;
	size_t size;
};

/* ---- writing ---- */

struct fsmeta_track_writer;

/**
 * Makes both files, which must not exist (EEXIST), and holds them against other writers.
 * `reserve_bytes`: disk space that is laid out ahead of the packets in one piece, again and again,
 * so that many files that grow together do not tear one another into fragments; 0 = none.  File
 * systems that cannot do that are written to without.  FSMETA_E_USAGE for a wrong format.
 */
int fsmeta_track_create(struct fsmeta_track_writer **out, const char *index_path,
    const char *packets_path, const struct fsmeta_track_format *format, uint64_t reserve_bytes,
    struct fsmeta_error *error);

/** Whether `bytes` more in `count` packets up to time_us would go in. */
bool fsmeta_track_has_room(
    const struct fsmeta_track_writer *writer, int64_t time_us, uint64_t bytes, uint32_t count);

/**
 * Appends packets: all of them, or on failure none.  They are with the system when it
 * returns and outlive the process, not a power cut.  Packets that lie side by side in memory are
 * written in one call.  FSMETA_E_LIMIT where they do not fit into the limits or time_us is before
 * the base; FSMETA_E_USAGE for a packet without bytes.
 */
int fsmeta_track_append(struct fsmeta_track_writer *writer, const struct fsmeta_packet *packets,
    size_t count, struct fsmeta_error *error);

/** Makes what was appended outlive a power cut: packets first, then the index. */
int fsmeta_track_sync(struct fsmeta_track_writer *writer, struct fsmeta_error *error);

/** Packets and bytes so far, and the largest time among them (the base of none). */
void fsmeta_track_written(
    const struct fsmeta_track_writer *writer, uint32_t *count, uint64_t *bytes, int64_t *end_us);

/**
 * Seals: gives back the space that was laid out, writes the count, syncs, frees.  Frees on
 * failure, too; the files then open as after a crash.  NULL is allowed.
 */
int fsmeta_track_close(struct fsmeta_track_writer *writer, struct fsmeta_error *error);

/** Frees without sealing.  For what is given up; NULL is allowed. */
void fsmeta_track_abandon(struct fsmeta_track_writer *writer);

/* ---- reading ---- */

/** An open track.  Fields are for reading. */
struct fsmeta_track {
	struct fsmeta_track_format format;
	/** `count` + 1 words in the machine's order; the last is the sentinel: its location is the
	 *  end of the last packet. */
	uint64_t *words;
	uint32_t count;
	/** Closed in order, whatever became of it since … */
	bool was_sealed;
	/** … and all that was closed is there. */
	bool is_sealed;
	/** Packets that the index speaks of and that are not whole. */
	uint32_t lost_packets;
	/** Bytes of the frame file behind the last whole packet. */
	uint64_t trailing_bytes;
	/** Sizes of the files as they are. */
	uint64_t index_bytes;
	uint64_t packets_bytes;
	int packets_fd;
	/** *Owned*. */
	char *packets_path;
};

/**
 * Opens for reading.  Whatever the files have been through, what is served is the longest
 * beginning of which every packet is whole.  FSMETA_E_FOREIGN where the index has no header of
 * the kind.  `out` owns nothing on failure; else release it.
 */
int fsmeta_track_open(struct fsmeta_track *out, const char *index_path, const char *packets_path,
    struct fsmeta_error *error);

/** The same from the index alone, with the size of the frame file as it is known; no reading. */
int fsmeta_track_parse(struct fsmeta_track *out, const unsigned char *index, size_t index_bytes,
    uint64_t packets_bytes, const char *index_path, struct fsmeta_error *error);

void fsmeta_track_release(struct fsmeta_track *track);

/** Time of packet i < count, microseconds since 1970. */
int64_t fsmeta_track_time_us(const struct fsmeta_track *track, uint32_t i);

/** Where packet i lies and how long it is. */
static inline uint32_t fsmeta_track_location(const struct fsmeta_track *track, uint32_t i)
{
	return fsmeta_word_location(track->words[i]);
}

static inline uint32_t fsmeta_track_size(const struct fsmeta_track *track, uint32_t i)
{
	return fsmeta_word_location(track->words[i + 1]) - fsmeta_word_location(track->words[i]);
}

/** The smallest and largest time; the base for both where there are no packets. */
void fsmeta_track_extent(const struct fsmeta_track *track, int64_t *start_us, int64_t *end_us);

/**
 * Packets [*first, *last) in which everything lies that is shown in [from_us, to_us): in the order
 * of the file, which is that of decoding, so others may lie among them.  With `to_key` it begins
 * at the last key frame that is not shown later than the first of them (and with the parameter
 * sets in front of it), *first = 0 where there is none.  Empty where nothing is shown then.
 */
void fsmeta_track_window(const struct fsmeta_track *track, int64_t from_us, int64_t to_us,
    bool to_key, uint32_t *first, uint32_t *last);

/** Appends the bytes of packets [first, last) to `out`: one read. */
int fsmeta_track_read(const struct fsmeta_track *track, uint32_t first, uint32_t last,
    struct fsmeta_buffer *out, struct fsmeta_error *error);

/** Takes packets, whose bytes live as long as the call; a code other than 0 ends the visit. */
typedef int fsmeta_track_visit(
    void *payload, const struct fsmeta_packet *packet, struct fsmeta_error *error);

/** Visits packets [first, last); `bytes` is room to read them into, some 32 MiB at a time. */
int fsmeta_track_visit_packets(const struct fsmeta_track *track, uint32_t first, uint32_t last,
    struct fsmeta_buffer *bytes, fsmeta_track_visit *visit, struct fsmeta_error *error,
    void *payload);

/** Whether packet `first`, but for parameter sets in front, is a key frame. */
bool fsmeta_track_begins_with_key(const struct fsmeta_track *track, uint32_t first);

/**
 * Whether a failure of fsmeta_track_open() or _recover() is about what the files hold, and not
 * about the machine: an archive with such a file goes on with the others.
 */
bool fsmeta_track_is_damage(int code);

/** The last key frame of all, with the parameter sets in front of it; 0 where there is none. */
uint32_t fsmeta_track_last_key(const struct fsmeta_track *track);

/**
 * Whether a crash came right after the files were made: the index has no header yet, and the
 * packets are empty or missing.  Nothing was ever in it.
 */
bool fsmeta_track_is_stillborn(const char *index_path, const char *packets_path);

/**
 * Seals what a crash left: cuts both files behind the last whole packet; what is stillborn is
 * removed.  1 where that was done, 0 where it was sealed already, FSMETA_E_BUSY while a writer
 * holds it.  One that lost packets since it was sealed stays as it is: its index alone tells of
 * them.
 */
int fsmeta_track_recover(
    const char *index_path, const char *packets_path, struct fsmeta_error *error);

#endif
