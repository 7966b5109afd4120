/* Declarations shared by the sandbox's files. Sections cited as "bcda-api 5.1" are those of
 * doc/guide/server.md. */
#ifndef SANDBOX_INTERNAL_H
#define SANDBOX_INTERNAL_H

#include "buf.h"
#include "json.h"
#include "sandbox.h"

#include <gnutls/gnutls.h>
#include <microhttpd.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define ACO_UUID      "0c527d2e-2e8a-4808-b11d-0fa06baf8254"
#define NO_ENCRYPTION "4e4f5f454e4352595054494f4e" /* that text in hexadecimal (bcda-api 7.5) */
#define MAX_TYPES     16

/* ---- eras.c ---- */

enum era_id { ERA_2018_12, ERA_2019_04, ERA_2019_12, ERA_2021, ERA_CURRENT };
enum encrypt_rule { ENCRYPT_NEVER, ENCRYPT_OPT_IN, ENCRYPT_OPT_OUT };
enum duplicate_rule {
    DUPLICATE_ALLOWED,
    DUPLICATE_ALL_TYPES,
    DUPLICATE_OVERLAP,
    DUPLICATE_CURRENT
};
enum gzip_rule { GZIP_NEVER, GZIP_EXACT, GZIP_STORED };

struct era {
    const char *name;
    enum era_id id;
    int versions;                  /* N: /api/v1 to /api/vN exist */
    enum encrypt_rule encrypt;     /* whether files are encrypted (bcda-api 7.5) */
    enum duplicate_rule duplicate; /* which repeated exports get 429 (bcda-api 4.6) */
    enum gzip_rule gzip;           /* whether files are sent as gzip (bcda-api 6.1) */
    bool type_endpoints;           /* /<type>/$export for each type */
    bool coverage_endpoint;        /* /Coverage/$export, since 2019-01-23 */
    bool type_parameter;           /* /Patient/$export and /Group/.../$export accept _type */
    bool modern;                   /* the server accepts _since (eras B and C) */
    bool manages_jobs;             /* DELETE, /jobs and attribution_status exist (from 2021 on) */
    bool envelope;                 /* each line is {"fullUrl":..., "resource":...} */
    bool keys_2018;         /* manifest: keys in an array, padded names, one file, no JobID */
    bool key_map;           /* KeyMap and encryptedKey in the manifest */
    bool progress_percent;  /* X-Progress with a percentage */
    bool nocache;           /* no-cache and nosniff are sent over TLS (since 2020-03-16) */
    const char *data_type;  /* Content-Type of data files; NULL: guessed from the content */
    const char *error_type; /* Content-Type of an OperationOutcome */
    const char *auth_provider;
};

const struct era *era_find(const char *name);
const char *era_names(void);
/* The types that an API version exports by default; NULL-terminated. */
const char *const *era_types(const struct era *era, int version);
/* The first digits of the ids of people. */
const char *era_patient_prefix(const struct era *era);

/* ---- faults.c ---- */

