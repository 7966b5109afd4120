#include "client/saving.h"

#include <string.h>

enum { PATH_MAX_LEN = 256 * 1024 };

/* ---- the manifest of a restored job ---- */

/* Finds what was saved of the file: NULL if nothing was. Texts of version 1 have a hash of the
 * query also if only one file has the path; so do texts that were written before a manifest was
 * received again. */
static int find_saved_file(const struct bcda__state *restored, const struct bcda_file *f,
                           struct bcda__buf *path, const struct bcda__saved_file **out)
{
    int rc;

    bcda__buf_clear(path);
    rc = bcda__file_add_path(f, path);
    *out = rc ? NULL : bcda__state_find(restored, path->data);
    if (rc || *out || f->identity != BCDA__BY_PATH || !strchr(f->entry->url, '?'))
        return rc;
    bcda__buf_clear(path);
    rc = bcda__file_add_path_as(f, BCDA__BY_QUERY, path);
    *out = rc ? NULL : bcda__state_find(restored, path->data);
    return rc;
}

static void take_saved_file(struct bcda_file *f, const struct bcda__saved_file *saved)
{
    f->saved = saved->verdict;
    if (saved->verdict == BCDA__SAVED_COMPLETE)
        f->verdict = BCDA_VERDICT_SKIPPED;
    else
        f->confirmed = saved->confirmed;
}

int bcda__saving_take_files(struct bcda__saving *s, struct bcda__files *files)
{
    struct bcda__buf path;
    int rc = 0;
    size_t i;

    bcda__buf_init(&path, PATH_MAX_LEN);
    for (i = 0; !rc && s->restored.sorted && i < files->count; i++) {
        const struct bcda__saved_file *saved;

        rc = find_saved_file(&s->restored, &files->at[i], &path, &saved);
        if (saved)
            take_saved_file(&files->at[i], saved);
    }
    bcda__buf_free(&path);
    bcda__saving_begin(s); /* the first line lists the files */
    return rc;
}

/* ---- changes ---- */

void bcda__saving_change(struct bcda__saving *s, struct bcda_file *file)
{
    if (file->is_changed || !s->has_begun)
        return;
    file->is_changed = 1;
    if (s->last)
        s->last->changed = file;
    else
        s->first = file;
    s->last = file;
}

static void drop_changes(struct bcda__saving *s)
{
    while (s->first) {
        struct bcda_file *f = s->first;

        s->first = f->changed;
        f->changed = NULL;
        f->is_changed = 0;
    }
    s->last = NULL;
}

void bcda__saving_begin(struct bcda__saving *s)
{
    drop_changes(s);
    s->has_begun = 0;
}

int bcda__saving_has_changes(const struct bcda__saving *s)
{
    return !s->has_begun || s->first;
}

/* ---- writing ---- */

struct files_view {
    const struct bcda__saving *s;
    const struct bcda__saved_job *job;
    struct bcda__buf path;
};

/* Fills *out with what is to be saved of the file. `path` holds its path. */
static int view_file(const struct bcda__saved_job *job, const struct bcda_file *f,
                     struct bcda__buf *path, struct bcda__saved_file *out)
{
    int rc;

    bcda__buf_clear(path);
    rc = bcda__file_add_path(f, path);
    if (rc)
        return rc;
    out->path = path->data;
    out->verdict = f == job->unsettled ? BCDA__SAVED_NONE : f->saved;
    if (out->verdict != BCDA__SAVED_COMPLETE)
        out->confirmed = f->confirmed;
    return 0;
}

static int file_at(void *ctx, size_t i, struct bcda__saved_file *out)
{
    struct files_view *view = ctx;
    const struct bcda__entry *entry;
    int rc;

    if (!view->job->files) {
        *out = view->s->restored.files[i];
        return 0;
    }
    entry = view->job->files->at[i].entry;
    rc = view_file(view->job, &view->job->files->at[i], &view->path, out);
    out->kind = entry->kind;
    /* If files are organized by a resource, the type does not say what is in them. */
    if (entry->type[0] && !view->job->files->manifest->organized_by[0])
        out->type = (char *)(uintptr_t)entry->type;
    return rc;
}

/* What was written last has this check, and all changes. */
static void note_written(struct bcda__saving *s, const struct bcda__saved_job *job,
                         const char check[BCDA__STATE_CHECK])
{
    drop_changes(s);
    memcpy(s->check, check, sizeof s->check);
    s->has_begun = 1;
    if (job->unsettled)
        bcda__saving_change(s, job->unsettled);
}

int bcda__saving_write(struct bcda__saving *s, const struct bcda__saved_job *job,
                       struct bcda__buf *out)
{
    const struct bcda__manifest *m = job->files ? job->files->manifest : NULL;
    struct files_view view = {s, job, {NULL, 0, 0, 0}};
    char check[BCDA__STATE_CHECK] = "";
    struct bcda__state_head head = {
        .url = job->url,
        .types = job->types,
        .transaction_time = m ? m->transaction_time : s->restored.transaction_time,
        .file_count = m ? job->files->count : s->restored.file_count,
        .file_at = file_at,
        .ctx = &view,
    };
    int rc;

    bcda__buf_init(&view.path, PATH_MAX_LEN);
    rc = bcda__state_write(out, check, &head);
    bcda__buf_free(&view.path);
    if (!rc)
        note_written(s, job, check);
    return rc;
}

int bcda__saving_write_changes(struct bcda__saving *s, const struct bcda__saved_job *job,
                               struct bcda__buf *out)
{
    char check[BCDA__STATE_CHECK];
    const struct bcda_file *f;
    struct bcda__buf path;
    int rc = 0;

    if (!s->has_begun) {
        rc = bcda__buf_adds(out, "\n");
        return rc ? rc : bcda__saving_write(s, job, out);
    }
    memcpy(check, s->check, sizeof check);
    bcda__buf_init(&path, PATH_MAX_LEN);
    for (f = s->first; !rc && f; f = f->changed) {
        struct bcda__saved_file change = {0};

        rc = view_file(job, f, &path, &change);
        if (!rc)
            rc = bcda__buf_adds(out, "\n");
        if (!rc)
            rc = bcda__state_write_change(out, check, &change);
    }
    bcda__buf_free(&path);
    if (!rc)
        note_written(s, job, check);
    return rc;
}

void bcda__saving_free(struct bcda__saving *s)
{
    bcda__state_free(&s->restored);
}
