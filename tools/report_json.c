/*
 * A report may hold some hundred thousand changes.  One object for each would be many times
 * the size of what it says, and would have to be made by the browser one by one.  So changes are
 * columns, and folders are named once:
 *
 *     changes   cam1/a  D  ┐      folders  0 "cam1"      in 0      kind    "DMA…"
 *               cam1/b  M  ├──►            1 "cam2/new"  in root   folder  [0,0,1,…]
 *               cam2/new/ A┘                                       name    ["a","b","",…]
 *
 * A folder that changed is itself in the table, and its change has an empty name.  Columns are cut
 * in pieces of some thousand changes, so that memory does not grow with their number.
 *
 * Strings come from file names: what is no printable UTF-8 is quoted as `diff` quotes it, and what
 * could end the script element, or is no line end for JSON but one for others, is written as
 * \uXXXX.
 *
 * Memory: every append says whether memory was out; the answers are or-ed and looked at
 * once a piece.
 */
#include "tools/report_json.h"

#include "base/file.h"
#include "base/path.h"
#include "tools/churn.h"
#include "tools/command.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	/** Text is written out when so much has been collected. */
	FLUSH_BYTES = 256 << 10,
	/** Changes in a piece. */
	PIECE_CHANGES = 8192,
	/** Unknown places that are named. */
	UNKNOWN_SHOWN = 200,
};

static const char action[] = "writing the report";

/** The largest time that a Date of JavaScript can hold. */
static const int64_t date_seconds_max = INT64_C(8640000000000);

void fsmeta_report_output_release(struct fsmeta_report_output *output)
{
	fsmeta_buffer_release(&output->text);
	fsmeta_buffer_release(&output->scratch);
	fsmeta_buffer_release(&output->escaped);
}

/** Writes the text that was collected.  0 or a code. */
static int flush(struct fsmeta_report_output *output, struct fsmeta_error *error)
{
	int status = fsmeta_write_all(
	    output->fd, output->text.data, output->text.length, output->path, error);

	fsmeta_buffer_clear(&output->text);
	return status;
}

static int flush_when_full(struct fsmeta_report_output *output, struct fsmeta_error *error)
{
	return output->text.length < FLUSH_BYTES ? 0 : flush(output, error);
}

/* ---- strings --------------------------------------------------------------------- */

/** Copies the inside of a JSON string, so that it may stand in a script element. */
static int append_for_html(struct fsmeta_buffer *out, const unsigned char *text, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char *to;

	if (length > SIZE_MAX / 6 || fsmeta_buffer_reserve(out, 6 * length))
		return FSMETA_E_MEMORY;
	to = out->data + out->length;
	for (size_t i = 0; i < length; i++) {
		unsigned char byte = text[i];
		/* U+2028 and U+2029 are E2 80 A8 and E2 80 A9. */
		bool is_line_end = byte == 0xe2 && length - i > 2 && text[i + 1] == 0x80 &&
				   (text[i + 2] | 1) == 0xa9;

		if (byte != '<' && byte != '>' && byte != '&' && !is_line_end) {
			*to++ = byte;
			continue;
		}
		memcpy(to, is_line_end ? "\\u202" : "\\u00", is_line_end ? 5 : 4);
		to += is_line_end ? 5 : 4;
		if (is_line_end) {
			*to++ = text[i + 2] == 0xa8 ? '8' : '9';
			i += 2;
		} else {
			*to++ = (unsigned char)digits[byte >> 4];
			*to++ = (unsigned char)digits[byte & 15];
		}
	}
	out->length = (size_t)(to - out->data);
	return 0;
}

/** "TEXT" */
static int append_text(
    struct fsmeta_report_output *output, struct fsmeta_buffer *out, const char *text, size_t length)
{
	int failed = fsmeta_buffer_append_byte(out, '"');

