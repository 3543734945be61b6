/* Canonical order against a naive reference, validity, and the path stack. */
#include "base/path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/** The order as its definition says it: component by component. */
static int reference_compare(const char *a, size_t a_length, const char *b, size_t b_length)
{
	size_t a_at = 0, b_at = 0;

	for (;;) {
		size_t a_end = a_at, b_end = b_at;
		int order;

		if (a_at >= a_length || b_at >= b_length)
			return (a_at < a_length) - (b_at < b_length);
		while (a_end < a_length && a[a_end] != '/')
			a_end++;
		while (b_end < b_length && b[b_end] != '/')
			b_end++;
		order = fsmeta_name_compare(a + a_at, a_end - a_at, b + b_at, b_end - b_at);
		if (order)
			return order;
		a_at = a_end + 1;
		b_at = b_end + 1;
	}
}

static int sign(int value)
{
	return (value > 0) - (value < 0);
}

/** A valid path of few letters, so that long common prefixes are frequent. */
static size_t random_path(char *out)
{
	static const char letters[] = "a!.\xFF\x01"
				      "b-0";
	size_t length = 0;
	int components = rand() % 6;

	for (int i = 0; i < components; i++) {
		int size = 1 + rand() % 5;

		if (i)
			out[length++] = '/';
		out[length++] = rand() % 4 ? 'a' : 'b';
		for (int j = 1; j < size; j++)
			out[length++] = rand() % 2 ? 'a' : letters[rand() % 8];
	}
	return length;
}

static void test_order_matches_reference(void **state)
{
	(void)state;
	srand(20261121);
	for (int i = 0; i < 300000; i++) {
		char a[64], b[64];
		size_t a_length = random_path(a), b_length = random_path(b);

		assert_true(fsmeta_path_is_valid(a, a_length));
		assert_int_equal(sign(fsmeta_path_compare(a, a_length, b, b_length)),
		    sign(reference_compare(a, a_length, b, b_length)));
		assert_int_equal(fsmeta_path_compare(a, a_length, a, a_length), 0);
		assert_int_equal(sign(fsmeta_path_compare(a, a_length, b, b_length)),
		    -sign(fsmeta_path_compare(b, b_length, a, a_length)));
	}
}

static void test_order_of_the_design(void **state)
{
	static const char *const sorted[] = {"", "a", "a/x", "a/x/y", "a!b", "a.mp4", "a.mp4/z",
	    "aa", "b", "b\x7F", "b\x80", "b\xFF/c", "longer/common/prefix",
	    "longer/common/prefix/of", "longer/common/prefix!", "longer/common/prefix1",
	    "longer/common/prefix2"};
	size_t count = sizeof(sorted) / sizeof(sorted[0]);

	(void)state;
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < count; j++)
			assert_int_equal(sign(fsmeta_path_compare(sorted[i], strlen(sorted[i]),
					     sorted[j], strlen(sorted[j]))),
			    i < j ? -1 : i > j);
}

static void test_name_validity(void **state)
{
	char name[FSMETA_NAME_MAX_BYTES + 1];

	(void)state;
	memset(name, 'n', sizeof(name));
	assert_true(fsmeta_name_is_valid(name, FSMETA_NAME_MAX_BYTES));
	assert_false(fsmeta_name_is_valid(name, FSMETA_NAME_MAX_BYTES + 1));
	assert_false(fsmeta_name_is_valid("", 0));
	assert_false(fsmeta_name_is_valid(".", 1));
	assert_false(fsmeta_name_is_valid("..", 2));
	assert_true(fsmeta_name_is_valid("...", 3));
	assert_true(fsmeta_name_is_valid(".a", 2));
	assert_true(fsmeta_name_is_valid("\xFF\x01\n", 3));
	assert_false(fsmeta_name_is_valid("a/b", 3));
	assert_false(fsmeta_name_is_valid("a\0b", 3));
}

/** A name of which the beginning is known is judged as one of which nothing is. */
static void test_name_validity_from(void **state)
{
	static const char bytes[] = {'.', 'a', '/', '\0', '\xFF'};

	(void)state;
	srand(9);
	for (int i = 0; i < 20000; i++) {
		size_t length = 1 + (size_t)rand() % 30, known = 0;
		char *name = malloc(length);

		assert_non_null(name);
		/* Mostly plain, so that what is wrong is anywhere. */
		for (size_t at = 0; at < length; at++)
			name[at] = rand() % 16 ? 'n' : bytes[rand() % 5];
		while (known < length && name[known] != '/' && name[known] != '\0')
			known++;
		known = (size_t)rand() % (known + 1);
		assert_int_equal(fsmeta_name_is_valid_from(name, length, known),
		    fsmeta_name_is_valid(name, length));
		free(name);
	}
	assert_false(fsmeta_name_is_valid_from("..", 2, 1));
	assert_false(fsmeta_name_is_valid_from("", 0, 0));
}

