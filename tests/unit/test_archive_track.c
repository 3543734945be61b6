/*
 * Tracks: what goes in comes out; files cut at every byte serve whole packets and no others;
 * writers killed, disks full, headers that lie.
 */
#include "test_archive_scratch.h"

#include "archive/track.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	SECOND = 1000000,
	PACKETS_MAX = 512
};

static const int64_t base_us = INT64_C(1700000000123456);

static const struct fsmeta_track_format video = {
    .codec = "h264", .width = 1920, .height = 1080, .base_us = INT64_C(1700000000123456)};

struct made {
	struct fsmeta_packet packets[PACKETS_MAX];
	size_t count;
	unsigned char bytes[1 << 20];
};

/** Packets as an encoder with B-frames hands them out: every 12th is a key frame. */
static void make_packets(struct made *made, size_t count, uint64_t seed)
{
	size_t at = 0;

	made->count = count;
	for (size_t i = 0; i < sizeof(made->bytes); i++)
		made->bytes[i] = (unsigned char)scratch_random(&seed);
	for (size_t i = 0; i < count; i++) {
		size_t size = 1 + scratch_random(&seed) % 900;
		size_t shown = i % 3 == 1 ? i + 1 : i % 3 == 2 ? i - 1 : i;

		made->packets[i] = (struct fsmeta_packet){
		    .time_us = base_us + (int64_t)shown * 40000,
		    .flags = FSMETA_PACKET_ANNEX_B | (i % 12 == 0 ? FSMETA_PACKET_KEY : 0),
		    .bytes = made->bytes + at,
		    .size = size,
		};
		at += size + (i % 5 == 0);
	}
}

static struct fsmeta_track_writer *create(uint64_t reserve)
{
	struct fsmeta_track_writer *writer;
	struct fsmeta_error error = {0};

	unlink(scratch_path("i"));
	unlink(scratch_path("p"));
	assert_ok(fsmeta_track_create(
		      &writer, scratch_path("i"), scratch_path("p"), &video, reserve, &error),
	    &error);
	return writer;
}

static void append_some(struct fsmeta_track_writer *writer, const struct made *made, size_t from,
    size_t to, uint64_t seed)
{
	struct fsmeta_error error = {0};

	while (from < to) {
		size_t count = 1 + scratch_random(&seed) % 7;

		count = count > to - from ? to - from : count;
		assert_ok(fsmeta_track_append(writer, made->packets + from, count, &error), &error);
		from += count;
	}
}

/** The track serves exactly the first `count` packets. */
static void assert_serves(const struct fsmeta_track *track, const struct made *made, size_t count)
{
	struct fsmeta_buffer bytes = {0};
	struct fsmeta_error error = {0};

	assert_int_equal(count, track->count);
	for (uint32_t i = 0; i < count; i++) {
		const struct fsmeta_packet *packet = &made->packets[i];

		fsmeta_buffer_clear(&bytes);
		assert_ok(fsmeta_track_read(track, i, i + 1, &bytes, &error), &error);
		assert_int_equal(packet->size, bytes.length);
		assert_memory_equal(packet->bytes, bytes.data, bytes.length);
		assert_int_equal(packet->flags, fsmeta_word_flags(track->words[i]));
		assert_in_range(packet->time_us - fsmeta_track_time_us(track, i) + 244, 0, 488);
	}
	fsmeta_buffer_release(&bytes);
}

static void open_track(struct fsmeta_track *track)
{
	struct fsmeta_error error = {0};

	assert_ok(fsmeta_track_open(track, scratch_path("i"), scratch_path("p"), &error), &error);
}

static void test_words(void **state)
{
	uint64_t seed = 7;

	(void)state;
	for (uint32_t ticks = 0; ticks <= FSMETA_WORD_TICKS_MAX; ticks += 1 + ticks % 13) {
		uint32_t again,
		    location = (uint32_t)scratch_random(&seed) & FSMETA_WORD_LOCATION_MAX;
		uint64_t word = fsmeta_word_pack(ticks, location, ticks % 4096);

		assert_true(fsmeta_ticks_from_us(&again, fsmeta_ticks_to_us(ticks)));
		assert_int_equal(ticks, again);
		assert_int_equal(ticks, fsmeta_word_ticks(word));
		assert_int_equal(location, fsmeta_word_location(word));
		assert_int_equal(ticks % 4096, fsmeta_word_flags(word));
	}
	assert_false(fsmeta_ticks_from_us(&(uint32_t){0}, -1));
	assert_false(fsmeta_ticks_from_us(&(uint32_t){0}, INT64_C(1024) * SECOND));
	assert_true(fsmeta_ticks_from_us(&(uint32_t){0}, INT64_C(1024) * SECOND - 1));
	assert_true(fsmeta_word_pack(1, 2, 3) == (UINT64_C(1) << 42 | 2 << 12 | 3));
}

