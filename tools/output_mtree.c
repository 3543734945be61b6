/*
 * A manifest for mtree(8): one line an entry, the whole path in front, vis(3)-encoded, and
 * then what mtree compares with a tree or bsdtar makes an archive of.
 *
 *     #mtree
 *     . type=dir mode=0755 uid=0 gid=0 nlink=3 time=1700000000.000000000
 *     ./cam1 type=dir …
 *     ./cam1/a\040b.mp4 type=file … size=1000 time=1700000000.000000001
 *     ./latest type=link … link=cam1
 *
 * The keywords are those that NetBSD's mtree, FreeBSD's and libarchive share.  Inode numbers
 * have none, of folders the size is left out, which no copy keeps, and XXH3 is not among
 * their digests.  A folder that was not listed is `ignore`d: what is below it is not known.
 * `.` is the folder that the listing begins with.
 *
 * One trap is in the way.  To NetBSD's mtree a name with * ? or [ in it is a pattern, also
 * where it is escaped, and the first line of a folder that matches a file is the one that it
 * is compared with.  A file "*" would so stand for all that come behind it.  Such a name is
 * therefore put off to the end of its folder, with all that is below it:
 *
 *     written          levels
 *     ./cam1           depth 1   "cam1"   lines: -
 *     ./cam1/z         depth 2   "*"      lines: ./cam1/\052, ./cam1/\052/x   ◄─ until cam1 ends
 *                      depth 3   "x"      lines: -
 *
 * A line goes to the deepest level above it (or its own) whose name is a pattern, else to
 * the output; when a folder ends, what its children's level holds goes where the folder's
 * own line went: first patterns that match little, last those that match all, since they may
 * match one another.  Memory is taken by such names alone.  Of two that match each other, as
 * "?" and "*" do, no order satisfies mtree.
 */
#include "tools/output_line.h"

#include <stdlib.h>

/** How much a name matches that mtree takes for a pattern. */
enum breadth {
	NO_PATTERN = 0,
	/** No star. */
	NARROW,
	WIDE,
	/** Begins with a star. */
	WIDER,
	/** Nothing but stars. */
	WIDEST,
	BREADTHS,
};

/** A depth on the current path, from 1. */
struct level {
	/** Of the name at this depth. */
	enum breadth breadth;
	/** The deepest level down to this one whose name is a pattern, 0 = none. */
	uint32_t place;
	/** Lines of this depth and below that are put off to the end of the folder above. */
	struct fsmeta_buffer lines[BREADTHS];
};

struct manifest {
	/** [depth]; the root's, 0, is not used. */
	struct level *levels;
	size_t capacity;
	/** Of the last entry. */
	uint32_t depth;
	/** Bytes of every path that lead to the folder that is '.'. */
	size_t skipped_length;
	bool has_root;
};

static const char *type_name(enum fsmeta_type type)
{
	switch (type) {
	case FSMETA_TYPE_FOLDER:
		return "dir";
	case FSMETA_TYPE_SYMLINK:
		return "link";
	default:
		return fsmeta_type_name(type);
	}
}

/**
 * Stands for itself: printable ASCII, but nothing that begins an escape, a comment or a
 * pattern, separates words, or parts a keyword from its value.
 */
static bool stands_plain(unsigned char byte)
{
	return byte > ' ' && byte < 0x7f && !strchr("\\#*?[]=\"", byte);
}

/** All else in three octal digits, the one form of vis(3) that every reader knows. */
static int append_vis(struct fsmeta_buffer *out, const char *bytes, size_t length)
{
	size_t room;

	if (!fsmeta_size_multiply(length, 4, &room) ||
	    !fsmeta_size_add(room, FSMETA_LINE_FIXED_BYTES, &room) ||
	    fsmeta_buffer_reserve(out, room))
		return FSMETA_E_MEMORY;
	for (size_t i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)bytes[i];

		if (stands_plain(byte)) {
			fsmeta_line_byte(out, (char)byte);
			continue;
		}
		fsmeta_line_byte(out, '\\');
		fsmeta_line_byte(out, (char)('0' + (byte >> 6)));
		fsmeta_line_byte(out, (char)('0' + (byte >> 3 & 7)));
		fsmeta_line_byte(out, (char)('0' + (byte & 7)));
	}
	return 0;
}

