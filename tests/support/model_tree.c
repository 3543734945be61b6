/*
 * The world of the model: a sorted array of nodes, and what may happen to it.
 *
 * A folder's descendants follow it directly in canonical order, so that a tree is a
 * range of the array.  Whatever happens edits the array and sorts it again.
 */
#include "tests/support/model_tree.h"

#include "base/path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	/** Folders with longer paths get no more children. */
	PATH_LONG = 150,
	/** No rename makes a path longer than this. */
	PATH_ROOM = 500,
};

/* ---- nodes ---------------------------------------------------------------- */

void model_set_path(struct fsmeta_entry *entry, const char *path, size_t length)
{
	entry->path = path;
	entry->path_length = length;
	entry->depth = fsmeta_path_depth(path, length);
	entry->name = path + fsmeta_path_name_offset(path, length);
	entry->name_length = length - (size_t)(entry->name - path);
}

struct model_node *model_append(struct model_nodes *nodes, const struct model_node *node)
{
	if (nodes->count == nodes->capacity) {
		nodes->capacity = nodes->capacity ? 2 * nodes->capacity : 64;
		nodes->items = reallocarray(nodes->items, nodes->capacity, sizeof(*nodes->items));
		EXPECT(nodes->items, "out of memory");
	}
	nodes->items[nodes->count] = *node;
	return &nodes->items[nodes->count++];
}

static int compare_nodes(const void *left, const void *right)
{
	const struct model_node *a = left, *b = right;

	return fsmeta_path_compare(
	    a->entry.path, a->entry.path_length, b->entry.path, b->entry.path_length);
}

void model_sort(struct model_nodes *nodes)
{
	if (nodes->count)
		qsort(nodes->items, nodes->count, sizeof(*nodes->items), compare_nodes);
}

struct model_node *model_find(const struct model_nodes *nodes, const char *path, size_t length)
{
	const struct model_node key = {.entry = {.path = path, .path_length = length}};

	return nodes->count ? bsearch(&key, nodes->items, nodes->count, sizeof(key), compare_nodes)
			    : NULL;
}

static bool is_within(const struct fsmeta_entry *entry, const struct fsmeta_entry *folder)
{
	return fsmeta_path_is_within(
	    entry->path, entry->path_length, folder->path, folder->path_length);
}

size_t model_end_of(const struct model_nodes *nodes, size_t at)
{
	size_t end = at + 1;

	while (end < nodes->count && is_within(&nodes->items[end].entry, &nodes->items[at].entry))
		end++;
	return end;
}

size_t model_parent_length(const struct fsmeta_entry *entry)
{
	size_t name = fsmeta_path_name_offset(entry->path, entry->path_length);

	return name ? name - 1 : 0;
}

/* ---- chance ----------------------------------------------------------------- */

/* splitmix64 (Vigna, public domain). */
uint64_t model_random(struct model *model, uint64_t limit)
{
	uint64_t z = (model->random_state += 0x9E3779B97F4A7C15u);

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return (z ^ (z >> 31)) % limit;
}

static bool one_in(struct model *model, uint64_t limit)
{
	return model_random(model, limit) == 0;
}

/** Few, so that the same places are used again and again. */
static const char *const names[] = {"a", "b", "c", "a!", "a.mp4", "\xff\xfe", "\x01", "Z", "zz",
    "nine \"quotes\"", "line\nbreak", "0", "k", "m"};

const char *model_random_name(struct model *model)
{
	return names[model_random(model, sizeof(names) / sizeof(names[0]))];
}

const char *model_random_place(struct model *model)
{
	const struct model_nodes *world = &model->world;
	const struct model_node *folder = &world->items[model_random(model, world->count)];
	char path[PATH_ROOM];

	if (folder->entry.type != FSMETA_TYPE_FOLDER || folder->entry.path_length > PATH_LONG)
		return NULL;
	snprintf(path, sizeof(path), "%s%s%s", folder->entry.path,
	    folder->entry.path_length ? "/" : "", model_random_name(model));
	if (model_find(world, path, strlen(path)))
		return NULL;
	return fsmeta_arena_copy(&model->arena, path, strlen(path));
}

