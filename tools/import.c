/*
 * fsmeta import: a stream (or any other tree) as the next generation of a database.
 */
#include "tools/command.h"
#include "tools/delta.h"
#include "tools/operand.h"
#include "tools/progress.h"
#include "tools/summary.h"
#include "tools/update.h"

#include <inttypes.h>
#include <string.h>

enum option_key {
	OPTION_PROGRESS = 0x100,
	OPTION_ACCEPT_EMPTY,
	OPTION_ACCEPT_OTHER_FILESYSTEM,
	OPTION_ACCEPT_REMOVED,
	OPTION_NO_MOVES,
	OPTION_MAX_REMOVED,
};

struct import_arguments {
	const char *db;
	const char *stream;
	enum fsmeta_progress_when progress;
	bool quiet;
	struct fsmeta_update_options update;
};

static const struct argp_option options[] = {
    {"accept-empty", OPTION_ACCEPT_EMPTY, NULL, 0,
	"Believe an empty tree although the newest generation is not", 1},
    {"accept-other-filesystem", OPTION_ACCEPT_OTHER_FILESYSTEM, NULL, 0,
	"Believe that the tree lies on another file system than before", 1},
    {"accept-removed", OPTION_ACCEPT_REMOVED, NULL, 0,
	"Believe, this once, that however many entries are gone", 1},
    {"max-removed", OPTION_MAX_REMOVED, "PERCENT", 0,
	"Refuse when more of at least 1,000 entries are gone, now and from then on (at first 50%; "
	"100% = off)",
	1},
    {"no-moves", OPTION_NO_MOVES, NULL, 0,
	"What moved is removed and added, and does not keep its id", 1},
    {"progress", OPTION_PROGRESS, "WHEN", 0, "auto (default), always or never", 2},
    {"quiet", 'q', NULL, 0, "No closing line", 2},
    {0},
};

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct import_arguments *arguments = state->input;

	switch (key) {
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
	case ARGP_KEY_ARG:
		if (state->arg_num == 0)
			arguments->db = text;
		else if (state->arg_num == 1)
			arguments->stream = text;
		else
			argp_error(state,
			    "one stream is imported at a time, and '%s' is the second", text);
		return 0;
	case ARGP_KEY_END:
		if (state->arg_num < 2)
			argp_error(state, "a database and a stream are needed");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {options, parse_option, "DB STREAM",
    "Import the scan in STREAM (a folder, a file, or - for standard input) as the next generation "
    "of the FsMetaDb DB, which is made if it does not exist. A delta (export --since) goes in "
    "where "
    "DB has the generation that it starts from."
    "\vThe stream is verified to its end before anything is written, and goes in as a whole or "
    "not at all.",
    NULL, NULL, NULL};

/* What is left of a stream must not come in as a tree of its own. */
static int check_operand(const struct fsmeta_operand *operand, struct fsmeta_error *error)
{
	if (operand->kind != FSMETA_OPERAND_LIVE || operand->is_told)
		return 0;
	return fsmeta_error_set(error, FSMETA_E_FOREIGN, operand->path, "importing",
	    "it is a folder and no stream; 'fsmeta scan %s --db DB' scans it, and live: in front "
	    "imports it all the same",
	    operand->text);
}

/** What whoever scanned was told is told here as well. */
static int judge(uint64_t unreadable, const struct fsmeta_corruption *corrupted)
{
	fsmeta_corruption_report(corrupted);
	if (unreadable)
		return FSMETA_EXIT_PARTIAL;
	return corrupted->count ? FSMETA_EXIT_CHANGES : FSMETA_EXIT_OK;
}

static int import_delta(const struct import_arguments *arguments, struct fsmeta_delta *delta,
    struct fsmeta_error *error)
{
	struct fsmeta_db_generation generation;
	struct fsmeta_corruption corrupted = {0};
	struct fsmeta_db *db = NULL;
	int status = fsmeta_db_open(&db, arguments->db, FSMETA_DB_WRITE, error);

	if (status >= 0)
		status = fsmeta_delta_import(&generation, db, delta, &corrupted, error);
	if (status >= 0) {
		if (!arguments->quiet)
			fsmeta_print_generation_summary(arguments->db, &generation);
		status = judge(generation.source.unreadable.total, &corrupted);
		fsmeta_db_generation_release(&generation);
	}
	fsmeta_corruption_release(&corrupted);
	fsmeta_db_close(db);
	return status;
}

static int import(const struct import_arguments *arguments, struct fsmeta_error *error)
{
	struct fsmeta_update_options update = arguments->update;
	struct fsmeta_operand operand;
	struct fsmeta_db_generation generation;
	struct fsmeta_cursor *cursor = NULL;
	struct fsmeta_delta *delta = NULL;
	struct fsmeta_db *db = NULL;
	struct fsmeta_corruption corrupted = {0};
	uint64_t expected = 0;
	int status;

	update.corrupted = &corrupted;
	status = fsmeta_operand_parse(&operand, arguments->stream, error);
	if (status >= 0)
		status = check_operand(&operand, error);
	if (status >= 0)
		status = fsmeta_operand_open_either(&cursor, &delta, &operand, NULL, error);
	if (delta) {
		status = import_delta(arguments, delta, error);
		fsmeta_delta_close(delta);
		fsmeta_operand_release(&operand);
		return status;
	}
	if (status >= 0)
		status = fsmeta_db_open(&db, arguments->db, FSMETA_DB_WRITE, error);
	if (status >= 0) {
		expected = cursor->source->has_totals ? cursor->source->totals.entries : 0;
		status = fsmeta_progress_wrap(
		    &cursor, arguments->progress, "importing", expected, error);
	}
	if (status >= 0)
		status =
		    fsmeta_update_database(&generation, db, arguments->db, cursor, &update, error);
	if (status >= 0) {
		if (!arguments->quiet)
			fsmeta_print_generation_summary(arguments->db, &generation);
		status = judge(cursor->source->unreadable.total, &corrupted);
		fsmeta_db_generation_release(&generation);
	}
	fsmeta_corruption_release(&corrupted);
	fsmeta_cursor_close(cursor);
	fsmeta_operand_release(&operand);
	fsmeta_db_close(db);
	return status;
}

int fsmeta_command_import(int argc, char **argv)
{
	struct import_arguments arguments;
	struct fsmeta_error error;
	int status;

	memset(&arguments, 0, sizeof(arguments));
	fsmeta_error_clear(&error);
	fsmeta_update_options_init(&arguments.update);
	fsmeta_arguments(&argp, argc, argv, &arguments);
	status = import(&arguments, &error);
	return status < 0 ? fsmeta_report(&error) : status;
}
