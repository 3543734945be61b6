/*
 * Matching gitignore's patterns without ever backtracking far.
 *
 * A pattern is cut at its slashes when it is read, because a wildcard never
 * crosses one:
 *
 *     !/cam?/ ** /[0-9]*.tmp/        negated, anchored, folders only
 *       ────  ──  ──────────         (but for the spaces, which C needs here)
 *       GLOB  ANY    GLOB            parts
 *
 * Matching is then the same simple thing at two heights: a sequence with one kind
 * of star in it.  Of bytes in a name, where '*' stands for any bytes; and of names
 * in a path, where "**" stands for any names.  Such a sequence needs no recursion:
 * when it comes to a mismatch, the last star takes one item more and the matching
 * goes on behind it.  Earlier stars need not be tried again, because whatever the
 * last one could see from there it can see now.  So the work is at most the
 * product of the two lengths, also for patterns out of a hostile stream, where
 * the usual recursion takes exponential time ("*a*a*a*a…").
 *
 * A bracket may hold a slash, which matches nothing but keeps the bracket
 * together, so cutting has to read brackets exactly as matching does, and both
 * use one function for it.  It follows git's wildmatch, which differs from POSIX in
 * details: ']' directly behind '[' or '[!' is a member, '\' escapes inside too, and
 * an unknown [:class:] spoils the whole pattern.
 *
 * Where git's program and its manual differ (in what "**" means that is only a part
 * of a name), this follows the manual: such stars are ordinary ones.
 */
#include "format/exclude.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- brackets ----------------------------------------------------------- */

/** A [:class:] of ASCII, whatever the locale: 1 or 0 for a member or not, -1 for no class. */
static int is_in_class(unsigned char c, const char *name, size_t length)
{
	static const struct {
		const char *name;
		int (*holds)(int c);
	} classes[] = {
	    {"alnum", isalnum},
	    {"alpha", isalpha},
	    {"blank", isblank},
	    {"cntrl", iscntrl},
	    {"digit", isdigit},
	    {"graph", isgraph},
	    {"lower", islower},
	    {"print", isprint},
	    {"punct", ispunct},
	    {"space", isspace},
	    {"upper", isupper},
	    {"xdigit", isxdigit},
	};

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (strlen(classes[i].name) == length && !memcmp(classes[i].name, name, length))
			return c < 0x80 && classes[i].holds(c);
	return -1;
}

/** The end of the class name in "[:name:]" whose '[' is at `at`; NULL where it is none. */
static const char *find_class_end(const char *at, const char *end)
{
	const char *close = memchr(at + 2, ']', (size_t)(end - at - 2));

	return close && close - 1 >= at + 2 && close[-1] == ':' ? close - 1 : NULL;
}

/** One member of a bracket, or a range of them. */
struct member {
	/** What it is, for a '-' behind it; -1 where it cannot begin a range. */
	int value;
	bool matches;
};

/**
 * Reads the member at `at`, of which `before` was the last one.  Where the next one
 * begins, or NULL where the bracket cannot be read.
 */
static const char *read_member(
    struct member *out, const char *at, const char *end, unsigned char c, int before)
{
	const char *class_end;

	if (*at == '-' && before > 0 && at + 1 < end && at[1] != ']') {
		if (*++at == '\\' && ++at == end)
			return NULL;
		*out =
		    (struct member){.value = -1, .matches = c >= before && c <= (unsigned char)*at};
		return at + 1;
	}
	class_end = *at == '[' && at + 1 < end && at[1] == ':' ? find_class_end(at, end) : NULL;
	if (class_end) {
		int holds = is_in_class(c, at + 2, (size_t)(class_end - at - 2));

		*out = (struct member){.value = -1, .matches = holds > 0};
		return holds < 0 ? NULL : class_end + 2;
	}
	/* Without any ']' from here on the bracket will not end either. */
	if (*at == '\\' && ++at == end)
		return NULL;
	*out = (struct member){.value = (unsigned char)*at, .matches = c == (unsigned char)*at};
	return at + 1;
}

/**
 * Reads the bracket that begins at `at`; *matches says whether it holds `c`.
 * What is behind its ']', or NULL where it is none.
 */