enum fault_id {
    F_TOKEN_HTML,
    F_TOKEN_NO_TOKEN,
    F_TOKEN_NUMBER_EXPIRES,
    F_TOKEN_SECONDS,
    F_TOKEN_500_ONCE,
    F_TOKEN_429,
    F_TOKEN_INVALID_CLIENT,
    F_TOKEN_INVALID_SCOPE,
    F_TOKEN_REFUSE_ALG,
    F_TOKEN_REDIRECT,
    F_TOKEN_ECHO,
    F_SMART_HTML,
    F_SMART_NO_TOKEN_ENDPOINT,
    F_SMART_HTTP,
    F_SMART_500,
    F_KICKOFF_401_ONCE,
    F_KICKOFF_429,
    F_KICKOFF_500_ONCE,
    F_KICKOFF_404,
    F_KICKOFF_HTML,
    F_KICKOFF_NO_LOCATION,
    F_LOCATION_HTTP,
    F_STATUS_401_ONCE,
    F_STATUS_429,
    F_STATUS_500_ONCE,
    F_STATUS_500,
    F_STATUS_503,
    F_STATUS_HTML,
    F_MANIFEST_NULL_OUTPUT_ONCE,
    F_MANIFEST_NOT_JSON,
    F_MANIFEST_NOT_MANIFEST,
    F_MANIFEST_NEXT_PAGE,
    F_DELETED,
    F_DELETED_CUT,
    F_DELETED_INVALID,
    F_DELETED_TWICE,
    F_OUTPUT_OTHER_ORIGIN,
    F_UPPER_NAMES,
    F_EXPIRES_NOT_DATE,
    F_PROGRESS,
    F_JOB_EXPIRED,
    F_JOB_EXPIRES_AFTER,
    F_JOB_FAILED,
    F_JOB_CANCELLED,
    F_DATA_429,
    F_DATA_500,
    F_DATA_401_ONCE,
    F_DATA_404_ONCE,
    F_DATA_404,
    F_DATA_503_ONCE,
    F_DATA_FLIP,
    F_DATA_CUT,
    F_DATA_CUT_LINES,
    F_DATA_RESET,
    F_LENGTH_MORE,
    F_LENGTH_LESS,
    F_LENGTH_NONE,
    F_DATA_SHORT,
    F_DATA_SHORT_LINES,
    F_DATA_EMPTY,
    F_DATA_28,
    F_DATA_EXTRA,
    F_DATA_HTML,
    F_EXTRA_MEMBERS,
    F_BUFFERED,
    F_CHUNKED_NO_END,
    F_NO_RANGE,
    F_RANGE_IGNORED,
    F_RANGE_MAX,
    F_RANGE_WRONG,
    F_CHANGED,
    F_SLOW,
    F_STALL,
    F_REDIRECT,
    F_WRONG_LABEL,
    F_WRONG_KEY,
    F_KEY_NOT_HEX,
    F_NO_KEY,
    F_CUT_LINE,
    F_BAD_UTF8,
    F_BAD_JSON,
    F_TWO_ON_LINE,
    F_LONG_LINE,
    F_DEEP_LINE,
    F_ERROR_FILE,
    F_WARNINGS_FILE,
    F_RESET,
    F_GATEWAY,
    F_HEADERS_HUGE,
    F_REDIRECT_ELSEWHERE,
    F_REDIRECT_HTTP,
    F_REDIRECT_LOOP,
    F_TWO_DOCUMENTS,
    F_TOKEN_USES,
    F_RETRY_AFTER,
    F_RANDOM,
    F_COUNT
};

struct fault {
    enum fault_id id;
    char *text;     /* the argument as text, or NULL */
    long long num;  /* the argument as a number */
    bool percent;   /* num is a percentage of the size */
    long skip;      /* how many more times the fault is left out before it first occurs */
    long remaining; /* occurrences left; -1: unlimited */
    char *type;     /* the only resource type or stage that has the fault; NULL: all */
};

struct request;

struct fault_list {
    struct fault *item;
    size_t count;
};

int fault_add(struct sandbox *sb, const char *spec);
void faults_clear(struct fault_list *list);
/* Returns true if the fault occurs now, which uses up one of its occurrences. *num, if num is not
 * NULL, becomes the number that was given as the fault's argument. `type` is the file's resource
 * type; for a fault of any request it is the request's stage ("token", "discovery", "kickoff",
 * "status", "data"); it may be NULL. */
bool fault_take(struct sandbox *sb, enum fault_id id, const char *type, long long *num);
/* As fault_take(), for a fault whose argument is an offset in `size` bytes: N, N% of the size, or a
 * negative number, which counts from the end. */
bool fault_take_offset(struct sandbox *sb, enum fault_id id, const char *type, uint64_t size,
                       uint64_t *offset);
