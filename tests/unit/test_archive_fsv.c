/*
 * FSV: streams with two tracks read back packet for packet and in windows; a buffer that is
 * bounded, refuses and recovers; rollover across streams; killed recorders; many threads at once;
 * another container.
 */
#include "test_archive_scratch.h"

#include "archive/fsv.h"
#include "archive/names.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	SECOND = 1000000,
	PACKET_MAX = 200,
	STEP_US = 100000,
	KEY_EVERY = 20
};

static const int64_t start_us = INT64_C(1700000000123000);
static const struct fsmeta_track_format video = {.codec = "h264", .width = 1920, .height = 1080};
static const struct fsmeta_track_format audio = {.codec = "aac0", .is_audio = true};

/** Packet `n` of a stream's track; each is told from every other. */
static size_t make_packet(struct fsmeta_packet *out, unsigned char *bytes, uint32_t n, int salt)
{
	size_t size = 8 + (n * 31 + (uint32_t)salt) % (PACKET_MAX - 8);

	memset(bytes, (int)(n + (uint32_t)salt) & 255, size);
	memcpy(bytes, &n, sizeof(n));
	*out = (struct fsmeta_packet){
	    .time_us = start_us + (int64_t)n * STEP_US,
	    .flags = FSMETA_PACKET_ANNEX_B | (n % KEY_EVERY ? 0 : FSMETA_PACKET_KEY),
	    .bytes = bytes,
	    .size = size,
	};
	return size;
}

static int write_packet(struct fsmeta_fsv *fsv, const char *stream, const char *track, uint32_t n,
    int salt, struct fsmeta_error *error)
{
	unsigned char bytes[PACKET_MAX];
	struct fsmeta_packet packet;

	make_packet(&packet, bytes, n, salt);
	return fsmeta_fsv_write(fsv, stream, track, salt % 2 ? &audio : &video, &packet, 1, error);
}

struct seen {
	int salt;
	uint32_t first;
	uint32_t next;
	uint32_t count;
};

static int see(void *payload, const struct fsmeta_track_format *format,
    const struct fsmeta_packet *packet, struct fsmeta_error *error)
{
	struct seen *seen = payload;
	unsigned char bytes[PACKET_MAX];
	struct fsmeta_packet wanted;
	uint32_t n;

	(void)error;
	assert_int_equal(seen->salt % 2, format->is_audio);
	memcpy(&n, packet->bytes, sizeof(n));
	if (!seen->count)
		seen->first = seen->next = n;
	assert_int_equal(seen->next, n);
	make_packet(&wanted, bytes, n, seen->salt);
	assert_int_equal(wanted.size, packet->size);
	assert_memory_equal(bytes, packet->bytes, packet->size);
	assert_int_equal(wanted.flags, packet->flags);
	assert_in_range(wanted.time_us - packet->time_us + 245, 0, 490);
	seen->next++;
	seen->count++;
	return 0;
}

static struct seen read_window(struct fsmeta_fsv *fsv, const char *stream, const char *track,
    int salt, int64_t from, int64_t to)
{
	struct seen seen = {.salt = salt};
	struct fsmeta_error error = {0};

	assert_ok(fsmeta_fsv_read(fsv, stream, track, from, to, see, &error, &seen), &error);
	return seen;
}

static struct fsmeta_fsv *open_archive(const char *name, const struct fsmeta_fsv_options *options)
{
	const struct fsmeta_fsv_options writing = {.writable = true};
	struct fsmeta_fsv *fsv;
	struct fsmeta_error error = {0};

	assert_ok(fsmeta_fsv_open(&fsv, scratch_path(name), options ? options : &writing, &error),
	    &error);
	return fsv;
}

static void check_windows(struct fsmeta_fsv *fsv, uint32_t count)
{
	uint64_t seed = 77;

	for (int round = 0; round < 80; round++) {
		int salt = round % 4;
		char stream[8];
		uint32_t from = (uint32_t)(scratch_random(&seed) % count);
		uint32_t length = 1 + (uint32_t)(scratch_random(&seed) % 400);
		uint32_t end = from + length < count ? from + length : count;

		snprintf(stream, sizeof(stream), "cam%d", salt / 2);
		struct seen seen = read_window(fsv, stream, salt % 2 ? "audio" : "video", salt,
		    start_us + (int64_t)from * STEP_US - STEP_US / 2,
		    start_us + (int64_t)(from + length) * STEP_US - STEP_US / 2);
		assert_int_equal(salt % 2 ? from : from / KEY_EVERY * KEY_EVERY, seen.first);
		assert_int_equal(end, seen.next);
	}
}

enum {
	LONG = 25000
};

static void test_streams(void **state)
{
	struct fsmeta_fsv *fsv = open_archive("streams", NULL);
	struct fsmeta_fsv_info info;
	struct fsmeta_error error = {0};
	struct stat status;

	(void)state;
	for (uint32_t n = 0; n < LONG; n++)
		for (int salt = 0; salt < 4; salt++)
			assert_ok(write_packet(fsv, salt / 2 ? "cam1" : "cam0",
				      salt % 2 ? "audio" : "video", n, salt, &error),
			    &error);
	/* Straight from the buffer's point of view: what is not written yet is written first. */
	check_windows(fsv, LONG);
	assert_ok(fsmeta_fsv_flush(fsv, NULL, true, &error), &error);
	fsmeta_fsv_information(fsv, &info);
	assert_int_equal(2, info.streams);
	/* 2,500 s in files that end at the key frame from 950 s on: 3 each. */
	assert_int_equal(6, info.files);
	assert_int_equal(0, info.orphans);
	assert_int_equal(start_us / 1000, info.start_ms);
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
	assert_int_equal(0, stat(scratch_path("streams/cam0/1700000000123_video.rf1i"), &status));
	assert_int_equal(0, stat(scratch_path("streams/cam1/1700000950123_audio.rf1p"), &status));

	uint64_t bytes = info.bytes;
	fsv = open_archive("streams", &(struct fsmeta_fsv_options){0});
	fsmeta_fsv_information(fsv, &info);
	assert_int_equal(6, info.files);
	assert_int_equal(bytes, info.bytes);
	check_windows(fsv, LONG);
	assert_int_equal(LONG, read_window(fsv, "cam0", "video", 0, INT64_MIN, INT64_MAX).count);
	assert_int_equal(0, read_window(fsv, "cam0", "none", 0, INT64_MIN, INT64_MAX).count);
	assert_int_equal(0, read_window(fsv, "none", "video", 0, INT64_MIN, INT64_MAX).count);
	assert_int_equal(0, read_window(fsv, "cam0", "video", 0, 0, start_us).count);
	assert_code(FSMETA_E_USAGE, write_packet(fsv, "cam0", "video", 0, 0, &error), &error);
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
}

