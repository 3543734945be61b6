/*
 * The frame store.
 *
 * When may a frame go?  When nothing unfinished depends on it, and nothing that is being added
 * does. Both are decided in SQLite, in transactions that hold the write lock (BEGIN IMMEDIATE), so
 * they come one after the other, whoever asks:
 *
 *     finish   delete the task and its dependencies; add its successors; each of its frames without
 *              a dependency left: into `doomed`                                        COMMIT
 *              unlink the doomed                                                       then
 *              out of `doomed`                                                         then
 *     add      a frame in `doomed`, or without a file: refused; otherwise
 *              the task and its dependencies                                           COMMIT
 *
 * So a frame never goes early: once it is doomed, nobody can come to depend on it.  And none is
 * left: a crash between the steps leaves it in `doomed`, and the sweep goes on from there. Finished
 * tasks are deleted rows, so that "does anything depend on it" is one probe of an index, however
 * much was ever done.
 *
 * Saving does not touch SQLite.  The file is written without a name (O_TMPFILE) and linked when it
 * is whole: a crash leaves nothing at all.  What a reader saved and died before adding tasks is
 * found by the sweep: no task, and older than any reader needs.  Frames are not synced; after a
 * power cut a frame may be shorter than its header says, and loading it says so.
 *
 * Packing a cold frame writes the packed file beside, then unlinks the plain one, so a loader finds
 * one or the other; where the plain one is gone by then, somebody deleted the frame meanwhile, and
 * the packed one goes too.
 */
#include "archive/frame_store.h"

#include "archive/names.h"
#include "archive/sqlite_file.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

enum {
	/** "FSTK" */
	APPLICATION_ID = 0x4653544b,
	VERSION = 1,
	LEASE_S = 600,
	ORPHAN_S = 3600,
	PACK_LEVEL = 1,
	LOAD_ATTEMPTS = 3,
	NAME_BYTES = 64,
};

static const char schema[] =
    "CREATE TABLE task (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL,"
    " payload TEXT NOT NULL, active INTEGER NOT NULL DEFAULT 0,"
    " lease_until_us INTEGER NOT NULL DEFAULT 0);"
    "CREATE INDEX task_by_state ON task(active, id);"
    "CREATE TABLE dependency (ref TEXT NOT NULL, task INTEGER NOT NULL,"
    " PRIMARY KEY (ref, task)) WITHOUT ROWID;"
    "CREATE INDEX dependency_by_task ON dependency(task);"
    "CREATE TABLE doomed (ref TEXT PRIMARY KEY) WITHOUT ROWID;";

enum statement {
	BEGIN,
	COMMIT,
	ROLLBACK,
	ADD_TASK,
	ADD_DEPENDENCY,
	IS_DOOMED,
	NEXT_WAITING,
	NEXT_EXPIRED,
	CLAIM,
	DOOM_OF_TASK,
	DOOM_ONE,
	DELETE_DEPENDENCIES,
	DELETE_TASK,
	COUNT_DEPENDENTS,
	LIST_DOOMED,
	FORGET_DOOMED,
	STATEMENT_COUNT,
};

static const char *const texts[STATEMENT_COUNT] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [ADD_TASK] = "INSERT INTO task(kind, payload) VALUES(?1, ?2) RETURNING id",
    [ADD_DEPENDENCY] = "INSERT OR IGNORE INTO dependency(ref, task) VALUES(?1, ?2)",
    [IS_DOOMED] = "SELECT 1 FROM doomed WHERE ref = ?1",
    [NEXT_WAITING] = "SELECT id, kind, payload FROM task WHERE active = 0 ORDER BY id LIMIT 1",
    [NEXT_EXPIRED] = "SELECT id, kind, payload FROM task WHERE active = 1"
		     " AND lease_until_us <= ?1 ORDER BY id LIMIT 1",
    [CLAIM] = "UPDATE task SET active = 1, lease_until_us = ?2 WHERE id = ?1",
    /* What this task alone depends on. */
    [DOOM_OF_TASK] = "INSERT OR IGNORE INTO doomed SELECT ref FROM dependency AS mine"
		     " WHERE task = ?1 AND NOT EXISTS (SELECT 1 FROM dependency AS others"
		     " WHERE others.ref = mine.ref AND others.task <> ?1) RETURNING ref",
    [DOOM_ONE] = "INSERT OR IGNORE INTO doomed SELECT ?1 WHERE NOT EXISTS"
		 " (SELECT 1 FROM dependency WHERE ref = ?1) RETURNING ref",
    [DELETE_DEPENDENCIES] = "DELETE FROM dependency WHERE task = ?1",
    [DELETE_TASK] = "DELETE FROM task WHERE id = ?1 RETURNING id",
    [COUNT_DEPENDENTS] = "SELECT count(*) FROM dependency WHERE ref = ?1",
    [LIST_DOOMED] = "SELECT ref FROM doomed",
    [FORGET_DOOMED] = "DELETE FROM doomed WHERE ref = ?1",
};

struct fsmeta_frame_store {
	char *root;
	struct fsmeta_frame_store_options options;
	/** Around everything below. */
	pthread_mutex_t lock;
	struct fsmeta_sqlite_file file;
	sqlite3_stmt *statements[STATEMENT_COUNT];
};

