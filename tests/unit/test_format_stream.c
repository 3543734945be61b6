/*
 * Streams written and read back: every field, hostile names, extreme values, deep
 * and wide trees, where batches are cut, what is shared between two streams, and
 * leaving out and passing over against naive walks over the arrays.
 */
#include "test_format_stream_io.h"

#include <xxhash.h>

static void assert_round_trip(const struct tree *tree)
{
	struct fsmeta_buffer bytes = {0};
	struct fsmeta_cursor *cursor;
	struct fsmeta_error error = {0};
	pid_t child;

	io_write(&bytes, tree);
	io_assert_ok(
	    fsmeta_stream_open_fd(&cursor, io_file(bytes.data, bytes.length), "file", &error),
	    &error);
	io_assert_yields(cursor, tree);
	fsmeta_cursor_close(cursor);
	io_assert_ok(fsmeta_stream_open_fd(
			 &cursor, io_pipe(&child, bytes.data, bytes.length), "pipe", &error),
	    &error);
	io_assert_yields(cursor, tree);
	fsmeta_cursor_close(cursor);
	io_wait(child);
	fsmeta_buffer_release(&bytes);
}

static void random_trees_read_back_equal(void **state)
{
	static const uint32_t masks[] = {
	    FSMETA_FIELDS_KNOWN, FSMETA_FIELDS_ALL, FSMETA_FIELDS_CORE, 0, FSMETA_FIELD_CTIME};

	(void)state;
	for (uint64_t seed = 0; seed < 150; seed++) {
		struct tree tree;

		tree_init(&tree, seed, masks[seed % 5]);
		tree.source.id_kind = seed % 3 ? FSMETA_IDS_ORDINAL : FSMETA_IDS_STABLE;
		tree_make_random(&tree, 1 + (size_t)(seed * 7 % 600));
		assert_round_trip(&tree);
		tree_release(&tree);
	}
}

static void large_random_trees_read_back_equal(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 3; seed++) {
		struct tree tree;

		tree_init(&tree, 1000 + seed, FSMETA_FIELDS_KNOWN);
		tree.source.id_kind = seed == 1 ? FSMETA_IDS_STABLE : FSMETA_IDS_ORDINAL;
		tree_make_random(&tree, 60000);
		assert_true(tree.count > 20000);
		assert_round_trip(&tree);
		tree_release(&tree);
	}
}

static void extreme_values_are_exact(void **state)
{
	static const int64_t seconds[] = {INT64_MIN, INT64_MAX, 0, INT64_MIN, -1, INT64_MAX, 1};
	struct tree tree;
	char name[2] = "a";

	(void)state;
	tree_init(&tree, 1, FSMETA_FIELDS_ALL);
	tree.source.id_kind = FSMETA_IDS_STABLE;
	tree_fill(&tree, tree_append(&tree, "", 0, FSMETA_TYPE_FOLDER));
	for (size_t i = 0; i < 7; i++, name[0]++) {
		struct fsmeta_entry *entry = tree_append(&tree, name, 1, FSMETA_TYPE_BLOCK);

		entry->fields = FSMETA_FIELDS_ALL & fsmeta_fields_of_type(entry->type);
		entry->mtime = (struct fsmeta_time){seconds[i], i % 2 ? 999999999 : 0};
		entry->ctime = (struct fsmeta_time){seconds[6 - i], i % 2 ? 0 : 999999999};
		entry->btime = (struct fsmeta_time){seconds[i / 2] / 2, 500000000};
		entry->size = i % 2 ? UINT64_MAX : i;
		entry->allocated = i % 3 ? UINT64_MAX - 511 : 1;
		entry->inode = i % 2 ? UINT64_MAX : 0;
		entry->nlink = i % 2 ? UINT64_MAX : 0;
		entry->uid = UINT32_MAX;
		entry->mode = 07777;
		entry->device = i % 2;
		entry->rdev_major = UINT32_MAX;
		entry->rdev_minor = i % 2 ? UINT32_MAX : 0;
		entry->id = i % 2 ? UINT64_MAX : 1;
		entry->flags = FSMETA_FLAG_UNREADABLE;
		entry->error = FSMETA_ERRNO_MAX;
		entry->unknown_since = UINT64_MAX;
	}
	assert_round_trip(&tree);
	tree_release(&tree);
}

