/*
 * Writing a stream.
 *
 *     entries ─► judge place ─► cut? ─► collect columns ─► pack and compress ─► write
 *                                       batch builder      one batch at a time   fd,
 *                                                          needs nothing but     digest,
 *                                                          the batch             trailer
 *
 * The three stages on the right are functions of their own.  Packing and
 * compressing read one batch and nothing else, so that they can move to a worker;
 * writing alone has the order of the batches to care for.
 *
 * Where a batch ends is decided by names, not by position.  Every entry has a cut
 * hash, made of its name and of its folder's cut hash, so it depends on the path
 * alone and costs a hash of the name alone:
 *
 *     hash("") = 0        hash("cam1/2026") = XXH3("2026", seed = hash("cam1"))
 *
 *     a b c d E f g h i J k l m …       capitals: hash & mask == 0
 *     └─────┘ └─────┘ └───── …
 *
 * When entries go away in front, or come in between, the cuts behind stay where
 * they are, and with them the bytes of all batches that hold the same entries.  A
 * cut by position would move every border behind the first change.  The least and
 * the largest number of entries blur this only near a change: the next common cut
 * brings both streams together again.
 */
#include "format/stream.h"

#include "format/stream_record.h"

#include <stdlib.h>
#include <string.h>

enum {
	DEFAULT_LEVEL = 3,
};

/** One batch on its way from the builder to the file. */
struct batch_job {
	struct fsmeta_batch_builder *builder;
	/** The record, with room in front of it; it begins at record_offset. */
	struct fsmeta_buffer record;
	size_t record_offset;
	struct fsmeta_digest digest;
	/** The compressed frame. */
	struct fsmeta_buffer frame;
	struct fsmeta_frame sizes;
};

struct fsmeta_stream_writer {
	struct fsmeta_entry_sink sink;
	int fd;
	const char *label;
	const struct fsmeta_batch_source *source;
	uint32_t field_mask;
	enum fsmeta_id_kind id_kind;
	ZSTD_CCtx *zstd;
	struct batch_job job;

	/** The entry added last: its path, its type, and the cut hashes of all on the path. */
	struct fsmeta_path_stack path;
	enum fsmeta_type last_type;
	bool any;
	/** cut_hashes[d - 1] belongs to the component at depth d. */
	uint64_t *cut_hashes;
	uint32_t cut_capacity;
	uint32_t expected[FSMETA_TYPE_CHAR + 1];

	/** What was written. */
	uint64_t file_bytes;
	struct fsmeta_seek_table frames;
	struct fsmeta_batch_list batches;
	XXH3_state_t *records_hash;

	struct fsmeta_totals totals;
	struct fsmeta_digest state_digest;
	struct fsmeta_buffer scratch;
};

/* ---- frames ----------------------------------------------------------- */

static int write_frame(struct fsmeta_stream_writer *writer, const struct fsmeta_buffer *frame,
    struct fsmeta_frame sizes, struct fsmeta_error *error)
{
	int code = fsmeta_write_all(writer->fd, frame->data, frame->length, writer->label, error);

	if (code)
		return code;
	writer->file_bytes += frame->length;
	code =
	    fsmeta_seek_table_append(&writer->frames, sizes.compressed_bytes, sizes.content_bytes);
	if (code)
		return fsmeta_error_set(
		    error, code, writer->label, "writing a frame", "too many frames");
	return 0;
}

/** Header and trailer: the message in job.record becomes a frame of its own. */
static int write_single(
    struct fsmeta_stream_writer *writer, enum fsmeta_record_kind kind, struct fsmeta_error *error)
{
	struct batch_job *job = &writer->job;
	size_t offset, message_offset;
	int code;

