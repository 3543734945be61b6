/*
 * Deltas: random sections come back as they were written, from a file and through
 * a pipe, twice; and whatever is cut, flipped or against the rules is refused.
 */
#include "test_format_stream_io.h"

#include <zstd.h>

#include "format/delta.h"
#include "format/stream_record.h"

enum {
	SECTIONS = 3,
	FIRST_BASE = 41,
	/** More than a delta here unpacks to. */
	LARGEST_CONTENT = 1 << 20,
};

/** The changes of one section: of every entry of a tree at most one. */
struct changes {
	struct tree tree;
	struct fsmeta_delta_change *items;
	size_t count;
	struct fsmeta_delta_section section;
};

static struct fsmeta_digest digest_of(uint64_t number)
{
	return (struct fsmeta_digest){.low = number * 0x9E3779B97F4A7C15U, .high = ~number};
}

/** Which kind of change an entry becomes; 0 = none. */
static int choose_kind(struct tree *tree, const struct fsmeta_entry *entry)
{
	static const int kinds[] = {FSMETA_CHANGE_ADDED, FSMETA_CHANGE_MODIFIED,
	    FSMETA_CHANGE_CORRUPTED, FSMETA_CHANGE_MOVED, FSMETA_CHANGE_UNKNOWN,
	    FSMETA_CHANGE_UNREADABLE, FSMETA_CHANGE_REMOVED, 0};
	int kind = kinds[tree_random(tree) % (sizeof(kinds) / sizeof(kinds[0]))];

	/* What is below needs its folder named. */
	if (entry->type == FSMETA_TYPE_FOLDER && (!kind || kind == FSMETA_CHANGE_REMOVED))
		return FSMETA_DELTA_PARENT;
	if (!entry->depth && (kind == FSMETA_CHANGE_ADDED || kind == FSMETA_CHANGE_MOVED))
		return FSMETA_CHANGE_MODIFIED;
	return kind;
}

static void make_changes(struct changes *changes, uint64_t seed, uint64_t base)
{
	struct tree *tree = &changes->tree;

	*changes = (struct changes){0};
	tree_init(tree, seed, FSMETA_FIELDS_KNOWN);
	tree_make_random(tree, 300);
	tree->source.id_kind = FSMETA_IDS_STABLE;
	tree->source.generation = base + 1;
	tree->source.has_totals = true;
	tree->source.has_state_digest = true;
	tree->source.state_digest = digest_of(base + 1);
	changes->items = calloc(tree->count, sizeof(*changes->items));
	assert_non_null(changes->items);
	for (size_t i = 0; i < tree->count; i++) {
		struct fsmeta_entry *entry = &tree->entries[i];
		struct fsmeta_delta_change change = {.kind = choose_kind(tree, entry)};

		if (!change.kind)
			continue;
		entry->id = i + 1;
		change.entry = entry;
		entry->unknown_since = 0;
		if (change.kind == FSMETA_CHANGE_MOVED) {
			change.old_path = "somewhere/else";
			change.old_path_length = strlen(change.old_path);
		}
		if (change.kind == FSMETA_CHANGE_UNKNOWN ||
		    change.kind == FSMETA_CHANGE_UNREADABLE) {
			change.whole = entry->type != FSMETA_TYPE_FOLDER || tree_once_in(tree, 2);
			entry->unknown_since = 1 + tree_random(tree) % (base + 1);
		} else if (change.kind != FSMETA_CHANGE_ADDED &&
			   change.kind != FSMETA_CHANGE_REMOVED &&
			   change.kind != FSMETA_DELTA_PARENT) {
			change.differs = (uint32_t)tree_random(tree) & FSMETA_FIELDS_KNOWN;
		}
		changes->items[changes->count++] = change;
	}
	changes->section = (struct fsmeta_delta_section){
	    .base_generation = base,
	    .generation = base + 1,
	    .base_state_digest = digest_of(base),
	    .state_digest = digest_of(base + 1),
	    .compared_with = base,
	    .added = 3 * base,
	    .removed = 4,
	    .modified = seed,
	    .moved = 6,
	    .source = &tree->source,
	};
}

static void release_changes(struct changes *changes)
{
	free(changes->items);
	tree_release(&changes->tree);
}

