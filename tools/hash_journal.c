/*
 * The file is a header and records of one size, each with a checksum of its own:
 *
 *     ┌────────┬────────┬────────┬────────┬──
 *     │ magic  │ record │ record │ record │ …    64 bytes each
 *     └────────┴────────┴────────┴────────┴──
 *     record:  key 16 │ algorithm 1, zeros 7 │ hash 32 │ XXH3-64 of these 56
 *
 * It is only ever appended to.  A process that is killed leaves whole records and perhaps
 * a torn one at the end; a machine that loses power leaves whatever, and a record that is
 * damaged is passed over like one that is not there.
 *
 * Records are collected and written together, after so many of them or after a second, so
 * that a kill costs the work of a second; once a minute they are forced to the disk.
 *
 * In memory there is an index: open addressing, eight bytes for each record that may be
 * asked for, half of them a part of the key, so that the file is asked for a record only
 * where it is most likely the right one.  Of what is written in this scan only files with
 * several names are put into it.
 */
#include "tools/hash_journal.h"

#include "base/file.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

enum {
	RECORD_BYTES = 64,
	CHECKED_BYTES = RECORD_BYTES - 8,
	/** Records that are written together at most. */
	PENDING_MAX = 1024,
	/** Seconds after which they are in any case, and after which the disk must have them. */
	WRITE_AFTER_SECONDS = 1,
	SYNC_AFTER_SECONDS = 60,
	/** Records that are read together. */
	LOAD_RECORDS = 4096,
};

static const char magic[CHECKED_BYTES] = "fsmeta hashes 1\n";

static const char action[] = "opening the journal of hashes";

struct record {
	struct fsmeta_hash_key key;
	uint8_t algorithm;
	uint8_t zeros[7];
	unsigned char hash[FSMETA_HASH_MAX_BYTES];
	/** Little-endian. */
	unsigned char check[8];
};

_Static_assert(sizeof(struct record) == RECORD_BYTES, "a record of the journal has 64 bytes");

/** Slot of the index: 0 = free. */
struct slot {
	/** Part of the key. */
	uint32_t tag;
	/** Number of the record, from 1: the header is record 0. */
	uint32_t record;
};

struct fsmeta_hash_journal {
	pthread_mutex_t lock;
	int fd;
	/** NULL: nobody finds it again. */
	char *path;
	/** The file is a journal, and locked by us. */
	bool is_ours;
	uint64_t found;

	/** Records in the file, the header among them, and those to be appended. */
	uint32_t written;
	struct record *pending;
	uint32_t pending_count;
	/** CLOCK_MONOTONIC, seconds: when something was written, and forced to the disk, last. */
	time_t written_at;
	time_t synced_at;
	int failure;

	struct slot *slots;
	size_t slot_count;
	size_t used;
};

/* ---- keys ----------------------------------------------------------------- */

static void put_integer(unsigned char **at, uint64_t value)
{
	uint64_t little = htole64(value);

	memcpy(*at, &little, sizeof(little));
	*at += sizeof(little);
}

static void put_time(unsigned char **at, struct fsmeta_time time)
{
	put_integer(at, (uint64_t)time.seconds);
	put_integer(at, time.nanoseconds);
}

int fsmeta_hash_key_make(struct fsmeta_hash_key *out, const struct fsmeta_entry *entry,
    const struct fsmeta_batch_source *source, struct fsmeta_buffer *scratch)
{
	const uint32_t needed = FSMETA_FIELD_INODE | FSMETA_FIELD_CTIME | FSMETA_FIELD_DEVICE;
	const struct fsmeta_filesystem *filesystem = NULL;
	unsigned char numbers[7 * 8], *at = numbers;
	XXH128_canonical_t canonical;
	int code;

	if ((entry->fields & needed) == needed && entry->device < source->filesystem_count)
		filesystem = &source->filesystems[entry->device];
	put_integer(&at, entry->fields & needed);
	put_integer(&at, entry->fields & FSMETA_FIELD_INODE ? entry->inode : 0);
	put_integer(&at, entry->size);
	put_time(&at, entry->mtime);
	put_time(&at, entry->ctime);
	fsmeta_buffer_clear(scratch);
	code = fsmeta_buffer_append(scratch, numbers, sizeof(numbers));
	/* Without a UUID one file system's inodes look like another's. */
	if (!code && filesystem && filesystem->uuid[0])
		code = fsmeta_buffer_append_text(scratch, filesystem->uuid);
	else if (!code)
		code = fsmeta_buffer_append(scratch, entry->path, entry->path_length);
	if (code)
		return code;
	XXH128_canonicalFromHash(&canonical, XXH3_128bits(scratch->data, scratch->length));
	memcpy(out->bytes, canonical.digest, sizeof(out->bytes));
	return 0;
}

