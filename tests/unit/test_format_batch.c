/*
 * Batches by themselves: what is left out, that the bytes depend on the entries
 * alone, and that each kind of damage in the columns is found (the digests that
 * guard a stream are not in the way here).
 */
#include "test_format_stream_tree.h"

#include "format/batch.h"
#include "format/fsscan.pb-c.h"

/** Appends the batch of entries first to first + count. */
static void build(struct fsmeta_buffer *out, const struct tree *tree, size_t first, size_t count)
{
	struct fsmeta_batch_builder *builder;
	struct fsmeta_error error = {0};

	assert_int_equal(0, fsmeta_batch_builder_new(&builder, &tree->source, &error));
	for (size_t i = first; i < first + count; i++)
		assert_int_equal(0, fsmeta_batch_builder_add(builder, &tree->entries[i], &error));
	fsmeta_buffer_clear(out);
	assert_int_equal(0, fsmeta_batch_builder_pack(builder, out, &error));
	fsmeta_batch_builder_free(builder);
}

/** A root, folders and files, two links, a device; all fields. */
static void make_tree(struct tree *tree)
{
	static const struct {
		const char *path;
		enum fsmeta_type type;
	} entries[] = {
	    {"", FSMETA_TYPE_FOLDER},
	    {"a", FSMETA_TYPE_FOLDER},
	    {"a/x", FSMETA_TYPE_FILE},
	    {"a/y", FSMETA_TYPE_SYMLINK},
	    {"b", FSMETA_TYPE_SYMLINK},
	    {"c", FSMETA_TYPE_CHAR},
	    {"d", FSMETA_TYPE_FILE},
	};

	tree_init(tree, 4, FSMETA_FIELDS_KNOWN);
	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		struct fsmeta_entry *entry =
		    tree_append(tree, entries[i].path, strlen(entries[i].path), entries[i].type);

		do {
			*entry = (struct fsmeta_entry){.path = entry->path,
			    .path_length = entry->path_length,
			    .name = entry->name,
			    .name_length = entry->name_length,
			    .depth = entry->depth,
			    .type = entry->type,
			    .device = FSMETA_DEVICE_NONE};
			tree_fill(tree, entry);
		} while (entry->fields !=
			     (tree->source.field_mask & fsmeta_fields_of_type(entry->type)) ||
			 (entry->type == FSMETA_TYPE_SYMLINK && !entry->target_length));
		entry->flags = i % 2 ? FSMETA_FLAG_UNREADABLE : 0;
		entry->error = i % 2 ? 5 : 0;
		entry->unknown_since = i % 3 ? 0 : 9;
	}
	tree->entries[6].fields &= ~(uint32_t)FSMETA_FIELD_SIZE;
	tree->entries[6].size = 0;
}

/** Reads a batch that may begin anywhere; the first code that is not 1. */
static int read_all(const struct fsmeta_buffer *bytes, struct fsmeta_batch_source *source,
    const struct fsmeta_entry *expected, struct fsmeta_error *error)
{
	struct fsmeta_batch_reader *reader;
	const struct fsmeta_entry *entry;
	size_t count = 0;
	int code;

	assert_int_equal(0,
	    fsmeta_batch_reader_new(&reader, source, source->field_mask, source->id_kind, false));
	code = fsmeta_batch_reader_load(reader, bytes->data, bytes->length, 1, error);
	if (!code && fsmeta_batch_reader_next_depth(reader) > 0) {
		fsmeta_batch_reader_detach(reader);
		code = fsmeta_batch_reader_load(reader, bytes->data, bytes->length, 1, error);
	}
	while (!code && (code = fsmeta_batch_reader_next(reader, &entry, error)) > 0) {
		if (expected)
			tree_assert_equal(entry, &expected[count], false);
		count++;
		code = 0;
		if (fsmeta_batch_reader_left(reader) == 0) {
			code = fsmeta_batch_reader_next(reader, &entry, error);
			break;
		}
	}
	fsmeta_batch_reader_free(reader);
	return code;
}

