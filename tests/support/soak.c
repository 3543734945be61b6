/*
 * One seed of the soak.
 *
 *     model ── view ──► a.db ──── deltas, now and then ───► b.db
 *                         │ prune (some seeds)                │
 *                         ├── every generation = its state ───┤
 *                         ├── every pair's diff = diff of     │
 *                         │   what may differ = naive diff ───┤
 *                         ├── check ──────────────────────────┤
 *                         ├── log, unknown places, history,   │
 *                         │   views and exports alike ────────┘
 *                         └── export ── import ──► c.db: equal
 *
 * A view reaches a.db as a cursor over an array or, as often, through a stream.  b.db begins
 * as the import of an export of generation 1, when nothing is carried yet, so that it
 * knows all that a.db knows.
 */
#include "tests/support/soak.h"

#include "db/history.h"
#include "db/prune.h"
#include "format/stream.h"
#include "tests/support/model.h"
#include "tests/support/naive_diff.h"
#include "tools/delta.h"
#include "tools/update.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	PATH_ROOM = 400,
};

struct soak {
	struct soak_counts *counts;
	struct model model;
	struct fsmeta_error error;
	char a_path[PATH_ROOM];
	char b_path[PATH_ROOM];
	char c_path[PATH_ROOM];
	/** A stream or a delta on its way. */
	char stream_path[PATH_ROOM];
	struct fsmeta_db *a;
	struct fsmeta_db *b;
	/** Newest generation of b. */
	uint64_t synced;
	/** Of a; an array by number. */
	bool *pruned;
	bool prunes;
};

static bool one_in(struct soak *soak, uint64_t limit)
{
	return model_random(&soak->model, limit) == 0;
}

static void open_database(struct soak *soak, struct fsmeta_db **out, const char *path)
{
	EXPECT_OK(fsmeta_db_open(out, path, FSMETA_DB_WRITE, &soak->error), &soak->error);
}

static void remove_stream(struct soak *soak)
{
	char path[PATH_ROOM + 20];

	snprintf(path, sizeof(path), "%s/entries.fss", soak->stream_path);
	unlink(path);
	snprintf(path, sizeof(path), "%s/source.json", soak->stream_path);
	unlink(path);
	EXPECT(rmdir(soak->stream_path) == 0, "something is left in a stream's folder");
}

/* ---- streams ---------------------------------------------------------------- */

/** Writes what the cursor yields as a stream, and closes the cursor. */
static void write_stream(struct soak *soak, struct fsmeta_cursor *cursor)
{
	struct fsmeta_stream_output *output;
	struct fsmeta_stream_summary summary;
	const struct fsmeta_entry *entry;
	int code;

	EXPECT_OK(fsmeta_stream_output_new(
		      &output, soak->stream_path, cursor->source, NULL, &soak->error),
	    &soak->error);
	while ((code = fsmeta_cursor_next(cursor, &entry, &soak->error)) > 0)
		EXPECT_OK(fsmeta_stream_writer_add(
			      fsmeta_stream_output_writer(output), entry, &soak->error),
		    &soak->error);
	EXPECT_OK(code, &soak->error);
	EXPECT_OK(fsmeta_stream_output_commit(output, &summary, &soak->error), &soak->error);
	fsmeta_cursor_close(cursor);
}

static void write_export(struct soak *soak, struct fsmeta_db *db, uint64_t number)
{
	struct fsmeta_cursor *cursor;

	EXPECT_OK(fsmeta_db_cursor(&cursor, db, number, NULL, &soak->error), &soak->error);
	write_stream(soak, cursor);
}

/** Imports the cursor as the next generation, and closes it. */
static void take_in(struct soak *soak, struct fsmeta_db *db, struct fsmeta_cursor *cursor)
{
	struct fsmeta_db_generation generation;
	struct fsmeta_update_options options;

	fsmeta_update_options_init(&options);
	options.accept_empty = true;
	options.accept_other_filesystem = true;
	options.max_removed_percent = 100;
	/* What moved in the model need not look as if it had. */
	options.no_moves = true;
	EXPECT_OK(
	    fsmeta_update_database(&generation, db, "the database", cursor, &options, &soak->error),
	    &soak->error);
	fsmeta_db_generation_release(&generation);
	fsmeta_cursor_close(cursor);
}

