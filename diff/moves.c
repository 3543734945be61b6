/*
 * The move pass.
 *
 * The merge leaves what came and what went, each a record with its number (ordinal) in the
 * spool.  Here some of them become pairs, by keys: everything that could be one half of a
 * move is a candidate with a hash of its evidence, candidates are sorted by that hash, and
 * a group of exactly one that went and one that came is a pair.  More of either, and nobody
 * knows which: they stay as they are, or other evidence decides.
 *
 *     merge ──► spool of changes ──────────── 2. walk ── 4. write ──► spool with moves
 *         └───► folders ── 1. pair folders ────┘ │          │
 *                                                └ 3. pair ─┘
 *
 * 1. Folders are paired first: by id, by inode and birth time, by all that is in them, or
 *    by name and mtime.
 * 2. The walk sees every record with the nearest folder above it that is one of a pair.
 *    What stands at the same place in both folders of a pair is one and the same, as if the
 *    folder had not moved at all: the key is the number of the pair and the path from there.
 *    For all others there are keys by id, inode, name, and hash.
 * 3. Pairs are found kind after kind, the most certain first.
 * 4. The records are written anew, in their order.  What went and is one of a pair is left
 *    out; where its other half came stands what became of it:
 *
 *        old/x      removed 5 entries      ·
 *        old/x/a    removed, inside        ·
 *        old/x/b    removed, inside        removed               (no longer inside)
 *        new/y      added 5 entries        moved from old/x, 4 entries
 *        new/y/a    added, inside          modified, or nothing
 *        new/y/c    added, inside          added
 *
 *    Totals and whether something is inside another are found out again on the way, with a
 *    stack of open folders for each side.
 *
 * A folder of 200,000 that was renamed should cost next to nothing.  So the merge sums up a
 * digest of all that is below a folder that came or went.  Where the two of a pair are equal,
 * steps 2 and 4 jump over their records unread.
 *
 * Memory: nothing here grows with the number of changes but one bit for each.  Candidates
 * and pairs are sorted outside of memory (base/sort.h), and since they come back in the order
 * of the records, the walks go along them.  The older half of a pair is read where it lies.
 *
 * What the newer side could not look into is not removed, in a folder that moved no more than
 * elsewhere: what was below such a place goes along, uncounted as removed, and the place is
 * told of as the merge would have done.
 */
#include "diff/moves.h"

#include "base/path.h"
#include "base/sort.h"
#include "base/spool.h"
#include "diff/fold.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static const char action[] = "looking for moves";

enum {
	/** Fewer records are not worth jumping over. */
	JUMP_ENTRIES = 4,
	SORT_BYTES = 8 << 20,
	WALK_AHEAD_BYTES = 256 << 10,
	PICK_AHEAD_BYTES = 4 << 10,
	/** Sums and keys of an entry without its name and target. */
	/** A folded name may have become longer. */
	NAME_MAX_BYTES = 4 * FSMETA_NAME_MAX_BYTES,
	TERM_MAX_BYTES = 25 * 8 + FSMETA_HASH_MAX_BYTES,
	STRONG_FIELDS = FSMETA_FIELD_DEVICE | FSMETA_FIELD_INODE | FSMETA_FIELD_BTIME,
	LINK_FIELDS = FSMETA_FIELD_DEVICE | FSMETA_FIELD_INODE | FSMETA_FIELD_NLINK,
	NAME_FIELDS = FSMETA_FIELD_SIZE | FSMETA_FIELD_MTIME,
};

enum folder_evidence {
	FOLDER_BY_ID,
	FOLDER_BY_INODE,
	FOLDER_BY_CONTENT,
	FOLDER_BY_NAME,
	FOLDER_EVIDENCE_COUNT,
};

enum evidence {
	/** The same place in a folder that moved. */
	BY_PLACE,
	BY_ID,
	BY_INODE,
	BY_NAME,
	BY_HASH,
	/** No evidence: several links, which one can confuse. */
	BY_LINK,
	EVIDENCE_COUNT,
};

enum side {
	/** Went. */
	OLDER,
	/** Came. */
	NEWER,
	/** Was there all the time (BY_LINK only). */
	BOTH,
};

/** A folder that came or went, as a candidate. */
struct folder {
	uint64_t key;
	uint64_t check;
	uint64_t side;
	uint64_t ordinal;
	struct fsmeta_change_place place;
	uint64_t end_ordinal;
	uint64_t end_place;
	struct fsmeta_digest content;
	uint64_t identity;
	uint64_t entries;
	uint64_t bytes;
	/** Its records lie together and can be jumped over. */
	uint64_t can_jump;
};

/** One half of a pair of folders, by ordinal. */
struct half {
	/** Ordinal. */
	uint64_t key;
	/** From 1. */
	uint64_t pair;
	uint64_t older_ordinal;
	/** Of the older half. */
	struct fsmeta_change_place place;
	uint64_t end_ordinal;
	uint64_t end_place;
	uint64_t entries;
	uint64_t bytes;
	/** Nothing below differs: jump. */
	uint64_t is_same;
};

enum {
	/** Something hides what is below it. */
	CANDIDATE_HIDES = 1 << 0,
};

/** A candidate of the second round. */
struct candidate {
	uint64_t key;
	uint64_t check;
	uint64_t side;
	uint64_t ordinal;
	/** BY_PLACE: the pair of folders that it is one half of already, 0 = none. */
	uint64_t pair;
	/** Of the older half: its own, or where `pair` is set that of the pair. */
	struct fsmeta_change_place place;
	uint64_t older_ordinal;
	/** BY_PLACE: of what can differ.  BY_LINK: number of links. */
	uint64_t value;
	uint64_t flags;
};

/** What becomes of a record that came. */
struct outcome {
	/** Its ordinal. */
	uint64_t key;
	struct fsmeta_change_place place;
	uint64_t older_ordinal;
	/** Moved; else it went along with its folder. */
	uint64_t is_move;
};

/** A folder of both sides that hides what was below it. */
struct hidden {
	uint64_t older_ordinal;
	bool is_written;
	/** Its change in the new spool. */
	uint64_t place;
	enum fsmeta_change_kind kind;
	uint32_t flags;
	uint64_t entries;
	uint64_t bytes;
	bool lost_sight;
};

struct fsmeta_moves {
	const struct fsmeta_compare *compare;
	struct fsmeta_change_spool *spool;
	uint32_t wanted;
	/** How many records came and went, and how many of them have more than one link. */
	uint64_t went;
	uint64_t came;
	uint64_t linked;
	bool has_unread;

	struct fsmeta_sort *folders[FOLDER_EVIDENCE_COUNT];
	/** Keys of inodes with several links that are on both sides: two words each. */
	struct fsmeta_spool *kept;

	/* Resolving. */
	struct fsmeta_sort *halves;
	struct fsmeta_sort *candidates[EVIDENCE_COUNT];
	struct fsmeta_sort *outcomes;
	uint64_t pairs;
	/** One bit a record: it is one of a pair; it must not become one. */
	unsigned char *taken;
	unsigned char *barred;
	struct fsmeta_buffer hidden;

	struct fsmeta_buffer scratch;
	/** A name, folded. */
	struct fsmeta_buffer name;
	bool folds_case;
};

/* ---- keys and sums ----------------------------------------------------- */

/** Words and bytes on their way to be hashed. */
struct mix {
	unsigned char *at;
};

static void mix_word(struct mix *mix, uint64_t word)
{
	memcpy(mix->at, &word, sizeof(word));
	mix->at += sizeof(word);
}

