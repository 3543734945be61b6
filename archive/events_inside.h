/*
 * The inside of events: what its files share.  Nobody else includes this.
 *
 *     events.c           the whole: stories, verdicts
 *     events_older.c     the older side, read alongside the changes
 *     events_places.c    which folders are read
 *     events_folders.c   pieces of a folder as they come, and what happened to each
 */
#ifndef FSMETA_ARCHIVE_EVENTS_INSIDE_H
#define FSMETA_ARCHIVE_EVENTS_INSIDE_H

#include "archive/events.h"
#include "archive/piece.h"
#include "base/memory.h"

#include <string.h>

enum {
	OLDER = 0,
	NEWER = 1,
	NO_STORY = -1,
};

#define UNKNOWN_US INT64_MIN
#define NO_RUN SIZE_MAX

struct fsmeta_events_path {
	const char *bytes;
	size_t length;
};

/** One of the two sides of a piece. */
struct fsmeta_events_side {
	/** Parts of the track under way. */
	unsigned parts;
	/** A track with all its parts, and one with only some. */
	bool is_whole;
	bool is_half;
	uint64_t bytes;
	/** Newest of its files; UNKNOWN_US. */
	int64_t modified_us;
	/** Recordings. */
	int64_t data_us;
	int64_t meta_us;
	uint64_t data_bytes;
};

/** The piece whose files come just now. */
struct fsmeta_events_piece {
	enum fsmeta_layout layout;
	int64_t start_us;
	/** Of the track, or the recording's folder. */
	struct fsmeta_buffer stem;
	struct fsmeta_events_side sides[2];
	/** Changes of its files, and those of them that matter. */
	uint64_t changes;
	uint64_t added;
	uint64_t removed;
	uint64_t modified;
	/** The folder that it was in went, and no piece before says so. */
	bool folder_went;
};

/** A folder under way: one stream, and the recordings in it. */
struct fsmeta_events_folder {
	struct fsmeta_buffer path;
	/** Of pieces and of recordings; NO_STORY until there is one. */
	int64_t stories[2];
	size_t first_run;
	struct fsmeta_events_piece piece;
	/** Whole pieces, by layout. */
	uint64_t evidence[5];
	/** What went is rotated up to here, because nothing is left; INT64_MAX: not known. */
	int64_t line_us;
	/** Something of the older side stayed. */
	bool has_survivor;
	/** Whole pieces of either side: of pieces, and of recordings, as in `stories`. */
	bool has_older[2];
	bool has_newer[2];
	/** How far the pieces so far reach. */
	bool has_covered;
	int64_t covered_to_us;
	/** The piece before, if its end is not known. */
	bool is_open;
	int64_t open_start_us;
	size_t open_run;
	/** Runs that the next piece may correct. */
	size_t changed_run;
	size_t late_run;
	int64_t late_us;
	bool before_was_late;
	/** What was not read of it may hold the newest piece of the side. */
	bool is_cut[2];
	/** End of the oldest recording that stayed. */
	int64_t oldest_recording_us;
};

/** Where the line of a stream runs that is gone. */
struct fsmeta_events_line {
	const char *path;
	size_t length;
	int64_t us;
};

/** A folder in which pieces changed. */
struct fsmeta_events_place {
	/** First, so that places are compared as paths. */
	struct fsmeta_events_path path;
	/** How many folders, and files that came to streams. */
	uint64_t folders;
	uint64_t came;
	/** All in it are needed. */
	bool is_needed;
};

enum fsmeta_events_phase {
	PHASE_TOUCH,
	PHASE_READ,
	PHASE_JUDGE,
};

struct fsmeta_archive_events {
	/** First, so that the sink is this. */
	struct fsmeta_change_sink sink;
	enum fsmeta_events_phase phase;
	/** Paths of stories and of what follows. */
	struct fsmeta_arena arena;
	/**
	 * struct fsmeta_events_place, sorted: folders in which a piece changed, and those
	 * above them that are read with all streams in them.
	 */
	struct fsmeta_buffer touched;
	struct fsmeta_buffer parents;
	struct fsmeta_cursor *older;
	const struct fsmeta_entry *current;
	/** The folder that was removed last, until a piece in it comes; empty. */
	struct fsmeta_buffer gone;
	/** Nothing in front of this path is looked at; empty: all that comes is. */
	struct fsmeta_buffer target;
	bool has_begun;
	int64_t newer_us;
	struct fsmeta_events_folder *folders;
	size_t open_count;
	size_t folder_count;
	/** The one that the file before belongs to; the others have no piece under way. */
	size_t last_folder;
	struct fsmeta_buffer stories;
	struct fsmeta_buffer runs;
	/** struct fsmeta_events_line */
	struct fsmeta_buffer lines;
	/** Streams by folder, sorted by parent. */
	struct fsmeta_buffer besides;
	uint64_t expected;
	/** Judging: the run, and how many of its changes have come. */
	size_t run;
	uint64_t run_changes;
};

