/*
 * The walk.
 *
 *   level 0   root      sorted names  a  b [cam1] cam2 …     fd kept open
 *   level 1   cam1      [2026]  note.txt                     fd
 *   level 2   2026      01.mp4 [02.mp4] 03.mp4 …             fd
 *                                 ^
 *                          what next() hands out
 *
 * There is one level for each folder on the current path, holding that folder's
 * listing (scanner/folder.h) and the chunk of records in hand.  next() takes the
 * next record of the deepest level.  If it is a folder it is opened and listed
 * first, because whether that worked is a flag on its own entry; then the entry
 * is handed out, and the new level is where next() goes on.  An exhausted level
 * is dropped.
 *
 * The walk never builds a path for the kernel: everything is opened from the
 * descriptor of the folder above, so that neither depth nor PATH_MAX matter and no
 * link can be slipped in.  A folder that was swapped between listing and opening
 * is described as what was opened.
 *
 * Scope.  What the scan was not asked for, or told to leave out, is taken out of a
 * folder's listing before anything more is read about it.  Only a name whose type
 * the listing did not tell rightly, and a pattern for folders alone, can need a second
 * look when the record is there.
 *
 * Descriptors.  A level's descriptor is closed as soon as nothing is left to be
 * read through it; a chain of single folders needs two at a time, however long.
 * Where more than DESCRIPTORS_MAX are needed, the shallowest are closed ("evicted")
 * and reopened on the way back, through ".." of the level below:
 *
 *     0    1   2   3   4   5   6   7         o  open      x  evicted, needed later
 *     o    x   x   .   x   o   o   o         .  closed, nothing left to read there
 *                       <─────────
 *                  openat(fd of 5, "..") gives 4, from there 3, from there 2
 *
 * From the moment that anything is evicted no descriptor below it is dropped early,
 * and levels that need none themselves are reopened in passing, so that the rope
 * never breaks.  What ".." leads to must have the device and inode that the
 * level had; if it was moved meanwhile the path is walked down from the root,
 * which stays open, with the same check at each step.  If that fails as well, what
 * is left of that folder is recorded as unreadable.
 *
 * Threads.  A level takes its listing and its chunks from list_folder() and
 * read_chunk(), and from nowhere else.  Both are pure functions of a descriptor
 * that write into memory of their own, so workers can run them ahead of the walk
 * and leave the results here to be taken in canonical order; callers of the cursor
 * would not notice.
 */
#include "scanner/scanner.h"

#include "base/path.h"
#include "format/scope.h"
#include "scanner/filesystem.h"
#include "scanner/folder.h"
#include "scanner/owners.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	/** Descriptors that are open at a time, the root's included. */
	DESCRIPTORS_MAX = 128,
	/** Listings and chunks kept for reuse … */
	SPARES_MAX = 16,
	/** … unless they hold more than this. */
	SPARE_MAX_BYTES = 256 << 10,
};

/** Memory of a level that can be used again: what the folder gave us. */
struct content {
	struct fsmeta_folder folder;
	struct fsmeta_folder_chunk chunk;
	struct content *next_spare;
};

/** A folder on the current path. */
struct level {
	/** *Owned*. */
	struct content *content;
	/** Place of the next record in the chunk. */
	uint32_t at;
	/** Folders in the chunk from there on. */
	uint32_t folders_left;
	/** -1 while closed. */
	int fd;
	/** errno since when the folder cannot be reached any more, else 0. */
	int lost;
	/** Closed although something is left to be read. */
	bool evicted;
	/** What the folder is, to know it again. */
	uint64_t device;
	uint64_t inode;
	const struct fsmeta_filesystem_facts *filesystem;
};

struct scan {
	struct fsmeta_cursor cursor;
	struct fsmeta_batch_source source;
	char *label;
	struct fsmeta_folder_reader reader;
	struct fsmeta_filesystem_table *filesystems;
	struct fsmeta_owner_set owners;
	struct fsmeta_owner_set groups;
	bool cross_filesystems;
	struct fsmeta_scope scope;
	/** Path of a name that is being judged. */
	struct fsmeta_buffer child;

	/** levels[0] is the root; levels[i] has its children at depth i + 1. */
	struct level *levels;
	uint32_t level_count;
	uint32_t level_capacity;
	/** Path of the entry handed out last. */
	struct fsmeta_path_stack path;
	struct fsmeta_entry entry;

	/** Descriptors of levels that are open. */
	uint32_t open_count;
	/** How many levels are evicted. */
	uint32_t evicted_count;
	/** No level between the root and this one is open. */
	uint32_t first_open;

