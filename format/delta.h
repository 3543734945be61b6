/*
 * FsScanStream deltas: what leads from one generation of a source to a later one.
 * docs/format.md, section 7, is the byte-level document.
 *
 *     header │ section │ changes … │ section │ changes … │ trailer
 *              41 → 42               42 → 43
 *
 * A delta is no tree and no cursor.  It is read whole and found right before
 * anything of it is handed out, so that whoever applies it meets no damage.
 */
#ifndef FSMETA_FORMAT_DELTA_H
#define FSMETA_FORMAT_DELTA_H

#include "format/change.h"
#include "format/cursor.h"

/** A kind beside those of enum fsmeta_change_kind. */
enum {
	/** No change: a folder above one, with path, id and type alone. */
	FSMETA_DELTA_PARENT = 8,
};

/** What leads from one generation to the next kept one. */
struct fsmeta_delta_section {
	uint64_t base_generation;
	uint64_t generation;
	struct fsmeta_digest base_state_digest;
	struct fsmeta_digest state_digest;
	/** What the database tells of the generation: struct fsmeta_db_generation. */
	uint64_t compared_with;
	uint64_t added;
	uint64_t removed;
	uint64_t modified;
	uint64_t moved;
	/** How many changes follow, parents included; a writer counts them itself. */
	uint64_t changes;
	/** Of the new generation, with totals and state digest. */
	const struct fsmeta_batch_source *source;
};

/** One change.  Everything is *borrowed*: by a writer for the call, of a reader until the next. */
struct fsmeta_delta_change {
	/** Of enum fsmeta_change_kind, or FSMETA_DELTA_PARENT. */
	int kind;
	/** Fields in which old and new differ: modified, corrupted, moved. */
	uint32_t differs;
	/**
	 * The entry as it is now, with its stable id; of removed, parent, unreadable
	 * and unknown only path, id and type, and of the latter two error and
	 * unknown_since: the first generation in which the place is unknown.
	 */
	const struct fsmeta_entry *entry;
	/** moved: where it was. */
	const char *old_path;
	size_t old_path_length;
	/** unreadable, unknown: the entry itself is carried, too. */
	bool whole;
};

/* ---- writing ---------------------------------------------------------- */

struct fsmeta_delta_summary {
	uint64_t sections;
	uint64_t changes;
	/** Bytes of entries.fss. */
	uint64_t file_bytes;
};

struct fsmeta_delta_writer;

/** A writer to `fd` (*borrowed*), only ever forward.  `label` is *borrowed*. */
int fsmeta_delta_writer_new(struct fsmeta_delta_writer **out, int fd, const char *label,
    uint64_t base_generation, uint64_t generation, struct fsmeta_error *error);

/** NULL is allowed. */
void fsmeta_delta_writer_free(struct fsmeta_delta_writer *writer);

/** Begins a section; `section` and its source are *borrowed* until it is ended. */
int fsmeta_delta_writer_begin_section(struct fsmeta_delta_writer *writer,
    const struct fsmeta_delta_section *section, struct fsmeta_error *error);

/**
 * Adds a change, in the order that the document gives (FSMETA_E_INTERNAL).  What
 * the order of parents and the values are is for the reader to judge.
 */
int fsmeta_delta_writer_add(struct fsmeta_delta_writer *writer,
    const struct fsmeta_delta_change *change, struct fsmeta_error *error);

/** Writes what is left of the section's changes.  FSMETA_E_INTERNAL where none was begun. */
int fsmeta_delta_writer_end_section(struct fsmeta_delta_writer *writer, struct fsmeta_error *error);

/** Writes trailer and seek table. */
int fsmeta_delta_writer_finish(struct fsmeta_delta_writer *writer,
    struct fsmeta_delta_summary *summary, struct fsmeta_error *error);

/** A delta on its way to a place, as struct fsmeta_stream_output. */
struct fsmeta_delta_output;

/** *new*, for commit or abort; the header is written.  Refusals as fsmeta_stream_output_new(). */
int fsmeta_delta_output_new(struct fsmeta_delta_output **out, const char *path,
    uint64_t base_generation, uint64_t generation, struct fsmeta_error *error);

/** *Borrowed*. */
struct fsmeta_delta_writer *fsmeta_delta_output_writer(struct fsmeta_delta_output *output);

/**
 * Does all that may fail for want of room: a folder is finished, with `source` as
 * source.json, and on the disk, and lacks but its name.  What goes to standard output
 * lacks its trailer, without which nobody takes it.  After a failure only abort is left.
 */
int fsmeta_delta_output_prepare(struct fsmeta_delta_output *output,
    const struct fsmeta_batch_source *source, struct fsmeta_error *error);

/** Adds what it lacks, after prepare.  Frees `output` in every case. */
int fsmeta_delta_output_commit(struct fsmeta_delta_output *output,
    struct fsmeta_delta_summary *summary, struct fsmeta_error *error);

/** Removes what was written and frees.  NULL is allowed. */
void fsmeta_delta_output_abort(struct fsmeta_delta_output *output);

/* ---- reading ---------------------------------------------------------- */

/** A delta that was read to its end and is right; kept in a spool. */
struct fsmeta_delta;

/** True where `path` is a folder or a file with a stream in it whose header says delta. */
bool fsmeta_delta_is(const char *path);

/**
 * Reads all of the folder or file `path`, *new*.  Errors as fsmeta_stream_open_folder();
 * FSMETA_E_REFUSED for a tree.
 */
int fsmeta_delta_open(struct fsmeta_delta **out, const char *path, struct fsmeta_error *error);

/**
 * What comes through a descriptor (*stolen*), one or the other: a tree as a cursor,
 * as fsmeta_stream_open_fd(), or a delta, read to its end.  The other one is NULL.
 */
int fsmeta_stream_open_either(struct fsmeta_cursor **tree, struct fsmeta_delta **delta, int fd,
    const char *label, struct fsmeta_error *error);

/** NULL is allowed. */
void fsmeta_delta_close(struct fsmeta_delta *delta);

/** From where to where it leads, sections, changes, bytes.  *Borrowed*. */
struct fsmeta_delta_facts {
	uint64_t base_generation;
	uint64_t generation;
	uint64_t sections;
	/** Parents not counted. */
	uint64_t changes;
	uint64_t file_bytes;
};
struct fsmeta_delta_facts fsmeta_delta_get_facts(const struct fsmeta_delta *delta);

/** Back to the front of the first section. */
void fsmeta_delta_rewind(struct fsmeta_delta *delta);

/**
 * 1 with the next section (*borrowed* until the one after it), what is left of this one is passed
 * over; 0 at the end; or a code.
 */
int fsmeta_delta_next_section(struct fsmeta_delta *delta,
    const struct fsmeta_delta_section **section, struct fsmeta_error *error);

/** 1 with the next change of the section (*borrowed* until the next call), 0 behind its last, or a
 * code. */
int fsmeta_delta_next_change(struct fsmeta_delta *delta, const struct fsmeta_delta_change **change,
    struct fsmeta_error *error);

/** Where two changes of a section may stand: <0 a in front of b; 0 only one of them may be. */
int fsmeta_delta_change_compare(
    const struct fsmeta_delta_change *a, const char *b_path, size_t b_path_length, int b_kind);

#endif
