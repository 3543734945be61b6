/*
 * Recordings: what was appended is read back, by either index; every cut of the index and of the
 * data; killed recorders; seeking and windows against naive loops; quota; bitstreams searched for
 * what the index lost.
 */
#include "test_archive_scratch.h"

#include "archive/recording_lines.h"
#include "archive/recordings.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	CHUNK_MAX = 300,
	KEY_EVERY = 30,
	FRAME_US = 33333
};

static const struct fsmeta_recording_format vp9 = {
    .codec = "vp09.00.10.08", .width = 1280, .height = 720, .framerate_millihertz = 30000};
static const struct fsmeta_recording_format h264 = {
    .codec = "h264", .width = 64, .height = 64, .framerate_millihertz = 30000};

/** Chunk `n`; of Annex B where `annexb`. */
static size_t make_chunk(unsigned char *out, uint64_t n, bool annexb)
{
	size_t size = 8 + n * 7919 % (CHUNK_MAX - 8);

	for (size_t i = 0; i < size; i++)
		out[i] = (unsigned char)(2 + (n + i) % 250);
	if (annexb)
		memcpy(out, (unsigned char[]){0, 0, 0, 1, n % KEY_EVERY ? 0x41 : 0x65, 0x88}, 6);
	return size;
}

static int append(
    struct fsmeta_recording_writer *writer, uint64_t n, bool annexb, struct fsmeta_error *error)
{
	unsigned char bytes[CHUNK_MAX];
	size_t size = make_chunk(bytes, n, annexb);

	return fsmeta_recording_append(
	    writer, (int64_t)n * FRAME_US, n % KEY_EVERY == 0, bytes, size, error);
}

static struct fsmeta_recording_writer *init(const char *id,
    const struct fsmeta_recording_format *format, const struct fsmeta_recording_options *options)
{
	struct fsmeta_recording_writer *writer;
	struct fsmeta_error error = {0};

	assert_ok(
	    fsmeta_recording_init(&writer, scratch_root, id, format, options, &error), &error);
	return writer;
}

static struct fsmeta_recording open_recording(const char *id)
{
	struct fsmeta_recording recording;
	struct fsmeta_error error = {0};

	assert_ok(fsmeta_recording_open(&recording, scratch_root, id, &error), &error);
	return recording;
}

static void assert_serves(
    const struct fsmeta_recording *recording, uint64_t from, uint64_t count, bool annexb)
{
	struct fsmeta_buffer bytes = {0};
	struct fsmeta_error error = {0};

	assert_int_equal(count, recording->count);
	assert_ok(fsmeta_recording_read(recording, from, count, &bytes, &error), &error);
	size_t at = 0;
	for (uint64_t n = from; n < count; n++) {
		unsigned char wanted[CHUNK_MAX];
		struct fsmeta_chunk chunk;
		size_t size = make_chunk(wanted, n, annexb);

		assert_ok(fsmeta_recording_chunk(recording, n, &chunk, &error), &error);
		assert_int_equal(size, chunk.size);
		assert_int_equal(n % KEY_EVERY == 0, chunk.is_key);
		assert_int_equal((int64_t)n * FRAME_US, chunk.timestamp_us);
		assert_memory_equal(wanted, bytes.data + at, size);
		at += size;
	}
	assert_int_equal(at, bytes.length);
	fsmeta_buffer_release(&bytes);
}

static void record(
    const char *id, const struct fsmeta_recording_format *format, uint64_t count, bool finalize)
{
	struct fsmeta_recording_writer *writer = init(id, format, NULL);
	struct fsmeta_error error = {0};

	for (uint64_t n = 0; n < count; n++)
		assert_ok(append(writer, n, format == &h264, &error), &error);
	if (finalize) {
		assert_ok(fsmeta_recording_finalize(writer, &error), &error);
	} else {
		assert_ok(fsmeta_recording_flush(writer, &error), &error);
		fsmeta_recording_abandon(writer);
	}
}

static const char *path_of(const char *id, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "rec_%s/%s", id, name);
	return scratch_path(path);
}

static off_t size_of(const char *path)
{
	struct stat status;

	assert_int_equal(0, stat(path, &status));
	return status.st_size;
}

