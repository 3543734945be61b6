/*
 * Temporary files and folders that tell whether somebody still works on them.
 *
 * A process that is killed leaves its temporary behind.  Whoever works on one holds
 * a lock on it (flock), which ends with the process whatever ended it, so the next
 * one can tell what is left over from what is in use.
 */
#ifndef FSMETA_BASE_TEMPORARY_H
#define FSMETA_BASE_TEMPORARY_H

#include "base/error.h"

#include <stdbool.h>

enum {
	/** Random letters behind the prefix of a temporary name. */
	FSMETA_TEMPORARY_RANDOM_BYTES = 8,
};

/** A new name, *new*: `prefix` and random letters.  NULL and errno on failure. */
char *fsmeta_temporary_name(const char *prefix);

/**
 * A file without a name, for reading and writing, that is gone once *fd is closed: made in `folder`
 * with O_TMPFILE, or made and unlinked at once; NULL = $TMPDIR, else /var/tmp, else /tmp.
 * *used (may be NULL) receives the folder, *borrowed* from `folder` or the environment.
 */
int fsmeta_temporary_open(
    int *fd, const char *folder, const char **used, struct fsmeta_error *error);

/**
 * Holds the temporary that was just made behind `fd`, until that is closed.  False where
 * somebody was quicker and took it for left over: make another.
 */
bool fsmeta_temporary_hold(int fd);

/**
 * Removes from the folder `folder_fd` every temporary of ours with `prefix` that nobody
 * holds, regular files or else folders with all that is in them, and names that
 * begin like such a file, go on with "-" and lower-case letters (a companion that a library
 * makes) and have none.  Best effort: what cannot be told or removed stays.
 */
void fsmeta_temporary_sweep(int folder_fd, const char *prefix, bool are_folders);

#endif
