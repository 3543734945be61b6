/*
 * Trees for the tests of the stream: random ones from a seed, and such as are
 * built by hand, as arrays of entries in canonical order.
 */
#ifndef FSMETA_TESTS_FORMAT_STREAM_TREE_H
#define FSMETA_TESTS_FORMAT_STREAM_TREE_H

#include "base/path.h"
#include "format/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct tree {
	struct fsmeta_arena arena;
	struct fsmeta_batch_source source;
	struct fsmeta_entry *entries;
	size_t count;
	size_t capacity;
	uint64_t random;
};

static inline void tree_init(struct tree *tree, uint64_t seed, uint32_t field_mask)
{
	uint32_t index;

	*tree = (struct tree){.random = seed * 0x9E3779B97F4A7C15U + 1};
	fsmeta_arena_init(&tree->arena);
	fsmeta_batch_source_init(&tree->source);
	tree->source.field_mask = field_mask;
	tree->source.hash_algorithm =
	    field_mask & FSMETA_FIELD_HASH ? FSMETA_HASH_XXH3 : FSMETA_HASH_NONE;
	tree->source.started = (struct fsmeta_time){1700000000, 123456789};
	assert_int_equal(
	    0, fsmeta_batch_source_set(&tree->source, &tree->source.source_id, "a source"));
	assert_int_equal(
	    0, fsmeta_batch_source_add_filesystem(&tree->source, "11-22", "ext4", "one", &index));
	assert_int_equal(
	    0, fsmeta_batch_source_add_filesystem(&tree->source, "", "tmpfs", "two", &index));
}

static inline void tree_release(struct tree *tree)
{
	fsmeta_batch_source_release(&tree->source);
	fsmeta_arena_release(&tree->arena);
	free(tree->entries);
}

/** xorshift64*. */
static inline uint64_t tree_random(struct tree *tree)
{
	tree->random ^= tree->random >> 12;
	tree->random ^= tree->random << 25;
	tree->random ^= tree->random >> 27;
	return tree->random * 0x2545F4914F6CDD1DU;
}

/** True once in `n`. */
static inline bool tree_once_in(struct tree *tree, uint64_t n)
{
	return tree_random(tree) % n == 0;
}

/** Appends an entry with path and type, all else zero. */
static inline struct fsmeta_entry *tree_append(
    struct tree *tree, const char *path, size_t length, enum fsmeta_type type)
{
	struct fsmeta_entry *entry;
	size_t name_offset;

	if (tree->count == tree->capacity) {
		tree->capacity = tree->capacity ? tree->capacity * 2 : 64;
		tree->entries = reallocarray(tree->entries, tree->capacity, sizeof(*tree->entries));
		assert_non_null(tree->entries);
	}
	entry = &tree->entries[tree->count++];
	*entry = (struct fsmeta_entry){.type = type, .device = FSMETA_DEVICE_NONE};
	entry->path = fsmeta_arena_copy(&tree->arena, path, length);
	assert_non_null(entry->path);
	entry->path_length = length;
	name_offset = fsmeta_path_name_offset(path, length);
	entry->name = entry->path + name_offset;
	entry->name_length = length - name_offset;
	entry->depth = fsmeta_path_depth(path, length);
	return entry;
}

static inline struct fsmeta_time tree_random_time(struct tree *tree)
{
	static const int64_t extremes[] = {
	    INT64_MIN, INT64_MAX, -1, 0, 1, 4294967295, 9223372036, -62135596800};
	struct fsmeta_time time = {1700000000, 0};

	if (tree_once_in(tree, 10))
		time.seconds = extremes[tree_random(tree) % 8];
	else
		time.seconds += (int64_t)(tree_random(tree) % 1000000);
	if (!tree_once_in(tree, 4))
		time.nanoseconds = (uint32_t)(tree_random(tree) % 1000000000);
	return time;
}

static inline uint64_t tree_random_number(struct tree *tree)
{
	if (tree_once_in(tree, 50))
		return UINT64_MAX - tree_random(tree) % 2;
	return tree_random(tree) >> (tree_random(tree) % 64);
}

