/*
 * Excludes: the grammar rule by rule, random patterns against a naive matcher that
 * tries everything, and patterns made to take for ever.  (That git agrees is shown
 * by tests/oracle/test_scope.py.)
 */
#include "format/exclude.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum {
	PATTERNS_MAX = 4,
};

/** What patterns (NULL-terminated) say about `path`, a folder where it ends in '/'. */
static bool excludes(const char *const *patterns, const char *path)
{
	struct fsmeta_string_list list = {0};
	struct fsmeta_excludes made;
	const char *items[PATTERNS_MAX];
	size_t lengths[PATTERNS_MAX], length = strlen(path);
	bool is_folder = length && path[length - 1] == '/', result;

	for (; patterns[list.count]; list.count++) {
		items[list.count] = patterns[list.count];
		lengths[list.count] = strlen(patterns[list.count]);
	}
	list.items = items;
	list.lengths = lengths;
	assert_int_equal(fsmeta_excludes_init(&made, &list), 0);
	result = fsmeta_excludes_match(&made, path, length - is_folder, is_folder);
	fsmeta_excludes_release(&made);
	return result;
}

static bool excludes_one(const char *pattern, const char *path)
{
	const char *const patterns[] = {pattern, NULL};

	return excludes(patterns, path);
}

struct rule {
	const char *pattern;
	const char *path;
	bool excluded;
};

