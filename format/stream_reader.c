/*
 * Reading a stream as a cursor.
 *
 * There are two ways through the same frames:
 *
 *   forward   header │ batch │ batch │ … │ trailer │ seek table │ end
 *             ──────────────────────────────────────────────────►
 *             Frames are taken from the descriptor as they come.  What the trailer
 *             will say of every batch is collected and compared when it is there;
 *             next() says 0 only after trailer, seek table and end of input.
 *
 *   indexed   header │ batch │ batch │ … │ trailer │ seek table │ end
 *                        ▲      ▲            │          │
 *                        └──────┴────────────┴──────────┘
 *             For regular files.  Seek table and trailer are read first, batches
 *             with pread as they are needed, each against the digest that the
 *             trailer has for it.  Batches can be passed over unread: by skip(),
 *             which asks the trailer's first paths where a folder ends, and by a
 *             merge that finds the same digest on both sides.
 *
 * Both begin forward, with the header.  Where a file's index cannot be read, it is
 * read forward to its first damage, because that is what a person wants to be
 * told: how far it was good.
 */
#include "format/stream_reader.h"
#include "format/stream.h"

#include "format/delta.h"
#include "format/frame_input.h"
#include "format/stream_record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd_errors.h>

struct stream_cursor {
	struct fsmeta_cursor cursor;
	/** Frames as they come; indexed: its buffers, and its table is the file's. */
	struct fsmeta_frame_input input;
	struct fsmeta_header header;
	/** What cursor.source points to: a copy of the header's, or the trailer's … */
	struct fsmeta_batch_source source;
	/** … which took its place at the end; strings that were handed out live on here. */
	struct fsmeta_batch_source before;
	struct fsmeta_batch_reader *batch;
	struct fsmeta_trailer trailer;
	/** Seek table and trailer were read first. */
	bool indexed;
	/** The end was reached and found right. */
	bool ended;
	/** Entries in front of the batch to be loaded next, yielded or passed over. */
	uint64_t entries_before;
	/** Batches loaded or passed over. */
	size_t batches_before;
	uint64_t batches_decoded;

	/** Forward: batches as they were, to compare with the end. */
	struct fsmeta_batch_list batches;
	XXH3_state_t *records_hash;
	/** Forward: the batch in hand, until it is complete. */
	struct fsmeta_batch_facts facts;
	struct fsmeta_buffer first_path;
	struct fsmeta_digest digest;
	bool batch_open;

	/** Indexed: no entry of the batch in hand was yielded; its first path is `first_path`. */
	bool at_first;
	/** Indexed: what the trailer says of the batch in hand is to be compared at its end. */
	bool at_end_to_check;
	/** Indexed: stands on the batch to be loaded next. */
	struct fsmeta_trailer_walk walk;
	/** Indexed: where the next batch's frame begins. */
	uint64_t next_offset;
};

static struct stream_cursor *from_cursor(struct fsmeta_cursor *cursor)
{
	return (struct stream_cursor *)cursor;
}

/* ---- errors ----------------------------------------------------------- */

static int corrupt_at(const struct stream_cursor *stream, uint64_t offset, const char *action,
    const char *reason, struct fsmeta_error *error)
{
	return fsmeta_error_set_at(
	    error, FSMETA_E_CORRUPT, stream->input.label, (int64_t)offset, action, "%s", reason);
}

/** Adds to an error of the batch reader where the batch is. */
static int locate_batch(const struct stream_cursor *stream, int code, struct fsmeta_error *error)
{
	if (code >= 0 || !error)
		return code;
	fsmeta_error_add_path(error, stream->input.label);
	error->offset = (int64_t)stream->input.frame_offset;
	snprintf(error->action, sizeof(error->action), "reading batch %zu", stream->batches_before);
	return code;
}

/** Adds to what ended too early how far it was good. */
static int tell_progress(const struct stream_cursor *stream, int code, struct fsmeta_error *error)
{
	if (code != FSMETA_E_TRUNCATED || !error)
		return code;
	return fsmeta_error_set_at(error, FSMETA_E_TRUNCATED, stream->input.label, error->offset,
	    "reading a stream", "%s; good up to here: %zu batches, %llu entries", error->reason,
	    stream->batches_before, (unsigned long long)stream->entries_before);
}

/* ---- the header ------------------------------------------------------- */

static int read_header(struct stream_cursor *stream, struct fsmeta_error *error)
{
	int code = fsmeta_frame_input_header(&stream->input, &stream->header, error);

	if (code)
		return tell_progress(stream, code, error);
	XXH3_128bits_update(
	    stream->records_hash, stream->input.content.data, stream->input.content.length);
	return 0;
}

