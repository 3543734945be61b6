/*
 * Events from changes: each one by itself, streams that are gone or silent, recordings and frames,
 * trees that are no archive, random histories against a judge who knows all pieces at once, and how
 * much is read.
 */
#include "test_archive_scratch.h"

#include "archive/events.h"
#include "archive/piece.h"
#include "base/path.h"

#include <inttypes.h>

enum {
	ENTRIES_MAX = 3000,
	SECOND = 1000000,
	/** Day 0 begins here. */
	BASE_S = 1700000000,
	PIECE_S = 1000,
};

struct tree {
	struct fsmeta_entry entries[ENTRIES_MAX];
	char paths[ENTRIES_MAX][64];
	size_t count;
	bool is_sorted;
};

static struct tree sides[2];
static struct fsmeta_archive_events *events;
/** What judge() said of each change, by its path. */
static struct {
	char path[64];
	struct fsmeta_archive_verdict verdict;
	bool told;
} verdicts[2 * ENTRIES_MAX];
static size_t verdict_count;
static int reads;
/** The older side as it is read: how many entries of it, and whether it can leap. */
static struct {
	struct fsmeta_cursor cursor;
	struct fsmeta_cursor *inner;
	bool stays;
	uint64_t entries;
} older;

static void clear(void)
{
	sides[0].count = sides[1].count = 0;
	sides[0].is_sorted = sides[1].is_sorted = false;
}

static void add_entry(
    struct tree *tree, const char *path, enum fsmeta_type type, uint64_t size, int64_t second)
{
	size_t n = tree->count++;

	assert_true(n < ENTRIES_MAX);
	snprintf(tree->paths[n], sizeof(tree->paths[n]), "%s", path);
	tree->entries[n] = (struct fsmeta_entry){
	    .path_length = strlen(path),
	    .type = type,
	    .fields = FSMETA_FIELD_SIZE | FSMETA_FIELD_MTIME,
	    .size = size,
	    .mtime = {.seconds = second},
	    /* Finds the path again behind sorting. */
	    .inode = n,
	};
}

static struct fsmeta_entry *find_entry(struct tree *tree, const char *path)
{
	for (size_t i = 0; i < tree->count; i++)
		if (strcmp(tree->paths[i], path) == 0)
			return &tree->entries[i];
	return NULL;
}

/** A file with the folders above it; into both sides where `side` is 2. */
static void put(int side, const char *path, uint64_t size, int64_t second)
{
	for (int i = 0; i < 2; i++) {
		char folder[64];

		if (side != 2 && side != i)
			continue;
		if (!find_entry(&sides[i], ""))
			add_entry(&sides[i], "", FSMETA_TYPE_FOLDER, 0, 0);
		for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
			snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
			if (!find_entry(&sides[i], folder))
				add_entry(&sides[i], folder, FSMETA_TYPE_FOLDER, 0, 0);
		}
		add_entry(&sides[i], path, FSMETA_TYPE_FILE, size, second);
	}
}

/** A segment that begins `number` * 1000 s after BASE_S and is closed right behind. */
static void put_segment_until(int side, const char *stream, int number, int64_t end_s)
{
	char path[64];
	long long start_ms = ((long long)BASE_S + (long long)number * PIECE_S) * 1000;

	snprintf(path, sizeof(path), "%s/%lld.h264", stream, start_ms);
	put(side, path, 100, end_s);
	snprintf(path, sizeof(path), "%s/%lld.vidx", stream, start_ms);
	put(side, path, 10, end_s);
}

static void put_segment(int side, const char *stream, int number)
{
	put_segment_until(side, stream, number, BASE_S + (int64_t)(number + 1) * PIECE_S);
}

static int compare_entries(const void *a, const void *b)
{
	const struct fsmeta_entry *one = a, *other = b;

	return fsmeta_path_compare(one->path, one->path_length, other->path, other->path_length);
}

static struct fsmeta_cursor *open_side(int side)
{
	static struct fsmeta_batch_source source;
	struct tree *tree = &sides[side];
	struct fsmeta_cursor *cursor;
	struct fsmeta_error error = {0};

	for (size_t i = 0; i < tree->count; i++)
		tree->entries[i].path = tree->paths[tree->entries[i].inode];
	if (!tree->is_sorted)
		qsort(tree->entries, tree->count, sizeof(tree->entries[0]), compare_entries);
	tree->is_sorted = true;
	assert_ok(
	    fsmeta_cursor_from_array(&cursor, tree->entries, tree->count, &source, &error), &error);
	return cursor;
}

static int next_older(
    struct fsmeta_cursor *cursor, const struct fsmeta_entry **entry, struct fsmeta_error *error)
{
	int status = fsmeta_cursor_next(older.inner, entry, error);

	(void)cursor;
	older.entries += status > 0;
	return status;
}

static int skip_older(struct fsmeta_cursor *cursor, uint32_t depth, struct fsmeta_error *error)
{
	(void)cursor;
	return fsmeta_cursor_skip(older.inner, depth, error);
}

static int leap_older(
    struct fsmeta_cursor *cursor, const char *path, size_t length, struct fsmeta_error *error)
{
	(void)cursor;
	return older.stays ? 0 : fsmeta_cursor_leap(older.inner, path, length, error);
}

static void close_older(struct fsmeta_cursor *cursor)
{
	(void)cursor;
	fsmeta_cursor_close(older.inner);
}

static struct fsmeta_cursor *open_older(void)
{
	static const struct fsmeta_cursor_operations operations = {
	    .next = next_older, .skip = skip_older, .leap = leap_older, .close = close_older};

	older.inner = open_side(0);
	older.cursor = (struct fsmeta_cursor){
	    .operations = &operations, .source = older.inner->source, .label = "older"};
	return &older.cursor;
}

typedef void change_taker(const struct fsmeta_change *change);

