/*
 * Packed columns against the plainest encoder and decoder there are, and the reader's view of a
 * batch against the schema.
 */
#include "format/packed.h"

#include "base/memory.h"
#include "format/fsscan.pb-c.h"
#include "format/packed_batch.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
	COUNT_MAX = 300,
};

static uint64_t random_state = 1;

static uint64_t next_random(void)
{
	random_state = random_state * 6364136223846793005U + 1442695040888963407U;
	return random_state >> 11 ^ random_state << 33;
}

/** A number of 0 to 64 bits. */
static uint64_t random_number(unsigned most_bits)
{
	unsigned bits = (unsigned)(next_random() % (most_bits + 1));

	return bits ? next_random() & (UINT64_MAX >> (64 - bits)) : 0;
}

static void append_varint(struct fsmeta_buffer *out, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		assert_int_equal(0, fsmeta_buffer_append_byte(out, (unsigned char)(value | 0x80)));
	assert_int_equal(0, fsmeta_buffer_append_byte(out, (unsigned char)value));
}

/** A copy that ends where the memory ends, so that reading on is found out. */
static unsigned char *exact_copy(const struct fsmeta_buffer *bytes)
{
	unsigned char *copy = malloc(bytes->length ? bytes->length : 1);

	assert_non_null(copy);
	if (bytes->length)
		memcpy(copy, bytes->data, bytes->length);
	return copy;
}

static void numbers_come_back(void **state)
{
	static const unsigned widths[] = {3, 7, 8, 14, 28, 32, 56, 57, 64};
	uint64_t numbers[COUNT_MAX], wide[COUNT_MAX];
	struct fsmeta_buffer bytes = {0};
	uint32_t narrow[COUNT_MAX];
	int64_t with_sign[COUNT_MAX];

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		uint32_t count = (uint32_t)(next_random() % (COUNT_MAX + 1));
		unsigned width = widths[round % (sizeof(widths) / sizeof(widths[0]))];
		unsigned char *copy;

		fsmeta_buffer_clear(&bytes);
		for (uint32_t i = 0; i < count; i++) {
			/* Runs of small numbers with others in between are the rule. */
			numbers[i] = random_number(next_random() % 8 ? 7 : width);
			append_varint(&bytes, numbers[i]);
		}
		copy = exact_copy(&bytes);
		assert_true(fsmeta_packed_decode(narrow, count, copy, bytes.length));
		assert_true(fsmeta_packed_decode_wide(wide, count, copy, bytes.length));
		assert_true(fsmeta_packed_decode_signed(with_sign, count, copy, bytes.length));
		for (uint32_t i = 0; i < count; i++) {
			int64_t half = (int64_t)(numbers[i] >> 1);

			assert_int_equal((uint32_t)numbers[i], narrow[i]);
			assert_int_equal(numbers[i], wide[i]);
			assert_true(with_sign[i] == (numbers[i] & 1 ? -half - 1 : half));
		}
		free(copy);
	}
	fsmeta_buffer_release(&bytes);
}

/** Any other number of values than there are, and a last one that is cut off. */
static void the_count_must_be_right(void **state)
{
	struct fsmeta_buffer bytes = {0};
	uint64_t values[COUNT_MAX];

	(void)state;
	for (uint32_t count = 1; count < 40; count++) {
		unsigned char *copy;

		fsmeta_buffer_clear(&bytes);
		for (uint32_t i = 0; i < count; i++)
			append_varint(&bytes, random_number(i % 3 ? 7 : 64));
		append_varint(&bytes, 300);
		copy = exact_copy(&bytes);
		assert_true(fsmeta_packed_decode_wide(values, count + 1, copy, bytes.length));
		assert_false(fsmeta_packed_decode_wide(values, count, copy, bytes.length));
		assert_false(fsmeta_packed_decode_wide(values, count + 2, copy, bytes.length));
		assert_false(fsmeta_packed_decode_wide(values, count + 1, copy, bytes.length - 1));
		assert_false(fsmeta_packed_decode_wide(values, count, copy, bytes.length - 1));
		free(copy);
	}
	assert_true(fsmeta_packed_decode_wide(values, 0, NULL, 0));
	assert_false(fsmeta_packed_decode_wide(values, 1, NULL, 0));
	fsmeta_buffer_release(&bytes);
}

/** Ten bytes hold every number; eleven are refused, wherever they stand. */
static void a_varint_has_ten_bytes_at_most(void **state)
{
	(void)state;
	for (size_t in_front = 0; in_front < 20; in_front++) {
		for (size_t length = 1; length <= 14; length++) {
			for (size_t behind = 0; behind < 12; behind++) {
				size_t size = in_front + length + behind;
				unsigned char *bytes = calloc(1, size);
				uint64_t values[COUNT_MAX];

				assert_non_null(bytes);
				memset(bytes + in_front, 0x80, length - 1);
				assert_int_equal(length <= 10,
				    fsmeta_packed_decode_wide(
					values, (uint32_t)(in_front + 1 + behind), bytes, size));
				free(bytes);
			}
		}
	}
}

/** PackedBatch is Batch: no field more or less, and none of another kind on the wire. */
static void the_two_schemas_agree(void **state)
{
	const ProtobufCMessageDescriptor *batch = &fsmeta__v1__batch__descriptor;
	const ProtobufCMessageDescriptor *packed = &fsmeta__v1__packed_batch__descriptor;

	(void)state;
	assert_int_equal(batch->n_fields, packed->n_fields);
	for (unsigned i = 0; i < batch->n_fields; i++) {
		const ProtobufCFieldDescriptor *one = &batch->fields[i],
					       *other = &packed->fields[i];
		bool is_column =
		    one->label == PROTOBUF_C_LABEL_REPEATED && one->type != PROTOBUF_C_TYPE_MESSAGE;

		assert_string_equal(one->name, other->name);
		assert_int_equal(one->id, other->id);
		if (is_column && other->type == PROTOBUF_C_TYPE_BYTES)
			continue;
		assert_int_equal(one->type, other->type);
		assert_int_equal(one->label, other->label);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(numbers_come_back),
	    cmocka_unit_test(the_count_must_be_right),
	    cmocka_unit_test(a_varint_has_ten_bytes_at_most),
	    cmocka_unit_test(the_two_schemas_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
