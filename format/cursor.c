/*
 * Two cursors that stand between or instead of the real ones: the tee and the
 * array.
 *
 * The array cursor walks its array once at construction, which proves the order
 * and finds every entry's folder:
 *
 *     index     0    1    2      3      4       5
 *     path      ""   a    a/x    a/x/1  a!b     b
 *     parent    -    0    1      2      0       0
 *
 * In canonical order the folder of an entry is the entry in front of it or one
 * of that one's ancestors, so climbing from there by `parents` finds it, and all
 * the climbs together cost no more steps than there are entries.
 */
#include "format/cursor.h"

#include "base/path.h"

#include <stdlib.h>
#include <string.h>

/* ---- tee -------------------------------------------------------------- */

struct tee {
	struct fsmeta_cursor base;
	struct fsmeta_cursor *inner;
	struct fsmeta_entry_sink *sink;
};

static int tee_next(
    struct fsmeta_cursor *cursor, const struct fsmeta_entry **entry, struct fsmeta_error *error)
{
	struct tee *tee = (struct tee *)cursor;
	int status = fsmeta_cursor_next(tee->inner, entry, error);

	if (status == 1) {
		int failed = tee->sink->entry(tee->sink, *entry, error);

		if (failed)
			return failed;
	}
	return status;
}

static int tee_skip(struct fsmeta_cursor *cursor, uint32_t depth, struct fsmeta_error *error)
{
	(void)depth;
	return fsmeta_error_set(error, FSMETA_E_INTERNAL, cursor->label, "skipping a folder",
	    "the tee's sink must see every entry");
}

static void tee_close(struct fsmeta_cursor *cursor)
{
	struct tee *tee = (struct tee *)cursor;

	fsmeta_cursor_close(tee->inner);
	free(tee);
}

int fsmeta_cursor_tee(struct fsmeta_cursor **out, struct fsmeta_cursor *inner,
    struct fsmeta_entry_sink *sink, struct fsmeta_error *error)
{
	static const struct fsmeta_cursor_operations operations = {
	    .next = tee_next, .skip = tee_skip, .close = tee_close};
	struct tee *tee = calloc(1, sizeof(*tee));

	*out = NULL;
	if (!tee) {
		fsmeta_cursor_close(inner);
		return fsmeta_error_set_memory(error, "making a tee");
	}
	tee->base.operations = &operations;
	tee->base.source = inner->source;
	tee->base.label = inner->label;
	tee->inner = inner;
	tee->sink = sink;
	*out = &tee->base;
	return 0;
}

/* ---- array ------------------------------------------------------------ */

/** Index of no entry. */
#define NOWHERE SIZE_MAX

struct array {
	struct fsmeta_cursor base;
	const struct fsmeta_entry *entries;
	size_t count;
	/** Index of the folder of each entry; NOWHERE for the root. */
	size_t *parents;
	/** Index of the first entry that has not come yet. */
	size_t position;
	/** The folder that next() has just handed out, else NOWHERE. */
	size_t folder;
	/** What to offer, *borrowed*, and which of it was offered just now. */
	const struct fsmeta_array_run *runs;
	size_t run_count;
	const struct fsmeta_array_run *offered;
	/** For each folder whether its files were stepped over; made when first needed. */
	bool *without_files;
};

static void array_free(struct array *array)
{
	free(array->without_files);
	free(array->parents);
	free(array);
}

static bool array_stepped_over(const struct array *array, size_t index)
{
	return array->without_files && array->entries[index].type != FSMETA_TYPE_FOLDER &&
	       array->parents[index] != NOWHERE && array->without_files[array->parents[index]];
}

static int array_next(
    struct fsmeta_cursor *cursor, const struct fsmeta_entry **entry, struct fsmeta_error *error)
{
	struct array *array = (struct array *)cursor;

	(void)error;
	array->offered = NULL;
	array->folder = NOWHERE;
	while (array->position < array->count && array_stepped_over(array, array->position))
		array->position++;
	if (array->position == array->count)
		return 0;
	*entry = &array->entries[array->position];
	if ((*entry)->type == FSMETA_TYPE_FOLDER)
		array->folder = array->position;
	array->position++;
	return 1;
}

