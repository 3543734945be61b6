/*
 * From one generation of the model to the next.
 *
 *     world        .  a  a/x  b  b/y  c        b cannot be listed, "c" is excluded
 *     view         .  a  a/x  b                what the scan yields
 *     old state    .  a  a/o  b  b/z  c
 *     new state    .  a  a/x  b  b/z  c        b/z and c carried, a/o removed
 *
 * What the old state has and the view has not is judged from the top: the first folder
 * on its way that was seen and below which nothing is seen any more decides.  Where it
 * hides its content, the entry is carried; else the scope says whether the scan would
 * have shown what is missing there.
 */
#include "tests/support/model.h"

#include "base/path.h"
#include "tests/support/model_tree.h"
#include "tests/support/naive_diff.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	/** Flags of a folder whose content was not seen. */
	HIDES = FSMETA_FLAG_UNREADABLE | FSMETA_FLAG_OTHER_FILESYSTEM,
};

static bool one_in(struct model *model, uint64_t limit)
{
	return model_random(model, limit) == 0;
}

/* ---- the scope of a scan --------------------------------------------------- */

static void add_string(struct fsmeta_batch_source *source, struct fsmeta_string_list *list,
    const char *text, size_t length)
{
	EXPECT(fsmeta_batch_source_add_string(source, list, text, length) == 0, "out of memory");
}

/** Excludes stay for some scans, then others come. */
static void choose_excludes(struct model *model, struct model_generation *generation)
{
	const struct fsmeta_string_list *before =
	    &model->generations[generation->number - 1].source.excludes;
	struct fsmeta_batch_source *source = &generation->source;
	size_t count = one_in(model, 2) ? 0 : 1 + model_random(model, 2);

	if (!one_in(model, 3)) {
		for (size_t i = 0; i < before->count; i++)
			add_string(source, &source->excludes, before->items[i], before->lengths[i]);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		const struct fsmeta_entry *entry =
		    &model->world.items[model_random(model, model->world.count)].entry;
		bool whole = one_in(model, 2) && entry->path_length;
		char pattern[1024];

		snprintf(pattern, sizeof(pattern), "%s%s%s", whole ? "/" : "",
		    whole ? entry->path : model_random_name(model), one_in(model, 3) ? "/" : "");
		add_string(source, &source->excludes, pattern, strlen(pattern));
	}
}

/** Whether some folder on the path, or the path itself, may be excluded. */
static bool is_contradiction(
    const struct fsmeta_batch_source *source, const char *path, size_t length)
{
	for (size_t end = 1; end <= length; end++)
		if ((end == length || path[end] == '/') &&
		    naive_is_excluded(source, path, end, FSMETA_TYPE_FOLDER))
			return true;
	return false;
}

/** Every third scan or so is asked for sub-trees alone, some of which do not exist. */
static void choose_subtrees(struct model *model, struct model_generation *generation)
{
	struct fsmeta_batch_source *source = &generation->source;
	size_t count = one_in(model, 3) ? 1 + model_random(model, 3) : 0;

	for (size_t i = 0; i < count; i++) {
		const struct model_node *node =
		    &model->world.items[model_random(model, model->world.count)];
		const char *path = node->entry.path;

		if (one_in(model, 4) || !*path)
			path = model_random_place(model);
		if (path && !is_contradiction(source, path, strlen(path)))
			add_string(source, &source->subtrees, path, strlen(path));
	}
}

static void choose_mask(struct model *model, struct model_generation *generation)
{
	uint32_t before = model->generations[generation->number - 1].source.field_mask;
	uint32_t *mask = &generation->source.field_mask;

	*mask = generation->number == 1 ? FSMETA_FIELDS_KNOWN : before;
	if (model->options.one_mask || !one_in(model, 8))
		return;
	switch (model_random(model, 4)) {
	case 0:
		*mask = FSMETA_FIELDS_CORE;
		break;
	case 1:
		*mask = (uint32_t)model_random(model, FSMETA_FIELDS_KNOWN + 1);
		break;
	default:
		*mask = FSMETA_FIELDS_KNOWN;
	}
}