	struct content *spares;
	uint32_t spare_count;

	/** The root's descriptor until it is a level, then -1. */
	int root_fd;
	struct fsmeta_folder_record root;
	bool started;
	bool ended;
};

static struct scan *scan_of(struct fsmeta_cursor *cursor)
{
	return (struct scan *)(void *)cursor;
}

static bool is_stopped(const struct scan *scan)
{
	return scan->reader.stop && *scan->reader.stop;
}

static int stopped(struct fsmeta_error *error)
{
	return fsmeta_error_set(error, FSMETA_E_STOPPED, NULL, "scanning", "stopped on request");
}

/* ---- memory of levels -------------------------------------------------- */

static void content_free(struct content *content)
{
	fsmeta_folder_release(&content->folder);
	fsmeta_folder_chunk_release(&content->chunk);
	free(content);
}

static struct content *content_take(struct scan *scan)
{
	struct content *content = scan->spares;

	if (!content)
		return calloc(1, sizeof(*content));
	scan->spares = content->next_spare;
	scan->spare_count--;
	content->chunk.first = 0;
	content->chunk.count = 0;
	return content;
}

static void content_give_back(struct scan *scan, struct content *content)
{
	size_t held = content->folder.capacity * sizeof(*content->folder.sorted) +
		      content->folder.names.capacity + content->chunk.targets.capacity;

	if (scan->spare_count >= SPARES_MAX || held > SPARE_MAX_BYTES) {
		content_free(content);
		return;
	}
	content->next_spare = scan->spares;
	scan->spares = content;
	scan->spare_count++;
}

/** Room for one more level.  0 or FSMETA_E_MEMORY. */
static int reserve_level(struct scan *scan, struct fsmeta_error *error)
{
	uint32_t capacity = scan->level_capacity ? scan->level_capacity * 2 : 32;
	void *levels;

	if (scan->level_count < scan->level_capacity)
		return 0;
	levels = realloc(scan->levels, capacity * sizeof(*scan->levels));
	if (!levels)
		return fsmeta_error_set_memory(error, "scanning");
	scan->levels = levels;
	scan->level_capacity = capacity;
	return 0;
}

/* ---- descriptors ------------------------------------------------------- */

/** Index of the first name that is not in a chunk yet. */
static size_t next_chunk_start(const struct level *level)
{
	return level->content->chunk.first + level->content->chunk.count;
}

/** True while something is left to be read through the level's descriptor. */
static bool needs_descriptor(const struct level *level)
{
	return !level->lost &&
	       (level->folders_left > 0 || next_chunk_start(level) < level->content->folder.count);
}

static void close_level(struct scan *scan, struct level *level)
{
	close(level->fd);
	level->fd = -1;
	scan->open_count--;
}

/** Closes the deepest level's descriptor if neither it nor the way back needs it. */
static void drop_descriptor(struct scan *scan)
{
	uint32_t index = scan->level_count - 1;
	struct level *level = &scan->levels[index];

	if (index > 0 && level->fd >= 0 && scan->evicted_count == 0 && !needs_descriptor(level))
		close_level(scan, level);
}

/** Closes the shallowest descriptor but the root's and the deepest.  False where there is none. */
static bool evict(struct scan *scan)
{
	uint32_t deepest = scan->level_count - 1, index = scan->first_open;
	struct level *level;

	while (index < deepest && scan->levels[index].fd < 0)
		index++;
	scan->first_open = index;
	if (index >= deepest)
		return false;
	level = &scan->levels[index];
	if (needs_descriptor(level)) {
		level->evicted = true;
		scan->evicted_count++;
	}
	close_level(scan, level);
	return true;
}

/**
 * Opens a folder within the bound; `path_only` is for one that is only stepped
 * through.  A descriptor, or -1 with errno.
 */