/* As fault_take(), for a fault whose argument is a text. Returns a copy, which the caller frees, or
 * NULL if the fault does not occur. */
char *fault_take_text(struct sandbox *sb, enum fault_id id, const char *type);

/* ---- random.c: random transient faults, chosen by a seed ---- */

enum random_fault {
    R_NONE,
    R_RESET, /* the connection is closed without an answer */
    R_401,
    R_404,
    R_429,
    R_500,
    R_503,
    /* faults inside a response body; *place of random_next() says where in the body */
    R_CUT,
    R_BODY_RESET,
    R_NO_END
};

struct randomness {
    uint64_t seed;
    unsigned every;          /* one in this many answers has a fault; 0: none has */
    unsigned count;          /* requests since random faults were switched on */
    unsigned owed;           /* due faults that no answer has had yet */
    unsigned char row[1024]; /* consecutive faults of one address, indexed by a hash of it */
};

/* The mixing function of the generator splitmix64. */
uint64_t random_mix(uint64_t x);
void random_set(struct sandbox *sb, uint64_t seed, unsigned every);
/* Returns the random fault for the answer to this request, or R_NONE. *place becomes the place in
 * the body, in units of 1/2^32 of its length. */
enum random_fault random_next(struct request *rq, const char *stage, uint32_t *place);

/* ---- jobs, tokens, the sandbox object ---- */

struct data_file {
    char *name; /* last segment of the file's URL */
    char *type;
    bool is_error;
    bool is_deleted;  /* listed in the manifest's `deleted` */
    bool is_twice;    /* listed there twice */
    char *path;       /* of the stored file, which may be encrypted or gzipped */
    char *plain_path; /* of the plain NDJSON of the same file, or NULL */
    char *key_hex;    /* the file's value in KeyMap; NULL: no entry at all */
    bool encrypted;
    bool gzipped;
    bool is_empty; /* no line */
    uint8_t key[32];
    struct data_file *next;
};

enum job_state { JOB_RUNNING, JOB_READY, JOB_FAILED, JOB_CANCELLED };

struct people;

struct job {
    struct sandbox *sb;
    unsigned long long id;
    int version;
    bool encrypt;
    bool all_types; /* no _type was given */
    bool warn_system_type;
    char *types[MAX_TYPES];
    size_t type_count;
    char *target; /* request target of the kick-off, as the client sent it */
    char *origin; /* scheme://host of the kick-off */
    struct timespec created, transaction;
    unsigned day;          /* with the option `changes` */
    int64_t since;         /* `_since` in ms; INT64_MIN: none */
    struct people *people; /* those of the day, while files are made; NULL without changes */
    /* sb->lock protects all members below */
    enum job_state state;
    bool completed; /* a status request was answered with 200 */
    struct timespec updated;
    unsigned polled; /* status requests so far */
    unsigned served; /* answers with a file that were begun */
    unsigned units_done, units;
    struct data_file *files; /* in the order of the manifest */
    pthread_t worker;
    bool worker_started;
    struct job *next; /* the list begins with the newest job */
};

struct token {
    char *text;
    time_t expires;
    bool revoked;
    long long uses; /* requests left that the token is valid for; -1: any number */
    struct token *next;
};

enum auth_mode { AUTH_BASIC, AUTH_SMART, AUTH_NONE, AUTH_BEARER };
enum algorithm { ES384, RS384, ALGORITHMS };

/* A public key by which assertions are verified. */
struct client_key {
    char *kid; /* or NULL */
    enum algorithm alg;
    EVP_PKEY *key;
    struct client_key *next;
};

/* The jti of an accepted assertion. */
struct used_jti {
    char *text;
    struct used_jti *next;
};

struct source; /* a file of --data */

