/*
 * Which folders of the newest generation hold something that was not seen: carried, or
 * without metadata because that could not be read.  Usually none, and found without
 * reading the tree.
 */
#ifndef FSMETA_DB_UNSEEN_H
#define FSMETA_DB_UNSEEN_H

#include "db/internal.h"

/** A set of folders' ids.  Zero-initialised = empty. */
struct fsmeta_folder_set {
	/** Ascending, each once, after sort. */
	int64_t *ids;
	size_t count;
	size_t capacity;
};

/** After the last ids were added, before the first question. */
void fsmeta_folder_set_sort(struct fsmeta_folder_set *set);
bool fsmeta_folder_set_has(const struct fsmeta_folder_set *set, int64_t id);
void fsmeta_folder_set_release(struct fsmeta_folder_set *set);

/** Adds the ids that are the rows of `sql`, into which `values` are bound. */
int fsmeta_folder_set_select(struct fsmeta_folder_set *set,
    const struct fsmeta_connection *connection, const char *sql, const int64_t *values, int count,
    struct fsmeta_error *error);

/** Zero-initialised = everything was seen. */
struct fsmeta_unseen {
	/** Folders below which things are carried, whatever they are. */
	struct fsmeta_folder_set roots;
	/** These, and folders of files that were not seen. */
	struct fsmeta_folder_set folders;
};

/** Finds them, into zero-initialised *out, to be released also on failure. */
int fsmeta_unseen_load(struct fsmeta_unseen *out, const struct fsmeta_connection *connection,
    const struct fsmeta_db_generation *generation, struct fsmeta_error *error);

void fsmeta_unseen_release(struct fsmeta_unseen *unseen);

#endif
