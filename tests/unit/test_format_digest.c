/*
 * The state digest: the vectors of docs/state-digest.md, byte by byte; what must
 * and what must not change a term; arithmetic and text.
 */
#include "format/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UUID "3f0c8a1e-2b64-4d0f-9a57-0c1d2e3f4a5b"

/** A source with the file systems of the vectors. */
static struct fsmeta_filesystem vector_filesystems[] = {
    {.uuid = UUID, .type = "ext4", .label = "ARCHIVE"},
    {.uuid = "", .type = "tmpfs", .label = "scratch"},
};
static const struct fsmeta_batch_source vector_source = {
    .filesystems = vector_filesystems, .filesystem_count = 2};

#define PATH(text) .path = text, .path_length = sizeof(text) - 1

/** An entry of docs/state-digest.md, with the bytes and the term that stand there. */
struct vector {
	struct fsmeta_entry entry;
	uint32_t mask;
	const char *bytes;
	const char *term;
};

static const struct vector vectors[] = {
    {
	.entry = {PATH(""), .type = FSMETA_TYPE_FOLDER},
	.mask = 0,
	.bytes = "00000000020000000000000000000000",
	.term = "8892ef2dedd24b33150eb08c7de07a25",
    },
    {
	.entry = {PATH("cam1/1700000000_video.rf1p"), .type = FSMETA_TYPE_FILE,
	    .fields = FSMETA_FIELD_SIZE | FSMETA_FIELD_MTIME | FSMETA_FIELD_MODE |
		      FSMETA_FIELD_UID | FSMETA_FIELD_GID,
	    .size = 1048576, .mtime = {1700000000, 1}, .mode = 0644, .uid = 1000, .gid = 100},
	.mask = FSMETA_FIELDS_CORE,
	.bytes = "7300000001000000000000001a00000063616d312f313730303030303030305f"
		 "766964656f2e72663170000010000000000000f153650000000001000000a401"
		 "0000e803000064000000",
	.term = "e404926a756b73ca1d950d3cd0776f5e",
    },
    {
	.entry = {PATH("a/\xff"), .type = FSMETA_TYPE_FILE,
	    .fields = FSMETA_FIELDS_KNOWN & ~(uint32_t)FSMETA_FIELD_TARGET,
	    .size = UINT64_C(1) << 63, .mtime = {-1, 500000000}, .ctime = {1700000000, 999999999},
	    .mode = 04755, .gid = UINT32_MAX, .device = 0, .inode = UINT64_MAX, .nlink = 2,
	    .allocated = 4096, .rdev_major = 8, .rdev_minor = 17,
	    .hash_algorithm = FSMETA_HASH_XXH3,
	    .hash = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
	.mask = FSMETA_FIELDS_KNOWN,
	.bytes = "ff270000010000000000000003000000612fff0000000000000080ffffffffff"
		 "ffffff0065cd1d00f1536500000000ffc99a3b000000000000000000000000ed"
		 "09000000000000ffffffff2400000033663063386131652d326236342d346430"
		 "662d396135372d306331643265336634613562040000006578743400000000ff"
		 "ffffffffffffff02000000000000000010000000000000010001020304050607"
		 "08090a0b0c0d0e0f",
	.term = "295b99dba93cf6a84ec34441269d26a4",
    },
    {
	.entry = {PATH("latest"), .type = FSMETA_TYPE_SYMLINK,
	    .fields =
		FSMETA_FIELD_SIZE | FSMETA_FIELD_MODE | FSMETA_FIELD_DEVICE | FSMETA_FIELD_TARGET,
	    .size = 4, .mode = 0777, .device = 1, .target = "cam1", .target_length = 4},
	.mask = FSMETA_FIELDS_KNOWN,
	.bytes = "911000000300000000000000060000006c61746573740400000000000000ff01"
		 "00000000000005000000746d7066730700000073637261746368040000006361"
		 "6d31",
	.term = "65a50482409f65376ed1636fdabe2476",
    },
    {
	.entry = {PATH("cam2"), .type = FSMETA_TYPE_FOLDER,
	    .fields = FSMETA_FIELD_MTIME | FSMETA_FIELD_MODE | FSMETA_FIELD_UID | FSMETA_FIELD_GID,
	    .flags = FSMETA_FLAG_UNREADABLE, .error = 13, .mtime = {1700000000, 0}},
	.mask = FSMETA_FIELDS_CORE,
	.bytes = "7200000002000d00010000000400000063616d3200f153650000000000000000"
		 "000000000000000000000000",
	.term = "ab44310fa920f148f4b4a92edf96eb01",
    },
    {
	.entry = {PATH("dev/sda1"), .type = FSMETA_TYPE_BLOCK,
	    .fields = FSMETA_FIELD_MODE | FSMETA_FIELD_UID | FSMETA_FIELD_GID | FSMETA_FIELD_RDEV,
	    .mode = 0660, .gid = 6, .rdev_major = 8, .rdev_minor = 1},
	.mask = FSMETA_FIELDS_CORE,
	.bytes = "700800000600000000000000080000006465762f73646131b001000000000000"
		 "060000000800000001000000",
	.term = "3d5925547d2287a05cd2d55f49c4b129",
    },
};

enum {
	VECTOR_COUNT = sizeof(vectors) / sizeof(vectors[0]),
};

/** The state of all six with the core mask. */
#define VECTOR_STATE "64799b9078e3665a58ae828915a4d0a2"

static struct fsmeta_digest term_of(
    const struct fsmeta_entry *entry, uint32_t mask, const struct fsmeta_batch_source *source)
{
	struct fsmeta_buffer scratch = {0};
	struct fsmeta_digest digest;

	assert_int_equal(fsmeta_entry_digest(&digest, entry, mask, source, &scratch), 0);
	fsmeta_buffer_release(&scratch);
	return digest;
}

static void assert_digest_text(struct fsmeta_digest digest, const char *expected)
{
	char text[FSMETA_DIGEST_TEXT_BYTES];

	fsmeta_digest_format(text, digest);
	assert_string_equal(text, expected);
}

static void documented_vectors_hold(void **state)
{
	struct fsmeta_buffer scratch = {0}, hex = {0};

	(void)state;
	for (size_t i = 0; i < VECTOR_COUNT; i++) {
		struct fsmeta_digest digest;

		assert_int_equal(fsmeta_entry_digest(&digest, &vectors[i].entry, vectors[i].mask,
				     &vector_source, &scratch),
		    0);
		fsmeta_buffer_clear(&hex);
		assert_int_equal(fsmeta_text_append_hex(&hex, scratch.data, scratch.length), 0);
		assert_string_equal(fsmeta_buffer_string(&hex), vectors[i].bytes);
		assert_digest_text(digest, vectors[i].term);
	}
	fsmeta_buffer_release(&hex);
	fsmeta_buffer_release(&scratch);
}

static void documented_state_holds_in_any_order(void **state)
{
	struct fsmeta_digest forward = {0}, backward = {0}, term;

	(void)state;
	for (size_t i = 0; i < VECTOR_COUNT; i++) {
		fsmeta_digest_add(
		    &forward, term_of(&vectors[i].entry, FSMETA_FIELDS_CORE, &vector_source));
		fsmeta_digest_add(&backward, term_of(&vectors[VECTOR_COUNT - 1 - i].entry,
						 FSMETA_FIELDS_CORE, &vector_source));
	}
	assert_digest_text(forward, VECTOR_STATE);
	assert_true(fsmeta_digest_equal(forward, backward));
	/* A detour over an entry that comes and goes again leads to the same state. */
	term = term_of(&vectors[2].entry, FSMETA_FIELDS_KNOWN, &vector_source);
	fsmeta_digest_add(&forward, term);
	assert_false(fsmeta_digest_equal(forward, backward));
	fsmeta_digest_subtract(&forward, term);
	assert_true(fsmeta_digest_equal(forward, backward));
}

/** A file that has every field a file can have. */
static struct fsmeta_entry full_entry(void)
{
	struct fsmeta_entry entry = vectors[2].entry;

	entry.btime = (struct fsmeta_time){5, 6};
	return entry;
}

static void ids_indices_and_masked_values_do_not_enter(void **state)
{
	struct fsmeta_filesystem turned[] = {vector_filesystems[1], vector_filesystems[0]};
	struct fsmeta_batch_source other = {.filesystems = turned, .filesystem_count = 2};
	struct fsmeta_entry entry = full_entry();
	struct fsmeta_digest whole = term_of(&entry, FSMETA_FIELDS_KNOWN, &vector_source);
	struct fsmeta_digest core = term_of(&entry, FSMETA_FIELDS_CORE, &vector_source);

	(void)state;
	entry.id = 99;
	entry.unknown_since = 3;
	entry.device = 1;
	turned[1].label = "RENAMED";
	assert_true(fsmeta_digest_equal(term_of(&entry, FSMETA_FIELDS_KNOWN, &other), whole));
	entry.inode++;
	assert_true(fsmeta_digest_equal(term_of(&entry, FSMETA_FIELDS_CORE, &other), core));
	assert_false(fsmeta_digest_equal(term_of(&entry, FSMETA_FIELDS_KNOWN, &other), whole));
}

static void every_field_enters(void **state)
{
	const struct fsmeta_entry original = full_entry();
	const struct fsmeta_digest whole = term_of(&original, FSMETA_FIELDS_KNOWN, &vector_source);
	struct fsmeta_entry changed[32];
	size_t count = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(changed) / sizeof(changed[0]); i++)
		changed[i] = original;
	changed[count++].path = "b/\xff";
	changed[count++].path_length--;
	changed[count++].flags = FSMETA_FLAG_CHANGED_WHILE_READ;
	changed[count++].error = 1;
	changed[count++].size++;
	changed[count++].mtime.seconds++;
	changed[count++].mtime.nanoseconds++;
	changed[count++].ctime.nanoseconds--;
	changed[count++].btime.seconds--;
	changed[count++].mode ^= 1;
	changed[count++].uid++;
	changed[count++].gid--;
	changed[count++].device = 1;
	changed[count++].inode--;
	changed[count++].nlink++;
	changed[count++].allocated++;
	changed[count++].hash[15]++;
	changed[count++].hash_algorithm = FSMETA_HASH_SHA256;
	changed[count++].fields &= ~(uint32_t)FSMETA_FIELD_BTIME;
	for (size_t i = 0; i < count; i++)
		assert_false(fsmeta_digest_equal(
		    term_of(&changed[i], FSMETA_FIELDS_KNOWN, &vector_source), whole));
}

