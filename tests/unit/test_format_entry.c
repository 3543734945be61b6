/*
 * Entries: names both ways, field lists, and the comparison against a naive
 * reference on random pairs.
 */
#include "format/change.h"
#include "format/entry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static void types_have_names(void **state)
{
	static const char *const names[] = {
	    NULL, "file", "folder", "symlink", "fifo", "socket", "block", "char", NULL};

	(void)state;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *name = fsmeta_type_name((enum fsmeta_type)i);

		if (names[i])
			assert_string_equal(name, names[i]);
		else
			assert_null(name);
	}
}

static void types_come_from_modes(void **state)
{
	(void)state;
	assert_int_equal(fsmeta_type_from_mode(S_IFREG | 0644), FSMETA_TYPE_FILE);
	assert_int_equal(fsmeta_type_from_mode(S_IFDIR | 07777), FSMETA_TYPE_FOLDER);
	assert_int_equal(fsmeta_type_from_mode(S_IFLNK | 0777), FSMETA_TYPE_SYMLINK);
	assert_int_equal(fsmeta_type_from_mode(S_IFIFO), FSMETA_TYPE_FIFO);
	assert_int_equal(fsmeta_type_from_mode(S_IFSOCK), FSMETA_TYPE_SOCKET);
	assert_int_equal(fsmeta_type_from_mode(S_IFBLK), FSMETA_TYPE_BLOCK);
	assert_int_equal(fsmeta_type_from_mode(S_IFCHR), FSMETA_TYPE_CHAR);
	assert_int_equal(fsmeta_type_from_mode(0644), 0);
	assert_int_equal(fsmeta_type_from_mode(0170000), 0);
}

static void hash_algorithms_have_names_and_sizes(void **state)
{
	enum fsmeta_hash_algorithm algorithm;

	(void)state;
	assert_int_equal(fsmeta_hash_bytes(FSMETA_HASH_NONE), 0);
	assert_int_equal(fsmeta_hash_bytes(FSMETA_HASH_XXH3), 16);
	assert_int_equal(fsmeta_hash_bytes(FSMETA_HASH_SHA256), FSMETA_HASH_MAX_BYTES);
	assert_int_equal(fsmeta_hash_bytes((enum fsmeta_hash_algorithm)3), 0);
	for (unsigned i = 0; i < 3; i++) {
		const char *name = fsmeta_hash_algorithm_name((enum fsmeta_hash_algorithm)i);

		assert_true(fsmeta_hash_algorithm_from_name(&algorithm, name));
		assert_int_equal(algorithm, i);
	}
	assert_null(fsmeta_hash_algorithm_name((enum fsmeta_hash_algorithm)3));
	assert_false(fsmeta_hash_algorithm_from_name(&algorithm, "md5"));
	assert_false(fsmeta_hash_algorithm_from_name(&algorithm, ""));
}

static void fields_have_the_names_of_listings(void **state)
{
	static const struct {
		uint32_t field;
		const char *name;
	} fields[] = {
	    {FSMETA_FIELD_SIZE, "size"},
	    {FSMETA_FIELD_MTIME, "mtime"},
	    {FSMETA_FIELD_CTIME, "ctime"},
	    {FSMETA_FIELD_BTIME, "btime"},
	    {FSMETA_FIELD_MODE, "mode"},
	    {FSMETA_FIELD_UID, "uid"},
	    {FSMETA_FIELD_GID, "gid"},
	    {FSMETA_FIELD_DEVICE, "dev"},
	    {FSMETA_FIELD_INODE, "inode"},
	    {FSMETA_FIELD_NLINK, "nlink"},
	    {FSMETA_FIELD_ALLOCATED, "allocated"},
	    {FSMETA_FIELD_RDEV, "rdev"},
	    {FSMETA_FIELD_TARGET, "target"},
	    {FSMETA_FIELD_HASH, "hash"},
	    {FSMETA_FIELD_FLAGS, "error"},
	};
	uint32_t all = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		assert_string_equal(fsmeta_field_name(fields[i].field), fields[i].name);
		assert_int_equal(fsmeta_field_from_name(fields[i].name, strlen(fields[i].name)),
		    fields[i].field);
		all |= fields[i].field;
	}
	assert_int_equal(all, FSMETA_FIELDS_KNOWN | FSMETA_FIELD_FLAGS);
	assert_null(fsmeta_field_name(0));
	assert_null(fsmeta_field_name(FSMETA_FIELD_SIZE | FSMETA_FIELD_MODE));
	assert_null(fsmeta_field_name(1u << 15));
	assert_null(fsmeta_field_name(1u << 31));
	assert_int_equal(fsmeta_field_from_name("sizes", 5), 0);
	assert_int_equal(fsmeta_field_from_name("siz", 3), 0);
	assert_int_equal(fsmeta_field_from_name("", 0), 0);
	assert_int_equal(fsmeta_field_from_name("size,mode", 4), FSMETA_FIELD_SIZE);
}

