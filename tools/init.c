/*
 * fsmeta init: gives a folder an identity that it carries with it.
 *
 * It writes one file into the tree, which no scan does.  What is there already
 * decides:
 *
 *     nothing                          a marker is made
 *     a marker with this id, or any
 *       id where none was asked for    nothing to do
 *     a marker with another id, one    refused; --force replaces it
 *       of another file system, or
 *       something that is none
 */
#include "base/file.h"
#include "scanner/marker.h"
#include "scanner/scanner.h"
#include "tools/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum option_key {
	OPTION_SOURCE_ID = 0x100,
	OPTION_FORCE,
};

struct init_arguments {
	const char *folder;
	const char *source_id;
	bool force;
};

static const struct argp_option options[] = {
    {"source-id", OPTION_SOURCE_ID, "ID", 0,
	"The identity to write, instead of 32 random hexadecimal digits", 1},
    {"force", OPTION_FORCE, NULL, 0, "Replace a marker that says something else", 1},
    {0},
};

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	struct init_arguments *arguments = state->input;

	switch (key) {
	case OPTION_SOURCE_ID:
		if (!*text)
			argp_error(state, "--source-id: an identity has at least one character");
		arguments->source_id = text;
		return 0;
	case OPTION_FORCE:
		arguments->force = true;
		return 0;
	case ARGP_KEY_ARG:
		if (arguments->folder)
			argp_error(state, "one folder at a time, and '%s' is the second", text);
		arguments->folder = text;
		return 0;
	case ARGP_KEY_END:
		if (!arguments->folder)
			argp_error(state, "which folder?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {options, parse_option, "DIR",
    "Give the folder DIR an identity that it carries with it, in the file " FSMETA_MARKER_NAME ", "
    "and print it."
    "\vScans of DIR then belong together wherever it is mounted. The marker names the file system "
    "that it was made on; in a copy on another one it is refused by scan, until init --force gives "
    "the copy an identity of its own. No scan writes into a tree.",
    NULL, NULL, NULL};

/** Everything that init holds while it runs. */
struct init_state {
	const struct init_arguments *arguments;
	/** Tells about the file system; nothing is read through it. */
	struct fsmeta_cursor *cursor;
	int folder_fd;
	/** What is there, an enum fsmeta_marker_state, and what it says. */
	int found;
	struct fsmeta_marker old;
	struct fsmeta_marker new;
};

static const char action[] = "giving the folder an identity";

static int look(struct init_state *state, struct fsmeta_error *error)
{
	const struct fsmeta_scan_options scan = {.pass_over_copied_marker = true};
	const char *folder = state->arguments->folder;
	int code = fsmeta_scan_open(&state->cursor, folder, &scan, error);

	if (code < 0)
		return code;
	state->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (state->folder_fd < 0)
		return fsmeta_error_set_errno(error, errno, folder, action);
	state->found = fsmeta_marker_read(&state->old, state->folder_fd, error);
	return state->found < 0 ? state->found : 0;
}

/** UUID of the file system that the folder lies on, "" if it has none. */
static const char *uuid_of(const struct init_state *state)
{
	const struct fsmeta_batch_source *source = state->cursor->source;

	return source->filesystem_count ? source->filesystems[0].uuid : "";
}

/** 1 where a marker is to be written, 0 where the one that is there says it all. */
static int judge(const struct init_state *state, struct fsmeta_error *error)
{
	const struct init_arguments *arguments = state->arguments;
	const char *folder = arguments->folder;

	if (state->found == FSMETA_MARKER_MISSING || arguments->force)
		return 1;
	if (state->found == FSMETA_MARKER_UNUSABLE)
		return fsmeta_error_set(error, FSMETA_E_REFUSED, folder, action,
		    "there is a " FSMETA_MARKER_NAME
		    " that cannot be read as a marker (--force replaces it)");
	if (fsmeta_marker_is_copy(&state->old, uuid_of(state)))
		return fsmeta_error_set(error, FSMETA_E_REFUSED, folder, action,
		    "its " FSMETA_MARKER_NAME " was made on file system %.64s, and this is %.64s; "
		    "is it a copy? (--force gives "
		    "it an identity of its own)",
		    state->old.filesystem_uuid, uuid_of(state));
	if (arguments->source_id && strcmp(arguments->source_id, state->old.source_id) != 0)
		return fsmeta_error_set(error, FSMETA_E_REFUSED, folder, action,
		    "it has the identity %.200s already (--force replaces it)",
		    state->old.source_id);
	return 0;
}

/** Fills state->new. */
static int make_identity(struct init_state *state, struct fsmeta_error *error)
{
	struct fsmeta_buffer text = {0};
	unsigned char random[16];
	int code;

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return fsmeta_error_set_errno(error, errno, NULL, action);
	code = state->arguments->source_id
		   ? fsmeta_buffer_append_text(&text, state->arguments->source_id)
		   : fsmeta_text_append_hex(&text, random, sizeof(random));
	if (code == 0 && fsmeta_buffer_string(&text))
		state->new.source_id = strdup(fsmeta_buffer_string(&text));
	state->new.filesystem_uuid = strdup(uuid_of(state));
	fsmeta_buffer_release(&text);
	return state->new.source_id && state->new.filesystem_uuid
		   ? 0
		   : fsmeta_error_set_memory(error, action);
}

static int write_marker(struct init_state *state, struct fsmeta_error *error)
{
	struct fsmeta_replace replace = {.fd = -1};
	struct fsmeta_buffer text = {0};
	char *path = NULL;
	int code = make_identity(state, error);

	if (code == 0)
		code = fsmeta_marker_write(&text, &state->new, fsmeta_time_now(), error);
	if (code == 0 && asprintf(&path, "%s/" FSMETA_MARKER_NAME, state->arguments->folder) < 0) {
		path = NULL;
		code = fsmeta_error_set_memory(error, action);
	}
	if (code == 0)
		code = fsmeta_replace_file_begin(&replace, path, 0644, error);
	if (code == 0) {
		code = fsmeta_write_all(replace.fd, text.data, text.length, path, error);
		if (code == 0)
			code = fsmeta_replace_commit(&replace, error);
		else
			fsmeta_replace_abort(&replace);
	}
	free(path);
	fsmeta_buffer_release(&text);
	return code;
}

/** On standard output, for scripts; escaped where it could do a terminal harm. */
static int print_identity(const char *id, struct fsmeta_error *error)
{
	struct fsmeta_buffer line = {0};
	int failed = fsmeta_text_append_quoted(&line, id, strlen(id));

	failed |= fsmeta_buffer_append_byte(&line, '\n');
	if (!failed)
		fwrite(line.data, 1, line.length, stdout);
	fsmeta_buffer_release(&line);
	return failed ? fsmeta_error_set_memory(error, action) : fsmeta_flush_output(error);
}

int fsmeta_command_init(int argc, char **argv)
{
	struct init_arguments arguments = {0};
	struct init_state state = {.arguments = &arguments, .folder_fd = -1};
	struct fsmeta_error error = {0};
	int status;

	fsmeta_arguments(&argp, argc, argv, &arguments);
	status = look(&state, &error);
	if (status >= 0)
		status = judge(&state, &error);
	if (status > 0) {
		status = write_marker(&state, &error);
	} else if (status == 0) {
		fsmeta_note(arguments.folder, "it has its identity already");
		state.new = state.old;
		state.old = (struct fsmeta_marker){0};
	}
	if (status >= 0)
		status = print_identity(state.new.source_id, &error);
	fsmeta_error_add_path(&error, arguments.folder);
	status = status < 0 ? fsmeta_report(&error) : FSMETA_EXIT_OK;

	fsmeta_marker_release(&state.old);
	fsmeta_marker_release(&state.new);
	if (state.folder_fd >= 0)
		close(state.folder_fd);
	fsmeta_cursor_close(state.cursor);
	return status;
}
