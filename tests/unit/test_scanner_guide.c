/* Quick scans as the scanner does them, with a guide that is made from a scan before. */
#include "tests/unit/test_scanner_tree.h"

#include "scanner/filesystem.h"

/* ---- a guide ---------------------------------------------------------------- */

/** What the guide says of a folder. */
enum story {
	STORY_VOUCHES,
	/** Vouches, and knows no inode. */
	STORY_VOUCHES_WITHOUT_INODE,
	/** Vouches if its first files are what they were, and they are. */
	STORY_WITNESSES,
	/* From here on it has to be listed. */
	STORY_NO_WORD,
	STORY_OTHER_MTIME,
	STORY_OTHER_CTIME,
	STORY_OTHER_INODE,
	STORY_OTHER_DEVICE,
	/** Nothing is known of what is in it. */
	STORY_NAME_ALONE,
	/** Vouches, but one witness more is not what it was, in one way or another. */
	STORY_OTHER_WITNESS,
	STORIES
};

struct fake {
	struct fsmeta_guide guide;
	struct fsmeta_batch_source source;
	/** A scan; ids are indices + 1. */
	const struct seen *seen;
	enum story *stories;
	/** Every call fails. */
	bool fails;
	/** A folder that is not on the disk, behind all others in the root; NULL = none. */
	const char *ghost;
};

static struct fsmeta_digest token_of(size_t index)
{
	return (struct fsmeta_digest){.low = index + 1, .high = 77};
}

static bool lies_in(const struct fsmeta_entry *entry, const struct fsmeta_entry *folder)
{
	return entry->depth == folder->depth + 1 &&
	       (!folder->path_length || (!strncmp(entry->path, folder->path, folder->path_length) &&
					    entry->path[folder->path_length] == '/'));
}

static bool is_child(const struct fsmeta_entry *entry, const struct fsmeta_entry *folder)
{
	return entry->type == FSMETA_TYPE_FOLDER && lies_in(entry, folder);
}

static int tell(const struct fake *fake, size_t index, fsmeta_guide_take *take, void *payload)
{
	const struct fsmeta_entry *entry = &fake->seen->entries[index];
	enum story story = fake->stories[index];
	struct fsmeta_guide_folder folder = {
	    .name = entry->name,
	    .name_length = entry->name_length,
	    .id = story == STORY_NAME_ALONE ? 0 : index + 1,
	    .files_known = story != STORY_NO_WORD && story != STORY_NAME_ALONE,
	    .fields = FSMETA_FIELD_MTIME | FSMETA_FIELD_CTIME,
	    .device = story == STORY_OTHER_DEVICE ? 5 : (uint32_t)FSMETA_DEVICE_NONE,
	    .inode = entry->inode + (story == STORY_OTHER_INODE),
	    .mtime = entry->mtime,
	    .ctime = entry->ctime,
	    .token = token_of(index),
	};

	if (story != STORY_VOUCHES_WITHOUT_INODE)
		folder.fields |= FSMETA_FIELD_INODE;
	else
		folder.inode = 0;
	folder.mtime.nanoseconds ^= story == STORY_OTHER_MTIME;
	folder.ctime.nanoseconds ^= story == STORY_OTHER_CTIME;
	return take(payload, &folder);
}

static int fake_folders(struct fsmeta_guide *guide, uint64_t id, const char *first,
    size_t first_length, const char *last, size_t last_length, fsmeta_guide_take *take,
    void *payload, struct fsmeta_error *error)
{
	const struct fake *fake = (const struct fake *)guide;
	int code = 0;

	(void)error;
	if (fake->fails)
		return FSMETA_E_CORRUPT;
	if (!id)
		return tell(fake, 0, take, payload);
	for (size_t i = 0; i < fake->seen->count && code == 0; i++) {
		const struct fsmeta_entry *entry = &fake->seen->entries[i];

		if (!is_child(entry, &fake->seen->entries[id - 1]))
			continue;
		if (first && (fsmeta_name_compare(
				  entry->name, entry->name_length, first, first_length) < 0 ||
				 fsmeta_name_compare(
				     entry->name, entry->name_length, last, last_length) > 0))
			continue;
		code = tell(fake, i, take, payload);
	}
	if (code == 0 && id == 1 && fake->ghost && !first)
		code = take(payload, &(struct fsmeta_guide_folder){
					 .name = fake->ghost, .name_length = strlen(fake->ghost)});
	return code;
}

