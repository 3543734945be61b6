/*
 * .npy: the header of a NumPy array file, versions 1 to 3 (numpy/lib/format.py).  Pure.
 */
#ifndef FSMETA_ARCHIVE_NPY_H
#define FSMETA_ARCHIVE_NPY_H

#include "base/error.h"
#include "base/memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FSMETA_NPY_DIMENSIONS_MAX = 64,
	/** Longest dtype and longest header accepted. */
	FSMETA_NPY_DESCR_BYTES = 4096,
	FSMETA_NPY_HEADER_MAX_BYTES = 65536,
};

/** An array without its data. */
struct fsmeta_npy {
	/** The dtype as the header writes it: '<f4' with its quotes, or a list of fields. */
	char descr[FSMETA_NPY_DESCR_BYTES];
	bool fortran_order;
	unsigned dimensions;
	uint64_t shape[FSMETA_NPY_DIMENSIONS_MAX];
	/** Of one item, from the dtype. */
	uint64_t item_bytes;
	/** Where the data begins in the file, and its length. */
	uint64_t data_offset;
	uint64_t data_bytes;
};

/**
 * Reads the header at the start of `bytes`, of which `size` are there.  FSMETA_E_FOREIGN for
 * another kind of file, FSMETA_E_CORRUPT for a header that makes no sense, FSMETA_E_UNSUPPORTED for
 * a dtype with Python objects in it and for other versions, FSMETA_E_TRUNCATED where `size` ends in
 * it.
 */
int fsmeta_npy_parse(struct fsmeta_npy *out, const unsigned char *bytes, size_t size,
    const char *path, struct fsmeta_error *error);

/**
 * Appends the header of an array whose descr, fortran_order, dimensions and shape are
 * set; a descr without quotes ("|u1") gets them.  Sets the other fields.  The data begins at a
 * multiple of 64. FSMETA_E_USAGE for a dtype that is none.
 */
int fsmeta_npy_append_header(
    struct fsmeta_buffer *out, struct fsmeta_npy *array, struct fsmeta_error *error);

#endif
