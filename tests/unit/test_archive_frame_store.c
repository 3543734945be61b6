/*
 * The frame store: arrays in and out, frames that go when nothing depends on them and never before,
 * by many threads, by processes that are killed; packing, trimming, sweeping; .npy headers that
 * lie.
 */
#include "test_archive_scratch.h"

#include "archive/frame_store.h"
#include "archive/names.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct fsmeta_npy picture = {.descr = "|u1", .dimensions = 3, .shape = {12, 16, 3}};

enum {
	PICTURE_BYTES = 12 * 16 * 3
};

static struct fsmeta_frame_store *open_store(
    const char *name, const struct fsmeta_frame_store_options *options)
{
	struct fsmeta_frame_store *store;
	struct fsmeta_error error = {0};

	assert_ok(fsmeta_frame_store_open(&store, scratch_path(name), options, &error), &error);
	return store;
}

static void fill(unsigned char *data, uint64_t n)
{
	for (size_t i = 0; i < PICTURE_BYTES; i++)
		data[i] = (unsigned char)(n * 31 + i / 7);
}

static int save(struct fsmeta_frame_store *store, const char *video, uint64_t n,
    char ref[FSMETA_PAYLOAD_REF_BYTES], struct fsmeta_error *error)
{
	unsigned char data[PICTURE_BYTES];

	fill(data, n);
	return fsmeta_frame_store_save(store, video, n, &picture, data, sizeof(data), ref, error);
}

/** 0 where the frame is there and right, else the code. */
static int check(struct fsmeta_frame_store *store, const char *ref, uint64_t n, bool map)
{
	unsigned char data[PICTURE_BYTES];
	struct fsmeta_frame frame;
	int code = map ? fsmeta_frame_store_map(store, ref, &frame, NULL)
		       : fsmeta_frame_store_load(store, ref, &frame, NULL);

	if (code)
		return code;
	fill(data, n);
	if (frame.array.data_bytes != PICTURE_BYTES || memcmp(frame.data, data, PICTURE_BYTES) != 0)
		code = FSMETA_E_CORRUPT;
	fsmeta_frame_release(&frame);
	return code;
}

static uint64_t count_files(const char *store, const char *video)
{
	struct fsmeta_names names;
	char folder[96];
	uint64_t count;

	snprintf(folder, sizeof(folder), "%s/%s", store, video);
	if (fsmeta_names_list(&names, scratch_path(folder), NULL)) {
		fsmeta_names_release(&names);
		return 0;
	}
	count = names.count;
	fsmeta_names_release(&names);
	return count;
}

static void test_refs(void **state)
{
	static const char *const wrong[] = {
	    "", "video", "_1", "a_", "a_01", "a_1x", "a_-1", "../a_1", ".a_1", "a/b_1", "a_1_"};
	char ref[FSMETA_PAYLOAD_REF_BYTES], video[FSMETA_PAYLOAD_REF_BYTES];
	struct fsmeta_error error = {0};
	uint64_t frame;

	(void)state;
	assert_ok(fsmeta_payload_ref_format(ref, "video_001", 123, &error), &error);
	assert_string_equal("video_001_123", ref);
	assert_ok(fsmeta_payload_ref_parse(video, &frame, ref, &error), &error);
	assert_string_equal("video_001", video);
	assert_int_equal(123, frame);
	assert_ok(fsmeta_payload_ref_parse(video, &frame, "a_b_c_0", &error), &error);
	assert_string_equal("a_b_c", video);
	assert_int_equal(0, frame);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_code(FSMETA_E_USAGE,
		    fsmeta_payload_ref_parse(video, &frame, wrong[i], &error), &error);
	assert_code(FSMETA_E_USAGE, fsmeta_payload_ref_format(ref, "a/b", 1, &error), &error);
}

