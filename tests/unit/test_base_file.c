/* Reading within bounds, the replace protocol, removing trees. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- What the tests let fail (linked with --wrap) ---- */

/** errno for every renameat2 with flags, 0 = none. */
static int rename_flags_errno;
/** How many fsyncs succeed before one fails with EIO; -1 = all. */
static int syncs_until_failure = -1;
static int sync_calls;
/** How many renameat succeed before all fail with EIO; -1 = all succeed. */
static int renames_until_failure = -1;
/** Name that unlinkat refuses with EACCES, as for a user without permission. */
static const char *locked_name;
/** Called once before the next renameat2. */
static void (*before_rename)(void);

int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __real_unlinkat(int folder_fd, const char *name, int flags);
int __wrap_unlinkat(int folder_fd, const char *name, int flags);

int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	if (renames_until_failure == 0) {
		errno = EIO;
		return -1;
	}
	if (renames_until_failure > 0)
		renames_until_failure--;
	return __real_renameat(from_fd, from, to_fd, to);
}

int __wrap_unlinkat(int folder_fd, const char *name, int flags)
{
	if (locked_name && !strcmp(name, locked_name)) {
		errno = EACCES;
		return -1;
	}
	return __real_unlinkat(folder_fd, name, flags);
}

int __real_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	void (*hook)(void) = before_rename;

	before_rename = NULL;
	if (hook)
		hook();
	if (flags && rename_flags_errno) {
		errno = rename_flags_errno;
		return -1;
	}
	return __real_renameat2(from_fd, from, to_fd, to, flags);
}

int __wrap_fsync(int fd)
{
	sync_calls++;
	if (syncs_until_failure == 0) {
		errno = EIO;
		return -1;
	}
	if (syncs_until_failure > 0)
		syncs_until_failure--;
	return __real_fsync(fd);
}

/* ---- A folder of its own for every test; it is the working directory ---- */

static char scratch[64];
static char home[4096];

static int setup(void **state)
{
	(void)state;
	strcpy(scratch, "/tmp/fsmeta-test-XXXXXX");
	return !getcwd(home, sizeof(home)) || !mkdtemp(scratch) || chdir(scratch);
}

static int teardown(void **state)
{
	(void)state;
	rename_flags_errno = 0;
	syncs_until_failure = -1;
	renames_until_failure = -1;
	locked_name = NULL;
	before_rename = NULL;
	return chdir(home) || fsmeta_remove_tree_at(AT_FDCWD, scratch, NULL);
}

static void make_file(const char *path, const char *content)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(fsmeta_write_all(fd, content, strlen(content), path, NULL), 0);
	close(fd);
}

static void make_folder(const char *path)
{
	assert_int_equal(mkdir(path, 0755), 0);
}

static void assert_content(const char *path, const char *content)
{
	struct fsmeta_buffer out = {0};

	assert_int_equal(fsmeta_read_file_at(&out, AT_FDCWD, path, 1000, NULL), 0);
	assert_string_equal(fsmeta_buffer_string(&out), content);
	fsmeta_buffer_release(&out);
}

static bool exists(const char *path)
{
	struct stat status;

	return !lstat(path, &status);
}

/** Entries of the working directory, hidden ones too. */
static int count_entries(void)
{
	DIR *folder = opendir(".");
	struct dirent *entry;
	int count = 0;

	assert_non_null(folder);
	while ((entry = readdir(folder)))
		count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
	closedir(folder);
	return count;
}

/** The name of the one temporary that remains. */
static void find_hidden(char *out, size_t size)
{
	DIR *folder = opendir(".");
	struct dirent *entry;

	assert_non_null(folder);
	out[0] = '\0';
	while ((entry = readdir(folder)))
		if (strstr(entry->d_name, ".fsmeta-"))
			snprintf(out, size, "%s", entry->d_name);
	closedir(folder);
	assert_true(out[0] != '\0');
}

static int count_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* ---- Reading and writing ---- */

static void test_write_all_reports_a_full_disk(void **state)
{
	struct fsmeta_error error = {0};
	int fd = open("/dev/full", O_WRONLY);

	(void)state;
	if (fd < 0)
		skip();
	assert_int_equal(fsmeta_write_all(fd, "x", 1, "name", &error), FSMETA_E_SYSTEM);
	assert_int_equal(error.system_errno, ENOSPC);
	assert_string_equal(error.path, "name");
	assert_int_equal(fsmeta_write_all(fd, NULL, 0, "name", &error), 0);
	close(fd);
}

