/*
 * A local BCDA server for tests, benchmarks and demonstrations.
 *
 * It listens on 127.0.0.1 only and answers as the real server did in one of five eras. It shares no
 * code with the library under test: keys, encryption, compression and JSON are made here with
 * libcrypto, zlib and by hand.
 *
 * Every function may be called from any thread; sandbox_stop() must be the last call on its object.
 */
#ifndef BCDA_TESTS_SANDBOX_H
#define BCDA_TESTS_SANDBOX_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sandbox;

/* A structure of zeros has good defaults. sandbox_start() copies the strings. */
struct sandbox_options {
    const char *era; /* "2018-12", "2019-04" (default), "2019-12", "2021-01", "2021", "current" */
    int tls;         /* serve https with a throw-away CA */
    uint16_t port;   /* the port to listen on; 0 = any free port */
    int redirect;    /* with tls: also open a plain-HTTP port that answers GET with 301 */
    uint16_t redirect_port;    /* with `redirect`: the port that redirects; 0 = any free port */
    const char *data_dir;      /* serve these NDJSON files instead of synthetic ones */
    const char *const *faults; /* NULL-terminated list as for sandbox_set_fault(); may be NULL */
    uint64_t seed;             /* seed of the synthetic data; 0 = the default, 1 */
    unsigned patients;         /* number of synthetic people; 0 = the default, 10 */
    unsigned claims;           /* ExplanationOfBenefit lines per person; 0 = the default, 5 */
    uint64_t file_bytes;       /* least size of an ExplanationOfBenefit file before it is encoded */
    unsigned
        files; /* number of files that ExplanationOfBenefit is split into; 0 = the default, 1 */
    unsigned polls; /* number of 202 responses before a job completes; 0 = the default, 2 */
    int no_polls;   /* ignore `polls`: answer with 202 only while the files are not ready */
    const char *public_key_file; /* RSA key (PKIX PEM) that encrypts file keys; NULL = a new pair */
    const char *state_dir;       /* directory for all files; NULL = a new one in $TMPDIR or /tmp */
    unsigned token_seconds;      /* lifetime of a token; 0 = the default, 1200, with smart 300 */
    int keep_plain;       /* keep the plain NDJSON of every generated file (sandbox_plain_file) */
    int allow_duplicates; /* never refuse an identical export with 429 */
    int all_levels; /* also offer exports at system level, of each type and of any group, as servers
                       other than BCDA do; an unknown group is a 404 */
    uint64_t file_bytes_max; /* file sizes vary from file_bytes to this; 0 = all are file_bytes */
    int changes;  /* the data change from day to day, and `_since` selects: see sandbox_set_day() */
    unsigned day; /* with changes: the first day */
    int mixed;    /* of three data files, one is encrypted, one gzip and one plain, in any era */
    int control;  /* serve /_sandbox/day, /_sandbox/clock, /_sandbox/fault and /_sandbox/count */
    int keep_state;   /* with state_dir: continue with the credentials, keys, jobs and files of an
                         earlier sandbox in this directory, and leave them there at the end */
    const char *auth; /* how a client signs in: "basic" (default), as at BCDA; "smart": by a signed
                         assertion, at the token endpoint that /.well-known/smart-configuration
                         names; "none": not at all, and a request with an Authorization header is
                         answered with 400; "bearer": with a line of `bearer_tokens_file` */
    const char *bearer_tokens_file; /* with bearer: the valid tokens, one a line; read anew for
                                       every request */
    /* The next five are for smart. */
    const char *client_jwks_file; /* the public keys of the client, a JWK Set; NULL: the sandbox
                                     makes keys for the client, see sandbox_signing_key_file() */
    const char *token_algorithms; /* the announced algorithms, for example "RS384" or "ES384,RS384";
                                     others are refused; NULL = "RS384,ES384". Only these two can be
                                     accepted; others may be announced. */
    int kid_optional; /* accept an assertion without kid if only one key of the client fits */
    int no_smart_configuration; /* answer discovery with 404: only the CapabilityStatement names the
                                   token endpoint */
    const char *grant_scope;    /* grant this scope, whatever was asked; NULL = what was asked */
    int files_elsewhere;        /* serve the files, without a token, at a port of their own */
    uint16_t files_port;        /* with files_elsewhere: that port; 0 = any free port */
    const char *client_ca_file; /* with tls: PEM of an authority. A request without a client
                                   certificate of it is answered with 400, except at the files'
                                   port, which asks for one, but needs none */
    int64_t clock_skew; /* seconds that the server's clock is ahead, for assertions, tokens and the
                           header Date; may be negative */
};

/* Starts a server and sets *out. Returns 0. On failure returns -1 and leaves *out unchanged;
 * sandbox_last_error() then returns the reason. */
int sandbox_start(const struct sandbox_options *options, struct sandbox **out);

/* Stops the server, ends all its threads and removes all its files. NULL is allowed. */
void sandbox_stop(struct sandbox *sb);

/* Returns why the last sandbox_start() or sandbox_set_fault() of this thread failed. */
const char *sandbox_last_error(void);

/* These strings live until sandbox_stop(). */
const char *sandbox_origin(const struct sandbox *sb);                /* https://localhost:PORT */
const char *sandbox_fhir_url(const struct sandbox *sb, int version); /* origin/api/v1, v2 or v3 */
const char *sandbox_token_url(
    const struct sandbox *sb); /* origin/auth/token; with smart origin/oauth2/token; NULL with none
                                  and bearer, which have no token endpoint */
