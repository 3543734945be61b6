/*
 * The stores of archive/ against plain files: ratios of the same machine at the same moment, the
 * median of those within a turn.
 *
 *     archive_stores FOLDER [NAME...]      measures in FOLDER (made, and removed at the end); a
 *                                          line a figure, "name value what it is", of all or of
 *                                          those that are named:
 *
 *     recording   10 hours at 60 frames a second: milliseconds to open, by index.bin and by lines;
 *                 how often the system is asked to read for a window of 3 seconds
 *     fsv         32 streams at 30 frames a second written to files, against the same bytes with
 *                 plain buffered write(2)
 *     producer    how long a producer's call takes while another process keeps the disk busy: 32
 *                 streams, 30 packets a second each, in real time.  A call that blocked (on a lock,
 *                 on the disk) counts a voluntary switch of its thread, one that the scheduler put
 *                 aside an involuntary one; its own work is the thread's processor time.
 *     frames      save + load + delete of 1 MB, against write, read and unlink of a file
 *     tasks       the dependency check with a million tasks
 */
#include "archive/frame_store.h"
#include "archive/fsv.h"
#include "archive/recording_lines.h"
#include "base/file.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

/** A figure.  bench/run reads it. */
static void tell(const char *name, double value, const char *what)
{
	printf("%-20s %10.3f  %s\n", name, value, what);
}

/** Calls of read(2) and its like that this process made, its own for the asking among them. */
static long count_reads(void)
{
	char text[512];
	int fd = open("/proc/self/io", O_RDONLY);
	ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	const char *found;

	if (fd >= 0)
		close(fd);
	if (got < 0)
		return 0;
	text[got] = '\0';
	found = strstr(text, "syscr: ");
	return found ? strtol(found + strlen("syscr: "), NULL, 10) : 0;
}

static double count_window_reads(
    const struct fsmeta_recording *recording, uint64_t first, uint64_t last)
{
	struct fsmeta_buffer window = {0};
	long start = count_reads(), own = count_reads() - start, before = count_reads();

	check(fsmeta_recording_read(recording, first, last, &window, &error));
	fsmeta_buffer_release(&window);
	return (double)(count_reads() - before - own);
}

static void measure_recording(void)
{
	const struct fsmeta_recording_format format = {.codec = "vp09", .width = 1, .height = 1};
	double quick[ROUNDS], slow[ROUNDS], reads = 0;
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
		reads = count_window_reads(&recording, first, last);
		fsmeta_recording_release(&recording);
		start = now();
		check(fsmeta_recording_open_lines(&recording, root, "long", &error));
		slow[round] = now() - start;
		fsmeta_recording_release(&recording);
	}
	tell("recording.open_ms", median(quick, ROUNDS) * 1e3,
	    "recording of 10 h at 60 fps: opened, and 3 s found, ms");
	tell("recording.lines_ms", median(slow, ROUNDS) * 1e3, "the same by the lines alone, ms");
	tell("recording.reads", reads, "calls of read that 3 s of it take");
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

static double write_fsv(void)
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

			snprintf(name, sizeof(name), "cam%d", i);
			check(fsmeta_fsv_write(fsv, name, "video", &format, &packet, 1, &error));
		}
	check(fsmeta_fsv_close(fsv, &error));
	start = now() - start;
	check(fsmeta_remove_tree_at(AT_FDCWD, below("fsv"), &error));
	return start;
}

static void measure_fsv(void)
{
	double ratios[ROUNDS];

	write_plain();
	for (int round = 0; round < ROUNDS; round++) {
		double plain = write_plain();

		ratios[round] = write_fsv() / plain;
	}
	tell("fsv.ratio", median(ratios, ROUNDS),
	    "FSV, 32 streams written and synced: times plain files");
}

/* ---- a producer beside a busy disk ---- */

enum {
	PRODUCER_S = 10,
	BUSY_BYTES = 64 << 20,
};

/** One call. */
struct call {
	double wall;
	double cpu;
	bool blocked;
	bool preempted;
};

static double cpu_now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/** Writes and syncs for ever, until it is killed. */
static void saturate(void)
{
	for (;;) {
		int fd = open(below("busy"), O_WRONLY | O_CREAT | O_TRUNC, 0644);

		for (size_t done = 0; fd >= 0 && done < BUSY_BYTES; done += FRAME_BYTES)
			if (write(fd, bytes, FRAME_BYTES) != FRAME_BYTES)
				_exit(1);
		if (fd < 0 || fdatasync(fd) || close(fd))
			_exit(1);
	}
}

static void produce(struct fsmeta_fsv *fsv, int n, int i, struct call *call)
{
	const struct fsmeta_track_format format = {.codec = "h264", .width = 1, .height = 1};
	struct fsmeta_packet packet = {.time_us = INT64_C(1700000000000000) + n * INT64_C(33333),
	    .flags = n % 60 ? 0 : FSMETA_PACKET_KEY,
	    .bytes = bytes,
	    .size = PICTURE_BYTES};
	struct rusage before, after;
	double wall, cpu;
	char name[16];

	snprintf(name, sizeof(name), "cam%d", i);
	getrusage(RUSAGE_THREAD, &before);
	cpu = cpu_now();
	wall = now();
	check(fsmeta_fsv_write(fsv, name, "video", &format, &packet, 1, &error));
	call->wall = now() - wall;
	call->cpu = cpu_now() - cpu;
	getrusage(RUSAGE_THREAD, &after);
	call->blocked = after.ru_nvcsw > before.ru_nvcsw;
	call->preempted = after.ru_nivcsw > before.ru_nivcsw;
}