static void field_lists_are_parsed(void **state)
{
	uint32_t mask = 0;

	(void)state;
	assert_int_equal(fsmeta_fields_parse(&mask, "core", NULL), 0);
	assert_int_equal(mask, FSMETA_FIELDS_CORE);
	assert_int_equal(fsmeta_fields_parse(&mask, "all", NULL), 0);
	assert_int_equal(mask, FSMETA_FIELDS_ALL);
	assert_int_equal(fsmeta_fields_parse(&mask, "core,inode,hash,inode", NULL), 0);
	assert_int_equal(mask, FSMETA_FIELDS_CORE | FSMETA_FIELD_INODE | FSMETA_FIELD_HASH);
	assert_int_equal(fsmeta_fields_parse(&mask, "size", NULL), 0);
	assert_int_equal(mask, FSMETA_FIELD_SIZE);
	assert_int_equal(fsmeta_fields_parse(&mask, "error", NULL), 0);
	assert_int_equal(mask, FSMETA_FIELD_FLAGS);
}

static void wrong_field_lists_are_named(void **state)
{
	static const char *const wrong[] = {
	    "", ",", "size,", ",size", "size,,mode", "Size", "atime", "core inode"};
	struct fsmeta_error error = {0};
	uint32_t mask = 77;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(fsmeta_fields_parse(&mask, wrong[i], &error), FSMETA_E_USAGE);
		assert_int_equal(error.code, FSMETA_E_USAGE);
		assert_int_equal(mask, 77);
	}
	fsmeta_fields_parse(&mask, "size,atime,mode", &error);
	assert_non_null(strstr(error.reason, "'atime'"));
}

static void types_have_their_fields(void **state)
{
	const uint32_t special = FSMETA_FIELD_TARGET | FSMETA_FIELD_RDEV | FSMETA_FIELD_HASH;
	static const uint32_t expected[] = {0, FSMETA_FIELD_HASH, 0, FSMETA_FIELD_TARGET, 0, 0,
	    FSMETA_FIELD_RDEV, FSMETA_FIELD_RDEV};

	(void)state;
	for (unsigned i = 1; i <= FSMETA_TYPE_CHAR; i++) {
		uint32_t fields = fsmeta_fields_of_type((enum fsmeta_type)i);

		assert_int_equal(fields & special, expected[i]);
		assert_int_equal(fields | special, FSMETA_FIELDS_KNOWN);
	}
	assert_int_equal(fsmeta_fields_of_type((enum fsmeta_type)0), 0);
	assert_int_equal(fsmeta_fields_of_type((enum fsmeta_type)8), 0);
}

/* ---- differences ------------------------------------------------------ */

/** True where the values of one field differ; the naive reference. */
static bool values_differ(
    const struct fsmeta_entry *a, const struct fsmeta_entry *b, uint32_t field)
{
	switch (field) {
	case FSMETA_FIELD_SIZE:
		return a->size != b->size;
	case FSMETA_FIELD_MTIME:
		return fsmeta_time_compare(a->mtime, b->mtime) != 0;
	case FSMETA_FIELD_CTIME:
		return fsmeta_time_compare(a->ctime, b->ctime) != 0;
	case FSMETA_FIELD_BTIME:
		return fsmeta_time_compare(a->btime, b->btime) != 0;
	case FSMETA_FIELD_MODE:
		return a->mode != b->mode;
	case FSMETA_FIELD_UID:
		return a->uid != b->uid;
	case FSMETA_FIELD_GID:
		return a->gid != b->gid;
	case FSMETA_FIELD_DEVICE:
		return a->device != b->device;
	case FSMETA_FIELD_INODE:
		return a->inode != b->inode;
	case FSMETA_FIELD_NLINK:
		return a->nlink != b->nlink;
	case FSMETA_FIELD_ALLOCATED:
		return a->allocated != b->allocated;
	case FSMETA_FIELD_RDEV:
		return a->rdev_major != b->rdev_major || a->rdev_minor != b->rdev_minor;
	case FSMETA_FIELD_TARGET:
		return a->target_length != b->target_length ||
		       memcmp(a->target, b->target, a->target_length);
	case FSMETA_FIELD_HASH:
		return a->hash_algorithm != b->hash_algorithm ||
		       memcmp(a->hash, b->hash, fsmeta_hash_bytes(a->hash_algorithm));
	}
	fail();
	return false;
}