static int open_bounded(
    struct scan *scan, int folder_fd, const char *name, int64_t owner, bool path_only)
{
	while (scan->open_count >= DESCRIPTORS_MAX && evict(scan))
		;
	for (;;) {
		int fd = path_only ? openat(folder_fd, name,
					 O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
				   : fsmeta_folder_open(&scan->reader, folder_fd, name, owner);
		int failure = errno;

		if (fd >= 0)
			return fd;
		/* Others in this process need descriptors too. */
		if ((failure != EMFILE && failure != ENFILE) || !evict(scan)) {
			errno = failure;
			return -1;
		}
	}
}

/** 0 if `fd` is the folder of `level`, else an errno. */
static int verify(const struct level *level, int fd)
{
	struct fsmeta_folder_record now;
	int failure = fsmeta_folder_identify(&now, fd, "");

	if (failure)
		return failure;
	return now.device == level->device && now.inode == level->inode ? 0 : ESTALE;
}

/** Opens level `index` from the root on, checking every step.  Descriptor or -1 with errno. */
static int open_from_root(struct scan *scan, uint32_t index)
{
	int fd = scan->levels[0].fd, failure = 0;

	for (uint32_t depth = 1; depth <= index; depth++) {
		size_t length;
		char name[FSMETA_NAME_MAX_BYTES + 1];
		const char *component = fsmeta_path_stack_name(&scan->path, depth, &length);
		int below;

		memcpy(name, component, length);
		name[length] = '\0';
		below = open_bounded(scan, fd, name, -1, depth < index);
		failure = below < 0 ? errno : verify(&scan->levels[depth], below);
		if (depth > 1)
			close(fd);
		if (failure) {
			if (below >= 0)
				close(below);
			errno = failure;
			return -1;
		}
		fd = below;
	}
	return fd;
}

/**
 * Opens level `index` again, from `child_fd` (may be -1) or else from the root;
 * where that fails it is lost.
 */
static void reopen_level(struct scan *scan, uint32_t index, int child_fd)
{
	struct level *level = &scan->levels[index];
	int fd = -1, failure;

	if (child_fd >= 0) {
		fd = open_bounded(scan, child_fd, "..", -1, false);
		if (fd >= 0 && verify(level, fd) != 0) {
			close(fd);
			fd = -1;
		}
	}
	if (fd < 0 && level->evicted)
		fd = open_from_root(scan, index);
	failure = errno;
	if (level->evicted) {
		level->evicted = false;
		scan->evicted_count--;
		if (fd < 0)
			level->lost = failure;
	}
	if (fd >= 0) {
		level->fd = fd;
		scan->open_count++;
		if (scan->first_open > index)
			scan->first_open = index;
	}
}

/* ---- levels ------------------------------------------------------------ */

/** Puts a listed folder below the present level.  `content` and `fd` are *stolen*. */
static void push_level(struct scan *scan, struct content *content, int fd,
    const struct fsmeta_folder_record *self, const struct fsmeta_filesystem_facts *filesystem)
{
	scan->levels[scan->level_count++] = (struct level){
	    .content = content,
	    .fd = fd,
	    .device = self->device,
	    .inode = self->inode,
	    .filesystem = filesystem,
	};
	scan->open_count++;
}

/** Leaves the deepest level, and makes the one above ready to go on. */
static void pop_level(struct scan *scan)
{
	uint32_t index = scan->level_count - 1;
	struct level *level = &scan->levels[index], *above = level - 1;

	if (index > 0 && above->fd < 0 && scan->evicted_count > 0)
		reopen_level(scan, index - 1, level->fd);
	if (level->fd >= 0)
		close_level(scan, level);
	content_give_back(scan, level->content);
	scan->level_count--;
	if (scan->first_open > scan->level_count)
		scan->first_open = scan->level_count;
}

/* ---- scope ------------------------------------------------------------- */

/** Begins scan->child with the folder that the path stack shows.  0 or FSMETA_E_MEMORY. */
static int begin_child(struct scan *scan)
{
	size_t length;
	const char *folder = fsmeta_path_stack_path(&scan->path, &length);

	fsmeta_buffer_clear(&scan->child);
	if (!length)
		return 0;
	if (fsmeta_buffer_append(&scan->child, folder, length) ||
	    fsmeta_buffer_append_byte(&scan->child, '/'))
		return FSMETA_E_MEMORY;
	return 0;
}

static bool is_looked_at(const struct scan *scan, bool is_folder)
{
	return fsmeta_scope_judge(&scan->scope, (const char *)scan->child.data, scan->child.length,
		   is_folder) == FSMETA_SCOPE_LOOKED;
}

/** Whether scan->child is to be kept, as far as its listing tells. */
static bool is_kept(const struct scan *scan, unsigned d_type)
{
	if (d_type == DT_UNKNOWN)
		return is_looked_at(scan, false) || is_looked_at(scan, true);
	return is_looked_at(scan, d_type == DT_DIR);
}

/**
 * Takes out of a listing what the scan does not look at, before anything is read
 * about it.  0 or FSMETA_E_MEMORY.
 */
static int keep_scope(struct scan *scan, struct fsmeta_folder *folder)
{
	size_t kept = 0, folder_length, length;
	const char *path = fsmeta_path_stack_path(&scan->path, &length);

	if (!scan->scope.excludes.count && fsmeta_scope_holds(&scan->scope, path, length))
		return 0;
	if (begin_child(scan))
		return FSMETA_E_MEMORY;
	folder_length = scan->child.length;
	for (size_t i = 0; i < folder->count; i++) {
		const char *name = fsmeta_folder_name(folder, i, &length);

		scan->child.length = folder_length;
		if (fsmeta_buffer_append(&scan->child, name, length))
			return FSMETA_E_MEMORY;
		if (is_kept(scan, folder->sorted[i].d_type))
			folder->sorted[kept++] = folder->sorted[i];
	}
	folder->count = kept;
	return 0;
}

/**
 * Takes out the record that the present level stands on if it is to be left out as
 * what it is and could not be as what it was listed as.  0 or FSMETA_E_MEMORY.
 */
static int keep_record_in_scope(struct scan *scan, struct level *level)
{
	struct fsmeta_folder_chunk *chunk = &level->content->chunk;
	struct fsmeta_folder_record *record = &chunk->records[level->at];
	size_t place = chunk->first + level->at, length;
	unsigned d_type = level->content->folder.sorted[place].d_type;
	bool is_folder = record->type == FSMETA_TYPE_FOLDER;
	const char *name;

	if (!scan->scope.excludes.count || record->gone ||
	    (d_type != DT_UNKNOWN && is_folder == (d_type == DT_DIR)))
		return 0;
	fsmeta_path_stack_truncate(&scan->path, scan->level_count - 1);
	name = fsmeta_folder_name(&level->content->folder, place, &length);
	if (begin_child(scan) || fsmeta_buffer_append(&scan->child, name, length))
		return FSMETA_E_MEMORY;
	if (!is_looked_at(scan, is_folder)) {
		record->gone = true;
		level->folders_left -= is_folder;
	}
	return 0;
}

/* ---- reading folders ----------------------------------------------------- */

/** Reads what is behind `fd`.  The one place where listings come from. */
static int list_folder(struct scan *scan, struct content *content, int fd,
    const struct fsmeta_folder_record *self, size_t path_length, struct fsmeta_error *error)
{
	size_t separator = path_length > 0;
	size_t limit = path_length + separator < FSMETA_PATH_MAX_BYTES
			   ? FSMETA_PATH_MAX_BYTES - path_length - separator
			   : 0;

	int code = fsmeta_folder_list(&content->folder, &scan->reader, fd, self, limit, error);

	if (code == 0 && keep_scope(scan, &content->folder))
		code = fsmeta_error_set_memory(error, "listing a folder");
	return code;
}

/** Reads the next chunk of a level.  The one place where records come from. */
static int read_chunk(struct scan *scan, struct level *level, struct fsmeta_error *error)
{
	struct content *content = level->content;
	int code = fsmeta_folder_read(&content->chunk, &scan->reader, &content->folder, level->fd,
	    level->lost, next_chunk_start(level), error);

	level->at = 0;
	level->folders_left = content->chunk.folders;
	return code;
}

/* ---- entries ----------------------------------------------------------- */

/** What is handed out about a folder beside its metadata. */
struct finding {
	struct fsmeta_folder_record record;
	uint32_t flags;
	int error;
	/** Set where it was listed and has something in it; *owned* by the finding. */
	struct content *content;
	int fd;
};

static void set_times(struct fsmeta_entry *entry, const struct fsmeta_folder_record *record)
{
	if (entry->fields & FSMETA_FIELD_MTIME) {
		entry->mtime.seconds = record->mtime_seconds;
		entry->mtime.nanoseconds = record->mtime_nanoseconds;
	}
	if (entry->fields & FSMETA_FIELD_CTIME) {
		entry->ctime.seconds = record->ctime_seconds;
		entry->ctime.nanoseconds = record->ctime_nanoseconds;
	}
	if (entry->fields & FSMETA_FIELD_BTIME) {
		entry->btime.seconds = record->btime_seconds;
		entry->btime.nanoseconds = record->btime_nanoseconds;
	}
}

static void set_numbers(struct fsmeta_entry *entry, const struct fsmeta_folder_record *record)
{
	uint32_t fields = entry->fields;

	entry->size = fields & FSMETA_FIELD_SIZE ? record->size : 0;
	entry->mode = fields & FSMETA_FIELD_MODE ? record->mode : 0;
	entry->uid = fields & FSMETA_FIELD_UID ? record->uid : 0;
	entry->gid = fields & FSMETA_FIELD_GID ? record->gid : 0;
	entry->inode = fields & FSMETA_FIELD_INODE ? record->inode : 0;
	entry->nlink = fields & FSMETA_FIELD_NLINK ? record->nlink : 0;
	entry->allocated = fields & FSMETA_FIELD_ALLOCATED ? record->allocated : 0;
	if (fields & FSMETA_FIELD_RDEV) {
		entry->rdev_major = record->rdev_major;
		entry->rdev_minor = record->rdev_minor;
	}
}

/** Facts about a record's file system; `place_fd` and `name` say where it was read. */
static int filesystem_of(struct scan *scan, const struct fsmeta_folder_record *record, int place_fd,
    const char *name, const struct fsmeta_filesystem_facts **out, struct fsmeta_error *error)
{
	if (scan->level_count > 0) {
		const struct level *level = &scan->levels[scan->level_count - 1];

		*out = level->filesystem;
		if (record->device == level->device &&
		    record->mount_id == level->filesystem->mount_id)
			return 0;
	}
	return fsmeta_filesystem_find(scan->filesystems, record, place_fd, name, out, error);
}

/** Counts the entry and notes owners and scope. */
static int account(struct scan *scan, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	int code = 0;

	fsmeta_totals_count(&scan->source.totals, entry, +1);
	if (entry->fields & FSMETA_FIELD_UID)
		code = fsmeta_owner_set_add(&scan->owners, entry->uid);
	if (code == 0 && entry->fields & FSMETA_FIELD_GID)
		code = fsmeta_owner_set_add(&scan->groups, entry->gid);
	if (code == 0 && entry->flags & FSMETA_FLAG_UNREADABLE)
		code = fsmeta_batch_source_add_root(&scan->source, &scan->source.unreadable,
		    entry->path, entry->path_length, entry->error);
	if (code == 0 && entry->flags & FSMETA_FLAG_OTHER_FILESYSTEM)
		code = fsmeta_batch_source_add_root(
		    &scan->source, &scan->source.not_entered, entry->path, entry->path_length, 0);
	return code ? fsmeta_error_set_memory(error, "scanning") : 0;
}

/**
 * Makes scan->entry, at the path that the path stack shows.  `targets` are those
 * of the record's chunk, or NULL.
 */
static int make_entry(struct scan *scan, const struct fsmeta_folder_record *record,
    const struct fsmeta_buffer *targets, uint32_t flags, int failure,
    const struct fsmeta_filesystem_facts *filesystem, struct fsmeta_error *error)
{
	struct fsmeta_entry *entry = &scan->entry;

	*entry = (struct fsmeta_entry){
	    .type = (enum fsmeta_type)record->type,
	    .flags = flags,
	    .error = failure,
	    .depth = scan->path.depth,
	    .device = FSMETA_DEVICE_NONE,
	};
	entry->path = fsmeta_path_stack_path(&scan->path, &entry->path_length);
	entry->name = entry->path;
	if (entry->depth > 0)
		entry->name += scan->path.starts[entry->depth - 1];
	entry->name_length = entry->path_length - (size_t)(entry->name - entry->path);
	entry->fields = record->fields & scan->source.field_mask;
	if (filesystem && !filesystem->inodes_last)
		entry->fields &= ~(uint32_t)FSMETA_FIELD_INODE;
	if (filesystem && filesystem->index == FSMETA_DEVICE_NONE)
		entry->fields &= ~(uint32_t)FSMETA_FIELD_DEVICE;
	if (entry->fields & FSMETA_FIELD_DEVICE)
		entry->device = filesystem->index;
	set_numbers(entry, record);
	set_times(entry, record);
	if (entry->fields & FSMETA_FIELD_TARGET) {
		entry->target = (const char *)targets->data + record->target_offset;
		entry->target_length = record->target_length;
	}
	return account(scan, entry, error);
}

/** True where the walk may not go from the present level into this folder. */
static bool is_elsewhere(const struct scan *scan, const struct fsmeta_folder_record *record)
{
	const struct level *level = &scan->levels[scan->level_count - 1];

	return !scan->cross_filesystems && (record->device != level->device || record->automount);
}

/** Opens a sub-folder of the present level; finding->fd is -1 where it is not to be listed. */
static void open_folder(struct scan *scan, const char *name, struct finding *finding)
{
	uint32_t index = scan->level_count - 1;
	const struct level *level = &scan->levels[index];
	struct fsmeta_folder_record listed = finding->record;
	int failure = 0;

	if (listed.error || level->lost) {
		failure = listed.error ? listed.error : level->lost;
	} else if (is_elsewhere(scan, &listed)) {
		finding->flags |= FSMETA_FLAG_OTHER_FILESYSTEM;
		return;
	} else if (scan->path.depth >= FSMETA_DEPTH_MAX) {
		failure = ENAMETOOLONG;
	} else {
		finding->fd = open_bounded(scan, level->fd, name, listed.uid, false);
		failure = finding->fd < 0
			      ? errno
			      : fsmeta_folder_identify(&finding->record, finding->fd, "");
		if (failure)
			finding->record = listed;
		else if (is_elsewhere(scan, &finding->record))
			finding->flags |= FSMETA_FLAG_OTHER_FILESYSTEM;
	}
	if (failure) {
		finding->flags |= FSMETA_FLAG_UNREADABLE;
		finding->error = failure;
	}
	if (finding->fd >= 0 && finding->flags) {
		close(finding->fd);
		finding->fd = -1;
	}
}

/** Lists what was opened and says how that went.  Memory and stop are failures. */
static int list_finding(struct scan *scan, struct finding *finding, struct fsmeta_error *error)
{
	size_t path_length;
	int code;

	(void)fsmeta_path_stack_path(&scan->path, &path_length);
	finding->content = content_take(scan);
	if (!finding->content)
		return fsmeta_error_set_memory(error, "listing a folder");
	code =
	    list_folder(scan, finding->content, finding->fd, &finding->record, path_length, error);
	if (code != 0)
		return code;
	if (finding->content->folder.error) {
		finding->flags |= FSMETA_FLAG_UNREADABLE;
		finding->error = finding->content->folder.error;
	}
	if (finding->content->folder.changed)
		finding->flags |= FSMETA_FLAG_CHANGED_WHILE_READ;
	return 0;
}

static void finding_release(struct scan *scan, struct finding *finding)
{
	if (finding->content)
		content_give_back(scan, finding->content);
	if (finding->fd >= 0)
		close(finding->fd);
}

/**
 * Hands out a folder as scan->entry; goes into it unless it is empty or closed to
 * us.  `finding` holds its metadata and, for the root, its descriptor.
 */
static int visit_folder(
    struct scan *scan, const char *name, struct finding *finding, struct fsmeta_error *error)
{
	const struct fsmeta_filesystem_facts *filesystem = NULL;
	int code = 0, place_fd = -1;

