/*
 * Writing a stream.
 *
 *     entries ─► judge place ─► cut? ─► collect columns ─► pack, compress, write
 *                                                          another thread's work:
 *                                                          format/frame_output.h
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

#include "format/frame_output.h"
#include "format/path_index.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* A call for every name costs as much as hashing it. */
#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
	/** Higher levels take half as long again for less than one byte in a hundred. */
	DEFAULT_LEVEL = 1,
};

struct fsmeta_stream_writer {
	struct fsmeta_entry_sink sink;
	const char *label;
	const struct fsmeta_batch_source *source;
	uint32_t field_mask;
	enum fsmeta_id_kind id_kind;
	struct fsmeta_frame_output *output;
	/** The output's batch to add to, *borrowed*. */
	struct fsmeta_frame_batch *batch;

	/** The entry added last: its path, its type, and the cut hashes of all on the path. */
	struct fsmeta_path_stack path;
	enum fsmeta_type last_type;
	bool any;
	/** cut_hashes[d - 1] belongs to the component at depth d. */
	uint64_t *cut_hashes;
	uint32_t cut_capacity;
	uint32_t expected[FSMETA_TYPE_CHAR + 1];

	struct fsmeta_totals totals;
	/** *Borrowed*, or NULL. */
	struct fsmeta_path_index_builder *path_index;
};

/* ---- entries ---------------------------------------------------------- */

/** NULL, or what is wrong with the entry by itself, but for its name. */
static const char *judge_entry(const struct fsmeta_entry *entry)
{
	if (entry->type < FSMETA_TYPE_FILE || entry->type > FSMETA_TYPE_CHAR)
		return "its type is not known";
	if (entry->depth == 0 && entry->path_length)
		return "it has depth 0 and is not the root";
	return NULL;
}

/**
 * NULL, or why the entry cannot follow the one before.  *shared is how many bytes its name
 * shares with that before it in its folder.
 */
static const char *judge_place(
    size_t *shared, const struct fsmeta_stream_writer *writer, const struct fsmeta_entry *entry)
{
	size_t parent_length, open_length, before_length, common;
	const char *open = fsmeta_path_stack_path(&writer->path, &open_length);
	const char *before;

	*shared = 0;
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
	common = before_length < entry->name_length ? before_length : entry->name_length;
	*shared = common = fsmeta_first_difference(before, entry->name, common);
	if (common == entry->name_length ||
	    (common < before_length &&
		(unsigned char)entry->name[common] < (unsigned char)before[common]))
		return "it is out of canonical order";
	return NULL;
}

