/* A callback of the application with its userdata. The reference count lets copies of handlers and
 * configs share it, so that `destroy` runs once. */
#ifndef BCDA_CLIENT_REGISTRATION_H
#define BCDA_CLIENT_REGISTRATION_H

#include <stdatomic.h>

#include "bcda/types.h"

struct bcda__registration {
    atomic_int refs;
    void (*cb)(void); /* the caller of the callback casts it to its real type */
    void *userdata;
    bcda_destroy_cb destroy;
};

struct bcda__registration *bcda__registration_new(void (*cb)(void), void *userdata,
                                                  bcda_destroy_cb destroy);
struct bcda__registration *bcda__registration_ref(struct bcda__registration *r);
void bcda__registration_unref(struct bcda__registration *r);
/* Replaces the registration in *slot, or removes it if `cb` is NULL. Returns 0, or BCDA_ERR_NOMEM;
 * then `destroy` will never run. */
int bcda__registration_set(struct bcda__registration **slot, void (*cb)(void), void *userdata,
                           bcda_destroy_cb destroy);

#endif
