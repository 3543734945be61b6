/*
 * What a scan says about where it was: source id, marker file, mounts, machine.
 */
#include "test_scanner_tree.h"

#include "scanner/filesystem.h"
#include "scanner/marker.h"

#include <linux/fs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

/* ---- file systems with a UUID of our choice ------------------------------ */

/** First byte of every UUID that the kernel is asked for; 0 = ask it in truth. */
static unsigned char pretended_uuid;

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, void *argument);

int __wrap_ioctl(int fd, unsigned long request, void *argument)
{
	/* FS_IOC_GETFSUUID, which older headers lack. */
	struct {
		unsigned char length;
		unsigned char uuid[16];
	} *out = argument;

	if (!pretended_uuid || request != _IOR(0x15, 0, *out))
		return __real_ioctl(fd, request, argument);
	out->length = sizeof(out->uuid);
	memset(out->uuid, 0, sizeof(out->uuid));
	out->uuid[0] = pretended_uuid;
	return 0;
}

static void make_marker(const struct tree *tree, const char *id, const char *uuid)
{
	struct fsmeta_buffer text = {0};
	char id_copy[64], uuid_copy[64];
	struct fsmeta_marker marker = {.source_id = id_copy, .filesystem_uuid = uuid_copy};

	snprintf(id_copy, sizeof(id_copy), "%s", id);
	snprintf(uuid_copy, sizeof(uuid_copy), "%s", uuid);
	assert_int_equal(fsmeta_marker_write(&text, &marker, fsmeta_time_now(), NULL), 0);
	make_file(tree, FSMETA_MARKER_NAME, fsmeta_buffer_string(&text));
	fsmeta_buffer_release(&text);
}

/** Source id of a scan of the tree, *new*; NULL where there is none. */
static char *source_id_of(const char *path, const char *option)
{
	const struct fsmeta_scan_options options = {.source_id = option};
	struct fsmeta_cursor *cursor = open_scan(path, &options);
	char *id = cursor->source->source_id ? strdup(cursor->source->source_id) : NULL;

	fsmeta_cursor_close(cursor);
	return id;
}

static void assert_source_id(const struct tree *tree, const char *option, const char *wanted)
{
	char *id = source_id_of(tree->path, option);

	assert_non_null(id);
	assert_string_equal(id, wanted);
	free(id);
}

static void marker_file_names_the_source(void **state)
{
	struct tree tree = tree_new();

	(void)state;
	make_file(&tree, FSMETA_MARKER_NAME, "{\"source_id\": \"drive-17\", \"more\": [1]}");
	assert_source_id(&tree, NULL, "drive-17");
	assert_source_id(&tree, "asked-for", "asked-for");
	make_file(&tree, FSMETA_MARKER_NAME,
	    "{\"source_id\": \"K\xc3\xbc"
	    "che\"}\n");
	assert_source_id(&tree, NULL,
	    "K\xc3\xbc"
	    "che");
	tree_free(&tree);
}

static void marker_file_that_is_none(void **state)
{
	static const char *const contents[] = {"", "drive-17", "[]", "{}", "{\"source_id\": 17}",
	    "{\"source_id\": \"\"}", "{\"source_id\": \"x\"", "{\"source_id\": \"\xff\"}",
	    "{\"source_id\": \"a\\u0000b\"}", "{\"source_id\": \"a\", \"source_id\": \"b\"}",
	    "[\"source_id\"]", "null"};
	struct tree tree = tree_new();
	char *without = source_id_of(tree.path, NULL), *with;

	(void)state;
	for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
		make_file(&tree, FSMETA_MARKER_NAME, contents[i]);
		with = source_id_of(tree.path, NULL);
		if (without)
			assert_string_equal(with, without);
		else
			assert_null(with);
		free(with);
	}
	free(without);
	tree_free(&tree);
}

static void marker_file_is_not_reached_through_a_link(void **state)
{
	struct tree tree = tree_new();
	char *without = source_id_of(tree.path, NULL), *with;

	(void)state;
	make_file(&tree, "other", "{\"source_id\": \"drive-17\"}");
	make_link(&tree, FSMETA_MARKER_NAME, "other");
	with = source_id_of(tree.path, NULL);
	assert_true(!with || strcmp(with, "drive-17"));
	free(with);
	/* And nobody waits for a writer. */
	must(unlinkat(tree.fd, FSMETA_MARKER_NAME, 0) == 0);
	must(mkfifoat(tree.fd, FSMETA_MARKER_NAME, 0600) == 0);
	with = source_id_of(tree.path, NULL);
	assert_true(!with || strcmp(with, "drive-17"));
	free(with);
	free(without);
	tree_free(&tree);
}