/** What the recogniser says of a file. */
struct fsmeta_events_item {
	struct fsmeta_piece_name name;
	/** The stream's folder. */
	struct fsmeta_events_path folder;
	struct fsmeta_events_path stem;
	const struct fsmeta_entry *entry;
};

/** The folder that a path is in. */
static inline struct fsmeta_events_path fsmeta_events_parent_of(const char *path, size_t length)
{
	const char *slash = length ? memrchr(path, '/', length) : NULL;

	return (struct fsmeta_events_path){path, slash ? (size_t)(slash - path) : 0};
}

/** The folder that an entry is in. */
static inline struct fsmeta_events_path fsmeta_events_folder_of(const struct fsmeta_entry *entry)
{
	size_t length = entry->path_length - entry->name_length;

	return (struct fsmeta_events_path){entry->path, length ? length - 1 : 0};
}

/** Of which pieces have a start and an end. */
static inline bool fsmeta_events_has_times(enum fsmeta_layout layout)
{
	return layout == FSMETA_LAYOUT_FSV || layout == FSMETA_LAYOUT_SEGMENTS;
}

static inline struct fsmeta_archive_story *fsmeta_events_story_at(
    const struct fsmeta_archive_events *events, size_t at)
{
	return (struct fsmeta_archive_story *)(void *)events->stories.data + at;
}

static inline struct fsmeta_archive_run *fsmeta_events_run_at(
    const struct fsmeta_archive_events *events, size_t at)
{
	return (struct fsmeta_archive_run *)(void *)events->runs.data + at;
}

static inline size_t fsmeta_events_count_runs(const struct fsmeta_archive_events *events)
{
	return events->runs.length / sizeof(struct fsmeta_archive_run);
}

static inline size_t fsmeta_events_count_stories(const struct fsmeta_archive_events *events)
{
	return events->stories.length / sizeof(struct fsmeta_archive_story);
}

/* ---- events_places.c ---- */

/** Orders paths, and what begins with one, canonically; for qsort() and bsearch(). */
int fsmeta_events_compare_paths(const void *a, const void *b);

/** Remembers the folder of a change. */
int fsmeta_events_touch(struct fsmeta_archive_events *events, const struct fsmeta_change *change);

/** After the last change: sorts what was touched, and finds where all streams are read. */
int fsmeta_events_settle_places(struct fsmeta_archive_events *events);

/** Whether all streams in this folder are read. */
bool fsmeta_events_reads_all_in(
    const struct fsmeta_archive_events *events, struct fsmeta_events_path folder);

/** Whether the folder, something in it, or enough of the streams beside it changed. */
bool fsmeta_events_enters(
    const struct fsmeta_archive_events *events, const struct fsmeta_entry *folder);

/**
 * What is read next behind `entry`, where `around` is the innermost folder that is not left.
 * FSMETA_EVENTS_FAR with *path: nothing in front of it; NEAR: what is around may itself be read;
 * NOTHING: all was read.
 */
enum fsmeta_events_distance {
	FSMETA_EVENTS_NEAR,
	FSMETA_EVENTS_FAR,
	FSMETA_EVENTS_NOTHING,
};
enum fsmeta_events_distance fsmeta_events_next_place(struct fsmeta_events_path *path,
    const struct fsmeta_archive_events *events, const struct fsmeta_entry *entry,
    struct fsmeta_events_path around);

/* ---- events_older.c ---- */

/** The next change of an archive's file. */
struct fsmeta_events_coming {
	const struct fsmeta_events_item *item;
	bool is_added;
};

/** Takes what the older side has in front of the change (NULL: all the rest), and leaves out what
 * is at its path. */
int fsmeta_events_read_older(struct fsmeta_archive_events *events,
    const struct fsmeta_events_coming *next, struct fsmeta_error *error);

/* ---- events_folders.c ---- */

/** False where the file belongs to no layout.  What is found points into the entry. */
bool fsmeta_events_recognise(struct fsmeta_events_item *out, const struct fsmeta_entry *entry);

/** Takes a file as it is on both sides, NULL where it is not; in canonical order. */
int fsmeta_events_take_file(struct fsmeta_archive_events *events,
    const struct fsmeta_events_item *item, const struct fsmeta_entry *before,
    const struct fsmeta_entry *after, struct fsmeta_events_piece **piece);

/** Takes a change, which may be of any file. */
int fsmeta_events_take_change(
    struct fsmeta_archive_events *events, const struct fsmeta_change *change);

/** Forgets the piece under way, of which nothing changed: what follows is not read. */
void fsmeta_events_leave_piece(struct fsmeta_archive_events *events);

/** Ends the innermost open folder. */
int fsmeta_events_close_folder(struct fsmeta_archive_events *events);

void fsmeta_events_add_sum(struct fsmeta_archive_sum *to, const struct fsmeta_archive_sum *sum);

#endif
