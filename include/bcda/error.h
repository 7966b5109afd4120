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

/* Usage: errors in a call or the configuration, and calls that end without a result. */
/* an argument is NULL, empty or outside what the function allows */
#define BCDA_ERR_INVALID (-1)
/* the object is not in a state that allows the call, such as pulling from a job with data
 * callbacks */
#define BCDA_ERR_STATE (-2)
/* called from inside a callback, where this function is not allowed */
#define BCDA_ERR_REENTRANT (-3)
/* the session was created before fork(), and the caller is the child process */
#define BCDA_ERR_FORKED (-4)
/* no option has this number or name */
#define BCDA_ERR_OPTION_UNKNOWN (-5)
/* the option is an integer and a string was given, or the other way round */
#define BCDA_ERR_OPTION_TYPE (-6)
/* the value is below or above the limits of the option */
#define BCDA_ERR_OPTION_RANGE (-7)
/* this build does not support the call, such as bcda_session_fd() in a build that uses poll() */
#define BCDA_ERR_UNSUPPORTED (-8)
/* something needed is not set, or two settings contradict each other; the text says which */
#define BCDA_ERR_CONFIG (-9)
/* the text is not an absolute http or https URL, has user information or a fragment, or is too
 * long */
#define BCDA_ERR_URL (-10)
/* an http URL: refused before a byte is sent; the text names the https form */
#define BCDA_ERR_INSECURE_URL (-11)
/* bcda_job_next(): no batch is ready; wait for the descriptor, then call bcda_session_step() */
#define BCDA_ERR_AGAIN (-12)
/* bcda_job_next(): the job has ended and all batches were taken. bcda_export_new_remaining(): all
 * files are loaded. bcda_job_restore_from_file(): the file is empty */
#define BCDA_ERR_END (-13)
/* bcda_session_run(): the timeout has expired, work remains */
#define BCDA_ERR_TIMEOUT (-14)
/* bcda_session_run(): a signal arrived; call it again to continue */
#define BCDA_ERR_INTERRUPTED (-15)

/* This machine: memory, files, the libraries that libbcda uses, the private key. */
/* an allocation was refused */
#define BCDA_ERR_NOMEM (-50)
/* a local file cannot be read or written; the text says which and why */
#define BCDA_ERR_IO (-51)
/* the system refused a descriptor (too many open files), a timer, entropy or a process for the
 * token command */
#define BCDA_ERR_SYSTEM (-52)
/* libcurl, libgcrypt, zlib or yajl failed or lacks something needed; the text says what */
#define BCDA_ERR_LIBRARY (-53)
/* not a private key in a form that can be read, or a damaged one: PEM, and for a signing key also
 * JWK and JWKS */
#define BCDA_ERR_KEY_FORMAT (-54)
/* the private key is encrypted and the passphrase is missing or wrong */
#define BCDA_ERR_KEY_PASSPHRASE (-55)
/* a private key of another kind, curve or size than is supported (RSA with 2048 to 8192 bits; for a
 * signing key also EC on P-384), one that is not for signatures, or one that is encrypted in a way
 * that is not supported */
#define BCDA_ERR_KEY_UNSUPPORTED (-56)
/* the old encrypted PEM form needs MD5, which libgcrypt refuses in FIPS mode: convert to
 * PKCS#8 */
#define BCDA_ERR_KEY_FIPS (-57)
/* the directory of bcda_config_set_spool_directory() cannot be written to, or a write failed */
#define BCDA_ERR_SPOOL (-58)
/* no space is left in the directory of bcda_config_set_spool_directory() */
#define BCDA_ERR_SPOOL_FULL (-59)

/* Transport: between this machine and the server. */
/* the name of the server or proxy has no address */
#define BCDA_ERR_RESOLVE (-100)
/* the connection was refused, the host is unreachable, or the network reported a timeout */
#define BCDA_ERR_CONNECT (-101)
/* no connection within BCDA_OPT_CONNECT_TIMEOUT_MS; with BCDA's production server, often because
 * CMS has not allowed the client's address (bcda-api 1) */
#define BCDA_ERR_CONNECT_TIMEOUT (-102)
/* the handshake was broken off; or, not retryable: no common version or cipher, a port that does
 * not speak TLS, or a client certificate that is missing, refused or cannot be read */
#define BCDA_ERR_TLS (-103)
/* the certificate is not trusted, has another name or has expired */
#define BCDA_ERR_TLS_VERIFY (-104)
/* the connection was reset or closed during the transfer */
#define BCDA_ERR_TRANSFER (-105)
/* the transfer was slower than BCDA_OPT_LOW_SPEED_BYTES a second for BCDA_OPT_LOW_SPEED_TIME_MS */
#define BCDA_ERR_STALLED (-106)
/* the body has fewer bytes than Content-Length says, lacks its last chunk, or has neither
 * Content-Length nor chunks, so it cannot be known to be complete */