	if (scan->level_count > 0) {
		open_folder(scan, name, finding);
		place_fd = scan->levels[scan->level_count - 1].fd;
	}
	if (finding->fd >= 0)
		code = list_finding(scan, finding, error);
	if (code == 0 && finding->record.fields)
		code =
		    finding->fd >= 0
			? filesystem_of(scan, &finding->record, finding->fd, "", &filesystem, error)
			: filesystem_of(scan, &finding->record, place_fd, name, &filesystem, error);
	if (code == 0)
		code = make_entry(scan, &finding->record, NULL, finding->flags, finding->error,
		    filesystem, error);
	if (code == 0 && finding->content && finding->content->folder.count > 0) {
		code = reserve_level(scan, error);
		if (code == 0) {
			/* The level above may have no further use for its descriptor now. */
			if (scan->level_count > 0)
				drop_descriptor(scan);
			push_level(
			    scan, finding->content, finding->fd, &finding->record, filesystem);
			return 0;
		}
	}
	finding_release(scan, finding);
	return code;
}

/** Hands out the record that the present level stands on; 1, or a code. */
static int visit_record(struct scan *scan, struct fsmeta_error *error)
{
	struct level *level = &scan->levels[scan->level_count - 1];
	const struct fsmeta_folder_chunk *chunk = &level->content->chunk;
	const struct fsmeta_folder_record *record = &chunk->records[level->at];
	const struct fsmeta_filesystem_facts *filesystem = NULL;
	size_t length;
	const char *name =
	    fsmeta_folder_name(&level->content->folder, chunk->first + level->at, &length);
	int code;

	level->at++;
	fsmeta_path_stack_truncate(&scan->path, scan->level_count - 1);
	if (fsmeta_path_stack_push(&scan->path, name, length) != 0)
		return fsmeta_error_set_memory(error, "scanning");
	if (record->type == FSMETA_TYPE_FOLDER) {
		struct finding finding = {.record = *record, .fd = -1};

		level->folders_left--;
		code = visit_folder(scan, name, &finding, error);
	} else {
		code = record->fields
			   ? filesystem_of(scan, record, level->fd, name, &filesystem, error)
			   : 0;
		if (code == 0)
			code = make_entry(scan, record, &chunk->targets,
			    record->error ? FSMETA_FLAG_UNREADABLE : 0, record->error, filesystem,
			    error);
	}
	return code ? code : 1;
}

static int visit_root(struct scan *scan, struct fsmeta_error *error)
{
	struct finding finding = {.record = scan->root, .fd = scan->root_fd};
	int code;

	scan->started = true;
	scan->root_fd = -1;
	/* Something may have been made in it since it was opened: our own output. */
	(void)fsmeta_folder_identify(&finding.record, finding.fd, "");
	if (!finding.record.fields)
		finding.record = scan->root;
	code = visit_folder(scan, "", &finding, error);
	return code ? code : 1;
}

/** Fills what the source can say only now. */
static int finish(struct scan *scan, struct fsmeta_error *error)
{
	scan->ended = true;
	scan->source.finished = fsmeta_time_now();
	scan->source.has_totals = true;
	if (fsmeta_owner_set_resolve(&scan->owners, &scan->source, false) != 0 ||
	    fsmeta_owner_set_resolve(&scan->groups, &scan->source, true) != 0)
		return fsmeta_error_set_memory(error, "looking up owners");
	return 0;
}

/* ---- the cursor -------------------------------------------------------- */

static int scan_next(
    struct fsmeta_cursor *cursor, const struct fsmeta_entry **entry, struct fsmeta_error *error)
{
	struct scan *scan = scan_of(cursor);
	int code = 0;

