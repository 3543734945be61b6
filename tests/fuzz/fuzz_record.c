/*
 * Any bytes as the content of a frame that should be a header, a trailer or a seek
 * table, behind the checksums that keep a fuzzer out of a whole stream.
 *
 * Input: one byte that chooses, then the content.
 */
#include "fuzz.h"

#include "format/stream_record.h"

static void read_header(const struct fsmeta_record *record)
{
	struct fsmeta_header header;

	if (!fsmeta_header_parse(&header, record, "fuzz", NULL))
		FUZZ_ASSERT(header.source.field_mask == header.field_mask);
	fsmeta_header_release(&header);
}

static void read_trailer(const struct fsmeta_record *record, enum fsmeta_id_kind id_kind)
{
	struct fsmeta_trailer_walk walk = {0};
	struct fsmeta_header header = {.field_mask = FSMETA_FIELDS_CORE, .id_kind = id_kind};
	struct fsmeta_trailer trailer;
	size_t within = 0;

	fsmeta_batch_source_init(&header.source);
	fsmeta_trailer_init(&trailer);
	/* The BatchSource is judged last, so a walk is possible before it is right. */
	fsmeta_trailer_parse(&trailer, &header, record, "fuzz", 0, NULL);
	while (trailer.message && walk.count < trailer.batch_count) {
		within += fsmeta_trailer_walk_next_is_within(&walk, &trailer, "cam1", 4);
		if (fsmeta_trailer_walk_next(&walk, &trailer))
			break;
	}
	FUZZ_ASSERT(within <= walk.count);
	fsmeta_trailer_walk_release(&walk);
	fsmeta_trailer_release(&trailer);
	fsmeta_header_release(&header);
}

static void read_seek_table(const uint8_t *data, size_t size)
{
	struct fsmeta_seek_table table = {0};
	struct fsmeta_buffer again = {0};

	if (!fsmeta_seek_table_parse(&table, data, size, "fuzz", 0, NULL)) {
		FUZZ_ASSERT(!fsmeta_seek_table_write(&again, &table));
		FUZZ_ASSERT(again.length <= size);
	}
	fsmeta_seek_table_release(&table);
	fsmeta_buffer_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fsmeta_record record;

	if (size < 1)
		return 0;
	fsmeta_header_begins(data + 1, size - 1);
	if (data[0] % 4 == 3)
		read_seek_table(data + 1, size - 1);
	else if (!fsmeta_record_parse(&record, data + 1, size - 1))
		return 0;
	else if (data[0] % 4 == 0)
		read_header(&record);
	else
		read_trailer(&record, data[0] % 4 == 1 ? FSMETA_IDS_ORDINAL : FSMETA_IDS_STABLE);
	return 0;
}