static void test_path_validity(void **state)
{
	static const char *const bad[] = {
	    "/", "/a", "a/", "a//b", ".", "..", "./a", "a/.", "a/../b", "a/.."};
	static const char *const good[] = {"", "a", "a/b", "...", "a/.b/..c"};
	size_t length = 2 * (size_t)FSMETA_DEPTH_MAX + 1;
	char *deep = malloc(length);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(fsmeta_path_is_valid(bad[i], strlen(bad[i])));
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(fsmeta_path_is_valid(good[i], strlen(good[i])));
	assert_non_null(deep);
	for (size_t i = 0; i < length; i++)
		deep[i] = i % 2 ? '/' : 'd';
	assert_true(fsmeta_path_is_valid(deep, length - 2));
	assert_int_equal(fsmeta_path_depth(deep, length - 2), FSMETA_DEPTH_MAX);
	assert_false(fsmeta_path_is_valid(deep, length));
	free(deep);
}

static bool within(const char *path, const char *folder)
{
	return fsmeta_path_is_within(path, strlen(path), folder, strlen(folder));
}

static void test_parts(void **state)
{
	(void)state;
	assert_true(within("a/b", "a"));
	assert_true(within("a", "a"));
	assert_true(within("a", ""));
	assert_true(within("", ""));
	assert_false(within("", "a"));
	assert_false(within("ab", "a"));
	assert_false(within("a", "a/b"));
	assert_int_equal(fsmeta_path_depth("", 0), 0);
	assert_int_equal(fsmeta_path_depth("a", 1), 1);
	assert_int_equal(fsmeta_path_depth("a/b/c", 5), 3);
	assert_int_equal(fsmeta_path_name_offset("", 0), 0);
	assert_int_equal(fsmeta_path_name_offset("abc", 3), 0);
	assert_int_equal(fsmeta_path_name_offset("a/b/cd", 6), 4);
}

static void assert_stack(const struct fsmeta_path_stack *stack, const char *path)
{
	size_t length;
	const char *text = fsmeta_path_stack_path(stack, &length);

	assert_string_equal(text, path);
	assert_int_equal(length, strlen(path));
	assert_int_equal(stack->depth, fsmeta_path_depth(path, length));
}

static void test_stack(void **state)
{
	struct fsmeta_path_stack stack;
	size_t limit = (size_t)FSMETA_PATH_MAX_BYTES - 5;
	const char *name;
	size_t length;

	(void)state;
	fsmeta_path_stack_init(&stack);
	assert_stack(&stack, "");
	fsmeta_path_stack_truncate(&stack, 5);
	fsmeta_path_stack_clear(&stack);
	assert_int_equal(fsmeta_path_stack_push(&stack, "cam1", 4), 0);
	assert_int_equal(fsmeta_path_stack_push(&stack, "2026", 4), 0);
	assert_int_equal(fsmeta_path_stack_push(&stack, "a.mp4", 5), 0);
	assert_stack(&stack, "cam1/2026/a.mp4");
	name = fsmeta_path_stack_name(&stack, 1, &length);
	assert_int_equal(length, 4);
	assert_memory_equal(name, "cam1", 4);
	name = fsmeta_path_stack_name(&stack, 3, &length);
	assert_int_equal(length, 5);
	assert_memory_equal(name, "a.mp4", 5);
	fsmeta_path_stack_truncate(&stack, 3);
	assert_stack(&stack, "cam1/2026/a.mp4");
	fsmeta_path_stack_truncate(&stack, 1);
	assert_stack(&stack, "cam1");
	assert_int_equal(fsmeta_path_stack_set(&stack, "x/yy/z", 6), 0);
	assert_stack(&stack, "x/yy/z");
	assert_int_equal(fsmeta_path_stack_replace_end(&stack, 1, "1.rf1i", 6), 0);
	assert_stack(&stack, "x/yy/z1.rf1i");
	assert_int_equal(fsmeta_path_stack_replace_end(&stack, 0, "a", 1), 0);
	assert_stack(&stack, "x/yy/a");
	assert_int_equal(fsmeta_path_stack_replace_end(&stack, 1, "b", limit), FSMETA_E_LIMIT);
	assert_stack(&stack, "x/yy/a");
	assert_int_equal(fsmeta_path_stack_set(&stack, "", 0), 0);
	assert_stack(&stack, "");
	fsmeta_path_stack_release(&stack);
}

