/*
 * Frames to a descriptor, with a thread that packs.
 *
 *      caller                                              thread
 *      entries ─► columns ┐                              ┌─► pack ─► compress ─► write
 *                         ▼                              │
 *              ┌──────────────┬──────────────┬───────────┴──┐
 *      slots   │  collecting  │   waiting    │   in hand    │       a ring of three
 *              └──────────────┴──────────────┴──────────────┘
 *                 slots[(first + waiting) % SLOTS]   slots[first]
 *
 * A slot is a batch with all memory that it takes from its first entry to its frame.
 * It belongs to the caller while it is collecting and to the thread from then on
 * until it is written; the lock guards nothing but who owns what.  Three, because
 * batches differ in size: with two, either side would wait at each hand-over for the
 * slower of a pair.  Memory is bounded by three of the largest batches.
 *
 * One thread, not a pool: records go out in order, and hash, list of batches and seek
 * table are then only ever touched by one thread at a time: the packing thread
 * while batches are on their way, the caller before and after.
 *
 * The thread starts with the second batch that is full.  A small stream is done
 * before it would pay, and never sees one.
 *
 * What fails, fails for good: the first error is kept, batches behind it are dropped
 * unwritten, and the caller gets it at its next call.
 */
#include "format/frame_output.h"

#include "base/file.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

enum {
	SLOTS = 3,
};

/** One batch from its first entry to its frame. */
struct slot {
	struct fsmeta_frame_batch batch;
	/** The record, with room in front of it; it begins at record_offset. */
	struct fsmeta_buffer record;
	size_t record_offset;
	struct fsmeta_digest digest;
	/** The compressed frame. */
	struct fsmeta_buffer frame;
	struct fsmeta_frame sizes;
};

struct fsmeta_frame_output {
	int fd;
	const char *label;
	const struct fsmeta_batch_source *source;
	bool may_thread;
	ZSTD_CCtx *zstd;

	struct slot slots[SLOTS];
	/** The caller's: the slot that is collecting. */
	size_t collecting;
	bool any_batch;

	/** What was written. */
	uint64_t file_bytes;
	struct fsmeta_seek_table frames;
	struct fsmeta_batch_list batches;
	XXH3_state_t *records_hash;

	bool is_running;
	pthread_t thread;
	/** Guards what follows. */
	pthread_mutex_t lock;
	/** Either side has moved on. */
	pthread_cond_t moved;
	/** The slot in hand or to be taken next, and how many were handed over and are not done. */
	size_t first;
	size_t waiting;
	bool is_closing;
	/** The first failure. */
	int code;
	struct fsmeta_error error;
};

/* ---- frames ----------------------------------------------------------- */

static int write_frame(struct fsmeta_frame_output *output, const struct fsmeta_buffer *frame,
    struct fsmeta_frame sizes, struct fsmeta_error *error)
{
	int code = fsmeta_write_all(output->fd, frame->data, frame->length, output->label, error);

	if (code)
		return code;
	output->file_bytes += frame->length;
	code =
	    fsmeta_seek_table_append(&output->frames, sizes.compressed_bytes, sizes.content_bytes);
	if (code)
		return fsmeta_error_set(
		    error, code, output->label, "writing a frame", "too many frames");
	return 0;
}

/** Builder to frame.  Touches nothing but the slot and the compressor. */
static int pack_batch(
    struct slot *slot, ZSTD_CCtx *zstd, const char *label, struct fsmeta_error *error)
{
	size_t cuts[FSMETA_BATCH_CUTS_MAX];
	size_t message_offset, message_bytes, cut_count;
	int code;

	if (fsmeta_record_begin(&slot->record))
		return fsmeta_error_set_memory(error, "writing a batch");
	code = fsmeta_batch_builder_pack(slot->batch.builder, &slot->record, error);
	if (code)
		return code;
	fsmeta_record_finish(
	    &slot->record, FSMETA_RECORD_BATCH, &slot->record_offset, &message_offset);
	message_bytes = slot->record.length - message_offset;
	slot->digest = fsmeta_stream_digest(slot->record.data + message_offset, message_bytes);
	cut_count = fsmeta_batch_cuts(cuts, slot->record.data + message_offset, message_bytes);
	for (size_t i = 0; i < cut_count; i++)
		cuts[i] += message_offset - slot->record_offset;
	fsmeta_buffer_clear(&slot->frame);
	return fsmeta_frame_compress(&slot->frame, &slot->sizes, zstd,
	    slot->record.data + slot->record_offset, slot->record.length - slot->record_offset,
	    cuts, cut_count, label, error);
}

