/*
 * How a live tree is read: options that every command that scans has.
 */
#ifndef FSMETA_TOOLS_READING_H
#define FSMETA_TOOLS_READING_H

#include <argp.h>

/**
 * --threads, --background and --max-rate, as a child of a command's argp; its input is the
 * struct fsmeta_scan_options to fill.  --background goes for the process at once.
 */
extern const struct argp fsmeta_reading_argp;

/** For a command's list of children: options of group `number`, after the command's own. */
#define FSMETA_READING_CHILD(number)                             \
	{                                                        \
		.argp = &fsmeta_reading_argp, .group = (number), \
	}

#endif