static void put_number(struct fsmeta_buffer *out, const char *key, uint64_t value)
{
	fsmeta_line_text(out, key, strlen(key));
	fsmeta_line_number(out, value);
}

/** Seconds and nanoseconds after them, as in a struct timespec. */
static void put_time(struct fsmeta_buffer *out, struct fsmeta_time time)
{
	uint64_t seconds = (uint64_t)time.seconds;

	FSMETA_LINE_PUT(out, " time=");
	if (time.seconds < 0) {
		fsmeta_line_byte(out, '-');
		seconds = -seconds;
	}
	fsmeta_line_number(out, seconds);
	fsmeta_line_fraction(out, time.nanoseconds);
}

static int append_keywords(struct fsmeta_buffer *out, const struct fsmeta_entry *entry)
{
	uint32_t fields = entry->fields;

	if (fields & FSMETA_FIELD_MODE) {
		FSMETA_LINE_PUT(out, " mode=");
		fsmeta_line_mode(out, entry->mode);
	}
	if (fields & FSMETA_FIELD_UID)
		put_number(out, " uid=", entry->uid);
	if (fields & FSMETA_FIELD_GID)
		put_number(out, " gid=", entry->gid);
	if (fields & FSMETA_FIELD_NLINK)
		put_number(out, " nlink=", entry->nlink);
	if (fields & FSMETA_FIELD_SIZE && entry->type == FSMETA_TYPE_FILE)
		put_number(out, " size=", entry->size);
	if (fields & FSMETA_FIELD_MTIME)
		put_time(out, entry->mtime);
	if (fields & FSMETA_FIELD_RDEV) {
		put_number(out, " device=native,", entry->rdev_major);
		put_number(out, ",", entry->rdev_minor);
	}
	if (fields & FSMETA_FIELD_HASH && entry->hash_algorithm == FSMETA_HASH_SHA256) {
		FSMETA_LINE_PUT(out, " sha256=");
		if (fsmeta_text_append_hex(out, entry->hash, fsmeta_hash_bytes(FSMETA_HASH_SHA256)))
			return FSMETA_E_MEMORY;
	}
	if (!(fields & FSMETA_FIELD_TARGET))
		return 0;
	return fsmeta_buffer_append_text(out, " link=") |
	       append_vis(out, entry->target, entry->target_length);
}

static int mtree_begin(struct fsmeta_output *output)
{
	output->state = calloc(1, sizeof(struct manifest));
	return output->state ? fsmeta_buffer_append_text(&output->lines, "#mtree\n")
			     : FSMETA_E_MEMORY;
}

static void mtree_release(struct fsmeta_output *output)
{
	struct manifest *manifest = output->state;

	if (!manifest)
		return;
	for (size_t i = 0; i < manifest->capacity; i++)
		for (int breadth = NARROW; breadth < BREADTHS; breadth++)
			fsmeta_buffer_release(&manifest->levels[i].lines[breadth]);
	free(manifest->levels);
	free(manifest);
}

static int make_levels(struct manifest *manifest, uint32_t depth)
{
	size_t capacity = (size_t)depth + 2;
	struct level *levels;

	if (capacity <= manifest->capacity)
		return 0;
	capacity = capacity < 64 ? 64 : capacity * 2;
	levels = realloc(manifest->levels, capacity * sizeof(*levels));
	if (!levels)
		return FSMETA_E_MEMORY;
	memset(levels + manifest->capacity, 0, (capacity - manifest->capacity) * sizeof(*levels));
	manifest->levels = levels;
	manifest->capacity = capacity;
	return 0;
}

/** Where lines of the entry at `depth` of the current path go. */
static struct fsmeta_buffer *find_place(struct fsmeta_output *output, uint32_t depth)
{
	struct manifest *manifest = output->state;
	struct level *level = &manifest->levels[manifest->levels[depth].place];