enum {
	PIPE_BYTES = 1 << 20,
};

static void *drain(void *argument)
{
	static unsigned char bytes[PIPE_BYTES];
	int fd = *(int *)argument;
	size_t got = 0;

	usleep(20000);
	if (fsmeta_read_full(fd, bytes, sizeof(bytes), &got, "pipe", NULL))
		return NULL;
	for (size_t i = 0; i < got; i++)
		if (bytes[i] != (i * 7 & 255))
			return NULL;
	return got == sizeof(bytes) ? bytes : NULL;
}

/** More than a pipe holds, through ends that somebody made non-blocking. */
static void test_pipe(void **state)
{
	unsigned char *bytes = malloc(PIPE_BYTES);
	pthread_t thread;
	void *result;
	int ends[2];

	(void)state;
	assert_non_null(bytes);
	for (size_t i = 0; i < PIPE_BYTES; i++)
		bytes[i] = (unsigned char)(i * 7);
	assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
	assert_int_equal(pthread_create(&thread, NULL, drain, &ends[0]), 0);
	assert_int_equal(fsmeta_write_all(ends[1], bytes, PIPE_BYTES, "pipe", NULL), 0);
	pthread_join(thread, &result);
	assert_non_null(result);
	close(ends[0]);
	close(ends[1]);
	free(bytes);
}

static void test_closed_pipe(void **state)
{
	struct fsmeta_error error = {0};
	int ends[2];

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(ends), 0);
	close(ends[0]);
	assert_int_equal(fsmeta_write_all(ends[1], "x", 1, "pipe", &error), FSMETA_E_SYSTEM);
	assert_int_equal(error.system_errno, EPIPE);
	close(ends[1]);
}

static void test_read_full(void **state)
{
	struct fsmeta_error error = {0};
	char bytes[16];
	size_t got;
	int fd;

	(void)state;
	make_file("f", "0123456789");
	fd = open("f", O_RDONLY);
	assert_int_equal(fsmeta_read_full(fd, bytes, 16, &got, "f", &error), 0);
	assert_int_equal(got, 10);
	assert_int_equal(fsmeta_read_full(fd, bytes, 16, &got, "f", &error), 0);
	assert_int_equal(got, 0);
	assert_int_equal(fsmeta_read_full_at(fd, bytes, 3, 5, &got, "f", &error), 0);
	assert_int_equal(got, 3);
	assert_memory_equal(bytes, "567", 3);
	assert_int_equal(fsmeta_read_full_at(fd, bytes, 16, 100, &got, "f", &error), 0);
	assert_int_equal(got, 0);
	assert_int_equal(
	    fsmeta_read_full_at(fd, bytes, 1, UINT64_MAX, &got, "f", &error), FSMETA_E_SYSTEM);
	close(fd);
	assert_int_equal(fsmeta_read_full(fd, bytes, 1, &got, "f", &error), FSMETA_E_SYSTEM);
	assert_int_equal(error.system_errno, EBADF);
}

static void test_read_file(void **state)
{
	struct fsmeta_buffer out = {0};
	struct fsmeta_error error = {0};
	int folder;

	(void)state;
	make_folder("d");
	make_file("d/f", "0123456789");
	make_file("d/empty", "");
	assert_int_equal(symlink("f", "d/link"), 0);
	assert_int_equal(mkfifo("d/fifo", 0600), 0);
	folder = open("d", O_RDONLY | O_DIRECTORY);
	fsmeta_buffer_append_text(&out, "<");
	assert_int_equal(fsmeta_read_file_at(&out, folder, "f", 10, &error), 0);
	assert_int_equal(fsmeta_read_file_at(&out, folder, "empty", 0, &error), 0);
	assert_string_equal(fsmeta_buffer_string(&out), "<0123456789");

	assert_int_equal(fsmeta_read_file_at(&out, folder, "f", 9, &error), FSMETA_E_LIMIT);
	assert_int_equal(fsmeta_read_file_at(&out, folder, "link", 99, &error), FSMETA_E_FOREIGN);
	assert_int_equal(fsmeta_read_file_at(&out, folder, "fifo", 99, &error), FSMETA_E_FOREIGN);
	assert_int_equal(fsmeta_read_file_at(&out, folder, ".", 99, &error), FSMETA_E_FOREIGN);
	assert_int_equal(fsmeta_read_file_at(&out, folder, "missing", 99, &error), FSMETA_E_SYSTEM);
	assert_int_equal(error.system_errno, ENOENT);
	assert_string_equal(error.path, "missing");
	/* Files of /proc say that their size is 0. */
	assert_int_equal(
	    fsmeta_read_file_at(&out, AT_FDCWD, "/proc/self/status", 1, &error), FSMETA_E_LIMIT);
	assert_string_equal(fsmeta_buffer_string(&out), "<0123456789");
	assert_int_equal(
	    fsmeta_read_file_at(&out, AT_FDCWD, "/proc/self/status", SIZE_MAX, &error), 0);
	assert_true(out.length > 100);
	close(folder);
	fsmeta_buffer_release(&out);
}