/** In which way a witness is not what it was. */
enum witness_change {
	WITNESS_SAME,
	WITNESS_OTHER_SIZE,
	WITNESS_OTHER_MTIME,
	WITNESS_OTHER_CTIME,
	WITNESS_OTHER_INODE,
	WITNESS_OTHER_TYPE,
	WITNESS_GONE,
	WITNESS_CHANGES
};

static int tell_witness(const struct fsmeta_entry *entry, enum witness_change change,
    fsmeta_guide_take_file *take, void *payload)
{
	struct fsmeta_guide_file file = {
	    .name = change == WITNESS_GONE ? "not there" : entry->name,
	    .name_length = change == WITNESS_GONE ? 9 : entry->name_length,
	    .type = change == WITNESS_OTHER_TYPE ? FSMETA_TYPE_SYMLINK : entry->type,
	    .fields = entry->fields,
	    .inode = entry->inode + (change == WITNESS_OTHER_INODE),
	    .size = entry->size + (change == WITNESS_OTHER_SIZE),
	    .mtime = entry->mtime,
	    .ctime = entry->ctime,
	};

	file.mtime.nanoseconds ^= change == WITNESS_OTHER_MTIME;
	file.ctime.seconds += change == WITNESS_OTHER_CTIME;
	return take(payload, &file);
}

static int fake_witnesses(struct fsmeta_guide *guide, uint64_t id, fsmeta_guide_take_file *take,
    void *payload, struct fsmeta_error *error)
{
	const struct fake *fake = (const struct fake *)guide;
	const struct fsmeta_entry *folder = &fake->seen->entries[id - 1], *found = folder;
	enum story story = fake->stories[id - 1];
	enum witness_change change = WITNESS_GONE;
	unsigned told = 0;
	int code = 0;

	(void)error;
	if (fake->fails)
		return FSMETA_E_CORRUPT;
	if (story != STORY_WITNESSES && story != STORY_OTHER_WITNESS)
		return 0;
	for (size_t i = id; i < fake->seen->count && code == 0; i++) {
		const struct fsmeta_entry *entry = &fake->seen->entries[i];

		if (entry->type == FSMETA_TYPE_FOLDER || !lies_in(entry, folder))
			continue;
		if (++told == FSMETA_GUIDE_WITNESSES_MAX)
			break;
		found = entry;
		code = tell_witness(entry, WITNESS_SAME, take, payload);
	}
	if (found != folder)
		change = WITNESS_OTHER_SIZE + id % (WITNESS_CHANGES - WITNESS_OTHER_SIZE);
	if (story == STORY_OTHER_WITNESS && code == 0)
		code = tell_witness(found, change, take, payload);
	return code;
}

static const struct fsmeta_guide_operations fake_operations = {
    .folders = fake_folders, .witnesses = fake_witnesses};

/** Says STORY_VOUCHES of everything. */
static void fake_init(struct fake *fake, const struct seen *seen)
{
	*fake = (struct fake){.guide = {.operations = &fake_operations}, .seen = seen};
	fsmeta_batch_source_init(&fake->source);
	fake->guide.source = &fake->source;
	fake->stories = calloc(seen->count, sizeof(*fake->stories));
	assert_non_null(fake->stories);
}

static void fake_release(struct fake *fake)
{
	fsmeta_batch_source_release(&fake->source);
	free(fake->stories);
}

/* ---- trees ------------------------------------------------------------------ */

static uint32_t random_below(uint32_t bound)
{
	static uint64_t random_state = 88172645463325252;

	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 32) % bound);
}

