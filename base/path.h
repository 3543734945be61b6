/*
 * Paths and names in canonical order.
 *
 * A path is relative to the root of its source, a byte string of names joined
 * by single '/' without one in front or behind; the root itself is the empty
 * string inside the program and "." wherever a person sees it.  A name is any
 * bytes but '/' and NUL, valid UTF-8 or not, and neither "." nor "..".
 *
 * Canonical order compares paths component by component, components as unsigned
 * bytes, shorter prefix first; a folder comes immediately before what is below
 * it.  Equivalently: whole paths with '/' ordered below every other byte.
 * Locale never matters.
 */
#ifndef FSMETA_BASE_PATH_H
#define FSMETA_BASE_PATH_H

#include "base/memory.h"

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
	/** Longest name accepted from any input, in bytes. */
	FSMETA_NAME_MAX_BYTES = 1024,
	/** Longest path accepted from any input, in bytes (65,536 levels of 255). */
	FSMETA_PATH_MAX_BYTES = 16 << 20,
	/** Deepest entry accepted from any input; the root has depth 0. */
	FSMETA_DEPTH_MAX = 65536,
	/** Bytes that fsmeta_path_stack_replace_end_at_once() copies. */
	FSMETA_PATH_AT_ONCE_BYTES = 16,
};

/** Bits in which eight bytes of the two differ, those of the first byte lowest. */
static inline uint64_t fsmeta_word_difference(const char *a, const char *b)
{
	uint64_t wide_a, wide_b;

	memcpy(&wide_a, a, sizeof(wide_a));
	memcpy(&wide_b, b, sizeof(wide_b));
	return htole64(wide_a ^ wide_b);
}

/** Offset of the first of `common` bytes in which the two differ, or `common`. */
static inline size_t fsmeta_first_difference(const char *a, const char *b, size_t common)
{
	uint64_t differs;
	size_t at = 0;

	for (; common - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
		differs = fsmeta_word_difference(a + at, b + at);
		if (differs)
			return at + (size_t)__builtin_ctzll(differs) / 8;
	}
	if (at > 0 && at < common) {
		/* The last word lies over the one before, in what is equal. */
		at = common - sizeof(uint64_t);
		differs = fsmeta_word_difference(a + at, b + at);
		return differs ? at + (size_t)__builtin_ctzll(differs) / 8 : common;
	}
	while (at < common && a[at] == b[at])
		at++;
	return at;
}

/** Compares two names as unsigned bytes.  <0, 0, >0. */
static inline int fsmeta_name_compare(
    const char *a, size_t a_length, const char *b, size_t b_length)
{
	size_t common = a_length < b_length ? a_length : b_length;
	int order = memcmp(a, b, common);

	if (order)
		return order;
	return (a_length > b_length) - (a_length < b_length);
}

/** Compares two paths in canonical order.  <0, 0, >0. */
int fsmeta_path_compare(const char *a, size_t a_length, const char *b, size_t b_length);

/** True for a valid name: 1 to FSMETA_NAME_MAX_BYTES bytes, no '/', no NUL, not "." or "..". */
bool fsmeta_name_is_valid(const char *name, size_t length);

/** The same for a name whose first `known` bytes begin a valid name. */
bool fsmeta_name_is_valid_from(const char *name, size_t length, size_t known);

/** True for "" and for valid names joined by single slashes, within the limits above. */
bool fsmeta_path_is_valid(const char *path, size_t length);

/** True where `path` is `folder` or lies below it.  The empty folder holds all. */
bool fsmeta_path_is_within(
    const char *path, size_t path_length, const char *folder, size_t folder_length);

/** Number of components; 0 for the root. */
uint32_t fsmeta_path_depth(const char *path, size_t length);

/** Offset of the last component in `path`; 0 where there is but one. */
size_t fsmeta_path_name_offset(const char *path, size_t length);

/**
 * The path of the entry under a depth-first walk, kept as one growing string
 * with the offset of every component, so that stepping to a sibling or climbing
 * costs only the name that changes.
 *
 *     path    "cam1/2026/11/a.mp4"
 *     starts   0    5    10 13        starts[d - 1] = offset of component d
 */