static void names_up_to_the_limit_and_deep_chains(void **state)
{
	struct fsmeta_path_stack path;
	struct tree tree;
	char name[FSMETA_NAME_MAX_BYTES];
	const char *text;
	size_t length;

	(void)state;
	memset(name, 'n', sizeof(name));
	tree_init(&tree, 1, FSMETA_FIELDS_CORE);
	tree_fill(&tree, tree_append(&tree, "", 0, FSMETA_TYPE_FOLDER));
	fsmeta_path_stack_init(&path);
	for (size_t depth = 0; depth < 2500; depth++) {
		size_t name_length = depth % 100 ? 1 + depth % 9 : sizeof(name);

		assert_int_equal(0, fsmeta_path_stack_push(&path, name, name_length));
		text = fsmeta_path_stack_path(&path, &length);
		tree_fill(&tree, tree_append(&tree, text, length, FSMETA_TYPE_FOLDER));
	}
	/* Back up, one sibling at each level. */
	for (uint32_t depth = 2500; depth > 0; depth--) {
		fsmeta_path_stack_truncate(&path, depth - 1);
		assert_int_equal(0, fsmeta_path_stack_push(&path, "z", 1));
		text = fsmeta_path_stack_path(&path, &length);
		tree_fill(&tree, tree_append(&tree, text, length, FSMETA_TYPE_FILE));
	}
	fsmeta_path_stack_release(&path);
	assert_round_trip(&tree);
	tree_release(&tree);
}

/** A root, a folder and `count` files in it, named so that they sort as they come. */
static void make_flat(struct tree *tree, size_t first, size_t count)
{
	char path[64];

	tree_fill(tree, tree_append(tree, "", 0, FSMETA_TYPE_FOLDER));
	tree_fill(tree, tree_append(tree, "flat", 4, FSMETA_TYPE_FOLDER));
	for (size_t i = first; i < first + count; i++) {
		int length = snprintf(path, sizeof(path), "flat/%zu_video.rf1p", 1700000000 + i);

		tree_fill(tree, tree_append(tree, path, (size_t)length, FSMETA_TYPE_FILE));
	}
	tree_see_all(tree, 0);
}

/** Digests and entries of all batches, by way of the runs that a file offers. */
struct runs {
	struct fsmeta_run runs[4096];
	size_t count;
};

static void collect_runs(struct runs *out, const struct fsmeta_buffer *bytes)
{
	struct fsmeta_cursor *cursor;
	struct fsmeta_error error = {0};
	const struct fsmeta_entry *entry;
	int code;

	out->count = 0;
	io_assert_ok(
	    fsmeta_stream_open_fd(&cursor, io_file(bytes->data, bytes->length), "file", &error),
	    &error);
	while ((code = fsmeta_cursor_run(
		    cursor, FSMETA_RUN_BATCH, &out->runs[out->count], &error)) > 0) {
		io_assert_ok(fsmeta_cursor_step(cursor, &out->runs[out->count], &error), &error);
		out->count++;
	}
	io_assert_ok(code, &error);
	assert_int_equal(0, fsmeta_cursor_next(cursor, &entry, &error));
	fsmeta_cursor_close(cursor);
}

/** How many of b's batches a has too. */
static size_t count_shared(const struct runs *a, const struct runs *b)
{
	size_t shared = 0;

	for (size_t i = 0; i < b->count; i++)
		for (size_t j = 0; j < a->count; j++)
			if (fsmeta_digest_equal(b->runs[i].token, a->runs[j].token)) {
				assert_int_equal(b->runs[i].entries, a->runs[j].entries);
				shared++;
				break;
			}
	return shared;
}

static void one_folder_of_100000_entries(void **state)
{
	struct fsmeta_buffer bytes = {0};
	struct runs *runs = malloc(sizeof(*runs));
	struct tree tree;
	uint64_t sum = 0;

	(void)state;
	tree_init(&tree, 5, FSMETA_FIELDS_ALL);
	make_flat(&tree, 0, 100000);
	assert_round_trip(&tree);
	io_write(&bytes, &tree);
	collect_runs(runs, &bytes);
	assert_in_range(runs->count, 8, 40);
	for (size_t i = 0; i < runs->count; i++) {
		sum += runs->runs[i].entries;
		if (i + 1 < runs->count)
			assert_in_range(runs->runs[i].entries, FSMETA_BATCH_MIN_ENTRIES,
			    FSMETA_BATCH_MAX_ENTRIES);
	}
	assert_int_equal(sum, tree.count);
	tree_release(&tree);
	fsmeta_buffer_release(&bytes);
	free(runs);
}

