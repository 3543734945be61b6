/*
 * Streams as folders: written whole or not at all, recognised, opened, verified,
 * and refused where source.json is not that of entries.fss.
 */
#include "test_format_stream_io.h"

#include <errno.h>
#include <sys/stat.h>

static char folder[] = "/tmp/fsmeta-test-XXXXXX";
static char place[256];

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(place, sizeof(place), "%s/stream", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return fsmeta_remove_tree_at(AT_FDCWD, folder, NULL);
}

static const char *below(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", place, name);
	return path;
}

/** Writes a tree of about `entries` entries to `place`; the code of commit. */
static int write_stream(const struct tree *tree, struct fsmeta_error *error)
{
	struct fsmeta_stream_output *output;
	struct fsmeta_stream_summary summary;
	int code;

	code = fsmeta_stream_output_new(&output, place, &tree->source, NULL, error);
	if (code)
		return code;
	for (size_t i = 0; i < tree->count; i++)
		io_assert_ok(fsmeta_stream_writer_add(
				 fsmeta_stream_output_writer(output), &tree->entries[i], error),
		    error);
	code = fsmeta_stream_output_commit(output, &summary, error);
	assert_int_equal(summary.totals.entries, tree->count);
	return code;
}

static void put_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(0, fclose(file));
}

/** Names in the folder that holds the stream, `.` and `..` apart. */
static size_t count_names(void)
{
	char command[300];
	size_t count = 0;
	FILE *names;

	snprintf(command, sizeof(command), "ls -A %s | wc -l", folder);
	names = popen(command, "r");
	assert_non_null(names);
	assert_int_equal(1, fscanf(names, "%zu", &count));
	pclose(names);
	return count;
}

static void a_folder_is_written_opened_and_replaced(void **state)
{
	struct fsmeta_error error = {0};

	(void)state;
	for (uint64_t seed = 1; seed < 4; seed++) {
		struct fsmeta_stream_check check;
		struct fsmeta_cursor *cursor;
		struct tree tree;

		tree_init(&tree, seed, FSMETA_FIELDS_ALL);
		tree_make_random(&tree, 9000);
		io_assert_ok(write_stream(&tree, &error), &error);
		assert_true(fsmeta_stream_is_folder(place));
		assert_true(fsmeta_stream_is_file(below("entries.fss")));
		assert_false(fsmeta_stream_is_file(below("source.json")));
		assert_false(fsmeta_stream_is_folder(folder));
		io_assert_ok(fsmeta_stream_open_folder(&cursor, place, &error), &error);
		assert_string_equal(cursor->label, place);
		io_assert_yields(cursor, &tree);
		fsmeta_cursor_close(cursor);
		io_assert_ok(
		    fsmeta_stream_open_file(&cursor, below("entries.fss"), &error), &error);
		io_assert_yields(cursor, &tree);
		fsmeta_cursor_close(cursor);
		io_assert_ok(fsmeta_stream_verify(&check, place, NULL, &error), &error);
		assert_int_equal(check.entries, tree.count);
		assert_true(check.source_json_agrees);
		assert_true(check.batches > 0 && check.file_bytes > 0);
		io_assert_ok(
		    fsmeta_stream_verify(&check, below("entries.fss"), NULL, &error), &error);
		assert_false(check.source_json_agrees);
		assert_int_equal(1, count_names());
		tree_release(&tree);
	}
	assert_int_equal(0, fsmeta_remove_tree_at(AT_FDCWD, place, &error));
}

