/*
 * Segments: recordings of hours read back packet for packet, windows against a naive list, limits
 * with and without key frames, killed recorders, lost files; and Annex B under them.
 */
#include "test_archive_scratch.h"

#include "archive/annexb.h"
#include "archive/segments.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	SECOND = 1000000,
	PICTURE_MAX = 160
};

static const int64_t start_us = INT64_C(1700000000123456);
static const struct fsmeta_segment_format hd = {.codec = "h264", .width = 1920, .height = 1080};

static const unsigned char h264_sets[] = {
    0, 0, 0, 1, 0x67, 0x64, 0, 0x1f, 0xac, 0, 0, 0, 1, 0x68, 0xeb, 0xe3, 0xcb};

/** A picture that any splitter takes for one: number `n`, so that each differs. */
static size_t make_picture(unsigned char *out, uint32_t n, bool key, bool with_sets)
{
	size_t length = 0, size = 20 + n * 7919 % 100;

	if (with_sets) {
		memcpy(out, h264_sets, sizeof(h264_sets));
		length = sizeof(h264_sets);
	}
	memcpy(out + length, (unsigned char[]){0, 0, 0, 1, key ? 0x65 : 0x41, 0x88}, 6);
	length += 6;
	for (size_t i = 0; i < size; i++)
		out[length++] = (unsigned char)(2 + (n >> i % 4 * 8) % 251);
	return length;
}

static int append_picture(struct fsmeta_segments *segments, const char *stream, uint32_t n,
    int64_t time_us, bool key, bool with_sets, struct fsmeta_error *error)
{
	unsigned char bytes[PICTURE_MAX];
	struct fsmeta_packet packet = {.time_us = time_us, .bytes = bytes};

	packet.size = make_picture(bytes, n, key, with_sets);
	return fsmeta_segments_append(segments, stream, &hd, &packet, error);
}

static struct fsmeta_segments *open_archive(
    const char *name, bool writable, const struct fsmeta_segments_options *options)
{
	struct fsmeta_segments *segments;
	struct fsmeta_error error = {0};

	assert_ok(
	    fsmeta_segments_open(&segments, scratch_path(name), writable, options, &error), &error);
	return segments;
}

/** What a reading gave: numbers of pictures, checked byte for byte. */
struct seen {
	uint32_t first;
	uint32_t next;
	uint32_t count;
	uint32_t sets;
	uint32_t keys_every;
	bool first_is_key;
	int64_t times[8];
};

static int see(void *payload, const struct fsmeta_segment *segment,
    const struct fsmeta_packet *packet, struct fsmeta_error *error)
{
	struct seen *seen = payload;
	unsigned char wanted[PICTURE_MAX];
	const unsigned char *bytes = packet->bytes;
	bool key = packet->flags & FSMETA_PACKET_KEY;
	size_t size;

	(void)error;
	assert_non_null(segment->stream);
	if (packet->flags & FSMETA_PACKET_ESSENTIAL) {
		assert_int_equal(sizeof(h264_sets), packet->size);
		assert_memory_equal(h264_sets, bytes, packet->size);
		seen->sets++;
		return 0;
	}
	if (!seen->count) {
		seen->first_is_key = key;
		/* Its number is told by its time: 10 a second. */
		seen->first = (uint32_t)((packet->time_us - start_us + 50000) / 100000);
		seen->next = seen->first;
	}
	size = make_picture(wanted, seen->next, key, packet->size > 6 && bytes[4] == 0x67);
	assert_int_equal(size, packet->size);
	assert_memory_equal(wanted, bytes, size);
	seen->next++;
	seen->count++;
	return 0;
}

static struct seen read_window(
    struct fsmeta_segments *segments, const char *stream, int64_t from, int64_t to)
{
	struct seen seen = {0};
	struct fsmeta_error error = {0};

	assert_ok(
	    fsmeta_segments_read(segments, stream, from, to, NULL, see, &error, &seen), &error);
	return seen;
}

struct listed {
	struct fsmeta_segment segments[64];
	size_t count;
};

