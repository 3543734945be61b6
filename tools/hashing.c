/*
 * Hashing ahead, in order.
 *
 *     live ──► judge ──►  ring of slots, in order            ──► next()
 *                │        [a ✓][b …][c ✓][d …][e –]
 *     newest ────┘              │         │
 *     generation              hasher's threads
 *
 * Judge merges the live tree with the newest generation, both in canonical order, and says
 * of each file where its hash comes from:
 *
 *     known       size, mtime and inode are those of the newest generation, which has a hash
 *     again       the same, but it is among the oldest and to be read once more
 *     moved       the same, but it has another path there (tools/known_contents.h)
 *     journal     a scan that did not end has read it
 *     read        everything else
 *     none        no regular file, or its metadata could not be read
 *
 * Only what waits for a thread makes entries wait behind it: while there is nothing to be
 * read an entry goes through without being copied.  Once there is, entries are copied into
 * a ring of slots, each with its own reused buffer, until the ring is full or holds too
 * many bytes; the threads work on the whole ring, and next() waits for its first slot alone.
 * When no slot waits for a thread any more the ring runs empty, and entries go through again.
 *
 * Why again when the hash is known?  Because a disk forgets silently.  If what is read then is
 * other than what was known, while size and mtime are not, the content is corrupted: the
 * diff says so, and so do we, at once.  If it cannot be read at all, the known hash
 * stays: it is still the best knowledge, and the file stays among the oldest.
 *
 * Source.  Field mask, algorithm and the time of the end are ours, everything else is the live
 * cursor's; so our source is a copy of the struct, refreshed as its lists grow, that borrows
 * all that it points to.
 */
#include "tools/hashing.h"

#include "base/path.h"
#include "scanner/hasher.h"
#include "tools/command.h"
#include "tools/corruption.h"
#include "tools/hash_journal.h"
#include "tools/known_contents.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	/** Entries that are ahead of the one that is handed out. */
	SLOTS = 4096,
	/** Bytes of their paths and targets. */
	SLOT_BYTES_MAX = 16 << 20,
	/** A slot's buffer that is larger is given back. */
	SLOT_KEEP_BYTES = 16 << 10,
	/** Unreadable files that are named one by one. */
	NAMED_MAX = 10,
};

static const char action[] = "hashing contents";

/** What the newest generation knows about a file's content. */
struct known {
	/** 0: nothing. */
	uint64_t id;
	struct fsmeta_content_hash hash;
	/** Size and mtime are what they were; inode, too. */
	bool is_comparable;
	bool is_same_file;
};

struct slot {
	struct fsmeta_hashing *hashing;
	/** Path and target in `bytes`. */
	struct fsmeta_entry entry;
	struct fsmeta_buffer bytes;
	struct known known;
	struct fsmeta_hash_key key;
	bool has_job;
	struct fsmeta_hash_job job;
};

/** A file that is to be named at the end. */
struct named {
	char *path;
	int error_number;
};

struct named_list {
	struct named items[NAMED_MAX];
	size_t count;
};

struct fsmeta_hashing {
	struct fsmeta_cursor cursor;
	struct fsmeta_cursor *inner;
	struct fsmeta_batch_source source;
	struct fsmeta_hashing_options options;
	/** The algorithm of what is handed on. */
	enum fsmeta_hash_algorithm algorithm;
	struct fsmeta_hash_journal *journal;
	struct fsmeta_hasher *hasher;

	/** The newest generation and its entry in hand; NULL = none, ended. */
	struct fsmeta_cursor *newest;
	const struct fsmeta_entry *held;
	/** Its number, 0 = there is none with hashes; and when it was finished. */
	uint64_t newest_number;
	struct fsmeta_time newest_finished;
	/** What it knows of files at other paths; NULL until one is asked for. */
	struct fsmeta_known_contents *elsewhere;
	/** Ids of files that are to be read again, ascending; *owned*. */
	uint64_t *oldest;
	size_t oldest_count;
	/** Ids, uint64_t each, of those whose content was read and is as it was. */
	struct fsmeta_buffer confirmed;

