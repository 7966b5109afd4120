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
 * The application fills a bcda_config, gives it to bcda_session_new() or bcda_decoder_new(), which
 * copy it, and frees it. Every string is copied. A second call of a setter replaces the value; NULL
 * removes the value where the comment says so. All functions here: from callbacks: yes. Thread:
 * any. Since 0.1. Besides the codes that its comment names, each function can return
 * BCDA_ERR_INVALID (an argument is NULL) and BCDA_ERR_NOMEM.
 */

/* Creates an empty configuration. Returns 0 or BCDA_ERR_NOMEM. */
BCDA_API int bcda_config_new(bcda_config **out);
BCDA_API void bcda_config_free(bcda_config *config);

/*
 * The base of the FHIR API, such as "https://sandbox.bcda.cms.gov/api/v1". A session needs it.
 * BCDA_ERR_URL: the text is not an absolute URL, has a query, or is longer than 16,384 bytes. An
 * http URL is refused when the session is created (BCDA_ERR_INSECURE_URL), unless it is a loopback
 * address and BCDA_OPT_ALLOW_HTTP_LOOPBACK is 1.
 */
BCDA_API int bcda_config_set_fhir_url(bcda_config *config, const char *url);

/*
 * The URL of token requests. Default: with client credentials "/auth/token" at the origin of the
 * FHIR URL, as at BCDA (bcda-api 3); with a signing key, what the server announces (see
 * bcda_config_set_signing_key()). The http URL in BCDA's user guide of 2019 is refused: the server
 * would answer 405, after the secret was sent unencrypted. NULL = the default. Errors: as for
 * bcda_config_set_fhir_url().
 */
BCDA_API int bcda_config_set_token_url(bcda_config *config, const char *url);

/*
 * A URL that the server names (status, file, redirect, announced token URL) and that begins with
 * `from` is requested with `to` in place of `from`. This is for a server behind a proxy whose URLs
 * name the wrong host. Both are absolute URLs without a query; the path of `from`, if any, matches
 * whole segments only. The first rewrite that matches is applied, once. `to` may be an http URL
 * under the same conditions as the FHIR URL. A server that writes http for its own https, as BCDA
 * does (bcda-api 1), needs no rewrite: the library corrects such URLs. An assertion names the token
 * URL as the server announces it. BCDA_ERR_URL.
 */
BCDA_API int bcda_config_add_url_rewrite(bcda_config *config, const char *from, const char *to);

/*
 * Adds an origin ("https://files.example:8443") that files, redirects and an announced token URL
 * may have, besides the origin of the FHIR URL. If none was added, every https origin is allowed,
 * because files are often on other hosts. Otherwise a URL of any other origin fails with
 * BCDA_ERR_ORIGIN before a byte is sent. In both cases the token is sent only to the origin of the
 * FHIR URL. BCDA_ERR_URL: `origin` is not an origin.
 */
BCDA_API int bcda_config_add_allowed_origin(bcda_config *config, const char *origin);

/*
 * How the session signs in. There are seven ways, and each of the following setters replaces what
 * the others have set: client credentials (BCDA), a signing key (SMART Backend Services), a bearer
 * token, a token provider, a token file, a token command, and no authentication. Without any of
 * them bcda_session_new() returns BCDA_ERR_CONFIG. It returns that code too for a setting that has
 * no meaning for the chosen way: a scope without a signing key, a token cache without client
 * credentials or signing key, or a token URL with no authentication; and if the token cache and the
 * request budget are the same file. A token that cannot be renewed in time is used until it
 * expires, with a warning in the log.
 */

/*
 * Sets OAuth client credentials. The library fetches a token with HTTP Basic authentication and
 * uses it for all requests of the session. It renews the token before it expires, and once after a
 * 401. The secret is held in locked memory, and wiped before it is freed. BCDA_ERR_INVALID: an
 * argument is empty or has a control character, or the id has a ':' (RFC 7617).
 */
BCDA_API int bcda_config_set_client_credentials(bcda_config *config, const char *client_id,
                                                const char *client_secret);