static struct fsmeta_time random_time(struct model *model)
{
	static const int64_t odd[] = {-1, 0, INT64_MIN, INT64_MAX, -10000000000, 10000000000,
	    9223372036, -9223372037, 9223372037};
	uint32_t nanoseconds = (uint32_t)model_random(model, 1000000000);

	if (one_in(model, 6))
		return (struct fsmeta_time){odd[model_random(model, 9)], nanoseconds};
	return (struct fsmeta_time){1700000000 + (int64_t)model_random(model, 1000), nanoseconds};
}

static uint64_t random_size(struct model *model)
{
	static const uint64_t odd[] = {0, 1, 4095, 4096, 4097, (uint64_t)3 << 40, INT64_MAX,
	    (uint64_t)INT64_MAX + 1, UINT64_MAX, INT64_MAX - 4095, INT64_MAX - 4096};

	return one_in(model, 4) ? odd[model_random(model, 11)] : model_random(model, 100000);
}

static void randomise_content(struct model *model, struct fsmeta_entry *entry)
{
	/* Sums of sizes wrap around, as they must on both sides. */
	entry->size = random_size(model);
	entry->allocated =
	    one_in(model, 3) ? random_size(model) : (entry->size + 4095) / 4096 * 4096;
	entry->mtime = random_time(model);
	entry->ctime = one_in(model, 2) ? random_time(model) : entry->mtime;
	entry->btime = one_in(model, 2) ? random_time(model) : entry->ctime;
}

static void randomise_owner(struct model *model, struct fsmeta_entry *entry)
{
	entry->mode = one_in(model, 4) ? (uint32_t)model_random(model, 010000) : 0644;
	entry->uid = one_in(model, 4) ? (uint32_t)model_random(model, UINT32_MAX) : 1000;
	entry->gid = one_in(model, 4) ? 4 : 100;
}

static void randomise_hash(struct model *model, struct fsmeta_entry *entry)
{
	entry->fields &= ~(uint32_t)FSMETA_FIELD_HASH;
	entry->hash_algorithm = FSMETA_HASH_NONE;
	memset(entry->hash, 0, sizeof(entry->hash));
	if (entry->type != FSMETA_TYPE_FILE || !one_in(model, 3))
		return;
	entry->fields |= FSMETA_FIELD_HASH;
	entry->hash_algorithm = one_in(model, 2) ? FSMETA_HASH_XXH3 : FSMETA_HASH_SHA256;
	for (size_t i = 0; i < fsmeta_hash_bytes(entry->hash_algorithm); i++)
		entry->hash[i] = (unsigned char)model_random(model, 256);
}

static void randomise_all(struct model *model, struct fsmeta_entry *entry)
{
	static const char *const targets[] = {"", "x", "../somewhere/\xff\n", "a/b/c"};

	entry->fields = FSMETA_FIELDS_ALL & fsmeta_fields_of_type(entry->type);
	entry->flags = entry->type == FSMETA_TYPE_FOLDER && one_in(model, 20)
			   ? FSMETA_FLAG_CHANGED_WHILE_READ
			   : 0;
	randomise_content(model, entry);
	randomise_owner(model, entry);
	randomise_hash(model, entry);
	entry->device = (uint32_t)model_random(model, MODEL_FILESYSTEMS);
	entry->inode =
	    one_in(model, 5) ? UINT64_MAX - model_random(model, 9) : model_random(model, 100000);
	entry->nlink = one_in(model, 9) ? random_size(model) : 1;
	if (entry->fields & FSMETA_FIELD_TARGET) {
		entry->target = targets[model_random(model, 4)];
		entry->target_length = strlen(entry->target);
	}
	if (entry->fields & FSMETA_FIELD_RDEV) {
		entry->rdev_major = (uint32_t)model_random(model, UINT32_MAX);
		entry->rdev_minor = (uint32_t)model_random(model, 300);
	}
	if (one_in(model, 20))
		entry->fields &= ~(uint32_t)(FSMETA_FIELD_BTIME | FSMETA_FIELD_MTIME);
}

