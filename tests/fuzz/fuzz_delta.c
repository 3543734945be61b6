/*
 * Any records as a delta.  The input is what a delta says between its compression and its
 * digests, in which a fuzzer would be stuck: the records, all but the trailer.
 *
 *     input:  header │ section │ change change … │ section │ change …
 *     file:   a frame each, runs of changes together; trailer and seek table as they
 *             have to be
 *
 * What is read can be written, reads back, and is then written as the same bytes.
 */
#include "fuzz.h"

#include "base/file.h"
#include "format/delta.h"
#include "format/seekable.h"
#include "format/stream_record.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	FAST_LEVEL = 1,
};

/** A file while it is put together. */
struct maker {
	struct fsmeta_buffer file;
	struct fsmeta_seek_table frames;
	ZSTD_CCtx *zstd;
	Fsmeta__V1__Trailer trailer;
	unsigned char state_digest[16];
};

static void add_frame(struct maker *maker, const uint8_t *bytes, size_t size)
{
	struct fsmeta_frame frame;

	FUZZ_ASSERT(!fsmeta_frame_compress(
	    &maker->file, &frame, maker->zstd, bytes, size, NULL, 0, "fuzz", NULL));
	FUZZ_ASSERT(
	    !fsmeta_seek_table_append(&maker->frames, frame.compressed_bytes, frame.content_bytes));
}

/** The trailer tells the state that the last section leads to. */
static void note_section(struct maker *maker, const struct fsmeta_record *record)
{
	Fsmeta__V1__Section *section =
	    fsmeta__v1__section__unpack(NULL, record->message_bytes, record->message);

	maker->trailer.sections++;
	if (section && section->state_digest.len == sizeof(maker->state_digest))
		memcpy(
		    maker->state_digest, section->state_digest.data, sizeof(maker->state_digest));
	if (section)
		fsmeta__v1__section__free_unpacked(section, NULL);
}

/** Cuts the input into frames; what is no record goes into a last one. */
static void add_records(struct maker *maker, const uint8_t *data, size_t size)
{
	struct fsmeta_record record;
	size_t at = 0, start = 0;

	while (fsmeta_record_parse(&record, data + at, size - at)) {
		bool is_change = record.kind == FSMETA_RECORD_CHANGE;

		if (!is_change && at > start)
			add_frame(maker, data + start, at - start);
		if (!is_change)
			start = at;
		at += record.total_bytes;
		if (!is_change) {
			add_frame(maker, data + start, at - start);
			start = at;
		}
		maker->trailer.changes += is_change;
		if (record.kind == FSMETA_RECORD_SECTION)
			note_section(maker, &record);
	}
	if (size > start)
		add_frame(maker, data + start, size - start);
}

static void add_end(struct maker *maker, const uint8_t *data, size_t size)
{
	struct fsmeta_buffer record = {0};
	unsigned char digest[16];
	size_t offset, message_offset;

	fsmeta_digest_store(digest, fsmeta_stream_digest(data, size));
	maker->trailer.state_digest =
	    (ProtobufCBinaryData){sizeof(maker->state_digest), maker->state_digest};
	maker->trailer.records_digest = (ProtobufCBinaryData){sizeof(digest), digest};
	FUZZ_ASSERT(!fsmeta_record_begin(&record));
	FUZZ_ASSERT(
	    !fsmeta_buffer_reserve(&record, fsmeta__v1__trailer__get_packed_size(&maker->trailer)));
	record.length += fsmeta__v1__trailer__pack(&maker->trailer, record.data + record.length);
	fsmeta_record_finish(&record, FSMETA_RECORD_TRAILER, &offset, &message_offset);
	add_frame(maker, record.data + offset, record.length - offset);
	FUZZ_ASSERT(!fsmeta_seek_table_write(&maker->file, &maker->frames));
	fsmeta_buffer_release(&record);
}

/** *out is released by the caller. */
static void make_file(struct fsmeta_buffer *out, const uint8_t *data, size_t size)
{
	struct maker maker = {.zstd = ZSTD_createCCtx(), .trailer = FSMETA__V1__TRAILER__INIT};

	FUZZ_ASSERT(maker.zstd);
	ZSTD_CCtx_setParameter(maker.zstd, ZSTD_c_compressionLevel, FAST_LEVEL);
	ZSTD_CCtx_setParameter(maker.zstd, ZSTD_c_checksumFlag, 1);
	add_records(&maker, data, size);
	add_end(&maker, data, size);
	*out = maker.file;
	fsmeta_seek_table_release(&maker.frames);
	ZSTD_freeCCtx(maker.zstd);
}

