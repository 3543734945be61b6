/*
 * What identifies a file system.
 *
 *   statx ── mount id ──> /proc/self/mountinfo (libmount) ── type, mount point,
 *      │                                                     root within, device
 *      └──── st_dev ────> /dev/disk/by-uuid, by-label (st_rdev of the links)
 *   descriptor ── ioctl ─> FS_IOC_GETFSUUID, FS_IOC_GETFSLABEL
 *
 * A mount id is looked for first: st_dev is not to be found in mountinfo for
 * btrfs sub-volumes and for what lies in an overlay.  The kernel's own UUID
 * (Linux 6.9) is taken where it is kept on a disk; tmpfs and overlay make one up
 * at every mount, which is worse than none.  On older kernels udev's links say
 * the same.  Nothing is ever opened on a file system that may have to ask a
 * server.
 *
 * The list of mounts is read once, and again only when a mount turns up that
 * was not there before.
 */
#include "scanner/filesystem.h"

#include "base/file.h"
#include "scanner/marker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libmount.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#ifndef FS_IOC_GETFSUUID
struct fsuuid2 {
	__u8 len;
	__u8 uuid[16];
};
#define FS_IOC_GETFSUUID _IOR(0x15, 0, struct fsuuid2)
#endif

enum {
	UUID_BYTES = 16,
	UUID_TEXT_BYTES = 37,
	LABEL_BYTES = 257,
};

/* ---- what is known about types ----------------------------------------- */

/** Properties of a type of file system. */
struct type_facts {
	/** As mountinfo calls it; "fuse" stands for "fuse.sshfs" and "fuseblk" too. */
	const char *name;
	/** statfs(2) f_type, for when there is no mountinfo; 0 = several or unknown. */
	uint64_t magic;
	enum fsmeta_path_case path_case;
	/** Inode numbers are made up when an inode is loaded. */
	bool inodes_made_up;
	/** What it is on keeps its UUID, so the kernel's answer lasts. */
	bool keeps_uuid;
	/** Opening a folder may ask a server. */
	bool remote;
};

#define SENSITIVE FSMETA_PATH_CASE_SENSITIVE
#define INSENSITIVE FSMETA_PATH_CASE_INSENSITIVE
#define UNKNOWN FSMETA_PATH_CASE_UNKNOWN

static const struct type_facts known_types[] = {
    /*  name       magic       case         made up  UUID   remote */
    {"ext4", 0xef53, SENSITIVE, false, true, false},
    {"ext3", 0xef53, SENSITIVE, false, true, false},
    {"ext2", 0xef53, SENSITIVE, false, true, false},
    {"xfs", 0x58465342, SENSITIVE, false, true, false},
    {"btrfs", 0x9123683e, SENSITIVE, false, true, false},
    {"f2fs", 0xf2f52010, SENSITIVE, false, true, false},
    {"bcachefs", 0xca451a4e, SENSITIVE, false, true, false},
    {"zfs", 0x2fc12fc1, UNKNOWN, false, false, false},
    {"jfs", 0x3153464a, SENSITIVE, false, true, false},
    {"reiserfs", 0x52654973, SENSITIVE, false, true, false},
    {"nilfs2", 0x3434, SENSITIVE, false, true, false},
    {"ubifs", 0x24051905, SENSITIVE, false, true, false},
    {"udf", 0x15013346, SENSITIVE, false, false, false},
    {"iso9660", 0x9660, UNKNOWN, false, false, false},
    {"squashfs", 0x73717368, SENSITIVE, false, false, false},
    {"erofs", 0xe0f5e1e2, SENSITIVE, false, true, false},
    {"tmpfs", 0x01021994, SENSITIVE, false, false, false},
    {"ramfs", 0x858458f6, SENSITIVE, false, false, false},
    {"overlay", 0x794c7630, SENSITIVE, false, false, false},
    {"vfat", 0x4d44, INSENSITIVE, true, false, false},
    {"msdos", 0x4d44, INSENSITIVE, true, false, false},
    {"exfat", 0x2011bab0, INSENSITIVE, true, false, false},
    {"ntfs3", 0x7366746e, INSENSITIVE, false, false, false},
    {"ntfs", 0x5346544e, INSENSITIVE, false, false, false},
    {"hfsplus", 0x482b, UNKNOWN, false, true, false},
    {"nfs", 0x6969, UNKNOWN, false, false, true},
    {"nfs4", 0x6969, UNKNOWN, false, false, true},
    {"ceph", 0x00c36400, SENSITIVE, false, false, true},
    {"afs", 0x5346414f, SENSITIVE, false, false, true},
    {"cifs", 0xff534d42, UNKNOWN, true, false, true},
    {"smb3", 0xfe534d42, UNKNOWN, true, false, true},
    {"smb2", 0xfe534d42, UNKNOWN, true, false, true},
    {"9p", 0x01021997, UNKNOWN, true, false, true},
    {"virtiofs", 0, UNKNOWN, true, false, true},
    {"fuse", 0x65735546, UNKNOWN, true, false, true},
    {"fuseblk", 0, UNKNOWN, true, false, true},
    {"autofs", 0x0187, UNKNOWN, true, false, true},
};

