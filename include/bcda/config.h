/*
 * bcda/config.h - a server, an identity, and every setting. Include <bcda/bcda.h>.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef BCDA_CONFIG_H
#define BCDA_CONFIG_H

#include <bcda/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A bcda_config is filled, given to bcda_session_new() or bcda_decoder_new(), which copy it, and
 * freed. Every string is copied. A second call of a setter replaces the value; NULL removes it
 * where the comment says so. All functions here: from callbacks: yes. Thread: any. Since 0.1.
 * Besides the codes that are named, each gives BCDA_ERR_INVALID for a NULL argument and
 * BCDA_ERR_NOMEM.
 */

/* An empty configuration. BCDA_ERR_NOMEM. */
BCDA_API int bcda_config_new(bcda_config **out);
BCDA_API void bcda_config_free(bcda_config *config);

/*
 * The base of the FHIR API, such as "https://sandbox.bcda.cms.gov/api/v1". Needed by a session.
 * BCDA_ERR_URL: not an absolute URL, one with a query, or longer than 16,384 bytes. An http URL is
 * refused when the session is made (BCDA_ERR_INSECURE_URL), unless it is a loopback address and
 * BCDA_OPT_ALLOW_HTTP_LOOPBACK is 1.
 */
BCDA_API int bcda_config_set_fhir_url(bcda_config *config, const char *url);

/*
 * The URL of token requests. Default: "/auth/token" at the origin of the FHIR URL, as at BCDA
 * (bcda-api 3). The http URL that the user guide of 2019 prints is refused: the server answers it
 * with 405, and the secret would have been sent in clear. NULL = the default. Errors as above.
 */
BCDA_API int bcda_config_set_token_url(bcda_config *config, const char *url);

/*
 * A URL that the server names (status, file, redirect) and that begins with `from` is requested
 * with `to` in place of `from`: for a server behind a proxy that names itself wrongly. Both are
 * absolute URLs without a query; the path of `from`, if any, matches whole segments. The first
 * rewrite that matches is applied, once. `to` may be an http URL under the same conditions as the
 * FHIR URL. A server that writes http for its own https, as BCDA does (bcda-api 1), needs no
 * rewrite: the library corrects such URLs. BCDA_ERR_URL.
 */
BCDA_API int bcda_config_add_url_rewrite(bcda_config *config, const char *from, const char *to);

/*
 * Adds an origin ("https://files.example:8443") that files and redirects may have, besides the
 * origin of the FHIR URL. If none was added, every https origin is allowed, because files are often
 * on other hosts. Otherwise a URL of any other origin is BCDA_ERR_ORIGIN before a byte is sent. In
 * both cases the token is sent to the origin of the FHIR URL only. BCDA_ERR_URL.
 */
BCDA_API int bcda_config_add_allowed_origin(bcda_config *config, const char *origin);

/*
 * OAuth client credentials: the token is fetched with HTTP Basic, kept, shared by all requests of
 * the session, renewed before it expires and once after a 401. The secret is held in locked memory
 * and wiped. BCDA_ERR_INVALID: empty, or a ':' or control character in the id (RFC 7617). Replaces
 * a bearer token or token provider.
 */
BCDA_API int bcda_config_set_client_credentials(bcda_config *config, const char *client_id,
                                                const char *client_secret);

/*
 * A token that the application already has; never renewed: a 401 is BCDA_ERR_AUTH. Replaces
 * credentials or a provider. BCDA_ERR_INVALID: empty, or a character that a header cannot hold.
 */
BCDA_API int bcda_config_set_bearer_token(bcda_config *config, const char *token);

/*
 * The application provides the tokens. The callback is called when a token is needed (inside run or
 * step). The application answers with one of the two functions below, at once or later, on the
 * session's thread. The application owns the request until it answers; the answer frees the
 * request. Replaces credentials or a token. `destroy` may be NULL. On failure (BCDA_ERR_INVALID: no
 * callback) the userdata is still the caller's.
 */
typedef void (*bcda_token_provider_cb)(bcda_token_request *request, void *userdata);
BCDA_API int bcda_config_set_token_provider(bcda_config *config, bcda_token_provider_cb cb,
                                            void *userdata, bcda_destroy_cb destroy);

