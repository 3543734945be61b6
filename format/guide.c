#include "format/guide.h"

#include <endian.h>
#include <xxhash.h>

struct fsmeta_digest fsmeta_guide_token(
    const struct fsmeta_batch_source *source, uint64_t generation, uint64_t folder)
{
	const uint64_t words[] = {
	    htole64(source->state_digest.low),
	    htole64(source->state_digest.high),
	    htole64(generation),
	    htole64(folder),
	};
	XXH128_hash_t hash = XXH3_128bits(words, sizeof(words));

	return (struct fsmeta_digest){.low = hash.low64, .high = hash.high64};
}
