/*
 * Framing, header and trailer.
 *
 *     ┌ length ┐┌ tag ┐┌ length ┐┌──── message ────┐
 *     │ varint ││ 1 B ││ varint ││ Header, Batch … │
 *     └────────┘└─────┘└────────┘└─────────────────┘
 *               └───────────── Record ─────────────┘
 *
 * A Record has one field, so what protobuf-c would do for it is the few bytes in
 * front of the message.  They are handled here, because a batch's digest is over
 * the bytes of its message, which are thus at hand without being packed twice.
 *
 * The trailer's columns are collected in a fsmeta_batch_list, by the writer to
 * write them, and by a reader of a pipe to compare them with what it then reads.
 */
#include "format/stream_record.h"

#include "format/stream.h"

#include <stdlib.h>
#include <string.h>

enum {
	WIRE_TYPE_LENGTH_DELIMITED = 2,
	VARINT_MAX_BYTES = 10,
	/** Room in front of a message for length, tag and length. */
	RECORD_ROOM_BYTES = 2 * VARINT_MAX_BYTES + 1,
	DIGEST_BYTES = 16,
};

/* ---- framing ---------------------------------------------------------- */

/** Bytes of the varint at `bytes`, 0 where there is none whole. */
static size_t read_varint(uint64_t *out, const unsigned char *bytes, size_t size)
{
	uint64_t value = 0;

	for (size_t i = 0; i < size && i < VARINT_MAX_BYTES; i++) {
		value |= (uint64_t)(bytes[i] & 0x7F) << (7 * i);
		if (!(bytes[i] & 0x80)) {
			*out = value;
			return i + 1;
		}
	}
	return 0;
}

/** Writes a varint that ends at `end`; returns where it begins. */
static unsigned char *write_varint_before(unsigned char *end, uint64_t value)
{
	unsigned char bytes[VARINT_MAX_BYTES];
	size_t length = 0;

	do {
		bytes[length] = (unsigned char)(value & 0x7F);
		value >>= 7;
		if (value)
			bytes[length] |= 0x80;
		length++;
	} while (value);
	return memcpy(end - length, bytes, length);
}

int fsmeta_record_begin(struct fsmeta_buffer *buffer)
{
	static const unsigned char room[RECORD_ROOM_BYTES];

	fsmeta_buffer_clear(buffer);
	return fsmeta_buffer_append(buffer, room, sizeof(room));
}

void fsmeta_record_finish(struct fsmeta_buffer *buffer, enum fsmeta_record_kind kind,
    size_t *offset, size_t *message_offset)
{
	unsigned char *message = buffer->data + RECORD_ROOM_BYTES;
	unsigned char *end = buffer->data + buffer->length;
	unsigned char *at = write_varint_before(message, (uint64_t)(end - message));

	*--at = (unsigned char)(kind << 3 | WIRE_TYPE_LENGTH_DELIMITED);
	at = write_varint_before(at, (uint64_t)(end - at));
	*offset = (size_t)(at - buffer->data);
	*message_offset = RECORD_ROOM_BYTES;
}

bool fsmeta_record_parse(struct fsmeta_record *out, const unsigned char *bytes, size_t size)
{
	uint64_t record_bytes, tag, message_bytes;
	size_t prefix = read_varint(&record_bytes, bytes, size);
	size_t at = prefix, got;

	if (!prefix || record_bytes > size - prefix)
		return false;
	size = prefix + (size_t)record_bytes;
	got = read_varint(&tag, bytes + at, size - at);
	if (!got || (tag & 7) != WIRE_TYPE_LENGTH_DELIMITED || tag >> 3 > UINT32_MAX)
		return false;
	at += got;
	got = read_varint(&message_bytes, bytes + at, size - at);
	at += got;
	if (!got || message_bytes != size - at)
		return false;
	*out = (struct fsmeta_record){
	    .kind = (uint32_t)(tag >> 3),
	    .message = bytes + at,
	    .message_bytes = (size_t)message_bytes,
	    .total_bytes = size,
	};
	return true;
}

/* ---- digests ---------------------------------------------------------- */

struct fsmeta_digest fsmeta_stream_digest(const void *bytes, size_t size)
{
	return fsmeta_digest_from_xxh(XXH3_128bits(bytes, size));
}