static void other_places_are_left_alone(void **state)
{
	struct fsmeta_error error = {0};
	struct stat status;
	struct tree tree;

	(void)state;
	tree_init(&tree, 1, 0);
	tree_make_random(&tree, 10);
	assert_int_equal(0, mkdir(place, 0700));
	put_file(below("keep"), "me");
	assert_int_equal(FSMETA_E_REFUSED, write_stream(&tree, &error));
	assert_non_null(strstr(error.reason, "no stream"));
	assert_int_equal(0, stat(below("keep"), &status));
	/* The names alone do not make a stream. */
	put_file(below("entries.fss"), "hello");
	put_file(below("source.json"), "{}");
	assert_false(fsmeta_stream_is_folder(place));
	assert_int_equal(FSMETA_E_REFUSED, write_stream(&tree, &error));
	assert_int_equal(0, fsmeta_remove_tree_at(AT_FDCWD, place, &error));
	put_file(place, "a file");
	assert_int_equal(FSMETA_E_REFUSED, write_stream(&tree, &error));
	assert_int_equal(0, unlink(place));
	assert_int_equal(0, symlink(folder, place));
	assert_int_equal(FSMETA_E_REFUSED, write_stream(&tree, &error));
	assert_int_equal(0, unlink(place));
	assert_int_equal(0, count_names());
	tree_release(&tree);
}

/* A stream was copied into a folder of other things, which the exchange would remove. */
static void what_holds_more_than_a_stream_is_not_replaced(void **state)
{
	struct fsmeta_stream_output *output;
	struct fsmeta_stream_check check;
	struct fsmeta_error error = {0};
	struct stat status;
	struct tree tree;

	(void)state;
	tree_init(&tree, 1, 0);
	tree_make_random(&tree, 10);
	io_assert_ok(write_stream(&tree, &error), &error);
	put_file(below("paths.idx"), "part of it");
	io_assert_ok(write_stream(&tree, &error), &error);
	assert_int_equal(0, mkdir(below("precious"), 0700));
	assert_int_equal(FSMETA_E_REFUSED, write_stream(&tree, &error));
	assert_non_null(strstr(error.reason, "'precious' would be lost"));
	assert_int_equal(0, stat(below("precious"), &status));
	assert_int_equal(0, rmdir(below("precious")));
	/* The same where it came while the stream was written. */
	io_assert_ok(fsmeta_stream_output_new(&output, place, &tree.source, NULL, &error), &error);
	for (size_t i = 0; i < tree.count; i++)
		io_assert_ok(fsmeta_stream_writer_add(
				 fsmeta_stream_output_writer(output), &tree.entries[i], &error),
		    &error);
	put_file(below("late"), "me");
	assert_int_equal(FSMETA_E_REFUSED, fsmeta_stream_output_commit(output, NULL, &error));
	assert_int_equal(0, stat(below("late"), &status));
	io_assert_ok(fsmeta_stream_verify(&check, place, NULL, &error), &error);
	assert_int_equal(1, count_names());
	assert_int_equal(0, fsmeta_remove_tree_at(AT_FDCWD, place, &error));
	tree_release(&tree);
}

static void an_aborted_stream_leaves_nothing(void **state)
{
	struct fsmeta_stream_output *output;
	struct fsmeta_error error = {0};
	struct tree tree;

	(void)state;
	tree_init(&tree, 1, 0);
	tree_make_random(&tree, 10);
	io_assert_ok(fsmeta_stream_output_new(&output, place, &tree.source, NULL, &error), &error);
	io_assert_ok(
	    fsmeta_stream_writer_add(fsmeta_stream_output_writer(output), &tree.entries[0], &error),
	    &error);
	fsmeta_stream_output_abort(output);
	fsmeta_stream_output_abort(NULL);
	assert_int_equal(0, count_names());
	/* Finishing what has no entries fails, and leaves nothing either. */
	io_assert_ok(fsmeta_stream_output_new(&output, place, &tree.source, NULL, &error), &error);
	assert_int_equal(FSMETA_E_INTERNAL, fsmeta_stream_output_commit(output, NULL, &error));
	assert_int_equal(0, count_names());
	tree_release(&tree);
}