/*
 * Sets the key with which the client signs in by SMART Backend Services (SMART App Launch 2.x,
 * "Backend Services"; private_key_jwt of OpenID Connect; RFC 7523). For each token request the
 * library makes a new assertion, valid for 4 minutes, and signs it with RS384 (RSA, 2048 to 8192
 * bits) or ES384 (EC, curve P-384), according to the key. `text` is a private key in one of three
 * forms: PEM (PKCS#8, encrypted PKCS#8, PKCS#1, SEC 1), a JWK, or a JWKS (RFC 7517).
 * `passphrase` is for an encrypted PEM key, else NULL. `key_id` ("kid") is the id under which the
 * server has the public key. It is sent in the assertion, and it selects the key of a JWKS. If it
 * is NULL, the kid of the JWK is used; a PEM key then has none, which many servers refuse.
 *
 * The token URL is that of bcda_config_set_token_url(), or else token_endpoint of
 * ".well-known/smart-configuration" below the FHIR URL, or else the one in the server's
 * CapabilityStatement. It may have another origin than the FHIR URL, but must be https and, if
 * origins were added with bcda_config_add_allowed_origin(), one of them.
 *
 * A key that cannot be used is refused here, before anything is sent: BCDA_ERR_KEY_FORMAT,
 * BCDA_ERR_KEY_PASSPHRASE, BCDA_ERR_KEY_UNSUPPORTED (another algorithm, curve or size, or an
 * algorithm or use in the JWK that contradicts), BCDA_ERR_CONFIG (the key id selects no key,
 * contradicts the JWK, or is needed because the JWKS has several keys), BCDA_ERR_KEY_FIPS,
 * BCDA_ERR_LIBRARY; from _file also BCDA_ERR_IO. bcda_config_error() says more. BCDA_ERR_INVALID:
 * the client id or the key id is empty, has a control character, or is not UTF-8. The key is held
 * in locked memory, and wiped before it is freed.
 */
BCDA_API int bcda_config_set_signing_key(bcda_config *config, const char *client_id,
                                         const void *text, size_t len, const char *passphrase,
                                         const char *key_id);
BCDA_API int bcda_config_set_signing_key_file(bcda_config *config, const char *client_id,
                                              const char *path, const char *passphrase,
                                              const char *key_id);

/*
 * The scopes to ask for with a signing key, separated by spaces, such as "system/Patient.read
 * system/Coverage.read". Default: to read all types, in the form of version 2 of the specification
 * ("rs") if the server announces it, else in that of version 1 ("read"). If the server grants less
 * than was asked for, a warning is logged, and bcda_session_missing_scope() says what is missing.
 * NULL = the default. BCDA_ERR_INVALID: the text is not a list of scopes (RFC 6749, 3.3).
 */
BCDA_API int bcda_config_set_scope(bcda_config *config, const char *scope);

/* For an open server, which requires no token. No request carries an Authorization header. */
BCDA_API int bcda_config_set_no_authentication(bcda_config *config);

/*
 * Sets a token that the application already has. The library never renews it, so a 401 fails with
 * BCDA_ERR_AUTH. BCDA_ERR_INVALID: the token is empty, or has a character that is not allowed in a
 * header.
 */
BCDA_API int bcda_config_set_bearer_token(bcda_config *config, const char *token);

/*
 * Sets a callback through which the application provides tokens. It is called inside run or step,
 * when a token is needed. The application answers with one of the two functions below, at once or
 * later, on the session's thread. The application owns the request until it answers; the answer
 * frees the request. `destroy` may be NULL. On failure (BCDA_ERR_INVALID: `cb` is NULL) the caller
 * still owns the userdata.
 */
typedef void (*bcda_token_provider_cb)(bcda_token_request *request, void *userdata);
BCDA_API int bcda_config_set_token_provider(bcda_config *config, bcda_token_provider_cb cb,
                                            void *userdata, bcda_destroy_cb destroy);

/*
 * Answers with a token that is valid for `lifetime_seconds` (-1: not known). The token is copied.
 * The request is freed, whatever the result, even if its session was freed before.
 * BCDA_ERR_INVALID: the token is empty or has a character that is not allowed in a header; the
 * waiting requests then fail with BCDA_ERR_TOKEN. BCDA_ERR_FORKED: the caller is a child after
 * fork(), and the parent must still answer.
 */
BCDA_API int bcda_token_request_answer(bcda_token_request *request, const char *token,
                                       int64_t lifetime_seconds);

/* Answers that no token is available. The HTTP requests that wait for the token fail with
 * BCDA_ERR_AUTH. The token request is freed. */
BCDA_API void bcda_token_request_fail(bcda_token_request *request);

