/*
 * The scanner: a live tree as a cursor, depth first in canonical order.
 *
 * Never follows a symlink, in no component; never leaves the file system of the
 * root unless asked; names are bytes.  What cannot be read is an entry with
 * FSMETA_FLAG_UNREADABLE and an errno, never an omission.  Memory is bounded by
 * the folders on the current path (a very large one costs some 40 bytes a name) and by
 * what may be read ahead of them (16 MiB of entries, 16 MiB of listings of very large
 * folders, and what each thread is at); descriptors by 128, two for each further
 * thread and a few, whatever the depth, or by what the process may have.
 *
 * Threads.  Folders are read ahead by threads of the scanner's own; they start when
 * there is something to read ahead, and none is left when the cursor is closed.  They
 * block all signals.  The cursor itself is for one thread at a time, which does the
 * same work while it waits.  A slow reader of the cursor stops them; a skip drops what was
 * read ahead.  What comes out does not depend on their number, except for changes
 * that happen during the scan: an entry is as it was at some moment of the scan, not
 * necessarily the one at which it is handed out.
 *
 * What an entry says:
 *   - A folder's metadata is what it was before its names were read.  If its mtime or
 *     ctime moved meanwhile it has FSMETA_FLAG_CHANGED_WHILE_READ.
 *   - A folder that cannot be opened, or not to its end, has
 *     FSMETA_FLAG_UNREADABLE; the names read before the error still follow.  This is
 *     also the way of a folder that vanished or was replaced by something else
 *     before its turn (ENOENT, ENOTDIR), of one at FSMETA_DEPTH_MAX and of one with
 *     names that no input may have (ENAMETOOLONG).
 *   - A name that is gone by the time its metadata is read is left out.  Where the
 *     metadata is refused the entry has the type that the folder told ("file" where it
 *     told none), no fields, FSMETA_FLAG_UNREADABLE and the errno.
 *   - A link whose target is refused is UNREADABLE and has all fields but that one.
 *   - A mount point that is not entered is described as `find -xdev` does: by what
 *     is mounted there.
 *   - `fields` holds what the file system knew: birth times may be missing.  size and
 *     allocated are there for every type, as the kernel gives them.
 *   - A sub-tree that is missing gives no entry, and no error: the source names it
 *     among its `subtrees`, so that somebody looked and nothing was there.  One that
 *     is no folder gives its one entry.  Links on the way are not followed: what is
 *     there is the link.
 *   - With a guide (docs/quick-scans.md) the files of a folder that it vouches for are left
 *     out for as long as the reader of the cursor takes that: after such a folder a
 *     FSMETA_RUN_FILES with the guide's token is offered, and who does not step over it
 *     gets the folder as it is on the disk.
 *   - Inode numbers are left out on file systems that make them up when an inode is
 *     loaded (vfat, msdos, exfat, 9p, fuse and what is built on it, virtiofs, cifs,
 *     smb3); where the root lies on one, the source's field mask has no inode.
 */
#ifndef FSMETA_SCANNER_SCANNER_H
#define FSMETA_SCANNER_SCANNER_H

#include "format/cursor.h"
#include "format/guide.h"

#include <signal.h>
#include <sys/types.h>

/**
 * A name in one folder that the scan leaves out as if it were not there: the
 * database being written, its -wal, -shm and -journal, the stream being written.
 */
struct fsmeta_scan_hidden {
	/** The folder that holds it. */
	dev_t folder_device;
	ino_t folder_inode;
	/** Its name there, *borrowed* until close; a trailing '*' matches any rest, "" too. */
	const char *name;
};

