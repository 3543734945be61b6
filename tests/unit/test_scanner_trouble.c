/*
 * What cannot be read, what changes while it is read, and what lies on another
 * file system: recorded for what it is, never left out, never the end of a scan.
 *
 * Races are played between two calls of next().  With one thread they always end the same
 * way: the root's names have then been listed and looked at, its folders not opened.
 * With more a folder may have been read before, and is then as it was.
 */
#include "test_scanner_tree.h"

#include <sched.h>
#include <sys/mount.h>

/* ---- permissions ------------------------------------------------------- */

static void scan_without_permission(const struct tree *tree)
{
	struct fsmeta_cursor *cursor;
	struct seen seen = {0};
	const struct fsmeta_entry *entry;
	const struct fsmeta_scope_list *unreadable;

	become_ordinary();
	CHILD_CHECK(fsmeta_scan_open(&cursor, tree->path, with_threads(NULL), NULL) == 0);
	CHILD_CHECK(seen_rest(&seen, cursor) == 0);
	CHILD_CHECK(seen.count == 7);

	entry = seen_find(&seen, "closed");
	CHILD_CHECK(entry && entry->type == FSMETA_TYPE_FOLDER);
	CHILD_CHECK(entry->flags == FSMETA_FLAG_UNREADABLE && entry->error == EACCES);
	CHILD_CHECK(entry->mode == 0 && entry->fields & FSMETA_FIELD_MTIME);
	CHILD_CHECK(!seen_find(&seen, "closed/inside"));

	/* It can be listed but not searched. */
	entry = seen_find(&seen, "listed");
	CHILD_CHECK(entry && entry->flags == 0 && entry->mode == 0444);
	entry = seen_find(&seen, "listed/file");
	CHILD_CHECK(entry && entry->type == FSMETA_TYPE_FILE && entry->fields == 0);
	CHILD_CHECK(entry->flags == FSMETA_FLAG_UNREADABLE && entry->error == EACCES);
	CHILD_CHECK(entry->size == 0 && entry->device == FSMETA_DEVICE_NONE);
	entry = seen_find(&seen, "listed/folder");
	CHILD_CHECK(entry && entry->type == FSMETA_TYPE_FOLDER && entry->fields == 0);
	CHILD_CHECK(entry->flags == FSMETA_FLAG_UNREADABLE && entry->error == EACCES);

	entry = seen_find(&seen, "open/file");
	CHILD_CHECK(entry && entry->flags == 0);

	unreadable = &cursor->source->unreadable;
	CHILD_CHECK(unreadable->total == 3 && unreadable->count == 3);
	CHILD_CHECK(!strcmp(unreadable->roots[0].path, "closed"));
	CHILD_CHECK(unreadable->roots[0].error == EACCES);
	CHILD_CHECK(!strcmp(unreadable->roots[1].path, "listed/file"));
	CHILD_CHECK(!strcmp(unreadable->roots[2].path, "listed/folder"));
	CHILD_CHECK(cursor->source->totals.unreadable == 3);
	CHILD_CHECK(fsmeta_batch_source_is_partial(cursor->source));
	fsmeta_cursor_close(cursor);
	seen_release(&seen);
}

static void folders_without_permission(void **state)
{
	struct tree tree = tree_new();

	(void)state;
	make_folder(&tree, "closed");
	make_file(&tree, "closed/inside", "");
	make_folder(&tree, "listed");
	make_file(&tree, "listed/file", "");
	make_folder(&tree, "listed/folder");
	make_folder(&tree, "open");
	make_file(&tree, "open/file", "");
	must(fchmodat(tree.fd, "closed", 0, 0) == 0);
	must(fchmodat(tree.fd, "listed", 0444, 0) == 0);
	assert_int_equal(in_child(scan_without_permission, &tree), CHILD_GOOD);
	tree_free(&tree);
}

static void open_root_without_permission(const struct tree *tree)
{
	struct fsmeta_cursor *cursor;
	struct fsmeta_error error = {0};

	become_ordinary();
	CHILD_CHECK(
	    fsmeta_scan_open(&cursor, tree->path, with_threads(NULL), &error) == FSMETA_E_SYSTEM);
	CHILD_CHECK(error.system_errno == EACCES && !strcmp(error.path, tree->path));
}

static void root_without_permission(void **state)
{
	struct tree tree = tree_new();

	(void)state;
	must(fchmod(tree.fd, 0) == 0);
	assert_int_equal(in_child(open_root_without_permission, &tree), CHILD_GOOD);
	tree_free(&tree);
}

