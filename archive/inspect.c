/*
 * The inspection.
 *
 *     operand/ a/ b/ cam1/                     opened one below the other, O_NOFOLLOW each, so that
 *     root_fd >---->---->  folder              no link leads out of the operand
 *                          |
 *          /proc/self/fd/N/1700000000123.vidx  the name under which the layouts' own readers get
 *                                              it: what they accept is what is judged
 *
 * Judging takes no lock: a checker that holds one for a moment could make a recorder fail.  So what
 * is not sealed and was written to a moment ago counts as growing, by the clock alone; a frame
 * likewise, as long as it is not whole.
 *
 * Not all bytes are read: of a track the index, the first packets and the last.  An archive of
 * terabytes is then a matter of minutes, and a power cut, a full disk, a copy that broke off or a
 * file that was overwritten show in these places.  `scan --hash` is for the bytes between.
 */
#include "archive/inspect.h"

#include "archive/annexb.h"
#include "archive/npy.h"
#include "archive/recording_lines.h"
#include "archive/stream_folder.h"
#include "archive/track.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

enum {
	/** Since the last write to what is not sealed. */
	GROWS_S = 120,
	/** Read of a packet, where more is of no use. */
	PACKET_START_BYTES = 1 << 20,
	PACKET_END_BYTES = 4096,
	TEXT_BYTES = 640,
	UNPACK_BYTES = 1 << 17,
	SECTOR_BYTES = 512,
};

struct inspection {
	const struct fsmeta_archive_stream *stream;
	struct fsmeta_stream_folder folder;
	struct fsmeta_names names;
	const volatile sig_atomic_t *stop;
	uint64_t *pieces;
	fsmeta_finding_visit *visit;
	void *payload;
};

const char *fsmeta_finding_kind_name(enum fsmeta_finding_kind kind)
{
	switch (kind) {
	case FSMETA_FINDING_DAMAGED:
		return "damaged";
	case FSMETA_FINDING_UNSEALED:
		return "unsealed";
	case FSMETA_FINDING_UNREADABLE:
		break;
	}
	return "unreadable";
}

__attribute__((format(printf, 5, 6))) static int report(const struct inspection *inspection,
    enum fsmeta_finding_kind kind, const char *name, struct fsmeta_error *error, const char *format,
    ...)
{
	char text[TEXT_BYTES];
	struct fsmeta_finding finding = {.kind = kind, .name = name, .text = text};
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return inspection->visit(inspection->payload, &finding, error);
}

/** What a reader said about a piece, as a finding; what is not about the piece ends all. */
static int report_failure(const struct inspection *inspection, const char *name, int code,
    const struct fsmeta_error *failure, struct fsmeta_error *error)
{
	enum fsmeta_finding_kind kind =
	    code == FSMETA_E_SYSTEM ? FSMETA_FINDING_UNREADABLE : FSMETA_FINDING_DAMAGED;

	if (code == FSMETA_E_SYSTEM && failure->system_errno == ENOENT)
		return 0;
	if (code == FSMETA_E_MEMORY || code == FSMETA_E_INTERNAL ||
	    (code == FSMETA_E_SYSTEM &&
		(failure->system_errno == EMFILE || failure->system_errno == ENFILE))) {
		if (error)
			*error = *failure;
		return code;
	}
	if (failure->offset > 0)
		return report(inspection, kind, name, error, "%s: %s (at byte %lld)",
		    failure->action, failure->reason, (long long)failure->offset);
	return report(inspection, kind, name, error, "%s: %s", failure->action, failure->reason);
}

/** Whether somebody wrote to it a moment ago. */
static bool is_growing(const struct inspection *inspection, const char *name)
{
	return fsmeta_stream_folder_is_fresh(&inspection->folder, name, GROWS_S);
}

/* ---- tracks ---- */

static int read_part(const struct fsmeta_track *track, uint32_t i, bool from_end, size_t most,
    struct fsmeta_buffer *out, struct fsmeta_error *error)
{
	uint64_t at = fsmeta_track_location(track, i);
	size_t size = fsmeta_track_size(track, i), got;
	int code;

	if (size > most) {
		at += from_end ? size - most : 0;
		size = most;
	}
	fsmeta_buffer_clear(out);
	if (fsmeta_buffer_reserve(out, size))
		return fsmeta_error_set_memory(error, "reading a packet");
	code = fsmeta_read_full_at(
	    track->packets_fd, out->data, size, at, &got, track->packets_path, error);
	out->length = code ? 0 : got;
	return code;
}

