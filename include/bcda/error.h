/*
 * bcda/error.h - error codes, and the errors that objects keep. Include <bcda/bcda.h>.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef BCDA_ERROR_H
#define BCDA_ERROR_H

#include <bcda/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BCDA_OK 0

/* Usage: the call, the configuration, or nothing to do yet. */
/* an argument is NULL, empty or outside what the function allows */
#define BCDA_ERR_INVALID (-1)
/* the object is not in a state that allows the call, such as pulling from a job with data
 * callbacks */
#define BCDA_ERR_STATE (-2)
/* called from inside a callback, where this function is not allowed */
#define BCDA_ERR_REENTRANT (-3)
/* the session was made before fork() and this is the child */
#define BCDA_ERR_FORKED (-4)
/* no option has this number or name */
#define BCDA_ERR_OPTION_UNKNOWN (-5)
/* the option is an integer and a string was given, or the other way round */
#define BCDA_ERR_OPTION_TYPE (-6)
/* the value is below or above the limits of the option */
#define BCDA_ERR_OPTION_RANGE (-7)
/* this build does not support it, such as one descriptor in a build on poll() */
#define BCDA_ERR_UNSUPPORTED (-8)
/* something needed is not set, or two settings contradict each other; the text says which */
#define BCDA_ERR_CONFIG (-9)
/* not an absolute http or https URL, one with user information or a fragment, or one that is too
 * long */
#define BCDA_ERR_URL (-10)
/* an http URL: refused before a byte is sent; the text names the https form */
#define BCDA_ERR_INSECURE_URL (-11)
/* bcda_job_next(): nothing is ready; wait for the descriptor and step */
#define BCDA_ERR_AGAIN (-12)
/* bcda_job_next(): the job has ended and all batches were taken */
#define BCDA_ERR_END (-13)
/* bcda_session_run(): the timeout has expired, work remains */
#define BCDA_ERR_TIMEOUT (-14)
/* bcda_session_run(): a signal arrived; call it again to continue */
#define BCDA_ERR_INTERRUPTED (-15)

/* This machine: memory, files, the libraries below, the private key. */
/* an allocation was refused */
#define BCDA_ERR_NOMEM (-50)
/* a local file cannot be read or written; the text says which and why */
#define BCDA_ERR_IO (-51)
/* the system refused a descriptor (too many open files), a timer or entropy */
#define BCDA_ERR_SYSTEM (-52)
/* libcurl, libgcrypt, zlib or yajl failed or lacks something needed; the text says what */
#define BCDA_ERR_LIBRARY (-53)
/* not a PEM private key (PKCS#1 or PKCS#8), or a damaged one */
#define BCDA_ERR_KEY_FORMAT (-54)
/* the private key is encrypted and the passphrase is missing or wrong */
#define BCDA_ERR_KEY_PASSPHRASE (-55)
/* not RSA, not 2048 to 8192 bits, or encrypted in a way that is not supported */
#define BCDA_ERR_KEY_UNSUPPORTED (-56)
/* the old encrypted PEM form needs MD5, which libgcrypt refuses in FIPS mode: convert to
 * PKCS#8 */
#define BCDA_ERR_KEY_FIPS (-57)
/* the directory of bcda_config_set_spool_directory() cannot be written to, or a write failed */
#define BCDA_ERR_SPOOL (-58)
/* no space is left there */
#define BCDA_ERR_SPOOL_FULL (-59)

/* Transport: between this machine and the server. */
/* the name of the server or proxy has no address */
#define BCDA_ERR_RESOLVE (-100)
/* refused, unreachable, or not answered in time by the network */
#define BCDA_ERR_CONNECT (-101)
/* no connection within BCDA_OPT_CONNECT_TIMEOUT_MS; for BCDA production, often an address that
 * CMS has not allowed (bcda-api 1) */
#define BCDA_ERR_CONNECT_TIMEOUT (-102)
/* the handshake was broken off; or, not retryable: no common version or cipher, a port that does
 * not speak TLS, or a client certificate that is missing, refused or cannot be read */
#define BCDA_ERR_TLS (-103)
/* the certificate is not trusted, has another name or has expired */
#define BCDA_ERR_TLS_VERIFY (-104)
/* the connection was reset or closed in the middle */
#define BCDA_ERR_TRANSFER (-105)
/* slower than BCDA_OPT_LOW_SPEED_BYTES a second for BCDA_OPT_LOW_SPEED_TIME_MS */
#define BCDA_ERR_STALLED (-106)
/* fewer bytes than Content-Length says, a chunked body without its last chunk, or a body that has
 * neither and so cannot be known to be whole */
