/*
 * Exact times out of ticks: an index word cuts times to 1/4096 s, and most cameras have a frame
 * rate.
 */
#ifndef FSMETA_ARCHIVE_MEDIA_GRID_H
#define FSMETA_ARCHIVE_MEDIA_GRID_H

#include <stddef.h>
#include <stdint.h>

/** Times of a constant frame rate, of which some may have no frame.  Zero-initialised = none. */
struct fsmeta_grid {
	int64_t origin_us;
	/** Frames in `seconds`; 0 = times are what they are. */
	uint32_t frames;
	uint32_t seconds;
};

/**
 * Finds the lowest of the customary frame rates that explains all times, each cut to a tick; none
 * where there is none, or not even three times.
 */
void fsmeta_grid_find(struct fsmeta_grid *out, const int64_t *times_us, size_t count);

/** The time of the grid that was cut to this one; the same where none was. */
int64_t fsmeta_grid_snap(const struct fsmeta_grid *grid, int64_t time_us);

#endif
