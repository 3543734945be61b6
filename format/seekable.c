/*
 * zstd's seekable format.
 *
 *   frame 0 │ frame 1 │ … │ frame n-1 │ seek table
 *                                       │
 *        ┌──────────────────────────────┘
 *        0x184D2A5E │ size │ n × (compressed, content[, checksum]) │ n │ flags │ 0x8F92EAB1
 *        └ skippable frame header ┘                                  └ footer, 9 bytes ┘
 *
 * All numbers are little-endian.  The footer stands last, so a reader of a file
 * finds the table from the end; the skippable frame around it makes other zstd
 * programs pass it by.
 *
 * We write no checksums into the table: every frame carries its own, and what the
 * table would repeat is just that.  The offset of a frame is the sum of the
 * compressed sizes in front, which is why a table that does not fill the file
 * exactly is refused whole.
 */
#include "format/seekable.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>
#include <zstd_errors.h>

#define SEEK_TABLE_SKIPPABLE_MAGIC 0x184D2A5EU
#define SEEK_TABLE_FOOTER_MAGIC 0x8F92EAB1U

enum {
	/** Bits of the footer's descriptor. */
	DESCRIPTOR_HAS_CHECKSUMS = 0x80,
	/** As the format's own limit. */
	SEEK_TABLE_MAX_FRAMES = 0x8000000,
	/** Position of the descriptor in a frame's header, and bits of it. */
	FRAME_DESCRIPTOR_OFFSET = 4,
	FRAME_DESCRIPTOR_CHECKSUM = 0x04,
	/** Unused, reserved, length of a dictionary id: all 0 in a stream. */
	FRAME_DESCRIPTOR_OTHER = 0x1B,
};

static uint32_t read_u32(const unsigned char *bytes)
{
	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
	       (uint32_t)bytes[3] << 24;
}

static int append_u32(struct fsmeta_buffer *out, uint32_t value)
{
	unsigned char bytes[4] = {(unsigned char)value, (unsigned char)(value >> 8),
	    (unsigned char)(value >> 16), (unsigned char)(value >> 24)};

	return fsmeta_buffer_append(out, bytes, sizeof(bytes));
}

void fsmeta_seek_table_release(struct fsmeta_seek_table *table)
{
	free(table->frames);
	*table = (struct fsmeta_seek_table){0};
}

static int reserve_frames(struct fsmeta_seek_table *table, size_t capacity)
{
	struct fsmeta_frame *frames = reallocarray(table->frames, capacity, sizeof(*frames));

	if (!frames)
		return FSMETA_E_MEMORY;
	table->frames = frames;
	table->capacity = capacity;
	return 0;
}

int fsmeta_seek_table_append(
    struct fsmeta_seek_table *table, uint32_t compressed_bytes, uint32_t content_bytes)
{
	if (table->count >= SEEK_TABLE_MAX_FRAMES)
		return FSMETA_E_LIMIT;
	if (table->count == table->capacity &&
	    reserve_frames(table, table->capacity ? table->capacity * 2 : 64))
		return FSMETA_E_MEMORY;
	table->frames[table->count++] = (struct fsmeta_frame){compressed_bytes, content_bytes};
	return 0;
}

size_t fsmeta_seek_table_bytes(size_t count)
{
	return FSMETA_SEEK_TABLE_HEADER_BYTES + count * FSMETA_SEEK_TABLE_ENTRY_BYTES +
	       FSMETA_SEEK_TABLE_FOOTER_BYTES;
}

int fsmeta_seek_table_write(struct fsmeta_buffer *out, const struct fsmeta_seek_table *table)
{
	size_t bytes = fsmeta_seek_table_bytes(table->count);

	if (fsmeta_buffer_reserve(out, bytes))
		return FSMETA_E_MEMORY;
	/* Room is there, so none of these fails. */
	append_u32(out, SEEK_TABLE_SKIPPABLE_MAGIC);
	append_u32(out, (uint32_t)(bytes - FSMETA_SEEK_TABLE_HEADER_BYTES));
	for (size_t i = 0; i < table->count; i++) {
		append_u32(out, table->frames[i].compressed_bytes);
		append_u32(out, table->frames[i].content_bytes);
	}
	append_u32(out, (uint32_t)table->count);
	fsmeta_buffer_append_byte(out, 0);
	append_u32(out, SEEK_TABLE_FOOTER_MAGIC);
	return 0;
}

bool fsmeta_seek_table_begins(const unsigned char *bytes, size_t size)
{
	return size >= 4 && read_u32(bytes) == SEEK_TABLE_SKIPPABLE_MAGIC;
}

bool fsmeta_frame_begins(const unsigned char *bytes, size_t size)
{
	return size >= 4 && read_u32(bytes) == ZSTD_MAGICNUMBER;
}

/** What a footer says of the table in front of it. */
struct footer {
	size_t count;
	size_t entry_bytes;
	/** Of the whole skippable frame. */
	uint64_t table_bytes;
};