static void test_round_trip(void **state)
{
	static struct made made;
	struct fsmeta_track track;
	struct fsmeta_error error = {0};
	int64_t start, end;

	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		size_t count = (size_t)(scratch_random(&(uint64_t){seed * 77}) % PACKETS_MAX);
		struct fsmeta_track_writer *writer = create(0);

		make_packets(&made, count, seed);
		append_some(writer, &made, 0, count, seed);
		/* Readable while it grows … */
		open_track(&track);
		assert_false(track.is_sealed);
		assert_serves(&track, &made, count);
		fsmeta_track_release(&track);
		/* … and when it is sealed. */
		assert_ok(fsmeta_track_close(writer, &error), &error);
		open_track(&track);
		assert_true(track.is_sealed);
		assert_int_equal(0, track.trailing_bytes);
		assert_int_equal(32 + (count + 1) * 8, track.index_bytes);
		assert_int_equal(1920, track.format.width);
		assert_int_equal(1080, track.format.height);
		assert_true(track.format.base_us == base_us);
		assert_serves(&track, &made, count);
		fsmeta_track_extent(&track, &start, &end);
		assert_true(start == base_us);
		fsmeta_track_release(&track);
		assert_code(
		    0, fsmeta_track_recover(scratch_path("i"), scratch_path("p"), &error), &error);
	}
}

