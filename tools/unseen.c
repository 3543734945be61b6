/*
 * The places are found in one pass:
 *
 *     a/               seen
 *     a/private/       unreadable              ◄─ a place: what is below it is carried
 *     a/private/x      carried                    counted with it
 *     b/               carried, not asked for  ◄─ a place: the entry itself is carried too
 *     b/y              carried                    counted with it
 *
 * Why something is carried stands in the database where the scan could not look there;
 * where it was told not to, the scope of the scan says it.
 */
#include "tools/unseen.h"

#include "base/path.h"
#include "format/scope.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char action[] = "listing what is unknown";

struct fsmeta_unseen {
	struct fsmeta_output *output;
	struct fsmeta_change_sink *sink;
	struct fsmeta_scope scope;
	/** Of a database; empty for all else. */
	struct fsmeta_db_unknown_places places;
	/** The place that is being counted: entries and bytes below it. */
	bool is_open;
	struct fsmeta_change change;
	struct fsmeta_entry entry;
	struct fsmeta_buffer path;
	/** First generation that does not know it, 0 = no generation. */
	uint64_t since;
	/** The same of what is below, where that is longer ago. */
	uint64_t since_below;
	/** Said besides, NULL = nothing. */
	const char *reason;
};

int fsmeta_unseen_new(struct fsmeta_unseen **out, struct fsmeta_output *output,
    const struct fsmeta_cursor *cursor, const struct fsmeta_operand *operand,
    struct fsmeta_error *error)
{
	struct fsmeta_unseen *unseen = calloc(1, sizeof(*unseen));
	int status = 0;

	*out = NULL;
	if (!unseen)
		return fsmeta_error_set_memory(error, action);
	unseen->output = output;
	unseen->sink = fsmeta_output_change_sink(output, cursor->source);
	if (fsmeta_scope_init(&unseen->scope, cursor->source))
		status = fsmeta_error_set_memory(error, action);
	if (status >= 0 && operand->db)
		status =
		    fsmeta_db_unknown_places(&unseen->places, operand->db, operand->number, error);
	if (status < 0) {
		fsmeta_unseen_free(unseen);
		return status;
	}
	*out = unseen;
	return 0;
}

void fsmeta_unseen_free(struct fsmeta_unseen *unseen)
{
	if (!unseen)
		return;
	fsmeta_db_unknown_places_release(&unseen->places);
	fsmeta_scope_release(&unseen->scope);
	fsmeta_buffer_release(&unseen->path);
	free(unseen);
}

/** The database's topmost place that the entry lies in or is, NULL where there is none. */
static const struct fsmeta_db_unknown_place *find_place(
    const struct fsmeta_unseen *unseen, const struct fsmeta_entry *entry)
{
	for (size_t i = 0; i < unseen->places.count; i++) {
		const struct fsmeta_db_unknown_place *place = &unseen->places.items[i];

		if (fsmeta_path_is_within(
			entry->path, entry->path_length, place->path, place->path_length))
			return place;
	}
	return NULL;
}

/** Says why and since when an entry is carried that is not seen itself. */
static void explain_carried(struct fsmeta_unseen *unseen, const struct fsmeta_entry *entry)
{
	const struct fsmeta_db_unknown_place *place = find_place(unseen, entry);

	unseen->since = entry->unknown_since;
	unseen->change.kind = FSMETA_CHANGE_UNKNOWN;
	unseen->entry.flags = 0;
	unseen->entry.error = 0;
	switch (fsmeta_scope_judge(
	    &unseen->scope, entry->path, entry->path_length, entry->type == FSMETA_TYPE_FOLDER)) {
	case FSMETA_SCOPE_NOT_ASKED:
		unseen->reason = "not asked for";
		return;
	case FSMETA_SCOPE_EXCLUDED:
		unseen->reason = "excluded";
		return;
	case FSMETA_SCOPE_LOOKED:
		break;
	}
	if (!place || !place->unreadable)
		return;
	unseen->change.kind = FSMETA_CHANGE_UNREADABLE;
	unseen->entry.flags = FSMETA_FLAG_UNREADABLE;
	unseen->entry.error = place->error;
}

