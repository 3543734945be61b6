/*
 * Evidence becomes a key of 128 bits: what counts is laid into a buffer, word after word, and
 * hashed.  Of a file system its index in the older side's table counts.
 */
#include "base/path.h"
#include "diff/fold.h"
#include "diff/moves_parts.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
	/** A folded name may have become longer. */
	NAME_MAX_BYTES = 4 * FSMETA_NAME_MAX_BYTES,
	/** Sums and keys of an entry without its name and target. */
	TERM_MAX_BYTES = 25 * 8 + FSMETA_HASH_MAX_BYTES,
	STRONG_FIELDS = FSMETA_FIELD_DEVICE | FSMETA_FIELD_INODE | FSMETA_FIELD_BTIME,
	LINK_FIELDS = FSMETA_FIELD_DEVICE | FSMETA_FIELD_INODE | FSMETA_FIELD_NLINK,
	NAME_FIELDS = FSMETA_FIELD_SIZE | FSMETA_FIELD_MTIME,
};

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

bool fsmeta_moves_find_term(struct fsmeta_moves *moves, enum fsmeta_change_kind kind,
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
		*identity = fsmeta_moves_stir(*identity ^ entry->id);
	else if (entry->fields & FSMETA_FIELD_INODE)
		*identity = fsmeta_moves_stir(fsmeta_moves_stir(*identity ^ entry->inode) ^
					      (uint64_t)entry->btime.seconds * 1000000000 ^
					      entry->btime.nanoseconds);
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

void fsmeta_moves_make_key(uint64_t key[2], struct fsmeta_moves *moves,
    enum fsmeta_moves_evidence evidence, enum fsmeta_change_kind kind,
    const struct fsmeta_entry *entry)
{
	bool by_evidence = moves->wanted & FSMETA_DIFF_MOVES_BY_EVIDENCE;
	uint32_t needed = 0;
	uint64_t device = 0;
	struct mix mix;

	key[0] = key[1] = 0;
	if (evidence == FSMETA_MOVES_BY_INODE)
		needed = STRONG_FIELDS;
	else if (evidence == FSMETA_MOVES_BY_LINK)
		needed = LINK_FIELDS;
	else if (evidence == FSMETA_MOVES_BY_NAME)
		needed = entry->type == FSMETA_TYPE_FOLDER ? FSMETA_FIELD_MTIME : NAME_FIELDS;
	else if (evidence == FSMETA_MOVES_BY_HASH)
		needed = FSMETA_FIELD_HASH | FSMETA_FIELD_SIZE;
	if ((entry->fields & needed) != needed ||
	    !begin_mix(moves, &mix, NAME_MAX_BYTES + entry->target_length))
		return;
	if (evidence == FSMETA_MOVES_BY_ID
		? !entry->id || !(moves->wanted & FSMETA_DIFF_MOVES_BY_ID)
		: !by_evidence)
		return;
	/* What is empty has nothing that it could be known by. */
	if (evidence == FSMETA_MOVES_BY_HASH && (!entry->size || entry->type != FSMETA_TYPE_FILE))
		return;
	if (needed & FSMETA_FIELD_DEVICE && !find_device(moves, kind, entry, &device))
		return;
	mix_word(&mix, (uint64_t)evidence << 32 | (uint64_t)entry->type);
	if (evidence == FSMETA_MOVES_BY_ID) {
		mix_word(&mix, entry->id);
	} else if (evidence == FSMETA_MOVES_BY_LINK) {
		mix_word(&mix, device);
		mix_word(&mix, entry->inode);
	} else if (evidence == FSMETA_MOVES_BY_INODE) {
		mix_word(&mix, device);
		mix_word(&mix, entry->inode);
		mix_time(&mix, entry->btime);
	} else {
		mix_fields(&mix, moves, kind, entry, needed);
		if (evidence == FSMETA_MOVES_BY_NAME && !mix_folded_name(moves, &mix, entry))
			return;
	}
	set_key(key, moves, &mix);
}

int fsmeta_moves_make_place_key(uint64_t key[2], struct fsmeta_moves *moves, uint64_t pair,
    size_t base, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	struct mix mix;

	if (!begin_mix(moves, &mix, entry->path_length))
		return fsmeta_error_set_memory(error, "looking for moves");
	mix_word(&mix, pair);
	mix_word(&mix, moves->compare->options->compare_ids ? entry->id : 0);
	mix_word(&mix, entry->type);
	mix_bytes(&mix, entry->path + base, entry->path_length - base);
	set_key(key, moves, &mix);
	return 0;
}
