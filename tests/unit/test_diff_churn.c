/* Churn: what is recognised, what is not, and that what is left is told. */
#include "diff/churn.h"
#include "diff/fold.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
	FILES = 1000,
};

struct tree {
	struct fsmeta_batch_source source;
	struct fsmeta_entry before[FILES];
	struct fsmeta_entry after[FILES];
	char paths[FILES][32];
	uint32_t fields[FILES];
};

static struct tree *make_tree(void)
{
	struct tree *tree = calloc(1, sizeof(*tree));

	assert_non_null(tree);
	fsmeta_batch_source_init(&tree->source);
	tree->source.has_totals = true;
	tree->source.totals.entries = FILES + 10;
	tree->source.totals.files = FILES;
	tree->source.totals.folders = 10;
	for (int i = 0; i < FILES; i++) {
		struct fsmeta_entry *entry = &tree->before[i];

		snprintf(tree->paths[i], sizeof(tree->paths[i]), "f%04d", i);
		*entry = (struct fsmeta_entry){.type = FSMETA_TYPE_FILE,
		    .path = tree->paths[i],
		    .path_length = strlen(tree->paths[i]),
		    .fields = FSMETA_FIELDS_ALL,
		    .size = (uint64_t)i,
		    .mtime = {.seconds = 1700000000 + i * 7,
			.nanoseconds = (uint32_t)i * 999999u % 1000000000u},
		    .uid = (uint32_t)i % 3,
		    .gid = 5,
		    .inode = (uint64_t)i};
		tree->after[i] = *entry;
	}
	return tree;
}

/** Hands the tree's modifications through both passes; how many are churn. */
static uint64_t judge(struct tree *tree, struct fsmeta_churn_finding findings[FSMETA_CHURN_RULES])
{
	struct fsmeta_error error = {0};
	struct fsmeta_churn *churn;
	uint64_t explained = 0;
	bool any = false;

	assert_int_equal(fsmeta_churn_new(&churn, &tree->source, &tree->source, &error), 0);
	for (int pass = 0; pass < 2; pass++) {
		for (int i = 0; i < FILES; i++) {
			struct fsmeta_change change = {.kind = FSMETA_CHANGE_MODIFIED,
			    .before = &tree->before[i],
			    .after = &tree->after[i]};
			int code;

			change.fields = fsmeta_entry_differences(
			    change.before, change.after, FSMETA_FIELDS_ALL, NULL, 0);
			if (!change.fields)
				continue;
			if (!pass) {
				assert_int_equal(fsmeta_churn_sink(churn)->change(
						     fsmeta_churn_sink(churn), &change, &error),
				    0);
				continue;
			}
			code = fsmeta_churn_judge(churn, &change, &error);
			assert_true(code >= 0);
			explained += (uint64_t)code;
		}
		if (!pass)
			any = fsmeta_churn_settle(churn);
	}
	assert_int_equal(any, explained > 0);
	for (int rule = 0; rule < FSMETA_CHURN_RULES; rule++)
		findings[rule] = *fsmeta_churn_finding(churn, rule);
	fsmeta_churn_free(churn);
	return explained;
}

static void a_constant_shift_is_one_thing(void **state)
{
	static const int64_t shifts[] = {3600, -3600, 7 * 3600 + 1800, 1, -86400, 12345};
	struct fsmeta_churn_finding findings[FSMETA_CHURN_RULES];

	(void)state;
	for (size_t k = 0; k < sizeof(shifts) / sizeof(shifts[0]); k++) {
		struct tree *tree = make_tree();

		for (int i = 0; i < FILES; i++)
			tree->after[i].mtime.seconds += shifts[k];
		/* One that was written, too. */
		tree->after[17].size++;
		assert_int_equal(judge(tree, findings), FILES - 1);
		assert_int_equal(findings[FSMETA_CHURN_TIMES].count, FILES - 1);
		assert_int_equal(findings[FSMETA_CHURN_TIMES].shift_seconds, shifts[k]);
		assert_int_equal(findings[FSMETA_CHURN_TIMES].shift_nanoseconds, 0);
		assert_false(findings[FSMETA_CHURN_TIMES].is_rounded);
		free(tree);
	}
}

