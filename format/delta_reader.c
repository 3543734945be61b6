/*
 * Reading a delta.
 *
 *     frames ──► judged, change by change ──► spool ──► handed out, as often as
 *     (once, forward, to the trailer)                   wanted, without surprises
 *
 * Both passes run the same code: a frame is fetched, from the input (and then also
 * appended to the spool) or from the spool, and its records are parsed and judged
 * one by one.  So what was not found right cannot be handed out, and a pipe is read
 * to its end before a database is locked.
 *
 * The folders above a change must have been named in front of it.  Paths ascend, so
 * one stack holds those that still can be above something:
 *
 *     "" (parent)   a (parent)   a/b (added)   a/b/c (added)   d (removed) …
 *     stack:  ""        "" a        "" a a/b       …               ""
 */
#include "format/delta.h"

#include "base/path.h"
#include "base/spool.h"
#include "format/frame_input.h"
#include "format/stream.h"
#include "format/stream_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	DIGEST_BYTES = 16,
	NANOSECONDS = 1000000000,
	KNOWN_FLAGS =
	    FSMETA_FLAG_UNREADABLE | FSMETA_FLAG_OTHER_FILESYSTEM | FSMETA_FLAG_CHANGED_WHILE_READ,
};

static const char action[] = "reading a delta";

/** In front of every frame's content in the spool. */
struct spooled_frame {
	uint64_t offset;
	uint32_t bytes;
	uint32_t kind;
};

struct fsmeta_delta {
	struct fsmeta_frame_input input;
	struct fsmeta_header header;
	XXH3_state_t *records_hash;
	struct fsmeta_delta_facts facts;
	/** Of the first section's base. */
	struct fsmeta_digest base_state_digest;

	struct fsmeta_spool *spool;
	/** False while the input is being read. */
	bool is_spooled;
	uint64_t spool_at;

	/** The frame in hand, in input.content: kind of its records, and how far it was read. */
	uint32_t frame_kind;
	size_t frame_at;
	/** The trailer was met. */
	bool ended;

	struct fsmeta_unpack unpack;
	/** The section in hand; generation 0 = none. */
	struct fsmeta_delta_section section;
	struct fsmeta_batch_source source;
	uint64_t section_changes;
	/** Counted over the delta. */
	uint64_t records;

	struct fsmeta_delta_change change;
	struct fsmeta_entry entry;
	struct fsmeta_buffer path;
	/** Path and kind of the change before. */
	struct fsmeta_buffer last_path;
	int last_kind;
	/** Folders that were named and can be above what comes. */
	struct fsmeta_path_stack named;
	bool root_named;
};

static int corrupt(const struct fsmeta_delta *delta, const char *reason, struct fsmeta_error *error)
{
	return fsmeta_frame_input_corrupt(&delta->input, action, reason, error);
}

/* ---- order ------------------------------------------------------------ */

static int rank(int kind)
{
	switch (kind) {
	case FSMETA_CHANGE_REMOVED:
		return 0;
	case FSMETA_CHANGE_UNREADABLE:
	case FSMETA_CHANGE_UNKNOWN:
		return 2;
	default:
		return 1;
	}
}

int fsmeta_delta_change_compare(
    const struct fsmeta_delta_change *a, const char *b_path, size_t b_path_length, int b_kind)
{
	int order = fsmeta_path_compare(a->entry->path_length ? a->entry->path : "",
	    a->entry->path_length, b_path_length ? b_path : "", b_path_length);

	return order ? order : rank(a->kind) - rank(b_kind);
}

/* ---- frames ----------------------------------------------------------- */

static int check_trailer(
    struct fsmeta_delta *delta, const struct fsmeta_record *record, struct fsmeta_error *error)
{
	const Fsmeta__V1__Trailer *message =
	    fsmeta__v1__trailer__unpack(fsmeta_unpack_begin(&delta->unpack, record->message_bytes),
		record->message_bytes, record->message);
	const char *wrong = NULL;