/** source.json of one stream beside entries.fss of another. */
static void a_foreign_source_json_is_reported(void **state)
{
	struct fsmeta_batch_source source;
	struct fsmeta_stream_check check;
	struct fsmeta_cursor *cursor;
	struct fsmeta_error error = {0};
	struct fsmeta_buffer json = {0};
	struct tree tree;
	int folder_fd;

	(void)state;
	tree_init(&tree, 1, FSMETA_FIELDS_CORE);
	tree_make_random(&tree, 100);
	for (int what = 0; what < 5; what++) {
		static const char *const reasons[] = {
		    "source id", "generation", "state digest", "started", "entries.fss"};

		io_assert_ok(write_stream(&tree, &error), &error);
		folder_fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		fsmeta_buffer_clear(&json);
		io_assert_ok(
		    fsmeta_read_file_at(&json, folder_fd, "source.json", 1 << 20, &error), &error);
		close(folder_fd);
		io_assert_ok(fsmeta_batch_source_from_json(
				 &source, (char *)json.data, json.length, "json", &error),
		    &error);
		if (what == 0)
			fsmeta_batch_source_set(&source, &source.source_id, "other");
		if (what == 1)
			source.generation = 7;
		if (what == 2)
			source.state_digest.low++;
		if (what == 3)
			source.started.nanoseconds++;
		fsmeta_buffer_clear(&json);
		io_assert_ok(fsmeta_batch_source_to_json(&json, &source, &error), &error);
		fsmeta_batch_source_release(&source);
		put_file(below("source.json"), fsmeta_buffer_string(&json));
		if (what == 4) {
			assert_int_equal(0, truncate(below("entries.fss"), 900));
			assert_int_equal(
			    FSMETA_E_TRUNCATED, fsmeta_stream_open_folder(&cursor, place, &error));
			assert_int_equal(
			    FSMETA_E_TRUNCATED, fsmeta_stream_verify(&check, place, NULL, &error));
			continue;
		}
		assert_int_equal(
		    FSMETA_E_CORRUPT, fsmeta_stream_open_folder(&cursor, place, &error));
		assert_non_null(strstr(error.reason, reasons[what]));
		assert_int_equal(
		    FSMETA_E_CORRUPT, fsmeta_stream_verify(&check, place, NULL, &error));
		assert_false(check.source_json_agrees);
	}
	assert_int_equal(0, unlink(below("source.json")));
	assert_true(fsmeta_stream_open_folder(&cursor, place, &error) < 0);
	assert_int_equal(0, fsmeta_remove_tree_at(AT_FDCWD, place, &error));
	fsmeta_buffer_release(&json);
	tree_release(&tree);
}

static void what_is_no_stream_is_not_opened(void **state)
{
	struct fsmeta_stream_check check;
	struct fsmeta_cursor *cursor;
	struct fsmeta_error error = {0};

	(void)state;
	assert_int_equal(FSMETA_E_SYSTEM, fsmeta_stream_open_folder(&cursor, place, &error));
	assert_int_equal(error.system_errno, ENOENT);
	assert_null(cursor);
	assert_int_equal(FSMETA_E_SYSTEM, fsmeta_stream_open_file(&cursor, place, &error));
	assert_int_equal(FSMETA_E_SYSTEM, fsmeta_stream_open_file(&cursor, folder, &error));
	assert_int_equal(error.system_errno, EISDIR);
	assert_int_equal(FSMETA_E_FOREIGN, fsmeta_stream_open_folder(&cursor, folder, &error));
	assert_int_equal(FSMETA_E_FOREIGN, fsmeta_stream_verify(&check, folder, NULL, &error));
	assert_false(fsmeta_stream_is_folder(place));
	assert_false(fsmeta_stream_is_file(place));
	/* A FIFO of that name is not waited for. */
	assert_int_equal(0, mkdir(place, 0700));
	assert_int_equal(0, mkfifo(below("entries.fss"), 0600));
	assert_int_equal(FSMETA_E_FOREIGN, fsmeta_stream_open_folder(&cursor, place, &error));
	assert_false(fsmeta_stream_is_folder(place));
	assert_false(fsmeta_stream_is_file(below("entries.fss")));
	assert_int_equal(0, fsmeta_remove_tree_at(AT_FDCWD, place, &error));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_folder_is_written_opened_and_replaced),
	    cmocka_unit_test(other_places_are_left_alone),
	    cmocka_unit_test(what_holds_more_than_a_stream_is_not_replaced),
	    cmocka_unit_test(an_aborted_stream_leaves_nothing),
	    cmocka_unit_test(a_foreign_source_json_is_reported),
	    cmocka_unit_test(what_is_no_stream_is_not_opened),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
