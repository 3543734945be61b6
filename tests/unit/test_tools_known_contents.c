/*
 * Contents found by file: many of them, links of one file, and what must not be found.
 *
 * Every seventh file is another link of the one in front of it; of some of these the generation
 * says that their contents differ.
 */
#include "test_db_file.h"
#include "tools/known_contents.h"

enum {
	/** Several blocks, the last of them not full. */
	FILES = 10007,
	/** Of inodes with two links: both have the same hash, or each another. */
	LINKED_EVERY = 7,
	AMBIGUOUS_EVERY = 21,
	FIELDS = FSMETA_FIELD_DEVICE | FSMETA_FIELD_INODE | FSMETA_FIELD_BTIME,
};

static char path[64];
static struct fsmeta_db *db;
static struct fsmeta_batch_source source;

static bool is_link(unsigned number)
{
	return number % LINKED_EVERY == 0 && number > 0;
}

/** The file's number but for links, which have that of the file in front of them. */
static unsigned file_of(unsigned number)
{
	return is_link(number) ? number - 1 : number;
}

/** A file of the tree; its name is in `name`. */
static struct fsmeta_entry make_file(char name[32], unsigned number)
{
	unsigned file = file_of(number);
	struct fsmeta_entry entry;
	uint32_t content = number % AMBIGUOUS_EVERY == 0 ? number : file;

	snprintf(name, 32, "f%08u", number);
	entry = make_entry(name, FSMETA_TYPE_FILE, file % 5 + 1);
	entry.fields |= FIELDS | FSMETA_FIELD_HASH;
	entry.device = 0;
	entry.inode = 1 + file / 3;
	entry.btime = (struct fsmeta_time){1600000000 + file % 3, file};
	entry.hash_algorithm = FSMETA_HASH_XXH3;
	memcpy(entry.hash, &content, sizeof(content));
	return entry;
}

static int set_up(void **state)
{
	struct fsmeta_db_update *update;
	struct fsmeta_change_sink *sink;
	uint32_t index;

	(void)state;
	snprintf(path, sizeof(path), "/tmp/fsmeta-known-%d.db", (int)getpid());
	unlink(path);
	describe_scan(&source, 1);
	source.field_mask |= FIELDS | FSMETA_FIELD_HASH;
	source.hash_algorithm = FSMETA_HASH_XXH3;
	assert_ok(fsmeta_batch_source_add_filesystem(
	    &source, "0d1c5a3e-0000-4000-8000-000000000001", "ext4", NULL, &index));
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	assert_ok(fsmeta_db_update_begin(&update, db, 0, &source, &error));
	sink = fsmeta_db_update_sink(update);
	assert_ok(add_entry(update, "", FSMETA_TYPE_FOLDER, 0));
	for (unsigned number = 0; number < FILES; number++) {
		char name[32];
		const struct fsmeta_entry entry = make_file(name, number);

		assert_ok(sink->change(sink,
		    &(struct fsmeta_change){.kind = FSMETA_CHANGE_ADDED, .after = &entry}, &error));
	}
	assert_ok(fsmeta_db_update_commit(update, NULL, &error));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fsmeta_db_close(db);
	fsmeta_batch_source_release(&source);
	unlink(path);
	return 0;
}

static struct fsmeta_known_contents *make(enum fsmeta_hash_algorithm algorithm)
{
	struct fsmeta_known_contents *known;

	assert_ok(fsmeta_known_contents_new(&known, db, 1, algorithm, NULL, &error));
	return known;
}

static int find(struct fsmeta_known_contents *known, const struct fsmeta_entry *entry,
    struct fsmeta_content_hash *hash)
{
	int code = fsmeta_known_contents_find(known, entry, &source, hash, &error);

	assert_true(code >= 0);
	return code;
}

