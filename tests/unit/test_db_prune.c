/*
 * Pruning: random histories (tests/support/model.h), of which random generations are
 * taken out while new ones come in.
 *
 * Whatever was pruned, every kept generation must read back as the model has it, the
 * database must verify, and no row may be left that no kept generation could need.
 * Where only one generation is left, the tables must hold that one and nothing else.
 */
#include "db/prune.h"
#include "tests/support/model.h"
#include "tests/unit/test_db_file.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <sys/stat.h>

enum {
	GENERATIONS = 20,
	SEEDS = 6,
};

static void fail_with(const char *text)
{
	fail_msg("%s", text);
}

/* ---- asking the file ------------------------------------------------------------ */

static int64_t ask(const char *path, const char *sql)
{
	sqlite3_stmt *statement;
	sqlite3 *handle;
	int64_t answer;

	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	if (sqlite3_prepare_v2(handle, sql, -1, &statement, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(handle));
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	answer = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(handle);
	return answer;
}

static void expect_none(const char *path, const char *what, const char *sql)
{
	int64_t found = ask(path, sql);

	EXPECT(found == 0, "%" PRId64 " rows of %s are needed by no generation", found, what);
}

#define NEEDED                                                      \
	"(SELECT 1 FROM generation WHERE pruned = 0 AND number >= " \
	"x.since AND number < x.until)"

/** Rows that say themselves that nobody needs them. */
static void check_rows(const char *path)
{
	expect_none(path, "file_past", "SELECT count(*) FROM file_past x WHERE NOT EXISTS " NEEDED);
	expect_none(
	    path, "folder_past", "SELECT count(*) FROM folder_past x WHERE NOT EXISTS " NEEDED);
	expect_none(path, "folder_position",
	    "SELECT count(*) FROM folder_position x WHERE until IS NOT NULL AND NOT "
	    "EXISTS " NEEDED);
	expect_none(path, "unknown",
	    "SELECT count(*) FROM unknown WHERE root NOT IN (SELECT id FROM folder"
	    " UNION SELECT id FROM file UNION SELECT id FROM file_past)");
	expect_none(path, "change",
	    "SELECT count(*) FROM change x WHERE generation NOT IN"
	    " (SELECT number FROM generation WHERE pruned = 0)"
	    " OR generation = (SELECT min(number) FROM generation WHERE pruned = 0)"
	    " OR folder NOT IN (SELECT id FROM folder)"
	    " OR (name <> x'' AND NOT EXISTS (SELECT 1 FROM (SELECT parent, name, since AS at"
	    "   FROM file UNION ALL SELECT parent, name, since FROM file_past"
	    "   UNION ALL SELECT parent, name, until FROM file_past)"
	    "  WHERE parent = x.folder AND name = x.name AND x.generation ="
	    "   (SELECT min(number) FROM generation WHERE pruned = 0 AND number >= at)))");
}

/** The only generation that is left is all that is there. */
static void check_alone(const char *path, const struct model_nodes *state)
{
	int64_t folders = 0;

	for (size_t i = 0; i < state->count; i++)
		folders += state->items[i].entry.type == FSMETA_TYPE_FOLDER;
	assert_int_equal(ask(path, "SELECT count(*) FROM folder"), folders);
	assert_int_equal(ask(path, "SELECT count(*) FROM folder_position"), folders);
	assert_int_equal(ask(path, "SELECT count(*) FROM file"), (int64_t)state->count - folders);
	assert_int_equal(ask(path, "SELECT count(*) FROM file_past"), 0);
	assert_int_equal(ask(path, "SELECT count(*) FROM folder_past"), 0);
	assert_int_equal(ask(path, "SELECT count(*) FROM change"), 0);
}

/* ---- histories --------------------------------------------------------------------- */

struct history {
	struct model model;
	struct fsmeta_db *db;
	const char *path;
	bool pruned[GENERATIONS + 1];
};

static void check_generations(struct history *history)
{
	struct fsmeta_db_generation generation;
	struct fsmeta_cursor *cursor;

	for (uint64_t number = 1; number <= history->model.newest; number++) {
		if (!history->pruned[number]) {
			model_check_generation(&history->model, history->db, number, false);
			continue;
		}
		assert_int_equal(fsmeta_db_cursor(&cursor, history->db, number, NULL, &error),
		    FSMETA_E_NOT_FOUND);
		EXPECT_OK(fsmeta_db_generation(history->db, number, &generation, &error), &error);
		assert_true(generation.pruned);
		assert_int_equal(generation.source.totals.entries,
		    history->model.generations[number].state.count);
		fsmeta_db_generation_release(&generation);
	}
}

static void prune(struct history *history, const uint64_t *numbers, size_t count)
{
	struct fsmeta_db_pruned pruned;
	uint64_t expected = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		expected += !history->pruned[numbers[i]];
		history->pruned[numbers[i]] = true;
	}
	EXPECT_OK(fsmeta_db_prune(&pruned, history->db, numbers, count, NULL, &error), &error);
	assert_int_equal(pruned.generations, expected);
	check_rows(history->path);
	check_generations(history);
	EXPECT_OK(fsmeta_db_verify(history->db, NULL, &error), &error);
}

