/*
 * Rows: how an entry's metadata is kept in columns, and read back exactly.
 *
 * The dictionary of attributes, the tables of file systems, and the columns that
 * all four tables of metadata share.
 */
#ifndef FSMETA_DB_ROW_H
#define FSMETA_DB_ROW_H

#include "db/connection.h"
#include "format/entry.h"
#include "format/source.h"

/** The shared columns, in the order in which bind and decode take them. */
#define FSMETA_ROW_COLUMNS "attributes, size, mtime, ctime, btime, inode, nlink, allocated, extra"
/** Behind them for what is no folder. */
#define FSMETA_ROW_CONTENT_COLUMNS ", target, hash"

enum {
	FSMETA_ROW_COLUMN_COUNT = 9,
	FSMETA_ROW_CONTENT_COLUMN_COUNT = 2,
};

/** One line of the dictionary. */
struct fsmeta_attributes {
	enum fsmeta_type type;
	/** Which of mode, uid, gid and device are known. */
	uint32_t fields;
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	/** Index in the database's table of file systems. */
	uint32_t device;
};

/** The dictionary in memory, both ways: id is the index, `slots` a hash of it. */
struct fsmeta_dictionary {
	struct fsmeta_attributes *items;
	uint32_t count;
	uint32_t capacity;
	/** Open addressing; holds id + 1, 0 = free.  Made by the first find. */
	uint32_t *slots;
	uint32_t slot_count;
};

void fsmeta_dictionary_release(struct fsmeta_dictionary *dictionary);

/** Reads the whole table `attributes`. */
int fsmeta_dictionary_load(struct fsmeta_dictionary *dictionary,
    const struct fsmeta_connection *connection, size_t filesystem_count,
    struct fsmeta_error *error);

/** Id of these attributes, added in memory where new (*added).  0 or FSMETA_E_MEMORY. */
int fsmeta_dictionary_find(struct fsmeta_dictionary *dictionary,
    const struct fsmeta_attributes *attributes, uint32_t *id, bool *added);

/** Reads the database's table of file systems into `source` (its own is replaced). */
int fsmeta_row_load_filesystems(struct fsmeta_batch_source *source,
    const struct fsmeta_connection *connection, struct fsmeta_error *error);

/**
 * Binds the shared columns from parameter `first` on, and where `content` the two
 * behind them.  Strings stay *borrowed* by the statement until it is bound anew.
 */
int fsmeta_row_bind(sqlite3_stmt *statement, int first, const struct fsmeta_entry *entry,
    uint32_t attributes, bool content, struct fsmeta_error *error);

/**
 * Fills type, fields, flags, error and metadata of `entry` from the shared columns,
 * in `columns`; only fields in `mask`.  Path, id and unknown_since are left alone.
 * target is *borrowed* from its column.  False for what no writer of ours can have
 * written.
 */
bool fsmeta_row_decode_values(sqlite3_value **columns, bool content,
    const struct fsmeta_dictionary *dictionary, uint32_t mask, struct fsmeta_entry *entry);

/**
 * The same from result column `first` of a statement's row on.  FSMETA_E_CORRUPT
 * where it is damaged.
 */
int fsmeta_row_decode(const struct fsmeta_connection *connection, sqlite3_stmt *statement,
    int first, bool content, const struct fsmeta_dictionary *dictionary, uint32_t mask,
    struct fsmeta_entry *entry, struct fsmeta_error *error);

#endif
