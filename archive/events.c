/*
 * Events from changes.  Names of pieces begin with their time, so the canonical order of a folder
 * is the order in which it was recorded, and what happened is told by standing beside what:
 *
 *     older side     1  2  3  4  5  6  7  8         read again, only where something changed
 *     changes        D  D        D        M  A  A   in the same order
 *                    └─┬┘  │     │        │  └─┬┘
 *                rotated   │   lost     sealed recorded
 *                       first that stayed
 *
 *     rotated    went, and nothing older stayed
 *     lost       went, and something older stayed, or the whole stream went
 *     altered    changed, and the older side has a newer piece already
 *     sealed     changed, was the newest of the older side, and is not of the newer side
 *     grew       the same, and still is
 *     orphaned   came to lack a part
 *     recovered  closed later than a piece can last after its start, as after a crash
 *
 * Times that were lost in copying look like that too; so a piece that came is recovered only where
 * the one in front was closed in time, and the next began just when it was closed.
 *
 * Whether a newer piece follows is known when it comes: a run of changes keeps an event for the
 * time being, which the next piece may correct.  So there are runs, not pieces, and a month of
 * forty streams without trouble is some hundred of them.
 *
 * A stream of which nothing is left: its pieces that are older than all that the streams beside it
 * still have would have been rotated out, the others are lost.  Where that line runs is known when
 * all were read, so then everything is read once more.
 *
 * Recordings have no time in their names; they are in order by the end of their data, each removed
 * one has a run of its own, and the oldest that stayed is the line.  Frames are deleted when nobody
 * needs them, which is no loss.
 *
 * What is read.  Of a folder what is near the changes, and all up to a piece that came, because the
 * pause in front of it has to be known (events_older.c).  Where recorders were at work, which many
 * files that came say, all of it, and the streams beside it: only so does one know who is silent.
 * So a few changes among millions of files cost a few files.
 *
 * Limits.  Who deletes oldest first by hand rotates.  Pieces that were moved are no event, and
 * count in the folder that they left as if they were still there.  A stream whose folder was
 * renamed is judged from its changes alone.
 */
#include "archive/events_inside.h"

#include <stdlib.h>
#include <string.h>

/** A stream that is so far behind others is silent. */
#define SILENT_US (3600 * FSMETA_PIECE_SECOND_US)

static const char action[] = "telling events of archives";

/** The streams of one folder. */
struct beside {
	struct fsmeta_events_path parent;
	/** Oldest that any of them still has; INT64_MAX where none has any. */
	int64_t oldest_us;
	/** Newest of each side. */
	int64_t newest_us[2];
};

const char *fsmeta_archive_event_name(enum fsmeta_archive_event event)
{
	static const char *const names[] = {NULL, "recorded", "grew", "sealed", "rotated", "lost",
	    "altered", "orphaned", "recovered"};

	return event < FSMETA_EVENTS ? names[event] : NULL;
}

static int take_change(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct fsmeta_archive_events *events = (struct fsmeta_archive_events *)sink;
	struct fsmeta_events_item item;
	int code = 0;

	if (events->phase == PHASE_TOUCH)
		return fsmeta_events_touch(events, change) ? fsmeta_error_set_memory(error, action)
							   : 0;
	if (fsmeta_events_recognise(&item, fsmeta_change_entry(change))) {
		const struct fsmeta_events_coming next = {
		    .item = &item, .is_added = change->kind == FSMETA_CHANGE_ADDED};

		code = fsmeta_events_read_older(events, &next, error);
	}
	if (code)
		return code;
	return fsmeta_events_take_change(events, change) ? fsmeta_error_set_memory(error, action)
							 : 0;
}

/* ---- the whole ---- */

int fsmeta_archive_events_new(struct fsmeta_archive_events **out, struct fsmeta_error *error)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return fsmeta_error_set_memory(error, action);
	(*out)->sink.change = take_change;
	return 0;
}

void fsmeta_archive_events_free(struct fsmeta_archive_events *events)
{
	if (!events)
		return;
	for (size_t i = 0; i < events->folder_count; i++) {
		fsmeta_buffer_release(&events->folders[i].path);
		fsmeta_buffer_release(&events->folders[i].piece.stem);
	}
	free(events->folders);
	fsmeta_buffer_release(&events->target);
	fsmeta_buffer_release(&events->touched);
	fsmeta_buffer_release(&events->parents);
	fsmeta_buffer_release(&events->stories);
	fsmeta_buffer_release(&events->runs);
	fsmeta_buffer_release(&events->lines);
	fsmeta_buffer_release(&events->besides);
	fsmeta_buffer_release(&events->gone);
	fsmeta_arena_release(&events->arena);
	free(events);
}

struct fsmeta_change_sink *fsmeta_archive_events_sink(struct fsmeta_archive_events *events)
{
	return &events->sink;
}