static void compare_pair(
    const struct fsmeta_entry *before, const struct fsmeta_entry *after, change_taker *take)
{
	struct fsmeta_change change = {.before = before, .after = after};

	change.kind = !before  ? FSMETA_CHANGE_ADDED
		      : !after ? FSMETA_CHANGE_REMOVED
			       : FSMETA_CHANGE_MODIFIED;
	if (before && after && before->size != after->size)
		change.fields |= FSMETA_FIELD_SIZE;
	if (before && after && fsmeta_time_compare(before->mtime, after->mtime) != 0)
		change.fields |= FSMETA_FIELD_MTIME;
	if (change.kind != FSMETA_CHANGE_MODIFIED || change.fields)
		take(&change);
}

/** A diff as simple as can be. */
static void each_change(change_taker *take)
{
	const struct tree *a = &sides[0], *b = &sides[1];
	size_t i = 0, j = 0;

	while (i < a->count || j < b->count) {
		int order = i == a->count   ? 1
			    : j == b->count ? -1
					    : compare_entries(&a->entries[i], &b->entries[j]);

		compare_pair(
		    order <= 0 ? &a->entries[i] : NULL, order >= 0 ? &b->entries[j] : NULL, take);
		i += order <= 0;
		j += order >= 0;
	}
}

static void show(const struct fsmeta_change *change)
{
	struct fsmeta_change_sink *sink = fsmeta_archive_events_sink(events);
	struct fsmeta_error error = {0};

	assert_ok(sink->change(sink, change, &error), &error);
}

static void judge(const struct fsmeta_change *change)
{
	size_t n = verdict_count++;

	snprintf(
	    verdicts[n].path, sizeof(verdicts[n].path), "%s", fsmeta_change_entry(change)->path);
	verdicts[n].told = fsmeta_archive_events_judge(events, &verdicts[n].verdict, change);
}

static void run_until(int64_t newer_us)
{
	struct fsmeta_error error = {0};
	bool changed;
	int code = 1;

	fsmeta_cursor_close(open_side(0));
	fsmeta_cursor_close(open_side(1));
	assert_ok(fsmeta_archive_events_new(&events, &error), &error);
	each_change(show);
	verdict_count = 0;
	reads = 0;
	assert_ok(fsmeta_archive_events_settle(events, &changed, &error), &error);
	if (!changed)
		return;
	older.entries = 0;
	while (code == 1) {
		struct fsmeta_cursor *cursor = open_older();

		assert_true(++reads <= 2);
		fsmeta_archive_events_read(events, cursor, newer_us);
		each_change(show);
		code = fsmeta_archive_events_finish(events, &error);
		fsmeta_cursor_close(cursor);
	}
	assert_ok(code, &error);
	fsmeta_archive_events_rewind(events);
	each_change(judge);
}

static void run(void)
{
	run_until(INT64_MIN);
}

static const struct fsmeta_archive_story *story_of(const char *path)
{
	size_t count;
	const struct fsmeta_archive_story *stories = fsmeta_archive_events_stories(events, &count);

	for (size_t i = 0; i < count; i++)
		if (strcmp(stories[i].path, path) == 0)
			return &stories[i];
	return NULL;
}

static size_t count_stories(void)
{
	size_t count;

	fsmeta_archive_events_stories(events, &count);
	return count;
}

static uint64_t pieces(const char *path, enum fsmeta_archive_event event)
{
	const struct fsmeta_archive_story *story = story_of(path);

	return story ? story->sums[event].pieces : 0;
}

static enum fsmeta_archive_event event_of(const char *path)
{
	for (size_t i = 0; i < verdict_count; i++)
		if (strcmp(verdicts[i].path, path) == 0)
			return verdicts[i].told ? verdicts[i].verdict.event : FSMETA_EVENT_NONE;
	fail_msg("%s did not change", path);
	return FSMETA_EVENT_NONE;
}

static void end(void)
{
	fsmeta_archive_events_free(events);
	events = NULL;
	clear();
}

/** One of everything in one stream. */
static void test_day(void **state)
{
	const struct fsmeta_archive_story *story;

	(void)state;
	for (int i = 0; i < 20; i++)
		if (i < 3 || i == 10)
			put_segment(0, "cam1", i);
		else if (i != 14 && i != 19)
			put_segment(2, "cam1", i);
	/* 14 changed, 19 was growing, 20 to 29 came, but for 25. */
	put_segment(0, "cam1", 14);
	put_segment_until(1, "cam1", 14, BASE_S + 15 * PIECE_S + 40);
	put_segment_until(0, "cam1", 19, BASE_S + 19 * PIECE_S + 300);
	put_segment(1, "cam1", 19);
	for (int i = 20; i < 30; i++)
		if (i != 25)
			put_segment(1, "cam1", i);
	put(2, "cam1/notes.txt", 5, 5);
	put(1, "readme.txt", 5, 5);
	run();
	assert_int_equal(1, reads);
	assert_int_equal(1, count_stories());
	story = story_of("cam1");
	assert_int_equal(FSMETA_LAYOUT_SEGMENTS, story->layout);
	assert_int_equal(3, story->sums[FSMETA_EVENT_ROTATED].pieces);
	assert_int_equal(6, story->sums[FSMETA_EVENT_ROTATED].files);
	assert_int_equal(330, story->sums[FSMETA_EVENT_ROTATED].bytes);
	assert_int_equal(BASE_S * INT64_C(1000000), story->sums[FSMETA_EVENT_ROTATED].from_us);
	assert_int_equal(1, story->sums[FSMETA_EVENT_LOST].pieces);
	assert_int_equal(1, story->sums[FSMETA_EVENT_ALTERED].pieces);
	assert_int_equal(1, story->sums[FSMETA_EVENT_SEALED].pieces);
	assert_int_equal(INT64_C(700) * SECOND, story->sums[FSMETA_EVENT_SEALED].covered_us);
	assert_int_equal(9, story->sums[FSMETA_EVENT_RECORDED].pieces);
	assert_int_equal(
	    INT64_C(9) * PIECE_S * SECOND, story->sums[FSMETA_EVENT_RECORDED].covered_us);
	assert_int_equal(1, story->gaps);
	assert_int_equal((int64_t)PIECE_S * SECOND, story->longest_gap_us);
	assert_int_equal((BASE_S + 3 * (int64_t)PIECE_S) * SECOND, story->oldest_us);
	assert_int_equal((BASE_S + 30 * (int64_t)PIECE_S) * SECOND, story->newest_us);
	assert_false(story->is_gone);
	assert_int_equal(6, fsmeta_archive_events_expected_removals(events));
	assert_int_equal(FSMETA_EVENT_ROTATED, event_of("cam1/1700002000000.vidx"));
	assert_int_equal(FSMETA_EVENT_LOST, event_of("cam1/1700010000000.h264"));
	assert_int_equal(FSMETA_EVENT_ALTERED, event_of("cam1/1700014000000.vidx"));
	assert_int_equal(FSMETA_EVENT_SEALED, event_of("cam1/1700019000000.vidx"));
	assert_int_equal(FSMETA_EVENT_RECORDED, event_of("cam1/1700029000000.vidx"));
	assert_int_equal(FSMETA_EVENT_NONE, event_of("readme.txt"));
	end();
}