static void mix_time(struct mix *mix, struct fsmeta_time time)
{
	mix_word(mix, (uint64_t)time.seconds);
	mix_word(mix, time.nanoseconds);
}

static void mix_bytes(struct mix *mix, const void *bytes, size_t length)
{
	if (length)
		memcpy(mix->at, bytes, length);
	mix->at += length;
}

/** The index of the entry's file system in the older side's table; false where it has none. */
static bool find_device(const struct fsmeta_moves *moves, enum fsmeta_change_kind kind,
    const struct fsmeta_entry *entry, uint64_t *device)
{
	const struct fsmeta_compare *compare = moves->compare;

	*device = entry->device;
	if (kind == FSMETA_CHANGE_REMOVED)
		return true;
	*device = entry->device < compare->device_map_count ? compare->device_map[entry->device]
							    : UINT32_MAX;
	return *device != UINT32_MAX;
}

static void mix_fields(struct mix *mix, const struct fsmeta_moves *moves,
    enum fsmeta_change_kind kind, const struct fsmeta_entry *entry, uint32_t fields)
{
	uint64_t device;

	if (fields & FSMETA_FIELD_SIZE)
		mix_word(mix, entry->size);
	if (fields & FSMETA_FIELD_MTIME)
		mix_time(mix, entry->mtime);
	if (fields & FSMETA_FIELD_CTIME)
		mix_time(mix, entry->ctime);
	if (fields & FSMETA_FIELD_BTIME)
		mix_time(mix, entry->btime);
	if (fields & FSMETA_FIELD_MODE)
		mix_word(mix, entry->mode);
	if (fields & FSMETA_FIELD_UID)
		mix_word(mix, entry->uid);
	if (fields & FSMETA_FIELD_GID)
		mix_word(mix, entry->gid);
	if (fields & FSMETA_FIELD_DEVICE)
		mix_word(mix, find_device(moves, kind, entry, &device) ? device : UINT64_MAX);
	if (fields & FSMETA_FIELD_INODE)
		mix_word(mix, entry->inode);
	if (fields & FSMETA_FIELD_NLINK)
		mix_word(mix, entry->nlink);
	if (fields & FSMETA_FIELD_ALLOCATED)
		mix_word(mix, entry->allocated);
	if (fields & FSMETA_FIELD_RDEV)
		mix_word(mix, (uint64_t)entry->rdev_major << 32 | entry->rdev_minor);
	if (fields & FSMETA_FIELD_HASH) {
		mix_word(mix, entry->hash_algorithm);
		mix_bytes(mix, entry->hash, fsmeta_hash_bytes(entry->hash_algorithm));
	}
	if (fields & FSMETA_FIELD_TARGET) {
		mix_word(mix, entry->target_length);
		mix_bytes(mix, entry->target, entry->target_length);
	}
}

/** Room in the scratch buffer for an entry's words, and where to begin; false without memory. */
static bool begin_mix(struct fsmeta_moves *moves, struct mix *mix, size_t bytes)
{
	fsmeta_buffer_clear(&moves->scratch);
	if (fsmeta_buffer_reserve(&moves->scratch, TERM_MAX_BYTES + bytes))
		return false;
	mix->at = moves->scratch.data;
	return true;
}

static XXH128_hash_t end_mix(const struct fsmeta_moves *moves, const struct mix *mix)
{
	return XXH3_128bits(moves->scratch.data, (size_t)(mix->at - moves->scratch.data));
}

static uint64_t stir(uint64_t value)
{
	value = (value ^ value >> 32) * UINT64_C(0xd6e8feb86659fd93);
	value = (value ^ value >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return value ^ value >> 32;
}

/** The entry by its name and all that could make a difference; *identity: which one it is. */
static bool find_term(struct fsmeta_moves *moves, enum fsmeta_change_kind kind,
    const struct fsmeta_entry *entry, struct fsmeta_digest *term, uint64_t *identity)
{
	uint32_t mask = entry->type == FSMETA_TYPE_FOLDER ? moves->compare->folder_mask
							  : moves->compare->other_mask;
	uint32_t fields = entry->fields & (mask | FSMETA_FIELD_SIZE | FSMETA_FIELD_MTIME);
	XXH128_hash_t hash;
	struct mix mix;

	if (!begin_mix(moves, &mix, entry->name_length + entry->target_length))
		return false;
	/* A folder's size is its file system's business, and its content's. */
	if (entry->type == FSMETA_TYPE_FOLDER)
		fields &= mask | FSMETA_FIELD_MTIME;
	/* That one side was hashed is no news, but another hash is: it counts as identity. */
	if (moves->compare->options->notion == FSMETA_DIFF_REPORTED)
		fields &= ~(uint32_t)FSMETA_FIELD_HASH;
	mix_word(&mix, (uint64_t)fields << 32 | entry->flags);
	mix_word(&mix, (uint64_t)entry->error << 32 | (uint64_t)entry->type);
	mix_fields(&mix, moves, kind, entry, fields);
	mix_bytes(&mix, entry->name, entry->name_length);
	hash = end_mix(moves, &mix);
	*term = (struct fsmeta_digest){.low = hash.low64, .high = hash.high64};
	*identity = hash.low64;
	if (entry->fields & mask & FSMETA_FIELD_HASH)
		*identity ^= XXH3_64bits(entry->hash, fsmeta_hash_bytes(entry->hash_algorithm));
	if (moves->wanted & FSMETA_DIFF_MOVES_BY_ID)
		*identity = stir(*identity ^ entry->id);
	else if (entry->fields & FSMETA_FIELD_INODE)
		*identity =
		    stir(stir(*identity ^ entry->inode) ^
			 (uint64_t)entry->btime.seconds * 1000000000 ^ entry->btime.nanoseconds);
	return true;
}

/** As people read it: a copy made elsewhere may have composed the letters in another way. */
static bool mix_folded_name(
    struct fsmeta_moves *moves, struct mix *mix, const struct fsmeta_entry *entry)
{
	if (fsmeta_fold(&moves->name, entry->name, entry->name_length, moves->folds_case) ||
	    moves->name.length > NAME_MAX_BYTES)
		return false;
	mix_bytes(mix, moves->name.data, moves->name.length);
	return true;
}

static void set_key(uint64_t key[2], const struct fsmeta_moves *moves, const struct mix *mix)
{
	XXH128_hash_t hash = end_mix(moves, mix);

	key[0] = hash.low64;
	/* Never 0 and 0, which is none. */
	key[1] = hash.high64 | 1;
}

static bool has_key(const uint64_t key[2])
{
	return key[0] || key[1];
}

/** No key where the entry lacks what it takes. */
static void make_key(uint64_t key[2], struct fsmeta_moves *moves, enum evidence evidence,
    enum fsmeta_change_kind kind, const struct fsmeta_entry *entry)
{
	bool by_evidence = moves->wanted & FSMETA_DIFF_MOVES_BY_EVIDENCE;
	uint32_t needed = 0;
	uint64_t device = 0;
	struct mix mix;

	key[0] = key[1] = 0;
	if (evidence == BY_INODE)
		needed = STRONG_FIELDS;
	else if (evidence == BY_LINK)
		needed = LINK_FIELDS;
	else if (evidence == BY_NAME)
		needed = entry->type == FSMETA_TYPE_FOLDER ? FSMETA_FIELD_MTIME : NAME_FIELDS;
	else if (evidence == BY_HASH)
		needed = FSMETA_FIELD_HASH | FSMETA_FIELD_SIZE;
	if ((entry->fields & needed) != needed ||
	    !begin_mix(moves, &mix, NAME_MAX_BYTES + entry->target_length))
		return;
	if (evidence == BY_ID ? !entry->id || !(moves->wanted & FSMETA_DIFF_MOVES_BY_ID)
			      : !by_evidence)
		return;
	/* What is empty has nothing that it could be known by. */
	if (evidence == BY_HASH && (!entry->size || entry->type != FSMETA_TYPE_FILE))
		return;
	if (needed & FSMETA_FIELD_DEVICE && !find_device(moves, kind, entry, &device))
		return;
	mix_word(&mix, (uint64_t)evidence << 32 | (uint64_t)entry->type);
	if (evidence == BY_ID) {
		mix_word(&mix, entry->id);
	} else if (evidence == BY_LINK) {
		mix_word(&mix, device);
		mix_word(&mix, entry->inode);
	} else if (evidence == BY_INODE) {
		mix_word(&mix, device);
		mix_word(&mix, entry->inode);
		mix_time(&mix, entry->btime);
	} else {
		mix_fields(&mix, moves, kind, entry, needed);
		if (evidence == BY_NAME && !mix_folded_name(moves, &mix, entry))
			return;
	}
	set_key(key, moves, &mix);
}

static bool has_links(const struct fsmeta_entry *entry)
{
	return entry->type != FSMETA_TYPE_FOLDER && entry->fields & FSMETA_FIELD_NLINK &&
	       entry->nlink > 1;
}

/* ---- while merging ------------------------------------------------------ */

int fsmeta_moves_new(struct fsmeta_moves **out, const struct fsmeta_compare *compare,
    struct fsmeta_change_spool *spool, struct fsmeta_error *error)
{
	struct fsmeta_moves *moves = calloc(1, sizeof(*moves));

	*out = moves;
	if (!moves)
		return fsmeta_error_set_memory(error, action);
	moves->compare = compare;
	moves->spool = spool;
	moves->folds_case = compare->a->path_case == FSMETA_PATH_CASE_INSENSITIVE ||
			    compare->b->path_case == FSMETA_PATH_CASE_INSENSITIVE;
	moves->wanted = compare->options->moves;
	/* Generations of one database are compared without all being read. */
	moves->has_unread = moves->wanted & FSMETA_DIFF_MOVES_BY_ID;
	return 0;
}

static void free_sorts(struct fsmeta_sort **sorts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		fsmeta_sort_free(sorts[i]);
		sorts[i] = NULL;
	}
}