/** The same for an entry that was seen, and hides what is below it. */
static void explain_hiding(struct fsmeta_unseen *unseen, const struct fsmeta_entry *entry)
{
	const struct fsmeta_db_unknown_place *place = find_place(unseen, entry);

	unseen->since = place ? place->since : 0;
	unseen->change.kind = entry->flags & FSMETA_FLAG_UNREADABLE ? FSMETA_CHANGE_UNREADABLE
								    : FSMETA_CHANGE_UNKNOWN;
}

static bool hides(const struct fsmeta_entry *entry)
{
	return entry->flags & FSMETA_FLAG_UNREADABLE ||
	       (entry->flags & FSMETA_FLAG_OTHER_FILESYSTEM && entry->type == FSMETA_TYPE_FOLDER);
}

static int open_place(
    struct fsmeta_unseen *unseen, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	fsmeta_buffer_clear(&unseen->path);
	if (fsmeta_buffer_append(&unseen->path, entry->path, entry->path_length) ||
	    !fsmeta_buffer_string(&unseen->path))
		return fsmeta_error_set_memory(error, action);
	unseen->is_open = true;
	unseen->reason = NULL;
	unseen->entry = *entry;
	unseen->entry.path = (const char *)unseen->path.data;
	unseen->entry.name =
	    unseen->entry.path + fsmeta_path_name_offset(unseen->entry.path, entry->path_length);
	/* Nothing of it is told that would have to outlive the cursor's next step. */
	unseen->entry.fields = 0;
	unseen->entry.target = NULL;
	unseen->change = (struct fsmeta_change){.after = &unseen->entry};
	if (entry->unknown_since)
		explain_carried(unseen, entry);
	else
		explain_hiding(unseen, entry);
	unseen->since_below = unseen->since;
	return 0;
}

int fsmeta_unseen_finish(struct fsmeta_unseen *unseen, struct fsmeta_error *error)
{
	bool longer = unseen->since_below < unseen->since;
	char below[64] = "", after[128] = "", json[128] = "";

	if (!unseen->is_open)
		return 0;
	unseen->is_open = false;
	if (longer)
		snprintf(below, sizeof(below), ", below it since %" PRIu64, unseen->since_below);
	if (unseen->since)
		snprintf(after, sizeof(after), "  [%s%ssince generation %" PRIu64 "%s]",
		    unseen->reason ? unseen->reason : "", unseen->reason ? ", " : "", unseen->since,
		    below);
	if (longer)
		snprintf(below, sizeof(below), "\"below_since\":%" PRIu64 ",", unseen->since_below);
	if (unseen->since)
		snprintf(json, sizeof(json), "\"unknown_since\":%" PRIu64 ",%s%s%s%s",
		    unseen->since, below, unseen->reason ? "\"reason\":\"" : "",
		    unseen->reason ? unseen->reason : "", unseen->reason ? "\"," : "");
	fsmeta_output_set_context(
	    unseen->output, &(struct fsmeta_output_context){.after = after, .json = json});
	return unseen->sink->change(unseen->sink, &unseen->change, error);
}

int fsmeta_unseen_take(
    struct fsmeta_unseen *unseen, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	int status;

	if (unseen->is_open && fsmeta_path_is_within(entry->path, entry->path_length,
				   unseen->entry.path, unseen->entry.path_length)) {
		/* A listing that broke off may have seen some of it. */
		if (!entry->unknown_since)
			return 0;
		if (entry->unknown_since < unseen->since_below)
			unseen->since_below = entry->unknown_since;
		unseen->change.entries++;
		unseen->change.bytes += entry->type == FSMETA_TYPE_FILE ? entry->size : 0;
		return 0;
	}
	status = fsmeta_unseen_finish(unseen, error);
	if (status < 0 || !(entry->unknown_since || hides(entry)))
		return status;
	return open_place(unseen, entry, error);
}
