/*
 * Writing a generation.
 *
 * Changes come in canonical order and each touches few rows:
 *
 *     added       a new row (folder: a row and a position)
 *     modified    the live row goes to the past with until = N, a new one has since = N
 *     removed     a file's row goes to the past; a folder's position ends, and what is
 *                 below it stays as it is: those changes (INSIDE) are only counted
 *     moved       id kept; a file's row goes to the past here and comes to life there;
 *                 a folder and those below it get new positions, file rows stay
 *     unreadable, unknown   an interval, see unknown.c
 *
 * and all but the last leave a row of `change`, which says where to look.
 *
 * Totals and the state digest are carried along: what the base had of an entry is
 * subtracted, as it is stored and under the base's mask, what the new state has
 * is added.  Where that is not possible (another mask makes every term another, a
 * moved folder all terms below it, and a scan of sub-trees carries all the rest) the
 * new state is read once at the end, within the transaction.
 *
 * Moves need care: an arrival may find its place still taken by something that
 * moves on later in the sequence (a and b change names).  What stands there is
 * put away, file rows into the past, positions ended, and remembered; its own
 * change then finds it there.
 */
#include "db/identity.h"
#include "db/migrate.h"
#include "db/reader.h"
#include "db/update.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char action[] = "writing a generation";

enum {
	/** Ids from imported streams stay below, so that there are always more. */
	ADOPTED_ID_BITS = 62,
};

static int internal(struct fsmeta_db_update *update, const struct fsmeta_entry *entry,
    const char *what, struct fsmeta_error *error)
{
	size_t length = entry->path_length < 256 ? entry->path_length : 256;

	return fsmeta_error_set(error, FSMETA_E_INTERNAL, update->db->path, action, "\"%.*s\": %s",
	    (int)length, entry->path ? entry->path : "", what);
}

/* ---- attributes and file systems ------------------------------------------- */

static int store_filesystem(struct fsmeta_db_update *update, size_t id, struct fsmeta_error *error)
{
	const struct fsmeta_filesystem *filesystem = &update->filesystems.filesystems[id];
	sqlite3_stmt *statement;
	int code = fsmeta_update_statement(update, STATEMENT_INSERT_FILESYSTEM, &statement, error);

	if (code)
		return code;
	sqlite3_bind_int64(statement, 1, (int64_t)id);
	sqlite3_bind_text(statement, 2, filesystem->uuid, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 3, filesystem->type, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 4, filesystem->label, -1, SQLITE_STATIC);
	return fsmeta_connection_run(update->connection, statement, error);
}

/** Maps the source's next file system to the database's, which may be a new one. */
static int map_next_device(struct fsmeta_db_update *update, struct fsmeta_error *error)
{
	const struct fsmeta_filesystem *filesystem =
	    &update->source->filesystems[update->device_count];
	uint32_t *grown =
	    reallocarray(update->devices, update->device_count + 1, sizeof(*update->devices));
	int code = 0;

	if (!grown)
		return fsmeta_error_set_memory(error, action);
	update->devices = grown;
	if (fsmeta_batch_source_add_filesystem(&update->filesystems, filesystem->uuid,
		filesystem->type, filesystem->label, &grown[update->device_count]))
		return fsmeta_error_set_memory(error, action);
	if (update->filesystems.filesystem_count > update->filesystems_stored)
		code = store_filesystem(update, update->filesystems_stored++, error);
	update->device_count++;
	return code;
}

static int map_device(struct fsmeta_db_update *update, const struct fsmeta_entry *entry,
    uint32_t *device, struct fsmeta_error *error)
{
	int code = 0;

	if (entry->device >= update->source->filesystem_count)
		return internal(update, entry, "its file system is not in the table", error);
	while (!code && update->device_count <= entry->device)
		code = map_next_device(update, error);
	*device = update->devices[entry->device];
	return code;
}

static void bind_known(sqlite3_stmt *statement, int column, bool known, uint32_t value)
{
	if (known)
		sqlite3_bind_int64(statement, column, value);
	else
		sqlite3_bind_null(statement, column);
}

static int store_attributes(struct fsmeta_db_update *update,
    const struct fsmeta_attributes *attributes, uint32_t id, struct fsmeta_error *error)
{
	sqlite3_stmt *statement;
	int code = fsmeta_update_statement(update, STATEMENT_INSERT_ATTRIBUTES, &statement, error);

	if (code)
		return code;
	sqlite3_bind_int64(statement, 1, id);
	sqlite3_bind_int64(statement, 2, attributes->type);
	bind_known(statement, 3, attributes->fields & FSMETA_FIELD_MODE, attributes->mode);
	bind_known(statement, 4, attributes->fields & FSMETA_FIELD_UID, attributes->uid);
	bind_known(statement, 5, attributes->fields & FSMETA_FIELD_GID, attributes->gid);
	bind_known(statement, 6, attributes->fields & FSMETA_FIELD_DEVICE, attributes->device);
	return fsmeta_connection_run(update->connection, statement, error);
}

