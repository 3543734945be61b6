/*
 * Views: the database as people read it.
 *
 *     folders, entries      the newest generation
 *     folder_paths          where every folder ever was, and in which generations
 *     versions              every state of every entry, with its path
 *     changes               what differs between a kept generation and the one before
 *     unknown_places        where nobody could look, since when and why
 *     generations           the history, a line each
 *
 * Paths go both ways.  Who lists everything goes down from the root once, with the
 * interval of generations in which a path was true:
 *
 *     cam1     [1, 5)                 position of cam1   [1, 5)
 *     cam1/x   [3, 5)                 position of x      [3, -)
 *
 * x outlived its folder only in its own row: the intersection on the way down is
 * what tells.  Who looks at a few places climbs from each of them to the root, which
 * costs its depth and not the tree.
 *
 * `changes` must answer "WHERE generation = 7" from the rows of that generation
 * alone.  Since and until stay true when generations are pruned, so what is asked for
 * is what held in the kept generation before, and what holds in this one.  These are
 * two rows of one id, brought together by a window over (generation, id), because
 * SQLite hands a condition on what a window is partitioned by down to the tables, and
 * does not do so through GROUP BY.  CROSS JOIN keeps table change in front.
 *
 * fsmeta itself reads no views (connection.c switches them off): a crafted file
 * could have others in their place.
 */
#include "db/schema.h"

/* ns since 1970 as RFC 3339 UTC; seconds are floored, also before 1970. */
#define TIME_TEXT(ns)                                                 \
	"strftime('%Y-%m-%dT%H:%M:%S', (" ns ") / 1000000000 - ((" ns \
	") % 1000000000 < 0), 'unixepoch')\n"                         \
	"      || printf('.%09dZ', ((" ns ") % 1000000000 + 1000000000) % 1000000000)"

#define TYPE_TEXT(type)                                                                 \
	"CASE " type " WHEN 1 THEN 'file' WHEN 2 THEN 'folder' WHEN 3 THEN 'symlink'\n" \
	"      WHEN 4 THEN 'fifo' WHEN 5 THEN 'socket' WHEN 6 THEN 'block' ELSE 'char' END"

/* What is not known stays NULL: printf() makes zeros of it. */
#define MODE_TEXT(mode) "iif(" mode " IS NULL, NULL, printf('%04o', " mode "))"

/* Stands for "no end yet" where intervals are compared. */
#define FOREVER "9223372036854775807"

/* clang-format off */

/* Metadata of row `e` with attributes `a`; what entries and versions have alike. */
#define METADATA_COLUMNS                                                                       \
	"    e.size AS size,\n"                                                                    \
	"    " TIME_TEXT("e.mtime") " AS mtime,\n"                                                 \
	"    " TIME_TEXT("coalesce(e.mtime, 0) + e.ctime") " AS ctime,\n"                          \
	"    " TIME_TEXT("coalesce(e.mtime, 0) + coalesce(e.ctime, 0) + e.btime") " AS btime,\n"   \
	"    " MODE_TEXT("a.mode") " AS mode, a.uid AS uid, a.gid AS gid,\n"                       \
	"    a.filesystem AS filesystem,\n"                                                        \
	"    iif(e.inode IS NULL, NULL, printf('%llu', e.inode)) AS inode, e.nlink AS nlink,\n"    \
	"    CASE WHEN a.type < 3 THEN (e.size + 4095) / 4096 * 4096 ELSE 0 END + e.allocated\n"   \
	"      AS allocated,\n"                                                                    \
	"    CAST(e.target AS TEXT) AS target, nullif(lower(hex(e.hash)), '') AS hash"

/* The same columns, from `f` as the tables have them. */
#define ROW_COLUMNS "f.attributes, f.size, f.mtime, f.ctime, f.btime, f.inode, f.nlink, f.allocated"

/* Path of what `parent` holds as `name`, in generation `moment`. */
#define PATH_TEXT(parent, name, moment)                                                        \
	"(WITH RECURSIVE up (folder, path) AS (\n"                                                 \
	"        SELECT " parent ", CAST(" name " AS TEXT)\n"                                      \
	"        UNION ALL\n"                                                                      \
	"        SELECT p.parent, CASE p.parent WHEN 0 THEN up.path\n"                             \
	"            ELSE CAST(p.name AS TEXT) || '/' || up.path END\n"                            \
	"          FROM up JOIN folder_position p ON p.folder = up.folder\n"                       \
	"          WHERE p.since <= " moment "\n"                                                  \
	"            AND (p.until IS NULL OR p.until > " moment ")\n"                              \
	"      ) SELECT CASE path WHEN '' THEN '.' ELSE path END FROM up WHERE folder = 0)"

