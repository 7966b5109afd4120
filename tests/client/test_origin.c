/* URLs that a server names: rewritten by the application's rules, and requested only where the
 * application allows it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

static struct fixture fx;
static struct scripted_server *other; /* counts as another host: its port differs */

static void stop_other(void)
{
    scripted_stop(other);
    other = NULL;
}

static void begin(void)
{
    fixture_open_scripted(&fx, 0);
    other = scripted_start(0);
    ck_assert_ptr_nonnull(other);
    atexit(stop_other);
}

static void reply_line(struct scripted_server *s, const char *match)
{
    static const char line[] = "{\"resourceType\":\"Patient\",\"id\":\"p0\"}\n";

    scripted_reply(s, match, "200 OK", "", line, sizeof line - 1);
}

/* Scripts the answers to the token, kick-off and status requests. `self` is the origin in the
 * status URL, `file` the URL of the only data file. */
static void reply_export(const char *self, const char *file)
{
    static const char token[] = "{\"access_token\":\"tok.en\",\"token_type\":\"bearer\"}";
    struct buf b = {0};

    scripted_reply(fx.server, "/auth/token", "200 OK", "", token, sizeof token - 1);
    buf_printf(&b, "Content-Location: %s/api/v1/jobs/1\r\n", self);
    scripted_reply(fx.server, "$export", "202 Accepted", b.p, "", 0);
    buf_free(&b);
    memset(&b, 0, sizeof b);
    buf_printf(&b,
               "{\"transactionTime\":\"2020-01-01T00:00:00Z\",\"requiresAccessToken\":true,"
               "\"output\":[{\"type\":\"Patient\",\"url\":\"%s\"}],\"error\":[]}",
               file);
    scripted_reply(fx.server, "/jobs/1", "200 OK", "", b.p, b.len);
    buf_free(&b);
}

static struct run *go(void)
{
    return fixture_run(&fx, BY_RESOURCE);
}

static void end(void)
{
    fixture_close(&fx);
    stop_other();
}

static void check_one(const struct run *r)
{
    fixture_check_came(r, 1);
}

/* ---- rewriting ---- */

/* A server behind a proxy: its URLs have an internal host name and, in the last row, a path prefix
 * of its own. */
START_TEST(rewritten)
{
    static const struct {
        const char *self, *file, *from;
        const char *to; /* appended to the server's real origin */
    } rows[] = {
        {"https://bcda.internal:8443", "https://bcda.internal:8443/data/a.ndjson",
         "https://bcda.internal:8443", ""},
        {"https://bcda.internal:8443", "https://bcda.internal:8443/data/a.ndjson",
         "https://bcda.internal:8443/", "/"},
        {"https://bcda.internal:8443", "https://BCDA.internal:8443/data/a.ndjson?x=1",
         "https://bcda.internal:8443", "/"},
        {"http://inner/deep", "http://inner/deep/data/a.ndjson", "http://inner/deep/", ""},
    };
    struct run *r;
    char to[128];

    begin();
    reply_line(fx.server, "/data/a");
    reply_export(rows[_i].self, rows[_i].file);
    fixture_config(&fx);
    snprintf(to, sizeof to, "%s%s", scripted_origin(fx.server), rows[_i].to);
    ck_assert_ok(bcda_config_add_url_rewrite(fx.config, rows[_i].from, to));
    r = go();
    check_one(r);
    ck_assert_uint_eq(scripted_count(fx.server, "Authorization: Bearer tok.en"), 3);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /api/v1/jobs/1"), 1);
    ck_assert_uint_eq(scripted_count(fx.server, "GET //"), 0);
    end();
}
END_TEST

/* Rules that match no URL: a prefix must end where a path segment ends, and the case of a path
 * counts. */
