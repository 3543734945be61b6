/*
 * Sections of deltas applied to a database: moves, removed folders, wrong ids,
 * wrong bases, and that all sections go in or none.
 *
 * Every test has two databases of the same first generation (files 0 and 1 in
 * f000, f001, f002; ids 1 to 10 in canonical order).  One gets changes as a scan
 * brings them, the other as a delta does.
 */
#include "test_db_file.h"

#include <sys/stat.h>

static char scan_path[64], delta_path[64];

/** What a delta says, and what a scan adds to it: the descendants of what is gone. */
struct step {
	int kind;
	uint64_t id;
	const char *path;
	enum fsmeta_type type;
	uint64_t size;
	const char *old_path;
	bool inside;
};

#define FILE_TYPE FSMETA_TYPE_FILE
#define FOLDER_TYPE FSMETA_TYPE_FOLDER

/** Files change names with each other, a folder moves, a folder goes. */
static const struct step second[] = {
    {.kind = FSMETA_DELTA_PARENT, .id = 1, .path = "", .type = FOLDER_TYPE},
    {.kind = FSMETA_DELTA_PARENT, .id = 2, .path = "f000", .type = FOLDER_TYPE},
    {FSMETA_CHANGE_MOVED, 4, "f000/00000000", FILE_TYPE, 1, "f000/00000001", false},
    {FSMETA_CHANGE_MOVED, 3, "f000/00000001", FILE_TYPE, 0, "f000/00000000", false},
    {FSMETA_CHANGE_ADDED, 11, "f000/new", FILE_TYPE, 77, NULL, false},
    {FSMETA_CHANGE_REMOVED, 8, "f002", FOLDER_TYPE, 0, NULL, false},
    {FSMETA_CHANGE_REMOVED, 9, "f002/00000000", FILE_TYPE, 0, NULL, true},
    {FSMETA_CHANGE_REMOVED, 10, "f002/00000001", FILE_TYPE, 1, NULL, true},
    {FSMETA_CHANGE_MOVED, 5, "g", FOLDER_TYPE, 0, "f001", false},
};

static const struct step third[] = {
    {.kind = FSMETA_DELTA_PARENT, .id = 1, .path = "", .type = FOLDER_TYPE},
    {.kind = FSMETA_DELTA_PARENT, .id = 5, .path = "g", .type = FOLDER_TYPE},
    {FSMETA_CHANGE_MODIFIED, 6, "g/00000000", FILE_TYPE, 500, NULL, false},
};

enum {
	SECOND_COUNT = sizeof(second) / sizeof(second[0]),
	THIRD_COUNT = sizeof(third) / sizeof(third[0]),
};

static int scan_step(struct fsmeta_db_update *update, const struct step *step)
{
	struct fsmeta_change_sink *sink = fsmeta_db_update_sink(update);
	struct fsmeta_entry before =
	    make_entry(step->old_path ? step->old_path : step->path, step->type, step->size);
	struct fsmeta_entry after = make_entry(step->path, step->type, step->size);
	struct fsmeta_change change = {.kind = (enum fsmeta_change_kind)step->kind,
	    .flags = step->inside ? FSMETA_CHANGE_INSIDE : 0,
	    .before = step->kind == FSMETA_CHANGE_ADDED ? NULL : &before,
	    .after = step->kind == FSMETA_CHANGE_REMOVED ? NULL : &after};

	if (step->kind == FSMETA_DELTA_PARENT)
		return 0;
	before.id = step->id;
	return sink->change(sink, &change, &error);
}

/** The next generation as a scan brings it; *out describes it. */
static void scan(
    struct fsmeta_db_generation *out, const struct step *steps, size_t count, uint64_t number)
{
	struct fsmeta_batch_source source;
	struct fsmeta_db_update *update;
	struct fsmeta_db *db;

	describe_scan(&source, number);
	assert_ok(fsmeta_db_open(&db, scan_path, FSMETA_DB_WRITE, &error));
	assert_ok(fsmeta_db_update_begin(&update, db, number - 1, &source, &error));
	for (size_t i = 0; i < count; i++)
		assert_ok(scan_step(update, &steps[i]));
	assert_ok(fsmeta_db_update_commit(update, out, &error));
	fsmeta_db_close(db);
	fsmeta_batch_source_release(&source);
}

static int delta_step(struct fsmeta_db_delta *delta, const struct step *step)
{
	struct fsmeta_entry entry = make_entry(step->path, step->type, step->size);
	const struct fsmeta_delta_change change = {
	    .kind = step->kind,
	    .entry = &entry,
	    .old_path = step->old_path,
	    .old_path_length = step->old_path ? strlen(step->old_path) : 0,
	};

	entry.id = step->id;
	return step->inside ? 0 : fsmeta_db_delta_change(delta, &change, &error);
}

