/*
 * Tracks.
 *
 *     index                                        packets
 *     +--------------------------------------+     +----------+-----+--------+- - -
 *     | header, 32 bytes (below)             |     | packet 0 |  1  |   2    |
 *     | word 0   time, location 0, flags     |     +----------+-----+--------+- - -
 *     | word 1   time, location of 1, flags  |     0          ^     ^        ^
 *     | word 2   time, location of 2, flags  |                |     |        |
 *     | sentinel largest time, end, no flags |----------------+-----+--------+
 *     +--------------------------------------+
 *
 *     header    0 magic "rf1v" or "rf1a"    16 base, microseconds since 1970
 *               4 codec                     24 count of words without the sentinel; 0 while open
 *               8 flags                     26 width    28 height
 *              12 how it is shown (look.h)  30 reserved, 0
 *
 * Why nothing breaks.  A packet is written before the word that speaks of it, and the word
 * goes over the old sentinel in one write with the new sentinel behind it.  The old sentinel
 * and the word in its place have the same location, so whichever of them a crash leaves there, it
 * says where the packet before ends.  Hence the reader's only rule: the last word that is there is
 * the sentinel, whatever it was meant to be.  An index cut at any byte then serves one packet less
 * than it has whole words, and each of them is whole; a frame file cut at any byte takes away the
 * packets that reach beyond its end.  After a power cut, when words may be on the disk and the
 * packets not, the same check finds it, as the size of the file says how far it was written: the
 * space ahead is laid out behind its end (FALLOC_FL_KEEP_SIZE).  An index that others blew up with
 * zeros ends at the first word that is 0; only the very first can be 0 and mean something.
 *
 * The index is written as it grows, 8 bytes a packet; a whole one is half a MiB and laid out at
 * once.
 */
#include "archive/track.h"

#include "base/file.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
	AT_CODEC = 4,
	AT_FLAGS = 8,
	AT_LOOK = 12,
	AT_BASE = 16,
	/** Count, width, height: 16 bits each. */
	AT_COUNT = 24,
	WORD_BYTES = 8,
	READ_PIECE_BYTES = 32 << 20,
	INDEX_MAX_BYTES = FSMETA_TRACK_HEADER_BYTES + (FSMETA_TRACK_PACKETS_MAX + 1) * WORD_BYTES,
};

struct fsmeta_track_writer {
	struct fsmeta_track_format format;
	char *index_path;
	char *packets_path;
	int index_fd;
	int packets_fd;
	uint32_t count;
	/** Largest tick so far, which the sentinel carries. */
	uint32_t last_ticks;
	uint64_t packets_bytes;
	uint64_t reserve_bytes;
	/** Up to where space is laid out. */
	uint64_t reserved_bytes;
	/** Words of one append. */
	struct fsmeta_buffer words;
};

/* ---- header ---- */

static bool is_codec(const char *codec)
{
	for (int i = 0; i < FSMETA_CODEC_BYTES; i++)
		if (!(codec[i] >= 'a' && codec[i] <= 'z') && !(codec[i] >= '0' && codec[i] <= '9'))
			return false;
	return true;
}

static void put_header(unsigned char *out, const struct fsmeta_track_format *format, uint32_t count)
{
	uint32_t flags = htole32(format->flags);
	uint32_t look = htole32(format->is_audio ? 0 : fsmeta_look_pack(&format->look));
	uint64_t base = htole64((uint64_t)format->base_us);
	uint16_t small[3] = {
	    htole16((uint16_t)count), htole16(format->width), htole16(format->height)};

	memset(out, 0, FSMETA_TRACK_HEADER_BYTES);
	memcpy(out, format->is_audio ? "rf1a" : "rf1v", 4);
	memcpy(out + AT_CODEC, format->codec, FSMETA_CODEC_BYTES);
	memcpy(out + AT_FLAGS, &flags, sizeof(flags));
	memcpy(out + AT_LOOK, &look, sizeof(look));
	memcpy(out + AT_BASE, &base, sizeof(base));
	memcpy(out + AT_COUNT, small, sizeof(small));
}