/*
 * Answers with a token that is valid for `lifetime_seconds` (-1: not known). The token is copied.
 * The request is freed, whatever the result, also if its session was freed before.
 * BCDA_ERR_INVALID: an empty token or one that a header cannot hold: the waiting requests fail with
 * BCDA_ERR_TOKEN. BCDA_ERR_FORKED: this is a child after fork(), and the parent must still answer.
 */
BCDA_API int bcda_token_request_answer(bcda_token_request *request, const char *token,
                                       int64_t lifetime_seconds);

/* No token is available: the requests that wait for it fail with BCDA_ERR_AUTH. The request is
 * freed. */
BCDA_API void bcda_token_request_fail(bcda_token_request *request);

/*
 * Adds an RSA private key (PEM; PKCS#1 or PKCS#8; 2048 to 8192 bits) for encrypted files (bcda-api
 * 7). If there are several, each is tried. `passphrase` may be NULL for a key that is not
 * encrypted. The key is held in locked memory. BCDA_ERR_KEY_FORMAT, BCDA_ERR_KEY_PASSPHRASE,
 * BCDA_ERR_KEY_UNSUPPORTED, BCDA_ERR_KEY_FIPS, BCDA_ERR_LIBRARY; from _file also BCDA_ERR_IO. See
 * bcda_config_error().
 */
BCDA_API int bcda_config_add_private_key_pem(bcda_config *config, const void *pem, size_t len,
                                             const char *passphrase);
BCDA_API int bcda_config_add_private_key_file(bcda_config *config, const char *path,
                                              const char *passphrase);

/* The certificate authorities to trust: one PEM file, in place of the system's. NULL = the
 * system's. bcda_session_new() checks that the file can be read (BCDA_ERR_IO); its content is
 * checked when a connection is made (BCDA_ERR_TLS_VERIFY). */
BCDA_API int bcda_config_set_ca_file(bcda_config *config, const char *path);

/* A client certificate for TLS (PEM files). `passphrase` may be NULL, for a key that is not
 * encrypted; the library never prompts for one. bcda_session_new() checks that the files exist
 * (BCDA_ERR_IO); their content is checked when a connection is made (BCDA_ERR_TLS). */
BCDA_API int bcda_config_set_client_certificate(bcda_config *config, const char *certificate_path,
                                                const char *key_path, const char *passphrase);

/* An HTTP proxy, such as "http://proxy.example:3128"; user and password may be NULL. The
 * environment's proxy variables are never read. `url` NULL = none. The proxy is checked when a
 * connection is made (BCDA_ERR_PROXY). */
BCDA_API int bcda_config_set_proxy(bcda_config *config, const char *url, const char *user,
                                   const char *password);

/*
 * Where files wait for their verification with BCDA_DELIVERY_VERIFIED: a directory that has room
 * for as many of the largest files as are downloaded at once. There is no default. A spooled file
 * has no name, is encrypted with a random key that stays in memory, and is removed at the end of
 * its download. NULL = none: bcda_session_new() then gives BCDA_ERR_CONFIG for verified delivery.
 * Whether it can be written to is known at the first file (BCDA_ERR_SPOOL).
 */
BCDA_API int bcda_config_set_spool_directory(bcda_config *config, const char *path);

/* How detailed a log line is. */
#define BCDA_LOG_ERROR   1
#define BCDA_LOG_WARNING 2
#define BCDA_LOG_INFO    3
#define BCDA_LOG_DEBUG   4

/*
 * Log lines, one at a time, on the session's thread: `component` is a layer such as "net",
 * `message` one line without secrets, tokens or patient data. A line of "client" about a job begins
 * with its id, such as "job 42: ", and one about a file with its index and type too, such as "job
 * 42, file 3 (Patient): ". The words may change with any version. The callback must not call the
 * library. Default: silent. `level` is the most detailed level that is reported. `cb` NULL =
 * silent. BCDA_ERR_INVALID: no such level.
 */
typedef void (*bcda_log_cb)(int level, const char *component, const char *message, void *userdata);
BCDA_API int bcda_config_set_log(bcda_config *config, int level, bcda_log_cb cb, void *userdata,
                                 bcda_destroy_cb destroy);

/*
 * The options. Each comment gives the meaning, the unit, the default and the allowed values, both
 * ends included. A number is never reused for another option. Sizes are in bytes, KiB (1,024
 * bytes), MiB or GiB. Integers, for bcda_config_set_int():
 */