enum counter {
    C_TOKEN,
    C_KICKOFF,
    C_STATUS,
    C_DATA,
    C_METADATA,
    C_VERSION,
    C_JOBS,
    C_DELETE,
    C_OTHER,
    C_TOTAL,
    C_401,
    C_429,
    C_202,
    C_ELSEWHERE,
    C_RESUMED,
    C_RANGE,
    C_RANDOM,
    C_DISCOVERY,
    C_ASSERTIONS,
    C_ASSERTIONS_REFUSED,
    C_CERTIFICATES,
    C_CERTIFICATES_ELSEWHERE,
    C_COUNT
};

struct sandbox {
    struct sandbox_options options; /* its strings are copies */
    const struct era *era;
    enum auth_mode auth;
    struct client_key *client_keys;
    char *signing_file[ALGORITHMS], *signing_id[ALGORITHMS], *signing_jwk_file, *signing_jwks_file;
    _Atomic int64_t clock_skew;
    char *state_dir, *payload_dir;
    bool made_state_dir;
    char *origin, *token_url, *redirect_origin, *fhir_url[3];
    char *client_secret, *secret_file, *ca_file, *private_key_file, *bearer;
    char client_id[37];
    char *tls_key, *tls_cert, *client_ca; /* PEM for libmicrohttpd; client_ca may be NULL */
    char *files_origin;                   /* of a port of their own, or NULL */
    EVP_PKEY *client_key;
    gnutls_datum_t ticket_key; /* TLS session tickets */
    struct MHD_Daemon *daemon, *redirect_daemon, *files_daemon;
    struct source *sources;
    struct synth *synth[3]; /* EOB templates of v1, v2, v3, made when first needed */
    pthread_mutex_t synth_lock;
    _Atomic unsigned counts[C_COUNT];

    pthread_mutex_t lock; /* protects all members below */
    pthread_cond_t wake;  /* broadcast when the sandbox stops */
    bool stopping;
    struct fault_list faults;
    struct randomness random;
    struct job *jobs;
    struct token *tokens;
    struct used_jti *jtis;
    unsigned long long next_job;
    unsigned day;
    pthread_mutex_t keep_lock; /* of the files of jobs; taken before `lock` */
};

/* Returns the options with the defaults in place of zeros. */
struct sandbox_options options_complete(const struct sandbox_options *options);

/* Removes a directory with all that is in it. */
void remove_tree(const char *path);
/* Writes a file of the state directory. Nobody sees a part of it, even if the process is killed. */
int write_state_file(const struct sandbox *sb, const char *name, const char *text);
/* The server's clock, which --clock-skew shifts. */
time_t sandbox_now(const struct sandbox *sb);
void sandbox_set_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool sandbox_stopping(struct sandbox *sb);
/* Sleeps for the time given and returns true, or returns false as soon as the sandbox stops. */
bool sandbox_sleep(struct sandbox *sb, unsigned milliseconds);

/* ---- request.c: one HTTP exchange ---- */

struct header {
    const char *name;
    char *value;
};

/* Why a token request is refused: an error of RFC 6749 5.2. */
struct refusal {
    unsigned status;
    const char *error; /* NULL: it is not refused */
    char *description;
};

struct request {
    struct sandbox *sb;
    struct MHD_Connection *connection;
    char *target;      /* request target as sent, escapes kept */
    char *path;        /* the part of the target before ? */
    const char *query; /* the part of the target after ?, or NULL */
    const char *method;
    int api; /* API version, 1 to 3: it decides the shape of an error body */
    bool started;
    bool on_files_port; /* it came to the port that serves only files */
    bool token_used;    /* an earlier check of this request has already counted its token as used */
    const char *stage;  /* "token", "discovery", "kickoff", "status", "data", or "other" */
    enum random_fault random;
    uint32_t random_place;
    long long padding; /* bytes of additional headers */
    struct buf body;
    bool body_too_long;
    struct refusal refusal; /* by smart_judge() */
    char *assertion;        /* what the client sent, or NULL */
    char *scope;            /* what is granted */
    struct header out[12];
    size_t out_count;
};

