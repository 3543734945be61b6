/*
 * Video files of other people's formats (mp4, mkv, webm, MPEG-TS, …): packets out of them and into
 * them, without re-encoding.
 *
 * libavformat does the work.  It costs 30 ms and 29 MB at every start, so it is not linked: a
 * module of ours that links it is loaded when fsmeta_media_load() is called, and nobody else pays.
 *
 *     archive read  ── media_read ──┐
 *                                   ├── media.h ══ dlopen ══ media_libav.c ── libav…
 *     archive write ── media_write ─┘
 *
 * All times are microseconds.  Handles are used by one thread at a time, one module for all.
 */
#ifndef FSMETA_ARCHIVE_MEDIA_H
#define FSMETA_ARCHIVE_MEDIA_H

#include "archive/track.h"

enum {
	/** Of the structures below: a module of another build is refused. */
	FSMETA_MEDIA_INTERFACE = 2,
	FSMETA_MEDIA_NAME_BYTES = 32,
	/** Tracks of one file that are looked at. */
	FSMETA_MEDIA_TRACKS_MAX = 64,
};

/** What a track consists of. */
struct fsmeta_media_track {
	bool is_audio;
	/**
	 * As the layouts name it: "h264", "h265", "vp09"; "mp4a" (AAC), "opus", "mpga" (MP3),
	 * "flac", "alaw", "ulaw".  All NUL where they have no name for it.
	 */
	char codec[FSMETA_CODEC_BYTES];
	/** What libavcodec calls it, for messages. */
	char codec_name[FSMETA_MEDIA_NAME_BYTES];
	/** As WebCodecs spells it: "vp09.00.10.08"; empty where nobody asks. */
	char codec_string[FSMETA_MEDIA_NAME_BYTES];
	uint32_t width;
	uint32_t height;
	/** What the container or the bitstream says; of turns, quarters alone. */
	struct fsmeta_look look;
	struct fsmeta_hdr hdr;
	/** 0 = not known. */
	uint32_t framerate_millihertz;
	/** Audio only. */
	uint32_t sample_rate;
	uint32_t channels;
	/**
	 * What a decoder must have first: of H.264 and H.265 the parameter sets as Annex B, else
	 * the codec's own configuration.  *Borrowed* from the input.
	 */
	const void *config;
	size_t config_bytes;
};

/** A packet of H.264 or H.265 is Annex B, whatever the file has. */
struct fsmeta_media_packet {
	/** Position among the tracks. */
	size_t track;
	bool is_key;
	/** Shown, and decoded at the latest. */
	int64_t pts_us;
	int64_t dts_us;
	/** *Borrowed* until the next call. */
	const void *bytes;
	size_t size;
};

/** Bytes to be demuxed. */
struct fsmeta_media_source {
	/** For messages and nothing else. */
	const char *name;
	/** *Borrowed*; a regular file is read where need be, anything else forward. */
	int fd;
	/**
	 * Called before each read, and every quarter of a second while there is nothing to be read;
	 * a code other than 0 ends the reading and becomes its own.
	 */
	int (*idle)(void *payload, struct fsmeta_error *error);
	void *payload;
};

struct fsmeta_media_input;

struct fsmeta_media_description {
	const struct fsmeta_media_track *tracks;
	size_t count;
	/** The best of each sort, or -1. */
	int video;
	int audio;
	/** When the file says it was made; -1 = it does not. */
	int64_t created_us;
	/** When its first bytes came, since 1970: what is recorded live begins then. */
	int64_t arrived_us;
	/** When its video begins on its own clock. */
	int64_t start_us;
	/** 0 = not known. */
	int64_t duration_us;
};

struct fsmeta_media_output;

struct fsmeta_media_operations {
	/** FSMETA_MEDIA_INTERFACE and FSMETA_VERSION, as the module was built. */
	uint32_t interface;
	const char *version;

	/**
	 * Opens a file for reading.  FSMETA_E_FOREIGN where it is none or is damaged,
	 * FSMETA_E_TRUNCATED where its own index speaks of what lies behind its end.  `source` must
	 * outlive it.
	 */
	int (*open)(struct fsmeta_media_input **out, const struct fsmeta_media_source *source,
	    struct fsmeta_error *error);
	/** *Borrowed* until close. */
	const struct fsmeta_media_description *(*describe)(const struct fsmeta_media_input *input);
	/** 1 with the next packet in the order of decoding, of those tracks that are described
	 * as the best; 0 at the end. */
	int (*next)(struct fsmeta_media_input *input, struct fsmeta_media_packet *out,
	    struct fsmeta_error *error);
	/** NULL is allowed. */
	void (*close)(struct fsmeta_media_input *input);

	/**
	 * Begins a file on `fd` (*borrowed*, can be written and sought in), of the format that the
	 * ending of `name` says.  `first` is the first key frame of track 0, the video: from it
	 * comes what only the bitstream says.  `start_us` (since 1970) is noted as the time of its
	 * making. FSMETA_E_USAGE for an ending that is not known or a codec that the format does
	 * not take.
	 */
	int (*create)(struct fsmeta_media_output **out, int fd, const char *name,
	    const struct fsmeta_media_track *tracks, size_t count,
	    const struct fsmeta_media_packet *first, int64_t start_us, struct fsmeta_error *error);
	/** Whether a format takes a codec. */
	bool (*takes)(const char *name, const struct fsmeta_media_track *track);
	/** How many frames the decoder holds back to bring them into order. */
	uint32_t (*reorder_depth)(const struct fsmeta_media_output *output);
	/** In the order of decoding; times count from the start of the file. */
	int (*write)(struct fsmeta_media_output *output, const struct fsmeta_media_packet *packet,
	    struct fsmeta_error *error);
	/** Ends the file; frees, also on failure. */
	int (*finish)(struct fsmeta_media_output *output, struct fsmeta_error *error);
	/** Frees without ending it.  NULL is allowed. */
	void (*abandon)(struct fsmeta_media_output *output);
};

/** The name of what the module exports, a struct fsmeta_media_operations. */
#define FSMETA_MEDIA_SYMBOL "fsmeta_media_libav"

/**
 * Loads the module, which is never unloaded, from where it lies beside this program.
 * FSMETA_E_UNSUPPORTED where this fsmeta was built without it, or it is not there or of another
 * build.
 */
int fsmeta_media_load(const struct fsmeta_media_operations **out, struct fsmeta_error *error);

#endif
