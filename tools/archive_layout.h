/*
 * Which layout a stream has, or would have, for the commands that read and write streams.
 */
#ifndef FSMETA_TOOLS_ARCHIVE_LAYOUT_H
#define FSMETA_TOOLS_ARCHIVE_LAYOUT_H

#include "archive/archive.h"

#include <stdbool.h>

/** Reads "fsv", "segments" or "recording"; false on anything else. */
bool fsmeta_archive_parse_layout(enum fsmeta_layout *out, const char *text);

/**
 * The layout of a stream of an archive on the disk: what is recognised in ARCHIVE/STREAM, or
 * ARCHIVE/rec_STREAM; *stream then loses that prefix if it was typed.  FSMETA_E_NOT_FOUND.
 */
int fsmeta_archive_find_layout(
    enum fsmeta_layout *out, const char *archive, const char **stream, struct fsmeta_error *error);

/** The layout of which the archive holds anything; none where it is empty or not there. */
int fsmeta_archive_guess_layout(
    enum fsmeta_layout *out, const char *archive, struct fsmeta_error *error);

/** Reads a time of the command line as microseconds since 1970: RFC 3339, a day, "now", or how long
 *  ago ("2h").  False on anything else, and before 1970. */
bool fsmeta_archive_parse_time(int64_t *out_us, const char *text);

#endif
