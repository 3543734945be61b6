/*
 * Damaged, cut, foreign and hostile streams: all are refused, with the code that
 * says which they are, and none crashes or yields a different tree in silence.
 */
#include "test_format_stream_io.h"

#include "format/stream_record.h"

/** A small stream with all kinds of fields. */
static void make_stream(struct fsmeta_buffer *bytes, size_t entries)
{
	struct tree tree;

	tree_init(&tree, 42, FSMETA_FIELDS_KNOWN);
	tree.source.id_kind = FSMETA_IDS_STABLE;
	tree_make_random(&tree, entries);
	io_write(bytes, &tree);
	tree_release(&tree);
}

static void assert_damage(int code, const struct fsmeta_error *error)
{
	assert_true(code == FSMETA_E_CORRUPT || code == FSMETA_E_TRUNCATED ||
		    code == FSMETA_E_FOREIGN || code == FSMETA_E_LIMIT ||
		    code == FSMETA_E_UNSUPPORTED);
	assert_int_equal(error->code, code);
	assert_true(error->path[0] && error->action[0] && error->reason[0]);
}

static void every_truncation_is_refused(void **state)
{
	struct fsmeta_buffer bytes = {0};

	(void)state;
	make_stream(&bytes, 200);
	assert_in_range(bytes.length, 1000, 60000);
	for (size_t size = 0; size < bytes.length; size++) {
		struct fsmeta_error error = {0};
		int code = io_drain_file(bytes.data, size, &error);

		assert_damage(code, &error);
		assert_int_equal(code, size < 4 ? FSMETA_E_FOREIGN : FSMETA_E_TRUNCATED);
		if (size % 7 == 0)
			assert_int_equal(code, io_drain_pipe(bytes.data, size, &error));
	}
	fsmeta_buffer_release(&bytes);
}

/** Cut behind whole batches: the message says how many entries were good. */
static void a_truncated_stream_says_how_far_it_was_good(void **state)
{
	struct fsmeta_seek_table table = {0};
	struct fsmeta_buffer bytes = {0};
	struct fsmeta_error error = {0};
	uint64_t offset = 0;
	struct tree tree;
	int fd;

	(void)state;
	tree_init(&tree, 42, FSMETA_FIELDS_CORE);
	tree_make_random(&tree, 30000);
	io_write(&bytes, &tree);
	fd = io_file(bytes.data, bytes.length);
	assert_int_equal(0, fsmeta_seek_table_read(&table, fd, bytes.length, "file", &error));
	close(fd);
	assert_true(table.count >= 5);
	for (size_t i = 0; i < 3; i++)
		offset += table.frames[i].compressed_bytes;
	for (size_t extra = 0; extra < 3; extra++) {
		assert_int_equal(
		    FSMETA_E_TRUNCATED, io_drain_file(bytes.data, (size_t)offset + extra, &error));
		assert_int_equal(error.offset, offset);
		assert_non_null(strstr(error.reason, "2 batches"));
		assert_int_equal(
		    FSMETA_E_TRUNCATED, io_drain_pipe(bytes.data, (size_t)offset + extra, &error));
		assert_int_equal(error.offset, offset);
	}
	fsmeta_seek_table_release(&table);
	fsmeta_buffer_release(&bytes);
	tree_release(&tree);
}

/**
 * zstd's own bytes have a few bits that say nothing (padding of an entropy coder);
 * with one of them flipped the stream is what it was.  Every other flip is refused.
 */
