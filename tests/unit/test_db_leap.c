/*
 * Leaps of a cursor over a database: what is left out, and that all the rest comes.
 *
 * Each generation of random histories is read whole first; then next(), skip() and leap() at random
 * must hand out just what the whole list says.  Goals are paths that are there, and paths beside
 * them.  A deep chain of folders has more levels than there are statements.
 */
#include "tests/support/model.h"
#include "tests/unit/test_db_file.h"

enum {
	GENERATIONS = 8,
	SEEDS = 3,
	WALKS = 8,
	CHAIN_DEPTH = 50,
	FOLDERS = 300,
	FILES = 40,
};

static char folder[] = "/tmp/fsmeta-test-XXXXXX";
static char path[64];

static void fail_with(const char *text)
{
	fail_msg("%s", text);
}

/** All that a generation holds. */
struct listing {
	struct listed {
		size_t path_at;
		size_t path_length;
		uint64_t id;
		uint64_t unknown_since;
		uint32_t depth;
	} * items;
	size_t count;
	struct fsmeta_buffer entries;
	struct fsmeta_buffer paths;
};

static const char *path_of(const struct listing *listing, size_t at)
{
	return (const char *)listing->paths.data + listing->items[at].path_at;
}

static void list(struct listing *out, struct fsmeta_db *db, uint64_t number)
{
	const struct fsmeta_entry *entry;
	struct fsmeta_cursor *cursor;
	int code;

	*out = (struct listing){0};
	EXPECT_OK(fsmeta_db_cursor(&cursor, db, number, NULL, &error), &error);
	while ((code = fsmeta_cursor_next(cursor, &entry, &error)) > 0) {
		const struct listed listed = {out->paths.length, entry->path_length, entry->id,
		    entry->unknown_since, entry->depth};

		assert_int_equal(fsmeta_buffer_append(&out->entries, &listed, sizeof(listed)), 0);
		assert_int_equal(
		    fsmeta_buffer_append(&out->paths, entry->path, entry->path_length + 1), 0);
	}
	EXPECT_OK(code, &error);
	fsmeta_cursor_close(cursor);
	out->items = (struct listed *)(void *)out->entries.data;
	out->count = out->entries.length / sizeof(*out->items);
}

static void listing_release(struct listing *listing)
{
	fsmeta_buffer_release(&listing->entries);
	fsmeta_buffer_release(&listing->paths);
}

static uint32_t roll(uint64_t *random, size_t faces)
{
	*random = *random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((*random >> 33) % faces);
}

/** A path that is there, or one in front of or behind it that may not be. */
static void choose_goal(struct fsmeta_buffer *goal, const struct listing *listing, uint64_t *random)
{
	size_t at = roll(random, listing->count);

	fsmeta_buffer_clear(goal);
	assert_int_equal(
	    fsmeta_buffer_append(goal, path_of(listing, at), listing->items[at].path_length), 0);
	switch (roll(random, 4)) {
	case 0:
		assert_int_equal(fsmeta_buffer_append_text(goal, goal->length ? "/0" : "0"), 0);
		break;
	case 1:
		assert_int_equal(fsmeta_buffer_append_byte(goal, '!'), 0);
		break;
	case 2:
		if (goal->length > 1 && goal->data[goal->length - 2] != '/')
			goal->length--;
		break;
	default:
		break;
	}
}

/** How the path of an item stands to the goal. */
static int compare_to(const struct listing *listing, size_t at, const struct fsmeta_buffer *goal)
{
	return fsmeta_path_compare(path_of(listing, at), listing->items[at].path_length,
	    (const char *)goal->data, goal->length);
}

/** Leaps; returns which item has to come: that at the goal or behind, or a folder above it. */
static size_t leap(struct fsmeta_cursor *cursor, const struct listing *listing, size_t at,
    const struct fsmeta_buffer *goal)
{
	bool left_out = at < listing->count && compare_to(listing, at, goal) < 0;
	int code = fsmeta_cursor_leap(cursor, (const char *)goal->data, goal->length, &error);

	EXPECT_OK(code, &error);
	/* It need not know that nothing is there to be left out. */
	assert_true(code == 1 || !left_out);
	while (at < listing->count && compare_to(listing, at, goal) < 0 &&
	       !fsmeta_path_is_within((const char *)goal->data, goal->length, path_of(listing, at),
		   listing->items[at].path_length))
		at++;
	return at;
}

/** Returns how many entries were handed out. */
static size_t walk(struct fsmeta_db *db, uint64_t number, const struct listing *listing,
    uint64_t random, size_t leaps_in)
{
	struct fsmeta_buffer goal = {0};
	const struct fsmeta_entry *entry;
	struct fsmeta_cursor *cursor;
	size_t at = 0, count = 0;
	int code = 0;

	EXPECT_OK(fsmeta_db_cursor(&cursor, db, number, NULL, &error), &error);
	for (;;) {
		const struct listed *listed = &listing->items[at];

		code = fsmeta_cursor_next(cursor, &entry, &error);
		EXPECT_OK(code, &error);
		assert_int_equal(code, at < listing->count);
		if (!code)
			break;
		assert_string_equal(entry->path, path_of(listing, at));
		assert_int_equal(entry->id, listed->id);
		assert_int_equal(entry->unknown_since, listed->unknown_since);
		count++;
		at++;
		for (int again = 0; again < 2; again++) {
			if (roll(&random, 12) == 0) {
				uint32_t depth = 1 + roll(&random, entry->depth + 1);

				EXPECT_OK(fsmeta_cursor_skip(cursor, depth, &error), &error);
				while (at < listing->count && listing->items[at].depth >= depth)
					at++;
			}
			if (roll(&random, leaps_in) == 0) {
				choose_goal(&goal, listing, &random);
				at = leap(cursor, listing, at, &goal);
			}
		}
	}
	fsmeta_cursor_close(cursor);
	fsmeta_buffer_release(&goal);
	return count;
}

