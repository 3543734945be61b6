/*
 * Recognising layouts from entries alone: what is claimed and measured, and what is not.
 */
#include "test_archive_scratch.h"

#include "archive/archive.h"
#include "base/path.h"

enum {
	ENTRIES_MAX = 400,
	STREAMS_MAX = 32,
	SECOND = 1000000
};

struct tree {
	struct fsmeta_entry entries[ENTRIES_MAX];
	char paths[ENTRIES_MAX][64];
	size_t count;
};

struct found {
	struct fsmeta_archive_stream streams[STREAMS_MAX];
	char paths[STREAMS_MAX][64];
	/** Names of the orphans, with a blank behind each. */
	char orphans[STREAMS_MAX][128];
	size_t count;
};

/** Adds an entry; a path that ends in '/' is a folder.  `second` is its mtime. */
static void add(struct tree *tree, const char *path, uint64_t size, int64_t second)
{
	size_t n = tree->count++, length = strlen(path);
	bool folder = !length || path[length - 1] == '/';

	snprintf(tree->paths[n], sizeof(tree->paths[n]), "%s", path);
	tree->entries[n] = (struct fsmeta_entry){
	    .path = tree->paths[n],
	    .path_length = folder && length ? length - 1 : length,
	    .type = folder ? FSMETA_TYPE_FOLDER : FSMETA_TYPE_FILE,
	    .fields = FSMETA_FIELD_SIZE | FSMETA_FIELD_MTIME,
	    .size = size,
	    .mtime = {.seconds = second},
	};
}

static int compare_entries(const void *a, const void *b)
{
	const struct fsmeta_entry *one = a, *other = b;

	return fsmeta_path_compare(one->path, one->path_length, other->path, other->path_length);
}

static int keep(
    void *payload, const struct fsmeta_archive_stream *stream, struct fsmeta_error *error)
{
	struct found *found = payload;

	(void)error;
	found->streams[found->count] = *stream;
	for (size_t i = 0; i < stream->orphan_names_bytes && i < 127; i++)
		found->orphans[found->count][i] =
		    stream->orphan_names[i] ? stream->orphan_names[i] : ' ';
	snprintf(found->paths[found->count++], 64, "%.*s", (int)stream->path_length, stream->path);
	return 0;
}

static void survey(struct found *found, struct tree *tree)
{
	static struct fsmeta_batch_source source;
	struct fsmeta_cursor *cursor;
	struct fsmeta_error error = {0};

	memset(found, 0, sizeof(*found));
	assert_ok(
	    fsmeta_cursor_from_array(&cursor, tree->entries, tree->count, &source, &error), &error);
	assert_ok(fsmeta_archive_survey(cursor, keep, &error, found), &error);
	fsmeta_cursor_close(cursor);
}

static const struct fsmeta_archive_stream *find(const struct found *found, const char *path)
{
	for (size_t i = 0; i < found->count; i++)
		if (strcmp(found->paths[i], path) == 0)
			return &found->streams[i];
	fail_msg("%s was not claimed", path);
	return NULL;
}

