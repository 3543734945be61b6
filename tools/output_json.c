/*
 * JSON lines, put together by hand, key by key: a library that builds an object
 * for each of some million lines takes ten times as long as the scan itself.
 *
 *     room for all fixed parts ─► {"type":"file","path":"  ◄─ path, checked once
 *     is made once a line         ","size":123,"mtime":"   ◄─ date from the cache
 *                                 T10:00:00.000000001Z"…}
 *
 * Most paths are printable ASCII, which one pass of eight bytes a step proves; then
 * they are copied as they are.
 *
 * Memory: every append says whether memory was out; the answers are or-ed and
 * looked at once a line.
 */
#include "tools/output_line.h"

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/**
 * True where a JSON string holds these eight bytes as they are: printable ASCII.  Of bytes below
 * 0x80 a difference has the high bit only where the byte was smaller, or one below it was; then
 * the answer is the same.
 */
static inline bool word_is_plain(uint64_t word)
{
	uint64_t control = word - ONES * ' ', quote = (word ^ ONES * '"') - ONES,
		 backslash = (word ^ ONES * '\\') - ONES, delete = word + ONES;

	return !((word | control | quote | backslash | delete) & HIGHS);
}

static bool is_plain(const char *bytes, size_t length)
{
	uint64_t word;
	size_t at = 0;

	for (; length - at >= sizeof(word); at += sizeof(word)) {
		memcpy(&word, bytes + at, sizeof(word));
		if (!word_is_plain(word))
			return false;
	}
	memset(&word, ' ', sizeof(word));
	memcpy(&word, bytes + at, length - at);
	return word_is_plain(word);
}

/** A string that is not plain: ,"KEY":"TEXT", and "KEY_b64" where it is no UTF-8. */
static int append_json_bytes(
    struct fsmeta_buffer *out, const char *key, const char *bytes, size_t length)
{
	int failed = fsmeta_buffer_append_format(out, ",\"%s\":\"", key);

	failed |= fsmeta_text_append_json(out, bytes, length);
	failed |= fsmeta_buffer_append_byte(out, '"');
	if (fsmeta_utf8_is_valid(bytes, length))
		return failed;
	failed |= fsmeta_buffer_append_format(out, ",\"%s_b64\":\"", key);
	failed |= fsmeta_text_append_base64(out, bytes, length);
	return failed | fsmeta_buffer_append_byte(out, '"');
}

int fsmeta_line_json_string(
    struct fsmeta_buffer *out, const char *key, const char *bytes, size_t length)
{
	size_t key_length = strlen(key);
	size_t room;

	if (!fsmeta_size_add(length, 2 * FSMETA_LINE_FIXED_BYTES, &room) ||
	    fsmeta_buffer_reserve(out, room))
		return FSMETA_E_MEMORY;
	if (!is_plain(bytes, length))
		return append_json_bytes(out, key, bytes, length) |
		       fsmeta_buffer_reserve(out, FSMETA_LINE_FIXED_BYTES);
	FSMETA_LINE_PUT(out, ",\"");
	fsmeta_line_text(out, key, key_length);
	FSMETA_LINE_PUT(out, "\":\"");
	if (length)
		fsmeta_line_text(out, bytes, length);
	fsmeta_line_byte(out, '"');
	return 0;
}

/** The key of a path; the root is ".". */
static int append_json_named_path(
    struct fsmeta_buffer *out, const char *key, const struct fsmeta_entry *entry)
{
	if (!entry->path_length)
		return fsmeta_line_json_string(out, key, ".", 1);
	return fsmeta_line_json_string(out, key, entry->path, entry->path_length);
}

/** path, which every line has, and which mostly is as it is. */
static int append_json_path(struct fsmeta_buffer *out, const struct fsmeta_entry *entry)
{
	size_t length = entry->path_length, room;

	if (!length || !is_plain(entry->path, length))
		return append_json_named_path(out, "path", entry);
	if (!fsmeta_size_add(length, 2 * FSMETA_LINE_FIXED_BYTES, &room) ||
	    fsmeta_buffer_reserve(out, room))
		return FSMETA_E_MEMORY;
	FSMETA_LINE_PUT(out, ",\"path\":\"");
	fsmeta_line_text(out, entry->path, length);
	fsmeta_line_byte(out, '"');
	return 0;
}

