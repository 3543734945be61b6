/*
 * Changes are counted as they come, which is in canonical order, so all of one folder come
 * together: but for the files of a folder itself, which come between those of its folders.
 * So for each depth the row that was counted into last is remembered, and a new one begins
 * where its path is another.
 *
 *     depth 0   "."        ◄─ files in the root
 *     depth 1   "cam1"     ◄─ everything in cam1, with --depth 1
 *
 * Memory is that of the rows.
 */
#include "tools/tally.h"

#include "base/path.h"
#include "tools/command.h"
#include "tools/output_line.h"

#include <inttypes.h>
#include <stdlib.h>

static const char action[] = "summing up";

struct counts {
	uint64_t entries;
	uint64_t came_bytes;
	uint64_t went_bytes;
};

struct row {
	/** *Borrowed* from the arena; "" is the root. */
	const char *path;
	size_t path_length;
	struct counts counts;
};

enum {
	KINDS = FSMETA_CHANGE_UNKNOWN + 1,
};

struct fsmeta_tally {
	/** First, so that the sink is the tally. */
	struct fsmeta_change_sink sink;
	uint32_t depth;
	struct counts kinds[KINDS];
	struct row *rows;
	size_t row_count;
	size_t row_capacity;
	/** [depth]: 1 + index of the row that was counted into last, 0 = none. */
	size_t *last;
	struct fsmeta_arena paths;
};

static uint64_t size_of(const struct fsmeta_entry *entry)
{
	return entry && entry->type == FSMETA_TYPE_FILE && entry->fields & FSMETA_FIELD_SIZE
		   ? entry->size
		   : 0;
}

/** What one change adds to the counts. */
static struct counts weigh(const struct fsmeta_change *change)
{
	struct counts counts = {.entries = 1};
	uint64_t before = size_of(change->before), after = size_of(change->after);

	switch (change->kind) {
	case FSMETA_CHANGE_ADDED:
		counts.came_bytes = after;
		break;
	case FSMETA_CHANGE_REMOVED:
		counts.went_bytes = before;
		break;
	case FSMETA_CHANGE_MODIFIED:
	case FSMETA_CHANGE_CORRUPTED:
	case FSMETA_CHANGE_MOVED:
		counts.came_bytes = after > before ? after - before : 0;
		counts.went_bytes = before > after ? before - after : 0;
		break;
	case FSMETA_CHANGE_UNREADABLE:
	case FSMETA_CHANGE_UNKNOWN:
		break;
	}
	/* Descendants of what was added or removed have changes of their own. */
	if (change->kind == FSMETA_CHANGE_MOVED || change->kind == FSMETA_CHANGE_UNREADABLE ||
	    change->kind == FSMETA_CHANGE_UNKNOWN)
		counts.entries += change->entries;
	return counts;
}

static void add(struct counts *to, const struct counts *counts)
{
	to->entries += counts->entries;
	to->came_bytes += counts->came_bytes;
	to->went_bytes += counts->went_bytes;
}

/** Length of the first `*depth` components of a folder's path; *depth becomes how many. */
static size_t cut_path(const char *path, size_t length, uint32_t *depth)
{
	uint32_t found = 0;
	size_t at = 0;

	while (found < *depth && at < length) {
		const char *slash = memchr(path + at + (at != 0), '/', length - at - (at != 0));

		at = slash ? (size_t)(slash - path) : length;
		found++;
	}
	*depth = found;
	return at;
}

static struct row *new_row(
    struct fsmeta_tally *tally, const char *path, size_t length, struct fsmeta_error *error)
{
	size_t capacity = tally->row_capacity ? 2 * tally->row_capacity : 64, bytes;
	struct row *rows;
	char *copy;