static int list(void *payload, const struct fsmeta_segment *segment, struct fsmeta_error *error)
{
	struct listed *listed = payload;

	(void)error;
	listed->segments[listed->count++] = *segment;
	return 0;
}

static struct listed list_all(struct fsmeta_segments *segments)
{
	struct listed listed = {0};
	struct fsmeta_error error = {0};

	assert_ok(fsmeta_segment_catalog_window(fsmeta_segments_catalog(segments), NULL, INT64_MIN,
		      INT64_MAX, list, &error, &listed),
	    &error);
	return listed;
}

/** 3,300 s at 10 frames a second, a key frame every 2 s, parameter sets once or with each. */
static void record(const char *archive, bool sets_once)
{
	struct fsmeta_segments *segments = open_archive(archive, true, NULL);
	struct fsmeta_error error = {0};

	for (uint32_t n = 0; n < 33000; n++)
		assert_ok(append_picture(segments, "cam1", n, start_us + (int64_t)n * 100000,
			      n % 20 == 0, sets_once ? n == 0 : n % 20 == 0, &error),
		    &error);
	assert_ok(fsmeta_segments_close(segments, &error), &error);
}

static void check_recording(const char *archive, bool writable, bool sets_once)
{
	struct fsmeta_segments *segments = open_archive(archive, writable, NULL);
	struct listed listed = list_all(segments);
	struct fsmeta_error error = {0};
	uint64_t seed = 11;

	assert_int_equal(4, listed.count);
	for (size_t i = 0; i < listed.count; i++) {
		const struct fsmeta_segment *segment = &listed.segments[i];
		struct fsmeta_buffer bytes = {0};
		char name[96];

		assert_true(segment->sealed && !segment->continues);
		assert_int_equal((start_us + (int64_t)i * 1000 * SECOND) / 1000, segment->name_ms);
		assert_in_range(segment->end_us - segment->start_us, 0, INT64_C(1000) * SECOND);
		snprintf(
		    name, sizeof(name), "%s/cam1/%lld.h264", archive, (long long)segment->name_ms);
		assert_ok(
		    fsmeta_read_file_at(&bytes, AT_FDCWD, scratch_path(name), 1 << 28, &error),
		    &error);
		assert_int_equal(segment->frame_bytes, bytes.length);
		assert_memory_equal(h264_sets, bytes.data, sizeof(h264_sets));
		fsmeta_buffer_release(&bytes);
	}
	struct seen seen = read_window(segments, "cam1", INT64_MIN, INT64_MAX);
	assert_int_equal(33000, seen.count);
	assert_int_equal(sets_once ? 3 : 0, seen.sets);
	for (int round = 0; round < 60; round++) {
		uint32_t from = (uint32_t)(scratch_random(&seed) % 33000);
		uint32_t count = 1 + (uint32_t)(scratch_random(&seed) % 300);
		uint32_t end = from + count < 33000 ? from + count : 33000;

		/* A window that begins and ends between two frames. */
		seen = read_window(segments, "cam1", start_us + (int64_t)from * 100000 - 50000,
		    start_us + (int64_t)(from + count) * 100000 - 50000);
		assert_int_equal(from / 20 * 20, seen.first);
		assert_true(seen.first_is_key);
		assert_int_equal(end, seen.next);
	}
	assert_int_equal(0, read_window(segments, "cam2", 0, INT64_MAX).count);
	assert_int_equal(0, read_window(segments, "cam1", 0, start_us).count);
	assert_int_equal(
	    0, read_window(segments, "cam1", start_us + INT64_C(3301) * SECOND, INT64_MAX).count);
	assert_ok(fsmeta_segments_close(segments, &error), &error);
}

static void test_recording(void **state)
{
	struct fsmeta_segments_found found;
	struct fsmeta_segments *segments;
	struct fsmeta_error error = {0};

	(void)state;
	record("each", false);
	check_recording("each", false, false);
	record("once", true);
	check_recording("once", false, true);
	/* Without a catalog a reader makes one for itself, and a writer the file. */
	assert_int_equal(0, unlink(scratch_path("once/segments.db")));
	check_recording("once", false, true);
	assert_int_equal(-1, access(scratch_path("once/segments.db"), F_OK));
	segments = open_archive("once", true, NULL);
	assert_ok(fsmeta_segments_reconcile(segments, &found, &error), &error);
	assert_int_equal(4, found.segments);
	assert_int_equal(0, found.recovered + found.orphans + found.growing + found.lost_packets);
	assert_ok(fsmeta_segments_close(segments, &error), &error);
	check_recording("once", true, true);
}

