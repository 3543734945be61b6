/*
 * Names of a source, and who may come in under them.
 *
 * A scan brings an id and aliases, a database knows an id and aliases.  There are
 * two classes of names:
 *
 *     given    by somebody: what init wrote into a marker, or --source-id
 *     found    fs:UUID:PATH and host:MACHINE:PATH, which say where a tree lies; and
 *              made-up:…, a database's word for a tree without a name
 *
 *                       database knows
 *     scan brings       a given name               found names only
 *     a given name      one in common, or refused  one in common, or refused
 *     found names only  one in common, or refused  one in common, or refused;
 *                                                  none at all: the made-up one
 *
 * "In common" in the first case means a given name.  A tree that was given another
 * identity in its old place still has the place's name in common with its past, and
 * is another source all the same: two that claim one place are told apart by what
 * they were given.  In the other cases any name will do.  So a tree that is given
 * its marker after its first scan, or loses it, goes on in the same database.
 *
 * Names are only ever added.  They go with every export and delta, so that databases
 * that are kept equal know the same ones.
 */
#include "db/identity.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static const char made_up_prefix[] = "made-up:";

enum {
	MADE_UP_BYTES = 16,
	/** What a message shows of an id. */
	SHOWN_BYTES = 200,
};

/** True for names that nobody gave. */
static bool is_found(const char *name)
{
	static const char *const prefixes[] = {"fs:", "host:", made_up_prefix};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

/* ---- reading ------------------------------------------------------------ */

int fsmeta_identity_load(struct fsmeta_batch_source *source,
    const struct fsmeta_connection *connection, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_connection_prepare(&statement, connection,
	    "SELECT value, 0 AS place FROM source WHERE name = 'source_id'"
	    " UNION ALL SELECT id, 1 FROM source_alias ORDER BY place, 1",
	    error);

	source->source_aliases.count = 0;
	while (!code && (code = fsmeta_connection_step(connection, statement, error)) > 0) {
		const char *name = (const char *)sqlite3_column_text(statement, 0);

		if (!name)
			code = 0;
		else if (sqlite3_column_int(statement, 1) == 0)
			code = fsmeta_batch_source_set(source, &source->source_id, name);
		else
			code = fsmeta_batch_source_add_alias(source, name);
		if (code == FSMETA_E_MEMORY)
			code = fsmeta_error_set_memory(error, "reading the source's names");
		/* More than a BatchSource holds would be a database that was damaged. */
		else if (code)
			code = fsmeta_connection_corrupt(connection, error,
			    "it knows its source under more than %d names",
			    (int)FSMETA_SOURCE_ALIASES_MAX);
	}
	sqlite3_finalize(statement);
	return code;
}

/* ---- judging ------------------------------------------------------------ */

/** The names of a source one by one: NULL behind the last. */
static const char *name_at(const struct fsmeta_batch_source *source, size_t at)
{
	if (source->source_id && at-- == 0)
		return source->source_id;
	return at < source->source_aliases.count ? source->source_aliases.items[at] : NULL;
}

static bool has_name(const struct fsmeta_batch_source *source, const char *wanted)
{
	const char *name;

	for (size_t i = 0; (name = name_at(source, i)); i++)
		if (strcmp(name, wanted) == 0)
			return true;
	return false;
}

/** The first name that somebody gave, NULL where there is none. */
static const char *given_name(const struct fsmeta_batch_source *source)
{
	const char *name;

	for (size_t i = 0; (name = name_at(source, i)); i++)
		if (!is_found(name))
			return name;
	return NULL;
}

/** The first name that both have, of those that were given or of all; NULL where there is none. */
static const char *name_in_common(
    const struct fsmeta_batch_source *a, const struct fsmeta_batch_source *b, bool given_ones_only)
{
	const char *name;

	for (size_t i = 0; (name = name_at(a, i)); i++)
		if (!(given_ones_only && is_found(name)) && has_name(b, name))
			return name;
	return NULL;
}

static bool is_made_up(const struct fsmeta_batch_source *own)
{
	return own->source_id &&
	       strncmp(own->source_id, made_up_prefix, strlen(made_up_prefix)) == 0;
}

static int refuse(const struct fsmeta_connection *connection, const struct fsmeta_batch_source *own,
    const struct fsmeta_batch_source *offered, struct fsmeta_error *error)
{
	static const char action[] = "comparing the source";
	const char *shared = name_in_common(own, offered, false);
	const char *ours = shared ? given_name(own) : own->source_id;
	const char *theirs = shared ? given_name(offered) : offered->source_id;

	if (!ours)
		ours = "?";
	if (!theirs)
		return fsmeta_error_set(error, FSMETA_E_REFUSED, connection->path, action,
		    "this is the database of source \"%.*s\", the scan is of a source without "
		    "an id",
		    (int)SHOWN_BYTES, ours);
	return fsmeta_error_set(error, FSMETA_E_REFUSED, connection->path, action,
	    "this is the database of source \"%.*s\", the scan is of \"%.*s\"%s%.*s%s",
	    (int)SHOWN_BYTES, ours, (int)SHOWN_BYTES, theirs, shared ? "; both claim \"" : "",
	    (int)SHOWN_BYTES, shared ? shared : "", shared ? "\"" : "");
}

int fsmeta_identity_check(const struct fsmeta_connection *connection,
    const struct fsmeta_batch_source *offered, struct fsmeta_error *error)
{
	struct fsmeta_batch_source own;
	bool both_given, accepted;
	int code;

	fsmeta_batch_source_init(&own);
	code = fsmeta_identity_load(&own, connection, error);
	if (!code) {
		both_given = given_name(&own) && given_name(offered);
		accepted = name_in_common(&own, offered, both_given) ||
			   (!offered->source_id && is_made_up(&own));
		if (!accepted)
			code = refuse(connection, &own, offered, error);
	}
	fsmeta_batch_source_release(&own);
	return code;
}

/* ---- writing ------------------------------------------------------------ */

static int make_up(char *out, size_t size, struct fsmeta_error *error)
{
	unsigned char random[MADE_UP_BYTES];
	int length = snprintf(out, size, "%s", made_up_prefix);

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return fsmeta_error_set_errno(error, errno, NULL, "making up a source id");
	for (size_t i = 0; i < sizeof(random); i++)
		length += snprintf(out + length, size - (size_t)length, "%02x", random[i]);
	return 0;
}

/** Runs `sql` with one text. */
static int run_with_text(const struct fsmeta_connection *connection, const char *sql,
    const char *text, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_connection_prepare(&statement, connection, sql, error);

	if (!code) {
		sqlite3_bind_text(statement, 1, text, -1, SQLITE_STATIC);
		code = fsmeta_connection_run(connection, statement, error);
	}
	sqlite3_finalize(statement);
	return code;
}

/** The database's own id, once and for all. */
static int store_id(const struct fsmeta_connection *connection,
    const struct fsmeta_batch_source *offered, struct fsmeta_batch_source *own,
    struct fsmeta_error *error)
{
	char made_up[sizeof(made_up_prefix) + 2 * MADE_UP_BYTES + 1];
	const char *id = offered->source_id;
	int code = 0;

	if (!id) {
		code = make_up(made_up, sizeof(made_up), error);
		id = made_up;
	}
	if (!code && fsmeta_batch_source_set(own, &own->source_id, id))
		code = fsmeta_error_set_memory(error, "keeping the source's id");
	if (!code)
		code = run_with_text(connection,
		    "INSERT OR REPLACE INTO source (name, value) VALUES ('source_id', ?1)", id,
		    error);
	if (!code)
		code = fsmeta_connection_execute(connection,
		    is_made_up(own)
			? "INSERT OR REPLACE INTO source (name, value) VALUES ('made_up', 1)"
			: "INSERT OR REPLACE INTO source (name, value) VALUES ('made_up', 0)",
		    error);
	return code;
}

int fsmeta_identity_store(const struct fsmeta_connection *connection,
    const struct fsmeta_batch_source *offered, struct fsmeta_error *error)
{
	struct fsmeta_batch_source own;
	const char *name;
	int code;

	fsmeta_batch_source_init(&own);
	code = fsmeta_identity_load(&own, connection, error);
	if (!code && !own.source_id)
		code = store_id(connection, offered, &own, error);
	for (size_t i = 0; !code && (name = name_at(offered, i)); i++) {
		size_t known = own.source_aliases.count;
		int added = fsmeta_batch_source_add_alias(&own, name);

		if (added == FSMETA_E_MEMORY)
			code = fsmeta_error_set_memory(error, "keeping the source's names");
		/* The table is full of places that the tree was in; it needs no further one. */
		else if (!added && own.source_aliases.count > known)
			code = run_with_text(connection,
			    "INSERT OR IGNORE INTO source_alias (id) VALUES (?1)", name, error);
	}
	fsmeta_batch_source_release(&own);
	return code;
}
