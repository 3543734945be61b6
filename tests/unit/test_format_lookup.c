/*
 * Lookups by path and by id against the entries themselves, what they cost, and the index
 * of paths: built within any memory, refused where it is not the stream's.
 */
#include "test_format_stream_io.h"

#include "format/lookup.h"
#include "format/path_index.h"

#include <errno.h>
#include <sys/stat.h>

static char folder[64];
static char stream[96];
static char index_path[128];

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/fsmeta-lookup-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(stream, sizeof(stream), "%s/s", folder);
	snprintf(index_path, sizeof(index_path), "%s/%s", stream, FSMETA_PATH_INDEX_NAME);
	return 0;
}

static int remove_folder(void **state)
{
	char name[sizeof(folder)];

	(void)state;
	strcpy(name, folder);
	return fsmeta_remove_tree_at(AT_FDCWD, name, NULL);
}

static void write_folder(const struct tree *tree, bool with_index)
{
	struct fsmeta_stream_writer_options options = {.with_path_index = with_index};
	struct fsmeta_stream_output *output;
	struct fsmeta_error error = {0};

	io_assert_ok(
	    fsmeta_stream_output_new(&output, stream, &tree->source, &options, &error), &error);
	for (size_t i = 0; i < tree->count; i++)
		io_assert_ok(fsmeta_stream_writer_add(
				 fsmeta_stream_output_writer(output), &tree->entries[i], &error),
		    &error);
	io_assert_ok(fsmeta_stream_output_commit(output, NULL, &error), &error);
}

static struct fsmeta_lookup *open_lookup(bool index_is_used)
{
	struct fsmeta_lookup *lookup;
	struct fsmeta_error error = {0}, ignored;

	io_assert_ok(fsmeta_lookup_open(&lookup, stream, &ignored, &error), &error);
	if (index_is_used)
		io_assert_ok(ignored.code, &ignored);
	return lookup;
}

/** Looks up entry `i` of the tree by path and by id. */
static void assert_found(struct fsmeta_lookup *lookup, const struct tree *tree, size_t i)
{
	const struct fsmeta_entry *wanted = &tree->entries[i], *entry;
	bool stable = tree->source.id_kind == FSMETA_IDS_STABLE;
	struct fsmeta_error error = {0};
	uint64_t before = fsmeta_lookup_batches(lookup);

	io_assert_ok(
	    fsmeta_lookup_path(lookup, wanted->path, wanted->path_length, &entry, &error), &error);
	tree_assert_equal(entry, wanted, stable);
	assert_int_equal(before + 1, fsmeta_lookup_batches(lookup));
	assert_int_equal(1, fsmeta_lookup_id(lookup, stable ? wanted->id : i + 1, &entry, &error));
	tree_assert_equal(entry, wanted, stable);
	if (!stable)
		assert_int_equal(before + 2, fsmeta_lookup_batches(lookup));
}

static bool is_in_tree(const struct tree *tree, const char *path, size_t length)
{
	for (size_t i = 0; i < tree->count; i++)
		if (tree->entries[i].path_length == length &&
		    !memcmp(tree->entries[i].path, path, length))
			return true;
	return false;
}

/** Looks up paths that are not there, made from those that are. */
static void assert_not_found(
    struct fsmeta_lookup *lookup, const struct tree *tree, size_t i, uint64_t most_batches)
{
	static const char *const behind[] = {"/-", "!", "\x01", "\xff"};
	const struct fsmeta_entry *entry;
	struct fsmeta_error error = {0};
	char path[8192];

	for (size_t k = 0; k < sizeof(behind) / sizeof(behind[0]); k++) {
		int length = snprintf(path, sizeof(path), "%.*s%s",
		    (int)tree->entries[i].path_length, tree->entries[i].path, behind[k]);
		uint64_t before = fsmeta_lookup_batches(lookup);

		if (path[0] == '/' || is_in_tree(tree, path, (size_t)length))
			continue;
		assert_int_equal(
		    0, fsmeta_lookup_path(lookup, path, (size_t)length, &entry, &error));
		assert_true(fsmeta_lookup_batches(lookup) <= before + most_batches);
	}
	assert_int_equal(0, fsmeta_lookup_id(lookup, 0, &entry, &error));
	if (tree->source.id_kind == FSMETA_IDS_ORDINAL)
		assert_int_equal(0, fsmeta_lookup_id(lookup, tree->count + 1, &entry, &error));
}

static void check_tree(struct tree *tree, bool with_index)
{
	struct fsmeta_lookup *lookup;
	size_t step = 1 + tree->count / 150;

	write_folder(tree, with_index);
	lookup = open_lookup(with_index);
	for (size_t i = 0; i < tree->count; i += step) {
		size_t other = tree_random(tree) % tree->count;

		assert_found(lookup, tree, i);
		assert_found(lookup, tree, other);
		assert_not_found(lookup, tree, other, with_index ? 0 : 1);
	}
	assert_found(lookup, tree, tree->count - 1);
	assert_found(lookup, tree, 0);
	fsmeta_lookup_close(lookup);
}