static int compare_wall(const void *a, const void *b)
{
	return compare(&((const struct call *)a)->wall, &((const struct call *)b)->wall);
}

static int compare_cpu(const void *a, const void *b)
{
	return compare(&((const struct call *)a)->cpu, &((const struct call *)b)->cpu);
}

static void tell_calls(struct call *calls, size_t count)
{
	size_t blocked = 0, preempted = 0, slow_blocked = 0, slow = 0;

	for (size_t i = 0; i < count; i++) {
		blocked += calls[i].blocked;
		preempted += calls[i].preempted;
		slow += calls[i].wall > 1e-3;
		slow_blocked += calls[i].wall > 1e-3 && calls[i].blocked;
	}
	qsort(calls, count, sizeof(*calls), compare_cpu);
	tell("producer.cpu_ms", calls[count * 999 / 1000].cpu * 1e3,
	    "the same in processor time, ms");
	qsort(calls, count, sizeof(*calls), compare_wall);
	tell("producer.ms", calls[count * 999 / 1000].wall * 1e3,
	    "FSV, a producer's call beside a busy disk, 99.9 % of them: ms");
	tell("producer.most_ms", calls[count - 1].wall * 1e3, "the longest of all, ms");
	tell("producer.calls", (double)count, "calls of producers");
	tell("producer.blocked", (double)blocked, "calls of producers that had blocked");
	tell("producer.preempted", (double)preempted, "of them were put aside by the scheduler");
	tell("producer.slow", (double)slow, "of them took above 1 ms");
	tell("producer.slow_blocked", (double)slow_blocked, "of those had blocked");
}

static void measure_producer(void)
{
	const struct fsmeta_fsv_options options = {
	    .writable = true, .buffer_max_bytes = UINT64_C(1) << 30};
	const int count = PRODUCER_S * 30;
	struct call *calls = calloc((size_t)count * STREAMS, sizeof(*calls));
	struct timespec due;
	struct fsmeta_fsv *fsv;
	pid_t busy = fork();

	if (!calls || busy < 0)
		exit(1);
	if (!busy)
		saturate();
	check(fsmeta_fsv_open(&fsv, below("live"), &options, &error));
	clock_gettime(CLOCK_MONOTONIC, &due);
	for (int n = 0; n < count; n++) {
		for (int i = 0; i < STREAMS; i++)
			produce(fsv, n, i, &calls[n * STREAMS + i]);
		due.tv_nsec += 33333333;
		due.tv_sec += due.tv_nsec / 1000000000;
		due.tv_nsec %= 1000000000;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
	}
	kill(busy, SIGKILL);
	waitpid(busy, NULL, 0);
	check(fsmeta_fsv_close(fsv, &error));
	tell_calls(calls, (size_t)count * STREAMS);
	free(calls);
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
	struct fsmeta_frame_store *store;
	double ratios[ROUNDS];

	check(fsmeta_frame_store_open(&store, below("frames"), NULL, &error));
	use_plain();
	for (int round = 0; round < ROUNDS; round++) {
		double plain = use_plain();

		ratios[round] = use_store(store) / plain;
	}
	tell("frames.ratio", median(ratios, ROUNDS),
	    "frames of 1 MB saved, loaded, deleted: times plain files");
	fsmeta_frame_store_close(store);
}

static void measure_tasks(void)
{
	const struct fsmeta_npy array = {.descr = "|u1", .dimensions = 1, .shape = {1}};
	struct fsmeta_frame_store *store;
	char ref[FSMETA_PAYLOAD_REF_BYTES];
	uint64_t count;
	double start;

	check(fsmeta_frame_store_open(&store, below("tasks"), NULL, &error));
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
	tell(
	    "tasks.us", (now() - start) * 100, "frames: dependency check with a million tasks, us");
	fsmeta_frame_store_close(store);
}

static const struct {
	const char *name;
	void (*measure)(void);
} measures[] = {
    {"recording", measure_recording},
    {"fsv", measure_fsv},
    {"producer", measure_producer},
    {"frames", measure_frames},
    {"tasks", measure_tasks},
};

static bool is_named(const char *name, char **names)
{
	bool is = !*names;

	for (; *names; names++)
		is |= strcmp(*names, name) == 0;
	return is;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr,
		    "usage: archive_stores FOLDER [recording|fsv|producer|frames|tasks]...\n");
		return 64;
	}
	snprintf(root, sizeof(root), "%s", argv[1]);
	if (mkdir(root, 0755)) {
		perror(root);
		return 3;
	}
	memset(bytes, 0x5a, sizeof(bytes));
	for (size_t i = 0; i < sizeof(measures) / sizeof(measures[0]); i++)
		if (is_named(measures[i].name, argv + 2))
			measures[i].measure();
	check(fsmeta_remove_tree_at(AT_FDCWD, root, &error));
	return 0;
}
