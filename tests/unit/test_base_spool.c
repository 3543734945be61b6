/* Spools at and around their bound, patches across the switch, full disks. */
#include "base/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- A disk and a file system that we can make fail (linked with --wrap) ---- */

static int writes_until_full = -1;
static unsigned write_calls;
static bool no_tmpfile;

ssize_t __real_pwrite64(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset);
int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);

ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset)
{
	write_calls++;
	if (writes_until_full == 0) {
		errno = ENOSPC;
		return -1;
	}
	if (writes_until_full > 0)
		writes_until_full--;
	/* Short writes are allowed, so let there be some. */
	return __real_pwrite64(fd, bytes, size > 10000 ? 10000 : size, offset);
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
	return __wrap_pwrite64(fd, bytes, size, offset);
}

int __wrap_open64(const char *path, int flags, ...)
{
	if ((flags & O_TMPFILE) == O_TMPFILE && no_tmpfile) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return __real_open64(path, flags, 0600);
}

int __wrap_open(const char *path, int flags, ...)
{
	return __wrap_open64(path, flags);
}

static int restore(void **state)
{
	(void)state;
	writes_until_full = -1;
	no_tmpfile = false;
	return 0;
}

/* ---- A spool beside an array that must always be equal ---- */

enum {
	MODEL_BYTES = 3 << 20,
};

struct pair {
	struct fsmeta_spool *spool;
	unsigned char *model;
	size_t size;
};

static void begin(struct pair *pair, size_t bound)
{
	struct fsmeta_error error = {0};

	pair->model = malloc(MODEL_BYTES);
	pair->size = 0;
	assert_non_null(pair->model);
	assert_int_equal(fsmeta_spool_new(&pair->spool, bound, NULL, &error), 0);
}

static void end(struct pair *pair)
{
	fsmeta_spool_free(pair->spool);
	free(pair->model);
}

static void append(struct pair *pair, size_t size)
{
	struct fsmeta_error error = {0};
	uint64_t offset;

	for (size_t i = 0; i < size; i++)
		pair->model[pair->size + i] = (unsigned char)rand();
	assert_int_equal(
	    fsmeta_spool_append(pair->spool, pair->model + pair->size, size, &offset, &error), 0);
	assert_int_equal(offset, pair->size);
	pair->size += size;
	assert_int_equal(fsmeta_spool_size(pair->spool), pair->size);
}

static void patch(struct pair *pair, size_t offset, size_t size)
{
	for (size_t i = 0; i < size; i++)
		pair->model[offset + i] = (unsigned char)rand();
	assert_int_equal(
	    fsmeta_spool_patch(pair->spool, offset, pair->model + offset, size, NULL), 0);
}

static void check(struct pair *pair, size_t offset, size_t size)
{
	unsigned char *bytes = malloc(size + 1);

	assert_non_null(bytes);
	assert_int_equal(fsmeta_spool_read(pair->spool, offset, bytes, size, NULL), 0);
	assert_memory_equal(bytes, pair->model + offset, size);
	free(bytes);
}

static void check_in_steps(struct pair *pair, size_t step)
{
	for (size_t at = 0; at < pair->size; at += step)
		check(pair, at, pair->size - at < step ? pair->size - at : step);
}

static void test_empty(void **state)
{
	struct pair pair;
	unsigned char byte;

	(void)state;
	begin(&pair, 0);
	assert_int_equal(fsmeta_spool_size(pair.spool), 0);
	append(&pair, 0);
	check(&pair, 0, 0);
	assert_int_equal(fsmeta_spool_read(pair.spool, 0, &byte, 1, NULL), FSMETA_E_INTERNAL);
	end(&pair);
	fsmeta_spool_free(NULL);
}

static void test_bounds(void **state)
{
	static const size_t bounds[] = {1, 2, 100, 4096, 300 << 10, 1 << 20};

	(void)state;
	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++)
		for (int over = -1; over <= 1; over++) {
			struct pair pair;

			srand(3);
			begin(&pair, bounds[i]);
			append(&pair, bounds[i] + (size_t)over);
			check(&pair, 0, pair.size);
			append(&pair, 1);
			append(&pair, 1);
			check(&pair, 0, pair.size);
			patch(&pair, 0, pair.size);
			append(&pair, 50);
			check(&pair, 0, pair.size);
			check_in_steps(&pair, pair.size / 7 + 1);
			end(&pair);
		}
}

static void test_no_file_before_the_bound(void **state)
{
	struct fsmeta_spool *spool;
	struct fsmeta_error error = {0};

	(void)state;
	assert_int_equal(fsmeta_spool_new(&spool, 10, "/nonexistent/folder", &error), 0);
	assert_int_equal(fsmeta_spool_append(spool, "0123456789", 10, NULL, &error), 0);
	assert_int_equal(fsmeta_spool_append(spool, "x", 1, NULL, &error), FSMETA_E_SYSTEM);
	assert_int_equal(error.system_errno, ENOENT);
	assert_string_equal(error.path, "/nonexistent/folder");
	assert_int_equal(fsmeta_spool_size(spool), 10);
	fsmeta_spool_free(spool);
}

