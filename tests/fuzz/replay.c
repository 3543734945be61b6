/*
 * A main() for fuzz targets where libFuzzer is not: hands every file of the given
 * folders (and every given file) to the target once.
 */
#include "fuzz.h"

#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	INPUT_MAX_BYTES = 16 << 20
};

static int replay_file(int folder_fd, const char *name)
{
	struct fsmeta_buffer bytes = {0};
	struct fsmeta_error error = {0};
	int code = fsmeta_read_file_at(&bytes, folder_fd, name, INPUT_MAX_BYTES, &error);

	if (code)
		fprintf(stderr, "%s: %s\n", name, error.reason);
	else
		LLVMFuzzerTestOneInput(bytes.data, bytes.length);
	fsmeta_buffer_release(&bytes);
	return code;
}

/** How many files were replayed, or -1. */
static int replay_folder(const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *entry;
	int count = 0;

	if (!folder) {
		perror(path);
		return -1;
	}
	while ((entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		if (replay_file(dirfd(folder), entry->d_name)) {
			count = -1;
			break;
		}
		count++;
	}
	closedir(folder);
	return count;
}

int main(int argc, char **argv)
{
	int total = 0;

	for (int i = 1; i < argc; i++) {
		struct stat status;
		int count = 1;

		if (stat(argv[i], &status) == 0 && S_ISDIR(status.st_mode))
			count = replay_folder(argv[i]);
		else if (replay_file(AT_FDCWD, argv[i]))
			count = -1;
		if (count < 0)
			return 1;
		total += count;
	}
	printf("%d inputs replayed\n", total);
	/* An empty corpus would pass by proving nothing. */
	return total == 0;
}