/** What mount point, path below and file system come to must agree with one another. */
/** Skips where this file system's UUID is not believed, so that none can be pretended. */
static void pretend_uuid(const struct tree *tree, unsigned char first)
{
	struct fsmeta_cursor *cursor;
	bool believed;

	pretended_uuid = first;
	cursor = open_scan(tree->path, &(struct fsmeta_scan_options){.source_id = "x"});
	believed = *cursor->source->filesystems[0].uuid;
	fsmeta_cursor_close(cursor);
	if (!believed) {
		struct tree copy = *tree;

		pretended_uuid = 0;
		tree_free(&copy);
		skip();
	}
}

/**
 * True where /proc/self/mountinfo shows the mount that holds `path`.  In a chroot
 * whose root is no mount point it does not, and nothing can be said of the place.
 */
static bool mount_is_shown(const char *path)
{
	struct statx about;
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char line[8192];
	bool shown = false;

	assert_int_equal(statx(AT_FDCWD, path, 0, STATX_MNT_ID, &about), 0);
	while (mounts && !shown && fgets(line, sizeof(line), mounts))
		shown = strtoull(line, NULL, 10) == about.stx_mnt_id;
	if (mounts)
		fclose(mounts);
	return shown;
}

static void marker_of_another_filesystem_is_refused(void **state)
{
	static const char here[] = "17000000-0000-0000-0000-000000000000";
	static const char there[] = "18000000-0000-0000-0000-000000000000";
	const struct fsmeta_scan_options asked_for = {.source_id = "mine"};
	const struct fsmeta_scan_options passed_over = {.pass_over_copied_marker = true};
	struct tree tree = tree_new();
	struct fsmeta_cursor *cursor;
	struct fsmeta_error error = {0};

	(void)state;
	pretend_uuid(&tree, 0x17);
	make_marker(&tree, "drive-17", here);
	assert_source_id(&tree, NULL, "drive-17");
	make_marker(&tree, "drive-18", there);
	assert_int_equal(fsmeta_scan_open(&cursor, tree.path, NULL, &error), FSMETA_E_REFUSED);
	assert_null(cursor);
	assert_string_equal(error.path, tree.path);
	assert_non_null(strstr(error.reason, here));
	assert_non_null(strstr(error.reason, there));
	assert_non_null(strstr(error.reason, "init --force"));
	/* Asked for, it is what it is said to be; looked at only, it is what it lies on. */
	cursor = open_scan(tree.path, &asked_for);
	assert_string_equal(cursor->source->source_id, "mine");
	fsmeta_cursor_close(cursor);
	cursor = open_scan(tree.path, &passed_over);
	if (mount_is_shown(tree.path))
		assert_memory_equal(cursor->source->source_id, "fs:17000000-", 12);
	else
		assert_null(cursor->source->source_id);
	fsmeta_cursor_close(cursor);
	/* Where either has no UUID nothing can be said against it. */
	make_marker(&tree, "drive-19", "");
	assert_source_id(&tree, NULL, "drive-19");
	pretended_uuid = 0;
	tree_free(&tree);
}

static void markers_are_read_as_they_were_written(void **state)
{
	static const char *const ids[] = {"a", "drive \"1\"\n", "\xc3\xbc"};
	struct fsmeta_marker wrong = {0}, marker;
	struct fsmeta_buffer text = {0};
	struct tree tree = tree_new();
	char bad[] = "\xff", empty[] = "";

	(void)state;
	assert_int_equal(fsmeta_marker_read(&marker, tree.fd, NULL), FSMETA_MARKER_MISSING);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		make_marker(&tree, ids[i], i ? "1234-ABCD" : "");
		assert_int_equal(fsmeta_marker_read(&marker, tree.fd, NULL), FSMETA_MARKER_USABLE);
		assert_string_equal(marker.source_id, ids[i]);
		assert_string_equal(marker.filesystem_uuid, i ? "1234-ABCD" : "");
		assert_false(fsmeta_marker_is_copy(&marker, ""));
		assert_false(fsmeta_marker_is_copy(&marker, "1234-abcd"));
		assert_int_equal(fsmeta_marker_is_copy(&marker, "1234-abce"), i > 0);
		fsmeta_marker_release(&marker);
	}
	make_file(&tree, FSMETA_MARKER_NAME, "{}");
	assert_int_equal(fsmeta_marker_read(&marker, tree.fd, NULL), FSMETA_MARKER_UNUSABLE);
	wrong.filesystem_uuid = empty;
	wrong.source_id = bad;
	assert_int_equal(
	    fsmeta_marker_write(&text, &wrong, fsmeta_time_now(), NULL), FSMETA_E_USAGE);
	wrong.source_id = empty;
	assert_int_equal(
	    fsmeta_marker_write(&text, &wrong, fsmeta_time_now(), NULL), FSMETA_E_USAGE);
	assert_int_equal(text.length, 0);
	tree_free(&tree);
}