static uint32_t naive_differences(
    const struct fsmeta_entry *a, const struct fsmeta_entry *b, uint32_t mask)
{
	uint32_t result = 0;

	for (uint32_t field = 1; field <= FSMETA_FIELDS_KNOWN; field <<= 1) {
		bool in_a = a->fields & field, in_b = b->fields & field;

		if (!(mask & field))
			continue;
		if (in_a != in_b || (in_a && values_differ(a, b, field)))
			result |= field;
	}
	if ((mask & FSMETA_FIELD_FLAGS) && (a->flags != b->flags || a->error != b->error))
		result |= FSMETA_FIELD_FLAGS;
	return result;
}

/** Small numbers, so that equal and different both happen often. */
static uint32_t pick(unsigned *seed)
{
	return (uint32_t)rand_r(seed) % 2;
}

static struct fsmeta_entry random_entry(unsigned *seed)
{
	static const char *const targets[] = {"a", "b", "ab"};
	struct fsmeta_entry entry = {.path = "f", .path_length = 1, .type = FSMETA_TYPE_FILE};

	entry.fields = (uint32_t)rand_r(seed) & FSMETA_FIELDS_KNOWN;
	if (rand_r(seed) % 4)
		entry.fields = FSMETA_FIELDS_KNOWN;
	entry.flags = pick(seed);
	entry.error = (int)pick(seed);
	/* High bits, so that a comparison in too small a type shows. */
	entry.size = (uint64_t)pick(seed) << 40;
	entry.mtime = (struct fsmeta_time){(int64_t)pick(seed) << 40, pick(seed)};
	entry.ctime = (struct fsmeta_time){-(int64_t)pick(seed), pick(seed)};
	entry.btime = (struct fsmeta_time){(int64_t)pick(seed) << 62, pick(seed)};
	entry.mode = pick(seed);
	entry.uid = pick(seed) << 31;
	entry.gid = pick(seed) << 31;
	entry.device = pick(seed);
	entry.inode = (uint64_t)pick(seed) << 63;
	entry.nlink = (uint64_t)pick(seed) << 33;
	entry.allocated = (uint64_t)pick(seed) << 63;
	entry.rdev_major = pick(seed);
	entry.rdev_minor = pick(seed);
	entry.target = targets[rand_r(seed) % 3];
	entry.target_length = strlen(entry.target);
	entry.hash_algorithm = (enum fsmeta_hash_algorithm)(rand_r(seed) % 3);
	entry.hash[15] = (unsigned char)pick(seed);
	entry.hash[31] = (unsigned char)pick(seed);
	return entry;
}

static void differences_agree_with_a_naive_reference(void **state)
{
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 200000; round++) {
		struct fsmeta_entry a = random_entry(&seed);
		struct fsmeta_entry b = rand_r(&seed) % 4 ? random_entry(&seed) : a;
		uint32_t mask =
		    (uint32_t)rand_r(&seed) & (FSMETA_FIELDS_KNOWN | FSMETA_FIELD_FLAGS);

		a.id = 1;
		b.unknown_since = 3;
		assert_int_equal(fsmeta_entry_differences(&a, &b, mask, NULL, 0),
		    naive_differences(&a, &b, mask));
	}
}

/** One entry whose single field is changed, and nothing else, differs in that. */
static void each_field_is_seen_alone(void **state)
{
	const uint32_t everything = FSMETA_FIELDS_KNOWN | FSMETA_FIELD_FLAGS;
	struct fsmeta_entry a = {.path = "",
	    .type = FSMETA_TYPE_FILE,
	    .fields = FSMETA_FIELDS_KNOWN,
	    .target = "x",
	    .target_length = 1,
	    .hash_algorithm = FSMETA_HASH_SHA256};
	struct fsmeta_entry b = a;

	(void)state;
	assert_int_equal(fsmeta_entry_differences(&a, &b, everything, NULL, 0), 0);
	b.mtime.nanoseconds = 1;
	assert_int_equal(fsmeta_entry_differences(&a, &b, everything, NULL, 0), FSMETA_FIELD_MTIME);
	b = a;
	b.rdev_minor = 1;
	assert_int_equal(fsmeta_entry_differences(&a, &b, everything, NULL, 0), FSMETA_FIELD_RDEV);
	b = a;
	b.error = 13;
	assert_int_equal(fsmeta_entry_differences(&a, &b, everything, NULL, 0), FSMETA_FIELD_FLAGS);
	b = a;
	b.target = "y";
	assert_int_equal(
	    fsmeta_entry_differences(&a, &b, everything, NULL, 0), FSMETA_FIELD_TARGET);
	b = a;
	b.hash[31] = 1;
	assert_int_equal(fsmeta_entry_differences(&a, &b, everything, NULL, 0), FSMETA_FIELD_HASH);
	b = a;
	b.fields &= ~(uint32_t)FSMETA_FIELD_BTIME;
	assert_int_equal(fsmeta_entry_differences(&a, &b, everything, NULL, 0), FSMETA_FIELD_BTIME);
	assert_int_equal(
	    fsmeta_entry_differences(&a, &b, everything & ~(uint32_t)FSMETA_FIELD_BTIME, NULL, 0),
	    0);
}

