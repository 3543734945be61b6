/*
 * BatchSource: random round trips through JSON and through copies, the example of
 * the document, unknown keys, and JSON that is cut, bent or hostile.
 */
#include "base/path.h"
#include "format/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#define HEAD "{\"format\": \"fsmeta-batch-source\", \"format_version\": 1"

/* ---- equality --------------------------------------------------------- */

static void assert_same_text(const char *a, const char *b)
{
	assert_int_equal(a == NULL, b == NULL);
	if (a)
		assert_string_equal(a, b);
}

static void assert_same_strings(
    const struct fsmeta_string_list *a, const struct fsmeta_string_list *b)
{
	assert_int_equal(a->count, b->count);
	for (size_t i = 0; i < a->count; i++) {
		assert_int_equal(a->lengths[i], b->lengths[i]);
		assert_memory_equal(a->items[i], b->items[i], a->lengths[i]);
		assert_int_equal(b->items[i][b->lengths[i]], 0);
	}
}

static void assert_same_roots(const struct fsmeta_scope_list *a, const struct fsmeta_scope_list *b)
{
	assert_int_equal(a->count, b->count);
	assert_int_equal(a->total, b->total);
	for (size_t i = 0; i < a->count; i++) {
		assert_int_equal(a->roots[i].error, b->roots[i].error);
		assert_int_equal(a->roots[i].path_length, b->roots[i].path_length);
		assert_memory_equal(a->roots[i].path, b->roots[i].path, a->roots[i].path_length);
	}
}

static void assert_same_names(const struct fsmeta_owner_name *a, size_t a_count,
    const struct fsmeta_owner_name *b, size_t b_count)
{
	assert_int_equal(a_count, b_count);
	for (size_t i = 0; i < a_count; i++) {
		assert_int_equal(a[i].id, b[i].id);
		assert_string_equal(a[i].name, b[i].name);
	}
}

static void assert_same_source(
    const struct fsmeta_batch_source *a, const struct fsmeta_batch_source *b)
{
	assert_int_equal(a->format_version, b->format_version);
	assert_same_text(a->fsmeta_version, b->fsmeta_version);
	assert_same_text(a->machine_name, b->machine_name);
	assert_same_text(a->machine_id, b->machine_id);
	assert_same_text(a->mount_point, b->mount_point);
	assert_same_text(a->root_path, b->root_path);
	assert_same_text(a->source_id, b->source_id);
	assert_same_strings(&a->source_aliases, &b->source_aliases);
	assert_int_equal(a->filesystem_count, b->filesystem_count);
	for (size_t i = 0; i < a->filesystem_count; i++) {
		assert_string_equal(a->filesystems[i].uuid, b->filesystems[i].uuid);
		assert_string_equal(a->filesystems[i].type, b->filesystems[i].type);
		assert_string_equal(a->filesystems[i].label, b->filesystems[i].label);
	}
	assert_int_equal(fsmeta_time_compare(a->started, b->started), 0);
	assert_int_equal(fsmeta_time_compare(a->finished, b->finished), 0);
	assert_int_equal(a->generation, b->generation);
	assert_int_equal(a->base_generation, b->base_generation);
	assert_int_equal(a->has_state_digest, b->has_state_digest);
	assert_true(fsmeta_digest_equal(a->state_digest, b->state_digest));
	assert_int_equal(a->has_base_state_digest, b->has_base_state_digest);
	assert_true(fsmeta_digest_equal(a->base_state_digest, b->base_state_digest));
	assert_int_equal(a->field_mask, b->field_mask);
	assert_int_equal(a->hash_algorithm, b->hash_algorithm);
	assert_int_equal(a->id_kind, b->id_kind);
	assert_int_equal(a->path_case, b->path_case);
	assert_int_equal(a->quick, b->quick);
	assert_same_strings(&a->subtrees, &b->subtrees);
	assert_same_strings(&a->excludes, &b->excludes);
	assert_int_equal(a->cross_filesystems, b->cross_filesystems);
	assert_same_roots(&a->not_entered, &b->not_entered);
	assert_same_roots(&a->unreadable, &b->unreadable);
	assert_same_names(a->owners, a->owner_count, b->owners, b->owner_count);
	assert_same_names(a->groups, a->group_count, b->groups, b->group_count);
	assert_int_equal(a->has_totals, b->has_totals);
	assert_memory_equal(&a->totals, &b->totals, sizeof(a->totals));
}

/* ---- helpers ---------------------------------------------------------- */

/** JSON of a source, NUL-terminated, in `out`. */
static const char *write_json(struct fsmeta_buffer *out, const struct fsmeta_batch_source *source)
{
	struct fsmeta_error error = {0};

	fsmeta_buffer_clear(out);
	if (fsmeta_batch_source_to_json(out, source, &error))
		fail_msg("%s: %s", error.action, error.reason);
	return fsmeta_buffer_string(out);
}

static void read_json(struct fsmeta_batch_source *out, const char *text, size_t length)
{
	struct fsmeta_error error = {0};

	if (fsmeta_batch_source_from_json(out, text, length, "source.json", &error))
		fail_msg("%s", error.reason);
}

/** Reads text that must be refused with `code`; the words are in *error. */
static void refuse(const char *text, size_t length, int code, struct fsmeta_error *error)
{
	struct fsmeta_batch_source source;

	*error = (struct fsmeta_error){0};
	assert_int_equal(
	    fsmeta_batch_source_from_json(&source, text, length, "source.json", error), code);
	assert_int_equal(error->code, code);
	assert_int_equal(source.arena.held_bytes, 0);
	assert_null(source.unknown_keys);
	assert_int_equal(fsmeta_batch_source_from_json(&source, text, length, NULL, NULL), code);
}

/** The same for a BatchSource with some more keys; `reason` is how the words begin. */
static void refuse_keys(const char *keys, int code, const char *reason)
{
	struct fsmeta_error error;
	char text[1024];

	snprintf(text, sizeof(text), HEAD ", %s}", keys);
	refuse(text, strlen(text), code, &error);
	assert_string_equal(error.path, "source.json");
	if (strncmp(error.reason, reason, strlen(reason)))
		fail_msg("%s gives '%s', not '%s'", keys, error.reason, reason);
}

