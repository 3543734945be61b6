/*
 * Not a test: writers that tests/oracle/test_archive_kill.py kills, and what reads behind them.
 *
 *     test_archive_writer STORE write ROOT FIRST     writes packets FIRST, FIRST + 1, … for ever,
 * and says on stdout which are acknowledged test_archive_writer STORE read ROOT            says
 * which packets are served, whole; exits 9 where one is not what was written
 *
 *     test_archive_writer window write|read ROOT     a recording of a minute; three seconds of it
 *
 * STORE is segments, fsv, recordings or frames.  Packet N is made from its number alone.
 */
#include "archive/frame_store.h"
#include "archive/fsv.h"
#include "archive/names.h"
#include "archive/recordings.h"
#include "archive/segments.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	GROUP = 10,
	INTERVAL_US = 40000,
	BODY_MAX_BYTES = 6000,
	PACKET_MAX_BYTES = BODY_MAX_BYTES + 64,
	/** Packets between two acknowledgements, where a flush is one. */
	FLUSH_EVERY = 25,
	RECORDING_CHUNKS = 170,
	FRAME_BYTES = 3000,
};

static const int64_t start_us = INT64_C(1700000000000000);
static _Thread_local struct fsmeta_error error;

static void check(int code)
{
	if (code >= 0)
		return;
	fprintf(stderr, "%s: %s: %s\n", error.path, error.action, error.reason);
	exit(3);
}

/** One line, at once. */
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	char line[64];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (write(1, line, (size_t)length) != length)
		exit(3);
}

/** SPS and PPS in front of every tenth, an IDR slice; else another slice.  Returns its size. */
static size_t make_packet(unsigned char *out, uint64_t n)
{
	static const unsigned char sets[] = {
	    0, 0, 0, 1, 0x67, 0x64, 0, 0x14, 0xac, 0, 0, 0, 1, 0x68, 0xee, 0x3c, 0xb0};
	static const unsigned char key[] = {0, 0, 0, 1, 0x65, 0x88};
	static const unsigned char delta[] = {0, 0, 0, 1, 0x41, 0x9a};
	size_t size = 0, body = 20 + n * 7919 % BODY_MAX_BYTES;

	if (n % GROUP == 0) {
		memcpy(out, sets, sizeof(sets));
		size = sizeof(sets);
	}
	memcpy(out + size, n % GROUP == 0 ? key : delta, sizeof(key));
	size += sizeof(key);
	size += (size_t)sprintf((char *)out + size, "%010llu", (unsigned long long)n);
	/* Never 0, so that no start code comes about. */
	for (size_t i = 0; i < body; i++)
		out[size++] = (unsigned char)(1 + (n * 31 + i * 7) % 250);
	return size;
}

/** Says which one it is; exits where it is none, or not whole. */
static void take_packet(const void *bytes, size_t size)
{
	unsigned char wanted[PACKET_MAX_BYTES];
	size_t at = size > 5 && ((const unsigned char *)bytes)[4] == 0x67 ? 23 : 6;
	unsigned long long n;

	if (size < at + 10 || sscanf((const char *)bytes + at, "%10llu", &n) != 1 ||
	    make_packet(wanted, n) != size || memcmp(wanted, bytes, size) != 0) {
		fprintf(stderr, "a packet of %zu bytes is not what was written\n", size);
		exit(9);
	}
	printf("%llu\n", n);
}

static struct fsmeta_packet packet_of(unsigned char *bytes, uint64_t n)
{
	size_t size = make_packet(bytes, n);

	return (struct fsmeta_packet){
	    .time_us = start_us + (int64_t)n * INTERVAL_US,
	    .flags = FSMETA_PACKET_ANNEX_B | (n % GROUP == 0 ? FSMETA_PACKET_KEY : 0),
	    .bytes = bytes,
	    .size = size,
	};
}

/* ---- segments: what was appended is acknowledged ---- */

static int take_segment_packet(void *payload, const struct fsmeta_segment *segment,
    const struct fsmeta_packet *packet, struct fsmeta_error *ignored)
{
	(void)payload;
	(void)segment;
	(void)ignored;
	take_packet(packet->bytes, packet->size);
	return 0;
}

static void write_segments(const char *root, uint64_t n)
{
	const struct fsmeta_segments_options options = {.target_us = 3000000};
	const struct fsmeta_segment_format format = {
	    .codec = {'h', '2', '6', '4'}, .width = 640, .height = 480};
	unsigned char bytes[PACKET_MAX_BYTES];
	struct fsmeta_segments *segments;

	check(fsmeta_segments_open(&segments, root, true, &options, &error));
	check(fsmeta_segments_reconcile(segments, NULL, &error));
	for (;; n++) {
		struct fsmeta_packet packet = packet_of(bytes, n);

		check(fsmeta_segments_append(segments, "cam", &format, &packet, &error));
		say("%llu\n", (unsigned long long)n);
	}
}