#define BCDA_ERR_TRUNCATED (-107)
/* the response is not HTTP/1.1 */
#define BCDA_ERR_HTTP (-108)
/* the headers of a response exceed BCDA_OPT_HEADERS_MAX */
#define BCDA_ERR_HEADERS_TOO_LARGE (-109)
/* a response exceeds BCDA_OPT_ANSWER_MAX, BCDA_OPT_MANIFEST_MAX or BCDA_OPT_MANIFEST_ENTRIES_MAX,
 * or has a string of more than 1 MiB */
#define BCDA_ERR_BODY_TOO_LARGE (-110)
/* the proxy cannot be reached, or refuses */
#define BCDA_ERR_PROXY (-111)

/* Server: what the server answered. */
/* an HTTP status that the protocol does not define for this request */
#define BCDA_ERR_STATUS (-200)
/* 400: the server text says what the server refused */
#define BCDA_ERR_BAD_REQUEST (-201)
/* 401: wrong or expired credentials, or a token that was still refused after one renewal; at the
 * token URL also another status with the OAuth error invalid_client or unauthorized_client. Also:
 * the token command failed or took too long, the token provider has no token, or the token file
 * still has the one that was refused */
#define BCDA_ERR_AUTH (-202)
/* 403: the organization may not use the server, or not this version of the API */
#define BCDA_ERR_FORBIDDEN (-203)
/* 404: no such job or file, or no attribution data yet */
#define BCDA_ERR_NOT_FOUND (-204)
/* 410, or a 404 to a job whose files were being downloaded: the job is older than a day and its
 * files are deleted; start a new one */
#define BCDA_ERR_GONE (-205)
/* 429: an identical export is already running, or too many requests; see
 * bcda_error_retry_after_ms() */
#define BCDA_ERR_TOO_MANY (-206)
/* 408, 425, 500, 502, 503, 504, or an error that the server calls transient */
#define BCDA_ERR_SERVER (-207)
/* the server still answers status requests with 500: the job has failed; start a new one */
#define BCDA_ERR_JOB_FAILED (-208)
/* the job was cancelled at the server */
#define BCDA_ERR_JOB_CANCELLED (-209)
/* the job took longer than BCDA_OPT_JOB_TIMEOUT_MS */
#define BCDA_ERR_JOB_TIMEOUT (-210)
/* the token request was answered with 200, but without a usable access_token, or the token file,
 * the token command or the token provider gave no usable token */
#define BCDA_ERR_TOKEN (-211)
/* the kick-off was answered with 202, but without a Content-Location that is an absolute URL */
#define BCDA_ERR_NO_LOCATION (-212)
/* HTML or other text in place of a JSON document, often sent by a gateway or proxy; or other bytes
 * after the document */
#define BCDA_ERR_NOT_JSON (-213)
/* JSON without the members of a manifest or with wrong types, or a manifest of several pages, which
 * this version cannot export */
#define BCDA_ERR_MANIFEST (-214)
/* a redirect that may not be followed: it redirects a token request, names no URL, or exceeds
 * BCDA_OPT_REDIRECTS_MAX */
#define BCDA_ERR_REDIRECT (-215)
/* a URL whose origin is not allowed for the request */
#define BCDA_ERR_ORIGIN (-216)
/* the server's SMART configuration cannot be used, or neither it nor the CapabilityStatement names
 * a token URL */
#define BCDA_ERR_DISCOVERY (-217)

/* Data: errors in the bytes of a file. Resources of the file that were delivered before the error
 * are provisional (bcda/resource.h). */
/* the file is encrypted, and no private key was added by bcda_config_add_private_key_pem() or
 * _file() */
#define BCDA_ERR_KEY_MISSING (-300)
/* the wrapped key is not hexadecimal or has another length than the private key */
#define BCDA_ERR_KEY_VALUE (-301)
/* the wrapped key was made for another key pair, or is damaged */
#define BCDA_ERR_KEY_UNWRAP (-302)
/* the private key decrypts the wrapped key, but the wrapped key was made for another file name: was
 * the file renamed? */
#define BCDA_ERR_KEY_LABEL (-303)
/* the file is shorter than 28 bytes, the size of an empty encrypted file */
#define BCDA_ERR_CIPHER_SHORT (-304)
/* the file was altered, cut or extended during the transfer or before it: no part of it may be
 * trusted */
