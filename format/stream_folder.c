/*
 * Streams as folders: where they come to stand, how they are recognised, and that
 * the two files in them belong together.
 *
 *     .NAME.fsmeta-XXXXXXXX/          NAME/
 *         entries.fss      ─ rename ─►    entries.fss     the stream
 *         source.json       or exchange   source.json     its trailer's BatchSource
 *         (paths.idx)                     (paths.idx)     where it was asked for
 *
 * source.json repeats what the trailer holds, so that people and scripts need no
 * reader to see what a stream is.  It is believed in nothing: who opens a folder
 * gets the trailer's BatchSource, and a source.json that names another source,
 * generation, state or start is reported, because then one of the two was
 * exchanged.
 */
#include "format/stream.h"

#include "format/delta.h"
#include "format/path_index.h"
#include "format/stream_reader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- recognising ------------------------------------------------------ */

/** A descriptor of the regular file `name`, or -1 with errno. */
static int open_regular(int folder_fd, const char *name, int flags)
{
	/* A FIFO of that name must not make us wait for a writer. */
	int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);
	struct stat status;
	int number = 0;

	if (fd < 0)
		return -1;
	if (fstat(fd, &status))
		number = errno;
	else if (!S_ISREG(status.st_mode))
		number = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
	if (!number)
		return fd;
	close(fd);
	errno = number;
	return -1;
}

static bool begins_like_stream(int folder_fd, const char *name, int flags)
{
	int fd = open_regular(folder_fd, name, flags);
	bool begins;

	if (fd < 0)
		return false;
	begins = fsmeta_stream_begins(fd);
	close(fd);
	return begins;
}

/** source.json of a folder; `out` is initialised here and released on failure. */
static int read_source(
    struct fsmeta_batch_source *out, int folder_fd, const char *path, struct fsmeta_error *error)
{
	struct fsmeta_buffer json = {0};
	int code;

	fsmeta_batch_source_init(out);
	code = fsmeta_read_file_at(
	    &json, folder_fd, FSMETA_STREAM_SOURCE_NAME, FSMETA_SOURCE_JSON_MAX_BYTES, error);
	if (!code)
		code = fsmeta_batch_source_from_json(
		    out, json.data ? (const char *)json.data : "", json.length, path, error);
	fsmeta_buffer_release(&json);
	return code;
}

static bool is_regular(int folder_fd, const char *name)
{
	struct stat status;

	return fstatat(folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(status.st_mode);
}

static bool has_source(int folder_fd, const char *path)
{
	struct fsmeta_batch_source source;

	if (read_source(&source, folder_fd, path, NULL))
		return false;
	fsmeta_batch_source_release(&source);
	return true;
}

/*
 * One of the two files is enough evidence where both are there: what is left of a
 * damaged stream must be refused as such, not pass for a live folder of two files.
 */
bool fsmeta_stream_is_folder(const char *path)
{
	int folder_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool is_stream;

	if (folder_fd < 0)
		return false;
	is_stream = is_regular(folder_fd, FSMETA_STREAM_ENTRIES_NAME) &&
		    is_regular(folder_fd, FSMETA_STREAM_SOURCE_NAME) &&
		    (begins_like_stream(folder_fd, FSMETA_STREAM_ENTRIES_NAME, O_NOFOLLOW) ||
			has_source(folder_fd, path));
	close(folder_fd);
	return is_stream;
}

bool fsmeta_stream_is_file(const char *path)
{
	return begins_like_stream(AT_FDCWD, path, 0);
}

/* ---- opening ---------------------------------------------------------- */

static bool text_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/** NULL, or in what source.json and trailer differ. */
static const char *compare_sources(
    const struct fsmeta_batch_source *json, const struct fsmeta_batch_source *trailer)
{
	if (!text_equal(json->source_id, trailer->source_id))
		return "the source id";
	if (json->generation != trailer->generation)
		return "the generation";
	if (!json->has_state_digest ||
	    !fsmeta_digest_equal(json->state_digest, trailer->state_digest))
		return "the state digest";
	if (json->base_generation != trailer->base_generation)
		return "the base generation";
	if (json->has_base_state_digest != trailer->has_base_state_digest ||
	    (json->has_base_state_digest &&
		!fsmeta_digest_equal(json->base_state_digest, trailer->base_state_digest)))
		return "the state digest of the base";
	if (fsmeta_time_compare(json->started, trailer->started))
		return "the time at which the scan started";
	return NULL;
}

int fsmeta_stream_check_source(int folder_fd, const char *path,
    const struct fsmeta_batch_source *trailer, struct fsmeta_error *error)
{
	struct fsmeta_batch_source json;
	const char *difference;
	int code;

	code = read_source(&json, folder_fd, path, error);
	if (code)
		return code;
	difference = compare_sources(&json, trailer);
	if (difference)
		code = fsmeta_error_set(error, FSMETA_E_CORRUPT, path, "opening a stream",
		    "%s in source.json is not that in entries.fss", difference);
	fsmeta_batch_source_release(&json);
	return code;
}

/**
 * Opens folder and entries.fss.  *out is a cursor, *folder_fd is to be closed by
 * the caller, also on failure where it is not -1.
 */
static int open_in_folder(struct fsmeta_cursor **out, int *folder_fd, const char *path,
    bool may_index, struct fsmeta_error *error)
{
	int fd;

	*out = NULL;
	*folder_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*folder_fd < 0)
		return fsmeta_error_set_errno(error, errno, path, "opening a stream");
	fd = open_regular(*folder_fd, FSMETA_STREAM_ENTRIES_NAME, O_NOFOLLOW);
	if (fd < 0)
		return fsmeta_error_set(error, FSMETA_E_FOREIGN, path, "opening a stream",
		    "it has no readable file %s: %s", FSMETA_STREAM_ENTRIES_NAME, strerror(errno));
	return fsmeta_stream_open_descriptor(out, fd, path, may_index, error);
}

