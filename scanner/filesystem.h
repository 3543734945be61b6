/*
 * File systems: which one an entry lies on, what identifies it for years, and
 * what it can be trusted with.
 */
#ifndef FSMETA_SCANNER_FILESYSTEM_H
#define FSMETA_SCANNER_FILESYSTEM_H

#include "base/error.h"
#include "format/source.h"
#include "scanner/folder.h"

#include <stdbool.h>
#include <stdint.h>

/** One file system that the scan met. */
struct fsmeta_filesystem_facts {
	uint64_t device;
	uint64_t mount_id;
	/** Index in the source's table; FSMETA_DEVICE_NONE where that is full. */
	uint32_t index;
	/** Inode numbers mean the same file after the next mount. */
	bool inodes_last;
	/** A folder's mtime and ctime move whenever its names change, as far as is known. */
	bool dates_folders;
};

struct fsmeta_filesystem_table;

/**
 * A new table that adds what it meets to `source` (*borrowed* until free).
 * 0 or FSMETA_E_MEMORY.
 */
int fsmeta_filesystem_table_new(struct fsmeta_filesystem_table **out,
    struct fsmeta_batch_source *source, struct fsmeta_error *error);

/** NULL is allowed. */
void fsmeta_filesystem_table_free(struct fsmeta_filesystem_table *table);

/**
 * Facts about the file system that `record` lies on, *borrowed* until free.
 * `folder_fd` and `name` say where the record was read (name "" = the descriptor
 * itself); the UUID may need a look at the place itself.  0 or FSMETA_E_MEMORY.
 */
int fsmeta_filesystem_find(struct fsmeta_filesystem_table *table,
    const struct fsmeta_folder_record *record, int folder_fd, const char *name,
    const struct fsmeta_filesystem_facts **out, struct fsmeta_error *error);

/**
 * Fills what the source says about its root `root_fd`: mount point, path below
 * it, case rule, and source id.  The latter is that of the options, else the one in
 * the root's marker file, else "fs:UUID:PATH", PATH being the root's path within
 * that file system ("" for the whole of it; the same through every bind mount),
 * else it stays unknown.  Where the id is not told by the options, what the place
 * would give is an alias (docs/source-identity.md).  The machine must be known before.
 * 0, FSMETA_E_MEMORY, or FSMETA_E_REFUSED where the marker came with a copy.
 */
int fsmeta_filesystem_describe_root(struct fsmeta_filesystem_table *table, int root_fd,
    const struct fsmeta_folder_record *root, const struct fsmeta_scan_options *options,
    struct fsmeta_error *error);

/**
 * True where a folder's times tell whether its names changed, on a file system of this type
 * (as mountinfo calls it, "fuse.sshfs" too): known, local, and with inodes that last.
 */
bool fsmeta_filesystem_type_dates_folders(const char *type);

/** Fills machine name and machine id.  0 or FSMETA_E_MEMORY. */
int fsmeta_filesystem_describe_machine(
    struct fsmeta_batch_source *source, struct fsmeta_error *error);

#endif
