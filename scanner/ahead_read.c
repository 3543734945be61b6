/*
 * What is done about a folder without the lock: it is opened, listed and read, by whoever began
 * it.  Nothing that it touches is anybody else's meanwhile, but for the two words `abandoned`
 * and `wanted`.
 *
 *     open ──► list ──► keep the scope's names ──► read 256 records ──► folders found
 *       │        │                                  (at once where they are all)
 *       │        └── or, where the guide vouches for it and its witnesses are what they
 *       │            were, the sub-folders that the guide knows
 *       └── or why it is not entered: unreadable, another file system
 */
#include "scanner/ahead_queue.h"

#include "base/path.h"
#include "scanner/keep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	/** Listings from here on count as large. */
	LARGE_BYTES = 256 << 10,
};

/* ---- opening and listing --------------------------------------------------------- */

enum fsmeta_folder_pace fsmeta_ahead_pace(void *payload, const struct fsmeta_folder *listing)
{
	struct fsmeta_ahead_thread *thread = payload;
	struct fsmeta_ahead *ahead = thread->ahead;
	struct fsmeta_ahead_folder *folder = thread->folder;
	size_t bytes;
	bool is_too_large;

	if (__atomic_load_n(&folder->abandoned, __ATOMIC_RELAXED))
		return FSMETA_FOLDER_STOP;
	if (!listing)
		fsmeta_ahead_ask_meanwhile(ahead);
	if (!listing || __atomic_load_n(&folder->wanted, __ATOMIC_RELAXED))
		return FSMETA_FOLDER_GO_ON;
	bytes = listing->count * sizeof(*listing->sorted) + listing->names.length;
	if (bytes < LARGE_BYTES)
		return FSMETA_FOLDER_GO_ON;
	fsmeta_ahead_lock(ahead);
	ahead->listing_bytes += bytes - folder->large_cost;
	folder->large_cost = bytes;
	if (ahead->most.listing_bytes < ahead->listing_bytes)
		ahead->most.listing_bytes = ahead->listing_bytes;
	is_too_large = ahead->listing_bytes > FSMETA_AHEAD_LISTINGS_BYTES;
	fsmeta_ahead_unlock(ahead);
	return is_too_large ? FSMETA_FOLDER_SUSPEND : FSMETA_FOLDER_GO_ON;
}

/** True where the walk may not go from `parent` into this folder. */
static bool is_elsewhere(const struct fsmeta_ahead *ahead, const struct fsmeta_ahead_folder *parent,
    const struct fsmeta_folder_record *record)
{
	return !ahead->options.cross_filesystems &&
	       (record->device != parent->record->device || record->automount);
}

/** Opens a folder; its descriptor stays -1 where it is not to be listed. */
static int open_folder(struct fsmeta_ahead_thread *thread, struct fsmeta_ahead_folder *folder)
{
	struct fsmeta_ahead_folder *parent = folder->parent;
	const struct fsmeta_folder_record *record = folder->record;
	int fd = -1, failure = 0;

	if (record->error || parent->lost) {
		failure = record->error ? record->error : parent->lost;
	} else if (is_elsewhere(thread->ahead, parent, record)) {
		folder->flags |= FSMETA_FLAG_OTHER_FILESYSTEM;
	} else if (folder->depth >= FSMETA_DEPTH_MAX) {
		failure = ENAMETOOLONG;
	} else {
		fd = fsmeta_folder_open(&thread->reader, parent->fd, folder->name, record->uid);
		if (fd < 0 && (errno == EMFILE || errno == ENFILE))
			return FSMETA_AHEAD_LACKS_DESCRIPTOR;
		failure = fd < 0 ? errno : fsmeta_folder_identify(&folder->opened, fd, "");
		if (!failure) {
			/* The walker may be reading the piece that has the other one. */
			folder->record = record = &folder->opened;
			if (is_elsewhere(thread->ahead, parent, record))
				folder->flags |= FSMETA_FLAG_OTHER_FILESYSTEM;
		}
	}
	if (failure) {
		folder->flags |= FSMETA_FLAG_UNREADABLE;
		folder->error = failure;
	}
	if (fd >= 0 && folder->flags) {
		close(fd);
		fd = -1;
	}
	folder->fd = fd;
	folder->keeps_descriptor = fd >= 0 && (record->device != parent->record->device ||
						  record->mount_id != parent->record->mount_id);
	return 0;
}