static void write_bytes(const char *name, size_t size)
{
	static const unsigned char zeros[64];
	int fd = open(scratch_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(size, write(fd, zeros, size));
	close(fd);
}

/** A crash right after the files were made: nothing was in them, and nothing stays. */
static void test_stillborn(void **state)
{
	struct fsmeta_track_writer *writer;
	struct fsmeta_error error = {0};

	(void)state;
	for (int with_packets = 0; with_packets < 2; with_packets++) {
		unlink(scratch_path("p"));
		write_bytes("i", with_packets ? 31 : 0);
		if (with_packets)
			write_bytes("p", 0);
		assert_true(fsmeta_track_is_stillborn(scratch_path("i"), scratch_path("p")));
		assert_code(
		    1, fsmeta_track_recover(scratch_path("i"), scratch_path("p"), &error), &error);
		assert_int_equal(-1, access(scratch_path("i"), F_OK));
		assert_int_equal(-1, access(scratch_path("p"), F_OK));
	}
	/* Packets that are there are somebody's, and a header says that it was begun. */
	write_bytes("i", 8);
	write_bytes("p", 1);
	assert_false(fsmeta_track_is_stillborn(scratch_path("i"), scratch_path("p")));
	assert_code(FSMETA_E_FOREIGN,
	    fsmeta_track_recover(scratch_path("i"), scratch_path("p"), &error), &error);
	assert_int_equal(0, access(scratch_path("i"), F_OK));
	writer = create(0);
	assert_false(fsmeta_track_is_stillborn(scratch_path("i"), scratch_path("p")));
	assert_code(FSMETA_E_BUSY,
	    fsmeta_track_recover(scratch_path("i"), scratch_path("p"), &error), &error);
	assert_ok(fsmeta_track_close(writer, &error), &error);
}

/** The bytes of the header and of the words, written down by hand. */
static void test_golden_bytes(void **state)
{
	static const unsigned char wanted[] = {'r', 'f', '1', 'v', 'h', '2', '6', '4', 1, 0, 0, 0,
	    /* 270 degrees and mirrored, limited, BT.2020, PQ */ 0x0f, 9, 16, 9, 0x40, 0x42, 0x0f,
	    0, 0, 0, 0, 0, 2, 0, 0x80, 0x07, 0x38, 0x04, 0, 0,
	    /* 0 s, at 0, key and Annex B */ 5, 0, 0, 0, 0, 0, 0, 0,
	    /* 1 s = tick 4096, at 3 */ 4, 0x30, 0, 0, 0, 0, 0x40, 0,
	    /* sentinel: the same time, at 5 */ 0, 0x50, 0, 0, 0, 0, 0x40, 0};
	struct fsmeta_track_format format = video;
	struct fsmeta_packet packets[] = {
	    {.time_us = SECOND, .flags = 5, .bytes = "abc", .size = 3},
	    {.time_us = 2 * SECOND, .flags = 4, .bytes = "de", .size = 2},
	};
	struct fsmeta_track_writer *writer;
	struct fsmeta_track track;
	struct fsmeta_buffer bytes = {0};
	struct fsmeta_error error = {0};

	(void)state;
	format.base_us = SECOND;
	format.look = (struct fsmeta_look){.quarters = 3,
	    .mirrored = 1,
	    .range = FSMETA_LOOK_RANGE_LIMITED,
	    .primaries = 9,
	    .transfer = 16,
	    .matrix = 9};
	unlink(scratch_path("i"));
	unlink(scratch_path("p"));
	assert_ok(
	    fsmeta_track_create(&writer, scratch_path("i"), scratch_path("p"), &format, 0, &error),
	    &error);
	assert_ok(fsmeta_track_append(writer, packets, 2, &error), &error);
	assert_ok(fsmeta_track_close(writer, &error), &error);
	assert_ok(fsmeta_read_file_at(&bytes, AT_FDCWD, scratch_path("i"), 4096, &error), &error);
	assert_int_equal(sizeof(wanted), bytes.length);
	assert_memory_equal(wanted, bytes.data, sizeof(wanted));
	fsmeta_buffer_release(&bytes);
	open_track(&track);
	assert_true(fsmeta_look_is_same(&format.look, &track.format.look));
	fsmeta_track_release(&track);
}

static void test_hdr(void **state)
{
	const struct fsmeta_hdr hdr = {
	    .points = {{34000, 16000}, {13250, 34500}, {7500, 3000}, {15635, 16450}},
	    .max_luminance = 10000000,
	    .min_luminance = 50,
	    .max_light = 1000,
	    .max_average_light = 400};
	static const unsigned char wanted[FSMETA_HDR_BYTES] = {0xd0, 0x84, 0x80, 0x3e, 0xc2, 0x33,
	    0xc4, 0x86, 0x4c, 0x1d, 0xb8, 0x0b, 0x13, 0x3d, 0x42, 0x40, 0x80, 0x96, 0x98, 0, 50, 0,
	    0, 0, 0xe8, 3, 0x90, 1};
	unsigned char bytes[FSMETA_HDR_BYTES];
	struct fsmeta_hdr again;

	(void)state;
	fsmeta_hdr_put(bytes, &hdr);
	assert_memory_equal(wanted, bytes, sizeof(wanted));
	again = fsmeta_hdr_get(bytes, sizeof(bytes));
	assert_memory_equal(&hdr, &again, sizeof(hdr));
	again = fsmeta_hdr_get(bytes, sizeof(bytes) - 1);
	assert_false(fsmeta_hdr_has_display(&again) || fsmeta_hdr_has_light(&again));
}

/** What is whole of the first `limit` packets in a frame file of `size` bytes. */
static size_t naive_whole(const struct made *made, size_t limit, uint64_t size)
{
	uint64_t end = 0;
	size_t i = 0;

	while (i < limit && end + made->packets[i].size <= size)
		end += made->packets[i++].size;
	return i;
}

/** Sealed before the cut, it stays as it is: what is missing only the index tells. */
static void recover_and_assert(const struct made *made, size_t count, bool sealed)
{
	struct fsmeta_track track;
	struct fsmeta_error error = {0};
	struct stat before[2], after[2];

	assert_int_equal(0, stat(scratch_path("i"), &before[0]));
	assert_int_equal(0, stat(scratch_path("p"), &before[1]));
	assert_code(
	    !sealed, fsmeta_track_recover(scratch_path("i"), scratch_path("p"), &error), &error);
	open_track(&track);
	assert_int_equal(!sealed, track.is_sealed);
	assert_int_equal(sealed, track.lost_packets > 0);
	if (!sealed)
		assert_int_equal(0, track.trailing_bytes);
	assert_serves(&track, made, count);
	fsmeta_track_release(&track);
	assert_int_equal(0, stat(scratch_path("i"), &after[0]));
	assert_int_equal(0, stat(scratch_path("p"), &after[1]));
	for (int i = 0; i < 2 && sealed; i++)
		assert_int_equal(before[i].st_size, after[i].st_size);
}

/** Every length that an index can be cut to, sealed or not, and every one of a frame file. */
static void test_cut_everywhere(void **state)
{
	static struct made made;
	enum {
		COUNT = 20
	};
	struct fsmeta_track track;
	struct fsmeta_error error = {0};
	struct stat index, packets;

	(void)state;
	make_packets(&made, COUNT, 5);
	for (int sealed = 0; sealed < 2; sealed++) {
		for (off_t cut = 0; cut < 32 + (COUNT + 1) * 8; cut++) {
			struct fsmeta_track_writer *writer = create(0);

			append_some(writer, &made, 0, COUNT, (uint64_t)cut + 1);
			if (sealed)
				assert_ok(fsmeta_track_close(writer, &error), &error);
			else
				fsmeta_track_abandon(writer);
			assert_int_equal(0, truncate(scratch_path("i"), cut));
			if (cut < 32) {
				assert_code(FSMETA_E_FOREIGN,
				    fsmeta_track_open(
					&track, scratch_path("i"), scratch_path("p"), &error),
				    &error);
				continue;
			}
			open_track(&track);
			assert_false(track.is_sealed);
			size_t words = (size_t)(cut - 32) / 8;
			assert_serves(&track, &made, words ? words - 1 : 0);
			fsmeta_track_release(&track);
			recover_and_assert(&made, words ? words - 1 : 0, sealed);
		}
		struct fsmeta_track_writer *writer = create(0);
		append_some(writer, &made, 0, COUNT, 3);
		if (sealed)
			assert_ok(fsmeta_track_close(writer, &error), &error);
		else
			fsmeta_track_abandon(writer);
		assert_int_equal(0, stat(scratch_path("p"), &packets));
		for (off_t cut = packets.st_size - 1; cut >= 0; cut -= 1 + cut % 7) {
			assert_int_equal(0, truncate(scratch_path("p"), cut));
			open_track(&track);
			assert_false(track.is_sealed);
			assert_serves(&track, &made, naive_whole(&made, COUNT, (uint64_t)cut));
			assert_int_equal(COUNT - track.count, track.lost_packets);
			fsmeta_track_release(&track);
		}
		assert_int_equal(0, stat(scratch_path("i"), &index));
	}
}

/** An index that somebody blew up with zeros, and packets whose words were never written. */
static void test_padding(void **state)
{
	static struct made made;
	struct fsmeta_track_writer *writer = create(0);
	struct fsmeta_track track;
	int fd;

	(void)state;
	make_packets(&made, 30, 9);
	append_some(writer, &made, 0, 30, 1);
	fsmeta_track_abandon(writer);
	assert_int_equal(0, truncate(scratch_path("i"), 32 + 65536 * 8));
	fd = open(scratch_path("p"), O_WRONLY | O_APPEND);
	assert_int_equal(100, write(fd, made.bytes, 100));
	close(fd);
	open_track(&track);
	assert_false(track.is_sealed);
	assert_int_equal(100, track.trailing_bytes);
	assert_int_equal(0, track.lost_packets);
	assert_serves(&track, &made, 30);
	fsmeta_track_release(&track);
	recover_and_assert(&made, 30, false);
}

static void test_killed_writers(void **state)
{
	static struct made made;
	uint64_t seed = 99;

	(void)state;
	make_packets(&made, PACKETS_MAX, 3);
	for (int round = 0; round < 40; round++) {
		struct fsmeta_track track;
		int acknowledged[2];
		uint32_t told = 0, count;
		int status;

		unlink(scratch_path("i"));
		unlink(scratch_path("p"));
		assert_int_equal(0, pipe(acknowledged));
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			struct fsmeta_track_writer *writer;

			if (fsmeta_track_create(&writer, scratch_path("i"), scratch_path("p"),
				&video, 1 << 16, NULL))
				_exit(1);
			for (uint32_t i = 0; i < PACKETS_MAX; i++) {
				if (fsmeta_track_append(writer, &made.packets[i], 1, NULL))
					_exit(1);
				count = i + 1;
				if (write(acknowledged[1], &count, sizeof(count)) < 0)
					_exit(1);
			}
			pause();
			_exit(1);
		}
		close(acknowledged[1]);
		usleep((useconds_t)(scratch_random(&seed) % 12000));
		kill(child, SIGKILL);
		assert_int_equal(child, waitpid(child, &status, 0));
		assert_true(WIFSIGNALED(status));
		while (read(acknowledged[0], &count, sizeof(count)) == sizeof(count))
			told = count;
		close(acknowledged[0]);
		if (!told)
			continue;
		open_track(&track);
		assert_in_range(track.count, told, told + 1);
		assert_serves(&track, &made, track.count);
		count = track.count;
		fsmeta_track_release(&track);
		recover_and_assert(&made, count, false);
	}
}