/** One section; the first code that is not 0. */
static int apply(struct fsmeta_db_delta *delta, const struct fsmeta_db_generation *base,
    const struct fsmeta_db_generation *generation, const struct step *steps, size_t count)
{
	const struct fsmeta_delta_section section = {
	    .base_generation = base->number,
	    .generation = generation->number,
	    .base_state_digest = base->source.state_digest,
	    .state_digest = generation->source.state_digest,
	    .compared_with = generation->base,
	    .added = generation->added,
	    .removed = generation->removed,
	    .modified = generation->modified,
	    .moved = generation->moved,
	    .source = &generation->source,
	};
	int code = fsmeta_db_delta_begin_section(delta, &section, &error);

	for (size_t i = 0; i < count && !code; i++)
		code = delta_step(delta, &steps[i]);
	return code ? code : fsmeta_db_delta_end_section(delta, &error);
}

/** What a test has: the generations of the one database, and the other one open. */
struct fixture {
	struct fsmeta_db_generation generations[4];
	struct fsmeta_db *db;
	struct fsmeta_db_delta *delta;
};

static void set_up(struct fixture *fixture)
{
	struct fsmeta_db *db;

	*fixture = (struct fixture){0};
	snprintf(scan_path, sizeof(scan_path), "/tmp/test_db_delta-%d-a.db", (int)getpid());
	snprintf(delta_path, sizeof(delta_path), "/tmp/test_db_delta-%d-b.db", (int)getpid());
	unlink(scan_path);
	unlink(delta_path);
	make_database(scan_path, 3, 2);
	make_database(delta_path, 3, 2);
	assert_ok(fsmeta_db_open(&db, scan_path, FSMETA_DB_READ, &error));
	assert_ok(fsmeta_db_generation(db, 1, &fixture->generations[1], &error));
	fsmeta_db_close(db);
	scan(&fixture->generations[2], second, SECOND_COUNT, 2);
	scan(&fixture->generations[3], third, THIRD_COUNT, 3);
	assert_ok(fsmeta_db_open(&fixture->db, delta_path, FSMETA_DB_WRITE, &error));
	assert_ok(fsmeta_db_delta_begin(&fixture->delta, fixture->db, &error));
}

static void tear_down(struct fixture *fixture)
{
	fsmeta_db_delta_abort(fixture->delta);
	fsmeta_db_close(fixture->db);
	for (size_t i = 1; i < 4; i++)
		fsmeta_db_generation_release(&fixture->generations[i]);
	unlink(scan_path);
	unlink(delta_path);
}

static int apply_steps(
    struct fixture *fixture, size_t number, const struct step *steps, size_t count)
{
	return apply(fixture->delta, &fixture->generations[number - 1],
	    &fixture->generations[number], steps, count);
}

/** Aborts and expects the database to have nothing but its first generation. */
static void assert_unchanged(struct fixture *fixture)
{
	uint64_t newest;

	fsmeta_db_delta_abort(fixture->delta);
	fixture->delta = NULL;
	assert_ok(fsmeta_db_newest(fixture->db, &newest, &error));
	assert_int_equal(1, newest);
	assert_int_equal(10, read_all(fixture->db, 1));
	assert_ok(fsmeta_db_verify(fixture->db, NULL, &error));
}

static void assert_generations_equal(
    struct fsmeta_db *one, struct fsmeta_db *other, uint64_t number)
{
	const struct fsmeta_entry *a, *b;
	struct fsmeta_cursor *left, *right;
	int code;

	assert_ok(fsmeta_db_cursor(&left, one, number, NULL, &error));
	assert_ok(fsmeta_db_cursor(&right, other, number, NULL, &error));
	while ((code = fsmeta_cursor_next(left, &a, &error)) > 0) {
		assert_int_equal(1, fsmeta_cursor_next(right, &b, &error));
		assert_int_equal(a->path_length, b->path_length);
		assert_memory_equal(a->path, b->path, a->path_length);
		assert_int_equal(a->id, b->id);
		assert_int_equal(a->size, b->size);
		assert_int_equal(a->type, b->type);
	}
	assert_int_equal(0, code);
	assert_int_equal(0, fsmeta_cursor_next(right, &b, &error));
	fsmeta_cursor_close(left);
	fsmeta_cursor_close(right);
}