void fsmeta_digest_store(unsigned char out[16], struct fsmeta_digest digest)
{
	for (int i = 0; i < 8; i++) {
		out[i] = (unsigned char)(digest.high >> (56 - 8 * i));
		out[8 + i] = (unsigned char)(digest.low >> (56 - 8 * i));
	}
}

struct fsmeta_digest fsmeta_digest_load(const unsigned char bytes[16])
{
	struct fsmeta_digest digest = {0};

	for (int i = 0; i < 8; i++) {
		digest.high = digest.high << 8 | bytes[i];
		digest.low = digest.low << 8 | bytes[8 + i];
	}
	return digest;
}

/** The bytes from `at` on, also where there are none at all. */
static const unsigned char *binary_at(ProtobufCBinaryData data, size_t at)
{
	static const unsigned char nothing[1];

	return data.len ? data.data + at : nothing;
}

static bool binary_equals(ProtobufCBinaryData data, const void *bytes, size_t size)
{
	return data.len == size && (size == 0 || memcmp(data.data, bytes, size) == 0);
}

/* ---- header ----------------------------------------------------------- */

static ProtobufCBinaryData binary(const struct fsmeta_buffer *buffer)
{
	return (ProtobufCBinaryData){buffer->length, buffer->data};
}

int fsmeta_header_pack(
    struct fsmeta_buffer *out, const struct fsmeta_batch_source *source, struct fsmeta_error *error)
{
	static char signature[] = FSMETA_STREAM_SIGNATURE;
	Fsmeta__V1__Header message;
	struct fsmeta_buffer json = {0};
	size_t size;
	int code;

	code = fsmeta_batch_source_to_compact_json(&json, source, error);
	if (code)
		goto out;
	fsmeta__v1__header__init(&message);
	message.signature = signature;
	message.format_version = FSMETA_FORMAT_VERSION;
	message.content = FSMETA__V1__CONTENT__CONTENT_TREE;
	message.field_mask = source->field_mask & FSMETA_FIELDS_KNOWN;
	message.id_kind = source->id_kind == FSMETA_IDS_STABLE
			      ? FSMETA__V1__ID_KIND__ID_KIND_STABLE
			      : FSMETA__V1__ID_KIND__ID_KIND_ORDINAL;
	message.generation = source->generation;
	message.source_json = binary(&json);
	size = fsmeta__v1__header__get_packed_size(&message);
	if (fsmeta_buffer_reserve(out, size))
		code = fsmeta_error_set_memory(error, "writing the header");
	else
		out->length += fsmeta__v1__header__pack(&message, out->data + out->length);
out:
	fsmeta_buffer_release(&json);
	return code;
}

int fsmeta_header_pack_delta(struct fsmeta_buffer *out, uint64_t base_generation,
    uint64_t generation, struct fsmeta_error *error)
{
	static char signature[] = FSMETA_STREAM_SIGNATURE;
	Fsmeta__V1__Header message;

	fsmeta__v1__header__init(&message);
	message.signature = signature;
	message.format_version = FSMETA_FORMAT_VERSION;
	message.content = FSMETA__V1__CONTENT__CONTENT_DELTA;
	message.id_kind = FSMETA__V1__ID_KIND__ID_KIND_STABLE;
	message.base_generation = base_generation;
	message.generation = generation;
	if (fsmeta_buffer_reserve(out, fsmeta__v1__header__get_packed_size(&message)))
		return fsmeta_error_set_memory(error, "writing the header");
	out->length += fsmeta__v1__header__pack(&message, out->data + out->length);
	return 0;
}

bool fsmeta_header_begins(const unsigned char *bytes, size_t size)
{
	static const char field[] = "\x0A\x0C" FSMETA_STREAM_SIGNATURE;
	uint64_t ignored;
	size_t at = read_varint(&ignored, bytes, size);
	size_t got;

	if (!at || at >= size ||
	    bytes[at] != (FSMETA_RECORD_HEADER << 3 | WIRE_TYPE_LENGTH_DELIMITED))
		return false;
	at++;
	got = read_varint(&ignored, bytes + at, size - at);
	at += got;
	return got && size - at >= sizeof(field) - 1 &&
	       memcmp(bytes + at, field, sizeof(field) - 1) == 0;
}

static const char header_action[] = "reading the header";

