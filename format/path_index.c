/*
 * paths.idx.
 *
 * Hashes come in the order of paths, which is none at all, and have to be written in
 * order of their value; all of them do not fit into the memory that we allow.  So
 * they are sorted outside of it (base/sort.h), which keeps the order of equal ones:
 * positions need no pass of their own, because they come in ascending order.
 *
 * Reading asks page after page by bisection.  Each page has a checksum that counts in
 * its number, so that what is damaged or moved is noticed where it is read, without
 * reading all of it for one question.
 */
#include "format/path_index.h"

#include "base/file.h"
#include "base/sort.h"
#include "format/cityhash.h"
#include "format/stream_record.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	VERSION = 1,
	HEADER_BYTES = 48,
	/** What the header's checksum is over. */
	HEADER_CHECKED_BYTES = 40,
	PAGE_BYTES = 4096,
	PAGE_CHECKED_BYTES = 4088,
	PAGE_RECORDS = 314,
	HASH_BYTES = 8,
	POSITION_BYTES = 5,
	POSITIONS_OFFSET = PAGE_RECORDS * HASH_BYTES,
	UNUSED_OFFSET = POSITIONS_OFFSET + PAGE_RECORDS * POSITION_BYTES,
	/** Pages that are written at once. */
	CHUNK_PAGES = 64,
};

static const unsigned char magic[8] = {'F', 's', 'P', 'a', 't', 'h', 's', '\n'};
static const char building[] = "writing paths.idx";
static const char reading[] = "reading paths.idx";

/** The hash is its key. */
struct record {
	uint64_t hash;
	uint64_t position;
};

struct fsmeta_path_index_builder {
	struct fsmeta_sort *sort;
};

/** Pages on their way to the file. */
struct page_output {
	int fd;
	const char *label;
	unsigned char *pages;
	uint64_t page;
	/** Records in the page being filled, and pages complete in memory. */
	size_t records;
	size_t complete;
};

struct fsmeta_path_index {
	int fd;
	char *label;
	uint64_t entries;
	uint64_t pages;
	unsigned char page[PAGE_BYTES];
};

/* ---- bytes ------------------------------------------------------------ */

static void store_number(unsigned char *out, uint64_t value, size_t bytes)
{
	value = htole64(value);
	memcpy(out, &value, bytes);
}

static uint64_t load_number(const unsigned char *in, size_t bytes)
{
	uint64_t value = 0;

	memcpy(&value, in, bytes);
	return le64toh(value);
}

static uint64_t page_hash(const unsigned char *page, size_t slot)
{
	return load_number(page + slot * HASH_BYTES, HASH_BYTES);
}

static uint64_t page_position(const unsigned char *page, size_t slot)
{
	return load_number(page + POSITIONS_OFFSET + slot * POSITION_BYTES, POSITION_BYTES);
}

static uint64_t page_checksum(const unsigned char *page, uint64_t number)
{
	return XXH3_64bits_withSeed(page, PAGE_CHECKED_BYTES, number);
}

static uint64_t page_count(uint64_t entries)
{
	return entries / PAGE_RECORDS + (entries % PAGE_RECORDS != 0);
}

static struct fsmeta_digest record_term(struct record record)
{
	unsigned char bytes[16];

	store_number(bytes, record.hash, 8);
	store_number(bytes + 8, record.position, 8);
	return fsmeta_stream_digest(bytes, sizeof(bytes));
}

struct fsmeta_digest fsmeta_path_index_term(const char *path, size_t length, uint64_t position)
{
	return record_term((struct record){fsmeta_cityhash64(path, length), position});
}

/* ---- building --------------------------------------------------------- */

int fsmeta_path_index_builder_new(
    struct fsmeta_path_index_builder **out, size_t memory_bytes, struct fsmeta_error *error)
{
	struct fsmeta_path_index_builder *builder = calloc(1, sizeof(*builder));
	int code = builder
		       ? fsmeta_sort_new(&builder->sort, sizeof(struct record), memory_bytes, error)
		       : fsmeta_error_set_memory(error, building);

