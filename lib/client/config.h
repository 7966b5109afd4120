/* The configuration of a session: the server, the identity, the options. */
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

/* A private key, shared by the copies of a config. */
struct bcda__shared_key {
    atomic_int refs;
    struct bcda__key *key;
};

struct bcda_config {
    char *fhir_url, *token_url;
    struct bcda__texts rewrites; /* from, to, from, to … */
    struct bcda__texts origins;  /* that a server may name; none = any */
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
    struct bcda__clock clock; /* tests replace it before the session is made */
    struct bcda_error err;    /* of the last call; code 0 = none */
};

int bcda__config_copy(bcda_config **out, const bcda_config *from); /* NOMEM */
/* A token as a header can hold it: visible ASCII without spaces, at least one character. */
int bcda__config_is_token(const char *token);
/* Decrypts a file's key with the private key that fits; errors as bcda__rsa_unwrap(), and
 * BCDA_ERR_KEY_MISSING. `name` is the label. `err` is filled. */
int bcda__config_unwrap(const bcda_config *c, const char *hex, const char *name, uint8_t out[32],
                        struct bcda_error *err);
struct bcda__log bcda__config_log(const bcda_config *c);

#endif
