/*
 * What killed processes leave behind is swept, and nothing else.
 */
#include "base/file.h"
#include "base/temporary.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static char target[96];
static struct fsmeta_error error;

#define assert_ok(code)                                                                 \
	do {                                                                            \
		if (code)                                                               \
			fail_msg("%s: %s: %s", error.path, error.action, error.reason); \
	} while (0)

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/fsmeta-temporary-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(target, sizeof(target), "%s/name", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return fsmeta_remove_tree_at(AT_FDCWD, folder, NULL);
}

static void make_file(const char *name, const char *content)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(content, file);
	fclose(file);
}

static bool exists(const char *name)
{
	char path[256];
	struct stat status;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return lstat(path, &status) == 0;
}

/** Names in the folder that begin like temporaries of the target. */
static unsigned count_temporaries(void)
{
	DIR *names = opendir(folder);
	struct dirent *entry;
	unsigned count = 0;

	assert_non_null(names);
	while ((entry = readdir(names)))
		count += strncmp(entry->d_name, ".name.fsmeta-", 13) == 0;
	closedir(names);
	return count;
}

static int begin(struct fsmeta_replace *replace, bool is_folder)
{
	return is_folder ? fsmeta_replace_folder_begin(replace, target, 0777, &error)
			 : fsmeta_replace_file_begin(replace, target, 0666, &error);
}

static void fill(struct fsmeta_replace *replace, bool is_folder)
{
	int fd = is_folder ? openat(replace->fd, "content", O_WRONLY | O_CREAT | O_EXCL, 0666)
			   : replace->fd;

	assert_true(fd >= 0);
	assert_ok(fsmeta_write_all(fd, "whole", 5, target, &error));
	if (is_folder)
		close(fd);
}

/** A process that is killed in the middle of replacing the target. */
static void kill_in_the_middle(bool is_folder)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		struct fsmeta_replace replace;

		if (begin(&replace, is_folder) == 0) {
			fill(&replace, is_folder);
			raise(SIGKILL);
		}
		_exit(1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFSIGNALED(status))
		fail_msg("child %d", status);
}

static void replace_whole(bool is_folder)
{
	struct fsmeta_replace replace;

	assert_ok(begin(&replace, is_folder));
	fill(&replace, is_folder);
	assert_ok(fsmeta_replace_commit(&replace, &error));
}

static void what_was_killed_is_swept(void **state)
{
	(void)state;
	for (int is_folder = 0; is_folder < 2; is_folder++) {
		for (unsigned i = 1; i <= 3; i++) {
			kill_in_the_middle(is_folder);
			/* The next one that is killed has swept those before it. */
			assert_int_equal(count_temporaries(), is_folder ? i : 1);
		}
		replace_whole(is_folder);
		assert_int_equal(count_temporaries(), 0);
		/* Now the target is there. */
		for (unsigned i = 1; i <= 3; i++) {
			kill_in_the_middle(is_folder);
			assert_int_equal(count_temporaries(), 1);
		}
		replace_whole(is_folder);
		assert_int_equal(count_temporaries(), 0);
		assert_ok(is_folder ? 0 : unlink(target));
	}
}

static void what_is_in_use_stays(void **state)
{
	struct fsmeta_replace one, other;

	(void)state;
	for (int is_folder = 0; is_folder < 2; is_folder++) {
		replace_whole(is_folder);
		assert_ok(begin(&one, is_folder));
		assert_ok(begin(&other, is_folder));
		assert_int_equal(count_temporaries(), 2);
		fill(&one, is_folder);
		fill(&other, is_folder);
		fsmeta_replace_abort(&one);
		assert_ok(fsmeta_replace_commit(&other, &error));
		assert_int_equal(count_temporaries(), 0);
		assert_ok(is_folder ? 0 : unlink(target));
	}
}

static void what_is_not_ours_stays(void **state)
{
	static const char *const kept[] = {".name.fsmeta-0123456", ".name.fsmeta-01234567x",
	    ".name.fsmeta-0123456U", ".name2.fsmeta-01234567", ".name.fsmeta-01234567-WAL",
	    ".name.fsmeta-01234567-", "name.fsmeta-01234567"};
	char path[128];

	(void)state;
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		make_file(kept[i], "precious");
	snprintf(path, sizeof(path), "%s/.name.fsmeta-aaaaaaaa", folder);
	assert_int_equal(symlink("name", path), 0);
	snprintf(path, sizeof(path), "%s/.name.fsmeta-bbbbbbbb", folder);
	assert_int_equal(mkdir(path, 0777), 0);
	snprintf(path, sizeof(path), "%s/.name.fsmeta-cccccccc", folder);
	assert_int_equal(mkfifo(path, 0666), 0);
	make_file(".name.fsmeta-dddddddd", "left over");
	make_file(".name.fsmeta-dddddddd-wal", "of it");
	make_file(".name.fsmeta-eeeeeeee-shm", "of one that is gone");
	replace_whole(false);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		assert_true(exists(kept[i]));
	assert_true(exists(".name.fsmeta-aaaaaaaa"));
	assert_true(exists(".name.fsmeta-bbbbbbbb"));
	assert_true(exists(".name.fsmeta-cccccccc"));
	assert_false(exists(".name.fsmeta-dddddddd"));
	assert_false(exists(".name.fsmeta-dddddddd-wal"));
	assert_false(exists(".name.fsmeta-eeeeeeee-shm"));
}

