/* POST /auth/token (bcda-api 3), and the check of bearer tokens (bcda-api 1). */
#include "internal.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void add_claims(struct buf *b, struct sandbox *sb, time_t now, long seconds)
{
    char id[37];

    crypt_uuid(id);
    if (strcmp(sb->era->auth_provider, "alpha") == 0) {
        /* In spring 2019 an overflow set exp years ahead, whatever the true lifetime
         * (bcda-api 3.4). */
        json_fmt(b, "{'aco':'" ACO_UUID "','exp':%L,'iat':%L,'id':'%s'}",
                 (unsigned long long)now + 143342396ull, (unsigned long long)now, id);
        return;
    }
    json_fmt(b,
             "{'cid':'%s','dat':'{\\\"cms_ids\\\":[\\\"A0000\\\"]}','exp':%L,'iat':%L,'iss':'ssas',"
             "'jti':'%s',"
             "'sys':'1','use':'AccessToken'}",
             sb->client_id, (unsigned long long)(now + seconds), (unsigned long long)now, id);
}

char *token_issue(struct sandbox *sb, long seconds)
{
    static const char head[] = "{\"alg\":\"RS512\",\"typ\":\"JWT\"}";
    struct token *t = xcalloc(1, sizeof *t);
    struct buf claims = {0}, text = {0};
    uint8_t signature[256];
    time_t now = sandbox_now(sb);
    long long uses = -1;
    char *copy;

    fault_take(sb, F_TOKEN_USES, NULL, &uses);
    /* The sandbox finds a token by its text, so random bytes serve as the signature. */
    crypt_random(signature, sizeof signature);
    add_claims(&claims, sb, now, seconds);
    crypt_base64url(&text, head, sizeof head - 1);
    buf_str(&text, ".");
    crypt_base64url(&text, claims.p, claims.len);
    buf_str(&text, ".");
    crypt_base64url(&text, signature, sizeof signature);
    buf_free(&claims);
    t->text = text.p;
    t->expires = now + seconds;
    t->uses = uses;
    copy = xstrdup(t->text);
    pthread_mutex_lock(&sb->lock);
    t->next = sb->tokens;
    sb->tokens = t;
    pthread_mutex_unlock(&sb->lock);
    return copy;
}

const char *sandbox_token(const struct sandbox *sb, unsigned index)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&sb->lock;
    const struct token *t;

    pthread_mutex_lock(lock);
    for (t = sb->tokens; t && index; t = t->next)
        index--;
    pthread_mutex_unlock(lock);
    return t ? t->text : NULL;
}

void tokens_free(struct sandbox *sb)
{
    while (sb->tokens) {
        struct token *t = sb->tokens;

        sb->tokens = t->next;
        free(t->text);
        free(t);
    }
}

void sandbox_expire_tokens(struct sandbox *sb)
{
    pthread_mutex_lock(&sb->lock);
    for (struct token *t = sb->tokens; t; t = t->next)
        t->revoked = true;
    pthread_mutex_unlock(&sb->lock);
}

enum token_verdict { TOKEN_GOOD, TOKEN_EXPIRED, TOKEN_UNKNOWN };

/* Counts one use of the token for each request, even if the sandbox checks the request twice. */
static enum token_verdict use(struct request *rq, struct token *t)
{
    if (t->uses > 0 && !rq->token_used)
        t->uses--;
    rq->token_used = true;
    return TOKEN_GOOD;
}

static bool is_over(const struct request *rq, const struct token *t)
{
    return t->revoked || sandbox_now(rq->sb) >= t->expires || (t->uses == 0 && !rq->token_used);
}

static enum token_verdict find_token(struct request *rq, const char *text)
{
    struct sandbox *sb = rq->sb;
    enum token_verdict verdict = TOKEN_UNKNOWN;

    pthread_mutex_lock(&sb->lock);
    for (struct token *t = sb->tokens; t; t = t->next)
        if (strcmp(t->text, text) == 0)
            verdict = is_over(rq, t) ? TOKEN_EXPIRED : use(rq, t);
    pthread_mutex_unlock(&sb->lock);
    return verdict;
}

/* Returns true if the text is a line of the file of --bearer-tokens, which a test may have replaced
 * since the last request. */
static bool file_has_token(const struct sandbox *sb, const char *text)
{
    struct buf b = {0};
    char *rest = NULL;
    bool found = false;

    if (file_read(sb->options.bearer_tokens_file, &b) == 0)
        for (char *line = strtok_r(b.p, "\r\n", &rest); line && !found;
             line = strtok_r(NULL, "\r\n", &rest))
            found = strcmp(line, text) == 0;
    buf_free(&b);
    return found;
}

static enum token_verdict judge_token(struct request *rq, const char *text)
{
    if (rq->sb->auth == AUTH_BEARER)
        return file_has_token(rq->sb, text) ? TOKEN_GOOD : TOKEN_UNKNOWN;
    return find_token(rq, text);
}

/* Returns true if the text has three parts of base64url, as a JWT has. */
static bool looks_like_jwt(const char *s)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    for (int part = 0; part < 3; part++) {
        size_t n = strspn(s, set);

        if (n == 0 || s[n] != (part < 2 ? '.' : '\0'))
            return false;
        s += n + 1;
    }
    return true;
}

