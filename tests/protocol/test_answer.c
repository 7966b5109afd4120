/* What each HTTP status means for each kind of request (bcda-api 3.3, 4, 5.1, 6.1, 8.2). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper.h"
#include "protocol/answer.h"
#include "suite.h"

typedef enum bcda__verdict (*judge_fn)(const struct bcda__answer *, struct bcda_error *);

static const judge_fn judges[] = {bcda__answer_token, bcda__answer_kickoff, bcda__answer_status,
                                  bcda__answer_file,  bcda__answer_plain,   bcda__answer_cancel};

static struct bcda_error err;

static struct bcda__answer answer(int status, const char *body)
{
    return (struct bcda__answer){
        .status = status,
        .content_type = "",
        .content_location = "https://sandbox.bcda.cms.gov/api/v1/jobs/42",
        .location = "",
        .retry_after = "",
        .x_progress = "",
        .date = "",
        .body = body,
        .body_len = body ? strlen(body) : 0,
    };
}

static enum bcda__verdict ask(judge_fn judge, int status, const char *body)
{
    struct bcda__answer a = answer(status, body);

    bcda__err_clear(&err);
    err.code = 12345; /* judge() must leave this value if it reports no error */
    return judge(&a, &err);
}

struct row {
    int status;
    enum bcda__verdict verdict;
    int code; /* 12345: `err` is not changed */
    const char *word;
};

static void check_rows(judge_fn judge, const struct row *rows, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        enum bcda__verdict v = ask(judge, rows[i].status, NULL);

        ck_assert_msg(v == rows[i].verdict, "%d: verdict %d", rows[i].status, (int)v);
        ck_assert_msg(err.code == rows[i].code, "%d: code %d", rows[i].status, err.code);
        if (rows[i].code == 12345)
            continue;
        ck_assert_int_eq(err.http_status, rows[i].status);
        ck_assert_int_eq((int)err.retry_after, -1);
        ck_assert_str_eq(err.server, "");
        ck_assert_msg(strstr(err.text, rows[i].word) != NULL, "%d: %s", rows[i].status, err.text);
    }
}

/* Error answers of an OAuth server (RFC 6749, 5.2). err.text names the member `error` of the body
 * only if its value is a code that the RFC defines. err.server keeps the words of the server. */