/** The archive that test_streams left, opened from entries in place of the disk. */
static void test_from_entries(void **state)
{
	static struct fsmeta_batch_source source;
	struct fsmeta_entry entries[64] = {{.path = "", .type = FSMETA_TYPE_FOLDER}};
	static char paths[64][96];
	size_t count = 1;
	struct fsmeta_cursor *cursor;
	struct fsmeta_fsv_info info, listed;
	struct fsmeta_error error = {0};
	struct fsmeta_fsv *fsv;

	(void)state;
	for (int stream = 0; stream < 2; stream++) {
		struct fsmeta_names names;
		char folder[32];

		snprintf(folder, sizeof(folder), "streams/cam%d", stream);
		snprintf(paths[count], sizeof(paths[0]), "cam%d", stream);
		entries[count] = (struct fsmeta_entry){.path = paths[count],
		    .path_length = strlen(paths[count]),
		    .type = FSMETA_TYPE_FOLDER};
		count++;
		assert_ok(fsmeta_names_list(&names, scratch_path(folder), &error), &error);
		for (size_t i = 0; i < names.count; i++, count++) {
			struct stat status;
			char path[128];

			snprintf(path, sizeof(path), "%s/%s", folder, names.items[i]);
			assert_int_equal(0, stat(scratch_path(path), &status));
			snprintf(
			    paths[count], sizeof(paths[0]), "cam%d/%s", stream, names.items[i]);
			entries[count] = (struct fsmeta_entry){.path = paths[count],
			    .path_length = strlen(paths[count]),
			    .type = FSMETA_TYPE_FILE,
			    .fields = FSMETA_FIELD_SIZE,
			    .size = (uint64_t)status.st_size};
		}
		fsmeta_names_release(&names);
	}
	assert_int_equal(1 + 2 * 13, count);
	assert_ok(fsmeta_cursor_from_array(&cursor, entries, count, &source, &error), &error);
	assert_ok(
	    fsmeta_fsv_open_entries(&fsv, scratch_path("streams"), cursor, NULL, &error), &error);
	fsmeta_cursor_close(cursor);
	fsmeta_fsv_information(fsv, &info);
	check_windows(fsv, LONG);
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
	fsv = open_archive("streams", &(struct fsmeta_fsv_options){0});
	fsmeta_fsv_information(fsv, &listed);
	assert_memory_equal(&listed, &info, sizeof(info));
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
}

/** Memory of the index: the description reckons with 80 bytes a file. */
static void test_index_memory(void **state)
{
	enum {
		FILES = 50000
	};
	static struct fsmeta_batch_source source;
	struct fsmeta_entry *entries = calloc(FILES * 2 + 2, sizeof(*entries));
	char(*paths)[40] = calloc(FILES * 2 + 2, sizeof(*paths));
	struct fsmeta_cursor *cursor;
	struct fsmeta_fsv_info info;
	struct fsmeta_error error = {0};
	struct fsmeta_fsv *fsv;
	size_t count = 0;

	(void)state;
	entries[count++] = (struct fsmeta_entry){.path = "", .type = FSMETA_TYPE_FOLDER};
	entries[count++] =
	    (struct fsmeta_entry){.path = "cam", .path_length = 3, .type = FSMETA_TYPE_FOLDER};
	for (int i = 0; i < FILES; i++)
		for (int part = 0; part < 2; part++, count++) {
			snprintf(paths[count], sizeof(paths[0]), "cam/%d_video.rf1%c",
			    1000000000 + i * 1000, "ip"[part]);
			entries[count] = (struct fsmeta_entry){.path = paths[count],
			    .path_length = strlen(paths[count]),
			    .type = FSMETA_TYPE_FILE,
			    .size = 10};
		}
	assert_ok(fsmeta_cursor_from_array(&cursor, entries, count, &source, &error), &error);
	assert_ok(fsmeta_fsv_open_entries(&fsv, "/nowhere", cursor, NULL, &error), &error);
	fsmeta_cursor_close(cursor);
	fsmeta_fsv_information(fsv, &info);
	assert_int_equal(FILES, info.files);
	assert_int_equal(FILES * 20, info.bytes);
	assert_int_equal(INT64_C(1000000000000), info.start_ms);
	assert_true(info.index_bytes <= FILES * 40);
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
	free(entries);
	free(paths);
}