/** Folders and files by turns, so that neither come in one piece; one folder is large. */
static void grow(const struct tree *tree, const char *path, unsigned depth)
{
	uint32_t children = depth == 2 && !random_below(3) ? 600 : random_below(9);
	char name[PATH_MAX];

	for (uint32_t i = 0; i < children; i++) {
		bool is_folder = depth > 0 && random_below(2) && children < 100;

		is_folder |= children >= 100 && random_below(2);
		snprintf(name, sizeof(name), "%s%s%03u", path, *path ? "/" : "", i);
		if (!is_folder) {
			make_file(tree, name, "x");
			continue;
		}
		make_folder(tree, name);
		if (depth > 0)
			grow(tree, name, children >= 100 ? 0 : depth - 1);
	}
}

static bool vouches(enum story story)
{
	return story < STORY_NO_WORD;
}

/** True where the guide was asked about the folder: it knows all folders above. */
static bool is_told(const struct fake *fake, const struct fsmeta_entry *folder)
{
	for (size_t i = 0; i < fake->seen->count; i++) {
		const struct fsmeta_entry *above = &fake->seen->entries[i];

		if (above->type == FSMETA_TYPE_FOLDER && above->depth < folder->depth &&
		    fake->stories[i] == STORY_NAME_ALONE &&
		    (!above->path_length ||
			(!strncmp(above->path, folder->path, above->path_length) &&
			    folder->path[above->path_length] == '/')))
			return false;
	}
	return true;
}

/** Takes the run of a folder if it is offered as it has to be, and `take`. */
static bool step_over(
    struct fsmeta_cursor *cursor, const struct fake *fake, size_t index, bool take)
{
	const struct fsmeta_entry *folder = &fake->seen->entries[index];
	bool expected = vouches(fake->stories[index]) && is_told(fake, folder);
	struct fsmeta_run run;

	assert_int_equal(fsmeta_cursor_run(cursor, FSMETA_RUN_SUBTREE, &run, NULL), 0);
	assert_int_equal(fsmeta_cursor_run(cursor, FSMETA_RUN_BATCH, &run, NULL), 0);
	assert_int_equal(fsmeta_cursor_run(cursor, FSMETA_RUN_FILES, &run, NULL), expected);
	if (!expected || !take)
		return false;
	assert_true(fsmeta_digest_equal(run.token, token_of(index)));
	assert_int_equal(fsmeta_cursor_step(cursor, &run, NULL), 0);
	assert_int_equal(fsmeta_cursor_run(cursor, FSMETA_RUN_FILES, &run, NULL), 0);
	return true;
}

/** The folder that holds an entry. */
static size_t parent_of(const struct seen *seen, size_t index)
{
	uint32_t depth = seen->entries[index].depth;

	while (seen->entries[index].depth >= depth)
		index--;
	return index;
}

/**
 * Scans with the guide, steps over so many per cent of the runs that are offered, and
 * expects everything else as it is without a guide.
 */
static void check_guided(const struct tree *tree, struct fake *fake, uint32_t percent)
{
	const struct fsmeta_scan_options options = {.guide = &fake->guide};
	struct fsmeta_cursor *cursor = open_scan(tree->path, &options);
	const struct seen *seen = fake->seen;
	bool *stepped = calloc(seen->count, sizeof(*stepped));
	const struct fsmeta_entry *entry;

	assert_true(cursor->source->quick);
	for (size_t i = 0; i < seen->count; i++) {
		const struct fsmeta_entry *wanted = &seen->entries[i];

		if (i > 0 && wanted->type != FSMETA_TYPE_FOLDER && stepped[parent_of(seen, i)])
			continue;
		entry = expect_next(cursor, wanted->path);
		assert_int_equal(entry->type, wanted->type);
		assert_int_equal(fsmeta_entry_differences(wanted, entry,
				     FSMETA_FIELDS_ALL | FSMETA_FIELD_FLAGS, NULL, 0),
		    0);
		if (entry->type == FSMETA_TYPE_FOLDER)
			stepped[i] = step_over(cursor, fake, i, random_below(100) < percent);
	}
	expect_end(cursor);
	fsmeta_cursor_close(cursor);
	free(stepped);
}