/** Takes what the message says into *out, source apart. */
static int judge_header(struct fsmeta_header *out, const Fsmeta__V1__Header *message,
    const char *label, struct fsmeta_error *error)
{
	if (message->format_version > FSMETA_FORMAT_VERSION)
		return fsmeta_error_set_at(error, FSMETA_E_UNSUPPORTED, label, 0, header_action,
		    "format version %u is newer than %d", message->format_version,
		    FSMETA_FORMAT_VERSION);
	if (message->n_features)
		return fsmeta_error_set_at(error, FSMETA_E_UNSUPPORTED, label, 0, header_action,
		    "it needs the feature \"%.64s\", which this version does not know",
		    message->features[0]);
	if (message->format_version == 0)
		return fsmeta_error_set_at(
		    error, FSMETA_E_CORRUPT, label, 0, header_action, "it has no format version");
	if (message->field_mask & ~(uint32_t)FSMETA_FIELDS_KNOWN)
		return fsmeta_error_set_at(error, FSMETA_E_UNSUPPORTED, label, 0, header_action,
		    "its field mask 0x%x has unknown bits", message->field_mask);
	if (message->content != FSMETA__V1__CONTENT__CONTENT_TREE &&
	    message->content != FSMETA__V1__CONTENT__CONTENT_DELTA)
		return fsmeta_error_set_at(error, FSMETA_E_UNSUPPORTED, label, 0, header_action,
		    "its content is of the unknown kind %d", (int)message->content);
	if (message->id_kind != FSMETA__V1__ID_KIND__ID_KIND_ORDINAL &&
	    message->id_kind != FSMETA__V1__ID_KIND__ID_KIND_STABLE)
		return fsmeta_error_set_at(error, FSMETA_E_UNSUPPORTED, label, 0, header_action,
		    "its ids are of the unknown kind %d", (int)message->id_kind);
	out->field_mask = message->field_mask;
	out->id_kind = (enum fsmeta_id_kind)message->id_kind;
	out->is_delta = message->content == FSMETA__V1__CONTENT__CONTENT_DELTA;
	out->base_generation = message->base_generation;
	out->generation = message->generation;
	return 0;
}

int fsmeta_record_source(struct fsmeta_batch_source *out, ProtobufCBinaryData json,
    const char *label, uint64_t offset, struct fsmeta_error *error)
{
	int code;

	if (json.len > FSMETA_SOURCE_JSON_MAX_BYTES)
		return fsmeta_error_set_at(error, FSMETA_E_LIMIT, label, (int64_t)offset,
		    "reading a BatchSource", "%zu bytes are beyond the limit of %d", json.len,
		    FSMETA_SOURCE_JSON_MAX_BYTES);
	code = fsmeta_batch_source_from_json(
	    out, json.len ? (const char *)json.data : "", json.len, label, error);
	/* It stands in a stream, so this is damage and no foreign file. */
	if (code == FSMETA_E_FOREIGN) {
		code = FSMETA_E_CORRUPT;
		if (error)
			error->code = FSMETA_E_CORRUPT;
	}
	if (code && error)
		error->offset = (int64_t)offset;
	return code;
}

int fsmeta_header_parse(struct fsmeta_header *out, const struct fsmeta_record *record,
    const char *label, struct fsmeta_error *error)
{
	const Fsmeta__V1__Header *message;
	struct fsmeta_unpack unpack;
	int code;

	*out = (struct fsmeta_header){0};
	fsmeta_batch_source_init(&out->source);
	fsmeta_unpack_init(&unpack);
	message = fsmeta__v1__header__unpack(fsmeta_unpack_begin(&unpack, record->message_bytes),
	    record->message_bytes, record->message);
	if (!message) {
		code = fsmeta_error_set_at(
		    error, FSMETA_E_CORRUPT, label, 0, header_action, "it is no protobuf message");
		goto out;
	}
	if (strcmp(message->signature, FSMETA_STREAM_SIGNATURE)) {
		code = fsmeta_error_set_at(
		    error, FSMETA_E_FOREIGN, label, 0, header_action, "it is not an FsScanStream");
		goto out;
	}
	code = judge_header(out, message, label, error);
	/* A delta's sections have one each. */
	if (code || out->is_delta)
		goto out;
	code = fsmeta_record_source(&out->source, message->source_json, label, 0, error);
	if (!code && out->source.field_mask != out->field_mask)
		code = fsmeta_error_set_at(error, FSMETA_E_CORRUPT, label, 0, header_action,
		    "its BatchSource has another field mask");
out:
	fsmeta_unpack_release(&unpack);
	return code;
}

