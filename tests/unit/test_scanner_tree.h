/*
 * What the scanner's tests share: temporary trees that leave nothing behind,
 * scans kept whole, and children that run as somebody else.
 */
#ifndef FSMETA_TESTS_UNIT_TEST_SCANNER_TREE_H
#define FSMETA_TESTS_UNIT_TEST_SCANNER_TREE_H

#include "base/path.h"
#include "scanner/scanner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Behind ours: its skip() is a macro that cursors would stumble over. */
#include <cmocka.h>

/* ---- temporary trees --------------------------------------------------- */

/** A folder of the test's own. */
struct tree {
	char path[128];
	int fd;
};

/** A new, empty folder in `base`. */
static inline struct tree tree_new_in(const char *base)
{
	struct tree tree;

	snprintf(tree.path, sizeof(tree.path), "%.100s/fsmeta-scanner-XXXXXX", base);
	assert_non_null(mkdtemp(tree.path));
	assert_int_equal(chmod(tree.path, 0755), 0);
	tree.fd = open(tree.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(tree.fd >= 0);
	return tree;
}

static inline struct tree tree_new(void)
{
	const char *base = getenv("TMPDIR");

	return tree_new_in(base && strlen(base) < 100 ? base : "/tmp");
}

/** In memory where there is room for very many entries, for which a disk takes its time. */
static inline struct tree tree_new_in_memory(void)
{
	enum {
		ENTRIES = 1 << 20
	};
	struct statvfs room;

	if (access("/dev/shm", W_OK) == 0 && statvfs("/dev/shm", &room) == 0 &&
	    (room.f_files == 0 || room.f_favail >= ENTRIES))
		return tree_new_in("/dev/shm");
	return tree_new();
}

/**
 * Empties folder `name` of the tree: what is a folder in it moves up into the
 * tree's root, so that no depth is too deep.
 */
static inline void tree_flatten(const struct tree *tree, const char *name, unsigned *serial)
{
	int fd = openat(tree->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		char moved[32];
		struct stat st;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
		    fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		if (!S_ISDIR(st.st_mode)) {
			unlinkat(fd, entry->d_name, 0);
			continue;
		}
		(void)!fchmodat(fd, entry->d_name, 0700, 0);
		if (unlinkat(fd, entry->d_name, AT_REMOVEDIR) == 0)
			continue;
		snprintf(moved, sizeof(moved), "moved-up-%u", (*serial)++);
		renameat(fd, entry->d_name, tree->fd, moved);
	}
	if (folder)
		closedir(folder);
}

/** Removes the tree with everything in it. */
static inline void tree_free(struct tree *tree)
{
	unsigned serial = 0;

	assert_int_equal(fchmod(tree->fd, 0700), 0);
	for (bool again = true; again;) {
		int fd = openat(tree->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *folder = fdopendir(fd);
		struct dirent *entry;

		again = false;
		while ((entry = readdir(folder))) {
			if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
				continue;
			again = true;
			if (unlinkat(tree->fd, entry->d_name, 0) == 0)
				continue;
			(void)!fchmodat(tree->fd, entry->d_name, 0700, 0);
			tree_flatten(tree, entry->d_name, &serial);
			unlinkat(tree->fd, entry->d_name, AT_REMOVEDIR);
		}
		closedir(folder);
	}
	close(tree->fd);
	assert_int_equal(rmdir(tree->path), 0);
}

static inline void make_folder(const struct tree *tree, const char *path)
{
	assert_int_equal(mkdirat(tree->fd, path, 0755), 0);
}

static inline void make_file(const struct tree *tree, const char *path, const char *content)
{
	int fd = openat(tree->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	close(fd);
}

static inline void make_link(const struct tree *tree, const char *path, const char *target)
{
	assert_int_equal(symlinkat(target, tree->fd, path), 0);
}

/** For what a test does to the tree between two next(). */
static inline void must(bool done)
{
	assert_true(done);
}

/* ---- scans ------------------------------------------------------------- */

/** Entries of a scan, each a copy of its own. */
struct seen {
	struct fsmeta_entry *entries;
	size_t count;
	size_t capacity;
};

static inline void seen_add(struct seen *seen, const struct fsmeta_entry *entry)
{
	struct fsmeta_entry *copy;
	char *path = malloc(entry->path_length + 1), *target = NULL;

	if (seen->count == seen->capacity) {
		seen->capacity = seen->capacity ? seen->capacity * 2 : 64;
		seen->entries = realloc(seen->entries, seen->capacity * sizeof(*seen->entries));
	}
	memcpy(path, entry->path, entry->path_length);
	path[entry->path_length] = '\0';
	if (entry->target) {
		target = malloc(entry->target_length + 1);
		memcpy(target, entry->target, entry->target_length);
		target[entry->target_length] = '\0';
	}
	copy = &seen->entries[seen->count++];
	*copy = *entry;
	copy->path = path;
	copy->name = path + (entry->name - entry->path);
	copy->target = target;
}

static inline void seen_release(struct seen *seen)
{
	for (size_t i = 0; i < seen->count; i++) {
		free((void *)(uintptr_t)seen->entries[i].path);
		free((void *)(uintptr_t)seen->entries[i].target);
	}
	free(seen->entries);
	*seen = (struct seen){0};
}

static inline const struct fsmeta_entry *seen_find(const struct seen *seen, const char *path)
{
	for (size_t i = 0; i < seen->count; i++) {
		if (!strcmp(seen->entries[i].path, path))
			return &seen->entries[i];
	}
	return NULL;
}

/** As seen_find, and it must be there. */
static inline const struct fsmeta_entry *seen_get(const struct seen *seen, const char *path)
{
	const struct fsmeta_entry *entry = seen_find(seen, path);

	if (!entry)
		fail_msg("%s was not seen", path);
	return entry;
}

/** Takes the rest of a cursor.  What next() said last. */
static inline int seen_rest(struct seen *seen, struct fsmeta_cursor *cursor)
{
	const struct fsmeta_entry *entry;
	int code;

	while ((code = fsmeta_cursor_next(cursor, &entry, NULL)) == 1)
		seen_add(seen, entry);
	return code;
}

/** With how many threads the tests scan; see RUN_WITH_THREADS(). */
static unsigned test_threads = 1;

/** `options` (NULL = defaults) with that many threads; overwritten by the next call. */
static inline const struct fsmeta_scan_options *with_threads(
    const struct fsmeta_scan_options *options)
{
	static struct fsmeta_scan_options with;

	with = options ? *options : (struct fsmeta_scan_options){0};
	if (!with.threads)
		with.threads = test_threads;
	return &with;
}

static inline struct fsmeta_cursor *open_scan(
    const char *path, const struct fsmeta_scan_options *options)
{
	struct fsmeta_cursor *cursor;
	struct fsmeta_error error = {0};

	if (fsmeta_scan_open(&cursor, path, with_threads(options), &error) != 0)
		fail_msg("%s: %s: %s", error.path, error.action, error.reason);
	return cursor;
}

/** Next entry, which must be `path`; *borrowed* as from next(). */
static inline const struct fsmeta_entry *expect_next(struct fsmeta_cursor *cursor, const char *path)
{
	const struct fsmeta_entry *entry;

	assert_int_equal(fsmeta_cursor_next(cursor, &entry, NULL), 1);
	assert_int_equal(entry->path_length, strlen(path));
	assert_memory_equal(entry->path, path, entry->path_length);
	return entry;
}

static inline void expect_end(struct fsmeta_cursor *cursor)
{
	const struct fsmeta_entry *entry;

	assert_int_equal(fsmeta_cursor_next(cursor, &entry, NULL), 0);
	assert_int_equal(fsmeta_cursor_next(cursor, &entry, NULL), 0);
}

/** A whole scan. */
static inline struct seen scan_all(const char *path, const struct fsmeta_scan_options *options)
{
	struct fsmeta_cursor *cursor = open_scan(path, options);
	struct seen seen = {0};

	assert_int_equal(seen_rest(&seen, cursor), 0);
	fsmeta_cursor_close(cursor);
	return seen;
}

/** Descriptors that this process has open. */
static inline unsigned open_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned count = 0;

	while (folder && readdir(folder))
		count++;
	if (folder)
		closedir(folder);
	return count;
}

/** Threads of this process that /proc still shows. */
static inline unsigned shown_threads(void)
{
	DIR *folder = opendir("/proc/self/task");
	unsigned count = 0;

	assert_non_null(folder);
	for (const struct dirent *entry; (entry = readdir(folder));)
		count += entry->d_name[0] != '.';
	closedir(folder);
	return count;
}

/**
 * Checks that this process has `expected` threads. pthread_join() returns when the kernel clears
 * the thread's id, which is before the thread leaves /proc: one that ended may be shown for a
 * moment more, one that runs on stays.
 */
static inline void assert_threads(unsigned expected)
{
	struct timespec now, end;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &end), 0);
	end.tv_sec += 60;
	while (shown_threads() > expected) {
		sched_yield();
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > end.tv_sec)
			break;
	}
	assert_int_equal(shown_threads(), expected);
}

