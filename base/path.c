/*
 * Canonical order and the path stack.
 *
 * Comparing component by component looks like splitting both paths, but the
 * order only ever depends on the first byte in which they differ.  In front of
 * it both have the same components.  If one of the two bytes is '/', that
 * path's component ends there and is a prefix of the other's, so it comes first;
 * if one path ends there, likewise; otherwise the bytes decide.  So one scan for
 * the first difference, eight bytes at a time, and one look at it:
 *
 *     cam1/2026/a.mp4
 *     cam1!old/a.mp4        '/' against '!': the first path's component "cam1"
 *         ^                 is a prefix of "cam1!old": first path first
 *
 * Most neighbours in a sorted sequence share long prefixes, which is why the
 * wide step pays.
 *
 * The stack's text stays NUL-terminated through all changes, so reading it needs
 * no copy.
 */
#include "base/path.h"

#include <stdlib.h>

int fsmeta_path_compare(const char *a, size_t a_length, const char *b, size_t b_length)
{
	size_t common = a_length < b_length ? a_length : b_length;
	size_t at = fsmeta_first_difference(a, b, common);

	if (at == common)
		return (a_length > b_length) - (a_length < b_length);
	if (a[at] == '/')
		return -1;
	if (b[at] == '/')
		return 1;
	return (unsigned char)a[at] < (unsigned char)b[at] ? -1 : 1;
}

/** True where a byte of the word is zero. */
static inline bool has_zero_byte(uint64_t word)
{
	return ((word - 0x0101010101010101U) & ~word & 0x8080808080808080U) != 0;
}

/** True where there is neither '/' nor NUL in a name, which is mostly too short for memchr(). */
static bool is_plain(const char *name, size_t length)
{
	const uint64_t slashes = 0x0101010101010101U * '/';
	size_t at = 0;
	uint64_t word;

	for (; length - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
		memcpy(&word, name + at, sizeof(word));
		if (has_zero_byte(word) || has_zero_byte(word ^ slashes))
			return false;
	}
	if (at < length && length >= sizeof(uint64_t)) {
		/* The rest, with some of what was seen. */
		memcpy(&word, name + length - sizeof(word), sizeof(word));
		return !has_zero_byte(word) && !has_zero_byte(word ^ slashes);
	}
	for (; at < length; at++)
		if (name[at] == '/' || name[at] == '\0')
			return false;
	return true;
}

bool fsmeta_name_is_valid(const char *name, size_t length)
{
	return fsmeta_name_is_valid_from(name, length, 0);
}