static void a_batch_can_begin_anywhere(void **state)
{
	struct fsmeta_buffer bytes = {0};
	struct fsmeta_error error = {0};
	struct tree tree;

	(void)state;
	make_tree(&tree);
	for (size_t first = 0; first < tree.count; first++) {
		for (size_t count = 1; first + count <= tree.count; count++) {
			build(&bytes, &tree, first, count);
			assert_int_equal(
			    0, read_all(&bytes, &tree.source, &tree.entries[first], &error));
		}
	}
	fsmeta_buffer_release(&bytes);
	tree_release(&tree);
}

/** A builder that was used before gives the same bytes as a new one. */
static void the_bytes_depend_on_the_entries_alone(void **state)
{
	struct fsmeta_buffer alone = {0}, later = {0};
	struct fsmeta_batch_builder *builder;
	struct fsmeta_error error = {0};
	struct tree tree;

	(void)state;
	tree_init(&tree, 11, FSMETA_FIELDS_KNOWN);
	tree.source.id_kind = FSMETA_IDS_STABLE;
	tree_make_random(&tree, 900);
	assert_int_equal(0, fsmeta_batch_builder_new(&builder, &tree.source, &error));
	for (size_t first = 0; first + 100 < tree.count; first += 100) {
		build(&alone, &tree, first, 100);
		for (size_t i = first; i < first + 100; i++)
			assert_int_equal(
			    0, fsmeta_batch_builder_add(builder, &tree.entries[i], &error));
		assert_int_equal(100, fsmeta_batch_builder_count(builder));
		fsmeta_buffer_clear(&later);
		assert_int_equal(0, fsmeta_batch_builder_pack(builder, &later, &error));
		fsmeta_batch_builder_clear(builder);
		assert_int_equal(alone.length, later.length);
		assert_memory_equal(alone.data, later.data, alone.length);
	}
	fsmeta_batch_builder_free(builder);
	fsmeta_buffer_release(&alone);
	fsmeta_buffer_release(&later);
	tree_release(&tree);
}

static void columns_of_defaults_are_left_out(void **state)
{
	struct fsmeta_buffer bytes = {0};
	Fsmeta__V1__Batch *message;
	struct tree tree;
	char name[8];

	(void)state;
	tree_init(&tree, 1, FSMETA_FIELDS_ALL);
	for (unsigned i = 0; i < 100; i++) {
		size_t length = (size_t)snprintf(name, sizeof(name), "f/%03u", i);
		struct fsmeta_entry *entry = tree_append(&tree, name, length, FSMETA_TYPE_FILE);

		entry->fields = FSMETA_FIELDS_ALL & fsmeta_fields_of_type(FSMETA_TYPE_FILE);
		entry->device = 0;
		entry->nlink = 1;
		entry->size = 4096;
		entry->allocated = 4096;
		entry->inode = 5;
		entry->mtime = entry->ctime = entry->btime = (struct fsmeta_time){0, 7};
	}
	build(&bytes, &tree, 0, tree.count);
	message = fsmeta__v1__batch__unpack(NULL, bytes.length, bytes.data);
	assert_non_null(message);
	assert_int_equal(message->count, 100);
	assert_int_equal(0, message->n_level + message->n_type + message->n_mtime_seconds +
				message->n_ctime_seconds + message->ctime_nanoseconds.len +
				message->n_btime_seconds + message->btime_nanoseconds.len +
				message->n_owner + message->n_device + message->n_nlink +
				message->n_allocated + message->n_id + message->n_missing +
				message->n_flags + message->n_unknown_since);
	/* 4096 needs two planes, 7 needs one. */
	assert_int_equal(message->size.len, 200);
	assert_int_equal(message->mtime_nanoseconds.len, 100);
	assert_int_equal(message->n_inode, 100);
	assert_int_equal(message->n_owner_mode, 1);
	assert_int_equal(message->n_filesystems, 1);
	fsmeta__v1__batch__free_unpacked(message, NULL);
	fsmeta_buffer_release(&bytes);
	tree_release(&tree);
}

/* ---- damage ----------------------------------------------------------- */

typedef void damage_fn(Fsmeta__V1__Batch *batch);

