/*
 * From two generations to a section of a delta.
 *
 * The diff gives the changes, in order, with ids.  Two things are put between
 * them: the folders above a change that have none of their own (a stack holds
 * those on the path that were named already), and the places that the newer
 * generation does not know, which the database lists.  What the diff says of these
 * is left out, because it cannot tell since when, nor what was excluded.
 *
 *     diff      a/b/x modified                       c removed
 *     parents   "" a a/b
 *     unknown                      b (since 41)
 *     section   "" a a/b a/b/x     b                 c
 */
#include "tools/delta.h"

#include "base/path.h"
#include "diff/diff.h"
#include "tools/command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char action[] = "writing a delta";

/** A section while it is written: takes the diff's changes. */
struct section_sink {
	struct fsmeta_change_sink sink;
	struct fsmeta_delta_writer *writer;
	/** Folders of the newer generation. */
	struct fsmeta_db_folders *folders;
	struct fsmeta_db_unknown_places places;
	/** The first of them that was not written yet. */
	size_t next_place;
	/** Folders on the path of the change before that were named. */
	struct fsmeta_path_stack named;
	bool root_named;
};

/* ---- folders above ----------------------------------------------------- */

/** Components that the path shares with the stack; *offset: where the next one begins. */
static uint32_t shared_depth(
    const struct fsmeta_path_stack *stack, const char *path, size_t length, size_t *offset)
{
	uint32_t depth = 0;
	size_t at = 0;

	while (depth < stack->depth && at < length) {
		size_t name_length;
		const char *name = fsmeta_path_stack_name(stack, depth + 1, &name_length);

		if (length - at < name_length || memcmp(path + at, name, name_length) != 0 ||
		    (length - at > name_length && path[at + name_length] != '/'))
			break;
		at += name_length + (length - at > name_length);
		depth++;
	}
	*offset = at;
	return depth;
}

/** Writes one folder as a parent; *there false where the newer generation lacks it. */
static int add_parent(struct section_sink *section, const char *path, size_t length, bool *there,
    struct fsmeta_error *error)
{
	struct fsmeta_entry folder = {
	    .path = path, .path_length = length, .type = FSMETA_TYPE_FOLDER};
	struct fsmeta_delta_change change = {.kind = FSMETA_DELTA_PARENT, .entry = &folder};
	int code = fsmeta_db_folders_find(section->folders, path, length, &folder.id, error);

	*there = folder.id != 0;
	return code || !*there ? code : fsmeta_delta_writer_add(section->writer, &change, error);
}

static int push_named(
    struct section_sink *section, const char *name, size_t length, struct fsmeta_error *error)
{
	return fsmeta_path_stack_push(&section->named, name, length)
		   ? fsmeta_error_set_memory(error, action)
		   : 0;
}

/** Writes the folders above `entry` that were not named, and notes `entry` itself. */
static int name_folders(struct section_sink *section, const struct fsmeta_entry *entry,
    bool arrives, struct fsmeta_error *error)
{
	size_t at, name_at = entry->path_length - entry->name_length;
	uint32_t shared = shared_depth(&section->named, entry->path, entry->path_length, &at);
	bool there = true;
	int code = 0;

	fsmeta_path_stack_truncate(&section->named, shared);
	if (!section->root_named && entry->depth)
		code = add_parent(section, "", 0, &there, error);
	section->root_named = true;
	while (!code && there && at < name_at) {
		const char *slash = memchr(entry->path + at, '/', entry->path_length - at);
		size_t end = (size_t)(slash - entry->path);

		code = add_parent(section, entry->path, end, &there, error);
		if (!code && there)
			code = push_named(section, entry->path + at, end - at, error);
		at = end + 1;
	}
	if (code || !arrives || entry->type != FSMETA_TYPE_FOLDER || !entry->depth ||
	    section->named.depth == entry->depth)
		return code;
	return push_named(section, entry->name, entry->name_length, error);
}

/* ---- changes ------------------------------------------------------------ */

static int add_place(struct section_sink *section, const struct fsmeta_db_unknown_place *place,
    struct fsmeta_error *error)
{
	size_t name_at = fsmeta_path_name_offset(place->path, place->path_length);
	struct fsmeta_entry entry = {
	    .path = place->path,
	    .path_length = place->path_length,
	    .name = place->path + name_at,
	    .name_length = place->path_length - name_at,
	    .depth = fsmeta_path_depth(place->path, place->path_length),
	    .type = place->type,
	    .id = place->id,
	    .error = place->error,
	    .unknown_since = place->since,
	};
	struct fsmeta_delta_change change = {
	    .kind = place->unreadable ? FSMETA_CHANGE_UNREADABLE : FSMETA_CHANGE_UNKNOWN,
	    .entry = &entry,
	    .whole = place->whole,
	};
	int code = name_folders(section, &entry, true, error);

