/*
 * A sorted table outside of memory.
 *
 *     generation ──► sort by key ──► [ block 0 ][ block 1 ][ block 2 ] …   in a spool
 *                                      │          │          │
 *                       first keys:   [k0]       [k1]       [k2]  …        in memory
 *
 * A record is 48 bytes, and an archive of millions of files would be a burden as a hash table.
 * Who looks something up is about to read a file otherwise, so reading one block is cheap: the
 * first keys of all blocks say which one, and the table needs a byte of memory for eight files.
 *
 * The key is a hash of the file system's UUID, inode, size, mtime and birth time.  Where there
 * is no birth time the UUID must be there, and the other way round: an inode number alone
 * is used again by other files, or by other file systems.
 */
#include "tools/known_contents.h"

#include "base/sort.h"
#include "base/spool.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
	SORT_BYTES = 8 << 20,
	SPOOL_BYTES = 1 << 20,
	BLOCK_RECORDS = 64,
};

static const char action[] = "looking for known contents";

struct record {
	uint64_t key;
	uint64_t check;
	unsigned char hash[FSMETA_HASH_MAX_BYTES];
};

struct fsmeta_known_contents {
	enum fsmeta_hash_algorithm algorithm;
	struct fsmeta_spool *records;
	/** The first key of each block, uint64_t. */
	struct fsmeta_buffer blocks;
};

/* ---- keys ----------------------------------------------------------------- */

/** The UUID of the entry's file system; "" where it has none. */
static const char *uuid_of(
    const struct fsmeta_entry *entry, const struct fsmeta_batch_source *source)
{
	bool is_known =
	    entry->fields & FSMETA_FIELD_DEVICE && entry->device < source->filesystem_count;

	return is_known ? source->filesystems[entry->device].uuid : "";
}

bool fsmeta_known_contents_can_find(
    const struct fsmeta_entry *entry, const struct fsmeta_batch_source *source)
{
	const uint32_t needed = FSMETA_FIELD_SIZE | FSMETA_FIELD_MTIME | FSMETA_FIELD_INODE;

	return entry->type == FSMETA_TYPE_FILE && (entry->fields & needed) == needed &&
	       (entry->fields & FSMETA_FIELD_BTIME || uuid_of(entry, source)[0]);
}

static void make_key(
    struct record *out, const struct fsmeta_entry *entry, const struct fsmeta_batch_source *source)
{
	const char *uuid = uuid_of(entry, source);
	bool has_btime = entry->fields & FSMETA_FIELD_BTIME;
	const uint64_t words[] = {
	    XXH3_64bits(uuid, strlen(uuid)),
	    has_btime,
	    entry->inode,
	    entry->size,
	    (uint64_t)entry->mtime.seconds,
	    entry->mtime.nanoseconds,
	    has_btime ? (uint64_t)entry->btime.seconds : 0,
	    has_btime ? entry->btime.nanoseconds : 0,
	};
	XXH128_hash_t hash = XXH3_128bits(words, sizeof(words));

	out->key = hash.low64;
	out->check = hash.high64;
}

/* ---- reading the generation ------------------------------------------------ */

static int sort_contents(const struct fsmeta_known_contents *known, struct fsmeta_sort *sort,
    struct fsmeta_cursor *cursor, struct fsmeta_error *error)
{
	const struct fsmeta_entry *entry;
	int code;

	while ((code = fsmeta_cursor_next(cursor, &entry, error)) > 0) {
		struct record record = {0};

		if (!(entry->fields & FSMETA_FIELD_HASH) ||
		    entry->hash_algorithm != known->algorithm ||
		    !fsmeta_known_contents_can_find(entry, cursor->source))
			continue;
		make_key(&record, entry, cursor->source);
		memcpy(record.hash, entry->hash, fsmeta_hash_bytes(entry->hash_algorithm));
		code = fsmeta_sort_add(sort, &record, error);
		if (code)
			return code;
	}
	return code ? code : fsmeta_sort_finish(sort, error);
}

static int lay_down(
    struct fsmeta_known_contents *known, struct fsmeta_sort *sort, struct fsmeta_error *error)
{
	const void *record;
	uint64_t count = 0;
	int code;

