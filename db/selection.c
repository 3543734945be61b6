/*
 * Selections.
 *
 * Table `change` tells the places whose entry came, went or changed, for each
 * generation.  Between A and B (A older) only places of generations A+1 … B can differ.
 * A place is a folder and a name in it, or a folder itself:
 *
 *     change                      tree of B             selection for B, by ord
 *     (5, cam1, "a.mp4")          .                     .        no files
 *     (5, cam1, "b.mp4")          ├─ cam1     ord 20    cam1     a.mp4, b.mp4
 *     (6, new, "")                │   └─ new  ord 25    cam1/new whole: since 6 > A
 *     (6, gone, "")               └─ cam2     ord 30
 *
 * From each folder the way up to the root is looked up once, through the positions
 * that are valid in that generation.  Where it ends elsewhere the folder is not in that
 * tree (`gone` was removed), and the place matters to the other side alone.  A folder
 * whose position does not hold in both generations came, went or moved, and has to be
 * read whole, since what came or went with it has no rows of its own.
 *
 * A folder above a place is read on both sides, or it would look like one that is gone.
 *
 * Two things are not in `change`.  What a scan could not look into is told by the diff
 * every time, with what is carried there, changed or not; so roots in `unknown` that
 * cover A or B are read whole.  And since when something is carried depends on the
 * generation: only below such roots does the diff care.
 *
 * A file whose metadata could not be read is told every time, too, and stands in no table:
 * its own row has the flag.  Totals say how many entries of a generation have it.  Where
 * as many folders of `unknown` have it, there is no such file, and so it is mostly; else
 * tables `file` and `file_past` are searched for rows with flags, which takes a fifth of
 * the time of reading all, and these are places as well.
 *
 * A root in `unknown` that is a file is found in the same way, by its id, for which files
 * have no index.
 *
 * Where this is not all, everything has to be read, on both sides:
 *
 *     schema 1                       there is no table `change`
 *     other field masks              a stored field may be seen by one side alone
 *     too many places                looking one up costs as much as reading READ_SHARE
 *                                    entries in order, and memory has a bound
 */
#include "db/selection.h"

#include "base/path.h"

#include <stdlib.h>
#include <string.h>

static const char action[] = "comparing generations";

enum {
	/** How many entries are read in order while one is looked up. */
	READ_SHARE = 16,
	/** So many places are always worth it … */
	PLACES_FEW = 4096,
	/** … and more never: about 10 MB. */
	PLACES_MAX = 100000,
};

/** Where a folder stands in a generation. */
struct position {
	bool exists;
	/** It came, went or moved between the two generations. */
	bool whole;
	int64_t ord;
	int64_t parent;
};

/** A folder on the way from a place to the root. */
struct node {
	int64_t folder;
	int64_t ord;
	/** In the other tree, which was looked up with this one. */
	struct position twin;
	/** Index of the node above; NONE above the root and where there is none. */
	uint32_t above;
	enum node_state {
		/** The way up is not known yet. */
		NODE_OPEN,
		NODE_ALIVE,
		NODE_DEAD,
	} state;
	bool whole;
};

enum {
	NONE = UINT32_MAX,
};

/** Nodes of one side, found by the folder's id through open addressing. */
struct tree {
	const struct fsmeta_connection *connection;
	/** All positions of a folder; the first tree's, *borrowed* by the second. */
	sqlite3_stmt *positions;
	/** The other side. */
	struct tree *twin;
	int64_t generation;
	struct node *nodes;
	uint32_t count;
	uint32_t capacity;
	/** Index + 1; 0 = free.  At least half of them are. */
	uint32_t *slots;
	uint32_t slot_count;
	/** Folders of `unknown` in this tree whose own row says that they are unreadable. */
	uint64_t unreadable;
};

/* ---- the tree of folders ------------------------------------------------- */

static uint32_t *find_slot(const struct tree *tree, int64_t folder)
{
	uint32_t at = (uint32_t)(((uint64_t)folder * 0x9e3779b97f4a7c15) >> 32);

	for (;; at++) {
		uint32_t *slot = &tree->slots[at & (tree->slot_count - 1)];

		if (!*slot || tree->nodes[*slot - 1].folder == folder)
			return slot;
	}
}

