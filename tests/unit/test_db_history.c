/*
 * Histories: random trees over twenty generations, kept as plain listings aside.
 *
 * The model is an array of nodes in canonical order.  A node's key is its identity
 * for ever, as an id is in the database, so the changes between two listings can
 * be told naively: a key on one side alone was added or removed, one with another
 * path was moved, and so on.  After every generation all generations are read back
 * and must equal their listings, with equal digests and totals.
 */
#include "base/path.h"
#include "db/db.h"
#include "diff/diff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	GENERATIONS = 20,
	SEEDS = 25,
	NODES_MAX = 600,
	FILESYSTEMS = 3,
	PATH_ROOM = 400,
	/** Folders with longer paths get no more children. */
	PATH_LONG = 150,
	SUBTREES_MAX = 3,
};

static struct fsmeta_error error;

#define assert_ok(code)                                                                            \
	do {                                                                                       \
		int code_ = (code);                                                                \
		if (code_)                                                                         \
			fail_msg(                                                                  \
			    "code %d: %s: %s: %s", code_, error.path, error.action, error.reason); \
	} while (0)

/* ---- the model ----------------------------------------------------------- */

struct node {
	char path[PATH_ROOM];
	uint64_t key;
	/** As it is in the tree; device is the number of a file system. */
	struct fsmeta_entry now;
	/** As it was last stored. */
	struct fsmeta_entry stored;
	uint64_t unknown_since;
	/** The scan is told to leave it out. */
	bool excluded;
};

struct listing {
	struct node nodes[NODES_MAX];
	size_t count;
	uint32_t mask;
	/** What the scan was asked for; none = everything. */
	char subtrees[SUBTREES_MAX][PATH_ROOM];
	size_t subtree_count;
};

static struct listing history[GENERATIONS + 1];
static uint64_t random_state;
static uint64_t next_key;
/** Id of each key, as the database gave it. */
static uint64_t ids[100000];

/** What is read was imported from another database. */
static bool adopted;

static uint64_t random_number(uint64_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % limit;
}

static void set_path(struct fsmeta_entry *entry, const char *path)
{
	entry->path = path;
	entry->path_length = strlen(path);
	entry->depth = fsmeta_path_depth(path, entry->path_length);
	entry->name = path + fsmeta_path_name_offset(path, entry->path_length);
	entry->name_length = strlen(entry->name);
}

static int compare_nodes(const void *left, const void *right)
{
	const struct node *a = left, *b = right;

	return fsmeta_path_compare(a->path, strlen(a->path), b->path, strlen(b->path));
}

static struct fsmeta_time random_time(void)
{
	static const int64_t odd[] = {-1, 0, INT64_MIN, INT64_MAX, -10000000000, 10000000000,
	    9223372036, -9223372037, 9223372037};

	if (random_number(6) == 0)
		return (struct fsmeta_time){
		    odd[random_number(9)], (uint32_t)random_number(1000000000)};
	return (struct fsmeta_time){
	    1700000000 + (int64_t)random_number(1000), (uint32_t)random_number(1000000000)};
}

static uint64_t random_size(void)
{
	static const uint64_t odd[] = {0, 1, 4095, 4096, 4097, (uint64_t)3 << 40, INT64_MAX,
	    (uint64_t)INT64_MAX + 1, UINT64_MAX, INT64_MAX - 4095, INT64_MAX - 4096};

	return random_number(4) ? random_number(100000) : odd[random_number(11)];
}