static void file_systems_without_uuid_differ_by_label(void **state)
{
	struct fsmeta_filesystem table[] = {
	    {.uuid = "", .type = "vfat", .label = "A"}, {.uuid = "", .type = "vfat", .label = "B"}};
	struct fsmeta_batch_source source = {.filesystems = table, .filesystem_count = 2};
	struct fsmeta_entry entry = {
	    PATH("x"), .type = FSMETA_TYPE_FILE, .fields = FSMETA_FIELD_DEVICE};
	struct fsmeta_digest first = term_of(&entry, FSMETA_FIELDS_ALL, &source);

	(void)state;
	entry.device = 1;
	assert_false(fsmeta_digest_equal(term_of(&entry, FSMETA_FIELDS_ALL, &source), first));
	table[1].label = "A";
	assert_true(fsmeta_digest_equal(term_of(&entry, FSMETA_FIELDS_ALL, &source), first));
	/* Beyond the table: defined, and like nothing that is in it. */
	entry.device = 2;
	assert_false(fsmeta_digest_equal(term_of(&entry, FSMETA_FIELDS_ALL, &source), first));
	entry.device = FSMETA_DEVICE_NONE;
	assert_false(fsmeta_digest_equal(term_of(&entry, FSMETA_FIELDS_ALL, &source), first));
}