/** Id of the entry's attributes in the dictionary. */
static int find_attributes(struct fsmeta_db_update *update, const struct fsmeta_entry *entry,
    uint32_t *id, struct fsmeta_error *error)
{
	struct fsmeta_attributes attributes = {
	    .type = entry->type,
	    .fields = entry->fields & (FSMETA_FIELD_MODE | FSMETA_FIELD_UID | FSMETA_FIELD_GID |
					  FSMETA_FIELD_DEVICE),
	    .mode = entry->fields & FSMETA_FIELD_MODE ? entry->mode : 0,
	    .uid = entry->fields & FSMETA_FIELD_UID ? entry->uid : 0,
	    .gid = entry->fields & FSMETA_FIELD_GID ? entry->gid : 0,
	};
	bool added;
	int code = 0;

	/* Reading relies on it, and so does the digest. */
	if (entry->fields & ~fsmeta_fields_of_type(entry->type))
		return internal(update, entry, "it has fields that its type cannot have", error);
	if (attributes.fields & FSMETA_FIELD_DEVICE)
		code = map_device(update, entry, &attributes.device, error);
	if (code)
		return code;
	if (memcmp(&attributes, &update->last_attributes, sizeof(attributes)) == 0) {
		*id = update->last_attributes_id;
		return 0;
	}
	if (fsmeta_dictionary_find(&update->dictionary, &attributes, id, &added))
		return fsmeta_error_set_memory(error, action);
	if (added)
		code = store_attributes(update, &attributes, *id, error);
	update->last_attributes = attributes;
	update->last_attributes_id = *id;
	return code;
}

/* ---- counting along ----------------------------------------------------------- */

/** The entry is in the new state, as the source says it. */
static int count_new(
    struct fsmeta_db_update *update, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	struct fsmeta_digest term;

	if (update->recount)
		return 0;
	fsmeta_totals_count(&update->totals, entry, 1);
	if (fsmeta_entry_digest(
		&term, entry, update->source->field_mask, update->source, &update->scratch))
		return fsmeta_error_set_memory(error, action);
	fsmeta_digest_add(&update->digest, term);
	return 0;
}

/** The entry, with devices as the database counts them, was in the base's state. */
static int discount_old(
    struct fsmeta_db_update *update, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	struct fsmeta_digest term;

	if (update->recount)
		return 0;
	fsmeta_totals_count(&update->totals, entry, -1);
	if (fsmeta_entry_digest(
		&term, entry, update->base_mask, &update->filesystems, &update->scratch))
		return fsmeta_error_set_memory(error, action);
	fsmeta_digest_subtract(&update->digest, term);
	return 0;
}

/* ---- rows ------------------------------------------------------------------------ */

static int write_file(struct fsmeta_db_update *update, enum fsmeta_statement which, int64_t parent,
    int64_t id, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	sqlite3_stmt *statement;
	uint32_t attributes;
	int code = find_attributes(update, entry, &attributes, error);

	if (!code)
		code = fsmeta_update_statement(update, which, &statement, error);
	if (code)
		return code;
	sqlite3_bind_int64(statement, 1, parent);
	sqlite3_bind_blob64(statement, 2, entry->name, entry->name_length, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 3, id);
	sqlite3_bind_int64(statement, 4, (int64_t)update->number);
	code = fsmeta_row_bind(statement, 5, entry, attributes, true, error);
	return code ? code : fsmeta_connection_run(update->connection, statement, error);
}

static int write_folder(struct fsmeta_db_update *update, enum fsmeta_statement which, int64_t id,
    const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	sqlite3_stmt *statement;
	uint32_t attributes;
	int code = find_attributes(update, entry, &attributes, error);

	if (!code)
		code = fsmeta_update_statement(update, which, &statement, error);
	if (code)
		return code;
	sqlite3_bind_int64(statement, 1, id);
	sqlite3_bind_int64(statement, 2, (int64_t)update->number);
	code = fsmeta_row_bind(statement, 3, entry, attributes, false, error);
	return code ? code : fsmeta_connection_run(update->connection, statement, error);
}

/** What a place in the tree holds. */
struct stored {
	/** 0 = nothing. */
	int64_t id;
	int64_t since;
	/** Folder that holds it; of no meaning for the root. */
	int64_t parent;
	/** As stored, under read_mask(); names are those of who asked. */
	struct fsmeta_entry entry;
};

/** The scan has other fields than the base. */
static bool changes_mask(const struct fsmeta_db_update *update)
{
	return update->base && update->base_mask != update->source->field_mask;
}

/**
 * What is read is discounted, as the base has it; or, where nothing is counted along
 * because the mask is another, compared with what the scan has.
 */
static uint32_t read_mask(const struct fsmeta_db_update *update)
{
	return changes_mask(update) ? update->source->field_mask : update->base_mask;
}

/** Decodes the row that `statement` yields, if any: id, since, metadata. */
static int read_stored(struct fsmeta_db_update *update, sqlite3_stmt *statement,
    const struct fsmeta_entry *place, bool content, struct stored *out, struct fsmeta_error *error)
{
	int code = fsmeta_connection_step(update->connection, statement, error);

	out->id = 0;
	if (code <= 0)
		return code;
	out->entry = *place;
	out->entry.unknown_since = 0;
	code = fsmeta_row_decode(update->connection, statement, 2, content, &update->dictionary,
	    read_mask(update), &out->entry, error);
	out->id = sqlite3_column_int64(statement, 0);
	out->since = sqlite3_column_int64(statement, 1);
	return code;
}

/** The statement stays on its row until it is used again: out->entry points into it. */
static int select_file(struct fsmeta_db_update *update, enum fsmeta_statement which, int64_t parent,
    const struct fsmeta_entry *place, struct stored *out, struct fsmeta_error *error)
{
	sqlite3_stmt *statement;
	int code = fsmeta_update_statement(update, which, &statement, error);

	if (code)
		return code;
	sqlite3_bind_int64(statement, 1, parent);
	sqlite3_bind_blob64(statement, 2, place->name, place->name_length, SQLITE_STATIC);
	if (which == STATEMENT_SELECT_FILE_PAST)
		sqlite3_bind_int64(statement, 3, (int64_t)update->number);
	code = read_stored(update, statement, place, true, out, error);
	out->parent = parent;
	return code;
}