	*entry = &scan->entry;
	if (scan->ended)
		return 0;
	if (is_stopped(scan))
		return stopped(error);
	if (!scan->started)
		return visit_root(scan, error);
	while (code == 0 && scan->level_count > 0) {
		struct level *level = &scan->levels[scan->level_count - 1];

		if (level->at < level->content->chunk.count) {
			if (keep_record_in_scope(scan, level))
				return fsmeta_error_set_memory(error, "scanning");
			if (!level->content->chunk.records[level->at].gone)
				return visit_record(scan, error);
			level->at++;
		} else if (next_chunk_start(level) < level->content->folder.count) {
			code = is_stopped(scan) ? stopped(error) : read_chunk(scan, level, error);
			drop_descriptor(scan);
		} else {
			pop_level(scan);
		}
	}
	return code ? code : finish(scan, error);
}

static int scan_skip(struct fsmeta_cursor *cursor, uint32_t depth, struct fsmeta_error *error)
{
	struct scan *scan = scan_of(cursor);

	(void)error;
	/* Level i has its entries at depth i + 1. */
	while (scan->level_count > 0 && scan->level_count >= depth)
		pop_level(scan);
	if (depth == 0)
		scan->started = true;
	return 0;
}

static void scan_close(struct fsmeta_cursor *cursor)
{
	struct scan *scan = scan_of(cursor);

	for (uint32_t i = 0; i < scan->level_count; i++) {
		if (scan->levels[i].fd >= 0)
			close(scan->levels[i].fd);
		content_free(scan->levels[i].content);
	}
	while (scan->spares)
		content_free(content_take(scan));
	free(scan->levels);
	if (scan->root_fd >= 0)
		close(scan->root_fd);
	fsmeta_path_stack_release(&scan->path);
	fsmeta_scope_release(&scan->scope);
	fsmeta_buffer_release(&scan->child);
	fsmeta_owner_set_release(&scan->owners);
	fsmeta_owner_set_release(&scan->groups);
	fsmeta_filesystem_table_free(scan->filesystems);
	fsmeta_folder_reader_release(&scan->reader);
	fsmeta_batch_source_release(&scan->source);
	free(scan->label);
	free(scan);
}

static const struct fsmeta_cursor_operations scan_operations = {
    .next = scan_next,
    .skip = scan_skip,
    .close = scan_close,
};

/** Opens the root and identifies it.  0 or FSMETA_E_SYSTEM. */
static int open_root(struct scan *scan, const char *path, struct fsmeta_error *error)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK;
	int failure;

