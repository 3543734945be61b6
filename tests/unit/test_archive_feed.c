/*
 * Not a test: what tests/oracle/test_archive.py drives the stores with, one unit after the other of
 * a raw H.264 or H.265 file.
 *
 *     test_archive_feed segments-write ROOT STREAM CODEC FPS TARGET_S FILE
 *     test_archive_feed segments-read ROOT STREAM FROM_US TO_US       writes the packets to stdout
 *     test_archive_feed frames-copy ROOT REF VIDEO N                  loads a frame, saves it as
 * another
 */
#include "archive/annexb.h"
#include "archive/frame_store.h"
#include "archive/segments.h"
#include "base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t start_us = INT64_C(1700000000000000);

static int fail(const struct fsmeta_error *error)
{
	fprintf(stderr, "%s: %s: %s\n", error->path, error->action, error->reason);
	return 3;
}

static int write_segments(char **words, struct fsmeta_error *error)
{
	struct fsmeta_segments_options options = {.target_us = atoll(words[4]) * 1000000};
	struct fsmeta_segment_format format = {.width = 320, .height = 240};
	enum fsmeta_codec codec = fsmeta_codec_from_name(words[2]);
	struct fsmeta_access_unit unit;
	struct fsmeta_segments *segments;
	struct fsmeta_buffer bytes = {0};
	size_t at = 0, n = 0;
	int code = fsmeta_read_file_at(&bytes, AT_FDCWD, words[5], 1 << 28, error);

	memcpy(format.codec, words[2], sizeof(format.codec));
	if (!code)
		code = fsmeta_segments_open(&segments, words[0], true, &options, error);
	while (!code && fsmeta_annexb_next_unit(&unit, codec, bytes.data, bytes.length, &at)) {
		struct fsmeta_packet packet = {
		    .time_us = start_us + (int64_t)n++ * 1000000 / atoi(words[3]),
		    .bytes = bytes.data + unit.offset,
		    .size = unit.size,
		};

		code = fsmeta_segments_append(segments, words[1], &format, &packet, error);
	}
	if (!code)
		code = fsmeta_segments_close(segments, error);
	fsmeta_buffer_release(&bytes);
	printf("%zu\n", n);
	return code;
}

static int put(void *payload, const struct fsmeta_segment *segment,
    const struct fsmeta_packet *packet, struct fsmeta_error *error)
{
	(void)payload;
	(void)segment;
	if (fwrite(packet->bytes, 1, packet->size, stdout) == packet->size)
		return 0;
	return fsmeta_error_set(error, FSMETA_E_SYSTEM, "-", "writing", "it does not take it");
}

static int read_segments(char **words, struct fsmeta_error *error)
{
	struct fsmeta_segments *segments;
	int code = fsmeta_segments_open(&segments, words[0], false, NULL, error);

	if (!code)
		code = fsmeta_segments_read(
		    segments, words[1], atoll(words[2]), atoll(words[3]), NULL, put, error, NULL);
	if (!code)
		code = fsmeta_segments_close(segments, error);
	return code;
}

static int copy_frame(char **words, struct fsmeta_error *error)
{
	struct fsmeta_frame_store *store;
	struct fsmeta_frame frame;
	int code = fsmeta_frame_store_open(&store, words[0], NULL, error);

	if (code)
		return code;
	code = fsmeta_frame_store_map(store, words[1], &frame, error);
	if (!code) {
		code = fsmeta_frame_store_save(store, words[2], (uint64_t)atoll(words[3]),
		    &frame.array, frame.data, frame.array.data_bytes, NULL, error);
		fsmeta_frame_release(&frame);
	}
	fsmeta_frame_store_close(store);
	return code;
}

int main(int argc, char **argv)
{
	struct fsmeta_error error = {0};
	int code = FSMETA_E_USAGE;

	if (argc == 8 && strcmp(argv[1], "segments-write") == 0)
		code = write_segments(argv + 2, &error);
	else if (argc == 6 && strcmp(argv[1], "segments-read") == 0)
		code = read_segments(argv + 2, &error);
	else if (argc == 6 && strcmp(argv[1], "frames-copy") == 0)
		code = copy_frame(argv + 2, &error);
	return code ? fail(&error) : 0;
}