START_TEST(rules_that_do_not_fit)
{
    char file[128], to[128];
    struct run *r;

    begin();
    reply_line(fx.server, "/data/a");
    snprintf(file, sizeof file, "%s/database/a.ndjson", scripted_origin(other));
    reply_line(other, "/database/a");
    reply_export(scripted_origin(fx.server), file);
    fixture_config(&fx);
    snprintf(to, sizeof to, "%s/data", scripted_origin(other));
    ck_assert_ok(bcda_config_add_url_rewrite(fx.config, to, "https://wrong.invalid"));
    snprintf(to, sizeof to, "%s/DATABASE", scripted_origin(other));
    ck_assert_ok(bcda_config_add_url_rewrite(fx.config, to, "https://wrong.invalid"));
    r = go();
    check_one(r);
    ck_assert_uint_eq(scripted_count(other, "Authorization"), 0);
    end();
}
END_TEST

/* A URL that is rewritten to another host is requested without the token. */
START_TEST(rewritten_to_another_host)
{
    char file[128], from[128];
    struct run *r;

    begin();
    reply_line(other, "/mirror/a");
    snprintf(file, sizeof file, "%s/data/a.ndjson", scripted_origin(fx.server));
    reply_export(scripted_origin(fx.server), file);
    fixture_config(&fx);
    snprintf(from, sizeof from, "%s/data", scripted_origin(fx.server));
    snprintf(file, sizeof file, "%s/mirror/", scripted_origin(other));
    ck_assert_ok(bcda_config_add_url_rewrite(fx.config, from, file));
    r = go();
    check_one(r);
    ck_assert_uint_eq(scripted_count(other, NULL), 1);
    ck_assert_uint_eq(scripted_count(other, "uthorization"), 0);
    end();
}
END_TEST

/* The target of a redirect is rewritten, too. */
START_TEST(rewritten_redirect)
{
    char file[128];
    struct run *r;

    begin();
    scripted_reply(fx.server, "/data/a", "302 Found", "Location: https://inner.invalid/real/a\r\n",
                   "", 0);
    reply_line(fx.server, "/real/a");
    snprintf(file, sizeof file, "%s/data/a.ndjson", scripted_origin(fx.server));
    reply_export(scripted_origin(fx.server), file);
    fixture_config(&fx);
    ck_assert_ok(bcda_config_add_url_rewrite(fx.config, "https://inner.invalid",
                                             scripted_origin(fx.server)));
    r = go();
    check_one(r);
    end();
}
END_TEST

