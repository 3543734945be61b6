/*
 * .npy headers.
 *
 *     93 'NUMPY' major minor | length: 2 bytes (1.0) or 4 (2.0, 3.0) | a Python dict in text | data
 *
 *     {'descr': '<f4', 'fortran_order': False, 'shape': (480, 640, 3), }
 *
 * The dict is a literal of a small grammar: strings, numbers, True and False, tuples and lists.  It
 * is read by recursive descent with a bound on the depth; of the dtype only its size is computed,
 * and its text is kept as it stands:
 *
 *     dtype   'c1' code and size; 'U' counts 4 bytes each; 'M8[ns]' has its unit behind
 *             [ (name, dtype), (name, dtype, shape), ... ]   a sum, each times its shape
 */
#include "archive/npy.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const unsigned char magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

enum {
	DEPTH_MAX = 32,
	ALIGNMENT = 64,
	PREFIX_BYTES = 10,
	PREFIX_2_BYTES = 12
};

struct parser {
	const char *at;
	const char *end;
	bool has_objects;
};

static void skip_blanks(struct parser *parser)
{
	while (parser->at < parser->end && strchr(" \t\r\n", *parser->at) && *parser->at)
		parser->at++;
}

static bool take(struct parser *parser, char byte)
{
	skip_blanks(parser);
	if (parser->at == parser->end || *parser->at != byte)
		return false;
	parser->at++;
	return true;
}

static bool take_word(struct parser *parser, const char *word)
{
	size_t length = strlen(word);

	skip_blanks(parser);
	if ((size_t)(parser->end - parser->at) < length || memcmp(parser->at, word, length) != 0)
		return false;
	parser->at += length;
	return true;
}

/** A string without escapes but those of a quote; *text points into the header. */
static bool take_string(struct parser *parser, const char **text, size_t *length)
{
	char quote;

	skip_blanks(parser);
	if (parser->at == parser->end || (*parser->at != '\'' && *parser->at != '"'))
		return false;
	quote = *parser->at++;
	*text = parser->at;
	while (parser->at < parser->end && *parser->at != quote)
		parser->at += *parser->at == '\\' && parser->at + 1 < parser->end ? 2 : 1;
	if (parser->at >= parser->end)
		return false;
	*length = (size_t)(parser->at++ - *text);
	return true;
}

static bool take_number(struct parser *parser, uint64_t *out)
{
	const char *start;

	skip_blanks(parser);
	*out = 0;
	for (start = parser->at; parser->at < parser->end && isdigit((unsigned char)*parser->at);
	     parser->at++)
		if (__builtin_mul_overflow(*out, 10, out) ||
		    __builtin_add_overflow(*out, (uint64_t)(*parser->at - '0'), out))
			return false;
	if (parser->at == start)
		return false;
	/* Python 2 wrote long numbers with it. */
	if (parser->at < parser->end && *parser->at == 'L')
		parser->at++;
	return true;
}

/** "(480, 640, 3)", "(3,)", "()"; a number alone where `bare`.  *product of all. */
static bool take_shape(
    struct parser *parser, bool bare, uint64_t *shape, unsigned *dimensions, uint64_t *product)
{
	*dimensions = 0;
	if (bare && take_number(parser, product))
		return true;
	*product = 1;
	if (!take(parser, '('))
		return false;
	while (!take(parser, ')')) {
		uint64_t size;

		if (*dimensions == FSMETA_NPY_DIMENSIONS_MAX || !take_number(parser, &size) ||
		    __builtin_mul_overflow(*product, size, product))
			return false;
		if (shape)
			shape[*dimensions] = size;
		++*dimensions;
		if (!take(parser, ','))
			return take(parser, ')') && *dimensions != 1;
	}
	return true;
}