static int get_header(struct fsmeta_track_format *out, uint32_t *count, const unsigned char *from,
    size_t size, const char *path, struct fsmeta_error *error)
{
	static const char action[] = "reading the header of an index";
	uint32_t look;
	uint64_t base;
	uint16_t small[3];

	if (size < FSMETA_TRACK_HEADER_BYTES)
		return fsmeta_error_set(
		    error, FSMETA_E_FOREIGN, path, action, "it is shorter than a header");
	if (memcmp(from, "rf1v", 4) != 0 && memcmp(from, "rf1a", 4) != 0)
		return fsmeta_error_set(
		    error, FSMETA_E_FOREIGN, path, action, "it begins with neither rf1v nor rf1a");
	*out = (struct fsmeta_track_format){.is_audio = from[3] == 'a'};
	memcpy(out->codec, from + AT_CODEC, FSMETA_CODEC_BYTES);
	if (!is_codec(out->codec))
		return fsmeta_error_set_at(
		    error, FSMETA_E_FOREIGN, path, AT_CODEC, action, "this is no name of a codec");
	memcpy(&out->flags, from + AT_FLAGS, sizeof(out->flags));
	out->flags = le32toh(out->flags);
	if (out->flags & ~(uint32_t)(FSMETA_TRACK_SEALED | FSMETA_TRACK_CONTINUES))
		return fsmeta_error_set_at(error, FSMETA_E_UNSUPPORTED, path, AT_FLAGS, action,
		    "unknown flags %#x", out->flags);
	memcpy(&base, from + AT_BASE, sizeof(base));
	base = le64toh(base);
	if (base > INT64_MAX / 2)
		return fsmeta_error_set_at(error, FSMETA_E_LIMIT, path, AT_BASE, action,
		    "it begins %llu microseconds after 1970", (unsigned long long)base);
	out->base_us = (int64_t)base;
	memcpy(small, from + AT_COUNT, sizeof(small));
	*count = le16toh(small[0]);
	if (!out->is_audio) {
		memcpy(&look, from + AT_LOOK, sizeof(look));
		out->look = fsmeta_look_unpack(le32toh(look));
		out->width = le16toh(small[1]);
		out->height = le16toh(small[2]);
	}
	return 0;
}

/* ---- writing ---- */

/** write_all at an offset, past whatever is there. */
static int write_at(int fd, const void *bytes, size_t size, uint64_t offset, const char *path,
    struct fsmeta_error *error)
{
	if (lseek(fd, (off_t)offset, SEEK_SET) < 0)
		return fsmeta_error_set_errno(error, errno, path, "writing");
	return fsmeta_write_all(fd, bytes, size, path, error);
}

/** Best effort: a disk that is full says so when it is written to. */
static void reserve(struct fsmeta_track_writer *writer, uint64_t needed)
{
	uint64_t step = writer->reserve_bytes;

	if (!step || writer->packets_bytes + needed <= writer->reserved_bytes)
		return;
	if (step < needed)
		step = needed;
	if (fallocate(writer->packets_fd, FALLOC_FL_KEEP_SIZE, (off_t)writer->packets_bytes,
		(off_t)step) == 0)
		writer->reserved_bytes = writer->packets_bytes + step;
	else
		writer->reserve_bytes = 0;
}

static int check_format(
    const struct fsmeta_track_format *format, const char *path, struct fsmeta_error *error)
{
	static const char action[] = "beginning a track";

	if (!is_codec(format->codec))
		return fsmeta_error_set(error, FSMETA_E_USAGE, path, action,
		    "the name of a codec is four of a-z and 0-9");
	if (!format->is_audio && (!format->width || !format->height))
		return fsmeta_error_set(
		    error, FSMETA_E_USAGE, path, action, "a picture without width or height");
	if (format->base_us < 0 || format->base_us > INT64_MAX / 2)
		return fsmeta_error_set(
		    error, FSMETA_E_USAGE, path, action, "it would begin before 1970 or never");
	return 0;
}

