#include "protocol/token.h"

#include <string.h>

#include "base/text.h"
#include "codec/document.h"
#include "protocol/jwt.h"

/* The maximum lifetime of a token. No token is valid for so long. A larger value is an error or has
 * another unit, so the lifetime is then unknown. The limit also prevents an overflow of
 * milliseconds. */
static const int64_t LIFETIME_MAX_S = INT64_C(100) * 366 * 86400;

int bcda__token_basic(struct bcda__secret *out, const char *id, const char *secret)
{
    static const char scheme[] = "Basic ";
    const size_t scheme_len = sizeof scheme - 1;
    const size_t id_len = strlen(id);
    const size_t secret_len = strlen(secret);
    struct bcda__secret plain = {0};
    struct bcda__secret header = {0};
    int rc;

    rc = bcda__secret_set(&plain, NULL, id_len + 1 + secret_len);
    if (rc)
        goto out;
    memcpy(plain.data, id, id_len);
    plain.data[id_len] = ':';
    memcpy(plain.data + id_len + 1, secret, secret_len);

    rc = bcda__secret_set(&header, NULL, scheme_len + bcda__text_base64_size(plain.len) - 1);
    if (rc)
        goto out;
    memcpy(header.data, scheme, scheme_len);
    bcda__text_base64(plain.data, plain.len, header.data + scheme_len);
    bcda__secret_free(out);
    *out = header;
out:
    bcda__secret_free(&plain);
    return rc;
}

int bcda__token_is_valid(const char *token, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++)
        if ((unsigned char)token[i] <= 0x20 || (unsigned char)token[i] >= 0x7F)
            return 0;
    return len > 0;
}

/* ---- the answer to a token request ---- */

enum member {
    ACCESS_TOKEN,
    EXPIRES_IN,
    TOKEN_TYPE,
    SCOPE,
    MEMBERS,
    DOCUMENT = MEMBERS,
};

static const struct bcda__document_path token_paths[] = {
    {"access_token", ACCESS_TOKEN},
    {"expires_in", EXPIRES_IN},
    {"token_type", TOKEN_TYPE},
    {"scope", SCOPE},
    {"", DOCUMENT},
};

struct reader {
    struct bcda__token token;
    int seen[MEMBERS];
    enum member member;  /* which member is wrong */
    const char *problem; /* what is wrong with it, without its value, which may be the token */
};

static int refuse_token(struct reader *r, enum member member, const char *problem)
{
    r->member = member;
    r->problem = problem;
    return BCDA_ERR_TOKEN;
}

static int on_access_token(struct reader *r, enum bcda__json_event event, const char *text,
                           size_t len)
{
    if (event != BCDA__JSON_STRING)
        return refuse_token(r, ACCESS_TOKEN, "is not a string");
    if (len == 0)
        return refuse_token(r, ACCESS_TOKEN, "is empty");
    if (!bcda__token_is_valid(text, len))
        return refuse_token(r, ACCESS_TOKEN, "holds characters that no token has");
    return bcda__secret_set(&r->token.bearer, text, len);
}

/* Reads expires_in: seconds, as a string or a number (bcda-api 3.2). A fraction is ignored. A wrong
 * value is no reason to refuse the token. The token's lifetime is then unknown, and the token is
 * renewed after a 401. */
static void on_expires_in(struct reader *r, enum bcda__json_event event, const char *text,
                          size_t len)
{
    int64_t seconds;

    if (event != BCDA__JSON_STRING && event != BCDA__JSON_NUMBER)
        return;
    if (bcda__text_to_whole(text, len, &seconds) || seconds < 1 || seconds > LIFETIME_MAX_S)
        return;
    r->token.lifetime_ms = seconds * 1000;
}

static int on_token_type(struct reader *r, enum bcda__json_event event, const char *text,
                         size_t len)
{
    if (event == BCDA__JSON_NULL)
        return 0;
    if (event != BCDA__JSON_STRING || !bcda__text_equal_nocase(text, len, "bearer"))
        return refuse_token(r, TOKEN_TYPE, "is not bearer");
    return 0;
}

