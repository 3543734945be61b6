/*
 * What the two directions of BatchSource's JSON share.  Private to format/.
 *
 * `unknown_keys` of a source is one flat object.  Its keys are places in the
 * JSON; its values are what an unknown version put there:
 *
 *     { "":       { ...unknown top-level keys... },
 *       "scope":  { ...unknown keys of scope... },
 *       "filesystems": [ { "known":   {"uuid": ..., "type": ..., "label": ...},
 *                          "unknown": { ... } }, ... ] }
 *
 * Elements of arrays have no place that lasts: the array may have grown
 * meanwhile.  So theirs is kept together with the keys that were known, and goes
 * to the next element that still says the same.
 */
#ifndef FSMETA_FORMAT_SOURCE_JSON_H
#define FSMETA_FORMAT_SOURCE_JSON_H

#include "format/source.h"

/** What marks the JSON as a BatchSource. */
#define FSMETA_SOURCE_MARK "fsmeta-batch-source"

#define FSMETA_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum {
	/** Room for a key with "_b64". */
	FSMETA_SOURCE_KEY_BYTES = 32,
	/** Room for UINT64_MAX in decimal. */
	FSMETA_SOURCE_DECIMAL_BYTES = 21,
};

/** Names by their numbers. */
extern const char *const fsmeta_source_id_kind_names[2];
extern const char *const fsmeta_source_path_case_names[3];
extern const char *const fsmeta_source_hash_algorithm_names[3];

/** A scope list's key in "scope", its place, and that of its array. */
struct fsmeta_source_scope_place {
	const char *key, *place, *roots_place;
};

extern const struct fsmeta_source_scope_place fsmeta_source_not_entered;
extern const struct fsmeta_source_scope_place fsmeta_source_unreadable;

/**
 * Appends to the table without looking whether it is there, so that indices stay
 * what the file says.  0, FSMETA_E_MEMORY or FSMETA_E_LIMIT.
 */
int fsmeta_source_append_filesystem(
    struct fsmeta_batch_source *source, const struct fsmeta_filesystem *filesystem);

#endif
