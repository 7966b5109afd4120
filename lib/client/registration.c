#include "client/registration.h"

#include "base/mem.h"
#include "bcda/error.h"

struct bcda__registration *bcda__registration_new(void (*cb)(void), void *userdata,
                                                  bcda_destroy_cb destroy)
{
    struct bcda__registration *r = bcda__alloc(sizeof *r);

    if (!r)
        return NULL;
    atomic_init(&r->refs, 1);
    r->cb = cb;
    r->userdata = userdata;
    r->destroy = destroy;
    return r;
}

struct bcda__registration *bcda__registration_ref(struct bcda__registration *r)
{
    if (r)
        atomic_fetch_add(&r->refs, 1);
    return r;
}

void bcda__registration_unref(struct bcda__registration *r)
{
    if (!r || atomic_fetch_sub(&r->refs, 1) != 1)
        return;
    if (r->destroy)
        r->destroy(r->userdata);
    bcda__free(r);
}

int bcda__registration_set(struct bcda__registration **slot, void (*cb)(void), void *userdata,
                           bcda_destroy_cb destroy)
{
    struct bcda__registration *fresh = NULL, *old;

    if (cb) {
        fresh = bcda__registration_new(cb, userdata, destroy);
        if (!fresh)
            return BCDA_ERR_NOMEM;
    }
    old = *slot;
    *slot = fresh; /* replaced before the old callback's `destroy` runs */
    bcda__registration_unref(old);
    return 0;
}
