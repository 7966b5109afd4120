#include "codec/deletion_list.h"

#include "base/mem.h"
#include "bcda/error.h"
#include "codec/deletion.h"

struct listed_deletion {
    struct bcda_deletion deletion;
    struct bcda_resource bundle;
};

struct bcda__deletion_list {
    size_t count;
    struct listed_deletion at[];
};

struct deletion_sum {
    size_t count;
};

static int add_one(void *ctx, const struct bcda__deletion *deletion)
{
    struct deletion_sum *sum = ctx;

    (void)deletion;
    sum->count++;
    return 0;
}

static int walk_row(const bcda_batch *b, size_t row, bcda__deletion_cb each, void *ctx)
{
    struct bcda_resource bundle = {b, row};
    size_t len;
    const char *json = bcda_resource_json(&bundle, &len);

    return bcda__deletion_each(json, len, each, ctx);
}

int bcda__count_deletions(const bcda_batch *b, size_t *count)
{
    struct deletion_sum sum = {0};
    size_t row;
    int rc = 0;

    for (row = 0; !rc && row < b->rows; row++)
        rc = walk_row(b, row, add_one, &sum);
    *count = sum.count;
    return rc;
}

struct deletion_fill {
    struct bcda__deletion_list *list;
    const bcda_batch *batch;
    size_t row;
};

static int list_deletion(void *ctx, const struct bcda__deletion *deletion)
{
    struct deletion_fill *f = ctx;
    struct listed_deletion *to = &f->list->at[f->list->count++];

    to->bundle.batch = f->batch;
    to->bundle.row = f->row;
    to->deletion.deletion = *deletion;
    to->deletion.resource = &to->bundle;
    return 0;
}

static int make_list(bcda_batch *b)
{
    struct deletion_fill f = {NULL, b, 0};
    size_t count;
    int rc = bcda__count_deletions(b, &count);

    if (rc)
        return rc;
    f.list = bcda__alloc(sizeof *f.list + count * sizeof f.list->at[0]);
    if (!f.list)
        return BCDA_ERR_NOMEM;
    f.list->count = 0;
    for (; !rc && f.row < b->rows; f.row++)
        rc = walk_row(b, f.row, list_deletion, &f);
    if (rc)
        bcda__free(f.list);
    else
        b->deletions = f.list;
    return rc;
}

int bcda_batch_deletion_count(bcda_batch *b, size_t *count)
{
    int rc;

    if (!b || !count || !b->is_deletions)
        return BCDA_ERR_INVALID;
    rc = b->deletions ? 0 : make_list(b);
    if (!rc)
        *count = b->deletions->count;
    return rc;
}

const bcda_deletion *bcda_batch_deletion(const bcda_batch *b, size_t i)
{
    return b && b->deletions && i < b->deletions->count ? &b->deletions->at[i].deletion : NULL;
}