/* ---- batches ---------------------------------------------------------- */

static size_t batches_left(const struct stream_cursor *stream)
{
	return stream->trailer.batch_count - stream->batches_before;
}

/** The batch that was next is loaded or passed over: on to the one behind it. */
static int leave_batch(struct stream_cursor *stream, struct fsmeta_error *error)
{
	stream->next_offset +=
	    stream->input.frames.frames[stream->batches_before + 1].compressed_bytes;
	stream->batches_before++;
	if (batches_left(stream) && fsmeta_trailer_walk_next(&stream->walk, &stream->trailer))
		return fsmeta_error_set_memory(error, "reading a stream");
	return 0;
}

/** Loads a batch's record, however it came. */
static int load_batch(
    struct stream_cursor *stream, const struct fsmeta_record *record, struct fsmeta_error *error)
{
	int code;

	code = fsmeta_batch_reader_load(stream->batch, record->message, record->message_bytes,
	    stream->entries_before + 1, error);
	if (code)
		return locate_batch(stream, code, error);
	stream->entries_before += fsmeta_batch_reader_count(stream->batch);
	stream->batches_decoded++;
	if (stream->indexed)
		return leave_batch(stream, error);
	stream->batches_before++;
	return 0;
}

/** Notes an entry of a batch that will stand in the trailer. */
static int note_entry(
    struct stream_cursor *stream, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	struct fsmeta_batch_facts *facts = &stream->facts;

	if (!facts->entries++) {
		fsmeta_buffer_clear(&stream->first_path);
		if (fsmeta_buffer_append(&stream->first_path, entry->path, entry->path_length))
			return fsmeta_error_set_memory(error, "reading a batch");
		facts->id_min = entry->id;
		facts->id_max = entry->id;
	}
	if (entry->id < facts->id_min)
		facts->id_min = entry->id;
	if (entry->id > facts->id_max)
		facts->id_max = entry->id;
	return 0;
}

static int note_batch(struct stream_cursor *stream, struct fsmeta_error *error)
{
	if (!stream->batch_open)
		return 0;
	stream->batch_open = false;
	stream->facts.first_path = (const char *)stream->first_path.data;
	stream->facts.first_path_length = stream->first_path.length;
	stream->facts.unseen = fsmeta_batch_reader_unseen(stream->batch);
	if (fsmeta_batch_list_append(
		&stream->batches, &stream->facts, stream->digest, stream->input.frame_offset))
		return fsmeta_error_set_memory(error, "reading a batch");
	return 0;
}

/* ---- the end, forward ------------------------------------------------- */

/** True where the trailer's BatchSource has all file systems that batches named. */
static bool knows_filesystems(
    const struct fsmeta_batch_source *final, const struct fsmeta_batch_source *seen)
{
	uint32_t *map;
	bool knows = true;

	if (fsmeta_batch_source_map_filesystems(&map, final, seen))
		return false;
	for (size_t i = 0; i < seen->filesystem_count; i++)
		knows &= map[i] != UINT32_MAX;
	free(map);
	return knows;
}

/**
 * The trailer's BatchSource takes the place of the header's, except that the
 * table of file systems keeps the order that entries were handed out with.
 */
static int adopt_final_source(struct stream_cursor *stream, struct fsmeta_error *error)
{
	struct fsmeta_batch_source *final = &stream->trailer.source;
	struct fsmeta_filesystem *table;
	size_t known = stream->source.filesystem_count;
	uint32_t *map = NULL;
	size_t count = known;

	if (!knows_filesystems(final, &stream->source))
		return corrupt_at(stream, stream->input.frame_offset, "reading the trailer",
		    "its BatchSource lacks a file system that entries have", error);
	table = fsmeta_arena_allocate_array(
	    &final->arena, final->filesystem_count + known + 1, sizeof(*table));
	if (!table || fsmeta_batch_source_map_filesystems(&map, &stream->source, final)) {
		free(map);
		return fsmeta_error_set_memory(error, "reading the trailer");
	}
	for (size_t i = 0; i < final->filesystem_count; i++) {
		if (map[i] == UINT32_MAX)
			table[count++] = final->filesystems[i];
		else
			table[map[i]] = final->filesystems[i];
	}
	free(map);
	stream->before = stream->source;
	stream->source = *final;
	fsmeta_batch_source_init(final);
	stream->source.filesystems = table;
	stream->source.filesystem_count = count;
	return 0;
}