/** One entry different, in a folder of 100,000: all batches but one are the same. */
static void a_change_in_one_place_leaves_other_batches_alone(void **state)
{
	struct fsmeta_buffer bytes = {0};
	struct runs *a = malloc(sizeof(*a)), *b = malloc(sizeof(*b));
	struct tree tree;

	(void)state;
	tree_init(&tree, 5, FSMETA_FIELDS_ALL);
	make_flat(&tree, 0, 100000);
	io_write(&bytes, &tree);
	collect_runs(a, &bytes);
	tree.entries[51234].size++;
	io_write(&bytes, &tree);
	collect_runs(b, &bytes);
	assert_int_equal(a->count, b->count);
	assert_int_equal(count_shared(a, b), b->count - 1);
	tree_release(&tree);
	fsmeta_buffer_release(&bytes);
	free(a);
	free(b);
}

/** The oldest thousand rotated away: the batches behind stay. */
static void rotation_in_a_flat_folder_shares_batches(void **state)
{
	struct fsmeta_buffer bytes = {0};
	struct runs *a = malloc(sizeof(*a)), *b = malloc(sizeof(*b));
	struct tree tree;

	(void)state;
	tree_init(&tree, 5, FSMETA_FIELDS_ALL);
	make_flat(&tree, 0, 300000);
	io_write(&bytes, &tree);
	collect_runs(a, &bytes);
	/* Root and folder, then what is left of the files, as they were. */
	memmove(&tree.entries[2], &tree.entries[1002], (tree.count - 1002) * sizeof(*tree.entries));
	tree.count -= 1000;
	io_write(&bytes, &tree);
	collect_runs(b, &bytes);
	assert_true(b->count >= 40);
	/* What was rotated out lay in one batch or two; of all others at least 95 in 100. */
	assert_true(count_shared(a, b) * 100 >= (b->count - 1) * 95);
	tree_release(&tree);
	fsmeta_buffer_release(&bytes);
	free(a);
	free(b);
}

/** A batch is full at the limit where no name asks for a cut before. */
static void batches_are_cut_at_the_limit_of_entries(void **state)
{
	struct fsmeta_buffer bytes = {0};
	struct runs *runs = malloc(sizeof(*runs));
	struct tree tree;
	char name[32];

	(void)state;
	tree_init(&tree, 5, FSMETA_FIELD_SIZE);
	tree_fill(&tree, tree_append(&tree, "", 0, FSMETA_TYPE_FOLDER));
	for (unsigned i = 0; tree.count < 2 * FSMETA_BATCH_MAX_ENTRIES + 100; i++) {
		size_t length = (size_t)snprintf(name, sizeof(name), "%08u", i);

		if (XXH3_64bits_withSeed(name, length, 0) & FSMETA_BATCH_CUT_MASK)
			tree_fill(&tree, tree_append(&tree, name, length, FSMETA_TYPE_FILE));
	}
	tree_see_all(&tree, 0);
	assert_round_trip(&tree);
	io_write(&bytes, &tree);
	collect_runs(runs, &bytes);
	assert_int_equal(runs->count, 3);
	assert_int_equal(runs->runs[0].entries, FSMETA_BATCH_MAX_ENTRIES);
	assert_int_equal(runs->runs[1].entries, FSMETA_BATCH_MAX_ENTRIES);
	assert_int_equal(runs->runs[2].entries, 100);
	tree_release(&tree);
	fsmeta_buffer_release(&bytes);
	free(runs);
}

static void batches_are_cut_at_the_limit_of_text(void **state)
{
	enum {
		TARGET_BYTES = 65000,
		PER_BATCH = FSMETA_BATCH_TEXT_BYTES / (TARGET_BYTES + 4)
	};
	struct fsmeta_buffer bytes = {0};
	struct runs *runs = malloc(sizeof(*runs));
	struct tree tree;
	char *target = malloc(TARGET_BYTES);
	char name[32];

	(void)state;
	memset(target, 't', TARGET_BYTES);
	tree_init(&tree, 5, FSMETA_FIELD_TARGET);
	tree_append(&tree, "", 0, FSMETA_TYPE_FOLDER);
	for (unsigned i = 0; i < 2 * PER_BATCH; i++) {
		size_t length = (size_t)snprintf(name, sizeof(name), "%04u", i);
		struct fsmeta_entry *entry = tree_append(&tree, name, length, FSMETA_TYPE_SYMLINK);

		entry->fields = FSMETA_FIELD_TARGET;
		entry->target = target;
		entry->target_length = TARGET_BYTES;
	}
	assert_round_trip(&tree);
	io_write(&bytes, &tree);
	collect_runs(runs, &bytes);
	assert_int_equal(runs->count, 2);
	assert_int_equal(runs->runs[0].entries, PER_BATCH + 1);
	free(target);
	tree_release(&tree);
	fsmeta_buffer_release(&bytes);
	free(runs);
}

/* ---- leaving out ------------------------------------------------------ */

