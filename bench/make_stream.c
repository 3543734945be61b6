/*
 * make_stream [--fields LIST] OUT synthetic ENTRIES [CHANGES]
 * make_stream OUT scattered|clustered|spread|rotated|shifted STREAM
 *
 * A stream to compare with, without a disk to change and to scan again: a recorder's archive
 * that is made up (bench/synthetic.h), or a copy of a stream with
 *
 *   scattered  64 files modified, 64 removed and 64 added, evenly over all folders
 *   clustered  the same within 8 large folders that lie evenly
 *   spread     every 1,000th file modified: no batch is as it was
 *   rotated    the first 1,000 files of every folder gone
 *   shifted    every entry, folders too, an hour younger
 *
 * A removed file is left out, a modified one a byte longer and a second younger, and an added
 * one follows the file whose name with ".added" it has.
 */
#include "base/error.h"
#include "base/memory.h"
#include "bench/synthetic.h"
#include "format/stream.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	/** Of each of the three kinds. */
	CHANGES_EACH = 64,
	KINDS = 3,
	CLUSTERS = 8,
	/** A cluster begins behind as many files of its folder: it is for large ones. */
	CLUSTER_FILES = KINDS * CHANGES_EACH / CLUSTERS,
	SPREAD = 1000,
	ROTATED = 1000,
	SHIFT_SECONDS = 3600,
};

enum kind {
	UNCHANGED,
	MODIFIED,
	REMOVED,
	ADDED,
	SHIFTED
};

static struct fsmeta_error error;
static struct fsmeta_buffer path;

static void die(void)
{
	fprintf(stderr, "make_stream: %s: %s: %s\n", error.path, error.action, error.reason);
	exit(1);
}

static int usage(void)
{
	fprintf(stderr,
	    "usage: make_stream [--fields LIST] OUT synthetic ENTRIES [CHANGES]\n"
	    "       make_stream OUT scattered|clustered|spread|rotated|shifted STREAM\n");
	return 64;
}

/** How a stream is edited, and where the pass over it stands. */
struct edit;

typedef enum kind judge(const struct edit *edit);

struct edit {
	judge *judge;
	/** Of the stream: files, and large folders. */
	uint64_t files;
	uint64_t large;
	/** Files passed, and such folders. */
	uint64_t file;
	uint64_t folder;
	/** Files passed in the present run of files of one folder. */
	uint64_t in_folder;
	uint32_t depth;
};

static enum kind shifted(const struct edit *edit)
{
	(void)edit;
	return SHIFTED;
}

/** Notes an entry of the pass; true where it may be changed: most edits are of files. */
static bool pass(struct edit *edit, const struct fsmeta_entry *entry)
{
	if (entry->type != FSMETA_TYPE_FILE || entry->depth != edit->depth)
		edit->in_folder = 0;
	edit->depth = entry->depth;
	if (entry->type != FSMETA_TYPE_FILE)
		return edit->judge == shifted;
	edit->file++;
	edit->in_folder++;
	/* A folder turns out to be large with so many files. */
	edit->folder += edit->in_folder == CLUSTER_FILES;
	return true;
}

static enum kind scattered(const struct edit *edit)
{
	uint64_t spacing = edit->files / (KINDS * CHANGES_EACH);
	uint64_t number = spacing ? (edit->file - 1) / spacing : 0;

	if (!spacing || (edit->file - 1) % spacing != spacing / 2 || number >= KINDS * CHANGES_EACH)
		return UNCHANGED;
	return (enum kind)(MODIFIED + number % KINDS);
}

/** The files after the one with which a folder turned out to be large. */
static enum kind clustered(const struct edit *edit)
{
	uint64_t spacing = edit->large / CLUSTERS;
	uint64_t at = edit->in_folder - CLUSTER_FILES;

	if (!spacing || edit->in_folder < CLUSTER_FILES || at >= CLUSTER_FILES ||
	    (edit->folder - 1) % spacing != spacing / 2 || (edit->folder - 1) / spacing >= CLUSTERS)
		return UNCHANGED;
	return (enum kind)(MODIFIED + at % KINDS);
}

static enum kind spread(const struct edit *edit)
{
	return edit->file % SPREAD == 0 ? MODIFIED : UNCHANGED;
}

static enum kind rotated(const struct edit *edit)
{
	return edit->in_folder <= ROTATED ? REMOVED : UNCHANGED;
}