/* 1: http URLs to 127.0.0.0/8, ::1 and localhost are allowed. Default 0; 0 to 1. */
#define BCDA_OPT_ALLOW_HTTP_LOOPBACK 1
/* Size of a JSON response other than a manifest. Default 1 MiB; 1 KiB to 1 GiB. */
#define BCDA_OPT_ANSWER_MAX 2
/* Size of a manifest. Default 256 MiB; 1 KiB to 4 GiB. */
#define BCDA_OPT_MANIFEST_MAX 3
/* Files of a manifest. Default 200,000; 1 to 10,000,000. */
#define BCDA_OPT_MANIFEST_ENTRIES_MAX 4
/* Size of a line; a longer one is invalid. Default 64 MiB; 64 to 2 GiB. */
#define BCDA_OPT_LINE_MAX 5
/* Nested objects and arrays in a line. Default 64; 1 to 10,000. */
#define BCDA_OPT_JSON_DEPTH_MAX 6
/* Size of everything in a response that is not its body: status lines, headers, interim responses,
 * trailers. Default 256 KiB; 1 KiB to 16 MiB. */
#define BCDA_OPT_HEADERS_MAX 7
/* Attempts of one request in a row that bring nothing new. Default 8; 1 to 100. */
#define BCDA_OPT_ATTEMPTS 8
/* Files that a session downloads at once, at most. Default 5; 1 to 64. */
#define BCDA_OPT_PARALLEL 9
/* Milliseconds for name lookup, TCP and TLS together. Default 30,000; 1 to 86,400,000. */
#define BCDA_OPT_CONNECT_TIMEOUT_MS 10
/* Bytes a second below which a transfer is too slow. 0: no transfer is. Default 1 KiB; 0 to 1 GiB.
 */
#define BCDA_OPT_LOW_SPEED_BYTES 11
/* Milliseconds after which a transfer that is too slow is ended. Default 60,000; 1 to 86,400,000.
 */
#define BCDA_OPT_LOW_SPEED_TIME_MS 12
/* Milliseconds for a job, from start to end. Default 86,400,000; 1 to 31,536,000,000. */
#define BCDA_OPT_JOB_TIMEOUT_MS 13
/* Milliseconds before a status request, at most. A running job is polled after an eighth of the
 * time since the server accepted it (since bcda_job_attach() where that created it), after at least
 * 1 s. Where the server names a time (Retry-After), that counts instead, up to
 * BCDA_OPT_RETRY_AFTER_MAX_MS. Default 30,000; 1 to 86,400,000. */
#define BCDA_OPT_POLL_MAX_MS 14
/* Milliseconds before a retry, at most, where the server names no time. Default 60,000;
 * 1 to 86,400,000. */
#define BCDA_OPT_RETRY_MAX_MS 15
/* Milliseconds to wait, at most, where the server names a time (Retry-After). Default 600,000;
 * 1 to 86,400,000. */
#define BCDA_OPT_RETRY_AFTER_MAX_MS 16
/* Size of the lines that a batch gathers. Default 256 KiB; 4 KiB to 64 MiB. */
#define BCDA_OPT_BATCH_SIZE 17
/* Milliseconds that lines wait for their batch to fill. Default 100; 0 to 86,400,000. */
#define BCDA_OPT_BATCH_DELAY_MS 18
/* Invalid lines tolerated per job. -1: any number. Default 0; -1 to 9,223,372,036,854,775,807. */
#define BCDA_OPT_BAD_LINES_MAX 19
/* 1: ask for gzip. Default 1; 0 to 1. */
#define BCDA_OPT_GZIP 20
/* Requests of a session that may be sent without waiting. Default 3,000; 1 to 1,000,000. */
#define BCDA_OPT_REQUESTS_BURST 21
/* Requests that are added to that number each second. Default 10, the rate that BCDA allows
 * (bcda-api 4.6); 1 to 1,000,000. */
#define BCDA_OPT_REQUESTS_PER_SECOND 22
/* Redirects of one request that are followed. Default 5; 0 to 50. */
#define BCDA_OPT_REDIRECTS_MAX 23
/* How data is delivered: BCDA_DELIVERY_STREAMING or _VERIFIED. Default 0; 0 to 1. */
#define BCDA_OPT_DELIVERY 24
/* 1: a file must have as many resources as the manifest's `count` says. Default 1; 0 to 1. */
#define BCDA_OPT_CHECK_COUNT 25
/* What to do where an identical export is already running: BCDA_DUPLICATE_WAIT, _REFUSE or
 * _TAKE_OVER. Default 0; 0 to 2. */
