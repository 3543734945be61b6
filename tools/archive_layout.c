#include "tools/archive_layout.h"

#include "archive/names.h"
#include "archive/recordings.h"
#include "tools/operand.h"
#include "tools/selection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool fsmeta_archive_parse_layout(enum fsmeta_layout *out, const char *text)
{
	static const enum fsmeta_layout layouts[] = {
	    FSMETA_LAYOUT_FSV, FSMETA_LAYOUT_SEGMENTS, FSMETA_LAYOUT_RECORDING};

	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
		if (strcmp(text, fsmeta_layout_name(layouts[i])) == 0) {
			*out = layouts[i];
			return true;
		}
	return false;
}

bool fsmeta_archive_parse_time(int64_t *out_us, const char *text)
{
	const struct fsmeta_time now = fsmeta_time_now();
	struct fsmeta_time time = now;

	if (strcmp(text, "now") != 0 && !fsmeta_selection_parse_time(&time, text, now))
		return false;
	if (time.seconds < 0 || time.seconds > INT64_MAX / 4000000)
		return false;
	*out_us = time.seconds * 1000000 + time.nanoseconds / 1000;
	return true;
}

/** The first stream that is recognised is enough. */
static int take_layout(
    void *payload, const struct fsmeta_archive_stream *stream, struct fsmeta_error *error)
{
	enum fsmeta_layout *layout = payload;

	(void)error;
	*layout = stream->layout;
	return 1;
}

static int survey(enum fsmeta_layout *out, const char *folder, struct fsmeta_error *error)
{
	const struct fsmeta_scan_options scan = {0};
	const struct fsmeta_operand_options options = {.scan = &scan};
	struct fsmeta_operand operand = {0};
	struct fsmeta_cursor *cursor = NULL;
	struct fsmeta_buffer text = {0};
	int code;

	*out = FSMETA_LAYOUT_NONE;
	if (fsmeta_buffer_append_format(&text, "live:%s", folder) || !fsmeta_buffer_string(&text)) {
		fsmeta_buffer_release(&text);
		return fsmeta_error_set_memory(error, "looking for a layout");
	}
	code = fsmeta_operand_parse(&operand, fsmeta_buffer_string(&text), error);
	if (!code)
		code = fsmeta_operand_open(&cursor, &operand, &options, error);
	if (!code)
		code = fsmeta_archive_survey(cursor, take_layout, error, out);
	fsmeta_cursor_close(cursor);
	fsmeta_operand_release(&operand);
	fsmeta_buffer_release(&text);
	return code < 0 ? code : 0;
}

/** As survey(), and nothing where there is no folder. */
static int survey_if_there(enum fsmeta_layout *out, const char *folder, struct fsmeta_error *error)
{
	struct stat status;

	*out = FSMETA_LAYOUT_NONE;
	if (stat(folder, &status) < 0)
		return errno == ENOENT
			   ? 0
			   : fsmeta_error_set_errno(error, errno, folder, "looking for a layout");
	return survey(out, folder, error);
}

static bool is_recording(const char *archive, const char *stream)
{
	char *path = fsmeta_names_join_format(
	    archive, FSMETA_RECORDING_PREFIX "%s/" FSMETA_RECORDING_META, stream);
	struct stat status;
	bool is = path && stat(path, &status) == 0;

	free(path);
	return is;
}

int fsmeta_archive_find_layout(
    enum fsmeta_layout *out, const char *archive, const char **stream, struct fsmeta_error *error)
{
	const size_t prefix = strlen(FSMETA_RECORDING_PREFIX);
	const char *id = *stream;
	char *folder;
	int code;

	if (strncmp(id, FSMETA_RECORDING_PREFIX, prefix) == 0)
		id += prefix;
	if (fsmeta_names_is_stream(id) && is_recording(archive, id)) {
		*out = FSMETA_LAYOUT_RECORDING;
		*stream = id;
		return 0;
	}
	*out = FSMETA_LAYOUT_NONE;
	folder = fsmeta_names_is_stream(*stream) ? fsmeta_names_join(archive, *stream) : NULL;
	code = folder ? survey_if_there(out, folder, error) : 0;
	free(folder);
	if (code || *out == FSMETA_LAYOUT_FSV || *out == FSMETA_LAYOUT_SEGMENTS)
		return code;
	return fsmeta_error_set(error, FSMETA_E_NOT_FOUND, archive, "looking for a stream",
	    "it has no stream of video called '%s'", *stream);
}

int fsmeta_archive_guess_layout(
    enum fsmeta_layout *out, const char *archive, struct fsmeta_error *error)
{
	return survey_if_there(out, archive, error);
}
