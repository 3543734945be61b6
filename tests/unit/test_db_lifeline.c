/*
 * Histories of paths: random trees over many generations, with moves, folders that
 * cannot be read for a while, scans of sub-trees, and generations pruned.
 *
 * The reference is naive: it looks an entry up in the listing of every kept generation.
 * What fsmeta_db_history() tells must give the same answer for each of them.
 */
#include "base/path.h"
#include "db/below.h"
#include "db/history.h"
#include "db/prune.h"
#include "tests/support/model.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	GENERATIONS = 14,
	SEEDS = 20,
};

static struct fsmeta_error error;

static void fail_with(const char *text)
{
	fail_msg("%s", text);
}

/** What is asked: a database, its model, and what of it is kept. */
struct subject {
	struct model model;
	struct fsmeta_db *db;
	bool pruned[GENERATIONS + 1];
	struct fsmeta_db_unknown_places places[GENERATIONS + 1];
};

static uint64_t id_of(const struct subject *subject, const struct model_node *node)
{
	return subject->model.ids[node->number];
}

/** The node with this id in a generation, NULL where it has none. */
static const struct model_node *find_id(
    const struct subject *subject, uint64_t generation, uint64_t id)
{
	const struct model_nodes *state = &subject->model.generations[generation].state;

	for (size_t i = 0; i < state->count; i++)
		if (id_of(subject, &state->items[i]) == id)
			return &state->items[i];
	return NULL;
}

/** The topmost place of `unknown` that the entry lies in. */
static const struct fsmeta_db_unknown_place *find_place(
    const struct subject *subject, uint64_t generation, const struct fsmeta_entry *entry)
{
	const struct fsmeta_db_unknown_places *places = &subject->places[generation];
	const struct fsmeta_db_unknown_place *topmost = NULL;

	for (size_t i = 0; i < places->count; i++) {
		const struct fsmeta_db_unknown_place *place = &places->items[i];

		if (!fsmeta_path_is_within(
			entry->path, entry->path_length, place->path, place->path_length) ||
		    (entry->path_length == place->path_length && !place->whole))
			continue;
		if (!topmost || place->path_length < topmost->path_length)
			topmost = place;
	}
	return topmost;
}

/* ---- one life ----------------------------------------------------------------------- */

/** The state that holds in a generation; NULL before the first. */
static const struct fsmeta_db_state *state_in(
    const struct fsmeta_db_life *life, uint64_t generation)
{
	const struct fsmeta_db_state *found = NULL;

	for (size_t i = 0; i < life->count && life->states[i].generation <= generation; i++)
		found = &life->states[i];
	return found;
}

static void check_state(const struct subject *subject, uint64_t generation,
    const struct model_node *node, const struct fsmeta_db_state *state)
{
	uint32_t mask = subject->model.generations[generation].source.field_mask;
	struct fsmeta_entry expected = model_entry(&subject->model, generation, node);
	const struct fsmeta_db_unknown_place *place = find_place(subject, generation, &expected);
	uint32_t differences;

	EXPECT(state->entry.path_length == expected.path_length &&
		   memcmp(state->entry.path, expected.path, expected.path_length) == 0,
	    "path \"%s\" instead of \"%s\"", state->entry.path, expected.path);
	EXPECT(state->entry.depth == expected.depth, "depth");
	EXPECT(state->entry.name_length == expected.name_length, "name");
	EXPECT(state->entry.type == expected.type, "type");
	/* The database has a table of file systems of its own. */
	differences = fsmeta_entry_differences(&expected, &state->entry,
	    (mask | FSMETA_FIELD_FLAGS) & ~(uint32_t)FSMETA_FIELD_DEVICE, NULL, 0);
	EXPECT(!differences, "\"%s\": fields %x differ", expected.path, differences);
	EXPECT(
	    state->unknown == (place != NULL), "\"%s\": unknown %d", expected.path, state->unknown);
	if (place) {
		EXPECT(state->unreadable == place->unreadable, "\"%s\": reason", expected.path);
		EXPECT(state->error == place->error, "\"%s\": error", expected.path);
	}
}

/** Whether something about the entry differs from the generation before. */
static bool has_changed(const struct subject *subject, uint64_t generation, uint64_t id)
{
	const struct model_node *after = find_id(subject, generation, id);
	const struct model_node *before =
	    generation > 1 ? find_id(subject, generation - 1, id) : NULL;
	const struct fsmeta_db_unknown_place *place, *place_before;

	if (!after || !before)
		return after != before;
	if (after->entry.path_length != before->entry.path_length ||
	    memcmp(after->entry.path, before->entry.path, after->entry.path_length) != 0 ||
	    fsmeta_entry_differences(
		&before->entry, &after->entry, FSMETA_FIELDS_KNOWN | FSMETA_FIELD_FLAGS, NULL, 0))
		return true;
	place = find_place(subject, generation, &after->entry);
	place_before = find_place(subject, generation - 1, &before->entry);
	if (!place || !place_before)
		return place != place_before;
	return place->unreadable != place_before->unreadable || place->error != place_before->error;
}