static int make_file(int *fd, const char *path, struct fsmeta_error *error)
{
	*fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (*fd < 0)
		return fsmeta_error_set_errno(error, errno, path, "making");
	return 0;
}

static int write_words(struct fsmeta_track_writer *writer, struct fsmeta_error *error)
{
	return write_at(writer->index_fd, writer->words.data, writer->words.length,
	    FSMETA_TRACK_HEADER_BYTES + (uint64_t)writer->count * WORD_BYTES, writer->index_path,
	    error);
}

static int put_word(struct fsmeta_track_writer *writer, uint64_t word)
{
	word = htole64(word);
	return fsmeta_buffer_append(&writer->words, &word, sizeof(word));
}

/** The header and the sentinel of an empty track. */
static int write_beginning(struct fsmeta_track_writer *writer, struct fsmeta_error *error)
{
	unsigned char header[FSMETA_TRACK_HEADER_BYTES];

	put_header(header, &writer->format, 0);
	if (writer->reserve_bytes)
		(void)!fallocate(writer->index_fd, FALLOC_FL_KEEP_SIZE, 0, INDEX_MAX_BYTES);
	reserve(writer, 0);
	return write_at(writer->index_fd, header, sizeof(header), 0, writer->index_path, error);
}

/** Where there is nothing to be torn into fragments, and laying out costs as much as writing. */
static bool is_in_memory(int fd)
{
	struct statfs status;

	return fstatfs(fd, &status) == 0 && status.f_type == TMPFS_MAGIC;
}

int fsmeta_track_create(struct fsmeta_track_writer **out, const char *index_path,
    const char *packets_path, const struct fsmeta_track_format *format, uint64_t reserve_bytes,
    struct fsmeta_error *error)
{
	struct fsmeta_track_writer *writer;
	int code = check_format(format, index_path, error);

	*out = NULL;
	if (code)
		return code;
	writer = calloc(1, sizeof(*writer));
	if (!writer)
		return fsmeta_error_set_memory(error, "beginning a track");
	writer->format = *format;
	writer->format.flags &= FSMETA_TRACK_CONTINUES;
	writer->reserve_bytes = reserve_bytes;
	writer->index_fd = writer->packets_fd = -1;
	writer->index_path = strdup(index_path);
	writer->packets_path = strdup(packets_path);
	if (!writer->index_path || !writer->packets_path)
		code = fsmeta_error_set_memory(error, "beginning a track");
	/* The index first, held: whoever cleans up sees that somebody is at work. */
	if (!code)
		code = make_file(&writer->index_fd, index_path, error);
	if (!code && flock(writer->index_fd, LOCK_EX | LOCK_NB) < 0)
		code = fsmeta_error_set_errno(error, errno, index_path, "locking");
	if (!code)
		code = make_file(&writer->packets_fd, packets_path, error);
	if (!code && is_in_memory(writer->packets_fd))
		writer->reserve_bytes = 0;
	if (!code)
		code = write_beginning(writer, error);
	if (code && writer->packets_fd >= 0)
		unlink(packets_path);
	if (code && writer->index_fd >= 0)
		unlink(index_path);
	if (code)
		fsmeta_track_abandon(writer);
	else
		*out = writer;
	return code;
}

static bool fits(const struct fsmeta_track_writer *writer, int64_t time_us, uint64_t bytes,
    uint64_t count, uint32_t *ticks)
{
	int64_t offset;

	return !__builtin_sub_overflow(time_us, writer->format.base_us, &offset) &&
	       fsmeta_ticks_from_us(ticks, offset) &&
	       bytes <= FSMETA_TRACK_BYTES_MAX - writer->packets_bytes &&
	       count <= FSMETA_TRACK_PACKETS_MAX - writer->count;
}

