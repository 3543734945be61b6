/*
 * Where may two generations differ?  The answer lets a reader leave out the rest.
 *
 * It is made once for both sides, within one snapshot, because what is left out on one
 * side must be left out on the other.
 */
#ifndef FSMETA_DB_SELECTION_H
#define FSMETA_DB_SELECTION_H

#include "base/memory.h"
#include "db/connection.h"
#include "db/db.h"

/** A name that may differ: a row of table `change`. */
struct fsmeta_selected_name {
	int64_t folder;
	/** In the difference's arena; length 0 = the folder itself. */
	const char *name;
	size_t length;
};

/** A folder to be read. */
struct fsmeta_selected_folder {
	int64_t ord;
	int64_t folder;
	/** With all that is below it; else only `names` of its files. */
	bool whole;
	const struct fsmeta_selected_name *names;
	size_t name_count;
};

/** What is to be read of one generation: folders by ord, all those above them too. */
struct fsmeta_selection {
	struct fsmeta_selected_folder *folders;
	size_t count;
};

/** Zeroed = nothing is known: everything has to be read. */
struct fsmeta_difference {
	/** `sides` say what to read; false = everything. */
	bool is_known;
	struct fsmeta_selection sides[2];
	/** By folder and name, each once. */
	struct fsmeta_selected_name *names;
	size_t name_count;
	struct fsmeta_arena arena;
};

/**
 * Finds where the two kept generations may differ, in any field and in what is carried
 * below the places that one of them does not know.  Not in unknown_since elsewhere.
 * is_known is false where that cannot be told, or where reading all is as cheap.
 * *out is initialised here, to be released.  FSMETA_E_MEMORY, FSMETA_E_CORRUPT and what
 * reading may give.
 */
int fsmeta_difference_init(struct fsmeta_difference *out,
    const struct fsmeta_connection *connection,
    const struct fsmeta_db_generation *const generations[2], struct fsmeta_error *error);

void fsmeta_difference_release(struct fsmeta_difference *difference);

#endif
