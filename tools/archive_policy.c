/*
 * Policies.  They are judged by what the survey measured and by when the scan was made, so that the
 * verdict on a stream or a generation does not depend on the day on which one asks.
 *
 * Growth is the mean of what a stream holds over the time from its first to its last packet, pauses
 * included: what a camera that sleeps at night needs in a year.  Streams that ended more than a day
 * before the scan do not grow any more.
 */
#include "tools/archive_policy.h"

#include "base/text.h"
#include "tools/archive.h"
#include "tools/summary.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

enum {
	SECOND_US = 1000000,
	WORD_BYTES = 32,
	SECONDS_A_DAY = 86400,
	/** Below that, bytes over time say nothing. */
	GROWTH_MIN_S = 60,
};

static const struct {
	const char *word;
	enum fsmeta_policy_kind kind;
} kinds[] = {
    {"keep", FSMETA_POLICY_KEEP},
    {"gaps", FSMETA_POLICY_GAPS},
    {"fresh", FSMETA_POLICY_FRESH},
    {"budget", FSMETA_POLICY_BUDGET},
};

/** So that a time less a duration, and a little less, is still a time. */
static const int64_t duration_max_us = INT64_MAX / 2;

/* ---- reading ---- */

bool fsmeta_duration_parse(int64_t *out, const char *text)
{
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = {
	    {'s', 1},
	    {'m', 60},
	    {'h', 3600},
	    {'d', SECONDS_A_DAY},
	    {'w', 7 * SECONDS_A_DAY},
	    {'y', 365 * SECONDS_A_DAY},
	};
	int64_t count = 0;
	size_t digits = 0;

	for (; text[digits] >= '0' && text[digits] <= '9' && digits < 6; digits++)
		count = count * 10 + (text[digits] - '0');
	if (!digits || !text[digits] || text[digits + 1])
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (units[i].unit == text[digits] &&
		    count * units[i].seconds <= duration_max_us / SECOND_US) {
			*out = count * units[i].seconds * SECOND_US;
			return true;
		}
	return false;
}

/** Copies the next word and steps over it and the blanks behind. */
static bool take_word(char out[WORD_BYTES], const char **text)
{
	size_t length = strcspn(*text, " ");

	if (!length || length >= WORD_BYTES)
		return false;
	memcpy(out, *text, length);
	out[length] = '\0';
	*text += length;
	*text += strspn(*text, " ");
	return true;
}

bool fsmeta_policy_parse(struct fsmeta_policy *out, const char *text)
{
	char kind[WORD_BYTES], value[WORD_BYTES];

	*out = (struct fsmeta_policy){.text = text};
	if (!take_word(kind, &text) || !take_word(value, &text))
		return false;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].word, kind) == 0)
			out->kind = kinds[i].kind;
	if (*text)
		out->pattern = text;
	if (!out->kind)
		return false;
	/* A budget is for all; what would it mean for some? */
	return out->kind == FSMETA_POLICY_BUDGET
		   ? !out->pattern && fsmeta_size_parse(&out->bytes, value)
		   : fsmeta_duration_parse(&out->duration_us, value);
}

static struct fsmeta_policy *take_next(struct fsmeta_policies *policies, struct argp_state *state)
{
	if (policies->count == FSMETA_POLICIES_MAX)
		argp_error(state, "--policy: no more than %d", FSMETA_POLICIES_MAX);
	return &policies->items[policies->count++];
}

void fsmeta_policies_take(
    struct fsmeta_policies *policies, const char *text, struct argp_state *state)
{
	if (!fsmeta_policy_parse(take_next(policies, state), text))
		argp_error(state,
		    "--policy: '%s' is none, as 'keep 90d', 'gaps 5m', 'fresh 1h camera-*' "
		    "or 'budget 2TB' are",
		    text);
}

void fsmeta_policies_take_keep(
    struct fsmeta_policies *policies, const char *text, struct argp_state *state)
{
	struct fsmeta_policy *policy = take_next(policies, state);

	if (!fsmeta_policy_parse(policy, text))
		argp_error(
		    state, "--policy: '%s' is none, as 'keep 90d' or 'keep 90d camera-*' is", text);
	if (policy->kind != FSMETA_POLICY_KEEP)
		argp_error(state,
		    "--policy: changes are judged by 'keep' alone; '%s' is for "
		    "fsmeta archive check",
		    text);
}

/* ---- judging ---- */

bool fsmeta_policy_fits(const struct fsmeta_policy *policy, const char *path, size_t path_length)
{
	char *name;
	bool matches;

	if (!policy->pattern)
		return true;
	name = path_length ? strndup(path, path_length) : strdup(".");
	matches = name && fnmatch(policy->pattern, name, 0) == 0;
	free(name);
	return matches;
}

