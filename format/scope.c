/*
 * Sub-trees as a sorted list in which none lies inside another.
 *
 * In canonical order a folder stands immediately before what is below it, so for
 * any path only the two neighbours of its place in the list matter:
 *
 *     list      cam1/2026   cam3   cam7/a
 *                       ^       ^
 *     path "cam2"  ─────'       |         in front: holds the path?      looked at
 *                               |         behind:   lies below the path? looked at,
 *                               |                   as the way to a sub-tree
 *                               '─────    neither:                       not asked
 *
 * Excludes come second: what was not asked for is passed over without a word, and
 * only what was asked for and left out all the same is worth one.
 */
#include "format/scope.h"

#include "base/path.h"

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
	const struct fsmeta_scope_path *left = a, *right = b;

	return fsmeta_path_compare(left->path, left->length, right->path, right->length);
}

static bool is_within(const struct fsmeta_scope_path *path, const struct fsmeta_scope_path *folder)
{
	return fsmeta_path_is_within(path->path, path->length, folder->path, folder->length);
}

/** Takes out what lies inside the one before, in a sorted list. */
static size_t drop_nested(struct fsmeta_scope_path *paths, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if (!kept || !is_within(&paths[i], &paths[kept - 1]))
			paths[kept++] = paths[i];
	return kept;
}

int fsmeta_scope_init(struct fsmeta_scope *out, const struct fsmeta_batch_source *source)
{
	const struct fsmeta_string_list *list = &source->subtrees;

	*out = (struct fsmeta_scope){0};
	if (fsmeta_excludes_init(&out->excludes, &source->excludes))
		return FSMETA_E_MEMORY;
	if (!list->count)
		return 0;
	out->subtrees = calloc(list->count, sizeof(*out->subtrees));
	if (!out->subtrees) {
		fsmeta_scope_release(out);
		return FSMETA_E_MEMORY;
	}
	for (size_t i = 0; i < list->count; i++) {
		out->subtrees[i].path = list->items[i];
		out->subtrees[i].length = list->lengths[i];
	}
	qsort(out->subtrees, list->count, sizeof(*out->subtrees), compare);
	out->count = drop_nested(out->subtrees, list->count);
	return 0;
}

void fsmeta_scope_release(struct fsmeta_scope *scope)
{
	free(scope->subtrees);
	fsmeta_excludes_release(&scope->excludes);
	*scope = (struct fsmeta_scope){0};
}

/** How many sub-trees come before `path` or are `path`. */
static size_t count_up_to(const struct fsmeta_scope *scope, const struct fsmeta_scope_path *path)
{
	size_t low = 0, high = scope->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare(&scope->subtrees[middle], path) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool fsmeta_scope_holds(const struct fsmeta_scope *scope, const char *path, size_t length)
{
	struct fsmeta_scope_path wanted = {.path = path, .length = length};
	size_t behind;

	if (!scope->count)
		return true;
	behind = count_up_to(scope, &wanted);
	return behind && is_within(&wanted, &scope->subtrees[behind - 1]);
}

/** Within a sub-tree, or on the way to one. */
static bool is_asked_for(const struct fsmeta_scope *scope, const struct fsmeta_scope_path *wanted)
{
	size_t behind = count_up_to(scope, wanted);

	return (behind && is_within(wanted, &scope->subtrees[behind - 1])) ||
	       (behind < scope->count && is_within(&scope->subtrees[behind], wanted));
}

enum fsmeta_scope_verdict fsmeta_scope_judge(
    const struct fsmeta_scope *scope, const char *path, size_t length, bool is_folder)
{
	struct fsmeta_scope_path wanted = {.path = path, .length = length};

	if (scope->count && !is_asked_for(scope, &wanted))
		return FSMETA_SCOPE_NOT_ASKED;
	return fsmeta_excludes_match(&scope->excludes, path, length, is_folder)
		   ? FSMETA_SCOPE_EXCLUDED
		   : FSMETA_SCOPE_LOOKED;
}