static void test_growth_and_recovery(void **state)
{
	(void)state;
	/* Growing still; the one of FSV has two tracks. */
	for (int i = 0; i < 4; i++)
		put_segment(2, "grows", i);
	put_segment_until(0, "grows", 4, BASE_S + 4 * PIECE_S + 100);
	put_segment_until(1, "grows", 4, BASE_S + 4 * PIECE_S + 900);
	put(2, "tracks/1700000000_audio.rf1i", 1, BASE_S + 900);
	put(2, "tracks/1700000000_audio.rf1p", 1, BASE_S + 900);
	put(2, "tracks/1700000000_video.rf1i", 1, BASE_S + 900);
	put(2, "tracks/1700000000_video.rf1p", 1, BASE_S + 900);
	put(0, "tracks/1700000900_audio.rf1i", 1, BASE_S + 950);
	put(0, "tracks/1700000900_audio.rf1p", 1, BASE_S + 950);
	put(1, "tracks/1700000900_audio.rf1i", 2, BASE_S + 970);
	put(1, "tracks/1700000900_audio.rf1p", 2, BASE_S + 970);
	put(1, "tracks/1700000900_video.rf1i", 2, BASE_S + 970);
	put(1, "tracks/1700000900_video.rf1p", 2, BASE_S + 970);
	/* Two hours without power; closed when the recorder was on again. */
	put_segment(2, "was-open", 0);
	put_segment_until(0, "was-open", 1, BASE_S + PIECE_S + 500);
	put_segment_until(1, "was-open", 1, BASE_S + 8800);
	put_segment(1, "was-open", 9);
	put_segment(2, "came", 0);
	put_segment(1, "came", 1);
	put_segment_until(1, "came", 2, BASE_S + 8990);
	put_segment(1, "came", 9);
	/* Times were lost in copying: that is no recovery. */
	for (int i = 0; i < 9; i++)
		put_segment_until(i < 4 ? 2 : 1, "copied", i, BASE_S + 900000);
	run();
	assert_int_equal(1, pieces("grows", FSMETA_EVENT_GREW));
	assert_int_equal(
	    INT64_C(800) * SECOND, story_of("grows")->sums[FSMETA_EVENT_GREW].covered_us);
	assert_int_equal(1, pieces("tracks", FSMETA_EVENT_GREW));
	assert_int_equal(4, story_of("tracks")->sums[FSMETA_EVENT_GREW].files);
	assert_int_equal(1, pieces("was-open", FSMETA_EVENT_RECOVERED));
	assert_int_equal(1, pieces("was-open", FSMETA_EVENT_RECORDED));
	assert_int_equal(1, story_of("was-open")->gaps);
	assert_int_equal(1, pieces("came", FSMETA_EVENT_RECOVERED));
	assert_int_equal(2, pieces("came", FSMETA_EVENT_RECORDED));
	assert_int_equal(5, pieces("copied", FSMETA_EVENT_RECORDED));
	assert_int_equal(0, pieces("copied", FSMETA_EVENT_RECOVERED));
	/* Each reaches the next, but the last, of which nobody knows the end. */
	assert_int_equal(INT64_C(4) * PIECE_S * SECOND,
	    story_of("copied")->sums[FSMETA_EVENT_RECORDED].covered_us);
	assert_int_equal(0, story_of("copied")->gaps);
	end();
}

/** What a crash leaves, and what merely looks like it. */
static void test_no_recovery(void **state)
{
	(void)state;
	/* The next piece began long after, or long before, or nothing before was closed in time. */
	put_segment(2, "later", 0);
	put_segment_until(1, "later", 1, BASE_S + 8990);
	put_segment(1, "later", 20);
	put_segment(2, "before", 0);
	put_segment_until(1, "before", 1, BASE_S + 8990);
	for (int i = 2; i < 12; i++)
		put_segment(1, "before", i);
	put_segment(2, "two", 0);
	put_segment_until(1, "two", 1, BASE_S + 8990);
	put_segment_until(1, "two", 2, BASE_S + 8990);
	put_segment(1, "two", 9);
	/* Times that had been lost in copying already. */
	put_segment_until(0, "copied", 0, BASE_S + 900000);
	put_segment_until(1, "copied", 0, BASE_S + 900100);
	run();
	assert_int_equal(0, pieces("later", FSMETA_EVENT_RECOVERED));
	assert_int_equal(0, pieces("before", FSMETA_EVENT_RECOVERED));
	assert_int_equal(0, pieces("two", FSMETA_EVENT_RECOVERED));
	assert_int_equal(1, pieces("copied", FSMETA_EVENT_GREW));
	end();
}

