/*
 * The folder of a stream that the survey found, opened so that no link leads out of the operand.
 * The layouts' readers and writers, which take paths, get it by a name below /proc/self/fd.
 */
#ifndef FSMETA_ARCHIVE_STREAM_FOLDER_H
#define FSMETA_ARCHIVE_STREAM_FOLDER_H

#include "archive/archive.h"
#include "archive/names.h"

enum {
	/** "/proc/self/fd/" and a number. */
	FSMETA_STREAM_FOLDER_BYTES = 40,
};

struct fsmeta_stream_folder {
	int fd;
	/** A path to it, for as long as it is open. */
	char path[FSMETA_STREAM_FOLDER_BYTES];
};

/** Opens `path`, "" for root_fd itself, component by component without following links. */
int fsmeta_stream_folder_open(struct fsmeta_stream_folder *out, int root_fd, const char *path,
    size_t length, struct fsmeta_error *error);

/** The same of a folder that is open as `out->fd`; -1 with errno is a failure to open it. */
int fsmeta_stream_folder_take(struct fsmeta_stream_folder *out, struct fsmeta_error *error);

/**
 * An error speaks of a path below an open folder or of none: puts `path`, the folder's name for
 * people, in front.
 */
void fsmeta_stream_folder_name(struct fsmeta_error *error, const char *path);

/** Closes; one that was not opened (fd -1) is fine. */
void fsmeta_stream_folder_close(struct fsmeta_stream_folder *folder);

/** Whether something of that name is there, a link included. */
bool fsmeta_stream_folder_has(const struct fsmeta_stream_folder *folder, const char *name);

/** Whether somebody wrote to it in the last `seconds`, or it is gone. */
bool fsmeta_stream_folder_is_fresh(
    const struct fsmeta_stream_folder *folder, const char *name, int64_t seconds);

/**
 * Sets *packets, *new*, to the name of the packets that belong to the index `name` of a stream of
 * FSV or segments, which need not be there; NULL where `name` is no index.  FSMETA_E_MEMORY.
 */
int fsmeta_stream_folder_packets(char **packets, const struct fsmeta_stream_folder *folder,
    enum fsmeta_layout layout, const char *name);

#endif
