/*
 * The views over all generations against the model of tests/support/model.h: whatever
 * happens to a tree, `changes` tells each generation's changes and `versions` the
 * state of each.  Then the same of a file that was of version 1 before, from which
 * migration makes the same rows as writing had left.  Then of one that was pruned.
 */
#include "tests/support/model.h"

#include "base/path.h"
#include "db/prune.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	GENERATIONS = 12,
	SEEDS = 12,
};

static struct fsmeta_error error;

static void fail_with(const char *text)
{
	fail_msg("%s", text);
}

static sqlite3 *open_plain(const char *path)
{
	sqlite3 *handle;

	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	return handle;
}

static void execute(sqlite3 *handle, const char *sql)
{
	if (sqlite3_exec(handle, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(handle));
}

static sqlite3_stmt *prepare(sqlite3 *handle, const char *sql, uint64_t generation)
{
	sqlite3_stmt *statement;

	if (sqlite3_prepare_v2(handle, sql, -1, &statement, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(handle));
	sqlite3_bind_int64(statement, 1, (int64_t)generation);
	return statement;
}

/** Lines in the order of their bytes, as a set to be compared. */
struct lines {
	char **items;
	size_t count;
};

static void add_line(struct lines *lines, char *line)
{
	lines->items = realloc(lines->items, (lines->count + 1) * sizeof(*lines->items));
	assert_true(line && lines->items);
	lines->items[lines->count++] = line;
}

static int compare_lines(const void *left, const void *right)
{
	return strcmp(*(char *const *)left, *(char *const *)right);
}

static void sort_lines(struct lines *lines)
{
	if (lines->count)
		qsort(lines->items, lines->count, sizeof(*lines->items), compare_lines);
}

static void release_lines(struct lines *lines)
{
	for (size_t i = 0; i < lines->count; i++)
		free(lines->items[i]);
	free(lines->items);
	*lines = (struct lines){0};
}

static void expect_same(
    const struct model *model, uint64_t number, struct lines *told, struct lines *expected)
{
	sort_lines(told);
	sort_lines(expected);
	for (size_t i = 0; i < told->count || i < expected->count; i++) {
		const char *have = i < told->count ? told->items[i] : "(nothing)";
		const char *want = i < expected->count ? expected->items[i] : "(nothing)";

		if (strcmp(have, want) != 0)
			fail_msg("seed %d, generation %d:\n  the view says  %s\n  it should be  %s",
			    (int)model->seed, (int)number, have, want);
	}
	release_lines(told);
	release_lines(expected);
}

/** All lines that a statement of one text column yields. */
static void query_lines(struct lines *out, sqlite3 *handle, const char *sql, uint64_t generation)
{
	sqlite3_stmt *statement = prepare(handle, sql, generation);

	while (sqlite3_step(statement) == SQLITE_ROW)
		add_line(out, strdup((const char *)sqlite3_column_text(statement, 0)));
	if (sqlite3_finalize(statement) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(handle));
}

/* ---- what the model says -------------------------------------------------- */

static const char *type_text(enum fsmeta_type type)
{
	static const char *const names[] = {
	    "?", "file", "folder", "symlink", "fifo", "socket", "block", "char"};

	return names[type];
}

static char *path_of(const struct fsmeta_entry *entry)
{
	return entry->path_length ? strndup(entry->path, entry->path_length) : strdup(".");
}

static char *change_line(const struct model_change *item)
{
	const struct fsmeta_change *change = &item->change;
	const struct fsmeta_entry *entry = fsmeta_change_entry(change);
	char *path = path_of(entry);
	char *old_path = change->kind == FSMETA_CHANGE_MOVED ? path_of(change->before) : strdup("");
	char *line;

	assert_true(asprintf(&line, "%s|%s|%s|%s", fsmeta_change_kind_name(change->kind),
			type_text(entry->type), path, old_path) > 0);
	free(path);
	free(old_path);
	return line;
}

/** Whether the view has a line for it. */
static bool is_told(const struct fsmeta_change *change)
{
	return !(change->flags & FSMETA_CHANGE_INSIDE) &&
	       change->kind != FSMETA_CHANGE_UNREADABLE && change->kind != FSMETA_CHANGE_UNKNOWN;
}

static void check_changes(const struct model *model, sqlite3 *handle, uint64_t number)
{
	const struct model_generation *generation = &model->generations[number];
	struct lines told = {0}, expected = {0};

	query_lines(&told, handle,
	    "SELECT kind || '|' || type || '|' || path || '|' || ifnull(old_path, '')"
	    " FROM changes WHERE generation = ?1",
	    number);
	for (size_t i = 0; i < generation->change_count && number > 1; i++)
		if (is_told(&generation->changes[i].change))
			add_line(&expected, change_line(&generation->changes[i]));
	expect_same(model, number, &told, &expected);
}

static const struct model_node *find_number(const struct model_nodes *nodes, uint64_t number)
{
	for (size_t i = 0; i < nodes->count; i++)
		if (nodes->items[i].number == number)
			return &nodes->items[i];
	return NULL;
}

/** Number of the folder that holds it, 0 above the root. */
static uint64_t parent_number(const struct model_nodes *nodes, const struct model_node *node)
{
	const struct fsmeta_entry *entry = &node->entry;
	size_t name_at = fsmeta_path_name_offset(entry->path, entry->path_length);

	return entry->depth ? model_find(nodes, entry->path, name_at ? name_at - 1 : 0)->number : 0;
}

/** The line of an entry that is in one of the two states alone, unless its folder is, too. */
static void expect_alone(struct lines *out, const char *kind, const struct model_nodes *here,
    const struct model_node *node, const struct model_nodes *there)
{
	uint64_t parent = parent_number(here, node);
	char *path, *line;

	if (parent && !find_number(there, parent))
		return;
	path = path_of(&node->entry);
	assert_true(asprintf(&line, "%s|%s|%s|", kind, type_text(node->entry.type), path) > 0);
	add_line(out, line);
	free(path);
}

/** The line of an entry that was given another folder or name. */
static void expect_moved(struct lines *out, const struct model_nodes *old,
    const struct model_node *before, const struct model_nodes *new, const struct model_node *after)
{
	char *path, *old_path, *line;

	if (parent_number(old, before) == parent_number(new, after) &&
	    before->entry.name_length == after->entry.name_length &&
	    memcmp(before->entry.name, after->entry.name, after->entry.name_length) == 0)
		return;
	path = path_of(&after->entry);
	old_path = path_of(&before->entry);
	assert_true(
	    asprintf(&line, "moved|%s|%s|%s", type_text(after->entry.type), path, old_path) > 0);
	add_line(out, line);
	free(path);
	free(old_path);
}

/** What came, went or moved between two generations that are neighbours by pruning. */
static void check_kept(
    const struct model *model, sqlite3 *handle, uint64_t previous, uint64_t number)
{
	const struct model_nodes *old = &model->generations[previous].state;
	const struct model_nodes *new = &model->generations[number].state;
	struct lines told = {0}, expected = {0};

	query_lines(&told, handle,
	    "SELECT kind || '|' || type || '|' || path || '|' || ifnull(old_path, '')"
	    " FROM changes WHERE generation = ?1 AND kind NOT IN ('modified', 'corrupted')",
	    number);
	for (size_t i = 0; i < old->count; i++)
		if (!find_number(new, old->items[i].number))
			expect_alone(&expected, "removed", old, &old->items[i], new);
	for (size_t i = 0; i < new->count; i++) {
		const struct model_node *before = find_number(old, new->items[i].number);

		if (before)
			expect_moved(&expected, old, before, new, &new->items[i]);
		else
			expect_alone(&expected, "added", new, &new->items[i], old);
	}
	expect_same(model, number, &told, &expected);
}

static void check_versions(const struct model *model, sqlite3 *handle, uint64_t number)
{
	const struct model_nodes *state = &model->generations[number].state;
	struct lines told = {0}, expected = {0};

	query_lines(&told, handle,
	    "SELECT type || '|' || path || '|' || ifnull(mode, '-') FROM versions"
	    " WHERE since <= ?1 AND (until IS NULL OR until > ?1)",
	    number);
	for (size_t i = 0; i < state->count; i++) {
		const struct fsmeta_entry *entry = &state->items[i].entry;
		char mode[16] = "-";
		char *path = path_of(entry);
		char *line;

		if (entry->fields & FSMETA_FIELD_MODE)
			snprintf(mode, sizeof(mode), "%04o", entry->mode);
		assert_true(asprintf(&line, "%s|%s|%s", type_text(entry->type), path, mode) > 0);
		add_line(&expected, line);
		free(path);
	}
	expect_same(model, number, &told, &expected);
}

static void check_views(const struct model *model, const char *path)
{
	sqlite3 *handle = open_plain(path);

	for (uint64_t number = 1; number <= model->newest; number++) {
		check_changes(model, handle, number);
		check_versions(model, handle, number);
	}
	sqlite3_close(handle);
}

/* ---- version 1 and back ------------------------------------------------------ */

static void make_version_1(const char *path)
{
	sqlite3 *handle = open_plain(path);

	execute(handle,
	    "CREATE TABLE kept AS SELECT * FROM change;"
	    "DROP TABLE change; DROP TABLE content_read; DROP VIEW changes; DROP VIEW versions;"
	    "DROP VIEW folder_paths; DROP VIEW unknown_places; PRAGMA user_version=1");
	sqlite3_close(handle);
}

/** The rows of table change are those that were there before make_version_1(). */
static void check_same_rows(const struct model *model, const char *path)
{
	sqlite3 *handle = open_plain(path);
	struct lines told = {0}, expected = {0};

	query_lines(&told, handle,
	    "SELECT generation || ' ' || folder || ' ' || hex(name) FROM change"
	    " WHERE generation < ?1",
	    model->newest);
	query_lines(&expected, handle,
	    "SELECT generation || ' ' || folder || ' ' || hex(name) FROM kept"
	    " WHERE generation < ?1",
	    model->newest);
	expect_same(model, 0, &told, &expected);
	sqlite3_close(handle);
}

static void next_generation(struct model *model, const char *path)
{
	struct fsmeta_db *db;

	model_next(model);
	EXPECT_OK(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error), &error);
	model_write(model, db, path, MODEL_BY_CHANGES);
	model_check_generation(model, db, model->newest, false);
	fsmeta_db_close(db);
}

static void check_file(struct model *model, const char *path)
{
	struct fsmeta_db *db;

	EXPECT_OK(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error), &error);
	for (uint64_t number = 1; number <= model->newest; number++)
		model_check_generation(model, db, number, false);
	EXPECT_OK(fsmeta_db_verify(db, NULL, &error), &error);
	fsmeta_db_close(db);
}