/* A scope that cannot be read is no reason to refuse the token, as with expires_in. */
static void on_scope(struct reader *r, enum bcda__json_event event, const char *text, size_t len)
{
    size_t i;

    if (event != BCDA__JSON_STRING || len >= sizeof r->token.scope)
        return;
    for (i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || (unsigned char)text[i] >= 0x7F)
            return;
    memcpy(r->token.scope, text, len);
    r->token.scope[len] = '\0';
    r->token.has_scope = 1;
}

static int token_on_value(void *ctx, int what, enum bcda__json_event event, const char *text,
                          size_t len)
{
    struct reader *r = ctx;

    if (event == BCDA__JSON_OBJECT_END || event == BCDA__JSON_ARRAY_END)
        return 0;
    if (event == BCDA__JSON_KEY) /* refuse a second member: another program might use that one */
        return r->seen[what]++ ? refuse_token(r, (enum member)what, "is there twice") : 0;
    switch ((enum member)what) {
    case ACCESS_TOKEN:
        return on_access_token(r, event, text, len);
    case EXPIRES_IN:
        on_expires_in(r, event, text, len);
        return 0;
    case TOKEN_TYPE:
        return on_token_type(r, event, text, len);
    case SCOPE:
        on_scope(r, event, text, len);
        return 0;
    case DOCUMENT:
        break;
    }
    return event == BCDA__JSON_OBJECT
               ? 0
               : refuse_token(r, ACCESS_TOKEN, "is not there: the answer is no JSON object");
}

static int describe_token_error(const struct reader *r, int rc, struct bcda_error *err)
{
    if (rc == BCDA_ERR_NOMEM)
        return bcda__err_nomem(err);
    if (rc == BCDA_ERR_TOKEN)
        return bcda__err_set(err, rc, "the token answer cannot be used: %s %s",
                             token_paths[r->member].path, r->problem);
    if (rc == BCDA_ERR_BODY_TOO_LARGE)
        return bcda__err_set(err, rc, "the token answer is larger than any token");
    return bcda__err_set(
        err, rc,
        "the token URL answered 200, but not with one JSON document: is the token URL "
        "right?");
}

int bcda__token_parse(struct bcda__token *out, const char *body, size_t len, struct bcda_error *err)
{
    struct reader r = {.token = {.lifetime_ms = -1}};
    int rc = bcda__document_parse(body, len, token_paths,
                                  sizeof token_paths / sizeof token_paths[0], token_on_value, &r);

    if (!rc && !r.seen[ACCESS_TOKEN])
        rc = refuse_token(&r, ACCESS_TOKEN, "is not there");
    if (rc) {
        bcda__token_free(&r.token);
        return describe_token_error(&r, rc, err);
    }
    bcda__token_free(out);
    *out = r.token;
    return 0;
}

void bcda__token_free(struct bcda__token *t)
{
    bcda__secret_free(&t->bearer);
    t->lifetime_ms = -1;
    t->has_scope = 0;
    t->scope[0] = '\0';
}

/* ---- a token that another program has written ---- */