/* ---- the newest generation ------------------------------------------------ */

static const char folders[] =
	"CREATE VIEW folders AS\n"
	"  -- Folders of the newest generation with their paths; the root is ''.\n"
	"  WITH RECURSIVE tree (id, path, prefix) AS (\n"
	"    SELECT folder, '', '' FROM folder_position WHERE parent = 0 AND until IS NULL\n"
	"    UNION ALL\n"
	"    SELECT p.folder, tree.prefix || CAST(p.name AS TEXT),\n"
	"        tree.prefix || CAST(p.name AS TEXT) || '/'\n"
	"      FROM tree JOIN folder_position p ON p.parent = tree.id\n"
	"      WHERE p.until IS NULL\n"
	"  )\n"
	"  SELECT id, path, prefix FROM tree";

static const char entries[] =
	"CREATE VIEW entries AS\n"
	"  -- Everything in the newest generation, as people read it.\n"
	"  WITH found AS (\n"
	"    SELECT t.path, f.id, " ROW_COLUMNS ",\n"
	"        f.since, f.extra, NULL AS target, NULL AS hash\n"
	"      FROM folders t JOIN folder f ON f.id = t.id\n"
	"    UNION ALL\n"
	"    SELECT t.prefix || CAST(f.name AS TEXT), f.id, " ROW_COLUMNS ",\n"
	"        f.since, f.extra, f.target, f.hash\n"
	"      FROM folders t JOIN file f ON f.parent = t.id\n"
	"  )\n"
	"  SELECT e.id AS id,\n"
	"    " TYPE_TEXT("a.type") "\n"
	"      AS type,\n"
	"    CASE e.path WHEN '' THEN '.' ELSE e.path END AS path,\n" METADATA_COLUMNS ",\n"
	"    (SELECT max(number) FROM generation WHERE first_id <= e.id) AS created,\n"
	"    e.since AS modified, e.extra AS extra\n"
	"  FROM found e JOIN attributes a ON a.id = e.attributes";

/* ---- all generations ------------------------------------------------------- */

static const char folder_paths[] =
	"CREATE VIEW folder_paths AS\n"
	"  -- Every path that a folder ever had, in generations since <= G < until (NULL:\n"
	"  -- it has it still); the root is ''.\n"
	"  WITH RECURSIVE tree (id, path, prefix, since, until) AS (\n"
	"    SELECT folder, '', '', since, ifnull(until, " FOREVER ")\n"
	"      FROM folder_position WHERE parent = 0\n"
	"    UNION ALL\n"
	"    SELECT p.folder, tree.prefix || CAST(p.name AS TEXT),\n"
	"        tree.prefix || CAST(p.name AS TEXT) || '/', max(p.since, tree.since),\n"
	"        min(ifnull(p.until, " FOREVER "), tree.until)\n"
	"      FROM tree JOIN folder_position p ON p.parent = tree.id\n"
	"      WHERE p.since < tree.until AND ifnull(p.until, " FOREVER ") > tree.since\n"
	"  )\n"
	"  SELECT id, path, prefix, since, nullif(until, " FOREVER ") AS until FROM tree";

/* One arm of versions: the rows `f` of a table within the intervals of a path `t`. */
#define VERSION_ARM(path, table, join, until, content)                                         \
	"    SELECT " path ", f.id, " ROW_COLUMNS ",\n"                                            \
	"        f.extra, " content ",\n"                                                          \
	"        max(t.since, f.since), min(ifnull(t.until, " FOREVER "), " until ")\n"            \
	"      FROM folder_paths t CROSS JOIN " table " f ON " join "\n"                           \
	"      WHERE f.since < ifnull(t.until, " FOREVER ") AND t.since < " until "\n"

#define FILE_PATH "t.prefix || CAST(f.name AS TEXT)"