static void describe_scan(struct model *model, struct model_generation *generation)
{
	struct fsmeta_batch_source *source = &generation->source;

	source->started.seconds = (int64_t)(1700000000 + 100 * generation->number);
	source->finished.seconds = source->started.seconds + 10;
	EXPECT(fsmeta_batch_source_set(source, &source->source_id, "the source") == 0,
	    "out of memory");
	choose_mask(model, generation);
	if (model->options.sees_all)
		return;
	choose_excludes(model, generation);
	choose_subtrees(model, generation);
}

/* ---- what a scan sees -------------------------------------------------------- */

const char *model_filesystem(uint32_t number)
{
	static const char *const uuids[MODEL_FILESYSTEMS] = {"uuid-0", "uuid-1", "uuid-2"};

	return uuids[number];
}

/** Takes out what is not in the mask: such fields are zero and mean nothing. */
static void mask_fields(struct fsmeta_entry *entry, uint32_t mask)
{
	entry->fields &= mask;
	if (!(entry->fields & FSMETA_FIELD_SIZE))
		entry->size = 0;
	if (!(entry->fields & FSMETA_FIELD_MTIME))
		entry->mtime = (struct fsmeta_time){0};
	if (!(entry->fields & FSMETA_FIELD_CTIME))
		entry->ctime = (struct fsmeta_time){0};
	if (!(entry->fields & FSMETA_FIELD_BTIME))
		entry->btime = (struct fsmeta_time){0};
	if (!(entry->fields & FSMETA_FIELD_MODE))
		entry->mode = 0;
	if (!(entry->fields & FSMETA_FIELD_UID))
		entry->uid = 0;
	if (!(entry->fields & FSMETA_FIELD_GID))
		entry->gid = 0;
	if (!(entry->fields & FSMETA_FIELD_DEVICE))
		entry->device = FSMETA_DEVICE_NONE;
	if (!(entry->fields & FSMETA_FIELD_INODE))
		entry->inode = 0;
	if (!(entry->fields & FSMETA_FIELD_NLINK))
		entry->nlink = 0;
	if (!(entry->fields & FSMETA_FIELD_ALLOCATED))
		entry->allocated = 0;
	if (!(entry->fields & FSMETA_FIELD_RDEV)) {
		entry->rdev_major = 0;
		entry->rdev_minor = 0;
	}
	if (!(entry->fields & FSMETA_FIELD_TARGET)) {
		entry->target = NULL;
		entry->target_length = 0;
	}
	if (!(entry->fields & FSMETA_FIELD_HASH)) {
		entry->hash_algorithm = FSMETA_HASH_NONE;
		memset(entry->hash, 0, sizeof(entry->hash));
	}
}

/** The scan's table holds the file systems in the order in which they are met. */
static void meet_filesystem(struct model_generation *generation, uint32_t number)
{
	if (generation->devices[number] != UINT32_MAX)
		return;
	EXPECT(fsmeta_batch_source_add_filesystem(&generation->source, model_filesystem(number),
		   "ext4", "", &generation->devices[number]) == 0,
	    "out of memory");
}

/** What the scan makes of a node that it comes to. */
static struct fsmeta_entry look_at(
    struct model *model, struct model_generation *generation, const struct model_node *node)
{
	struct fsmeta_batch_source *source = &generation->source;
	struct fsmeta_entry entry = node->entry;
	uint32_t mask = source->field_mask;