/** Reads a BatchSource with some more keys and gives what is written for it. */
static const char *rewrite_keys(struct fsmeta_buffer *out, const char *keys)
{
	struct fsmeta_batch_source source;
	char text[1024];

	snprintf(text, sizeof(text), HEAD ", %s}", keys);
	read_json(&source, text, strlen(text));
	write_json(out, &source);
	fsmeta_batch_source_release(&source);
	return fsmeta_buffer_string(out);
}

/* ---- random sources --------------------------------------------------- */

static const char *random_text(unsigned *seed, char out[32])
{
	static const char *const parts[] = {"a", "Ä", "\xff", "\xc3", "\n", "\"", "\\", " ",
	    "\xed\xa0\x80", "\xf0\x9f\x8e\xa5", "\x1b[31m", "\xef\xbf\xbd"};
	int count = rand_r(seed) % 5;

	out[0] = '\0';
	for (int i = 0; i < count; i++)
		strcat(out, parts[rand_r(seed) % 12]);
	return out;
}

static const char *random_path(unsigned *seed, char out[64])
{
	char name[32];

	out[0] = '\0';
	for (int i = rand_r(seed) % 3; i > 0; i--) {
		random_text(seed, name);
		sprintf(out + strlen(out), "%sx%s", out[0] ? "/" : "", name);
	}
	return out;
}

static uint64_t random_count(unsigned *seed)
{
	static const uint64_t counts[] = {
	    0, 1, 1000, UINT64_C(1) << 53, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};

	return counts[rand_r(seed) % 7];
}

static struct fsmeta_time random_time(unsigned *seed)
{
	static const int64_t seconds[] = {0, -1, 1700000000, -62135596800, 253402300800, 1};

	return (struct fsmeta_time){seconds[rand_r(seed) % 6], (uint32_t)rand_r(seed) % 1000000000};
}

static void set_random_texts(struct fsmeta_batch_source *source, unsigned *seed)
{
	const char **fields[] = {&source->fsmeta_version, &source->machine_name,
	    &source->machine_id, &source->mount_point, &source->source_id};
	char text[64];

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (rand_r(seed) % 3)
			assert_int_equal(
			    fsmeta_batch_source_set(source, fields[i], random_text(seed, text)), 0);
	if (rand_r(seed) % 3)
		assert_int_equal(
		    fsmeta_batch_source_set(source, &source->root_path, random_path(seed, text)),
		    0);
}

static void add_random_lists(struct fsmeta_batch_source *source, unsigned *seed)
{
	char a[64], b[32], c[32];
	uint32_t index;

	for (int i = rand_r(seed) % 20; i > 0; i--) {
		assert_int_equal(fsmeta_batch_source_add_filesystem(source, random_text(seed, a),
				     random_text(seed, b), random_text(seed, c), &index),
		    0);
		assert_true(index < source->filesystem_count);
		random_path(seed, a);
		assert_int_equal(
		    fsmeta_batch_source_add_string(source, &source->subtrees, a, strlen(a)), 0);
		random_text(seed, b);
		assert_int_equal(
		    fsmeta_batch_source_add_string(source, &source->excludes, b, strlen(b)), 0);
		assert_int_equal(fsmeta_batch_source_add_alias(source, b), 0);
		random_path(seed, a);
		assert_int_equal(
		    fsmeta_batch_source_add_root(source, &source->not_entered, a, strlen(a), 0), 0);
		assert_int_equal(fsmeta_batch_source_add_root(source, &source->unreadable, a,
				     strlen(a), 1 + rand_r(seed) % FSMETA_ERRNO_MAX),
		    0);
		assert_int_equal(fsmeta_batch_source_add_owner(
				     source, rand_r(seed) % 2, (uint32_t)rand_r(seed) << 1, b),
		    0);
	}
	source->unreadable.total += random_count(seed) / 2;
}

static void set_random_numbers(struct fsmeta_batch_source *source, unsigned *seed)
{
	uint64_t *counts[] = {&source->generation, &source->base_generation,
	    &source->totals.entries, &source->totals.files, &source->totals.folders,
	    &source->totals.symlinks, &source->totals.others, &source->totals.bytes,
	    &source->totals.allocated, &source->totals.unreadable, &source->totals.carried};
	size_t most = sizeof(counts) / sizeof(counts[0]);

	source->has_totals = rand_r(seed) % 2;
	for (size_t i = 0; i < (source->has_totals ? most : 2); i++)
		*counts[i] = random_count(seed);
	source->started = random_time(seed);
	source->finished = random_time(seed);
	source->has_state_digest = rand_r(seed) % 2;
	if (source->has_state_digest)
		source->state_digest =
		    (struct fsmeta_digest){random_count(seed), random_count(seed)};
	source->has_base_state_digest = rand_r(seed) % 2;
	if (source->has_base_state_digest)
		source->base_state_digest =
		    (struct fsmeta_digest){random_count(seed), random_count(seed)};
	source->field_mask = (uint32_t)rand_r(seed) & FSMETA_FIELDS_KNOWN;
	source->hash_algorithm = (enum fsmeta_hash_algorithm)(rand_r(seed) % 3);
	source->id_kind = (enum fsmeta_id_kind)(rand_r(seed) % 2);
	source->path_case = (enum fsmeta_path_case)(rand_r(seed) % 3);
	source->quick = rand_r(seed) % 2;
	source->cross_filesystems = rand_r(seed) % 2;
}

static void random_source(struct fsmeta_batch_source *out, unsigned *seed)
{
	fsmeta_batch_source_init(out);
	set_random_texts(out, seed);
	set_random_numbers(out, seed);
	add_random_lists(out, seed);
}

typedef int (*write_function)(
    struct fsmeta_buffer *, const struct fsmeta_batch_source *, struct fsmeta_error *);

/** A text in one line says the same; how long it is. */
static size_t expect_line_is_equal(write_function write_line,
    const struct fsmeta_batch_source *source, const struct fsmeta_buffer *indented)
{
	struct fsmeta_buffer line = {0}, again = {0};
	struct fsmeta_batch_source back;
	size_t length;

	assert_int_equal(write_line(&line, source, NULL), 0);
	length = line.length;
	assert_null(memchr(line.data, '\n', length));
	read_json(&back, (const char *)line.data, length);
	assert_int_equal(fsmeta_batch_source_to_json(&again, &back, NULL), 0);
	assert_int_equal(again.length, indented->length);
	assert_memory_equal(again.data, indented->data, again.length);
	fsmeta_batch_source_release(&back);
	fsmeta_buffer_release(&again);
	fsmeta_buffer_release(&line);
	return length;
}

