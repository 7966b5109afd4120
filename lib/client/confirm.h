/* The lines of a file that the application has confirmed (bcda_job_confirm()). */
#ifndef BCDA_CLIENT_CONFIRM_H
#define BCDA_CLIENT_CONFIRM_H

#include <stddef.h>
#include <stdint.h>

#include "codec/mark.h"

/* The ends of the batches that the application has received and not confirmed yet. Each mark is
 * valid for the lines of its batch. */
struct bcda__marks {
    struct bcda__mark *at;
    size_t count, cap;
    int64_t before;    /* the last line before those of the first mark */
    int64_t delivered; /* the last line of all batches that were delivered; 0 = none */
};

/* More batches are not remembered: the lines of the oldest one can then not be confirmed any more,
 * only later ones. */
enum { BCDA__MARKS_MAX = 1024 };

/* Adds the end of a batch that is delivered now. A batch that was added before is not added again.
 * Returns 0 or BCDA_ERR_NOMEM. */
int bcda__marks_add(struct bcda__marks *m, const struct bcda__mark *end);
/* Confirms all lines up to `line`: *confirmed becomes the mark to be saved, and older marks are
 * removed. Returns 0. BCDA_ERR_INVALID: the line was not delivered, or it is before a line that was
 * confirmed. BCDA_ERR_AGAIN: there is no mark for this line; a later line can be confirmed. */
int bcda__marks_confirm(struct bcda__marks *m, int64_t line, struct bcda__mark *confirmed);
void bcda__marks_free(struct bcda__marks *m);

#endif
