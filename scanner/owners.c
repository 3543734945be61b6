/*
 * Distinct owner ids, and their names.
 *
 * Names are looked up once, at the end of a scan, because a lookup may ask a
 * directory server; ids are only collected on the way.  Someone who chowns a
 * million files to a million owners gets no million lookups: the set is bounded.
 */
#include "scanner/owners.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	FIRST_CAPACITY = 64,
	/** Most bytes that a passwd or group line may take; large groups are long. */
	LOOKUP_MAX_BYTES = 4 << 20,
};

static uint64_t *slot_of(uint64_t *slots, uint32_t capacity, uint64_t key)
{
	/* Fibonacci hashing: consecutive ids are the usual case. */
	uint32_t at = (uint32_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (capacity - 1);

	while (slots[at] != 0 && slots[at] != key)
		at = (at + 1) & (capacity - 1);
	return &slots[at];
}

static int grow(struct fsmeta_owner_set *set)
{
	uint32_t capacity = set->capacity ? set->capacity * 2 : FIRST_CAPACITY;
	uint64_t *slots = calloc(capacity, sizeof(*slots));

	if (!slots)
		return FSMETA_E_MEMORY;
	for (uint32_t i = 0; i < set->capacity; i++) {
		if (set->slots[i])
			*slot_of(slots, capacity, set->slots[i]) = set->slots[i];
	}
	free(set->slots);
	set->slots = slots;
	set->capacity = capacity;
	return 0;
}

int fsmeta_owner_set_insert(struct fsmeta_owner_set *set, uint32_t id)
{
	uint64_t key = (uint64_t)id + 1, *slot;

	set->last = key;
	if (set->count >= FSMETA_OWNER_SET_MAX)
		return 0;
	if (set->count >= set->capacity / 2 && grow(set) != 0)
		return FSMETA_E_MEMORY;
	slot = slot_of(set->slots, set->capacity, key);
	set->count += *slot == 0;
	*slot = key;
	return 0;
}

void fsmeta_owner_set_release(struct fsmeta_owner_set *set)
{
	free(set->slots);
	*set = (struct fsmeta_owner_set){0};
}

/** One lookup with the room that `scratch` has; 0, ERANGE, or another errno. */
static int look_up(bool is_group, uint32_t id, struct fsmeta_buffer *scratch, const char **name)
{
	char *room = (char *)scratch->data;
	int failure;

	*name = NULL;
	if (is_group) {
		struct group group, *found;

		failure = getgrgid_r(id, &group, room, scratch->capacity, &found);
		if (failure == 0 && found)
			*name = group.gr_name;
	} else {
		struct passwd user, *found;

		failure = getpwuid_r(id, &user, room, scratch->capacity, &found);
		if (failure == 0 && found)
			*name = user.pw_name;
	}
	return failure;
}

static int compare_keys(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/** The keys of the set, ascending; *new*. */
static uint64_t *sorted_keys(const struct fsmeta_owner_set *set)
{
	uint64_t *keys = malloc(((size_t)set->count + 1) * sizeof(*keys));
	size_t count = 0;

	if (!keys)
		return NULL;
	for (uint32_t i = 0; i < set->capacity; i++) {
		if (set->slots[i])
			keys[count++] = set->slots[i];
	}
	qsort(keys, count, sizeof(*keys), compare_keys);
	return keys;
}

int fsmeta_owner_set_resolve(
    const struct fsmeta_owner_set *set, struct fsmeta_batch_source *source, bool is_group)
{
	struct fsmeta_buffer scratch = {0};
	uint64_t *keys = sorted_keys(set);
	int code = keys ? fsmeta_buffer_reserve(&scratch, 4096) : FSMETA_E_MEMORY;

	for (uint32_t i = 0; code == 0 && i < set->count; i++) {
		uint32_t id = (uint32_t)(keys[i] - 1);
		const char *name;

		while (look_up(is_group, id, &scratch, &name) == ERANGE &&
		       scratch.capacity < LOOKUP_MAX_BYTES) {
			code = fsmeta_buffer_reserve(&scratch, scratch.capacity * 2);
			if (code != 0)
				break;
		}
		if (code == 0 && name)
			code = fsmeta_batch_source_add_owner(source, is_group, id, name);
	}
	fsmeta_buffer_release(&scratch);
	free(keys);
	return code;
}