	if (!message)
		wrong = "the trailer is no protobuf message";
	else if (message->state_digest.len != DIGEST_BYTES ||
		 message->records_digest.len != DIGEST_BYTES)
		wrong = "a digest is not of 16 bytes";
	else if (!fsmeta_digest_equal(fsmeta_digest_load(message->records_digest.data),
		     fsmeta_digest_from_xxh(XXH3_128bits_digest(delta->records_hash))))
		wrong = "the digest over all records does not match";
	else if (!delta->facts.sections || message->sections != delta->facts.sections ||
		 message->changes != delta->records)
		wrong = "the trailer counts other sections or changes";
	else if (delta->section.generation != delta->header.generation)
		wrong = "it does not lead to the generation that its header names";
	else if (!fsmeta_digest_equal(
		     fsmeta_digest_load(message->state_digest.data), delta->section.state_digest))
		wrong = "the trailer has another state digest";
	return wrong ? corrupt(delta, wrong, error)
		     : fsmeta_frame_input_finish(&delta->input, error);
}

static int spool_frame(struct fsmeta_delta *delta, struct fsmeta_error *error)
{
	const struct fsmeta_buffer *content = &delta->input.content;
	const struct spooled_frame frame = {
	    .offset = delta->input.frame_offset,
	    .bytes = (uint32_t)content->length,
	    .kind = delta->frame_kind,
	};
	int code = fsmeta_spool_append(delta->spool, &frame, sizeof(frame), NULL, error);

	if (!code)
		code =
		    fsmeta_spool_append(delta->spool, content->data, content->length, NULL, error);
	XXH3_128bits_update(delta->records_hash, content->data, content->length);
	return code;
}

/** The next frame of the input; its first record says of what kind it is. */
static int fetch_from_input(struct fsmeta_delta *delta, struct fsmeta_error *error)
{
	const struct fsmeta_buffer *content = &delta->input.content;
	struct fsmeta_record record;
	int code = fsmeta_frame_input_next(&delta->input, error);

	if (code)
		return code;
	if (!fsmeta_record_parse(&record, content->data, content->length))
		return corrupt(delta, "a frame does not begin with a record", error);
	if (record.kind != FSMETA_RECORD_CHANGE && record.total_bytes != content->length)
		return corrupt(delta, "a frame does not hold exactly one record", error);
	if (record.kind != FSMETA_RECORD_CHANGE && record.kind != FSMETA_RECORD_SECTION &&
	    record.kind != FSMETA_RECORD_TRAILER)
		return corrupt(delta, "a record is of a kind that a delta does not have", error);
	delta->frame_kind = record.kind;
	return record.kind == FSMETA_RECORD_TRAILER ? 0 : spool_frame(delta, error);
}

static int fetch_from_spool(struct fsmeta_delta *delta, struct fsmeta_error *error)
{
	struct fsmeta_buffer *content = &delta->input.content;
	struct spooled_frame frame;
	int code;

	if (delta->spool_at == fsmeta_spool_size(delta->spool)) {
		delta->frame_kind = FSMETA_RECORD_TRAILER;
		return 0;
	}
	code = fsmeta_spool_read(delta->spool, delta->spool_at, &frame, sizeof(frame), error);
	if (code)
		return code;
	fsmeta_buffer_clear(content);
	if (fsmeta_buffer_reserve(content, frame.bytes))
		return fsmeta_error_set_memory(error, action);
	code = fsmeta_spool_read(
	    delta->spool, delta->spool_at + sizeof(frame), content->data, frame.bytes, error);
	content->length = frame.bytes;
	delta->spool_at += sizeof(frame) + frame.bytes;
	delta->input.frame_offset = frame.offset;
	delta->frame_kind = frame.kind;
	return code;
}

/** Puts the next frame in hand unless there is one with something left. */
static int fetch(struct fsmeta_delta *delta, struct fsmeta_error *error)
{
	if (delta->ended || delta->frame_at < delta->input.content.length)
		return 0;
	delta->frame_at = 0;
	return delta->is_spooled ? fetch_from_spool(delta, error) : fetch_from_input(delta, error);
}

/** The next record of the frame in hand, which has one. */
static int take_record(
    struct fsmeta_delta *delta, struct fsmeta_record *record, struct fsmeta_error *error)
{
	const struct fsmeta_buffer *content = &delta->input.content;

	if (!fsmeta_record_parse(
		record, content->data + delta->frame_at, content->length - delta->frame_at) ||
	    record->kind != delta->frame_kind)
		return corrupt(delta, "a frame holds more than whole records of one kind", error);
	delta->frame_at += record->total_bytes;
	return 0;
}

/* ---- sections --------------------------------------------------------- */

