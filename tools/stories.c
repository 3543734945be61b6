/*
 * From changes to sentences.
 *
 * What a change means for an archive is known only when all of them have been seen: whether the
 * file that went was the oldest depends on what stayed.  So the diff's spool is replayed, which
 * costs little, instead of being kept as events, which would cost memory for each file:
 *
 *     diff ── names ──────► events   where did something change?          settle
 *     diff ── changes ────► events   beside the older side, read once     read, finish; again
 *                                    more where something changed         as long as it asks
 *     diff ── changes ────► filter ── judge each ──► output
 *                                    ordinary ones are left out, all others say their event
 *     events ── stories ──► lines    a sentence of clauses for each stream
 *
 * Churn is taken out in front of all of them: times that were shifted alter nothing.
 *
 * A million files may have words of their own, and most are those of the file before.  So the
 * filter keeps the text that it made last, the part of the JSON that names stream and layout, and
 * the text of the day.
 */
#include "tools/stories.h"

#include "base/text.h"
#include "tools/command.h"
#include "tools/output_line.h"

#include <inttypes.h>
#include <string.h>

enum {
	SECOND_US = 1000000,
	/** "2026-11-20 10:00" */
	MINUTE_LENGTH = 16,
};

static const char action[] = "telling of archives";

static int replay(struct fsmeta_diff *diff, struct fsmeta_churn_filter *churn,
    struct fsmeta_archive_events *events, struct fsmeta_error *error)
{
	struct fsmeta_change_sink *sink = fsmeta_archive_events_sink(events);

	return churn ? fsmeta_churn_filter_replay(churn, diff, sink, error)
		     : fsmeta_diff_replay(diff, sink, error);
}

/** The first time it is asked where something changed; churn is known by what changed. */
static int replay_places(struct fsmeta_diff *diff, struct fsmeta_churn_filter *churn,
    struct fsmeta_archive_events *events, struct fsmeta_error *error)
{
	if (churn && churn->churn)
		return replay(diff, churn, events, error);
	return fsmeta_diff_replay_names(diff, fsmeta_archive_events_sink(events), error);
}

int fsmeta_stories_gather(struct fsmeta_archive_events **out, struct fsmeta_diff *diff,
    const struct fsmeta_batch_source *newer, fsmeta_stories_open *open, struct fsmeta_error *error,
    void *payload)
{
	return fsmeta_stories_gather_meant(out, diff, NULL, newer, open, error, payload);
}

int fsmeta_stories_gather_meant(struct fsmeta_archive_events **out, struct fsmeta_diff *diff,
    struct fsmeta_churn_filter *churn, const struct fsmeta_batch_source *newer,
    fsmeta_stories_open *open, struct fsmeta_error *error, void *payload)
{
	struct fsmeta_archive_events *events;
	int64_t newer_ns = 0;
	bool changed = false;
	bool is_known = newer->started.seconds && fsmeta_time_to_ns(newer->started, &newer_ns);
	int code = fsmeta_archive_events_new(&events, error);

	*out = NULL;
	if (code)
		return code;
	code = replay_places(diff, churn, events, error);
	if (!code)
		code = fsmeta_archive_events_settle(events, &changed, error);
	if (code || !changed) {
		fsmeta_archive_events_free(events);
		return code;
	}
	do {
		struct fsmeta_cursor *older = NULL;

		code = open(payload, &older, error);
		if (code >= 0) {
			fsmeta_archive_events_read(
			    events, older, is_known ? newer_ns / 1000 : INT64_MIN);
			code = replay(diff, churn, events, error);
		}
		if (code >= 0)
			code = fsmeta_archive_events_finish(events, error);
		fsmeta_cursor_close(older);
	} while (code > 0);
	if (code < 0) {
		fsmeta_archive_events_free(events);
		return code;
	}
	*out = events;
	return 0;
}

/* ---- sentences ---- */

static bool is_ordinary(enum fsmeta_archive_event event)
{
	return event == FSMETA_EVENT_RECORDED || event == FSMETA_EVENT_GREW ||
	       event == FSMETA_EVENT_SEALED || event == FSMETA_EVENT_ROTATED;
}