static void test_frames(void **state)
{
	struct fsmeta_frame_store *store = open_store("frames", NULL);
	char ref[FSMETA_PAYLOAD_REF_BYTES];
	unsigned char data[PICTURE_BYTES];
	struct fsmeta_frame frame;
	struct fsmeta_error error = {0};

	(void)state;
	assert_ok(save(store, "video_001", 123, ref, &error), &error);
	assert_string_equal("video_001_123", ref);
	assert_int_equal(0, access(scratch_path("frames/video_001/frame_000123.npy"), F_OK));
	assert_int_equal(0, check(store, ref, 123, false));
	assert_int_equal(0, check(store, ref, 123, true));
	assert_code(FSMETA_E_REFUSED, save(store, "video_001", 123, ref, &error), &error);
	fill(data, 0);
	assert_code(FSMETA_E_USAGE,
	    fsmeta_frame_store_save(store, "v", 1, &picture, data, 10, NULL, &error), &error);
	/* Mapped, it outlives its deletion. */
	assert_ok(fsmeta_frame_store_map(store, ref, &frame, &error), &error);
	assert_true(frame.is_mapped);
	assert_ok(fsmeta_frame_store_delete(store, ref, &error), &error);
	assert_ok(fsmeta_frame_store_delete(store, ref, &error), &error);
	fill(data, 123);
	assert_memory_equal(data, frame.data, PICTURE_BYTES);
	fsmeta_frame_release(&frame);
	assert_code(
	    FSMETA_E_NOT_FOUND, fsmeta_frame_store_load(store, ref, &frame, &error), &error);
	/* What a power cut left is not served. */
	assert_ok(save(store, "video_001", 7, ref, &error), &error);
	assert_int_equal(0, truncate(scratch_path("frames/video_001/frame_000007.npy"), 200));
	assert_code(
	    FSMETA_E_TRUNCATED, fsmeta_frame_store_load(store, ref, &frame, &error), &error);
	assert_code(FSMETA_E_TRUNCATED, fsmeta_frame_store_map(store, ref, &frame, &error), &error);
	assert_int_equal(0, truncate(scratch_path("frames/video_001/frame_000007.npy"), 0));
	assert_code(FSMETA_E_FOREIGN, fsmeta_frame_store_map(store, ref, &frame, &error), &error);
	fsmeta_frame_store_close(store);
}

static int64_t add(struct fsmeta_frame_store *store, const char *const *frames, size_t count)
{
	struct fsmeta_task task = {
	    .kind = "ocr", .payload = "{}", .frames = frames, .frame_count = count};
	struct fsmeta_error error = {0};

	assert_ok(fsmeta_frame_store_add_task(store, &task, &error), &error);
	return task.id;
}

