/*
 * Ord.
 *
 * Think of the labels as the leaves of a complete binary tree, 63 levels high.
 * A node covers an aligned range of 2^i labels, and its density is the share of
 * them that is in use:
 *
 *     level 3   [                   8 labels                   ]   5/8 in use
 *     level 2   [        4 labels      ][        4 labels      ]   4/4   1/4
 *     level 1   [    2    ][     2     ][     2    ][     2    ]
 *     labels      a    b     c    d        .    .      e    .
 *                             ^
 *                  insert between b and c: no label is free
 *
 * A node may be the denser the smaller it is: at level i at most T^-i, T between
 * 1 and 2.  To insert where there is no gap, climb from the leaf to the first
 * node that is sparse enough (above: level 3, where 6 members fit) and spread
 * its members evenly over it, with a place left for the new one:
 *
 *     labels      a    b     x    c        d    .      e    .
 *
 * Why this is cheap: after spreading, both children of that node are as sparse
 * as it is, which is sparser by a factor of T than they need to be.  So a child
 * must take in a share (1 - 1/T) of its capacity before the node is spread again,
 * and these inserts pay for it: O(1 / (1 - 1/T)) each, at each of the O(log n)
 * levels up to which there is anything to do.  A small T makes room for more
 * members ((2/T)^63), a large one costs fewer moves; docs/fsmetadb.md has figures.
 *
 * The density is only looked at where a gap has run out, so the usual insert
 * only halves a gap of up to 2^32.  An insert that says another
 * one will follow behind it takes 1/32 of the gap instead: a new sub-tree of
 * hundreds of folders then fits into one gap.
 *
 * A range is spread by moving its members one at a time, and no two of them ever
 * share a label or pass one another.  Those that go down move first, in ascending
 * order, then those that go up, in descending order.  For a member that goes down,
 * its predecessor has either gone down already, and the new labels are in order,
 * or is one that will go up, and so is still below its own new label, which is
 * below this one's.  Likewise upward.
 */
#include "db/ord.h"

#include <stdlib.h>

enum {
	LABEL_BITS = 63,
};

/**
 * 2 / T: by what a range's capacity grows from level to level.  T = 1.5 makes room for
 * (2 / 1.5)^63 = 7 * 10^7 members; a list with more goes on with T = 1.2 and 9 * 10^13.
 */
static const double capacity_growths[] = {2 / 1.5, 2 / 1.2};

/** Aligned range of 2^bits labels that holds `around`; label 0 is never given out. */
struct range {
	int64_t low;
	int64_t high;
};

static struct range range_around(int64_t around, unsigned bits)
{
	uint64_t size = (uint64_t)1 << bits;
	uint64_t base = (uint64_t)around & ~(size - 1);
	struct range range = {.low = (int64_t)base, .high = (int64_t)(base + (size - 1))};

	if (range.low == 0)
		range.low = 1;
	return range;
}

/** Label of the `index`th of `count` members that are spread over the range. */
static int64_t spread_label(struct range range, uint64_t index, uint64_t count)
{
	unsigned __int128 size = (uint64_t)(range.high - range.low) + 1;

	return range.low + (int64_t)((size * index + size / 2) / count);
}

/** Moves old[i] to its new place; the free place at index `gap` is stepped over. */
static int spread(struct fsmeta_ord_list *list, struct range range, const int64_t *old,
    uint64_t count, uint64_t gap, struct fsmeta_error *error)
{
	int code = 0;

	for (uint64_t i = 0; i < count && !code; i++) {
		int64_t label = spread_label(range, i + (i >= gap), count + 1);

		if (label >= old[i])
			continue;
		list->moves++;
		code = list->move(list, old[i], label, error);
	}
	for (uint64_t i = count; i-- > 0 && !code;) {
		int64_t label = spread_label(range, i + (i >= gap), count + 1);

		if (label <= old[i])
			continue;
		list->moves++;
		code = list->move(list, old[i], label, error);
	}
	return code;
}

/** Spreads the range's `count` members; *label is the place behind `predecessor`. */
static int make_room(int64_t *label, struct fsmeta_ord_list *list, struct range range,
    uint64_t count, int64_t predecessor, struct fsmeta_error *error)
{
	int64_t *old = reallocarray(NULL, count + 1, sizeof(*old));
	uint64_t gap = 0;
	int code;

	if (!old)
		return fsmeta_error_set_memory(error, "making room in the order of folders");
	code = list->read(list, range.low, range.high, old, error);
	if (!code) {
		while (gap < count && old[gap] <= predecessor)
			gap++;
		code = spread(list, range, old, count, gap, error);
		*label = spread_label(range, gap, count + 1);
	}
	free(old);
	return code;
}

/**
 * Makes room in the smallest range around the place that is sparse enough; *found is
 * false where not even the largest is.
 */
static int relabel(int64_t *label, bool *found, struct fsmeta_ord_list *list,
    double capacity_growth, int64_t predecessor, int64_t successor, struct fsmeta_error *error)
{
	double capacity = 1;

	*found = false;
	for (unsigned bits = 1; bits <= LABEL_BITS; bits++) {
		struct range range = range_around(predecessor ? predecessor : successor, bits);
		uint64_t count;
		int code = list->count(list, range.low, range.high, &count, error);

		if (code)
			return code;
		capacity *= capacity_growth;
		/* Label 0 is not ours, so the leftmost range has one label less. */
		if ((double)(count + 1) <= capacity &&
		    count < (uint64_t)(range.high - range.low) + 1) {
			*found = true;
			return make_room(label, list, range, count, predecessor, error);
		}
	}
	return 0;
}

int fsmeta_ord_insert(int64_t *label, struct fsmeta_ord_list *list, int64_t predecessor,
    int64_t successor, bool ascending, struct fsmeta_error *error)
{
	uint64_t end = successor ? (uint64_t)successor : (uint64_t)FSMETA_ORD_MAX + 1;
	uint64_t gap = end - (uint64_t)predecessor;
	bool found = false;

	if (!successor && gap > (uint64_t)FSMETA_ORD_STRIDE) {
		*label = predecessor + FSMETA_ORD_STRIDE;
		return 0;
	}
	if (gap >= 2) {
		uint64_t step = ascending && gap >= 64 ? gap / 32 : gap / 2;

		*label = predecessor + (int64_t)step;
		return 0;
	}
	for (size_t i = 0; i < sizeof(capacity_growths) / sizeof(capacity_growths[0]); i++) {
		int code = relabel(
		    label, &found, list, capacity_growths[i], predecessor, successor, error);

		if (code || found)
			return code;
	}
	return fsmeta_error_set(error, FSMETA_E_LIMIT, NULL, "making room in the order of folders",
	    "there are too many folders");
}
