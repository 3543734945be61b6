/*
 * Listings and changes as lines: for people (text), for programs (JSON lines, CSV), as
 * raw paths between NUL bytes, and whole trees in the formats of mtree and ncdu.
 *
 * Part of tools/, but of the kind of a library: it writes to the FILE it is given
 * and reports failures as codes.  Lines are collected in a buffer and written in
 * large pieces, each at once on a terminal.  Writing into a closed pipe is
 * FSMETA_E_SYSTEM with system_errno EPIPE, which the program ends on in silence.
 *
 * Text of changes: a letter, the path (a folder with a slash behind it, quoted
 * where it would not print plainly), and what else is to be said in parentheses:
 *
 *     A  added       D  removed    M  modified    R  moved (renamed)
 *     !  corrupted: the content differs, size and time of modification do not
 *     U  unreadable: what is below is not known, nothing of it is reported removed
 *     ?  unknown: the newer side did not look here; likewise
 *     K  known: in a history, looked at again after it was unreadable or unknown
 *
 *     A  cam2/  (1,000 entries, 12 GiB)
 *     D  cam1/1700000000_video.rf1p  (1.2 GiB)
 *     M  cam1/index.db  (size 1.0 MiB → 1.5 MiB, mtime 2026-11-20 10:00:00 → 11:02:13 UTC)
 *     R  new/x/  (from old/x/, 12,411 entries, 1.2 TiB)
 *     U  private/  (Permission denied; below it 12 entries, 4.0 GiB as last seen)
 *
 * JSON lines, one object each, keys in this order, those left out whose value is
 * not known (old_path_b64 and target_b64 behind theirs, like path_b64, which is
 * there only where the bytes are no UTF-8):
 *
 *     entry       [id] type path [path_b64] size mtime ctime btime mode uid gid dev
 *                 inode nlink allocated rdev target error other_filesystem
 *                 changed_while_read hash unknown_since
 *     added       kind, the entry's; of a folder also entries, bytes
 *     removed     likewise
 *     modified    kind type path fields old new, the latter two with the keys of
 *     corrupted   the fields that differ
 *     moved       kind type path old_path, of a folder entries bytes, and where it
 *                 was modified as well fields old new
 *     unreadable  kind type path error other_filesystem, of a folder entries bytes
 *     unknown     likewise
 *     known       kind type path unknown_since
 *
 * id only where ids are stable; dev is an index into the source's table of file
 * systems; other_filesystem and changed_while_read are true or not there.
 *
 * CSV is RFC 4180's, with the names of the columns in its first line, and CR LF behind
 * each.  Values are those of JSON lines, empty where not known:
 *
 *     entry       id type path path_b64 size … hash unknown_since
 *     change      kind type path path_b64 old_path old_path_b64 entries bytes fields,
 *                 the columns of the newer entry (of what was removed: the older),
 *                 old_size …: what `fields`, separated by blanks, says differs
 *
 * What mtree and ncdu take is told in output_mtree.c and output_ncdu.c.
 */
#ifndef FSMETA_TOOLS_OUTPUT_H
#define FSMETA_TOOLS_OUTPUT_H

#include "format/change.h"

#include <argp.h>
#include <stdio.h>

enum fsmeta_output_format {
	FSMETA_OUTPUT_TEXT = 0,
	FSMETA_OUTPUT_JSONL = 1,
	FSMETA_OUTPUT_CSV = 2,
	/** A manifest as mtree(8) compares it with a tree. */
	FSMETA_OUTPUT_MTREE = 3,
	/** ncdu's JSON export. */
	FSMETA_OUTPUT_NCDU = 4,
};

/** Sets of formats, bits 1 << enum fsmeta_output_format. */
enum fsmeta_output_formats {
	FSMETA_OUTPUT_LINES = 1 << FSMETA_OUTPUT_TEXT | 1 << FSMETA_OUTPUT_JSONL,
	/** What changes can be written as. */
	FSMETA_OUTPUT_CHANGES = FSMETA_OUTPUT_LINES | 1 << FSMETA_OUTPUT_CSV,
	/** What a folder with all that is below it can be written as. */
	FSMETA_OUTPUT_TREES =
	    FSMETA_OUTPUT_CHANGES | 1 << FSMETA_OUTPUT_MTREE | 1 << FSMETA_OUTPUT_NCDU,
};