static judge *find_judge(const char *how)
{
	static const struct {
		const char *how;
		judge *judge;
	} judges[] = {
	    {"scattered", scattered},
	    {"clustered", clustered},
	    {"spread", spread},
	    {"rotated", rotated},
	    {"shifted", shifted},
	};

	for (size_t i = 0; i < sizeof(judges) / sizeof(judges[0]); i++)
		if (!strcmp(how, judges[i].how))
			return judges[i].judge;
	return NULL;
}

static void add(struct fsmeta_stream_output *output, const struct fsmeta_entry *entry)
{
	if (fsmeta_stream_writer_add(fsmeta_stream_output_writer(output), entry, &error) < 0)
		die();
}

static void add_edited(
    struct fsmeta_stream_output *output, const struct fsmeta_entry *entry, enum kind kind)
{
	static const char suffix[] = ".added";
	struct fsmeta_entry edited = *entry;

	if (kind == MODIFIED) {
		edited.size++;
		edited.mtime.seconds++;
		add(output, &edited);
	}
	if (kind == SHIFTED) {
		edited.mtime.seconds += SHIFT_SECONDS;
		add(output, &edited);
	}
	if (kind == UNCHANGED || kind == ADDED)
		add(output, entry);
	if (kind == ADDED) {
		fsmeta_buffer_clear(&path);
		if (fsmeta_buffer_append(&path, entry->path, entry->path_length) ||
		    fsmeta_buffer_append(&path, suffix, sizeof(suffix)))
			exit(1);
		edited.path = (const char *)path.data;
		edited.path_length = path.length - 1;
		edited.name = edited.path + (entry->name - entry->path);
		edited.name_length += sizeof(suffix) - 1;
		add(output, &edited);
	}
}

static struct fsmeta_cursor *open_stream(const char *stream)
{
	struct fsmeta_cursor *cursor;

	if (fsmeta_stream_open_folder(&cursor, stream, &error) < 0)
		die();
	return cursor;
}

static const struct fsmeta_entry *next(struct fsmeta_cursor *cursor)
{
	const struct fsmeta_entry *entry;
	int code = fsmeta_cursor_next(cursor, &entry, &error);

	if (code < 0)
		die();
	return code ? entry : NULL;
}

/** What must be known before the first entry is judged. */
static void count(struct edit *edit, const char *stream)
{
	struct fsmeta_cursor *cursor = open_stream(stream);
	const struct fsmeta_entry *entry;
	struct edit counted = {0};

	while ((entry = next(cursor)))
		(void)pass(&counted, entry);
	fsmeta_cursor_close(cursor);
	edit->files = counted.file;
	edit->large = counted.folder;
}

static void write_stream(const char *out, struct fsmeta_cursor *cursor, struct edit *edit)
{
	struct fsmeta_stream_output *output;
	struct fsmeta_stream_summary summary;
	const struct fsmeta_entry *entry;

	if (fsmeta_stream_output_new(&output, out, cursor->source, NULL, &error) < 0)
		die();
	while ((entry = next(cursor)))
		add_edited(
		    output, entry, edit && pass(edit, entry) ? edit->judge(edit) : UNCHANGED);
	if (fsmeta_stream_output_commit(output, &summary, &error) < 0)
		die();
	printf("%llu entries, %llu bytes, %llu batches\n",
	    (unsigned long long)summary.totals.entries, (unsigned long long)summary.file_bytes,
	    (unsigned long long)summary.batches);
}

int main(int argc, char **argv)
{
	struct fsmeta_synthetic_options synthetic = {0};
	struct fsmeta_cursor *cursor;
	struct edit edit = {0};

	if (argc > 2 && !strcmp(argv[1], "--fields")) {
		if (fsmeta_fields_parse(&synthetic.field_mask, argv[2], &error) < 0)
			die();
		argc -= 2;
		argv += 2;
	}
	if (argc < 4)
		return usage();
	if (!strcmp(argv[2], "synthetic")) {
		synthetic.entries = strtoull(argv[3], NULL, 10);
		synthetic.changes = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
		if (fsmeta_synthetic_open(&cursor, &synthetic, &error) < 0)
			die();
		write_stream(argv[1], cursor, NULL);
	} else {
		edit.judge = find_judge(argv[2]);
		if (!edit.judge)
			return usage();
		count(&edit, argv[3]);
		cursor = open_stream(argv[3]);
		write_stream(argv[1], cursor, &edit);
	}
	fsmeta_cursor_close(cursor);
	fsmeta_buffer_release(&path);
	return 0;
}
