#include "client/file.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/url.h"

enum { TYPE_MAX = 64 }; /* most letters of a resource type */

/* ---- what identifies a file ---- */

static const char *path_of_url(const struct bcda_file *f, size_t *len)
{
    struct bcda__url u;

    if (bcda__url_parse(f->entry->url, &u)) { /* not expected: the manifest's parser checks it */
        *len = strlen(f->entry->url);
        return f->entry->url;
    }
    *len = u.path_len;
    return u.path;
}

/* Orders files by the path and the query of their URLs. */
static int compare_url_paths(const void *a, const void *b)
{
    size_t a_len, b_len;
    const char *x = path_of_url(*(struct bcda_file *const *)a, &a_len);
    const char *y = path_of_url(*(struct bcda_file *const *)b, &b_len);
    int order = memcmp(x, y, a_len < b_len ? a_len : b_len);

    if (!order)
        order = (a_len > b_len) - (a_len < b_len);
    return order ? order : strcmp(x + a_len, y + b_len);
}

/* Returns 1 if some URL has a query or is of another origin than the first one. Otherwise no two
 * files have the same path, because no URL is twice in a manifest. */
static int may_share_paths(const struct bcda__files *f)
{
    size_t i, len, first;

    for (i = first = 0; i < f->count; i++) {
        const char *url = f->at[i].entry->url;
        size_t origin = (size_t)(path_of_url(&f->at[i], &len) - url);

        first = i ? first : origin;
        if (url[origin + len] || origin != first || memcmp(url, f->at[0].entry->url, first) != 0)
            return 1;
    }
    return 0;
}

/* Distinguishes two files, neighbours in the order of compare_url_paths(), if they have the same
 * path. */
static void distinguish_files(struct bcda_file *a, struct bcda_file *b)
{
    size_t a_len, b_len;
    const char *x = path_of_url(a, &a_len);
    const char *y = path_of_url(b, &b_len);

    if (a_len != b_len || memcmp(x, y, a_len) != 0)
        return;
    if (strcmp(x + a_len, y + b_len) == 0)
        a->identity = b->identity = BCDA__BY_URL;
    if (a->identity == BCDA__BY_PATH)
        a->identity = BCDA__BY_QUERY;
    if (b->identity == BCDA__BY_PATH)
        b->identity = BCDA__BY_QUERY;
}

static int identify_files(struct bcda__files *f)
{
    struct bcda_file **sorted;
    size_t i;

    if (!may_share_paths(f))
        return 0;
    sorted = bcda__alloc(f->count * sizeof *sorted);
    if (!sorted)
        return BCDA_ERR_NOMEM;
    for (i = 0; i < f->count; i++)
        sorted[i] = &f->at[i];
    qsort(sorted, f->count, sizeof *sorted, compare_url_paths);
    for (i = 1; i < f->count; i++)
        distinguish_files(sorted[i - 1], sorted[i]);
    bcda__free(sorted);
    return 0;
}

int bcda__file_add_path_as(const struct bcda_file *f, enum bcda__identity identity,
                           struct bcda__buf *out)
{
    size_t len;
    const char *path = path_of_url(f, &len), *url = f->entry->url;
    int rc = bcda__buf_add(out, path, len);

    if (rc || identity == BCDA__BY_PATH)
        return rc;
    if (identity == BCDA__BY_SAVED_PATH)
        return bcda__buf_adds(out, path + len);
    url = identity == BCDA__BY_QUERY ? path + len : url;
    return bcda__state_add_hash(out, url, strlen(url));
}

int bcda__file_add_path(const struct bcda_file *f, struct bcda__buf *out)
{
    return bcda__file_add_path_as(f, f->identity, out);
}

/* ---- the files of a manifest ---- */

int bcda__files_new(struct bcda__files **out, struct bcda__manifest *manifest)
{
    size_t i, n = manifest->count;
    struct bcda__files *f;

    if (n > (SIZE_MAX - sizeof *f) / sizeof f->at[0])
        return BCDA_ERR_NOMEM;
    f = bcda__calloc(1, sizeof *f + n * sizeof f->at[0]);
    if (!f)
        return BCDA_ERR_NOMEM;
    atomic_init(&f->refs, 1);
    f->manifest = bcda__manifest_ref(manifest);
    f->count = n;
    for (i = 0; i < n; i++) {
        f->at[i].entry = &manifest->entries[i];
        f->at[i].index = i;
        f->at[i].expected = -1;
    }
    if (identify_files(f)) {
        bcda__files_unref(f);
        return BCDA_ERR_NOMEM;
    }
    *out = f;
    return 0;
}

struct bcda__files *bcda__files_ref(struct bcda__files *f)
{
    atomic_fetch_add(&f->refs, 1);
    return f;
}

static void free_file(struct bcda_file *f)
{
    bcda_error_unref(f->error);
    bcda__marks_free(&f->marks);
}

void bcda__files_unref(void *files)
{
    struct bcda__files *f = files;
    size_t i;

    if (!f || atomic_fetch_sub(&f->refs, 1) != 1)
        return;
    for (i = 0; i < f->count; i++)
        free_file(&f->at[i]);
    bcda__manifest_unref(f->manifest);
    bcda__free(f);
}

/* ---- getters ---- */

const char *bcda__type_for_log(const char *type, const char *otherwise)
{
    size_t len = strlen(type);

    return len <= TYPE_MAX && bcda__text_is_alpha(type, len) ? type : otherwise;
}

const char *bcda_file_type(const bcda_file *f)
{
    return f ? f->entry->type : "";
}

const char *bcda_file_url(const bcda_file *f)
{
    return f ? f->entry->url : "";
}

const char *bcda_file_name(const bcda_file *f)
{
    return f ? f->entry->name : "";
}

size_t bcda_file_index(const bcda_file *f)
{
    return f ? f->index : 0;
}

int bcda_file_is_error(const bcda_file *f)
{
    return f ? f->entry->kind == BCDA__FILE_ERRORS : 0;
}

int bcda_file_has_deletions(const bcda_file *f)
{
    return f ? f->entry->kind == BCDA__FILE_DELETED : 0;
}

int bcda_file_is_encrypted(const bcda_file *f)
{
    return f ? f->entry->key != NULL : 0;
}

int64_t bcda_file_bytes_received(const bcda_file *f)
{
    return f ? f->sum[BCDA__SUM_RECEIVED] : 0;
}

int64_t bcda_file_bytes(const bcda_file *f)
{
    return f ? f->sum[BCDA__SUM_BYTES] : 0;
}

int64_t bcda_file_bytes_expected(const bcda_file *f)
{
    return f ? f->expected : -1;
}

int64_t bcda_file_resources_expected(const bcda_file *f)
{
    return f ? f->entry->count : -1;
}

int64_t bcda_file_resources(const bcda_file *f)
{
    return f ? f->sum[BCDA__SUM_RESOURCES] : 0;
}

int64_t bcda_file_bad_lines(const bcda_file *f)
{
    return f ? f->sum[BCDA__SUM_BAD_LINES] : 0;
}

int bcda_file_verdict(const bcda_file *f)
{
    return f ? f->verdict : BCDA_VERDICT_NONE;
}

int64_t bcda_file_confirmed_line(const bcda_file *f)
{
    return f ? f->confirmed.line : 0;
}

const bcda_error *bcda_file_error(const bcda_file *f)
{
    return f ? f->error : NULL;
}
