/*
 * shared_batches A B: how many batches of stream B stream A has too, which is what a diff
 * of the two steps over.  One line: batches of A, of B, shared.
 *
 * Only what every cursor offers is used: at the beginning of a batch a stream offers a run
 * with its digest.  A batch with something unseen in it offers none and counts for nothing.
 */
#include "base/error.h"
#include "base/memory.h"
#include "format/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tokens {
	struct fsmeta_buffer digests;
	size_t count;
};

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct fsmeta_digest));
}

static int collect(struct tokens *tokens, const char *stream, struct fsmeta_error *error)
{
	const struct fsmeta_entry *entry;
	struct fsmeta_cursor *cursor;
	struct fsmeta_run run;
	int code = fsmeta_stream_open_folder(&cursor, stream, error);

	if (code < 0)
		return code;
	for (;;) {
		code = fsmeta_cursor_run(cursor, FSMETA_RUN_BATCH, &run, error);
		if (code > 0) {
			if (fsmeta_buffer_append(&tokens->digests, &run.token, sizeof(run.token)))
				code = fsmeta_error_set_memory(error, "collecting batches");
			else
				code = fsmeta_cursor_step(cursor, &run, error);
			tokens->count++;
		} else if (code == 0) {
			code = fsmeta_cursor_next(cursor, &entry, error);
			if (code == 0)
				break;
		}
		if (code < 0)
			break;
	}
	fsmeta_cursor_close(cursor);
	if (tokens->count)
		qsort(tokens->digests.data, tokens->count, sizeof(struct fsmeta_digest), compare);
	return code;
}

int main(int argc, char **argv)
{
	struct tokens a = {0}, b = {0};
	struct fsmeta_error error;
	size_t shared = 0;

	if (argc != 3) {
		fprintf(stderr, "usage: shared_batches STREAM STREAM\n");
		return 64;
	}
	fsmeta_error_clear(&error);
	if (collect(&a, argv[1], &error) < 0 || collect(&b, argv[2], &error) < 0) {
		fprintf(
		    stderr, "shared_batches: %s: %s: %s\n", error.path, error.action, error.reason);
		return 1;
	}
	for (size_t i = 0; i < b.count; i++)
		shared += bsearch((struct fsmeta_digest *)b.digests.data + i, a.digests.data,
			      a.count, sizeof(struct fsmeta_digest), compare) != NULL;
	printf("%zu %zu %zu\n", a.count, b.count, shared);
	fsmeta_buffer_release(&a.digests);
	fsmeta_buffer_release(&b.digests);
	return 0;
}
