/*
 * Any bytes as BatchSource JSON.  What is accepted is written again, and that text
 * reads and writes to the same text: nothing is lost on a round trip.
 */
#include "fuzz.h"

#include "format/source.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fsmeta_buffer first = {0}, second = {0};
	struct fsmeta_batch_source source;

	if (!fsmeta_batch_source_from_json(
		&source, size ? (const char *)data : "", size, "fuzz", NULL)) {
		FUZZ_ASSERT(!fsmeta_batch_source_to_json(&first, &source, NULL));
		fsmeta_batch_source_release(&source);
		FUZZ_ASSERT(!fsmeta_batch_source_from_json(
		    &source, (const char *)first.data, first.length, "fuzz", NULL));
		FUZZ_ASSERT(!fsmeta_batch_source_to_json(&second, &source, NULL));
		fsmeta_batch_source_release(&source);
		FUZZ_ASSERT(first.length == second.length);
		FUZZ_ASSERT(!memcmp(first.data, second.data, first.length));
	}
	fsmeta_buffer_release(&first);
	fsmeta_buffer_release(&second);
	return 0;
}