#undef SENSITIVE
#undef INSENSITIVE
#undef UNKNOWN

/** For what is not in the table: trusted with nothing that it could get wrong. */
static const struct type_facts unknown_type = {
    "", 0, FSMETA_PATH_CASE_UNKNOWN, false, false, false};

static const struct type_facts *type_by_name(const char *name)
{
	size_t length = strcspn(name, "."); /* fuse.sshfs */

	for (size_t i = 0; i < sizeof(known_types) / sizeof(known_types[0]); i++) {
		if (strlen(known_types[i].name) == length &&
		    memcmp(known_types[i].name, name, length) == 0)
			return &known_types[i];
	}
	return &unknown_type;
}

static const struct type_facts *type_by_magic(int fd)
{
	struct statfs facts;

	if (fd < 0 || fstatfs(fd, &facts) != 0)
		return &unknown_type;
	for (size_t i = 0; i < sizeof(known_types) / sizeof(known_types[0]); i++) {
		/* f_type is a signed int on some architectures. */
		if (known_types[i].magic &&
		    known_types[i].magic == (uint64_t)(uint32_t)facts.f_type)
			return &known_types[i];
	}
	return &unknown_type;
}

static bool dates_folders(const struct type_facts *type)
{
	return type != &unknown_type && !type->inodes_made_up && !type->remote;
}

bool fsmeta_filesystem_type_dates_folders(const char *type)
{
	return dates_folders(type_by_name(type));
}

/* ---- the mounts -------------------------------------------------------- */

struct fsmeta_filesystem_table {
	/** *Borrowed*. */
	struct fsmeta_batch_source *source;
	/** NULL where there is no /proc. */
	struct libmnt_table *mounts;
	struct fsmeta_filesystem_facts **facts;
	size_t count;
	size_t capacity;
};

int fsmeta_filesystem_table_new(struct fsmeta_filesystem_table **out,
    struct fsmeta_batch_source *source, struct fsmeta_error *error)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return fsmeta_error_set_memory(error, "preparing a scan");
	(*out)->source = source;
	return 0;
}

void fsmeta_filesystem_table_free(struct fsmeta_filesystem_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->count; i++)
		free(table->facts[i]);
	free(table->facts);
	mnt_unref_table(table->mounts);
	free(table);
}

static struct libmnt_fs *search_mounts(
    struct libmnt_table *mounts, const struct fsmeta_folder_record *record)
{
	struct libmnt_iter *iter;
	struct libmnt_fs *fs, *found = NULL;

	if (!mounts)
		return NULL;
	if (!record->mount_id)
		return mnt_table_find_devno(mounts, record->device, MNT_ITER_BACKWARD);
	iter = mnt_new_iter(MNT_ITER_BACKWARD);
	while (iter && !found && mnt_table_next_fs(mounts, iter, &fs) == 0) {
		if ((uint64_t)mnt_fs_get_id(fs) == record->mount_id)
			found = fs;
	}
	mnt_free_iter(iter);
	return found;
}

/** The mount that the record lies on, *borrowed* until the next call; NULL if not known. */
static struct libmnt_fs *find_mount(
    struct fsmeta_filesystem_table *table, const struct fsmeta_folder_record *record)
{
	struct libmnt_fs *found = search_mounts(table->mounts, record);

	if (found)
		return found;
	mnt_unref_table(table->mounts);
	table->mounts = mnt_new_table_from_file("/proc/self/mountinfo");
	return search_mounts(table->mounts, record);
}

/* ---- UUID and label ---------------------------------------------------- */