static void random_metadata(struct fsmeta_entry *entry)
{
	static const char *const targets[] = {"", "x", "../somewhere/\xff\n", "a/b/c"};

	entry->fields = FSMETA_FIELDS_ALL & fsmeta_fields_of_type(entry->type);
	/* Sums of sizes wrap around, as they must on both sides. */
	entry->size = random_size();
	entry->allocated = random_number(3) ? (entry->size + 4095) / 4096 * 4096 : random_size();
	entry->mtime = random_time();
	entry->ctime = random_number(2) ? entry->mtime : random_time();
	entry->btime = random_number(2) ? entry->ctime : random_time();
	entry->mode = random_number(4) ? 0644 : (uint32_t)random_number(010000);
	entry->uid = random_number(4) ? 1000 : (uint32_t)random_number(UINT32_MAX);
	entry->gid = 100;
	entry->device = (uint32_t)random_number(FILESYSTEMS);
	entry->inode = random_number(5) ? random_number(100000) : UINT64_MAX - random_number(9);
	entry->nlink = random_number(9) ? 1 : random_size();
	if (entry->fields & FSMETA_FIELD_TARGET) {
		entry->target = targets[random_number(4)];
		entry->target_length = strlen(entry->target);
	}
	if (entry->fields & FSMETA_FIELD_RDEV) {
		entry->rdev_major = (uint32_t)random_number(UINT32_MAX);
		entry->rdev_minor = (uint32_t)random_number(300);
	}
	if (entry->type == FSMETA_TYPE_FILE && random_number(3) == 0) {
		entry->fields |= FSMETA_FIELD_HASH;
		entry->hash_algorithm = random_number(2) ? FSMETA_HASH_XXH3 : FSMETA_HASH_SHA256;
		memset(entry->hash, 0, sizeof(entry->hash));
		for (size_t i = 0; i < fsmeta_hash_bytes(entry->hash_algorithm); i++)
			entry->hash[i] = (unsigned char)random_number(256);
	}
	if (random_number(20) == 0)
		entry->fields &= ~(uint32_t)(FSMETA_FIELD_BTIME | FSMETA_FIELD_MTIME);
	if (!(entry->fields & FSMETA_FIELD_MTIME))
		entry->mtime = (struct fsmeta_time){0};
	if (!(entry->fields & FSMETA_FIELD_BTIME))
		entry->btime = (struct fsmeta_time){0};
}

static bool is_folder(const struct node *node)
{
	return node->now.type == FSMETA_TYPE_FOLDER;
}

static bool is_below(const struct node *node, const char *folder)
{
	return fsmeta_path_is_within(node->path, strlen(node->path), folder, strlen(folder)) &&
	       strlen(node->path) > strlen(folder);
}

static struct node *find_path(struct listing *listing, const char *path)
{
	struct node key;

	strcpy(key.path, path);
	return bsearch(&key, listing->nodes, listing->count, sizeof(key), compare_nodes);
}

/** What is below is not seen. */
static bool hides(const struct node *node)
{
	return node->excluded || (is_folder(node) && node->now.flags);
}

static bool is_within(const char *path, const char *folder)
{
	return fsmeta_path_is_within(path, strlen(path), folder, strlen(folder));
}

/** Within a sub-tree that was asked for, or on the way to one. */
static bool is_asked_for(const struct listing *listing, const char *path)
{
	for (size_t i = 0; i < listing->subtree_count; i++)
		if (is_within(path, listing->subtrees[i]) || is_within(listing->subtrees[i], path))
			return true;
	return listing->subtree_count == 0;
}

/** No part of the listing is hidden from the scan at this path. */
static bool is_visible(struct listing *listing, const char *path)
{
	if (!is_asked_for(listing, path))
		return false;
	for (size_t i = 0; i < listing->count; i++) {
		struct node *node = &listing->nodes[i];

		if (hides(node) && is_within(path, node->path))
			return false;
	}
	return true;
}

static const char *const names[] = {"a", "b", "c", "a!", "a.mp4", "\xff\xfe", "\x01", "Z", "zz",
    "nine \"quotes\"", "line\nbreak", "0", "k", "m"};

static bool random_place(struct listing *listing, char path[PATH_ROOM])
{
	struct node *folder = &listing->nodes[random_number(listing->count)];
	const char *name = names[random_number(sizeof(names) / sizeof(names[0]))];

	if (!is_folder(folder) || strlen(folder->path) > PATH_LONG)
		return false;
	snprintf(path, PATH_ROOM, "%s%s%s", folder->path, *folder->path ? "/" : "", name);
	return is_visible(listing, path) && !find_path(listing, path);
}

static void insert(struct listing *listing, const char *path, enum fsmeta_type type)
{
	struct node *node = &listing->nodes[listing->count++];

	memset(node, 0, sizeof(*node));
	strcpy(node->path, path);
	node->key = next_key++;
	node->now.type = type;
	random_metadata(&node->now);
	qsort(listing->nodes, listing->count, sizeof(*node), compare_nodes);
}

static enum fsmeta_type random_type(void)
{
	uint64_t dice = random_number(10);

	if (dice < 4)
		return FSMETA_TYPE_FOLDER;
	return dice < 8 ? FSMETA_TYPE_FILE : (enum fsmeta_type)(3 + random_number(5));
}

static void mutate_add(struct listing *listing)
{
	char path[PATH_ROOM];

	if (listing->count < NODES_MAX / 2 && random_place(listing, path))
		insert(listing, path, random_type());
}