/** A file system that takes no more: nothing of the append, and the next one goes on. */
static void test_full_disk(void **state)
{
	static struct made made;
	struct rlimit old, small;
	struct fsmeta_track_writer *writer = create(0);
	struct fsmeta_track track;
	struct fsmeta_error error = {0};
	uint32_t count;
	uint64_t bytes;
	int64_t end;

	(void)state;
	make_packets(&made, 100, 21);
	append_some(writer, &made, 0, 50, 1);
	fsmeta_track_written(writer, &count, &bytes, &end);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = bytes + made.packets[50].size + 10;
	setrlimit(RLIMIT_FSIZE, &small);
	int code = fsmeta_track_append(writer, made.packets + 50, 20, &error);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_code(FSMETA_E_SYSTEM, code, &error);
	assert_int_equal(EFBIG, error.system_errno);
	open_track(&track);
	assert_serves(&track, &made, 50);
	fsmeta_track_release(&track);
	append_some(writer, &made, 50, 100, 2);
	assert_ok(fsmeta_track_close(writer, &error), &error);
	open_track(&track);
	assert_true(track.is_sealed);
	assert_serves(&track, &made, 100);
	fsmeta_track_release(&track);
}

static void test_limits(void **state)
{
	struct fsmeta_track_writer *writer = create(0);
	struct fsmeta_packet packet = {.time_us = base_us, .bytes = "x", .size = 1, .flags = 4};
	struct fsmeta_packet *many = calloc(4096, sizeof(*many));
	struct fsmeta_error error = {0};
	struct fsmeta_track track;

	(void)state;
	packet.time_us = base_us - 1;
	assert_code(FSMETA_E_LIMIT, fsmeta_track_append(writer, &packet, 1, &error), &error);
	packet.time_us = base_us + INT64_C(1024) * SECOND;
	assert_code(FSMETA_E_LIMIT, fsmeta_track_append(writer, &packet, 1, &error), &error);
	packet.time_us = INT64_MIN;
	assert_code(FSMETA_E_LIMIT, fsmeta_track_append(writer, &packet, 1, &error), &error);
	packet.time_us = base_us + INT64_C(1024) * SECOND - 1;
	packet.size = (size_t)1 << 30;
	assert_code(FSMETA_E_LIMIT, fsmeta_track_append(writer, &packet, 1, &error), &error);
	packet.size = 0;
	assert_code(FSMETA_E_USAGE, fsmeta_track_append(writer, &packet, 1, &error), &error);
	packet.size = 1;
	packet.flags = 4096;
	assert_code(FSMETA_E_USAGE, fsmeta_track_append(writer, &packet, 1, &error), &error);
	assert_true(fsmeta_track_has_room(writer, base_us, (1 << 30) - 1, 65535));
	assert_false(fsmeta_track_has_room(writer, base_us, 1 << 30, 1));
	assert_false(fsmeta_track_has_room(writer, base_us, 1, 65536));
	packet.flags = 4;
	for (int i = 0; i < 4096; i++)
		many[i] = packet;
	for (int i = 0; i < 15; i++)
		assert_ok(fsmeta_track_append(writer, many, 4096, &error), &error);
	assert_code(FSMETA_E_LIMIT, fsmeta_track_append(writer, many, 4096, &error), &error);
	assert_ok(fsmeta_track_append(writer, many, 4095, &error), &error);
	assert_code(FSMETA_E_LIMIT, fsmeta_track_append(writer, many, 1, &error), &error);
	assert_ok(fsmeta_track_close(writer, &error), &error);
	open_track(&track);
	assert_true(track.is_sealed);
	assert_int_equal(65535, track.count);
	fsmeta_track_release(&track);
	free(many);
}