static void test_bounded_buffer(void **state)
{
	const struct fsmeta_fsv_options options = {.writable = true,
	    .buffer_bytes = 1 << 16,
	    .buffer_max_bytes = 1 << 17,
	    .buffer_us = 3600 * (int64_t)SECOND};
	struct fsmeta_fsv *fsv = open_archive("bound", &options);
	struct fsmeta_error error = {0};
	struct rlimit old, small;
	struct fsmeta_fsv_info info;
	uint32_t taken = 0;
	int code;

	(void)state;
	/* The disk takes nothing: the buffer fills, and then producers are told why. */
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = 0;
	setrlimit(RLIMIT_FSIZE, &small);
	while ((code = write_packet(fsv, "cam0", "video", taken, 0, &error)) == 0) {
		taken++;
		if (taken == 800)
			usleep(20000);
	}
	assert_code(FSMETA_E_REFUSED, code, &error);
	assert_true(taken > 1000 && taken < 3000);
	code = fsmeta_fsv_flush(fsv, "cam0", false, &error);
	assert_code(FSMETA_E_SYSTEM, code, &error);
	assert_code(FSMETA_E_REFUSED, write_packet(fsv, "cam0", "video", taken, 0, &error), &error);
	assert_non_null(strstr(error.reason, "File too large"));
	/* A read of that time cannot be answered either. */
	struct seen seen = {0};
	assert_code(FSMETA_E_SYSTEM,
	    fsmeta_fsv_read(fsv, "cam0", "video", 0, INT64_MAX, see, &error, &seen), &error);
	setrlimit(RLIMIT_FSIZE, &old);
	/* It does again: nothing of what was taken is lost, and more is taken. */
	assert_ok(fsmeta_fsv_flush(fsv, "cam0", false, &error), &error);
	for (uint32_t n = taken; n < taken + 100; n++)
		assert_ok(write_packet(fsv, "cam0", "video", n, 0, &error), &error);
	seen = read_window(fsv, "cam0", "video", 0, 0, INT64_MAX);
	assert_int_equal(0, seen.first);
	assert_int_equal(taken + 100, seen.next);
	fsmeta_fsv_information(fsv, &info);
	assert_int_equal(1, info.files);
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
}

/** Without anybody's doing: after the buffer's time the packets are in a file. */
static void test_age(void **state)
{
	const struct fsmeta_fsv_options options = {
	    .writable = true, .buffer_us = 100000, .idle_us = 300000};
	bool sealed = false;
	struct fsmeta_fsv *fsv = open_archive("age", &options), *reader;
	struct fsmeta_error error = {0};
	uint32_t count = 0;

	(void)state;
	for (uint32_t n = 0; n < 5; n++)
		assert_ok(write_packet(fsv, "cam0", "video", n, 0, &error), &error);
	for (int tries = 0; tries < 1200 && count < 5; tries++) {
		usleep(50000);
		reader = open_archive("age", &(struct fsmeta_fsv_options){0});
		count = read_window(reader, "cam0", "video", 0, 0, INT64_MAX).count;
		assert_ok(fsmeta_fsv_close(reader, &error), &error);
	}
	assert_int_equal(5, count);
	/* And nobody writes to it any more, so that rollover may take it. */
	for (int tries = 0; tries < 1200 && !sealed; tries++) {
		struct fsmeta_track track;

		usleep(50000);
		assert_ok(
		    fsmeta_track_open(&track, scratch_path("age/cam0/1700000000123_video.rf1i"),
			scratch_path("age/cam0/1700000000123_video.rf1p"), &error),
		    &error);
		sealed = track.is_sealed;
		fsmeta_track_release(&track);
	}
	assert_true(sealed);
	assert_ok(write_packet(fsv, "cam0", "video", 5, 0, &error), &error);
	assert_int_equal(6, read_window(fsv, "cam0", "video", 0, 0, INT64_MAX).count);
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
}

static uint64_t measure(const char *folder)
{
	struct fsmeta_names streams, names;
	uint64_t sum = 0;

	assert_int_equal(0, fsmeta_names_list(&streams, folder, NULL));
	for (size_t s = 0; s < streams.count; s++) {
		char *path = fsmeta_names_join(folder, streams.items[s]);

		assert_int_equal(0, fsmeta_names_list(&names, path, NULL));
		for (size_t i = 0; i < names.count; i++) {
			char *file = fsmeta_names_join(path, names.items[i]);
			struct stat status;

			assert_int_equal(0, stat(file, &status));
			sum += (uint64_t)status.st_size;
			free(file);
		}
		fsmeta_names_release(&names);
		free(path);
	}
	fsmeta_names_release(&streams);
	return sum;
}

static void test_roll_over(void **state)
{
	const struct fsmeta_fsv_options options = {.writable = true,
	    .file_us = 20 * (int64_t)SECOND,
	    .budget_bytes = 400000,
	    .reserve_bytes = 1,
	    .buffer_us = 3600 * (int64_t)SECOND};
	struct fsmeta_fsv *fsv = open_archive("roll", &options);
	struct fsmeta_error error = {0};
	struct fsmeta_fsv_info info;
	uint64_t files;

	(void)state;
	/* The second stream is twice as dense from the middle on, the third ended long ago. */
	for (uint32_t n = 0; n < 500; n++)
		assert_ok(write_packet(fsv, "old", "video", n, 4, &error), &error);
	for (uint32_t n = 0; n < 6000; n++) {
		assert_ok(write_packet(fsv, "cam0", "video", n, 0, &error), &error);
		assert_ok(write_packet(fsv, "cam1", "audio", n, 3, &error), &error);
		if (n % 100 == 0) {
			assert_ok(fsmeta_fsv_flush(fsv, NULL, false, &error), &error);
			assert_ok(fsmeta_fsv_roll_over(fsv, &files, &error), &error);
			fsmeta_fsv_information(fsv, &info);
			assert_true(info.bytes < 400000 / 100 * 99);
		}
	}
	assert_ok(fsmeta_fsv_flush(fsv, NULL, false, &error), &error);
	assert_ok(fsmeta_fsv_roll_over(fsv, &files, &error), &error);
	fsmeta_fsv_information(fsv, &info);
	assert_true(info.rolled_over > 20);
	assert_int_equal(measure(scratch_path("roll")), info.bytes);
	/* Of the stream that stopped, the file that its writer still holds. */
	assert_int_equal(100, read_window(fsv, "old", "video", 4, 0, INT64_MAX).count);
	/* Both live streams go equally far back, to within a file. */
	struct seen one = read_window(fsv, "cam0", "video", 0, 0, INT64_MAX);
	struct seen other = read_window(fsv, "cam1", "audio", 3, 0, INT64_MAX);
	assert_int_equal(6000, one.next);
	assert_int_equal(6000, other.next);
	assert_in_range(one.first + 220 - other.first, 0, 440);
	assert_true(one.first > 1000);
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
	/* What is written is never taken, however small the budget is. */
	const struct fsmeta_fsv_options tiny = {.writable = true, .budget_bytes = 10};
	fsv = open_archive("roll", &tiny);
	assert_ok(write_packet(fsv, "cam0", "video", 6000, 0, &error), &error);
	assert_ok(fsmeta_fsv_flush(fsv, NULL, false, &error), &error);
	assert_ok(fsmeta_fsv_roll_over(fsv, &files, &error), &error);
	assert_int_equal(1, read_window(fsv, "cam0", "video", 0, 0, INT64_MAX).count);
	fsmeta_fsv_information(fsv, &info);
	assert_int_equal(1, info.files);
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
}