static void delete_tree(struct listing *listing, const char *path)
{
	size_t kept = 0;
	char root[PATH_ROOM];

	strcpy(root, path);
	for (size_t i = 0; i < listing->count; i++)
		if (strcmp(listing->nodes[i].path, root) != 0 &&
		    !is_below(&listing->nodes[i], root))
			listing->nodes[kept++] = listing->nodes[i];
	listing->count = kept;
}

/** Something that the scan sees, with nothing unreadable below; NULL where luck fails. */
static struct node *random_victim(struct listing *listing)
{
	struct node *node = &listing->nodes[random_number(listing->count)];

	if (!*node->path || !is_visible(listing, node->path))
		return NULL;
	for (size_t i = 0; i < listing->count; i++)
		if (is_below(&listing->nodes[i], node->path) &&
		    !is_visible(listing, listing->nodes[i].path))
			return NULL;
	return node;
}

static void mutate_delete(struct listing *listing)
{
	struct node *node = random_victim(listing);

	if (node)
		delete_tree(listing, node->path);
}

static void mutate_modify(struct listing *listing)
{
	struct node *node = &listing->nodes[random_number(listing->count)];

	if (is_visible(listing, node->path))
		random_metadata(&node->now);
}

static void mutate_replace(struct listing *listing)
{
	struct node *node = random_victim(listing);
	char path[PATH_ROOM];

	if (!node)
		return;
	strcpy(path, node->path);
	delete_tree(listing, path);
	insert(listing, path, random_type());
}

/** Gives everything at and below `from` its place at and below `to`; false where too long. */
static bool rename_tree(struct listing *listing, const char *from, const char *to, bool *touched)
{
	size_t length = strlen(from);

	for (size_t i = 0; i < listing->count; i++) {
		struct node *node = &listing->nodes[i];
		char moved[2 * PATH_ROOM];

		if (touched[i] || (strcmp(node->path, from) != 0 && !is_below(node, from)))
			continue;
		snprintf(moved, sizeof(moved), "%s%s", to, node->path + length);
		if (strlen(moved) > PATH_ROOM - 50)
			return false;
		strcpy(node->path, moved);
		touched[i] = true;
	}
	return true;
}

/** Renames one or two trees; all or nothing. */
static void rename_trees(struct listing *listing, const char *from_a, const char *to_a,
    const char *from_b, const char *to_b)
{
	static struct listing before;
	bool touched[NODES_MAX] = {false};

	before = *listing;
	if (!rename_tree(listing, from_a, to_a, touched) ||
	    (from_b && !rename_tree(listing, from_b, to_b, touched)))
		*listing = before;
	qsort(listing->nodes, listing->count, sizeof(*listing->nodes), compare_nodes);
}

static void mutate_move(struct listing *listing)
{
	struct node *node = random_victim(listing);
	char from[PATH_ROOM], to[PATH_ROOM];

	if (!node || !random_place(listing, to))
		return;
	strcpy(from, node->path);
	if (!fsmeta_path_is_within(to, strlen(to), from, strlen(from)))
		rename_trees(listing, from, to, NULL, NULL);
}

/** Two change places: each arrives where the other still is. */
static void mutate_swap(struct listing *listing)
{
	struct node *a = random_victim(listing), *b = random_victim(listing);
	char path_a[PATH_ROOM], path_b[PATH_ROOM];

	if (!a || !b || a == b || is_below(a, b->path) || is_below(b, a->path))
		return;
	strcpy(path_a, a->path);
	strcpy(path_b, b->path);
	rename_trees(listing, path_a, path_b, path_b, path_a);
}

static void mutate_hide(struct listing *listing)
{
	struct node *node = random_victim(listing);

	if (node && is_folder(node)) {
		node->now.flags = FSMETA_FLAG_UNREADABLE;
		node->now.error = 13;
	}
}

static void mutate_exclude(struct listing *listing)
{
	struct node *node = random_victim(listing);

	if (node)
		node->excluded = true;
}

static void mutate_show(struct listing *listing)
{
	struct node *node = &listing->nodes[random_number(listing->count)];

	node->excluded = false;
	if (node->unknown_since == 0 && node->now.flags) {
		node->now.flags = 0;
		node->now.error = 0;
	}
}

/** Equal path and type always pairs first, so such nodes get the key they had. */
static void settle_keys(struct listing *before, struct listing *after)
{
	static bool used[sizeof(ids) / sizeof(ids[0])];

	memset(used, 0, next_key);
	for (size_t i = 0; i < after->count; i++) {
		struct node *node = &after->nodes[i];
		struct node *old = find_path(before, node->path);

		node->stored = (struct fsmeta_entry){0};
		if (old && old->now.type == node->now.type) {
			node->key = old->key;
			used[node->key] = true;
		}
	}
	for (size_t i = 0; i < after->count; i++) {
		struct node *node = &after->nodes[i];
		struct node *old = find_path(before, node->path);

		if (old && old->now.type == node->now.type)
			continue;
		if (used[node->key])
			node->key = next_key++;
		else
			used[node->key] = true;
	}
}