/** NULL, or what is wrong with the footer. */
static const char *parse_footer(struct footer *out, const unsigned char *bytes)
{
	unsigned char descriptor = bytes[4];

	if (read_u32(bytes + 5) != SEEK_TABLE_FOOTER_MAGIC)
		return "no seek table at the end";
	if (descriptor & ~DESCRIPTOR_HAS_CHECKSUMS)
		return "unknown bits are set in the seek table";
	out->count = read_u32(bytes);
	if (out->count > SEEK_TABLE_MAX_FRAMES)
		return "too many frames in the seek table";
	out->entry_bytes = FSMETA_SEEK_TABLE_ENTRY_BYTES;
	if (descriptor & DESCRIPTOR_HAS_CHECKSUMS)
		out->entry_bytes += 4;
	out->table_bytes = FSMETA_SEEK_TABLE_HEADER_BYTES +
			   (uint64_t)out->count * out->entry_bytes + FSMETA_SEEK_TABLE_FOOTER_BYTES;
	return NULL;
}

static int corrupt_table(
    const char *label, uint64_t offset, const char *reason, struct fsmeta_error *error)
{
	return fsmeta_error_set_at(error, FSMETA_E_CORRUPT, label, (int64_t)offset,
	    "reading the seek table", "%s", reason);
}

int fsmeta_seek_table_parse(struct fsmeta_seek_table *table, const unsigned char *bytes,
    size_t size, const char *label, uint64_t offset, struct fsmeta_error *error)
{
	struct footer footer;
	const char *wrong;

	if (size < fsmeta_seek_table_bytes(0))
		return corrupt_table(label, offset, "it is too short", error);
	wrong = parse_footer(&footer, bytes + size - FSMETA_SEEK_TABLE_FOOTER_BYTES);
	if (wrong)
		return corrupt_table(label, offset, wrong, error);
	if (footer.table_bytes != size || !fsmeta_seek_table_begins(bytes, size) ||
	    read_u32(bytes + 4) != size - FSMETA_SEEK_TABLE_HEADER_BYTES)
		return corrupt_table(label, offset, "its size does not agree", error);
	if (footer.count && reserve_frames(table, footer.count))
		return fsmeta_error_set_memory(error, "reading the seek table");
	for (size_t i = 0; i < footer.count; i++) {
		const unsigned char *entry =
		    bytes + FSMETA_SEEK_TABLE_HEADER_BYTES + i * footer.entry_bytes;

		table->frames[i] = (struct fsmeta_frame){read_u32(entry), read_u32(entry + 4)};
	}
	table->count = footer.count;
	return 0;
}

/** pread of exactly `size` bytes; fewer is corruption of the table. */
static int read_exactly(int fd, void *bytes, size_t size, uint64_t offset, const char *label,
    struct fsmeta_error *error)
{
	size_t got = 0;
	int code = fsmeta_read_full_at(fd, bytes, size, offset, &got, label, error);

	if (!code && got != size)
		code = corrupt_table(label, offset, "the file became shorter", error);
	return code;
}

/** The frames and the table of `table_bytes` fill the file. */
static int check_extent(const struct fsmeta_seek_table *table, uint64_t table_offset,
    const char *label, struct fsmeta_error *error)
{
	uint64_t offset = 0;

	for (size_t i = 0; i < table->count; i++)
		offset += table->frames[i].compressed_bytes;
	if (offset != table_offset)
		return corrupt_table(label, table_offset, "its frames do not fill the file", error);
	return 0;
}

int fsmeta_seek_table_read(struct fsmeta_seek_table *table, int fd, uint64_t file_bytes,
    const char *label, struct fsmeta_error *error)
{
	unsigned char footer_bytes[FSMETA_SEEK_TABLE_FOOTER_BYTES];
	struct fsmeta_buffer bytes = {0};
	struct footer footer;
	uint64_t offset;
	const char *wrong;
	int code;

	if (file_bytes < fsmeta_seek_table_bytes(0))
		return corrupt_table(label, 0, "no seek table at the end", error);
	offset = file_bytes - sizeof(footer_bytes);
	code = read_exactly(fd, footer_bytes, sizeof(footer_bytes), offset, label, error);
	if (code)
		return code;
	wrong = parse_footer(&footer, footer_bytes);
	if (!wrong && footer.table_bytes > file_bytes)
		wrong = "it is longer than the file";
	if (wrong)
		return corrupt_table(label, offset, wrong, error);
	offset = file_bytes - footer.table_bytes;
	if (fsmeta_buffer_reserve(&bytes, (size_t)footer.table_bytes))
		return fsmeta_error_set_memory(error, "reading the seek table");
	code = read_exactly(fd, bytes.data, (size_t)footer.table_bytes, offset, label, error);
	if (!code)
		code = fsmeta_seek_table_parse(
		    table, bytes.data, (size_t)footer.table_bytes, label, offset, error);
	if (!code)
		code = check_extent(table, offset, label, error);
	fsmeta_buffer_release(&bytes);
	return code;
}

