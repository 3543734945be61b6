/*
 * The change spool: what goes in comes out, amended and dropped as asked, from
 * memory and from a file.
 */
#include "diff/change_spool.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
	COUNT = 3000,
};

static struct fsmeta_entry make_entry(const char *path, unsigned value)
{
	const char *slash = strrchr(path, '/');
	struct fsmeta_entry entry = {
	    .path = path,
	    .path_length = strlen(path),
	    .name = slash ? slash + 1 : path,
	    .type = FSMETA_TYPE_SYMLINK,
	    .fields = value % 3 ? FSMETA_FIELDS_KNOWN : 0,
	    .flags = value % 4,
	    .error = value % 2 ? EACCES : 0,
	    .id = UINT64_MAX - value,
	    .size = (uint64_t)value << 40,
	    .mtime = {.seconds = -(int64_t)value, .nanoseconds = 999999999},
	    .ctime = {.seconds = INT64_MIN, .nanoseconds = value},
	    .btime = {.seconds = INT64_MAX, .nanoseconds = 0},
	    .mode = 07777,
	    .uid = UINT32_MAX,
	    .gid = value,
	    .device = value,
	    .inode = UINT64_MAX,
	    .nlink = value,
	    .allocated = value,
	    .rdev_major = UINT32_MAX,
	    .rdev_minor = value,
	    .target = "a\nb",
	    .target_length = value % 4,
	    .hash_algorithm = value % 2 ? FSMETA_HASH_SHA256 : FSMETA_HASH_XXH3,
	    .unknown_since = value % 5,
	};

	entry.name_length = entry.path_length - (size_t)(entry.name - entry.path);
	for (const char *at = path; *at; at++)
		entry.depth += *at == '/';
	entry.depth += *path != '\0';
	memset(entry.hash, (int)value, sizeof(entry.hash));
	return entry;
}

static void make_path(char out[64], unsigned value)
{
	snprintf(out, 64, "cam%u/%u/%u", value / 1000, value / 10 % 100, value % 10);
	if (value == 0)
		*out = '\0';
}

static void assert_same(const struct fsmeta_entry *got, const struct fsmeta_entry *wanted)
{
	assert_string_equal(got->path, wanted->path);
	assert_int_equal(got->path_length, wanted->path_length);
	assert_int_equal(got->name_length, wanted->name_length);
	assert_ptr_equal(got->name, got->path + (wanted->name - wanted->path));
	assert_int_equal(got->depth, wanted->depth);
	assert_int_equal(got->type, wanted->type);
	assert_int_equal(got->fields, wanted->fields);
	assert_int_equal(got->id, wanted->id);
	assert_int_equal(got->unknown_since, wanted->unknown_since);
	assert_int_equal(fsmeta_entry_differences(
			     got, wanted, FSMETA_FIELDS_KNOWN | FSMETA_FIELD_FLAGS, NULL, 0),
	    0);
}

struct checker {
	struct fsmeta_change_sink sink;
	unsigned next;
};

/** Record `value` as check() expects it: kinds in turn, every seventh is dropped. */
static enum fsmeta_change_kind kind_of(unsigned value)
{
	return (enum fsmeta_change_kind)(1 + value % 7);
}

static int check(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct checker *checker = (struct checker *)sink;
	unsigned value;
	char path[64], old_path[64];
	struct fsmeta_entry wanted, wanted_before;

	(void)error;
	while (kind_of(checker->next) == FSMETA_CHANGE_UNKNOWN)
		checker->next++;
	value = checker->next++;
	make_path(path, value);
	make_path(old_path, kind_of(value) == FSMETA_CHANGE_MOVED ? value * 7 : value);
	wanted = make_entry(path, value);
	wanted_before = make_entry(old_path, value + 1);
	assert_int_equal(change->kind, kind_of(value));
	assert_int_equal(change->fields, value);
	if (kind_of(value) == FSMETA_CHANGE_UNREADABLE) {
		assert_int_equal(change->flags, FSMETA_CHANGE_CONTINUED);
		assert_int_equal(change->entries, UINT64_MAX - value);
		assert_int_equal(change->bytes, value);
	} else {
		assert_int_equal(change->flags, FSMETA_CHANGE_INSIDE);
		assert_int_equal(change->entries, value * 2);
		assert_int_equal(change->bytes, value * 3);
	}
	assert_int_equal(change->before != NULL, kind_of(value) != FSMETA_CHANGE_ADDED);
	assert_int_equal(change->after != NULL, kind_of(value) != FSMETA_CHANGE_REMOVED);
	if (change->before)
		assert_same(change->before, &wanted_before);
	if (change->after)
		assert_same(change->after, &wanted);
	return 0;
}