START_TEST(bad_rules)
{
    static const char *const bad[][2] = {
        {"", "https://a"},
        {"https://a", ""},
        {"/data", "https://a"},
        {"https://a?x", "https://b"},
        {"https://a", "https://b?x"},
        {"https://u@a", "https://b"},
        {"ftp://a", "https://b"},
    };
    static const char *const origins[] = {
        "", "a", "//a", "https://a/b", "https://a?x", "https://u@a", "ftp://a"};
    bcda_config *config;
    bcda_session *s;
    size_t i;

    ck_assert_ok(bcda_config_new(&config));
    for (i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(bcda_config_add_url_rewrite(config, bad[i][0], bad[i][1]), BCDA_ERR_URL);
    for (i = 0; i < sizeof origins / sizeof *origins; i++)
        ck_assert_int_eq(bcda_config_add_allowed_origin(config, origins[i]), BCDA_ERR_URL);
    ck_assert_int_eq(bcda_config_add_url_rewrite(config, NULL, "https://a"), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_config_add_url_rewrite(config, "https://a", NULL), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_config_add_url_rewrite(NULL, "https://a", "https://b"), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_config_add_allowed_origin(config, NULL), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_config_add_allowed_origin(NULL, "https://a"), BCDA_ERR_INVALID);
    ck_assert_ok(bcda_config_add_allowed_origin(config, "https://a:8443/"));
    /* a rewrite to http is refused only when the session is made */
    ck_assert_ok(bcda_config_set_fhir_url(config, "https://a/api"));
    ck_assert_ok(bcda_config_set_bearer_token(config, "tok.en"));
    ck_assert_ok(bcda_config_add_url_rewrite(config, "https://a", "http://b"));
    ck_assert_int_eq(bcda_session_new(&s, config), BCDA_ERR_INSECURE_URL);
    bcda_config_free(config);
}
END_TEST

/* ---- allowed origins ---- */

/* _i: 0 = no origin is listed as allowed, 1 = the other host and a third one are listed, 2 = only
 * the third one is listed, 3 = as 2, but the file is redirected to the other host. */
START_TEST(allowed)
{
    struct run *r;
    const bcda_error *e;
    char file[128], headers[160];
    int refused = _i >= 2;

    begin();
    reply_line(other, "/data/a");
    snprintf(file, sizeof file, "%s/data/a.ndjson", scripted_origin(_i == 3 ? fx.server : other));
    snprintf(headers, sizeof headers, "Location: %s/data/a\r\n", scripted_origin(other));
    scripted_reply(fx.server, "/data/a", "302 Found", headers, "", 0);
    reply_export(scripted_origin(fx.server), file);
    fixture_config(&fx);
    if (_i == 1)
        ck_assert_ok(bcda_config_add_allowed_origin(fx.config, scripted_origin(other)));
    if (_i > 0)
        ck_assert_ok(bcda_config_add_allowed_origin(fx.config, "https://third.example"));
    r = go();
    ck_assert_uint_eq(scripted_connections(other), !refused);
    if (refused) {
        e = fixture_check_failed(r, BCDA_ERR_ORIGIN);
        ck_assert_ptr_nonnull(strstr(bcda_error_text(e), scripted_origin(other)));
        ck_assert_ptr_nonnull(strstr(bcda_error_text(e), "the allowed origins"));
        ck_assert_int_eq(bcda_error_is_retryable(e), 0);
    } else {
        check_one(r);
    }
    end();
}
END_TEST

/* ---- http ---- */

/* http URLs of other machines are refused even with BCDA_OPT_ALLOW_HTTP_LOOPBACK. */
START_TEST(http_elsewhere)
{
    static const char *const urls[] = {"http://192.0.2.1/api/v1", "http://localhost.example/api/v1",
                                       "http://127.0.0.1.example/api/v1"};
    bcda_config *config;
    bcda_session *s;

    ck_assert_ok(bcda_config_new(&config));
    ck_assert_ok(bcda_config_set_int(config, BCDA_OPT_ALLOW_HTTP_LOOPBACK, 1));
    ck_assert_ok(bcda_config_set_fhir_url(config, urls[_i]));
    ck_assert_ok(bcda_config_set_bearer_token(config, "tok.en"));
    ck_assert_int_eq(bcda_session_new(&s, config), BCDA_ERR_INSECURE_URL);
    bcda_config_free(config);
}
END_TEST

/* http URLs that an https server names on its own host are requested over https. http URLs of
 * another host stay as they are, and are refused. */
START_TEST(http_named)
{
    char file[128];
    struct run *r;

    fixture_open_scripted(&fx, 1);
    reply_line(fx.server, "/data/a");
    snprintf(file, sizeof file, "http://%s/data/a.ndjson", _i ? "192.0.2.1" : "127.0.0.1");
    reply_export(scripted_origin(fx.server), file);
    r = go();
    if (_i)
        (void)fixture_check_failed(r, BCDA_ERR_INSECURE_URL);
    else
        check_one(r);
    fixture_close(&fx);
}
END_TEST

SUITE("origin")
{
    suite_case("origin");
    suite_loop(rewritten, 0, 4);
    suite_test(rules_that_do_not_fit);
    suite_test(rewritten_to_another_host);
    suite_test(rewritten_redirect);
    suite_test(bad_rules);
    suite_loop(allowed, 0, 4);
    suite_loop(http_elsewhere, 0, 3);
    suite_loop(http_named, 0, 2);
}