bool fsmeta_track_has_room(
    const struct fsmeta_track_writer *writer, int64_t time_us, uint64_t bytes, uint32_t count)
{
	uint32_t ticks;

	return fits(writer, time_us, bytes, count, &ticks);
}

/** The words of `packets` and the sentinel behind them, before anything is written. */
static int plan_words(struct fsmeta_track_writer *writer, const struct fsmeta_packet *packets,
    size_t count, uint64_t *bytes, uint32_t *last_ticks, struct fsmeta_error *error)
{
	static const char action[] = "appending a packet";
	int code = 0;

	*bytes = 0;
	*last_ticks = writer->last_ticks;
	fsmeta_buffer_clear(&writer->words);
	for (size_t i = 0; i < count && !code; i++) {
		uint32_t ticks;

		if (!packets[i].size || packets[i].flags > FSMETA_WORD_FLAGS_MAX)
			return fsmeta_error_set(error, FSMETA_E_USAGE, writer->packets_path, action,
			    "it has no bytes, or flags beyond 12 bits");
		if (packets[i].size > FSMETA_TRACK_BYTES_MAX ||
		    !fits(writer, packets[i].time_us, *bytes + packets[i].size, count, &ticks))
			return fsmeta_error_set(error, FSMETA_E_LIMIT, writer->packets_path, action,
			    "it lies beyond 1024 s, 1 GiB or 65,535 packets");
		code = put_word(
		    writer, fsmeta_word_pack(ticks, (uint32_t)(writer->packets_bytes + *bytes),
				packets[i].flags));
		*bytes += packets[i].size;
		if (ticks > *last_ticks)
			*last_ticks = ticks;
	}
	if (!code)
		code = put_word(writer,
		    fsmeta_word_pack(*last_ticks, (uint32_t)(writer->packets_bytes + *bytes), 0));
	return code ? fsmeta_error_set_memory(error, action) : 0;
}

/** Packets that lie side by side in memory go in one write. */
static int write_packets(struct fsmeta_track_writer *writer, const struct fsmeta_packet *packets,
    size_t count, struct fsmeta_error *error)
{
	uint64_t offset = writer->packets_bytes;

	for (size_t i = 0; i < count;) {
		const unsigned char *start = packets[i].bytes;
		size_t size = 0;
		int code;

		do {
			size += packets[i++].size;
		} while (i < count && packets[i].bytes == start + size);
		code =
		    write_at(writer->packets_fd, start, size, offset, writer->packets_path, error);
		if (code)
			return code;
		offset += size;
	}
	return 0;
}

/** After a write that failed: the words behind the old sentinel go, so that nothing is served
 * twice. */
static void cut_back(struct fsmeta_track_writer *writer)
{
	uint64_t words = writer->count ? writer->count + 1 : 0;
	int saved = errno;

	if (ftruncate(writer->index_fd, (off_t)(FSMETA_TRACK_HEADER_BYTES + words * WORD_BYTES)))
		errno = saved; /* The next append writes over them. */
}

int fsmeta_track_append(struct fsmeta_track_writer *writer, const struct fsmeta_packet *packets,
    size_t count, struct fsmeta_error *error)
{
	uint64_t bytes;
	uint32_t last_ticks;
	int code = plan_words(writer, packets, count, &bytes, &last_ticks, error);

	if (code || !count)
		return code;
	reserve(writer, bytes);
	code = write_packets(writer, packets, count, error);
	if (!code)
		code = write_words(writer, error);
	if (code) {
		cut_back(writer);
		return code;
	}
	writer->count += (uint32_t)count;
	writer->packets_bytes += bytes;
	writer->last_ticks = last_ticks;
	return 0;
}

static int sync_file(int fd, const char *path, struct fsmeta_error *error)
{
	return fdatasync(fd) < 0 ? fsmeta_error_set_errno(error, errno, path, "syncing") : 0;
}