static void write_section(struct fsmeta_delta_writer *writer, const struct changes *changes)
{
	struct fsmeta_error error = {0};

	io_assert_ok(fsmeta_delta_writer_begin_section(writer, &changes->section, &error), &error);
	for (size_t i = 0; i < changes->count; i++)
		io_assert_ok(fsmeta_delta_writer_add(writer, &changes->items[i], &error), &error);
	io_assert_ok(fsmeta_delta_writer_end_section(writer, &error), &error);
}

/** Replaces `out` by the delta of these sections. */
static void write_delta(struct fsmeta_buffer *out, const struct changes *changes, size_t count)
{
	int fd = memfd_create("delta", MFD_CLOEXEC);
	struct fsmeta_delta_summary summary;
	struct fsmeta_delta_writer *writer;
	struct fsmeta_error error = {0};
	size_t got;

	assert_true(fd >= 0);
	io_assert_ok(
	    fsmeta_delta_writer_new(&writer, fd, "memory", changes[0].section.base_generation,
		changes[count - 1].section.generation, &error),
	    &error);
	for (size_t i = 0; i < count; i++)
		write_section(writer, &changes[i]);
	io_assert_ok(fsmeta_delta_writer_finish(writer, &summary, &error), &error);
	fsmeta_delta_writer_free(writer);
	assert_int_equal(count, summary.sections);
	fsmeta_buffer_clear(out);
	assert_int_equal(0, fsmeta_buffer_reserve(out, summary.file_bytes + 1));
	io_assert_ok(
	    fsmeta_read_full_at(fd, out->data, summary.file_bytes + 1, 0, &got, "memory", &error),
	    &error);
	assert_int_equal(summary.file_bytes, got);
	out->length = got;
	close(fd);
}

static void assert_change_equal(
    const struct fsmeta_delta_change *expected, const struct fsmeta_delta_change *change)
{
	const struct fsmeta_entry *a = expected->entry, *b = change->entry;
	bool has_values =
	    change->kind != FSMETA_DELTA_PARENT && change->kind != FSMETA_CHANGE_REMOVED &&
	    change->kind != FSMETA_CHANGE_UNKNOWN && change->kind != FSMETA_CHANGE_UNREADABLE;

	assert_int_equal(expected->kind, change->kind);
	assert_int_equal(a->path_length, b->path_length);
	if (a->path_length)
		assert_memory_equal(a->path, b->path, a->path_length);
	assert_int_equal(a->name_length, b->name_length);
	assert_int_equal(a->depth, b->depth);
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->id, b->id);
	assert_int_equal(expected->differs, change->differs);
	assert_int_equal(expected->whole, change->whole);
	assert_int_equal(expected->old_path_length, change->old_path_length);
	assert_int_equal(a->unknown_since, b->unknown_since);
	if (!has_values)
		return;
	assert_int_equal(a->fields, b->fields);
	assert_int_equal(a->error, b->error);
	assert_int_equal(
	    0, fsmeta_entry_differences(a, b, FSMETA_FIELDS_KNOWN | FSMETA_FIELD_FLAGS, NULL, 0));
}

/** All of it, although a section says less. */
static void assert_source_equal(
    const struct fsmeta_batch_source *a, const struct fsmeta_batch_source *b)
{
	struct fsmeta_buffer a_json = {0}, b_json = {0};
	struct fsmeta_error error = {0};

	io_assert_ok(fsmeta_batch_source_to_json(&a_json, a, &error), &error);
	io_assert_ok(fsmeta_batch_source_to_json(&b_json, b, &error), &error);
	assert_string_equal(fsmeta_buffer_string(&a_json), fsmeta_buffer_string(&b_json));
	fsmeta_buffer_release(&a_json);
	fsmeta_buffer_release(&b_json);
}