/** Puts the path of `folder` into thread->path.  0 or FSMETA_E_MEMORY. */
static int build_path(struct fsmeta_ahead_thread *thread, const struct fsmeta_ahead_folder *folder)
{
	size_t at = folder->path_length;

	fsmeta_buffer_clear(&thread->path);
	if (fsmeta_buffer_reserve(&thread->path, at + 1))
		return FSMETA_E_MEMORY;
	thread->path.length = at;
	for (; folder->parent; folder = folder->parent) {
		size_t start = folder->parent->path_length + (folder->parent->path_length > 0);

		memcpy(thread->path.data + start, folder->name, at - start);
		if (start > 0)
			thread->path.data[start - 1] = '/';
		at = folder->parent->path_length;
	}
	return 0;
}

/** Takes out of a listing what the scan does not look at.  0 or FSMETA_E_MEMORY. */
static int keep_scope(struct fsmeta_ahead_thread *thread, const struct fsmeta_ahead_folder *folder,
    struct fsmeta_folder *listing)
{
	const struct fsmeta_scope *scope = thread->ahead->options.scope;

	if (!scope->count && !scope->excludes.count)
		return 0;
	if (build_path(thread, folder))
		return FSMETA_E_MEMORY;
	if (!fsmeta_keep_is_needed(scope, (const char *)thread->path.data, thread->path.length))
		return 0;
	return fsmeta_keep_names(scope, &thread->path, listing);
}

/** The longest name that may follow the folder's path. */
static size_t name_limit(const struct fsmeta_ahead_folder *folder)
{
	size_t start = folder->path_length + (folder->path_length > 0);

	return start < FSMETA_PATH_MAX_BYTES ? FSMETA_PATH_MAX_BYTES - start : 0;
}

static bool has_time(struct fsmeta_time time, int64_t seconds, uint32_t nanoseconds)
{
	return time.seconds == seconds && time.nanoseconds == nanoseconds;
}

/** True where the guide vouches for the files of an opened folder, and it is what it was. */
static bool is_as_known(
    struct fsmeta_ahead_thread *thread, const struct fsmeta_ahead_folder *folder)
{
	const struct fsmeta_ahead *ahead = thread->ahead;
	const struct fsmeta_guide_folder *known = &folder->known;
	const struct fsmeta_folder_record *record = folder->record;

	if (!known->files_known || record->device != ahead->root.record->device ||
	    (known->device != FSMETA_DEVICE_NONE && known->device != ahead->options.guide_device))
		return false;
	if (known->fields & FSMETA_FIELD_INODE && known->inode != record->inode)
		return false;
	return has_time(known->mtime, record->mtime_seconds, record->mtime_nanoseconds) &&
	       has_time(known->ctime, record->ctime_seconds, record->ctime_nanoseconds) &&
	       !fsmeta_folder_hides(&thread->reader, record);
}

static int note_witness(void *payload, const struct fsmeta_guide_file *file)
{
	struct fsmeta_ahead_witnesses *witnesses = payload;
	struct fsmeta_ahead_witness *witness = &witnesses->items[witnesses->count];

	if (witnesses->count == FSMETA_GUIDE_WITNESSES_MAX)
		return FSMETA_E_LIMIT;
	*witness = (struct fsmeta_ahead_witness){*file, witnesses->names.length};
	witness->file.name = NULL;
	if (fsmeta_buffer_append(&witnesses->names, file->name, file->name_length) ||
	    fsmeta_buffer_append(&witnesses->names, "", 1))
		return FSMETA_E_MEMORY;
	witnesses->count++;
	return 0;
}