/** Wherever it is now; unless its links are told to have several contents. */
static void every_file_is_found(void **state)
{
	struct fsmeta_known_contents *known = make(FSMETA_HASH_XXH3);

	(void)state;
	for (unsigned number = 0; number < FILES; number++) {
		char name[32];
		struct fsmeta_entry entry = make_file(name, number);
		struct fsmeta_content_hash hash;
		bool is_ambiguous = (number && number % AMBIGUOUS_EVERY == 0) ||
				    ((number + 1) % AMBIGUOUS_EVERY == 0 && number + 1 < FILES);
		int found;

		entry.path = entry.name = "elsewhere";
		entry.path_length = entry.name_length = strlen(entry.path);
		found = find(known, &entry, &hash);
		assert_int_equal(found, !is_ambiguous);
		if (!found)
			continue;
		assert_int_equal(hash.algorithm, FSMETA_HASH_XXH3);
		assert_memory_equal(hash.bytes, entry.hash, sizeof(hash.bytes));
	}
	fsmeta_known_contents_free(known);
}

static void change_size(struct fsmeta_entry *entry)
{
	entry->size++;
}

static void change_mtime(struct fsmeta_entry *entry)
{
	entry->mtime.nanoseconds++;
}

static void change_inode(struct fsmeta_entry *entry)
{
	entry->inode += FILES;
}

static void change_btime(struct fsmeta_entry *entry)
{
	entry->btime.seconds--;
}

static void lose_btime(struct fsmeta_entry *entry)
{
	entry->fields &= ~(uint32_t)FSMETA_FIELD_BTIME;
}

static void lose_inode(struct fsmeta_entry *entry)
{
	entry->fields &= ~(uint32_t)FSMETA_FIELD_INODE;
}

static void change_device(struct fsmeta_entry *entry)
{
	entry->device = FSMETA_DEVICE_NONE;
}

static void become_folder(struct fsmeta_entry *entry)
{
	entry->type = FSMETA_TYPE_FOLDER;
}

static void whatever_differs_is_another_file(void **state)
{
	void (*const differences[])(struct fsmeta_entry *) = {change_size, change_mtime,
	    change_inode, change_btime, lose_btime, lose_inode, change_device, become_folder};
	struct fsmeta_known_contents *known = make(FSMETA_HASH_XXH3);
	struct fsmeta_content_hash hash;

	(void)state;
	for (unsigned number = 1; number < 100; number++) {
		for (size_t i = 0; i < sizeof(differences) / sizeof(differences[0]); i++) {
			char name[32];
			struct fsmeta_entry entry = make_file(name, number);

			differences[i](&entry);
			assert_int_equal(find(known, &entry, &hash), 0);
		}
	}
	fsmeta_known_contents_free(known);
}

static void another_algorithm_knows_nothing(void **state)
{
	struct fsmeta_known_contents *known = make(FSMETA_HASH_SHA256);
	struct fsmeta_content_hash hash;
	char name[32];
	const struct fsmeta_entry entry = make_file(name, 1);

	(void)state;
	assert_int_equal(find(known, &entry, &hash), 0);
	fsmeta_known_contents_free(known);
}

/** An inode alone is nothing: there must be a birth time or a UUID. */
static void what_can_be_found(void **state)
{
	struct fsmeta_batch_source nameless;
	char name[32];
	struct fsmeta_entry entry = make_file(name, 1);

	(void)state;
	fsmeta_batch_source_init(&nameless);
	assert_true(fsmeta_known_contents_can_find(&entry, &source));
	assert_true(fsmeta_known_contents_can_find(&entry, &nameless));
	lose_btime(&entry);
	assert_true(fsmeta_known_contents_can_find(&entry, &source));
	assert_false(fsmeta_known_contents_can_find(&entry, &nameless));
	fsmeta_batch_source_release(&nameless);
}

static void stops_when_asked(void **state)
{
	const volatile sig_atomic_t stop = 1;
	struct fsmeta_known_contents *known;

	(void)state;
	assert_int_equal(fsmeta_known_contents_new(&known, db, 1, FSMETA_HASH_XXH3, &stop, &error),
	    FSMETA_E_STOPPED);
	assert_null(known);
	fsmeta_known_contents_free(known);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_file_is_found),
	    cmocka_unit_test(whatever_differs_is_another_file),
	    cmocka_unit_test(another_algorithm_knows_nothing),
	    cmocka_unit_test(what_can_be_found),
	    cmocka_unit_test(stops_when_asked),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
