/* Arenas, buffers, and sizes that must not wrap. */
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_sizes(void **state)
{
	size_t out;

	(void)state;
	assert_true(fsmeta_size_multiply(6, 7, &out));
	assert_int_equal(out, 42);
	assert_false(fsmeta_size_multiply(SIZE_MAX / 2 + 1, 2, &out));
	assert_true(fsmeta_size_add(SIZE_MAX - 1, 1, &out));
	assert_false(fsmeta_size_add(SIZE_MAX, 1, &out));
}

static void test_arena_gives_apart_and_aligned(void **state)
{
	struct fsmeta_arena arena;
	unsigned char *given[3000];
	size_t sizes[3000];

	(void)state;
	fsmeta_arena_init(&arena);
	srand(1);
	for (int i = 0; i < 3000; i++) {
		sizes[i] = i == 1500 ? 5 << 20 : (size_t)(rand() % 700);
		given[i] = fsmeta_arena_allocate(&arena, sizes[i]);
		assert_non_null(given[i]);
		assert_int_equal((uintptr_t)given[i] % 16, 0);
		memset(given[i], i & 255, sizes[i]);
	}
	for (int i = 0; i < 3000; i++)
		for (size_t at = 0; at < sizes[i]; at++)
			assert_true(given[i][at] == (i & 255));
	fsmeta_arena_release(&arena);
	assert_int_equal(arena.held_bytes, 0);
	assert_null(arena.chunks);
}

static void test_arena_chunks_grow(void **state)
{
	struct fsmeta_arena arena = {0};
	size_t before;

	(void)state;
	assert_non_null(fsmeta_arena_allocate(&arena, 1));
	assert_int_equal(arena.held_bytes, 4096);
	assert_non_null(fsmeta_arena_allocate(&arena, 4090));
	assert_int_equal(arena.held_bytes, 4096 + 8192);

	/* A huge one does not end the chunk that is being filled. */
	before = arena.held_bytes;
	assert_non_null(fsmeta_arena_allocate(&arena, 3 << 20));
	assert_in_range(arena.held_bytes - before, 3 << 20, (3 << 20) + 64);
	before = arena.held_bytes;
	assert_non_null(fsmeta_arena_allocate(&arena, 4000));
	assert_int_equal(arena.held_bytes, before);

	/* No regular chunk exceeds 1 MiB. */
	for (int i = 0; i < 1000; i++)
		assert_non_null(fsmeta_arena_allocate(&arena, 10000));
	assert_true(arena.held_bytes < before + 10000000 + (2 << 20));
	fsmeta_arena_release(&arena);
}

static void test_arena_clear_keeps_the_largest(void **state)
{
	struct fsmeta_arena arena = {0};
	size_t kept;

	(void)state;
	fsmeta_arena_clear(&arena);
	assert_int_equal(arena.held_bytes, 0);
	for (int i = 0; i < 100; i++)
		assert_non_null(fsmeta_arena_allocate(&arena, 1000));
	fsmeta_arena_clear(&arena);
	kept = arena.held_bytes;
	assert_in_range(kept, 4096, 128 << 10);
	for (size_t used = 0; used + 1008 + 64 < kept; used += 1008)
		memset(fsmeta_arena_allocate(&arena, 1000), 1, 1000);
	assert_int_equal(arena.held_bytes, kept);
	fsmeta_arena_release(&arena);
}

static void test_arena_overflow(void **state)
{
	struct fsmeta_arena arena = {0};

	(void)state;
	assert_null(fsmeta_arena_allocate(&arena, SIZE_MAX));
	assert_null(fsmeta_arena_allocate(&arena, SIZE_MAX - 15));
	assert_null(fsmeta_arena_allocate(&arena, SIZE_MAX - 31));
	assert_null(fsmeta_arena_allocate_array(&arena, SIZE_MAX / 4, 8));
	assert_null(fsmeta_arena_copy(&arena, "", SIZE_MAX));
	assert_non_null(fsmeta_arena_allocate(&arena, 0));
	fsmeta_arena_release(&arena);
}

static void test_arena_array_and_copy(void **state)
{
	struct fsmeta_arena arena = {0};
	unsigned char *array;
	char *copy;

	(void)state;
	memset(fsmeta_arena_allocate(&arena, 2000), 0xAA, 2000);
	fsmeta_arena_clear(&arena);
	array = fsmeta_arena_allocate_array(&arena, 100, 10);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(array[i], 0);
	copy = fsmeta_arena_copy(&arena, "a\0b", 3);
	assert_memory_equal(copy, "a\0b", 4);
	assert_string_equal(fsmeta_arena_copy(&arena, NULL, 0), "");
	fsmeta_arena_release(&arena);
}

static void test_buffer(void **state)
{
	struct fsmeta_buffer buffer;

	(void)state;
	fsmeta_buffer_init(&buffer);
	assert_int_equal(fsmeta_buffer_append(&buffer, NULL, 0), 0);
	assert_string_equal(fsmeta_buffer_string(&buffer), "");
	assert_int_equal(fsmeta_buffer_append(&buffer, "ab", 2), 0);
	assert_int_equal(fsmeta_buffer_append_byte(&buffer, 'c'), 0);
	assert_int_equal(fsmeta_buffer_append_text(&buffer, "de"), 0);
	assert_int_equal(fsmeta_buffer_append_format(&buffer, "-%d-%s", 12, "x"), 0);
	assert_string_equal(fsmeta_buffer_string(&buffer), "abcde-12-x");
	assert_int_equal(buffer.length, 10);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(fsmeta_buffer_append_format(&buffer, "%04d", i), 0);
	assert_int_equal(buffer.length, 4010);
	assert_memory_equal(buffer.data + 4006, "0999", 4);
	fsmeta_buffer_clear(&buffer);
	assert_int_equal(buffer.length, 0);
	assert_true(buffer.capacity >= 4010);
	fsmeta_buffer_release(&buffer);
	assert_null(buffer.data);
}

static void test_buffer_overflow_keeps_content(void **state)
{
	struct fsmeta_buffer buffer = {0};

	(void)state;
	assert_int_equal(fsmeta_buffer_append_text(&buffer, "kept"), 0);
	assert_int_equal(fsmeta_buffer_reserve(&buffer, SIZE_MAX), FSMETA_E_MEMORY);
	assert_int_equal(fsmeta_buffer_reserve(&buffer, SIZE_MAX - 3), FSMETA_E_MEMORY);
	assert_int_equal(fsmeta_buffer_append(&buffer, "x", SIZE_MAX), FSMETA_E_MEMORY);
	assert_string_equal(fsmeta_buffer_string(&buffer), "kept");
	fsmeta_buffer_release(&buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sizes),
	    cmocka_unit_test(test_arena_gives_apart_and_aligned),
	    cmocka_unit_test(test_arena_chunks_grow),
	    cmocka_unit_test(test_arena_clear_keeps_the_largest),
	    cmocka_unit_test(test_arena_overflow),
	    cmocka_unit_test(test_arena_array_and_copy),
	    cmocka_unit_test(test_buffer),
	    cmocka_unit_test(test_buffer_overflow_keeps_content),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