bool fsmeta_policy_concerns(const struct fsmeta_policy *policy, enum fsmeta_layout layout,
    const char *path, size_t path_length)
{
	return policy->kind != FSMETA_POLICY_BUDGET &&
	       (layout == FSMETA_LAYOUT_FSV || layout == FSMETA_LAYOUT_SEGMENTS) &&
	       fsmeta_policy_fits(policy, path, path_length);
}

int64_t fsmeta_policy_now_us(const struct fsmeta_batch_source *source)
{
	struct fsmeta_time time = source->started;
	int64_t ns;

	if (!time.seconds)
		time = source->finished.seconds ? source->finished : fsmeta_time_now();
	return fsmeta_time_to_ns(time, &ns) ? ns / 1000 : 0;
}

static int append_time(struct fsmeta_buffer *out, int64_t time_us)
{
	char text[FSMETA_TIME_TEXT_BYTES];

	fsmeta_time_format(text, fsmeta_time_from_us(time_us / SECOND_US * SECOND_US));
	return fsmeta_buffer_append_format(out, "%.19sZ", text);
}

/** "3 d 4 h" where days are what counts, else as everywhere. */
static int append_span(struct fsmeta_buffer *out, int64_t duration_us)
{
	int64_t hours = duration_us / SECOND_US / 3600;

	if (duration_us < 0)
		duration_us = 0;
	if (hours < 48)
		return fsmeta_archive_append_duration(out, duration_us);
	return fsmeta_buffer_append_format(
	    out, "%lld d %lld h", (long long)(hours / 24), (long long)(hours % 24));
}

static int append_reason(struct fsmeta_buffer *out, const char *before, int64_t duration_us,
    const char *between, int64_t time_us)
{
	int code = fsmeta_buffer_append_text(out, before);

	if (!code)
		code = append_span(out, duration_us);
	if (!code)
		code = fsmeta_buffer_append_text(out, between);
	return code ? code : append_time(out, time_us);
}

int fsmeta_policy_judge(bool *holds, struct fsmeta_buffer *reason,
    const struct fsmeta_policy *policy, const struct fsmeta_archive_stream *stream, int64_t now_us)
{
	if (!stream->has_from) {
		*holds = false;
		return fsmeta_buffer_append_text(reason, stream->layout == FSMETA_LAYOUT_RECORDING
							     ? "nothing tells when it was recorded"
							     : "nothing of it is whole");
	}
	switch (policy->kind) {
	case FSMETA_POLICY_KEEP:
		*holds = stream->from_us <= now_us - policy->duration_us;
		return *holds ? 0
			      : append_reason(reason, "it reaches back ", now_us - stream->from_us,
				    ", to ", stream->from_us);
	case FSMETA_POLICY_GAPS:
		*holds = stream->longest_gap_us <= policy->duration_us;
		return *holds ? 0
			      : append_reason(reason, "", stream->longest_gap_us,
				    " are missing from ", stream->longest_gap_at_us);
	case FSMETA_POLICY_FRESH:
		*holds = stream->to_us >= now_us - policy->duration_us;
		return *holds ? 0
			      : append_reason(reason, "nothing for ", now_us - stream->to_us,
				    ", since ", stream->to_us);
	case FSMETA_POLICY_BUDGET:
		break;
	}
	*holds = true;
	return 0;
}

/* ---- growth ---- */

void fsmeta_growth_add(
    struct fsmeta_growth *growth, const struct fsmeta_archive_stream *stream, int64_t now_us)
{
	const int64_t day_us = (int64_t)SECONDS_A_DAY * SECOND_US;
	int64_t span_us = stream->to_us - stream->from_us;

	growth->bytes += stream->bytes;
	/* What a recording takes while it lasts says nothing of when there are others. */
	if (stream->layout == FSMETA_LAYOUT_RECORDING)
		return;
	if (span_us >= (int64_t)GROWTH_MIN_S * SECOND_US && stream->to_us >= now_us - day_us)
		growth->bytes_a_day += (double)stream->bytes / ((double)span_us / (double)day_us);
}

double fsmeta_growth_days_left(const struct fsmeta_growth *growth, uint64_t budget)
{
	if (growth->bytes >= budget)
		return 0;
	if (growth->bytes_a_day <= 0)
		return -1;
	return (double)(budget - growth->bytes) / growth->bytes_a_day;
}

double fsmeta_growth_days_kept(const struct fsmeta_growth *growth, uint64_t budget)
{
	return growth->bytes_a_day <= 0 ? -1 : (double)budget / growth->bytes_a_day;
}
