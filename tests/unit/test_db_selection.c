/*
 * Selections: cursors that leave out what is equal in two generations.
 *
 * Random histories of tests/support/model.h, with sub-tree scans, unreadable folders,
 * excludes, other masks, moves, and generations that are pruned.  For pairs of
 * generations, either way round, the diff of two such cursors must tell exactly what
 * the diff of two whole ones tells, ids and all.  The soak has the long run.
 */
#include "db/prune.h"
#include "diff/diff.h"
#include "tests/support/model.h"
#include "tests/unit/test_db_file.h"

#include <errno.h>
#include <inttypes.h>

enum {
	GENERATIONS = 14,
	SEEDS = 3,
	/** Pairs compared after each history, and once more after pruning. */
	PAIRS = 10,
};

static char folder[] = "/tmp/fsmeta-test-XXXXXX";
static char path[64];

static void fail_with(const char *text)
{
	fail_msg("%s", text);
}

/** A database of its own for each test, as one that failed leaves its own behind. */
static void next_path(void)
{
	static unsigned number;

	snprintf(path, sizeof(path), "%s/%u.db", folder, number++);
}

/* ---- all that a diff tells, as text ---------------------------------------- */

struct teller {
	struct fsmeta_change_sink sink;
	struct fsmeta_buffer text;
};

static void tell_entry(struct fsmeta_buffer *text, const struct fsmeta_entry *entry)
{
	if (!entry) {
		fsmeta_buffer_append_text(text, " -");
		return;
	}
	fsmeta_buffer_append_format(text,
	    " [\"%.*s\" depth %u name %zu type %d id %" PRIu64 " fields %x flags %x error %d"
	    " size %" PRIu64 " m %" PRId64 ".%u c %" PRId64 ".%u b %" PRId64 ".%u mode %o uid %u"
	    " gid %u dev %u inode %" PRIu64 " nlink %" PRIu64 " allocated %" PRIu64
	    " rdev %u:%u target \"%.*s\" hash %d %02x%02x since %" PRIu64 "]",
	    (int)entry->path_length, entry->path, entry->depth, entry->name_length, entry->type,
	    entry->id, entry->fields, entry->flags, entry->error, entry->size, entry->mtime.seconds,
	    entry->mtime.nanoseconds, entry->ctime.seconds, entry->ctime.nanoseconds,
	    entry->btime.seconds, entry->btime.nanoseconds, entry->mode, entry->uid, entry->gid,
	    entry->device, entry->inode, entry->nlink, entry->allocated, entry->rdev_major,
	    entry->rdev_minor, (int)entry->target_length, entry->target ? entry->target : "",
	    entry->hash_algorithm, entry->hash[0], entry->hash[1], entry->unknown_since);
}

static int take_change(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *out)
{
	struct teller *teller = (struct teller *)sink;

	(void)out;
	fsmeta_buffer_append_format(&teller->text,
	    "%s flags %x fields %x entries %" PRIu64 " bytes %" PRIu64,
	    fsmeta_change_kind_name(change->kind), change->flags, change->fields, change->entries,
	    change->bytes);
	tell_entry(&teller->text, change->before);
	tell_entry(&teller->text, change->after);
	fsmeta_buffer_append_byte(&teller->text, '\n');
	return 0;
}

/** Diffs the two and closes them; returns how many entries were read. */
static uint64_t tell(struct teller *teller, struct fsmeta_cursor *cursors[2],
    const struct fsmeta_diff_options *options)
{
	struct fsmeta_diff *diff;
	uint64_t entries;

	*teller = (struct teller){.sink = {.change = take_change}};
	EXPECT_OK(fsmeta_diff_run(&diff, cursors[0], cursors[1], options, &error), &error);
	EXPECT_OK(fsmeta_diff_replay(diff, &teller->sink, &error), &error);
	entries = fsmeta_diff_get_counts(diff)->entries_a + fsmeta_diff_get_counts(diff)->entries_b;
	assert_non_null(fsmeta_buffer_string(&teller->text));
	fsmeta_diff_free(diff);
	fsmeta_cursor_close(cursors[0]);
	fsmeta_cursor_close(cursors[1]);
	return entries;
}

/* ---- histories --------------------------------------------------------------- */

/** Entries read by whole cursors and by selective ones. */
static uint64_t entries_whole, entries_selected;

/** Both as text; the first lines that differ are what is told. */
static void expect_equal(const struct fsmeta_buffer *whole, const struct fsmeta_buffer *selected,
    const uint64_t numbers[2], const struct fsmeta_diff_options *options)
{
	const char *a = (const char *)whole->data, *b = (const char *)selected->data;
	size_t same = 0;

	while (a[same] && a[same] == b[same])
		same++;
	if (a[same] == b[same])
		return;
	while (same && a[same - 1] != '\n')
		same--;
	expect_failed(__FILE__, __LINE__,
	    "generations %" PRIu64 " and %" PRIu64
	    ", notion %d, ids %d:\n%.900s\nbut selected:\n%.900s",
	    numbers[0], numbers[1], options->notion, options->compare_ids, a + same, b + same);
}

