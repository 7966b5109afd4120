/* The token endpoint and the discovery document of a SMART server (--auth smart). */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char ASSERTION_TYPE[] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

bool smart_refuse(struct request *rq, unsigned status, const char *error, const char *description)
{
    free(rq->refusal.description);
    rq->refusal = (struct refusal){status, error, xstrdup(description)};
    return false;
}

static bool invalid_request(struct request *rq, const char *description)
{
    return smart_refuse(rq, 400, "invalid_request", description);
}

/* ---- the form ---- */

struct form_field {
    char *name, *value;
};

struct form {
    struct form_field *field;
    size_t count;
};

static void form_free(struct form *f)
{
    for (size_t i = 0; i < f->count; i++) {
        free(f->field[i].name);
        free(f->field[i].value);
    }
    free(f->field);
}

/* Returns the value of a parameter, or NULL. A parameter without a value counts as omitted
 * (RFC 6749 3.2). */
static const char *form_get(const struct form *f, const char *name)
{
    for (size_t i = 0; i < f->count; i++)
        if (strcmp(f->field[i].name, name) == 0)
            return *f->field[i].value ? f->field[i].value : NULL;
    return NULL;
}

static bool has_field(const struct form *f, const char *name)
{
    for (size_t i = 0; i < f->count; i++)
        if (strcmp(f->field[i].name, name) == 0)
            return true;
    return false;
}

/* Decodes one name or value. Returns NULL unless it is as a form writes it: every byte but letters,
 * digits and *-._ is escaped, and a space is a plus sign. */
static char *unescape_strictly(const char *s, size_t n)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789*-._~";
    struct buf b = {0};

    buf_str(&b, "");
    for (size_t i = 0; i < n; i++) {
        const char hex[3] = {i + 1 < n ? s[i + 1] : '\0', i + 2 < n ? s[i + 2] : '\0', '\0'};
        char c = s[i] == '+' ? ' ' : s[i];

        if (s[i] == '%') {
            c = strspn(hex, "0123456789abcdefABCDEF") == 2 ? (char)strtol(hex, NULL, 16) : '\0';
            i += 2;
        } else if (s[i] != '+' && (c == '\0' || !strchr(plain, c))) {
            c = '\0';
        }
        if (c == '\0') {
            buf_free(&b);
            return NULL;
        }
        buf_add(&b, &c, 1);
    }
    return b.p;
}

static bool add_form_field(struct request *rq, struct form *f, const char *s, size_t n)
{
    const char *equals = memchr(s, '=', n);
    size_t len = equals ? (size_t)(equals - s) : n;
    char *name = unescape_strictly(s, len);
    char *value = equals ? unescape_strictly(equals + 1, n - len - 1) : xstrdup("");

    if (name && value && *name && !has_field(f, name)) {
        f->field = xrealloc(f->field, (f->count + 1) * sizeof *f->field);
        f->field[f->count++] = (struct form_field){name, value};
        return true;
    }
    invalid_request(rq, name && value && *name
                            ? "a parameter occurs twice"
                            : "the body is not a form that is escaped correctly");
    free(name);
    free(value);
    return false;
}

static bool read_form(struct request *rq, struct form *f)
{
    const char *s = rq->body.p, *end = s + rq->body.len;

    if (rq->body_too_long)
        return invalid_request(rq, "the body is too long");
    if (rq->body.len == 0)
        return invalid_request(rq, "the body is empty");
    for (;;) {
        const char *stop = memchr(s, '&', (size_t)(end - s));
        size_t n = (size_t)((stop ? stop : end) - s);

        if (!add_form_field(rq, f, s, n))
            return false;
        if (!stop)
            return true;
        s = stop + 1;
    }
}

/* ---- the checks of a request ---- */

/* The media type may have one parameter: charset, with the value UTF-8. */
static bool is_form_type(const char *value)
{
    static const char type[] = "application/x-www-form-urlencoded";
    size_t n = sizeof type - 1;

    if (!value || strncasecmp(value, type, n) != 0)
        return false;
    value += n + strspn(value + n, " ");
    if (*value == '\0')
        return true;
    if (*value++ != ';')
        return false;
    return strcasecmp(value + strspn(value, " "), "charset=utf-8") == 0;
}

static bool check_token_request(struct request *rq)
{
    if (!request_is(rq, "POST"))
        return smart_refuse(rq, 405, "invalid_request", "the method is not POST");
    if (!is_form_type(request_header(rq, "Content-Type")))
        return invalid_request(rq, "the Content-Type is not application/x-www-form-urlencoded");
    return !rq->query || invalid_request(rq, "the URL has a query: parameters belong to the body");
}

static bool check_grant_type(struct request *rq, const struct form *f)
{
    const char *type = form_get(f, "grant_type");

    if (!type)
        return invalid_request(rq, "grant_type is missing");
    return strcmp(type, "client_credentials") == 0 ||
           smart_refuse(rq, 400, "unsupported_grant_type", "grant_type is not client_credentials");
}