static void long_paths_and_targets_fit(void **state)
{
	struct fsmeta_buffer scratch = {0};
	struct fsmeta_entry entry = {.type = FSMETA_TYPE_SYMLINK, .fields = FSMETA_FIELD_TARGET};
	size_t length = 1 << 20;
	char *text = malloc(length);
	struct fsmeta_digest digest;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', length);
	entry.path = entry.target = text;
	for (size_t taken = 1; taken <= length; taken *= 4) {
		entry.path_length = taken;
		entry.target_length = length - taken;
		assert_int_equal(fsmeta_entry_digest(
				     &digest, &entry, FSMETA_FIELDS_CORE, &vector_source, &scratch),
		    0);
		assert_int_equal(scratch.length, 16 + 4 + length);
	}
	free(text);
	fsmeta_buffer_release(&scratch);
}

static void arithmetic_carries(void **state)
{
	struct fsmeta_digest sum = {.low = UINT64_MAX, .high = UINT64_MAX};

	(void)state;
	fsmeta_digest_add(&sum, (struct fsmeta_digest){.low = 1});
	assert_true(fsmeta_digest_equal(sum, (struct fsmeta_digest){0}));
	fsmeta_digest_subtract(&sum, (struct fsmeta_digest){.low = 1});
	assert_digest_text(sum, "ffffffffffffffffffffffffffffffff");
	sum = (struct fsmeta_digest){.low = UINT64_MAX, .high = 7};
	fsmeta_digest_add(&sum, (struct fsmeta_digest){.low = 2, .high = 1});
	assert_digest_text(sum, "00000000000000090000000000000001");
	fsmeta_digest_subtract(&sum, (struct fsmeta_digest){.low = 2, .high = 1});
	assert_digest_text(sum, "0000000000000007ffffffffffffffff");
}

static void text_goes_both_ways(void **state)
{
	struct fsmeta_digest digest = {.low = 1, .high = 2}, kept = digest;

	(void)state;
	assert_true(fsmeta_digest_parse(&digest, "0123456789abcdefFEDCBA9876543210"));
	assert_int_equal(digest.high, UINT64_C(0x0123456789abcdef));
	assert_int_equal(digest.low, UINT64_C(0xfedcba9876543210));
	assert_digest_text(digest, "0123456789abcdeffedcba9876543210");
	digest = kept;
	assert_false(fsmeta_digest_parse(&digest, ""));
	assert_false(fsmeta_digest_parse(&digest, "0123456789abcdeffedcba987654321"));
	assert_false(fsmeta_digest_parse(&digest, "0123456789abcdeffedcba98765432100"));
	assert_false(fsmeta_digest_parse(&digest, "0123456789abcdefgedcba9876543210"));
	assert_true(fsmeta_digest_equal(digest, kept));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(documented_vectors_hold),
	    cmocka_unit_test(documented_state_holds_in_any_order),
	    cmocka_unit_test(ids_indices_and_masked_values_do_not_enter),
	    cmocka_unit_test(every_field_enters),
	    cmocka_unit_test(file_systems_without_uuid_differ_by_label),
	    cmocka_unit_test(long_paths_and_targets_fit),
	    cmocka_unit_test(arithmetic_carries),
	    cmocka_unit_test(text_goes_both_ways),
	};

	return cmocka_run_group_tests_name("format/digest", tests, NULL, NULL);
}