void fsmeta_header_release(struct fsmeta_header *header)
{
	fsmeta_batch_source_release(&header->source);
}

/* ---- the trailer's columns -------------------------------------------- */

void fsmeta_batch_list_release(struct fsmeta_batch_list *list)
{
	fsmeta_buffer_release(&list->entries);
	fsmeta_buffer_release(&list->path_prefix);
	fsmeta_buffer_release(&list->path_suffix);
	fsmeta_buffer_release(&list->unseen);
	fsmeta_buffer_release(&list->offset);
	fsmeta_buffer_release(&list->id_min);
	fsmeta_buffer_release(&list->id_max);
	fsmeta_buffer_release(&list->digests);
	fsmeta_buffer_release(&list->paths);
	fsmeta_buffer_release(&list->last_path);
}

static int append_path(struct fsmeta_batch_list *list, const char *path, size_t length)
{
	size_t common = length < list->last_path.length ? length : list->last_path.length;
	uint32_t prefix = 0, suffix;

	while (prefix < common && (unsigned char)path[prefix] == list->last_path.data[prefix])
		prefix++;
	suffix = (uint32_t)(length - prefix);
	list->last_path.length = prefix;
	if (fsmeta_buffer_append(&list->last_path, path + prefix, suffix) ||
	    fsmeta_buffer_append(&list->paths, path + prefix, suffix) ||
	    fsmeta_buffer_append(&list->path_prefix, &prefix, sizeof(prefix)) ||
	    fsmeta_buffer_append(&list->path_suffix, &suffix, sizeof(suffix)))
		return FSMETA_E_MEMORY;
	return 0;
}

int fsmeta_batch_list_append(struct fsmeta_batch_list *list, const struct fsmeta_batch_facts *facts,
    struct fsmeta_digest digest, uint64_t offset)
{
	uint64_t distance = offset - list->last_offset;
	unsigned char digest_bytes[DIGEST_BYTES];

	fsmeta_digest_store(digest_bytes, digest);
	/* The root's path may be no pointer at all. */
	if (append_path(list, facts->first_path_length ? facts->first_path : "",
		facts->first_path_length) ||
	    fsmeta_buffer_append(&list->entries, &facts->entries, sizeof(facts->entries)) ||
	    fsmeta_buffer_append(&list->unseen, &facts->unseen, sizeof(facts->unseen)) ||
	    fsmeta_buffer_append(&list->offset, &distance, sizeof(distance)) ||
	    fsmeta_buffer_append(&list->id_min, &facts->id_min, sizeof(facts->id_min)) ||
	    fsmeta_buffer_append(&list->id_max, &facts->id_max, sizeof(facts->id_max)) ||
	    fsmeta_buffer_append(&list->digests, digest_bytes, sizeof(digest_bytes)))
		return FSMETA_E_MEMORY;
	list->last_offset = offset;
	list->unseen_total += facts->unseen;
	list->count++;
	return 0;
}

/* ---- writing a trailer ------------------------------------------------ */

static void set_totals(Fsmeta__V1__Trailer *message, const struct fsmeta_totals *totals)
{
	message->entries = totals->entries;
	message->files = totals->files;
	message->folders = totals->folders;
	message->symlinks = totals->symlinks;
	message->others = totals->others;
	message->bytes = totals->bytes;
	message->allocated = totals->allocated;
	message->unreadable = totals->unreadable;
	message->carried = totals->carried;
}

static void set_batches(
    Fsmeta__V1__Trailer *message, struct fsmeta_batch_list *list, enum fsmeta_id_kind id_kind)
{
	message->n_batch_entries = list->count;
	message->batch_entries = (uint32_t *)list->entries.data;
	message->n_batch_offset = list->count;
	message->batch_offset = (uint64_t *)list->offset.data;
	message->batch_digests = binary(&list->digests);
	message->n_batch_path_prefix = list->count;
	message->batch_path_prefix = (uint32_t *)list->path_prefix.data;
	message->n_batch_path_suffix = list->count;
	message->batch_path_suffix = (uint32_t *)list->path_suffix.data;
	message->batch_paths = binary(&list->paths);
	if (list->unseen_total) {
		message->n_batch_unseen = list->count;
		message->batch_unseen = (uint32_t *)list->unseen.data;
	}
	if (id_kind != FSMETA_IDS_STABLE)
		return;
	message->n_batch_id_min = list->count;
	message->batch_id_min = (uint64_t *)list->id_min.data;
	message->n_batch_id_max = list->count;
	message->batch_id_max = (uint64_t *)list->id_max.data;
}

