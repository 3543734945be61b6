/*
 * What a quick scan may believe.
 *
 * Let S be when the newest generation's scan started.  Two things have to be known of a
 * folder before its files may be left out.
 *
 * Its names are those of the generation.  The scanner finds inode, mtime and ctime as they
 * are stored.  A name that comes, goes or is replaced sets both times to the clock of then,
 * which is no coarser than the margin; both are older than S - margin; so nothing of the
 * kind happened since the folder was looked at, which was after S.  A quick scan did not
 * list it, but compared in the same way with the generation before; so by induction
 * nothing happened since it was listed.
 *
 * Its files are settled.  A file that is written to does not move its folder's times.  So
 * a folder is listed again as long as one of its files, as it is stored, has an mtime
 * after T = S - settle: whoever wrote to it then may be writing still.  Which folders are
 * that, without reading the tree?
 *
 *     generation      5 ──────────── 6 ───── 7 ─────── 8 = newest
 *     finished             |            |        |         |
 *                                       T <──── settle ────S
 *
 * A row of generation g was made by a scan that was finished at F(g), and what it says of
 * the file was true before that: mtime <= F(g).  (Where it is beyond, because somebody set
 * it to a time to come, it says nothing about when the file was written, and the file
 * counts as settled when its row is older than T.)  So a file with mtime > T has a row
 * that came in a generation with F(g) > T, here 7 or 8, and
 *
 *     - the generation has a row in table `change` that names folder and file, or
 *     - the file came with its folder, whose id is then at least the first id of 7; the
 *       few such folders are asked for their files one by one.
 *
 * Generations in between that were quick do no harm: what they did not look at kept its
 * row, with the mtime that it had when somebody last looked, and it is this mtime that is
 * compared with T.  Nor does another --settle then: T is made from the one of today.
 *
 * Where the oldest kept generation was itself finished after T (there was only one scan,
 * or all before were pruned), `change` does not reach back far enough, and the files are read
 * once, a fraction of a second for each million.  What is then a file of a time to come
 * counts as not settled.
 *
 * The newest piece of a recorder's stream may be written to after a pause longer than any
 * --settle.  To list its folder until something newer comes would be to list all folders of a
 * recorder, so it is made a witness: the scanner compares these one or two files with the disk,
 * and where they are as they are stored the folder's other files need no look.  Pieces are
 * named by the time that they begin, so the newest is at the end of a folder's files, which
 * lie sorted by name:
 *
 *     …  1699999013_video.rf1p   1700000000_video.rf1i   1700000000_video.rf1p   notes.txt
 *        older: the search ends  <------------ newest: witnesses ----------->   passed over
 *                                <------------------------------------------------ one seek
 *
 * That is one row more than there are witnesses.  Few names that are no piece's are passed over,
 * so that a folder of something else costs little, and 16 rows are read at most.  What a piece is
 * called is no business of a database: it is told by `recognise`.
 *
 * What was not seen (db/unseen.h) is nothing to vouch for; and what lies below a folder
 * that was not seen is not even told.
 */
#include "db/guide.h"

#include "base/path.h"
#include "db/internal.h"
#include "db/row.h"
#include "db/unseen.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const char action[] = "preparing a quick scan";

enum {
	NS = 1000000000,
};

struct guide {
	struct fsmeta_guide guide;
	char *path;
	struct fsmeta_connection connection;
	struct fsmeta_db_generation generation;
	struct fsmeta_dictionary dictionary;
	struct fsmeta_unseen unseen;
	/** Folders with files that are not settled, but for those that are new. */
	struct fsmeta_folder_set unsettled;
	/** Folders with this id or a higher one are new, and are asked for their files. */
	int64_t first_new;
	/** T, ns. */
	int64_t settled_before;
	/** S less the margin. */
	struct fsmeta_time unchanged_since;
	/** It vouches for something. */
	bool is_usable;
	fsmeta_guide_recognise *recognise;
	sqlite3_stmt *folders;
	sqlite3_stmt *young_file;
	sqlite3_stmt *last_files;
	/** For the connection and its statements. */
	pthread_mutex_t lock;
};

/* ---- what is to be known before -------------------------------------------- */

/** T and S - margin; nothing can be vouched for where nobody knows when the scan started. */
static void load_times(struct guide *guide, uint64_t settle_seconds)
{
	const int64_t margin = (int64_t)FSMETA_GUIDE_MARGIN_SECONDS * NS;
	struct fsmeta_time started = guide->generation.source.started;
	int64_t ns, settle;

	guide->is_usable = (started.seconds || started.nanoseconds) &&
			   fsmeta_time_to_ns(started, &ns) && ns > margin &&
			   !guide->generation.source.subtrees.count;
	if (!guide->is_usable)
		return;
	if (__builtin_mul_overflow(settle_seconds, NS, &settle) ||
	    __builtin_sub_overflow(ns, settle, &guide->settled_before))
		guide->settled_before = INT64_MIN;
	guide->unchanged_since = fsmeta_time_from_ns(ns - margin);
}