	struct slot *slots;
	size_t first;
	size_t count;
	/** How many of them wait for a thread. */
	size_t jobs;
	/** The first slot has been handed out. */
	bool is_first_out;
	size_t slot_bytes;
	bool live_ended;
	bool has_finished;
	/** What goes through without waiting. */
	struct fsmeta_entry passing;
	struct fsmeta_buffer scratch;
	struct fsmeta_content_hash empty;

	struct fsmeta_hashing_counts counts;
	struct fsmeta_corruption corrupted;
	struct named_list unreadable;
};

static struct fsmeta_hashing *hashing_of(struct fsmeta_cursor *cursor)
{
	return (struct fsmeta_hashing *)(void *)cursor;
}

static bool reads(const struct fsmeta_hashing *hashing)
{
	return hashing->hasher != NULL;
}

/* ---- what is known -------------------------------------------------------- */

static int hold_next(struct fsmeta_hashing *hashing, struct fsmeta_error *error)
{
	int code = fsmeta_cursor_next(hashing->newest, &hashing->held, error);

	if (code > 0)
		return 0;
	hashing->held = NULL;
	fsmeta_cursor_close(hashing->newest);
	hashing->newest = NULL;
	return code;
}

/** Takes the newest generation's cursor to `path` or behind. */
static int find_known(
    struct fsmeta_hashing *hashing, const struct fsmeta_entry *live, struct fsmeta_error *error)
{
	int code = 0;

	while (!code && hashing->newest && hashing->held &&
	       fsmeta_path_compare(hashing->held->path, hashing->held->path_length, live->path,
		   live->path_length) < 0)
		code = hold_next(hashing, error);
	return code;
}

static bool is_comparable(const struct fsmeta_entry *before, const struct fsmeta_entry *live)
{
	return before->size == live->size && fsmeta_time_compare(before->mtime, live->mtime) == 0;
}

/** Inode numbers that do not survive a mount are left out of entries and say nothing. */
static bool is_same_file(const struct fsmeta_entry *before, const struct fsmeta_entry *live)
{
	uint32_t both = before->fields & live->fields;

	return !(both & FSMETA_FIELD_INODE) || before->inode == live->inode;
}

static void compare_with_known(
    const struct fsmeta_hashing *hashing, const struct fsmeta_entry *live, struct known *known)
{
	const uint32_t needed = FSMETA_FIELD_SIZE | FSMETA_FIELD_MTIME;
	const struct fsmeta_entry *before = hashing->held;

	memset(known, 0, sizeof(*known));
	if (!before || before->type != FSMETA_TYPE_FILE ||
	    fsmeta_path_compare(before->path, before->path_length, live->path, live->path_length) !=
		0)
		return;
	if ((before->fields & needed) != needed || !(before->fields & FSMETA_FIELD_HASH) ||
	    before->hash_algorithm != hashing->algorithm)
		return;
	known->id = before->id;
	known->hash.algorithm = before->hash_algorithm;
	memcpy(known->hash.bytes, before->hash, fsmeta_hash_bytes(before->hash_algorithm));
	known->is_comparable = is_comparable(before, live);
	known->is_same_file = known->is_comparable && is_same_file(before, live);
}

