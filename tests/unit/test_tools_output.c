/*
 * Lines of listings and changes, as strings that a reader can judge.
 */
#include "tools/output.h"

#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- what is written ---------------------------------------------------- */

static struct fsmeta_batch_source plain, stable;

static int make_sources(void **state)
{
	(void)state;
	fsmeta_batch_source_init(&plain);
	fsmeta_batch_source_init(&stable);
	stable.id_kind = FSMETA_IDS_STABLE;
	return 0;
}

static int release_sources(void **state)
{
	(void)state;
	fsmeta_batch_source_release(&plain);
	fsmeta_batch_source_release(&stable);
	return 0;
}

struct capture {
	FILE *stream;
	char *text;
	size_t length;
	struct fsmeta_output *output;
};

static void capture_init(struct capture *capture, enum fsmeta_output_format format, uint32_t flags,
    const struct fsmeta_batch_source *source)
{
	struct fsmeta_error error = {0};

	*capture = (struct capture){0};
	capture->stream = open_memstream(&capture->text, &capture->length);
	assert_non_null(capture->stream);
	assert_int_equal(
	    fsmeta_output_new(&capture->output, capture->stream, format, flags, source, &error), 0);
}

static void capture_finish(struct capture *capture)
{
	struct fsmeta_error error = {0};

	assert_int_equal(fsmeta_output_finish(capture->output, &error), 0);
	fsmeta_output_free(capture->output);
	fclose(capture->stream);
}

/** The bytes of `wanted`, its NULs included except the last. */
#define ASSERT_WRITTEN(capture, wanted)                                                     \
	do {                                                                                \
		if ((capture)->length != sizeof(wanted) - 1 ||                              \
		    memcmp((capture)->text, wanted, sizeof(wanted) - 1) != 0)               \
			print_message("wanted: %s\ngot:    %s\n", wanted, (capture)->text); \
		assert_int_equal((capture)->length, sizeof(wanted) - 1);                    \
		assert_memory_equal((capture)->text, wanted, sizeof(wanted) - 1);           \
		free((capture)->text);                                                      \
	} while (0)

#define ASSERT_ENTRY(format, flags, source, entry, wanted)                               \
	do {                                                                             \
		struct capture capture;                                                  \
		struct fsmeta_error error = {0};                                         \
                                                                                         \
		capture_init(&capture, format, flags, source);                           \
		assert_int_equal(fsmeta_output_entry(capture.output, entry, &error), 0); \
		capture_finish(&capture);                                                \
		ASSERT_WRITTEN(&capture, wanted);                                        \
	} while (0)

#define ASSERT_CHANGE(format, flags, change_, wanted)                      \
	do {                                                               \
		struct capture capture;                                    \
		struct fsmeta_error error = {0};                           \
		struct fsmeta_change_sink *sink;                           \
                                                                           \
		capture_init(&capture, format, flags, &plain);             \
		sink = fsmeta_output_change_sink(capture.output, &stable); \
		assert_int_equal(sink->change(sink, change_, &error), 0);  \
		capture_finish(&capture);                                  \
		ASSERT_WRITTEN(&capture, wanted);                          \
	} while (0)

#define ASSERT_JSON(entry, wanted) ASSERT_ENTRY(FSMETA_OUTPUT_JSONL, 0, &stable, entry, wanted)
#define ASSERT_TEXT(entry, wanted) ASSERT_ENTRY(FSMETA_OUTPUT_TEXT, 0, &stable, entry, wanted)
#define ASSERT_JSON_CHANGE(change, wanted) ASSERT_CHANGE(FSMETA_OUTPUT_JSONL, 0, change, wanted)
#define ASSERT_TEXT_CHANGE(change, wanted) ASSERT_CHANGE(FSMETA_OUTPUT_TEXT, 0, change, wanted)

/** 2026-11-20T10:00:00Z */
#define TEN_O_CLOCK INT64_C(1795168800)

static struct fsmeta_entry make(const char *path, enum fsmeta_type type, uint32_t fields)
{
	return (struct fsmeta_entry){
	    .path = path,
	    .path_length = strlen(path),
	    .type = type,
	    .fields = fields,
	    .id = 7,
	    .size = 1234567,
	    .mtime = {.seconds = TEN_O_CLOCK, .nanoseconds = 1},
	    .ctime = {.seconds = TEN_O_CLOCK + 1, .nanoseconds = 999999999},
	    .btime = {.seconds = -1, .nanoseconds = 500000000},
	    .mode = 0644,
	    .uid = 1000,
	    .gid = 100,
	    .device = 0,
	    .inode = UINT64_MAX,
	    .nlink = 1,
	    .allocated = 1236992,
	    .rdev_major = 8,
	    .rdev_minor = 17,
	    .target = "../x",
	    .target_length = 4,
	    .hash_algorithm = FSMETA_HASH_XXH3,
	    .hash = {0xab, 0xcd},
	};
}

/* ---- entries, JSON ------------------------------------------------------ */