START_TEST(oauth_errors)
{
    static const struct {
        int status;
        const char *body;
        int code;
        const char *word, *server;
    } rows[] = {
        {400, "{\"error\":\"invalid_request\",\"error_description\":\"Missing grant_type\"}",
         BCDA_ERR_BAD_REQUEST, "another form of request", "invalid_request: Missing grant_type"},
        {400, "{\"error_description\":\"\",\"error\":\"unsupported_grant_type\"}",
         BCDA_ERR_BAD_REQUEST, "(400, unsupported_grant_type)", "unsupported_grant_type"},
        {400, "{\"error\":\"invalid_scope\"}", BCDA_ERR_BAD_REQUEST, "(400, invalid_scope)",
         "invalid_scope"},
        {400, "{\"error\":\"invalid_client\",\"error_description\":\"no\"}", BCDA_ERR_AUTH,
         "client id or secret (400, invalid_client)", "invalid_client: no"},
        {401, "{\"error\":\"invalid_client\"}", BCDA_ERR_AUTH,
         "client id or secret (401, invalid_client)", "invalid_client"},
        {401, "{\"error\":\"unauthorized_client\"}", BCDA_ERR_AUTH, "(401, unauthorized_client)",
         "unauthorized_client"},
        {403, "{\"error\":\"access_denied\",\"error_description\":\"not here\"}",
         BCDA_ERR_FORBIDDEN, "denies access (403)", "access_denied: not here"},
        {503, "{\"error\":\"temporarily_unavailable\"}", BCDA_ERR_SERVER, "out of order (503)",
         "temporarily_unavailable"},
        /* a value of `error` that the RFC does not define: not in err.text, only in err.server */
        {400, "{\"error\":\"Missing grant_type\"}", BCDA_ERR_BAD_REQUEST, "the server's own words",
         "Missing grant_type"},
        {400, "{\"error_description\":\"Missing\\u000agrant_type\"}", BCDA_ERR_BAD_REQUEST,
         "the server's own words", "Missing grant_type"},
        {400, "{\"error\":5,\"x\":{\"error\":\"invalid_client\"}}", BCDA_ERR_BAD_REQUEST,
         "client id and secret", "{\"error\":5,\"x\":{\"error\":\"invalid_client\"}}"},
        /* answers of BCDA's own token server */
        {400, "Bad Request\n", BCDA_ERR_BAD_REQUEST, "client id and secret", "Bad Request"},
        {401, "Unauthorized\n", BCDA_ERR_AUTH, "90 days", "Unauthorized"},
        {400, "[\"error\"]", BCDA_ERR_BAD_REQUEST, "client id and secret", "[\"error\"]"},
        {400, "{\"error\":\"invalid_client\"", BCDA_ERR_BAD_REQUEST, "client id and secret",
         "{\"error\":\"invalid_client\""},
        {400, "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"diagnostics\":\"d\"}]}",
         BCDA_ERR_BAD_REQUEST, "client id and secret", "d"},
    };
    char big[3000];
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        (void)ask(bcda__answer_token, rows[i].status, rows[i].body);
        ck_assert_msg(err.code == rows[i].code, "%s: %s", rows[i].body, bcda_error_name(err.code));
        ck_assert_int_eq(err.http_status, rows[i].status);
        ck_assert_msg(strstr(err.text, rows[i].word) != NULL, "%s: %s", rows[i].body, err.text);
        ck_assert_str_eq(err.server, rows[i].server);
    }
    i = (size_t)snprintf(big, sizeof big,
                         "{\"error\":\"invalid_request\",\"error_description\":\"");
    while (i < 2000)
        i += (size_t)snprintf(big + i, sizeof big - i, "a word ");
    snprintf(big + i, sizeof big - i, "\"}");
    (void)ask(bcda__answer_token, 400, big);
    ck_assert_uint_eq(strlen(err.server), sizeof err.server - 1);
    ck_assert_int_eq(strncmp(err.server, "invalid_request: a word a", 25), 0);
    /* Only the answer to a token request is read as an OAuth error, not that to a kick-off. */
    (void)ask(bcda__answer_kickoff, 401, rows[4].body);
    ck_assert_ptr_nonnull(strstr(err.text, "refused the token"));
}
END_TEST

/* What may be a secret is not kept: 40 characters of base64 or base64url. */
START_TEST(hidden_words)
{
#define DIGITS_39 "012345678901234567890123456789012345678"
    static const char *const rows[][2] = {
        {DIGITS_39, DIGITS_39},
        {DIGITS_39 "9", "..."},
        {"the assertion " DIGITS_39 "-_." DIGITS_39 "x." DIGITS_39 "+= is wrong",
         "the assertion ........... is wrong"},
        {DIGITS_39 " " DIGITS_39, DIGITS_39 " " DIGITS_39},
        {"see https://example.org/oauth/errors", "see https://example.org/oauth/errors"},
    };
    char body[400], wanted[300];
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        snprintf(body, sizeof body, "{\"error\":\"invalid_client\",\"error_description\":\"%s\"}",
                 rows[i][0]);
        snprintf(wanted, sizeof wanted, "invalid_client: %s", rows[i][1]);
        (void)ask(bcda__answer_token, 400, body);
        ck_assert_str_eq(err.server, wanted);
    }
}
END_TEST

/* A 401 answer refuses a token only if the request had one. */
START_TEST(no_token)
{
    static const struct {
        judge_fn judge;
        enum bcda__sent sent;
        const char *word;
    } rows[] = {
        {bcda__answer_kickoff, BCDA__SENT_TOKEN, "refused the token"},
        {bcda__answer_kickoff, BCDA__SENT_ELSEWHERE, "of another origin than the FHIR URL"},
        {bcda__answer_status, BCDA__SENT_ELSEWHERE, "of another origin than the FHIR URL"},
        {bcda__answer_file, BCDA__SENT_ELSEWHERE, "of another origin than the FHIR URL"},
        {bcda__answer_file, BCDA__SENT_NONE, "the manifest says that its files need none"},
        {bcda__answer_plain, BCDA__SENT_NONE, "made without a token"},
        {bcda__answer_kickoff, BCDA__SENT_OPEN, "configured for a server that requires none"},
        {bcda__answer_file, BCDA__SENT_OPEN, "configured for a server that requires none"},
    };
    struct bcda__answer a;
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        a = answer(401, NULL);
        a.sent = rows[i].sent;
        bcda__err_clear(&err);
        (void)rows[i].judge(&a, &err);
        ck_assert_int_eq(err.code, BCDA_ERR_AUTH);
        ck_assert_int_eq(err.http_status, 401);
        ck_assert_msg(strstr(err.text, rows[i].word) != NULL, "%s", err.text);
        ck_assert_msg(!strstr(err.text, "refused the token") == !!a.sent, "%s", err.text);
    }
}
END_TEST

