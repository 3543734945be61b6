/*
 * Inside of tools/output: an output, the parts of a line that all formats share,
 * and what a format has to offer.
 *
 * The fsmeta_line_… functions that return nothing write into room that has been
 * made before: FSMETA_LINE_FIXED_BYTES at the start of each line, and again after
 * every append of variable length.
 */
#ifndef FSMETA_TOOLS_OUTPUT_LINE_H
#define FSMETA_TOOLS_OUTPUT_LINE_H

#include "base/memory.h"
#include "base/text.h"
#include "tools/output.h"

#include <string.h>

enum {
	/** More than the fixed parts of any line: every key, every number, three times. */
	FSMETA_LINE_FIXED_BYTES = 2048,
	/** Slots of the table of days, a power of two. */
	FSMETA_LINE_DAY_SLOTS = 1024,
	FSMETA_LINE_DAY_TEXT_BYTES = 24,
	FSMETA_LINE_LITERAL_BYTES = 23,
};

/** "2026-11-20", or with a longer year. */
struct fsmeta_line_day_text {
	int64_t day;
	unsigned char length;
	char text[FSMETA_LINE_DAY_TEXT_BYTES];
};

/** What an output gets. */
enum fsmeta_line_rows {
	FSMETA_LINE_ENTRIES = 0,
	FSMETA_LINE_CHANGES,
	FSMETA_LINE_USAGES,
};

/** Which part of a context a format can say. */
enum fsmeta_line_context {
	FSMETA_LINE_NO_CONTEXT = 0,
	FSMETA_LINE_TEXT_CONTEXT,
	FSMETA_LINE_JSON_CONTEXT,
};

/**
 * What a format writes; each appends one whole line to output->lines.  0 or FSMETA_E_MEMORY.
 * NULL = not in this format.
 */
struct fsmeta_output_writer {
	/** In front of the first line, also where none follows. */
	int (*begin)(struct fsmeta_output *output);
	int (*entry)(struct fsmeta_output *output, const struct fsmeta_entry *entry);
	int (*change)(struct fsmeta_output *output, const struct fsmeta_change *change);
	int (*known)(
	    struct fsmeta_output *output, const struct fsmeta_entry *entry, uint64_t unknown_since);
	int (*usage)(struct fsmeta_output *output, const struct fsmeta_output_usage *usage);
	/** Behind the last line. */
	int (*end)(struct fsmeta_output *output);
	/** Frees output->state. */
	void (*release)(struct fsmeta_output *output);
	/** Descendants of added and removed folders get lines of their own. */
	bool shows_inside;
	enum fsmeta_line_context context;
};

extern const struct fsmeta_output_writer fsmeta_output_csv;
extern const struct fsmeta_output_writer fsmeta_output_json;
extern const struct fsmeta_output_writer fsmeta_output_mtree;
extern const struct fsmeta_output_writer fsmeta_output_ncdu;
extern const struct fsmeta_output_writer fsmeta_output_text;
/** Raw paths between NUL bytes. */
extern const struct fsmeta_output_writer fsmeta_output_raw;

struct fsmeta_output {
	/** First, so that the sink is the output. */
	struct fsmeta_change_sink sink;
	FILE *stream;
	const struct fsmeta_output_writer *writer;
	enum fsmeta_line_rows rows;
	bool has_begun;
	bool shows_inside;
	/** The older side's values and totals are not known. */
	bool newer_only;
	/** What was added or removed is shown with its mtime. */
	bool dated;
	bool colours;
	struct fsmeta_output_context context;
	const struct fsmeta_batch_source *newer;
	const struct fsmeta_batch_source *older;
	/** Lines not written yet. */
	struct fsmeta_buffer lines;
	size_t flush_bytes;
	/** For paths that are put together before they are quoted, reused. */
	struct fsmeta_buffer scratch;
	/** A slot whose length is 0 is empty. */
	struct fsmeta_line_day_text days[FSMETA_LINE_DAY_SLOTS];
	/** What a writer needs besides; freed by its release. */
	void *state;
	/** Of a tree that is written as one: where in it we are. */
	struct {
		/** Depth of the first entry, from which all others are counted. */
		uint32_t root_depth;
		/** Folders that have not been ended. */
		uint32_t open;
		/** An entry of another file system than the first has come. */
		bool other_devices;
	} tree;
};

