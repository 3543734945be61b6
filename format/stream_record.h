/*
 * The records of a stream but for the batches: framing, header and trailer.
 * Internal to format/.
 */
#ifndef FSMETA_FORMAT_STREAM_RECORD_H
#define FSMETA_FORMAT_STREAM_RECORD_H

#include "format/batch.h"
#include "format/fsscan.pb-c.h"
#include "format/seekable.h"
#include "format/source.h"
#include "format/unpack.h"

#include <xxhash.h>

/** What every stream's header begins with. */
#define FSMETA_STREAM_SIGNATURE "FsScanStream"

/* ---- framing ---------------------------------------------------------- */

/** Field numbers of Record's oneof. */
enum fsmeta_record_kind {
	FSMETA_RECORD_HEADER = 1,
	FSMETA_RECORD_BATCH = 2,
	FSMETA_RECORD_CHANGE = 3,
	FSMETA_RECORD_TRAILER = 4,
	FSMETA_RECORD_SECTION = 5,
};

/** Makes `buffer` ready for a message to be appended that becomes a record. */
int fsmeta_record_begin(struct fsmeta_buffer *buffer);

/**
 * Puts length, tag and length in front of the message.  *offset receives where
 * the record begins in `buffer`, which it fills to the end; *message_offset where
 * the message does.
 */
void fsmeta_record_finish(struct fsmeta_buffer *buffer, enum fsmeta_record_kind kind,
    size_t *offset, size_t *message_offset);

/** A record within its frame, *borrowed* from the frame's content. */
struct fsmeta_record {
	/** Of the kinds above, or another number. */
	uint32_t kind;
	const unsigned char *message;
	size_t message_bytes;
	/** The record with its length prefix. */
	size_t total_bytes;
};

/** Reads the record at the start of `bytes`; false where there is none whole. */
bool fsmeta_record_parse(struct fsmeta_record *out, const unsigned char *bytes, size_t size);

/* ---- digests ---------------------------------------------------------- */

/** XXH3-128 of bytes. */
struct fsmeta_digest fsmeta_stream_digest(const void *bytes, size_t size);

static inline struct fsmeta_digest fsmeta_digest_from_xxh(XXH128_hash_t hash)
{
	return (struct fsmeta_digest){.low = hash.low64, .high = hash.high64};
}

/** 16 bytes, most significant first. */
void fsmeta_digest_store(unsigned char out[16], struct fsmeta_digest digest);
struct fsmeta_digest fsmeta_digest_load(const unsigned char bytes[16]);

/* ---- header ----------------------------------------------------------- */

/** Appends the Header message of a tree whose BatchSource is `source`. */
int fsmeta_header_pack(struct fsmeta_buffer *out, const struct fsmeta_batch_source *source,
    struct fsmeta_error *error);

/** Appends the Header message of a delta. */
int fsmeta_header_pack_delta(struct fsmeta_buffer *out, uint64_t base_generation,
    uint64_t generation, struct fsmeta_error *error);

struct fsmeta_header {
	uint32_t field_mask;
	enum fsmeta_id_kind id_kind;
	bool is_delta;
	/** From where to where a delta leads; of a tree only its own number. */
	uint64_t base_generation;
	uint64_t generation;
	/** As known at the start, of a delta empty; *owned*. */
	struct fsmeta_batch_source source;
};

/**
 * Initialises *out from the JSON text of a BatchSource in a record that begins at
 * `offset`.  As fsmeta_batch_source_from_json(), but FOREIGN is CORRUPT here.
 */
int fsmeta_record_source(struct fsmeta_batch_source *out, ProtobufCBinaryData json,
    const char *label, uint64_t offset, struct fsmeta_error *error);

/** True where the content of a first frame, or its beginning, is that of a stream. */
bool fsmeta_header_begins(const unsigned char *bytes, size_t size);

/**
 * Fills *out (initialised here; to be released on failure too).  FSMETA_E_FOREIGN,
 * FSMETA_E_UNSUPPORTED naming version or feature, FSMETA_E_CORRUPT, FSMETA_E_MEMORY.
 */
int fsmeta_header_parse(struct fsmeta_header *out, const struct fsmeta_record *record,
    const char *label, struct fsmeta_error *error);

void fsmeta_header_release(struct fsmeta_header *header);

/* ---- trailer ---------------------------------------------------------- */

