/* Errors: filling, rewording, long paths, errno names. */
#include "base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_set_fills_every_field(void **state)
{
	struct fsmeta_error error = {0};

	(void)state;
	errno = EXDEV;
	assert_int_equal(
	    fsmeta_error_set(&error, FSMETA_E_CORRUPT, "a/b", "reading batch 3", "digest %d", 7),
	    FSMETA_E_CORRUPT);
	assert_int_equal(errno, EXDEV);
	assert_int_equal(error.code, FSMETA_E_CORRUPT);
	assert_int_equal(error.system_errno, 0);
	assert_int_equal(error.offset, -1);
	assert_string_equal(error.path, "a/b");
	assert_string_equal(error.action, "reading batch 3");
	assert_string_equal(error.reason, "digest 7");

	assert_int_equal(
	    fsmeta_error_set_at(&error, FSMETA_E_TRUNCATED, NULL, 42, "reading", "%s", "end"),
	    FSMETA_E_TRUNCATED);
	assert_int_equal(error.offset, 42);
	assert_string_equal(error.path, "");

	fsmeta_error_clear(&error);
	assert_int_equal(error.code, FSMETA_OK);
	assert_string_equal(error.reason, "");
}

static void test_null_is_allowed(void **state)
{
	(void)state;
	assert_int_equal(fsmeta_error_set(NULL, FSMETA_E_LIMIT, "p", "a", "r"), FSMETA_E_LIMIT);
	assert_int_equal(
	    fsmeta_error_set_at(NULL, FSMETA_E_LIMIT, "p", 1, "a", "r"), FSMETA_E_LIMIT);
	assert_int_equal(fsmeta_error_set_errno(NULL, EACCES, "p", "a"), FSMETA_E_SYSTEM);
	assert_int_equal(fsmeta_error_set_errno(NULL, ENOMEM, "p", "a"), FSMETA_E_MEMORY);
	assert_int_equal(fsmeta_error_set_memory(NULL, "a"), FSMETA_E_MEMORY);
	fsmeta_error_clear(NULL);
	fsmeta_error_add_path(NULL, "p");
}

static void test_errno(void **state)
{
	struct fsmeta_error error = {0};

	(void)state;
	assert_int_equal(fsmeta_error_set_errno(&error, EACCES, "x", "opening"), FSMETA_E_SYSTEM);
	assert_int_equal(error.system_errno, EACCES);
	assert_string_equal(error.reason, strerror(EACCES));
	assert_int_equal(fsmeta_error_set_errno(&error, ENOMEM, "x", "opening"), FSMETA_E_MEMORY);
	assert_int_equal(error.system_errno, 0);
	assert_int_equal(fsmeta_error_set_errno(&error, 99999, "x", "y"), FSMETA_E_SYSTEM);
	assert_true(error.reason[0] != '\0');
}

static void test_rewording_out_of_itself(void **state)
{
	struct fsmeta_error error = {0};

	(void)state;
	fsmeta_error_set(&error, FSMETA_E_BUSY, "path", "inner", "because");
	fsmeta_error_set(
	    &error, error.code, error.path, "outer", "%s: %s", error.action, error.reason);
	assert_string_equal(error.path, "path");
	assert_string_equal(error.reason, "inner: because");
}

static void test_path_is_added_once(void **state)
{
	struct fsmeta_error error = {0};

	(void)state;
	fsmeta_error_add_path(&error, "unset");
	assert_string_equal(error.path, "");
	fsmeta_error_set_memory(&error, "x");
	fsmeta_error_add_path(&error, "first");
	fsmeta_error_add_path(&error, "second");
	assert_string_equal(error.path, "first");
}

static void test_long_texts(void **state)
{
	struct fsmeta_error error = {0};
	char path[4000], reason[4000];

	(void)state;
	memset(path, 'p', sizeof(path));
	memcpy(path, "/head", 5);
	memcpy(path + sizeof(path) - 6, "/tail", 6);
	memset(reason, 'r', sizeof(reason) - 1);
	reason[sizeof(reason) - 1] = '\0';
	fsmeta_error_set(&error, FSMETA_E_LIMIT, path, reason, "%s", reason);
	assert_int_equal(strlen(error.path), FSMETA_ERROR_PATH_BYTES - 1);
	assert_int_equal(strlen(error.action), FSMETA_ERROR_ACTION_BYTES - 1);
	assert_int_equal(strlen(error.reason), FSMETA_ERROR_REASON_BYTES - 1);
	assert_memory_equal(error.path, "/head", 5);
	assert_string_equal(error.path + strlen(error.path) - 5, "/tail");
	assert_non_null(strstr(error.path, "p...p"));

	/* The longest that fits whole, and one byte more. */
	path[FSMETA_ERROR_PATH_BYTES - 1] = '\0';
	fsmeta_error_set(&error, FSMETA_E_LIMIT, path, "a", "r");
	assert_string_equal(error.path, path);
	path[FSMETA_ERROR_PATH_BYTES - 1] = 'p';
	path[FSMETA_ERROR_PATH_BYTES] = '\0';
	fsmeta_error_set(&error, FSMETA_E_LIMIT, path, "a", "r");
	assert_int_equal(strlen(error.path), FSMETA_ERROR_PATH_BYTES - 1);
	assert_non_null(strstr(error.path, "..."));
}

static void test_errno_names(void **state)
{
	(void)state;
	assert_string_equal(fsmeta_errno_name(EACCES), "EACCES");
	assert_string_equal(fsmeta_errno_name(EIO), "EIO");
	assert_null(fsmeta_errno_name(0));
	assert_null(fsmeta_errno_name(-1));
	assert_null(fsmeta_errno_name(100000));
	for (int number = 1; number < 4096; number++)
		if (fsmeta_errno_name(number))
			assert_int_equal(fsmeta_errno_from_name(fsmeta_errno_name(number)), number);
	assert_int_equal(fsmeta_errno_from_name("EWOULDBLOCK"), EAGAIN);
	assert_int_equal(fsmeta_errno_from_name("ENOTSUP"), ENOTSUP);
	assert_int_equal(fsmeta_errno_from_name("EOPNOTSUPP"), EOPNOTSUPP);
	assert_int_equal(fsmeta_errno_from_name("EDEADLOCK"), EDEADLK);
	assert_int_equal(fsmeta_errno_from_name("0"), 0);
	assert_int_equal(fsmeta_errno_from_name(""), 0);
	assert_int_equal(fsmeta_errno_from_name("eacces"), 0);
	assert_int_equal(fsmeta_errno_from_name(NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_set_fills_every_field),
	    cmocka_unit_test(test_null_is_allowed),
	    cmocka_unit_test(test_errno),
	    cmocka_unit_test(test_rewording_out_of_itself),
	    cmocka_unit_test(test_path_is_added_once),
	    cmocka_unit_test(test_long_texts),
	    cmocka_unit_test(test_errno_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
