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

/* All zero is a good default. Strings are copied. */
struct sandbox_options {
    const char *era; /* "2018-12", "2019-04" (default), "2019-12", "2021-01", "2021", "current" */
    int tls;         /* serve https with a throw-away CA */
    uint16_t port;   /* 0: any free port */
    int redirect;    /* with tls: also open a plain-HTTP port that answers GET with 301 */
    uint16_t redirect_port;    /* its number, 0: any free port */
    const char *data_dir;      /* serve these NDJSON files instead of synthetic ones */
    const char *const *faults; /* NULL-terminated list of fault specs, may be NULL */
    uint64_t seed;             /* of the synthetic data, 0: 1 */
    unsigned patients;         /* synthetic people, 0: 10 */
    unsigned claims;           /* ExplanationOfBenefit lines a person, 0: 5 */
    uint64_t file_bytes;       /* grow each ExplanationOfBenefit file to at least this plain size */
    unsigned files;            /* split ExplanationOfBenefit over so many files, 0: 1 */
    unsigned polls;            /* 202 answers before a job is complete, 0: 2 */
    int no_polls; /* no 202 answer but while the files are not ready (polls is ignored) */
    const char *public_key_file; /* PKIX PEM to wrap keys for, NULL: a new RSA-2048 pair */
    const char *state_dir;       /* NULL: a new directory under $TMPDIR or /tmp */
    unsigned token_seconds;      /* lifetime of a token, 0: 1200 */
    int keep_plain;       /* keep the plain NDJSON of every generated file (sandbox_plain_file) */
    int allow_duplicates; /* never refuse an identical export with 429 */
    int all_levels; /* exports at system level, of each type and of any group too, as other servers
                       have them; an unknown group is a 404 */
    uint64_t file_bytes_max; /* file sizes are between file_bytes and this, 0: all equal */
};

/* Starts a server. Returns 0, or -1 with a reason in sandbox_last_error(). *out is untouched on
 * failure. */
int sandbox_start(const struct sandbox_options *options, struct sandbox **out);

/* Stops the server, ends all its threads and removes all its files. NULL is allowed. */
void sandbox_stop(struct sandbox *sb);

/* Why the last sandbox_start or sandbox_set_fault of this thread failed. */
const char *sandbox_last_error(void);

/* These strings live until sandbox_stop(). */
const char *sandbox_origin(const struct sandbox *sb);                /* https://localhost:PORT */
const char *sandbox_fhir_url(const struct sandbox *sb, int version); /* origin/api/v1, v2 or v3 */
const char *sandbox_token_url(const struct sandbox *sb);             /* origin/auth/token */
const char *sandbox_redirect_origin(const struct sandbox *sb); /* http://localhost:PORT2 or NULL */
const char *sandbox_client_id(const struct sandbox *sb);
const char *sandbox_client_secret(const struct sandbox *sb);
const char *sandbox_client_secret_file(
    const struct sandbox *sb);                         /* the same in a file, no newline */
const char *sandbox_ca_file(const struct sandbox *sb); /* PEM; NULL without tls */
const char *sandbox_private_key_file(
    const struct sandbox *sb); /* PKCS#1 PEM; NULL with public_key_file */
const char *sandbox_bearer_token(
    const struct sandbox *sb); /* a token made at start, valid for 2 years */
const char *sandbox_state_dir(const struct sandbox *sb);

/*
 * Adds a fault, for example "data-cut:100", "data-404*2" or "data-flip:-1+1@Patient". Counts and
 * filters are described by sandbox_fault_help(). Returns 0, or -1 for an unknown name or a bad
 * argument.
 */
int sandbox_set_fault(struct sandbox *sb, const char *spec);
void sandbox_clear_faults(struct sandbox *sb);

/*
 * From now on every `every`-th answer has a transient fault: no answer, 401, 404, 429, 500, 503, or
 * a body that is cut, reset or without its last chunk, at any offset. The fault and its offset
 * depend on the seed and on the number of earlier requests. No request has more than two faults in
 * a row. 0 disables them, and so does sandbox_clear_faults(). sandbox_count() returns the number of
 * these faults as "random".
 */
void sandbox_set_random_faults(struct sandbox *sb, uint64_t seed, unsigned every);

/* The table of all faults as text; static. */
const char *sandbox_fault_help(void);

/*
 * How many requests there were: "token", "kickoff", "status", "data", "metadata", "version",
 * "jobs", "delete", "other", "total"; answers of a kind: "401" (any 401 answer), "429", "202";
 * "elsewhere" (requests with an Authorization header under another Host than that of
 * sandbox_origin()); "range" (data requests with a Range header). Unknown names: 0.
 */
unsigned sandbox_count(const struct sandbox *sb, const char *what);
void sandbox_reset_counts(struct sandbox *sb);

/* Makes every token given so far invalid (they answer 401). */
void sandbox_expire_tokens(struct sandbox *sb);

/*
 * The index-th file of a type ("Patient", ..., "OperationOutcome" for error files) of the newest
 * job that has it: the plain NDJSON (NULL if it was not kept: see keep_plain), the file as stored
 * and sent, and its name in URLs. The strings live until sandbox_stop().
 */
const char *sandbox_plain_file(const struct sandbox *sb, const char *type, unsigned index);
const char *sandbox_stored_file(const struct sandbox *sb, const char *type, unsigned index);
const char *sandbox_file_name(const struct sandbox *sb, const char *type, unsigned index);

/* Secrets that a client must never show: the key of such a file (0, or -1 if it is not encrypted),
 * and the issued tokens, the newest first (NULL after the last; they live until sandbox_stop()). */
int sandbox_file_key(const struct sandbox *sb, const char *type, unsigned index, uint8_t key[32]);
const char *sandbox_token(const struct sandbox *sb, unsigned index);

#ifdef __cplusplus
}
#endif
#endif