static int grow(struct tree *tree, struct fsmeta_error *error)
{
	uint32_t capacity = tree->capacity ? 2 * tree->capacity : 256;
	struct node *nodes;
	uint32_t *slots;

	if (tree->count < tree->capacity)
		return 0;
	nodes = reallocarray(tree->nodes, capacity, sizeof(*nodes));
	if (nodes)
		tree->nodes = nodes;
	slots = nodes ? calloc(2 * (size_t)capacity, sizeof(*slots)) : NULL;
	if (!slots)
		return fsmeta_error_set_memory(error, action);
	free(tree->slots);
	tree->slots = slots;
	tree->capacity = capacity;
	tree->slot_count = 2 * capacity;
	for (uint32_t i = 0; i < tree->count; i++)
		*find_slot(tree, tree->nodes[i].folder) = i + 1;
	return 0;
}

/** Takes a row of the folder's positions where it holds in one of the two generations. */
static void take_position(
    struct position *out, sqlite3_stmt *row, int64_t generation, int64_t other)
{
	int64_t since = sqlite3_column_int64(row, 2), until = INT64_MAX;

	if (sqlite3_column_type(row, 3) != SQLITE_NULL)
		until = sqlite3_column_int64(row, 3);
	if (since > generation || until <= generation)
		return;
	*out = (struct position){
	    .exists = true,
	    .whole = since > other || until <= other,
	    .ord = sqlite3_column_int64(row, 0),
	    .parent = sqlite3_column_int64(row, 1),
	};
}

/** Finds where the folder stands in this tree, and in the twin. */
static int find_positions(const struct tree *tree, int64_t folder, struct position *own,
    struct position *twin, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = tree->positions;
	int64_t generation = tree->generation, other = tree->twin->generation;
	int code;

	sqlite3_reset(statement);
	sqlite3_bind_int64(statement, 1, folder);
	while ((code = fsmeta_connection_step(tree->connection, statement, error)) > 0) {
		take_position(own, statement, generation, other);
		take_position(twin, statement, other, generation);
	}
	sqlite3_reset(statement);
	return code;
}

/** Fills the node from the folder's position in this generation; *parent 0 for the root. */
static int look_up(
    struct tree *tree, struct node *node, int64_t *parent, struct fsmeta_error *error)
{
	const struct tree *twin = tree->twin;
	const uint32_t *slot = twin->count ? find_slot(twin, node->folder) : NULL;
	struct position position = {0};
	int code = 0;

	if (slot && *slot)
		position = twin->nodes[*slot - 1].twin;
	else
		code = find_positions(tree, node->folder, &position, &node->twin, error);
	*parent = position.parent;
	node->ord = position.ord;
	node->whole = position.whole;
	node->state = !position.exists ? NODE_DEAD : *parent ? NODE_OPEN : NODE_ALIVE;
	return code;
}

/** Adds a node for the folder, or finds the one that there is; *parent as look_up(). */
static int add_node(
    struct tree *tree, int64_t folder, uint32_t *index, int64_t *parent, struct fsmeta_error *error)
{
	int code = grow(tree, error);
	uint32_t *slot;

	if (code)
		return code;
	*parent = 0;
	slot = find_slot(tree, folder);
	if (!*slot) {
		tree->nodes[tree->count++] = (struct node){.folder = folder, .above = NONE};
		*slot = tree->count;
		code = look_up(tree, &tree->nodes[tree->count - 1], parent, error);
	}
	*index = *slot - 1;
	return code;
}

/** Finds the folder's way to the root.  *index NONE where it is not in the tree. */
static int climb(struct tree *tree, int64_t folder, uint32_t *index, struct fsmeta_error *error)
{
	uint32_t first, top;
	int64_t parent;
	enum node_state state;
	int code = add_node(tree, folder, &first, &parent, error);

	if (code)
		return code;
	top = first;
	for (uint32_t depth = 0; parent && depth <= FSMETA_DEPTH_MAX; depth++) {
		uint32_t above;

		code = add_node(tree, parent, &above, &parent, error);
		if (code)
			return code;
		tree->nodes[top].above = above;
		top = above;
	}
	/* In a crafted file the way may have no end, or lead to where it came from. */
	state = tree->nodes[top].state == NODE_ALIVE ? NODE_ALIVE : NODE_DEAD;
	for (uint32_t at = first; at != NONE && tree->nodes[at].state == NODE_OPEN;
	     at = tree->nodes[at].above)
		tree->nodes[at].state = state;
	*index = tree->nodes[first].state == NODE_ALIVE ? first : NONE;
	return 0;
}