static void moves_and_removals_are_applied(void **state)
{
	struct fixture fixture;
	struct fsmeta_db *db;

	(void)state;
	set_up(&fixture);
	assert_ok(apply_steps(&fixture, 2, second, SECOND_COUNT));
	assert_ok(apply_steps(&fixture, 3, third, THIRD_COUNT));
	assert_ok(fsmeta_db_delta_commit(fixture.delta, &error));
	fixture.delta = NULL;
	assert_ok(fsmeta_db_open(&db, scan_path, FSMETA_DB_READ, &error));
	for (uint64_t number = 1; number <= 3; number++)
		assert_generations_equal(db, fixture.db, number);
	assert_ok(fsmeta_db_verify(fixture.db, NULL, &error));
	for (uint64_t number = 2; number <= 3; number++) {
		const struct fsmeta_db_generation *expected = &fixture.generations[number];
		struct fsmeta_db_generation found;

		assert_ok(fsmeta_db_generation(fixture.db, number, &found, &error));
		assert_int_equal(expected->base, found.base);
		assert_int_equal(expected->added, found.added);
		assert_int_equal(expected->removed, found.removed);
		assert_int_equal(expected->modified, found.modified);
		assert_int_equal(expected->moved, found.moved);
		fsmeta_db_generation_release(&found);
	}
	fsmeta_db_close(db);
	tear_down(&fixture);
}

/** One step of the second section is replaced by this; `count` of them are applied. */
static void expect(int wanted, size_t replaced, const struct step *by, size_t count)
{
	struct step steps[SECOND_COUNT];
	struct fixture fixture;

	memcpy(steps, second, sizeof(steps));
	if (by)
		steps[replaced] = *by;
	set_up(&fixture);
	assert_int_equal(wanted, apply_steps(&fixture, 2, steps, count));
	assert_unchanged(&fixture);
	tear_down(&fixture);
}

static void what_does_not_fit_changes_nothing(void **state)
{
	const struct step parent = {
	    .kind = FSMETA_DELTA_PARENT, .id = 7, .path = "f000", .type = FOLDER_TYPE};
	const struct step used = {FSMETA_CHANGE_ADDED, 10, "f000/new", FILE_TYPE, 77, NULL, false};
	const struct step missing = {
	    FSMETA_CHANGE_MODIFIED, 4, "f000/not-there", FILE_TYPE, 1, NULL, false};
	const struct step other_id = {
	    FSMETA_CHANGE_MODIFIED, 9, "f000/00000000", FILE_TYPE, 1, NULL, false};
	const struct step size = {FSMETA_CHANGE_ADDED, 11, "f000/new", FILE_TYPE, 78, NULL, false};
	const struct step gone = {FSMETA_CHANGE_REMOVED, 9, "f002", FOLDER_TYPE, 0, NULL, false};

	(void)state;
	expect(FSMETA_E_REFUSED, 1, &parent, SECOND_COUNT);
	expect(FSMETA_E_REFUSED, 4, &used, SECOND_COUNT);
	expect(FSMETA_E_CORRUPT, 2, &missing, SECOND_COUNT);
	expect(FSMETA_E_REFUSED, 2, &other_id, SECOND_COUNT);
	expect(FSMETA_E_CORRUPT, 4, &size, SECOND_COUNT);
	expect(FSMETA_E_CORRUPT, 5, &gone, SECOND_COUNT);
	/* A change is missing: totals and digest are others. */
	expect(FSMETA_E_CORRUPT, 0, NULL, SECOND_COUNT - 1);
	/* A file went and did not arrive. */
	expect(FSMETA_E_CORRUPT, 0, NULL, 3);
}

static void all_sections_or_none(void **state)
{
	struct fixture fixture;

	(void)state;
	set_up(&fixture);
	assert_ok(apply_steps(&fixture, 2, second, SECOND_COUNT));
	assert_int_equal(FSMETA_E_CORRUPT, apply_steps(&fixture, 3, third, THIRD_COUNT - 1));
	assert_unchanged(&fixture);
	tear_down(&fixture);
}

static void only_its_base_will_do(void **state)
{
	struct fixture fixture;

	(void)state;
	set_up(&fixture);
	assert_int_equal(FSMETA_E_REFUSED, apply_steps(&fixture, 3, third, THIRD_COUNT));
	assert_non_null(strstr(error.reason, "needs generation 2, and the newest here is 1"));
	assert_unchanged(&fixture);
	tear_down(&fixture);

	set_up(&fixture);
	fixture.generations[1].source.state_digest.low ^= 1;
	assert_int_equal(FSMETA_E_REFUSED, apply_steps(&fixture, 2, second, SECOND_COUNT));
	assert_non_null(strstr(error.reason, "another history"));
	assert_unchanged(&fixture);
	tear_down(&fixture);

	set_up(&fixture);
	fsmeta_batch_source_set(
	    &fixture.generations[2].source, &fixture.generations[2].source.source_id, "another");
	assert_int_equal(FSMETA_E_REFUSED, apply_steps(&fixture, 2, second, SECOND_COUNT));
	assert_non_null(strstr(error.reason, "database of source \"the source\""));
	assert_unchanged(&fixture);
	tear_down(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(moves_and_removals_are_applied),
	    cmocka_unit_test(what_does_not_fit_changes_nothing),
	    cmocka_unit_test(all_sections_or_none),
	    cmocka_unit_test(only_its_base_will_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