/** judge_place(), and the name: of a sibling's only that which it does not share. */
static const char *judge_name_and_place(
    size_t *shared, const struct fsmeta_stream_writer *writer, const struct fsmeta_entry *entry)
{
	const char *wrong = judge_place(shared, writer, entry);

	if (entry->depth > 0 &&
	    !fsmeta_name_is_valid_from(entry->name, entry->name_length, wrong ? 0 : *shared))
		return "its name is not valid";
	return wrong;
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

static int reserve_cut_hash(struct fsmeta_stream_writer *writer, uint32_t depth)
{
	uint32_t capacity = writer->cut_capacity ? writer->cut_capacity * 2 : 64;
	uint64_t *hashes;

	if (depth <= writer->cut_capacity)
		return 0;
	hashes = reallocarray(writer->cut_hashes, capacity, sizeof(*hashes));
	if (!hashes)
		return FSMETA_E_MEMORY;
	writer->cut_hashes = hashes;
	writer->cut_capacity = capacity;
	return 0;
}

/** From a sibling to the entry, whose name begins with `shared` bytes of that one's. */
static inline int step_to_sibling(
    struct fsmeta_path_stack *path, const struct fsmeta_entry *entry, size_t shared)
{
	/* The last bytes of the name hold all that is new, and may be read. */
	size_t tail = entry->name_length - FSMETA_PATH_AT_ONCE_BYTES;

	if (entry->name_length >= FSMETA_PATH_AT_ONCE_BYTES && shared >= tail &&
	    fsmeta_path_stack_replace_end_at_once(
		path, tail, entry->name + tail, FSMETA_PATH_AT_ONCE_BYTES))
		return 0;
	return fsmeta_path_stack_replace_end(
	    path, shared, entry->name + shared, entry->name_length - shared);
}

/**
 * Puts the entry onto the path stack, with its cut hash, which *cut_hash receives; `shared` as
 * of judge_place().
 */
static int follow_path(struct fsmeta_stream_writer *writer, uint64_t *cut_hash,
    const struct fsmeta_entry *entry, size_t shared, struct fsmeta_error *error)
{
	struct fsmeta_path_stack *path = &writer->path;
	uint32_t depth = entry->depth;
	int code;

	*cut_hash = 0;
	if (depth == 0)
		return 0;
	if (reserve_cut_hash(writer, depth))
		return fsmeta_error_set_memory(error, "adding an entry");
	fsmeta_path_stack_truncate(path, depth);
	code = depth == path->depth ? step_to_sibling(path, entry, shared)
				    : fsmeta_path_stack_push(path, entry->name, entry->name_length);
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
	const struct fsmeta_batch_builder *builder = writer->batch->builder;
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

	if (!is_kept_whole(entry, fields)) {
		kept = *entry;
		kept.fields = fields;
		kept.size = fields & FSMETA_FIELD_SIZE ? entry->size : 0;
		kept.allocated = fields & FSMETA_FIELD_ALLOCATED ? entry->allocated : 0;
		entry = &kept;
	}
	fsmeta_totals_count(&writer->totals, entry, 1);
	if (fsmeta_digest_sum_add(
		&writer->batch->digests, entry, writer->field_mask, writer->source))
		return fsmeta_error_set_memory(error, "adding an entry");
	return 0;
}

static int end_batch(struct fsmeta_stream_writer *writer, struct fsmeta_error *error)
{
	int code = fsmeta_frame_output_end_batch(writer->output, error);

	writer->batch = fsmeta_frame_output_batch(writer->output);
	return code;
}

int fsmeta_stream_writer_add(struct fsmeta_stream_writer *writer, const struct fsmeta_entry *entry,
    struct fsmeta_error *error)
{
	const char *wrong = judge_entry(entry);
	uint64_t cut_hash;
	uint32_t fields;
	size_t shared;
	int code;

	if (!wrong)
		wrong = judge_name_and_place(&shared, writer, entry);
	if (wrong)
		return refuse_entry(writer, entry, wrong, error);
	fields = entry->fields & writer->expected[entry->type];
	code = follow_path(writer, &cut_hash, entry, shared, error);
	if (!code && is_cut(writer, entry, fields, cut_hash))
		code = end_batch(writer, error);
	if (!code)
		code = fsmeta_batch_builder_add(writer->batch->builder, entry, error);
	if (!code)
		code = count_entry(writer, entry, fields, error);
	if (!code && writer->path_index)
		code = fsmeta_path_index_builder_add(
		    writer->path_index, entry->path, entry->path_length, error);
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
	struct fsmeta_buffer record = {0};
	int code;

	if (fsmeta_record_begin(&record))
		return fsmeta_error_set_memory(error, "writing the header");
	code = fsmeta_header_pack(&record, writer->source, error);
	if (!code)
		code = fsmeta_frame_output_single(
		    writer->output, FSMETA_RECORD_HEADER, &record, error);
	fsmeta_buffer_release(&record);
	return code;
}

static int write_trailer(struct fsmeta_stream_writer *writer,
    const struct fsmeta_frame_written *written, struct fsmeta_buffer *json,
    struct fsmeta_error *error)
{
	struct fsmeta_batch_source final = *writer->source; /* shares everything */
	struct fsmeta_buffer record = {0}, compact = {0};
	int code;

	final.has_totals = true;
	final.totals = writer->totals;
	final.has_state_digest = true;
	final.state_digest = written->state_digest;
	code = fsmeta_batch_source_to_compact_json(&compact, &final, error);
	if (!code && json)
		code = fsmeta_batch_source_to_json(json, &final, error);
	if (!code && fsmeta_record_begin(&record))
		code = fsmeta_error_set_memory(error, "writing the trailer");
	if (!code)
		code = fsmeta_trailer_pack(&record, written->batches, &final, writer->id_kind,
		    written->records_digest, &compact, error);
	if (!code)
		code = fsmeta_frame_output_single(
		    writer->output, FSMETA_RECORD_TRAILER, &record, error);
	fsmeta_buffer_release(&compact);
	fsmeta_buffer_release(&record);
	return code;
}

/** The last batch, of which the writer always has one, and all that are on their way. */
static int end_batches(struct fsmeta_stream_writer *writer, struct fsmeta_error *error)
{
	int code = 0;

	if (fsmeta_batch_builder_count(writer->batch->builder))
		code = end_batch(writer, error);
	return code ? code : fsmeta_frame_output_drain(writer->output, error);
}

int fsmeta_stream_writer_finish(struct fsmeta_stream_writer *writer,
    struct fsmeta_stream_summary *summary, struct fsmeta_buffer *json, struct fsmeta_error *error)
{
	struct fsmeta_frame_written written;
	struct fsmeta_digest records_digest;
	int code;

	if (!writer->any)
		return fsmeta_error_set(error, FSMETA_E_INTERNAL, writer->label,
		    "finishing a stream", "not even the root was added");
	code = end_batches(writer, error);
	if (code)
		return code;
	fsmeta_frame_output_get_written(writer->output, &written);
	records_digest = written.records_digest;
	code = write_trailer(writer, &written, json, error);
	if (!code)
		code = fsmeta_frame_output_seek_table(writer->output, error);
	fsmeta_frame_output_get_written(writer->output, &written);
	if (summary)
		*summary = (struct fsmeta_stream_summary){
		    .totals = writer->totals,
		    .state_digest = written.state_digest,
		    .records_digest = records_digest,
		    .batches = written.batches->count,
		    .file_bytes = written.file_bytes,
		};
	return code;
}

/** A second thread pays where there is a second processor to run it. */
static bool has_processors(void)
{
	cpu_set_t processors;

	return sched_getaffinity(0, sizeof(processors), &processors) || CPU_COUNT(&processors) > 1;
}

int fsmeta_stream_writer_new(struct fsmeta_stream_writer **out, int fd, const char *label,
    const struct fsmeta_batch_source *source, const struct fsmeta_stream_writer_options *options,
    struct fsmeta_error *error)
{
	static const struct fsmeta_stream_writer_options no_options;
	struct fsmeta_stream_writer *writer = calloc(1, sizeof(*writer));
	int code;

	*out = NULL;
	if (!writer)
		return fsmeta_error_set_memory(error, "starting a stream");
	writer->sink.entry = sink_entry;
	writer->label = label;
	writer->source = source;
	writer->field_mask = source->field_mask & FSMETA_FIELDS_KNOWN;
	writer->id_kind = source->id_kind;
	for (int type = FSMETA_TYPE_FILE; type <= FSMETA_TYPE_CHAR; type++)
		writer->expected[type] =
		    writer->field_mask & fsmeta_fields_of_type((enum fsmeta_type)type);
	fsmeta_path_stack_init(&writer->path);
	if (!options)
		options = &no_options;
	writer->path_index = options->path_index;
	code = fsmeta_frame_output_new(&writer->output, fd, label, source,
	    options->level ? options->level : DEFAULT_LEVEL,
	    options->threads ? options->threads > 1 : has_processors(), error);
	if (!code)
		code = write_header(writer, error);
	if (code) {
		fsmeta_stream_writer_free(writer);
		return code;
	}
	writer->batch = fsmeta_frame_output_batch(writer->output);
	*out = writer;
	return 0;
}

void fsmeta_stream_writer_free(struct fsmeta_stream_writer *writer)
{
	if (!writer)
		return;
	fsmeta_frame_output_free(writer->output);
	fsmeta_path_stack_release(&writer->path);
	free(writer->cut_hashes);
	free(writer);
}