int fsmeta_trailer_pack(struct fsmeta_buffer *out, struct fsmeta_batch_list *list,
    const struct fsmeta_batch_source *source, enum fsmeta_id_kind id_kind,
    struct fsmeta_digest records_digest, const struct fsmeta_buffer *json,
    struct fsmeta_error *error)
{
	unsigned char state_bytes[DIGEST_BYTES], records_bytes[DIGEST_BYTES];
	Fsmeta__V1__Trailer message = FSMETA__V1__TRAILER__INIT;
	size_t size;

	fsmeta_digest_store(state_bytes, source->state_digest);
	fsmeta_digest_store(records_bytes, records_digest);
	message.state_digest = (ProtobufCBinaryData){sizeof(state_bytes), state_bytes};
	message.records_digest = (ProtobufCBinaryData){sizeof(records_bytes), records_bytes};
	message.source_json = binary(json);
	set_totals(&message, &source->totals);
	set_batches(&message, list, id_kind);
	size = fsmeta__v1__trailer__get_packed_size(&message);
	if (fsmeta_buffer_reserve(out, size))
		return fsmeta_error_set_memory(error, "writing the trailer");
	out->length += fsmeta__v1__trailer__pack(&message, out->data + out->length);
	return 0;
}

/* ---- reading a trailer ------------------------------------------------ */

void fsmeta_trailer_init(struct fsmeta_trailer *trailer)
{
	*trailer = (struct fsmeta_trailer){0};
	fsmeta_unpack_init(&trailer->unpack);
	fsmeta_batch_source_init(&trailer->source);
}

void fsmeta_trailer_release(struct fsmeta_trailer *trailer)
{
	fsmeta_unpack_release(&trailer->unpack);
	fsmeta_batch_source_release(&trailer->source);
	fsmeta_trailer_init(trailer);
}

/** NULL, or what is wrong with the lengths of the columns. */
static const char *judge_columns(const Fsmeta__V1__Trailer *message, enum fsmeta_id_kind id_kind)
{
	size_t count = message->n_batch_entries;
	size_t id_count = id_kind == FSMETA_IDS_STABLE ? count : 0;

	if (count == 0)
		return "it names no batch";
	if (message->n_batch_offset != count || message->n_batch_path_prefix != count ||
	    message->n_batch_path_suffix != count || message->n_batch_id_min != id_count ||
	    message->n_batch_id_max != id_count ||
	    (message->n_batch_unseen && message->n_batch_unseen != count) ||
	    message->batch_digests.len / DIGEST_BYTES != count ||
	    message->batch_digests.len % DIGEST_BYTES)
		return "its columns are not of one length";
	if (message->state_digest.len != DIGEST_BYTES ||
	    message->records_digest.len != DIGEST_BYTES)
		return "a digest is not of 16 bytes";
	return NULL;
}

/** NULL, or what is wrong with the counts. */
static const char *judge_counts(const Fsmeta__V1__Trailer *message)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < message->n_batch_entries; i++) {
		uint32_t entries = message->batch_entries[i];

		if (entries == 0 || entries > FSMETA_BATCH_MAX_ENTRIES)
			return "a batch's number of entries is out of range";
		sum += entries;
	}
	if (sum != message->entries)
		return "the batches' entries do not sum up";
	if (message->files + message->folders + message->symlinks + message->others != sum)
		return "the counts by type do not sum up";
	return NULL;
}

/**
 * NULL, or what is wrong with the first paths.  What two neighbours share is
 * equal, and canonical order is decided at the first difference, so comparing
 * what follows is enough.
 */
