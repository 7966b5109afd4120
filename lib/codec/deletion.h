/* The lines of a file of deletions (Bulk Data Access, `deleted` in the manifest). Each line is a
 * Bundle of type transaction, and each of its entries is a DELETE request. */
#ifndef BCDA_CODEC_DELETION_H
#define BCDA_CODEC_DELETION_H

#include <stddef.h>

#include "bcda/types.h"

/* FHIR limits a resource's id to 64 characters; the longest type has 33. */
enum { BCDA__DELETION_TEXT = 65 };

struct bcda__deletion {
    char type[BCDA__DELETION_TEXT];
    char id[BCDA__DELETION_TEXT];
};

struct bcda_deletion {
    struct bcda__deletion deletion;
    const bcda_resource *resource; /* the Bundle */
};

/* Receives one deletion. Returns 0, or a code that ends the walk. */
typedef int (*bcda__deletion_cb)(void *ctx, const struct bcda__deletion *deletion);

/* Calls `each` for each deletion of a Bundle, in its order. `each` may be NULL. Returns 0; the code
 * of `each`; BCDA_ERR_NOMEM; or BCDA_ERR_LINE_TYPE if the resource is not a Bundle, or has an entry
 * that is not a DELETE request with a URL of the form [base/]Type/id. The deletions before that
 * entry have then been reported. */
int bcda__deletion_each(const char *json, size_t len, bcda__deletion_cb each, void *ctx);

#endif
