#include "tools/archive_roots.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int fsmeta_archive_roots_add_path(struct fsmeta_archive_roots *roots, const char *path)
{
	char **items;

	/* Streams come in order, but for those that stand deeper between two. */
	for (size_t i = roots->count; i--;)
		if (strcmp(roots->items[i], path) == 0)
			return 0;
	items = realloc(roots->items, (roots->count + 1) * sizeof(*items));
	if (!items)
		return FSMETA_E_MEMORY;
	roots->items = items;
	items[roots->count] = strdup(path);
	return items[roots->count] ? (roots->count++, 0) : FSMETA_E_MEMORY;
}

int fsmeta_archive_roots_add(struct fsmeta_archive_roots *roots, const char *base,
    const struct fsmeta_archive_stream *stream)
{
	const char *slash;
	char *path;
	int code;

	if (!stream->path_length)
		return 0;
	slash = memrchr(stream->path, '/', stream->path_length);
	if (!slash)
		return fsmeta_archive_roots_add_path(roots, base);
	if (asprintf(&path, "%s/%.*s", base, (int)(slash - stream->path), stream->path) < 0)
		return FSMETA_E_MEMORY;
	code = fsmeta_archive_roots_add_path(roots, path);
	free(path);
	return code;
}

void fsmeta_archive_roots_release(struct fsmeta_archive_roots *roots)
{
	for (size_t i = 0; i < roots->count; i++)
		free(roots->items[i]);
	free(roots->items);
	*roots = (struct fsmeta_archive_roots){0};
}

bool fsmeta_archive_has_file(const char *folder, const char *name)
{
	struct stat status;
	char *path;
	bool is;

	if (asprintf(&path, "%s/%s", folder, name) < 0)
		return false;
	is = lstat(path, &status) == 0 && S_ISREG(status.st_mode);
	free(path);
	return is;
}

int fsmeta_archive_live_open(
    struct fsmeta_archive_live *out, const char *text, struct fsmeta_error *error)
{
	int code;

	out->fd = -1;
	code = fsmeta_operand_parse(&out->operand, text, error);
	if (code)
		return code;
	if (out->operand.kind != FSMETA_OPERAND_LIVE)
		return fsmeta_error_set(error, FSMETA_E_USAGE, text, "opening the archive",
		    "it is no live folder, and nothing else can be changed");
	out->fd = open(out->operand.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return out->fd < 0 ? fsmeta_error_set_errno(error, errno, text, "opening") : 0;
}

int fsmeta_archive_live_survey(struct fsmeta_archive_live *live, fsmeta_archive_visit *visit,
    struct fsmeta_error *error, void *payload)
{
	struct fsmeta_cursor *cursor;
	int code = fsmeta_operand_open(&cursor, &live->operand, NULL, error);

	if (code)
		return code;
	code = fsmeta_archive_survey(cursor, visit, error, payload);
	live->is_partial = cursor->source->totals.unreadable;
	fsmeta_cursor_close(cursor);
	return code;
}

int fsmeta_archive_live_open_root(struct fsmeta_stream_folder *out,
    const struct fsmeta_archive_live *live, const char *root, struct fsmeta_error *error)
{
	const char *below = root + strlen(live->operand.path);
	int code;

	below += *below == '/';
	code = fsmeta_stream_folder_open(out, live->fd, below, strlen(below), error);
	if (code && error)
		fsmeta_stream_folder_name(error, root);
	return code;
}

void fsmeta_archive_live_release(struct fsmeta_archive_live *live)
{
	if (live->fd >= 0)
		close(live->fd);
	fsmeta_operand_release(&live->operand);
}
