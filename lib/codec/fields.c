#include "codec/fields.h"

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "bcda/error.h"

/* The nodes of a set have numbers of 16 bits. */
_Static_assert(UINT16_MAX > BCDA__FIELDS_MAX * BCDA__FIELD_DEPTH_MAX, "too many nodes");

/* ---- the tree ---- */

/* Sets the first bytes of a node's name, for comparisons. */
static void set_name_start(struct bcda__field_node *node)
{
    size_t n = node->len < 8 ? node->len : 8;
    char start[8] = {0}, mask[8] = {0};

    memcpy(start, node->name, n);
    memset(mask, 0xFF, n);
    node->start = bcda__load_word(start);
    node->start_mask = bcda__load_word(mask);
}

static int new_node(struct bcda__field_set *set, const char *name, int *index)
{
    struct bcda__field_node *node;

    if (set->node_count == set->node_cap) {
        int cap = set->node_cap ? 2 * set->node_cap : 16;

        node = bcda__realloc(set->nodes, (size_t)cap * sizeof *node);
        if (!node)
            return BCDA_ERR_NOMEM;
        set->nodes = node;
        set->node_cap = cap;
    }
    *index = set->node_count++;
    node = &set->nodes[*index];
    memset(node, 0, sizeof *node);
    node->name = name;
    node->len = strlen(name);
    node->field = -1;
    set_name_start(node);
    return 0;
}

static int find_node(const struct bcda__field_set *set, int parent, const char *name)
{
    int i = set->nodes[parent].children[strlen(name) % BCDA__FIELD_LISTS];

    while (i && strcmp(set->nodes[i].name, name) != 0)
        i = set->nodes[i].next;
    return i;
}

/* Makes a new node a child of its parent. */
static void link_node(struct bcda__field_set *set, int index)
{
    struct bcda__field_node *node = &set->nodes[index], *parent = &set->nodes[node->parent];
    uint16_t *list = &parent->children[node->len % BCDA__FIELD_LISTS];

    node->next = *list;
    *list = (uint16_t)index;
    parent->lengths |= UINT64_C(1) << (node->len & 63);
}

/* Adds the nodes of a new path. The new nodes are linked only when all of them exist. */
static int add_nodes(struct bcda__field_set *set, const struct bcda__field *f, int field)
{
    int parent = 0, count = set->node_count, n, node;

    for (n = 0; n < f->count; n++) {
        node = find_node(set, parent, f->component[n]);
        if (!node) {
            if (new_node(set, f->component[n], &node))
                goto fail;
            set->nodes[node].parent = (uint16_t)parent;
        }
        parent = node;
    }
    for (n = count; n < set->node_count; n++)
        link_node(set, n);
    set->nodes[parent].field = field;
    return 0;
fail:
    set->node_count = count;
    return BCDA_ERR_NOMEM;
}

/* ---- paths ---- */

int bcda__field_set_new(struct bcda__field_set **out)
{
    struct bcda__field_set *set = bcda__calloc(1, sizeof *set);
    int root;

    if (!set)
        return BCDA_ERR_NOMEM;
    if (new_node(set, "", &root)) {
        bcda__free(set);
        return BCDA_ERR_NOMEM;
    }
    *out = set;
    return 0;
}

/* Splits "a.b.c" at its dots. No component may be empty. */
static int split_path(struct bcda__field *f, const char *path)
{
    size_t len = strlen(path), i;

    f->path = bcda__alloc(len + 1);
    if (!f->path)
        return BCDA_ERR_NOMEM;
    memcpy(f->path, path, len + 1);
    f->count = 0;
    for (i = 0; i <= len; i++) {
        int first = i == 0 || f->path[i - 1] == '\0';

        if (first && (f->count == BCDA__FIELD_DEPTH_MAX || path[i] == '.' || !path[i]))
            return BCDA_ERR_INVALID;
        if (first)
            f->component[f->count++] = f->path + i;
        if (path[i] == '.')
            f->path[i] = '\0';
    }
    return 0;
}

static int is_same_path(const struct bcda__field *a, const struct bcda__field *b)
{
    int n;

    for (n = 0; n < a->count && n < b->count; n++)
        if (strcmp(a->component[n], b->component[n]) != 0)
            return 0;
    return a->count == b->count;
}

static int find_path(const struct bcda__field_set *set, const struct bcda__field *f)
{
    int i = 0;

    while (i < set->count && !is_same_path(&set->fields[i], f))
        i++;
    return i;
}

int bcda__field_set_add(struct bcda__field_set *set, const char *path, int *index)
{
    struct bcda__field f = {0};
    int rc = split_path(&f, path), i, n;

    i = rc ? 0 : find_path(set, &f);
    if (!rc && i == BCDA__FIELDS_MAX)
        rc = BCDA_ERR_INVALID;
    if (rc || i < set->count)
        bcda__free(f.path);
    if (rc)
        return rc;
    *index = i;
    if (i < set->count)
        return 0;
    rc = add_nodes(set, &f, i);
    if (rc) {
        bcda__free(f.path);
        return rc;
    }
    for (n = 0; n < f.count; n++)
        set->longer[n] |= UINT64_C(1) << i;
    set->fields[set->count++] = f;
    return 0;
}

int bcda__field_set_count(const struct bcda__field_set *set)
{
    return set ? set->count : 0;
}

int bcda__field_set_copy(struct bcda__field_set **out, const struct bcda__field_set *from)
{
    struct bcda__buf path;
    int rc, i, k, index;

    rc = bcda__field_set_new(out);
    bcda__buf_init(&path, SIZE_MAX / 4);
    for (i = 0; !rc && from && i < from->count; i++) {
        bcda__buf_clear(&path);
        for (k = 0; !rc && k < from->fields[i].count; k++)
            rc = bcda__buf_addf(&path, "%s%s", k ? "." : "", from->fields[i].component[k]);
        if (!rc)
            rc = bcda__field_set_add(*out, path.data, &index);
    }
    bcda__buf_free(&path);
    if (rc) {
        bcda__field_set_free(*out);
        *out = NULL;
    }
    return rc;
}

void bcda__field_set_free(struct bcda__field_set *set)
{
    int i;

    if (!set)
        return;
    for (i = 0; i < set->count; i++)
        bcda__free(set->fields[i].path);
    bcda__free(set->nodes);
    bcda__free(set);
}
