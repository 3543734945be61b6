/*
 * Names that are the same to a person: Unicode normalised, and where the source folds
 * case, case folded.  Internal to diff/.
 */
#ifndef FSMETA_DIFF_FOLD_H
#define FSMETA_DIFF_FOLD_H

#include "base/memory.h"

/**
 * Replaces the content of `out` by `text` in Unicode's form C and, with `case_too`, case
 * folded; what is no UTF-8 stays as it is.  0 or FSMETA_E_MEMORY.
 */
int fsmeta_fold(struct fsmeta_buffer *out, const char *text, size_t length, bool case_too);

/** 1 where the two fold alike, 0 where not, or FSMETA_E_MEMORY. */
int fsmeta_folds_alike(
    const char *a, size_t a_length, const char *b, size_t b_length, bool case_too);

#endif