#define BCDA_ERR_TRUNCATED (-107)
/* what came is not HTTP/1.1 */
#define BCDA_ERR_HTTP (-108)
/* over BCDA_OPT_HEADERS_MAX */
#define BCDA_ERR_HEADERS_TOO_LARGE (-109)
/* over BCDA_OPT_ANSWER_MAX, BCDA_OPT_MANIFEST_MAX or BCDA_OPT_MANIFEST_ENTRIES_MAX, or a string of
 * more than 1 MiB in one of them */
#define BCDA_ERR_BODY_TOO_LARGE (-110)
/* the proxy cannot be reached, or refuses */
#define BCDA_ERR_PROXY (-111)

/* Server: what the server answered. */
/* an HTTP status that has no meaning in the protocol here */
#define BCDA_ERR_STATUS (-200)
/* 400: the server text says what the server refused */
#define BCDA_ERR_BAD_REQUEST (-201)
/* 401: wrong or expired credentials, or a token that was still refused after one renewal; at the
 * token URL also another status with the OAuth error invalid_client or unauthorized_client */
#define BCDA_ERR_AUTH (-202)
/* 403: the organization, or this version of the API, is denied */
#define BCDA_ERR_FORBIDDEN (-203)
/* 404: no such job or file, or no attribution data yet */
#define BCDA_ERR_NOT_FOUND (-204)
/* 410, or a 404 to a job whose files were being downloaded: the job is older than a day and its
 * files are deleted; start a new one */
#define BCDA_ERR_GONE (-205)
/* 429: an identical export is already running, or too many requests; see
 * bcda_error_retry_after_ms() */
#define BCDA_ERR_TOO_MANY (-206)
/* 408, 425, 500, 502, 503, 504, or what the server itself calls transient */
#define BCDA_ERR_SERVER (-207)
/* the status of the job remained 500: the job has failed, start a new one */
#define BCDA_ERR_JOB_FAILED (-208)
/* the job was cancelled at the server */
#define BCDA_ERR_JOB_CANCELLED (-209)
/* over BCDA_OPT_JOB_TIMEOUT_MS */
#define BCDA_ERR_JOB_TIMEOUT (-210)
/* 200 to the token request, but no usable access_token */
#define BCDA_ERR_TOKEN (-211)
/* 202 to the kick-off, but no Content-Location with an absolute URL */
#define BCDA_ERR_NO_LOCATION (-212)
/* HTML or other text in place of one JSON document, or more bytes after it: often sent by a gateway
 * or proxy */
#define BCDA_ERR_NOT_JSON (-213)
/* JSON without the members of a manifest or with wrong types, or a manifest with further pages,
 * whose files could not all be exported */
#define BCDA_ERR_MANIFEST (-214)
/* a redirect that may not be followed: of a token request, to no URL, or more than
 * BCDA_OPT_REDIRECTS_MAX of them */
#define BCDA_ERR_REDIRECT (-215)
/* a URL whose origin is not allowed for the request */
#define BCDA_ERR_ORIGIN (-216)

/* Data: the bytes of a file. What was delivered of the file before is provisional
 * (bcda/resource.h). */
/* bcda_config_add_private_key_pem() or _file() is needed for this file */
#define BCDA_ERR_KEY_MISSING (-300)
/* the wrapped key is not hexadecimal or has another length than the private key */
#define BCDA_ERR_KEY_VALUE (-301)
/* wrapped for another key pair, or damaged */
#define BCDA_ERR_KEY_UNWRAP (-302)
/* the private key opens it, but it was wrapped for another file name: was the file renamed? */
#define BCDA_ERR_KEY_LABEL (-303)
/* under 28 bytes, the size of an empty encrypted file */
#define BCDA_ERR_CIPHER_SHORT (-304)
/* altered, cut or extended on the way or at rest: nothing of the file may be trusted */
#define BCDA_ERR_TAG (-305)
/* not gzip, a wrong checksum or length, or bytes after the last member */
#define BCDA_ERR_GZIP (-306)
/* the end of the last gzip member is missing */
#define BCDA_ERR_GZIP_CUT (-307)
/* not one JSON value */
#define BCDA_ERR_LINE_JSON (-308)
/* not valid UTF-8 (overlong forms and surrogates included) */
#define BCDA_ERR_LINE_UTF8 (-309)
/* over BCDA_OPT_LINE_MAX; a resourceType, id, meta.lastUpdated or fullUrl, or the name of a member
 * beside them, over 4,096 bytes; or more than 65,536 values of the requested fields */
