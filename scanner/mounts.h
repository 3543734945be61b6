/*
 * The kernel's list of mounts, as /proc/self/mountinfo has it (proc(5)).
 */
#ifndef FSMETA_SCANNER_MOUNTS_H
#define FSMETA_SCANNER_MOUNTS_H

#include "base/memory.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** One mount; its texts are *borrowed* from the list. */
struct fsmeta_mount {
	/** As of statx(2); not kept when it is unmounted. */
	uint64_t id;
	dev_t device;
	/** The folder of the file system that is mounted, and where. */
	const char *root;
	const char *target;
	/** "ext4", "fuse.sshfs". */
	const char *type;
	/** "/dev/sda1", "server:/export", "none". */
	const char *origin;
};

/** In the order in which they were made.  Zero-initialised = empty. */
struct fsmeta_mount_list {
	struct fsmeta_mount *mounts;
	size_t count;
	struct fsmeta_buffer text;
};

/**
 * Reads the list from the file at `path`, in place of what it had; what cannot be read
 * is empty, and a line that is not understood left out.  0 or FSMETA_E_MEMORY.
 */
int fsmeta_mount_list_read(struct fsmeta_mount_list *list, const char *path);

void fsmeta_mount_list_release(struct fsmeta_mount_list *list);

/**
 * The mount with this id, or, where `id` is 0, the last one of `device`.  NULL for none;
 * *borrowed* until the list changes.
 */
const struct fsmeta_mount *fsmeta_mount_list_find(
    const struct fsmeta_mount_list *list, uint64_t id, dev_t device);

#endif
