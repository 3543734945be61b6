/*
 * The writer's own thread: the same bytes as without it, whatever the tree; what fails
 * there comes back; and a writer can be given up at any moment.  Made to be run
 * under TSan as well.
 */
#include "test_format_stream_io.h"

#include <errno.h>

enum {
	/** Enough for some ten batches. */
	ENTRIES = 70000,
};

/** A folder of `count` files with times that follow from their number. */
static void make_flat(struct tree *tree, size_t count)
{
	char path[32];

	tree_init(tree, 5, FSMETA_FIELD_MTIME | FSMETA_FIELD_SIZE | FSMETA_FIELD_DEVICE);
	tree_append(tree, "", 0, FSMETA_TYPE_FOLDER);
	for (size_t i = 0; i < count; i++) {
		int length = snprintf(path, sizeof(path), "%08zu_video.rf1i", i);
		struct fsmeta_entry *entry =
		    tree_append(tree, path, (size_t)length, FSMETA_TYPE_FILE);

		entry->fields = tree->source.field_mask;
		entry->mtime.seconds = (int64_t)(1700000000 + i);
		entry->mtime.nanoseconds = (uint32_t)(i * 7919 % 1000000000);
		entry->size = i * i;
		entry->device = 0;
	}
}

/** Writes the tree; where `grows`, a file system comes up every 5,000 entries. */
static void write_with(struct fsmeta_buffer *out, struct tree *tree, unsigned threads, bool grows)
{
	struct fsmeta_stream_writer_options options = {.threads = threads};
	struct fsmeta_stream_summary summary;
	struct fsmeta_stream_writer *writer;
	struct fsmeta_batch_source source;
	struct fsmeta_error error = {0};
	int fd = memfd_create("stream", MFD_CLOEXEC);
	uint32_t device = 0;
	size_t got;

	assert_true(fd >= 0);
	assert_int_equal(0, fsmeta_batch_source_copy(&source, &tree->source));
	io_assert_ok(
	    fsmeta_stream_writer_new(&writer, fd, "memory", &source, &options, &error), &error);
	for (size_t i = 0; i < tree->count; i++) {
		struct fsmeta_entry entry = tree->entries[i];
		char name[32];

		if (grows && i % 5000 == 4999) {
			snprintf(name, sizeof(name), "uuid-%zu", i);
			assert_int_equal(0, fsmeta_batch_source_add_filesystem(
						&source, name, "ext4", "label", &device));
		}
		if (grows)
			entry.device = device;
		io_assert_ok(fsmeta_stream_writer_add(writer, &entry, &error), &error);
	}
	io_assert_ok(fsmeta_stream_writer_finish(writer, &summary, NULL, &error), &error);
	fsmeta_stream_writer_free(writer);
	assert_int_equal(summary.totals.entries, tree->count);
	fsmeta_buffer_clear(out);
	assert_int_equal(0, fsmeta_buffer_reserve(out, (size_t)summary.file_bytes));
	assert_int_equal(0, fsmeta_read_full_at(fd, out->data, (size_t)summary.file_bytes, 0, &got,
				"memory", &error));
	assert_int_equal(got, lseek(fd, 0, SEEK_END));
	out->length = got;
	close(fd);
	fsmeta_batch_source_release(&source);
}

static void assert_same_bytes(struct tree *tree, bool grows)
{
	struct fsmeta_buffer alone = {0}, beside = {0};
	struct fsmeta_error error = {0};

	write_with(&alone, tree, 1, grows);
	write_with(&beside, tree, 2, grows);
	assert_int_equal(alone.length, beside.length);
	assert_memory_equal(alone.data, beside.data, alone.length);
	io_assert_ok(io_drain_file(beside.data, beside.length, &error), &error);
	fsmeta_buffer_release(&alone);
	fsmeta_buffer_release(&beside);
}

static void the_bytes_are_the_same(void **state)
{
	static const size_t limits[] = {1, 100, 5000, 20000, ENTRIES};

	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct tree tree;

		tree_init(&tree, 40 + i, FSMETA_FIELDS_KNOWN);
		tree_make_random(&tree, limits[i]);
		assert_same_bytes(&tree, false);
		tree_release(&tree);
	}
}

static void the_table_of_file_systems_may_grow_meanwhile(void **state)
{
	struct tree tree;

	(void)state;
	make_flat(&tree, ENTRIES);
	assert_same_bytes(&tree, true);
	tree_release(&tree);
}

/** Adds the whole tree and finishes; the first code that is not 0. */
static int write_to(int fd, const struct tree *tree, struct fsmeta_error *error)
{
	struct fsmeta_stream_writer_options options = {.threads = 2};
	struct fsmeta_stream_writer *writer;
	int code;

	code = fsmeta_stream_writer_new(&writer, fd, "out", &tree->source, &options, error);
	for (size_t i = 0; i < tree->count && !code; i++)
		code = fsmeta_stream_writer_add(writer, &tree->entries[i], error);
	if (!code)
		code = fsmeta_stream_writer_finish(writer, NULL, NULL, error);
	fsmeta_stream_writer_free(writer);
	return code;
}

/** The reader takes header and some batches and goes away. */
static void a_failure_in_the_thread_comes_back(void **state)
{
	struct fsmeta_error error = {0};
	struct tree tree;
	unsigned char bytes[4096];
	int ends[2];
	pid_t child;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	make_flat(&tree, ENTRIES);
	assert_int_equal(0, pipe2(ends, O_CLOEXEC));
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(ends[1]);
		for (int left = 2; left > 0; left--)
			if (read(ends[0], bytes, sizeof(bytes)) <= 0)
				_exit(1);
		_exit(0);
	}
	close(ends[0]);
	assert_int_equal(FSMETA_E_SYSTEM, write_to(ends[1], &tree, &error));
	assert_int_equal(EPIPE, error.system_errno);
	assert_string_equal("out", error.path);
	close(ends[1]);
	io_wait(child);
	tree_release(&tree);
}

static void a_writer_can_be_given_up_at_any_moment(void **state)
{
	struct fsmeta_stream_writer_options options = {.threads = 2};
	struct fsmeta_error error = {0};
	struct tree tree;

	(void)state;
	make_flat(&tree, ENTRIES);
	for (size_t count = 1; count < tree.count; count = count * 3 + 1000) {
		struct fsmeta_stream_writer *writer;
		int fd = memfd_create("stream", MFD_CLOEXEC);

		io_assert_ok(
		    fsmeta_stream_writer_new(&writer, fd, "memory", &tree.source, &options, &error),
		    &error);
		for (size_t i = 0; i < count; i++)
			io_assert_ok(
			    fsmeta_stream_writer_add(writer, &tree.entries[i], &error), &error);
		fsmeta_stream_writer_free(writer);
		close(fd);
	}
	tree_release(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_bytes_are_the_same),
	    cmocka_unit_test(the_table_of_file_systems_may_grow_meanwhile),
	    cmocka_unit_test(a_failure_in_the_thread_comes_back),
	    cmocka_unit_test(a_writer_can_be_given_up_at_any_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
