/*
 * Globs are fnmatch(3)'s without FNM_PATHNAME, as find(1) has them: in the C locale, which
 * this program never leaves, they compare bytes.
 *
 * Inside.  An added folder is followed by all that is in it, and text shows the folder alone,
 * since its line counts the rest.  Where the folder is not selected, but a file in it is,
 * the file has to stand for itself:
 *
 *     A cam2/            not selected     ─
 *     A   cam2/x/        selected         A cam2/x/        no longer inside
 *     A     cam2/x/f     selected         (inside of that)
 *     A   cam2/y         selected         A cam2/y         no longer inside
 */
#include "tools/selection.h"

#include "base/path.h"
#include "tools/keep.h"
#include "tools/summary.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <string.h>

enum option_key {
	/* Apart from those of the commands themselves and of other children. */
	OPTION_TYPE = 0x2000,
	OPTION_NAME,
	OPTION_PATH,
	OPTION_LARGER,
	OPTION_SMALLER,
	OPTION_NEWER,
	OPTION_OLDER,
};

static const struct argp_option options[] = {
    {"type", OPTION_TYPE, "LIST", 0,
	"Only of these types: file, folder, symlink, fifo, socket, block, char, or their letters "
	"in find(1)",
	0},
    {"name", OPTION_NAME, "GLOB", 0, "Only with a name that matches (repeatable: or)", 0},
    {"path", OPTION_PATH, "GLOB", 0,
	"Only with a path that matches, where * stands for any bytes, slashes too (repeatable: or)",
	0},
    {"larger", OPTION_LARGER, "SIZE", 0, "Only files of more than SIZE: 4096, 10M, 1GiB, 5kB", 0},
    {"smaller", OPTION_SMALLER, "SIZE", 0, "Only files of less than SIZE", 0},
    {"newer", OPTION_NEWER, "TIME", 0,
	"Only modified after TIME: 2026-11-20, 2026-11-20T10:00:00Z, or 7d (h, d, w, m, y) ago", 0},
    {"older", OPTION_OLDER, "TIME", 0, "Only modified before TIME", 0},
    {0},
};

/* ---- reading options -------------------------------------------------------- */

/** The next word of a list separated by commas, and what is behind it. */
static size_t take_word(const char **rest)
{
	size_t length = strcspn(*rest, ",");

	*rest += length + ((*rest)[length] == ',');
	return length;
}

static bool parse_types(uint32_t *out, const char *text)
{
	/* As find(1) has them, in the order of the types. */
	static const char letters[] = "fdlpsbc";

	do {
		const char *word = text;
		size_t length = take_word(&text);
		uint32_t found = 0;

		for (enum fsmeta_type type = FSMETA_TYPE_FILE; type <= FSMETA_TYPE_CHAR; type++) {
			const char *name = fsmeta_type_name(type);

			if ((strlen(name) == length && memcmp(name, word, length) == 0) ||
			    (length == 1 && *word == letters[type - FSMETA_TYPE_FILE]))
				found = 1u << type;
		}
		if (!found)
			return false;
		*out |= found;
	} while (*text || text[-1] == ',');
	return true;
}

bool fsmeta_selection_parse_kinds(uint32_t *out, const char *text)
{
	do {
		const char *word = text;
		size_t length = take_word(&text);
		uint32_t found = 0;

		for (enum fsmeta_change_kind kind = FSMETA_CHANGE_ADDED;
		     kind <= FSMETA_CHANGE_UNKNOWN; kind++) {
			const char *name = fsmeta_change_kind_name(kind);

			if (strlen(name) == length && memcmp(name, word, length) == 0)
				found = 1u << kind;
		}
		if (!found)
			return false;
		*out |= found;
	} while (*text || text[-1] == ',');
	return true;
}

