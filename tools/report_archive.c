/*
 * What is covered now is what events would call recorded if there had been nothing before: so the
 * same module finds both, and gaps are the same in the picture and in the words.
 *
 * Stretches that lie closer together than a screen can show become one, so that a camera that
 * records by motion does not make the page large.
 */
#include "tools/report_archive.h"

#include "base/path.h"
#include "tools/command.h"
#include "tools/stories.h"

#include <string.h>

enum {
	/** A picture cannot show more columns. */
	COLUMNS = 2000,
	/** More in one step are how a camera records that waits for motion. */
	FEW_GAPS = 3,
};

static const char action[] = "gathering the report";

void fsmeta_report_archive_release(struct fsmeta_report_archive *archive)
{
	fsmeta_archive_events_free(archive->covered);
	fsmeta_cursor_close(archive->nothing);
	fsmeta_buffer_release(&archive->streams);
	fsmeta_buffer_release(&archive->order);
	fsmeta_buffer_release(&archive->stretches);
	fsmeta_buffer_release(&archive->sentences);
	fsmeta_arena_release(&archive->arena);
	memset(archive, 0, sizeof(*archive));
}

/* ---- streams by path ---- */

static struct fsmeta_report_stream *stream_at(
    const struct fsmeta_report_archive *archive, uint32_t at)
{
	return (struct fsmeta_report_stream *)(void *)archive->streams.data + at;
}

static uint32_t *order_of(const struct fsmeta_report_archive *archive)
{
	return (uint32_t *)(void *)archive->order.data;
}