struct request *request_new(struct sandbox *sb, const char *target);
void request_free(struct request *rq);
/* Returns the first value of a request header, or NULL. */
const char *request_header(struct request *rq, const char *name);
bool request_is(struct request *rq, const char *method);
/* Returns scheme://host as the server sees itself; the caller frees the string. */
char *request_origin(struct request *rq);
/* Returns the first value of a query parameter, decoded, or NULL if the parameter is absent. The
 * caller frees the string. *count, if count is not NULL, becomes the number of its occurrences. */
char *request_parameter(struct request *rq, const char *name, unsigned *count);

/* Sets a header of the answer; replaces an earlier value. */
void reply_header(struct request *rq, const char *name, const char *value);
enum MHD_Result reply_empty(struct request *rq, unsigned status);
/* Answers with this body and frees the buffer. As in Go, a body of up to 2048 bytes has a
 * Content-Length and a longer one is chunked. `type` is the Content-Type, or NULL. */
enum MHD_Result reply_buf(struct request *rq, unsigned status, const char *type, struct buf *body);
enum MHD_Result reply_string(struct request *rq, unsigned status, const char *type,
                             const char *body);
/* Answers as Go's http.Error does: text/plain with nosniff; the body is the text and a newline. */
enum MHD_Result reply_text(struct request *rq, unsigned status, const char *text);
enum MHD_Result reply_html(struct request *rq, unsigned status);
/* Answers with Retry-After: `seconds`, or the value of the fault "retry-after". The body is `text`,
 * or empty if `text` is NULL. */
enum MHD_Result reply_later(struct request *rq, unsigned status, long long seconds,
                            const char *text);
enum MHD_Result reply_not_found(struct request *rq);
enum MHD_Result reply_method(struct request *rq);
enum MHD_Result reply_response(struct request *rq, unsigned status, struct MHD_Response *response);

/* ---- outcome.c ---- */

enum outcome_kind {
    O_TOKEN,     /* "Invalid Token" */
    O_FORMAT,    /* "Formatting Error": a wrong Accept or Prefer header */
    O_REQUEST,   /* "Request Error": a wrong parameter */
    O_INTERNAL,  /* "Internal Error", at first "Processing Failure" */
    O_DATABASE,  /* "Database Error" */
    O_NOT_FOUND, /* "Not Found", later "Not Found Error" */
    O_DELETED,   /* "Deleted", later "Deleted Error" */
    O_NO_ISSUE   /* a failed job until 2020: an OperationOutcome without an issue */
};

void outcome_write(struct buf *b, const struct era *era, int api, unsigned status,
                   enum outcome_kind kind, const char *message);
enum MHD_Result reply_outcome(struct request *rq, unsigned status, enum outcome_kind kind,
                              const char *message);
/* Appends one line of an error file, without its LF. */
void outcome_error_line(struct buf *b, const struct era *era, const char *type, unsigned number);

/* ---- token.c ---- */

char *token_issue(struct sandbox *sb, long seconds);
enum MHD_Result token_endpoint(struct request *rq);
/* Returns true if the request may continue. Otherwise it has been answered, and *result is what the
 * handler returns. */
bool token_check(struct request *rq, bool required, enum MHD_Result *result);
/* Answers with the faults of any token endpoint. Returns true if there was one. */
bool token_faults(struct request *rq, enum MHD_Result *result);
void tokens_free(struct sandbox *sb);

/* ---- smart.c, assertion.c: how a SMART server signs a client in ---- */

/* Checks a token request and notes the result in the request. */
void smart_judge(struct request *rq);
enum MHD_Result smart_token_endpoint(struct request *rq);
enum MHD_Result smart_configuration(struct request *rq);
/* Notes why the request is refused. Returns false. */
bool smart_refuse(struct request *rq, unsigned status, const char *error, const char *description);
/* Returns true if the assertion is valid, and was not used before. Otherwise notes the refusal. */
bool assertion_check(struct request *rq, const char *text);
void jtis_free(struct sandbox *sb);

