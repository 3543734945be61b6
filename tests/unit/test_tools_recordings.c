/*
 * Recordings by folder: which of them a policy speaks about, and what they are as one stream,
 * against a reference that looks at each moment's neighbours one by one.
 */
#include "test_archive_scratch.h"

#include "archive/piece.h"
#include "tools/archive_recordings.h"

enum {
	SECOND = 1000000,
	ROUNDS = 300,
	RECORDINGS_MAX = 24
};

struct one {
	char path[32];
	bool has_from, has_to;
	int64_t from_us, to_us;
};

static void add(struct fsmeta_recordings *recordings, const struct one *one)
{
	const struct fsmeta_archive_stream stream = {
	    .layout = FSMETA_LAYOUT_RECORDING,
	    .path = one->path,
	    .path_length = strlen(one->path),
	    .has_from = one->has_from,
	    .has_to = one->has_to,
	    .from_us = one->from_us,
	    .to_us = one->to_us,
	};

	assert_int_equal(0, fsmeta_recordings_add(recordings, &stream));
}

static struct fsmeta_policy policy_of(const char *text)
{
	struct fsmeta_policy policy;

	assert_true(fsmeta_policy_parse(&policy, text));
	return policy;
}

static void test_folders_and_patterns(void **state)
{
	static const struct one all[] = {
	    {"rec_1", true, true, 10 * SECOND, 20 * SECOND},
	    {"site/a/rec_1", false, true, 0, 50 * SECOND},
	    /* The folder above goes on behind the one in it. */
	    {"site/rec_2", false, false, 0, 0},
	    {"rec_3", true, true, 60 * SECOND, 90 * SECOND},
	};
	static const struct {
		const char *text;
		/** Recordings of ".", "site", "site/a" that it speaks about; 0 = not at all. */
		uint64_t pieces[3];
	} cases[] = {
	    {"keep 1d", {2, 1, 1}},
	    {"gaps 1d", {2, 0, 0}},
	    {"fresh 1d .", {2, 0, 0}},
	    {"fresh 1d rec_3", {1, 0, 0}},
	    {"keep 1d site*", {0, 1, 1}},
	    {"keep 1d site", {0, 1, 0}},
	    {"keep 1d cam", {0, 0, 0}},
	    {"budget 1GB", {0, 0, 0}},
	};
	static const char *const paths[] = {"", "site", "site/a"};
	struct fsmeta_recordings recordings = {0};
	struct fsmeta_recordings_folder folder = {0};
	struct fsmeta_archive_stream sum;
	size_t folders = 0;

	(void)state;
	fsmeta_recordings_sort(&recordings);
	assert_false(fsmeta_recordings_next(&recordings, &folder));
	for (size_t i = 0; i < 4; i++)
		add(&recordings, &all[i]);
	fsmeta_recordings_sort(&recordings);
	for (; fsmeta_recordings_next(&recordings, &folder); folders++) {
		assert_int_equal(strlen(paths[folders]), folder.path_length);
		assert_memory_equal(paths[folders], folder.path, folder.path_length);
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			struct fsmeta_policy policy = policy_of(cases[i].text);
			bool speaks = fsmeta_recordings_sum(&sum, &recordings, &folder, &policy);

			assert_int_equal(cases[i].pieces[folders], speaks ? sum.pieces : 0);
		}
		assert_true(fsmeta_recordings_sum(&sum, &recordings, &folder, NULL));
		assert_int_equal(folders != 1, sum.has_from);
		assert_int_equal(folders != 1, sum.has_to);
	}
	assert_int_equal(3, folders);
	fsmeta_recordings_release(&recordings);
}

/** The longest pause in front of a begin that is known, behind all that was over by then. */
static int64_t naive_gap(const struct one *all, size_t count, int64_t *at_us)
{
	int64_t longest = 0;

	for (size_t i = 0; i < count; i++) {
		int64_t before = INT64_MIN;

		if (!all[i].has_from)
			continue;
		for (size_t k = 0; k < count; k++) {
			int64_t place = all[k].has_from ? all[k].from_us : all[k].to_us;

			if (k != i && all[k].has_to && place < all[i].from_us &&
			    all[k].to_us > before)
				before = all[k].to_us;
		}
		if (before == INT64_MIN || all[i].from_us - before <= FSMETA_PIECE_GAP_US ||
		    all[i].from_us - before <= longest)
			continue;
		longest = all[i].from_us - before;
		*at_us = before;
	}
	return longest;
}

static void test_sums_against_a_reference(void **state)
{
	(void)state;
	srand(11);
	for (int round = 0; round < ROUNDS; round++) {
		struct one all[RECORDINGS_MAX];
		size_t count = 1 + (size_t)rand() % RECORDINGS_MAX;
		struct fsmeta_recordings recordings = {0};
		struct fsmeta_recordings_folder folder = {0};
		struct fsmeta_archive_stream sum;
		int64_t first = INT64_MAX, last = INT64_MIN, at_us = 0, gap_us;

		for (size_t i = 0; i < count; i++) {
			/* Microseconds keep starts apart. */
			int64_t from = (int64_t)(rand() % 900) * SECOND + (int64_t)i;

			all[i] = (struct one){.has_to = rand() % 8, .from_us = from};
			all[i].to_us = all[i].has_to ? from + (rand() % 60) * SECOND : 0;
			all[i].has_from = all[i].has_to && rand() % 3;
			all[i].from_us = all[i].has_from ? from : 0;
			snprintf(all[i].path, sizeof(all[i].path), "cam/rec_%03zu", i);
			add(&recordings, &all[i]);
			if (all[i].has_to && all[i].to_us < first)
				first = all[i].to_us;
			if (all[i].has_to && all[i].to_us > last)
				last = all[i].to_us;
		}
		fsmeta_recordings_sort(&recordings);
		assert_true(fsmeta_recordings_next(&recordings, &folder));
		fsmeta_recordings_sum(&sum, &recordings, &folder, NULL);
		gap_us = naive_gap(all, count, &at_us);
		assert_int_equal(count, sum.pieces);
		assert_int_equal(last != INT64_MIN, sum.has_to);
		assert_int_equal(sum.has_to ? first : 0, sum.from_us);
		assert_int_equal(sum.has_to ? last : 0, sum.to_us);
		assert_int_equal(gap_us, sum.longest_gap_us);
		assert_int_equal(gap_us ? at_us : 0, sum.longest_gap_at_us);
		assert_false(fsmeta_recordings_next(&recordings, &folder));
		fsmeta_recordings_release(&recordings);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_folders_and_patterns),
	    cmocka_unit_test(test_sums_against_a_reference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