static void import_stream(struct soak *soak, struct fsmeta_db *db)
{
	struct fsmeta_cursor *cursor;

	EXPECT_OK(
	    fsmeta_stream_open_folder(&cursor, soak->stream_path, &soak->error), &soak->error);
	take_in(soak, db, cursor);
	remove_stream(soak);
}

static void scan(struct soak *soak)
{
	const struct model_generation *generation = model_next(&soak->model);
	struct fsmeta_cursor *cursor = model_cursor(&soak->model, generation->number);

	soak->counts->generations++;
	if (one_in(soak, 2)) {
		take_in(soak, soak->a, cursor);
	} else {
		write_stream(soak, cursor);
		import_stream(soak, soak->a);
	}
	for (size_t i = 0; i < generation->state.count; i++) {
		soak->counts->entries++;
		soak->counts->carried += generation->state.items[i].entry.unknown_since != 0;
	}
}

/* ---- keeping b.db in step ------------------------------------------------------- */

/** The delta in the folder, opened in one of the ways there are. */
static struct fsmeta_delta *open_delta(struct soak *soak)
{
	struct fsmeta_delta *delta = NULL;
	struct fsmeta_cursor *tree = NULL;
	char path[PATH_ROOM + 20];
	int fd;

	if (one_in(soak, 2)) {
		EXPECT_OK(fsmeta_delta_open(&delta, soak->stream_path, &soak->error), &soak->error);
		return delta;
	}
	snprintf(path, sizeof(path), "%s/entries.fss", soak->stream_path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	EXPECT(fd >= 0, "%s cannot be opened", path);
	EXPECT_OK(fsmeta_stream_open_either(&tree, &delta, fd, path, &soak->error), &soak->error);
	EXPECT(delta, "a delta opens as a tree");
	return delta;
}

static void apply_delta(struct soak *soak)
{
	struct fsmeta_delta *delta = open_delta(soak);
	struct fsmeta_db_generation generation;

	EXPECT_OK(
	    fsmeta_delta_import(&generation, soak->b, delta, NULL, &soak->error), &soak->error);
	EXPECT(generation.number == soak->synced, "the delta led to %" PRIu64, generation.number);
	fsmeta_db_generation_release(&generation);
	soak->counts->deltas++;
	soak->counts->sections += fsmeta_delta_get_facts(delta).sections;
	fsmeta_delta_close(delta);
	remove_stream(soak);
}

static void synchronise(struct soak *soak)
{
	struct fsmeta_delta_summary summary;
	uint64_t since = soak->synced;

	expect_context("seed %" PRIu64 ", delta from %" PRIu64 " to %" PRIu64, soak->model.seed,
	    since, soak->model.newest);
	soak->synced = soak->model.newest;
	if (!since) {
		write_export(soak, soak->a, soak->model.newest);
		import_stream(soak, soak->b);
		return;
	}
	EXPECT_OK(fsmeta_delta_export(soak->a, since, soak->model.newest, soak->stream_path,
		      &summary, &soak->error),
	    &soak->error);
	apply_delta(soak);
}

/** Takes out some generations, though never the one that b.db is at. */
static void prune(struct soak *soak)
{
	uint64_t *numbers = calloc(soak->model.newest, sizeof(*numbers));
	struct fsmeta_db_pruned pruned;
	size_t count = 0;

	EXPECT(numbers, "out of memory");
	for (uint64_t number = 1; number < soak->model.newest; number++)
		if (!soak->pruned[number] && number != soak->synced && one_in(soak, 3)) {
			numbers[count++] = number;
			soak->pruned[number] = true;
		}
	EXPECT_OK(
	    fsmeta_db_prune(&pruned, soak->a, numbers, count, NULL, &soak->error), &soak->error);
	EXPECT(pruned.generations == count, "%" PRIu64 " generations were pruned and not %zu",
	    pruned.generations, count);
	soak->counts->pruned += count;
	free(numbers);
}

/* ---- every generation equals its state ----------------------------------------- */

static void check_generation(struct soak *soak, uint64_t number)
{
	if (soak->pruned[number])
		return;
	model_check_generation(&soak->model, soak->a, number, false);
	soak->counts->reads++;
}

static void check_some(struct soak *soak)
{
	uint64_t newest = soak->model.newest;

	check_generation(soak, newest);
	check_generation(soak, 1 + model_random(&soak->model, newest));
	model_check_skipping(&soak->model, soak->a, newest, one_in(soak, 2));
}

/** Generations that b.db has: those that a.db still had when it was brought up to date. */
static bool b_has(struct soak *soak, uint64_t number)
{
	struct fsmeta_db_generation generation;
	int code = fsmeta_db_generation(soak->b, number, &generation, &soak->error);

	if (code)
		return false;
	fsmeta_db_generation_release(&generation);
	return true;
}

/* ---- every pair's diff equals the naive diff ------------------------------------ */

/** The state of a generation as a listing; devices are numbers of file systems. */
static void list_state(struct soak *soak, uint64_t number, bool seen_only, struct naive_tree *out)
{
	const struct model_generation *generation = &soak->model.generations[number];

	naive_tree_init(out);
	fsmeta_batch_source_release(&out->source);
	EXPECT(fsmeta_batch_source_copy(&out->source, &generation->source) == 0, "out of memory");
	out->source.id_kind = FSMETA_IDS_STABLE;
	/* What the generation shows is told by its state and not by the scan's table. */
	out->source.filesystem_count = 0;
	for (uint32_t i = 0; i < MODEL_FILESYSTEMS; i++) {
		uint32_t index;

		EXPECT(fsmeta_batch_source_add_filesystem(
			   &out->source, model_filesystem(i), "ext4", "", &index) == 0,
		    "out of memory");
	}
	for (size_t i = 0; i < generation->state.count; i++) {
		struct fsmeta_entry entry =
		    model_entry(&soak->model, number, &generation->state.items[i]);

		if (!seen_only || !entry.unknown_since)
			naive_tree_add(out, &entry);
	}
}

/** For each device index of the cursor the number of the file system. */
static uint32_t *number_devices(const struct fsmeta_cursor *cursor)
{
	const struct fsmeta_batch_source *source = cursor->source;
	uint32_t *numbers = calloc(source->filesystem_count + 1, sizeof(*numbers));

	EXPECT(numbers, "out of memory");
	for (size_t i = 0; i < source->filesystem_count; i++)
		while (strcmp(source->filesystems[i].uuid, model_filesystem(numbers[i])) != 0)
			numbers[i]++;
	return numbers;
}

static void random_diff_options(struct soak *soak, struct fsmeta_diff_options *options)
{
	*options = (struct fsmeta_diff_options){
	    .notion = one_in(soak, 2) ? FSMETA_DIFF_STORED : FSMETA_DIFF_REPORTED,
	    .seen_only = one_in(soak, 8),
	    .spool_bytes = one_in(soak, 2) ? 64 : 0,
	};
	if (one_in(soak, 4)) {
		options->fields = (uint32_t)model_random(&soak->model, 2 * FSMETA_FIELD_FLAGS);
		options->fields_only = one_in(soak, 2);
	}
}

/** Diffs the two cursors and closes them; returns how many entries they yielded. */
static uint64_t read_diff(struct soak *soak, struct naive_changes *got,
    struct fsmeta_cursor *cursors[2], const struct fsmeta_diff_options *options)
{
	uint32_t *before_devices, *after_devices;
	struct fsmeta_diff *diff;
	uint64_t entries;