/* The message is in an arena: columns may be exchanged and their counts changed. */
static void damage_count(Fsmeta__V1__Batch *batch)
{
	batch->count++;
}
static void damage_no_entries(Fsmeta__V1__Batch *batch)
{
	batch->count = 0;
}
static void damage_many_entries(Fsmeta__V1__Batch *batch)
{
	batch->count = UINT32_MAX;
}
static void damage_mask(Fsmeta__V1__Batch *batch)
{
	batch->field_mask ^= 1;
}
static void damage_root(Fsmeta__V1__Batch *batch)
{
	batch->root = 0;
}
static void damage_root_name(Fsmeta__V1__Batch *batch)
{
	batch->name_suffix[0] = 1;
	batch->name_suffix[1] = 0;
}
static void damage_root_type(Fsmeta__V1__Batch *batch)
{
	batch->type[0] = FSMETA_TYPE_FILE;
}
static void damage_type(Fsmeta__V1__Batch *batch)
{
	batch->type[2] = 8;
}
static void damage_type_zero(Fsmeta__V1__Batch *batch)
{
	batch->type[2] = 0;
}
static void damage_level_up(Fsmeta__V1__Batch *batch)
{
	batch->level[4] = 3;
}
static void damage_level_far(Fsmeta__V1__Batch *batch)
{
	batch->level[4] = UINT32_MAX;
}
static void damage_level_below_file(Fsmeta__V1__Batch *batch)
{
	batch->level[3] = 0;
}
static void damage_level_first(Fsmeta__V1__Batch *batch)
{
	batch->level[0] = 0;
}
static void damage_order(Fsmeta__V1__Batch *batch)
{
	batch->names.data[batch->names.len - 1] = 'A';
}
static void damage_equal_names(Fsmeta__V1__Batch *batch)
{
	batch->names.data[batch->names.len - 1] = batch->names.data[batch->names.len - 2];
}
static void damage_slash(Fsmeta__V1__Batch *batch)
{
	batch->names.data[1] = '/';
}
static void damage_nul(Fsmeta__V1__Batch *batch)
{
	batch->names.data[1] = 0;
}
static void damage_dot(Fsmeta__V1__Batch *batch)
{
	batch->names.data[0] = '.';
}
static void damage_prefix(Fsmeta__V1__Batch *batch)
{
	static uint32_t prefixes[7] = {0, 0, 2};

	batch->n_name_prefix = 7;
	batch->name_prefix = prefixes;
}
static void damage_suffix(Fsmeta__V1__Batch *batch)
{
	batch->name_suffix[1]++;
}
static void damage_suffix_overflow(Fsmeta__V1__Batch *batch)
{
	batch->name_suffix[1] = UINT32_MAX;
}
static void damage_planes(Fsmeta__V1__Batch *batch)
{
	batch->size.len--;
}
static void damage_nanoseconds(Fsmeta__V1__Batch *batch)
{
	memset(batch->mtime_nanoseconds.data, 0xff, batch->mtime_nanoseconds.len);
}
static void damage_other_nanoseconds(Fsmeta__V1__Batch *batch)
{
	memset(batch->btime_nanoseconds.data, 0xff, batch->btime_nanoseconds.len);
}
static void damage_owner(Fsmeta__V1__Batch *batch)
{
	batch->owner[3] = (uint32_t)batch->n_owner_mode;
}
static void damage_owners(Fsmeta__V1__Batch *batch)
{
	batch->n_owner_uid--;
}
static void damage_mode(Fsmeta__V1__Batch *batch)
{
	batch->owner_mode[0] = 010000;
}
static void damage_device(Fsmeta__V1__Batch *batch)
{
	static uint32_t devices[7] = {0, 0, 0, 9};

	batch->n_device = 7;
	batch->device = devices;
}
static void damage_filesystem(Fsmeta__V1__Batch *batch)
{
	batch->filesystems[0]->type.data[0] ^= 1;
}
static void damage_column(Fsmeta__V1__Batch *batch)
{
	batch->n_inode--;
}
static void damage_fewer_targets(Fsmeta__V1__Batch *batch)
{
	batch->target_length[0] += batch->target_length[1];
	batch->n_target_length--;
}
static void damage_more_targets(Fsmeta__V1__Batch *batch)
{
	static uint32_t lengths[3];

	lengths[0] = batch->target_length[0];
	lengths[1] = batch->target_length[1];
	batch->n_target_length = 3;
	batch->target_length = lengths;
}
static void damage_target_nul(Fsmeta__V1__Batch *batch)
{
	batch->targets.data[0] = 0;
}
static void damage_rdev(Fsmeta__V1__Batch *batch)
{
	static uint32_t majors[2] = {1, 2};

	batch->n_rdev_major = 2;
	batch->rdev_major = majors;
	batch->n_rdev_minor = 0;
}
static void damage_hash_algorithm(Fsmeta__V1__Batch *batch)
{
	static uint32_t algorithms[2] = {1, 3};

	batch->n_hash_algorithm = 2;
	batch->hash_algorithm = algorithms;
}
static void damage_hashes(Fsmeta__V1__Batch *batch)
{
	batch->hashes.len--;
}
static void damage_ids(Fsmeta__V1__Batch *batch)
{
	static int64_t ids[7];

	batch->n_id = 7;
	batch->id = ids;
}
static void damage_missing(Fsmeta__V1__Batch *batch)
{
	batch->missing[0] = FSMETA_FIELD_TARGET;
}
static void damage_gap_far(Fsmeta__V1__Batch *batch)
{
	batch->flags_gap[0] = 7;
}
static void damage_gap_zero(Fsmeta__V1__Batch *batch)
{
	batch->flags_gap[1] = 0;
}
static void damage_gap_overflow(Fsmeta__V1__Batch *batch)
{
	batch->flags_gap[1] = UINT32_MAX;
}
static void damage_gaps(Fsmeta__V1__Batch *batch)
{
	batch->n_unknown_since_gap--;
}
static void damage_errno(Fsmeta__V1__Batch *batch)
{
	batch->error[0] = FSMETA_ERRNO_MAX + 1;
}