/* Of a client that used the Authorization header, RFC 6749 5.2 wants the status 401. */
static bool check_header_absent(struct request *rq, const struct form *f)
{
    if (!request_header(rq, "Authorization"))
        return true;
    if (form_get(f, "client_assertion"))
        return invalid_request(rq, "there is an Authorization header beside the assertion");
    return smart_refuse(rq, 401, "invalid_client",
                        "a client signs in by an assertion, not by an Authorization header");
}

static bool check_client(struct request *rq, const struct form *f)
{
    const char *type = form_get(f, "client_assertion_type"), *id = form_get(f, "client_id");
    const char *assertion = form_get(f, "client_assertion");

    if (!check_header_absent(rq, f))
        return false;
    if (form_get(f, "client_secret"))
        return assertion ? invalid_request(rq, "there is a client_secret beside the assertion")
                         : smart_refuse(rq, 400, "invalid_client",
                                        "a client signs in by an assertion, not by a secret");
    if (!type && !assertion)
        return smart_refuse(rq, 400, "invalid_client",
                            "the request does not authenticate a client");
    if (!type)
        return invalid_request(rq, "client_assertion_type is missing");
    if (!assertion)
        return invalid_request(rq, "client_assertion is missing");
    if (strcmp(type, ASSERTION_TYPE) != 0)
        return smart_refuse(rq, 400, "invalid_client",
                            "client_assertion_type is not that of a JWT");
    if (id && strcmp(id, rq->sb->client_id) != 0)
        return smart_refuse(rq, 400, "invalid_client", "client_id is not the client's");
    return assertion_check(rq, assertion);
}

/* ---- scopes ---- */

static bool type_known(struct sandbox *sb, const char *type)
{
    static const char *const always[] = {"*", "Group", "OperationOutcome"};

    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        if (strcmp(type, always[i]) == 0)
            return true;
    for (int version = 1; version <= sb->era->versions; version++)
        for (const char *const *t = era_types(sb->era, version); *t; t++)
            if (strcmp(type, *t) == 0)
                return true;
    return sources_have_type(sb, type);
}

/* Returns true for system/TYPE.read, and for .r, .s and .rs of SMART 2. */
static bool scope_known(struct sandbox *sb, const char *scope, size_t n)
{
    static const char *const permissions[] = {"read", "rs", "r", "s"};
    const char *dot = memchr(scope, '.', n);
    size_t len = dot ? (size_t)(scope + n - dot - 1) : 0;
    char *type;
    bool known = false;

    if (n < 8 || memcmp(scope, "system/", 7) != 0 || !dot)
        return false;
    type = xstrndup(scope + 7, (size_t)(dot - scope) - 7);
    for (size_t i = 0; i < sizeof permissions / sizeof *permissions && !known; i++)
        known = strlen(permissions[i]) == len && memcmp(dot + 1, permissions[i], len) == 0;
    known = known && type_known(sb, type);
    free(type);
    return known;
}

static bool check_scope(struct request *rq, const struct form *f)
{
    const char *scope = form_get(f, "scope"), *granted = rq->sb->options.grant_scope;

    if (!scope)
        return smart_refuse(rq, 400, "invalid_scope", "scope is missing");
    for (const char *s = granted ? "" : scope; *s; s += *s == ' ') {
        size_t n = strcspn(s, " ");

        if (!scope_known(rq->sb, s, n) || (s[n] == ' ' && s[n + 1] == '\0'))
            return smart_refuse(rq, 400, "invalid_scope",
                                "a scope is unknown, or not one that this client may have");
        s += n;
    }
    rq->scope = xstrdup(granted ? granted : scope);
    return true;
}

/* Counts an assertion that came to another origin than the token endpoint's. */
static void count_elsewhere(struct request *rq, const struct form *f)
{
    char *origin = request_origin(rq);

    if (strcmp(origin, rq->sb->origin) != 0 && form_get(f, "client_assertion") &&
        !request_header(rq, "Authorization"))
        rq->sb->counts[C_ELSEWHERE]++;
    free(origin);
}

/* Keeps the assertion for the fault token-echo. */
static void keep_assertion(struct request *rq, const struct form *f)
{
    const char *assertion = form_get(f, "client_assertion");

    rq->assertion = assertion ? xstrdup(assertion) : NULL;
}

void smart_judge(struct request *rq)
{
    struct form f = {0};
    bool accepted = check_token_request(rq) && read_form(rq, &f);

    count_elsewhere(rq, &f);
    keep_assertion(rq, &f);
    accepted = accepted && check_grant_type(rq, &f) && check_client(rq, &f);
    rq->sb->counts[accepted ? C_ASSERTIONS : C_ASSERTIONS_REFUSED]++;
    if (accepted)
        check_scope(rq, &f);
    form_free(&f);
}

/* ---- answers ---- */

static enum MHD_Result reply_oauth_error(struct request *rq, unsigned status, const char *error,
                                         const char *description)
{
    struct buf b = {0};

    if (status == 401) /* the scheme that the client used, RFC 6749 5.2 */
        reply_header(rq, "WWW-Authenticate",
                     strncasecmp(request_header(rq, "Authorization"), "Basic", 5) == 0
                         ? "Basic realm=\"token\""
                         : "Bearer");
    if (status == 405)
        reply_header(rq, "Allow", "POST");
    json_fmt(&b, "{'error':'%s','error_description':'%s'}", error, description);
    reply_header(rq, "Cache-Control", "no-store");
    reply_header(rq, "Pragma", "no-cache");
    return reply_buf(rq, status, "application/json", &b);
}