bool fsmeta_story_is_alarm(
    const struct fsmeta_archive_story *story, const struct fsmeta_retention *retention)
{
	const struct fsmeta_retention_verdict *kept = fsmeta_retention_of(retention, story);

	return (kept && kept->early) || story->is_silent || story->sums[FSMETA_EVENT_LOST].pieces ||
	       story->sums[FSMETA_EVENT_ALTERED].pieces ||
	       story->sums[FSMETA_EVENT_ORPHANED].pieces;
}

static bool has_times(const struct fsmeta_archive_story *story)
{
	return story->layout == FSMETA_LAYOUT_FSV || story->layout == FSMETA_LAYOUT_SEGMENTS;
}

/** "23 h 53 min", "7 min", "12 s", "30 d". */
static int append_duration(struct fsmeta_buffer *out, int64_t duration_us)
{
	long long minutes = (long long)(duration_us / SECOND_US / 60), hours = minutes / 60;

	if (minutes < 1)
		return fsmeta_buffer_append_format(
		    out, "%lld s", (long long)(duration_us / SECOND_US));
	if (hours < 1)
		return fsmeta_buffer_append_format(out, "%lld min", minutes);
	if (hours < 48)
		return minutes % 60 ? fsmeta_buffer_append_format(
					  out, "%lld h %lld min", hours, minutes % 60)
				    : fsmeta_buffer_append_format(out, "%lld h", hours);
	return fsmeta_buffer_append_format(out, "%lld d", (hours + 12) / 24);
}

/** "2026-11-20 10:00" */
static int append_minute(struct fsmeta_buffer *out, int64_t time_us)
{
	char text[FSMETA_TIME_TEXT_BYTES];
	int64_t ns;

	if (__builtin_mul_overflow(time_us, 1000, &ns))
		return fsmeta_buffer_append_byte(out, '?');
	fsmeta_time_format(text, fsmeta_time_from_ns(ns));
	text[10] = ' ';
	return fsmeta_buffer_append(out, text, MINUTE_LENGTH);
}

static const char *noun_of(const struct fsmeta_archive_story *story)
{
	switch (story->layout) {
	case FSMETA_LAYOUT_SEGMENTS:
		return "segment";
	case FSMETA_LAYOUT_FRAMES:
		return "frame";
	case FSMETA_LAYOUT_RECORDING:
		return "recording";
	default:
		return "file";
	}
}

/** Clauses with commas between them; the first number says of what. */
struct sentence {
	struct fsmeta_buffer *out;
	const struct fsmeta_archive_story *story;
	/** NULL where no policy speaks of the stream. */
	const struct fsmeta_retention_verdict *kept;
	bool has_begun;
	int failed;
};

static void begin_clause(struct sentence *sentence)
{
	if (sentence->has_begun)
		sentence->failed |= fsmeta_buffer_append_text(sentence->out, ", ");
	sentence->has_begun = true;
}

static void append_words(struct sentence *sentence, const char *words)
{
	sentence->failed |= fsmeta_buffer_append_text(sentence->out, words);
}

/** "84 segments WORDS", the second time "84 WORDS"; false where there are none. */
static bool append_clause(
    struct sentence *sentence, enum fsmeta_archive_event event, const char *words)
{
	uint64_t pieces = sentence->story->sums[event].pieces;
	bool is_first = !sentence->has_begun;

	if (!pieces)
		return false;
	begin_clause(sentence);
	sentence->failed |= fsmeta_text_append_count(sentence->out, pieces);
	if (is_first)
		sentence->failed |= fsmeta_buffer_append_format(
		    sentence->out, " %s%s", noun_of(sentence->story), pieces == 1 ? "" : "s");
	append_words(sentence, " ");
	append_words(sentence, words);
	return true;
}