static int select_folder(struct fsmeta_db_update *update, int64_t id,
    const struct fsmeta_entry *place, struct stored *out, struct fsmeta_error *error)
{
	sqlite3_stmt *statement;
	int code = fsmeta_update_statement_integers(
	    update, STATEMENT_SELECT_FOLDER, &statement, &id, 1, error);

	return code ? code : read_stored(update, statement, place, false, out, error);
}

/** KEEP_FILE or DELETE_FILE. */
static int run_file(struct fsmeta_db_update *update, enum fsmeta_statement which, int64_t parent,
    const struct fsmeta_entry *place, struct fsmeta_error *error)
{
	sqlite3_stmt *statement;
	int code = fsmeta_update_statement(update, which, &statement, error);

	if (code)
		return code;
	sqlite3_bind_int64(statement, 1, parent);
	sqlite3_bind_blob64(statement, 2, place->name, place->name_length, SQLITE_STATIC);
	if (which == STATEMENT_KEEP_FILE)
		sqlite3_bind_int64(statement, 3, (int64_t)update->number);
	return fsmeta_connection_run(update->connection, statement, error);
}

/** Moves a file's live row into the past. */
static int end_file(struct fsmeta_db_update *update, int64_t parent,
    const struct fsmeta_entry *place, struct fsmeta_error *error)
{
	int code = run_file(update, STATEMENT_KEEP_FILE, parent, place, error);

	return code ? code : run_file(update, STATEMENT_DELETE_FILE, parent, place, error);
}

static int keep_folder(struct fsmeta_db_update *update, int64_t id, struct fsmeta_error *error)
{
	const int64_t values[] = {id, (int64_t)update->number};

	return fsmeta_update_run(update, STATEMENT_KEEP_FOLDER, values, 2, error);
}

/** What lives at the place now, or did in the base. */
static int find_stored(struct fsmeta_db_update *update, struct fsmeta_walk *walk,
    const struct fsmeta_entry *place, struct stored *out, struct fsmeta_error *error)
{
	int64_t id = 0;
	int code = 0;

	out->id = 0;
	out->parent = 0;
	if (place->depth)
		code = fsmeta_places_parent(
		    update, walk, place->path, place->path_length, &out->parent, error);
	if (code)
		return code;
	if (place->type != FSMETA_TYPE_FOLDER)
		return select_file(update, STATEMENT_SELECT_FILE, out->parent, place, out, error);
	code = fsmeta_places_find(update, walk, place->path, place->path_length, &id, error);
	return code || !id ? code : select_folder(update, id, place, out, error);
}

/* ---- table change ---------------------------------------------------------------- */

static int note_change(struct fsmeta_db_update *update, int64_t folder, const char *name,
    size_t length, struct fsmeta_error *error)
{
	const int64_t values[] = {(int64_t)update->number, folder};
	sqlite3_stmt *statement;
	int code = fsmeta_update_statement_integers(
	    update, STATEMENT_INSERT_CHANGE, &statement, values, 2, error);

	if (code)
		return code;
	sqlite3_bind_blob64(statement, 3, length ? name : "", length, SQLITE_STATIC);
	return fsmeta_connection_run(update->connection, statement, error);
}

/** Something about the folder itself differs from the base: metadata, position, existence. */
static int note_folder(struct fsmeta_db_update *update, int64_t id, struct fsmeta_error *error)
{
	return note_change(update, id, "", 0, error);
}

/** `parent` holds something else at the entry's name than it did in the base. */
static int note_file(struct fsmeta_db_update *update, int64_t parent,
    const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	return note_change(update, parent, entry->name, entry->name_length, error);
}

/** An entry that arrives: what a new folder comes with has no row of its own. */
static int note_arrival(struct fsmeta_db_update *update, int64_t parent, int64_t id,
    const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	if (!update->base || parent >= update->first_id)
		return 0;
	return entry->type == FSMETA_TYPE_FOLDER ? note_folder(update, id, error)
						 : note_file(update, parent, entry, error);
}

/* ---- what was put away for a later move ---------------------------------------------- */

static int displaced_add(struct fsmeta_db_update *update, int64_t id, struct fsmeta_error *error)
{
	if (update->displaced_count == update->displaced_capacity) {
		size_t capacity = update->displaced_capacity ? 2 * update->displaced_capacity : 16;
		int64_t *grown = reallocarray(update->displaced, capacity, sizeof(*grown));

		if (!grown)
			return fsmeta_error_set_memory(error, action);
		update->displaced = grown;
		update->displaced_capacity = capacity;
	}
	update->displaced[update->displaced_count++] = id;
	return 0;
}

/** True, and forgotten, where it was put away. */
static bool displaced_take(struct fsmeta_db_update *update, int64_t id)
{
	for (size_t i = 0; i < update->displaced_count; i++) {
		if (update->displaced[i] != id)
			continue;
		update->displaced[i] = update->displaced[--update->displaced_count];
		return true;
	}
	return false;
}

