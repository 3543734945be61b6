/*
 * The schema, as a stranger sees it with `.schema`; its views are in views.c.
 *
 *                 folder_position           folder              file
 *     one row     a place of a folder       a folder's own      anything else
 *                 in the tree               metadata
 *     clustered   by ord: pre-order         by id               by parent folder and name
 *     outlives    until                     folder_past         file_past
 *
 * A folder's place and its metadata change apart from each other: a folder whose
 * mtime changed keeps its place, a folder that was moved keeps its metadata, and
 * an old generation needs the old one of either.
 *
 * Why each row costs what it does: docs/fsmetadb.md.
 */
#include "db/schema.h"

#include <inttypes.h>
#include <string.h>

/* What a row of `file` and a row of `folder` say alike. */
#define METADATA_COLUMNS                                                                         \
	"  attributes INTEGER NOT NULL,  -- see table attributes\n"                              \
	"  size INTEGER,                 -- bytes; NULL here and below: not known\n"             \
	"  mtime INTEGER,                -- ns since 1970 UTC\n"                                 \
	"  ctime INTEGER,                -- ns after mtime (after 1970 where mtime is NULL)\n"   \
	"  btime INTEGER,                -- ns after ctime, else after mtime, else after 1970\n" \
	"  inode INTEGER,                -- unsigned: values from 2^63 on appear negative\n"     \
	"  nlink INTEGER,                -- number of hard links\n"                              \
	"  allocated INTEGER,            -- bytes on disk beyond what size implies: files and\n" \
	"                                -- folders whole 4096-byte blocks, all others none\n"

