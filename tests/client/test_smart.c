/* SMART Backend Services: a session that signs in with a signing key at a sandbox which demands
 * what the specification demands (SMART App Launch 2.2, "Backend Services"). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../tempdir.h"
#include "certs.h"
#include "client/origin.h"
#include "fixture.h"

static struct fixture fx;
static struct fixture other; /* a second session at the same server */

/* ---- helpers ---- */

/* Parts of the signing keys, and the form with an assertion. No log line and no error text may
 * contain one, or "eyJhbGciOi", with which an assertion begins. */
static char key_parts[4][33];
static const char *const secrets[] = {key_parts[0], key_parts[1],        key_parts[2],
                                      key_parts[3], "client_assertion=", NULL};

/* Keeps a part of a file with a private key: `skip` bytes after `before`. */
static void know_part(int i, const char *path, const char *before, size_t skip)
{
    size_t len;
    char *text = fixture_read(path, &len), *at = strstr(text, before);

    ck_assert_ptr_nonnull(at);
    snprintf(key_parts[i], sizeof key_parts[i], "%s", at + strlen(before) + skip);
    ck_assert_uint_eq(strcspn(key_parts[i], "\n\""), sizeof key_parts[i] - 1);
    free(text);
}

static void know_keys(void)
{
    static const char *const algorithms[] = {"ES384", "RS384"};
    int i;

    for (i = 0; i < 2; i++)
        know_part(i, sandbox_signing_key_file(fx.sandbox, algorithms[i]), "PRIVATE KEY-----\n",
                  32); /* the first line ends with a part of the private value */
    know_part(2, sandbox_signing_jwk_file(fx.sandbox), "\"d\":\"", 0);
    know_part(3, sandbox_signing_jwks_file(fx.sandbox), "\"d\":\"", 0);
    fx.secrets = secrets;
}

/* The sandbox checks times, so the test's clock begins with the true time. */
static void open_smart(const struct sandbox_options *o)
{
    struct sandbox_options all = *o;

    all.auth = "smart";
    if (!all.era)
        all.era = "2021";
    fixture_open_sandbox(&fx, &all);
    fx.now = (int64_t)time(NULL) * 1000;
    know_keys();
    fixture_config(&fx);
}

static void use_key_in(struct fixture *f, const char *algorithm)
{
    ck_assert_ok(bcda_config_set_signing_key_file(
        f->config, sandbox_client_id(fx.sandbox), sandbox_signing_key_file(fx.sandbox, algorithm),
        NULL, sandbox_signing_key_id(fx.sandbox, algorithm)));
}

static void use_key(const char *algorithm)
{
    use_key_in(&fx, algorithm);
}

static void open_with_key(const struct sandbox_options *o)
{
    open_smart(o);
    use_key("ES384");
}

static unsigned counted(const char *what)
{
    return sandbox_count(fx.sandbox, what);
}

static struct run *export_all(void)
{
    return fixture_run(&fx, BY_RESOURCE);
}

/* Returns the text of the error of a job that failed with this code. */
static const char *failed_text(struct run *r, int code)
{
    return bcda_error_text(fixture_check_failed(r, code));
}

#define ck_assert_has(text, word) ck_assert_msg(strstr(text, word) != NULL, "%s", text)

/* ---- keys ---- */

/* _i: a PEM key for ES384, one for RS384, a JWK, and the two keys of a JWKS. The PEM keys also as
 * text. */
