/*
 * Files: reading that is bounded, writing that is whole or not at all.
 *
 * A file or folder that fsmeta makes appears under its final name only when it
 * is complete and on the disk.  Until then it lives beside it under a hidden
 * temporary name ".NAME.fsmeta-XXXXXXXX" and is removed on failure.  What a killed
 * process leaves is removed by the next that replaces the same (base/temporary.h).
 */
#ifndef FSMETA_BASE_FILE_H
#define FSMETA_BASE_FILE_H

#include "base/error.h"
#include "base/memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * write(2) until all is written or it fails; EINTR is retried, and a descriptor
 * that somebody made non-blocking is waited for.
 */
int fsmeta_write_all(
    int fd, const void *bytes, size_t size, const char *path, struct fsmeta_error *error);

/**
 * read(2) until `size` bytes are there or the end is reached; *got says how
 * many.  Works on pipes.
 */
int fsmeta_read_full(
    int fd, void *bytes, size_t size, size_t *got, const char *path, struct fsmeta_error *error);

/** The same at an offset with pread(2). */
int fsmeta_read_full_at(int fd, void *bytes, size_t size, uint64_t offset, size_t *got,
    const char *path, struct fsmeta_error *error);

/**
 * Appends the whole of `name` in folder `folder_fd` (AT_FDCWD is allowed) to
 * `out`.  Never follows a link in the last component, accepts regular files
 * only (others, and links: FSMETA_E_FOREIGN), and refuses more than `limit_bytes`
 * with FSMETA_E_LIMIT.  A missing one is FSMETA_E_SYSTEM with ENOENT.  On failure
 * `out` is as it was.  Errors carry `name` as their path.
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
	/** A folder that is exchanged, held until it is removed; -1 = none. */
	int old_fd;
	/** Whether PATH existed at the beginning, and which inode it was. */
	bool existed;
	dev_t old_device;
	ino_t old_inode;
};

/**
 * Starts replacing the file PATH.  On success call commit or abort, once.
 * A PATH that exists as something other than a regular file (a link, too) is
 * FSMETA_E_REFUSED, and so is one that does not end in a name: "", "/", "x/", ".".
 * The umask applies to `mode`.  On failure `out` owns nothing, and abort is safe.
 */
int fsmeta_replace_file_begin(
    struct fsmeta_replace *out, const char *path, mode_t mode, struct fsmeta_error *error);

/**
 * Starts replacing (or making) the folder PATH; "x/" is "x".  The owner may always
 * read and write it, whatever `mode` says.  Refusals as for files.  That an
 * existing folder may be lost is for the caller to judge, best between begin and
 * commit: commit replaces the very folder that was there at begin, or nothing.
 */
int fsmeta_replace_folder_begin(
    struct fsmeta_replace *out, const char *path, mode_t mode, struct fsmeta_error *error);

/**
 * Makes it durable and visible: fsync of what is in it, rename (a folder that
 * exists under the final name is exchanged in one step with RENAME_EXCHANGE and
 * its old content then removed), fsync of the parent.  The caller has synced
 * and closed the files it made inside a folder.  On failure the old content
 * stands and the temporary is gone.  Releases `replace` in every case.
 *
 * FSMETA_E_BUSY where a folder PATH has appeared, gone or been replaced since the
 * beginning.  Two failures come too late to keep the old content, and their
 * action says "the new content is in place": the last fsync, of the parent; and
 * removing an old folder, which then remains under the temporary name.
 *
 * Where the file system has no RENAME_EXCHANGE (NFS, 9p), a crash between two
 * renames may leave PATH missing, with both contents under temporary names.
 */
int fsmeta_replace_commit(struct fsmeta_replace *replace, struct fsmeta_error *error);

/** Removes the temporary and releases `replace`.  Safe on a zeroed one with fd -1. */
void fsmeta_replace_abort(struct fsmeta_replace *replace);

/**
 * Removes the folder `name` below `folder_fd` with all files directly in it and
 * sub-folders below, never following links and never leaving the file system
 * (FSMETA_E_REFUSED, also where `name` is a mount point or no folder).  Any depth
 * up to FSMETA_DEPTH_MAX, with one or two descriptors.  It stops at the first
 * failure; the error's path begins with `name`.  Missing is no error.
 */
int fsmeta_remove_tree_at(int folder_fd, const char *name, struct fsmeta_error *error);

#endif
