/*
 * Arenas and buffers.
 *
 * An arena is a list of chunks, of which only the first is being filled.  A
 * chunk is twice as large as the one before it, up to 1 MiB, so a small arena
 * costs one page and a large one few calls of malloc.  A request that no regular
 * chunk could hold gets a chunk of its own *behind* the first, which goes on
 * being filled:
 *
 *     arena -> [ used......|free ] -> [ one huge request ] -> [ full ] -> [ full ]
 *                 1 MiB                    9 MiB               512 KiB     256 KiB
 *
 * A buffer is the usual array that doubles.  realloc moves large blocks by
 * remapping pages, so growing does not copy them.
 */
#include "base/memory.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ARENA_ALIGNMENT = 16,
	CHUNK_MIN_BYTES = 4 << 10,
	CHUNK_MAX_BYTES = 1 << 20,
	BUFFER_MIN_BYTES = 64,
};

struct fsmeta_arena_chunk {
	struct fsmeta_arena_chunk *next;
	/** Bytes of `data`, and how many of them are given out. */
	size_t capacity;
	size_t used;
	_Alignas(ARENA_ALIGNMENT) unsigned char data[];
};

void fsmeta_arena_init(struct fsmeta_arena *arena)
{
	*arena = (struct fsmeta_arena){0};
}

static void free_chunks(struct fsmeta_arena_chunk *chunk)
{
	while (chunk) {
		struct fsmeta_arena_chunk *next = chunk->next;

		free(chunk);
		chunk = next;
	}
}

void fsmeta_arena_release(struct fsmeta_arena *arena)
{
	free_chunks(arena->chunks);
	fsmeta_arena_init(arena);
}

/** Takes the largest chunk out of the list and returns it, NULL if there is none. */
static struct fsmeta_arena_chunk *detach_largest(struct fsmeta_arena *arena)
{
	struct fsmeta_arena_chunk **largest = &arena->chunks;
	struct fsmeta_arena_chunk *chunk;

	for (struct fsmeta_arena_chunk **at = largest; *at; at = &(*at)->next)
		if ((*at)->capacity > (*largest)->capacity)
			largest = at;
	chunk = *largest;
	if (chunk)
		*largest = chunk->next;
	return chunk;
}

void fsmeta_arena_clear(struct fsmeta_arena *arena)
{
	struct fsmeta_arena_chunk *kept = detach_largest(arena);

	fsmeta_arena_release(arena);
	if (!kept)
		return;
	kept->next = NULL;
	kept->used = 0;
	arena->chunks = kept;
	arena->held_bytes = sizeof(*kept) + kept->capacity;
}

static struct fsmeta_arena_chunk *new_chunk(struct fsmeta_arena *arena, size_t total_bytes)
{
	struct fsmeta_arena_chunk *chunk = malloc(total_bytes);

	if (!chunk)
		return NULL;
	chunk->next = NULL;
	chunk->capacity = total_bytes - sizeof(*chunk);
	chunk->used = 0;
	arena->held_bytes += total_bytes;
	return chunk;
}

/** Size with header of the next regular chunk that holds `needed` bytes with header. */
static size_t next_chunk_bytes(const struct fsmeta_arena *arena, size_t needed)
{
	size_t bytes = CHUNK_MIN_BYTES;

	if (arena->chunks)
		bytes = (sizeof(*arena->chunks) + arena->chunks->capacity) * 2;
	while (bytes < needed)
		bytes *= 2;
	return bytes < CHUNK_MAX_BYTES ? bytes : CHUNK_MAX_BYTES;
}

/** A chunk with room for `size` bytes, linked into the arena; NULL when memory is out. */
static struct fsmeta_arena_chunk *add_chunk(struct fsmeta_arena *arena, size_t size)
{
	struct fsmeta_arena_chunk *chunk;
	size_t needed;

	if (!fsmeta_size_add(size, sizeof(*chunk), &needed))
		return NULL;
	if (needed > CHUNK_MAX_BYTES && arena->chunks) {
		chunk = new_chunk(arena, needed);
		if (chunk) {
			chunk->next = arena->chunks->next;
			arena->chunks->next = chunk;
		}
		return chunk;
	}
	chunk =
	    new_chunk(arena, needed > CHUNK_MAX_BYTES ? needed : next_chunk_bytes(arena, needed));
	if (chunk) {
		chunk->next = arena->chunks;
		arena->chunks = chunk;
	}
	return chunk;
}