/** The first generation that was finished after T; *reaches: `change` goes back to it. */
static int find_young(
    struct guide *guide, int64_t *number, bool *reaches, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_connection_prepare(&statement, &guide->connection,
	    "SELECT number, first_id,"
	    " number > (SELECT min(number) FROM generation WHERE NOT pruned)"
	    " FROM generation WHERE finished IS NULL OR finished > ?1 ORDER BY number LIMIT 1",
	    error);

	/* Not even the newest: with --settle 0, a clock that went back, a crafted file. */
	*number = INT64_MAX;
	*reaches = true;
	guide->first_new = INT64_MAX;
	if (!code) {
		sqlite3_bind_int64(statement, 1, guide->settled_before);
		code = fsmeta_connection_step(&guide->connection, statement, error);
	}
	if (code > 0) {
		*number = sqlite3_column_int64(statement, 0);
		guide->first_new = sqlite3_column_int64(statement, 1);
		*reaches = sqlite3_column_int(statement, 2) && guide->connection.schema_version > 1;
		code = 0;
	}
	sqlite3_finalize(statement);
	return code;
}

static int load_unsettled(struct guide *guide, struct fsmeta_error *error)
{
	int64_t values[2] = {0, guide->settled_before};
	bool reaches;
	int code = find_young(guide, &values[0], &reaches, error);

	if (code)
		return code;
	if (reaches) {
		code = fsmeta_folder_set_select(&guide->unsettled, &guide->connection,
		    "SELECT DISTINCT c.folder FROM change c"
		    " JOIN file f ON f.parent = c.folder AND f.name = c.name"
		    " WHERE c.generation >= ?1 AND c.name <> x'' AND f.mtime > ?2",
		    values, 2, error);
	} else {
		guide->first_new = INT64_MAX;
		code = fsmeta_folder_set_select(&guide->unsettled, &guide->connection,
		    "SELECT DISTINCT parent FROM file WHERE mtime > ?1", &values[1], 1, error);
	}
	fsmeta_folder_set_sort(&guide->unsettled);
	return code;
}

/** The positions that are valid now, and the folders' metadata. */
static int prepare_statements(struct guide *guide, struct fsmeta_error *error)
{
	int code = fsmeta_connection_prepare(&guide->folders, &guide->connection,
	    "SELECT p.folder, p.name, " FSMETA_ROW_COLUMNS
	    " FROM folder_position p JOIN folder f ON f.id = p.folder"
	    " WHERE p.parent = ?1 AND p.name >= ?2 AND (?3 IS NULL OR p.name <= ?3)"
	    " AND p.until IS NULL ORDER BY p.name",
	    error);

	if (!code)
		code = fsmeta_connection_prepare(&guide->young_file, &guide->connection,
		    "SELECT 1 FROM file WHERE parent = ?1 AND mtime > ?2 LIMIT 1", error);
	if (!code)
		code = fsmeta_connection_prepare(&guide->last_files, &guide->connection,
		    "SELECT name, " FSMETA_ROW_COLUMNS FSMETA_ROW_CONTENT_COLUMNS
		    " FROM file WHERE parent = ?1 ORDER BY name DESC LIMIT ?2",
		    error);
	return code;
}

/* ---- folders ----------------------------------------------------------------- */

/** Sets *young where a new folder holds a file that is not settled. */
static int has_young_file(
    struct guide *guide, int64_t folder, bool *young, struct fsmeta_error *error)
{
	int code = 0;

	*young = fsmeta_folder_set_has(&guide->unsettled, folder);
	if (*young || folder < guide->first_new)
		return 0;
	sqlite3_bind_int64(guide->young_file, 1, folder);
	sqlite3_bind_int64(guide->young_file, 2, guide->settled_before);
	code = fsmeta_connection_step(&guide->connection, guide->young_file, error);
	*young = code > 0;
	sqlite3_reset(guide->young_file);
	return code < 0 ? code : 0;
}

/** Whether the generation vouches for the files of a folder; entry is its row. */
static int vouch(struct guide *guide, int64_t folder, const struct fsmeta_entry *entry,
    bool *vouches, struct fsmeta_error *error)
{
	const uint32_t times = FSMETA_FIELD_MTIME | FSMETA_FIELD_CTIME;
	bool young;
	int code;

	*vouches = false;
	if (entry->type != FSMETA_TYPE_FOLDER || entry->flags || (entry->fields & times) != times ||
	    fsmeta_time_compare(entry->mtime, guide->unchanged_since) >= 0 ||
	    fsmeta_time_compare(entry->ctime, guide->unchanged_since) >= 0 ||
	    fsmeta_folder_set_has(&guide->unseen.folders, folder))
		return 0;
	code = has_young_file(guide, folder, &young, error);
	*vouches = !code && !young;
	return code;
}