static void json_has_all_keys_in_order(void **state)
{
	struct fsmeta_entry entry = make("a/b", FSMETA_TYPE_FILE, FSMETA_FIELDS_KNOWN);

	(void)state;
	entry.flags =
	    FSMETA_FLAG_UNREADABLE | FSMETA_FLAG_OTHER_FILESYSTEM | FSMETA_FLAG_CHANGED_WHILE_READ;
	entry.error = EACCES;
	entry.unknown_since = 3;
	ASSERT_JSON(&entry,
	    "{\"id\":7,\"type\":\"file\",\"path\":\"a/b\",\"size\":1234567,"
	    "\"mtime\":\"2026-11-20T10:00:00.000000001Z\","
	    "\"ctime\":\"2026-11-20T10:00:01.999999999Z\","
	    "\"btime\":\"1969-12-31T23:59:59.500000000Z\","
	    "\"mode\":\"0644\",\"uid\":1000,\"gid\":100,\"dev\":0,"
	    "\"inode\":18446744073709551615,\"nlink\":1,\"allocated\":1236992,"
	    "\"rdev\":\"8:17\",\"target\":\"../x\",\"error\":\"EACCES\","
	    "\"other_filesystem\":true,\"changed_while_read\":true,"
	    "\"hash\":\"xxh3:abcd0000000000000000000000000000\",\"unknown_since\":3}\n");
}

static void json_leaves_out_what_is_not_known(void **state)
{
	struct fsmeta_entry entry = make("", FSMETA_TYPE_FOLDER, FSMETA_FIELD_MODE);

	(void)state;
	entry.mode = 04755;
	ASSERT_ENTRY(FSMETA_OUTPUT_JSONL, 0, &plain, &entry,
	    "{\"type\":\"folder\",\"path\":\".\",\"mode\":\"4755\"}\n");
	entry.fields = 0;
	ASSERT_JSON(&entry, "{\"id\":7,\"type\":\"folder\",\"path\":\".\"}\n");
	entry.id = 0;
	ASSERT_JSON(&entry, "{\"type\":\"folder\",\"path\":\".\"}\n");
}

static void json_escapes_hostile_names(void **state)
{
	struct fsmeta_entry entry = make("", FSMETA_TYPE_SYMLINK, FSMETA_FIELD_TARGET);

	(void)state;
	entry.path = "12345678\n\"\\\033\177\303\251";
	entry.path_length = strlen(entry.path);
	entry.target = "";
	entry.target_length = 0;
	entry.id = 0;
	ASSERT_JSON(&entry,
	    "{\"type\":\"symlink\",\"path\":\"12345678\\n\\\"\\\\\\u001b\\u007f\303\251\","
	    "\"target\":\"\"}\n");
	entry.path = "a\377b";
	entry.path_length = 3;
	entry.target = "\200";
	entry.target_length = 1;
	ASSERT_JSON(&entry,
	    "{\"type\":\"symlink\",\"path\":\"a\357\277\275b\",\"path_b64\":\"Yf9i\","
	    "\"target\":\"\357\277\275\",\"target_b64\":\"gA==\"}\n");
}

/** Every byte alone, and at every place of a word, against base's own escaping. */
static void json_strings_equal_those_of_base(void **state)
{
	(void)state;
	for (unsigned byte = 1; byte < 256; byte++)
		for (size_t place = 0; place < 20; place++) {
			struct fsmeta_entry entry = make("", FSMETA_TYPE_FIFO, 0);
			struct fsmeta_buffer wanted = {0};
			struct fsmeta_error error = {0};
			struct capture capture;
			char path[] = "abcdefghijklmnopqrst";

			path[place] = (char)byte;
			entry.path = path;
			entry.path_length = sizeof(path) - 1;
			fsmeta_buffer_append_text(&wanted, "{\"type\":\"fifo\",\"path\":\"");
			fsmeta_text_append_json(&wanted, path, sizeof(path) - 1);
			fsmeta_buffer_append_text(&wanted, "\"");
			if (byte >= 0x80) {
				fsmeta_buffer_append_text(&wanted, ",\"path_b64\":\"");
				fsmeta_text_append_base64(&wanted, path, sizeof(path) - 1);
				fsmeta_buffer_append_text(&wanted, "\"");
			}
			fsmeta_buffer_append_text(&wanted, "}\n");
			capture_init(&capture, FSMETA_OUTPUT_JSONL, 0, &plain);
			fsmeta_output_entry(capture.output, &entry, &error);
			capture_finish(&capture);
			assert_int_equal(capture.length, wanted.length);
			assert_memory_equal(capture.text, wanted.data, wanted.length);
			free(capture.text);
			fsmeta_buffer_release(&wanted);
		}
}