/** Fills in every field that the entry's type can have, within the source's mask. */
static inline void tree_fill(struct tree *tree, struct fsmeta_entry *entry)
{
	uint32_t fields = tree->source.field_mask & fsmeta_fields_of_type(entry->type);

	if (tree_once_in(tree, 20))
		fields &= (uint32_t)tree_random(tree);
	entry->fields = fields;
	if (fields & FSMETA_FIELD_SIZE)
		entry->size = tree_random_number(tree);
	if (fields & FSMETA_FIELD_MTIME)
		entry->mtime = tree_random_time(tree);
	if (fields & FSMETA_FIELD_CTIME)
		entry->ctime = tree_once_in(tree, 2) ? entry->mtime : tree_random_time(tree);
	if (fields & FSMETA_FIELD_BTIME)
		entry->btime = tree_random_time(tree);
	if (fields & FSMETA_FIELD_MODE)
		entry->mode = tree_once_in(tree, 5) ? tree_random(tree) & 07777 : 0644;
	if (fields & FSMETA_FIELD_UID)
		entry->uid = tree_once_in(tree, 9) ? (uint32_t)tree_random(tree) : 1000;
	if (fields & FSMETA_FIELD_GID)
		entry->gid = tree_once_in(tree, 9) ? UINT32_MAX : 1000;
	if (fields & FSMETA_FIELD_DEVICE)
		entry->device = tree_once_in(tree, 30);
	if (fields & FSMETA_FIELD_INODE)
		entry->inode = tree_random_number(tree);
	if (fields & FSMETA_FIELD_NLINK)
		entry->nlink = tree_once_in(tree, 5) ? tree_random_number(tree) : 1;
	if (fields & FSMETA_FIELD_ALLOCATED)
		entry->allocated = tree_once_in(tree, 2) ? tree_random_number(tree)
							 : (entry->size + 4095) & ~4095U;
	if (fields & FSMETA_FIELD_RDEV) {
		entry->rdev_major = (uint32_t)tree_random(tree);
		entry->rdev_minor = tree_once_in(tree, 2) ? 0 : (uint32_t)tree_random(tree);
	}
	if (fields & FSMETA_FIELD_TARGET) {
		size_t length = tree_once_in(tree, 5) ? 0 : tree_random(tree) % 40;
		char target[64];

		for (size_t i = 0; i < length; i++)
			target[i] = (char)(1 + tree_random(tree) % 255);
		entry->target = fsmeta_arena_copy(&tree->arena, target, length);
		entry->target_length = length;
	}
	if (fields & FSMETA_FIELD_HASH) {
		entry->hash_algorithm =
		    tree_once_in(tree, 3) ? FSMETA_HASH_SHA256 : FSMETA_HASH_XXH3;
		for (size_t i = 0; i < fsmeta_hash_bytes(entry->hash_algorithm); i++)
			entry->hash[i] = (unsigned char)tree_random(tree);
	}
	if (tree_once_in(tree, 15)) {
		entry->flags = (uint32_t)(tree_random(tree) % 8);
		entry->error = entry->flags & FSMETA_FLAG_UNREADABLE ? 13 : 0;
	}
	if (tree_once_in(tree, 15))
		entry->unknown_since = 1 + tree_random(tree) % 100;
	if (tree->source.id_kind == FSMETA_IDS_STABLE)
		entry->id = 1 + tree_random(tree) / 2;
}

enum {
	TREE_NAME_BYTES = 256
};

struct tree_name {
	char bytes[TREE_NAME_BYTES];
	size_t length;
};

static inline int tree_compare_names(const void *a, const void *b)
{
	const struct tree_name *left = a, *right = b;

	return fsmeta_name_compare(left->bytes, left->length, right->bytes, right->length);
}

static inline void tree_random_name(struct tree *tree, struct tree_name *name)
{
	static const char *const hostile[] = {"a", "a!", "a.mp4", "a\n", "\x1b[31m", "\"", "...",
	    "\xff\xfe", "e\xcc\x81", " ", "-", "a\x01"};

	do {
		if (tree_once_in(tree, 4)) {
			name->length = (size_t)snprintf(
			    name->bytes, TREE_NAME_BYTES, "%s", hostile[tree_random(tree) % 12]);
		} else if (tree_once_in(tree, 20)) {
			name->length = 255;
			memset(name->bytes, 'x', 254);
			name->bytes[254] = (char)(1 + tree_random(tree) % 255);
		} else {
			name->length = (size_t)snprintf(name->bytes, TREE_NAME_BYTES,
			    "%u_video.rf1p", (unsigned)(tree_random(tree) % 100000));
		}
	} while (!fsmeta_name_is_valid(name->bytes, name->length));
}

