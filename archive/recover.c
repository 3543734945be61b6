/*
 * Recovery.
 *
 *     a piece that is        | what becomes of it
 *     sealed, whole          | nothing
 *     open, nobody holds it  | cut behind its last whole packet and sealed; completed
 *     open, a writer's lock  | left alone, "in use"
 *     without a header yet   | removed: nothing was ever in it
 *     sealed, packets lost   | left alone: its index is all that still tells of them
 *
 * What is whole is judged by the layouts' own readers (track.c, recording_read.c), so recovery
 * keeps exactly what reading would have served.  Each step can be killed itself: the packets are
 * cut and synced before the header says "sealed", so whoever comes next finds the same piece or a
 * better one.
 */
#include "archive/recover.h"

#include "archive/recording_lines.h"
#include "archive/stream_folder.h"
#include "archive/track.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TEXT_BYTES = 640,
};

struct recovering {
	const struct fsmeta_archive_stream *stream;
	bool dry_run;
	struct fsmeta_stream_folder folder;
	fsmeta_recovery_visit *visit;
	void *payload;
};

__attribute__((format(printf, 5, 6))) static int report(const struct recovering *recovering,
    enum fsmeta_recovery_kind kind, const char *name, struct fsmeta_error *error,
    const char *format, ...)
{
	char text[TEXT_BYTES];
	struct fsmeta_recovery recovery = {.kind = kind, .name = name, .text = text};
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return recovering->visit(recovering->payload, &recovery, error);
}

static int report_failure(const struct recovering *recovering, const char *name, int code,
    const struct fsmeta_error *failure, struct fsmeta_error *error)
{
	if (code == FSMETA_E_MEMORY || code == FSMETA_E_INTERNAL) {
		if (error)
			*error = *failure;
		return code;
	}
	return report(recovering,
	    code == FSMETA_E_BUSY ? FSMETA_RECOVERY_BUSY : FSMETA_RECOVERY_FAILED, name, error,
	    "%s: %s", failure->action, failure->reason);
}

/* ---- tracks ---- */

static int recover_opened(const struct recovering *recovering, const struct fsmeta_track *track,
    const char *name, const char *index_path, const char *packets_path, struct fsmeta_error *error)
{
	struct fsmeta_error failure;
	int code = 1;

	if (track->is_sealed && !track->trailing_bytes)
		return 0;
	if (track->lost_packets && track->was_sealed)
		return report(recovering, FSMETA_RECOVERY_FAILED, name, error,
		    "%u of its packets were lost after it had been closed; it stays as it is",
		    track->lost_packets);
	fsmeta_error_clear(&failure);
	if (!recovering->dry_run)
		code = fsmeta_track_recover(index_path, packets_path, &failure);
	if (code < 0)
		return report_failure(recovering, name, code, &failure, error);
	if (!code)
		return 0; /* Its writer closed it meanwhile. */
	return report(recovering, FSMETA_RECOVERY_MENDED, name, error,
	    "%u packets, %llu bytes cut off", track->count,
	    (unsigned long long)track->trailing_bytes);
}

static int bury(const struct recovering *recovering, const char *name, const char *index_path,
    const char *packets_path, struct fsmeta_error *error)
{
	struct fsmeta_error failure;
	int code = 1;

	fsmeta_error_clear(&failure);
	if (!recovering->dry_run)
		code = fsmeta_track_recover(index_path, packets_path, &failure);
	if (code < 0)
		return report_failure(recovering, name, code, &failure, error);
	return report(recovering, FSMETA_RECOVERY_MENDED, name, error,
	    "it was begun, and nothing was written to it: removed");
}

static int recover_paths(const struct recovering *recovering, const char *name,
    const char *index_path, const char *packets_path, struct fsmeta_error *error)
{
	struct fsmeta_track track;
	struct fsmeta_error failure;
	int code;

	if (fsmeta_track_is_stillborn(index_path, packets_path))
		return bury(recovering, name, index_path, packets_path, error);
	fsmeta_error_clear(&failure);
	code = fsmeta_track_open(&track, index_path, packets_path, &failure);
	if (code == FSMETA_E_SYSTEM && failure.system_errno == ENOENT)
		return 0; /* An orphan, which `archive check` tells of, or rotated out. */
	if (code)
		return report_failure(recovering, name, code, &failure, error);
	code = recover_opened(recovering, &track, name, index_path, packets_path, error);
	fsmeta_track_release(&track);
	return code;
}