/** One key frame in 2,500 s: the hard limit cuts, nothing is lost, and decoding finds the key
 * frame. */
static void test_continued(void **state)
{
	struct fsmeta_segments *segments = open_archive("rare", true, NULL);
	struct fsmeta_error error = {0};

	(void)state;
	for (uint32_t n = 0; n < 25000; n++)
		assert_ok(append_picture(segments, "cam1", n, start_us + (int64_t)n * 100000,
			      n == 0, n == 0, &error),
		    &error);
	/* Read by the writer while it grows. */
	assert_int_equal(25000, read_window(segments, "cam1", 0, INT64_MAX).count);
	assert_ok(fsmeta_segments_close(segments, &error), &error);
	segments = open_archive("rare", false, NULL);
	struct listed listed = list_all(segments);
	assert_int_equal(3, listed.count);
	assert_false(listed.segments[0].continues);
	assert_true(listed.segments[1].continues && listed.segments[2].continues);
	struct seen seen = read_window(
	    segments, "cam1", start_us + INT64_C(2400) * SECOND, start_us + INT64_C(2401) * SECOND);
	assert_true(seen.first_is_key);
	assert_int_equal(0, seen.first);
	assert_in_range(seen.next, 24010, 24011);
	assert_int_equal(2, seen.sets);
	assert_ok(fsmeta_segments_close(segments, &error), &error);
}

/** A key frame 120 segments ago: one segment is open at a time. */
static void test_long_chain(void **state)
{
	struct fsmeta_segments *segments = open_archive("chain", true, NULL);
	struct fsmeta_error error = {0};
	struct rlimit before, few;
	struct seen seen;

	(void)state;
	for (uint32_t n = 0; n < 240; n++)
		assert_ok(append_picture(segments, "cam1", n, start_us + (int64_t)n * 600 * SECOND,
			      n == 0, n == 0, &error),
		    &error);
	assert_ok(fsmeta_segments_close(segments, &error), &error);
	segments = open_archive("chain", false, NULL);
	assert_int_equal(0, getrlimit(RLIMIT_NOFILE, &before));
	few = before;
	few.rlim_cur = 64;
	assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &few));
	seen = read_window(segments, "cam1", start_us + INT64_C(600) * 239 * SECOND - SECOND,
	    start_us + INT64_C(600) * 240 * SECOND);
	assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &before));
	assert_true(seen.first_is_key);
	assert_int_equal(0, seen.first);
	assert_int_equal(240, seen.count);
	assert_ok(fsmeta_segments_close(segments, &error), &error);
}