static inline enum fsmeta_type tree_random_type(struct tree *tree)
{
	unsigned value = (unsigned)(tree_random(tree) % 20);

	if (value < 12)
		return FSMETA_TYPE_FILE;
	if (value < 15)
		return FSMETA_TYPE_FOLDER;
	return (enum fsmeta_type)(FSMETA_TYPE_SYMLINK + value - 15);
}

/** Children of the folder `path` and what is below them, up to `limit` entries in all. */
static inline void tree_grow(
    struct tree *tree, const char *path, size_t length, uint32_t depth, size_t limit)
{
	size_t wanted = depth ? tree_random(tree) % 40 : 40 + limit / 8;
	struct tree_name *names = calloc(wanted + 1, sizeof(*names));
	char *child = malloc(length + TREE_NAME_BYTES + 2);

	assert_non_null(names);
	assert_non_null(child);
	for (size_t i = 0; i < wanted; i++)
		tree_random_name(tree, &names[i]);
	qsort(names, wanted, sizeof(*names), tree_compare_names);
	for (size_t i = 0; i < wanted && tree->count < limit; i++) {
		enum fsmeta_type type = tree_random_type(tree);
		size_t start = length + (length > 0);

		if (i && tree_compare_names(&names[i], &names[i - 1]) == 0)
			continue;
		memcpy(child, path, length);
		child[length] = '/';
		memcpy(child + start, names[i].bytes, names[i].length);
		tree_fill(tree, tree_append(tree, child, start + names[i].length, type));
		if (type == FSMETA_TYPE_FOLDER && depth < 30)
			tree_grow(tree, child, start + names[i].length, depth + 1, limit);
	}
	free(names);
	free(child);
}

/** A root and about `limit` entries at most. */
static inline void tree_make_random(struct tree *tree, size_t limit)
{
	tree_fill(tree, tree_append(tree, "", 0, FSMETA_TYPE_FOLDER));
	tree_grow(tree, "", 0, 0, limit);
}

/** Makes entries from `first` on seen, so that their batches may be stepped over. */
static inline void tree_see_all(struct tree *tree, size_t first)
{
	for (size_t i = first; i < tree->count; i++) {
		tree->entries[i].flags = 0;
		tree->entries[i].error = 0;
		tree->entries[i].unknown_since = 0;
	}
}

/** Asserts that all that entries say is the same; `ids` whether ids are compared. */
static inline void tree_assert_equal(
    const struct fsmeta_entry *a, const struct fsmeta_entry *b, bool ids)
{
	assert_int_equal(a->path_length, b->path_length);
	assert_memory_equal(a->path, b->path, a->path_length);
	assert_int_equal(a->depth, b->depth);
	assert_int_equal(a->name_length, b->name_length);
	assert_ptr_equal(b->name + b->name_length, b->path + b->path_length);
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->fields, b->fields);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->error, b->error);
	assert_int_equal(a->size, b->size);
	assert_int_equal(0, fsmeta_time_compare(a->mtime, b->mtime));
	assert_int_equal(0, fsmeta_time_compare(a->ctime, b->ctime));
	assert_int_equal(0, fsmeta_time_compare(a->btime, b->btime));
	assert_int_equal(a->mode, b->mode);
	assert_int_equal(a->uid, b->uid);
	assert_int_equal(a->gid, b->gid);
	assert_int_equal(a->device, b->device);
	assert_int_equal(a->inode, b->inode);
	assert_int_equal(a->nlink, b->nlink);
	assert_int_equal(a->allocated, b->allocated);
	assert_int_equal(a->rdev_major, b->rdev_major);
	assert_int_equal(a->rdev_minor, b->rdev_minor);
	assert_int_equal(a->target_length, b->target_length);
	if (a->target_length)
		assert_memory_equal(a->target, b->target, a->target_length);
	assert_int_equal(a->target == NULL, b->target == NULL);
	assert_int_equal(a->hash_algorithm, b->hash_algorithm);
	assert_memory_equal(a->hash, b->hash, FSMETA_HASH_MAX_BYTES);
	assert_int_equal(a->unknown_since, b->unknown_since);
	if (ids)
		assert_int_equal(a->id, b->id);
}

#endif