/** Nobody sees a recording that is not all there, and a crash while one is made leaves none. */
static void test_begun(void **state)
{
	struct fsmeta_recording_writer *writer, *other;
	struct fsmeta_recording recording;
	struct fsmeta_error error = {0};
	uint64_t bytes, count;

	(void)state;
	/* What a crash may leave. */
	assert_int_equal(0, mkdir(scratch_path(".begun-rec_again"), 0755));
	assert_int_equal(0, mkdir(scratch_path(".begun-rec_again/meta.json"), 0755));
	writer = init("again", &vp9, NULL);
	assert_int_equal(-1, access(scratch_path(".begun-rec_again"), F_OK));
	assert_ok(append(writer, 0, false, &error), &error);
	/* A second one of the name is refused, and leaves the first alone. */
	assert_code(FSMETA_E_SYSTEM,
	    fsmeta_recording_init(&other, scratch_root, "again", &vp9, NULL, &error), &error);
	assert_int_equal(EEXIST, error.system_errno);
	assert_null(other);
	assert_ok(fsmeta_recording_finalize(writer, &error), &error);
	recording = open_recording("again");
	assert_true(recording.is_completed);
	assert_int_equal(1, recording.count);
	fsmeta_recording_release(&recording);
	assert_ok(fsmeta_recordings_usage(scratch_root, &bytes, &count, &error), &error);
	assert_ok(fsmeta_recording_delete(scratch_root, "again", &error), &error);
}

static void test_life(void **state)
{
	struct fsmeta_recording_writer *writer = init("life", &vp9, NULL);
	struct fsmeta_recording_recovered recovered;
	struct fsmeta_recording_summary summary;
	struct fsmeta_recording recording;
	struct fsmeta_buffer text = {0};
	struct fsmeta_error error = {0};

	(void)state;
	for (uint64_t n = 0; n < 250; n++)
		assert_ok(append(writer, n, false, &error), &error);
	/* While it is recorded: what was flushed, every 100 chunks. */
	recording = open_recording("life");
	assert_true(recording.is_quick);
	assert_false(recording.is_completed);
	assert_serves(&recording, 0, 200, false);
	assert_true(recording.data_bytes > recording.indexed_bytes);
	fsmeta_recording_release(&recording);
	assert_code(FSMETA_E_BUSY,
	    fsmeta_recording_recover(scratch_root, "life", &recovered, &error), &error);
	assert_code(FSMETA_E_BUSY, fsmeta_recording_delete(scratch_root, "life", &error), &error);
	assert_ok(fsmeta_recording_flush(writer, &error), &error);
	recording = open_recording("life");
	assert_serves(&recording, 0, 250, false);
	fsmeta_recording_release(&recording);
	assert_ok(fsmeta_recording_finalize(writer, &error), &error);
	recording = open_recording("life");
	assert_true(recording.is_completed && recording.is_quick && recording.is_sorted);
	assert_int_equal(1280, recording.format.width);
	assert_int_equal(30000, recording.format.framerate_millihertz);
	assert_string_equal("vp09.00.10.08", recording.format.codec);
	assert_serves(&recording, 0, 250, false);
	assert_ok(fsmeta_recording_summarise(&recording, &summary, &error), &error);
	assert_int_equal(250, summary.chunks);
	assert_int_equal(9, summary.keys);
	assert_int_equal(249 * FRAME_US, summary.last_us - summary.first_us);
	assert_int_equal(recording.data_bytes, summary.bytes);
	fsmeta_recording_release(&recording);
	assert_ok(fsmeta_recording_recover(scratch_root, "life", &recovered, &error), &error);
	/* The first line, as the seed shows it. */
	assert_ok(
	    fsmeta_read_file_at(&text, AT_FDCWD, path_of("life", "index.jsonl"), 1 << 20, &error),
	    &error);
	const char *wanted =
	    "{\"offset\":0,\"size\":8,\"timestamp\":0,\"type\":\"key\",\"isKeyframe\":true}\n";
	assert_memory_equal(wanted, text.data, strlen(wanted));
	fsmeta_buffer_release(&text);
	/* A second one of that name, and names that are none. */
	assert_code(FSMETA_E_SYSTEM,
	    fsmeta_recording_init(&writer, scratch_root, "life", &vp9, NULL, &error), &error);
	assert_code(FSMETA_E_USAGE,
	    fsmeta_recording_init(&writer, scratch_root, "../x", &vp9, NULL, &error), &error);
	assert_ok(fsmeta_recording_delete(scratch_root, "life", &error), &error);
	assert_int_equal(-1, access(path_of("life", ""), F_OK));
}

