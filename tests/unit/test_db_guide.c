/*
 * What the newest generation vouches for, that its cursor offers the same tokens, and which
 * files are witnesses.
 */
#include "db/guide.h"

#include <sqlite3.h>

/* Behind what has parameters of the same name as its `error`. */
#include "tests/unit/test_db_file.h"

enum {
	/** When generation 1 started, s; each later one 1,000 s after the one before. */
	STARTED = 1700000000,
	INTERVAL = 1000,
	/** Each takes so long. */
	TAKES = 10,
	/** A time that is settled in every test. */
	OLD = 1600000000,
};

static char path[64];

/* ---- generations ---------------------------------------------------------------- */

struct writer {
	struct fsmeta_db *db;
	struct fsmeta_db_update *update;
	struct fsmeta_batch_source source;
};

static void begin(struct writer *writer, uint64_t number)
{
	describe_scan(&writer->source, 1);
	writer->source.field_mask = FSMETA_FIELDS_CORE | FSMETA_FIELD_CTIME | FSMETA_FIELD_INODE;
	writer->source.started.seconds = (int64_t)(STARTED + INTERVAL * (number - 1));
	writer->source.finished.seconds = writer->source.started.seconds + TAKES;
	assert_ok(fsmeta_db_open(&writer->db, path, FSMETA_DB_WRITE, &error));
	assert_ok(fsmeta_db_update_begin(
	    &writer->update, writer->db, number - 1, &writer->source, &error));
}

static void end(struct writer *writer)
{
	assert_ok(fsmeta_db_update_commit(writer->update, NULL, &error));
	fsmeta_db_close(writer->db);
	fsmeta_batch_source_release(&writer->source);
}

static struct fsmeta_entry at_time(
    const char *name, enum fsmeta_type type, int64_t seconds, uint32_t nanoseconds)
{
	struct fsmeta_entry entry = make_entry(name, type, 1);

	entry.fields |= FSMETA_FIELD_CTIME | FSMETA_FIELD_INODE;
	entry.inode = 100 + strlen(name);
	entry.mtime = entry.ctime =
	    (struct fsmeta_time){.seconds = seconds, .nanoseconds = nanoseconds};
	return entry;
}

static void change(struct writer *writer, enum fsmeta_change_kind kind,
    const struct fsmeta_entry *entry, uint32_t flags)
{
	struct fsmeta_change_sink *sink = fsmeta_db_update_sink(writer->update);
	const struct fsmeta_change item = {.kind = kind,
	    .flags = flags,
	    .before = kind == FSMETA_CHANGE_ADDED ? NULL : entry,
	    .after = entry,
	    .fields = kind == FSMETA_CHANGE_MODIFIED ? FSMETA_FIELD_MTIME : 0};

	assert_ok(sink->change(sink, &item, &error));
}

static void add(struct writer *writer, const char *name, enum fsmeta_type type, int64_t seconds,
    uint32_t nanoseconds, uint32_t flags)
{
	struct fsmeta_entry entry = at_time(name, type, seconds, nanoseconds);

	change(writer, FSMETA_CHANGE_ADDED, &entry, flags);
}

/** Old folders a, b and c, with an old file in each. */
static void first_generation(void)
{
	struct writer writer;

	begin(&writer, 1);
	add(&writer, "", FSMETA_TYPE_FOLDER, OLD, 0, 0);
	for (const char *name = "abc"; *name; name++) {
		const char folder[] = {*name, 0}, file[] = {*name, '/', 'f', 0};

		add(&writer, folder, FSMETA_TYPE_FOLDER, OLD, 0, 0);
		add(&writer, file, FSMETA_TYPE_FILE, OLD, 0, 0);
	}
	end(&writer);
}

static void nothing_happens(uint64_t number)
{
	struct writer writer;

	begin(&writer, number);
	end(&writer);
}

/* ---- what the guide says --------------------------------------------------------- */

struct told {
	char names[8][16];
	struct fsmeta_guide_folder folders[8];
	size_t count;
};

static int take(void *payload, const struct fsmeta_guide_folder *folder)
{
	struct told *told = payload;

	assert_true(told->count < 8 && folder->name_length < 16);
	memcpy(told->names[told->count], folder->name, folder->name_length);
	told->folders[told->count++] = *folder;
	return 0;
}

static struct told ask(struct fsmeta_guide *guide, uint64_t id, const char *first, const char *last)
{
	struct told told = {0};

