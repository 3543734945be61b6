/*
 * Text for people, and raw paths for programs that want nothing else.  Of a change
 * is shown what one wants to know first: how much came or went, and what changed
 * from what to what, as short as it stays unmistakable.
 *
 * Memory: every append says whether memory was out; the answers are or-ed and
 * looked at once a line.
 */
#include "tools/output_line.h"

/** The path for a terminal, a folder with a slash behind it; "./" is the root. */
static int append_text_path(struct fsmeta_output *output, const struct fsmeta_entry *entry)
{
	const char *path = entry->path_length ? entry->path : ".";
	size_t length = entry->path_length ? entry->path_length : 1;

	if (entry->type != FSMETA_TYPE_FOLDER)
		return fsmeta_text_append_quoted(&output->lines, path, length);
	fsmeta_buffer_clear(&output->scratch);
	if (fsmeta_buffer_append(&output->scratch, path, length) ||
	    fsmeta_buffer_append_byte(&output->scratch, '/'))
		return FSMETA_E_MEMORY;
	return fsmeta_text_append_quoted(
	    &output->lines, (const char *)output->scratch.data, output->scratch.length);
}

/** The path as it is and a NUL. */
static int append_raw_path(struct fsmeta_buffer *out, const struct fsmeta_entry *entry)
{
	int failed = entry->path_length ? fsmeta_buffer_append(out, entry->path, entry->path_length)
					: fsmeta_buffer_append_byte(out, '.');

	return failed | fsmeta_buffer_append_byte(out, '\0');
}

/** What the error or the flags of an entry mean, for people. */
static int append_text_flags(struct fsmeta_buffer *out, const struct fsmeta_entry *entry)
{
	const char *name = fsmeta_errno_name(entry->error);
	const char *description = name ? strerrordesc_np(entry->error) : NULL;

	if (entry->flags & FSMETA_FLAG_UNREADABLE)
		return description ? fsmeta_buffer_append_text(out, description)
				   : fsmeta_line_errno_name(out, entry->error);
	if (entry->flags & FSMETA_FLAG_OTHER_FILESYSTEM)
		return fsmeta_buffer_append_text(out, "another file system, not entered");
	if (entry->flags & FSMETA_FLAG_CHANGED_WHILE_READ)
		return fsmeta_buffer_append_text(out, "changed while read");
	return 0;
}

/** "-rwsr-x--T" as ls writes it. */
static void put_text_mode(struct fsmeta_buffer *out, const struct fsmeta_entry *entry)
{
	static const char types[] = "?-dlpsbc";
	char text[] = "?---------";
	uint32_t mode = entry->mode;

	text[0] = types[entry->type];
	for (int bit = 0; bit < 9; bit++)
		if (mode & 0400u >> bit)
			text[1 + bit] = "rwx"[bit % 3];
	if (mode & 04000)
		text[3] = mode & 0100 ? 's' : 'S';
	if (mode & 02000)
		text[6] = mode & 010 ? 's' : 'S';
	if (mode & 01000)
		text[9] = mode & 01 ? 't' : 'T';
	if (!(entry->fields & FSMETA_FIELD_MODE))
		memset(text + 1, '?', 9);
	fsmeta_line_text(out, text, sizeof(text) - 1);
}

/** Fills up with blanks in front so that what was written since `start` has `width`. */
static int align_right(struct fsmeta_buffer *out, size_t start, size_t width)
{
	size_t length = out->length - start;
	size_t blanks = length < width ? width - length : 0;

	if (fsmeta_buffer_reserve(out, blanks))
		return FSMETA_E_MEMORY;
	memmove(out->data + start + blanks, out->data + start, length);
	memset(out->data + start, ' ', blanks);
	out->length += blanks;
	return 0;
}

static int append_text_owner(struct fsmeta_buffer *out, const struct fsmeta_entry *entry)
{
	size_t start = out->length;

	if (entry->fields & FSMETA_FIELD_UID)
		fsmeta_line_number(out, entry->uid);
	else
		fsmeta_line_byte(out, '-');
	fsmeta_line_byte(out, ':');
	if (entry->fields & FSMETA_FIELD_GID)
		fsmeta_line_number(out, entry->gid);
	else
		fsmeta_line_byte(out, '-');
	return align_right(out, start, 11);
}

