/*
 * Reading one folder.
 *
 *   getdents64 ──> names   "b.mp4\0" "a.mp4\0" "c\0" …          file-system order
 *                    ^ ^______
 *                    |_______ \______________________
 *                            |                       |
 *   sort       ──> sorted  { key "a.mp4", offset } { key "b.mp4", offset } …
 *                    |__________ 256 of them ___________|
 *   statx      ──> chunk   { size, mtime, … } { size, mtime, … } …   + targets
 *
 * The listing keeps for each name its bytes and 16 more, so that a folder of two
 * million files costs some 40 bytes an entry; metadata is only ever held for the
 * chunk in hand.  A chunk is also the unit in which several threads could share
 * a single huge folder.
 *
 * The sort.  Names in a folder are alike ("frame_000017.npy"), so comparing them
 * whole would read the same bytes again and again, out of order, all over
 * memory.  Each name's next eight bytes are therefore kept beside its offset as
 * one big-endian number (the bytes behind the end as zeros; a name has no NUL,
 * so that is unambiguous).  The sort is an American flag sort (McIlroy, Bostic,
 * McIlroy, "Engineering Radix Sort", 1993) over the first byte in which the keys
 * of a range differ, found by one pass of XOR; where all eight are equal the next
 * eight are loaded.  Small ranges go to an insertion sort.  It works in place, and
 * the largest part of a range is done by the loop and not by a call, so that the
 * stack stays within log2(count) frames whatever the names are.
 *
 * The metadata of sub-folders is read by name like everybody else's, although
 * they will be opened: only so is a mount point or an automount known before
 * anything is touched that might wait for a server.
 */
#include "scanner/folder.h"

#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x00001000U
#endif

enum {
	/** Fewer calls for large folders; what is not filled is never touched. */
	ENTRIES_BYTES = 256 << 10,
	/** Smallest struct linux_dirent64, for bounds. */
	ENTRY_MIN_BYTES = 24,
	/** Ranges up to here are sorted by insertion. */
	INSERTION_MAX = 24,
	KEY_BYTES = 8,
	/** A link that is replaced again and again while we look gets this many looks. */
	LINK_ATTEMPTS = 3,
	/** Records between two looks at the pace: a disk may take 10 ms for each. */
	PACE_RECORDS = 16,
	/** Listings up to here are copied to where they are kept. */
	COPY_MAX_BYTES = 64 << 10,
};

/** As getdents64(2) writes it; the C library's struct dirent promises less. */
struct linux_dirent64 {
	uint64_t d_ino;
	int64_t d_off;
	uint16_t d_reclen;
	uint8_t d_type;
	char d_name[];
};

int fsmeta_folder_reader_init(struct fsmeta_folder_reader *reader, uint32_t field_mask,
    const struct fsmeta_scan_options *options)
{
	*reader = (struct fsmeta_folder_reader){
	    .field_mask = field_mask,
	    .hidden = options->hidden,
	    .hidden_count = options->hidden_count,
	    .stop = options->stop,
	    .may_keep_atime = true,
	};
	reader->entries = malloc(ENTRIES_BYTES);
	return reader->entries ? 0 : FSMETA_E_MEMORY;
}

void fsmeta_folder_reader_release(struct fsmeta_folder_reader *reader)
{
	free(reader->entries);
	*reader = (struct fsmeta_folder_reader){0};
}

void fsmeta_folder_release(struct fsmeta_folder *folder)
{
	free(folder->sorted);
	fsmeta_buffer_release(&folder->names);
	*folder = (struct fsmeta_folder){0};
}

size_t fsmeta_folder_held_bytes(const struct fsmeta_folder *folder)
{
	return folder->capacity * sizeof(*folder->sorted) + folder->names.capacity;
}

