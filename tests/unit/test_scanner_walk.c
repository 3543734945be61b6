/*
 * The scanner against an independent walk (nftw, lstat, sort), and what a cursor
 * promises: order, skipping, stopping, the source.
 */
#include "test_scanner_tree.h"

#include <ftw.h>
#include <inttypes.h>
#include <sys/sysmacros.h>
#include <time.h>

/* ---- the naive walk ---------------------------------------------------- */

static char **reference;
static size_t reference_count;
static size_t reference_skip;

static int note(const char *path, const struct stat *st, int kind, struct FTW *place)
{
	(void)st;
	(void)kind;
	(void)place;
	path += reference_skip;
	reference = realloc(reference, (reference_count + 1) * sizeof(*reference));
	reference[reference_count++] = strdup(*path == '/' ? path + 1 : path);
	return 0;
}

static int by_path(const void *a, const void *b)
{
	const char *x = *(char *const *)a, *y = *(char *const *)b;

	return fsmeta_path_compare(x, strlen(x), y, strlen(y));
}

static void walk_naively(const char *root)
{
	reference_count = 0;
	reference_skip = strlen(root);
	assert_int_equal(nftw(root, note, 64, FTW_PHYS), 0);
	qsort(reference, reference_count, sizeof(*reference), by_path);
}

static void forget_reference(void)
{
	for (size_t i = 0; i < reference_count; i++)
		free(reference[i]);
	free(reference);
	reference = NULL;
	reference_count = 0;
}

static void assert_time(struct fsmeta_time got, struct timespec wanted)
{
	assert_int_equal(got.seconds, wanted.tv_sec);
	assert_int_equal(got.nanoseconds, wanted.tv_nsec);
}

static void assert_like_lstat(const struct fsmeta_entry *entry, int root, const char *path)
{
	const char *name = *path ? path : ".";
	struct stat st;
	struct statx stx;
	char target[PATH_MAX];
	ssize_t length;

	assert_int_equal(fstatat(root, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(entry->flags, 0);
	assert_int_equal(entry->error, 0);
	assert_int_equal(entry->type, fsmeta_type_from_mode(st.st_mode));
	assert_int_equal(entry->size, st.st_size);
	assert_int_equal(entry->mode, st.st_mode & 07777);
	assert_int_equal(entry->uid, st.st_uid);
	assert_int_equal(entry->gid, st.st_gid);
	assert_int_equal(entry->inode, st.st_ino);
	assert_int_equal(entry->nlink, st.st_nlink);
	assert_int_equal(entry->allocated, st.st_blocks * 512);
	assert_int_equal(entry->device, 0);
	assert_time(entry->mtime, st.st_mtim);
	assert_time(entry->ctime, st.st_ctim);
	assert_int_equal(statx(root, name, AT_SYMLINK_NOFOLLOW, STATX_BTIME, &stx), 0);
	if (stx.stx_mask & STATX_BTIME) {
		assert_true(entry->fields & FSMETA_FIELD_BTIME);
		assert_int_equal(entry->btime.seconds, stx.stx_btime.tv_sec);
		assert_int_equal(entry->btime.nanoseconds, stx.stx_btime.tv_nsec);
	}
	assert_int_equal(entry->fields & ~fsmeta_fields_of_type(entry->type), 0);
	if (S_ISLNK(st.st_mode)) {
		length = readlinkat(root, name, target, sizeof(target));
		assert_true(entry->fields & FSMETA_FIELD_TARGET);
		assert_int_equal(entry->target_length, length);
		assert_memory_equal(entry->target, target, length);
	} else {
		assert_null(entry->target);
	}
	if (S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode)) {
		assert_true(entry->fields & FSMETA_FIELD_RDEV);
		assert_int_equal(entry->rdev_major, major(st.st_rdev));
		assert_int_equal(entry->rdev_minor, minor(st.st_rdev));
	}
}

/** The tree as scanned is the tree as walked. */
static void assert_scan_is_right(const struct tree *tree)
{
	unsigned descriptors = open_descriptors();
	struct seen seen = scan_all(tree->path, NULL);

	assert_int_equal(open_descriptors(), descriptors);
	walk_naively(tree->path);
	assert_int_equal(seen.count, reference_count);
	for (size_t i = 0; i < seen.count; i++) {
		const struct fsmeta_entry *entry = &seen.entries[i];

		assert_string_equal(entry->path, reference[i]);
		assert_int_equal(
		    entry->depth, fsmeta_path_depth(reference[i], strlen(reference[i])));
		assert_ptr_equal(entry->name,
		    entry->path + fsmeta_path_name_offset(entry->path, entry->path_length));
		assert_int_equal(entry->name_length, strlen(entry->name));
		assert_like_lstat(entry, tree->fd, reference[i]);
	}
	forget_reference();
	seen_release(&seen);
}

/* ---- random trees ------------------------------------------------------ */

static uint64_t random_state;

static uint32_t random_below(uint32_t bound)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 32) % bound);
}

