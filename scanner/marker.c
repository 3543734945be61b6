#include "scanner/marker.h"

#include "base/file.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char format_name[] = "fsmeta-drive";

enum {
	FORMAT_VERSION = 1,
};

void fsmeta_marker_release(struct fsmeta_marker *marker)
{
	free(marker->source_id);
	free(marker->filesystem_uuid);
	*marker = (struct fsmeta_marker){0};
}

static bool is_usable_id(const char *id, size_t length)
{
	return length > 0 && length <= FSMETA_SOURCE_ID_MAX_BYTES &&
	       fsmeta_utf8_is_valid(id, length);
}

/**
 * All that is asked of a marker is its id: one that was written by hand or by a
 * later version is as good.  1, 0 where it has none, or FSMETA_E_MEMORY.
 */
static int take_values(struct fsmeta_marker *out, const json_t *marker)
{
	const json_t *id = json_object_get(marker, "source_id");
	const char *uuid = json_string_value(json_object_get(marker, "filesystem_uuid"));

	if (!json_is_string(id) || !is_usable_id(json_string_value(id), json_string_length(id)))
		return 0;
	out->source_id = strdup(json_string_value(id));
	out->filesystem_uuid = strdup(uuid ? uuid : "");
	if (out->source_id && out->filesystem_uuid)
		return 1;
	fsmeta_marker_release(out);
	return FSMETA_E_MEMORY;
}

int fsmeta_marker_read(struct fsmeta_marker *out, int root_fd, struct fsmeta_error *error)
{
	struct fsmeta_buffer text = {0};
	struct fsmeta_error reading = {0};
	json_t *marker = NULL;
	int code = fsmeta_read_file_at(
	    &text, root_fd, FSMETA_MARKER_NAME, FSMETA_MARKER_MAX_BYTES, &reading);

	*out = (struct fsmeta_marker){0};
	if (code == 0) {
		marker =
		    json_loadb((const char *)text.data, text.length, JSON_REJECT_DUPLICATES, NULL);
		code = take_values(out, marker);
	} else if (code == FSMETA_E_SYSTEM && reading.system_errno == ENOENT) {
		code = FSMETA_MARKER_MISSING;
		goto out;
	} else if (code != FSMETA_E_MEMORY) {
		code = 0;
	}
	if (code == 0)
		code = FSMETA_MARKER_UNUSABLE;
	else if (code < 0)
		code = fsmeta_error_set_memory(error, "reading the marker of the source");
out:
	json_decref(marker);
	fsmeta_buffer_release(&text);
	return code;
}

bool fsmeta_marker_is_copy(const struct fsmeta_marker *marker, const char *uuid)
{
	/* Systems do not agree on the case of a UUID. */
	return *uuid && *marker->filesystem_uuid && strcasecmp(uuid, marker->filesystem_uuid) != 0;
}

static json_t *make_json(const struct fsmeta_marker *marker, const char *created)
{
	json_t *object = json_pack("{ss si ss}", "format", format_name, "format_version",
	    (int)FORMAT_VERSION, "source_id", marker->source_id);
	int failed = !object;

	if (*marker->filesystem_uuid)
		failed |= json_object_set_new(
		    object, "filesystem_uuid", json_string(marker->filesystem_uuid));
	failed |= json_object_set_new(object, "created", json_string(created));
	failed |= json_object_set_new(object, "fsmeta_version", json_string(FSMETA_VERSION));
	if (failed) {
		json_decref(object);
		return NULL;
	}
	return object;
}

int fsmeta_marker_write(struct fsmeta_buffer *out, const struct fsmeta_marker *marker,
    struct fsmeta_time created, struct fsmeta_error *error)
{
	char time[FSMETA_TIME_TEXT_BYTES];
	json_t *object;
	char *text;
	int code;

	if (!is_usable_id(marker->source_id, strlen(marker->source_id)))
		return fsmeta_error_set(error, FSMETA_E_USAGE, NULL,
		    "writing the marker of the source", "an identity has 1 to %d bytes of UTF-8",
		    (int)FSMETA_SOURCE_ID_MAX_BYTES);
	fsmeta_time_format(time, created);
	object = make_json(marker, time);
	text = object ? json_dumps(object, JSON_INDENT(2)) : NULL;
	code = text ? fsmeta_buffer_append_format(out, "%s\n", text) : FSMETA_E_MEMORY;
	free(text);
	json_decref(object);
	return code ? fsmeta_error_set_memory(error, "writing the marker of the source") : 0;
}