static const char *read_bracket(const char *at, const char *end, unsigned char c, bool *matches)
{
	struct member member = {.value = -1};
	bool negated = false, found = false, first = true;

	at++;
	if (at < end && (*at == '!' || *at == '^')) {
		negated = true;
		at++;
	}
	for (; at && at < end && (first || *at != ']'); first = false) {
		at = read_member(&member, at, end, c, member.value);
		found |= at && member.matches;
	}
	*matches = found != negated;
	return at && at < end ? at + 1 : NULL;
}

/* ---- reading patterns ---------------------------------------------------- */

/** What is behind the token at `at`; NULL where it is broken. */
static const char *token_end(const char *at, const char *end)
{
	bool ignored;

	switch (*at) {
	case '\\':
		return at + 1 < end ? at + 2 : NULL;
	case '[':
		return read_bracket(at, end, 0, &ignored);
	default:
		return at + 1;
	}
}

static bool is_special(char c)
{
	return c == '*' || c == '?' || c == '[' || c == '\\';
}

static bool has_special(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (is_special(text[i]))
			return true;
	return false;
}

static bool is_all_stars(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (text[i] != '*')
			return false;
	return length >= 2;
}

static struct fsmeta_exclude_part make_part(const char *text, size_t length, bool anchored)
{
	struct fsmeta_exclude_part part = {FSMETA_EXCLUDE_GLOB, text, length};

	if (!has_special(text, length)) {
		part.kind = FSMETA_EXCLUDE_LITERAL;
	} else if (anchored && is_all_stars(text, length)) {
		part.kind = FSMETA_EXCLUDE_ANY_FOLDERS;
	} else if (*text == '*' && !has_special(text + 1, length - 1)) {
		part.kind = FSMETA_EXCLUDE_SUFFIX;
		part.text++;
		part.length--;
	}
	return part;
}

/** The slash that ends the part at `at`, or `end`; NULL where something in it is broken. */
static const char *part_end(const char *at, const char *end)
{
	while (at && at < end && *at != '/' && !(*at == '\\' && at + 1 < end && at[1] == '/'))
		at = token_end(at, end);
	return at;
}

/** Cuts `text` into parts at `out`.  How many, or 0 where it can match nothing. */
static size_t cut(struct fsmeta_exclude_part *out, const char *text, const char *end, bool anchored)
{
	size_t count = 0;

	for (;;) {
		const char *stop = part_end(text, end);

		if (!stop || stop == text)
			return 0;
		out[count++] = make_part(text, (size_t)(stop - text), anchored);
		if (stop == end)
			return count;
		text = stop + (*stop == '\\' ? 2 : 1);
	}
}

/** Appends the pattern to the list if it can match anything. */
static void add_pattern(struct fsmeta_excludes *list, const char *text, size_t length)
{
	struct fsmeta_exclude_pattern pattern = {.first_part = list->part_count};
	const char *end = text + length;

	if (text < end && *text == '!') {
		pattern.negated = true;
		text++;
	}
	if (text < end && end[-1] == '/') {
		pattern.folders_only = true;
		end--;
	}
	pattern.anchored = memchr(text, '/', (size_t)(end - text)) != NULL;
	if (pattern.anchored && *text == '/')
		text++;
	pattern.part_count = cut(list->parts + list->part_count, text, end, pattern.anchored);
	if (!pattern.part_count)
		return;
	list->part_count += pattern.part_count;
	list->patterns[list->count++] = pattern;
}

/** Most parts that the patterns can have. */
static size_t count_parts(const struct fsmeta_string_list *patterns)
{
	size_t count = 0;

	for (size_t i = 0; i < patterns->count; i++) {
		count++;
		for (size_t j = 0; j < patterns->lengths[i]; j++)
			count += patterns->items[i][j] == '/';
	}
	return count;
}

int fsmeta_excludes_init(struct fsmeta_excludes *out, const struct fsmeta_string_list *patterns)
{
	*out = (struct fsmeta_excludes){0};
	if (!patterns->count)
		return 0;
	out->patterns = calloc(patterns->count, sizeof(*out->patterns));
	out->parts = calloc(count_parts(patterns), sizeof(*out->parts));
	if (!out->patterns || !out->parts) {
		fsmeta_excludes_release(out);
		return FSMETA_E_MEMORY;
	}
	for (size_t i = 0; i < patterns->count; i++)
		add_pattern(out, patterns->items[i], patterns->lengths[i]);
	return 0;
}

