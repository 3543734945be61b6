/*
 * Which scans a database takes for scans of its source, and which names it keeps.
 */
#include "test_db_file.h"

#include <inttypes.h>
#include <stdbool.h>
#include <unistd.h>

static char folder[64];
static char path[96];

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/fsmeta-identity-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/a.db", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

/** Names of a scan, NULL behind the last; the first is its id, "" = it has none. */
struct names {
	const char *names[4];
};

static void name_scan(struct fsmeta_batch_source *source, const struct names *names)
{
	source->source_id = NULL;
	source->source_aliases.count = 0;
	for (size_t i = 0; i < 4 && names->names[i]; i++) {
		if (i == 0 && *names->names[i])
			assert_int_equal(
			    fsmeta_batch_source_set(source, &source->source_id, names->names[i]),
			    0);
		else if (i > 0)
			assert_int_equal(fsmeta_batch_source_add_alias(source, names->names[i]), 0);
	}
}

/** Writes generation `number`: the root alone.  0 or a code. */
static int scan(uint64_t number, const struct names *names)
{
	struct fsmeta_batch_source source;
	struct fsmeta_db_update *update;
	struct fsmeta_db *db;
	int code;

	describe_scan(&source, number);
	name_scan(&source, names);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	error.reason[0] = '\0';
	code = fsmeta_db_update_begin(&update, db, number - 1, &source, &error);
	if (!code) {
		if (number == 1)
			assert_ok(add_entry(update, "", FSMETA_TYPE_FOLDER, 0));
		assert_ok(fsmeta_db_update_commit(update, NULL, &error));
	}
	fsmeta_db_close(db);
	fsmeta_batch_source_release(&source);
	return code;
}

#define PLACE "fs:1-2:archive"
#define OTHER_PLACE "fs:1-2:elsewhere"

static void who_is_who(void **state)
{
	static const struct {
		struct names first, second;
		bool same;
	} cases[] = {
	    /* A marker comes after the first scan, or goes again. */
	    {{{PLACE}}, {{"marker", PLACE}}, true},
	    {{{"marker", PLACE}}, {{PLACE}}, true},
	    /* The tree with its marker goes elsewhere. */
	    {{{"marker", PLACE}}, {{"marker", OTHER_PLACE}}, true},
	    /* Two identities claim one place. */
	    {{{"marker", PLACE}}, {{"another", PLACE}}, false},
	    /* No name in common. */
	    {{{PLACE}}, {{OTHER_PLACE}}, false},
	    {{{PLACE}}, {{"marker", OTHER_PLACE}}, false},
	    {{{PLACE}}, {{"told"}}, false},
	    {{{"told"}}, {{PLACE}}, false},
	    {{{"told"}}, {{""}}, false},
	    /* What a database exports carries all names. */
	    {{{"marker", PLACE}}, {{PLACE, "marker"}}, true},
	    {{{"marker", PLACE}}, {{PLACE, "another"}}, false},
	    {{{"a", "b"}}, {{"c", "b"}}, true},
	    /* Without an id, the place tells that one was given since. */
	    {{{"", "host:m:/x"}}, {{"marker", "host:m:/x"}}, true},
	    {{{"", "host:m:/x"}}, {{"marker", "host:m:/y"}}, false},
	    {{{"marker", "host:m:/x"}}, {{"", "host:m:/x"}}, true},
	    {{{"marker", "host:m:/x"}}, {{"", "host:m:/y"}}, false},
	    {{{"", "host:m:/x"}}, {{"", "host:m:/y"}}, true},
	    {{{""}}, {{""}}, true},
	    {{{"made-up:7"}}, {{""}}, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int code;

		assert_ok(scan(1, &cases[i].first));
		code = scan(2, &cases[i].second);
		if (code != (cases[i].same ? 0 : FSMETA_E_REFUSED))
			fail_msg("case %zu: code %d: %s", i, code, error.reason);
		assert_int_equal(unlink(path), 0);
	}
}

/** The source as the database tells it. */
static void assert_names(const char *id, const struct names *aliases)
{
	struct fsmeta_db_generation generation;
	struct fsmeta_db *db;
	size_t count = 0;

	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error));
	assert_ok(fsmeta_db_generation(db, 1, &generation, &error));
	assert_string_equal(generation.source.source_id, id);
	for (; count < 4 && aliases->names[count]; count++)
		assert_string_equal(
		    generation.source.source_aliases.items[count], aliases->names[count]);
	assert_int_equal(generation.source.source_aliases.count, count);
	fsmeta_db_generation_release(&generation);
	fsmeta_db_close(db);
}

/** The first id stays; what comes later is an alias of every generation. */
static void names_are_kept(void **state)
{
	(void)state;
	assert_ok(scan(1, &(struct names){{PLACE}}));
	assert_names(PLACE, &(struct names){{NULL}});
	assert_ok(scan(2, &(struct names){{"marker", PLACE}}));
	assert_names(PLACE, &(struct names){{"marker"}});
	assert_ok(scan(3, &(struct names){{"marker", OTHER_PLACE}}));
	assert_names(PLACE, &(struct names){{OTHER_PLACE, "marker"}});
	assert_ok(scan(4, &(struct names){{PLACE}}));
	assert_ok(scan(5, &(struct names){{OTHER_PLACE}}));
	assert_names(PLACE, &(struct names){{OTHER_PLACE, "marker"}});
}

/** A refusal names both, and the place that both claim. */
static void refusals_name_both(void **state)
{
	(void)state;
	assert_ok(scan(1, &(struct names){{PLACE}}));
	assert_ok(scan(2, &(struct names){{"marker", PLACE}}));
	assert_int_equal(scan(3, &(struct names){{"another", PLACE}}), FSMETA_E_REFUSED);
	assert_string_equal(error.reason,
	    "this is the database of source \"marker\", the scan is of \"another\"; both claim "
	    "\"" PLACE "\"");
	assert_int_equal(scan(3, &(struct names){{OTHER_PLACE}}), FSMETA_E_REFUSED);
	assert_string_equal(error.reason,
	    "this is the database of source \"" PLACE "\", the scan is of \"" OTHER_PLACE "\"");
	assert_names(PLACE, &(struct names){{"marker"}});
}

/** A tree that is always somewhere else does not fill the database with places. */
static void names_have_a_bound(void **state)
{
	char place[64];

	(void)state;
	assert_ok(scan(1, &(struct names){{"marker", PLACE}}));
	for (uint64_t number = 2; number < FSMETA_SOURCE_ALIASES_MAX + 10; number += 200) {
		struct fsmeta_batch_source source;
		struct fsmeta_db_update *update;
		struct fsmeta_db *db;

		describe_scan(&source, 2 + number / 200);
		name_scan(&source, &(struct names){{"marker"}});
		for (unsigned i = 0; i < 200; i++) {
			snprintf(place, sizeof(place), "fs:1-2:%" PRIu64, number + i);
			assert_int_equal(fsmeta_batch_source_add_alias(&source, place), 0);
		}
		assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
		assert_ok(fsmeta_db_update_begin(&update, db, 1 + number / 200, &source, &error));
		assert_ok(fsmeta_db_update_commit(update, NULL, &error));
		fsmeta_db_close(db);
		fsmeta_batch_source_release(&source);
	}
	assert_ok(scan(8, &(struct names){{"marker", OTHER_PLACE}}));
	assert_ok(scan(9, &(struct names){{PLACE}}));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
	const struct CMUnitTest tests[] = {
	    TEST(who_is_who),
	    TEST(names_are_kept),
	    TEST(refusals_name_both),
	    TEST(names_have_a_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