/* ---- Replacing files ---- */

static int replace_file(const char *path, const char *content, struct fsmeta_error *error)
{
	struct fsmeta_replace replace;
	int code = fsmeta_replace_file_begin(&replace, path, 0640, error);

	if (code) {
		fsmeta_replace_abort(&replace);
		return code;
	}
	assert_int_equal(fsmeta_write_all(replace.fd, content, strlen(content), path, error), 0);
	code = fsmeta_replace_commit(&replace, error);
	assert_int_equal(replace.fd, -1);
	fsmeta_replace_abort(&replace);
	return code;
}

static void test_file_new_and_existing(void **state)
{
	static const char *const spellings[] = {"x", "./x", "d/../x", "d//x"};
	struct fsmeta_error error = {0};
	struct stat status;
	mode_t mask = umask(022);
	int before = count_descriptors();
	char absolute[128];

	(void)state;
	make_folder("d");
	for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
		assert_int_equal(replace_file(spellings[i], "old", &error), 0);
		assert_int_equal(replace_file(spellings[i], "new", &error), 0);
		assert_content(spellings[i], "new");
	}
	snprintf(absolute, sizeof(absolute), "%s/x", scratch);
	assert_int_equal(replace_file(absolute, "absolute", &error), 0);
	assert_content("x", "absolute");
	assert_int_equal(stat("x", &status), 0);
	assert_int_equal(status.st_mode & 07777, 0640);
	assert_int_equal(count_entries(), 2);
	assert_int_equal(count_descriptors(), before);
	umask(mask);
}

static void test_file_is_invisible_before_commit(void **state)
{
	struct fsmeta_replace replace;
	struct fsmeta_error error = {0};

	(void)state;
	make_file("x", "old");
	assert_int_equal(fsmeta_replace_file_begin(&replace, "x", 0644, &error), 0);
	assert_false(replace.is_folder);
	assert_int_equal(strncmp(replace.temporary, ".x.fsmeta-", 10), 0);
	assert_int_equal(strlen(replace.temporary), 18);
	assert_int_equal(fsmeta_write_all(replace.fd, "new", 3, "x", &error), 0);
	assert_int_equal(count_entries(), 2);
	assert_content("x", "old");
	fsmeta_replace_abort(&replace);
	assert_content("x", "old");
	assert_int_equal(count_entries(), 1);
	fsmeta_replace_abort(&replace);
}

static void test_file_syncs_content_and_folder(void **state)
{
	(void)state;
	sync_calls = 0;
	assert_int_equal(replace_file("x", "content", NULL), 0);
	assert_int_equal(sync_calls, 2);
}

static void test_file_refuses_what_is_no_file(void **state)
{
	static const char *const there[] = {"folder", "link", "dangling", "fifo"};
	struct fsmeta_error error;

	(void)state;
	make_folder("folder");
	make_file("file", "untouched");
	assert_int_equal(symlink("file", "link"), 0);
	assert_int_equal(symlink("nowhere", "dangling"), 0);
	assert_int_equal(mkfifo("fifo", 0600), 0);
	for (size_t i = 0; i < sizeof(there) / sizeof(there[0]); i++) {
		fsmeta_error_clear(&error);
		assert_int_equal(replace_file(there[i], "x", &error), FSMETA_E_REFUSED);
		assert_string_equal(error.path, there[i]);
		assert_true(exists(there[i]));
	}
	assert_content("file", "untouched");
	assert_int_equal(count_entries(), 5);
}