static void compare(
    struct fsmeta_db *db, const uint64_t numbers[2], const struct fsmeta_diff_options *options)
{
	struct fsmeta_cursor *cursors[2];
	struct teller whole, selected;

	for (int i = 0; i < 2; i++)
		EXPECT_OK(fsmeta_db_cursor(&cursors[i], db, numbers[i], NULL, &error), &error);
	entries_whole += tell(&whole, cursors, options);
	EXPECT_OK(fsmeta_db_difference_cursors(cursors, db, NULL, numbers, NULL, &error), &error);
	entries_selected += tell(&selected, cursors, options);
	expect_equal(&whole.text, &selected.text, numbers, options);
	fsmeta_buffer_release(&whole.text);
	fsmeta_buffer_release(&selected.text);
}

static void compare_pairs(struct model *model, struct fsmeta_db *db, const bool *pruned)
{
	for (int pair = 0; pair < PAIRS; pair++) {
		const uint64_t numbers[2] = {
		    model_random(model, model->newest + 1), 1 + model_random(model, model->newest)};
		const struct fsmeta_diff_options options = {
		    .notion = model_random(model, 2) ? FSMETA_DIFF_STORED : FSMETA_DIFF_REPORTED,
		    .fields = model_random(model, 2) ? FSMETA_FIELDS_ALL : 0,
		    .compare_ids = model_random(model, 2) && numbers[0],
		};

		if (!pruned[numbers[0]] && !pruned[numbers[1]])
			compare(db, numbers, &options);
	}
}

/** Some of those before the newest. */
static void prune(struct model *model, struct fsmeta_db *db, bool *pruned)
{
	struct fsmeta_db_pruned result;
	uint64_t numbers[GENERATIONS];
	size_t count = 0;

	for (uint64_t number = 1; number < model->newest; number++)
		if (model_random(model, 3) == 0) {
			numbers[count++] = number;
			pruned[number] = true;
		}
	EXPECT_OK(fsmeta_db_prune(&result, db, numbers, count, NULL, &error), &error);
}

static void run_history(uint64_t seed, const struct model_options *options, enum model_route route)
{
	bool pruned[GENERATIONS + 1] = {false};
	struct model model;
	struct fsmeta_db *db;

	expect_context("seed %" PRIu64, seed);
	model_init(&model, seed, options);
	next_path();
	EXPECT_OK(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error), &error);
	for (uint64_t number = 1; number <= GENERATIONS; number++) {
		model_next(&model);
		model_write(&model, db, path, route);
		/* It learns the ids, too. */
		model_check_generation(&model, db, number, false);
	}
	compare_pairs(&model, db, pruned);
	prune(&model, db, pruned);
	compare_pairs(&model, db, pruned);
	fsmeta_db_close(db);
	model_release(&model);
	assert_int_equal(unlink(path), 0);
}

static void run_seeds(const struct model_options *options, enum model_route route)
{
	uint64_t seeds = expect_seeds(SEEDS);

	entries_whole = 0;
	entries_selected = 0;
	for (uint64_t seed = 1; seed <= seeds; seed++)
		run_history(seed, options, route);
	/* Or else nothing was tested. */
	assert_true(entries_selected < entries_whole);
	print_message("%" PRIu64 " of %" PRIu64 " entries read\n", entries_selected, entries_whole);
}

static void test_histories(void **state)
{
	const struct model_options options = {.generations = GENERATIONS, .nodes = 200};

	(void)state;
	run_seeds(&options, MODEL_BY_CHANGES);
}

static void test_histories_with_moves(void **state)
{
	const struct model_options options = {
	    .generations = GENERATIONS, .nodes = 200, .moves = true, .one_mask = true};

	(void)state;
	run_seeds(&options, MODEL_BY_CHANGES);
}

/** Few changes at a time, so that most of the tree is left out. */
static void test_quiet_histories(void **state)
{
	const struct model_options options = {
	    .generations = GENERATIONS, .nodes = 400, .mutations = 4, .one_mask = true};

	(void)state;
	run_seeds(&options, MODEL_BY_UPDATE);
}

/** Everything is seen, so nothing but table `change` matters. */
static void test_histories_all_seen(void **state)
{
	const struct model_options options = {.generations = GENERATIONS,
	    .nodes = 400,
	    .mutations = 6,
	    .moves = true,
	    .sees_all = true,
	    .one_mask = true};

	(void)state;
	run_seeds(&options, MODEL_BY_CHANGES);
}

