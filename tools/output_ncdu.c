/*
 * ncdu's JSON export, version 1 (https://dev.yorhel.nl/ncdu/jsonfmt), so that
 * `ncdu -f FILE` walks through what fsmeta knows of a tree, also of one that lies in a
 * cupboard.  A folder is an array: itself, then what is in it.
 *
 *     [1,0,{"progname":"fsmeta",…},
 *     [{"name":"/mnt/archive",…},          ◄─ the first entry: where it was
 *     [{"name":"cam1",…},                      tree.open = 2
 *     {"name":"a.mp4","asize":1000,"dsize":4096}],
 *     {"name":"latest","notreg":true}]]
 *
 * As entries come depth first, arrays are ended when an entry comes that is not as deep as
 * what is open; nothing is remembered but how many there are.
 *
 * Names are raw bytes with nothing but quotes, backslashes and control bytes escaped: that
 * is how ncdu writes and reads them, UTF-8 or not.  A terminal gets none of the latter.
 */
#include "tools/output_line.h"

#include <inttypes.h>

static int append_name(struct fsmeta_output *output, const char *bytes, size_t length)
{
	struct fsmeta_buffer *out = &output->lines;
	bool is_terminal = output->flush_bytes == 1;
	size_t room;

	if (!fsmeta_size_multiply(length, 6, &room) ||
	    !fsmeta_size_add(room, FSMETA_LINE_FIXED_BYTES, &room) ||
	    fsmeta_buffer_reserve(out, room))
		return FSMETA_E_MEMORY;
	for (size_t i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)bytes[i];

		if (byte < 0x20 || byte == 0x7f || (is_terminal && byte > 0x7f)) {
			FSMETA_LINE_PUT(out, "\\u00");
			fsmeta_line_byte(out, "0123456789abcdef"[byte >> 4]);
			fsmeta_line_byte(out, "0123456789abcdef"[byte & 15]);
			continue;
		}
		if (byte == '"' || byte == '\\')
			fsmeta_line_byte(out, '\\');
		fsmeta_line_byte(out, (char)byte);
	}
	return 0;
}

/** Appends `path` behind what is there, with one slash between. */
static int append_component(struct fsmeta_buffer *out, const char *path, size_t length)
{
	if (!length)
		return 0;
	if (out->length && out->data[out->length - 1] != '/' && fsmeta_buffer_append_byte(out, '/'))
		return FSMETA_E_MEMORY;
	return fsmeta_buffer_append(out, path, length);
}

/** Where the first entry was found: ncdu shows that as the root's name. */
static int append_root_name(struct fsmeta_output *output, const struct fsmeta_entry *entry)
{
	const struct fsmeta_batch_source *source = output->newer;
	struct fsmeta_buffer *place = &output->scratch;
	int failed = 0;

	fsmeta_buffer_clear(place);
	if (source && source->mount_point)
		failed |= append_component(place, source->mount_point, strlen(source->mount_point));
	if (source && source->root_path)
		failed |= append_component(place, source->root_path, strlen(source->root_path));
	failed |= append_component(place, entry->path, entry->path_length);
	if (!failed && !place->length)
		failed = fsmeta_buffer_append_byte(place, '/');
	return failed | append_name(output, (const char *)place->data, failed ? 0 : place->length);
}

static void put_number(struct fsmeta_buffer *out, const char *key, uint64_t value)
{
	fsmeta_line_text(out, key, strlen(key));
	fsmeta_line_number(out, value);
}

/** An entry that says nothing is on the file system of its folder. */
static void put_device(struct fsmeta_output *output, const struct fsmeta_entry *entry)
{
	if (!(entry->fields & FSMETA_FIELD_DEVICE))
		return;
	output->tree.other_devices |= entry->device != 0;
	if (output->tree.other_devices || !output->tree.open)
		put_number(&output->lines, ",\"dev\":", entry->device);
}

static void put_sizes(struct fsmeta_output *output, const struct fsmeta_entry *entry)
{
	struct fsmeta_buffer *out = &output->lines;
	uint64_t size = entry->fields & FSMETA_FIELD_SIZE ? entry->size : 0;
	/* What is not known is better guessed than left out: it is what ncdu sorts by. */
	uint64_t allocated = entry->fields & FSMETA_FIELD_ALLOCATED ? entry->allocated : size;

	if (size)
		put_number(out, ",\"asize\":", size);
	if (allocated)
		put_number(out, ",\"dsize\":", allocated);
	put_device(output, entry);
	if (entry->fields & FSMETA_FIELD_INODE)
		put_number(out, ",\"ino\":", entry->inode);
	if (entry->type != FSMETA_TYPE_FOLDER && entry->fields & FSMETA_FIELD_INODE &&
	    entry->fields & FSMETA_FIELD_NLINK && entry->nlink > 1)
		put_number(out, ",\"hlnkc\":true,\"nlink\":", entry->nlink);
}