static const char *judge_paths(struct fsmeta_trailer *trailer)
{
	const Fsmeta__V1__Trailer *message = trailer->message;
	struct fsmeta_buffer path = {0};
	const char *wrong = NULL;
	uint64_t at = 0;

	for (size_t i = 0; i < trailer->batch_count && !wrong; i++) {
		size_t prefix = message->batch_path_prefix[i];
		size_t suffix = message->batch_path_suffix[i];
		const char *bytes = (const char *)binary_at(message->batch_paths, at);

		if (prefix > path.length || suffix > message->batch_paths.len - at ||
		    prefix + suffix > FSMETA_PATH_MAX_BYTES)
			wrong = "the length of a first path is out of range";
		else if (i == 0 ? suffix != 0
				: fsmeta_path_compare((const char *)path.data + prefix,
				      path.length - prefix, bytes, suffix) >= 0)
			wrong = "the first paths are out of order";
		if (wrong)
			break;
		path.length = prefix;
		if (fsmeta_buffer_append(&path, bytes, suffix) || fsmeta_buffer_reserve(&path, 1))
			wrong = "out of memory";
		at += suffix;
	}
	if (!wrong && at != message->batch_paths.len)
		wrong = "the first paths hold more than the batches use";
	fsmeta_buffer_release(&path);
	return wrong;
}

static bool text_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/** NULL, or in what the final BatchSource does not agree with the rest. */
static const char *judge_source(
    const struct fsmeta_trailer *trailer, const struct fsmeta_header *header)
{
	const Fsmeta__V1__Trailer *message = trailer->message;
	const struct fsmeta_batch_source *source = &trailer->source;
	Fsmeta__V1__Trailer expected = FSMETA__V1__TRAILER__INIT;

	if (source->field_mask != header->field_mask || source->id_kind != header->id_kind)
		return "its BatchSource has another field mask or kind of ids than the header";
	if (!text_equal(source->source_id, header->source.source_id) ||
	    source->generation != header->source.generation)
		return "its BatchSource names another source or generation than the header's";
	if (!source->has_totals || !source->has_state_digest)
		return "its BatchSource lacks totals or state digest";
	set_totals(&expected, &source->totals);
	if (expected.entries != message->entries || expected.files != message->files ||
	    expected.folders != message->folders || expected.symlinks != message->symlinks ||
	    expected.others != message->others || expected.bytes != message->bytes ||
	    expected.allocated != message->allocated ||
	    expected.unreadable != message->unreadable || expected.carried != message->carried)
		return "its BatchSource has other totals";
	if (!fsmeta_digest_equal(
		source->state_digest, fsmeta_digest_load(message->state_digest.data)))
		return "its BatchSource has another state digest";
	return NULL;
}

int fsmeta_trailer_parse(struct fsmeta_trailer *trailer, const struct fsmeta_header *header,
    const struct fsmeta_record *record, const char *label, uint64_t offset,
    struct fsmeta_error *error)
{
	const Fsmeta__V1__Trailer *message;
	const char *wrong;
	int code;

	fsmeta_trailer_release(trailer);
	message = fsmeta__v1__trailer__unpack(
	    fsmeta_unpack_begin(&trailer->unpack, record->message_bytes), record->message_bytes,
	    record->message);
	wrong = message ? judge_columns(message, header->id_kind) : "it is no protobuf message";
	if (!wrong)
		wrong = judge_counts(message);
	if (wrong)
		goto wrong;
	trailer->message = message;
	trailer->batch_count = message->n_batch_entries;
	trailer->records_digest = fsmeta_digest_load(message->records_digest.data);
	wrong = judge_paths(trailer);
	if (wrong) {
		/* Nobody may walk them. */
		trailer->message = NULL;
		goto wrong;
	}
	code = fsmeta_record_source(&trailer->source, message->source_json, label, offset, error);
	if (code)
		return code;
	wrong = judge_source(trailer, header);
	if (wrong)
		goto wrong;
	return 0;
wrong:
	return fsmeta_error_set_at(
	    error, FSMETA_E_CORRUPT, label, (int64_t)offset, "reading the trailer", "%s", wrong);
}