/* ---- skipping ------------------------------------------------------------------ */

/** What a selective cursor hands out when folders are skipped at random. */
static void read_skipping(struct model *model, struct fsmeta_db *db, const uint64_t numbers[2],
    struct fsmeta_buffer *text, uint64_t seed)
{
	struct fsmeta_cursor *cursors[2], *all[2];
	const struct fsmeta_entry *entry, *expected;
	int code;

	EXPECT_OK(fsmeta_db_difference_cursors(cursors, db, NULL, numbers, NULL, &error), &error);
	EXPECT_OK(fsmeta_db_difference_cursors(all, db, NULL, numbers, NULL, &error), &error);
	model->random_state = seed;
	fsmeta_buffer_clear(text);
	while ((code = fsmeta_cursor_next(cursors[1], &entry, &error)) > 0) {
		EXPECT_OK(fsmeta_cursor_next(all[1], &expected, &error), &error);
		assert_non_null(expected);
		assert_int_equal(entry->id, expected->id);
		if (model_random(model, 4) == 0) {
			/* Now and then all that is left. */
			uint32_t depth = model_random(model, 50)
					     ? 1 + (uint32_t)model_random(model, entry->depth + 1)
					     : 0;

			EXPECT_OK(fsmeta_cursor_skip(cursors[1], depth, &error), &error);
			/* The same by hand, up to what the other is to hand out next. */
			do {
				code = fsmeta_cursor_next(all[1], &expected, &error);
			} while (code > 0 && expected->depth >= depth);
			EXPECT_OK(code, &error);
			code = fsmeta_cursor_next(cursors[1], &entry, &error);
			EXPECT_OK(code, &error);
			assert_int_equal(entry == NULL, expected == NULL);
			if (!entry)
				break;
			assert_int_equal(entry->id, expected->id);
		}
	}
	EXPECT_OK(code, &error);
	/* Either may be closed first. */
	fsmeta_cursor_close(cursors[seed % 2]);
	fsmeta_cursor_close(cursors[1 - seed % 2]);
	fsmeta_cursor_close(all[0]);
	fsmeta_cursor_close(all[1]);
}

static void test_skipping(void **state)
{
	const struct model_options options = {
	    .generations = GENERATIONS, .nodes = 400, .mutations = 20, .one_mask = true};
	struct fsmeta_buffer text = {0};
	struct model model;
	struct fsmeta_db *db;

	(void)state;
	model_init(&model, 7, &options);
	next_path();
	EXPECT_OK(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error), &error);
	for (uint64_t number = 1; number <= GENERATIONS; number++) {
		model_next(&model);
		model_write(&model, db, path, MODEL_BY_UPDATE);
	}
	for (uint64_t i = 1; i <= 60; i++) {
		const uint64_t numbers[2] = {1 + i % GENERATIONS, 1 + i / 3 % GENERATIONS};

		read_skipping(&model, db, numbers, &text, i * 0x9e3779b97f4a7c15);
	}
	fsmeta_buffer_release(&text);
	fsmeta_db_close(db);
	model_release(&model);
	assert_int_equal(unlink(path), 0);
}

/* ---- unreadable files ------------------------------------------------------------- */

static void send(struct fsmeta_db_update *update, enum fsmeta_change_kind kind,
    const struct fsmeta_entry *before, const struct fsmeta_entry *after, uint32_t fields)
{
	const struct fsmeta_change change = {
	    .kind = kind, .before = before, .after = after, .fields = fields};
	struct fsmeta_change_sink *sink = fsmeta_db_update_sink(update);

	assert_ok(sink->change(sink, &change, &error));
}

/** Generation 2 or 3: folder f001 cannot be read, from 2 on a file in f000 neither; f002 changes.
 */
static void write_unreadable(struct fsmeta_db *db, uint64_t number)
{
	struct fsmeta_entry before = make_entry("f000/00000007", FSMETA_TYPE_FILE, 7);
	struct fsmeta_entry after = before, place = make_entry("f001", FSMETA_TYPE_FOLDER, 0);
	struct fsmeta_entry seen = place;
	struct fsmeta_batch_source source;
	struct fsmeta_db_update *update;

	after.flags = place.flags = FSMETA_FLAG_UNREADABLE;
	after.error = place.error = EACCES;
	describe_scan(&source, number);
	assert_ok(fsmeta_db_update_begin(&update, db, number - 1, &source, &error));
	if (number == 2)
		send(update, FSMETA_CHANGE_MODIFIED, &before, &after, FSMETA_FIELD_FLAGS);
	send(update, FSMETA_CHANGE_UNREADABLE, &seen, &place, 0);
	assert_ok(modify_entry(update, "f002/00000003", 100 + number));
	assert_ok(fsmeta_db_update_commit(update, NULL, &error));
	fsmeta_batch_source_release(&source);
}