static bool text_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/** NULL, or why the section cannot stand here. */
static const char *judge_section(
    const struct fsmeta_delta *delta, const Fsmeta__V1__Section *message)
{
	const struct fsmeta_delta_section *before = &delta->section;

	if (message->base_state_digest.len != DIGEST_BYTES ||
	    message->state_digest.len != DIGEST_BYTES)
		return "a digest is not of 16 bytes";
	if (!message->base_generation || message->base_generation >= message->generation)
		return "a section does not lead from a generation to a later one";
	if (!before->generation)
		return message->base_generation == delta->header.base_generation
			   ? NULL
			   : "the first section has another base than the header names";
	if (message->base_generation != before->generation ||
	    !fsmeta_digest_equal(
		fsmeta_digest_load(message->base_state_digest.data), before->state_digest))
		return "a section does not start where the one before ends";
	return NULL;
}

/** Gives the BatchSource what it leaves to the section to say; NULL, or why they disagree. */
static const char *complete_source(struct fsmeta_batch_source *source,
    const struct fsmeta_delta_section *section, uint32_t field_mask)
{
	if (!source->generation)
		source->generation = section->generation;
	if (!source->has_state_digest)
		source->state_digest = section->state_digest;
	if (!source->field_mask)
		source->field_mask = field_mask;
	source->has_state_digest = true;
	source->id_kind = FSMETA_IDS_STABLE;
	if (source->generation != section->generation)
		return "a section's BatchSource has another generation";
	if (!source->has_totals ||
	    !fsmeta_digest_equal(source->state_digest, section->state_digest))
		return "a section's BatchSource lacks totals or has another state digest";
	if (field_mask & ~(uint32_t)FSMETA_FIELDS_KNOWN ||
	    (field_mask && field_mask != source->field_mask))
		return "a section's field mask has unknown bits, or its BatchSource another one";
	return NULL;
}

static int take_source(struct fsmeta_delta *delta, const struct fsmeta_delta_section *section,
    const Fsmeta__V1__Section *message, struct fsmeta_error *error)
{
	struct fsmeta_batch_source source;
	const char *wrong;
	int code = fsmeta_record_source(
	    &source, message->source_json, delta->input.label, delta->input.frame_offset, error);

	if (code)
		return code;
	wrong = complete_source(&source, section, message->field_mask);
	if (!wrong && delta->section.generation &&
	    !text_equal(source.source_id, delta->source.source_id))
		wrong = "its sections are of different sources";
	if (wrong) {
		fsmeta_batch_source_release(&source);
		return corrupt(delta, wrong, error);
	}
	fsmeta_batch_source_release(&delta->source);
	delta->source = source;
	return 0;
}

static int take_section(struct fsmeta_delta *delta, struct fsmeta_error *error)
{
	const Fsmeta__V1__Section *message;
	struct fsmeta_delta_section section;
	struct fsmeta_record record;
	const char *wrong;
	int code = take_record(delta, &record, error);

	if (code)
		return code;
	message =
	    fsmeta__v1__section__unpack(fsmeta_unpack_begin(&delta->unpack, record.message_bytes),
		record.message_bytes, record.message);
	wrong = message ? judge_section(delta, message) : "a section is no protobuf message";
	if (wrong)
		return corrupt(delta, wrong, error);
	section = (struct fsmeta_delta_section){
	    .base_generation = message->base_generation,
	    .generation = message->generation,
	    .base_state_digest = fsmeta_digest_load(message->base_state_digest.data),
	    .state_digest = fsmeta_digest_load(message->state_digest.data),
	    .compared_with = message->compared_with,
	    .added = message->added,
	    .removed = message->removed,
	    .modified = message->modified,
	    .moved = message->moved,
	    .changes = message->changes,
	    .source = &delta->source,
	};
	code = take_source(delta, &section, message, error);
	if (code)
		return code;
	delta->section = section;
	delta->section_changes = 0;
	delta->root_named = false;
	fsmeta_buffer_clear(&delta->last_path);
	fsmeta_path_stack_clear(&delta->named);
	return 1;
}

int fsmeta_delta_next_section(struct fsmeta_delta *delta,
    const struct fsmeta_delta_section **section, struct fsmeta_error *error)
{
	const struct fsmeta_delta_change *ignored;
	int code = 0;

	while (delta->section.generation &&
	       (code = fsmeta_delta_next_change(delta, &ignored, error)) > 0)
		;
	if (!code)
		code = fetch(delta, error);
	if (code)
		return code;
	if (delta->ended || delta->frame_kind == FSMETA_RECORD_TRAILER) {
		delta->ended = true;
		return 0;
	}
	if (delta->frame_kind != FSMETA_RECORD_SECTION)
		return corrupt(delta, "changes stand in front of any section", error);
	*section = &delta->section;
	return take_section(delta, error);
}