	assert_ok(fsmeta_guide_folders(guide, id, first, first ? strlen(first) : 0, last,
	    last ? strlen(last) : 0, take, &told, &error));
	return told;
}

/** Names of the root's folders whose files are known, in order; "." for the root's own. */
static void expect_known(uint64_t number, uint64_t settle, const char *expected)
{
	struct fsmeta_guide *guide;
	struct fsmeta_db *db;
	struct told root, told;
	char known[64] = "";

	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error));
	assert_ok(fsmeta_db_guide(&guide, db, number, settle, NULL, &error));
	root = ask(guide, 0, NULL, NULL);
	assert_int_equal(root.count, 1);
	if (root.folders[0].files_known)
		strcat(known, ".");
	told = ask(guide, root.folders[0].id, NULL, NULL);
	for (size_t i = 0; i < told.count; i++)
		if (told.folders[i].files_known)
			strcat(known, told.names[i]);
	assert_string_equal(known, expected);
	fsmeta_guide_close(guide);
	fsmeta_db_close(db);
}

static void execute(const char *sql)
{
	sqlite3 *raw;

	assert_int_equal(sqlite3_open(path, &raw), SQLITE_OK);
	assert_int_equal(sqlite3_exec(raw, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(raw);
}

/* ---- witnesses ---------------------------------------------------------------------- */

/** "3_p…" is of piece 3 of layout p, "3_q…" of another layout; whatever else is no piece. */
static bool recognise(struct fsmeta_guide_piece *out, const char *name, size_t length)
{
	if (length < 3 || name[1] != '_' || (name[2] != 'p' && name[2] != 'q'))
		return false;
	*out = (struct fsmeta_guide_piece){.layout = (unsigned char)name[2], .start = name[0]};
	return true;
}

struct witnesses {
	/** Each with a space behind it, in the order in which they came. */
	char names[256];
	struct fsmeta_guide_file last;
	unsigned count;
};

static int take_file(void *payload, const struct fsmeta_guide_file *file)
{
	struct witnesses *witnesses = payload;

	strncat(witnesses->names, file->name, file->name_length);
	strcat(witnesses->names, " ");
	witnesses->last = *file;
	witnesses->count++;
	return 0;
}

static struct witnesses ask_witnesses(struct fsmeta_guide *guide, uint64_t id)
{
	struct witnesses witnesses = {.names = ""};

	assert_ok(fsmeta_guide_witnesses(guide, id, take_file, &witnesses, &error));
	return witnesses;
}

/** Of the root. */
static void expect_witnesses(
    uint64_t number, fsmeta_guide_recognise *recognise_by, const char *expected)
{
	struct fsmeta_guide *guide;
	struct fsmeta_db *db;
	uint64_t root;

	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error));
	assert_ok(fsmeta_db_guide(&guide, db, number, 900, recognise_by, &error));
	root = ask(guide, 0, NULL, NULL).folders[0].id;
	assert_string_equal(ask_witnesses(guide, root).names, expected);
	assert_int_equal(ask_witnesses(guide, root + 1000).count, 0);
	fsmeta_guide_close(guide);
	fsmeta_db_close(db);
}

/** A first generation of files in the root alone; in order, up to NULL. */
static void generation_of_files(const char *const *names)
{
	struct writer writer;

	begin(&writer, 1);
	add(&writer, "", FSMETA_TYPE_FOLDER, OLD, 0, 0);
	for (; *names; names++)
		add(&writer, *names, FSMETA_TYPE_FILE, OLD, 0, 0);
	end(&writer);
}

/* ---- tests ------------------------------------------------------------------------ */

static int new_database(void **state)
{
	(void)state;
	snprintf(path, sizeof(path), "/tmp/fsmeta-guide-XXXXXX");
	if (!mkdtemp(path))
		return -1;
	strcat(path, "/db");
	return 0;
}

static int remove_database(void **state)
{
	(void)state;
	unlink(path);
	*strrchr(path, '/') = '\0';
	return rmdir(path);
}