/** Size for people, device number of a device; a folder's own size means nothing. */
static int append_text_size(struct fsmeta_buffer *out, const struct fsmeta_entry *entry)
{
	size_t start = out->length;
	int failed = 0;

	if (entry->fields & FSMETA_FIELD_RDEV)
		failed =
		    fsmeta_buffer_append_format(out, "%u:%u", entry->rdev_major, entry->rdev_minor);
	else if (entry->fields & FSMETA_FIELD_SIZE && entry->type != FSMETA_TYPE_FOLDER)
		failed = fsmeta_text_append_size(out, entry->size);
	else
		failed = fsmeta_buffer_append_byte(out, '-');
	return failed | align_right(out, start, 8);
}

/** "2026-11-20 10:00:00" */
static void put_text_time(struct fsmeta_output *output, struct fsmeta_time time)
{
	fsmeta_line_day(output, time);
	fsmeta_line_byte(&output->lines, ' ');
	fsmeta_line_time_of_day(&output->lines, time);
}

static int append_text_mtime(struct fsmeta_output *output, const struct fsmeta_entry *entry)
{
	size_t start = output->lines.length;

	if (entry->fields & FSMETA_FIELD_MTIME)
		put_text_time(output, entry->mtime);
	else
		fsmeta_line_byte(&output->lines, '-');
	return align_right(&output->lines, start, 19);
}

/** "  [Permission denied]", "  [not seen since generation 7]" */
static int append_text_remarks(struct fsmeta_buffer *out, const struct fsmeta_entry *entry)
{
	int failed = 0;

	if (entry->flags) {
		failed |= fsmeta_buffer_append_text(out, "  [");
		failed |= append_text_flags(out, entry);
		failed |= fsmeta_buffer_append_byte(out, ']');
	}
	if (entry->unknown_since)
		failed |= fsmeta_buffer_append_format(out, "  [not seen since generation %llu]",
		    (unsigned long long)entry->unknown_since);
	return failed;
}

/** mode, owner:group, size, mtime (UTC), path, target, remarks */
static int text_entry(struct fsmeta_output *output, const struct fsmeta_entry *entry)
{
	struct fsmeta_buffer *out = &output->lines;
	int failed;

	put_text_mode(out, entry);
	fsmeta_line_byte(out, ' ');
	failed = append_text_owner(out, entry);
	failed |= fsmeta_buffer_append_byte(out, ' ');
	failed |= append_text_size(out, entry);
	failed |= fsmeta_buffer_append_text(out, "  ");
	failed |= fsmeta_buffer_reserve(out, FSMETA_LINE_FIXED_BYTES);
	if (failed)
		return failed;
	failed = append_text_mtime(output, entry);
	failed |= fsmeta_buffer_append_text(out, "  ");
	failed |= append_text_path(output, entry);
	if (entry->fields & FSMETA_FIELD_TARGET) {
		failed |= fsmeta_buffer_append_text(out, " -> ");
		failed |= fsmeta_text_append_quoted(out, entry->target, entry->target_length);
	}
	failed |= append_text_remarks(out, entry);
	return failed | fsmeta_buffer_append_byte(out, '\n');
}

static char change_letter(enum fsmeta_change_kind kind)
{
	/* By number of the kind. */
	return " ADMR!U?"[kind];
}

/** "1 entry", "1,000 entries" */
static int append_entries(struct fsmeta_buffer *out, uint64_t entries)
{
	return fsmeta_text_append_count(out, entries) |
	       fsmeta_buffer_append_text(out, entries == 1 ? " entry" : " entries");
}

/** "1,000 entries, 12 GiB" */
static int append_totals(struct fsmeta_buffer *out, const struct fsmeta_change *change)
{
	int failed;

	if (!change->entries)
		return fsmeta_buffer_append_text(out, "empty");
	failed = append_entries(out, change->entries);
	failed |= fsmeta_buffer_append_text(out, ", ");
	return failed | fsmeta_text_append_size(out, change->bytes);
}

/** "2026-11-20 10:00:00 UTC" */
static int append_time(struct fsmeta_output *output, struct fsmeta_time time)
{
	if (fsmeta_buffer_reserve(&output->lines, FSMETA_LINE_FIXED_BYTES))
		return FSMETA_E_MEMORY;
	put_text_time(output, time);
	FSMETA_LINE_PUT(&output->lines, " UTC");
	return 0;
}