bool fsmeta_name_is_valid_from(const char *name, size_t length, size_t known)
{
	if (length == 0 || length > FSMETA_NAME_MAX_BYTES)
		return false;
	if (name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.')))
		return false;
	/* A whole word is looked at faster than a few bytes. */
	if (length >= sizeof(uint64_t) && known > length - sizeof(uint64_t))
		known = length - sizeof(uint64_t);
	return is_plain(name + known, length - known);
}

/** Bytes of the component at the start of `path`. */
static size_t component_length(const char *path, size_t length)
{
	const char *slash = memchr(path, '/', length);

	return slash ? (size_t)(slash - path) : length;
}

bool fsmeta_path_is_valid(const char *path, size_t length)
{
	uint32_t depth = 0;

	if (length == 0)
		return true;
	if (length > FSMETA_PATH_MAX_BYTES || path[length - 1] == '/')
		return false;
	for (size_t at = 0; at < length;) {
		size_t name_length = component_length(path + at, length - at);

		if (++depth > FSMETA_DEPTH_MAX || !fsmeta_name_is_valid(path + at, name_length))
			return false;
		at += name_length + 1;
	}
	return true;
}

bool fsmeta_path_is_within(
    const char *path, size_t path_length, const char *folder, size_t folder_length)
{
	if (folder_length == 0)
		return true;
	if (path_length < folder_length || memcmp(path, folder, folder_length) != 0)
		return false;
	return path_length == folder_length || path[folder_length] == '/';
}

uint32_t fsmeta_path_depth(const char *path, size_t length)
{
	uint32_t depth = length > 0;

	for (size_t at = 0; at < length; at++)
		depth += path[at] == '/';
	return depth;
}

size_t fsmeta_path_name_offset(const char *path, size_t length)
{
	const char *slash = length ? memrchr(path, '/', length) : NULL;

	return slash ? (size_t)(slash - path) + 1 : 0;
}

void fsmeta_path_stack_init(struct fsmeta_path_stack *stack)
{
	*stack = (struct fsmeta_path_stack){0};
}

void fsmeta_path_stack_release(struct fsmeta_path_stack *stack)
{
	fsmeta_buffer_release(&stack->path);
	free(stack->starts);
	fsmeta_path_stack_init(stack);
}

void fsmeta_path_stack_clear(struct fsmeta_path_stack *stack)
{
	fsmeta_path_stack_truncate(stack, 0);
}

void fsmeta_path_stack_truncate(struct fsmeta_path_stack *stack, uint32_t depth)
{
	if (depth >= stack->depth)
		return;
	/* Without the slash in front of the first component that goes. */
	stack->path.length = depth ? stack->starts[depth] - 1 : 0;
	stack->path.data[stack->path.length] = '\0';
	stack->depth = depth;
}

static int reserve_component(struct fsmeta_path_stack *stack)
{
	uint32_t capacity = stack->capacity ? stack->capacity * 2 : 16;
	uint32_t *starts;

	if (stack->depth < stack->capacity)
		return 0;
	starts = reallocarray(stack->starts, capacity, sizeof(*starts));
	if (!starts)
		return FSMETA_E_MEMORY;
	stack->starts = starts;
	stack->capacity = capacity;
	return 0;
}

int fsmeta_path_stack_push(struct fsmeta_path_stack *stack, const char *name, size_t length)
{
	size_t slash = stack->depth > 0;
	size_t start = stack->path.length + slash;

	if (stack->depth >= FSMETA_DEPTH_MAX)
		return FSMETA_E_LIMIT;
	if (start > FSMETA_PATH_MAX_BYTES || length > FSMETA_PATH_MAX_BYTES - start)
		return FSMETA_E_LIMIT;
	if (reserve_component(stack) || fsmeta_buffer_reserve(&stack->path, slash + length + 1))
		return FSMETA_E_MEMORY;
	if (slash)
		stack->path.data[start - 1] = '/';
	if (length)
		memcpy(stack->path.data + start, name, length);
	stack->path.length = start + length;
	stack->path.data[stack->path.length] = '\0';
	stack->starts[stack->depth++] = (uint32_t)start;
	return 0;
}

int fsmeta_path_stack_replace_end_slowly(
    struct fsmeta_path_stack *stack, size_t prefix, const char *suffix, size_t length)
{
	size_t keep = stack->starts[stack->depth - 1] + prefix;

	if (length > FSMETA_PATH_MAX_BYTES - keep)
		return FSMETA_E_LIMIT;
	if (fsmeta_buffer_reserve(&stack->path, length + 1))
		return FSMETA_E_MEMORY;
	memcpy(stack->path.data + keep, suffix, length);
	stack->path.length = keep + length;
	stack->path.data[stack->path.length] = '\0';
	return 0;
}

int fsmeta_path_stack_set(struct fsmeta_path_stack *stack, const char *path, size_t length)
{
	fsmeta_path_stack_clear(stack);
	for (size_t at = 0; at < length;) {
		size_t name_length = component_length(path + at, length - at);
		int code = fsmeta_path_stack_push(stack, path + at, name_length);

		if (code) {
			fsmeta_path_stack_clear(stack);
			return code;
		}
		at += name_length + 1;
	}
	return 0;
}

const char *fsmeta_path_stack_name(
    const struct fsmeta_path_stack *stack, uint32_t depth, size_t *length)
{
	size_t start = stack->starts[depth - 1];
	size_t end = depth < stack->depth ? stack->starts[depth] - 1 : stack->path.length;

	*length = end - start;
	return (const char *)stack->path.data + start;
}

const char *fsmeta_path_stack_path(const struct fsmeta_path_stack *stack, size_t *length)
{
	if (length)
		*length = stack->path.length;
	return stack->path.data ? (const char *)stack->path.data : "";
}
