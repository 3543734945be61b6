/*
 * Names of the kinds of change.
 */
#include "format/change.h"

const char *fsmeta_change_kind_name(enum fsmeta_change_kind kind)
{
	switch (kind) {
	case FSMETA_CHANGE_ADDED:
		return "added";
	case FSMETA_CHANGE_REMOVED:
		return "removed";
	case FSMETA_CHANGE_MODIFIED:
		return "modified";
	case FSMETA_CHANGE_MOVED:
		return "moved";
	case FSMETA_CHANGE_CORRUPTED:
		return "corrupted";
	case FSMETA_CHANGE_UNREADABLE:
		return "unreadable";
	case FSMETA_CHANGE_UNKNOWN:
		return "unknown";
	}
	return NULL;
}
