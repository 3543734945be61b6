/*
 * The stores of archive/ against plain files: ratios of the same machine at the same moment.
 *
 *     archive_stores FOLDER      measures in FOLDER (made, and removed at the end); a line each:
 *
 *     recording   10 hours at 60 frames a second: milliseconds to open, by index.bin and by the
 * lines fsv         32 streams at 30 frames a second written to files, against the same bytes with
 *                 plain buffered write(2); and how long a producer waited at most
 *     frames      save + load + delete of 1 MB, against write, read and unlink of a file
 *     tasks       the dependency check with a million tasks
 */
#include "archive/frame_store.h"
#include "archive/fsv.h"
#include "archive/recording_lines.h"
#include "base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	CHUNKS = 10 * 3600 * 60,
	STREAMS = 32,
	/** 20 s of video in each stream. */
	PICTURES = 600,
	PICTURE_BYTES = 8192,
	FRAME_BYTES = 1 << 20,
	FRAMES = 200,
	TASKS = 1000000,
	ROUNDS = 5,
};

static struct fsmeta_error error;
static char root[256];
static unsigned char bytes[FRAME_BYTES];

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void check(int code)
{
	if (code >= 0)
		return;
	fprintf(stderr, "archive: %s: %s: %s\n", error.path, error.action, error.reason);
	exit(3);
}

static const char *below(const char *name)
{
	static char paths[4][512];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", root, name);
	return path;
}

static int compare(const void *a, const void *b)
{
	const double *one = a, *other = b;

	return (*one > *other) - (*one < *other);
}

static double median(double *values, int count)
{
	qsort(values, (size_t)count, sizeof(*values), compare);
	return values[count / 2];
}

static void measure_recording(void)
{
	const struct fsmeta_recording_format format = {.codec = "vp09", .width = 1, .height = 1};
	double quick[ROUNDS], slow[ROUNDS];
	struct fsmeta_recording_writer *writer;
	struct fsmeta_recording recording;

	check(fsmeta_recording_init(&writer, root, "long", &format, NULL, &error));
	for (int64_t n = 0; n < CHUNKS; n++)
		check(fsmeta_recording_append(writer, n * 16667, n % 120 == 0, bytes, 100, &error));
	check(fsmeta_recording_finalize(writer, &error));
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t first, last;
		double start = now();

		check(fsmeta_recording_open(&recording, root, "long", &error));
		check(fsmeta_recording_window(&recording, INT64_C(18000) * 1000000,
		    INT64_C(18003) * 1000000, &first, &last, &error));
		quick[round] = now() - start;
		if (!recording.is_quick || last - first < 180)
			exit(1);
		fsmeta_recording_release(&recording);
		start = now();
		check(fsmeta_recording_open_lines(&recording, root, "long", &error));
		slow[round] = now() - start;
		fsmeta_recording_release(&recording);
	}
	printf("recording  10 h at 60 fps: open and find 3 s: %.2f ms; by the lines %.0f ms\n",
	    median(quick, ROUNDS) * 1e3, median(slow, ROUNDS) * 1e3);
}

static double write_plain(void)
{
	FILE *files[STREAMS];
	double start = now();

	for (int i = 0; i < STREAMS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "plain%d", i);
		files[i] = fopen(below(name), "w");
		if (!files[i])
			exit(1);
	}
	for (int n = 0; n < PICTURES; n++)
		for (int i = 0; i < STREAMS; i++)
			if (fwrite(bytes, 1, PICTURE_BYTES, files[i]) != PICTURE_BYTES)
				exit(1);
	for (int i = 0; i < STREAMS; i++) {
		fflush(files[i]);
		fdatasync(fileno(files[i]));
		fclose(files[i]);
	}
	return now() - start;
}

static double write_fsv(double *waits)
{
	const struct fsmeta_fsv_options options = {
	    .writable = true, .buffer_max_bytes = UINT64_C(1) << 30};
	const struct fsmeta_track_format format = {.codec = "h264", .width = 1, .height = 1};
	struct fsmeta_fsv *fsv;
	double start = now();

	check(fsmeta_fsv_open(&fsv, below("fsv"), &options, &error));
	for (int n = 0; n < PICTURES; n++)
		for (int i = 0; i < STREAMS; i++) {
			struct fsmeta_packet packet = {
			    .time_us = INT64_C(1700000000000000) + n * INT64_C(33333),
			    .flags = n % 60 ? 0 : FSMETA_PACKET_KEY,
			    .bytes = bytes,
			    .size = PICTURE_BYTES};
			char name[16];
			double before = now();

			snprintf(name, sizeof(name), "cam%d", i);
			check(fsmeta_fsv_write(fsv, name, "video", &format, &packet, 1, &error));
			*waits++ = now() - before;
		}
	check(fsmeta_fsv_close(fsv, &error));
	start = now() - start;
	check(fsmeta_remove_tree_at(AT_FDCWD, below("fsv"), &error));
	return start;
}