static bool is_among_oldest(const struct fsmeta_hashing *hashing, uint64_t id)
{
	size_t low = 0, high = hashing->oldest_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (hashing->oldest[middle] < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < hashing->oldest_count && hashing->oldest[low] == id;
}

/* ---- what was found ------------------------------------------------------- */

static void set_hash(struct fsmeta_entry *entry, const struct fsmeta_content_hash *hash)
{
	entry->hash_algorithm = hash->algorithm;
	memcpy(entry->hash, hash->bytes, sizeof(entry->hash));
	entry->fields |= FSMETA_FIELD_HASH;
}

static void clear_hash(struct fsmeta_entry *entry)
{
	entry->hash_algorithm = FSMETA_HASH_NONE;
	memset(entry->hash, 0, sizeof(entry->hash));
	entry->fields &= ~(uint32_t)FSMETA_FIELD_HASH;
}

/** Without memory for a name it is counted all the same. */
static void name_file(struct named_list *list, const struct fsmeta_entry *entry, int error_number)
{
	char *path;

	if (list->count == NAMED_MAX)
		return;
	path = strndup(entry->path, entry->path_length);
	if (path)
		list->items[list->count++] =
		    (struct named){.path = path, .error_number = error_number};
}

/** The content is `hash`: is it what was known? */
static int take_hash(struct fsmeta_hashing *hashing, struct fsmeta_entry *entry,
    const struct known *known, const struct fsmeta_content_hash *hash, struct fsmeta_error *error)
{
	set_hash(entry, hash);
	if (!known->id)
		return 0;
	if (fsmeta_content_hash_equal(&known->hash, hash))
		return fsmeta_buffer_append(&hashing->confirmed, &known->id, sizeof(known->id))
			   ? fsmeta_error_set_memory(error, action)
			   : 0;
	if (known->is_comparable)
		fsmeta_corruption_add(&hashing->corrupted, entry);
	return 0;
}

/** Runs on one of the hasher's threads. */
static void write_down(void *payload, const struct fsmeta_hash_job *job)
{
	struct fsmeta_hashing *hashing = payload;
	const struct slot *slot = job->payload;

	if (job->outcome == FSMETA_CONTENT_HASHED)
		fsmeta_hash_journal_add(
		    hashing->journal, &slot->key, &job->hash, slot->entry.nlink > 1);
}

/** What came of a job goes into its entry. */
static int settle(struct fsmeta_hashing *hashing, struct slot *slot, struct fsmeta_error *error)
{
	struct fsmeta_hash_job *job = &slot->job;

	slot->has_job = false;
	hashing->jobs--;
	fsmeta_hasher_wait(hashing->hasher, job);
	switch (job->outcome) {
	case FSMETA_CONTENT_HASHED:
		hashing->counts.read++;
		return take_hash(hashing, &slot->entry, &slot->known, &job->hash, error);
	case FSMETA_CONTENT_STOPPED:
		return fsmeta_error_set(
		    error, FSMETA_E_STOPPED, NULL, action, "stopped on request");
	case FSMETA_CONTENT_UNREADABLE:
		hashing->counts.unreadable++;
		name_file(&hashing->unreadable, &slot->entry, job->error_number);
		break;
	case FSMETA_CONTENT_CHANGED:
		hashing->counts.changed++;
		break;
	}
	if (slot->known.is_same_file)
		set_hash(&slot->entry, &slot->known.hash);
	return 0;
}

/* ---- judging -------------------------------------------------------------- */

/** Where a file's hash comes from. */
enum origin {
	ORIGIN_NONE,
	ORIGIN_KNOWN,
	ORIGIN_AT_HAND,
	ORIGIN_READ,
};

struct judgement {
	enum origin origin;
	bool from_disk;
	struct known known;
	struct fsmeta_hash_key key;
	/** With AT_HAND. */
	struct fsmeta_content_hash hash;
};

/**
 * Whether the newest generation can have it at another path.  What was born after that cannot
 * have been there: of an archive that only grows the generation is not read for this.
 */
static bool may_have_moved(const struct fsmeta_hashing *hashing, const struct fsmeta_entry *live)
{
	if (!hashing->newest_number || hashing->options.no_moves || !live->size ||
	    !fsmeta_known_contents_can_find(live, hashing->inner->source))
		return false;
	return !(live->fields & FSMETA_FIELD_BTIME) ||
	       fsmeta_time_compare(live->btime, hashing->newest_finished) <= 0;
}

/** 1 with *hash where the file was known at another path. */
static int find_elsewhere(struct fsmeta_hashing *hashing, const struct fsmeta_entry *live,
    struct fsmeta_content_hash *hash, struct fsmeta_error *error)
{
	int code = 0;

	if (!may_have_moved(hashing, live))
		return 0;
	if (!hashing->elsewhere)
		code = fsmeta_known_contents_new(&hashing->elsewhere, hashing->options.db,
		    hashing->newest_number, hashing->algorithm, hashing->options.stop, error);
	return code ? code
		    : fsmeta_known_contents_find(
			  hashing->elsewhere, live, hashing->inner->source, hash, error);
}

/** A file that has to be read, unless it was before. */
static int judge_unknown(struct fsmeta_hashing *hashing, const struct fsmeta_entry *live,
    struct judgement *out, struct fsmeta_error *error)
{
	/* There is but one empty content. */
	if (live->size == 0) {
		out->origin = ORIGIN_AT_HAND;
		out->hash = hashing->empty;
		return 0;
	}
	if (fsmeta_hash_key_make(&out->key, live, hashing->inner->source, &hashing->scratch))
		return fsmeta_error_set_memory(error, action);
	out->origin = ORIGIN_READ;
	if (fsmeta_hash_journal_find(hashing->journal, &out->key, hashing->algorithm, &out->hash)) {
		out->origin = ORIGIN_AT_HAND;
		hashing->counts.resumed++;
	}
	return 0;
}

static int judge(struct fsmeta_hashing *hashing, const struct fsmeta_entry *live,
    struct judgement *out, struct fsmeta_error *error)
{
	const uint32_t needed = FSMETA_FIELD_SIZE | FSMETA_FIELD_MTIME;
	int code;

	out->origin = ORIGIN_NONE;
	if (live->type != FSMETA_TYPE_FILE || live->flags & FSMETA_FLAG_UNREADABLE ||
	    (live->fields & needed) != needed)
		return 0;
	code = find_known(hashing, live, error);
	if (code)
		return code;
	compare_with_known(hashing, live, &out->known);
	out->from_disk = out->known.is_same_file && is_among_oldest(hashing, out->known.id);
	if (out->known.is_same_file && !out->from_disk) {
		out->origin = ORIGIN_KNOWN;
		hashing->counts.known++;
		return 0;
	}
	/* Where all but the inode is what it was here, reading tells which of the two it is. */
	if (!out->known.is_comparable) {
		code = find_elsewhere(hashing, live, &out->known.hash, error);
		if (code < 0)
			return code;
	}
	if (code) {
		out->known.id = 0;
		out->origin = ORIGIN_KNOWN;
		hashing->counts.known++;
		return 0;
	}
	return reads(hashing) ? judge_unknown(hashing, live, out, error) : 0;
}

/** Gives `entry` its hash where nothing needs to be read for it. */
static int apply(struct fsmeta_hashing *hashing, struct fsmeta_entry *entry,
    const struct judgement *judgement, struct fsmeta_error *error)
{
	if (judgement->origin == ORIGIN_KNOWN)
		set_hash(entry, &judgement->known.hash);
	else if (judgement->origin == ORIGIN_AT_HAND)
		return take_hash(hashing, entry, &judgement->known, &judgement->hash, error);
	else
		clear_hash(entry);
	return 0;
}

/* ---- slots ---------------------------------------------------------------- */

/** Copies an entry with its path and target. */
static int copy_entry(
    struct slot *slot, const struct fsmeta_entry *live, struct fsmeta_error *error)
{
	size_t target_at = live->path_length + 1;
	int code;

	fsmeta_buffer_clear(&slot->bytes);
	code = fsmeta_buffer_append(&slot->bytes, live->path, live->path_length);
	if (!code)
		code = fsmeta_buffer_append_byte(&slot->bytes, '\0');
	if (!code && live->target_length)
		code = fsmeta_buffer_append(&slot->bytes, live->target, live->target_length);
	if (!code && !fsmeta_buffer_string(&slot->bytes))
		code = FSMETA_E_MEMORY;
	if (code)
		return fsmeta_error_set_memory(error, action);
	slot->entry = *live;
	slot->entry.path = (const char *)slot->bytes.data;
	slot->entry.name = slot->entry.path + live->path_length - live->name_length;
	if (live->target)
		slot->entry.target = (const char *)slot->bytes.data + target_at;
	return 0;
}

static int put_slot(struct fsmeta_hashing *hashing, const struct fsmeta_entry *live,
    const struct judgement *judgement, struct fsmeta_error *error)
{
	struct slot *slot;
	int code;

	if (!hashing->slots) {
		hashing->slots = calloc(SLOTS, sizeof(*hashing->slots));
		if (!hashing->slots)
			return fsmeta_error_set_memory(error, action);
	}
	slot = &hashing->slots[(hashing->first + hashing->count) % SLOTS];
	code = copy_entry(slot, live, error);
	if (code)
		return code;
	hashing->count++;
	hashing->slot_bytes += slot->bytes.length;
	slot->known = judgement->known;
	slot->key = judgement->key;
	slot->has_job = judgement->origin == ORIGIN_READ;
	code = apply(hashing, &slot->entry, judgement, error);
	if (code || !slot->has_job)
		return code;
	hashing->jobs++;
	slot->job = (struct fsmeta_hash_job){
	    .entry = &slot->entry, .from_disk = judgement->from_disk, .payload = slot};
	fsmeta_hasher_submit(hashing->hasher, &slot->job);
	return 0;
}

static void drop_first(struct fsmeta_hashing *hashing)
{
	struct slot *slot = &hashing->slots[hashing->first];

	hashing->slot_bytes -= slot->bytes.length;
	if (slot->bytes.capacity > SLOT_KEEP_BYTES)
		fsmeta_buffer_release(&slot->bytes);
	hashing->first = (hashing->first + 1) % SLOTS;
	hashing->count--;
	hashing->is_first_out = false;
}

/* ---- the cursor ----------------------------------------------------------- */

/** Our source is theirs but for what we add. */
static void refresh_source(struct fsmeta_hashing *hashing)
{
	hashing->source = *hashing->inner->source;
	hashing->source.field_mask |= FSMETA_FIELD_HASH;
	hashing->source.hash_algorithm = hashing->algorithm;
}

/** The next live entry and what to do about it: 1, 0 at the end, or a code. */
static int take_live(struct fsmeta_hashing *hashing, const struct fsmeta_entry **live,
    struct judgement *judgement, struct fsmeta_error *error)
{
	int code = hashing->live_ended ? 0 : fsmeta_cursor_next(hashing->inner, live, error);

	if (code < 0)
		return code;
	if (hashing->source.filesystem_count != hashing->inner->source->filesystem_count)
		refresh_source(hashing);
	if (code == 0) {
		hashing->live_ended = true;
		return 0;
	}
	memset(judgement, 0, sizeof(*judgement));
	code = judge(hashing, *live, judgement, error);
	return code < 0 ? code : 1;
}

/** Takes entries ahead while threads read, so that they have something to do. */
static int fill(struct fsmeta_hashing *hashing, struct fsmeta_error *error)
{
	while (hashing->jobs && hashing->count < SLOTS && hashing->slot_bytes < SLOT_BYTES_MAX) {
		const struct fsmeta_entry *live;
		struct judgement judgement;
		int code = take_live(hashing, &live, &judgement, error);

		if (code <= 0)
			return code;
		code = put_slot(hashing, live, &judgement, error);
		if (code)
			return code;
	}
	return 0;
}

static int finish(struct fsmeta_hashing *hashing)
{
	if (hashing->has_finished)
		return 0;
	hashing->has_finished = true;
	refresh_source(hashing);
	if (hashing->counts.read)
		hashing->source.finished = fsmeta_time_now();
	if (hashing->hasher)
		hashing->counts.bytes_read = fsmeta_hasher_bytes_read(hashing->hasher);
	return 0;
}

/** While nothing waits: 1 with an entry, 0 where there is one in the ring now or all ended. */
static int pass_through(
    struct fsmeta_hashing *hashing, const struct fsmeta_entry **entry, struct fsmeta_error *error)
{
	const struct fsmeta_entry *live;
	struct judgement judgement;
	int code = take_live(hashing, &live, &judgement, error);

	if (code <= 0)
		return code;
	if (judgement.origin == ORIGIN_READ)
		return put_slot(hashing, live, &judgement, error);
	*entry = live;
	if (judgement.origin == ORIGIN_NONE && !(live->fields & FSMETA_FIELD_HASH))
		return 1;
	hashing->passing = *live;
	*entry = &hashing->passing;
	code = apply(hashing, &hashing->passing, &judgement, error);
	return code ? code : 1;
}

static int hashing_next(
    struct fsmeta_cursor *cursor, const struct fsmeta_entry **entry, struct fsmeta_error *error)
{
	struct fsmeta_hashing *hashing = hashing_of(cursor);
	struct slot *slot;
	int code = 0;

	if (hashing->is_first_out)
		drop_first(hashing);
	if (!hashing->count)
		code = pass_through(hashing, entry, error);
	if (code)
		return code;
	if (!hashing->count)
		return finish(hashing);
	code = fill(hashing, error);
	if (code < 0)
		return code;
	slot = &hashing->slots[hashing->first];
	if (slot->has_job)
		code = settle(hashing, slot, error);
	if (code)
		return code;
	hashing->is_first_out = true;
	*entry = &slot->entry;
	return 1;
}

/** Who skips would not have hashes of what is behind. */
static int hashing_skip(struct fsmeta_cursor *cursor, uint32_t depth, struct fsmeta_error *error)
{
	(void)depth;
	return fsmeta_error_set(error, FSMETA_E_INTERNAL, cursor->label, action,
	    "entries cannot be skipped while contents are hashed");
}

static void release_names(struct named_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i].path);
}