static enum fsmeta_type random_type(struct model *model)
{
	uint64_t dice = model_random(model, 10);

	if (dice < 4)
		return FSMETA_TYPE_FOLDER;
	return dice < 8 ? FSMETA_TYPE_FILE : (enum fsmeta_type)(3 + model_random(model, 5));
}

/* ---- what happens to the world --------------------------------------------- */

static void create(struct model *model, const char *path, enum fsmeta_type type)
{
	struct model_node node = {.key = model->next_key++};

	node.entry.type = type;
	model_set_path(&node.entry, path, strlen(path));
	randomise_all(model, &node.entry);
	model_append(&model->world, &node);
	model_sort(&model->world);
}

void model_create_world(struct model *model)
{
	create(model, "", FSMETA_TYPE_FOLDER);
}

static bool is_full(const struct model *model)
{
	return model->world.count >= model->options.nodes;
}

static void add(struct model *model)
{
	const char *path = is_full(model) ? NULL : model_random_place(model);

	if (path)
		create(model, path, random_type(model));
}

/** A folder with a few entries, some of them folders with entries. */
static void add_tree(struct model *model)
{
	const char *path = is_full(model) ? NULL : model_random_place(model);
	size_t tries = 3 + model_random(model, 12);

	if (!path)
		return;
	create(model, path, FSMETA_TYPE_FOLDER);
	for (; tries; tries--) {
		struct model_node *root = model_find(&model->world, path, strlen(path));
		size_t at = (size_t)(root - model->world.items);
		size_t end = model_end_of(&model->world, at);
		struct model_node *folder = &model->world.items[at + model_random(model, end - at)];
		char child[PATH_ROOM];

		if (folder->entry.type != FSMETA_TYPE_FOLDER ||
		    folder->entry.path_length > PATH_LONG)
			continue;
		snprintf(
		    child, sizeof(child), "%s/%s", folder->entry.path, model_random_name(model));
		if (!model_find(&model->world, child, strlen(child)))
			create(model, fsmeta_arena_copy(&model->arena, child, strlen(child)),
			    random_type(model));
	}
}

/** Anything but the root; 0 where there is nothing. */
static size_t random_victim(struct model *model)
{
	return model->world.count > 1 ? 1 + model_random(model, model->world.count - 1) : 0;
}

static void delete_at(struct model *model, size_t at)
{
	struct model_nodes *world = &model->world;
	size_t end = model_end_of(world, at);

	memmove(
	    &world->items[at], &world->items[end], (world->count - end) * sizeof(*world->items));
	world->count -= end - at;
}

static void delete (struct model *model)
{
	size_t at = random_victim(model);

	if (at)
		delete_at(model, at);
}

/** Something of another type at the same place, or the same again. */
static void replace(struct model *model)
{
	size_t at = random_victim(model);
	const char *path;

	if (!at)
		return;
	path = model->world.items[at].entry.path;
	delete_at(model, at);
	create(model, path, random_type(model));
}

static void modify(struct model *model)
{
	struct model_node *node = &model->world.items[model_random(model, model->world.count)];

	switch (model_random(model, 5)) {
	case 0:
		randomise_all(model, &node->entry);
		break;
	case 1:
		randomise_owner(model, &node->entry);
		break;
	case 2:
		node->entry.mode ^= 0111;
		break;
	case 3:
		randomise_hash(model, &node->entry);
		break;
	default:
		randomise_content(model, &node->entry);
	}
}

