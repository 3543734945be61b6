/*
 * fsmeta du: what folders take, of any operand.
 *
 * Entries come depth first, so the folders that are still being added up are those on the
 * current path; one is printed when an entry comes that is not below it, as du(1) has it:
 *
 *     totals   ─► root ─► cam1 ─► 2026       ◄─ entries are added to the last
 *                         ended: printed, and added to the one before
 *
 * A file with several links counts once, where it comes first.  Only such files are
 * remembered, by file system and inode number.
 */
#include "tools/command.h"
#include "tools/operand.h"
#include "tools/output.h"
#include "tools/reading.h"
#include "tools/walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char action[] = "adding up";

enum option_key {
	/** The walk's own would keep it from going deeper. */
	OPTION_DEPTH = 0x100,
};

struct du_arguments {
	struct fsmeta_walk walk;
	/** Deepest folder that is printed, counted from the path. */
	uint32_t depth;
};

static const struct argp_option options[] = {
    {"format", FSMETA_WALK_FORMAT, "FORMAT", 0, "text (default), jsonl or csv", 1},
    {"depth", OPTION_DEPTH, "N", 0, "Print no folder deeper than N levels below the root or PATH",
	1},
    {"seen", FSMETA_WALK_SEEN, NULL, 0, "Of a database: leave out what is only carried", 1},
    {0},
};

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct du_arguments *arguments = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &arguments->walk.scan;
		return 0;
	case OPTION_DEPTH:
		fsmeta_depth_take(&arguments->depth, text, state);
		return 0;
	case ARGP_KEY_END:
		fsmeta_walk_end(&arguments->walk, "measure what?", state);
		return 0;
	default:
		return fsmeta_walk_parse(&arguments->walk, key, text, state);
	}
}

static const struct argp_child children[] = {FSMETA_READING_CHILD(2), {0}};

static const struct argp argp = {options, parse_option, "OPERAND [PATH]",
    "Print what every folder of OPERAND (a live folder, a stream, or a database at a generation), "
    "or of PATH in it, takes with all that is below: bytes on the disk, apparent sizes of files "
    "and symlinks, entries."
    "\vA file with several links counts once. Folders come behind what is in them.",
    children, NULL, NULL};

/* ---- files with several links ------------------------------------------------ */

/** A file, by what its links have in common; inode 0 = an empty slot. */
struct link_key {
	uint64_t inode;
	uint32_t device;
};

/** A set with open addressing. */
struct links {
	struct link_key *slots;
	/** A power of two, or 0. */
	size_t capacity;
	size_t count;
};

static struct link_key *find_slot(const struct links *links, uint64_t inode, uint32_t device)
{
	uint64_t hash = (inode ^ (uint64_t)device << 48) * UINT64_C(0x9e3779b97f4a7c15);
	size_t at = (size_t)(hash >> 20) & (links->capacity - 1);

	while (links->slots[at].inode &&
	       (links->slots[at].inode != inode || links->slots[at].device != device))
		at = (at + 1) & (links->capacity - 1);
	return &links->slots[at];
}

static int grow_links(struct links *links)
{
	struct links larger = {.capacity = links->capacity ? 2 * links->capacity : 1024};

	larger.slots = calloc(larger.capacity, sizeof(*larger.slots));
	if (!larger.slots)
		return FSMETA_E_MEMORY;
	for (size_t i = 0; i < links->capacity; i++)
		if (links->slots[i].inode)
			*find_slot(&larger, links->slots[i].inode, links->slots[i].device) =
			    links->slots[i];
	free(links->slots);
	links->slots = larger.slots;
	links->capacity = larger.capacity;
	return 0;
}

/** 1 where this is the first of its links, 0 where another came before, or FSMETA_E_MEMORY. */
static int is_first_link(struct links *links, const struct fsmeta_entry *entry)
{
	const uint32_t needed = FSMETA_FIELD_INODE | FSMETA_FIELD_NLINK;
	struct link_key *slot;

	if (entry->type == FSMETA_TYPE_FOLDER || (entry->fields & needed) != needed ||
	    entry->nlink < 2 || !entry->inode)
		return 1;
	if (links->count >= links->capacity / 2 && grow_links(links))
		return FSMETA_E_MEMORY;
	slot = find_slot(links, entry->inode, entry->device);
	if (slot->inode)
		return 0;
	*slot = (struct link_key){.inode = entry->inode, .device = entry->device};
	links->count++;
	return 1;
}

/* ---- adding up --------------------------------------------------------------- */

struct total {
	/** Of the folder's path in sum.path. */
	size_t path_length;
	enum fsmeta_type type;
	uint64_t entries;
	uint64_t apparent;
	uint64_t allocated;
};

struct sum {
	/** First, so that the sink is the sum. */
	struct fsmeta_entry_sink sink;
	struct fsmeta_output *output;
	/** Deepest folder that is printed, counted from the first. */
	uint32_t depth;
	/** The folders on the current path, the first one outermost. */
	struct total *totals;
	size_t count;
	size_t capacity;
	uint32_t base_depth;
	/** Of the innermost of them. */
	struct fsmeta_buffer path;
	struct links links;
	/** Fields that the source has. */
	uint32_t known;
};