START_TEST(token)
{
    static const struct row rows[] = {
        {200, BCDA__OK, 12345, NULL},
        {201, BCDA__FAIL, BCDA_ERR_STATUS, "201, where 200"},
        {202, BCDA__FAIL, BCDA_ERR_STATUS, "202"},
        {204, BCDA__FAIL, BCDA_ERR_STATUS, "204"},
        {301, BCDA__FAIL, BCDA_ERR_REDIRECT, "301"},
        {400, BCDA__FAIL, BCDA_ERR_BAD_REQUEST, "client id"},
        {401, BCDA__FAIL, BCDA_ERR_AUTH, "90 days"},
        {403, BCDA__FAIL, BCDA_ERR_FORBIDDEN, "403"},
        {404, BCDA__FAIL, BCDA_ERR_NOT_FOUND, "/auth/token"},
        {405, BCDA__FAIL, BCDA_ERR_STATUS, "is the token URL right, and https?"},
        {411, BCDA__FAIL, BCDA_ERR_STATUS, "411"},
        {429, BCDA__RETRY, BCDA_ERR_TOO_MANY, "429"},
        {500, BCDA__RETRY, BCDA_ERR_SERVER, "500"},
        {502, BCDA__RETRY, BCDA_ERR_SERVER, "502"},
        {503, BCDA__RETRY, BCDA_ERR_SERVER, "503"},
        {504, BCDA__RETRY, BCDA_ERR_SERVER, "504"},
    };

    check_rows(bcda__answer_token, rows, COUNT(rows));
}
END_TEST

START_TEST(assertion)
{
    static const struct row rows[] = {
        {200, BCDA__OK, 12345, NULL},
        {201, BCDA__FAIL, BCDA_ERR_STATUS, "201, where 200"},
        {307, BCDA__FAIL, BCDA_ERR_REDIRECT, "307"},
        {400, BCDA__FAIL, BCDA_ERR_BAD_REQUEST, "the server's own words"},
        {401, BCDA__FAIL, BCDA_ERR_AUTH, "signing key"},
        {403, BCDA__FAIL, BCDA_ERR_FORBIDDEN, "403"},
        {404, BCDA__FAIL, BCDA_ERR_NOT_FOUND, "nothing at the token URL"},
        {405, BCDA__FAIL, BCDA_ERR_STATUS, "is the token URL right, and https?"},
        {429, BCDA__RETRY, BCDA_ERR_TOO_MANY, "429"},
        {500, BCDA__RETRY, BCDA_ERR_SERVER, "500"},
    };

    check_rows(bcda__answer_assertion, rows, COUNT(rows));
}
END_TEST

START_TEST(assertion_refused)
{
    static const struct {
        int status;
        const char *error;
        int code;
        const char *word;
    } rows[] = {
        {400, "invalid_client", BCDA_ERR_AUTH, "the signing key and its key id"},
        {401, "invalid_client", BCDA_ERR_AUTH, "the signing key and its key id"},
        {400, "unauthorized_client", BCDA_ERR_AUTH, "public key"},
        {400, "invalid_scope", BCDA_ERR_BAD_REQUEST, "does not grant the scope"},
        {400, "invalid_grant", BCDA_ERR_BAD_REQUEST, "(400, invalid_grant)"},
        {400, "something_else", BCDA_ERR_BAD_REQUEST, "(400): the server's own words"},
    };
    char body[200], wanted[200];
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        snprintf(body, sizeof body, "{\"error\":\"%s\",\"error_description\":\"because\"}",
                 rows[i].error);
        snprintf(wanted, sizeof wanted, "%s: because", rows[i].error);
        ck_assert_int_eq(ask(bcda__answer_assertion, rows[i].status, body), BCDA__FAIL);
        ck_assert_int_eq(err.code, rows[i].code);
        ck_assert_int_eq(err.http_status, rows[i].status);
        ck_assert_msg(strstr(err.text, rows[i].word) != NULL, "%s", err.text);
        ck_assert_str_eq(err.server, wanted);
        ck_assert_ptr_null(strstr(err.text, "clock"));
    }
}
END_TEST

