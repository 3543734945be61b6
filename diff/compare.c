#include "diff/compare.h"

#include <stdlib.h>
#include <string.h>

static const char action[] = "comparing";

static void choose_fields(struct fsmeta_compare *compare)
{
	const struct fsmeta_diff_options *options = compare->options;
	uint32_t a = compare->a->field_mask;
	uint32_t b = compare->b->field_mask;

	if (options->notion == FSMETA_DIFF_STORED) {
		/* What a lacks, its entries lack, and so it differs where b has it. */
		compare->folder_mask = b | FSMETA_FIELD_FLAGS;
		compare->other_mask = b | FSMETA_FIELD_FLAGS;
		return;
	}
	compare->folder_mask = options->fields;
	compare->other_mask = options->fields;
	if (!options->fields_only) {
		compare->folder_mask |= FSMETA_FIELDS_REPORTED_FOLDER;
		compare->other_mask |= FSMETA_FIELDS_REPORTED_FILE;
	}
	compare->folder_mask &= (a & b) | FSMETA_FIELD_FLAGS;
	compare->other_mask &= (a & b) | FSMETA_FIELD_FLAGS;
}

void fsmeta_compare_init(struct fsmeta_compare *compare, const struct fsmeta_batch_source *a,
    const struct fsmeta_batch_source *b, const struct fsmeta_diff_options *options)
{
	*compare = (struct fsmeta_compare){
	    .a = a,
	    .b = b,
	    .options = options,
	    .b_is_state = b->id_kind == FSMETA_IDS_STABLE && !options->seen_only,
	};
	choose_fields(compare);
}

void fsmeta_compare_release(struct fsmeta_compare *compare)
{
	free(compare->device_map);
}

/*
 * Tables of file systems grow while a live tree is being scanned.
 */
int fsmeta_compare_refresh(struct fsmeta_compare *compare, struct fsmeta_error *error)
{
	const struct fsmeta_batch_source *a = compare->a;
	const struct fsmeta_batch_source *b = compare->b;
	uint32_t *map;
	int code;

	if (compare->device_map && compare->device_map_a_count == a->filesystem_count &&
	    compare->device_map_count == b->filesystem_count)
		return 0;
	code = fsmeta_batch_source_map_filesystems(&map, a, b);
	if (code)
		return fsmeta_error_set_memory(error, action);
	free(compare->device_map);
	compare->device_map = map;
	compare->device_map_a_count = a->filesystem_count;
	compare->device_map_count = b->filesystem_count;
	compare->device_map_is_identity = true;
	for (size_t i = 0; i < compare->device_map_count; i++)
		if (map[i] != i)
			compare->device_map_is_identity = false;
	return 0;
}

/** b's index of the file system that is `device` on a's side; false where b has none. */
static bool device_of_newer(const struct fsmeta_compare *compare, uint32_t device, uint32_t *out)
{
	for (size_t i = 0; i < compare->device_map_count; i++)
		if (compare->device_map[i] == device) {
			*out = (uint32_t)i;
			return true;
		}
	return false;
}

/**
 * Gives `entry`, whose own metadata could not be read, what `before` knew, so
 * that a new version made from it loses nothing.
 */
static void fill_in(const struct fsmeta_compare *compare, struct fsmeta_entry *entry,
    const struct fsmeta_entry *before)
{
	uint32_t missing = before->fields & ~entry->fields & compare->b->field_mask;

	if (missing & FSMETA_FIELD_DEVICE &&
	    !device_of_newer(compare, before->device, &entry->device))
		missing &= ~(uint32_t)FSMETA_FIELD_DEVICE;
	if (missing & FSMETA_FIELD_SIZE)
		entry->size = before->size;
	if (missing & FSMETA_FIELD_MTIME)
		entry->mtime = before->mtime;
	if (missing & FSMETA_FIELD_CTIME)
		entry->ctime = before->ctime;
	if (missing & FSMETA_FIELD_BTIME)
		entry->btime = before->btime;
	if (missing & FSMETA_FIELD_MODE)
		entry->mode = before->mode;
	if (missing & FSMETA_FIELD_UID)
		entry->uid = before->uid;
	if (missing & FSMETA_FIELD_GID)
		entry->gid = before->gid;
	if (missing & FSMETA_FIELD_INODE)
		entry->inode = before->inode;
	if (missing & FSMETA_FIELD_NLINK)
		entry->nlink = before->nlink;
	if (missing & FSMETA_FIELD_ALLOCATED)
		entry->allocated = before->allocated;
	if (missing & FSMETA_FIELD_RDEV) {
		entry->rdev_major = before->rdev_major;
		entry->rdev_minor = before->rdev_minor;
	}
	if (missing & FSMETA_FIELD_TARGET) {
		entry->target = before->target;
		entry->target_length = before->target_length;
	}
	if (missing & FSMETA_FIELD_HASH) {
		entry->hash_algorithm = before->hash_algorithm;
		memcpy(entry->hash, before->hash, sizeof(entry->hash));
	}
	entry->fields |= missing;
}