START_TEST(signs_in)
{
    static const char *const algorithms[] = {"ES384", "RS384"};
    struct run *r;
    size_t len;
    char *text;

    open_smart(SANDBOX(.files = 2));
    if (_i < 2) {
        use_key(algorithms[_i]);
    } else if (_i == 2) {
        ck_assert_ok(bcda_config_set_signing_key_file(fx.config, sandbox_client_id(fx.sandbox),
                                                      sandbox_signing_jwk_file(fx.sandbox), NULL,
                                                      NULL));
    } else if (_i < 5) {
        ck_assert_ok(bcda_config_set_signing_key_file(
            fx.config, sandbox_client_id(fx.sandbox), sandbox_signing_jwks_file(fx.sandbox), NULL,
            sandbox_signing_key_id(fx.sandbox, algorithms[_i - 3])));
    } else {
        text = fixture_read(sandbox_signing_key_file(fx.sandbox, "RS384"), &len);
        ck_assert_ok(bcda_config_set_signing_key(fx.config, sandbox_client_id(fx.sandbox), text,
                                                 len, NULL,
                                                 sandbox_signing_key_id(fx.sandbox, "RS384")));
        free(text);
    }
    r = export_all();
    fixture_check_export(r);
    ck_assert_uint_eq(counted("discovery"), 1);
    ck_assert_uint_eq(counted("assertions"), 1);
    ck_assert_uint_eq(counted("assertions-refused"), 0);
    ck_assert_str_eq(bcda_session_missing_scope(fx.session), "");
    fixture_close(&fx);
}
END_TEST

/* A key that cannot be used is refused before anything is sent. */
START_TEST(unusable_key)
{
    open_smart(SANDBOX(.files = 1));
    ck_assert_int_eq(bcda_config_set_signing_key_file(
                         fx.config, "me", sandbox_signing_jwks_file(fx.sandbox), NULL, NULL),
                     BCDA_ERR_CONFIG);
    fixture_check_error(&fx, bcda_config_error(fx.config));
    ck_assert_has(bcda_error_text(bcda_config_error(fx.config)),
                  sandbox_signing_key_id(fx.sandbox, "ES384"));
    ck_assert_int_eq(
        bcda_config_set_signing_key_file(fx.config, "me", sandbox_ca_file(fx.sandbox), NULL, NULL),
        BCDA_ERR_KEY_FORMAT);
    fixture_check_error(&fx, bcda_config_error(fx.config));
    ck_assert_int_eq(
        bcda_config_set_signing_key_file(fx.config, "me", "/nonexistent/key", NULL, NULL),
        BCDA_ERR_IO);
    fixture_check_error(&fx, bcda_config_error(fx.config));
    ck_assert_uint_eq(counted("total"), 0);
    fixture_close(&fx);
}
END_TEST

/* ---- where the token URL comes from ---- */

START_TEST(from_capability_statement)
{
    struct run *r;

    open_with_key(SANDBOX(.no_smart_configuration = 1));
    r = export_all();
    fixture_check_export(r);
    ck_assert_uint_eq(counted("discovery"), 1);
    ck_assert_uint_eq(counted("metadata"), 1);
    ck_assert_uint_eq(counted("assertions"), 1);
    fixture_close(&fx);
}
END_TEST

/* _i = 1: there is no configuration either; the token URL is known. */
START_TEST(token_url_is_set)
{
    struct run *r;

    open_with_key(SANDBOX(.no_smart_configuration = _i));
    ck_assert_ok(bcda_config_set_token_url(fx.config, sandbox_token_url(fx.sandbox)));
    r = export_all();
    fixture_check_export(r);
    ck_assert_uint_eq(counted("metadata"), 0);
    ck_assert_uint_eq(counted("assertions"), 1);
    fixture_close(&fx);
}
END_TEST

/* What the configuration lacks, the CapabilityStatement says. A server that announces http for its
 * own https is corrected. If the token URL is set (_i & 1), the announcement is not needed. */
START_TEST(bad_announcement)
{
    static const char *const faults[] = {"smart-configuration-html",
                                         "smart-configuration-no-token-endpoint",
                                         "smart-configuration-500", "smart-configuration-http"};
    struct run *r;

    open_with_key(SANDBOX(.files = 1));
    if (_i % 2)
        ck_assert_ok(bcda_config_set_token_url(fx.config, sandbox_token_url(fx.sandbox)));
    fixture_set(&fx, BCDA_OPT_ATTEMPTS, 2);
    fixture_fault(&fx, faults[_i / 2]);
    r = export_all();
    fixture_check_export(r);
    ck_assert_uint_eq(counted("metadata"), (unsigned)(_i % 2 == 0 && _i / 2 < 3));
    ck_assert_uint_eq(counted("discovery"), _i == 4 ? 2 : 1);
    ck_assert_uint_eq(counted("assertions"), 1);
    fixture_close(&fx);
}
END_TEST