static int64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- names ---- */

int fsmeta_payload_ref_format(char out[FSMETA_PAYLOAD_REF_BYTES], const char *video, uint64_t frame,
    struct fsmeta_error *error)
{
	int length = -1;

	if (fsmeta_names_is_stream(video) && frame <= INT64_MAX)
		length = snprintf(
		    out, FSMETA_PAYLOAD_REF_BYTES, "%s_%llu", video, (unsigned long long)frame);
	if (length < 0 || length >= FSMETA_PAYLOAD_REF_BYTES)
		return fsmeta_error_set(error, FSMETA_E_USAGE, video, "naming a frame",
		    "the video cannot be the name of a folder");
	return 0;
}

int fsmeta_payload_ref_parse(char video[FSMETA_PAYLOAD_REF_BYTES], uint64_t *frame, const char *ref,
    struct fsmeta_error *error)
{
	const char *mark = strrchr(ref, '_');
	size_t digits = mark ? fsmeta_names_number(frame, mark + 1, strlen(mark + 1)) : 0;

	if (mark && digits && !mark[1 + digits] && mark - ref < FSMETA_PAYLOAD_REF_BYTES) {
		memcpy(video, ref, (size_t)(mark - ref));
		video[mark - ref] = '\0';
		if (fsmeta_names_is_stream(video))
			return 0;
	}
	return fsmeta_error_set(
	    error, FSMETA_E_USAGE, ref, "naming a frame", "a payload_ref is VIDEO_N");
}

static char *frame_path(
    const struct fsmeta_frame_store *store, const char *video, uint64_t frame, const char *ending)
{
	return fsmeta_names_join_format(
	    store->root, "%s/frame_%06llu.npy%s", video, (unsigned long long)frame, ending);
}

static char *path_of_ref(const struct fsmeta_frame_store *store, const char *ref,
    const char *ending, struct fsmeta_error *error)
{
	char video[FSMETA_PAYLOAD_REF_BYTES];
	uint64_t frame;
	char *path;

	if (fsmeta_payload_ref_parse(video, &frame, ref, error))
		return NULL;
	path = frame_path(store, video, frame, ending);
	if (!path)
		fsmeta_error_set_memory(error, "naming a frame");
	return path;
}

/** "frame_000012.npy" or with ".zst": the frame's number.  Six digits at least, as it is written.
 */
static bool parse_frame_name(uint64_t *frame, bool *is_packed, const char *name)
{
	char again[NAME_BYTES];
	unsigned long long number;

	if (sscanf(name, "frame_%18llu.npy", &number) != 1)
		return false;
	snprintf(again, sizeof(again), "frame_%06llu.npy", number);
	*frame = number;
	*is_packed =
	    strncmp(name, again, strlen(again)) == 0 && strcmp(name + strlen(again), ".zst") == 0;
	return *is_packed || strcmp(name, again) == 0;
}

/* ---- opening ---- */

static sqlite3_stmt *statement(struct fsmeta_frame_store *store, enum statement which)
{
	return store->statements[which];
}

int fsmeta_frame_store_open(struct fsmeta_frame_store **out, const char *root,
    const struct fsmeta_frame_store_options *options, struct fsmeta_error *error)
{
	struct fsmeta_frame_store *store = calloc(1, sizeof(*store));
	char *path = fsmeta_names_join(root, FSMETA_FRAME_STORE_TASKS);
	int code;

	*out = NULL;
	if (!store || !path || !(store->root = strdup(root))) {
		free(store);
		free(path);
		return fsmeta_error_set_memory(error, "opening the frame store");
	}
	if (options)
		store->options = *options;
	if (!store->options.lease_us)
		store->options.lease_us = (int64_t)LEASE_S * 1000000;
	if (!store->options.orphan_us)
		store->options.orphan_us = (int64_t)ORPHAN_S * 1000000;
	pthread_mutex_init(&store->lock, NULL);
	code = fsmeta_names_make_folder(root, error);
	if (!code)
		code = fsmeta_sqlite_file_open(&store->file, path, true, store->options.durable,
		    APPLICATION_ID, VERSION, schema, error);
	for (int i = 0; i < STATEMENT_COUNT && !code; i++)
		code = fsmeta_sqlite_file_prepare(
		    &store->statements[i], &store->file, texts[i], error);
	free(path);
	if (code)
		fsmeta_frame_store_close(store);
	else
		*out = store;
	return code;
}

void fsmeta_frame_store_close(struct fsmeta_frame_store *store)
{
	if (!store)
		return;
	for (int i = 0; i < STATEMENT_COUNT; i++)
		sqlite3_finalize(store->statements[i]);
	fsmeta_sqlite_file_close(&store->file);
	pthread_mutex_destroy(&store->lock);
	free(store->root);
	free(store);
}

/* ---- saving ---- */

