/*
 * An external merge sort.
 *
 *     add     [ records in memory ] ── full ──► sorted ──► run 0 │ run 1 │ … in a spool
 *
 *     next    run 0 ┐
 *             run 1 ├─ heap: the run whose next record is least
 *             …     ┘
 *
 * Both steps use the same block of memory: as records and their double while they are
 * sorted, then divided among the runs as their read-ahead.  While all records fit in
 * memory there are no runs and no file, and the block grows as it is needed.
 *
 * Sorting is by radix, a byte of the key at a time from the lowest.  It keeps the order
 * of equal ones, and so does the heap, which prefers the older run.
 */
#include "base/sort.h"

#include "base/spool.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
	DEFAULT_MEMORY_BYTES = 16 << 20,
	/** Records in the first block. */
	FIRST_RECORDS = 64,
	/** The least read-ahead of a run, in records. */
	RUN_RECORDS_MIN = 16,
	KEY_BYTES = 8,
};

static const char action[] = "sorting";

/** A sorted run in the spool, and the part of it that is in memory. */
struct run {
	uint64_t start;
	uint64_t total;
	/** Next record to be read from the spool, and how many are left there. */
	uint64_t offset;
	uint64_t left;
	/** Which run it is: the older one goes first. */
	size_t number;
	unsigned char *records;
	size_t at;
	size_t count;
};

struct fsmeta_sort {
	size_t record_bytes;
	/** Two halves of `capacity` records in one allocation. */
	unsigned char *records;
	size_t capacity;
	/** What capacity may grow to. */
	size_t most;
	size_t count;
	uint64_t total;
	/** In memory: the next record to be handed out. */
	size_t at;
	struct fsmeta_spool *spool;
	struct run *runs;
	size_t run_count;
	size_t run_capacity;
	/** Runs that are not used up: a heap, the least record on top. */
	size_t heap_count;
	size_t read_ahead;
	/** The run on top of the heap has handed out its record. */
	bool top_is_used;
};

int fsmeta_sort_new(
    struct fsmeta_sort **out, size_t record_bytes, size_t memory_bytes, struct fsmeta_error *error)
{
	struct fsmeta_sort *sort = calloc(1, sizeof(*sort));

	*out = sort;
	if (!sort)
		return fsmeta_error_set_memory(error, action);
	sort->record_bytes = record_bytes;
	sort->most = (memory_bytes ? memory_bytes : DEFAULT_MEMORY_BYTES) / 2 / record_bytes;
	if (sort->most < FIRST_RECORDS)
		sort->most = FIRST_RECORDS;
	return 0;
}

void fsmeta_sort_free(struct fsmeta_sort *sort)
{
	if (!sort)
		return;
	fsmeta_spool_free(sort->spool);
	free(sort->records);
	free(sort->runs);
	free(sort);
}

uint64_t fsmeta_sort_count(const struct fsmeta_sort *sort)
{
	return sort->total;
}

static uint64_t key_of(const unsigned char *record)
{
	uint64_t key;

	memcpy(&key, record, sizeof(key));
	return key;
}

/* ---- sorting ---------------------------------------------------------- */

/** One pass: into `to`, by byte `byte` of the key; false where all have the same one. */
static bool sort_by_byte(
    unsigned char *to, const unsigned char *from, size_t count, size_t record_bytes, unsigned byte)
{
	size_t places[256] = {0};
	size_t sum = 0;

	for (size_t i = 0; i < count; i++)
		places[key_of(from + i * record_bytes) >> (8 * byte) & 255]++;
	for (size_t value = 0; value < 256; value++) {
		size_t here = places[value];

		if (here == count)
			return false;
		places[value] = sum;
		sum += here;
	}
	for (size_t i = 0; i < count; i++) {
		const unsigned char *record = from + i * record_bytes;
		size_t place = places[key_of(record) >> (8 * byte) & 255]++;

		memcpy(to + place * record_bytes, record, record_bytes);
	}
	return true;
}

/** Sorts the records in memory; they are then in the first half again. */
static void sort_records(struct fsmeta_sort *sort)
{
	unsigned char *from = sort->records;
	unsigned char *to;

	/* Without records there is no memory either. */
	if (sort->count < 2)
		return;
	to = from + sort->capacity * sort->record_bytes;
	for (unsigned byte = 0; byte < KEY_BYTES; byte++) {
		if (sort_by_byte(to, from, sort->count, sort->record_bytes, byte)) {
			unsigned char *swap = from;

			from = to;
			to = swap;
		}
	}
	if (from != sort->records)
		memcpy(sort->records, from, sort->count * sort->record_bytes);
}

/** Moves the records in memory into the spool, as a sorted run. */
static int spill(struct fsmeta_sort *sort, struct fsmeta_error *error)
{
	struct run *run;
	int code = 0;

	if (sort->run_count == sort->run_capacity) {
		size_t capacity = sort->run_capacity ? sort->run_capacity * 2 : 16;
		struct run *runs = reallocarray(sort->runs, capacity, sizeof(*runs));

		if (!runs)
			return fsmeta_error_set_memory(error, action);
		sort->runs = runs;
		sort->run_capacity = capacity;
	}
	if (!sort->spool)
		code = fsmeta_spool_new(&sort->spool, 1, NULL, error);
	if (code)
		return code;
	sort_records(sort);
	run = &sort->runs[sort->run_count];
	*run = (struct run){.total = sort->count, .number = sort->run_count};
	code = fsmeta_spool_append(
	    sort->spool, sort->records, sort->count * sort->record_bytes, &run->start, error);
	if (code)
		return code;
	sort->run_count++;
	sort->count = 0;
	return 0;
}

