/*
 * Annex B.
 *
 *     [00] 00 00 01 | NAL header | payload with 03 after every 00 00 | [00] 00 00 01 | ...
 *      ^ belongs to the start code behind it
 *
 * The emulation prevention bytes see to it that 00 00 01 never stands inside of a payload, so a
 * search for these three bytes finds every NAL unit and nothing else, whatever was lost before.
 *
 * An access unit begins with the first delimiter, parameter set or SEI behind a picture's last
 * slice, or with a slice that is the first of its picture: first_mb_in_slice 0 (in Exp-Golomb the
 * bit 1), and in H.265 first_slice_segment_in_pic_flag; both are the top bit behind the NAL header.
 */
#include "archive/annexb.h"

#include <string.h>

enum {
	H264_SLICE = 1,
	H264_IDR = 5,
	H264_SEI = 6,
	H264_SPS = 7,
	H264_PPS = 8,
	H264_DELIMITER = 9,
	H265_SLICE_LAST = 31,
	H265_IRAP_FIRST = 16,
	H265_IRAP_LAST = 23,
	H265_VPS = 32,
	H265_SPS = 33,
	H265_PPS = 34,
	H265_DELIMITER = 35,
	H265_PREFIX_SEI = 39,
};

enum fsmeta_codec fsmeta_codec_from_name(const char name[4])
{
	if (memcmp(name, "h264", 4) == 0)
		return FSMETA_CODEC_H264;
	if (memcmp(name, "h265", 4) == 0)
		return FSMETA_CODEC_H265;
	return FSMETA_CODEC_OTHER;
}

/** Offset of the next 00 00 01 at or behind `at`, or `size`. */
static size_t find_code(const unsigned char *bytes, size_t size, size_t at)
{
	while (at + 3 <= size) {
		const unsigned char *one = memchr(bytes + at + 2, 1, size - at - 2);

		if (!one)
			return size;
		at = (size_t)(one - bytes) - 2;
		if (bytes[at] == 0 && bytes[at + 1] == 0)
			return at;
		at++;
	}
	return size;
}

static void judge_h264(struct fsmeta_nal *nal, const unsigned char *header, size_t size)
{
	nal->type = header[0] & 31;
	nal->is_parameter_set = nal->type == H264_SPS || nal->type == H264_PPS;
	nal->is_slice = nal->type >= H264_SLICE && nal->type <= H264_IDR;
	nal->is_key = nal->type == H264_IDR;
	nal->is_first_slice = nal->is_slice && size > 1 && header[1] & 0x80;
}

static void judge_h265(struct fsmeta_nal *nal, const unsigned char *header, size_t size)
{
	nal->type = header[0] >> 1 & 63;
	nal->is_parameter_set = nal->type >= H265_VPS && nal->type <= H265_PPS;
	nal->is_slice = nal->type <= H265_SLICE_LAST;
	nal->is_key = nal->type >= H265_IRAP_FIRST && nal->type <= H265_IRAP_LAST;
	nal->is_first_slice = nal->is_slice && size > 2 && header[2] & 0x80;
}

bool fsmeta_annexb_next(struct fsmeta_nal *out, enum fsmeta_codec codec, const unsigned char *bytes,
    size_t size, size_t *at)
{
	size_t code = find_code(bytes, size, *at);
	size_t header = code + 3, end;

	if (header >= size)
		return false;
	end = find_code(bytes, size, header);
	if (end < size && end > header && bytes[end - 1] == 0)
		end--;
	*out = (struct fsmeta_nal){.offset = code};
	if (code > *at && bytes[code - 1] == 0)
		out->offset--;
	out->size = end - out->offset;
	if (codec == FSMETA_CODEC_H264)
		judge_h264(out, bytes + header, end - header);
	else if (codec == FSMETA_CODEC_H265)
		judge_h265(out, bytes + header, end - header);
	*at = end;
	return true;
}

