/* The fields that the application requests of each resource, as paths such as "patient.reference"
 * or "identifier.value". A path continues into each element of an array. */
#ifndef BCDA_CODEC_FIELDS_H
#define BCDA_CODEC_FIELDS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "codec/word.h"

enum {
    BCDA__FIELDS_MAX = 64,
    BCDA__FIELD_DEPTH_MAX = 16,
    BCDA__FIELD_LISTS = 8, /* a power of 2 */
};

struct bcda__field {
    char *path; /* the components, each terminated by a NUL */
    int count;
    const char *component[BCDA__FIELD_DEPTH_MAX];
};

/* A node of the tree of all paths. Node 0 is a resource; the path to any other node is the path of
 * a field or the start of one. The children of a node form lists, one for each length of a name,
 * modulo BCDA__FIELD_LISTS. */
struct bcda__field_node {
    const char *name; /* the last component of the path to this node */
    size_t len;
    uint64_t start;      /* the first 8 bytes of the name as a number */
    uint64_t start_mask; /* a shorter name has only these bytes of it */
    uint64_t lengths;    /* bit n is set if a child's name has n bytes, modulo 64 */
    int field;           /* the field whose path ends here; -1 = none */
    uint16_t parent;
    uint16_t next;                        /* the next node of the list of the parent; 0 = none */
    uint16_t children[BCDA__FIELD_LISTS]; /* the first node of each list; 0 = none */
};

struct bcda__field_set {
    int count;
    /* longer[n] = the set of fields with more than n components, one bit each. */
    uint64_t longer[BCDA__FIELD_DEPTH_MAX + 1];
    struct bcda__field fields[BCDA__FIELDS_MAX];
    struct bcda__field_node *nodes;
    int node_count, node_cap;
};

int bcda__field_set_new(struct bcda__field_set **out);
/* Adds a path and sets *index. A path that was added before keeps its index. Returns 0,
 * BCDA_ERR_INVALID or BCDA_ERR_NOMEM. */
int bcda__field_set_add(struct bcda__field_set *set, const char *path, int *index);
int bcda__field_set_count(const struct bcda__field_set *set);
int bcda__field_set_copy(struct bcda__field_set **out, const struct bcda__field_set *from);
void bcda__field_set_free(struct bcda__field_set *set);

/* Returns the child of `node` with this name, or NULL if there is none. The 8 bytes at `name` must
 * be readable. It is inline because it is called for each member of a line. */
static inline const struct bcda__field_node *bcda__field_child(const struct bcda__field_set *set,
                                                               const struct bcda__field_node *node,
                                                               const char *name, size_t len)
{
    unsigned i;

    if (!(node->lengths >> (len & 63) & 1)) /* most names differ from all wanted ones in length */
        return NULL;
    for (i = node->children[len % BCDA__FIELD_LISTS]; i; i = node->next) {
        node = &set->nodes[i];
        if ((bcda__load_word(name) & node->start_mask) == node->start && node->len == len &&
            (len <= 8 || memcmp(node->name + 8, name + 8, len - 8) == 0))
            return node;
    }
    return NULL;
}

#endif