static void random_steps(size_t bound, int steps, size_t largest)
{
	struct pair pair;

	begin(&pair, bound);
	for (int i = 0; i < steps; i++) {
		size_t size = (size_t)rand() % largest;

		if (pair.size + size < MODEL_BYTES)
			append(&pair, size);
		if (pair.size) {
			size_t offset = (size_t)rand() % pair.size;
			size_t room = pair.size - offset;

			if (size > room)
				size = room;
			if (rand() % 2)
				patch(&pair, offset, size);
			check(&pair, offset, size);
		}
	}
	check_in_steps(&pair, 1 + largest / 3);
	end(&pair);
}

static void test_random_steps(void **state)
{
	(void)state;
	srand(11);
	random_steps(1000, 3000, 100);
	random_steps(50000, 500, 5000);
	random_steps(100, 300, 10);
	random_steps(1 << 20, 300, 20000);
	random_steps(10, 40, 400000);
}

/** Patching what the read-ahead has already fetched must be seen. */
static void test_patch_under_the_window(void **state)
{
	struct pair pair;

	(void)state;
	begin(&pair, 1000);
	for (int i = 0; i < 300; i++)
		append(&pair, 1000);
	check(&pair, 0, 10);
	check(&pair, 10, 10);
	check(&pair, 20, 10);
	patch(&pair, 25, 100);
	check(&pair, 30, 10);
	check(&pair, 40, 10);
	patch(&pair, 45, 10);
	check(&pair, 50, 10);
	end(&pair);
}

static void test_small_appends_are_gathered(void **state)
{
	struct pair pair;

	(void)state;
	begin(&pair, 300 << 10);
	append(&pair, 400 << 10);
	write_calls = 0;
	for (int i = 0; i < 10000; i++)
		append(&pair, 20);
	assert_int_equal(write_calls, 0);
	check_in_steps(&pair, 20);
	end(&pair);
}

static void test_beyond_the_end(void **state)
{
	struct fsmeta_error error = {0};
	struct pair pair;
	char bytes[10] = {0};

	(void)state;
	begin(&pair, 5);
	append(&pair, 8);
	assert_int_equal(fsmeta_spool_read(pair.spool, 0, bytes, 9, &error), FSMETA_E_INTERNAL);
	assert_int_equal(fsmeta_spool_read(pair.spool, 9, bytes, 0, &error), FSMETA_E_INTERNAL);
	assert_int_equal(fsmeta_spool_patch(pair.spool, 7, bytes, 2, &error), FSMETA_E_INTERNAL);
	assert_int_equal(
	    fsmeta_spool_patch(pair.spool, UINT64_MAX, bytes, 2, &error), FSMETA_E_INTERNAL);
	assert_int_equal(
	    fsmeta_spool_append(pair.spool, bytes, SIZE_MAX, NULL, &error), FSMETA_E_LIMIT);
	check(&pair, 0, 8);
	end(&pair);
}

static void test_full_disk_costs_only_the_append(void **state)
{
	int failed = 0;

	(void)state;
	for (int writes = 0; writes < 7; writes++) {
		struct fsmeta_error error = {0};
		struct pair pair;
		char big[35000] = {1};

		begin(&pair, 20000);
		append(&pair, 15000);
		writes_until_full = writes;
		if (fsmeta_spool_append(pair.spool, big, sizeof(big), NULL, &error)) {
			assert_int_equal(error.system_errno, ENOSPC);
			failed++;
			assert_int_equal(fsmeta_spool_size(pair.spool), pair.size);
		} else {
			memcpy(pair.model + pair.size, big, sizeof(big));
			pair.size += sizeof(big);
		}
		check(&pair, 0, pair.size);
		writes_until_full = -1;
		append(&pair, 40000);
		check(&pair, 0, pair.size);
		end(&pair);
	}
	/* Two writes for what was there, four for the new, of 10,000 bytes each. */
	assert_int_equal(failed, 6);
}

static void test_without_tmpfile(void **state)
{
	char folder[] = "/tmp/fsmeta-test-XXXXXX";
	struct fsmeta_spool *spool;
	char bytes[6];

	(void)state;
	no_tmpfile = true;
	assert_non_null(mkdtemp(folder));
	assert_int_equal(fsmeta_spool_new(&spool, 3, folder, NULL), 0);
	assert_int_equal(fsmeta_spool_append(spool, "abcdef", 6, NULL, NULL), 0);
	assert_int_equal(fsmeta_spool_read(spool, 0, bytes, 6, NULL), 0);
	assert_memory_equal(bytes, "abcdef", 6);
	/* The name is gone while the spool lives. */
	assert_int_equal(rmdir(folder), 0);
	fsmeta_spool_free(spool);
}

static void test_default_folder(void **state)
{
	struct fsmeta_spool *spool;

	(void)state;
	assert_int_equal(setenv("TMPDIR", "/nonexistent", 1), 0);
	assert_int_equal(fsmeta_spool_new(&spool, 1, NULL, NULL), 0);
	assert_int_equal(fsmeta_spool_append(spool, "abc", 3, NULL, NULL), 0);
	fsmeta_spool_free(spool);
	unsetenv("TMPDIR");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_empty),
	    cmocka_unit_test(test_bounds),
	    cmocka_unit_test(test_no_file_before_the_bound),
	    cmocka_unit_test(test_random_steps),
	    cmocka_unit_test(test_patch_under_the_window),
	    cmocka_unit_test(test_small_appends_are_gathered),
	    cmocka_unit_test(test_beyond_the_end),
	    cmocka_unit_test_teardown(test_full_disk_costs_only_the_append, restore),
	    cmocka_unit_test_teardown(test_without_tmpfile, restore),
	    cmocka_unit_test(test_default_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