/** A name that somebody would rather not have on the disk. */
static void hostile_name(char *out)
{
	static const char *const awkward[] = {"!", "-rf", " ", "\n", "\x1b[31m", "a.", "a!", "a",
	    "ab", "\"'\\", "\xff\xfe", "\xc3\x28", "~", ".x", "...", "\x01", "\x7f", "a\xcc\x88"};
	uint32_t length;

	switch (random_below(5)) {
	case 0:
		strcpy(out, awkward[random_below(sizeof(awkward) / sizeof(awkward[0]))]);
		return;
	case 1:
		sprintf(out, "frame_%06u.npy", random_below(40));
		return;
	case 2:
		length = 1 + random_below(random_below(4) ? 12 : 255);
		break;
	default:
		length = 1 + random_below(3);
		break;
	}
	for (uint32_t i = 0; i < length; i++) {
		uint32_t byte = random_below(3) ? 1 + random_below(255) : 'a' + random_below(3);

		out[i] = (char)(byte == '/' ? '!' : byte);
	}
	out[length] = '\0';
	if (!strcmp(out, ".") || !strcmp(out, ".."))
		strcpy(out, "dot");
}

static void odd_times(int fd, const char *name)
{
	static const int64_t seconds[] = {
	    0, -1, -86400 * 365LL * 60, 1700000000, INT32_MAX, 1LL << 32, 9300000000, 14000000000};
	struct timespec times[2];

	for (int i = 0; i < 2; i++) {
		times[i].tv_sec = seconds[random_below(sizeof(seconds) / sizeof(seconds[0]))];
		times[i].tv_nsec = random_below(1000000000);
	}
	utimensat(fd, name, times, AT_SYMLINK_NOFOLLOW);
}

/** Fills a folder; names that are there already are left as they are. */
static void grow_tree(int fd, unsigned depth, unsigned *budget)
{
	uint32_t children = random_below(random_below(8) ? 12 : 400);
	char last_file[NAME_MAX + 1] = "";

	for (uint32_t i = 0; i<children && * budget> 0; i++) {
		char name[NAME_MAX + 1], target[NAME_MAX + 1];
		int below;

		--*budget;
		hostile_name(name);
		switch (random_below(10)) {
		case 0:
		case 1:
			if (depth > 0 && mkdirat(fd, name, 0755) == 0) {
				below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
				assert_true(below >= 0);
				grow_tree(below, depth - 1, budget);
				close(below);
			}
			break;
		case 2:
			hostile_name(target);
			(void)!symlinkat(random_below(2) ? target : "..", fd, name);
			break;
		case 3:
			mkfifoat(fd, name, 0600);
			break;
		case 4:
			mknodat(fd, name, S_IFSOCK | 0640, 0);
			break;
		case 5:
			/* Only for the privileged; others have one file less. */
			mknodat(fd, name, (random_below(2) ? S_IFCHR : S_IFBLK) | 0600,
			    makedev(random_below(300), random_below(70000)));
			break;
		case 6:
			if (*last_file)
				(void)!linkat(fd, last_file, fd, name, 0);
			break;
		default:
			below = openat(fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
			if (below < 0)
				break;
			assert_int_equal(ftruncate(below, random_below(1 << 30)), 0);
			assert_int_equal(fchmod(below, random_below(010000)), 0);
			close(below);
			strcpy(last_file, name);
		}
		odd_times(fd, name);
	}
}

static void random_trees(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 30; seed++) {
		/* On a disk for what it can keep, in memory for the speed. */
		struct tree tree = seed <= 4 ? tree_new() : tree_new_in_memory();
		unsigned budget = 800;

		random_state = seed * UINT64_C(0x9e3779b97f4a7c15);
		grow_tree(tree.fd, 8, &budget);
		assert_scan_is_right(&tree);
		tree_free(&tree);
	}
}

