/*
 * What the commands of the program share: their table, exit statuses, signals,
 * and the one place where errors become lines on stderr.
 *
 * Everything in tools/ is single-threaded and owns the process: it may print,
 * and main() may exit.  Nothing below tools/ does either.
 */
#ifndef FSMETA_TOOLS_COMMAND_H
#define FSMETA_TOOLS_COMMAND_H

#include "base/error.h"

#include <argp.h>
#include <signal.h>
#include <stdbool.h>

/** Exit statuses, as README and the man page promise them. */
enum fsmeta_exit {
	FSMETA_EXIT_OK = 0,
	/** diff found changes, check found damage. */
	FSMETA_EXIT_CHANGES = 1,
	/** Done, but something could not be read; outranks CHANGES. */
	FSMETA_EXIT_PARTIAL = 2,
	/** Refused or failed; nothing was changed. */
	FSMETA_EXIT_FAILED = 3,
	FSMETA_EXIT_USAGE = 64,
	/** Added to the signal's number when one stopped us. */
	FSMETA_EXIT_SIGNAL = 128,
};

/** One command of the program. */
struct fsmeta_command {
	const char *name;
	/** One line for `fsmeta --help`. */
	const char *summary;
	/** Runs with argv[0] = "fsmeta NAME"; returns an exit status. */
	int (*run)(int argc, char **argv);
};

int fsmeta_command_scan(int argc, char **argv);
int fsmeta_command_init(int argc, char **argv);
int fsmeta_command_archive(int argc, char **argv);
int fsmeta_command_import(int argc, char **argv);
int fsmeta_command_export(int argc, char **argv);
int fsmeta_command_diff(int argc, char **argv);
int fsmeta_command_log(int argc, char **argv);
int fsmeta_command_history(int argc, char **argv);
int fsmeta_command_ls(int argc, char **argv);
int fsmeta_command_find(int argc, char **argv);
int fsmeta_command_du(int argc, char **argv);
int fsmeta_command_lookup(int argc, char **argv);
int fsmeta_command_check(int argc, char **argv);
int fsmeta_command_prune(int argc, char **argv);
int fsmeta_command_report(int argc, char **argv);

/** Number of the signal that asked us to stop, 0 while none did. */
extern volatile sig_atomic_t fsmeta_stop_signal;

/** FSMETA_E_STOPPED once a signal asked us to stop, else 0.  For every loop over entries. */
int fsmeta_check_stop(struct fsmeta_error *error);

/** SIGINT and SIGTERM raise the flag; SIGPIPE becomes EPIPE. */
void fsmeta_signals_setup(void);

/**
 * Prints `fsmeta: PATH: ACTION: REASON` on stderr, escaped for a terminal, and
 * returns the exit status that belongs to the error.  A closed pipe and a stop
 * by signal print nothing.
 */
int fsmeta_report(const struct fsmeta_error *error);

/** Prints a line that is no failure ("warning", "note") in the same form. */
void fsmeta_note(const char *path, const char *format, ...) __attribute__((format(printf, 2, 3)));

/**
 * argp_parse() with our conventions: usage errors exit 64, --help and --version
 * exit 0.
 */
void fsmeta_arguments(const struct argp *argp, int argc, char **argv, void *input);

/** Flushes stdout and turns a failure of it into an error. */
int fsmeta_flush_output(struct fsmeta_error *error);

#endif