/** All but the cursor that it wraps. */
static void release(struct fsmeta_hashing *hashing)
{
	/* First, because its threads use the rest. */
	fsmeta_hasher_free(hashing->hasher);
	fsmeta_hash_journal_close(hashing->journal);
	fsmeta_cursor_close(hashing->newest);
	fsmeta_known_contents_free(hashing->elsewhere);
	for (size_t i = 0; hashing->slots && i < SLOTS; i++)
		fsmeta_buffer_release(&hashing->slots[i].bytes);
	free(hashing->slots);
	free(hashing->oldest);
	fsmeta_buffer_release(&hashing->confirmed);
	fsmeta_buffer_release(&hashing->scratch);
	fsmeta_corruption_release(&hashing->corrupted);
	release_names(&hashing->unreadable);
	free(hashing);
}

static void hashing_close(struct fsmeta_cursor *cursor)
{
	struct fsmeta_hashing *hashing = hashing_of(cursor);
	struct fsmeta_cursor *inner = hashing->inner;

	release(hashing);
	fsmeta_cursor_close(inner);
}

static const struct fsmeta_cursor_operations operations = {
    .next = hashing_next,
    .skip = hashing_skip,
    .close = hashing_close,
};

/* ---- setting out ---------------------------------------------------------- */

/** Opens the newest generation, if there is one and it knows hashes. */
static int open_newest(struct fsmeta_hashing *hashing, struct fsmeta_error *error)
{
	const struct fsmeta_db_cursor_options cursor_options = {.stop = hashing->options.stop};
	uint64_t number = 0;
	int code = 0;

	if (hashing->options.db)
		code = fsmeta_db_newest(hashing->options.db, &number, error);
	if (code || !number)
		return code;
	code =
	    fsmeta_db_cursor(&hashing->newest, hashing->options.db, number, &cursor_options, error);
	if (code)
		return code;
	if (!(hashing->newest->source->field_mask & FSMETA_FIELD_HASH)) {
		fsmeta_cursor_close(hashing->newest);
		hashing->newest = NULL;
		return 0;
	}
	if (hashing->algorithm == FSMETA_HASH_NONE)
		hashing->algorithm = hashing->newest->source->hash_algorithm;
	hashing->newest_number = number;
	hashing->newest_finished = hashing->newest->source->finished;
	return hold_next(hashing, error);
}

