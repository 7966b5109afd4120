/* The configuration of a session: server, identity, options. */
#ifndef BCDA_CLIENT_CONFIG_H
#define BCDA_CLIENT_CONFIG_H

#include <stdatomic.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/texts.h"
#include "bcda/config.h"
#include "client/options.h"
#include "client/registration.h"
#include "codec/key.h"

/* A private key. The copies of a config share it. */
struct bcda__shared_key {
    atomic_int refs;
    struct bcda__key *key;
};

struct bcda_config {
    char *fhir_url, *token_url;
    struct bcda__texts rewrites; /* pairs: from, to, from, to … */
    struct bcda__texts origins;  /* origins that the server may name in URLs; empty = any */
    char *client_id;
    struct bcda__secret client_secret;
    struct bcda__secret bearer;
    struct bcda__registration *provider;
    struct bcda__shared_key **keys;
    size_t key_count;
    char *spool_directory;
    char *ca_file, *cert_file, *key_file;
    struct bcda__secret key_passphrase;
    char *proxy, *proxy_user;
    struct bcda__secret proxy_password;
    struct bcda__registration *log;
    int log_level;
    struct bcda__options options;
    struct bcda__clock clock; /* tests replace the clock before they create the session */
    struct bcda_error err;    /* error of the last call; code 0 = none */
};

int bcda__config_copy(bcda_config **out, const bcda_config *from); /* 0 or BCDA_ERR_NOMEM */
/* Whether a token can be sent in a header: it has at least one character, and all characters are
 * visible ASCII (no space). */
int bcda__config_is_token(const char *token);
/* Decrypts the wrapped key of a file, given as `hex`, with the first private key of the config that
 * succeeds. `name` is the OAEP label. Returns the errors of bcda__rsa_unwrap(), or
 * BCDA_ERR_KEY_MISSING, and fills `err`. */
int bcda__config_unwrap(const bcda_config *c, const char *hex, const char *name, uint8_t out[32],
                        struct bcda_error *err);
struct bcda__log bcda__config_log(const bcda_config *c);

#endif