/* ---- single cases ------------------------------------------------------ */

static void empty_root(void **state)
{
	struct tree tree = tree_new();
	struct fsmeta_cursor *cursor = open_scan(tree.path, NULL);
	const struct fsmeta_entry *entry = expect_next(cursor, "");

	(void)state;
	assert_int_equal(entry->depth, 0);
	assert_int_equal(entry->name_length, 0);
	assert_int_equal(entry->type, FSMETA_TYPE_FOLDER);
	expect_end(cursor);
	assert_int_equal(cursor->source->totals.entries, 1);
	fsmeta_cursor_close(cursor);
	tree_free(&tree);
}

static void order_is_canonical(void **state)
{
	static const char *const wanted[] = {
	    "", "a", "a/x", "a/x/y", "a!b", "a-", "a.mp4", "aa", "b\xff", "b\xff/\n"};
	struct tree tree = tree_new();
	struct seen seen;

	(void)state;
	make_file(&tree, "a.mp4", "");
	make_file(&tree, "aa", "");
	make_folder(&tree, "b\xff");
	make_file(&tree, "b\xff/\n", "");
	make_folder(&tree, "a");
	make_folder(&tree, "a/x");
	make_file(&tree, "a/x/y", "");
	make_file(&tree, "a!b", "");
	make_file(&tree, "a-", "");
	seen = scan_all(tree.path, NULL);
	assert_int_equal(seen.count, sizeof(wanted) / sizeof(wanted[0]));
	for (size_t i = 0; i < seen.count; i++)
		assert_string_equal(seen.entries[i].path, wanted[i]);
	seen_release(&seen);
	tree_free(&tree);
}

static void what_open_refuses(void **state)
{
	struct tree tree = tree_new();
	struct fsmeta_cursor *cursor;
	struct fsmeta_error error = {0};
	char path[256];
	unsigned descriptors = open_descriptors();

	(void)state;
	snprintf(path, sizeof(path), "%s/missing", tree.path);
	assert_int_equal(
	    fsmeta_scan_open(&cursor, path, with_threads(NULL), &error), FSMETA_E_SYSTEM);
	assert_int_equal(error.system_errno, ENOENT);
	assert_string_equal(error.path, path);
	assert_null(cursor);
	make_file(&tree, "file", "");
	snprintf(path, sizeof(path), "%s/file", tree.path);
	assert_int_equal(
	    fsmeta_scan_open(&cursor, path, with_threads(NULL), &error), FSMETA_E_SYSTEM);
	assert_int_equal(error.system_errno, ENOTDIR);
	assert_int_equal(
	    fsmeta_scan_open(&cursor, path, with_threads(NULL), NULL), FSMETA_E_SYSTEM);
	assert_int_equal(open_descriptors(), descriptors);
	tree_free(&tree);
}

static void links_are_not_followed_but_the_root(void **state)
{
	struct tree tree = tree_new();
	struct seen seen;
	char path[256];

	(void)state;
	make_folder(&tree, "real");
	make_file(&tree, "real/inside", "x");
	make_link(&tree, "real/loop", "..");
	make_link(&tree, "real/self", "self");
	make_link(&tree, "real/up", "/");
	make_link(&tree, "root", "real");
	snprintf(path, sizeof(path), "%s/root", tree.path);
	seen = scan_all(path, NULL);
	assert_int_equal(seen.count, 5);
	assert_int_equal(seen_get(&seen, "")->type, FSMETA_TYPE_FOLDER);
	assert_int_equal(seen_get(&seen, "loop")->type, FSMETA_TYPE_SYMLINK);
	assert_string_equal(seen_get(&seen, "loop")->target, "..");
	assert_string_equal(seen_get(&seen, "self")->target, "self");
	assert_string_equal(seen_get(&seen, "up")->target, "/");
	seen_release(&seen);
	tree_free(&tree);
}

static void long_targets(void **state)
{
	struct tree tree = tree_new();
	struct seen seen;
	char target[4096];

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		char name[16];

		sprintf(name, "%03u", i);
		memset(target, 'a' + (int)(i % 26), sizeof(target));
		target[1 + i * 13] = '\0';
		make_link(&tree, name, target);
	}
	seen = scan_all(tree.path, NULL);
	assert_int_equal(seen.count, 301);
	for (unsigned i = 0; i < 300; i++) {
		assert_int_equal(seen.entries[i + 1].target_length, 1 + i * 13);
		assert_int_equal(
		    strspn(seen.entries[i + 1].target, (char[]){(char)('a' + i % 26), 0}),
		    1 + i * 13);
	}
	seen_release(&seen);
	tree_free(&tree);
}