static void fat_rounds_to_two_seconds(void **state)
{
	struct fsmeta_churn_finding findings[FSMETA_CHURN_RULES];

	(void)state;
	for (int direction = 0; direction < 2; direction++) {
		struct tree *tree = make_tree();

		for (int i = 0; i < FILES; i++) {
			struct fsmeta_time *time = &tree->after[i].mtime;

			time->seconds = (time->seconds + direction) / 2 * 2 - 3600;
			time->nanoseconds = 0;
		}
		assert_int_equal(judge(tree, findings), FILES);
		assert_int_equal(findings[FSMETA_CHURN_TIMES].shift_seconds, -3600);
		assert_true(findings[FSMETA_CHURN_TIMES].is_rounded);
		free(tree);
	}
}

static void what_is_not_nearly_all_is_told(void **state)
{
	struct fsmeta_churn_finding findings[FSMETA_CHURN_RULES];
	struct tree *tree = make_tree();

	(void)state;
	for (int i = 0; i < FILES * 8 / 10; i++)
		tree->after[i].mtime.seconds += 3600;
	assert_int_equal(judge(tree, findings), 0);
	/* And every time by another shift is no shift. */
	for (int i = 0; i < FILES; i++)
		tree->after[i].mtime.seconds = tree->before[i].mtime.seconds + 100 + i;
	assert_int_equal(judge(tree, findings), 0);
	free(tree);
}

static void owners_are_mapped_one_for_one(void **state)
{
	struct fsmeta_churn_finding findings[FSMETA_CHURN_RULES];
	struct tree *tree = make_tree();

	(void)state;
	for (int i = 0; i < FILES; i++) {
		tree->after[i].uid += 1000;
		tree->after[i].ctime.seconds = 1800000000;
	}
	assert_int_equal(judge(tree, findings), FILES);
	assert_int_equal(findings[FSMETA_CHURN_OWNERS].count, FILES);
	/* Where one owner became two, that owner's files are told. */
	tree->after[0].uid = 7;
	assert_int_equal(judge(tree, findings), FILES - (FILES + 2) / 3);
	free(tree);
}

static void inodes_are_renumbered_and_times_shifted_at_once(void **state)
{
	struct fsmeta_churn_finding findings[FSMETA_CHURN_RULES];
	struct tree *tree = make_tree();

	(void)state;
	for (int i = 0; i < FILES; i++) {
		tree->after[i].inode += 77;
		tree->after[i].mtime.seconds += 3600;
	}
	tree->after[3].mode = 0600;
	assert_int_equal(judge(tree, findings), FILES - 1);
	assert_int_equal(findings[FSMETA_CHURN_NUMBERS].count, FILES - 1);
	assert_int_equal(findings[FSMETA_CHURN_TIMES].count, FILES - 1);
	free(tree);
}

static void names_that_look_alike(void **state)
{
	static const char composed[] = "caf\xc3\xa9/\xc3\x84.mp4";
	static const char decomposed[] = "cafe\xcc\x81/A\xcc\x88.mp4";
	static const char small[] = "caf\xc3\xa9/\xc3\xa4.mp4";
	static const char broken[] = "caf\xc3/x";

	(void)state;
	assert_int_equal(
	    fsmeta_folds_alike(composed, sizeof(composed), decomposed, sizeof(decomposed), false),
	    1);
	assert_int_equal(
	    fsmeta_folds_alike(composed, sizeof(composed), small, sizeof(small), false), 0);
	assert_int_equal(
	    fsmeta_folds_alike(decomposed, sizeof(decomposed), small, sizeof(small), true), 1);
	assert_int_equal(
	    fsmeta_folds_alike(broken, sizeof(broken), broken, sizeof(broken), true), 1);
	assert_int_equal(
	    fsmeta_folds_alike(broken, sizeof(broken), composed, sizeof(composed), true), 0);
	assert_int_equal(fsmeta_folds_alike("", 0, "", 0, true), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_constant_shift_is_one_thing),
	    cmocka_unit_test(fat_rounds_to_two_seconds),
	    cmocka_unit_test(what_is_not_nearly_all_is_told),
	    cmocka_unit_test(owners_are_mapped_one_for_one),
	    cmocka_unit_test(inodes_are_renumbered_and_times_shifted_at_once),
	    cmocka_unit_test(names_that_look_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