/** Compact is shorter, terse no longer than that. */
static void expect_lines_are_equal(
    const struct fsmeta_batch_source *source, const struct fsmeta_buffer *indented)
{
	size_t compact =
	    expect_line_is_equal(fsmeta_batch_source_to_compact_json, source, indented);
	size_t terse = expect_line_is_equal(fsmeta_batch_source_to_terse_json, source, indented);

	assert_true(compact < indented->length);
	assert_true(terse <= compact);
}

static void random_sources_survive_json(void **state)
{
	struct fsmeta_buffer first = {0}, second = {0};

	(void)state;
	for (unsigned seed = 1; seed <= 1000; seed++) {
		struct fsmeta_batch_source source, back;
		unsigned s = seed;

		random_source(&source, &s);
		write_json(&first, &source);
		assert_true(fsmeta_utf8_is_valid((const char *)first.data, first.length));
		assert_int_equal(first.data[first.length - 1], '\n');
		read_json(&back, (const char *)first.data, first.length);
		assert_same_source(&source, &back);
		assert_null(back.unknown_keys);
		assert_string_equal(write_json(&second, &back), fsmeta_buffer_string(&first));
		expect_lines_are_equal(&source, &first);
		fsmeta_batch_source_release(&back);
		fsmeta_batch_source_release(&source);
	}
	fsmeta_buffer_release(&second);
	fsmeta_buffer_release(&first);
}

static void copies_are_deep(void **state)
{
	struct fsmeta_buffer before = {0}, after = {0};

	(void)state;
	for (unsigned seed = 1; seed <= 200; seed++) {
		struct fsmeta_batch_source source, copy;
		unsigned s = seed;
		uint32_t index;

		random_source(&source, &s);
		write_json(&before, &source);
		assert_int_equal(fsmeta_batch_source_copy(&copy, &source), 0);
		fsmeta_batch_source_release(&source);
		assert_string_equal(write_json(&after, &copy), fsmeta_buffer_string(&before));
		/* The copy's arrays must grow as any others. */
		for (int i = 0; i < 3; i++) {
			assert_int_equal(
			    fsmeta_batch_source_add_string(&copy, &copy.excludes, "more", 4), 0);
			assert_int_equal(
			    fsmeta_batch_source_add_filesystem(&copy, "more", "ext4", NULL, &index),
			    0);
			assert_int_equal(
			    fsmeta_batch_source_add_owner(&copy, true, UINT32_MAX, "more"), 0);
			assert_int_equal(
			    fsmeta_batch_source_add_root(&copy, &copy.unreadable, "m", 1, 5), 0);
		}
		fsmeta_batch_source_release(&copy);
	}
	fsmeta_buffer_release(&after);
	fsmeta_buffer_release(&before);
}

static void an_empty_source_says_little(void **state)
{
	struct fsmeta_batch_source source, back;
	struct fsmeta_buffer text = {0};

	(void)state;
	fsmeta_batch_source_init(&source);
	assert_false(fsmeta_batch_source_is_partial(&source));
	write_json(&text, &source);
	read_json(&back, (const char *)text.data, text.length);
	assert_same_source(&source, &back);
	fsmeta_batch_source_release(&back);
	read_json(&back, HEAD "}", strlen(HEAD "}"));
	assert_same_source(&source, &back);
	fsmeta_batch_source_release(&back);
	/* Releasing twice is harmless. */
	fsmeta_batch_source_release(&back);
	fsmeta_batch_source_release(&source);
	fsmeta_buffer_release(&text);
}

/* ---- the document's example ------------------------------------------- */

/** The only JSON block of docs/batchsource.md that is a whole BatchSource. */
static char *read_example(void)
{
	static const char opening[] = "```json\n";
	FILE *file = fopen(DOCUMENT, "r");
	char *text = calloc(1, 1 << 16), *start, *end, *example;

	assert_non_null(file);
	assert_non_null(text);
	assert_true(fread(text, 1, (1 << 16) - 1, file) > 0);
	fclose(file);
	start = strstr(text, opening);
	assert_non_null(start);
	start += strlen(opening);
	end = strstr(start, "```");
	assert_non_null(end);
	example = strndup(start, (size_t)(end - start));
	assert_non_null(example);
	free(text);
	return example;
}

static void the_example_is_what_we_write(void **state)
{
	char *example = read_example();
	struct fsmeta_batch_source source;
	struct fsmeta_buffer text = {0};

	(void)state;
	read_json(&source, example, strlen(example));
	assert_null(source.unknown_keys);
	assert_string_equal(write_json(&text, &source), example);
	assert_string_equal(source.mount_point, "/mnt/disk\xff"
						"1");
	assert_int_equal(source.generation, 7);
	assert_int_equal(source.totals.allocated, UINT64_C(1) << 63);
	assert_int_equal(source.unreadable.total, 1204);
	assert_int_equal(source.unreadable.roots[0].error, 13);
	assert_int_equal(source.started.nanoseconds, 1);
	fsmeta_batch_source_release(&source);
	fsmeta_buffer_release(&text);
	free(example);
}

static void json_cut_anywhere_is_refused(void **state)
{
	char *example = read_example();
	size_t length = strlen(example);
	struct fsmeta_error error;

	(void)state;
	/* The last two bytes are the closing brace and the newline. */
	for (size_t cut = 0; cut < length - 1; cut++) {
		/* A copy of the exact size, so that a read behind it shows. */
		char *part = malloc(cut ? cut : 1);
		/* Inside a character the bytes in front of the cut are wrong by themselves. */
		bool in_character = ((unsigned char)example[cut] & 0xc0) == 0x80;
		int code = in_character ? FSMETA_E_CORRUPT : FSMETA_E_TRUNCATED;

		assert_non_null(part);
		memcpy(part, example, cut);
		refuse(part, cut, cut ? code : FSMETA_E_FOREIGN, &error);
		assert_true(!cut || error.offset >= 0);
		free(part);
	}
	free(example);
}