const char *sandbox_redirect_origin(const struct sandbox *sb); /* http://localhost:PORT2 or NULL */
const char *sandbox_files_origin(const struct sandbox *sb);    /* with files_elsewhere, or NULL */
const char *sandbox_client_id(const struct sandbox *sb);
const char *sandbox_client_secret(const struct sandbox *sb);
const char *sandbox_client_secret_file(
    const struct sandbox *sb); /* a file with the client secret, without a newline */
const char *sandbox_ca_file(const struct sandbox *sb); /* PEM; NULL without tls */
const char *sandbox_private_key_file(
    const struct sandbox *sb); /* PKCS#1 PEM; NULL with public_key_file */
const char *sandbox_bearer_token(
    const struct sandbox *sb); /* a token issued at the start, valid for 2 years */
const char *sandbox_state_dir(const struct sandbox *sb);

/*
 * With smart: the keys that the sandbox made for the client, one for each algorithm ("ES384",
 * "RS384"), and NULL with client_jwks_file. A key file is PKCS#8 PEM. The JWK file has the private
 * RSA key, the JWK Set both private keys with their kid, which is the thumbprint of RFC 7638.
 */
const char *sandbox_signing_key_file(const struct sandbox *sb, const char *algorithm);
const char *sandbox_signing_key_id(const struct sandbox *sb, const char *algorithm);
const char *sandbox_signing_jwk_file(const struct sandbox *sb);
const char *sandbox_signing_jwks_file(const struct sandbox *sb);

/* Changes the option clock_skew. */
void sandbox_set_clock_skew(struct sandbox *sb, int64_t seconds);

/*
 * Adds a fault, for example "data-cut:100", "data-404*2" or "data-flip:-1+1@Patient";
 * sandbox_fault_help() describes the syntax. Returns 0, or -1 for an unknown name or a bad
 * argument.
 */
int sandbox_set_fault(struct sandbox *sb, const char *spec);
void sandbox_clear_faults(struct sandbox *sb);

/*
 * From now on, one in `every` answers has a transient fault: no answer, 401, 404, 429, 500, 503, or
 * a body that is cut, reset or without its last chunk, at any offset. The fault and its offset
 * depend on the seed and on the number of earlier requests. No address has more than two faults in
 * a row. `every` = 0 ends the random faults, and so does sandbox_clear_faults(). The counter
 * "random" of sandbox_count() is the number of these faults.
 */
void sandbox_set_random_faults(struct sandbox *sb, uint64_t seed, unsigned every);

/*
 * With the option `changes`: exports that start from now on have the data of this day, and its
 * transaction time, 2021-08-17T20:00:00Z and `day` days. Each day brings new people, changes one in
 * eight resources, and takes people away; all of it depends on the seed only. An export with
 * `_since` has the resources with a later lastUpdated, and lists who was taken away since as
 * `deleted`. Returns 0, or -1 without the option or if the sandbox has no such day.
 */
int sandbox_set_day(struct sandbox *sb, unsigned day);

/* Writes the resources that exist on `options->day` in the form of an API version to
 * <Type>.ndjson in a directory, which is created. Needs no running sandbox. Returns 0, or -1, and
 * sandbox_last_error() is the reason. */
int sandbox_dump_state(const struct sandbox_options *options, int version, const char *dir);

/* The table of all faults as text; static. */
const char *sandbox_fault_help(void);

/*
 * Returns the counter of this name, or 0 for an unknown name. Requests: "token", "kickoff",
 * "status", "data", "metadata", "version", "jobs", "delete", "other", "total" (all but those of
 * --control); "discovery": those of /.well-known/smart-configuration. Answers: "401" (any 401
 * answer), "429", "202". "elsewhere": requests with an Authorization header or a client assertion
 * under another Host than that of sandbox_origin(). "range": data requests with a Range header.
 * With smart, each token request counts as one of "assertions", if the client was authenticated, or
 * "assertions-refused"; a fault in the answer changes neither. With client_ca_file,
 * "client-certificates" are the requests with a valid certificate, and
 * "client-certificates-elsewhere" those with any at the files' port.
 */
unsigned sandbox_count(const struct sandbox *sb, const char *what);
void sandbox_reset_counts(struct sandbox *sb);

/* Makes every token issued so far invalid: requests with one are answered with 401. */
void sandbox_expire_tokens(struct sandbox *sb);

/*
 * Each returns one string about the index-th file of a type ("Patient", ..., "OperationOutcome" for
 * error files) in the newest job that has such a file: the path of the plain NDJSON (NULL if it was
 * not kept: see keep_plain), the path of the file as stored and sent, and the file's name in URLs.
 * The strings live until sandbox_stop().
 */
const char *sandbox_plain_file(const struct sandbox *sb, const char *type, unsigned index);
const char *sandbox_stored_file(const struct sandbox *sb, const char *type, unsigned index);
const char *sandbox_file_name(const struct sandbox *sb, const char *type, unsigned index);

/* Secrets that a client must never show. sandbox_file_key() copies the AES key of such a file and
 * returns 0, or -1 if the file is not encrypted. sandbox_token() returns the issued tokens, the
 * newest first, and NULL after the last; the strings live until sandbox_stop(). */
int sandbox_file_key(const struct sandbox *sb, const char *type, unsigned index, uint8_t key[32]);
const char *sandbox_token(const struct sandbox *sb, unsigned index);

#ifdef __cplusplus
}
#endif
#endif
