/*
 * fsmeta archive sweep: takes away what an archive does not need.
 *
 *     survey -> the roots of frame stores and of FSV below the folder
 *     frame store   deletions that a crash stopped go on; frames that no task needs go
 *     --budget      FSV: the oldest files of all streams; frames: those used longest ago
 *
 * A folder of frames without tasks.db is not a store of ours: nobody says there what is needed, so
 * nothing is taken.
 */
#include "archive/frame_store.h"
#include "archive/fsv.h"
#include "base/text.h"
#include "tools/archive.h"
#include "tools/archive_policy.h"
#include "tools/archive_roots.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/summary.h"

#include <stdio.h>
#include <string.h>

enum option_key {
	OPTION_FORMAT = 0x100,
	OPTION_BUDGET,
	OPTION_ORPHANS,
};

struct sweep_arguments {
	const char *operand;
	enum fsmeta_output_format format;
	bool dry_run;
	bool has_budget;
	uint64_t budget;
	int64_t orphan_us;
};

static const struct argp_option options[] = {
    {"budget", OPTION_BUDGET, "SIZE", 0,
	"Most that the archive may hold: from 99 % on the oldest goes until it is below 98 %", 1},
    {"unneeded-for", OPTION_ORPHANS, "TIME", 0,
	"How old a frame without any task must be (default: 1h)", 1},
    {"dry-run", 'n', NULL, 0, "Tell what would go, and change nothing", 1},
    {"format", OPTION_FORMAT, "FORMAT", 0, "text (default) or jsonl", 1},
    {0},
};

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct sweep_arguments *arguments = state->input;

	switch (key) {
	case OPTION_BUDGET:
		arguments->has_budget = true;
		if (!fsmeta_size_parse(&arguments->budget, text) || !arguments->budget)
			argp_error(
			    state, "--budget: '%s' is no size, as 500GB, 2TB or 1TiB are", text);
		return 0;
	case OPTION_ORPHANS:
		if (!fsmeta_duration_parse(&arguments->orphan_us, text) || !arguments->orphan_us)
			argp_error(
			    state, "--unneeded-for: '%s' is no time, as 10m, 1h or 2d are", text);
		return 0;
	case 'n':
		arguments->dry_run = true;
		return 0;
	case OPTION_FORMAT:
		fsmeta_output_format_take(&arguments->format, text, FSMETA_OUTPUT_LINES, state);
		return 0;
	case ARGP_KEY_ARG:
		if (arguments->operand)
			argp_error(state, "one archive at a time, and '%s' is the second", text);
		arguments->operand = text;
		return 0;
	case ARGP_KEY_END:
		if (!arguments->operand)
			argp_error(state, "sweep what?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp sweep_argp = {options, parse_option, "ARCHIVE",
    "Take away what the live folder ARCHIVE does not need: of frame stores (folders with tasks.db) "
    "frames whose deletion a crash stopped and frames that no task needs; with --budget also the "
    "oldest files of FSV, across its streams, and the frames that were used longest ago and that "
    "no task needs."
    "\vAn archive to which a recorder writes is refused, as the recorder keeps its budget itself; "
    "so is a --budget for more than one archive. Nothing else is ever deleted.",
    NULL, NULL, NULL};

/** What came of one archive. */
struct outcome {
	const char *root;
	/** FSV or FRAMES. */
	enum fsmeta_layout layout;
	/** Files of FSV. */
	uint64_t files;
	uint64_t bytes;
	/** INT64_MAX where none stays. */
	int64_t kept_from_ms;
	struct fsmeta_frame_store_swept swept;
	uint64_t trimmed;
};

struct sweep {
	const struct sweep_arguments *arguments;
	struct fsmeta_archive_live live;
	struct fsmeta_archive_roots stores;
	struct fsmeta_archive_roots archives;
	struct fsmeta_buffer line;
};

/* ---- telling ---- */

static int append_kept(struct fsmeta_buffer *out, int64_t kept_from_ms)
{
	char text[FSMETA_TIME_TEXT_BYTES];

	if (kept_from_ms == INT64_MAX)
		return 0;
	fsmeta_time_format(text, fsmeta_time_from_us(kept_from_ms * 1000));
	return fsmeta_buffer_append_format(out, "; it goes back to %.19sZ", text);
}

static int append_text(struct fsmeta_buffer *out, const struct outcome *outcome, bool dry_run)
{
	const char *verb = dry_run ? "would go" : "went";
	int code = fsmeta_buffer_append_format(out, "%-9s  ", fsmeta_layout_name(outcome->layout));

	if (!code)
		code = fsmeta_text_append_quoted(out, outcome->root, strlen(outcome->root));
	if (!code)
		code = fsmeta_buffer_append_text(out, ": ");
	if (!code && outcome->layout == FSMETA_LAYOUT_FRAMES)
		return fsmeta_buffer_append_format(out,
		    "%llu unneeded, %llu half deleted and %llu beyond the budget %s\n",
		    (unsigned long long)outcome->swept.orphans,
		    (unsigned long long)outcome->swept.finished,
		    (unsigned long long)outcome->trimmed, verb);
	if (!code)
		code = fsmeta_buffer_append_format(out, "%llu file%s, ",
		    (unsigned long long)outcome->files, outcome->files == 1 ? "" : "s");
	if (!code)
		code = fsmeta_text_append_size(out, outcome->bytes);
	if (!code)
		code = fsmeta_buffer_append_format(out, " %s", verb);
	if (!code)
		code = append_kept(out, outcome->kept_from_ms);
	return code ? code : fsmeta_buffer_append_byte(out, '\n');
}

static int append_json(struct fsmeta_buffer *out, const struct outcome *outcome, bool dry_run)
{
	int code = fsmeta_buffer_append_format(
	    out, "{\"layout\":\"%s\",", fsmeta_layout_name(outcome->layout));

	if (!code)
		code = fsmeta_archive_append_path(out, outcome->root, strlen(outcome->root));
	if (!code && outcome->layout == FSMETA_LAYOUT_FRAMES)
		code = fsmeta_buffer_append_format(out,
		    ",\"unneeded\":%llu,\"half_deleted\":%llu,\"beyond_budget\":%llu",
		    (unsigned long long)outcome->swept.orphans,
		    (unsigned long long)outcome->swept.finished,
		    (unsigned long long)outcome->trimmed);
	else if (!code)
		code = fsmeta_buffer_append_format(out, ",\"files\":%llu,\"bytes\":%llu",
		    (unsigned long long)outcome->files, (unsigned long long)outcome->bytes);
	return code ? code
		    : fsmeta_buffer_append_format(
			  out, ",\"dry_run\":%s}\n", dry_run ? "true" : "false");
}

static int tell(struct sweep *sweep, const struct outcome *outcome, struct fsmeta_error *error)
{
	bool dry_run = sweep->arguments->dry_run;

	fsmeta_buffer_clear(&sweep->line);
	if (sweep->arguments->format == FSMETA_OUTPUT_JSONL
		? append_json(&sweep->line, outcome, dry_run)
		: append_text(&sweep->line, outcome, dry_run))
		return fsmeta_error_set_memory(error, "sweeping");
	if (fwrite(sweep->line.data, 1, sweep->line.length, stdout) != sweep->line.length)
		return fsmeta_flush_output(error);
	return 0;
}

/* ---- doing ---- */

static int sweep_store(
    struct sweep *sweep, const char *root, const char *path, struct fsmeta_error *error)
{
	const struct fsmeta_frame_store_options store_options = {
	    .orphan_us = sweep->arguments->orphan_us,
	    .dry_run = sweep->arguments->dry_run,
	    .track_use = true,
	};
	struct outcome outcome = {.root = root, .layout = FSMETA_LAYOUT_FRAMES};
	struct fsmeta_frame_store *store;
	int code = fsmeta_frame_store_open(&store, path, &store_options, error);

	if (code)
		return code;
	code = fsmeta_frame_store_sweep(store, &outcome.swept, error);
	if (!code && sweep->arguments->has_budget)
		code = fsmeta_frame_store_trim(
		    store, sweep->arguments->budget, &outcome.trimmed, error);
	fsmeta_frame_store_close(store);
	return code ? code : tell(sweep, &outcome, error);
}

static int plan_archive(struct fsmeta_fsv *fsv, struct outcome *outcome, struct fsmeta_error *error)
{
	struct fsmeta_fsv_plan plan;
	int code = fsmeta_fsv_plan_roll_over(fsv, &plan, error);

	outcome->files = plan.files;
	outcome->bytes = plan.bytes;
	outcome->kept_from_ms = plan.kept_from_ms;
	return code;
}

/** What went is what the archive counted: its own thread may have been first. */
static int roll_over(struct fsmeta_fsv *fsv, struct outcome *outcome, struct fsmeta_error *error)
{
	struct fsmeta_fsv_info info;
	uint64_t ignored;
	int code = fsmeta_fsv_roll_over(fsv, &ignored, error);

	fsmeta_fsv_information(fsv, &info);
	outcome->files = info.rolled_over;
	outcome->bytes = info.rolled_over_bytes;
	outcome->kept_from_ms = info.start_ms;
	return code;
}

static int sweep_archive(
    struct sweep *sweep, const char *root, const char *path, struct fsmeta_error *error)
{
	const struct fsmeta_fsv_options fsv_options = {
	    .writable = !sweep->arguments->dry_run,
	    .budget_bytes = sweep->arguments->budget,
	};
	struct outcome outcome = {.root = root, .layout = FSMETA_LAYOUT_FSV};
	struct fsmeta_fsv *fsv;
	int code = fsmeta_fsv_open(&fsv, path, &fsv_options, error);

	if (code)
		return code;
	code = sweep->arguments->dry_run ? plan_archive(fsv, &outcome, error)
					 : roll_over(fsv, &outcome, error);
	if (code)
		fsmeta_fsv_close(fsv, NULL);
	else
		code = fsmeta_fsv_close(fsv, error);
	return code ? code : tell(sweep, &outcome, error);
}

/** What sweeps ROOT, told by its name, at the path under which it is open. */
typedef int sweep_root(
    struct sweep *sweep, const char *root, const char *path, struct fsmeta_error *error);

static int sweep_opened(
    struct sweep *sweep, const char *root, sweep_root *act, struct fsmeta_error *error)
{
	struct fsmeta_stream_folder folder;
	int code = fsmeta_archive_live_open_root(&folder, &sweep->live, root, error);

	if (!code)
		code = act(sweep, root, folder.path, error);
	if (code)
		fsmeta_stream_folder_name(error, root);
	fsmeta_stream_folder_close(&folder);
	return code;
}

/* ---- finding ---- */

static int take_stream(
    void *payload, const struct fsmeta_archive_stream *stream, struct fsmeta_error *error)
{
	struct sweep *sweep = payload;
	int code = fsmeta_check_stop(error);

	/* Halves of pieces are no licence to change a folder. */
	if (code || !stream->pieces)
		return code;
	if (stream->layout == FSMETA_LAYOUT_FRAMES)
		code = fsmeta_archive_roots_add(&sweep->stores, sweep->live.operand.path, stream);
	else if (stream->layout == FSMETA_LAYOUT_FSV && sweep->arguments->has_budget)
		code = fsmeta_archive_roots_add(&sweep->archives, sweep->live.operand.path, stream);
	return code ? fsmeta_error_set_memory(error, "sweeping") : 0;
}

/** Keeps the folders that are stores; the one that was named is one without any frame, too. */
static int choose_stores(struct fsmeta_archive_roots *stores,
    const struct fsmeta_archive_roots *found, const char *folder, struct fsmeta_error *error)
{
	int code = 0;

	if (fsmeta_archive_has_file(folder, FSMETA_FRAME_STORE_TASKS))
		code = fsmeta_archive_roots_add_path(stores, folder);
	for (size_t i = 0; i < found->count && !code; i++) {
		if (fsmeta_archive_has_file(found->items[i], FSMETA_FRAME_STORE_TASKS))
			code = fsmeta_archive_roots_add_path(stores, found->items[i]);
		else
			fsmeta_note(found->items[i],
			    "its frames stay, as there is no tasks.db that tells what is needed");
	}
	return code ? fsmeta_error_set_memory(error, "sweeping") : 0;
}

static int sweep_all(
    struct sweep *sweep, const struct fsmeta_archive_roots *stores, struct fsmeta_error *error)
{
	int code = 0;

	if (sweep->arguments->has_budget && stores->count + sweep->archives.count > 1)
		return fsmeta_error_set(error, FSMETA_E_REFUSED, sweep->arguments->operand,
		    "keeping a budget",
		    "it holds %zu archives, and one budget cannot be for all of them; name one",
		    stores->count + sweep->archives.count);
	if (!stores->count && !sweep->archives.count)
		fsmeta_note(sweep->arguments->operand, "there is nothing to sweep");
	for (size_t i = 0; i < stores->count && !code; i++)
		code = sweep_opened(sweep, stores->items[i], sweep_store, error);
	for (size_t i = 0; i < sweep->archives.count && !code; i++)
		code = sweep_opened(sweep, sweep->archives.items[i], sweep_archive, error);
	return code;
}

static int sweep(const struct sweep_arguments *arguments, struct fsmeta_error *error)
{
	struct sweep sweeping = {.arguments = arguments};
	struct fsmeta_archive_roots stores = {0};
	int code = fsmeta_archive_live_open(&sweeping.live, arguments->operand, error);

	if (!code)
		code = fsmeta_archive_live_survey(&sweeping.live, take_stream, error, &sweeping);
	if (!code)
		code = choose_stores(&stores, &sweeping.stores, sweeping.live.operand.path, error);
	if (!code)
		code = sweep_all(&sweeping, &stores, error);
	if (!code)
		code = fsmeta_flush_output(error);
	fsmeta_archive_live_release(&sweeping.live);
	fsmeta_archive_roots_release(&stores);
	fsmeta_archive_roots_release(&sweeping.stores);
	fsmeta_archive_roots_release(&sweeping.archives);
	fsmeta_buffer_release(&sweeping.line);
	if (code)
		return code;
	return sweeping.live.is_partial ? FSMETA_EXIT_PARTIAL : FSMETA_EXIT_OK;
}

int fsmeta_archive_command_sweep(int argc, char **argv)
{
	struct sweep_arguments arguments = {0};
	struct fsmeta_error error;
	int status;

	fsmeta_error_clear(&error);
	fsmeta_arguments(&sweep_argp, argc, argv, &arguments);
	status = sweep(&arguments, &error);
	return status < 0 ? fsmeta_report(&error) : status;
}