int fsmeta_track_sync(struct fsmeta_track_writer *writer, struct fsmeta_error *error)
{
	int code = sync_file(writer->packets_fd, writer->packets_path, error);

	return code ? code : sync_file(writer->index_fd, writer->index_path, error);
}

void fsmeta_track_written(
    const struct fsmeta_track_writer *writer, uint32_t *count, uint64_t *bytes, int64_t *end_us)
{
	*count = writer->count;
	*bytes = writer->packets_bytes;
	*end_us = writer->format.base_us + fsmeta_ticks_to_us(writer->last_ticks);
}

/** Cuts a file, which also gives back what was laid out behind its end. */
static int trim(int fd, uint64_t size, const char *path, struct fsmeta_error *error)
{
	return ftruncate(fd, (off_t)size) < 0
		   ? fsmeta_error_set_errno(error, errno, path, "cutting")
		   : 0;
}

/** The count comes last, when all that it counts is on the disk. */
static int seal(int index_fd, int packets_fd, const struct fsmeta_track_format *format,
    uint32_t count, uint64_t sentinel, const char *index_path, const char *packets_path,
    struct fsmeta_error *error)
{
	struct fsmeta_track_format sealed = *format;
	unsigned char header[FSMETA_TRACK_HEADER_BYTES];
	uint64_t word = htole64(sentinel);
	uint64_t at = FSMETA_TRACK_HEADER_BYTES + (uint64_t)count * WORD_BYTES;
	int code = trim(packets_fd, fsmeta_word_location(sentinel), packets_path, error);

	if (!code)
		code = write_at(index_fd, &word, sizeof(word), at, index_path, error);
	if (!code)
		code = trim(index_fd, at + WORD_BYTES, index_path, error);
	if (!code)
		code = sync_file(packets_fd, packets_path, error);
	if (!code)
		code = sync_file(index_fd, index_path, error);
	sealed.flags |= FSMETA_TRACK_SEALED;
	put_header(header, &sealed, count);
	if (!code)
		code = write_at(index_fd, header, sizeof(header), 0, index_path, error);
	if (!code)
		code = sync_file(index_fd, index_path, error);
	return code;
}

int fsmeta_track_close(struct fsmeta_track_writer *writer, struct fsmeta_error *error)
{
	int code;

	if (!writer)
		return 0;
	code = seal(writer->index_fd, writer->packets_fd, &writer->format, writer->count,
	    fsmeta_word_pack(writer->last_ticks, (uint32_t)writer->packets_bytes, 0),
	    writer->index_path, writer->packets_path, error);
	fsmeta_track_abandon(writer);
	return code;
}

void fsmeta_track_abandon(struct fsmeta_track_writer *writer)
{
	if (!writer)
		return;
	if (writer->index_fd >= 0)
		close(writer->index_fd);
	if (writer->packets_fd >= 0)
		close(writer->packets_fd);
	fsmeta_buffer_release(&writer->words);
	free(writer->index_path);
	free(writer->packets_path);
	free(writer);
}

/* ---- reading ---- */

/** How many words there are before the first that is 0. */
static size_t count_words(const unsigned char *from, size_t available)
{
	static const unsigned char none[WORD_BYTES];
	size_t i = 0;

	/* The first packet's may be 0: shown at once, at the start of the file, no flags. */
	if (available > 1 && memcmp(from, none, WORD_BYTES) == 0 &&
	    memcmp(from + WORD_BYTES, none, WORD_BYTES) != 0)
		i = 1;
	while (i < available && memcmp(from + i * WORD_BYTES, none, WORD_BYTES) != 0)
		i++;
	return i;
}

/** How many packets are whole: locations rise from 0 and stay within the frame file. */
static uint32_t count_whole(const uint64_t *words, size_t count, uint64_t packets_bytes)
{
	uint32_t whole = 0;

	if (!count || fsmeta_word_location(words[0]) != 0)
		return 0;
	while (whole + 1 < count &&
	       fsmeta_word_location(words[whole + 1]) > fsmeta_word_location(words[whole]) &&
	       fsmeta_word_location(words[whole + 1]) <= packets_bytes)
		whole++;
	return whole;
}