/** Puts away whatever lives where `entry` arrives. */
static int clear_place(struct fsmeta_db_update *update, int64_t parent,
    const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	struct stored file;
	int64_t folder;
	int code = select_file(update, STATEMENT_SELECT_FILE, parent, entry, &file, error);

	if (!code && file.id) {
		if (file.since == (int64_t)update->number)
			return internal(update, entry, "two changes arrive here", error);
		code = end_file(update, parent, entry, error);
		return code ? code : displaced_add(update, file.id, error);
	}
	if (!code)
		code = fsmeta_places_find(
		    update, &update->now, entry->path, entry->path_length, &folder, error);
	if (code || !folder)
		return code;
	code = fsmeta_places_end(update, folder, entry->depth, error);
	return code ? code : displaced_add(update, folder, error);
}

/* ---- added ---------------------------------------------------------------------------- */

static int choose_id(struct fsmeta_db_update *update, const struct fsmeta_entry *entry, int64_t *id,
    struct fsmeta_error *error)
{
	if (!update->adopts_ids) {
		*id = update->next_id++;
		return 0;
	}
	if (!entry->id || entry->id >> ADOPTED_ID_BITS)
		return fsmeta_error_set(error, FSMETA_E_CORRUPT, update->db->path, action,
		    "the stream says that its ids are stable, but one is %" PRIu64, entry->id);
	*id = (int64_t)entry->id;
	if (*id >= update->next_id)
		update->next_id = *id + 1;
	return 0;
}

/** The folder that an arriving entry goes into, with the place free. */
static int find_destination(struct fsmeta_db_update *update, const struct fsmeta_entry *entry,
    int64_t *parent, struct fsmeta_error *error)
{
	int code;

	*parent = 0;
	if (!entry->depth)
		return update->base ? internal(update, entry, "a second root arrives", error) : 0;
	/* On the first import the walk stands at the last folder, and nothing is in the way. */
	if (!update->base && entry->depth <= update->now.path.depth + 1 && update->last_placed) {
		*parent = update->now.folders[entry->depth - 1];
		return 0;
	}
	code = fsmeta_places_parent(
	    update, &update->now, entry->path, entry->path_length, parent, error);
	/* In a folder that is new itself nothing can be in the way. */
	if (!code && update->base && *parent < update->first_id)
		code = clear_place(update, *parent, entry, error);
	return code;
}

static int note_unknown(struct fsmeta_db_update *update, const struct fsmeta_entry *entry,
    int64_t id, struct fsmeta_error *error)
{
	/* A delta lists the places. */
	if (update->section)
		return 0;
	if (!update->base)
		return fsmeta_unknown_adopt(update, entry, id, error);
	if (entry->type == FSMETA_TYPE_FOLDER && entry->flags & FSMETA_UNKNOWN_BELOW)
		return fsmeta_unknown_note_folder(update, entry, id, error);
	return 0;
}

static int apply_added(
    struct fsmeta_db_update *update, const struct fsmeta_entry *entry, struct fsmeta_error *error)
{
	int64_t parent, id = 0;
	int code = find_destination(update, entry, &parent, error);

	if (!code)
		code = choose_id(update, entry, &id, error);
	if (code)
		return code;
	if (entry->type == FSMETA_TYPE_FOLDER) {
		code = write_folder(update, STATEMENT_INSERT_FOLDER, id, entry, error);
		if (!code)
			code = fsmeta_places_insert(update, id, parent, entry, error);
	} else {
		code = write_file(update, STATEMENT_INSERT_FILE, parent, id, entry, error);
	}
	if (!code)
		code = note_arrival(update, parent, id, entry, error);
	if (!code)
		code = note_unknown(update, entry, id, error);
	update->added++;
	return code ? code : count_new(update, entry, error);
}

/* ---- removed ---------------------------------------------------------------------------- */

/**
 * Finds what `before` was in the base.  *put_away: an arrival displaced it
 * already, so its row is in the past or its position has ended.
 */
static int find_leaving(struct fsmeta_db_update *update, const struct fsmeta_entry *before,
    struct stored *out, bool *put_away, struct fsmeta_error *error)
{
	int code;

	*put_away = displaced_take(update, (int64_t)before->id);
	if (!*put_away || before->type == FSMETA_TYPE_FOLDER) {
		code = find_stored(update, &update->was, before, out, error);
	} else {
		code = fsmeta_places_parent(
		    update, &update->was, before->path, before->path_length, &out->parent, error);
		if (!code)
			code = select_file(
			    update, STATEMENT_SELECT_FILE_PAST, out->parent, before, out, error);
	}
	if (!code && (!out->id || (before->id && out->id != (int64_t)before->id)))
		code = internal(update, before, "it goes and was not there", error);
	return code;
}

static int apply_removed(
    struct fsmeta_db_update *update, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	const struct fsmeta_entry *before = change->before;
	struct stored stored = {0};
	bool put_away;
	int code;

	update->removed++;
	/* Its folder is gone; the row stays where it is. */
	if (change->flags & FSMETA_CHANGE_INSIDE)
		return discount_old(update, before, error);
	if (!before->depth)
		return internal(update, before, "the root cannot be removed", error);
	code = find_leaving(update, before, &stored, &put_away, error);
	if (!code)
		code = discount_old(update, &stored.entry, error);
	if (code)
		return code;
	/* A delta does not tell what was below it. */
	if (update->section && before->type == FSMETA_TYPE_FOLDER)
		update->recount = true;
	if (before->type == FSMETA_TYPE_FOLDER) {
		code = note_folder(update, stored.id, error);
		return code ? code : fsmeta_places_remove(update, stored.id, before->depth, error);
	}
	code = note_file(update, stored.parent, before, error);
	return code || put_away ? code : end_file(update, stored.parent, before, error);
}

