/*
 * Recognising churn.
 *
 * Two passes over the changes.  The first one counts what speaks for each rule; between the
 * two it is decided which rules hold: those that explain at least nine tenths of the tree.
 * The second one asks of each change whether all its fields are explained.
 *
 * Which shift of times is the most frequent is found with a few counters (Misra and Gries,
 * "Finding repeated elements", 1982): each shift has one while there is one free, and one
 * that finds none takes one from all.  What makes up more than its share is among them in
 * the end, with a count that is too low by at most the number of takings.
 *
 *     before   10:00:00.12   10:00:01.00   17:30:11.50
 *     after    11:00:00      11:00:02      18:30:10        3600 s, rounded to two seconds
 *
 * Time zones are multiples of 15 minutes.  A difference to such a multiple of less than two
 * seconds is rounding, where one of the two times is an even second.
 */
#include "diff/churn.h"

#include "diff/fold.h"

#include <stdlib.h>

enum {
	COUNTERS = 64,
	OWNERS = 256,
	/** Fewer changes are told one by one. */
	CHANGES_MIN = 16,
	/** Per cent of the tree that a rule must explain. */
	SHARE = 90,
	ZONE_SECONDS = 900,
	ROUNDING_SECONDS = 2,
};

struct shift {
	int64_t seconds;
	int32_t nanoseconds;
	bool is_rounded;
	uint64_t count;
};

/** One owner (or group) became another. */
struct mapping {
	bool is_group;
	bool is_torn;
	uint32_t before;
	uint32_t after;
};

struct fsmeta_churn {
	struct fsmeta_change_sink sink;
	const struct fsmeta_batch_source *newer;
	bool folds_case;

	struct shift shifts[COUNTERS];
	uint64_t numbers;
	uint64_t owners;
	struct mapping mappings[OWNERS];
	size_t mapping_count;
	bool has_too_many_owners;

	bool holds[FSMETA_CHURN_RULES];
	struct shift shift;
	struct fsmeta_churn_finding findings[FSMETA_CHURN_RULES];
};

static const uint32_t number_fields = FSMETA_FIELD_INODE | FSMETA_FIELD_DEVICE;
static const uint32_t owner_fields = FSMETA_FIELD_UID | FSMETA_FIELD_GID;

/* ---- times -------------------------------------------------------------- */

static bool is_even_second(struct fsmeta_time time)
{
	return time.nanoseconds == 0 && time.seconds % 2 == 0;
}

static int64_t nearest_zone(int64_t seconds)
{
	int64_t half = seconds < 0 ? -ZONE_SECONDS / 2 : ZONE_SECONDS / 2;

	return (seconds + half) / ZONE_SECONDS * ZONE_SECONDS;
}

/** What led from one time to the other, exactly; false where it is beyond all sense. */
static bool find_exact(struct shift *out, struct fsmeta_time before, struct fsmeta_time after)
{
	const int64_t most = INT64_C(1) << 40;
	int64_t nanoseconds = (int64_t)after.nanoseconds - (int64_t)before.nanoseconds;
	int64_t seconds;

	if (__builtin_sub_overflow(after.seconds, before.seconds, &seconds) || seconds > most ||
	    seconds < -most)
		return false;
	if (seconds > 0 && nanoseconds < 0) {
		seconds--;
		nanoseconds += 1000000000;
	} else if (seconds < 0 && nanoseconds > 0) {
		seconds++;
		nanoseconds -= 1000000000;
	}
	*out = (struct shift){.seconds = seconds, .nanoseconds = (int32_t)nanoseconds};
	return true;
}

/** The same with rounding, where there may have been some. */
static struct shift find_rounded(
    const struct shift *exact, struct fsmeta_time before, struct fsmeta_time after)
{
	int64_t rest = exact->seconds - nearest_zone(exact->seconds);

	if ((!rest && !exact->nanoseconds) || rest >= ROUNDING_SECONDS ||
	    rest <= -ROUNDING_SECONDS || !(is_even_second(before) || is_even_second(after)))
		return *exact;
	return (struct shift){.seconds = nearest_zone(exact->seconds), .is_rounded = true};
}

static bool is_shift(const struct shift *a, const struct shift *b)
{
	return a->seconds == b->seconds && a->nanoseconds == b->nanoseconds;
}

