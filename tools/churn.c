#include "tools/churn.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
	/** Fewer modified entries are no churn. */
	CHANGES_MIN = 16,
};

static int filter_change(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct fsmeta_churn_filter *filter = (struct fsmeta_churn_filter *)sink;
	int code = filter->churn ? fsmeta_churn_judge(filter->churn, change, error) : 0;

	if (code < 0)
		return code;
	if (code > 0 && filter->hides) {
		filter->hidden++;
		return 0;
	}
	if (code > 0 && filter->aside)
		return filter->aside->change(filter->aside, change, error);
	return filter->next->change(filter->next, change, error);
}

int fsmeta_churn_filter_init(struct fsmeta_churn_filter *filter, struct fsmeta_diff *diff,
    const struct fsmeta_batch_source *older, const struct fsmeta_batch_source *newer, bool hides,
    struct fsmeta_change_sink *next, struct fsmeta_error *error)
{
	const struct fsmeta_diff_counts *counts = fsmeta_diff_get_counts(diff);
	int code;

	*filter = (struct fsmeta_churn_filter){
	    .sink = {.change = filter_change}, .next = next, .hides = hides};
	if (counts->kinds[FSMETA_CHANGE_MODIFIED] < CHANGES_MIN &&
	    !counts->kinds[FSMETA_CHANGE_MOVED])
		return 0;
	code = fsmeta_churn_new(&filter->churn, older, newer, error);
	if (!code)
		code = fsmeta_diff_replay(diff, fsmeta_churn_sink(filter->churn), error);
	if (!code && !fsmeta_churn_settle(filter->churn))
		fsmeta_churn_filter_release(filter);
	return code;
}

int fsmeta_churn_filter_replay(struct fsmeta_churn_filter *filter, struct fsmeta_diff *diff,
    struct fsmeta_change_sink *sink, struct fsmeta_error *error)
{
	struct fsmeta_churn_filter silent = *filter;
	int code;

	if (!filter->churn)
		return fsmeta_diff_replay(diff, sink, error);
	silent.next = sink;
	silent.hides = true;
	code = fsmeta_diff_replay(diff, &silent.sink, error);
	fsmeta_churn_rewind(filter->churn);
	return code;
}

void fsmeta_churn_filter_release(struct fsmeta_churn_filter *filter)
{
	fsmeta_churn_free(filter->churn);
	filter->churn = NULL;
}

/** "+3600", "-0.5" seconds: exactly. */
static void print_shift(FILE *stream, const struct fsmeta_churn_finding *finding)
{
	bool is_negative = finding->shift_seconds < 0 || finding->shift_nanoseconds < 0;

	fprintf(stream, "%c%" PRIu64, is_negative ? '-' : '+',
	    is_negative ? 0 - (uint64_t)finding->shift_seconds : (uint64_t)finding->shift_seconds);
	if (finding->shift_nanoseconds)
		fprintf(stream, ".%09d", abs(finding->shift_nanoseconds));
}

static void print_json(
    FILE *stream, enum fsmeta_churn_rule rule, const struct fsmeta_churn_finding *finding)
{
	fprintf(stream, "{\"kind\":\"churn\",\"rule\":\"%s\",\"count\":%" PRIu64,
	    fsmeta_churn_rule_name(rule), finding->count);
	if (rule == FSMETA_CHURN_TIMES) {
		fputs(",\"shift\":\"", stream);
		print_shift(stream, finding);
		fprintf(stream, "\",\"rounded\":%s", finding->is_rounded ? "true" : "false");
	}
	fputs("}\n", stream);
}

static void print_text(
    FILE *stream, enum fsmeta_churn_rule rule, const struct fsmeta_churn_finding *finding)
{
	static const char *const texts[] = {
	    [FSMETA_CHURN_TIMES] = "all times are",
	    [FSMETA_CHURN_NUMBERS] = "inode or device numbers are others",
	    [FSMETA_CHURN_OWNERS] = "owners or groups are others, one for one",
	    [FSMETA_CHURN_NAMES] = "names are written in another way, letter for letter the same",
	};
	struct fsmeta_buffer count = {0};

	if (fsmeta_text_append_count(&count, finding->count) || !fsmeta_buffer_string(&count))
		return;
	fprintf(stream, "~  %s %s: %s", (const char *)count.data,
	    finding->count == 1 ? "entry" : "entries", texts[rule]);
	fsmeta_buffer_release(&count);
	if (rule == FSMETA_CHURN_TIMES) {
		if (finding->shift_seconds || finding->shift_nanoseconds) {
			fputs(" shifted by ", stream);
			print_shift(stream, finding);
			fputs(finding->is_rounded ? " s and" : " s", stream);
		}
		if (finding->is_rounded)
			fputs(" rounded to two seconds", stream);
	}
	fputs("  (--all shows them)\n", stream);
}

void fsmeta_churn_print(FILE *stream, const struct fsmeta_churn_filter *filter, bool as_json)
{
	for (int rule = 0; filter->churn && rule < FSMETA_CHURN_RULES; rule++) {
		const struct fsmeta_churn_finding *finding =
		    fsmeta_churn_finding(filter->churn, rule);

		if (!finding->count)
			continue;
		if (as_json)
			print_json(stream, rule, finding);
		else if (filter->hides)
			print_text(stream, rule, finding);
	}
}
