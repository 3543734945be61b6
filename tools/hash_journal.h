/*
 * The hash journal: what a scan has hashed and could not commit yet.
 *
 * Reading an archive takes hours, and a scan that is stopped, killed or refused must not
 * have read it for nothing.  Every hash is written to a file beside the database, DB-hashes, as
 * it is taken; the next scan finds it there; the file goes when a generation has been
 * committed.  docs/content-hashes.md has its format.
 *
 * A hash is found again for a file that is the same: by file system, inode, size, mtime and
 * ctime, or where these do not identify it by its path as well.  So the paths of one
 * inode find each other's hash within a scan, too.
 *
 * All functions but open and close may be called by several threads.
 */
#ifndef FSMETA_TOOLS_HASH_JOURNAL_H
#define FSMETA_TOOLS_HASH_JOURNAL_H

#include "format/source.h"
#include "scanner/content.h"

/** What identifies a file and its content. */
struct fsmeta_hash_key {
	unsigned char bytes[16];
};

/** The key of a file; `source` has the table of file systems.  0 or FSMETA_E_MEMORY. */
int fsmeta_hash_key_make(struct fsmeta_hash_key *out, const struct fsmeta_entry *entry,
    const struct fsmeta_batch_source *source, struct fsmeta_buffer *scratch);

struct fsmeta_hash_journal;

/**
 * Opens the journal of the database at `db_path`, made if it is not there, *new*, and reads
 * what it has; whoever has it open is alone.  NULL: a journal that nobody finds again.
 * FSMETA_E_BUSY where another scan has it, FSMETA_E_FOREIGN where the file is none,
 * FSMETA_E_SYSTEM.
 */
int fsmeta_hash_journal_open(
    struct fsmeta_hash_journal **out, const char *db_path, struct fsmeta_error *error);

/** How many hashes an earlier scan left. */
uint64_t fsmeta_hash_journal_count(const struct fsmeta_hash_journal *journal);

/** True, with *hash, where this file was hashed with `algorithm`. */
bool fsmeta_hash_journal_find(struct fsmeta_hash_journal *journal,
    const struct fsmeta_hash_key *key, enum fsmeta_hash_algorithm algorithm,
    struct fsmeta_content_hash *hash);

/**
 * Writes a hash.  `again`: it may be asked for again in this scan.  What cannot be written is told
 * by fsmeta_hash_journal_failure() later; the scan goes on without.
 */
void fsmeta_hash_journal_add(struct fsmeta_hash_journal *journal, const struct fsmeta_hash_key *key,
    const struct fsmeta_content_hash *hash, bool again);

/** The errno of the first write that failed; 0 = none. */
int fsmeta_hash_journal_failure(struct fsmeta_hash_journal *journal);

/** All is in the database now: the file goes. */
void fsmeta_hash_journal_remove(struct fsmeta_hash_journal *journal);

/** Writes what waits and closes; the file stays unless it is empty.  NULL is allowed. */
void fsmeta_hash_journal_close(struct fsmeta_hash_journal *journal);

#endif