static void random_stories(void **state)
{
	static const uint32_t percents[] = {100, 0, 50, 90};

	(void)state;
	for (unsigned seed = 0; seed < 6; seed++) {
		struct tree tree = tree_new_in_memory();
		struct seen seen;
		struct fake fake;

		grow(&tree, "", 3);
		seen = scan_all(tree.path, NULL);
		fake_init(&fake, &seen);
		for (unsigned round = 0; round < 4; round++) {
			check_guided(&tree, &fake, percents[round]);
			for (size_t i = 0; i < seen.count; i++)
				fake.stories[i] =
				    random_below(2) ? STORY_VOUCHES : random_below(STORIES);
			check_guided(&tree, &fake, percents[round]);
		}
		fake_release(&fake);
		seen_release(&seen);
		tree_free(&tree);
	}
}

/* ---- single cases ------------------------------------------------------------- */

/** a/{f,g}, b/c/h, z */
static struct tree small_tree(struct seen *seen)
{
	struct tree tree = tree_new();

	make_folder(&tree, "a");
	make_file(&tree, "a/f", "1");
	make_file(&tree, "a/g", "2");
	make_folder(&tree, "b");
	make_folder(&tree, "b/c");
	make_file(&tree, "b/c/h", "3");
	make_file(&tree, "z", "4");
	*seen = scan_all(tree.path, NULL);
	return tree;
}

static void expect_step(struct fsmeta_cursor *cursor)
{
	struct fsmeta_run run;

	assert_int_equal(fsmeta_cursor_run(cursor, FSMETA_RUN_FILES, &run, NULL), 1);
	assert_int_equal(fsmeta_cursor_step(cursor, &run, NULL), 0);
}

static void a_change_is_seen(void **state)
{
	struct seen seen;
	struct tree tree = small_tree(&seen);
	struct fake fake;
	const struct fsmeta_scan_options options = {.guide = &fake.guide};
	struct fsmeta_cursor *cursor;

	(void)state;
	fake_init(&fake, &seen);
	make_file(&tree, "b/c/new", "5");
	cursor = open_scan(tree.path, &options);
	expect_next(cursor, "");
	expect_step(cursor);
	expect_next(cursor, "a");
	expect_step(cursor);
	expect_next(cursor, "b");
	expect_step(cursor);
	expect_next(cursor, "b/c");
	expect_next(cursor, "b/c/h");
	expect_next(cursor, "b/c/new");
	expect_end(cursor);
	fsmeta_cursor_close(cursor);
	fake_release(&fake);
	seen_release(&seen);
	tree_free(&tree);
}

/** A file's folder does not notice, and who wrote to it put its mtime back. */
static void append_secretly(const struct tree *tree, const char *path)
{
	struct stat st;
	int fd = openat(tree->fd, path, O_WRONLY | O_APPEND | O_CLOEXEC);

	must(fd >= 0 && fstat(fd, &st) == 0 && write(fd, "more", 4) == 4);
	must(futimens(fd, (const struct timespec[]){st.st_atim, st.st_mtim}) == 0);
	close(fd);
}

static void a_witness_that_grew_is_seen(void **state)
{
	struct seen seen;
	struct tree tree = small_tree(&seen);
	struct fake fake;
	const struct fsmeta_scan_options options = {.guide = &fake.guide};
	struct fsmeta_cursor *cursor;
	struct fsmeta_run run;

	(void)state;
	fake_init(&fake, &seen);
	for (size_t i = 0; i < seen.count; i++)
		fake.stories[i] = STORY_WITNESSES;
	append_secretly(&tree, "a/g");
	cursor = open_scan(tree.path, &options);
	expect_next(cursor, "");
	expect_step(cursor);
	expect_next(cursor, "a");
	assert_int_equal(fsmeta_cursor_run(cursor, FSMETA_RUN_FILES, &run, NULL), 0);
	expect_next(cursor, "a/f");
	assert_int_equal(expect_next(cursor, "a/g")->size, 5);
	expect_next(cursor, "b");
	expect_step(cursor);
	expect_next(cursor, "b/c");
	expect_step(cursor);
	expect_end(cursor);
	fsmeta_cursor_close(cursor);
	fake_release(&fake);
	seen_release(&seen);
	tree_free(&tree);
}