	return level->breadth ? &level->lines[level->breadth] : &output->lines;
}

/** Hands the lines that were put off on to where their folder's line went. */
static int hand_on(struct level *level, struct fsmeta_buffer *place)
{
	for (int breadth = NARROW; breadth < BREADTHS; breadth++) {
		struct fsmeta_buffer *lines = &level->lines[breadth];

		if (!lines->length)
			continue;
		if (fsmeta_buffer_append(place, lines->data, lines->length))
			return FSMETA_E_MEMORY;
		/* Few folders have any; most would keep their memory for nothing. */
		fsmeta_buffer_release(lines);
	}
	return 0;
}

/** Ends the folders of the current path from its end up to `depth`. */
static int end_folders(struct fsmeta_output *output, uint32_t depth)
{
	struct manifest *manifest = output->state;

	for (uint32_t at = manifest->depth + 1; at-- > depth;)
		if (hand_on(&manifest->levels[at + 1], find_place(output, at)))
			return FSMETA_E_MEMORY;
	return 0;
}

static enum breadth judge_name(const struct fsmeta_entry *entry)
{
	enum breadth breadth = NO_PATTERN;
	size_t stars = 0;

	for (size_t i = 0; i < entry->name_length; i++) {
		char byte = entry->name[i];

		stars += byte == '*';
		if ((byte == '?' || byte == '[') && !breadth)
			breadth = NARROW;
	}
	if (!stars)
		return breadth;
	if (stars == entry->name_length)
		return WIDEST;
	return entry->name[0] == '*' ? WIDER : WIDE;
}

/** Brings the current path to `entry`; where its line goes is in *out. */
static int step(
    struct fsmeta_output *output, struct fsmeta_buffer **out, const struct fsmeta_entry *entry)
{
	struct manifest *manifest = output->state;
	struct level *level;

	if (make_levels(manifest, entry->depth))
		return FSMETA_E_MEMORY;
	if (!manifest->has_root && entry->type == FSMETA_TYPE_FOLDER)
		manifest->skipped_length = entry->path_length + (entry->path_length != 0);
	else if (manifest->has_root && end_folders(output, entry->depth))
		return FSMETA_E_MEMORY;
	level = &manifest->levels[entry->depth];
	level->breadth = manifest->has_root ? judge_name(entry) : NO_PATTERN;
	level->place = entry->depth;
	if (!level->breadth)
		level->place = entry->depth ? level[-1].place : 0;
	manifest->has_root = true;
	manifest->depth = entry->depth;
	*out = find_place(output, entry->depth);
	return fsmeta_buffer_reserve(*out, FSMETA_LINE_FIXED_BYTES);
}

static int mtree_entry(struct fsmeta_output *output, const struct fsmeta_entry *entry)
{
	const struct manifest *manifest = output->state;
	const char *type = type_name(entry->type);
	struct fsmeta_buffer *out;

	if (step(output, &out, entry))
		return FSMETA_E_MEMORY;
	fsmeta_line_byte(out, '.');
	if (entry->path_length > manifest->skipped_length) {
		fsmeta_line_byte(out, '/');
		if (append_vis(out, entry->path + manifest->skipped_length,
			entry->path_length - manifest->skipped_length))
			return FSMETA_E_MEMORY;
	}
	FSMETA_LINE_PUT(out, " type=");
	fsmeta_line_text(out, type, strlen(type));
	if (append_keywords(out, entry))
		return FSMETA_E_MEMORY;
	if (entry->type == FSMETA_TYPE_FOLDER && fsmeta_entry_is_unseen(entry) &&
	    fsmeta_buffer_append_text(out, " ignore"))
		return FSMETA_E_MEMORY;
	return fsmeta_buffer_append_byte(out, '\n');
}

static int mtree_end(struct fsmeta_output *output)
{
	const struct manifest *manifest = output->state;

	return manifest->has_root ? end_folders(output, 0) : 0;
}

const struct fsmeta_output_writer fsmeta_output_mtree = {
    .begin = mtree_begin,
    .entry = mtree_entry,
    .end = mtree_end,
    .release = mtree_release,
};