int fsmeta_track_parse(struct fsmeta_track *out, const unsigned char *index, size_t index_bytes,
    uint64_t packets_bytes, const char *index_path, struct fsmeta_error *error)
{
	uint32_t stated = 0;
	size_t words, available;
	int code;

	*out = (struct fsmeta_track){.packets_fd = -1};
	code = get_header(&out->format, &stated, index, index_bytes, index_path, error);
	if (code)
		return code;
	index += FSMETA_TRACK_HEADER_BYTES;
	available = (index_bytes - FSMETA_TRACK_HEADER_BYTES) / WORD_BYTES;
	if (available > FSMETA_TRACK_PACKETS_MAX + 1)
		available = FSMETA_TRACK_PACKETS_MAX + 1;
	if (stated && available > stated + 1)
		available = stated + 1;
	words = count_words(index, available);
	out->words = calloc(words + 1, sizeof(*out->words));
	if (!out->words)
		return fsmeta_error_set_memory(error, "reading an index");
	for (size_t i = 0; i < words; i++) {
		memcpy(&out->words[i], index + i * WORD_BYTES, WORD_BYTES);
		out->words[i] = le64toh(out->words[i]);
	}
	out->index_bytes = index_bytes;
	out->packets_bytes = packets_bytes;
	out->count = count_whole(out->words, words, packets_bytes);
	if (stated)
		out->lost_packets = stated - out->count;
	else if (words > out->count + 1)
		out->lost_packets = (uint32_t)words - 1 - out->count;
	out->was_sealed = stated || out->format.flags & FSMETA_TRACK_SEALED;
	out->is_sealed = out->was_sealed && !out->lost_packets;
	out->trailing_bytes = packets_bytes - fsmeta_word_location(out->words[out->count]);
	if (!out->count) {
		out->words[0] = 0;
		out->trailing_bytes = packets_bytes;
	}
	return 0;
}

int fsmeta_track_open(struct fsmeta_track *out, const char *index_path, const char *packets_path,
    struct fsmeta_error *error)
{
	struct fsmeta_buffer index = {0};
	struct stat status;
	int code, fd = -1;

	*out = (struct fsmeta_track){.packets_fd = -1};
	/* The index first: what it speaks of has been written by then. */
	code = fsmeta_read_file_at(&index, AT_FDCWD, index_path, 2 * INDEX_MAX_BYTES, error);
	if (code)
		goto done;
	fd = open(packets_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &status) < 0)
		code = fsmeta_error_set_errno(error, errno, packets_path, "opening");
	else if (!S_ISREG(status.st_mode))
		code = fsmeta_error_set(
		    error, FSMETA_E_FOREIGN, packets_path, "opening", "it is not a regular file");
	if (!code)
		code = fsmeta_track_parse(
		    out, index.data, index.length, (uint64_t)status.st_size, index_path, error);
	if (code)
		goto done;
	out->packets_fd = fd;
	fd = -1;
	out->packets_path = strdup(packets_path);
	if (!out->packets_path) {
		fsmeta_track_release(out);
		code = fsmeta_error_set_memory(error, "opening a track");
	}
done:
	if (fd >= 0)
		close(fd);
	fsmeta_buffer_release(&index);
	return code;
}

void fsmeta_track_release(struct fsmeta_track *track)
{
	if (track->packets_fd >= 0)
		close(track->packets_fd);
	free(track->words);
	free(track->packets_path);
	*track = (struct fsmeta_track){.packets_fd = -1};
}

int64_t fsmeta_track_time_us(const struct fsmeta_track *track, uint32_t i)
{
	return track->format.base_us + fsmeta_ticks_to_us(fsmeta_word_ticks(track->words[i]));
}