void fsmeta_excludes_release(struct fsmeta_excludes *excludes)
{
	free(excludes->patterns);
	free(excludes->parts);
	*excludes = (struct fsmeta_excludes){0};
}

/* ---- matching ------------------------------------------------------------- */

/** What is behind the token at `at` where it matches byte `c`, else NULL. */
static const char *match_token(const char *at, const char *end, unsigned char c)
{
	bool matches;

	switch (*at) {
	case '?':
		return at + 1;
	case '\\':
		return (unsigned char)at[1] == c ? at + 2 : NULL;
	case '[':
		at = read_bracket(at, end, c, &matches);
		return matches ? at : NULL;
	default:
		return (unsigned char)*at == c ? at + 1 : NULL;
	}
}

static bool match_glob(const char *glob, size_t glob_length, const char *name, size_t length)
{
	const char *glob_end = glob + glob_length, *end = name + length;
	const char *star = NULL, *star_name = NULL;

	while (name < end) {
		const char *behind;

		if (glob < glob_end && *glob == '*') {
			star = ++glob;
			star_name = name;
			continue;
		}
		behind = glob < glob_end ? match_token(glob, glob_end, (unsigned char)*name) : NULL;
		if (behind) {
			glob = behind;
			name++;
		} else if (star) {
			glob = star;
			name = ++star_name;
		} else {
			return false;
		}
	}
	while (glob < glob_end && *glob == '*')
		glob++;
	return glob == glob_end;
}

static bool match_name(const struct fsmeta_exclude_part *part, const char *name, size_t length)
{
	switch (part->kind) {
	case FSMETA_EXCLUDE_LITERAL:
		return length == part->length && !memcmp(name, part->text, length);
	case FSMETA_EXCLUDE_SUFFIX:
		return length >= part->length &&
		       !memcmp(name + length - part->length, part->text, part->length);
	case FSMETA_EXCLUDE_GLOB:
		return match_glob(part->text, part->length, name, length);
	case FSMETA_EXCLUDE_ANY_FOLDERS:
		return true;
	}
	return false;
}

/** Offset behind the name that begins at `offset`. */
static size_t name_end(const char *path, size_t length, size_t offset)
{
	const char *slash = memchr(path + offset, '/', length - offset);

	return slash ? (size_t)(slash - path) : length;
}

static bool match_path(
    const struct fsmeta_exclude_part *parts, size_t count, const char *path, size_t length)
{
	size_t at = 0, offset = 0, star = SIZE_MAX, star_offset = 0;

	while (offset < length) {
		size_t end;

		if (at < count && parts[at].kind == FSMETA_EXCLUDE_ANY_FOLDERS) {
			star = ++at;
			star_offset = offset;
			if (at == count)
				return true;
			continue;
		}
		end = name_end(path, length, offset);
		if (at < count && match_name(&parts[at], path + offset, end - offset)) {
			at++;
			offset = end + 1;
		} else if (star != SIZE_MAX) {
			at = star;
			offset = star_offset = name_end(path, length, star_offset) + 1;
		} else {
			return false;
		}
	}
	return at == count;
}

bool fsmeta_excludes_match(
    const struct fsmeta_excludes *excludes, const char *path, size_t length, bool is_folder)
{
	const char *slash = length ? memrchr(path, '/', length) : NULL;
	const char *name = slash ? slash + 1 : path;

	if (!length)
		return false;
	for (size_t i = excludes->count; i > 0; i--) {
		const struct fsmeta_exclude_pattern *pattern = &excludes->patterns[i - 1];
		const struct fsmeta_exclude_part *parts = excludes->parts + pattern->first_part;

		if (pattern->folders_only && !is_folder)
			continue;
		if (pattern->anchored ? match_path(parts, pattern->part_count, path, length)
				      : match_name(parts, name, length - (size_t)(name - path)))
			return !pattern->negated;
	}
	return false;
}

bool fsmeta_excludes_cover(
    const struct fsmeta_excludes *excludes, const char *path, size_t length, bool is_folder)
{
	for (size_t end = 0; end < length && excludes->count;) {
		end = name_end(path, length, end ? end + 1 : 0);
		if (fsmeta_excludes_match(excludes, path, end, end < length || is_folder))
			return true;
	}
	return false;
}