/** The plan names what rollover then does, and changes nothing itself. */
static void test_plan(void **state)
{
	struct fsmeta_fsv_options options = {
	    .writable = true, .file_us = 20 * (int64_t)SECOND, .reserve_bytes = 1};
	struct fsmeta_fsv *fsv = open_archive("plan", &options);
	struct fsmeta_error error = {0};
	struct fsmeta_fsv_info before, after;
	struct fsmeta_fsv_plan plan;
	uint64_t files;

	(void)state;
	for (uint32_t n = 0; n < 3000; n++) {
		assert_ok(write_packet(fsv, "cam0", "video", n, 0, &error), &error);
		assert_ok(write_packet(fsv, "cam1", "audio", n, 3, &error), &error);
	}
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
	/* Without a budget, and within one, nothing goes. */
	fsv = open_archive("plan", NULL);
	fsmeta_fsv_information(fsv, &before);
	assert_ok(fsmeta_fsv_plan_roll_over(fsv, &plan, &error), &error);
	assert_int_equal(0, plan.files + plan.bytes);
	assert_true(plan.kept_from_ms == before.start_ms);
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
	for (uint64_t percent = 110; percent; percent = percent > 50 ? percent - 20 : percent - 5) {
		options.budget_bytes = before.bytes * percent / 100;
		options.writable = false;
		fsv = open_archive("plan", &options);
		assert_ok(fsmeta_fsv_plan_roll_over(fsv, &plan, &error), &error);
		fsmeta_fsv_information(fsv, &after);
		assert_int_equal(0, after.rolled_over);
		assert_ok(fsmeta_fsv_close(fsv, &error), &error);
		uint64_t held = measure(scratch_path("plan"));
		options.writable = true;
		fsv = open_archive("plan", &options);
		assert_ok(fsmeta_fsv_roll_over(fsv, &files, &error), &error);
		assert_int_equal(plan.files, files);
		assert_int_equal(held - plan.bytes, measure(scratch_path("plan")));
		fsmeta_fsv_information(fsv, &after);
		assert_true(plan.kept_from_ms == after.start_ms);
		assert_true(percent > 100 || after.bytes < options.budget_bytes);
		assert_ok(fsmeta_fsv_close(fsv, &error), &error);
	}
}

/** An index that fits what it was opened with grows again, from one file on. */
static void test_grown_again(void **state)
{
	const struct fsmeta_fsv_options options = {
	    .writable = true, .file_us = 20 * (int64_t)SECOND, .reserve_bytes = 1};
	struct fsmeta_error error = {0};
	struct fsmeta_fsv_info info;

	(void)state;
	for (uint32_t files = 1; files < 6; files++) {
		struct fsmeta_fsv *fsv = open_archive("again", &options);

		assert_ok(write_packet(fsv, "cam0", "video", files * 3000, 0, &error), &error);
		assert_ok(fsmeta_fsv_close(fsv, &error), &error);
		fsv = open_archive("again", NULL);
		fsmeta_fsv_information(fsv, &info);
		assert_int_equal(files, info.files);
		assert_int_equal(24 * files, info.index_bytes);
		assert_ok(fsmeta_fsv_close(fsv, &error), &error);
	}
}

static int count_all(void *payload, const struct fsmeta_track_format *format,
    const struct fsmeta_packet *packet, struct fsmeta_error *error)
{
	(void)format;
	(void)packet;
	(void)error;
	++*(uint32_t *)payload;
	return 0;
}

/** New files: another size of picture, more tracks, a clock that goes back, a limit between key
 * frames. */