	scan->root_fd = open(path, flags | O_NOATIME);
	if (scan->root_fd < 0 && errno == EPERM)
		scan->root_fd = open(path, flags);
	failure =
	    scan->root_fd < 0 ? errno : fsmeta_folder_identify(&scan->root, scan->root_fd, "");
	return failure ? fsmeta_error_set_errno(error, failure, path, "opening") : 0;
}

/** What the source can say before anything is read. */
static int describe(
    struct scan *scan, const struct fsmeta_scan_options *options, struct fsmeta_error *error)
{
	struct fsmeta_batch_source *source = &scan->source;
	const struct fsmeta_filesystem_facts *filesystem;
	int code;

	source->started = fsmeta_time_now();
	source->fsmeta_version = FSMETA_VERSION;
	source->id_kind = FSMETA_IDS_ORDINAL;
	source->cross_filesystems = options->cross_filesystems;
	source->field_mask = options->field_mask ? options->field_mask : FSMETA_FIELDS_ALL;
	source->field_mask &= FSMETA_FIELDS_ALL;
	code = fsmeta_filesystem_describe_machine(source, error);
	if (code == 0)
		code = fsmeta_filesystem_table_new(&scan->filesystems, source, error);
	if (code == 0)
		code = fsmeta_filesystem_describe_root(
		    scan->filesystems, scan->root_fd, &scan->root, options, error);
	if (code == 0)
		code = fsmeta_filesystem_find(
		    scan->filesystems, &scan->root, scan->root_fd, "", &filesystem, error);
	if (code == 0 && !filesystem->inodes_last)
		source->field_mask &= ~(uint32_t)FSMETA_FIELD_INODE;
	return code;
}

