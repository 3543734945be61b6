/*
 * Telling left-over temporaries from live ones.
 *
 *     maker                           sweeper
 *     create exclusively
 *                                     open, lock without waiting
 *     lock without waiting  ──────┐   still the same by that name?  remove
 *     still there?  else another ─┘   close
 *
 * Between creating and locking, a maker's temporary looks left over.  Both lock
 * without waiting, so of the two one gets the lock: the maker, who then sees whether
 * it still exists; or the sweeper, and the maker finds it taken and makes another.
 *
 * A lock tells only among processes of one machine, and on network file systems it may
 * not even tell that, or be the same as the locks that SQLite takes.  There nothing is
 * locked and nothing is swept.
 */
#include "base/temporary.h"

#include "base/file.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static const char letters[] = "0123456789abcdefghjkmnpqrstvwxyz";

char *fsmeta_temporary_name(const char *prefix)
{
	unsigned char random[FSMETA_TEMPORARY_RANDOM_BYTES];
	char suffix[FSMETA_TEMPORARY_RANDOM_BYTES + 1];
	char *name;

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return NULL;
	for (size_t i = 0; i < sizeof(random); i++)
		suffix[i] = letters[random[i] % 32];
	suffix[sizeof(random)] = '\0';
	if (asprintf(&name, "%s%s", prefix, suffix) < 0) {
		errno = ENOMEM;
		return NULL;
	}
	return name;
}

/** For file systems without O_TMPFILE: NFS, FUSE, vfat.  A descriptor, or -1 and errno. */
static int open_and_unlink(const char *folder)
{
	struct fsmeta_buffer path = {0};
	int fd = -1;

	if (fsmeta_buffer_append_format(&path, "%s/.fsmeta-spool-XXXXXX", folder) ||
	    !fsmeta_buffer_string(&path)) {
		errno = ENOMEM;
	} else {
		fd = mkostemp((char *)path.data, O_CLOEXEC);
		if (fd >= 0)
			unlink((char *)path.data);
	}
	fsmeta_buffer_release(&path);
	return fd;
}

static int open_unnamed(const char *folder)
{
	int fd = open(folder, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);

	/* Which errno says "not supported" depends on kernel and file system; a
	 * real obstacle meets the second attempt as well, and is reported then. */
	return fd >= 0 ? fd : open_and_unlink(folder);
}

int fsmeta_temporary_open(
    int *fd, const char *folder, const char **used, struct fsmeta_error *error)
{
	const char *wanted = folder ? folder : secure_getenv("TMPDIR");
	const char *folders[] = {wanted && *wanted ? wanted : NULL, "/var/tmp", "/tmp"};
	size_t count = folder ? 1 : sizeof(folders) / sizeof(folders[0]);
	const char *tried = "";

	*fd = -1;
	for (size_t i = 0; i < count && *fd < 0; i++) {
		if (!folders[i])
			continue;
		tried = folders[i];
		*fd = open_unnamed(tried);
	}
	if (*fd < 0)
		return fsmeta_error_set_errno(error, errno, tried, "making a temporary file");
	if (used)
		*used = tried;
	return 0;
}

/* ---- locks --------------------------------------------------------------- */

/** True where a lock is seen by everybody who can see the file. */
static bool locks_tell(int fd)
{
	static const unsigned local[] = {BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, EXFAT_SUPER_MAGIC,
	    F2FS_SUPER_MAGIC, MSDOS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC,
	    XFS_SUPER_MAGIC, 0x2FC12FC1 /* zfs */, 0x7366746E /* ntfs3 */,
	    0xCA451A4E /* bcachefs */};
	struct statfs status;

	if (fstatfs(fd, &status) < 0)
		return false;
	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
		if ((unsigned)status.f_type == local[i])
			return true;
	return false;
}

bool fsmeta_temporary_hold(int fd)
{
	struct stat status;

	if (!locks_tell(fd))
		return true;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno != EWOULDBLOCK;
	return fstat(fd, &status) < 0 || status.st_nlink > 0;
}

/* ---- sweeping ------------------------------------------------------------- */

/** What comes behind prefix and random letters; NULL where `name` is no such name. */
static const char *rest_of(const char *name, const char *prefix)
{
	size_t length = strlen(prefix);

	if (strncmp(name, prefix, length) != 0)
		return NULL;
	name += length;
	return strspn(name, letters) >= FSMETA_TEMPORARY_RANDOM_BYTES
		   ? name + FSMETA_TEMPORARY_RANDOM_BYTES
		   : NULL;
}

static bool is_companion(const char *rest)
{
	size_t length = rest[0] == '-' ? strspn(rest + 1, "abcdefghijklmnopqrstuvwxyz") : 0;

	return length > 0 && rest[1 + length] == '\0';
}

static bool is_ours(const struct stat *status, bool is_folder)
{
	return (is_folder ? S_ISDIR(status->st_mode) : S_ISREG(status->st_mode)) &&
	       status->st_uid == geteuid();
}

static void sweep_one(int folder_fd, const char *name, bool is_folder)
{
	int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	int fd = openat(folder_fd, name, flags | (is_folder ? O_DIRECTORY : 0));
	struct stat held, named;

	if (fd < 0)
		return;
	if (fstat(fd, &held) == 0 && is_ours(&held, is_folder) &&
	    flock(fd, LOCK_EX | LOCK_NB) == 0 &&
	    fstatat(folder_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	    named.st_dev == held.st_dev && named.st_ino == held.st_ino) {
		if (is_folder)
			fsmeta_remove_tree_at(folder_fd, name, NULL);
		else
			unlinkat(folder_fd, name, 0);
	}
	close(fd);
}

/** A companion goes where what it belongs to is no more. */
static void sweep_companion(int folder_fd, const char *name, const char *rest)
{
	char *main_name = strndup(name, (size_t)(rest - name));
	struct stat status;

	if (main_name && fstatat(folder_fd, main_name, &status, AT_SYMLINK_NOFOLLOW) < 0 &&
	    errno == ENOENT && fstatat(folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	    is_ours(&status, false))
		unlinkat(folder_fd, name, 0);
	free(main_name);
}

void fsmeta_temporary_sweep(int folder_fd, const char *prefix, bool are_folders)
{
	int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd >= 0 && locks_tell(fd) ? fdopendir(fd) : NULL;
	struct dirent *entry;
	const char *rest;

	if (!folder) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(folder)))
		if ((rest = rest_of(entry->d_name, prefix)) && *rest == '\0')
			sweep_one(folder_fd, entry->d_name, are_folders);
	rewinddir(folder);
	while (!are_folders && (entry = readdir(folder)))
		if ((rest = rest_of(entry->d_name, prefix)) && is_companion(rest))
			sweep_companion(folder_fd, entry->d_name, rest);
	closedir(folder);
}