	EXPECT_OK(
	    fsmeta_diff_run(&diff, cursors[0], cursors[1], options, &soak->error), &soak->error);
	naive_changes_init(got);
	got->devices_before = before_devices = number_devices(cursors[0]);
	got->devices_after = after_devices = number_devices(cursors[1]);
	EXPECT_OK(fsmeta_diff_replay(diff, &got->sink, &soak->error), &soak->error);
	entries = fsmeta_diff_get_counts(diff)->entries_a + fsmeta_diff_get_counts(diff)->entries_b;
	fsmeta_diff_free(diff);
	fsmeta_cursor_close(cursors[0]);
	fsmeta_cursor_close(cursors[1]);
	free(before_devices);
	free(after_devices);
	return entries;
}

/** Everything is read on both sides. */
static void check_whole(struct soak *soak, struct fsmeta_db *db, const uint64_t numbers[2],
    const struct fsmeta_diff_options *options, const struct naive_changes *wanted)
{
	const struct fsmeta_db_cursor_options after = {.seen_only = options->seen_only};
	struct fsmeta_cursor *cursors[2];
	struct naive_changes got;

	EXPECT_OK(fsmeta_db_cursor(&cursors[0], db, numbers[0], NULL, &soak->error), &soak->error);
	EXPECT_OK(
	    fsmeta_db_cursor(&cursors[1], db, numbers[1], &after, &soak->error), &soak->error);
	soak->counts->read_whole += read_diff(soak, &got, cursors, options);
	naive_changes_expect_equal(&got, wanted);
	soak->counts->pairs++;
	soak->counts->changes += got.count;
	naive_changes_release(&got);
}

/** Only what may differ is read. */
static void check_selected(struct soak *soak, struct fsmeta_db *db, const uint64_t numbers[2],
    const struct fsmeta_diff_options *options, const struct naive_changes *wanted)
{
	struct fsmeta_cursor *cursors[2];
	struct naive_changes got;

	EXPECT_OK(fsmeta_db_difference_cursors(cursors, db, NULL, numbers, NULL, &soak->error),
	    &soak->error);
	soak->counts->read_selected += read_diff(soak, &got, cursors, options);
	naive_changes_expect_equal(&got, wanted);
	naive_changes_release(&got);
}

static void check_pair(struct soak *soak, struct fsmeta_db *db, uint64_t from, uint64_t to)
{
	const uint64_t numbers[2] = {from, to};
	struct fsmeta_diff_options options;
	struct naive_tree before, after;
	struct naive_changes wanted;

	random_diff_options(soak, &options);
	expect_context(
	    "seed %" PRIu64 ", diff of %" PRIu64 " and %" PRIu64, soak->model.seed, from, to);
	list_state(soak, from, false, &before);
	list_state(soak, to, options.seen_only, &after);
	naive_changes_init(&wanted);
	naive_diff(&wanted, &before, &after, &options);
	check_whole(soak, db, numbers, &options, &wanted);
	/* Cursors of what may differ are both of seen entries or neither. */
	if (!options.seen_only) {
		expect_context("seed %" PRIu64 ", diff of what may differ in %" PRIu64
			       " and %" PRIu64,
		    soak->model.seed, from, to);
		check_selected(soak, db, numbers, &options, &wanted);
	}
	naive_changes_release(&wanted);
	naive_tree_release(&before);
	naive_tree_release(&after);
}

/** Every pair, now and then the wrong way round, in one database or the other. */
static void check_pairs(struct soak *soak)
{
	for (uint64_t to = 1; to <= soak->model.newest; to++)
		for (uint64_t from = 1; from < to; from++) {
			bool backwards = one_in(soak, 8);

			if (soak->pruned[to] || soak->pruned[from])
				continue;
			check_pair(soak, soak->prunes || one_in(soak, 2) ? soak->a : soak->b,
			    backwards ? to : from, backwards ? from : to);
		}
}

/* ---- two databases answer alike --------------------------------------------------- */

static void compare_rows(struct soak *soak, uint64_t number)
{
	struct fsmeta_db_generation a, b;
	struct fsmeta_buffer a_json = {0}, b_json = {0};

	EXPECT_OK(fsmeta_db_generation(soak->a, number, &a, &soak->error), &soak->error);
	EXPECT_OK(fsmeta_db_generation(soak->b, number, &b, &soak->error), &soak->error);
	/* The first one was imported as a whole, and so was it in a.db. */
	EXPECT(a.base == b.base && a.added == b.added && a.removed == b.removed &&
		   a.modified == b.modified && a.moved == b.moved,
	    "the generations' rows differ");
	EXPECT_OK(fsmeta_batch_source_to_json(&a_json, &a.source, &soak->error), &soak->error);
	EXPECT_OK(fsmeta_batch_source_to_json(&b_json, &b.source, &soak->error), &soak->error);
	EXPECT(a_json.length == b_json.length && !memcmp(a_json.data, b_json.data, a_json.length),
	    "sources differ:\n%s\n%s", fsmeta_buffer_string(&a_json),
	    fsmeta_buffer_string(&b_json));
	fsmeta_buffer_release(&a_json);
	fsmeta_buffer_release(&b_json);
	fsmeta_db_generation_release(&a);
	fsmeta_db_generation_release(&b);
}

static void compare_unknown_places(struct soak *soak, uint64_t number)
{
	struct fsmeta_db_unknown_places a, b;

	EXPECT_OK(fsmeta_db_unknown_places(&a, soak->a, number, &soak->error), &soak->error);
	EXPECT_OK(fsmeta_db_unknown_places(&b, soak->b, number, &soak->error), &soak->error);
	EXPECT(a.count == b.count, "%zu unknown places and %zu", a.count, b.count);
	for (size_t i = 0; i < a.count; i++) {
		const struct fsmeta_db_unknown_place *x = &a.items[i], *y = &b.items[i];

		EXPECT(x->path_length == y->path_length &&
			   !memcmp(x->path, y->path, x->path_length) && x->id == y->id &&
			   x->type == y->type && x->since == y->since && x->whole == y->whole &&
			   x->unreadable == y->unreadable && x->error == y->error,
		    "unknown places differ: %s since %" PRIu64 " and %s since %" PRIu64, x->path,
		    x->since, y->path, y->since);
	}
	fsmeta_db_unknown_places_release(&a);
	fsmeta_db_unknown_places_release(&b);
}

static void expect_same_state(const struct fsmeta_db_state *x, const struct fsmeta_db_state *y)
{
	EXPECT(x->generation == y->generation && x->previous == y->previous &&
		   x->since == y->since && fsmeta_time_compare(x->finished, y->finished) == 0,
	    "a state of generation %" PRIu64 " (after %" PRIu64 ", since %" PRIu64
	    "), and of %" PRIu64 " (after %" PRIu64 ", since %" PRIu64 ")",
	    x->generation, x->previous, x->since, y->generation, y->previous, y->since);
	EXPECT(x->unknown == y->unknown && x->unreadable == y->unreadable && x->error == y->error,
	    "generation %" PRIu64 ": unknown %d, unreadable %d, error %d, and %d, %d, %d",
	    x->generation, x->unknown, x->unreadable, x->error, y->unknown, y->unreadable,
	    y->error);
	EXPECT(x->field_mask == y->field_mask && x->previous_field_mask == y->previous_field_mask,
	    "generation %" PRIu64 ": masks", x->generation);
	EXPECT(x->present == y->present && x->entry.id == y->entry.id &&
		   x->entry.type == y->entry.type &&
		   (!x->present || !fsmeta_entry_differences(&x->entry, &y->entry,
				       FSMETA_FIELDS_KNOWN | FSMETA_FIELD_FLAGS, NULL, 0)),
	    "generation %" PRIu64 ": entries differ", x->generation);
}

static void print_life(const char *title, const struct fsmeta_db_life *life)
{
	fprintf(stderr, "life %" PRIu64 " in %s\n", life->id, title);
	for (size_t i = 0; i < life->count; i++) {
		const struct fsmeta_db_state *state = &life->states[i];

		fprintf(stderr,
		    "  generation %" PRIu64 " after %" PRIu64 " since %" PRIu64
		    ": present %d, unknown %d, unreadable %d, error %d, path %.*s, size %" PRIu64
		    "\n",
		    state->generation, state->previous, state->since, state->present,
		    state->unknown, state->unreadable, state->error, (int)state->entry.path_length,
		    state->entry.path, state->entry.size);
	}
}

static void compare_history(struct soak *soak, const struct fsmeta_entry *place)
{
	struct fsmeta_db_history a, b;

	expect_context("seed %" PRIu64 ", history of %s", soak->model.seed, place->path);
	EXPECT_OK(fsmeta_db_history(&a, soak->a, place->path, place->path_length, &soak->error),
	    &soak->error);
	EXPECT_OK(fsmeta_db_history(&b, soak->b, place->path, place->path_length, &soak->error),
	    &soak->error);
	EXPECT(a.count == b.count && a.count, "%zu lives and %zu", a.count, b.count);
	for (size_t i = 0; i < a.count; i++) {
		if (a.lives[i].count != b.lives[i].count) {
			print_life("a.db", &a.lives[i]);
			print_life("b.db", &b.lives[i]);
		}
		EXPECT(a.lives[i].id == b.lives[i].id && a.lives[i].count == b.lives[i].count,
		    "life %" PRIu64 " of %zu states, and %" PRIu64 " of %zu", a.lives[i].id,
		    a.lives[i].count, b.lives[i].id, b.lives[i].count);
		for (size_t k = 0; k < a.lives[i].count; k++)
			expect_same_state(&a.lives[i].states[k], &b.lives[i].states[k]);
	}
	fsmeta_db_history_release(&a);
	fsmeta_db_history_release(&b);
	soak->counts->histories++;
}

/* ---- views -------------------------------------------------------------------------- */

struct lines {
	char **items;
	size_t count;
	size_t capacity;
};

static int compare_lines(const void *left, const void *right)
{
	return strcmp(*(char *const *)left, *(char *const *)right);
}

static void add_line(struct lines *lines, const char *line)
{
	if (lines->count == lines->capacity) {
		lines->capacity = lines->capacity ? 2 * lines->capacity : 64;
		lines->items = reallocarray(lines->items, lines->capacity, sizeof(char *));
		EXPECT(lines->items, "out of memory");
	}
	lines->items[lines->count] = strdup(line);
	EXPECT(lines->items[lines->count++], "out of memory");
}

static void release_lines(struct lines *lines)
{
	for (size_t i = 0; i < lines->count; i++)
		free(lines->items[i]);
	free(lines->items);
}

/** The rows of a query, each as one line, sorted. */
static struct lines query(const char *path, const char *sql)
{
	struct fsmeta_buffer line = {0};
	struct lines lines = {0};
	sqlite3_stmt *statement;
	sqlite3 *db;
	int code;