	fsmeta_buffer_clear(&output->escaped);
	failed |= fsmeta_text_append_json(&output->escaped, text, length);
	failed |= append_for_html(out, output->escaped.data, output->escaped.length);
	return failed | fsmeta_buffer_append_byte(out, '"');
}

/** The same of a name or path, quoted where it would not show as it is. */
static int append_name(
    struct fsmeta_report_output *output, struct fsmeta_buffer *out, const char *name, size_t length)
{
	fsmeta_buffer_clear(&output->scratch);
	if (fsmeta_text_append_quoted(&output->scratch, name, length))
		return FSMETA_E_MEMORY;
	return append_text(output, out, (const char *)output->scratch.data, output->scratch.length);
}

/** ,"KEY":"TEXT" or nothing */
static int append_known(struct fsmeta_report_output *output, const char *key, const char *text)
{
	int failed;

	if (!text || !*text)
		return 0;
	failed = fsmeta_buffer_append_format(&output->text, ",\"%s\":", key);
	return failed | append_name(output, &output->text, text, strlen(text));
}

/** Seconds since 1970, null where the time is not known or beyond what a page can show. */
static int append_time(struct fsmeta_buffer *out, struct fsmeta_time time)
{
	bool is_known = time.seconds || time.nanoseconds;

	if (!is_known || time.seconds > date_seconds_max || time.seconds < -date_seconds_max)
		return fsmeta_buffer_append_text(out, "null");
	return fsmeta_buffer_append_format(out, "%" PRId64, time.seconds);
}

/* ---- sums, generations, steps ---------------------------------------------------- */

static int append_numbers(
    struct fsmeta_buffer *out, const char *key, const uint64_t *numbers, size_t count)
{
	int failed = fsmeta_buffer_append_format(out, ",\"%s\":[", key);

	for (size_t i = 0; i < count; i++)
		failed |=
		    fsmeta_buffer_append_format(out, i ? ",%" PRIu64 : "%" PRIu64, numbers[i]);
	return failed | fsmeta_buffer_append_byte(out, ']');
}

static int append_sums(struct fsmeta_buffer *out, const struct fsmeta_report_sums *sums)
{
	int failed = append_numbers(out, "counts", sums->counts, FSMETA_REPORT_KINDS);

	failed |= append_numbers(out, "bytes", sums->bytes, FSMETA_REPORT_KINDS);
	return failed | fsmeta_buffer_append_format(
			    out, ",\"before\":%" PRIu64, sums->modified_bytes_before);
}

static int append_source(struct fsmeta_report_output *output, const struct fsmeta_report *report)
{
	const struct fsmeta_batch_source *source = &report->generation.source;
	struct fsmeta_buffer *out = &output->text;
	int failed =
	    fsmeta_buffer_append_text(out, ",\"source\":{\"program\":\"" FSMETA_VERSION "\"");

	failed |= append_known(output, "machine", source->machine_name);
	failed |= append_known(output, "mount", source->mount_point);
	failed |= append_known(output, "root", source->root_path);
	failed |= append_known(output, "id", source->source_id);
	return failed | fsmeta_buffer_append_byte(out, '}');
}

static int append_generations(
    struct fsmeta_report_output *output, const struct fsmeta_report *report)
{
	const struct fsmeta_report_generation *rows;
	struct fsmeta_buffer *out = &output->text;
	int failed = fsmeta_buffer_append_text(out, ",\n\"generations\":[");
	size_t count;

	rows = fsmeta_report_generations(report, &count);
	for (size_t i = 0; i < count; i++) {
		failed |= fsmeta_buffer_append_format(
		    out, i ? ",\n[%" PRIu64 "," : "\n[%" PRIu64 ",", rows[i].number);
		failed |= append_time(out, rows[i].finished);
		failed |= fsmeta_buffer_append_format(out,
		    ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%d]",
		    rows[i].entries, rows[i].files, rows[i].bytes, rows[i].carried,
		    rows[i].unreadable, rows[i].pruned);
	}
	return failed | fsmeta_buffer_append_byte(out, ']');
}