static void assert_yields(struct fsmeta_delta *delta, const struct changes *changes, size_t count)
{
	const struct fsmeta_delta_section *section;
	const struct fsmeta_delta_change *change;
	struct fsmeta_error error = {0};
	int code;

	for (size_t i = 0; i < count; i++) {
		const struct fsmeta_delta_section *expected = &changes[i].section;

		code = fsmeta_delta_next_section(delta, &section, &error);
		io_assert_ok(code, &error);
		assert_int_equal(1, code);
		assert_int_equal(expected->base_generation, section->base_generation);
		assert_int_equal(expected->generation, section->generation);
		assert_int_equal(expected->compared_with, section->compared_with);
		assert_int_equal(expected->added, section->added);
		assert_int_equal(expected->removed, section->removed);
		assert_int_equal(expected->modified, section->modified);
		assert_int_equal(expected->moved, section->moved);
		assert_int_equal(changes[i].count, section->changes);
		assert_source_equal(&changes[i].tree.source, section->source);
		for (size_t k = 0; k < changes[i].count; k++) {
			code = fsmeta_delta_next_change(delta, &change, &error);
			io_assert_ok(code, &error);
			assert_int_equal(1, code);
			assert_change_equal(&changes[i].items[k], change);
		}
		assert_int_equal(0, fsmeta_delta_next_change(delta, &change, &error));
	}
	assert_int_equal(0, fsmeta_delta_next_section(delta, &section, &error));
	assert_int_equal(0, fsmeta_delta_next_section(delta, &section, &error));
}

static int open_bytes(struct fsmeta_delta **delta, const struct fsmeta_buffer *bytes, size_t size,
    struct fsmeta_error *error)
{
	struct fsmeta_cursor *tree;
	int code =
	    fsmeta_stream_open_either(&tree, delta, io_file(bytes->data, size), "memory", error);

	assert_null(tree);
	return code;
}

static void random_sections_come_back(void **state)
{
	struct fsmeta_buffer bytes = {0};

	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct changes changes[SECTIONS];
		struct fsmeta_error error = {0};
		struct fsmeta_cursor *tree;
		struct fsmeta_delta *delta;
		pid_t child;
		int fd;

		for (uint64_t i = 0; i < SECTIONS; i++)
			make_changes(&changes[i], seed * SECTIONS + i, FIRST_BASE + i);
		write_delta(&bytes, changes, SECTIONS);

		io_assert_ok(open_bytes(&delta, &bytes, bytes.length, &error), &error);
		assert_yields(delta, changes, SECTIONS);
		fsmeta_delta_rewind(delta);
		assert_yields(delta, changes, SECTIONS);
		assert_int_equal(FIRST_BASE, fsmeta_delta_get_facts(delta).base_generation);
		assert_int_equal(FIRST_BASE + SECTIONS, fsmeta_delta_get_facts(delta).generation);
		fsmeta_delta_close(delta);

		fd = io_pipe(&child, bytes.data, bytes.length);
		io_assert_ok(fsmeta_stream_open_either(&tree, &delta, fd, "pipe", &error), &error);
		assert_null(tree);
		assert_yields(delta, changes, SECTIONS);
		fsmeta_delta_close(delta);
		io_wait(child);
		for (size_t i = 0; i < SECTIONS; i++)
			release_changes(&changes[i]);
	}
	fsmeta_buffer_release(&bytes);
}

/** What zstd itself makes of BYTES, frame after frame: nothing if it refuses them. */
static void decompress(struct fsmeta_buffer *out, const struct fsmeta_buffer *bytes)
{
	size_t size;

	fsmeta_buffer_clear(out);
	assert_int_equal(0, fsmeta_buffer_reserve(out, LARGEST_CONTENT));
	size = ZSTD_decompress(out->data, LARGEST_CONTENT, bytes->data, bytes->length);
	out->length = ZSTD_isError(size) ? 0 : size;
}

static void damage_is_refused(void **state)
{
	struct fsmeta_buffer bytes = {0}, content = {0}, damaged = {0};
	struct fsmeta_delta *delta;
	struct changes changes;

	(void)state;
	make_changes(&changes, 7, FIRST_BASE);
	write_delta(&bytes, &changes, 1);
	decompress(&content, &bytes);
	assert_true(content.length > 0);
	for (size_t size = 0; size < bytes.length; size++) {
		struct fsmeta_error error = {0};

		assert_true(open_bytes(&delta, &bytes, size, &error) < 0);
		assert_null(delta);
		assert_true(error.reason[0] && error.path[0]);
	}
	for (size_t i = 0; i < bytes.length; i++) {
		struct fsmeta_error error = {0};

		bytes.data[i] ^= (unsigned char)(1 << i % 8);
		if (open_bytes(&delta, &bytes, bytes.length, &error) == 0) {
			/* A bit that says nothing: to zstd just as little as to us. */
			decompress(&damaged, &bytes);
			assert_int_equal(content.length, damaged.length);
			assert_memory_equal(content.data, damaged.data, content.length);
			assert_yields(delta, &changes, 1);
			fsmeta_delta_close(delta);
		}
		bytes.data[i] ^= (unsigned char)(1 << i % 8);
	}
	release_changes(&changes);
	fsmeta_buffer_release(&bytes);
	fsmeta_buffer_release(&content);
	fsmeta_buffer_release(&damaged);
}

