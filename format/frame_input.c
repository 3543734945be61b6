/*
 * Frames from a descriptor, read only forward.
 *
 *     ┌ used ┐┌── left ──┐
 *     [      │ frame │ fra]           bytes: grows until a frame is whole in it
 *            ▲ start, offset in the file
 *
 * How long a frame is, is known only once it is there whole; how long it can be
 * at most follows from the length of its content, which it must say in front.  So
 * damage cannot make us read on and on.
 */
#include "format/frame_input.h"

#include "base/file.h"
#include "format/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd_errors.h>

enum {
	/** How much is read at once. */
	INPUT_BYTES = 256 << 10,
	/** What a frame may be longer than zstd's bound: a writer may end blocks early. */
	FRAME_SLACK_BYTES = 64 << 10,
};

static const char action[] = "reading a stream";

int fsmeta_frame_input_init(
    struct fsmeta_frame_input *input, int fd, const char *label, struct fsmeta_error *error)
{
	*input = (struct fsmeta_frame_input){.fd = fd};
	input->label = strdup(label);
	input->zstd = ZSTD_createDCtx();
	if (!input->label || !input->zstd)
		return fsmeta_error_set_memory(error, "opening a stream");
	return 0;
}

void fsmeta_frame_input_release(struct fsmeta_frame_input *input)
{
	if (input->fd >= 0)
		close(input->fd);
	ZSTD_freeDCtx(input->zstd);
	fsmeta_seek_table_release(&input->frames);
	fsmeta_buffer_release(&input->content);
	fsmeta_buffer_release(&input->bytes);
	free(input->label);
	*input = (struct fsmeta_frame_input){.fd = -1};
}

static int corrupt_at(const struct fsmeta_frame_input *input, uint64_t offset, const char *doing,
    const char *reason, struct fsmeta_error *error)
{
	return fsmeta_error_set_at(
	    error, FSMETA_E_CORRUPT, input->label, (int64_t)offset, doing, "%s", reason);
}

int fsmeta_frame_input_corrupt(const struct fsmeta_frame_input *input, const char *doing,
    const char *reason, struct fsmeta_error *error)
{
	return corrupt_at(input, input->frame_offset, doing, reason, error);
}

static int truncated(
    const struct fsmeta_frame_input *input, const char *where, struct fsmeta_error *error)
{
	return fsmeta_error_set_at(error, FSMETA_E_TRUNCATED, input->label, (int64_t)input->offset,
	    action, "it ends %s", where);
}

/* ---- input ------------------------------------------------------------- */

/** Reads another piece of input behind what is left. */
static int read_more(struct fsmeta_frame_input *input, struct fsmeta_error *error)
{
	struct fsmeta_buffer *bytes = &input->bytes;
	size_t left = fsmeta_frame_input_left(input);
	size_t wanted = left > INPUT_BYTES ? left : INPUT_BYTES;
	size_t got;
	int code;

	if (input->start && left)
		memmove(bytes->data, bytes->data + input->start, left);
	bytes->length = left;
	input->start = 0;
	if (fsmeta_buffer_reserve(bytes, wanted))
		return fsmeta_error_set_memory(error, action);
	code = fsmeta_read_full(input->fd, bytes->data + left, wanted, &got, input->label, error);
	if (code)
		return code;
	bytes->length += got;
	input->ended = got < wanted;
	return 0;
}

/** Makes `size` bytes of input available, or all there are. */
static int fill(struct fsmeta_frame_input *input, size_t size, struct fsmeta_error *error)
{
	int code = 0;

	while (!code && fsmeta_frame_input_left(input) < size && !input->ended)
		code = read_more(input, error);
	return code;
}

static void consume(struct fsmeta_frame_input *input, size_t size)
{
	input->start += size;
	input->offset += size;
}

/* ---- frames ------------------------------------------------------------ */

/** Makes the frame that begins here available whole and sets *size. */
static int fill_frame(struct fsmeta_frame_input *input, size_t *size, struct fsmeta_error *error)
{
	size_t content, limit;
	int code;

	code = fill(input, FSMETA_FRAME_HEADER_BYTES, error);
	if (!code && fsmeta_frame_input_left(input) < FSMETA_FRAME_HEADER_BYTES)
		/* Even the smallest stream has more behind its last frame's header. */
		return truncated(input, "within a frame", error);
	if (!code)
		code = fsmeta_frame_content_bytes(&content, fsmeta_frame_input_bytes(input),
		    fsmeta_frame_input_left(input), FSMETA_RECORD_MAX_BYTES, input->label,
		    input->offset, error);
	if (code)
		return code;
	limit = ZSTD_compressBound(content) + FRAME_SLACK_BYTES;
	for (;;) {
		size_t result = ZSTD_findFrameCompressedSize(
		    fsmeta_frame_input_bytes(input), fsmeta_frame_input_left(input));

		if (!ZSTD_isError(result)) {
			*size = result;
			return 0;
		}
		if (ZSTD_getErrorCode(result) != ZSTD_error_srcSize_wrong)
			return corrupt_at(input, input->offset, "reading a zstd frame",
			    ZSTD_getErrorName(result), error);
		if (input->ended)
			return truncated(input, "within a frame", error);
		if (fsmeta_frame_input_left(input) > limit)
			return corrupt_at(input, input->offset, "reading a zstd frame",
			    "it is longer than its content allows", error);
		code = read_more(input, error);
		if (code)
			return code;
	}
}

