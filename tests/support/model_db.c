/*
 * The model and a database: a generation is written, read back and compared.
 */
#include "tests/support/model.h"

#include "tools/update.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- writing ------------------------------------------------------------------ */

struct fsmeta_cursor *model_cursor(struct model *model, uint64_t number)
{
	struct model_generation *generation = &model->generations[number];
	struct fsmeta_cursor *cursor;
	struct fsmeta_error error = {0};

	EXPECT_OK(fsmeta_cursor_from_array(&cursor, generation->view, generation->view_count,
		      &generation->source, &error),
	    &error);
	return cursor;
}

/** The database's index of the model's file system; UINT32_MAX where it has none. */
static uint32_t device_of(const struct fsmeta_batch_source *source, uint32_t number)
{
	for (size_t i = 0; i < source->filesystem_count; i++)
		if (strcmp(source->filesystems[i].uuid, model_filesystem(number)) == 0)
			return (uint32_t)i;
	return UINT32_MAX;
}

static void write_changes(struct model *model, struct fsmeta_db *db)
{
	struct model_generation *generation = &model->generations[model->newest];
	struct fsmeta_db_generation base = {0};
	struct fsmeta_db_update *update;
	struct fsmeta_change_sink *sink;
	struct fsmeta_error error = {0};

	fsmeta_batch_source_init(&base.source);
	if (model->newest > 1)
		EXPECT_OK(fsmeta_db_generation(db, model->newest - 1, &base, &error), &error);
	EXPECT_OK(
	    fsmeta_db_update_begin(&update, db, model->newest - 1, &generation->source, &error),
	    &error);
	sink = fsmeta_db_update_sink(update);
	for (size_t i = 0; i < generation->change_count; i++) {
		struct fsmeta_entry before = generation->changes[i].before;
		struct fsmeta_change change = generation->changes[i].change;

		if (change.before) {
			change.before = &before;
			if (before.fields & FSMETA_FIELD_DEVICE)
				before.device = device_of(&base.source, before.device);
		}
		EXPECT_OK(sink->change(sink, &change, &error), &error);
	}
	EXPECT_OK(fsmeta_db_update_commit(update, NULL, &error), &error);
	fsmeta_db_generation_release(&base);
}

static void write_update(struct model *model, struct fsmeta_db *db, const char *path)
{
	struct fsmeta_cursor *cursor = model_cursor(model, model->newest);
	struct fsmeta_update_options options;
	struct fsmeta_db_generation generation;
	struct fsmeta_error error = {0};

	fsmeta_update_options_init(&options);
	options.accept_empty = true;
	options.accept_other_filesystem = true;
	options.max_removed_percent = 100;
	/* What moved in the model need not look as if it had. */
	options.no_moves = true;
	EXPECT_OK(fsmeta_update_database(&generation, db, path, cursor, &options, &error), &error);
	EXPECT(
	    generation.number == model->newest, "it became generation %" PRIu64, generation.number);
	fsmeta_db_generation_release(&generation);
	fsmeta_cursor_close(cursor);
}

void model_write(
    struct model *model, struct fsmeta_db *db, const char *path, enum model_route route)
{
	switch (route) {
	case MODEL_BY_CHANGES:
		write_changes(model, db);
		break;
	case MODEL_BY_UPDATE:
		write_update(model, db, path);
		break;
	}
}

/* ---- comparing ------------------------------------------------------------------ */

/** Ids are given once, and to one number. */
static void learn(struct model *model, uint64_t number, uint64_t id)
{
	if (number >= model->id_capacity) {
		size_t capacity = 2 * number + 64;

		model->ids = reallocarray(model->ids, capacity, sizeof(*model->ids));
		EXPECT(model->ids, "out of memory");
		memset(model->ids + model->id_capacity, 0,
		    (capacity - model->id_capacity) * sizeof(*model->ids));
		model->id_capacity = capacity;
	}
	if (model->ids[number])
		return;
	for (size_t i = 0; i < model->id_capacity; i++)
		EXPECT(model->ids[i] != id, "id %" PRIu64 " is given a second time", id);
	EXPECT(id, "an entry without an id");
	model->ids[number] = id;
}

static void check_entry(struct model *model, uint64_t number, const struct model_node *node,
    const struct fsmeta_entry *entry, const struct fsmeta_batch_source *source, bool adopted)
{
	struct fsmeta_entry wanted = model_entry(model, number, node);
	uint32_t differences;

	EXPECT(entry->path_length == wanted.path_length &&
		   memcmp(entry->path, wanted.path, wanted.path_length) == 0,
	    "at '%s' instead of '%s'", entry->path, wanted.path);
	EXPECT(entry->depth == wanted.depth && entry->name_length == wanted.name_length &&
		   memcmp(entry->name, wanted.name, wanted.name_length) == 0,
	    "%s: depth or name", wanted.path);
	EXPECT(entry->type == wanted.type, "%s: type %d", wanted.path, (int)entry->type);
	if (wanted.fields & FSMETA_FIELD_DEVICE)
		wanted.device = device_of(source, wanted.device);
	differences = fsmeta_entry_differences(
	    &wanted, entry, FSMETA_FIELDS_KNOWN | FSMETA_FIELD_FLAGS, NULL, 0);
	EXPECT(!differences, "%s: fields %x differ (it has %x and must have %x)", wanted.path,
	    differences, entry->fields, wanted.fields);
	EXPECT(adopted ? !entry->unknown_since == !wanted.unknown_since
		       : entry->unknown_since == wanted.unknown_since,
	    "%s: unknown since %" PRIu64 " and not %" PRIu64, wanted.path, entry->unknown_since,
	    wanted.unknown_since);
	learn(model, node->number, entry->id);
	EXPECT(entry->id == model->ids[node->number], "%s: id %" PRIu64 " and not %" PRIu64,
	    wanted.path, entry->id, model->ids[node->number]);
}

