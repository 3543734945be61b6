/*
 * Operands: live folder, stream, or database at a generation, told apart by
 * content, never by extension.
 *
 *     DIR                  live folder, or a stream if its entries.fss opens
 *     FILE                 a bare .fss file, or a database, by what is in it
 *     DB@7 DB@-1 DB@latest DB@{2026-11-01}
 *     -                    a stream on standard input
 *     live:DIR stream:PATH db:FILE[@N]    no guessing
 *
 * A path that exists as written wins over '@'.
 */
#ifndef FSMETA_TOOLS_OPERAND_H
#define FSMETA_TOOLS_OPERAND_H

#include "base/file.h"
#include "db/db.h"
#include "format/cursor.h"
#include "format/delta.h"
#include "scanner/scanner.h"

enum fsmeta_operand_kind {
	FSMETA_OPERAND_LIVE = 1,
	/** A folder with source.json and entries.fss. */
	FSMETA_OPERAND_STREAM_FOLDER,
	/** A bare entries.fss. */
	FSMETA_OPERAND_STREAM_FILE,
	/** Standard input, a FIFO or anything else that can only be read forward. */
	FSMETA_OPERAND_STREAM_PIPE,
	FSMETA_OPERAND_DATABASE,
};

struct fsmeta_operand {
	enum fsmeta_operand_kind kind;
	/** As given, for messages; *borrowed* from the command line. */
	const char *text;
	/** A prefix said what it is. */
	bool is_told;
	/** Path without prefix and generation; *owned*.  "-" for standard input. */
	char *path;
	/** What stood behind '@', or NULL; points into `path`'s allocation. */
	const char *generation;
	/** Of a database operand after open; *owned*. */
	struct fsmeta_db *db;
	/** Generation opened, of a database operand. */
	uint64_t number;
};

struct fsmeta_operand_options {
	/** For a live operand: passed on to the scanner. May be NULL. */
	const struct fsmeta_scan_options *scan;
	/** For a database operand: leave out what is only carried. */
	bool seen_only;
};

/**
 * Finds out what `text` is.  Nothing stays open.  FSMETA_E_SYSTEM (missing),
 * FSMETA_E_FOREIGN (neither stream nor database).  Release `out` in any case.
 */
int fsmeta_operand_parse(struct fsmeta_operand *out, const char *text, struct fsmeta_error *error);

/**
 * A path within a source as a person types it: "./a/b/" is "a/b", "." is "".  Changes
 * `text` and points into it; NULL where it is no path of that kind ("../x", "/x").
 */
const char *fsmeta_operand_inner_path(char *text);

/** Closes and frees what the operand holds; cursors of it must be closed before. */
void fsmeta_operand_release(struct fsmeta_operand *operand);

/**
 * Parses and opens, for reading, what has to be a database as a whole: `out` gets its
 * db.  FSMETA_E_USAGE for anything else and where a generation is named.  Release `out` in
 * any case.
 */
int fsmeta_operand_open_database(
    struct fsmeta_operand *out, const char *text, struct fsmeta_error *error);

/** Opens a cursor over it, *new*; the operand must outlive the cursor. */
int fsmeta_operand_open(struct fsmeta_cursor **out, struct fsmeta_operand *operand,
    const struct fsmeta_operand_options *options, struct fsmeta_error *error);

/**
 * The same for what may also be a delta: *cursor or *delta is set.  FSMETA_E_REFUSED
 * for a delta comes from fsmeta_operand_open() alone.
 */
int fsmeta_operand_open_either(struct fsmeta_cursor **cursor, struct fsmeta_delta **delta,
    struct fsmeta_operand *operand, const struct fsmeta_operand_options *options,
    struct fsmeta_error *error);

/**
 * fsmeta_replace_file_begin() of a file of results.  FSMETA_E_REFUSED where a database or a stream
 * stands: nobody means to lose those for a page or a listing.
 */
int fsmeta_operand_replace_begin(
    struct fsmeta_replace *out, const char *path, struct fsmeta_error *error);

/** True for two generations of one database file; both operands are parsed. */
bool fsmeta_operands_are_one_database(const struct fsmeta_operand operands[2]);

/**
 * Opens two that are to be compared.  Of two generations of one database the cursors hand
 * out what may differ, see fsmeta_db_difference_cursors().  On failure the ones that were
 * opened are in `out` all the same, the others NULL.
 */
int fsmeta_operand_open_pair(struct fsmeta_cursor *out[2], struct fsmeta_operand operands[2],
    const struct fsmeta_operand_options *options, struct fsmeta_error *error);

#endif