/** What `ncdu -e` shows as well. */
static void put_extended(struct fsmeta_buffer *out, const struct fsmeta_entry *entry)
{
	/* It refuses a file with greater ones. */
	if (entry->fields & FSMETA_FIELD_UID && entry->uid <= INT32_MAX)
		put_number(out, ",\"uid\":", entry->uid);
	if (entry->fields & FSMETA_FIELD_GID && entry->gid <= INT32_MAX)
		put_number(out, ",\"gid\":", entry->gid);
	if (entry->fields & FSMETA_FIELD_MODE)
		put_number(out, ",\"mode\":", fsmeta_line_full_mode(entry));
	/* Its times have no sign. */
	if (entry->fields & FSMETA_FIELD_MTIME && entry->mtime.seconds >= 0)
		put_number(out, ",\"mtime\":", (uint64_t)entry->mtime.seconds);
}

static void put_remarks(struct fsmeta_buffer *out, const struct fsmeta_entry *entry)
{
	if (entry->type != FSMETA_TYPE_FILE && entry->type != FSMETA_TYPE_FOLDER)
		FSMETA_LINE_PUT(out, ",\"notreg\":true");
	if (entry->flags & FSMETA_FLAG_UNREADABLE)
		FSMETA_LINE_PUT(out, ",\"read_error\":true");
	if (entry->flags & FSMETA_FLAG_OTHER_FILESYSTEM)
		FSMETA_LINE_PUT(out, ",\"excluded\":\"otherfs\"");
}

static int ncdu_begin(struct fsmeta_output *output)
{
	const struct fsmeta_batch_source *source = output->newer;
	int64_t when = source ? source->finished.seconds : 0;

	/* A live tree is not finished yet. */
	if (!when && source)
		when = source->started.seconds;
	return fsmeta_buffer_append_format(&output->lines,
	    "[1,0,{\"progname\":\"fsmeta\",\"progver\":\"%s\",\"timestamp\":%" PRId64 "}",
	    FSMETA_VERSION, when > 0 ? when : 0);
}

/** Ends folders until `open` are left. */
static int end_folders(struct fsmeta_output *output, uint32_t open)
{
	uint32_t count = output->tree.open - open;

	if (fsmeta_buffer_reserve(&output->lines, count + (size_t)FSMETA_LINE_FIXED_BYTES))
		return FSMETA_E_MEMORY;
	memset(output->lines.data + output->lines.length, ']', count);
	output->lines.length += count;
	output->tree.open = open;
	return 0;
}

static int ncdu_entry(struct fsmeta_output *output, const struct fsmeta_entry *entry)
{
	struct fsmeta_buffer *out = &output->lines;
	bool is_first = !output->tree.open;
	/* As ncdu writes it, what it did not enter is no folder. */
	bool is_folder = entry->type == FSMETA_TYPE_FOLDER &&
			 !(entry->flags & FSMETA_FLAG_OTHER_FILESYSTEM && !is_first);

	if (is_first)
		output->tree.root_depth = entry->depth;
	else if (end_folders(output, entry->depth - output->tree.root_depth))
		return FSMETA_E_MEMORY;
	FSMETA_LINE_PUT(out, ",\n");
	if (is_folder)
		fsmeta_line_byte(out, '[');
	FSMETA_LINE_PUT(out, "{\"name\":\"");
	if (is_first ? append_root_name(output, entry)
		     : append_name(output, entry->name, entry->name_length))
		return FSMETA_E_MEMORY;
	fsmeta_line_byte(out, '"');
	put_sizes(output, entry);
	put_extended(out, entry);
	put_remarks(out, entry);
	fsmeta_line_byte(out, '}');
	output->tree.open += is_folder;
	return 0;
}

static int ncdu_end(struct fsmeta_output *output)
{
	return end_folders(output, 0) | fsmeta_buffer_append_text(&output->lines, "]\n");
}

const struct fsmeta_output_writer fsmeta_output_ncdu = {
    .begin = ncdu_begin,
    .entry = ncdu_entry,
    .end = ncdu_end,
};