	return code ? code : fsmeta_delta_writer_add(section->writer, &change, error);
}

/** Writes the unknown places that stand in front of `change`; NULL = all that are left. */
static int add_places(struct section_sink *section, const struct fsmeta_delta_change *change,
    struct fsmeta_error *error)
{
	int code = 0;

	while (!code && section->next_place < section->places.count) {
		const struct fsmeta_db_unknown_place *place =
		    &section->places.items[section->next_place];

		if (change && fsmeta_delta_change_compare(change, place->path, place->path_length,
				  FSMETA_CHANGE_UNKNOWN) < 0)
			break;
		code = add_place(section, place, error);
		section->next_place++;
	}
	return code;
}

static int take_change(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct section_sink *section = (struct section_sink *)sink;
	bool is_removal = change->kind == FSMETA_CHANGE_REMOVED;
	struct fsmeta_delta_change out = {
	    .kind = (int)change->kind,
	    .differs = change->fields,
	    .entry = fsmeta_change_entry(change),
	};
	int code;

	if (change->kind == FSMETA_CHANGE_UNREADABLE || change->kind == FSMETA_CHANGE_UNKNOWN ||
	    (is_removal && change->flags & FSMETA_CHANGE_INSIDE))
		return 0;
	if (change->kind == FSMETA_CHANGE_MOVED) {
		out.old_path = change->before->path;
		out.old_path_length = change->before->path_length;
	}
	code = add_places(section, &out, error);
	if (!code)
		code = name_folders(section, out.entry, !is_removal, error);
	return code ? code : fsmeta_delta_writer_add(section->writer, &out, error);
}

/* ---- sections ----------------------------------------------------------- */

/** What is open while a section is made. */
struct section {
	struct fsmeta_db_generation base;
	struct fsmeta_db_generation generation;
	/** The base first. */
	struct fsmeta_cursor *cursors[2];
	struct fsmeta_diff *diff;
	struct section_sink sink;
};

/** Where sections come from. */
struct sender {
	struct fsmeta_db *db;
	/** Finished and not committed: what it wrote is sent too.  NULL = none. */
	struct fsmeta_db_update *update;
};

static int compare_generations(struct section *section, const struct sender *sender, uint64_t base,
    uint64_t number, struct fsmeta_error *error)
{
	struct fsmeta_diff_options options = {
	    .notion = FSMETA_DIFF_STORED,
	    .moves = FSMETA_DIFF_MOVES_BY_ID,
	    .compare_ids = number != base + 1,
	    .stop = &fsmeta_stop_signal,
	};
	const struct fsmeta_db_cursor_options cursor_options = {.stop = &fsmeta_stop_signal};
	const uint64_t numbers[] = {base, number};
	int code = fsmeta_db_difference_cursors(
	    section->cursors, sender->db, sender->update, numbers, &cursor_options, error);

	if (!code)
		code = fsmeta_diff_run(
		    &section->diff, section->cursors[0], section->cursors[1], &options, error);
	if (!code)
		code = fsmeta_db_folders_new(&section->sink.folders, sender->db, number, error);
	return code ? code
		    : fsmeta_db_unknown_places(&section->sink.places, sender->db, number, error);
}

static int write_changes(
    struct section *section, struct fsmeta_delta_writer *writer, struct fsmeta_error *error)
{
	struct section_sink *sink = &section->sink;
	const struct fsmeta_db_generation *generation = &section->generation;
	const struct fsmeta_delta_section head = {
	    .base_generation = section->base.number,
	    .generation = generation->number,
	    .base_state_digest = section->base.source.state_digest,
	    .state_digest = generation->source.state_digest,
	    .compared_with = generation->base,
	    .added = generation->added,
	    .removed = generation->removed,
	    .modified = generation->modified,
	    .moved = generation->moved,
	    .source = &generation->source,
	};
	int code = fsmeta_delta_writer_begin_section(writer, &head, error);

	sink->sink.change = take_change;
	sink->writer = writer;
	if (!code)
		code = fsmeta_diff_replay(section->diff, &sink->sink, error);
	if (!code)
		code = add_places(sink, NULL, error);
	return code ? code : fsmeta_delta_writer_end_section(writer, error);
}

static void section_release(struct section *section)
{
	fsmeta_db_unknown_places_release(&section->sink.places);
	fsmeta_db_folders_free(section->sink.folders);
	fsmeta_path_stack_release(&section->sink.named);
	fsmeta_diff_free(section->diff);
	fsmeta_cursor_close(section->cursors[0]);
	fsmeta_cursor_close(section->cursors[1]);
	fsmeta_db_generation_release(&section->generation);
	fsmeta_db_generation_release(&section->base);
}

static int write_section(const struct sender *sender, uint64_t base, uint64_t number,
    struct fsmeta_delta_writer *writer, struct fsmeta_error *error)
{
	struct section section = {0};
	int code;

