/*
 * Which entries and changes are shown: options that find and diff share, and a sink that
 * stands in front of others and lets through what they select.
 */
#ifndef FSMETA_TOOLS_SELECTION_H
#define FSMETA_TOOLS_SELECTION_H

#include "format/change.h"

#include <argp.h>

enum {
	/** Patterns of each sort that a command line may have. */
	FSMETA_SELECTION_PATTERNS = 64,
};

/** Patterns of one sort; any of them is enough.  All *borrowed* from the command line. */
struct fsmeta_selection_patterns {
	const char *items[FSMETA_SELECTION_PATTERNS];
	size_t count;
};

/** Zero-initialised = everything.  What is given must hold, all of it. */
struct fsmeta_selection {
	/** Bits 1 << enum fsmeta_type, 0 = all. */
	uint32_t types;
	/** Bits 1 << enum fsmeta_change_kind, 0 = all.  Of changes only. */
	uint32_t kinds;
	/** Globs that the name, and the whole path, must match; '*' stands for slashes too. */
	struct fsmeta_selection_patterns names;
	struct fsmeta_selection_patterns paths;
	/** Files only, with more bytes and with fewer. */
	bool has_larger, has_smaller;
	uint64_t larger, smaller;
	/** Modified after, and before. */
	bool has_newer, has_older;
	struct fsmeta_time newer, older;
	/** Reused. */
	struct fsmeta_buffer scratch;
};

void fsmeta_selection_release(struct fsmeta_selection *selection);

/**
 * --type, --name, --path, --larger, --smaller, --newer, --older, as a child of a command's
 * argp; its input is the struct fsmeta_selection to fill.
 */
extern const struct argp fsmeta_selection_argp;

/** For a command's list of children: options of group `number`. */
#define FSMETA_SELECTION_CHILD(number)                             \
	{                                                          \
		.argp = &fsmeta_selection_argp, .group = (number), \
	}

/** Reads "added,moved"; false where a word is no kind of change. */
bool fsmeta_selection_parse_kinds(uint32_t *out, const char *text);

/**
 * Reads a time as listings write it, a day ("2026-11-20", its beginning in UTC), or how long
 * before `now` ("7d", "48h", "8w", "6m", "2y"); false on anything else.
 */
bool fsmeta_selection_parse_time(struct fsmeta_time *out, const char *text, struct fsmeta_time now);

/** 1 where the entry is selected, 0 where not, or FSMETA_E_MEMORY. */
int fsmeta_selection_judge(struct fsmeta_selection *selection, const struct fsmeta_entry *entry,
    struct fsmeta_error *error);

/**
 * Lets changes through of which the older or the newer entry is selected.  What is inside an
 * added or removed folder that is not let through is no longer said to be inside of it.
 */
struct fsmeta_selection_sink {
	/** First, so that the sink is this. */
	struct fsmeta_change_sink sink;
	struct fsmeta_selection *selection;
	struct fsmeta_change_sink *next;
	/** Changes let through that were news. */
	uint64_t passed;
	/** [added or removed]: the last folder let through, under which others are inside. */
	struct fsmeta_selection_folder {
		bool is_set;
		struct fsmeta_buffer path;
	} folders[2];
};

/** Both are *borrowed* until release. */
void fsmeta_selection_sink_init(struct fsmeta_selection_sink *out,
    struct fsmeta_selection *selection, struct fsmeta_change_sink *next);

void fsmeta_selection_sink_release(struct fsmeta_selection_sink *sink);

#endif
