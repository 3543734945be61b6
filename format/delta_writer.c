/*
 * Writing a delta.
 *
 *     changes ─► front-code, pack ─► spool ─► section with their number, frames
 *                                    (memory up to a bound, then a file)
 *
 * The number of changes stands in front of them, and a diff does not know it; so
 * they are packed into a spool, frame by frame, and written when a section ends.
 *
 * Deltas are mostly small and go over thin lines, so little time is too much for
 * compressing them well; large ones are compressed as fast as trees are.
 */
#include "format/delta.h"

#include "base/file.h"
#include "base/spool.h"
#include "format/stream_record.h"

#include <stdlib.h>
#include <string.h>

enum {
	/** Content after which a frame of changes ends. */
	FRAME_CONTENT_BYTES = 256 << 10,
	/** Sections up to this size are worth the slow level. */
	SMALL_SECTION_BYTES = 1 << 20,
	SMALL_LEVEL = 19,
	LARGE_LEVEL = 3,
	NANOSECONDS = 1000000000,
};

static const char action[] = "writing a delta";

struct fsmeta_delta_writer {
	int fd;
	const char *label;
	ZSTD_CCtx *zstd;
	XXH3_state_t *records_hash;
	struct fsmeta_seek_table frames;
	struct fsmeta_buffer frame;
	/** A record with room in front. */
	struct fsmeta_buffer record;

	/** The section that is open, NULL = none. */
	const struct fsmeta_delta_section *section;
	uint64_t section_changes;
	struct fsmeta_spool *spool;
	/** Records of the frame that is being filled. */
	struct fsmeta_buffer content;
	/** Path and kind of the change before. */
	struct fsmeta_buffer last_path;
	int last_kind;

	struct fsmeta_digest state_digest;
	struct fsmeta_delta_summary summary;
};

/* ---- frames ----------------------------------------------------------- */

static int write_frame(struct fsmeta_delta_writer *writer, const unsigned char *bytes, size_t size,
    int level, struct fsmeta_error *error)
{
	struct fsmeta_frame sizes;
	int code;

	ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_compressionLevel, level);
	fsmeta_buffer_clear(&writer->frame);
	code = fsmeta_frame_compress(
	    &writer->frame, &sizes, writer->zstd, bytes, size, NULL, 0, writer->label, error);
	if (!code)
		code = fsmeta_write_all(
		    writer->fd, writer->frame.data, writer->frame.length, writer->label, error);
	if (code)
		return code;
	writer->summary.file_bytes += writer->frame.length;
	if (fsmeta_seek_table_append(&writer->frames, sizes.compressed_bytes, sizes.content_bytes))
		return fsmeta_error_set(
		    error, FSMETA_E_LIMIT, writer->label, action, "too many frames");
	return 0;
}

/** The message in writer->record as a frame of its own. */
static int write_single(
    struct fsmeta_delta_writer *writer, enum fsmeta_record_kind kind, struct fsmeta_error *error)
{
	size_t offset, message_offset, size;

	fsmeta_record_finish(&writer->record, kind, &offset, &message_offset);
	size = writer->record.length - offset;
	if (kind != FSMETA_RECORD_TRAILER)
		XXH3_128bits_update(writer->records_hash, writer->record.data + offset, size);
	return write_frame(writer, writer->record.data + offset, size, SMALL_LEVEL, error);
}

/* ---- changes ---------------------------------------------------------- */

static uint32_t nanoseconds_between(uint32_t later, uint32_t earlier)
{
	return later >= earlier ? later - earlier : later + NANOSECONDS - earlier;
}