static void test_beginnings(void **state)
{
	const struct fsmeta_segments_options options = {.reserve_bytes = 1, .sync_us = SECOND};
	struct fsmeta_segments *segments = open_archive("begin", true, &options);
	struct fsmeta_packet packet = {.time_us = start_us, .bytes = "\0\0\1", .size = 3};
	struct fsmeta_segment_format other = hd;
	struct fsmeta_error error = {0};
	struct listed listed;

	(void)state;
	assert_code(FSMETA_E_REFUSED,
	    append_picture(segments, "a", 0, start_us, false, false, &error), &error);
	assert_code(FSMETA_E_REFUSED,
	    append_picture(segments, "a", 0, start_us, true, false, &error), &error);
	assert_code(FSMETA_E_USAGE,
	    append_picture(segments, "../a", 0, start_us, true, true, &error), &error);
	assert_code(
	    FSMETA_E_USAGE, fsmeta_segments_append(segments, "a", &hd, &packet, &error), &error);
	packet.bytes = "abcdefgh";
	packet.size = 8;
	assert_code(
	    FSMETA_E_USAGE, fsmeta_segments_append(segments, "a", &hd, &packet, &error), &error);
	memcpy(other.codec, "vp09", 4);
	assert_code(
	    FSMETA_E_USAGE, fsmeta_segments_append(segments, "a", &other, &packet, &error), &error);
	assert_int_equal(-1, access(scratch_path("begin/a"), F_OK));
	/* Parameter sets by themselves, then the key frame. */
	packet.bytes = h264_sets;
	packet.size = sizeof(h264_sets);
	assert_ok(fsmeta_segments_append(segments, "a", &hd, &packet, &error), &error);
	assert_ok(append_picture(segments, "a", 0, start_us, true, false, &error), &error);
	assert_ok(
	    append_picture(segments, "a", 1, start_us + 100000, false, false, &error), &error);
	/* The clock goes back by an hour, and by nothing at all. */
	assert_ok(
	    append_picture(segments, "a", 2, start_us - INT64_C(3600) * SECOND, true, true, &error),
	    &error);
	assert_ok(append_picture(segments, "a", 3, start_us, true, true, &error), &error);
	/* A pause, and another size of picture. */
	assert_ok(
	    append_picture(segments, "a", 4, start_us + 20 * SECOND, true, true, &error), &error);
	other = hd;
	other.width = 640;
	packet.time_us = start_us + 21 * SECOND;
	packet.bytes = "\0\0\0\1\x41\x88zz";
	packet.size = 8;
	assert_code(
	    FSMETA_E_USAGE, fsmeta_segments_append(segments, "a", &other, &packet, &error), &error);
	unsigned char key[PICTURE_MAX];
	packet.size = make_picture(key, 5, true, true);
	packet.bytes = key;
	assert_ok(fsmeta_segments_append(segments, "a", &other, &packet, &error), &error);
	/* Earlier than the base and no key frame: kept, shown at the base. */
	packet.bytes = "\0\0\0\1\x41\x88zz";
	packet.size = 8;
	packet.time_us -= SECOND;
	assert_ok(fsmeta_segments_append(segments, "a", &other, &packet, &error), &error);
	listed = list_all(segments);
	assert_int_equal(5, listed.count);
	for (size_t i = 0; i < 4; i++)
		assert_true(listed.segments[i].sealed);
	assert_false(listed.segments[4].sealed);
	assert_int_equal(640, listed.segments[4].width);
	/* The name of that millisecond was taken. */
	assert_int_equal(listed.segments[1].name_ms + 1, listed.segments[2].name_ms);
	/* Somebody else may not write this stream's growing segment, nor recover it. */
	struct fsmeta_segments *second = open_archive("begin", true, NULL);
	struct fsmeta_segments_found found;
	assert_ok(fsmeta_segments_reconcile(second, &found, &error), &error);
	assert_int_equal(1, found.growing);
	assert_int_equal(5, found.segments);
	assert_ok(fsmeta_segments_close(second, &error), &error);
	assert_ok(fsmeta_segments_sync(segments, &error), &error);
	assert_ok(fsmeta_segments_close(segments, &error), &error);
}

/** Files that went: counted, and the rest is read. */
static void test_lost_files(void **state)
{
	struct fsmeta_segments *segments;
	struct fsmeta_segments_found found;
	struct fsmeta_error error = {0};
	struct seen seen = {0};
	uint64_t missing;
	char name[64];

	(void)state;
	record("lost", false);
	segments = open_archive("lost", true, NULL);
	int64_t first = list_all(segments).segments[0].name_ms;
	snprintf(name, sizeof(name), "lost/cam1/%lld.h264", (long long)first);
	assert_int_equal(0, unlink(scratch_path(name)));
	assert_ok(
	    fsmeta_segments_read(segments, "cam1", 0, INT64_MAX, &missing, see, &error, &seen),
	    &error);
	assert_int_equal(1, missing);
	assert_int_equal(10000, seen.first);
	assert_int_equal(33000, seen.next);
	int fd = open(scratch_path("lost/cam1/1800000000000.h264"), O_CREAT | O_WRONLY, 0644);
	assert_true(fd >= 0);
	close(fd);
	fd = open(scratch_path("lost/cam1/1700003000123.vidx"), O_WRONLY | O_TRUNC);
	assert_true(fd >= 0);
	assert_int_equal(40, write(fd, "this is no index, whatever its name says", 40));
	close(fd);
	assert_ok(fsmeta_segments_close(segments, &error), &error);
	/* For a reader a catalog in memory takes the place of the one on the disk … */
	segments = open_archive("lost", false, NULL);
	assert_ok(fsmeta_segments_reconcile(segments, &found, &error), &error);
	assert_int_equal(2, found.segments);
	assert_int_equal(3, found.orphans);
	assert_int_equal(2, list_all(segments).count);
	assert_ok(fsmeta_segments_close(segments, &error), &error);
	segments = open_archive("lost", false, NULL);
	assert_int_equal(4, list_all(segments).count);
	assert_ok(fsmeta_segments_close(segments, &error), &error);
	/* … which a writer puts right. */
	segments = open_archive("lost", true, NULL);
	assert_ok(fsmeta_segments_reconcile(segments, &found, &error), &error);
	assert_int_equal(2, found.segments);
	assert_int_equal(3, found.orphans);
	assert_ok(fsmeta_segments_close(segments, &error), &error);
}