/* ---- signing.c: the keys of assertions ---- */

const char *signing_name(enum algorithm alg);
/* Returns the enum algorithm of a name, or -1; the name may be NULL. */
int signing_find(const char *name);
int signing_start(struct sandbox *sb);
/* Frees the keys, and removes their files. */
void signing_stop(struct sandbox *sb);
bool signing_size_valid(const struct client_key *k, const struct buf *signature);
/* Verifies a signature of a valid size. */
bool signing_verify(const struct client_key *k, const char *text, size_t n,
                    const struct buf *signature);

/* ---- export.c, jobs.c ---- */

enum MHD_Result export_start(struct request *rq, int version, const char *level, const char *group);
bool headers_check(struct request *rq, enum MHD_Result *result);
struct job *job_find(struct sandbox *sb, unsigned long long id);
bool job_running(const struct job *job);
enum MHD_Result job_status(struct request *rq, const char *id);
enum MHD_Result job_delete(struct request *rq, const char *id);
enum MHD_Result jobs_list(struct request *rq);
void job_free(struct job *job);
void data_file_free(struct data_file *f);
/* Returns true if a fault makes the job count as archived. */
bool job_expired(struct job *job);
/* Returns the same server's other origin: 127.0.0.1 for localhost, and the reverse. The caller
 * frees the string. */
char *other_origin(const char *origin);
void manifest_write(struct buf *b, struct job *job, const char *origin, bool null_output);

/* ---- make.c: the files of a job ---- */

int job_launch(struct job *job);
/* Returns the templates of an API version, which are made when they are first needed. */
const struct synth *make_synth(struct sandbox *sb, int version);
void job_join(struct job *job);
int sources_load(struct sandbox *sb, const char *dir);
void sources_free(struct sandbox *sb);
bool sources_have_type(struct sandbox *sb, const char *type);

/* ---- sink.c: writes plain bytes to a stored file ---- */

struct sink;
struct sink *sink_open(struct sandbox *sb, const char *path, const char *plain_path,
                       const uint8_t *key, bool gzip);
int sink_write(struct sink *sink, const void *data, size_t n);
uint64_t sink_bytes(const struct sink *sink);
/* Frees the sink even if it returns -1. */
int sink_close(struct sink *sink);

/* ---- lines.c: faults inside the lines of a file ---- */

struct lines {
    struct sink *sink;
    const char *type;
    bool envelope;
    bool bad_utf8, bad_json, two, cut_line;
    long long long_line, deep_line; /* length and depth of line 2; 0: unchanged */
    unsigned long long number;      /* number of the line written last */
    struct buf held;                /* the newest line, kept back for cut_line */
};

void lines_begin(struct lines *l, struct sandbox *sb, struct sink *sink, const char *type,
                 bool envelope);
bool lines_faulty(const struct lines *l);
/* Takes a line without its LF. */
int lines_put(struct lines *l, const char *line, size_t n);
int lines_end(struct lines *l);

/* ---- synth.c ---- */

struct synth;
struct synth *synth_new(uint64_t seed, int version, bool envelope, const char *patient_prefix);
void synth_free(struct synth *s);
/* Replaces the content of b with one ExplanationOfBenefit line, without its LF, as it is since its
 * change on this day; 0: unchanged. */
void synth_eob(const struct synth *s, struct buf *b, unsigned patient, unsigned long long claim,
               unsigned day);
/* As synth_eob(), for a line of any other type. Returns false if this patient has no line of this
 * number. */
bool synth_other(const struct synth *s, struct buf *b, const char *type, unsigned patient,
                 unsigned number, unsigned day);
/* Writes the id of such a resource. Returns false as synth_other() does. */
bool synth_id(const struct synth *s, const char *type, unsigned patient, unsigned number,
              char out[48]);
/* Returns the lastUpdated, in ms, of a resource that changed on this day. */
int64_t synth_updated(const char *type, unsigned day);