	fsmeta_record_finish(&job->record, kind, &offset, &message_offset);
	if (kind != FSMETA_RECORD_TRAILER)
		XXH3_128bits_update(
		    writer->records_hash, job->record.data + offset, job->record.length - offset);
	fsmeta_buffer_clear(&job->frame);
	code = fsmeta_frame_compress(&job->frame, &job->sizes, writer->zstd,
	    job->record.data + offset, job->record.length - offset, NULL, 0, writer->label, error);
	if (!code)
		code = write_frame(writer, &job->frame, job->sizes, error);
	return code;
}

/* ---- batches ---------------------------------------------------------- */

/** Builder to frame.  Touches nothing but the job and the compressor. */
static int pack_batch(
    struct batch_job *job, ZSTD_CCtx *zstd, const char *label, struct fsmeta_error *error)
{
	size_t cuts[FSMETA_BATCH_CUTS_MAX];
	size_t message_offset, message_bytes, cut_count;
	int code;

	if (fsmeta_record_begin(&job->record))
		return fsmeta_error_set_memory(error, "writing a batch");
	code = fsmeta_batch_builder_pack(job->builder, &job->record, error);
	if (code)
		return code;
	fsmeta_record_finish(
	    &job->record, FSMETA_RECORD_BATCH, &job->record_offset, &message_offset);
	message_bytes = job->record.length - message_offset;
	job->digest = fsmeta_stream_digest(job->record.data + message_offset, message_bytes);
	cut_count = fsmeta_batch_cuts(cuts, job->record.data + message_offset, message_bytes);
	for (size_t i = 0; i < cut_count; i++)
		cuts[i] += message_offset - job->record_offset;
	fsmeta_buffer_clear(&job->frame);
	return fsmeta_frame_compress(&job->frame, &job->sizes, zstd,
	    job->record.data + job->record_offset, job->record.length - job->record_offset, cuts,
	    cut_count, label, error);
}

/** Frame to file, in the order of the batches. */
static int write_batch(
    struct fsmeta_stream_writer *writer, struct batch_job *job, struct fsmeta_error *error)
{
	uint64_t offset = writer->file_bytes;
	struct fsmeta_batch_facts facts;
	int code;

	code = write_frame(writer, &job->frame, job->sizes, error);
	if (code)
		return code;
	XXH3_128bits_update(writer->records_hash, job->record.data + job->record_offset,
	    job->record.length - job->record_offset);
	fsmeta_batch_builder_facts(job->builder, &facts);
	if (fsmeta_batch_list_append(&writer->batches, &facts, job->digest, offset))
		return fsmeta_error_set_memory(error, "writing a batch");
	return 0;
}

static int end_batch(struct fsmeta_stream_writer *writer, struct fsmeta_error *error)
{
	struct batch_job *job = &writer->job;
	int code;

	if (!fsmeta_batch_builder_count(job->builder))
		return 0;
	code = pack_batch(job, writer->zstd, writer->label, error);
	if (!code)
		code = write_batch(writer, job, error);
	fsmeta_batch_builder_clear(job->builder);
	return code;
}

/* ---- entries ---------------------------------------------------------- */

/** NULL, or what is wrong with the entry by itself. */
static const char *judge_entry(const struct fsmeta_entry *entry)
{
	if (entry->type < FSMETA_TYPE_FILE || entry->type > FSMETA_TYPE_CHAR)
		return "its type is not known";
	if (entry->depth == 0)
		return entry->path_length ? "it has depth 0 and is not the root" : NULL;
	if (!fsmeta_name_is_valid(entry->name, entry->name_length))
		return "its name is not valid";
	return NULL;
}

