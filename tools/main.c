/*
 * fsmeta: a filesystem metadata scanner and diff engine for video archives.
 *
 * The map.  A folder may use what stands above it, never what stands below or
 * beside it:
 *
 *   base/      what any C program needs
 *     error      the error value: code, errno, path, offset, action, reason
 *     memory     arenas, growing buffers, sizes that cannot overflow
 *     path       canonical order; the path of a depth-first walk
 *     file       bounded reading; replacing a file or folder whole
 *     spool      bytes kept in memory, and in a temporary file beyond a bound
 *     sort       records sorted, outside of memory beyond a bound
 *     text       UTF-8, quoting, base64, RFC 3339 times
 *   format/    the words that all parts share, and the stream
 *     entry      one file or folder with its metadata; comparing two
 *     source     BatchSource: origin, scope, counts; source.json
 *     digest     the state digest
 *     exclude    gitignore's patterns;  scope: what a scan looks at
 *     cursor     entries in canonical order; run tokens; tee; array
 *     change     one difference, and the sink that takes them
 *     stream     FsScanStream: writer, reader, folder (batch, seekable inside)
 *     packed     columns of varints, eight bytes at a time
 *     frame_output frames packed by a thread of their own;  frame_input: frames as they come
 *     guide      what a quick scan may pass over;  unpack: protobuf of strangers
 *     lookup     entries by path or id;  path_index: paths.idx;  cityhash: what it hashes with
 *     delta      what leads from one generation to another: writer, reader
 *   scanner/   the live tree as a cursor
 *     folder     one folder read, sorted and stat'ed into pieces
 *     filesystem mounts, UUIDs, source ids;  owners: user and group names
 *     marker     the file in a root that carries its source id
 *     ahead      threads that read what the walk will need;  keep: what it does not look at
 *     ahead_queue  what they are to do;  ahead_read: how they do it
 *     scanner    the walk;  rate: no more than so many a second
 *     content    what is in a file, as a hash;  hasher: threads that read
 *   db/        FsMetaDb: generations in SQLite
 *     db         the handle;  internal, update: what its parts share;  statements: their SQL
 *     connection SQLite opened and its errors told;  newfile: a first import on the side
 *     schema     tables, indexes, views, as a stranger reads them
 *     row        an entry as a row;  generation: the generations and their BatchSource
 *     reader     a generation in canonical order;  carried: what its scan did not look at
 *     selection  where two generations may differ;  setting: what was chosen for the source
 *     writer     changes into a new generation;  delta: changes from another database
 *     identity   whose scans a database takes, and under which names
 *     places     where folders stand;  ord: labels that keep them in order
 *     unknown    places that could not be looked into, and since when
 *     history    every state of what ever stood at a path;  history_rows: what it is told from
 *     below      how much a folder holds
 *     guide      the newest generation for a quick scan;  unseen: what of it nobody saw
 *     migrate    a file of an older schema
 *     contents   when the content of a file was read last
 *     verify     is all of it true?
 *     prune      generations taken out, and the space they had
 *   archive/   the layouts of video archives, read and written
 *     archive    which layouts a tree holds, judged from entries alone (survey)
 *     piece      what a name says
 *     events     what changes mean, by events_places, events_older, events_folders
 *     inspect    what is inside of the pieces;  recover: what a crash left, closed;  stream_folder
 *     track      an index of 64-bit words beside a file of packets;  annexb: what is in a packet
 *     segments   continuous recording;  segment_catalog: its records in SQLite
 *     fsv        streams within a budget, written behind one's back;  fsv_index, fsv_buffer,
 *                fsv_disk, fsv_rollover, fsv_read: its parts;  fsv_container, fsv_rf1: its files
 *     recordings payload first, index later;  recording_read, recording_lines
 *     frame_store frames that live as long as a task needs them;  npy: their headers
 *     media      video files, by a module that is loaded (media_libav);  media_nal: start codes
 *     media_write, media_read: packets into a stream and out of it;  media_order: when to decode;
 *     media_grid: exact times out of ticks;  look: which way is up, and colours
 *     names, sqlite_file: what these share
 *   diff/      two cursors in, changes out
 *     merge      two sorted sequences side by side;  compare: two entries
 *     change_spool what it finds, until all is known;  diff: all together
 *     moves      what went and what came are one and the same: gathered;  moves_keys, moves_pair,
 *                moves_write: evidence, pairs, the changes anew;  fold: names as people read them
 *     churn      changes that mean nothing, by rule
 *   tools/     this program
 *     main command operand delta hidden keep progress output summary update; one file a command
 *     reading    options of all that read a live tree;  churn: told in front of an output
 *     output_…   a file for each format;  walk: through an operand or a part of it
 *     selection  which entries and changes are shown;  tally: how much of each kind, and where
 *     hashing    contents hashed ahead, in order;  hash_journal: what did not get committed
 *     quick      whether a scan can be quick;  unseen: what an operand does not know
 *     known_contents hashes of what moved;  corruption: what was found, told
 *     stories    what changes mean for video archives, in sentences
 *     retention  whether what was rotated out was due;  pipe_copy: a pipe, to be read again
 *     archive    its own commands, archive_… a file each;  archive_policy: does a stream hold it;
 *     archive_recordings: those of a folder, as policies see them;
 *     archive_layout: which one a folder has;  archive_roots: the archives below a live folder
 *     report_archive what recordings cover and lost
 *     report_gather what a report tells;  report_tree: the largest folders;  report_json: as data;
 *     report.html, .css, .js: the page around it, which is embedded
 */
