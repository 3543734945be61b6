/*
 * A queue, and threads that take from its head.
 *
 *     submit ──► [job][job][job][job] ──► thread 1 ─┐
 *                                         thread 2 ─┴─► done(job) ─► wait
 *
 * One lock for queue and states, one for whoever is told that a job is done: writing
 * down a result must not keep the others from taking the next job.
 *
 * How many threads.  Reading is bound by the disk or the network, hashing with SHA-256 by the
 * processor.  A disk that turns is fastest with one reader at a time, which reads whole
 * files in sequence; everything else wants several requests at once.
 */
#include "scanner/hasher.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum {
	/** Of those that nobody asked for. */
	THREADS_DEFAULT = 4,
	THREADS_MAX = 256,
};

static const char action[] = "preparing to read contents";

struct worker {
	struct fsmeta_hasher *hasher;
	struct fsmeta_content_reader *reader;
	pthread_t id;
};

struct fsmeta_hasher {
	struct fsmeta_hasher_options options;
	int root_fd;
	struct fsmeta_content_rate rate;
	/** For a job that is done by who waits for it. */
	struct fsmeta_content_reader *own;

	pthread_mutex_t lock;
	pthread_cond_t work_came;
	pthread_cond_t work_done;
	struct fsmeta_hash_job *first;
	struct fsmeta_hash_job *last;
	unsigned queued;
	/** Threads that wait for work. */
	unsigned idle;
	uint64_t bytes_read;
	/** Also read without the lock, by readers in the middle of a file. */
	bool quit;

	pthread_mutex_t done_lock;

	struct worker *workers;
	unsigned worker_count;
	unsigned worker_limit;
};

/* ---- one job -------------------------------------------------------------- */

/** Takes the first job off the queue; the lock is held. */
static struct fsmeta_hash_job *take_job(struct fsmeta_hasher *hasher)
{
	struct fsmeta_hash_job *job = hasher->first;

	hasher->first = job->next;
	if (!hasher->first)
		hasher->last = NULL;
	job->next = NULL;
	job->state = FSMETA_HASH_JOB_RUNNING;
	hasher->queued--;
	return job;
}

/** Without the lock, which is held before and after. */
static void run_job(
    struct fsmeta_hasher *hasher, struct fsmeta_content_reader *reader, struct fsmeta_hash_job *job)
{
	uint64_t before = fsmeta_content_bytes_read(reader);

	pthread_mutex_unlock(&hasher->lock);
	job->outcome =
	    fsmeta_content_read(reader, job->entry, job->from_disk, &job->hash, &job->error_number);
	if (hasher->options.done) {
		pthread_mutex_lock(&hasher->done_lock);
		hasher->options.done(hasher->options.done_payload, job);
		pthread_mutex_unlock(&hasher->done_lock);
	}
	pthread_mutex_lock(&hasher->lock);
	hasher->bytes_read += fsmeta_content_bytes_read(reader) - before;
	job->state = FSMETA_HASH_JOB_DONE;
	pthread_cond_broadcast(&hasher->work_done);
}

static void *work(void *payload)
{
	struct worker *worker = payload;
	struct fsmeta_hasher *hasher = worker->hasher;

	pthread_mutex_lock(&hasher->lock);
	while (!hasher->quit) {
		if (hasher->first) {
			run_job(hasher, worker->reader, take_job(hasher));
			continue;
		}
		hasher->idle++;
		pthread_cond_wait(&hasher->work_came, &hasher->lock);
		hasher->idle--;
	}
	pthread_mutex_unlock(&hasher->lock);
	return NULL;
}

/* ---- threads -------------------------------------------------------------- */

static int new_reader(
    struct fsmeta_hasher *hasher, struct fsmeta_content_reader **out, struct fsmeta_error *error)
{
	const struct fsmeta_content_options options = {
	    .root_fd = hasher->root_fd,
	    .algorithm = hasher->options.algorithm,
	    .rate = hasher->options.max_rate ? &hasher->rate : NULL,
	    .stop = hasher->options.stop,
	    .give_up = &hasher->quit,
	};

	return fsmeta_content_reader_new(out, &options, error);
}

