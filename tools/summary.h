/*
 * The closing lines of commands that write, and small readings of arguments.
 */
#ifndef FSMETA_TOOLS_SUMMARY_H
#define FSMETA_TOOLS_SUMMARY_H

#include "db/db.h"
#include "format/stream.h"

#include <stdbool.h>

/**
 * "NAME: 1,234 entries (1,000 files, 12 GiB) in 3.2 s" and what was not readable, on stderr.
 * The duration, which is the scan's, only where `timed`.
 */
void fsmeta_print_stream_summary(const char *path, const struct fsmeta_batch_source *source,
    const struct fsmeta_stream_summary *summary, bool timed);

/** "NAME: generation 41 to 43: 12 records, 2.1 KiB", on stderr. */
void fsmeta_print_delta_summary(
    const char *path, uint64_t since, uint64_t until, const struct fsmeta_delta_summary *summary);

/** "DB: generation 7: 1,234 entries …; 3 added, 2 removed, 1 modified", on stderr. */
void fsmeta_print_generation_summary(
    const char *path, const struct fsmeta_db_generation *generation);

/**
 * A line for each of the first places that could not be read, and how many more there
 * are, on stderr.
 */
void fsmeta_print_unreadable(const struct fsmeta_batch_source *source);

/** Reads "50", "50%", "0.5%": 0 to 100; false on anything else. */
bool fsmeta_percent_parse(double *out, const char *text);

/**
 * Reads a size in bytes: "4096", "20M" and "20MiB" (k, m, g, t, p, e: times 1024), "20MB" (times
 * 1000), in either case; false on anything else and beyond 2^64.
 */
bool fsmeta_size_parse(uint64_t *out, const char *text);

#endif