static void a_folder_that_holds_something_hidden_is_listed(void **state)
{
	struct seen seen;
	struct tree tree = small_tree(&seen);
	struct fake fake;
	struct stat st;
	struct fsmeta_scan_hidden hidden = {.name = "g*"};
	const struct fsmeta_scan_options options = {
	    .guide = &fake.guide, .hidden = &hidden, .hidden_count = 1};
	struct fsmeta_cursor *cursor;
	struct fsmeta_run run;

	(void)state;
	must(fstatat(tree.fd, "a", &st, 0) == 0);
	hidden.folder_device = st.st_dev;
	hidden.folder_inode = st.st_ino;
	fake_init(&fake, &seen);
	cursor = open_scan(tree.path, &options);
	expect_next(cursor, "");
	expect_step(cursor);
	expect_next(cursor, "a");
	assert_int_equal(fsmeta_cursor_run(cursor, FSMETA_RUN_FILES, &run, NULL), 0);
	expect_next(cursor, "a/f");
	expect_next(cursor, "b");
	fsmeta_cursor_close(cursor);
	fake_release(&fake);
	seen_release(&seen);
	tree_free(&tree);
}

static void skipping(void **state)
{
	struct seen seen;
	struct tree tree = small_tree(&seen);
	struct fake fake;
	const struct fsmeta_scan_options options = {.guide = &fake.guide};
	struct fsmeta_cursor *cursor;

	(void)state;
	fake_init(&fake, &seen);
	cursor = open_scan(tree.path, &options);
	expect_next(cursor, "");
	expect_next(cursor, "a");
	assert_int_equal(fsmeta_cursor_skip(cursor, 2, NULL), 0);
	expect_next(cursor, "b");
	expect_step(cursor);
	assert_int_equal(fsmeta_cursor_skip(cursor, 2, NULL), 0);
	expect_next(cursor, "z"); /* nobody stepped over the files of the root */
	expect_end(cursor);
	fsmeta_cursor_close(cursor);
	fake_release(&fake);
	seen_release(&seen);
	tree_free(&tree);
}

static void what_is_gone_is_never_told_as_empty(void **state)
{
	struct seen seen;
	struct tree tree = small_tree(&seen);
	struct fake fake;
	const struct fsmeta_scan_options options = {.guide = &fake.guide};
	const struct fsmeta_entry *entry;
	struct fsmeta_error error = {0};
	struct fsmeta_cursor *cursor;

	(void)state;
	fake_init(&fake, &seen);
	cursor = open_scan(tree.path, &options);
	expect_next(cursor, "");
	expect_step(cursor);
	expect_next(cursor, "a");
	must(unlinkat(tree.fd, "a/f", 0) == 0);
	must(unlinkat(tree.fd, "a/g", 0) == 0);
	must(unlinkat(tree.fd, "a", AT_REMOVEDIR) == 0);
	assert_int_equal(fsmeta_cursor_next(cursor, &entry, &error), FSMETA_E_SYSTEM);
	assert_string_equal(error.path, "a");
	fsmeta_cursor_close(cursor);
	fake_release(&fake);
	seen_release(&seen);
	tree_free(&tree);
}

static void a_guide_that_is_wrong_or_fails(void **state)
{
	struct seen seen;
	struct tree tree = small_tree(&seen);
	struct fake fake;
	const struct fsmeta_scan_options options = {.guide = &fake.guide};
	struct fsmeta_cursor *cursor;
	struct seen again;

	(void)state;
	fake_init(&fake, &seen);
	fake.ghost = "y";
	cursor = open_scan(tree.path, &options);
	expect_next(cursor, "");
	expect_step(cursor);
	expect_next(cursor, "a");
	expect_step(cursor);
	expect_next(cursor, "b");
	assert_int_equal(fsmeta_cursor_skip(cursor, 2, NULL), 0);
	expect_end(cursor);
	fsmeta_cursor_close(cursor);
	fake.ghost = NULL;
	fake.fails = true;
	again = scan_all(tree.path, &options);
	assert_int_equal(again.count, seen.count);
	fake_release(&fake);
	seen_release(&again);
	seen_release(&seen);
	tree_free(&tree);
}