/** The index of lines cut at every byte of its last lines: the last valid line counts. */
static void test_cut_lines(void **state)
{
	struct fsmeta_recording_recovered recovered;
	struct fsmeta_error error = {0};
	off_t starts[13];

	(void)state;
	for (int sealed = 0; sealed < 2; sealed++) {
		for (off_t cut = 0;; cut++) {
			struct fsmeta_recording recording;
			struct fsmeta_buffer text = {0};
			uint64_t whole = 0;

			record("cut", &vp9, 12, sealed);
			assert_ok(fsmeta_read_file_at(&text, AT_FDCWD,
				      path_of("cut", "index.jsonl"), 1 << 20, &error),
			    &error);
			starts[0] = 0;
			for (size_t i = 0, n = 0; i < text.length; i++)
				if (text.data[i] == '\n')
					starts[++n] = (off_t)i + 1;
			off_t size = (off_t)text.length;
			fsmeta_buffer_release(&text);
			if (cut >= size) {
				fsmeta_recording_delete(scratch_root, "cut", &error);
				break;
			}
			assert_int_equal(0, truncate(path_of("cut", "index.jsonl"), cut));
			while (whole < 12 && starts[whole + 1] <= cut)
				whole++;
			recording = open_recording("cut");
			assert_false(recording.is_quick);
			assert_serves(&recording, 0, whole, false);
			assert_int_equal(cut - starts[whole], recording.invalid_line_bytes);
			fsmeta_recording_release(&recording);
			assert_code(1,
			    fsmeta_recording_recover(scratch_root, "cut", &recovered, &error),
			    &error);
			assert_int_equal(whole, recovered.chunks);
			assert_int_equal(0, recovered.rebuilt);
			recording = open_recording("cut");
			assert_true(recording.is_quick && recording.is_completed);
			assert_int_equal(recording.data_bytes, recording.indexed_bytes);
			assert_serves(&recording, 0, whole, false);
			fsmeta_recording_release(&recording);
			assert_ok(fsmeta_recording_delete(scratch_root, "cut", &error), &error);
			if (cut > 200 && cut < size - 90)
				cut = size - 90;
		}
	}
}

/** Data cut: chunks that are not whole are not served, whichever index says so. */
static void test_cut_data(void **state)
{
	struct fsmeta_recording_recovered recovered;
	struct fsmeta_error error = {0};

	(void)state;
	record("data", &vp9, 40, true);
	for (off_t cut = size_of(path_of("data", "data.bin")) - 1; cut >= 0; cut -= 1 + cut % 37) {
		struct fsmeta_recording recording;
		unsigned char bytes[CHUNK_MAX];
		uint64_t whole = 0;
		off_t end = 0;

		assert_int_equal(0, truncate(path_of("data", "data.bin"), cut));
		while (whole < 40 && end + (off_t)make_chunk(bytes, whole, false) <= cut)
			end += (off_t)make_chunk(bytes, whole++, false);
		recording = open_recording("data");
		assert_serves(&recording, 0, whole, false);
		fsmeta_recording_release(&recording);
	}
	assert_int_equal(0, truncate(path_of("data", "data.bin"), 3));
	assert_code(1, fsmeta_recording_recover(scratch_root, "data", &recovered, &error), &error);
	assert_int_equal(0, recovered.chunks);
	assert_ok(fsmeta_recording_delete(scratch_root, "data", &error), &error);
}

/** A binary index that lies is found out, or refused chunk by chunk; it never leads astray. */
static void test_hostile_index(void **state)
{
	struct fsmeta_buffer good = {0};
	struct fsmeta_error error = {0};
	uint64_t seed = 8;
	int refused = 0, read = 0;

	(void)state;
	record("lie", &vp9, 60, true);
	assert_ok(
	    fsmeta_read_file_at(&good, AT_FDCWD, path_of("lie", "index.bin"), 1 << 20, &error),
	    &error);
	for (int round = 0; round < 1500; round++) {
		struct fsmeta_recording recording;
		uint64_t first, last;
		int fd = open(path_of("lie", "index.bin"), O_WRONLY | O_TRUNC);
		size_t at = scratch_random(&seed) % good.length;
		unsigned char bit = (unsigned char)(1 << scratch_random(&seed) % 8);
		size_t size = round % 3 ? good.length : scratch_random(&seed) % good.length;

		good.data[at] ^= bit;
		assert_int_equal(size, write(fd, good.data, size));
		close(fd);
		good.data[at] ^= bit;
		recording = open_recording("lie");
		assert_true(recording.count <= 60);
		for (uint64_t i = 0; i < recording.count; i++) {
			struct fsmeta_chunk chunk;

			if (fsmeta_recording_chunk(&recording, i, &chunk, NULL))
				refused++;
			else
				assert_true(chunk.offset + chunk.size <= recording.data_bytes);
		}
		if (fsmeta_recording_window(&recording, 0, INT64_MAX, &first, &last, NULL) == 0) {
			struct fsmeta_buffer bytes = {0};

			assert_true(last <= recording.count);
			read += fsmeta_recording_read(&recording, first, last, &bytes, NULL) == 0;
			fsmeta_buffer_release(&bytes);
		}
		fsmeta_recording_release(&recording);
	}
	assert_true(refused > 0 && read > 0);
	fsmeta_buffer_release(&good);
	assert_ok(fsmeta_recording_delete(scratch_root, "lie", &error), &error);
}

