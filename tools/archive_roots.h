/*
 * The archives below a live folder: a stream is a folder in an archive's root, and what is done
 * with an archive as a whole is done there.
 */
#ifndef FSMETA_TOOLS_ARCHIVE_ROOTS_H
#define FSMETA_TOOLS_ARCHIVE_ROOTS_H

#include "archive/stream_folder.h"
#include "tools/operand.h"

/** Paths of folders, each once; *owned*.  Zero is empty. */
struct fsmeta_archive_roots {
	char **items;
	size_t count;
};

/**
 * Adds BASE/…, the folder that `stream` stands in.  A stream that is the operand itself stands
 * outside of it and adds nothing.  FSMETA_E_MEMORY.
 */
int fsmeta_archive_roots_add(struct fsmeta_archive_roots *roots, const char *base,
    const struct fsmeta_archive_stream *stream);

/** Adds a folder itself. */
int fsmeta_archive_roots_add_path(struct fsmeta_archive_roots *roots, const char *path);

void fsmeta_archive_roots_release(struct fsmeta_archive_roots *roots);

/** Whether FOLDER/NAME is a regular file. */
bool fsmeta_archive_has_file(const char *folder, const char *name);

/** A live folder whose archives are worked on. */
struct fsmeta_archive_live {
	struct fsmeta_operand operand;
	int fd;
	/** The survey came to folders that could not be read. */
	bool is_partial;
};

/** Opens it; FSMETA_E_USAGE for a stream or a database.  Release `out` in any case. */
int fsmeta_archive_live_open(
    struct fsmeta_archive_live *out, const char *text, struct fsmeta_error *error);

/** fsmeta_archive_survey() of it. */
int fsmeta_archive_live_survey(struct fsmeta_archive_live *live, fsmeta_archive_visit *visit,
    struct fsmeta_error *error, void *payload);

/**
 * Opens one of its roots, so that no link which stands in the way by now leads out of it.  Whoever
 * works there puts the root's name into errors by fsmeta_stream_folder_name().
 */
int fsmeta_archive_live_open_root(struct fsmeta_stream_folder *out,
    const struct fsmeta_archive_live *live, const char *root, struct fsmeta_error *error);

void fsmeta_archive_live_release(struct fsmeta_archive_live *live);

#endif