static void huge_sparse_file(void **state)
{
	struct tree tree = tree_new();
	const off_t size = 3LL << 40;
	int fd = openat(tree.fd, "huge", O_WRONLY | O_CREAT, 0600);
	struct seen seen;

	(void)state;
	if (ftruncate(fd, size) != 0) {
		close(fd);
		tree_free(&tree);
		skip();
	}
	close(fd);
	seen = scan_all(tree.path, NULL);
	assert_int_equal(seen_get(&seen, "huge")->size, size);
	assert_true(seen_get(&seen, "huge")->allocated < 1 << 20);
	seen_release(&seen);
	tree_free(&tree);
}

/** Times are what the kernel says, also where it could not keep what it was given. */
static void times_far_away(void **state)
{
	static const int64_t seconds[] = {INT32_MIN, -1, 0, INT32_MAX, INT32_MAX + 1LL, 4102444800,
	    9300000000 /* 2264 */, 15032385535 /* 2446, the last of ext4 */};
	struct tree tree = tree_new();
	struct seen seen;

	(void)state;
	for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
		char name[32];
		struct timespec times[2] = {{seconds[i], 1}, {seconds[i], 999999999}};

		sprintf(name, "%zu", i);
		make_file(&tree, name, "");
		assert_int_equal(utimensat(tree.fd, name, times, 0), 0);
	}
	assert_scan_is_right(&tree);
	seen = scan_all(tree.path, NULL);
	/* Every file system that we test on has these. */
	assert_int_equal(seen_get(&seen, "1")->mtime.seconds, -1);
	assert_int_equal(seen_get(&seen, "1")->mtime.nanoseconds, 999999999);
	assert_int_equal(seen_get(&seen, "4")->mtime.seconds, INT32_MAX + 1LL);
	seen_release(&seen);
	tree_free(&tree);
}

static void hard_links(void **state)
{
	struct tree tree = tree_new();
	struct seen seen;

	(void)state;
	make_file(&tree, "one", "x");
	make_folder(&tree, "f");
	assert_int_equal(linkat(tree.fd, "one", tree.fd, "f/two", 0), 0);
	seen = scan_all(tree.path, NULL);
	assert_int_equal(seen_get(&seen, "one")->nlink, 2);
	assert_int_equal(seen_get(&seen, "f/two")->inode, seen_get(&seen, "one")->inode);
	seen_release(&seen);
	tree_free(&tree);
}

static void flat_folder(void **state)
{
	enum {
		FILES = 20000
	};
	struct tree tree = tree_new_in_memory();
	struct seen seen;

	(void)state;
	for (unsigned i = 0; i < FILES; i++) {
		char name[32];

		/* A walk over all residues, so not in order. */
		sprintf(name, "%u_video.rf1%c", 1700000000 + i * 7919 % FILES / 2,
		    i * 7919 % FILES % 2 ? 'p' : 'i');
		make_file(&tree, name, "");
	}
	seen = scan_all(tree.path, NULL);
	assert_int_equal(seen.count, FILES + 1);
	for (size_t i = 2; i < seen.count; i++)
		assert_true(strcmp(seen.entries[i - 1].path, seen.entries[i].path) < 0);
	seen_release(&seen);
	tree_free(&tree);
}

static void hidden_names(void **state)
{
	struct tree tree = tree_new();
	struct stat root, folder;
	struct seen seen;

	(void)state;
	make_folder(&tree, "f");
	make_file(&tree, "x.db", "");
	make_file(&tree, "x.db-wal", "");
	make_file(&tree, "x.dc", "");
	make_file(&tree, "f/x.db", "");
	make_folder(&tree, "f/out");
	make_file(&tree, "f/out/entries.fss", "");
	make_file(&tree, "f/outer", "");
	assert_int_equal(fstat(tree.fd, &root), 0);
	assert_int_equal(fstatat(tree.fd, "f", &folder, 0), 0);
	{
		const struct fsmeta_scan_hidden hidden[] = {
		    {root.st_dev, root.st_ino, "x.db*"}, {folder.st_dev, folder.st_ino, "out"}};
		const struct fsmeta_scan_options options = {.hidden = hidden, .hidden_count = 2};

		seen = scan_all(tree.path, &options);
	}
	assert_int_equal(seen.count, 5);
	assert_non_null(seen_find(&seen, "f"));
	assert_non_null(seen_find(&seen, "f/outer"));
	assert_non_null(seen_find(&seen, "f/x.db"));
	assert_non_null(seen_find(&seen, "x.dc"));
	seen_release(&seen);
	tree_free(&tree);
}