static void append(struct fsmeta_change_spool *spool, unsigned value, uint64_t *place)
{
	struct fsmeta_error error = {0};
	char path[64], old_path[64];
	struct fsmeta_entry after, before;
	struct fsmeta_change change = {.kind = kind_of(value),
	    .flags = FSMETA_CHANGE_INSIDE,
	    .fields = value,
	    .entries = value * 2,
	    .bytes = value * 3};

	make_path(path, value);
	make_path(old_path, change.kind == FSMETA_CHANGE_MOVED ? value * 7 : value);
	after = make_entry(path, value);
	before = make_entry(old_path, value + 1);
	change.before = change.kind == FSMETA_CHANGE_ADDED ? NULL : &before;
	change.after = change.kind == FSMETA_CHANGE_REMOVED ? NULL : &after;
	assert_int_equal(fsmeta_change_spool_append(spool, &change, place, &error), 0);
}

static int check_name(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct checker *checker = (struct checker *)sink;
	const struct fsmeta_entry *entry = fsmeta_change_entry(change);
	struct fsmeta_entry wanted;
	unsigned value;
	char path[64];

	(void)error;
	while (kind_of(checker->next) == FSMETA_CHANGE_UNKNOWN)
		checker->next++;
	value = checker->next++;
	make_path(path, value);
	wanted = make_entry(path, value);
	assert_int_equal(change->kind, kind_of(value));
	assert_string_equal(entry->path, path);
	assert_int_equal(entry->name_length, wanted.name_length);
	assert_int_equal(entry->depth, wanted.depth);
	assert_int_equal(entry->type, wanted.type);
	assert_null(change->before && change->after ? change : NULL);
	return 0;
}

static void round_trip(size_t memory_bytes)
{
	static uint64_t places[COUNT];
	struct checker checker = {.sink = {.change = check}};
	struct fsmeta_change_spool *spool;
	struct fsmeta_error error = {0};

	assert_int_equal(fsmeta_change_spool_new(&spool, memory_bytes, &error), 0);
	for (unsigned i = 0; i < COUNT; i++)
		append(spool, i, &places[i]);
	for (unsigned i = 0; i < COUNT; i++) {
		if (kind_of(i) == FSMETA_CHANGE_UNKNOWN)
			assert_int_equal(fsmeta_change_spool_drop(spool, places[i], &error), 0);
		if (kind_of(i) == FSMETA_CHANGE_UNREADABLE)
			assert_int_equal(fsmeta_change_spool_amend(spool, places[i],
					     FSMETA_CHANGE_CONTINUED, UINT64_MAX - i, i, &error),
			    0);
	}
	for (int round = 0; round < 2; round++) {
		checker.next = 0;
		assert_int_equal(fsmeta_change_spool_replay(spool, &checker.sink, &error), 0);
		while (checker.next < COUNT && kind_of(checker.next) == FSMETA_CHANGE_UNKNOWN)
			checker.next++;
		assert_int_equal(checker.next, COUNT);
	}
	checker = (struct checker){.sink = {.change = check_name}};
	assert_int_equal(fsmeta_change_spool_replay_names(spool, &checker.sink, &error), 0);
	while (checker.next < COUNT && kind_of(checker.next) == FSMETA_CHANGE_UNKNOWN)
		checker.next++;
	assert_int_equal(checker.next, COUNT);
	fsmeta_change_spool_free(spool);
}

/** Runs of entries with the same traits, some with one of them another, on either side. */
struct alike_checker {
	struct fsmeta_change_sink sink;
	unsigned next;
};

static struct fsmeta_entry make_alike(const char *path, unsigned value)
{
	struct fsmeta_entry entry = make_entry(path, 1);

	entry.id = value % 3 ? value : UINT64_MAX;
	entry.size = UINT64_C(1) << value % 64;
	entry.inode = UINT64_MAX >> value % 64;
	entry.allocated = value;
	entry.mtime.seconds = value;
	entry.mode = value % 50 < 25 ? 0644 : 0755;
	entry.nlink = value % 31 ? 1 : 2;
	entry.unknown_since = value / 100 % 2;
	if (value % 41 == 0)
		entry.fields &= ~(uint32_t)(FSMETA_FIELD_SIZE | FSMETA_FIELD_MODE);
	if (value % 41 == 0)
		entry.size = entry.mode = 0;
	return entry;
}

