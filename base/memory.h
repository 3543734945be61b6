/*
 * Memory: arenas for what is freed together, buffers for what grows and is
 * reused, and sizes that cannot overflow.
 *
 * Nothing here aborts; a failed allocation is NULL or FSMETA_E_MEMORY.  None of
 * the types may be used by two threads at once without a lock.
 */
#ifndef FSMETA_BASE_MEMORY_H
#define FSMETA_BASE_MEMORY_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/** Sets *out = a * b; false on overflow. */
static inline bool fsmeta_size_multiply(size_t a, size_t b, size_t *out)
{
	return !__builtin_mul_overflow(a, b, out);
}

/** Sets *out = a + b; false on overflow. */
static inline bool fsmeta_size_add(size_t a, size_t b, size_t *out)
{
	return !__builtin_add_overflow(a, b, out);
}

/**
 * A region that is only ever freed whole.  Chunks double from 4 KiB up to
 * 1 MiB; larger requests get a chunk of their own.  Zero-initialised = empty.
 */
struct fsmeta_arena {
	struct fsmeta_arena_chunk *chunks;
	/** Bytes obtained from malloc, for memory bounds. */
	size_t held_bytes;
};

void fsmeta_arena_init(struct fsmeta_arena *arena);

/** Frees everything. The arena is empty and usable afterwards. */
void fsmeta_arena_release(struct fsmeta_arena *arena);

/** Forgets everything but keeps the largest chunk for reuse. */
void fsmeta_arena_clear(struct fsmeta_arena *arena);

/**
 * `size` bytes aligned to 16, uninitialised, *borrowed* until clear or release.
 * A size of 0 gives a valid pointer.  NULL when memory is out.
 */
void *fsmeta_arena_allocate(struct fsmeta_arena *arena, size_t size);

/** As above, zeroed, for `count` items of `size` bytes; NULL on overflow too. */
void *fsmeta_arena_allocate_array(struct fsmeta_arena *arena, size_t count, size_t size);

/** A NUL-terminated copy of `length` bytes (which may contain NUL). */
char *fsmeta_arena_copy(struct fsmeta_arena *arena, const void *bytes, size_t length);

/**
 * A growing byte array.  `data` moves when it grows.  Zero-initialised = empty.
 */
struct fsmeta_buffer {
	unsigned char *data;
	size_t length;
	size_t capacity;
};

void fsmeta_buffer_init(struct fsmeta_buffer *buffer);
void fsmeta_buffer_release(struct fsmeta_buffer *buffer);

/** length = 0; capacity is kept. */
static inline void fsmeta_buffer_clear(struct fsmeta_buffer *buffer)
{
	buffer->length = 0;
}

/** Makes room for `extra` more bytes.  0 or FSMETA_E_MEMORY. */
int fsmeta_buffer_reserve(struct fsmeta_buffer *buffer, size_t extra);

/**
 * Appends `size` bytes, which must not lie in the buffer itself.  0 or
 * FSMETA_E_MEMORY, which leaves the content as it was (as all functions below do).
 */
int fsmeta_buffer_append(struct fsmeta_buffer *buffer, const void *bytes, size_t size);

/** Appends a NUL-terminated string without its NUL. */
int fsmeta_buffer_append_text(struct fsmeta_buffer *buffer, const char *text);

/** Appends one byte. */
int fsmeta_buffer_append_byte(struct fsmeta_buffer *buffer, unsigned char byte);

/** Appends printf output without its NUL. */
int fsmeta_buffer_append_format(struct fsmeta_buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/**
 * Ensures a NUL behind the content (not counted in length) and returns it as a
 * string *borrowed* until the next change; NULL when memory is out.
 */
const char *fsmeta_buffer_string(struct fsmeta_buffer *buffer);

#endif