/* ---- records -------------------------------------------------------------- */

static void seal(struct record *record)
{
	uint64_t check = htole64(XXH3_64bits(record, CHECKED_BYTES));

	memcpy(record->check, &check, sizeof(check));
}

static bool is_whole(const struct record *record)
{
	uint64_t check = htole64(XXH3_64bits(record, CHECKED_BYTES));

	return memcmp(record->check, &check, sizeof(check)) == 0;
}

static struct record make_header(void)
{
	struct record header;

	memset(&header, 0, sizeof(header));
	memcpy(&header, magic, sizeof(magic));
	seal(&header);
	return header;
}

/* ---- the index ------------------------------------------------------------ */

static uint64_t key_number(const struct fsmeta_hash_key *key, size_t offset)
{
	uint64_t number;

	memcpy(&number, key->bytes + offset, sizeof(number));
	return number;
}

static void put_slot(struct slot *slots, size_t count, struct slot slot, uint64_t home)
{
	size_t at = home & (count - 1);

	while (slots[at].record)
		at = (at + 1) & (count - 1);
	slots[at] = slot;
}

static bool read_record(
    const struct fsmeta_hash_journal *journal, uint32_t number, struct record *out)
{
	if (number >= journal->written) {
		*out = journal->pending[number - journal->written];
		return true;
	}
	return pread(journal->fd, out, RECORD_BYTES, (off_t)number * RECORD_BYTES) ==
		   RECORD_BYTES &&
	       is_whole(out);
}

/** The tag is the half of the home that places it, so that growing asks for no record. */
static int grow_index(struct fsmeta_hash_journal *journal)
{
	size_t count = journal->slot_count ? journal->slot_count * 2 : 1024;
	struct slot *slots = calloc(count, sizeof(*slots));

	if (!slots)
		return ENOMEM;
	for (size_t i = 0; i < journal->slot_count; i++)
		if (journal->slots[i].record)
			put_slot(slots, count, journal->slots[i], journal->slots[i].tag);
	free(journal->slots);
	journal->slots = slots;
	journal->slot_count = count;
	return 0;
}

static int index_record(
    struct fsmeta_hash_journal *journal, const struct fsmeta_hash_key *key, uint32_t number)
{
	struct slot slot = {.tag = (uint32_t)key_number(key, 0), .record = number};

	if (journal->used * 2 >= journal->slot_count && grow_index(journal))
		return ENOMEM;
	put_slot(journal->slots, journal->slot_count, slot, slot.tag);
	journal->used++;
	return 0;
}

bool fsmeta_hash_journal_find(struct fsmeta_hash_journal *journal,
    const struct fsmeta_hash_key *key, enum fsmeta_hash_algorithm algorithm,
    struct fsmeta_content_hash *hash)
{
	uint32_t tag = (uint32_t)key_number(key, 0);
	struct record record;
	bool found = false;

	pthread_mutex_lock(&journal->lock);
	for (size_t at = tag; journal->slot_count && !found; at++) {
		const struct slot *slot = &journal->slots[at & (journal->slot_count - 1)];

		if (!slot->record)
			break;
		found = slot->tag == tag && read_record(journal, slot->record, &record) &&
			memcmp(&record.key, key, sizeof(*key)) == 0 &&
			record.algorithm == (uint8_t)algorithm;
	}
	pthread_mutex_unlock(&journal->lock);
	if (!found)
		return false;
	hash->algorithm = algorithm;
	memcpy(hash->bytes, record.hash, sizeof(hash->bytes));
	return true;
}

/* ---- writing -------------------------------------------------------------- */

static time_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec;
}

