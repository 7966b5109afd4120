#include "client/handlers.h"

#include <string.h>

#include "base/mem.h"
#include "bcda/error.h"
#include "codec/batch.h"

int bcda_handlers_new(bcda_handlers **out)
{
    bcda_handlers *h;

    if (!out)
        return BCDA_ERR_INVALID;
    h = bcda__calloc(1, sizeof *h);
    if (!h)
        return BCDA_ERR_NOMEM;
    *out = h;
    return 0;
}

void bcda_handlers_free(bcda_handlers *h)
{
    if (!h)
        return;
    bcda__handlers_drop(h);
    bcda__free(h);
}

void bcda__handlers_copy(struct bcda_handlers *to, const struct bcda_handlers *from)
{
    int i;

    for (i = 0; i < BCDA__HANDLERS; i++)
        to->at[i] = from ? bcda__registration_ref(from->at[i]) : NULL;
}

void bcda__handlers_drop(struct bcda_handlers *h)
{
    int i;

    for (i = 0; i < BCDA__HANDLERS; i++) {
        struct bcda__registration *r = h->at[i];

        h->at[i] = NULL; /* cleared before the callback's `destroy` can run */
        bcda__registration_unref(r);
    }
}

static int set_handler(bcda_handlers *h, enum bcda__handler which, void (*cb)(void), void *userdata,
                       bcda_destroy_cb destroy)
{
    return h ? bcda__registration_set(&h->at[which], cb, userdata, destroy) : BCDA_ERR_INVALID;
}

int bcda_handlers_on_state(bcda_handlers *h, bcda_state_cb cb, void *userdata,
                           bcda_destroy_cb destroy)
{
    return set_handler(h, BCDA__ON_STATE, (void (*)(void))cb, userdata, destroy);
}

int bcda_handlers_on_file(bcda_handlers *h, bcda_file_cb cb, void *userdata,
                          bcda_destroy_cb destroy)
{
    return set_handler(h, BCDA__ON_FILE, (void (*)(void))cb, userdata, destroy);
}

int bcda_handlers_on_resource(bcda_handlers *h, bcda_resource_cb cb, void *userdata,
                              bcda_destroy_cb destroy)
{
    return set_handler(h, BCDA__ON_RESOURCE, (void (*)(void))cb, userdata, destroy);
}

int bcda_handlers_on_batch(bcda_handlers *h, bcda_batch_cb cb, void *userdata,
                           bcda_destroy_cb destroy)
{
    return set_handler(h, BCDA__ON_BATCH, (void (*)(void))cb, userdata, destroy);
}

int bcda_handlers_on_bad_line(bcda_handlers *h, bcda_bad_line_cb cb, void *userdata,
                              bcda_destroy_cb destroy)
{
    return set_handler(h, BCDA__ON_BAD_LINE, (void (*)(void))cb, userdata, destroy);
}

int bcda_handlers_on_server_issue(bcda_handlers *h, bcda_issue_cb cb, void *userdata,
                                  bcda_destroy_cb destroy)
{
    return set_handler(h, BCDA__ON_SERVER_ISSUE, (void (*)(void))cb, userdata, destroy);
}

int bcda_handlers_on_saved_state(bcda_handlers *h, bcda_saved_state_cb cb, void *userdata,
                                 bcda_destroy_cb destroy)
{
    return set_handler(h, BCDA__ON_SAVED_STATE, (void (*)(void))cb, userdata, destroy);
}

int bcda_handlers_on_deleted(bcda_handlers *h, bcda_deletion_cb cb, void *userdata,
                             bcda_destroy_cb destroy)
{
    return set_handler(h, BCDA__ON_DELETED, (void (*)(void))cb, userdata, destroy);
}

int bcda_handlers_on_progress(bcda_handlers *h, bcda_progress_cb cb, void *userdata,
                              bcda_destroy_cb destroy)
{
    return set_handler(h, BCDA__ON_PROGRESS, (void (*)(void))cb, userdata, destroy);
}

int bcda_handlers_on_done(bcda_handlers *h, bcda_done_cb cb, void *userdata,
                          bcda_destroy_cb destroy)
{
    return set_handler(h, BCDA__ON_DONE, (void (*)(void))cb, userdata, destroy);
}

const char *bcda_deletion_type(const bcda_deletion *deletion)
{
    return deletion ? deletion->deletion.type : "";
}

const char *bcda_deletion_id(const bcda_deletion *deletion)
{
    return deletion ? deletion->deletion.id : "";
}

const bcda_resource *bcda_deletion_resource(const bcda_deletion *deletion)
{
    return deletion ? deletion->resource : NULL;
}

int bcda_bad_line_code(const bcda_bad_line *line)
{
    return line ? line->code : BCDA_OK;
}

int64_t bcda_bad_line_number(const bcda_bad_line *line)
{
    return line ? line->line_number : 0;
}

int64_t bcda_bad_line_offset(const bcda_bad_line *line)
{
    return line ? line->offset : -1;
}

int64_t bcda_bad_line_length(const bcda_bad_line *line)
{
    return line ? line->length : 0;
}

const bcda_file *bcda_bad_line_file(const bcda_bad_line *line)
{
    return line ? line->batch->file : NULL;
}

const char *bcda_bad_line_bytes(const bcda_bad_line *line, size_t *len)
{
    int there = line && line->kept;

    if (len)
        *len = there ? (size_t)line->length : 0;
    return there ? line->batch->bytes + line->at : NULL;
}

int bcda_issue_severity(const bcda_issue *issue)
{
    return issue ? (int)issue->issue.severity : BCDA_SEVERITY_UNKNOWN;
}

const char *bcda_issue_code(const bcda_issue *issue)
{
    return issue ? issue->issue.code : "";
}

const char *bcda_issue_text(const bcda_issue *issue)
{
    return issue ? issue->issue.text : "";
}

const bcda_resource *bcda_issue_resource(const bcda_issue *issue)
{
    return issue ? issue->resource : NULL;
}

int bcda_issue_index(const bcda_issue *issue)
{
    return issue ? issue->index : 0;
}