void fsmeta_moves_free(struct fsmeta_moves *moves)
{
	if (!moves)
		return;
	free_sorts(moves->folders, FOLDER_EVIDENCE_COUNT);
	free_sorts(moves->candidates, EVIDENCE_COUNT);
	fsmeta_sort_free(moves->halves);
	fsmeta_sort_free(moves->outcomes);
	fsmeta_spool_free(moves->kept);
	free(moves->taken);
	free(moves->barred);
	fsmeta_buffer_release(&moves->hidden);
	fsmeta_buffer_release(&moves->scratch);
	fsmeta_buffer_release(&moves->name);
	free(moves);
}

void fsmeta_moves_whole(struct fsmeta_moves *moves, enum fsmeta_change_kind kind,
    const struct fsmeta_entry *entry, uint64_t place, struct fsmeta_moves_folder *parent,
    struct fsmeta_moves_folder *folder)
{
	struct fsmeta_digest term = {0};
	uint64_t identity = 0;
	bool is_unsure = fsmeta_entry_is_unseen(entry);

	if (kind == FSMETA_CHANGE_REMOVED)
		moves->went++;
	else
		moves->came++;
	moves->linked += has_links(entry);
	if (!find_term(moves, kind, entry, &term, &identity))
		is_unsure = true;
	if (parent)
		parent->is_mixed |= is_unsure;
	if (entry->type != FSMETA_TYPE_FOLDER) {
		if (parent) {
			fsmeta_digest_add(&parent->content, term);
			parent->identity += identity;
		}
		return;
	}
	*folder = (struct fsmeta_moves_folder){
	    .kind = kind,
	    .ordinal = fsmeta_change_spool_count(moves->spool) - 1,
	    .place = fsmeta_change_spool_last(moves->spool, place),
	    .term = term,
	    .term_identity = identity,
	    .is_mixed = is_unsure,
	};
	make_key(folder->by_id, moves, BY_ID, kind, entry);
	make_key(folder->by_inode, moves, BY_INODE, kind, entry);
	make_key(folder->by_name, moves, BY_NAME, kind, entry);
}

/** Adds to a sort that exists from its first record on. */
static int add_to(
    struct fsmeta_sort **sort, const void *record, size_t record_bytes, struct fsmeta_error *error)
{
	int code = *sort ? 0 : fsmeta_sort_new(sort, record_bytes, SORT_BYTES, error);

	return code ? code : fsmeta_sort_add(*sort, record, error);
}

static int add_folder(struct fsmeta_moves *moves, enum folder_evidence evidence,
    const uint64_t key[2], struct folder *folder, struct fsmeta_error *error)
{
	if (!has_key(key))
		return 0;
	folder->key = key[0];
	folder->check = key[1];
	return add_to(&moves->folders[evidence], folder, sizeof(*folder), error);
}

int fsmeta_moves_close_folder(struct fsmeta_moves *moves, struct fsmeta_moves_folder *folder,
    uint64_t entries, uint64_t bytes, struct fsmeta_moves_folder *parent,
    struct fsmeta_error *error)
{
	struct folder record = {
	    .side = folder->kind == FSMETA_CHANGE_REMOVED ? OLDER : NEWER,
	    .ordinal = folder->ordinal,
	    .place = folder->place,
	    .end_ordinal = fsmeta_change_spool_count(moves->spool),
	    .end_place = fsmeta_change_spool_end(moves->spool),
	    .content = folder->content,
	    .identity = folder->identity,
	    .entries = entries,
	    .bytes = bytes,
	};
	uint64_t by_content[2] = {folder->content.low, folder->content.high | 1};
	int code;

	/* Where something else came to its place, that lies between the records. */
	if (!folder->is_mixed && entries >= JUMP_ENTRIES &&
	    record.end_ordinal - record.ordinal == entries + 1) {
		record.can_jump = true;
		fsmeta_change_spool_begin_key(moves->spool);
	}
	if (parent) {
		/* A folder is known by itself and what is in it, one bound to the other. */
		struct fsmeta_digest both = folder->term;

		both.low = stir(both.low ^ stir(folder->content.low));
		both.high = stir(both.high ^ stir(folder->content.high));
		fsmeta_digest_add(&parent->content, both);
		parent->identity += stir(folder->term_identity ^ stir(folder->identity));
		parent->is_mixed |= folder->is_mixed;
	}
	code = add_folder(moves, FOLDER_BY_ID, folder->by_id, &record, error);
	if (!code)
		code = add_folder(moves, FOLDER_BY_INODE, folder->by_inode, &record, error);
	if (!code && entries && !folder->is_mixed && moves->wanted & FSMETA_DIFF_MOVES_BY_EVIDENCE)
		code = add_folder(moves, FOLDER_BY_CONTENT, by_content, &record, error);
	return code ? code : add_folder(moves, FOLDER_BY_NAME, folder->by_name, &record, error);
}