/** Numbers, times and masks of a state, and that it is another than the one before. */
static void check_frame(const struct subject *subject, const struct fsmeta_db_state *state,
    const struct fsmeta_db_state *before)
{
	const struct model_generation *generations = subject->model.generations;
	uint64_t previous = state->generation - 1;

	EXPECT(!subject->pruned[state->generation], "it is told of a pruned generation");
	while (previous && subject->pruned[previous])
		previous--;
	EXPECT(state->previous == previous, "previous %" PRIu64, state->previous);
	EXPECT(state->since > previous && state->since <= state->generation,
	    "since %" PRIu64 " of %" PRIu64, state->since, state->generation);
	EXPECT(state->since == state->generation || subject->pruned[state->since],
	    "since %" PRIu64 " of %" PRIu64, state->since, state->generation);
	EXPECT(state->since == state->generation ||
		   has_changed(subject, state->since, state->entry.id),
	    "nothing changed in %" PRIu64 ", pruned before %" PRIu64, state->since,
	    state->generation);
	if (!before) {
		uint64_t born = 1;

		while (!find_id(subject, born, state->entry.id))
			born++;
		EXPECT(state->since == born, "it began in %" PRIu64, born);
	}
	EXPECT(fsmeta_time_compare(
		   state->finished, generations[state->generation].source.finished) == 0,
	    "finished");
	EXPECT(state->field_mask == generations[state->generation].source.field_mask, "mask");
	EXPECT(!previous || state->previous_field_mask == generations[previous].source.field_mask,
	    "mask before");
	EXPECT(before || state->present, "it begins with an end");
	if (!before)
		return;
	EXPECT(before->generation < state->generation, "order");
	EXPECT(before->present || state->present, "it ends twice");
	EXPECT(before->present != state->present || before->unknown != state->unknown ||
		   before->unreadable != state->unreadable || before->error != state->error ||
		   before->entry.path_length != state->entry.path_length ||
		   memcmp(before->entry.path, state->entry.path, state->entry.path_length) != 0 ||
		   fsmeta_entry_differences(&before->entry, &state->entry,
		       FSMETA_FIELDS_KNOWN | FSMETA_FIELD_FLAGS, NULL, 0),
	    "\"%s\": two equal states, of %" PRIu64 " and %" PRIu64, state->entry.path,
	    before->generation, state->generation);
}

static void check_life(const struct subject *subject, const struct fsmeta_db_life *life)
{
	for (size_t i = 0; i < life->count; i++) {
		EXPECT(life->states[i].entry.id == life->id, "id");
		check_frame(subject, &life->states[i], i ? &life->states[i - 1] : NULL);
	}
	for (uint64_t number = 1; number <= subject->model.newest; number++) {
		const struct fsmeta_db_state *state = state_in(life, number);
		const struct model_node *node = find_id(subject, number, life->id);

		if (subject->pruned[number])
			continue;
		EXPECT((state && state->present) == (node != NULL),
		    "id %" PRIu64 " in generation %" PRIu64 ": present %d", life->id, number,
		    state && state->present);
		if (node)
			check_state(subject, number, node, state);
	}
}

/* ---- one path --------------------------------------------------------------------------- */

static void check_path(const struct subject *subject, const char *path, size_t length)
{
	struct fsmeta_db_history history;

	EXPECT_OK(fsmeta_db_history(&history, subject->db, path, length, &error), &error);
	for (size_t i = 0; i < history.count; i++) {
		EXPECT(!i || history.lives[i - 1].id < history.lives[i].id, "order of ids");
		check_life(subject, &history.lives[i]);
	}
	for (uint64_t number = 1; number <= subject->model.newest; number++) {
		const struct model_node *node =
		    model_find(&subject->model.generations[number].state, path, length);
		bool found = false;

		if (!node || subject->pruned[number])
			continue;
		for (size_t i = 0; i < history.count; i++)
			found |= history.lives[i].id == id_of(subject, node);
		EXPECT(found, "\"%s\" of generation %" PRIu64 " has no life", path, number);
	}
	/* Nobody is told who was never there. */
	for (size_t i = 0; i < history.count; i++) {
		bool stood = false;

		for (size_t k = 0; k < history.lives[i].count; k++) {
			const struct fsmeta_db_state *state = &history.lives[i].states[k];

			stood |= state->present && state->entry.path_length == length &&
				 memcmp(state->entry.path, path, length) == 0;
		}
		EXPECT(stood, "id %" PRIu64 " never stood at \"%s\"", history.lives[i].id, path);
	}
	fsmeta_db_history_release(&history);
}