/**
 * A file that cannot be read is told by every diff, and no table says where it is.  As many
 * folders are unreadable as there are unreadable entries, but of the folder only what is below
 * it; all the same the file is found, and the rest of the tree is left out.
 */
static void test_unreadable_file(void **state)
{
	const struct fsmeta_diff_options options = {.notion = FSMETA_DIFF_STORED};
	const uint64_t numbers[2] = {2, 3};
	struct fsmeta_db_generation generation;
	struct fsmeta_db *db;

	(void)state;
	next_path();
	make_database(path, 40, 100);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	write_unreadable(db, 2);
	write_unreadable(db, 3);
	assert_ok(fsmeta_db_generation(db, 3, &generation, &error));
	assert_int_equal(generation.source.totals.unreadable, 1);
	fsmeta_db_generation_release(&generation);
	entries_selected = 0;
	compare(db, numbers, &options);
	/* On both sides the root, three folders, the two files, and what the one folder holds. */
	assert_int_equal(entries_selected, 2 * (1 + 3 + 2 + 100));
	fsmeta_db_close(db);
	assert_int_equal(unlink(path), 0);
}

/** Generation 2 or 3: a file in f000 is not looked at, one in f002 changes. */
static void write_excluded(struct fsmeta_db *db, uint64_t number)
{
	struct fsmeta_entry place = make_entry("f000/00000007", FSMETA_TYPE_FILE, 7);
	struct fsmeta_batch_source source;
	struct fsmeta_db_update *update;

	describe_scan(&source, number);
	assert_ok(fsmeta_db_update_begin(&update, db, number - 1, &source, &error));
	send(update, FSMETA_CHANGE_UNKNOWN, &place, NULL, 0);
	assert_ok(modify_entry(update, "f002/00000003", 100 + number));
	assert_ok(fsmeta_db_update_commit(update, NULL, &error));
	fsmeta_batch_source_release(&source);
}

/** An unknown place that is a file is found by its id; the rest of the tree is left out. */
static void test_unknown_file(void **state)
{
	const struct fsmeta_diff_options options = {.notion = FSMETA_DIFF_STORED};
	const uint64_t numbers[2] = {2, 3};
	struct fsmeta_db *db;

	(void)state;
	next_path();
	make_database(path, 40, 100);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	write_excluded(db, 2);
	write_excluded(db, 3);
	entries_selected = 0;
	compare(db, numbers, &options);
	/* On both sides the root, two folders, the two files. */
	assert_int_equal(entries_selected, 2 * (1 + 2 + 2));
	fsmeta_db_close(db);
	assert_int_equal(unlink(path), 0);
}

/* ---- which errors ---------------------------------------------------------------- */

static void test_refusals(void **state)
{
	const struct model_options options = {.generations = 3, .nodes = 30};
	struct fsmeta_db_pruned result;
	struct fsmeta_cursor *cursors[2];
	const uint64_t one = 1;
	struct model model;
	struct fsmeta_db *db;

	(void)state;
	model_init(&model, 3, &options);
	next_path();
	EXPECT_OK(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error), &error);
	for (uint64_t number = 1; number <= 3; number++) {
		model_next(&model);
		model_write(&model, db, path, MODEL_BY_UPDATE);
	}
	EXPECT_OK(fsmeta_db_prune(&result, db, &one, 1, NULL, &error), &error);
	for (uint64_t bad = 1; bad <= 4; bad += 3) {
		const uint64_t forwards[2] = {bad, 3}, backwards[2] = {2, bad};

		assert_int_equal(
		    fsmeta_db_difference_cursors(cursors, db, NULL, forwards, NULL, &error),
		    FSMETA_E_NOT_FOUND);
		assert_null(cursors[0]);
		assert_null(cursors[1]);
		assert_int_equal(
		    fsmeta_db_difference_cursors(cursors, db, NULL, backwards, NULL, &error),
		    FSMETA_E_NOT_FOUND);
		assert_null(cursors[0]);
		assert_null(cursors[1]);
	}
	fsmeta_db_close(db);
	model_release(&model);
	assert_int_equal(unlink(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_histories),
	    cmocka_unit_test(test_histories_with_moves),
	    cmocka_unit_test(test_quiet_histories),
	    cmocka_unit_test(test_histories_all_seen),
	    cmocka_unit_test(test_skipping),
	    cmocka_unit_test(test_unreadable_file),
	    cmocka_unit_test(test_unknown_file),
	    cmocka_unit_test(test_refusals),
	};
	int failed;

	expect_handler = fail_with;
	if (!mkdtemp(folder))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	/* Nothing may be left beside it. */
	return rmdir(folder) || failed;
}
