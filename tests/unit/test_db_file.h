/*
 * Small trees for tests of the database file: what is common to several programs.
 */
#ifndef FSMETA_TESTS_DB_FILE_H
#define FSMETA_TESTS_DB_FILE_H

#include "base/path.h"
#include "db/db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct fsmeta_error error;

#define assert_ok(code)                                                                            \
	do {                                                                                       \
		int code_ = (code);                                                                \
		if (code_)                                                                         \
			fail_msg(                                                                  \
			    "code %d: %s: %s: %s", code_, error.path, error.action, error.reason); \
	} while (0)

/** A scan of "the source" that ran from 100 * number to ten seconds later. */
static inline void describe_scan(struct fsmeta_batch_source *source, uint64_t number)
{
	fsmeta_batch_source_init(source);
	source->field_mask = FSMETA_FIELDS_CORE;
	source->started.seconds = (int64_t)(1700000000 + 100 * number);
	source->finished.seconds = source->started.seconds + 10;
	assert_int_equal(fsmeta_batch_source_set(source, &source->source_id, "the source"), 0);
}

/** An entry of which nothing but type and size is special. */
static inline struct fsmeta_entry make_entry(const char *path, enum fsmeta_type type, uint64_t size)
{
	struct fsmeta_entry entry = {.path = path,
	    .path_length = strlen(path),
	    .type = type,
	    .size = size,
	    .mtime = {1700000000, 5},
	    .mode = 0644,
	    .device = FSMETA_DEVICE_NONE};

	entry.fields = FSMETA_FIELDS_CORE & fsmeta_fields_of_type(type);
	entry.depth = fsmeta_path_depth(path, entry.path_length);
	entry.name = path + fsmeta_path_name_offset(path, entry.path_length);
	entry.name_length = strlen(entry.name);
	return entry;
}

static inline int add_entry(
    struct fsmeta_db_update *update, const char *path, enum fsmeta_type type, uint64_t size)
{
	const struct fsmeta_entry entry = make_entry(path, type, size);
	const struct fsmeta_change change = {.kind = FSMETA_CHANGE_ADDED, .after = &entry};
	struct fsmeta_change_sink *sink = fsmeta_db_update_sink(update);

	return sink->change(sink, &change, &error);
}

static inline int modify_entry(struct fsmeta_db_update *update, const char *path, uint64_t size)
{
	const struct fsmeta_entry entry = make_entry(path, FSMETA_TYPE_FILE, size);
	const struct fsmeta_change change = {.kind = FSMETA_CHANGE_MODIFIED,
	    .before = &entry,
	    .after = &entry,
	    .fields = FSMETA_FIELD_SIZE};
	struct fsmeta_change_sink *sink = fsmeta_db_update_sink(update);

	return sink->change(sink, &change, &error);
}

/** Generation 1: the root, `folders` folders f000… of `files` files 00000000… each. */
static inline void make_database(const char *path, unsigned folders, unsigned files)
{
	struct fsmeta_batch_source source;
	struct fsmeta_db_update *update;
	struct fsmeta_db *db;
	char name[64];

	describe_scan(&source, 1);
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	assert_ok(fsmeta_db_update_begin(&update, db, 0, &source, &error));
	assert_ok(add_entry(update, "", FSMETA_TYPE_FOLDER, 0));
	for (unsigned i = 0; i < folders; i++) {
		snprintf(name, sizeof(name), "f%03u", i);
		assert_ok(add_entry(update, name, FSMETA_TYPE_FOLDER, 0));
		for (unsigned k = 0; k < files; k++) {
			snprintf(name, sizeof(name), "f%03u/%08u", i, k);
			assert_ok(add_entry(update, name, FSMETA_TYPE_FILE, k));
		}
	}
	assert_ok(fsmeta_db_update_commit(update, NULL, &error));
	fsmeta_db_close(db);
	fsmeta_batch_source_release(&source);
}

/** Reads a generation to its end; how many entries, or a code. */
static inline int64_t read_all(struct fsmeta_db *db, uint64_t number)
{
	const struct fsmeta_entry *entry;
	struct fsmeta_cursor *cursor;
	int64_t count = 0;
	int code = fsmeta_db_cursor(&cursor, db, number, NULL, &error);

	if (code)
		return code;
	while ((code = fsmeta_cursor_next(cursor, &entry, &error)) > 0)
		count++;
	fsmeta_cursor_close(cursor);
	return code < 0 ? code : count;
}

#endif