static void companions_of_what_is_in_use_stay(void **state)
{
	struct fsmeta_replace replace;
	char name[64];

	(void)state;
	assert_ok(begin(&replace, false));
	snprintf(name, sizeof(name), "%s-wal", replace.temporary);
	make_file(name, "in use");
	replace_whole(false);
	assert_true(exists(name));
	fsmeta_replace_abort(&replace);
	replace_whole(false);
	assert_false(exists(name));
}

/** Replaces the target again and again; only another one's quickness may prevent it. */
static void replace_for_ever(bool is_folder)
{
	for (;;) {
		struct fsmeta_replace replace;
		int code = begin(&replace, is_folder);

		if (code == 0) {
			fill(&replace, is_folder);
			code = fsmeta_replace_commit(&replace, &error);
		}
		if (code && code != FSMETA_E_BUSY) {
			fprintf(stderr, "%s: %s: %s\n", error.path, error.action, error.reason);
			_exit(1);
		}
	}
}

/** Several at once, killed at random moments: each is whole or not at all, and none disturbs
 * another. */
static void many_at_once(void **state)
{
	enum {
		PROCESSES = 4,
		KILLS = 150
	};

	(void)state;
	for (int is_folder = 0; is_folder < 2; is_folder++) {
		pid_t children[PROCESSES] = {0};
		unsigned seed = 1;
		int status;

		replace_whole(is_folder);
		for (unsigned i = 0; i < KILLS; i++) {
			pid_t *child = &children[i % PROCESSES];

			if (*child) {
				usleep((useconds_t)(rand_r(&seed) % 2000));
				kill(*child, SIGKILL);
				assert_int_equal(waitpid(*child, &status, 0), *child);
				if (!WIFSIGNALED(status))
					fail_msg("child %d", status);
			}
			*child = fork();
			assert_true(*child >= 0);
			if (*child == 0) {
				/* Nor is one left where the test fails. */
				prctl(PR_SET_PDEATHSIG, SIGKILL);
				replace_for_ever(is_folder);
			}
		}
		for (unsigned i = 0; i < PROCESSES; i++) {
			kill(children[i], SIGKILL);
			assert_int_equal(waitpid(children[i], &status, 0), children[i]);
			if (!WIFSIGNALED(status))
				fail_msg("child %d", status);
		}
		assert_true(exists("name"));
		assert_true(!is_folder || exists("name/content"));
		replace_whole(is_folder);
		assert_int_equal(count_temporaries(), 0);
		assert_ok(is_folder ? 0 : unlink(target));
	}
}

static void a_file_without_a_name(void **state)
{
	const char *used;
	struct stat status;
	char text[4] = "";
	int fd;

	(void)state;
	assert_ok(fsmeta_temporary_open(&fd, folder, &used, &error));
	assert_string_equal(folder, used);
	assert_int_equal(3, pwrite(fd, "abc", 3, 0));
	assert_int_equal(3, pread(fd, text, 3, 0));
	assert_string_equal("abc", text);
	assert_int_equal(0, fstat(fd, &status));
	assert_int_equal(0, status.st_nlink);
	assert_int_equal(0, status.st_mode & 077);
	close(fd);
	/* Nothing is left in it, so it can go. */
	assert_int_equal(0, rmdir(folder));
	assert_int_equal(FSMETA_E_SYSTEM, fsmeta_temporary_open(&fd, folder, NULL, &error));
	assert_int_equal(-1, fd);
	assert_string_equal(folder, error.path);
	assert_int_equal(0, mkdir(folder, 0700));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
	const struct CMUnitTest tests[] = {
	    TEST(what_was_killed_is_swept),
	    TEST(what_is_in_use_stays),
	    TEST(what_is_not_ours_stays),
	    TEST(companions_of_what_is_in_use_stay),
	    TEST(many_at_once),
	    TEST(a_file_without_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
