/*
 * A naive diff of two listings, to judge the merge by.
 *
 * It looks every path up on both sides, climbs to the nearest folder that the newer
 * side has to judge an absence, and counts totals by prefix.  It knows nothing of
 * frames, look-ahead or runs.
 */
#ifndef FSMETA_TESTS_NAIVE_DIFF_H
#define FSMETA_TESTS_NAIVE_DIFF_H

#include "base/memory.h"
#include "diff/diff.h"
#include "tests/support/expect.h"

/** A listing: entries in canonical order, and what their source says of them. */
struct naive_tree {
	struct fsmeta_entry *entries;
	size_t count;
	size_t capacity;
	/** Paths. */
	struct fsmeta_arena arena;
	struct fsmeta_batch_source source;
};

/** Empty, with all fields in its mask. */
void naive_tree_init(struct naive_tree *tree);
void naive_tree_release(struct naive_tree *tree);

/** Appends a copy, path included. */
struct fsmeta_entry *naive_tree_add(struct naive_tree *tree, const struct fsmeta_entry *entry);

/** NULL where there is none. */
const struct fsmeta_entry *naive_tree_find(
    const struct naive_tree *tree, const char *path, size_t length);

/** Strictly below. */
bool naive_is_below(const struct fsmeta_entry *entry, const struct fsmeta_entry *folder);

/** Length of the path of the folder above; 0 for the root, too. */
size_t naive_parent_length(const char *path, size_t length);

/** True where the path is in a sub-tree of the source, or on the way to one. */
bool naive_is_asked_for(const struct fsmeta_batch_source *source, const char *path, size_t length);

/**
 * Whether the source's excludes name this very entry.  Patterns of these tests are
 * "name" or "/the/whole/path", and either with "/" behind for folders alone.
 */
bool naive_is_excluded(const struct fsmeta_batch_source *source, const char *path, size_t length,
    enum fsmeta_type type);

/** A change with copies of its entries. */
struct naive_change {
	enum fsmeta_change_kind kind;
	uint32_t flags;
	uint32_t fields;
	uint64_t entries;
	uint64_t bytes;
	bool has_before;
	bool has_after;
	struct fsmeta_entry before;
	struct fsmeta_entry after;
};

/** Changes as they come, wanted or got. */
struct naive_changes {
	struct fsmeta_change_sink sink;
	struct naive_change *items;
	size_t count;
	size_t capacity;
	struct fsmeta_arena arena;
	/** What takes the place of a device index of before and of after; NULL = it stays. */
	const uint32_t *devices_before;
	const uint32_t *devices_after;
};

/** Empty; its sink collects. */
void naive_changes_init(struct naive_changes *changes);
void naive_changes_release(struct naive_changes *changes);

/** The entry that names the change. */
const struct fsmeta_entry *naive_change_entry(const struct naive_change *change);

/** To stderr, a line each. */
void naive_changes_print(const char *title, const struct naive_changes *changes);

/** All of it is equal, every value of every entry; prints both where they do not look alike. */
void naive_changes_expect_equal(
    const struct naive_changes *got, const struct naive_changes *wanted);

/**
 * Appends to `out` (initialised) what a diff of the two with these options has to say.  Of
 * moves it does not know folders that hide, nor ids and evidence both at once.
 */
void naive_diff(struct naive_changes *out, const struct naive_tree *a, const struct naive_tree *b,
    const struct fsmeta_diff_options *options);

#endif
