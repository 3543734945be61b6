#include "tools/command.h"

#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

volatile sig_atomic_t fsmeta_stop_signal;

static void on_stop_signal(int number)
{
	/* Other threads may look at it. */
	__atomic_store_n(&fsmeta_stop_signal, number, __ATOMIC_RELAXED);
}

int fsmeta_check_stop(struct fsmeta_error *error)
{
	return fsmeta_stop_signal ? fsmeta_error_set(error, FSMETA_E_STOPPED, NULL, "working",
					"stopped on request")
				  : 0;
}

void fsmeta_signals_setup(void)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	sigemptyset(&action.sa_mask);
	action.sa_handler = on_stop_signal;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	/* A reader that went away must not keep us from removing temporaries. */
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

/* Writes one finished line at once, so that lines of two processes do not mix. */
static void print_line(struct fsmeta_buffer *line)
{
	if (fsmeta_buffer_append_byte(line, '\n') == 0)
		fwrite(line->data, 1, line->length, stderr);
}

int fsmeta_report(const struct fsmeta_error *error)
{
	struct fsmeta_buffer line;

	if (error->code == FSMETA_OK)
		return FSMETA_EXIT_OK;
	if (error->code == FSMETA_E_STOPPED)
		return FSMETA_EXIT_SIGNAL + (fsmeta_stop_signal ? fsmeta_stop_signal : SIGINT);
	if (error->code == FSMETA_E_SYSTEM && error->system_errno == EPIPE)
		return FSMETA_EXIT_SIGNAL + SIGPIPE;

	fsmeta_buffer_init(&line);
	fsmeta_buffer_append_text(&line, "fsmeta: ");
	if (error->path[0]) {
		fsmeta_text_append_quoted(&line, error->path, strlen(error->path));
		fsmeta_buffer_append_text(&line, ": ");
	}
	if (error->action[0]) {
		fsmeta_text_append_plain(&line, error->action, strlen(error->action));
		fsmeta_buffer_append_text(&line, ": ");
	}
	fsmeta_text_append_plain(&line, error->reason, strlen(error->reason));
	if (error->offset >= 0)
		fsmeta_buffer_append_format(&line, " (at byte %lld)", (long long)error->offset);
	print_line(&line);
	fsmeta_buffer_release(&line);
	return error->code == FSMETA_E_USAGE ? FSMETA_EXIT_USAGE : FSMETA_EXIT_FAILED;
}

void fsmeta_note(const char *path, const char *format, ...)
{
	struct fsmeta_buffer line;
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);

	fsmeta_buffer_init(&line);
	fsmeta_buffer_append_text(&line, "fsmeta: ");
	if (path) {
		fsmeta_text_append_quoted(&line, path, strlen(path));
		fsmeta_buffer_append_text(&line, ": ");
	}
	fsmeta_text_append_plain(&line, text, strlen(text));
	print_line(&line);
	fsmeta_buffer_release(&line);
}

void fsmeta_arguments(const struct argp *argp, int argc, char **argv, void *input)
{
	error_t failure;

	argp_err_exit_status = FSMETA_EXIT_USAGE;
	failure = argp_parse(argp, argc, argv, 0, NULL, input);
	if (failure) {
		fsmeta_note(NULL, "reading the command line: %s", strerror(failure));
		exit(FSMETA_EXIT_FAILED);
	}
}

int fsmeta_flush_output(struct fsmeta_error *error)
{
	if (fflush(stdout) != 0 || ferror(stdout))
		return fsmeta_error_set_errno(
		    error, errno ? errno : EIO, NULL, "writing to standard output");
	return 0;
}