#define BCDA_ERR_TAG (-305)
/* the file is not gzip, has a wrong checksum or length, or has bytes after its last member */
#define BCDA_ERR_GZIP (-306)
/* the end of the last gzip member is missing */
#define BCDA_ERR_GZIP_CUT (-307)
/* the line is not exactly one JSON value */
#define BCDA_ERR_LINE_JSON (-308)
/* the line is not valid UTF-8; overlong forms and surrogates are not valid */
#define BCDA_ERR_LINE_UTF8 (-309)
/* the line exceeds BCDA_OPT_LINE_MAX; or its resourceType, id, meta.lastUpdated or fullUrl, or a
 * member name in the same object, exceeds 4,096 bytes; or it has more than 65,536 values of the
 * requested fields */
#define BCDA_ERR_LINE_TOO_LONG (-310)
/* the line is nested deeper than BCDA_OPT_JSON_DEPTH_MAX */
#define BCDA_ERR_LINE_DEPTH (-311)
/* the last line is incomplete: the file was cut before it was encrypted or compressed */
#define BCDA_ERR_LINE_CUT (-312)
/* the line is valid JSON, but not an object with a resourceType; or, in a file of deletions, not a
 * Bundle of DELETE requests */
#define BCDA_ERR_LINE_TYPE (-313)
/* more than BCDA_OPT_BAD_LINES_MAX invalid lines in one job */
#define BCDA_ERR_BAD_LINES (-314)
/* after an interruption, the server sent a different file: export again */
#define BCDA_ERR_CHANGED (-315)
/* the file does not have as many bytes as the manifest's file_length says (AB2D, DPC) */
#define BCDA_ERR_LENGTH (-316)
/* the SHA-256 of the file is not the manifest's checksum (AB2D, DPC) */
#define BCDA_ERR_CHECKSUM (-317)
/* the file does not have as many resources as the manifest's `count` says (Bulk Data); see
 * BCDA_OPT_CHECK_COUNT */
#define BCDA_ERR_COUNT (-318)

/* The application: its callbacks and its calls. */
/* a callback returned BCDA_STOP; this is the only reason for this code */
#define BCDA_ERR_STOPPED (-400)
/* bcda_job_cancel() was called, or the session was freed */
#define BCDA_ERR_CANCELLED (-401)
/* a callback returned something other than BCDA_STOP, BCDA_CONTINUE or, where allowed,
 * BCDA_PAUSE */
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
 * owns; their comments say how long it is valid. To keep an error longer, call bcda_error_ref(). It
 * returns the same object or a copy, or, if there is no memory for a copy, an error with the code
 * BCDA_ERR_NOMEM. What it returns may be used from any thread, until bcda_error_unref().
 *
 * Every getter accepts NULL and then returns the value for "no error". All of them: from callbacks:
 * yes. Thread: any. Since 0.1. Returned texts live as long as the error.
 */
BCDA_API bcda_error *bcda_error_ref(const bcda_error *error);
BCDA_API void bcda_error_unref(bcda_error *error);

/* BCDA_OK or BCDA_ERR_*. */
BCDA_API int bcda_error_code(const bcda_error *error);

/*
 * One line without a final period. It says what happened to which file or request, and what to do.
 * It contains no secret, token, key, query string, body or patient data, so it may be logged.
 * Options have the names that bcda_option_name() returns, such as option "parallel". A text that is
 * too long is cut and ends with "...".
 */
BCDA_API const char *bcda_error_text(const bcda_error *error);

/*
 * 1 if a later retry can succeed. The library has then already made as many attempts as its options
 * allow (BCDA_OPT_ATTEMPTS).
 */
BCDA_API int bcda_error_is_retryable(const bcda_error *error);

/* The HTTP status of the response that caused the error; 0 if there was none. */
BCDA_API int bcda_error_http_status(const bcda_error *error);

/* How long the server asked to wait (Retry-After); -1 if it did not. */
BCDA_API int64_t bcda_error_retry_after_ms(const bcda_error *error);

/* The name of the data file, as in its URL; "" if the error is not about a file. */
BCDA_API const char *bcda_error_file(const bcda_error *error);

/* The number of the line in the data file, from 1; 0 if the error is not about a line. */
BCDA_API int64_t bcda_error_line(const bcda_error *error);

/* The offset of that line (bcda_error_line()) in the decoded file, in bytes; -1 if the error is not
 * about a line. */
BCDA_API int64_t bcda_error_offset(const bcda_error *error);

/*
 * The server's own words (from an OperationOutcome or a plain text answer), at most 639 bytes on
 * one line; "" if there are none. The text comes from the server, so show it to people, but do not
 * log it by default. Of an OperationOutcome it is the first of diagnostics, details.text,
 * details.coding.display and details.coding.code that is not empty (bcda-api 8.1).
 */
BCDA_API const char *bcda_error_server_text(const bcda_error *error);

#ifdef __cplusplus
}
#endif

#endif