static const char versions[] =
	"CREATE VIEW versions AS\n"
	"  -- Every state of every entry: at this path, with this metadata, in generations\n"
	"  -- since <= G < until (NULL: still).\n"
	"  WITH found (path, id, attributes, size, mtime, ctime, btime, inode, nlink,\n"
	"      allocated, extra, target, hash, since, until) AS (\n"
	VERSION_ARM("t.path", "folder", "f.id = t.id", FOREVER, "NULL, NULL")
	"    UNION ALL\n"
	VERSION_ARM("t.path", "folder_past", "f.id = t.id", "f.until", "NULL, NULL")
	"    UNION ALL\n"
	VERSION_ARM(FILE_PATH, "file", "f.parent = t.id", FOREVER, "f.target, f.hash")
	"    UNION ALL\n"
	VERSION_ARM(FILE_PATH, "file_past", "f.parent = t.id", "f.until", "f.target, f.hash")
	"  )\n"
	"  SELECT e.id AS id,\n"
	"    " TYPE_TEXT("a.type") "\n"
	"      AS type,\n"
	"    CASE e.path WHEN '' THEN '.' ELSE e.path END AS path,\n"
	"    e.since AS since, nullif(e.until, " FOREVER ") AS until,\n" METADATA_COLUMNS ",\n"
	"    e.extra AS extra\n"
	"  FROM found e JOIN attributes a ON a.id = e.attributes";

/* ---- what differs ----------------------------------------------------------- */

/* Rows of a place that end after `prev` (what stood there) or begin (what stands there). */
#define FILE_SIDE(after, table, moment, condition)                                             \
	"      SELECT c.generation, " moment ", k.prev, f.id, " after ", f.parent, f.name,\n"      \
	"          f.attributes, f.size, f.mtime, f.hash, f.since\n"                               \
	"        FROM kept k CROSS JOIN change c ON c.generation = k.number\n"                     \
	"        CROSS JOIN " table " f ON f.parent = c.folder AND f.name = c.name\n"              \
	"          AND " condition "\n"

/* A folder as it was in the kept generation before, and as it is. */
#define MOMENT "iif(s.after, k.number, k.prev)"
#define FOLDER_SIDES(table, until)                                                             \
	"      SELECT c.generation, " MOMENT ", k.prev, f.id, s.after, p.parent, p.name,\n"        \
	"          f.attributes, f.size, f.mtime, NULL, max(p.since, f.since)\n"                   \
	"        FROM kept k CROSS JOIN change c ON c.generation = k.number\n"                     \
	"        CROSS JOIN (SELECT 0 AS after UNION ALL SELECT 1) s\n"                            \
	"        CROSS JOIN folder_position p ON p.folder = c.folder AND p.since <= " MOMENT "\n"  \
	"          AND (p.until IS NULL OR p.until > " MOMENT ")\n"                                \
	"        CROSS JOIN " table " f ON f.id = c.folder AND f.since <= " MOMENT "\n"            \
	"        WHERE c.name = x''" until "\n"

#define BEFORE(column)                                                                         \
	"        max(" column ") FILTER (WHERE path NOT NULL AND NOT after) OVER entry\n"          \
	"          AS old_" column