/** Writes UUID_TEXT_BYTES. */
static bool uuid_from_kernel(char *out, int fd)
{
	struct fsuuid2 uuid = {0};
	static const unsigned char none[UUID_BYTES];
	const unsigned char *b = uuid.uuid;

	if (fd < 0 || ioctl(fd, FS_IOC_GETFSUUID, &uuid) != 0 || uuid.len != UUID_BYTES ||
	    memcmp(b, none, sizeof(none)) == 0)
		return false;
	snprintf(out, UUID_TEXT_BYTES,
	    "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
	    b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
	    b[15]);
	return true;
}

static bool label_from_kernel(char out[LABEL_BYTES], int fd)
{
	memset(out, 0, LABEL_BYTES);
	return fd >= 0 && ioctl(fd, FS_IOC_GETFSLABEL, out) == 0;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/** Undoes udev's "\x20". */
static void decode_link_name(char *out, size_t size, const char *name)
{
	size_t length = 0;

	while (*name && length + 1 < size) {
		if (name[0] == '\\' && name[1] == 'x' && hex_digit(name[2]) >= 0 &&
		    hex_digit(name[3]) >= 0) {
			out[length++] = (char)(hex_digit(name[2]) * 16 + hex_digit(name[3]));
			name += 4;
		} else {
			out[length++] = *name++;
		}
	}
	out[length] = '\0';
}

/** Name of the link in one of udev's folders that leads to block device `device`. */
static bool link_to_device(char *out, size_t size, const char *folder, dev_t device)
{
	DIR *links = opendir(folder);
	const struct dirent *link;
	bool found = false;

	while (links && !found && (link = readdir(links))) {
		struct stat st;

		found = link->d_name[0] != '.' &&
			fstatat(dirfd(links), link->d_name, &st, 0) == 0 && S_ISBLK(st.st_mode) &&
			st.st_rdev == device;
		if (found)
			decode_link_name(out, size, link->d_name);
	}
	if (links)
		closedir(links);
	return found;
}

/** The block device below a mount; 0 if there is none. */
static dev_t block_device_of(struct libmnt_fs *mount, const struct fsmeta_folder_record *record)
{
	const char *origin = mount ? mnt_fs_get_source(mount) : NULL;
	struct stat st;

	/* btrfs and the like have device numbers of their own; the mount names the disk. */
	if (origin && strncmp(origin, "/dev/", 5) == 0 && stat(origin, &st) == 0 &&
	    S_ISBLK(st.st_mode))
		return st.st_rdev;
	return major(record->device) ? record->device : 0;
}

/**
 * A descriptor of the sub-folder `name` for ioctl, *new*, or -1 where opening it
 * might ask a server or gives something else than the record is about.
 */
static int open_place(const struct type_facts *type, const struct fsmeta_folder_record *record,
    int folder_fd, const char *name)
{
	struct fsmeta_folder_record opened;
	int fd;

	if (type == &unknown_type || type->remote || record->type != FSMETA_TYPE_FOLDER)
		return -1;
	fd = openat(folder_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 &&
	    (fsmeta_folder_identify(&opened, fd, "") != 0 || opened.device != record->device)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/** Finds out about a file system and puts it into the source's table. */
static int describe(struct fsmeta_filesystem_table *table, struct fsmeta_filesystem_facts *facts,
    const struct fsmeta_folder_record *record, int folder_fd, const char *name)
{
	struct libmnt_fs *mount = find_mount(table, record);
	const char *type_name = mount ? mnt_fs_get_fstype(mount) : NULL;
	const struct type_facts *type =
	    type_name ? type_by_name(type_name) : type_by_magic(*name ? -1 : folder_fd);
	int fd = *name ? open_place(type, record, folder_fd, name) : folder_fd;
	dev_t disk = block_device_of(mount, record);
	char uuid[NAME_MAX + 1] = "", label[LABEL_BYTES] = "";
	int code;

	if (!type->keeps_uuid || !uuid_from_kernel(uuid, fd)) {
		if (disk)
			link_to_device(uuid, sizeof(uuid), "/dev/disk/by-uuid", disk);
	}
	if (!label_from_kernel(label, fd) && disk)
		link_to_device(label, sizeof(label), "/dev/disk/by-label", disk);
	if (*name && fd >= 0)
		close(fd);

	facts->device = record->device;
	facts->mount_id = record->mount_id;
	facts->inodes_last = !type->inodes_made_up;
	facts->dates_folders = dates_folders(type);
	code = fsmeta_batch_source_add_filesystem(
	    table->source, uuid, type_name ? type_name : type->name, label, &facts->index);
	if (code == FSMETA_E_LIMIT) {
		facts->index = FSMETA_DEVICE_NONE;
		code = 0;
	}
	return code;
}

static struct fsmeta_filesystem_facts *add_facts(struct fsmeta_filesystem_table *table)
{
	if (table->count == table->capacity) {
		size_t capacity = table->capacity ? table->capacity * 2 : 8;
		void *facts = realloc(table->facts, capacity * sizeof(*table->facts));

		if (!facts)
			return NULL;
		table->facts = facts;
		table->capacity = capacity;
	}
	table->facts[table->count] = calloc(1, sizeof(*table->facts[0]));
	return table->facts[table->count] ? table->facts[table->count++] : NULL;
}

int fsmeta_filesystem_find(struct fsmeta_filesystem_table *table,
    const struct fsmeta_folder_record *record, int folder_fd, const char *name,
    const struct fsmeta_filesystem_facts **out, struct fsmeta_error *error)
{
	struct fsmeta_filesystem_facts *facts;

	for (size_t i = table->count; i > 0; i--) {
		facts = table->facts[i - 1];
		if (record->mount_id ? facts->mount_id == record->mount_id
				     : facts->device == record->device) {
			*out = facts;
			return 0;
		}
	}
	facts = add_facts(table);
	if (!facts || describe(table, facts, record, folder_fd, name) != 0)
		return fsmeta_error_set_memory(error, "looking up a file system");
	*out = facts;
	return 0;
}

/* ---- the root ---------------------------------------------------------- */

/** The absolute path of a descriptor; *new* or NULL. */
static char *path_of_descriptor(int fd)
{
	char link[64], *path = malloc(PATH_MAX);
	struct stat here, there;
	ssize_t length;

	if (!path)
		return NULL;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, PATH_MAX - 1);
	if (length > 0) {
		path[length] = '\0';
		/* Not so for what is deleted, or lies outside of our root. */
		if (path[0] == '/' && fstat(fd, &here) == 0 && stat(path, &there) == 0 &&
		    here.st_dev == there.st_dev && here.st_ino == there.st_ino)
			return path;
	}
	free(path);
	return NULL;
}

/** What is left of `path` below `folder`, without a slash in front; NULL if it is not below. */
static const char *path_below(const char *path, const char *folder)
{
	size_t length = strlen(folder);

	while (length > 0 && folder[length - 1] == '/')
		length--;
	if (strncmp(path, folder, length) != 0 || (path[length] != '/' && path[length] != '\0'))
		return NULL;
	path += length;
	return path + strspn(path, "/");
}

/** "fs:UUID:PATH" with PATH = the mount's root within its file system + path below it. */
static int name_in_filesystem(struct fsmeta_buffer *out, const struct fsmeta_batch_source *source,
    const char *uuid, const char *mount_root)
{
	int code;

	mount_root += strspn(mount_root, "/");
	code = fsmeta_buffer_append_format(out, "fs:%s:%s", uuid, mount_root);
	if (code == 0 && *mount_root && *source->root_path)
		code = fsmeta_buffer_append_byte(out, '/');
	return code ? code : fsmeta_buffer_append_text(out, source->root_path);
}

/**
 * What the place itself gives as a name: an id, or an alias of the id that the tree has.
 * A file system without a UUID gives "host:MACHINE:PATH", which is good for no id, since
 * another may be mounted there tomorrow, but tells that a tree was given an id since.
 */
static int name_by_place(
    struct fsmeta_batch_source *source, const char *uuid, struct libmnt_fs *mount, const char *path)
{
	const char *mount_root = mount ? mnt_fs_get_root(mount) : NULL;
	bool is_id = *uuid && source->root_path && mount_root;
	struct fsmeta_buffer text = {0};
	const char *name = NULL;
	int code = 0;

	if (is_id)
		code = name_in_filesystem(&text, source, uuid, mount_root);
	else if (!*uuid && source->machine_id && path)
		code = fsmeta_buffer_append_format(&text, "host:%s:%s", source->machine_id, path);
	else
		return 0;
	if (code == 0)
		name = fsmeta_buffer_string(&text);
	if (!name)
		code = FSMETA_E_MEMORY;
	else if (is_id && !source->source_id)
		code = fsmeta_batch_source_set(source, &source->source_id, name);
	else
		code = fsmeta_batch_source_add_alias(source, name);
	fsmeta_buffer_release(&text);
	return code;
}

/** A tree that was copied with its marker has the identity of the original. */
static int refuse_copy(
    const struct fsmeta_marker *marker, const char *uuid, struct fsmeta_error *error)
{
	return fsmeta_error_set(error, FSMETA_E_REFUSED, NULL, "identifying the source",
	    "its " FSMETA_MARKER_NAME " was made on file system %.64s, and this is %.64s; is it a "
	    "copy? (fsmeta init --force gives it an identity of its own, --source-id ID takes it "
	    "for ID)",
	    marker->filesystem_uuid, uuid);
}

/**
 * The id in the root's marker file, where there is one that can be read and was
 * made on this file system.  0, FSMETA_E_REFUSED or FSMETA_E_MEMORY.
 */
static int source_id_from_marker(struct fsmeta_batch_source *source, int root_fd, const char *uuid,
    const struct fsmeta_scan_options *options, struct fsmeta_error *error)
{
	struct fsmeta_marker marker;
	int code = fsmeta_marker_read(&marker, root_fd, error);

	if (code != FSMETA_MARKER_USABLE)
		return code < 0 ? code : 0;
	code = 0;
	if (!fsmeta_marker_is_copy(&marker, uuid))
		code = fsmeta_batch_source_set(source, &source->source_id, marker.source_id);
	else if (!options->pass_over_copied_marker)
		code = refuse_copy(&marker, uuid, error);
	fsmeta_marker_release(&marker);
	return code;
}

static enum fsmeta_path_case path_case_of(const struct type_facts *type, int root_fd)
{
#ifdef FS_CASEFOLD_FL
	int flags = 0;

	if (type->path_case == FSMETA_PATH_CASE_SENSITIVE &&
	    ioctl(root_fd, FS_IOC_GETFLAGS, &flags) == 0 && flags & FS_CASEFOLD_FL)
		return FSMETA_PATH_CASE_INSENSITIVE;
#else
	(void)root_fd;
#endif
	return type->path_case;
}

/** Mount point and path below it.  0 or FSMETA_E_MEMORY. */
static int describe_mount(
    struct fsmeta_batch_source *source, struct libmnt_fs *mount, const char *path)
{
	const char *target = mount ? mnt_fs_get_target(mount) : NULL;
	const char *below = path && target ? path_below(path, target) : NULL;
	int code;

	if (!below)
		return 0;
	code = fsmeta_batch_source_set(source, &source->mount_point, target);
	return code ? code : fsmeta_batch_source_set(source, &source->root_path, below);
}

int fsmeta_filesystem_describe_root(struct fsmeta_filesystem_table *table, int root_fd,
    const struct fsmeta_folder_record *root, const struct fsmeta_scan_options *options,
    struct fsmeta_error *error)
{
	struct fsmeta_batch_source *source = table->source;
	const struct fsmeta_filesystem_facts *facts;
	const struct fsmeta_filesystem *entry;
	struct libmnt_fs *mount;
	char *path = path_of_descriptor(root_fd);
	int code = fsmeta_filesystem_find(table, root, root_fd, "", &facts, error);

	if (code != 0)
		goto out;
	mount = find_mount(table, root);
	entry = &source->filesystems[facts->index];
	source->path_case = path_case_of(type_by_name(entry->type), root_fd);
	code = describe_mount(source, mount, path);
	if (code == 0 && options->source_id) {
		/* What is told counts alone. */
		code = fsmeta_batch_source_set(source, &source->source_id, options->source_id);
	} else if (code == 0) {
		code = source_id_from_marker(source, root_fd, entry->uuid, options, error);
		if (code == 0)
			code = name_by_place(source, entry->uuid, mount, path);
	}
	if (code == FSMETA_E_MEMORY)
		code = fsmeta_error_set_memory(error, "describing the source");
out:
	free(path);
	return code;
}

/* ---- the machine ------------------------------------------------------- */

int fsmeta_filesystem_describe_machine(
    struct fsmeta_batch_source *source, struct fsmeta_error *error)
{
	char name[256] = "", id[64] = "";
	size_t length;
	int code = 0, fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (gethostname(name, sizeof(name) - 1) == 0 && *name)
		code = fsmeta_batch_source_set(source, &source->machine_name, name);
	if (fd >= 0 && fsmeta_read_full(fd, id, sizeof(id) - 1, &length, NULL, NULL) == 0)
		id[strcspn(id, " \n")] = '\0';
	if (code == 0 && *id)
		code = fsmeta_batch_source_set(source, &source->machine_id, id);
	if (fd >= 0)
		close(fd);
	return code ? fsmeta_error_set_memory(error, "describing the machine") : 0;
}