static int open_hasher(struct fsmeta_hashing *hashing, struct fsmeta_error *error)
{
	const struct fsmeta_hasher_options options = {
	    .root = hashing->options.root,
	    .algorithm = hashing->algorithm,
	    .threads = hashing->options.threads,
	    .max_rate = hashing->options.max_rate,
	    .stop = hashing->options.stop,
	    .done = write_down,
	    .done_payload = hashing,
	};
	int code = fsmeta_hasher_new(&hashing->hasher, &options, error);

	if (!code)
		code = fsmeta_content_hash_of_nothing(&hashing->empty, hashing->algorithm, error);
	if (!code)
		code = fsmeta_hash_journal_open(&hashing->journal, hashing->options.db_path, error);
	return code;
}

static int set_out(struct fsmeta_hashing *hashing, struct fsmeta_error *error)
{
	int code = open_newest(hashing, error);

	if (!code && hashing->options.algorithm != FSMETA_HASH_NONE)
		code = open_hasher(hashing, error);
	if (!code && hashing->newest && reads(hashing) && hashing->options.rehash_percent > 0)
		code = fsmeta_db_oldest_contents(&hashing->oldest, &hashing->oldest_count,
		    hashing->options.db, hashing->options.rehash_percent, error);
	return code;
}

int fsmeta_hashing_wrap(struct fsmeta_hashing **out, struct fsmeta_cursor **cursor,
    const struct fsmeta_hashing_options *options, struct fsmeta_error *error)
{
	struct fsmeta_hashing *hashing = calloc(1, sizeof(*hashing));
	int code;

	*out = NULL;
	if (!hashing)
		return fsmeta_error_set_memory(error, action);
	hashing->options = *options;
	hashing->algorithm = options->algorithm;
	code = set_out(hashing, error);
	if (code || (!reads(hashing) && !hashing->newest)) {
		release(hashing);
		return code;
	}
	hashing->inner = *cursor;
	hashing->cursor = (struct fsmeta_cursor){
	    .operations = &operations,
	    .source = &hashing->source,
	    .label = (*cursor)->label,
	};
	refresh_source(hashing);
	*cursor = &hashing->cursor;
	*out = hashing;
	return 0;
}

