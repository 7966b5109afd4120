/* A job on paper: what bcda_job_save() writes and bcda_job_restore() reads. */
#ifndef BCDA_CLIENT_STATE_H
#define BCDA_CLIENT_STATE_H

#include "base/buf.h"
#include "client/export.h"

/* {"bcda":1,"url":"…","done":["…",…]} and no line feed. NOMEM. */
int bcda__state_write(struct bcda__buf *out, const char *url, const struct bcda__texts *done);
/* `url` is to be freed. BCDA_ERR_INVALID: not such a text; NOMEM. */
int bcda__state_read(const char *text, size_t len, char **url, struct bcda__texts *done);

#endif
