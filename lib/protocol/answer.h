/* The meaning of an HTTP answer for each kind of request (bcda-api 3.3, 4, 5, 8.2). No I/O: the
 * caller acts on the verdict. */
#ifndef BCDA_PROTOCOL_ANSWER_H
#define BCDA_PROTOCOL_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* The credentials that the request was sent with. They determine the error text of a 401. */
enum bcda__sent {
    BCDA__SENT_TOKEN = 0, /* the token, or client id and secret */
    BCDA__SENT_ELSEWHERE, /* none: the origin of the URL is not that of the FHIR URL */
    BCDA__SENT_NONE,      /* none: the request is made without a token */
};

/* The head of an answer, and its body, or NULL if the body is not held. The value of an absent
 * header is "", not NULL. */
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
    enum bcda__sent sent;
};

/* OK and WAIT do not change `err`, except where noted below. The others fill `err`: the code, a
 * text without URL (the caller adds the context), http_status, and the server's words if there is a
 * body. The caller sets retry_after, because it has the clock. */
enum bcda__verdict {
    BCDA__OK = 1, /* the request succeeded */
    BCDA__WAIT,   /* status: the job is running; kick-off: an identical export is running */
    BCDA__RENEW,  /* 401: fetch a new token and repeat once; `err` is for a second 401 */
    BCDA__RETRY,  /* repeat later; `err` is for the case that all attempts fail */
    BCDA__FAIL,   /* `err` has the reason */
};

/* The rules for all requests, unless there is another rule below:
 * 400: FAIL BCDA_ERR_BAD_REQUEST. 401: RENEW BCDA_ERR_AUTH. 403: FAIL BCDA_ERR_FORBIDDEN. 404: FAIL
 * BCDA_ERR_NOT_FOUND. 410: FAIL BCDA_ERR_GONE. 408 and 425: RETRY BCDA_ERR_SERVER. 429: RETRY
 * BCDA_ERR_TOO_MANY. 5xx: RETRY BCDA_ERR_SERVER, except 501 and 505, which are permanent. 3xx: FAIL
 * BCDA_ERR_REDIRECT; the text shows only the origin of the target. Any other status: FAIL
 * BCDA_ERR_STATUS; the text has the status.
 * These rules do not apply to a 4xx or 5xx, other than 401 and 429, whose OperationOutcome has an
 * issue with the code "transient": RETRY BCDA_ERR_SERVER. The number of attempts is in retry.h. */

/* POST to the token URL. 200 is OK; bcda__token_parse() can still refuse the body. 401 is FAIL,
 * because the client id or secret is wrong and there is no token to renew. The text of 405 points
 * to the URL. An OAuth error (RFC 6749, 5.2) becomes the server's words. invalid_client and
 * unauthorized_client are BCDA_ERR_AUTH with any status. */
enum bcda__verdict bcda__answer_token(const struct bcda__answer *a, struct bcda_error *err);
/* Kick-off. 202 with a Content-Location that is an absolute URL is OK; with no such header it is
 * FAIL BCDA_ERR_NO_LOCATION. 200 has no meaning here: BCDA_ERR_STATUS. 429 is WAIT, and `err` is
 * filled: see BCDA_OPT_DUPLICATE_JOB. */
enum bcda__verdict bcda__answer_kickoff(const struct bcda__answer *a, struct bcda_error *err);
/* Status of a job. 200 is OK; the body is the manifest, and bcda__manifest_parser can still refuse
 * it. 202 is WAIT. 500 is RETRY BCDA_ERR_JOB_FAILED: the request is repeated a few times, because a
 * 500 may be temporary (bcda-api 8.2). 404 with an outcome that says cancelled is
 * BCDA_ERR_JOB_CANCELLED. Another 404, of a job that was complete before, means the same as 410;
 * the caller decides this (bcda-api 5.1). */
enum bcda__verdict bcda__answer_status(const struct bcda__answer *a, struct bcda_error *err);
/* A data file. The verdict depends on the head only, before the body is received. 200 is OK. 404 is
 * RETRY BCDA_ERR_NOT_FOUND: a file that was listed seconds ago may be missing for a moment
 * (bcda-api 5.1). 206 and 416 have no meaning here: a caller that requested a range must check for
 * them first. */
enum bcda__verdict bcda__answer_file(const struct bcda__answer *a, struct bcda_error *err);
/* GET of metadata, of _version, and of other URLs where 200 is expected. */
enum bcda__verdict bcda__answer_plain(const struct bcda__answer *a, struct bcda_error *err);

/* DELETE of a job. 202, 200 and 204 are OK. */
enum bcda__verdict bcda__answer_cancel(const struct bcda__answer *a, struct bcda_error *err);

/* The percentage in X-Progress: the first number before a '%', without its fraction, 0 to 100. More
 * than 100 is 100. -1 = none, as in "Pending" and "In Progress". */
int bcda__progress_percent(const char *x_progress);

#endif