/** A tree is no delta, and the other way round. */
static void trees_and_deltas_are_told_apart(void **state)
{
	struct fsmeta_buffer bytes = {0};
	struct fsmeta_error error = {0};
	struct fsmeta_cursor *cursor;
	struct fsmeta_delta *delta;
	struct changes changes;
	struct tree tree;

	(void)state;
	make_changes(&changes, 7, FIRST_BASE);
	write_delta(&bytes, &changes, 1);
	assert_int_equal(FSMETA_E_REFUSED,
	    fsmeta_stream_open_fd(&cursor, io_file(bytes.data, bytes.length), "memory", &error));
	assert_non_null(strstr(error.reason, "it is a delta"));
	release_changes(&changes);

	tree_init(&tree, 1, FSMETA_FIELDS_CORE);
	tree_make_random(&tree, 50);
	io_write(&bytes, &tree);
	io_assert_ok(fsmeta_stream_open_either(
			 &cursor, &delta, io_file(bytes.data, bytes.length), "memory", &error),
	    &error);
	assert_null(delta);
	io_assert_yields(cursor, &tree);
	fsmeta_cursor_close(cursor);
	tree_release(&tree);
	fsmeta_buffer_release(&bytes);
}

/* ---- what breaks the rules ------------------------------------------------ */

/** A section of few changes, which a test breaks in one way. */
struct small {
	struct tree tree;
	struct fsmeta_entry entries[3];
	struct changes changes;
	struct fsmeta_delta_change items[3];
};

static void make_small(struct small *small)
{
	static const char *const paths[] = {"", "a", "a/b"};

	make_changes(&small->changes, 7, FIRST_BASE);
	free(small->changes.items);
	small->changes.items = small->items;
	small->changes.count = 3;
	for (size_t i = 0; i < 3; i++) {
		struct fsmeta_entry *entry = &small->entries[i];

		*entry = (struct fsmeta_entry){.path = paths[i],
		    .path_length = strlen(paths[i]),
		    .type = i < 2 ? FSMETA_TYPE_FOLDER : FSMETA_TYPE_FILE,
		    .id = i + 1};
		small->items[i] = (struct fsmeta_delta_change){
		    .kind = i < 2 ? FSMETA_DELTA_PARENT : FSMETA_CHANGE_ADDED, .entry = entry};
	}
}

/** Writes it as it is now and expects this reason, NULL = none. */
static void expect(struct small *small, const char *reason)
{
	struct fsmeta_buffer bytes = {0};
	struct fsmeta_error error = {0};
	struct fsmeta_delta *delta;
	int code;

	write_delta(&bytes, &small->changes, 1);
	code = open_bytes(&delta, &bytes, bytes.length, &error);
	if (reason) {
		assert_int_equal(FSMETA_E_CORRUPT, code);
		assert_non_null(strstr(error.reason, reason));
	} else {
		io_assert_ok(code, &error);
	}
	fsmeta_delta_close(delta);
	fsmeta_buffer_release(&bytes);
	tree_release(&small->changes.tree);
	make_small(small);
}