/* The token URL that is set is used, not the announced one. */
START_TEST(other_announcement)
{
    static const char document[] = "{\"token_endpoint\":\"https://elsewhere.invalid/token\"}";
    struct run *r;
    char url[100];

    open_with_key(SANDBOX(.files = 1));
    fx.server = scripted_start(0);
    scripted_reply(fx.server, "smart-configuration", "200 OK", "Content-Type: application/json\r\n",
                   document, sizeof document - 1);
    fixture_reply_two_files(&fx);
    snprintf(url, sizeof url, "%s/auth/token", scripted_origin(fx.server));
    ck_assert_ok(bcda_config_set_fhir_url(fx.config, scripted_origin(fx.server)));
    ck_assert_ok(bcda_config_set_token_url(fx.config, url));
    fixture_set(&fx, BCDA_OPT_ALLOW_HTTP_LOOPBACK, 1);
    r = export_all();
    fixture_check_came(r, 6);
    ck_assert_uint_eq(scripted_count(fx.server, "POST /auth/token"), 1);
    fixture_close(&fx);
}
END_TEST

/* After a refusal, the next job asks the server for its token URL again. */
START_TEST(announced_again)
{
    struct run *r;

    open_with_key(SANDBOX(.files = 1));
    fixture_set(&fx, BCDA_OPT_ATTEMPTS, 1);
    fixture_fault(&fx, "token-500-once");
    r = export_all();
    ck_assert_int_ne(r->result, 0);
    ck_assert_uint_eq(counted("discovery"), 1);
    r = export_all();
    fixture_check_export(r);
    ck_assert_uint_eq(counted("discovery"), 2);
    fixture_close(&fx);
}
END_TEST

/* The server announces no token URL: nothing is signed. */
START_TEST(no_announcement)
{
    struct scripted_server *server = scripted_start(0);
    struct run *r;

    open_with_key(SANDBOX(.files = 1));
    ck_assert_ok(bcda_config_set_fhir_url(fx.config, scripted_origin(server)));
    fixture_set(&fx, BCDA_OPT_ALLOW_HTTP_LOOPBACK, 1);
    r = export_all();
    ck_assert_has(failed_text(r, BCDA_ERR_DISCOVERY), "no token URL is set");
    ck_assert_uint_eq(scripted_count(server, "POST"), 0);
    ck_assert_uint_eq(scripted_count(server, NULL), 2);
    fixture_close(&fx);
    scripted_stop(server);
}
END_TEST

/* A server that is out of order announces nothing: that is the error, and not a missing token URL.
 * With _i = 1, only the configuration cannot be read. */
