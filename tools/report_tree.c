/*
 * One pass over millions of entries keeps the few hundred places that hold most.
 *
 *     entries, depth first          open folders           heap of the largest
 *                                   (path so far)
 *     .                             .        9.1 TiB
 *     cam1                          cam1     2.2 TiB
 *     cam1/a.mp4    1.0 GiB   ──►   (added to the folder it is in)  ──►  cam1/a.mp4 ?
 *     cam2                          cam1 is left: its sum goes up,  ──►  cam1 ?
 *
 * A place is larger than another where it has more bytes, or as many and lies higher up.  So a
 * folder is never smaller than what it holds, and the largest places, however many, always
 * hang together as a tree.  What is not worth a rectangle (a thousandth of all) is dropped in the
 * end; that cuts off leaves only, for the same reason.
 *
 * Changes then come in the same order as the places, so the deepest place that holds a change
 * is the last one that is not behind it, or one of the folders above that.
 */
#include "tools/report_tree.h"

#include "base/path.h"

#include <stdlib.h>
#include <string.h>

enum {
	/** A place with less than this part of all bytes is not shown. */
	SMALLEST_PART = 1000,
};

static const char action[] = "looking for the largest folders";

/** A folder that is not left yet. */
struct open_folder {
	uint64_t bytes;
	uint64_t entries;
	uint64_t unknown_bytes;
};

struct fsmeta_report_tree {
	/** Nodes that are used, a heap with the smallest on top until finish, then in order. */
	struct fsmeta_report_node nodes[FSMETA_REPORT_NODES_MAX];
	size_t count;
	/** struct open_folder, one for each component of `path` and one for the root. */
	struct fsmeta_buffer folders;
	struct fsmeta_path_stack path;
	bool has_root;
	uint64_t unknown_entries;
	/** The last node that is not behind the newest change. */
	size_t at;
};

int fsmeta_report_tree_new(struct fsmeta_report_tree **out, struct fsmeta_error *error)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return fsmeta_error_set_memory(error, action);
	fsmeta_path_stack_init(&(*out)->path);
	return 0;
}

void fsmeta_report_tree_free(struct fsmeta_report_tree *tree)
{
	if (!tree)
		return;
	for (size_t i = 0; i < FSMETA_REPORT_NODES_MAX; i++)
		fsmeta_buffer_release(&tree->nodes[i].path);
	fsmeta_buffer_release(&tree->folders);
	fsmeta_path_stack_release(&tree->path);
	free(tree);
}

/** Sizes are what a stranger's file says; what is too much for a number is the greatest one. */
static void add_up(uint64_t *sum, uint64_t bytes)
{
	if (__builtin_add_overflow(*sum, bytes, sum))
		*sum = UINT64_MAX;
}

/* ---- the heap -------------------------------------------------------------------- */

static bool is_smaller(const struct fsmeta_report_node *a, const struct fsmeta_report_node *b)
{
	return a->bytes != b->bytes ? a->bytes < b->bytes : a->depth > b->depth;
}

static void swap_nodes(struct fsmeta_report_node *a, struct fsmeta_report_node *b)
{
	struct fsmeta_report_node node = *a;

	*a = *b;
	*b = node;
}

static void sift_up(struct fsmeta_report_node *nodes, size_t at)
{
	for (; at && is_smaller(&nodes[at], &nodes[(at - 1) / 2]); at = (at - 1) / 2)
		swap_nodes(&nodes[at], &nodes[(at - 1) / 2]);
}

static void sift_down(struct fsmeta_report_node *nodes, size_t count)
{
	size_t at = 0, below;

	while ((below = 2 * at + 1) < count) {
		if (below + 1 < count && is_smaller(&nodes[below + 1], &nodes[below]))
			below++;
		if (!is_smaller(&nodes[below], &nodes[at]))
			return;
		swap_nodes(&nodes[at], &nodes[below]);
		at = below;
	}
}