/** What a cursor does, on the array: `at` is the index of the next entry. */
static size_t naive_skip(const struct tree *tree, size_t at, uint32_t depth)
{
	while (at < tree->count && tree->entries[at].depth >= depth)
		at++;
	return at;
}

/** Leaps towards a later entry, which then comes; index behind the one that comes next. */
static size_t leap(struct fsmeta_cursor *cursor, struct tree *tree, size_t at, bool runs)
{
	size_t target = at + tree_random(tree) % (tree->count - at);
	const struct fsmeta_entry *entry = &tree->entries[target];
	struct fsmeta_error error = {0};
	int left_out = fsmeta_cursor_leap(cursor, entry->path, entry->path_length, &error);
	int code;

	io_assert_ok(left_out, &error);
	assert_true(runs || left_out == 0);
	code = fsmeta_cursor_next(cursor, &entry, &error);
	io_assert_ok(code, &error);
	assert_int_equal(code, 1);
	assert_true(entry->id > at && entry->id <= target + 1);
	assert_int_equal(left_out, entry->id > at + 1);
	tree_assert_equal(entry, &tree->entries[entry->id - 1], false);
	return entry->id;
}

/** Random steps on an open cursor, each compared with the array. */
static void assert_walks_alike(struct fsmeta_cursor *cursor, struct tree *tree, bool runs)
{
	const struct fsmeta_entry *entry;
	struct fsmeta_error error = {0};
	struct fsmeta_run run;
	size_t at = 0;
	int code;

	for (;;) {
		uint64_t what = tree_random(tree) % 400;
		uint32_t depth = at ? tree->entries[at - 1].depth : 0;

		code = fsmeta_cursor_run(cursor, FSMETA_RUN_BATCH, &run, &error);
		io_assert_ok(code, &error);
		assert_true(runs || code == 0);
		for (size_t i = at; code && i < at + run.entries; i++)
			assert_false(fsmeta_entry_is_unseen(&tree->entries[i]));
		if (code && what < 200) {
			io_assert_ok(fsmeta_cursor_step(cursor, &run, &error), &error);
			at += run.entries;
			continue;
		}
		if (what < 8) {
			uint32_t below =
			    what < 6 ? depth + 1 : (uint32_t)(tree_random(tree) % (depth + 2));

			/* Leaving out everything would end most walks at once. */
			below += below == 0 && !tree_once_in(tree, 50);
			io_assert_ok(fsmeta_cursor_skip(cursor, below, &error), &error);
			at = naive_skip(tree, at, below);
			continue;
		}
		if (what == 8 && at < tree->count) {
			at = leap(cursor, tree, at, runs);
			continue;
		}
		code = fsmeta_cursor_next(cursor, &entry, &error);
		io_assert_ok(code, &error);
		if (code == 0)
			break;
		assert_true(at < tree->count);
		tree_assert_equal(entry, &tree->entries[at], false);
		assert_int_equal(entry->id, at + 1);
		at++;
	}
	assert_int_equal(at, tree->count);
}

static void skipping_and_stepping_equal_a_naive_walk(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 4; seed++) {
		struct fsmeta_buffer bytes = {0};
		struct fsmeta_cursor *cursor;
		struct fsmeta_error error = {0};
		struct tree tree;
		pid_t child;

		tree_init(&tree, 77 + seed, FSMETA_FIELDS_CORE);
		tree_make_random(&tree, seed == 3 ? 100 : 80000);
		tree_see_all(&tree, seed == 1 ? 0 : tree.count / 4);
		io_write(&bytes, &tree);
		for (int walk = 0; walk < 20; walk++) {
			io_assert_ok(fsmeta_stream_open_fd(&cursor,
					 io_file(bytes.data, bytes.length), "file", &error),
			    &error);
			assert_walks_alike(cursor, &tree, true);
			fsmeta_cursor_close(cursor);
		}
		io_assert_ok(fsmeta_stream_open_fd(&cursor,
				 io_pipe(&child, bytes.data, bytes.length), "pipe", &error),
		    &error);
		assert_walks_alike(cursor, &tree, false);
		fsmeta_cursor_close(cursor);
		io_wait(child);
		tree_release(&tree);
		fsmeta_buffer_release(&bytes);
	}
}