/* ---- naive diff ------------------------------------------------------------ */

static struct fsmeta_entry masked(const struct fsmeta_entry *entry, const char *path, uint32_t mask)
{
	struct fsmeta_entry out = *entry;

	out.fields &= mask;
	if (!(out.fields & FSMETA_FIELD_SIZE))
		out.size = 0;
	if (!(out.fields & FSMETA_FIELD_MTIME))
		out.mtime = (struct fsmeta_time){0};
	if (!(out.fields & FSMETA_FIELD_CTIME))
		out.ctime = (struct fsmeta_time){0};
	if (!(out.fields & FSMETA_FIELD_BTIME))
		out.btime = (struct fsmeta_time){0};
	if (!(out.fields & FSMETA_FIELD_DEVICE))
		out.device = FSMETA_DEVICE_NONE;
	if (!(out.fields & FSMETA_FIELD_INODE))
		out.inode = 0;
	if (!(out.fields & FSMETA_FIELD_NLINK))
		out.nlink = 0;
	if (!(out.fields & FSMETA_FIELD_ALLOCATED))
		out.allocated = 0;
	if (!(out.fields & FSMETA_FIELD_HASH)) {
		out.hash_algorithm = FSMETA_HASH_NONE;
		memset(out.hash, 0, sizeof(out.hash));
	}
	set_path(&out, path);
	return out;
}

static struct node *find_key(struct listing *listing, uint64_t key)
{
	for (size_t i = 0; i < listing->count; i++)
		if (listing->nodes[i].key == key)
			return &listing->nodes[i];
	return NULL;
}

static struct node *parent_of(struct listing *listing, const struct node *node)
{
	char path[PATH_ROOM];
	char *slash;

	if (!*node->path)
		return NULL;
	strcpy(path, node->path);
	slash = strrchr(path, '/');
	*(slash ? slash : path) = '\0';
	return find_path(listing, path);
}

/** One change, kept until all are sorted. */
struct pending {
	struct fsmeta_change change;
	struct fsmeta_entry before;
	struct fsmeta_entry after;
	const char *path;
};

static struct pending pending[3 * NODES_MAX];
static size_t pending_count;
/** For the number of a file system its index in the scan's table. */
static uint32_t scan_device[FILESYSTEMS];

static void add_change(enum fsmeta_change_kind kind, const struct fsmeta_entry *before,
    const struct fsmeta_entry *after, uint32_t flags, uint32_t fields)
{
	struct pending *item = &pending[pending_count++];

	memset(item, 0, sizeof(*item));
	item->change = (struct fsmeta_change){.kind = kind, .flags = flags, .fields = fields};
	if (before) {
		item->before = *before;
		item->path = before->path;
	}
	if (after) {
		item->after = *after;
		item->path = after->path;
		if (item->after.fields & FSMETA_FIELD_DEVICE)
			item->after.device = scan_device[after->device];
	}
	item->change.before = before ? &item->before : NULL;
	item->change.after = after ? &item->after : NULL;
}

static int compare_pending(const void *left, const void *right)
{
	const struct pending *a = left, *b = right;
	int order = fsmeta_path_compare(a->path, strlen(a->path), b->path, strlen(b->path));

	if (order)
		return order;
	/* A tombstone before an arrival; what a place hides behind what it is. */
	if ((a->change.kind == FSMETA_CHANGE_REMOVED) != (b->change.kind == FSMETA_CHANGE_REMOVED))
		return a->change.kind == FSMETA_CHANGE_REMOVED ? -1 : 1;
	return (int)a->change.kind - (int)b->change.kind;
}