static int64_t covered_by(const struct fsmeta_archive_story *story)
{
	return story->sums[FSMETA_EVENT_RECORDED].covered_us +
	       story->sums[FSMETA_EVENT_GREW].covered_us +
	       story->sums[FSMETA_EVENT_SEALED].covered_us +
	       story->sums[FSMETA_EVENT_RECOVERED].covered_us;
}

static void append_gaps(struct sentence *sentence)
{
	const struct fsmeta_archive_story *story = sentence->story;

	if (!story->gaps)
		return;
	if (story->gaps == 1) {
		append_words(sentence, ", one gap of ");
		sentence->failed |= append_duration(sentence->out, story->gaps_us);
		return;
	}
	append_words(sentence, ", ");
	sentence->failed |= fsmeta_text_append_count(sentence->out, story->gaps);
	append_words(sentence, " gaps of ");
	sentence->failed |= append_duration(sentence->out, story->gaps_us);
	append_words(sentence, " together");
}

static void append_recorded(struct sentence *sentence)
{
	const struct fsmeta_archive_story *story = sentence->story;
	const char *words = story->layout == FSMETA_LAYOUT_FRAMES ? "saved" : "recorded";

	if (!append_clause(sentence, FSMETA_EVENT_RECORDED, words)) {
		if (append_clause(sentence, FSMETA_EVENT_GREW, "grew") && has_times(story)) {
			append_words(sentence, " by ");
			sentence->failed |= append_duration(
			    sentence->out, story->sums[FSMETA_EVENT_GREW].covered_us);
		}
		append_clause(sentence, FSMETA_EVENT_SEALED, "completed");
		return;
	}
	if (!has_times(story)) {
		append_clause(sentence, FSMETA_EVENT_GREW, "grew");
		append_clause(sentence, FSMETA_EVENT_SEALED, "completed");
		return;
	}
	append_words(sentence, " (");
	sentence->failed |= append_duration(sentence->out, covered_by(story));
	append_gaps(sentence);
	append_words(sentence, ")");
}

/** ", 30 d kept" */
static void append_kept(struct sentence *sentence)
{
	const struct fsmeta_archive_story *story = sentence->story;

	if (story->oldest_us == INT64_MIN || story->newest_us == INT64_MIN)
		return;
	append_words(sentence, ", ");
	sentence->failed |= append_duration(sentence->out, story->newest_us - story->oldest_us);
	append_words(sentence, " kept");
}

/** ", policy 30 d", ", 2 of them too early for policy 30 d, 29 d kept" */
static void append_policy(struct sentence *sentence)
{
	const struct fsmeta_retention_verdict *kept = sentence->kept;

	append_words(sentence, ", ");
	if (kept->early && kept->early < sentence->story->sums[FSMETA_EVENT_ROTATED].pieces) {
		sentence->failed |= fsmeta_text_append_count(sentence->out, kept->early);
		append_words(sentence, " of them ");
	}
	append_words(sentence, kept->early ? "too early for policy " : "policy ");
	sentence->failed |= append_duration(sentence->out, kept->policy->duration_us);
	if (kept->early)
		append_kept(sentence);
}

/** "the oldest 4 d overdue" */
static void append_overdue(struct sentence *sentence)
{
	append_words(sentence, "the oldest ");
	sentence->failed |= append_duration(sentence->out, sentence->kept->overdue_us);
	append_words(sentence, " overdue");
}

static void append_rotated(struct sentence *sentence)
{
	const struct fsmeta_archive_story *story = sentence->story;
	const struct fsmeta_retention_verdict *kept = sentence->kept;

	if (story->layout == FSMETA_LAYOUT_FRAMES) {
		append_clause(sentence, FSMETA_EVENT_ROTATED, "deleted");
		return;
	}
	if (append_clause(sentence, FSMETA_EVENT_ROTATED, "rotated out")) {
		append_words(sentence, " (oldest first");
		if (kept)
			append_policy(sentence);
		else if (has_times(story))
			append_kept(sentence);
		if (kept && kept->overdue_us) {
			append_words(sentence, ", ");
			append_overdue(sentence);
		}
		append_words(sentence, ")");
	} else if (kept && kept->overdue_us) {
		begin_clause(sentence);
		append_overdue(sentence);
		append_words(sentence, " (policy ");
		sentence->failed |= append_duration(sentence->out, kept->policy->duration_us);
		append_words(sentence, ")");
	}
}

