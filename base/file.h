/*
 * Files: reading that is bounded, writing that is whole or not at all.
 *
 * A file or folder that fsmeta makes appears under its final name only when it
 * is complete and on the disk.  Until then it lives beside it under a hidden
 * temporary name ".NAME.fsmeta-XXXXXXXX" and is removed on failure.
 */
#ifndef FSMETA_BASE_FILE_H
#define FSMETA_BASE_FILE_H

#include "base/error.h"
#include "base/memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** write(2) until all is written or it fails; EINTR is retried. */
int fsmeta_write_all(int fd, const void *bytes, size_t size, const char *path,
    struct fsmeta_error *error);

/**
 * read(2) until `size` bytes are there or the end is reached; *got says how
 * many.  Works on pipes.
 */
int fsmeta_read_full(int fd, void *bytes, size_t size, size_t *got, const char *path,
    struct fsmeta_error *error);

/** The same at an offset with pread(2). */
int fsmeta_read_full_at(int fd, void *bytes, size_t size, uint64_t offset, size_t *got,
    const char *path, struct fsmeta_error *error);

/**
 * Appends the whole of `name` in folder `folder_fd` (AT_FDCWD is allowed) to
 * `out`.  Never follows a link in the last component, accepts regular files
 * only, and refuses more than `limit_bytes` with FSMETA_E_LIMIT.
 */
int fsmeta_read_file_at(struct fsmeta_buffer *out, int folder_fd, const char *name,
    size_t limit_bytes, struct fsmeta_error *error);

/**
 * A replacement under way for PATH.  For a file `fd` is open for writing; for a
 * folder `fd` is a descriptor of the new, empty, temporary folder, to be filled
 * with openat(2).
 */
struct fsmeta_replace {
	int fd;
	/** Descriptor of the folder that holds PATH. */
	int parent_fd;
	bool is_folder;
	/** The final path as given, *owned*. */
	char *path;
	/** Final and temporary names within parent_fd, *owned*. */
	char *name;
	char *temporary;
	/** Whether PATH existed at the beginning, and which inode it was. */
	bool existed;
	dev_t old_device;
	ino_t old_inode;
};

/**
 * Starts replacing the file PATH.  On success call commit or abort, once.
 * A PATH that exists as something other than a regular file is refused.
 */
int fsmeta_replace_file_begin(
    struct fsmeta_replace *out, const char *path, mode_t mode, struct fsmeta_error *error);

/** Starts replacing (or making) the folder PATH. */
int fsmeta_replace_folder_begin(
    struct fsmeta_replace *out, const char *path, mode_t mode, struct fsmeta_error *error);

/**
 * Makes it durable and visible: fsync of what is in it, rename (a folder that
 * exists under the final name is exchanged in one step with RENAME_EXCHANGE and
 * its old content then removed), fsync of the parent.  The caller has synced
 * and closed the files it made inside a folder.  On failure the old content
 * stands and the temporary is gone.  Releases `replace` in every case.
 */
int fsmeta_replace_commit(struct fsmeta_replace *replace, struct fsmeta_error *error);

/** Removes the temporary and releases `replace`.  Safe on a zeroed one with fd -1. */
void fsmeta_replace_abort(struct fsmeta_replace *replace);

/**
 * Removes the folder `name` below `folder_fd` with all files directly in it and
 * sub-folders below, never following links and never leaving the file system.
 * Missing is no error.
 */
int fsmeta_remove_tree_at(int folder_fd, const char *name, struct fsmeta_error *error);

#endif