	EXPECT(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK, "%s", path);
	EXPECT(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK, "%s: %s", sql,
	    sqlite3_errmsg(db));
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		fsmeta_buffer_clear(&line);
		for (int i = 0; i < sqlite3_column_count(statement); i++) {
			const char *text = (const char *)sqlite3_column_text(statement, i);

			fsmeta_buffer_append_format(&line, "%s|", text ? text : "NULL");
		}
		add_line(&lines, fsmeta_buffer_string(&line));
	}
	EXPECT(code == SQLITE_DONE, "%s: %s", sql, sqlite3_errmsg(db));
	sqlite3_finalize(statement);
	sqlite3_close(db);
	fsmeta_buffer_release(&line);
	if (lines.count)
		qsort(lines.items, lines.count, sizeof(char *), compare_lines);
	return lines;
}

static void compare_view(struct soak *soak, const char *view)
{
	struct lines a, b;
	char sql[200];

	expect_context("seed %" PRIu64 ", view %s", soak->model.seed, view);
	snprintf(sql, sizeof(sql), "SELECT * FROM %s", view);
	a = query(soak->a_path, sql);
	b = query(soak->b_path, sql);
	for (size_t i = 0; i < a.count && i < b.count; i++)
		EXPECT(
		    !strcmp(a.items[i], b.items[i]), "row %zu\n%s\n%s", i, a.items[i], b.items[i]);
	EXPECT(a.count == b.count, "%zu rows and %zu", a.count, b.count);
	release_lines(&a);
	release_lines(&b);
}

