/*
 * make_tree SHAPE ENTRIES FOLDER [SEED]: a deterministic tree to measure with.
 *
 *   recorder   camera-0001/2026-01-01/1708584695_video.rf1i …, 1,000 files a folder
 *   frames     video_0001/frame_000000.npy …, 3,000 files a folder
 *   source     names and depth like a source tree, 15 entries a folder
 *   huge       one folder
 *   mixed      half recorder, a quarter frames, a quarter source
 *
 * Files are sparse, so that a tree of millions costs inodes alone.  Sizes and times are as random
 * as such archives have them, because that is what a stream cannot compress:
 *
 *              size                                  mtime, nanoseconds always random
 *   recorder   packets 28 random bits, index 16      start by name, 1000 s and up to 3 more
 *   frames     all the same: arrays of one shape     25 a second
 *   source     16 random bits                        within 18 hours
 *
 * The same arguments always give the same names, sizes and mtimes.  FOLDER must not exist.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	RECORDER_FILES = 1000,
	FRAME_FILES = 3000,
	SOURCE_ENTRIES = 15,
	SEGMENT_SECONDS = 1000,
	FRAMES_A_SECOND = 25,
	/** 640 x 480, three bytes a pixel, and numpy's header. */
	FRAME_BYTES = 640 * 480 * 3 + 128,
	/** A start like those of the seeds; what is no recording begins with it too. */
	FIRST_START = 1708584695,
};

/* splitmix64 (Vigna, public domain): small, and good enough for sizes and times. */
static uint64_t random_state;

static uint64_t random_next(void)
{
	uint64_t z = (random_state += 0x9E3779B97F4A7C15u);

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return z ^ (z >> 31);
}

static void fail(const char *what)
{
	fprintf(stderr, "make_tree: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int make_folder(int parent, const char *name)
{
	int fd;

	if (mkdirat(parent, name, 0755) != 0)
		fail(name);
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		fail(name);
	return fd;
}

static void make_file(int folder, const char *name, uint64_t size, uint64_t seconds)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	struct timespec times[2];

	if (fd < 0)
		fail(name);
	if (ftruncate(fd, (off_t)size) != 0)
		fail(name);
	times[0].tv_sec = 0;
	times[0].tv_nsec = UTIME_OMIT;
	times[1].tv_sec = (time_t)seconds;
	times[1].tv_nsec = (long)(random_next() % 1000000000);
	if (futimens(fd, times) != 0)
		fail(name);
	close(fd);
}

/** One file of a pair: the index in front, the packets behind. */
static void make_segment(int folder, uint64_t start, bool is_packets)
{
	uint64_t size = random_next() & (is_packets ? 0xFFFFFFF : 0xFFFF);
	char name[64];

	snprintf(name, sizeof(name), "%" PRIu64 "_video.rf1%c", start, is_packets ? 'p' : 'i');
	make_file(folder, name, size, start + SEGMENT_SECONDS + random_next() % 4);
}

static void make_recorder(int root, uint64_t entries)
{
	uint64_t made = 0, folder, file;
	char name[64];

	for (folder = 0; made < entries; folder++) {
		int fd;

		snprintf(name, sizeof(name), "camera-%04" PRIu64, folder);
		fd = make_folder(root, name);
		made++;
		for (file = 0; file < RECORDER_FILES && made < entries; file++, made++)
			make_segment(fd, FIRST_START + file / 2 * SEGMENT_SECONDS, file % 2);
		close(fd);
	}
}

static void make_frames(int root, uint64_t entries)
{
	uint64_t made = 0, folder, file;
	char name[64];

	for (folder = 0; made < entries; folder++) {
		uint64_t start = FIRST_START + folder * 3600;
		int fd;

		snprintf(name, sizeof(name), "video_%04" PRIu64, folder);
		fd = make_folder(root, name);
		made++;
		for (file = 0; file < FRAME_FILES && made < entries; file++, made++) {
			snprintf(name, sizeof(name), "frame_%06" PRIu64 ".npy", file);
			make_file(fd, name, FRAME_BYTES, start + file / FRAMES_A_SECOND);
		}
		close(fd);
	}
}

static void random_word(char *out, size_t size)
{
	static const char *const syllables[] = {"de", "co", "re", "in", "out", "path", "file",
	    "list", "mem", "str", "io", "net", "test", "util", "map", "set"};
	size_t parts = 2 + random_next() % 3, length = 0;

	while (parts--)
		length += (size_t)snprintf(out + length, size - length, "%s",
		    syllables[random_next() % (sizeof(syllables) / sizeof(syllables[0]))]);
}

/* Fills `folder` with up to 15 entries, of which three are folders while depth lasts. */
static uint64_t make_source(int folder, uint64_t entries, unsigned depth)
{
	uint64_t made = 0;
	unsigned i;
	char word[64], name[96];

	for (i = 0; i < SOURCE_ENTRIES && made < entries; i++) {
		random_word(word, sizeof(word));
		if (i % 5 == 4 && depth > 0) {
			int fd;

			snprintf(name, sizeof(name), "%s%u", word, i);
			fd = make_folder(folder, name);
			made++;
			made += make_source(fd, entries - made, depth - 1);
			close(fd);
		} else {
			snprintf(name, sizeof(name), "%s%u.%c", word, i, "chop"[random_next() % 4]);
			make_file(folder, name, random_next() & 0xFFFF,
			    FIRST_START + (random_next() & 0xFFFF));
			made++;
		}
	}
	return made;
}

static void make_sources(int root, uint64_t entries)
{
	uint64_t made = 0, project;
	char name[64];

	for (project = 0; made < entries; project++) {
		int fd;

		snprintf(name, sizeof(name), "project-%04" PRIu64, project);
		fd = make_folder(root, name);
		made++;
		made += make_source(fd, entries - made, 6);
		close(fd);
	}
}

static void make_huge(int root, uint64_t entries)
{
	for (uint64_t file = 0; file < entries; file++)
		make_segment(root, FIRST_START + file / 2 * SEGMENT_SECONDS, file % 2);
}

static void make_mixed(int root, uint64_t entries)
{
	int fd = make_folder(root, "cameras");

	make_recorder(fd, entries / 2);
	close(fd);
	fd = make_folder(root, "frames");
	make_frames(fd, entries / 4);
	close(fd);
	fd = make_folder(root, "source");
	make_sources(fd, entries - entries / 2 - entries / 4);
	close(fd);
}

int main(int argc, char **argv)
{
	uint64_t entries;
	int root;

	if (argc < 4) {
		fprintf(stderr,
		    "usage: make_tree recorder|frames|source|huge|mixed ENTRIES FOLDER [SEED]\n");
		return 64;
	}
	entries = strtoull(argv[2], NULL, 10);
	random_state = argc > 4 ? strtoull(argv[4], NULL, 10) : 1;
	root = make_folder(AT_FDCWD, argv[3]);
	if (strcmp(argv[1], "recorder") == 0)
		make_recorder(root, entries);
	else if (strcmp(argv[1], "frames") == 0)
		make_frames(root, entries);
	else if (strcmp(argv[1], "source") == 0)
		make_sources(root, entries);
	else if (strcmp(argv[1], "huge") == 0)
		make_huge(root, entries);
	else if (strcmp(argv[1], "mixed") == 0)
		make_mixed(root, entries);
	else {
		fprintf(stderr, "make_tree: '%s' is no shape\n", argv[1]);
		return 64;
	}
	close(root);
	return 0;
}