static int read_trailer(
    struct stream_cursor *stream, const struct fsmeta_record *record, struct fsmeta_error *error)
{
	struct fsmeta_trailer *trailer = &stream->trailer;
	const char *wrong;
	int code;

	code = fsmeta_trailer_parse(trailer, &stream->header, record, stream->input.label,
	    stream->input.frame_offset, error);
	if (code)
		return code;
	wrong = fsmeta_trailer_compare(trailer, &stream->batches);
	if (!wrong && !fsmeta_digest_equal(trailer->records_digest,
			  fsmeta_digest_from_xxh(XXH3_128bits_digest(stream->records_hash))))
		wrong = "the digest over all records does not match";
	if (wrong)
		return corrupt_at(
		    stream, stream->input.frame_offset, "reading the trailer", wrong, error);
	code = fsmeta_frame_input_finish(&stream->input, error);
	if (!code)
		code = adopt_final_source(stream, error);
	if (!code)
		stream->ended = true;
	return code;
}

/** Takes the next record: 1 with a batch loaded, 0 at the end, or a code. */
static int advance_forward(struct stream_cursor *stream, struct fsmeta_error *error)
{
	struct fsmeta_record record;
	int code;

	code = note_batch(stream, error);
	if (!code)
		code = fsmeta_frame_input_record(&stream->input, &record, error);
	if (code)
		return code;
	if (record.kind == FSMETA_RECORD_TRAILER)
		return read_trailer(stream, &record, error);
	if (record.kind != FSMETA_RECORD_BATCH)
		return corrupt_at(stream, stream->input.frame_offset, "reading a record",
		    "it is of a kind that a tree does not have", error);
	XXH3_128bits_update(
	    stream->records_hash, stream->input.content.data, stream->input.content.length);
	stream->digest = fsmeta_stream_digest(record.message, record.message_bytes);
	stream->facts = (struct fsmeta_batch_facts){0};
	stream->batch_open = true;
	code = load_batch(stream, &record, error);
	return code ? code : 1;
}

/* ---- batches by index ------------------------------------------------- */

/** Reads the frame at an offset into stream->input.content and parses its one record. */
static int read_frame_at(struct stream_cursor *stream, struct fsmeta_record *record,
    struct fsmeta_frame frame, uint64_t offset, struct fsmeta_error *error)
{
	size_t got;
	int code;

	stream->input.frame_offset = offset;
	fsmeta_buffer_clear(&stream->input.bytes);
	if (fsmeta_buffer_reserve(&stream->input.bytes, frame.compressed_bytes))
		return fsmeta_error_set_memory(error, "reading a stream");
	code = fsmeta_read_full_at(stream->input.fd, stream->input.bytes.data,
	    frame.compressed_bytes, offset, &got, stream->input.label, error);
	if (code)
		return code;
	if (got != frame.compressed_bytes)
		return corrupt_at(
		    stream, offset, "reading a zstd frame", "the file became shorter", error);
	code = fsmeta_frame_decompress(&stream->input.content, stream->input.zstd,
	    stream->input.bytes.data, got, FSMETA_RECORD_MAX_BYTES, stream->input.label, offset,
	    error);
	if (code)
		return code;
	if (stream->input.content.length != frame.content_bytes)
		return corrupt_at(stream, offset, "reading a zstd frame",
		    "its content is not as long as the seek table says", error);
	if (!fsmeta_record_parse(
		record, stream->input.content.data, stream->input.content.length) ||
	    record->total_bytes != stream->input.content.length)
		return corrupt_at(stream, offset, "reading a record",
		    "the frame does not hold exactly one", error);
	return 0;
}

/** Passes over one batch unread. */
static int pass_batch(struct stream_cursor *stream, struct fsmeta_error *error)
{
	stream->entries_before += stream->trailer.message->batch_entries[stream->batches_before];
	fsmeta_batch_reader_detach(stream->batch);
	return leave_batch(stream, error);
}

/** What the trailer says of a batch must be so. */
static int check_batch(struct stream_cursor *stream, const struct fsmeta_record *record,
    size_t batch, struct fsmeta_error *error)
{
	const char *wrong = NULL;

	if (record->kind != FSMETA_RECORD_BATCH)
		wrong = "it is no batch";
	else if (!fsmeta_digest_equal(fsmeta_stream_digest(record->message, record->message_bytes),
		     fsmeta_trailer_batch_digest(&stream->trailer, batch)))
		wrong = "its digest is not the one in the trailer";
	if (wrong)
		return corrupt_at(
		    stream, stream->input.frame_offset, "reading a batch", wrong, error);
	return 0;
}