static int add_subtree(struct scan *scan, const char *path, struct fsmeta_error *error)
{
	struct fsmeta_batch_source *source = &scan->source;
	size_t length = strlen(path);

	if (!length || !fsmeta_path_is_valid(path, length))
		return fsmeta_error_set(error, FSMETA_E_USAGE, path, "choosing sub-trees",
		    "no path below the root: it has to be relative and without '..'");
	if (fsmeta_batch_source_add_string(source, &source->subtrees, path, length))
		return fsmeta_error_set_memory(error, "choosing sub-trees");
	return 0;
}

/** What is asked for and left out in one breath is a mistake, whichever of the two was meant. */
static int refuse_contradiction(struct scan *scan, struct fsmeta_error *error)
{
	const struct fsmeta_string_list *subtrees = &scan->source.subtrees;

	for (size_t i = 0; i < subtrees->count; i++)
		if (fsmeta_excludes_cover(
			&scan->scope.excludes, subtrees->items[i], subtrees->lengths[i], true))
			return fsmeta_error_set(error, FSMETA_E_USAGE, subtrees->items[i],
			    "choosing sub-trees", "it is asked for and excluded");
	return 0;
}

/** Fills the source's scope as far as it is asked for, and the scan's from it. */
static int choose_scope(
    struct scan *scan, const struct fsmeta_scan_options *options, struct fsmeta_error *error)
{
	struct fsmeta_batch_source *source = &scan->source;
	int code = 0;