static int recover_track(const struct recovering *recovering, const char *index,
    const char *packets, struct fsmeta_error *error)
{
	char *index_path = fsmeta_names_join(recovering->folder.path, index);
	char *packets_path = fsmeta_names_join(recovering->folder.path, packets);
	int code = index_path && packets_path
		       ? recover_paths(recovering, index, index_path, packets_path, error)
		       : fsmeta_error_set_memory(error, "recovering a track");

	free(index_path);
	free(packets_path);
	return code;
}

static int recover_tracks(const struct recovering *recovering, const volatile sig_atomic_t *stop,
    struct fsmeta_error *error)
{
	struct fsmeta_names names;
	int code = fsmeta_names_list(&names, recovering->folder.path, error);

	for (size_t i = 0; i < names.count && !code; i++) {
		char *packets;

		if (stop && *stop) {
			code = fsmeta_error_set(
			    error, FSMETA_E_STOPPED, NULL, "recovering", "stopped on request");
			break;
		}
		code = fsmeta_stream_folder_packets(
		    &packets, &recovering->folder, recovering->stream->layout, names.items[i]);
		if (code)
			fsmeta_error_set_memory(error, "recovering");
		else if (packets)
			code = recover_track(recovering, names.items[i], packets, error);
		free(packets);
	}
	fsmeta_names_release(&names);
	return code;
}

/* ---- recordings ---- */

/** What would be done, as far as the lines tell. */
static int plan_recording(const struct recovering *recovering, struct fsmeta_error *error)
{
	struct fsmeta_recording recording;
	struct fsmeta_error failure;
	int code;

	fsmeta_error_clear(&failure);
	code = fsmeta_recording_open_folder(&recording, recovering->folder.path, true, &failure);
	if (code)
		return report_failure(recovering, "", code, &failure, error);
	if (!recording.is_completed || recording.invalid_line_bytes ||
	    recording.data_bytes != recording.indexed_bytes)
		code = report(recovering, FSMETA_RECOVERY_MENDED, "", error,
		    "%llu chunks, and what can be found in %llu bytes behind them",
		    (unsigned long long)recording.count,
		    (unsigned long long)(recording.data_bytes - recording.indexed_bytes));
	fsmeta_recording_release(&recording);
	return code;
}

/** In the folder that is open: what stands under its name by now may be another one, or a link. */
static int recover_recording(const struct recovering *recovering, struct fsmeta_error *error)
{
	struct fsmeta_recording_recovered recovered;
	struct fsmeta_error failure;
	int code;

	fsmeta_error_clear(&failure);
	code = fsmeta_recording_recover_folder(recovering->folder.path, &recovered, &failure);
	if (code < 0)
		return report_failure(recovering, "", code, &failure, error);
	if (!code)
		return 0;
	return report(recovering, FSMETA_RECOVERY_MENDED, "", error,
	    "%llu chunks, %llu of them found in the bitstream, %llu bytes cut off",
	    (unsigned long long)recovered.chunks, (unsigned long long)recovered.rebuilt,
	    (unsigned long long)recovered.cut_bytes);
}

int fsmeta_archive_recover(int root_fd, const struct fsmeta_archive_stream *stream, bool dry_run,
    const volatile sig_atomic_t *stop, fsmeta_recovery_visit *visit, struct fsmeta_error *error,
    void *payload)
{
	struct recovering recovering = {
	    .stream = stream, .dry_run = dry_run, .visit = visit, .payload = payload};
	struct fsmeta_error failure;
	int code;

	if (stream->layout == FSMETA_LAYOUT_FRAMES)
		return 0;
	fsmeta_error_clear(&failure);
	code = fsmeta_stream_folder_open(
	    &recovering.folder, root_fd, stream->path, stream->path_length, &failure);
	if (code)
		return report_failure(&recovering, "", code, &failure, error);
	if (stream->layout != FSMETA_LAYOUT_RECORDING)
		code = recover_tracks(&recovering, stop, error);
	else if (dry_run)
		code = plan_recording(&recovering, error);
	else
		code = recover_recording(&recovering, error);
	fsmeta_stream_folder_close(&recovering.folder);
	return code;
}