/** Of an added or removed entry: how much it is. */
static int append_text_amount(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	const struct fsmeta_entry *entry = fsmeta_change_entry(change);
	struct fsmeta_buffer *out = &output->lines;
	int failed = 0;

	if (entry->type == FSMETA_TYPE_FOLDER && !output->newer_only) {
		failed |= append_totals(out, change);
	} else if (entry->type == FSMETA_TYPE_SYMLINK && entry->fields & FSMETA_FIELD_TARGET) {
		failed |= fsmeta_buffer_append_text(out, "link to ");
		failed |= fsmeta_text_append_quoted(out, entry->target, entry->target_length);
	} else if (entry->type == FSMETA_TYPE_FILE && entry->fields & FSMETA_FIELD_SIZE) {
		failed |= fsmeta_text_append_size(out, entry->size);
	} else {
		failed |= fsmeta_buffer_append_text(out, fsmeta_type_name(entry->type));
	}
	if (output->dated && entry->type != FSMETA_TYPE_FOLDER &&
	    entry->fields & FSMETA_FIELD_MTIME) {
		failed |= fsmeta_buffer_append_text(out, ", modified ");
		failed |= append_time(output, entry->mtime);
	}
	if (entry->flags) {
		failed |= fsmeta_buffer_append_text(out, "; ");
		failed |= append_text_flags(out, entry);
	}
	return failed;
}

static const char arrow[] = " → ";

/** One value in the unit in which people read it, or exactly. */
static int append_bytes_value(struct fsmeta_buffer *out, uint64_t value, bool exact)
{
	return exact ? fsmeta_text_append_count(out, value) : fsmeta_text_append_size(out, value);
}

/** "1.0 MiB → 1.5 MiB"; where that would look equal, "1,048,576 → 1,048,580 bytes". */
static int append_bytes_change(struct fsmeta_buffer *out, uint64_t before, uint64_t after)
{
	struct fsmeta_buffer texts[2] = {{0}, {0}};
	bool exact;
	int failed = fsmeta_text_append_size(&texts[0], before);

	failed |= fsmeta_text_append_size(&texts[1], after);
	exact = failed || (texts[0].length == texts[1].length &&
			      memcmp(texts[0].data, texts[1].data, texts[0].length) == 0);
	failed |= append_bytes_value(out, before, exact);
	failed |= fsmeta_buffer_append_text(out, arrow);
	failed |= append_bytes_value(out, after, exact);
	if (exact)
		failed |= fsmeta_buffer_append_text(out, " bytes");
	fsmeta_buffer_release(&texts[0]);
	fsmeta_buffer_release(&texts[1]);
	return failed;
}

/** "2026-11-20 10:00:00 → 11:02:13 UTC"; as much of each as tells them apart. */
static int append_time_change(
    struct fsmeta_output *output, struct fsmeta_time before, struct fsmeta_time after)
{
	struct fsmeta_buffer *out = &output->lines;
	bool same_second = before.seconds == after.seconds;

	if (fsmeta_buffer_reserve(out, FSMETA_LINE_FIXED_BYTES))
		return FSMETA_E_MEMORY;
	put_text_time(output, before);
	if (same_second)
		fsmeta_line_fraction(out, before.nanoseconds);
	fsmeta_line_text(out, arrow, sizeof(arrow) - 1);
	if (fsmeta_line_day_of(before.seconds) == fsmeta_line_day_of(after.seconds))
		fsmeta_line_time_of_day(out, after);
	else
		put_text_time(output, after);
	if (same_second)
		fsmeta_line_fraction(out, after.nanoseconds);
	FSMETA_LINE_PUT(out, " UTC");
	return 0;
}

/** One value of a field that both entries have. */
static int append_value(struct fsmeta_buffer *out, uint32_t field, const struct fsmeta_entry *entry)
{
	switch (field) {
	case FSMETA_FIELD_MODE:
		return fsmeta_buffer_append_format(out, "%04o", entry->mode);
	case FSMETA_FIELD_UID:
		return fsmeta_buffer_append_format(out, "%u", entry->uid);
	case FSMETA_FIELD_GID:
		return fsmeta_buffer_append_format(out, "%u", entry->gid);
	case FSMETA_FIELD_INODE:
		return fsmeta_buffer_append_format(out, "%llu", (unsigned long long)entry->inode);
	case FSMETA_FIELD_NLINK:
		return fsmeta_buffer_append_format(out, "%llu", (unsigned long long)entry->nlink);
	case FSMETA_FIELD_RDEV:
		return fsmeta_buffer_append_format(
		    out, "%u:%u", entry->rdev_major, entry->rdev_minor);
	case FSMETA_FIELD_TARGET:
		return fsmeta_text_append_quoted(out, entry->target, entry->target_length);
	case FSMETA_FIELD_FLAGS:
		return entry->flags ? append_text_flags(out, entry)
				    : fsmeta_buffer_append_text(out, "none");
	}
	return 0;
}

static struct fsmeta_time time_field(const struct fsmeta_entry *entry, uint32_t field)
{
	switch (field) {
	case FSMETA_FIELD_CTIME:
		return entry->ctime;
	case FSMETA_FIELD_BTIME:
		return entry->btime;
	default:
		return entry->mtime;
	}
}

