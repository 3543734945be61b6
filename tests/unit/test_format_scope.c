/*
 * The scope against the plain definition: within a sub-tree, or on the way to one,
 * and not excluded.
 */
#include "base/path.h"
#include "format/scope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void everything_is_looked_at_without_subtrees(void **state)
{
	struct fsmeta_batch_source source;
	struct fsmeta_scope scope;

	(void)state;
	fsmeta_batch_source_init(&source);
	assert_int_equal(fsmeta_scope_init(&scope, &source), 0);
	assert_int_equal(fsmeta_scope_judge(&scope, "", 0, true), FSMETA_SCOPE_LOOKED);
	assert_int_equal(fsmeta_scope_judge(&scope, "a/b", 3, false), FSMETA_SCOPE_LOOKED);
	fsmeta_scope_release(&scope);
	fsmeta_batch_source_release(&source);
}

static void judge(const struct fsmeta_scope *scope, const char *path, bool looked)
{
	assert_int_equal(fsmeta_scope_judge(scope, path, strlen(path), false),
	    looked ? FSMETA_SCOPE_LOOKED : FSMETA_SCOPE_NOT_ASKED);
}

static void neighbours_in_byte_order_are_told_apart(void **state)
{
	struct fsmeta_batch_source source;
	struct fsmeta_scope scope;
	const char *subtrees[] = {"b/c", "a!b", "b/c/d", "x", "a/z"};

	(void)state;
	fsmeta_batch_source_init(&source);
	for (size_t i = 0; i < 5; i++)
		fsmeta_batch_source_add_string(
		    &source, &source.subtrees, subtrees[i], strlen(subtrees[i]));
	assert_int_equal(fsmeta_scope_init(&scope, &source), 0);
	assert_int_equal(scope.count, 4);
	judge(&scope, "", true);
	judge(&scope, "a", true);
	judge(&scope, "a/y", false);
	judge(&scope, "a/z", true);
	judge(&scope, "a/z/1", true);
	judge(&scope, "a/zz", false);
	judge(&scope, "a!", false);
	judge(&scope, "a!b", true);
	judge(&scope, "a!b/x", true);
	judge(&scope, "a!bc", false);
	judge(&scope, "b", true);
	judge(&scope, "b/c", true);
	judge(&scope, "b/c/d", true);
	judge(&scope, "b/c/e", true);
	judge(&scope, "b/d", false);
	judge(&scope, "w", false);
	judge(&scope, "x/y/z", true);
	judge(&scope, "y", false);
	fsmeta_scope_release(&scope);
	fsmeta_batch_source_release(&source);
}

static bool looked_by_definition(const struct fsmeta_batch_source *source, const char *path)
{
	for (size_t i = 0; i < source->subtrees.count; i++) {
		const char *subtree = source->subtrees.items[i];
		size_t length = source->subtrees.lengths[i];

		if (fsmeta_path_is_within(path, strlen(path), subtree, length) ||
		    fsmeta_path_is_within(subtree, length, path, strlen(path)))
			return true;
	}
	return false;
}

/** One to four components out of three names. */
static void make_path(char out[16])
{
	static const char names[] = "a!b";
	int count = 1 + rand() % 4;

	*out = '\0';
	for (int i = 0; i < count; i++)
		snprintf(
		    out + strlen(out), 16 - strlen(out), "%s%c", i ? "/" : "", names[rand() % 3]);
}

static void random_subtrees_follow_the_definition(void **state)
{
	(void)state;
	srand(7);
	for (int round = 0; round < 500; round++) {
		struct fsmeta_batch_source source;
		struct fsmeta_scope scope;
		char path[16];

		fsmeta_batch_source_init(&source);
		for (int i = 1 + rand() % 6; i > 0; i--) {
			make_path(path);
			fsmeta_batch_source_add_string(
			    &source, &source.subtrees, path, strlen(path));
		}
		assert_int_equal(fsmeta_scope_init(&scope, &source), 0);
		for (int i = 0; i < 50; i++) {
			make_path(path);
			judge(&scope, path, looked_by_definition(&source, path));
		}
		fsmeta_scope_release(&scope);
		fsmeta_batch_source_release(&source);
	}
}

static void excludes_come_behind_subtrees(void **state)
{
	struct fsmeta_batch_source source;
	struct fsmeta_scope scope;

	(void)state;
	fsmeta_batch_source_init(&source);
	fsmeta_batch_source_add_string(&source, &source.subtrees, "a/b", 3);
	fsmeta_batch_source_add_string(&source, &source.excludes, "*.tmp", 5);
	fsmeta_batch_source_add_string(&source, &source.excludes, "c/", 2);
	assert_int_equal(fsmeta_scope_init(&scope, &source), 0);
	assert_int_equal(fsmeta_scope_judge(&scope, "a/b/x", 5, false), FSMETA_SCOPE_LOOKED);
	assert_int_equal(fsmeta_scope_judge(&scope, "a/b/x.tmp", 9, false), FSMETA_SCOPE_EXCLUDED);
	assert_int_equal(fsmeta_scope_judge(&scope, "a/b/c", 5, true), FSMETA_SCOPE_EXCLUDED);
	assert_int_equal(fsmeta_scope_judge(&scope, "a/b/c", 5, false), FSMETA_SCOPE_LOOKED);
	/* Not asked for is no news, excluded or not. */
	assert_int_equal(fsmeta_scope_judge(&scope, "a/x.tmp", 7, false), FSMETA_SCOPE_NOT_ASKED);
	assert_false(fsmeta_scope_holds(&scope, "", 0));
	assert_false(fsmeta_scope_holds(&scope, "a", 1));
	assert_true(fsmeta_scope_holds(&scope, "a/b", 3));
	assert_true(fsmeta_scope_holds(&scope, "a/b/c", 5));
	assert_false(fsmeta_scope_holds(&scope, "a/bc", 4));
	fsmeta_scope_release(&scope);
	fsmeta_batch_source_release(&source);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(everything_is_looked_at_without_subtrees),
	    cmocka_unit_test(neighbours_in_byte_order_are_told_apart),
	    cmocka_unit_test(random_subtrees_follow_the_definition),
	    cmocka_unit_test(excludes_come_behind_subtrees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