static bool is_zeros(const struct fsmeta_buffer *bytes)
{
	for (size_t i = 0; i < bytes->length; i++)
		if (bytes->data[i])
			return false;
	return bytes->length;
}

/** Times of key frames (of audio: of all) never go back, and none is behind the sentinel's. */
static int judge_times(const struct inspection *inspection, const struct fsmeta_track *track,
    const char *name, struct fsmeta_error *error)
{
	uint32_t last = 0, end = fsmeta_word_ticks(track->words[track->count]);

	for (uint32_t i = 0; i < track->count; i++) {
		uint32_t ticks = fsmeta_word_ticks(track->words[i]);
		uint32_t flags = fsmeta_word_flags(track->words[i]);

		if (track->is_sealed && ticks > end)
			return report(inspection, FSMETA_FINDING_DAMAGED, name, error,
			    "packet %u is later than the sentinel says", i);
		/* Sets are not shown; other pictures may come in another order. */
		if (flags & FSMETA_PACKET_ESSENTIAL ||
		    (!track->format.is_audio && !(flags & FSMETA_PACKET_KEY)))
			continue;
		if (ticks < last)
			return report(inspection, FSMETA_FINDING_DAMAGED, name, error,
			    "time goes back at packet %u", i);
		last = ticks;
	}
	if (track->is_sealed && fsmeta_word_flags(track->words[track->count]))
		return report(inspection, FSMETA_FINDING_DAMAGED, name, error,
		    "the closing word has the flags of a packet");
	return 0;
}

/** What is wrong with a packet as one of those that decoding begins with, or NULL. */
static const char *judge_first(
    const struct fsmeta_buffer *bytes, uint32_t flags, enum fsmeta_codec codec, bool *has_sets)
{
	struct fsmeta_annexb_summary summary = {0};

	if (codec != FSMETA_CODEC_OTHER)
		fsmeta_annexb_summarise(&summary, codec, bytes->data, bytes->length);
	*has_sets |=
	    summary.has_parameter_sets || (flags & FSMETA_PACKET_ESSENTIAL &&
					      !(flags & FSMETA_PACKET_HDR) && !summary.has_slices);
	if (is_zeros(bytes))
		return "the first packet is nothing but zeros";
	if (flags & FSMETA_PACKET_ANNEX_B && codec != FSMETA_CODEC_OTHER && !summary.is_annexb)
		return "the first packet does not begin with a start code";
	if (flags & FSMETA_PACKET_ESSENTIAL)
		return NULL;
	if (!(flags & FSMETA_PACKET_KEY))
		return "it does not begin with a key frame";
	if (summary.is_annexb && !*has_sets)
		return "the first picture comes without its parameter sets";
	return NULL;
}

/** Parameter sets, then a key frame: then decoding can begin. */
static int judge_beginning(const struct inspection *inspection, const struct fsmeta_track *track,
    const char *name, struct fsmeta_error *error)
{
	enum fsmeta_codec codec = fsmeta_codec_from_name(track->format.codec);
	struct fsmeta_buffer bytes = {0};
	struct fsmeta_error failure;
	const char *wrong = NULL;
	bool has_sets = false;
	int code = 0;

	if (track->format.is_audio || track->format.flags & FSMETA_TRACK_CONTINUES)
		return 0;
	fsmeta_error_clear(&failure);
	for (uint32_t i = 0; i < track->count && !code && !wrong; i++) {
		uint32_t flags = fsmeta_word_flags(track->words[i]);

		code = read_part(track, i, false, PACKET_START_BYTES, &bytes, &failure);
		if (!code)
			wrong = judge_first(&bytes, flags, codec, &has_sets);
		if (!(flags & FSMETA_PACKET_ESSENTIAL))
			break;
	}
	fsmeta_buffer_release(&bytes);
	if (code)
		return report_failure(inspection, name, code, &failure, error);
	return wrong ? report(inspection, FSMETA_FINDING_DAMAGED, name, error, "%s", wrong) : 0;
}

static int judge_end(const struct inspection *inspection, const struct fsmeta_track *track,
    const char *name, struct fsmeta_error *error)
{
	struct fsmeta_buffer bytes = {0};
	struct fsmeta_error failure;
	int code = 0;

	fsmeta_error_clear(&failure);
	if (track->count)
		code = read_part(track, track->count - 1, true, PACKET_END_BYTES, &bytes, &failure);
	if (code)
		code = report_failure(inspection, name, code, &failure, error);
	/* Less than a sector of zeros may well come from an encoder. */
	else if (bytes.length >= SECTOR_BYTES && is_zeros(&bytes))
		code = report(inspection, FSMETA_FINDING_DAMAGED, name, error,
		    "the last packet ends in nothing but zeros");
	fsmeta_buffer_release(&bytes);
	return code;
}

