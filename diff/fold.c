#include "diff/fold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <uninorm.h>

static bool is_ascii(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] >= 0x80)
			return false;
	return true;
}

int fsmeta_fold(struct fsmeta_buffer *out, const char *text, size_t length, bool case_too)
{
	const uint8_t *bytes = (const uint8_t *)text;
	uint8_t *folded = NULL;
	size_t folded_length;
	int code;

	fsmeta_buffer_clear(out);
	if (length && (case_too || !is_ascii(text, length))) {
		folded = case_too
			     ? u8_casefold(bytes, length, NULL, UNINORM_NFC, NULL, &folded_length)
			     : u8_normalize(UNINORM_NFC, bytes, length, NULL, &folded_length);
		if (!folded && errno == ENOMEM)
			return FSMETA_E_MEMORY;
	}
	code = folded ? fsmeta_buffer_append(out, folded, folded_length)
		      : fsmeta_buffer_append(out, text, length);
	free(folded);
	return code;
}

int fsmeta_folds_alike(
    const char *a, size_t a_length, const char *b, size_t b_length, bool case_too)
{
	struct fsmeta_buffer x = {0}, y = {0};
	int code = fsmeta_fold(&x, a, a_length, case_too);

	if (!code)
		code = fsmeta_fold(&y, b, b_length, case_too);
	if (!code)
		code = x.length == y.length && (!x.length || memcmp(x.data, y.data, x.length) == 0);
	fsmeta_buffer_release(&x);
	fsmeta_buffer_release(&y);
	return code;
}