static void test_layouts(void **state)
{
	static struct tree tree;
	static struct found found;
	const struct fsmeta_archive_stream *stream;

	(void)state;
	add(&tree, "", 0, 0);
	add(&tree, "cam1/", 0, 0);
	/* Two files of 1000 s, a gap of 500 s, then one that overlaps it by 100 s; two tracks. */
	add(&tree, "cam1/1700000000000_audio.rf1i", 10, 1700000990);
	add(&tree, "cam1/1700000000000_audio.rf1p", 100, 1700000990);
	add(&tree, "cam1/1700000000000_video.rf1i", 20, 1700001000);
	add(&tree, "cam1/1700000000000_video.rf1p", 1000, 1700001000);
	add(&tree, "cam1/1700001500000_video.rf1i", 20, 1700002500);
	add(&tree, "cam1/1700001500000_video.rf1p", 1000, 1700002500);
	add(&tree, "cam1/1700002400_video.rf1i", 20, 1700003000);
	add(&tree, "cam1/1700002400_video.rf1p", 1000, 1700003000);
	add(&tree, "cam1/1700009000000_video.rf1p", 7, 1700009000);
	add(&tree, "cam2/", 0, 0);
	/* Times lost in copying: each reaches the next, and of the last only the start is known. */
	add(&tree, "cam2/1700000000000.h264", 500, 5);
	add(&tree, "cam2/1700000000000.vidx", 50, 5);
	add(&tree, "cam2/1700001000000.h265", 500, 5);
	add(&tree, "cam2/1700001000000.vidx", 50, 5);
	add(&tree, "frame_store/", 0, 0);
	add(&tree, "frame_store/video_001/", 0, 0);
	add(&tree, "frame_store/video_001/frame_000000.npy", 80, 5);
	add(&tree, "frame_store/video_001/frame_000001.npy.zst", 8, 5);
	add(&tree, "rec_a/", 0, 0);
	add(&tree, "rec_a/data.bin", 1000, 100);
	add(&tree, "rec_a/index.jsonl", 10, 100);
	add(&tree, "rec_a/meta.json", 1, 101);
	add(&tree, "rec_b/", 0, 0);
	add(&tree, "rec_b/data.bin", 1000, 200);
	add(&tree, "rec_b/index.bin", 5, 198);
	add(&tree, "rec_b/index.jsonl", 10, 198);
	add(&tree, "rec_b/meta.json", 1, 101);
	survey(&found, &tree);
	assert_int_equal(5, found.count);

	stream = find(&found, "cam1");
	assert_int_equal(FSMETA_LAYOUT_FSV, stream->layout);
	assert_int_equal(3, stream->pieces);
	assert_int_equal(110 + 3 * 1020 + 7, stream->bytes);
	assert_int_equal(1, stream->orphans);
	assert_int_equal(INT64_C(1700000000) * SECOND, stream->from_us);
	assert_int_equal(INT64_C(1700003000) * SECOND, stream->to_us);
	assert_int_equal(INT64_C(2500) * SECOND, stream->covered_us);
	assert_int_equal(1, stream->gaps);
	assert_int_equal(INT64_C(500) * SECOND, stream->longest_gap_us);
	assert_int_equal(1, stream->overlaps);

	stream = find(&found, "cam2");
	assert_int_equal(FSMETA_LAYOUT_SEGMENTS, stream->layout);
	assert_int_equal(2, stream->pieces);
	assert_int_equal(1100, stream->bytes);
	assert_int_equal(INT64_C(1000) * SECOND, stream->covered_us);
	assert_int_equal(0, stream->gaps + stream->overlaps + stream->orphans);

	stream = find(&found, "frame_store/video_001");
	assert_int_equal(FSMETA_LAYOUT_FRAMES, stream->layout);
	assert_int_equal(2, stream->pieces);
	assert_int_equal(88, stream->bytes);

	stream = find(&found, "rec_a");
	assert_int_equal(FSMETA_LAYOUT_RECORDING, stream->layout);
	assert_false(stream->is_unfinished);
	stream = find(&found, "rec_b");
	assert_int_equal(1016, stream->bytes);
	assert_true(stream->is_unfinished);
}

/** Look like it and are not. */
static void test_confusable(void **state)
{
	static struct tree tree;
	static struct found found;

	(void)state;
	add(&tree, "", 0, 0);
	add(&tree, "data.bin", 1, 0);
	add(&tree, "index.jsonl", 1, 0);
	add(&tree, "meta.json", 1, 0);
	add(&tree, "photos/", 0, 0);
	add(&tree, "photos/1700000000_holiday.jpg", 1, 0);
	add(&tree, "photos/1700000001_holiday.jpg", 1, 0);
	add(&tree, "photos/1700000002_holiday.rf1i", 1, 0);
	add(&tree, "rec_x/", 0, 0);
	add(&tree, "rec_x/data.bin", 1, 0);
	add(&tree, "rec_x/meta.json", 1, 0);
	add(&tree, "rec_y/", 0, 0);
	add(&tree, "rec_y/data.bin/", 0, 0);
	add(&tree, "rec_y/index.jsonl", 1, 0);
	add(&tree, "rec_y/meta.json", 1, 0);
	add(&tree, "stills/", 0, 0);
	add(&tree, "stills/frame_000001.png", 1, 0);
	add(&tree, "stills/frame_00000x.npy", 1, 0);
	add(&tree, "stills/frame_0001.npy", 1, 0);
	add(&tree, "tv/", 0, 0);
	add(&tree, "tv/1.h264", 1, 0);
	add(&tree, "tv/1.vidx", 1, 0);
	add(&tree, "tv/1700000000000.h264", 1, 0);
	add(&tree, "tv/1700000000001.vidx", 1, 0);
	survey(&found, &tree);
	assert_int_equal(0, found.count);
}