static int append_steps(struct fsmeta_report_output *output, const struct fsmeta_report *report)
{
	struct fsmeta_buffer *out = &output->text;
	int failed = fsmeta_buffer_append_text(out, ",\n\"steps\":[");

	for (size_t i = 0; i < report->step_count; i++) {
		failed |=
		    fsmeta_buffer_append_format(out, "%s{\"older\":%" PRIu64 ",\"newer\":%" PRIu64,
			i ? ",\n" : "\n", report->steps[i].older, report->steps[i].newer);
		failed |= append_sums(out, &report->steps[i].sums);
		failed |= fsmeta_buffer_append_byte(out, '}');
	}
	return failed | fsmeta_buffer_append_byte(out, ']');
}

/* ---- the tree, and what of it is unknown ------------------------------------------ */

static int append_node(struct fsmeta_report_output *output, const struct fsmeta_report_node *node,
    const struct fsmeta_report_node *above)
{
	struct fsmeta_buffer *out = &output->text;
	size_t skipped = above && above->path.length ? above->path.length + 1 : 0;
	int failed = fsmeta_buffer_append_text(out, "{\"name\":");

	failed |= append_name(
	    output, out, (const char *)node->path.data + skipped, node->path.length - skipped);
	failed |= fsmeta_buffer_append_format(out,
	    ",\"type\":%d,\"in\":%d,\"size\":%" PRIu64 ",\"entries\":%" PRIu64
	    ",\"unknown\":%" PRIu64,
	    (int)node->type, node->parent == FSMETA_REPORT_NODE_NONE ? -1 : (int)node->parent,
	    node->bytes, node->entries, node->unknown_bytes);
	if (node->whole)
		failed |= fsmeta_buffer_append_format(out, ",\"whole\":%d", (int)node->whole);
	failed |= append_numbers(out, "counts", node->changes, FSMETA_REPORT_KINDS);
	failed |= append_numbers(out, "bytes", node->changed_bytes, FSMETA_REPORT_KINDS);
	return failed | fsmeta_buffer_append_byte(out, '}');
}

static int append_tree(struct fsmeta_report_output *output, const struct fsmeta_report *report)
{
	const struct fsmeta_report_node *nodes;
	int failed = fsmeta_buffer_append_text(&output->text, ",\n\"tree\":[");
	size_t count;

	nodes = fsmeta_report_tree_nodes(report->tree, &count);
	for (size_t i = 0; i < count; i++) {
		failed |= fsmeta_buffer_append_text(&output->text, i ? ",\n" : "\n");
		failed |= append_node(output, &nodes[i],
		    nodes[i].parent == FSMETA_REPORT_NODE_NONE ? NULL : &nodes[nodes[i].parent]);
	}
	return failed | fsmeta_buffer_append_byte(&output->text, ']');
}

/** The reason why an entry could not be looked at, for people. */
static const char *name_reason(bool unreadable, int error)
{
	const char *description = error ? strerrordesc_np(error) : NULL;

	if (description)
		return description;
	return unreadable ? "cannot be read" : "not looked at";
}

static int append_unknown(struct fsmeta_report_output *output, const struct fsmeta_report *report)
{
	const struct fsmeta_db_unknown_places *places = &report->unknown;
	struct fsmeta_buffer *out = &output->text;
	uint64_t entries, bytes;
	int failed;

	fsmeta_report_tree_unknown(report->tree, &entries, &bytes);
	failed = fsmeta_buffer_append_format(out,
	    ",\n\"unknown\":{\"entries\":%" PRIu64 ",\"bytes\":%" PRIu64
	    ",\"total\":%zu,\"places\":[",
	    entries, bytes, places->count);
	for (size_t i = 0; i < places->count && i < UNKNOWN_SHOWN; i++) {
		const struct fsmeta_db_unknown_place *place = &places->items[i];
		const char *reason = name_reason(place->unreadable, place->error);
		bool is_root = !place->path_length;

		failed |= fsmeta_buffer_append_text(out, i ? ",\n[" : "\n[");
		failed |= append_name(
		    output, out, is_root ? "." : place->path, is_root ? 1 : place->path_length);
		failed |= fsmeta_buffer_append_format(out, ",%" PRIu64 ",", place->since);
		failed |= append_text(output, out, reason, strlen(reason));
		failed |= fsmeta_buffer_append_byte(out, ']');
	}
	return failed | fsmeta_buffer_append_text(out, "]}");
}