/** NULL, or why the entry cannot follow the one before. */
static const char *judge_place(
    const struct fsmeta_stream_writer *writer, const struct fsmeta_entry *entry)
{
	size_t parent_length, open_length, before_length;
	const char *open = fsmeta_path_stack_path(&writer->path, &open_length);
	const char *before;

	if (!writer->any)
		return entry->depth || entry->type != FSMETA_TYPE_FOLDER
			   ? "the first entry is not the root"
			   : NULL;
	if (entry->depth == 0)
		return "the root comes again";
	if (entry->depth > writer->path.depth + 1)
		return "its folder did not come before it";
	if (entry->depth <= writer->path.depth)
		open_length = entry->depth > 1 ? writer->path.starts[entry->depth - 1] - 1 : 0;
	parent_length = entry->path_length - entry->name_length - (entry->depth > 1);
	if (parent_length != open_length || memcmp(entry->path, open, open_length))
		return "its folder did not come before it";
	if (entry->depth > writer->path.depth)
		return writer->last_type == FSMETA_TYPE_FOLDER ? NULL : "it lies below no folder";
	before = fsmeta_path_stack_name(&writer->path, entry->depth, &before_length);
	if (fsmeta_name_compare(entry->name, entry->name_length, before, before_length) <= 0)
		return "it is out of canonical order";
	return NULL;
}

static int refuse_entry(const struct fsmeta_stream_writer *writer, const struct fsmeta_entry *entry,
    const char *reason, struct fsmeta_error *error)
{
	struct fsmeta_buffer path = {0};
	const char *text = NULL;

	if (!fsmeta_text_append_quoted(&path, entry->path, entry->path_length))
		text = fsmeta_buffer_string(&path);
	fsmeta_error_set(error, FSMETA_E_INTERNAL, writer->label, "adding an entry", "%.200s: %s",
	    text ? text : "", reason);
	fsmeta_buffer_release(&path);
	return FSMETA_E_INTERNAL;
}

/** Puts the entry onto the path stack, with its cut hash, which *cut_hash receives. */
static int follow_path(struct fsmeta_stream_writer *writer, uint64_t *cut_hash,
    const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	uint32_t depth = entry->depth;
	int code;

	*cut_hash = 0;
	if (depth == 0)
		return 0;
	if (depth > writer->cut_capacity) {
		uint32_t capacity = writer->cut_capacity ? writer->cut_capacity * 2 : 64;
		uint64_t *hashes = reallocarray(writer->cut_hashes, capacity, sizeof(*hashes));

		if (!hashes)
			return fsmeta_error_set_memory(error, "adding an entry");
		writer->cut_hashes = hashes;
		writer->cut_capacity = capacity;
	}
	fsmeta_path_stack_truncate(&writer->path, depth - 1);
	code = fsmeta_path_stack_push(&writer->path, entry->name, entry->name_length);
	if (code == FSMETA_E_LIMIT)
		return fsmeta_error_set(error, code, writer->label, "adding an entry",
		    "a path is too long or too deep");
	if (code)
		return fsmeta_error_set_memory(error, "adding an entry");
	*cut_hash = XXH3_64bits_withSeed(
	    entry->name, entry->name_length, depth > 1 ? writer->cut_hashes[depth - 2] : 0);
	writer->cut_hashes[depth - 1] = *cut_hash;
	return 0;
}

static bool is_cut(const struct fsmeta_stream_writer *writer, const struct fsmeta_entry *entry,
    uint32_t fields, uint64_t cut_hash)
{
	const struct fsmeta_batch_builder *builder = writer->job.builder;
	uint32_t count = fsmeta_batch_builder_count(builder);
	size_t text_bytes = fsmeta_batch_builder_text_bytes(builder) + entry->name_length;

	if (fields & FSMETA_FIELD_TARGET)
		text_bytes += entry->target_length;
	return count >= FSMETA_BATCH_MAX_ENTRIES || text_bytes > FSMETA_BATCH_TEXT_BYTES ||
	       (count >= FSMETA_BATCH_MIN_ENTRIES && (cut_hash & FSMETA_BATCH_CUT_MASK) == 0);
}

/** True where the entry as it is says no more than its kept `fields` do. */
static bool is_kept_whole(const struct fsmeta_entry *entry, uint32_t fields)
{
	return fields == entry->fields && (fields & FSMETA_FIELD_SIZE || !entry->size) &&
	       (fields & FSMETA_FIELD_ALLOCATED || !entry->allocated);
}