static void *allocate_in_arena(void *arena, size_t size)
{
	return fsmeta_arena_allocate(arena, size);
}

static void free_nothing(void *arena, void *pointer)
{
	(void)arena;
	(void)pointer;
}

/** Packs a damaged copy of the batch. */
static void damage(struct fsmeta_buffer *out, const struct fsmeta_buffer *bytes, damage_fn *apply,
    struct fsmeta_arena *arena)
{
	ProtobufCAllocator allocator = {allocate_in_arena, free_nothing, arena};
	Fsmeta__V1__Batch *message =
	    fsmeta__v1__batch__unpack(&allocator, bytes->length, bytes->data);

	assert_non_null(message);
	apply(message);
	fsmeta_buffer_clear(out);
	assert_int_equal(
	    0, fsmeta_buffer_reserve(out, fsmeta__v1__batch__get_packed_size(message)));
	out->length = fsmeta__v1__batch__pack(message, out->data);
}

#define DAMAGE(name)                 \
	{                            \
#name, damage_##name \
	}

/** What protobuf allows and format.md does not: single values, and columns in pieces. */
static void columns_are_packed_and_in_one_piece(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
	} kinds[] = {
	    /* level = 1; level = [1]; mtime_seconds = 0; nlink = [1, 1]. */
	    {"\x28\x01", 2},
	    {"\x2a\x01\x01", 3},
	    {"\x58\x00", 2},
	    {"\xc2\x01\x02\x01\x01", 5},
	};
	struct fsmeta_buffer bytes = {0};
	struct tree tree;

	(void)state;
	make_tree(&tree);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct fsmeta_error error = {0};

		build(&bytes, &tree, 0, tree.count);
		assert_int_equal(0, fsmeta_buffer_append(&bytes, kinds[i].bytes, kinds[i].size));
		assert_int_equal(
		    FSMETA_E_CORRUPT, read_all(&bytes, &tree.source, &tree.entries[0], &error));
	}
	fsmeta_buffer_release(&bytes);
	tree_release(&tree);
}