static void field_masks(void **state)
{
	struct tree tree = tree_new();
	struct fsmeta_scan_options options = {.field_mask = FSMETA_FIELDS_CORE};
	struct seen seen;

	(void)state;
	make_file(&tree, "file", "abc");
	make_link(&tree, "link", "file");
	seen = scan_all(tree.path, &options);
	assert_int_equal(seen_get(&seen, "file")->fields,
	    FSMETA_FIELDS_CORE & ~(FSMETA_FIELD_RDEV | FSMETA_FIELD_TARGET));
	assert_int_equal(seen_get(&seen, "file")->size, 3);
	assert_int_equal(seen_get(&seen, "file")->inode, 0);
	assert_int_equal(seen_get(&seen, "file")->nlink, 0);
	assert_int_equal(seen_get(&seen, "file")->ctime.seconds, 0);
	assert_int_equal(seen_get(&seen, "file")->device, FSMETA_DEVICE_NONE);
	assert_int_equal(seen_get(&seen, "link")->fields, FSMETA_FIELDS_CORE & ~FSMETA_FIELD_RDEV);
	seen_release(&seen);

	options.field_mask = FSMETA_FIELD_SIZE | FSMETA_FIELD_HASH;
	seen = scan_all(tree.path, &options);
	assert_int_equal(seen_get(&seen, "link")->fields, FSMETA_FIELD_SIZE);
	assert_null(seen_get(&seen, "link")->target);
	seen_release(&seen);
	tree_free(&tree);
}

static void make_skip_tree(const struct tree *tree)
{
	make_folder(tree, "a");
	make_folder(tree, "a/b");
	make_file(tree, "a/b/1", "");
	make_file(tree, "a/b/2", "");
	make_file(tree, "a/c", "");
	make_folder(tree, "d");
	make_file(tree, "d/e", "");
	make_file(tree, "f", "");
}

static void skipping(void **state)
{
	struct tree tree = tree_new();
	struct fsmeta_cursor *cursor;

	(void)state;
	make_skip_tree(&tree);

	/* What is below a folder. */
	cursor = open_scan(tree.path, NULL);
	expect_next(cursor, "");
	expect_next(cursor, "a");
	assert_int_equal(fsmeta_cursor_skip(cursor, 2, NULL), 0);
	expect_next(cursor, "d");
	assert_int_equal(fsmeta_cursor_skip(cursor, 2, NULL), 0);
	expect_next(cursor, "f");
	expect_end(cursor);
	assert_int_equal(cursor->source->totals.entries, 4);
	fsmeta_cursor_close(cursor);

	/* The rest of several folders at once, and nothing at all. */
	cursor = open_scan(tree.path, NULL);
	expect_next(cursor, "");
	expect_next(cursor, "a");
	expect_next(cursor, "a/b");
	assert_int_equal(fsmeta_cursor_skip(cursor, 4, NULL), 0);
	expect_next(cursor, "a/b/1");
	assert_int_equal(fsmeta_cursor_skip(cursor, 4, NULL), 0);
	assert_int_equal(fsmeta_cursor_skip(cursor, 2, NULL), 0);
	expect_next(cursor, "d");
	fsmeta_cursor_close(cursor);

	cursor = open_scan(tree.path, NULL);
	expect_next(cursor, "");
	assert_int_equal(fsmeta_cursor_skip(cursor, 1, NULL), 0);
	expect_end(cursor);
	fsmeta_cursor_close(cursor);

	cursor = open_scan(tree.path, NULL);
	assert_int_equal(fsmeta_cursor_skip(cursor, 0, NULL), 0);
	expect_end(cursor);
	assert_int_equal(cursor->source->totals.entries, 0);
	fsmeta_cursor_close(cursor);
	tree_free(&tree);
}