static void json_times_equal_those_of_base(void **state)
{
	static const int64_t days[] = {0, 1, -1, 719528, -719529, 20000, 2932896, 2932897};
	int64_t seconds[300] = {INT64_MIN, INT64_MAX, INT64_MIN + 1, INT64_MAX - 86400};
	size_t count = 4;
	struct capture capture;
	struct fsmeta_error error = {0};
	struct fsmeta_buffer wanted = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(days) / sizeof(days[0]); i++) {
		seconds[count++] = days[i] * 86400;
		seconds[count++] = days[i] * 86400 - 1;
		seconds[count++] = days[i] * 86400 + 43201;
	}
	/* Days that share a slot of the table, in turn. */
	while (count < 300) {
		seconds[count] = seconds[count - 1] + 1024 * 86400 * (count % 3 ? 1 : -2) + 61;
		count++;
	}
	capture_init(&capture, FSMETA_OUTPUT_JSONL, 0, &plain);
	for (size_t i = 0; i < count; i++) {
		struct fsmeta_entry entry = make("f", FSMETA_TYPE_FILE, FSMETA_FIELD_MTIME);
		char text[FSMETA_TIME_TEXT_BYTES];

		entry.mtime.seconds = seconds[i];
		entry.mtime.nanoseconds = (uint32_t)i * 3333331;
		fsmeta_time_format(text, entry.mtime);
		fsmeta_buffer_append_format(
		    &wanted, "{\"type\":\"file\",\"path\":\"f\",\"mtime\":\"%s\"}\n", text);
		assert_int_equal(fsmeta_output_entry(capture.output, &entry, &error), 0);
	}
	capture_finish(&capture);
	assert_int_equal(capture.length, wanted.length);
	assert_memory_equal(capture.text, wanted.data, wanted.length);
	free(capture.text);
	fsmeta_buffer_release(&wanted);
}

/** Numbers of every length. */
static void json_numbers_are_exact(void **state)
{
	uint64_t value = 0;

	(void)state;
	for (int i = 0; i < 64; i++, value = value * 2 + (uint64_t)(i & 1)) {
		struct fsmeta_entry entry = make("f", FSMETA_TYPE_FILE, FSMETA_FIELD_SIZE);
		struct fsmeta_error error = {0};
		struct capture capture;
		char wanted[100];

		entry.size = value;
		snprintf(wanted, sizeof(wanted),
		    "{\"type\":\"file\",\"path\":\"f\",\"size\":%llu}\n",
		    (unsigned long long)value);
		capture_init(&capture, FSMETA_OUTPUT_JSONL, 0, &plain);
		fsmeta_output_entry(capture.output, &entry, &error);
		capture_finish(&capture);
		assert_string_equal(capture.text, wanted);
		free(capture.text);
	}
}

/* ---- entries, text ------------------------------------------------------ */

static void text_lists_like_ls(void **state)
{
	struct fsmeta_entry entry = make("cam 1/a.mp4", FSMETA_TYPE_FILE, FSMETA_FIELDS_CORE);

	(void)state;
	entry.fields &= ~(uint32_t)(FSMETA_FIELD_RDEV | FSMETA_FIELD_TARGET);
	ASSERT_TEXT(&entry, "-rw-r--r--    1000:100  1.2 MiB  2026-11-20 10:00:00  cam 1/a.mp4\n");
	entry.type = FSMETA_TYPE_FOLDER;
	entry.mode = 01777;
	ASSERT_TEXT(&entry, "drwxrwxrwt    1000:100        -  2026-11-20 10:00:00  cam 1/a.mp4/\n");
	entry.path_length = 0;
	entry.flags = FSMETA_FLAG_UNREADABLE;
	entry.error = EACCES;
	entry.unknown_since = 4;
	ASSERT_TEXT(&entry,
	    "drwxrwxrwt    1000:100        -  2026-11-20 10:00:00  ./  [Permission denied]  "
	    "[not seen since generation 4]\n");
	entry = make("l\n", FSMETA_TYPE_SYMLINK, FSMETA_FIELDS_CORE & ~FSMETA_FIELD_RDEV);
	entry.mode = 06777;
	ASSERT_TEXT(
	    &entry, "lrwsrwsrwx    1000:100  1.2 MiB  2026-11-20 10:00:00  \"l\\n\" -> ../x\n");
	entry = make("sda1", FSMETA_TYPE_BLOCK, FSMETA_FIELD_RDEV);
	ASSERT_TEXT(&entry, "b?????????         -:-     8:17                    -  sda1\n");
}

static void raw_paths_end_with_nul(void **state)
{
	struct fsmeta_entry entry = make("a\nb", FSMETA_TYPE_FOLDER, FSMETA_FIELDS_CORE);

	(void)state;
	ASSERT_ENTRY(FSMETA_OUTPUT_TEXT, FSMETA_OUTPUT_NULL, &plain, &entry, "a\nb\0");
	entry.path_length = 0;
	ASSERT_ENTRY(FSMETA_OUTPUT_TEXT, FSMETA_OUTPUT_NULL, &plain, &entry, ".\0");
}

/* ---- changes ------------------------------------------------------------ */