/** More of what people have on their disks. */
static void test_more_confusable(void **state)
{
	static const char *const paths[] = {
	    "",
	    "DCIM/",
	    "DCIM/1700000000_holiday.jpg",
	    "DCIM/1700000000_holiday.rf1",
	    "DCIM/1700000000_holiday.rf1x",
	    "DCIM/1700000001.h264.jpg",
	    "DCIM/1700000001.vidx.bak",
	    "exports/",
	    "exports/1700000000_video.mp4",
	    "exports/1700000000_video.rf1p",
	    "exports/1700001000_video.rf1p",
	    "names/",
	    /* No track, a dot in it, a needless 0, the wrong number of digits. */
	    "names/01700000000_video.rf1i",
	    "names/01700000000_video.rf1p",
	    "names/1700000000_.rf1i",
	    "names/1700000000_.rf1p",
	    "names/1700000000_a.b.rf1i",
	    "names/1700000000_a.b.rf1p",
	    "names/17000000000_video.rf1i",
	    "names/17000000000_video.rf1p",
	    "names/170000000_video.rf1i",
	    "names/170000000_video.rf1p",
	    "numpy/",
	    "numpy/frame_.npy",
	    "numpy/frame_000001.npy.gz",
	    "numpy/frame_000001.npz",
	    "numpy/frame_000001_left.npy",
	    "numpy/frame_99999999999999999999999.npy",
	    "numpy/xframe_000001.npy",
	    /* Tapes of a studio, and a project of some web application. */
	    "rec_/",
	    "rec_/data.bin",
	    "rec_/index.jsonl",
	    "rec_/meta.json",
	    "rec_center/",
	    "rec_center/index.html",
	    "rec_center/meta.json",
	    "recordings_a/",
	    "recordings_a/data.bin",
	    "recordings_a/index.jsonl",
	    "recordings_a/meta.json",
	    "rec_links/",
	    "rec_links/data.bin/",
	    "rec_links/index.jsonl/",
	    "rec_links/meta.json/",
	    "tv/",
	    /* The index of one beside the frames of another. */
	    "tv/1700000000000.h264",
	    "tv/1700000000001.vidx",
	    "tv/1700000000002.h265",
	    "tv/17000000000000000.h264",
	    "tv/17000000000000000.vidx",
	};
	static struct tree tree;
	static struct found found;

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		add(&tree, paths[i], 1, 1700000000);
	/* The array of entries is in canonical order; these lists need not be. */
	qsort(tree.entries, tree.count, sizeof(tree.entries[0]), compare_entries);
	survey(&found, &tree);
	assert_int_equal(0, found.count);
}