void fsmeta_track_extent(const struct fsmeta_track *track, int64_t *start_us, int64_t *end_us)
{
	uint32_t low = track->count ? FSMETA_WORD_TICKS_MAX : 0, high = 0;

	for (uint32_t i = 0; i < track->count; i++) {
		uint32_t ticks = fsmeta_word_ticks(track->words[i]);

		low = ticks < low ? ticks : low;
		high = ticks > high ? ticks : high;
	}
	*start_us = track->format.base_us + fsmeta_ticks_to_us(low);
	*end_us = track->format.base_us + fsmeta_ticks_to_us(high);
}

/** The last key frame up to packet `first` that is not shown after it, with what it needs. */
static uint32_t find_key(const struct fsmeta_track *track, uint32_t first)
{
	int64_t shown = fsmeta_track_time_us(track, first);
	uint32_t key = first;

	while (key && !(fsmeta_word_flags(track->words[key]) & FSMETA_PACKET_KEY &&
			  fsmeta_track_time_us(track, key) <= shown))
		key--;
	while (key && fsmeta_word_flags(track->words[key - 1]) & FSMETA_PACKET_ESSENTIAL)
		key--;
	return key;
}

void fsmeta_track_window(const struct fsmeta_track *track, int64_t from_us, int64_t to_us,
    bool to_key, uint32_t *first, uint32_t *last)
{
	*first = *last = 0;
	/* Times are not sorted where an encoder reorders, and 65,535 are looked at in 50 us. */
	for (uint32_t i = 0; i < track->count; i++) {
		int64_t time = fsmeta_track_time_us(track, i);

		if (time < from_us || time >= to_us)
			continue;
		if (!*last)
			*first = i;
		*last = i + 1;
	}
	if (to_key && *last)
		*first = find_key(track, *first);
}

int fsmeta_track_read(const struct fsmeta_track *track, uint32_t first, uint32_t last,
    struct fsmeta_buffer *out, struct fsmeta_error *error)
{
	static const char action[] = "reading packets";
	uint32_t start, size;
	size_t got;
	int code;

	if (first >= last || last > track->count)
		return first == last ? 0
				     : fsmeta_error_set(error, FSMETA_E_INTERNAL,
					   track->packets_path, action, "no such packets");
	start = fsmeta_word_location(track->words[first]);
	size = fsmeta_word_location(track->words[last]) - start;
	if (fsmeta_buffer_reserve(out, size))
		return fsmeta_error_set_memory(error, action);
	code = fsmeta_read_full_at(track->packets_fd, out->data + out->length, size, start, &got,
	    track->packets_path, error);
	if (code)
		return code;
	if (got < size)
		return fsmeta_error_set_at(error, FSMETA_E_TRUNCATED, track->packets_path,
		    (int64_t)(start + got), action, "it has become shorter");
	out->length += size;
	return 0;
}

int fsmeta_track_visit_packets(const struct fsmeta_track *track, uint32_t first, uint32_t last,
    struct fsmeta_buffer *bytes, fsmeta_track_visit *visit, struct fsmeta_error *error,
    void *payload)
{
	int code = 0;

	while (first < last && !code) {
		const unsigned char *from;
		uint32_t piece = first;
		uint64_t size = 0;

		do {
			size += fsmeta_track_size(track, piece++);
		} while (
		    piece < last && size + fsmeta_track_size(track, piece) <= READ_PIECE_BYTES);
		fsmeta_buffer_clear(bytes);
		code = fsmeta_track_read(track, first, piece, bytes, error);
		from = bytes->data;
		for (; first < piece && !code; first++) {
			struct fsmeta_packet packet = {
			    .time_us = fsmeta_track_time_us(track, first),
			    .flags = fsmeta_word_flags(track->words[first]),
			    .bytes = from,
			    .size = fsmeta_track_size(track, first),
			};

			from += packet.size;
			code = visit(payload, &packet, error);
		}
	}
	return code;
}