int fsmeta_archive_events_settle(
    struct fsmeta_archive_events *events, bool *changed, struct fsmeta_error *error)
{
	int failed = fsmeta_events_settle_places(events);

	*changed = events->touched.length;
	return failed ? fsmeta_error_set_memory(error, action) : 0;
}

void fsmeta_archive_events_read(
    struct fsmeta_archive_events *events, struct fsmeta_cursor *older, int64_t newer_us)
{
	events->phase = PHASE_READ;
	events->older = older;
	events->newer_us = newer_us;
	events->has_begun = false;
	events->current = NULL;
	events->open_count = 0;
	fsmeta_buffer_clear(&events->gone);
	fsmeta_buffer_clear(&events->target);
	fsmeta_buffer_clear(&events->stories);
	fsmeta_buffer_clear(&events->runs);
}

static int compare_besides(const void *a, const void *b)
{
	return fsmeta_events_compare_paths(
	    &((const struct beside *)a)->parent, &((const struct beside *)b)->parent);
}

static void merge_beside(struct beside *to, const struct beside *from)
{
	if (from->oldest_us < to->oldest_us)
		to->oldest_us = from->oldest_us;
	for (int i = OLDER; i <= NEWER; i++)
		if (from->newest_us[i] > to->newest_us[i])
			to->newest_us[i] = from->newest_us[i];
}

/** Sums up the streams that lie in one folder, for each such folder. */
static int gather_besides(struct fsmeta_archive_events *events)
{
	struct beside *items;
	size_t count, kept = 0;
	int code = 0;

	fsmeta_buffer_clear(&events->besides);
	for (size_t i = 0; i < fsmeta_events_count_stories(events) && !code; i++) {
		const struct fsmeta_archive_story *story = fsmeta_events_story_at(events, i);
		const struct beside beside = {
		    .parent = fsmeta_events_parent_of(story->path, story->path_length),
		    .oldest_us = story->is_gone ? INT64_MAX : story->oldest_us,
		    .newest_us = {story->older_newest_us, story->newest_us},
		};

		if (fsmeta_events_has_times(story->layout) && story->path_length)
			code = fsmeta_buffer_append(&events->besides, &beside, sizeof(beside));
	}
	items = (struct beside *)(void *)events->besides.data;
	count = events->besides.length / sizeof(*items);
	if (count)
		qsort(items, count, sizeof(*items), compare_besides);
	for (size_t i = 0; i < count; i++) {
		if (kept && compare_besides(&items[kept - 1], &items[i]) == 0)
			merge_beside(&items[kept - 1], &items[i]);
		else
			items[kept++] = items[i];
	}
	events->besides.length = kept * sizeof(*items);
	return code;
}

static const struct beside *find_beside(
    const struct fsmeta_archive_events *events, const struct fsmeta_archive_story *story)
{
	const struct beside key = {
	    .parent = fsmeta_events_parent_of(story->path, story->path_length)};
	size_t count = events->besides.length / sizeof(key);

	if (!count || !story->path_length)
		return NULL;
	return bsearch(&key, events->besides.data, count, sizeof(key), compare_besides);
}

/** Streams of which nothing is left need a line; 1 where one was drawn that is not in the runs yet.
 */
static int draw_lines(struct fsmeta_archive_events *events)
{
	int code = 0, drawn = 0;

	for (size_t i = 0; i < fsmeta_events_count_stories(events) && !code; i++) {
		const struct fsmeta_archive_story *story = fsmeta_events_story_at(events, i);
		struct fsmeta_events_line line = {story->path, story->path_length, INT64_MIN};
		const struct beside *beside = find_beside(events, story);

		if (!story->is_gone || !fsmeta_events_has_times(story->layout))
			continue;
		if (beside && beside->oldest_us != INT64_MAX)
			line.us = beside->oldest_us;
		code = fsmeta_buffer_append(&events->lines, &line, sizeof(line));
		drawn = 1;
	}
	return code ? code : drawn;
}

static bool is_behind(int64_t newest_us, int64_t others_us)
{
	return others_us != UNKNOWN_US && newest_us < others_us - SILENT_US;
}

/** Kept up with the streams beside it before, and does not any more. */
static bool is_silent(
    const struct fsmeta_archive_events *events, const struct fsmeta_archive_story *story)
{
	const struct beside *beside = find_beside(events, story);
	int64_t newest_us = story->older_newest_us;

	if (!fsmeta_events_has_times(story->layout) || story->is_gone || !beside ||
	    newest_us == UNKNOWN_US || is_behind(newest_us, beside->newest_us[OLDER]))
		return false;
	/* What was lost was recorded. */
	if (story->newest_us > newest_us)
		newest_us = story->newest_us;
	return is_behind(newest_us, beside->newest_us[NEWER]);
}

