/*
 * limit FOLDER [THREADS] [core|all]: what the kernel alone takes for a tree.
 *
 * Every folder is opened, read with getdents64, its names sorted, and statx called for every
 * name; nothing is written and nothing is kept, and the order of the folders is whatever
 * the threads make of it.  No scanner that looks at every entry can be faster than this
 * by more than luck, so it is what ours is compared with.
 *
 *    stack of folders that nobody has read     (depth first, so it stays short)
 *      ▲ push: sub-folders, with the descriptor of the folder they are in
 *      ▼ pop:  the next one, by any thread
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	ENTRIES_BYTES = 256 << 10,
	THREADS_MAX = 256,
};

struct linux_dirent64 {
	uint64_t d_ino;
	int64_t d_off;
	uint16_t d_reclen;
	uint8_t d_type;
	char d_name[];
};

/** A folder whose sub-folders are still to be opened. */
struct open_folder {
	int fd;
	/** Sub-folders on the stack, and the thread that reads it. */
	unsigned users;
};

struct unread {
	struct unread *below;
	struct open_folder *parent;
	char name[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct unread *stack;
static unsigned busy;
static uint64_t entries;
static unsigned statx_mask = STATX_BASIC_STATS;

static void fail(const char *what)
{
	fprintf(stderr, "limit: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *must(void *memory)
{
	if (!memory)
		fail("memory");
	return memory;
}

/** Under the lock. */
static void release(struct open_folder *folder)
{
	if (folder && --folder->users == 0) {
		close(folder->fd);
		free(folder);
	}
}

/** What one thread has for itself. */
struct reader {
	char *raw;
	char *names;
	size_t names_bytes;
	const char **sorted;
	size_t sorted_capacity;
	uint64_t entries;
};

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/** The names of a folder with their types in front, sorted; how many. */
static size_t list(struct reader *reader, int fd)
{
	size_t count = 0, length = 0;
	long got;

	while ((got = syscall(SYS_getdents64, fd, reader->raw, (size_t)ENTRIES_BYTES)) > 0) {
		if (length + (size_t)got > reader->names_bytes) {
			reader->names_bytes = 2 * (length + (size_t)got);
			reader->names = must(realloc(reader->names, reader->names_bytes));
		}
		for (long at = 0; at < got;) {
			const struct linux_dirent64 *entry = (const void *)(reader->raw + at);
			size_t size = strlen(entry->d_name) + 1;

			at += entry->d_reclen;
			if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
				continue;
			reader->names[length] = (char)entry->d_type;
			memcpy(reader->names + length + 1, entry->d_name, size);
			length += size + 1;
			count++;
		}
	}
	if (got < 0)
		fail("getdents64");
	if (count > reader->sorted_capacity) {
		reader->sorted_capacity = count;
		reader->sorted = must(realloc(reader->sorted, count * sizeof(*reader->sorted)));
	}
	for (size_t i = 0, at = 0; i < count; i++) {
		reader->sorted[i] = reader->names + at + 1;
		at += strlen(reader->sorted[i]) + 2;
	}
	if (count)
		qsort(reader->sorted, count, sizeof(*reader->sorted), by_bytes);
	return count;
}

static void push(struct open_folder *parent, const char *name)
{
	size_t size = strlen(name) + 1;
	struct unread *unread = must(malloc(sizeof(*unread) + size));

	memcpy(unread->name, name, size);
	unread->parent = parent;
	pthread_mutex_lock(&lock);
	parent->users++;
	unread->below = stack;
	stack = unread;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
}

static void read_folder(struct reader *reader, const struct unread *unread)
{
	struct open_folder *folder = must(malloc(sizeof(*folder)));
	size_t count;

	folder->users = 1;
	folder->fd = openat(unread->parent ? unread->parent->fd : AT_FDCWD, unread->name,
	    O_RDONLY | O_DIRECTORY | O_CLOEXEC | (unread->parent ? O_NOFOLLOW : 0));
	if (folder->fd < 0)
		fail(unread->name);
	count = list(reader, folder->fd);
	for (size_t i = 0; i < count; i++) {
		struct statx stx;

		if (statx(folder->fd, reader->sorted[i], AT_SYMLINK_NOFOLLOW, statx_mask, &stx))
			fail(reader->sorted[i]);
	}
	/* From the last to the first, so that the stack gives the first. */
	for (size_t i = count; i > 0; i--)
		if (reader->sorted[i - 1][-1] == DT_DIR)
			push(folder, reader->sorted[i - 1]);
	reader->entries += count;
	pthread_mutex_lock(&lock);
	release(folder);
	pthread_mutex_unlock(&lock);
}

static void *work(void *payload)
{
	struct reader reader = {.raw = must(malloc(ENTRIES_BYTES))};

	(void)payload;
	pthread_mutex_lock(&lock);
	for (;;) {
		struct unread *unread;

		while (!stack && busy > 0)
			pthread_cond_wait(&changed, &lock);
		unread = stack;
		if (!unread)
			break;
		stack = unread->below;
		busy++;
		pthread_mutex_unlock(&lock);
		read_folder(&reader, unread);
		pthread_mutex_lock(&lock);
		release(unread->parent);
		free(unread);
		if (--busy == 0 && !stack)
			pthread_cond_broadcast(&changed);
	}
	entries += reader.entries;
	pthread_mutex_unlock(&lock);
	free(reader.raw);
	free(reader.names);
	free(reader.sorted);
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned threads = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 2;
	pthread_t ids[THREADS_MAX];
	size_t size;

	if (argc < 2 || threads < 1 || threads > THREADS_MAX) {
		fprintf(stderr, "usage: limit FOLDER [THREADS] [core|all]\n");
		return 64;
	}
	if (argc > 3 && !strcmp(argv[3], "all"))
		statx_mask |= STATX_BTIME;
	size = strlen(argv[1]) + 1;
	stack = must(calloc(1, sizeof(*stack) + size));
	memcpy(stack->name, argv[1], size);
	for (unsigned i = 0; i < threads; i++)
		if (pthread_create(&ids[i], NULL, work, NULL))
			fail("pthread_create");
	for (unsigned i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	printf("%" PRIu64 " entries\n", entries + 1);
	return 0;
}
