/*
 * Names of files in an archive: listing a folder, numbers in names, joining paths.
 */
#ifndef FSMETA_ARCHIVE_NAMES_H
#define FSMETA_ARCHIVE_NAMES_H

#include "base/error.h"
#include "base/memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The names in a folder, sorted as bytes; without "." and "..".  *Owned*. */
struct fsmeta_names {
	struct fsmeta_arena arena;
	const char **items;
	size_t count;
	size_t capacity;
};

/** Lists `folder`.  Release `out` in any case. */
int fsmeta_names_list(struct fsmeta_names *out, const char *folder, struct fsmeta_error *error);

void fsmeta_names_release(struct fsmeta_names *names);

/** "FOLDER/NAME", *new*; NULL when memory is out. */
char *fsmeta_names_join(const char *folder, const char *name);

/** "FOLDER/" and what printf makes, *new*; NULL when memory is out. */
char *fsmeta_names_join_format(const char *folder, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** A stream's or recording's name that can be a folder: 1 to 200 bytes, no '/', no dot in front. */
bool fsmeta_names_is_stream(const char *name);

/**
 * Decimal digits without a needless 0 in front at the start of `text`: *value, and how many
 * there are; 0 for none, more than 18, or a number that is written otherwise.
 */
size_t fsmeta_names_number(uint64_t *value, const char *text, size_t length);

/** Makes the folder unless it is there. */
int fsmeta_names_make_folder(const char *path, struct fsmeta_error *error);

/** Makes names in this folder outlive a power cut. */
int fsmeta_names_sync_folder(const char *path, struct fsmeta_error *error);

#endif