/** Lines as others write them: other orders of keys, blanks, a line in between that is none. */
static void test_foreign_lines(void **state)
{
	static const char lines[] =
	    "{ \"type\": \"key\", \"timestamp\": -5, \"offset\": 0, \"size\": 8 }\n"
	    "{\"offset\":8,\"size\":4,\"timestamp\":10,\"type\":\"delta\",\"isKeyframe\":false}\r\n"
	    "{\"offset\":12,\"size\":2,\"timestamp\":5,\"isKeyframe\":true,\"more\":[1]}\n";
	struct fsmeta_recording recording;
	struct fsmeta_chunk chunk;
	struct fsmeta_error error = {0};
	int fd;

	(void)state;
	record("foreign", &vp9, 3, true);
	fd = open(path_of("foreign", "index.jsonl"), O_WRONLY | O_TRUNC);
	assert_int_equal(sizeof(lines) - 1, write(fd, lines, sizeof(lines) - 1));
	assert_int_equal(1, write(fd, "\n", 1));
	close(fd);
	recording = open_recording("foreign");
	assert_false(recording.is_quick);
	assert_false(recording.is_sorted);
	assert_int_equal(3, recording.count);
	assert_int_equal(1, recording.invalid_line_bytes);
	assert_ok(fsmeta_recording_chunk(&recording, 0, &chunk, &error), &error);
	assert_true(chunk.is_key && chunk.timestamp_us == -5 && chunk.size == 8);
	assert_ok(fsmeta_recording_chunk(&recording, 2, &chunk, &error), &error);
	assert_true(chunk.is_key && chunk.timestamp_us == 5 && chunk.offset == 12);
	fsmeta_recording_release(&recording);
	static const char *const wrong[] = {"", "{}", "[]",
	    "{\"offset\":0,\"size\":0,\"timestamp\":0,"
	    "\"isKeyframe\":true}",
	    "{\"offset\":-1,\"size\":1,\"timestamp\":0,\"isKeyframe\":true}",
	    "{\"offset\":0,\"size\":1,\"timestamp\":0}",
	    "{\"offset\":0,\"size\":1,\"timestamp\":0.5,\"isKeyframe\":true}",
	    "{\"offset\":0,\"size\":99999999999999999999,\"timestamp\":0,\"type\":\"key\","
	    "\"isKeyframe\":true}",
	    "{\"offset\":0,\"size\":1,\"timestamp\":0,\"type\":\"key\",\"isKeyframe\":true} x"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(fsmeta_recording_parse_line(&chunk, wrong[i], strlen(wrong[i])));
	assert_ok(fsmeta_recording_delete(scratch_root, "foreign", &error), &error);
}

static void test_seek(void **state)
{
	struct fsmeta_error error = {0};
	uint64_t seed = 3;

	(void)state;
	for (int sorted = 0; sorted < 2; sorted++) {
		struct fsmeta_recording_writer *writer = init("seek", &vp9, NULL);
		struct fsmeta_recording recording;
		int64_t times[400];

		for (uint64_t n = 0; n < 400; n++) {
			/* An encoder that reorders shows the next one later. */
			uint64_t shown = sorted ? n : n % 3 == 1 ? n + 1 : n % 3 == 2 ? n - 1 : n;

			times[n] = (int64_t)shown * 1000;
			assert_ok(fsmeta_recording_append(
				      writer, times[n], n % 30 == 0, "abc", 3, &error),
			    &error);
		}
		assert_ok(fsmeta_recording_finalize(writer, &error), &error);
		recording = open_recording("seek");
		assert_int_equal(sorted, recording.is_sorted);
		for (int round = 0; round < 2000; round++) {
			int64_t from = (int64_t)(scratch_random(&seed) % 420000) - 10000;
			int64_t to = from + (int64_t)(scratch_random(&seed) % 40000);
			uint64_t key, wanted = 0, first, last, low = 400, high = 0;

			for (uint64_t n = 0; n < 400; n++) {
				if (n % 30 == 0 && times[n] <= from)
					wanted = n;
				if (times[n] >= from && times[n] < to) {
					low = n < low ? n : low;
					high = n + 1;
				}
			}
			assert_ok(fsmeta_recording_seek(&recording, from, &key, &error), &error);
			assert_int_equal(wanted, key);
			assert_ok(
			    fsmeta_recording_window(&recording, from, to, &first, &last, &error),
			    &error);
			assert_int_equal(high, last);
			assert_int_equal(high ? low / 30 * 30 : 0, first);
		}
		fsmeta_recording_release(&recording);
		assert_ok(fsmeta_recording_delete(scratch_root, "seek", &error), &error);
	}
}

/** H.264: what the index lost is found in the bitstream, all but the last unit, which may be half.
 */
static void test_rebuilt(void **state)
{
	struct fsmeta_recording_writer *writer = init("bits", &h264, NULL);
	struct fsmeta_recording_recovered recovered;
	struct fsmeta_recording recording;
	struct fsmeta_error error = {0};

	(void)state;
	for (uint64_t n = 0; n < 170; n++)
		assert_ok(append(writer, n, true, &error), &error);
	fsmeta_recording_abandon(writer);
	assert_int_equal(
	    0, truncate(path_of("bits", "data.bin"), size_of(path_of("bits", "data.bin")) - 3));
	assert_code(1, fsmeta_recording_recover(scratch_root, "bits", &recovered, &error), &error);
	assert_int_equal(169, recovered.chunks);
	assert_int_equal(69, recovered.rebuilt);
	assert_true(recovered.cut_bytes > 0);
	recording = open_recording("bits");
	assert_true(recording.is_quick && recording.is_completed);
	assert_serves(&recording, 0, 169, true);
	fsmeta_recording_release(&recording);
	/* And where the whole index is gone. */
	assert_int_equal(0, unlink(path_of("bits", "index.jsonl")));
	assert_code(1, fsmeta_recording_recover(scratch_root, "bits", &recovered, &error), &error);
	assert_int_equal(168, recovered.rebuilt);
	recording = open_recording("bits");
	assert_serves(&recording, 0, 168, true);
	fsmeta_recording_release(&recording);
	assert_ok(fsmeta_recording_delete(scratch_root, "bits", &error), &error);
}

static void test_killed(void **state)
{
	uint64_t seed = 5;

	(void)state;
	for (int round = 0; round < 30; round++) {
		struct fsmeta_recording_recovered recovered;
		struct fsmeta_recording recording;
		struct fsmeta_error error = {0};
		uint64_t told = 0, count;
		int acknowledged[2], status;
		bool annexb = round % 2;

		assert_int_equal(0, pipe(acknowledged));
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			struct fsmeta_recording_writer *writer;

			if (fsmeta_recording_init(
				&writer, scratch_root, "kill", annexb ? &h264 : &vp9, NULL, NULL))
				_exit(1);
			for (uint64_t n = 0; n < 3000; n++) {
				if (append(writer, n, annexb, NULL))
					_exit(1);
				count = n + 1;
				if (write(acknowledged[1], &count, sizeof(count)) < 0)
					_exit(1);
			}
			pause();
			_exit(1);
		}
		close(acknowledged[1]);
		usleep((useconds_t)(2000 + scratch_random(&seed) % 20000));
		kill(child, SIGKILL);
		assert_int_equal(child, waitpid(child, &status, 0));
		while (read(acknowledged[0], &count, sizeof(count)) == sizeof(count))
			told = count;
		close(acknowledged[0]);
		if (told) {
			assert_in_range(
			    fsmeta_recording_recover(scratch_root, "kill", &recovered, &error), 0,
			    1);
			recording = open_recording("kill");
			assert_true(recording.is_completed && recording.is_quick);
			/* All that was flushed; of H.264 all but the last. */
			assert_in_range(recording.count, told / 100 * 100, told + 1);
			if (annexb)
				assert_true(recording.count + 1 >= told);
			assert_serves(&recording, 0, recording.count, annexb);
			fsmeta_recording_release(&recording);
		}
		char name[96];
		snprintf(name, sizeof(name), "%s/rec_kill", scratch_root);
		assert_ok(fsmeta_remove_tree_at(AT_FDCWD, name, &error), &error);
	}
}