/** [rule, count, seconds, rounded] of each rule that explains changes. */
static int append_churn(struct fsmeta_buffer *out, const struct fsmeta_report *report)
{
	int failed = fsmeta_buffer_append_text(out, ",\n\"churn\":[");
	bool is_first = true;

	for (int rule = 0; rule < FSMETA_CHURN_RULES; rule++) {
		const struct fsmeta_churn_finding *finding = &report->churn[rule];

		if (!finding->count)
			continue;
		failed |= fsmeta_buffer_append_format(out, "%s[\"%s\",%" PRIu64 ",%.9f,%d]",
		    is_first ? "" : ",", fsmeta_churn_rule_name((enum fsmeta_churn_rule)rule),
		    finding->count,
		    (double)finding->shift_seconds + finding->shift_nanoseconds / 1e9,
		    finding->is_rounded);
		is_first = false;
	}
	return failed | fsmeta_buffer_append_byte(out, ']');
}

/* ---- video archives ---------------------------------------------------------------- */

static int append_streams(struct fsmeta_report_output *output, const struct fsmeta_report *report)
{
	const struct fsmeta_buffer *streams = &report->archive.streams;
	const struct fsmeta_report_stream *items = (const void *)streams->data;
	struct fsmeta_buffer *out = &output->text;
	int failed = fsmeta_buffer_append_text(out, ",\n\"archive\":{\"streams\":[");

	for (size_t i = 0; i < streams->length / sizeof(*items); i++) {
		bool is_root = !items[i].path_length;

		failed |= fsmeta_buffer_append_text(out, i ? ",\n[" : "\n[");
		failed |= append_name(
		    output, out, is_root ? "." : items[i].path, is_root ? 1 : items[i].path_length);
		failed |= fsmeta_buffer_append_format(
		    out, ",\"%s\"]", fsmeta_layout_name(items[i].layout));
	}
	return failed | fsmeta_buffer_append_byte(out, ']');
}

static int append_stretches(struct fsmeta_buffer *out, const struct fsmeta_report *report)
{
	const struct fsmeta_buffer *stretches = &report->archive.stretches;
	const struct fsmeta_report_stretch *items = (const void *)stretches->data;
	int failed = fsmeta_buffer_append_text(out, ",\"stretches\":[");

	for (size_t i = 0; i < stretches->length / sizeof(*items); i++) {
		const struct fsmeta_report_stretch *stretch = &items[i];
		const char *event =
		    fsmeta_archive_event_name((enum fsmeta_archive_event)stretch->event);

		failed |= fsmeta_buffer_append_format(out,
		    "%s[%" PRIu32 ",%" PRIu64 ",\"%s\",%" PRId64 ",%" PRId64 ",%" PRIu64 "]",
		    i ? ",\n" : "\n", stretch->stream, stretch->generation,
		    event ? event : "covered", stretch->from_us / 1000000, stretch->to_us / 1000000,
		    stretch->pieces);
	}
	return failed | fsmeta_buffer_append_byte(out, ']');
}

