/*
 * What was not seen.
 *
 * Folders are rows of `unknown`.  A file can be one too, where it was seen once and is excluded
 * since; and a file whose metadata could not be read is in no table at all, it only says
 * so in its own row.  Files have no index by id or by flag.  But the generation's totals
 * count what is unreadable, so it is known whether there is such a file, and only then
 * table `file` is read, all of it:
 *
 *     totals.unreadable  =  folders of `unknown` whose row says that   no such file
 *                           they are unreadable
 *     every open root of `unknown` is a folder                         none that is carried
 *
 * (A folder can be unreadable by `unknown` alone, and its row be that of a better day.)
 *
 * What is found is then a little too much (a device node has `extra` as well), which is
 * to the safe side: who knows too little of a folder looks at it.
 */
#include "db/unseen.h"

#include <stdlib.h>

/* ---- sets ----------------------------------------------------------------- */

static int add_folder(struct fsmeta_folder_set *set, int64_t id, struct fsmeta_error *error)
{
	if (set->count == set->capacity) {
		size_t capacity = set->capacity ? 2 * set->capacity : 64;
		int64_t *ids = reallocarray(set->ids, capacity, sizeof(*ids));

		if (!ids)
			return fsmeta_error_set_memory(error, "reading unknown places");
		set->ids = ids;
		set->capacity = capacity;
	}
	set->ids[set->count++] = id;
	return 0;
}

static int compare_ids(const void *left, const void *right)
{
	const int64_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

void fsmeta_folder_set_sort(struct fsmeta_folder_set *set)
{
	size_t kept = 0;

	if (!set->count)
		return;
	qsort(set->ids, set->count, sizeof(*set->ids), compare_ids);
	for (size_t i = 0; i < set->count; i++)
		if (!kept || set->ids[kept - 1] != set->ids[i])
			set->ids[kept++] = set->ids[i];
	set->count = kept;
}

bool fsmeta_folder_set_has(const struct fsmeta_folder_set *set, int64_t id)
{
	return set->count &&
	       bsearch(&id, set->ids, set->count, sizeof(*set->ids), compare_ids) != NULL;
}

void fsmeta_folder_set_release(struct fsmeta_folder_set *set)
{
	free(set->ids);
	*set = (struct fsmeta_folder_set){0};
}

int fsmeta_folder_set_select(struct fsmeta_folder_set *set,
    const struct fsmeta_connection *connection, const char *sql, const int64_t *values, int count,
    struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_connection_prepare(&statement, connection, sql, error);

	for (int i = 0; i < count && !code; i++)
		sqlite3_bind_int64(statement, i + 1, values[i]);
	while (!code && (code = fsmeta_connection_step(connection, statement, error)) > 0)
		code = add_folder(set, sqlite3_column_int64(statement, 0), error);
	sqlite3_finalize(statement);
	return code;
}

/* ---- unseen --------------------------------------------------------------- */

/** Sets *has where some file was not seen, one that no table names. */
static int has_unseen_file(bool *has, const struct fsmeta_connection *connection,
    const struct fsmeta_db_generation *generation, struct fsmeta_error *error)
{
	int64_t others, unreadable;
	int code = fsmeta_connection_integer(&others, connection,
	    "SELECT count(*) FROM unknown u LEFT JOIN folder f ON f.id = u.root"
	    " WHERE u.until IS NULL AND f.id IS NULL",
	    0, error);

	if (!code)
		code = fsmeta_connection_integer(&unreadable, connection,
		    "SELECT count(*) FROM unknown u JOIN folder f ON f.id = u.root"
		    " WHERE u.until IS NULL AND json_valid(f.extra) AND f.extra ->> '$.flags' & 1",
		    0, error);
	*has = !code && (others || (uint64_t)unreadable != generation->source.totals.unreadable);
	return code;
}

int fsmeta_unseen_load(struct fsmeta_unseen *out, const struct fsmeta_connection *connection,
    const struct fsmeta_db_generation *generation, struct fsmeta_error *error)
{
	bool has_file = false;
	int code = fsmeta_folder_set_select(&out->roots, connection,
	    "SELECT root FROM unknown WHERE until IS NULL", NULL, 0, error);

	fsmeta_folder_set_sort(&out->roots);
	for (size_t i = 0; i < out->roots.count && !code; i++)
		code = add_folder(&out->folders, out->roots.ids[i], error);
	if (!code)
		code = has_unseen_file(&has_file, connection, generation, error);
	if (!code && has_file)
		code = fsmeta_folder_set_select(&out->folders, connection,
		    "SELECT DISTINCT parent FROM file WHERE extra IS NOT NULL"
		    " OR id IN (SELECT root FROM unknown WHERE until IS NULL)",
		    NULL, 0, error);
	fsmeta_folder_set_sort(&out->folders);
	return code;
}

void fsmeta_unseen_release(struct fsmeta_unseen *unseen)
{
	fsmeta_folder_set_release(&unseen->roots);
	fsmeta_folder_set_release(&unseen->folders);
}
