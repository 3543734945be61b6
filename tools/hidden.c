#include "tools/hidden.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void fsmeta_hidden_release(struct fsmeta_hidden *hidden)
{
	size_t i;

	for (i = 0; i < hidden->count; i++)
		free(hidden->texts[i]);
	hidden->count = 0;
}

static int hide(struct fsmeta_hidden *hidden, const struct stat *folder, const char *prefix,
    const char *name, const char *suffix, struct fsmeta_error *error)
{
	struct fsmeta_scan_hidden *item = &hidden->items[hidden->count];
	char *text;

	if (hidden->count == FSMETA_HIDDEN_MAX)
		return fsmeta_error_set(
		    error, FSMETA_E_INTERNAL, name, "preparing the scan", "too many names to hide");
	if (asprintf(&text, "%s%s%s", prefix, name, suffix) < 0)
		return fsmeta_error_set_memory(error, "preparing the scan");
	item->folder_device = folder->st_dev;
	item->folder_inode = folder->st_ino;
	item->name = text;
	hidden->texts[hidden->count++] = text;
	return 0;
}

static int hide_in(struct fsmeta_hidden *hidden, const char *folder, const char *name,
    bool is_database, struct fsmeta_error *error)
{
	static const char *const companions[] = {"-wal", "-shm", "-journal", "-hashes"};
	struct stat status;
	size_t i;
	int code;

	/* Where the folder is missing, opening the output will say so. */
	if (stat(folder, &status) != 0)
		return 0;
	code = hide(hidden, &status, "", name, "", error);
	if (code == 0)
		code = hide(hidden, &status, ".", name, ".fsmeta-*", error);
	for (i = 0; is_database && i < 4 && code == 0; i++)
		code = hide(hidden, &status, "", name, companions[i], error);
	return code;
}

int fsmeta_hide_output(
    struct fsmeta_hidden *hidden, const char *path, bool is_database, struct fsmeta_error *error)
{
	char *copy = strdup(path), *end, *slash;
	int code;

	if (!copy)
		return fsmeta_error_set_memory(error, "preparing the scan");
	for (end = copy + strlen(copy); end > copy + 1 && end[-1] == '/'; end--)
		end[-1] = '\0';
	slash = strrchr(copy, '/');
	if (!slash) {
		code = hide_in(hidden, ".", copy, is_database, error);
	} else {
		*slash = '\0';
		code = hide_in(hidden, slash == copy ? "/" : copy, slash + 1, is_database, error);
	}
	free(copy);
	return code;
}