static int grow(struct fsmeta_sort *sort, struct fsmeta_error *error)
{
	size_t capacity = sort->capacity ? 2 * sort->capacity : FIRST_RECORDS;
	unsigned char *records;

	if (capacity > sort->most)
		capacity = sort->most;
	records = reallocarray(sort->records, 2 * capacity, sort->record_bytes);
	if (!records)
		return fsmeta_error_set_memory(error, action);
	sort->records = records;
	sort->capacity = capacity;
	return 0;
}

int fsmeta_sort_add(struct fsmeta_sort *sort, const void *record, struct fsmeta_error *error)
{
	if (sort->count == sort->capacity) {
		int code = sort->capacity < sort->most ? grow(sort, error) : spill(sort, error);

		if (code)
			return code;
	}
	memcpy(sort->records + sort->count * sort->record_bytes, record, sort->record_bytes);
	sort->count++;
	sort->total++;
	return 0;
}

/* ---- merging ---------------------------------------------------------- */

/** Makes the run's next record available; *any is false at its end. */
static int refill(struct fsmeta_sort *sort, struct run *run, bool *any, struct fsmeta_error *error)
{
	size_t count = run->left < sort->read_ahead ? (size_t)run->left : sort->read_ahead;
	size_t bytes = count * sort->record_bytes;
	int code;

	*any = true;
	if (run->at < run->count)
		return 0;
	*any = count > 0;
	if (!count)
		return 0;
	code = fsmeta_spool_read(sort->spool, run->offset, run->records, bytes, error);
	run->offset += bytes;
	run->left -= count;
	run->at = 0;
	run->count = count;
	return code;
}

static bool run_is_less(const struct fsmeta_sort *sort, const struct run *a, const struct run *b)
{
	uint64_t x = key_of(a->records + a->at * sort->record_bytes);
	uint64_t y = key_of(b->records + b->at * sort->record_bytes);

	return x != y ? x < y : a->number < b->number;
}

static void sink_run(struct fsmeta_sort *sort, size_t at)
{
	struct run *heap = sort->runs;

	for (;;) {
		size_t least = at, child = 2 * at + 1;
		struct run swap;

		if (child < sort->heap_count && run_is_less(sort, &heap[child], &heap[least]))
			least = child;
		if (child + 1 < sort->heap_count &&
		    run_is_less(sort, &heap[child + 1], &heap[least]))
			least = child + 1;
		if (least == at)
			return;
		swap = heap[at];
		heap[at] = heap[least];
		heap[least] = swap;
		at = least;
	}
}

/** Divides the memory among the runs and makes them a heap. */
static int begin_merge(struct fsmeta_sort *sort, struct fsmeta_error *error)
{
	sort->read_ahead = 2 * sort->capacity / sort->run_count;
	if (sort->read_ahead < RUN_RECORDS_MIN)
		return fsmeta_error_set(
		    error, FSMETA_E_LIMIT, NULL, action, "there are too many records");
	for (size_t i = 0; i < sort->run_count; i++) {
		struct run *run = &sort->runs[i];
		bool any;
		int code;

		run->offset = run->start;
		run->left = run->total;
		run->at = 0;
		run->count = 0;
		run->records = sort->records + i * sort->read_ahead * sort->record_bytes;
		code = refill(sort, run, &any, error);
		if (code)
			return code;
	}
	sort->heap_count = sort->run_count;
	sort->top_is_used = false;
	for (size_t i = sort->heap_count / 2; i-- > 0;)
		sink_run(sort, i);
	return 0;
}

int fsmeta_sort_finish(struct fsmeta_sort *sort, struct fsmeta_error *error)
{
	int code;

	if (!sort->run_count) {
		sort_records(sort);
		return 0;
	}
	code = sort->count ? spill(sort, error) : 0;
	return code ? code : begin_merge(sort, error);
}

int fsmeta_sort_rewind(struct fsmeta_sort *sort, struct fsmeta_error *error)
{
	sort->at = 0;
	return sort->run_count ? begin_merge(sort, error) : 0;
}

/** Steps the run on top over the record that was handed out. */
static int step_over_used(struct fsmeta_sort *sort, struct fsmeta_error *error)
{
	bool any;
	int code;

	if (!sort->top_is_used)
		return 0;
	sort->top_is_used = false;
	sort->runs[0].at++;
	code = refill(sort, &sort->runs[0], &any, error);
	if (code)
		return code;
	if (!any) {
		/* The run goes behind the heap, so that it is there for a rewind. */
		struct run swap = sort->runs[0];

		sort->runs[0] = sort->runs[--sort->heap_count];
		sort->runs[sort->heap_count] = swap;
	}
	sink_run(sort, 0);
	return 0;
}

int fsmeta_sort_next(struct fsmeta_sort *sort, const void **record, struct fsmeta_error *error)
{
	int code;

	*record = NULL;
	if (!sort->run_count) {
		if (sort->at == sort->count)
			return 0;
		*record = sort->records + sort->at++ * sort->record_bytes;
		return 1;
	}
	code = step_over_used(sort, error);
	if (code || !sort->heap_count)
		return code;
	*record = sort->runs[0].records + sort->runs[0].at * sort->record_bytes;
	sort->top_is_used = true;
	return 1;
}
