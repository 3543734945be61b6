/*
 * The guide: what the newest generation knows about folders, for a scan that is to leave
 * out what cannot have changed (docs/quick-scans.md).  The scanner asks it, the database
 * answers, and neither knows the other.
 *
 * It vouches for the files of a folder (whatever in it is no folder): if the folder's
 * inode, mtime and ctime are still what the guide says, its names are those of the
 * generation, and nobody has reason to look at the files again.  Its sub-folders are
 * looked at in any case.
 *
 * Some files grow without their folder noticing, long after they were written to last: the
 * newest of a recorder's.  The guide names them, the witnesses of a folder.  Its files are only
 * what they were if these are, too, which whoever asks finds out from the disk.
 */
#ifndef FSMETA_FORMAT_GUIDE_H
#define FSMETA_FORMAT_GUIDE_H

#include "format/source.h"

enum {
	/** Most witnesses of one folder. */
	FSMETA_GUIDE_WITNESSES_MAX = 16,
};

/** A folder as the generation has it. */
struct fsmeta_guide_folder {
	/** A valid name, "" for the root; *borrowed* until the call that it is handed to returns.
	 */
	const char *name;
	size_t name_length;
	/** To be asked for what is in it; 0 = nothing is known of that. */
	uint64_t id;
	/** The guide vouches for its files; all that follows means nothing otherwise. */
	bool files_known;
	/** Has FSMETA_FIELD_MTIME and _CTIME, and _INODE where numbers last. */
	uint32_t fields;
	/** Index into the table of file systems of the guide's source; FSMETA_DEVICE_NONE: not
	 * known. */
	uint32_t device;
	uint64_t inode;
	struct fsmeta_time mtime;
	struct fsmeta_time ctime;
	/** Of FSMETA_RUN_FILES, as a cursor over that generation offers it. */
	struct fsmeta_digest token;
};

/** A file (whatever is no folder) as the generation has it. */
struct fsmeta_guide_file {
	/** A valid name; *borrowed* until the call that it is handed to returns. */
	const char *name;
	size_t name_length;
	enum fsmeta_type type;
	/** enum fsmeta_field bits: which of what follows is known. */
	uint32_t fields;
	uint64_t inode;
	uint64_t size;
	struct fsmeta_time mtime;
	struct fsmeta_time ctime;
};

struct fsmeta_guide;

/** Takes a folder.  0 or a code, which ends the call and becomes its result. */
typedef int fsmeta_guide_take(void *payload, const struct fsmeta_guide_folder *folder);

/** Takes a witness.  The same. */
typedef int fsmeta_guide_take_file(void *payload, const struct fsmeta_guide_file *file);

struct fsmeta_guide_operations {
	int (*folders)(struct fsmeta_guide *guide, uint64_t id, const char *first,
	    size_t first_length, const char *last, size_t last_length, fsmeta_guide_take *take,
	    void *payload, struct fsmeta_error *error);
	int (*witnesses)(struct fsmeta_guide *guide, uint64_t id, fsmeta_guide_take_file *take,
	    void *payload, struct fsmeta_error *error);
	void (*close)(struct fsmeta_guide *guide);
};

/** Embedded first in every implementation. */
struct fsmeta_guide {
	const struct fsmeta_guide_operations *operations;
	/** Of the generation; *borrowed* until close. */
	const struct fsmeta_batch_source *source;
};

/**
 * Hands all sub-folders of folder `id` to `take`, in canonical order; of id 0 the root.
 * With `first` and `last` (both or none NULL) only names from one to the other, both
 * included.  Threads may call it at the same time.  0, what `take` gave, or a code, after
 * which more than it has told may be there.
 */
static inline int fsmeta_guide_folders(struct fsmeta_guide *guide, uint64_t id, const char *first,
    size_t first_length, const char *last, size_t last_length, fsmeta_guide_take *take,
    void *payload, struct fsmeta_error *error)
{
	return guide->operations->folders(
	    guide, id, first, first_length, last, last_length, take, payload, error);
}

/**
 * Hands the witnesses of folder `id`, whose files are known, to `take`: none to
 * FSMETA_GUIDE_WITNESSES_MAX, in no order.  What the folder held is what it holds only where
 * each is still as it is told here.  `take` shall not ask the disk: others wait meanwhile.
 * Threads may call it at the same time.  0, what `take` gave, or a code.
 */
static inline int fsmeta_guide_witnesses(struct fsmeta_guide *guide, uint64_t id,
    fsmeta_guide_take_file *take, void *payload, struct fsmeta_error *error)
{
	return guide->operations->witnesses(guide, id, take, payload, error);
}

/**
 * The token of the files of folder `folder` in a generation, `source` being its own.  It
 * names them, and says nothing about anybody else's files, however equal.
 */
struct fsmeta_digest fsmeta_guide_token(
    const struct fsmeta_batch_source *source, uint64_t generation, uint64_t folder);

/** Frees it.  NULL is allowed. */
static inline void fsmeta_guide_close(struct fsmeta_guide *guide)
{
	if (guide)
		guide->operations->close(guide);
}

#endif