/** Exact ones and rounded ones by the same count as one. */
static void count_shift(struct fsmeta_churn *churn, const struct shift *shift)
{
	struct shift *free_one = NULL;

	for (size_t i = 0; i < COUNTERS; i++) {
		struct shift *each = &churn->shifts[i];

		if (!each->count) {
			free_one = each;
		} else if (is_shift(each, shift)) {
			each->count++;
			each->is_rounded |= shift->is_rounded;
			return;
		}
	}
	if (free_one) {
		*free_one = *shift;
		free_one->count = 1;
		return;
	}
	for (size_t i = 0; i < COUNTERS; i++)
		churn->shifts[i].count--;
}

/* ---- owners -------------------------------------------------------------- */

/** The mapping of this owner, a new one where there was none; NULL where there are too many. */
static struct mapping *find_mapping(
    struct fsmeta_churn *churn, bool is_group, uint32_t before, uint32_t after)
{
	struct mapping *mapping;

	for (size_t i = 0; i < churn->mapping_count; i++)
		if (churn->mappings[i].is_group == is_group && churn->mappings[i].before == before)
			return &churn->mappings[i];
	if (churn->mapping_count == OWNERS)
		return NULL;
	mapping = &churn->mappings[churn->mapping_count++];
	*mapping = (struct mapping){.is_group = is_group, .before = before, .after = after};
	return mapping;
}

static void count_owner(struct fsmeta_churn *churn, bool is_group, uint32_t before, uint32_t after)
{
	struct mapping *mapping = find_mapping(churn, is_group, before, after);

	if (!mapping)
		churn->has_too_many_owners = true;
	else if (mapping->after != after)
		mapping->is_torn = true;
}

static bool explains_owner(
    const struct fsmeta_churn *churn, bool is_group, uint32_t before, uint32_t after)
{
	for (size_t i = 0; i < churn->mapping_count; i++) {
		const struct mapping *mapping = &churn->mappings[i];

		if (mapping->is_group == is_group && mapping->before == before)
			return mapping->after == after && !mapping->is_torn;
	}
	return false;
}

/* ---- the first pass -------------------------------------------------------- */

static int take_change(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct fsmeta_churn *churn = (struct fsmeta_churn *)sink;
	const struct fsmeta_entry *before = change->before, *after = change->after;
	uint32_t fields = change->fields;
	struct shift shift;

	(void)error;
	if (change->kind == FSMETA_CHANGE_MOVED)
		churn->holds[FSMETA_CHURN_NAMES] = true;
	if (change->kind != FSMETA_CHANGE_MODIFIED && change->kind != FSMETA_CHANGE_MOVED)
		return 0;
	fields &= before->fields & after->fields;
	if (fields & FSMETA_FIELD_MTIME && after->type != FSMETA_TYPE_FOLDER &&
	    find_exact(&shift, before->mtime, after->mtime)) {
		shift = find_rounded(&shift, before->mtime, after->mtime);
		count_shift(churn, &shift);
	}
	churn->numbers += (fields & number_fields) != 0;
	churn->owners += (fields & owner_fields) != 0;
	if (fields & FSMETA_FIELD_UID)
		count_owner(churn, false, before->uid, after->uid);
	if (fields & FSMETA_FIELD_GID)
		count_owner(churn, true, before->gid, after->gid);
	return 0;
}

int fsmeta_churn_new(struct fsmeta_churn **out, const struct fsmeta_batch_source *older,
    const struct fsmeta_batch_source *newer, struct fsmeta_error *error)
{
	struct fsmeta_churn *churn = calloc(1, sizeof(*churn));

	*out = churn;
	if (!churn)
		return fsmeta_error_set_memory(error, "looking for churn");
	churn->sink.change = take_change;
	churn->newer = newer;
	churn->folds_case = older->path_case == FSMETA_PATH_CASE_INSENSITIVE ||
			    newer->path_case == FSMETA_PATH_CASE_INSENSITIVE;
	return 0;
}

void fsmeta_churn_free(struct fsmeta_churn *churn)
{
	free(churn);
}

struct fsmeta_change_sink *fsmeta_churn_sink(struct fsmeta_churn *churn)
{
	return &churn->sink;
}

static bool is_nearly_all(uint64_t changes, uint64_t entries)
{
	return changes >= CHANGES_MIN && entries &&
	       (double)changes * 100 >= (double)entries * SHARE;
}