static void diff_seen(struct listing *old, struct listing *new, struct node *node)
{
	struct node *before = find_key(old, node->key);
	struct fsmeta_entry was, is = masked(&node->now, node->path, new->mask);
	struct node *parent = parent_of(new, node), *before_parent;
	uint32_t fields;
	bool stays;

	if (!before) {
		bool inside = parent && !find_key(old, parent->key);

		node->stored = is;
		add_change(FSMETA_CHANGE_ADDED, NULL, &is, inside ? FSMETA_CHANGE_INSIDE : 0, 0);
		return;
	}
	was = masked(&before->stored, before->path, old->mask);
	was.id = ids[node->key];
	fields = fsmeta_entry_differences(&was, &is, new->mask | FSMETA_FIELD_FLAGS, NULL, 0);
	before_parent = parent_of(old, before);
	stays = (!parent && !before_parent) ||
		(parent && before_parent && parent->key == before_parent->key &&
		    was.name_length == is.name_length &&
		    memcmp(was.name, is.name, is.name_length) == 0);
	node->stored = fields || !stays ? is : before->stored;
	if (!stays)
		add_change(FSMETA_CHANGE_MOVED, &was, &is, 0, fields);
	else if (fields)
		add_change(FSMETA_CHANGE_MODIFIED, &was, &is, 0, fields);
	/* A moved folder is written anew only where it was modified. */
	if (!stays && !fields)
		node->stored = is_folder(node) ? before->stored : is;
	if (is_folder(node) && node->now.flags)
		add_change(FSMETA_CHANGE_UNREADABLE, &was, &is, 0, 0);
}

/** Fills `pending` and what `new` stores, in the listing's generation `number`. */
static void naive_diff(struct listing *old, struct listing *new, uint64_t number)
{
	pending_count = 0;
	for (size_t i = 0; i < old->count; i++) {
		struct node *node = &old->nodes[i], *parent = parent_of(old, node);
		struct fsmeta_entry was = masked(&node->stored, node->path, old->mask);

		if (find_key(new, node->key))
			continue;
		was.id = ids[node->key];
		add_change(FSMETA_CHANGE_REMOVED, &was, NULL,
		    parent && !find_key(new, parent->key) ? FSMETA_CHANGE_INSIDE : 0, 0);
		/* The database tells devices by its own table. */
		pending[pending_count - 1].before.device = was.device;
	}
	for (size_t i = 0; i < new->count; i++) {
		struct node *node = &new->nodes[i];
		bool asked_for = is_asked_for(new, node->path);
		bool hidden = node->excluded || !asked_for;

		for (size_t k = 0; k < i; k++)
			if (hides(&new->nodes[k]) && is_below(node, new->nodes[k].path))
				hidden = true;
		if (hidden) {
			struct node *before = find_key(old, node->key);
			struct fsmeta_entry was = masked(&before->stored, before->path, old->mask);

			was.id = ids[node->key];
			/* What was not asked for is carried without a word. */
			if (node->excluded && asked_for)
				add_change(FSMETA_CHANGE_UNKNOWN, &was, NULL, 0, 0);
			node->stored = before->stored;
			if (!node->unknown_since)
				node->unknown_since = number;
		} else {
			node->unknown_since = 0;
			diff_seen(old, new, node);
		}
	}
	qsort(pending, pending_count, sizeof(pending[0]), compare_pending);
	for (size_t i = 0; i < pending_count; i++) {
		struct fsmeta_change *change = &pending[i].change;

		change->before = change->before ? &pending[i].before : NULL;
		change->after = change->after ? &pending[i].after : NULL;
	}
}

/* ---- comparing ----------------------------------------------------------------- */

static void check_entry(const struct node *node, uint32_t mask, const struct fsmeta_entry *entry,
    const struct fsmeta_batch_source *source, bool learn)
{
	struct fsmeta_entry expected = masked(&node->stored, node->path, mask);

	assert_int_equal(entry->path_length, expected.path_length);
	assert_memory_equal(entry->path, expected.path, expected.path_length);
	assert_int_equal(entry->depth, expected.depth);
	assert_memory_equal(entry->name, expected.name, expected.name_length);
	assert_int_equal(entry->type, node->now.type);
	if (expected.fields & FSMETA_FIELD_DEVICE) {
		char uuid[16];

		sprintf(uuid, "uuid-%u", expected.device);
		assert_true(entry->device < source->filesystem_count);
		assert_string_equal(source->filesystems[entry->device].uuid, uuid);
		expected.device = entry->device;
	}
	expected.type = node->now.type;
	if (fsmeta_entry_differences(
		&expected, entry, FSMETA_FIELDS_KNOWN | FSMETA_FIELD_FLAGS, NULL, 0))
		fail_msg("%s: fields %x differ (has %x, expected %x)", node->path,
		    fsmeta_entry_differences(
			&expected, entry, FSMETA_FIELDS_KNOWN | FSMETA_FIELD_FLAGS, NULL, 0),
		    entry->fields, expected.fields);
	/* One interval is adopted for all that a folder hides, with the since that came first. */
	if (adopted) {
		assert_int_equal(!entry->unknown_since, !node->unknown_since);
	} else {
		assert_int_equal(entry->unknown_since, node->unknown_since);
	}
	if (learn && !ids[node->key])
		ids[node->key] = entry->id;
	assert_int_equal(entry->id, ids[node->key]);
}