static int corrupt(struct guide *guide, struct fsmeta_error *error)
{
	return fsmeta_connection_corrupt(
	    &guide->connection, error, "a name or position is damaged");
}

/** Tells the folder that the statement stands on. */
static int tell(
    struct guide *guide, fsmeta_guide_take *take, void *payload, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = guide->folders;
	const struct fsmeta_db_generation *generation = &guide->generation;
	int64_t id = sqlite3_column_int64(statement, 0);
	const char *name = sqlite3_column_blob(statement, 1);
	size_t length = (size_t)sqlite3_column_bytes(statement, 1);
	struct fsmeta_guide_folder folder = {.name = length ? name : "", .name_length = length};
	struct fsmeta_entry entry = {0};
	int code;

	/* What lies below a place that was not seen is not to be known. */
	if (fsmeta_folder_set_has(&guide->unseen.roots, id))
		return take(payload, &folder);
	if (id <= 0)
		return corrupt(guide, error);
	code = fsmeta_row_decode(&guide->connection, statement, 2, false, &guide->dictionary,
	    generation->source.field_mask, &entry, error);
	if (code == 0)
		code = vouch(guide, id, &entry, &folder.files_known, error);
	if (code != 0)
		return code;
	folder.id = (uint64_t)id;
	folder.fields = entry.fields;
	folder.device =
	    entry.fields & FSMETA_FIELD_DEVICE ? entry.device : (uint32_t)FSMETA_DEVICE_NONE;
	folder.inode = entry.inode;
	folder.mtime = entry.mtime;
	folder.ctime = entry.ctime;
	folder.token = fsmeta_guide_token(&generation->source, generation->number, folder.id);
	return take(payload, &folder);
}

/** True where the row's column is a name that something in folder `parent` can have. */
static bool has_valid_name(sqlite3_stmt *statement, int column, uint64_t parent)
{
	const char *name = sqlite3_column_blob(statement, column);
	size_t length = (size_t)sqlite3_column_bytes(statement, column);

	if (sqlite3_column_type(statement, column) != SQLITE_BLOB)
		return false;
	return parent ? name && fsmeta_name_is_valid(name, length) : length == 0;
}

static int guide_folders(struct fsmeta_guide *base, uint64_t id, const char *first,
    size_t first_length, const char *last, size_t last_length, fsmeta_guide_take *take,
    void *payload, struct fsmeta_error *error)
{
	struct guide *guide = (struct guide *)base;
	sqlite3_stmt *statement = guide->folders;
	int code = 0;

	if (!guide->is_usable)
		return 0;
	pthread_mutex_lock(&guide->lock);
	sqlite3_bind_int64(statement, 1, (int64_t)id);
	sqlite3_bind_blob64(statement, 2, first ? first : "", first_length, SQLITE_STATIC);
	if (last)
		sqlite3_bind_blob64(statement, 3, last, last_length, SQLITE_STATIC);
	else
		sqlite3_bind_null(statement, 3);
	while (
	    code == 0 && (code = fsmeta_connection_step(&guide->connection, statement, error)) > 0)
		code = has_valid_name(statement, 1, id) ? tell(guide, take, payload, error)
							: corrupt(guide, error);
	sqlite3_reset(statement);
	pthread_mutex_unlock(&guide->lock);
	return code;
}

/* ---- witnesses --------------------------------------------------------------- */

/** The newest piece of each layout that was met, from the end of a folder's files on. */
struct newest_pieces {
	struct fsmeta_guide_piece items[FSMETA_GUIDE_WITNESSES_MAX];
	unsigned count;
};

/** True where `piece` is the newest of its layout. */
static bool is_of_newest(struct newest_pieces *newest, const struct fsmeta_guide_piece *piece)
{
	for (unsigned i = 0; i < newest->count; i++)
		if (newest->items[i].layout == piece->layout)
			return newest->items[i].start == piece->start;
	newest->items[newest->count++] = *piece;
	return true;
}

/** Tells the file that the statement stands on. */
static int tell_witness(
    struct guide *guide, fsmeta_guide_take_file *take, void *payload, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = guide->last_files;
	struct fsmeta_guide_file file = {0};
	struct fsmeta_entry entry = {0};
	int code = fsmeta_row_decode(&guide->connection, statement, 1, true, &guide->dictionary,
	    guide->generation.source.field_mask, &entry, error);

	if (code != 0)
		return code;
	file.name = sqlite3_column_blob(statement, 0);
	file.name_length = (size_t)sqlite3_column_bytes(statement, 0);
	file.type = entry.type;
	file.fields = entry.fields;
	file.inode = entry.inode;
	file.size = entry.size;
	file.mtime = entry.mtime;
	file.ctime = entry.ctime;
	return take(payload, &file);
}