static const struct fsmeta_schema_object tables[] = {
    {1, "source",
	"CREATE TABLE source (\n"
	"  -- What this database is about, one property a row: source_id, made_up (1: the\n"
	"  -- tree had no id of its own), next_id (the next entry id to be given out).\n"
	"  name TEXT PRIMARY KEY,\n"
	"  value\n"
	") WITHOUT ROWID"},
    {1, "source_alias",
	"CREATE TABLE source_alias (\n"
	"  -- Other ids under which the same source is known.\n"
	"  id TEXT PRIMARY KEY\n"
	") WITHOUT ROWID"},
    {1, "filesystem",
	"CREATE TABLE filesystem (\n"
	"  -- File systems that entries lie on; id is the `device` of the listings.\n"
	"  id INTEGER PRIMARY KEY,\n"
	"  uuid TEXT NOT NULL,\n"
	"  type TEXT NOT NULL,\n"
	"  label TEXT NOT NULL\n"
	")"},
    {1, "generation",
	"CREATE TABLE generation (\n"
	"  -- One row for every completed scan; rows outlive pruning.\n"
	"  number INTEGER PRIMARY KEY,\n"
	"  base INTEGER NOT NULL,        -- generation it was compared with, 0: none\n"
	"  started INTEGER,              -- ns since 1970 UTC\n"
	"  finished INTEGER,\n"
	"  first_id INTEGER NOT NULL,    -- entries with this id or a higher one are new here\n"
	"  field_mask INTEGER NOT NULL,  -- which fields the scan had, see docs/format.md\n"
	"  state_digest TEXT NOT NULL,   -- over all entries, see docs/format.md\n"
	"  entries INTEGER NOT NULL,     -- totals of the state, carried entries included\n"
	"  files INTEGER NOT NULL,\n"
	"  folders INTEGER NOT NULL,\n"
	"  symlinks INTEGER NOT NULL,\n"
	"  others INTEGER NOT NULL,\n"
	"  bytes INTEGER NOT NULL,\n"
	"  allocated INTEGER NOT NULL,\n"
	"  unreadable INTEGER NOT NULL,\n"
	"  carried INTEGER NOT NULL,     -- not seen by this scan, taken over from before\n"
	"  added INTEGER NOT NULL,       -- entries that differ from the base, and how\n"
	"  removed INTEGER NOT NULL,\n"
	"  modified INTEGER NOT NULL,\n"
	"  moved INTEGER NOT NULL,\n"
	"  pruned INTEGER NOT NULL,      -- 1: its entries are gone, this row is what is left\n"
	"  source TEXT NOT NULL          -- BatchSource as JSON: machine, scope, owners, ...\n"
	")"},
    {1, "attributes",
	"CREATE TABLE attributes (\n"
	"  -- What many entries have in common; entries refer to it by id.\n"
	"  id INTEGER PRIMARY KEY,\n"
	"  type INTEGER NOT NULL,        -- 1 file, 2 folder, 3 symlink, 4 fifo, 5 socket,\n"
	"                                -- 6 block device, 7 char device\n"
	"  mode INTEGER,                 -- permission bits; NULL here and below: not known\n"
	"  uid INTEGER,\n"
	"  gid INTEGER,\n"
	"  filesystem INTEGER\n"
	")"},
    {1, "folder_position",
	"CREATE TABLE folder_position (\n"
	"  -- Where a folder stands in the tree, and in which generations.  Read by ord,\n"
	"  -- folders come in canonical order.  A place is valid in generation G where\n"
	"  -- since <= G, until is NULL or greater, and the same holds for all folders above.\n"
	"  ord INTEGER PRIMARY KEY,\n"
	"  folder INTEGER NOT NULL,\n"
	"  parent INTEGER NOT NULL,      -- a folder; 0 above the root\n"
	"  name BLOB NOT NULL,\n"
	"  depth INTEGER NOT NULL,       -- 0 is the root\n"
	"  since INTEGER NOT NULL,\n"
	"  until INTEGER\n"
	")"},
    {1, "folder",
	"CREATE TABLE folder (\n"
	"  -- Newest metadata of a folder, since generation `since`.\n"
	"  id INTEGER PRIMARY KEY,\n" METADATA_COLUMNS "  since INTEGER NOT NULL,\n"
	"  extra TEXT                    -- what is rare, as JSON\n"
	")"},
    {1, "folder_past",
	"CREATE TABLE folder_past (\n"
	"  -- Metadata that a folder had in generations since <= G < until.\n"
	"  id INTEGER NOT NULL,\n"
	"  until INTEGER NOT NULL,\n" METADATA_COLUMNS "  since INTEGER NOT NULL,\n"
	"  extra TEXT,\n"
	"  PRIMARY KEY (id, until)\n"
	") WITHOUT ROWID"},
    {1, "file",
	"CREATE TABLE file (\n"
	"  -- Everything that is no folder, as it is since generation `since`.\n"
	"  parent INTEGER NOT NULL,      -- a folder\n"
	"  name BLOB NOT NULL,\n"
	"  id INTEGER NOT NULL,          -- unique among files and folders, never used "
	"again\n" METADATA_COLUMNS "  since INTEGER NOT NULL,\n"
	"  extra TEXT,                   -- what is rare, as JSON\n"
	"  target BLOB,                  -- of symlinks\n"
	"  hash BLOB,                    -- of content: 16 bytes XXH3-128, 32 bytes SHA-256\n"
	"  PRIMARY KEY (parent, name)\n"
	") WITHOUT ROWID"},
    {1, "file_past",
	"CREATE TABLE file_past (\n"
	"  -- What stood at this place in generations since <= G < until.\n"
	"  parent INTEGER NOT NULL,\n"
	"  name BLOB NOT NULL,\n"
	"  until INTEGER NOT NULL,\n"
	"  id INTEGER NOT NULL,\n" METADATA_COLUMNS "  since INTEGER NOT NULL,\n"
	"  extra TEXT,\n"
	"  target BLOB,\n"
	"  hash BLOB,\n"
	"  PRIMARY KEY (parent, name, until)\n"
	") WITHOUT ROWID"},
    {1, "unknown",
	"CREATE TABLE unknown (\n"
	"  -- Places that scans could not or did not look into, in generations\n"
	"  -- since <= G < until; what is there is carried from before.\n"
	"  root INTEGER NOT NULL,        -- id of an entry\n"
	"  since INTEGER NOT NULL,\n"
	"  until INTEGER,\n"
	"  whole INTEGER NOT NULL,       -- 1: the entry too, 0: only what is below it\n"
	"  reason TEXT NOT NULL,         -- 'unreadable' or 'not entered'\n"
	"  error INTEGER NOT NULL,       -- errno of an unreadable folder, else 0\n"
	"  PRIMARY KEY (root, since)\n"
	") WITHOUT ROWID"},
    {2, "change",
	"CREATE TABLE change (\n"
	"  -- Places in the tree whose entry came, went or changed in a generation: what\n"
	"  -- differs between two generations is found here, without reading the tree.\n"
	"  -- What came or went together with the folder it lies in has no row of its\n"
	"  -- own; the first generation has none.\n"
	"  generation INTEGER NOT NULL,\n"
	"  folder INTEGER NOT NULL,      -- the folder that holds the entry; where name is\n"
	"                                -- empty, the entry itself\n"
	"  name BLOB NOT NULL,           -- of a file (anything that is no folder) in that\n"
	"                                -- folder; empty: the folder's own metadata or\n"
	"                                -- position\n"
	"  PRIMARY KEY (generation, folder, name)\n"
	") WITHOUT ROWID"},
    {2, "content_read",
	"CREATE TABLE content_read (\n"
	"  -- Generation in which the content of a file was read last, where that is not\n"
	"  -- the one that its row says: read again and found as it was, or not read when\n"
	"  -- other metadata changed.\n"
	"  file INTEGER PRIMARY KEY,     -- id of a file that has a hash\n"
	"  generation INTEGER NOT NULL\n"
	")"},
};

