/* A broken client, which the bench must detect: if the connection ends too early, it takes the
 * response body received so far as complete. */
#include <stddef.h>

#include "bcda/error.h"
#include "client/intake.h"
#include "net/http.h"

enum { MOST = 64 };

/* Receives the events of the transfer `t` and passes them on to `to`, the receiver that the caller
 * of bcda__transfer_start() asked for. */
static struct between {
    struct bcda__transfer *t;
    struct bcda__transfer_events to;
    int head;
} all[MOST];

int __real_bcda__transfer_start(struct bcda__transfer **out, struct bcda__http *h,
                                const struct bcda__transfer_request *r,
                                const struct bcda__transfer_events *events, struct bcda_error *err);
int __wrap_bcda__transfer_start(struct bcda__transfer **out, struct bcda__http *h,
                                const struct bcda__transfer_request *r,
                                const struct bcda__transfer_events *events, struct bcda_error *err);
void __real_bcda__transfer_free(struct bcda__transfer *t);
void __wrap_bcda__transfer_free(struct bcda__transfer *t);
int __wrap_bcda__intake_over(struct bcda__intake *r, struct bcda_error *err);
int __wrap_bcda__transfer_is_chunked(const struct bcda__transfer *t);

static void on_head(void *ctx)
{
    struct between *b = ctx;

    b->head = 1;
    b->to.head(b->to.ctx);
}

static void on_data(void *ctx)
{
    struct between *b = ctx;

    b->to.data(b->to.ctx);
}

static void on_end(void *ctx, int code, const struct bcda_error *err)
{
    struct between *b = ctx;

    if (b->head && (code == BCDA_ERR_TRUNCATED || code == BCDA_ERR_TRANSFER))
        code = 0;
    b->to.end(b->to.ctx, code, err);
}

int __wrap_bcda__transfer_start(struct bcda__transfer **out, struct bcda__http *h,
                                const struct bcda__transfer_request *r,
                                const struct bcda__transfer_events *events, struct bcda_error *err)
{
    struct bcda__transfer_events own = {on_head, on_data, on_end, NULL};
    struct between *b = all;
    int rc;

    while (b < all + MOST - 1 && b->t)
        b++;
    b->to = *events;
    b->head = 0;
    own.ctx = b;
    rc = __real_bcda__transfer_start(out, h, r, &own, err);
    b->t = rc ? NULL : *out;
    return rc;
}

void __wrap_bcda__transfer_free(struct bcda__transfer *t)
{
    int i;

    for (i = 0; t && i < MOST; i++)
        if (all[i].t == t)
            all[i].t = NULL;
    __real_bcda__transfer_free(t);
}

int __wrap_bcda__intake_over(struct bcda__intake *r, struct bcda_error *err)
{
    (void)r;
    (void)err;
    return BCDA__CALL_COMPLETE;
}

/* Pretends that every response has Transfer-Encoding: chunked, so that the client believes that the
 * end of the body is always marked. */
int __wrap_bcda__transfer_is_chunked(const struct bcda__transfer *t)
{
    (void)t;
    return 1;
}
