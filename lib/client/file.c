#include "client/file.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"

enum { TYPE_MAX = 64 }; /* most letters of a resource type */

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
    *out = f;
    return 0;
}

struct bcda__files *bcda__files_ref(struct bcda__files *f)
{
    atomic_fetch_add(&f->refs, 1);
    return f;
}

void bcda__files_unref(void *files)
{
    struct bcda__files *f = files;
    size_t i;

    if (!f || atomic_fetch_sub(&f->refs, 1) != 1)
        return;
    for (i = 0; i < f->count; i++)
        bcda_error_unref(f->at[i].error);
    bcda__manifest_unref(f->manifest);
    bcda__free(f);
}

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

const bcda_error *bcda_file_error(const bcda_file *f)
{
    return f ? f->error : NULL;
}