/** The trailer's columns, one value a batch, as they are collected. */
struct fsmeta_batch_list {
	size_t count;
	/** uint32_t each. */
	struct fsmeta_buffer entries;
	struct fsmeta_buffer path_prefix;
	struct fsmeta_buffer path_suffix;
	struct fsmeta_buffer unseen;
	/** uint64_t each. */
	struct fsmeta_buffer offset;
	struct fsmeta_buffer id_min;
	struct fsmeta_buffer id_max;
	/** 16 bytes each. */
	struct fsmeta_buffer digests;
	/** Suffixes. */
	struct fsmeta_buffer paths;
	/** First path and frame offset of the last batch. */
	struct fsmeta_buffer last_path;
	uint64_t last_offset;
	/** Sum of `unseen`. */
	uint64_t unseen_total;
};

void fsmeta_batch_list_release(struct fsmeta_batch_list *list);

/** Appends a batch whose frame begins at `offset`.  0 or FSMETA_E_MEMORY. */
int fsmeta_batch_list_append(struct fsmeta_batch_list *list, const struct fsmeta_batch_facts *facts,
    struct fsmeta_digest digest, uint64_t offset);

/** Appends the Trailer message; `source` has totals and state digest. */
int fsmeta_trailer_pack(struct fsmeta_buffer *out, struct fsmeta_batch_list *list,
    const struct fsmeta_batch_source *source, enum fsmeta_id_kind id_kind,
    struct fsmeta_digest records_digest, const struct fsmeta_buffer *json,
    struct fsmeta_error *error);

/** A trailer that was read.  Must not be moved. */
struct fsmeta_trailer {
	struct fsmeta_unpack unpack;
	/** In the arena; NULL before parse. */
	const Fsmeta__V1__Trailer *message;
	size_t batch_count;
	struct fsmeta_digest records_digest;
	/** The final BatchSource; *owned*. */
	struct fsmeta_batch_source source;
};

void fsmeta_trailer_init(struct fsmeta_trailer *trailer);
void fsmeta_trailer_release(struct fsmeta_trailer *trailer);

/**
 * Parses and judges a trailer by itself and against the header: lengths, sums,
 * order of the first paths, BatchSource.  FSMETA_E_CORRUPT with the reason.
 */
int fsmeta_trailer_parse(struct fsmeta_trailer *trailer, const struct fsmeta_header *header,
    const struct fsmeta_record *record, const char *label, uint64_t offset,
    struct fsmeta_error *error);

/** NULL, or what in the trailer is not what was collected from the batches. */
const char *fsmeta_trailer_compare(
    const struct fsmeta_trailer *trailer, const struct fsmeta_batch_list *list);

/** NULL, or what in the trailer does not agree with the frames: header, batches, trailer. */
const char *fsmeta_trailer_compare_frames(
    const struct fsmeta_trailer *trailer, const struct fsmeta_seek_table *frames);

/** batch_digests[batch], which is below batch_count. */
struct fsmeta_digest fsmeta_trailer_batch_digest(
    const struct fsmeta_trailer *trailer, size_t batch);

/**
 * True where nothing in the batch went unseen, as far as the trailer knows: stepping
 * over it loses nothing.
 */
bool fsmeta_trailer_batch_is_seen(const struct fsmeta_trailer *trailer, size_t batch);

/**
 * A walk over the first paths of the batches.  Zero-initialised it stands in front
 * of the first one.
 */
struct fsmeta_trailer_walk {
	/** Batches passed or stood on. */
	size_t count;
	size_t paths_at;
	/** First path of batch count - 1. */
	struct fsmeta_buffer path;
};

void fsmeta_trailer_walk_release(struct fsmeta_trailer_walk *walk);

/** On to the next batch, of which there must be one.  0 or FSMETA_E_MEMORY. */
int fsmeta_trailer_walk_next(
    struct fsmeta_trailer_walk *walk, const struct fsmeta_trailer *trailer);

/**
 * Makes *path the first path of the batch behind the one the walk stands on, of which there
 * must be one.  0 or FSMETA_E_MEMORY.
 */
int fsmeta_trailer_walk_peek(struct fsmeta_buffer *path, const struct fsmeta_trailer_walk *walk,
    const struct fsmeta_trailer *trailer);

/**
 * True where the first path of the batch behind the one the walk stands on is
 * `folder` or below; false where there is no such batch.
 */
bool fsmeta_trailer_walk_next_is_within(const struct fsmeta_trailer_walk *walk,
    const struct fsmeta_trailer *trailer, const char *folder, size_t folder_length);

#endif