static void scan_as_a_stranger(const struct tree *tree)
{
	struct fsmeta_cursor *cursor;
	struct seen seen = {0};

	/* O_NOATIME is refused on folders of somebody else; nothing else is. */
	become_ordinary();
	CHILD_CHECK(fsmeta_scan_open(&cursor, tree->path, with_threads(NULL), NULL) == 0);
	CHILD_CHECK(seen_rest(&seen, cursor) == 0);
	CHILD_CHECK(seen.count == 4 && cursor->source->totals.unreadable == 0);
	fsmeta_cursor_close(cursor);
	seen_release(&seen);
}

static void folders_of_somebody_else(void **state)
{
	struct tree tree = tree_new();

	(void)state;
	make_folder(&tree, "a");
	make_folder(&tree, "a/b");
	make_file(&tree, "a/b/c", "");
	assert_int_equal(in_child(scan_as_a_stranger, &tree), CHILD_GOOD);
	tree_free(&tree);
}

/* ---- races ------------------------------------------------------------- */

/** A tree with `first`, a folder to be hit, and `last`; a scan that stands at `first`. */
static struct fsmeta_cursor *stand_before_victim(const struct tree *tree)
{
	struct fsmeta_cursor *cursor;

	make_folder(tree, "first");
	make_folder(tree, "victim");
	make_file(tree, "victim/inside", "");
	make_file(tree, "zlast", "");
	cursor = open_scan(tree->path, NULL);
	expect_next(cursor, "");
	expect_next(cursor, "first");
	return cursor;
}

/**
 * Puts what was prepared as `substitute` in the victim's place, in one step: threads that
 * read ahead meet the one or the other, and never nothing.
 */
static void replace_victim(const struct tree *tree, const struct tree *substitute)
{
	must(renameat2(tree->fd, "victim", substitute->fd, "victim", RENAME_EXCHANGE) == 0);
}

/** A thread that reads the victim just then may notice that it changes. */
static uint32_t seen_under_way(void)
{
	return test_threads > 1 ? FSMETA_FLAG_CHANGED_WHILE_READ : 0;
}

/** It was opened before it was hit; what is in it may have been read before that or not. */
static void expect_rest_of_read_victim(struct fsmeta_cursor *cursor)
{
	const struct fsmeta_entry *entry;

	assert_int_equal(fsmeta_cursor_next(cursor, &entry, NULL), 1);
	if (!strcmp(entry->path, "victim/inside"))
		assert_int_equal(fsmeta_cursor_next(cursor, &entry, NULL), 1);
	assert_string_equal(entry->path, "zlast");
	expect_end(cursor);
	assert_int_equal(cursor->source->unreadable.total, 0);
	fsmeta_cursor_close(cursor);
}

static void expect_unreadable_victim(struct fsmeta_cursor *cursor, int error)
{
	const struct fsmeta_entry *entry = expect_next(cursor, "victim");

	assert_int_equal(entry->type, FSMETA_TYPE_FOLDER);
	if (test_threads > 1 && !(entry->flags & FSMETA_FLAG_UNREADABLE)) {
		expect_rest_of_read_victim(cursor);
		return;
	}
	assert_int_equal(entry->flags & ~seen_under_way(), FSMETA_FLAG_UNREADABLE);
	assert_int_equal(entry->error, error);
	assert_true(entry->fields & FSMETA_FIELD_MTIME);
	expect_next(cursor, "zlast");
	expect_end(cursor);
	assert_int_equal(cursor->source->unreadable.total, 1);
	assert_string_equal(cursor->source->unreadable.roots[0].path, "victim");
	assert_int_equal(cursor->source->unreadable.roots[0].error, error);
	fsmeta_cursor_close(cursor);
}

static void folder_vanishes(void **state)
{
	struct tree tree = tree_new();
	struct fsmeta_cursor *cursor = stand_before_victim(&tree);

	(void)state;
	must(unlinkat(tree.fd, "victim/inside", 0) == 0);
	must(unlinkat(tree.fd, "victim", AT_REMOVEDIR) == 0);
	expect_unreadable_victim(cursor, ENOENT);
	tree_free(&tree);
}

static void folder_becomes_a_link_to_outside(void **state)
{
	struct tree tree = tree_new(), outside = tree_new();
	struct fsmeta_cursor *cursor = stand_before_victim(&tree);

	(void)state;
	make_file(&outside, "secret", "");
	make_link(&outside, "victim", outside.path);
	replace_victim(&tree, &outside);
	expect_unreadable_victim(cursor, ENOTDIR);
	tree_free(&tree);
	tree_free(&outside);
}

static void folder_becomes_a_file(void **state)
{
	struct tree tree = tree_new(), outside = tree_new();
	struct fsmeta_cursor *cursor = stand_before_victim(&tree);

	(void)state;
	make_file(&outside, "victim", "");
	replace_victim(&tree, &outside);
	expect_unreadable_victim(cursor, ENOTDIR);
	tree_free(&tree);
	tree_free(&outside);
}