/** One photo among the pieces changes nothing, and a piece among the photos is one piece. */
static void test_mixed(void **state)
{
	static struct tree tree;
	static struct found found;
	const struct fsmeta_archive_stream *stream;

	(void)state;
	add(&tree, "", 0, 0);
	add(&tree, "a/", 0, 0);
	add(&tree, "a/1700000000000_video.rf1i", 10, 1700000900);
	add(&tree, "a/1700000000000_video.rf1p", 90, 1700000900);
	add(&tree, "a/1700000000_holiday.jpg", 5000, 1700000900);
	add(&tree, "a/index.db", 7000, 1700000901);
	add(&tree, "a/readme.txt", 8000, 1700000902);
	add(&tree, "b/", 0, 0);
	/* Two segments and three files of FSV: the more is believed. */
	add(&tree, "b/1700000000000.h264", 1, 0);
	add(&tree, "b/1700000000000.vidx", 1, 0);
	add(&tree, "b/1700001000000.h264", 1, 0);
	add(&tree, "b/1700001000000.vidx", 1, 0);
	add(&tree, "b/1700002000_video.rf1i", 1, 0);
	add(&tree, "b/1700002000_video.rf1p", 2, 0);
	add(&tree, "b/1700003000_video.rf1i", 1, 0);
	add(&tree, "b/1700003000_video.rf1p", 2, 0);
	add(&tree, "b/1700004000_video.rf1i", 1, 0);
	add(&tree, "b/1700004000_video.rf1p", 2, 0);
	add(&tree, "c/", 0, 0);
	/* Frames with holes are what a frame store is: those that are needed. */
	add(&tree, "c/frame_000003.npy", 1, 5);
	add(&tree, "c/frame_000900.npy", 1, 7);
	add(&tree, "c/frame_1000000.npy", 1, 6);
	add(&tree, "rec_x/", 0, 0);
	/* A recording inside of whose folder frames lie is none. */
	add(&tree, "rec_x/data.bin", 100, 0);
	add(&tree, "rec_x/frame_000000.npy", 1, 9);
	add(&tree, "rec_x/index.jsonl", 1, 0);
	add(&tree, "rec_x/meta.json", 1, 0);
	survey(&found, &tree);
	assert_int_equal(4, found.count);
	stream = find(&found, "a");
	assert_int_equal(1, stream->pieces);
	assert_int_equal(100, stream->bytes);
	assert_int_equal(INT64_C(1700000900) * SECOND, stream->changed_us);
	stream = find(&found, "b");
	assert_int_equal(FSMETA_LAYOUT_FSV, stream->layout);
	assert_int_equal(3, stream->pieces);
	assert_int_equal(9, stream->bytes);
	assert_int_equal(INT64_C(1700002000) * SECOND, stream->from_us);
	stream = find(&found, "c");
	assert_int_equal(FSMETA_LAYOUT_FRAMES, stream->layout);
	assert_int_equal(3, stream->pieces);
	assert_int_equal(7 * SECOND, stream->changed_us);
	assert_int_equal(FSMETA_LAYOUT_FRAMES, find(&found, "rec_x")->layout);
}

/** Where the longest gap lies, of two. */
static void test_gaps(void **state)
{
	static struct tree tree;
	static struct found found;
	const struct fsmeta_archive_stream *stream;

	(void)state;
	add(&tree, "", 0, 0);
	add(&tree, "1700000000_v.rf1i", 1, 1700000100);
	add(&tree, "1700000000_v.rf1p", 1, 1700000100);
	add(&tree, "1700000200_v.rf1i", 1, 1700000300);
	add(&tree, "1700000200_v.rf1p", 1, 1700000300);
	add(&tree, "1700001000_v.rf1i", 1, 1700001100);
	add(&tree, "1700001000_v.rf1p", 1, 1700001100);
	survey(&found, &tree);
	stream = find(&found, "");
	assert_int_equal(2, stream->gaps);
	assert_int_equal(INT64_C(700) * SECOND, stream->longest_gap_us);
	assert_int_equal(INT64_C(1700000300) * SECOND, stream->longest_gap_at_us);
	assert_int_equal(INT64_C(300) * SECOND, stream->covered_us);
}

/** The root itself, and folders inside of streams. */
static void test_nested(void **state)
{
	static struct tree tree;
	static struct found found;

	(void)state;
	add(&tree, "", 0, 0);
	add(&tree, "1700000000000.h264", 1, 0);
	add(&tree, "1700000000000.vidx", 2, 0);
	add(&tree, "1700000000000.x/", 0, 0);
	add(&tree, "1700000000000.x/1700000000000_a.rf1i", 3, 0);
	add(&tree, "1700000000000.x/1700000000000_a.rf1p", 4, 0);
	add(&tree, "1700000001000.h264", 1, 0);
	add(&tree, "1700000001000.vidx", 2, 0);
	survey(&found, &tree);
	assert_int_equal(2, found.count);
	assert_int_equal(7, find(&found, "1700000000000.x")->bytes);
	assert_int_equal(2, find(&found, "")->pieces);
	assert_int_equal(6, find(&found, "")->bytes);
}

static const char *orphans_of(const struct found *found, const char *path)
{
	const struct fsmeta_archive_stream *stream = find(found, path);

	assert_int_equal(0, stream->pieces);
	assert_false(stream->has_from || stream->has_to);
	return found->orphans[stream - found->streams];
}