/*
 * A file with a token that another program writes, and rewrites in time. The file contains the
 * token, which may have white space around it, or a JSON document with "access_token" and
 * optionally "expires_in", as a token URL sends it. The file is read when the first token is
 * needed, again before the token expires, and again after a 401. When it expires is known from
 * "expires_in", or from the claim "exp" if the token is a JWT. If the file cannot be read or has no
 * token, the requests that need one fail with BCDA_ERR_IO or BCDA_ERR_TOKEN, but a token that has
 * not expired is used until then. If the server has refused the token and the file still has the
 * same one, the refused requests fail with BCDA_ERR_AUTH, and others still carry it.
 * BCDA_ERR_INVALID: the path is empty.
 */
BCDA_API int bcda_config_set_token_file(bcda_config *config, const char *path);

/*
 * A command that prints a token to its standard output, in one of the forms of a token file. It
 * runs as "/bin/sh -c COMMAND" at the times when a token file is read, with the environment and
 * standard error of the application, and nothing on its standard input. The session does not wait
 * for it: transfers continue. The command must not be a secret, because every user of the machine
 * can see it. It fails, and the requests that need a token with it, if it cannot be started
 * (BCDA_ERR_SYSTEM), if its exit status is not 0 or if it takes longer than
 * BCDA_OPT_TOKEN_COMMAND_TIMEOUT_MS (BCDA_ERR_AUTH), or if it prints no token or more than 64 KiB
 * (BCDA_ERR_TOKEN); but a token that has not expired is used until then. At the end of its time the
 * shell is killed, but not a process that the shell has started. If the application ignores
 * SIGCHLD, or waits for any child process, the exit status is not known, and only the output
 * counts. BCDA_ERR_INVALID: the command is empty.
 */
BCDA_API int bcda_config_set_token_command(bcda_config *config, const char *command);

/*
 * A file with which processes share a token, so that each of them need not fetch its own: BCDA
 * limits the requests for tokens (bcda-api 3.3), and its tokens are valid for 20 minutes. It is for
 * client credentials and a signing key. The file is created with the mode 0600; it must be a
 * regular file of the user that no other user can read or write, and not a file with other content,
 * which is kept. It contains the token, which is
 * bound to the origin of the FHIR URL, the token URL, the client id and the scope, and, if the
 * server announces the token URL, to the whole FHIR URL; each combination of these should have its
 * own file. One process at a time fetches a token, and the others wait up to a minute for it. A
 * token is not stored if the server does not say when it expires (expires_in; BCDA does since
 * 2022). A token that the server refuses is wiped from the file. NULL = no cache, the default.
 * bcda_session_new() returns BCDA_ERR_IO if the file cannot be used; if that happens later, a
 * warning is logged and the session fetches its own token. BCDA_ERR_INVALID: the path is empty.
 */
BCDA_API int bcda_config_set_token_cache(bcda_config *config, const char *path);

/*
 * A file with which processes of one user share the budget of requests, BCDA_OPT_REQUESTS_BURST and
 * BCDA_OPT_REQUESTS_PER_SECOND, because servers such as BCDA count the requests of an address, not
 * of a process (bcda-api 4.6). All of them should set the same options. The file is created with
 * the mode 0600, must be as that of the token cache but another one, and contains no secret. NULL =
 * each session has its own budget, the default. bcda_session_new() returns BCDA_ERR_IO if the file
 * cannot be used; if that happens later, a warning is logged and the session has its own budget.
 * BCDA_ERR_INVALID: the path is empty.
 */
BCDA_API int bcda_config_set_request_budget(bcda_config *config, const char *path);

/*
 * Adds an RSA private key (PEM; PKCS#1 or PKCS#8; 2048 to 8192 bits) for encrypted files (bcda-api
 * 7). If there are several keys, each is tried. `passphrase` may be NULL for a key that is not
 * encrypted. The key is held in locked memory. Errors: BCDA_ERR_KEY_FORMAT,
 * BCDA_ERR_KEY_PASSPHRASE, BCDA_ERR_KEY_UNSUPPORTED, BCDA_ERR_KEY_FIPS, BCDA_ERR_LIBRARY; from
 * _file also BCDA_ERR_IO. bcda_config_error() says more.
 */
BCDA_API int bcda_config_add_private_key_pem(bcda_config *config, const void *pem, size_t len,
                                             const char *passphrase);
BCDA_API int bcda_config_add_private_key_file(bcda_config *config, const char *path,
                                              const char *passphrase);

/* A PEM file with the certificate authorities to trust instead of those of the system. NULL = those
 * of the system. bcda_session_new() checks that the file can be read (BCDA_ERR_IO); its content is
 * checked when a connection is made (BCDA_ERR_TLS_VERIFY). */