static void test_killed_recorder(void **state)
{
	uint64_t seed = 31;

	(void)state;
	for (int round = 0; round < 25; round++) {
		const struct fsmeta_segments_options options = {.target_us = 20 * SECOND};
		struct fsmeta_segments_found found;
		struct fsmeta_error error = {0};
		uint32_t told = 0, count;
		int acknowledged[2], status;
		char archive[32];

		snprintf(archive, sizeof(archive), "kill%d", round);
		assert_int_equal(0, pipe(acknowledged));
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			struct fsmeta_segments *writer;

			if (fsmeta_segments_open(
				&writer, scratch_path(archive), true, &options, NULL))
				_exit(1);
			for (uint32_t n = 0; n < 4000; n++) {
				if (append_picture(writer, "cam1", n,
					start_us + (int64_t)n * 100000, n % 20 == 0, n % 20 == 0,
					NULL))
					_exit(1);
				count = n + 1;
				if (write(acknowledged[1], &count, sizeof(count)) < 0)
					_exit(1);
			}
			pause();
			_exit(1);
		}
		close(acknowledged[1]);
		usleep((useconds_t)(5000 + scratch_random(&seed) % 60000));
		kill(child, SIGKILL);
		assert_int_equal(child, waitpid(child, &status, 0));
		assert_true(WIFSIGNALED(status));
		while (read(acknowledged[0], &count, sizeof(count)) == sizeof(count))
			told = count;
		close(acknowledged[0]);
		if (!told)
			continue;
		struct fsmeta_segments *segments = open_archive(archive, true, NULL);
		assert_ok(fsmeta_segments_reconcile(segments, &found, &error), &error);
		assert_true(found.recovered <= 1);
		assert_int_equal(0, found.growing + found.lost_packets);
		struct seen seen = read_window(segments, "cam1", 0, INT64_MAX);
		assert_int_equal(0, seen.first);
		assert_in_range(seen.next, told, told + 1);
		assert_ok(fsmeta_segments_reconcile(segments, &found, &error), &error);
		assert_int_equal(0, found.recovered);
		/* And the recording goes on. */
		assert_ok(append_picture(segments, "cam1", 5000, start_us + INT64_C(500) * SECOND,
			      true, true, &error),
		    &error);
		assert_ok(fsmeta_segments_close(segments, &error), &error);
	}
}

/* ---- Annex B ---- */

