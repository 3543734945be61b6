/*
 * What the libraries of the tests report when something is not as it must be.
 *
 * They serve cmocka programs and programs of bench/ alike, so they know of neither: a
 * failed expectation becomes one text, with the context in front that was set last,
 * and goes to the handler.  cmocka programs say
 *
 *     expect_handler = fail_with;     static void fail_with(const char *text)
 *                                     { fail_msg("%s", text); }
 */
#ifndef FSMETA_TESTS_EXPECT_H
#define FSMETA_TESTS_EXPECT_H

#include "base/error.h"

#include <stdint.h>

/** Must not return.  By default the text is printed to stderr and the program exits with 1. */
extern void (*expect_handler)(const char *text);

/** Where the test is, for example "seed 17, generation 3". */
void expect_context(const char *format, ...) __attribute__((format(printf, 1, 2)));

_Noreturn void expect_failed(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** EXPECT(condition, "what it was: %d", value) */
#define EXPECT(condition, ...)                                            \
	do {                                                              \
		if (!(condition))                                         \
			expect_failed(__FILE__, __LINE__, ##__VA_ARGS__); \
	} while (0)

/** The code is no error; `error` tells which it was. */
#define EXPECT_OK(code, error)                                                                   \
	do {                                                                                     \
		int code_ = (code);                                                              \
		EXPECT(code_ >= 0, "code %d: %s: %s: %s", code_, (error)->path, (error)->action, \
		    (error)->reason);                                                            \
	} while (0)

/** How many seeds to try: FSMETA_TEST_SEEDS of the environment, or what a run in CI has time for.
 */
uint64_t expect_seeds(uint64_t otherwise);

#endif
