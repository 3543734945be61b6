#include "scanner/keep.h"

#include <dirent.h>

bool fsmeta_keep_is_needed(const struct fsmeta_scope *scope, const char *path, size_t length)
{
	return scope->excludes.count || !fsmeta_scope_holds(scope, path, length);
}

static bool is_looked_at(
    const struct fsmeta_scope *scope, const struct fsmeta_buffer *path, bool is_folder)
{
	return fsmeta_scope_judge(scope, (const char *)path->data, path->length, is_folder) ==
	       FSMETA_SCOPE_LOOKED;
}

/** Whether `path` is to be kept, as far as its listing tells. */
static bool is_kept(
    const struct fsmeta_scope *scope, const struct fsmeta_buffer *path, unsigned d_type)
{
	if (d_type == DT_UNKNOWN)
		return is_looked_at(scope, path, false) || is_looked_at(scope, path, true);
	return is_looked_at(scope, path, d_type == DT_DIR);
}

/** Makes `path` that of a name in the folder whose path takes `folder_length` bytes of it. */
static int step_to(
    struct fsmeta_buffer *path, size_t folder_length, const struct fsmeta_folder *folder, size_t at)
{
	size_t length;
	const char *name = fsmeta_folder_name(folder, at, &length);

	path->length = folder_length;
	if (folder_length && fsmeta_buffer_append_byte(path, '/'))
		return FSMETA_E_MEMORY;
	return fsmeta_buffer_append(path, name, length);
}

int fsmeta_keep_names(
    const struct fsmeta_scope *scope, struct fsmeta_buffer *path, struct fsmeta_folder *folder)
{
	size_t kept = 0, folder_length = path->length;
	int code = 0;

	for (size_t i = 0; i < folder->count && code == 0; i++) {
		code = step_to(path, folder_length, folder, i);
		if (code == 0 && is_kept(scope, path, folder->sorted[i].d_type))
			folder->sorted[kept++] = folder->sorted[i];
	}
	folder->count = kept;
	path->length = folder_length;
	return code;
}

int fsmeta_keep_records(const struct fsmeta_scope *scope, struct fsmeta_buffer *path,
    const struct fsmeta_folder *folder, struct fsmeta_folder_chunk *chunk)
{
	size_t folder_length = path->length;
	int code = 0;

	for (uint32_t i = 0; i < chunk->count && code == 0; i++) {
		struct fsmeta_folder_record *record = &chunk->records[i];
		bool is_folder = record->type == FSMETA_TYPE_FOLDER;
		unsigned d_type = folder->sorted[chunk->first + i].d_type;

		if (record->gone || (d_type != DT_UNKNOWN && is_folder == (d_type == DT_DIR)))
			continue;
		code = step_to(path, folder_length, folder, chunk->first + i);
		if (code == 0 && !is_looked_at(scope, path, is_folder)) {
			record->gone = true;
			chunk->folders -= is_folder;
		}
	}
	path->length = folder_length;
	return code;
}