/** " 0644 → 0755" for a field that both sides have; nothing where values tell nothing. */
static int append_field_values(
    struct fsmeta_output *output, const struct fsmeta_change *change, uint32_t field)
{
	struct fsmeta_buffer *out = &output->lines;
	const struct fsmeta_entry *before = change->before, *after = change->after;
	int failed = 0;

	/* A hash says nothing to people, a device is an index into two tables. */
	if (field == FSMETA_FIELD_HASH || field == FSMETA_FIELD_DEVICE)
		return 0;
	failed |= fsmeta_buffer_append_byte(out, ' ');
	if (field == FSMETA_FIELD_SIZE)
		return failed | append_bytes_change(out, before->size, after->size);
	if (field == FSMETA_FIELD_ALLOCATED)
		return failed | append_bytes_change(out, before->allocated, after->allocated);
	if (field & (FSMETA_FIELD_MTIME | FSMETA_FIELD_CTIME | FSMETA_FIELD_BTIME))
		return failed | append_time_change(
				    output, time_field(before, field), time_field(after, field));
	failed |= append_value(out, field, before);
	failed |= fsmeta_buffer_append_text(out, arrow);
	return failed | append_value(out, field, after);
}

/** "size 1.0 MiB → 1.5 MiB, mode 0644 → 0755" */
static int append_text_differences(
    struct fsmeta_output *output, const struct fsmeta_change *change, const char *separator)
{
	uint32_t both = (change->before->fields & change->after->fields) | FSMETA_FIELD_FLAGS;
	int failed = 0;

	for (uint32_t rest = change->fields; rest; rest &= rest - 1) {
		uint32_t field = rest & -rest;
		const char *name = fsmeta_field_name(field);

		if (!name)
			continue;
		failed |= fsmeta_buffer_append_text(&output->lines, separator);
		failed |= fsmeta_buffer_append_text(&output->lines, name);
		separator = ", ";
		if (output->newer_only)
			continue;
		if (field & both)
			failed |= append_field_values(output, change, field);
		else
			failed |= fsmeta_buffer_append_text(&output->lines,
			    field & change->after->fields ? " now known" : " no longer known");
	}
	return failed;
}

static int append_text_corrupted(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	struct fsmeta_change rest = *change;
	int failed =
	    fsmeta_buffer_append_text(&output->lines, "content differs, size and mtime do not");

	rest.fields &= ~(uint32_t)FSMETA_FIELD_HASH;
	return failed | append_text_differences(output, &rest, "; ");
}

static int append_text_moved(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	int failed = fsmeta_buffer_append_text(&output->lines, "from ");

	failed |= append_text_path(output, change->before);
	if (change->after->type == FSMETA_TYPE_FOLDER && !output->newer_only) {
		failed |= fsmeta_buffer_append_text(&output->lines, ", ");
		failed |= append_totals(&output->lines, change);
	}
	return failed | append_text_differences(output, change, "; ");
}

/** "Permission denied; below it 12,411 entries, 1.0 GiB as last seen" */
static int append_text_unseen(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	struct fsmeta_buffer *out = &output->lines;
	const struct fsmeta_entry *entry = fsmeta_change_entry(change);
	int failed = entry->flags ? append_text_flags(out, entry)
				  : fsmeta_buffer_append_text(out, "not looked at");

	if (!change->entries)
		return failed;
	failed |= fsmeta_buffer_append_text(out, "; below it ");
	failed |= append_totals(out, change);
	return failed | fsmeta_buffer_append_text(out, " as last seen");
}

static int append_text_details(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	switch (change->kind) {
	case FSMETA_CHANGE_ADDED:
	case FSMETA_CHANGE_REMOVED:
		return append_text_amount(output, change);
	case FSMETA_CHANGE_MODIFIED:
		return append_text_differences(output, change, "");
	case FSMETA_CHANGE_CORRUPTED:
		return append_text_corrupted(output, change);
	case FSMETA_CHANGE_MOVED:
		return append_text_moved(output, change);
	case FSMETA_CHANGE_UNREADABLE:
	case FSMETA_CHANGE_UNKNOWN:
		return append_text_unseen(output, change);
	}
	return 0;
}

