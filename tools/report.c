/*
 * fsmeta report: one page of HTML that says what happened to an archive, for people who
 * will never see a command line.
 *
 *     report_gather   what there is to say, read from the database
 *     report_tree     the largest folders, and what changed in each
 *     report_json     all that as JSON
 *     report.html     the page around it, with report.css and report.js, which is what
 *                     makes charts and lists of the JSON in the browser
 *
 * The page needs nothing but itself: no network, no other file.  It allows no script but its own,
 * and no name of a file ever becomes anything but text in it.
 */
#include "base/file.h"
#include "tools/command.h"
#include "tools/operand.h"
#include "tools/report_json.h"
#include "tools/report_page.h"

#include <string.h>
#include <unistd.h>

enum {
	/** More lines would be higher than what browsers can scroll through. */
	CHANGES_MAX = 500000,
};

enum option_key {
	OPTION_PROGRESS = 0x100,
	OPTION_LIMIT,
	OPTION_POLICY,
};

struct report_arguments {
	const char *db;
	/** The generations, NULL = not named. */
	const char *older;
	const char *newer;
	const char *output;
	uint64_t limit;
	struct fsmeta_policies policies;
	enum fsmeta_progress_when progress;
	bool quiet;
};

static const struct argp_option options[] = {
    {"output", 'o', "FILE", 0, "HTML file to write; - is standard output", 1},
    {"limit", OPTION_LIMIT, "N", 0,
	"Show at most N changes, whatever was counted (default and most: 500000)", 1},
    {"policy", OPTION_POLICY, "POLICY", 0,
	"What recorders are to keep: 'keep 30d', for all streams or for those that a pattern "
	"behind it names; repeatable. Says what was rotated out too early, or is overdue",
	1},
    {"progress", OPTION_PROGRESS, "WHEN", 0, "auto (default), always or never", 2},
    {"quiet", 'q', NULL, 0, "No closing line", 2},
    {0},
};

/** Splits "A..B", of which either may be left out; false where there are no dots. */
static bool parse_range(struct report_arguments *arguments, char *text)
{
	char *dots = strstr(text, "..");

	if (!dots)
		return false;
	*dots = '\0';
	arguments->older = *text ? text : NULL;
	arguments->newer = dots[2] ? dots + 2 : NULL;
	return true;
}

static bool parse_limit(uint64_t *out, const char *text)
{
	uint64_t value = 0;

	for (*out = 0; *text >= '0' && *text <= '9' && value <= CHANGES_MAX; text++)
		value = 10 * value + (uint64_t)(*text - '0');
	*out = value;
	return !*text && value && value <= CHANGES_MAX;
}

