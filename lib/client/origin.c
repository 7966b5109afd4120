#include "client/origin.h"

#include <string.h>

#include "client/context.h"

int bcda__origin_check(const bcda_config *c, const char *what, const char *url,
                       struct bcda_error *err)
{
    struct bcda__url u;
    char shown[200];

    bcda__url_show(url, shown, sizeof shown);
    if (bcda__url_parse(url, &u))
        return bcda__err_set(err, BCDA_ERR_URL, "%s: not an absolute URL: %s", what, shown);
    if (u.https ||
        (bcda__option(&c->options, BCDA_OPT_ALLOW_HTTP_LOOPBACK) && bcda__url_is_loopback(&u)))
        return 0;
    return bcda__err_set(err, BCDA_ERR_INSECURE_URL, "%s: http is refused; use https%s", what,
                         shown + strlen("http"));
}

/* ---- rewriting ---- */

/* Returns how many bytes of the path of `u` the rule's path covers, or SIZE_MAX if the rule does
 * not apply. Only whole segments count. */
static size_t prefix_len(const struct bcda__url *rule, const struct bcda__url *u)
{
    size_t len = rule->path_len;

    while (len && rule->path[len - 1] == '/')
        len--;
    if (!bcda__url_same_origin(rule, u) || u->path_len < len ||
        memcmp(rule->path, u->path, len) != 0)
        return SIZE_MAX;
    return u->path_len == len || u->path[len] == '/' ? len : SIZE_MAX;
}

/* Applies the first rewrite rule that fits. `u` was parsed from `url`. */
static int rewrite_url(const bcda_config *c, const char *url, const struct bcda__url *u,
                       struct bcda__buf *out)
{
    struct bcda__url rule;
    size_t i, taken = SIZE_MAX;
    int rc;

    bcda__buf_clear(out);
    for (i = 0; i + 1 < c->rewrites.count && taken == SIZE_MAX; i += 2)
        if (!bcda__url_parse(c->rewrites.at[i], &rule))
            taken = prefix_len(&rule, u);
    if (taken == SIZE_MAX)
        return bcda__buf_adds(out, url);
    rc = bcda__url_add_base(out, c->rewrites.at[i - 1]);
    return rc ? rc : bcda__buf_adds(out, u->path + taken);
}

/* Fills `err` after building a URL has failed. */
static int report_url(int rc, const struct bcda__buf *url, struct bcda_error *err)
{
    if (rc == BCDA_ERR_NOMEM)
        return bcda__err_nomem(err);
    if (rc == BCDA_ERR_BODY_TOO_LARGE)
        return bcda__err_set(err, BCDA_ERR_URL, "the server names a URL longer than %zu bytes",
                             url->max);
    return bcda__err_set(err, rc, "%s", bcda_error_string(rc));
}

/* Parses a URL, rewrites it, and parses the result. */
static int take_in(const struct bcda__context *cx, const char *url, struct bcda__buf *out,
                   struct bcda__url *u, struct bcda_error *err)
{
    int rc;

    if (bcda__url_parse(url, u))
        return bcda__err_set(err, BCDA_ERR_URL,
                             "the server names a URL that is not an absolute http or https URL");
    rc = rewrite_url(cx->config, url, u, out);
    if (!rc)
        rc = bcda__url_parse(out->data, u);
    return rc ? report_url(rc, out, err) : 0;
}

/* ---- the allow-list ---- */

static int has_origin(const struct bcda__texts *origins, const struct bcda__url *u)
{
    struct bcda__url listed;
    size_t i;

    for (i = 0; i < origins->count; i++)
        if (!bcda__url_parse(origins->at[i], &listed) && bcda__url_same_origin(u, &listed))
            return 1;
    return 0;
}

static int is_allowed(const struct bcda__context *cx, const struct bcda__url *u)
{
    return !cx->config->origins.count || bcda__url_same_origin(u, &cx->fhir) ||
           has_origin(&cx->config->origins, u);
}

static int check_named(const struct bcda__context *cx, const char *what, const char *url,
                       const struct bcda__url *u, struct bcda_error *err)
{
    struct bcda__buf origin;
    int rc = bcda__origin_check(cx->config, what, url, err);

    if (rc || is_allowed(cx, u))
        return rc;
    bcda__buf_init(&origin, 1024);
    rc = bcda__url_add_origin(&origin, u);
    if (!rc)
        rc = bcda__err_set(err, BCDA_ERR_ORIGIN,
                           "%s: %s is not allowed; if it belongs to the server, add it to the "
                           "allowed origins",
                           what, origin.data);
    else
        rc = bcda__err_nomem(err);
    bcda__buf_free(&origin);
    return rc;
}

/* ---- URLs that the server names ---- */

int bcda__origin_adopt(const struct bcda__context *cx, const char *url, struct bcda__buf *out,
                       int *same, struct bcda_error *err)
{
    struct bcda__buf adopted;
    struct bcda__url u;
    int rc = take_in(cx, url, out, &u, err);

    if (rc)
        return rc;
    if (!u.https && cx->fhir.https && strcmp(u.host, cx->fhir.host) == 0 &&
        u.is_ipv6 == cx->fhir.is_ipv6) {
        u.https = 1;
        u.port = cx->fhir.port;
    }
    *same = bcda__url_same_origin(&u, &cx->fhir);
    bcda__buf_init(&adopted, 64 * 1024);
    rc = bcda__url_add_origin(&adopted, &u);
    if (!rc)
        rc = bcda__buf_adds(&adopted, u.path);
    if (rc)
        rc = report_url(rc, &adopted, err);
    else
        rc = check_named(cx, "a URL that the server names", adopted.data, &u, err);
    bcda__buf_free(out); /* `u` points into `out`, so this is freed last */
    *out = adopted;
    return rc;
}

int bcda__origin_redirect(const struct bcda__context *cx, const char *url, struct bcda__buf *out,
                          struct bcda_error *err)
{
    struct bcda__url u;
    int rc = take_in(cx, url, out, &u, err);

    return rc ? rc : check_named(cx, "a redirect", out->data, &u, err);
}

/* ---- the client certificate ---- */

int bcda__origin_gets_certificate(const struct bcda__context *cx, const char *url,
                                  const char *token_url)
{
    const struct bcda__texts *named = &cx->config->certificate_origins;
    struct bcda__url u, token;

    if (!cx->config->cert_file || bcda__url_parse(url, &u))
        return 0;
    if (named->count)
        return has_origin(named, &u);
    if (bcda__url_same_origin(&u, &cx->fhir))
        return 1;
    return token_url && !bcda__url_parse(token_url, &token) && bcda__url_same_origin(&u, &token);
}