static const struct fsmeta_schema_object indexes[] = {
    {1, "folder_position_by_name",
	"CREATE INDEX folder_position_by_name ON folder_position (parent, name)"},
    {1, "folder_position_by_folder",
	"CREATE INDEX folder_position_by_folder ON folder_position (folder)"},
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static int create(const struct fsmeta_connection *connection,
    const struct fsmeta_schema_object *objects, size_t count, struct fsmeta_error *error)
{
	int code = 0;

	for (size_t i = 0; i < count && !code; i++)
		code = fsmeta_connection_execute(connection, objects[i].sql, error);
	return code;
}

static int set_version(const struct fsmeta_connection *connection, struct fsmeta_error *error)
{
	char pragmas[128];

	sqlite3_snprintf(sizeof(pragmas), pragmas,
	    "PRAGMA application_id=%d; PRAGMA user_version=%d;", FSMETA_DB_APPLICATION_ID,
	    FSMETA_DB_SCHEMA_VERSION);
	return fsmeta_connection_execute(connection, pragmas, error);
}

int fsmeta_schema_create(const struct fsmeta_connection *connection, struct fsmeta_error *error)
{
	int code = set_version(connection, error);

	if (!code)
		code = create(connection, tables, LENGTH(tables), error);
	if (!code)
		code = create(connection, fsmeta_schema_views, FSMETA_SCHEMA_VIEW_COUNT, error);
	return code;
}

/** *found: 'v' for a view, 't' for a table, ...; 0 where nothing has that name. */
static int find_type(char *found, const struct fsmeta_connection *connection, const char *name,
    struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_connection_prepare(
	    &statement, connection, "SELECT type FROM sqlite_schema WHERE name = ?1", error);

	*found = 0;
	if (!code) {
		sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
		code = fsmeta_connection_step(connection, statement, error);
	}
	if (code > 0) {
		const unsigned char *type = sqlite3_column_text(statement, 0);

		*found = type ? (char)type[0] : 0;
	}
	sqlite3_finalize(statement);
	return code < 0 ? code : 0;
}

/** Where somebody has made a table of that name it is left alone, and the view is not made. */
static int replace_view(const struct fsmeta_connection *connection,
    const struct fsmeta_schema_object *view, struct fsmeta_error *error)
{
	char drop[64], found;
	int code = find_type(&found, connection, view->name, error);

	if (!code && found == 'v') {
		sqlite3_snprintf(sizeof(drop), drop, "DROP VIEW \"%w\"", view->name);
		code = fsmeta_connection_execute(connection, drop, error);
	}
	if (!code && (!found || found == 'v'))
		code = fsmeta_connection_execute(connection, view->sql, error);
	return code;
}

int fsmeta_schema_upgrade(
    const struct fsmeta_connection *connection, int version, struct fsmeta_error *error)
{
	int code = 0;

	for (size_t i = 0; i < LENGTH(tables) && !code; i++)
		if (tables[i].since_version > version)
			code = fsmeta_connection_execute(connection, tables[i].sql, error);
	for (size_t i = 0; i < FSMETA_SCHEMA_VIEW_COUNT && !code; i++)
		code = replace_view(connection, &fsmeta_schema_views[i], error);
	return code ? code : set_version(connection, error);
}

int fsmeta_schema_create_indexes(
    const struct fsmeta_connection *connection, struct fsmeta_error *error)
{
	return create(connection, indexes, LENGTH(indexes), error);
}

int fsmeta_schema_judge_version(int64_t version, const char *path, struct fsmeta_error *error)
{
	static const char action[] = "opening the database";

	if (version > FSMETA_DB_SCHEMA_VERSION)
		return fsmeta_error_set(error, FSMETA_E_UNSUPPORTED, path, action,
		    "its schema is version %" PRId64 ", this fsmeta knows up to version %d",
		    version, FSMETA_DB_SCHEMA_VERSION);
	if (version < 1)
		return fsmeta_error_set(
		    error, FSMETA_E_CORRUPT, path, action, "its schema has no version");
	return 0;
}

static int check_object(const struct fsmeta_connection *connection, sqlite3_stmt *statement,
    const struct fsmeta_schema_object *object, struct fsmeta_error *error)
{
	const char *sql;
	int code;

	sqlite3_bind_text(statement, 1, object->name, -1, SQLITE_STATIC);
	code = fsmeta_connection_step(connection, statement, error);
	if (code < 0)
		return code;
	sql = code ? (const char *)sqlite3_column_text(statement, 0) : NULL;
	code = 0;
	if (!sql || strcmp(sql, object->sql) != 0)
		code = fsmeta_connection_corrupt(connection, error,
		    "its schema is not FsMetaDb's: \"%s\" is %s", object->name,
		    sql ? "not what it should be" : "missing");
	sqlite3_reset(statement);
	return code;
}

static int check_objects(const struct fsmeta_connection *connection,
    const struct fsmeta_schema_object *objects, size_t count, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_connection_prepare(
	    &statement, connection, "SELECT sql FROM sqlite_schema WHERE name = ?1", error);

	for (size_t i = 0; i < count && !code; i++)
		if (objects[i].since_version <= connection->schema_version)
			code = check_object(connection, statement, &objects[i], error);
	sqlite3_finalize(statement);
	return code;
}

static int check_version(struct fsmeta_connection *connection, struct fsmeta_error *error)
{
	int64_t version;
	int code = fsmeta_connection_integer(&version, connection, "PRAGMA user_version", 0, error);

	if (!code)
		code = fsmeta_schema_judge_version(version, connection->path, error);
	if (!code)
		connection->schema_version = (int)version;
	return code;
}

int fsmeta_schema_check(struct fsmeta_connection *connection, struct fsmeta_error *error)
{
	/* In one transaction: somebody else may be migrating it just now. */
	int code = fsmeta_connection_execute(connection, "BEGIN", error);

	if (code)
		return code;
	code = check_version(connection, error);
	if (!code)
		code = check_objects(connection, tables, LENGTH(tables), error);
	if (!code)
		code = check_objects(connection, indexes, LENGTH(indexes), error);
	sqlite3_exec(connection->handle, "COMMIT", NULL, NULL, NULL);
	return code;
}