/** A frame file that is full to the last byte, without writing a GiB: holes do. */
static void test_largest_location(void **state)
{
	static unsigned char index[32 + 3 * 8] = "rf1vh265";
	struct fsmeta_track track;
	struct fsmeta_error error = {0};
	uint64_t words[3] = {5, fsmeta_word_pack(FSMETA_WORD_TICKS_MAX, (1 << 30) - 2, 4),
	    fsmeta_word_pack(FSMETA_WORD_TICKS_MAX, (1 << 30) - 1, 0)};

	(void)state;
	index[24] = 2;
	memcpy(index + 32, words, sizeof(words));
	assert_ok(
	    fsmeta_track_parse(&track, index, sizeof(index), (1 << 30) - 1, "x", &error), &error);
	assert_int_equal(2, track.count);
	assert_true(track.is_sealed);
	assert_int_equal(1, fsmeta_track_size(&track, 1));
	fsmeta_track_release(&track);
	assert_ok(
	    fsmeta_track_parse(&track, index, sizeof(index), (1 << 30) - 2, "x", &error), &error);
	assert_int_equal(1, track.count);
	fsmeta_track_release(&track);
}

static void test_hostile(void **state)
{
	static struct made made;
	struct fsmeta_buffer good = {0};
	struct fsmeta_track_writer *writer = create(0);
	struct fsmeta_error error = {0};
	struct fsmeta_track track;
	uint64_t seed = 1234;

	(void)state;
	make_packets(&made, 60, 2);
	append_some(writer, &made, 0, 60, 4);
	assert_ok(fsmeta_track_close(writer, &error), &error);
	assert_ok(fsmeta_read_file_at(&good, AT_FDCWD, scratch_path("i"), 4096, &error), &error);
	for (int round = 0; round < 20000; round++) {
		unsigned char *bad = malloc(good.length);
		size_t size =
		    scratch_random(&seed) % 4 ? good.length : scratch_random(&seed) % good.length;
		uint64_t frame_bytes = scratch_random(&seed) % 40000;

		memcpy(bad, good.data, good.length);
		for (uint64_t n = scratch_random(&seed) % 6; n; n--)
			bad[scratch_random(&seed) % good.length] ^=
			    (unsigned char)(1 << scratch_random(&seed) % 8);
		if (fsmeta_track_parse(&track, bad, size, frame_bytes, "bad", &error) == 0) {
			uint32_t first, last;
			uint64_t end = 0;

			assert_true(track.count <= 60);
			for (uint32_t i = 0; i < track.count; i++) {
				assert_true(fsmeta_track_size(&track, i) > 0);
				end += fsmeta_track_size(&track, i);
			}
			assert_true(end <= frame_bytes);
			fsmeta_track_window(&track, INT64_MIN, INT64_MAX, true, &first, &last);
			assert_true(first <= last && last <= track.count);
			fsmeta_track_release(&track);
		}
		free(bad);
	}
	fsmeta_buffer_release(&good);
}