static void read_segments(const char *root)
{
	struct fsmeta_segments *segments;

	check(fsmeta_segments_open(&segments, root, false, NULL, &error));
	check(fsmeta_segments_read(
	    segments, "cam", 0, INT64_MAX / 2, NULL, take_segment_packet, &error, NULL));
	check(fsmeta_segments_close(segments, &error));
}

/* ---- FSV: what was flushed is acknowledged ---- */

static int take_fsv_packet(void *payload, const struct fsmeta_track_format *format,
    const struct fsmeta_packet *packet, struct fsmeta_error *ignored)
{
	(void)payload;
	(void)format;
	(void)ignored;
	take_packet(packet->bytes, packet->size);
	return 0;
}

static void write_fsv(const char *root, uint64_t n)
{
	const struct fsmeta_fsv_options options = {
	    .writable = true, .file_us = 3000000, .buffer_bytes = 50000, .buffer_us = 20000};
	const struct fsmeta_track_format format = {
	    .codec = {'h', '2', '6', '4'}, .width = 640, .height = 480};
	unsigned char bytes[PACKET_MAX_BYTES];
	struct fsmeta_fsv *fsv;

	check(fsmeta_fsv_open(&fsv, root, &options, &error));
	for (;; n++) {
		struct fsmeta_packet packet = packet_of(bytes, n);

		check(fsmeta_fsv_write(fsv, "cam", "video", &format, &packet, 1, &error));
		if (n % FLUSH_EVERY)
			continue;
		check(fsmeta_fsv_flush(fsv, NULL, false, &error));
		say("%llu\n", (unsigned long long)n);
	}
}

static void read_fsv(const char *root)
{
	struct fsmeta_fsv *fsv;

	check(fsmeta_fsv_open(&fsv, root, NULL, &error));
	check(
	    fsmeta_fsv_read(fsv, "cam", "video", 0, INT64_MAX / 2, take_fsv_packet, &error, NULL));
	check(fsmeta_fsv_close(fsv, &error));
}

/* ---- recordings: likewise; a new one after some chunks ---- */

static void write_recordings(const char *root, uint64_t n)
{
	const struct fsmeta_recording_format format = {
	    .codec = "h264", .width = 640, .height = 480, .framerate_millihertz = 25000};
	const struct fsmeta_recording_options options = {.flush_chunks = INT32_MAX};
	unsigned char bytes[PACKET_MAX_BYTES];

	for (;;) {
		struct fsmeta_recording_writer *writer;
		char id[32];

		snprintf(id, sizeof(id), "%010llu", (unsigned long long)n);
		check(fsmeta_recording_init(&writer, root, id, &format, &options, &error));
		for (int i = 0; i < RECORDING_CHUNKS; i++, n++) {
			size_t size = make_packet(bytes, n);

			check(fsmeta_recording_append(
			    writer, (int64_t)i * INTERVAL_US, n % GROUP == 0, bytes, size, &error));
			if (n % FLUSH_EVERY)
				continue;
			check(fsmeta_recording_flush(writer, &error));
			say("%llu\n", (unsigned long long)n);
		}
		check(fsmeta_recording_finalize(writer, &error));
		say("%llu\n", (unsigned long long)n - 1);
	}
}

static void read_recording(const char *root, const char *id)
{
	struct fsmeta_recording recording;
	struct fsmeta_buffer bytes = {0};

	check(fsmeta_recording_open(&recording, root, id, &error));
	for (uint64_t i = 0; i < recording.count; i++) {
		fsmeta_buffer_clear(&bytes);
		check(fsmeta_recording_read(&recording, i, i + 1, &bytes, &error));
		take_packet(bytes.data, bytes.length);
	}
	fsmeta_buffer_release(&bytes);
	fsmeta_recording_release(&recording);
}

static void read_recordings(const char *root)
{
	struct fsmeta_names names;

	check(fsmeta_names_list(&names, root, &error));
	for (size_t i = 0; i < names.count; i++)
		if (strncmp(names.items[i], "rec_", 4) == 0)
			read_recording(root, names.items[i] + 4);
	fsmeta_names_release(&names);
}

/* ---- frames: a producer, and a worker behind it ---- */

static struct fsmeta_frame_store *store;

static void fill_frame(unsigned char *out, uint64_t n)
{
	for (size_t i = 0; i < FRAME_BYTES; i++)
		out[i] = (unsigned char)(n * 13 + i);
}

