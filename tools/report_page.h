/*
 * The page that a report is poured into: tools/report.html with tools/report.css and
 * tools/report.js inside, put together at build time by cmake/EmbedPage.cmake, which also
 * writes into its Content-Security-Policy the hashes that allow just these two.
 */
#ifndef FSMETA_TOOLS_REPORT_PAGE_H
#define FSMETA_TOOLS_REPORT_PAGE_H

#include <stddef.h>

/** What stands in front of the words for those who run no script, from there to the data, and
 * behind. */
extern const unsigned char fsmeta_report_page_before[];
extern const size_t fsmeta_report_page_before_bytes;
extern const unsigned char fsmeta_report_page_middle[];
extern const size_t fsmeta_report_page_middle_bytes;
extern const unsigned char fsmeta_report_page_after[];
extern const size_t fsmeta_report_page_after_bytes;

#endif