void *fsmeta_arena_allocate(struct fsmeta_arena *arena, size_t size)
{
	struct fsmeta_arena_chunk *chunk = arena->chunks;
	void *memory;

	if (size > SIZE_MAX - ARENA_ALIGNMENT)
		return NULL;
	size = (size + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
	if (!chunk || chunk->capacity - chunk->used < size)
		chunk = add_chunk(arena, size);
	if (!chunk)
		return NULL;
	memory = chunk->data + chunk->used;
	chunk->used += size;
	return memory;
}

void *fsmeta_arena_allocate_array(struct fsmeta_arena *arena, size_t count, size_t size)
{
	size_t bytes;
	void *memory;

	if (!fsmeta_size_multiply(count, size, &bytes))
		return NULL;
	memory = fsmeta_arena_allocate(arena, bytes);
	if (memory)
		memset(memory, 0, bytes);
	return memory;
}

char *fsmeta_arena_copy(struct fsmeta_arena *arena, const void *bytes, size_t length)
{
	size_t with_nul;
	char *copy;

	if (!fsmeta_size_add(length, 1, &with_nul))
		return NULL;
	copy = fsmeta_arena_allocate(arena, with_nul);
	if (!copy)
		return NULL;
	if (length)
		memcpy(copy, bytes, length);
	copy[length] = '\0';
	return copy;
}

void fsmeta_buffer_init(struct fsmeta_buffer *buffer)
{
	*buffer = (struct fsmeta_buffer){0};
}

void fsmeta_buffer_release(struct fsmeta_buffer *buffer)
{
	free(buffer->data);
	fsmeta_buffer_init(buffer);
}

int fsmeta_buffer_reserve(struct fsmeta_buffer *buffer, size_t extra)
{
	size_t needed, capacity = buffer->capacity;
	unsigned char *data;

	if (!fsmeta_size_add(buffer->length, extra, &needed))
		return FSMETA_E_MEMORY;
	if (needed <= capacity)
		return 0;
	if (!fsmeta_size_multiply(capacity, 2, &capacity) || capacity < needed)
		capacity = needed;
	if (capacity < BUFFER_MIN_BYTES)
		capacity = BUFFER_MIN_BYTES;
	data = realloc(buffer->data, capacity);
	if (!data)
		return FSMETA_E_MEMORY;
	buffer->data = data;
	buffer->capacity = capacity;
	return 0;
}

int fsmeta_buffer_append(struct fsmeta_buffer *buffer, const void *bytes, size_t size)
{
	if (!size)
		return 0;
	if (fsmeta_buffer_reserve(buffer, size))
		return FSMETA_E_MEMORY;
	memcpy(buffer->data + buffer->length, bytes, size);
	buffer->length += size;
	return 0;
}

int fsmeta_buffer_append_text(struct fsmeta_buffer *buffer, const char *text)
{
	return fsmeta_buffer_append(buffer, text, strlen(text));
}

int fsmeta_buffer_append_byte(struct fsmeta_buffer *buffer, unsigned char byte)
{
	return fsmeta_buffer_append(buffer, &byte, 1);
}

int fsmeta_buffer_append_format(struct fsmeta_buffer *buffer, const char *format, ...)
{
	va_list arguments;
	int written;

	va_start(arguments, format);
	written = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	if (written < 0 || fsmeta_buffer_reserve(buffer, (size_t)written + 1))
		return FSMETA_E_MEMORY;
	va_start(arguments, format);
	vsnprintf((char *)buffer->data + buffer->length, (size_t)written + 1, format, arguments);
	va_end(arguments);
	buffer->length += (size_t)written;
	return 0;
}

const char *fsmeta_buffer_string(struct fsmeta_buffer *buffer)
{
	if (fsmeta_buffer_reserve(buffer, 1))
		return NULL;
	buffer->data[buffer->length] = '\0';
	return (const char *)buffer->data;
}