static void added_and_removed(void **state)
{
	struct fsmeta_entry folder = make("cam2", FSMETA_TYPE_FOLDER, FSMETA_FIELD_MODE);
	struct fsmeta_entry file = make("cam2/x", FSMETA_TYPE_FILE, FSMETA_FIELD_SIZE);
	struct fsmeta_change change = {
	    .kind = FSMETA_CHANGE_ADDED, .after = &folder, .entries = 1000, .bytes = 12ULL << 30};

	(void)state;
	ASSERT_JSON_CHANGE(&change,
	    "{\"kind\":\"added\",\"type\":\"folder\",\"path\":\"cam2\",\"mode\":\"0644\","
	    "\"entries\":1000,\"bytes\":12884901888}\n");
	ASSERT_TEXT_CHANGE(&change, "A  cam2/  (1,000 entries, 12 GiB)\n");
	change.entries = 1;
	ASSERT_TEXT_CHANGE(&change, "A  cam2/  (1 entry, 12 GiB)\n");
	change.entries = 0;
	ASSERT_TEXT_CHANGE(&change, "A  cam2/  (empty)\n");
	folder.flags = FSMETA_FLAG_UNREADABLE;
	folder.error = EIO;
	ASSERT_TEXT_CHANGE(&change, "A  cam2/  (empty; Input/output error)\n");

	change = (struct fsmeta_change){.kind = FSMETA_CHANGE_REMOVED, .before = &file};
	/* The older side has stable ids, the newer has not. */
	ASSERT_JSON_CHANGE(&change,
	    "{\"kind\":\"removed\",\"id\":7,\"type\":\"file\",\"path\":\"cam2/x\","
	    "\"size\":1234567}\n");
	ASSERT_TEXT_CHANGE(&change, "D  cam2/x  (1.2 MiB)\n");
	file.type = FSMETA_TYPE_SOCKET;
	ASSERT_TEXT_CHANGE(&change, "D  cam2/x  (socket)\n");
	file.type = FSMETA_TYPE_SYMLINK;
	file.fields = FSMETA_FIELD_TARGET;
	ASSERT_TEXT_CHANGE(&change, "D  cam2/x  (link to ../x)\n");
}

static void descendants_show_where_asked_for(void **state)
{
	struct fsmeta_entry file = make("cam2/x", FSMETA_TYPE_FILE, FSMETA_FIELD_SIZE);
	struct fsmeta_change change = {
	    .kind = FSMETA_CHANGE_ADDED, .flags = FSMETA_CHANGE_INSIDE, .after = &file};

	(void)state;
	ASSERT_TEXT_CHANGE(&change, "");
	ASSERT_CHANGE(FSMETA_OUTPUT_TEXT, FSMETA_OUTPUT_NULL, &change, "");
	ASSERT_CHANGE(FSMETA_OUTPUT_TEXT, FSMETA_OUTPUT_ALL, &change, "A  cam2/x  (1.2 MiB)\n");
	ASSERT_JSON_CHANGE(&change,
	    "{\"kind\":\"added\",\"type\":\"file\",\"path\":\"cam2/x\",\"size\":1234567}\n");
}

static void modified_shows_old_and_new(void **state)
{
	struct fsmeta_entry before = make("cam1/index.db", FSMETA_TYPE_FILE, FSMETA_FIELDS_CORE);
	struct fsmeta_entry after = before;
	struct fsmeta_change change = {.kind = FSMETA_CHANGE_MODIFIED,
	    .before = &before,
	    .after = &after,
	    .fields = FSMETA_FIELD_SIZE | FSMETA_FIELD_MTIME};

	(void)state;
	before.size = 1 << 20;
	after.size = 3 << 19;
	after.mtime.seconds += 3733;
	ASSERT_JSON_CHANGE(&change,
	    "{\"kind\":\"modified\",\"type\":\"file\",\"path\":\"cam1/index.db\","
	    "\"fields\":[\"size\",\"mtime\"],"
	    "\"old\":{\"size\":1048576,\"mtime\":\"2026-11-20T10:00:00.000000001Z\"},"
	    "\"new\":{\"size\":1572864,\"mtime\":\"2026-11-20T11:02:13.000000001Z\"}}\n");
	ASSERT_TEXT_CHANGE(&change, "M  cam1/index.db  (size 1.0 MiB → 1.5 MiB, "
				    "mtime 2026-11-20 10:00:00 → 11:02:13 UTC)\n");

	/* What rounding would hide is shown exactly. */
	after.size = before.size + 4;
	after.mtime = before.mtime;
	after.mtime.nanoseconds = 2;
	ASSERT_TEXT_CHANGE(&change,
	    "M  cam1/index.db  (size 1,048,576 → 1,048,580 bytes, "
	    "mtime 2026-11-20 10:00:00.000000001 → 10:00:00.000000002 UTC)\n");
	change.fields = FSMETA_FIELD_MTIME;
	after.mtime.seconds += 86400;
	ASSERT_TEXT_CHANGE(
	    &change, "M  cam1/index.db  (mtime 2026-11-20 10:00:00 → 2026-11-21 10:00:00 UTC)\n");
}