BCDA_API int bcda_config_set_ca_file(bcda_config *config, const char *path);

/* A client certificate for TLS (PEM files). `passphrase` may be NULL, for a key that is not
 * encrypted; the library never prompts for one. The certificate is offered to the origins of
 * bcda_config_add_certificate_origin(); if none was added, to those of the FHIR URL and the token
 * URL. Other servers, such as those of files and redirects, do not see it. bcda_session_new()
 * checks that the files exist (BCDA_ERR_IO); their content is checked when a connection is made
 * (BCDA_ERR_TLS). */
BCDA_API int bcda_config_set_client_certificate(bcda_config *config, const char *certificate_path,
                                                const char *key_path, const char *passphrase);

/* Adds an origin to which the client certificate is offered, such as
 * "https://files.example:8443". Once one was added, the origins of the FHIR URL and the token URL
 * get the certificate only if they were added too. BCDA_ERR_URL: `origin` is not an origin. */
BCDA_API int bcda_config_add_certificate_origin(bcda_config *config, const char *origin);

/* An HTTP proxy, such as "http://proxy.example:3128"; user and password may be NULL. The
 * environment's proxy variables are never read. If `url` is NULL, no proxy is used. The proxy is
 * checked when a connection is made (BCDA_ERR_PROXY). */
BCDA_API int bcda_config_set_proxy(bcda_config *config, const char *url, const char *user,
                                   const char *password);

/*
 * The directory in which BCDA_DELIVERY_VERIFIED stores each file until it is verified. It needs
 * room for as many of the largest files as are downloaded at once. There is no default. A spooled
 * file has no name, is encrypted with a random key that stays in memory, and is removed at the end
 * of its download. NULL = no directory: for verified delivery bcda_session_new() then returns
 * BCDA_ERR_CONFIG. If the directory cannot be written to, the first file fails with BCDA_ERR_SPOOL.
 */
BCDA_API int bcda_config_set_spool_directory(bcda_config *config, const char *path);

/* The levels of log lines, from the least to the most detailed. */
#define BCDA_LOG_ERROR   1
#define BCDA_LOG_WARNING 2
#define BCDA_LOG_INFO    3
#define BCDA_LOG_DEBUG   4

/*
 * Sets the callback that gets log lines, one at a time, on the session's thread. `component` is the
 * part of the library that reports, such as "net". `message` is one line without secrets, tokens or
 * patient data. A message of the component "client" about a job begins with the job's id, such as
 * "job 42: ". A message about a file also has the file's index and type, such as "job 42, file 3
 * (Patient): ". The wording may change with any version. The callback must not call the library.
 * `level` is the most detailed level that is reported. By default, and if `cb` is NULL, nothing is
 * reported. BCDA_ERR_INVALID: no such level.
 */
typedef void (*bcda_log_cb)(int level, const char *component, const char *message, void *userdata);
BCDA_API int bcda_config_set_log(bcda_config *config, int level, bcda_log_cb cb, void *userdata,
                                 bcda_destroy_cb destroy);

/*
 * The options. Each comment gives the meaning, the unit, the default and the smallest and largest
 * allowed value. A number is never reused for another option. Sizes are in bytes, KiB (1,024
 * bytes), MiB or GiB. First the integer options, for bcda_config_set_int():
 */
/* 1: http URLs to 127.0.0.0/8, ::1 and localhost are allowed. Default 0; 0 to 1. */
#define BCDA_OPT_ALLOW_HTTP_LOOPBACK 1
/* Maximum size of a JSON response other than a manifest. Default 1 MiB; 1 KiB to 1 GiB. */
#define BCDA_OPT_ANSWER_MAX 2
/* Maximum size of a manifest. Default 256 MiB; 1 KiB to 4 GiB. */
#define BCDA_OPT_MANIFEST_MAX 3
/* Maximum number of files in a manifest. Default 200,000; 1 to 10,000,000. */
#define BCDA_OPT_MANIFEST_ENTRIES_MAX 4
/* Maximum size of a line; a longer line is invalid. Default 64 MiB; 64 to 2 GiB. */
#define BCDA_OPT_LINE_MAX 5
/* Maximum depth of nested objects and arrays in a line. Default 64; 1 to 10,000. */
#define BCDA_OPT_JSON_DEPTH_MAX 6
/* Maximum size of everything in a response except its body: status lines, headers, interim
 * responses, trailers. Default 256 KiB; 1 KiB to 16 MiB. */