static int check_alike(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct alike_checker *checker = (struct alike_checker *)sink;
	unsigned value = checker->next++;
	struct fsmeta_entry wanted;
	char path[64];

	(void)error;
	make_path(path, value);
	assert_int_equal(change->before != NULL, value % 3 != 0);
	assert_int_equal(change->after != NULL, value % 3 != 1);
	wanted = make_alike(path, value * 2);
	if (change->before)
		assert_same(change->before, &wanted);
	wanted = make_alike(path, value);
	if (change->after)
		assert_same(change->after, &wanted);
	return 0;
}

static void what_is_alike_comes_back(void **state)
{
	struct alike_checker checker = {.sink = {.change = check_alike}};
	struct fsmeta_change_spool *spool;
	struct fsmeta_error error = {0};

	(void)state;
	assert_int_equal(fsmeta_change_spool_new(&spool, 4000, &error), 0);
	for (unsigned i = 0; i < COUNT; i++) {
		static const enum fsmeta_change_kind kinds[] = {
		    FSMETA_CHANGE_ADDED, FSMETA_CHANGE_REMOVED, FSMETA_CHANGE_MODIFIED};
		struct fsmeta_change change = {.kind = kinds[i % 3]};
		struct fsmeta_entry before, after;
		char path[64];

		make_path(path, i);
		before = make_alike(path, i * 2);
		after = make_alike(path, i);
		change.before = change.kind == FSMETA_CHANGE_ADDED ? NULL : &before;
		change.after = change.kind == FSMETA_CHANGE_REMOVED ? NULL : &after;
		assert_int_equal(fsmeta_change_spool_append(spool, &change, NULL, &error), 0);
	}
	assert_int_equal(fsmeta_change_spool_replay(spool, &checker.sink, &error), 0);
	assert_int_equal(checker.next, COUNT);
	fsmeta_change_spool_free(spool);
}

static void changes_come_back_from_memory(void **state)
{
	(void)state;
	round_trip(0);
}

static void changes_come_back_from_a_file(void **state)
{
	(void)state;
	round_trip(1);
	round_trip(5000);
}

static void an_empty_spool_replays_nothing(void **state)
{
	struct checker checker = {.sink = {.change = check}};
	struct fsmeta_change_spool *spool;
	struct fsmeta_error error = {0};

	(void)state;
	assert_int_equal(fsmeta_change_spool_new(&spool, 0, &error), 0);
	assert_int_equal(fsmeta_change_spool_replay(spool, &checker.sink, &error), 0);
	assert_int_equal(checker.next, 0);
	fsmeta_change_spool_free(spool);
	fsmeta_change_spool_free(NULL);
}

/** Compares everything it gets with one entry. */
struct comparer {
	struct fsmeta_change_sink sink;
	const struct fsmeta_entry *wanted;
	unsigned count;
};

static int compare(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct comparer *comparer = (struct comparer *)sink;

	(void)error;
	assert_same(change->after, comparer->wanted);
	comparer->count++;
	return 0;
}

static void long_paths_and_targets_come_back(void **state)
{
	enum {
		LONG = 100000
	};
	struct comparer comparer = {.sink = {.change = compare}};
	struct fsmeta_change_spool *spool;
	struct fsmeta_error error = {0};
	char *path = malloc(LONG + 1);
	struct fsmeta_entry entry;
	struct fsmeta_change change = {.kind = FSMETA_CHANGE_ADDED, .after = &entry};

	(void)state;
	assert_non_null(path);
	for (size_t i = 0; i < LONG; i++)
		path[i] = i % 2 ? '/' : 'x';
	path[LONG - 1] = 'y';
	path[LONG] = '\0';
	entry = make_entry(path, 1);
	entry.target = path;
	entry.target_length = FSMETA_TARGET_MAX_BYTES;
	comparer.wanted = &entry;
	assert_int_equal(fsmeta_change_spool_new(&spool, 1000, &error), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(fsmeta_change_spool_append(spool, &change, NULL, &error), 0);
	assert_int_equal(fsmeta_change_spool_replay(spool, &comparer.sink, &error), 0);
	assert_int_equal(comparer.count, 3);
	fsmeta_change_spool_free(spool);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(changes_come_back_from_memory),
	    cmocka_unit_test(changes_come_back_from_a_file),
	    cmocka_unit_test(an_empty_spool_replays_nothing),
	    cmocka_unit_test(what_is_alike_comes_back),
	    cmocka_unit_test(long_paths_and_targets_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
