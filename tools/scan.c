/*
 * fsmeta scan: a live tree into a stream, a database, or both in one pass.
 *
 *     live tree ── progress ── tee ──► update (database) ── commit
 *                               └────► stream writer ──────┘  │
 *                                      delta ──── prepared ───┴── named
 *
 * What is written beside a database is on the disk before that commits, and a delta
 * gets its name after it: docs/decisions/0003.
 */
#include "base/path.h"
#include "format/stream.h"
#include "scanner/scanner.h"
#include "tools/command.h"
#include "tools/delta.h"
#include "tools/hashing.h"
#include "tools/hidden.h"
#include "tools/keep.h"
#include "tools/progress.h"
#include "tools/quick.h"
#include "tools/reading.h"
#include "tools/summary.h"
#include "tools/update.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum option_key {
	OPTION_DB = 0x100,
	OPTION_DELTA,
	OPTION_FIELDS,
	OPTION_SOURCE_ID,
	OPTION_CROSS_FILESYSTEMS,
	OPTION_SUBTREE,
	OPTION_EXCLUDE,
	OPTION_PROGRESS,
	OPTION_ACCEPT_EMPTY,
	OPTION_ACCEPT_OTHER_FILESYSTEM,
	OPTION_ACCEPT_REMOVED,
	OPTION_NO_MOVES,
	OPTION_MAX_REMOVED,
	OPTION_INDEX,
	OPTION_HASH,
	OPTION_REHASH_OLDEST,
	OPTION_MAX_HASH_RATE,
	OPTION_QUICK,
	OPTION_SETTLE,
	OPTION_FULL_EVERY,
	OPTION_FORCE_QUICK,
};

struct scan_arguments {
	const char *folder;
	const char *output;
	const char *db;
	/** Where to write what leads to the new generation, NULL = nowhere. */
	const char *delta;
	/** As the scanner takes them; *owned*. */
	char **subtrees;
	/** *Owned*, the texts are the command line's. */
	const char **excludes;
	enum fsmeta_progress_when progress;
	bool quiet;
	struct fsmeta_stream_writer_options stream;
	struct fsmeta_scan_options scan;
	struct fsmeta_update_options update;
	/** Without --hash what is known stays, unless the fields that are asked for say no. */
	bool has_hash;
	bool has_fields;
	struct fsmeta_hashing_options hashing;
	struct fsmeta_quick_options quick;
};

static const struct argp_option options[] = {
    {"output", 'o', "STREAM", 0, "Write a FsScanStream folder; - for standard output", 1},
    {"index", OPTION_INDEX, NULL, 0,
	"With -o: also write paths.idx, with which lookup says \"no such path\" at once", 1},
    {"db", OPTION_DB, "DB", 0, "Keep the scan as the next generation of this FsMetaDb", 1},
    {"delta", OPTION_DELTA, "STREAM", 0,
	"With --db: write what leads from the newest generation to this one; - for standard output",
	1},
    {"subtree", OPTION_SUBTREE, "PATH", 0,
	"Look only at PATH, relative to DIR, and at what is below it (repeatable); what lies "
	"outside "
	"stays as it was",
	2},
    {"exclude", OPTION_EXCLUDE, "GLOB", 0,
	"Leave out what matches, in gitignore's grammar rooted at DIR (repeatable, the last match "
	"decides; !GLOB takes back)",
	2},
    {"fields", OPTION_FIELDS, "LIST", 0,
	"Fields to keep: 'core', 'all' (default), or names separated by commas", 2},
    {"cross-file-systems", OPTION_CROSS_FILESYSTEMS, NULL, 0,
	"Enter file systems mounted below DIR", 2},
    {"source-id", OPTION_SOURCE_ID, "ID", 0, "Identity of this tree, instead of finding it out", 2},
    {"hash", OPTION_HASH, "ALGORITHM", 0,
	"Hash the contents of files: xxh3 or sha256; with --db only of those that are new or have "
	"another size, mtime or inode than before.  none: keep no hashes",
	2},
    {"rehash-oldest", OPTION_REHASH_OLDEST, "PERCENT", 0,
	"With --hash and --db: also read again this share of the files, those first that were not "
	"read for longest, and tell which are corrupted",
	2},
    {"max-hash-rate", OPTION_MAX_HASH_RATE, "SIZE", 0,
	"Read contents with no more than SIZE bytes a second (20M, 1GiB)", 2},
    {"quick", OPTION_QUICK, NULL, 0,
	"With --db: pass over the files of folders whose times did not move since the newest "
	"generation; what is written into an old file is not seen (see fsmeta(1))",
	2},
    {"settle", OPTION_SETTLE, "TIME", 0,
	"With --quick: look at a file again that was written to less than TIME before the last "
	"scan "
	"(15min; s, min, h, d)",
	2},
    {"full-every", OPTION_FULL_EVERY, "N", 0,
	"With --quick: make every N-th scan of the database a complete one", 2},
    {"force-quick", OPTION_FORCE_QUICK, NULL, 0,
	"Quick also on vfat, exfat and network file systems, whose folders may keep no times", 2},
    {"accept-empty", OPTION_ACCEPT_EMPTY, NULL, 0,
	"Believe that DIR is empty although the newest generation is not", 3},
    {"accept-other-filesystem", OPTION_ACCEPT_OTHER_FILESYSTEM, NULL, 0,
	"Believe that DIR lies on another file system than before", 3},
    {"accept-removed", OPTION_ACCEPT_REMOVED, NULL, 0,
	"Believe, this once, that however many entries are gone", 3},
    {"max-removed", OPTION_MAX_REMOVED, "PERCENT", 0,
	"Refuse when more of at least 1,000 entries are gone, now and from then on (at first 50%; "
	"100% = off)",
	3},
    {"no-moves", OPTION_NO_MOVES, NULL, 0,
	"What moved is removed and added, and does not keep its id", 3},
    {"progress", OPTION_PROGRESS, "WHEN", 0, "auto (default), always or never", 4},
    {"quiet", 'q', NULL, 0, "No closing line", 4},
    {0},
};