static inline void fsmeta_line_text(struct fsmeta_buffer *out, const char *text, size_t length)
{
	memcpy(out->data + out->length, text, length);
	out->length += length;
}

#define FSMETA_LINE_PUT(out, literal) fsmeta_line_text(out, literal, sizeof(literal) - 1)

static inline void fsmeta_line_byte(struct fsmeta_buffer *out, char byte)
{
	out->data[out->length++] = (unsigned char)byte;
}

/** A short text, written by a copy of constant length. */
struct fsmeta_line_literal {
	unsigned char length;
	char text[FSMETA_LINE_LITERAL_BYTES];
};

#define FSMETA_LINE_LITERAL(literal)         \
	{                                    \
		sizeof(literal) - 1, literal \
	}

/** There is room for a whole literal. */
static inline void fsmeta_line_literal(
    struct fsmeta_buffer *out, const struct fsmeta_line_literal *literal)
{
	memcpy(out->data + out->length, literal->text, sizeof(literal->text));
	out->length += literal->length;
}

/** A field that has a short text of its own: all but target, flags and hash. */
struct fsmeta_line_column {
	uint32_t field;
	/** Its text is a string of JSON. */
	bool is_string;
	const char *name;
	/** What JSON has in front of the value: ,"name": and the quote of a string. */
	struct fsmeta_line_literal json;
};

enum {
	FSMETA_LINE_COLUMNS = 12,
};

/** In the order in which keys and columns are written. */
extern const struct fsmeta_line_column fsmeta_line_columns[FSMETA_LINE_COLUMNS];

/** The value of the field, which the entry has, as JSON lines and CSV write it. */
void fsmeta_line_value(
    struct fsmeta_output *output, const struct fsmeta_entry *entry, uint32_t field);

/** "xxh3:HEX"; nothing where there is no hash. */
int fsmeta_line_hash(struct fsmeta_buffer *out, const struct fsmeta_entry *entry);

/**
 * ,"KEY":"TEXT", and "KEY_b64" behind it where the bytes are no UTF-8.  Afterwards there is
 * room for the fixed parts of a line again.
 */
int fsmeta_line_json_string(
    struct fsmeta_buffer *out, const char *key, const char *bytes, size_t length);

/** st_mode: the type's bits and the mode's. */
uint32_t fsmeta_line_full_mode(const struct fsmeta_entry *entry);

/** Decimal digits. */
void fsmeta_line_number(struct fsmeta_buffer *out, uint64_t value);

/** At least four octal digits: "0644", "4755". */
void fsmeta_line_mode(struct fsmeta_buffer *out, uint32_t mode);

/** Number of the day since 1970 that holds this second. */
int64_t fsmeta_line_day_of(int64_t seconds);

/** "2026-11-20" */
void fsmeta_line_day(struct fsmeta_output *output, struct fsmeta_time time);

/** "10:00:00" */
void fsmeta_line_time_of_day(struct fsmeta_buffer *out, struct fsmeta_time time);

/** ".000000001" */
void fsmeta_line_fraction(struct fsmeta_buffer *out, uint32_t nanoseconds);

/** The same outside of an output; `day` holds the day that was written last, or nothing. */
void fsmeta_line_time_by(
    struct fsmeta_buffer *out, struct fsmeta_line_day_text *day, struct fsmeta_time time);

/** Why an entry is unreadable; a number that has no name here as "ERRNO_123". */
int fsmeta_line_errno_name(struct fsmeta_buffer *out, int number);

#endif