/** Reads a generation and compares it with its listing. */
static void check_generation(struct fsmeta_db *db, uint64_t number, bool learn)
{
	struct listing *listing = &history[number];
	struct fsmeta_db_generation generation;
	struct fsmeta_buffer scratch = {0};
	struct fsmeta_totals totals = {0};
	struct fsmeta_digest digest = {0}, term;
	const struct fsmeta_entry *entry;
	struct fsmeta_cursor *cursor;
	size_t at = 0;
	int code;

	assert_ok(fsmeta_db_cursor(&cursor, db, number, NULL, &error));
	assert_int_equal(cursor->source->field_mask, listing->mask);
	while ((code = fsmeta_cursor_next(cursor, &entry, &error)) > 0) {
		assert_true(at < listing->count);
		check_entry(&listing->nodes[at++], listing->mask, entry, cursor->source, learn);
		fsmeta_totals_count(&totals, entry, 1);
		assert_int_equal(
		    fsmeta_entry_digest(&term, entry, listing->mask, cursor->source, &scratch), 0);
		fsmeta_digest_add(&digest, term);
	}
	assert_ok(code);
	assert_int_equal(at, listing->count);
	fsmeta_cursor_close(cursor);

	assert_ok(fsmeta_db_generation(db, number, &generation, &error));
	assert_memory_equal(&generation.source.totals, &totals, sizeof(totals));
	assert_true(fsmeta_digest_equal(generation.source.state_digest, digest));
	fsmeta_db_generation_release(&generation);
	fsmeta_buffer_release(&scratch);
}

/** Skips random folders; what is left must be the listing without what is below. */
static void check_skipping(struct fsmeta_db *db, uint64_t number, bool seen_only)
{
	const struct fsmeta_db_cursor_options options = {.seen_only = seen_only};
	struct listing *listing = &history[number];
	const struct fsmeta_entry *entry;
	struct fsmeta_cursor *cursor;
	size_t at = 0;
	int code;

	assert_ok(fsmeta_db_cursor(&cursor, db, number, &options, &error));
	while ((code = fsmeta_cursor_next(cursor, &entry, &error)) > 0) {
		while (at < listing->count && seen_only && listing->nodes[at].unknown_since)
			at++;
		assert_true(at < listing->count);
		assert_int_equal(entry->path_length, strlen(listing->nodes[at].path));
		assert_memory_equal(entry->path, listing->nodes[at].path, entry->path_length);
		at++;
		if (random_number(5) == 0) {
			uint32_t depth = 1 + (uint32_t)random_number(entry->depth + 1);

			assert_ok(fsmeta_cursor_skip(cursor, depth, &error));
			while (at < listing->count && fsmeta_path_depth(listing->nodes[at].path,
							  strlen(listing->nodes[at].path)) >= depth)
				at++;
		}
	}
	assert_ok(code);
	while (at < listing->count && seen_only && listing->nodes[at].unknown_since)
		at++;
	assert_int_equal(at, listing->count);
	fsmeta_cursor_close(cursor);
}

/* ---- running ---------------------------------------------------------------------- */

static void describe_scan(struct fsmeta_batch_source *source, uint64_t number, uint32_t mask)
{
	uint32_t first = (uint32_t)random_number(FILESYSTEMS);

	fsmeta_batch_source_init(source);
	source->field_mask = mask;
	source->started.seconds = (int64_t)(1700000000 + 100 * number);
	source->finished.seconds = source->started.seconds + 10;
	assert_int_equal(fsmeta_batch_source_set(source, &source->source_id, "the source"), 0);
	/* The scan's table is in another order each time. */
	for (uint32_t i = 0; i < FILESYSTEMS; i++) {
		uint32_t which = (first + i) % FILESYSTEMS;
		char uuid[16];

		sprintf(uuid, "uuid-%u", which);
		assert_int_equal(fsmeta_batch_source_add_filesystem(
				     source, uuid, "ext4", "", &scan_device[which]),
		    0);
	}
}

/** `before` entries are the database's, so their devices are of its table. */
static void translate_before(struct fsmeta_db *db, uint64_t base)
{
	struct fsmeta_db_generation generation;

	if (!base)
		return;
	assert_ok(fsmeta_db_generation(db, base, &generation, &error));
	for (size_t i = 0; i < pending_count; i++) {
		struct fsmeta_entry *before = &pending[i].before;
		char uuid[16];

		if (!pending[i].change.before || !(before->fields & FSMETA_FIELD_DEVICE))
			continue;
		sprintf(uuid, "uuid-%u", before->device);
		for (size_t k = 0; k < generation.source.filesystem_count; k++)
			if (strcmp(generation.source.filesystems[k].uuid, uuid) == 0)
				before->device = (uint32_t)k;
	}
	fsmeta_db_generation_release(&generation);
}

