/* How a session signs in: the part of a configuration that the setters of sign_in.c fill. */
#ifndef BCDA_CLIENT_CREDENTIALS_H
#define BCDA_CLIENT_CREDENTIALS_H

#include <stdatomic.h>

#include "base/secret.h"
#include "client/registration.h"
#include "codec/signing_key.h"

/* The ways to sign in. */
enum bcda__sign_in {
    BCDA__SIGN_IN_UNSET,
    BCDA__SIGN_IN_BASIC, /* client credentials: client id and secret */
    BCDA__SIGN_IN_SIGNING_KEY,
    BCDA__SIGN_IN_BEARER,
    BCDA__SIGN_IN_PROVIDER,
    BCDA__SIGN_IN_FILE,
    BCDA__SIGN_IN_COMMAND,
    BCDA__SIGN_IN_OPEN, /* without a token */
};

/* A signing key. The copies of a config share it. */
struct bcda__shared_signing_key {
    atomic_int refs;
    struct bcda__signing_key *key;
};

/* Which members are set depends on `way`. */
struct bcda__credentials {
    enum bcda__sign_in way;
    char *client_id;                              /* BASIC, SIGNING_KEY */
    struct bcda__secret client_secret;            /* BASIC */
    struct bcda__shared_signing_key *signing_key; /* SIGNING_KEY */
    struct bcda__secret bearer;                   /* BEARER */
    struct bcda__registration *provider;          /* PROVIDER */
    char *source;                                 /* FILE: its path; COMMAND: the command */
};

void bcda__credentials_free(struct bcda__credentials *c);
/* `to` is empty. After an error, which is BCDA_ERR_NOMEM, free() must still be called. */
int bcda__credentials_copy(struct bcda__credentials *to, const struct bcda__credentials *from);

#endif