static void broken_rules_are_refused(void **state)
{
	struct small small;

	(void)state;
	make_small(&small);
	expect(&small, NULL);
	small.entries[2].id = 0;
	expect(&small, "a change has no id");
	small.entries[2].type = 9;
	expect(&small, "type is not known");
	small.entries[2].fields = FSMETA_FIELD_TARGET;
	small.entries[2].target = "x";
	small.entries[2].target_length = 1;
	expect(&small, "fields that it cannot have");
	small.entries[2].fields = FSMETA_FIELD_MODE;
	small.entries[2].mode = 010000;
	expect(&small, "mode is out of range");
	small.entries[2].fields = FSMETA_FIELD_DEVICE;
	small.entries[2].device = 17;
	expect(&small, "file system is not in the table");
	small.entries[2].flags = 1 << 9;
	expect(&small, "unknown flags");
	small.entries[2].error = FSMETA_ERRNO_MAX + 1;
	expect(&small, "errno is out of range");
	small.items[2].kind = 9;
	expect(&small, "unknown kind");
	small.items[1].kind = FSMETA_CHANGE_REMOVED;
	expect(&small, "a folder above a change was not named");
	small.items[0].kind = FSMETA_CHANGE_ADDED;
	expect(&small, "the root arrives");
	small.items[0].kind = FSMETA_CHANGE_REMOVED;
	expect(&small, "the root is removed");
	small.items[2].kind = FSMETA_CHANGE_UNKNOWN;
	small.items[2].whole = true;
	expect(&small, "unknown since no generation");
	small.entries[2].unknown_since = FIRST_BASE + 2;
	small.items[2].kind = FSMETA_CHANGE_UNKNOWN;
	small.items[2].whole = true;
	expect(&small, "unknown since no generation");
	small.entries[2].path = "a/../b";
	small.entries[2].path_length = 6;
	expect(&small, "a path is not valid");
	small.items[2].kind = FSMETA_CHANGE_MOVED;
	small.items[2].old_path = "a//b";
	small.items[2].old_path_length = 4;
	expect(&small, "older path of a move");
	small.changes.section.base_generation = FIRST_BASE + 1;
	expect(&small, "does not lead from a generation to a later one");
	small.changes.section.state_digest = digest_of(5);
	expect(&small, "another state digest");
	small.changes.tree.source.generation = 5;
	expect(&small, "another generation");
	tree_release(&small.changes.tree);
}

/** The writer takes nothing out of order. */
static void order_is_kept_by_the_writer(void **state)
{
	struct fsmeta_delta_writer *writer;
	struct fsmeta_error error = {0};
	int fd = memfd_create("delta", MFD_CLOEXEC);
	struct small small;

	(void)state;
	make_small(&small);
	io_assert_ok(
	    fsmeta_delta_writer_new(&writer, fd, "memory", FIRST_BASE, FIRST_BASE + 1, &error),
	    &error);
	assert_int_equal(
	    FSMETA_E_INTERNAL, fsmeta_delta_writer_add(writer, &small.items[0], &error));
	io_assert_ok(
	    fsmeta_delta_writer_begin_section(writer, &small.changes.section, &error), &error);
	io_assert_ok(fsmeta_delta_writer_add(writer, &small.items[2], &error), &error);
	assert_int_equal(
	    FSMETA_E_INTERNAL, fsmeta_delta_writer_add(writer, &small.items[2], &error));
	assert_int_equal(
	    FSMETA_E_INTERNAL, fsmeta_delta_writer_add(writer, &small.items[1], &error));
	assert_int_equal(FSMETA_E_INTERNAL, fsmeta_delta_writer_finish(writer, NULL, &error));
	fsmeta_delta_writer_free(writer);
	tree_release(&small.changes.tree);
	close(fd);
}

/** Two sections that do not join, by number or by digest. */
static void sections_must_join(void **state)
{
	struct fsmeta_buffer bytes = {0};
	struct fsmeta_delta *delta;
	struct changes changes[2];

	(void)state;
	for (int broken = 0; broken < 2; broken++) {
		struct fsmeta_error error = {0};

		make_changes(&changes[0], 1, FIRST_BASE);
		make_changes(&changes[1], 2, FIRST_BASE + 1 + (uint64_t)!broken);
		if (broken)
			changes[1].section.base_state_digest = digest_of(5);
		write_delta(&bytes, changes, 2);
		assert_int_equal(
		    FSMETA_E_CORRUPT, open_bytes(&delta, &bytes, bytes.length, &error));
		assert_non_null(strstr(error.reason, "does not start where the one before ends"));
		release_changes(&changes[0]);
		release_changes(&changes[1]);
	}
	fsmeta_buffer_release(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(random_sections_come_back),
	    cmocka_unit_test(damage_is_refused),
	    cmocka_unit_test(trees_and_deltas_are_told_apart),
	    cmocka_unit_test(broken_rules_are_refused),
	    cmocka_unit_test(order_is_kept_by_the_writer),
	    cmocka_unit_test(sections_must_join),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