/* ---- afterwards ----------------------------------------------------------- */

void fsmeta_hashing_count(struct fsmeta_hashing *hashing, struct fsmeta_hashing_counts *out)
{
	memset(out, 0, sizeof(*out));
	if (!hashing)
		return;
	*out = hashing->counts;
	out->corrupted = hashing->corrupted.count;
}

int fsmeta_hashing_note_contents(
    struct fsmeta_hashing *hashing, struct fsmeta_db_update *update, struct fsmeta_error *error)
{
	if (!hashing || !hashing->confirmed.length)
		return 0;
	return fsmeta_db_update_note_contents(update,
	    (const uint64_t *)(const void *)hashing->confirmed.data,
	    hashing->confirmed.length / sizeof(uint64_t), error);
}

void fsmeta_hashing_committed(struct fsmeta_hashing *hashing)
{
	if (hashing && hashing->journal)
		fsmeta_hash_journal_remove(hashing->journal);
}

static void report_unreadable(const struct named_list *list, uint64_t total)
{
	for (size_t i = 0; i < list->count; i++)
		fsmeta_note(list->items[i].path, "%s: %s", action,
		    strerrordesc_np(list->items[i].error_number));
	if (total > list->count)
		fsmeta_note(
		    NULL, "and %" PRIu64 " more contents could not be read", total - list->count);
}

