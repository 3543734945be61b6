/*
 * The journal of hashes: what was written is found again, whatever happened to the end
 * of it, and nothing else.
 */
#include "tools/hash_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	RECORD_BYTES = 64,
	MANY = 5000,
};

static char folder[64], db_path[96], path[128];

static int set_up(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/fsmeta-journal-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(db_path, sizeof(db_path), "%s/x.db", folder);
	snprintf(path, sizeof(path), "%s-hashes", db_path);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	assert_int_equal(rmdir(folder), 0);
	return 0;
}

static struct fsmeta_hash_journal *open_journal(const char *db)
{
	struct fsmeta_hash_journal *journal;
	struct fsmeta_error error;

	assert_int_equal(fsmeta_hash_journal_open(&journal, db, &error), 0);
	return journal;
}

static struct fsmeta_hash_key key_of(uint32_t number)
{
	struct fsmeta_hash_key key;
	uint64_t mixed = number * 0x9E3779B97F4A7C15U;

	memset(&key, 0, sizeof(key));
	memcpy(key.bytes, &mixed, sizeof(mixed));
	/* Some share the part by which the index knows them. */
	if (number % 10 == 0)
		memset(key.bytes, 1, 4);
	memcpy(key.bytes + 8, &number, sizeof(number));
	return key;
}

static struct fsmeta_content_hash hash_of(uint32_t number)
{
	struct fsmeta_content_hash hash = {
	    .algorithm = number % 3 ? FSMETA_HASH_XXH3 : FSMETA_HASH_SHA256};

	memset(hash.bytes, (int)(number % 251), fsmeta_hash_bytes(hash.algorithm));
	return hash;
}

static void add(struct fsmeta_hash_journal *journal, uint32_t number, bool again)
{
	struct fsmeta_hash_key key = key_of(number);
	struct fsmeta_content_hash hash = hash_of(number);

	fsmeta_hash_journal_add(journal, &key, &hash, again);
	assert_int_equal(fsmeta_hash_journal_failure(journal), 0);
}

static bool has(struct fsmeta_hash_journal *journal, uint32_t number)
{
	struct fsmeta_hash_key key = key_of(number);
	struct fsmeta_content_hash expected = hash_of(number), found;

	if (!fsmeta_hash_journal_find(journal, &key, expected.algorithm, &found))
		return false;
	assert_true(fsmeta_content_hash_equal(&expected, &found));
	/* Another algorithm's hash says nothing. */
	assert_false(fsmeta_hash_journal_find(journal, &key,
	    expected.algorithm == FSMETA_HASH_XXH3 ? FSMETA_HASH_SHA256 : FSMETA_HASH_XXH3,
	    &found));
	return true;
}

static off_t file_size(void)
{
	struct stat status;

	return stat(path, &status) == 0 ? status.st_size : -1;
}

static void write_at(off_t offset, const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, size, offset), size);
	close(fd);
}

static void what_was_written_is_found(void **state)
{
	struct fsmeta_hash_journal *journal = open_journal(db_path);

	(void)state;
	assert_int_equal(fsmeta_hash_journal_count(journal), 0);
	for (uint32_t i = 0; i < MANY; i++) {
		add(journal, i, i % 7 == 0);
		/* In this scan only what was meant to be. */
		assert_int_equal(has(journal, i), i % 7 == 0);
		assert_int_equal(has(journal, i / 2), i / 2 % 7 == 0);
	}
	fsmeta_hash_journal_close(journal);
	assert_int_equal(file_size(), (MANY + 1) * RECORD_BYTES);
	/* It goes on where it ended. */
	for (uint32_t round = 0; round < 3; round++) {
		journal = open_journal(db_path);
		assert_int_equal(fsmeta_hash_journal_count(journal), MANY + round);
		for (uint32_t i = 0; i < MANY + round; i++)
			assert_true(has(journal, i));
		assert_false(has(journal, MANY + round));
		add(journal, MANY + round, false);
		fsmeta_hash_journal_close(journal);
	}
	journal = open_journal(db_path);
	fsmeta_hash_journal_remove(journal);
	assert_int_equal(file_size(), -1);
	fsmeta_hash_journal_close(journal);
	assert_int_equal(file_size(), -1);
}

static void an_empty_one_leaves_nothing(void **state)
{
	(void)state;
	fsmeta_hash_journal_close(open_journal(db_path));
	assert_int_equal(file_size(), -1);
}

static void without_a_database_it_lives_in_memory(void **state)
{
	struct fsmeta_hash_journal *journal = open_journal(NULL);

	(void)state;
	for (uint32_t i = 0; i < MANY; i++)
		add(journal, i, i % 2);
	for (uint32_t i = 0; i < MANY; i++)
		assert_int_equal(has(journal, i), i % 2);
	fsmeta_hash_journal_remove(journal);
	fsmeta_hash_journal_close(journal);
}