struct fsmeta_scan_options {
	/** Fields wanted, 0 = FSMETA_FIELDS_ALL; inode numbers are dropped where unstable. */
	uint32_t field_mask;
	/** Enter other file systems. */
	bool cross_filesystems;
	/**
	 * --source-id, or NULL: the "source_id" of a `.fsmetadrive.json` in the root, else
	 * "fs:UUID:PATH" with the path of the root within its file system (which is the
	 * one below the mount point unless a part was bind-mounted), else none.
	 * *Borrowed* until open returns.
	 */
	const char *source_id;
	/**
	 * Pass over a marker that was made on another file system, instead of refusing
	 * the tree: for who only looks and keeps nothing under its identity.
	 */
	bool pass_over_copied_marker;
	/**
	 * Parts of the tree to look at, none = all of it: valid paths (base/path.h)
	 * but "", in any order, one inside another or twice too.  What a scan yields then
	 * is the folders on the way to them, alone, and all that is at and below them.
	 * *Borrowed* until open returns, as are the excludes.
	 */
	const char *const *subtrees;
	size_t subtree_count;
	/** What to leave out: format/exclude.h.  Left-out folders are not entered. */
	const char *const *excludes;
	size_t exclude_count;
	/** Names to leave out, the array too *borrowed* until close. */
	const struct fsmeta_scan_hidden *hidden;
	size_t hidden_count;
	/** When it becomes non-zero next() returns FSMETA_E_STOPPED.  May be NULL. */
	const volatile sig_atomic_t *stop;
	/**
	 * Threads that read, the caller's included: 1 = none beside it, and nothing is read
	 * before its turn; 0 = as many as pay.  At most 256.
	 */
	unsigned threads;
	/** Most entries a second, 0 = any number; nothing is then read ahead. */
	uint32_t max_rate;
	/**
	 * Makes the scan a quick one; NULL = complete.  *Borrowed* until next() has returned 0,
	 * or close.  It has to be
	 * of this source, with the same excludes, file systems and field mask, and neither
	 * side may have sub-trees.
	 */
	struct fsmeta_guide *guide;
	/** Believe the times of folders on whatever file system the root lies. */
	bool force_quick;
};

/**
 * Opens the folder `path` for scanning.  Everything about the source that is
 * known at the start (machine, mount, file system, source id, scope, start time)
 * is in cursor->source; finished, totals, scope lists and owner names are filled
 * when next() has returned 0.  A root that is a link to a folder is followed;
 * nothing below it is.  `options` may be NULL.  One thread at a time.
 *
 * Errors of open: FSMETA_E_SYSTEM (missing, no folder, no permission),
 * FSMETA_E_MEMORY, FSMETA_E_REFUSED (a marker that was made on another file system; a
 * guide, and a file system on which a folder's times say nothing), FSMETA_E_USAGE (a
 * sub-tree that is no valid path or that the excludes leave out, or beside a guide).
 * next(): FSMETA_E_MEMORY, FSMETA_E_STOPPED; single entries never
 * fail the scan, but that FSMETA_E_SYSTEM comes where a folder whose files the guide vouched
 * for cannot be listed although they are wanted.  skip() never fails.
 */
int fsmeta_scan_open(struct fsmeta_cursor **out, const char *path,
    const struct fsmeta_scan_options *options, struct fsmeta_error *error);

/** What a scan uses, for tests and for who wants to know where its time goes. */
struct fsmeta_scan_measures {
	/** Most bytes of results that waited to be handed out, listings of very large folders
	 * apart. */
	size_t waiting_bytes;
	size_t listing_bytes;
	/** Most descriptors that were open at a time. */
	unsigned descriptors;
	/** Threads that were started beside the caller's. */
	unsigned threads;
	/** How many of them have nothing that they may do, at this moment. */
	unsigned sleeping;
	/** Folders and pieces of folders that were there before they were needed … */
	uint64_t done_ahead;
	/** … and that were dropped without having been needed. */
	uint64_t dropped;
	/** Listings of large folders that were put off for lack of room. */
	uint64_t suspended;
};

/** The measures of a cursor that fsmeta_scan_open() gave; by the thread that reads it. */
void fsmeta_scan_measure(struct fsmeta_cursor *cursor, struct fsmeta_scan_measures *out);

#endif