int fsmeta_moves_kept(struct fsmeta_moves *moves, const struct fsmeta_entry *before,
    const struct fsmeta_entry *after, struct fsmeta_error *error)
{
	uint64_t keys[2][2];
	int code = 0;

	if (!(has_links(before) || (after && has_links(after))))
		return 0;
	make_key(keys[0], moves, BY_LINK, FSMETA_CHANGE_REMOVED, before);
	if (after)
		make_key(keys[1], moves, BY_LINK, FSMETA_CHANGE_ADDED, after);
	if (!has_key(keys[0]) || (after && memcmp(keys[0], keys[1], sizeof(keys[0])) != 0))
		return 0;
	if (!moves->kept)
		code = fsmeta_spool_new(&moves->kept, SORT_BYTES, NULL, error);
	return code ? code
		    : fsmeta_spool_append(moves->kept, keys[0], sizeof(keys[0]), NULL, error);
}

void fsmeta_moves_unread(struct fsmeta_moves *moves)
{
	moves->has_unread = true;
}

/* ---- bits ---------------------------------------------------------------- */

static bool has_bit(const unsigned char *bits, uint64_t at)
{
	return bits[at / 8] >> (at % 8) & 1;
}

static void set_bit(unsigned char *bits, uint64_t at)
{
	bits[at / 8] |= (unsigned char)(1u << (at % 8));
}

/* ---- 1: folders ----------------------------------------------------------- */

static int add_half(struct fsmeta_moves *moves, const struct folder *own,
    const struct folder *older, bool is_same, struct fsmeta_error *error)
{
	const struct half half = {
	    .key = own->ordinal,
	    .pair = moves->pairs,
	    .older_ordinal = older->ordinal,
	    .place = older->place,
	    .end_ordinal = own->end_ordinal,
	    .end_place = own->end_place,
	    .entries = own->entries,
	    .bytes = own->bytes,
	    .is_same = is_same,
	};

	return add_to(&moves->halves, &half, sizeof(half), error);
}

static int pair_folders(struct fsmeta_moves *moves, const struct folder *older,
    const struct folder *newer, struct fsmeta_error *error)
{
	bool is_same = older->can_jump && newer->can_jump && older->entries == newer->entries &&
		       fsmeta_digest_equal(older->content, newer->content) &&
		       older->identity == newer->identity;
	int code;

	moves->pairs++;
	set_bit(moves->taken, older->ordinal);
	set_bit(moves->taken, newer->ordinal);
	code = add_half(moves, older, older, is_same, error);
	return code ? code : add_half(moves, newer, older, is_same, error);
}

/** Candidates with one key, as far as they are not taken. */
struct folder_group {
	struct folder first;
	struct folder halves[2];
	uint64_t counts[2];
	bool is_confused;
	bool any;
};

static int end_folder_group(
    struct fsmeta_moves *moves, struct folder_group *group, struct fsmeta_error *error)
{
	bool is_pair = group->counts[OLDER] == 1 && group->counts[NEWER] == 1;

	return is_pair && !group->is_confused
		   ? pair_folders(moves, &group->halves[OLDER], &group->halves[NEWER], error)
		   : 0;
}

static int pair_folders_by(
    struct fsmeta_moves *moves, enum folder_evidence evidence, struct fsmeta_error *error)
{
	struct fsmeta_sort *sort = moves->folders[evidence];
	struct folder_group group = {0};
	const void *record;
	int code = sort ? fsmeta_sort_finish(sort, error) : 0;

	while (sort && !code && (code = fsmeta_sort_next(sort, &record, error)) > 0) {
		const struct folder *folder = record;

		code = 0;
		if (!group.any || folder->key != group.first.key) {
			code = end_folder_group(moves, &group, error);
			group = (struct folder_group){.first = *folder, .any = true};
		}
		if (has_bit(moves->taken, folder->ordinal))
			continue;
		group.is_confused |= folder->check != group.first.check;
		group.halves[folder->side] = *folder;
		group.counts[folder->side]++;
	}
	if (!code)
		code = end_folder_group(moves, &group, error);
	fsmeta_sort_free(sort);
	moves->folders[evidence] = NULL;
	return code;
}

/* ---- 2: the walk ------------------------------------------------------------ */

/** A sort that is gone along with while records are read in order. */
struct track {
	struct fsmeta_sort *sort;
	const void *record;
};

/** Sets *record where the sort has one for this ordinal, else NULL. */
static int track_to(
    struct track *track, uint64_t ordinal, const void **record, struct fsmeta_error *error)
{
	int code = 0;

	*record = NULL;
	while (track->sort && (!track->record || *(const uint64_t *)track->record < ordinal)) {
		code = fsmeta_sort_next(track->sort, &track->record, error);
		if (code < 0)
			return code;
		if (!code)
			track->sort = NULL;
	}
	if (track->sort && *(const uint64_t *)track->record == ordinal)
		*record = track->record;
	return 0;
}

/** A folder on the way to a record. */
struct above {
	uint32_t depth;
	/** The nearest pair at or above it, 0 = none … */
	uint64_t pair;
	/** … and the length of that folder's path. */
	size_t base;
	/** Whether the folder itself is one of a pair. */
	bool is_half;
};

/** Folders of one side, the outermost first. */
struct stack {
	struct fsmeta_buffer items;
};

static size_t stack_count(const struct stack *stack, size_t item_bytes)
{
	return stack->items.length / item_bytes;
}

static struct above *top_above(struct stack *stack)
{
	size_t count = stack_count(stack, sizeof(struct above));

	return count ? (struct above *)(void *)stack->items.data + count - 1 : NULL;
}

static int push_above(struct stack *stack, const struct above *above, struct fsmeta_error *error)
{
	return fsmeta_buffer_append(&stack->items, above, sizeof(*above))
		   ? fsmeta_error_set_memory(error, action)
		   : 0;
}

struct walk {
	struct fsmeta_change_reader *reader;
	struct track halves;
	struct stack stacks[2];
};

static void leave_above(struct stack *stack, const struct fsmeta_change *change)
{
	uint32_t depth = fsmeta_change_entry(change)->depth;

	if (!(change->flags & FSMETA_CHANGE_INSIDE))
		fsmeta_buffer_clear(&stack->items);
	while (top_above(stack) && top_above(stack)->depth >= depth)
		stack->items.length -= sizeof(struct above);
}

static int add_outcome(struct fsmeta_moves *moves, const struct candidate *candidate,
    uint64_t ordinal, bool is_move, struct fsmeta_error *error)
{
	const struct outcome outcome = {
	    .key = ordinal,
	    .place = candidate->place,
	    .older_ordinal = candidate->older_ordinal,
	    .is_move = is_move,
	};

	return add_to(&moves->outcomes, &outcome, sizeof(outcome), error);
}

/** Remembers that what was below the older half is carried. */
static int note_hidden(
    struct fsmeta_moves *moves, uint64_t flags, uint64_t older_ordinal, struct fsmeta_error *error)
{
	const struct hidden hidden = {.older_ordinal = older_ordinal};

	if (!(flags & CANDIDATE_HIDES))
		return 0;
	return fsmeta_buffer_append(&moves->hidden, &hidden, sizeof(hidden))
		   ? fsmeta_error_set_memory(error, action)
		   : 0;
}

static bool permits_place(const struct fsmeta_moves *moves, const struct above *above)
{
	/* Where ids decide, the folder around must be the same one, not only stand there. */
	return above->is_half || !moves->compare->options->compare_ids;
}

