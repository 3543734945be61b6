/*
 * Lines and records of chunks.  Ten hours are two million lines, so the form that
 * everybody writes is read by hand; what is not of that form goes through jansson.
 */
#include "archive/recording_lines.h"

#include <endian.h>
#include <jansson.h>
#include <string.h>

static const unsigned char magic[8] = {'f', 's', 'r', 'i', 1, 0, 0, 0};

int fsmeta_recording_append_line(struct fsmeta_buffer *out, const struct fsmeta_chunk *chunk)
{
	return fsmeta_buffer_append_format(out,
	    "{\"offset\":%llu,\"size\":%llu,\"timestamp\":%lld,\"type\":\"%s\",\"isKeyframe\":%s}"
	    "\n",
	    (unsigned long long)chunk->offset, (unsigned long long)chunk->size,
	    (long long)chunk->timestamp_us, chunk->is_key ? "key" : "delta",
	    chunk->is_key ? "true" : "false");
}

/** Steps over `word` at *at; false where it does not stand there. */
static bool take_word(const char **at, const char *end, const char *word)
{
	size_t length = strlen(word);

	if ((size_t)(end - *at) < length || memcmp(*at, word, length) != 0)
		return false;
	*at += length;
	return true;
}

static bool take_number(const char **at, const char *end, int64_t *out)
{
	const char *start;
	bool negative = take_word(at, end, "-");
	uint64_t value = 0;

	for (start = *at; *at < end && **at >= '0' && **at <= '9'; ++*at)
		value = value * 10 + (uint64_t)(**at - '0');
	*out = negative ? -(int64_t)value : (int64_t)value;
	return *at > start && *at - start <= 18;
}

static bool parse_plain(struct fsmeta_chunk *out, const char *at, const char *end)
{
	int64_t offset, size;

	if (!take_word(&at, end, "{\"offset\":") || !take_number(&at, end, &offset) ||
	    !take_word(&at, end, ",\"size\":") || !take_number(&at, end, &size) ||
	    !take_word(&at, end, ",\"timestamp\":") || !take_number(&at, end, &out->timestamp_us))
		return false;
	out->offset = (uint64_t)offset;
	out->size = (uint64_t)size;
	if (take_word(&at, end, ",\"type\":\"key\",\"isKeyframe\":true}"))
		out->is_key = true;
	else if (take_word(&at, end, ",\"type\":\"delta\",\"isKeyframe\":false}"))
		out->is_key = false;
	else
		return false;
	return at == end && offset >= 0 && size > 0;
}

static bool get_integer(const json_t *object, const char *key, json_int_t *out)
{
	const json_t *value = json_object_get(object, key);

	*out = json_integer_value(value);
	return json_is_integer(value);
}

static bool parse_any(struct fsmeta_chunk *out, const char *line, size_t length)
{
	json_t *object = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
	json_int_t offset, size, timestamp;
	const json_t *key = json_object_get(object, "isKeyframe");
	const char *type = json_string_value(json_object_get(object, "type"));
	bool good = get_integer(object, "offset", &offset) && get_integer(object, "size", &size) &&
		    get_integer(object, "timestamp", &timestamp) &&
		    (json_is_boolean(key) || type) && offset >= 0 && size > 0;

	if (good)
		*out = (struct fsmeta_chunk){.offset = (uint64_t)offset,
		    .size = (uint64_t)size,
		    .timestamp_us = timestamp,
		    .is_key = key ? json_is_true(key) : strcmp(type, "key") == 0};
	json_decref(object);
	return good;
}

bool fsmeta_recording_parse_line(struct fsmeta_chunk *out, const char *line, size_t length)
{
	return parse_plain(out, line, line + length) || parse_any(out, line, length);
}

int fsmeta_recording_append_record(
    struct fsmeta_buffer *out, uint64_t offset, bool is_key, int64_t timestamp_us)
{
	uint64_t words[2] = {htole64(offset << 1 | is_key), htole64((uint64_t)timestamp_us)};

	return fsmeta_buffer_append(out, words, sizeof(words));
}

void fsmeta_recording_put_header(unsigned char out[FSMETA_RECORD_HEADER_BYTES], uint64_t count,
    uint64_t lines_bytes, bool is_sorted)
{
	uint64_t words[3] = {htole64(count), htole64(lines_bytes), htole64(is_sorted)};

	memcpy(out, magic, sizeof(magic));
	memcpy(out + sizeof(magic), words, sizeof(words));
}

bool fsmeta_recording_get_header(
    const unsigned char *from, size_t size, uint64_t *count, uint64_t *lines_bytes, bool *is_sorted)
{
	uint64_t words[3];

	if (size < FSMETA_RECORD_HEADER_BYTES || memcmp(from, magic, sizeof(magic)) != 0)
		return false;
	memcpy(words, from + sizeof(magic), sizeof(words));
	*count = le64toh(words[0]);
	*lines_bytes = le64toh(words[1]);
	*is_sorted = le64toh(words[2]) & 1;
	return true;
}