/** Compresses one piece and ends its block, or the frame; zstd's error or 0. */
static size_t compress_piece(ZSTD_CCtx *context, ZSTD_outBuffer *out, const unsigned char *bytes,
    size_t begin, size_t end, bool is_last)
{
	ZSTD_inBuffer in = {bytes + begin, end - begin, 0};
	size_t result;

	do
		result =
		    ZSTD_compressStream2(context, out, &in, is_last ? ZSTD_e_end : ZSTD_e_flush);
	while (!ZSTD_isError(result) && (result || in.pos < in.size) && out->pos < out->size);
	return result;
}

static size_t compress_pieces(ZSTD_CCtx *context, ZSTD_outBuffer *out, const unsigned char *bytes,
    size_t size, const size_t *cuts, size_t cut_count)
{
	size_t result = ZSTD_CCtx_reset(context, ZSTD_reset_session_only);
	size_t begin = 0;

	if (!ZSTD_isError(result))
		result = ZSTD_CCtx_setPledgedSrcSize(context, size);
	for (size_t i = 0; i < cut_count && !ZSTD_isError(result); i++) {
		result = compress_piece(context, out, bytes, begin, cuts[i], false);
		begin = cuts[i];
	}
	if (!ZSTD_isError(result))
		result = compress_piece(context, out, bytes, begin, size, true);
	return result;
}

int fsmeta_frame_compress(struct fsmeta_buffer *out, struct fsmeta_frame *frame, ZSTD_CCtx *context,
    const unsigned char *bytes, size_t size, const size_t *cuts, size_t cut_count,
    const char *label, struct fsmeta_error *error)
{
	/* Every block that a cut adds has a header of three bytes. */
	size_t bound = ZSTD_compressBound(size) + 3 * cut_count + FSMETA_FRAME_HEADER_BYTES;
	ZSTD_outBuffer piece;
	size_t result;

	if (size > UINT32_MAX || bound > UINT32_MAX)
		return fsmeta_error_set(
		    error, FSMETA_E_LIMIT, label, "compressing", "a record is too long");
	if (fsmeta_buffer_reserve(out, bound))
		return fsmeta_error_set_memory(error, "compressing");
	piece = (ZSTD_outBuffer){out->data + out->length, bound, 0};
	result = compress_pieces(context, &piece, bytes, size, cuts, cut_count);
	if (result)
		return fsmeta_error_set(error, FSMETA_E_INTERNAL, label, "compressing", "%s",
		    ZSTD_isError(result) ? ZSTD_getErrorName(result) : "no room for a frame");
	out->length += piece.pos;
	*frame = (struct fsmeta_frame){(uint32_t)piece.pos, (uint32_t)size};
	return 0;
}

static int corrupt_frame(
    const char *label, uint64_t offset, const char *reason, struct fsmeta_error *error)
{
	return fsmeta_error_set_at(
	    error, FSMETA_E_CORRUPT, label, (int64_t)offset, "reading a zstd frame", "%s", reason);
}

int fsmeta_frame_content_bytes(size_t *content_bytes, const unsigned char *bytes, size_t size,
    size_t limit_bytes, const char *label, uint64_t offset, struct fsmeta_error *error)
{
	unsigned long long content;

	if (!fsmeta_frame_begins(bytes, size) || size <= FRAME_DESCRIPTOR_OFFSET)
		return corrupt_frame(label, offset, "no zstd frame begins here", error);
	content = ZSTD_getFrameContentSize(bytes, size);
	if (content == ZSTD_CONTENTSIZE_ERROR)
		return corrupt_frame(label, offset, "its header is damaged", error);
	if (content == ZSTD_CONTENTSIZE_UNKNOWN)
		return corrupt_frame(
		    label, offset, "it does not say how long its content is", error);
	if (bytes[FRAME_DESCRIPTOR_OFFSET] & FRAME_DESCRIPTOR_OTHER)
		return corrupt_frame(label, offset, "its header has unknown bits", error);
	if (!(bytes[FRAME_DESCRIPTOR_OFFSET] & FRAME_DESCRIPTOR_CHECKSUM))
		return corrupt_frame(label, offset, "it has no checksum", error);
	if (content > limit_bytes)
		return fsmeta_error_set_at(error, FSMETA_E_LIMIT, label, (int64_t)offset,
		    "reading a zstd frame", "its content of %llu bytes is beyond the limit of %zu",
		    content, limit_bytes);
	*content_bytes = (size_t)content;
	return 0;
}

int fsmeta_frame_decompress(struct fsmeta_buffer *out, ZSTD_DCtx *context,
    const unsigned char *bytes, size_t size, size_t limit_bytes, const char *label, uint64_t offset,
    struct fsmeta_error *error)
{
	size_t content = 0, result;
	int code;

	code = fsmeta_frame_content_bytes(&content, bytes, size, limit_bytes, label, offset, error);
	if (code)
		return code;
	fsmeta_buffer_clear(out);
	if (fsmeta_buffer_reserve(out, content + 1))
		return fsmeta_error_set_memory(error, "reading a zstd frame");
	result = ZSTD_decompressDCtx(context, out->data, content, bytes, size);
	if (ZSTD_isError(result))
		return corrupt_frame(label, offset, ZSTD_getErrorName(result), error);
	if (result != content)
		return corrupt_frame(label, offset, "its content is too short", error);
	out->length = content;
	return 0;
}