static void entries_are_found_by_path_and_id(void **state)
{
	static const size_t limits[] = {1, 50, 3000, 30000};

	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct tree tree;

		tree_init(&tree, 70 + i, FSMETA_FIELDS_KNOWN);
		tree.source.id_kind = i % 2 ? FSMETA_IDS_STABLE : FSMETA_IDS_ORDINAL;
		tree_make_random(&tree, limits[i]);
		check_tree(&tree, false);
		check_tree(&tree, true);
		tree_release(&tree);
	}
}

static void what_is_no_file_is_refused(void **state)
{
	struct fsmeta_lookup *lookup;
	struct fsmeta_error error = {0};
	char path[128];

	(void)state;
	assert_int_equal(FSMETA_E_SYSTEM,
	    fsmeta_lookup_open(&lookup, "/tmp/fsmeta-no-such-stream", NULL, &error));
	assert_null(lookup);
	snprintf(path, sizeof(path), "%s/empty", folder);
	assert_int_equal(0, mkdir(path, 0700));
	assert_int_equal(FSMETA_E_FOREIGN, fsmeta_lookup_open(&lookup, path, NULL, &error));
	assert_null(lookup);
}

/* ---- the index -------------------------------------------------------- */

static void read_index(struct fsmeta_buffer *out)
{
	fsmeta_buffer_clear(out);
	assert_int_equal(0, fsmeta_read_file_at(out, AT_FDCWD, index_path, 1 << 30, NULL));
}

static void write_index(const void *bytes, size_t size)
{
	int fd = open(index_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	assert_true(fd >= 0);
	assert_int_equal(0, fsmeta_write_all(fd, bytes, size, index_path, NULL));
	close(fd);
}

/** The index of the tree's paths as it comes out with so much memory. */
static void build_index(struct fsmeta_buffer *out, const struct tree *tree, size_t memory_bytes)
{
	struct fsmeta_path_index_builder *builder;
	struct fsmeta_error error = {0};
	int fd = memfd_create("index", MFD_CLOEXEC);
	off_t size;
	size_t got;

	io_assert_ok(fsmeta_path_index_builder_new(&builder, memory_bytes, &error), &error);
	for (size_t i = 0; i < tree->count; i++)
		io_assert_ok(fsmeta_path_index_builder_add(builder, tree->entries[i].path,
				 tree->entries[i].path_length, &error),
		    &error);
	io_assert_ok(fsmeta_path_index_builder_write(
			 builder, fd, "memory", (struct fsmeta_digest){1, 2}, &error),
	    &error);
	fsmeta_path_index_builder_free(builder);
	size = lseek(fd, 0, SEEK_END);
	fsmeta_buffer_clear(out);
	assert_int_equal(0, fsmeta_buffer_reserve(out, (size_t)size));
	assert_int_equal(
	    0, fsmeta_read_full_at(fd, out->data, (size_t)size, 0, &got, "memory", &error));
	out->length = got;
	close(fd);
}

static void any_memory_gives_the_same_index(void **state)
{
	static const size_t bounds[] = {40000, 100000, 1 << 20};
	struct fsmeta_buffer whole = {0}, bounded = {0};
	struct tree tree;

	(void)state;
	tree_init(&tree, 3, FSMETA_FIELD_SIZE);
	tree_make_random(&tree, 20000);
	assert_true(tree.count > 5000);
	build_index(&whole, &tree, 0);
	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		build_index(&bounded, &tree, bounds[i]);
		assert_int_equal(whole.length, bounded.length);
		assert_memory_equal(whole.data, bounded.data, whole.length);
	}
	fsmeta_buffer_release(&whole);
	fsmeta_buffer_release(&bounded);
	tree_release(&tree);
}

static void assert_verified(int expected, const char *reason)
{
	struct fsmeta_stream_check check;
	struct fsmeta_error error = {0};
	int code = fsmeta_stream_verify(&check, stream, NULL, &error);

	if (code != expected)
		io_assert_ok(code ? code : -1, &error);
	assert_int_equal(code == 0, check.path_index_agrees);
	if (reason)
		assert_non_null(strstr(error.reason, reason));
}