static void json_bent_anywhere_is_clean(void **state)
{
	static const char bytes[] = "\0 \"{}[],:9-\\\xff\x1bnt.";
	char *example = read_example();
	size_t length = strlen(example);

	(void)state;
	for (size_t at = 0; at < length; at++) {
		char original = example[at];

		for (size_t i = 0; i < sizeof(bytes) - 1; i++) {
			struct fsmeta_batch_source source;
			struct fsmeta_error error = {0};
			int code;

			example[at] = bytes[i];
			code =
			    fsmeta_batch_source_from_json(&source, example, length, NULL, &error);
			assert_int_equal(code, error.code);
			fsmeta_batch_source_release(&source);
			for (const char *c = error.reason; *c; c++)
				assert_true(*c >= ' ' && *c < 0x7f);
		}
		example[at] = original;
	}
	free(example);
}

/* ---- unknown keys ----------------------------------------------------- */

static void unknown_keys_are_kept_everywhere(void **state)
{
	static const char *const keys =
	    "\"future\": {\"a\": [1, 2.5, null, \"x\\u0000y\"]}, "
	    "\"machine\": {\"name\": \"nas\", \"future\": 1}, "
	    "\"source\": {\"future\": 2}, "
	    "\"filesystems\": [{\"uuid\": \"A\"}, {\"uuid\": \"B\", \"future\": 3}], "
	    "\"scan\": {\"future\": 4}, "
	    "\"scope\": {\"future\": 5, \"subtrees\": [{\"path\": \"s\", \"future\": 6}], "
	    "\"excludes\": [{\"pattern\": \"e\", \"future\": 7}], "
	    "\"not_entered\": {\"future\": 8, \"roots\": [{\"path\": \"n\", \"future\": 9}]}, "
	    "\"unreadable\": {\"future\": 10, \"roots\": [{\"path\": \"u\", \"error\": "
	    "\"EIO\", \"future\": 11}]}}, "
	    "\"owners\": [{\"id\": 0, \"name\": \"r\", \"future\": 12}], "
	    "\"groups\": [{\"id\": 0, \"name\": \"g\", \"future\": 13}], "
	    "\"totals\": {\"future\": 14}";
	struct fsmeta_batch_source source, copy;
	struct fsmeta_buffer first = {0}, second = {0};

	(void)state;
	rewrite_keys(&first, keys);
	for (int i = 1; i <= 14; i++) {
		char wanted[32];

		snprintf(wanted, sizeof(wanted), "\"future\": %d", i);
		assert_non_null(strstr(fsmeta_buffer_string(&first), wanted));
	}
	assert_non_null(strstr(fsmeta_buffer_string(&first), "\"x\\u0000y\""));
	read_json(&source, (const char *)first.data, first.length);
	assert_int_equal(source.filesystem_count, 2);
	assert_string_equal(write_json(&second, &source), fsmeta_buffer_string(&first));
	expect_lines_are_equal(&source, &first);
	assert_int_equal(fsmeta_batch_source_copy(&copy, &source), 0);
	fsmeta_batch_source_release(&source);
	assert_string_equal(write_json(&second, &copy), fsmeta_buffer_string(&first));
	fsmeta_batch_source_release(&copy);
	fsmeta_buffer_release(&second);
	fsmeta_buffer_release(&first);
}

static void known_keys_do_not_come_back(void **state)
{
	struct fsmeta_batch_source source;
	struct fsmeta_buffer text = {0};
	static const char json[] = HEAD ", \"generation\": 7, \"totals\": {\"future\": 1}, "
					"\"machine\": {\"name\": \"n\", \"future\": 2}}";

	(void)state;
	read_json(&source, json, strlen(json));
	source.generation = 0;
	source.machine_name = NULL;
	write_json(&text, &source);
	assert_null(strstr(fsmeta_buffer_string(&text), "\"generation\""));
	assert_null(strstr(fsmeta_buffer_string(&text), "\"name\""));
	assert_non_null(strstr(fsmeta_buffer_string(&text), "\"future\": 2"));
	fsmeta_batch_source_release(&source);
	fsmeta_buffer_release(&text);
}

static void unknown_keys_of_elements_stay_with_them(void **state)
{
	static const char json[] =
	    HEAD ", \"owners\": [{\"id\": 5, \"name\": \"e\", \"future\": \"five\"},"
		 " {\"id\": 9, \"name\": \"n\", \"future\": \"nine\"}], "
		 "\"filesystems\": [{\"uuid\": \"A\", \"type\": \"x\", \"future\": \"gone\"}]}";
	struct fsmeta_batch_source source;
	struct fsmeta_buffer text = {0};
	const char *five, *seven, *nine;

	(void)state;
	read_json(&source, json, strlen(json));
	assert_int_equal(fsmeta_batch_source_add_owner(&source, false, 3, "three"), 0);
	assert_int_equal(fsmeta_batch_source_add_owner(&source, false, 7, "seven"), 0);
	source.filesystems[0].type = "y";
	write_json(&text, &source);
	five = strstr(fsmeta_buffer_string(&text), "\"future\": \"five\"");
	seven = strstr(fsmeta_buffer_string(&text), "\"seven\"");
	nine = strstr(fsmeta_buffer_string(&text), "\"future\": \"nine\"");
	assert_true(five && seven && nine && five < seven && seven < nine);
	assert_null(strstr(fsmeta_buffer_string(&text), "gone"));
	fsmeta_batch_source_release(&source);
	fsmeta_buffer_release(&text);
}

/* ---- what is refused -------------------------------------------------- */

static void what_is_no_batch_source_is_foreign(void **state)
{
	static const char *const foreign[] = {"", " ", "\n\n", "hello", "[]", "7", "null",
	    ("\x7f"
	     "ELF"),
	    "{}", "{\"format\": 1}", "{\"format\": \"other\", \"format_version\": 1}",
	    "{\"format_version\": 1}", "[{\"format\": \"fsmeta-batch-source\"}]"};
	struct fsmeta_error error;

	(void)state;
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		refuse(foreign[i], strlen(foreign[i]), FSMETA_E_FOREIGN, &error);
}

static void versions_are_judged_first(void **state)
{
	static const char newer[] =
	    "{\"format\": \"fsmeta-batch-source\", \"format_version\": 2, \"fields\": [\"new\"]}";
	static const char *const wrong[] = {"", ", \"format_version\": 0",
	    ", \"format_version\": -1", ", \"format_version\": \"one\"",
	    ", \"format_version\": 1.5", ", \"format_version\": null"};
	struct fsmeta_error error;
	char text[128];

	(void)state;
	refuse(newer, strlen(newer), FSMETA_E_UNSUPPORTED, &error);
	assert_string_equal(
	    error.reason, "format_version: 2 is newer than the 1 that this fsmeta knows");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(text, sizeof(text), "{\"format\": \"fsmeta-batch-source\"%s}", wrong[i]);
		refuse(text, strlen(text), FSMETA_E_CORRUPT, &error);
		assert_memory_equal(error.reason, "format_version", 14);
	}
}