/** Loads the next batch: 1, 0 where there is none, or a code. */
static int advance_indexed(struct stream_cursor *stream, struct fsmeta_error *error)
{
	size_t batch = stream->batches_before;
	struct fsmeta_record record;
	int code;

	if (!batches_left(stream)) {
		stream->ended = true;
		return 0;
	}
	code = read_frame_at(
	    stream, &record, stream->input.frames.frames[batch + 1], stream->next_offset, error);
	if (!code)
		code = check_batch(stream, &record, batch, error);
	if (code)
		return code;
	fsmeta_buffer_clear(&stream->first_path);
	if (fsmeta_buffer_append(
		&stream->first_path, stream->walk.path.data, stream->walk.path.length))
		return fsmeta_error_set_memory(error, "reading a stream");
	stream->at_first = true;
	stream->at_end_to_check = true;
	code = load_batch(stream, &record, error);
	if (code)
		return code;
	if (fsmeta_batch_reader_count(stream->batch) !=
	    stream->trailer.message->batch_entries[batch])
		return corrupt_at(stream, stream->input.frame_offset, "reading a batch",
		    "it has not as many entries as the trailer says", error);
	return 1;
}

/** Indexed: the first entry of a batch must be the one that the trailer names. */
static int check_first_path(
    struct stream_cursor *stream, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	const struct fsmeta_buffer *path = &stream->first_path;

	stream->at_first = false;
	if (entry->path_length != path->length ||
	    (path->length && memcmp(entry->path, path->data, path->length)))
		return corrupt_at(stream, stream->input.frame_offset, "reading a batch",
		    "its first path is not the one in the trailer", error);
	return 0;
}

/* ---- the cursor ------------------------------------------------------- */

/** Indexed: behind the last entry of the batch that was loaded last. */
static int check_unseen(struct stream_cursor *stream, struct fsmeta_error *error)
{
	const Fsmeta__V1__Trailer *message = stream->trailer.message;

	stream->at_end_to_check = false;
	if (message->n_batch_unseen && message->batch_unseen[stream->batches_before - 1] !=
					   fsmeta_batch_reader_unseen(stream->batch))
		return corrupt_at(stream, stream->input.frame_offset, "reading a batch",
		    "it has not as many unseen entries as the trailer says", error);
	return 0;
}

/** What there is to check about entries that begin or end a batch, and all on a pipe. */
static __attribute__((noinline)) int judge_next(struct stream_cursor *stream, int code,
    const struct fsmeta_entry **entry, struct fsmeta_error *error)
{
	if (code < 0)
		return locate_batch(stream, code, error);
	if (code == 0)
		return stream->at_end_to_check ? check_unseen(stream, error) : 0;
	if (!stream->indexed)
		code = note_entry(stream, *entry, error);
	else if (stream->at_first)
		code = check_first_path(stream, *entry, error);
	return code < 0 ? code : 1;
}

/** The next entry within the batch in hand: 1, 0 behind its last, or a code. */
static inline int next_in_batch(
    struct stream_cursor *stream, const struct fsmeta_entry **entry, struct fsmeta_error *error)
{
	int code = fsmeta_batch_reader_next(stream->batch, entry, error);

	if (code == 1 && stream->indexed && !stream->at_first)
		return 1;
	return judge_next(stream, code, entry, error);
}

/** Loads the next batch: 1, 0 at the end, or a code. */
static int advance(struct stream_cursor *stream, struct fsmeta_error *error)
{
	if (stream->indexed)
		return advance_indexed(stream, error);
	return tell_progress(stream, advance_forward(stream, error), error);
}

static int stream_next(
    struct fsmeta_cursor *cursor, const struct fsmeta_entry **entry, struct fsmeta_error *error)
{
	struct stream_cursor *stream = from_cursor(cursor);

	while (!stream->ended) {
		int code = next_in_batch(stream, entry, error);

		if (code)
			return code;
		code = advance(stream, error);
		if (code < 0)
			return code;
	}
	return 0;
}

/* ---- leaving out ------------------------------------------------------ */

/** Bytes of `path` up to the end of its component at `depth`, which it has. */
static size_t ancestor_length(const char *path, size_t length, uint32_t depth)
{
	size_t at = 0;

	if (depth == 0)
		return 0;
	for (; at < length; at++)
		if (path[at] == '/' && --depth == 0)
			break;
	return at;
}

/**
 * Indexed, within a batch, with an entry to be left out next.  The folder that is
 * being left out is around the entry before; where the next batch begins within
 * it, the rest of this one lies in it as well and is dropped.
 */