static void devices_are_compared_through_the_map(void **state)
{
	static const uint32_t map[] = {1, UINT32_MAX, 0};
	struct fsmeta_entry a = {.path = "", .fields = FSMETA_FIELD_DEVICE};
	struct fsmeta_entry b = a;

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		for (uint32_t j = 0; j < 5; j++) {
			bool same = j < 3 && map[j] != UINT32_MAX && map[j] == i;

			a.device = i;
			b.device = j;
			assert_int_equal(
			    fsmeta_entry_differences(&a, &b, FSMETA_FIELD_DEVICE, map, 3),
			    same ? 0 : FSMETA_FIELD_DEVICE);
			assert_int_equal(
			    fsmeta_entry_differences(&a, &b, FSMETA_FIELD_DEVICE, NULL, 0),
			    i == j ? 0 : FSMETA_FIELD_DEVICE);
		}
	}
	/* Not even "no device" equals what is not in the other table. */
	a.device = FSMETA_DEVICE_NONE;
	b.device = 1;
	assert_int_equal(
	    fsmeta_entry_differences(&a, &b, FSMETA_FIELD_DEVICE, map, 3), FSMETA_FIELD_DEVICE);
	assert_int_equal(fsmeta_entry_differences(&a, &b, FSMETA_FIELD_SIZE, map, 3), 0);
}

static void absent_target_is_not_read(void **state)
{
	struct fsmeta_entry a = {.path = "", .fields = FSMETA_FIELD_TARGET};
	struct fsmeta_entry b = a;

	(void)state;
	assert_int_equal(fsmeta_entry_differences(&a, &b, FSMETA_FIELDS_KNOWN, NULL, 0), 0);
	b.fields = 0;
	assert_int_equal(
	    fsmeta_entry_differences(&a, &b, FSMETA_FIELDS_KNOWN, NULL, 0), FSMETA_FIELD_TARGET);
}

static void kinds_of_change_have_names(void **state)
{
	static const char *const names[] = {NULL, "added", "removed", "modified", "moved",
	    "corrupted", "unreadable", "unknown", NULL};

	(void)state;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *name = fsmeta_change_kind_name((enum fsmeta_change_kind)i);

		if (names[i])
			assert_string_equal(name, names[i]);
		else
			assert_null(name);
	}
}

static void a_change_is_named_by_its_newer_entry(void **state)
{
	struct fsmeta_entry before = {0}, after = {0};
	struct fsmeta_change change = {.before = &before};

	(void)state;
	assert_ptr_equal(fsmeta_change_entry(&change), &before);
	change.after = &after;
	assert_ptr_equal(fsmeta_change_entry(&change), &after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(types_have_names),
	    cmocka_unit_test(types_come_from_modes),
	    cmocka_unit_test(hash_algorithms_have_names_and_sizes),
	    cmocka_unit_test(fields_have_the_names_of_listings),
	    cmocka_unit_test(field_lists_are_parsed),
	    cmocka_unit_test(wrong_field_lists_are_named),
	    cmocka_unit_test(types_have_their_fields),
	    cmocka_unit_test(differences_agree_with_a_naive_reference),
	    cmocka_unit_test(each_field_is_seen_alone),
	    cmocka_unit_test(devices_are_compared_through_the_map),
	    cmocka_unit_test(absent_target_is_not_read),
	    cmocka_unit_test(kinds_of_change_have_names),
	    cmocka_unit_test(a_change_is_named_by_its_newer_entry),
	};

	return cmocka_run_group_tests_name("format/entry", tests, NULL, NULL);
}