static int add_by_place(struct fsmeta_moves *moves, const struct above *above,
    const struct fsmeta_entry *entry, struct candidate *candidate, struct fsmeta_error *error)
{
	bool with_id = moves->compare->options->compare_ids;
	struct fsmeta_digest term;
	uint64_t key[2], identity;
	struct mix mix;

	if (!permits_place(moves, above))
		return 0;
	if (!find_term(moves,
		candidate->side == OLDER ? FSMETA_CHANGE_REMOVED : FSMETA_CHANGE_ADDED, entry,
		&term, &identity) ||
	    !begin_mix(moves, &mix, entry->path_length))
		return fsmeta_error_set_memory(error, action);
	mix_word(&mix, above->pair);
	mix_word(&mix, with_id ? entry->id : 0);
	mix_word(&mix, entry->type);
	mix_bytes(&mix, entry->path + above->base, entry->path_length - above->base);
	set_key(key, moves, &mix);
	candidate->key = key[0];
	candidate->check = key[1];
	candidate->value = identity;
	return add_to(&moves->candidates[BY_PLACE], candidate, sizeof(*candidate), error);
}

static int add_by_evidence(struct fsmeta_moves *moves, enum fsmeta_change_kind kind,
    const struct fsmeta_entry *entry, struct candidate *candidate, struct fsmeta_error *error)
{
	int code = 0;

	for (enum evidence evidence = BY_ID; evidence < EVIDENCE_COUNT && !code; evidence++) {
		uint64_t key[2];

		if (evidence == BY_LINK && !has_links(entry))
			continue;
		make_key(key, moves, evidence, kind, entry);
		if (!has_key(key))
			continue;
		candidate->key = key[0];
		candidate->check = key[1];
		candidate->value = entry->nlink;
		code = add_to(&moves->candidates[evidence], candidate, sizeof(*candidate), error);
	}
	return code;
}

/** A folder that is one of a pair. */
static int walk_half(struct fsmeta_moves *moves, struct walk *walk, const struct half *half,
    const struct fsmeta_entry *entry, struct candidate *candidate, struct fsmeta_error *error)
{
	struct stack *stack = &walk->stacks[candidate->side];
	const struct above *above = top_above(stack);
	const struct above next = {
	    .depth = entry->depth, .pair = half->pair, .base = entry->path_length, .is_half = true};
	int code = 0;

	candidate->pair = half->pair;
	candidate->place = half->place;
	candidate->older_ordinal = half->older_ordinal;
	if (above && above->pair && permits_place(moves, above)) {
		code = add_by_place(moves, above, entry, candidate, error);
	} else if (candidate->side == NEWER) {
		code = add_outcome(moves, candidate, candidate->ordinal, true, error);
		if (!code)
			code = note_hidden(moves, candidate->flags, half->older_ordinal, error);
	}
	if (code || !half->is_same)
		return code ? code : push_above(stack, &next, error);
	fsmeta_change_reader_seek(walk->reader, half->end_place, half->end_ordinal);
	return 0;
}

static int walk_record(struct fsmeta_moves *moves, struct walk *walk,
    const struct fsmeta_change *change, struct fsmeta_error *error)
{
	const struct fsmeta_entry *entry = fsmeta_change_entry(change);
	enum side side = change->kind == FSMETA_CHANGE_REMOVED ? OLDER : NEWER;
	struct candidate candidate = {.side = side};
	struct stack *stack = &walk->stacks[side];
	const struct above *above;
	struct above next = {.depth = entry->depth};
	const void *half;
	int code;

	candidate.place = fsmeta_change_reader_place(walk->reader, &candidate.ordinal);
	candidate.older_ordinal = candidate.ordinal;
	if (side == NEWER && entry->type == FSMETA_TYPE_FOLDER && fsmeta_hiding_kind(entry))
		candidate.flags = CANDIDATE_HIDES;
	leave_above(stack, change);
	code = track_to(&walk->halves, candidate.ordinal, &half, error);
	if (code || half)
		return code ? code : walk_half(moves, walk, half, entry, &candidate, error);
	above = top_above(stack);
	if (above && above->pair)
		code = add_by_place(moves, above, entry, &candidate, error);
	if (code)
		return code;
	if (entry->type != FSMETA_TYPE_FOLDER)
		return add_by_evidence(moves, change->kind, entry, &candidate, error);
	if (above) {
		next.pair = above->pair;
		next.base = above->base;
	}
	return push_above(stack, &next, error);
}

static bool is_stopped(const struct fsmeta_moves *moves)
{
	const volatile sig_atomic_t *stop = moves->compare->options->stop;

	return stop && *stop;
}

static int stopped(struct fsmeta_error *error)
{
	return fsmeta_error_set(error, FSMETA_E_STOPPED, NULL, action, "stopped");
}

static bool came_or_went(const struct fsmeta_change *change)
{
	return change->kind == FSMETA_CHANGE_REMOVED || change->kind == FSMETA_CHANGE_ADDED;
}

static int walk_all(struct fsmeta_moves *moves, struct fsmeta_error *error)
{
	struct walk walk = {.halves = {.sort = moves->halves}};
	const struct fsmeta_change *change;
	int code = fsmeta_change_reader_new(&walk.reader, moves->spool, WALK_AHEAD_BYTES, error);

	while (!code && (code = fsmeta_change_reader_next(walk.reader, &change, error)) > 0) {
		code = is_stopped(moves) ? stopped(error) : 0;
		if (!code && came_or_went(change))
			code = walk_record(moves, &walk, change, error);
	}
	fsmeta_change_reader_free(walk.reader);
	fsmeta_buffer_release(&walk.stacks[OLDER].items);
	fsmeta_buffer_release(&walk.stacks[NEWER].items);
	return code;
}

/* ---- 3: pairs ------------------------------------------------------------------ */

/** Candidates with one key, as far as they are neither taken nor barred. */
struct group {
	uint64_t key;
	uint64_t check;
	bool any;
	bool is_confused;
	struct candidate halves[2];
	uint64_t counts[3];
	uint64_t most_links;
};

/** What is at the same place in a pair of folders. */
static int end_place(struct fsmeta_moves *moves, struct group *group, struct fsmeta_error *error)
{
	const struct candidate *older = &group->halves[OLDER], *newer = &group->halves[NEWER];
	bool has_both = group->counts[OLDER] == 1 && group->counts[NEWER] == 1;
	bool is_same = has_both && !group->is_confused && older->pair == newer->pair;
	int code = 0;

	if (group->counts[NEWER] && newer->pair && !is_same) {
		code = add_outcome(moves, newer, newer->ordinal, true, error);
		return code ? code : note_hidden(moves, newer->flags, newer->older_ordinal, error);
	}
	if (!is_same)
		return 0;
	set_bit(moves->taken, older->ordinal);
	set_bit(moves->taken, newer->ordinal);
	if (older->value != newer->value || newer->flags & CANDIDATE_HIDES)
		code = add_outcome(moves, older, newer->ordinal, false, error);
	return code ? code : note_hidden(moves, newer->flags, older->ordinal, error);
}

static int end_evidence(struct fsmeta_moves *moves, struct group *group, struct fsmeta_error *error)
{
	if (group->counts[OLDER] != 1 || group->counts[NEWER] != 1 || group->is_confused)
		return 0;
	set_bit(moves->taken, group->halves[OLDER].ordinal);
	set_bit(moves->taken, group->halves[NEWER].ordinal);
	return add_outcome(moves, &group->halves[OLDER], group->halves[NEWER].ordinal, true, error);
}