/** Gives back what a listing has too much; failing is harmless. */
static void trim(struct fsmeta_folder *folder)
{
	void *sorted = realloc(folder->sorted, folder->count * sizeof(*folder->sorted));
	/* Sorting reads up to eight bytes from the last name on; that is over. */
	void *names = realloc(folder->names.data, folder->names.length);

	if (sorted) {
		folder->sorted = sorted;
		folder->capacity = folder->count;
	}
	if (names) {
		folder->names.data = names;
		folder->names.capacity = folder->names.length;
	}
}

int fsmeta_folder_move(struct fsmeta_folder *to, struct fsmeta_folder *from)
{
	size_t sorted_bytes = from->count * sizeof(*from->sorted);

	fsmeta_folder_release(to);
	if (from->count == 0 || sorted_bytes + from->names.length > COPY_MAX_BYTES) {
		struct fsmeta_folder kept = {0};

		*to = *from;
		if (from->count == 0) {
			kept = *from;
			to->sorted = NULL;
			to->capacity = 0;
			to->names = (struct fsmeta_buffer){0};
		} else if (!from->suspended) {
			trim(to);
		}
		*from = kept;
		return 0;
	}
	*to = *from;
	to->capacity = from->count;
	to->sorted = malloc(sorted_bytes);
	to->names = (struct fsmeta_buffer){
	    malloc(from->names.length), from->names.length, from->names.length};
	if (!to->sorted || !to->names.data) {
		fsmeta_folder_release(to);
		return FSMETA_E_MEMORY;
	}
	memcpy(to->sorted, from->sorted, sorted_bytes);
	memcpy(to->names.data, from->names.data, from->names.length);
	from->suspended = false;
	return 0;
}

void fsmeta_folder_chunk_release(struct fsmeta_folder_chunk *chunk)
{
	free(chunk->records);
	fsmeta_buffer_release(&chunk->targets);
	*chunk = (struct fsmeta_folder_chunk){0};
}

int fsmeta_folder_open(
    struct fsmeta_folder_reader *reader, int folder_fd, const char *name, int64_t owner)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;

	/* O_NOATIME is for owners and the privileged; the latter show by trying once. */
	if (reader->may_keep_atime || owner == (int64_t)geteuid()) {
		int fd = openat(folder_fd, name, flags | O_NOATIME);

		if (fd >= 0 || errno != EPERM)
			return fd;
		reader->may_keep_atime = false;
	}
	return openat(folder_fd, name, flags);
}

/* ---- metadata ---------------------------------------------------------- */

static uint16_t known_fields(uint32_t statx_mask)
{
	static const struct {
		uint32_t statx_bits;
		uint16_t field;
	} table[] = {
	    {STATX_SIZE, FSMETA_FIELD_SIZE},
	    {STATX_MTIME, FSMETA_FIELD_MTIME},
	    {STATX_CTIME, FSMETA_FIELD_CTIME},
	    {STATX_BTIME, FSMETA_FIELD_BTIME},
	    {STATX_MODE, FSMETA_FIELD_MODE},
	    {STATX_UID, FSMETA_FIELD_UID},
	    {STATX_GID, FSMETA_FIELD_GID},
	    {STATX_INO, FSMETA_FIELD_INODE},
	    {STATX_NLINK, FSMETA_FIELD_NLINK},
	    {STATX_BLOCKS, FSMETA_FIELD_ALLOCATED},
	};
	const uint32_t usual = STATX_BASIC_STATS;
	const uint16_t all = FSMETA_FIELDS_ALL & ~(FSMETA_FIELD_RDEV | FSMETA_FIELD_TARGET);
	uint16_t fields = FSMETA_FIELD_DEVICE;

	if ((statx_mask & usual) == usual)
		return statx_mask & STATX_BTIME ? all : all & ~FSMETA_FIELD_BTIME;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (statx_mask & table[i].statx_bits)
			fields |= table[i].field;
	}
	return fields;
}

/*
 * Members one by one: of a compound literal gcc makes a `rep stos` first, which takes longer
 * than all that follows.
 */