static bool drop_rest(struct stream_cursor *stream, uint32_t depth)
{
	const struct fsmeta_buffer *next = &stream->walk.path;
	uint32_t left = fsmeta_batch_reader_left(stream->batch);
	const char *path;
	size_t length;

	/* In front of a batch's first entry the path is still that of another batch. */
	if (!stream->indexed || !batches_left(stream) ||
	    left == fsmeta_batch_reader_count(stream->batch))
		return false;
	path = fsmeta_batch_reader_path(stream->batch, &length);
	if (depth > 0 && !fsmeta_path_is_within((const char *)next->data, next->length, path,
			     ancestor_length(path, length, depth - 1)))
		return false;
	fsmeta_batch_reader_detach(stream->batch);
	stream->at_end_to_check = false;
	return true;
}

/**
 * Indexed, between batches, with the next batch's first entry to be left out:
 * passes over all batches that are left out whole.  A batch is where the one
 * behind it also begins within the folder that is left out.
 */
static int pass_folder(struct stream_cursor *stream, uint32_t depth, struct fsmeta_error *error)
{
	struct fsmeta_buffer *folder = &stream->first_path;
	const struct fsmeta_buffer *next = &stream->walk.path;
	int code = 0;

	while (depth == 0 && batches_left(stream) && !code)
		code = pass_batch(stream, error);
	if (depth == 0 || code)
		return code;
	fsmeta_buffer_clear(folder);
	if (fsmeta_buffer_append(folder, next->data,
		ancestor_length((const char *)next->data, next->length, depth - 1)))
		return fsmeta_error_set_memory(error, "reading a stream");
	while (!code && fsmeta_trailer_walk_next_is_within(&stream->walk, &stream->trailer,
			    (const char *)folder->data, folder->length))
		code = pass_batch(stream, error);
	return code;
}

/**
 * Between batches: 1 where the next entry is to be left out and its batch must be
 * read for that, 0 where nothing more is to be left out, or a code.
 */
static int pass_batches(struct stream_cursor *stream, uint32_t depth, struct fsmeta_error *error)
{
	const struct fsmeta_buffer *next = &stream->walk.path;
	int code;

	if (!stream->indexed)
		return 1;
	if (!batches_left(stream) ||
	    fsmeta_path_depth((const char *)next->data, next->length) < depth)
		return 0;
	code = pass_folder(stream, depth, error);
	return code ? code : 1;
}

static int stream_skip(struct fsmeta_cursor *cursor, uint32_t depth, struct fsmeta_error *error)
{
	struct stream_cursor *stream = from_cursor(cursor);
	const struct fsmeta_entry *ignored;

	while (!stream->ended) {
		int code;

		if (fsmeta_batch_reader_left(stream->batch)) {
			if (fsmeta_batch_reader_next_depth(stream->batch) < depth)
				return 0;
			if (drop_rest(stream, depth))
				continue;
			code = next_in_batch(stream, &ignored, error);
		} else {
			code = next_in_batch(stream, &ignored, error);
			if (!code)
				code = pass_batches(stream, depth, error);
			if (code == 0)
				return 0;
			if (code > 0)
				code = advance(stream, error);
		}
		if (code < 0)
			return code;
	}
	return 0;
}

/** Whether the next batch, of which there must be one, begins with `path` or in front of it. */
static bool next_is_up_to(const struct stream_cursor *stream, const char *path, size_t length)
{
	const struct fsmeta_buffer *next = &stream->walk.path;

	return fsmeta_path_compare((const char *)next->data, next->length, path, length) <= 0;
}

/** Passes over batches behind which another one begins with `path` or in front of it. */
static int pass_up_to(
    struct stream_cursor *stream, const char *path, size_t length, struct fsmeta_error *error)
{
	struct fsmeta_buffer *first = &stream->first_path;
	int code = 0, passed = 0;

	while (!code && batches_left(stream) > 1) {
		if (fsmeta_trailer_walk_peek(first, &stream->walk, &stream->trailer))
			return fsmeta_error_set_memory(error, "reading a stream");
		if (fsmeta_path_compare((const char *)first->data, first->length, path, length) > 0)
			break;
		code = pass_batch(stream, error);
		passed = 1;
	}
	return code ? code : passed;
}

static int stream_leap(
    struct fsmeta_cursor *cursor, const char *path, size_t length, struct fsmeta_error *error)
{
	struct stream_cursor *stream = from_cursor(cursor);
	const struct fsmeta_entry *ignored;
	bool within = fsmeta_batch_reader_left(stream->batch);
	int code = 0;