/** Totals and state digest, over the fields that the stream keeps. */
static int count_entry(struct fsmeta_stream_writer *writer, const struct fsmeta_entry *entry,
    uint32_t fields, struct fsmeta_error *error)
{
	struct fsmeta_entry kept;
	struct fsmeta_digest term;

	if (!is_kept_whole(entry, fields)) {
		kept = *entry;
		kept.fields = fields;
		kept.size = fields & FSMETA_FIELD_SIZE ? entry->size : 0;
		kept.allocated = fields & FSMETA_FIELD_ALLOCATED ? entry->allocated : 0;
		entry = &kept;
	}
	fsmeta_totals_count(&writer->totals, entry, 1);
	if (fsmeta_entry_digest(&term, entry, writer->field_mask, writer->source, &writer->scratch))
		return fsmeta_error_set_memory(error, "adding an entry");
	fsmeta_digest_add(&writer->state_digest, term);
	return 0;
}

int fsmeta_stream_writer_add(struct fsmeta_stream_writer *writer, const struct fsmeta_entry *entry,
    struct fsmeta_error *error)
{
	const char *wrong = judge_entry(entry);
	uint64_t cut_hash;
	uint32_t fields;
	int code;

	if (!wrong)
		wrong = judge_place(writer, entry);
	if (wrong)
		return refuse_entry(writer, entry, wrong, error);
	fields = entry->fields & writer->expected[entry->type];
	code = follow_path(writer, &cut_hash, entry, error);
	if (!code && is_cut(writer, entry, fields, cut_hash))
		code = end_batch(writer, error);
	if (!code)
		code = fsmeta_batch_builder_add(writer->job.builder, entry, error);
	if (!code)
		code = count_entry(writer, entry, fields, error);
	writer->any = true;
	writer->last_type = entry->type;
	return code;
}

static int sink_entry(
    struct fsmeta_entry_sink *sink, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	return fsmeta_stream_writer_add((struct fsmeta_stream_writer *)sink, entry, error);
}

struct fsmeta_entry_sink *fsmeta_stream_writer_sink(struct fsmeta_stream_writer *writer)
{
	return &writer->sink;
}

/* ---- begin and end ---------------------------------------------------- */

static int write_header(struct fsmeta_stream_writer *writer, struct fsmeta_error *error)
{
	struct fsmeta_buffer *record = &writer->job.record;
	int code;

	if (fsmeta_record_begin(record))
		return fsmeta_error_set_memory(error, "writing the header");
	code = fsmeta_header_pack(record, writer->source, error);
	if (!code)
		code = write_single(writer, FSMETA_RECORD_HEADER, error);
	return code;
}

static int write_trailer(
    struct fsmeta_stream_writer *writer, struct fsmeta_buffer *json, struct fsmeta_error *error)
{
	struct fsmeta_digest records_digest =
	    fsmeta_digest_from_xxh(XXH3_128bits_digest(writer->records_hash));
	struct fsmeta_batch_source final = *writer->source; /* shares everything */
	struct fsmeta_buffer *record = &writer->job.record;
	int code;

	final.has_totals = true;
	final.totals = writer->totals;
	final.has_state_digest = true;
	final.state_digest = writer->state_digest;
	code = fsmeta_batch_source_to_json(json, &final, error);
	if (code)
		return code;
	if (fsmeta_record_begin(record))
		return fsmeta_error_set_memory(error, "writing the trailer");
	code = fsmeta_trailer_pack(
	    record, &writer->batches, &final, writer->id_kind, records_digest, json, error);
	if (!code)
		code = write_single(writer, FSMETA_RECORD_TRAILER, error);
	return code;
}

static int write_seek_table(struct fsmeta_stream_writer *writer, struct fsmeta_error *error)
{
	struct fsmeta_buffer *bytes = &writer->job.frame;
	int code;

	fsmeta_buffer_clear(bytes);
	if (fsmeta_seek_table_write(bytes, &writer->frames))
		return fsmeta_error_set_memory(error, "writing the seek table");
	code = fsmeta_write_all(writer->fd, bytes->data, bytes->length, writer->label, error);
	if (!code)
		writer->file_bytes += bytes->length;
	return code;
}