/** Every byte of a small index: what is damaged is never believed, and check finds it. */
static void damage_is_found(void **state)
{
	struct fsmeta_buffer bytes = {0};
	struct fsmeta_error error, ignored;
	struct fsmeta_lookup *lookup;
	unsigned pages_damaged = 0;
	struct tree tree;

	(void)state;
	tree_init(&tree, 9, FSMETA_FIELD_SIZE);
	tree_make_random(&tree, 500);
	write_folder(&tree, true);
	assert_verified(0, NULL);
	read_index(&bytes);
	for (size_t at = 0; at < bytes.length; at += at < 100 ? 1 : 37) {
		const struct fsmeta_entry *entry;
		bytes.data[at] ^= 0x40;
		write_index(bytes.data, bytes.length);
		bytes.data[at] ^= 0x40;
		assert_int_equal(0, fsmeta_lookup_open(&lookup, stream, &ignored, &error));
		/* Either is said, and the stream is asked instead. */
		for (unsigned twice = 0; twice < 2; twice++) {
			assert_int_equal(1, fsmeta_lookup_path(lookup, tree.entries[3].path,
						tree.entries[3].path_length, &entry, &error));
			assert_int_equal(
			    0, fsmeta_lookup_path(lookup, "no/such", 7, &entry, &error));
		}
		pages_damaged += fsmeta_lookup_index_damage(lookup) != NULL;
		assert_false(ignored.code && fsmeta_lookup_index_damage(lookup));
		fsmeta_lookup_close(lookup);
		if (at % 5 == 0) {
			struct fsmeta_stream_check check;

			assert_true(fsmeta_stream_verify(&check, stream, NULL, &error) < 0);
			assert_false(check.path_index_agrees);
		}
	}
	assert_true(pages_damaged > 10);
	write_index(bytes.data, bytes.length - 1);
	assert_verified(FSMETA_E_CORRUPT, "length");
	write_index(bytes.data, 20);
	assert_verified(FSMETA_E_CORRUPT, "within its header");
	write_index("", 0);
	assert_verified(FSMETA_E_FOREIGN, "no index");
	fsmeta_buffer_release(&bytes);
	tree_release(&tree);
}

/** An index that was left from another stream is not asked. */
static void a_stale_index_is_ignored(void **state)
{
	struct fsmeta_buffer bytes = {0};
	struct fsmeta_error error = {0}, ignored;
	const struct fsmeta_entry *entry;
	struct fsmeta_lookup *lookup;
	struct tree tree;

	(void)state;
	tree_init(&tree, 10, FSMETA_FIELD_SIZE);
	tree_make_random(&tree, 500);
	write_folder(&tree, true);
	read_index(&bytes);
	tree.entries[1].size++;
	write_folder(&tree, false);
	assert_int_equal(-1, access(index_path, F_OK));
	write_index(bytes.data, bytes.length);
	io_assert_ok(fsmeta_lookup_open(&lookup, stream, &ignored, &error), &error);
	assert_int_equal(FSMETA_E_CORRUPT, ignored.code);
	assert_string_equal(index_path, ignored.path);
	assert_non_null(strstr(ignored.reason, "another entries.fss"));
	assert_int_equal(1, fsmeta_lookup_path(lookup, tree.entries[1].path,
				tree.entries[1].path_length, &entry, &error));
	assert_int_equal(entry->size, tree.entries[1].size);
	fsmeta_lookup_close(lookup);
	assert_verified(FSMETA_E_CORRUPT, "another entries.fss");
	fsmeta_buffer_release(&bytes);
	tree_release(&tree);
}

/** As docs/format.md draws it, read without the code that wrote it. */
static void the_bytes_are_as_documented(void **state)
{
	struct fsmeta_buffer bytes = {0};
	struct tree tree;
	uint64_t hash, number = 0;
	unsigned seen = 0;

	(void)state;
	tree_init(&tree, 12, 0);
	tree_append(&tree, "", 0, FSMETA_TYPE_FOLDER);
	tree_append(&tree, "a", 1, FSMETA_TYPE_FILE);
	tree_append(&tree, "b", 1, FSMETA_TYPE_FILE);
	write_folder(&tree, true);
	read_index(&bytes);
	assert_int_equal(48 + 4096, bytes.length);
	assert_memory_equal(bytes.data, "FsPaths\n\x01\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0", 24);
	for (size_t slot = 0; slot < 3; slot++) {
		uint64_t position = bytes.data[48 + 2512 + slot * 5];

		memcpy(&hash, bytes.data + 48 + slot * 8, 8);
		assert_true(slot == 0 || hash > number);
		number = hash;
		assert_in_range(position, 1, 3);
		seen |= 1U << position;
		/* CityHash64 of nothing. */
		assert_int_equal(position == 1, hash == 0x9ae16a3b2f90404f);
	}
	assert_int_equal(0xe, seen);
	fsmeta_buffer_release(&bytes);
	tree_release(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(entries_are_found_by_path_and_id),
	    cmocka_unit_test(what_is_no_file_is_refused),
	    cmocka_unit_test(any_memory_gives_the_same_index),
	    cmocka_unit_test(damage_is_found),
	    cmocka_unit_test(a_stale_index_is_ignored),
	    cmocka_unit_test(the_bytes_are_as_documented),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