static int trees_init(struct tree trees[2], const struct fsmeta_connection *connection,
    const struct fsmeta_db_generation *const generations[2], struct fsmeta_error *error)
{
	int code = fsmeta_connection_prepare(&trees[0].positions, connection,
	    "SELECT ord, parent, since, until FROM folder_position WHERE folder = ?1", error);

	for (int side = 0; side < 2; side++)
		trees[side] = (struct tree){.connection = connection,
		    .positions = trees[0].positions,
		    .twin = &trees[1 - side],
		    .generation = (int64_t)generations[side]->number};
	return code;
}

static void trees_release(struct tree trees[2])
{
	sqlite3_finalize(trees[0].positions);
	for (int side = 0; side < 2; side++) {
		free(trees[side].nodes);
		free(trees[side].slots);
	}
}

/* ---- places --------------------------------------------------------------- */

/** More places than it would pay to look up. */
static size_t most_places(const struct fsmeta_db_generation *const generations[2])
{
	uint64_t entries = generations[0]->source.totals.entries / READ_SHARE +
			   generations[1]->source.totals.entries / READ_SHARE;

	if (entries > PLACES_MAX)
		return PLACES_MAX;
	return entries < PLACES_FEW ? PLACES_FEW : (size_t)entries;
}

static int add_name(struct fsmeta_difference *difference, sqlite3_stmt *row, size_t *capacity,
    struct fsmeta_error *error)
{
	const char *name = sqlite3_column_blob(row, 1);
	size_t length = (size_t)sqlite3_column_bytes(row, 1);
	struct fsmeta_selected_name *added;

	if (difference->name_count == *capacity) {
		size_t wanted = *capacity ? 2 * *capacity : 256;
		struct fsmeta_selected_name *grown =
		    reallocarray(difference->names, wanted, sizeof(*grown));

		if (!grown)
			return fsmeta_error_set_memory(error, action);
		difference->names = grown;
		*capacity = wanted;
	}
	added = &difference->names[difference->name_count++];
	added->folder = sqlite3_column_int64(row, 0);
	added->length = length;
	added->name = fsmeta_arena_copy(&difference->arena, length ? name : "", length);
	return added->name ? 0 : fsmeta_error_set_memory(error, action);
}

static int compare_names(const void *left, const void *right)
{
	const struct fsmeta_selected_name *a = left, *b = right;

	if (a->folder != b->folder)
		return a->folder < b->folder ? -1 : 1;
	return fsmeta_name_compare(a->name, a->length, b->name, b->length);
}

/** A place that changed several times has several rows. */
static void sort_names(struct fsmeta_difference *difference)
{
	size_t kept = 0;

	if (difference->name_count)
		qsort(difference->names, difference->name_count, sizeof(*difference->names),
		    compare_names);
	for (size_t i = 0; i < difference->name_count; i++)
		if (!kept ||
		    compare_names(&difference->names[kept - 1], &difference->names[i]) != 0)
			difference->names[kept++] = difference->names[i];
	difference->name_count = kept;
}

/**
 * Adds the places that the query yields for the two generations, ?1 the older one; *worth
 * false where there are too many.
 */
static int load_names(struct fsmeta_difference *difference,
    const struct fsmeta_connection *connection,
    const struct fsmeta_db_generation *const generations[2], const char *sql, bool *worth,
    struct fsmeta_error *error)
{
	uint64_t a = generations[0]->number, b = generations[1]->number;
	size_t most = most_places(generations), capacity = difference->name_count;
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_connection_prepare(&statement, connection, sql, error);

	if (!code) {
		sqlite3_bind_int64(statement, 1, (int64_t)(a < b ? a : b));
		sqlite3_bind_int64(statement, 2, (int64_t)(a < b ? b : a));
	}
	while (
	    !code && *worth && (code = fsmeta_connection_step(connection, statement, error)) > 0) {
		code = add_name(difference, statement, &capacity, error);
		*worth = difference->name_count <= most;
	}
	sqlite3_finalize(statement);
	/* The last name may be none where memory is out. */
	if (!code)
		sort_names(difference);
	return code;
}

static const char select_changes[] =
    "SELECT folder, name FROM change WHERE generation > ?1 AND generation <= ?2";

/* By id, which files have no index for. */
#define UNKNOWN_IDS                                                               \
	"(SELECT root FROM unknown WHERE (since <= ?1 AND ifnull(until > ?1, 1))" \
	" OR (since <= ?2 AND ifnull(until > ?2, 1)))"