	switch (node->hiding) {
	case MODEL_OPEN:
		break;
	case MODEL_NOT_ENTERED:
		entry.flags |= FSMETA_FLAG_OTHER_FILESYSTEM;
		break;
	case MODEL_NO_METADATA:
		/* All is lost, or the content hash alone, say. */
		mask &= one_in(model, 2) ? 0 : (uint32_t)model_random(model, UINT32_MAX);
		entry.flags |= FSMETA_FLAG_UNREADABLE;
		entry.error = EIO;
		break;
	default:
		entry.flags |= FSMETA_FLAG_UNREADABLE;
		entry.error = node->hiding == MODEL_BROKEN ? EIO : EACCES;
	}
	mask_fields(&entry, mask);
	if (entry.fields & FSMETA_FIELD_DEVICE)
		meet_filesystem(generation, entry.device);
	if (entry.flags & FSMETA_FLAG_UNREADABLE)
		fsmeta_batch_source_add_root(
		    source, &source->unreadable, entry.path, entry.path_length, entry.error);
	if (entry.flags & FSMETA_FLAG_OTHER_FILESYSTEM)
		fsmeta_batch_source_add_root(
		    source, &source->not_entered, entry.path, entry.path_length, 0);
	return entry;
}

/** A listing that broke off has lost some of the folder's children. */
static bool is_lost(struct model *model, const struct fsmeta_entry *entry)
{
	const struct model_node *folder =
	    entry->depth ? model_find(&model->world, entry->path, model_parent_length(entry))
			 : NULL;

	return folder && folder->hiding == MODEL_BROKEN && one_in(model, 2);
}

/** Fills the view; devices are still numbers of file systems. */
static void scan(struct model *model, struct model_generation *generation)
{
	const struct fsmeta_batch_source *source = &generation->source;
	size_t at = 0;

	generation->view = calloc(model->world.count, sizeof(*generation->view));
	EXPECT(generation->view, "out of memory");
	while (at < model->world.count) {
		const struct model_node *node = &model->world.items[at];
		const struct fsmeta_entry *entry = &node->entry;
		size_t end = model_end_of(&model->world, at);

		if (!naive_is_asked_for(source, entry->path, entry->path_length) ||
		    naive_is_excluded(source, entry->path, entry->path_length, entry->type) ||
		    is_lost(model, entry)) {
			at = end;
			continue;
		}
		generation->view[generation->view_count++] = look_at(model, generation, node);
		at = node->hiding == MODEL_OPEN || node->hiding == MODEL_BROKEN ? at + 1 : end;
	}
}

/* ---- what a database must make of it ------------------------------------------- */

