/*
 * fsmeta archive check: does an archive do what is demanded of it?  From names, sizes and times,
 * of a tree, a stream or a generation; with --deep the pieces are opened, too.
 *
 *     cursor -> survey -> each stream -> policies -> a line each
 *                                     -> --deep: inspection -> a line each finding
 *               at the end: policies on recordings, folder by folder
 *                           the budget, and how all of it grows
 *
 * "Now" is when the scan began, so that a stream from a drive in a cupboard is judged as it was.
 */
#include "archive/inspect.h"
#include "archive/piece.h"
#include "base/text.h"
#include "tools/archive.h"
#include "tools/archive_policy.h"
#include "tools/archive_recordings.h"
#include "tools/command.h"
#include "tools/operand.h"
#include "tools/output.h"
#include "tools/reading.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum option_key {
	OPTION_FORMAT = 0x100,
	OPTION_DEEP,
	OPTION_POLICY,
};

enum {
	SECOND_US = 1000000,
	/** Of one stream that are told one by one. */
	FINDINGS_MAX = 100,
	/** A recording that nobody wrote to for so long is abandoned. */
	ABANDONED_S = 3600,
};

struct check_arguments {
	const char *operand;
	enum fsmeta_output_format format;
	bool deep;
	struct fsmeta_policies policies;
	struct fsmeta_scan_options scan;
};