#define BCDA_OPT_HEADERS_MAX 7
/* Consecutive attempts of one request without progress, at most. Default 8; 1 to 100. */
#define BCDA_OPT_ATTEMPTS 8
/* Files that a session downloads at once, at most. Default 5; 1 to 64. */
#define BCDA_OPT_PARALLEL 9
/* Milliseconds that a connection may take (name lookup, TCP and TLS together). Default 30,000; 1 to
 * 86,400,000. */
#define BCDA_OPT_CONNECT_TIMEOUT_MS 10
/* Bytes a second below which a transfer is too slow. 0: no transfer is too slow. Default 1 KiB; 0
 * to 1 GiB. */
#define BCDA_OPT_LOW_SPEED_BYTES 11
/* Milliseconds after which a transfer that is too slow is ended. Default 60,000; 1 to 86,400,000.
 */
#define BCDA_OPT_LOW_SPEED_TIME_MS 12
/* Milliseconds that a job may take, from start to end. Default 86,400,000; 1 to 31,536,000,000. */
#define BCDA_OPT_JOB_TIMEOUT_MS 13
/* Milliseconds between two status requests, at most. See below. Default 30,000; 1 to 86,400,000. */
#define BCDA_OPT_POLL_MAX_MS 14
/* Milliseconds before a retry, at most, if the server names no time. Default 60,000; 1 to
 * 86,400,000. */
#define BCDA_OPT_RETRY_MAX_MS 15
/* Milliseconds to wait, at most, if the server names a time (Retry-After). Default 600,000; 1 to
 * 86,400,000. */
#define BCDA_OPT_RETRY_AFTER_MAX_MS 16
/* Size of the lines in a full batch. Default 256 KiB; 4 KiB to 64 MiB. */
#define BCDA_OPT_BATCH_SIZE 17
/* Milliseconds after which a batch is delivered even if it is not full. Default 100; 0 to
 * 86,400,000. */
#define BCDA_OPT_BATCH_DELAY_MS 18
/* Invalid lines tolerated per job. -1: any number. Default 0; -1 to 9,223,372,036,854,775,807. */
#define BCDA_OPT_BAD_LINES_MAX 19
/* 1: the library asks the server for gzip. Default 1; 0 to 1. */
#define BCDA_OPT_GZIP 20
/* Requests of a session that may be sent without waiting. Default 3,000; 1 to 1,000,000. */
#define BCDA_OPT_REQUESTS_BURST 21
/* Requests per second that may be sent once BCDA_OPT_REQUESTS_BURST is used up. Default 10, the
 * rate that BCDA allows (bcda-api 4.6); 1 to 1,000,000. */
#define BCDA_OPT_REQUESTS_PER_SECOND 22
/* Redirects of one request that are followed, at most. Default 5; 0 to 50. */
#define BCDA_OPT_REDIRECTS_MAX 23
/* How data is delivered: BCDA_DELIVERY_STREAMING or _VERIFIED. Default 0; 0 to 1. */
#define BCDA_OPT_DELIVERY 24
/* 1: a file must have as many resources as the manifest's `count` says. Default 1; 0 to 1. */
#define BCDA_OPT_CHECK_COUNT 25
/* What to do if an identical export is already running: BCDA_DUPLICATE_WAIT, _REFUSE or _TAKE_OVER.
 * Default 0; 0 to 2. */
#define BCDA_OPT_DUPLICATE_JOB 26
/* Retries, at most, of all requests of a job together. Default 1,000; 0 to 1,000,000. */
#define BCDA_OPT_JOB_RETRIES_MAX 27
/* Threads that decode files; 0: none is created. See below. Default 0; 0 to 64. */
#define BCDA_OPT_DECODE_THREADS 28
/* 1: bcda_job_cancel() also cancels the job at the server. Default 0; 0 to 1. */
#define BCDA_OPT_CANCEL_AT_SERVER 29
/* 1: plain lines are read by the fast scanner, and only the others by yajl; 0: yajl reads all
 * lines. The results are the same. Default 1; 0 to 1. */
#define BCDA_OPT_SCANNER 30
/* Which lines bcda_job_confirm() accepts before their file has ended: BCDA_CONFIRM_NONE, _VERIFIED
 * or _STAGED. Default 0; 0 to 2. */
#define BCDA_OPT_CONFIRM_LINES 31
/* 1: bcda_job_next() also returns batches of the files of deletions, unless the job has on_deleted;
 * see bcda_batch_deletion_count(). Default 0; 0 to 1. */
