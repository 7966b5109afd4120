#include "protocol/answer.h"

#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "base/url.h"
#include "protocol/outcome.h"
#include "protocol/retry.h"
#include "protocol/token.h"

/* What a status means in the answer to one kind of request. `code` 0 = not an error. */
struct rule {
    int status;
    enum bcda__verdict verdict;
    int code;
    const char *text;
};

/* These rules apply if the table of the request's kind has no rule for the status (bcda-api
 * 8.2). */
static const struct rule common_rules[] = {
    {400, BCDA__FAIL, BCDA_ERR_BAD_REQUEST,
     "the server refused the request as wrong (400): its own words may say why"},
    {401, BCDA__RENEW, BCDA_ERR_AUTH,
     "the server refused the token (401): it has ended or was revoked, or the organization has no "
     "access"},
    {403, BCDA__FAIL, BCDA_ERR_FORBIDDEN,
     "the server denies access (403): the organization may not use this, or this machine's address "
     "is not registered"},
    {404, BCDA__FAIL, BCDA_ERR_NOT_FOUND,
     "the server has nothing at this address (404): check the FHIR URL and its version"},
    {410, BCDA__FAIL, BCDA_ERR_GONE,
     "it has expired (410): the server keeps a job for a day; start a new one"},
    {408, BCDA__RETRY, BCDA_ERR_SERVER,
     "the server waited too long for the request (408): try again later"},
    {425, BCDA__RETRY, BCDA_ERR_SERVER,
     "the server asks for the request to be repeated a little later (425)"},
    {429, BCDA__RETRY, BCDA_ERR_TOO_MANY,
     "too many requests (429): wait, and run fewer things at once"},
    {0},
};

/* Answers to token requests (bcda-api 3.3). */
static const struct rule token_rules[] = {
    {200, BCDA__OK, 0, NULL},
    {400, BCDA__FAIL, BCDA_ERR_BAD_REQUEST,
     "the token URL did not understand the request (400): check that client id and secret are as "
     "they were issued"},
    {401, BCDA__FAIL, BCDA_ERR_AUTH,
     "the token URL refused the client id or secret (401): check both; BCDA credentials must be "
     "renewed every 90 days"},
    {403, BCDA__FAIL, BCDA_ERR_FORBIDDEN,
     "the token URL denies access (403): is this machine's address registered with the server's "
     "operator?"},
    {404, BCDA__FAIL, BCDA_ERR_NOT_FOUND,
     "there is nothing at the token URL (404): check it; that of BCDA ends in /auth/token"},
    {405, BCDA__FAIL, BCDA_ERR_STATUS,
     "the token URL does not take a POST (405): is the token URL right, and https?"},
    {429, BCDA__RETRY, BCDA_ERR_TOO_MANY,
     "too many tokens were fetched (429): wait; a token can be shared until it ends"},
    {0},
};

/* Answers to token requests with a signed assertion. The other statuses are those above. */
static const struct rule assertion_rules[] = {
    {200, BCDA__OK, 0, NULL},
    {400, BCDA__FAIL, BCDA_ERR_BAD_REQUEST,
     "the token URL did not accept the request (400): the server's own words may say why"},
    {401, BCDA__FAIL, BCDA_ERR_AUTH,
     "the token URL refused the client (401): check the client id, the signing key and its key id, "
     "and that the server has its public key"},
    {404, BCDA__FAIL, BCDA_ERR_NOT_FOUND, "there is nothing at the token URL (404): check it"},
    {0},
};

/* Answers to a kick-off (bcda-api 4.3, 4.5, 4.6). */
static const struct rule kickoff_rules[] = {
    {202, BCDA__OK, 0, NULL},
    {400, BCDA__FAIL, BCDA_ERR_BAD_REQUEST,
     "the server refused the export as asked for (400): check its types, group, since and other "
     "parameters; the server's own words may say which"},
    {403, BCDA__FAIL, BCDA_ERR_FORBIDDEN,
     "the server denies this export (403): the organization may not use it, or not this version of "
     "the API"},
    {404, BCDA__FAIL, BCDA_ERR_NOT_FOUND,
     "there is nothing to export (404): either the FHIR URL or the group is wrong, or there is no "
     "attribution data yet, which is usual from January to mid-February, when the group runout "
     "still works"},
    /* The caller then waits, gives up or takes over the running job, as BCDA_OPT_DUPLICATE_JOB
     * says. */
    {429, BCDA__WAIT, BCDA_ERR_TOO_MANY,
     "an identical export is already running, or there were too many requests (429): wait for that "
     "job, take it over (option \"duplicate_job\") or cancel it"},
    {0},
};