/** Every length that a kill can leave, and every byte that a disk can lose. */
static void damage_costs_what_it_hits(void **state)
{
	struct fsmeta_hash_journal *journal = open_journal(db_path);
	unsigned char bytes[5 * RECORD_BYTES];
	int fd;

	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		add(journal, i, false);
	fsmeta_hash_journal_close(journal);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, bytes, sizeof(bytes)), sizeof(bytes));
	close(fd);
	for (size_t size = 0; size <= sizeof(bytes); size++) {
		size_t whole = size / RECORD_BYTES;

		assert_int_equal(truncate(path, 0), 0);
		write_at(0, bytes, size);
		journal = open_journal(db_path);
		for (uint32_t i = 0; i < 4; i++)
			assert_int_equal(has(journal, i), i + 1 < whole);
		add(journal, 4, false);
		fsmeta_hash_journal_close(journal);
		journal = open_journal(db_path);
		assert_true(has(journal, 4));
		assert_int_equal(fsmeta_hash_journal_count(journal), whole ? whole : 1);
		fsmeta_hash_journal_close(journal);
	}
	for (size_t at = RECORD_BYTES; at < sizeof(bytes); at++) {
		unsigned char wrong = bytes[at] ^ 0x10;

		assert_int_equal(truncate(path, 0), 0);
		write_at(0, bytes, sizeof(bytes));
		write_at((off_t)at, &wrong, 1);
		journal = open_journal(db_path);
		for (uint32_t i = 0; i < 4; i++)
			assert_int_equal(has(journal, i), at / RECORD_BYTES != i + 1);
		fsmeta_hash_journal_close(journal);
	}
}

static void assert_refused(int code)
{
	struct fsmeta_hash_journal *journal;
	struct fsmeta_error error;

	fsmeta_error_clear(&error);
	assert_int_equal(fsmeta_hash_journal_open(&journal, db_path, &error), code);
	assert_null(journal);
	assert_string_equal(error.path, path);
}

static void what_is_not_ours_is_left_alone(void **state)
{
	struct fsmeta_hash_journal *journal;
	static const char notes[] =
	    "notes of somebody else, longer than a record of the journal is";

	(void)state;
	write_at(0, notes, sizeof(notes));
	assert_refused(FSMETA_E_FOREIGN);
	assert_int_equal(file_size(), sizeof(notes));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_refused(FSMETA_E_SYSTEM);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0644), 0);
	assert_refused(FSMETA_E_FOREIGN);
	assert_int_equal(unlink(path), 0);
	/* Somebody has it; and what he has is there when we were refused. */
	journal = open_journal(db_path);
	assert_refused(FSMETA_E_BUSY);
	add(journal, 1, false);
	fsmeta_hash_journal_close(journal);
	journal = open_journal(db_path);
	assert_true(has(journal, 1));
	fsmeta_hash_journal_close(journal);
}

/** Whatever tells two files apart tells their keys apart, and nothing else does. */
static void keys_tell_files_apart(void **state)
{
	struct fsmeta_batch_source source;
	struct fsmeta_buffer scratch;
	struct fsmeta_hash_key keys[12];
	struct fsmeta_entry entry = {
	    .path = "a/b",
	    .path_length = 3,
	    .type = FSMETA_TYPE_FILE,
	    .fields = FSMETA_FIELDS_ALL,
	    .size = 5,
	    .mtime = {6, 7},
	    .ctime = {8, 9},
	    .inode = 10,
	};
	uint32_t index;
	size_t count = 0;

	(void)state;
	fsmeta_buffer_init(&scratch);
	fsmeta_batch_source_init(&source);
	assert_int_equal(
	    fsmeta_batch_source_add_filesystem(&source, "uuid-1", "ext4", "", &index), 0);
	assert_int_equal(
	    fsmeta_batch_source_add_filesystem(&source, "uuid-2", "ext4", "", &index), 0);
	assert_int_equal(fsmeta_batch_source_add_filesystem(&source, "", "tmpfs", "", &index), 0);
#define KEY() assert_int_equal(fsmeta_hash_key_make(&keys[count++], &entry, &source, &scratch), 0)
	KEY();
	entry.path = "a/c";
	KEY();
	/* One inode under two paths. */
	assert_memory_equal(&keys[0], &keys[1], sizeof(keys[0]));
	count--;
	entry.size++;
	KEY();
	entry.mtime.seconds++;
	KEY();
	entry.mtime.nanoseconds++;
	KEY();
	entry.ctime.seconds++;
	KEY();
	entry.ctime.nanoseconds++;
	KEY();
	entry.inode++;
	KEY();
	entry.device = 1;
	KEY();
	/* Without what identifies an inode the path counts. */
	entry.device = 2;
	KEY();
	entry.path = "a/d";
	KEY();
	entry.fields &= ~(uint32_t)FSMETA_FIELD_INODE;
	KEY();
	entry.path = "a/e";
	KEY();
#undef KEY
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(&keys[i], &keys[j], sizeof(keys[i]));
	fsmeta_batch_source_release(&source);
	fsmeta_buffer_release(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(what_was_written_is_found, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(an_empty_one_leaves_nothing, set_up, tear_down),
	    cmocka_unit_test(without_a_database_it_lives_in_memory),
	    cmocka_unit_test_setup_teardown(damage_costs_what_it_hits, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(what_is_not_ours_is_left_alone, set_up, tear_down),
	    cmocka_unit_test(keys_tell_files_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