static void walk_often(struct fsmeta_db *db, uint64_t number, uint64_t seed)
{
	struct listing listing;

	list(&listing, db, number);
	expect_context(
	    "seed %llu, generation %llu", (unsigned long long)seed, (unsigned long long)number);
	for (uint64_t i = 0; i < WALKS; i++)
		walk(db, number, &listing, seed * 1000 + i, 2 + (size_t)i * 4);
	listing_release(&listing);
}

static void run_history(uint64_t seed, const struct model_options *options)
{
	struct model model;
	struct fsmeta_db *db;

	model_init(&model, seed, options);
	snprintf(path, sizeof(path), "%s/history.db", folder);
	EXPECT_OK(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error), &error);
	for (uint64_t number = 1; number <= GENERATIONS; number++) {
		model_next(&model);
		model_write(&model, db, path, MODEL_BY_CHANGES);
		/* It learns the ids, too. */
		model_check_generation(&model, db, number, false);
	}
	for (uint64_t number = 1; number <= GENERATIONS; number++)
		walk_often(db, number, seed);
	fsmeta_db_close(db);
	model_release(&model);
	assert_int_equal(unlink(path), 0);
}

/** Files that changed and went, unknown places, folders that moved and went. */
static void test_histories(void **state)
{
	const struct model_options options = {
	    .generations = GENERATIONS, .nodes = 250, .mutations = 30, .moves = true};
	uint64_t seeds = expect_seeds(SEEDS);

	(void)state;
	for (uint64_t seed = 1; seed <= seeds; seed++)
		run_history(seed, &options);
}

/** Two files in front of the next folder of the chain, and two behind it. */
static void add_level(struct fsmeta_db_update *update, const char *above, unsigned depth)
{
	static const char *const names[] = {"a", "b", "d", "e", "f"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char name[2 * CHAIN_DEPTH + 8];
		bool goes_on = *names[i] == 'd';

		snprintf(name, sizeof(name), "%s%s%s", above, *above ? "/" : "", names[i]);
		if (goes_on && depth == CHAIN_DEPTH)
			continue;
		assert_ok(add_entry(
		    update, name, goes_on ? FSMETA_TYPE_FOLDER : FSMETA_TYPE_FILE, depth));
		if (goes_on)
			add_level(update, name, depth + 1);
	}
}

static void test_chain(void **state)
{
	struct fsmeta_batch_source source;
	struct fsmeta_db_update *update;
	struct fsmeta_db *db;

	(void)state;
	snprintf(path, sizeof(path), "%s/chain.db", folder);
	describe_scan(&source, 1);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	assert_ok(fsmeta_db_update_begin(&update, db, 0, &source, &error));
	assert_ok(add_entry(update, "", FSMETA_TYPE_FOLDER, 0));
	add_level(update, "", 0);
	assert_ok(fsmeta_db_update_commit(update, NULL, &error));
	for (uint64_t seed = 1; seed <= 10; seed++)
		walk_often(db, 1, seed);
	fsmeta_db_close(db);
	fsmeta_batch_source_release(&source);
	assert_int_equal(unlink(path), 0);
}

/** From folder to folder: only what is asked for is handed out. */
static void test_far(void **state)
{
	const struct fsmeta_entry *entry;
	struct fsmeta_cursor *cursor;
	struct fsmeta_db *db;
	unsigned count = 0;

	(void)state;
	snprintf(path, sizeof(path), "%s/wide.db", folder);
	make_database(path, FOLDERS, FILES);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error));
	assert_ok(fsmeta_db_cursor(&cursor, db, 1, NULL, &error));
	assert_int_equal(fsmeta_cursor_next(cursor, &entry, &error), 1);
	for (unsigned i = 3; i < FOLDERS; i += 50) {
		char goal[32];

		snprintf(goal, sizeof(goal), "f%03u/%08u", i, FILES - 2);
		assert_int_equal(fsmeta_cursor_leap(cursor, goal, strlen(goal), &error), 1);
		while (fsmeta_cursor_next(cursor, &entry, &error) > 0 &&
		       strcmp(entry->path, goal) < 0) {
			assert_int_equal(entry->type, FSMETA_TYPE_FOLDER);
			assert_int_equal(fsmeta_cursor_leap(cursor, goal, strlen(goal), &error), 1);
			count++;
		}
		assert_string_equal(entry->path, goal);
	}
	assert_int_equal(count, (FOLDERS + 46) / 50);
	/* Behind the last, and once more. */
	assert_int_equal(fsmeta_cursor_leap(cursor, "g", 1, &error), 1);
	assert_int_equal(fsmeta_cursor_next(cursor, &entry, &error), 0);
	assert_int_equal(fsmeta_cursor_leap(cursor, "h", 1, &error), 0);
	fsmeta_cursor_close(cursor);
	fsmeta_db_close(db);
	assert_int_equal(unlink(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_histories),
	    cmocka_unit_test(test_chain),
	    cmocka_unit_test(test_far),
	};
	int failed;

	expect_handler = fail_with;
	if (!mkdtemp(folder))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	return rmdir(folder) || failed;
}
