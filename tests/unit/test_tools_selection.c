/*
 * What is selected, and what is said of changes whose folder was not.
 */
#include "tools/selection.h"
#include "tools/summary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- values of options ---------------------------------------------------- */

static void sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t size;
	} good[] = {{"0", 0}, {"4096", 4096}, {"7B", 7}, {"1K", 1024}, {"1k", 1024}, {"2KiB", 2048},
	    {"2kB", 2000}, {"10M", 10 << 20}, {"20m", 20 << 20}, {"3MB", 3000000}, {"1g", 1 << 30},
	    {"1TiB", UINT64_C(1) << 40}, {"1P", UINT64_C(1) << 50}, {"15E", UINT64_C(15) << 60},
	    {"18EB", UINT64_C(18000000000000000000)}, {"18446744073709551615", UINT64_MAX}};
	static const char *const bad[] = {
	    "", " 1", "-1", "+1", "K", "1.5G", "1X", "1Ki", "1KiBs", "16E", "18446744073709551616"};
	uint64_t size;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(fsmeta_size_parse(&size, good[i].text));
		assert_int_equal(size, good[i].size);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(fsmeta_size_parse(&size, bad[i]));
}

static void times(void **state)
{
	const struct fsmeta_time now = {1000000000, 5};
	static const struct {
		const char *text;
		struct fsmeta_time time;
	} good[] = {{"1970-01-02", {86400, 0}}, {"1969-12-31", {-86400, 0}},
	    {"1970-01-01T00:00:01.5Z", {1, 500000000}}, {"1970-01-01T01:00:00+01:00", {0, 0}},
	    {"1h", {1000000000 - 3600, 5}}, {"7d", {1000000000 - 7 * 86400, 5}},
	    {"2y", {1000000000 - 2 * 365 * 86400, 5}}};
	static const char *const bad[] = {"", "d", "7", "yesterday", "1970-02-30", "1970-01-01T",
	    "1970-01-01 00:00:00", "7d ", "-7d",
	    "1970-01-01-and-so-on-beyond-any-length-that-a-time-may-have-in-this-program"};
	struct fsmeta_time time;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(fsmeta_selection_parse_time(&time, good[i].text, now));
		assert_int_equal(fsmeta_time_compare(time, good[i].time), 0);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(fsmeta_selection_parse_time(&time, bad[i], now));
}

static void kinds(void **state)
{
	uint32_t set = 0;

	(void)state;
	assert_true(fsmeta_selection_parse_kinds(&set, "added,moved"));
	assert_int_equal(set, 1 << FSMETA_CHANGE_ADDED | 1 << FSMETA_CHANGE_MOVED);
	assert_true(fsmeta_selection_parse_kinds(&set, "unknown"));
	assert_int_equal(
	    set, 1 << FSMETA_CHANGE_ADDED | 1 << FSMETA_CHANGE_MOVED | 1 << FSMETA_CHANGE_UNKNOWN);
	assert_false(fsmeta_selection_parse_kinds(&set, ""));
	assert_false(fsmeta_selection_parse_kinds(&set, "added,"));
	assert_false(fsmeta_selection_parse_kinds(&set, ",added"));
	assert_false(fsmeta_selection_parse_kinds(&set, "add"));
}

/* ---- changes --------------------------------------------------------------- */

/** Remembers what it took: "P" or "i" (inside) and the path, one after the other. */
struct taker {
	struct fsmeta_change_sink sink;
	char text[512];
};

static int take(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct taker *taker = (struct taker *)sink;
	const struct fsmeta_entry *entry = fsmeta_change_entry(change);
	size_t used = strlen(taker->text);

	(void)error;
	snprintf(taker->text + used, sizeof(taker->text) - used, "%s%c:%.*s", used ? " " : "",
	    change->flags & FSMETA_CHANGE_INSIDE ? 'i' : 'P', (int)entry->path_length, entry->path);
	return 0;
}