/** All folders of a generation: what is below, counted naively. */
static void check_counts(const struct subject *subject, uint64_t number)
{
	const struct model_nodes *state = &subject->model.generations[number].state;

	for (size_t i = 0; i < state->count; i++) {
		const struct fsmeta_entry *folder = &state->items[i].entry;
		uint64_t entries = 0, bytes = 0, found_entries, found_bytes;

		if (folder->type != FSMETA_TYPE_FOLDER)
			continue;
		for (size_t k = i + 1; k < state->count; k++) {
			struct fsmeta_entry entry =
			    model_entry(&subject->model, number, &state->items[k]);

			if (!fsmeta_path_is_within(
				entry.path, entry.path_length, folder->path, folder->path_length))
				break;
			entries++;
			if (entry.type == FSMETA_TYPE_FILE)
				bytes += entry.size;
		}
		EXPECT_OK(fsmeta_db_count_below(subject->db, id_of(subject, &state->items[i]),
			      number, &found_entries, &found_bytes, NULL, &error),
		    &error);
		EXPECT(entries == found_entries && bytes == found_bytes,
		    "\"%s\": %" PRIu64 " entries, %" PRIu64 " bytes instead of %" PRIu64
		    ", %" PRIu64,
		    folder->path, found_entries, found_bytes, entries, bytes);
	}
}

static void check_all(struct subject *subject)
{
	for (uint64_t number = 1; number <= subject->model.newest; number++) {
		const struct model_nodes *state = &subject->model.generations[number].state;

		/* Most paths are those of the generation before. */
		for (size_t i = 0; i < state->count; i++)
			if (number == 1 || model_random(&subject->model, 6) == 0)
				check_path(subject, state->items[i].entry.path,
				    state->items[i].entry.path_length);
		if (!subject->pruned[number] && model_random(&subject->model, 4) == 0)
			check_counts(subject, number);
	}
	check_path(subject, "no/such/path", 12);
}

/* ---- running ------------------------------------------------------------------------------ */

static void prune(struct subject *subject)
{
	uint64_t numbers[GENERATIONS];
	struct fsmeta_db_pruned pruned;
	size_t count = 0;

	for (uint64_t number = 1; number < subject->model.newest; number++)
		if (model_random(&subject->model, 2)) {
			subject->pruned[number] = true;
			numbers[count++] = number;
		}
	if (count)
		EXPECT_OK(
		    fsmeta_db_prune(&pruned, subject->db, numbers, count, NULL, &error), &error);
}

static void run_seed(const char *path, uint64_t seed, bool moves)
{
	const struct model_options options = {
	    .generations = GENERATIONS, .nodes = 60, .moves = moves};
	struct subject *subject = calloc(1, sizeof(*subject));

	assert_non_null(subject);
	expect_context("seed %" PRIu64, seed);
	model_init(&subject->model, seed, &options);
	EXPECT_OK(fsmeta_db_open(&subject->db, path, FSMETA_DB_WRITE, &error), &error);
	for (uint64_t number = 1; number <= GENERATIONS; number++) {
		model_next(&subject->model);
		model_write(&subject->model, subject->db, path, MODEL_BY_CHANGES);
		model_check_generation(&subject->model, subject->db, number, false);
		EXPECT_OK(
		    fsmeta_db_unknown_places(&subject->places[number], subject->db, number, &error),
		    &error);
	}
	check_all(subject);
	expect_context("seed %" PRIu64 ", pruned", seed);
	prune(subject);
	check_all(subject);
	for (uint64_t number = 1; number <= GENERATIONS; number++)
		fsmeta_db_unknown_places_release(&subject->places[number]);
	fsmeta_db_close(subject->db);
	model_release(&subject->model);
	free(subject);
}

static void run_seeds(bool moves)
{
	char folder[] = "/tmp/fsmeta-test-XXXXXX";
	char path[64];

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/x.db", folder);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		run_seed(path, seed, moves);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(rmdir(folder), 0);
}

static void lives_are_those_of_the_listings(void **state)
{
	(void)state;
	run_seeds(false);
}

static void lives_go_on_across_moves(void **state)
{
	(void)state;
	run_seeds(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lives_are_those_of_the_listings),
	    cmocka_unit_test(lives_go_on_across_moves),
	};

	expect_handler = fail_with;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