/* ---- changes ---------------------------------------------------------- */

/** The values of the fields that the entry has; NULL, or what is wrong with them. */
static const char *read_values(struct fsmeta_entry *entry, const Fsmeta__V1__Change *message,
    const struct fsmeta_batch_source *source)
{
	uint32_t fields = message->fields;
	struct fsmeta_time mtime = {0};

	if (fields & ~(fsmeta_fields_of_type(entry->type) & source->field_mask))
		return "an entry has fields that it cannot have";
	if (message->flags & ~(uint32_t)KNOWN_FLAGS)
		return "an entry has unknown flags";
	if (message->mtime_nanoseconds >= NANOSECONDS ||
	    message->ctime_nanoseconds >= NANOSECONDS || message->btime_nanoseconds >= NANOSECONDS)
		return "nanoseconds are out of range";
	if (message->mode > 07777)
		return "a mode is out of range";
	if (fields & FSMETA_FIELD_DEVICE && message->device >= source->filesystem_count)
		return "an entry's file system is not in the table";
	if (fields & FSMETA_FIELD_TARGET &&
	    (message->target.len > FSMETA_TARGET_MAX_BYTES ||
		(message->target.len && memchr(message->target.data, 0, message->target.len))))
		return "a symlink's target is not valid";
	entry->fields = fields;
	entry->flags = message->flags;
	entry->size = message->size;
	if (fields & FSMETA_FIELD_MTIME)
		mtime = (struct fsmeta_time){message->mtime_seconds, message->mtime_nanoseconds};
	entry->mtime = mtime;
	if (fields & FSMETA_FIELD_CTIME)
		entry->ctime = (struct fsmeta_time){
		    (int64_t)((uint64_t)mtime.seconds + (uint64_t)message->ctime_seconds),
		    (mtime.nanoseconds + message->ctime_nanoseconds) % NANOSECONDS};
	if (fields & FSMETA_FIELD_BTIME)
		entry->btime = (struct fsmeta_time){
		    (int64_t)((uint64_t)mtime.seconds + (uint64_t)message->btime_seconds),
		    (mtime.nanoseconds + message->btime_nanoseconds) % NANOSECONDS};
	entry->mode = message->mode;
	entry->uid = message->uid;
	entry->gid = message->gid;
	entry->device = fields & FSMETA_FIELD_DEVICE ? message->device : FSMETA_DEVICE_NONE;
	entry->inode = message->inode;
	entry->nlink = message->nlink;
	entry->allocated = message->allocated;
	entry->rdev_major = message->rdev_major;
	entry->rdev_minor = message->rdev_minor;
	if (fields & FSMETA_FIELD_TARGET) {
		entry->target = message->target.len ? (const char *)message->target.data : "";
		entry->target_length = message->target.len;
	}
	if (!(fields & FSMETA_FIELD_HASH))
		return NULL;
	entry->hash_algorithm = (enum fsmeta_hash_algorithm)message->hash_algorithm;
	if ((entry->hash_algorithm != FSMETA_HASH_XXH3 &&
		entry->hash_algorithm != FSMETA_HASH_SHA256) ||
	    message->hash.len != fsmeta_hash_bytes(entry->hash_algorithm))
		return "a content hash is not valid";
	memcpy(entry->hash, message->hash.data, message->hash.len);
	return NULL;
}

