/*
 * Any bytes as a serialised Batch, behind the checksums and digests that keep a
 * fuzzer out of a whole stream.  What reads well is a valid piece of a tree: it is
 * built again from its entries, and the new batch reads the same.
 *
 * Input: field mask, 2 bytes; bit 14 = stable ids; then the message.
 */
#include "fuzz.h"

#include "format/batch.h"

#include <string.h>

enum {
	STABLE = 1 << 14
};

static void check_entry(const struct fsmeta_entry *entry, const struct fsmeta_batch_source *source)
{
	FUZZ_ASSERT(fsmeta_path_is_valid(entry->path, entry->path_length));
	FUZZ_ASSERT(fsmeta_path_depth(entry->path, entry->path_length) == entry->depth);
	FUZZ_ASSERT(entry->name + entry->name_length == entry->path + entry->path_length);
	FUZZ_ASSERT(!(entry->fields & ~source->field_mask));
	if (entry->fields & FSMETA_FIELD_DEVICE)
		FUZZ_ASSERT(entry->device < source->filesystem_count);
	if (entry->fields & FSMETA_FIELD_TARGET)
		FUZZ_ASSERT(!memchr(entry->target, '\0', entry->target_length));
}

/**
 * Reads a batch; digests are summed into *sum.  Where `builder` is not NULL, the
 * entries are added to it.
 */
static int read_batch(const uint8_t *data, size_t size, struct fsmeta_batch_source *source,
    struct fsmeta_batch_builder *builder, struct fsmeta_digest *sum)
{
	struct fsmeta_batch_reader *reader;
	const struct fsmeta_entry *entry;
	struct fsmeta_buffer scratch = {0};
	struct fsmeta_error error = {0};
	struct fsmeta_digest term;
	int code;

	FUZZ_ASSERT(
	    !fsmeta_batch_reader_new(&reader, source, source->field_mask, source->id_kind, true));
	code = fsmeta_batch_reader_load(reader, data, size, 1, &error);
	if (!code) {
		/* Batches that do not begin with the root are read as behind a gap. */
		uint32_t depth = fsmeta_batch_reader_next_depth(reader);

		if (depth) {
			fsmeta_batch_reader_detach(reader);
			code = fsmeta_batch_reader_load(reader, data, size, 1, &error);
		}
	}
	while (!code && (code = fsmeta_batch_reader_next(reader, &entry, &error)) > 0) {
		check_entry(entry, source);
		FUZZ_ASSERT(
		    !fsmeta_entry_digest(&term, entry, source->field_mask, source, &scratch));
		fsmeta_digest_add(sum, term);
		code = builder ? fsmeta_batch_builder_add(builder, entry, &error) : 0;
		FUZZ_ASSERT(!code);
	}
	fsmeta_batch_reader_free(reader);
	fsmeta_buffer_release(&scratch);
	return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fsmeta_digest first = {0}, second = {0};
	struct fsmeta_batch_builder *builder;
	struct fsmeta_batch_source source;
	struct fsmeta_buffer bytes = {0};
	uint32_t options;

	if (size < 2)
		return 0;
	options = (uint32_t)data[0] | (uint32_t)data[1] << 8;
	fsmeta_batch_source_init(&source);
	source.field_mask = options & FSMETA_FIELDS_KNOWN;
	source.id_kind = options & STABLE ? FSMETA_IDS_STABLE : FSMETA_IDS_ORDINAL;
	FUZZ_ASSERT(!fsmeta_batch_builder_new(&builder, &source, NULL));
	if (!read_batch(data + 2, size - 2, &source, builder, &first)) {
		FUZZ_ASSERT(!fsmeta_batch_builder_pack(builder, &bytes, NULL));
		FUZZ_ASSERT(!read_batch(bytes.data, bytes.length, &source, NULL, &second));
		FUZZ_ASSERT(fsmeta_digest_equal(first, second));
	}
	fsmeta_batch_builder_free(builder);
	fsmeta_batch_source_release(&source);
	fsmeta_buffer_release(&bytes);
	return 0;
}