bool fsmeta_selection_parse_time(struct fsmeta_time *out, const char *text, struct fsmeta_time now)
{
	static const char midnight[] = "T00:00:00Z";
	size_t length = strlen(text);
	char whole[FSMETA_TIME_TEXT_BYTES];
	uint64_t seconds;

	if (fsmeta_time_parse(out, text, length))
		return true;
	if (fsmeta_keep_parse_duration(&seconds, text)) {
		*out = now;
		return seconds <= INT64_MAX &&
		       !__builtin_sub_overflow(now.seconds, (int64_t)seconds, &out->seconds);
	}
	if (length + sizeof(midnight) > sizeof(whole))
		return false;
	memcpy(whole, text, length);
	memcpy(whole + length, midnight, sizeof(midnight));
	return fsmeta_time_parse(out, whole, length + sizeof(midnight) - 1);
}

static void add_pattern(struct fsmeta_selection_patterns *patterns, const char *text,
    const char *option, struct argp_state *state)
{
	if (patterns->count == FSMETA_SELECTION_PATTERNS)
		argp_error(state, "%s: more than %d patterns", option, FSMETA_SELECTION_PATTERNS);
	else
		patterns->items[patterns->count++] = text;
}

static uint64_t take_size(const char *text, const char *option, struct argp_state *state)
{
	uint64_t size = 0;

	if (!fsmeta_size_parse(&size, text))
		argp_error(
		    state, "%s: '%s' is no size, as 4096, 10M, 1GiB or 5kB are", option, text);
	return size;
}

static struct fsmeta_time take_time(const char *text, const char *option, struct argp_state *state)
{
	struct fsmeta_time time = {.seconds = 0};

