/*
 * What a report tells of video archives: which time each stream covers now, what happened in each
 * step, and a sentence for each stream to which something happened between the generations
 * compared.
 */
#ifndef FSMETA_TOOLS_REPORT_ARCHIVE_H
#define FSMETA_TOOLS_REPORT_ARCHIVE_H

#include "archive/events.h"
#include "db/db.h"
#include "tools/archive_policy.h"
#include "tools/churn.h"

enum {
	/** Streams that are told; others are counted. */
	FSMETA_REPORT_STREAMS_MAX = 1000,
	/** Sentences of one step that are kept. */
	FSMETA_REPORT_SENTENCES_MAX = 300,
};

/** A stream of some step, or of the newest state. */
struct fsmeta_report_stream {
	/** *Borrowed* from the arena. */
	const char *path;
	size_t path_length;
	enum fsmeta_layout layout;
};

/** A stretch of time of one stream to which one thing happened. */
struct fsmeta_report_stretch {
	uint32_t stream;
	/** enum fsmeta_archive_event; NONE: covered in the newer generation. */
	uint32_t event;
	/** Generation that told it, 0 for what is covered. */
	uint64_t generation;
	int64_t from_us;
	int64_t to_us;
	uint64_t pieces;
};

struct fsmeta_report_sentence {
	uint32_t stream;
	bool is_alarm;
	/** Stands out also among other steps: an alarm, something recovered, a few gaps. */
	bool is_news;
	/** The generations compared, not one of the last steps. */
	bool is_asked;
	uint64_t generation;
	/** *Borrowed* from the arena. */
	const char *text;
};

/** Zero-initialised = empty. */
struct fsmeta_report_archive {
	struct fsmeta_arena arena;
	/** What is to be kept; *borrowed*, NULL = nothing is told. */
	const struct fsmeta_policies *policies;
	/** struct fsmeta_report_stream; and uint32_t, their indices in the order of their paths. */
	struct fsmeta_buffer streams;
	struct fsmeta_buffer order;
	/** struct fsmeta_report_stretch */
	struct fsmeta_buffer stretches;
	/** struct fsmeta_report_sentence */
	struct fsmeta_buffer sentences;
	/** Streams and sentences that were left out. */
	uint64_t left_out;
	/** While the newest tree is read. */
	struct fsmeta_archive_events *covered;
	struct fsmeta_cursor *nothing;
};

void fsmeta_report_archive_release(struct fsmeta_report_archive *archive);

/** Before the first entry of the newer tree. */
int fsmeta_report_archive_begin(struct fsmeta_report_archive *archive, struct fsmeta_error *error);

/** Takes the next entry of it. */
int fsmeta_report_archive_entry(struct fsmeta_report_archive *archive,
    const struct fsmeta_entry *entry, struct fsmeta_error *error);

/** After the last. */
int fsmeta_report_archive_end(struct fsmeta_report_archive *archive, struct fsmeta_error *error);

/** One way from generation to generation of `db`; `newer` is the newer one's source. */
struct fsmeta_report_way {
	struct fsmeta_db *db;
	uint64_t older;
	uint64_t newer;
	struct fsmeta_diff *diff;
	/** What of it means nothing. */
	struct fsmeta_churn_filter *churn;
	const struct fsmeta_batch_source *source;
	/** One of the last steps, and the one that was asked for. */
	bool is_step;
	bool is_asked;
};

int fsmeta_report_archive_way(struct fsmeta_report_archive *archive,
    const struct fsmeta_report_way *way, struct fsmeta_error *error);

/** Whether a policy speaks of any stream, or of one that was left out. */
bool fsmeta_report_archive_has(
    const struct fsmeta_report_archive *archive, const struct fsmeta_policy *policy);

#endif
