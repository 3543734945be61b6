#include "tools/walk.h"

#include "base/path.h"
#include "tools/command.h"
#include "tools/operand.h"

#include <stdlib.h>
#include <string.h>

static void take_argument(struct fsmeta_walk *walk, char *text, struct argp_state *state)
{
	if (state->arg_num == 0) {
		walk->operand = text;
	} else if (state->arg_num == 1) {
		walk->path = fsmeta_operand_inner_path(text);
		if (!walk->path)
			argp_error(
			    state, "PATH is relative to the root, without '..': '%s' is not", text);
	} else {
		argp_error(state, "one operand is listed at a time");
	}
}

error_t fsmeta_walk_parse(struct fsmeta_walk *walk, int key, char *text, struct argp_state *state)
{
	switch (key) {
	case FSMETA_WALK_FORMAT:
		fsmeta_output_format_take(&walk->format, text, walk->formats, state);
		return 0;
	case FSMETA_WALK_NULL:
		walk->output_flags |= FSMETA_OUTPUT_NULL;
		return 0;
	case FSMETA_WALK_DEPTH:
		fsmeta_depth_take(&walk->depth, text, state);
		return 0;
	case FSMETA_WALK_SEEN:
		walk->seen_only = true;
		return 0;
	case ARGP_KEY_ARG:
		take_argument(walk, text, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

void fsmeta_walk_end(const struct fsmeta_walk *walk, const char *question, struct argp_state *state)
{
	if (!walk->operand)
		argp_error(state, "%s", question);
	fsmeta_output_check_null(walk->format, walk->output_flags, state);
}

void fsmeta_depth_take(uint32_t *depth, const char *text, struct argp_state *state)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value > FSMETA_DEPTH_MAX)
		argp_error(state, "--depth: '%s' is no number of levels", text);
	*depth = (uint32_t)value;
}

struct fsmeta_operand_options fsmeta_walk_operand_options(const struct fsmeta_walk *walk)
{
	return (struct fsmeta_operand_options){.scan = &walk->scan, .seen_only = walk->seen_only};
}

int fsmeta_walk_output_new(struct fsmeta_output **out, const struct fsmeta_walk *walk,
    const struct fsmeta_batch_source *source, struct fsmeta_error *error)
{
	return fsmeta_output_new(out, stdout, walk->format, walk->output_flags, source, error);
}

int fsmeta_walk_status(const struct fsmeta_walk *walk)
{
	return walk->unreadable ? FSMETA_EXIT_PARTIAL : FSMETA_EXIT_OK;
}

bool fsmeta_walk_shows(const struct fsmeta_walk *walk, const struct fsmeta_entry *entry)
{
	size_t length = strlen(walk->path);

	return fsmeta_path_is_within(entry->path, entry->path_length, walk->path, length) &&
	       entry->depth - fsmeta_path_depth(walk->path, length) <= walk->depth;
}

int fsmeta_walk_run(struct fsmeta_walk *walk, struct fsmeta_cursor *cursor,
    struct fsmeta_entry_sink *sink, struct fsmeta_error *error)
{
	size_t path_length = strlen(walk->path);
	uint32_t base_depth = fsmeta_path_depth(walk->path, path_length);
	const struct fsmeta_entry *entry;
	bool found = false;
	int status;

	while ((status = fsmeta_cursor_next(cursor, &entry, error)) > 0) {
		bool within =
		    fsmeta_path_is_within(entry->path, entry->path_length, walk->path, path_length);

		if (within) {
			bool is_deepest = entry->depth - base_depth >= walk->depth;
			uint32_t below = entry->depth + 1;

			found = true;
			walk->unreadable |= (entry->flags & FSMETA_FLAG_UNREADABLE) != 0;
			status = sink->entry(sink, entry, error);
			if (status >= 0 && is_deepest)
				status = fsmeta_cursor_skip(cursor, below, error);
		} else if (found) {
			break;
		} else if (entry->type == FSMETA_TYPE_FOLDER &&
			   !fsmeta_path_is_within(
			       walk->path, path_length, entry->path, entry->path_length)) {
			status = fsmeta_cursor_skip(cursor, entry->depth + 1, error);
		}
		if (status >= 0)
			status = fsmeta_check_stop(error);
		if (status < 0)
			return status;
	}
	if (status >= 0 && !found && path_length)
		return fsmeta_error_set(error, FSMETA_E_NOT_FOUND, walk->path, "listing",
		    "no such path in %s", cursor->label);
	return status < 0 ? status : 0;
}
