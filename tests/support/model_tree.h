/*
 * Nodes of the model and how its world changes: what model.c and model_tree.c share.
 */
#ifndef FSMETA_TESTS_MODEL_TREE_H
#define FSMETA_TESTS_MODEL_TREE_H

#include "tests/support/model.h"

/** Sets path, name and depth; `path` must live as long as the entry. */
void model_set_path(struct fsmeta_entry *entry, const char *path, size_t length);

/** Appends a copy; the caller restores the order. */
struct model_node *model_append(struct model_nodes *nodes, const struct model_node *node);

void model_sort(struct model_nodes *nodes);

/** One behind the last node that is at or below items[at]. */
size_t model_end_of(const struct model_nodes *nodes, size_t at);

/** Length of the path of the folder above; not for the root. */
size_t model_parent_length(const struct fsmeta_entry *entry);

/** Makes the world's root. */
void model_create_world(struct model *model);

/** Changes the world at a random place in a random way. */
void model_mutate(struct model *model);

/** A random name, of few. */
const char *model_random_name(struct model *model);

/** A place for something new: copied into the arena; NULL where luck fails. */
const char *model_random_place(struct model *model);

#endif