static void test_dependencies(void **state)
{
	struct fsmeta_frame_store *store = open_store("tasks", NULL);
	const char *const both[] = {"v_0", "v_1", "v_0"}, *const gone[] = {"v_0"};
	struct fsmeta_claimed_task claimed;
	struct fsmeta_error error = {0};
	uint64_t count, deleted;

	(void)state;
	for (uint64_t n = 0; n < 2; n++)
		assert_ok(save(store, "v", n, NULL, &error), &error);
	int64_t first = add(store, both, 3), second = add(store, both + 1, 1);
	assert_ok(fsmeta_frame_store_count_dependents(store, "v_1", &count, &error), &error);
	assert_int_equal(2, count);
	assert_int_equal(1, fsmeta_frame_store_claim(store, &claimed, &error));
	assert_int_equal(first, claimed.id);
	assert_string_equal("ocr", claimed.kind);
	assert_string_equal("{}", claimed.payload);
	fsmeta_claimed_task_release(&claimed);
	/* vehicle -> plate: the successor takes v_1 over in the same step. */
	struct fsmeta_task successor = {.kind = "plate", .frames = both + 1, .frame_count = 1};
	assert_ok(fsmeta_frame_store_finish(store, first, &successor, 1, &deleted, &error), &error);
	assert_int_equal(1, deleted);
	assert_int_equal(FSMETA_E_NOT_FOUND, check(store, "v_0", 0, false));
	assert_int_equal(0, check(store, "v_1", 1, false));
	assert_code(FSMETA_E_NOT_FOUND,
	    fsmeta_frame_store_finish(store, first, NULL, 0, &deleted, &error), &error);
	/* Nobody can come to depend on what is gone, and nothing of the attempt stays. */
	struct fsmeta_task late = {.frames = gone, .frame_count = 1};
	assert_code(FSMETA_E_NOT_FOUND, fsmeta_frame_store_add_task(store, &late, &error), &error);
	assert_ok(fsmeta_frame_store_finish(store, second, NULL, 0, &deleted, &error), &error);
	assert_int_equal(0, deleted);
	/* A successor that cannot be leaves the task as it was. */
	assert_code(FSMETA_E_NOT_FOUND,
	    fsmeta_frame_store_finish(store, successor.id, &late, 1, &deleted, &error), &error);
	assert_int_equal(0, check(store, "v_1", 1, true));
	assert_ok(
	    fsmeta_frame_store_finish(store, successor.id, NULL, 0, &deleted, &error), &error);
	assert_int_equal(1, deleted);
	assert_int_equal(0, count_files("tasks", "v"));
	assert_int_equal(0, fsmeta_frame_store_claim(store, &claimed, &error));
	fsmeta_frame_store_close(store);
}

static void test_leases(void **state)
{
	/* Longer than any test takes, and shorter than two looks at a clock. */
	const struct fsmeta_frame_store_options lasting = {.lease_us = INT64_C(3600) * 1000000};
	const struct fsmeta_frame_store_options brief = {.lease_us = 1};
	struct fsmeta_frame_store *store = open_store("lease", &brief);
	struct fsmeta_claimed_task claimed;
	struct fsmeta_error error = {0};
	const char *const frames[] = {"v_0"};

	(void)state;
	assert_ok(save(store, "v", 0, NULL, &error), &error);
	int64_t task = add(store, frames, 1);
	assert_int_equal(1, fsmeta_frame_store_claim(store, &claimed, &error));
	fsmeta_claimed_task_release(&claimed);
	fsmeta_frame_store_close(store);
	usleep(1000);
	store = open_store("lease", &lasting);
	assert_int_equal(1, fsmeta_frame_store_claim(store, &claimed, &error));
	assert_int_equal(task, claimed.id);
	fsmeta_claimed_task_release(&claimed);
	assert_int_equal(0, fsmeta_frame_store_claim(store, &claimed, &error));
	fsmeta_frame_store_close(store);
}

/** Makes a file as old as it should be. */
static void make_older(const char *name, int seconds)
{
	struct timespec times[2];

	clock_gettime(CLOCK_REALTIME, &times[0]);
	times[0].tv_sec -= seconds;
	times[1] = times[0];
	assert_int_equal(0, utimensat(AT_FDCWD, scratch_path(name), times, 0));
}

