/*
 * CSV as RFC 4180 has it: names of the columns first, CR LF, quotes where a value holds a
 * comma, a quote or an end of a line, and doubled inside.
 *
 *     entry    id │ type path path_b64 │ size … rdev │ target … unknown_since
 *     change   kind type path path_b64 old_path old_path_b64 entries bytes fields
 *                                      │ size … rdev │ target … unknown_since
 *                                      │ old_size … old_rdev │ old_target … old_hash
 *
 * A name is UTF-8 with replacement characters, as in JSON lines, and its bytes are in the
 * column beside it where it is not UTF-8.  Nothing else is done to it: a program that reads
 * the file gets the name, line ends and all.  Only a terminal gets it escaped.
 */
#include "tools/output_line.h"

/** The columns of an entry, of a change those of its older side. */
static const char *const tail_names[] = {
    "target", "target_b64", "error", "other_filesystem", "changed_while_read", "hash"};

enum {
	TAIL_COLUMNS = sizeof(tail_names) / sizeof(tail_names[0]),
};

/** Doubles the quotes in what was written since `start`, and puts quotes around it. */
static int quote_since(struct fsmeta_buffer *out, size_t start)
{
	size_t length = out->length - start, quotes = 0, from, to;

	for (size_t i = start; i < out->length; i++)
		quotes += out->data[i] == '"';
	if (fsmeta_buffer_reserve(out, quotes + 2))
		return FSMETA_E_MEMORY;
	from = out->length;
	out->length += quotes + 2;
	to = out->length;
	out->data[--to] = '"';
	while (length--) {
		unsigned char byte = out->data[--from];

		out->data[--to] = byte;
		if (byte == '"')
			out->data[--to] = '"';
	}
	out->data[--to] = '"';
	return 0;
}

static bool needs_quotes(const unsigned char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (bytes[i] == '"' || bytes[i] == ',' || bytes[i] == '\r' || bytes[i] == '\n')
			return true;
	/* Some readers trim. */
	return length && (bytes[0] == ' ' || bytes[length - 1] == ' ');
}

/** Two cells: the text, and its bytes where that is not all of it. */
static int append_bytes(struct fsmeta_output *output, const char *bytes, size_t length)
{
	struct fsmeta_buffer *out = &output->lines;
	bool is_utf8 = fsmeta_utf8_is_valid(bytes, length);
	size_t start = out->length;
	int failed;

	if (output->flush_bytes == 1)
		failed = fsmeta_text_append_plain(out, bytes, length);
	else if (is_utf8)
		failed = fsmeta_buffer_append(out, bytes, length);
	else
		failed = fsmeta_text_append_utf8(out, bytes, length);
	if (!failed && needs_quotes(out->data + start, out->length - start))
		failed = quote_since(out, start);
	failed |= fsmeta_buffer_append_byte(out, ',');
	if (!is_utf8)
		failed |= fsmeta_text_append_base64(out, bytes, length);
	return failed | fsmeta_buffer_reserve(out, FSMETA_LINE_FIXED_BYTES);
}

static int append_path(struct fsmeta_output *output, const struct fsmeta_entry *entry)
{
	return entry->path_length ? append_bytes(output, entry->path, entry->path_length)
				  : append_bytes(output, ".", 1);
}

/** The cells of tail_names, each with a comma in front. */
static int append_tail(
    struct fsmeta_output *output, const struct fsmeta_entry *entry, uint32_t mask)
{
	struct fsmeta_buffer *out = &output->lines;
	uint32_t flags = mask & FSMETA_FIELD_FLAGS ? entry->flags : 0;
	int failed = 0;

	fsmeta_line_byte(out, ',');
	if (mask & entry->fields & FSMETA_FIELD_TARGET)
		failed = append_bytes(output, entry->target, entry->target_length);
	else
		fsmeta_line_byte(out, ',');
	if (failed)
		return failed;
	fsmeta_line_byte(out, ',');
	if (flags & FSMETA_FLAG_UNREADABLE)
		failed = fsmeta_line_errno_name(out, entry->error);
	failed |=
	    fsmeta_buffer_append_text(out, flags & FSMETA_FLAG_OTHER_FILESYSTEM ? ",true" : ",");
	failed |= fsmeta_buffer_append_text(
	    out, flags & FSMETA_FLAG_CHANGED_WHILE_READ ? ",true," : ",,");
	if (mask & entry->fields & FSMETA_FIELD_HASH)
		failed |= fsmeta_line_hash(out, entry);
	return failed | fsmeta_buffer_reserve(out, FSMETA_LINE_FIXED_BYTES);
}

/** The cells of the fields in `mask`, each with a comma in front. */
static int append_fields(
    struct fsmeta_output *output, const struct fsmeta_entry *entry, uint32_t mask)
{
	for (size_t i = 0; i < FSMETA_LINE_COLUMNS; i++) {
		uint32_t field = fsmeta_line_columns[i].field;

		fsmeta_line_byte(&output->lines, ',');
		if (mask & entry->fields & field)
			fsmeta_line_value(output, entry, field);
	}
	return append_tail(output, entry, mask);
}

/** The cells behind the path, to the end of the entry's columns. */
static int append_entry_fields(struct fsmeta_output *output, const struct fsmeta_entry *entry)
{
	if (append_fields(output, entry, UINT32_MAX))
		return FSMETA_E_MEMORY;
	fsmeta_line_byte(&output->lines, ',');
	if (entry->unknown_since)
		fsmeta_line_number(&output->lines, entry->unknown_since);
	return 0;
}

