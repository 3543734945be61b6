/*
 * Any bytes as a stream: as a file, with skipping and stepping over batches, and
 * forward.  What reads whole by index must read whole forward, with as many
 * entries.
 */
#include "fuzz.h"

#include "format/stream.h"
#include "format/stream_reader.h"

#include <sys/mman.h>
#include <unistd.h>

static int open_bytes(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	FUZZ_ASSERT(fd >= 0);
	FUZZ_ASSERT(!fsmeta_write_all(fd, data, size, "fuzz", NULL));
	FUZZ_ASSERT(lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

/** Entries read, or a code. */
static int64_t read_all(const uint8_t *data, size_t size, bool may_index)
{
	const struct fsmeta_entry *entry;
	struct fsmeta_error error = {0};
	struct fsmeta_cursor *cursor;
	int64_t count = 0;
	int code;

	code = fsmeta_stream_open_descriptor(
	    &cursor, open_bytes(data, size), "fuzz", may_index, &error);
	if (code)
		return code;
	while ((code = fsmeta_cursor_next(cursor, &entry, &error)) > 0) {
		FUZZ_ASSERT(entry->path[entry->path_length] == '\0');
		count++;
	}
	fsmeta_cursor_close(cursor);
	FUZZ_ASSERT(code == 0 || error.code == code);
	return code ? code : count;
}

/** Every third entry's folder is skipped, every other batch stepped over. */
static void read_some(const uint8_t *data, size_t size)
{
	const struct fsmeta_entry *entry;
	struct fsmeta_cursor *cursor;
	struct fsmeta_run run;
	unsigned turn = 0;

	if (fsmeta_stream_open_fd(&cursor, open_bytes(data, size), "fuzz", NULL))
		return;
	for (;;) {
		int code = fsmeta_cursor_run(cursor, FSMETA_RUN_BATCH, &run, NULL);

		if (code > 0 && turn % 2 && fsmeta_cursor_step(cursor, &run, NULL))
			break;
		if (code < 0 || fsmeta_cursor_next(cursor, &entry, NULL) <= 0)
			break;
		if (turn++ % 3 == 2 && fsmeta_cursor_skip(cursor, entry->depth, NULL))
			break;
	}
	fsmeta_cursor_close(cursor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int64_t indexed = read_all(data, size, true);

	FUZZ_ASSERT(indexed < 0 || indexed == read_all(data, size, false));
	read_some(data, size);
	return 0;
}