static void compare_views(struct soak *soak)
{
	struct lines views =
	    query(soak->a_path, "SELECT name FROM sqlite_schema WHERE type = 'view'");

	for (size_t i = 0; i < views.count; i++) {
		views.items[i][strlen(views.items[i]) - 1] = '\0';
		compare_view(soak, views.items[i]);
	}
	release_lines(&views);
}

/* ---- exports ------------------------------------------------------------------------- */

static void read_entries(struct soak *soak, struct fsmeta_buffer *out)
{
	char path[PATH_ROOM + 20];
	unsigned char piece[4096];
	size_t got;
	FILE *file;

	snprintf(path, sizeof(path), "%s/entries.fss", soak->stream_path);
	file = fopen(path, "rb");
	EXPECT(file, "%s cannot be opened", path);
	while ((got = fread(piece, 1, sizeof(piece), file)) > 0)
		EXPECT(fsmeta_buffer_append(out, piece, got) == 0, "out of memory");
	fclose(file);
}

/** Exports of both are the same bytes, but for since when, and make an equal database. */
static void compare_exports(struct soak *soak, uint64_t number)
{
	struct fsmeta_buffer a = {0}, b = {0};
	struct fsmeta_db *c;

	expect_context("seed %" PRIu64 ", export of %" PRIu64, soak->model.seed, number);
	write_export(soak, soak->a, number);
	read_entries(soak, &a);
	remove_stream(soak);
	write_export(soak, soak->b, number);
	read_entries(soak, &b);
	EXPECT(soak->prunes || (a.length == b.length && !memcmp(a.data, b.data, a.length)),
	    "exports differ");
	open_database(soak, &c, soak->c_path);
	import_stream(soak, c);
	model_check_generation(&soak->model, c, number, true);
	EXPECT_OK(fsmeta_db_verify(c, NULL, &soak->error), &soak->error);
	fsmeta_db_close(c);
	EXPECT(unlink(soak->c_path) == 0, "%s is gone", soak->c_path);
	fsmeta_buffer_release(&a);
	fsmeta_buffer_release(&b);
}