static int print_total(
    struct sum *sum, const struct total *total, uint32_t depth, struct fsmeta_error *error)
{
	struct fsmeta_entry entry = {
	    .path = (const char *)sum->path.data,
	    .path_length = total->path_length,
	    .type = total->type,
	    .depth = depth,
	};
	struct fsmeta_output_usage usage = {
	    .entry = &entry,
	    .entries = total->entries,
	    .apparent = total->apparent,
	    .allocated = total->allocated,
	    .known = sum->known,
	};

	return fsmeta_output_usage(sum->output, &usage, error);
}

/** Ends folders until `count` are left: each is printed and added to the one it is in. */
static int end_folders(struct sum *sum, size_t count, struct fsmeta_error *error)
{
	int code = 0;

	while (sum->count > count && !code) {
		const struct total *total = &sum->totals[--sum->count];

		if (sum->count <= sum->depth)
			code =
			    print_total(sum, total, sum->base_depth + (uint32_t)sum->count, error);
		if (sum->count) {
			struct total *above = &sum->totals[sum->count - 1];

			above->entries += total->entries + 1;
			above->apparent += total->apparent;
			above->allocated += total->allocated;
		}
	}
	return code;
}

/** A folder that entries are added to from now on. */
static struct total *begin_folder(
    struct sum *sum, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	size_t capacity = sum->capacity ? 2 * sum->capacity : 64;
	struct total *totals = sum->totals;

	if (sum->count == sum->capacity) {
		totals = realloc(totals, capacity * sizeof(*totals));
		if (!totals) {
			fsmeta_error_set_memory(error, action);
			return NULL;
		}
		sum->totals = totals;
		sum->capacity = capacity;
	}
	fsmeta_buffer_clear(&sum->path);
	if (fsmeta_buffer_append(&sum->path, entry->path, entry->path_length)) {
		fsmeta_error_set_memory(error, action);
		return NULL;
	}
	totals[sum->count] = (struct total){.path_length = entry->path_length, .type = entry->type};
	return &totals[sum->count++];
}

static bool has_apparent_size(const struct fsmeta_entry *entry)
{
	return entry->type == FSMETA_TYPE_FILE || entry->type == FSMETA_TYPE_SYMLINK;
}

static int add_entry(
    struct fsmeta_entry_sink *sink, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	struct sum *sum = (struct sum *)sink;
	bool is_first = !sum->count;
	struct total *total;
	int status;

	if (is_first)
		sum->base_depth = entry->depth;
	status = end_folders(sum, entry->depth - sum->base_depth, error);
	if (status < 0)
		return status;
	/* A PATH that is no folder is measured alone. */
	if (is_first || entry->type == FSMETA_TYPE_FOLDER) {
		total = begin_folder(sum, entry, error);
		if (!total)
			return FSMETA_E_MEMORY;
	} else {
		total = &sum->totals[sum->count - 1];
		total->entries++;
	}
	status = is_first_link(&sum->links, entry);
	if (status < 0)
		return fsmeta_error_set_memory(error, action);
	if (status) {
		total->allocated += entry->allocated;
		total->apparent += has_apparent_size(entry) ? entry->size : 0;
	}
	return 0;
}

static int measure(struct du_arguments *arguments, struct sum *sum, struct fsmeta_cursor *cursor,
    struct fsmeta_error *error)
{
	int status;

	sum->known = cursor->source->field_mask;
	status = fsmeta_walk_output_new(&sum->output, &arguments->walk, cursor->source, error);
	if (status >= 0)
		status = fsmeta_walk_run(&arguments->walk, cursor, &sum->sink, error);
	if (status >= 0)
		status = end_folders(sum, 0, error);
	if (status >= 0)
		status = fsmeta_output_finish(sum->output, error);
	return status;
}

static int du(struct du_arguments *arguments, struct fsmeta_error *error)
{
	struct fsmeta_operand_options operand_options =
	    fsmeta_walk_operand_options(&arguments->walk);
	struct sum sum = {.sink.entry = add_entry, .depth = arguments->depth};
	struct fsmeta_cursor *cursor = NULL;
	struct fsmeta_operand operand;
	int status;

	status = fsmeta_operand_parse(&operand, arguments->walk.operand, error);
	if (status >= 0)
		status = fsmeta_operand_open(&cursor, &operand, &operand_options, error);
	if (status >= 0)
		status = measure(arguments, &sum, cursor, error);
	free(sum.links.slots);
	free(sum.totals);
	fsmeta_buffer_release(&sum.path);
	fsmeta_output_free(sum.output);
	fsmeta_cursor_close(cursor);
	fsmeta_operand_release(&operand);
	if (status < 0)
		return status;
	return fsmeta_walk_status(&arguments->walk);
}

int fsmeta_command_du(int argc, char **argv)
{
	struct du_arguments arguments = {
	    .walk = FSMETA_WALK_INIT(FSMETA_OUTPUT_CHANGES), .depth = UINT32_MAX};
	struct fsmeta_error error;
	int status;

	fsmeta_error_clear(&error);
	fsmeta_arguments(&argp, argc, argv, &arguments);
	status = du(&arguments, &error);
	return status < 0 ? fsmeta_report(&error) : status;
}
