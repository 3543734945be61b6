/*
 * Reading one generation of a database in canonical order over a connection that
 * is there already.  fsmeta_db_cursor(), the writer and verify stand on this.
 */
#ifndef FSMETA_DB_READER_H
#define FSMETA_DB_READER_H

#include "db/carried.h"
#include "db/connection.h"
#include "db/row.h"
#include "db/selection.h"
#include "format/cursor.h"

#include <signal.h>

struct fsmeta_reader;

struct fsmeta_reader_options {
	uint64_t generation;
	/** The generation's, *borrowed*, for what was asked for; NULL = read from its row. */
	const struct fsmeta_batch_source *source;
	/** No past versions need to be looked at. */
	bool newest;
	/** Fields that this generation has. */
	uint32_t field_mask;
	bool seen_only;
	/** What to read, *borrowed* until free; NULL = everything. */
	const struct fsmeta_selection *selection;
	const volatile sig_atomic_t *stop;
};

/** Gives a new connection the SQL function that readers stand on. */
int fsmeta_reader_register(const struct fsmeta_connection *connection, struct fsmeta_error *error);

/**
 * A reader of one generation.  All that is handed in is *borrowed* until free.
 * Runs within whatever transaction the connection is in.
 */
int fsmeta_reader_new(struct fsmeta_reader **out, const struct fsmeta_connection *connection,
    const struct fsmeta_dictionary *dictionary, const struct fsmeta_reader_options *options,
    struct fsmeta_error *error);

/** As fsmeta_cursor_next(). */
int fsmeta_reader_next(
    struct fsmeta_reader *reader, const struct fsmeta_entry **entry, struct fsmeta_error *error);

/** As fsmeta_cursor_skip(). */
int fsmeta_reader_skip(struct fsmeta_reader *reader, uint32_t depth, struct fsmeta_error *error);

/** As fsmeta_cursor_leap(); a reader with a selection leaves out nothing. */
int fsmeta_reader_leap(
    struct fsmeta_reader *reader, const char *path, size_t length, struct fsmeta_error *error);

/**
 * True right after next() gave a folder (its id in *folder) in which nothing is carried,
 * unless it is a place of its own in `unknown`.
 */
bool fsmeta_reader_enters(const struct fsmeta_reader *reader, uint64_t *folder);

/** Leaves out the files of the folder that next() gave last. */
void fsmeta_reader_pass_files(struct fsmeta_reader *reader);

/** NULL is allowed. */
void fsmeta_reader_free(struct fsmeta_reader *reader);

#endif
