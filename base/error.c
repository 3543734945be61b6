/*
 * Error values.
 *
 * An error is built beside its destination and copied over it at the end, so
 * that a caller may reword an error out of its own parts:
 *
 *     fsmeta_error_set(error, code, error->path, "opening X", "%s", error->reason);
 *
 * A path that does not fit keeps its two ends, which are what tells paths apart:
 * the mount point in front and the file's name behind.
 *
 *     /mnt/archive/cam1/ … /1700000000_video.rf1p
 *     |---- head ------|...|------- tail -------|
 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	/** Above every errno of Linux, which keeps the kernel's own below 4096. */
	ERRNO_LIMIT = 4096,
};

static void copy_path(char out[FSMETA_ERROR_PATH_BYTES], const char *path)
{
	static const char gap[] = "...";
	size_t length = path ? strlen(path) : 0;
	size_t room = FSMETA_ERROR_PATH_BYTES - 1;
	size_t head = (room - strlen(gap)) / 2;
	size_t tail = room - strlen(gap) - head;

	if (length <= room) {
		if (length)
			memcpy(out, path, length);
		out[length] = '\0';
		return;
	}
	memcpy(out, path, head);
	memcpy(out + head, gap, strlen(gap));
	memcpy(out + head + strlen(gap), path + length - tail, tail);
	out[room] = '\0';
}

static void copy_text(char *out, size_t room, const char *text)
{
	size_t length = text ? strnlen(text, room - 1) : 0;

	if (length)
		memcpy(out, text, length);
	out[length] = '\0';
}

static void __attribute__((format(printf, 6, 0)))
fill(struct fsmeta_error *error, enum fsmeta_code code, const char *path, int64_t offset,
    const char *action, const char *format, va_list arguments)
{
	int saved_errno = errno;
	struct fsmeta_error next = {.code = code, .offset = offset};

	copy_path(next.path, path);
	copy_text(next.action, sizeof(next.action), action);
	vsnprintf(next.reason, sizeof(next.reason), format, arguments);
	*error = next;
	errno = saved_errno;
}

void fsmeta_error_clear(struct fsmeta_error *error)
{
	if (error)
		*error = (struct fsmeta_error){.code = FSMETA_OK, .offset = -1};
}

int fsmeta_error_set(struct fsmeta_error *error, enum fsmeta_code code, const char *path,
    const char *action, const char *format, ...)
{
	va_list arguments;

	if (!error)
		return code;
	va_start(arguments, format);
	fill(error, code, path, -1, action, format, arguments);
	va_end(arguments);
	return code;
}

int fsmeta_error_set_at(struct fsmeta_error *error, enum fsmeta_code code, const char *path,
    int64_t offset, const char *action, const char *format, ...)
{
	va_list arguments;

	if (!error)
		return code;
	va_start(arguments, format);
	fill(error, code, path, offset, action, format, arguments);
	va_end(arguments);
	return code;
}

int fsmeta_error_set_errno(
    struct fsmeta_error *error, int system_errno, const char *path, const char *action)
{
	int saved_errno = errno;
	char words[256];

	if (system_errno == ENOMEM) {
		fsmeta_error_set(error, FSMETA_E_MEMORY, path, action, "out of memory");
		return FSMETA_E_MEMORY;
	}
	/* The GNU strerror_r: returns the text, which need not be in `words`. */
	fsmeta_error_set(error, FSMETA_E_SYSTEM, path, action, "%s",
	    strerror_r(system_errno, words, sizeof(words)));
	if (error)
		error->system_errno = system_errno;
	errno = saved_errno;
	return FSMETA_E_SYSTEM;
}

int fsmeta_error_set_memory(struct fsmeta_error *error, const char *action)
{
	return fsmeta_error_set(error, FSMETA_E_MEMORY, NULL, action, "out of memory");
}

void fsmeta_error_add_path(struct fsmeta_error *error, const char *path)
{
	if (error && error->code && !error->path[0])
		copy_path(error->path, path);
}

const char *fsmeta_errno_name(int system_errno)
{
	/* glibc calls 0 "0", which is no name of an error. */
	return system_errno > 0 ? strerrorname_np(system_errno) : NULL;
}

/** Second names of numbers for which glibc prints another one. */
static int errno_from_alias(const char *name)
{
	static const struct {
		const char *name;
		int number;
	} aliases[] = {
	    {"EWOULDBLOCK", EWOULDBLOCK},
	    {"EDEADLOCK", EDEADLOCK},
	    {"ENOTSUP", ENOTSUP},
	    {"EOPNOTSUPP", EOPNOTSUPP},
	};

	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
		if (!strcmp(name, aliases[i].name))
			return aliases[i].number;
	return 0;
}

int fsmeta_errno_from_name(const char *name)
{
	if (!name)
		return 0;
	for (int number = 1; number < ERRNO_LIMIT; number++) {
		const char *known = strerrorname_np(number);

		if (known && !strcmp(known, name))
			return number;
	}
	return errno_from_alias(name);
}
