/* A saved job: the text that bcda_job_save() writes and bcda_job_restore() reads. */
#ifndef BCDA_CLIENT_STATE_H
#define BCDA_CLIENT_STATE_H

#include "base/buf.h"
#include "client/export.h"

/* Writes {"bcda":1,"url":"…","types":["…",…],"done":["…",…]} without a line feed. If `types` is
 * NULL, because it is not known what was requested, that member is left out. Returns 0 or
 * BCDA_ERR_NOMEM. */
int bcda__state_write(struct bcda__buf *out, const char *url, const struct bcda__texts *types,
                      const struct bcda__texts *done);

struct bcda__state {
    char *url;
    struct bcda__texts types;
    int types_known; /* the saved text has the member "types"; texts of older versions do not */
    struct bcda__texts done;
};
/* Reads a text that bcda__state_write() wrote. *out must be zero before, and must be freed after
 * success. Returns 0, BCDA_ERR_INVALID (not such a text) or BCDA_ERR_NOMEM. */
int bcda__state_read(const char *text, size_t len, struct bcda__state *out);
void bcda__state_free(struct bcda__state *state);

#endif
