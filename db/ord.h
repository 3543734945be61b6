/*
 * Ord: order maintenance.  A sorted list whose members carry 63-bit labels, so
 * that comparing two members, or reading them in order, needs the labels alone;
 * and that takes new members anywhere while few of the others get new labels.
 *
 * Michael A. Bender, Richard Cole, Erik D. Demaine, Martin Farach-Colton, Jack
 * Zito: "Two Simplified Algorithms for Maintaining Order in a List", ESA 2002.
 *
 * This module does the arithmetic; the list itself is behind an interface: a
 * SQLite table in the database, an array in the tests.
 */
#ifndef FSMETA_DB_ORD_H
#define FSMETA_DB_ORD_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/** Labels are 1 to FSMETA_ORD_MAX. */
#define FSMETA_ORD_MAX INT64_MAX

/** Room that is left between members that are appended one behind the other. */
#define FSMETA_ORD_STRIDE ((int64_t)1 << 32)

struct fsmeta_ord_list {
	/** How many members have labels from `low` to `high`, both included. */
	int (*count)(struct fsmeta_ord_list *list, int64_t low, int64_t high, uint64_t *count,
	    struct fsmeta_error *error);
	/**
	 * Writes the labels from `low` to `high` in ascending order into `labels`,
	 * which has room for the number that count() gave.
	 */
	int (*read)(struct fsmeta_ord_list *list, int64_t low, int64_t high, int64_t *labels,
	    struct fsmeta_error *error);
	/** Gives the member at `from` the label `to`, which is free. */
	int (*move)(
	    struct fsmeta_ord_list *list, int64_t from, int64_t to, struct fsmeta_error *error);
	/** How many labels were rewritten so far; counted here. */
	uint64_t moves;
};

/**
 * A free label between `predecessor` and `successor`, which are neighbours in
 * the list; 0 = there is none on that side.  Members around them may be given new
 * labels, the two included.  `ascending` says that the next insert will likely
 * come right behind this one, so more room is left there.  FSMETA_E_LIMIT where
 * the list is full (some 10^13 members), otherwise what the list's functions return.
 */
int fsmeta_ord_insert(int64_t *label, struct fsmeta_ord_list *list, int64_t predecessor,
    int64_t successor, bool ascending, struct fsmeta_error *error);

#endif
