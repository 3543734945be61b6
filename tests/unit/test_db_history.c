/*
 * Histories: random trees over twenty generations against the model of
 * tests/support/model.h, which keeps each as a plain listing.
 *
 * After every generation all or some of them are read back and must equal their
 * listings, with equal ids, digests and totals.  Changes come from the model's naive
 * diff, without and with moves, so that the database is judged apart from the merge.
 */
#include "tests/support/expect.h"
#include "tests/support/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	GENERATIONS = 20,
	/** bench/soak runs a thousand, and FSMETA_TEST_SEEDS as many as it says. */
	SEEDS = 25,
};

static struct fsmeta_error error;

static void fail_with(const char *text)
{
	fail_msg("%s", text);
}

/** The first import of the newest generation into another database makes the same of it. */
static void check_adoption(struct model *model, struct fsmeta_db *db, const char *path)
{
	const struct fsmeta_entry *entry;
	struct fsmeta_db_update *update;
	struct fsmeta_cursor *cursor;
	struct fsmeta_db *other;
	int code;

	EXPECT_OK(fsmeta_db_cursor(&cursor, db, model->newest, NULL, &error), &error);
	EXPECT_OK(fsmeta_db_open(&other, path, FSMETA_DB_WRITE, &error), &error);
	EXPECT_OK(fsmeta_db_update_begin(&update, other, 0, cursor->source, &error), &error);
	while ((code = fsmeta_cursor_next(cursor, &entry, &error)) > 0) {
		const struct fsmeta_change change = {.kind = FSMETA_CHANGE_ADDED, .after = entry};
		struct fsmeta_change_sink *sink = fsmeta_db_update_sink(update);

		EXPECT_OK(sink->change(sink, &change, &error), &error);
	}
	EXPECT_OK(code, &error);
	EXPECT_OK(fsmeta_db_update_commit(update, NULL, &error), &error);
	fsmeta_cursor_close(cursor);
	model_check_generation(model, other, model->newest, true);
	EXPECT_OK(fsmeta_db_verify(other, NULL, &error), &error);
	fsmeta_db_close(other);
	assert_int_equal(unlink(path), 0);
}

static void run_history(const char *path, uint64_t seed, enum model_route route, bool moves)
{
	const struct model_options options = {
	    .generations = GENERATIONS, .nodes = 300, .moves = moves};
	struct model model;
	struct fsmeta_db *db;
	char other[80];

	model_init(&model, seed, &options);
	EXPECT_OK(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error), &error);
	for (uint64_t number = 1; number <= GENERATIONS; number++) {
		model_next(&model);
		model_write(&model, db, path, route);
		for (uint64_t old = 1; old <= number; old++)
			if (old == number || model_random(&model, 4) == 0)
				model_check_generation(&model, db, old, false);
		model_check_skipping(
		    &model, db, 1 + model_random(&model, number), model_random(&model, 2) != 0);
	}
	for (uint64_t old = 1; old <= GENERATIONS; old++)
		model_check_generation(&model, db, old, false);
	EXPECT_OK(fsmeta_db_verify(db, NULL, &error), &error);
	snprintf(other, sizeof(other), "%s-other", path);
	check_adoption(&model, db, other);
	fsmeta_db_close(db);
	model_release(&model);
}

static void run_seeds(enum model_route route, bool moves)
{
	char folder[] = "/tmp/fsmeta-test-XXXXXX";
	char path[64];

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/x.db", folder);
	for (uint64_t seed = 1; seed <= expect_seeds(SEEDS); seed++) {
		run_history(path, seed, route, moves);
		assert_int_equal(unlink(path), 0);
	}
	/* Nothing may be left beside it. */
	assert_int_equal(rmdir(folder), 0);
}

static void test_histories(void **state)
{
	(void)state;
	run_seeds(MODEL_BY_CHANGES, false);
}

static void test_histories_with_moves(void **state)
{
	(void)state;
	run_seeds(MODEL_BY_CHANGES, true);
}

static void test_histories_through_the_merge(void **state)
{
	(void)state;
	run_seeds(MODEL_BY_UPDATE, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_histories),
	    cmocka_unit_test(test_histories_with_moves),
	    cmocka_unit_test(test_histories_through_the_merge),
	};

	expect_handler = fail_with;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