/** The values of the fields that the entry has. */
static void pack_values(Fsmeta__V1__Change *message, const struct fsmeta_entry *entry)
{
	uint32_t fields = entry->fields;
	struct fsmeta_time mtime = {0};

	message->fields = fields;
	message->flags = entry->flags;
	if (fields & FSMETA_FIELD_SIZE)
		message->size = entry->size;
	if (fields & FSMETA_FIELD_MTIME) {
		mtime = entry->mtime;
		message->mtime_seconds = mtime.seconds;
		message->mtime_nanoseconds = mtime.nanoseconds;
	}
	if (fields & FSMETA_FIELD_CTIME) {
		message->ctime_seconds =
		    (int64_t)((uint64_t)entry->ctime.seconds - (uint64_t)mtime.seconds);
		message->ctime_nanoseconds =
		    nanoseconds_between(entry->ctime.nanoseconds, mtime.nanoseconds);
	}
	if (fields & FSMETA_FIELD_BTIME) {
		message->btime_seconds =
		    (int64_t)((uint64_t)entry->btime.seconds - (uint64_t)mtime.seconds);
		message->btime_nanoseconds =
		    nanoseconds_between(entry->btime.nanoseconds, mtime.nanoseconds);
	}
	if (fields & FSMETA_FIELD_MODE)
		message->mode = entry->mode;
	if (fields & FSMETA_FIELD_UID)
		message->uid = entry->uid;
	if (fields & FSMETA_FIELD_GID)
		message->gid = entry->gid;
	if (fields & FSMETA_FIELD_DEVICE)
		message->device = entry->device;
	if (fields & FSMETA_FIELD_INODE)
		message->inode = entry->inode;
	if (fields & FSMETA_FIELD_NLINK)
		message->nlink = entry->nlink;
	if (fields & FSMETA_FIELD_ALLOCATED)
		message->allocated = entry->allocated;
	if (fields & FSMETA_FIELD_RDEV) {
		message->rdev_major = entry->rdev_major;
		message->rdev_minor = entry->rdev_minor;
	}
	if (fields & FSMETA_FIELD_TARGET)
		message->target = (ProtobufCBinaryData){
		    entry->target_length, (uint8_t *)(uintptr_t)entry->target};
	if (fields & FSMETA_FIELD_HASH) {
		message->hash_algorithm = (Fsmeta__V1__HashAlgorithm)entry->hash_algorithm;
		message->hash = (ProtobufCBinaryData){
		    fsmeta_hash_bytes(entry->hash_algorithm), (uint8_t *)(uintptr_t)entry->hash};
	}
}

static void pack_kind(Fsmeta__V1__Change *message, const struct fsmeta_delta_change *change)
{
	const struct fsmeta_entry *entry = change->entry;

	message->kind = (Fsmeta__V1__ChangeKind)change->kind;
	message->id = entry->id;
	if (change->kind == FSMETA_DELTA_PARENT)
		return;
	message->type = (Fsmeta__V1__Type)entry->type;
	switch (change->kind) {
	case FSMETA_CHANGE_REMOVED:
		return;
	case FSMETA_CHANGE_UNREADABLE:
	case FSMETA_CHANGE_UNKNOWN:
		message->error = (uint32_t)entry->error;
		message->unknown_since = entry->unknown_since;
		message->whole = change->whole;
		return;
	case FSMETA_CHANGE_MOVED:
		message->old_path = (ProtobufCBinaryData){
		    change->old_path_length, (uint8_t *)(uintptr_t)change->old_path};
		break;
	default:
		break;
	}
	message->differs = change->differs;
	message->error = (uint32_t)entry->error;
	pack_values(message, entry);
}

static size_t shared_bytes(const struct fsmeta_buffer *last, const char *path, size_t length)
{
	size_t common = length < last->length ? length : last->length;
	size_t shared = 0;

	while (shared < common && (unsigned char)path[shared] == last->data[shared])
		shared++;
	return shared;
}

static int flush_content(struct fsmeta_delta_writer *writer, struct fsmeta_error *error)
{
	uint32_t size = (uint32_t)writer->content.length;
	int code = 0;

	if (!size)
		return 0;
	code = fsmeta_spool_append(writer->spool, &size, sizeof(size), NULL, error);
	if (!code)
		code = fsmeta_spool_append(writer->spool, writer->content.data, size, NULL, error);
	fsmeta_buffer_clear(&writer->content);
	return code;
}

int fsmeta_delta_writer_add(struct fsmeta_delta_writer *writer,
    const struct fsmeta_delta_change *change, struct fsmeta_error *error)
{
	Fsmeta__V1__Change message = FSMETA__V1__CHANGE__INIT;
	const struct fsmeta_entry *entry = change->entry;
	size_t shared = shared_bytes(&writer->last_path, entry->path, entry->path_length);
	size_t offset, message_offset, size;

	if (!writer->section ||
	    (writer->section_changes &&
		fsmeta_delta_change_compare(change, (const char *)writer->last_path.data,
		    writer->last_path.length, writer->last_kind) <= 0))
		return fsmeta_error_set(
		    error, FSMETA_E_INTERNAL, writer->label, action, "a change is out of order");
	pack_kind(&message, change);
	message.path_prefix = (uint32_t)shared;
	message.path = (ProtobufCBinaryData){entry->path_length - shared,
	    (uint8_t *)(uintptr_t)(entry->path_length ? entry->path + shared : "")};
	size = fsmeta__v1__change__get_packed_size(&message);
	writer->last_path.length = shared;
	if (fsmeta_record_begin(&writer->record) || fsmeta_buffer_reserve(&writer->record, size) ||
	    fsmeta_buffer_append(&writer->last_path, message.path.data, message.path.len))
		return fsmeta_error_set_memory(error, action);
	writer->record.length +=
	    fsmeta__v1__change__pack(&message, writer->record.data + writer->record.length);
	fsmeta_record_finish(&writer->record, FSMETA_RECORD_CHANGE, &offset, &message_offset);
	if (fsmeta_buffer_append(
		&writer->content, writer->record.data + offset, writer->record.length - offset))
		return fsmeta_error_set_memory(error, action);
	writer->last_kind = change->kind;
	writer->section_changes++;
	return writer->content.length < FRAME_CONTENT_BYTES ? 0 : flush_content(writer, error);
}