	if (!stream->indexed || !batches_left(stream) || !next_is_up_to(stream, path, length))
		return 0;
	if (within) {
		fsmeta_batch_reader_detach(stream->batch);
		stream->at_end_to_check = false;
	} else {
		code = next_in_batch(stream, &ignored, error);
	}
	if (!code)
		code = pass_up_to(stream, path, length, error);
	return code ? code : within;
}

/* ---- runs ------------------------------------------------------------- */

static int stream_run(struct fsmeta_cursor *cursor, enum fsmeta_run_kind kind,
    struct fsmeta_run *run, struct fsmeta_error *error)
{
	struct stream_cursor *stream = from_cursor(cursor);
	const struct fsmeta_entry *ignored;
	int code;

	if (kind != FSMETA_RUN_BATCH || !stream->indexed || fsmeta_batch_reader_left(stream->batch))
		return 0;
	/* The batch in hand has its last checks behind its last entry. */
	code = next_in_batch(stream, &ignored, error);
	if (code || !batches_left(stream) ||
	    !fsmeta_trailer_batch_is_seen(&stream->trailer, stream->batches_before))
		return code;
	*run = (struct fsmeta_run){
	    .kind = kind,
	    .token = fsmeta_trailer_batch_digest(&stream->trailer, stream->batches_before),
	    .entries = stream->trailer.message->batch_entries[stream->batches_before],
	};
	return 1;
}

static int stream_step(
    struct fsmeta_cursor *cursor, const struct fsmeta_run *run, struct fsmeta_error *error)
{
	struct stream_cursor *stream = from_cursor(cursor);

	if (run->kind != FSMETA_RUN_BATCH || !stream->indexed || !batches_left(stream) ||
	    fsmeta_batch_reader_left(stream->batch))
		return fsmeta_error_set(error, FSMETA_E_INTERNAL, stream->input.label,
		    "stepping over a batch", "no batch was offered here");
	return pass_batch(stream, error);
}

/* ---- two at once ------------------------------------------------------ */

static int stream_pass_equal(struct fsmeta_cursor *cursor, struct fsmeta_cursor *other,
    uint32_t mask, uint64_t *count, struct fsmeta_error *error)
{
	struct stream_cursor *a = from_cursor(cursor), *b = from_cursor(other);

	/* What next() has to say of an entry is about those that begin a batch, or on a pipe. */
	if (!a->indexed || !b->indexed || a->at_first || b->at_first)
		return 0;
	return fsmeta_batch_reader_pass_equal(a->batch, b->batch, mask, count, error);
}

/* ---- opening and closing ---------------------------------------------- */

static void stream_close(struct fsmeta_cursor *cursor)
{
	struct stream_cursor *stream = from_cursor(cursor);

	fsmeta_frame_input_release(&stream->input);
	XXH3_freeState(stream->records_hash);
	fsmeta_batch_reader_free(stream->batch);
	fsmeta_trailer_release(&stream->trailer);
	fsmeta_trailer_walk_release(&stream->walk);
	fsmeta_header_release(&stream->header);
	fsmeta_batch_source_release(&stream->source);
	fsmeta_batch_source_release(&stream->before);
	fsmeta_batch_list_release(&stream->batches);
	fsmeta_buffer_release(&stream->first_path);
	free(stream);
}

static const struct fsmeta_cursor_operations stream_operations = {
    .next = stream_next,
    .skip = stream_skip,
    .leap = stream_leap,
    .run = stream_run,
    .step = stream_step,
    .pass_equal = stream_pass_equal,
    .close = stream_close,
};

/** Trailer by seek table; changes nothing that reading forward needs. */
static int read_index(struct stream_cursor *stream, struct fsmeta_seek_table *table,
    uint64_t file_bytes, struct fsmeta_error *error)
{
	struct fsmeta_record record;
	uint64_t offset = 0;
	const char *wrong;
	int code;

	code =
	    fsmeta_seek_table_read(table, stream->input.fd, file_bytes, stream->input.label, error);
	if (code)
		return code;
	if (table->count < 3)
		return corrupt_at(stream, 0, "reading the seek table",
		    "it has fewer frames than any stream", error);
	for (size_t i = 0; i + 1 < table->count; i++)
		offset += table->frames[i].compressed_bytes;
	code = read_frame_at(stream, &record, table->frames[table->count - 1], offset, error);
	if (code)
		return code;
	if (record.kind != FSMETA_RECORD_TRAILER)
		return corrupt_at(
		    stream, offset, "reading the trailer", "the last record is none", error);
	code = fsmeta_trailer_parse(
	    &stream->trailer, &stream->header, &record, stream->input.label, offset, error);
	if (code)
		return code;
	wrong = fsmeta_trailer_compare_frames(&stream->trailer, table);
	if (!wrong &&
	    (table->frames[0].compressed_bytes != stream->input.frames.frames[0].compressed_bytes ||
		table->frames[0].content_bytes != stream->input.frames.frames[0].content_bytes))
		wrong = "the first frame is not as long as the seek table says";
	return wrong ? corrupt_at(stream, offset, "reading the trailer", wrong, error) : 0;
}