/** A stream that lost all of its indexes, or packets, is one still. */
static void test_orphans_alone(void **state)
{
	static struct tree tree;
	static struct found found;

	(void)state;
	add(&tree, "", 0, 0);
	/* Names that nothing else has. */
	add(&tree, "fsv/", 0, 0);
	add(&tree, "fsv/1700000000_audio.rf1p", 5, 9);
	add(&tree, "fsv/1700000000_video.rf1p", 6, 9);
	add(&tree, "fsv/1700001000_video.rf1i", 7, 10);
	add(&tree, "fsv/1700002000_video.rf1p", 7, 8);
	add(&tree, "fsv/readme.txt", 9, 99);
	/* Byte streams are anybody's, and three names say little beside a file of another kind. */
	add(&tree, "h264/", 0, 0);
	add(&tree, "h264/1700000000000.h264", 1, 0);
	add(&tree, "h264/1700001000000.h264", 1, 0);
	add(&tree, "three/", 0, 0);
	add(&tree, "three/1700000000_video.rf1p", 1, 0);
	add(&tree, "three/1700001000_video.rf1p", 1, 0);
	add(&tree, "three/1700002000_video.rf1p", 1, 0);
	add(&tree, "three/notes", 1, 0);
	add(&tree, "vidx/", 0, 0);
	add(&tree, "vidx/1700000000000.vidx", 4, 5);
	survey(&found, &tree);
	assert_int_equal(2, found.count);
	assert_string_equal("1700000000_audio.rf1p 1700000000_video.rf1p 1700001000_video.rf1i "
			    "1700002000_video.rf1p ",
	    orphans_of(&found, "fsv"));
	assert_int_equal(FSMETA_LAYOUT_FSV, find(&found, "fsv")->layout);
	assert_int_equal(4, find(&found, "fsv")->orphans);
	assert_int_equal(25, find(&found, "fsv")->bytes);
	assert_int_equal(10 * SECOND, find(&found, "fsv")->changed_us);
	assert_string_equal("1700000000000.vidx ", orphans_of(&found, "vidx"));
	assert_int_equal(FSMETA_LAYOUT_SEGMENTS, find(&found, "vidx")->layout);
}

/** Beside a whole stream of its layout less is enough; beside another one, or below it, it is not.
 */
static void test_orphans_beside_a_stream(void **state)
{
	static struct tree tree;
	static struct found found;

	(void)state;
	add(&tree, "", 0, 0);
	add(&tree, "site/", 0, 0);
	add(&tree, "site/a/", 0, 0);
	add(&tree, "site/a/1700000000000.h264", 1, 0);
	add(&tree, "site/a/1700000000000.h265", 1, 0);
	add(&tree, "site/a/1700001000000.h264", 1, 0);
	add(&tree, "site/a/thumb.jpg", 1, 0);
	add(&tree, "site/b/", 0, 0);
	add(&tree, "site/b/1700000000_v.rf1p", 1, 0);
	add(&tree, "site/b/1700001000_v.rf1p", 1, 0);
	add(&tree, "site/b/thumb.jpg", 1, 0);
	add(&tree, "site/c/", 0, 0);
	add(&tree, "site/c/1700000000000.h264", 1, 0);
	add(&tree, "site/c/1700000000000.vidx", 1, 0);
	add(&tree, "site/d/", 0, 0);
	add(&tree, "site/d/1700000000000.h264", 1, 0);
	/* One photo too many. */
	add(&tree, "site/e/", 0, 0);
	add(&tree, "site/e/1700000000000.h264", 1, 0);
	add(&tree, "site/e/thumb.jpg", 1, 0);
	add(&tree, "tapes/", 0, 0);
	add(&tree, "tapes/1700000000000.h264", 1, 0);
	survey(&found, &tree);
	assert_int_equal(3, found.count);
	/* What had to wait comes when the reason does. */
	assert_string_equal("site/a", found.paths[0]);
	assert_string_equal("site/c", found.paths[1]);
	assert_string_equal("site/d", found.paths[2]);
	assert_string_equal("1700000000000.h264 1700001000000.h264 ", orphans_of(&found, "site/a"));
	assert_string_equal("1700000000000.h264 ", orphans_of(&found, "site/d"));
}

/** More orphans than have a name are counted all the same. */
static void test_many_orphans(void **state)
{
	static struct tree tree;
	static struct found found;
	char path[64];

	(void)state;
	add(&tree, "", 0, 0);
	for (int i = 0; i < 3 * FSMETA_ORPHANS_NAMED_MAX; i++) {
		snprintf(path, sizeof(path), "17%08d_v.rf1i", i);
		add(&tree, path, 1, 0);
	}
	survey(&found, &tree);
	assert_int_equal(1, found.count);
	assert_int_equal(3 * FSMETA_ORPHANS_NAMED_MAX, find(&found, "")->orphans);
	assert_int_equal(FSMETA_ORPHANS_NAMED_MAX * sizeof("1700000000_v.rf1i"),
	    find(&found, "")->orphan_names_bytes);
}