static void every_kind_of_damage_is_found(void **state)
{
	static const struct {
		const char *name;
		damage_fn *apply;
	} kinds[] = {
	    DAMAGE(count),
	    DAMAGE(no_entries),
	    DAMAGE(many_entries),
	    DAMAGE(mask),
	    DAMAGE(root),
	    DAMAGE(root_name),
	    DAMAGE(root_type),
	    DAMAGE(type),
	    DAMAGE(type_zero),
	    DAMAGE(level_up),
	    DAMAGE(level_far),
	    DAMAGE(level_below_file),
	    DAMAGE(level_first),
	    DAMAGE(order),
	    DAMAGE(equal_names),
	    DAMAGE(slash),
	    DAMAGE(nul),
	    DAMAGE(dot),
	    DAMAGE(prefix),
	    DAMAGE(suffix),
	    DAMAGE(suffix_overflow),
	    DAMAGE(planes),
	    DAMAGE(nanoseconds),
	    DAMAGE(other_nanoseconds),
	    DAMAGE(owner),
	    DAMAGE(owners),
	    DAMAGE(mode),
	    DAMAGE(device),
	    DAMAGE(filesystem),
	    DAMAGE(column),
	    DAMAGE(fewer_targets),
	    DAMAGE(more_targets),
	    DAMAGE(target_nul),
	    DAMAGE(rdev),
	    DAMAGE(hash_algorithm),
	    DAMAGE(hashes),
	    DAMAGE(ids),
	    DAMAGE(missing),
	    DAMAGE(gap_far),
	    DAMAGE(gap_zero),
	    DAMAGE(gap_overflow),
	    DAMAGE(gaps),
	    DAMAGE(errno),
	};
	struct fsmeta_buffer bytes = {0}, damaged = {0};
	struct fsmeta_arena arena;
	struct tree tree;

	(void)state;
	fsmeta_arena_init(&arena);
	make_tree(&tree);
	build(&bytes, &tree, 0, tree.count);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct fsmeta_error error = {0};
		int code;

		damage(&damaged, &bytes, kinds[i].apply, &arena);
		code = read_all(&damaged, &tree.source, NULL, &error);
		if (code != FSMETA_E_CORRUPT)
			print_error("%s: %d %s\n", kinds[i].name, code, error.reason);
		assert_int_equal(FSMETA_E_CORRUPT, code);
		assert_true(error.reason[0] != '\0');
	}
	fsmeta_arena_release(&arena);
	fsmeta_buffer_release(&bytes);
	fsmeta_buffer_release(&damaged);
	tree_release(&tree);
}

static void impossible_values_are_not_written(void **state)
{
	struct fsmeta_batch_builder *builder;
	struct fsmeta_error error = {0};
	struct fsmeta_entry entry;
	struct tree tree;

	(void)state;
	make_tree(&tree);
	assert_int_equal(0, fsmeta_batch_builder_new(&builder, &tree.source, &error));
	for (int what = 0; what < 7; what++) {
		static const char *const names[] = {
		    "nanoseconds", "nanoseconds", "device", "hash", "mode", "errno", "target"};

		entry = tree.entries[what == 6 ? 3 : 2];
		if (what == 0)
			entry.mtime.nanoseconds = 1000000000;
		if (what == 1)
			entry.btime.nanoseconds = UINT32_MAX;
		if (what == 2)
			entry.device = 2;
		if (what == 3)
			entry.hash_algorithm = FSMETA_HASH_NONE;
		if (what == 4)
			entry.mode = 0100644;
		if (what == 5)
			entry.error = -1;
		if (what == 6)
			entry.target_length = FSMETA_TARGET_MAX_BYTES + 1;
		assert_int_equal(
		    FSMETA_E_INTERNAL, fsmeta_batch_builder_add(builder, &entry, &error));
		assert_non_null(strstr(error.reason, names[what]));
	}
	assert_int_equal(0, fsmeta_batch_builder_count(builder));
	fsmeta_batch_builder_free(builder);
	tree_release(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_batch_can_begin_anywhere),
	    cmocka_unit_test(the_bytes_depend_on_the_entries_alone),
	    cmocka_unit_test(columns_of_defaults_are_left_out),
	    cmocka_unit_test(columns_are_packed_and_in_one_piece),
	    cmocka_unit_test(every_kind_of_damage_is_found),
	    cmocka_unit_test(impossible_values_are_not_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