/** "<f4": order, kind, size, and of times a unit. */
static bool measure_code(struct parser *parser, const char *text, size_t length, uint64_t *bytes)
{
	struct parser inner = {.at = text, .end = text + length};
	char kind;

	if (inner.at < inner.end && strchr("<>|=", *inner.at) && *inner.at)
		inner.at++;
	if (inner.at == inner.end || !strchr("?bBiufcmMSaUVO", *inner.at) || !*inner.at)
		return false;
	kind = *inner.at++;
	if (kind == 'O') {
		parser->has_objects = true;
		*bytes = 8;
		return true;
	}
	if (!take_number(&inner, bytes)) {
		if (kind != '?' || inner.at != inner.end)
			return false;
		*bytes = 1;
	}
	if (kind == 'U' && __builtin_mul_overflow(*bytes, 4, bytes))
		return false;
	if ((kind == 'm' || kind == 'M') && inner.at < inner.end && *inner.at == '[')
		return inner.end[-1] == ']';
	return inner.at == inner.end;
}

static bool measure_dtype(struct parser *parser, unsigned depth, uint64_t *bytes);

/** One field of a list: its name or (title, name), its dtype, and perhaps a shape. */
static bool measure_field(struct parser *parser, unsigned depth, uint64_t *bytes)
{
	const char *text;
	size_t length;
	uint64_t count = 1;
	unsigned dimensions;

	if (!take(parser, '('))
		return false;
	if (!take_string(parser, &text, &length) &&
	    !(take(parser, '(') && take_string(parser, &text, &length) && take(parser, ',') &&
		take_string(parser, &text, &length) && take(parser, ')')))
		return false;
	if (!take(parser, ',') || !measure_dtype(parser, depth + 1, bytes))
		return false;
	if (take(parser, ',') && !take(parser, ')')) {
		if (!take_shape(parser, true, NULL, &dimensions, &count))
			return false;
		take(parser, ',');
		return take(parser, ')') && !__builtin_mul_overflow(*bytes, count, bytes);
	}
	return parser->at[-1] == ')' || take(parser, ')');
}

static bool measure_dtype(struct parser *parser, unsigned depth, uint64_t *bytes)
{
	const char *text;
	size_t length;

	if (depth > DEPTH_MAX)
		return false;
	if (take_string(parser, &text, &length))
		return measure_code(parser, text, length, bytes);
	*bytes = 0;
	if (!take(parser, '['))
		return false;
	while (!take(parser, ']')) {
		uint64_t field;

		if (!measure_field(parser, depth, &field) ||
		    __builtin_add_overflow(*bytes, field, bytes))
			return false;
		if (!take(parser, ','))
			return take(parser, ']');
	}
	return true;
}

static bool take_descr(struct parser *parser, struct fsmeta_npy *out)
{
	const char *start;

	skip_blanks(parser);
	start = parser->at;
	if (!measure_dtype(parser, 0, &out->item_bytes) ||
	    (size_t)(parser->at - start) >= sizeof(out->descr))
		return false;
	memcpy(out->descr, start, (size_t)(parser->at - start));
	out->descr[parser->at - start] = '\0';
	return true;
}

static bool take_dict(struct parser *parser, struct fsmeta_npy *out, uint64_t *items)
{
	unsigned seen = 0;

	if (!take(parser, '{'))
		return false;
	while (!take(parser, '}')) {
		const char *key;
		size_t length;

		if (!take_string(parser, &key, &length) || !take(parser, ':'))
			return false;
		if (length == 5 && memcmp(key, "descr", 5) == 0 && !(seen & 1)) {
			if (!take_descr(parser, out))
				return false;
			seen |= 1;
		} else if (length == 13 && memcmp(key, "fortran_order", 13) == 0 && !(seen & 2)) {
			out->fortran_order = take_word(parser, "True");
			if (!out->fortran_order && !take_word(parser, "False"))
				return false;
			seen |= 2;
		} else if (length == 5 && memcmp(key, "shape", 5) == 0 && !(seen & 4)) {
			if (!take_shape(parser, false, out->shape, &out->dimensions, items))
				return false;
			seen |= 4;
		} else {
			return false;
		}
		if (!take(parser, ','))
			return take(parser, '}') && seen == 7;
	}
	return seen == 7;
}

