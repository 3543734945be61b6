/*
 * Every since and every until of a row is a change in that generation, and a row of
 * `change` says where to look for it:
 *
 *     since, until                     row of change
 *     of file, file_past               (label, parent, name)
 *     of folder, folder_past           (label, id, '')
 *     of folder_position               (label, folder, '')
 *
 * The label is the generation itself, or where that was pruned the next one that is
 * kept.  Up to the oldest kept generation there are none, because it is compared with
 * nothing.  Some are left out, as what happened is told by another row:
 *
 *     what is new in a folder that is new itself (ids from the generation's first_id
 *     on are new); its metadata came with it
 *     a folder that has the same parent and name before and after: it was taken along
 *     by one above it, which moved
 *
 * What lies in a removed folder has no until of its own and needs no exception, but
 * where a folder above was moved in the same generation, and took it along so far.
 *
 * The other way round, a row of `change` is founded on a since or until that has its
 * label.  It loses them where pruning takes out the row that says so: a file that came
 * and went between two kept generations is told by neither.  That other generations
 * had something at the same place is no reason to keep it.
 */
#include "db/changes.h"

#define LABEL(generation) \
	"(SELECT min(number) FROM generation WHERE pruned = 0 AND number >= " generation ")"
#define IS_LATER(generation) generation " > (SELECT min(number) FROM generation WHERE pruned = 0)"
/* The entry came with that generation, or with a pruned one that has its label. */
#define IS_NEW(id, generation)                                                              \
	id " >= (SELECT first_id FROM generation WHERE number >"                            \
	   " (SELECT max(number) FROM generation WHERE pruned = 0 AND number < " generation \
	   ") ORDER BY number LIMIT 1)"
/* Under the same parent and name it was there on the other side of the change. */
#define TAKEN_ALONG(condition)                                              \
	"EXISTS (SELECT 1 FROM folder_position q WHERE q.folder = p.folder" \
	" AND q.parent = p.parent AND q.name = p.name AND " condition ")"

/* Taken along, too, and then the folder that holds it was removed. */
#define GONE_WITH_PARENT                                                          \
	"(EXISTS (SELECT 1 FROM folder_position q WHERE q.folder = p.parent"      \
	" AND q.until = p.until) AND NOT EXISTS (SELECT 1 FROM folder_position q" \
	" WHERE q.folder IN (p.folder, p.parent) AND q.since = p.until))"

/* clang-format off */
#define FILE_SINCE(table)                                                                      \
	"SELECT " LABEL("f.since") " AS generation, f.parent AS folder, f.name AS name"            \
	" FROM " table " f WHERE " IS_LATER("f.since")                                             \
	" AND NOT (" IS_NEW("f.id", "f.since") " AND " IS_NEW("f.parent", "f.since") ")"

#define FOLDER_SINCE(table)                                                                    \
	"SELECT " LABEL("f.since") ", f.id, x''"                                                   \
	" FROM " table " f WHERE " IS_LATER("f.since") " AND NOT " IS_NEW("f.id", "f.since")

#define IMPLIED                                                                                \
	FILE_SINCE("file")                                                                         \
	" UNION ALL " FILE_SINCE("file_past")                                                      \
	" UNION ALL SELECT " LABEL("f.until") ", f.parent, f.name"                                 \
	" FROM file_past f WHERE " IS_LATER("f.until")                                             \
	" UNION ALL " FOLDER_SINCE("folder")                                                       \
	" UNION ALL " FOLDER_SINCE("folder_past")                                                  \
	" UNION ALL SELECT " LABEL("f.until") ", f.id, x''"                                        \
	" FROM folder_past f WHERE " IS_LATER("f.until")                                           \
	" UNION ALL SELECT " LABEL("p.since") ", p.folder, x''"                                    \
	" FROM folder_position p WHERE " IS_LATER("p.since")                                       \
	" AND NOT (" IS_NEW("p.folder", "p.since") " AND " IS_NEW("p.parent", "p.since") ")"       \
	" AND NOT " TAKEN_ALONG(                                                                   \
	    "q.until <= p.since AND " LABEL("q.until") " = " LABEL("p.since"))                     \
	" UNION ALL SELECT " LABEL("p.until") ", p.folder, x''"                                    \
	" FROM folder_position p WHERE " IS_LATER("p.until")                                       \
	" AND NOT " TAKEN_ALONG(                                                                   \
	    "q.since >= p.until AND " LABEL("q.since") " = " LABEL("p.until"))                     \
	" AND NOT " GONE_WITH_PARENT

/* What has the label of row c: it is later than the kept generation before. */
#define HAS_LABEL(generation)                                                   \
	"(" generation " <= c.generation AND " generation " >"                  \
	" (SELECT max(number) FROM generation WHERE pruned = 0 AND number < c.generation))"

#define UNFOUNDED                                                                              \
	"change AS c WHERE NOT CASE c.name WHEN x'' THEN"                                          \
	" EXISTS (SELECT 1 FROM folder WHERE id = c.folder AND " HAS_LABEL("since") ")"            \
	" OR EXISTS (SELECT 1 FROM folder_past WHERE id = c.folder"                                \
	"  AND (" HAS_LABEL("since") " OR " HAS_LABEL("until") "))"                                \
	" OR EXISTS (SELECT 1 FROM folder_position WHERE folder = c.folder"                        \
	"  AND (" HAS_LABEL("since") " OR " HAS_LABEL("until") "))"                                \
	" ELSE EXISTS (SELECT 1 FROM file WHERE parent = c.folder AND name = c.name"               \
	"  AND " HAS_LABEL("since") ")"                                                            \
	" OR EXISTS (SELECT 1 FROM file_past WHERE parent = c.folder AND name = c.name"            \
	"  AND (" HAS_LABEL("since") " OR " HAS_LABEL("until") ")) END"

const char fsmeta_changes_fill[] = "INSERT OR IGNORE INTO change " IMPLIED;

const char fsmeta_changes_missing[] =
	"SELECT folder FROM (" IMPLIED ") i WHERE NOT EXISTS (SELECT 1 FROM change c"
	" WHERE c.generation = i.generation AND c.folder = i.folder AND c.name = i.name) LIMIT 1";

const char fsmeta_changes_unfounded[] = "SELECT c.folder FROM " UNFOUNDED " LIMIT 1";

const char fsmeta_changes_drop_unfounded[] = "DELETE FROM " UNFOUNDED " AND c.generation = ?1";
/* clang-format on */