/* Answers to a status request (bcda-api 5.1). */
static const struct rule status_rules[] = {
    {200, BCDA__OK, 0, NULL},
    {202, BCDA__WAIT, 0, NULL},
    {401, BCDA__RENEW, BCDA_ERR_AUTH,
     "the server refused the token (401): it has ended or was revoked, or the job belongs to "
     "another organization"},
    {404, BCDA__FAIL, BCDA_ERR_NOT_FOUND,
     "the server has no such job (404): its address is wrong, it belongs to another organization, "
     "or it is older than a day; start a new one"},
    {410, BCDA__FAIL, BCDA_ERR_GONE,
     "the job has expired (410): the server keeps its files for a day; start a new one"},
    {500, BCDA__RETRY, BCDA_ERR_JOB_FAILED,
     "the server reports repeatedly that the job failed (500): start a new one"},
    {0},
};

/* Answers to the request for a file (bcda-api 6.1). */
static const struct rule file_rules[] = {
    {200, BCDA__OK, 0, NULL},
    {404, BCDA__RETRY, BCDA_ERR_NOT_FOUND,
     "the server does not have the file, although it listed it (404): files are deleted a day "
     "after the job; start a new one"},
    {410, BCDA__FAIL, BCDA_ERR_GONE,
     "the file has expired (410): the server keeps the files of a job for a day; start a new one"},
    {0},
};

static const struct rule plain_rules[] = {
    {200, BCDA__OK, 0, NULL},
    {0},
};

/* Answers to a cancellation (bcda-api 5.3). */
static const struct rule cancel_rules[] = {
    {202, BCDA__OK, 0, NULL},
    {200, BCDA__OK, 0, NULL},
    {204, BCDA__OK, 0, NULL},
    {404, BCDA__FAIL, BCDA_ERR_NOT_FOUND,
     "the server has no such job, or cannot cancel jobs (404)"},
    {405, BCDA__FAIL, BCDA_ERR_STATUS, "this server cannot cancel jobs (405)"},
    {410, BCDA__FAIL, BCDA_ERR_GONE, "the job has ended already and cannot be cancelled (410)"},
    {0},
};

static const struct rule *find_rule(const struct rule *rules, int status)
{
    for (; rules->status; rules++)
        if (rules->status == status)
            return rules;
    return NULL;
}

/* Adds the status to `err`, and the server's own text if the body was received. */
static void note_status(const struct bcda__answer *a, struct bcda_error *err)
{
    err->http_status = a->status;
    if (a->body)
        bcda__outcome_describe(err, a->body, a->body_len);
}

/* Sets the error for a redirect that is not followed. The text shows only the origin of the target,
 * because the path and query may contain secrets. */
static void refuse_redirect(const struct bcda__answer *a, struct bcda_error *err)
{
    struct bcda__url url;
    struct bcda__buf origin;

    bcda__buf_init(&origin, 320);
    if (bcda__url_parse(a->location, &url) == 0 && bcda__url_add_origin(&origin, &url) == 0)
        bcda__err_set(err, BCDA_ERR_REDIRECT,
                      "the server redirects (%d) to %s, which is not followed: is the URL right?",
                      a->status, origin.data);
    else
        bcda__err_set(err, BCDA_ERR_REDIRECT,
                      "the server redirects (%d), which is not followed: is the URL right?",
                      a->status);
    bcda__buf_free(&origin);
}

static int is_server_fault(int status)
{
    /* 501 and 505 are permanent errors. */
    return status >= 500 && status <= 599 && status != 501 && status != 505;
}

/* Judges a status that is in no table. */
static enum bcda__verdict judge_other(const struct bcda__answer *a, int expected,
                                      struct bcda_error *err)
{
    if (is_server_fault(a->status)) {
        bcda__err_set(err, BCDA_ERR_SERVER,
                      "the server, or a gateway before it, is out of order (%d): try again later",
                      a->status);
        note_status(a, err);
        return BCDA__RETRY;
    }
    if (a->status >= 300 && a->status <= 399 && a->status != 304)
        refuse_redirect(a, err);
    else
        bcda__err_set(err, BCDA_ERR_STATUS,
                      "the server answered with status %d, where %d is expected", a->status,
                      expected);
    note_status(a, err);
    return BCDA__FAIL;
}