/** 1 where no frame follows: seek table or end of input.  0 where one may, or a code. */
static int at_end(struct fsmeta_frame_input *input, struct fsmeta_error *error)
{
	int code = fill(input, FSMETA_FRAME_HEADER_BYTES, error);
	size_t left = fsmeta_frame_input_left(input);

	if (code)
		return code;
	return !left || fsmeta_seek_table_begins(fsmeta_frame_input_bytes(input), left);
}

int fsmeta_frame_input_next(struct fsmeta_frame_input *input, struct fsmeta_error *error)
{
	size_t size = 0;
	int code;

	code = at_end(input, error);
	if (code > 0)
		return truncated(input, "without a trailer", error);
	if (!code)
		code = fill_frame(input, &size, error);
	if (code)
		return code;
	input->frame_offset = input->offset;
	code =
	    fsmeta_frame_decompress(&input->content, input->zstd, fsmeta_frame_input_bytes(input),
		size, FSMETA_RECORD_MAX_BYTES, input->label, input->frame_offset, error);
	if (code)
		return code;
	consume(input, size);
	if (fsmeta_seek_table_append(
		&input->frames, (uint32_t)size, (uint32_t)input->content.length))
		return fsmeta_error_set_memory(error, action);
	return 0;
}

int fsmeta_frame_input_record(
    struct fsmeta_frame_input *input, struct fsmeta_record *record, struct fsmeta_error *error)
{
	int code = fsmeta_frame_input_next(input, error);

	if (code)
		return code;
	if (!fsmeta_record_parse(record, input->content.data, input->content.length) ||
	    record->total_bytes != input->content.length)
		return fsmeta_frame_input_corrupt(
		    input, "reading a record", "the frame does not hold exactly one", error);
	return 0;
}

int fsmeta_frame_input_finish(struct fsmeta_frame_input *input, struct fsmeta_error *error)
{
	size_t size = fsmeta_seek_table_bytes(input->frames.count);
	struct fsmeta_seek_table table = {0};
	int code;

	code = fill(input, size + 1, error);
	if (code)
		return code;
	if (fsmeta_frame_input_left(input) < size)
		return truncated(input, "before the end of its seek table", error);
	if (fsmeta_frame_input_left(input) > size)
		return corrupt_at(input, input->offset, "reading the seek table",
		    "it is not the end of the stream, or of another size", error);
	code = fsmeta_seek_table_parse(
	    &table, fsmeta_frame_input_bytes(input), size, input->label, input->offset, error);
	if (!code &&
	    (table.count != input->frames.count || memcmp(table.frames, input->frames.frames,
						       table.count * sizeof(*table.frames)) != 0))
		code = corrupt_at(input, input->offset, "reading the seek table",
		    "it does not list the frames that there are", error);
	fsmeta_seek_table_release(&table);
	if (!code)
		consume(input, size);
	return code;
}

/* ---- the header -------------------------------------------------------- */

/** Says FOREIGN for input that does not even begin like a stream. */
static int check_beginning(struct fsmeta_frame_input *input, struct fsmeta_error *error)
{
	int code = fill(input, FSMETA_FRAME_HEADER_BYTES, error);
	size_t left = fsmeta_frame_input_left(input);

	if (code)
		return code;
	if (!fsmeta_frame_begins(fsmeta_frame_input_bytes(input), left))
		return fsmeta_error_set_at(error, FSMETA_E_FOREIGN, input->label, 0,
		    "opening a stream", "%s", left ? "it is not an FsScanStream" : "it is empty");
	return 0;
}

int fsmeta_frame_input_header(
    struct fsmeta_frame_input *input, struct fsmeta_header *header, struct fsmeta_error *error)
{
	const struct fsmeta_buffer *content = &input->content;
	struct fsmeta_record record;
	int code;

	*header = (struct fsmeta_header){0};
	fsmeta_batch_source_init(&header->source);
	code = check_beginning(input, error);
	if (code)
		return code;
	code = fsmeta_frame_input_record(input, &record, error);
	/* Of a zstd file that is no stream the first frame is rarely as ours are. */
	if ((code == FSMETA_E_CORRUPT || code == FSMETA_E_LIMIT) &&
	    !fsmeta_header_begins(content->data, content->length))
		return fsmeta_error_set_at(error, FSMETA_E_FOREIGN, input->label, 0,
		    "opening a stream", "it is not an FsScanStream, or its start is damaged");
	if (code)
		return code;
	if (record.kind != FSMETA_RECORD_HEADER ||
	    !fsmeta_header_begins(content->data, content->length))
		return fsmeta_error_set_at(error, FSMETA_E_FOREIGN, input->label, 0,
		    "opening a stream", "it is a zstd file, but not an FsScanStream");
	return fsmeta_header_parse(header, &record, input->label, error);
}