static void test_new_files(void **state)
{
	struct fsmeta_fsv *fsv = open_archive("new", NULL);
	struct fsmeta_track_format small = video;
	struct fsmeta_fsv_info info;
	struct fsmeta_error error = {0};
	unsigned char bytes[PACKET_MAX];
	struct fsmeta_packet packet;

	(void)state;
	small.width = 640;
	assert_ok(write_packet(fsv, "a", "video", 0, 0, &error), &error);
	assert_ok(write_packet(fsv, "a", "audio", 0, 1, &error), &error);
	make_packet(&packet, bytes, 20, 0);
	assert_ok(fsmeta_fsv_write(fsv, "a", "video", &small, &packet, 1, &error), &error);
	packet.time_us -= 3600 * (int64_t)SECOND;
	assert_ok(fsmeta_fsv_write(fsv, "a", "video", &small, &packet, 1, &error), &error);
	/* The same moment once more. */
	packet.time_us += 3600 * (int64_t)SECOND;
	assert_ok(fsmeta_fsv_write(fsv, "a", "video", &video, &packet, 1, &error), &error);
	assert_ok(fsmeta_fsv_flush(fsv, NULL, false, &error), &error);
	fsmeta_fsv_information(fsv, &info);
	assert_int_equal(4, info.files);
	assert_int_equal(start_us / 1000 + 2000 - 3600000, info.start_ms);
	assert_int_equal(0, access(scratch_path("new/a/1700000002124_video.rf1i"), F_OK));
	uint32_t found = 0;
	assert_ok(fsmeta_fsv_read(fsv, "a", "video", start_us - 3601 * (int64_t)SECOND,
		      start_us - 3590 * (int64_t)SECOND, count_all, &error, &found),
	    &error);
	assert_int_equal(1, found);

	/* One key frame in 2,500 s. */
	for (uint32_t n = 0; n < 25000; n++) {
		make_packet(&packet, bytes, n, 0);
		packet.flags = FSMETA_PACKET_ANNEX_B | (n ? 0 : FSMETA_PACKET_KEY);
		assert_ok(
		    fsmeta_fsv_write(fsv, "rare", "video", &video, &packet, 1, &error), &error);
	}
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
	fsv = open_archive("new", NULL);
	fsmeta_fsv_information(fsv, &info);
	assert_int_equal(4 + 3, info.files);
	assert_code(FSMETA_E_USAGE, write_packet(fsv, "../x", "video", 0, 0, &error), &error);
	assert_code(FSMETA_E_USAGE, write_packet(fsv, "x", "vi.deo", 0, 0, &error), &error);
	packet.size = 0;
	assert_code(FSMETA_E_USAGE, fsmeta_fsv_write(fsv, "x", "video", &video, &packet, 1, &error),
	    &error);
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
}

static int count_rare(void *payload, const struct fsmeta_track_format *format,
    const struct fsmeta_packet *packet, struct fsmeta_error *error)
{
	uint32_t *count = payload, n;

	(void)format;
	(void)error;
	memcpy(&n, packet->bytes, sizeof(n));
	assert_int_equal(*count, n);
	++*count;
	return 0;
}

/** The last second of that: from the key frame on, across three files. */
static void test_continued(void **state)
{
	struct fsmeta_fsv *fsv = open_archive("new", &(struct fsmeta_fsv_options){0});
	struct fsmeta_error error = {0};
	uint32_t count = 0;

	(void)state;
	assert_ok(fsmeta_fsv_read(fsv, "rare", "video", start_us + 2490 * (int64_t)SECOND,
		      INT64_MAX, count_rare, &error, &count),
	    &error);
	assert_int_equal(25000, count);
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
}

static void test_killed(void **state)
{
	uint64_t seed = 13;

	(void)state;
	for (int round = 0; round < 25; round++) {
		const struct fsmeta_fsv_options options = {
		    .writable = true, .file_us = 20 * (int64_t)SECOND, .buffer_bytes = 4096};
		struct fsmeta_error error = {0};
		uint32_t flushed = 0, count;
		int told[2], status;
		char archive[32];

		snprintf(archive, sizeof(archive), "kill%d", round);
		assert_int_equal(0, pipe(told));
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			struct fsmeta_fsv *fsv;

			if (fsmeta_fsv_open(&fsv, scratch_path(archive), &options, NULL))
				_exit(1);
			for (uint32_t n = 0; n < 20000; n++) {
				if (write_packet(fsv, "cam0", "video", n, 0, NULL))
					_exit(1);
				if (n % 50)
					continue;
				count = n + 1;
				if (fsmeta_fsv_flush(fsv, NULL, false, NULL) ||
				    write(told[1], &count, sizeof(count)) < 0)
					_exit(1);
			}
			pause();
			_exit(1);
		}
		close(told[1]);
		usleep((useconds_t)(3000 + scratch_random(&seed) % 30000));
		kill(child, SIGKILL);
		assert_int_equal(child, waitpid(child, &status, 0));
		assert_true(WIFSIGNALED(status));
		while (read(told[0], &count, sizeof(count)) == sizeof(count))
			flushed = count;
		close(told[0]);
		struct fsmeta_fsv *fsv = open_archive(archive, &options);
		struct seen seen = read_window(fsv, "cam0", "video", 0, 0, INT64_MAX);
		if (flushed) {
			assert_int_equal(0, seen.first);
			assert_true(seen.next >= flushed);
		}
		/* And on it goes. */
		assert_ok(write_packet(fsv, "cam0", "video", 40000, 0, &error), &error);
		assert_ok(fsmeta_fsv_close(fsv, &error), &error);
	}
}

/* ---- many threads ---- */

static struct fsmeta_fsv *shared;
static atomic_bool over;

static void *produce(void *payload)
{
	int salt = *(int *)payload;
	char stream[8];

	snprintf(stream, sizeof(stream), "cam%d", salt);
	for (uint32_t n = 0; n < 4000; n++) {
		struct fsmeta_error error = {0};
		int code;

		while ((code = write_packet(shared, stream, "video", n, 2 * salt, &error)) ==
		       FSMETA_E_REFUSED)
			usleep(1000);
		if (code)
			return payload;
	}
	return NULL;
}

static void *consume(void *payload)
{
	uint64_t seed = 1 + (uint64_t) * (int *)payload, ignored;

	while (!atomic_load(&over)) {
		int salt = (int)(scratch_random(&seed) % 3);
		struct fsmeta_fsv_info info;
		char stream[8];
		uint32_t next = 0;

		snprintf(stream, sizeof(stream), "cam%d", salt);
		if (fsmeta_fsv_read(
			shared, stream, "video", start_us, INT64_MAX, count_rare, NULL, &next))
			return payload;
		fsmeta_fsv_information(shared, &info);
		if (fsmeta_fsv_roll_over(shared, &ignored, NULL) ||
		    fsmeta_fsv_flush(shared, stream, false, NULL))
			return payload;
	}
	return NULL;
}