/** Appends what waits; after a failure nothing is written any more. */
static void write_pending(struct fsmeta_hash_journal *journal)
{
	off_t end = (off_t)journal->written * RECORD_BYTES;
	size_t size = (size_t)journal->pending_count * RECORD_BYTES, done = 0;

	while (done < size && !journal->failure) {
		ssize_t wrote = pwrite(journal->fd, (const char *)journal->pending + done,
		    size - done, end + (off_t)done);

		if (wrote > 0)
			done += (size_t)wrote;
		else if (wrote == 0 || errno != EINTR)
			journal->failure = wrote == 0 ? EIO : errno;
	}
	if (journal->failure)
		return;
	journal->written += journal->pending_count;
	journal->pending_count = 0;
	journal->written_at = now();
	if (journal->is_ours && journal->written_at - journal->synced_at >= SYNC_AFTER_SECONDS) {
		if (fdatasync(journal->fd) != 0)
			journal->failure = errno;
		journal->synced_at = journal->written_at;
	}
}

void fsmeta_hash_journal_add(struct fsmeta_hash_journal *journal, const struct fsmeta_hash_key *key,
    const struct fsmeta_content_hash *hash, bool again)
{
	struct record *record;

	pthread_mutex_lock(&journal->lock);
	if (!journal->failure && (again || journal->is_ours) &&
	    journal->written < UINT32_MAX - PENDING_MAX) {
		record = &journal->pending[journal->pending_count];
		memset(record, 0, sizeof(*record));
		record->key = *key;
		record->algorithm = (uint8_t)hash->algorithm;
		memcpy(record->hash, hash->bytes, sizeof(record->hash));
		seal(record);
		if (again)
			journal->failure =
			    index_record(journal, key, journal->written + journal->pending_count);
		journal->pending_count++;
		if (journal->pending_count == PENDING_MAX ||
		    now() - journal->written_at >= WRITE_AFTER_SECONDS)
			write_pending(journal);
	}
	pthread_mutex_unlock(&journal->lock);
}

int fsmeta_hash_journal_failure(struct fsmeta_hash_journal *journal)
{
	int failure;

	pthread_mutex_lock(&journal->lock);
	failure = journal->failure;
	pthread_mutex_unlock(&journal->lock);
	return failure;
}

/* ---- opening and closing -------------------------------------------------- */

/**
 * Opens the file and locks it, and makes sure that it is still the one by that name: the
 * scan that had it may just have removed it.
 */