static void test_quota(void **state)
{
	const struct fsmeta_recording_options options = {.quota_bytes = 100000, .flush_chunks = 10};
	struct fsmeta_recording_writer *writer, *second;
	struct fsmeta_error error = {0};
	uint64_t bytes, count, n = 0;
	bool warned = false;
	int code;

	(void)state;
	record("other", &vp9, 100, true);
	assert_ok(fsmeta_recordings_usage(scratch_root, &bytes, &count, &error), &error);
	assert_int_equal(1, count);
	assert_int_equal(
	    size_of(path_of("other", "data.bin")) + size_of(path_of("other", "index.jsonl")) +
		size_of(path_of("other", "index.bin")) + size_of(path_of("other", "meta.json")),
	    bytes);
	writer = init("quota", &vp9, &options);
	assert_false(fsmeta_recording_is_near_quota(writer));
	while ((code = append(writer, n, false, &error)) == 0) {
		n++;
		warned |= fsmeta_recording_is_near_quota(writer);
	}
	assert_code(FSMETA_E_REFUSED, code, &error);
	assert_true(warned && n > 50);
	assert_ok(fsmeta_recording_finalize(writer, &error), &error);
	assert_ok(fsmeta_recordings_usage(scratch_root, &bytes, &count, &error), &error);
	assert_in_range(bytes, 95000, 100000 + 400 /* meta.json */);
	const struct fsmeta_recording_options tight = {.quota_bytes = bytes + 400};
	second = init("third", &vp9, &tight);
	assert_code(FSMETA_E_REFUSED,
	    fsmeta_recording_append(second, 0, true, scratch_root, 300, &error), &error);
	fsmeta_recording_abandon(second);
	assert_ok(fsmeta_recording_delete(scratch_root, "other", &error), &error);
	assert_ok(fsmeta_recording_delete(scratch_root, "quota", &error), &error);
	assert_ok(fsmeta_recording_delete(scratch_root, "third", &error), &error);
	/* A folder of that name that is no recording does not count. */
	assert_int_equal(0, mkdir(scratch_path("rec_photos"), 0755));
	assert_ok(fsmeta_recordings_usage(scratch_root, &bytes, &count, &error), &error);
	assert_int_equal(0, bytes + count);
	assert_ok(fsmeta_recordings_usage("/nonexistent/x", &bytes, &count, &error), &error);
}