/** Who sends a delta knows the ids; a scan does not. */
static int check_id(struct fsmeta_db_update *update, const struct fsmeta_entry *entry, int64_t id,
    struct fsmeta_error *error)
{
	if (entry->id == (uint64_t)id)
		return 0;
	return fsmeta_error_set(error, FSMETA_E_REFUSED, update->db->path, action,
	    "\"%.*s\" has id %" PRId64 " here and %" PRIu64 " in the delta",
	    (int)(entry->path_length < 256 ? entry->path_length : 256), entry->path, id, entry->id);
}

/* ---- modified ------------------------------------------------------------------------------ */

/** Replaces the row; the one before goes to the past unless it is of this generation. */
static int replace_row(struct fsmeta_db_update *update, const struct stored *stored,
    const struct fsmeta_entry *after, struct fsmeta_error *error)
{
	bool keep = stored->since < (int64_t)update->number;
	int code;

	if (after->type == FSMETA_TYPE_FOLDER) {
		code = note_folder(update, stored->id, error);
		if (!code && keep)
			code = keep_folder(update, stored->id, error);
		return code ? code
			    : write_folder(
				  update, STATEMENT_REPLACE_FOLDER, stored->id, after, error);
	}
	code = note_file(update, stored->parent, after, error);
	if (!code && keep)
		code = run_file(update, STATEMENT_KEEP_FILE, stored->parent, after, error);
	if (!code)
		code = fsmeta_contents_keep(
		    update, stored->id, stored->since, &stored->entry, after, error);
	return code ? code
		    : write_file(
			  update, STATEMENT_REPLACE_FILE, stored->parent, stored->id, after, error);
}

/**
 * Sets *same where the row says already what comes: fields are told again that the base
 * left out, and that the row never lost.
 */
static int is_as_stored(struct fsmeta_db_update *update, const struct stored *stored,
    const struct fsmeta_entry *after, bool *same, struct fsmeta_error *error)
{
	uint32_t device;
	int code = 0;

	*same = false;
	if (!changes_mask(update))
		return 0;
	if (after->fields & FSMETA_FIELD_DEVICE)
		code = map_device(update, after, &device, error);
	*same = !code && !fsmeta_entry_differences(&stored->entry, after,
			     update->source->field_mask | FSMETA_FIELD_FLAGS, update->devices,
			     update->device_count);
	return code;
}

static int apply_modified(
    struct fsmeta_db_update *update, const struct fsmeta_entry *after, struct fsmeta_error *error)
{
	struct stored stored;
	bool same = false;
	int code = find_stored(update, &update->now, after, &stored, error);

	if (!code && !stored.id)
		code = internal(update, after, "it is modified and was not there", error);
	if (!code && update->section)
		code = check_id(update, after, stored.id, error);
	if (!code)
		code = is_as_stored(update, &stored, after, &same, error);
	if (code || same)
		return code;
	update->modified++;
	code = discount_old(update, &stored.entry, error);
	if (!code)
		code = count_new(update, after, error);
	return code ? code : replace_row(update, &stored, after, error);
}

/* ---- moved ----------------------------------------------------------------------------------- */

static int move_file(struct fsmeta_db_update *update, const struct fsmeta_entry *before,
    const struct fsmeta_entry *after, struct fsmeta_error *error)
{
	struct stored stored = {0};
	bool put_away;
	int64_t to = 0;
	int code = find_leaving(update, before, &stored, &put_away, error);

	if (!code)
		code = discount_old(update, &stored.entry, error);
	if (!code)
		code = note_file(update, stored.parent, before, error);
	if (!code && !put_away)
		code = end_file(update, stored.parent, before, error);
	if (!code)
		code = find_destination(update, after, &to, error);
	if (!code)
		code = note_file(update, to, after, error);
	if (!code)
		code = fsmeta_contents_keep(
		    update, stored.id, stored.since, &stored.entry, after, error);
	if (!code)
		code = write_file(update, STATEMENT_INSERT_FILE, to, stored.id, after, error);
	return code ? code : count_new(update, after, error);
}

static int move_folder(
    struct fsmeta_db_update *update, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	const struct fsmeta_entry *before = change->before, *after = change->after;
	struct stored stored = {0};
	bool put_away;
	int64_t to = 0;
	int code;

	if (!before->depth || !after->depth)
		return internal(update, after, "the root cannot be moved", error);
	/* Every path below is another, and so is every term of the digest. */
	update->recount = true;
	update->moved_folders = true;
	code = find_leaving(update, before, &stored, &put_away, error);
	if (!code)
		code = note_folder(update, stored.id, error);
	if (!code && !put_away)
		code = fsmeta_places_end(update, stored.id, before->depth, error);
	if (!code)
		code = find_destination(update, after, &to, error);
	if (!code)
		code = fsmeta_places_insert(update, stored.id, to, after, error);
	if (!code)
		code = fsmeta_places_move_below(update, stored.id, after->depth, error);
	if (!code && change->fields)
		code = replace_row(update, &stored, after, error);
	return code;
}

static int apply_moved(
    struct fsmeta_db_update *update, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	update->moved++;
	if (change->before->type != change->after->type)
		return internal(update, change->after, "a move changes its type", error);
	if (change->after->type == FSMETA_TYPE_FOLDER)
		return move_folder(update, change, error);
	return move_file(update, change->before, change->after, error);
}

/* ---- unreadable, unknown ----------------------------------------------------------------------
 */