/** NULL where it is refused. */
static struct fsmeta_delta *read_delta(const struct fsmeta_buffer *file)
{
	struct fsmeta_delta *delta;
	struct fsmeta_cursor *tree;
	struct fsmeta_error error = {0};
	int fd = memfd_create("fuzz", MFD_CLOEXEC), code;

	FUZZ_ASSERT(fd >= 0);
	FUZZ_ASSERT(!fsmeta_write_all(fd, file->data, file->length, "fuzz", NULL));
	FUZZ_ASSERT(lseek(fd, 0, SEEK_SET) == 0);
	code = fsmeta_stream_open_either(&tree, &delta, fd, "fuzz", &error);
	FUZZ_ASSERT(code == 0 || error.code == code);
	if (code)
		return NULL;
	fsmeta_cursor_close(tree);
	return delta;
}

/** How many changes its sections hold, read from the front. */
static uint64_t count_changes(struct fsmeta_delta *delta)
{
	const struct fsmeta_delta_section *section;
	const struct fsmeta_delta_change *change;
	uint64_t count = 0;
	int code;

	fsmeta_delta_rewind(delta);
	while ((code = fsmeta_delta_next_section(delta, &section, NULL)) > 0) {
		while ((code = fsmeta_delta_next_change(delta, &change, NULL)) > 0)
			count++;
		FUZZ_ASSERT(code == 0);
	}
	FUZZ_ASSERT(code == 0);
	return count;
}

static void write_sections(struct fsmeta_delta *delta, struct fsmeta_delta_writer *writer)
{
	const struct fsmeta_delta_section *section;
	const struct fsmeta_delta_change *change;

	fsmeta_delta_rewind(delta);
	while (fsmeta_delta_next_section(delta, &section, NULL) > 0) {
		FUZZ_ASSERT(!fsmeta_delta_writer_begin_section(writer, section, NULL));
		while (fsmeta_delta_next_change(delta, &change, NULL) > 0)
			FUZZ_ASSERT(!fsmeta_delta_writer_add(writer, change, NULL));
		FUZZ_ASSERT(!fsmeta_delta_writer_end_section(writer, NULL));
	}
	FUZZ_ASSERT(!fsmeta_delta_writer_finish(writer, NULL, NULL));
}

/** What was read, written anew; *out is released by the caller. */
static void write_delta(struct fsmeta_buffer *out, struct fsmeta_delta *delta)
{
	struct fsmeta_delta_facts facts = fsmeta_delta_get_facts(delta);
	struct fsmeta_delta_writer *writer;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	size_t got;
	off_t size;

	FUZZ_ASSERT(fd >= 0);
	FUZZ_ASSERT(!fsmeta_delta_writer_new(
	    &writer, fd, "fuzz", facts.base_generation, facts.generation, NULL));
	write_sections(delta, writer);
	fsmeta_delta_writer_free(writer);
	size = lseek(fd, 0, SEEK_END);
	FUZZ_ASSERT(size > 0 && !fsmeta_buffer_reserve(out, (size_t)size));
	FUZZ_ASSERT(!fsmeta_read_full_at(fd, out->data, (size_t)size, 0, &got, "fuzz", NULL));
	out->length = got;
	close(fd);
}

static void check_round_trip(struct fsmeta_delta *delta)
{
	struct fsmeta_buffer first = {0}, second = {0};
	struct fsmeta_delta *again;

	write_delta(&first, delta);
	again = read_delta(&first);
	FUZZ_ASSERT(again);
	FUZZ_ASSERT(count_changes(again) == count_changes(delta));
	write_delta(&second, again);
	FUZZ_ASSERT(first.length == second.length);
	FUZZ_ASSERT(memcmp(first.data, second.data, first.length) == 0);
	fsmeta_delta_close(again);
	fsmeta_buffer_release(&second);
	fsmeta_buffer_release(&first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fsmeta_buffer file = {0};
	struct fsmeta_delta *delta;

	make_file(&file, data, size);
	delta = read_delta(&file);
	if (delta)
		check_round_trip(delta);
	fsmeta_delta_close(delta);
	fsmeta_buffer_release(&file);
	return 0;
}