/** Frame to file, in the order of the batches. */
static int write_batch(
    struct fsmeta_frame_output *output, struct slot *slot, struct fsmeta_error *error)
{
	uint64_t offset = output->file_bytes;
	struct fsmeta_batch_facts facts;
	int code;

	code = write_frame(output, &slot->frame, slot->sizes, error);
	if (code)
		return code;
	XXH3_128bits_update(output->records_hash, slot->record.data + slot->record_offset,
	    slot->record.length - slot->record_offset);
	fsmeta_batch_builder_facts(slot->batch.builder, &facts);
	if (fsmeta_batch_list_append(&output->batches, &facts, slot->digest, offset))
		return fsmeta_error_set_memory(error, "writing a batch");
	return 0;
}

/** All that becomes of a batch; the slot can be filled again afterwards. */
static int finish_slot(
    struct fsmeta_frame_output *output, struct slot *slot, struct fsmeta_error *error)
{
	int code = pack_batch(slot, output->zstd, output->label, error);

	if (!code)
		code = write_batch(output, slot, error);
	fsmeta_digest_sum_hash(&slot->batch.digests);
	fsmeta_batch_builder_clear(slot->batch.builder);
	return code;
}

int fsmeta_frame_output_single(struct fsmeta_frame_output *output, enum fsmeta_record_kind kind,
    struct fsmeta_buffer *record, struct fsmeta_error *error)
{
	struct fsmeta_buffer frame = {0};
	struct fsmeta_frame sizes;
	size_t offset, message_offset;
	int code;

	fsmeta_record_finish(record, kind, &offset, &message_offset);
	if (kind != FSMETA_RECORD_TRAILER)
		XXH3_128bits_update(
		    output->records_hash, record->data + offset, record->length - offset);
	code = fsmeta_frame_compress(&frame, &sizes, output->zstd, record->data + offset,
	    record->length - offset, NULL, 0, output->label, error);
	if (!code)
		code = write_frame(output, &frame, sizes, error);
	fsmeta_buffer_release(&frame);
	return code;
}

int fsmeta_frame_output_seek_table(struct fsmeta_frame_output *output, struct fsmeta_error *error)
{
	struct fsmeta_buffer bytes = {0};
	int code;

	if (fsmeta_seek_table_write(&bytes, &output->frames))
		code = fsmeta_error_set_memory(error, "writing the seek table");
	else
		code = fsmeta_write_all(output->fd, bytes.data, bytes.length, output->label, error);
	if (!code)
		output->file_bytes += bytes.length;
	fsmeta_buffer_release(&bytes);
	return code;
}

/* ---- the thread ------------------------------------------------------- */

/** Waits for a batch; false where none will come. */
static bool await_batch(struct fsmeta_frame_output *output)
{
	while (!output->waiting && !output->is_closing)
		pthread_cond_wait(&output->moved, &output->lock);
	return !output->is_closing;
}

static void *run_thread(void *data)
{
	struct fsmeta_frame_output *output = data;
	struct fsmeta_error error = {0};

	pthread_mutex_lock(&output->lock);
	while (await_batch(output)) {
		struct slot *slot = &output->slots[output->first];
		int code = output->code;

		pthread_mutex_unlock(&output->lock);
		if (!code)
			code = finish_slot(output, slot, &error);
		pthread_mutex_lock(&output->lock);
		if (code && !output->code) {
			output->code = code;
			output->error = error;
		}
		output->first = (output->first + 1) % SLOTS;
		output->waiting--;
		pthread_cond_signal(&output->moved);
	}
	pthread_mutex_unlock(&output->lock);
	return NULL;
}