static void folder_becomes_a_fifo(void **state)
{
	struct tree tree = tree_new(), outside = tree_new();
	struct fsmeta_cursor *cursor = stand_before_victim(&tree);

	(void)state;
	must(mkfifoat(outside.fd, "victim", 0600) == 0);
	replace_victim(&tree, &outside);
	expect_unreadable_victim(cursor, ENOTDIR);
	tree_free(&tree);
	tree_free(&outside);
}

static void folder_becomes_another_folder(void **state)
{
	struct tree tree = tree_new(), outside = tree_new();
	struct fsmeta_cursor *cursor = stand_before_victim(&tree);
	const struct fsmeta_entry *entry;
	struct stat st;

	(void)state;
	make_folder(&outside, "victim");
	make_file(&outside, "victim/new", "");
	must(fchmodat(outside.fd, "victim", 0711, 0) == 0);
	must(fstatat(outside.fd, "victim", &st, 0) == 0);
	replace_victim(&tree, &outside);
	entry = expect_next(cursor, "victim");
	assert_int_equal(entry->flags & ~seen_under_way(), 0);
	if (test_threads > 1 && entry->inode != st.st_ino) {
		expect_next(cursor, "victim/inside");
	} else {
		assert_int_equal(entry->mode, 0711);
		assert_int_equal(entry->inode, st.st_ino);
		expect_next(cursor, "victim/new");
	}
	expect_next(cursor, "zlast");
	expect_end(cursor);
	fsmeta_cursor_close(cursor);
	tree_free(&tree);
	tree_free(&outside);
}

/** A file that goes between listing and looking is gone: it is no news. */
static void names_vanish(void **state)
{
	enum {
		FILES = 600
	};
	struct tree tree = tree_new();
	struct fsmeta_cursor *cursor;
	struct seen seen = {0};

	(void)state;
	for (unsigned i = 0; i < FILES; i++) {
		char name[16];

		sprintf(name, "%03u", i);
		make_file(&tree, name, "");
	}
	cursor = open_scan(tree.path, NULL);
	expect_next(cursor, "");
	expect_next(cursor, "000");
	/* The first chunk has been read, the others not. */
	must(unlinkat(tree.fd, "255", 0) == 0);
	must(unlinkat(tree.fd, "256", 0) == 0);
	must(unlinkat(tree.fd, "599", 0) == 0);
	assert_int_equal(seen_rest(&seen, cursor), 0);
	if (test_threads == 1) {
		assert_int_equal(seen.count, FILES - 1 - 2);
		assert_null(seen_find(&seen, "256"));
		assert_string_equal(seen.entries[seen.count - 1].path, "598");
	}
	assert_in_range(seen.count, FILES - 1 - 2, FILES - 1);
	assert_non_null(seen_find(&seen, "255"));
	assert_int_equal(cursor->source->totals.unreadable, 0);
	fsmeta_cursor_close(cursor);
	seen_release(&seen);
	tree_free(&tree);
}

/* ---- other file systems ------------------------------------------------ */

/** A name space of our own for mounts; descriptors from before belong to the old one. */
static void enter_namespace(void)
{
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		_exit(CHILD_SKIP);
}

/** Mounts something with a folder in it on `mount`; what stat says about it. */
static struct stat mount_inside(const struct tree *tree)
{
	char path[256], below[256 + 8];
	struct stat st;

	snprintf(path, sizeof(path), "%s/mount", tree->path);
	snprintf(below, sizeof(below), "%s/below", path);
	if (mount("fsmeta-test", path, "tmpfs", 0, "size=1m") != 0)
		_exit(CHILD_SKIP);
	CHILD_CHECK(mkdir(below, 0755) == 0);
	CHILD_CHECK(stat(path, &st) == 0);
	return st;
}

static void scan_beside_mount(const struct tree *tree)
{
	struct fsmeta_cursor *cursor;
	const struct fsmeta_entry *entry;
	struct seen seen = {0};
	struct stat st;

	enter_namespace();
	st = mount_inside(tree);
	CHILD_CHECK(fsmeta_scan_open(&cursor, tree->path, with_threads(NULL), NULL) == 0);
	CHILD_CHECK(seen_rest(&seen, cursor) == 0);
	CHILD_CHECK(seen.count == 3);
	entry = &seen.entries[1];
	CHILD_CHECK(!strcmp(entry->path, "mount") && entry->type == FSMETA_TYPE_FOLDER);
	CHILD_CHECK(entry->flags == FSMETA_FLAG_OTHER_FILESYSTEM && entry->error == 0);
	/* What is described is what is mounted, as `find -xdev` has it. */
	CHILD_CHECK(entry->inode == st.st_ino && entry->device == 1);
	CHILD_CHECK(!strcmp(seen.entries[2].path, "z") && seen.entries[2].device == 0);
	CHILD_CHECK(cursor->source->filesystem_count == 2);
	CHILD_CHECK(!strcmp(cursor->source->filesystems[1].type, "tmpfs"));
	/* Made up by the kernel at each mount, so worth nothing. */
	CHILD_CHECK(!strcmp(cursor->source->filesystems[1].uuid, ""));
	CHILD_CHECK(cursor->source->not_entered.total == 1);
	CHILD_CHECK(!strcmp(cursor->source->not_entered.roots[0].path, "mount"));
	CHILD_CHECK(cursor->source->not_entered.roots[0].error == 0);
	CHILD_CHECK(cursor->source->unreadable.total == 0);
	CHILD_CHECK(!cursor->source->cross_filesystems);
	fsmeta_cursor_close(cursor);
	seen_release(&seen);
}