/** Green came, red went, yellow and cyan changed; what alarms is bright. */
static const char *change_colour(enum fsmeta_change_kind kind)
{
	static const char *const colours[] = {
	    [FSMETA_CHANGE_ADDED] = "\x1b[32m",
	    [FSMETA_CHANGE_REMOVED] = "\x1b[31m",
	    [FSMETA_CHANGE_MODIFIED] = "\x1b[33m",
	    [FSMETA_CHANGE_MOVED] = "\x1b[36m",
	    [FSMETA_CHANGE_CORRUPTED] = "\x1b[1;31m",
	    [FSMETA_CHANGE_UNREADABLE] = "\x1b[1;35m",
	    [FSMETA_CHANGE_UNKNOWN] = "\x1b[35m",
	};

	return colours[kind];
}

/** "A  cam2/  (1,000 entries, 12 GiB)" */
static int text_change(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	struct fsmeta_buffer *out = &output->lines;
	int failed = 0;

	if (output->colours)
		failed |= fsmeta_buffer_append_text(out, change_colour(change->kind));
	failed |= fsmeta_buffer_append_format(out, "%c  ", change_letter(change->kind));
	failed |= append_text_path(output, fsmeta_change_entry(change));
	if (output->colours)
		failed |= fsmeta_buffer_append_text(out, "\x1b[0m");
	failed |= fsmeta_buffer_append_text(out, "  (");
	failed |= append_text_details(output, change);
	return failed | fsmeta_buffer_append_text(out, ")\n");
}

/** "K  cam2/  (looked at again, first since generation 3)" */
static int text_known(
    struct fsmeta_output *output, const struct fsmeta_entry *entry, uint64_t unknown_since)
{
	struct fsmeta_buffer *out = &output->lines;
	int failed = fsmeta_buffer_append_text(out, "K  ");

	failed |= append_text_path(output, entry);
	return failed | fsmeta_buffer_append_format(out,
			    "  (looked at again; it was not known since generation %llu)\n",
			    (unsigned long long)unknown_since);
}

/** A size for people in a column of eight, "-" where it is not known. */
static int append_size_column(struct fsmeta_buffer *out, uint64_t size, bool is_known)
{
	size_t start = out->length;
	int failed =
	    is_known ? fsmeta_text_append_size(out, size) : fsmeta_buffer_append_byte(out, '-');

	return failed | align_right(out, start, 8);
}

/** allocated, apparent, entries below, path */
static int text_usage(struct fsmeta_output *output, const struct fsmeta_output_usage *usage)
{
	struct fsmeta_buffer *out = &output->lines;
	size_t start;
	int failed =
	    append_size_column(out, usage->allocated, (usage->known & FSMETA_FIELD_ALLOCATED) != 0);

	failed |= fsmeta_buffer_append_text(out, "  ");
	failed |= append_size_column(out, usage->apparent, (usage->known & FSMETA_FIELD_SIZE) != 0);
	start = out->length;
	failed |= fsmeta_text_append_count(out, usage->entries);
	failed |= align_right(out, start, 13);
	failed |= fsmeta_buffer_append_text(out, "  ");
	failed |= append_text_path(output, usage->entry);
	return failed | fsmeta_buffer_append_byte(out, '\n');
}

/** letter NUL [old path NUL] path NUL */
static int append_raw_change(struct fsmeta_buffer *out, const struct fsmeta_change *change)
{
	fsmeta_line_byte(out, change_letter(change->kind));
	fsmeta_line_byte(out, '\0');
	if (change->kind == FSMETA_CHANGE_MOVED && append_raw_path(out, change->before))
		return FSMETA_E_MEMORY;
	return append_raw_path(out, fsmeta_change_entry(change));
}

static int raw_entry(struct fsmeta_output *output, const struct fsmeta_entry *entry)
{
	return append_raw_path(&output->lines, entry);
}

static int raw_change(struct fsmeta_output *output, const struct fsmeta_change *change)
{
	return append_raw_change(&output->lines, change);
}

static int raw_usage(struct fsmeta_output *output, const struct fsmeta_output_usage *usage)
{
	return append_raw_path(&output->lines, usage->entry);
}

static int raw_known(
    struct fsmeta_output *output, const struct fsmeta_entry *entry, uint64_t unknown_since)
{
	(void)unknown_since;
	FSMETA_LINE_PUT(&output->lines, "K");
	fsmeta_line_byte(&output->lines, '\0');
	return append_raw_path(&output->lines, entry);
}

const struct fsmeta_output_writer fsmeta_output_text = {
    .entry = text_entry,
    .change = text_change,
    .known = text_known,
    .usage = text_usage,
    .context = FSMETA_LINE_TEXT_CONTEXT,
};

const struct fsmeta_output_writer fsmeta_output_raw = {
    .entry = raw_entry,
    .change = raw_change,
    .known = raw_known,
    .usage = raw_usage,
};