static const char select_unknown_files[] =
    "SELECT parent, name FROM file WHERE id IN " UNKNOWN_IDS
    " UNION ALL SELECT parent, name FROM file_past WHERE id IN " UNKNOWN_IDS;

/* A little too much: other flags, too, and generations between the two. */
static const char select_flagged[] =
    "SELECT parent, name FROM file WHERE extra IS NOT NULL"
    " AND instr(extra, '\"flags\"') AND since <= ?2"
    " UNION ALL SELECT parent, name FROM file_past WHERE extra IS NOT NULL"
    " AND instr(extra, '\"flags\"') AND since <= ?2 AND until > ?1";

/** Counts the folder where its row in this tree's generation says that it is unreadable. */
static int count_unreadable(
    struct tree *tree, sqlite3_stmt *statement, int64_t folder, struct fsmeta_error *error)
{
	int code;

	sqlite3_bind_int64(statement, 1, folder);
	sqlite3_bind_int64(statement, 2, tree->generation);
	code = fsmeta_connection_step(tree->connection, statement, error);
	if (code > 0)
		tree->unreadable += sqlite3_column_int(statement, 0) != 0;
	sqlite3_reset(statement);
	return code < 0 ? code : 0;
}

/**
 * Reads whole what either generation does not know; counts what is unreadable there.  Sets
 * *has_files where some of it is no folder.
 */
static int add_unknown(struct tree trees[2], bool *has_files, struct fsmeta_error *error)
{
	const struct fsmeta_connection *connection = trees[0].connection;
	sqlite3_stmt *statement = NULL, *flags = NULL;
	int code = fsmeta_connection_prepare(&statement, connection,
	    "SELECT DISTINCT u.root, f.id IS NOT NULL FROM unknown u"
	    " LEFT JOIN folder f ON f.id = u.root"
	    " WHERE (u.since <= ?1 AND ifnull(until > ?1, 1))"
	    " OR (u.since <= ?2 AND ifnull(until > ?2, 1))",
	    error);

	if (!code)
		code = fsmeta_connection_prepare(&flags, connection,
		    "SELECT json_valid(extra) AND extra ->> '$.flags' & 1 FROM"
		    " (SELECT extra, since FROM folder WHERE id = ?1 UNION ALL"
		    "  SELECT extra, since FROM folder_past WHERE id = ?1 AND until > ?2)"
		    " WHERE since <= ?2",
		    error);
	if (!code) {
		sqlite3_bind_int64(statement, 1, trees[0].generation);
		sqlite3_bind_int64(statement, 2, trees[1].generation);
	}
	while (!code && (code = fsmeta_connection_step(connection, statement, error)) > 0) {
		int64_t root = sqlite3_column_int64(statement, 0);
		bool is_folder = sqlite3_column_int(statement, 1) != 0;

		code = 0;
		*has_files |= !is_folder;
		for (int side = 0; side < 2 && !code && is_folder; side++) {
			uint32_t index;

			code = climb(&trees[side], root, &index, error);
			if (code || index == NONE)
				continue;
			trees[side].nodes[index].whole = true;
			code = count_unreadable(&trees[side], flags, root, error);
		}
	}
	sqlite3_finalize(statement);
	sqlite3_finalize(flags);
	return code;
}

/* ---- the selection --------------------------------------------------------- */

static int compare_folders(const void *left, const void *right)
{
	const struct fsmeta_selected_folder *a = left, *b = right;

	return (a->ord > b->ord) - (a->ord < b->ord);
}

/** The names in one folder; the folder's own, which is empty, is left out. */
static void find_names(
    const struct fsmeta_difference *difference, struct fsmeta_selected_folder *selected)
{
	size_t low = 0, high = difference->name_count, first;
	const struct fsmeta_selected_name *names = difference->names;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (names[middle].folder < selected->folder ||
		    (names[middle].folder == selected->folder && !names[middle].length))
			low = middle + 1;
		else
			high = middle;
	}
	first = low;
	while (low < difference->name_count && names[low].folder == selected->folder)
		low++;
	/* Where there are no names at all there is nothing to point into. */
	selected->name_count = low - first;
	selected->names = selected->name_count ? names + first : NULL;
}

