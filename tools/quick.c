/*
 * May this scan be quick?  It leaves out what the newest generation knows, so that has to
 * have been made by looking at the same things in the same way:
 *
 *     the same fields          or a row that is kept would lack some
 *     the same excludes        or what is no longer excluded would not be found
 *     the same file systems    entered or not
 *     all of the tree          what a scan of sub-trees did not look at is carried
 *     inode, mtime, ctime      of folders, or nothing says that one is what it was
 *
 * Where it was made otherwise the scan is complete, which is always right, and the next one
 * can be quick.  The one thing that a guide is told here is what a piece of a video archive is
 * called, so that the newest are looked at in any case.  What is no reason to be complete but to
 * refuse, a file system whose times say nothing, the scanner knows.
 */
#include "tools/quick.h"

#include "archive/piece.h"
#include "db/guide.h"
#include "tools/command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	SETTLE_SECONDS = 15 * 60,
};

void fsmeta_quick_options_init(struct fsmeta_quick_options *options)
{
	*options = (struct fsmeta_quick_options){.settle_seconds = SETTLE_SECONDS};
}

bool fsmeta_settle_parse(uint64_t *seconds, const char *text)
{
	static const struct {
		const char *unit;
		uint64_t seconds;
	} units[] = {{"s", 1}, {"min", 60}, {"h", 3600}, {"d", 86400}};
	const uint64_t most = 1000000000;
	char *unit;
	unsigned long long count;

	errno = 0;
	count = strtoull(text, &unit, 10);
	if (*text < '0' || *text > '9' || errno || count > most)
		return false;
	*seconds = 0;
	if (!*unit)
		return count == 0;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(units[i].unit, unit) != 0)
			continue;
		*seconds = count * units[i].seconds;
		return true;
	}
	return false;
}

static bool has_same_excludes(
    const struct fsmeta_batch_source *base, const struct fsmeta_scan_options *scan)
{
	if (base->excludes.count != scan->exclude_count)
		return false;
	for (size_t i = 0; i < scan->exclude_count; i++)
		if (strcmp(base->excludes.items[i], scan->excludes[i]) != 0)
			return false;
	return true;
}

static bool has_same_fields(
    const struct fsmeta_batch_source *base, const struct fsmeta_scan_options *scan, bool force)
{
	uint32_t wanted = scan->field_mask ? scan->field_mask : FSMETA_FIELDS_ALL;

	/* The scanner leaves out inode numbers that do not last. */
	return base->field_mask == wanted ||
	       (force && base->field_mask == (wanted & ~(uint32_t)FSMETA_FIELD_INODE));
}

/** Why the scan cannot be quick with this base; NULL = it can. */
static const char *find_hindrance(const struct fsmeta_batch_source *base,
    const struct fsmeta_scan_options *scan, const struct fsmeta_quick_options *options)
{
	uint32_t needed = FSMETA_FIELD_MTIME | FSMETA_FIELD_CTIME |
			  (options->force ? 0 : (uint32_t)FSMETA_FIELD_INODE);

	if (scan->subtree_count)
		return "a quick scan is one of the whole tree";
	if (base->subtrees.count)
		return "it is one of sub-trees alone";
	if ((base->field_mask & needed) != needed)
		return "it lacks inode, mtime or ctime";
	if (base->field_mask & FSMETA_FIELD_HASH)
		return "it has content hashes, which only a complete scan hands on";
	if (!has_same_fields(base, scan, options->force))
		return "it has other fields";
	if (!has_same_excludes(base, scan))
		return "it was made with other excludes";
	if (base->cross_filesystems != scan->cross_filesystems)
		return "it was made with other file systems entered";
	return NULL;
}

/** Sets *due where the N-1 newest generations were quick. */
static int is_full_due(struct fsmeta_db *db, uint64_t newest, uint64_t full_every, bool *due,
    struct fsmeta_error *error)
{
	uint64_t number = newest, quick = 0;
	bool is_quick = true;
	int code = 0;

	while (code == 0 && number && is_quick && quick + 1 < full_every) {
		struct fsmeta_db_generation generation;

		code = fsmeta_db_generation(db, number, &generation, error);
		if (code != 0)
			break;
		is_quick = generation.source.quick;
		quick += is_quick;
		number = generation.base;
		fsmeta_db_generation_release(&generation);
	}
	*due = full_every && quick + 1 >= full_every;
	return code;
}

static int find_base(struct fsmeta_db *db, const char *path, uint64_t newest,
    const struct fsmeta_scan_options *scan, const struct fsmeta_quick_options *options,
    bool *usable, struct fsmeta_error *error)
{
	struct fsmeta_db_generation base;
	const char *hindrance;
	bool due;
	int code = is_full_due(db, newest, options->full_every, &due, error);

	*usable = false;
	if (code != 0 || due)
		return code;
	code = fsmeta_db_generation(db, newest, &base, error);
	if (code != 0)
		return code;
	hindrance = find_hindrance(&base.source, scan, options);
	if (hindrance)
		fsmeta_note(path,
		    "note: scanning completely, not quickly: generation %" PRIu64 ": %s", newest,
		    hindrance);
	*usable = !hindrance;
	fsmeta_db_generation_release(&base);
	return 0;
}

/** Frames are written once. */
static bool recognise_piece(struct fsmeta_guide_piece *out, const char *name, size_t length)
{
	struct fsmeta_piece_name piece;

	if (!fsmeta_piece_parse(&piece, name, length) || piece.layout == FSMETA_LAYOUT_FRAMES)
		return false;
	*out = (struct fsmeta_guide_piece){.layout = piece.layout, .start = piece.start_us};
	return true;
}

int fsmeta_quick_open(struct fsmeta_guide **out, struct fsmeta_db *db, const char *path,
    const struct fsmeta_scan_options *scan, const struct fsmeta_quick_options *options,
    struct fsmeta_error *error)
{
	uint64_t newest;
	bool usable;
	int code;

	*out = NULL;
	if (!options->wanted)
		return 0;
	code = fsmeta_db_newest(db, &newest, error);
	if (code != 0)
		return code;
	if (!newest) {
		fsmeta_note(path, "note: scanning completely, not quickly: it is the first scan");
		return 0;
	}
	code = find_base(db, path, newest, scan, options, &usable, error);
	if (code != 0 || !usable)
		return code;
	return fsmeta_db_guide(out, db, newest, options->settle_seconds, recognise_piece, error);
}