/** A large folder is passed over by index: far fewer bytes are read than there are. */
static void skipping_from_within_a_folder_that_spans_batches(void **state)
{
	struct fsmeta_buffer bytes = {0};
	struct fsmeta_cursor *cursor;
	struct fsmeta_error error = {0};
	const struct fsmeta_entry *entry;
	struct tree tree;

	(void)state;
	tree_init(&tree, 9, FSMETA_FIELDS_CORE);
	make_flat(&tree, 0, 50000);
	tree_fill(&tree, tree_append(&tree, "flat!", 5, FSMETA_TYPE_FILE));
	tree_fill(&tree, tree_append(&tree, "z", 1, FSMETA_TYPE_FILE));
	io_write(&bytes, &tree);
	io_assert_ok(
	    fsmeta_stream_open_fd(&cursor, io_file(bytes.data, bytes.length), "file", &error),
	    &error);
	for (int i = 0; i < 100; i++)
		assert_int_equal(1, fsmeta_cursor_next(cursor, &entry, &error));
	assert_int_equal(0, fsmeta_cursor_skip(cursor, 2, &error));
	assert_int_equal(1, fsmeta_cursor_next(cursor, &entry, &error));
	assert_string_equal("flat!", entry->path);
	assert_int_equal(entry->id, 50003);
	assert_int_equal(1, fsmeta_cursor_next(cursor, &entry, &error));
	assert_int_equal(0, fsmeta_cursor_skip(cursor, 1, &error));
	assert_int_equal(0, fsmeta_cursor_next(cursor, &entry, &error));
	fsmeta_cursor_close(cursor);
	tree_release(&tree);
	fsmeta_buffer_release(&bytes);
}

/* ---- two at once ------------------------------------------------------ */

/** A walk of a stream, along the array that it was made from. */
struct walk {
	struct tree *tree;
	struct fsmeta_cursor *cursor;
	/** Index of the entry that comes next. */
	size_t at;
};

/** The other tree: some entries have another size, some are missing with all below them. */
static void make_variant(struct tree *to, struct tree *from)
{
	tree_init(to, from->random, from->source.field_mask);
	for (size_t i = 0; i < from->count; i++) {
		const struct fsmeta_entry *entry = &from->entries[i];
		struct fsmeta_entry *copy;

		if (i && tree_once_in(from, 50)) {
			while (i + 1 < from->count && from->entries[i + 1].depth > entry->depth)
				i++;
			continue;
		}
		copy = tree_append(to, entry->path, entry->path_length, entry->type);
		*copy = *entry;
		if (entry->fields & FSMETA_FIELD_SIZE && tree_once_in(from, 50))
			copy->size++;
	}
}

static void take_one(struct walk *walk)
{
	const struct fsmeta_entry *entry;
	struct fsmeta_error error = {0};
	int code = fsmeta_cursor_next(walk->cursor, &entry, &error);

	io_assert_ok(code, &error);
	assert_int_equal(code, walk->at < walk->tree->count);
	if (code) {
		tree_assert_equal(entry, &walk->tree->entries[walk->at], false);
		assert_int_equal(entry->id, walk->at + 1);
		walk->at++;
	}
}

/** <0 where the older one's next entry comes first, 0 where both have it. */
static int compare_next(const struct walk *a, const struct walk *b)
{
	const struct fsmeta_entry *x = &a->tree->entries[a->at], *y = &b->tree->entries[b->at];

	if (a->at == a->tree->count || b->at == b->tree->count)
		return a->at == a->tree->count ? b->at < b->tree->count : -1;
	return fsmeta_path_compare(x->path, x->path_length, y->path, y->path_length);
}

/** What may be passed: how many entries of both lie on from here. */
static void assert_passable(
    const struct walk *a, const struct walk *b, uint64_t count, uint32_t mask)
{
	for (uint64_t i = 0; i < count; i++) {
		const struct fsmeta_entry *x = &a->tree->entries[a->at + i];
		const struct fsmeta_entry *y = &b->tree->entries[b->at + i];

		assert_true(a->at + i < a->tree->count && b->at + i < b->tree->count);
		assert_string_equal(x->path, y->path);
		assert_int_equal(x->type, y->type);
		assert_int_not_equal(x->type, FSMETA_TYPE_FOLDER);
		assert_int_equal(fsmeta_entry_differences(x, y, mask, NULL, 0), 0);
		assert_true(!x->flags && !y->flags && !x->unknown_since && !y->unknown_since);
		assert_true(x->nlink <= 1 && y->nlink <= 1);
	}
}

/** Walks both as a merge does and passes over what may be passed; how many those were. */
static uint64_t walk_both(struct walk *a, struct walk *b, uint32_t mask)
{
	struct fsmeta_error error = {0};
	uint64_t count, passed = 0;

	while (a->at < a->tree->count || b->at < b->tree->count) {
		int order = compare_next(a, b);

		if (order <= 0)
			take_one(a);
		if (order >= 0)
			take_one(b);
		/* Also where they stand apart: it is the cursors that see that. */
		io_assert_ok(
		    fsmeta_cursor_pass_equal(a->cursor, b->cursor, mask, &count, &error), &error);
		assert_passable(a, b, count, mask);
		a->at += count;
		b->at += count;
		passed += count;
	}
	take_one(a);
	take_one(b);
	return passed;
}