	fsmeta_path_stack_init(&section.sink.named);
	fsmeta_batch_source_init(&section.generation.source);
	code = fsmeta_db_generation(sender->db, base, &section.base, error);
	if (!code)
		code = fsmeta_db_generation(sender->db, number, &section.generation, error);
	if (!code)
		code = compare_generations(&section, sender, base, number, error);
	if (!code)
		code = write_changes(&section, writer, error);
	section_release(&section);
	return code;
}

/* ---- exporting ----------------------------------------------------------- */

/** The kept generations from one to another. */
struct kept {
	uint64_t since;
	uint64_t until;
	/** uint64_t each. */
	struct fsmeta_buffer numbers;
};

static int note_kept(const struct fsmeta_db_generation *generation, void *payload)
{
	struct kept *kept = payload;

	if (generation->pruned || generation->number < kept->since ||
	    generation->number > kept->until)
		return 0;
	return fsmeta_buffer_append(
	    &kept->numbers, &generation->number, sizeof(generation->number));
}

static int write_sections(const struct sender *sender, const uint64_t *numbers, size_t count,
    struct fsmeta_delta_writer *writer, struct fsmeta_error *error)
{
	int code = 0;

	for (size_t i = 1; i < count && !code; i++)
		code = write_section(sender, numbers[i - 1], numbers[i], writer, error);
	return code;
}

/** source.json: the newest generation, and where the delta starts from. */
static int prepare(struct fsmeta_db *db, const uint64_t *numbers, size_t count,
    struct fsmeta_delta_output *output, struct fsmeta_error *error)
{
	struct fsmeta_db_generation first, last;
	int code = fsmeta_db_generation(db, numbers[0], &first, error);

	if (!code)
		code = fsmeta_db_generation(db, numbers[count - 1], &last, error);
	else
		last = (struct fsmeta_db_generation){0};
	if (!code) {
		last.source.base_generation = first.number;
		last.source.has_base_state_digest = true;
		last.source.base_state_digest = first.source.state_digest;
		code = fsmeta_delta_output_prepare(output, &last.source, error);
	}
	fsmeta_db_generation_release(&first);
	fsmeta_db_generation_release(&last);
	return code;
}

int fsmeta_delta_prepare(struct fsmeta_delta_output **out, struct fsmeta_db *db,
    struct fsmeta_db_update *update, uint64_t since, uint64_t until, const char *path,
    struct fsmeta_error *error)
{
	const struct sender sender = {.db = db, .update = update};
	struct kept kept = {.since = since, .until = until};
	struct fsmeta_delta_output *output = NULL;
	const uint64_t *numbers;
	size_t count;
	int code = fsmeta_db_each_generation(db, error, note_kept, &kept);

	*out = NULL;
	if (code == FSMETA_E_MEMORY)
		code = fsmeta_error_set_memory(error, action);
	numbers = (const uint64_t *)(const void *)kept.numbers.data;
	count = kept.numbers.length / sizeof(*numbers);
	if (!code && (!count || numbers[0] != since))
		code = fsmeta_error_set(error, FSMETA_E_NOT_FOUND, NULL, action,
		    "there is no generation %" PRIu64 " to start from", since);
	if (!code && count < 2)
		code = fsmeta_error_set(error, FSMETA_E_NOT_FOUND, NULL, action,
		    "there is no generation after %" PRIu64, since);
	if (!code)
		code = fsmeta_delta_output_new(&output, path, since, numbers[count - 1], error);
	if (!code)
		code = write_sections(
		    &sender, numbers, count, fsmeta_delta_output_writer(output), error);
	if (!code)
		code = prepare(db, numbers, count, output, error);
	if (code)
		fsmeta_delta_output_abort(output);
	else
		*out = output;
	fsmeta_buffer_release(&kept.numbers);
	return code;
}

int fsmeta_delta_export(struct fsmeta_db *db, uint64_t since, uint64_t until, const char *path,
    struct fsmeta_delta_summary *summary, struct fsmeta_error *error)
{
	struct fsmeta_delta_output *output;
	int code = fsmeta_delta_prepare(&output, db, NULL, since, until, path, error);

	return code ? code : fsmeta_delta_output_commit(output, summary, error);
}

/* ---- importing ----------------------------------------------------------- */

static int apply_section(struct fsmeta_db_delta *applied, struct fsmeta_delta *delta,
    const struct fsmeta_delta_section *section, struct fsmeta_corruption *corrupted,
    struct fsmeta_error *error)
{
	const struct fsmeta_delta_change *change;
	int code = fsmeta_db_delta_begin_section(applied, section, error);