static int append_sentences(struct fsmeta_report_output *output, const struct fsmeta_report *report)
{
	const struct fsmeta_buffer *sentences = &report->archive.sentences;
	const struct fsmeta_report_sentence *items = (const void *)sentences->data;
	struct fsmeta_buffer *out = &output->text;
	int failed = fsmeta_buffer_append_text(out, ",\"sentences\":[");

	for (size_t i = 0; i < sentences->length / sizeof(*items); i++) {
		failed |= fsmeta_buffer_append_format(out, "%s[%" PRIu32 ",%" PRIu64 ",%d,%d,",
		    i ? ",\n" : "\n", items[i].stream, items[i].generation,
		    items[i].is_alarm  ? 1
		    : items[i].is_news ? 2
				       : 0,
		    items[i].is_asked);
		failed |= append_text(output, out, items[i].text, strlen(items[i].text));
		failed |= fsmeta_buffer_append_byte(out, ']');
	}
	return failed | fsmeta_buffer_append_format(
			    out, "],\"leftOut\":%" PRIu64 "}", report->archive.left_out);
}

static int append_archive(struct fsmeta_report_output *output, const struct fsmeta_report *report)
{
	int failed = append_streams(output, report);

	failed |= append_stretches(&output->text, report);
	return failed | append_sentences(output, report);
}

/* ---- changes --------------------------------------------------------------------- */

enum column {
	COLUMN_FOLDER,
	COLUMN_NAME,
	COLUMN_SIZE,
	COLUMN_MTIME,
	/** These are [row, value] of those that have one. */
	COLUMN_OLD_SIZE,
	COLUMN_ENTRIES,
	COLUMN_OLD_MTIME,
	COLUMN_FROM,
	COLUMN_NOTE,
	COLUMNS,
};

static const char *const column_names[COLUMNS] = {
    "folder", "name", "size", "mtime", "oldSize", "entries", "oldMtime", "from", "note"};

/** A taker of changes that writes them in pieces. */
struct change_writer {
	/** First, so that the sink is the writer. */
	struct fsmeta_change_sink sink;
	struct fsmeta_report_output *output;
	bool outer_only;
	uint64_t left;
	/** The piece under way. */
	size_t rows;
	bool has_pieces;
	/** A letter a change: kind, and type. */
	struct fsmeta_buffer kinds;
	struct fsmeta_buffer types;
	struct fsmeta_buffer columns[COLUMNS];
	/** [in, name] of the folders that came up in this piece. */
	struct fsmeta_buffer folders;
	/** The folder of the last change, and the number of each folder on the way to it. */
	struct fsmeta_path_stack path;
	/** int64_t, by depth - 1. */
	struct fsmeta_buffer numbers;
	int64_t next_folder;
};

static void release_change_writer(struct change_writer *writer)
{
	fsmeta_buffer_release(&writer->kinds);
	fsmeta_buffer_release(&writer->types);
	for (int i = 0; i < COLUMNS; i++)
		fsmeta_buffer_release(&writer->columns[i]);
	fsmeta_buffer_release(&writer->folders);
	fsmeta_path_stack_release(&writer->path);
	fsmeta_buffer_release(&writer->numbers);
}

static int append_column(
    struct fsmeta_report_output *output, const char *name, const struct fsmeta_buffer *column)
{
	int failed = fsmeta_buffer_append_format(&output->text, ",\"%s\":[", name);

	failed |= fsmeta_buffer_append(&output->text, column->data, column->length);
	return failed | fsmeta_buffer_append_byte(&output->text, ']');
}