static uint64_t walk_streams(struct tree *trees[2], bool piped, uint32_t mask)
{
	struct fsmeta_buffer bytes[2] = {{0}};
	struct walk walks[2];
	struct fsmeta_error error = {0};
	pid_t child = 0;
	uint64_t passed;

	for (int side = 0; side < 2; side++) {
		io_write(&bytes[side], trees[side]);
		walks[side] = (struct walk){.tree = trees[side]};
		io_assert_ok(
		    fsmeta_stream_open_fd(&walks[side].cursor,
			piped && side ? io_pipe(&child, bytes[side].data, bytes[side].length)
				      : io_file(bytes[side].data, bytes[side].length),
			"stream", &error),
		    &error);
	}
	passed = walk_both(&walks[0], &walks[1], mask);
	for (int side = 0; side < 2; side++) {
		fsmeta_cursor_close(walks[side].cursor);
		fsmeta_buffer_release(&bytes[side]);
	}
	io_wait(child);
	return passed;
}

static void what_is_equal_in_two_streams_is_passed_over(void **state)
{
	static const uint32_t masks[] = {FSMETA_FIELDS_KNOWN | FSMETA_FIELD_FLAGS,
	    FSMETA_FIELD_SIZE, FSMETA_FIELDS_KNOWN & ~(uint32_t)FSMETA_FIELD_SIZE};

	(void)state;
	for (uint64_t seed = 0; seed < 12; seed++) {
		struct tree tree, other;
		struct tree *trees[] = {&tree, &other};

		tree_init(&tree, 5 + seed, seed % 2 ? FSMETA_FIELDS_KNOWN : FSMETA_FIELDS_CORE);
		tree_make_random(&tree, seed % 3 ? 3000 : 40000);
		make_variant(&other, &tree);
		/* Folders and what stands behind them, flags and links keep most from being passed
		 * over. */
		assert_true(walk_streams(trees, false, masks[seed % 3]) > other.count / 10);
		assert_int_equal(walk_streams(trees, true, masks[seed % 3]), 0);
		tree_release(&other);
		tree_release(&tree);
	}
}

/** A folder of this name with files 10 to 59, as a stream of which the first one was taken. */
static struct fsmeta_cursor *open_behind_first_file(const char *folder)
{
	struct fsmeta_buffer bytes = {0};
	struct fsmeta_cursor *cursor;
	const struct fsmeta_entry *entry;
	struct fsmeta_error error = {0};
	struct tree tree;
	char path[32];

	tree_init(&tree, 1, FSMETA_FIELDS_CORE);
	tree_append(&tree, "", 0, FSMETA_TYPE_FOLDER);
	tree_append(&tree, folder, 1, FSMETA_TYPE_FOLDER);
	for (int i = 10; i < 60; i++) {
		size_t length = (size_t)snprintf(path, sizeof(path), "%s/file%d", folder, i);

		tree_append(&tree, path, length, FSMETA_TYPE_FILE);
	}
	io_write(&bytes, &tree);
	io_assert_ok(
	    fsmeta_stream_open_fd(&cursor, io_file(bytes.data, bytes.length), "file", &error),
	    &error);
	for (int i = 0; i < 3; i++)
		assert_int_equal(1, fsmeta_cursor_next(cursor, &entry, &error));
	tree_release(&tree);
	fsmeta_buffer_release(&bytes);
	return cursor;
}

static void nothing_is_passed_over_in_different_folders(void **state)
{
	struct fsmeta_cursor *cursors[] = {
	    open_behind_first_file("a"), open_behind_first_file("b"), open_behind_first_file("b")};
	const struct fsmeta_entry *entry;
	struct fsmeta_error error = {0};
	uint64_t count;
	char path[32];

	(void)state;
	assert_int_equal(fsmeta_cursor_pass_equal(cursors[0], cursors[1], 0, &count, &error), 0);
	assert_int_equal(count, 0);
	assert_int_equal(fsmeta_cursor_pass_equal(cursors[1], cursors[2], 0, &count, &error), 0);
	assert_in_range(count, 1, 49);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(1, fsmeta_cursor_next(cursors[i], &entry, &error));
		snprintf(path, sizeof(path), "%c/file%d", "abb"[i], i ? 11 + (int)count : 11);
		assert_string_equal(entry->path, path);
		fsmeta_cursor_close(cursors[i]);
	}
}

/* ---- the writer's refusals -------------------------------------------- */