static void scan_across_mount(const struct tree *tree)
{
	const struct fsmeta_scan_options options = {.cross_filesystems = true};
	struct fsmeta_cursor *cursor;
	struct seen seen = {0};

	enter_namespace();
	mount_inside(tree);
	CHILD_CHECK(fsmeta_scan_open(&cursor, tree->path, with_threads(&options), NULL) == 0);
	CHILD_CHECK(seen_rest(&seen, cursor) == 0);
	CHILD_CHECK(seen.count == 4);
	CHILD_CHECK(!strcmp(seen.entries[1].path, "mount") && seen.entries[1].flags == 0);
	CHILD_CHECK(!strcmp(seen.entries[2].path, "mount/below"));
	CHILD_CHECK(seen.entries[1].device == 1 && seen.entries[2].device == 1);
	CHILD_CHECK(seen.entries[3].device == 0);
	CHILD_CHECK(cursor->source->not_entered.total == 0);
	CHILD_CHECK(cursor->source->cross_filesystems);
	fsmeta_cursor_close(cursor);
	seen_release(&seen);
}

/** Something is mounted on a folder after it was looked at. */
static void mount_appears(const struct tree *tree)
{
	struct fsmeta_cursor *cursor;
	const struct fsmeta_entry *entry;

	enter_namespace();
	CHILD_CHECK(fsmeta_scan_open(&cursor, tree->path, with_threads(NULL), NULL) == 0);
	CHILD_CHECK(mkdirat(tree->fd, "first", 0755) == 0);
	CHILD_CHECK(fsmeta_cursor_next(cursor, &entry, NULL) == 1);
	CHILD_CHECK(fsmeta_cursor_next(cursor, &entry, NULL) == 1);
	CHILD_CHECK(!strcmp(entry->path, "first"));
	mount_inside(tree);
	CHILD_CHECK(fsmeta_cursor_next(cursor, &entry, NULL) == 1);
	CHILD_CHECK(!strcmp(entry->path, "mount"));
	if (test_threads == 1 || entry->flags)
		CHILD_CHECK(entry->flags == FSMETA_FLAG_OTHER_FILESYSTEM && entry->device == 1);
	CHILD_CHECK(fsmeta_cursor_next(cursor, &entry, NULL) == 1);
	CHILD_CHECK(!strcmp(entry->path, "z"));
	CHILD_CHECK(fsmeta_cursor_next(cursor, &entry, NULL) == 0);
	fsmeta_cursor_close(cursor);
}

static void run_with_mount(void (*work)(const struct tree *tree))
{
	struct tree tree = tree_new();
	int status;

	make_folder(&tree, "mount");
	make_file(&tree, "z", "");
	status = in_child(work, &tree);
	tree_free(&tree);
	if (status == CHILD_SKIP)
		skip();
	assert_int_equal(status, CHILD_GOOD);
}

static void mount_is_not_entered(void **state)
{
	(void)state;
	run_with_mount(scan_beside_mount);
}

static void mount_is_entered_on_demand(void **state)
{
	(void)state;
	run_with_mount(scan_across_mount);
}

static void mount_appears_under_way(void **state)
{
	(void)state;
	run_with_mount(mount_appears);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(folders_without_permission),
	    cmocka_unit_test(root_without_permission),
	    cmocka_unit_test(folders_of_somebody_else),
	    cmocka_unit_test(folder_vanishes),
	    cmocka_unit_test(folder_becomes_a_link_to_outside),
	    cmocka_unit_test(folder_becomes_a_file),
	    cmocka_unit_test(folder_becomes_a_fifo),
	    cmocka_unit_test(folder_becomes_another_folder),
	    cmocka_unit_test(names_vanish),
	    cmocka_unit_test(mount_is_not_entered),
	    cmocka_unit_test(mount_is_entered_on_demand),
	    cmocka_unit_test(mount_appears_under_way),
	};

	return RUN_WITH_THREADS(tests);
}