/** Writes the piece and begins the next. */
static int write_piece(struct change_writer *writer, struct fsmeta_error *error)
{
	struct fsmeta_report_output *output = writer->output;
	int failed;

	if (!writer->rows)
		return 0;
	failed = fsmeta_buffer_append_text(
	    &output->text, writer->has_pieces ? ",\n{\"kind\":\"" : "\n{\"kind\":\"");
	failed |= fsmeta_buffer_append(&output->text, writer->kinds.data, writer->kinds.length);
	failed |= fsmeta_buffer_append_text(&output->text, "\",\"type\":\"");
	failed |= fsmeta_buffer_append(&output->text, writer->types.data, writer->types.length);
	failed |= fsmeta_buffer_append_byte(&output->text, '"');
	failed |= append_column(output, "folders", &writer->folders);
	for (int i = 0; i < COLUMNS; i++) {
		failed |= append_column(output, column_names[i], &writer->columns[i]);
		fsmeta_buffer_clear(&writer->columns[i]);
	}
	failed |= fsmeta_buffer_append_byte(&output->text, '}');
	if (failed)
		return fsmeta_error_set_memory(error, action);
	fsmeta_buffer_clear(&writer->kinds);
	fsmeta_buffer_clear(&writer->types);
	fsmeta_buffer_clear(&writer->folders);
	writer->rows = 0;
	writer->has_pieces = true;
	return flush_when_full(output, error);
}

static int64_t folder_number(const struct change_writer *writer, uint32_t depth)
{
	return depth ? ((const int64_t *)(const void *)writer->numbers.data)[depth - 1] : -1;
}

/** Enters a folder below the one of the writer's path. */
static int enter_folder(struct change_writer *writer, const char *name, size_t length)
{
	struct fsmeta_buffer *out = &writer->folders;
	int64_t number = writer->next_folder++;
	int failed = out->length ? fsmeta_buffer_append_byte(out, ',') : 0;

	failed |= fsmeta_buffer_append_format(
	    out, "[%" PRId64 ",", folder_number(writer, writer->path.depth));
	failed |= append_name(writer->output, out, name, length);
	failed |= fsmeta_buffer_append_byte(out, ']');
	writer->numbers.length = writer->path.depth * sizeof(number);
	failed |= fsmeta_buffer_append(&writer->numbers, &number, sizeof(number));
	return failed ? failed : fsmeta_path_stack_push(&writer->path, name, length);
}

/** Goes to the folder at `path`; changes come in an order in which it is seldom far. */
static int go_to_folder(struct change_writer *writer, const char *path, size_t length)
{
	uint32_t depth = 0;
	size_t at = 0;

	while (at < length) {
		const char *slash = memchr(path + at, '/', length - at);
		size_t end = slash ? (size_t)(slash - path) : length;
		size_t name_length = 0;
		const char *name = NULL;

		if (depth < writer->path.depth)
			name = fsmeta_path_stack_name(&writer->path, depth + 1, &name_length);
		if (!name || fsmeta_name_compare(name, name_length, path + at, end - at) != 0) {
			fsmeta_path_stack_truncate(&writer->path, depth);
			if (enter_folder(writer, path + at, end - at))
				return FSMETA_E_MEMORY;
		}
		depth++;
		at = end + (slash != NULL);
	}
	fsmeta_path_stack_truncate(&writer->path, depth);
	return 0;
}

/** Puts a comma between the values of a column. */
static struct fsmeta_buffer *next_value(struct change_writer *writer, enum column column)
{
	struct fsmeta_buffer *out = &writer->columns[column];

	/* Memory that is out here is out for what follows as well. */
	if (out->length)
		fsmeta_buffer_append_byte(out, ',');
	return out;
}

/** Begins the pair of a value that few rows have. */
static struct fsmeta_buffer *begin_pair(struct change_writer *writer, enum column column)
{
	struct fsmeta_buffer *out = next_value(writer, column);

	fsmeta_buffer_append_format(out, "[%zu,", writer->rows);
	return out;
}

static int append_number_pair(struct change_writer *writer, enum column column, uint64_t value)
{
	return fsmeta_buffer_append_format(begin_pair(writer, column), "%" PRIu64 "]", value);
}