/** Where the stream stands in the order, or would; *found says which. */
static size_t find_stream(const struct fsmeta_report_archive *archive,
    const struct fsmeta_archive_story *story, bool *found)
{
	size_t low = 0, high = archive->order.length / sizeof(uint32_t);

	*found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct fsmeta_report_stream *stream =
		    stream_at(archive, order_of(archive)[middle]);
		int order = fsmeta_path_compare(
		    stream->path, stream->path_length, story->path, story->path_length);

		if (!order)
			order = (stream->layout > story->layout) - (stream->layout < story->layout);
		if (!order)
			*found = true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/** Index of the story's stream, UINT32_MAX where there are too many. */
static int take_stream(struct fsmeta_report_archive *archive,
    const struct fsmeta_archive_story *story, uint32_t *index)
{
	struct fsmeta_report_stream stream = {
	    .path_length = story->path_length, .layout = story->layout};
	uint32_t count = (uint32_t)(archive->order.length / sizeof(uint32_t));
	bool found;
	size_t at = find_stream(archive, story, &found);

	if (found) {
		*index = order_of(archive)[at];
		return 0;
	}
	*index = UINT32_MAX;
	if (count == FSMETA_REPORT_STREAMS_MAX) {
		archive->left_out++;
		return 0;
	}
	stream.path = fsmeta_arena_copy(&archive->arena, story->path, story->path_length);
	if (!stream.path || fsmeta_buffer_append(&archive->streams, &stream, sizeof(stream)) ||
	    fsmeta_buffer_append(&archive->order, &count, sizeof(count)))
		return FSMETA_E_MEMORY;
	memmove(order_of(archive) + at + 1, order_of(archive) + at, (count - at) * sizeof(count));
	order_of(archive)[at] = *index = count;
	return 0;
}

/* ---- stretches ---- */

static bool has_times(const struct fsmeta_archive_story *story)
{
	return story->layout == FSMETA_LAYOUT_FSV || story->layout == FSMETA_LAYOUT_SEGMENTS;
}

/** Time from the first to the last run, for what a column of a picture is. */
static int64_t column_of(const struct fsmeta_archive_run *runs, size_t count)
{
	int64_t from_us = INT64_MAX, to_us = INT64_MIN, range_us;

	for (size_t i = 0; i < count; i++) {
		if (runs[i].event == FSMETA_EVENT_NONE)
			continue;
		if (runs[i].sum.from_us < from_us)
			from_us = runs[i].sum.from_us;
		if (runs[i].sum.to_us > to_us)
			to_us = runs[i].sum.to_us;
	}
	if (from_us > to_us || __builtin_sub_overflow(to_us, from_us, &range_us))
		return 0;
	return range_us / COLUMNS;
}

static int take_run(struct fsmeta_report_archive *archive, const struct fsmeta_archive_run *run,
    const struct fsmeta_report_stretch *as, int64_t column_us)
{
	struct fsmeta_report_stretch stretch = *as;
	size_t length = archive->stretches.length;

	if (length) {
		struct fsmeta_report_stretch *last =
		    (struct fsmeta_report_stretch *)(void *)(archive->stretches.data + length) - 1;

		if (last->stream == as->stream && last->event == as->event &&
		    last->generation == as->generation && run->sum.from_us >= last->from_us &&
		    run->sum.from_us <= last->to_us + column_us) {
			last->pieces += run->sum.pieces;
			if (run->sum.to_us > last->to_us)
				last->to_us = run->sum.to_us;
			return 0;
		}
	}
	stretch.from_us = run->sum.from_us;
	stretch.to_us = run->sum.to_us;
	stretch.pieces = run->sum.pieces;
	return fsmeta_buffer_append(&archive->stretches, &stretch, sizeof(stretch));
}

/** Half of a piece cannot be played; one track of it may be whole all the same. */
static bool is_covered(const struct fsmeta_archive_run *run)
{
	return run->event != FSMETA_EVENT_ORPHANED || run->sum.covered_us > 0;
}

/** All runs, as of `generation`; 0 = as what is covered. */
static int take_runs(struct fsmeta_report_archive *archive,
    const struct fsmeta_archive_events *events, uint64_t generation)
{
	size_t count, story_count;
	const struct fsmeta_archive_run *runs = fsmeta_archive_events_runs(events, &count);
	const struct fsmeta_archive_story *stories =
	    fsmeta_archive_events_stories(events, &story_count);
	int64_t column_us = column_of(runs, count);
	int code = 0;

	for (size_t i = 0; i < count && !code; i++) {
		struct fsmeta_report_stretch stretch = {
		    .event = generation ? (uint32_t)runs[i].event : FSMETA_EVENT_NONE,
		    .generation = generation,
		};

		if (runs[i].event == FSMETA_EVENT_NONE || !has_times(&stories[runs[i].story]) ||
		    (!generation && !is_covered(&runs[i])))
			continue;
		code = take_stream(archive, &stories[runs[i].story], &stretch.stream);
		if (!code && stretch.stream != UINT32_MAX)
			code = take_run(archive, &runs[i], &stretch, column_us);
	}
	return code;
}

/* ---- what is covered now ---- */

int fsmeta_report_archive_begin(struct fsmeta_report_archive *archive, struct fsmeta_error *error)
{
	static const struct fsmeta_batch_source source;
	int code = fsmeta_cursor_from_array(&archive->nothing, NULL, 0, &source, error);

	if (!code)
		code = fsmeta_archive_events_new(&archive->covered, error);
	if (!code)
		fsmeta_archive_events_read(archive->covered, archive->nothing, INT64_MIN);
	return code;
}

int fsmeta_report_archive_entry(struct fsmeta_report_archive *archive,
    const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	const struct fsmeta_change change = {.kind = FSMETA_CHANGE_ADDED, .after = entry};
	struct fsmeta_change_sink *sink = fsmeta_archive_events_sink(archive->covered);

	return sink->change(sink, &change, error);
}

int fsmeta_report_archive_end(struct fsmeta_report_archive *archive, struct fsmeta_error *error)
{
	int code = fsmeta_archive_events_finish(archive->covered, error);

	if (!code && take_runs(archive, archive->covered, 0))
		code = fsmeta_error_set_memory(error, action);
	fsmeta_archive_events_free(archive->covered);
	archive->covered = NULL;
	return code;
}

/* ---- what happened ---- */

static int open_older(void *payload, struct fsmeta_cursor **out, struct fsmeta_error *error)
{
	static const struct fsmeta_db_cursor_options options = {.stop = &fsmeta_stop_signal};
	const struct fsmeta_report_way *way = payload;

	return fsmeta_db_cursor(out, way->db, way->older, &options, error);
}

/** Something is worth a sentence also when nobody asked for this step. */
static bool is_news(
    const struct fsmeta_archive_story *story, const struct fsmeta_retention *retention)
{
	return fsmeta_story_is_alarm(story, retention) ||
	       story->sums[FSMETA_EVENT_RECOVERED].pieces ||
	       (story->gaps && story->gaps <= FEW_GAPS);
}

static int take_story(struct fsmeta_report_archive *archive, const struct fsmeta_report_way *way,
    const struct fsmeta_archive_story *story, const struct fsmeta_retention *retention)
{
	struct fsmeta_report_sentence sentence = {
	    .is_alarm = fsmeta_story_is_alarm(story, retention),
	    .is_news = is_news(story, retention),
	    .is_asked = way->is_asked,
	    .generation = way->newer,
	};
	struct fsmeta_buffer text = {0};
	int code = take_stream(archive, story, &sentence.stream);

	if (code || sentence.stream == UINT32_MAX)
		return code;
	code = fsmeta_story_append(&text, story, retention);
	if (!code) {
		sentence.text = fsmeta_arena_copy(&archive->arena, text.data, text.length);
		code = sentence.text
			   ? fsmeta_buffer_append(&archive->sentences, &sentence, sizeof(sentence))
			   : FSMETA_E_MEMORY;
	}
	fsmeta_buffer_release(&text);
	return code;
}

static int take_stories(struct fsmeta_report_archive *archive, const struct fsmeta_report_way *way,
    const struct fsmeta_archive_events *events, const struct fsmeta_retention *retention)
{
	size_t count, taken = 0;
	const struct fsmeta_archive_story *stories = fsmeta_archive_events_stories(events, &count);
	int code = 0;

	for (size_t i = 0; i < count && !code; i++) {
		if (!way->is_asked && !is_news(&stories[i], retention))
			continue;
		if (taken++ == FSMETA_REPORT_SENTENCES_MAX) {
			archive->left_out += count - i;
			break;
		}
		code = take_story(archive, way, &stories[i], retention);
	}
	return code;
}

int fsmeta_report_archive_way(struct fsmeta_report_archive *archive,
    const struct fsmeta_report_way *way, struct fsmeta_error *error)
{
	struct fsmeta_report_way payload = *way;
	struct fsmeta_retention retention = {0};
	struct fsmeta_archive_events *events;
	int code = fsmeta_stories_gather_meant(
	    &events, way->diff, way->churn, way->source, open_older, error, &payload);

	if (code || !events)
		return code;
	if (archive->policies)
		code = fsmeta_retention_judge(&retention, events, archive->policies, way->diff,
		    way->churn, way->source, error);
	if (!code && (take_stories(archive, way, events, &retention) ||
			 (way->is_step && take_runs(archive, events, way->newer))))
		code = fsmeta_error_set_memory(error, action);
	fsmeta_retention_release(&retention);
	fsmeta_archive_events_free(events);
	return code;
}

bool fsmeta_report_archive_has(
    const struct fsmeta_report_archive *archive, const struct fsmeta_policy *policy)
{
	size_t count = archive->streams.length / sizeof(struct fsmeta_report_stream);

	for (size_t i = 0; i < count; i++) {
		const struct fsmeta_report_stream *stream = stream_at(archive, (uint32_t)i);

		if (fsmeta_policy_concerns(
			policy, stream->layout, stream->path, stream->path_length))
			return true;
	}
	return archive->left_out != 0;
}