int fsmeta_stream_open_folder(
    struct fsmeta_cursor **out, const char *path, struct fsmeta_error *error)
{
	struct fsmeta_cursor *cursor;
	int folder_fd;
	int code;

	*out = NULL;
	code = open_in_folder(&cursor, &folder_fd, path, true, error);
	if (!code)
		code = fsmeta_stream_check_source(folder_fd, path, cursor->source, error);
	if (folder_fd >= 0)
		close(folder_fd);
	if (code)
		fsmeta_cursor_close(cursor);
	else
		*out = cursor;
	return code;
}

static int open_file(
    struct fsmeta_cursor **out, const char *path, bool may_index, struct fsmeta_error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	*out = NULL;
	if (fd < 0)
		return fsmeta_error_set_errno(error, errno, path, "opening a stream");
	return fsmeta_stream_open_descriptor(out, fd, path, may_index, error);
}

int fsmeta_stream_open_file(
    struct fsmeta_cursor **out, const char *path, struct fsmeta_error *error)
{
	return open_file(out, path, true, error);
}

/* ---- verifying -------------------------------------------------------- */

/** Entries, totals and state digest as counted here. */
struct tally {
	struct fsmeta_totals totals;
	struct fsmeta_digest state_digest;
	/** Over paths and positions, as an index of paths must have it. */
	struct fsmeta_digest paths;
	bool with_paths;
	struct fsmeta_buffer scratch;
};

static int count_entry(struct tally *tally, const struct fsmeta_entry *entry,
    const struct fsmeta_batch_source *source, struct fsmeta_error *error)
{
	struct fsmeta_digest term;

	fsmeta_totals_count(&tally->totals, entry, 1);
	if (fsmeta_entry_digest(&term, entry, source->field_mask, source, &tally->scratch))
		return fsmeta_error_set_memory(error, "checking a stream");
	fsmeta_digest_add(&tally->state_digest, term);
	if (tally->with_paths)
		fsmeta_digest_add(&tally->paths,
		    fsmeta_path_index_term(entry->path, entry->path_length, tally->totals.entries));
	return 0;
}

static bool totals_equal(const struct fsmeta_totals *a, const struct fsmeta_totals *b)
{
	return a->entries == b->entries && a->files == b->files && a->folders == b->folders &&
	       a->symlinks == b->symlinks && a->others == b->others && a->bytes == b->bytes &&
	       a->allocated == b->allocated && a->unreadable == b->unreadable &&
	       a->carried == b->carried;
}

/** Reads the cursor, which is opened to be read forward, to its end. */
static int verify_cursor(struct fsmeta_stream_check *out, struct tally *tally,
    struct fsmeta_cursor *cursor, const volatile sig_atomic_t *stop, struct fsmeta_error *error)
{
	struct fsmeta_stream_progress progress;
	const struct fsmeta_entry *entry;
	int code;