/* ---- sections --------------------------------------------------------- */

int fsmeta_delta_writer_begin_section(struct fsmeta_delta_writer *writer,
    const struct fsmeta_delta_section *section, struct fsmeta_error *error)
{
	writer->section = section;
	writer->section_changes = 0;
	fsmeta_buffer_clear(&writer->last_path);
	fsmeta_spool_free(writer->spool);
	return fsmeta_spool_new(&writer->spool, 0, NULL, error);
}

/** The BatchSource without what the section says by itself. */
static int append_source(struct fsmeta_buffer *json, const struct fsmeta_delta_section *section,
    struct fsmeta_error *error)
{
	struct fsmeta_batch_source rest = *section->source;

	if (rest.generation == section->generation)
		rest.generation = 0;
	if (fsmeta_digest_equal(rest.state_digest, section->state_digest))
		rest.has_state_digest = false;
	rest.field_mask = 0;
	rest.id_kind = FSMETA_IDS_ORDINAL;
	return fsmeta_batch_source_to_terse_json(json, &rest, error);
}

static int write_section(struct fsmeta_delta_writer *writer, struct fsmeta_error *error)
{
	const struct fsmeta_delta_section *section = writer->section;
	Fsmeta__V1__Section message = FSMETA__V1__SECTION__INIT;
	unsigned char base[16], state[16];
	struct fsmeta_buffer json = {0};
	int code = append_source(&json, section, error);

	if (code)
		return code;
	fsmeta_digest_store(base, section->base_state_digest);
	fsmeta_digest_store(state, section->state_digest);
	message.base_generation = section->base_generation;
	message.generation = section->generation;
	message.base_state_digest = (ProtobufCBinaryData){sizeof(base), base};
	message.state_digest = (ProtobufCBinaryData){sizeof(state), state};
	message.changes = writer->section_changes;
	message.compared_with = section->compared_with;
	message.added = section->added;
	message.removed = section->removed;
	message.modified = section->modified;
	message.moved = section->moved;
	message.field_mask = section->source->field_mask;
	message.source_json = (ProtobufCBinaryData){json.length, json.data};
	if (fsmeta_record_begin(&writer->record) ||
	    fsmeta_buffer_reserve(
		&writer->record, fsmeta__v1__section__get_packed_size(&message))) {
		code = fsmeta_error_set_memory(error, action);
	} else {
		writer->record.length += fsmeta__v1__section__pack(
		    &message, writer->record.data + writer->record.length);
		code = write_single(writer, FSMETA_RECORD_SECTION, error);
	}
	fsmeta_buffer_release(&json);
	return code;
}

static int write_changes(struct fsmeta_delta_writer *writer, struct fsmeta_error *error)
{
	uint64_t total = fsmeta_spool_size(writer->spool);
	int level = total <= SMALL_SECTION_BYTES ? SMALL_LEVEL : LARGE_LEVEL;
	uint64_t at = 0;
	int code = 0;

	while (at < total && !code) {
		uint32_t size;

		code = fsmeta_spool_read(writer->spool, at, &size, sizeof(size), error);
		if (code)
			return code;
		at += sizeof(size);
		fsmeta_buffer_clear(&writer->content);
		if (fsmeta_buffer_reserve(&writer->content, size))
			return fsmeta_error_set_memory(error, action);
		code = fsmeta_spool_read(writer->spool, at, writer->content.data, size, error);
		if (code)
			return code;
		at += size;
		XXH3_128bits_update(writer->records_hash, writer->content.data, size);
		code = write_frame(writer, writer->content.data, size, level, error);
	}
	fsmeta_buffer_clear(&writer->content);
	return code;
}

