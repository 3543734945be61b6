/*
 * O_NOFOLLOW speaks of the last component alone, so a path is opened component by component; a
 * stream that is exchanged for a link while somebody looks is then refused, not followed.
 */
#include "archive/stream_folder.h"

#include "archive/fsv_container.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char descriptors[] = "/proc/self/fd/";

int fsmeta_stream_folder_open(struct fsmeta_stream_folder *out, int root_fd, const char *path,
    size_t length, struct fsmeta_error *error)
{
	char name[NAME_MAX + 1];
	size_t at = 0;

	out->fd = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	while (out->fd >= 0 && at < length) {
		const char *slash = memchr(path + at, '/', length - at);
		size_t size = slash ? (size_t)(slash - path) - at : length - at;
		int next = -1;

		if (size < sizeof(name)) {
			memcpy(name, path + at, size);
			name[size] = '\0';
			next =
			    openat(out->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		} else {
			errno = ENAMETOOLONG;
		}
		close(out->fd);
		out->fd = next;
		at += size + 1;
	}
	return fsmeta_stream_folder_take(out, error);
}

int fsmeta_stream_folder_take(struct fsmeta_stream_folder *out, struct fsmeta_error *error)
{
	if (out->fd < 0)
		return fsmeta_error_set_errno(error, errno, NULL, "opening the folder");
	snprintf(out->path, sizeof(out->path), "%s%d", descriptors, out->fd);
	return 0;
}

void fsmeta_stream_folder_name(struct fsmeta_error *error, const char *path)
{
	char *below = error->path;
	char name[sizeof(error->path)];

	if (strncmp(below, descriptors, strlen(descriptors)) == 0) {
		below += strlen(descriptors);
		below += strspn(below, "0123456789");
	} else if (*below) {
		return;
	}
	snprintf(name, sizeof(name), "%s%s", path, below);
	memcpy(error->path, name, sizeof(name));
}

void fsmeta_stream_folder_close(struct fsmeta_stream_folder *folder)
{
	if (folder->fd >= 0)
		close(folder->fd);
	folder->fd = -1;
}

bool fsmeta_stream_folder_has(const struct fsmeta_stream_folder *folder, const char *name)
{
	struct stat status;

	return fstatat(folder->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

bool fsmeta_stream_folder_is_fresh(
    const struct fsmeta_stream_folder *folder, const char *name, int64_t seconds)
{
	struct timespec now;
	struct stat status;

	clock_gettime(CLOCK_REALTIME, &now);
	return fstatat(folder->fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
	       status.st_mtim.tv_sec + seconds > now.tv_sec;
}

static int fsv_packets(char **packets, const char *name)
{
	struct fsmeta_container_name parsed;
	size_t length = strlen(name);

	if (!fsmeta_container_rf1.parse_name(&parsed, name, length) || parsed.parts != 1)
		return 0;
	*packets = strdup(name);
	if (!*packets)
		return FSMETA_E_MEMORY;
	(*packets)[length - 1] = 'p';
	return 0;
}

static int segment_packets(
    char **packets, const struct fsmeta_stream_folder *folder, const char *name)
{
	uint64_t start_ms;
	size_t digits = fsmeta_names_number(&start_ms, name, strlen(name));

	if (!digits || strcmp(name + digits, ".vidx") != 0)
		return 0;
	*packets = strdup(name);
	if (!*packets)
		return FSMETA_E_MEMORY;
	memcpy(*packets + digits, ".h264", sizeof(".h264"));
	if (!fsmeta_stream_folder_has(folder, *packets))
		memcpy(*packets + digits, ".h265", sizeof(".h265"));
	return 0;
}

int fsmeta_stream_folder_packets(char **packets, const struct fsmeta_stream_folder *folder,
    enum fsmeta_layout layout, const char *name)
{
	*packets = NULL;
	return layout == FSMETA_LAYOUT_FSV ? fsv_packets(packets, name)
					   : segment_packets(packets, folder, name);
}
