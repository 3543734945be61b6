/*
 * Bounded reads, whole writes, and the replace protocol.
 *
 * Replacing a file:
 *
 *     open  .NAME.fsmeta-XXXXXXXX   O_CREAT|O_EXCL, in the folder of NAME
 *     fsync the file                its bytes are on the disk ...
 *     renameat  -> NAME             ... before its name is
 *     fsync the folder              and the name is there after a power cut
 *
 * Replacing a folder is the same with mkdirat; only the rename differs, because
 * rename(2) refuses to replace a folder that holds something:
 *
 *     NAME is missing     renameat2(RENAME_NOREPLACE)
 *     NAME is a folder    renameat2(RENAME_EXCHANGE): both names change their
 *                         content in one step, never is there none; then fsync
 *                         of the parent, then the old tree, which now bears the
 *                         temporary name, is removed
 *
 * A commit may come hours after the beginning, so what is to be exchanged (and
 * then removed!) is checked to be the very folder, by device and inode, that was
 * there at the beginning; and once more after the exchange, which is undone when
 * somebody was quicker.
 *
 * The temporary is locked while it is worked on (base/temporary.c).  One that a
 * killed process left behind is removed by the next who replaces the same.
 *
 * File systems without the flags (ENOSYS, EINVAL: NFS, 9p, some FUSE).  For
 * RENAME_NOREPLACE a plain rename does: of a folder, it replaces nothing but an
 * empty folder.  For RENAME_EXCHANGE the old folder steps aside under a second
 * temporary name and the new one follows.  A crash between the two leaves NAME
 * missing, with both contents complete under ".NAME.fsmeta-..." names.
 *
 * Removing a tree holds one descriptor, whatever the depth.  It goes down with
 * openat(O_NOFOLLOW) and up with "..", and proves by device and inode that ".."
 * is where it came from, so that a tree that is moved under way cannot lead it
 * elsewhere.  Coming back it reads the folder from the start; what was listed
 * before is gone by then, so every entry is met once or twice.  Bind mounts of
 * the same file system have its device number; the mount id tells them apart.
 */
#include "base/file.h"

#include "base/path.h"
#include "base/temporary.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	/** Most that one read or write is asked for; Linux does no more than 2 GiB. */
	TRANSFER_MAX_BYTES = 1 << 30,
	/** First read of a file whose size the kernel does not tell (/proc). */
	READ_STEP_BYTES = 4096,
	/** Bytes of NAME kept in a temporary name, so that it fits into 255. */
	TEMPORARY_STEM_BYTES = 200,
	TEMPORARY_ATTEMPTS = 64,
};

/* ---- Reading and writing ---- */

/**
 * True where a call that failed with `errno` should be repeated: at once after a
 * signal; when the descriptor is ready if somebody made it non-blocking (as other
 * processes do to a terminal or pipe that they share with us).
 */
static bool should_retry(int fd, short events)
{
	struct pollfd wait = {.fd = fd, .events = events};

	if (errno == EINTR)
		return true;
	if (errno != EAGAIN)
		return false;
	return poll(&wait, 1, -1) >= 0 || errno == EINTR;
}

static size_t at_most(size_t size, size_t bound)
{
	return size < bound ? size : bound;
}

int fsmeta_write_all(
    int fd, const void *bytes, size_t size, const char *path, struct fsmeta_error *error)
{
	const unsigned char *from = bytes;

	while (size) {
		ssize_t written = write(fd, from, at_most(size, TRANSFER_MAX_BYTES));

		if (written < 0 && should_retry(fd, POLLOUT))
			continue;
		if (written <= 0)
			return fsmeta_error_set_errno(
			    error, written ? errno : EIO, path, "writing");
		from += written;
		size -= (size_t)written;
	}
	return 0;
}

int fsmeta_read_full(
    int fd, void *bytes, size_t size, size_t *got, const char *path, struct fsmeta_error *error)
{
	unsigned char *to = bytes;

	*got = 0;
	while (*got < size) {
		ssize_t count = read(fd, to + *got, at_most(size - *got, TRANSFER_MAX_BYTES));

		if (count == 0)
			break;
		if (count > 0)
			*got += (size_t)count;
		else if (!should_retry(fd, POLLIN))
			return fsmeta_error_set_errno(error, errno, path, "reading");
	}
	return 0;
}