/** A dry run counts what the real one then takes. */
static void test_dry_run(void **state)
{
	struct fsmeta_frame_store_options options = {
	    .orphan_us = INT64_C(1000) * 1000000, .dry_run = true};
	struct fsmeta_frame_store *store = open_store("dry", NULL);
	struct fsmeta_frame_store_swept told, did;
	const char *const needed[] = {"v_3", "v_4"};
	struct fsmeta_error error = {0};
	uint64_t planned, deleted;
	char name[64];

	(void)state;
	for (int n = 0; n < 10; n++) {
		assert_ok(save(store, "v", (uint64_t)n, NULL, &error), &error);
		snprintf(name, sizeof(name), "dry/v/frame_%06d.npy", n);
		make_older(name, n < 6 ? 2000 : 5);
	}
	add(store, needed, 2);
	fsmeta_frame_store_close(store);
	store = open_store("dry", &options);
	assert_ok(fsmeta_frame_store_sweep(store, &told, &error), &error);
	assert_ok(fsmeta_frame_store_trim(store, 0, &planned, &error), &error);
	assert_int_equal(4, told.orphans);
	assert_int_equal(8, planned);
	for (int n = 0; n < 10; n++) {
		snprintf(name, sizeof(name), "dry/v/frame_%06d.npy", n);
		assert_int_equal(0, access(scratch_path(name), F_OK));
	}
	fsmeta_frame_store_close(store);
	options.dry_run = false;
	store = open_store("dry", &options);
	assert_ok(fsmeta_frame_store_sweep(store, &did, &error), &error);
	assert_int_equal(told.orphans, did.orphans);
	assert_int_equal(told.finished, did.finished);
	assert_ok(fsmeta_frame_store_trim(store, 0, &deleted, &error), &error);
	assert_int_equal(planned - told.orphans, deleted);
	fsmeta_frame_store_close(store);
}

static void test_keeping(void **state)
{
	const struct fsmeta_frame_store_options options = {
	    .orphan_us = INT64_C(1000) * 1000000, .track_use = true};
	struct fsmeta_frame_store *store = open_store("keep", &options);
	struct fsmeta_frame_store_swept swept;
	const char *const needed[] = {"v_3"};
	struct fsmeta_error error = {0};
	uint64_t packed, deleted;
	struct stat status;
	char name[64];
	int fd;

	(void)state;
	for (int n = 0; n < 8; n++) {
		assert_ok(save(store, "v", (uint64_t)n, NULL, &error), &error);
		snprintf(name, sizeof(name), "keep/v/frame_%06d.npy", n);
		make_older(name, 2000 - n);
	}
	int64_t task = add(store, needed, 1);
	assert_int_equal(0, check(store, "v_0", 0, false));
	/* Cold ones are packed and read as before. */
	assert_ok(fsmeta_frame_store_pack(store, INT64_C(1500) * 1000000, &packed, &error), &error);
	assert_int_equal(7, packed);
	assert_int_equal(0, access(scratch_path("keep/v/frame_000001.npy.zst"), F_OK));
	assert_int_equal(-1, access(scratch_path("keep/v/frame_000001.npy"), F_OK));
	assert_int_equal(0, access(scratch_path("keep/v/frame_000000.npy"), F_OK));
	for (int n = 1; n < 8; n++) {
		char ref[16];

		snprintf(ref, sizeof(ref), "v_%d", n);
		assert_int_equal(0, check(store, ref, (uint64_t)n, n % 2));
		snprintf(name, sizeof(name), "keep/v/frame_%06d.npy.zst", n);
		make_older(name, 2000 - n);
	}
	assert_code(FSMETA_E_REFUSED, save(store, "v", 1, NULL, &error), &error);
	/* Those go that were used longest ago: not v_0, and not v_3, which is needed. */
	assert_int_equal(0, stat(scratch_path("keep/v/frame_000000.npy"), &status));
	uint64_t budget = (uint64_t)status.st_size;
	assert_int_equal(0, stat(scratch_path("keep/v/frame_000003.npy.zst"), &status));
	budget += (uint64_t)status.st_size * 2 + 10;
	assert_ok(fsmeta_frame_store_trim(store, budget, &deleted, &error), &error);
	assert_int_equal(5, deleted);
	assert_int_equal(0, check(store, "v_0", 0, false));
	assert_int_equal(0, check(store, "v_3", 3, false));
	assert_int_equal(0, check(store, "v_7", 7, false));
	/* Others without a task go when they are old; strangers' files are not ours. */
	make_older("keep/v/frame_000000.npy", 2000);
	make_older("keep/v/frame_000003.npy.zst", 2000);
	fd = open(scratch_path("keep/v/frame_7.npy"), O_CREAT | O_WRONLY, 0644);
	close(fd);
	make_older("keep/v/frame_7.npy", 2000);
	fd = open(scratch_path("keep/v/.saving-1-2"), O_CREAT | O_WRONLY, 0644);
	close(fd);
	make_older("keep/v/.saving-1-2", 2000);
	assert_ok(fsmeta_frame_store_sweep(store, &swept, &error), &error);
	assert_int_equal(2, swept.orphans);
	assert_int_equal(FSMETA_E_NOT_FOUND, check(store, "v_0", 0, false));
	assert_int_equal(0, check(store, "v_3", 3, false));
	assert_int_equal(0, check(store, "v_7", 7, false));
	assert_ok(fsmeta_frame_store_finish(store, task, NULL, 0, &deleted, &error), &error);
	assert_int_equal(1, deleted);
	assert_int_equal(0, access(scratch_path("keep/v/frame_7.npy"), F_OK));
	assert_int_equal(2, count_files("keep", "v"));
	fsmeta_frame_store_close(store);
}