START_TEST(announcement_fails)
{
    struct scripted_server *server = scripted_start(0);
    struct run *r;

    open_with_key(SANDBOX(.files = 1));
    scripted_text(scripted_on(server, _i ? "smart-configuration" : "GET", 0),
                  "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    ck_assert_ok(bcda_config_set_fhir_url(fx.config, scripted_origin(server)));
    fixture_set(&fx, BCDA_OPT_ALLOW_HTTP_LOOPBACK, 1);
    fixture_set(&fx, BCDA_OPT_ATTEMPTS, 2);
    r = export_all();
    ck_assert_has(failed_text(r, BCDA_ERR_SERVER), _i ? "SMART configuration" : "Statement");
    ck_assert_int_eq(bcda_error_http_status(bcda_job_error(r->job)), 503);
    ck_assert_uint_eq(scripted_count(server, NULL), _i ? 3 : 4);
    fixture_close(&fx);
    scripted_stop(server);
}
END_TEST

/* A server error is temporary: the configuration is requested again. */
START_TEST(announcement_later)
{
    struct run *r;

    open_with_key(SANDBOX(.files = 1));
    fixture_fault(&fx, "smart-configuration-500*2");
    r = export_all();
    fixture_check_export(r);
    ck_assert_uint_eq(counted("discovery"), 3);
    fixture_close(&fx);
}
END_TEST

/* The announced token endpoint has an origin that the application has not allowed. */
START_TEST(token_origin_not_allowed)
{
    static const char document[] = "{\"token_endpoint\":\"https://elsewhere.invalid/token\"}";
    struct scripted_server *server;
    struct run *r;

    open_with_key(SANDBOX(.files = 1));
    server = scripted_start(0);
    scripted_reply(server, "smart-configuration", "200 OK", "Content-Type: application/json\r\n",
                   document, sizeof document - 1);
    ck_assert_ok(bcda_config_set_fhir_url(fx.config, scripted_origin(server)));
    ck_assert_ok(bcda_config_add_allowed_origin(fx.config, sandbox_origin(fx.sandbox)));
    fixture_set(&fx, BCDA_OPT_ALLOW_HTTP_LOOPBACK, 1);
    r = export_all();
    ck_assert_has(failed_text(r, BCDA_ERR_ORIGIN), "elsewhere.invalid");
    ck_assert_uint_eq(scripted_count(server, NULL), 1);
    fixture_close(&fx);
    scripted_stop(server);
}
END_TEST

/* ---- a token cache ---- */

static void choose_cache(char *path, size_t size)
{
    snprintf(path, size, "%s/bcda-cache-%d", tempdir(), (int)getpid());
    unlink(path);
}

/* Two tenants of a server announce their own token URLs: the token of one is not sent to the
 * other. */
START_TEST(two_tenants)
{
    static const char *const tokens[] = {"{\"access_token\":\"one\",\"expires_in\":300}",
                                         "{\"access_token\":\"two\",\"expires_in\":300}"};
    struct scripted_server *server = scripted_start(0);
    char path[300], match[40], url[100], document[200];
    int i;

    choose_cache(path, sizeof path);
    for (i = 0; i < 2; i++) {
        open_smart(SANDBOX(.files = 1));
        ck_assert_ok(bcda_config_set_signing_key_file(
            fx.config, "me", sandbox_signing_key_file(fx.sandbox, "ES384"), NULL, NULL));
        snprintf(match, sizeof match, "/%c/.well-known", 'a' + i);
        snprintf(document, sizeof document, "{\"token_endpoint\":\"%s/%c/token\"}",
                 scripted_origin(server), 'a' + i);
        scripted_reply(server, match, "200 OK", "", document, strlen(document));
        snprintf(match, sizeof match, "POST /%c/token", 'a' + i);
        scripted_reply(server, match, "200 OK", "", tokens[i], strlen(tokens[i]));
        snprintf(url, sizeof url, "%s/%c", scripted_origin(server), 'a' + i);
        ck_assert_ok(bcda_config_set_fhir_url(fx.config, url));
        ck_assert_ok(bcda_config_set_token_cache(fx.config, path));
        fixture_set(&fx, BCDA_OPT_ALLOW_HTTP_LOOPBACK, 1);
        (void)export_all(); /* the server knows no export */
        fixture_close(&fx);
    }
    ck_assert_uint_eq(scripted_count(server, "Bearer one"), 1);
    ck_assert_uint_eq(scripted_count(server, "Bearer two"), 1);
    scripted_stop(server);
    unlink(path);
}
END_TEST

/* ---- refusals ---- */

static void check_refused(struct run *r, int code, const char *word)
{
    const bcda_error *e = fixture_check_failed(r, code);

    ck_assert_has(bcda_error_text(e), word);
    ck_assert_has(bcda_error_text(e), "token request");
    fixture_check_text(&fx, bcda_error_server_text(e));
    ck_assert_uint_eq(counted("kickoff"), 0);
}

START_TEST(unknown_client)
{
    struct run *r;

    open_smart(SANDBOX(.files = 1));
    ck_assert_ok(bcda_config_set_signing_key_file(
        fx.config, "somebody-else", sandbox_signing_key_file(fx.sandbox, "ES384"), NULL,
        sandbox_signing_key_id(fx.sandbox, "ES384")));
    r = export_all();
    check_refused(r, BCDA_ERR_AUTH, "invalid_client");
    ck_assert_has(bcda_error_server_text(bcda_job_error(r->job)), "invalid_client: ");
    fixture_close(&fx);
}
END_TEST

START_TEST(no_key_id)
{
    struct run *r;

    open_smart(SANDBOX(.files = 1));
    ck_assert_ok(bcda_config_set_signing_key_file(fx.config, sandbox_client_id(fx.sandbox),
                                                  sandbox_signing_key_file(fx.sandbox, "ES384"),
                                                  NULL, NULL));
    r = export_all();
    check_refused(r, BCDA_ERR_AUTH, "no key id (kid) is set");
    fixture_close(&fx);
}
END_TEST

/* The error names the algorithm that the server announces. */
START_TEST(other_algorithm)
{
    struct run *r;

    open_with_key(SANDBOX(.token_algorithms = "RS384"));
    r = export_all();
    check_refused(r, BCDA_ERR_AUTH,
                  "the server announces private_key_jwt with RS384, and the key signs with ES384");
    fixture_close(&fx);
}
END_TEST

/* The clock is wrong: the error says in which direction, and by how much. */
START_TEST(wrong_clock)
{
    struct run *r;

    open_with_key(SANDBOX(.clock_skew = _i ? 3600 : -3600));
    r = export_all();
    check_refused(r, BCDA_ERR_AUTH, _i ? "s behind the server's" : "s ahead of the server's");
    fixture_close(&fx);
}
END_TEST

/* A clock that is wrong by a few seconds does not matter. */
START_TEST(nearly_right_clock)
{
    struct run *r;

    open_with_key(SANDBOX(.clock_skew = _i ? 50 : -50));
    r = export_all();
    fixture_check_export(r);
    fixture_close(&fx);
}
END_TEST

START_TEST(refused_scope)
{
    struct run *r;

    open_with_key(SANDBOX(.files = 1));
    ck_assert_ok(bcda_config_set_scope(fx.config, "launch/patient"));
    r = export_all();
    check_refused(r, BCDA_ERR_BAD_REQUEST, "invalid_scope");
    fixture_close(&fx);
}
END_TEST

/* The assertion is sent to the token URL only: a redirect is not followed. */
START_TEST(redirected)
{
    struct run *r;

    open_with_key(SANDBOX(.files = 1));
    fixture_fault(&fx, "token-redirect");
    r = export_all();
    check_refused(r, BCDA_ERR_REDIRECT, "which is not followed");
    ck_assert_uint_eq(counted("token"), 1);
    ck_assert_uint_eq(counted("elsewhere"), 0);
    fixture_close(&fx);
}
END_TEST

/* A server that repeats the assertion in its error: no text contains it. */
START_TEST(echoed)
{
    struct run *r;

    open_with_key(SANDBOX(.files = 1));
    fixture_fault(&fx, "token-echo");
    r = export_all();
    check_refused(r, BCDA_ERR_AUTH, "invalid_client");
    ck_assert_ptr_null(strstr(bcda_error_server_text(bcda_job_error(r->job)), "eyJhbGciOi"));
    fixture_close(&fx);
}
END_TEST

/* ---- scopes ---- */

START_TEST(narrower_grant)
{
    struct run *r;

    open_with_key(SANDBOX(.grant_scope = "system/Patient.rs system/Coverage.read"));
    ck_assert_ok(
        bcda_config_set_scope(fx.config, "system/Patient.read system/ExplanationOfBenefit.rs"));
    r = export_all();
    fixture_check_export(r);
    ck_assert_str_eq(bcda_session_missing_scope(fx.session), "system/ExplanationOfBenefit.rs");
    fixture_close(&fx);
}
END_TEST

/* A session that takes such a token from the cache knows what is missing, too. */
START_TEST(narrower_grant_cached)
{
    struct fixture *both[] = {&fx, &other};
    char path[300];
    int i;

    choose_cache(path, sizeof path);
    open_smart(SANDBOX(.grant_scope = "system/Patient.rs"));
    fixture_init(&other);
    other.sandbox = fx.sandbox;
    other.now = fx.now;
    fixture_config(&other);
    for (i = 0; i < 2; i++) {
        use_key_in(both[i], "ES384");
        ck_assert_ok(bcda_config_set_scope(both[i]->config, "system/Patient.rs system/Group.rs"));
        ck_assert_ok(bcda_config_set_token_cache(both[i]->config, path));
        fixture_check_export(fixture_run(both[i], BY_RESOURCE));
        ck_assert_str_eq(bcda_session_missing_scope(both[i]->session), "system/Group.rs");
    }
    ck_assert_uint_eq(counted("assertions"), 1);
    fixture_free_session(&fx);
    fixture_end(&other);
    fixture_close(&fx);
    unlink(path);
}
END_TEST

START_TEST(default_scope)
{
    struct run *r;

    open_with_key(SANDBOX(.grant_scope = "system/Patient.rs"));
    r = export_all();
    fixture_check_export(r);
    ck_assert_str_eq(bcda_session_missing_scope(fx.session), "system/*.rs");
    fixture_close(&fx);
}
END_TEST

/* ---- renewals ---- */

/* Each token is good for a few requests: each renewal has its own assertion, and the announcement
 * is not requested again. */
START_TEST(renewed)
{
    struct run *r;

    open_with_key(SANDBOX(.files = 8));
    fixture_set(&fx, BCDA_OPT_PARALLEL, 1);
    fixture_fault(&fx, "token-uses:4");
    r = export_all();
    fixture_check_export(r);
    ck_assert_uint_gt(counted("assertions"), 1);
    ck_assert_uint_eq(counted("assertions-refused"), 0);
    ck_assert_uint_eq(counted("discovery"), 1);
    fixture_close(&fx);
}
END_TEST

/* A retry of the token request has a new assertion: the sandbox refuses one that it has seen. */
START_TEST(retried)
{
    static const char *const faults[] = {"token-500-once", "token-429:2", "reset*1@token",
                                         "gateway*2@token"};
    struct run *r;

    open_with_key(SANDBOX(.files = 1));
    fixture_fault(&fx, faults[_i]);
    r = export_all();
    fixture_check_export(r);
    ck_assert_uint_eq(counted("assertions-refused"), 0);
    ck_assert_int_ge(fixture_stat(&fx, BCDA_STAT_RETRIES), 1);
    fixture_close(&fx);
}
END_TEST

/* Returns the assertion of the n-th token request at the scripted server. */
static char *assertion_sent(unsigned n)
{
    char *request, *begin, *copy;
    unsigned i;

    for (i = 0; (request = scripted_request(fx.server, i)); i++) {
        if (strncmp(request, "POST /token ", 12) == 0 && n-- == 0)
            break;
        free(request);
    }
    ck_assert_ptr_nonnull(request);
    begin = strstr(request, "&client_assertion=");
    ck_assert_ptr_nonnull(begin);
    begin[strcspn(begin + 1, "&") + 1] = '\0';
    copy = strdup(begin);
    free(request);
    return copy;
}

/* The server keeps the connection of the announcement open, and then closes it instead of answering
 * the token request. libcurl would repeat a request on such a connection by itself, with the same
 * assertion. */
START_TEST(cut_without_answer)
{
    struct scripted_answer *a;
    char document[200], text[400], *first, *second;
    struct run *r;

    open_with_key(SANDBOX(.files = 1));
    fx.server = scripted_start(0);
    snprintf(document, sizeof document, "{\"token_endpoint\":\"%s/token\"}",
             scripted_origin(fx.server));
    snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(document), document);
    a = scripted_on(fx.server, "smart-configuration", 0);
    scripted_text(a, text);
    scripted_finish(a, SCRIPTED_KEEP);
    (void)scripted_on(fx.server, "POST /token", 1);
    scripted_text(scripted_on(fx.server, "POST /token", 0),
                  "HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n{\"access_token\":\"tok.en\"}");
    fixture_reply_two_files(&fx);
    ck_assert_ok(bcda_config_set_fhir_url(fx.config, scripted_origin(fx.server)));
    fixture_set(&fx, BCDA_OPT_ALLOW_HTTP_LOOPBACK, 1);
    r = export_all();
    fixture_check_came(r, 6);
    ck_assert_uint_eq(scripted_count(fx.server, "POST /token"), 2);
    first = assertion_sent(0);
    second = assertion_sent(1);
    ck_assert_str_ne(first, second);
    free(first);
    free(second);
    fixture_close(&fx);
}
END_TEST

