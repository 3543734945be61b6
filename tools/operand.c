#include "tools/operand.h"

#include "base/path.h"
#include "format/stream.h"
#include "tools/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct prefix {
	const char *text;
	enum fsmeta_operand_kind kind;
} prefixes[] = {
    {"live:", FSMETA_OPERAND_LIVE},
    {"stream:", FSMETA_OPERAND_STREAM_FOLDER},
    {"db:", FSMETA_OPERAND_DATABASE},
};

/* Splits PATH@GENERATION in place, unless PATH@GENERATION itself exists. */
static void split_generation(struct fsmeta_operand *operand)
{
	char *at = strrchr(operand->path, '@');

	if (!at || at == operand->path || access(operand->path, F_OK) == 0)
		return;
	*at = '\0';
	operand->generation = at + 1;
}

/* What a stream operand is made of: a folder, a file to seek in, or a pipe. */
static void judge_stream(struct fsmeta_operand *operand, const struct stat *status)
{
	if (S_ISDIR(status->st_mode))
		operand->kind = FSMETA_OPERAND_STREAM_FOLDER;
	else if (S_ISREG(status->st_mode))
		operand->kind = FSMETA_OPERAND_STREAM_FILE;
	else
		operand->kind = FSMETA_OPERAND_STREAM_PIPE;
}

static int judge_content(
    struct fsmeta_operand *operand, const struct stat *status, struct fsmeta_error *error)
{
	const char *path = operand->path;

	if (S_ISDIR(status->st_mode)) {
		operand->kind = fsmeta_stream_is_folder(path) ? FSMETA_OPERAND_STREAM_FOLDER
							      : FSMETA_OPERAND_LIVE;
		return 0;
	}
	if (!S_ISREG(status->st_mode)) {
		operand->kind = FSMETA_OPERAND_STREAM_PIPE;
		return 0;
	}
	if (fsmeta_db_is_database(path)) {
		operand->kind = FSMETA_OPERAND_DATABASE;
		return 0;
	}
	if (fsmeta_stream_is_file(path)) {
		operand->kind = FSMETA_OPERAND_STREAM_FILE;
		return 0;
	}
	return fsmeta_error_set_at(error, FSMETA_E_FOREIGN, path, 0, "recognising the operand",
	    "neither a folder nor a FsScanStream nor a FsMetaDb");
}

int fsmeta_operand_parse(struct fsmeta_operand *out, const char *text, struct fsmeta_error *error)
{
	enum fsmeta_operand_kind forced = 0;
	struct stat status;
	const char *path = text;
	size_t i;

	memset(out, 0, sizeof(*out));
	out->text = text;
	for (i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		size_t length = strlen(prefixes[i].text);

		if (strncmp(text, prefixes[i].text, length) == 0) {
			forced = prefixes[i].kind;
			path = text + length;
			break;
		}
	}
	out->is_told = forced != 0;
	out->path = strdup(path);
	if (!out->path)
		return fsmeta_error_set_memory(error, "reading the command line");
	if (strcmp(path, "-") == 0 && (!forced || forced == FSMETA_OPERAND_STREAM_FOLDER)) {
		out->kind = FSMETA_OPERAND_STREAM_PIPE;
		return 0;
	}
	if (!forced || forced == FSMETA_OPERAND_DATABASE)
		split_generation(out);
	if (stat(out->path, &status) != 0)
		return fsmeta_error_set_errno(error, errno, out->path, "opening the operand");
	if (forced == FSMETA_OPERAND_STREAM_FOLDER)
		judge_stream(out, &status);
	else if (forced)
		out->kind = forced;
	else if (judge_content(out, &status, error) < 0)
		return error ? (int)error->code : FSMETA_E_FOREIGN;
	if (out->generation && out->kind != FSMETA_OPERAND_DATABASE)
		return fsmeta_error_set(error, FSMETA_E_USAGE, out->path, "reading the operand",
		    "'@%s' names a generation, and this is no database", out->generation);
	return 0;
}

