/*
 * The data of a report as JSON inside of an HTML page.  Keys are documented on top of
 * tools/report.js, which reads them.
 */
#ifndef FSMETA_TOOLS_REPORT_JSON_H
#define FSMETA_TOOLS_REPORT_JSON_H

#include "tools/report_gather.h"

/** Where the text goes, and what of it is not written yet. */
struct fsmeta_report_output {
	int fd;
	/** For messages; *borrowed*. */
	const char *path;
	struct fsmeta_buffer text;
	/** For strings that are put together before they are escaped, reused. */
	struct fsmeta_buffer scratch;
	struct fsmeta_buffer escaped;
};

void fsmeta_report_output_release(struct fsmeta_report_output *output);

/**
 * Writes the whole object.  More than `limit` changes are cut: first those inside of folders that
 * came or went, and where that does not do, what is behind the first `limit`.
 */
int fsmeta_report_write_json(struct fsmeta_report_output *output, struct fsmeta_report *report,
    uint64_t limit, struct fsmeta_error *error);

#endif
