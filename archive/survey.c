/*
 * The survey.
 *
 *     entries in canonical order          one collector for each open level
 *     cam1/                               [root][cam1]
 *     cam1/1700000000123.h264             a part of piece 1700000000123 …
 *     cam1/1700000000123.vidx             … and its counterpart: a whole one
 *     cam1/1700001000123.h264             another name before the ending: that piece is judged
 *     cam2/                               a folder that ends is judged as a whole
 *
 * The parts of a piece differ in their endings only, so they stand side by side in the canonical
 * order and one name has to be remembered, not all.  Of whole pieces start and end are kept, 24
 * bytes each, because names in seconds and in milliseconds do not sort together.
 */
#include "archive/archive.h"

#include "archive/piece.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>

struct span {
	int64_t start_us;
	/** -1 = not known. */
	int64_t end_us;
	enum fsmeta_layout layout;
};

/** What one layout found in one folder. */
struct evidence {
	uint64_t pieces;
	uint64_t bytes;
	uint64_t orphans;
	int64_t changed_us;
};

/** The piece whose parts come just now. */
struct current_piece {
	enum fsmeta_layout layout;
	struct fsmeta_buffer stem;
	unsigned parts;
	struct span span;
};

/** A folder that is open. */
struct collector {
	struct current_piece current;
	struct evidence fsv;
	struct evidence segments;
	struct evidence frames;
	struct evidence recording;
	/** Files of the recording that are there. */
	unsigned recording_parts;
	struct fsmeta_time data_time;
	struct fsmeta_time meta_time;
	struct span *spans;
	size_t span_count;
	size_t span_capacity;
};

struct survey {
	/** One for each depth that was open at any time. */
	struct collector **levels;
	size_t level_count;
	/** Open now: levels 0 to depth. */
	size_t open_count;
	struct fsmeta_path_stack path;
	fsmeta_archive_visit *visit;
	void *payload;
};

const char *fsmeta_layout_name(enum fsmeta_layout layout)
{
	switch (layout) {
	case FSMETA_LAYOUT_FSV:
		return "fsv";
	case FSMETA_LAYOUT_SEGMENTS:
		return "segments";
	case FSMETA_LAYOUT_FRAMES:
		return "frames";
	case FSMETA_LAYOUT_RECORDING:
		return "recording";
	case FSMETA_LAYOUT_NONE:
		break;
	}
	return NULL;
}

/* ---- pieces ---- */

static struct evidence *evidence_of(struct collector *collector, enum fsmeta_layout layout)
{
	return layout == FSMETA_LAYOUT_FSV ? &collector->fsv : &collector->segments;
}

static int add_span(struct collector *collector, const struct span *span)
{
	if (collector->span_count == collector->span_capacity) {
		size_t capacity = collector->span_capacity ? collector->span_capacity * 2 : 64;
		struct span *spans = realloc(collector->spans, capacity * sizeof(*spans));

		if (!spans)
			return FSMETA_E_MEMORY;
		collector->spans = spans;
		collector->span_capacity = capacity;
	}
	collector->spans[collector->span_count++] = *span;
	return 0;
}

static void weigh(struct evidence *evidence, const struct fsmeta_entry *entry)
{
	int64_t modified_us = fsmeta_piece_modified_us(entry);

	evidence->bytes += entry->size;
	if (modified_us > evidence->changed_us)
		evidence->changed_us = modified_us;
}

/** The tracks of one file of FSV come one behind the other and are one piece. */
static int end_piece(struct collector *collector)
{
	struct current_piece *current = &collector->current;
	struct evidence *evidence = evidence_of(collector, current->layout);
	struct span *last =
	    collector->span_count ? &collector->spans[collector->span_count - 1] : NULL;
	int code = 0;

	if (!current->parts)
		return 0;
	if (current->parts != FSMETA_PIECE_BOTH) {
		evidence->orphans++;
	} else if (last && last->start_us == current->span.start_us &&
		   last->layout == current->layout) {
		if (current->span.end_us > last->end_us)
			last->end_us = current->span.end_us;
	} else {
		evidence->pieces++;
		code = add_span(collector, &current->span);
	}
	current->parts = 0;
	return code;
}

/** When it was modified last, where that can be the end of a piece; else -1. */
static int64_t plausible_end(const struct fsmeta_entry *entry, int64_t start_us)
{
	int64_t modified_us = fsmeta_piece_modified_us(entry);

	return modified_us < start_us || modified_us > start_us + FSMETA_PIECE_CLOSED_US
		   ? -1
		   : modified_us;
}