/** A disk that is full: the chunk is not there, the next one is, and the lines are in order. */
static void test_full_disk(void **state)
{
	struct fsmeta_recording_writer *writer = init("full", &vp9, NULL);
	struct fsmeta_recording recording;
	struct fsmeta_error error = {0};
	struct rlimit old, small;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	for (uint64_t n = 0; n < 50; n++)
		assert_ok(append(writer, n, false, &error), &error);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = (rlim_t)size_of(path_of("full", "data.bin")) + 5;
	setrlimit(RLIMIT_FSIZE, &small);
	int code = append(writer, 50, false, &error);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_code(FSMETA_E_SYSTEM, code, &error);
	for (uint64_t n = 50; n < 130; n++)
		assert_ok(append(writer, n, false, &error), &error);
	assert_ok(fsmeta_recording_finalize(writer, &error), &error);
	recording = open_recording("full");
	assert_serves(&recording, 0, 130, false);
	fsmeta_recording_release(&recording);
	assert_ok(fsmeta_recording_delete(scratch_root, "full", &error), &error);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_life),
	    cmocka_unit_test(test_begun),
	    cmocka_unit_test(test_cut_lines),
	    cmocka_unit_test(test_cut_data),
	    cmocka_unit_test(test_hostile_index),
	    cmocka_unit_test(test_foreign_lines),
	    cmocka_unit_test(test_seek),
	    cmocka_unit_test(test_rebuilt),
	    cmocka_unit_test(test_killed),
	    cmocka_unit_test(test_quota),
	    cmocka_unit_test(test_full_disk),
	};

	return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