/** Header and data in one call; what it does not take goes in further ones. */
static int write_frame(int fd, const struct fsmeta_buffer *header, const void *data,
    size_t data_bytes, const char *path, struct fsmeta_error *error)
{
	union {
		const void *borrowed;
		void *base;
	} body = {.borrowed = data};
	struct iovec parts[2] = {
	    {.iov_base = header->data, .iov_len = header->length},
	    {.iov_base = body.base, .iov_len = data_bytes},
	};
	ssize_t written = writev(fd, parts, 2);
	size_t done = written > 0 ? (size_t)written : 0;
	int code = 0;

	if (written < 0 && errno != EINTR && errno != EAGAIN)
		return fsmeta_error_set_errno(error, errno, path, "saving a frame");
	if (done < header->length) {
		code =
		    fsmeta_write_all(fd, header->data + done, header->length - done, path, error);
		done = header->length;
	}
	done -= header->length;
	if (!code && done < data_bytes)
		code =
		    fsmeta_write_all(fd, (const char *)data + done, data_bytes - done, path, error);
	return code;
}

/** A file without a name in the folder of `path`, or where that cannot be one with a hidden name.
 */
static int open_nameless(
    int *fd, char **hidden, const char *folder, const char *path, struct fsmeta_error *error)
{
	*hidden = NULL;
	*fd = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
	if (*fd >= 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
		return fsmeta_error_set_errno(error, errno, path, "saving a frame");
	*hidden = fsmeta_names_join_format(
	    folder, ".saving-%d-%llx", (int)getpid(), (unsigned long long)(uintptr_t)hidden);
	if (!*hidden)
		return fsmeta_error_set_memory(error, "saving a frame");
	*fd = open(*hidden, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
	return *fd < 0 ? fsmeta_error_set_errno(error, errno, *hidden, "saving a frame") : 0;
}

static int give_name(int fd, const char *hidden, const char *path, struct fsmeta_error *error)
{
	char self[NAME_BYTES];
	int result;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	result =
	    hidden ? link(hidden, path) : linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
	if (result == 0)
		return 0;
	if (errno == EEXIST)
		return fsmeta_error_set(error, FSMETA_E_REFUSED, path, "saving a frame",
		    "it is there already, and frames do not change");
	return fsmeta_error_set_errno(error, errno, path, "saving a frame");
}

static int save_bytes(const char *folder, const char *path, const struct fsmeta_buffer *header,
    const void *data, size_t data_bytes, struct fsmeta_error *error)
{
	char *hidden = NULL;
	int fd = -1;
	int code = open_nameless(&fd, &hidden, folder, path, error);

	if (!code)
		code = write_frame(fd, header, data, data_bytes, path, error);
	if (!code)
		code = give_name(fd, hidden, path, error);
	if (hidden && fd >= 0)
		unlink(hidden);
	if (fd >= 0)
		close(fd);
	free(hidden);
	return code;
}

int fsmeta_frame_store_save(struct fsmeta_frame_store *store, const char *video, uint64_t frame,
    const struct fsmeta_npy *given, const void *data, size_t data_bytes,
    char ref[FSMETA_PAYLOAD_REF_BYTES], struct fsmeta_error *error)
{
	struct fsmeta_npy array = *given;
	struct fsmeta_buffer header = {0};
	char own_ref[FSMETA_PAYLOAD_REF_BYTES];
	char *folder = NULL, *path = NULL, *packed = NULL;
	int code = fsmeta_payload_ref_format(ref ? ref : own_ref, video, frame, error);

	if (!code)
		code = fsmeta_npy_append_header(&header, &array, error);
	if (!code && array.data_bytes != data_bytes)
		code = fsmeta_error_set(error, FSMETA_E_USAGE, video, "saving a frame",
		    "its shape asks for %llu bytes, and there are %zu",
		    (unsigned long long)array.data_bytes, data_bytes);
	if (code)
		goto done;
	folder = fsmeta_names_join(store->root, video);
	path = frame_path(store, video, frame, "");
	packed = frame_path(store, video, frame, ".zst");
	if (!folder || !path || !packed) {
		code = fsmeta_error_set_memory(error, "saving a frame");
		goto done;
	}
	if (access(packed, F_OK) == 0)
		code = fsmeta_error_set(error, FSMETA_E_REFUSED, path, "saving a frame",
		    "it is there already, and frames do not change");
	if (!code)
		code = save_bytes(folder, path, &header, data, data_bytes, error);
	/* The first of its video. */
	if (code == FSMETA_E_SYSTEM && access(folder, F_OK) < 0 && errno == ENOENT) {
		fsmeta_error_clear(error);
		code = fsmeta_names_make_folder(folder, error);
		if (!code)
			code = save_bytes(folder, path, &header, data, data_bytes, error);
	}
done:
	fsmeta_buffer_release(&header);
	free(folder);
	free(path);
	free(packed);
	return code;
}

/* ---- loading ---- */

void fsmeta_frame_release(struct fsmeta_frame *frame)
{
	if (frame->is_mapped)
		munmap(frame->memory, frame->memory_bytes);
	else
		free(frame->memory);
	*frame = (struct fsmeta_frame){0};
}

static int take_header(struct fsmeta_frame *frame, const char *path, struct fsmeta_error *error)
{
	int code = fsmeta_npy_parse(&frame->array, frame->memory, frame->memory_bytes, path, error);

	if (code)
		return code;
	if (frame->array.data_bytes > frame->memory_bytes - frame->array.data_offset)
		return fsmeta_error_set_at(error, FSMETA_E_TRUNCATED, path,
		    (int64_t)frame->memory_bytes, "loading a frame",
		    "it should have %llu bytes of data",
		    (unsigned long long)frame->array.data_bytes);
	frame->data = frame->memory + frame->array.data_offset;
	return 0;
}

static int read_memory(struct fsmeta_frame *frame, int fd, size_t size, bool map, const char *path,
    struct fsmeta_error *error)
{
	static const char action[] = "loading a frame";
	size_t got;
	int code;

	frame->memory_bytes = size;
	if (map && size) {
		void *mapped = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

		if (mapped == MAP_FAILED)
			return fsmeta_error_set_errno(error, errno, path, action);
		frame->memory = mapped;
		frame->is_mapped = true;
		return 0;
	}
	frame->memory = malloc(size ? size : 1);
	if (!frame->memory)
		return fsmeta_error_set_memory(error, action);
	code = fsmeta_read_full(fd, frame->memory, size, &got, path, error);
	frame->memory_bytes = got;
	return code;
}

static int unpack(struct fsmeta_frame *frame, const char *path, struct fsmeta_error *error)
{
	unsigned long long size = ZSTD_getFrameContentSize(frame->memory, frame->memory_bytes);
	unsigned char *plain;
	size_t got;

	if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN ||
	    size > SIZE_MAX / 2)
		return fsmeta_error_set(error, FSMETA_E_CORRUPT, path, "unpacking a frame",
		    "it does not say how large it is");
	plain = malloc(size ? (size_t)size : 1);
	if (!plain)
		return fsmeta_error_set_memory(error, "unpacking a frame");
	got = ZSTD_decompress(plain, (size_t)size, frame->memory, frame->memory_bytes);
	if (ZSTD_isError(got) || got != size) {
		free(plain);
		return fsmeta_error_set(error, FSMETA_E_CORRUPT, path, "unpacking a frame", "%s",
		    ZSTD_isError(got) ? ZSTD_getErrorName(got) : "it is shorter than it says");
	}
	free(frame->memory);
	frame->memory = plain;
	frame->memory_bytes = got;
	return 0;
}

/** FSMETA_E_NOT_FOUND where there is no file of that name. */
static int load_file(const struct fsmeta_frame_store *store, struct fsmeta_frame *out,
    const char *path, bool packed, bool map, struct fsmeta_error *error)
{
	static const struct timespec used[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	int code;

	*out = (struct fsmeta_frame){0};
	if (fd < 0 && errno == ENOENT)
		return FSMETA_E_NOT_FOUND;
	if (fd < 0)
		return fsmeta_error_set_errno(error, errno, path, "loading a frame");
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
		code = fsmeta_error_set(
		    error, FSMETA_E_FOREIGN, path, "loading a frame", "it is not a regular file");
	else
		code = read_memory(out, fd, (size_t)status.st_size, map && !packed, path, error);
	if (!code && packed)
		code = unpack(out, path, error);
	if (!code)
		code = take_header(out, path, error);
	if (!code && store->options.track_use && futimens(fd, used) < 0)
		code = 0; /* Not ours, or read-only: then it counts as not used. */
	close(fd);
	if (code)
		fsmeta_frame_release(out);
	return code;
}

static int load(struct fsmeta_frame_store *store, const char *ref, bool map,
    struct fsmeta_frame *out, struct fsmeta_error *error)
{
	char *plain = path_of_ref(store, ref, "", error);
	char *packed = plain ? path_of_ref(store, ref, ".zst", error) : NULL;
	int code = FSMETA_E_NOT_FOUND;

	if (!packed) {
		code = plain                  ? FSMETA_E_MEMORY
		       : error && error->code ? error->code
					      : FSMETA_E_USAGE;
		goto done;
	}
	for (int attempt = 0; attempt < LOAD_ATTEMPTS && code == FSMETA_E_NOT_FOUND; attempt++) {
		code = load_file(store, out, plain, false, map, error);
		if (code == FSMETA_E_NOT_FOUND)
			code = load_file(store, out, packed, true, map, error);
	}
	if (code == FSMETA_E_NOT_FOUND)
		fsmeta_error_set(
		    error, code, plain, "loading a frame", "there is no frame %s", ref);
done:
	free(plain);
	free(packed);
	return code;
}

int fsmeta_frame_store_load(struct fsmeta_frame_store *store, const char *ref,
    struct fsmeta_frame *out, struct fsmeta_error *error)
{
	return load(store, ref, false, out, error);
}

int fsmeta_frame_store_map(struct fsmeta_frame_store *store, const char *ref,
    struct fsmeta_frame *out, struct fsmeta_error *error)
{
	return load(store, ref, true, out, error);
}

/* ---- deleting ---- */

static int remove_file(const char *path, struct fsmeta_error *error)
{
	if (unlink(path) < 0 && errno != ENOENT)
		return fsmeta_error_set_errno(error, errno, path, "deleting a frame");
	return 0;
}

/** Plain before packed: whoever packs it meanwhile sees that it went. */
int fsmeta_frame_store_delete(
    struct fsmeta_frame_store *store, const char *ref, struct fsmeta_error *error)
{
	char *plain = path_of_ref(store, ref, "", error);
	char *packed = plain ? path_of_ref(store, ref, ".zst", error) : NULL;
	int code = FSMETA_E_USAGE;

	if (packed)
		code = remove_file(plain, error);
	if (!code)
		code = remove_file(packed, error);
	free(plain);
	free(packed);
	return code;
}

static bool frame_exists(const struct fsmeta_frame_store *store, const char *ref)
{
	char *plain = path_of_ref(store, ref, "", NULL);
	char *packed = plain ? path_of_ref(store, ref, ".zst", NULL) : NULL;
	bool exists = packed && (access(plain, F_OK) == 0 || access(packed, F_OK) == 0 ||
				    access(plain, F_OK) == 0);

	free(plain);
	free(packed);
	return exists;
}

/* ---- tasks: with the lock ---- */

static int run(struct fsmeta_frame_store *store, enum statement which, struct fsmeta_error *error)
{
	return fsmeta_sqlite_file_run(&store->file, statement(store, which), error);
}

static int step(struct fsmeta_frame_store *store, enum statement which, struct fsmeta_error *error)
{
	return fsmeta_sqlite_file_step(&store->file, statement(store, which), error);
}

/** Ends the transaction as `code` says, and returns it or what ending it gave. */
static int end(struct fsmeta_frame_store *store, int code, struct fsmeta_error *error)
{
	if (code >= 0) {
		int committed = run(store, COMMIT, error);

		if (!committed)
			return code;
		code = committed;
	}
	run(store, ROLLBACK, NULL);
	return code;
}

/** Within a transaction. */
static int is_doomed(struct fsmeta_frame_store *store, const char *ref, struct fsmeta_error *error)
{
	int code;

	sqlite3_bind_text(statement(store, IS_DOOMED), 1, ref, -1, SQLITE_STATIC);
	code = step(store, IS_DOOMED, error);
	sqlite3_reset(statement(store, IS_DOOMED));
	return code;
}

static int add_dependency(
    struct fsmeta_frame_store *store, int64_t task, const char *ref, struct fsmeta_error *error)
{
	sqlite3_stmt *add = statement(store, ADD_DEPENDENCY);
	int code = is_doomed(store, ref, error);

	if (code < 0)
		return code;
	if (code || !frame_exists(store, ref))
		return fsmeta_error_set(error, FSMETA_E_NOT_FOUND, store->root, "adding a task",
		    "there is no frame %s, or no more", ref);
	sqlite3_bind_text(add, 1, ref, -1, SQLITE_STATIC);
	sqlite3_bind_int64(add, 2, task);
	return fsmeta_sqlite_file_run(&store->file, add, error);
}

static int add_task(
    struct fsmeta_frame_store *store, struct fsmeta_task *task, struct fsmeta_error *error)
{
	sqlite3_stmt *add = statement(store, ADD_TASK);
	int code;

	if (task->frame_count > FSMETA_TASK_FRAMES_MAX)
		return fsmeta_error_set(error, FSMETA_E_LIMIT, store->root, "adding a task",
		    "it depends on more than %d frames", FSMETA_TASK_FRAMES_MAX);
	sqlite3_bind_text(add, 1, task->kind ? task->kind : "", -1, SQLITE_STATIC);
	sqlite3_bind_text(add, 2, task->payload ? task->payload : "", -1, SQLITE_STATIC);
	code = fsmeta_sqlite_file_step(&store->file, add, error);
	if (code < 0)
		return code;
	task->id = sqlite3_column_int64(add, 0);
	sqlite3_reset(add);
	code = 0;
	for (size_t i = 0; i < task->frame_count && !code; i++)
		code = add_dependency(store, task->id, task->frames[i], error);
	return code;
}

int fsmeta_frame_store_add_task(
    struct fsmeta_frame_store *store, struct fsmeta_task *task, struct fsmeta_error *error)
{
	int code;

	pthread_mutex_lock(&store->lock);
	code = run(store, BEGIN, error);
	if (!code)
		code = end(store, add_task(store, task, error), error);
	pthread_mutex_unlock(&store->lock);
	return code;
}

static int take_claim(struct fsmeta_frame_store *store, enum statement which,
    struct fsmeta_claimed_task *out, struct fsmeta_error *error)
{
	sqlite3_stmt *next = statement(store, which), *claim = statement(store, CLAIM);
	int code = fsmeta_sqlite_file_step(&store->file, next, error);

	if (code <= 0)
		return code;
	out->id = sqlite3_column_int64(next, 0);
	out->kind = strdup((const char *)sqlite3_column_text(next, 1));
	out->payload = strdup((const char *)sqlite3_column_text(next, 2));
	sqlite3_reset(next);
	if (!out->kind || !out->payload)
		return fsmeta_error_set_memory(error, "claiming a task");
	sqlite3_bind_int64(claim, 1, out->id);
	sqlite3_bind_int64(claim, 2, now_us() + store->options.lease_us);
	code = fsmeta_sqlite_file_run(&store->file, claim, error);
	return code ? code : 1;
}

int fsmeta_frame_store_claim(
    struct fsmeta_frame_store *store, struct fsmeta_claimed_task *out, struct fsmeta_error *error)
{
	int code;

	*out = (struct fsmeta_claimed_task){0};
	pthread_mutex_lock(&store->lock);
	code = run(store, BEGIN, error);
	if (!code) {
		code = take_claim(store, NEXT_WAITING, out, error);
		sqlite3_bind_int64(statement(store, NEXT_EXPIRED), 1, now_us());
		if (!code)
			code = take_claim(store, NEXT_EXPIRED, out, error);
		code = end(store, code, error);
	}
	pthread_mutex_unlock(&store->lock);
	if (code <= 0)
		fsmeta_claimed_task_release(out);
	return code;
}

void fsmeta_claimed_task_release(struct fsmeta_claimed_task *task)
{
	free(task->kind);
	free(task->payload);
	*task = (struct fsmeta_claimed_task){0};
}

/** Refs that were doomed, NUL behind each. */
static int collect_refs(struct fsmeta_frame_store *store, enum statement which,
    struct fsmeta_buffer *refs, struct fsmeta_error *error)
{
	sqlite3_stmt *rows = statement(store, which);
	int code;

	while ((code = fsmeta_sqlite_file_step(&store->file, rows, error)) > 0) {
		const char *ref = (const char *)sqlite3_column_text(rows, 0);

		if (!ref || fsmeta_buffer_append(refs, ref, strlen(ref) + 1)) {
			code = fsmeta_error_set_memory(error, "collecting frames");
			break;
		}
	}
	sqlite3_reset(rows);
	return code;
}

static int finish_task(struct fsmeta_frame_store *store, int64_t task,
    struct fsmeta_task *successors, size_t successor_count, struct fsmeta_buffer *refs,
    struct fsmeta_error *error)
{
	int code = 0;

	sqlite3_bind_int64(statement(store, DELETE_TASK), 1, task);
	sqlite3_bind_int64(statement(store, DOOM_OF_TASK), 1, task);
	sqlite3_bind_int64(statement(store, DELETE_DEPENDENCIES), 1, task);
	code = step(store, DELETE_TASK, error);
	sqlite3_reset(statement(store, DELETE_TASK));
	if (code < 0)
		return code;
	if (!code)
		return fsmeta_error_set(error, FSMETA_E_NOT_FOUND, store->root, "finishing a task",
		    "task %lld is no more", (long long)task);
	code = 0;
	/* Before what this task needs is doomed, so that it is theirs. */
	for (size_t i = 0; i < successor_count && !code; i++)
		code = add_task(store, &successors[i], error);
	if (!code)
		code = collect_refs(store, DOOM_OF_TASK, refs, error);
	if (!code)
		code = run(store, DELETE_DEPENDENCIES, error);
	return code;
}

/** Deletes the files of what is doomed, then forgets it.  Without the lock but for that. */
static int delete_doomed(struct fsmeta_frame_store *store, const struct fsmeta_buffer *refs,
    uint64_t *deleted, struct fsmeta_error *error)
{
	const char *ref = (const char *)refs->data, *behind;
	int code = 0;

	if (!refs->length)
		return 0;
	behind = ref + refs->length;
	if (store->options.dry_run) {
		for (const char *at = ref; at < behind; at += strlen(at) + 1)
			++*deleted;
		return 0;
	}
	for (const char *at = ref; at < behind && !code; at += strlen(at) + 1)
		code = fsmeta_frame_store_delete(store, at, error);
	if (code)
		return code;
	pthread_mutex_lock(&store->lock);
	code = run(store, BEGIN, error);
	if (!code) {
		for (const char *at = ref; at < behind && !code; at += strlen(at) + 1) {
			sqlite3_bind_text(
			    statement(store, FORGET_DOOMED), 1, at, -1, SQLITE_STATIC);
			code = run(store, FORGET_DOOMED, error);
			++*deleted;
		}
		code = end(store, code, error);
	}
	pthread_mutex_unlock(&store->lock);
	return code;
}

int fsmeta_frame_store_finish(struct fsmeta_frame_store *store, int64_t task,
    struct fsmeta_task *successors, size_t successor_count, uint64_t *deleted,
    struct fsmeta_error *error)
{
	struct fsmeta_buffer refs = {0};
	uint64_t count = 0;
	int code;

	pthread_mutex_lock(&store->lock);
	code = run(store, BEGIN, error);
	if (!code)
		code = end(store,
		    finish_task(store, task, successors, successor_count, &refs, error), error);
	pthread_mutex_unlock(&store->lock);
	if (!code)
		code = delete_doomed(store, &refs, &count, error);
	if (deleted)
		*deleted = count;
	fsmeta_buffer_release(&refs);
	return code;
}

int fsmeta_frame_store_count_dependents(
    struct fsmeta_frame_store *store, const char *ref, uint64_t *count, struct fsmeta_error *error)
{
	sqlite3_stmt *counting = statement(store, COUNT_DEPENDENTS);
	int code;

	*count = 0;
	pthread_mutex_lock(&store->lock);
	sqlite3_bind_text(counting, 1, ref, -1, SQLITE_STATIC);
	code = fsmeta_sqlite_file_step(&store->file, counting, error);
	if (code > 0)
		*count = (uint64_t)sqlite3_column_int64(counting, 0);
	sqlite3_reset(counting);
	pthread_mutex_unlock(&store->lock);
	return code < 0 ? code : 0;
}

/* ---- keeping ---- */

/** A frame as it lies on the disk. */
struct found_frame {
	char ref[FSMETA_PAYLOAD_REF_BYTES];
	uint64_t bytes;
	/** When it was saved or used last. */
	int64_t used_us;
	bool is_packed;
};

/** Visits a frame; `error` may be filled with a code other than 0, which ends it. */
typedef int visit_frame(struct fsmeta_frame_store *store, const char *folder,
    const struct found_frame *frame, void *payload, struct fsmeta_error *error);

static int64_t to_us(struct timespec time)
{
	return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

/** Halves that a crash left where files cannot be without a name. */
static void remove_half(const struct fsmeta_frame_store *store, const char *path,
    const struct stat *status, uint64_t *orphans)
{
	if (orphans && to_us(status->st_mtim) < now_us() - store->options.orphan_us)
		*orphans += store->options.dry_run || unlink(path) == 0;
}

static int visit_name(struct fsmeta_frame_store *store, const char *video, const char *folder,
    const char *name, uint64_t *orphans, visit_frame *visit, void *payload,
    struct fsmeta_error *error)
{
	struct found_frame frame = {0};
	struct stat status;
	uint64_t number;
	char *path = fsmeta_names_join(folder, name);
	int code = path ? 0 : fsmeta_error_set_memory(error, "looking through frames");

	if (!code && lstat(path, &status) == 0 && S_ISREG(status.st_mode)) {
		if (strncmp(name, ".saving-", 8) == 0) {
			remove_half(store, path, &status, orphans);
		} else if (parse_frame_name(&number, &frame.is_packed, name) &&
			   fsmeta_payload_ref_format(frame.ref, video, number, NULL) == 0) {
			int64_t read_us = to_us(status.st_atim);

			frame.bytes = (uint64_t)status.st_size;
			frame.used_us = to_us(status.st_mtim);
			if (store->options.track_use && read_us > frame.used_us)
				frame.used_us = read_us;
			code = visit(store, folder, &frame, payload, error);
		}
	}
	free(path);
	return code;
}

static bool is_link(const char *path)
{
	struct stat status;

	return lstat(path, &status) == 0 && S_ISLNK(status.st_mode);
}

static int visit_video(struct fsmeta_frame_store *store, const char *video, uint64_t *orphans,
    visit_frame *visit, void *payload, struct fsmeta_error *error)
{
	struct fsmeta_names names;
	struct fsmeta_error local;
	char *folder = fsmeta_names_join(store->root, video);
	int code;

	if (!folder)
		return fsmeta_error_set_memory(error, "looking through frames");
	/* What is taken away lies in ROOT. */
	if (is_link(folder)) {
		free(folder);
		return 0;
	}
	fsmeta_error_clear(&local);
	code = fsmeta_names_list(&names, folder, &local);
	/* tasks.db and what stands beside it. */
	if (code && (local.system_errno == ENOTDIR || local.system_errno == ENOENT))
		code = 0;
	else if (code && error)
		*error = local;
	for (size_t i = 0; i < names.count && !code; i++)
		code = visit_name(
		    store, video, folder, names.items[i], orphans, visit, payload, error);
	fsmeta_names_release(&names);
	free(folder);
	return code;
}

static int visit_frames(struct fsmeta_frame_store *store, uint64_t *orphans, visit_frame *visit,
    void *payload, struct fsmeta_error *error)
{
	struct fsmeta_names names;
	int code = fsmeta_names_list(&names, store->root, error);

	for (size_t i = 0; i < names.count && !code; i++)
		if (fsmeta_names_is_stream(names.items[i]))
			code = visit_video(store, names.items[i], orphans, visit, payload, error);
	fsmeta_names_release(&names);
	return code;
}

/** Counts a frame that would be deleted now; those that are doomed are counted as such. */
static int count_if_free(struct fsmeta_frame_store *store, const char *ref, uint64_t *deleted,
    struct fsmeta_error *error)
{
	uint64_t dependents;
	int code = fsmeta_frame_store_count_dependents(store, ref, &dependents, error);

	if (code || dependents)
		return code;
	pthread_mutex_lock(&store->lock);
	code = is_doomed(store, ref, error);
	pthread_mutex_unlock(&store->lock);
	*deleted += !code;
	return code < 0 ? code : 0;
}

/** Deletes a frame on which nothing depends; *deleted counts it. */
static int delete_if_free(struct fsmeta_frame_store *store, const char *ref, uint64_t *deleted,
    struct fsmeta_error *error)
{
	struct fsmeta_buffer refs = {0};
	int code;

	if (store->options.dry_run)
		return count_if_free(store, ref, deleted, error);
	pthread_mutex_lock(&store->lock);
	code = run(store, BEGIN, error);
	if (!code) {
		sqlite3_bind_text(statement(store, DOOM_ONE), 1, ref, -1, SQLITE_STATIC);
		code = end(store, collect_refs(store, DOOM_ONE, &refs, error), error);
	}
	pthread_mutex_unlock(&store->lock);
	if (!code)
		code = delete_doomed(store, &refs, deleted, error);
	fsmeta_buffer_release(&refs);
	return code;
}

static int sweep_frame(struct fsmeta_frame_store *store, const char *folder,
    const struct found_frame *frame, void *payload, struct fsmeta_error *error)
{
	uint64_t *orphans = payload;

	(void)folder;
	if (frame->used_us > now_us() - store->options.orphan_us)
		return 0;
	return delete_if_free(store, frame->ref, orphans, error);
}

int fsmeta_frame_store_sweep(struct fsmeta_frame_store *store, struct fsmeta_frame_store_swept *out,
    struct fsmeta_error *error)
{
	struct fsmeta_buffer refs = {0};
	int code;

	*out = (struct fsmeta_frame_store_swept){0};
	pthread_mutex_lock(&store->lock);
	code = collect_refs(store, LIST_DOOMED, &refs, error);
	pthread_mutex_unlock(&store->lock);
	if (!code)
		code = delete_doomed(store, &refs, &out->finished, error);
	if (!code)
		code = visit_frames(store, &out->orphans, sweep_frame, &out->orphans, error);
	fsmeta_buffer_release(&refs);
	return code;
}

/** All frames, for trimming. */
struct found_frames {
	struct found_frame *items;
	size_t count;
	size_t capacity;
	uint64_t bytes;
};

static int keep_frame(struct fsmeta_frame_store *store, const char *folder,
    const struct found_frame *frame, void *payload, struct fsmeta_error *error)
{
	struct found_frames *frames = payload;

	(void)store;
	(void)folder;
	if (frames->count == frames->capacity) {
		size_t capacity = frames->capacity ? 2 * frames->capacity : 256;
		struct found_frame *items = realloc(frames->items, capacity * sizeof(*items));

		if (!items)
			return fsmeta_error_set_memory(error, "trimming the frame store");
		frames->items = items;
		frames->capacity = capacity;
	}
	frames->items[frames->count++] = *frame;
	frames->bytes += frame->bytes;
	return 0;
}

static int compare_use(const void *a, const void *b)
{
	const struct found_frame *one = a, *other = b;

	return (one->used_us > other->used_us) - (one->used_us < other->used_us);
}

int fsmeta_frame_store_trim(struct fsmeta_frame_store *store, uint64_t budget_bytes,
    uint64_t *deleted, struct fsmeta_error *error)
{
	struct found_frames frames = {0};
	int code = visit_frames(store, NULL, keep_frame, &frames, error);

	*deleted = 0;
	if (!code && frames.count)
		qsort(frames.items, frames.count, sizeof(*frames.items), compare_use);
	for (size_t i = 0; i < frames.count && !code && frames.bytes > budget_bytes; i++) {
		uint64_t before = *deleted;

		code = delete_if_free(store, frames.items[i].ref, deleted, error);
		if (*deleted > before)
			frames.bytes -= frames.items[i].bytes;
	}
	free(frames.items);
	return code;
}

/** What packing asks for. */
struct packing {
	int64_t before_us;
	uint64_t packed;
};

static int pack_bytes(const struct fsmeta_frame *frame, const char *folder, const char *packed,
    struct fsmeta_error *error)
{
	struct fsmeta_buffer out = {0};
	size_t bound = ZSTD_compressBound(frame->memory_bytes), size = 0;
	int code = fsmeta_buffer_reserve(&out, bound)
		       ? fsmeta_error_set_memory(error, "packing a frame")
		       : 0;

	if (!code) {
		size =
		    ZSTD_compress(out.data, bound, frame->memory, frame->memory_bytes, PACK_LEVEL);
		if (ZSTD_isError(size))
			code = fsmeta_error_set(error, FSMETA_E_INTERNAL, packed, "packing a frame",
			    "%s", ZSTD_getErrorName(size));
	}
	if (!code) {
		out.length = size;
		code = save_bytes(folder, packed, &out, NULL, 0, error);
	}
	fsmeta_buffer_release(&out);
	return code;
}

static int pack_frame(struct fsmeta_frame_store *store, const char *folder,
    const struct found_frame *found, void *payload, struct fsmeta_error *error)
{
	struct packing *packing = payload;
	struct fsmeta_frame frame;
	char *plain, *packed;
	int code;

	if (found->is_packed || found->used_us > packing->before_us)
		return 0;
	plain = path_of_ref(store, found->ref, "", error);
	packed = plain ? path_of_ref(store, found->ref, ".zst", error) : NULL;
	code = packed ? load_file(store, &frame, plain, false, true, error) : FSMETA_E_MEMORY;
	if (!code) {
		code = pack_bytes(&frame, folder, packed, error);
		fsmeta_frame_release(&frame);
		if (!code && unlink(plain) < 0) {
			/* It was deleted meanwhile. */
			unlink(packed);
		} else if (!code) {
			packing->packed++;
		}
	}
	free(plain);
	free(packed);
	/* Gone, packed by another, or damaged: not our business here. */
	if (code == FSMETA_E_NOT_FOUND || code == FSMETA_E_REFUSED || code == FSMETA_E_TRUNCATED ||
	    code == FSMETA_E_FOREIGN || code == FSMETA_E_CORRUPT) {
		fsmeta_error_clear(error);
		return 0;
	}
	return code;
}

int fsmeta_frame_store_pack(
    struct fsmeta_frame_store *store, int64_t age_us, uint64_t *packed, struct fsmeta_error *error)
{
	struct packing packing = {.before_us = now_us() - age_us};
	int code = visit_frames(store, NULL, pack_frame, &packing, error);

	*packed = packing.packed;
	return code;
}