/* The Date header is 2020-01-01T00:00:00Z. */
START_TEST(clock_skew)
{
    static const int64_t date = INT64_C(1577836800000);
    static const struct {
        int64_t ahead_s;
        int status;
        const char *word; /* NULL = the text says nothing of the clock */
    } rows[] = {
        {0, 400, NULL},
        {30, 400, NULL},
        {-30, 400, NULL},
        {31, 400, "31 s ahead of the server's"},
        {-31, 401, "31 s behind the server's"},
        {86400, 401, "86400 s ahead of"},
        {86400, 403, NULL},
        {86400, 500, NULL},
    };
    struct bcda__answer a;
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        a = answer(rows[i].status, "{\"error\":\"invalid_client\"}");
        a.date = "Wed, 01 Jan 2020 00:00:00 GMT";
        a.now_ms = date + rows[i].ahead_s * 1000;
        bcda__err_clear(&err);
        (void)bcda__answer_assertion(&a, &err);
        if (rows[i].word)
            ck_assert_msg(strstr(err.text, rows[i].word) != NULL, "%s", err.text);
        else
            ck_assert_msg(!strstr(err.text, "clock"), "%s", err.text);
        ck_assert_int_eq(err.http_status, rows[i].status);
    }
    a.date = "no date";
    (void)bcda__answer_assertion(&a, &err);
    ck_assert_ptr_null(strstr(err.text, "clock"));
}
END_TEST

START_TEST(kickoff)
{
    static const struct row rows[] = {
        {202, BCDA__OK, 12345, NULL},
        {200, BCDA__FAIL, BCDA_ERR_STATUS, "200, where 202"},
        {307, BCDA__FAIL, BCDA_ERR_REDIRECT, "307"},
        {400, BCDA__FAIL, BCDA_ERR_BAD_REQUEST, "400"},
        {401, BCDA__RENEW, BCDA_ERR_AUTH, "401"},
        {403, BCDA__FAIL, BCDA_ERR_FORBIDDEN, "version"},
        {404, BCDA__FAIL, BCDA_ERR_NOT_FOUND, "runout"},
        {405, BCDA__FAIL, BCDA_ERR_STATUS, "405"},
        {406, BCDA__FAIL, BCDA_ERR_STATUS, "406"},
        {408, BCDA__RETRY, BCDA_ERR_SERVER, "408"},
        {425, BCDA__RETRY, BCDA_ERR_SERVER, "425"},
        {429, BCDA__WAIT, BCDA_ERR_TOO_MANY, "already running"},
        {500, BCDA__RETRY, BCDA_ERR_SERVER, "500"},
        {502, BCDA__RETRY, BCDA_ERR_SERVER, "502"},
        {503, BCDA__RETRY, BCDA_ERR_SERVER, "503"},
        {504, BCDA__RETRY, BCDA_ERR_SERVER, "504"},
    };

    check_rows(bcda__answer_kickoff, rows, COUNT(rows));
}
END_TEST

START_TEST(kickoff_location)
{
    static const char *const bad[] = {
        /* not absolute */
        "", "/api/v1/jobs/42", "jobs/42", "//h/jobs/42",
        /* URLs that cannot be a server's */
        "ftp://h/42", "https://user@h/jobs/42", "https://h/jobs/4 2", "https://h/jobs/42#x",
        /* no host or port */
        "https://", "https://h:0/api/v1/jobs/1", "javascript:alert(1)"};
    struct bcda__answer a = answer(202, NULL);
    size_t i;

    for (i = 0; i < COUNT(bad); i++) {
        a.content_location = bad[i];
        bcda__err_clear(&err);
        ck_assert_int_eq(bcda__answer_kickoff(&a, &err), BCDA__FAIL);
        ck_assert_int_eq(err.code, BCDA_ERR_NO_LOCATION);
        ck_assert_int_eq(err.http_status, 202);
        ck_assert(i == 0 || !strstr(err.text, bad[i]));
    }
    a.content_location =
        "http://proxied.example:3000/api/v1/jobs/7"; /* any origin: the caller checks it */
    ck_assert_int_eq(bcda__answer_kickoff(&a, &err), BCDA__OK);
}
END_TEST