#define BCDA_OPT_DUPLICATE_JOB 26
/* Retries of all requests of a job together. Default 1,000; 0 to 1,000,000. */
#define BCDA_OPT_JOB_RETRIES_MAX 27
/* Threads that decode files; 0: none is created. See below. Default 0; 0 to 64. */
#define BCDA_OPT_DECODE_THREADS 28
/* 1: bcda_job_cancel() also cancels the job at the server. Default 0; 0 to 1. */
#define BCDA_OPT_CANCEL_AT_SERVER 29
/* Strings, for bcda_config_set_str(): */
/* The User-Agent header; no control characters. Default "libbcda/" and the version. */
#define BCDA_OPT_USER_AGENT 100

/*
 * BCDA_OPT_POLL_MAX_MS: a running job is polled after an eighth of the time since the server
 * accepted it (since bcda_job_attach() for an attached job), at least after 1 s, and at most after
 * this many milliseconds. If the server names a time (Retry-After), that time is used instead, up
 * to BCDA_OPT_RETRY_AFTER_MAX_MS.
 */

/*
 * BCDA_OPT_DECODE_THREADS: with 0 the session creates no thread, and files are decoded in run and
 * step. With more, that many threads are created when the first file begins, and joined when the
 * session is freed. Each thread works on one file at a time: it reads from the file's connection
 * and decodes. The threads also open the files' keys: RSA takes some 7 ms of CPU time per file for
 * a key of 2048 bits and 37 for one of 4096, which without threads blocks run and step. Callbacks,
 * log lines and everything else stay on the session's thread, and the same data is delivered, in
 * the same order within a file. Threads help when several files are downloaded at once and cores
 * are idle, because decoding, not the network, limits an export. Each download takes more memory
 * with threads; see doc/guide/memory-and-limits.md. If the system gives fewer threads, or none,
 * files are decoded with fewer threads, or without, and a warning is logged once.
 */

/* How data is delivered (BCDA_OPT_DELIVERY). */
#define BCDA_DELIVERY_STREAMING 0 /* as it arrives; provisional until the end of its file */
#define BCDA_DELIVERY_VERIFIED  1 /* spooled, checked to its end, then delivered */

/*
 * What to do if the server refuses an export because an identical export is already running (429 to
 * the kick-off; bcda-api 4.6). A server gives the same answer to a client that has sent too many
 * requests; waiting is correct in that case too.
 */
#define BCDA_DUPLICATE_WAIT   0 /* retry with growing delays until the job's time is over */
#define BCDA_DUPLICATE_REFUSE 1 /* the job ends at once with BCDA_ERR_TOO_MANY */
/* Look for the running job in the server's list (GET /jobs, since 2021-09; bcda-api 5.4) and resume
 * it. Only a job with the same path and parameters is taken over, whoever in the organization
 * started it. If there is none, wait. */
#define BCDA_DUPLICATE_TAKE_OVER 2

/*
 * Sets an option. BCDA_ERR_OPTION_UNKNOWN; BCDA_ERR_OPTION_TYPE (the other kind);
 * BCDA_ERR_OPTION_RANGE (for a string: a control character).
 */
BCDA_API int bcda_config_set_int(bcda_config *config, int option, int64_t value);
BCDA_API int bcda_config_set_str(bcda_config *config, int option, const char *value);

/* Reads an option; a string is valid until the option is set again. Errors as above. */
BCDA_API int bcda_config_get_int(const bcda_config *config, int option, int64_t *out);
BCDA_API int bcda_config_get_str(const bcda_config *config, int option, const char **out);

/*
 * An option's number by its name in lower case without prefix, such as "line_max";
 * BCDA_ERR_OPTION_UNKNOWN (negative, as no option is).
 */
BCDA_API int bcda_option_by_name(const char *name);
/* The reverse; NULL for an unknown number. Static. */
BCDA_API const char *bcda_option_name(int option);

/* Why the last call with this config failed, bcda_session_new() and bcda_decoder_new() included,
 * for every code, a refused argument included; NULL if it did not fail. Reading an option does not
 * change the error if it succeeds. Valid until the next call on the config. */
BCDA_API const bcda_error *bcda_config_error(const bcda_config *config);

#ifdef __cplusplus
}
#endif

#endif