int fsmeta_stream_writer_finish(struct fsmeta_stream_writer *writer,
    struct fsmeta_stream_summary *summary, struct fsmeta_buffer *json, struct fsmeta_error *error)
{
	struct fsmeta_buffer own_json = {0};
	int code;

	if (!writer->any)
		return fsmeta_error_set(error, FSMETA_E_INTERNAL, writer->label,
		    "finishing a stream", "not even the root was added");
	if (!json)
		json = &own_json;
	code = end_batch(writer, error);
	if (!code)
		code = write_trailer(writer, json, error);
	if (!code)
		code = write_seek_table(writer, error);
	if (summary)
		*summary = (struct fsmeta_stream_summary){
		    .totals = writer->totals,
		    .state_digest = writer->state_digest,
		    .batches = writer->batches.count,
		    .file_bytes = writer->file_bytes,
		};
	fsmeta_buffer_release(&own_json);
	return code;
}

static int set_up_compressor(
    struct fsmeta_stream_writer *writer, int level, struct fsmeta_error *error)
{
	writer->zstd = ZSTD_createCCtx();
	writer->records_hash = XXH3_createState();
	if (!writer->zstd || !writer->records_hash)
		return fsmeta_error_set_memory(error, "starting a stream");
	XXH3_128bits_reset(writer->records_hash);
	if (ZSTD_isError(ZSTD_CCtx_setParameter(
		writer->zstd, ZSTD_c_compressionLevel, level ? level : DEFAULT_LEVEL)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_checksumFlag, 1)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_contentSizeFlag, 1)))
		return fsmeta_error_set(error, FSMETA_E_USAGE, writer->label, "starting a stream",
		    "zstd does not know level %d", level);
	return 0;
}

int fsmeta_stream_writer_new(struct fsmeta_stream_writer **out, int fd, const char *label,
    const struct fsmeta_batch_source *source, const struct fsmeta_stream_writer_options *options,
    struct fsmeta_error *error)
{
	struct fsmeta_stream_writer *writer = calloc(1, sizeof(*writer));
	int code;

	*out = NULL;
	if (!writer)
		return fsmeta_error_set_memory(error, "starting a stream");
	writer->sink.entry = sink_entry;
	writer->fd = fd;
	writer->label = label;
	writer->source = source;
	writer->field_mask = source->field_mask & FSMETA_FIELDS_KNOWN;
	writer->id_kind = source->id_kind;
	for (int type = FSMETA_TYPE_FILE; type <= FSMETA_TYPE_CHAR; type++)
		writer->expected[type] =
		    writer->field_mask & fsmeta_fields_of_type((enum fsmeta_type)type);
	fsmeta_path_stack_init(&writer->path);
	code = set_up_compressor(writer, options ? options->level : 0, error);
	if (!code)
		code = fsmeta_batch_builder_new(&writer->job.builder, source, error);
	if (!code)
		code = write_header(writer, error);
	if (code)
		fsmeta_stream_writer_free(writer);
	else
		*out = writer;
	return code;
}

void fsmeta_stream_writer_free(struct fsmeta_stream_writer *writer)
{
	if (!writer)
		return;
	ZSTD_freeCCtx(writer->zstd);
	XXH3_freeState(writer->records_hash);
	fsmeta_batch_builder_free(writer->job.builder);
	fsmeta_buffer_release(&writer->job.record);
	fsmeta_buffer_release(&writer->job.frame);
	fsmeta_path_stack_release(&writer->path);
	free(writer->cut_hashes);
	fsmeta_seek_table_release(&writer->frames);
	fsmeta_batch_list_release(&writer->batches);
	fsmeta_buffer_release(&writer->scratch);
	free(writer);
}