static int is_white(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static int read_plain(struct bcda__token *out, const char *text, size_t len, struct bcda_error *err)
{
    if (len == 0)
        return bcda__err_set(err, BCDA_ERR_TOKEN, "there is no token");
    if (!bcda__token_is_valid(text, len))
        return bcda__err_set(err, BCDA_ERR_TOKEN,
                             "not one token, but text with spaces or other characters that no "
                             "token has");
    return bcda__secret_set(&out->bearer, text, len) ? bcda__err_nomem(err) : 0;
}

static int read_document(struct bcda__token *out, const char *text, size_t len,
                         struct bcda_error *err)
{
    int rc = bcda__token_parse(out, text, len, err);

    return rc == BCDA_ERR_NOT_JSON
               ? bcda__err_set(err, BCDA_ERR_TOKEN, "neither a token nor one JSON document")
               : rc;
}

/* The lifetime of a JWT with the claim "exp"; -1 = unknown. A token that has expired by this
 * machine's clock is still sent: the server decides. */
static int64_t jwt_lifetime(const struct bcda__secret *token, int64_t wall_ms)
{
    int64_t seconds = bcda__jwt_expiry(token->data, token->len);

    return seconds > 0 && seconds > wall_ms / 1000 ? seconds * 1000 - wall_ms : -1;
}

int bcda__token_read(struct bcda__token *out, const char *text, size_t len, int64_t wall_ms,
                     struct bcda_error *err)
{
    struct bcda__token token = {.lifetime_ms = -1};
    int rc;

    while (len && is_white(*text))
        text++, len--;
    while (len && is_white(text[len - 1]))
        len--;
    if (len && *text == '{')
        rc = read_document(&token, text, len, err);
    else
        rc = read_plain(&token, text, len, err);
    if (rc)
        return rc;
    if (token.lifetime_ms < 0)
        token.lifetime_ms = jwt_lifetime(&token.bearer, wall_ms);
    bcda__token_free(out);
    *out = token;
    return 0;
}

/* ---- OAuth errors ---- */

static const char *const oauth_codes[] = {"invalid_request",        "invalid_client",
                                          "invalid_grant",          "unauthorized_client",
                                          "unsupported_grant_type", "invalid_scope"};

enum { REFUSAL_ERROR, REFUSAL_DESCRIPTION };

static const struct bcda__document_path refusal_paths[] = {
    {"error", REFUSAL_ERROR},
    {"error_description", REFUSAL_DESCRIPTION},
};

struct refusal {
    char error[128], description[640];
};

static int refusal_on_value(void *ctx, int what, enum bcda__json_event event, const char *text,
                            size_t len)
{
    struct refusal *r = ctx;
    char *to = what == REFUSAL_ERROR ? r->error : r->description;
    size_t size = what == REFUSAL_ERROR ? sizeof r->error : sizeof r->description;

    if (event == BCDA__JSON_STRING && !to[0])
        bcda__text_print(to, size, "%.*s", len < size ? (int)len : (int)size, text);
    return 0;
}

static int is_word_character(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
           c == '_' || c == '+' || c == '/' || c == '=';
}

/* A server may repeat what it was sent, such as an assertion or a secret. Long words of the
 * characters that these have are replaced by "...". */
static void hide_long_words(char *text)
{
    enum { LONGEST = 39 };
    char *to = text;
    size_t len;

    while (*text) {
        for (len = 0; is_word_character(text[len]);)
            len++;
        if (len > LONGEST) {
            memcpy(to, "...", 3);
            to += 3;
        } else {
            len += !len;
            memmove(to, text, len);
            to += len;
        }
        text += len;
    }
    *to = '\0';
}

const char *bcda__token_describe(struct bcda_error *err, const char *body, size_t len)
{
    struct refusal r = {0};
    char words[sizeof r.error + sizeof r.description];
    size_t i;

    if (bcda__document_parse(body, len, refusal_paths,
                             sizeof refusal_paths / sizeof refusal_paths[0], refusal_on_value,
                             &r) ||
        (!r.error[0] && !r.description[0]))
        return NULL;
    bcda__text_print(words, sizeof words, "%s%s%s", r.error,
                     r.error[0] && r.description[0] ? ": " : "", r.description);
    hide_long_words(words);
    bcda__err_server(err, words, strlen(words));
    for (i = 0; i < sizeof oauth_codes / sizeof oauth_codes[0]; i++)
        if (strcmp(oauth_codes[i], r.error) == 0)
            return oauth_codes[i];
    return "";
}

int64_t bcda__token_renew_at(int64_t now_ms, int64_t lifetime_ms)
{
    int64_t margin = lifetime_ms / 10;
    int64_t at;

    if (lifetime_ms <= 0)
        return INT64_MAX;
    if (margin < 1000)
        margin = 1000;
    if (margin > 60000)
        margin = 60000;
    if (margin > lifetime_ms / 2)
        margin = lifetime_ms / 2;
    return __builtin_add_overflow(now_ms, lifetime_ms - margin, &at) ? INT64_MAX : at;
}