static void test_paths_without_a_name(void **state)
{
	static const char *const bad[] = {"", "/", "//", ".", "..", "./", "d/.", "d/.."};
	struct fsmeta_replace replace;
	struct fsmeta_error error = {0};

	(void)state;
	make_folder("d");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(
		    fsmeta_replace_file_begin(&replace, bad[i], 0644, &error), FSMETA_E_REFUSED);
		assert_int_equal(replace.fd, -1);
		fsmeta_replace_abort(&replace);
		assert_int_equal(
		    fsmeta_replace_folder_begin(&replace, bad[i], 0755, &error), FSMETA_E_REFUSED);
		fsmeta_replace_abort(&replace);
	}
	assert_int_equal(fsmeta_replace_file_begin(&replace, "x/", 0644, &error), FSMETA_E_REFUSED);
	assert_int_equal(
	    fsmeta_replace_file_begin(&replace, "no/x", 0644, &error), FSMETA_E_SYSTEM);
	assert_int_equal(error.system_errno, ENOENT);
	assert_string_equal(error.path, "no/");
	assert_int_equal(count_entries(), 1);
}

static void test_abort_of_a_zeroed_one(void **state)
{
	struct fsmeta_replace replace = {.fd = -1};
	int before = count_descriptors();

	(void)state;
	fsmeta_replace_abort(&replace);
	assert_int_equal(count_descriptors(), before);
}

static void test_long_names(void **state)
{
	char name[257], ae[256];
	struct fsmeta_error error = {0};

	(void)state;
	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	assert_int_equal(replace_file(name, "long", &error), 0);
	assert_content(name, "long");
	for (int i = 0; i < 254; i += 2)
		memcpy(ae + i, "\xC3\xA4", 3);
	memmove(ae + 1, ae, 255);
	ae[0] = 'a';
	assert_int_equal(replace_file(ae, "umlauts", &error), 0);
	assert_content(ae, "umlauts");
	/* Too long for the file system: said at once, not after hours. */
	name[255] = 'n';
	name[256] = '\0';
	assert_int_equal(replace_file(name, "x", &error), FSMETA_E_SYSTEM);
	assert_int_equal(error.system_errno, ENAMETOOLONG);
	assert_int_equal(count_entries(), 2);
}

static void test_file_failures_keep_the_old(void **state)
{
	struct fsmeta_error error = {0};
	int before = count_descriptors();

	(void)state;
	make_file("x", "old");
	syncs_until_failure = 0;
	assert_int_equal(replace_file("x", "new", &error), FSMETA_E_SYSTEM);
	assert_int_equal(error.system_errno, EIO);
	assert_content("x", "old");
	assert_int_equal(count_entries(), 1);

	/* The parent's fsync comes when the rename is done, and the error says so. */
	syncs_until_failure = 1;
	assert_int_equal(replace_file("x", "new", &error), FSMETA_E_SYSTEM);
	assert_non_null(strstr(error.action, "new content is in place"));
	assert_content("x", "new");
	assert_int_equal(count_entries(), 1);
	assert_int_equal(count_descriptors(), before);
}

static void test_file_that_became_a_folder(void **state)
{
	struct fsmeta_replace replace;
	struct fsmeta_error error = {0};

	(void)state;
	assert_int_equal(fsmeta_replace_file_begin(&replace, "x", 0644, &error), 0);
	make_folder("x");
	assert_int_equal(fsmeta_replace_commit(&replace, &error), FSMETA_E_REFUSED);
	assert_int_equal(count_entries(), 1);
}

static void test_file_in_a_read_only_folder(void **state)
{
	struct fsmeta_error error = {0};

	(void)state;
	if (geteuid() == 0)
		skip();
	make_folder("d");
	assert_int_equal(chmod("d", 0555), 0);
	assert_int_equal(replace_file("d/x", "x", &error), FSMETA_E_SYSTEM);
	assert_int_equal(error.system_errno, EACCES);
	assert_string_equal(error.path, "d/x");
}

/* ---- Replacing folders ---- */