/** Where no thread can be had, everything goes on without one. */
static void start_thread(struct fsmeta_frame_output *output)
{
	sigset_t all, before;

	/* Signals are for the program's own thread. */
	sigfillset(&all);
	if (pthread_sigmask(SIG_SETMASK, &all, &before))
		return;
	output->first = output->collecting;
	output->is_running = pthread_create(&output->thread, NULL, run_thread, output) == 0;
	output->may_thread = output->is_running;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/** With the lock: the first failure, as the caller's own. */
static int take_failure(const struct fsmeta_frame_output *output, struct fsmeta_error *error)
{
	if (output->code && error)
		*error = output->error;
	return output->code;
}

static int hand_over(struct fsmeta_frame_output *output, struct fsmeta_error *error)
{
	int code;

	pthread_mutex_lock(&output->lock);
	output->waiting++;
	pthread_cond_signal(&output->moved);
	/* The slot behind it may still be in hand. */
	while (output->waiting == SLOTS)
		pthread_cond_wait(&output->moved, &output->lock);
	code = take_failure(output, error);
	pthread_mutex_unlock(&output->lock);
	output->collecting = (output->collecting + 1) % SLOTS;
	return code;
}

static void stop_thread(struct fsmeta_frame_output *output)
{
	if (!output->is_running)
		return;
	pthread_mutex_lock(&output->lock);
	output->is_closing = true;
	pthread_cond_signal(&output->moved);
	pthread_mutex_unlock(&output->lock);
	pthread_join(output->thread, NULL);
	output->is_running = false;
}

/* ---- the caller ------------------------------------------------------- */

struct fsmeta_frame_batch *fsmeta_frame_output_batch(struct fsmeta_frame_output *output)
{
	return &output->slots[output->collecting].batch;
}

/** The collecting slot gets a builder when it is used for the first time. */
static int set_up_slot(struct fsmeta_frame_output *output, struct fsmeta_error *error)
{
	struct slot *slot = &output->slots[output->collecting];

	if (slot->batch.builder)
		return 0;
	return fsmeta_batch_builder_new(&slot->batch.builder, output->source, error);
}

int fsmeta_frame_output_end_batch(struct fsmeta_frame_output *output, struct fsmeta_error *error)
{
	int code;

	if (output->any_batch && output->may_thread && !output->is_running)
		start_thread(output);
	output->any_batch = true;
	if (!output->is_running)
		return finish_slot(output, &output->slots[output->collecting], error);
	code = hand_over(output, error);
	return code ? code : set_up_slot(output, error);
}

int fsmeta_frame_output_drain(struct fsmeta_frame_output *output, struct fsmeta_error *error)
{
	int code;

	if (!output->is_running)
		return 0;
	pthread_mutex_lock(&output->lock);
	while (output->waiting)
		pthread_cond_wait(&output->moved, &output->lock);
	code = take_failure(output, error);
	pthread_mutex_unlock(&output->lock);
	return code;
}

void fsmeta_frame_output_get_written(
    struct fsmeta_frame_output *output, struct fsmeta_frame_written *written)
{
	*written = (struct fsmeta_frame_written){
	    .batches = &output->batches,
	    .records_digest = fsmeta_digest_from_xxh(XXH3_128bits_digest(output->records_hash)),
	    .file_bytes = output->file_bytes,
	};
	for (size_t i = 0; i < SLOTS; i++)
		fsmeta_digest_add(&written->state_digest, output->slots[i].batch.digests.sum);
}

/* ---- life ------------------------------------------------------------- */

static int set_up_compressor(
    struct fsmeta_frame_output *output, int level, struct fsmeta_error *error)
{
	output->zstd = ZSTD_createCCtx();
	output->records_hash = XXH3_createState();
	if (!output->zstd || !output->records_hash)
		return fsmeta_error_set_memory(error, "starting a stream");
	XXH3_128bits_reset(output->records_hash);
	if (ZSTD_isError(ZSTD_CCtx_setParameter(output->zstd, ZSTD_c_compressionLevel, level)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(output->zstd, ZSTD_c_checksumFlag, 1)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(output->zstd, ZSTD_c_contentSizeFlag, 1)))
		return fsmeta_error_set(error, FSMETA_E_USAGE, output->label, "starting a stream",
		    "zstd does not know level %d", level);
	return 0;
}

int fsmeta_frame_output_new(struct fsmeta_frame_output **out, int fd, const char *label,
    const struct fsmeta_batch_source *source, int level, bool threaded, struct fsmeta_error *error)
{
	struct fsmeta_frame_output *output = calloc(1, sizeof(*output));
	int code;

	*out = NULL;
	if (!output)
		return fsmeta_error_set_memory(error, "starting a stream");
	output->fd = fd;
	output->label = label;
	output->source = source;
	output->may_thread = threaded;
	pthread_mutex_init(&output->lock, NULL);
	pthread_cond_init(&output->moved, NULL);
	code = set_up_compressor(output, level, error);
	if (!code)
		code = set_up_slot(output, error);
	if (code)
		fsmeta_frame_output_free(output);
	else
		*out = output;
	return code;
}

static void release_slot(struct slot *slot)
{
	fsmeta_batch_builder_free(slot->batch.builder);
	fsmeta_digest_sum_release(&slot->batch.digests);
	fsmeta_buffer_release(&slot->record);
	fsmeta_buffer_release(&slot->frame);
}

void fsmeta_frame_output_free(struct fsmeta_frame_output *output)
{
	if (!output)
		return;
	stop_thread(output);
	for (size_t i = 0; i < SLOTS; i++)
		release_slot(&output->slots[i]);
	ZSTD_freeCCtx(output->zstd);
	XXH3_freeState(output->records_hash);
	fsmeta_seek_table_release(&output->frames);
	fsmeta_batch_list_release(&output->batches);
	pthread_cond_destroy(&output->moved);
	pthread_mutex_destroy(&output->lock);
	free(output);
}
