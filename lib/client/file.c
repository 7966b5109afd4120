#include "client/file.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/url.h"
#include "codec/crypto.h"

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

static int compare_url_paths(const void *a, const void *b)
{
    size_t a_len, b_len;
    const char *x = path_of_url(*(struct bcda_file *const *)a, &a_len);
    const char *y = path_of_url(*(struct bcda_file *const *)b, &b_len);
    int order = memcmp(x, y, a_len < b_len ? a_len : b_len);

    return order ? order : (a_len > b_len) - (a_len < b_len);
}

/* Finds the files whose URLs differ only in the query. No URL is twice in a manifest. */
static int find_ambiguous_paths(struct bcda__files *f)
{
    struct bcda_file **sorted;
    size_t i, n = 0;

    for (i = 0; i < f->count; i++)
        n += strchr(f->at[i].entry->url, '?') != NULL;
    if (!n)
        return 0;
    sorted = bcda__alloc(f->count * sizeof *sorted);
    if (!sorted)
        return BCDA_ERR_NOMEM;
    for (i = 0; i < f->count; i++)
        sorted[i] = &f->at[i];
    qsort(sorted, f->count, sizeof *sorted, compare_url_paths);
    for (i = 1; i < f->count; i++)
        if (compare_url_paths(&sorted[i - 1], &sorted[i]) == 0)
            sorted[i - 1]->is_ambiguous = sorted[i]->is_ambiguous = 1;
    bcda__free(sorted);
    return 0;
}

static int add_query_hash(const char *query, struct bcda__buf *out)
{
    struct bcda__sha256 *sum;
    uint8_t hash[32];
    int rc = bcda__sha256_new(&sum), i;

    if (rc)
        return rc;
    bcda__sha256_add(sum, query, strlen(query));
    rc = bcda__sha256_read(sum, hash);
    bcda__sha256_free(sum);
    if (!rc)
        rc = bcda__buf_adds(out, "?");
    for (i = 0; !rc && i < 16; i++)
        rc = bcda__buf_addf(out, "%02x", hash[i]);
    return rc;
}

int bcda__file_add_path(const struct bcda_file *f, struct bcda__buf *out)
{
    size_t len;
    const char *path = path_of_url(f, &len);
    int rc = bcda__buf_add(out, path, len);

    return rc || !f->is_ambiguous ? rc : add_query_hash(path + len, out);
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
    if (find_ambiguous_paths(f)) {
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