static int apply_unknown(
    struct fsmeta_db_update *update, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	const struct fsmeta_entry *entry = fsmeta_change_entry(change);
	struct fsmeta_unknown_place place = {
	    .since = update->number,
	    .whole = !change->after,
	    .unreadable = change->kind == FSMETA_CHANGE_UNREADABLE,
	    .error = entry->error,
	};
	struct stored stored;
	int code;

	/* There is nothing below that could be unknown. */
	if (entry->type != FSMETA_TYPE_FOLDER && change->after)
		return 0;
	code = find_stored(update, &update->now, entry, &stored, error);
	if (!code && !stored.id)
		code = internal(update, entry, "it is unknown and was not there", error);
	if (!code && update->section)
		code = check_id(update, entry, stored.id, error);
	if (update->section)
		place.since = entry->unknown_since;
	place.root = stored.id;
	return code ? code : fsmeta_unknown_note(update, &place, error);
}

/* ---- the sink
 * ------------------------------------------------------------------------------------ */

static int apply(
    struct fsmeta_db_update *update, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	if (!update->base && change->kind != FSMETA_CHANGE_ADDED)
		return fsmeta_error_set(error, FSMETA_E_INTERNAL, update->db->path, action,
		    "the first generation has a change that is no arrival");
	switch (change->kind) {
	case FSMETA_CHANGE_ADDED:
		return apply_added(update, change->after, error);
	case FSMETA_CHANGE_REMOVED:
		return apply_removed(update, change, error);
	case FSMETA_CHANGE_MODIFIED:
	case FSMETA_CHANGE_CORRUPTED:
		return apply_modified(update, change->after, error);
	case FSMETA_CHANGE_MOVED:
		return apply_moved(update, change, error);
	case FSMETA_CHANGE_UNREADABLE:
	case FSMETA_CHANGE_UNKNOWN:
		return apply_unknown(update, change, error);
	}
	return fsmeta_error_set(error, FSMETA_E_INTERNAL, update->db->path, action,
	    "a change has kind %d", (int)change->kind);
}

static int take_change(
    struct fsmeta_change_sink *sink, const struct fsmeta_change *change, struct fsmeta_error *error)
{
	struct fsmeta_db_update *update = (struct fsmeta_db_update *)sink;
	int code = apply(update, change, error);

	if (code)
		update->failed = true;
	return code;
}

struct fsmeta_change_sink *fsmeta_db_update_sink(struct fsmeta_db_update *update)
{
	return &update->sink;
}

/* ---- begin
 * ------------------------------------------------------------------------------------------ */

static int check_base(struct fsmeta_db_update *update, const struct fsmeta_db_generation *newest,
    struct fsmeta_error *error)
{
	const struct fsmeta_time started = update->source->started;
	const struct fsmeta_time finished = newest->source.finished;
	char started_text[FSMETA_TIME_TEXT_BYTES], finished_text[FSMETA_TIME_TEXT_BYTES];

	if (!(started.seconds || started.nanoseconds) ||
	    !(finished.seconds || finished.nanoseconds) ||
	    fsmeta_time_compare(started, finished) >= 0)
		return 0;
	fsmeta_time_format(started_text, started);
	fsmeta_time_format(finished_text, finished);
	return fsmeta_error_set(error, FSMETA_E_REFUSED, update->db->path, action,
	    "the scan started at %s, before generation %" PRIu64 " was finished at %s",
	    started_text, newest->number, finished_text);
}

/** An export keeps its number where that is to come here; a plain scan is the next one. */
static uint64_t choose_number(const struct fsmeta_db_update *update)
{
	const struct fsmeta_batch_source *source = update->source;
	bool is_numbered = source->id_kind == FSMETA_IDS_STABLE && source->generation;

	if (update->section)
		return update->section->generation;
	return is_numbered && source->generation > update->base ? source->generation
								: update->base + 1;
}

static int load_base(struct fsmeta_db_update *update, struct fsmeta_error *error)
{
	struct fsmeta_db_generation newest;
	int code = fsmeta_generation_load(&newest, update->connection, update->base, error);

	if (code)
		return code;
	code = fsmeta_identity_check(update->connection, update->source, error);
	if (!code && !update->section)
		code = check_base(update, &newest, error);
	update->base_mask = newest.source.field_mask;
	update->totals = newest.source.totals;
	update->totals.carried = 0;
	update->digest = newest.source.state_digest;
	/* What is carried outside of sub-trees is in no table, so it cannot be counted along. */
	update->recount =
	    update->base_mask != update->source->field_mask || update->source->subtrees.count;
	fsmeta_db_generation_release(&newest);
	if (!code)
		code = fsmeta_row_load_filesystems(&update->filesystems, update->connection, error);
	update->filesystems_stored = update->filesystems.filesystem_count;
	if (!code)
		code = fsmeta_dictionary_load(&update->dictionary, update->connection,
		    update->filesystems.filesystem_count, error);
	if (!code)
		code = fsmeta_connection_integer(&update->next_id, update->connection,
		    "SELECT value FROM source WHERE name = 'next_id'", 0, error);
	if (!code && update->next_id <= 0)
		code = fsmeta_connection_corrupt(
		    update->connection, error, "it does not say which ids are free");
	update->adopts_ids = update->section != NULL;
	update->number = choose_number(update);
	return code;
}

/** Checks that the base is the newest, under the write lock. */
static int begin_existing(struct fsmeta_db_update *update, struct fsmeta_error *error)
{
	uint64_t newest;
	int code = 0;

	update->connection = &update->db->connection;
	update->connection->action = action;
	if (!update->section) {
		code = fsmeta_connection_execute(update->connection, "BEGIN IMMEDIATE", error);
		if (!code)
			code = fsmeta_generation_newest(&newest, update->connection, error);
		if (!code && newest != update->base)
			code = fsmeta_error_set(error, FSMETA_E_BUSY, update->db->path, action,
			    "generation %" PRIu64
			    " came in meanwhile; the changes are against %" PRIu64,
			    newest, update->base);
	}
	if (!code)
		code = load_base(update, error);
	return code ? code : fsmeta_migrate(update->connection, error);
}