static void compare(struct soak *soak)
{
	const struct model *model = &soak->model;

	for (uint64_t number = 1; number <= model->newest; number++) {
		if (soak->pruned[number] || !b_has(soak, number))
			continue;
		/* Since when, b.db can only tell by the generations that it knows of. */
		model_check_generation(&soak->model, soak->b, number, soak->prunes);
		compare_rows(soak, number);
		compare_unknown_places(soak, number);
		soak->counts->reads++;
	}
	compare_exports(soak, model->newest);
	/* What was pruned from one and not from the other they tell differently. */
	if (soak->prunes)
		return;
	for (uint64_t number = 1; number <= model->newest; number += 4) {
		const struct model_nodes *state = &model->generations[number].state;

		if (!soak->pruned[number])
			compare_history(
			    soak, &state->items[model_random(&soak->model, state->count)].entry);
	}
	compare_views(soak);
}

/* ---- one seed -------------------------------------------------------------------------- */

static void begin(struct soak *soak, uint64_t seed, uint64_t generations, const char *folder)
{
	/* A seed's size follows from it: some worlds are small, some are large. */
	const struct model_options options = {
	    .generations = generations,
	    .nodes = 20 + 17 * (seed % 8),
	    .mutations = seed % 3 ? 30 : 8,
	    /* Where everything is seen, next to nothing need be read for a diff. */
	    .sees_all = seed % 5 == 2,
	    .one_mask = seed % 5 == 2,
	};

	model_init(&soak->model, seed, &options);
	snprintf(soak->a_path, PATH_ROOM, "%s/a.db", folder);
	snprintf(soak->b_path, PATH_ROOM, "%s/b.db", folder);
	snprintf(soak->c_path, PATH_ROOM, "%s/c.db", folder);
	snprintf(soak->stream_path, PATH_ROOM, "%s/stream", folder);
	soak->prunes = one_in(soak, 4);
	soak->pruned = calloc(generations + 1, sizeof(*soak->pruned));
	EXPECT(soak->pruned, "out of memory");
	open_database(soak, &soak->a, soak->a_path);
	open_database(soak, &soak->b, soak->b_path);
}

static void end(struct soak *soak)
{
	fsmeta_db_close(soak->a);
	fsmeta_db_close(soak->b);
	EXPECT(unlink(soak->a_path) == 0 && unlink(soak->b_path) == 0, "a database is gone");
	free(soak->pruned);
	model_release(&soak->model);
}

void soak_run(struct soak_counts *counts, uint64_t seed, uint64_t generations, const char *folder)
{
	struct soak soak = {.counts = counts};

	begin(&soak, seed, generations, folder);
	for (uint64_t number = 1; number <= generations; number++) {
		scan(&soak);
		check_some(&soak);
		if (number == 1 || number == generations || one_in(&soak, 3))
			synchronise(&soak);
		if (soak.prunes && one_in(&soak, 4))
			prune(&soak);
	}
	for (uint64_t number = 1; number <= generations; number++)
		check_generation(&soak, number);
	expect_context("seed %" PRIu64 ", check", seed);
	EXPECT_OK(fsmeta_db_verify(soak.a, NULL, &soak.error), &soak.error);
	EXPECT_OK(fsmeta_db_verify(soak.b, NULL, &soak.error), &soak.error);
	check_pairs(&soak);
	compare(&soak);
	end(&soak);
}
