/*
 * What a diff means for the video archives in it: a sentence for each stream instead of a line for
 * each file.
 */
#ifndef FSMETA_TOOLS_STORIES_H
#define FSMETA_TOOLS_STORIES_H

#include "archive/events.h"
#include "diff/diff.h"
#include "tools/churn.h"
#include "tools/output.h"
#include "tools/output_line.h"
#include "tools/retention.h"

/** Opens a cursor over the older side once more; 0 or a code. */
typedef int fsmeta_stories_open(
    void *payload, struct fsmeta_cursor **out, struct fsmeta_error *error);

/**
 * Finds out what happened, *new*; *out is NULL where no archive is concerned.  `newer` (*borrowed*)
 * has been read to its end.
 */
int fsmeta_stories_gather(struct fsmeta_archive_events **out, struct fsmeta_diff *diff,
    const struct fsmeta_batch_source *newer, fsmeta_stories_open *open, struct fsmeta_error *error,
    void *payload);

/** The same of all that is no churn: times that were all shifted alter nothing. */
int fsmeta_stories_gather_meant(struct fsmeta_archive_events **out, struct fsmeta_diff *diff,
    struct fsmeta_churn_filter *churn, const struct fsmeta_batch_source *newer,
    fsmeta_stories_open *open, struct fsmeta_error *error, void *payload);

/**
 * Something that nobody planned: lost, altered, orphaned, rotated out too early, or silent.
 * `retention` may be NULL.
 */
bool fsmeta_story_is_alarm(
    const struct fsmeta_archive_story *story, const struct fsmeta_retention *retention);

/**
 * "86 segments recorded (23 h 53 min, one gap of 7 min), 84 rotated out (oldest first, 30 d kept),
 * 1 lost out of order (2026-11-20 10:00)"; with a policy "84 rotated out (oldest first, policy 30
 * d)".  `retention` may be NULL.
 */
int fsmeta_story_append(struct fsmeta_buffer *out, const struct fsmeta_archive_story *story,
    const struct fsmeta_retention *retention);

/** Stands in front of an output: says of each change what it means, or leaves out what a sentence
 * says. */
struct fsmeta_stories_filter {
	/** First, so that the sink is this. */
	struct fsmeta_change_sink sink;
	/** NULL: everything is handed on as it is. */
	struct fsmeta_archive_events *events;
	/** What is no rotation as it should be; NULL: all is. */
	const struct fsmeta_retention *retention;
	struct fsmeta_change_sink *next;
	/** Gets the words as its context; may be NULL. */
	struct fsmeta_output *output;
	/** Leave out what is as it should be. */
	bool hides;
	/** How many changes were left out. */
	uint64_t hidden;
	struct fsmeta_buffer json;
	struct fsmeta_buffer text;
	/** What `text` says; NONE: nothing yet. */
	enum fsmeta_archive_event text_event;
	bool text_early;
	/** What `json` begins with for all changes of this story, so many bytes of it. */
	const struct fsmeta_archive_story *story;
	size_t story_length;
	/** The day that was written last. */
	struct fsmeta_line_day_text day;
};

/** All is *borrowed* until release.  `retention` may be NULL. */
void fsmeta_stories_filter_init(struct fsmeta_stories_filter *filter,
    struct fsmeta_archive_events *events, const struct fsmeta_retention *retention,
    struct fsmeta_output *output, bool hides, struct fsmeta_change_sink *next);

void fsmeta_stories_filter_release(struct fsmeta_stories_filter *filter);

/** A line for each stream, "V  PATH/: SENTENCE" or JSON.  Both may be NULL. */
int fsmeta_stories_print(FILE *stream, const struct fsmeta_archive_events *events,
    const struct fsmeta_retention *retention, bool as_json, struct fsmeta_error *error);

#endif