/** " (2026-11-20 10:00)", " (2026-11-20 10:00 to 12:30)" */
static void append_when(struct sentence *sentence, enum fsmeta_archive_event event)
{
	const struct fsmeta_archive_sum *sum = &sentence->story->sums[event];

	if (!has_times(sentence->story))
		return;
	append_words(sentence, " (");
	sentence->failed |= append_minute(sentence->out, sum->from_us);
	if (sum->pieces > 1) {
		append_words(sentence, " to ");
		sentence->failed |= append_minute(sentence->out, sum->to_us);
	}
	append_words(sentence, ")");
}

static void append_alarms(struct sentence *sentence)
{
	const struct fsmeta_archive_story *story = sentence->story;
	bool is_recording = story->layout == FSMETA_LAYOUT_RECORDING;

	if (append_clause(sentence, FSMETA_EVENT_LOST,
		story->is_gone ? "lost, nothing is left" : "lost out of order"))
		append_when(sentence, FSMETA_EVENT_LOST);
	if (append_clause(sentence, FSMETA_EVENT_ALTERED,
		story->layout == FSMETA_LAYOUT_FRAMES           ? "changed"
		: is_recording                                  ? "changed after completion"
		: story->sums[FSMETA_EVENT_ALTERED].pieces == 1 ? "changed after it was sealed"
								: "changed after they were sealed"))
		append_when(sentence, FSMETA_EVENT_ALTERED);
	if (append_clause(sentence, FSMETA_EVENT_ORPHANED,
		is_recording ? "abandoned" : "without counterpart"))
		append_when(sentence, FSMETA_EVENT_ORPHANED);
	if (append_clause(sentence, FSMETA_EVENT_RECOVERED, "recovered"))
		append_when(sentence, FSMETA_EVENT_RECOVERED);
	if (story->is_silent) {
		int64_t newest_us = story->newest_us > story->older_newest_us
					? story->newest_us
					: story->older_newest_us;

		begin_clause(sentence);
		append_words(sentence, "nothing after ");
		sentence->failed |= append_minute(sentence->out, newest_us);
		append_words(sentence, ", while others went on");
	}
}

int fsmeta_story_append(struct fsmeta_buffer *out, const struct fsmeta_archive_story *story,
    const struct fsmeta_retention *retention)
{
	struct sentence sentence = {
	    .out = out, .story = story, .kept = fsmeta_retention_of(retention, story)};

	append_recorded(&sentence);
	append_rotated(&sentence);
	append_alarms(&sentence);
	return sentence.failed;
}

/* ---- in front of an output ---- */

/** The path of a stream as keys; "." is the root. */
static int append_json_stream(struct fsmeta_buffer *out, const struct fsmeta_archive_story *story)
{
	return fsmeta_line_json_string(out, "stream", story->path_length ? story->path : ".",
	    story->path_length ? story->path_length : 1);
}

/** ,"KEY":"TIME"; there is room for it. */
static void put_json_time(
    struct fsmeta_stories_filter *filter, const char *key, size_t key_length, int64_t time_us)
{
	struct fsmeta_buffer *out = &filter->json;
	int64_t ns;

	if (time_us == INT64_MIN || __builtin_mul_overflow(time_us, 1000, &ns))
		return;
	fsmeta_line_text(out, key, key_length);
	fsmeta_line_time_by(out, &filter->day, fsmeta_time_from_ns(ns));
	fsmeta_line_byte(out, '"');
}

/** ,"archive":{…}: a million lines have one each, and most begin as the one before. */
static int append_json_verdict(
    struct fsmeta_stories_filter *filter, const struct fsmeta_archive_verdict *verdict, bool early)
{
	static const char from[] = ",\"from\":\"", to[] = ",\"to\":\"", event[] = ",\"event\":\"";
	const char *name = fsmeta_archive_event_name(verdict->event);
	struct fsmeta_buffer *out = &filter->json;
	int failed = 0;

