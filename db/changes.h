/*
 * Which rows table `change` must have and which it may, as the other tables tell it.
 */
#ifndef FSMETA_DB_CHANGES_H
#define FSMETA_DB_CHANGES_H

/** Makes all rows that there must be, in an empty table `change`. */
extern const char fsmeta_changes_fill[];

/** Yields the folder of one row that there must be and is not, or nothing. */
extern const char fsmeta_changes_missing[];

/** Yields the folder of one row that tells of what never happened, or nothing. */
extern const char fsmeta_changes_unfounded[];

/** Drops the rows of kept generation ?1 that tell of what, as the tables have it now, never was. */
extern const char fsmeta_changes_drop_unfounded[];

#endif