START_TEST(status)
{
    static const struct row rows[] = {
        {200, BCDA__OK, 12345, NULL},
        {202, BCDA__WAIT, 12345, NULL},
        {204, BCDA__FAIL, BCDA_ERR_STATUS, "204"},
        {302, BCDA__FAIL, BCDA_ERR_REDIRECT, "302"},
        {400, BCDA__FAIL, BCDA_ERR_BAD_REQUEST, "400"},
        {401, BCDA__RENEW, BCDA_ERR_AUTH, "another organization"},
        {403, BCDA__FAIL, BCDA_ERR_FORBIDDEN, "403"},
        {404, BCDA__FAIL, BCDA_ERR_NOT_FOUND, "older than a day"},
        {410, BCDA__FAIL, BCDA_ERR_GONE, "start a new one"},
        {418, BCDA__FAIL, BCDA_ERR_STATUS, "418"},
        {429, BCDA__RETRY, BCDA_ERR_TOO_MANY, "429"},
        {500, BCDA__RETRY, BCDA_ERR_JOB_FAILED, "500"},
        {502, BCDA__RETRY, BCDA_ERR_SERVER, "502"},
        {503, BCDA__RETRY, BCDA_ERR_SERVER, "503"},
        {504, BCDA__RETRY, BCDA_ERR_SERVER, "504"},
    };

    check_rows(bcda__answer_status, rows, COUNT(rows));
}
END_TEST

#define OUTCOME(code, text)                                                                      \
    "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"error\",\"code\":\"" code \
    "\",\"diagnostics\":\"" text "\"}]}"

START_TEST(status_words)
{
    /* the answers for a failed job in eras A and C of the server (bcda-api 0.2) */
    ck_assert_int_eq(ask(bcda__answer_status, 500, "{\"resourceType\":\"OperationOutcome\"}"),
                     BCDA__RETRY);
    ck_assert_int_eq(err.code, BCDA_ERR_JOB_FAILED);
    ck_assert_str_eq(err.server, "");
    ck_assert_int_eq(
        ask(bcda__answer_status, 500,
            OUTCOME("exception", "Service encountered numerous errors. Job failed to complete.")),
        BCDA__RETRY);
    ck_assert_str_eq(err.server, "Service encountered numerous errors. Job failed to complete.");
    ck_assert_int_eq(err.retryable, 0);

    ck_assert_int_eq(ask(bcda__answer_status, 404, OUTCOME("not-found", "Job has been cancelled.")),
                     BCDA__FAIL);
    ck_assert_int_eq(err.code, BCDA_ERR_JOB_CANCELLED);
    ck_assert_str_eq(err.server, "Job has been cancelled.");
    ck_assert_int_eq(err.http_status, 404);
    ck_assert_int_eq(ask(bcda__answer_status, 404, OUTCOME("not-found", "CANCELED")), BCDA__FAIL);
    ck_assert_int_eq(err.code, BCDA_ERR_JOB_CANCELLED);

    /* of two documents in one body, the first counts */
    ck_assert_int_eq(ask(bcda__answer_status, 404,
                         OUTCOME("not-found", "Job not found") OUTCOME("gone", "was cancelled")),
                     BCDA__FAIL);
    ck_assert_int_eq(err.code, BCDA_ERR_NOT_FOUND);
    ck_assert_str_eq(err.server, "Job not found");
    ck_assert_int_eq(ask(bcda__answer_status, 410, OUTCOME("gone", "was cancelled")), BCDA__FAIL);
    ck_assert_int_eq(err.code, BCDA_ERR_GONE);
}
END_TEST