const char *fsmeta_operand_inner_path(char *text)
{
	size_t length;

	while (text[0] == '.' && text[1] == '/')
		for (text += 2; *text == '/'; text++)
			;
	length = strlen(text);
	while (length && text[length - 1] == '/')
		text[--length] = '\0';
	if (strcmp(text, ".") == 0)
		return "";
	return fsmeta_path_is_valid(text, length) ? text : NULL;
}

void fsmeta_operand_release(struct fsmeta_operand *operand)
{
	fsmeta_db_close(operand->db);
	free(operand->path);
	memset(operand, 0, sizeof(*operand));
}

static int open_live(struct fsmeta_cursor **out, struct fsmeta_operand *operand,
    const struct fsmeta_operand_options *options, struct fsmeta_error *error)
{
	struct fsmeta_scan_options scan;

	if (options && options->scan)
		scan = *options->scan;
	else
		memset(&scan, 0, sizeof(scan));
	scan.stop = &fsmeta_stop_signal;
	/* A copy may well be looked at and compared; it only must not pass for the original. */
	scan.pass_over_copied_marker = true;
	return fsmeta_scan_open(out, operand->path, &scan, error);
}

static int open_descriptor(struct fsmeta_cursor **out, struct fsmeta_delta **delta, int fd,
    const char *label, struct fsmeta_error *error)
{
	return delta ? fsmeta_stream_open_either(out, delta, fd, label, error)
		     : fsmeta_stream_open_fd(out, fd, label, error);
}

/** `delta` is NULL where only a tree will do. */
static int open_pipe(struct fsmeta_cursor **out, struct fsmeta_delta **delta,
    struct fsmeta_operand *operand, struct fsmeta_error *error)
{
	int fd;

	if (strcmp(operand->path, "-") == 0) {
		if (isatty(STDIN_FILENO))
			return fsmeta_error_set(error, FSMETA_E_USAGE, NULL,
			    "reading standard input", "a stream is binary, and this is a terminal");
		/* The cursor closes what it reads, and nobody else may lose stdin for that. */
		fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
		return fd < 0 ? fsmeta_error_set_errno(error, errno, NULL, "reading standard input")
			      : open_descriptor(out, delta, fd, "standard input", error);
	}
	fd = open(operand->path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? fsmeta_error_set_errno(error, errno, operand->path, "opening the stream")
		      : open_descriptor(out, delta, fd, operand->path, error);
}

static struct fsmeta_db_cursor_options database_options(
    const struct fsmeta_operand_options *options)
{
	return (struct fsmeta_db_cursor_options){
	    .seen_only = options && options->seen_only,
	    .stop = &fsmeta_stop_signal,
	};
}

/* Opens the database and finds the generation. */
static int find_generation(struct fsmeta_operand *operand, struct fsmeta_error *error)
{
	int status = fsmeta_db_open(&operand->db, operand->path, FSMETA_DB_READ, error);

	if (status < 0)
		return status;
	return fsmeta_db_resolve(operand->db, operand->generation, &operand->number, error);
}

/* The same for two of one database, which the first alone holds open. */
static int find_generations(struct fsmeta_operand operands[2], struct fsmeta_error *error)
{
	int status = find_generation(&operands[0], error);

	return status < 0 ? status
			  : fsmeta_db_resolve(
				operands[0].db, operands[1].generation, &operands[1].number, error);
}

static int open_database(struct fsmeta_cursor **out, struct fsmeta_operand *operand,
    const struct fsmeta_operand_options *options, struct fsmeta_error *error)
{
	struct fsmeta_db_cursor_options cursor_options = database_options(options);
	int status = find_generation(operand, error);

	if (status < 0)
		return status;
	return fsmeta_db_cursor(out, operand->db, operand->number, &cursor_options, error);
}

int fsmeta_operand_open_database(
    struct fsmeta_operand *out, const char *text, struct fsmeta_error *error)
{
	static const char action[] = "reading the operand";
	int status = fsmeta_operand_parse(out, text, error);