static void begin_first(struct fsmeta_db_update *update)
{
	const struct fsmeta_batch_source *source = update->source;

	update->base_mask = source->field_mask;
	update->next_id = 1;
	update->number = 1;
	update->adopts_ids = source->id_kind == FSMETA_IDS_STABLE && source->generation;
	if (update->adopts_ids)
		update->number = source->generation;
}

static int begin(struct fsmeta_db_update *update, struct fsmeta_error *error)
{
	int code;

	if (update->db->mode != FSMETA_DB_WRITE || update->db->updating)
		return fsmeta_error_set(error, FSMETA_E_INTERNAL, update->db->path, action,
		    "the database is not open for writing");
	update->db->updating = true;
	if (update->source->generation > INT64_MAX || update->base >= INT64_MAX)
		return fsmeta_error_set(error, FSMETA_E_LIMIT, update->db->path, action,
		    "the generation's number is too large");
	if (update->db->connection.handle)
		return begin_existing(update, error);
	if (update->base)
		return fsmeta_error_set(error, FSMETA_E_BUSY, update->db->path, action,
		    "it holds no generation %" PRIu64, update->base);
	code = fsmeta_newfile_begin(update, error);
	begin_first(update);
	return code;
}

int fsmeta_update_begin(struct fsmeta_db_update **out, struct fsmeta_db *db, uint64_t base,
    const struct fsmeta_batch_source *source, const struct fsmeta_delta_section *section,
    struct fsmeta_error *error)
{
	struct fsmeta_db_update *update = calloc(1, sizeof(*update));
	bool other = db->updating;
	int code;

	*out = NULL;
	if (!update)
		return fsmeta_error_set_memory(error, action);
	update->sink.change = take_change;
	update->db = db;
	update->base = base;
	update->source = source;
	update->section = section;
	fsmeta_batch_source_init(&update->filesystems);
	fsmeta_path_stack_init(&update->now.path);
	fsmeta_path_stack_init(&update->was.path);
	fsmeta_places_init(update);
	code = begin(update, error);
	update->first_id = update->next_id;
	if (code) {
		fsmeta_db_update_abort(update);
		db->updating = other;
		return code;
	}
	*out = update;
	return 0;
}

int fsmeta_db_update_begin(struct fsmeta_db_update **out, struct fsmeta_db *db, uint64_t base,
    const struct fsmeta_batch_source *source, struct fsmeta_error *error)
{
	return fsmeta_update_begin(out, db, base, source, NULL, error);
}

/* ---- commit
 * ------------------------------------------------------------------------------------------- */

/** Digest and totals by reading the state as it is now. */
static int recount(struct fsmeta_db_update *update, struct fsmeta_error *error)
{
	const struct fsmeta_reader_options options = {
	    .generation = update->number,
	    .source = update->source,
	    .newest = true,
	    .field_mask = update->source->field_mask,
	};
	const struct fsmeta_entry *entry;
	struct fsmeta_reader *reader;
	int code =
	    fsmeta_reader_new(&reader, update->connection, &update->dictionary, &options, error);

	if (code)
		return code;
	update->digest = (struct fsmeta_digest){0};
	update->totals = (struct fsmeta_totals){0};
	while ((code = fsmeta_reader_next(reader, &entry, error)) > 0) {
		struct fsmeta_digest term;

		fsmeta_totals_count(&update->totals, entry, 1);
		if (fsmeta_entry_digest(
			&term, entry, options.field_mask, &update->filesystems, &update->scratch)) {
			code = fsmeta_error_set_memory(error, action);
			break;
		}
		fsmeta_digest_add(&update->digest, term);
	}
	fsmeta_reader_free(reader);
	return code;
}

static int set_property(struct fsmeta_db_update *update, const char *name, int64_t number,
    const char *text, struct fsmeta_error *error)
{
	sqlite3_stmt *statement = NULL;
	int code = fsmeta_connection_prepare(&statement, update->connection,
	    "INSERT OR REPLACE INTO source (name, value) VALUES (?1, ?2)", error);

	if (code)
		return code;
	sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
	if (text)
		sqlite3_bind_text(statement, 2, text, -1, SQLITE_STATIC);
	else
		sqlite3_bind_int64(statement, 2, number);
	code = fsmeta_connection_run(update->connection, statement, error);
	sqlite3_finalize(statement);
	return code;
}

/** Ids that came from outside must be what ours are by making. */
static int check_adopted_ids(struct fsmeta_db_update *update, struct fsmeta_error *error)
{
	int64_t twice;
	int code = fsmeta_connection_integer(&twice, update->connection,
	    "SELECT id FROM (SELECT id FROM file UNION ALL SELECT id FROM folder)"
	    " GROUP BY id HAVING count(*) > 1 LIMIT 1",
	    0, error);

	if (!code && twice)
		code = fsmeta_error_set(error, FSMETA_E_CORRUPT, update->db->path, action,
		    "the stream says that its ids are stable, but %" PRId64 " comes twice", twice);
	return code;
}