	if (filter->story == verdict->story) {
		out->length = filter->story_length;
	} else {
		fsmeta_buffer_clear(out);
		failed |= fsmeta_buffer_append_format(out, ",\"archive\":{\"layout\":\"%s\"",
		    fsmeta_layout_name(verdict->story->layout));
		failed |= append_json_stream(out, verdict->story);
		filter->story = failed ? NULL : verdict->story;
		filter->story_length = out->length;
	}
	failed |= fsmeta_buffer_reserve(out, FSMETA_LINE_FIXED_BYTES);
	if (failed)
		return failed;
	put_json_time(filter, from, sizeof(from) - 1, verdict->from_us);
	put_json_time(filter, to, sizeof(to) - 1, verdict->to_us);
	fsmeta_line_text(out, event, sizeof(event) - 1);
	fsmeta_line_text(out, name, strlen(name));
	if (early)
		FSMETA_LINE_PUT(out, "\",\"early\":true}");
	else
		FSMETA_LINE_PUT(out, "\"}");
	return 0;
}

/** "  [rotated too early]": mostly the same as of the change before. */
static int make_text(
    struct fsmeta_stories_filter *filter, enum fsmeta_archive_event event, bool early)
{
	struct fsmeta_buffer *out = &filter->text;
	int failed;

	if (filter->text_event == event && filter->text_early == early)
		return 0;
	filter->text_event = FSMETA_EVENT_NONE;
	fsmeta_buffer_clear(out);
	failed = fsmeta_buffer_append_text(out, "  [");
	failed |= fsmeta_buffer_append_text(out, fsmeta_archive_event_name(event));
	failed |= fsmeta_buffer_append_text(out, early ? " too early]" : "]");
	if (failed || !fsmeta_buffer_string(out))
		return FSMETA_E_MEMORY;
	filter->text_event = event;
	filter->text_early = early;
	return 0;
}

static int set_words(struct fsmeta_stories_filter *filter,
    const struct fsmeta_archive_verdict *verdict, bool early, struct fsmeta_error *error)
{
	if (append_json_verdict(filter, verdict, early) ||
	    make_text(filter, verdict->event, early) || !fsmeta_buffer_string(&filter->json))
		return fsmeta_error_set_memory(error, action);
	fsmeta_output_set_context(filter->output,
	    &(struct fsmeta_output_context){.after = (const char *)filter->text.data,
		.json_after = (const char *)filter->json.data});
	return 0;
}

static int filter_change(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	static const struct fsmeta_output_context no_words;
	struct fsmeta_stories_filter *filter = (struct fsmeta_stories_filter *)sink;
	struct fsmeta_archive_verdict verdict;
	bool early;
	int code;

	if (!filter->events || !fsmeta_archive_events_judge(filter->events, &verdict, change))
		return filter->next->change(filter->next, change, error);
	early = fsmeta_retention_is_early(filter->retention, &verdict);
	if (filter->hides && is_ordinary(verdict.event) && !early) {
		filter->hidden++;
		return 0;
	}
	if (!filter->output)
		return filter->next->change(filter->next, change, error);
	code = set_words(filter, &verdict, early, error);
	if (!code)
		code = filter->next->change(filter->next, change, error);
	fsmeta_output_set_context(filter->output, &no_words);
	return code;
}

void fsmeta_stories_filter_init(struct fsmeta_stories_filter *filter,
    struct fsmeta_archive_events *events, const struct fsmeta_retention *retention,
    struct fsmeta_output *output, bool hides, struct fsmeta_change_sink *next)
{
	*filter = (struct fsmeta_stories_filter){.sink = {.change = filter_change},
	    .events = events,
	    .retention = retention,
	    .output = output,
	    .hides = hides,
	    .next = next};
	if (events)
		fsmeta_archive_events_rewind(events);
}