/** Keeps the place if it is among the largest so far. */
static int offer_node(struct fsmeta_report_tree *tree, const struct fsmeta_report_node *node,
    const char *path, size_t length, struct fsmeta_error *error)
{
	bool is_full = tree->count == FSMETA_REPORT_NODES_MAX;
	struct fsmeta_report_node *slot = &tree->nodes[is_full ? 0 : tree->count];
	struct fsmeta_buffer buffer = slot->path;

	if (is_full && !is_smaller(slot, node))
		return 0;
	fsmeta_buffer_clear(&buffer);
	if (fsmeta_buffer_append(&buffer, path, length)) {
		slot->path = buffer;
		return fsmeta_error_set_memory(error, action);
	}
	*slot = *node;
	slot->path = buffer;
	if (is_full)
		sift_down(tree->nodes, tree->count);
	else
		sift_up(tree->nodes, tree->count++);
	return 0;
}

/* ---- the walk -------------------------------------------------------------------- */

static struct open_folder *folder_at(struct fsmeta_report_tree *tree, uint32_t depth)
{
	return (struct open_folder *)(void *)tree->folders.data + depth;
}

/** Leaves the innermost folder: what it holds belongs to the one around it too. */
static int close_folder(struct fsmeta_report_tree *tree, struct fsmeta_error *error)
{
	uint32_t depth = tree->path.depth;
	const struct open_folder *folder = folder_at(tree, depth);
	const struct fsmeta_report_node node = {
	    .type = FSMETA_TYPE_FOLDER,
	    .depth = depth,
	    .bytes = folder->bytes,
	    .entries = folder->entries,
	    .unknown_bytes = folder->unknown_bytes,
	};
	size_t length;
	const char *path = fsmeta_path_stack_path(&tree->path, &length);
	int status = offer_node(tree, &node, path, length, error);

	if (depth) {
		struct open_folder *above = folder_at(tree, depth - 1);

		add_up(&above->bytes, folder->bytes);
		above->entries += folder->entries;
		add_up(&above->unknown_bytes, folder->unknown_bytes);
		fsmeta_path_stack_truncate(&tree->path, depth - 1);
	}
	tree->folders.length = depth * sizeof(struct open_folder);
	return status;
}

static int open_folder(
    struct fsmeta_report_tree *tree, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	static const struct open_folder empty;

	if (entry->depth && fsmeta_path_stack_push(&tree->path, entry->name, entry->name_length))
		return fsmeta_error_set_memory(error, action);
	if (fsmeta_buffer_append(&tree->folders, &empty, sizeof(empty)))
		return fsmeta_error_set_memory(error, action);
	return 0;
}

static int add_file(
    struct fsmeta_report_tree *tree, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	struct open_folder *folder = folder_at(tree, entry->depth - 1);
	const struct fsmeta_report_node node = {
	    .type = entry->type,
	    .depth = entry->depth,
	    .bytes = entry->size,
	    .unknown_bytes = entry->unknown_since ? entry->size : 0,
	};

	add_up(&folder->bytes, node.bytes);
	add_up(&folder->unknown_bytes, node.unknown_bytes);
	return offer_node(tree, &node, entry->path, entry->path_length, error);
}

int fsmeta_report_tree_entry(
    struct fsmeta_report_tree *tree, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	int status = 0;

	if (!entry->depth)
		tree->has_root = true;
	else if (!tree->has_root)
		return fsmeta_error_set(
		    error, FSMETA_E_INTERNAL, NULL, action, "the tree has no root");
	while (entry->depth && !status && tree->path.depth >= entry->depth)
		status = close_folder(tree, error);
	if (status)
		return status;
	tree->unknown_entries += entry->unknown_since != 0;
	if (entry->depth)
		folder_at(tree, entry->depth - 1)->entries++;
	if (entry->type == FSMETA_TYPE_FOLDER)
		return open_folder(tree, entry, error);
	return entry->type == FSMETA_TYPE_FILE && entry->depth ? add_file(tree, entry, error) : 0;
}

/* ---- what is left ---------------------------------------------------------------- */