static const struct argp_option options[] = {
    {"policy", OPTION_POLICY, "POLICY", 0,
	"What must hold: 'keep 90d', 'gaps 5m', 'fresh 1h', each for all streams or for those that "
	"a pattern behind it names, or 'budget 2TB' for all together; repeatable",
	1},
    {"deep", OPTION_DEEP, NULL, 0, "Open what is there and validate it; a live folder only", 1},
    {"format", OPTION_FORMAT, "FORMAT", 0, "text (default) or jsonl", 1},
    {0},
};

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct check_arguments *arguments = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &arguments->scan;
		return 0;
	case OPTION_POLICY:
		fsmeta_policies_take(&arguments->policies, text, state);
		return 0;
	case OPTION_DEEP:
		arguments->deep = true;
		return 0;
	case OPTION_FORMAT:
		fsmeta_output_format_take(&arguments->format, text, FSMETA_OUTPUT_LINES, state);
		return 0;
	case ARGP_KEY_ARG:
		if (arguments->operand)
			argp_error(state, "one operand at a time, and '%s' is the second", text);
		arguments->operand = text;
		return 0;
	case ARGP_KEY_END:
		if (!arguments->operand)
			argp_error(state, "check what?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {FSMETA_READING_CHILD(2), {0}};

static const struct argp check_argp = {options, parse_option, "OPERAND",
    "Tell of the video archives in OPERAND (a live folder, a stream, or a database at a "
    "generation) what archive info tells, and for each stream whether the policies hold, as "
    "things were when it was scanned."
    "\vkeep: it reaches back so far. gaps: none is longer. fresh: its end is no older. budget: "
    "all streams take no more; with it, how they grow, when it is full and how long it lasts. "
    "Durations: s, m (minutes), h, d, w, y. What fits no stream does not hold. Recordings in one "
    "folder are judged together, by their ends, and gaps where begins are known. Parts without "
    "their counterpart and recordings that nobody completed are findings. --deep opens every piece "
    "with its layout's reader: headers, "
    "the index against the packets, times, first and last packets, arrays against their sizes, "
    "index.bin against the lines. Nothing is written.\n\nExit status 1: a policy does not hold, "
    "or something was found.",
    children, NULL, NULL};

/* ---- what is told of a stream ---- */

struct check {
	const struct check_arguments *arguments;
	/** Of a deep check; else -1. */
	int root_fd;
	int64_t now_us;
	struct fsmeta_buffer line;
	struct fsmeta_buffer reason;
	/** Findings of the stream at hand. */
	uint64_t stream_findings;
	uint64_t streams;
	uint64_t opened;
	uint64_t findings;
	uint64_t streams_broken;
	uint64_t budgets_broken;
	/** By policy how many streams it concerns; and how many policies concern none. */
	uint64_t concerned[FSMETA_POLICIES_MAX];
	uint64_t policies_idle;
	struct fsmeta_growth growth;
	struct fsmeta_recordings recordings;
};

static bool is_json(const struct check *check)
{
	return check->arguments->format == FSMETA_OUTPUT_JSONL;
}

static int append_json_text(struct fsmeta_buffer *out, const char *key, const char *text)
{
	int code = fsmeta_buffer_append_format(out, "\"%s\":\"", key);

	if (!code)
		code = fsmeta_text_append_json(out, text, strlen(text));
	return code ? code : fsmeta_buffer_append_byte(out, '"');
}

static int append_finding(struct check *check, const char *kind, const char *name, const char *text)
{
	struct fsmeta_buffer *out = &check->line;
	bool first = check->stream_findings++ == 0;
	int code;

	check->findings++;
	if (check->stream_findings > FINDINGS_MAX)
		return 0;
	if (is_json(check)) {
		code = fsmeta_buffer_append_text(out, first ? ",\"findings\":[{" : ",{");
		if (!code)
			code = append_json_text(out, "kind", kind);
		if (!code && *name)
			code = fsmeta_buffer_append_byte(out, ',');
		if (!code && *name)
			code = append_json_text(out, "name", name);
		if (!code)
			code = fsmeta_buffer_append_byte(out, ',');
		if (!code)
			code = append_json_text(out, "text", text);
		return code ? code : fsmeta_buffer_append_byte(out, '}');
	}
	code = fsmeta_buffer_append_format(out, "           %s: ", kind);
	if (!code && *name)
		code = fsmeta_text_append_quoted(out, name, strlen(name));
	if (!code && *name)
		code = fsmeta_buffer_append_text(out, ": ");
	if (!code)
		code = fsmeta_text_append_plain(out, text, strlen(text));
	return code ? code : fsmeta_buffer_append_byte(out, '\n');
}

static int take_finding(
    void *payload, const struct fsmeta_finding *finding, struct fsmeta_error *error)
{
	struct check *check = payload;

	return append_finding(
		   check, fsmeta_finding_kind_name(finding->kind), finding->name, finding->text)
		   ? fsmeta_error_set_memory(error, "checking an archive")
		   : 0;
}

/** Each part without its counterpart is a finding. */
static int append_orphans(struct check *check, const struct fsmeta_archive_stream *stream)
{
	const char *name = stream->orphan_names, *end = name + stream->orphan_names_bytes;
	uint64_t named = 0;
	int code = 0;

	for (; name < end && !code; name += strlen(name) + 1, named++) {
		struct fsmeta_piece_name parsed;
		bool is_index = fsmeta_piece_parse(&parsed, name, strlen(name)) &&
				parsed.part == FSMETA_PIECE_INDEX;

		code = append_finding(check, "orphaned", name,
		    is_index ? "an index without its packets" : "packets without their index");
	}
	/* The others are counted; there is no room for them anyway. */
	check->stream_findings += stream->orphans - named;
	check->findings += stream->orphans - named;
	return code;
}

/** What the entries alone give away. */
static int append_outer_findings(struct check *check, const struct fsmeta_archive_stream *stream)
{
	int code = append_orphans(check, stream);

	/* A deep check reads it, and knows. */
	if (!code && stream->is_unfinished && check->root_fd < 0 &&
	    stream->changed_us < check->now_us - (int64_t)ABANDONED_S * SECOND_US)
		code = append_finding(check, "unsealed", "", "its writer did not complete it");
	return code;
}

static int append_findings(
    struct check *check, const struct fsmeta_archive_stream *stream, struct fsmeta_error *error)
{
	uint64_t opened = 0;
	int code;

	check->stream_findings = 0;
	if (append_outer_findings(check, stream))
		return fsmeta_error_set_memory(error, "checking an archive");
	code = check->root_fd < 0 ? 0
				  : fsmeta_archive_inspect(check->root_fd, stream,
					&fsmeta_stop_signal, &opened, take_finding, error, check);
	if (code)
		return code;
	check->opened += opened;
	if (!check->stream_findings)
		return 0;
	if (is_json(check))
		code = fsmeta_buffer_append_format(&check->line, "],\"finding_count\":%llu",
		    (unsigned long long)check->stream_findings);
	else if (check->stream_findings > FINDINGS_MAX)
		code = fsmeta_buffer_append_format(&check->line, "           and %llu more\n",
		    (unsigned long long)check->stream_findings - FINDINGS_MAX);
	return code ? fsmeta_error_set_memory(error, "checking an archive") : 0;
}

/** {"policy":…,"holds":…,"reason":…} */
static int append_json_verdict(struct check *check, const struct fsmeta_policy *policy, bool holds)
{
	struct fsmeta_buffer *out = &check->line;
	const char *reason = fsmeta_buffer_string(&check->reason);
	int code = fsmeta_buffer_append_byte(out, '{');

	if (!code)
		code = append_json_text(out, "policy", policy->text);
	if (!code)
		code = fsmeta_buffer_append_format(out, ",\"holds\":%s", holds ? "true" : "false");
	if (!code && !holds)
		code = fsmeta_buffer_append_byte(out, ',');
	if (!code && !holds)
		code = reason ? append_json_text(out, "reason", reason) : FSMETA_E_MEMORY;
	return code ? code : fsmeta_buffer_append_byte(out, '}');
}

/** "keep 90d: does not hold: REASON" */
static int append_text_verdict(struct check *check, const struct fsmeta_policy *policy, bool holds)
{
	struct fsmeta_buffer *out = &check->line;
	int code = fsmeta_text_append_plain(out, policy->text, strlen(policy->text));

	if (!code)
		code = fsmeta_buffer_append_text(out, holds ? ": holds" : ": does not hold: ");
	if (!code && !holds)
		code = fsmeta_text_append_plain(
		    out, (const char *)check->reason.data, check->reason.length);
	return code ? code : fsmeta_buffer_append_byte(out, '\n');
}

/** A verdict of a policy on a stream, with whatever stands in `reason`. */
static int append_verdict(
    struct check *check, const struct fsmeta_policy *policy, bool holds, bool first)
{
	int code;

	if (is_json(check)) {
		code = fsmeta_buffer_append_text(&check->line, first ? ",\"policies\":[" : ",");
		return code ? code : append_json_verdict(check, policy, holds);
	}
	code = fsmeta_buffer_append_text(&check->line, "           ");
	return code ? code : append_text_verdict(check, policy, holds);
}

/** The verdicts on a stream, or a folder of recordings, as they are appended. */
struct verdicts {
	uint64_t count;
	bool is_broken;
};

static int judge(struct check *check, struct verdicts *verdicts, size_t i,
    const struct fsmeta_archive_stream *stream)
{
	const struct fsmeta_policy *policy = &check->arguments->policies.items[i];
	bool holds = true;
	int code;

	check->concerned[i]++;
	fsmeta_buffer_clear(&check->reason);
	code = fsmeta_policy_judge(&holds, &check->reason, policy, stream, check->now_us);
	if (!code)
		code = append_verdict(check, policy, holds, !verdicts->count++);
	verdicts->is_broken |= !holds;
	return code;
}

static int end_verdicts(struct check *check, const struct verdicts *verdicts)
{
	check->streams_broken += verdicts->is_broken;
	return verdicts->count && is_json(check) ? fsmeta_buffer_append_byte(&check->line, ']') : 0;
}

static int append_verdicts(struct check *check, const struct fsmeta_archive_stream *stream)
{
	const struct fsmeta_policies *policies = &check->arguments->policies;
	struct verdicts verdicts = {0};
	int code = 0;

	for (size_t i = 0; i < policies->count && !code; i++)
		if (fsmeta_policy_concerns(
			&policies->items[i], stream->layout, stream->path, stream->path_length))
			code = judge(check, &verdicts, i, stream);
	return code ? code : end_verdicts(check, &verdicts);
}

static int write_line(struct check *check, struct fsmeta_error *error)
{
	size_t length = check->line.length;

	if (!length)
		return 0;
	if (fwrite(check->line.data, 1, length, stdout) != length)
		return fsmeta_flush_output(error);
	fsmeta_buffer_clear(&check->line);
	return 0;
}

static int take_stream(
    void *payload, const struct fsmeta_archive_stream *stream, struct fsmeta_error *error)
{
	struct check *check = payload;
	int code = fsmeta_check_stop(error);

	if (code)
		return code;
	check->streams++;
	fsmeta_growth_add(&check->growth, stream, check->now_us);
	if (stream->layout == FSMETA_LAYOUT_RECORDING &&
	    fsmeta_recordings_add(&check->recordings, stream))
		return fsmeta_error_set_memory(error, "checking an archive");
	code = is_json(check) ? fsmeta_archive_append_json(&check->line, stream)
			      : fsmeta_archive_append_text(&check->line, stream);
	if (!code)
		code = append_verdicts(check, stream);
	if (code)
		return fsmeta_error_set_memory(error, "checking an archive");
	code = append_findings(check, stream, error);
	if (!code && is_json(check) && fsmeta_buffer_append_text(&check->line, "}\n"))
		code = fsmeta_error_set_memory(error, "checking an archive");
	return code ? code : write_line(check, error);
}

/* ---- what is told of recordings ---- */

/** "recordings  site  (3 recordings, the first ended 2026-11-01T10:00:00Z, the last …)" */
static int append_folder(struct check *check, const struct fsmeta_archive_stream *sum)
{
	struct fsmeta_buffer *out = &check->line;
	char first[FSMETA_TIME_TEXT_BYTES], last[FSMETA_TIME_TEXT_BYTES];
	int code;

	fsmeta_time_format(first, fsmeta_time_from_us(sum->from_us));
	fsmeta_time_format(last, fsmeta_time_from_us(sum->to_us));
	if (is_json(check)) {
		code = fsmeta_buffer_append_text(out, "{\"layout\":\"recordings\",");
		if (!code)
			code = fsmeta_archive_append_path(out, sum->path, sum->path_length);
		if (!code)
			code = fsmeta_buffer_append_format(
			    out, ",\"pieces\":%llu", (unsigned long long)sum->pieces);
		if (!code && sum->has_to)
			code = fsmeta_buffer_append_format(
			    out, ",\"first_end\":\"%s\",\"last_end\":\"%s\"", first, last);
		return code;
	}
	code = fsmeta_buffer_append_text(out, "recordings ");
	if (!code)
		code = sum->path_length
			   ? fsmeta_text_append_quoted(out, sum->path, sum->path_length)
			   : fsmeta_buffer_append_byte(out, '.');
	if (!code)
		code = fsmeta_buffer_append_text(out, "  (");
	if (!code)
		code = fsmeta_text_append_count(out, sum->pieces);
	if (!code)
		code =
		    fsmeta_buffer_append_text(out, sum->pieces == 1 ? " recording" : " recordings");
	if (!code && sum->has_to)
		code = fsmeta_buffer_append_format(
		    out, ", the first ended %.19sZ, the last %.19sZ", first, last);
	return code ? code : fsmeta_buffer_append_text(out, ")\n");
}

/** A folder of recordings, where a policy speaks about it. */
static int tell_folder(struct check *check, const struct fsmeta_recordings_folder *folder)
{
	const struct fsmeta_policies *policies = &check->arguments->policies;
	struct fsmeta_archive_stream sum;
	struct verdicts verdicts = {0};
	size_t start = check->line.length;
	int code;

	fsmeta_recordings_sum(&sum, &check->recordings, folder, NULL);
	code = append_folder(check, &sum);
	for (size_t i = 0; i < policies->count && !code; i++)
		if (fsmeta_recordings_sum(&sum, &check->recordings, folder, &policies->items[i]))
			code = judge(check, &verdicts, i, &sum);
	if (code)
		return code;
	if (!verdicts.count) {
		check->line.length = start;
		return 0;
	}
	code = end_verdicts(check, &verdicts);
	return code || !is_json(check) ? code : fsmeta_buffer_append_text(&check->line, "}\n");
}

static int tell_recordings(struct check *check, struct fsmeta_error *error)
{
	struct fsmeta_recordings_folder folder = {0};
	int code = 0;

	fsmeta_recordings_sort(&check->recordings);
	while (!code && fsmeta_recordings_next(&check->recordings, &folder)) {
		if (tell_folder(check, &folder))
			return fsmeta_error_set_memory(error, "checking an archive");
		code = write_line(check, error);
	}
	return code;
}

/* ---- what is told of all ---- */

static int append_days(struct fsmeta_buffer *out, const char *before, double days)
{
	return fsmeta_buffer_append_format(
	    out, days < 10 ? "%s%.1f days" : "%s%.0f days", before, days);
}

/** "budget 2TB: holds: 1.2 TiB (66 %); 12 GiB a day, full in 51 days; it lasts for 155 days" */
static int append_budget_text(struct check *check, const struct fsmeta_policy *policy)
{
	const struct fsmeta_growth *growth = &check->growth;
	double left = fsmeta_growth_days_left(growth, policy->bytes);
	struct fsmeta_buffer *out = &check->line;
	int code = fsmeta_text_append_plain(out, policy->text, strlen(policy->text));

	if (!code)
		code = fsmeta_buffer_append_text(
		    out, growth->bytes <= policy->bytes ? ": holds: " : ": does not hold: ");
	if (!code)
		code = fsmeta_text_append_size(out, growth->bytes);
	if (!code && policy->bytes)
		code = fsmeta_buffer_append_format(
		    out, " (%.0f %%)", (double)growth->bytes * 100 / (double)policy->bytes);
	if (!code && growth->bytes_a_day > 0) {
		code = fsmeta_buffer_append_text(out, "; ");
		if (!code)
			code = fsmeta_text_append_size(out, (uint64_t)growth->bytes_a_day);
		if (!code)
			code = fsmeta_buffer_append_text(out, " a day");
		if (!code && left > 0)
			code = append_days(out, ", full in ", left);
		if (!code)
			code = append_days(
			    out, "; it lasts for ", fsmeta_growth_days_kept(growth, policy->bytes));
	}
	return code ? code : fsmeta_buffer_append_byte(out, '\n');
}

static int append_budget_json(struct check *check, const struct fsmeta_policy *policy)
{
	const struct fsmeta_growth *growth = &check->growth;
	struct fsmeta_buffer *out = &check->line;
	int code = fsmeta_buffer_append_byte(out, '{');

	if (!code)
		code = append_json_text(out, "policy", policy->text);
	if (!code)
		code =
		    fsmeta_buffer_append_format(out, ",\"holds\":%s,\"bytes\":%llu,\"budget\":%llu",
			growth->bytes <= policy->bytes ? "true" : "false",
			(unsigned long long)growth->bytes, (unsigned long long)policy->bytes);
	if (!code && growth->bytes_a_day > 0)
		code = fsmeta_buffer_append_format(out,
		    ",\"bytes_per_day\":%llu,\"days_to_full\":%.1f,\"days_kept\":%.1f",
		    (unsigned long long)growth->bytes_a_day,
		    fsmeta_growth_days_left(growth, policy->bytes),
		    fsmeta_growth_days_kept(growth, policy->bytes));
	return code ? code : fsmeta_buffer_append_text(out, "}\n");
}

/**
 * "fresh 1h camera-7: does not hold: no stream with times fits 'camera-7'": what is not there does
 * not do what is demanded of it.
 */
static int append_idle(struct check *check, const struct fsmeta_policy *policy)
{
	struct fsmeta_buffer *reason = &check->reason;
	int code;

	fsmeta_buffer_clear(reason);
	if (policy->pattern)
		code = fsmeta_buffer_append_format(
		    reason, "no stream with times fits '%s'", policy->pattern);
	else
		code = fsmeta_buffer_append_text(reason, "no stream with times is there");
	if (code || !is_json(check))
		return code ? code : append_text_verdict(check, policy, false);
	code = append_json_verdict(check, policy, false);
	return code ? code : fsmeta_buffer_append_byte(&check->line, '\n');
}

static bool is_bad(const struct check *check)
{
	return check->streams_broken || check->budgets_broken || check->policies_idle ||
	       check->findings;
}

/** "4 streams; 12,000 pieces opened; 2 break a policy; 1 finding" */
static int append_summary(struct check *check)
{
	struct fsmeta_buffer *out = &check->line;
	int code = fsmeta_text_append_count(out, check->streams);

	if (!code)
		code = fsmeta_buffer_append_text(out, check->streams == 1 ? " stream" : " streams");
	if (!code && check->root_fd >= 0) {
		code = fsmeta_buffer_append_text(out, "; ");
		if (!code)
			code = fsmeta_text_append_count(out, check->opened);
		if (!code)
			code = fsmeta_buffer_append_text(
			    out, check->opened == 1 ? " piece opened" : " pieces opened");
	}
	if (!code && check->streams_broken)
		code = fsmeta_buffer_append_format(out, "; %llu %s a policy",
		    (unsigned long long)check->streams_broken,
		    check->streams_broken == 1 ? "breaks" : "break");
	if (!code && check->budgets_broken)
		code = fsmeta_buffer_append_text(out, "; it is beyond its budget");
	if (!code && check->policies_idle)
		code = fsmeta_buffer_append_format(out, "; %llu %s no stream",
		    (unsigned long long)check->policies_idle,
		    check->policies_idle == 1 ? "policy fits" : "policies fit");
	if (!code && check->findings)
		code = fsmeta_buffer_append_format(out, "; %llu finding%s",
		    (unsigned long long)check->findings, check->findings == 1 ? "" : "s");
	if (!code && !is_bad(check))
		code = fsmeta_buffer_append_text(out, "; all is well");
	return code ? code : fsmeta_buffer_append_byte(out, '\n');
}

/** What is to be said of a policy when all streams were seen. */
static int append_policy(struct check *check, size_t i)
{
	const struct fsmeta_policy *policy = &check->arguments->policies.items[i];

	if (policy->kind == FSMETA_POLICY_BUDGET) {
		check->budgets_broken += check->growth.bytes > policy->bytes;
		return is_json(check) ? append_budget_json(check, policy)
				      : append_budget_text(check, policy);
	}
	if (check->concerned[i])
		return 0;
	check->policies_idle++;
	return append_idle(check, policy);
}

static int tell_all(struct check *check, struct fsmeta_error *error)
{
	int code = 0;

	for (size_t i = 0; i < check->arguments->policies.count && !code; i++)
		code = append_policy(check, i);
	if (!code && !is_json(check) && check->streams)
		code = append_summary(check);
	if (code)
		return fsmeta_error_set_memory(error, "checking an archive");
	return write_line(check, error);
}

/* ---- running ---- */

/** Looks into a live folder alone: what a stream or a database has are entries. */
static int open_root(int *fd, const struct fsmeta_operand *operand, struct fsmeta_error *error)
{
	if (operand->kind != FSMETA_OPERAND_LIVE)
		return fsmeta_error_set(error, FSMETA_E_REFUSED, operand->text, "checking deeply",
		    "it holds no contents that could be opened; name the folder itself");
	*fd = open(operand->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *fd < 0 ? fsmeta_error_set_errno(error, errno, operand->path, "opening") : 0;
}

static int check(const struct check_arguments *arguments, struct fsmeta_error *error)
{
	const struct fsmeta_operand_options operand_options = {.scan = &arguments->scan};
	struct check checking = {.arguments = arguments, .root_fd = -1};
	struct fsmeta_operand operand;
	struct fsmeta_cursor *cursor = NULL;
	bool is_partial = false;
	int status = fsmeta_operand_parse(&operand, arguments->operand, error);

	if (status >= 0 && arguments->deep)
		status = open_root(&checking.root_fd, &operand, error);
	if (status >= 0)
		status = fsmeta_operand_open(&cursor, &operand, &operand_options, error);
	if (status >= 0) {
		checking.now_us = fsmeta_policy_now_us(cursor->source);
		status = fsmeta_archive_survey(cursor, take_stream, error, &checking);
	}
	if (status >= 0)
		status = tell_recordings(&checking, error);
	if (status >= 0)
		status = tell_all(&checking, error);
	if (status >= 0)
		status = fsmeta_flush_output(error);
	if (status >= 0)
		is_partial = cursor->source->totals.unreadable;
	if (status >= 0 && !checking.streams)
		fsmeta_note(arguments->operand, "no video archive is recognised in it");
	fsmeta_buffer_release(&checking.line);
	fsmeta_buffer_release(&checking.reason);
	fsmeta_recordings_release(&checking.recordings);
	fsmeta_cursor_close(cursor);
	if (checking.root_fd >= 0)
		close(checking.root_fd);
	fsmeta_operand_release(&operand);
	if (status < 0)
		return status;
	if (is_partial)
		return FSMETA_EXIT_PARTIAL;
	return is_bad(&checking) ? FSMETA_EXIT_CHANGES : FSMETA_EXIT_OK;
}

int fsmeta_archive_command_check(int argc, char **argv)
{
	struct check_arguments arguments = {0};
	struct fsmeta_error error;
	int status;

	fsmeta_error_clear(&error);
	fsmeta_arguments(&check_argp, argc, argv, &arguments);
	status = check(&arguments, &error);
	return status < 0 ? fsmeta_report(&error) : status;
}
