#include "archive/names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	STREAM_NAME_MAX_BYTES = 200,
	NUMBER_MAX_DIGITS = 18
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int add_name(struct fsmeta_names *names, const char *name)
{
	if (names->count == names->capacity) {
		size_t capacity = names->capacity ? 2 * names->capacity : 64;
		const char **items = realloc(names->items, capacity * sizeof(*items));

		if (!items)
			return FSMETA_E_MEMORY;
		names->items = items;
		names->capacity = capacity;
	}
	names->items[names->count] = fsmeta_arena_copy(&names->arena, name, strlen(name));
	return names->items[names->count++] ? 0 : FSMETA_E_MEMORY;
}

int fsmeta_names_list(struct fsmeta_names *out, const char *folder, struct fsmeta_error *error)
{
	static const char action[] = "listing";
	struct dirent *item;
	DIR *stream;
	int code = 0;

	*out = (struct fsmeta_names){0};
	stream = opendir(folder);
	if (!stream)
		return fsmeta_error_set_errno(error, errno, folder, action);
	while (!code && (errno = 0, item = readdir(stream)))
		if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0)
			code = add_name(out, item->d_name);
	if (code)
		code = fsmeta_error_set_memory(error, action);
	else if (errno)
		code = fsmeta_error_set_errno(error, errno, folder, action);
	closedir(stream);
	if (!code && out->count)
		qsort(out->items, out->count, sizeof(*out->items), compare_names);
	return code;
}

void fsmeta_names_release(struct fsmeta_names *names)
{
	fsmeta_arena_release(&names->arena);
	free(names->items);
	*names = (struct fsmeta_names){0};
}

char *fsmeta_names_join(const char *folder, const char *name)
{
	return fsmeta_names_join_format(folder, "%s", name);
}

char *fsmeta_names_join_format(const char *folder, const char *format, ...)
{
	va_list arguments;
	char *name = NULL, *path = NULL;
	int length;

	va_start(arguments, format);
	length = vasprintf(&name, format, arguments);
	va_end(arguments);
	if (length < 0)
		return NULL;
	if (asprintf(&path, "%s/%s", folder, name) < 0)
		path = NULL;
	free(name);
	return path;
}

bool fsmeta_names_is_stream(const char *name)
{
	size_t length = strlen(name);

	return length && length <= STREAM_NAME_MAX_BYTES && name[0] != '.' && !strchr(name, '/');
}

size_t fsmeta_names_number(uint64_t *value, const char *text, size_t length)
{
	size_t digits = 0;

	*value = 0;
	while (digits < length && text[digits] >= '0' && text[digits] <= '9') {
		if (digits == NUMBER_MAX_DIGITS)
			return 0;
		*value = *value * 10 + (uint64_t)(text[digits++] - '0');
	}
	return digits > 1 && text[0] == '0' ? 0 : digits;
}

int fsmeta_names_make_folder(const char *path, struct fsmeta_error *error)
{
	if (mkdir(path, 0777) < 0 && errno != EEXIST)
		return fsmeta_error_set_errno(error, errno, path, "making the folder");
	return 0;
}

int fsmeta_names_sync_folder(const char *path, struct fsmeta_error *error)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int code = 0;

	if (fd < 0)
		return fsmeta_error_set_errno(error, errno, path, "opening the folder");
	/* EINVAL: a file system that does not know of it. */
	if (fsync(fd) < 0 && errno != EINVAL)
		code = fsmeta_error_set_errno(error, errno, path, "syncing the folder");
	close(fd);
	return code;
}