static void test_threads(void **state)
{
	const struct fsmeta_fsv_options options = {.writable = true,
	    .file_us = 50 * (int64_t)SECOND,
	    .buffer_bytes = 1 << 14,
	    .buffer_max_bytes = 1 << 16,
	    .buffer_us = 20000};
	pthread_t producers[3], consumers[2];
	int numbers[3] = {0, 1, 2};
	struct fsmeta_error error = {0};
	void *failed;

	(void)state;
	shared = open_archive("threads", &options);
	for (int i = 0; i < 3; i++)
		assert_int_equal(0, pthread_create(&producers[i], NULL, produce, &numbers[i]));
	for (int i = 0; i < 2; i++)
		assert_int_equal(0, pthread_create(&consumers[i], NULL, consume, &numbers[i]));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(0, pthread_join(producers[i], &failed));
		assert_null(failed);
	}
	atomic_store(&over, true);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(0, pthread_join(consumers[i], &failed));
		assert_null(failed);
	}
	for (int i = 0; i < 3; i++) {
		char stream[8];

		snprintf(stream, sizeof(stream), "cam%d", i);
		assert_int_equal(
		    4000, read_window(shared, stream, "video", 2 * i, 0, INT64_MAX).count);
	}
	assert_ok(fsmeta_fsv_close(shared, &error), &error);
}

/* ---- another container ---- */

static int created, refused_syncs;

static int create_counted(struct fsmeta_container_writer **out, const char *folder,
    uint64_t time_ms, uint64_t reserve_bytes, struct fsmeta_error *error)
{
	created++;
	return fsmeta_container_rf1.create(out, folder, time_ms, reserve_bytes, error);
}

static int refuse_sync(struct fsmeta_container_writer *writer, struct fsmeta_error *error)
{
	(void)writer;
	refused_syncs++;
	return fsmeta_error_set(error, FSMETA_E_SYSTEM, "x", "syncing", "not today");
}

static void test_container(void **state)
{
	struct fsmeta_container_operations other = fsmeta_container_rf1;
	struct fsmeta_fsv_options options = {.writable = true, .container = &other};
	struct fsmeta_error error = {0};
	struct fsmeta_fsv *fsv;

	(void)state;
	other.create = create_counted;
	other.sync = refuse_sync;
	fsv = open_archive("other", &options);
	assert_ok(write_packet(fsv, "a", "video", 0, 0, &error), &error);
	assert_ok(write_packet(fsv, "b", "video", 0, 0, &error), &error);
	assert_code(FSMETA_E_SYSTEM, fsmeta_fsv_flush(fsv, NULL, true, &error), &error);
	assert_int_equal(2, created);
	assert_int_equal(2, refused_syncs);
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
}

/* ---- what no file takes ---- */

/** A 17th track and a lead longer than any file are refused at once; the stream goes on. */
static void test_untakeable(void **state)
{
	struct fsmeta_fsv *fsv = open_archive("untakeable", NULL);
	struct fsmeta_error error = {0};
	struct fsmeta_fsv_info info;
	unsigned char bytes[PACKET_MAX];
	struct fsmeta_packet packet;
	char track[16];

	(void)state;
	for (int i = 0; i < 16; i++) {
		snprintf(track, sizeof(track), "track%d", i);
		assert_ok(write_packet(fsv, "cam", track, 0, 0, &error), &error);
	}
	assert_code(FSMETA_E_LIMIT, write_packet(fsv, "cam", "track16", 0, 0, &error), &error);
	assert_ok(write_packet(fsv, "other", "track16", 0, 0, &error), &error);
	make_packet(&packet, bytes, 1, 0);
	packet.lead_us = 1025 * SECOND;
	assert_code(FSMETA_E_LIMIT,
	    fsmeta_fsv_write(fsv, "cam", "track0", &video, &packet, 1, &error), &error);
	assert_ok(write_packet(fsv, "cam", "track0", 1, 0, &error), &error);
	assert_ok(fsmeta_fsv_flush(fsv, NULL, false, &error), &error);
	assert_int_equal(2, read_window(fsv, "cam", "track0", 0, 0, INT64_MAX).count);
	assert_int_equal(1, read_window(fsv, "cam", "track15", 0, 0, INT64_MAX).count);
	fsmeta_fsv_information(fsv, &info);
	assert_int_equal(0, info.refused);
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
	/* Tracks that stand on the disk count, too. */
	fsv = open_archive("untakeable", NULL);
	assert_code(FSMETA_E_LIMIT, write_packet(fsv, "cam", "track16", 2, 0, &error), &error);
	assert_ok(write_packet(fsv, "cam", "track3", 2, 0, &error), &error);
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
}

/** The second container of test_container: none of its files takes packet 7. */
static int append_but_7(struct fsmeta_container_writer *writer, const char *track,
    const struct fsmeta_packet *packets, size_t count, struct fsmeta_error *error)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t n;

		memcpy(&n, packets[i].bytes, sizeof(n));
		if (n == 7)
			return fsmeta_error_set(
			    error, FSMETA_E_LIMIT, "x", "appending", "seven is too many");
	}
	return fsmeta_container_rf1.append(writer, track, packets, count, error);
}

static bool has_room_but_for_7(const struct fsmeta_container_writer *writer, const char *track,
    int64_t time_us, uint64_t bytes, uint32_t count)
{
	return time_us < start_us + 7 * (int64_t)STEP_US &&
	       fsmeta_container_rf1.has_room(writer, track, time_us, bytes, count);
}

static int note_number(void *payload, const struct fsmeta_track_format *format,
    const struct fsmeta_packet *packet, struct fsmeta_error *error)
{
	uint32_t n;

	(void)format;
	(void)error;
	memcpy(&n, packet->bytes, sizeof(n));
	*(uint32_t *)payload |= 1U << n;
	return 0;
}