	if (tally->row_count == tally->row_capacity) {
		rows = fsmeta_size_multiply(capacity, sizeof(*rows), &bytes)
			   ? realloc(tally->rows, bytes)
			   : NULL;
		if (!rows) {
			fsmeta_error_set_memory(error, action);
			return NULL;
		}
		tally->rows = rows;
		tally->row_capacity = capacity;
	}
	copy = fsmeta_arena_copy(&tally->paths, path, length);
	if (!copy) {
		fsmeta_error_set_memory(error, action);
		return NULL;
	}
	tally->rows[tally->row_count] = (struct row){.path = copy, .path_length = length};
	return &tally->rows[tally->row_count++];
}

/** The row of the folder that the entry is in, or is. */
static struct row *find_row(
    struct fsmeta_tally *tally, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	size_t length = entry->path_length;
	uint32_t depth = tally->depth;
	struct row *row;

	if (entry->type != FSMETA_TYPE_FOLDER) {
		length = fsmeta_path_name_offset(entry->path, length);
		length -= length != 0;
	}
	length = cut_path(entry->path, length, &depth);
	if (tally->last[depth]) {
		row = &tally->rows[tally->last[depth] - 1];
		if (row->path_length == length && memcmp(row->path, entry->path, length) == 0)
			return row;
	}
	row = new_row(tally, entry->path, length, error);
	if (row)
		tally->last[depth] = tally->row_count;
	return row;
}

static int take_change(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct fsmeta_tally *tally = (struct fsmeta_tally *)sink;
	struct counts counts;
	struct row *row;

	if (change->flags & FSMETA_CHANGE_CONTINUED || !fsmeta_change_kind_name(change->kind))
		return 0;
	row = find_row(tally, fsmeta_change_entry(change), error);
	if (!row)
		return FSMETA_E_MEMORY;
	counts = weigh(change);
	add(&tally->kinds[change->kind], &counts);
	add(&row->counts, &counts);
	return 0;
}

int fsmeta_tally_new(struct fsmeta_tally **out, uint32_t depth, struct fsmeta_error *error)
{
	struct fsmeta_tally *tally = calloc(1, sizeof(*tally));

	*out = NULL;
	if (tally)
		tally->last = calloc((size_t)depth + 1, sizeof(*tally->last));
	if (!tally || !tally->last) {
		free(tally);
		return fsmeta_error_set_memory(error, action);
	}
	tally->sink.change = take_change;
	tally->depth = depth;
	*out = tally;
	return 0;
}

struct fsmeta_change_sink *fsmeta_tally_sink(struct fsmeta_tally *tally)
{
	return &tally->sink;
}

void fsmeta_tally_free(struct fsmeta_tally *tally)
{
	if (!tally)
		return;
	fsmeta_arena_release(&tally->paths);
	free(tally->rows);
	free(tally->last);
	free(tally);
}

/* ---- printing --------------------------------------------------------------- */

static int compare_rows(const void *a, const void *b)
{
	const struct row *left = a, *right = b;
	uint64_t left_bytes = left->counts.came_bytes + left->counts.went_bytes;
	uint64_t right_bytes = right->counts.came_bytes + right->counts.went_bytes;

	if (left_bytes != right_bytes)
		return left_bytes < right_bytes ? 1 : -1;
	if (left->counts.entries != right->counts.entries)
		return left->counts.entries < right->counts.entries ? 1 : -1;
	return fsmeta_path_compare(left->path, left->path_length, right->path, right->path_length);
}

/** Bytes in a column; nothing is "-". */
static int append_text_bytes(struct fsmeta_buffer *out, uint64_t bytes)
{
	struct fsmeta_buffer cell = {0};
	int failed =
	    bytes ? fsmeta_text_append_size(&cell, bytes) : fsmeta_buffer_append_byte(&cell, '-');

	failed |= fsmeta_buffer_append_format(out, "%11.*s", (int)cell.length, (char *)cell.data);
	fsmeta_buffer_release(&cell);
	return failed;
}

/** The columns that every line of text has. */
static int append_text_counts(struct fsmeta_buffer *out, const struct counts *counts)
{
	struct fsmeta_buffer cell = {0};
	int failed = fsmeta_text_append_count(&cell, counts->entries);

	failed |= fsmeta_buffer_append_format(out, "%13.*s", (int)cell.length, (char *)cell.data);
	fsmeta_buffer_release(&cell);
	failed |= append_text_bytes(out, counts->came_bytes);
	return failed | append_text_bytes(out, counts->went_bytes);
}