bool fsmeta_track_begins_with_key(const struct fsmeta_track *track, uint32_t first)
{
	while (first < track->count &&
	       fsmeta_word_flags(track->words[first]) & FSMETA_PACKET_ESSENTIAL)
		first++;
	return first < track->count && fsmeta_word_flags(track->words[first]) & FSMETA_PACKET_KEY;
}

bool fsmeta_track_is_damage(int code)
{
	return code == FSMETA_E_FOREIGN || code == FSMETA_E_UNSUPPORTED || code == FSMETA_E_LIMIT ||
	       code == FSMETA_E_CORRUPT;
}

uint32_t fsmeta_track_last_key(const struct fsmeta_track *track)
{
	uint32_t first = track->count;

	while (first && !(fsmeta_word_flags(track->words[first - 1]) & FSMETA_PACKET_KEY))
		first--;
	first = first ? first - 1 : 0;
	while (first && fsmeta_word_flags(track->words[first - 1]) & FSMETA_PACKET_ESSENTIAL)
		first--;
	return first;
}

/* ---- recovery ---- */

static int open_held(int *fd, const char *path, bool hold, struct fsmeta_error *error)
{
	*fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (*fd < 0)
		return fsmeta_error_set_errno(error, errno, path, "opening");
	if (hold && flock(*fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? fsmeta_error_set(error, FSMETA_E_BUSY, path,
						  "recovering", "somebody still writes to it")
					    : fsmeta_error_set_errno(error, errno, path, "locking");
	return 0;
}

static uint64_t closing_word(const struct fsmeta_track *track)
{
	uint32_t ticks = 0;

	for (uint32_t i = 0; i < track->count; i++)
		if (fsmeta_word_ticks(track->words[i]) > ticks)
			ticks = fsmeta_word_ticks(track->words[i]);
	return fsmeta_word_pack(ticks, fsmeta_word_location(track->words[track->count]), 0);
}

bool fsmeta_track_is_stillborn(const char *index_path, const char *packets_path)
{
	struct stat status;

	return lstat(index_path, &status) == 0 && S_ISREG(status.st_mode) &&
	       status.st_size < FSMETA_TRACK_HEADER_BYTES &&
	       (lstat(packets_path, &status) == 0 ? S_ISREG(status.st_mode) && !status.st_size
						  : errno == ENOENT);
}

/** The index, which is held, last: then a crash between leaves it as it is. */
static int bury(const char *index_path, const char *packets_path, struct fsmeta_error *error)
{
	if (unlink(packets_path) < 0 && errno != ENOENT)
		return fsmeta_error_set_errno(error, errno, packets_path, "recovering");
	if (unlink(index_path) < 0)
		return fsmeta_error_set_errno(error, errno, index_path, "recovering");
	return 1;
}

int fsmeta_track_recover(
    const char *index_path, const char *packets_path, struct fsmeta_error *error)
{
	struct fsmeta_track track = {.packets_fd = -1};
	int index_fd = -1, packets_fd = -1;
	int code = open_held(&index_fd, index_path, true, error);

	if (!code && fsmeta_track_is_stillborn(index_path, packets_path))
		code = bury(index_path, packets_path, error);
	else if (!code)
		code = fsmeta_track_open(&track, index_path, packets_path, error);
	/* What was lost behind the closing only the index tells of. */
	if (!code && !(track.was_sealed && track.lost_packets) &&
	    (!track.is_sealed || track.trailing_bytes))
		code = open_held(&packets_fd, packets_path, false, error);
	if (!code && packets_fd >= 0) {
		code = seal(index_fd, packets_fd, &track.format, track.count, closing_word(&track),
		    index_path, packets_path, error);
		code = code ? code : 1;
	}
	fsmeta_track_release(&track);
	if (packets_fd >= 0)
		close(packets_fd);
	if (index_fd >= 0)
		close(index_fd);
	return code;
}
