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
#include "client/credentials.h"
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
    struct bcda__credentials credentials;
    char *scope;          /* to ask for with a signing key; NULL = the default */
    char *token_cache;    /* path; NULL = none */
    char *request_budget; /* path; NULL = none */
    struct bcda__shared_key **keys;
    size_t key_count;
    char *spool_directory;
    char *ca_file, *cert_file, *key_file;
    /* Origins that get the client certificate; empty = those of the FHIR URL and token URL. */
    struct bcda__texts certificate_origins;
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
/* Checks that a way to sign in was chosen, and that no setting contradicts it. Returns 0 or
 * BCDA_ERR_CONFIG, with the error of the config filled. */
int bcda__config_check_sign_in(bcda_config *c);
/* Writes the path for an error text. A long path is cut, so that the cause fits in. */
enum { BCDA__PATH_SHOWN = 160 };
void bcda__config_show_path(char out[BCDA__PATH_SHOWN], const char *path);
/* Reads the whole file, up to 1 MiB, into memory that will be wiped. Returns 0, BCDA_ERR_IO or
 * BCDA_ERR_NOMEM, with `err` filled. */
int bcda__config_read_file(const char *path, struct bcda__secret *out, struct bcda_error *err);
/* Decrypts the wrapped key of a file, given as `hex`, with the first private key of the config that
 * succeeds. `name` is the OAEP label. Returns the errors of bcda__rsa_unwrap(), or
 * BCDA_ERR_KEY_MISSING, and fills `err`. */
int bcda__config_unwrap(const bcda_config *c, const char *hex, const char *name, uint8_t out[32],
                        struct bcda_error *err);
struct bcda__log bcda__config_log(const bcda_config *c);

#endif
