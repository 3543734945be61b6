/*
 * A model of a tree over many generations, kept apart from all databases.
 *
 *     world ── scope, what cannot be read ──► view ──┐
 *     (changes at random, seen or not)               ├─► state of generation N
 *                          state of generation N-1 ──┘   (= what a database must say)
 *
 * The world is the tree as it is.  A scan sees a part of it: the view.  What the scan
 * could not see or was not asked for is carried from the state before, and nothing
 * else of it is.  All this is done naively, by looking every path up, and knows nothing
 * of merges, intervals or rows.
 *
 * A node's key is its identity in the world; its number is that in the states: as long
 * as a database must give it the same id, it has the same number.
 *
 * Typical use:
 *
 *     model_init(&model, seed, NULL);
 *     for (number = 1; number <= 20; number++) {
 *             model_next(&model);
 *             model_write(&model, db, path, MODEL_BY_UPDATE);
 *             model_check_generation(&model, db, number);
 *     }
 *     model_release(&model);
 *
 * What is not as expected goes to expect_handler (tests/support/expect.h).
 */
#ifndef FSMETA_TESTS_MODEL_H
#define FSMETA_TESTS_MODEL_H

#include "db/db.h"
#include "tests/support/expect.h"

enum {
	MODEL_FILESYSTEMS = 3,
};

/** How a node withstands a scan. */
enum model_hiding {
	MODEL_OPEN = 0,
	/** A folder that cannot be listed. */
	MODEL_UNREADABLE,
	/** A folder whose listing broke off, so that some of what is in it is lost. */
	MODEL_BROKEN,
	/** A folder on a file system that is not entered. */
	MODEL_NOT_ENTERED,
	/** Anything whose own metadata cannot be read, or not all of it. */
	MODEL_NO_METADATA,
};

struct model_node {
	/**
	 * Path, type, fields and unknown_since; device is the number of a file system.  In a
	 * state: as it was last stored, under the mask of then.  The id is not set.
	 */
	struct fsmeta_entry entry;
	/** Identity in the world, from 1. */
	uint64_t key;
	/** States: identity in the database, from 1. */
	uint64_t number;
	/** The world only. */
	enum model_hiding hiding;
};

/** Nodes in canonical order. */
struct model_nodes {
	struct model_node *items;
	size_t count;
	size_t capacity;
};

/** One change of the stored notion, told naively. */
struct model_change {
	struct fsmeta_change change;
	struct fsmeta_entry before;
	struct fsmeta_entry after;
};

struct model_generation {
	/** 1, 2, 3, … */
	uint64_t number;
	/** The scan's scope, times, mask and file systems. */
	struct fsmeta_batch_source source;
	/** For the number of a file system its index in the scan's table; UINT32_MAX = not there.
	 */
	uint32_t devices[MODEL_FILESYSTEMS];
	/** What the scan sees, as a scanner would yield it. */
	struct fsmeta_entry *view;
	size_t view_count;
	/** What a database must say of this generation. */
	struct model_nodes state;
	/**
	 * What leads here from the generation before, in the order of a sink; ids are those
	 * that learn() in model_db.c has met, devices of `before` the number of the file system.
	 */
	struct model_change *changes;
	size_t change_count;
	/** Of the changes: entries, not events. */
	uint64_t added, removed, modified, moved;
};

struct model_options {
	/** Generations at most; 0 = 20. */
	size_t generations;
	/** No more is added to a world of so many nodes; 0 = 100. */
	size_t nodes;
	/** Most changes of the world between two scans; 0 = 30. */
	size_t mutations;
	/** Nodes that moved in the world keep their number, where both places were seen. */
	bool moves;
	/**
	 * Listings may break off.  A database takes all that is in such a folder for
	 * unknown, also what was seen of it, so this is not the default.
	 */
	bool broken_listings;
	/** Every scan sees everything. */
	bool sees_all;
	/** All scans have all fields. */
	bool one_mask;
};

struct model {
	struct model_options options;
	uint64_t seed;
	/** Of the generator of random numbers. */
	uint64_t random_state;
	/** Paths and targets. */
	struct fsmeta_arena arena;
	struct model_nodes world;
	uint64_t next_key;
	uint64_t next_number;
	/** generations[n] is generation n; [0] is empty. */
	struct model_generation *generations;
	uint64_t newest;
	/** Id of each number, 0 = not met yet. */
	uint64_t *ids;
	size_t id_capacity;
};

/** `options` may be NULL; all that follows from one seed is always the same. */
void model_init(struct model *model, uint64_t seed, const struct model_options *options);
void model_release(struct model *model);

/** The next generation: the world changes, is scanned, and the state is found. */
struct model_generation *model_next(struct model *model);

/** A random number below `limit`. */
uint64_t model_random(struct model *model, uint64_t limit);

/** The node at this path, NULL where there is none. */
struct model_node *model_find(const struct model_nodes *nodes, const char *path, size_t length);

/** The entry as generation `number` shows it: its mask, and the id where it is known. */
struct fsmeta_entry model_entry(
    const struct model *model, uint64_t number, const struct model_node *node);

/** Name of a file system: its UUID. */
const char *model_filesystem(uint32_t number);

/* ---- with a database (model_db.c) ---------------------------------------- */

/** How a generation gets into a database. */
enum model_route {
	/** Its naive changes go straight into the database's sink. */
	MODEL_BY_CHANGES,
	/** Its view through fsmeta_update_database(), as users' scans go. */
	MODEL_BY_UPDATE,
};

/** What the scan of a generation yields, as a cursor over its view. */
struct fsmeta_cursor *model_cursor(struct model *model, uint64_t number);

/** Writes the newest generation of the model; `path` is the database's, for messages. */
void model_write(
    struct model *model, struct fsmeta_db *db, const char *path, enum model_route route);

/**
 * Reads a generation and compares it with its state: entries, order, devices, ids,
 * unknown_since, totals, digest, and how many changes its row tells.  Ids that were not
 * met before are learnt.  `adopted`: it came as the first import of an export, which
 * knows of what an unreadable folder hides only that it is unknown, and counts all as
 * added.
 */
void model_check_generation(
    struct model *model, struct fsmeta_db *db, uint64_t number, bool adopted);

/** Reads it with random skips, as it is or with seen_only. */
void model_check_skipping(
    struct model *model, struct fsmeta_db *db, uint64_t number, bool seen_only);

#endif