#define BCDA_ERR_LINE_TOO_LONG (-310)
/* nested deeper than BCDA_OPT_JSON_DEPTH_MAX */
#define BCDA_ERR_LINE_DEPTH (-311)
/* the last line has no end: the file was cut before it was encrypted or compressed */
#define BCDA_ERR_LINE_CUT (-312)
/* valid JSON, but no object with a resourceType */
#define BCDA_ERR_LINE_TYPE (-313)
/* more than BCDA_OPT_BAD_LINES_MAX invalid lines in one job */
#define BCDA_ERR_BAD_LINES (-314)
/* what was received after an interruption is not the same file: export again */
#define BCDA_ERR_CHANGED (-315)
/* another number of bytes than the manifest's file_length (AB2D, DPC) */
#define BCDA_ERR_LENGTH (-316)
/* another SHA-256 than the manifest's checksum (AB2D, DPC) */
#define BCDA_ERR_CHECKSUM (-317)
/* another number of resources than the manifest's `count` (Bulk Data); see BCDA_OPT_CHECK_COUNT */
#define BCDA_ERR_COUNT (-318)

/* The application: its callbacks and its calls. */
/* a callback returned BCDA_STOP; never given for any other reason */
#define BCDA_ERR_STOPPED (-400)
/* bcda_job_cancel(), or its session was freed */
#define BCDA_ERR_CANCELLED (-401)
/* neither BCDA_STOP, BCDA_CONTINUE nor, where allowed, BCDA_PAUSE */
#define BCDA_ERR_CALLBACK (-402)

/*
 * The name of a code, such as "BCDA_ERR_TAG"; "BCDA_ERR_UNKNOWN" for a code of a later version.
 * Static. From callbacks: yes. Thread: any. Since 0.1.
 */
BCDA_API const char *bcda_error_name(int code);

/*
 * What a code means in general, in one line; static. bcda_error_text() describes the particular
 * case. From callbacks: yes. Thread: any. Since 0.1.
 */
BCDA_API const char *bcda_error_string(int code);

/*
 * A bcda_error describes one failure. bcda_config_error(), bcda_session_error(), bcda_job_error(),
 * bcda_file_error(), bcda_request_error() and bcda_decoder_error() return an error that the object
 * owns; their comments say how long it is valid. bcda_error_ref() returns an error to keep: the
 * same object or a copy of it, or an error with BCDA_ERR_NOMEM if there is no memory for a copy. It
 * may be used from any thread, until bcda_error_unref().
 *
 * Every getter accepts NULL and then returns the value for "no error". All of them: from callbacks:
 * yes. Thread: any. Since 0.1. Returned texts live as long as the error.
 */
BCDA_API bcda_error *bcda_error_ref(const bcda_error *error);
BCDA_API void bcda_error_unref(bcda_error *error);

/* BCDA_OK or BCDA_ERR_*. */
BCDA_API int bcda_error_code(const bcda_error *error);

/*
 * One line without a final period: what happened to which file or request, and what to do. It holds
 * no secret, token, key, query string, body or patient data, and so may be logged. Options are
 * named as in bcda_option_name(), such as option "parallel". A text that is too long is cut and
 * ends with "...".
 */
BCDA_API const char *bcda_error_text(const bcda_error *error);

/*
 * 1 if a later retry can succeed. The library has then already made as many attempts as its options
 * allow (BCDA_OPT_ATTEMPTS).
 */
BCDA_API int bcda_error_is_retryable(const bcda_error *error);

/* The HTTP status that the error came with; 0 where there was none. */
BCDA_API int bcda_error_http_status(const bcda_error *error);

/* How long the server asked to wait (Retry-After); -1 if it did not. */
BCDA_API int64_t bcda_error_retry_after_ms(const bcda_error *error);

/* The name of the data file, as in its URL; "" where the error is not about a file. */
BCDA_API const char *bcda_error_file(const bcda_error *error);

/* The line in that file, from 1; 0 where there is none. */
BCDA_API int64_t bcda_error_line(const bcda_error *error);

/* Where that line begins: bytes from the start of the decoded file; -1 where there is none. */
BCDA_API int64_t bcda_error_offset(const bcda_error *error);

/*
 * The server's own words (from an OperationOutcome or a plain text answer), at most 639 bytes on
 * one line; "" if there are none. This is server data: show it to people, do not log it by default.
 * It is the first of diagnostics, details.text, details.coding.display and details.coding.code that
 * is not empty (bcda-api 8.1).
 */
BCDA_API const char *bcda_error_server_text(const bcda_error *error);

#ifdef __cplusplus
}
#endif

#endif