	*out = builder;
	if (code) {
		fsmeta_path_index_builder_free(builder);
		*out = NULL;
	}
	return code;
}

void fsmeta_path_index_builder_free(struct fsmeta_path_index_builder *builder)
{
	if (!builder)
		return;
	fsmeta_sort_free(builder->sort);
	free(builder);
}

int fsmeta_path_index_builder_add(struct fsmeta_path_index_builder *builder, const char *path,
    size_t length, struct fsmeta_error *error)
{
	const struct record record = {
	    fsmeta_cityhash64(path, length), fsmeta_sort_count(builder->sort) + 1};

	return fsmeta_sort_add(builder->sort, &record, error);
}

/* ---- pages ------------------------------------------------------------ */

static int flush_pages(struct page_output *output, struct fsmeta_error *error)
{
	int code = fsmeta_write_all(
	    output->fd, output->pages, output->complete * PAGE_BYTES, output->label, error);

	output->complete = 0;
	return code;
}

static int end_page(struct page_output *output, struct fsmeta_error *error)
{
	unsigned char *page = output->pages + output->complete * PAGE_BYTES;

	store_number(
	    page + PAGE_CHECKED_BYTES, page_checksum(page, output->page), sizeof(uint64_t));
	output->page++;
	output->complete++;
	output->records = 0;
	return output->complete == CHUNK_PAGES ? flush_pages(output, error) : 0;
}

static int put_record(
    struct page_output *output, const struct record *record, struct fsmeta_error *error)
{
	unsigned char *page = output->pages + output->complete * PAGE_BYTES;

	if (!output->records)
		memset(page, 0, PAGE_BYTES);
	store_number(page + output->records * HASH_BYTES, record->hash, HASH_BYTES);
	store_number(page + POSITIONS_OFFSET + output->records * POSITION_BYTES, record->position,
	    POSITION_BYTES);
	output->records++;
	return output->records == PAGE_RECORDS ? end_page(output, error) : 0;
}

static int put_all(struct fsmeta_path_index_builder *builder, struct page_output *output,
    struct fsmeta_error *error)
{
	const void *record;
	int code = fsmeta_sort_finish(builder->sort, error);

	while (!code && (code = fsmeta_sort_next(builder->sort, &record, error)) > 0)
		code = put_record(output, record, error);
	return code;
}

static void make_header(
    unsigned char header[HEADER_BYTES], uint64_t entries, struct fsmeta_digest records_digest)
{
	memset(header, 0, HEADER_BYTES);
	memcpy(header, magic, sizeof(magic));
	store_number(header + 8, VERSION, 4);
	store_number(header + 16, entries, 8);
	fsmeta_digest_store(header + 24, records_digest);
	store_number(header + HEADER_CHECKED_BYTES, XXH3_64bits(header, HEADER_CHECKED_BYTES), 8);
}

int fsmeta_path_index_builder_write(struct fsmeta_path_index_builder *builder, int fd,
    const char *label, struct fsmeta_digest records_digest, struct fsmeta_error *error)
{
	struct page_output output = {.fd = fd, .label = label};
	uint64_t entries = fsmeta_sort_count(builder->sort);
	unsigned char header[HEADER_BYTES];
	int code;

	if (entries >> (8 * POSITION_BYTES))
		return fsmeta_error_set(
		    error, FSMETA_E_LIMIT, label, building, "there are too many entries");
	output.pages = malloc((size_t)CHUNK_PAGES * PAGE_BYTES);
	if (!output.pages)
		return fsmeta_error_set_memory(error, building);
	make_header(header, entries, records_digest);
	code = fsmeta_write_all(fd, header, sizeof(header), label, error);
	if (!code)
		code = put_all(builder, &output, error);
	if (!code && output.records)
		code = end_page(&output, error);
	if (!code)
		code = flush_pages(&output, error);
	free(output.pages);
	return code;
}