int fsmeta_read_full_at(int fd, void *bytes, size_t size, uint64_t offset, size_t *got,
    const char *path, struct fsmeta_error *error)
{
	unsigned char *to = bytes;

	*got = 0;
	if (offset > INT64_MAX || size > INT64_MAX - offset)
		return fsmeta_error_set_errno(error, EOVERFLOW, path, "reading");
	while (*got < size) {
		ssize_t count = pread(fd, to + *got, at_most(size - *got, TRANSFER_MAX_BYTES),
		    (off_t)(offset + *got));

		if (count == 0)
			break;
		if (count > 0)
			*got += (size_t)count;
		else if (!should_retry(fd, POLLIN))
			return fsmeta_error_set_errno(error, errno, path, "reading");
	}
	return 0;
}

/** Appends `fd` to its end.  `size` is what fstat said, a hint. */
static int read_to_end(struct fsmeta_buffer *out, int fd, size_t size, size_t limit_bytes,
    const char *name, struct fsmeta_error *error)
{
	size_t start = out->length;
	size_t step = (size ? size : READ_STEP_BYTES) + 1;

	for (;;) {
		size_t got, held = out->length - start;
		int code;

		/* One byte more than allowed is enough to see that there is more. */
		if (step > limit_bytes - held)
			step = limit_bytes - held + 1;
		if (fsmeta_buffer_reserve(out, step))
			return fsmeta_error_set_memory(error, "reading a file");
		code = fsmeta_read_full(fd, out->data + out->length, step, &got, name, error);
		if (code)
			return code;
		if (got > limit_bytes - held)
			return fsmeta_error_set(error, FSMETA_E_LIMIT, name, "reading",
			    "it is larger than %zu bytes", limit_bytes);
		out->length += got;
		if (got < step)
			return 0;
		step = out->length - start;
	}
}