/** A few of those before the newest, perhaps some that were pruned before. */
static void prune_some(struct history *history)
{
	uint64_t numbers[GENERATIONS];
	uint64_t share = 1 + model_random(&history->model, 4);
	size_t count = 0;

	for (uint64_t number = history->model.newest - 1; number > 0; number--)
		if (model_random(&history->model, 4) < share)
			numbers[count++] = number;
	prune(history, numbers, count);
}

static void give_back(struct history *history)
{
	struct fsmeta_db_space space;

	EXPECT_OK(fsmeta_db_give_back(&space, history->db, NULL, &error), &error);
	assert_int_equal(space.free_bytes, 0);
	assert_true(space.bytes_after <= space.bytes_before);
	EXPECT_OK(fsmeta_db_verify(history->db, NULL, &error), &error);
}

static void run_history(const char *path, uint64_t seed, enum model_route route, bool moves)
{
	const struct model_options options = {
	    .generations = GENERATIONS, .nodes = 150, .moves = moves};
	struct history history = {.path = path};
	uint64_t all[GENERATIONS];

	expect_context("seed %" PRIu64, seed);
	model_init(&history.model, seed, &options);
	EXPECT_OK(fsmeta_db_open(&history.db, path, FSMETA_DB_WRITE, &error), &error);
	for (uint64_t number = 1; number <= GENERATIONS; number++) {
		all[number - 1] = number;
		model_next(&history.model);
		model_write(&history.model, history.db, path, route);
		model_check_generation(&history.model, history.db, number, false);
		if (model_random(&history.model, 4) == 0)
			prune_some(&history);
		if (model_random(&history.model, 6) == 0)
			give_back(&history);
		model_check_skipping(&history.model, history.db, number, number % 2 != 0);
	}
	prune(&history, all, GENERATIONS - 1);
	check_alone(path, &history.model.generations[GENERATIONS].state);
	give_back(&history);
	check_generations(&history);
	fsmeta_db_close(history.db);
	model_release(&history.model);
}

static void run_seeds(enum model_route route, bool moves)
{
	char folder[] = "/tmp/fsmeta-test-XXXXXX";
	char path[64];

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/x.db", folder);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		run_history(path, seed, route, moves);
		assert_int_equal(unlink(path), 0);
	}
	/* Nothing may be left beside it. */
	assert_int_equal(rmdir(folder), 0);
}

static void test_histories(void **state)
{
	(void)state;
	run_seeds(MODEL_BY_UPDATE, false);
}

static void test_histories_with_moves(void **state)
{
	(void)state;
	run_seeds(MODEL_BY_CHANGES, true);
}

/* ---- a file that comes and goes ----------------------------------------------------- */

/** Generation `number`: the file is there, where `there`, or not; it was before, where `before`. */
static void write_generation(struct fsmeta_db *db, uint64_t number, bool before, bool there)
{
	const struct fsmeta_entry entry = make_entry("x", FSMETA_TYPE_FILE, 1);
	const struct fsmeta_change change = {
	    .kind = there ? FSMETA_CHANGE_ADDED : FSMETA_CHANGE_REMOVED,
	    .before = there ? NULL : &entry,
	    .after = there ? &entry : NULL,
	};
	struct fsmeta_batch_source source;
	struct fsmeta_db_update *update;

	describe_scan(&source, number);
	assert_ok(fsmeta_db_update_begin(&update, db, number - 1, &source, &error));
	if (number == 1)
		assert_ok(add_entry(update, "", FSMETA_TYPE_FOLDER, 0));
	if (there != before)
		assert_ok(fsmeta_db_update_sink(update)->change(
		    fsmeta_db_update_sink(update), &change, &error));
	assert_ok(fsmeta_db_update_commit(update, NULL, &error));
	fsmeta_batch_source_release(&source);
}

/**
 * Where a file came and went between kept generations, no row of `change` is left, although
 * a generation that is still kept then had another file of that name.  (It stayed, and told of
 * nothing as soon as that generation was pruned.)
 */
static void test_file_between_kept_generations(void **state)
{
	static const bool there[] = {false, true, false, true, false, false};
	static const uint64_t between[] = {3, 4};
	char folder[] = "/tmp/fsmeta-test-XXXXXX";
	char path[64];
	struct fsmeta_db_pruned pruned;
	struct fsmeta_db *db;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/x.db", folder);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	for (uint64_t number = 1; number <= 5; number++)
		write_generation(db, number, there[number - 1], there[number]);
	assert_int_equal(ask(path, "SELECT count(*) FROM change"), 3);
	assert_ok(fsmeta_db_prune(&pruned, db, between, 2, NULL, &error));
	assert_int_equal(ask(path, "SELECT count(*) FROM file_past"), 1);
	assert_int_equal(ask(path, "SELECT count(*) FROM change"), 1);
	assert_int_equal(ask(path, "SELECT generation FROM change"), 2);
	assert_ok(fsmeta_db_verify(db, NULL, &error));
	assert_ok(fsmeta_db_prune(&pruned, db, (uint64_t[]){1}, 1, NULL, &error));
	assert_int_equal(ask(path, "SELECT count(*) FROM change"), 0);
	assert_ok(fsmeta_db_verify(db, NULL, &error));
	fsmeta_db_close(db);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_file_between_kept_generations),
	    cmocka_unit_test(test_histories),
	    cmocka_unit_test(test_histories_with_moves),
	};

	expect_handler = fail_with;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