/** True where what stands at a name is what the guide says of it. */
static bool is_same_file(
    const struct fsmeta_guide_file *known, const struct fsmeta_folder_record *record)
{
	const uint32_t fields = known->fields;

	return known->type == record->type &&
	       (!(fields & FSMETA_FIELD_INODE) || known->inode == record->inode) &&
	       (!(fields & FSMETA_FIELD_SIZE) || known->size == record->size) &&
	       (!(fields & FSMETA_FIELD_MTIME) ||
		   has_time(known->mtime, record->mtime_seconds, record->mtime_nanoseconds)) &&
	       (!(fields & FSMETA_FIELD_CTIME) ||
		   has_time(known->ctime, record->ctime_seconds, record->ctime_nanoseconds));
}

/**
 * True where the files that may have grown unnoticed are what they were.  They are collected
 * first: the guide answers one thread at a time, and the disk may be slow.
 */
static bool has_known_witnesses(
    struct fsmeta_ahead_thread *thread, const struct fsmeta_ahead_folder *folder)
{
	struct fsmeta_ahead_witnesses *witnesses = &thread->witnesses;

	witnesses->count = 0;
	fsmeta_buffer_clear(&witnesses->names);
	if (fsmeta_guide_witnesses(
		thread->ahead->options.guide, folder->known.id, note_witness, witnesses, NULL))
		return false;
	for (size_t i = 0; i < witnesses->count; i++) {
		const struct fsmeta_ahead_witness *witness = &witnesses->items[i];
		const char *name = (const char *)witnesses->names.data + witness->name_offset;
		struct fsmeta_folder_record record;

		if (fsmeta_folder_identify(&record, folder->fd, name) ||
		    !is_same_file(&witness->file, &record))
			return false;
	}
	return true;
}

/** A listing that is made from what the guide says. */
struct guided_listing {
	struct fsmeta_folder *listing;
	size_t name_limit;
};

static int add_known_name(void *payload, const struct fsmeta_guide_folder *known)
{
	struct guided_listing *guided = payload;

	if (known->name_length > guided->name_limit)
		return FSMETA_E_LIMIT;
	return fsmeta_folder_add(guided->listing, known->name, known->name_length);
}

/** Lists the sub-folders that the guide knows.  False where it cannot tell them. */
static bool list_known(struct fsmeta_ahead_thread *thread, struct fsmeta_ahead_folder *folder)
{
	struct guided_listing guided = {&thread->scratch, name_limit(folder)};

	if (!is_as_known(thread, folder) || !has_known_witnesses(thread, folder))
		return false;
	fsmeta_folder_clear(&thread->scratch);
	folder->is_guided = fsmeta_guide_folders(thread->ahead->options.guide, folder->known.id,
				NULL, 0, NULL, 0, add_known_name, &guided, NULL) == 0;
	return folder->is_guided;
}

static int list_folder(struct fsmeta_ahead_thread *thread, struct fsmeta_ahead_folder *folder)
{
	bool is_resumed = folder->listing.suspended;
	struct fsmeta_folder *listing = is_resumed ? &folder->listing : &thread->scratch;
	int code = 0;

	if (is_resumed || !list_known(thread, folder))
		code = fsmeta_folder_list(
		    listing, &thread->reader, folder->fd, folder->record, name_limit(folder), NULL);
	if (code < 0)
		return code;
	if (code == 0 && keep_scope(thread, folder, listing))
		return FSMETA_E_MEMORY;
	if (!is_resumed && fsmeta_folder_move(&folder->listing, listing))
		return FSMETA_E_MEMORY;
	if (code > 0)
		return FSMETA_AHEAD_SUSPENDED;
	if (folder->listing.error) {
		folder->flags |= FSMETA_FLAG_UNREADABLE;
		folder->error = folder->listing.error;
	}
	if (folder->listing.changed)
		folder->flags |= FSMETA_FLAG_CHANGED_WHILE_READ;
	return 0;
}

/* ---- records --------------------------------------------------------------------- */

/** Folders of a piece, in order, that have not been compared with what the guide knows. */
struct guided_folders {
	struct fsmeta_ahead_folder *next;
	struct fsmeta_ahead_folder *end;
};