static void modified_shows_other_fields(void **state)
{
	struct fsmeta_entry before = make("x", FSMETA_TYPE_FILE, FSMETA_FIELDS_KNOWN);
	struct fsmeta_entry after = before;
	struct fsmeta_change change = {.kind = FSMETA_CHANGE_MODIFIED,
	    .before = &before,
	    .after = &after,
	    .fields = FSMETA_FIELD_MODE | FSMETA_FIELD_UID | FSMETA_FIELD_DEVICE |
		      FSMETA_FIELD_TARGET | FSMETA_FIELD_HASH | FSMETA_FIELD_FLAGS};

	(void)state;
	after.mode = 0755;
	after.uid = 0;
	after.device = 1;
	after.target = "new\n";
	after.hash[15] = 1;
	after.flags = FSMETA_FLAG_UNREADABLE;
	after.error = 4000;
	ASSERT_TEXT_CHANGE(&change,
	    "M  x  (mode 0644 → 0755, uid 1000 → 0, dev, target ../x → \"new\\n\", hash, "
	    "error none → ERRNO_4000)\n");
	ASSERT_JSON_CHANGE(&change,
	    "{\"kind\":\"modified\",\"type\":\"file\",\"path\":\"x\","
	    "\"fields\":[\"mode\",\"uid\",\"dev\",\"target\",\"hash\",\"error\"],"
	    "\"old\":{\"mode\":\"0644\",\"uid\":1000,\"dev\":0,\"target\":\"../x\","
	    "\"hash\":\"xxh3:abcd0000000000000000000000000000\"},"
	    "\"new\":{\"mode\":\"0755\",\"uid\":0,\"dev\":1,\"target\":\"new\\n\","
	    "\"error\":\"ERRNO_4000\",\"hash\":\"xxh3:abcd0000000000000000000000000001\"}}\n");

	before.fields = FSMETA_FIELD_MODE;
	after.fields = FSMETA_FIELD_UID;
	change.fields = FSMETA_FIELD_MODE | FSMETA_FIELD_UID;
	ASSERT_TEXT_CHANGE(&change, "M  x  (mode no longer known, uid now known)\n");
	ASSERT_JSON_CHANGE(&change,
	    "{\"kind\":\"modified\",\"type\":\"file\",\"path\":\"x\","
	    "\"fields\":[\"mode\",\"uid\"],\"old\":{\"mode\":\"0644\"},\"new\":{\"uid\":0}}\n");
}

static void corruption_stands_out(void **state)
{
	struct fsmeta_entry before = make("x", FSMETA_TYPE_FILE, FSMETA_FIELDS_KNOWN);
	struct fsmeta_entry after = before;
	struct fsmeta_change change = {.kind = FSMETA_CHANGE_CORRUPTED,
	    .before = &before,
	    .after = &after,
	    .fields = FSMETA_FIELD_HASH};

	(void)state;
	after.hash[0] = 0;
	ASSERT_TEXT_CHANGE(&change, "!  x  (content differs, size and mtime do not)\n");
	ASSERT_JSON_CHANGE(&change,
	    "{\"kind\":\"corrupted\",\"type\":\"file\",\"path\":\"x\",\"fields\":[\"hash\"],"
	    "\"old\":{\"hash\":\"xxh3:abcd0000000000000000000000000000\"},"
	    "\"new\":{\"hash\":\"xxh3:00cd0000000000000000000000000000\"}}\n");
	change.fields |= FSMETA_FIELD_MODE;
	after.mode = 0;
	ASSERT_TEXT_CHANGE(
	    &change, "!  x  (content differs, size and mtime do not; mode 0644 → 0000)\n");
}

static void moves_show_where_from(void **state)
{
	struct fsmeta_entry before = make("old/x", FSMETA_TYPE_FOLDER, FSMETA_FIELD_MODE);
	struct fsmeta_entry after = make("new/x", FSMETA_TYPE_FOLDER, FSMETA_FIELD_MODE);
	struct fsmeta_change change = {.kind = FSMETA_CHANGE_MOVED,
	    .before = &before,
	    .after = &after,
	    .entries = 12411,
	    .bytes = 1ULL << 40};

	(void)state;
	ASSERT_TEXT_CHANGE(&change, "R  new/x/  (from old/x/, 12,411 entries, 1.0 TiB)\n");
	ASSERT_JSON_CHANGE(&change,
	    "{\"kind\":\"moved\",\"type\":\"folder\",\"path\":\"new/x\",\"old_path\":\"old/x\","
	    "\"entries\":12411,\"bytes\":1099511627776}\n");
	ASSERT_CHANGE(FSMETA_OUTPUT_TEXT, FSMETA_OUTPUT_NULL, &change, "R\0old/x\0new/x\0");
	change.fields = FSMETA_FIELD_MODE;
	before.type = after.type = FSMETA_TYPE_FILE;
	before.path = "old/\xff";
	after.mode = 0600;
	ASSERT_TEXT_CHANGE(&change, "R  new/x  (from \"old/\\377\"; mode 0644 → 0600)\n");
	ASSERT_JSON_CHANGE(&change,
	    "{\"kind\":\"moved\",\"type\":\"file\",\"path\":\"new/x\","
	    "\"old_path\":\"old/\357\277\275\",\"old_path_b64\":\"b2xkL/8=\","
	    "\"fields\":[\"mode\"],\"old\":{\"mode\":\"0644\"},\"new\":{\"mode\":\"0600\"}}\n");
}