static int select_folders(struct fsmeta_selection *selection,
    const struct fsmeta_difference *difference, const struct tree *tree, struct fsmeta_error *error)
{
	selection->folders = calloc(tree->count ? tree->count : 1, sizeof(*selection->folders));
	if (!selection->folders)
		return fsmeta_error_set_memory(error, action);
	for (uint32_t i = 0; i < tree->count; i++) {
		const struct node *node = &tree->nodes[i];
		struct fsmeta_selected_folder *selected = &selection->folders[selection->count];

		if (node->state != NODE_ALIVE)
			continue;
		*selected = (struct fsmeta_selected_folder){
		    .ord = node->ord, .folder = node->folder, .whole = node->whole};
		if (!node->whole)
			find_names(difference, selected);
		selection->count++;
	}
	qsort(selection->folders, selection->count, sizeof(*selection->folders), compare_folders);
	return 0;
}

/** The root is read in any case: a tree begins with it. */
static int add_root(struct tree *tree, struct fsmeta_error *error)
{
	int64_t root;
	uint32_t index;
	int code = fsmeta_connection_integer(&root, tree->connection,
	    "SELECT folder FROM folder_position WHERE parent = 0 LIMIT 1", 0, error);

	return code ? code : climb(tree, root, &index, error);
}

static int climb_all(
    const struct fsmeta_difference *difference, struct tree *tree, struct fsmeta_error *error)
{
	int code = add_root(tree, error);

	for (size_t i = 0; i < difference->name_count && !code; i++) {
		uint32_t index;

		if (!i || difference->names[i].folder != difference->names[i - 1].folder)
			code = climb(tree, difference->names[i].folder, &index, error);
	}
	return code;
}

/**
 * Folders above a place are read on both sides, also where the place itself is on one
 * side alone.
 */
static int climb_other(struct tree *tree, const struct tree *other, struct fsmeta_error *error)
{
	int code = 0;

	for (uint32_t i = 0; i < other->count && !code; i++) {
		uint32_t index;

		if (other->nodes[i].state == NODE_ALIVE)
			code = climb(tree, other->nodes[i].folder, &index, error);
	}
	return code;
}

/** Adds what the query yields, and the folders above. */
static int add_files(struct fsmeta_difference *difference, struct tree trees[2],
    const struct fsmeta_db_generation *const generations[2], const char *sql, bool *known,
    struct fsmeta_error *error)
{
	int code = load_names(difference, trees[0].connection, generations, sql, known, error);

	for (int side = 0; side < 2 && *known && !code; side++)
		code = climb_all(difference, &trees[side], error);
	return code;
}

/** Not as many entries of the generation are unreadable as folders of `unknown`. */
static bool has_unreadable_files(
    const struct tree *tree, const struct fsmeta_db_generation *generation)
{
	return tree->unreadable != generation->source.totals.unreadable;
}

/** All but the selections: what is read of the two trees. */
static int grow_trees(struct fsmeta_difference *difference, struct tree trees[2],
    const struct fsmeta_db_generation *const generations[2], bool *known,
    struct fsmeta_error *error)
{
	bool has_files = false;
	int code = add_files(difference, trees, generations, select_changes, known, error);

	if (*known && !code)
		code = add_unknown(trees, &has_files, error);
	if (*known && !code && has_files)
		code =
		    add_files(difference, trees, generations, select_unknown_files, known, error);
	if (*known && !code &&
	    (has_unreadable_files(&trees[0], generations[0]) ||
		has_unreadable_files(&trees[1], generations[1])))
		code = add_files(difference, trees, generations, select_flagged, known, error);
	for (int side = 0; side < 2 && *known && !code; side++)
		code = climb_other(&trees[side], &trees[1 - side], error);
	return code;
}

int fsmeta_difference_init(struct fsmeta_difference *out,
    const struct fsmeta_connection *connection,
    const struct fsmeta_db_generation *const generations[2], struct fsmeta_error *error)
{
	struct tree trees[2] = {0};
	bool known = connection->schema_version >= 2 &&
		     generations[0]->source.field_mask == generations[1]->source.field_mask;
	int code = 0;

	*out = (struct fsmeta_difference){0};
	if (known)
		code = trees_init(trees, connection, generations, error);
	if (known && !code)
		code = grow_trees(out, trees, generations, &known, error);
	for (int side = 0; side < 2 && known && !code; side++)
		code = select_folders(&out->sides[side], out, &trees[side], error);
	trees_release(trees);
	if (code)
		fsmeta_difference_release(out);
	else
		out->is_known = known;
	return code;
}

void fsmeta_difference_release(struct fsmeta_difference *difference)
{
	free(difference->sides[0].folders);
	free(difference->sides[1].folders);
	free(difference->names);
	fsmeta_arena_release(&difference->arena);
	*difference = (struct fsmeta_difference){0};
}
