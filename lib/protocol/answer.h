/* What an HTTP answer means, request by request: the decisions of bcda-api 3.3, 4, 5 and 8.2,
 * without any I/O. The caller acts on the verdict. */
#ifndef BCDA_PROTOCOL_ANSWER_H
#define BCDA_PROTOCOL_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* What the request was sent with, as far as a 401 is concerned. */
enum bcda__sent {
    BCDA__SENT_TOKEN = 0, /* or client id and secret */
    BCDA__SENT_ELSEWHERE, /* nothing: the URL is of another origin than the token's */
    BCDA__SENT_NONE,      /* nothing: it is made without a token */
};

/* The head of an answer and, where it is held, its body (else NULL). Header values are "" when
 * absent, never NULL. */
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

/* OK and WAIT leave `err` as it was. The others fill it: code, a text without any URL (the caller
 * adds the context), http_status, and the server's words where there is a body; retry_after is for
 * the caller, who has the clock. */
enum bcda__verdict {
    BCDA__OK = 1, /* go on with what came */
    BCDA__WAIT,   /* status: still running, ask again; kick-off: an identical export is */
    BCDA__RENEW,  /* 401: fetch a new token once and repeat; `err` is for a second 401 */
    BCDA__RETRY,  /* repeat after a while; `err` says why, for the case that it stays so */
    BCDA__FAIL,   /* `err` says why */
};

/* What holds for all of them, where nothing else is said below: 400 FAIL BCDA_ERR_BAD_REQUEST, 401
 * RENEW BCDA_ERR_AUTH, 403 FAIL BCDA_ERR_FORBIDDEN, 404 FAIL BCDA_ERR_NOT_FOUND, 410 FAIL
 * BCDA_ERR_GONE, 408 and 425 RETRY BCDA_ERR_SERVER, 429 RETRY BCDA_ERR_TOO_MANY, 5xx RETRY
 * BCDA_ERR_SERVER (but 501 and 505, which do not pass), 3xx FAIL BCDA_ERR_REDIRECT with no more of
 * the target than its origin, any other status FAIL BCDA_ERR_STATUS with its number. Before all of
 * that: any 4xx or 5xx but 401 and 429 whose OperationOutcome has an issue of code "transient" is
 * RETRY BCDA_ERR_SERVER. How often a RETRY is tried stands in retry.h. */

/* POST to the token URL. 200 is OK (bcda__token_parse has the last word). 401 is FAIL: there is
 * nothing to renew, the client id or secret is wrong. 405 has a hint at the URL. What an OAuth
 * error says (RFC 6749, 5.2) becomes the server's words; invalid_client and unauthorized_client are
 * BCDA_ERR_AUTH, whatever the status. */
enum bcda__verdict bcda__answer_token(const struct bcda__answer *a, struct bcda_error *err);
/* Kick-off. OK = 202 with a Content-Location that is an absolute URL; without one FAIL
 * BCDA_ERR_NO_LOCATION. 200 is not foreseen: BCDA_ERR_STATUS. 429 is WAIT, with
 * `err` filled: see BCDA_OPT_DUPLICATE_JOB. */
enum bcda__verdict bcda__answer_kickoff(const struct bcda__answer *a, struct bcda_error *err);
/* Status of a job. 200 is OK (the body is the manifest: bcda__manifest_parser has the last word),
 * 202 WAIT. 500 is RETRY BCDA_ERR_JOB_FAILED: repeated a few times before it is believed (bcda-api
 * 8.2). 404 with an outcome that says cancelled is BCDA_ERR_JOB_CANCELLED; another 404, of a job
 * once seen complete, is for the caller to take as 410 (bcda-api 5.1). */
enum bcda__verdict bcda__answer_status(const struct bcda__answer *a, struct bcda_error *err);
/* A data file: judged by its head, before the body. 200 is OK. 404 is RETRY BCDA_ERR_NOT_FOUND: a
 * file listed seconds ago may be missing for a moment (bcda-api 5.1). 206 and 416 are not foreseen
 * here: who asked for a range must look for them first. */
enum bcda__verdict bcda__answer_file(const struct bcda__answer *a, struct bcda_error *err);
/* metadata and _version, and other GETs that answer 200. */
enum bcda__verdict bcda__answer_plain(const struct bcda__answer *a, struct bcda_error *err);

/* DELETE of a job: 202 is OK, as are 200 and 204. */
enum bcda__verdict bcda__answer_cancel(const struct bcda__answer *a, struct bcda_error *err);

/* X-Progress: the first run of digits before a '%' (a fraction is cut), 0 to 100 (what is above
 * counts as 100); -1 where there is none ("Pending", "In Progress"). */
int bcda__progress_percent(const char *x_progress);

#endif
