/*
 * A file system without shared memory, played: with this library preloaded no file can
 * be mapped shared for writing, as on 9p without a cache and some FUSE (ENODEV).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

typedef void *(*mmap_function)(void *, size_t, int, int, int, off_t);

void *mmap64(void *, size_t, int, int, int, off_t);

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
	static mmap_function next;

	if (fd >= 0 && (flags & MAP_SHARED) && (protection & PROT_WRITE)) {
		errno = ENODEV;
		return MAP_FAILED;
	}
	if (!next)
		next = (mmap_function)dlsym(RTLD_NEXT, "mmap");
	return next(address, length, protection, flags, fd, offset);
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
	return mmap(address, length, protection, flags, fd, offset);
}
