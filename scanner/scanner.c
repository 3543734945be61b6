/*
 * The walk.
 *
 *   level 0   root      sorted names  a  b [cam1] cam2 …
 *   level 1   cam1      [2026]  note.txt
 *   level 2   2026      01.mp4 [02.mp4] 03.mp4 …
 *                                 ^
 *                          what next() hands out
 *
 * There is one level for each folder on the current path, holding that folder's
 * listing and the piece of records in hand.  Both are taken from the queue
 * (scanner/ahead.h), in canonical order, whether other threads have made them before or
 * they are made now.  next() takes the next record of the deepest level.  If it is a
 * folder that is taken first, because whether it could be listed is a flag on its own
 * entry; then the entry is handed out, and the new level is where next() goes on.  An
 * exhausted level is left.
 *
 * The walk never builds a path for the kernel: everything is opened from the
 * descriptor of the folder above, so that neither depth nor PATH_MAX matter and no
 * link can be slipped in.  A folder that was swapped between listing and opening
 * is described as what was opened.
 *
 * A folder that a guide vouches for is entered like any other, and its sub-folders are
 * visited; but it was not listed, so its level is undecided at first:
 *
 *     next()  ─►  cam1     run(FILES)  ─►  token     step()  ─►  decided: its files are known
 *                          anything else             next()  ─►  the folder is listed again,
 *                                                                from the disk
 *
 * The entry has been handed out by then and cannot be called unreadable any more.  So if
 * it cannot be listed then, the scan fails: its files must not look as if they were gone.
 *
 * Descriptors.  A folder's descriptor is closed as soon as nothing is left to be
 * read through it; a chain of single folders needs two at a time, however long.
 * Where more than FSMETA_AHEAD_DESCRIPTORS are needed, the shallowest of the path are
 * closed ("evicted") and reopened on the way back, through ".." of the level below:
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
 * Where the system has no more descriptors before that bound is reached, those of folders
 * ahead are closed too, and nothing more is read ahead than what is left allows.
 */
#include "scanner/scanner.h"

#include "base/path.h"
#include "format/scope.h"
#include "scanner/ahead.h"
#include "scanner/filesystem.h"
#include "scanner/folder.h"
#include "scanner/owners.h"
#include "scanner/rate.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	/**
	 * What is done, and how long, before a thread is started that nobody asked for, how
	 * long until the next, and how long when there are as many as processors.
	 */
	TASKS_ALONE = 8,
	ALONE_NS = 5000000,
	PAUSE_NS = 2000000,
	LONG_PAUSE_NS = 10000000,
	/** At most, if the disk is asked: most of them wait for it then. */
	THREADS_DEFAULT = 16,
};

/** A folder on the current path. */
struct level {
	struct fsmeta_ahead_folder *folder;
	/** Place of the next record in the piece in hand. */
	uint32_t at;
	/** Place of the next folder among the piece's. */
	uint32_t next_folder;
	/** The guide vouches for its files; nobody has stepped over them yet. */
	bool undecided;
	const struct fsmeta_filesystem_facts *filesystem;
};

struct scan {
	struct fsmeta_cursor cursor;
	struct fsmeta_batch_source source;
	char *label;
	const volatile sig_atomic_t *stop;
	struct fsmeta_rate rate;
	struct fsmeta_ahead *ahead;
	/** For opening on the way back. */
	struct fsmeta_folder_reader opener;
	struct fsmeta_filesystem_table *filesystems;
	struct fsmeta_owner_set owners;
	struct fsmeta_owner_set groups;
	struct fsmeta_scope scope;
	/** *Borrowed*; NULL = none. */
	struct fsmeta_guide *guide;

	/** levels[0] is the root; levels[i] has its children at depth i + 1. */
	struct level *levels;
	uint32_t level_count;
	uint32_t level_capacity;
	/** Path of the entry handed out last. */
	struct fsmeta_path_stack path;
	struct fsmeta_entry entry;

	/** No level between the root and this one is open. */
	uint32_t first_open;

	/** The root's descriptor until the queue has it, then -1. */
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
	return scan->stop && *scan->stop;
}

static int stopped(struct fsmeta_error *error)
{
	return fsmeta_error_set(error, FSMETA_E_STOPPED, NULL, "scanning", "stopped on request");
}