static void stopping(void **state)
{
	struct tree tree = tree_new();
	volatile sig_atomic_t stop = 1;
	const struct fsmeta_scan_options options = {.stop = &stop};
	const struct fsmeta_entry *entry;
	struct fsmeta_cursor *cursor;
	unsigned descriptors;

	(void)state;
	make_skip_tree(&tree);
	descriptors = open_descriptors();
	cursor = open_scan(tree.path, &options);
	assert_int_equal(fsmeta_cursor_next(cursor, &entry, NULL), FSMETA_E_STOPPED);
	fsmeta_cursor_close(cursor);

	stop = 0;
	cursor = open_scan(tree.path, &options);
	expect_next(cursor, "");
	expect_next(cursor, "a");
	stop = 1;
	assert_int_equal(fsmeta_cursor_next(cursor, &entry, NULL), FSMETA_E_STOPPED);
	fsmeta_cursor_close(cursor);
	assert_int_equal(open_descriptors(), descriptors);
	tree_free(&tree);
}

static void totals_and_source(void **state)
{
	struct tree tree = tree_new();
	struct fsmeta_cursor *cursor;
	struct seen seen = {0};
	const struct fsmeta_batch_source *source;

	(void)state;
	make_skip_tree(&tree);
	make_file(&tree, "a/sized", "12345");
	make_link(&tree, "link", "f");
	assert_int_equal(mkfifoat(tree.fd, "pipe", 0600), 0);
	cursor = open_scan(tree.path, NULL);
	source = cursor->source;
	assert_string_equal(cursor->label, tree.path);
	assert_true(source->started.seconds > 0);
	assert_int_equal(source->finished.seconds, 0);
	assert_int_equal(source->filesystem_count, 1);
	assert_false(source->has_totals);
	assert_int_equal(seen_rest(&seen, cursor), 0);
	assert_true(source->has_totals);
	assert_int_equal(source->totals.entries, seen.count);
	assert_int_equal(source->totals.folders, 4);
	assert_int_equal(source->totals.files, 6);
	assert_int_equal(source->totals.symlinks, 1);
	assert_int_equal(source->totals.others, 1);
	assert_int_equal(source->totals.bytes, 5);
	assert_int_equal(source->totals.unreadable, 0);
	assert_int_equal(source->generation, 0);
	assert_int_equal(source->id_kind, FSMETA_IDS_ORDINAL);
	assert_false(fsmeta_batch_source_is_partial(source));
	assert_true(fsmeta_time_compare(source->started, source->finished) <= 0);
	if (geteuid() == 0) {
		assert_int_equal(source->owner_count, 1);
		assert_string_equal(source->owners[0].name, "root");
		assert_int_equal(source->group_count, 1);
	}
	fsmeta_cursor_close(cursor);
	seen_release(&seen);
	tree_free(&tree);
}

/** An output folder made between open and the first next() is no change under way. */
static void root_is_described_when_it_is_read(void **state)
{
	struct tree tree = tree_new();
	struct fsmeta_cursor *cursor = open_scan(tree.path, NULL);
	struct timespec times[2] = {{1, 0}, {1, 0}};
	const struct fsmeta_entry *entry;

	(void)state;
	make_file(&tree, "late", "");
	assert_int_equal(futimens(tree.fd, times), 0);
	entry = expect_next(cursor, "");
	assert_int_equal(entry->flags, 0);
	assert_int_equal(entry->mtime.seconds, 1);
	expect_next(cursor, "late");
	expect_end(cursor);
	fsmeta_cursor_close(cursor);
	tree_free(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(random_trees),
	    cmocka_unit_test(empty_root),
	    cmocka_unit_test(order_is_canonical),
	    cmocka_unit_test(what_open_refuses),
	    cmocka_unit_test(links_are_not_followed_but_the_root),
	    cmocka_unit_test(long_targets),
	    cmocka_unit_test(huge_sparse_file),
	    cmocka_unit_test(times_far_away),
	    cmocka_unit_test(hard_links),
	    cmocka_unit_test(flat_folder),
	    cmocka_unit_test(hidden_names),
	    cmocka_unit_test(field_masks),
	    cmocka_unit_test(skipping),
	    cmocka_unit_test(stopping),
	    cmocka_unit_test(totals_and_source),
	    cmocka_unit_test(root_is_described_when_it_is_read),
	};

	return RUN_WITH_THREADS(tests);
}