	if (!fsmeta_selection_parse_time(&time, text, fsmeta_time_now()))
		argp_error(state,
		    "%s: '%s' is no time, as 2026-11-20, 2026-11-20T10:00:00Z or 7d are", option,
		    text);
	return time;
}

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct fsmeta_selection *selection = state->input;

	switch (key) {
	case OPTION_TYPE:
		if (!parse_types(&selection->types, text))
			argp_error(state,
			    "--type: '%s' is no list of file, folder, symlink, fifo, socket, "
			    "block, char",
			    text);
		return 0;
	case OPTION_NAME:
		add_pattern(&selection->names, text, "--name", state);
		return 0;
	case OPTION_PATH:
		add_pattern(&selection->paths, text, "--path", state);
		return 0;
	case OPTION_LARGER:
		selection->larger = take_size(text, "--larger", state);
		selection->has_larger = true;
		return 0;
	case OPTION_SMALLER:
		selection->smaller = take_size(text, "--smaller", state);
		selection->has_smaller = true;
		return 0;
	case OPTION_NEWER:
		selection->newer = take_time(text, "--newer", state);
		selection->has_newer = true;
		return 0;
	case OPTION_OLDER:
		selection->older = take_time(text, "--older", state);
		selection->has_older = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp fsmeta_selection_argp = {options, parse_option, NULL, NULL, NULL, NULL, NULL};

/* ---- judging ---------------------------------------------------------------- */

static bool matches_any(const struct fsmeta_selection_patterns *patterns, const char *text)
{
	for (size_t i = 0; i < patterns->count; i++)
		if (fnmatch(patterns->items[i], text, 0) == 0)
			return true;
	return !patterns->count;
}

static bool matches_plainly(
    const struct fsmeta_selection *selection, const struct fsmeta_entry *entry)
{
	bool has_size = entry->type == FSMETA_TYPE_FILE && entry->fields & FSMETA_FIELD_SIZE;
	bool has_time = entry->fields & FSMETA_FIELD_MTIME;

	if (selection->types && !(selection->types & 1u << entry->type))
		return false;
	if (selection->has_larger && !(has_size && entry->size > selection->larger))
		return false;
	if (selection->has_smaller && !(has_size && entry->size < selection->smaller))
		return false;
	if (selection->has_newer &&
	    !(has_time && fsmeta_time_compare(entry->mtime, selection->newer) > 0))
		return false;
	return !selection->has_older ||
	       (has_time && fsmeta_time_compare(entry->mtime, selection->older) < 0);
}

int fsmeta_selection_judge(struct fsmeta_selection *selection, const struct fsmeta_entry *entry,
    struct fsmeta_error *error)
{
	struct fsmeta_buffer *scratch = &selection->scratch;
	const char *path;

	if (!matches_plainly(selection, entry))
		return 0;
	if (!selection->names.count && !selection->paths.count)
		return 1;
	fsmeta_buffer_clear(scratch);
	if (fsmeta_buffer_append(scratch, entry->path_length ? entry->path : ".",
		entry->path_length ? entry->path_length : 1))
		return fsmeta_error_set_memory(error, "selecting");
	path = fsmeta_buffer_string(scratch);
	if (!path)
		return fsmeta_error_set_memory(error, "selecting");
	return matches_any(&selection->paths, path) &&
	       matches_any(
		   &selection->names, path + fsmeta_path_name_offset(path, scratch->length));
}

void fsmeta_selection_release(struct fsmeta_selection *selection)
{
	fsmeta_buffer_release(&selection->scratch);
}

/* ---- the sink --------------------------------------------------------------- */

static int judge_change(struct fsmeta_selection *selection, const struct fsmeta_change *change,
    struct fsmeta_error *error)
{
	int status = 0;

	if (selection->kinds && !(selection->kinds & 1u << change->kind))
		return 0;
	if (change->after)
		status = fsmeta_selection_judge(selection, change->after, error);
	if (!status && change->before)
		status = fsmeta_selection_judge(selection, change->before, error);
	return status;
}

/** Whether a change inside a folder comes behind that folder's own, which was let through. */
static bool is_behind_its_folder(
    const struct fsmeta_selection_folder *folder, const struct fsmeta_entry *entry)
{
	return folder->is_set && fsmeta_path_is_within(entry->path, entry->path_length,
				     (const char *)folder->path.data, folder->path.length);
}

/** Remembers a folder that others will be inside of. */
static int remember(struct fsmeta_selection_folder *folder, const struct fsmeta_entry *entry,
    struct fsmeta_error *error)
{
	fsmeta_buffer_clear(&folder->path);
	folder->is_set = true;
	return fsmeta_buffer_append(&folder->path, entry->path, entry->path_length)
		   ? fsmeta_error_set_memory(error, "selecting")
		   : 0;
}

static int take_change(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct fsmeta_selection_sink *self = (struct fsmeta_selection_sink *)sink;
	const struct fsmeta_entry *entry = fsmeta_change_entry(change);
	struct fsmeta_selection_folder *folder =
	    &self->folders[change->kind == FSMETA_CHANGE_REMOVED];
	struct fsmeta_change shown = *change;
	int status = judge_change(self->selection, change, error);

	if (status <= 0)
		return status;
	if (!(change->flags & FSMETA_CHANGE_CONTINUED))
		self->passed++;
	if (change->flags & FSMETA_CHANGE_INSIDE && !is_behind_its_folder(folder, entry))
		shown.flags &= ~(uint32_t)FSMETA_CHANGE_INSIDE;
	if (entry->type == FSMETA_TYPE_FOLDER && !(shown.flags & FSMETA_CHANGE_INSIDE) &&
	    (change->kind == FSMETA_CHANGE_ADDED || change->kind == FSMETA_CHANGE_REMOVED)) {
		status = remember(folder, entry, error);
		if (status < 0)
			return status;
	}
	return self->next->change(self->next, &shown, error);
}

void fsmeta_selection_sink_init(struct fsmeta_selection_sink *out,
    struct fsmeta_selection *selection, struct fsmeta_change_sink *next)
{
	*out = (struct fsmeta_selection_sink){
	    .sink.change = take_change,
	    .selection = selection,
	    .next = next,
	};
}

void fsmeta_selection_sink_release(struct fsmeta_selection_sink *sink)
{
	fsmeta_buffer_release(&sink->folders[0].path);
	fsmeta_buffer_release(&sink->folders[1].path);
}
