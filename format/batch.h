/*
 * A batch: up to FSMETA_BATCH_MAX_ENTRIES entries as the columns of one protobuf
 * message, both ways.  docs/format.md says what every column means.
 *
 * A batch refers to nothing outside of itself: same entries, same bytes, wherever
 * in a stream it stands.
 */
#ifndef FSMETA_FORMAT_BATCH_H
#define FSMETA_FORMAT_BATCH_H

#include "base/path.h"
#include "format/entry.h"
#include "format/source.h"

enum {
	/**
	 * Longest serialised batch accepted, in bytes.  A batch of the largest size
	 * with every column at its widest, 4 MiB of names and targets and a base
	 * path of 16 MiB stays below it.
	 */
	FSMETA_BATCH_MAX_BYTES = 40 << 20,
};

/* ---- building --------------------------------------------------------- */

struct fsmeta_batch_builder;

/**
 * An empty builder for entries of `source` (*borrowed* until free): its field mask
 * and id kind are read now, its table of file systems as entries come.
 */
int fsmeta_batch_builder_new(struct fsmeta_batch_builder **out,
    const struct fsmeta_batch_source *source, struct fsmeta_error *error);

/** NULL is allowed. */
void fsmeta_batch_builder_free(struct fsmeta_batch_builder *builder);

/** Forgets the entries, keeps the memory. */
void fsmeta_batch_builder_clear(struct fsmeta_batch_builder *builder);

/**
 * Adds an entry.  The caller has checked its place (canonical order, right behind
 * the one before), its name and its type.  Fields outside the mask, and such as its
 * type cannot have, are left out.  FSMETA_E_MEMORY; FSMETA_E_INTERNAL for a value
 * that no entry can have (nanoseconds, device index, hash algorithm).
 */
int fsmeta_batch_builder_add(struct fsmeta_batch_builder *builder, const struct fsmeta_entry *entry,
    struct fsmeta_error *error);

/** Entries so far. */
uint32_t fsmeta_batch_builder_count(const struct fsmeta_batch_builder *builder);

/** Bytes of their names and targets. */
size_t fsmeta_batch_builder_text_bytes(const struct fsmeta_batch_builder *builder);

/**
 * Appends the serialised Batch message.  Once: the builder is to be cleared before anything
 * else is done with its entries.  0 or FSMETA_E_MEMORY.
 */
int fsmeta_batch_builder_pack(
    struct fsmeta_batch_builder *builder, struct fsmeta_buffer *out, struct fsmeta_error *error);

enum {
	/** The most cuts that a message has: around its columns, between their planes. */
	FSMETA_BATCH_CUTS_MAX = 128,
};

/**
 * Offsets in the serialised Batch `bytes` at which a compressor does well to begin
 * anew, because a large column or plane of another nature begins there; ascending.
 * Returns how many there are.
 */
size_t fsmeta_batch_cuts(
    size_t cuts[FSMETA_BATCH_CUTS_MAX], const unsigned char *bytes, size_t size);

/** What the trailer says of a batch. */
struct fsmeta_batch_facts {
	uint32_t entries;
	/** Of the first entry; *borrowed* until the builder changes. */
	const char *first_path;
	size_t first_path_length;
	/** Smallest and largest id; 0 without stable ids. */
	uint64_t id_min;
	uint64_t id_max;
	/** Entries of which fsmeta_entry_is_unseen() is true. */
	uint32_t unseen;
};

void fsmeta_batch_builder_facts(
    const struct fsmeta_batch_builder *builder, struct fsmeta_batch_facts *facts);

/* ---- reading ---------------------------------------------------------- */

struct fsmeta_batch_reader;

/**
 * A reader of the batches of a stream with this field mask and id kind.  `source`
 * is *borrowed*; entries' device is an index into its table of file systems.  With
 * `table_grows`, file systems that a batch names and the table lacks are added;
 * without, they are FSMETA_E_CORRUPT.
 */
int fsmeta_batch_reader_new(struct fsmeta_batch_reader **out, struct fsmeta_batch_source *source,
    uint32_t field_mask, enum fsmeta_id_kind id_kind, bool table_grows);

/** NULL is allowed. */
void fsmeta_batch_reader_free(struct fsmeta_batch_reader *reader);

/**
 * Takes the serialised Batch (not needed afterwards).  Its entries must follow
 * what the reader yielded last, or begin with the root if it yielded nothing.
 * `first_ordinal` is the position of its first entry, from 1.  FSMETA_E_CORRUPT
 * with the reason (no path, no offset: the caller knows them), FSMETA_E_LIMIT,
 * FSMETA_E_MEMORY.
 */
int fsmeta_batch_reader_load(struct fsmeta_batch_reader *reader, const unsigned char *bytes,
    size_t size, uint64_t first_ordinal, struct fsmeta_error *error);

/**
 * The batch to be loaded next does not follow what was yielded last: batches in
 * between were passed over, and its base path is believed.
 */
void fsmeta_batch_reader_detach(struct fsmeta_batch_reader *reader);

/** Forgets everything that was yielded: the batch to be loaded next is the first again. */
void fsmeta_batch_reader_rewind(struct fsmeta_batch_reader *reader);

/**
 * 1 with *entry (*borrowed* until the next call), 0 at the end of the batch or
 * with none loaded, or a code as of load.
 */
int fsmeta_batch_reader_next(struct fsmeta_batch_reader *reader, const struct fsmeta_entry **entry,
    struct fsmeta_error *error);

/**
 * Passes over what comes next in both readers, two different ones, and is equal there, as of
 * fsmeta_cursor_pass_equal(), as far as both have decoded it and within the batches in hand: never
 * the first entry of one.  *count is how many.  0 or FSMETA_E_MEMORY.
 */
int fsmeta_batch_reader_pass_equal(struct fsmeta_batch_reader *a, struct fsmeta_batch_reader *b,
    uint32_t mask, uint64_t *count, struct fsmeta_error *error);

/** Entries of the batch in hand that next() has not yielded yet. */
uint32_t fsmeta_batch_reader_left(const struct fsmeta_batch_reader *reader);

/** Depth of the entry that next() will yield; only where one is left. */
uint32_t fsmeta_batch_reader_next_depth(const struct fsmeta_batch_reader *reader);

/**
 * Behind a batch's last entry, that is when next() has said 0: of how many of its entries
 * fsmeta_entry_is_unseen() was true.
 */
uint32_t fsmeta_batch_reader_unseen(const struct fsmeta_batch_reader *reader);

/** Entries of the batch in hand. */
uint32_t fsmeta_batch_reader_count(const struct fsmeta_batch_reader *reader);

/** Path of the entry yielded last, *borrowed* until the next call. */
const char *fsmeta_batch_reader_path(const struct fsmeta_batch_reader *reader, size_t *length);

#endif