static void make_in(int folder_fd, const char *name, const char *content)
{
	int fd = openat(folder_fd, name, O_WRONLY | O_CREAT | O_EXCL, 0644);

	assert_true(fd >= 0);
	assert_int_equal(fsmeta_write_all(fd, content, strlen(content), name, NULL), 0);
	close(fd);
}

static void begin_folder(struct fsmeta_replace *replace, const char *path)
{
	struct fsmeta_error error = {0};

	if (fsmeta_replace_folder_begin(replace, path, 0755, &error))
		fail_msg("%s: %s: %s", error.path, error.action, error.reason);
	assert_true(replace->is_folder);
	make_in(replace->fd, "entries", "new");
}

static void make_old_folder(const char *name)
{
	char path[64];

	make_folder(name);
	snprintf(path, sizeof(path), "%s/old", name);
	make_file(path, "old");
	snprintf(path, sizeof(path), "%s/sub", name);
	make_folder(path);
}

static void replace_folder_over(bool existing)
{
	struct fsmeta_error error = {0};
	struct fsmeta_replace replace;
	int before = count_descriptors();

	if (existing)
		make_old_folder("x");
	begin_folder(&replace, "x/");
	assert_int_equal(exists("x"), existing);
	assert_false(exists("x/entries"));
	assert_int_equal(fsmeta_replace_commit(&replace, &error), 0);
	assert_content("x/entries", "new");
	assert_false(exists("x/old"));
	assert_int_equal(count_entries(), 1);
	assert_int_equal(count_descriptors(), before);
}

static void test_folder_new(void **state)
{
	(void)state;
	replace_folder_over(false);
}

static void test_folder_exchanged(void **state)
{
	(void)state;
	replace_folder_over(true);
}

static void test_folder_without_rename_flags(void **state)
{
	static const int errnos[] = {EINVAL, ENOSYS};

	(void)state;
	for (size_t i = 0; i < sizeof(errnos) / sizeof(errnos[0]); i++) {
		rename_flags_errno = errnos[i];
		replace_folder_over(false);
		assert_int_equal(fsmeta_remove_tree_at(AT_FDCWD, "x", NULL), 0);
		replace_folder_over(true);
		assert_int_equal(fsmeta_remove_tree_at(AT_FDCWD, "x", NULL), 0);
	}
}

static void test_folder_refuses_what_is_no_folder(void **state)
{
	static const char *const there[] = {"file", "link", "fifo"};
	struct fsmeta_replace replace;
	struct fsmeta_error error = {0};

	(void)state;
	make_file("file", "untouched");
	make_folder("folder");
	assert_int_equal(symlink("folder", "link"), 0);
	assert_int_equal(mkfifo("fifo", 0600), 0);
	for (size_t i = 0; i < sizeof(there) / sizeof(there[0]); i++)
		assert_int_equal(fsmeta_replace_folder_begin(&replace, there[i], 0755, &error),
		    FSMETA_E_REFUSED);
	assert_content("file", "untouched");
	assert_int_equal(count_entries(), 4);
}

static void test_folder_abort(void **state)
{
	struct fsmeta_replace replace;

	(void)state;
	make_old_folder("x");
	begin_folder(&replace, "x");
	assert_int_equal(mkdirat(replace.fd, "sub", 0755), 0);
	fsmeta_replace_abort(&replace);
	assert_content("x/old", "old");
	assert_int_equal(count_entries(), 1);
}

static void test_folder_of_strict_mode_can_be_filled(void **state)
{
	struct fsmeta_replace replace;

	(void)state;
	assert_int_equal(fsmeta_replace_folder_begin(&replace, "x", 0, NULL), 0);
	make_in(replace.fd, "f", "x");
	assert_int_equal(fsmeta_replace_commit(&replace, NULL), 0);
	assert_content("x/f", "x");
}

/** What was not there at the beginning was judged by nobody, and stays. */
static void test_folder_that_appears(void **state)
{
	struct fsmeta_replace replace;
	struct fsmeta_error error = {0};

	(void)state;
	for (int fallback = 0; fallback < 2; fallback++) {
		rename_flags_errno = fallback ? EINVAL : 0;
		begin_folder(&replace, "x");
		make_old_folder("x");
		assert_int_equal(fsmeta_replace_commit(&replace, &error), FSMETA_E_BUSY);
		assert_content("x/old", "old");
		assert_int_equal(count_entries(), 1);
		assert_int_equal(fsmeta_remove_tree_at(AT_FDCWD, "x", NULL), 0);
	}
}

