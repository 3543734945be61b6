/*
 * A protobuf-c allocator over an arena.
 *
 * The widest that a message grows is a packed column of one-byte varints into
 * 64-bit numbers, eight times; what is allowed beyond that covers protobuf-c's own
 * bookkeeping of a true message.  A hostile one (a million empty fields, each of
 * which protobuf-c notes in tens of bytes) runs into the budget and fails to
 * unpack.
 */
#include "format/unpack.h"

enum {
	BUDGET_PER_BYTE = 10,
	BUDGET_MIN_BYTES = 1 << 20,
};

static void *unpack_allocate(void *data, size_t size)
{
	struct fsmeta_unpack *unpack = data;

	if (size > unpack->budget_bytes)
		return NULL;
	unpack->budget_bytes -= size;
	return fsmeta_arena_allocate(&unpack->arena, size);
}

/** The arena is freed whole. */
static void unpack_free(void *data, void *pointer)
{
	(void)data;
	(void)pointer;
}

void fsmeta_unpack_init(struct fsmeta_unpack *unpack)
{
	*unpack = (struct fsmeta_unpack){.allocator = {unpack_allocate, unpack_free, unpack}};
	fsmeta_arena_init(&unpack->arena);
}

void fsmeta_unpack_release(struct fsmeta_unpack *unpack)
{
	fsmeta_arena_release(&unpack->arena);
}

ProtobufCAllocator *fsmeta_unpack_begin(struct fsmeta_unpack *unpack, size_t size)
{
	fsmeta_arena_clear(&unpack->arena);
	unpack->budget_bytes = size * BUDGET_PER_BYTE + BUDGET_MIN_BYTES;
	return &unpack->allocator;
}