int fsmeta_npy_parse(struct fsmeta_npy *out, const unsigned char *bytes, size_t size,
    const char *path, struct fsmeta_error *error)
{
	static const char action[] = "reading the header of an array";
	size_t prefix = PREFIX_BYTES, length;
	struct parser parser;
	uint64_t items;

	*out = (struct fsmeta_npy){0};
	if (size < sizeof(magic) || memcmp(bytes, magic, sizeof(magic)) != 0)
		return fsmeta_error_set(
		    error, FSMETA_E_FOREIGN, path, action, "this is no .npy file");
	if (size < PREFIX_2_BYTES)
		return fsmeta_error_set(error, FSMETA_E_TRUNCATED, path, action, "it ends there");
	length = (size_t)bytes[8] | (size_t)bytes[9] << 8;
	if (bytes[6] == 2 || bytes[6] == 3) {
		prefix = PREFIX_2_BYTES;
		length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
	} else if (bytes[6] != 1) {
		return fsmeta_error_set(error, FSMETA_E_UNSUPPORTED, path, action,
		    "its version is %d.%d", bytes[6], bytes[7]);
	}
	if (length > FSMETA_NPY_HEADER_MAX_BYTES)
		return fsmeta_error_set(
		    error, FSMETA_E_LIMIT, path, action, "it is %zu bytes long", length);
	if (length > size - prefix)
		return fsmeta_error_set(error, FSMETA_E_TRUNCATED, path, action, "it ends there");
	parser = (struct parser){
	    .at = (const char *)bytes + prefix, .end = (const char *)bytes + prefix + length};
	if (!take_dict(&parser, out, &items) || (skip_blanks(&parser), parser.at != parser.end) ||
	    __builtin_mul_overflow(items, out->item_bytes, &out->data_bytes))
		return fsmeta_error_set_at(error, FSMETA_E_CORRUPT, path,
		    parser.at - (const char *)bytes, action, "it makes no sense there");
	if (parser.has_objects)
		return fsmeta_error_set(
		    error, FSMETA_E_UNSUPPORTED, path, action, "its items are Python objects");
	out->data_offset = prefix + length;
	return 0;
}

static int append_dict(struct fsmeta_buffer *out, const struct fsmeta_npy *array)
{
	bool quoted = strchr("'\"[", array->descr[0]) && array->descr[0];
	int code = fsmeta_buffer_append_format(out,
	    quoted ? "{'descr': %s, 'fortran_order': %s, 'shape': ("
		   : "{'descr': '%s', 'fortran_order': %s, 'shape': (",
	    array->descr, array->fortran_order ? "True" : "False");

	for (unsigned i = 0; i < array->dimensions && !code; i++)
		code =
		    fsmeta_buffer_append_format(out, i + 1 < array->dimensions ? "%llu, " : "%llu",
			(unsigned long long)array->shape[i]);
	if (!code && array->dimensions == 1)
		code = fsmeta_buffer_append_byte(out, ',');
	return code ? code : fsmeta_buffer_append_text(out, "), }");
}

int fsmeta_npy_append_header(
    struct fsmeta_buffer *out, struct fsmeta_npy *array, struct fsmeta_error *error)
{
	static const char action[] = "writing the header of an array";
	size_t start = out->length, length;
	unsigned char prefix[PREFIX_2_BYTES] = {0};
	int code;

	if (array->dimensions > FSMETA_NPY_DIMENSIONS_MAX ||
	    !memchr(array->descr, 0, sizeof(array->descr)))
		return fsmeta_error_set(error, FSMETA_E_USAGE, NULL, action, "too many dimensions");
	memcpy(prefix, magic, sizeof(magic));
	/* Version 1: a dtype is never so long that its two bytes of length would not do. */
	prefix[6] = 1;
	code = fsmeta_buffer_append(out, prefix, PREFIX_BYTES);
	if (!code)
		code = append_dict(out, array);
	while (!code && (out->length - start + 1) % ALIGNMENT)
		code = fsmeta_buffer_append_byte(out, ' ');
	if (!code)
		code = fsmeta_buffer_append_byte(out, '\n');
	if (code) {
		out->length = start;
		return fsmeta_error_set_memory(error, action);
	}
	length = out->length - start - PREFIX_BYTES;
	out->data[start + 8] = (unsigned char)length;
	out->data[start + 9] = (unsigned char)(length >> 8);
	code = fsmeta_npy_parse(array, out->data + start, out->length - start, NULL, NULL);
	if (code) {
		out->length = start;
		return fsmeta_error_set(error, FSMETA_E_USAGE, NULL, action,
		    "the dtype is none, or too large with this shape");
	}
	return 0;
}
