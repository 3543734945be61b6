/*
 * fsmeta archive: its commands, each in a file of its own.
 */
#include "tools/archive.h"
#include "tools/command.h"

#include <stdio.h>
#include <string.h>

static const struct fsmeta_command commands[] = {
    {"info", "tell layouts, streams, times and gaps from the entries alone",
	fsmeta_archive_command_info},
    {"check", "tell whether policies hold, and with --deep whether the pieces are sound",
	fsmeta_archive_command_check},
    {"read", "write what a stream shows between two times to a video file",
	fsmeta_archive_command_read},
    {"write", "write a video file, or a live one from a pipe, into a stream",
	fsmeta_archive_command_write},
    {"recover", "close what a crash left open", fsmeta_archive_command_recover},
    {"sweep", "take away what is not needed, and keep a budget", fsmeta_archive_command_sweep},
};

enum {
	COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]),
	NAME_BYTES = 64,
};

static void print_usage(FILE *stream)
{
	fprintf(stream, "Usage: fsmeta archive COMMAND [OPTION...] OPERAND\n"
			"Video archives in a live folder, a stream or a database.\n\n");
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(stream, "  %-8s %s\n", commands[i].name, commands[i].summary);
	fprintf(stream, "\nfsmeta archive COMMAND --help tells more.\n");
}

static int run(const struct fsmeta_command *command, int argc, char **argv)
{
	char name[NAME_BYTES];

	snprintf(name, sizeof(name), "fsmeta archive %s", command->name);
	argv[0] = name;
	return command->run(argc, argv);
}

int fsmeta_command_archive(int argc, char **argv)
{
	struct fsmeta_error error;
	const char *word = argc > 1 ? argv[1] : NULL;

	fsmeta_error_clear(&error);
	for (size_t i = 0; word && i < COMMAND_COUNT; i++)
		if (strcmp(word, commands[i].name) == 0)
			return run(&commands[i], argc - 1, argv + 1);
	if (word && (strcmp(word, "--help") == 0 || strcmp(word, "-?") == 0)) {
		print_usage(stdout);
		return fsmeta_flush_output(&error) < 0 ? fsmeta_report(&error) : FSMETA_EXIT_OK;
	}
	if (word)
		fsmeta_note(NULL, "'archive %s' is no command", word);
	print_usage(stderr);
	return FSMETA_EXIT_USAGE;
}