static void put_json_number(struct fsmeta_buffer *out, const char *key, uint64_t value)
{
	fsmeta_line_text(out, key, strlen(key));
	fsmeta_line_number(out, value);
}

/** The fields in `mask` that have a short text of their own. */
static void put_json_columns(
    struct fsmeta_output *output, const struct fsmeta_entry *entry, uint32_t mask)
{
	struct fsmeta_buffer *out = &output->lines;

	for (size_t i = 0; i < FSMETA_LINE_COLUMNS; i++) {
		const struct fsmeta_line_column *column = &fsmeta_line_columns[i];

		if (!(mask & column->field))
			continue;
		fsmeta_line_literal(out, &column->json);
		fsmeta_line_value(output, entry, column->field);
		if (column->is_string)
			fsmeta_line_byte(out, '"');
	}
}

/** error, and the other flags where they are set. */
static int append_json_flags(struct fsmeta_buffer *out, const struct fsmeta_entry *entry)
{
	int failed = 0;

	if (!entry->flags)
		return 0;
	if (entry->flags & FSMETA_FLAG_UNREADABLE) {
		FSMETA_LINE_PUT(out, ",\"error\":\"");
		failed |= fsmeta_line_errno_name(out, entry->error);
		failed |= fsmeta_buffer_append_byte(out, '"');
	}
	if (entry->flags & FSMETA_FLAG_OTHER_FILESYSTEM)
		failed |= fsmeta_buffer_append_text(out, ",\"other_filesystem\":true");
	if (entry->flags & FSMETA_FLAG_CHANGED_WHILE_READ)
		failed |= fsmeta_buffer_append_text(out, ",\"changed_while_read\":true");
	return failed | fsmeta_buffer_reserve(out, FSMETA_LINE_FIXED_BYTES);
}

static int append_json_hash(struct fsmeta_buffer *out, const struct fsmeta_entry *entry)
{
	int failed;

	if (entry->hash_algorithm == FSMETA_HASH_NONE)
		return 0;
	failed = fsmeta_buffer_append_text(out, ",\"hash\":\"");
	failed |= fsmeta_line_hash(out, entry);
	failed |= fsmeta_buffer_append_byte(out, '"');
	return failed | fsmeta_buffer_reserve(out, FSMETA_LINE_FIXED_BYTES);
}

/** All keys of the fields in `mask` that the entry has, each with a comma in front. */
static int append_json_fields(
    struct fsmeta_output *output, const struct fsmeta_entry *entry, uint32_t mask)
{
	struct fsmeta_buffer *out = &output->lines;
	int failed = 0;

	mask &= entry->fields | FSMETA_FIELD_FLAGS;
	put_json_columns(output, entry, mask);
	if (mask & FSMETA_FIELD_TARGET)
		failed |=
		    fsmeta_line_json_string(out, "target", entry->target, entry->target_length);
	if (!failed && mask & FSMETA_FIELD_FLAGS)
		failed |= append_json_flags(out, entry);
	if (!failed && mask & FSMETA_FIELD_HASH)
		failed |= append_json_hash(out, entry);
	return failed;
}

static void put_json_type(struct fsmeta_buffer *out, const struct fsmeta_entry *entry)
{
	static const struct fsmeta_line_literal types[] = {
	    [FSMETA_TYPE_FILE] = FSMETA_LINE_LITERAL(",\"type\":\"file\""),
	    [FSMETA_TYPE_FOLDER] = FSMETA_LINE_LITERAL(",\"type\":\"folder\""),
	    [FSMETA_TYPE_SYMLINK] = FSMETA_LINE_LITERAL(",\"type\":\"symlink\""),
	    [FSMETA_TYPE_FIFO] = FSMETA_LINE_LITERAL(",\"type\":\"fifo\""),
	    [FSMETA_TYPE_SOCKET] = FSMETA_LINE_LITERAL(",\"type\":\"socket\""),
	    [FSMETA_TYPE_BLOCK] = FSMETA_LINE_LITERAL(",\"type\":\"block\""),
	    [FSMETA_TYPE_CHAR] = FSMETA_LINE_LITERAL(",\"type\":\"char\""),
	};

	fsmeta_line_literal(out, &types[entry->type]);
}

