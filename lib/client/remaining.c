/* The rest of an export: what is still to be requested after a job ended before all its files were
 * loaded. */
#include <string.h>

#include "base/texts.h"
#include "client/export.h"
#include "client/job.h"

/* What is not loaded of a job's files. */
struct rest {
    struct bcda__texts types; /* the types of data files that are not loaded */
    int needs_all;            /* the types alone do not say what is missing */
    size_t count;             /* the number of files that are not loaded */
};

static int add_to_rest(struct rest *rest, const struct bcda_file *f)
{
    const char *type = f->entry->type;

    if (f->saved == BCDA__SAVED_COMPLETE || f->entry->kind == BCDA__FILE_ERRORS)
        return 0;
    rest->count++;
    if (f->entry->kind == BCDA__FILE_DELETED || !type[0])
        rest->needs_all = 1;
    else if (!bcda__texts_has(&rest->types, type))
        return bcda__texts_add(&rest->types, type, strlen(type));
    return 0;
}

static int find_rest(const bcda_job *job, struct rest *rest)
{
    const struct bcda__files *files = job->downloads.files;
    size_t i;
    int rc = 0;

    rest->needs_all = !files || files->manifest->organized_by[0];
    for (i = 0; !rc && files && i < files->count; i++)
        rc = add_to_rest(rest, &files->at[i]);
    return rc;
}

int bcda_export_new_remaining(bcda_export **out, const bcda_export *like, const bcda_job *job)
{
    struct rest rest = {{NULL, 0}, 0, 0};
    bcda_export *x = NULL;
    int rc;

    if (!out || !like || !job)
        return BCDA_ERR_INVALID;
    rc = find_rest(job, &rest);
    if (!rc && job->downloads.files && !rest.count)
        rc = BCDA_ERR_END;
    if (!rc)
        rc = bcda__export_copy(&x, like);
    if (!rc && !rest.needs_all && like->level != BCDA_LEVEL_RESOURCE)
        rc = bcda__export_restrict(x, &rest.types);
    bcda__texts_free(&rest.types);
    if (rc)
        bcda_export_free(x);
    else
        *out = x;
    return rc;
}
