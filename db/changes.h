/*
 * Which rows table `change` must have, as the other tables tell it.
 */
#ifndef FSMETA_DB_CHANGES_H
#define FSMETA_DB_CHANGES_H

/** Makes all rows that there must be, in an empty table `change`. */
extern const char fsmeta_changes_fill[];

/** Yields the folder of one row that there must be and is not, or nothing. */
extern const char fsmeta_changes_missing[];

#endif