/** A task depends on frame N; its payload says N. */
static void do_task(const struct fsmeta_claimed_task *task)
{
	unsigned char wanted[FRAME_BYTES];
	unsigned long long n = strtoull(task->payload, NULL, 10);
	bool is_second = strcmp(task->kind, "second") == 0;
	struct fsmeta_frame frame;
	const char *frames[1];
	struct fsmeta_task next = {.kind = "second", .payload = task->payload, .frames = frames};
	char ref[FSMETA_PAYLOAD_REF_BYTES];

	check(fsmeta_payload_ref_format(ref, "video", n, &error));
	check(fsmeta_frame_store_load(store, ref, &frame, &error));
	fill_frame(wanted, n);
	if (frame.array.data_bytes != FRAME_BYTES || memcmp(frame.data, wanted, FRAME_BYTES) != 0)
		exit(9);
	fsmeta_frame_release(&frame);
	frames[0] = ref;
	next.frame_count = 1;
	/* Every third has another one behind it. */
	check(fsmeta_frame_store_finish(
	    store, task->id, &next, !is_second && n % 3 == 0, NULL, &error));
	say("%s %llu\n", is_second || n % 3 ? "done" : "half", n);
}

static void *work(void *payload)
{
	(void)payload;
	for (;;) {
		struct fsmeta_claimed_task task;
		int got = fsmeta_frame_store_claim(store, &task, &error);

		check(got);
		if (got > 0) {
			do_task(&task);
			fsmeta_claimed_task_release(&task);
		} else {
			usleep(200);
		}
	}
	return NULL;
}

static void write_frames(const char *root, uint64_t n)
{
	/* A worker that was killed is not waited for. */
	const struct fsmeta_frame_store_options options = {.lease_us = 1};
	const struct fsmeta_npy array = {.descr = "|u1", .dimensions = 1, .shape = {FRAME_BYTES}};
	unsigned char bytes[FRAME_BYTES];
	char ref[FSMETA_PAYLOAD_REF_BYTES];
	const char *frames[] = {ref};
	pthread_t worker;

	check(fsmeta_frame_store_open(&store, root, &options, &error));
	if (pthread_create(&worker, NULL, work, NULL))
		exit(3);
	for (;; n++) {
		char payload[32];
		struct fsmeta_task task = {
		    .kind = "first", .payload = payload, .frames = frames, .frame_count = 1};

		snprintf(payload, sizeof(payload), "%llu", (unsigned long long)n);
		fill_frame(bytes, n);
		check(fsmeta_frame_store_save(
		    store, "video", n, &array, bytes, sizeof(bytes), ref, &error));
		check(fsmeta_frame_store_add_task(store, &task, &error));
		say("added %llu\n", (unsigned long long)n);
	}
}

/** Cleans up as a start does, and lets every frame be old. */
static void read_frames(const char *root)
{
	const struct fsmeta_frame_store_options options = {.orphan_us = 1};
	struct fsmeta_frame_store_swept swept;

	usleep(1000);
	check(fsmeta_frame_store_open(&store, root, &options, &error));
	check(fsmeta_frame_store_sweep(store, &swept, &error));
	fsmeta_frame_store_close(store);
	printf(
	    "%llu %llu\n", (unsigned long long)swept.finished, (unsigned long long)swept.orphans);
}

/* ---- a window: three seconds out of a minute ---- */

static void write_window(const char *root)
{
	const struct fsmeta_recording_format format = {
	    .codec = "h264", .width = 640, .height = 480};
	unsigned char bytes[PACKET_MAX_BYTES];
	struct fsmeta_recording_writer *writer;

	check(fsmeta_recording_init(&writer, root, "window", &format, NULL, &error));
	for (uint64_t n = 0; n < 1500; n++)
		check(fsmeta_recording_append(writer, (int64_t)n * INTERVAL_US, n % GROUP == 0,
		    bytes, make_packet(bytes, n), &error));
	check(fsmeta_recording_finalize(writer, &error));
}

static void read_window(const char *root)
{
	struct fsmeta_recording recording;
	struct fsmeta_buffer bytes = {0};
	uint64_t first, last;

	check(fsmeta_recording_open(&recording, root, "window", &error));
	check(fsmeta_recording_window(&recording, 30100000, 33100000, &first, &last, &error));
	check(fsmeta_recording_read(&recording, first, last, &bytes, &error));
	printf("%llu %zu\n", (unsigned long long)(last - first), bytes.length);
	fsmeta_buffer_release(&bytes);
	fsmeta_recording_release(&recording);
}

/* ---- */

static const struct {
	const char *name;
	void (*write)(const char *root, uint64_t first);
	void (*read)(const char *root);
} stores[] = {
    {"segments", write_segments, read_segments},
    {"fsv", write_fsv, read_fsv},
    {"recordings", write_recordings, read_recordings},
    {"frames", write_frames, read_frames},
};

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "window") == 0) {
		if (strcmp(argv[2], "write") == 0)
			write_window(argv[3]);
		else
			read_window(argv[3]);
		return 0;
	}
	for (size_t i = 0; i < sizeof(stores) / sizeof(stores[0]); i++) {
		if (argc < 4 || strcmp(stores[i].name, argv[1]) != 0)
			continue;
		if (strcmp(argv[2], "write") == 0 && argc == 5)
			stores[i].write(argv[3], strtoull(argv[4], NULL, 10));
		else if (strcmp(argv[2], "read") == 0)
			stores[i].read(argv[3]);
		else
			return 64;
		return 0;
	}
	return 64;
}