static struct level *deepest_level(const struct scan *scan)
{
	return &scan->levels[scan->level_count - 1];
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

/** Closes the shallowest descriptor but the root's and the deepest.  False where there is none. */
static bool evict(struct scan *scan)
{
	uint32_t deepest = scan->level_count ? scan->level_count - 1 : 0;
	bool all_closed = true;

	for (uint32_t index = scan->first_open; index < deepest; index++) {
		int evicted = fsmeta_ahead_evict(scan->ahead, scan->levels[index].folder);

		all_closed = all_closed && evicted >= 0;
		if (all_closed)
			scan->first_open = index + 1;
		if (evicted > 0)
			return true;
	}
	return false;
}

/**
 * Opens a folder for as long as it takes; `path_only` is for one that is only stepped
 * through.  A descriptor, or -1 with errno.
 */
static int open_folder(struct scan *scan, int folder_fd, const char *name, bool path_only)
{
	for (;;) {
		int fd = path_only ? openat(folder_fd, name,
					 O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
				   : fsmeta_folder_open(&scan->opener, folder_fd, name, -1);
		int failure = errno;

		if (fd >= 0)
			return fd;
		/* Others in this process need descriptors too. */
		if ((failure != EMFILE && failure != ENFILE) ||
		    (!evict(scan) && !fsmeta_ahead_evict_ahead(scan->ahead))) {
			errno = failure;
			return -1;
		}
	}
}

/** 0 if `fd` is the folder of `level`, else an errno. */
static int verify(const struct level *level, int fd)
{
	const struct fsmeta_folder_record *known = level->folder->record;
	struct fsmeta_folder_record now;
	int failure = fsmeta_folder_identify(&now, fd, "");

	if (failure)
		return failure;
	return now.device == known->device && now.inode == known->inode ? 0 : ESTALE;
}

/** Opens level `index` from the root on, checking every step.  Descriptor or -1 with errno. */
static int open_from_root(struct scan *scan, uint32_t index)
{
	int root = fsmeta_ahead_borrow(scan->ahead, scan->levels[0].folder), fd = root;

	for (uint32_t depth = 1; depth <= index; depth++) {
		int below = open_folder(scan, fd, scan->levels[depth].folder->name, depth < index);
		int failure = below < 0 ? errno : verify(&scan->levels[depth], below);

		if (fd != root)
			close(fd);
		fd = below;
		if (failure) {
			if (below >= 0)
				close(below);
			fd = -1;
			errno = failure;
			break;
		}
	}
	fsmeta_ahead_return(scan->ahead, scan->levels[0].folder);
	return fd;
}

/**
 * Opens level `index` again, from `child_fd` (may be -1) or else from the root;
 * where that fails it is lost.
 */
static void reopen_level(struct scan *scan, uint32_t index, int child_fd)
{
	struct level *level = &scan->levels[index];
	int fd = -1;

	if (child_fd >= 0) {
		fd = open_folder(scan, child_fd, "..", false);
		if (fd >= 0 && verify(level, fd) != 0) {
			close(fd);
			fd = -1;
		}
	}
	if (fd < 0 && fsmeta_ahead_is_evicted(level->folder))
		fd = open_from_root(scan, index);
	fsmeta_ahead_restore(scan->ahead, level->folder, fd, errno);
	if (fd >= 0 && index > 0 && scan->first_open > index)
		scan->first_open = index;
}

/** Before level `index + 1` is left: makes its folder above ready to go on. */
static void find_way_back(struct scan *scan, uint32_t index)
{
	struct fsmeta_ahead_folder *below = scan->levels[index + 1].folder;
	int fd = fsmeta_ahead_borrow(scan->ahead, scan->levels[index].folder), child_fd;

	if (fd >= 0) {
		fsmeta_ahead_return(scan->ahead, scan->levels[index].folder);
		return;
	}
	child_fd = fsmeta_ahead_borrow(scan->ahead, below);
	reopen_level(scan, index, child_fd);
	if (child_fd >= 0)
		fsmeta_ahead_return(scan->ahead, below);
}

/* ---- levels ------------------------------------------------------------ */

/** Goes into a listed folder. */
static int push_level(struct scan *scan, struct fsmeta_ahead_folder *folder,
    const struct fsmeta_filesystem_facts *filesystem, struct fsmeta_error *error)
{
	int code = reserve_level(scan, error);

	if (code != 0)
		return code;
	scan->levels[scan->level_count++] = (struct level){
	    .folder = folder, .undecided = folder->is_guided, .filesystem = filesystem};
	if (fsmeta_ahead_enter(scan->ahead, folder))
		reopen_level(scan, scan->level_count - 1, -1);
	return 0;
}

/** Leaves the deepest level, and makes the one above ready to go on. */
static void pop_level(struct scan *scan)
{
	uint32_t index = scan->level_count - 1;

	if (index > 0 && fsmeta_ahead_evicted_count(scan->ahead) > 0)
		find_way_back(scan, index - 1);
	fsmeta_ahead_leave(scan->ahead, scan->levels[index].folder);
	scan->level_count--;
	if (scan->first_open > scan->level_count && scan->level_count > 0)
		scan->first_open = scan->level_count;
}

/** Another descriptor for the deepest level.  -1 with errno. */
static int open_deepest(struct scan *scan)
{
	uint32_t index = scan->level_count - 1;
	int fd;

	if (index > 0)
		return open_from_root(scan, index);
	fd = fsmeta_ahead_borrow(scan->ahead, scan->levels[0].folder);
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	fsmeta_ahead_return(scan->ahead, scan->levels[0].folder);
	return fd;
}

/** The files of the deepest level are wanted, although the guide vouched for them. */
static int list_truly(struct scan *scan, struct fsmeta_error *error)
{
	struct level *level = deepest_level(scan);
	struct fsmeta_ahead_folder *folder = level->folder;
	int fd = open_deepest(scan), failure = fd < 0 ? errno : 0, code = 0;

	if (!failure) {
		code = fsmeta_ahead_list_again(scan->ahead, folder, fd, error);
		failure = folder->listing.error;
	}
	if (code == 0 && failure)
		code = fsmeta_error_set_errno(
		    error, failure, scan->entry.path, "listing a folder that was known");
	if (code != 0)
		return code;
	level->undecided = false;
	(void)fsmeta_ahead_enter(scan->ahead, folder);
	return 0;
}

/** Takes the next piece of the deepest level. */
static int take_piece(struct scan *scan, struct fsmeta_error *error)
{
	struct level *level = deepest_level(scan);
	int code = is_stopped(scan) ? stopped(error)
				    : fsmeta_ahead_take_piece(scan->ahead, level->folder, error);

	level->at = 0;
	level->next_folder = 0;
	return code < 0 ? code : 0;
}

/* ---- entries ----------------------------------------------------------- */

static void set_time(struct fsmeta_time *time, bool is_known, int64_t seconds, uint32_t nanoseconds)
{
	time->seconds = is_known ? seconds : 0;
	time->nanoseconds = is_known ? nanoseconds : 0;
}

static void set_times(struct fsmeta_entry *entry, const struct fsmeta_folder_record *record)
{
	set_time(&entry->mtime, entry->fields & FSMETA_FIELD_MTIME, record->mtime_seconds,
	    record->mtime_nanoseconds);
	set_time(&entry->ctime, entry->fields & FSMETA_FIELD_CTIME, record->ctime_seconds,
	    record->ctime_nanoseconds);
	set_time(&entry->btime, entry->fields & FSMETA_FIELD_BTIME, record->btime_seconds,
	    record->btime_nanoseconds);
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
	entry->rdev_major = fields & FSMETA_FIELD_RDEV ? record->rdev_major : 0;
	entry->rdev_minor = fields & FSMETA_FIELD_RDEV ? record->rdev_minor : 0;
}

/** Facts about a file system that the scan may not have met; see fsmeta_filesystem_find(). */
static int find_filesystem(struct scan *scan, const struct fsmeta_folder_record *record,
    const char *name, const struct fsmeta_filesystem_facts **out, struct fsmeta_error *error)
{
	uint32_t index = scan->level_count - 1;
	struct fsmeta_ahead_folder *folder = scan->levels[index].folder;
	int borrowed = fsmeta_ahead_borrow(scan->ahead, folder);
	int fd = borrowed >= 0 ? borrowed : open_from_root(scan, index);
	int code = fsmeta_filesystem_find(scan->filesystems, record, fd, name, out, error);

	if (borrowed >= 0)
		fsmeta_ahead_return(scan->ahead, folder);
	else if (fd >= 0)
		close(fd);
	return code;
}

/**
 * Facts about a record's file system.  `fd` is its own descriptor, or -1: then it is
 * `name` in the present level.
 */
static int filesystem_of(struct scan *scan, const struct fsmeta_folder_record *record, int fd,
    const char *name, const struct fsmeta_filesystem_facts **out, struct fsmeta_error *error)
{
	if (scan->level_count > 0) {
		const struct level *level = deepest_level(scan);

		*out = level->filesystem;
		if (record->device == level->folder->record->device &&
		    record->mount_id == level->filesystem->mount_id)
			return 0;
	}
	if (fd >= 0)
		return fsmeta_filesystem_find(scan->filesystems, record, fd, "", out, error);
	return find_filesystem(scan, record, name, out, error);
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
	bool has_target;

	/* What is not set here is never set: clearing it all takes as long as the rest. */
	entry->type = (enum fsmeta_type)record->type;
	entry->flags = flags;
	entry->error = failure;
	entry->depth = scan->path.depth;
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
	entry->device =
	    entry->fields & FSMETA_FIELD_DEVICE ? filesystem->index : FSMETA_DEVICE_NONE;
	set_numbers(entry, record);
	set_times(entry, record);
	has_target = entry->fields & FSMETA_FIELD_TARGET;
	entry->target = has_target ? (const char *)targets->data + record->target_offset : NULL;
	entry->target_length = has_target ? record->target_length : 0;
	return account(scan, entry, error);
}

/** Has a folder opened and listed, if need be by closing what is needed later. */
static int take_folder(
    struct scan *scan, struct fsmeta_ahead_folder *folder, struct fsmeta_error *error)
{
	bool may_exceed = false;
	int code;

	while ((code = fsmeta_ahead_take_folder(scan->ahead, folder, may_exceed, error)) == 1) {
		if (evict(scan))
			continue;
		if (may_exceed && !fsmeta_ahead_evict_ahead(scan->ahead)) {
			fsmeta_ahead_refuse(scan->ahead, folder, EMFILE);
			return 0;
		}
		may_exceed = true;
	}
	return code;
}

/**
 * Hands out a folder as scan->entry; goes into it unless it is empty or closed to
 * us.
 */
static int visit_folder(
    struct scan *scan, struct fsmeta_ahead_folder *folder, struct fsmeta_error *error)
{
	const struct fsmeta_filesystem_facts *filesystem = NULL;
	int code = take_folder(scan, folder, error);

	if (code == 0 && folder->record->fields)
		code = filesystem_of(scan, folder->record,
		    folder->parent && !folder->keeps_descriptor ? -1 : folder->fd, folder->name,
		    &filesystem, error);
	if (code == 0)
		code = make_entry(
		    scan, folder->record, NULL, folder->flags, folder->error, filesystem, error);
	if (code != 0)
		return code;
	if (folder->listing.count > 0 || folder->is_guided)
		return push_level(scan, folder, filesystem, error);
	fsmeta_ahead_leave(scan->ahead, folder);
	return 0;
}

/** Hands out the record that the present level stands on; 1, or a code. */
static int visit_record(struct scan *scan, struct fsmeta_error *error)
{
	struct level *level = deepest_level(scan);
	const struct fsmeta_ahead_piece *piece = level->folder->piece;
	const struct fsmeta_folder_record *record = &piece->chunk.records[level->at];
	const struct fsmeta_filesystem_facts *filesystem = NULL;
	size_t length;
	const char *name =
	    fsmeta_folder_name(&level->folder->listing, piece->chunk.first + level->at, &length);
	int code;

	fsmeta_folder_prefetch(&level->folder->listing, piece->chunk.first + level->at);
	level->at++;
	fsmeta_path_stack_truncate(&scan->path, scan->level_count - 1);
	if (fsmeta_path_stack_push(&scan->path, name, length) != 0)
		return fsmeta_error_set_memory(error, "scanning");
	if (record->type == FSMETA_TYPE_FOLDER) {
		code = visit_folder(scan, &piece->folders[level->next_folder++], error);
	} else {
		code =
		    record->fields ? filesystem_of(scan, record, -1, name, &filesystem, error) : 0;
		if (code == 0)
			code = make_entry(scan, record, &piece->chunk.targets,
			    record->error ? FSMETA_FLAG_UNREADABLE : 0, record->error, filesystem,
			    error);
	}
	return code ? code : 1;
}

static int visit_root(struct scan *scan, struct fsmeta_error *error)
{
	struct fsmeta_ahead_folder *root = fsmeta_ahead_root(scan->ahead);
	struct fsmeta_folder_record now;
	int code;

	scan->started = true;
	/* Something may have been made in it since it was opened: our own output. */
	if (fsmeta_folder_identify(&now, root->fd, "") == 0)
		scan->root = now;
	code = visit_folder(scan, root, error);
	return code ? code : 1;
}

/** Owners of files that nobody looked at are known from before, as they were called then. */
static int adopt_owners(struct fsmeta_batch_source *source, const struct fsmeta_batch_source *known)
{
	int code = 0;

	for (size_t i = 0; i < known->owner_count && code == 0; i++)
		code = fsmeta_batch_source_add_owner(
		    source, false, known->owners[i].id, known->owners[i].name);
	for (size_t i = 0; i < known->group_count && code == 0; i++)
		code = fsmeta_batch_source_add_owner(
		    source, true, known->groups[i].id, known->groups[i].name);
	return code;
}

/** Fills what the source can say only now. */
static int finish(struct scan *scan, struct fsmeta_error *error)
{
	scan->ended = true;
	scan->source.finished = fsmeta_time_now();
	scan->source.has_totals = true;
	if (fsmeta_owner_set_resolve(&scan->owners, &scan->source, false) != 0 ||
	    fsmeta_owner_set_resolve(&scan->groups, &scan->source, true) != 0 ||
	    (scan->guide && adopt_owners(&scan->source, scan->guide->source) != 0))
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
	if (scan->rate.most)
		fsmeta_rate_wait(&scan->rate, scan->stop);
	if (is_stopped(scan))
		return stopped(error);
	if (!scan->started)
		return visit_root(scan, error);
	while (code == 0 && scan->level_count > 0) {
		struct level *level = deepest_level(scan);
		const struct fsmeta_ahead_piece *piece = level->folder->piece;

		if (level->undecided) {
			code = list_truly(scan, error);
		} else if (piece && level->at < piece->chunk.count) {
			if (!piece->chunk.records[level->at].gone)
				return visit_record(scan, error);
			level->at++;
		} else if (fsmeta_ahead_has_piece(level->folder)) {
			code = take_piece(scan, error);
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

static int scan_run(struct fsmeta_cursor *cursor, enum fsmeta_run_kind kind, struct fsmeta_run *run,
    struct fsmeta_error *error)
{
	struct scan *scan = scan_of(cursor);

	(void)error;
	if (kind != FSMETA_RUN_FILES || scan->ended || !scan->level_count ||
	    !deepest_level(scan)->undecided)
		return 0;
	*run = (struct fsmeta_run){.kind = kind, .token = deepest_level(scan)->folder->known.token};
	return 1;
}

static int scan_step(
    struct fsmeta_cursor *cursor, const struct fsmeta_run *run, struct fsmeta_error *error)
{
	(void)run;
	(void)error;
	deepest_level(scan_of(cursor))->undecided = false;
	return 0;
}

static void scan_close(struct fsmeta_cursor *cursor)
{
	struct scan *scan = scan_of(cursor);

	fsmeta_ahead_free(scan->ahead);
	free(scan->levels);
	if (scan->root_fd >= 0)
		close(scan->root_fd);
	fsmeta_path_stack_release(&scan->path);
	fsmeta_scope_release(&scan->scope);
	fsmeta_owner_set_release(&scan->owners);
	fsmeta_owner_set_release(&scan->groups);
	fsmeta_filesystem_table_free(scan->filesystems);
	fsmeta_batch_source_release(&scan->source);
	free(scan->label);
	free(scan);
}

static const struct fsmeta_cursor_operations scan_operations = {
    .next = scan_next,
    .skip = scan_skip,
    .close = scan_close,
};

static const struct fsmeta_cursor_operations guided_operations = {
    .next = scan_next,
    .skip = scan_skip,
    .run = scan_run,
    .step = scan_step,
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
	source->quick = options->guide != NULL;
	if (code == 0 && options->guide && !filesystem->dates_folders && !options->force_quick)
		code = fsmeta_error_set(error, FSMETA_E_REFUSED, NULL, "preparing a quick scan",
		    "on this file system (%s) a folder's times may not say whether its names "
		    "changed (--force-quick believes them)",
		    filesystem->index < source->filesystem_count
			? source->filesystems[filesystem->index].type
			: "of an unknown type");
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
	if (code == 0 && options->guide && options->subtree_count)
		code = fsmeta_error_set(error, FSMETA_E_USAGE, NULL, "choosing sub-trees",
		    "a quick scan is one of the whole tree");
	if (code == 0 && fsmeta_scope_init(&scan->scope, source))
		code = fsmeta_error_set_memory(error, "preparing a scan");
	return code ? code : refuse_contradiction(scan, error);
}

static unsigned count_processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

/** As many threads as are asked for, or may pay: see docs/decisions/0006. */
static unsigned count_threads(const struct fsmeta_scan_options *options, unsigned processors)
{
	unsigned threads = options->threads;

	/* Who reads slowly on purpose does not read ahead. */
	if (options->max_rate)
		return 1;
	if (!threads)
		threads = processors > THREADS_DEFAULT ? processors : THREADS_DEFAULT;
	return threads < FSMETA_AHEAD_THREADS_MAX ? threads : FSMETA_AHEAD_THREADS_MAX;
}

/** The guide's index of the file system that the root lies on, UINT32_MAX where it has none. */
static int find_guide_device(const struct scan *scan, uint32_t *device)
{
	uint32_t *map;

	*device = UINT32_MAX;
	if (!scan->guide || !scan->source.filesystem_count)
		return 0;
	if (fsmeta_batch_source_map_filesystems(&map, scan->guide->source, &scan->source))
		return FSMETA_E_MEMORY;
	*device = map[0];
	free(map);
	return 0;
}

static int prepare_queue(
    struct scan *scan, const struct fsmeta_scan_options *options, struct fsmeta_error *error)
{
	const unsigned processors = count_processors();
	struct fsmeta_ahead_options ahead = {
	    .field_mask = scan->source.field_mask,
	    .cross_filesystems = options->cross_filesystems,
	    .threads = count_threads(options, processors),
	    .tasks_alone = options->threads ? 0 : TASKS_ALONE,
	    .alone_ns = options->threads ? 0 : ALONE_NS,
	    .pause_ns = options->threads ? 0 : PAUSE_NS,
	    .processors = processors,
	    .long_pause_ns = LONG_PAUSE_NS,
	    .scan = options,
	    .scope = &scan->scope,
	    .guide = scan->guide,
	};
	int fd = scan->root_fd;

	if (find_guide_device(scan, &ahead.guide_device))
		return fsmeta_error_set_memory(error, "preparing a scan");
	scan->root_fd = -1;
	return fsmeta_ahead_new(&scan->ahead, &ahead, fd, &scan->root, error);
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
	scan->stop = options->stop;
	scan->rate.most = options->max_rate;
	scan->opener.may_keep_atime = true;
	scan->guide = options->guide;
	fsmeta_batch_source_init(&scan->source);
	fsmeta_path_stack_init(&scan->path);
	scan->label = strdup(path);
	code = scan->label ? open_root(scan, path, error)
			   : fsmeta_error_set_memory(error, "preparing a scan");
	if (code == 0)
		code = choose_scope(scan, options, error);
	if (code == 0)
		code = describe(scan, options, error);
	if (code == 0)
		code = prepare_queue(scan, options, error);
	scan->cursor = (struct fsmeta_cursor){
	    .operations = scan->guide ? &guided_operations : &scan_operations,
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

void fsmeta_scan_measure(struct fsmeta_cursor *cursor, struct fsmeta_scan_measures *out)
{
	fsmeta_ahead_measure(scan_of(cursor)->ahead, out);
}