/** Where changes come from. */
enum origin {
	/** The naive diff, without and with moves. */
	ORIGIN_NAIVE,
	ORIGIN_NAIVE_MOVES,
	/** The merge of the database with what a scan sees. */
	ORIGIN_MERGE,
};

static void apply_naive(struct fsmeta_db *db, struct fsmeta_db_update **update,
    const struct fsmeta_batch_source *source, uint64_t number)
{
	struct fsmeta_change_sink *sink;

	translate_before(db, number - 1);
	assert_ok(fsmeta_db_update_begin(update, db, number - 1, source, &error));
	sink = fsmeta_db_update_sink(*update);
	for (size_t i = 0; i < pending_count; i++)
		assert_ok(sink->change(sink, &pending[i].change, &error));
}

static void apply_merge(struct fsmeta_db *db, struct fsmeta_db_update **update,
    const struct fsmeta_batch_source *source, uint64_t number)
{
	static struct fsmeta_entry seen[NODES_MAX];
	const struct fsmeta_diff_options options = {.notion = FSMETA_DIFF_STORED};
	struct listing *listing = &history[number];
	struct fsmeta_cursor *before, *after;
	struct fsmeta_diff *diff;
	size_t count = 0;

	for (size_t i = 0; i < listing->count; i++) {
		struct node *node = &listing->nodes[i];

		if (node->unknown_since)
			continue;
		seen[count] = masked(&node->now, node->path, listing->mask);
		if (seen[count].fields & FSMETA_FIELD_DEVICE)
			seen[count].device = scan_device[seen[count].device];
		count++;
	}
	assert_ok(fsmeta_db_cursor(&before, db, number - 1, NULL, &error));
	assert_ok(fsmeta_cursor_from_array(&after, seen, count, source, &error));
	assert_ok(fsmeta_diff_run(&diff, before, after, &options, &error));
	assert_ok(fsmeta_db_update_begin(update, db, number - 1, source, &error));
	assert_ok(fsmeta_diff_replay(diff, fsmeta_db_update_sink(*update), &error));
	fsmeta_diff_free(diff);
	fsmeta_cursor_close(before);
	fsmeta_cursor_close(after);
}

static void write_generation(struct fsmeta_db *db, uint64_t number, enum origin origin)
{
	struct fsmeta_batch_source source;
	struct fsmeta_db_generation generation;
	struct fsmeta_db_update *update;

	describe_scan(&source, number, history[number].mask);
	for (size_t i = 0; i < history[number].subtree_count; i++)
		assert_int_equal(
		    fsmeta_batch_source_add_string(&source, &source.subtrees,
			history[number].subtrees[i], strlen(history[number].subtrees[i])),
		    0);
	naive_diff(&history[number - 1], &history[number], number);
	if (origin == ORIGIN_MERGE)
		apply_merge(db, &update, &source, number);
	else
		apply_naive(db, &update, &source, number);
	assert_ok(fsmeta_db_update_commit(update, &generation, &error));
	assert_int_equal(generation.number, number);
	fsmeta_db_generation_release(&generation);
	fsmeta_batch_source_release(&source);
}

/** Every third scan or so is asked for sub-trees alone, some of which do not exist. */
static void choose_subtrees(struct listing *listing)
{
	listing->subtree_count = random_number(3) ? 0 : 1 + random_number(SUBTREES_MAX);
	for (size_t i = 0; i < listing->subtree_count; i++) {
		const struct node *node = &listing->nodes[random_number(listing->count)];
		const char *name = names[random_number(sizeof(names) / sizeof(names[0]))];

		if (random_number(4) && *node->path)
			strcpy(listing->subtrees[i], node->path);
		else if (strlen(node->path) < PATH_LONG)
			snprintf(listing->subtrees[i], PATH_ROOM, "%s%s%s", node->path,
			    *node->path ? "/" : "", name);
		else
			strcpy(listing->subtrees[i], name);
	}
}