/** Adds root, folder "b" and then an entry that must be refused. */
static void assert_refused(const char *path, enum fsmeta_type type, const char *reason)
{
	struct fsmeta_stream_writer *writer;
	struct fsmeta_error error = {0};
	struct tree tree;
	int fd = memfd_create("stream", MFD_CLOEXEC);

	tree_init(&tree, 1, 0);
	tree_append(&tree, "", 0, FSMETA_TYPE_FOLDER);
	tree_append(&tree, "b", 1, FSMETA_TYPE_FOLDER);
	tree_append(&tree, "b/f", 3, FSMETA_TYPE_FILE);
	tree_append(&tree, path, strlen(path), type);
	io_assert_ok(
	    fsmeta_stream_writer_new(&writer, fd, "out", &tree.source, NULL, &error), &error);
	for (size_t i = 0; i < 3; i++)
		io_assert_ok(fsmeta_stream_writer_add(writer, &tree.entries[i], &error), &error);
	assert_int_equal(
	    FSMETA_E_INTERNAL, fsmeta_stream_writer_add(writer, &tree.entries[3], &error));
	assert_non_null(strstr(error.reason, reason));
	fsmeta_stream_writer_free(writer);
	close(fd);
	tree_release(&tree);
}

static void the_writer_refuses_what_is_out_of_order(void **state)
{
	(void)state;
	assert_refused("a", FSMETA_TYPE_FILE, "out of canonical order");
	assert_refused("b", FSMETA_TYPE_FILE, "out of canonical order");
	assert_refused("b/f", FSMETA_TYPE_FILE, "out of canonical order");
	assert_refused("b/e", FSMETA_TYPE_FILE, "out of canonical order");
	assert_refused("", FSMETA_TYPE_FOLDER, "the root comes again");
	assert_refused("c/d", FSMETA_TYPE_FILE, "did not come before it");
	assert_refused("b/g/h", FSMETA_TYPE_FILE, "did not come before it");
	assert_refused("b/f/g", FSMETA_TYPE_FILE, "below no folder");
	assert_refused("b/..", FSMETA_TYPE_FILE, "not valid");
	assert_refused("c/", FSMETA_TYPE_FILE, "not valid");
	assert_refused("c", (enum fsmeta_type)9, "type");
}

static void an_empty_stream_cannot_be_finished(void **state)
{
	struct fsmeta_stream_writer *writer;
	struct fsmeta_error error = {0};
	struct tree tree;
	int fd = memfd_create("stream", MFD_CLOEXEC);

	(void)state;
	tree_init(&tree, 1, 0);
	io_assert_ok(
	    fsmeta_stream_writer_new(&writer, fd, "out", &tree.source, NULL, &error), &error);
	assert_int_equal(
	    FSMETA_E_INTERNAL, fsmeta_stream_writer_finish(writer, NULL, NULL, &error));
	fsmeta_stream_writer_free(writer);
	close(fd);
	tree_release(&tree);
}

/* ---- what belongs to the source --------------------------------------- */

/** Entries' fields beyond the mask are left out, in totals and digest too. */
static void fields_beyond_the_mask_are_left_out(void **state)
{
	struct fsmeta_buffer narrow = {0}, wide = {0};
	struct fsmeta_stream_summary narrow_summary, wide_summary;
	struct tree tree;

	(void)state;
	tree_init(&tree, 3, FSMETA_FIELDS_ALL);
	tree_make_random(&tree, 300);
	tree.source.field_mask = FSMETA_FIELD_MTIME;
	io_write_entries(&wide, &tree.source, tree.entries, tree.count, &wide_summary);
	for (size_t i = 0; i < tree.count; i++) {
		struct fsmeta_entry *entry = &tree.entries[i];
		struct fsmeta_entry kept = {.path = entry->path,
		    .path_length = entry->path_length,
		    .name = entry->name,
		    .name_length = entry->name_length,
		    .depth = entry->depth,
		    .type = entry->type,
		    .flags = entry->flags,
		    .error = entry->error,
		    .unknown_since = entry->unknown_since,
		    .device = FSMETA_DEVICE_NONE,
		    .fields = entry->fields & FSMETA_FIELD_MTIME,
		    .mtime = entry->mtime};

		*entry = kept;
	}
	io_write_entries(&narrow, &tree.source, tree.entries, tree.count, &narrow_summary);
	assert_int_equal(narrow.length, wide.length);
	assert_memory_equal(narrow.data, wide.data, narrow.length);
	assert_true(fsmeta_digest_equal(narrow_summary.state_digest, wide_summary.state_digest));
	assert_round_trip(&tree);
	tree_release(&tree);
	fsmeta_buffer_release(&narrow);
	fsmeta_buffer_release(&wide);
}