static void place_of_the_root(void **state)
{
	struct tree tree = tree_new();
	struct fsmeta_cursor *cursor;
	const struct fsmeta_batch_source *source;
	char path[256], *absolute, together[PATH_MAX], id[PATH_MAX];

	(void)state;
	make_folder(&tree, "in\nside");
	snprintf(path, sizeof(path), "%s/in\nside", tree.path);
	absolute = realpath(path, NULL);
	cursor = open_scan(path, NULL);
	source = cursor->source;
	assert_int_equal(source->filesystem_count, 1);
	if (mount_is_shown(path)) {
		assert_true(*source->filesystems[0].type);
		assert_non_null(source->mount_point);
		assert_non_null(source->root_path);
		snprintf(together, sizeof(together), "%s%s%s", source->mount_point,
		    strcmp(source->mount_point, "/") ? "/" : "", source->root_path);
		assert_string_equal(together, absolute);
	} else {
		assert_null(source->mount_point);
	}
	if (source->source_id) {
		assert_true(*source->filesystems[0].uuid);
		snprintf(id, sizeof(id), "fs:%s:", source->filesystems[0].uuid);
		assert_memory_equal(source->source_id, id, strlen(id));
		assert_string_equal(
		    source->source_id + strlen(source->source_id) - strlen("in\nside"), "in\nside");
	} else {
		assert_true(!*source->filesystems[0].uuid || !mount_is_shown(path));
	}
	fsmeta_cursor_close(cursor);
	free(absolute);
	tree_free(&tree);
}

static void machine(void **state)
{
	struct tree tree = tree_new();
	struct fsmeta_cursor *cursor = open_scan(tree.path, NULL);
	char name[256] = "";

	(void)state;
	gethostname(name, sizeof(name) - 1);
	assert_string_equal(cursor->source->machine_name, name);
	if (access("/etc/machine-id", R_OK) == 0 && cursor->source->machine_id)
		assert_null(strpbrk(cursor->source->machine_id, " \n"));
	assert_string_equal(cursor->source->fsmeta_version, FSMETA_VERSION);
	fsmeta_cursor_close(cursor);
	tree_free(&tree);
}

static void scan_own_tmpfs(const struct tree *tree)
{
	struct fsmeta_cursor *cursor;
	const struct fsmeta_batch_source *source;
	char path[256];

	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("fsmeta-test", tree->path, "tmpfs", 0, "size=1m") != 0)
		_exit(CHILD_SKIP);
	snprintf(path, sizeof(path), "%s/a", tree->path);
	CHILD_CHECK(mkdir(path, 0755) == 0);
	snprintf(path, sizeof(path), "%s/a/b c", tree->path);
	CHILD_CHECK(mkdir(path, 0755) == 0);
	CHILD_CHECK(fsmeta_scan_open(&cursor, path, with_threads(NULL), NULL) == 0);
	source = cursor->source;
	CHILD_CHECK(source->mount_point && !strcmp(source->mount_point, tree->path));
	CHILD_CHECK(source->root_path && !strcmp(source->root_path, "a/b c"));
	CHILD_CHECK(!strcmp(source->filesystems[0].type, "tmpfs"));
	CHILD_CHECK(!*source->filesystems[0].uuid && !source->source_id);
	CHILD_CHECK(source->path_case == FSMETA_PATH_CASE_SENSITIVE);
	CHILD_CHECK(source->field_mask == FSMETA_FIELDS_ALL);
	fsmeta_cursor_close(cursor);

	CHILD_CHECK(fsmeta_scan_open(&cursor, tree->path, with_threads(NULL), NULL) == 0);
	CHILD_CHECK(!strcmp(cursor->source->mount_point, tree->path));
	CHILD_CHECK(!strcmp(cursor->source->root_path, ""));
	fsmeta_cursor_close(cursor);
}

static void place_on_a_mount(void **state)
{
	struct tree tree = tree_new();
	int status = in_child(scan_own_tmpfs, &tree);

	(void)state;
	tree_free(&tree);
	if (status == CHILD_SKIP)
		skip();
	assert_int_equal(status, CHILD_GOOD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(marker_file_names_the_source),
	    cmocka_unit_test(marker_file_that_is_none),
	    cmocka_unit_test(marker_file_is_not_reached_through_a_link),
	    cmocka_unit_test(marker_of_another_filesystem_is_refused),
	    cmocka_unit_test(markers_are_read_as_they_were_written),
	    cmocka_unit_test(place_of_the_root),
	    cmocka_unit_test(machine),
	    cmocka_unit_test(place_on_a_mount),
	};

	return RUN_WITH_THREADS(tests);
}