/* ---- the client certificate ---- */

/* The certificate is offered to the FHIR and token URLs, and not to the server of the files; with
 * _i = 1, to the origins that were named, which include that of the files. */
START_TEST(certificate_origins)
{
    struct certificate_options names = {0};
    struct sandbox_options o = {.files = 2, .files_elsewhere = 1};
    struct authority authority;
    struct certificate c;
    struct run *r;

    authority_make(&authority);
    certificate_make(&c, &authority, &names);
    o.client_ca_file = certs_file(authority.pem);
    open_with_key(&o);
    ck_assert_ok(
        bcda_config_set_client_certificate(fx.config, certs_file(c.cert), certs_file(c.key), NULL));
    if (_i) {
        ck_assert_ok(bcda_config_add_certificate_origin(fx.config, sandbox_origin(fx.sandbox)));
        ck_assert_ok(
            bcda_config_add_certificate_origin(fx.config, sandbox_files_origin(fx.sandbox)));
    }
    r = export_all();
    fixture_check_export(r);
    /* a token URL of another origin gets the certificate too, unless origins were named */
    ck_assert_int_eq(bcda__origin_gets_certificate(&fx.session->cx, "https://token.example/x",
                                                   "https://token.example/token"),
                     !_i);
    ck_assert_uint_gt(counted("client-certificates"), 3);
    ck_assert_uint_eq(counted("client-certificates-elsewhere") > 0, (unsigned)_i);
    certificate_free(&c);
    authority_free(&authority);
    fixture_close(&fx);
}
END_TEST

SUITE("smart")
{
    suite_case("keys");
    suite_loop(signs_in, 0, 6);
    suite_test(unusable_key);
    suite_case("discovery");
    suite_test(from_capability_statement);
    suite_loop(token_url_is_set, 0, 2);
    suite_loop(bad_announcement, 0, 8);
    suite_test(no_announcement);
    suite_loop(announcement_fails, 0, 2);
    suite_test(announcement_later);
    suite_test(other_announcement);
    suite_test(announced_again);
    suite_test(token_origin_not_allowed);
    suite_case("cache");
    suite_test(two_tenants);
    suite_case("refused");
    suite_test(unknown_client);
    suite_test(no_key_id);
    suite_test(other_algorithm);
    suite_loop(wrong_clock, 0, 2);
    suite_loop(nearly_right_clock, 0, 2);
    suite_test(refused_scope);
    suite_test(redirected);
    suite_test(echoed);
    suite_case("scope");
    suite_test(narrower_grant);
    suite_test(narrower_grant_cached);
    suite_test(default_scope);
    suite_case("renewal");
    suite_test(renewed);
    suite_loop(retried, 0, 4);
    suite_test(cut_without_answer);
    suite_case("certificate");
    suite_loop(certificate_origins, 0, 2);
}