static void test_left_out(void **state)
{
	struct fsmeta_container_operations other = fsmeta_container_rf1;
	struct fsmeta_fsv_options options = {.writable = true, .container = &other};
	struct fsmeta_error error = {0};
	struct fsmeta_fsv_info info;
	struct fsmeta_fsv *fsv;
	uint32_t numbers = 0;

	(void)state;
	other.append = append_but_7;
	other.has_room = has_room_but_for_7;
	fsv = open_archive("left", &options);
	for (uint32_t n = 0; n < 12; n++)
		assert_ok(write_packet(fsv, "a", "video", n, 0, &error), &error);
	assert_code(FSMETA_E_LIMIT, fsmeta_fsv_flush(fsv, NULL, false, &error), &error);
	assert_string_equal("seven is too many", error.reason);
	/* Told once; those behind it are there. */
	assert_ok(fsmeta_fsv_flush(fsv, NULL, false, &error), &error);
	assert_ok(fsmeta_fsv_read(fsv, "a", "video", 0, INT64_MAX, note_number, &error, &numbers),
	    &error);
	assert_int_equal(0xfff & ~(1 << 7), numbers);
	assert_ok(write_packet(fsv, "a", "video", 7, 0, &error), &error);
	fsmeta_fsv_information(fsv, &info);
	assert_int_equal(1, info.refused);
	/* Closing tells what nobody was told yet. */
	assert_code(FSMETA_E_LIMIT, fsmeta_fsv_close(fsv, &error), &error);
}

static atomic_int closings;

static int fail_fifth_close(struct fsmeta_container_writer *writer, struct fsmeta_error *error)
{
	int code = fsmeta_container_rf1.close(writer, error);

	if (!writer || atomic_fetch_add(&closings, 1) != 4)
		return code;
	return fsmeta_error_set(error, FSMETA_E_SYSTEM, "x", "closing", "the fifth never works");
}

/** Many streams are closed by several threads: one failure is told, and the others are sealed. */
static void test_closed_together(void **state)
{
	struct fsmeta_container_operations other = fsmeta_container_rf1;
	struct fsmeta_fsv_options options = {.writable = true, .container = &other};
	struct fsmeta_error error = {0};
	struct fsmeta_fsv *fsv;
	char stream[16];

	(void)state;
	other.close = fail_fifth_close;
	fsv = open_archive("together", &options);
	for (int i = 0; i < 40; i++) {
		snprintf(stream, sizeof(stream), "cam%d", i);
		assert_ok(write_packet(fsv, stream, "video", 0, 0, &error), &error);
	}
	assert_code(FSMETA_E_SYSTEM, fsmeta_fsv_close(fsv, &error), &error);
	assert_string_equal("the fifth never works", error.reason);
	assert_int_equal(40, closings);
	fsv = open_archive("together", &(struct fsmeta_fsv_options){0});
	for (int i = 0; i < 40; i++) {
		snprintf(stream, sizeof(stream), "cam%d", i);
		assert_int_equal(1, read_window(fsv, stream, "video", 0, 0, INT64_MAX).count);
	}
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
}

static void blow_up(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
	static const char header[16] = "rf1vh264";

	assert_true(fd >= 0);
	assert_int_equal(sizeof(header), write(fd, header, sizeof(header)));
	assert_int_equal(0, ftruncate(fd, 4 << 20));
	close(fd);
}

/** What is no index stands as the newest file: the archive is written to and read all the same. */
static void test_oversized_newest(void **state)
{
	struct fsmeta_fsv *fsv = open_archive("over", NULL);
	struct fsmeta_error error = {0};

	(void)state;
	assert_ok(write_packet(fsv, "cam", "video", 0, 0, &error), &error);
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
	blow_up(scratch_path("over/cam/1700000001000_video.rf1i"));
	blow_up(scratch_path("over/cam/1700000001000_video.rf1p"));
	fsv = open_archive("over", NULL);
	assert_int_equal(1, read_window(fsv, "cam", "video", 0, 0, INT64_MAX).count);
	assert_ok(write_packet(fsv, "cam", "video", 20, 0, &error), &error);
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
}

/** A key frame 200 files ago: one file is open at a time. */
static void test_long_chain(void **state)
{
	const struct fsmeta_fsv_options options = {
	    .writable = true, .file_us = SECOND, .reserve_bytes = 1};
	struct fsmeta_fsv *fsv = open_archive("chain", &options);
	struct fsmeta_fsv_info info;
	struct fsmeta_error error = {0};
	unsigned char bytes[PACKET_MAX];
	struct fsmeta_packet packet;
	struct rlimit before, few;
	uint32_t count = 0;

	(void)state;
	for (uint32_t n = 0; n < 2000; n++) {
		make_packet(&packet, bytes, n, 0);
		packet.flags = FSMETA_PACKET_ANNEX_B | (n ? 0 : FSMETA_PACKET_KEY);
		assert_ok(
		    fsmeta_fsv_write(fsv, "rare", "video", &video, &packet, 1, &error), &error);
	}
	assert_ok(fsmeta_fsv_flush(fsv, NULL, false, &error), &error);
	fsmeta_fsv_information(fsv, &info);
	assert_int_equal(200, info.files);
	assert_int_equal(0, getrlimit(RLIMIT_NOFILE, &before));
	few = before;
	few.rlim_cur = 64;
	assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &few));
	assert_ok(fsmeta_fsv_read(fsv, "rare", "video", start_us + 1999 * (int64_t)STEP_US - 1000,
		      INT64_MAX, count_rare, &error, &count),
	    &error);
	assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &before));
	assert_int_equal(2000, count);
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
}