static void put_another_folder(void)
{
	assert_int_equal(rename("x", "away"), 0);
	make_folder("x");
	make_file("x/other", "other");
}

static void test_folder_that_was_replaced(void **state)
{
	struct fsmeta_replace replace;
	struct fsmeta_error error = {0};

	(void)state;
	make_old_folder("x");
	begin_folder(&replace, "x");
	put_another_folder();
	assert_int_equal(fsmeta_replace_commit(&replace, &error), FSMETA_E_BUSY);
	assert_content("x/other", "other");
	assert_content("away/old", "old");
	assert_int_equal(count_entries(), 2);
}

/** The same between the check and the exchange: it is undone. */
static void test_folder_that_is_replaced_under_way(void **state)
{
	struct fsmeta_replace replace;
	struct fsmeta_error error = {0};

	(void)state;
	for (int fallback = 0; fallback < 2; fallback++) {
		rename_flags_errno = fallback ? EINVAL : 0;
		make_old_folder("x");
		begin_folder(&replace, "x");
		before_rename = put_another_folder;
		assert_int_equal(fsmeta_replace_commit(&replace, &error), FSMETA_E_BUSY);
		assert_content("x/other", "other");
		assert_content("away/old", "old");
		assert_int_equal(count_entries(), 2);
		assert_int_equal(fsmeta_remove_tree_at(AT_FDCWD, "x", NULL), 0);
		assert_int_equal(fsmeta_remove_tree_at(AT_FDCWD, "away", NULL), 0);
	}
}

static void test_folder_failures(void **state)
{
	struct fsmeta_replace replace;
	struct fsmeta_error error = {0};

	(void)state;
	make_old_folder("x");
	begin_folder(&replace, "x");
	syncs_until_failure = 0;
	assert_int_equal(fsmeta_replace_commit(&replace, &error), FSMETA_E_SYSTEM);
	assert_content("x/old", "old");
	assert_int_equal(count_entries(), 1);

	syncs_until_failure = -1;
	begin_folder(&replace, "x");
	rename_flags_errno = EIO;
	assert_int_equal(fsmeta_replace_commit(&replace, &error), FSMETA_E_SYSTEM);
	assert_int_equal(error.system_errno, EIO);
	assert_content("x/old", "old");
	assert_int_equal(count_entries(), 1);
}

/** Without RENAME_EXCHANGE there are two renames; the second fails, the first is undone. */
static void test_folder_fallback_fails(void **state)
{
	struct fsmeta_error error = {0};

	(void)state;
	make_old_folder("x");
	rename_flags_errno = EINVAL;
	for (int succeed = 0; succeed < 2; succeed++) {
		struct fsmeta_replace replace;

		begin_folder(&replace, "x");
		renames_until_failure = succeed;
		assert_int_equal(fsmeta_replace_commit(&replace, &error), FSMETA_E_SYSTEM);
		assert_int_equal(error.system_errno, EIO);
		/* When the undoing fails as well, nothing is lost at least. */
		assert_int_equal(exists("x/old"), succeed == 0);
		assert_int_equal(count_entries(), 1);
	}
}

static void make_all_renames_fail(void)
{
	put_another_folder();
	/* The exchange itself has to go through; only undoing it fails. */
	renames_until_failure = 2;
}

/** A foreign folder got under the temporary name and cannot get back: it stays there. */
static void test_folder_undoing_fails(void **state)
{
	struct fsmeta_replace replace;
	struct fsmeta_error error = {0};
	char foreign[256];

	(void)state;
	make_old_folder("x");
	begin_folder(&replace, "x");
	rename_flags_errno = EINVAL;
	before_rename = make_all_renames_fail;
	assert_int_equal(fsmeta_replace_commit(&replace, &error), FSMETA_E_BUSY);
	assert_content("x/entries", "new");
	assert_content("away/old", "old");
	assert_int_equal(count_entries(), 3);
	find_hidden(foreign, sizeof(foreign));
	assert_int_equal(chdir(foreign), 0);
	assert_content("other", "other");
}