static void it_tells_folders(void **state)
{
	struct fsmeta_guide *guide;
	struct fsmeta_db *db;
	struct told root, told;

	(void)state;
	first_generation();
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error));
	assert_ok(fsmeta_db_guide(&guide, db, 1, 900, NULL, &error));
	root = ask(guide, 0, NULL, NULL);
	assert_int_equal(root.count, 1);
	assert_string_equal(root.names[0], "");
	told = ask(guide, root.folders[0].id, NULL, NULL);
	assert_int_equal(told.count, 3);
	assert_string_equal(told.names[1], "b");
	assert_int_equal(told.folders[1].inode, 101);
	assert_int_equal(told.folders[1].ctime.seconds, OLD);
	assert_int_equal(told.folders[1].device, FSMETA_DEVICE_NONE);
	assert_true(told.folders[1].fields & FSMETA_FIELD_INODE);
	assert_int_equal(ask(guide, told.folders[1].id, NULL, NULL).count, 0);
	told = ask(guide, root.folders[0].id, "aa", "c");
	assert_int_equal(told.count, 2);
	assert_string_equal(told.names[0], "b");
	assert_string_equal(told.names[1], "c");
	assert_int_equal(ask(guide, root.folders[0].id, "bb", "bz").count, 0);
	fsmeta_guide_close(guide);
	nothing_happens(2);
	assert_int_equal(fsmeta_db_guide(&guide, db, 1, 900, NULL, &error), FSMETA_E_BUSY);
	fsmeta_db_close(db);
}

/** The entries of a cursor that steps over what is offered, as a string of paths. */
static void read_stepping(char *out, struct fsmeta_db *db, uint64_t number, struct told *told)
{
	const struct fsmeta_db_cursor_options options = {.offer_files = true};
	const struct fsmeta_entry *entry;
	struct fsmeta_cursor *cursor;
	struct fsmeta_run run;

	*out = '\0';
	assert_ok(fsmeta_db_cursor(&cursor, db, number, &options, &error));
	assert_int_equal(fsmeta_cursor_run(cursor, FSMETA_RUN_FILES, &run, &error), 0);
	while (fsmeta_cursor_next(cursor, &entry, &error) == 1) {
		strcat(strcat(out, entry->path), " ");
		assert_int_equal(fsmeta_cursor_run(cursor, FSMETA_RUN_BATCH, &run, &error), 0);
		if (entry->type != FSMETA_TYPE_FOLDER) {
			assert_int_equal(
			    fsmeta_cursor_run(cursor, FSMETA_RUN_FILES, &run, &error), 0);
			continue;
		}
		for (size_t i = 0; i < told->count; i++) {
			if (entry->id != told->folders[i].id || !told->folders[i].files_known)
				continue;
			assert_int_equal(
			    fsmeta_cursor_run(cursor, FSMETA_RUN_FILES, &run, &error), 1);
			assert_true(fsmeta_digest_equal(run.token, told->folders[i].token));
			assert_ok(fsmeta_cursor_step(cursor, &run, &error));
		}
	}
	fsmeta_cursor_close(cursor);
}

static void the_cursor_offers_the_same(void **state)
{
	struct fsmeta_guide *guide;
	struct fsmeta_db *db;
	struct told told;
	struct fsmeta_digest before;
	char paths[128];

	(void)state;
	first_generation();
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error));
	assert_ok(fsmeta_db_guide(&guide, db, 1, 900, NULL, &error));
	told = ask(guide, ask(guide, 0, NULL, NULL).folders[0].id, NULL, NULL);
	read_stepping(paths, db, 1, &told);
	assert_string_equal(paths, " a b c ");
	told.folders[1].files_known = false;
	read_stepping(paths, db, 1, &told);
	assert_string_equal(paths, " a b b/f c ");
	assert_false(fsmeta_digest_equal(told.folders[0].token, told.folders[1].token));
	before = told.folders[0].token;
	fsmeta_guide_close(guide);
	fsmeta_db_close(db);

	/* The files of the same folder in another generation are not vouched for by this one. */
	nothing_happens(2);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error));
	assert_ok(fsmeta_db_guide(&guide, db, 2, 900, NULL, &error));
	told = ask(guide, ask(guide, 0, NULL, NULL).folders[0].id, NULL, NULL);
	assert_false(fsmeta_digest_equal(told.folders[0].token, before));
	fsmeta_guide_close(guide);
	fsmeta_db_close(db);
}