/** The older side was read just when the recorder went on to the next piece. */
static void test_just_begun(void **state)
{
	(void)state;
	for (int stream = 0; stream < 2; stream++) {
		const char *name = stream ? "late" : "soon";

		put_segment_until(0, name, 1, BASE_S + 1990);
		put_segment_until(1, name, 1, BASE_S + 2002);
		put_segment_until(0, name, 2, BASE_S + 2000 + (stream ? 100 : 1));
		put_segment_until(1, name, 2, BASE_S + 2900);
	}
	run();
	assert_int_equal(FSMETA_EVENT_SEALED, event_of("soon/1700001000000.vidx"));
	assert_int_equal(FSMETA_EVENT_ALTERED, event_of("late/1700001000000.vidx"));
	assert_int_equal(1, pieces("soon", FSMETA_EVENT_GREW));
	assert_int_equal(1, pieces("late", FSMETA_EVENT_GREW));
	end();
}

/** Pauses that are no gaps count as covered, and overlaps once. */
static void test_coverage(void **state)
{
	(void)state;
	put_segment(2, "cam", 0);
	for (int i = 1; i < 10; i++)
		put_segment_until(1, "cam", i, BASE_S + (int64_t)(i + 1) * PIECE_S - 5);
	for (int i = 10; i < 20; i++)
		put_segment_until(1, "cam", i, BASE_S + (int64_t)(i + 1) * PIECE_S + 50);
	run();
	assert_int_equal((INT64_C(19) * PIECE_S + 50) * SECOND,
	    story_of("cam")->sums[FSMETA_EVENT_RECORDED].covered_us);
	assert_int_equal(0, story_of("cam")->gaps);
	end();
}

static void test_orphans(void **state)
{
	(void)state;
	for (int i = 0; i < 6; i++)
		put_segment(i ? 2 : 0, "cam", i);
	/* An index without its packets, and one that was cleaned away. */
	put_segment(0, "cam", 7);
	put(1, "cam/1700007000000.vidx", 10, BASE_S + 8 * PIECE_S);
	put(0, "cam/1700008000000.vidx", 10, BASE_S + 9 * PIECE_S);
	put_segment(2, "cam", 9);
	/* One that was known, and changes. */
	put(0, "half/1700000000000.vidx", 10, BASE_S);
	put(1, "half/1700000000000.vidx", 11, BASE_S);
	put_segment(2, "half", 1);
	/* A track went, and the others stayed. */
	for (int i = 0; i < 4; i++) {
		char name[64];

		snprintf(name, sizeof(name), "track/1700000000_%s.rf1%c", i / 2 ? "video" : "audio",
		    "ip"[i % 2]);
		put(i / 2 ? 2 : 0, name, 5, BASE_S + 500);
	}
	run();
	assert_int_equal(0, pieces("half", FSMETA_EVENT_ORPHANED));
	assert_int_equal(1, pieces("track", FSMETA_EVENT_LOST));
	assert_int_equal(1, pieces("cam", FSMETA_EVENT_ROTATED));
	assert_int_equal(1, pieces("cam", FSMETA_EVENT_ORPHANED));
	assert_int_equal(1, pieces("cam", FSMETA_EVENT_RECOVERED));
	assert_int_equal(0, pieces("cam", FSMETA_EVENT_LOST));
	assert_int_equal(FSMETA_EVENT_ORPHANED, event_of("cam/1700007000000.h264"));
	end();
}

/** Of a stream that is gone, what is older than all others have was to be rotated; without others
 * all is lost. */
static void test_gone(void **state)
{
	(void)state;
	for (int i = 0; i < 30; i++) {
		put_segment(i < 4 ? 0 : 2, "a/cam1", i);
		put_segment(i < 6 ? 0 : 2, "a/cam2", i);
		put_segment(0, "a/cam3", i);
		put_segment(0, "b/alone", i);
	}
	put_segment(1, "a/cam1", 30);
	put_segment(1, "a/cam2", 30);
	run();
	assert_int_equal(2, reads);
	assert_true(story_of("a/cam3")->is_gone);
	assert_int_equal(4, pieces("a/cam3", FSMETA_EVENT_ROTATED));
	assert_int_equal(26, pieces("a/cam3", FSMETA_EVENT_LOST));
	assert_int_equal(30, pieces("b/alone", FSMETA_EVENT_LOST));
	assert_int_equal(0, pieces("b/alone", FSMETA_EVENT_ROTATED));
	assert_int_equal(4, pieces("a/cam1", FSMETA_EVENT_ROTATED));
	assert_int_equal(2 * (4 + 6 + 4), fsmeta_archive_events_expected_removals(events));
	assert_int_equal(FSMETA_EVENT_ROTATED, event_of("a/cam3/1700003000000.h264"));
	assert_int_equal(FSMETA_EVENT_LOST, event_of("a/cam3/1700004000000.h264"));
	end();
}

/** A short policy: nothing of the older side is left, and that is rotation, because there is newer.
 */
static void test_all_rotated(void **state)
{
	(void)state;
	for (int i = 0; i < 30; i++)
		put_segment(i >= 20, "cam", i);
	run();
	assert_int_equal(20, pieces("cam", FSMETA_EVENT_ROTATED));
	assert_int_equal(10, pieces("cam", FSMETA_EVENT_RECORDED));
	assert_int_equal(0, story_of("cam")->gaps);
	end();
}

static void test_silent(void **state)
{
	(void)state;
	for (int i = 0; i < 60; i++) {
		put_segment(i < 30 ? 2 : 1, "cam1", i);
		if (i < 30)
			put_segment(2, "dead", i);
		if (i < 40)
			put_segment(i < 30 ? 2 : 1, "stops", i);
		/* It had ended before. */
		if (i < 20)
			put_segment(2, "ended", i);
	}
	run();
	assert_true(story_of("dead")->is_silent);
	assert_true(story_of("stops")->is_silent);
	assert_false(story_of("cam1")->is_silent);
	assert_null(story_of("ended"));
	assert_int_equal(3, count_stories());
	end();

	/* What was lost had been recorded. */
	for (int i = 0; i < 30; i++) {
		put_segment(i < 5 ? 0 : 2, "cam1", i);
		put_segment(i < 20 ? 2 : 0, "cam2", i);
	}
	run();
	assert_int_equal(10, pieces("cam2", FSMETA_EVENT_LOST));
	assert_false(story_of("cam2")->is_silent);
	end();
}