START_TEST(status_transient)
{
    static const struct row rows[] = {
        {200, BCDA__OK, 12345, NULL},
        {202, BCDA__WAIT, 12345, NULL},
        {400, BCDA__RETRY, BCDA_ERR_SERVER, "400"},
        {401, BCDA__RENEW, BCDA_ERR_AUTH, "401"},
        {404, BCDA__RETRY, BCDA_ERR_SERVER, "404"},
        {410, BCDA__RETRY, BCDA_ERR_SERVER, "410"},
        {429, BCDA__RETRY, BCDA_ERR_TOO_MANY, "429"},
        {418, BCDA__RETRY, BCDA_ERR_SERVER, "418"},
        {500, BCDA__RETRY, BCDA_ERR_SERVER, "500"},
        {501, BCDA__RETRY, BCDA_ERR_SERVER, "501"},
        {503, BCDA__RETRY, BCDA_ERR_SERVER, "503"},
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        enum bcda__verdict v =
            ask(bcda__answer_status, rows[i].status, OUTCOME("transient", "cancelled for now"));

        ck_assert_msg(v == rows[i].verdict, "%d", rows[i].status);
        ck_assert_int_eq(err.code, rows[i].code);
        if (v == BCDA__RETRY) {
            ck_assert_int_eq(err.retryable, 1);
            ck_assert_int_eq(err.http_status, rows[i].status);
            ck_assert_str_eq(err.server, "cancelled for now");
        }
    }
}
END_TEST

START_TEST(file)
{
    static const struct row rows[] = {
        {200, BCDA__OK, 12345, NULL},
        {206, BCDA__FAIL, BCDA_ERR_STATUS, "206"}, /* this request asked for no range */
        {304, BCDA__FAIL, BCDA_ERR_STATUS, "304"},
        {301, BCDA__FAIL, BCDA_ERR_REDIRECT, "301"},
        {400, BCDA__FAIL, BCDA_ERR_BAD_REQUEST, "400"},
        {401, BCDA__RENEW, BCDA_ERR_AUTH, "401"},
        {403, BCDA__FAIL, BCDA_ERR_FORBIDDEN, "403"},
        {404, BCDA__RETRY, BCDA_ERR_NOT_FOUND, "404"},
        {410, BCDA__FAIL, BCDA_ERR_GONE, "410"},
        {416, BCDA__FAIL, BCDA_ERR_STATUS, "416"},
        {429, BCDA__RETRY, BCDA_ERR_TOO_MANY, "429"},
        {500, BCDA__RETRY, BCDA_ERR_SERVER, "500"},
        {502, BCDA__RETRY, BCDA_ERR_SERVER, "502"},
        {503, BCDA__RETRY, BCDA_ERR_SERVER, "503"},
        {504, BCDA__RETRY, BCDA_ERR_SERVER, "504"},
    };

    check_rows(bcda__answer_file, rows, COUNT(rows));
}
END_TEST

START_TEST(plain)
{
    static const struct row rows[] = {
        {200, BCDA__OK, 12345, NULL},
        {202, BCDA__FAIL, BCDA_ERR_STATUS, "202, where 200"},
        {401, BCDA__RENEW, BCDA_ERR_AUTH, "401"},
        {404, BCDA__FAIL, BCDA_ERR_NOT_FOUND, "FHIR URL"},
        {429, BCDA__RETRY, BCDA_ERR_TOO_MANY, "429"},
        {502, BCDA__RETRY, BCDA_ERR_SERVER, "502"},
    };

    check_rows(bcda__answer_plain, rows, COUNT(rows));
}
END_TEST

/* The text that the server sent is kept in err.server, apart from the library's own err.text. */
START_TEST(server_words)
{
    static const struct {
        int status;
        const char *body, *words;
    } rows[] = {
        {400, OUTCOME("structure", "Prefer header is required"), "Prefer header is required"},
        {400, "Bad Request\n", "Bad Request"},
        {403, "<html><h1>Forbidden</h1></html>", ""},
        {403, OUTCOME("forbidden", "V3 access not enabled for this ACO"),
         "V3 access not enabled for this ACO"},
        {404, OUTCOME("not-found", "failed to start job; attribution file not found"),
         "failed to start job; attribution file not found"},
        {429, "", ""},
        {500, OUTCOME("exception", "Database Error"), "Database Error"},
        {503, "Service Unavailable\n", "Service Unavailable"},
    };
    size_t i, j;

    for (i = 0; i < COUNT(rows); i++)
        for (j = 0; j < COUNT(judges); j++) {
            ask(judges[j], rows[i].status, rows[i].body);
            ck_assert_str_eq(err.server, rows[i].words);
            ck_assert(!rows[i].words[0] || !strstr(err.text, rows[i].words));
        }
}
END_TEST

