/*
 * The change spool: changes written down one after the other, replayed later.
 *
 * Lies between the merge, which learns a folder's totals only after its last
 * descendant, and the sinks, which want them in front.  Compact, and in memory
 * only up to a bound: see base/spool.h.  One thread at a time.
 */
#ifndef FSMETA_DIFF_CHANGE_SPOOL_H
#define FSMETA_DIFF_CHANGE_SPOOL_H

#include "format/change.h"

struct fsmeta_change_spool;

/**
 * A new, empty spool, *owned* by the caller.  `memory_bytes`: bound, 0 = the
 * default of base/spool.h.
 */
int fsmeta_change_spool_new(
    struct fsmeta_change_spool **out, size_t memory_bytes, struct fsmeta_error *error);

/** NULL is allowed. */
void fsmeta_change_spool_free(struct fsmeta_change_spool *spool);

/**
 * Writes a copy of `change` at the end, all of it: flags, fields, totals, both
 * entries, and the older path where it is another one.  *place (may be NULL)
 * names the record to amend() or drop().
 */
int fsmeta_change_spool_append(struct fsmeta_change_spool *spool,
    const struct fsmeta_change *change, uint64_t *place, struct fsmeta_error *error);

/** Replaces flags and totals of a record. */
int fsmeta_change_spool_amend(struct fsmeta_change_spool *spool, uint64_t place, uint32_t flags,
    uint64_t entries, uint64_t bytes, struct fsmeta_error *error);

/** Makes replay pass a record by, as if it had never been appended. */
int fsmeta_change_spool_drop(
    struct fsmeta_change_spool *spool, uint64_t place, struct fsmeta_error *error);

/** How many records there are, dropped ones included; also the ordinal of the next. */
uint64_t fsmeta_change_spool_count(const struct fsmeta_change_spool *spool);

/** Where the next record will begin. */
uint64_t fsmeta_change_spool_end(const struct fsmeta_change_spool *spool);

/** Makes the next record a key: reading can begin there. */
void fsmeta_change_spool_begin_key(struct fsmeta_change_spool *spool);

/** Where a record lies, and the key record at or in front of it from which it can be read. */
struct fsmeta_change_place {
	uint64_t record;
	uint64_t key;
};

/** The place of the record appended last, which lies at `place`. */
struct fsmeta_change_place fsmeta_change_spool_last(
    const struct fsmeta_change_spool *spool, uint64_t place);

/**
 * Reads a spool to which nothing is appended or amended any more, from front to back or
 * here and there.  Any number of readers may read one spool.
 */
struct fsmeta_change_reader;

/** A reader in front of the first record, *owned* by the caller; it reads `ahead_bytes` at once. */
int fsmeta_change_reader_new(struct fsmeta_change_reader **out, struct fsmeta_change_spool *spool,
    size_t ahead_bytes, struct fsmeta_error *error);

/** NULL is allowed. */
void fsmeta_change_reader_free(struct fsmeta_change_reader *reader);

/** 1 with the next record, *borrowed* until the next call; 0 behind the last one; or a code. */
int fsmeta_change_reader_next(struct fsmeta_change_reader *reader,
    const struct fsmeta_change **change, struct fsmeta_error *error);

/** Whether the record read last was dropped. */
bool fsmeta_change_reader_dropped(const struct fsmeta_change_reader *reader);

/** Place and ordinal (from 0) of the record read last. */
struct fsmeta_change_place fsmeta_change_reader_place(
    const struct fsmeta_change_reader *reader, uint64_t *ordinal);

/** What is read next begins at `place`, a key record, and has this ordinal. */
void fsmeta_change_reader_seek(
    struct fsmeta_change_reader *reader, uint64_t place, uint64_t ordinal);

/** Reads a single record; ordinals mean nothing afterwards.  0 or a code. */
int fsmeta_change_reader_at(struct fsmeta_change_reader *reader, struct fsmeta_change_place place,
    const struct fsmeta_change **change, struct fsmeta_error *error);

/**
 * Hands every record to the sink in the order of appending; may be called again.
 * What the sink gets is *borrowed* until its function returns.  Ends with the
 * first code that the sink returns.
 */
int fsmeta_change_spool_replay(
    struct fsmeta_change_spool *spool, struct fsmeta_change_sink *sink, struct fsmeta_error *error);

/**
 * The same in less time: of a change kind, flags and totals, and one entry, the one that names it,
 * with its path, name, depth and type alone.
 */
int fsmeta_change_spool_replay_names(
    struct fsmeta_change_spool *spool, struct fsmeta_change_sink *sink, struct fsmeta_error *error);

#endif
