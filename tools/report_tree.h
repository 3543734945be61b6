/*
 * The largest places of a tree, and what changed in each: what the map of a report shows.
 *
 *     new ─ entry … ─ finish ─ change … ─ nodes ─ free
 */
#ifndef FSMETA_TOOLS_REPORT_TREE_H
#define FSMETA_TOOLS_REPORT_TREE_H

#include "base/memory.h"
#include "format/change.h"

enum {
	/** Most places that are kept. */
	FSMETA_REPORT_NODES_MAX = 800,
	/** `parent` of the root. */
	FSMETA_REPORT_NODE_NONE = UINT32_MAX,
	/** Room for a number by kind of change. */
	FSMETA_REPORT_KINDS = 8,
};

/** A folder, or a file that is large enough to be told apart. */
struct fsmeta_report_node {
	/** Raw bytes from the root. */
	struct fsmeta_buffer path;
	enum fsmeta_type type;
	uint32_t depth;
	/** Index of the folder it lies in, which comes before it. */
	uint32_t parent;
	/** Of all that is in it: apparent sizes of regular files; entries below it. */
	uint64_t bytes;
	uint64_t entries;
	/** Bytes of it that nobody has looked at. */
	uint64_t unknown_bytes;
	/**
	 * What changed in it but in none of the nodes below: entries, and their bytes, by
	 * kind of change.  Of what was removed the bytes are those that were there before.
	 */
	uint64_t changes[FSMETA_REPORT_KINDS];
	uint64_t changed_bytes[FSMETA_REPORT_KINDS];
	/** Kind of a change that stands for all that is below as well (moved), else 0. */
	enum fsmeta_change_kind whole;
};

/** True for a change that is news, and of a kind that a report knows. */
static inline bool fsmeta_report_tells(const struct fsmeta_change *change)
{
	return !(change->flags & FSMETA_CHANGE_CONTINUED) && change->kind > 0 &&
	       (unsigned int)change->kind < FSMETA_REPORT_KINDS;
}

/** The largest folders of a tree, and what changed in each: entries, finish, changes. */
struct fsmeta_report_tree;

/** *new*, empty. */
int fsmeta_report_tree_new(struct fsmeta_report_tree **out, struct fsmeta_error *error);

/** Takes the entries of a tree in canonical order, the root first. */
int fsmeta_report_tree_entry(
    struct fsmeta_report_tree *tree, const struct fsmeta_entry *entry, struct fsmeta_error *error);

/** After the last entry, before the first change. */
int fsmeta_report_tree_finish(struct fsmeta_report_tree *tree, struct fsmeta_error *error);

/** Takes changes that lead to the tree and that a report tells, in canonical order. */
void fsmeta_report_tree_change(struct fsmeta_report_tree *tree, const struct fsmeta_change *change);

/** The nodes in canonical order, *borrowed* until free. */
const struct fsmeta_report_node *fsmeta_report_tree_nodes(
    const struct fsmeta_report_tree *tree, size_t *count);

/** Entries of the tree that nobody has looked at, the bytes among them. */
void fsmeta_report_tree_unknown(
    const struct fsmeta_report_tree *tree, uint64_t *entries, uint64_t *bytes);

/** NULL is allowed. */
void fsmeta_report_tree_free(struct fsmeta_report_tree *tree);

#endif