static void test_wrong_formats(void **state)
{
	static const struct fsmeta_track_format wrong[] = {
	    {.codec = "H264", .width = 1, .height = 1},
	    {.codec = "h26", .width = 1, .height = 1},
	    {.codec = "h264", .height = 1},
	    {.codec = "h264", .width = 1, .height = 1, .base_us = -1},
	};
	struct fsmeta_track_writer *writer;
	struct fsmeta_error error = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_code(FSMETA_E_USAGE,
		    fsmeta_track_create(
			&writer, scratch_path("no"), scratch_path("nop"), &wrong[i], 0, &error),
		    &error);
	assert_int_equal(-1, access(scratch_path("no"), F_OK));
	/* Neither file is taken over, and no half pair is left. */
	writer = create(0);
	struct fsmeta_track_writer *second;
	assert_code(FSMETA_E_SYSTEM,
	    fsmeta_track_create(&second, scratch_path("i"), scratch_path("new"), &video, 0, &error),
	    &error);
	assert_int_equal(EEXIST, error.system_errno);
	assert_int_equal(-1, access(scratch_path("new"), F_OK));
	/* What is being written is not for recovery. */
	assert_code(FSMETA_E_BUSY,
	    fsmeta_track_recover(scratch_path("i"), scratch_path("p"), &error), &error);
	assert_ok(fsmeta_track_close(writer, &error), &error);
}

