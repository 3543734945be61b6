/*
 * Reading what is in a file.
 *
 *     path        cam1/2026/11/a.mp4
 *     open        openat2(root, path, no symbolic link, beneath the root)
 *     before      fstat: regular, inode, size, mtime as the entry says
 *     read        ░░data░░______hole______░░░data░░░
 *                 pread   zeros, unread   pread
 *     after       fstat: nothing moved, ctime neither
 *
 * One system call opens a path, and the kernel promises that no component of it is a
 * symbolic link and none leads out of the root, however the tree is rearranged
 * meanwhile.  A path that is too long for the kernel goes in pieces, each from the folder
 * that the one before has led to; and where there is no openat2(2) (kernels before 5.6, some
 * sandboxes) every component is a piece.
 *
 * O_NONBLOCK, because a FIFO may have been put where the file was; it is not read then.
 *
 * A hash is believed only where the file was the same before and after, so a
 * writer that goes on meanwhile costs the hash, never its truth.  (What mmap(2) writes
 * can come later than ctime says; the next scan finds another mtime then.)
 *
 * The page cache.  A scan that hashes reads more than fits in memory, each byte once.
 * What was read is dropped behind the reader, so that it does not push out what a
 * player or a recorder uses.  A file that is read again to see whether its disk still
 * tells the same is dropped before, too: the page cache proves nothing about a disk.
 *
 * libcrypto is loaded when SHA-256 is asked for and not with the program: relocating it
 * takes each start a millisecond, which is as long as a small scan.
 */
#include "scanner/content.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <openssl/evp.h>
#include <openssl/opensslv.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xxhash.h>

enum {
	/** Bytes in one read. */
	CHUNK_BYTES = 1 << 20,
	/** The least that is read at once, however low the rate. */
	CHUNK_MIN_BYTES = 4096,
	/** A bounded rate is used in so many pieces a second. */
	CHUNKS_A_SECOND = 10,
};

static const char action[] = "preparing to read contents";

/* ---- libcrypto ------------------------------------------------------------ */

#define STRING(text) #text
#define SHARED_NAME(version) "libcrypto.so." STRING(version)

/** What we use of it, by the types that its header gives. */
static struct {
	__typeof__(&EVP_MD_CTX_new) context_new;
	__typeof__(&EVP_MD_CTX_free) context_free;
	__typeof__(&EVP_sha256) sha256;
	__typeof__(&EVP_DigestInit_ex) init;
	__typeof__(&EVP_DigestUpdate) update;
	__typeof__(&EVP_DigestFinal_ex) final;
	bool is_there;
} crypto;

static void load_symbol(void *function, void *library, const char *name)
{
	void *symbol = dlsym(library, name);

	memcpy(function, &symbol, sizeof(symbol));
	crypto.is_there = crypto.is_there && symbol;
}

/** Stays loaded until the program ends. */
static void load_crypto(void)
{
	void *library = dlopen(SHARED_NAME(OPENSSL_SHLIB_VERSION), RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return;
	crypto.is_there = true;
	load_symbol(&crypto.context_new, library, "EVP_MD_CTX_new");
	load_symbol(&crypto.context_free, library, "EVP_MD_CTX_free");
	load_symbol(&crypto.sha256, library, "EVP_sha256");
	load_symbol(&crypto.init, library, "EVP_DigestInit_ex");
	load_symbol(&crypto.update, library, "EVP_DigestUpdate");
	load_symbol(&crypto.final, library, "EVP_DigestFinal_ex");
}

/* ---- the hash ------------------------------------------------------------- */

struct fsmeta_content_reader {
	struct fsmeta_content_options options;
	unsigned char *chunk;
	size_t chunk_bytes;
	/** One of the two, as the algorithm wants. */
	XXH3_state_t *xxh3;
	EVP_MD_CTX *sha256;
	uint64_t bytes_read;
	/** The kernel has no openat2(2), or must not use it. */
	bool one_by_one;
	/** One component or piece of a path, NUL-terminated. */
	struct fsmeta_buffer piece;
};

static bool hash_start(struct fsmeta_content_reader *reader)
{
	if (reader->xxh3)
		return XXH3_128bits_reset(reader->xxh3) == XXH_OK;
	return crypto.init(reader->sha256, crypto.sha256(), NULL) == 1;
}

static bool hash_add(struct fsmeta_content_reader *reader, const void *bytes, size_t size)
{
	if (reader->xxh3)
		return XXH3_128bits_update(reader->xxh3, bytes, size) == XXH_OK;
	return crypto.update(reader->sha256, bytes, size) == 1;
}

static bool hash_finish(struct fsmeta_content_reader *reader, struct fsmeta_content_hash *out)
{
	memset(out, 0, sizeof(*out));
	out->algorithm = reader->options.algorithm;
	if (reader->xxh3) {
		XXH128_canonical_t canonical;

		XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(reader->xxh3));
		memcpy(out->bytes, canonical.digest, sizeof(canonical.digest));
		return true;
	}
	return crypto.final(reader->sha256, out->bytes, NULL) == 1;
}