/* ---- reading ---------------------------------------------------------- */

static int corrupt(const struct fsmeta_path_index *index, uint64_t offset, const char *reason,
    struct fsmeta_error *error)
{
	return fsmeta_error_set_at(
	    error, FSMETA_E_CORRUPT, index->label, (int64_t)offset, reading, "%s", reason);
}

static int judge_header(const struct fsmeta_path_index *index, const unsigned char *header,
    size_t got, struct fsmeta_digest records_digest, struct fsmeta_error *error)
{
	uint64_t version;

	if (got < sizeof(magic) || memcmp(header, magic, sizeof(magic)))
		return fsmeta_error_set(
		    error, FSMETA_E_FOREIGN, index->label, reading, "it is no index of paths");
	if (got < HEADER_BYTES)
		return corrupt(index, 0, "it ends within its header", error);
	version = load_number(header + 8, 4);
	if (version > VERSION)
		return fsmeta_error_set(error, FSMETA_E_UNSUPPORTED, index->label, reading,
		    "version %llu is newer than this program", (unsigned long long)version);
	if (load_number(header + HEADER_CHECKED_BYTES, 8) !=
	    XXH3_64bits(header, HEADER_CHECKED_BYTES))
		return corrupt(index, 0, "the header's checksum does not match", error);
	if (version != VERSION || load_number(header + 12, 4) != 0)
		return corrupt(index, 0, "its header is damaged", error);
	if (!fsmeta_digest_equal(records_digest, fsmeta_digest_load(header + 24)))
		return corrupt(index, 0, "it was made for another entries.fss", error);
	return 0;
}

static int read_header(struct fsmeta_path_index *index, struct fsmeta_digest records_digest,
    uint64_t entries, struct fsmeta_error *error)
{
	unsigned char header[HEADER_BYTES];
	struct stat status;
	size_t got;
	int code;

	if (fstat(index->fd, &status))
		return fsmeta_error_set_errno(error, errno, index->label, reading);
	code = fsmeta_read_full_at(index->fd, header, sizeof(header), 0, &got, index->label, error);
	if (!code)
		code = judge_header(index, header, got, records_digest, error);
	if (code)
		return code;
	index->entries = load_number(header + 16, 8);
	index->pages = page_count(index->entries);
	if (index->entries != entries)
		return corrupt(index, 16, "it has more or fewer entries than the stream", error);
	if ((uint64_t)status.st_size != HEADER_BYTES + index->pages * PAGE_BYTES)
		return corrupt(index, HEADER_BYTES, "its length is not that of its pages", error);
	return 0;
}