static int pair_by(struct fsmeta_moves *moves, enum evidence evidence, struct fsmeta_error *error)
{
	struct fsmeta_sort *sort = moves->candidates[evidence];
	struct group group = {0};
	const void *record;
	int code = sort ? fsmeta_sort_finish(sort, error) : 0;

	while (sort && !code) {
		const struct candidate *candidate;

		code = fsmeta_sort_next(sort, &record, error);
		if (code < 0)
			break;
		candidate = record;
		if (group.any && (!code || candidate->key != group.key)) {
			int ended = evidence == BY_PLACE ? end_place(moves, &group, error)
							 : end_evidence(moves, &group, error);

			group.any = false;
			if (ended)
				code = ended;
		}
		if (code <= 0)
			break;
		code = 0;
		if (!group.any)
			group = (struct group){
			    .key = candidate->key, .check = candidate->check, .any = true};
		if (evidence != BY_PLACE && (has_bit(moves->taken, candidate->ordinal) ||
						has_bit(moves->barred, candidate->ordinal)))
			continue;
		group.is_confused |= candidate->check != group.check;
		group.halves[candidate->side] = *candidate;
		group.counts[candidate->side]++;
	}
	fsmeta_sort_free(sort);
	moves->candidates[evidence] = NULL;
	return code;
}

static int add_kept(struct fsmeta_moves *moves, struct fsmeta_error *error)
{
	uint64_t size = moves->kept ? fsmeta_spool_size(moves->kept) : 0;
	int code = 0;

	for (uint64_t at = 0; at < size && !code;) {
		struct candidate candidate = {.side = BOTH};
		uint64_t key[2];

		code = fsmeta_spool_read(moves->kept, at, key, sizeof(key), error);
		candidate.key = key[0];
		candidate.check = key[1];
		if (!code)
			code = add_to(
			    &moves->candidates[BY_LINK], &candidate, sizeof(candidate), error);
		at += sizeof(key);
	}
	return code;
}

/** The links of one inode that came or went: their ordinals. */
static void end_links(
    struct fsmeta_moves *moves, const struct group *group, const struct fsmeta_buffer *members)
{
	const uint64_t *ordinals = (const uint64_t *)(const void *)members->data;
	bool may_have_stayed = moves->has_unread && group->counts[OLDER] < group->most_links;

	if (!group->counts[BOTH] && !may_have_stayed)
		return;
	for (size_t i = 0; i < members->length / sizeof(*ordinals); i++)
		set_bit(moves->barred, ordinals[i]);
}

static int take_link(struct group *group, struct fsmeta_buffer *members,
    const struct candidate *candidate, struct fsmeta_error *error)
{
	group->counts[candidate->side]++;
	if (candidate->side == BOTH)
		return 0;
	if (candidate->side == OLDER && candidate->value > group->most_links)
		group->most_links = candidate->value;
	return fsmeta_buffer_append(members, &candidate->ordinal, sizeof(candidate->ordinal))
		   ? fsmeta_error_set_memory(error, action)
		   : 0;
}

/** Bars what has a link that stayed; or may have, where not everything was read. */
static int bar_links(struct fsmeta_moves *moves, struct fsmeta_error *error)
{
	int code = moves->candidates[BY_LINK] ? add_kept(moves, error) : 0;
	struct fsmeta_sort *sort = moves->candidates[BY_LINK];
	struct fsmeta_buffer members = {0};
	struct group group = {0};
	const void *record;

	if (!code && sort)
		code = fsmeta_sort_finish(sort, error);
	while (sort && !code && (code = fsmeta_sort_next(sort, &record, error)) > 0) {
		const struct candidate *candidate = record;

		if (candidate->key != group.key) {
			end_links(moves, &group, &members);
			group = (struct group){.key = candidate->key};
			fsmeta_buffer_clear(&members);
		}
		code = take_link(&group, &members, candidate, error);
	}
	end_links(moves, &group, &members);
	fsmeta_buffer_release(&members);
	fsmeta_sort_free(sort);
	moves->candidates[BY_LINK] = NULL;
	return code;
}

/* ---- 4: writing ------------------------------------------------------------------- */

enum frame_state {
	/** Came or went. */
	FRAME_WHOLE,
	/** Moved. */
	FRAME_MOVED,
	/** Went along with a folder that moved. */
	FRAME_ALONG,
	/** Of the older side: it is carried, the newer side could not look. */
	FRAME_CARRIED,
};

struct frame {
	enum frame_state state;
	uint32_t depth;
	/** Its change in the new spool; 0 and no change where it has none. */
	bool has_change;
	uint64_t place;
	uint32_t flags;
	uint64_t entries;
	uint64_t bytes;
	/** What hides things below it, from 1; 0 = nothing does. */
	size_t hidden;
};

struct rewrite {
	struct fsmeta_moves *moves;
	struct fsmeta_change_spool *out;
	struct fsmeta_diff_counts *counts;
	struct fsmeta_change_reader *reader;
	/** For older halves. */
	struct fsmeta_change_reader *picker;
	struct track halves;
	struct track outcomes;
	struct stack stacks[2];
	struct fsmeta_error *error;
};

static struct frame *top_of(struct stack *stack)
{
	size_t count = stack_count(stack, sizeof(struct frame));

	return count ? (struct frame *)(void *)stack->items.data + count - 1 : NULL;
}

static uint64_t file_bytes(const struct fsmeta_entry *entry)
{
	return entry->type == FSMETA_TYPE_FILE ? entry->size : 0;
}

static void count_change(struct rewrite *rewrite, const struct fsmeta_change *change)
{
	struct fsmeta_diff_counts *counts = rewrite->counts;

	counts->kinds[change->kind]++;
	if (change->flags & FSMETA_CHANGE_CONTINUED)
		counts->continued++;
	if (change->kind == FSMETA_CHANGE_ADDED)
		counts->bytes_added += file_bytes(change->after);
	if (change->kind == FSMETA_CHANGE_REMOVED)
		counts->bytes_removed += file_bytes(change->before);
}

static int put_change(struct rewrite *rewrite, const struct fsmeta_change *change, uint64_t *place)
{
	count_change(rewrite, change);
	return fsmeta_change_spool_append(rewrite->out, change, place, rewrite->error);
}

/** Whether what is in a folder of this state counts for it, if its own is the other. */
static bool counts_for(enum frame_state folder, enum frame_state entry)
{
	if (entry == FRAME_ALONG)
		return folder == FRAME_MOVED || folder == FRAME_ALONG;
	return entry == FRAME_WHOLE && folder == FRAME_WHOLE;
}

static void count_in(struct stack *stack, enum frame_state state, uint64_t entries, uint64_t bytes)
{
	struct frame *top = top_of(stack);

	if (!top || !counts_for(top->state, state))
		return;
	top->entries += entries;
	top->bytes += bytes;
}

static int close_top(struct rewrite *rewrite, struct stack *stack)
{
	struct frame frame = *top_of(stack);

	stack->items.length -= sizeof(frame);
	count_in(stack, frame.state, frame.entries, frame.bytes);
	if (!frame.has_change || !frame.entries)
		return 0;
	return fsmeta_change_spool_amend(
	    rewrite->out, frame.place, frame.flags, frame.entries, frame.bytes, rewrite->error);
}

static int close_all(struct rewrite *rewrite, struct stack *stack)
{
	int code = 0;

	while (!code && top_of(stack))
		code = close_top(rewrite, stack);
	return code;
}