#define SINCE "Invalid date format supplied in _since parameter. "

/* The error texts of bcda-api 4.3, in every shape of OperationOutcome that the server's eras
 * (bcda-api 0.2) have used. */
START_TEST(validation_errors)
{
    static const char *const texts[] = {
        "Accept header is required",
        "application/fhir+json is the only supported response format",
        "Prefer header is required",
        "Only asynchronous responses are supported",
        "Repeated resource type Patient",
        "invalid resource type X. Supported types [Patient Coverage]",
        "Invalid resource type X. Supported types map[Patient:{}]",
        "unauthorized resource type Claim",
        SINCE " Date must be in FHIR Instant format.", /* two spaces */
        SINCE "Date must be a date that has already passed",
        "_outputFormat parameter must be one of [ndjson application/ndjson]",
        "Invalid parameter: this server does not support the _elements parameter.",
        "Invalid parameter: query parameters cannot start with ?",
        "Invalid group ID",
    };
    static const char *const forms[] = {
        /* the first shape is that of era A (bcda-api 0.2), with the text in `diagnostics`; the next
         * two have it in `details`, then one in `diagnostics`, and one in `details` again */
        "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"Error\",\"code\":"
        "\"Structural Issue\",\"details\":{\"coding\":[{\"display\":\"Request "
        "Error\"}],\"text\":\"Request Error\"},\"diagnostics\":\"%s\"}]}",
        "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"error\",\"code\":"
        "\"structure\",\"details\":{\"coding\":[{\"system\":\"http://hl7.org/fhir/ValueSet/"
        "operation-outcome\",\"code\":\"Request Error\",\"display\":\"%s\"}]}}]}",
        "{\"issue\":[{\"code\":\"structure\",\"details\":{\"coding\":[{\"code\":\"Request "
        "Error\",\"display\":\"x\"}],\"text\":\"%s\"},\"severity\":\"error\"}],\"resourceType\":"
        "\"OperationOutcome\"}",
        "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"error\",\"code\":"
        "\"structure\",\"diagnostics\":\"%s\"}]}",
        "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"error\",\"code\":"
        "\"structure\",\"details\":{\"text\":\"%s\"}}]}",
    };
    char body[1000];
    size_t i, j;

    for (i = 0; i < COUNT(texts); i++)
        for (j = 0; j < COUNT(forms); j++) {
            const char *hole = strstr(forms[j], "%s");

            snprintf(body, sizeof body, "%.*s%s%s", (int)(hole - forms[j]), forms[j], texts[i],
                     hole + 2);
            ck_assert_int_eq(ask(bcda__answer_kickoff, 400, body), BCDA__FAIL);
            ck_assert_int_eq(err.code, BCDA_ERR_BAD_REQUEST);
            ck_assert_str_eq(err.server, texts[i]);
        }
}
END_TEST

START_TEST(redirects)
{
    static const struct {
        const char *location, *words;
    } rows[] = {
        {"https://other.example/secret/path?token=SECRET", "https://other.example,"},
        {"https://other.example:8443/SECRET", "https://other.example:8443,"},
        {"http://[::1]:80/SECRET", "http://[::1],"},
        {"/SECRET", "(301), which"},
        {"", "(301), which"},
        {"https://user:SECRET@other.example/", "(301), which"},
    };
    struct bcda__answer a = answer(301, "<a href=\"https://SECRET\">Moved</a>");
    size_t i, j;

    for (i = 0; i < COUNT(rows); i++)
        for (j = 0; j < COUNT(judges); j++) {
            a.location = rows[i].location;
            bcda__err_clear(&err);
            ck_assert_int_eq(judges[j](&a, &err), BCDA__FAIL);
            ck_assert_int_eq(err.code, BCDA_ERR_REDIRECT);
            ck_assert_msg(strstr(err.text, rows[i].words) != NULL, "%s", err.text);
            ck_assert(!strstr(err.text, "SECRET"));
            ck_assert_str_eq(err.server, "");
        }
}
END_TEST