static void each_rule_of_the_grammar(void **state)
{
	static const struct rule rules[] = {
	    /* By name, at any depth. */
	    {"a", "a", true},
	    {"a", "x/a", true},
	    {"a", "a/x", false},
	    {"a", "aa", false},
	    {"*.tmp", "x/y.tmp", true},
	    {"*.tmp", ".tmp", true},
	    {"*.tmp", "tmp", false},
	    {"*", "x/y", true},
	    {"**", "x/y", true},
	    {"a*c", "abbc", true},
	    {"a*c", "ac", true},
	    {"a*b*c", "abcabd", false},
	    {"?", "\xff", true},
	    {"?", "ab", false},
	    /* Folders only. */
	    {"a/", "a/", true},
	    {"a/", "a", false},
	    {"**/", "x/y/", true},
	    {"**/", "x/y", false},
	    /* Anchored. */
	    {"/a", "a", true},
	    {"/a", "x/a", false},
	    {"a/b", "a/b", true},
	    {"a/b", "x/a/b", false},
	    {"/a/b/", "a/b/", true},
	    {"a/*", "a/b", true},
	    {"a/*", "a/b/c", false},
	    {"*/b", "a/b", true},
	    {"*/b", "b", false},
	    /* Any folders. */
	    {"**/b", "b", true},
	    {"**/b", "a/c/b", true},
	    {"a/**", "a", false},
	    {"a/**", "a/b", true},
	    {"a/**", "a/b/c", true},
	    {"a/**/b", "a/b", true},
	    {"a/**/b", "a/x/y/b", true},
	    {"a/**/b", "a/xb", false},
	    {"a/**/x/**/b", "a/x/1/x/2/b", true},
	    {"a/**/x/**/b", "a/1/2/b", false},
	    {"/**", "a", true},
	    {"**/**", "a", true},
	    {"/***/b", "a/b", true},
	    {"/a**/b", "a/b", true},
	    {"/a**/b", "ax/b", true},
	    {"/a**/b", "ax/y/b", false},
	    /* Brackets. */
	    {"[ab]", "b", true},
	    {"[!ab]", "b", false},
	    {"[^ab]", "c", true},
	    {"[a-c]", "b", true},
	    {"[c-a]", "b", false},
	    {"[]a]", "]", true},
	    {"[!]a]", "]", false},
	    {"[a-]", "-", true},
	    {"[-a]", "-", true},
	    {"[a-c-e]", "d", false},
	    {"[a-c-e]", "-", true},
	    {"[\\]]", "]", true},
	    {"[\\a-\\c]", "b", true},
	    {"[[:digit:]x]", "7", true},
	    {"[[:digit:]x]", "x", true},
	    {"[![:digit:]]", "7", false},
	    {"[[:upper:]]", "a", false},
	    {"[[:alpha:]]", "\xe9", false},
	    {"[[:a]", ":", true},
	    {"[[]", "[", true},
	    {"[a/b]c", "ac", true},
	    {"[a/b]c", "x/ac", false},
	    {"[\x80-\xff]", "\xc3", true},
	    /* Escapes. */
	    {"\\*", "*", true},
	    {"\\*", "a", false},
	    {"\\a", "a", true},
	    {"\\!a", "!a", true},
	    {"a\\/b", "a/b", true},
	    {"a\\\\", "a\\", true},
	    /* No line of a file: '#' and spaces are bytes. */
	    {"#recycle", "#recycle", true},
	    {"\\#recycle", "#recycle", true},
	    {"a ", "a ", true},
	    {"a ", "a", false},
	    /* What matches nothing. */
	    {"", "a", false},
	    {"/", "a/", false},
	    {"//", "a/", false},
	    {"!", "a", false},
	    {"a//b", "a/b", false},
	    {"//a", "a", false},
	    {"a\\", "a\\", false},
	    {"a\\", "a", false},
	    {"[a", "[a", false},
	    {"[]", "[]", false},
	    {"[[:none:]a]", "a", false},
	    {"*[", "a[", false},
	    /* The root is never excluded. */
	    {"*", "", false},
	    {"**", "", false},
	    {"/**", "", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (excludes_one(rules[i].pattern, rules[i].path) != rules[i].excluded)
			fail_msg("'%s' and '%s'", rules[i].pattern, rules[i].path);
}

static void the_last_match_decides(void **state)
{
	const char *const back[] = {"*.tmp", "!keep.tmp", NULL};
	const char *const again[] = {"*.tmp", "!keep.tmp", "/keep.*", NULL};
	const char *const only[] = {"!a", NULL};
	const char *const folders[] = {"*", "!*/", NULL};

	(void)state;
	assert_true(excludes(back, "x.tmp"));
	assert_false(excludes(back, "x/keep.tmp"));
	assert_true(excludes(again, "keep.tmp"));
	assert_false(excludes(again, "x/keep.tmp"));
	assert_false(excludes(only, "a"));
	assert_true(excludes(folders, "a"));
	assert_false(excludes(folders, "a/"));
}

static bool covers(const char *pattern, const char *path)
{
	size_t length = strlen(pattern);
	struct fsmeta_string_list list = {.items = &pattern, .lengths = &length, .count = 1};
	struct fsmeta_excludes made;
	bool result;

	assert_int_equal(fsmeta_excludes_init(&made, &list), 0);
	result = fsmeta_excludes_cover(&made, path, strlen(path), false);
	fsmeta_excludes_release(&made);
	return result;
}

static void what_is_above_covers(void **state)
{
	(void)state;
	assert_true(covers("a", "a/b/c"));
	assert_true(covers("a/", "a/b/c"));
	assert_true(covers("/a/b/", "a/b/c"));
	assert_true(covers("c", "a/b/c"));
	assert_false(covers("c/", "a/b/c"));
	assert_false(covers("/b", "a/b/c"));
	assert_false(covers("d", "a/b/c"));
	assert_false(covers("*", ""));
}

/* ---- naive ----------------------------------------------------------------- */

/** '*' and '?' within a name, by trying everything. */
static bool naive_name(const char *glob, const char *glob_end, const char *name, const char *end)
{
	if (glob == glob_end)
		return name == end;
	if (*glob == '*')
		return naive_name(glob + 1, glob_end, name, end) ||
		       (name < end && naive_name(glob, glob_end, name + 1, end));
	return name < end && (*glob == '?' || *glob == *name) &&
	       naive_name(glob + 1, glob_end, name + 1, end);
}

static const char *slash_or_end(const char *at)
{
	return at + strcspn(at, "/");
}

static bool naive_path(const char *pattern, const char *path)
{
	const char *part = slash_or_end(pattern), *name = slash_or_end(path);

	if (part - pattern == 2 && !memcmp(pattern, "**", 2)) {
		if (!*part)
			return *path;
		return naive_path(part + 1, path) ||
		       (*path && naive_path(pattern, name + (*name == '/')));
	}
	if (!*path || !naive_name(pattern, part, path, name))
		return false;
	if (!*part || !*name)
		return *part == *name;
	return naive_path(part + 1, name + 1);
}

static unsigned random_state;

static unsigned below(unsigned limit)
{
	random_state = random_state * 1103515245 + 12345;
	return (random_state >> 16) % limit;
}

/** A path of one to `most` names over "ab", or a pattern with wildcards in it. */
static void make_path(char *out, unsigned most, bool is_pattern)
{
	unsigned names = 1 + below(most);

	for (unsigned i = 0; i < names; i++) {
		unsigned length = 1 + below(3);

		if (i > 0)
			*out++ = '/';
		if (is_pattern && below(3) == 0) {
			*out++ = '*';
			*out++ = '*';
			continue;
		}
		for (unsigned j = 0; j < length; j++) {
			*out = "ab?*"[below(is_pattern ? 4 : 2)];
			/* Two stars side by side might be all of the name. */
			if (*out == '*' && j > 0)
				*out = 'a';
			out++;
		}
	}
	*out = '\0';
}

static void random_patterns_against_trying_everything(void **state)
{
	unsigned matched = 0;

	(void)state;
	random_state = 11;
	for (unsigned round = 0; round < 200000; round++) {
		char pattern[64] = "/", path[64];
		bool expected;

		make_path(pattern + 1, 6, true);
		make_path(path, 6, false);
		expected = naive_path(pattern + 1, path);
		matched += expected;
		if (excludes_one(pattern, path) != expected)
			fail_msg("'%s' and '%s'", pattern, path);
	}
	assert_true(matched > 10000);
}

static void no_pattern_takes_for_ever(void **state)
{
	char pattern[4096] = "/", path[4096] = "";
	clock_t begin = clock();

	(void)state;
	for (int i = 0; i < 600; i++) {
		strcat(pattern, "**/a/");
		strcat(path, "a/");
	}
	strcat(pattern, "b");
	strcat(path, "c");
	assert_false(excludes_one(pattern, path));
	pattern[0] = '\0';
	path[0] = '\0';
	for (int i = 0; i < 250; i++) {
		strcat(pattern, "*a");
		strcat(path, "a");
	}
	strcat(pattern, "b");
	assert_false(excludes_one(pattern, path));
	assert_true((clock() - begin) / CLOCKS_PER_SEC < 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_rule_of_the_grammar),
	    cmocka_unit_test(the_last_match_decides),
	    cmocka_unit_test(what_is_above_covers),
	    cmocka_unit_test(random_patterns_against_trying_everything),
	    cmocka_unit_test(no_pattern_takes_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