static void put_type(struct fsmeta_buffer *out, const struct fsmeta_entry *entry)
{
	const char *type = fsmeta_type_name(entry->type);

	fsmeta_line_text(out, type, strlen(type));
	fsmeta_line_byte(out, ',');
}

static int csv_entry(struct fsmeta_output *output, const struct fsmeta_entry *entry)
{
	struct fsmeta_buffer *out = &output->lines;
	const struct fsmeta_batch_source *source = output->newer;

	if (entry->id && source && source->id_kind == FSMETA_IDS_STABLE)
		fsmeta_line_number(out, entry->id);
	fsmeta_line_byte(out, ',');
	put_type(out, entry);
	if (append_path(output, entry) || append_entry_fields(output, entry))
		return FSMETA_E_MEMORY;
	FSMETA_LINE_PUT(out, "\r\n");
	return 0;
}

/** "size mtime" */
static void put_field_names(struct fsmeta_buffer *out, uint32_t fields)
{
	size_t start = out->length;

	for (uint32_t rest = fields; rest; rest &= rest - 1) {
		const char *name = fsmeta_field_name(rest & -rest);

		if (!name)
			continue;
		if (out->length > start)
			fsmeta_line_byte(out, ' ');
		fsmeta_line_text(out, name, strlen(name));
	}
}

/** old_path to fields, each with a comma in front. */
static int append_change_cells(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	struct fsmeta_buffer *out = &output->lines;
	bool has_totals = !output->newer_only && change->kind != FSMETA_CHANGE_MODIFIED &&
			  fsmeta_change_entry(change)->type == FSMETA_TYPE_FOLDER;

	fsmeta_line_byte(out, ',');
	if (change->kind != FSMETA_CHANGE_MOVED)
		fsmeta_line_byte(out, ',');
	else if (append_path(output, change->before))
		return FSMETA_E_MEMORY;
	fsmeta_line_byte(out, ',');
	if (has_totals)
		fsmeta_line_number(out, change->entries);
	fsmeta_line_byte(out, ',');
	if (has_totals)
		fsmeta_line_number(out, change->bytes);
	fsmeta_line_byte(out, ',');
	put_field_names(out, change->fields);
	return 0;
}

static int csv_change(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	static const struct fsmeta_entry nothing;
	struct fsmeta_buffer *out = &output->lines;
	const struct fsmeta_entry *entry = fsmeta_change_entry(change);
	const char *kind = fsmeta_change_kind_name(change->kind);
	bool has_older = change->before && change->after && change->fields && !output->newer_only;

	fsmeta_line_text(out, kind, strlen(kind));
	fsmeta_line_byte(out, ',');
	put_type(out, entry);
	if (append_path(output, entry) || append_change_cells(output, change) ||
	    append_entry_fields(output, entry) ||
	    append_fields(
		output, has_older ? change->before : &nothing, has_older ? change->fields : 0))
		return FSMETA_E_MEMORY;
	FSMETA_LINE_PUT(out, "\r\n");
	return 0;
}

static int csv_usage(struct fsmeta_output *output, const struct fsmeta_output_usage *usage)
{
	struct fsmeta_buffer *out = &output->lines;

	put_type(out, usage->entry);
	if (append_path(output, usage->entry))
		return FSMETA_E_MEMORY;
	fsmeta_line_byte(out, ',');
	fsmeta_line_number(out, usage->entries);
	fsmeta_line_byte(out, ',');
	if (usage->known & FSMETA_FIELD_SIZE)
		fsmeta_line_number(out, usage->apparent);
	fsmeta_line_byte(out, ',');
	if (usage->known & FSMETA_FIELD_ALLOCATED)
		fsmeta_line_number(out, usage->allocated);
	FSMETA_LINE_PUT(out, "\r\n");
	return 0;
}

/** Names of an entry's columns, each with a comma and `prefix` in front. */
static int append_names(struct fsmeta_buffer *out, const char *prefix)
{
	int failed = 0;

	for (size_t i = 0; i < FSMETA_LINE_COLUMNS; i++)
		failed |=
		    fsmeta_buffer_append_format(out, ",%s%s", prefix, fsmeta_line_columns[i].name);
	for (size_t i = 0; i < TAIL_COLUMNS; i++)
		failed |= fsmeta_buffer_append_format(out, ",%s%s", prefix, tail_names[i]);
	return failed;
}

static int csv_begin(struct fsmeta_output *output)
{
	struct fsmeta_buffer *out = &output->lines;
	int failed = 0;

	switch (output->rows) {
	case FSMETA_LINE_ENTRIES:
		failed |= fsmeta_buffer_append_text(out, "id,type,path,path_b64");
		failed |= append_names(out, "");
		failed |= fsmeta_buffer_append_text(out, ",unknown_since");
		break;
	case FSMETA_LINE_CHANGES:
		failed |= fsmeta_buffer_append_text(
		    out, "kind,type,path,path_b64,old_path,old_path_b64,entries,bytes,fields");
		failed |= append_names(out, "");
		failed |= fsmeta_buffer_append_text(out, ",unknown_since");
		failed |= append_names(out, "old_");
		break;
	case FSMETA_LINE_USAGES:
		failed |=
		    fsmeta_buffer_append_text(out, "type,path,path_b64,entries,apparent,allocated");
		break;
	}
	return failed | fsmeta_buffer_append_text(out, "\r\n");
}

const struct fsmeta_output_writer fsmeta_output_csv = {
    .begin = csv_begin,
    .entry = csv_entry,
    .change = csv_change,
    .usage = csv_usage,
    .shows_inside = true,
};