int fsmeta_delta_writer_end_section(struct fsmeta_delta_writer *writer, struct fsmeta_error *error)
{
	int code;

	if (!writer->section)
		return fsmeta_error_set(
		    error, FSMETA_E_INTERNAL, writer->label, action, "no section is open");
	code = flush_content(writer, error);
	if (!code)
		code = write_section(writer, error);
	if (!code)
		code = write_changes(writer, error);
	writer->state_digest = writer->section->state_digest;
	writer->section = NULL;
	writer->summary.sections++;
	writer->summary.changes += writer->section_changes;
	return code;
}

/* ---- begin and end ---------------------------------------------------- */

static int write_header(struct fsmeta_delta_writer *writer, uint64_t base_generation,
    uint64_t generation, struct fsmeta_error *error)
{
	int code;

	if (fsmeta_record_begin(&writer->record))
		return fsmeta_error_set_memory(error, action);
	code = fsmeta_header_pack_delta(&writer->record, base_generation, generation, error);
	return code ? code : write_single(writer, FSMETA_RECORD_HEADER, error);
}

static int write_trailer(struct fsmeta_delta_writer *writer, struct fsmeta_error *error)
{
	Fsmeta__V1__Trailer message = FSMETA__V1__TRAILER__INIT;
	unsigned char state[16], records[16];

	fsmeta_digest_store(state, writer->state_digest);
	fsmeta_digest_store(
	    records, fsmeta_digest_from_xxh(XXH3_128bits_digest(writer->records_hash)));
	message.state_digest = (ProtobufCBinaryData){sizeof(state), state};
	message.records_digest = (ProtobufCBinaryData){sizeof(records), records};
	message.sections = writer->summary.sections;
	message.changes = writer->summary.changes;
	if (fsmeta_record_begin(&writer->record) ||
	    fsmeta_buffer_reserve(&writer->record, fsmeta__v1__trailer__get_packed_size(&message)))
		return fsmeta_error_set_memory(error, action);
	writer->record.length +=
	    fsmeta__v1__trailer__pack(&message, writer->record.data + writer->record.length);
	return write_single(writer, FSMETA_RECORD_TRAILER, error);
}

int fsmeta_delta_writer_finish(struct fsmeta_delta_writer *writer,
    struct fsmeta_delta_summary *summary, struct fsmeta_error *error)
{
	int code;

	if (writer->section || !writer->summary.sections)
		return fsmeta_error_set(error, FSMETA_E_INTERNAL, writer->label, action,
		    "it has no section, or one that is not ended");
	code = write_trailer(writer, error);
	if (code)
		return code;
	fsmeta_buffer_clear(&writer->frame);
	if (fsmeta_seek_table_write(&writer->frame, &writer->frames))
		return fsmeta_error_set_memory(error, action);
	code = fsmeta_write_all(
	    writer->fd, writer->frame.data, writer->frame.length, writer->label, error);
	writer->summary.file_bytes += writer->frame.length;
	if (summary)
		*summary = writer->summary;
	return code;
}

static int set_up(struct fsmeta_delta_writer *writer, struct fsmeta_error *error)
{
	writer->zstd = ZSTD_createCCtx();
	writer->records_hash = XXH3_createState();
	if (!writer->zstd || !writer->records_hash)
		return fsmeta_error_set_memory(error, action);
	XXH3_128bits_reset(writer->records_hash);
	ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_checksumFlag, 1);
	ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_contentSizeFlag, 1);
	return 0;
}

int fsmeta_delta_writer_new(struct fsmeta_delta_writer **out, int fd, const char *label,
    uint64_t base_generation, uint64_t generation, struct fsmeta_error *error)
{
	struct fsmeta_delta_writer *writer = calloc(1, sizeof(*writer));
	int code;

	*out = NULL;
	if (!writer)
		return fsmeta_error_set_memory(error, action);
	writer->fd = fd;
	writer->label = label;
	code = set_up(writer, error);
	if (!code)
		code = write_header(writer, base_generation, generation, error);
	if (code)
		fsmeta_delta_writer_free(writer);
	else
		*out = writer;
	return code;
}

void fsmeta_delta_writer_free(struct fsmeta_delta_writer *writer)
{
	if (!writer)
		return;
	ZSTD_freeCCtx(writer->zstd);
	XXH3_freeState(writer->records_hash);
	fsmeta_seek_table_release(&writer->frames);
	fsmeta_buffer_release(&writer->frame);
	fsmeta_buffer_release(&writer->record);
	fsmeta_buffer_release(&writer->content);
	fsmeta_buffer_release(&writer->last_path);
	fsmeta_spool_free(writer->spool);
	free(writer);
}