static int hash_init(struct fsmeta_content_reader *reader, struct fsmeta_error *error)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	if (reader->options.algorithm == FSMETA_HASH_XXH3) {
		reader->xxh3 = XXH3_createState();
		return reader->xxh3 ? 0 : fsmeta_error_set_memory(error, action);
	}
	pthread_once(&once, load_crypto);
	if (!crypto.is_there)
		return fsmeta_error_set(error, FSMETA_E_UNSUPPORTED, NULL, action,
		    "SHA-256 needs OpenSSL's %s, which cannot be loaded",
		    SHARED_NAME(OPENSSL_SHLIB_VERSION));
	reader->sha256 = crypto.context_new();
	return reader->sha256 ? 0 : fsmeta_error_set_memory(error, action);
}

/* ---- opening -------------------------------------------------------------- */

/** Bytes of the next piece of `path`: as long as the kernel takes it, or one component. */
static size_t piece_length(
    const struct fsmeta_content_reader *reader, const char *path, size_t left)
{
	size_t length = left < PATH_MAX ? left : PATH_MAX - 1;
	const char *slash;

	if (reader->one_by_one) {
		slash = memchr(path, '/', left);
		return slash ? (size_t)(slash - path) : left;
	}
	if (length == left)
		return left;
	/* No component is as long as all that. */
	slash = memrchr(path, '/', length + 1);
	return slash ? (size_t)(slash - path) : left;
}

static int open_once(const struct fsmeta_content_reader *reader, int folder, int flags)
{
	const char *piece = (const char *)reader->piece.data;
	struct open_how how = {
	    .flags = (uint64_t)(flags | O_NOFOLLOW | O_CLOEXEC),
	    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};

	if (reader->one_by_one)
		return openat(folder, piece, flags | O_NOFOLLOW | O_CLOEXEC);
	return (int)syscall(SYS_openat2, folder, piece, &how, sizeof(how));
}

static int open_folder(struct fsmeta_content_reader *reader, int folder)
{
	return open_once(reader, folder, O_PATH | O_DIRECTORY);
}

/** Keeping atime is for the owner of a file, and for root. */
static int open_file(struct fsmeta_content_reader *reader, int folder)
{
	const int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY;
	int fd = open_once(reader, folder, flags | O_NOATIME);

	return fd < 0 && errno == EPERM ? open_once(reader, folder, flags) : fd;
}

/** A descriptor, or -1 with errno. */
static int open_in_pieces(struct fsmeta_content_reader *reader, const char *path, size_t left)
{
	int folder = reader->options.root_fd, fd, failure;

	for (;;) {
		size_t length = piece_length(reader, path, left);
		bool is_last = length == left;

		fsmeta_buffer_clear(&reader->piece);
		if (fsmeta_buffer_append(&reader->piece, path, length) ||
		    !fsmeta_buffer_string(&reader->piece)) {
			errno = ENOMEM;
			fd = -1;
		} else {
			fd = is_last ? open_file(reader, folder) : open_folder(reader, folder);
		}
		failure = errno;
		if (folder != reader->options.root_fd)
			close(folder);
		errno = failure;
		if (fd < 0 || is_last)
			return fd;
		folder = fd;
		path += length + 1;
		left -= length + 1;
	}
}

static int open_path(struct fsmeta_content_reader *reader, const struct fsmeta_entry *entry)
{
	int fd = open_in_pieces(reader, entry->path, entry->path_length);

	/* EAGAIN: a rename somewhere left the kernel unsure of "beneath". */
	for (int tries = 0; fd < 0 && errno == EAGAIN && tries < 10; tries++)
		fd = open_in_pieces(reader, entry->path, entry->path_length);
	/* A sandbox may answer EPERM to what it does not know; then the other way says it too. */
	if (fd < 0 && !reader->one_by_one && (errno == ENOSYS || errno == EPERM)) {
		reader->one_by_one = true;
		fd = open_in_pieces(reader, entry->path, entry->path_length);
	}
	return fd;
}

/* ---- judging -------------------------------------------------------------- */