/** Stands in front of the first batch. */
static int begin_index(struct stream_cursor *stream, struct fsmeta_error *error)
{
	stream->entries_before = 0;
	stream->batches_before = 0;
	stream->next_offset = stream->input.frames.frames[0].compressed_bytes;
	stream->walk.count = 0;
	stream->walk.paths_at = 0;
	fsmeta_buffer_clear(&stream->walk.path);
	if (fsmeta_trailer_walk_next(&stream->walk, &stream->trailer))
		return fsmeta_error_set_memory(error, "reading a stream");
	return 0;
}

/** From reading forward to reading by index. */
static int use_index(
    struct stream_cursor *stream, struct fsmeta_seek_table *table, struct fsmeta_error *error)
{
	fsmeta_seek_table_release(&stream->input.frames);
	stream->input.frames = *table;
	*table = (struct fsmeta_seek_table){0};
	stream->indexed = true;
	fsmeta_batch_source_release(&stream->source);
	stream->source = stream->trailer.source;
	fsmeta_batch_source_init(&stream->trailer.source);
	return begin_index(stream, error);
}

/** Reads forward to the first damage; `code` and *error are what is known without. */
static int find_damage(struct stream_cursor *stream, int code, struct fsmeta_error *error)
{
	const struct fsmeta_entry *ignored;
	struct fsmeta_error found = {0};
	int found_code;

	do
		found_code = stream_next(&stream->cursor, &ignored, &found);
	while (found_code > 0);
	if (found_code == 0)
		return code;
	if (error)
		*error = found;
	return found_code;
}

/** Reads the index where the descriptor is a file's, from its start. */
static int open_index(struct stream_cursor *stream, uint64_t file_bytes, struct fsmeta_error *error)
{
	struct fsmeta_seek_table table = {0};
	/* Reading the index uses the input buffer, which reading forward goes on with. */
	struct fsmeta_buffer bytes = stream->input.bytes;
	int code;

	stream->input.bytes = (struct fsmeta_buffer){0};
	code = read_index(stream, &table, file_bytes, error);
	fsmeta_buffer_release(&stream->input.bytes);
	stream->input.bytes = bytes;
	if (!code)
		code = use_index(stream, &table, error);
	else if (code != FSMETA_E_MEMORY)
		fsmeta_trailer_release(&stream->trailer);
	fsmeta_seek_table_release(&table);
	return code;
}

static int set_up(struct stream_cursor *stream, struct fsmeta_error *error)
{
	stream->records_hash = XXH3_createState();
	if (!stream->records_hash)
		return fsmeta_error_set_memory(error, "opening a stream");
	XXH3_128bits_reset(stream->records_hash);
	stream->cursor.operations = &stream_operations;
	stream->cursor.source = &stream->source;
	stream->cursor.label = stream->input.label;
	return 0;
}

/** Gets ready for the first entry, whichever way the batches will come. */
static int begin_batches(struct stream_cursor *stream, struct fsmeta_error *error)
{
	if (fsmeta_batch_reader_new(&stream->batch, &stream->source, stream->header.field_mask,
		stream->header.id_kind, !stream->indexed))
		return fsmeta_error_set_memory(error, "opening a stream");
	return 0;
}

/** Where a delta is wanted as well, *delta receives it and the stream is of no use. */
static int open_stream(struct stream_cursor *stream, bool may_index, struct fsmeta_delta **delta,
    struct fsmeta_error *error)
{
	struct stat status;
	int index_code = 0;
	int code;