static void report_counts(const struct fsmeta_hashing_counts *counts)
{
	struct fsmeta_buffer line;

	fsmeta_buffer_init(&line);
	fsmeta_text_append_count(&line, counts->read);
	fsmeta_buffer_append_text(&line, counts->read == 1 ? " file read (" : " files read (");
	fsmeta_text_append_size(&line, counts->bytes_read);
	fsmeta_buffer_append_text(&line, "), ");
	fsmeta_text_append_count(&line, counts->known);
	fsmeta_buffer_append_text(&line, " known");
	if (counts->resumed) {
		fsmeta_buffer_append_text(&line, ", ");
		fsmeta_text_append_count(&line, counts->resumed);
		fsmeta_buffer_append_text(&line, " from the journal");
	}
	if (counts->changed) {
		fsmeta_buffer_append_text(&line, ", ");
		fsmeta_text_append_count(&line, counts->changed);
		fsmeta_buffer_append_text(&line, " changed meanwhile and left out");
	}
	fsmeta_note(NULL, "%s: %s", action, fsmeta_buffer_string(&line));
	fsmeta_buffer_release(&line);
}

void fsmeta_hashing_report(struct fsmeta_hashing *hashing, bool quiet)
{
	int failure;

	if (!hashing || !reads(hashing))
		return;
	report_unreadable(&hashing->unreadable, hashing->counts.unreadable);
	fsmeta_corruption_report(&hashing->corrupted);
	failure = fsmeta_hash_journal_failure(hashing->journal);
	if (failure)
		fsmeta_note(
		    NULL, "warning: writing the journal of hashes: %s", strerrordesc_np(failure));
	if (!quiet)
		report_counts(&hashing->counts);
}