/** One more thread; where it cannot be had, those that there are must do. */
static void start_worker(struct fsmeta_hasher *hasher)
{
	struct worker *worker = &hasher->workers[hasher->worker_count];
	sigset_t all, before;

	worker->hasher = hasher;
	if (new_reader(hasher, &worker->reader, NULL)) {
		hasher->worker_limit = hasher->worker_count;
		return;
	}
	/* Signals are for the thread that the program listens with. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&worker->id, NULL, work, worker) == 0) {
		hasher->worker_count++;
	} else {
		hasher->worker_limit = hasher->worker_count;
		fsmeta_content_reader_free(worker->reader);
		worker->reader = NULL;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void fsmeta_hasher_submit(struct fsmeta_hasher *hasher, struct fsmeta_hash_job *job)
{
	bool wants_worker;

	job->next = NULL;
	job->state = FSMETA_HASH_JOB_QUEUED;
	pthread_mutex_lock(&hasher->lock);
	if (hasher->last)
		hasher->last->next = job;
	else
		hasher->first = job;
	hasher->last = job;
	hasher->queued++;
	wants_worker = hasher->queued > hasher->idle && hasher->worker_count < hasher->worker_limit;
	pthread_cond_signal(&hasher->work_came);
	pthread_mutex_unlock(&hasher->lock);
	if (wants_worker)
		start_worker(hasher);
}

void fsmeta_hasher_wait(struct fsmeta_hasher *hasher, struct fsmeta_hash_job *job)
{
	pthread_mutex_lock(&hasher->lock);
	while (job->state != FSMETA_HASH_JOB_DONE) {
		if (hasher->worker_count == 0)
			run_job(hasher, hasher->own, take_job(hasher));
		else
			pthread_cond_wait(&hasher->work_done, &hasher->lock);
	}
	pthread_mutex_unlock(&hasher->lock);
}

uint64_t fsmeta_hasher_bytes_read(struct fsmeta_hasher *hasher)
{
	uint64_t bytes;

	pthread_mutex_lock(&hasher->lock);
	bytes = hasher->bytes_read;
	pthread_mutex_unlock(&hasher->lock);
	return bytes;
}

/* ---- setting up ----------------------------------------------------------- */

/** True where the kernel says so of the disk, or of the one that it is a part of. */
static bool disk_turns(int root_fd)
{
	static const char *const places[] = {"", "../"};
	struct stat status;
	char path[96], answer = '0';

	if (fstat(root_fd, &status) != 0)
		return false;
	for (size_t i = 0; i < 2; i++) {
		int fd;

		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%squeue/rotational",
		    major(status.st_dev), minor(status.st_dev), places[i]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (read(fd, &answer, 1) != 1)
			answer = '0';
		close(fd);
		break;
	}
	return answer == '1';
}

static unsigned choose_threads(const struct fsmeta_hasher *hasher)
{
	unsigned threads = hasher->options.threads;
	cpu_set_t processors;

	if (!threads && disk_turns(hasher->root_fd))
		return 1;
	if (!threads) {
		threads = THREADS_DEFAULT;
		if (sched_getaffinity(0, sizeof(processors), &processors) == 0 &&
		    (unsigned)CPU_COUNT(&processors) < threads)
			threads = (unsigned)CPU_COUNT(&processors);
	}
	return threads < THREADS_MAX ? threads : THREADS_MAX;
}

int fsmeta_hasher_new(struct fsmeta_hasher **out, const struct fsmeta_hasher_options *options,
    struct fsmeta_error *error)
{
	struct fsmeta_hasher *hasher = calloc(1, sizeof(*hasher));
	int code = 0;

	*out = NULL;
	if (!hasher)
		return fsmeta_error_set_memory(error, action);
	hasher->options = *options;
	hasher->rate.rate.most = options->max_rate;
	pthread_mutex_init(&hasher->rate.lock, NULL);
	pthread_mutex_init(&hasher->lock, NULL);
	pthread_mutex_init(&hasher->done_lock, NULL);
	pthread_cond_init(&hasher->work_came, NULL);
	pthread_cond_init(&hasher->work_done, NULL);
	hasher->root_fd = open(options->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (hasher->root_fd < 0)
		code = fsmeta_error_set_errno(error, errno, options->root, "opening");
	if (!code)
		code = new_reader(hasher, &hasher->own, error);
	if (!code) {
		hasher->worker_limit = choose_threads(hasher);
		hasher->workers = calloc(hasher->worker_limit, sizeof(*hasher->workers));
		if (!hasher->workers)
			code = fsmeta_error_set_memory(error, action);
	}
	if (code) {
		fsmeta_hasher_free(hasher);
		return code;
	}
	*out = hasher;
	return 0;
}

void fsmeta_hasher_free(struct fsmeta_hasher *hasher)
{
	if (!hasher)
		return;
	pthread_mutex_lock(&hasher->lock);
	__atomic_store_n(&hasher->quit, true, __ATOMIC_RELAXED);
	hasher->first = NULL;
	pthread_cond_broadcast(&hasher->work_came);
	pthread_mutex_unlock(&hasher->lock);
	for (unsigned i = 0; i < hasher->worker_count; i++) {
		pthread_join(hasher->workers[i].id, NULL);
		fsmeta_content_reader_free(hasher->workers[i].reader);
	}
	fsmeta_content_reader_free(hasher->own);
	if (hasher->root_fd >= 0)
		close(hasher->root_fd);
	pthread_cond_destroy(&hasher->work_done);
	pthread_cond_destroy(&hasher->work_came);
	pthread_mutex_destroy(&hasher->done_lock);
	pthread_mutex_destroy(&hasher->lock);
	pthread_mutex_destroy(&hasher->rate.lock);
	free(hasher->workers);
	free(hasher);
}
