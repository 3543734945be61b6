/*
 * Contents: the hash of what is there, or none.
 */
#include "scanner/content.h"
#include "scanner/hasher.h"
#include "test_scanner_tree.h"

#include <sys/syscall.h>
#include <time.h>
#include <xxhash.h>

/* ---- a kernel without openat2, threads that cannot be had --------------------- */

static bool lacks_openat2, lacks_threads;
static unsigned openat2_calls;

long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);
int __real_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
int __wrap_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	if (number == SYS_openat2) {
		__atomic_fetch_add(&openat2_calls, 1, __ATOMIC_RELAXED);
		if (lacks_openat2) {
			errno = ENOSYS;
			return -1;
		}
	}
	return __real_syscall(number, a, b, c, d, e, f);
}

int __wrap_pthread_create(
    pthread_t *id, const pthread_attr_t *attributes, void *(*work)(void *), void *payload)
{
	return lacks_threads ? EAGAIN : __real_pthread_create(id, attributes, work, payload);
}

/* ---- files --------------------------------------------------------------------- */

static struct tree tree;

static int set_up(void **state)
{
	(void)state;
	tree = tree_new();
	lacks_openat2 = false;
	lacks_threads = false;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tree_free(&tree);
	return 0;
}

/** Bytes that no two offsets have alike. */
static void fill(unsigned char *bytes, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i++) {
		seed = seed * 6364136223846793005U + 1442695040888963407U;
		bytes[i] = (unsigned char)(seed >> 56);
	}
}

static void put_file(const char *path, const void *bytes, size_t size)
{
	int fd = openat(tree.fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
}

/** The entry that a scan would give. */
static struct fsmeta_entry entry_of(const char *path)
{
	struct fsmeta_entry entry = {.path = path, .path_length = strlen(path)};
	struct stat status;

	assert_int_equal(fstatat(tree.fd, path, &status, AT_SYMLINK_NOFOLLOW), 0);
	entry.type = FSMETA_TYPE_FILE;
	entry.fields = FSMETA_FIELD_SIZE | FSMETA_FIELD_MTIME | FSMETA_FIELD_INODE;
	entry.size = (uint64_t)status.st_size;
	entry.inode = status.st_ino;
	entry.mtime.seconds = status.st_mtim.tv_sec;
	entry.mtime.nanoseconds = (uint32_t)status.st_mtim.tv_nsec;
	return entry;
}

static struct fsmeta_content_reader *reader_with(const struct fsmeta_content_options *options)
{
	struct fsmeta_content_options now = *options;
	struct fsmeta_content_reader *reader;
	struct fsmeta_error error;

	now.root_fd = tree.fd;
	now.algorithm = FSMETA_HASH_XXH3;
	assert_int_equal(fsmeta_content_reader_new(&reader, &now, &error), 0);
	return reader;
}

static struct fsmeta_content_reader *plain_reader(void)
{
	return reader_with(&(struct fsmeta_content_options){0});
}

static enum fsmeta_content_outcome outcome_of(const struct fsmeta_entry *entry, int *error_number)
{
	struct fsmeta_content_reader *reader = plain_reader();
	struct fsmeta_content_hash hash;
	enum fsmeta_content_outcome outcome =
	    fsmeta_content_read(reader, entry, false, &hash, error_number);

	fsmeta_content_reader_free(reader);
	return outcome;
}

static void assert_content(struct fsmeta_content_reader *reader, const struct fsmeta_entry *entry,
    const void *bytes, size_t size)
{
	XXH128_canonical_t expected;
	struct fsmeta_content_hash hash;
	int error_number;

	assert_int_equal(
	    fsmeta_content_read(reader, entry, false, &hash, &error_number), FSMETA_CONTENT_HASHED);
	XXH128_canonicalFromHash(&expected, XXH3_128bits(bytes, size));
	assert_int_equal(hash.algorithm, FSMETA_HASH_XXH3);
	assert_memory_equal(hash.bytes, expected.digest, sizeof(expected.digest));
}

static void contents_are_hashed(void **state)
{
	static const size_t sizes[] = {
	    0, 1, 4095, 4096, 4097, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (3 << 20) + 12345};
	struct fsmeta_content_reader *reader = plain_reader();
	unsigned char *bytes = malloc(4 << 20);

	(void)state;
	assert_non_null(bytes);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct fsmeta_entry entry;

		fill(bytes, sizes[i], i);
		put_file("file", bytes, sizes[i]);
		entry = entry_of("file");
		assert_content(reader, &entry, bytes, sizes[i]);
	}
	free(bytes);
	fsmeta_content_reader_free(reader);
}