static int open_file(struct fsmeta_hash_journal *journal, struct fsmeta_error *error)
{
	const int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	struct stat held, named;

	for (;;) {
		journal->fd = open(journal->path, flags, 0666);
		if (journal->fd < 0 || fstat(journal->fd, &held) != 0)
			return fsmeta_error_set_errno(error, errno, journal->path, action);
		if (!S_ISREG(held.st_mode))
			return fsmeta_error_set(error, FSMETA_E_FOREIGN, journal->path, action,
			    "it is no regular file");
		if (flock(journal->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
			return fsmeta_error_set(error, FSMETA_E_BUSY, journal->path, action,
			    "another scan is hashing for this database");
		if (lstat(journal->path, &named) == 0 && named.st_dev == held.st_dev &&
		    named.st_ino == held.st_ino)
			return 0;
		close(journal->fd);
		journal->fd = -1;
	}
}

static int begin_file(struct fsmeta_hash_journal *journal, struct fsmeta_error *error)
{
	struct record header = make_header();

	if (ftruncate(journal->fd, 0) != 0)
		return fsmeta_error_set_errno(error, errno, journal->path, action);
	return fsmeta_write_all(
	    journal->fd, &header, sizeof(header), journal->path ? journal->path : "", error);
}

/** Indexes whole records; behind the last that there is the next will be written. */
static int load(struct fsmeta_hash_journal *journal, struct record *records, uint64_t size,
    struct fsmeta_error *error)
{
	uint64_t count = size / RECORD_BYTES;

	if (count > UINT32_MAX / 2)
		return fsmeta_error_set(error, FSMETA_E_LIMIT, journal->path, action,
		    "it is too long to be one of ours");
	for (uint64_t next = 1; next < count;) {
		uint64_t wanted = count - next < LOAD_RECORDS ? count - next : LOAD_RECORDS;
		size_t got;
		int code = fsmeta_read_full_at(journal->fd, records, wanted * RECORD_BYTES,
		    next * RECORD_BYTES, &got, journal->path, error);

		if (code)
			return code;
		for (size_t i = 0; i < got / RECORD_BYTES; i++) {
			if (!is_whole(&records[i]) ||
			    !fsmeta_hash_bytes((enum fsmeta_hash_algorithm)records[i].algorithm))
				continue;
			if (index_record(journal, &records[i].key, (uint32_t)(next + i)))
				return fsmeta_error_set_memory(error, action);
			journal->found++;
		}
		next += wanted;
	}
	journal->written = (uint32_t)count;
	return 0;
}

static int load_file(struct fsmeta_hash_journal *journal, struct fsmeta_error *error)
{
	struct record header = make_header(), *records;
	struct record first;
	struct stat status;
	size_t got;
	int code;

	if (fstat(journal->fd, &status) != 0)
		return fsmeta_error_set_errno(error, errno, journal->path, action);
	code =
	    fsmeta_read_full_at(journal->fd, &first, sizeof(first), 0, &got, journal->path, error);
	if (code)
		return code;
	/* A beginning of the header is what a kill at the very first moment leaves. */
	if (memcmp(&first, &header, got) != 0)
		return fsmeta_error_set(error, FSMETA_E_FOREIGN, journal->path, action,
		    "it is no journal of hashes of this version; remove it, or move it away");
	if (got < sizeof(first))
		return begin_file(journal, error);
	records = malloc((size_t)LOAD_RECORDS * RECORD_BYTES);
	if (!records)
		return fsmeta_error_set_memory(error, action);
	code = load(journal, records, (uint64_t)status.st_size, error);
	free(records);
	return code;
}

static int open_beside(
    struct fsmeta_hash_journal *journal, const char *db_path, struct fsmeta_error *error)
{
	int code;

	if (asprintf(&journal->path, "%s-hashes", db_path) < 0) {
		journal->path = NULL;
		return fsmeta_error_set_memory(error, action);
	}
	code = open_file(journal, error);
	if (!code)
		code = load_file(journal, error);
	journal->is_ours = !code;
	return code;
}

static int open_unnamed(struct fsmeta_hash_journal *journal, struct fsmeta_error *error)
{
	journal->fd = memfd_create("hashes", MFD_CLOEXEC);
	if (journal->fd < 0)
		return fsmeta_error_set_errno(error, errno, NULL, action);
	return begin_file(journal, error);
}

int fsmeta_hash_journal_open(
    struct fsmeta_hash_journal **out, const char *db_path, struct fsmeta_error *error)
{
	struct fsmeta_hash_journal *journal = calloc(1, sizeof(*journal));
	int code;

	*out = NULL;
	if (!journal)
		return fsmeta_error_set_memory(error, action);
	journal->fd = -1;
	journal->written = 1;
	journal->written_at = journal->synced_at = now();
	pthread_mutex_init(&journal->lock, NULL);
	journal->pending = calloc(PENDING_MAX, sizeof(*journal->pending));
	if (!journal->pending)
		code = fsmeta_error_set_memory(error, action);
	else
		code =
		    db_path ? open_beside(journal, db_path, error) : open_unnamed(journal, error);
	if (code) {
		fsmeta_hash_journal_close(journal);
		return code;
	}
	*out = journal;
	return 0;
}

uint64_t fsmeta_hash_journal_count(const struct fsmeta_hash_journal *journal)
{
	return journal->found;
}

void fsmeta_hash_journal_remove(struct fsmeta_hash_journal *journal)
{
	pthread_mutex_lock(&journal->lock);
	if (journal->is_ours && unlink(journal->path) != 0)
		journal->failure = errno;
	journal->is_ours = false;
	pthread_mutex_unlock(&journal->lock);
}

void fsmeta_hash_journal_close(struct fsmeta_hash_journal *journal)
{
	if (!journal)
		return;
	if (journal->is_ours) {
		write_pending(journal);
		if (journal->written == 1 && journal->pending_count == 0)
			unlink(journal->path);
	}
	if (journal->fd >= 0)
		close(journal->fd);
	pthread_mutex_destroy(&journal->lock);
	free(journal->slots);
	free(journal->pending);
	free(journal->path);
	free(journal);
}