static void owners_stay_known(void **state)
{
	struct seen seen;
	struct tree tree = small_tree(&seen);
	struct fake fake;
	const struct fsmeta_scan_options options = {.guide = &fake.guide};
	struct fsmeta_cursor *cursor;
	size_t found = 0;

	(void)state;
	fake_init(&fake, &seen);
	assert_int_equal(fsmeta_batch_source_add_owner(&fake.source, false, 4242, "camera"), 0);
	assert_int_equal(fsmeta_batch_source_add_owner(&fake.source, true, 4343, "crew"), 0);
	cursor = open_scan(tree.path, &options);
	assert_int_equal(fsmeta_cursor_skip(cursor, 0, NULL), 0);
	expect_end(cursor);
	for (size_t i = 0; i < cursor->source->owner_count; i++)
		found += cursor->source->owners[i].id == 4242 &&
			 !strcmp(cursor->source->owners[i].name, "camera");
	for (size_t i = 0; i < cursor->source->group_count; i++)
		found += cursor->source->groups[i].id == 4343 &&
			 !strcmp(cursor->source->groups[i].name, "crew");
	assert_int_equal(found, 2);
	fsmeta_cursor_close(cursor);
	fake_release(&fake);
	seen_release(&seen);
	tree_free(&tree);
}

static void what_open_refuses(void **state)
{
	struct seen seen;
	struct tree tree = small_tree(&seen);
	struct fake fake;
	const char *subtree = "a";
	const struct fsmeta_scan_options options = {
	    .guide = &fake.guide, .subtrees = &subtree, .subtree_count = 1};
	struct fsmeta_error error;
	struct fsmeta_cursor *cursor;

	(void)state;
	fake_init(&fake, &seen);
	assert_int_equal(fsmeta_scan_open(&cursor, tree.path, &options, &error), FSMETA_E_USAGE);
	fake_release(&fake);
	seen_release(&seen);
	tree_free(&tree);
}

/** /proc is of a type that nobody knows, and its folders keep no times. */
static void file_systems_that_are_not_believed(void **state)
{
	static const char *const good[] = {"ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay"};
	static const char *const bad[] = {
	    "vfat", "exfat", "nfs4", "cifs", "fuse.sshfs", "fuseblk", "9p", "virtiofs", "proc", ""};
	struct seen seen;
	struct tree tree = small_tree(&seen);
	struct fake fake;
	struct fsmeta_scan_options options = {.guide = &fake.guide};
	struct fsmeta_error error;
	struct fsmeta_cursor *cursor;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(fsmeta_filesystem_type_dates_folders(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(fsmeta_filesystem_type_dates_folders(bad[i]));
	fake_init(&fake, &seen);
	assert_int_equal(
	    fsmeta_scan_open(&cursor, "/proc/self", &options, &error), FSMETA_E_REFUSED);
	assert_non_null(strstr(error.reason, "--force-quick"));
	options.force_quick = true;
	cursor = open_scan("/proc/self", &options);
	expect_next(cursor, "");
	fsmeta_cursor_close(cursor);
	fake_release(&fake);
	seen_release(&seen);
	tree_free(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(random_stories),
	    cmocka_unit_test(a_change_is_seen),
	    cmocka_unit_test(a_witness_that_grew_is_seen),
	    cmocka_unit_test(a_folder_that_holds_something_hidden_is_listed),
	    cmocka_unit_test(skipping),
	    cmocka_unit_test(what_is_gone_is_never_told_as_empty),
	    cmocka_unit_test(a_guide_that_is_wrong_or_fails),
	    cmocka_unit_test(owners_stay_known),
	    cmocka_unit_test(what_open_refuses),
	    cmocka_unit_test(file_systems_that_are_not_believed),
	};

	return RUN_WITH_THREADS(tests);
}