static void unseen_places_say_what_is_there(void **state)
{
	struct fsmeta_entry before = make("private", FSMETA_TYPE_FOLDER, FSMETA_FIELD_MODE);
	struct fsmeta_entry after = before;
	struct fsmeta_change change = {.kind = FSMETA_CHANGE_UNREADABLE,
	    .before = &before,
	    .after = &after,
	    .entries = 12,
	    .bytes = 4ULL << 30};

	(void)state;
	after.flags = FSMETA_FLAG_UNREADABLE;
	after.error = EACCES;
	ASSERT_TEXT_CHANGE(&change,
	    "U  private/  (Permission denied; below it 12 entries, 4.0 GiB as last seen)\n");
	ASSERT_JSON_CHANGE(&change,
	    "{\"kind\":\"unreadable\",\"type\":\"folder\",\"path\":\"private\","
	    "\"error\":\"EACCES\",\"entries\":12,\"bytes\":4294967296}\n");
	change.entries = 0;
	ASSERT_TEXT_CHANGE(&change, "U  private/  (Permission denied)\n");
	change.kind = FSMETA_CHANGE_UNKNOWN;
	change.entries = 1;
	after.flags = FSMETA_FLAG_OTHER_FILESYSTEM;
	after.error = 0;
	ASSERT_TEXT_CHANGE(&change,
	    "?  private/  (another file system, not entered; below it 1 entry, 4.0 GiB as last "
	    "seen)\n");
	change.after = NULL;
	ASSERT_TEXT_CHANGE(
	    &change, "?  private/  (not looked at; below it 1 entry, 4.0 GiB as last seen)\n");
	ASSERT_JSON_CHANGE(&change,
	    "{\"kind\":\"unknown\",\"type\":\"folder\",\"path\":\"private\",\"entries\":1,"
	    "\"bytes\":4294967296}\n");
	change.flags = FSMETA_CHANGE_CONTINUED;
	ASSERT_TEXT_CHANGE(&change, "");
	ASSERT_JSON_CHANGE(&change, "");
}

static void raw_changes_have_a_letter_and_a_path(void **state)
{
	struct fsmeta_entry entry = make("a\nb", FSMETA_TYPE_FOLDER, FSMETA_FIELDS_CORE);
	struct fsmeta_change change = {.kind = FSMETA_CHANGE_REMOVED, .before = &entry};

	(void)state;
	ASSERT_CHANGE(FSMETA_OUTPUT_TEXT, FSMETA_OUTPUT_NULL, &change, "D\0a\nb\0");
}

/* ---- tables and trees ----------------------------------------------------- */

#define CSV_HEAD                                                                               \
	"id,type,path,path_b64,size,mtime,ctime,btime,mode,uid,gid,dev,inode,nlink,allocated," \
	"rdev,target,target_b64,error,other_filesystem,changed_while_read,hash,unknown_since\r\n"