#define BCDA_OPT_PULL_DELETIONS 32
/* Milliseconds that a token command may take. Default 60,000; 1 to 86,400,000. */
#define BCDA_OPT_TOKEN_COMMAND_TIMEOUT_MS 33
/* The string options, for bcda_config_set_str(): */
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
 * step. Otherwise this number of threads is created when the first file begins, and joined when the
 * session is freed. Each thread works on one file at a time: it reads from the file's connection
 * and decodes. The threads also decrypt the keys of encrypted files. For each file, this RSA
 * operation takes about 7 ms of CPU time with a private key of 2048 bits and 37 ms with one of 4096
 * bits; without threads it blocks run and step. Callbacks, log lines and everything else stay on
 * the session's thread, and the same data is delivered, in the same order within a file. Threads
 * help if several files are downloaded at once and processor cores are idle, because the speed of
 * an export is limited by decoding, not by the network. Each download takes more memory with
 * threads; see doc/guide/memory-and-limits.md. If the system cannot create all these threads, files
 * are decoded with fewer threads, or without any, and a warning is logged once.
 */

/* Which lines can be confirmed (BCDA_OPT_CONFIRM_LINES). With the last two, each file is hashed
 * (SHA-256) while it is decoded. */
#define BCDA_CONFIRM_NONE     0 /* only whole files: bcda_job_confirm() returns BCDA_ERR_STATE */
#define BCDA_CONFIRM_VERIFIED 1 /* lines of files that were checked: BCDA_DELIVERY_VERIFIED */
/* As above, and also provisional lines: the application stages them, that is, it keeps them apart
 * until their file ends, and discards them if it fails. */
#define BCDA_CONFIRM_STAGED 2

/* How data is delivered (BCDA_OPT_DELIVERY). */
#define BCDA_DELIVERY_STREAMING 0 /* as it arrives; data is provisional until its file ends */
#define BCDA_DELIVERY_VERIFIED  1 /* a file is spooled, checked to its end, then delivered */

/*
 * What to do if the server refuses an export because an identical export is already running (status
 * 429; bcda-api 4.6). A server sends the same status to a client that has sent too many requests;
 * waiting is correct in that case too.
 */
#define BCDA_DUPLICATE_WAIT   0 /* retry with growing delays until the job's time is over */
#define BCDA_DUPLICATE_REFUSE 1 /* the job ends at once with BCDA_ERR_TOO_MANY */
/* Look for the running job in the server's list (GET /jobs, since 2021-09; bcda-api 5.4) and resume
 * it. Only a job with the same path and parameters is taken over, whoever in the organization
 * started it. If there is no such job, wait as with BCDA_DUPLICATE_WAIT. */
#define BCDA_DUPLICATE_TAKE_OVER 2

/*
 * Sets an option. Errors: BCDA_ERR_OPTION_UNKNOWN; BCDA_ERR_OPTION_TYPE (an integer for a string
 * option, or the reverse); BCDA_ERR_OPTION_RANGE (for a string: it has a control character).
 */
BCDA_API int bcda_config_set_int(bcda_config *config, int option, int64_t value);
BCDA_API int bcda_config_set_str(bcda_config *config, int option, const char *value);

/* Reads an option. A string is valid until the option is set again. Errors:
 * BCDA_ERR_OPTION_UNKNOWN, BCDA_ERR_OPTION_TYPE. */
BCDA_API int bcda_config_get_int(const bcda_config *config, int option, int64_t *out);
BCDA_API int bcda_config_get_str(const bcda_config *config, int option, const char **out);

/*
 * Returns the number of the option with this name, such as "line_max": lower case, without
 * "BCDA_OPT_". For an unknown name it returns BCDA_ERR_OPTION_UNKNOWN, which is negative; no
 * option's number is negative.
 */
BCDA_API int bcda_option_by_name(const char *name);
/* Returns the name of the option with this number, as a static string, or NULL for an unknown
 * number. */
BCDA_API const char *bcda_option_name(int option);

/* Why the last call with this config failed; NULL if it did not fail. Calls of bcda_session_new()
 * and bcda_decoder_new() count too. Every failure is described, even a refused argument. Reading an
 * option does not change the error if it succeeds. Valid until the next call on the config. */
BCDA_API const bcda_error *bcda_config_error(const bcda_config *config);

#ifdef __cplusplus
}
#endif

#endif