static int leave_frames(
    struct rewrite *rewrite, struct stack *stack, const struct fsmeta_change *change)
{
	uint32_t depth = fsmeta_change_entry(change)->depth;
	int code = 0;

	if (!(change->flags & FSMETA_CHANGE_INSIDE))
		return close_all(rewrite, stack);
	while (!code && top_of(stack) && top_of(stack)->depth >= depth)
		code = close_top(rewrite, stack);
	return code;
}

static int push_frame(struct rewrite *rewrite, struct stack *stack,
    const struct fsmeta_entry *entry, const struct frame *frame)
{
	struct frame pushed = *frame;

	if (entry->type != FSMETA_TYPE_FOLDER)
		return 0;
	pushed.depth = entry->depth;
	return fsmeta_buffer_append(&stack->items, &pushed, sizeof(pushed))
		   ? fsmeta_error_set_memory(rewrite->error, action)
		   : 0;
}

/* What hides. */

static struct hidden *hidden_at(const struct fsmeta_moves *moves, size_t number)
{
	return (struct hidden *)(void *)moves->hidden.data + number - 1;
}

static int compare_hidden(const void *a, const void *b)
{
	const struct hidden *x = a, *y = b;

	return (x->older_ordinal > y->older_ordinal) - (x->older_ordinal < y->older_ordinal);
}

static void sort_hidden(struct fsmeta_moves *moves)
{
	if (moves->hidden.length)
		qsort(moves->hidden.data, moves->hidden.length / sizeof(struct hidden),
		    sizeof(struct hidden), compare_hidden);
}

/** Number of what the folder hides that was the record `ordinal`, 0 = it hides nothing. */
static size_t find_hidden(const struct fsmeta_moves *moves, uint64_t ordinal)
{
	const struct hidden key = {.older_ordinal = ordinal};
	const struct hidden *found = NULL;

	if (moves->hidden.length)
		found =
		    bsearch(&key, moves->hidden.data, moves->hidden.length / sizeof(struct hidden),
			sizeof(struct hidden), compare_hidden);
	return found ? (size_t)(found - (const struct hidden *)(void *)moves->hidden.data) + 1 : 0;
}

static void count_hidden(struct hidden *hidden, const struct fsmeta_entry *entry, bool was_known)
{
	hidden->entries++;
	hidden->bytes += file_bytes(entry);
	hidden->lost_sight |= was_known;
}

/** As the merge tells of a folder that both sides have and that hides something. */
static int put_hiding(struct rewrite *rewrite, const struct fsmeta_entry *before,
    const struct fsmeta_entry *after, size_t number)
{
	struct hidden *hidden = hidden_at(rewrite->moves, number);
	struct fsmeta_change change = {
	    .kind = fsmeta_hiding_kind(after), .before = before, .after = after};

	if (fsmeta_hiding_kind(before) == change.kind && before->error == after->error)
		change.flags = FSMETA_CHANGE_CONTINUED;
	hidden->is_written = true;
	hidden->kind = change.kind;
	hidden->flags = change.flags;
	/* Counted when it is known whether it stays. */
	return fsmeta_change_spool_append(rewrite->out, &change, &hidden->place, rewrite->error);
}

static int settle_hidden(struct rewrite *rewrite, const struct hidden *hidden)
{
	struct fsmeta_diff_counts *counts = rewrite->counts;
	uint32_t flags = hidden->flags;

	if (!hidden->is_written)
		return 0;
	if (hidden->kind == FSMETA_CHANGE_UNKNOWN && !hidden->entries)
		return fsmeta_change_spool_drop(rewrite->out, hidden->place, rewrite->error);
	if (hidden->entries && !hidden->lost_sight)
		flags |= FSMETA_CHANGE_CONTINUED;
	counts->kinds[hidden->kind]++;
	counts->continued += (flags & FSMETA_CHANGE_CONTINUED) != 0;
	return fsmeta_change_spool_amend(
	    rewrite->out, hidden->place, flags, hidden->entries, hidden->bytes, rewrite->error);
}

static int settle_all_hidden(struct rewrite *rewrite)
{
	size_t count = rewrite->moves->hidden.length / sizeof(struct hidden);
	int code = 0;

	for (size_t number = 1; number <= count && !code; number++)
		code = settle_hidden(rewrite, hidden_at(rewrite->moves, number));
	return code;
}

/* What went. */

static int rewrite_older(struct rewrite *rewrite, const struct fsmeta_change *change,
    uint64_t ordinal, const struct half *half)
{
	struct fsmeta_moves *moves = rewrite->moves;
	struct stack *stack = &rewrite->stacks[OLDER];
	const struct fsmeta_entry *entry = change->before;
	struct fsmeta_change out = *change;
	struct frame frame = {.state = FRAME_WHOLE};
	const struct frame *top = top_of(stack);
	int code;

	if (half && half->is_same) {
		fsmeta_change_reader_seek(rewrite->reader, half->end_place, half->end_ordinal);
		return 0;
	}
	if (has_bit(moves->taken, ordinal)) {
		frame.state = FRAME_ALONG;
		frame.hidden = find_hidden(moves, ordinal);
		return push_frame(rewrite, stack, entry, &frame);
	}
	/* It is not there, but who could tell? */
	if (top && top->hidden && !moves->compare->b_is_state) {
		frame.state = FRAME_CARRIED;
		frame.hidden = top->hidden;
		count_hidden(hidden_at(moves, top->hidden), entry, !entry->unknown_since);
		return push_frame(rewrite, stack, entry, &frame);
	}
	out.flags &= ~(uint32_t)FSMETA_CHANGE_INSIDE;
	if (top && top->state == FRAME_WHOLE)
		out.flags |= FSMETA_CHANGE_INSIDE;
	out.entries = 0;
	out.bytes = 0;
	count_in(stack, FRAME_WHOLE, 1, file_bytes(entry));
	code = put_change(rewrite, &out, &frame.place);
	frame.has_change = true;
	frame.flags = out.flags;
	return code ? code : push_frame(rewrite, stack, entry, &frame);
}

/* What came. */

/** An entry that has an older half somewhere else. */
static int rewrite_arrival(struct rewrite *rewrite, const struct fsmeta_entry *after,
    const struct outcome *outcome, const struct half *half, struct frame *frame)
{
	const struct fsmeta_change *older;
	struct fsmeta_change out = {.kind = FSMETA_CHANGE_MODIFIED};
	struct fsmeta_compared compared;
	int code = fsmeta_change_reader_at(rewrite->picker, outcome->place, &older, rewrite->error);

	if (code)
		return code;
	fsmeta_compare_pair(&compared, rewrite->moves->compare, older->before, after);
	out.before = older->before;
	out.after = compared.after;
	out.fields = compared.fields;
	if (outcome->is_move) {
		out.kind = FSMETA_CHANGE_MOVED;
		if (half && half->is_same) {
			out.entries = half->entries;
			out.bytes = half->bytes;
		}
	} else if (compared.is_corrupted) {
		out.kind = FSMETA_CHANGE_CORRUPTED;
	}
	if (outcome->is_move || out.fields) {
		code = put_change(rewrite, &out, &frame->place);
		frame->has_change = outcome->is_move;
	}
	frame->hidden = find_hidden(rewrite->moves, outcome->older_ordinal);
	if (!code && frame->hidden)
		code = put_hiding(rewrite, out.before, out.after, frame->hidden);
	return code;
}

