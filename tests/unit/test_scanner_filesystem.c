/*
 * What a scan says about where it was: source id, marker file, mounts, machine.
 */
#include "test_scanner_tree.h"

#include "scanner/filesystem.h"

#include <sched.h>
#include <sys/mount.h>

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
	assert_true(*source->filesystems[0].type);
	assert_non_null(source->mount_point);
	assert_non_null(source->root_path);
	snprintf(together, sizeof(together), "%s%s%s", source->mount_point,
	    strcmp(source->mount_point, "/") ? "/" : "", source->root_path);
	assert_string_equal(together, absolute);
	if (*source->filesystems[0].uuid) {
		snprintf(id, sizeof(id), "fs:%s:", source->filesystems[0].uuid);
		assert_memory_equal(source->source_id, id, strlen(id));
		assert_string_equal(
		    source->source_id + strlen(source->source_id) - strlen("in\nside"), "in\nside");
	} else {
		assert_null(source->source_id);
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
	CHILD_CHECK(fsmeta_scan_open(&cursor, path, NULL, NULL) == 0);
	source = cursor->source;
	CHILD_CHECK(source->mount_point && !strcmp(source->mount_point, tree->path));
	CHILD_CHECK(source->root_path && !strcmp(source->root_path, "a/b c"));
	CHILD_CHECK(!strcmp(source->filesystems[0].type, "tmpfs"));
	CHILD_CHECK(!*source->filesystems[0].uuid && !source->source_id);
	CHILD_CHECK(source->path_case == FSMETA_PATH_CASE_SENSITIVE);
	CHILD_CHECK(source->field_mask == FSMETA_FIELDS_ALL);
	fsmeta_cursor_close(cursor);

	CHILD_CHECK(fsmeta_scan_open(&cursor, tree->path, NULL, NULL) == 0);
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
	    cmocka_unit_test(place_of_the_root),
	    cmocka_unit_test(machine),
	    cmocka_unit_test(place_on_a_mount),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
