/* The callbacks of a job or decoder. */
#ifndef BCDA_CLIENT_HANDLERS_H
#define BCDA_CLIENT_HANDLERS_H

#include "bcda/handlers.h"
#include "client/registration.h"
#include "codec/deletion.h"
#include "protocol/outcome.h"

enum bcda__handler {
    BCDA__ON_STATE,
    BCDA__ON_FILE,
    BCDA__ON_RESOURCE,
    BCDA__ON_BATCH,
    BCDA__ON_BAD_LINE,
    BCDA__ON_SERVER_ISSUE,
    BCDA__ON_DELETED,
    BCDA__ON_SAVED_STATE,
    BCDA__ON_PROGRESS,
    BCDA__ON_DONE,
    BCDA__HANDLERS
};

struct bcda_handlers {
    struct bcda__registration *at[BCDA__HANDLERS];
};

struct bcda_issue {
    struct bcda__issue issue;
    const bcda_resource *resource;
    int index;
};

void bcda__handlers_copy(struct bcda_handlers *to,
                         const struct bcda_handlers *from); /* NULL = none */
void bcda__handlers_drop(struct bcda_handlers *h);          /* releases all registrations */

#endif