bool fsmeta_churn_settle(struct fsmeta_churn *churn)
{
	const struct fsmeta_totals *totals = &churn->newer->totals;
	bool any = false;

	for (size_t i = 0; i < COUNTERS; i++)
		if (churn->shifts[i].count > churn->shift.count)
			churn->shift = churn->shifts[i];
	churn->holds[FSMETA_CHURN_TIMES] =
	    is_nearly_all(churn->shift.count, totals->entries - totals->folders);
	churn->holds[FSMETA_CHURN_NUMBERS] = is_nearly_all(churn->numbers, totals->entries);
	churn->holds[FSMETA_CHURN_OWNERS] =
	    !churn->has_too_many_owners && is_nearly_all(churn->owners, totals->entries);
	churn->findings[FSMETA_CHURN_TIMES].shift_seconds = churn->shift.seconds;
	churn->findings[FSMETA_CHURN_TIMES].shift_nanoseconds = churn->shift.nanoseconds;
	churn->findings[FSMETA_CHURN_TIMES].is_rounded = churn->shift.is_rounded;
	for (size_t i = 0; i < FSMETA_CHURN_RULES; i++)
		any |= churn->holds[i];
	return any;
}

/* ---- the second pass --------------------------------------------------------- */

static bool explains_time(const struct fsmeta_churn *churn, const struct fsmeta_change *change)
{
	struct fsmeta_time before = change->before->mtime, after = change->after->mtime;
	struct shift exact, rounded;

	if (!churn->holds[FSMETA_CHURN_TIMES] || !find_exact(&exact, before, after))
		return false;
	rounded = find_rounded(&exact, before, after);
	return is_shift(&exact, &churn->shift) || is_shift(&rounded, &churn->shift);
}

static bool explains_owners(
    const struct fsmeta_churn *churn, const struct fsmeta_change *change, uint32_t fields)
{
	const struct fsmeta_entry *before = change->before, *after = change->after;

	return churn->holds[FSMETA_CHURN_OWNERS] &&
	       (!(fields & FSMETA_FIELD_UID) ||
		   explains_owner(churn, false, before->uid, after->uid)) &&
	       (!(fields & FSMETA_FIELD_GID) ||
		   explains_owner(churn, true, before->gid, after->gid));
}

/** Bits of rules that explain the fields; 0 where they do not explain all. */
static uint32_t explain_fields(
    const struct fsmeta_churn *churn, const struct fsmeta_change *change, uint32_t rules)
{
	uint32_t both = change->before->fields & change->after->fields;
	uint32_t left = change->fields;

	if (left & ~both)
		return 0;
	if (left & FSMETA_FIELD_MTIME && explains_time(churn, change)) {
		left &= ~(uint32_t)FSMETA_FIELD_MTIME;
		rules |= 1 << FSMETA_CHURN_TIMES;
	}
	if (left & number_fields && churn->holds[FSMETA_CHURN_NUMBERS]) {
		left &= ~number_fields;
		rules |= 1 << FSMETA_CHURN_NUMBERS;
	}
	if (left & owner_fields && explains_owners(churn, change, left)) {
		left &= ~owner_fields;
		rules |= 1 << FSMETA_CHURN_OWNERS;
	}
	/* It says that something happened, and that has been explained. */
	if (rules)
		left &= ~(uint32_t)FSMETA_FIELD_CTIME;
	return left ? 0 : rules;
}

int fsmeta_churn_judge(
    struct fsmeta_churn *churn, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	const struct fsmeta_entry *before = change->before, *after = change->after;
	uint32_t rules = 0;

	if (change->kind == FSMETA_CHANGE_MOVED) {
		int alike = fsmeta_folds_alike(before->path, before->path_length, after->path,
		    after->path_length, churn->folds_case);

		if (alike < 0)
			return fsmeta_error_set_memory(error, "looking for churn");
		if (!alike)
			return 0;
		rules = 1 << FSMETA_CHURN_NAMES;
	} else if (change->kind != FSMETA_CHANGE_MODIFIED) {
		return 0;
	}
	rules = explain_fields(churn, change, rules);
	for (unsigned i = 0; i < FSMETA_CHURN_RULES; i++)
		churn->findings[i].count += rules >> i & 1;
	return rules != 0;
}

void fsmeta_churn_rewind(struct fsmeta_churn *churn)
{
	for (unsigned i = 0; i < FSMETA_CHURN_RULES; i++)
		churn->findings[i].count = 0;
}

const char *fsmeta_churn_rule_name(enum fsmeta_churn_rule rule)
{
	static const char *const names[] = {"times", "numbers", "owners", "names"};

	return rule < FSMETA_CHURN_RULES ? names[rule] : NULL;
}

const struct fsmeta_churn_finding *fsmeta_churn_finding(
    const struct fsmeta_churn *churn, enum fsmeta_churn_rule rule)
{
	return &churn->findings[rule];
}