enum fsmeta_output_flag {
	/**
	 * Instead of text: the path as raw bytes and a NUL.  A change is its letter,
	 * NUL, path, NUL; a move has the older path in front of the newer, with a NUL
	 * of its own.  The root is ".", folders have no slash.  Only text is concerned.
	 */
	FSMETA_OUTPUT_NULL = 1 << 0,
	/** Text of changes: also each descendant of an added or removed folder. */
	FSMETA_OUTPUT_ALL = 1 << 1,
	/**
	 * Of changes nothing is known but what the newer side is, as in a delta: no
	 * older values, and no totals of folders.
	 */
	FSMETA_OUTPUT_NEWER_ONLY = 1 << 2,
	/** Text of what was added or removed: also when it was modified last. */
	FSMETA_OUTPUT_DATED = 1 << 3,
	/** Text of changes: in colours, by kind. */
	FSMETA_OUTPUT_COLOURS = 1 << 4,
};

/** What lines say besides, NULL = nothing.  All is *borrowed*. */
struct fsmeta_output_context {
	/** In front of a line of text and at its end. */
	const char *before;
	const char *after;
	/** Keys in front of all others, each with a comma behind it. */
	const char *json;
	/** Keys behind all others, each with a comma in front. */
	const char *json_after;
};

struct fsmeta_output;

/** What a folder and all that is below it take. */
struct fsmeta_output_usage {
	/** The folder, or what else was measured; *borrowed*. */
	const struct fsmeta_entry *entry;
	/** Entries below it, each path counted. */
	uint64_t entries;
	/** Bytes of files and symlinks, and bytes on the disk of everything; links once. */
	uint64_t apparent;
	uint64_t allocated;
	/** enum fsmeta_field bits: SIZE and ALLOCATED where that is known at all. */
	uint32_t known;
};

/**
 * "text", "jsonl", "csv", "mtree", "ncdu"; false for a name that is none of them or not in
 * `allowed`, a set as in enum fsmeta_output_formats.
 */
bool fsmeta_output_format_parse(enum fsmeta_output_format *out, const char *name, uint32_t allowed);

/** At the end of the command line: --null goes with text alone. */
void fsmeta_output_check_null(
    enum fsmeta_output_format format, uint32_t flags, struct argp_state *state);

/** Takes the value of --format.  Wrong usage ends the program, and says what is `allowed`. */
void fsmeta_output_format_take(
    enum fsmeta_output_format *out, const char *text, uint32_t allowed, struct argp_state *state);

/**
 * "auto", "always", "never": whether to write colours to `stream`, in *out; false for
 * anything else.  auto = to a terminal that has them, unless NO_COLOR is set (no-color.org).
 */
bool fsmeta_output_colours_parse(bool *out, const char *when, FILE *stream);

/**
 * An output to `stream` (*borrowed*, neither locked nor closed).  `flags`: enum
 * fsmeta_output_flag bits.  `source` (*borrowed*) is where the entries come from,
 * of changes the newer side; its ids are written where they are stable.  What one output
 * gets is either entries, or changes, or usages.
 */
int fsmeta_output_new(struct fsmeta_output **out, FILE *stream, enum fsmeta_output_format format,
    uint32_t flags, const struct fsmeta_batch_source *source, struct fsmeta_error *error);

/** Writes the line of one entry. */
int fsmeta_output_entry(
    struct fsmeta_output *output, const struct fsmeta_entry *entry, struct fsmeta_error *error);

/** Writes the line of one measured folder; not as mtree or ncdu. */
int fsmeta_output_usage(struct fsmeta_output *output, const struct fsmeta_output_usage *usage,
    struct fsmeta_error *error);

/**
 * The output as a taker of changes, *borrowed* until free; one line a change.
 * `older` (*borrowed*) is the source of the older side.  Changes that are merely
 * CONTINUED are left out.
 */
struct fsmeta_change_sink *fsmeta_output_change_sink(
    struct fsmeta_output *output, const struct fsmeta_batch_source *older);

/** Said with all changes that follow; what was said so far is so no longer. */
void fsmeta_output_set_context(
    struct fsmeta_output *output, const struct fsmeta_output_context *context);

/** Writes that `entry` was looked at again, which was not known since a generation. */
int fsmeta_output_known(struct fsmeta_output *output, const struct fsmeta_entry *entry,
    uint64_t unknown_since, struct fsmeta_error *error);

/** Ends what was written, a table without lines or a tree, and flushes the stream. */
int fsmeta_output_finish(struct fsmeta_output *output, struct fsmeta_error *error);

/** Frees; what was not finished is lost.  NULL is allowed. */
void fsmeta_output_free(struct fsmeta_output *output);

#endif
