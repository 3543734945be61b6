/*
 * Lengths and start codes.
 *
 *     mp4, mkv    [len] NAL  [len] NAL  …      parameter sets once, in avcC or hvcC
 *     Annex B     00 00 00 01 NAL  00 00 00 01 NAL  …
 *
 *     avcC  5: 2 bits of length − 1   6: 5 bits count, {16 bits size, SPS}…, count, {size, PPS}…
 *     hvcC  21: 2 bits of length − 1  22: count of arrays, {6 bits type, 16 bits count, {size,
 * NAL}…}…
 *
 * Muxers turn start codes of four bytes into lengths of four, so what an encoder wrote comes back
 * to the byte; only the rare files with shorter lengths grow.
 */
#include "archive/media_nal.h"

#include <string.h>

enum {
	AVCC_HEADER_BYTES = 6,
	HVCC_HEADER_BYTES = 23,
	START_CODE_BYTES = 4,
};

static const unsigned char start_code[START_CODE_BYTES] = {0, 0, 0, 1};

/** What is left of a record. */
struct record {
	const unsigned char *at;
	size_t left;
};

static int take(struct record *record, size_t size, const unsigned char **out)
{
	if (size > record->left)
		return FSMETA_E_CORRUPT;
	*out = record->at;
	record->at += size;
	record->left -= size;
	return 0;
}

static int take_number(struct record *record, size_t size, size_t *out)
{
	const unsigned char *bytes;
	int code = take(record, size, &bytes);

	*out = 0;
	for (size_t i = 0; i < size && !code; i++)
		*out = *out << 8 | bytes[i];
	return code;
}

static int append_nal(struct fsmeta_buffer *out, const unsigned char *bytes, size_t size)
{
	int code = fsmeta_buffer_append(out, start_code, sizeof(start_code));

	return code ? code : fsmeta_buffer_append(out, bytes, size);
}

/** `count` units of 16 bits of size each, of which those with `wanted` are appended. */
static int take_units(struct record *record, size_t count, bool wanted, struct fsmeta_buffer *out)
{
	int code = 0;

	while (count-- && !code) {
		const unsigned char *bytes;
		size_t size;

		code = take_number(record, 2, &size);
		if (!code)
			code = take(record, size, &bytes);
		if (!code && wanted && size)
			code = append_nal(out, bytes, size);
	}
	return code;
}

static int parse_avcc(struct fsmeta_buffer *out, struct record record)
{
	size_t count;
	int code;

	record.at += AVCC_HEADER_BYTES - 1;
	record.left -= AVCC_HEADER_BYTES - 1;
	code = take_number(&record, 1, &count);
	if (!code)
		code = take_units(&record, count & 31, true, out);
	if (!code)
		code = take_number(&record, 1, &count);
	return code ? code : take_units(&record, count, true, out);
}

static int parse_hvcc(struct fsmeta_buffer *out, struct record record)
{
	size_t arrays, type, count;
	int code;

	record.at += HVCC_HEADER_BYTES - 1;
	record.left -= HVCC_HEADER_BYTES - 1;
	code = take_number(&record, 1, &arrays);
	while (!code && arrays--) {
		code = take_number(&record, 1, &type);
		if (!code)
			code = take_number(&record, 2, &count);
		type &= 63;
		/* VPS, SPS, PPS; what else stands there is not needed. */
		if (!code)
			code = take_units(&record, count, type >= 32 && type <= 34, out);
	}
	return code;
}

static bool begins_with_code(const unsigned char *bytes, size_t size)
{
	return size >= START_CODE_BYTES && bytes[0] == 0 && bytes[1] == 0 &&
	       (bytes[2] == 1 || (bytes[2] == 0 && bytes[3] == 1));
}

int fsmeta_nal_parse_config(struct fsmeta_buffer *sets, unsigned *length_bytes,
    enum fsmeta_codec codec, const unsigned char *bytes, size_t size)
{
	const struct record record = {.at = bytes, .left = size};
	struct fsmeta_buffer raw = {0};
	bool is_avc = codec == FSMETA_CODEC_H264;
	int code;

	*length_bytes = 0;
	if (!size || begins_with_code(bytes, size))
		return fsmeta_annexb_update_sets(sets, codec, bytes, size);
	if (size < (is_avc ? AVCC_HEADER_BYTES : HVCC_HEADER_BYTES))
		return FSMETA_E_CORRUPT;
	*length_bytes = (bytes[is_avc ? 4 : 21] & 3U) + 1;
	code = is_avc ? parse_avcc(&raw, record) : parse_hvcc(&raw, record);
	/* Sorted by type, whatever the order of the arrays. */
	if (!code)
		code = fsmeta_annexb_update_sets(sets, codec, raw.data, raw.length);
	fsmeta_buffer_release(&raw);
	return code;
}

int fsmeta_nal_to_annexb(
    struct fsmeta_buffer *out, unsigned length_bytes, const unsigned char *bytes, size_t size)
{
	struct record record = {.at = bytes, .left = size};
	bool any = false;
	int code = 0;

	while (record.left && !code) {
		const unsigned char *nal;
		size_t nal_bytes;

		code = take_number(&record, length_bytes, &nal_bytes);
		if (!code)
			code = take(&record, nal_bytes, &nal);
		if (!code && nal_bytes) {
			code = append_nal(out, nal, nal_bytes);
			any = true;
		}
	}
	return code ? code : any ? 0 : FSMETA_E_CORRUPT;
}

size_t fsmeta_nal_count_sets(enum fsmeta_codec codec, const struct fsmeta_buffer *sets,
    const unsigned char *bytes, size_t size)
{
	struct fsmeta_nal nal;
	size_t at = 0, end = 0;

	if (!sets->length || size <= sets->length || memcmp(bytes, sets->data, sets->length) != 0)
		return 0;
	while (end < sets->length && fsmeta_annexb_next(&nal, codec, bytes, size, &at) &&
	       nal.is_parameter_set)
		end = nal.offset + nal.size;
	return end == sets->length ? end : 0;
}
