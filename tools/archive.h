/*
 * The commands below `fsmeta archive`, and how they all tell of a stream.
 */
#ifndef FSMETA_TOOLS_ARCHIVE_H
#define FSMETA_TOOLS_ARCHIVE_H

#include "archive/archive.h"

/* Each runs with argv[0] = "fsmeta archive NAME" and returns an exit status. */
int fsmeta_archive_command_info(int argc, char **argv);
int fsmeta_archive_command_check(int argc, char **argv);
int fsmeta_archive_command_read(int argc, char **argv);
int fsmeta_archive_command_write(int argc, char **argv);
int fsmeta_archive_command_recover(int argc, char **argv);
int fsmeta_archive_command_sweep(int argc, char **argv);

/**
 * Appends a line: "fsv        camera-0001  (86 files, 1.2 GiB, 2026-11-01T10:00:00Z to …, 23 h 53
 * min, 120.0 kbit/s, 1 gap, longest 7 min)".
 */
int fsmeta_archive_append_text(
    struct fsmeta_buffer *out, const struct fsmeta_archive_stream *stream);

/** Appends {"layout":"fsv","path":…,"bitrate":… without the closing brace, for more keys. */
int fsmeta_archive_append_json(
    struct fsmeta_buffer *out, const struct fsmeta_archive_stream *stream);

/** Appends "path":"…" and, where it is no UTF-8, "path_b64":"…"; no path is ".". */
int fsmeta_archive_append_path(struct fsmeta_buffer *out, const char *path, size_t length);

/** Appends "23 h 53 min", "7 min", "12 s". */
int fsmeta_archive_append_duration(struct fsmeta_buffer *out, int64_t duration_us);

#endif