/** The new content stands; the error tells where the old one remains. */
static void test_folder_whose_old_content_resists(void **state)
{
	struct fsmeta_replace replace;
	struct fsmeta_error error = {0};

	(void)state;
	make_old_folder("x");
	make_file("x/sub/locked", "x");
	begin_folder(&replace, "x");
	locked_name = "locked";
	assert_int_equal(fsmeta_replace_commit(&replace, &error), FSMETA_E_SYSTEM);
	assert_int_equal(error.system_errno, EACCES);
	assert_string_equal(error.path, "x");
	assert_non_null(strstr(error.action, "new content is in place"));
	assert_non_null(strstr(error.reason, "/sub/locked: "));
	assert_content("x/entries", "new");
	assert_int_equal(count_entries(), 2);
}

/* ---- Removing trees ---- */

static void test_remove_missing_and_strange(void **state)
{
	struct fsmeta_error error = {0};

	(void)state;
	assert_int_equal(fsmeta_remove_tree_at(AT_FDCWD, "missing", &error), 0);
	make_file("file", "kept");
	make_folder("d");
	make_file("d/kept", "kept");
	assert_int_equal(symlink("d", "link"), 0);
	assert_int_equal(fsmeta_remove_tree_at(AT_FDCWD, "file", &error), FSMETA_E_REFUSED);
	assert_string_equal(error.path, "file");
	assert_int_equal(fsmeta_remove_tree_at(AT_FDCWD, "link", &error), FSMETA_E_REFUSED);
	assert_content("d/kept", "kept");
	assert_content("file", "kept");
}

static void test_remove_a_wide_tree(void **state)
{
	struct fsmeta_error error = {0};
	int before = count_descriptors();

	(void)state;
	make_folder("outside");
	make_file("outside/kept", "kept");
	make_folder("t");
	for (int i = 0; i < 40; i++) {
		char path[64];

		snprintf(path, sizeof(path), "t/d%d", i);
		make_folder(path);
		for (int j = 0; j < 20; j++) {
			snprintf(path, sizeof(path), "t/d%d/f%d", i, j);
			make_file(path, "x");
			snprintf(path, sizeof(path), "t/d%d/s%d", i, j);
			make_folder(path);
		}
		snprintf(path, sizeof(path), "t/d%d/s3/link", i);
		assert_int_equal(symlink("../../../outside", path), 0);
		snprintf(path, sizeof(path), "t/fifo%d", i);
		assert_int_equal(mkfifo(path, 0600), 0);
	}
	assert_int_equal(fsmeta_remove_tree_at(AT_FDCWD, "t", &error), 0);
	assert_false(exists("t"));
	assert_content("outside/kept", "kept");
	assert_int_equal(count_descriptors(), before);
}

/** Deeper than PATH_MAX, the stack and the number of descriptors allow. */
static void test_remove_a_deep_tree(void **state)
{
	struct fsmeta_error error = {0};
	int depth = 3000;
	int fd = open(".", O_RDONLY | O_DIRECTORY);

	(void)state;
	for (int i = 0; i < depth; i++) {
		int child;

		assert_int_equal(mkdirat(fd, "deep", 0755), 0);
		child = openat(fd, "deep", O_RDONLY | O_DIRECTORY);
		assert_true(child >= 0);
		close(fd);
		fd = child;
	}
	close(fd);
	assert_int_equal(fsmeta_remove_tree_at(AT_FDCWD, "deep", &error), 0);
	assert_int_equal(count_entries(), 0);
}

static void test_remove_below_a_folder(void **state)
{
	int fd;

	(void)state;
	make_folder("d");
	make_folder("d/t");
	make_file("d/t/f", "x");
	make_file("d/kept", "kept");
	fd = open("d", O_RDONLY | O_DIRECTORY);
	assert_int_equal(fsmeta_remove_tree_at(fd, "t", NULL), 0);
	close(fd);
	assert_false(exists("d/t"));
	assert_content("d/kept", "kept");
}

/** A bind mount has the same device number; only its mount id tells. */
static void test_remove_does_not_leave_the_file_system(void **state)
{
	struct fsmeta_error error = {0};
	int own, inner, itself;

	(void)state;
	make_folder("outside");
	make_file("outside/kept", "kept");
	make_folder("t");
	make_folder("t/sub");
	make_folder("t/sub/mount");
	if (mount("outside", "t/sub/mount", NULL, MS_BIND, NULL))
		skip();
	inner = fsmeta_remove_tree_at(AT_FDCWD, "t", &error);
	itself = fsmeta_remove_tree_at(AT_FDCWD, "t/sub/mount", NULL);
	own = exists("outside/kept");
	assert_int_equal(umount("t/sub/mount"), 0);
	assert_true(own);
	assert_int_equal(inner, FSMETA_E_REFUSED);
	assert_string_equal(error.path, "t/sub/mount");
	assert_int_equal(itself, FSMETA_E_REFUSED);
}