static void every_flipped_bit_is_refused_or_says_nothing(void **state)
{
	struct fsmeta_buffer bytes = {0};
	struct tree tree;
	size_t idle = 0;

	(void)state;
	tree_init(&tree, 42, FSMETA_FIELDS_KNOWN);
	tree.source.id_kind = FSMETA_IDS_STABLE;
	tree_make_random(&tree, 60);
	io_write(&bytes, &tree);
	assert_in_range(bytes.length, 500, 8000);
	for (size_t bit = 0; bit < bytes.length * 8; bit++) {
		struct fsmeta_error error = {0}, pipe_error = {0};
		struct fsmeta_cursor *cursor;
		int code;

		bytes.data[bit / 8] ^= (unsigned char)(1 << bit % 8);
		code = io_drain_file(bytes.data, bytes.length, &error);
		if (code == 0) {
			idle++;
			io_assert_ok(fsmeta_stream_open_fd(&cursor,
					 io_file(bytes.data, bytes.length), "file", &error),
			    &error);
			io_assert_yields(cursor, &tree);
			fsmeta_cursor_close(cursor);
			assert_int_equal(0, io_drain_pipe(bytes.data, bytes.length, &pipe_error));
		} else {
			assert_damage(code, &error);
			assert_damage(
			    io_drain_pipe(bytes.data, bytes.length, &pipe_error), &pipe_error);
		}
		bytes.data[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
	assert_true(idle * 100 < bytes.length * 8);
	fsmeta_buffer_release(&bytes);
	tree_release(&tree);
}

/** Pieces cut out, doubled and exchanged in a larger stream. */
static void moved_pieces_are_refused(void **state)
{
	struct fsmeta_buffer bytes = {0}, damaged = {0};
	struct tree random = {.random = 99};

	(void)state;
	make_stream(&bytes, 20000);
	for (int round = 0; round < 300; round++) {
		struct fsmeta_error error = {0};
		size_t at = tree_random(&random) % bytes.length;
		size_t size = 1 + tree_random(&random) % (bytes.length - at);

		size = round % 2 ? size : 1 + size % 100;
		fsmeta_buffer_clear(&damaged);
		fsmeta_buffer_append(&damaged, bytes.data, at);
		if (round % 3 == 0) /* doubled */
			fsmeta_buffer_append(&damaged, bytes.data + at, size);
		if (round % 3 != 1) /* left out otherwise */
			fsmeta_buffer_append(&damaged, bytes.data + at, size);
		if (round % 3 == 2)
			memset(damaged.data + at, round, size);
		size = size > bytes.length - at ? bytes.length - at : size;
		fsmeta_buffer_append(&damaged, bytes.data + at + size, bytes.length - at - size);
		if (damaged.length == bytes.length &&
		    memcmp(damaged.data, bytes.data, bytes.length) == 0)
			continue;
		assert_damage(io_drain_file(damaged.data, damaged.length, &error), &error);
	}
	fsmeta_buffer_release(&bytes);
	fsmeta_buffer_release(&damaged);
}

static void whole_frames_moved_are_refused(void **state)
{
	struct fsmeta_seek_table table = {0};
	struct fsmeta_buffer bytes = {0}, damaged = {0};
	struct fsmeta_error error = {0};
	size_t starts[64] = {0};
	int fd;

	(void)state;
	make_stream(&bytes, 30000);
	fd = io_file(bytes.data, bytes.length);
	assert_int_equal(0, fsmeta_seek_table_read(&table, fd, bytes.length, "file", &error));
	close(fd);
	assert_in_range(table.count, 6, 60);
	for (size_t i = 0; i < table.count; i++)
		starts[i + 1] = starts[i] + table.frames[i].compressed_bytes;
	/* Each batch left out, each batch twice; with a seek table that agrees. */
	for (size_t victim = 1; victim + 1 < table.count; victim++) {
		for (int times = 0; times <= 2; times += 2) {
			struct fsmeta_seek_table changed = {0};

			fsmeta_buffer_clear(&damaged);
			for (size_t i = 0; i < table.count; i++) {
				for (int n = 0; n < (i == victim ? times : 1); n++) {
					fsmeta_buffer_append(&damaged, bytes.data + starts[i],
					    starts[i + 1] - starts[i]);
					fsmeta_seek_table_append(&changed,
					    table.frames[i].compressed_bytes,
					    table.frames[i].content_bytes);
				}
			}
			assert_int_equal(0, fsmeta_seek_table_write(&damaged, &changed));
			fsmeta_seek_table_release(&changed);
			assert_int_equal(
			    FSMETA_E_CORRUPT, io_drain_file(damaged.data, damaged.length, &error));
			assert_int_equal(
			    FSMETA_E_CORRUPT, io_drain_pipe(damaged.data, damaged.length, &error));
		}
	}
	fsmeta_seek_table_release(&table);
	fsmeta_buffer_release(&bytes);
	fsmeta_buffer_release(&damaged);
}

/* ---- foreign ---------------------------------------------------------- */

/** Appends `size` bytes as a zstd frame like ours. */
static void append_frame(
    struct fsmeta_buffer *out, struct fsmeta_seek_table *table, const void *bytes, size_t size)
{
	ZSTD_CCtx *context = ZSTD_createCCtx();
	struct fsmeta_frame frame;

	ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
	assert_int_equal(
	    0, fsmeta_frame_compress(out, &frame, context, bytes, size, NULL, 0, "memory", NULL));
	assert_int_equal(
	    0, fsmeta_seek_table_append(table, frame.compressed_bytes, frame.content_bytes));
	ZSTD_freeCCtx(context);
}

static void assert_code(int expected, const struct fsmeta_buffer *bytes, const char *reason)
{
	struct fsmeta_error error = {0};

	assert_int_equal(expected, io_drain_file(bytes->data, bytes->length, &error));
	assert_non_null(strstr(error.reason, reason));
	error = (struct fsmeta_error){0};
	assert_int_equal(expected, io_drain_pipe(bytes->data, bytes->length, &error));
	assert_non_null(strstr(error.reason, reason));
}

static void foreign_files_are_foreign(void **state)
{
	static const char *const foreign[] = {"", "x", "hello, world\n",
	    "SQLite format 3\0                        ", "\x89PNG\r\n\x1a\n             ",
	    "{\"format_version\": 1}                  "};
	struct fsmeta_seek_table table = {0};
	struct fsmeta_buffer bytes = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		fsmeta_buffer_clear(&bytes);
		fsmeta_buffer_append_text(&bytes, foreign[i]);
		assert_code(FSMETA_E_FOREIGN, &bytes, i ? "not an FsScanStream" : "empty");
	}
	fsmeta_buffer_clear(&bytes);
	append_frame(&bytes, &table, "some text, compressed", 21);
	assert_code(FSMETA_E_FOREIGN, &bytes, "not an FsScanStream");
	fsmeta_buffer_release(&bytes);
	fsmeta_seek_table_release(&table);
}

/** A stream whose first record is the given header, and nothing behind it. */
static void make_header(struct fsmeta_buffer *out, const Fsmeta__V1__Header *message)
{
	size_t size = fsmeta__v1__header__get_packed_size(message);
	struct fsmeta_seek_table table = {0};
	struct fsmeta_buffer record = {0};
	size_t offset, message_offset;

	assert_int_equal(0, fsmeta_record_begin(&record));
	assert_int_equal(0, fsmeta_buffer_reserve(&record, size));
	record.length += fsmeta__v1__header__pack(message, record.data + record.length);
	fsmeta_record_finish(&record, FSMETA_RECORD_HEADER, &offset, &message_offset);
	fsmeta_buffer_clear(out);
	append_frame(out, &table, record.data + offset, record.length - offset);
	assert_int_equal(0, fsmeta_seek_table_write(out, &table));
	fsmeta_seek_table_release(&table);
	fsmeta_buffer_release(&record);
}

static void newer_and_other_streams_are_named(void **state)
{
	char signature[] = FSMETA_STREAM_SIGNATURE, other[] = "FsScanStrewm";
	char feature[] = "holes";
	char *features[] = {feature};
	struct fsmeta_buffer bytes = {0}, json = {0};
	Fsmeta__V1__Header header;
	struct tree tree;

	(void)state;
	tree_init(&tree, 1, FSMETA_FIELDS_CORE);
	assert_int_equal(0, fsmeta_batch_source_to_json(&json, &tree.source, NULL));
	fsmeta__v1__header__init(&header);
	header.signature = signature;
	header.format_version = 1;
	header.field_mask = FSMETA_FIELDS_CORE;
	header.source_json = (ProtobufCBinaryData){json.length, json.data};

	make_header(&bytes, &header);
	assert_code(FSMETA_E_TRUNCATED, &bytes, "without a trailer");
	header.format_version = 2;
	make_header(&bytes, &header);
	assert_code(FSMETA_E_UNSUPPORTED, &bytes, "format version 2 is newer than 1");
	header.format_version = 1;
	header.n_features = 1;
	header.features = features;
	make_header(&bytes, &header);
	assert_code(FSMETA_E_UNSUPPORTED, &bytes, "\"holes\"");
	header.n_features = 0;
	header.content = FSMETA__V1__CONTENT__CONTENT_DELTA;
	make_header(&bytes, &header);
	assert_code(FSMETA_E_REFUSED, &bytes, "it is a delta");
	header.content = FSMETA__V1__CONTENT__CONTENT_TREE;
	header.field_mask = 1 << 20;
	make_header(&bytes, &header);
	assert_code(FSMETA_E_UNSUPPORTED, &bytes, "unknown bits");
	header.field_mask = FSMETA_FIELD_SIZE;
	make_header(&bytes, &header);
	assert_code(FSMETA_E_CORRUPT, &bytes, "another field mask");
	header.signature = other;
	make_header(&bytes, &header);
	assert_code(FSMETA_E_FOREIGN, &bytes, "not an FsScanStream");
	tree_release(&tree);
	fsmeta_buffer_release(&bytes);
	fsmeta_buffer_release(&json);
}

/* ---- bombs ------------------------------------------------------------ */

/** Frames that claim or hold more than any record may: refused before memory is taken. */
static void bombs_are_refused(void **state)
{
	/* Magic, descriptor (8 bytes of content size, single segment, checksum), size. */
	static const unsigned char claim[] = {0x28, 0xB5, 0x2F, 0xFD, 0xE4, 0, 0, 0, 0, 0, 0, 0,
	    0x40, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
	struct fsmeta_seek_table table = {0};
	struct fsmeta_buffer bytes = {0}, zeros = {0};
	struct fsmeta_error error = {0};
	struct fsmeta_buffer stream = {0};

	(void)state;
	fsmeta_buffer_append(&bytes, claim, sizeof(claim));
	assert_int_equal(FSMETA_E_FOREIGN, io_drain_file(bytes.data, bytes.length, &error));
	/* Behind a true header: 300 MB of zeros in a few KB. */
	make_stream(&stream, 50);
	fsmeta_buffer_clear(&bytes);
	assert_int_equal(0, fsmeta_buffer_reserve(&zeros, 300 << 20));
	memset(zeros.data, 0, 300 << 20);
	{
		int fd = io_file(stream.data, stream.length);

		assert_int_equal(
		    0, fsmeta_seek_table_read(&table, fd, stream.length, "file", &error));
		close(fd);
	}
	fsmeta_buffer_append(&bytes, stream.data, table.frames[0].compressed_bytes);
	append_frame(&bytes, &table, zeros.data, 300 << 20);
	assert_int_equal(FSMETA_E_LIMIT, io_drain_file(bytes.data, bytes.length, &error));
	assert_int_equal(error.offset, table.frames[0].compressed_bytes);
	fsmeta_seek_table_release(&table);
	fsmeta_buffer_release(&bytes);
	fsmeta_buffer_release(&zeros);
	fsmeta_buffer_release(&stream);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_truncation_is_refused),
	    cmocka_unit_test(a_truncated_stream_says_how_far_it_was_good),
	    cmocka_unit_test(every_flipped_bit_is_refused_or_says_nothing),
	    cmocka_unit_test(moved_pieces_are_refused),
	    cmocka_unit_test(whole_frames_moved_are_refused),
	    cmocka_unit_test(foreign_files_are_foreign),
	    cmocka_unit_test(newer_and_other_streams_are_named),
	    cmocka_unit_test(bombs_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