/** Goes through a folder's files from the end until an older piece comes. */
static int tell_newest(
    struct guide *guide, fsmeta_guide_take_file *take, void *payload, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = guide->last_files;
	struct newest_pieces newest = {.count = 0};
	unsigned passed_over = 0;
	int code = 0;

	while (code == 0 &&
	       (code = fsmeta_connection_step(&guide->connection, statement, error)) > 0) {
		struct fsmeta_guide_piece piece;

		code = 0;
		if (!has_valid_name(statement, 0, 1))
			return corrupt(guide, error);
		if (!guide->recognise(&piece, sqlite3_column_blob(statement, 0),
			(size_t)sqlite3_column_bytes(statement, 0))) {
			if (passed_over++ == FSMETA_GUIDE_PASSED_OVER_MAX)
				return 0;
			continue;
		}
		if (!is_of_newest(&newest, &piece))
			return 0;
		code = tell_witness(guide, take, payload, error);
	}
	return code;
}

static int guide_witnesses(struct fsmeta_guide *base, uint64_t id, fsmeta_guide_take_file *take,
    void *payload, struct fsmeta_error *error)
{
	struct guide *guide = (struct guide *)base;
	int code;

	if (!guide->recognise)
		return 0;
	pthread_mutex_lock(&guide->lock);
	sqlite3_bind_int64(guide->last_files, 1, (int64_t)id);
	sqlite3_bind_int(guide->last_files, 2, FSMETA_GUIDE_WITNESSES_MAX);
	code = tell_newest(guide, take, payload, error);
	sqlite3_reset(guide->last_files);
	pthread_mutex_unlock(&guide->lock);
	return code;
}

static void guide_close(struct fsmeta_guide *base)
{
	struct guide *guide = (struct guide *)base;

	sqlite3_finalize(guide->folders);
	sqlite3_finalize(guide->young_file);
	sqlite3_finalize(guide->last_files);
	fsmeta_folder_set_release(&guide->unsettled);
	fsmeta_unseen_release(&guide->unseen);
	fsmeta_dictionary_release(&guide->dictionary);
	fsmeta_db_generation_release(&guide->generation);
	fsmeta_connection_close(&guide->connection);
	pthread_mutex_destroy(&guide->lock);
	free(guide->path);
	free(guide);
}

static const struct fsmeta_guide_operations guide_operations = {
    .folders = guide_folders,
    .witnesses = guide_witnesses,
    .close = guide_close,
};

/* ---- opening ------------------------------------------------------------------ */

static int load(
    struct guide *guide, uint64_t number, uint64_t settle_seconds, struct fsmeta_error *error)
{
	uint64_t newest;
	int code = fsmeta_generation_load(&guide->generation, &guide->connection, number, error);

	if (!code)
		code = fsmeta_generation_newest(&newest, &guide->connection, error);
	if (!code && newest != number)
		code = fsmeta_error_set(error, FSMETA_E_BUSY, guide->path, action,
		    "another generation came in meanwhile");
	if (!code)
		code = fsmeta_dictionary_load(&guide->dictionary, &guide->connection,
		    guide->generation.source.filesystem_count, error);
	if (!code)
		load_times(guide, settle_seconds);
	if (!code && guide->is_usable)
		code = fsmeta_unseen_load(
		    &guide->unseen, &guide->connection, &guide->generation, error);
	if (!code && guide->is_usable)
		code = load_unsettled(guide, error);
	return code ? code : prepare_statements(guide, error);
}

int fsmeta_db_guide(struct fsmeta_guide **out, struct fsmeta_db *db, uint64_t number,
    uint64_t settle_seconds, fsmeta_guide_recognise *recognise, struct fsmeta_error *error)
{
	struct guide *guide = calloc(1, sizeof(*guide));
	int code;

	*out = NULL;
	if (!guide)
		return fsmeta_error_set_memory(error, action);
	pthread_mutex_init(&guide->lock, NULL);
	guide->guide.operations = &guide_operations;
	guide->guide.source = &guide->generation.source;
	guide->recognise = recognise;
	fsmeta_batch_source_init(&guide->generation.source);
	guide->path = strdup(db->path);
	code = guide->path ? fsmeta_connection_open(
				 &guide->connection, guide->path, FSMETA_CONNECTION_READ, error)
			   : fsmeta_error_set_memory(error, action);
	if (!code)
		code = fsmeta_connection_execute(&guide->connection, "BEGIN", error);
	if (!code)
		code = load(guide, number, settle_seconds, error);
	if (code) {
		guide_close(&guide->guide);
		return code;
	}
	*out = &guide->guide;
	return 0;
}