/**
 * True where what `b` says of an entry is what is stored of it: it was filled up when it
 * was stored, and what it still lacks it lacks.
 */
static bool compares_states(const struct fsmeta_compare *compare)
{
	return compare->options->notion == FSMETA_DIFF_STORED && compare->b_is_state;
}

/** The fields in which the two are to be compared. */
static uint32_t compared_fields(const struct fsmeta_compare *compare,
    const struct fsmeta_entry *before, const struct fsmeta_entry *after)
{
	uint32_t mask =
	    before->type == FSMETA_TYPE_FOLDER ? compare->folder_mask : compare->other_mask;

	/* What could not be read is unknown, which is no difference, unless the versions of a
	 * state are compared … */
	if (after->flags & FSMETA_FLAG_UNREADABLE && !compares_states(compare))
		mask &= after->fields | FSMETA_FIELD_FLAGS;
	/* … and what becomes known again is no news, though it is to be stored. */
	if (compare->options->notion == FSMETA_DIFF_REPORTED &&
	    before->flags & FSMETA_FLAG_UNREADABLE)
		mask &= before->fields | FSMETA_FIELD_FLAGS;
	/* Contents can be compared where both were hashed, and alike. */
	if (compare->options->notion == FSMETA_DIFF_REPORTED &&
	    (!(before->fields & after->fields & FSMETA_FIELD_HASH) ||
		before->hash_algorithm != after->hash_algorithm))
		mask &= ~(uint32_t)FSMETA_FIELD_HASH;
	return mask;
}

/** Content that changed behind a file system's back. */
static bool is_corruption(
    const struct fsmeta_entry *before, const struct fsmeta_entry *after, uint32_t differences)
{
	const uint32_t needed = FSMETA_FIELD_SIZE | FSMETA_FIELD_MTIME | FSMETA_FIELD_HASH;

	return before->type == FSMETA_TYPE_FILE && differences & FSMETA_FIELD_HASH &&
	       (before->fields & after->fields & needed) == needed &&
	       before->hash_algorithm == after->hash_algorithm && before->size == after->size &&
	       fsmeta_time_compare(before->mtime, after->mtime) == 0;
}

void fsmeta_compare_pair(struct fsmeta_compared *out, const struct fsmeta_compare *compare,
    const struct fsmeta_entry *before, const struct fsmeta_entry *after)
{
	out->after = after;
	if (compare->options->notion == FSMETA_DIFF_STORED && !compare->b_is_state &&
	    after->flags & FSMETA_FLAG_UNREADABLE) {
		out->filled = *after;
		fill_in(compare, &out->filled, before);
		out->after = &out->filled;
	}
	out->fields = fsmeta_entry_differences(before, out->after,
	    compared_fields(compare, before, out->after), compare->device_map,
	    compare->device_map_count);
	out->is_corrupted = is_corruption(before, out->after, out->fields);
}

enum fsmeta_change_kind fsmeta_hiding_kind(const struct fsmeta_entry *entry)
{
	if (entry->flags & FSMETA_FLAG_UNREADABLE)
		return FSMETA_CHANGE_UNREADABLE;
	if (entry->flags & FSMETA_FLAG_OTHER_FILESYSTEM && entry->type == FSMETA_TYPE_FOLDER)
		return FSMETA_CHANGE_UNKNOWN;
	return 0;
}