/** Gives items[at] and what is below it another place; the order is lost. */
static void give_place(struct model *model, size_t at, size_t end, const char *to)
{
	struct model_node *items = model->world.items;
	size_t length = items[at].entry.path_length;

	for (size_t i = at; i < end; i++) {
		struct fsmeta_entry *entry = &items[i].entry;
		char path[2 * PATH_ROOM];
		int moved = snprintf(path, sizeof(path), "%s%s", to, entry->path + length);

		model_set_path(
		    entry, fsmeta_arena_copy(&model->arena, path, (size_t)moved), (size_t)moved);
	}
}

/** Whether it would be too long a path where the tree is put at `to`. */
static bool is_too_long(const struct model *model, size_t at, size_t end, const char *to)
{
	const struct model_node *items = model->world.items;

	for (size_t i = at; i < end; i++)
		if (strlen(to) + items[i].entry.path_length - items[at].entry.path_length >=
		    PATH_ROOM)
			return true;
	return false;
}

static void move(struct model *model)
{
	size_t at = random_victim(model), end;
	const char *to = model_random_place(model);
	const struct fsmeta_entry *entry = &model->world.items[at].entry;

	if (!at || !to)
		return;
	end = model_end_of(&model->world, at);
	if (fsmeta_path_is_within(to, strlen(to), entry->path, entry->path_length) ||
	    is_too_long(model, at, end, to))
		return;
	give_place(model, at, end, to);
	model_sort(&model->world);
}

/** Two change places: each arrives where the other still is. */
static void swap(struct model *model)
{
	size_t a = random_victim(model), b = random_victim(model), a_end, b_end;
	const char *path_a = model->world.items[a].entry.path;
	const char *path_b = model->world.items[b].entry.path;

	if (!a || !b)
		return;
	a_end = model_end_of(&model->world, a);
	b_end = model_end_of(&model->world, b);
	if ((a < b_end && b < a_end) || is_too_long(model, a, a_end, path_b) ||
	    is_too_long(model, b, b_end, path_a))
		return;
	give_place(model, a, a_end, path_b);
	give_place(model, b, b_end, path_a);
	model_sort(&model->world);
}

static void hide(struct model *model)
{
	static const enum model_hiding ways[] = {
	    MODEL_UNREADABLE, MODEL_NOT_ENTERED, MODEL_NO_METADATA, MODEL_BROKEN};
	struct model_node *node = &model->world.items[model_random(model, model->world.count)];
	size_t count = model->options.broken_listings ? 4 : 3;

	if (node->entry.type != FSMETA_TYPE_FOLDER)
		node->hiding = MODEL_NO_METADATA;
	else if (node->entry.depth)
		node->hiding = ways[model_random(model, count)];
	else if (one_in(model, 4))
		node->hiding = MODEL_UNREADABLE;
}

static void show(struct model *model)
{
	model->world.items[model_random(model, model->world.count)].hiding = MODEL_OPEN;
}

static void mutate_visibly(struct model *model)
{
	switch (model_random(model, 16)) {
	case 0:
	case 1:
		delete (model);
		break;
	case 2:
	case 3:
	case 4:
		modify(model);
		break;
	case 5:
	case 6:
		replace(model);
		break;
	case 7:
	case 8:
		move(model);
		break;
	case 9:
		swap(model);
		break;
	case 10:
		add_tree(model);
		break;
	default:
		add(model);
	}
}

void model_mutate(struct model *model)
{
	size_t steps = 1 + model_random(model, model->options.mutations);

	if (!model->options.sees_all) {
		for (uint64_t i = model_random(model, 3); i; i--)
			hide(model);
		for (uint64_t i = model_random(model, 10); i; i--)
			show(model);
	}
	/* What goes takes along what lies below it, so more has to come. */
	for (size_t i = 0; i < 8 && model->world.count < model->options.nodes / 2; i++)
		add_tree(model);
	for (; steps; steps--)
		mutate_visibly(model);
}