static enum MHD_Result reply_token(struct request *rq)
{
    struct sandbox *sb = rq->sb;
    long long seconds = sb->options.token_seconds;
    struct buf b = {0};
    char *token;

    fault_take(sb, F_TOKEN_SECONDS, NULL, &seconds);
    token = token_issue(sb, (long)seconds);
    buf_str(&b, "{");
    if (!fault_take(sb, F_TOKEN_NO_TOKEN, NULL, NULL))
        json_fmt(&b, "'access_token':'%s',", token);
    json_fmt(&b, "'token_type':'bearer','expires_in':%d,'scope':'%s'}", (int)seconds, rq->scope);
    free(token);
    if (fault_take(sb, F_TWO_DOCUMENTS, "token", NULL))
        buf_twice(&b);
    reply_header(rq, "Cache-Control", "no-store");
    reply_header(rq, "Pragma", "no-cache");
    return reply_buf(rq, 200, "application/json", &b);
}

static enum MHD_Result reply_echo(struct request *rq)
{
    char *text = xasprintf("the assertion %s is not valid", rq->assertion ? rq->assertion : "");
    enum MHD_Result result = reply_oauth_error(rq, 400, "invalid_client", text);

    free(text);
    return result;
}

/* Redirects to the other origin, which does not redirect back. */
static bool redirect_token(struct request *rq, enum MHD_Result *result)
{
    char *origin = request_origin(rq), *other = other_origin(rq->sb->origin), *url;
    bool taken =
        strcmp(origin, rq->sb->origin) == 0 && fault_take(rq->sb, F_TOKEN_REDIRECT, NULL, NULL);

    if (taken) {
        url = xasprintf("%s%s", other, rq->target);
        reply_header(rq, "Location", url);
        free(url);
        *result = reply_empty(rq, 307);
    }
    free(origin);
    free(other);
    return taken;
}

enum MHD_Result smart_token_endpoint(struct request *rq)
{
    struct sandbox *sb = rq->sb;
    enum MHD_Result result = MHD_NO;

    sb->counts[C_TOKEN]++;
    if (token_faults(rq, &result) || redirect_token(rq, &result))
        return result;
    if (fault_take(sb, F_TOKEN_ECHO, NULL, NULL))
        return reply_echo(rq);
    if (rq->refusal.error)
        return reply_oauth_error(rq, rq->refusal.status, rq->refusal.error,
                                 rq->refusal.description);
    if (fault_take(sb, F_TOKEN_INVALID_CLIENT, NULL, NULL))
        return reply_oauth_error(rq, 400, "invalid_client", "the client is not registered");
    if (fault_take(sb, F_TOKEN_INVALID_SCOPE, NULL, NULL))
        return reply_oauth_error(rq, 400, "invalid_scope",
                                 "the client may have none of the scopes");
    return reply_token(rq);
}

/* ---- discovery ---- */

static void write_algorithms(struct buf *b, const char *list)
{
    for (const char *s = list; *s; s += *s == ',') {
        size_t n = strcspn(s, ",");

        buf_printf(b, "%s\"%.*s\"", s == list ? "" : ",", (int)n, s);
        s += n;
    }
}

static void write_token_endpoint(struct buf *b, struct sandbox *sb)
{
    if (fault_take(sb, F_SMART_NO_TOKEN_ENDPOINT, NULL, NULL))
        return;
    if (fault_take(sb, F_SMART_HTTP, NULL, NULL))
        json_fmt(b, "'token_endpoint':'http%s',", strstr(sb->token_url, "://"));
    else
        json_fmt(b, "'token_endpoint':'%s',", sb->token_url);
}

enum MHD_Result smart_configuration(struct request *rq)
{
    struct sandbox *sb = rq->sb;
    struct buf b = {0};

    if (fault_take(sb, F_SMART_500, NULL, NULL))
        return reply_text(rq, 500, "Internal Server Error");
    if (fault_take(sb, F_SMART_HTML, NULL, NULL))
        return reply_html(rq, 200);
    if (sb->options.no_smart_configuration)
        return reply_not_found(rq);
    buf_str(&b, "{");
    write_token_endpoint(&b, sb);
    json_fmt(&b, "'token_endpoint_auth_methods_supported':['private_key_jwt'],"
                 "'token_endpoint_auth_signing_alg_values_supported':[");
    write_algorithms(&b, sb->options.token_algorithms);
    json_fmt(&b, "],'grant_types_supported':['client_credentials'],"
                 "'scopes_supported':['system/*.read','system/*.rs'],"
                 "'capabilities':['client-confidential-asymmetric','permission-v1',"
                 "'permission-v2'],'code_challenge_methods_supported':['S256']}");
    return reply_buf(rq, 200, "application/json", &b);
}