static void folders_that_changed_late(void **state)
{
	struct writer writer;
	struct fsmeta_entry entry;

	(void)state;
	begin(&writer, 1);
	add(&writer, "", FSMETA_TYPE_FOLDER, OLD, 0, 0);
	add(&writer, "a", FSMETA_TYPE_FOLDER, STARTED - 3, 999999999, 0);
	add(&writer, "b", FSMETA_TYPE_FOLDER, STARTED - 2, 0, 0);
	entry = at_time("c", FSMETA_TYPE_FOLDER, OLD, 0);
	entry.ctime.seconds = STARTED - 1;
	change(&writer, FSMETA_CHANGE_ADDED, &entry, 0);
	entry = at_time("d", FSMETA_TYPE_FOLDER, OLD, 0);
	entry.fields &= ~(uint32_t)FSMETA_FIELD_CTIME;
	change(&writer, FSMETA_CHANGE_ADDED, &entry, 0);
	entry = at_time("e", FSMETA_TYPE_FOLDER, OLD, 0);
	entry.flags = FSMETA_FLAG_CHANGED_WHILE_READ;
	change(&writer, FSMETA_CHANGE_ADDED, &entry, 0);
	end(&writer);
	expect_known(1, 0, ".a");
}

static void young_files_of_the_first_scan(void **state)
{
	struct writer writer;

	(void)state;
	begin(&writer, 1);
	add(&writer, "", FSMETA_TYPE_FOLDER, OLD, 0, 0);
	add(&writer, "a", FSMETA_TYPE_FOLDER, OLD, 0, 0);
	add(&writer, "a/f", FSMETA_TYPE_FILE, STARTED - 100, 0, 0);
	add(&writer, "b", FSMETA_TYPE_FOLDER, OLD, 0, 0);
	add(&writer, "b/f", FSMETA_TYPE_FILE, STARTED - 100, 1, 0);
	add(&writer, "z", FSMETA_TYPE_FILE, STARTED + 5, 0, 0);
	end(&writer);
	expect_known(1, 101, "");
	expect_known(1, 100, "a");
	expect_known(1, 99, "ab");
	expect_known(1, UINT64_MAX, "");
}

/**
 * Generation 2 modifies a/f, 3 brings folder d with d/f and e in c, 4 and 5 nothing.  What
 * table `change` says must be what all files say.
 */
static void young_files_of_later_scans(void **state)
{
	struct writer writer;
	struct fsmeta_entry entry;

	(void)state;
	first_generation();
	begin(&writer, 2);
	entry = at_time("a/f", FSMETA_TYPE_FILE, STARTED + INTERVAL + 3, 0);
	change(&writer, FSMETA_CHANGE_MODIFIED, &entry, 0);
	end(&writer);
	expect_known(2, 500, ".bc");
	expect_known(2, 2000, ".bc"); /* back to generation 1: all files are asked */
	begin(&writer, 3);
	add(&writer, "c/e", FSMETA_TYPE_FILE, STARTED + INTERVAL, 0, 0);
	add(&writer, "d", FSMETA_TYPE_FOLDER, OLD, 0, 0);
	add(&writer, "d/f", FSMETA_TYPE_FILE, STARTED + INTERVAL + 3, 0, FSMETA_CHANGE_INSIDE);
	add(&writer, "d/g", FSMETA_TYPE_FOLDER, OLD, 0, FSMETA_CHANGE_INSIDE);
	end(&writer);
	expect_known(3, 500, ".abcd"); /* 2 was finished before, and what came in 3 is older */
	expect_known(3, 998, ".bc");
	expect_known(3, 1000, ".bc");
	expect_known(3, 1001, ".b");
	for (uint64_t number = 4; number <= 5; number++) {
		nothing_happens(number);
		expect_known(number, 500, ".abcd");
		expect_known(number, INTERVAL * (number - 2), ".bc");
		expect_known(number, INTERVAL * (number - 2) + 1, ".b");
	}
}

static void what_was_not_seen(void **state)
{
	struct writer writer;
	struct fsmeta_entry entry;
	struct fsmeta_guide *guide;
	struct fsmeta_db *db;
	struct told told;
	char paths[128];

	(void)state;
	first_generation();
	begin(&writer, 2);
	/* b cannot be listed, and a file of c not be looked at. */
	entry = at_time("b", FSMETA_TYPE_FOLDER, OLD, 0);
	entry.flags = FSMETA_FLAG_UNREADABLE;
	entry.error = 13;
	change(&writer, FSMETA_CHANGE_MODIFIED, &entry, 0);
	change(&writer, FSMETA_CHANGE_UNREADABLE, &entry, 0);
	entry = at_time("c/f", FSMETA_TYPE_FILE, OLD, 0);
	entry.flags = FSMETA_FLAG_UNREADABLE;
	entry.error = 13;
	change(&writer, FSMETA_CHANGE_MODIFIED, &entry, 0);
	change(&writer, FSMETA_CHANGE_UNREADABLE, &entry, 0);
	end(&writer);
	expect_known(2, 0, ".a");
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error));
	assert_ok(fsmeta_db_guide(&guide, db, 2, 0, NULL, &error));
	told = ask(guide, ask(guide, 0, NULL, NULL).folders[0].id, NULL, NULL);
	assert_int_equal(told.count, 3);
	assert_int_equal(told.folders[1].id, 0);
	assert_int_not_equal(told.folders[2].id, 0);
	read_stepping(paths, db, 2, &told);
	assert_string_equal(paths, " a b b/f c c/f ");
	fsmeta_guide_close(guide);
	fsmeta_db_close(db);
}