/** What the kind says of the rest; NULL, or what is wrong. */
static const char *read_kind(struct fsmeta_delta *delta, const Fsmeta__V1__Change *message)
{
	struct fsmeta_delta_change *change = &delta->change;
	struct fsmeta_entry *entry = &delta->entry;
	bool is_root = !entry->path_length;

	if (message->error > FSMETA_ERRNO_MAX)
		return "an errno is out of range";
	entry->type = (enum fsmeta_type)message->type;
	if (change->kind == FSMETA_DELTA_PARENT)
		entry->type = FSMETA_TYPE_FOLDER;
	else if (entry->type < FSMETA_TYPE_FILE || entry->type > FSMETA_TYPE_CHAR)
		return "an entry's type is not known";
	if (is_root && entry->type != FSMETA_TYPE_FOLDER)
		return "the root is no folder";
	switch (change->kind) {
	case FSMETA_CHANGE_REMOVED:
		return is_root ? "the root is removed" : NULL;
	case FSMETA_DELTA_PARENT:
		return NULL;
	case FSMETA_CHANGE_UNREADABLE:
	case FSMETA_CHANGE_UNKNOWN:
		entry->error = (int)message->error;
		entry->unknown_since = message->unknown_since;
		change->whole = message->whole;
		if (!entry->unknown_since || entry->unknown_since > delta->section.generation)
			return "a place is unknown since no generation";
		return entry->type != FSMETA_TYPE_FOLDER && !change->whole
			   ? "what is below something is unknown that is no folder"
			   : NULL;
	case FSMETA_CHANGE_MOVED:
		change->old_path =
		    message->old_path.len ? (const char *)message->old_path.data : "";
		change->old_path_length = message->old_path.len;
		/* The same path, too, where the folder above is another one. */
		if (!change->old_path_length ||
		    !fsmeta_path_is_valid(change->old_path, change->old_path_length))
			return "the older path of a move is not valid";
		break;
	default:
		break;
	}
	if (is_root && (change->kind == FSMETA_CHANGE_ADDED || change->kind == FSMETA_CHANGE_MOVED))
		return "the root arrives";
	if (message->differs & ~((uint32_t)FSMETA_FIELDS_KNOWN | FSMETA_FIELD_FLAGS))
		return "it says that unknown fields differ";
	change->differs = message->differs;
	entry->error = (int)message->error;
	return read_values(entry, message, &delta->source);
}

/** Path from the one before; NULL, or what is wrong. */
static const char *read_path(struct fsmeta_delta *delta, const Fsmeta__V1__Change *message)
{
	struct fsmeta_buffer *path = &delta->path;
	struct fsmeta_entry *entry = &delta->entry;

	if (message->path_prefix > delta->last_path.length ||
	    message->path.len > FSMETA_PATH_MAX_BYTES)
		return "the length of a path is out of range";
	fsmeta_buffer_clear(path);
	if (fsmeta_buffer_append(path, delta->last_path.data, message->path_prefix) ||
	    fsmeta_buffer_append(path, message->path.data, message->path.len))
		return "out of memory";
	entry->path = fsmeta_buffer_string(path);
	entry->path_length = path->length;
	if (!entry->path)
		return "out of memory";
	if (!fsmeta_path_is_valid(entry->path, entry->path_length))
		return "a path is not valid";
	entry->depth = fsmeta_path_depth(entry->path, entry->path_length);
	entry->name = entry->path + fsmeta_path_name_offset(entry->path, entry->path_length);
	entry->name_length = entry->path_length - (size_t)(entry->name - entry->path);
	return NULL;
}

/** How many components the path shares with the stack of named folders. */
static uint32_t shared_depth(const struct fsmeta_path_stack *stack, const char *path, size_t length)
{
	uint32_t depth = 0;
	size_t at = 0;

	while (depth < stack->depth && at < length) {
		size_t name_length;
		const char *name = fsmeta_path_stack_name(stack, depth + 1, &name_length);

		if (length - at < name_length || memcmp(path + at, name, name_length) != 0 ||
		    (length - at > name_length && path[at + name_length] != '/'))
			break;
		at += name_length + 1;
		depth++;
	}
	return depth;
}

/** NULL, or why the change cannot stand at its place: order, and the folders above. */
static const char *judge_place(struct fsmeta_delta *delta)
{
	const struct fsmeta_entry *entry = &delta->entry;
	int kind = delta->change.kind;
	uint32_t shared = shared_depth(&delta->named, entry->path, entry->path_length);

	if (delta->section_changes &&
	    fsmeta_delta_change_compare(&delta->change, (const char *)delta->last_path.data,
		delta->last_path.length, delta->last_kind) <= 0)
		return "the changes are out of order";
	fsmeta_path_stack_truncate(&delta->named, shared);
	/* What goes may have stood in a folder that is no longer there. */
	if (kind == FSMETA_CHANGE_REMOVED)
		return NULL;
	if (entry->depth && (!delta->root_named || shared + 1 < entry->depth))
		return "a folder above a change was not named";
	if (entry->type != FSMETA_TYPE_FOLDER || (shared && shared == entry->depth))
		return NULL;
	if (!entry->depth)
		delta->root_named = true;
	else if (fsmeta_path_stack_push(&delta->named, entry->name, entry->name_length))
		return "out of memory";
	return NULL;
}