/** What changed but size and time of modification: "mode 0644 → 0400, uid 0 → 1000". */
static int append_differences(struct fsmeta_buffer *out, const struct fsmeta_entry *before,
    const struct fsmeta_entry *after, uint32_t fields)
{
	int failed = 0;

	fields &= ~(uint32_t)(FSMETA_FIELD_SIZE | FSMETA_FIELD_MTIME);
	for (uint32_t rest = fields; rest; rest &= rest - 1) {
		uint32_t field = rest & -rest;
		const char *name = fsmeta_field_name(field);

		failed |= fsmeta_buffer_append_format(
		    out, "%s%s", rest == fields ? "" : ", ", name ? name : "?");
		if (field == FSMETA_FIELD_MODE)
			failed |= fsmeta_buffer_append_format(
			    out, " %04o → %04o", before->mode, after->mode);
		else if (field == FSMETA_FIELD_UID)
			failed |=
			    fsmeta_buffer_append_format(out, " %u → %u", before->uid, after->uid);
		else if (field == FSMETA_FIELD_GID)
			failed |=
			    fsmeta_buffer_append_format(out, " %u → %u", before->gid, after->gid);
		else if (field == FSMETA_FIELD_TARGET) {
			failed |= fsmeta_buffer_append_text(out, " → ");
			failed |= fsmeta_text_append_quoted(
			    out, after->target ? after->target : "", after->target_length);
		}
	}
	return failed;
}

static int append_note(struct change_writer *writer, const struct fsmeta_change *change)
{
	struct fsmeta_report_output *output = writer->output;
	const struct fsmeta_entry *entry = fsmeta_change_entry(change);
	struct fsmeta_buffer *out = &writer->columns[COLUMN_NOTE];
	struct fsmeta_buffer *note = &output->scratch;
	int failed = 0;

	fsmeta_buffer_clear(note);
	if (change->kind == FSMETA_CHANGE_UNREADABLE || change->kind == FSMETA_CHANGE_UNKNOWN)
		failed = fsmeta_buffer_append_text(
		    note, name_reason(change->kind == FSMETA_CHANGE_UNREADABLE, entry->error));
	else if (change->before && change->after)
		failed = append_differences(note, change->before, change->after, change->fields);
	if (failed || !note->length)
		return failed;
	begin_pair(writer, COLUMN_NOTE);
	failed = append_text(output, out, (const char *)note->data, note->length);
	return failed | fsmeta_buffer_append_byte(out, ']');
}

static int append_from(struct change_writer *writer, const struct fsmeta_entry *before)
{
	struct fsmeta_buffer *out = begin_pair(writer, COLUMN_FROM);
	int failed = append_name(writer->output, out, before->path, before->path_length);

	return failed | fsmeta_buffer_append_byte(out, ']');
}

static int append_mtime(struct change_writer *writer, const struct fsmeta_entry *entry)
{
	struct fsmeta_buffer *out = next_value(writer, COLUMN_MTIME);

	return entry->fields & FSMETA_FIELD_MTIME ? append_time(out, entry->mtime)
						  : fsmeta_buffer_append_text(out, "null");
}

/** Size and time that it had before, where they were others. */
static int append_old(struct change_writer *writer, const struct fsmeta_change *change)
{
	const struct fsmeta_entry *before = change->before;
	int failed = 0;

	if (change->fields & FSMETA_FIELD_SIZE && before->type != FSMETA_TYPE_FOLDER)
		failed = append_number_pair(writer, COLUMN_OLD_SIZE, before->size);
	if (change->fields & before->fields & FSMETA_FIELD_MTIME) {
		struct fsmeta_buffer *out = begin_pair(writer, COLUMN_OLD_MTIME);

		failed |= append_time(out, before->mtime);
		failed |= fsmeta_buffer_append_byte(out, ']');
	}
	return failed;
}

