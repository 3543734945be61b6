/*
 * Walking through an operand, or through what lies at and below a path in it: what ls, find
 * and du have in common.
 */
#ifndef FSMETA_TOOLS_WALK_H
#define FSMETA_TOOLS_WALK_H

#include "tools/operand.h"
#include "tools/output.h"

#include <argp.h>

/** Keys of options that a command has in its table where it wants them, and leaves to the walk. */
enum fsmeta_walk_option {
	FSMETA_WALK_FORMAT = 0x200,
	FSMETA_WALK_DEPTH,
	FSMETA_WALK_SEEN,
	/** --null */
	FSMETA_WALK_NULL = '0',
};

struct fsmeta_walk {
	/** As given; *borrowed* from the command line. */
	const char *operand;
	/** Where to begin, "" = at the root; likewise. */
	const char *path;
	/** Deepest entry that is shown, counted from `path`. */
	uint32_t depth;
	/** Of a database: what is only carried is left out. */
	bool seen_only;
	/** How what is shown is written: formats that the command has, the one chosen, and bits of
	 * enum fsmeta_output_flag. */
	uint32_t formats;
	enum fsmeta_output_format format;
	uint32_t output_flags;
	/** How a live operand is read. */
	struct fsmeta_scan_options scan;
	/** Something that was shown could not be read. */
	bool unreadable;
};

/** Everything: no operand yet, the root, any depth, as text. */
#define FSMETA_WALK_INIT(allowed_formats)                                     \
	{                                                                     \
		.path = "", .depth = UINT32_MAX, .formats = (allowed_formats) \
	}

/**
 * What a command's parser does with keys that are not its own: takes the walk's options, OPERAND
 * and PATH.  Wrong usage ends the program.
 */
error_t fsmeta_walk_parse(struct fsmeta_walk *walk, int key, char *text, struct argp_state *state);

/** At the end of the command line: `question` is asked where there is no operand. */
void fsmeta_walk_end(
    const struct fsmeta_walk *walk, const char *question, struct argp_state *state);

/** Takes the value of --depth.  Wrong usage ends the program. */
void fsmeta_depth_take(uint32_t *depth, const char *text, struct argp_state *state);

/** What opening the operand takes; *borrowed* from the walk. */
struct fsmeta_operand_options fsmeta_walk_operand_options(const struct fsmeta_walk *walk);

/** A new output on stdout, for what `source` describes. */
int fsmeta_walk_output_new(struct fsmeta_output **out, const struct fsmeta_walk *walk,
    const struct fsmeta_batch_source *source, struct fsmeta_error *error);

/** The exit status of a walk that has not failed. */
int fsmeta_walk_status(const struct fsmeta_walk *walk);

/**
 * Shows the sink what lies at or below the path, stepping over folders that cannot hold any
 * of it.  FSMETA_E_NOT_FOUND where there is no such path.
 */
int fsmeta_walk_run(struct fsmeta_walk *walk, struct fsmeta_cursor *cursor,
    struct fsmeta_entry_sink *sink, struct fsmeta_error *error);

/** True where an entry at `path` is shown: it is what run() would hand to the sink. */
bool fsmeta_walk_shows(const struct fsmeta_walk *walk, const struct fsmeta_entry *entry);

#endif