static error_t parse_argument(
    struct report_arguments *arguments, char *text, struct argp_state *state)
{
	if (state->arg_num >= 2)
		argp_error(
		    state, "a database and two of its generations, and '%s' is too much", text);
	if (!state->arg_num)
		arguments->db = text;
	else if (!parse_range(arguments, text))
		argp_error(state, "'%s' is not of the form A..B", text);
	return 0;
}

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct report_arguments *arguments = state->input;

	switch (key) {
	case 'o':
		arguments->output = text;
		return 0;
	case OPTION_LIMIT:
		if (!parse_limit(&arguments->limit, text))
			argp_error(
			    state, "--limit: '%s' is no number from 1 to %d", text, CHANGES_MAX);
		return 0;
	case OPTION_POLICY:
		fsmeta_policies_take_keep(&arguments->policies, text, state);
		return 0;
	case OPTION_PROGRESS:
		fsmeta_progress_take(&arguments->progress, text, state);
		return 0;
	case 'q':
		arguments->quiet = true;
		return 0;
	case ARGP_KEY_ARG:
		return parse_argument(arguments, text, state);
	case ARGP_KEY_END:
		if (!arguments->db)
			argp_error(state, "which database?");
		if (!arguments->output)
			argp_error(state, "into which file? (-o report.html)");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {options, parse_option, "DB [A..B] -o FILE",
    "Write a page of HTML that tells what changed in the FsMetaDb DB from generation A to B "
    "(default: B the newest, A the kept one before B)."
    "\vA and B are what may stand behind '@' in an operand: 7, -1, latest, {2026-11-01}; either "
    "may be "
    "left out. The page is one file without a network: it opens from a mail. It shows what came, "
    "went, "
    "changed, moved and is unknown, in entries and bytes, from A to B and over the last thirty "
    "generations; a map of the tree by size; how the archive grew; and the changes themselves, to "
    "be "
    "folded and searched.",
    NULL, NULL, NULL};

static int append_sum(struct fsmeta_buffer *out, const char *before,
    const struct fsmeta_report_sums *sums, enum fsmeta_change_kind kind)
{
	int failed = fsmeta_buffer_append_text(out, before);

	failed |= fsmeta_text_append_count(out, sums->counts[kind]);
	failed |= fsmeta_buffer_append_format(out, " %s (", fsmeta_change_kind_name(kind));
	failed |= fsmeta_text_append_size(out, sums->bytes[kind]);
	return failed | fsmeta_buffer_append_byte(out, ')');
}

/** What there is to say where no script runs, as in many a mail program.  Numbers only, no names.
 */
static int append_words(struct fsmeta_buffer *out, const struct fsmeta_report *report)
{
	const struct fsmeta_totals *totals = &report->generation.source.totals;
	const struct fsmeta_report_sums *sums = &report->sums;
	int failed = fsmeta_buffer_append_format(
	    out, "Generation %llu holds ", (unsigned long long)report->newer);

	failed |= fsmeta_text_append_size(out, totals->bytes);
	failed |= fsmeta_buffer_append_text(out, " in ");
	failed |= fsmeta_text_append_count(out, totals->files);
	failed |= fsmeta_buffer_append_text(out, totals->files == 1 ? " file." : " files.");
	if (report->older) {
		failed |= fsmeta_buffer_append_format(
		    out, " Since generation %llu: ", (unsigned long long)report->older);
		failed |= append_sum(out, "", sums, FSMETA_CHANGE_ADDED);
		failed |= append_sum(out, ", ", sums, FSMETA_CHANGE_REMOVED);
		failed |= append_sum(out, ", ", sums, FSMETA_CHANGE_MODIFIED);
		failed |= append_sum(out, ", ", sums, FSMETA_CHANGE_MOVED);
		failed |= append_sum(out, ", ", sums, FSMETA_CHANGE_CORRUPTED);
		failed |= append_sum(out, ", ", sums, FSMETA_CHANGE_UNREADABLE);
		failed |= append_sum(out, ", ", sums, FSMETA_CHANGE_UNKNOWN);
		failed |= fsmeta_buffer_append_byte(out, '.');
	}
	return failed;
}

static int write_page(struct fsmeta_report_output *output, struct fsmeta_report *report,
    uint64_t limit, struct fsmeta_error *error)
{
	struct fsmeta_buffer *out = &output->text;
	int failed =
	    fsmeta_buffer_append(out, fsmeta_report_page_before, fsmeta_report_page_before_bytes);
	int status;

	failed |= append_words(out, report);
	failed |=
	    fsmeta_buffer_append(out, fsmeta_report_page_middle, fsmeta_report_page_middle_bytes);
	status = failed ? fsmeta_error_set_memory(error, "writing the report")
			: fsmeta_report_write_json(output, report, limit, error);
	return status ? status
		      : fsmeta_write_all(output->fd, fsmeta_report_page_after,
			    fsmeta_report_page_after_bytes, output->path, error);
}

/** Writes the page into a file that appears when it is complete. */
static int write_file(const struct report_arguments *arguments, struct fsmeta_report *report,
    struct fsmeta_error *error)
{
	struct fsmeta_report_output output = {.path = arguments->output};
	struct fsmeta_replace replace = {.fd = -1};
	int status = fsmeta_operand_replace_begin(&replace, arguments->output, error);

	if (status)
		return status;
	output.fd = replace.fd;
	status = write_page(&output, report, arguments->limit, error);
	if (status)
		fsmeta_replace_abort(&replace);
	else
		status = fsmeta_replace_commit(&replace, error);
	fsmeta_report_output_release(&output);
	return status;
}

static int write_standard_output(const struct report_arguments *arguments,
    struct fsmeta_report *report, struct fsmeta_error *error)
{
	struct fsmeta_report_output output = {.fd = STDOUT_FILENO, .path = "standard output"};
	int status = write_page(&output, report, arguments->limit, error);

	fsmeta_report_output_release(&output);
	return status;
}

static void print_summary(
    const struct report_arguments *arguments, const struct fsmeta_report *report)
{
	struct fsmeta_buffer line;

	fsmeta_buffer_init(&line);
	if (report->older)
		fsmeta_buffer_append_format(&line,
		    "generation %llu to %llu: ", (unsigned long long)report->older,
		    (unsigned long long)report->newer);
	else
		fsmeta_buffer_append_format(&line,
		    "generation %llu, with none before it: ", (unsigned long long)report->newer);
	fsmeta_text_append_count(&line, report->sums.lines);
	fsmeta_buffer_append_text(&line, report->sums.lines == 1 ? " change" : " changes");
	fsmeta_note(arguments->output, "%s", fsmeta_buffer_string(&line));
	fsmeta_buffer_release(&line);
}

/** The page is written all the same, but who wrote the pattern meant something. */
static void warn_of_idle_policies(
    const struct report_arguments *arguments, const struct fsmeta_report *report)
{
	for (size_t i = 0; i < arguments->policies.count; i++) {
		const struct fsmeta_policy *policy = &arguments->policies.items[i];

		if (!fsmeta_report_archive_has(&report->archive, policy))
			fsmeta_note(arguments->db, "--policy '%s': no stream of fsv or segments %s",
			    policy->text, policy->pattern ? "fits the pattern" : "is there");
	}
}

static int run(const struct report_arguments *arguments, struct fsmeta_error *error)
{
	struct fsmeta_operand operand;
	struct fsmeta_report report;
	bool to_stdout = strcmp(arguments->output, "-") == 0;
	int status;

	memset(&report, 0, sizeof(report));
	report.archive.policies = &arguments->policies;
	status = fsmeta_operand_open_database(&operand, arguments->db, error);
	if (!status)
		status = fsmeta_report_gather(&report, operand.db, arguments->older,
		    arguments->newer, arguments->progress, error);
	if (status)
		fsmeta_error_add_path(error, operand.path);
	else
		status = to_stdout ? write_standard_output(arguments, &report, error)
				   : write_file(arguments, &report, error);
	if (!status)
		warn_of_idle_policies(arguments, &report);
	if (!status && !arguments->quiet && !to_stdout)
		print_summary(arguments, &report);
	if (!status && report.generation.source.unreadable.total)
		status = FSMETA_EXIT_PARTIAL;
	fsmeta_report_release(&report);
	fsmeta_operand_release(&operand);
	return status;
}

int fsmeta_command_report(int argc, char **argv)
{
	struct report_arguments arguments = {.limit = CHANGES_MAX};
	struct fsmeta_error error;
	int status;

	fsmeta_error_clear(&error);
	fsmeta_arguments(&argp, argc, argv, &arguments);
	status = run(&arguments, &error);
	return status < 0 ? fsmeta_report(&error) : status;
}
