/*
 * Reading one folder: the sort against qsort, listings, and chunks.
 */
#include "test_scanner_tree.h"

#include "scanner/folder.h"

static uint64_t random_state = 1;

static uint32_t random_below(uint32_t bound)
{
	random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)((random_state >> 33) % bound);
}

/** Names of the kinds that a sort by pieces of eight bytes could get wrong. */
static void awkward_name(char *out, unsigned kind)
{
	uint32_t length;

	switch (kind) {
	case 0: /* one long common prefix */
		sprintf(out, "camera-entrance-north-%05u.mp4", random_below(100000));
		return;
	case 1: /* prefixes of one another, around multiples of eight */
		length = 1 + random_below(250);
		memset(out, 'x', length);
		break;
	case 2: /* bytes beyond ASCII, and small ones */
		length = 1 + random_below(20);
		for (uint32_t i = 0; i < length; i++)
			out[i] =
			    (char)(random_below(2) ? 1 + random_below(3) : 253 + random_below(3));
		break;
	default: /* few letters, so that much is shared */
		length = 1 + random_below(30);
		for (uint32_t i = 0; i < length; i++)
			out[i] = (char)('a' + random_below(2));
		break;
	}
	out[length] = '\0';
}

struct listed {
	struct fsmeta_folder_reader reader;
	struct fsmeta_folder folder;
	struct fsmeta_folder_chunk chunk;
	struct fsmeta_folder_record self;
};

static void list(struct listed *listed, const struct tree *tree, size_t name_limit)
{
	int fd;

	fd = fsmeta_folder_open(&listed->reader, tree->fd, ".", -1);
	assert_true(fd >= 0);
	assert_int_equal(fsmeta_folder_identify(&listed->self, fd, ""), 0);
	assert_int_equal(fsmeta_folder_list(
			     &listed->folder, &listed->reader, fd, &listed->self, name_limit, NULL),
	    0);
	close(fd);
}

static void listed_init(struct listed *listed)
{
	const struct fsmeta_scan_options options = {0};

	*listed = (struct listed){0};
	assert_int_equal(
	    fsmeta_folder_reader_init(&listed->reader, FSMETA_FIELDS_ALL, &options), 0);
}

static void listed_release(struct listed *listed)
{
	fsmeta_folder_release(&listed->folder);
	fsmeta_folder_chunk_release(&listed->chunk);
	fsmeta_folder_reader_release(&listed->reader);
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sorting(void **state)
{
	static const unsigned counts[] = {0, 1, 2, 23, 24, 25, 26, 300, 3000};
	struct listed listed;

	(void)state;
	listed_init(&listed);
	for (unsigned kind = 0; kind < 4; kind++) {
		for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
			struct tree tree = tree_new_in_memory();
			char **names = calloc(counts[c] + 1, sizeof(*names));
			size_t count = 0;

			for (unsigned i = 0; i < counts[c]; i++) {
				char name[NAME_MAX + 1];

				awkward_name(name, kind);
				if (mknodat(tree.fd, name, S_IFREG | 0600, 0) == 0)
					names[count++] = strdup(name);
			}
			qsort(names, count, sizeof(*names), by_bytes);
			list(&listed, &tree, 1024);
			assert_int_equal(listed.folder.count, count);
			assert_int_equal(listed.folder.error, 0);
			assert_false(listed.folder.changed);
			for (size_t i = 0; i < count; i++) {
				size_t length;
				const char *name = fsmeta_folder_name(&listed.folder, i, &length);

				assert_string_equal(name, names[i]);
				assert_int_equal(length, strlen(names[i]));
				free(names[i]);
			}
			free(names);
			tree_free(&tree);
		}
	}
	listed_release(&listed);
}

static void memory_of_a_large_folder(void **state)
{
	enum {
		FILES = 20000
	};
	struct tree tree = tree_new_in_memory();
	struct listed listed;
	size_t bytes;

	(void)state;
	listed_init(&listed);
	for (unsigned i = 0; i < FILES; i++) {
		char name[32];

		sprintf(name, "%u_video.rf1i", 1700000000 + i);
		must(mknodat(tree.fd, name, S_IFREG | 0600, 0) == 0);
	}
	list(&listed, &tree, 1024);
	bytes =
	    listed.folder.capacity * sizeof(*listed.folder.sorted) + listed.folder.names.capacity;
	assert_in_range(bytes, 0, (size_t)FILES * 96);
	listed_release(&listed);
	tree_free(&tree);
}

static void names_beyond_the_limit(void **state)
{
	struct tree tree = tree_new();
	struct listed listed;

	(void)state;
	listed_init(&listed);
	make_file(&tree, "12345", "");
	make_file(&tree, "123456", "");
	list(&listed, &tree, 5);
	assert_int_equal(listed.folder.count, 1);
	assert_int_equal(listed.folder.error, ENAMETOOLONG);
	list(&listed, &tree, 6);
	assert_int_equal(listed.folder.count, 2);
	assert_int_equal(listed.folder.error, 0);
	listed_release(&listed);
	tree_free(&tree);
}