static void set_birth(struct tree *tree, const char *path, int64_t second)
{
	for (size_t i = 0; i < tree->count; i++)
		if (strcmp(tree->paths[i], path) == 0) {
			tree->entries[i].fields |= FSMETA_FIELD_BTIME;
			tree->entries[i].btime.seconds = second;
		}
}

/** A recording ends with its data, and began when it was born, unless it was born as a copy. */
static void test_times_of_recordings(void **state)
{
	static const struct {
		const char *name;
		/** Births of data.bin and meta.json; 0 = not known. */
		int64_t data, meta;
		/** 0 = not known. */
		int64_t from;
	} cases[] = {
	    {"rec_both", 1000, 1001, 1000},
	    {"rec_closed", 1000, 1501, 1000},
	    {"rec_copy", 9000, 9000, 0},
	    {"rec_data", 1500, 0, 1500},
	    {"rec_meta", 1400, 1001, 1001},
	    {"rec_none", 0, 0, 0},
	    {"rec_renamed", 9000, 1200, 1200},
	};
	static struct tree tree;
	static struct found found;
	char path[64];

	(void)state;
	add(&tree, "", 0, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static const char *const parts[] = {"", "data.bin", "index.jsonl", "meta.json"};

		for (size_t k = 0; k < 4; k++) {
			snprintf(path, sizeof(path), "%s/%s", cases[i].name, parts[k]);
			add(&tree, path, 1, k == 1 ? 1500 : 1502);
		}
		snprintf(path, sizeof(path), "%s/data.bin", cases[i].name);
		if (cases[i].data)
			set_birth(&tree, path, cases[i].data);
		snprintf(path, sizeof(path), "%s/meta.json", cases[i].name);
		if (cases[i].meta)
			set_birth(&tree, path, cases[i].meta);
	}
	/* A file system, or an archiver, that gave no times. */
	tree.entries[2].fields &= ~(unsigned)FSMETA_FIELD_MTIME;
	survey(&found, &tree);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct fsmeta_archive_stream *stream = find(&found, cases[i].name);

		assert_int_equal(i != 0, stream->has_to);
		assert_int_equal(i ? 1500 * SECOND : 0, stream->to_us);
		assert_int_equal(i && cases[i].from, stream->has_from);
		assert_int_equal(i ? cases[i].from * SECOND : 0, stream->from_us);
		assert_int_equal(
		    stream->has_from ? stream->to_us - stream->from_us : 0, stream->covered_us);
	}
}

static int refuse(
    void *payload, const struct fsmeta_archive_stream *stream, struct fsmeta_error *error)
{
	(void)payload;
	(void)stream;
	return fsmeta_error_set(error, FSMETA_E_STOPPED, NULL, "visiting", "enough");
}

static void test_stop(void **state)
{
	static struct tree tree;
	static struct fsmeta_batch_source source;
	struct fsmeta_cursor *cursor;
	struct fsmeta_error error = {0};

	(void)state;
	add(&tree, "", 0, 0);
	add(&tree, "1700000000000.h264", 1, 0);
	add(&tree, "1700000000000.vidx", 2, 0);
	assert_ok(
	    fsmeta_cursor_from_array(&cursor, tree.entries, tree.count, &source, &error), &error);
	assert_code(FSMETA_E_STOPPED, fsmeta_archive_survey(cursor, refuse, &error, NULL), &error);
	fsmeta_cursor_close(cursor);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_layouts),
	    cmocka_unit_test(test_confusable),
	    cmocka_unit_test(test_more_confusable),
	    cmocka_unit_test(test_mixed),
	    cmocka_unit_test(test_gaps),
	    cmocka_unit_test(test_nested),
	    cmocka_unit_test(test_orphans_alone),
	    cmocka_unit_test(test_orphans_beside_a_stream),
	    cmocka_unit_test(test_many_orphans),
	    cmocka_unit_test(test_times_of_recordings),
	    cmocka_unit_test(test_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