static int append_text_row(struct fsmeta_buffer *out, const struct row *row)
{
	struct fsmeta_buffer path = {0};
	int failed = append_text_counts(out, &row->counts);

	failed |= fsmeta_buffer_append(
	    &path, row->path_length ? row->path : ".", row->path_length ? row->path_length : 1);
	failed |= fsmeta_buffer_append_byte(&path, '/');
	failed |= fsmeta_buffer_append_text(out, "  ");
	if (!failed)
		failed = fsmeta_text_append_quoted(out, (const char *)path.data, path.length);
	fsmeta_buffer_release(&path);
	return failed | fsmeta_buffer_append_byte(out, '\n');
}

static int append_text(struct fsmeta_buffer *out, const struct fsmeta_tally *tally)
{
	int failed = 0;

	if (!tally->row_count)
		return 0;
	failed |= fsmeta_buffer_append_format(
	    out, "%-10s%13s  %9s  %9s\n", "", "entries", "came", "went");
	for (int kind = FSMETA_CHANGE_ADDED; kind < KINDS; kind++) {
		if (!tally->kinds[kind].entries)
			continue;
		failed |= fsmeta_buffer_append_format(
		    out, "%-10s", fsmeta_change_kind_name((enum fsmeta_change_kind)kind));
		failed |= append_text_counts(out, &tally->kinds[kind]);
		failed |= fsmeta_buffer_append_byte(out, '\n');
	}
	failed |= fsmeta_buffer_append_format(
	    out, "\n%13s  %9s  %9s  %s\n", "entries", "came", "went", "in");
	for (size_t i = 0; i < tally->row_count && !failed; i++)
		failed |= append_text_row(out, &tally->rows[i]);
	return failed;
}

static int append_json_counts(struct fsmeta_buffer *out, const struct counts *counts)
{
	return fsmeta_buffer_append_format(out,
	    ",\"entries\":%" PRIu64 ",\"came\":%" PRIu64 ",\"went\":%" PRIu64 "}\n",
	    counts->entries, counts->came_bytes, counts->went_bytes);
}

static int append_json(struct fsmeta_buffer *out, const struct fsmeta_tally *tally)
{
	int failed = 0;

	for (int kind = FSMETA_CHANGE_ADDED; kind < KINDS; kind++) {
		if (!tally->kinds[kind].entries)
			continue;
		failed |= fsmeta_buffer_append_format(out, "{\"kind\":\"%s\"",
		    fsmeta_change_kind_name((enum fsmeta_change_kind)kind));
		failed |= append_json_counts(out, &tally->kinds[kind]);
	}
	for (size_t i = 0; i < tally->row_count && !failed; i++) {
		const struct row *row = &tally->rows[i];
		size_t start = out->length;

		failed |= row->path_length
			      ? fsmeta_line_json_string(out, "path", row->path, row->path_length)
			      : fsmeta_line_json_string(out, "path", ".", 1);
		if (!failed)
			out->data[start] = '{';
		failed |= append_json_counts(out, &row->counts);
	}
	return failed;
}

int fsmeta_tally_print(
    struct fsmeta_tally *tally, enum fsmeta_output_format format, struct fsmeta_error *error)
{
	struct fsmeta_buffer out = {0};
	int failed, code = 0;

	if (tally->row_count)
		qsort(tally->rows, tally->row_count, sizeof(*tally->rows), compare_rows);
	failed =
	    format == FSMETA_OUTPUT_JSONL ? append_json(&out, tally) : append_text(&out, tally);
	if (failed)
		code = fsmeta_error_set_memory(error, action);
	else if (out.length)
		fwrite(out.data, 1, out.length, stdout);
	fsmeta_buffer_release(&out);
	return code ? code : fsmeta_flush_output(error);
}
