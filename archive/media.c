/*
 * Finding the module.
 *
 *     BUILD/tools/fsmeta      ──┐                 ┌── BUILD/lib/fsmeta/fsmeta_video.so
 *     PREFIX/bin/fsmeta       ──┴── ../lib/fsmeta ┴── PREFIX/lib/fsmeta/fsmeta_video.so
 *
 * The way from the program's folder to the module's is the same in both trees and is fixed when
 * fsmeta is built.  Where the program lies is asked of the kernel.  Neither the environment nor the
 * working folder has a say, so nobody makes root load what he likes.
 */
#include "archive/media.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#ifdef FSMETA_VIDEO_MODULE
#include <dlfcn.h>
#include <stdio.h>

static const char action[] = "loading the module for video files";

/** "/usr/bin/fsmeta" → "/usr/bin/../lib/fsmeta/fsmeta_video.so" */
static int find_module(char *path, size_t room, struct fsmeta_error *error)
{
	ssize_t length = readlink("/proc/self/exe", path, room - 1);
	char *slash;

	if (length < 0)
		return fsmeta_error_set_errno(error, errno, "/proc/self/exe", action);
	path[length] = '\0';
	slash = strrchr(path, '/');
	if (!slash || (size_t)length == room - 1 ||
	    (size_t)(slash + 1 - path) + sizeof(FSMETA_VIDEO_MODULE) > room)
		return fsmeta_error_set(
		    error, FSMETA_E_LIMIT, NULL, action, "the path of this program is too long");
	strcpy(slash + 1, FSMETA_VIDEO_MODULE);
	return 0;
}

int fsmeta_media_load(const struct fsmeta_media_operations **out, struct fsmeta_error *error)
{
	const struct fsmeta_media_operations *operations = NULL;
	char path[PATH_MAX];
	void *module;
	int code = find_module(path, sizeof(path), error);

	if (code)
		return code;
	module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (module)
		operations = dlsym(module, FSMETA_MEDIA_SYMBOL);
	if (!operations) {
		const char *why = dlerror();

		return fsmeta_error_set(
		    error, FSMETA_E_UNSUPPORTED, path, action, "%s", why ? why : "no reason known");
	}
	if (operations->interface != FSMETA_MEDIA_INTERFACE ||
	    strcmp(operations->version, FSMETA_VERSION) != 0)
		return fsmeta_error_set(error, FSMETA_E_UNSUPPORTED, path, action,
		    "it belongs to another fsmeta than this " FSMETA_VERSION);
	*out = operations;
	return 0;
}
#else
int fsmeta_media_load(const struct fsmeta_media_operations **out, struct fsmeta_error *error)
{
	(void)out;
	return fsmeta_error_set(error, FSMETA_E_UNSUPPORTED, NULL, "working with video files",
	    "this fsmeta was built without libavformat (-DFSMETA_VIDEO=OFF)");
}
#endif