static bool is_what_was_seen(const struct stat *now, const struct fsmeta_entry *entry)
{
	return S_ISREG(now->st_mode) && (uint64_t)now->st_size == entry->size &&
	       now->st_mtim.tv_sec == entry->mtime.seconds &&
	       (uint32_t)now->st_mtim.tv_nsec == entry->mtime.nanoseconds &&
	       (!(entry->fields & FSMETA_FIELD_INODE) || now->st_ino == entry->inode);
}

static bool is_unchanged(const struct stat *before, const struct stat *after)
{
	return before->st_size == after->st_size &&
	       before->st_mtim.tv_sec == after->st_mtim.tv_sec &&
	       before->st_mtim.tv_nsec == after->st_mtim.tv_nsec &&
	       before->st_ctim.tv_sec == after->st_ctim.tv_sec &&
	       before->st_ctim.tv_nsec == after->st_ctim.tv_nsec;
}

/** What an errno of opening says: that something else is there now, or that it is refused. */
static enum fsmeta_content_outcome judge_failure(int failure, int *error_number)
{
	switch (failure) {
	case ENOENT:
	case ENOTDIR:
	case ELOOP:
	case ENXIO: /* a FIFO or a socket */
	case ENODEV:
	case ESTALE:
	case EXDEV:
		return FSMETA_CONTENT_CHANGED;
	default:
		*error_number = failure;
		return FSMETA_CONTENT_UNREADABLE;
	}
}

/* ---- reading -------------------------------------------------------------- */

static bool is_stopped(const struct fsmeta_content_reader *reader)
{
	const struct fsmeta_content_options *options = &reader->options;

	return (options->stop && __atomic_load_n(options->stop, __ATOMIC_RELAXED)) ||
	       (options->give_up && __atomic_load_n(options->give_up, __ATOMIC_RELAXED));
}

static void wait_turn(const struct fsmeta_content_reader *reader, size_t bytes)
{
	struct fsmeta_content_rate *shared = reader->options.rate;
	int64_t due;

	if (!shared)
		return;
	pthread_mutex_lock(&shared->lock);
	due = fsmeta_rate_take(&shared->rate, bytes);
	pthread_mutex_unlock(&shared->lock);
	fsmeta_rate_sleep(due, reader->options.stop);
}

/** One file while it is read. */
struct reading {
	int fd;
	uint64_t size;
	uint64_t at;
	/** Data, or a hole, reaches until here. */
	uint64_t until;
	bool in_hole;
	bool may_have_holes;
};

/** Finds out what is at reading->at. */
static void find_extent(struct reading *reading)
{
	off_t next;

	reading->in_hole = false;
	reading->until = reading->size;
	if (!reading->may_have_holes)
		return;
	next = lseek(reading->fd, (off_t)reading->at, SEEK_DATA);
	if (next < 0) {
		/* Behind the last data there is a hole; everything else says nothing. */
		reading->in_hole = errno == ENXIO;
		reading->may_have_holes = reading->in_hole;
		return;
	}
	reading->in_hole = (uint64_t)next > reading->at;
	if (!reading->in_hole)
		next = lseek(reading->fd, (off_t)reading->at, SEEK_HOLE);
	if (next > (off_t)reading->at && (uint64_t)next < reading->size)
		reading->until = (uint64_t)next;
}

/** The next bytes are in reader->chunk: how many, 0 where the file ends early, -1 with errno. */
static ssize_t read_chunk(struct fsmeta_content_reader *reader, const struct reading *reading)
{
	uint64_t left = reading->until - reading->at;
	size_t wanted = left < reader->chunk_bytes ? (size_t)left : reader->chunk_bytes;
	ssize_t got;

	if (reading->in_hole) {
		memset(reader->chunk, 0, wanted);
		return (ssize_t)wanted;
	}
	wait_turn(reader, wanted);
	do
		got = pread(reading->fd, reader->chunk, wanted, (off_t)reading->at);
	while (got < 0 && errno == EINTR);
	if (got > 0) {
		reader->bytes_read += (uint64_t)got;
		posix_fadvise(reading->fd, (off_t)reading->at, got, POSIX_FADV_DONTNEED);
	}
	return got;
}

static enum fsmeta_content_outcome read_all(
    struct fsmeta_content_reader *reader, struct reading *reading, int *error_number)
{
	while (reading->at < reading->size) {
		ssize_t got;

		if (is_stopped(reader))
			return FSMETA_CONTENT_STOPPED;
		if (reading->at == reading->until)
			find_extent(reading);
		got = read_chunk(reader, reading);
		if (got == 0)
			return FSMETA_CONTENT_CHANGED;
		if (got < 0 || !hash_add(reader, reader->chunk, (size_t)got)) {
			*error_number = got < 0 ? errno : EIO;
			return FSMETA_CONTENT_UNREADABLE;
		}
		reading->at += (uint64_t)got;
	}
	return is_stopped(reader) ? FSMETA_CONTENT_STOPPED : FSMETA_CONTENT_HASHED;
}

