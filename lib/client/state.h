/* A saved job: what bcda_job_save() writes and bcda_job_restore() reads. */
#ifndef BCDA_CLIENT_STATE_H
#define BCDA_CLIENT_STATE_H

#include "base/buf.h"
#include "client/export.h"

/* {"bcda":1,"url":"…","types":["…",…],"done":["…",…]} and no line feed; `types` is left out where
 * it is not known what was requested (NULL). NOMEM. */
int bcda__state_write(struct bcda__buf *out, const char *url, const struct bcda__texts *types,
                      const struct bcda__texts *done);

struct bcda__state {
    char *url;
    struct bcda__texts types;
    int types_known; /* the text has `types`; older texts do not */
    struct bcda__texts done;
};
/* BCDA_ERR_INVALID: not such a text; NOMEM. `*out` is zero before, and to be freed after success.
 */
int bcda__state_read(const char *text, size_t len, struct bcda__state *out);
void bcda__state_free(struct bcda__state *state);

#endif