static void put_recording(int side, const char *id, int64_t data_s, int64_t meta_s, uint64_t size)
{
	char path[64];

	snprintf(path, sizeof(path), "store/rec_%s/data.bin", id);
	put(side, path, size, data_s);
	snprintf(path, sizeof(path), "store/rec_%s/index.jsonl", id);
	put(side, path, 10, data_s);
	snprintf(path, sizeof(path), "store/rec_%s/meta.json", id);
	put(side, path, 10, meta_s);
}

static void test_recordings(void **state)
{
	const int64_t now = BASE_S + 86400 * 2;

	(void)state;
	/* Identifiers are in no order. */
	put_recording(0, "oldest", BASE_S, BASE_S + 1, 100);
	put_recording(0, "missing", BASE_S + 500, BASE_S + 501, 100);
	put_recording(2, "stays", BASE_S + 100, BASE_S + 101, 100);
	put_recording(1, "new", now - 100, now - 99, 100);
	put_recording(1, "running", now - 1, now - 1000, 100);
	put_recording(0, "grows", now - 90000, now - 99000, 100);
	put_recording(1, "grows", now - 1, now - 99000, 200);
	put_recording(0, "ends", now - 90000, now - 99000, 100);
	put_recording(1, "ends", now - 100, now - 99, 200);
	put_recording(0, "cut", now - 90000, now - 99000, 100);
	put_recording(1, "cut", now - 100, now - 99, 90);
	put_recording(0, "left", now - 90000, now - 99000, 100);
	put_recording(1, "left", now - 80000, now - 99000, 120);
	put_recording(0, "altered", BASE_S + 1000, BASE_S + 1001, 100);
	put_recording(1, "altered", BASE_S + 1000, BASE_S + 1002, 100);
	put(1, "rec_other/data.bin", 1, 1);
	run_until(now * SECOND);
	assert_int_equal(1, count_stories());
	assert_int_equal(FSMETA_LAYOUT_RECORDING, story_of("store")->layout);
	assert_int_equal(FSMETA_EVENT_ROTATED, event_of("store/rec_oldest/data.bin"));
	assert_int_equal(FSMETA_EVENT_LOST, event_of("store/rec_missing/meta.json"));
	assert_int_equal(FSMETA_EVENT_RECORDED, event_of("store/rec_new/meta.json"));
	assert_int_equal(FSMETA_EVENT_RECORDED, event_of("store/rec_running/meta.json"));
	assert_int_equal(FSMETA_EVENT_GREW, event_of("store/rec_grows/data.bin"));
	assert_int_equal(FSMETA_EVENT_SEALED, event_of("store/rec_ends/data.bin"));
	assert_int_equal(FSMETA_EVENT_RECOVERED, event_of("store/rec_cut/data.bin"));
	assert_int_equal(FSMETA_EVENT_ORPHANED, event_of("store/rec_left/data.bin"));
	assert_int_equal(FSMETA_EVENT_ALTERED, event_of("store/rec_altered/meta.json"));
	/* Three files and the folder. */
	assert_int_equal(4, fsmeta_archive_events_expected_removals(events));
	end();

	put_recording(0, "a", BASE_S, BASE_S + 1, 100);
	put_recording(0, "b", BASE_S, BASE_S + 1, 100);
	run();
	assert_int_equal(2, pieces("store", FSMETA_EVENT_LOST));
	end();

	/* Segments beside them are another stream: neither speaks for the other. */
	put_recording(0, "a", BASE_S, BASE_S + 1, 100);
	for (int i = 0; i < 8; i++)
		put_segment(2, "store", i);
	run();
	assert_int_equal(FSMETA_EVENT_LOST, event_of("store/rec_a/data.bin"));
	assert_int_equal(0, fsmeta_archive_events_expected_removals(events));
	end();
	put_recording(2, "a", BASE_S, BASE_S + 1, 100);
	for (int i = 0; i < 8; i++)
		put_segment(0, "store", i);
	run();
	assert_int_equal(FSMETA_EVENT_LOST, event_of("store/1700000000000.h264"));
	assert_int_equal(0, fsmeta_archive_events_expected_removals(events));
	end();
}

/** Who empties folders and leaves them has not removed them. */
static void test_folders_that_stay(void **state)
{
	(void)state;
	put_recording(0, "went", BASE_S, BASE_S + 1, 100);
	put_recording(0, "emptied", BASE_S + 100, BASE_S + 101, 100);
	put(2, "store/rec_emptied/notes.txt", 1, 1);
	put_recording(2, "stays", BASE_S + 200, BASE_S + 201, 100);
	put(0, "frames/went/frame_000001.npy", 80, 5);
	put(0, "frames/went/frame_000002.npy", 80, 5);
	put(0, "frames/emptied/frame_000001.npy", 80, 5);
	put(2, "frames/emptied/notes.txt", 1, 1);
	run();
	assert_int_equal(2, pieces("store", FSMETA_EVENT_ROTATED));
	assert_int_equal(2, pieces("frames/went", FSMETA_EVENT_ROTATED));
	assert_int_equal(1, story_of("store")->sums[FSMETA_EVENT_ROTATED].folders);
	assert_int_equal(1, story_of("frames/went")->sums[FSMETA_EVENT_ROTATED].folders);
	assert_int_equal(0, story_of("frames/emptied")->sums[FSMETA_EVENT_ROTATED].folders);
	/* Two recordings of three files and a folder that went, three frames and another one. */
	assert_int_equal(2 * 3 + 1 + 3 + 1, fsmeta_archive_events_expected_removals(events));
	end();
}