static int judge_wholeness(const struct inspection *inspection, const struct fsmeta_track *track,
    const char *index, const char *packets, struct fsmeta_error *error)
{
	bool grows =
	    !track->is_sealed && (is_growing(inspection, index) || is_growing(inspection, packets));

	if (grows)
		return 0;
	if (track->lost_packets)
		return report(inspection, FSMETA_FINDING_DAMAGED, index, error,
		    "%u of %u packets that it speaks of are not there", track->lost_packets,
		    track->lost_packets + track->count);
	if (!track->is_sealed)
		return report(inspection, FSMETA_FINDING_UNSEALED, index, error,
		    "its writer did not close it");
	if (track->trailing_bytes)
		return report(inspection, FSMETA_FINDING_DAMAGED, packets, error,
		    "%llu bytes behind the last packet belong to none",
		    (unsigned long long)track->trailing_bytes);
	return 0;
}

static int inspect_track(const struct inspection *inspection, const char *index,
    const char *packets, struct fsmeta_error *error)
{
	char *index_path = fsmeta_names_join(inspection->folder.path, index);
	char *packets_path = fsmeta_names_join(inspection->folder.path, packets);
	struct fsmeta_track track = {.packets_fd = -1};
	struct fsmeta_error failure;
	int code = FSMETA_E_MEMORY;

	fsmeta_error_clear(&failure);
	fsmeta_error_set_memory(&failure, "opening a track");
	if (index_path && packets_path)
		code = fsmeta_track_open(&track, index_path, packets_path, &failure);
	if (code == FSMETA_E_FOREIGN && fsmeta_track_is_stillborn(index_path, packets_path)) {
		/* Or its header comes next. */
		code = is_growing(inspection, index)
			   ? 0
			   : report(inspection, FSMETA_FINDING_UNSEALED, index, error,
				 "it was begun, and nothing was written to it");
		goto done;
	}
	if (code) {
		code = report_failure(inspection, index, code, &failure, error);
		goto done;
	}
	++*inspection->pieces;
	code = judge_wholeness(inspection, &track, index, packets, error);
	if (!code)
		code = judge_times(inspection, &track, index, error);
	if (!code)
		code = judge_beginning(inspection, &track, packets, error);
	if (!code)
		code = judge_end(inspection, &track, packets, error);
done:
	fsmeta_track_release(&track);
	free(index_path);
	free(packets_path);
	return code;
}

static int inspect_tracks(
    const struct inspection *inspection, const char *name, struct fsmeta_error *error)
{
	char *packets;
	int code = fsmeta_stream_folder_packets(
	    &packets, &inspection->folder, inspection->stream->layout, name);

	if (code)
		return fsmeta_error_set_memory(error, "inspecting");
	/* Without its counterpart it is an orphan, and the survey counts those. */
	if (packets && fsmeta_stream_folder_has(&inspection->folder, packets))
		code = inspect_track(inspection, name, packets, error);
	free(packets);
	return code;
}

/* ---- frames ---- */

/** The start of an array, and how many bytes there are of it in all. */
struct array_bytes {
	unsigned char start[FSMETA_NPY_HEADER_MAX_BYTES];
	size_t start_bytes;
	uint64_t bytes;
};

static int read_plain(
    struct array_bytes *out, int fd, uint64_t size, const char *name, struct fsmeta_error *error)
{
	out->bytes = size;
	return fsmeta_read_full_at(
	    fd, out->start, sizeof(out->start), 0, &out->start_bytes, name, error);
}

static int unpack_piece(struct array_bytes *out, ZSTD_DCtx *context, const unsigned char *bytes,
    size_t size, size_t *hint, const char *name, struct fsmeta_error *error)
{
	unsigned char plain[UNPACK_BYTES];
	ZSTD_inBuffer from = {.src = bytes, .size = size};
	ZSTD_outBuffer to;

	do {
		to = (ZSTD_outBuffer){.dst = plain, .size = sizeof(plain)};
		*hint = ZSTD_decompressStream(context, &to, &from);
		if (ZSTD_isError(*hint))
			return fsmeta_error_set(error, FSMETA_E_CORRUPT, name, "unpacking a frame",
			    "%s", ZSTD_getErrorName(*hint));
		if (out->start_bytes < sizeof(out->start)) {
			size_t room = sizeof(out->start) - out->start_bytes;
			size_t taken = to.pos < room ? to.pos : room;

			memcpy(out->start + out->start_bytes, plain, taken);
			out->start_bytes += taken;
		}
		out->bytes += to.pos;
		/* A frame that fills the room to its last byte is over, and no other one begins. */
	} while (from.pos < from.size || (*hint && to.pos == to.size));
	return 0;
}