static int take_change(struct fsmeta_delta *delta, struct fsmeta_error *error)
{
	const Fsmeta__V1__Change *message;
	struct fsmeta_buffer swapped;
	struct fsmeta_record record;
	const char *wrong = NULL;
	int code = take_record(delta, &record, error);

	if (code)
		return code;
	message =
	    fsmeta__v1__change__unpack(fsmeta_unpack_begin(&delta->unpack, record.message_bytes),
		record.message_bytes, record.message);
	if (!message)
		return corrupt(delta, "a change is no protobuf message", error);
	delta->entry = (struct fsmeta_entry){.id = message->id, .device = FSMETA_DEVICE_NONE};
	delta->change =
	    (struct fsmeta_delta_change){.kind = (int)message->kind, .entry = &delta->entry};
	if (!message->id || message->id > INT64_MAX)
		wrong = "a change has no id";
	else if (delta->change.kind < FSMETA_CHANGE_ADDED ||
		 delta->change.kind > FSMETA_DELTA_PARENT)
		wrong = "a change is of an unknown kind";
	if (!wrong)
		wrong = read_path(delta, message);
	if (!wrong)
		wrong = read_kind(delta, message);
	if (!wrong)
		wrong = judge_place(delta);
	if (wrong)
		return corrupt(delta, wrong, error);
	/* entry.path stays where it is, in what is now last_path. */
	swapped = delta->last_path;
	delta->last_path = delta->path;
	delta->path = swapped;
	delta->last_kind = delta->change.kind;
	delta->section_changes++;
	return 1;
}

int fsmeta_delta_next_change(struct fsmeta_delta *delta, const struct fsmeta_delta_change **change,
    struct fsmeta_error *error)
{
	int code;

	if (!delta->section.generation || delta->section_changes == delta->section.changes)
		return 0;
	code = fetch(delta, error);
	if (code)
		return code;
	if (delta->frame_kind != FSMETA_RECORD_CHANGE)
		return corrupt(delta, "a section has fewer changes than it says", error);
	*change = &delta->change;
	return take_change(delta, error);
}

/* ---- opening ---------------------------------------------------------- */

static void start(struct fsmeta_delta *delta)
{
	delta->section = (struct fsmeta_delta_section){0};
	delta->section_changes = 0;
	delta->spool_at = 0;
	delta->frame_at = 0;
	delta->input.content.length = 0;
	delta->ended = false;
}

void fsmeta_delta_rewind(struct fsmeta_delta *delta)
{
	start(delta);
}

/** The first pass: everything is judged. */
static int read_all(struct fsmeta_delta *delta, struct fsmeta_error *error)
{
	const struct fsmeta_delta_section *section;
	const struct fsmeta_delta_change *change;
	struct fsmeta_record record;
	int code;

	while ((code = fsmeta_delta_next_section(delta, &section, error)) > 0) {
		if (!delta->facts.sections++)
			delta->base_state_digest = section->base_state_digest;
		while ((code = fsmeta_delta_next_change(delta, &change, error)) > 0) {
			delta->records++;
			delta->facts.changes += change->kind != FSMETA_DELTA_PARENT;
		}
		if (code)
			return code;
	}
	if (!code)
		code = take_record(delta, &record, error);
	if (!code)
		code = check_trailer(delta, &record, error);
	delta->facts.file_bytes = delta->input.offset;
	return code;
}

/** Tells how far it was good. */
static int tell_progress(struct fsmeta_delta *delta, int code, struct fsmeta_error *error)
{
	if (code != FSMETA_E_TRUNCATED || !error)
		return code;
	return fsmeta_error_set_at(error, FSMETA_E_TRUNCATED, delta->input.label, error->offset,
	    action, "%s; good up to here: %llu changes", error->reason,
	    (unsigned long long)delta->records);
}

int fsmeta_delta_read(struct fsmeta_delta **out, struct fsmeta_frame_input *input,
    struct fsmeta_header *header, struct fsmeta_error *error)
{
	struct fsmeta_delta *delta = calloc(1, sizeof(*delta));
	int code = 0;

