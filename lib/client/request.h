/* Requests outside of a job: metadata and version. */
#ifndef BCDA_CLIENT_REQUEST_H
#define BCDA_CLIENT_REQUEST_H

#include "bcda/request.h"
#include "client/call.h"
#include "client/registration.h"

struct bcda_request {
    atomic_int refs;
    struct bcda__context *cx; /* NULL after the request has ended */
    bcda_request **first;     /* the list that contains the request while it has not ended */
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

/* Creates and starts a request, and adds it to the list at *first. */
int bcda__request_create(bcda_request **out, struct bcda__context *cx, bcda_request **first,
                         int what);
void bcda__request_end(bcda_request *r, int code, const struct bcda_error *err);

#endif