static int read_packed(
    struct array_bytes *out, int fd, const char *name, struct fsmeta_error *error)
{
	unsigned char packed[UNPACK_BYTES];
	ZSTD_DCtx *context = ZSTD_createDCtx();
	size_t got = 1, hint = 1;
	int code = context ? 0 : fsmeta_error_set_memory(error, "unpacking a frame");

	while (!code && got) {
		code = fsmeta_read_full(fd, packed, sizeof(packed), &got, name, error);
		if (!code && got)
			code = unpack_piece(out, context, packed, got, &hint, name, error);
	}
	ZSTD_freeDCtx(context);
	if (!code && hint)
		code = fsmeta_error_set(
		    error, FSMETA_E_TRUNCATED, name, "unpacking a frame", "it ends in the middle");
	return code;
}

static int judge_array(
    const struct array_bytes *bytes, const char *name, struct fsmeta_error *error)
{
	struct fsmeta_npy array;
	int code = fsmeta_npy_parse(&array, bytes->start, bytes->start_bytes, name, error);

	if (code)
		return code;
	if (array.data_bytes > bytes->bytes - array.data_offset)
		return fsmeta_error_set(error, FSMETA_E_TRUNCATED, name, "reading a frame",
		    "it should have %llu bytes of data, and %llu are there",
		    (unsigned long long)array.data_bytes,
		    (unsigned long long)(bytes->bytes - array.data_offset));
	if (array.data_bytes < bytes->bytes - array.data_offset)
		return fsmeta_error_set(error, FSMETA_E_CORRUPT, name, "reading a frame",
		    "%llu bytes stand behind its data",
		    (unsigned long long)(bytes->bytes - array.data_offset - array.data_bytes));
	return 0;
}

/** What a frame looks like that is not there whole yet. */
static bool is_partly_written(int code)
{
	return code == FSMETA_E_FOREIGN || code == FSMETA_E_TRUNCATED || code == FSMETA_E_CORRUPT;
}