	while ((code = fsmeta_sort_next(sort, &record, error)) > 0) {
		if (count++ % BLOCK_RECORDS == 0 &&
		    fsmeta_buffer_append(&known->blocks, record, sizeof(uint64_t)))
			return fsmeta_error_set_memory(error, action);
		code =
		    fsmeta_spool_append(known->records, record, sizeof(struct record), NULL, error);
		if (code)
			return code;
	}
	return code;
}

int fsmeta_known_contents_new(struct fsmeta_known_contents **out, struct fsmeta_db *db,
    uint64_t number, enum fsmeta_hash_algorithm algorithm, const volatile sig_atomic_t *stop,
    struct fsmeta_error *error)
{
	const struct fsmeta_db_cursor_options options = {.stop = stop};
	struct fsmeta_known_contents *known = calloc(1, sizeof(*known));
	struct fsmeta_cursor *cursor = NULL;
	struct fsmeta_sort *sort = NULL;
	int code;

	*out = NULL;
	if (!known)
		return fsmeta_error_set_memory(error, action);
	known->algorithm = algorithm;
	code = fsmeta_sort_new(&sort, sizeof(struct record), SORT_BYTES, error);
	if (!code)
		code = fsmeta_spool_new(&known->records, SPOOL_BYTES, NULL, error);
	if (!code)
		code = fsmeta_db_cursor(&cursor, db, number, &options, error);
	if (!code)
		code = sort_contents(known, sort, cursor, error);
	if (!code)
		code = lay_down(known, sort, error);
	fsmeta_cursor_close(cursor);
	fsmeta_sort_free(sort);
	if (code)
		fsmeta_known_contents_free(known);
	else
		*out = known;
	return code;
}

void fsmeta_known_contents_free(struct fsmeta_known_contents *known)
{
	if (!known)
		return;
	fsmeta_spool_free(known->records);
	fsmeta_buffer_release(&known->blocks);
	free(known);
}

/* ---- finding ---------------------------------------------------------------- */

/** The first block that can hold the key: the last one that begins with a lower key. */
static uint64_t find_block(const struct fsmeta_known_contents *known, uint64_t key)
{
	const uint64_t *first_keys = (const uint64_t *)(const void *)known->blocks.data;
	size_t low = 0, high = known->blocks.length / sizeof(*first_keys);

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (first_keys[middle] < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? low - 1 : 0;
}

/** What one block says about `wanted`. */
struct finding {
	bool is_found;
	bool is_ambiguous;
	/** A greater key was met. */
	bool is_complete;
	unsigned char hash[FSMETA_HASH_MAX_BYTES];
};

static void search_block(struct finding *finding, const struct record *records, size_t count,
    const struct record *wanted)
{
	for (size_t i = 0; i < count && !finding->is_complete; i++) {
		const struct record *record = &records[i];

		finding->is_complete = record->key > wanted->key;
		if (record->key != wanted->key || record->check != wanted->check)
			continue;
		if (!finding->is_found)
			memcpy(finding->hash, record->hash, sizeof(finding->hash));
		finding->is_found = true;
		finding->is_ambiguous |=
		    memcmp(finding->hash, record->hash, sizeof(finding->hash)) != 0;
	}
}

int fsmeta_known_contents_find(struct fsmeta_known_contents *known,
    const struct fsmeta_entry *entry, const struct fsmeta_batch_source *source,
    struct fsmeta_content_hash *hash, struct fsmeta_error *error)
{
	struct record block[BLOCK_RECORDS];
	uint64_t end = fsmeta_spool_size(known->records);
	struct finding finding = {0};
	struct record wanted;
	uint64_t at;

	if (!fsmeta_known_contents_can_find(entry, source))
		return 0;
	make_key(&wanted, entry, source);
	at = find_block(known, wanted.key) * sizeof(block);
	while (at < end && !finding.is_complete) {
		size_t bytes = end - at < sizeof(block) ? (size_t)(end - at) : sizeof(block);
		int code = fsmeta_spool_read(known->records, at, block, bytes, error);

		if (code)
			return code;
		search_block(&finding, block, bytes / sizeof(block[0]), &wanted);
		at += bytes;
	}
	if (!finding.is_found || finding.is_ambiguous)
		return 0;
	*hash = (struct fsmeta_content_hash){.algorithm = known->algorithm};
	memcpy(hash->bytes, finding.hash, sizeof(hash->bytes));
	return 1;
}
