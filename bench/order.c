/*
 * order [INSERTS]: what order maintenance costs: labels rewritten per folder
 * inserted, into a list of 100,000, by pattern and number of inserts (10^4 up to
 * INSERTS, 10^7 by default).
 *
 *   random     behind a random member
 *   front      always in front of all
 *   back       always behind all
 *   zig-zag    always between the two members inserted last
 *
 * The list is a chain of nodes.  What Ord asks for always lies around the place of
 * the insert, so counting and reading walk from there, and cost what they find.
 */
#include "base/error.h"
#include "db/ord.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	FOLDERS = 100000,
	FEWEST_INSERTS = 10000,
	MOST_INSERTS = 10000000,
};

struct node {
	int64_t label;
	uint32_t previous;
	uint32_t next;
};

/** nodes[0] is both ends: its next is the first member, its previous the last. */
struct chain {
	struct fsmeta_ord_list list;
	struct node *nodes;
	uint32_t used;
	/** Where the walks begin: near the place of the insert. */
	uint32_t place;
};

/** First member with a label of at least `low`, 0 where there is none. */
static uint32_t find(struct chain *chain, int64_t low)
{
	struct node *nodes = chain->nodes;
	uint32_t at = chain->place ? chain->place : nodes[0].next;

	while (at && nodes[at].label < low)
		at = nodes[at].next;
	if (!at)
		at = nodes[0].previous;
	while (nodes[at].previous && nodes[nodes[at].previous].label >= low)
		at = nodes[at].previous;
	return at && nodes[at].label >= low ? at : 0;
}

static int count(struct fsmeta_ord_list *list, int64_t low, int64_t high, uint64_t *out,
    struct fsmeta_error *error)
{
	struct chain *chain = (struct chain *)list;

	(void)error;
	*out = 0;
	for (uint32_t at = find(chain, low); at && chain->nodes[at].label <= high;
	     at = chain->nodes[at].next)
		++*out;
	return 0;
}

static int read_labels(struct fsmeta_ord_list *list, int64_t low, int64_t high, int64_t *labels,
    struct fsmeta_error *error)
{
	struct chain *chain = (struct chain *)list;

	(void)error;
	for (uint32_t at = find(chain, low); at && chain->nodes[at].label <= high;
	     at = chain->nodes[at].next)
		*labels++ = chain->nodes[at].label;
	return 0;
}

static int move(struct fsmeta_ord_list *list, int64_t from, int64_t to, struct fsmeta_error *error)
{
	struct chain *chain = (struct chain *)list;
	uint32_t at = find(chain, from);

	if (!at || chain->nodes[at].label != from)
		return fsmeta_error_set(error, FSMETA_E_INTERNAL, NULL, "moving a label",
		    "label %" PRId64 " is not in use", from);
	chain->nodes[at].label = to;
	/* The next one to be moved is its neighbour. */
	chain->place = at;
	return 0;
}

static void fail(const struct fsmeta_error *error)
{
	fprintf(stderr, "order: %s\n", error->reason);
	exit(1);
}

/** Inserts behind `before` (0: in front of all); the new member. */
static uint32_t insert(struct chain *chain, uint32_t before)
{
	struct node *nodes = chain->nodes;
	uint32_t after = nodes[before].next, fresh = ++chain->used;
	struct fsmeta_error error;
	int64_t label;

	fsmeta_error_clear(&error);
	chain->place = before ? before : after;
	if (fsmeta_ord_insert(
		&label, &chain->list, nodes[before].label, nodes[after].label, false, &error))
		fail(&error);
	nodes[fresh] = (struct node){.label = label, .previous = before, .next = after};
	nodes[before].next = fresh;
	nodes[after].previous = fresh;
	return fresh;
}

static void chain_init(struct chain *chain, size_t inserts)
{
	*chain = (struct chain){.list = {.count = count, .read = read_labels, .move = move}};
	chain->nodes = calloc(FOLDERS + inserts + 1, sizeof(*chain->nodes));
	if (!chain->nodes) {
		perror("order");
		exit(1);
	}
	for (size_t i = 0; i < FOLDERS; i++)
		insert(chain, chain->nodes[0].previous);
	chain->list.moves = 0;
}

static void check(const struct chain *chain)
{
	uint32_t members = 0;
	int64_t last = 0;

	for (uint32_t at = chain->nodes[0].next; at; at = chain->nodes[at].next, members++) {
		if (chain->nodes[at].label <= last) {
			fprintf(stderr, "order: out of order behind label %" PRId64 "\n", last);
			exit(1);
		}
		last = chain->nodes[at].label;
	}
	if (members != chain->used) {
		fprintf(stderr, "order: members are missing\n");
		exit(1);
	}
}

/* splitmix64 (Vigna, public domain). */
static uint64_t random_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9E3779B97F4A7C15u);

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return z ^ (z >> 31);
}

static void insert_random(struct chain *chain, size_t inserts)
{
	uint64_t state = 1;

	for (size_t i = 0; i < inserts; i++)
		insert(chain, (uint32_t)(random_next(&state) % (chain->used + 1)));
}

static void insert_front(struct chain *chain, size_t inserts)
{
	for (size_t i = 0; i < inserts; i++)
		insert(chain, 0);
}

static void insert_back(struct chain *chain, size_t inserts)
{
	for (size_t i = 0; i < inserts; i++)
		insert(chain, chain->nodes[0].previous);
}

static void insert_zigzag(struct chain *chain, size_t inserts)
{
	uint32_t left = FOLDERS / 2;

	for (size_t i = 0; i < inserts; i++) {
		uint32_t fresh = insert(chain, left);

		if (i % 2 == 0)
			left = fresh;
	}
}

static double measure(void (*pattern)(struct chain *chain, size_t inserts), size_t inserts)
{
	struct chain chain;
	double moves;

	chain_init(&chain, inserts);
	pattern(&chain, inserts);
	check(&chain);
	moves = (double)chain.list.moves / (double)inserts;
	free(chain.nodes);
	return moves;
}

int main(int argc, char **argv)
{
	size_t most = argc > 1 ? strtoull(argv[1], NULL, 10) : MOST_INSERTS;

	if (most < FEWEST_INSERTS || most > 100 * (size_t)MOST_INSERTS) {
		fprintf(stderr, "usage: order [INSERTS], from 10000 to 1000000000\n");
		return 64;
	}
	printf("labels rewritten per folder inserted, into a list of %d\n", FOLDERS);
	printf("%12s %10s %10s %10s %10s\n", "inserts", "random", "front", "back", "zig-zag");
	for (size_t inserts = FEWEST_INSERTS; inserts <= most; inserts *= 10) {
		printf("%12zu %10.2f", inserts, measure(insert_random, inserts));
		printf(" %10.2f", measure(insert_front, inserts));
		printf(" %10.2f", measure(insert_back, inserts));
		printf(" %10.2f\n", measure(insert_zigzag, inserts));
		fflush(stdout);
	}
	return 0;
}