static int inspect_frame(
    const struct inspection *inspection, const char *name, struct fsmeta_error *error)
{
	struct array_bytes *bytes;
	struct fsmeta_error failure;
	struct stat status;
	int fd, code = 0;

	if (strncmp(name, "frame_", 6) != 0 || !strstr(name, ".npy"))
		return 0;
	fsmeta_error_clear(&failure);
	fd = openat(
	    inspection->folder.fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	bytes = calloc(1, sizeof(*bytes));
	if (!bytes)
		code = fsmeta_error_set_memory(&failure, "inspecting a frame");
	else if (fd < 0 || fstat(fd, &status) < 0)
		code = fsmeta_error_set_errno(&failure, errno, name, "opening");
	else if (!S_ISREG(status.st_mode))
		code = fsmeta_error_set(
		    &failure, FSMETA_E_FOREIGN, name, "opening", "it is not a regular file");
	else if (strcmp(name + strlen(name) - 4, ".zst") == 0)
		code = read_packed(bytes, fd, name, &failure);
	else
		code = read_plain(bytes, fd, (uint64_t)status.st_size, name, &failure);
	if (!code)
		code = judge_array(bytes, name, &failure);
	*inspection->pieces += fd >= 0;
	if (fd >= 0)
		close(fd);
	free(bytes);
	/* Who writes it in place is not done. */
	if (is_partly_written(code) && is_growing(inspection, name))
		return 0;
	return code ? report_failure(inspection, name, code, &failure, error) : 0;
}

/* ---- recordings ---- */

/** index.bin says the same as the lines. */
static int compare_indexes(const struct inspection *inspection,
    const struct fsmeta_recording *lines, const struct fsmeta_recording *quick,
    struct fsmeta_error *error)
{
	uint64_t i = 0;

	if (quick->count == lines->count) {
		while (i < lines->count &&
		       memcmp(lines->records + i * FSMETA_RECORD_BYTES,
			   quick->records + i * FSMETA_RECORD_BYTES, FSMETA_RECORD_BYTES) == 0)
			i++;
		if (i == lines->count)
			return 0;
	}
	return report(inspection, FSMETA_FINDING_DAMAGED, FSMETA_RECORDING_INDEX, error,
	    "chunk %llu is another one in index.jsonl", (unsigned long long)i);
}

static int judge_recording(const struct inspection *inspection,
    const struct fsmeta_recording *recording, struct fsmeta_error *error)
{
	struct fsmeta_chunk first;
	int code = 0;

	if (!recording->is_completed) {
		if (is_growing(inspection, FSMETA_RECORDING_DATA))
			return 0;
		return report(inspection, FSMETA_FINDING_UNSEALED, "", error,
		    "its writer did not complete it");
	}
	if (recording->invalid_line_bytes)
		code = report(inspection, FSMETA_FINDING_DAMAGED, FSMETA_RECORDING_LINES, error,
		    "%llu bytes behind line %llu are no lines, or speak of what is not there",
		    (unsigned long long)recording->invalid_line_bytes,
		    (unsigned long long)recording->count);
	else if (recording->data_bytes > recording->indexed_bytes)
		code = report(inspection, FSMETA_FINDING_DAMAGED, FSMETA_RECORDING_DATA, error,
		    "%llu bytes belong to no chunk",
		    (unsigned long long)(recording->data_bytes - recording->indexed_bytes));
	if (!code && recording->count && !fsmeta_recording_chunk(recording, 0, &first, NULL) &&
	    !first.is_key)
		code = report(inspection, FSMETA_FINDING_DAMAGED, FSMETA_RECORDING_LINES, error,
		    "it does not begin with a key frame");
	return code;
}

static int inspect_recording(const struct inspection *inspection, struct fsmeta_error *error)
{
	struct fsmeta_recording lines, quick;
	struct fsmeta_error failure;
	int code;

	fsmeta_error_clear(&failure);
	code = fsmeta_recording_open_folder(&lines, inspection->folder.path, true, &failure);
	if (code)
		return report_failure(inspection, "", code, &failure, error);
	++*inspection->pieces;
	code = judge_recording(inspection, &lines, error);
	if (!code && lines.is_completed && !lines.invalid_line_bytes &&
	    fsmeta_recording_open_folder(&quick, inspection->folder.path, false, &failure) == 0) {
		/* One that does not fit is not believed by any reader. */
		if (quick.is_quick)
			code = compare_indexes(inspection, &lines, &quick, error);
		fsmeta_recording_release(&quick);
	}
	fsmeta_recording_release(&lines);
	return code;
}

/* ---- all of a stream ---- */

static int inspect_names(const struct inspection *inspection, struct fsmeta_error *error)
{
	int code = 0;

	for (size_t i = 0; i < inspection->names.count && !code; i++) {
		if (inspection->stop && *inspection->stop)
			return fsmeta_error_set(
			    error, FSMETA_E_STOPPED, NULL, "inspecting", "stopped on request");
		if (inspection->stream->layout == FSMETA_LAYOUT_FRAMES)
			code = inspect_frame(inspection, inspection->names.items[i], error);
		else
			code = inspect_tracks(inspection, inspection->names.items[i], error);
	}
	return code;
}

int fsmeta_archive_inspect(int root_fd, const struct fsmeta_archive_stream *stream,
    const volatile sig_atomic_t *stop, uint64_t *pieces, fsmeta_finding_visit *visit,
    struct fsmeta_error *error, void *payload)
{
	struct inspection inspection = {
	    .stream = stream, .stop = stop, .pieces = pieces, .visit = visit, .payload = payload};
	struct fsmeta_error failure;
	int code;

	*pieces = 0;
	fsmeta_error_clear(&failure);
	code = fsmeta_stream_folder_open(
	    &inspection.folder, root_fd, stream->path, stream->path_length, &failure);
	if (code)
		return report_failure(&inspection, "", code, &failure, error);
	if (stream->layout == FSMETA_LAYOUT_RECORDING) {
		code = inspect_recording(&inspection, error);
	} else {
		code = fsmeta_names_list(&inspection.names, inspection.folder.path, &failure);
		if (code)
			code = report_failure(&inspection, "", code, &failure, error);
		else
			code = inspect_names(&inspection, error);
		fsmeta_names_release(&inspection.names);
	}
	fsmeta_stream_folder_close(&inspection.folder);
	return code;
}
