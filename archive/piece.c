#include "archive/piece.h"

#include "archive/fsv_container.h"
#include "archive/names.h"

#include <string.h>

enum {
	DIGITS_OF_MS = 13,
	FRAME_DIGITS_MIN = 6,
};

static bool ends_with(const char *name, size_t length, const char *ending)
{
	size_t size = strlen(ending);

	return length > size && memcmp(name + length - size, ending, size) == 0;
}

static bool parse_fsv(struct fsmeta_piece_name *out, const char *name, size_t length)
{
	struct fsmeta_container_name parsed;
	int64_t unit = FSMETA_PIECE_SECOND_US;

	if (!fsmeta_container_rf1.parse_name(&parsed, name, length))
		return false;
	if (parsed.digits == DIGITS_OF_MS)
		unit /= 1000;
	*out = (struct fsmeta_piece_name){
	    .layout = FSMETA_LAYOUT_FSV,
	    .stem_length = length - 1,
	    .part = parsed.parts,
	    .start_us = (int64_t)parsed.time * unit,
	};
	return true;
}

static bool parse_segment(struct fsmeta_piece_name *out, const char *name, size_t length)
{
	uint64_t start_ms;
	size_t digits = fsmeta_names_number(&start_ms, name, length);
	bool is_index = ends_with(name, length, ".vidx");

	if (digits < DIGITS_OF_MS - 3 || digits > DIGITS_OF_MS + 1 || length != digits + 5 ||
	    (!is_index && !ends_with(name, length, ".h264") && !ends_with(name, length, ".h265")))
		return false;
	*out = (struct fsmeta_piece_name){
	    .layout = FSMETA_LAYOUT_SEGMENTS,
	    .stem_length = digits,
	    .part = is_index ? FSMETA_PIECE_INDEX : FSMETA_PIECE_PAYLOAD,
	    .start_us = (int64_t)start_ms * 1000,
	};
	return true;
}

static bool parse_frame(struct fsmeta_piece_name *out, const char *name, size_t length)
{
	static const char start[] = "frame_";
	const size_t start_length = sizeof(start) - 1;
	size_t at = start_length;
	int64_t number = 0;

	if (length <= start_length || memcmp(name, start, start_length) != 0)
		return false;
	for (; at < length && name[at] >= '0' && name[at] <= '9'; at++)
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, name[at] - '0', &number))
			return false;
	if (at < start_length + FRAME_DIGITS_MIN ||
	    ((length - at != 4 || memcmp(name + at, ".npy", 4) != 0) &&
		(length - at != 8 || memcmp(name + at, ".npy.zst", 8) != 0)))
		return false;
	*out = (struct fsmeta_piece_name){
	    .layout = FSMETA_LAYOUT_FRAMES,
	    .stem_length = at,
	    .part = FSMETA_PIECE_FRAME,
	    .start_us = number,
	};
	return true;
}

static bool parse_recording(struct fsmeta_piece_name *out, const char *name, size_t length)
{
	static const struct {
		const char *name;
		unsigned part;
	} parts[] = {{"data.bin", FSMETA_PIECE_DATA}, {"index.jsonl", FSMETA_PIECE_LINES},
	    {"meta.json", FSMETA_PIECE_META}, {"index.bin", 0}};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (length != strlen(parts[i].name) || memcmp(name, parts[i].name, length) != 0)
			continue;
		*out = (struct fsmeta_piece_name){
		    .layout = FSMETA_LAYOUT_RECORDING,
		    .part = parts[i].part,
		};
		return true;
	}
	return false;
}

bool fsmeta_piece_parse(struct fsmeta_piece_name *out, const char *name, size_t length)
{
	if (!length)
		return false;
	/* Most files of most trees are none of it, which the first letter tells. */
	if (*name >= '0' && *name <= '9')
		return parse_fsv(out, name, length) || parse_segment(out, name, length);
	if (*name == 'f')
		return parse_frame(out, name, length);
	return (*name == 'd' || *name == 'i' || *name == 'm') && parse_recording(out, name, length);
}

bool fsmeta_piece_is_recording_folder(const char *name, size_t length)
{
	return length > 4 && memcmp(name, "rec_", 4) == 0;
}

int64_t fsmeta_piece_modified_us(const struct fsmeta_entry *entry)
{
	int64_t ns;

	if (!(entry->fields & FSMETA_FIELD_MTIME) || !fsmeta_time_to_ns(entry->mtime, &ns))
		return INT64_MIN;
	return ns / 1000;
}

int64_t fsmeta_piece_born_us(const struct fsmeta_entry *entry)
{
	int64_t ns;

	if (!(entry->fields & FSMETA_FIELD_BTIME) || !fsmeta_time_to_ns(entry->btime, &ns))
		return INT64_MIN;
	return ns / 1000;
}