static void csv_quotes_what_it_must(void **state)
{
	static const struct {
		const char *name, *cells;
	} pairs[] = {
	    {"plain", "plain,"},
	    {"a,b", "\"a,b\","},
	    {"say \"no\"", "\"say \"\"no\"\"\","},
	    {"\"", "\"\"\"\","},
	    {"two\r\nlines", "\"two\r\nlines\","},
	    {" edge", "\" edge\","},
	    {"\xc3\xa4", "\xc3\xa4,"},
	    {"\xff", "\xef\xbf\xbd,/w=="},
	    {"\xff,\"", "\"\xef\xbf\xbd,\"\"\",/ywi"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct fsmeta_entry entry =
		    make(pairs[i].name, FSMETA_TYPE_FILE, FSMETA_FIELD_SIZE);
		struct fsmeta_error error = {0};
		struct capture capture;
		char wanted[1024];

		entry.size = 5;
		snprintf(wanted, sizeof(wanted), CSV_HEAD ",file,%s,5,,,,,,,,,,,,,,,,,,\r\n",
		    pairs[i].cells);
		capture_init(&capture, FSMETA_OUTPUT_CSV, 0, &plain);
		assert_int_equal(fsmeta_output_entry(capture.output, &entry, &error), 0);
		capture_finish(&capture);
		assert_string_equal(capture.text, wanted);
		free(capture.text);
	}
}

static void csv_has_a_head_without_lines(void **state)
{
	struct capture capture;

	(void)state;
	capture_init(&capture, FSMETA_OUTPUT_CSV, 0, &plain);
	capture_finish(&capture);
	ASSERT_WRITTEN(&capture, CSV_HEAD);
}

/** Writes a tree; `paths` ends with NULL, folders have a slash behind them, "/" is the root. */
static void write_tree(
    struct capture *capture, enum fsmeta_output_format format, const char *const *paths)
{
	struct fsmeta_error error = {0};

	capture_init(capture, format, 0, &plain);
	for (; *paths; paths++) {
		size_t length = strlen(*paths);
		bool is_folder = (*paths)[length - 1] == '/';
		struct fsmeta_entry entry =
		    make(*paths, is_folder ? FSMETA_TYPE_FOLDER : FSMETA_TYPE_FILE, 0);

		entry.path_length = length - is_folder;
		entry.depth = fsmeta_path_depth(*paths, entry.path_length);
		entry.name = *paths + fsmeta_path_name_offset(*paths, entry.path_length);
		entry.name_length = entry.path_length - (size_t)(entry.name - *paths);
		assert_int_equal(fsmeta_output_entry(capture->output, &entry, &error), 0);
	}
	capture_finish(capture);
}

/** Names that are patterns come last in their folders, with what is below them. */
static void mtree_puts_patterns_off(void **state)
{
	static const char *const paths[] = {"/", "*/", "*/*", "*/a", "*/b/", "*/b/c", "*z", "?[x",
	    "a", "b/", "b/[", "b/z", "c", NULL};
	struct capture capture;

	(void)state;
	write_tree(&capture, FSMETA_OUTPUT_MTREE, paths);
	ASSERT_WRITTEN(&capture,
	    "#mtree\n. type=dir\n./a type=file\n./b type=dir\n./b/z type=file\n"
	    "./b/\\133 type=file\n./c type=file\n./\\077\\133x type=file\n./\\052z type=file\n"
	    "./\\052 type=dir\n./\\052/a type=file\n./\\052/b type=dir\n./\\052/b/c type=file\n"
	    "./\\052/\\052 type=file\n");
}

static void mtree_escapes(void **state)
{
	struct fsmeta_entry entry =
	    make("a b\\=#\n\xff", FSMETA_TYPE_SYMLINK, FSMETA_FIELD_MTIME | FSMETA_FIELD_TARGET);

	(void)state;
	entry.mtime = (struct fsmeta_time){-2, 500000000};
	entry.target = "to \t";
	entry.target_length = 4;
	ASSERT_ENTRY(FSMETA_OUTPUT_MTREE, 0, &plain, &entry,
	    "#mtree\n./a\\040b\\134\\075\\043\\012\\377 type=link time=-2.500000000 "
	    "link=to\\040\\011\n");
}

/** Arrays are ended as deep as they were begun. */
static void ncdu_nests(void **state)
{
	static const char *const paths[] = {
	    "/", "a/", "a/b/", "a/b/c/", "d\"\\\n", "e/", "f/", NULL};
	static const char wanted[] =
	    "[{\"name\":\"/\"},\n[{\"name\":\"a\"},\n[{\"name\":\"b\"},\n[{\"name\":\"c\"}]]],\n"
	    "{\"name\":\"d\\\"\\\\\\u000a\"},\n[{\"name\":\"e\"}],\n[{\"name\":\"f\"}]]]\n";
	struct capture capture;
	const char *tree;

	(void)state;
	write_tree(&capture, FSMETA_OUTPUT_NCDU, paths);
	assert_memory_equal(capture.text, "[1,0,{\"progname\":\"fsmeta\"", 25);
	tree = strchr(capture.text, '\n') + 1;
	assert_string_equal(tree, wanted);
	free(capture.text);
}

/** What is said besides is for text and JSON; raw paths stay paths. */
static void raw_paths_have_no_remarks(void **state)
{
	struct fsmeta_entry entry = make("a", FSMETA_TYPE_FOLDER, 0);
	struct fsmeta_change change = {.kind = FSMETA_CHANGE_UNKNOWN, .after = &entry};
	struct fsmeta_error error = {0};
	struct fsmeta_change_sink *sink;
	struct capture capture;

	(void)state;
	capture_init(&capture, FSMETA_OUTPUT_TEXT, FSMETA_OUTPUT_NULL, &plain);
	sink = fsmeta_output_change_sink(capture.output, &plain);
	fsmeta_output_set_context(capture.output,
	    &(struct fsmeta_output_context){.before = "before ", .after = " after", .json = "j"});
	assert_int_equal(sink->change(sink, &change, &error), 0);
	capture_finish(&capture);
	ASSERT_WRITTEN(&capture, "?\0a\0");
}

/* ---- writing ------------------------------------------------------------ */

static void formats_are_parsed(void **state)
{
	const uint32_t lines = FSMETA_OUTPUT_LINES;
	enum fsmeta_output_format format;

	(void)state;
	assert_true(fsmeta_output_format_parse(&format, "text", lines));
	assert_int_equal(format, FSMETA_OUTPUT_TEXT);
	assert_true(fsmeta_output_format_parse(&format, "jsonl", lines));
	assert_int_equal(format, FSMETA_OUTPUT_JSONL);
	assert_false(fsmeta_output_format_parse(&format, "csv", lines));
	assert_true(fsmeta_output_format_parse(&format, "csv", FSMETA_OUTPUT_CHANGES));
	assert_int_equal(format, FSMETA_OUTPUT_CSV);
	assert_false(fsmeta_output_format_parse(&format, "json", UINT32_MAX));
	assert_false(fsmeta_output_format_parse(&format, "", UINT32_MAX));
}

/** Writes lines until it fails; the error it failed with. */
static struct fsmeta_error write_until_failure(FILE *stream)
{
	struct fsmeta_entry entry = make("a/b", FSMETA_TYPE_FILE, FSMETA_FIELDS_KNOWN);
	struct fsmeta_error error = {0};
	struct fsmeta_output *output;
	int code = 0;

	assert_int_equal(
	    fsmeta_output_new(&output, stream, FSMETA_OUTPUT_JSONL, 0, &plain, &error), 0);
	for (int i = 0; i < 100000 && !code; i++)
		code = fsmeta_output_entry(output, &entry, &error);
	if (!code)
		code = fsmeta_output_finish(output, &error);
	assert_int_equal(code, FSMETA_E_SYSTEM);
	fsmeta_output_free(output);
	fclose(stream);
	return error;
}

static void a_closed_pipe_is_epipe(void **state)
{
	int ends[2];

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(ends), 0);
	close(ends[0]);
	assert_int_equal(write_until_failure(fdopen(ends[1], "w")).system_errno, EPIPE);
}