static int append_row(struct change_writer *writer, const struct fsmeta_change *change)
{
	static const char kinds[] = "?ADMR!U?";
	static const char types[] = "?fdlpsbc";
	const struct fsmeta_entry *entry = fsmeta_change_entry(change);
	bool is_folder = entry->type == FSMETA_TYPE_FOLDER;
	size_t above = entry->depth > 1 ? (size_t)(entry->name - entry->path) - 1 : 0;
	int failed = go_to_folder(writer, entry->path, is_folder ? entry->path_length : above);

	failed |= fsmeta_buffer_append_byte(&writer->kinds, (unsigned char)kinds[change->kind]);
	failed |= fsmeta_buffer_append_byte(&writer->types, (unsigned char)types[entry->type]);
	failed |= fsmeta_buffer_append_format(next_value(writer, COLUMN_FOLDER), "%" PRId64,
	    folder_number(writer, writer->path.depth));
	failed |= is_folder ? fsmeta_buffer_append_text(next_value(writer, COLUMN_NAME), "\"\"")
			    : append_name(writer->output, next_value(writer, COLUMN_NAME),
				  entry->name, entry->name_length);
	failed |= fsmeta_buffer_append_format(
	    next_value(writer, COLUMN_SIZE), "%" PRIu64, is_folder ? change->bytes : entry->size);
	failed |= append_mtime(writer, entry);
	if (is_folder && change->entries)
		failed |= append_number_pair(writer, COLUMN_ENTRIES, change->entries);
	if (change->before && change->after)
		failed |= append_old(writer, change);
	if (change->kind == FSMETA_CHANGE_MOVED)
		failed |= append_from(writer, change->before);
	return failed | append_note(writer, change);
}

static int take_change(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct change_writer *writer = (struct change_writer *)sink;

	if (!fsmeta_report_tells(change) || !writer->left ||
	    (writer->outer_only && change->flags & FSMETA_CHANGE_INSIDE))
		return 0;
	writer->left--;
	if (append_row(writer, change))
		return fsmeta_error_set_memory(error, action);
	return ++writer->rows < PIECE_CHANGES ? 0 : write_piece(writer, error);
}

static int write_changes(struct fsmeta_report_output *output, struct fsmeta_report *report,
    uint64_t limit, struct fsmeta_error *error)
{
	struct fsmeta_churn_filter filter;
	struct change_writer writer;
	int status;

	memset(&writer, 0, sizeof(writer));
	writer.sink.change = take_change;
	writer.output = output;
	writer.outer_only = report->sums.lines > limit;
	writer.left = limit;
	fsmeta_path_stack_init(&writer.path);
	status = fsmeta_churn_filter_init(&filter, report->diff, report->cursors[0]->source,
	    report->cursors[1]->source, true, &writer.sink, error);
	if (!status)
		status = fsmeta_diff_replay(report->diff, &filter.sink, error);
	if (!status)
		status = write_piece(&writer, error);
	fsmeta_churn_filter_release(&filter);
	release_change_writer(&writer);
	return status;
}

int fsmeta_report_write_json(struct fsmeta_report_output *output, struct fsmeta_report *report,
    uint64_t limit, struct fsmeta_error *error)
{
	struct fsmeta_buffer *out = &output->text;
	int failed = fsmeta_buffer_append_format(out,
	    "{\"version\":1,\"older\":%" PRIu64 ",\"newer\":%" PRIu64 ",\"lines\":%" PRIu64
	    ",\"outerLines\":%" PRIu64,
	    report->older, report->newer, report->sums.lines, report->sums.outer_lines);
	int status = 0;

	failed |= append_source(output, report);
	failed |= append_sums(out, &report->sums);
	failed |= append_generations(output, report);
	failed |= append_steps(output, report);
	failed |= append_tree(output, report);
	failed |= append_unknown(output, report);
	failed |= append_churn(out, report);
	failed |= append_archive(output, report);
	failed |= fsmeta_buffer_append_text(out, ",\n\"changes\":[");
	if (failed)
		return fsmeta_error_set_memory(error, action);
	if (report->diff)
		status = write_changes(output, report, limit, error);
	if (status)
		return status;
	return fsmeta_buffer_append_text(out, "]}") ? fsmeta_error_set_memory(error, action)
						    : flush(output, error);
}