static int settle_totals(struct fsmeta_db_update *update, struct fsmeta_error *error)
{
	uint64_t carried = update->totals.carried;
	int code = fsmeta_unknown_store(update, error);

	if (!code && (update->recount || (!update->base && carried)))
		return recount(update, error);
	if (!code && update->base)
		code = fsmeta_unknown_count(update, &update->totals.carried, error);
	return code;
}

/** The row as `log` shows it: the source with what only the database knows. */
static int describe(
    struct fsmeta_db_update *update, struct fsmeta_db_generation *out, struct fsmeta_error *error)
{
	*out = (struct fsmeta_db_generation){.number = update->number,
	    .base = update->base,
	    .added = update->added,
	    .removed = update->removed,
	    .modified = update->modified,
	    .moved = update->moved};
	if (update->section) {
		out->base = update->section->compared_with;
		out->added = update->section->added;
		out->removed = update->section->removed;
		out->modified = update->section->modified;
		out->moved = update->section->moved;
	}
	if (fsmeta_batch_source_copy(&out->source, update->source))
		return fsmeta_error_set_memory(error, action);
	out->source.generation = update->number;
	out->source.base_generation = 0;
	out->source.has_base_state_digest = false;
	out->source.id_kind = FSMETA_IDS_STABLE;
	out->source.has_totals = true;
	out->source.totals = update->totals;
	out->source.has_state_digest = true;
	out->source.state_digest = update->digest;
	return 0;
}

static int store_generation(struct fsmeta_db_update *update, struct fsmeta_error *error)
{
	struct fsmeta_db_generation generation;
	int code = describe(update, &generation, error);

	if (code)
		return code;
	code = fsmeta_generation_store(update->connection, &generation, update->first_id, error);
	fsmeta_db_generation_release(&generation);
	if (!code)
		code = set_property(update, "next_id", update->next_id, NULL, error);
	return code;
}

/** After a section of a delta everything must be as its sender had it. */
static int check_section(struct fsmeta_db_update *update, struct fsmeta_error *error)
{
	const struct fsmeta_totals *wanted = &update->section->source->totals;

	if (memcmp(wanted, &update->totals, sizeof(*wanted)) == 0 &&
	    fsmeta_digest_equal(update->digest, update->section->state_digest))
		return 0;
	return fsmeta_error_set(error, FSMETA_E_CORRUPT, update->db->path, action,
	    "with its changes generation %" PRIu64 " has %" PRIu64 " entries, %" PRIu64
	    " bytes, %" PRIu64 " carried; the delta says %" PRIu64 ", %" PRIu64 ", %" PRIu64 "%s",
	    update->number, update->totals.entries, update->totals.bytes, update->totals.carried,
	    wanted->entries, wanted->bytes, wanted->carried,
	    fsmeta_digest_equal(update->digest, update->section->state_digest)
		? ""
		: ", and another state digest");
}

int fsmeta_update_finish(struct fsmeta_db_update *update, struct fsmeta_error *error)
{
	int code = 0;

	if (update->failed)
		return fsmeta_error_set(error, FSMETA_E_INTERNAL, update->db->path, action,
		    "a change before could not be applied");
	if (update->displaced_count)
		return fsmeta_error_set(error, FSMETA_E_INTERNAL, update->db->path, action,
		    "%zu entries were moved away and did not arrive", update->displaced_count);
	if (!update->base && update->adopts_ids)
		code = check_adopted_ids(update, error);
	if (!code)
		code = fsmeta_identity_store(update->connection, update->source, error);
	if (!code)
		code = settle_totals(update, error);
	if (!code && update->section)
		code = check_section(update, error);
	return code ? code : store_generation(update, error);
}

int fsmeta_db_update_finish(struct fsmeta_db_update *update, struct fsmeta_error *error)
{
	int code = update->finished ? 0 : fsmeta_update_finish(update, error);

	update->finished = !code;
	update->failed |= code != 0;
	return code;
}

int fsmeta_db_update_commit(
    struct fsmeta_db_update *update, struct fsmeta_db_generation *out, struct fsmeta_error *error)
{
	struct fsmeta_db *db = update->db;
	uint64_t number = update->number;
	int code = fsmeta_db_update_finish(update, error);

	if (out) {
		*out = (struct fsmeta_db_generation){0};
		fsmeta_batch_source_init(&out->source);
	}
	if (!code && update->is_new_file) {
		code = fsmeta_newfile_commit(update, error);
	} else if (!code) {
		fsmeta_update_finalize(update);
		code = fsmeta_connection_execute(update->connection, "COMMIT", error);
	}
	/* After a commit there is nothing left to roll back. */
	fsmeta_db_update_abort(update);
	if (!code && out)
		code = fsmeta_db_generation(db, number, out, error);
	return code;
}

void fsmeta_db_update_abort(struct fsmeta_db_update *update)
{
	if (!update)
		return;
	fsmeta_update_finalize(update);
	if (update->is_new_file)
		fsmeta_newfile_abort(update);
	else if (!update->section && update->connection && update->db->connection.handle &&
		 !sqlite3_get_autocommit(update->db->connection.handle))
		sqlite3_exec(update->db->connection.handle, "ROLLBACK", NULL, NULL, NULL);
	update->db->connection.action = NULL;
	update->db->updating = false;
	fsmeta_walk_release(&update->now);
	fsmeta_walk_release(&update->was);
	fsmeta_dictionary_release(&update->dictionary);
	fsmeta_batch_source_release(&update->filesystems);
	fsmeta_buffer_release(&update->scratch);
	fsmeta_buffer_release(&update->inherited);
	free(update->devices);
	free(update->displaced);
	free(update->unknown.items);
	free(update);
}