/** Gives `known` to the folder of its name, if that was found. */
static int note_known(void *payload, const struct fsmeta_guide_folder *known)
{
	struct guided_folders *found = payload;

	for (; found->next < found->end; found->next++) {
		const char *name = found->next->name;
		int order =
		    fsmeta_name_compare(name, strlen(name), known->name, known->name_length);

		if (order > 0)
			break;
		if (order == 0) {
			found->next->known = *known;
			found->next->known.name = NULL;
		}
	}
	return 0;
}

/** Asks the guide about the folders of a piece; what it cannot tell is not known. */
static void ask_guide(struct fsmeta_guide *guide, const struct fsmeta_ahead_folder *folder,
    struct fsmeta_ahead_piece *piece)
{
	struct guided_folders found = {piece->folders, piece->folders + piece->chunk.folders};
	const char *first, *last;

	if (!folder->known.id)
		return;
	first = found.next->name;
	last = found.end[-1].name;
	(void)fsmeta_guide_folders(guide, folder->known.id, first, strlen(first), last,
	    strlen(last), note_known, &found, NULL);
}

/** Makes the folders of a piece known.  0 or FSMETA_E_MEMORY. */
static int find_folders(struct fsmeta_ahead_thread *thread, struct fsmeta_ahead_folder *folder,
    struct fsmeta_ahead_piece *piece)
{
	struct fsmeta_ahead_folder *found;

	if (!piece->chunk.folders)
		return 0;
	piece->folders = found = calloc(piece->chunk.folders, sizeof(*found));
	if (!found)
		return FSMETA_E_MEMORY;
	for (uint32_t i = 0; i < piece->chunk.count; i++) {
		const struct fsmeta_folder_record *record = &piece->chunk.records[i];
		size_t length;

		if (record->type != FSMETA_TYPE_FOLDER || record->gone)
			continue;
		found->parent = folder;
		found->name = fsmeta_folder_name(&folder->listing, piece->chunk.first + i, &length);
		found->path_length = folder->path_length + (folder->path_length > 0) + length;
		found->depth = folder->depth + 1;
		found->record = record;
		found->item.folder = found;
		found->fd = -1;
		found++;
	}
	ask_guide(thread->ahead->options.guide, folder, piece);
	return 0;
}

int fsmeta_ahead_read_piece(struct fsmeta_ahead_thread *thread, struct fsmeta_ahead_folder *folder,
    struct fsmeta_ahead_piece *piece)
{
	const struct fsmeta_scope *scope = thread->ahead->options.scope;
	int code = fsmeta_folder_read(&piece->chunk, &thread->reader, &folder->listing, folder->fd,
	    folder->lost, piece->chunk.first, NULL);

	if (code == 0 && scope->excludes.count) {
		code = build_path(thread, folder);
		if (code == 0)
			code = fsmeta_keep_records(
			    scope, &thread->path, &folder->listing, &piece->chunk);
	}
	return code ? code : find_folders(thread, folder, piece);
}

/** True where nothing in a folder is left to be read or opened, `piece` being its only one. */
static bool is_read(
    const struct fsmeta_ahead_folder *folder, const struct fsmeta_ahead_piece *piece)
{
	return folder->parent && !folder->keeps_descriptor &&
	       (piece ? !piece->chunk.folders : !folder->listing.count);
}

int fsmeta_ahead_read_folder(struct fsmeta_ahead_thread *thread, struct fsmeta_ahead_task *task)
{
	struct fsmeta_ahead_folder *folder = task->folder;
	int code = folder->fd < 0 ? open_folder(thread, folder) : 0;

	if (code != 0 || folder->fd < 0)
		return code;
	code = list_folder(thread, folder);
	if (code == 0 && folder->listing.count > 0 &&
	    folder->listing.count <= FSMETA_FOLDER_CHUNK_RECORDS) {
		task->piece = fsmeta_ahead_new_piece(folder);
		code = task->piece ? fsmeta_ahead_read_piece(thread, folder, task->piece)
				   : FSMETA_E_MEMORY;
	}
	if (code == 0 && is_read(folder, task->piece)) {
		close(folder->fd);
		folder->fd = -1;
	}
	return code;
}