static void test_frames(void **state)
{
	(void)state;
	for (int i = 0; i < 40; i++) {
		char path[64];

		snprintf(path, sizeof(path), "frames/v1/frame_%06d.npy", i);
		if (i % 3 == 0)
			put(0, path, 80, 5);
		else
			put(i < 20 ? 2 : 1, path, 80, 5);
	}
	put(0, "frames/v1/frame_000050.npy", 80, 5);
	put(1, "frames/v1/frame_000050.npy.zst", 8, 5);
	run();
	assert_int_equal(14, pieces("frames/v1", FSMETA_EVENT_ROTATED));
	assert_int_equal(13, pieces("frames/v1", FSMETA_EVENT_RECORDED));
	assert_int_equal(14, fsmeta_archive_events_expected_removals(events));
	end();
}

static void test_no_archive(void **state)
{
	(void)state;
	put(1, "photos/1700000000_holiday.jpg", 1, 1);
	put(0, "a/1700000000000.vidx", 1, 1);
	put(0, "b/1700000000000.h264", 1, 1);
	put(1, "rec_x/data.bin", 1, 1);
	put(1, "index.jsonl", 1, 1);
	put(1, "meta.json", 1, 1);
	put(1, "frame_00001.npy", 1, 1);
	run();
	assert_int_equal(0, count_stories());
	assert_int_equal(0, fsmeta_archive_events_expected_removals(events));
	for (size_t i = 0; i < verdict_count; i++)
		assert_false(verdicts[i].told);
	end();

	/* No name of an archive at all: nothing is read again. */
	put(1, "photos/1700000000_holiday.jpg", 1, 1);
	run();
	assert_int_equal(0, reads);
	end();
}

/** Streams within streams, and a folder between the parts of a piece. */
static void test_nested(void **state)
{
	(void)state;
	for (int i = 0; i < 6; i++) {
		put_segment(i < 2 ? 0 : 2, "cam", i);
		put_segment(i == 3 ? 0 : 2, "cam/1700002500000", i);
		put_segment(i < 5 ? 2 : 1, "cam/zoom", i);
	}
	run();
	assert_int_equal(2, pieces("cam", FSMETA_EVENT_ROTATED));
	assert_int_equal(1, pieces("cam/1700002500000", FSMETA_EVENT_LOST));
	assert_int_equal(1, pieces("cam/zoom", FSMETA_EVENT_RECORDED));
	assert_int_equal(3, count_stories());
	assert_int_equal(FSMETA_EVENT_LOST, event_of("cam/1700002500000/1700003000000.h264"));
	assert_int_equal(FSMETA_EVENT_ROTATED, event_of("cam/1700001000000.h264"));
	end();
}

/** What is in a folder that changed, and did not change itself, hides nothing behind it. */
static void test_unchanged_inside(void **state)
{
	(void)state;
	for (int i = 0; i < 9; i++)
		put_segment(i == 2 ? 0 : 2, "cam", i);
	put_segment_until(1, "cam", 2, BASE_S + 3 * PIECE_S + 5);
	put(2, "cam/1700002500000/notes.txt", 1, 1);
	put(2, "cam/1700003000000.d/deep/1700000000000.vidx", 1, 1);
	put(2, "other/1700000000000.vidx", 1, 1);
	run();
	assert_int_equal(FSMETA_EVENT_ALTERED, event_of("cam/1700002000000.vidx"));
	assert_int_equal(0, pieces("cam", FSMETA_EVENT_GREW));
	end();
}

/** Files of a recording and frames beside them come in turns; each folder has one story all the
 * same. */
static void test_to_and_fro(void **state)
{
	static const char *const folders[] = {"cam/rec_1", "rec_2", "rec_2/rec_3"};
	static const char *const parts[] = {"data.bin", "index.jsonl", "meta.json"};
	char path[64];
	size_t count;
	const struct fsmeta_archive_story *stories;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		for (int frame = 0; frame < 4; frame++) {
			snprintf(path, sizeof(path), "%s/frame_%06d.npy", folders[i], frame);
			put(frame < 2 ? 0 : 1, path, 7, BASE_S + frame);
		}
		put_segment(1, folders[i], 1);
		for (size_t part = 0; part < 3; part++) {
			snprintf(path, sizeof(path), "%s/%s", folders[i], parts[part]);
			put(1, path, 5, BASE_S + 100);
		}
	}
	run();
	stories = fsmeta_archive_events_stories(events, &count);
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < i; j++)
			assert_true(stories[i].layout == FSMETA_LAYOUT_RECORDING ||
				    stories[j].layout == FSMETA_LAYOUT_RECORDING ||
				    strcmp(stories[i].path, stories[j].path) != 0);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(2, story_of(folders[i])->sums[FSMETA_EVENT_ROTATED].pieces);
		assert_int_equal(FSMETA_LAYOUT_FRAMES, story_of(folders[i])->layout);
	}
	end();
}

/** Few changes in long folders. */
static void put_few_changes(void)
{
	put(2, "a/notes.txt", 1, 1);
	for (int i = 0; i < 200; i++) {
		char path[64];

		put_segment(i == 150 ? 0 : 2, "b/cam1", i);
		put_segment(i == 100 ? 0 : 2, "b/cam2", i);
		put_segment(2, "b/cam3", i);
		snprintf(path, sizeof(path), "c/frame_%06d.npy", i);
		put(i == 120 ? 0 : i == 160 ? 1 : 2, path, 80, 5);
	}
	put_segment_until(1, "b/cam2", 100, BASE_S + 101 * PIECE_S + 40);
	put(1, "b/cam1/readme.txt", 1, 1);
}