	*out = NULL;
	if (!delta)
		return fsmeta_error_set_memory(error, action);
	delta->input = *input;
	delta->header = *header;
	*input = (struct fsmeta_frame_input){.fd = -1};
	*header = (struct fsmeta_header){0};
	fsmeta_batch_source_init(&header->source);
	fsmeta_batch_source_init(&delta->source);
	fsmeta_unpack_init(&delta->unpack);
	fsmeta_path_stack_init(&delta->named);
	delta->facts.base_generation = delta->header.base_generation;
	delta->facts.generation = delta->header.generation;
	delta->records_hash = XXH3_createState();
	if (!delta->records_hash)
		code = fsmeta_error_set_memory(error, action);
	if (!code)
		code = fsmeta_spool_new(&delta->spool, 0, NULL, error);
	if (!code && delta->header.id_kind != FSMETA_IDS_STABLE)
		code = corrupt(delta, "a delta has no stable ids", error);
	if (!code) {
		XXH3_128bits_reset(delta->records_hash);
		XXH3_128bits_update(
		    delta->records_hash, delta->input.content.data, delta->input.content.length);
		start(delta);
		code = tell_progress(delta, read_all(delta, error), error);
	}
	if (code) {
		fsmeta_delta_close(delta);
		return code;
	}
	delta->is_spooled = true;
	start(delta);
	*out = delta;
	return 0;
}

void fsmeta_delta_close(struct fsmeta_delta *delta)
{
	if (!delta)
		return;
	fsmeta_frame_input_release(&delta->input);
	fsmeta_header_release(&delta->header);
	XXH3_freeState(delta->records_hash);
	fsmeta_spool_free(delta->spool);
	fsmeta_unpack_release(&delta->unpack);
	fsmeta_batch_source_release(&delta->source);
	fsmeta_buffer_release(&delta->path);
	fsmeta_buffer_release(&delta->last_path);
	fsmeta_path_stack_release(&delta->named);
	free(delta);
}

struct fsmeta_delta_facts fsmeta_delta_get_facts(const struct fsmeta_delta *delta)
{
	return delta->facts;
}

/* ---- places ----------------------------------------------------------- */

/** A descriptor of the file, or of entries.fss in the folder; -1 with errno. */
static int open_path(const char *path)
{
	int folder_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd;

	if (folder_fd < 0)
		return errno == ENOTDIR ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	fd = openat(
	    folder_fd, FSMETA_STREAM_ENTRIES_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	close(folder_fd);
	return fd;
}

bool fsmeta_delta_is(const char *path)
{
	struct fsmeta_frame_input input;
	struct fsmeta_header header = {0};
	struct stat status;
	int fd = open_path(path);
	bool is_delta;

	if (fd < 0)
		return false;
	/* A FIFO would lose what is read of it. */
	if (fstat(fd, &status) || !S_ISREG(status.st_mode)) {
		close(fd);
		return false;
	}
	fsmeta_batch_source_init(&header.source);
	is_delta = !fsmeta_frame_input_init(&input, fd, path, NULL) &&
		   !fsmeta_frame_input_header(&input, &header, NULL) && header.is_delta;
	fsmeta_header_release(&header);
	fsmeta_frame_input_release(&input);
	return is_delta;
}

/** A folder's source.json says of the last section what the section says. */
static int check_source_json(
    const struct fsmeta_delta *delta, const char *path, struct fsmeta_error *error)
{
	/* Borrows what is in the delta. */
	struct fsmeta_batch_source expected = delta->source;
	int folder_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int code;

	if (folder_fd < 0)
		return errno == ENOTDIR
			   ? 0
			   : fsmeta_error_set_errno(error, errno, path, "opening a delta");
	expected.base_generation = delta->facts.base_generation;
	expected.has_base_state_digest = true;
	expected.base_state_digest = delta->base_state_digest;
	code = fsmeta_stream_check_source(folder_fd, path, &expected, error);
	close(folder_fd);
	return code;
}

int fsmeta_delta_open(struct fsmeta_delta **out, const char *path, struct fsmeta_error *error)
{
	struct fsmeta_cursor *tree;
	int fd = open_path(path);
	int code;

	*out = NULL;
	if (fd < 0)
		return fsmeta_error_set_errno(error, errno, path, "opening a delta");
	code = fsmeta_stream_open_either(&tree, out, fd, path, error);
	if (!code && *out) {
		code = check_source_json(*out, path, error);
		if (code) {
			fsmeta_delta_close(*out);
			*out = NULL;
		}
		return code;
	}
	if (code)
		return code;
	fsmeta_cursor_close(tree);
	return fsmeta_error_set(
	    error, FSMETA_E_REFUSED, path, "opening a delta", "it is a tree, not a delta");
}