static void a_full_disk_is_reported(void **state)
{
	FILE *full = fopen("/dev/full", "w");

	(void)state;
	if (!full)
		skip();
	assert_int_equal(write_until_failure(full).system_errno, ENOSPC);
}

static void many_lines_come_whole(void **state)
{
	enum {
		LINES = 20000
	};
	struct fsmeta_entry entry = make("", FSMETA_TYPE_FILE, FSMETA_FIELD_SIZE);
	struct fsmeta_error error = {0};
	struct capture capture;
	char path[3000], *at;

	(void)state;
	memset(path, 'p', sizeof(path));
	entry.path = path;
	capture_init(&capture, FSMETA_OUTPUT_JSONL, 0, &plain);
	for (unsigned i = 0; i < LINES; i++) {
		entry.path_length = 1 + i % sizeof(path);
		entry.size = i;
		assert_int_equal(fsmeta_output_entry(capture.output, &entry, &error), 0);
	}
	capture_finish(&capture);
	at = capture.text;
	for (unsigned i = 0; i < LINES; i++) {
		char tail[40];
		size_t length = 1 + i % sizeof(path);

		assert_memory_equal(at, "{\"type\":\"file\",\"path\":\"", 23);
		assert_memory_equal(at + 23, path, length);
		snprintf(tail, sizeof(tail), "\",\"size\":%u}\n", i);
		assert_memory_equal(at + 23 + length, tail, strlen(tail));
		at += 23 + length + strlen(tail);
	}
	assert_ptr_equal(at, capture.text + capture.length);
	free(capture.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(json_has_all_keys_in_order),
	    cmocka_unit_test(json_leaves_out_what_is_not_known),
	    cmocka_unit_test(json_escapes_hostile_names),
	    cmocka_unit_test(json_strings_equal_those_of_base),
	    cmocka_unit_test(json_times_equal_those_of_base),
	    cmocka_unit_test(json_numbers_are_exact),
	    cmocka_unit_test(text_lists_like_ls),
	    cmocka_unit_test(raw_paths_end_with_nul),
	    cmocka_unit_test(added_and_removed),
	    cmocka_unit_test(descendants_show_where_asked_for),
	    cmocka_unit_test(modified_shows_old_and_new),
	    cmocka_unit_test(modified_shows_other_fields),
	    cmocka_unit_test(corruption_stands_out),
	    cmocka_unit_test(moves_show_where_from),
	    cmocka_unit_test(unseen_places_say_what_is_there),
	    cmocka_unit_test(raw_changes_have_a_letter_and_a_path),
	    cmocka_unit_test(csv_quotes_what_it_must),
	    cmocka_unit_test(csv_has_a_head_without_lines),
	    cmocka_unit_test(mtree_puts_patterns_off),
	    cmocka_unit_test(mtree_escapes),
	    cmocka_unit_test(ncdu_nests),
	    cmocka_unit_test(raw_paths_have_no_remarks),
	    cmocka_unit_test(formats_are_parsed),
	    cmocka_unit_test(a_closed_pipe_is_epipe),
	    cmocka_unit_test(a_full_disk_is_reported),
	    cmocka_unit_test(many_lines_come_whole),
	};

	return cmocka_run_group_tests(tests, make_sources, release_sources);
}
