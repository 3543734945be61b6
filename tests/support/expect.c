#include "tests/support/expect.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void print_and_exit(const char *text)
{
	fprintf(stderr, "%s\n", text);
	exit(1);
}

void (*expect_handler)(const char *text) = print_and_exit;

static char context[256];

void expect_context(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(context, sizeof(context), format, arguments);
	va_end(arguments);
}

void expect_failed(const char *file, int line, const char *format, ...)
{
	char text[4096];
	va_list arguments;
	int length = snprintf(
	    text, sizeof(text), "%s:%d: %s%s", file, line, context, context[0] ? ": " : "");

	va_start(arguments, format);
	vsnprintf(text + length, sizeof(text) - (size_t)length, format, arguments);
	va_end(arguments);
	expect_handler(text);
	abort();
}

uint64_t expect_seeds(uint64_t otherwise)
{
	const char *text = getenv("FSMETA_TEST_SEEDS");

	return text ? strtoull(text, NULL, 10) : otherwise;
}