static void wrong_values_are_named(void **state)
{
	static const struct {
		const char *keys, *reason;
	} wrong[] = {
	    {"\"machine\": []", "machine: not an object"},
	    {"\"machine\": {\"name\": 7}", "machine.name: not a string"},
	    {"\"machine\": {\"name\": \"a\\u0000b\"}", "machine.name: has a NUL"},
	    {"\"machine\": {\"name_b64\": \"!\"}", "machine.name_b64: not base64"},
	    {"\"machine\": {\"name_b64\": \"YQBi\"}", "machine.name_b64: has a NUL"},
	    {"\"machine\": {\"name\": 1, \"name_b64\": \"YWI=\"}", "machine.name: not a string"},
	    {"\"source\": {\"id\": {}}", "source.id: not a string"},
	    {"\"source\": {\"root_path\": \"/abs\"}", "source.root_path: not a relative path"},
	    {"\"source\": {\"root_path\": \"a/../b\"}", "source.root_path: not a relative"},
	    {"\"filesystems\": {}", "filesystems: not an array"},
	    {"\"filesystems\": [{}, 3]", "filesystems[1]: not an object"},
	    {"\"filesystems\": [{\"type\": null}]", "filesystems[0].type: not a string"},
	    {"\"scan\": {\"started\": \"yesterday\"}", "scan.started: not an RFC 3339 time"},
	    {"\"scan\": {\"finished\": 5}", "scan.finished: not a string"},
	    {"\"scan\": {\"quick\": 1}", "scan.quick: neither true nor false"},
	    {"\"generation\": -1", "generation: not a count"},
	    {"\"generation\": 1.0", "generation: not a count"},
	    {"\"generation\": \"-1\"", "generation: not a count"},
	    {"\"generation\": \"\"", "generation: not a count"},
	    {"\"generation\": \"01\"", "generation: not a count"},
	    {"\"generation\": \"18446744073709551616\"", "generation: not a count"},
	    {"\"generation\": \"99999999999999999999\"", "generation: not a count"},
	    {"\"generation\": 18446744073709551615", "line 1: too big integer"},
	    {"\"state_digest\": \"00\"", "state_digest: not 32 hexadecimal digits"},
	    {"\"base_state_digest\": 0", "base_state_digest: not a string"},
	    {"\"fields\": \"size\"", "fields: not a list of strings"},
	    {"\"fields\": [1]", "fields: not a list of strings"},
	    {"\"fields\": [\"size\", \"error\"]", "fields: unknown field error"},
	    {"\"fields\": [\"\\u001b[31m\"]", "fields: unknown field \"\\033[31m\""},
	    {"\"hash_algorithm\": \"md5\"", "hash_algorithm: unknown value md5"},
	    {"\"ids\": 1", "ids: not a string"},
	    {"\"path_case\": \"\"", "path_case: unknown value"},
	    {"\"scope\": 1", "scope: not an object"},
	    {"\"scope\": {\"subtrees\": [\"a\"]}", "scope.subtrees[0]: not an object"},
	    {"\"scope\": {\"subtrees\": [{}]}", "scope.subtrees[0].path: missing"},
	    {"\"scope\": {\"subtrees\": [{\"path\": \"..\"}]}",
		"scope.subtrees[0].path: not a relative path"},
	    {"\"scope\": {\"excludes\": [{\"pattern\": \"x\"}, {}]}",
		"scope.excludes[1].pattern: missing"},
	    {"\"scope\": {\"cross_filesystems\": \"no\"}",
		"scope.cross_filesystems: neither true nor false"},
	    {"\"scope\": {\"not_entered\": []}", "scope.not_entered: not an object"},
	    {"\"scope\": {\"not_entered\": {\"roots\": [{\"path\": \"a//b\"}]}}",
		"scope.not_entered.roots[0].path: not a relative path"},
	    {"\"scope\": {\"unreadable\": {\"roots\": [{\"path\": \"a\"}], \"total\": 0}}",
		"scope.unreadable.total: less than"},
	    {"\"scope\": {\"unreadable\": {\"roots\": [{\"path\": \"a\", \"error\": \"ENO\"}]}}",
		"scope.unreadable.roots[0].error: not the name of an error"},
	    {"\"scope\": {\"unreadable\": {\"roots\": [{\"path\": \"a\", \"error\": 4096}]}}",
		"scope.unreadable.roots[0].error: not the name of an error"},
	    {"\"scope\": {\"unreadable\": {\"roots\": [{\"path\": \"a\", \"error\": -1}]}}",
		"scope.unreadable.roots[0].error: not the name of an error"},
	    {"\"owners\": [{\"id\": 4294967296, \"name\": \"x\"}]",
		"owners[0].id: greater than 4294967295"},
	    {"\"owners\": [{\"name\": \"x\"}]", "owners[0].id: missing"},
	    {"\"groups\": [{\"id\": 1}]", "groups[0].name: missing"},
	    {"\"groups\": [{\"id\": 1, \"name\": \"a\"}, {\"id\": 1, \"name\": \"b\"}]",
		"groups[1].id: not above the one before"},
	    {"\"totals\": {\"bytes\": true}", "totals.bytes: not a count"},
	    {"\"totals\": {\"bytes\": 1, \"bytes\": 2}", "line 1: duplicate object key"},
	    {"\"future\": {\"a\": 1, \"a\": 2}", "line 1: duplicate object key"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		refuse_keys(wrong[i].keys, FSMETA_E_CORRUPT, wrong[i].reason);
}

/** HEAD, then `count` times `part` between `before` and `after`. */
static char *repeat(const char *before, const char *part, size_t count, const char *after)
{
	size_t part_length = strlen(part);
	char *text =
	    malloc(strlen(HEAD) + strlen(before) + count * part_length + strlen(after) + 1);
	char *at = text;

	assert_non_null(text);
	at += sprintf(at, "%s%s", HEAD, before);
	for (size_t i = 0; i < count; i++, at += part_length)
		memcpy(at, part, part_length);
	strcpy(at, after);
	return text;
}

static void too_much_is_refused(void **state)
{
	struct fsmeta_error error;
	char *text;

	(void)state;
	text = repeat(", \"filesystems\": [", "{},", FSMETA_FILESYSTEMS_MAX, "{}]}");
	refuse(text, strlen(text), FSMETA_E_LIMIT, &error);
	assert_string_equal(error.reason, "filesystems: more than 65536 elements");
	free(text);
	text = repeat(", \"owners\": [", "{},", FSMETA_OWNERS_MAX, "{}]}");
	refuse(text, strlen(text), FSMETA_E_LIMIT, &error);
	free(text);
	text = repeat(", \"scope\": {\"unreadable\": {\"roots\": [", "{\"path\": \"a\"},",
	    FSMETA_SCOPE_LIST_MAX, "{\"path\": \"a\"}]}}}");
	refuse(text, strlen(text), FSMETA_E_LIMIT, &error);
	assert_string_equal(error.reason, "scope.unreadable.roots: more than 1000 elements");
	free(text);
	text = repeat(", \"deep\": ", "[", 1000000, "}");
	refuse(text, strlen(text), FSMETA_E_CORRUPT, &error);
	assert_non_null(strstr(error.reason, "depth"));
	free(text);
	text =
	    repeat(", \"long\": \"", "0123456789abcdef", FSMETA_SOURCE_JSON_MAX_BYTES / 16, "\"}");
	refuse(text, strlen(text), FSMETA_E_LIMIT, &error);
	free(text);
}

static void full_tables_are_read(void **state)
{
	struct fsmeta_batch_source source, back;
	struct fsmeta_buffer text = {0};
	uint32_t *map;

	(void)state;
	fsmeta_batch_source_init(&source);
	source.filesystems = calloc(FSMETA_FILESYSTEMS_MAX, sizeof(*source.filesystems));
	assert_non_null(source.filesystems);
	source.filesystem_count = FSMETA_FILESYSTEMS_MAX;
	for (uint32_t i = 0; i < FSMETA_FILESYSTEMS_MAX; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%08x", i * 2654435761u);
		source.filesystems[i].uuid = fsmeta_arena_copy(&source.arena, name, strlen(name));
		source.filesystems[i].type = source.filesystems[i].label = "";
		assert_int_equal(fsmeta_batch_source_add_owner(&source, false, i * 3, name), 0);
	}
	assert_int_equal(fsmeta_batch_source_add_owner(&source, false, 1, "too many"), 0);
	assert_int_equal(source.owner_count, FSMETA_OWNERS_MAX);
	write_json(&text, &source);
	read_json(&back, (const char *)text.data, text.length);
	assert_same_source(&source, &back);
	assert_int_equal(fsmeta_batch_source_map_filesystems(&map, &source, &back), 0);
	for (uint32_t i = 0; i < FSMETA_FILESYSTEMS_MAX; i++)
		assert_int_equal(map[i], i);
	assert_int_equal(
	    fsmeta_batch_source_add_filesystem(&back, "one", "more", "", &map[0]), FSMETA_E_LIMIT);
	free(map);
	free(source.filesystems);
	source.filesystems = NULL;
	source.filesystem_count = 0;
	fsmeta_batch_source_release(&back);
	fsmeta_batch_source_release(&source);
	fsmeta_buffer_release(&text);
}

static void what_cannot_be_read_back_is_not_written(void **state)
{
	struct fsmeta_batch_source source;
	struct fsmeta_buffer text = {0};
	struct fsmeta_error error = {0};
	char *huge = malloc(FSMETA_SOURCE_JSON_MAX_BYTES);

	(void)state;
	assert_non_null(huge);
	assert_int_equal(fsmeta_buffer_append_text(&text, "before"), 0);
	fsmeta_batch_source_init(&source);
	assert_int_equal(fsmeta_batch_source_add_string(&source, &source.excludes, "a\0b", 3), 0);
	assert_int_equal(fsmeta_batch_source_to_json(&text, &source, &error), FSMETA_E_INTERNAL);
	fsmeta_batch_source_release(&source);
	source.path_case = (enum fsmeta_path_case)9;
	assert_int_equal(fsmeta_batch_source_to_json(&text, &source, &error), FSMETA_E_INTERNAL);
	fsmeta_batch_source_release(&source);
	memset(huge, 'x', FSMETA_SOURCE_JSON_MAX_BYTES);
	assert_int_equal(fsmeta_batch_source_add_string(
			     &source, &source.excludes, huge, FSMETA_SOURCE_JSON_MAX_BYTES),
	    0);
	assert_int_equal(fsmeta_batch_source_to_json(&text, &source, &error), FSMETA_E_LIMIT);
	assert_int_equal(error.code, FSMETA_E_LIMIT);
	assert_string_equal(fsmeta_buffer_string(&text), "before");
	fsmeta_batch_source_release(&source);
	fsmeta_buffer_release(&text);
	free(huge);
}

/* ---- details of the values -------------------------------------------- */

static void exact_bytes_win_over_their_replacement(void **state)
{
	struct fsmeta_batch_source source;
	struct fsmeta_buffer text = {0};
	static const char json[] =
	    HEAD ", \"source\": {\"mount_point\": \"ignored\", \"mount_point_b64\": \"L/8=\"}, "
		 "\"scope\": {\"excludes\": [{\"pattern_b64\": \"/w==\"}]}}";

	(void)state;
	read_json(&source, json, strlen(json));
	assert_string_equal(source.mount_point, "/\xff");
	assert_int_equal(source.excludes.lengths[0], 1);
	assert_memory_equal(source.excludes.items[0], "\xff", 1);
	write_json(&text, &source);
	assert_non_null(strstr(fsmeta_buffer_string(&text), "\"mount_point\": \"/\xef\xbf\xbd\""));
	assert_non_null(strstr(fsmeta_buffer_string(&text), "\"mount_point_b64\": \"L/8=\""));
	assert_non_null(strstr(fsmeta_buffer_string(&text), "\"pattern_b64\": \"/w==\""));
	fsmeta_batch_source_release(&source);
	fsmeta_buffer_release(&text);
}

static void errors_have_names_or_numbers(void **state)
{
	struct fsmeta_batch_source source;
	struct fsmeta_buffer text = {0};

	(void)state;
	fsmeta_batch_source_init(&source);
	assert_int_equal(fsmeta_batch_source_add_root(&source, &source.unreadable, "a", 1, 13), 0);
	assert_int_equal(
	    fsmeta_batch_source_add_root(&source, &source.unreadable, "b", 1, 4000), 0);
	write_json(&text, &source);
	assert_non_null(strstr(fsmeta_buffer_string(&text), "\"error\": \"EACCES\""));
	assert_non_null(strstr(fsmeta_buffer_string(&text), "\"error\": 4000"));
	fsmeta_batch_source_release(&source);
	fsmeta_buffer_release(&text);
}

static void times_of_other_zones_are_understood(void **state)
{
	struct fsmeta_batch_source source;
	static const char json[] =
	    HEAD ", \"scan\": {\"started\": \"2023-11-14T23:13:20.5+01:00\"}}";

	(void)state;
	read_json(&source, json, strlen(json));
	assert_int_equal(source.started.seconds, 1700000000);
	assert_int_equal(source.started.nanoseconds, 500000000);
	fsmeta_batch_source_release(&source);
}

/* ---- memory that runs out --------------------------------------------- */

/** Allocations until one fails; negative = none does.  The linker sends them here. */
static long allocations_left = -1;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static bool allocation_fails(void)
{
	if (allocations_left > 0)
		allocations_left--;
	return allocations_left == 0;
}

void *__wrap_malloc(size_t size)
{
	return allocation_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return allocation_fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return allocation_fails() ? NULL : __real_realloc(old, size);
}

/** Reads, copies and writes `text`; the first failure is the result. */
static int read_copy_write(const char *text, struct fsmeta_buffer *out, struct fsmeta_error *error)
{
	struct fsmeta_batch_source source, copy;
	int code = fsmeta_batch_source_from_json(&source, text, strlen(text), NULL, error);

	fsmeta_batch_source_init(&copy);
	if (!code) {
		code = fsmeta_batch_source_copy(&copy, &source);
		if (code)
			fsmeta_error_set_memory(error, "copying");
	}
	if (!code)
		code = fsmeta_batch_source_to_json(out, &copy, error);
	fsmeta_batch_source_release(&copy);
	fsmeta_batch_source_release(&source);
	return code;
}

/** The first and all behind it, the second and all behind it, … until none is left to fail. */
static void every_allocation_may_fail(void **state)
{
	static const char text[] = HEAD
	    ", \"future\": [1, {\"a\": \"b\"}], \"machine\": {\"name_b64\": \"/w==\", \"future\": "
	    "1}, "
	    "\"filesystems\": [{\"uuid\": \"A\", \"future\": 3}], \"fields\": [\"size\"], "
	    "\"scope\": {\"subtrees\": [{\"path\": \"s\"}], \"excludes\": [{\"pattern\": \"e\"}], "
	    "\"unreadable\": {\"total\": \"18446744073709551615\", \"roots\": [{\"path\": \"u\", "
	    "\"error\": \"EIO\"}]}}, \"owners\": [{\"id\": 0, \"name\": \"r\"}], \"totals\": {}}";
	struct fsmeta_buffer expected = {0}, out = {0};
	struct fsmeta_error error = {0};
	int code = FSMETA_E_MEMORY;
	long failing = 0;

	(void)state;
	assert_int_equal(read_copy_write(text, &expected, &error), 0);
	json_set_alloc_funcs(__wrap_malloc, free);
	while (code) {
		fsmeta_buffer_release(&out);
		error = (struct fsmeta_error){0};
		allocations_left = ++failing;
		code = read_copy_write(text, &out, &error);
		allocations_left = -1;
		assert_int_equal(code, error.code);
		/* jansson's own scanner takes a string that it has no room for for bad syntax. */
		if (code && code != FSMETA_E_MEMORY && strncmp(error.reason, "line 1: ", 8))
			fail_msg("allocation %ld: %s", failing, error.reason);
	}
	json_set_alloc_funcs(malloc, free);
	assert_true(failing > 100);
	assert_string_equal(fsmeta_buffer_string(&out), fsmeta_buffer_string(&expected));
	fsmeta_buffer_release(&out);
	fsmeta_buffer_release(&expected);
}

/* ---- tables and lists ------------------------------------------------- */

static uint32_t add_filesystem(
    struct fsmeta_batch_source *source, const char *uuid, const char *type, const char *label)
{
	uint32_t index = UINT32_MAX;

	assert_int_equal(fsmeta_batch_source_add_filesystem(source, uuid, type, label, &index), 0);
	return index;
}

static void file_systems_are_added_once(void **state)
{
	struct fsmeta_batch_source source;

	(void)state;
	fsmeta_batch_source_init(&source);
	assert_int_equal(add_filesystem(&source, "U", "ext4", "L"), 0);
	assert_int_equal(add_filesystem(&source, "U", "ext4", "other"), 0);
	assert_int_equal(add_filesystem(&source, "U", "xfs", "L"), 1);
	assert_int_equal(add_filesystem(&source, NULL, "tmpfs", NULL), 2);
	assert_int_equal(add_filesystem(&source, "", "tmpfs", ""), 2);
	assert_int_equal(add_filesystem(&source, "", "tmpfs", "L"), 3);
	assert_int_equal(add_filesystem(&source, NULL, NULL, NULL), 4);
	assert_int_equal(source.filesystem_count, 5);
	assert_string_equal(source.filesystems[0].label, "L");
	assert_string_equal(source.filesystems[4].uuid, "");
	for (int i = 0; i < 1000; i++) {
		char uuid[16];

		snprintf(uuid, sizeof(uuid), "%d", i);
		assert_int_equal(add_filesystem(&source, uuid, "ext4", ""), 5 + i);
	}
	assert_int_equal(add_filesystem(&source, "U", "xfs", ""), 1);
	fsmeta_batch_source_release(&source);
}

static void tables_of_file_systems_are_mapped(void **state)
{
	struct fsmeta_batch_source a, b;
	uint32_t *map;

	(void)state;
	fsmeta_batch_source_init(&a);
	fsmeta_batch_source_init(&b);
	assert_int_equal(fsmeta_batch_source_map_filesystems(&map, &a, &b), 0);
	assert_non_null(map);
	free(map);
	add_filesystem(&a, "", "tmpfs", "x");
	add_filesystem(&a, "U", "ext4", "L");
	add_filesystem(&a, "V", "ext4", "L");
	add_filesystem(&b, "V", "ext4", "renamed");
	add_filesystem(&b, "V", "xfs", "");
	add_filesystem(&b, "", "tmpfs", "y");
	add_filesystem(&b, "", "tmpfs", "x");
	add_filesystem(&b, "U", "ext4", "");
	assert_int_equal(fsmeta_batch_source_map_filesystems(&map, &a, &b), 0);
	assert_int_equal(map[0], 2);
	assert_int_equal(map[1], UINT32_MAX);
	assert_int_equal(map[2], UINT32_MAX);
	assert_int_equal(map[3], 0);
	assert_int_equal(map[4], 1);
	free(map);
	fsmeta_batch_source_release(&b);
	fsmeta_batch_source_release(&a);
}

static void scope_lists_are_bounded_and_counted(void **state)
{
	struct fsmeta_batch_source source;

	(void)state;
	fsmeta_batch_source_init(&source);
	for (int i = 0; i < FSMETA_SCOPE_LIST_MAX + 500; i++)
		assert_int_equal(
		    fsmeta_batch_source_add_root(&source, &source.not_entered, "abc", 2, 0), 0);
	assert_int_equal(source.not_entered.count, FSMETA_SCOPE_LIST_MAX);
	assert_int_equal(source.not_entered.total, FSMETA_SCOPE_LIST_MAX + 500);
	assert_string_equal(source.not_entered.roots[7].path, "ab");
	assert_true(fsmeta_batch_source_is_partial(&source));
	fsmeta_batch_source_release(&source);
}

static void owners_are_sorted_and_noted_once(void **state)
{
	struct fsmeta_batch_source source;

	(void)state;
	fsmeta_batch_source_init(&source);
	assert_int_equal(fsmeta_batch_source_add_owner(&source, false, 1000, "anna"), 0);
	assert_int_equal(fsmeta_batch_source_add_owner(&source, false, 0, "root"), 0);
	assert_int_equal(fsmeta_batch_source_add_owner(&source, false, 1000, "other"), 0);
	assert_int_equal(fsmeta_batch_source_add_owner(&source, false, UINT32_MAX, "last"), 0);
	assert_int_equal(fsmeta_batch_source_add_owner(&source, true, 1000, "users"), 0);
	assert_int_equal(source.owner_count, 3);
	assert_string_equal(source.owners[0].name, "root");
	assert_string_equal(source.owners[1].name, "anna");
	assert_int_equal(source.owners[2].id, UINT32_MAX);
	assert_int_equal(source.group_count, 1);
	fsmeta_batch_source_release(&source);
}

static void what_was_not_looked_at_makes_a_source_partial(void **state)
{
	struct fsmeta_batch_source source;

	(void)state;
	fsmeta_batch_source_init(&source);
	assert_int_equal(fsmeta_batch_source_add_string(&source, &source.excludes, "*.tmp", 5), 0);
	assert_false(fsmeta_batch_source_is_partial(&source));
	assert_int_equal(fsmeta_batch_source_add_string(&source, &source.subtrees, "a", 1), 0);
	assert_true(fsmeta_batch_source_is_partial(&source));
	fsmeta_batch_source_release(&source);
	source.unreadable.total = 1;
	assert_true(fsmeta_batch_source_is_partial(&source));
	fsmeta_batch_source_release(&source);
}

static void totals_count_in_and_out(void **state)
{
	static const enum fsmeta_type types[] = {FSMETA_TYPE_FILE, FSMETA_TYPE_FILE,
	    FSMETA_TYPE_FOLDER, FSMETA_TYPE_SYMLINK, FSMETA_TYPE_FIFO, FSMETA_TYPE_SOCKET,
	    FSMETA_TYPE_BLOCK, FSMETA_TYPE_CHAR};
	struct fsmeta_totals totals = {0}, expected = {.entries = 8,
					       .files = 2,
					       .folders = 1,
					       .symlinks = 1,
					       .others = 4,
					       .bytes = 14,
					       .allocated = 8192,
					       .unreadable = 1,
					       .carried = 1};
	struct fsmeta_totals none = {0};

	(void)state;
	for (int sign = 1; sign >= -1; sign -= 2) {
		for (size_t i = 0; i < 8; i++) {
			struct fsmeta_entry entry = {.type = types[i],
			    .size = 7,
			    .allocated = 4096,
			    .flags = i == 2 ? FSMETA_FLAG_UNREADABLE : 0,
			    .unknown_since = i == 3 ? 5 : 0};

			fsmeta_totals_count(&totals, &entry, sign);
		}
		assert_memory_equal(&totals, sign == 1 ? &expected : &none, sizeof(totals));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(random_sources_survive_json),
	    cmocka_unit_test(copies_are_deep),
	    cmocka_unit_test(an_empty_source_says_little),
	    cmocka_unit_test(the_example_is_what_we_write),
	    cmocka_unit_test(json_cut_anywhere_is_refused),
	    cmocka_unit_test(json_bent_anywhere_is_clean),
	    cmocka_unit_test(unknown_keys_are_kept_everywhere),
	    cmocka_unit_test(known_keys_do_not_come_back),
	    cmocka_unit_test(unknown_keys_of_elements_stay_with_them),
	    cmocka_unit_test(what_is_no_batch_source_is_foreign),
	    cmocka_unit_test(versions_are_judged_first),
	    cmocka_unit_test(wrong_values_are_named),
	    cmocka_unit_test(too_much_is_refused),
	    cmocka_unit_test(full_tables_are_read),
	    cmocka_unit_test(what_cannot_be_read_back_is_not_written),
	    cmocka_unit_test(exact_bytes_win_over_their_replacement),
	    cmocka_unit_test(errors_have_names_or_numbers),
	    cmocka_unit_test(times_of_other_zones_are_understood),
	    cmocka_unit_test(every_allocation_may_fail),
	    cmocka_unit_test(file_systems_are_added_once),
	    cmocka_unit_test(tables_of_file_systems_are_mapped),
	    cmocka_unit_test(scope_lists_are_bounded_and_counted),
	    cmocka_unit_test(owners_are_sorted_and_noted_once),
	    cmocka_unit_test(what_was_not_looked_at_makes_a_source_partial),
	    cmocka_unit_test(totals_count_in_and_out),
	};

	return cmocka_run_group_tests_name("format/source", tests, NULL, NULL);
}
