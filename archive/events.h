/*
 * Changes of a video archive in its own words: what was recorded, rotated out, lost, altered.
 *
 *     new ── changes into the sink ── settle ──┐
 *                ┌─────────────────────────────┘
 *                ├── read older side ── changes into the sink ── finish ──┬── judge each
 *                └────────────────────────── again ───────────────────────┘
 *
 * Judged from entries alone, of the older side and of the changes; the disk is not touched.  Memory
 * for each folder that changed and for each run of like changes in it, not for each file.  One
 * thread.
 */
#ifndef FSMETA_ARCHIVE_EVENTS_H
#define FSMETA_ARCHIVE_EVENTS_H

#include "archive/archive.h"
#include "format/change.h"

enum fsmeta_archive_event {
	/** Nothing of an archive, or nothing that means anything to it. */
	FSMETA_EVENT_NONE = 0,
	/** A piece that was not there. */
	FSMETA_EVENT_RECORDED,
	/** The newest piece has more, and is still the newest. */
	FSMETA_EVENT_GREW,
	/** What was the newest piece changed, and another one came behind it; a recording was
	 * completed. */
	FSMETA_EVENT_SEALED,
	/** Went in order, oldest first; a frame that was deleted. */
	FSMETA_EVENT_ROTATED,
	/** Went while an older piece stayed, or with all of its stream. */
	FSMETA_EVENT_LOST,
	/** Changed although a newer piece was there already; a frame that changed. */
	FSMETA_EVENT_ALTERED,
	/** Index without packets or the reverse; a recording that nobody completes. */
	FSMETA_EVENT_ORPHANED,
	/** Closed long after it ended, as after a crash; or an orphan that is none any more. */
	FSMETA_EVENT_RECOVERED,
	FSMETA_EVENTS,
};

/** "recorded", "grew", …; NULL for none. */
const char *fsmeta_archive_event_name(enum fsmeta_archive_event event);

/** Pieces to which the same happened. */
struct fsmeta_archive_sum {
	uint64_t pieces;
	/** Files of them that changed. */
	uint64_t files;
	/** Folders that went with them: of recordings, and of a video's frames. */
	uint64_t folders;
	/** Bytes of these; of what went those that it had. */
	uint64_t bytes;
	/** Time that pieces cover which came, or that was added to one. */
	int64_t covered_us;
	/** From the first to the end of the last; microseconds since 1970, to = from where the end
	 * is not known. */
	int64_t from_us;
	int64_t to_us;
};

/** What happened to one stream: a folder of FSV, segments or frames, or one that holds recordings.
 */
struct fsmeta_archive_story {
	enum fsmeta_layout layout;
	/** *Borrowed* from the events; ends with a NUL. */
	const char *path;
	size_t path_length;
	struct fsmeta_archive_sum sums[FSMETA_EVENTS];
	/** Between what was recorded, and in front of it: pauses longer than 10 s. */
	uint64_t gaps;
	int64_t gaps_us;
	int64_t longest_gap_us;
	/** Start of the oldest and end of the newest piece that the newer side has; INT64_MIN =
	 * none, or of the newest not known, where little changed. */
	int64_t oldest_us;
	int64_t newest_us;
	/** End of the newest that the older side has. */
	int64_t older_newest_us;
	/** Kept up with the streams beside it, and is now more than an hour behind them. */
	bool is_silent;
	/** The newer side has no piece of it any more. */
	bool is_gone;
};

/** Changes of one stream, one behind the other, to which the same happened without a gap. */
struct fsmeta_archive_run {
	/** Index of the story; UINT32_MAX where it belongs to none. */
	uint32_t story;
	enum fsmeta_archive_event event;
	/** `files` counts all changes of the run, also those that mean nothing. */
	struct fsmeta_archive_sum sum;
};

struct fsmeta_archive_events;

/** *new*, without any change yet. */
int fsmeta_archive_events_new(struct fsmeta_archive_events **out, struct fsmeta_error *error);

/** NULL is allowed. */
void fsmeta_archive_events_free(struct fsmeta_archive_events *events);

/** Takes all changes of a diff, as often as said above.  *Borrowed*. */
struct fsmeta_change_sink *fsmeta_archive_events_sink(struct fsmeta_archive_events *events);

/**
 * After the first time.  Sets *changed to whether a file changed that may belong to an archive; if
 * not, that is all.  0 or FSMETA_E_MEMORY.
 */
int fsmeta_archive_events_settle(
    struct fsmeta_archive_events *events, bool *changed, struct fsmeta_error *error);

/**
 * Before each further time: a cursor over the older side, at its beginning, *borrowed* until
 * finish() returns.  Of it only what is near the changes is read, and the streams beside them where
 * recorders were at work or a recording went.  `newer_us`: when the newer side was looked at,
 * microseconds since 1970, INT64_MIN = not known.
 */
void fsmeta_archive_events_read(
    struct fsmeta_archive_events *events, struct fsmeta_cursor *older, int64_t newer_us);

/** After the last change.  0, or 1 where the changes are needed once more, or a code. */
int fsmeta_archive_events_finish(struct fsmeta_archive_events *events, struct fsmeta_error *error);

/** Streams to which something happened, in the order in which they begin.  *Borrowed*. */
const struct fsmeta_archive_story *fsmeta_archive_events_stories(
    const struct fsmeta_archive_events *events, size_t *count);

/** In the order of the changes; those of a stream whose run is NONE belong to no archive. */
const struct fsmeta_archive_run *fsmeta_archive_events_runs(
    const struct fsmeta_archive_events *events, size_t *count);

/** Begins to judge: the next change is the first. */
void fsmeta_archive_events_rewind(struct fsmeta_archive_events *events);

/** What one change means. */
struct fsmeta_archive_verdict {
	enum fsmeta_archive_event event;
	/** *Borrowed* from the events. */
	const struct fsmeta_archive_story *story;
	/** Of the piece, microseconds since 1970; INT64_MIN where not known. */
	int64_t from_us;
	int64_t to_us;
};

/** All changes, in the order of the sink's.  False where the change is none of an archive. */
bool fsmeta_archive_events_judge(struct fsmeta_archive_events *events,
    struct fsmeta_archive_verdict *out, const struct fsmeta_change *change);

/**
 * Entries removed that rotation or the life of a frame store explains; folders of recordings and of
 * frames included, where they went too.
 */
uint64_t fsmeta_archive_events_expected_removals(const struct fsmeta_archive_events *events);

#endif