static int array_skip(struct fsmeta_cursor *cursor, uint32_t depth, struct fsmeta_error *error)
{
	struct array *array = (struct array *)cursor;

	(void)error;
	array->offered = NULL;
	array->folder = NOWHERE;
	while (array->position < array->count && array->entries[array->position].depth >= depth)
		array->position++;
	return 0;
}

/** Index of the entry by whose path runs of this kind are found here. */
static size_t array_run_place(const struct array *array, enum fsmeta_run_kind kind)
{
	if (kind != FSMETA_RUN_BATCH)
		return array->folder;
	return array->position < array->count ? array->position : NOWHERE;
}

static const struct fsmeta_array_run *array_find_run(
    const struct array *array, enum fsmeta_run_kind kind)
{
	size_t place = array_run_place(array, kind);
	const struct fsmeta_entry *entry;

	if (place == NOWHERE)
		return NULL;
	entry = &array->entries[place];
	for (size_t i = 0; i < array->run_count; i++) {
		const struct fsmeta_array_run *run = &array->runs[i];

		if (run->kind == kind && strlen(run->path) == entry->path_length &&
		    !memcmp(run->path, entry->path, entry->path_length))
			return run;
	}
	return NULL;
}

/** How many entries the run comprises that was found here. */
static uint64_t array_run_entries(const struct array *array, const struct fsmeta_array_run *run)
{
	size_t count = 0;

	if (run->kind == FSMETA_RUN_BATCH)
		return run->entries;
	for (size_t i = array->folder + 1;
	     i < array->count && array->entries[i].depth > array->entries[array->folder].depth; i++)
		count += run->kind == FSMETA_RUN_SUBTREE ||
			 (array->parents[i] == array->folder &&
			     array->entries[i].type != FSMETA_TYPE_FOLDER);
	return count;
}

static int array_run(struct fsmeta_cursor *cursor, enum fsmeta_run_kind kind,
    struct fsmeta_run *run, struct fsmeta_error *error)
{
	struct array *array = (struct array *)cursor;

	(void)error;
	array->offered = array_find_run(array, kind);
	if (!array->offered)
		return 0;
	*run = (struct fsmeta_run){.kind = kind,
	    .token = array->offered->token,
	    .entries = array_run_entries(array, array->offered)};
	return 1;
}

static int array_leap(
    struct fsmeta_cursor *cursor, const char *path, size_t length, struct fsmeta_error *error)
{
	struct array *array = (struct array *)cursor;
	size_t before = array->position;

	(void)error;
	while (array->position < array->count &&
	       fsmeta_path_compare(array->entries[array->position].path,
		   array->entries[array->position].path_length, path, length) < 0)
		array->position++;
	if (array->position == before)
		return 0;
	array->folder = NOWHERE;
	array->offered = NULL;
	return 1;
}

/** Leaves out the files directly in the folder just handed out. */
static int array_step_files(struct array *array, struct fsmeta_error *error)
{
	if (!array->without_files)
		array->without_files = calloc(array->count, sizeof(*array->without_files));
	if (!array->without_files)
		return fsmeta_error_set_memory(error, "stepping over files");
	array->without_files[array->folder] = true;
	return 0;
}

static int array_step(
    struct fsmeta_cursor *cursor, const struct fsmeta_run *run, struct fsmeta_error *error)
{
	struct array *array = (struct array *)cursor;
	size_t left = array->count - array->position;

	if (!array->offered || array->offered->kind != run->kind)
		return fsmeta_error_set(error, FSMETA_E_INTERNAL, cursor->label,
		    "stepping over a run", "no such run was offered here");
	array->offered = NULL;
	switch (run->kind) {
	case FSMETA_RUN_SUBTREE:
		return array_skip(cursor, array->entries[array->folder].depth + 1, error);
	case FSMETA_RUN_FILES:
		return array_step_files(array, error);
	case FSMETA_RUN_BATCH:
		array->position += run->entries < left ? (size_t)run->entries : left;
		array->folder = NOWHERE;
		return 0;
	}
	return 0;
}