static void record_from_statx(struct fsmeta_folder_record *record, const struct statx *stx)
{
	enum fsmeta_type type = fsmeta_type_from_mode(stx->stx_mode);

	record->mtime_seconds = stx->stx_mtime.tv_sec;
	record->ctime_seconds = stx->stx_ctime.tv_sec;
	record->btime_seconds = stx->stx_btime.tv_sec;
	record->size = stx->stx_size;
	record->allocated = stx->stx_blocks * 512;
	record->inode = stx->stx_ino;
	record->device = makedev(stx->stx_dev_major, stx->stx_dev_minor);
	record->mount_id = stx->stx_mask & STATX_MNT_ID ? stx->stx_mnt_id : 0;
	record->mtime_nanoseconds = stx->stx_mtime.tv_nsec;
	record->ctime_nanoseconds = stx->stx_ctime.tv_nsec;
	record->btime_nanoseconds = stx->stx_btime.tv_nsec;
	record->nlink = stx->stx_nlink;
	record->uid = stx->stx_uid;
	record->gid = stx->stx_gid;
	record->rdev_major = 0;
	record->rdev_minor = 0;
	record->target_offset = 0;
	record->target_length = 0;
	record->fields = known_fields(stx->stx_mask);
	record->error = 0;
	record->mode = stx->stx_mode & 07777;
	/* What no system of today has: an odd type counts as a file, as d_type would. */
	record->type = (uint8_t)(type ? type : FSMETA_TYPE_FILE);
	record->gone = false;
	record->automount = stx->stx_attributes & STATX_ATTR_AUTOMOUNT;
	if (type == FSMETA_TYPE_BLOCK || type == FSMETA_TYPE_CHAR) {
		record->rdev_major = stx->stx_rdev_major;
		record->rdev_minor = stx->stx_rdev_minor;
		record->fields |= FSMETA_FIELD_RDEV;
	}
}

/** fsmeta_folder_identify(), which asks for the birth time as well or not. */
static int identify(
    struct fsmeta_folder_record *record, int fd, const char *name, uint32_t statx_mask)
{
	struct statx stx;
	int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_SYNC_AS_STAT;

	if (!*name)
		flags |= AT_EMPTY_PATH;
	if (statx(fd, name, flags, statx_mask, &stx) != 0) {
		*record = (struct fsmeta_folder_record){0};
		return errno;
	}
	record_from_statx(record, &stx);
	return 0;
}

int fsmeta_folder_identify(struct fsmeta_folder_record *record, int fd, const char *name)
{
	return identify(record, fd, name, STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID);
}

static enum fsmeta_type type_from_d_type(unsigned d_type)
{
	enum fsmeta_type type = fsmeta_type_from_mode(DTTOIF(d_type));

	return type ? type : FSMETA_TYPE_FILE;
}

/* ---- listing ----------------------------------------------------------- */

bool fsmeta_folder_hides(
    const struct fsmeta_folder_reader *reader, const struct fsmeta_folder_record *self)
{
	for (size_t i = 0; i < reader->hidden_count; i++) {
		if (reader->hidden[i].folder_inode == self->inode &&
		    reader->hidden[i].folder_device == self->device)
			return true;
	}
	return false;
}

static bool name_matches(const char *pattern, const char *name)
{
	size_t length = strlen(pattern);

	if (length > 0 && pattern[length - 1] == '*')
		return strncmp(pattern, name, length - 1) == 0;
	return strcmp(pattern, name) == 0;
}

static bool is_hidden(const struct fsmeta_folder_reader *reader,
    const struct fsmeta_folder_record *self, const char *name)
{
	for (size_t i = 0; i < reader->hidden_count; i++) {
		const struct fsmeta_scan_hidden *hidden = &reader->hidden[i];

		if (hidden->folder_inode == self->inode && hidden->folder_device == self->device &&
		    name_matches(hidden->name, name))
			return true;
	}
	return false;
}