#include "tools/command.h"

#include <stdio.h>
#include <string.h>

static const struct fsmeta_command commands[] = {
    {"scan", "scan a folder into a stream, a database, or both", fsmeta_command_scan},
    {"import", "import a stream into a database as its next generation", fsmeta_command_import},
    {"export", "write a database generation or another tree as a stream", fsmeta_command_export},
    {"diff", "tell what changed between two trees, streams or generations", fsmeta_command_diff},
    {"report", "write a page that tells what changed, for a browser", fsmeta_command_report},
    {"log", "list the generations of a database", fsmeta_command_log},
    {"history", "tell what happened to a path in all generations", fsmeta_command_history},
    {"ls", "list a tree, a stream or a generation", fsmeta_command_ls},
    {"find", "list the entries that meet conditions", fsmeta_command_find},
    {"du", "tell what folders take", fsmeta_command_du},
    {"lookup", "print single entries of a stream without reading it all", fsmeta_command_lookup},
    {"check", "verify a stream or a database", fsmeta_command_check},
    {"prune", "remove generations from a database that are not to be kept", fsmeta_command_prune},
    {"archive", "examine video archives, read and write their video", fsmeta_command_archive},
    {"init", "give a folder an identity that it carries with it", fsmeta_command_init},
};

enum {
	COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]),
};

static void print_version(FILE *stream, struct argp_state *state)
{
	(void)state;
	fprintf(stream, "fsmeta %s\n", FSMETA_VERSION);
}

static void print_help(FILE *stream)
{
	size_t i;

	fprintf(stream, "Usage: fsmeta COMMAND [OPTION...] [OPERAND...]\n"
			"Scan file trees, keep their generations, and tell what changed.\n\n");
	for (i = 0; i < COMMAND_COUNT; i++)
		fprintf(stream, "  %-8s %s\n", commands[i].name, commands[i].summary);
	fprintf(stream,
	    "\n"
	    "An OPERAND is a live folder, a stream (folder, .fss file, or - for a pipe) or a "
	    "database\n"
	    "with an optional generation: DB, DB@7, DB@-1, DB@latest, DB@{2026-11-01}.  What it "
	    "is, is\n"
	    "found out from its content; live:, stream: and db: in front decide where it matters.\n"
	    "\n"
	    "Exit status: 0 fine, 1 changes or damage found, 2 done but something was unreadable,\n"
	    "3 refused or failed and nothing was changed, 64 wrong usage.\n"
	    "\n"
	    "fsmeta COMMAND --help tells more; fsmeta --version the version.\n");
}

static const struct fsmeta_command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int run_command(const struct fsmeta_command *command, int argc, char **argv)
{
	char name[64];

	/* argp and getopt name the program by argv[0] in what they print. */
	snprintf(name, sizeof(name), "fsmeta %s", command->name);
	argv[0] = name;
	return command->run(argc, argv);
}

int main(int argc, char **argv)
{
	const struct fsmeta_command *command;
	const char *word = argc > 1 ? argv[1] : NULL;
	struct fsmeta_error error;
	char help[] = "--help";
	char *help_argv[] = {argv[0], help, NULL};

	argp_program_version_hook = print_version;
	fsmeta_signals_setup();
	fsmeta_error_clear(&error);
	if (!word) {
		print_help(stderr);
		return FSMETA_EXIT_USAGE;
	}
	if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
		print_version(stdout, NULL);
		return fsmeta_flush_output(&error) < 0 ? fsmeta_report(&error) : FSMETA_EXIT_OK;
	}
	if (strcmp(word, "--help") == 0 || strcmp(word, "-?") == 0 ||
	    (strcmp(word, "help") == 0 && argc == 2)) {
		print_help(stdout);
		return fsmeta_flush_output(&error) < 0 ? fsmeta_report(&error) : FSMETA_EXIT_OK;
	}
	if (strcmp(word, "help") == 0) {
		command = find_command(argv[2]);
		if (command)
			return run_command(command, 2, help_argv);
		word = argv[2];
	}
	command = find_command(word);
	if (!command) {
		fsmeta_note(NULL, "'%s' is no command; fsmeta --help lists them", word);
		return FSMETA_EXIT_USAGE;
	}
	return run_command(command, argc - 1, argv + 1);
}