bool token_check(struct request *rq, bool required, enum MHD_Result *result)
{
    bool current = rq->sb->era->id == ERA_CURRENT, basic = rq->sb->auth == AUTH_BASIC;
    const char *value = request_header(rq, "Authorization");
    const char *message = NULL;
    unsigned status = 401;

    if (rq->sb->auth == AUTH_NONE || rq->on_files_port)
        return true;
    /* Only the newest server checks the header at an endpoint that requires no token
     * (bcda-api 1). */
    if (!required && (!value || !current))
        return true;
    if (value && strncmp(value, "Bearer ", 7) == 0 && value[7] &&
        !strpbrk(value + 7, " \t\r\n\f\v")) {
        enum token_verdict verdict = judge_token(rq, value + 7);

        if (verdict == TOKEN_GOOD)
            return true;
        if (current && verdict == TOKEN_EXPIRED)
            message = "Expired Token";
        else if (current && basic && !looks_like_jwt(value + 7)) {
            status = 400;
            message = "Request Error";
        }
    }
    if (!basic) /* RFC 6750 3 wants it, but BCDA has it not */
        reply_header(rq, "WWW-Authenticate", value ? "Bearer error=\"invalid_token\"" : "Bearer");
    *result = reply_outcome(rq, status, O_TOKEN, message);
    return false;
}

/* Parses as Go's BasicAuth(): "Basic" in any case, then standard base64 with padding. The first
 * colon of the decoded text ends the id. */
static bool parse_basic(const char *value, char **id, char **secret)
{
    size_t n = value && strncasecmp(value, "Basic ", 6) == 0 ? strlen(value + 6) : 0;
    unsigned char *plain;
    char *colon;
    int len;

    if (n == 0 || n % 4 != 0 || n > 65536)
        return false;
    plain = xcalloc(1, n);
    len = EVP_DecodeBlock(plain, (const unsigned char *)value + 6, (int)n);
    colon = len < 0 ? NULL : strchr((char *)plain, ':');
    if (colon) {
        *colon = '\0';
        *id = xstrdup((char *)plain);
        *secret = xstrdup(colon + 1);
    }
    free(plain);
    return colon != NULL;
}

static bool credentials_good(struct sandbox *sb, const char *id, const char *secret)
{
    return strcmp(id, sb->client_id) == 0 && strcmp(secret, sb->client_secret) == 0;
}

static enum MHD_Result give_token(struct request *rq)
{
    struct sandbox *sb = rq->sb;
    long long seconds = sb->options.token_seconds;
    bool number = fault_take(sb, F_TOKEN_NUMBER_EXPIRES, NULL, NULL);
    struct buf b = {0};
    char *token;

    fault_take(sb, F_TOKEN_SECONDS, NULL, &seconds);
    token = token_issue(sb, (long)seconds);
    if (number)
        json_fmt(&b, "{'access_token': '%s', 'expires_in': %d, 'token_type':'bearer'}", token,
                 (int)seconds);
    else if (fault_take(sb, F_TOKEN_NO_TOKEN, NULL, NULL))
        json_fmt(&b, "{'expires_in': '%d', 'token_type':'bearer'}", (int)seconds);
    else if (sb->era->id == ERA_CURRENT)
        json_fmt(&b, "{'access_token': '%s', 'expires_in': '%d', 'token_type':'bearer'}", token,
                 (int)seconds);
    else
        json_fmt(&b, "{'access_token': '%s','token_type':'bearer'}", token);
    free(token);
    if (fault_take(sb, F_TWO_DOCUMENTS, "token", NULL))
        buf_twice(&b);
    reply_header(rq, "Cache-Control", "no-store");
    reply_header(rq, "Pragma", "no-cache");
    return reply_buf(rq, 200, "application/json", &b);
}

static enum MHD_Result too_many(struct request *rq, long long seconds)
{
    return reply_later(
        rq, 429, seconds,
        ACO_UUID " exceeded the rate limit for /auth/token. Access tokens last 20 minutes; please "
                 "cache and reuse them.");
}

bool token_faults(struct request *rq, enum MHD_Result *result)
{
    long long n;

    if (fault_take(rq->sb, F_TOKEN_HTML, NULL, NULL))
        *result = reply_html(rq, 200);
    else if (fault_take(rq->sb, F_TOKEN_500_ONCE, NULL, NULL))
        *result = reply_text(rq, 500, "Internal Server Error");
    else if (fault_take(rq->sb, F_TOKEN_429, NULL, &n))
        *result = too_many(rq, n);
    else
        return false;
    return true;
}

enum MHD_Result token_endpoint(struct request *rq)
{
    char *id = NULL, *secret = NULL;
    enum MHD_Result result = MHD_NO;

    if (!request_is(rq, "POST"))
        return reply_method(rq);
    rq->sb->counts[C_TOKEN]++;
    if (token_faults(rq, &result))
        return result;
    if (!parse_basic(request_header(rq, "Authorization"), &id, &secret))
        return reply_text(rq, 400, "Bad Request");
    if (credentials_good(rq->sb, id, secret))
        result = give_token(rq);
    else
        result = reply_text(rq, 401, "Unauthorized");
    free(id);
    free(secret);
    return result;
}