/* ---- children ---------------------------------------------------------- */

enum {
	CHILD_GOOD = 0,
	/** What is to be tested is not possible here. */
	CHILD_SKIP = 77,
	NOBODY = 65534,
};

/** In a child, where cmocka's own checks cannot be used. */
#define CHILD_CHECK(condition)                                                          \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			_exit(1);                                                       \
		}                                                                       \
	} while (0)

/** Runs `work` in a child; its status. */
static inline int in_child(void (*work)(const struct tree *tree), const struct tree *tree)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		work(tree);
		_exit(CHILD_GOOD);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/** Root becomes nobody. */
static inline void become_ordinary(void)
{
	if (geteuid() == 0) {
		CHILD_CHECK(setgid(NOBODY) == 0);
		CHILD_CHECK(setuid(NOBODY) == 0);
	}
}

/* ---- all tests, with any number of threads ------------------------------- */

static const unsigned test_thread_counts[] = {1, 2, 8, 64};

/** Runs a group of tests once for each number of threads; what main() returns. */
#define RUN_WITH_THREADS(tests)                                                                 \
	({                                                                                      \
		int failed_ = 0;                                                                \
		/* Others are to come into what the tests make. */                              \
		umask(022);                                                                     \
		for (size_t i_ = 0; i_ < sizeof(test_thread_counts) / sizeof(unsigned); i_++) { \
			char name_[32];                                                         \
			test_threads = test_thread_counts[i_];                                  \
			snprintf(name_, sizeof(name_), "%u threads", test_threads);             \
			failed_ += cmocka_run_group_tests_name(name_, tests, NULL, NULL);       \
		}                                                                               \
		failed_;                                                                        \
	})

#endif