/** Takes two in three generations out; the views speak of what is left. */
static void prune_and_check(struct model *model, const char *path)
{
	uint64_t numbers[GENERATIONS], previous = 0;
	struct fsmeta_db_pruned pruned;
	struct fsmeta_db *db;
	size_t count = 0;
	sqlite3 *handle;

	for (uint64_t number = 1; number < model->newest; number++)
		if (model_random(model, 3))
			numbers[count++] = number;
	EXPECT_OK(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error), &error);
	EXPECT_OK(fsmeta_db_prune(&pruned, db, numbers, count, NULL, &error), &error);
	EXPECT_OK(fsmeta_db_verify(db, NULL, &error), &error);
	fsmeta_db_close(db);
	handle = open_plain(path);
	for (uint64_t number = 1, at = 0; number <= model->newest; number++) {
		if (at < count && numbers[at] == number) {
			at++;
			continue;
		}
		if (previous)
			check_kept(model, handle, previous, number);
		check_versions(model, handle, number);
		previous = number;
	}
	sqlite3_close(handle);
}

static void run_history(const char *path, uint64_t seed, bool moves)
{
	const struct model_options options = {
	    .generations = GENERATIONS, .moves = moves, .one_mask = true};
	struct model model;

	model_init(&model, seed, &options);
	while (model.newest < GENERATIONS - 1)
		next_generation(&model, path);
	check_views(&model, path);
	make_version_1(path);
	check_file(&model, path);
	next_generation(&model, path);
	check_file(&model, path);
	check_same_rows(&model, path);
	check_views(&model, path);
	prune_and_check(&model, path);
	model_release(&model);
}

static void run_seeds(bool moves)
{
	char folder[] = "/tmp/fsmeta-db-views-XXXXXX";
	char path[64];

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/x.db", folder);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		run_history(path, seed, moves);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(rmdir(folder), 0);
}

static void test_views(void **state)
{
	(void)state;
	run_seeds(false);
}

static void test_views_with_moves(void **state)
{
	(void)state;
	run_seeds(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_views),
	    cmocka_unit_test(test_views_with_moves),
	};

	expect_handler = fail_with;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
