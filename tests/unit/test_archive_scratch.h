/* A scratch folder for a test program, and packets made from a seed. */
#ifndef FSMETA_TESTS_ARCHIVE_SCRATCH_H
#define FSMETA_TESTS_ARCHIVE_SCRATCH_H

#include "base/file.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A member of the cursor has the name. */
#undef skip

#include <fcntl.h>
#include <sys/statvfs.h>

static char scratch_root[64];

/** PATH below the scratch folder, in one of eight buffers. */
__attribute__((unused)) static const char *scratch_path(const char *name)
{
	static char paths[8][256];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", scratch_root, name);
	return path;
}

__attribute__((unused)) static int scratch_make(void **state)
{
	struct statvfs room;

	(void)state;
	/* In memory where there is enough of it: most of the time would go into fsync. */
	strcpy(scratch_root, "/dev/shm/fsmeta-archive-XXXXXX");
	if (statvfs("/dev/shm", &room) == 0 &&
	    (uint64_t)room.f_bavail * room.f_frsize >= UINT64_C(1) << 30 && mkdtemp(scratch_root))
		return 0;
	strcpy(scratch_root, "/tmp/fsmeta-archive-XXXXXX");
	return mkdtemp(scratch_root) ? 0 : -1;
}

__attribute__((unused)) static int scratch_remove(void **state)
{
	char name[sizeof(scratch_root)];

	(void)state;
	memcpy(name, scratch_root, sizeof(name));
	return fsmeta_remove_tree_at(AT_FDCWD, name, NULL);
}

static inline uint64_t scratch_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

#define assert_code(wanted, call, error)                                                    \
	do {                                                                                \
		int code_ = (call);                                                         \
		if (code_ != (wanted))                                                      \
			fail_msg("code %d instead of %d: %s: %s: %s", code_, (int)(wanted), \
			    (error)->path, (error)->action, (error)->reason);               \
	} while (0)

#define assert_ok(call, error) assert_code(0, call, error)

#endif
