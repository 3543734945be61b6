/*
 * A grid under the ticks.
 *
 *     frames   |          |          |          |            T + k / rate, unknown
 *     ticks    |..|..|..|..|..|..|..|..|..|..|..|..|..       244 us each, drawn too large
 *     stored  |          |         |          |              the tick in front of each
 *             0          1         2          3              k = how many frames behind the first
 *
 * Of the right rate, the distances from a grid through the first time all lie within one tick, and
 * the smallest of them says how far the first itself was cut.  A wrong rate may fit a few times as
 * well, and does no harm: what it moves, it moves by less than was cut.  So a file that is read has
 * the frame rate that was written, not one that jitters, and a rate that drifts or varies is left
 * as it is.
 */
#include "archive/media_grid.h"

#include "archive/index_word.h"

#include <stdbool.h>
#include <stdlib.h>

enum {
	SECOND_US = 1000000,
	/** One tick, rounded up. */
	TICK_US = SECOND_US / FSMETA_WORD_TICKS_A_SECOND + 1,
	TIMES_MIN = 3,
	/** Beyond this from the first time nothing is reckoned: a year. */
	REACH_S = 366 * 86400,
};

static const struct fsmeta_grid rates[] = {
    {0, 1, 10},
    {0, 1, 5},
    {0, 1, 4},
    {0, 1, 2},
    {0, 1, 1},
    {0, 2, 1},
    {0, 3, 1},
    {0, 4, 1},
    {0, 5, 1},
    {0, 6, 1},
    {0, 8, 1},
    {0, 10, 1},
    {0, 12, 1},
    {0, 25, 2},
    {0, 15, 1},
    {0, 20, 1},
    {0, 24000, 1001},
    {0, 24, 1},
    {0, 25, 1},
    {0, 30000, 1001},
    {0, 30, 1},
    {0, 48, 1},
    {0, 50, 1},
    {0, 60000, 1001},
    {0, 60, 1},
    {0, 100, 1},
    {0, 120, 1},
    /* Milliseconds, which mkv and webm count. */
    {0, 1000, 1},
};

/** The nearest time of the grid. */
static int64_t nearest(const struct fsmeta_grid *grid, int64_t time_us)
{
	const int64_t step = (int64_t)grid->seconds * SECOND_US, frames = grid->frames;
	int64_t offset = time_us - grid->origin_us;
	int64_t half = offset < 0 ? -step / 2 : step / 2;
	int64_t number = (offset * frames + half) / step;
	int64_t sum = number * step;

	return grid->origin_us + (sum + (sum < 0 ? -frames / 2 : frames / 2)) / frames;
}

static bool is_in_reach(const struct fsmeta_grid *grid, int64_t time_us)
{
	int64_t distance = llabs(time_us - grid->origin_us);

	return distance / SECOND_US < REACH_S;
}

/** Whether all times lie within a tick of one another's place; and moves the origin to that. */
static bool fits(struct fsmeta_grid *grid, const int64_t *times_us, size_t count)
{
	int64_t least = 0, most = 0;

	for (size_t i = 0; i < count; i++) {
		int64_t cut;

		if (!is_in_reach(grid, times_us[i]))
			return false;
		cut = nearest(grid, times_us[i]) - times_us[i];
		least = cut < least ? cut : least;
		most = cut > most ? cut : most;
		if (most - least > TICK_US)
			return false;
	}
	grid->origin_us -= least;
	return true;
}

void fsmeta_grid_find(struct fsmeta_grid *out, const int64_t *times_us, size_t count)
{
	*out = (struct fsmeta_grid){0};
	if (count < TIMES_MIN)
		return;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct fsmeta_grid grid = rates[i];

		grid.origin_us = times_us[0];
		if (!fits(&grid, times_us, count))
			continue;
		*out = grid;
		return;
	}
}

int64_t fsmeta_grid_snap(const struct fsmeta_grid *grid, int64_t time_us)
{
	int64_t snapped;

	if (!grid->frames || !is_in_reach(grid, time_us))
		return time_us;
	snapped = nearest(grid, time_us);
	return llabs(snapped - time_us) <= TICK_US ? snapped : time_us;
}