static void test_stack_random_steps(void **state)
{
	struct fsmeta_path_stack stack = {0};

	(void)state;
	srand(7);
	for (int i = 0; i < 20000; i++) {
		char path[64];
		size_t length = random_path(path);
		uint32_t depth = (uint32_t)(rand() % 7);

		path[length] = '\0';
		assert_int_equal(fsmeta_path_stack_set(&stack, path, length), 0);
		assert_stack(&stack, path);
		fsmeta_path_stack_truncate(&stack, depth);
		while (fsmeta_path_depth(path, strlen(path)) > depth) {
			size_t cut = fsmeta_path_name_offset(path, strlen(path));

			path[cut ? cut - 1 : 0] = '\0';
		}
		assert_stack(&stack, path);
	}
	fsmeta_path_stack_release(&stack);
}

/** Siblings with any length behind what they share, some of which end where memory does. */
static void test_stack_random_siblings(void **state)
{
	struct fsmeta_path_stack stack = {0};
	char expected[128] = "cam1/";

	(void)state;
	srand(8);
	assert_int_equal(fsmeta_path_stack_push(&stack, "cam1", 4), 0);
	assert_int_equal(fsmeta_path_stack_push(&stack, "", 0), 0);
	for (int i = 0; i < 20000; i++) {
		size_t name_length = strlen(expected) - 5;
		size_t prefix = (size_t)rand() % (name_length + 1);
		size_t length = (size_t)rand() % (100 - prefix);
		size_t readable = length + (size_t)(rand() % 24);
		char *suffix = malloc(readable + 1);

		assert_non_null(suffix);
		for (size_t at = 0; at < readable; at++)
			suffix[at] = (char)('a' + rand() % 26);
		memcpy(expected + 5 + prefix, suffix, length);
		expected[5 + prefix + length] = '\0';
		/* What lies behind `readable` is not to be touched. */
		suffix = realloc(suffix, readable ? readable : 1);
		if (readable < FSMETA_PATH_AT_ONCE_BYTES || length > FSMETA_PATH_AT_ONCE_BYTES ||
		    !fsmeta_path_stack_replace_end_at_once(&stack, prefix, suffix, length))
			assert_int_equal(
			    fsmeta_path_stack_replace_end(&stack, prefix, suffix, length), 0);
		assert_stack(&stack, expected);
		free(suffix);
	}
	fsmeta_path_stack_release(&stack);
}

static void test_stack_limits(void **state)
{
	struct fsmeta_path_stack stack = {0};
	char *huge = calloc(1, FSMETA_PATH_MAX_BYTES + 1);

	(void)state;
	assert_non_null(huge);
	for (int i = 0; i < FSMETA_DEPTH_MAX; i++)
		assert_int_equal(fsmeta_path_stack_push(&stack, "d", 1), 0);
	assert_int_equal(fsmeta_path_stack_push(&stack, "d", 1), FSMETA_E_LIMIT);
	assert_int_equal(stack.depth, FSMETA_DEPTH_MAX);
	fsmeta_path_stack_clear(&stack);

	memset(huge, 'h', FSMETA_PATH_MAX_BYTES + 1);
	assert_int_equal(
	    fsmeta_path_stack_push(&stack, huge, FSMETA_PATH_MAX_BYTES + 1), FSMETA_E_LIMIT);
	assert_int_equal(fsmeta_path_stack_push(&stack, huge, FSMETA_PATH_MAX_BYTES), 0);
	assert_int_equal(fsmeta_path_stack_push(&stack, "", 0), FSMETA_E_LIMIT);
	assert_int_equal(stack.depth, 1);
	assert_int_equal(
	    fsmeta_path_stack_set(&stack, huge, FSMETA_PATH_MAX_BYTES + 1), FSMETA_E_LIMIT);
	assert_int_equal(stack.depth, 0);
	fsmeta_path_stack_release(&stack);
	free(huge);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_order_matches_reference),
	    cmocka_unit_test(test_order_of_the_design),
	    cmocka_unit_test(test_name_validity),
	    cmocka_unit_test(test_name_validity_from),
	    cmocka_unit_test(test_path_validity),
	    cmocka_unit_test(test_parts),
	    cmocka_unit_test(test_stack),
	    cmocka_unit_test(test_stack_random_steps),
	    cmocka_unit_test(test_stack_random_siblings),
	    cmocka_unit_test(test_stack_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