/** The archive's own thread rolls over, too: what went is told whoever was first. */
static void test_rolled_by_itself(void **state)
{
	struct fsmeta_fsv_options options = {
	    .writable = true, .file_us = 20 * (int64_t)SECOND, .reserve_bytes = 1};
	struct fsmeta_fsv *fsv = open_archive("itself", &options);
	struct fsmeta_error error = {0};
	struct fsmeta_fsv_info before, after;
	struct fsmeta_fsv_plan plan;
	uint64_t files;

	(void)state;
	for (uint32_t n = 0; n < 3000; n++)
		assert_ok(write_packet(fsv, "cam0", "video", n, 0, &error), &error);
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
	fsv = open_archive("itself", &(struct fsmeta_fsv_options){0});
	fsmeta_fsv_information(fsv, &before);
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
	options.budget_bytes = before.bytes / 2;
	options.writable = false;
	fsv = open_archive("itself", &options);
	assert_ok(fsmeta_fsv_plan_roll_over(fsv, &plan, &error), &error);
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
	options.writable = true;
	fsv = open_archive("itself", &options);
	for (int i = 0; i < 200; i++) {
		fsmeta_fsv_information(fsv, &after);
		if (after.bytes < options.budget_bytes / 100 * 98)
			break;
		usleep(50000);
	}
	assert_ok(fsmeta_fsv_roll_over(fsv, &files, &error), &error);
	assert_int_equal(0, files);
	fsmeta_fsv_information(fsv, &after);
	assert_int_equal(plan.files, after.rolled_over);
	assert_int_equal(plan.bytes, after.rolled_over_bytes);
	assert_true(plan.kept_from_ms == after.start_ms);
	assert_int_equal(before.bytes, after.bytes + after.rolled_over_bytes);
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
}

/** A stream's folder makes way for a link while the archive is open: rollover stays in ROOT. */
static void test_exchanged_folder(void **state)
{
	struct fsmeta_fsv_options options = {.writable = true, .file_us = 20 * (int64_t)SECOND};
	struct fsmeta_fsv *fsv = open_archive("exchanged", &options);
	struct fsmeta_error error = {0};
	struct fsmeta_fsv_info info;
	uint64_t files, held;
	char root[40];
	int fd;

	(void)state;
	for (uint32_t n = 0; n < 1000; n++)
		assert_ok(write_packet(fsv, "cam", "video", n, 0, &error), &error);
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
	fsv = open_archive("exchanged", &(struct fsmeta_fsv_options){0});
	fsmeta_fsv_information(fsv, &info);
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
	/* The same names stand elsewhere. */
	assert_int_equal(0, mkdir(scratch_path("elsewhere"), 0755));
	options.budget_bytes = info.bytes + info.bytes / 90;
	/* Under the name of a descriptor, as `archive sweep` does. */
	fd = open(scratch_path("exchanged"), O_RDONLY | O_DIRECTORY);
	assert_true(fd >= 0);
	snprintf(root, sizeof(root), "/proc/self/fd/%d", fd);
	assert_ok(fsmeta_fsv_open(&fsv, root, &options, &error), &error);
	assert_int_equal(0, rename(scratch_path("exchanged/cam"), scratch_path("elsewhere/cam")));
	assert_int_equal(0, symlink("../elsewhere/cam", scratch_path("exchanged/cam")));
	held = measure(scratch_path("elsewhere"));
	assert_int_equal(held, info.bytes);
	for (uint32_t n = 0; n < 200; n++)
		assert_ok(write_packet(fsv, "other", "video", n, 0, &error), &error);
	assert_ok(fsmeta_fsv_flush(fsv, NULL, false, &error), &error);
	assert_code(FSMETA_E_SYSTEM, fsmeta_fsv_roll_over(fsv, &files, &error), &error);
	strcat(root, "/cam");
	assert_string_equal(root, error.path);
	assert_int_equal(0, files);
	assert_int_equal(held, measure(scratch_path("elsewhere")));
	assert_ok(fsmeta_fsv_close(fsv, &error), &error);
	close(fd);
}

static void test_names(void **state)
{
	static const char *const wrong[] = {"1700000000_holiday.jpg", "170000000_video.rf1i",
	    "17000000001_video.rf1i", "1700000000_.rf1i", "1700000000.rf1i",
	    "1700000000_video.rf1x", "0700000000_video.rf1i", "1700000000_vi.deo.rf1i",
	    "1700000000-video.rf1i", "", "1700000000", "1700000000_"};
	struct fsmeta_container_name name;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(fsmeta_container_rf1.parse_name(&name, wrong[i], strlen(wrong[i])));
	assert_true(fsmeta_container_rf1.parse_name(&name, "1708584695_video.rf1i", 21));
	assert_int_equal(1708584695, name.time);
	assert_int_equal(10, name.digits);
	assert_int_equal(5, name.track_length);
	assert_memory_equal("video", name.track, 5);
	assert_int_equal(1, name.parts);
	assert_true(fsmeta_container_rf1.parse_name(&name, "1712815946731_a.rf1p", 20));
	assert_int_equal(13, name.digits);
	assert_int_equal(2, name.parts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_streams),
	    cmocka_unit_test(test_from_entries),
	    cmocka_unit_test(test_index_memory),
	    cmocka_unit_test(test_bounded_buffer),
	    cmocka_unit_test(test_age),
	    cmocka_unit_test(test_roll_over),
	    cmocka_unit_test(test_plan),
	    cmocka_unit_test(test_grown_again),
	    cmocka_unit_test(test_new_files),
	    cmocka_unit_test(test_continued),
	    cmocka_unit_test(test_killed),
	    cmocka_unit_test(test_threads),
	    cmocka_unit_test(test_container),
	    cmocka_unit_test(test_untakeable),
	    cmocka_unit_test(test_left_out),
	    cmocka_unit_test(test_closed_together),
	    cmocka_unit_test(test_oversized_newest),
	    cmocka_unit_test(test_long_chain),
	    cmocka_unit_test(test_rolled_by_itself),
	    cmocka_unit_test(test_exchanged_folder),
	};

	return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