/** A part of a file of FSV or of a segment. */
static int add_part(struct collector *collector, const struct fsmeta_piece_name *name,
    const struct fsmeta_entry *entry)
{
	struct current_piece *current = &collector->current;
	int64_t end_us = plausible_end(entry, name->start_us);
	int code = 0;

	if (current->layout != name->layout || current->stem.length != name->stem_length ||
	    memcmp(current->stem.data, entry->name, name->stem_length) != 0) {
		code = end_piece(collector);
		fsmeta_buffer_clear(&current->stem);
		if (!code)
			code = fsmeta_buffer_append(&current->stem, entry->name, name->stem_length);
		current->layout = name->layout;
		current->span =
		    (struct span){.start_us = name->start_us, .end_us = -1, .layout = name->layout};
	}
	weigh(evidence_of(collector, name->layout), entry);
	current->parts |= name->part;
	if (end_us > current->span.end_us)
		current->span.end_us = end_us;
	return code;
}

static void add_recording_part(struct collector *collector, const struct fsmeta_piece_name *name,
    const struct fsmeta_entry *entry)
{
	weigh(&collector->recording, entry);
	if (name->part == FSMETA_PIECE_DATA)
		collector->data_time = entry->mtime;
	if (name->part == FSMETA_PIECE_META)
		collector->meta_time = entry->mtime;
	collector->recording_parts |= name->part;
}

/** Shows the folder a file. */
static int offer(struct collector *collector, const struct fsmeta_entry *entry)
{
	struct fsmeta_piece_name name;

	if (!fsmeta_piece_parse(&name, entry->name, entry->name_length))
		return 0;
	switch (name.layout) {
	case FSMETA_LAYOUT_FSV:
	case FSMETA_LAYOUT_SEGMENTS:
		return add_part(collector, &name, entry);
	case FSMETA_LAYOUT_FRAMES:
		collector->frames.pieces++;
		weigh(&collector->frames, entry);
		break;
	case FSMETA_LAYOUT_RECORDING:
		add_recording_part(collector, &name, entry);
		break;
	case FSMETA_LAYOUT_NONE:
		break;
	}
	return 0;
}

/* ---- judging a folder ---- */

static int compare_spans(const void *a, const void *b)
{
	const struct span *one = a, *other = b;

	return (one->start_us > other->start_us) - (one->start_us < other->start_us);
}

/** Coverage, gaps and overlaps of pieces in order. */
static void measure_spans(struct fsmeta_archive_stream *out, struct span *spans, size_t count)
{
	const int64_t tolerance = FSMETA_PIECE_GAP_US;
	int64_t covered_to;

	if (!count)
		return;
	qsort(spans, count, sizeof(*spans), compare_spans);
	out->from_us = covered_to = spans[0].start_us;
	for (size_t i = 0; i < count; i++) {
		int64_t start = spans[i].start_us, end = spans[i].end_us;
		int64_t next = i + 1 < count ? spans[i + 1].start_us : start;

		if (end < 0)
			end = next - start <= FSMETA_PIECE_MAX_US ? next : start;
		if (start > covered_to + tolerance) {
			out->gaps++;
			if (start - covered_to > out->longest_gap_us) {
				out->longest_gap_us = start - covered_to;
				out->longest_gap_at_us = covered_to;
			}
		} else if (i && start < covered_to - tolerance) {
			out->overlaps++;
		}
		if (end > covered_to) {
			/* A pause too short to be a gap counts as covered. */
			out->covered_us +=
			    end - (start > covered_to + tolerance ? start : covered_to);
			covered_to = end;
		}
	}
	out->to_us = covered_to;
}

/** Leaves the spans of one layout; where two are mixed, the other's tell nothing. */
static size_t keep_spans(struct span *spans, size_t count, enum fsmeta_layout layout)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if (spans[i].layout == layout)
			spans[kept++] = spans[i];
	return kept;
}