static void test_reserved_space(void **state)
{
	static struct made made;
	struct fsmeta_track_writer *writer;
	struct fsmeta_error error = {0};
	struct stat status;
	char memory[sizeof(scratch_root)];

	(void)state;
	/* On a disk, where space that was laid out is not given back by itself. */
	memcpy(memory, scratch_root, sizeof(memory));
	strcpy(scratch_root, "/var/tmp/fsmeta-track-XXXXXX");
	if (!mkdtemp(scratch_root)) {
		memcpy(scratch_root, memory, sizeof(memory));
		print_message("no place on a disk here\n");
		return;
	}
	writer = create(8 << 20);
	make_packets(&made, 100, 2);
	append_some(writer, &made, 0, 100, 4);
	assert_int_equal(0, stat(scratch_path("p"), &status));
	off_t size = status.st_size;
	if (status.st_blocks * 512 >= 8 << 20) {
		/* Behind the end, so that the size still says what was written. */
		assert_true(size < 1 << 20);
	} else {
		print_message("no fallocate here\n");
	}
	assert_ok(fsmeta_track_sync(writer, &error), &error);
	assert_ok(fsmeta_track_close(writer, &error), &error);
	assert_int_equal(0, stat(scratch_path("p"), &status));
	assert_int_equal(size, status.st_size);
	assert_true(status.st_blocks * 512 < size + 65536);
	assert_int_equal(0, stat(scratch_path("i"), &status));
	assert_true(status.st_blocks * 512 < 65536);
	scratch_remove(NULL);
	memcpy(scratch_root, memory, sizeof(memory));
}

/** Against a loop that says what a window is. */
static void test_windows(void **state)
{
	static struct made made;
	struct fsmeta_track_writer *writer = create(0);
	struct fsmeta_error error = {0};
	struct fsmeta_track track;
	uint64_t seed = 4;

	(void)state;
	make_packets(&made, 300, 2);
	made.packets[143].flags |= FSMETA_PACKET_ESSENTIAL;
	append_some(writer, &made, 0, 300, 4);
	assert_ok(fsmeta_track_close(writer, &error), &error);
	open_track(&track);
	for (int round = 0; round < 3000; round++) {
		int64_t from = base_us - SECOND + (int64_t)(scratch_random(&seed) % (14 * SECOND));
		int64_t to = from + (int64_t)(scratch_random(&seed) % (2 * SECOND));
		uint32_t first, last, low = UINT32_MAX, high = 0;

		for (uint32_t i = 0; i < 300; i++) {
			int64_t time = fsmeta_track_time_us(&track, i);

			if (time >= from && time < to) {
				low = i < low ? i : low;
				high = i + 1;
			}
		}
		fsmeta_track_window(&track, from, to, false, &first, &last);
		assert_int_equal(high, last);
		assert_int_equal(high ? low : 0, first);
		fsmeta_track_window(&track, from, to, true, &first, &last);
		assert_int_equal(high, last);
		if (!high)
			continue;
		low = low / 12 * 12;
		assert_int_equal(low == 144 ? 143 : low, first);
	}
	fsmeta_track_release(&track);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_words),
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_stillborn),
	    cmocka_unit_test(test_golden_bytes),
	    cmocka_unit_test(test_hdr),
	    cmocka_unit_test(test_cut_everywhere),
	    cmocka_unit_test(test_padding),
	    cmocka_unit_test(test_killed_writers),
	    cmocka_unit_test(test_full_disk),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_largest_location),
	    cmocka_unit_test(test_hostile),
	    cmocka_unit_test(test_wrong_formats),
	    cmocka_unit_test(test_reserved_space),
	    cmocka_unit_test(test_windows),
	};

	return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