const char *fsmeta_trailer_compare(
    const struct fsmeta_trailer *trailer, const struct fsmeta_batch_list *list)
{
	const Fsmeta__V1__Trailer *message = trailer->message;
	size_t narrow = list->count * sizeof(uint32_t);
	size_t wide = list->count * sizeof(uint64_t);

	if (trailer->batch_count != list->count)
		return "it names more or fewer batches than there are";
	if (memcmp(message->batch_entries, list->entries.data, narrow))
		return "a batch has another number of entries";
	if (!binary_equals(message->batch_digests, list->digests.data, list->digests.length))
		return "a batch has another digest";
	if (memcmp(message->batch_offset, list->offset.data, wide))
		return "a batch stands at another offset";
	if (memcmp(message->batch_path_prefix, list->path_prefix.data, narrow) ||
	    memcmp(message->batch_path_suffix, list->path_suffix.data, narrow) ||
	    !binary_equals(message->batch_paths, list->paths.data, list->paths.length))
		return "a batch has another first path";
	if (message->n_batch_unseen && memcmp(message->batch_unseen, list->unseen.data, narrow))
		return "a batch has another number of entries that were not seen";
	if (message->n_batch_id_min && (memcmp(message->batch_id_min, list->id_min.data, wide) ||
					   memcmp(message->batch_id_max, list->id_max.data, wide)))
		return "a batch has other ids";
	return NULL;
}

const char *fsmeta_trailer_compare_frames(
    const struct fsmeta_trailer *trailer, const struct fsmeta_seek_table *frames)
{
	uint64_t distance;

	if (frames->count != trailer->batch_count + 2)
		return "the seek table has more or fewer frames than there are records";
	distance = frames->frames[0].compressed_bytes;
	for (size_t i = 0; i < trailer->batch_count; i++) {
		if (trailer->message->batch_offset[i] != distance)
			return "a batch's offset is not that of its frame";
		distance = frames->frames[i + 1].compressed_bytes;
	}
	return NULL;
}

struct fsmeta_digest fsmeta_trailer_batch_digest(const struct fsmeta_trailer *trailer, size_t batch)
{
	return fsmeta_digest_load(trailer->message->batch_digests.data + batch * DIGEST_BYTES);
}

bool fsmeta_trailer_batch_is_seen(const struct fsmeta_trailer *trailer, size_t batch)
{
	const Fsmeta__V1__Trailer *message = trailer->message;

	if (message->n_batch_unseen)
		return message->batch_unseen[batch] == 0;
	return !message->unreadable && !message->carried;
}

/* ---- walking the first paths ------------------------------------------ */

void fsmeta_trailer_walk_release(struct fsmeta_trailer_walk *walk)
{
	fsmeta_buffer_release(&walk->path);
}

int fsmeta_trailer_walk_next(struct fsmeta_trailer_walk *walk, const struct fsmeta_trailer *trailer)
{
	const Fsmeta__V1__Trailer *message = trailer->message;
	size_t suffix = message->batch_path_suffix[walk->count];

	walk->path.length = message->batch_path_prefix[walk->count];
	if (fsmeta_buffer_append(
		&walk->path, binary_at(message->batch_paths, walk->paths_at), suffix))
		return FSMETA_E_MEMORY;
	walk->paths_at += suffix;
	walk->count++;
	return 0;
}

int fsmeta_trailer_walk_peek(struct fsmeta_buffer *path, const struct fsmeta_trailer_walk *walk,
    const struct fsmeta_trailer *trailer)
{
	const Fsmeta__V1__Trailer *message = trailer->message;

	fsmeta_buffer_clear(path);
	if (fsmeta_buffer_append(path, walk->path.data, message->batch_path_prefix[walk->count]) ||
	    fsmeta_buffer_append(path, binary_at(message->batch_paths, walk->paths_at),
		message->batch_path_suffix[walk->count]))
		return FSMETA_E_MEMORY;
	return 0;
}

bool fsmeta_trailer_walk_next_is_within(const struct fsmeta_trailer_walk *walk,
    const struct fsmeta_trailer *trailer, const char *folder, size_t folder_length)
{
	const Fsmeta__V1__Trailer *message = trailer->message;
	size_t prefix, suffix, shared;
	const unsigned char *bytes;

	if (walk->count == trailer->batch_count)
		return false;
	if (folder_length == 0)
		return true;
	prefix = message->batch_path_prefix[walk->count];
	suffix = message->batch_path_suffix[walk->count];
	bytes = binary_at(message->batch_paths, walk->paths_at);
	shared = prefix < folder_length ? prefix : folder_length;
	if (prefix + suffix < folder_length ||
	    (shared && memcmp(walk->path.data, folder, shared)) ||
	    memcmp(bytes, folder + shared, folder_length - shared))
		return false;
	if (prefix + suffix == folder_length)
		return true;
	return (prefix > folder_length ? walk->path.data[folder_length]
				       : bytes[folder_length - prefix]) == '/';
}
