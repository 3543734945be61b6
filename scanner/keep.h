/*
 * The scope at work on one folder: what the scan was not asked for, or told to leave
 * out, is taken out of a listing before anything more is read about it.
 *
 * Only a name whose type the listing did not tell rightly, and a pattern for folders
 * alone, can need a second look when the record is there.
 */
#ifndef FSMETA_SCANNER_KEEP_H
#define FSMETA_SCANNER_KEEP_H

#include "format/scope.h"
#include "scanner/folder.h"

#include <stdbool.h>

/** True where something in folder `path` may have to be left out. */
bool fsmeta_keep_is_needed(const struct fsmeta_scope *scope, const char *path, size_t length);

/**
 * Takes out of the listing of a folder what is not looked at.  `path` is the folder's,
 * and is used to build the paths of what is in it; it is then as before.
 * 0 or FSMETA_E_MEMORY.
 */
int fsmeta_keep_names(
    const struct fsmeta_scope *scope, struct fsmeta_buffer *path, struct fsmeta_folder *folder);

/** Makes records `gone` that are not what they were listed as and are not looked at. */
int fsmeta_keep_records(const struct fsmeta_scope *scope, struct fsmeta_buffer *path,
    const struct fsmeta_folder *folder, struct fsmeta_folder_chunk *chunk);

#endif
