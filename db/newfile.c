/*
 * A database that does not exist yet.
 *
 * The first import is the largest there will be, and until it is complete there
 * is nothing to protect.  So it goes into a temporary file beside the place,
 * without journal and without syncs; then it is synced once and gets its name by a
 * rename that never replaces anything.  No log of the database's size comes to be,
 * and a crash leaves a hidden temporary file at most, which the next import sweeps
 * (base/temporary.c).
 *
 * WAL is switched on last, over an ordinary connection, so that it is found out
 * whether the file system can.
 *
 * Rows of folders that arrive in the order of their ids would fill their pages to the
 * last byte, because SQLite only starts a new page where a table grows at its end.  Then
 * the first changes, which make rows a little longer (`since` 1 takes no byte), would
 * split one page each.  So a row of a folder that there is not stands behind all others
 * meanwhile, and pages are split with some room left: a thousandth of the file, for
 * 28 KiB of growth by the first 192 changes among 2.4 million entries instead of 68.
 */
#include "db/schema.h"
#include "db/update.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	DATABASE_MODE = 0666,
};

/** The row behind all others. */
static const char add_last_folder[] =
    "INSERT INTO folder (id, attributes, since) VALUES (9223372036854775807, 0, 1)";
static const char drop_last_folder[] = "DELETE FROM folder WHERE id = 9223372036854775807";

static int make_path(struct fsmeta_db_update *update, struct fsmeta_error *error)
{
	const char *path = update->db->path;
	const char *slash = strrchr(path, '/');
	int folder_length = slash ? (int)(slash - path) + 1 : 0;

	if (asprintf(&update->building_path, "%.*s%s", folder_length, path,
		update->replace.temporary) < 0) {
		update->building_path = NULL;
		return fsmeta_error_set_memory(error, "making the database");
	}
	return 0;
}

int fsmeta_newfile_begin(struct fsmeta_db_update *update, struct fsmeta_error *error)
{
	int code =
	    fsmeta_replace_file_begin(&update->replace, update->db->path, DATABASE_MODE, error);

	if (code)
		return code;
	update->is_new_file = true;
	update->connection = &update->building;
	code = make_path(update, error);
	if (!code)
		code = fsmeta_connection_open(
		    &update->building, update->building_path, FSMETA_CONNECTION_BUILD, error);
	if (code)
		return code;
	update->building.path = update->db->path;
	update->building.action = "making the database";
	code = fsmeta_connection_execute(&update->building, "BEGIN", error);
	if (!code)
		code = fsmeta_schema_create(&update->building, error);
	return code ? code : fsmeta_connection_execute(&update->building, add_last_folder, error);
}

/** Closes the file as it is to be found. */
static int finish_file(struct fsmeta_db_update *update, struct fsmeta_error *error)
{
	struct fsmeta_connection connection;
	int code = fsmeta_connection_execute(&update->building, drop_last_folder, error);

	if (!code)
		code = fsmeta_schema_create_indexes(&update->building, error);
	if (!code)
		code = fsmeta_connection_execute(&update->building, "COMMIT", error);
	fsmeta_update_finalize(update);
	fsmeta_connection_close(&update->building);
	if (code)
		return code;
	code = fsmeta_connection_open(
	    &connection, update->building_path, FSMETA_CONNECTION_WRITE, error);
	fsmeta_connection_close(&connection);
	return code;
}

static int publish(struct fsmeta_db_update *update, struct fsmeta_error *error)
{
	static const char action[] = "making the database";
	struct fsmeta_replace *replace = &update->replace;
	int folder = replace->parent_fd;
	int failed = 0;

	if (fsync(replace->fd) < 0)
		return fsmeta_error_set_errno(error, errno, update->db->path, action);
	if (renameat2(folder, replace->temporary, folder, replace->name, RENAME_NOREPLACE) < 0)
		failed = errno;
	/* File systems that know no flags know links, and linkat() never replaces. */
	if ((failed == EINVAL || failed == ENOSYS) &&
	    linkat(folder, replace->temporary, folder, replace->name, 0) == 0)
		failed = 0;
	if (failed == EEXIST)
		return fsmeta_error_set(error, FSMETA_E_BUSY, update->db->path, action,
		    "somebody else made it meanwhile");
	if (failed)
		return fsmeta_error_set_errno(error, failed, update->db->path, action);
	if (fsync(folder) < 0 && errno != EINVAL)
		return fsmeta_error_set_errno(error, errno, update->db->path, action);
	return 0;
}

int fsmeta_newfile_commit(struct fsmeta_db_update *update, struct fsmeta_error *error)
{
	int code = finish_file(update, error);

	if (!code)
		code = publish(update, error);
	fsmeta_newfile_abort(update);
	if (!code)
		code = fsmeta_connection_open(
		    &update->db->connection, update->db->path, FSMETA_CONNECTION_WRITE, error);
	return code;
}

void fsmeta_newfile_abort(struct fsmeta_db_update *update)
{
	if (!update->is_new_file)
		return;
	fsmeta_update_finalize(update);
	fsmeta_connection_close(&update->building);
	free(update->building_path);
	update->building_path = NULL;
	/* After a commit the temporary name is gone and this removes nothing. */
	fsmeta_replace_abort(&update->replace);
	update->is_new_file = false;
}