/* 1 if the OperationOutcome in the body says that the error is temporary: only the request has
 * failed, not the job (FHIR Bulk Data, status request). This applies to any error status except 401
 * and 429. */
static int is_transient(const struct bcda__answer *a)
{
    return a->status >= 400 && a->status != 401 && a->status != 429 && a->body &&
           bcda__outcome_is_transient(a->body, a->body_len);
}

/* Returns the error text for a 401 if the request was sent without a token. */
static const char *why_no_token(const struct bcda__answer *a, const struct rule *rules)
{
    if (a->sent == BCDA__SENT_ELSEWHERE)
        return "the server requires a token (401), and none was sent: this address is of another "
               "origin than the FHIR URL, and the token is sent to no other";
    if (a->sent == BCDA__SENT_OPEN)
        return "the server requires a token (401), and none was sent: the session is configured "
               "for a server that requires none";
    if (rules == file_rules)
        return "the server requires a token (401), and none was sent: the manifest says that its "
               "files need none";
    return "the server requires a token (401), and this request is made without a token";
}

static enum bcda__verdict judge_by_rules(const struct bcda__answer *a, const struct rule *rules,
                                         struct bcda_error *err)
{
    const struct rule *rule = find_rule(rules, a->status);

    if (is_transient(a)) {
        bcda__err_set(err, BCDA_ERR_SERVER,
                      "the server reports a temporary error (%d): try again later", a->status);
        note_status(a, err);
        return BCDA__RETRY;
    }
    if (!rule)
        rule = find_rule(common_rules, a->status);
    if (!rule)
        return judge_other(a, rules[0].status, err); /* the first rule is for success */
    if (!rule->code)
        return rule->verdict;
    bcda__err_set(err, rule->code, "%s",
                  a->status == 401 && a->sent ? why_no_token(a, rules) : rule->text);
    note_status(a, err);
    return rule->verdict;
}

/* Sets `err` for a token request that was refused with the OAuth error `code`. If the client id or
 * secret is wrong, the error is BCDA_ERR_AUTH with any status, because servers use different ones.
 * The server's own text, which `err` already has, is kept. */
static void explain_oauth(const struct bcda__answer *a, const char *code, struct bcda_error *err)
{
    char words[sizeof err->server];

    memcpy(words, err->server, sizeof words);
    if (strcmp(code, "invalid_client") == 0 || strcmp(code, "unauthorized_client") == 0)
        bcda__err_set(err, BCDA_ERR_AUTH,
                      "the token URL refused the client id or secret (%d, %s): check both; BCDA "
                      "credentials must be renewed every 90 days",
                      a->status, code);
    else if (code[0])
        bcda__err_set(
            err, BCDA_ERR_BAD_REQUEST,
            "the token URL did not accept the request (%d, %s): client id and secret go in the "
            "Authorization header, without a body, and the server may want another form "
            "of request",
            a->status, code);
    else
        bcda__err_set(err, BCDA_ERR_BAD_REQUEST,
                      "the token URL did not accept the request (%d): the server's own words may "
                      "say why",
                      a->status);
    err->http_status = a->status;
    bcda__err_server(err, words, strlen(words));
}

enum bcda__verdict bcda__answer_token(const struct bcda__answer *a, struct bcda_error *err)
{
    enum bcda__verdict verdict = judge_by_rules(a, token_rules, err);
    const char *code = NULL;

    if (verdict != BCDA__OK && a->body)
        code = bcda__token_describe(err, a->body, a->body_len);
    if (code && (a->status == 400 || (a->status == 401 && code[0])))
        explain_oauth(a, code, err);
    return verdict;
}

static void explain_assertion(const struct bcda__answer *a, const char *code,
                              struct bcda_error *err)
{
    char words[sizeof err->server];