/** The entry's keys from id to unknown_since, each with a comma in front. */
static int append_json_entry(struct fsmeta_output *output, const struct fsmeta_batch_source *source,
    const struct fsmeta_entry *entry)
{
	struct fsmeta_buffer *out = &output->lines;

	if (entry->id && source && source->id_kind == FSMETA_IDS_STABLE)
		put_json_number(out, ",\"id\":", entry->id);
	put_json_type(out, entry);
	if (append_json_path(out, entry) || append_json_fields(output, entry, UINT32_MAX))
		return FSMETA_E_MEMORY;
	if (entry->unknown_since)
		put_json_number(out, ",\"unknown_since\":", entry->unknown_since);
	return 0;
}

/** Every key has a comma in front; that of the first at `start` becomes the brace. */
static void finish_json_object(struct fsmeta_buffer *out, size_t start)
{
	if (out->length == start)
		fsmeta_line_byte(out, '{');
	else
		out->data[start] = '{';
	fsmeta_line_byte(out, '}');
}

static int json_entry(struct fsmeta_output *output, const struct fsmeta_entry *entry)
{
	size_t start = output->lines.length;

	if (append_json_entry(output, output->newer, entry))
		return FSMETA_E_MEMORY;
	finish_json_object(&output->lines, start);
	fsmeta_line_byte(&output->lines, '\n');
	return 0;
}

static void put_json_totals(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	struct fsmeta_buffer *out = &output->lines;

	if (output->newer_only || fsmeta_change_entry(change)->type != FSMETA_TYPE_FOLDER)
		return;
	put_json_number(out, ",\"entries\":", change->entries);
	put_json_number(out, ",\"bytes\":", change->bytes);
}

static void put_json_field_names(struct fsmeta_buffer *out, uint32_t fields)
{
	size_t start;

	FSMETA_LINE_PUT(out, ",\"fields\":");
	start = out->length;
	for (uint32_t rest = fields; rest; rest &= rest - 1) {
		const char *name = fsmeta_field_name(rest & -rest);

		if (!name)
			continue;
		FSMETA_LINE_PUT(out, ",\"");
		fsmeta_line_text(out, name, strlen(name));
		fsmeta_line_byte(out, '"');
	}
	if (out->length == start)
		fsmeta_line_byte(out, '[');
	else
		out->data[start] = '[';
	fsmeta_line_byte(out, ']');
}

/** ,"KEY":{…} with the fields in `mask` only. */
static int append_json_side(
    struct fsmeta_output *output, const char *key, const struct fsmeta_entry *entry, uint32_t mask)
{
	size_t start;

	fsmeta_line_text(&output->lines, key, strlen(key));
	start = output->lines.length;
	if (append_json_fields(output, entry, mask))
		return FSMETA_E_MEMORY;
	finish_json_object(&output->lines, start);
	return 0;
}

/** fields, old, new */
static int append_json_differences(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	put_json_field_names(&output->lines, change->fields);
	if (!output->newer_only &&
	    append_json_side(output, ",\"old\":", change->before, change->fields))
		return FSMETA_E_MEMORY;
	return append_json_side(output, ",\"new\":", change->after, change->fields);
}

static int append_json_modified(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	put_json_type(&output->lines, change->after);
	if (append_json_path(&output->lines, change->after))
		return FSMETA_E_MEMORY;
	return append_json_differences(output, change);
}

static int append_json_moved(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	put_json_type(&output->lines, change->after);
	if (append_json_path(&output->lines, change->after) ||
	    append_json_named_path(&output->lines, "old_path", change->before))
		return FSMETA_E_MEMORY;
	put_json_totals(output, change);
	return change->fields ? append_json_differences(output, change) : 0;
}