	if (code)
		return code;
	while ((code = fsmeta_delta_next_change(delta, &change, error)) > 0) {
		if (fsmeta_stop_signal)
			return fsmeta_error_set(
			    error, FSMETA_E_STOPPED, NULL, "applying a delta", "stopped");
		if (corrupted && change->kind == FSMETA_CHANGE_CORRUPTED)
			fsmeta_corruption_add(corrupted, change->entry);
		code = fsmeta_db_delta_change(applied, change, error);
		if (code)
			return code;
	}
	return code ? code : fsmeta_db_delta_end_section(applied, error);
}

int fsmeta_delta_import(struct fsmeta_db_generation *out, struct fsmeta_db *db,
    struct fsmeta_delta *delta, struct fsmeta_corruption *corrupted, struct fsmeta_error *error)
{
	const struct fsmeta_delta_section *section;
	struct fsmeta_db_delta *applied = NULL;
	int code;

	fsmeta_delta_rewind(delta);
	code = fsmeta_db_delta_begin(&applied, db, error);
	while (!code && (code = fsmeta_delta_next_section(delta, &section, error)) > 0)
		code = apply_section(applied, delta, section, corrupted, error);
	if (!code) {
		code = fsmeta_db_delta_commit(applied, error);
		applied = NULL;
	}
	fsmeta_db_delta_abort(applied);
	return code
		   ? code
		   : fsmeta_db_generation(db, fsmeta_delta_get_facts(delta).generation, out, error);
}

/* ---- listing -------------------------------------------------------------- */

/** A delta knows of what was there only where, which one, and what differed. */
static int print_change(struct fsmeta_change_sink *sink, const struct fsmeta_delta_change *change,
    const struct fsmeta_delta_section *section, struct fsmeta_error *error)
{
	struct fsmeta_entry before = *change->entry;
	struct fsmeta_change out = {
	    .kind = (enum fsmeta_change_kind)change->kind,
	    .before = &before,
	    .after = change->entry,
	    .fields = change->differs,
	};

	before.fields = 0;
	switch (out.kind) {
	case FSMETA_CHANGE_ADDED:
		out.before = NULL;
		break;
	case FSMETA_CHANGE_REMOVED:
		out.after = NULL;
		break;
	case FSMETA_CHANGE_MOVED:
		before.path = change->old_path;
		before.path_length = change->old_path_length;
		break;
	case FSMETA_CHANGE_UNREADABLE:
	case FSMETA_CHANGE_UNKNOWN:
		if (change->entry->unknown_since <= section->base_generation)
			out.flags = FSMETA_CHANGE_CONTINUED;
		if (out.kind == FSMETA_CHANGE_UNREADABLE)
			before.flags = FSMETA_FLAG_UNREADABLE;
		out.after = change->whole ? NULL : &before;
		break;
	case FSMETA_CHANGE_MODIFIED:
	case FSMETA_CHANGE_CORRUPTED:
		break;
	}
	return sink->change(sink, &out, error);
}

static void print_section(
    const struct fsmeta_delta_section *section, enum fsmeta_output_format format)
{
	if (format == FSMETA_OUTPUT_JSONL)
		printf("{\"kind\":\"section\",\"base\":%" PRIu64 ",\"generation\":%" PRIu64 "}\n",
		    section->base_generation, section->generation);
	else
		printf("generation %" PRIu64 " → %" PRIu64 "\n", section->base_generation,
		    section->generation);
}

static int list_section(struct fsmeta_delta *delta, const struct fsmeta_delta_section *section,
    enum fsmeta_output_format format, uint32_t output_flags, struct fsmeta_error *error)
{
	const struct fsmeta_delta_change *change;
	struct fsmeta_change_sink *sink;
	struct fsmeta_output *output;
	int code;

	if (!(output_flags & FSMETA_OUTPUT_NULL) || format == FSMETA_OUTPUT_JSONL)
		print_section(section, format);
	code = fsmeta_output_new(&output, stdout, format, output_flags | FSMETA_OUTPUT_NEWER_ONLY,
	    section->source, error);
	if (code)
		return code;
	sink = fsmeta_output_change_sink(output, section->source);
	while ((code = fsmeta_delta_next_change(delta, &change, error)) > 0) {
		code = change->kind == FSMETA_DELTA_PARENT
			   ? 0
			   : print_change(sink, change, section, error);
		if (code)
			break;
	}
	if (!code)
		code = fsmeta_output_finish(output, error);
	fsmeta_output_free(output);
	return code;
}

int fsmeta_delta_list(struct fsmeta_delta *delta, enum fsmeta_output_format format,
    uint32_t output_flags, struct fsmeta_error *error)
{
	const struct fsmeta_delta_section *section;
	int code;

	fsmeta_delta_rewind(delta);
	while ((code = fsmeta_delta_next_section(delta, &section, error)) > 0) {
		code = list_section(delta, section, format, output_flags, error);
		if (code)
			break;
	}
	return code ? code : fsmeta_flush_output(error);
}