/* ---- people.c: people and resources that change from day to day ---- */

bool people_day_valid(const struct sandbox_options *options, unsigned day);
/* Returns all who have been in the data until this day; free() frees them. */
struct people *people_new(const struct sandbox_options *options, unsigned day);
unsigned people_count(const struct people *p);
bool people_present(const struct people *p, unsigned person);
/* Returns true if the person was taken away later than `since` (ms). */
bool people_gone_after(const struct people *p, unsigned person, int64_t since);
/* Returns the day of the last change of a resource, or 0 if it is as on day 0. */
unsigned people_changed(const struct people *p, const char *type, unsigned person, unsigned number);
/* The times of a day, in ms: of its changes, and of its exports, which is later. */
int64_t people_change_time(unsigned day);
int64_t people_export_time(unsigned day);

/* ---- control.c: requests that steer the sandbox ---- */

enum MHD_Result control_day(struct request *rq);
enum MHD_Result control_fault(struct request *rq);
enum MHD_Result control_clock(struct request *rq);
enum MHD_Result control_count(struct request *rq);

/* ---- keep.c: what remains from one run to the next ---- */

/* Returns the text of a file of the state directory, or NULL if there is none. */
char *keep_read(const struct sandbox *sb, const char *name);
void keep_job(struct job *job);
/* Loads all jobs, and starts those again whose files were not complete. */
int keep_load_jobs(struct sandbox *sb);

/* ---- data.c, small.c ---- */

enum MHD_Result data_file(struct request *rq, const char *job, const char *name);
enum MHD_Result small_metadata(struct request *rq, int version);
enum MHD_Result small_attribution(struct request *rq);
enum MHD_Result small_version(struct request *rq);
enum MHD_Result small_health(struct request *rq);
enum MHD_Result small_auth(struct request *rq);
enum MHD_Result small_welcome(struct request *rq);
enum MHD_Result small_root(struct request *rq);

/* ---- route.c ---- */

enum MHD_Result route(struct request *rq);

/* ---- crypt.c, pki.c ---- */

void crypt_random(void *p, size_t n);
void crypt_uuid(char out[37]);
void crypt_hex(struct buf *b, const void *data, size_t n);
void crypt_base64url(struct buf *b, const void *data, size_t n);
/* Decodes base64url without padding. Returns false if the text is anything else; unused bits must
 * be zeros. */
bool crypt_unbase64url(struct buf *out, const char *text, size_t n);
/* Returns the AES key encrypted with RSA-OAEP, as lower-case hex, or NULL on failure. */
char *crypt_wrap(EVP_PKEY *key, const uint8_t aes[32], const char *label);
/* Makes the 28 bytes of an encrypted empty file. */
int crypt_empty(const uint8_t aes[32], uint8_t out[28]);
EVP_PKEY *pki_client_key(void);
EVP_PKEY *pki_other_key(void);
EVP_PKEY *pki_signing_key(void);
/* Returns PKCS#8 PEM, or NULL. */
char *pki_private_pem(EVP_PKEY *key);
EVP_PKEY *pki_load_public(const char *file);
EVP_PKEY *pki_read_private(const char *text);
/* Returns NULL if the text has no certificate; the text may be NULL. */
X509 *pki_read_certificate(const char *text);
int pki_write_private(EVP_PKEY *key, const char *file);
int pki_make_tls(char **ca_pem, char **cert_pem, char **key_pem);
int file_write(const char *path, const char *text, unsigned mode);
/* Appends the content of a file. */
int file_read(const char *path, struct buf *out);

/* ---- gotime.c ---- */

void time_rfc3339(struct timespec t, char out[48]);
void time_go(struct timespec t, char out[64]);
void time_http(time_t t, char out[48]);
bool time_parse_http(const char *s, time_t *out);
/* Parses an RFC 3339 time with a zone; as strict as Go. */
bool time_parse_rfc3339(const char *s, struct timespec *out);

#endif