static void a_damaged_name_is_not_told(void **state)
{
	static const char *const names[] = {"x'2e2e'", "x'612f62'", "x''", "x'6100'"};
	struct fsmeta_guide *guide;
	struct fsmeta_db *db;
	struct told told = {0};
	uint64_t root;
	char sql[128];

	(void)state;
	first_generation();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(sql, sizeof(sql), "UPDATE folder_position SET name = %s WHERE folder = 2",
		    names[i]);
		execute(sql);
		assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error));
		assert_ok(fsmeta_db_guide(&guide, db, 1, 900, NULL, &error));
		root = ask(guide, 0, NULL, NULL).folders[0].id;
		told.count = 0;
		assert_int_equal(
		    fsmeta_guide_folders(guide, root, NULL, 0, NULL, 0, take, &told, &error),
		    FSMETA_E_CORRUPT);
		fsmeta_guide_close(guide);
		fsmeta_db_close(db);
	}
}

static void the_newest_piece_is_witness(void **state)
{
	static const char *const names[] = {
	    "1_p.data", "1_p.index", "2_p.data", "2_p.index", "a_note", "notes", NULL};
	struct writer writer;
	struct fsmeta_entry entry;
	struct fsmeta_guide *guide;
	struct fsmeta_db *db;
	struct fsmeta_guide_file told;
	const uint32_t compared =
	    FSMETA_FIELD_SIZE | FSMETA_FIELD_MTIME | FSMETA_FIELD_CTIME | FSMETA_FIELD_INODE;

	(void)state;
	generation_of_files(names);
	expect_witnesses(1, recognise, "2_p.index 2_p.data ");
	expect_witnesses(1, NULL, "");
	/* As the newest generation has them: one modified, one gone. */
	begin(&writer, 2);
	entry = at_time("2_p.data", FSMETA_TYPE_FILE, OLD + 7, 8);
	change(&writer, FSMETA_CHANGE_MODIFIED, &entry, 0);
	entry = at_time("2_p.index", FSMETA_TYPE_FILE, OLD, 0);
	change(&writer, FSMETA_CHANGE_REMOVED, &entry, 0);
	end(&writer);
	expect_witnesses(2, recognise, "2_p.data ");
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error));
	assert_ok(fsmeta_db_guide(&guide, db, 2, 900, recognise, &error));
	told = ask_witnesses(guide, ask(guide, 0, NULL, NULL).folders[0].id).last;
	assert_int_equal(told.type, FSMETA_TYPE_FILE);
	assert_int_equal(told.inode, 100 + strlen("2_p.data"));
	assert_int_equal(told.size, 1);
	assert_int_equal(told.mtime.seconds, OLD + 7);
	assert_int_equal(told.mtime.nanoseconds, 8);
	assert_int_equal(told.ctime.seconds, OLD + 7);
	assert_int_equal(told.fields & compared, compared);
	fsmeta_guide_close(guide);
	fsmeta_db_close(db);
}

/** What the header says, by hand. */
static void expected_witnesses(char *out, char names[][16], unsigned count)
{
	char newest[2] = "";
	unsigned looked_at = 0, others = 0;

	*out = '\0';
	while (count-- > 0 && looked_at++ < FSMETA_GUIDE_WITNESSES_MAX) {
		const char *name = names[count];
		unsigned layout = name[2] == 'q';

		others += name[2] != 'p' && name[2] != 'q';
		if (others > FSMETA_GUIDE_PASSED_OVER_MAX)
			return;
		if (name[2] != 'p' && name[2] != 'q')
			continue;
		if (newest[layout] && newest[layout] != name[0])
			return;
		newest[layout] = name[0];
		strcat(strcat(out, name), " ");
	}
}

