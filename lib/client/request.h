/* Single requests: metadata and version. */
#ifndef BCDA_CLIENT_REQUEST_H
#define BCDA_CLIENT_REQUEST_H

#include "bcda/request.h"
#include "client/call.h"
#include "client/registration.h"

struct bcda_request {
    atomic_int refs;
    struct bcda__context *cx; /* NULL once it has ended */
    bcda_request **first;     /* the list that it is in until then */
    bcda_request *prev, *next;
    int what;
    struct bcda__registration *cb;
    struct bcda__call *call;
    int result;
    struct bcda_error err;
    char *body;
    size_t body_len;
    char software[64], fhir[32], token_url[512];
};

/* Starts it, and adds it to the list at *first. */
int bcda__request_create(bcda_request **out, struct bcda__context *cx, bcda_request **first,
                         int what);
void bcda__request_end(bcda_request *r, int code, const struct bcda_error *err);

#endif