	if (fstat(stream->input.fd, &status))
		return fsmeta_error_set_errno(
		    error, errno, stream->input.label, "opening a stream");
	if (S_ISDIR(status.st_mode))
		return fsmeta_error_set_errno(
		    error, EISDIR, stream->input.label, "opening a stream");
	may_index &= S_ISREG(status.st_mode) && lseek(stream->input.fd, 0, SEEK_CUR) == 0;
	code = read_header(stream, error);
	if (code)
		return code;
	if (stream->header.is_delta)
		return delta ? fsmeta_delta_read(delta, &stream->input, &stream->header, error)
			     : fsmeta_error_set(error, FSMETA_E_REFUSED, stream->input.label,
				   "opening a stream", "it is a delta, which is no tree");
	fsmeta_batch_source_release(&stream->source);
	if (fsmeta_batch_source_copy(&stream->source, &stream->header.source))
		return fsmeta_error_set_memory(error, "opening a stream");
	if (may_index)
		index_code = open_index(stream, (uint64_t)status.st_size, error);
	if (index_code == FSMETA_E_MEMORY || index_code == FSMETA_E_SYSTEM)
		return index_code;
	code = begin_batches(stream, error);
	return code || !index_code ? code : find_damage(stream, index_code, error);
}

static int open_descriptor(struct fsmeta_cursor **out, struct fsmeta_delta **delta, int fd,
    const char *label, bool may_index, struct fsmeta_error *error)
{
	struct stream_cursor *stream = calloc(1, sizeof(*stream));
	int code;

	*out = NULL;
	if (!stream) {
		close(fd);
		return fsmeta_error_set_memory(error, "opening a stream");
	}
	fsmeta_trailer_init(&stream->trailer);
	fsmeta_batch_source_init(&stream->header.source);
	fsmeta_batch_source_init(&stream->source);
	fsmeta_batch_source_init(&stream->before);
	code = fsmeta_frame_input_init(&stream->input, fd, label, error);
	if (!code)
		code = set_up(stream, error);
	if (!code)
		code = open_stream(stream, may_index, delta, error);
	if (code || (delta && *delta))
		stream_close(&stream->cursor);
	else
		*out = &stream->cursor;
	return code;
}

int fsmeta_stream_open_descriptor(struct fsmeta_cursor **out, int fd, const char *label,
    bool may_index, struct fsmeta_error *error)
{
	return open_descriptor(out, NULL, fd, label, may_index, error);
}

int fsmeta_stream_open_either(struct fsmeta_cursor **tree, struct fsmeta_delta **delta, int fd,
    const char *label, struct fsmeta_error *error)
{
	*delta = NULL;
	return open_descriptor(tree, delta, fd, label, true, error);
}

int fsmeta_stream_open_fd(
    struct fsmeta_cursor **out, int fd, const char *label, struct fsmeta_error *error)
{
	return fsmeta_stream_open_descriptor(out, fd, label, true, error);
}

void fsmeta_stream_get_progress(
    const struct fsmeta_cursor *cursor, struct fsmeta_stream_progress *progress)
{
	const struct stream_cursor *stream = (const struct stream_cursor *)cursor;

	*progress = (struct fsmeta_stream_progress){.batches = stream->batches_before,
	    .decoded = stream->batches_decoded,
	    .file_bytes = stream->input.offset,
	    .records_digest = stream->trailer.records_digest};
}

/* ---- seeking ---------------------------------------------------------- */

const struct fsmeta_trailer *fsmeta_stream_get_trailer(const struct fsmeta_cursor *cursor)
{
	const struct stream_cursor *stream = (const struct stream_cursor *)cursor;

	return stream->indexed ? &stream->trailer : NULL;
}

int fsmeta_stream_seek(struct fsmeta_cursor *cursor, size_t batch, struct fsmeta_error *error)
{
	struct stream_cursor *stream = from_cursor(cursor);
	int code = begin_index(stream, error);

	stream->ended = false;
	stream->at_first = false;
	stream->at_end_to_check = false;
	if (batch)
		fsmeta_batch_reader_detach(stream->batch);
	else
		fsmeta_batch_reader_rewind(stream->batch);
	while (!code && stream->batches_before < batch)
		code = pass_batch(stream, error);
	return code;
}

/**
 * Decompresses no more than the beginning of the header, so what a large or
 * hostile file says of its frame does not matter here.
 */
bool fsmeta_stream_begins(int fd)
{
	unsigned char bytes[4096], content[64];
	ZSTD_DCtx *zstd = NULL;
	ZSTD_inBuffer in = {bytes, 0, 0};
	ZSTD_outBuffer out = {content, sizeof(content), 0};
	bool begins = false;

	if (fsmeta_read_full_at(fd, bytes, sizeof(bytes), 0, &in.size, "", NULL) ||
	    !fsmeta_frame_begins(bytes, in.size))
		return false;
	zstd = ZSTD_createDCtx();
	if (zstd && !ZSTD_isError(ZSTD_decompressStream(zstd, &out, &in)))
		begins = fsmeta_header_begins(content, out.pos);
	ZSTD_freeDCtx(zstd);
	return begins;
}