static void test_remove_reports_the_path(void **state)
{
	struct fsmeta_error error = {0};
	int before = count_descriptors();

	(void)state;
	make_folder("t");
	make_folder("t/d");
	make_file("t/d/locked", "x");
	locked_name = "locked";
	assert_int_equal(fsmeta_remove_tree_at(AT_FDCWD, "t", &error), FSMETA_E_SYSTEM);
	assert_int_equal(error.system_errno, EACCES);
	assert_string_equal(error.path, "t/d/locked");
	locked_name = "d";
	assert_int_equal(fsmeta_remove_tree_at(AT_FDCWD, "t", &error), FSMETA_E_SYSTEM);
	assert_string_equal(error.path, "t/d");
	locked_name = "t";
	assert_int_equal(fsmeta_remove_tree_at(AT_FDCWD, "t", &error), FSMETA_E_SYSTEM);
	assert_string_equal(error.path, "t");
	assert_int_equal(count_descriptors(), before);
}

static void test_remove_without_permission(void **state)
{
	struct fsmeta_error error = {0};

	(void)state;
	if (geteuid() == 0)
		skip();
	make_folder("t");
	make_folder("t/locked");
	make_file("t/locked/f", "x");
	assert_int_equal(chmod("t/locked", 0), 0);
	assert_int_equal(fsmeta_remove_tree_at(AT_FDCWD, "t", &error), FSMETA_E_SYSTEM);
	assert_int_equal(error.system_errno, EACCES);
	assert_string_equal(error.path, "t/locked");
	assert_int_equal(chmod("t/locked", 0755), 0);
}

#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_SCRATCH(test_write_all_reports_a_full_disk),
	    IN_SCRATCH(test_pipe),
	    IN_SCRATCH(test_closed_pipe),
	    IN_SCRATCH(test_read_full),
	    IN_SCRATCH(test_read_file),
	    IN_SCRATCH(test_file_new_and_existing),
	    IN_SCRATCH(test_file_is_invisible_before_commit),
	    IN_SCRATCH(test_file_syncs_content_and_folder),
	    IN_SCRATCH(test_file_refuses_what_is_no_file),
	    IN_SCRATCH(test_paths_without_a_name),
	    IN_SCRATCH(test_abort_of_a_zeroed_one),
	    IN_SCRATCH(test_long_names),
	    IN_SCRATCH(test_file_failures_keep_the_old),
	    IN_SCRATCH(test_file_that_became_a_folder),
	    IN_SCRATCH(test_file_in_a_read_only_folder),
	    IN_SCRATCH(test_folder_new),
	    IN_SCRATCH(test_folder_exchanged),
	    IN_SCRATCH(test_folder_without_rename_flags),
	    IN_SCRATCH(test_folder_refuses_what_is_no_folder),
	    IN_SCRATCH(test_folder_abort),
	    IN_SCRATCH(test_folder_of_strict_mode_can_be_filled),
	    IN_SCRATCH(test_folder_that_appears),
	    IN_SCRATCH(test_folder_that_was_replaced),
	    IN_SCRATCH(test_folder_that_is_replaced_under_way),
	    IN_SCRATCH(test_folder_failures),
	    IN_SCRATCH(test_folder_fallback_fails),
	    IN_SCRATCH(test_folder_undoing_fails),
	    IN_SCRATCH(test_folder_whose_old_content_resists),
	    IN_SCRATCH(test_remove_missing_and_strange),
	    IN_SCRATCH(test_remove_a_wide_tree),
	    IN_SCRATCH(test_remove_a_deep_tree),
	    IN_SCRATCH(test_remove_below_a_folder),
	    IN_SCRATCH(test_remove_does_not_leave_the_file_system),
	    IN_SCRATCH(test_remove_reports_the_path),
	    IN_SCRATCH(test_remove_without_permission),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