static void change_while_listing(void **state)
{
	struct tree tree = tree_new();
	struct listed listed;
	int fd;

	(void)state;
	listed_init(&listed);
	fd = fsmeta_folder_open(&listed.reader, tree.fd, ".", -1);
	assert_int_equal(fsmeta_folder_identify(&listed.self, fd, ""), 0);
	listed.self.mtime_nanoseconds ^= 1;
	assert_int_equal(
	    fsmeta_folder_list(&listed.folder, &listed.reader, fd, &listed.self, 1024, NULL), 0);
	assert_true(listed.folder.changed);
	close(fd);
	listed_release(&listed);
	tree_free(&tree);
}

static void what_is_no_folder(void **state)
{
	struct tree tree = tree_new();
	struct listed listed;
	int fd;

	(void)state;
	listed_init(&listed);
	make_file(&tree, "file", "");
	fd = openat(tree.fd, "file", O_RDONLY | O_CLOEXEC);
	assert_int_equal(
	    fsmeta_folder_list(&listed.folder, &listed.reader, fd, &listed.self, 1024, NULL), 0);
	assert_int_equal(listed.folder.error, ENOTDIR);
	assert_int_equal(listed.folder.count, 0);
	close(fd);
	listed_release(&listed);
	tree_free(&tree);
}

static void stop_while_listing(void **state)
{
	volatile sig_atomic_t stop = 1;
	const struct fsmeta_scan_options options = {.stop = &stop};
	struct tree tree = tree_new();
	struct fsmeta_folder_reader reader;
	struct fsmeta_folder folder = {0};
	struct fsmeta_folder_record self = {0};

	(void)state;
	assert_int_equal(fsmeta_folder_reader_init(&reader, FSMETA_FIELDS_ALL, &options), 0);
	assert_int_equal(
	    fsmeta_folder_list(&folder, &reader, tree.fd, &self, 1024, NULL), FSMETA_E_STOPPED);
	fsmeta_folder_reader_release(&reader);
	fsmeta_folder_release(&folder);
	tree_free(&tree);
}

static void chunks(void **state)
{
	enum {
		FILES = 600
	};
	struct tree tree = tree_new();
	struct listed listed;
	size_t total = 0, folders = 0;

	(void)state;
	listed_init(&listed);
	for (unsigned i = 0; i < FILES; i++) {
		char name[16];

		sprintf(name, "%03u", i);
		if (i % 10 == 0)
			make_folder(&tree, name);
		else if (i % 10 == 1)
			make_link(&tree, name, name);
		else
			make_file(&tree, name, name);
	}
	list(&listed, &tree, 1024);
	assert_int_equal(listed.folder.count, FILES);
	while (total < FILES) {
		assert_int_equal(fsmeta_folder_read(&listed.chunk, &listed.reader, &listed.folder,
				     tree.fd, 0, total, NULL),
		    0);
		assert_int_equal(listed.chunk.first, total);
		for (uint32_t i = 0; i < listed.chunk.count; i++) {
			const struct fsmeta_folder_record *record = &listed.chunk.records[i];
			unsigned number = (unsigned)total + i;
			char name[16];

			sprintf(name, "%03u", number);
			assert_int_equal(record->error, 0);
			assert_false(record->gone);
			if (number % 10 == 0) {
				assert_int_equal(record->type, FSMETA_TYPE_FOLDER);
			} else if (number % 10 == 1) {
				assert_int_equal(record->target_length, 3);
				assert_memory_equal(
				    listed.chunk.targets.data + record->target_offset, name, 3);
			} else {
				assert_int_equal(record->size, 3);
			}
		}
		folders += listed.chunk.folders;
		total += listed.chunk.count;
	}
	assert_int_equal(total, FILES);
	assert_int_equal(folders, FILES / 10);
	listed_release(&listed);
	tree_free(&tree);
}

/** A listing that has a name twice, as one can get it while names come and go. */
static void name_listed_twice(void **state)
{
	struct tree tree = tree_new();
	struct listed listed;

	(void)state;
	listed_init(&listed);
	make_file(&tree, "a", "");
	make_file(&tree, "b", "");
	make_file(&tree, "c", "");
	list(&listed, &tree, 1024);
	listed.folder.sorted[1] = listed.folder.sorted[0];
	assert_int_equal(
	    fsmeta_folder_read(&listed.chunk, &listed.reader, &listed.folder, tree.fd, 0, 0, NULL),
	    0);
	assert_int_equal(listed.chunk.count, 3);
	assert_false(listed.chunk.records[0].gone);
	assert_true(listed.chunk.records[1].gone);
	assert_false(listed.chunk.records[2].gone);
	listed_release(&listed);
	tree_free(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sorting),
	    cmocka_unit_test(memory_of_a_large_folder),
	    cmocka_unit_test(names_beyond_the_limit),
	    cmocka_unit_test(change_while_listing),
	    cmocka_unit_test(what_is_no_folder),
	    cmocka_unit_test(stop_while_listing),
	    cmocka_unit_test(chunks),
	    cmocka_unit_test(name_listed_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