/** File systems that come up while entries are added reach a reader of a pipe. */
static void the_table_of_file_systems_grows(void **state)
{
	struct fsmeta_stream_writer *writer;
	struct fsmeta_error error = {0};
	struct fsmeta_buffer bytes = {0};
	struct fsmeta_stream_summary summary;
	const struct fsmeta_entry *entry;
	struct fsmeta_cursor *cursor;
	struct tree tree;
	uint32_t index;
	size_t got;
	int fd = memfd_create("stream", MFD_CLOEXEC);
	pid_t child;

	(void)state;
	tree_init(&tree, 1, FSMETA_FIELD_DEVICE);
	tree_append(&tree, "", 0, FSMETA_TYPE_FOLDER)->device = 0;
	tree_append(&tree, "b", 1, FSMETA_TYPE_FOLDER)->device = 2;
	for (size_t i = 0; i < 2; i++)
		tree.entries[i].fields = FSMETA_FIELD_DEVICE;
	io_assert_ok(
	    fsmeta_stream_writer_new(&writer, fd, "out", &tree.source, NULL, &error), &error);
	io_assert_ok(fsmeta_stream_writer_add(writer, &tree.entries[0], &error), &error);
	assert_int_equal(
	    FSMETA_E_INTERNAL, fsmeta_stream_writer_add(writer, &tree.entries[1], &error));
	fsmeta_stream_writer_free(writer);
	assert_int_equal(0, ftruncate(fd, 0));
	assert_int_equal(0, lseek(fd, 0, SEEK_SET));

	io_assert_ok(
	    fsmeta_stream_writer_new(&writer, fd, "out", &tree.source, NULL, &error), &error);
	assert_int_equal(
	    0, fsmeta_batch_source_add_filesystem(&tree.source, "33-44", "xfs", "late", &index));
	assert_int_equal(index, 2);
	for (size_t i = 0; i < 2; i++)
		io_assert_ok(fsmeta_stream_writer_add(writer, &tree.entries[i], &error), &error);
	io_assert_ok(fsmeta_stream_writer_finish(writer, &summary, NULL, &error), &error);
	fsmeta_stream_writer_free(writer);
	assert_int_equal(0, fsmeta_buffer_reserve(&bytes, (size_t)summary.file_bytes));
	assert_int_equal(
	    0, fsmeta_read_full_at(fd, bytes.data, summary.file_bytes, 0, &got, "out", &error));
	close(fd);
	io_assert_ok(
	    fsmeta_stream_open_fd(&cursor, io_pipe(&child, bytes.data, got), "pipe", &error),
	    &error);
	assert_int_equal(2, cursor->source->filesystem_count);
	assert_int_equal(1, fsmeta_cursor_next(cursor, &entry, &error));
	assert_int_equal(0, entry->device);
	assert_int_equal(1, fsmeta_cursor_next(cursor, &entry, &error));
	assert_string_equal("33-44", cursor->source->filesystems[entry->device].uuid);
	assert_string_equal("xfs", cursor->source->filesystems[entry->device].type);
	assert_int_equal(0, fsmeta_cursor_next(cursor, &entry, &error));
	assert_int_equal(3, cursor->source->filesystem_count);
	assert_string_equal("late", cursor->source->filesystems[2].label);
	fsmeta_cursor_close(cursor);
	io_wait(child);
	tree_release(&tree);
	fsmeta_buffer_release(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(random_trees_read_back_equal),
	    cmocka_unit_test(large_random_trees_read_back_equal),
	    cmocka_unit_test(extreme_values_are_exact),
	    cmocka_unit_test(names_up_to_the_limit_and_deep_chains),
	    cmocka_unit_test(one_folder_of_100000_entries),
	    cmocka_unit_test(a_change_in_one_place_leaves_other_batches_alone),
	    cmocka_unit_test(rotation_in_a_flat_folder_shares_batches),
	    cmocka_unit_test(batches_are_cut_at_the_limit_of_entries),
	    cmocka_unit_test(batches_are_cut_at_the_limit_of_text),
	    cmocka_unit_test(skipping_and_stepping_equal_a_naive_walk),
	    cmocka_unit_test(skipping_from_within_a_folder_that_spans_batches),
	    cmocka_unit_test(what_is_equal_in_two_streams_is_passed_over),
	    cmocka_unit_test(nothing_is_passed_over_in_different_folders),
	    cmocka_unit_test(the_writer_refuses_what_is_out_of_order),
	    cmocka_unit_test(an_empty_stream_cannot_be_finished),
	    cmocka_unit_test(fields_beyond_the_mask_are_left_out),
	    cmocka_unit_test(the_table_of_file_systems_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