struct fsmeta_path_stack {
	struct fsmeta_buffer path;
	/** Offset of each component; `depth` of them. */
	uint32_t *starts;
	uint32_t depth;
	uint32_t capacity;
};

void fsmeta_path_stack_init(struct fsmeta_path_stack *stack);
void fsmeta_path_stack_release(struct fsmeta_path_stack *stack);

/** Back to the root: depth 0, path "". */
void fsmeta_path_stack_clear(struct fsmeta_path_stack *stack);

/** Drops components until `depth` is left.  A greater depth changes nothing. */
void fsmeta_path_stack_truncate(struct fsmeta_path_stack *stack, uint32_t depth);

/**
 * Appends a component.  0, FSMETA_E_MEMORY, or FSMETA_E_LIMIT beyond
 * FSMETA_DEPTH_MAX or FSMETA_PATH_MAX_BYTES; a failure changes nothing.  The name
 * is not judged, and must not lie in the stack itself.
 */
int fsmeta_path_stack_push(struct fsmeta_path_stack *stack, const char *name, size_t length);

/**
 * Replaces the last component, of which there is one, by its own first `prefix` bytes
 * (which it has) and `length` others: the step from one sibling to the next.  Codes
 * and conditions as push.
 */
static inline int fsmeta_path_stack_replace_end(
    struct fsmeta_path_stack *stack, size_t prefix, const char *suffix, size_t length);

/** The same where the path has to grow, or not to: what replace_end() does not do itself. */
int fsmeta_path_stack_replace_end_slowly(
    struct fsmeta_path_stack *stack, size_t prefix, const char *suffix, size_t length);

/**
 * The same for a few bytes without a loop or a call: at most FSMETA_PATH_AT_ONCE_BYTES, and so
 * many may be read at `suffix`.  False, and nothing is changed, where there is no room for that.
 */
static inline bool fsmeta_path_stack_replace_end_at_once(
    struct fsmeta_path_stack *stack, size_t prefix, const char *suffix, size_t length)
{
	struct fsmeta_buffer *path = &stack->path;
	size_t keep = stack->starts[stack->depth - 1] + prefix;

	if (path->capacity - keep <= FSMETA_PATH_AT_ONCE_BYTES ||
	    keep > FSMETA_PATH_MAX_BYTES - FSMETA_PATH_AT_ONCE_BYTES)
		return false;
	memcpy(path->data + keep, suffix, FSMETA_PATH_AT_ONCE_BYTES);
	path->length = keep + length;
	path->data[path->length] = '\0';
	return true;
}

/* Every entry of every stream comes through here, and nearly always there is room. */
static inline int fsmeta_path_stack_replace_end(
    struct fsmeta_path_stack *stack, size_t prefix, const char *suffix, size_t length)
{
	struct fsmeta_buffer *path = &stack->path;
	size_t keep = stack->starts[stack->depth - 1] + prefix;

	if (length > FSMETA_NAME_MAX_BYTES || length > FSMETA_PATH_MAX_BYTES - keep ||
	    path->capacity - keep <= length)
		return fsmeta_path_stack_replace_end_slowly(stack, prefix, suffix, length);
	memcpy(path->data + keep, suffix, length);
	path->length = keep + length;
	path->data[path->length] = '\0';
	return 0;
}

/** Replaces the content by a valid path.  Codes as push; a failure leaves the root. */
int fsmeta_path_stack_set(struct fsmeta_path_stack *stack, const char *path, size_t length);

/** Component at 1 <= depth <= stack->depth, *borrowed* until the next change. */
const char *fsmeta_path_stack_name(
    const struct fsmeta_path_stack *stack, uint32_t depth, size_t *length);

/**
 * The whole path, NUL-terminated, *borrowed* until the next change; never NULL.
 * `length` may be NULL.
 */
const char *fsmeta_path_stack_path(const struct fsmeta_path_stack *stack, size_t *length);

#endif