static void test_units(void **state)
{
	static unsigned char bytes[400 * (PICTURE_MAX + 64)];
	static const unsigned char sei[] = {0, 0, 1, 6, 5, 1, 0x80};
	static const unsigned char second_slice[] = {0, 0, 1, 0x41, 0x22, 7, 7};
	size_t starts[401], length = 0, at = 0, n = 0;
	struct fsmeta_access_unit unit;

	(void)state;
	for (uint32_t i = 0; i < 400; i++) {
		starts[i] = length;
		if (i % 3 == 1) {
			memcpy(bytes + length, sei, sizeof(sei));
			length += sizeof(sei);
		}
		length += make_picture(bytes + length, i, i % 10 == 0, i % 10 == 0);
		if (i % 4 == 1) {
			memcpy(bytes + length, second_slice, sizeof(second_slice));
			length += sizeof(second_slice);
		}
	}
	starts[400] = length;
	while (fsmeta_annexb_next_unit(&unit, FSMETA_CODEC_H264, bytes, length, &at)) {
		assert_true(n < 400);
		assert_int_equal(starts[n], unit.offset);
		assert_int_equal(starts[n + 1] - starts[n], unit.size);
		assert_int_equal(n % 10 == 0, unit.is_key);
		assert_int_equal(n < 399, unit.is_whole);
		n++;
	}
	assert_int_equal(400, n);
	/* Any bytes whatever are walked through, and to their end. */
	for (uint64_t seed = 1; seed < 400; seed++) {
		uint64_t random = seed * 7;
		size_t size = scratch_random(&random) % 300;
		unsigned char *noise = malloc(size + 1);

		for (size_t i = 0; i < size; i++)
			noise[i] = (unsigned char)(scratch_random(&random) % 3);
		for (int codec = FSMETA_CODEC_OTHER; codec <= FSMETA_CODEC_H265; codec++) {
			struct fsmeta_annexb_summary summary;
			struct fsmeta_buffer sets = {0};
			size_t end = 0;

			fsmeta_annexb_summarise(&summary, (enum fsmeta_codec)codec, noise, size);
			for (at = 0; fsmeta_annexb_next_unit(
				 &unit, (enum fsmeta_codec)codec, noise, size, &at);) {
				assert_true(unit.offset >= end && unit.size > 0);
				end = unit.offset + unit.size;
				assert_true(end <= size);
			}
			assert_int_equal(0, fsmeta_annexb_update_sets(
						&sets, (enum fsmeta_codec)codec, noise, size));
			fsmeta_buffer_release(&sets);
		}
		free(noise);
	}
}

static void test_sets(void **state)
{
	static const unsigned char new_pps[] = {0, 0, 1, 0x68, 0x99, 0, 0, 1, 0x65, 0x88};
	static const unsigned char wanted[] = {
	    0, 0, 0, 1, 0x67, 0x64, 0, 0x1f, 0xac, 0, 0, 1, 0x68, 0x99};
	static const unsigned char h265[] = {
	    0, 0, 1, 0x40, 1, 9, 0, 0, 1, 0x42, 1, 9, 0, 0, 1, 0x44, 1, 9, 0, 0, 1, 0x26, 1, 0x80};
	struct fsmeta_annexb_summary summary;
	struct fsmeta_buffer sets = {0};

	(void)state;
	assert_int_equal(
	    0, fsmeta_annexb_update_sets(&sets, FSMETA_CODEC_H264, h264_sets, sizeof(h264_sets)));
	assert_int_equal(
	    0, fsmeta_annexb_update_sets(&sets, FSMETA_CODEC_H264, new_pps, sizeof(new_pps)));
	assert_int_equal(sizeof(wanted), sets.length);
	assert_memory_equal(wanted, sets.data, sizeof(wanted));
	fsmeta_buffer_release(&sets);
	fsmeta_annexb_summarise(&summary, FSMETA_CODEC_H265, h265, sizeof(h265));
	assert_true(summary.is_annexb && summary.is_key && summary.has_parameter_sets);
	fsmeta_annexb_summarise(&summary, FSMETA_CODEC_H265, h265 + 6, sizeof(h265) - 6);
	assert_false(summary.has_parameter_sets);
	fsmeta_annexb_summarise(&summary, FSMETA_CODEC_H264, new_pps, sizeof(new_pps));
	assert_true(summary.is_key && !summary.has_parameter_sets);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_units),
	    cmocka_unit_test(test_sets),
	    cmocka_unit_test(test_recording),
	    cmocka_unit_test(test_continued),
	    cmocka_unit_test(test_long_chain),
	    cmocka_unit_test(test_beginnings),
	    cmocka_unit_test(test_lost_files),
	    cmocka_unit_test(test_killed_recorder),
	};

	return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