/** The highest count of verified pieces claims the folder. */
static bool judge(struct fsmeta_archive_stream *out, struct collector *collector, const char *name,
    size_t name_length)
{
	struct evidence *best = &collector->fsv;

	*out = (struct fsmeta_archive_stream){.layout = FSMETA_LAYOUT_FSV};
	if (collector->segments.pieces > best->pieces) {
		best = &collector->segments;
		out->layout = FSMETA_LAYOUT_SEGMENTS;
	}
	if (collector->frames.pieces > best->pieces) {
		best = &collector->frames;
		out->layout = FSMETA_LAYOUT_FRAMES;
	}
	if (collector->recording_parts == FSMETA_PIECE_RECORDING &&
	    fsmeta_piece_is_recording_folder(name, name_length) && !best->pieces) {
		best = &collector->recording;
		best->pieces = 1;
		out->layout = FSMETA_LAYOUT_RECORDING;
		out->is_unfinished =
		    fsmeta_time_compare(collector->data_time, collector->meta_time) > 0;
	} else if (out->layout != FSMETA_LAYOUT_FRAMES) {
		measure_spans(out, collector->spans,
		    keep_spans(collector->spans, collector->span_count, out->layout));
	}
	out->pieces = best->pieces;
	out->bytes = best->bytes;
	out->orphans = best->orphans;
	out->changed_us = best->changed_us;
	return out->pieces;
}

static void clear_collector(struct collector *collector)
{
	struct fsmeta_buffer stem = collector->current.stem;
	struct span *spans = collector->spans;
	size_t capacity = collector->span_capacity;

	fsmeta_buffer_clear(&stem);
	*collector = (struct collector){
	    .spans = spans,
	    .span_capacity = capacity,
	    .fsv.changed_us = INT64_MIN,
	    .segments.changed_us = INT64_MIN,
	    .frames.changed_us = INT64_MIN,
	    .recording.changed_us = INT64_MIN,
	};
	collector->current.stem = stem;
}

/** Judges and closes the folders below `depth`. */
static int close_levels(struct survey *survey, size_t depth, struct fsmeta_error *error)
{
	int code = 0;

	while (survey->open_count > depth && !code) {
		struct collector *collector = survey->levels[survey->open_count - 1];
		uint32_t level = (uint32_t)survey->open_count - 1;
		struct fsmeta_archive_stream stream;
		const char *name = "";
		size_t name_length = 0;

		fsmeta_path_stack_truncate(&survey->path, level);
		if (level)
			name = fsmeta_path_stack_name(&survey->path, level, &name_length);
		if (end_piece(collector))
			return fsmeta_error_set_memory(error, "surveying archives");
		if (judge(&stream, collector, name, name_length)) {
			stream.path = fsmeta_path_stack_path(&survey->path, &stream.path_length);
			code = survey->visit(survey->payload, &stream, error);
		}
		survey->open_count--;
	}
	return code;
}

static int open_level(struct survey *survey, const struct fsmeta_entry *entry)
{
	if (survey->open_count == survey->level_count) {
		struct collector **levels =
		    realloc(survey->levels, (survey->level_count + 1) * sizeof(*survey->levels));

		if (!levels)
			return FSMETA_E_MEMORY;
		survey->levels = levels;
		levels[survey->level_count] = calloc(1, sizeof(**levels));
		if (!levels[survey->level_count])
			return FSMETA_E_MEMORY;
		survey->level_count++;
	}
	clear_collector(survey->levels[survey->open_count++]);
	if (!entry->depth)
		return 0;
	fsmeta_path_stack_truncate(&survey->path, entry->depth - 1);
	return fsmeta_path_stack_push(&survey->path, entry->name, entry->name_length);
}

static int take_entry(
    struct survey *survey, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	int code = close_levels(survey, entry->depth, error);

	if (code)
		return code;
	if (entry->type == FSMETA_TYPE_FOLDER)
		code = open_level(survey, entry);
	else if (entry->type == FSMETA_TYPE_FILE && entry->depth &&
		 survey->open_count == entry->depth)
		code = offer(survey->levels[entry->depth - 1], entry);
	return code ? fsmeta_error_set_memory(error, "surveying archives") : 0;
}

int fsmeta_archive_survey(struct fsmeta_cursor *cursor, fsmeta_archive_visit *visit,
    struct fsmeta_error *error, void *payload)
{
	struct survey survey = {.visit = visit, .payload = payload};
	const struct fsmeta_entry *entry;
	int code;

	fsmeta_path_stack_init(&survey.path);
	while ((code = fsmeta_cursor_next(cursor, &entry, error)) > 0) {
		code = take_entry(&survey, entry, error);
		if (code)
			break;
	}
	if (!code)
		code = close_levels(&survey, 0, error);
	for (size_t i = 0; i < survey.level_count; i++) {
		fsmeta_buffer_release(&survey.levels[i]->current.stem);
		free(survey.levels[i]->spans);
		free(survey.levels[i]);
	}
	free(survey.levels);
	fsmeta_path_stack_release(&survey.path);
	return code;
}