	for (size_t i = 0; i < options->subtree_count && code == 0; i++)
		code = add_subtree(scan, options->subtrees[i], error);
	for (size_t i = 0; i < options->exclude_count && code == 0; i++)
		if (fsmeta_batch_source_add_string(source, &source->excludes, options->excludes[i],
			strlen(options->excludes[i])))
			code = fsmeta_error_set_memory(error, "preparing a scan");
	if (code == 0 && fsmeta_scope_init(&scan->scope, source))
		code = fsmeta_error_set_memory(error, "preparing a scan");
	return code ? code : refuse_contradiction(scan, error);
}

int fsmeta_scan_open(struct fsmeta_cursor **out, const char *path,
    const struct fsmeta_scan_options *options, struct fsmeta_error *error)
{
	static const struct fsmeta_scan_options defaults;
	struct scan *scan = calloc(1, sizeof(*scan));
	int code;

	*out = NULL;
	if (!scan)
		return fsmeta_error_set_memory(error, "preparing a scan");
	if (!options)
		options = &defaults;
	scan->root_fd = -1;
	scan->first_open = 1;
	scan->cross_filesystems = options->cross_filesystems;
	fsmeta_batch_source_init(&scan->source);
	fsmeta_path_stack_init(&scan->path);
	scan->label = strdup(path);
	code = scan->label ? open_root(scan, path, error)
			   : fsmeta_error_set_memory(error, "preparing a scan");
	if (code == 0)
		code = choose_scope(scan, options, error);
	if (code == 0)
		code = describe(scan, options, error);
	if (code == 0 &&
	    fsmeta_folder_reader_init(&scan->reader, scan->source.field_mask, options) != 0)
		code = fsmeta_error_set_memory(error, "preparing a scan");
	scan->cursor = (struct fsmeta_cursor){
	    .operations = &scan_operations,
	    .source = &scan->source,
	    .label = scan->label,
	};
	if (code != 0) {
		fsmeta_error_add_path(error, path);
		scan_close(&scan->cursor);
		return code;
	}
	*out = &scan->cursor;
	return 0;
}
