/*
 * The list of mounts.
 *
 *     36 35 98:0 /mnt1 /mnt\0402 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue
 *     id    dev  root  target    options   any number of tags  │ type origin    options
 *                                                              └ ends them
 *
 * The text is read whole and cut up where it stands; spaces in names are octal ("\040").
 * libmount reads the same file, but brings three further libraries, the start of which takes
 * as long as reading a thousand files: a third of the time of every short command.
 */
#include "scanner/mounts.h"

#include "base/error.h"
#include "base/file.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum {
	/** What is read at once: all of most lists. */
	READ_BYTES = 16 << 10,
};

/** Appends what the file holds, as far as it can be read.  0 or FSMETA_E_MEMORY. */
static int read_text(struct fsmeta_buffer *text, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t got = READ_BYTES;
	int code = 0;

	while (fd >= 0 && got == READ_BYTES && code == 0) {
		code = fsmeta_buffer_reserve(text, READ_BYTES);
		if (code ||
		    fsmeta_read_full(fd, text->data + text->length, READ_BYTES, &got, path, NULL))
			break;
		text->length += got;
	}
	if (fd >= 0)
		close(fd);
	return code;
}

/** The field at *at, NUL-terminated; *at moves behind it.  NULL at the end of the line. */
static char *take_field(char **at)
{
	char *field = *at, *end;

	if (!field || !*field)
		return NULL;
	end = strchr(field, ' ');
	*at = end ? end + 1 : NULL;
	if (end)
		*end = '\0';
	return field;
}

static bool is_octal(const char *digits)
{
	for (int i = 0; i < 3; i++)
		if (digits[i] < '0' || digits[i] > '7')
			return false;
	return digits[0] <= '3';
}

/** Undoes the kernel's "\040", in place. */
static const char *decode(char *field)
{
	const char *from = field;
	char *to = field;

	while (*from) {
		if (from[0] == '\\' && is_octal(from + 1)) {
			*to++ =
			    (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
	return field;
}

/** Cuts up one line.  False where it is none. */
static bool parse_line(struct fsmeta_mount *mount, char *line)
{
	const char *id = take_field(&line), *parent = take_field(&line);
	const char *device = take_field(&line), *tag;
	char *root = take_field(&line), *target = take_field(&line), *type, *origin;
	unsigned high, low;

	if (!id || !parent || !device || !root || !target)
		return false;
	if (sscanf(device, "%u:%u", &high, &low) != 2)
		return false;
	do
		tag = take_field(&line);
	while (tag && strcmp(tag, "-") != 0);
	type = take_field(&line);
	origin = take_field(&line);
	if (!type)
		return false;
	*mount = (struct fsmeta_mount){
	    .id = strtoull(id, NULL, 10),
	    .device = makedev(high, low),
	    .root = decode(root),
	    .target = decode(target),
	    .type = decode(type),
	    .origin = origin ? decode(origin) : "",
	};
	return true;
}

static size_t count_lines(const struct fsmeta_buffer *text)
{
	size_t lines = 0;

	for (size_t i = 0; i < text->length; i++)
		lines += text->data[i] == '\n';
	return lines;
}

int fsmeta_mount_list_read(struct fsmeta_mount_list *list, const char *path)
{
	char *line, *end;
	size_t lines;

	fsmeta_mount_list_release(list);
	if (read_text(&list->text, path) || fsmeta_buffer_append_byte(&list->text, '\0'))
		return FSMETA_E_MEMORY;
	lines = count_lines(&list->text);
	list->mounts = calloc(lines + 1, sizeof(*list->mounts));
	if (!list->mounts)
		return FSMETA_E_MEMORY;
	for (line = (char *)list->text.data; (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		list->count += parse_line(&list->mounts[list->count], line);
	}
	return 0;
}

void fsmeta_mount_list_release(struct fsmeta_mount_list *list)
{
	free(list->mounts);
	fsmeta_buffer_release(&list->text);
	*list = (struct fsmeta_mount_list){0};
}

const struct fsmeta_mount *fsmeta_mount_list_find(
    const struct fsmeta_mount_list *list, uint64_t id, dev_t device)
{
	for (size_t i = list->count; i > 0; i--) {
		const struct fsmeta_mount *mount = &list->mounts[i - 1];

		if (id ? mount->id == id : mount->device == device)
			return mount;
	}
	return NULL;
}