/** What `selection` lets through of changes that a diff would tell of these paths. */
static void assert_shown(struct fsmeta_selection *selection, const char *wanted, uint64_t passed)
{
	static const struct {
		const char *path;
		enum fsmeta_type type;
		enum fsmeta_change_kind kind;
		bool inside;
	} rows[] = {
	    {"a", FSMETA_TYPE_FOLDER, FSMETA_CHANGE_ADDED, false},
	    {"a/b", FSMETA_TYPE_FOLDER, FSMETA_CHANGE_ADDED, true},
	    {"a/b/c", FSMETA_TYPE_FILE, FSMETA_CHANGE_ADDED, true},
	    {"a/d", FSMETA_TYPE_FILE, FSMETA_CHANGE_ADDED, true},
	    {"ab", FSMETA_TYPE_FOLDER, FSMETA_CHANGE_REMOVED, false},
	    {"ab/b", FSMETA_TYPE_FILE, FSMETA_CHANGE_REMOVED, true},
	    {"z", FSMETA_TYPE_FILE, FSMETA_CHANGE_MODIFIED, false},
	};
	struct taker taker = {.sink.change = take};
	struct fsmeta_selection_sink sink;
	struct fsmeta_error error = {0};

	fsmeta_selection_sink_init(&sink, selection, &taker.sink);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		/* Without a NUL behind, as from a reader's buffer. */
		char path[16];
		struct fsmeta_entry entry = {.type = rows[i].type, .path = path};
		struct fsmeta_change change = {
		    .kind = rows[i].kind,
		    .flags = rows[i].inside ? FSMETA_CHANGE_INSIDE : 0,
		    .before = rows[i].kind == FSMETA_CHANGE_ADDED ? NULL : &entry,
		    .after = rows[i].kind == FSMETA_CHANGE_REMOVED ? NULL : &entry,
		};

		memset(path, '#', sizeof(path));
		entry.path_length = strlen(rows[i].path);
		memcpy(path, rows[i].path, entry.path_length);
		assert_int_equal(sink.sink.change(&sink.sink, &change, &error), 0);
	}
	assert_string_equal(taker.text, wanted);
	assert_int_equal(sink.passed, passed);
	fsmeta_selection_sink_release(&sink);
	fsmeta_selection_release(selection);
}

static void inside_of_what_is_shown(void **state)
{
	struct fsmeta_selection everything = {.types = 0};
	struct fsmeta_selection files = {.types = 1 << FSMETA_TYPE_FILE};
	struct fsmeta_selection named_b = {.names = {.items = {"b"}, .count = 1}};
	struct fsmeta_selection below_b = {.paths = {.items = {"*/b", "*/b/*"}, .count = 2}};
	struct fsmeta_selection removed = {.kinds = 1 << FSMETA_CHANGE_REMOVED};
	struct fsmeta_selection none = {.names = {.items = {"*#*"}, .count = 1}};

	(void)state;
	assert_shown(&everything, "P:a i:a/b i:a/b/c i:a/d P:ab i:ab/b P:z", 7);
	assert_shown(&files, "P:a/b/c P:a/d P:ab/b P:z", 4);
	assert_shown(&named_b, "P:a/b P:ab/b", 2);
	assert_shown(&below_b, "P:a/b i:a/b/c P:ab/b", 3);
	assert_shown(&removed, "P:ab i:ab/b", 2);
	assert_shown(&none, "", 0);
}

/** Conditions about sizes are about files whose size is known, about times likewise. */
static void sizes_and_times_of_entries(void **state)
{
	struct fsmeta_selection large = {.has_larger = true, .larger = 10};
	struct fsmeta_selection small = {.has_smaller = true, .smaller = 12};
	struct fsmeta_selection newer = {.has_newer = true, .newer = {5, 7}};
	struct fsmeta_selection older = {.has_older = true, .older = {5, 9}};
	struct fsmeta_entry entry = {
	    .type = FSMETA_TYPE_FILE,
	    .fields = FSMETA_FIELD_SIZE | FSMETA_FIELD_MTIME,
	    .size = 11,
	    .mtime = {5, 8},
	};

	(void)state;
	assert_int_equal(fsmeta_selection_judge(&large, &entry, NULL), 1);
	assert_int_equal(fsmeta_selection_judge(&small, &entry, NULL), 1);
	assert_int_equal(fsmeta_selection_judge(&newer, &entry, NULL), 1);
	assert_int_equal(fsmeta_selection_judge(&older, &entry, NULL), 1);
	large.larger = 11;
	small.smaller = 11;
	newer.newer.nanoseconds = 8;
	older.older.nanoseconds = 8;
	assert_int_equal(fsmeta_selection_judge(&large, &entry, NULL), 0);
	assert_int_equal(fsmeta_selection_judge(&small, &entry, NULL), 0);
	assert_int_equal(fsmeta_selection_judge(&newer, &entry, NULL), 0);
	assert_int_equal(fsmeta_selection_judge(&older, &entry, NULL), 0);
	large.larger = newer.newer.seconds = 0;
	entry.fields = 0;
	assert_int_equal(fsmeta_selection_judge(&large, &entry, NULL), 0);
	assert_int_equal(fsmeta_selection_judge(&newer, &entry, NULL), 0);
	entry.fields = FSMETA_FIELD_SIZE;
	entry.type = FSMETA_TYPE_FOLDER;
	assert_int_equal(fsmeta_selection_judge(&large, &entry, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sizes),
	    cmocka_unit_test(times),
	    cmocka_unit_test(kinds),
	    cmocka_unit_test(inside_of_what_is_shown),
	    cmocka_unit_test(sizes_and_times_of_entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