void fsmeta_stories_filter_release(struct fsmeta_stories_filter *filter)
{
	fsmeta_buffer_release(&filter->json);
	fsmeta_buffer_release(&filter->text);
}

/* ---- all of them ---- */

/** V  PATH/: SENTENCE */
static int append_text(struct fsmeta_buffer *out, const struct fsmeta_archive_story *story,
    const struct fsmeta_retention *retention)
{
	struct fsmeta_buffer path = {0};
	int failed = fsmeta_buffer_append_text(out, "V  ");

	failed |= fsmeta_buffer_append_text(&path, story->path_length ? story->path : ".");
	failed |= fsmeta_buffer_append_byte(&path, '/');
	if (!failed)
		failed = fsmeta_text_append_quoted(out, (const char *)path.data, path.length);
	failed |= fsmeta_buffer_append_text(out, ": ");
	failed |= fsmeta_story_append(out, story, retention);
	fsmeta_buffer_release(&path);
	return failed | fsmeta_buffer_append_byte(out, '\n');
}

/** ,"policy":"keep 30d","rotated_early":2,"overdue_seconds":86400 */
static int append_json_kept(struct fsmeta_buffer *out, const struct fsmeta_retention_verdict *kept)
{
	const char *policy = kept->policy->text;
	int failed = fsmeta_line_json_string(out, "policy", policy, strlen(policy));

	if (kept->early)
		failed |=
		    fsmeta_buffer_append_format(out, ",\"rotated_early\":%" PRIu64, kept->early);
	if (kept->overdue_us)
		failed |= fsmeta_buffer_append_format(
		    out, ",\"overdue_seconds\":%" PRId64, kept->overdue_us / SECOND_US);
	return failed;
}

static int append_json(struct fsmeta_buffer *out, const struct fsmeta_archive_story *story,
    const struct fsmeta_retention *retention)
{
	const struct fsmeta_retention_verdict *kept = fsmeta_retention_of(retention, story);
	size_t start = out->length;
	int failed = append_json_stream(out, story);

	if (failed)
		return failed;
	out->data[start] = '{';
	failed |= fsmeta_buffer_append_format(
	    out, ",\"layout\":\"%s\"", fsmeta_layout_name(story->layout));
	for (int i = FSMETA_EVENT_RECORDED; i < FSMETA_EVENTS; i++)
		if (story->sums[i].pieces)
			failed |= fsmeta_buffer_append_format(out, ",\"%s\":%" PRIu64,
			    fsmeta_archive_event_name((enum fsmeta_archive_event)i),
			    story->sums[i].pieces);
	if (has_times(story))
		failed |= fsmeta_buffer_append_format(out,
		    ",\"recorded_seconds\":%" PRId64 ",\"gaps\":%" PRIu64
		    ",\"longest_gap_seconds\":%" PRId64,
		    covered_by(story) / SECOND_US, story->gaps, story->longest_gap_us / SECOND_US);
	if (story->is_silent)
		failed |= fsmeta_buffer_append_text(out, ",\"silent\":true");
	if (kept)
		failed |= append_json_kept(out, kept);
	return failed | fsmeta_buffer_append_text(out, "}\n");
}

int fsmeta_stories_print(FILE *stream, const struct fsmeta_archive_events *events,
    const struct fsmeta_retention *retention, bool as_json, struct fsmeta_error *error)
{
	const struct fsmeta_archive_story *stories;
	struct fsmeta_buffer out = {0};
	size_t count = 0;
	int failed = 0;

	if (!events)
		return 0;
	stories = fsmeta_archive_events_stories(events, &count);
	for (size_t i = 0; i < count && !failed; i++)
		failed = as_json ? append_json(&out, &stories[i], retention)
				 : append_text(&out, &stories[i], retention);
	if (!failed && out.length)
		fwrite(out.data, 1, out.length, stream);
	fsmeta_buffer_release(&out);
	if (failed)
		return fsmeta_error_set_memory(error, action);
	return fsmeta_flush_output(error);
}