	if (status < 0)
		return status;
	if (out->kind != FSMETA_OPERAND_DATABASE)
		return fsmeta_error_set(
		    error, FSMETA_E_USAGE, out->path, action, "only a database has generations");
	if (out->generation)
		return fsmeta_error_set(error, FSMETA_E_USAGE, out->path, action,
		    "all generations are asked for, and '@%s' names one", out->generation);
	return fsmeta_db_open(&out->db, out->path, FSMETA_DB_READ, error);
}

int fsmeta_operand_open(struct fsmeta_cursor **out, struct fsmeta_operand *operand,
    const struct fsmeta_operand_options *options, struct fsmeta_error *error)
{
	*out = NULL;
	switch (operand->kind) {
	case FSMETA_OPERAND_LIVE:
		return open_live(out, operand, options, error);
	case FSMETA_OPERAND_STREAM_FOLDER:
		return fsmeta_stream_open_folder(out, operand->path, error);
	case FSMETA_OPERAND_STREAM_FILE:
		return fsmeta_stream_open_file(out, operand->path, error);
	case FSMETA_OPERAND_STREAM_PIPE:
		return open_pipe(out, NULL, operand, error);
	case FSMETA_OPERAND_DATABASE:
		return open_database(out, operand, options, error);
	}
	return fsmeta_error_set(
	    error, FSMETA_E_INTERNAL, operand->text, "opening the operand", "unknown kind");
}

int fsmeta_operand_replace_begin(
    struct fsmeta_replace *out, const char *path, struct fsmeta_error *error)
{
	bool is_database = fsmeta_db_is_database(path);

	if (is_database || fsmeta_stream_is_file(path))
		return fsmeta_error_set(error, FSMETA_E_REFUSED, path, "writing",
		    "it is a %s and would be lost", is_database ? "database" : "stream");
	return fsmeta_replace_file_begin(out, path, 0666, error);
}

bool fsmeta_operands_are_one_database(const struct fsmeta_operand operands[2])
{
	struct stat a, b;

	return operands[0].kind == FSMETA_OPERAND_DATABASE &&
	       operands[1].kind == FSMETA_OPERAND_DATABASE && stat(operands[0].path, &a) == 0 &&
	       stat(operands[1].path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int fsmeta_operand_open_pair(struct fsmeta_cursor *out[2], struct fsmeta_operand operands[2],
    const struct fsmeta_operand_options *options, struct fsmeta_error *error)
{
	struct fsmeta_db_cursor_options cursor_options = database_options(options);
	uint64_t numbers[2];
	int status = 0;

	out[0] = out[1] = NULL;
	if (!fsmeta_operands_are_one_database(operands)) {
		for (int i = 0; i < 2 && status >= 0; i++)
			status = fsmeta_operand_open(&out[i], &operands[i], options, error);
		return status;
	}
	status = find_generations(operands, error);
	if (status < 0)
		return status;
	for (int i = 0; i < 2; i++)
		numbers[i] = operands[i].number;
	return fsmeta_db_difference_cursors(
	    out, operands[0].db, NULL, numbers, &cursor_options, error);
}

int fsmeta_operand_open_either(struct fsmeta_cursor **cursor, struct fsmeta_delta **delta,
    struct fsmeta_operand *operand, const struct fsmeta_operand_options *options,
    struct fsmeta_error *error)
{
	*cursor = NULL;
	*delta = NULL;
	if (operand->kind == FSMETA_OPERAND_STREAM_PIPE)
		return open_pipe(cursor, delta, operand, error);
	if ((operand->kind == FSMETA_OPERAND_STREAM_FOLDER ||
		operand->kind == FSMETA_OPERAND_STREAM_FILE) &&
	    fsmeta_delta_is(operand->path))
		return fsmeta_delta_open(delta, operand->path, error);
	return fsmeta_operand_open(cursor, operand, options, error);
}