int fsmeta_path_index_open(struct fsmeta_path_index **out, int folder_fd, const char *folder,
    struct fsmeta_digest records_digest, uint64_t entries, struct fsmeta_error *error)
{
	/* A FIFO of that name must not make us wait. */
	int fd = openat(
	    folder_fd, FSMETA_PATH_INDEX_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct fsmeta_path_index *index;
	int code;

	*out = NULL;
	if (fd < 0)
		return errno == ENOENT ? 0 : fsmeta_error_set_errno(error, errno, folder, reading);
	index = calloc(1, sizeof(*index));
	if (!index) {
		close(fd);
		return fsmeta_error_set_memory(error, reading);
	}
	index->fd = fd;
	if (asprintf(&index->label, "%s/%s", folder, FSMETA_PATH_INDEX_NAME) < 0) {
		index->label = NULL;
		code = fsmeta_error_set_memory(error, reading);
	} else {
		code = read_header(index, records_digest, entries, error);
	}
	if (code)
		fsmeta_path_index_close(index);
	else
		*out = index;
	return code;
}

void fsmeta_path_index_close(struct fsmeta_path_index *index)
{
	if (!index)
		return;
	close(index->fd);
	free(index->label);
	free(index);
}

/** Records in page `number`. */
static size_t page_records(const struct fsmeta_path_index *index, uint64_t number)
{
	uint64_t left = index->entries - number * PAGE_RECORDS;

	return left < PAGE_RECORDS ? (size_t)left : PAGE_RECORDS;
}

/** Reads page `number` into index->page. */
static int read_page(struct fsmeta_path_index *index, uint64_t number, struct fsmeta_error *error)
{
	uint64_t offset = HEADER_BYTES + number * PAGE_BYTES;
	size_t got;
	int code = fsmeta_read_full_at(
	    index->fd, index->page, PAGE_BYTES, offset, &got, index->label, error);

	if (code)
		return code;
	if (got != PAGE_BYTES)
		return corrupt(index, offset, "the file became shorter", error);
	if (load_number(index->page + PAGE_CHECKED_BYTES, 8) != page_checksum(index->page, number))
		return corrupt(index, offset, "a page's checksum does not match", error);
	return 0;
}

/** Slot of the first hash in the page that is not below `hash`, or their number. */
static size_t find_slot(const unsigned char *page, size_t records, uint64_t hash)
{
	size_t low = 0, high = records;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (page_hash(page, middle) < hash)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int fsmeta_path_index_find(struct fsmeta_path_index *index, const char *path, size_t length,
    uint64_t *position, struct fsmeta_error *error)
{
	uint64_t hash = fsmeta_cityhash64(path, length);
	uint64_t low = 0, high = index->pages;

	/* A page that begins and ends around it has it, if any does. */
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		size_t records = page_records(index, middle);
		int code = read_page(index, middle, error);

		if (code)
			return code;
		if (page_hash(index->page, records - 1) < hash) {
			low = middle + 1;
		} else if (page_hash(index->page, 0) <= hash || middle == low) {
			size_t slot = find_slot(index->page, records, hash);

			if (page_hash(index->page, slot) != hash)
				return 0;
			if (position)
				*position = page_position(index->page, slot);
			return 1;
		} else {
			high = middle;
		}
	}
	return 0;
}

/* ---- verifying -------------------------------------------------------- */

/** NULL, or what is wrong with the records of the page in hand; *last and *sum go on. */
static const char *judge_page(struct fsmeta_path_index *index, uint64_t number, struct record *last,
    struct fsmeta_digest *sum)
{
	size_t records = page_records(index, number);

	for (size_t slot = 0; slot < records; slot++) {
		struct record record = {
		    page_hash(index->page, slot), page_position(index->page, slot)};

		if ((number || slot) &&
		    (record.hash < last->hash ||
			(record.hash == last->hash && record.position <= last->position)))
			return "it is out of order";
		fsmeta_digest_add(sum, record_term(record));
		*last = record;
	}
	for (size_t at = UNUSED_OFFSET; at < PAGE_CHECKED_BYTES; at++)
		if (index->page[at])
			return "bytes that mean nothing are not 0";
	return NULL;
}

int fsmeta_path_index_verify(struct fsmeta_path_index *index, struct fsmeta_digest sum,
    const volatile sig_atomic_t *stop, struct fsmeta_error *error)
{
	struct fsmeta_digest found = {0};
	struct record last = {0, 0};

	for (uint64_t number = 0; number < index->pages; number++) {
		const char *wrong;
		int code = read_page(index, number, error);

		if (code)
			return code;
		wrong = judge_page(index, number, &last, &found);
		if (wrong)
			return corrupt(index, HEADER_BYTES + number * PAGE_BYTES, wrong, error);
		if (stop && *stop)
			return fsmeta_error_set(
			    error, FSMETA_E_STOPPED, index->label, reading, "stopped on request");
	}
	if (!fsmeta_digest_equal(found, sum))
		return corrupt(index, HEADER_BYTES, "its paths are not those of the stream", error);
	return 0;
}