static int rewrite_taken(struct rewrite *rewrite, const struct fsmeta_entry *after,
    const struct outcome *outcome, const struct half *half)
{
	struct stack *stack = &rewrite->stacks[NEWER];
	struct frame frame = {.state = FRAME_ALONG};
	bool jumps = half && half->is_same;
	int code = 0;

	if (outcome && outcome->is_move)
		frame.state = FRAME_MOVED;
	else
		count_in(stack, FRAME_ALONG, 1 + (jumps ? half->entries : 0),
		    file_bytes(after) + (jumps ? half->bytes : 0));
	if (outcome)
		code = rewrite_arrival(rewrite, after, outcome, half, &frame);
	if (code)
		return code;
	if (!jumps)
		return push_frame(rewrite, stack, after, &frame);
	fsmeta_change_reader_seek(rewrite->reader, half->end_place, half->end_ordinal);
	return 0;
}

/** A state shows what it carries: counted with what hides it. */
static void count_shown(struct rewrite *rewrite, const struct fsmeta_entry *entry)
{
	struct stack *stack = &rewrite->stacks[NEWER];
	size_t at = stack_count(stack, sizeof(struct frame));
	const struct frame *frames = (const struct frame *)(const void *)stack->items.data;

	if (!entry->unknown_since || !rewrite->moves->compare->b_is_state)
		return;
	while (at && !frames[at - 1].hidden)
		at--;
	if (at)
		count_hidden(hidden_at(rewrite->moves, frames[at - 1].hidden), entry, true);
}

static int rewrite_newer(struct rewrite *rewrite, const struct fsmeta_change *change,
    uint64_t ordinal, const struct half *half)
{
	struct stack *stack = &rewrite->stacks[NEWER];
	const struct fsmeta_entry *entry = change->after;
	struct fsmeta_change out = *change;
	struct frame frame = {.state = FRAME_WHOLE, .has_change = true};
	const struct frame *top = top_of(stack);
	const void *outcome;
	int code = track_to(&rewrite->outcomes, ordinal, &outcome, rewrite->error);

	if (code)
		return code;
	count_shown(rewrite, entry);
	if (has_bit(rewrite->moves->taken, ordinal))
		return rewrite_taken(rewrite, entry, outcome, half);
	out.flags &= ~(uint32_t)FSMETA_CHANGE_INSIDE;
	if (top && top->state == FRAME_WHOLE)
		out.flags |= FSMETA_CHANGE_INSIDE;
	out.entries = 0;
	out.bytes = 0;
	count_in(stack, FRAME_WHOLE, 1, file_bytes(entry));
	code = put_change(rewrite, &out, &frame.place);
	frame.flags = out.flags;
	return code ? code : push_frame(rewrite, stack, entry, &frame);
}

static int rewrite_record(struct rewrite *rewrite, const struct fsmeta_change *change)
{
	enum side side = change->kind == FSMETA_CHANGE_REMOVED ? OLDER : NEWER;
	const void *half;
	uint64_t ordinal;
	int code;

	if (!came_or_went(change))
		return put_change(rewrite, change, NULL);
	fsmeta_change_reader_place(rewrite->reader, &ordinal);
	code = leave_frames(rewrite, &rewrite->stacks[side], change);
	if (!code)
		code = track_to(&rewrite->halves, ordinal, &half, rewrite->error);
	if (code)
		return code;
	return side == OLDER ? rewrite_older(rewrite, change, ordinal, half)
			     : rewrite_newer(rewrite, change, ordinal, half);
}

static int rewrite_all(struct rewrite *rewrite)
{
	const struct fsmeta_change *change;
	int code = 0;

	while ((code = fsmeta_change_reader_next(rewrite->reader, &change, rewrite->error)) > 0) {
		if (is_stopped(rewrite->moves))
			return stopped(rewrite->error);
		if (fsmeta_change_reader_dropped(rewrite->reader))
			continue;
		code = rewrite_record(rewrite, change);
		if (code)
			return code;
	}
	if (!code)
		code = close_all(rewrite, &rewrite->stacks[OLDER]);
	if (!code)
		code = close_all(rewrite, &rewrite->stacks[NEWER]);
	return code ? code : settle_all_hidden(rewrite);
}

static int begin_track(struct track *track, struct fsmeta_sort *sort, struct fsmeta_error *error)
{
	*track = (struct track){.sort = sort};
	return sort ? fsmeta_sort_rewind(sort, error) : 0;
}

static int rewrite_changes(struct fsmeta_change_spool **out, struct fsmeta_moves *moves,
    struct fsmeta_diff_counts *counts, struct fsmeta_error *error)
{
	struct rewrite rewrite = {.moves = moves, .counts = counts, .error = error};
	int code =
	    fsmeta_change_spool_new(&rewrite.out, moves->compare->options->spool_bytes, error);

	memset(counts->kinds, 0, sizeof(counts->kinds));
	counts->continued = 0;
	counts->bytes_added = 0;
	counts->bytes_removed = 0;
	sort_hidden(moves);
	if (!code)
		code = fsmeta_change_reader_new(
		    &rewrite.reader, moves->spool, WALK_AHEAD_BYTES, error);
	if (!code)
		code = fsmeta_change_reader_new(
		    &rewrite.picker, moves->spool, PICK_AHEAD_BYTES, error);
	if (!code)
		code = begin_track(&rewrite.halves, moves->halves, error);
	if (!code)
		code = begin_track(&rewrite.outcomes, moves->outcomes, error);
	if (!code)
		code = rewrite_all(&rewrite);
	fsmeta_buffer_release(&rewrite.stacks[OLDER].items);
	fsmeta_buffer_release(&rewrite.stacks[NEWER].items);
	fsmeta_change_reader_free(rewrite.reader);
	fsmeta_change_reader_free(rewrite.picker);
	if (code) {
		fsmeta_change_spool_free(rewrite.out);
		rewrite.out = NULL;
	}
	*out = rewrite.out;
	return code;
}

/* ---- all together -------------------------------------------------------------------- */

static int make_bits(struct fsmeta_moves *moves, struct fsmeta_error *error)
{
	size_t bytes = (size_t)(fsmeta_change_spool_count(moves->spool) / 8) + 1;

	moves->taken = calloc(1, bytes);
	moves->barred = calloc(1, bytes);
	return moves->taken && moves->barred ? 0 : fsmeta_error_set_memory(error, action);
}

static int find_pairs(struct fsmeta_moves *moves, struct fsmeta_error *error)
{
	int code = make_bits(moves, error);

	for (size_t i = 0; i < FOLDER_EVIDENCE_COUNT && !code; i++)
		code = pair_folders_by(moves, i, error);
	if (!code && moves->halves)
		code = fsmeta_sort_finish(moves->halves, error);
	if (!code)
		code = walk_all(moves, error);
	if (!code)
		code = bar_links(moves, error);
	for (enum evidence evidence = BY_PLACE; evidence < BY_LINK && !code; evidence++)
		code = pair_by(moves, evidence, error);
	if (!code && moves->outcomes)
		code = fsmeta_sort_finish(moves->outcomes, error);
	return code;
}

int fsmeta_moves_resolve(struct fsmeta_change_spool **out, struct fsmeta_moves *moves,
    struct fsmeta_diff_counts *counts, struct fsmeta_error *error)
{
	int code;

	*out = NULL;
	if (!moves->went || !moves->came)
		return 0;
	code = find_pairs(moves, error);
	if (code || (!moves->pairs && !moves->outcomes))
		return code;
	return rewrite_changes(out, moves, counts, error);
}