static bool is_dot_or_dot_dot(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/** Room for whatever one call of getdents64 gave, so that adding cannot fail. */
static int reserve_entries(struct fsmeta_folder *folder, size_t bytes)
{
	size_t wanted = folder->count + bytes / ENTRY_MIN_BYTES + 1;
	size_t capacity = folder->capacity, size;
	void *sorted;

	if (fsmeta_buffer_reserve(&folder->names, bytes + KEY_BYTES) != 0)
		return FSMETA_E_MEMORY;
	if (wanted <= capacity)
		return 0;
	/* The first call gives all of most folders: take no more than that needs. */
	if (capacity > 0 && !fsmeta_size_multiply(capacity, 2, &capacity))
		return FSMETA_E_MEMORY;
	if (capacity < wanted)
		capacity = wanted;
	if (!fsmeta_size_multiply(capacity, sizeof(*folder->sorted), &size))
		return FSMETA_E_MEMORY;
	sorted = realloc(folder->sorted, size);
	if (!sorted)
		return FSMETA_E_MEMORY;
	folder->sorted = sorted;
	folder->capacity = capacity;
	return 0;
}

static void add_name(
    struct fsmeta_folder *folder, const char *name, size_t length, unsigned char d_type)
{
	struct fsmeta_buffer *names = &folder->names;

	folder->sorted[folder->count++] = (struct fsmeta_folder_name){
	    .offset = names->length,
	    .length = length,
	    .d_type = d_type,
	};
	memcpy(names->data + names->length, name, length + 1);
	names->length += length + 1;
}

void fsmeta_folder_clear(struct fsmeta_folder *folder)
{
	folder->count = 0;
	folder->error = 0;
	folder->changed = false;
	folder->suspended = false;
	fsmeta_buffer_clear(&folder->names);
}

int fsmeta_folder_add(struct fsmeta_folder *folder, const char *name, size_t length)
{
	if (reserve_entries(folder, ENTRY_MIN_BYTES + length + 1))
		return FSMETA_E_MEMORY;
	memcpy(folder->names.data + folder->names.length, name, length);
	folder->names.data[folder->names.length + length] = '\0';
	folder->sorted[folder->count++] = (struct fsmeta_folder_name){
	    .offset = folder->names.length, .length = length, .d_type = DT_DIR};
	folder->names.length += length + 1;
	return 0;
}

static int add_entries(struct fsmeta_folder *folder, const struct fsmeta_folder_reader *reader,
    size_t bytes, const struct fsmeta_folder_record *hidden_in, size_t name_limit)
{
	const unsigned char *at = reader->entries, *end = at + bytes;

	if (reserve_entries(folder, bytes) != 0)
		return FSMETA_E_MEMORY;
	while (at < end) {
		const struct linux_dirent64 *entry = (const void *)at;
		size_t length;

		at += entry->d_reclen;
		if (is_dot_or_dot_dot(entry->d_name))
			continue;
		length = strlen(entry->d_name);
		if (length > name_limit || length > FSMETA_NAME_MAX_BYTES) {
			folder->error = ENAMETOOLONG;
			continue;
		}
		if (hidden_in && is_hidden(reader, hidden_in, entry->d_name))
			continue;
		add_name(folder, entry->d_name, length, entry->d_type & 0xf);
	}
	return 0;
}

/* ---- sorting ----------------------------------------------------------- */

static const char *text_of(const unsigned char *names, const struct fsmeta_folder_name *item)
{
	return (const char *)names + item->offset;
}

/** The eight bytes of a name from `depth` on as a number that compares as they do. */
static uint64_t key_at(
    const unsigned char *names, const struct fsmeta_folder_name *item, size_t depth)
{
	size_t left = item->length > depth ? item->length - depth : 0;
	uint64_t key;

	if (left == 0)
		return 0;
	memcpy(&key, names + item->offset + depth, KEY_BYTES);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	key = __builtin_bswap64(key);
#endif
	if (left < KEY_BYTES)
		key &= ~UINT64_C(0) << (8 * (KEY_BYTES - left));
	return key;
}

/** Compares two names that agree before `depth`, where their keys were loaded. */
static inline int compare_items(const unsigned char *names, const struct fsmeta_folder_name *a,
    const struct fsmeta_folder_name *b, size_t depth)
{
	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	/* An equal key with a zero in it is the end of both. */
	if ((a->key & 0xff) == 0)
		return 0;
	depth += KEY_BYTES;
	return fsmeta_name_compare(text_of(names, a) + depth, a->length - depth,
	    text_of(names, b) + depth, b->length - depth);
}

static void insertion_sort(
    const unsigned char *names, struct fsmeta_folder_name *items, size_t count, size_t depth)
{
	for (size_t i = 1; i < count; i++) {
		struct fsmeta_folder_name item = items[i];
		size_t at = i;

		while (at > 0 && compare_items(names, &item, &items[at - 1], depth) < 0) {
			items[at] = items[at - 1];
			at--;
		}
		items[at] = item;
	}
}

/** Bits in which the keys of a range differ. */
static uint64_t key_differences(const struct fsmeta_folder_name *items, size_t count)
{
	uint64_t differences = 0;

	for (size_t i = 1; i < count; i++)
		differences |= items[i].key ^ items[0].key;
	return differences;
}

/**
 * Permutes `items` so that the byte at `shift` of the keys ascends; ends[b] is
 * then where the items with byte b end.
 */
static void distribute(
    struct fsmeta_folder_name *items, size_t count, unsigned shift, size_t ends[256])
{
	size_t starts[256], sum = 0;

	memset(ends, 0, 256 * sizeof(*ends));
	for (size_t i = 0; i < count; i++)
		ends[(items[i].key >> shift) & 0xff]++;
	for (unsigned b = 0; b < 256; b++) {
		starts[b] = sum;
		sum += ends[b];
		ends[b] = sum;
	}
	for (unsigned b = 0; b < 256; b++) {
		while (starts[b] < ends[b]) {
			struct fsmeta_folder_name item = items[starts[b]];
			unsigned byte = (item.key >> shift) & 0xff;

			while (byte != b) {
				struct fsmeta_folder_name *place = &items[starts[byte]++];
				struct fsmeta_folder_name displaced = *place;

				*place = item;
				item = displaced;
				byte = (item.key >> shift) & 0xff;
			}
			items[starts[b]++] = item;
		}
	}
}

/** Sorts names that agree before `depth`, where their keys were loaded. */
static void radix_sort(
    const unsigned char *names, struct fsmeta_folder_name *items, size_t count, size_t depth)
{
	while (count > INSERTION_MAX) {
		uint64_t differences = key_differences(items, count);
		size_t ends[256], start = 0, largest_start = 0, largest_count = 0;

		if (differences == 0) {
			/* One and the same name: a listing that was changed under us. */
			if ((items[0].key & 0xff) == 0)
				return;
			depth += KEY_BYTES;
			for (size_t i = 0; i < count; i++)
				items[i].key = key_at(names, &items[i], depth);
			continue;
		}
		distribute(items, count, (63 - (unsigned)__builtin_clzll(differences)) & ~7u, ends);
		for (unsigned b = 0; b < 256; start = ends[b++]) {
			size_t size = ends[b] - start;

			if (size > largest_count) {
				if (largest_count > 1)
					radix_sort(
					    names, items + largest_start, largest_count, depth);
				largest_start = start;
				largest_count = size;
			} else if (size > 1) {
				radix_sort(names, items + start, size, depth);
			}
		}
		items += largest_start;
		count = largest_count;
	}
	insertion_sort(names, items, count, depth);
}

static void sort_names(struct fsmeta_folder *folder)
{
	const unsigned char *names = folder->names.data;
	struct fsmeta_folder_name *items = folder->sorted;
	bool ascending = true;

	if (folder->count == 0)
		return;
	items[0].key = key_at(names, &items[0], 0);
	for (size_t i = 1; i < folder->count; i++) {
		items[i].key = key_at(names, &items[i], 0);
		ascending = ascending && compare_items(names, &items[i - 1], &items[i], 0) < 0;
	}
	if (!ascending)
		radix_sort(names, items, folder->count, 0);
}

static bool same_times(const struct fsmeta_folder_record *a, const struct fsmeta_folder_record *b)
{
	return a->mtime_seconds == b->mtime_seconds &&
	       a->mtime_nanoseconds == b->mtime_nanoseconds &&
	       a->ctime_seconds == b->ctime_seconds && a->ctime_nanoseconds == b->ctime_nanoseconds;
}

static int stopped(struct fsmeta_error *error)
{
	return fsmeta_error_set(error, FSMETA_E_STOPPED, NULL, "scanning", "stopped on request");
}

static enum fsmeta_folder_pace pace_of(
    const struct fsmeta_folder_reader *reader, const struct fsmeta_folder *listing)
{
	if (reader->stop && *reader->stop)
		return FSMETA_FOLDER_STOP;
	return reader->pace ? reader->pace(reader->payload, listing) : FSMETA_FOLDER_GO_ON;
}

int fsmeta_folder_list(struct fsmeta_folder *folder, struct fsmeta_folder_reader *reader, int fd,
    const struct fsmeta_folder_record *self, size_t name_limit, struct fsmeta_error *error)
{
	const struct fsmeta_folder_record *hidden_in =
	    fsmeta_folder_hides(reader, self) ? self : NULL;
	struct fsmeta_folder_record after;

	if (!folder->suspended)
		fsmeta_folder_clear(folder);
	folder->suspended = false;
	for (;;) {
		long got = syscall(SYS_getdents64, fd, reader->entries, (size_t)ENTRIES_BYTES);
		enum fsmeta_folder_pace pace;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			folder->error = errno;
		if (got <= 0)
			break;
		if (add_entries(folder, reader, (size_t)got, hidden_in, name_limit) != 0)
			return fsmeta_error_set_memory(error, "listing a folder");
		pace = pace_of(reader, folder);
		if (pace == FSMETA_FOLDER_STOP)
			return stopped(error);
		if (pace == FSMETA_FOLDER_SUSPEND) {
			folder->suspended = true;
			return 1;
		}
	}
	if (fsmeta_folder_identify(&after, fd, "") == 0)
		folder->changed = !same_times(self, &after);
	sort_names(folder);
	return 0;
}

/* ---- chunks ------------------------------------------------------------ */

/** Room for exactly `count` records: chunks wait in great numbers. */
static int reserve_records(struct fsmeta_folder_chunk *chunk, uint32_t count)
{
	void *records;

	if (count <= chunk->capacity)
		return 0;
	records = realloc(chunk->records, count * sizeof(*chunk->records));
	if (!records)
		return FSMETA_E_MEMORY;
	chunk->records = records;
	chunk->capacity = count;
	return 0;
}

/**
 * Appends the target of link `name` to the chunk's targets; *errno_number tells
 * what the file system said.  0 or FSMETA_E_MEMORY.
 */
static int read_target(struct fsmeta_folder_chunk *chunk, struct fsmeta_folder_record *record,
    int fd, const char *name, int *errno_number)
{
	/* One byte more than expected, to see that it was all of it. */
	size_t room = record->size > 0 && record->size < 4096 ? record->size + 1 : 4096;

	*errno_number = 0;
	for (;;) {
		ssize_t got;

		if (fsmeta_buffer_reserve(&chunk->targets, room) != 0)
			return FSMETA_E_MEMORY;
		got =
		    readlinkat(fd, name, (char *)chunk->targets.data + chunk->targets.length, room);
		if (got < 0) {
			*errno_number = errno;
			return 0;
		}
		if ((size_t)got < room) {
			record->target_offset = (uint32_t)chunk->targets.length;
			record->target_length = (uint32_t)got;
			record->fields |= FSMETA_FIELD_TARGET;
			chunk->targets.length += (size_t)got;
			return 0;
		}
		if (room > FSMETA_TARGET_MAX_BYTES) {
			*errno_number = ENAMETOOLONG;
			return 0;
		}
		room = room < FSMETA_TARGET_MAX_BYTES / 2 ? room * 2 : FSMETA_TARGET_MAX_BYTES + 1;
	}
}

/** Metadata and target of one name.  0 or FSMETA_E_MEMORY. */
static int read_record(struct fsmeta_folder_chunk *chunk, struct fsmeta_folder_record *record,
    const struct fsmeta_folder_reader *reader, int fd, const char *name, unsigned d_type)
{
	/* ext4 keeps the birth time far from the rest: a memory access that is to be waited for. */
	uint32_t wanted = STATX_BASIC_STATS | STATX_MNT_ID |
			  (reader->field_mask & FSMETA_FIELD_BTIME ? STATX_BTIME : 0);

	for (int attempt = 1;; attempt++) {
		int failure = identify(record, fd, name, wanted);

		if (failure) {
			record->type = (uint8_t)type_from_d_type(d_type);
			record->error = (uint16_t)failure;
			record->gone = failure == ENOENT;
			return 0;
		}
		if (record->type != FSMETA_TYPE_SYMLINK ||
		    !(reader->field_mask & FSMETA_FIELD_TARGET))
			return 0;
		if (read_target(chunk, record, fd, name, &failure) != 0)
			return FSMETA_E_MEMORY;
		/* No link any more, or nothing at all: look again at what it is now. */
		if ((failure == EINVAL || failure == ENOENT) && attempt < LINK_ATTEMPTS)
			continue;
		record->error = (uint16_t)failure;
		return 0;
	}
}

/** File systems that are changed while they list may give a name twice. */
static bool is_repeated(const struct fsmeta_folder *folder, size_t at)
{
	size_t length, previous_length;
	const char *name = fsmeta_folder_name(folder, at, &length), *previous;

	if (at == 0)
		return false;
	previous = fsmeta_folder_name(folder, at - 1, &previous_length);
	return length == previous_length && memcmp(name, previous, length) == 0;
}

int fsmeta_folder_read(struct fsmeta_folder_chunk *chunk, struct fsmeta_folder_reader *reader,
    const struct fsmeta_folder *folder, int fd, int lost, size_t first, struct fsmeta_error *error)
{
	size_t left = folder->count - first;
	uint32_t count =
	    left < FSMETA_FOLDER_CHUNK_RECORDS ? (uint32_t)left : FSMETA_FOLDER_CHUNK_RECORDS;

	chunk->first = first;
	chunk->count = 0;
	chunk->folders = 0;
	fsmeta_buffer_clear(&chunk->targets);
	if (reserve_records(chunk, count) != 0)
		return fsmeta_error_set_memory(error, "reading a folder");
	for (uint32_t i = 0; i < count; i++) {
		struct fsmeta_folder_record *record = &chunk->records[i];
		unsigned d_type = folder->sorted[first + i].d_type;
		size_t length;
		const char *name = fsmeta_folder_name(folder, first + i, &length);

		fsmeta_folder_prefetch(folder, first + i);
		if (i % PACE_RECORDS == PACE_RECORDS - 1 &&
		    pace_of(reader, NULL) == FSMETA_FOLDER_STOP)
			return stopped(error);
		if (is_repeated(folder, first + i)) {
			*record = (struct fsmeta_folder_record){.gone = true};
		} else if (lost) {
			*record = (struct fsmeta_folder_record){
			    .type = (uint8_t)type_from_d_type(d_type),
			    .error = (uint16_t)lost,
			};
		} else if (read_record(chunk, record, reader, fd, name, d_type) != 0) {
			return fsmeta_error_set_memory(error, "reading a folder");
		}
		chunk->folders += record->type == FSMETA_TYPE_FOLDER && !record->gone;
	}
	chunk->count = count;
	return 0;
}