static void mutate(struct listing *listing, enum origin origin)
{
	bool moves = origin == ORIGIN_NAIVE_MOVES;
	size_t steps = 1 + random_number(30);

	/* What is hidden was so before anything else happened to it. */
	for (size_t i = random_number(3); i > 0; i--)
		mutate_hide(listing);
	for (size_t i = random_number(3); i > 0 && origin != ORIGIN_MERGE; i--)
		mutate_exclude(listing);
	for (size_t i = random_number(8); i > 0; i--)
		mutate_show(listing);
	for (size_t i = 0; i < steps; i++) {
		switch (random_number(8)) {
		case 0:
			mutate_delete(listing);
			break;
		case 1:
		case 2:
			mutate_modify(listing);
			break;
		case 3:
			mutate_replace(listing);
			break;
		case 4:
			if (moves)
				mutate_move(listing);
			break;
		case 5:
			if (moves)
				mutate_swap(listing);
			break;
		default:
			mutate_add(listing);
			mutate_add(listing);
		}
	}
}

/** The first import of the newest generation into another database makes the same of it. */
static void check_adoption(struct fsmeta_db *db, const char *path)
{
	const struct fsmeta_entry *entry;
	struct fsmeta_db_update *update;
	struct fsmeta_cursor *cursor;
	struct fsmeta_db *other;
	int code;

	assert_ok(fsmeta_db_cursor(&cursor, db, GENERATIONS, NULL, &error));
	assert_ok(fsmeta_db_open(&other, path, FSMETA_DB_WRITE, &error));
	assert_ok(fsmeta_db_update_begin(&update, other, 0, cursor->source, &error));
	while ((code = fsmeta_cursor_next(cursor, &entry, &error)) > 0) {
		const struct fsmeta_change change = {.kind = FSMETA_CHANGE_ADDED, .after = entry};
		struct fsmeta_change_sink *sink = fsmeta_db_update_sink(update);

		assert_ok(sink->change(sink, &change, &error));
	}
	assert_ok(code);
	assert_ok(fsmeta_db_update_commit(update, NULL, &error));
	fsmeta_cursor_close(cursor);
	adopted = true;
	check_generation(other, GENERATIONS, false);
	adopted = false;
	assert_ok(fsmeta_db_verify(other, NULL, &error));
	fsmeta_db_close(other);
	assert_int_equal(unlink(path), 0);
}

static void run_history(const char *path, uint64_t seed, enum origin origin)
{
	struct fsmeta_db *db;
	char other[80];

	random_state = seed * 0x9e3779b97f4a7c15 + 1;
	next_key = 1;
	memset(ids, 0, sizeof(ids));
	history[0].count = 0;
	history[0].mask = FSMETA_FIELDS_KNOWN;
	assert_ok(fsmeta_db_open(&db, path, FSMETA_DB_WRITE, &error));
	for (uint64_t number = 1; number <= GENERATIONS; number++) {
		history[number] = history[number - 1];
		if (number == 1)
			insert(&history[1], "", FSMETA_TYPE_FOLDER);
		choose_subtrees(&history[number]);
		mutate(&history[number], origin);
		settle_keys(&history[number - 1], &history[number]);
		if (random_number(8) == 0)
			history[number].mask =
			    random_number(2) ? FSMETA_FIELDS_KNOWN : FSMETA_FIELDS_CORE;
		write_generation(db, number, origin);
		for (uint64_t old = 1; old <= number; old++)
			if (old == number || random_number(4) == 0)
				check_generation(db, old, old == number);
		check_skipping(db, 1 + random_number(number), random_number(2));
	}
	for (uint64_t old = 1; old <= GENERATIONS; old++)
		check_generation(db, old, false);
	assert_ok(fsmeta_db_verify(db, NULL, &error));
	snprintf(other, sizeof(other), "%s-other", path);
	check_adoption(db, other);
	fsmeta_db_close(db);
}

static void run_seeds(enum origin origin)
{
	char folder[] = "/tmp/fsmeta-test-XXXXXX";
	char path[64];

	assert_non_null(mkdtemp(folder));
	sprintf(path, "%s/x.db", folder);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		run_history(path, seed, origin);
		assert_int_equal(unlink(path), 0);
	}
	/* Nothing may be left beside it. */
	assert_int_equal(rmdir(folder), 0);
}

static void test_histories(void **state)
{
	(void)state;
	run_seeds(ORIGIN_NAIVE);
}

static void test_histories_with_moves(void **state)
{
	(void)state;
	run_seeds(ORIGIN_NAIVE_MOVES);
}

static void test_histories_through_the_merge(void **state)
{
	(void)state;
	run_seeds(ORIGIN_MERGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_histories),
	    cmocka_unit_test(test_histories_with_moves),
	    cmocka_unit_test(test_histories_through_the_merge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