/* ---- many at once ---- */

enum {
	FRAMES_EACH = 150,
	READERS = 3,
	WORKERS = 3
};

/** Saves frames and adds a task for each two neighbours.  Returns what failed, or 0. */
static int run_reader(struct fsmeta_frame_store *store, int number, int frames)
{
	char refs[2][FSMETA_PAYLOAD_REF_BYTES], video[FSMETA_PAYLOAD_REF_BYTES];
	char payload[FSMETA_PAYLOAD_REF_BYTES + 16];

	snprintf(video, sizeof(video), "video_%d", number);
	for (int n = 0; n < frames; n++) {
		const char *names[2] = {refs[n % 2], refs[1 - n % 2]};
		struct fsmeta_task task = {
		    .kind = "pair", .payload = payload, .frames = names, .frame_count = 2};
		int code = save(store, video, (uint64_t)n, refs[n % 2], NULL);

		if (code && code != FSMETA_E_REFUSED)
			return code;
		if (n % 2 == 0)
			continue;
		snprintf(payload, sizeof(payload), "%s %d", video, n);
		code = fsmeta_frame_store_add_task(store, &task, NULL);
		/* Of a run before that was killed: it may be done and gone. */
		if (code && code != FSMETA_E_NOT_FOUND)
			return code;
	}
	return 0;
}

/** Works on one task: both frames must be there.  1, 0 without a task, or what failed. */
static int run_task(struct fsmeta_frame_store *store)
{
	struct fsmeta_claimed_task claimed;
	char video[FSMETA_PAYLOAD_REF_BYTES], ref[2][FSMETA_PAYLOAD_REF_BYTES];
	const char *names[2] = {ref[0], ref[1]};
	int n, code = fsmeta_frame_store_claim(store, &claimed, NULL);
	struct fsmeta_task successor = {.kind = "last", .frames = names, .frame_count = 2};
	bool is_last;

	if (code <= 0)
		return code;
	is_last = strcmp(claimed.kind, "last") == 0;
	successor.payload = claimed.payload;
	if (sscanf(claimed.payload, "%200s %d", video, &n) != 2)
		code = FSMETA_E_INTERNAL;
	for (int i = 0; i < 2 && code > 0; i++) {
		fsmeta_payload_ref_format(ref[i], video, (uint64_t)(n - i), NULL);
		code = check(store, ref[i], (uint64_t)(n - i), i);
		code = code ? code : 1;
	}
	if (code > 0)
		code = fsmeta_frame_store_finish(
		    store, claimed.id, &successor, is_last ? 0 : 1, NULL, NULL);
	fsmeta_claimed_task_release(&claimed);
	return code ? code : 1;
}

static struct fsmeta_frame_store *shared;
static atomic_int readers_left;

static void *read_video(void *number)
{
	int code = run_reader(shared, *(int *)number, FRAMES_EACH);

	atomic_fetch_sub(&readers_left, 1);
	return code ? number : NULL;
}