/** What the generation's row says, against what was read and what the model counted. */
static void check_row(struct model *model, struct fsmeta_db *db, uint64_t number, bool adopted,
    const struct fsmeta_totals *totals, struct fsmeta_digest digest)
{
	const struct model_generation *wanted = &model->generations[number];
	struct fsmeta_db_generation row;
	struct fsmeta_error error = {0};

	EXPECT_OK(fsmeta_db_generation(db, number, &row, &error), &error);
	EXPECT(!memcmp(&row.source.totals, totals, sizeof(*totals)), "totals differ");
	EXPECT(fsmeta_digest_equal(row.source.state_digest, digest), "the state digest differs");
	EXPECT(!row.pruned, "generation %" PRIu64 " counts as pruned", number);
	EXPECT(adopted || (row.added == wanted->added && row.removed == wanted->removed &&
			      row.modified == wanted->modified && row.moved == wanted->moved),
	    "its row tells %" PRIu64 " added, %" PRIu64 " removed, %" PRIu64 " modified, %" PRIu64
	    " moved, and it is %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64,
	    row.added, row.removed, row.modified, row.moved, wanted->added, wanted->removed,
	    wanted->modified, wanted->moved);
	fsmeta_db_generation_release(&row);
}

void model_check_generation(
    struct model *model, struct fsmeta_db *db, uint64_t number, bool adopted)
{
	const struct model_generation *wanted = &model->generations[number];
	struct fsmeta_buffer scratch = {0};
	struct fsmeta_totals totals = {0};
	struct fsmeta_digest digest = {0}, term;
	const struct fsmeta_entry *entry;
	struct fsmeta_cursor *cursor;
	struct fsmeta_error error = {0};
	uint32_t mask = wanted->source.field_mask;
	size_t at = 0;
	int code;

	expect_context("seed %" PRIu64 ", generation %" PRIu64 " of %" PRIu64, model->seed, number,
	    model->newest);
	EXPECT_OK(fsmeta_db_cursor(&cursor, db, number, NULL, &error), &error);
	EXPECT(cursor->source->field_mask == mask, "the mask is %x", cursor->source->field_mask);
	while ((code = fsmeta_cursor_next(cursor, &entry, &error)) > 0) {
		EXPECT(at < wanted->state.count, "there is more than there should be");
		check_entry(
		    model, number, &wanted->state.items[at++], entry, cursor->source, adopted);
		fsmeta_totals_count(&totals, entry, 1);
		EXPECT(fsmeta_entry_digest(&term, entry, mask, cursor->source, &scratch) == 0,
		    "out of memory");
		fsmeta_digest_add(&digest, term);
	}
	EXPECT_OK(code, &error);
	EXPECT(at == wanted->state.count, "%zu entries and not %zu", at, wanted->state.count);
	fsmeta_cursor_close(cursor);
	check_row(model, db, number, adopted, &totals, digest);
	fsmeta_buffer_release(&scratch);
}

/** The index of the next node that is to be met. */
static size_t pass_carried(const struct model_nodes *state, size_t at, bool seen_only)
{
	while (at < state->count && seen_only && state->items[at].entry.unknown_since)
		at++;
	return at;
}

void model_check_skipping(
    struct model *model, struct fsmeta_db *db, uint64_t number, bool seen_only)
{
	const struct fsmeta_db_cursor_options options = {.seen_only = seen_only};
	const struct model_nodes *state = &model->generations[number].state;
	const struct fsmeta_entry *entry;
	struct fsmeta_cursor *cursor;
	struct fsmeta_error error = {0};
	size_t at = 0;
	int code;

	expect_context("seed %" PRIu64 ", generation %" PRIu64 " of %" PRIu64 " with skips",
	    model->seed, number, model->newest);
	EXPECT_OK(fsmeta_db_cursor(&cursor, db, number, &options, &error), &error);
	while ((code = fsmeta_cursor_next(cursor, &entry, &error)) > 0) {
		const struct fsmeta_entry *wanted;

		at = pass_carried(state, at, seen_only);
		EXPECT(at < state->count, "there is more than there should be");
		wanted = &state->items[at++].entry;
		EXPECT(entry->path_length == wanted->path_length &&
			   !memcmp(entry->path, wanted->path, wanted->path_length),
		    "at '%s' instead of '%s'", entry->path, wanted->path);
		if (model_random(model, 5) == 0) {
			uint32_t depth = 1 + (uint32_t)model_random(model, entry->depth + 1);

			EXPECT_OK(fsmeta_cursor_skip(cursor, depth, &error), &error);
			while (at < state->count && state->items[at].entry.depth >= depth)
				at++;
		}
	}
	EXPECT_OK(code, &error);
	EXPECT(pass_carried(state, at, seen_only) == state->count, "the end is missing");
	fsmeta_cursor_close(cursor);
}