static int append_json_unseen(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	const struct fsmeta_entry *entry = fsmeta_change_entry(change);

	put_json_type(&output->lines, entry);
	if (append_json_path(&output->lines, entry) || append_json_flags(&output->lines, entry))
		return FSMETA_E_MEMORY;
	put_json_totals(output, change);
	return 0;
}

static int append_json_kind(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	int failed;

	switch (change->kind) {
	case FSMETA_CHANGE_ADDED:
		failed = append_json_entry(output, output->newer, change->after);
		break;
	case FSMETA_CHANGE_REMOVED:
		failed = append_json_entry(output, output->older, change->before);
		break;
	case FSMETA_CHANGE_MODIFIED:
	case FSMETA_CHANGE_CORRUPTED:
		return append_json_modified(output, change);
	case FSMETA_CHANGE_MOVED:
		return append_json_moved(output, change);
	case FSMETA_CHANGE_UNREADABLE:
	case FSMETA_CHANGE_UNKNOWN:
		return append_json_unseen(output, change);
	default:
		return 0;
	}
	if (!failed)
		put_json_totals(output, change);
	return failed;
}

static int json_change(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	static const struct fsmeta_line_literal kinds[] = {
	    [FSMETA_CHANGE_ADDED] = FSMETA_LINE_LITERAL("{\"kind\":\"added\""),
	    [FSMETA_CHANGE_REMOVED] = FSMETA_LINE_LITERAL("{\"kind\":\"removed\""),
	    [FSMETA_CHANGE_MODIFIED] = FSMETA_LINE_LITERAL("{\"kind\":\"modified\""),
	    [FSMETA_CHANGE_MOVED] = FSMETA_LINE_LITERAL("{\"kind\":\"moved\""),
	    [FSMETA_CHANGE_CORRUPTED] = FSMETA_LINE_LITERAL("{\"kind\":\"corrupted\""),
	    [FSMETA_CHANGE_UNREADABLE] = FSMETA_LINE_LITERAL("{\"kind\":\"unreadable\""),
	    [FSMETA_CHANGE_UNKNOWN] = FSMETA_LINE_LITERAL("{\"kind\":\"unknown\""),
	};

	fsmeta_line_literal(&output->lines, &kinds[change->kind]);
	if (append_json_kind(output, change))
		return FSMETA_E_MEMORY;
	FSMETA_LINE_PUT(&output->lines, "}\n");
	return 0;
}

static int json_known(
    struct fsmeta_output *output, const struct fsmeta_entry *entry, uint64_t unknown_since)
{
	FSMETA_LINE_PUT(&output->lines, "{\"kind\":\"known\"");
	put_json_type(&output->lines, entry);
	if (append_json_path(&output->lines, entry))
		return FSMETA_E_MEMORY;
	put_json_number(&output->lines, ",\"unknown_since\":", unknown_since);
	FSMETA_LINE_PUT(&output->lines, "}\n");
	return 0;
}

static int json_usage(struct fsmeta_output *output, const struct fsmeta_output_usage *usage)
{
	struct fsmeta_buffer *out = &output->lines;
	size_t start = out->length;

	put_json_type(out, usage->entry);
	if (append_json_path(out, usage->entry))
		return FSMETA_E_MEMORY;
	put_json_number(out, ",\"entries\":", usage->entries);
	if (usage->known & FSMETA_FIELD_SIZE)
		put_json_number(out, ",\"apparent\":", usage->apparent);
	if (usage->known & FSMETA_FIELD_ALLOCATED)
		put_json_number(out, ",\"allocated\":", usage->allocated);
	finish_json_object(out, start);
	fsmeta_line_byte(out, '\n');
	return 0;
}

const struct fsmeta_output_writer fsmeta_output_json = {
    .entry = json_entry,
    .change = json_change,
    .known = json_known,
    .usage = json_usage,
    .shows_inside = true,
    .context = FSMETA_LINE_JSON_CONTEXT,
};