    memcpy(words, err->server, sizeof words);
    if (strcmp(code, "invalid_client") == 0 || strcmp(code, "unauthorized_client") == 0)
        bcda__err_set(err, BCDA_ERR_AUTH,
                      "the token URL refused the client (%d, %s): check the client id, the signing "
                      "key and its key id, and that the server has its public key",
                      a->status, code);
    else if (strcmp(code, "invalid_scope") == 0)
        bcda__err_set(err, BCDA_ERR_BAD_REQUEST,
                      "the token URL does not grant the scope (%d, %s): ask for a scope that the "
                      "client is registered for",
                      a->status, code);
    else
        bcda__err_set(err, BCDA_ERR_BAD_REQUEST,
                      "the token URL did not accept the request (%d%s%s): the server's own words "
                      "may say why",
                      a->status, code[0] ? ", " : "", code);
    err->http_status = a->status;
    bcda__err_server(err, words, strlen(words));
}

/* Adds to the text how far this machine's clock differs from the server's, if that is much. */
static void note_skew(const struct bcda__answer *a, struct bcda_error *err)
{
    int64_t date = bcda__http_date(a->date, a->now_ms);
    int64_t ahead = a->now_ms - date;

    if (date < 0 || (ahead <= BCDA__SKEW_MS && ahead >= -BCDA__SKEW_MS))
        return;
    bcda__err_add(err,
                  "this machine's clock is %" PRId64
                  " s %s the server's, and an assertion is valid for a few minutes",
                  (ahead < 0 ? -ahead : ahead) / 1000, ahead < 0 ? "behind" : "ahead of");
}

enum bcda__verdict bcda__answer_assertion(const struct bcda__answer *a, struct bcda_error *err)
{
    int is_common = !find_rule(assertion_rules, a->status);
    enum bcda__verdict verdict = judge_by_rules(a, is_common ? token_rules : assertion_rules, err);
    const char *code = NULL;

    if (verdict != BCDA__OK && a->body)
        code = bcda__token_describe(err, a->body, a->body_len);
    if (code && (a->status == 400 || (a->status == 401 && code[0])))
        explain_assertion(a, code, err);
    if (a->status == 400 || a->status == 401)
        note_skew(a, err);
    return verdict;
}

enum bcda__verdict bcda__answer_kickoff(const struct bcda__answer *a, struct bcda_error *err)
{
    enum bcda__verdict verdict = judge_by_rules(a, kickoff_rules, err);
    struct bcda__url url;

    if (verdict != BCDA__OK || bcda__url_parse(a->content_location, &url) == 0)
        return verdict;
    bcda__err_set(err, BCDA_ERR_NO_LOCATION,
                  "the server took the export (202) but did not say where to ask for it: %s",
                  a->content_location[0] ? "its Content-Location is not an absolute URL"
                                         : "there is no Content-Location");
    err->http_status = a->status;
    return BCDA__FAIL;
}

enum bcda__verdict bcda__answer_status(const struct bcda__answer *a, struct bcda_error *err)
{
    enum bcda__verdict verdict = judge_by_rules(a, status_rules, err);

    if (a->status == 404 && verdict == BCDA__FAIL &&
        (bcda__text_contains_nocase(err->server, "cancelled") ||
         bcda__text_contains_nocase(err->server, "canceled"))) {
        bcda__err_set(err, BCDA_ERR_JOB_CANCELLED,
                      "the job was cancelled at the server (404): start a new one");
        note_status(a, err);
    }
    return verdict;
}

enum bcda__verdict bcda__answer_file(const struct bcda__answer *a, struct bcda_error *err)
{
    return judge_by_rules(a, file_rules, err);
}

enum bcda__verdict bcda__answer_plain(const struct bcda__answer *a, struct bcda_error *err)
{
    return judge_by_rules(a, plain_rules, err);
}

enum bcda__verdict bcda__answer_cancel(const struct bcda__answer *a, struct bcda_error *err)
{
    return judge_by_rules(a, cancel_rules, err);
}

/* ---- X-Progress ---- */

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

int bcda__progress_percent(const char *x_progress)
{
    const char *p = x_progress;

    while (*p) {
        int value = 0;

        if (!is_digit(*p)) {
            p++;
            continue;
        }
        for (; is_digit(*p); p++)
            value = value > 100 ? value : value * 10 + (*p - '0');
        if (*p == '.' && is_digit(p[1])) /* ignore a fraction */
            for (p++; is_digit(*p);)
                p++;
        while (*p == ' ')
            p++;
        if (*p == '%')
            return value > 100 ? 100 : value;
    }
    return -1;
}