static void *work(void *number)
{
	for (;;) {
		bool is_last_look = atomic_load(&readers_left) == 0;
		int code = run_task(shared);

		if (code < 0)
			return number;
		if (code == 0 && is_last_look)
			return NULL;
	}
}

static void test_threads(void **state)
{
	pthread_t threads[READERS + WORKERS];
	int numbers[READERS + WORKERS];
	void *failed;

	(void)state;
	shared = open_store("threads", NULL);
	atomic_store(&readers_left, READERS);
	for (int i = 0; i < READERS + WORKERS; i++) {
		numbers[i] = i;
		assert_int_equal(0, pthread_create(&threads[i], NULL,
					i < READERS ? read_video : work, &numbers[i]));
	}
	for (int i = 0; i < READERS + WORKERS; i++) {
		assert_int_equal(0, pthread_join(threads[i], &failed));
		assert_null(failed);
	}
	/* All done: nothing is left. */
	for (int i = 0; i < READERS; i++) {
		char video[16];

		snprintf(video, sizeof(video), "video_%d", i);
		assert_int_equal(0, count_files("threads", video));
	}
	fsmeta_frame_store_close(shared);
}

/** Readers and workers that are killed at any moment: no frame early, none left for good. */
static void test_killed(void **state)
{
	/* One worker at a time: what a dead one had claimed is soon free. */
	const struct fsmeta_frame_store_options options = {.lease_us = 50000, .orphan_us = 1};
	struct fsmeta_frame_store_swept swept;
	struct fsmeta_error error = {0};
	uint64_t seed = 17;
	int code;

	(void)state;
	/* Made before, so that no child is killed while it makes the schema. */
	fsmeta_frame_store_close(open_store("killed", &options));
	for (int round = 0; round < 16; round++) {
		pid_t children[2];
		int status;

		for (int i = 0; i < 2; i++) {
			children[i] = fork();
			assert_true(children[i] >= 0);
			if (children[i])
				continue;
			struct fsmeta_frame_store *store;
			if (fsmeta_frame_store_open(&store, scratch_path("killed"), &options, NULL))
				_exit(1);
			if (i == 0)
				_exit(run_reader(store, round, 60) ? 2 : 0);
			while ((code = run_task(store)) >= 0)
				;
			_exit(3);
		}
		usleep((useconds_t)(1000 + scratch_random(&seed) % 20000));
		for (int i = 0; i < 2; i++)
			kill(children[i], SIGKILL);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(children[i], waitpid(children[i], &status, 0));
			assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
		}
	}
	struct fsmeta_frame_store *store = open_store("killed", &options);
	for (int i = 0; i < 2; i++) {
		usleep(60000);
		while ((code = run_task(store)) > 0)
			;
		assert_int_equal(0, code);
	}
	assert_ok(fsmeta_frame_store_sweep(store, &swept, &error), &error);
	for (int round = 0; round < 16; round++) {
		char video[24];

		snprintf(video, sizeof(video), "video_%d", round);
		assert_int_equal(0, count_files("killed", video));
	}
	assert_ok(fsmeta_frame_store_sweep(store, &swept, &error), &error);
	assert_int_equal(0, swept.finished + swept.orphans);
	fsmeta_frame_store_close(store);
}

/* ---- .npy ---- */