/** Random holes, at every edge; only data is read. */
static void holes_are_zeros(void **state)
{
	const size_t block = 65536, blocks = 64;
	unsigned char *bytes = calloc(blocks, block);

	(void)state;
	assert_non_null(bytes);
	for (unsigned seed = 0; seed < 20; seed++) {
		struct fsmeta_content_reader *reader = plain_reader();
		int fd = openat(tree.fd, "sparse", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		uint64_t pattern = 0, written = 0;
		struct fsmeta_entry entry;
		struct stat status;

		assert_true(fd >= 0);
		fill((unsigned char *)&pattern, sizeof(pattern), seed);
		/* Also one that is all hole, and one that has none. */
		pattern = seed == 0 ? 0 : seed == 1 ? UINT64_MAX : pattern;
		memset(bytes, 0, blocks * block);
		for (size_t i = 0; i < blocks; i++) {
			if (!(pattern >> i & 1))
				continue;
			fill(bytes + i * block, block, seed + i);
			assert_int_equal(
			    pwrite(fd, bytes + i * block, block, (off_t)(i * block)), block);
			written += block;
		}
		assert_int_equal(ftruncate(fd, (off_t)(blocks * block)), 0);
		assert_int_equal(fsync(fd), 0);
		assert_int_equal(fstat(fd, &status), 0);
		close(fd);
		entry = entry_of("sparse");
		assert_content(reader, &entry, bytes, blocks * block);
		/* Where the file system keeps holes. */
		if ((uint64_t)status.st_blocks * 512 <= written)
			assert_int_equal(fsmeta_content_bytes_read(reader), written);
		fsmeta_content_reader_free(reader);
	}
	free(bytes);
}

/** What is there is not what was seen. */
static void other_files_are_not_believed(void **state)
{
	struct fsmeta_entry entry, other;
	int error_number;

	(void)state;
	put_file("file", "content", 7);
	entry = entry_of("file");
	assert_int_equal(outcome_of(&entry, &error_number), FSMETA_CONTENT_HASHED);
	other = entry;
	other.size = 8;
	assert_int_equal(outcome_of(&other, &error_number), FSMETA_CONTENT_CHANGED);
	other = entry;
	other.mtime.nanoseconds ^= 1;
	assert_int_equal(outcome_of(&other, &error_number), FSMETA_CONTENT_CHANGED);
	other = entry;
	other.mtime.seconds--;
	assert_int_equal(outcome_of(&other, &error_number), FSMETA_CONTENT_CHANGED);
	other = entry;
	other.inode++;
	assert_int_equal(outcome_of(&other, &error_number), FSMETA_CONTENT_CHANGED);
	/* Where inode numbers do not last, the entry has none. */
	other.fields &= ~(uint32_t)FSMETA_FIELD_INODE;
	assert_int_equal(outcome_of(&other, &error_number), FSMETA_CONTENT_HASHED);
}

/** Nothing of it blocks, follows or fails the scan. */
static void what_is_no_file_is_not_read(void **state)
{
	static const char *const swaps[] = {"link", "fifo", "folder", "missing", "file/below",
	    "link-to-folder/file", "/etc/passwd"};

	(void)state;
	put_file("file", "content", 7);
	assert_int_equal(symlinkat("file", tree.fd, "link"), 0);
	assert_int_equal(symlinkat("folder", tree.fd, "link-to-folder"), 0);
	assert_int_equal(mkfifoat(tree.fd, "fifo", 0644), 0);
	assert_int_equal(mkdirat(tree.fd, "folder", 0755), 0);
	put_file("folder/file", "content", 7);
	for (int without = 0; without < 2; without++) {
		lacks_openat2 = without;
		for (size_t i = 0; i < sizeof(swaps) / sizeof(swaps[0]); i++) {
			struct fsmeta_entry entry = entry_of("file");
			int error_number;

			/* No scan gives this, and only one of the ways refuses it by itself. */
			if (without && swaps[i][0] == '/')
				continue;
			entry.path = swaps[i];
			entry.path_length = strlen(swaps[i]);
			entry.fields &= ~(uint32_t)FSMETA_FIELD_INODE;
			assert_int_equal(outcome_of(&entry, &error_number), FSMETA_CONTENT_CHANGED);
			assert_int_equal(error_number, 0);
		}
	}
}

/** 60 folders of 200 bytes: three pieces for the kernel, or 61. */
static void long_paths_go_in_pieces(void **state)
{
	static char path[60 * 201 + 16];
	struct fsmeta_entry entry;
	struct stat status;
	size_t length = 0;
	int fd = dup(tree.fd), file;

	(void)state;
	for (int i = 0; i < 60; i++) {
		char name[201];
		int below;

		memset(name, 'a' + i % 26, 200);
		name[200] = '\0';
		assert_int_equal(mkdirat(fd, name, 0755), 0);
		below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(below >= 0);
		close(fd);
		fd = below;
		memcpy(path + length, name, 200);
		path[length + 200] = '/';
		length += 201;
	}
	strcpy(path + length, "file");
	file = openat(fd, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(write(file, "content", 7), 7);
	assert_int_equal(fstat(file, &status), 0);
	close(file);
	close(fd);
	put_file("elsewhere", "content", 7);
	entry = entry_of("elsewhere");
	entry.path = path;
	entry.path_length = strlen(path);
	entry.inode = status.st_ino;
	entry.mtime.seconds = status.st_mtim.tv_sec;
	entry.mtime.nanoseconds = (uint32_t)status.st_mtim.tv_nsec;
	for (int without = 0; without < 2; without++) {
		struct fsmeta_content_reader *reader = plain_reader();

		lacks_openat2 = without;
		openat2_calls = 0;
		assert_content(reader, &entry, "content", 7);
		/* Asked once, then no more. */
		assert_int_equal(openat2_calls, without ? 1 : 3);
		fsmeta_content_reader_free(reader);
	}
}

static void a_rate_is_kept(void **state)
{
	static unsigned char bytes[100000];
	struct fsmeta_content_rate rate = {
	    .rate = {.most = 400000}, .lock = PTHREAD_MUTEX_INITIALIZER};
	struct fsmeta_content_reader *reader =
	    reader_with(&(struct fsmeta_content_options){.rate = &rate});
	struct timespec before, after;
	struct fsmeta_entry entry;
	double seconds;

	(void)state;
	put_file("file", bytes, sizeof(bytes));
	entry = entry_of("file");
	clock_gettime(CLOCK_MONOTONIC, &before);
	for (int i = 0; i < 2; i++)
		assert_content(reader, &entry, bytes, sizeof(bytes));
	clock_gettime(CLOCK_MONOTONIC, &after);
	seconds =
	    (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9;
	/* A tenth of a second may have been saved up. */
	assert_true(seconds > 0.35);
	fsmeta_content_reader_free(reader);
}

static void reading_stops(void **state)
{
	volatile sig_atomic_t stop = 0;
	bool give_up = false;
	struct fsmeta_content_reader *reader =
	    reader_with(&(struct fsmeta_content_options){.stop = &stop, .give_up = &give_up});
	struct fsmeta_content_hash hash;
	struct fsmeta_entry entry;
	int error_number;

	(void)state;
	put_file("file", "content", 7);
	entry = entry_of("file");
	assert_content(reader, &entry, "content", 7);
	stop = 15;
	assert_int_equal(fsmeta_content_read(reader, &entry, false, &hash, &error_number),
	    FSMETA_CONTENT_STOPPED);
	stop = 0;
	give_up = true;
	assert_int_equal(fsmeta_content_read(reader, &entry, false, &hash, &error_number),
	    FSMETA_CONTENT_STOPPED);
	fsmeta_content_reader_free(reader);
}

/* ---- many -------------------------------------------------------------------------- */

enum {
	JOBS = 500,
};

struct many {
	char names[JOBS][16];
	struct fsmeta_entry entries[JOBS];
	struct fsmeta_hash_job jobs[JOBS];
	unsigned done;
	int inside;
};

static void count_done(void *payload, const struct fsmeta_hash_job *job)
{
	struct many *many = payload;

	assert_int_equal(many->inside++, 0);
	many->done++;
	assert_ptr_equal(job->payload, many);
	many->inside--;
}

static void make_many(struct many *many)
{
	memset(many, 0, sizeof(*many));
	for (int i = 0; i < JOBS; i++) {
		snprintf(many->names[i], sizeof(many->names[i]), "%04d", i);
		put_file(many->names[i], many->names[i], i % 5 ? 4 : 3);
		many->entries[i] = entry_of(many->names[i]);
		/* One of a hundred is gone. */
		if (i % 100 == 99)
			assert_int_equal(unlinkat(tree.fd, many->names[i], 0), 0);
		many->jobs[i] = (struct fsmeta_hash_job){
		    .entry = &many->entries[i], .from_disk = i % 2, .payload = many};
	}
}

static struct fsmeta_hasher *start(struct many *many, unsigned threads, uint64_t max_rate)
{
	const struct fsmeta_hasher_options options = {
	    .root = tree.path,
	    .algorithm = FSMETA_HASH_XXH3,
	    .threads = threads,
	    .max_rate = max_rate,
	    .done = count_done,
	    .done_payload = many,
	};
	struct fsmeta_hasher *hasher;
	struct fsmeta_error error;

	assert_int_equal(fsmeta_hasher_new(&hasher, &options, &error), 0);
	for (int i = 0; i < JOBS; i++)
		fsmeta_hasher_submit(hasher, &many->jobs[i]);
	return hasher;
}

static void jobs_are_done_by_any_number_of_threads(void **state)
{
	static const unsigned threads[] = {0, 1, 2, 8, 64, 1};
	static struct many many;

	(void)state;
	make_many(&many);
	for (size_t i = 0; i < sizeof(threads) / sizeof(threads[0]); i++) {
		struct fsmeta_hasher *hasher;

		lacks_threads = i == 5;
		many.done = 0;
		hasher = start(&many, threads[i], 0);
		for (int job = 0; job < JOBS; job++) {
			XXH128_canonical_t expected;

			fsmeta_hasher_wait(hasher, &many.jobs[job]);
			if (job % 100 == 99) {
				assert_int_equal(many.jobs[job].outcome, FSMETA_CONTENT_CHANGED);
				continue;
			}
			assert_int_equal(many.jobs[job].outcome, FSMETA_CONTENT_HASHED);
			XXH128_canonicalFromHash(
			    &expected, XXH3_128bits(many.names[job], job % 5 ? 4 : 3));
			assert_memory_equal(many.jobs[job].hash.bytes, expected.digest, 16);
		}
		assert_int_equal(fsmeta_hasher_bytes_read(hasher), JOBS * 4 - JOBS / 5 - 5 * 4);
		fsmeta_hasher_free(hasher);
		assert_int_equal(many.done, JOBS);
	}
}

/** Nobody waits for the rest; nor does free, in the middle of a slow file. */
static void jobs_are_given_up(void **state)
{
	static struct many many;
	struct fsmeta_hasher *hasher;
	struct timespec before, after;

	(void)state;
	make_many(&many);
	hasher = start(&many, 3, 50);
	clock_gettime(CLOCK_MONOTONIC, &before);
	fsmeta_hasher_wait(hasher, &many.jobs[0]);
	fsmeta_hasher_free(hasher);
	clock_gettime(CLOCK_MONOTONIC, &after);
	/* All of them would take 40 s. */
	assert_true(after.tv_sec - before.tv_sec < 20);
	assert_true(many.done < JOBS);
}

static void sha256_is_loaded(void **state)
{
	/* Of nothing, by FIPS 180-4. */
	static const unsigned char expected[] = {0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14,
	    0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
	    0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55};
	struct fsmeta_content_hash hash;
	struct fsmeta_error error;

	(void)state;
	assert_int_equal(fsmeta_content_hash_of_nothing(&hash, FSMETA_HASH_SHA256, &error), 0);
	assert_memory_equal(hash.bytes, expected, sizeof(expected));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(contents_are_hashed, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(holes_are_zeros, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(other_files_are_not_believed, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(what_is_no_file_is_not_read, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(long_paths_go_in_pieces, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_rate_is_kept, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(reading_stops, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		jobs_are_done_by_any_number_of_threads, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(jobs_are_given_up, set_up, tear_down),
	    cmocka_unit_test(sha256_is_loaded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