	while ((code = fsmeta_cursor_next(cursor, &entry, error)) > 0) {
		code = count_entry(tally, entry, cursor->source, error);
		if (!code && stop && *stop)
			code = fsmeta_error_set(error, FSMETA_E_STOPPED, cursor->label,
			    "checking a stream", "stopped on request");
		if (code)
			break;
	}
	fsmeta_stream_get_progress(cursor, &progress);
	out->batches = progress.batches;
	out->file_bytes = progress.file_bytes;
	out->entries = tally->totals.entries;
	fsmeta_buffer_release(&tally->scratch);
	if (code)
		return code;
	if (!totals_equal(&tally->totals, &cursor->source->totals))
		return fsmeta_error_set(error, FSMETA_E_CORRUPT, cursor->label, "checking a stream",
		    "its entries do not sum up to its totals");
	if (!fsmeta_digest_equal(tally->state_digest, cursor->source->state_digest))
		return fsmeta_error_set(error, FSMETA_E_CORRUPT, cursor->label, "checking a stream",
		    "its entries do not have its state digest");
	return 0;
}

static bool is_folder(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/** The index of paths in the folder, if it has one, against what was read. */
static int verify_path_index(struct fsmeta_stream_check *out, const struct tally *tally,
    int folder_fd, const struct fsmeta_cursor *cursor, const volatile sig_atomic_t *stop,
    struct fsmeta_error *error)
{
	struct fsmeta_stream_progress progress;
	struct fsmeta_path_index *index;
	int code;

	fsmeta_stream_get_progress(cursor, &progress);
	code = fsmeta_path_index_open(&index, folder_fd, cursor->label, progress.records_digest,
	    tally->totals.entries, error);
	if (code || !index)
		return code;
	code = fsmeta_path_index_verify(index, tally->paths, stop, error);
	out->path_index_agrees = code == 0;
	fsmeta_path_index_close(index);
	return code;
}

int fsmeta_stream_verify(struct fsmeta_stream_check *out, const char *path,
    const volatile sig_atomic_t *stop, struct fsmeta_error *error)
{
	struct fsmeta_cursor *cursor;
	struct tally tally = {0};
	int folder_fd = -1;
	int code;

	*out = (struct fsmeta_stream_check){0};
	if (is_folder(path))
		code = open_in_folder(&cursor, &folder_fd, path, false, error);
	else
		code = open_file(&cursor, path, false, error);
	tally.with_paths =
	    !code && folder_fd >= 0 &&
	    faccessat(folder_fd, FSMETA_PATH_INDEX_NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	if (!code)
		code = verify_cursor(out, &tally, cursor, stop, error);
	if (!code && folder_fd >= 0) {
		code = fsmeta_stream_check_source(folder_fd, path, cursor->source, error);
		out->source_json_agrees = code == 0;
	}
	if (!code && folder_fd >= 0)
		code = verify_path_index(out, &tally, folder_fd, cursor, stop, error);
	fsmeta_cursor_close(cursor);
	if (folder_fd >= 0)
		close(folder_fd);
	return code;
}

/* ---- writing ---------------------------------------------------------- */

/** Where a stream is on its way to, a tree or a delta. */
struct place {
	/** Of entries.fss, or standard output. */
	int fd;
	bool is_stdout;
	/** For messages, *borrowed*. */
	const char *label;
	struct fsmeta_replace replace;
};

struct fsmeta_stream_output {
	struct fsmeta_stream_writer *writer;
	/** NULL = none wanted. */
	struct fsmeta_path_index_builder *path_index;
	struct place place;
};

struct fsmeta_delta_output {
	struct fsmeta_delta_writer *writer;
	struct place place;
	struct fsmeta_delta_summary summary;
};

static bool is_stream_name(const char *name)
{
	return strcmp(name, FSMETA_STREAM_ENTRIES_NAME) == 0 ||
	       strcmp(name, FSMETA_STREAM_SOURCE_NAME) == 0 ||
	       strcmp(name, FSMETA_PATH_INDEX_NAME) == 0 || strcmp(name, ".") == 0 ||
	       strcmp(name, "..") == 0;
}

/* What is replaced is removed, all of it: nothing else than a stream may lie in it. */
static int refuse_other_content(const char *path, struct fsmeta_error *error)
{
	DIR *folder = opendir(path);
	struct dirent *entry;
	int code = 0;

	if (!folder)
		return fsmeta_error_set_errno(error, errno, path, "writing a stream");
	do {
		errno = 0;
		entry = readdir(folder);
	} while (entry && is_stream_name(entry->d_name));
	if (entry)
		code = fsmeta_error_set(error, FSMETA_E_REFUSED, path, "writing a stream",
		    "the folder holds more than a stream: '%s' would be lost", entry->d_name);
	else if (errno)
		code = fsmeta_error_set_errno(error, errno, path, "writing a stream");
	closedir(folder);
	return code;
}

/** Only a stream may be replaced. */
static int judge_place(const char *path, struct fsmeta_error *error)
{
	struct stat status;

	if (lstat(path, &status)) {
		if (errno == ENOENT)
			return 0;
		return fsmeta_error_set_errno(error, errno, path, "writing a stream");
	}
	if (!S_ISDIR(status.st_mode))
		return fsmeta_error_set(error, FSMETA_E_REFUSED, path, "writing a stream",
		    "it exists and is no folder");
	if (!fsmeta_stream_is_folder(path))
		return fsmeta_error_set(error, FSMETA_E_REFUSED, path, "writing a stream",
		    "the folder exists and is no stream");
	return refuse_other_content(path, error);
}

static int place_open_folder(struct place *place, const char *path, struct fsmeta_error *error)
{
	int code = judge_place(path, error);

	if (!code)
		code = fsmeta_replace_folder_begin(&place->replace, path, 0777, error);
	if (code)
		return code;
	place->label = place->replace.path;
	place->fd = openat(place->replace.fd, FSMETA_STREAM_ENTRIES_NAME,
	    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (place->fd < 0)
		return fsmeta_error_set_errno(error, errno, path, "writing a stream");
	return 0;
}

/** To be closed on failure, too. */
static int place_open(struct place *place, const char *path, struct fsmeta_error *error)
{
	*place = (struct place){.fd = -1, .replace = {.fd = -1}};
	if (strcmp(path, "-") != 0)
		return place_open_folder(place, path, error);
	place->label = "standard output";
	place->is_stdout = true;
	place->fd = STDOUT_FILENO;
	if (isatty(place->fd))
		return fsmeta_error_set(error, FSMETA_E_USAGE, "-", "writing a stream",
		    "standard output is a terminal and a stream is binary");
	return 0;
}

/** Removes what was not committed. */
static void place_close(struct place *place)
{
	if (place->fd >= 0 && !place->is_stdout)
		close(place->fd);
	fsmeta_replace_abort(&place->replace);
}

/** fsync and close of a file that was written; the descriptor is gone in any case. */
static int sync_and_close(int *fd, const char *path, struct fsmeta_error *error)
{
	int number = fsync(*fd) ? errno : 0;

	if (close(*fd) && !number)
		number = errno;
	*fd = -1;
	return number ? fsmeta_error_set_errno(error, number, path, "writing a stream") : 0;
}

static int write_source(
    struct place *place, const struct fsmeta_buffer *json, struct fsmeta_error *error)
{
	const char *path = place->replace.path;
	int fd = openat(place->replace.fd, FSMETA_STREAM_SOURCE_NAME,
	    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	int code;

	if (fd < 0)
		return fsmeta_error_set_errno(error, errno, path, "writing source.json");
	code = fsmeta_write_all(fd, json->data, json->length, path, error);
	if (code)
		close(fd);
	else
		code = sync_and_close(&fd, path, error);
	return code;
}

static int write_path_index(struct place *place, struct fsmeta_path_index_builder *builder,
    struct fsmeta_digest records_digest, struct fsmeta_error *error)
{
	const char *path = place->replace.path;
	int fd = openat(place->replace.fd, FSMETA_PATH_INDEX_NAME,
	    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	int code;

	if (fd < 0)
		return fsmeta_error_set_errno(error, errno, path, "writing paths.idx");
	code = fsmeta_path_index_builder_write(builder, fd, path, records_digest, error);
	if (code)
		close(fd);
	else
		code = sync_and_close(&fd, path, error);
	return code;
}

/** Makes it durable, with `json` as source.json. */
static int place_sync(
    struct place *place, const struct fsmeta_buffer *json, struct fsmeta_error *error)
{
	int code = sync_and_close(&place->fd, place->replace.path, error);

	return code ? code : write_source(place, json, error);
}

/** Makes it visible. */
static int place_publish(struct place *place, struct fsmeta_error *error)
{
	/* Hours may have gone by, and somebody may have put something in. */
	int code = place->replace.existed ? judge_place(place->replace.path, error) : 0;

	if (code)
		return code;
	code = fsmeta_replace_commit(&place->replace, error);
	place->replace = (struct fsmeta_replace){.fd = -1};
	return code;
}

/* ---- a tree's output --------------------------------------------------- */

int fsmeta_stream_output_new(struct fsmeta_stream_output **out, const char *path,
    const struct fsmeta_batch_source *source, const struct fsmeta_stream_writer_options *options,
    struct fsmeta_error *error)
{
	struct fsmeta_stream_output *output = calloc(1, sizeof(*output));
	struct fsmeta_stream_writer_options own = {0};
	int code;

	*out = NULL;
	if (!output)
		return fsmeta_error_set_memory(error, "writing a stream");
	if (options)
		own = *options;
	code = place_open(&output->place, path, error);
	if (!code && own.with_path_index && output->place.is_stdout)
		code = fsmeta_error_set(error, FSMETA_E_USAGE, "-", "writing a stream",
		    "an index of paths stands beside it in a folder, which a pipe has not");
	if (!code && own.with_path_index)
		code = fsmeta_path_index_builder_new(&output->path_index, 0, error);
	own.path_index = output->path_index;
	if (!code)
		code = fsmeta_stream_writer_new(
		    &output->writer, output->place.fd, output->place.label, source, &own, error);
	if (code)
		fsmeta_stream_output_abort(output);
	else
		*out = output;
	return code;
}

struct fsmeta_stream_writer *fsmeta_stream_output_writer(struct fsmeta_stream_output *output)
{
	return output->writer;
}

int fsmeta_stream_output_commit(struct fsmeta_stream_output *output,
    struct fsmeta_stream_summary *summary, struct fsmeta_error *error)
{
	struct fsmeta_stream_summary own;
	struct fsmeta_buffer json = {0};
	int code;

	if (!summary)
		summary = &own;
	code = fsmeta_stream_writer_finish(output->writer, summary, &json, error);
	if (!code && output->path_index)
		code = write_path_index(
		    &output->place, output->path_index, summary->records_digest, error);
	if (!code && !output->place.is_stdout) {
		code = place_sync(&output->place, &json, error);
		if (!code)
			code = place_publish(&output->place, error);
	}
	fsmeta_buffer_release(&json);
	fsmeta_stream_output_abort(output);
	return code;
}

void fsmeta_stream_output_abort(struct fsmeta_stream_output *output)
{
	if (!output)
		return;
	fsmeta_stream_writer_free(output->writer);
	fsmeta_path_index_builder_free(output->path_index);
	place_close(&output->place);
	free(output);
}

/* ---- a delta's output -------------------------------------------------- */

int fsmeta_delta_output_new(struct fsmeta_delta_output **out, const char *path,
    uint64_t base_generation, uint64_t generation, struct fsmeta_error *error)
{
	struct fsmeta_delta_output *output = calloc(1, sizeof(*output));
	int code;

	*out = NULL;
	if (!output)
		return fsmeta_error_set_memory(error, "writing a delta");
	code = place_open(&output->place, path, error);
	if (!code)
		code = fsmeta_delta_writer_new(&output->writer, output->place.fd,
		    output->place.label, base_generation, generation, error);
	if (code)
		fsmeta_delta_output_abort(output);
	else
		*out = output;
	return code;
}

struct fsmeta_delta_writer *fsmeta_delta_output_writer(struct fsmeta_delta_output *output)
{
	return output->writer;
}

int fsmeta_delta_output_prepare(struct fsmeta_delta_output *output,
    const struct fsmeta_batch_source *source, struct fsmeta_error *error)
{
	struct fsmeta_buffer json = {0};
	int code;

	if (output->place.is_stdout)
		return 0;
	code = fsmeta_batch_source_to_json(&json, source, error);
	if (!code)
		code = fsmeta_delta_writer_finish(output->writer, &output->summary, error);
	if (!code)
		code = place_sync(&output->place, &json, error);
	fsmeta_buffer_release(&json);
	return code;
}

int fsmeta_delta_output_commit(struct fsmeta_delta_output *output,
    struct fsmeta_delta_summary *summary, struct fsmeta_error *error)
{
	int code = output->place.is_stdout
		       ? fsmeta_delta_writer_finish(output->writer, &output->summary, error)
		       : place_publish(&output->place, error);

	if (summary)
		*summary = output->summary;
	fsmeta_delta_output_abort(output);
	return code;
}

void fsmeta_delta_output_abort(struct fsmeta_delta_output *output)
{
	if (!output)
		return;
	fsmeta_delta_writer_free(output->writer);
	place_close(&output->place);
	free(output);
}