static const char changes[] =
	"CREATE VIEW changes AS\n"
	"  -- What differs between a kept generation and the kept one before it; kind is\n"
	"  -- added, removed, modified, corrupted (another hash of content, with the same\n"
	"  -- size and mtime) or moved (from old_path).  A folder that came or went is one\n"
	"  -- line, whatever it holds.\n"
	"  WITH kept (number, prev) AS (\n"
	"    SELECT number, lag(number) OVER (ORDER BY number) FROM generation WHERE pruned = 0\n"
	"  ), side (generation, moment, prev, id, after, parent, name, attributes, size, mtime,\n"
	"      hash, since) AS (\n"
	FILE_SIDE("0", "file_past", "k.prev",
	    "f.since <= k.prev AND f.until > k.prev AND f.until <= k.number")
	"      UNION ALL\n"
	FILE_SIDE("1", "file", "k.number", "f.since > k.prev AND f.since <= k.number")
	"      UNION ALL\n"
	FILE_SIDE("1", "file_past", "k.number",
	    "f.since > k.prev AND f.since <= k.number AND f.until > k.number")
	"      UNION ALL\n"
	FOLDER_SIDES("folder", "")
	"      UNION ALL\n"
	FOLDER_SIDES("folder_past", " AND f.until > " MOMENT)
	"  )\n"
	"  SELECT c.generation AS generation, c.kind AS kind,\n"
	"    " TYPE_TEXT("a.type") "\n"
	"      AS type,\n"
	"    c.path AS path, CASE c.kind WHEN 'moved' THEN c.old_path END AS old_path,\n"
	"    c.id AS id, c.old_size AS old_size, CASE WHEN c.after THEN c.size END AS size,\n"
	"    " TIME_TEXT("c.old_mtime") " AS old_mtime,\n"
	"    CASE WHEN c.after THEN " TIME_TEXT("c.mtime") " END\n"
	"      AS mtime,\n"
	"    (SELECT " MODE_TEXT("o.mode") " FROM attributes o WHERE o.id = c.old_attributes)\n"
	"      AS old_mode,\n"
	"    CASE WHEN c.after THEN " MODE_TEXT("a.mode") " END AS mode\n"
	"  FROM (\n"
	"    -- One row an entry: as it is now, else as it was, and how it was before.\n"
	"    SELECT *, CASE WHEN NOT after THEN 'removed' WHEN sides = 1 THEN 'added'\n"
	"        WHEN parent <> old_parent OR name <> old_name THEN 'moved'\n"
	"        WHEN hash <> old_hash AND length(hash) = length(old_hash)\n"
	"          AND size = old_size AND mtime = old_mtime THEN 'corrupted'\n"
	"        ELSE 'modified' END AS kind\n"
	"    FROM (SELECT *, count(path) OVER entry AS sides,\n"
	BEFORE("path") ",\n"
	BEFORE("parent") ",\n"
	BEFORE("name") ",\n"
	BEFORE("attributes") ",\n"
	BEFORE("size") ",\n"
	BEFORE("mtime") ",\n"
	BEFORE("hash") "\n"
	"    -- A side whose folder is not in the tree has no path, and does not count.\n"
	"    FROM (SELECT *, " PATH_TEXT("parent", "name", "moment") " AS path\n"
	"      FROM side) WINDOW entry AS (PARTITION BY generation, id))\n"
	"    WHERE path NOT NULL AND (sides = 1 OR (after AND since > prev))\n"
	"  ) c JOIN attributes a ON a.id = c.attributes\n"
	"  -- What came or went with its folder is in that one's line.\n"
	"  WHERE sides = 2 OR parent = 0\n"
	"    OR " PATH_TEXT("c.parent", "x''", "iif(c.after, c.prev, c.generation)") " NOT NULL";

/* Files have no index by id, so they are read only where there is one to be found. */
#define UNKNOWN_FILES(table, until)                                                            \
	"    SELECT u.*, f.parent, f.name\n"                                                       \
	"      FROM (SELECT 1 WHERE EXISTS (SELECT 1 FROM unknown\n"                               \
	"        WHERE root NOT IN (SELECT id FROM folder)))\n"                                    \
	"      CROSS JOIN " table " f CROSS JOIN unknown u ON u.root = f.id\n"                     \
	"        AND f.since <= u.since" until "\n"

static const char unknown_places[] =
	"CREATE VIEW unknown_places AS\n"
	"  -- Places that scans could not or did not look into, in generations\n"
	"  -- since <= G < until (NULL: still); path is as of `since`.\n"
	"  SELECT " PATH_TEXT("u.parent", "u.name", "u.since") " AS path,\n"
	"    u.since AS since, u.until AS until, u.reason AS reason, u.error AS error,\n"
	"    u.whole AS whole, u.root AS id\n"
	"  FROM (\n"
	"    SELECT u.*, p.parent, p.name\n"
	"      FROM unknown u JOIN folder_position p ON p.folder = u.root\n"
	"        AND p.since <= u.since AND (p.until IS NULL OR p.until > u.since)\n"
	"    UNION ALL\n"
	UNKNOWN_FILES("file", "")
	"    UNION ALL\n"
	UNKNOWN_FILES("file_past", " AND f.until > u.since")
	"  ) u";

/* ---- the history -------------------------------------------------------------- */

static const char generations[] =
	"CREATE VIEW generations AS\n"
	"  -- The history of this database, one line a generation, with its totals.\n"
	"  SELECT number, base,\n"
	"    " TIME_TEXT("started") " AS started,\n"
	"    " TIME_TEXT("finished") " AS finished,\n"
	"    round((finished - started) / 1e9, 3) AS seconds,\n"
	"    entries, files, folders, symlinks, others, bytes, allocated, unreadable, carried,\n"
	"    added, removed, modified, moved, pruned,\n"
	"    source ->> '$.machine.name' AS machine\n"
	"  FROM generation ORDER BY number";

/* clang-format on */

const struct fsmeta_schema_object fsmeta_schema_views[FSMETA_SCHEMA_VIEW_COUNT] = {
    {1, "folders", folders},
    {1, "entries", entries},
    {1, "generations", generations},
    {2, "folder_paths", folder_paths},
    {2, "versions", versions},
    {2, "changes", changes},
    {2, "unknown_places", unknown_places},
};
