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
 *
 * A folder in which no piece is whole may be a stream that lost every index.  Where its names are
 * not enough to say so, it waits with the folder above for a whole stream beside it:
 *
 *     site/                               [root][site: waiting cam2]
 *     site/cam2/1700000000123.h264        .h264 alone is anybody's …
 *     site/cam3/1700000000123.h264 .vidx  … but beside cam3 it is a stream of orphans
 */
#include "archive/archive.h"

#include "archive/piece.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>

enum {
	/** Names that nothing else has, for each file that belongs to no layout. */
	UNMISTAKABLE_SHARE = 4,
};

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
	/** Of them, those whose ending no other kind of file has. */
	uint64_t unmistakable;
	/** Of the first of them, each with a NUL. */
	struct fsmeta_buffer names;
	int64_t changed_us;
};

/** The piece whose parts come just now. */
struct current_piece {
	enum fsmeta_layout layout;
	/** Of its first part; what all begin with is `stem_length` of it. */
	struct fsmeta_buffer name;
	size_t stem_length;
	unsigned parts;
	struct span span;
};

/** A folder of orphans that waits for a whole stream beside it. */
struct waiting {
	/** Its path and names are those below. */
	struct fsmeta_archive_stream stream;
	char *path;
	char *names;
};

/** A folder that is open. */
struct collector {
	struct current_piece current;
	struct evidence fsv;
	struct evidence segments;
	struct evidence frames;
	struct evidence recording;
	/** Files that belong to no layout. */
	uint64_t others;
	/** Files of the recording that are there. */
	unsigned recording_parts;
	struct fsmeta_time data_time;
	struct fsmeta_time meta_time;
	/** When its data were modified last, and when they and meta.json were born; INT64_MIN
	 * where that is not known. */
	int64_t data_us;
	int64_t births_us[2];
	/** Whether a folder in it is a stream with whole pieces, by layout. */
	bool has_stream[FSMETA_LAYOUT_SEGMENTS + 1];
	struct waiting *waiting;
	size_t waiting_count;
	size_t waiting_capacity;
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

/** A part without its counterpart. */
static int add_orphan(struct evidence *evidence, const struct current_piece *current)
{
	/* Frames of a segment are a bare byte stream, and such files are everywhere. */
	if (current->layout == FSMETA_LAYOUT_FSV || current->parts == FSMETA_PIECE_INDEX)
		evidence->unmistakable++;
	if (evidence->orphans++ >= FSMETA_ORPHANS_NAMED_MAX)
		return 0;
	if (fsmeta_buffer_append(&evidence->names, current->name.data, current->name.length))
		return FSMETA_E_MEMORY;
	return fsmeta_buffer_append_byte(&evidence->names, '\0');
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
		code = add_orphan(evidence, current);
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

	if (current->layout != name->layout || current->stem_length != name->stem_length ||
	    memcmp(current->name.data, entry->name, name->stem_length) != 0) {
		code = end_piece(collector);
		fsmeta_buffer_clear(&current->name);
		if (!code)
			code =
			    fsmeta_buffer_append(&current->name, entry->name, entry->name_length);
		current->stem_length = name->stem_length;
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
	if (name->part == FSMETA_PIECE_DATA) {
		collector->data_time = entry->mtime;
		collector->data_us = fsmeta_piece_modified_us(entry);
		collector->births_us[0] = fsmeta_piece_born_us(entry);
	}
	if (name->part == FSMETA_PIECE_META) {
		collector->meta_time = entry->mtime;
		collector->births_us[1] = fsmeta_piece_born_us(entry);
	}
	collector->recording_parts |= name->part;
}

/** Shows the folder a file. */
static int offer(struct collector *collector, const struct fsmeta_entry *entry)
{
	struct fsmeta_piece_name name;

	if (!fsmeta_piece_parse(&name, entry->name, entry->name_length)) {
		collector->others++;
		return 0;
	}
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
	out->has_from = out->has_to = true;
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

/** It ends with its data and began at a birth that can have been its own: a copy is born later. */
static void measure_recording(struct fsmeta_archive_stream *out, const struct collector *collector)
{
	int64_t end_us = collector->data_us, begin_us = INT64_MIN;

	if (end_us == INT64_MIN)
		return;
	out->has_to = true;
	out->to_us = end_us;
	for (int i = 0; i < 2; i++) {
		int64_t born_us = collector->births_us[i];

		if (born_us != INT64_MIN && born_us <= end_us &&
		    (begin_us == INT64_MIN || born_us < begin_us))
			begin_us = born_us;
	}
	if (begin_us == INT64_MIN)
		return;
	out->has_from = true;
	out->from_us = begin_us;
	out->covered_us = end_us - begin_us;
}

static void fill(struct fsmeta_archive_stream *out, const struct evidence *evidence)
{
	out->pieces = evidence->pieces;
	out->bytes = evidence->bytes;
	out->orphans = evidence->orphans;
	out->orphan_names = (const char *)evidence->names.data;
	out->orphan_names_bytes = evidence->names.length;
	out->changed_us = evidence->changed_us;
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
		measure_recording(out, collector);
	} else if (out->layout != FSMETA_LAYOUT_FRAMES) {
		measure_spans(out, collector->spans,
		    keep_spans(collector->spans, collector->span_count, out->layout));
	}
	fill(out, best);
	return out->pieces;
}

/** What halves of pieces say of a folder in which none is whole. */
enum claim {
	/** It never was a stream. */
	CLAIM_NONE,
	/** It was one if another stands beside it. */
	CLAIM_BESIDE,
	/** Nothing else has such names. */
	CLAIM_SURE,
};

/** What only halves of pieces tell; `out` where they may have been a stream. */
static enum claim judge_orphans(
    struct fsmeta_archive_stream *out, const struct collector *collector)
{
	const struct evidence *best = &collector->fsv;

	*out = (struct fsmeta_archive_stream){.layout = FSMETA_LAYOUT_FSV};
	if (collector->segments.orphans > best->orphans) {
		best = &collector->segments;
		out->layout = FSMETA_LAYOUT_SEGMENTS;
	}
	if (best->orphans <= collector->others)
		return CLAIM_NONE;
	fill(out, best);
	return best->unmistakable && best->unmistakable / UNMISTAKABLE_SHARE >= collector->others
		   ? CLAIM_SURE
		   : CLAIM_BESIDE;
}

static void drop_waiting(struct collector *collector)
{
	for (size_t i = 0; i < collector->waiting_count; i++) {
		free(collector->waiting[i].path);
		free(collector->waiting[i].names);
	}
	collector->waiting_count = 0;
}

static int add_waiting(struct collector *collector, const struct fsmeta_archive_stream *stream)
{
	struct waiting *added;

	if (collector->waiting_count == collector->waiting_capacity) {
		size_t capacity = collector->waiting_capacity ? collector->waiting_capacity * 2 : 8;
		struct waiting *waiting = realloc(collector->waiting, capacity * sizeof(*waiting));

		if (!waiting)
			return FSMETA_E_MEMORY;
		collector->waiting = waiting;
		collector->waiting_capacity = capacity;
	}
	added = &collector->waiting[collector->waiting_count++];
	*added = (struct waiting){
	    .stream = *stream,
	    .path = strndup(stream->path, stream->path_length),
	    .names = malloc(stream->orphan_names_bytes),
	};
	if (!added->path || !added->names)
		return FSMETA_E_MEMORY;
	memcpy(added->names, stream->orphan_names, stream->orphan_names_bytes);
	added->stream.path = added->path;
	added->stream.orphan_names = added->names;
	return 0;
}

/** Hands out the folders of orphans that waited for a stream of `layout`. */
static int visit_waiting(const struct survey *survey, struct collector *collector,
    enum fsmeta_layout layout, struct fsmeta_error *error)
{
	int code = 0;

	for (size_t i = 0; i < collector->waiting_count && !code; i++)
		if (collector->waiting[i].stream.layout == layout)
			code = survey->visit(survey->payload, &collector->waiting[i].stream, error);
	return code;
}

/** Hands out a stream with whole pieces, and before it what waited for it. */
static int hand_out(const struct survey *survey, struct collector *above,
    const struct fsmeta_archive_stream *stream, struct fsmeta_error *error)
{
	enum fsmeta_layout layout = stream->layout;
	int code = 0;

	if (above && layout <= FSMETA_LAYOUT_SEGMENTS && !above->has_stream[layout]) {
		above->has_stream[layout] = true;
		code = visit_waiting(survey, above, layout, error);
	}
	return code ? code : survey->visit(survey->payload, stream, error);
}

/** Hands out a folder of orphans, lets it wait for a stream beside it, or forgets it. */
static int hand_out_orphans(const struct survey *survey, struct collector *above,
    const struct collector *collector, struct fsmeta_archive_stream *stream,
    struct fsmeta_error *error)
{
	const char *path = stream->path;
	size_t path_length = stream->path_length;
	enum claim claim = judge_orphans(stream, collector);

	stream->path = path;
	stream->path_length = path_length;
	if (claim == CLAIM_BESIDE && above && above->has_stream[stream->layout])
		claim = CLAIM_SURE;
	if (claim == CLAIM_SURE)
		return survey->visit(survey->payload, stream, error);
	if (claim == CLAIM_BESIDE && above && add_waiting(above, stream))
		return fsmeta_error_set_memory(error, "surveying archives");
	return 0;
}

/** Empties it for the next folder; what it has allocated serves again. */
static void clear_collector(struct collector *collector)
{
	struct collector old = *collector;

	drop_waiting(collector);
	fsmeta_buffer_clear(&old.current.name);
	fsmeta_buffer_clear(&old.fsv.names);
	fsmeta_buffer_clear(&old.segments.names);
	*collector = (struct collector){
	    .current.name = old.current.name,
	    .spans = old.spans,
	    .span_capacity = old.span_capacity,
	    .waiting = old.waiting,
	    .waiting_capacity = old.waiting_capacity,
	    .fsv = {.names = old.fsv.names, .changed_us = INT64_MIN},
	    .segments = {.names = old.segments.names, .changed_us = INT64_MIN},
	    .frames.changed_us = INT64_MIN,
	    .recording.changed_us = INT64_MIN,
	    .data_us = INT64_MIN,
	    .births_us = {INT64_MIN, INT64_MIN},
	};
}

static void free_collector(struct collector *collector)
{
	drop_waiting(collector);
	fsmeta_buffer_release(&collector->current.name);
	fsmeta_buffer_release(&collector->fsv.names);
	fsmeta_buffer_release(&collector->segments.names);
	free(collector->waiting);
	free(collector->spans);
	free(collector);
}

/** Judges and closes the folders below `depth`. */
static int close_levels(struct survey *survey, size_t depth, struct fsmeta_error *error)
{
	int code = 0;

	while (survey->open_count > depth && !code) {
		struct collector *collector = survey->levels[survey->open_count - 1];
		struct collector *above =
		    survey->open_count > 1 ? survey->levels[survey->open_count - 2] : NULL;
		bool is_claimed;
		uint32_t level = (uint32_t)survey->open_count - 1;
		struct fsmeta_archive_stream stream;
		const char *name = "";
		size_t name_length = 0;

		fsmeta_path_stack_truncate(&survey->path, level);
		if (level)
			name = fsmeta_path_stack_name(&survey->path, level, &name_length);
		if (end_piece(collector))
			return fsmeta_error_set_memory(error, "surveying archives");
		is_claimed = judge(&stream, collector, name, name_length);
		stream.path = fsmeta_path_stack_path(&survey->path, &stream.path_length);
		if (is_claimed)
			code = hand_out(survey, above, &stream, error);
		else if (collector->fsv.orphans || collector->segments.orphans)
			code = hand_out_orphans(survey, above, collector, &stream, error);
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
	for (size_t i = 0; i < survey.level_count; i++)
		free_collector(survey.levels[i]);
	free(survey.levels);
	fsmeta_path_stack_release(&survey.path);
	return code;
}