/** Names that come in order: "4_q07", every so many of them. */
static unsigned random_names(char names[][16], unsigned most, uint32_t *seed)
{
	static const char layouts[] = "npqz";
	unsigned count = 0, among;

	*seed = *seed * 1664525 + 1013904223;
	among = 2 + (*seed >> 16) % 30;
	for (unsigned i = 0; i < 10 * 4 * 8 && count < most; i++) {
		*seed = *seed * 1664525 + 1013904223;
		if ((*seed >> 16) % among == 0)
			snprintf(names[count++], sizeof(names[0]), "%u_%c%u", i / 32,
			    layouts[i / 8 % 4], i % 8);
	}
	return count;
}

static void random_witnesses(void **state)
{
	enum {
		FOLDERS = 400,
		NAMES = 60
	};
	static char names[FOLDERS][NAMES][16];
	unsigned counts[FOLDERS];
	uint32_t seed = 7;
	struct writer writer;
	struct fsmeta_guide *guide;
	struct fsmeta_db *db;
	uint64_t root;
	char entry[32], expected[NAMES * 16];

	(void)state;
	begin(&writer, 1);
	add(&writer, "", FSMETA_TYPE_FOLDER, OLD, 0, 0);
	for (unsigned i = 0; i < FOLDERS; i++) {
		snprintf(entry, sizeof(entry), "%03u", i);
		add(&writer, entry, FSMETA_TYPE_FOLDER, OLD, 0, 0);
		counts[i] = random_names(names[i], NAMES, &seed);
		for (unsigned k = 0; k < counts[i]; k++) {
			snprintf(entry, sizeof(entry), "%03u/%.15s", i, names[i][k]);
			add(&writer, entry, FSMETA_TYPE_FILE, OLD, 0, 0);
		}
	}
	end(&writer);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error));
	assert_ok(fsmeta_db_guide(&guide, db, 1, 900, recognise, &error));
	root = ask(guide, 0, NULL, NULL).folders[0].id;
	for (unsigned i = 0; i < FOLDERS; i++) {
		snprintf(entry, sizeof(entry), "%03u", i);
		expected_witnesses(expected, names[i], counts[i]);
		assert_string_equal(
		    ask_witnesses(guide, ask(guide, root, entry, entry).folders[0].id).names,
		    expected);
	}
	fsmeta_guide_close(guide);
	fsmeta_db_close(db);
}

static void no_more_witnesses_than_promised(void **state)
{
	char names[20][16];
	const char *pointers[21] = {NULL};
	struct fsmeta_guide *guide;
	struct fsmeta_db *db;
	uint64_t root;
	struct witnesses witnesses = {.names = ""};

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		snprintf(names[i], sizeof(names[i]), "1_p%02u", i);
		pointers[i] = names[i];
	}
	generation_of_files(pointers);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error));
	assert_ok(fsmeta_db_guide(&guide, db, 1, 900, recognise, &error));
	root = ask(guide, 0, NULL, NULL).folders[0].id;
	witnesses = ask_witnesses(guide, root);
	assert_int_equal(witnesses.count, FSMETA_GUIDE_WITNESSES_MAX);
	assert_memory_equal(witnesses.names, "1_p19 1_p18 ", 12);
	fsmeta_guide_close(guide);
	fsmeta_db_close(db);
	execute("UPDATE file SET name = x'315f70312f' WHERE name = x'315f703138'"); /* 1_p1/ */
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_READ, &error));
	assert_ok(fsmeta_db_guide(&guide, db, 1, 900, recognise, &error));
	assert_int_equal(
	    fsmeta_guide_witnesses(guide, root, take_file, &witnesses, &error), FSMETA_E_CORRUPT);
	fsmeta_guide_close(guide);
	fsmeta_db_close(db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(it_tells_folders, new_database, remove_database),
	    cmocka_unit_test_setup_teardown(
		the_cursor_offers_the_same, new_database, remove_database),
	    cmocka_unit_test_setup_teardown(
		folders_that_changed_late, new_database, remove_database),
	    cmocka_unit_test_setup_teardown(
		young_files_of_the_first_scan, new_database, remove_database),
	    cmocka_unit_test_setup_teardown(
		young_files_of_later_scans, new_database, remove_database),
	    cmocka_unit_test_setup_teardown(what_was_not_seen, new_database, remove_database),
	    cmocka_unit_test_setup_teardown(
		a_damaged_name_is_not_told, new_database, remove_database),
	    cmocka_unit_test_setup_teardown(
		the_newest_piece_is_witness, new_database, remove_database),
	    cmocka_unit_test_setup_teardown(random_witnesses, new_database, remove_database),
	    cmocka_unit_test_setup_teardown(
		no_more_witnesses_than_promised, new_database, remove_database),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