/**
 * `text` as the scanner wants it, *new*: without the slashes and "./" that a shell's
 * completion leaves.  Wrong ones do not return.
 */
static char *parse_subtree(const char *text, struct argp_state *state)
{
	size_t length = 0, size = strlen(text);
	char *path = malloc(size + 1);

	if (!path)
		argp_failure(state, FSMETA_EXIT_FAILED, ENOMEM, "--subtree");
	if (*text == '/')
		argp_error(state, "--subtree: '%s' is absolute; it is taken relative to DIR", text);
	while (*text) {
		size_t name = strcspn(text, "/");

		if (name > 0 && !(name == 1 && *text == '.')) {
			if (length > 0)
				path[length++] = '/';
			memcpy(path + length, text, name);
			length += name;
		}
		text += name + (text[name] == '/');
	}
	path[length] = '\0';
	if (length == 0)
		argp_error(state, "--subtree: without it all of DIR is looked at");
	if (!fsmeta_path_is_valid(path, length))
		argp_error(state, "--subtree: '%s' is no path below DIR (no '..')", path);
	return path;
}

static void *grow(void *array, size_t count, struct argp_state *state)
{
	void *grown = reallocarray(array, count + 1, sizeof(char *));

	if (!grown)
		argp_failure(state, FSMETA_EXIT_FAILED, ENOMEM, "reading the command line");
	return grown;
}

static void add_subtree(
    struct scan_arguments *arguments, const char *text, struct argp_state *state)
{
	size_t count = arguments->scan.subtree_count;

	arguments->subtrees = grow(arguments->subtrees, count, state);
	arguments->subtrees[count] = parse_subtree(text, state);
	arguments->scan.subtree_count = count + 1;
}

static void add_exclude(
    struct scan_arguments *arguments, const char *text, struct argp_state *state)
{
	size_t count = arguments->scan.exclude_count;

	if (!*text)
		argp_error(state, "--exclude: an empty pattern matches nothing");
	arguments->excludes = grow(arguments->excludes, count, state);
	arguments->excludes[count] = text;
	arguments->scan.exclude_count = count + 1;
}

static void arguments_release(struct scan_arguments *arguments)
{
	for (size_t i = 0; i < arguments->scan.subtree_count; i++)
		free(arguments->subtrees[i]);
	free(arguments->subtrees);
	free(arguments->excludes);
}