static int compare_nodes(const void *a, const void *b)
{
	const struct fsmeta_buffer *left = &((const struct fsmeta_report_node *)a)->path;
	const struct fsmeta_buffer *right = &((const struct fsmeta_report_node *)b)->path;

	return fsmeta_path_compare(
	    (const char *)left->data, left->length, (const char *)right->data, right->length);
}

static bool holds(const struct fsmeta_report_node *node, const char *path, size_t length)
{
	return fsmeta_path_is_within(
	    path, length, (const char *)node->path.data, node->path.length);
}

static void link_nodes(struct fsmeta_report_tree *tree)
{
	struct fsmeta_report_node *nodes = tree->nodes;

	for (size_t i = 0; i < tree->count; i++) {
		uint32_t above = i ? (uint32_t)(i - 1) : FSMETA_REPORT_NODE_NONE;

		while (
		    above != FSMETA_REPORT_NODE_NONE &&
		    !holds(&nodes[above], (const char *)nodes[i].path.data, nodes[i].path.length))
			above = nodes[above].parent;
		nodes[i].parent = above;
	}
}

/** Drops what is too small to be seen; the root stays. */
static void drop_small(struct fsmeta_report_tree *tree, uint64_t bytes)
{
	size_t kept = 0;

	for (size_t i = 0; i < tree->count; i++)
		if (!tree->nodes[i].depth ||
		    (tree->nodes[i].bytes >= bytes / SMALLEST_PART && tree->nodes[i].bytes))
			swap_nodes(&tree->nodes[kept++], &tree->nodes[i]);
	tree->count = kept;
}

int fsmeta_report_tree_finish(struct fsmeta_report_tree *tree, struct fsmeta_error *error)
{
	uint64_t bytes = 0;
	int status = 0;

	while (!status && tree->folders.length) {
		bytes = folder_at(tree, tree->path.depth)->bytes;
		status = close_folder(tree, error);
	}
	if (status)
		return status;
	drop_small(tree, bytes);
	qsort(tree->nodes, tree->count, sizeof(tree->nodes[0]), compare_nodes);
	link_nodes(tree);
	return 0;
}

/* ---- changes --------------------------------------------------------------------- */

/** The deepest node that holds the path; paths come in canonical order. */
static struct fsmeta_report_node *find_node(
    struct fsmeta_report_tree *tree, const char *path, size_t length)
{
	struct fsmeta_report_node *nodes = tree->nodes;
	uint32_t at;

	while (tree->at + 1 < tree->count &&
	       fsmeta_path_compare((const char *)nodes[tree->at + 1].path.data,
		   nodes[tree->at + 1].path.length, path, length) <= 0)
		tree->at++;
	at = (uint32_t)tree->at;
	while (nodes[at].parent != FSMETA_REPORT_NODE_NONE && !holds(&nodes[at], path, length))
		at = nodes[at].parent;
	return &nodes[at];
}

void fsmeta_report_tree_change(struct fsmeta_report_tree *tree, const struct fsmeta_change *change)
{
	const struct fsmeta_entry *entry = fsmeta_change_entry(change);
	struct fsmeta_report_node *node;

	if (!tree->count)
		return;
	node = find_node(tree, entry->path, entry->path_length);
	node->changes[change->kind]++;
	if (entry->type == FSMETA_TYPE_FILE)
		add_up(&node->changed_bytes[change->kind], entry->size);
	/* What is in a folder that moved has no changes of its own. */
	if (change->kind == FSMETA_CHANGE_MOVED && entry->type == FSMETA_TYPE_FOLDER) {
		add_up(&node->changes[change->kind], change->entries);
		add_up(&node->changed_bytes[change->kind], change->bytes);
		if (node->path.length == entry->path_length)
			node->whole = change->kind;
	}
}

const struct fsmeta_report_node *fsmeta_report_tree_nodes(
    const struct fsmeta_report_tree *tree, size_t *count)
{
	*count = tree->count;
	return tree->nodes;
}

void fsmeta_report_tree_unknown(
    const struct fsmeta_report_tree *tree, uint64_t *entries, uint64_t *bytes)
{
	*entries = tree->unknown_entries;
	*bytes = tree->count ? tree->nodes[0].unknown_bytes : 0;
}