static void measure_fsv(void)
{
	const int count = PICTURES * STREAMS;
	double *waits = calloc((size_t)count, sizeof(*waits));
	double plain[ROUNDS], fsv[ROUNDS], worst[ROUNDS];

	for (int round = 0; round < ROUNDS; round++) {
		plain[round] = write_plain();
		fsv[round] = write_fsv(waits);
		qsort(waits, (size_t)count, sizeof(*waits), compare);
		worst[round] = waits[(size_t)count * 999 / 1000];
	}
	printf("fsv        %d streams, both synced: %.2f of plain write; a producer waits %.3f ms"
	       " (99.9 %%)\n",
	    STREAMS, median(fsv, ROUNDS) / median(plain, ROUNDS), median(worst, ROUNDS) * 1e3);
	free(waits);
}

static double use_plain(void)
{
	static unsigned char back[FRAME_BYTES];
	double start = now();

	for (int i = 0; i < FRAMES; i++) {
		int fd = open(below("plain"), O_RDWR | O_CREAT | O_TRUNC, 0644);

		if (fd < 0 || write(fd, bytes, sizeof(bytes)) != sizeof(bytes))
			exit(1);
		close(fd);
		fd = open(below("plain"), O_RDONLY);
		if (fd < 0 || read(fd, back, sizeof(back)) != sizeof(back))
			exit(1);
		close(fd);
		unlink(below("plain"));
	}
	return now() - start;
}

static double use_store(struct fsmeta_frame_store *store)
{
	const struct fsmeta_npy array = {.descr = "|u1", .dimensions = 1, .shape = {FRAME_BYTES}};
	char ref[FSMETA_PAYLOAD_REF_BYTES];
	struct fsmeta_frame frame;
	double start = now();

	for (uint64_t i = 0; i < FRAMES; i++) {
		check(fsmeta_frame_store_save(
		    store, "v", i, &array, bytes, sizeof(bytes), ref, &error));
		check(fsmeta_frame_store_load(store, ref, &frame, &error));
		fsmeta_frame_release(&frame);
		check(fsmeta_frame_store_delete(store, ref, &error));
	}
	return now() - start;
}

static void measure_frames(void)
{
	const struct fsmeta_npy array = {.descr = "|u1", .dimensions = 1, .shape = {1}};
	struct fsmeta_frame_store *store;
	double plain[ROUNDS], used[ROUNDS], start;
	char ref[FSMETA_PAYLOAD_REF_BYTES];
	uint64_t count;

	check(fsmeta_frame_store_open(&store, below("frames"), NULL, &error));
	for (int round = 0; round < ROUNDS; round++) {
		plain[round] = use_plain();
		used[round] = use_store(store);
	}
	printf("frames     save + load + delete of 1 MB: %.2f of plain files\n",
	    median(used, ROUNDS) / median(plain, ROUNDS));
	/* A task a frame in ten, so that a million of them is made in reasonable time. */
	for (uint64_t i = 0; i < TASKS / 100; i++)
		check(fsmeta_frame_store_save(store, "t", i, &array, bytes, 1, NULL, &error));
	for (int i = 0; i < TASKS; i += 4096) {
		struct fsmeta_task tasks[4096] = {0}, first = {0};
		char refs[4096][24];
		const char *names[4096];

		for (int k = 0; k < 4096; k++) {
			snprintf(refs[k], sizeof(refs[k]), "t_%d", (i + k) % (TASKS / 100));
			names[k] = refs[k];
			tasks[k] = (struct fsmeta_task){.frames = &names[k], .frame_count = 1};
		}
		check(fsmeta_frame_store_add_task(store, &first, &error));
		check(fsmeta_frame_store_finish(store, first.id, tasks, 4096, NULL, &error));
	}
	start = now();
	for (int i = 0; i < 10000; i++) {
		snprintf(ref, sizeof(ref), "t_%d", i * 7919 % (TASKS / 100));
		check(fsmeta_frame_store_count_dependents(store, ref, &count, &error));
	}
	printf(
	    "tasks      dependency check with a million tasks: %.1f us\n", (now() - start) * 100);
	fsmeta_frame_store_close(store);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: archive_stores FOLDER\n");
		return 64;
	}
	snprintf(root, sizeof(root), "%s", argv[1]);
	if (mkdir(root, 0755)) {
		perror(root);
		return 3;
	}
	memset(bytes, 0x5a, sizeof(bytes));
	measure_recording();
	measure_fsv();
	measure_frames();
	check(fsmeta_remove_tree_at(AT_FDCWD, root, &error));
	return 0;
}