/** Adds the runs up; what nobody claims means nothing. */
static void sum_up(struct fsmeta_archive_events *events)
{
	for (size_t i = 0; i < fsmeta_events_count_runs(events); i++) {
		struct fsmeta_archive_run *run = fsmeta_events_run_at(events, i);
		struct fsmeta_archive_story *story = fsmeta_events_story_at(events, run->story);

		if (story->layout == FSMETA_LAYOUT_NONE)
			run->event = FSMETA_EVENT_NONE;
		fsmeta_events_add_sum(&story->sums[run->event], &run->sum);
	}
	events->expected = 0;
	for (size_t i = 0; i < fsmeta_events_count_stories(events); i++) {
		struct fsmeta_archive_story *story = fsmeta_events_story_at(events, i);
		const struct fsmeta_archive_sum *went = &story->sums[FSMETA_EVENT_ROTATED];

		story->is_silent = is_silent(events, story);
		events->expected += went->files + went->folders;
	}
}

static bool is_told(const struct fsmeta_archive_story *story)
{
	bool happened = story->is_silent;

	for (int event = FSMETA_EVENT_RECORDED; event < FSMETA_EVENTS; event++)
		happened |= story->sums[event].files != 0;
	return happened && story->layout != FSMETA_LAYOUT_NONE;
}

/** Leaves out streams to which nothing happened; runs follow. */
static int drop_untold(struct fsmeta_archive_events *events)
{
	struct fsmeta_buffer numbers = {0};
	uint32_t kept = 0, none = UINT32_MAX;
	int code = 0;

	for (size_t i = 0; i < fsmeta_events_count_stories(events) && !code; i++) {
		bool told = is_told(fsmeta_events_story_at(events, i));

		code = fsmeta_buffer_append(&numbers, told ? &kept : &none, sizeof(kept));
		if (told)
			*fsmeta_events_story_at(events, kept++) =
			    *fsmeta_events_story_at(events, i);
	}
	for (size_t i = 0; i < fsmeta_events_count_runs(events) && !code; i++) {
		struct fsmeta_archive_run *run = fsmeta_events_run_at(events, i);

		run->story = ((const uint32_t *)(const void *)numbers.data)[run->story];
	}
	events->stories.length = kept * sizeof(struct fsmeta_archive_story);
	fsmeta_buffer_release(&numbers);
	return code;
}

int fsmeta_archive_events_finish(struct fsmeta_archive_events *events, struct fsmeta_error *error)
{
	int code = fsmeta_events_read_older(events, NULL, error);

	if (code)
		return code;
	while (events->open_count && !code)
		code = fsmeta_events_close_folder(events);
	events->older = NULL;
	if (!code)
		code = gather_besides(events);
	if (!code && !events->lines.length) {
		code = draw_lines(events);
		if (code > 0)
			return 1;
	}
	if (!code) {
		sum_up(events);
		code = drop_untold(events);
	}
	fsmeta_archive_events_rewind(events);
	return code ? fsmeta_error_set_memory(error, action) : 0;
}

const struct fsmeta_archive_story *fsmeta_archive_events_stories(
    const struct fsmeta_archive_events *events, size_t *count)
{
	*count = fsmeta_events_count_stories(events);
	return fsmeta_events_story_at(events, 0);
}

const struct fsmeta_archive_run *fsmeta_archive_events_runs(
    const struct fsmeta_archive_events *events, size_t *count)
{
	*count = fsmeta_events_count_runs(events);
	return fsmeta_events_run_at(events, 0);
}

void fsmeta_archive_events_rewind(struct fsmeta_archive_events *events)
{
	events->phase = PHASE_JUDGE;
	events->run = 0;
	events->run_changes = 0;
}

bool fsmeta_archive_events_judge(struct fsmeta_archive_events *events,
    struct fsmeta_archive_verdict *out, const struct fsmeta_change *change)
{
	const struct fsmeta_archive_run *run;
	struct fsmeta_events_item item;
	int64_t modified_us;

	if (!fsmeta_events_recognise(&item, fsmeta_change_entry(change)) ||
	    events->run >= fsmeta_events_count_runs(events))
		return false;
	run = fsmeta_events_run_at(events, events->run);
	if (++events->run_changes >= run->sum.files) {
		events->run++;
		events->run_changes = 0;
	}
	if (run->event == FSMETA_EVENT_NONE || run->story == UINT32_MAX)
		return false;
	modified_us = fsmeta_piece_modified_us(item.entry);
	*out = (struct fsmeta_archive_verdict){
	    .event = run->event,
	    .story = fsmeta_events_story_at(events, run->story),
	    .from_us = UNKNOWN_US,
	    .to_us = UNKNOWN_US,
	};
	if (fsmeta_events_has_times(item.name.layout)) {
		out->from_us = item.name.start_us;
		if (modified_us >= out->from_us &&
		    modified_us <= out->from_us + FSMETA_PIECE_CLOSED_US)
			out->to_us = modified_us;
	}
	return true;
}

uint64_t fsmeta_archive_events_expected_removals(const struct fsmeta_archive_events *events)
{
	return events->expected;
}