static void array_close(struct fsmeta_cursor *cursor)
{
	array_free((struct array *)cursor);
}

/** Sets what follows from the path. */
static void name_entry(struct fsmeta_entry *entry)
{
	size_t offset = fsmeta_path_name_offset(entry->path, entry->path_length);

	entry->name = entry->path + offset;
	entry->name_length = entry->path_length - offset;
	entry->depth = fsmeta_path_depth(entry->path, entry->path_length);
}

static bool follows(const struct fsmeta_entry *entry, const struct fsmeta_entry *previous)
{
	return fsmeta_path_compare(
		   previous->path, previous->path_length, entry->path, entry->path_length) < 0;
}

/** Index of the folder of entry `index` > 0, given those of all before it; else NOWHERE. */
static size_t find_parent(const struct fsmeta_entry *entries, const size_t *parents, size_t index)
{
	const struct fsmeta_entry *entry = &entries[index];
	size_t length = entry->name_length < entry->path_length
			    ? entry->path_length - entry->name_length - 1
			    : 0;
	size_t parent = index - 1;

	while (entries[parent].depth >= entry->depth)
		parent = parents[parent];
	if (entries[parent].type != FSMETA_TYPE_FOLDER || entries[parent].path_length != length ||
	    memcmp(entries[parent].path, entry->path, length))
		return NOWHERE;
	return parent;
}

/** Names entry `index` and finds its parent; NULL, or what is wrong with it. */
static const char *connect_entry(struct fsmeta_entry *entries, size_t *parents, size_t index)
{
	struct fsmeta_entry *entry = &entries[index];

	if (!fsmeta_path_is_valid(entry->path, entry->path_length))
		return "not a valid path";
	name_entry(entry);
	parents[index] = NOWHERE;
	if (index == 0)
		return entry->depth == 0 ? NULL : "the first entry is not the root";
	if (!follows(entry, &entries[index - 1]))
		return "out of canonical order";
	parents[index] = find_parent(entries, parents, index);
	return parents[index] == NOWHERE ? "its folder is not in front of it" : NULL;
}

static int connect_entries(
    struct fsmeta_entry *entries, size_t *parents, size_t count, struct fsmeta_error *error)
{
	for (size_t i = 0; i < count; i++) {
		const char *wrong = connect_entry(entries, parents, i);

		if (wrong)
			return fsmeta_error_set(error, FSMETA_E_CORRUPT, NULL,
			    "reading an array of entries", "entry %zu ('%.*s'): %s", i,
			    (int)(entries[i].path_length < 256 ? entries[i].path_length : 256),
			    entries[i].path, wrong);
	}
	return 0;
}

int fsmeta_cursor_from_array(struct fsmeta_cursor **out, struct fsmeta_entry *entries, size_t count,
    const struct fsmeta_batch_source *source, struct fsmeta_error *error)
{
	static const struct fsmeta_cursor_operations operations = {.next = array_next,
	    .skip = array_skip,
	    .leap = array_leap,
	    .run = array_run,
	    .step = array_step,
	    .close = array_close};
	struct array *array = calloc(1, sizeof(*array));
	int code;

	*out = NULL;
	if (!array)
		return fsmeta_error_set_memory(error, "making an array cursor");
	array->base.operations = &operations;
	array->base.source = source;
	array->base.label = "array";
	array->entries = entries;
	array->count = count;
	array->folder = NOWHERE;
	array->parents = calloc(count ? count : 1, sizeof(*array->parents));
	if (array->parents)
		code = connect_entries(entries, array->parents, count, error);
	else
		code = fsmeta_error_set_memory(error, "making an array cursor");
	if (code) {
		array_free(array);
		return code;
	}
	*out = &array->base;
	return 0;
}

void fsmeta_cursor_array_offer_runs(
    struct fsmeta_cursor *cursor, const struct fsmeta_array_run *runs, size_t count)
{
	struct array *array = (struct array *)cursor;

	array->runs = runs;
	array->run_count = count;
	array->offered = NULL;
}
