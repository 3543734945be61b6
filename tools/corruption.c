#include "tools/corruption.h"

#include "tools/command.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void fsmeta_corruption_release(struct fsmeta_corruption *corruption)
{
	for (size_t i = 0; i < corruption->named; i++)
		free(corruption->paths[i]);
	memset(corruption, 0, sizeof(*corruption));
}

void fsmeta_corruption_add(struct fsmeta_corruption *corruption, const struct fsmeta_entry *entry)
{
	char *path;

	corruption->count++;
	if (corruption->named == FSMETA_CORRUPTION_NAMED_MAX)
		return;
	path = strndup(entry->path, entry->path_length);
	if (path)
		corruption->paths[corruption->named++] = path;
}

void fsmeta_corruption_report(const struct fsmeta_corruption *corruption)
{
	uint64_t more = corruption->count - corruption->named;

	for (size_t i = 0; i < corruption->named; i++)
		fsmeta_note(corruption->paths[i],
		    "CORRUPTED: the content is not what it was, but size and time of modification "
		    "are");
	if (more)
		fsmeta_note(NULL, "and %" PRIu64 " more %s CORRUPTED", more,
		    more == 1 ? "file is" : "files are");
}
