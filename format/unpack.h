/*
 * Unpacking protobuf messages from files that nobody vouches for: all of a message
 * lives in one arena with a budget in proportion to its length, and is freed
 * whole.
 */
#ifndef FSMETA_FORMAT_UNPACK_H
#define FSMETA_FORMAT_UNPACK_H

#include "base/memory.h"

#include <protobuf-c/protobuf-c.h>

/** Must not be moved while in use: the allocator points to it. */
struct fsmeta_unpack {
	/** More may be allocated here that lives as long as the message. */
	struct fsmeta_arena arena;
	ProtobufCAllocator allocator;
	/** Bytes that may still be allocated for the message. */
	size_t budget_bytes;
};

void fsmeta_unpack_init(struct fsmeta_unpack *unpack);
void fsmeta_unpack_release(struct fsmeta_unpack *unpack);

/**
 * Forgets the last message and returns the allocator, *borrowed*, to hand to one
 * `…__unpack()` call for a message of `size` bytes.  The message is never given
 * to `…__free_unpacked()`.
 */
ProtobufCAllocator *fsmeta_unpack_begin(struct fsmeta_unpack *unpack, size_t size);

#endif