static void check_hash_options(const struct scan_arguments *arguments, struct argp_state *state)
{
	const uint32_t needed = FSMETA_FIELD_SIZE | FSMETA_FIELD_MTIME;
	const struct fsmeta_hashing_options *hashing = &arguments->hashing;

	if ((hashing->rehash_percent > 0 || hashing->max_rate) && !hashing->algorithm)
		argp_error(state, "--rehash-oldest and --max-hash-rate need --hash xxh3 or sha256");
	if (hashing->rehash_percent > 0 && !arguments->db)
		argp_error(state, "--rehash-oldest needs --db, which knows when a file was read");
	if (hashing->algorithm && arguments->has_fields &&
	    (arguments->scan.field_mask & needed) != needed)
		argp_error(state, "--hash needs size and mtime among the --fields: they tell what "
				  "has to be read");
}

static void check_usage(const struct scan_arguments *arguments, struct argp_state *state)
{
	const struct fsmeta_quick_options *quick = &arguments->quick;

	if (!arguments->folder)
		argp_error(state, "which folder?");
	check_hash_options(arguments, state);
	if (!arguments->output && !arguments->db)
		argp_error(state,
		    "where to? -o STREAM writes a stream, --db DB keeps a generation "
		    "(fsmeta ls %s only lists)",
		    arguments->folder);
	if (arguments->stream.with_path_index && !arguments->output)
		argp_error(state, "--index needs -o: it stands beside a stream");
	if (arguments->delta && !arguments->db)
		argp_error(state, "--delta needs --db: it leads from one generation of a "
				  "database to the next");
	if (arguments->delta && arguments->output &&
	    strcmp(arguments->delta, arguments->output) == 0)
		argp_error(state, "-o and --delta cannot write to the same place");
	if (quick->wanted && !arguments->db)
		argp_error(state, "--quick needs --db: it leaves out what the newest generation "
				  "knows");
	if (quick->wanted && arguments->output)
		argp_error(state, "--quick writes no stream, in which all that it leaves out would "
				  "be missing (export writes one of the generation)");
	if (quick->wanted && arguments->hashing.algorithm)
		argp_error(state,
		    "--quick looks at no file whose content --hash is to read: only a "
		    "complete scan takes hashes");
}

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct scan_arguments *arguments = state->input;
	struct fsmeta_error error;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &arguments->scan;
		return 0;
	case 'o':
		arguments->output = text;
		return 0;
	case OPTION_DELTA:
		arguments->delta = text;
		return 0;
	case OPTION_INDEX:
		arguments->stream.with_path_index = true;
		return 0;
	case OPTION_DB:
		arguments->db = text;
		return 0;
	case OPTION_HASH:
		arguments->has_hash = true;
		if (!fsmeta_hash_algorithm_from_name(&arguments->hashing.algorithm, text))
			argp_error(state, "--hash: '%s' is none of xxh3, sha256, none", text);
		return 0;
	case OPTION_REHASH_OLDEST:
		if (!fsmeta_percent_parse(&arguments->hashing.rehash_percent, text))
			argp_error(state,
			    "--rehash-oldest: '%s' is no percentage from 0%% to 100%%", text);
		return 0;
	case OPTION_MAX_HASH_RATE:
		if (!fsmeta_size_parse(&arguments->hashing.max_rate, text) ||
		    !arguments->hashing.max_rate)
			argp_error(
			    state, "--max-hash-rate: '%s' is no size like 20M or 1GiB", text);
		return 0;
	case OPTION_FIELDS:
		arguments->has_fields = true;
		if (fsmeta_fields_parse(&arguments->scan.field_mask, text, &error) < 0)
			argp_error(state, "--fields: %s", error.reason);
		return 0;
	case OPTION_CROSS_FILESYSTEMS:
		arguments->scan.cross_filesystems = true;
		return 0;
	case OPTION_SOURCE_ID:
		if (!*text)
			argp_error(state, "--source-id: an identity has at least one character");
		arguments->scan.source_id = text;
		return 0;
	case OPTION_SUBTREE:
		add_subtree(arguments, text, state);
		return 0;
	case OPTION_EXCLUDE:
		add_exclude(arguments, text, state);
		return 0;
	case OPTION_ACCEPT_EMPTY:
		arguments->update.accept_empty = true;
		return 0;
	case OPTION_ACCEPT_OTHER_FILESYSTEM:
		arguments->update.accept_other_filesystem = true;
		return 0;
	case OPTION_NO_MOVES:
		arguments->update.no_moves = true;
		return 0;
	case OPTION_ACCEPT_REMOVED:
		arguments->update.accept_removed = true;
		return 0;
	case OPTION_MAX_REMOVED:
		arguments->update.has_max_removed = true;
		if (!fsmeta_percent_parse(&arguments->update.max_removed_percent, text))
			argp_error(
			    state, "--max-removed: '%s' is no percentage from 0%% to 100%%", text);
		return 0;
	case OPTION_PROGRESS:
		fsmeta_progress_take(&arguments->progress, text, state);
		return 0;
	case 'q':
		arguments->quiet = true;
		return 0;
	case OPTION_FORCE_QUICK:
		arguments->quick.force = true;
		arguments->quick.wanted = true;
		return 0;
	case OPTION_QUICK:
		arguments->quick.wanted = true;
		return 0;
	case OPTION_SETTLE:
		if (!fsmeta_settle_parse(&arguments->quick.settle_seconds, text))
			argp_error(
			    state, "--settle: '%s' is no time like 90s, 15min, 2h or 1d", text);
		return 0;
	case OPTION_FULL_EVERY:
		if (!fsmeta_keep_parse_count(&arguments->quick.full_every, text) ||
		    !arguments->quick.full_every)
			argp_error(state, "--full-every: '%s' is no number from 1 on", text);
		return 0;
	case ARGP_KEY_ARG:
		if (arguments->folder)
			argp_error(
			    state, "one folder is scanned at a time, and '%s' is the second", text);
		arguments->folder = text;
		return 0;
	case ARGP_KEY_END:
		check_usage(arguments, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {FSMETA_READING_CHILD(2), {0}};

static const struct argp argp = {options, parse_option, "DIR",
    "Scan the folder DIR, depth first in alphabetical order, into a stream, a database, or both."
    "\vSymbolic links are never followed, and other file systems are not entered unless asked. "
    "What cannot be read is recorded as unreadable, never as gone; the exit status is then 2.",
    children, NULL, NULL};

/* ---- the scan --------------------------------------------------------------- */

/*
 * Entries of the newest generation, for the time left; 0 if there is none.  A quick scan hands
 * out folders and little else.
 */
static uint64_t expected_entries(struct fsmeta_db *db, bool quick)
{
	struct fsmeta_db_generation generation;
	uint64_t number, entries;

	if (!db || fsmeta_db_newest(db, &number, NULL) < 0 || number == 0 ||
	    fsmeta_db_generation(db, number, &generation, NULL) < 0)
		return 0;
	entries = quick ? generation.source.totals.folders : generation.source.totals.entries;
	fsmeta_db_generation_release(&generation);
	return entries;
}

static int drain(struct fsmeta_cursor *cursor, struct fsmeta_error *error)
{
	const struct fsmeta_entry *entry;
	int status;

	do
		status = fsmeta_cursor_next(cursor, &entry, error);
	while (status > 0);
	return status;
}

/** Everything a scan holds while it runs. */
struct scan_state {
	const struct scan_arguments *arguments;
	struct fsmeta_hidden hidden;
	struct fsmeta_db *db;
	/** NULL = the scan is complete. */
	struct fsmeta_guide *guide;
	struct fsmeta_cursor *cursor;
	/** *Borrowed* from the cursor; NULL = none. */
	struct fsmeta_hashing *hashing;
	struct fsmeta_stream_output *output;
	struct fsmeta_stream_summary stream;
	struct fsmeta_delta_output *delta;
	struct fsmeta_delta_summary delta_summary;
	bool has_generation;
	struct fsmeta_db_generation generation;
};

static int commit_stream(struct scan_state *state, struct fsmeta_error *error)
{
	struct fsmeta_stream_output *output = state->output;

	state->output = NULL;
	return output ? fsmeta_stream_output_commit(output, &state->stream, error) : 0;
}

/** A delta has something to start from, or none is begun. */
static int check_delta_base(struct scan_state *state, struct fsmeta_error *error)
{
	uint64_t newest;
	int status = fsmeta_db_newest(state->db, &newest, error);

	if (status < 0 || newest)
		return status;
	return fsmeta_error_set(error, FSMETA_E_REFUSED, state->arguments->db, "writing a delta",
	    "there is no generation to start from yet; -o writes the whole scan");
}

/**
 * Makes the delta within the transaction, so that it is what export --since will write, and
 * a full disk leaves the database as it was.
 */
static int prepare_delta(
    struct scan_state *state, struct fsmeta_db_update *update, struct fsmeta_error *error)
{
	struct fsmeta_db_generation generation;
	uint64_t number;
	int status = fsmeta_db_newest(state->db, &number, error);

	if (status < 0)
		return status;
	status = fsmeta_db_generation(state->db, number, &generation, error);
	if (status < 0)
		return status;
	status = fsmeta_delta_prepare(&state->delta, state->db, update, generation.base, number,
	    state->arguments->delta, error);
	fsmeta_db_generation_release(&generation);
	return status;
}

static int before_commit(void *payload, struct fsmeta_db_update *update, struct fsmeta_error *error)
{
	struct scan_state *state = payload;
	int status = fsmeta_hashing_note_contents(state->hashing, update, error);

	/* Its snapshot would keep a database without a write-ahead log from being committed. */
	fsmeta_guide_close(state->guide);
	state->guide = NULL;
	if (status >= 0 && state->arguments->delta)
		status = prepare_delta(state, update, error);
	return status < 0 ? status : commit_stream(state, error);
}

/** Gives the delta its name, now that the generation that it leads to is in. */
static int commit_delta(struct scan_state *state, struct fsmeta_error *error)
{
	struct fsmeta_delta_output *output = state->delta;
	int status = 0;

	state->delta = NULL;
	if (output)
		status = fsmeta_delta_output_commit(output, &state->delta_summary, error);
	if (status < 0)
		fsmeta_note(state->arguments->db,
		    "note: generation %" PRIu64 " is in; export --since %" PRIu64
		    " writes its delta",
		    state->generation.number, state->generation.base);
	return status;
}

static int open_outputs(struct scan_state *state, struct fsmeta_error *error)
{
	const struct scan_arguments *arguments = state->arguments;
	int status = 0;

	if (arguments->output && strcmp(arguments->output, "-") != 0)
		status = fsmeta_hide_output(&state->hidden, arguments->output, false, error);
	if (status >= 0 && arguments->db)
		status = fsmeta_hide_output(&state->hidden, arguments->db, true, error);
	if (status >= 0 && arguments->db)
		status = fsmeta_db_open(&state->db, arguments->db, FSMETA_DB_WRITE, error);
	if (status >= 0 && arguments->delta && strcmp(arguments->delta, "-") != 0)
		status = fsmeta_hide_output(&state->hidden, arguments->delta, false, error);
	if (status >= 0 && arguments->delta)
		status = check_delta_base(state, error);
	return status;
}

/** Puts the hashes in, of what is read now and of what is known. */
static int add_hashes(struct scan_state *state, struct fsmeta_error *error)
{
	const struct scan_arguments *arguments = state->arguments;
	struct fsmeta_hashing_options options_now = arguments->hashing;
	bool wants_known = !arguments->has_fields || arguments->scan.field_mask & FSMETA_FIELD_HASH;

	if (!options_now.algorithm && (arguments->has_hash || !wants_known))
		return 0;
	/* The newest generation has none, or the scan would not be quick. */
	if (state->guide)
		return 0;
	options_now.root = arguments->folder;
	options_now.db = state->db;
	options_now.db_path = arguments->db;
	options_now.threads = arguments->scan.threads;
	options_now.no_moves = arguments->update.no_moves;
	options_now.stop = &fsmeta_stop_signal;
	return fsmeta_hashing_wrap(&state->hashing, &state->cursor, &options_now, error);
}

static int open_tree(struct scan_state *state, struct fsmeta_error *error)
{
	const struct scan_arguments *arguments = state->arguments;
	struct fsmeta_scan_options options_now = arguments->scan;
	struct fsmeta_cursor *tee;
	int status;

	options_now.subtrees = (const char *const *)arguments->subtrees;
	options_now.excludes = arguments->excludes;
	options_now.hidden = state->hidden.items;
	options_now.hidden_count = state->hidden.count;
	options_now.stop = &fsmeta_stop_signal;
	status = fsmeta_quick_open(
	    &state->guide, state->db, arguments->db, &options_now, &arguments->quick, error);
	if (status < 0)
		return status;
	options_now.guide = state->guide;
	options_now.force_quick = arguments->quick.force;
	status = fsmeta_scan_open(&state->cursor, arguments->folder, &options_now, error);
	if (status >= 0)
		status = add_hashes(state, error);
	if (status >= 0)
		status = fsmeta_progress_wrap(&state->cursor, arguments->progress, "scanning",
		    expected_entries(state->db, state->guide != NULL), error);
	if (status < 0 || !arguments->output)
		return status;
	status = fsmeta_stream_output_new(
	    &state->output, arguments->output, state->cursor->source, &arguments->stream, error);
	if (status < 0)
		return status;
	status = fsmeta_cursor_tee(&tee, state->cursor,
	    fsmeta_stream_writer_sink(fsmeta_stream_output_writer(state->output)), error);
	/* Stolen in any case. */
	state->cursor = status >= 0 ? tee : NULL;
	return status;
}

static int read_tree(struct scan_state *state, struct fsmeta_error *error)
{
	struct fsmeta_update_options update = state->arguments->update;
	int status;

	if (!state->db) {
		status = drain(state->cursor, error);
		return status < 0 ? status : commit_stream(state, error);
	}
	update.quick = state->guide != NULL;
	update.before_commit = before_commit;
	update.before_commit_payload = state;
	status = fsmeta_update_database(
	    &state->generation, state->db, state->arguments->db, state->cursor, &update, error);
	state->has_generation = status >= 0;
	return status < 0 ? status : commit_delta(state, error);
}

static void print_summary(const struct scan_state *state)
{
	const struct scan_arguments *arguments = state->arguments;

	if (arguments->quiet)
		return;
	fsmeta_print_unreadable(state->cursor->source);
	if (arguments->output)
		fsmeta_print_stream_summary(
		    arguments->output, state->cursor->source, &state->stream, true);
	if (state->has_generation)
		fsmeta_print_generation_summary(arguments->db, &state->generation);
	if (arguments->delta)
		fsmeta_print_delta_summary(arguments->delta, state->generation.base,
		    state->generation.number, &state->delta_summary);
}

/**
 * Says which sub-trees are not there.  That is a finding like any other and may be
 * just what somebody wants to record, but it is also what a slip of the pen looks like.
 */
static void note_missing_subtrees(const struct scan_arguments *arguments)
{
	struct open_how how = {
	    .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
	    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	int root = arguments->scan.subtree_count
		       ? open(arguments->folder, O_PATH | O_DIRECTORY | O_CLOEXEC)
		       : -1;

	for (size_t i = 0; root >= 0 && i < arguments->scan.subtree_count; i++) {
		long fd = syscall(SYS_openat2, root, arguments->subtrees[i], &how, sizeof(how));

		if (fd >= 0)
			close((int)fd);
		else if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
			fsmeta_note(arguments->subtrees[i], "note: this sub-tree is not there");
	}
	if (root >= 0)
		close(root);
}

/** Corruption is damage that was found, as by `check`. */
static int judge(const struct scan_state *state)
{
	struct fsmeta_hashing_counts counts;

	fsmeta_hashing_count(state->hashing, &counts);
	if (state->cursor->source->unreadable.total || counts.unreadable)
		return FSMETA_EXIT_PARTIAL;
	return counts.corrupted ? FSMETA_EXIT_CHANGES : FSMETA_EXIT_OK;
}

int fsmeta_command_scan(int argc, char **argv)
{
	struct scan_arguments arguments;
	struct scan_state state;
	struct fsmeta_error error;
	int status;

	memset(&arguments, 0, sizeof(arguments));
	memset(&state, 0, sizeof(state));
	fsmeta_error_clear(&error);
	fsmeta_update_options_init(&arguments.update);
	fsmeta_quick_options_init(&arguments.quick);
	fsmeta_arguments(&argp, argc, argv, &arguments);

	state.arguments = &arguments;
	status = open_outputs(&state, &error);
	if (status >= 0)
		status = open_tree(&state, &error);
	if (status >= 0)
		status = read_tree(&state, &error);
	fsmeta_hashing_report(state.hashing, arguments.quiet || status < 0);
	if (status >= 0) {
		note_missing_subtrees(&arguments);
		print_summary(&state);
		fsmeta_hashing_committed(state.hashing);
		status = judge(&state);
	}
	if (status < 0)
		status = fsmeta_report(&error);
	if (state.has_generation)
		fsmeta_db_generation_release(&state.generation);
	fsmeta_stream_output_abort(state.output);
	fsmeta_delta_output_abort(state.delta);
	fsmeta_cursor_close(state.cursor);
	fsmeta_guide_close(state.guide);
	fsmeta_db_close(state.db);
	fsmeta_hidden_release(&state.hidden);
	arguments_release(&arguments);
	return status;
}