static enum fsmeta_content_outcome read_file(struct fsmeta_content_reader *reader, int fd,
    const struct fsmeta_entry *entry, bool from_disk, struct fsmeta_content_hash *hash,
    int *error_number)
{
	struct reading reading = {.fd = fd, .size = entry->size};
	enum fsmeta_content_outcome outcome;
	struct stat before, after;

	if (fstat(fd, &before) != 0)
		return judge_failure(errno, error_number);
	if (!is_what_was_seen(&before, entry))
		return FSMETA_CONTENT_CHANGED;
	reading.may_have_holes = (uint64_t)before.st_blocks * 512 < entry->size;
	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	if (from_disk)
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	if (!hash_start(reader)) {
		*error_number = ENOMEM;
		return FSMETA_CONTENT_UNREADABLE;
	}
	outcome = read_all(reader, &reading, error_number);
	if (outcome != FSMETA_CONTENT_HASHED)
		return outcome;
	if (fstat(fd, &after) != 0 || !is_unchanged(&before, &after))
		return FSMETA_CONTENT_CHANGED;
	if (hash_finish(reader, hash))
		return FSMETA_CONTENT_HASHED;
	*error_number = EIO;
	return FSMETA_CONTENT_UNREADABLE;
}

enum fsmeta_content_outcome fsmeta_content_read(struct fsmeta_content_reader *reader,
    const struct fsmeta_entry *entry, bool from_disk, struct fsmeta_content_hash *hash,
    int *error_number)
{
	enum fsmeta_content_outcome outcome;
	int fd;

	*error_number = 0;
	memset(hash, 0, sizeof(*hash));
	if (is_stopped(reader))
		return FSMETA_CONTENT_STOPPED;
	fd = open_path(reader, entry);
	if (fd < 0)
		return judge_failure(errno, error_number);
	outcome = read_file(reader, fd, entry, from_disk, hash, error_number);
	close(fd);
	return outcome;
}

uint64_t fsmeta_content_bytes_read(const struct fsmeta_content_reader *reader)
{
	return reader->bytes_read;
}

/* ---- setting up ----------------------------------------------------------- */

/** With a low rate small pieces, so that a second is not one burst. */
static size_t choose_chunk(const struct fsmeta_content_options *options)
{
	uint64_t bytes = CHUNK_BYTES;

	if (options->rate && options->rate->rate.most / CHUNKS_A_SECOND < bytes)
		bytes = options->rate->rate.most / CHUNKS_A_SECOND;
	return bytes < CHUNK_MIN_BYTES ? CHUNK_MIN_BYTES : (size_t)bytes;
}

int fsmeta_content_reader_new(struct fsmeta_content_reader **out,
    const struct fsmeta_content_options *options, struct fsmeta_error *error)
{
	struct fsmeta_content_reader *reader = calloc(1, sizeof(*reader));
	int code;

	*out = NULL;
	if (!reader)
		return fsmeta_error_set_memory(error, action);
	reader->options = *options;
	fsmeta_buffer_init(&reader->piece);
	reader->chunk_bytes = choose_chunk(options);
	reader->chunk = malloc(reader->chunk_bytes);
	code = reader->chunk ? hash_init(reader, error) : fsmeta_error_set_memory(error, action);
	if (code) {
		fsmeta_content_reader_free(reader);
		return code;
	}
	*out = reader;
	return 0;
}

void fsmeta_content_reader_free(struct fsmeta_content_reader *reader)
{
	if (!reader)
		return;
	XXH3_freeState(reader->xxh3);
	if (reader->sha256)
		crypto.context_free(reader->sha256);
	fsmeta_buffer_release(&reader->piece);
	free(reader->chunk);
	free(reader);
}

int fsmeta_content_hash_of_nothing(struct fsmeta_content_hash *out,
    enum fsmeta_hash_algorithm algorithm, struct fsmeta_error *error)
{
	const struct fsmeta_content_options options = {.root_fd = -1, .algorithm = algorithm};
	struct fsmeta_content_reader *reader;
	int code = fsmeta_content_reader_new(&reader, &options, error);

	if (code)
		return code;
	if (!hash_start(reader) || !hash_finish(reader, out))
		code = fsmeta_error_set_memory(error, action);
	fsmeta_content_reader_free(reader);
	return code;
}