START_TEST(cancel)
{
    static const struct row rows[] = {
        {202, BCDA__OK, 12345, NULL},
        {200, BCDA__OK, 12345, NULL},
        {204, BCDA__OK, 12345, NULL},
        {400, BCDA__FAIL, BCDA_ERR_BAD_REQUEST, "400"},
        {401, BCDA__RENEW, BCDA_ERR_AUTH, "401"},
        {404, BCDA__FAIL, BCDA_ERR_NOT_FOUND, "404"},
        {405, BCDA__FAIL, BCDA_ERR_STATUS, "cannot cancel"},
        {410, BCDA__FAIL, BCDA_ERR_GONE, "ended already"},
        {429, BCDA__RETRY, BCDA_ERR_TOO_MANY, "429"},
        {503, BCDA__RETRY, BCDA_ERR_SERVER, "503"},
    };

    check_rows(bcda__answer_cancel, rows, COUNT(rows));
}
END_TEST

/* A request is retried after any status 5xx but 501 and 505, for which a retry cannot help. */
START_TEST(server_failures)
{
    static const int lasting[] = {501, 505};
    size_t i, j;
    int number;

    for (j = 0; j < COUNT(judges); j++)
        for (number = 502; number < 600;
             number++) { /* 500 is left out: for a status request it is a failed job */
            enum bcda__verdict want = BCDA__RETRY;

            for (i = 0; i < COUNT(lasting); i++)
                if (number == lasting[i])
                    want = BCDA__FAIL;
            ck_assert_msg(ask(judges[j], number, NULL) == want, "judge %zu, %d", j, number);
        }
    for (j = 0; j < COUNT(judges); j++)
        ck_assert_int_eq(ask(judges[j], 501, NULL), BCDA__FAIL);
}
END_TEST

/* Every status from 0 to 999, as the answer to every kind of request, gives a verdict, and an error
 * text of the usual form. */
START_TEST(every_status)
{
    size_t j;
    int number;

    for (j = 0; j < COUNT(judges); j++)
        for (number = 0; number < 1000; number++) {
            enum bcda__verdict v = ask(judges[j], number, NULL);
            size_t len = strlen(err.text);
            char digits[16];

            ck_assert(v >= BCDA__OK && v <= BCDA__FAIL);
            if (v == BCDA__OK || (v == BCDA__WAIT && number != 429)) {
                ck_assert_int_eq(number / 100, 2);
                ck_assert_int_eq(err.code, 12345);
                continue;
            }
            ck_assert_int_le(err.code, -200);
            ck_assert_int_gt(err.code, -300);
            ck_assert_int_eq(err.http_status, number);
            snprintf(digits, sizeof digits, "%d", number);
            ck_assert_msg(strstr(err.text, digits) != NULL, "%s", err.text);
            ck_assert(len > 0 && len < sizeof err.text - 100 && err.text[len - 1] != '.');
            ck_assert(!strstr(err.text, "://"));
            ck_assert(v != BCDA__RETRY || number >= 400);
            ck_assert(v != BCDA__RENEW || number == 401);
        }
}
END_TEST

START_TEST(progress)
{
    static const struct {
        const char *text;
        int percent;
    } rows[] = {
        {"", -1},
        {"Pending", -1},
        {"In Progress", -1},
        {"In Progress (0%)", 0},
        {"In Progress (7%)", 7},
        {"In Progress (42%)", 42},
        {"In Progress (100%)", 100},
        {"In Progress, 80%", 80},
        {"80%", 80},
        {"80 %", 80},
        {"45.75%", 45},
        {"2 of 5 files, 40% done", 40},
        {"10% then 20%", 10},
        {"%", -1},
        {"% 50", -1},
        {"50", -1},
        {"50. %", -1},
        {"(150%)", 100},
        {"99999999999999999999999999%", 100},
        {"000000000000000000000000042%", 42},
        {"%d%s%n", -1},
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++)
        ck_assert_msg(bcda__progress_percent(rows[i].text) == rows[i].percent, "'%s': %d",
                      rows[i].text, bcda__progress_percent(rows[i].text));
}
END_TEST

SUITE("answer")
{
    suite_case("all");
    suite_timeout(120);
    suite_test(oauth_errors, hidden_words, no_token, token, assertion, assertion_refused,
               clock_skew, kickoff, kickoff_location, status, status_words, status_transient, file,
               plain, server_words, validation_errors, redirects, cancel, server_failures,
               every_status, progress);
}