/** Node of the new state at this path that was seen, NULL where there is none. */
static const struct fsmeta_entry *find_seen(
    const struct model_generation *generation, const char *path, size_t length)
{
	size_t low = 0, high = generation->view_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct fsmeta_entry *entry = &generation->view[middle];
		int order = fsmeta_path_compare(entry->path, entry->path_length, path, length);

		if (order == 0)
			return entry;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/** What becomes of something that was there and that the view does not show. */
enum fate {
	GONE,
	/** Carried because something hides it, or nobody asked for it. */
	HIDDEN,
	NOT_ASKED,
	/** Carried because it, or what holds it, is excluded. */
	EXCLUDED,
};

/** *at: length of the part of the path that decided. */
static enum fate fate_of(const struct model_nodes *old, const struct model_generation *new,
    const struct fsmeta_entry *entry, size_t *at)
{
	bool hides = false;

	for (size_t end = 0;; end++) {
		const struct model_node *was;
		const struct fsmeta_entry *seen;

		if (end && end != entry->path_length && entry->path[end] != '/')
			continue;
		*at = end;
		was = model_find(old, entry->path, end);
		seen = find_seen(new, entry->path, end);
		if (!seen && hides)
			return HIDDEN;
		if (!seen && !naive_is_asked_for(&new->source, entry->path, end))
			return NOT_ASKED;
		if (!seen && naive_is_excluded(&new->source, entry->path, end, was->entry.type))
			return EXCLUDED;
		if (!seen || seen->type != was->entry.type || end == entry->path_length)
			return GONE;
		hides = seen->flags & HIDES;
	}
}

/** For each node of the old state what the view shows of it, and the reverse. */
struct pairs {
	/** Index into the view plus 1; 0 = nothing. */
	size_t *of_old;
	/** Index into the old state plus 1. */
	size_t *of_new;
	/** Of new: it came from another place. */
	bool *moved;
};

static void pair_up(struct pairs *pairs, size_t old, size_t new, bool moved)
{
	pairs->of_old[old] = new + 1;
	pairs->of_new[new] = old + 1;
	pairs->moved[new] = moved;
}

/** Key of what the view shows at an index. */
static uint64_t key_of(const struct model *model, const struct fsmeta_entry *seen)
{
	return model_find(&model->world, seen->path, seen->path_length)->key;
}

static void find_moves(struct model *model, struct pairs *pairs, const struct model_nodes *old,
    const struct model_generation *new)
{
	for (size_t j = 0; j < new->view_count; j++) {
		uint64_t key = key_of(model, &new->view[j]);
		size_t at;

		for (size_t i = 0; i < old->count && !pairs->of_new[j]; i++)
			if (old->items[i].key == key && !pairs->of_old[i] &&
			    old->items[i].entry.type == new->view[j].type &&
			    fate_of(old, new, &old->items[i].entry, &at) == GONE)
				pair_up(pairs, i, j, true);
	}
}

/** Equal path and type always pairs first; moves are sought among what is left. */
static void find_pairs(struct model *model, struct pairs *pairs, const struct model_nodes *old,
    const struct model_generation *new)
{
	pairs->of_old = calloc(old->count + 1, sizeof(*pairs->of_old));
	pairs->of_new = calloc(new->view_count + 1, sizeof(*pairs->of_new));
	pairs->moved = calloc(new->view_count + 1, sizeof(*pairs->moved));
	EXPECT(pairs->of_old && pairs->of_new && pairs->moved, "out of memory");
	for (size_t j = 0; j < new->view_count; j++) {
		const struct fsmeta_entry *seen = &new->view[j];
		const struct model_node *was = model_find(old, seen->path, seen->path_length);

		if (was && was->entry.type == seen->type)
			pair_up(pairs, (size_t)(was - old->items), j, false);
	}
	if (model->options.moves)
		find_moves(model, pairs, old, new);
}

static void pairs_release(struct pairs *pairs)
{
	free(pairs->of_old);
	free(pairs->of_new);
	free(pairs->moved);
}

/** Gives an entry whose metadata could not be read what was known of it before. */
static void fill_in(const struct model_generation *new, struct fsmeta_entry *entry,
    const struct fsmeta_entry *before)
{
	uint32_t known = entry->fields, missing = before->fields & ~known & new->source.field_mask;
	struct fsmeta_entry filled = *before;

	/* The scan's table may not have the file system. */
	if (missing & FSMETA_FIELD_DEVICE && new->devices[before->device] == UINT32_MAX)
		missing &= ~(uint32_t)FSMETA_FIELD_DEVICE;
	mask_fields(&filled, missing);
#define TAKE(FIELD, member)               \
	if (known & FSMETA_FIELD_##FIELD) \
	filled.member = entry->member
	TAKE(SIZE, size);
	TAKE(MTIME, mtime);
	TAKE(CTIME, ctime);
	TAKE(BTIME, btime);
	TAKE(MODE, mode);
	TAKE(UID, uid);
	TAKE(GID, gid);
	TAKE(DEVICE, device);
	TAKE(INODE, inode);
	TAKE(NLINK, nlink);
	TAKE(ALLOCATED, allocated);
	TAKE(RDEV, rdev_major);
	TAKE(RDEV, rdev_minor);
	TAKE(TARGET, target);
	TAKE(TARGET, target_length);
	TAKE(HASH, hash_algorithm);
#undef TAKE
	if (known & FSMETA_FIELD_HASH)
		memcpy(filled.hash, entry->hash, sizeof(filled.hash));
	filled.fields = known | missing;
	filled.flags = entry->flags;
	filled.error = entry->error;
	filled.id = 0;
	filled.unknown_since = 0;
	model_set_path(&filled, entry->path, entry->path_length);
	*entry = filled;
}

/* ---- changes ---------------------------------------------------------------------- */

struct fsmeta_entry model_entry(
    const struct model *model, uint64_t number, const struct model_node *node)
{
	struct fsmeta_entry entry = node->entry;

	mask_fields(&entry, model->generations[number].source.field_mask);
	entry.id = node->number < model->id_capacity ? model->ids[node->number] : 0;
	return entry;
}

static struct model_change *add_change(struct model_generation *generation,
    enum fsmeta_change_kind kind, const struct fsmeta_entry *before,
    const struct fsmeta_entry *after)
{
	struct model_change *change = &generation->changes[generation->change_count++];

	*change = (struct model_change){.change.kind = kind};
	if (before)
		change->before = *before;
	if (after)
		change->after = *after;
	/* Pointers are set when the order is final. */
	change->change.before = before;
	change->change.after = after;
	return change;
}

static const struct fsmeta_entry *named_by(const struct model_change *change)
{
	return change->change.after ? &change->after : &change->before;
}

static int compare_changes(const void *left, const void *right)
{
	const struct model_change *a = left, *b = right;
	const struct fsmeta_entry *entry_a = named_by(a), *entry_b = named_by(b);
	bool removed_a = a->change.kind == FSMETA_CHANGE_REMOVED;
	bool removed_b = b->change.kind == FSMETA_CHANGE_REMOVED;
	int order = fsmeta_path_compare(
	    entry_a->path, entry_a->path_length, entry_b->path, entry_b->path_length);

	if (order)
		return order;
	/* A tombstone before an arrival; what a place hides behind what it is. */
	if (removed_a != removed_b)
		return removed_a ? -1 : 1;
	return (int)a->change.kind - (int)b->change.kind;
}

static void finish_changes(struct model_generation *generation)
{
	qsort(generation->changes, generation->change_count, sizeof(*generation->changes),
	    compare_changes);
	for (size_t i = 0; i < generation->change_count; i++) {
		struct model_change *each = &generation->changes[i];
		uint32_t device = each->after.device;

		each->change.before = each->change.before ? &each->before : NULL;
		each->change.after = each->change.after ? &each->after : NULL;
		/* As the scan tells it. */
		if (each->change.after && each->after.fields & FSMETA_FIELD_DEVICE)
			each->after.device = generation->devices[device];
	}
}

/* ---- the next state ----------------------------------------------------------------- */

struct settling {
	struct model *model;
	const struct model_generation *old;
	struct model_generation *new;
	struct pairs pairs;
};

/** Number of the folder above in a state; 0 above the root. */
static uint64_t parent_number(const struct model_nodes *state, const struct fsmeta_entry *entry)
{
	return entry->depth ? model_find(state, entry->path, model_parent_length(entry))->number
			    : 0;
}

static bool has_number(const struct model_nodes *state, uint64_t number)
{
	for (size_t i = 0; i < state->count; i++)
		if (state->items[i].number == number)
			return true;
	return false;
}

static void settle_added(struct settling *settling, struct model_node *node)
{
	struct model_change *change;
	uint64_t above;

	node->number = settling->model->next_number++;
	change = add_change(settling->new, FSMETA_CHANGE_ADDED, NULL, &node->entry);
	/* Folders come first, so the one above has its number. */
	above = parent_number(&settling->new->state, &node->entry);
	if (above && !has_number(&settling->old->state, above))
		change->change.flags = FSMETA_CHANGE_INSIDE;
	settling->new->added++;
}

/** Content changed, and nothing but the hash tells. */
static bool is_rotten(
    const struct fsmeta_entry *was, const struct fsmeta_entry *is, uint32_t differences)
{
	const uint32_t needed = FSMETA_FIELD_SIZE | FSMETA_FIELD_MTIME | FSMETA_FIELD_HASH;

	return is->type == FSMETA_TYPE_FILE && differences & FSMETA_FIELD_HASH &&
	       !(differences & (FSMETA_FIELD_SIZE | FSMETA_FIELD_MTIME)) &&
	       (was->fields & is->fields & needed) == needed &&
	       was->hash_algorithm == is->hash_algorithm;
}

/** What hides something is told with its kind, whether it hid it before or not. */
static void tell_hidden(
    struct settling *settling, const struct fsmeta_entry *was, const struct fsmeta_entry *is)
{
	if (is->flags & FSMETA_FLAG_UNREADABLE)
		add_change(settling->new, FSMETA_CHANGE_UNREADABLE, was, is);
	else if (is->flags & FSMETA_FLAG_OTHER_FILESYSTEM)
		add_change(settling->new, FSMETA_CHANGE_UNKNOWN, was, is);
}

/**
 * A scan that has fields again which the one before left out differs from that one, but
 * all that it says may be stored already.
 */
static bool is_stored(
    const struct settling *settling, const struct model_node *before, const struct fsmeta_entry *is)
{
	uint32_t mask = settling->new->source.field_mask;
	struct fsmeta_entry stored = before->entry;

	if (mask == settling->old->source.field_mask)
		return false;
	mask_fields(&stored, mask);
	return !fsmeta_entry_differences(&stored, is, mask | FSMETA_FIELD_FLAGS, NULL, 0);
}

static void settle_paired(
    struct settling *settling, struct model_node *node, const struct model_node *before)
{
	const struct model_generation *old = settling->old;
	struct model_generation *new = settling->new;
	struct fsmeta_entry was = model_entry(settling->model, old->number, before);
	uint32_t mask = new->source.field_mask | FSMETA_FIELD_FLAGS, fields;
	bool stays;

	node->number = before->number;
	if (node->entry.flags & FSMETA_FLAG_UNREADABLE) {
		fill_in(new, &node->entry, &was);
		mask &= node->entry.fields | FSMETA_FIELD_FLAGS;
	}
	fields = fsmeta_entry_differences(&was, &node->entry, mask, NULL, 0);
	stays = parent_number(&old->state, &before->entry) ==
		    parent_number(&new->state, &node->entry) &&
		fsmeta_name_compare(
		    was.name, was.name_length, node->entry.name, node->entry.name_length) == 0;
	if (!stays) {
		add_change(new, FSMETA_CHANGE_MOVED, &was, &node->entry)->change.fields = fields;
		new->moved++;
	} else if (fields) {
		add_change(new,
		    is_rotten(&was, &node->entry, fields) ? FSMETA_CHANGE_CORRUPTED
							  : FSMETA_CHANGE_MODIFIED,
		    &was, &node->entry)
		    ->change.fields = fields;
		new->modified += !is_stored(settling, before, &node->entry);
	}
	tell_hidden(settling, &was, &node->entry);
	/* What was stored stays so where nothing differs; a moved file is written anew. */
	if ((!fields && (stays || node->entry.type == FSMETA_TYPE_FOLDER)) ||
	    (stays && is_stored(settling, before, &node->entry))) {
		struct fsmeta_entry seen = node->entry;

		node->entry = before->entry;
		node->entry.unknown_since = 0;
		model_set_path(&node->entry, seen.path, seen.path_length);
	}
}

static void settle_seen(struct settling *settling)
{
	struct model_generation *new = settling->new;

	for (size_t j = 0; j < new->view_count; j++) {
		const struct fsmeta_entry *seen = &new->view[j];
		struct model_node *node;
		size_t old = settling->pairs.of_new[j];

		/* The view is in order, so what is above has been settled. */
		node = model_append(&new->state,
		    &(struct model_node){.entry = *seen, .key = key_of(settling->model, seen)});
		if (old)
			settle_paired(settling, node, &settling->old->state.items[old - 1]);
		else
			settle_added(settling, node);
	}
}

static void settle_removed(struct settling *settling, const struct model_node *before)
{
	const struct model_nodes *old = &settling->old->state;
	struct fsmeta_entry was = model_entry(settling->model, settling->old->number, before);
	struct model_change *change = add_change(settling->new, FSMETA_CHANGE_REMOVED, &was, NULL);
	uint64_t above = parent_number(old, &before->entry);

	/* Carried folders are in the new state by now, for the one above comes first. */
	if (above && !has_number(&settling->new->state, above))
		change->change.flags = FSMETA_CHANGE_INSIDE;
	settling->new->removed++;
}

static void settle_carried(
    struct settling *settling, const struct model_node *before, enum fate fate, bool is_topmost)
{
	struct fsmeta_entry was = model_entry(settling->model, settling->old->number, before);
	struct model_node *node = model_append(&settling->new->state, before);

	if (!node->entry.unknown_since)
		node->entry.unknown_since = settling->new->number;
	/* What was not asked for is carried without a word. */
	if (fate == EXCLUDED && is_topmost)
		add_change(settling->new, FSMETA_CHANGE_UNKNOWN, &was, NULL);
}

static void settle_unseen(struct settling *settling)
{
	const struct model_nodes *old = &settling->old->state;

	for (size_t i = 0; i < old->count; i++) {
		const struct model_node *before = &old->items[i];
		enum fate fate;
		size_t at;

		if (settling->pairs.of_old[i])
			continue;
		fate = fate_of(old, settling->new, &before->entry, &at);
		if (fate == GONE)
			settle_removed(settling, before);
		else
			settle_carried(settling, before, fate, at == before->entry.path_length);
	}
}

static void settle(struct model *model, struct model_generation *new)
{
	struct settling settling = {
	    .model = model, .old = &model->generations[new->number - 1], .new = new};
	size_t most = settling.old->state.count + 2 * new->view_count;

	new->changes = calloc(most + 1, sizeof(*new->changes));
	EXPECT(new->changes, "out of memory");
	find_pairs(model, &settling.pairs, &settling.old->state, new);
	settle_seen(&settling);
	settle_unseen(&settling);
	pairs_release(&settling.pairs);
	model_sort(&new->state);
	finish_changes(new);
	for (size_t i = 0; i < new->view_count; i++)
		if (new->view[i].fields & FSMETA_FIELD_DEVICE)
			new->view[i].device = new->devices[new->view[i].device];
}

/* ---- all together --------------------------------------------------------------------- */

void model_init(struct model *model, uint64_t seed, const struct model_options *options)
{
	*model = (struct model){.seed = seed,
	    .random_state = seed * 0x9E3779B97F4A7C15u,
	    .next_key = 1,
	    .next_number = 1};
	if (options)
		model->options = *options;
	if (!model->options.generations)
		model->options.generations = 20;
	if (!model->options.nodes)
		model->options.nodes = 100;
	if (!model->options.mutations)
		model->options.mutations = 30;
	model->generations = calloc(model->options.generations + 1, sizeof(*model->generations));
	EXPECT(model->generations, "out of memory");
	fsmeta_batch_source_init(&model->generations[0].source);
	model_create_world(model);
}

struct model_generation *model_next(struct model *model)
{
	struct model_generation *generation = &model->generations[++model->newest];

	EXPECT(model->newest <= model->options.generations, "the model is at its end");
	expect_context("seed %" PRIu64 ", generation %" PRIu64, model->seed, model->newest);
	generation->number = model->newest;
	fsmeta_batch_source_init(&generation->source);
	for (uint32_t i = 0; i < MODEL_FILESYSTEMS; i++)
		generation->devices[i] = UINT32_MAX;
	model_mutate(model);
	describe_scan(model, generation);
	scan(model, generation);
	settle(model, generation);
	return generation;
}

void model_release(struct model *model)
{
	for (uint64_t i = 0; i <= model->newest; i++) {
		struct model_generation *generation = &model->generations[i];

		free(generation->view);
		free(generation->state.items);
		free(generation->changes);
		fsmeta_batch_source_release(&generation->source);
	}
	free(model->generations);
	free(model->world.items);
	free(model->ids);
	fsmeta_arena_release(&model->arena);
	expect_context("%s", "");
}
