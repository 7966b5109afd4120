/* Decides what the HTTP answer to each kind of request means (bcda-api 3.3, 4, 5, 8.2). These
 * functions do no I/O; the caller acts on the verdict. */
#ifndef BCDA_PROTOCOL_ANSWER_H
#define BCDA_PROTOCOL_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* The credentials that the request was sent with. The error text of a 401 depends on them. */
enum bcda__sent {
    BCDA__SENT_TOKEN = 0, /* the token; or, for a token, the client's secret or assertion */
    BCDA__SENT_ELSEWHERE, /* nothing, because the URL has another origin than the FHIR URL */
    BCDA__SENT_NONE,      /* nothing, because this request needs no token */
    BCDA__SENT_OPEN,      /* nothing, because the server was configured as an open one */
};

/* An HTTP answer. `body` is NULL if the body was not received. A header that is absent is "", not
 * NULL. */
struct bcda__answer {
    int status;
    const char *content_type;
    const char *content_location;
    const char *location;
    const char *retry_after;
    const char *x_progress;
    const char *date;
    const char *body;
    size_t body_len;
    int64_t now_ms; /* this machine's time, in milliseconds since 1970 */
    enum bcda__sent sent;
};

/* What the caller must do. With OK and WAIT, `err` is unchanged, except where noted below. With the
 * other verdicts `err` is filled: the code, a text without the URL (the caller adds the context),
 * http_status, and the server's own text if there is a body. The caller sets err->retry_after,
 * because it has the clock. */
enum bcda__verdict {
    BCDA__OK = 1, /* the request succeeded */
    BCDA__WAIT,   /* the job is running; after a kick-off: an identical export is running */
    BCDA__RENEW,  /* fetch a new token and repeat once; `err` is used if that fails with 401 too */
    BCDA__RETRY,  /* repeat later; `err` is used if all attempts fail */
    BCDA__FAIL,   /* give up; `err` says why */
};

/* The rules for all kinds of requests. A rule in the comment of a function has precedence: 400:
 * FAIL BCDA_ERR_BAD_REQUEST. 401: RENEW BCDA_ERR_AUTH. 403: FAIL BCDA_ERR_FORBIDDEN. 404: FAIL
 * BCDA_ERR_NOT_FOUND. 410: FAIL BCDA_ERR_GONE. 408 and 425: RETRY BCDA_ERR_SERVER. 429: RETRY
 * BCDA_ERR_TOO_MANY. 5xx: RETRY BCDA_ERR_SERVER, except 501 and 505, which are permanent. 3xx: FAIL
 * BCDA_ERR_REDIRECT; the text shows only the origin of the target. Any other status: FAIL
 * BCDA_ERR_STATUS; the text names the status. One rule has precedence over all others: a 4xx or
 * 5xx, except 401 and 429, whose body is an OperationOutcome that has an issue with the code
 * "transient" is RETRY BCDA_ERR_SERVER. retry.h says how many attempts are made. */

/* The answer to a POST to the token URL. 200 is OK, but bcda__token_parse() may still refuse the
 * body. 401 is FAIL: the client id or secret is wrong, and there is no token to renew. The text for
 * 405 asks to check the token URL. The text of an OAuth error (RFC 6749, 5.2) is stored as the
 * server's own text. invalid_client and unauthorized_client are BCDA_ERR_AUTH with any status. */
enum bcda__verdict bcda__answer_token(const struct bcda__answer *a, struct bcda_error *err);
/* Does the same for a request with a signed assertion (SMART Backend Services). The texts name the
 * key instead of the secret. If the Date header differs from this machine's time by more than
 * BCDA__SKEW_MS, the text says so, because an assertion is valid for a few minutes only. */
enum bcda__verdict bcda__answer_assertion(const struct bcda__answer *a, struct bcda_error *err);
enum { BCDA__SKEW_MS = 30000 };
/* The answer to a kick-off. 202 with a Content-Location that is an absolute URL is OK; without such
 * a header it is FAIL BCDA_ERR_NO_LOCATION. 200 is FAIL BCDA_ERR_STATUS. 429 is WAIT, and `err` is
 * filled: see BCDA_OPT_DUPLICATE_JOB. */
enum bcda__verdict bcda__answer_kickoff(const struct bcda__answer *a, struct bcda_error *err);
/* The answer to a status request. 200 is OK; the body is the manifest, which
 * bcda__manifest_parser_write() may still refuse. 202 is WAIT. 500 is RETRY BCDA_ERR_JOB_FAILED:
 * the request is repeated a few times, because a 500 may be temporary (bcda-api 8.2). 404 is
 * BCDA_ERR_JOB_CANCELLED if the server's text has the word "cancelled". Any other 404 means the
 * same as 410 if the job was complete before; the caller must check this (bcda-api 5.1). */
enum bcda__verdict bcda__answer_status(const struct bcda__answer *a, struct bcda_error *err);
/* The answer to the request for a data file. The verdict is known before the body is received,
 * because it depends on the status only. 200 is OK. 404 is RETRY BCDA_ERR_NOT_FOUND, because a file
 * may be missing for a moment after the job is complete (bcda-api 5.1). 206 and 416 are not
 * accepted here: a caller that requested a range must check for them first. */
enum bcda__verdict bcda__answer_file(const struct bcda__answer *a, struct bcda_error *err);
/* The answer to a GET of metadata, of _version, and of other URLs where only 200 is expected. */
enum bcda__verdict bcda__answer_plain(const struct bcda__answer *a, struct bcda_error *err);

/* The answer to the DELETE of a job. 202, 200 and 204 are OK. */
enum bcda__verdict bcda__answer_cancel(const struct bcda__answer *a, struct bcda_error *err);

/* Returns the percentage in an X-Progress header: the first number that a '%' follows, without its
 * fraction. The result is at most 100. It is -1 if there is no such number, as in "Pending" and "In
 * Progress". */
int bcda__progress_percent(const char *x_progress);

#endif