static void test_headers(void **state)
{
	static const struct {
		const char *descr;
		uint64_t item_bytes;
	} good[] = {{"<f4", 4}, {"|u1", 1}, {"|b1", 1}, {"?", 1}, {">c16", 16}, {"<U5", 20},
	    {"|S3", 3}, {"|V8", 8}, {"<M8[ns]", 8}, {"<m8", 8}, {"'<i2'", 2},
	    {"[('x', '<f4'), ('y', '<i2')]", 6}, {"[('x', '<f4', (2, 3)), ('', '|V4')]", 28},
	    {"[('p', [('a', '|u1'), ('b', '<f8')]), (('title', 'n'), '|S2')]", 11},
	    {"[('x', '<f4', (2,)), ('y', '<f4', 3)]", 20}, {"[]", 0}};
	static const char *const wrong[] = {"f", "<q4", "<f4x", "", "[('x')]", "[('x', '<f4'",
	    "<f-4", "|O", "[('x', '|O')]", "'<f4", "<f4', 'shape': (1,), 'x': '",
	    "<f99999999999999999999"};
	struct fsmeta_error error = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct fsmeta_npy array = {.dimensions = i % 3, .shape = {5, 7}}, again;
		struct fsmeta_buffer out = {0};

		strcpy(array.descr, good[i].descr);
		assert_ok(fsmeta_npy_append_header(&out, &array, &error), &error);
		assert_int_equal(0, out.length % 64);
		assert_int_equal(good[i].item_bytes, array.item_bytes);
		assert_int_equal(good[i].item_bytes * (i % 3 == 2 ? 35
							  : i % 3 ? 5
								  : 1),
		    array.data_bytes);
		assert_ok(fsmeta_npy_parse(&again, out.data, out.length, "x", &error), &error);
		assert_memory_equal(&array.shape, &again.shape, sizeof(array.shape));
		assert_int_equal(array.dimensions, again.dimensions);
		assert_int_equal(out.length, again.data_offset);
		fsmeta_buffer_release(&out);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct fsmeta_npy array = {.dimensions = 1, .shape = {UINT64_MAX / 2}};
		struct fsmeta_buffer out = {0};

		strcpy(array.descr, wrong[i]);
		assert_code(FSMETA_E_USAGE, fsmeta_npy_append_header(&out, &array, &error), &error);
		assert_int_equal(0, out.length);
		fsmeta_buffer_release(&out);
	}
}

static void test_hostile_headers(void **state)
{
	uint64_t seed = 23;
	struct fsmeta_npy array = {
	    .descr = "[('x', '<f4', (2, 3)), ('y', '|S2')]", .dimensions = 2, .shape = {3, 4}};
	struct fsmeta_buffer good = {0};
	struct fsmeta_error error = {0};

	(void)state;
	assert_ok(fsmeta_npy_append_header(&good, &array, &error), &error);
	for (int round = 0; round < 30000; round++) {
		size_t size = round % 4 ? good.length : scratch_random(&seed) % good.length;
		unsigned char *bad = malloc(size ? size : 1);
		struct fsmeta_npy parsed;

		memcpy(bad, good.data, size);
		for (uint64_t n = scratch_random(&seed) % 4; n && size; n--)
			bad[scratch_random(&seed) % size] = (unsigned char)scratch_random(&seed);
		if (fsmeta_npy_parse(&parsed, bad, size, "bad", &error) == 0)
			assert_true(parsed.data_offset <= size);
		free(bad);
	}
	/* As deep as one likes. */
	good.length = 10;
	for (int i = 0; i < 9000; i++)
		assert_int_equal(
		    0, fsmeta_buffer_append_text(&good, i ? "('a', [" : "{'descr': ["));
	good.data[8] = (unsigned char)((good.length - 10) & 255);
	good.data[9] = (unsigned char)((good.length - 10) >> 8);
	assert_code(FSMETA_E_CORRUPT,
	    fsmeta_npy_parse(&array, good.data, good.length, "deep", &error), &error);
	fsmeta_buffer_release(&good);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_headers),
	    cmocka_unit_test(test_hostile_headers),
	    cmocka_unit_test(test_refs),
	    cmocka_unit_test(test_frames),
	    cmocka_unit_test(test_dependencies),
	    cmocka_unit_test(test_leases),
	    cmocka_unit_test(test_keeping),
	    cmocka_unit_test(test_dry_run),
	    cmocka_unit_test(test_threads),
	    cmocka_unit_test(test_killed),
	};

	return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