/** A descriptor of the regular file, or a negative code. */
static int open_regular(
    int folder_fd, const char *name, struct stat *status, struct fsmeta_error *error)
{
	/* Non-blocking: opening a FIFO must not wait for a writer. */
	int fd = openat(folder_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int code;

	if (fd < 0 && errno == ELOOP)
		return fsmeta_error_set(
		    error, FSMETA_E_FOREIGN, name, "opening", "it is a symbolic link");
	if (fd < 0)
		return fsmeta_error_set_errno(error, errno, name, "opening");
	if (fstat(fd, status))
		code = fsmeta_error_set_errno(error, errno, name, "opening");
	else if (!S_ISREG(status->st_mode))
		code = fsmeta_error_set(
		    error, FSMETA_E_FOREIGN, name, "opening", "it is not a regular file");
	else
		return fd;
	close(fd);
	return code;
}

int fsmeta_read_file_at(struct fsmeta_buffer *out, int folder_fd, const char *name,
    size_t limit_bytes, struct fsmeta_error *error)
{
	size_t start = out->length;
	struct stat status;
	int fd = open_regular(folder_fd, name, &status, error);
	int code;

	if (fd < 0)
		return fd;
	if (limit_bytes > SIZE_MAX / 2)
		limit_bytes = SIZE_MAX / 2;
	if ((uint64_t)status.st_size > limit_bytes)
		code = fsmeta_error_set(error, FSMETA_E_LIMIT, name, "reading",
		    "it is larger than %zu bytes", limit_bytes);
	else
		code = read_to_end(out, fd, (size_t)status.st_size, limit_bytes, name, error);
	if (code)
		out->length = start;
	close(fd);
	return code;
}

/* ---- Names of a replacement ---- */

/** What a name within parent_fd is, besides the type bits of st_mode. */
enum target {
	TARGET_MISSING,
	TARGET_FILE,
	TARGET_FOLDER,
	TARGET_OTHER,
	TARGET_UNKNOWN,
};

static enum target look_at(int parent_fd, const char *name, struct stat *status)
{
	if (fstatat(parent_fd, name, status, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? TARGET_MISSING : TARGET_UNKNOWN;
	if (S_ISREG(status->st_mode))
		return TARGET_FILE;
	return S_ISDIR(status->st_mode) ? TARGET_FOLDER : TARGET_OTHER;
}

static const char *describe(enum target target, const struct stat *status)
{
	if (target == TARGET_FILE)
		return "a regular file";
	if (target == TARGET_FOLDER)
		return "a folder";
	return S_ISLNK(status->st_mode) ? "a symbolic link" : "a special file";
}

/** Length of `path` without slashes at its end. */
static size_t length_without_slashes(const char *path)
{
	size_t length = strlen(path);

	while (length && path[length - 1] == '/')
		length--;
	return length;
}

/** Sets path and name of `replace`, and *parent (new) to the folder's path. */
static int split_path(
    struct fsmeta_replace *replace, const char *path, char **parent, struct fsmeta_error *error)
{
	static const char action[] = "choosing a temporary name";
	size_t length = length_without_slashes(path);
	size_t start = fsmeta_path_name_offset(path, length);

	if (!length || !fsmeta_name_is_valid(path + start, length - start))
		return fsmeta_error_set(
		    error, FSMETA_E_REFUSED, path, action, "the path does not end in a name");
	if (path[length] && !replace->is_folder)
		return fsmeta_error_set(
		    error, FSMETA_E_REFUSED, path, action, "a file's name cannot end in '/'");
	*parent = start ? strndup(path, start) : strdup(".");
	replace->path = strdup(path);
	replace->name = strndup(path + start, length - start);
	if (!*parent || !replace->path || !replace->name)
		return fsmeta_error_set_memory(error, action);
	return 0;
}

/** At most `most` bytes of `name`, not ending within a UTF-8 character. */
static size_t stem_length(const char *name, size_t most)
{
	size_t length = strlen(name);

	if (length <= most)
		return length;
	length = most;
	while (length && ((unsigned char)name[length] & 0xC0) == 0x80)
		length--;
	return length ? length : most;
}

/** What temporary names of `name` begin with, *new*: ".NAME.fsmeta-"; NULL without memory. */
static char *make_prefix(const char *name)
{
	char *prefix;

	return asprintf(
		   &prefix, ".%.*s.fsmeta-", (int)stem_length(name, TEMPORARY_STEM_BYTES), name) < 0
		   ? NULL
		   : prefix;
}

/** A new name ".NAME.fsmeta-XXXXXXXX"; NULL and errno on failure. */
static char *make_temporary_name(const char *name)
{
	char *prefix = make_prefix(name);
	char *temporary = prefix ? fsmeta_temporary_name(prefix) : NULL;
	int saved_errno = prefix ? errno : ENOMEM;

	free(prefix);
	errno = saved_errno;
	return temporary;
}

/** Removes what others left behind that were killed while they replaced the same. */
static void sweep(const struct fsmeta_replace *replace)
{
	char *prefix = make_prefix(replace->name);

	if (prefix)
		fsmeta_temporary_sweep(replace->parent_fd, prefix, replace->is_folder);
	free(prefix);
}

/* ---- Beginning ---- */

/** Makes the temporary file or folder under `name`; its descriptor, or -1 and errno. */
static int create_temporary(const struct fsmeta_replace *replace, const char *name, mode_t mode)
{
	int fd, saved_errno;

	if (!replace->is_folder)
		return openat(replace->parent_fd, name,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	/* Whatever it will allow others, we have to fill it. */
	if (mkdirat(replace->parent_fd, name, mode | S_IRWXU))
		return -1;
	fd = openat(replace->parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) {
		saved_errno = errno;
		unlinkat(replace->parent_fd, name, AT_REMOVEDIR);
		/* A sweeper was quicker: another name will do. */
		errno = saved_errno == ENOENT ? EEXIST : saved_errno;
	}
	return fd;
}

static int open_temporary(struct fsmeta_replace *replace, mode_t mode, struct fsmeta_error *error)
{
	for (int attempt = 0; attempt < TEMPORARY_ATTEMPTS; attempt++) {
		char *name = make_temporary_name(replace->name);

		if (!name)
			break;
		replace->fd = create_temporary(replace, name, mode);
		if (replace->fd >= 0 && fsmeta_temporary_hold(replace->fd)) {
			replace->temporary = name;
			return 0;
		}
		free(name);
		if (replace->fd < 0 && errno != EEXIST)
			break;
		if (replace->fd >= 0)
			close(replace->fd);
		replace->fd = -1;
		errno = EEXIST;
	}
	return fsmeta_error_set_errno(error, errno, replace->path,
	    replace->is_folder ? "making a temporary folder beside it"
			       : "making a temporary file beside it");
}

/** Refuses what may not be replaced, and keeps in mind which folder it was. */
static int examine_target(struct fsmeta_replace *replace, struct fsmeta_error *error)
{
	enum target wanted = replace->is_folder ? TARGET_FOLDER : TARGET_FILE;
	struct stat status = {0};
	enum target target = look_at(replace->parent_fd, replace->name, &status);

	if (target == TARGET_UNKNOWN)
		return fsmeta_error_set_errno(error, errno, replace->path, "looking at it");
	if (target != TARGET_MISSING && target != wanted)
		return fsmeta_error_set(error, FSMETA_E_REFUSED, replace->path, "replacing it",
		    "it is %s", describe(target, &status));
	replace->existed = target != TARGET_MISSING;
	replace->old_device = status.st_dev;
	replace->old_inode = status.st_ino;
	return 0;
}

static void forget(struct fsmeta_replace *replace)
{
	if (replace->fd >= 0)
		close(replace->fd);
	if (replace->old_fd >= 0)
		close(replace->old_fd);
	if (replace->parent_fd >= 0)
		close(replace->parent_fd);
	free(replace->path);
	free(replace->name);
	free(replace->temporary);
	*replace = (struct fsmeta_replace){.fd = -1, .parent_fd = -1, .old_fd = -1};
}

static int begin(struct fsmeta_replace *out, const char *path, mode_t mode, bool is_folder,
    struct fsmeta_error *error)
{
	char *parent = NULL;
	int code;

	*out = (struct fsmeta_replace){
	    .fd = -1, .parent_fd = -1, .old_fd = -1, .is_folder = is_folder};
	code = split_path(out, path, &parent, error);
	if (code)
		goto out;
	out->parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (out->parent_fd < 0) {
		code = fsmeta_error_set_errno(error, errno, parent, "opening the folder");
		goto out;
	}
	code = examine_target(out, error);
	/* Where a folder is missing, what lies beside it may be all there is of it: see the top. */
	if (!code && (!is_folder || out->existed))
		sweep(out);
	if (!code)
		code = open_temporary(out, mode, error);
out:
	free(parent);
	if (code)
		forget(out);
	return code;
}

int fsmeta_replace_file_begin(
    struct fsmeta_replace *out, const char *path, mode_t mode, struct fsmeta_error *error)
{
	return begin(out, path, mode, false, error);
}

int fsmeta_replace_folder_begin(
    struct fsmeta_replace *out, const char *path, mode_t mode, struct fsmeta_error *error)
{
	return begin(out, path, mode, true, error);
}

/* ---- Committing ---- */

/** fsync of a folder; some file systems (CIFS, FUSE) have none and need none. */
static int sync_folder(int fd)
{
	if (fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP || errno == ENOSYS)
		return 0;
	return -1;
}

static int sync_content(struct fsmeta_replace *replace, struct fsmeta_error *error)
{
	int failed = replace->is_folder ? sync_folder(replace->fd) : fsync(replace->fd);
	int saved_errno = errno;
	/* The lock lives on in it until the temporary has its name. */
	int held = fcntl(replace->fd, F_DUPFD_CLOEXEC, 0);
	/* Network file systems may report a failed write only here. */
	int close_failed = close(replace->fd) && errno != EINTR;

	replace->fd = held;
	if (failed)
		return fsmeta_error_set_errno(
		    error, saved_errno, replace->path, "writing it to the disk");
	if (close_failed)
		return fsmeta_error_set_errno(error, errno, replace->path, "closing it");
	return 0;
}

static int fail_rename(const struct fsmeta_replace *replace, struct fsmeta_error *error)
{
	return fsmeta_error_set_errno(
	    error, errno, replace->path, "giving the new content its name");
}

static int fail_other_there(const struct fsmeta_replace *replace, struct fsmeta_error *error)
{
	return fsmeta_error_set(error, FSMETA_E_BUSY, replace->path,
	    "giving the new content its name", "somebody else has changed what is there");
}

static bool flags_unsupported(void)
{
	return errno == EINVAL || errno == ENOSYS || errno == ENOTSUP;
}

static bool is_old_folder(const struct fsmeta_replace *replace, const char *name)
{
	struct stat status;

	return look_at(replace->parent_fd, name, &status) == TARGET_FOLDER &&
	       status.st_dev == replace->old_device && status.st_ino == replace->old_inode;
}

/** See the top: the old folder steps aside.  0, or -1 and errno with all as it was. */
static int exchange_in_two_steps(struct fsmeta_replace *replace)
{
	int parent = replace->parent_fd;
	char *aside = make_temporary_name(replace->name);
	int saved_errno;

	if (!aside)
		return -1;
	if (renameat(parent, replace->name, parent, aside))
		goto failed;
	if (renameat(parent, replace->temporary, parent, replace->name)) {
		saved_errno = errno;
		renameat(parent, aside, parent, replace->name);
		errno = saved_errno;
		goto failed;
	}
	free(replace->temporary);
	replace->temporary = aside;
	return 0;
failed:
	saved_errno = errno;
	free(aside);
	errno = saved_errno;
	return -1;
}

static int exchange(struct fsmeta_replace *replace)
{
	int parent = replace->parent_fd;

	if (!renameat2(parent, replace->temporary, parent, replace->name, RENAME_EXCHANGE))
		return 0;
	return flags_unsupported() ? exchange_in_two_steps(replace) : -1;
}

/** What gets the temporary name now must not be swept while it is judged and removed. */
static void hold_old_folder(struct fsmeta_replace *replace)
{
	int fd = openat(
	    replace->parent_fd, replace->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return;
	fsmeta_temporary_hold(fd);
	replace->old_fd = fd;
}

/** The old content is under the temporary name afterwards. */
static int exchange_folder(struct fsmeta_replace *replace, struct fsmeta_error *error)
{
	if (!is_old_folder(replace, replace->name))
		return fail_other_there(replace, error);
	hold_old_folder(replace);
	if (exchange(replace))
		return fail_rename(replace, error);
	if (is_old_folder(replace, replace->temporary))
		return 0;
	/* What is under the temporary name now is somebody else's and must survive. */
	if (exchange(replace)) {
		free(replace->temporary);
		replace->temporary = NULL;
	}
	return fail_other_there(replace, error);
}

static int place_new_folder(struct fsmeta_replace *replace, struct fsmeta_error *error)
{
	int parent = replace->parent_fd;

	if (!renameat2(parent, replace->temporary, parent, replace->name, RENAME_NOREPLACE))
		return 0;
	if (flags_unsupported() && !renameat(parent, replace->temporary, parent, replace->name))
		return 0;
	if (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR)
		return fail_other_there(replace, error);
	return fail_rename(replace, error);
}

static int place_file(struct fsmeta_replace *replace, struct fsmeta_error *error)
{
	int code = examine_target(replace, error);

	if (!code &&
	    renameat(replace->parent_fd, replace->temporary, replace->parent_fd, replace->name))
		code = fail_rename(replace, error);
	return code;
}

static int place(struct fsmeta_replace *replace, struct fsmeta_error *error)
{
	if (!replace->is_folder)
		return place_file(replace, error);
	if (replace->existed)
		return exchange_folder(replace, error);
	return place_new_folder(replace, error);
}

static void discard(struct fsmeta_replace *replace)
{
	if (replace->temporary && replace->is_folder)
		fsmeta_remove_tree_at(replace->parent_fd, replace->temporary, NULL);
	else if (replace->temporary)
		unlinkat(replace->parent_fd, replace->temporary, 0);
	forget(replace);
}

/** Removes what the new content has replaced; that it stands is said in an error. */
static int remove_old(struct fsmeta_replace *replace, struct fsmeta_error *error)
{
	int code = fsmeta_remove_tree_at(replace->parent_fd, replace->temporary, error);
	int system_errno = code && error ? error->system_errno : 0;

	if (!code || !error)
		return code;
	fsmeta_error_set(error, error->code, replace->path,
	    "removing the old content (the new content is in place)", "%s: %s", error->path,
	    error->reason);
	error->system_errno = system_errno;
	return code;
}

int fsmeta_replace_commit(struct fsmeta_replace *replace, struct fsmeta_error *error)
{
	bool has_old = replace->is_folder && replace->existed;
	int code = sync_content(replace, error);

	if (!code)
		code = place(replace, error);
	if (code) {
		discard(replace);
		return code;
	}
	/* From here on the new content stands. */
	if (sync_folder(replace->parent_fd))
		code = fsmeta_error_set_errno(error, errno, replace->path,
		    "writing the folder's change to the disk (the new content is in place)");
	else if (has_old)
		code = remove_old(replace, error);
	else if (replace->is_folder)
		sweep(replace);
	forget(replace);
	return code;
}

void fsmeta_replace_abort(struct fsmeta_replace *replace)
{
	/* Without a temporary nothing is owned, not even a descriptor. */
	if (replace->temporary)
		discard(replace);
}

/* ---- Removing a tree ---- */

/** What tells one folder from every other, and one mount from every other. */
struct identity {
	uint32_t device_major, device_minor;
	uint64_t inode;
	/** 0 where the kernel does not tell (before 5.8). */
	uint64_t mount;
};

struct removal {
	/** The tree's name, then the names of the folders down to the current one. */
	struct fsmeta_path_stack trail;
	/** A struct identity for each component of `trail`. */
	struct fsmeta_buffer identities;
	/** The current folder; its descriptor is the only one held. */
	DIR *folder;
	/** The folder that holds the tree; it is on the file system not to be left. */
	struct identity home;
	struct fsmeta_error *error;
};

static int fail_removal(struct removal *removal, int system_errno)
{
	return fsmeta_error_set_errno(removal->error, system_errno,
	    fsmeta_path_stack_path(&removal->trail, NULL), "removing");
}

static int identify(int fd, const char *name, struct identity *out)
{
	struct statx status;

	if (statx(fd, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		STATX_INO | STATX_MNT_ID, &status))
		return -1;
	*out = (struct identity){
	    .device_major = status.stx_dev_major,
	    .device_minor = status.stx_dev_minor,
	    .inode = status.stx_ino,
	    .mount = status.stx_mask & STATX_MNT_ID ? status.stx_mnt_id : 0,
	};
	return 0;
}

static bool same_file_system(const struct identity *a, const struct identity *b)
{
	return a->device_major == b->device_major && a->device_minor == b->device_minor &&
	       a->mount == b->mount;
}

static struct identity *current_identity(struct removal *removal)
{
	return (struct identity *)(void *)removal->identities.data + (removal->trail.depth - 1);
}

/** Makes `fd`, which it steals, the current folder. */
static int enter_descriptor(struct removal *removal, int fd)
{
	DIR *folder = fdopendir(fd);

	if (!folder) {
		int saved_errno = errno;

		close(fd);
		return fail_removal(removal, saved_errno);
	}
	if (removal->folder)
		closedir(removal->folder);
	removal->folder = folder;
	return 0;
}

static int push_folder(struct removal *removal, const char *name, const struct identity *identity)
{
	int code = fsmeta_path_stack_push(&removal->trail, name, strlen(name));

	if (!code && fsmeta_buffer_append(&removal->identities, identity, sizeof(*identity)))
		code = FSMETA_E_MEMORY;
	if (code)
		return fsmeta_error_set(removal->error, code, name, "removing",
		    code == FSMETA_E_LIMIT ? "it lies too deep" : "out of memory");
	return 0;
}

static void pop_folder(struct removal *removal)
{
	fsmeta_path_stack_truncate(&removal->trail, removal->trail.depth - 1);
	removal->identities.length -= sizeof(struct identity);
}

/** Goes down into `fd`, which it steals: the folder just pushed. */
static int enter_pushed(struct removal *removal, int fd)
{
	if (!same_file_system(current_identity(removal), &removal->home)) {
		close(fd);
		return fsmeta_error_set(removal->error, FSMETA_E_REFUSED,
		    fsmeta_path_stack_path(&removal->trail, NULL), "removing",
		    "it is on another file system");
	}
	return enter_descriptor(removal, fd);
}

static int open_folder(int fd, const char *name)
{
	return openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/** Goes down into the sub-folder `name` of the folder `fd`. */
static int descend(struct removal *removal, int fd, const char *name)
{
	struct identity identity = {0};
	int child = open_folder(fd, name);
	int failed = child < 0 || identify(child, "", &identity) ? errno : 0;
	int code = push_folder(removal, name, &identity);

	if (!code && failed)
		code = fail_removal(removal, failed);
	if (!code)
		return enter_pushed(removal, child);
	if (child >= 0)
		close(child);
	return code;
}

/** Goes up from the emptied current folder and removes it. */
static int ascend(struct removal *removal)
{
	uint32_t depth = removal->trail.depth;
	const struct identity *expected = current_identity(removal) - 1;
	struct identity found;
	size_t length;
	const char *name;
	int parent = open_folder(dirfd(removal->folder), "..");
	int code;

	if (parent < 0)
		return fail_removal(removal, errno);
	if (identify(parent, "", &found) || found.inode != expected->inode ||
	    !same_file_system(&found, expected)) {
		close(parent);
		return fsmeta_error_set(removal->error, FSMETA_E_BUSY,
		    fsmeta_path_stack_path(&removal->trail, NULL), "removing",
		    "somebody else moves it");
	}
	code = enter_descriptor(removal, parent);
	if (code)
		return code;
	name = fsmeta_path_stack_name(&removal->trail, depth, &length);
	if (unlinkat(parent, name, AT_REMOVEDIR) && errno != ENOENT)
		return fail_removal(removal, errno);
	pop_folder(removal);
	return 0;
}

static bool is_dot_name(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static bool is_folder_entry(int fd, const struct dirent *entry)
{
	struct stat status;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	return look_at(fd, entry->d_name, &status) == TARGET_FOLDER;
}

/** 0, or the code of FSMETA_E_SYSTEM with the file's own path. */
static int remove_file(struct removal *removal, int fd, const char *name)
{
	int code;

	if (!unlinkat(fd, name, 0) || errno == ENOENT)
		return 0;
	code = errno;
	if (!fsmeta_path_stack_push(&removal->trail, name, strlen(name))) {
		code = fail_removal(removal, code);
		fsmeta_path_stack_truncate(&removal->trail, removal->trail.depth - 1);
		return code;
	}
	return fail_removal(removal, code);
}

/**
 * Removes the current folder's files up to the first sub-folder and goes down into
 * it, or, where there is none, sets *empty.
 */
static int empty_current(struct removal *removal, bool *empty)
{
	int fd = dirfd(removal->folder);
	struct dirent *entry;

	*empty = false;
	for (;;) {
		int code;

		errno = 0;
		entry = readdir(removal->folder);
		if (!entry)
			break;
		if (is_dot_name(entry->d_name))
			continue;
		if (is_folder_entry(fd, entry))
			return descend(removal, fd, entry->d_name);
		code = remove_file(removal, fd, entry->d_name);
		if (code)
			return code;
	}
	if (errno)
		return fail_removal(removal, errno);
	*empty = true;
	return 0;
}

/** Removes all below the tree's own folder, which is current. */
static int remove_content(struct removal *removal)
{
	for (;;) {
		bool empty;
		int code = empty_current(removal, &empty);

		if (code)
			return code;
		if (!empty)
			continue;
		if (removal->trail.depth == 1)
			return 0;
		code = ascend(removal);
		if (code)
			return code;
	}
}

/** Opens the tree itself.  0 with folder NULL where it is missing. */
static int enter_tree(struct removal *removal, int folder_fd, const char *name)
{
	struct identity identity = {0};
	int fd = open_folder(folder_fd, name);
	int failed = fd < 0 ? errno : 0;
	int code;

	if (failed == ENOENT)
		return 0;
	if (!failed && (identify(fd, "", &identity) || identify(fd, "..", &removal->home)))
		failed = errno;
	code = push_folder(removal, name, &identity);
	if (!code && (failed == ENOTDIR || failed == ELOOP))
		code = fsmeta_error_set(
		    removal->error, FSMETA_E_REFUSED, name, "removing", "it is not a folder");
	else if (!code && failed)
		code = fail_removal(removal, failed);
	if (!code)
		return enter_pushed(removal, fd);
	if (fd >= 0)
		close(fd);
	return code;
}

int fsmeta_remove_tree_at(int folder_fd, const char *name, struct fsmeta_error *error)
{
	struct removal removal = {.error = error};
	int code = enter_tree(&removal, folder_fd, name);

	if (!code && removal.folder) {
		code = remove_content(&removal);
		if (!code && unlinkat(folder_fd, name, AT_REMOVEDIR) && errno != ENOENT)
			code = fail_removal(&removal, errno);
	}
	if (removal.folder)
		closedir(removal.folder);
	fsmeta_path_stack_release(&removal.trail);
	fsmeta_buffer_release(&removal.identities);
	return code;
}