/** What lies between changes is not read, and where the cursor cannot leap not looked at. */
static void test_few_changes(void **state)
{
	(void)state;
	for (int stays = 0; stays < 2; stays++) {
		put_few_changes();
		older.stays = stays;
		run();
		older.stays = false;
		assert_int_equal(3, count_stories());
		assert_int_equal(FSMETA_EVENT_LOST, event_of("b/cam1/1700150000000.h264"));
		assert_int_equal(
		    INT64_C(1000) * SECOND, story_of("b/cam1")->sums[FSMETA_EVENT_LOST].covered_us);
		assert_int_equal(FSMETA_EVENT_ALTERED, event_of("b/cam2/1700100000000.vidx"));
		assert_int_equal(INT64_C(40) * SECOND,
		    story_of("b/cam2")->sums[FSMETA_EVENT_ALTERED].covered_us);
		assert_int_equal(FSMETA_EVENT_ROTATED, event_of("c/frame_000120.npy"));
		assert_int_equal(FSMETA_EVENT_RECORDED, event_of("c/frame_000160.npy"));
		assert_int_equal(BASE_S * INT64_C(1000000), story_of("b/cam1")->oldest_us);
		assert_true(story_of("b/cam1")->newest_us == INT64_MIN);
		assert_true(stays ? older.entries > 600 : older.entries < 50);
		end();
	}
}

/* ---- random histories against a judge who knows everything ---- */

enum {
	STREAMS = 5,
	PIECES = 60,
};

/** What is there of a piece on each side: 0 nothing, 1 whole, 2 whole and changed. */
static unsigned char there[STREAMS][PIECES][2];

static enum fsmeta_archive_event judge_naively(int stream, int piece)
{
	const unsigned char *own = there[stream][piece];
	bool older_stayed = false, newer_then = false, newer_now = false, any_now = false;
	int line = PIECES;

	for (int i = 0; i < PIECES; i++) {
		const unsigned char *other = there[stream][i];

		older_stayed |= i < piece && other[0] && other[1];
		newer_then |= i > piece && other[0];
		newer_now |= i > piece && other[1];
		any_now |= other[1] != 0;
	}
	for (int s = 0; s < STREAMS; s++)
		for (int i = PIECES - 1; i >= 0; i--)
			if (there[s][i][1] && i < line)
				line = i;
	if (own[0] == own[1])
		return FSMETA_EVENT_NONE;
	if (!own[0])
		return FSMETA_EVENT_RECORDED;
	if (!own[1] && !any_now)
		return line < PIECES && piece < line ? FSMETA_EVENT_ROTATED : FSMETA_EVENT_LOST;
	if (!own[1])
		return older_stayed ? FSMETA_EVENT_LOST : FSMETA_EVENT_ROTATED;
	if (newer_then)
		return FSMETA_EVENT_ALTERED;
	return newer_now ? FSMETA_EVENT_SEALED : FSMETA_EVENT_GREW;
}

/** Without anything recorded less is read, and the less the rarer changes are. */
static void make_history(uint64_t *random, bool is_recording)
{
	unsigned faces = scratch_random(random) % 3 ? 50 : 200;

	memset(there, 0, sizeof(there));
	for (int s = 0; s < STREAMS; s++) {
		int first = (int)(scratch_random(random) % 20);
		int cut = first + (int)(scratch_random(random) % 15) * (faces == 50);
		int end = 35 + (int)(scratch_random(random) % 10);
		int last = end + (is_recording ? (int)(scratch_random(random) % 15) : 0);
		bool is_gone = scratch_random(random) % 8 == 0;
		bool is_changing = scratch_random(random) % 2 == 0;

		for (int i = first; i < last; i++) {
			unsigned dice = (unsigned)(scratch_random(random) % faces);

			there[s][i][0] = i < end && dice != 2;
			there[s][i][1] = !is_gone && i >= cut && dice > 1;
			if (there[s][i][0] && there[s][i][1] &&
			    (dice == 3 || (i == end - 1 && is_changing)))
				there[s][i][1] = 2;
		}
	}
}

static void test_random(void **state)
{
	uint64_t random = 20261121;

	(void)state;
	for (int round = 0; round < 150; round++) {
		make_history(&random, round % 2);
		put(2, "other", 1, 1);
		for (int s = 0; s < STREAMS; s++) {
			char stream[8] = "cam0";

			stream[3] = (char)('0' + s);
			for (int i = 0; i < PIECES; i++)
				for (int side = 0; side < 2; side++)
					if (there[s][i][side])
						put_segment_until(side, stream, i,
						    BASE_S + (int64_t)i * PIECE_S + 900 +
							(there[s][i][side] == 2 ? 90 : 0));
		}
		run();
		for (size_t i = 0; i < verdict_count; i++) {
			long long start_ms;
			int stream, piece;

			if (sscanf(verdicts[i].path, "cam%d/%lld", &stream, &start_ms) != 2)
				continue;
			piece = (int)((start_ms / 1000 - BASE_S) / PIECE_S);
			if (event_of(verdicts[i].path) != judge_naively(stream, piece))
				fail_msg("round %d: %s is %d, not %d", round, verdicts[i].path,
				    (int)event_of(verdicts[i].path),
				    (int)judge_naively(stream, piece));
		}
		end();
	}
}

/* ---- reading less, and all ---- */

/** A stream of pieces of any length, with gaps, overlaps, times that say nothing, and changes. */
static void make_stream(const char *stream, uint64_t *random)
{
	bool is_fsv = scratch_random(random) % 2, is_wild = scratch_random(random) % 3 == 0;
	unsigned faces = scratch_random(random) % 2 ? 20 : 90;
	int64_t start_s = BASE_S;

	for (int i = 0; i < 60; i++) {
		int64_t length_s = is_wild ? 1 + (int64_t)(scratch_random(random) % 1500) : PIECE_S;
		int64_t end_s = start_s + length_s + (int64_t)(scratch_random(random) % 3);
		unsigned dice = i ? (unsigned)(scratch_random(random) % faces) : 9;

		if (scratch_random(random) % 20 == 0)
			end_s += is_wild ? 1090 - length_s : 9000;
		for (int part = 0; part < 4; part++) {
			char path[64];

			if (is_fsv)
				snprintf(path, sizeof(path), "%s/%" PRId64 "_%s.rf1%c", stream,
				    start_s, part / 2 ? "video" : "audio", "ip"[part % 2]);
			else
				snprintf(path, sizeof(path), "%s/%" PRId64 "000.%s", stream,
				    start_s, part % 2 ? "vidx" : "h264");
			if ((part > 1 && !is_fsv) || scratch_random(random) % 100 == 0)
				continue;
			put(dice > 1 ? 2 : (int)dice, path, 10, end_s);
			if (dice == 2 && scratch_random(random) % 2)
				find_entry(&sides[1], path)->mtime.seconds += 60;
		}
		start_s += length_s;
		if (scratch_random(random) % 16 == 0)
			start_s += (int64_t)(scratch_random(random) % 3000);
	}
}