/** Whether it can only stand in front of a picture. */
static bool is_in_front(enum fsmeta_codec codec, const struct fsmeta_nal *nal)
{
	if (nal->is_parameter_set)
		return true;
	if (codec == FSMETA_CODEC_H264)
		return nal->type == H264_DELIMITER || nal->type == H264_SEI;
	return nal->type == H265_DELIMITER || nal->type == H265_PREFIX_SEI;
}

bool fsmeta_annexb_next_unit(struct fsmeta_access_unit *out, enum fsmeta_codec codec,
    const unsigned char *bytes, size_t size, size_t *at)
{
	struct fsmeta_nal nal;
	bool begun = false, has_slice = false;
	size_t next = *at;

	*out = (struct fsmeta_access_unit){.offset = *at};
	while (fsmeta_annexb_next(&nal, codec, bytes, size, &next)) {
		if (has_slice && (nal.is_first_slice || is_in_front(codec, &nal))) {
			out->is_whole = true;
			*at = nal.offset;
			return true;
		}
		if (!begun)
			out->offset = nal.offset;
		begun = true;
		has_slice |= nal.is_slice;
		out->is_key |= nal.is_key;
		out->size = nal.offset + nal.size - out->offset;
	}
	*at = size;
	return has_slice;
}

void fsmeta_annexb_summarise(struct fsmeta_annexb_summary *out, enum fsmeta_codec codec,
    const unsigned char *bytes, size_t size)
{
	unsigned first = codec == FSMETA_CODEC_H264 ? H264_SPS : H265_VPS;
	unsigned last = codec == FSMETA_CODEC_H264 ? H264_PPS : H265_PPS;
	unsigned missing = (2U << (last - first)) - 1;
	struct fsmeta_nal nal;
	size_t at = 0;

	*out = (struct fsmeta_annexb_summary){
	    .is_annexb = size >= 4 && bytes[0] == 0 && bytes[1] == 0 &&
			 (bytes[2] == 1 || (bytes[2] == 0 && bytes[3] == 1))};
	while (fsmeta_annexb_next(&nal, codec, bytes, size, &at)) {
		out->has_slices |= nal.is_slice;
		out->is_key |= nal.is_key;
		if (nal.is_parameter_set && !out->has_slices)
			missing &= ~(1U << (nal.type - first));
		out->has_parameter_sets = !missing;
	}
}

/** Appends the sets of one type that stand in `bytes`; whether there are any. */
static int append_sets(struct fsmeta_buffer *out, enum fsmeta_codec codec, unsigned type,
    const unsigned char *bytes, size_t size, bool *found)
{
	struct fsmeta_nal nal;
	size_t at = 0;
	int code = 0;

	*found = false;
	while (!code && fsmeta_annexb_next(&nal, codec, bytes, size, &at)) {
		if (!nal.is_parameter_set || nal.type != type)
			continue;
		*found = true;
		code = fsmeta_buffer_append(out, bytes + nal.offset, nal.size);
	}
	return code;
}

int fsmeta_annexb_update_sets(
    struct fsmeta_buffer *sets, enum fsmeta_codec codec, const unsigned char *bytes, size_t size)
{
	unsigned first = codec == FSMETA_CODEC_H264 ? H264_SPS : H265_VPS;
	unsigned last = codec == FSMETA_CODEC_H264 ? H264_PPS : H265_PPS;
	struct fsmeta_buffer merged = {0};
	bool found, any = false;
	int code = 0;

	for (unsigned type = first; type <= last && !code; type++) {
		code = append_sets(&merged, codec, type, bytes, size, &found);
		any |= found;
		if (!code && !found)
			code = append_sets(&merged, codec, type, sets->data, sets->length, &found);
	}
	if (code || !any) {
		fsmeta_buffer_release(&merged);
		return code;
	}
	fsmeta_buffer_release(sets);
	*sets = merged;
	return 0;
}