/** Beside a recorder at work all is read: which says the same of the streams that it is beside. */
static void test_reading_less(void **state)
{
	static struct fsmeta_archive_story told[2];
	uint64_t random = 99, entries[2] = {0, 0};

	(void)state;
	for (int round = 0; round < 120; round++) {
		uint64_t before = random;

		for (int all = 0; all < 2; all++) {
			random = before;
			make_stream("a/cam", &random);
			for (int i = 0; i < 40 * all; i++)
				put_segment(1, "a/work", 100000 + i);
			run();
			told[all] = (struct fsmeta_archive_story){0};
			if (story_of("a/cam"))
				told[all] = *story_of("a/cam");
			entries[all] += older.entries;
			end();
		}
		/* Nothing changed in it. */
		if (!told[0].layout)
			continue;
		assert_int_equal(told[0].layout, told[1].layout);
		assert_memory_equal(told[0].sums, told[1].sums, sizeof(told[0].sums));
		assert_int_equal(told[0].gaps, told[1].gaps);
		assert_int_equal(told[0].gaps_us, told[1].gaps_us);
		assert_int_equal(told[0].oldest_us, told[1].oldest_us);
		assert_true(
		    told[0].newest_us == INT64_MIN || told[0].newest_us == told[1].newest_us);
	}
	assert_true(entries[0] < entries[1]);
}

/** A name of a piece, of a part of it, or of something that merely looks like one. */
static void make_name(char *out, size_t size, uint64_t *random)
{
	static const char *const folders[] = {"", "cam/", "cam/rec_1/", "cam/sub/", "rec_1/",
	    "rec_2/", "rec_/", "store/v/", "store/rec_1/", "1700000000002/"};
	static const char *const endings[] = {".vidx", ".h264", ".h265", "_v.rf1i", "_v.rf1p",
	    "_.rf1i", "_a.rf1p", ".vidx2", "_v.rf1", ""};
	static const char *const others[] = {"data.bin", "index.jsonl", "meta.json", "index.bin",
	    "frame_000001.npy", "frame_000001.npy.zst", "frame_99999999999999999999.npy",
	    "frame_.npy", "frame_000002", "dat", "m", "00.vidx"};
	static const char *const times[] = {"1700000000", "1700000001", "1700000000000",
	    "17000000000000", "170000000000000000", "01700000000", "9999999999", "1"};
	const char *folder = folders[scratch_random(random) % 10];

	if (scratch_random(random) % 3)
		snprintf(out, size, "%s%s%s", folder, times[scratch_random(random) % 8],
		    endings[scratch_random(random) % 10]);
	else
		snprintf(out, size, "%s%s", folder, others[scratch_random(random) % 12]);
}

/** Whatever trees hold: every change gets one answer, and all runs are used up. */
static void test_hostile(void **state)
{
	static const int64_t seconds[] = {0, 1, 1700000000, 1700000500, 1700009000, -5, INT64_MAX,
	    INT64_MIN, INT64_MAX / 1000000000};
	uint64_t random = 4711;

	(void)state;
	for (int round = 0; round < 400; round++) {
		const struct fsmeta_archive_run *runs;
		uint64_t changes = 0, removals = 0;
		size_t count;

		put(2, "root.txt", 1, 1);
		for (int i = 0; i < 60; i++) {
			char name[64];
			int side = (int)(scratch_random(&random) % 3);
			bool moves = side == 2 && scratch_random(&random) % 2;

			make_name(name, sizeof(name), &random);
			if (find_entry(&sides[0], name) || find_entry(&sides[1], name))
				continue;
			put(side, name, scratch_random(&random) % 9 ? 5 : UINT64_MAX,
			    seconds[scratch_random(&random) % 9]);
			if (moves)
				find_entry(&sides[1], name)->mtime.seconds =
				    seconds[scratch_random(&random) % 9];
		}
		run_until(seconds[scratch_random(&random) % 5] * SECOND);
		runs = fsmeta_archive_events_runs(events, &count);
		for (size_t i = 0; i < count; i++) {
			changes += runs[i].sum.files;
			assert_true(runs[i].sum.files > 0);
			assert_true(runs[i].event < FSMETA_EVENTS);
		}
		for (size_t i = 0; i < verdict_count; i++) {
			struct fsmeta_piece_name name;
			const char *slash = strrchr(verdicts[i].path, '/');
			const char *last = slash ? slash + 1 : verdicts[i].path;

			removals += !find_entry(&sides[1], verdicts[i].path);
			assert_true(
			    !verdicts[i].told || fsmeta_piece_parse(&name, last, strlen(last)));
		}
		assert_true(changes <= verdict_count);
		assert_true(fsmeta_archive_events_expected_removals(events) <= removals);
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_day),
	    cmocka_unit_test(test_growth_and_recovery),
	    cmocka_unit_test(test_no_recovery),
	    cmocka_unit_test(test_just_begun),
	    cmocka_unit_test(test_coverage),
	    cmocka_unit_test(test_orphans),
	    cmocka_unit_test(test_gone),
	    cmocka_unit_test(test_all_rotated),
	    cmocka_unit_test(test_silent),
	    cmocka_unit_test(test_recordings),
	    cmocka_unit_test(test_folders_that_stay),
	    cmocka_unit_test(test_frames),
	    cmocka_unit_test(test_no_archive),
	    cmocka_unit_test(test_nested),
	    cmocka_unit_test(test_unchanged_inside),
	    cmocka_unit_test(test_to_and_fro),
	    cmocka_unit_test(test_few_changes),
	    cmocka_unit_test(test_random),
	    cmocka_unit_test(test_reading_less),
	    cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
