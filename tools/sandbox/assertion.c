/* The check of a client assertion (RFC 7523) by the rules of SMART Backend Services. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    LATEST_EXP = 300, /* seconds that exp may be ahead */
    CLOCK_SLACK = 60  /* seconds that iat and nbf may be ahead */
};

struct assertion {
    struct request *rq;
    const char *text;
    size_t signed_len; /* of the first two parts with the dot between them */
    struct buf part[3];
    struct json *head, *claims;
    const struct client_key *key;
    int alg;
};

static bool not_valid(struct assertion *a, const char *description)
{
    return smart_refuse(a->rq, 400, "invalid_client", description);
}

static bool split_assertion(struct assertion *a)
{
    const char *s = a->text;

    for (int i = 0; i < 3; i++) {
        size_t n = strcspn(s, ".");

        if ((s[n] == '.') != (i < 2))
            return not_valid(a, "the assertion has not three parts");
        if (!crypt_unbase64url(&a->part[i], s, n))
            return not_valid(a, "a part of the assertion is not base64url without padding");
        if (i == 1)
            a->signed_len = (size_t)(s + n - a->text);
        s += n + 1;
    }
    return true;
}

static bool read_parts(struct assertion *a)
{
    a->head = json_parse(a->part[0].p, a->part[0].len);
    if (!a->head || a->head->kind != JSON_OBJECT)
        return not_valid(a, "the header of the assertion is not a JSON object");
    a->claims = json_parse(a->part[1].p, a->part[1].len);
    if (!a->claims || a->claims->kind != JSON_OBJECT)
        return not_valid(a, "the claims of the assertion are not a JSON object");
    return true;
}

/* Returns true if the comma-separated list of --token-algorithms has this name. */
static bool is_announced(const struct sandbox *sb, const char *name)
{
    size_t n = strlen(name);

    for (const char *s = sb->options.token_algorithms; *s; s += *s == ',') {
        size_t len = strcspn(s, ",");

        if (len == n && memcmp(s, name, n) == 0)
            return true;
        s += len;
    }
    return false;
}

static bool check_alg(struct assertion *a)
{
    const char *name = json_string(a->head, "alg");
    char *refused, *text;
    bool good;

    a->alg = signing_find(name);
    if (a->alg < 0)
        return not_valid(a, "the alg of the header is neither RS384 nor ES384");
    if (!is_announced(a->rq->sb, name))
        return not_valid(a, "the alg of the header is not accepted by this server");
    refused = fault_take_text(a->rq->sb, F_TOKEN_REFUSE_ALG, NULL);
    good = !refused || strcmp(refused, name) != 0;
    free(refused);
    if (good)
        return true;
    text = xasprintf("the algorithm %s is not accepted from this client, it must sign with %s",
                     name, signing_name(a->alg == ES384 ? RS384 : ES384));
    not_valid(a, text);
    free(text);
    return false;
}

static bool check_header(struct assertion *a)
{
    const char *type = json_string(a->head, "typ");

    if (!check_alg(a))
        return false;
    if (!type || strcmp(type, "JWT") != 0)
        return not_valid(a, "the typ of the header is not JWT");
    if (json_member(a->head, "crit"))
        return not_valid(a, "the header has crit, and no extension is known here");
    if (json_member(a->head, "jku"))
        return not_valid(a, "the header has jku, and this client registered no such URL");
    return true;
}

/* Without a kid, the key must be the only one of its kind. */
static bool choose_only_key(struct assertion *a)
{
    unsigned count = 0;

    if (!a->rq->sb->options.kid_optional)
        return not_valid(a, "the header has no kid");
    for (const struct client_key *k = a->rq->sb->client_keys; k; k = k->next)
        if ((int)k->alg == a->alg) {
            a->key = k;
            count++;
        }
    return count == 1 || not_valid(a, "the header has no kid, and not exactly one key fits");
}

static bool choose_key(struct assertion *a)
{
    const struct json *kid = json_member(a->head, "kid");
    bool known = false;

    if (!kid)
        return choose_only_key(a);
    if (kid->kind != JSON_STRING)
        return not_valid(a, "the kid of the header is not a string");
    for (const struct client_key *k = a->rq->sb->client_keys; k; k = k->next)
        if (k->kid && strcmp(k->kid, kid->text) == 0) {
            known = true;
            if ((int)k->alg == a->alg)
                a->key = k;
        }
    if (!known)
        return not_valid(a, "the kid of the header is unknown");
    return a->key || not_valid(a, "the key of this kid is not one for the alg of the header");
}

static bool check_signature(struct assertion *a)
{
    if (!signing_size_valid(a->key, &a->part[2]))
        return not_valid(a, a->alg == ES384 ? "the signature is not r and s of 48 bytes each"
                                            : "the signature has not the size of the key");
    return signing_verify(a->key, a->text, a->signed_len, &a->part[2]) ||
           not_valid(a, "the signature is wrong");
}

static bool claim_equals(const struct assertion *a, const char *name, const char *value)
{
    const char *text = json_string(a->claims, name);

    return text && strcmp(text, value) == 0;
}

static bool check_parties(struct assertion *a)
{
    const struct sandbox *sb = a->rq->sb;

    if (!claim_equals(a, "iss", sb->client_id))
        return not_valid(a, "the iss is not the id of a client");
    if (!claim_equals(a, "sub", sb->client_id))
        return not_valid(a, "the sub is not the iss");
    return claim_equals(a, "aud", sb->token_url) ||
           not_valid(a, "the aud is not the URL of the token endpoint");
}

/* Reads a claim that is a time. Returns false if it is not an integer, as in JSON 1.5 or 1e9. */
static bool read_time(const struct json *claim, long long *out)
{
    char *end;

    if (claim->kind != JSON_NUMBER)
        return false;
    errno = 0;
    *out = strtoll(claim->text, &end, 10);
    return *end == '\0' && errno == 0;
}

static bool check_not_ahead(struct assertion *a, const char *name, long long now)
{
    const struct json *claim = json_member(a->claims, name);
    char *text = NULL;
    long long at;

    if (claim && !read_time(claim, &at))
        text = xasprintf("the %s is not an integer", name);
    else if (claim && at > now + CLOCK_SLACK)
        text = xasprintf("the %s is in the future", name);
    if (text)
        not_valid(a, text);
    free(text);
    return text == NULL;
}

static bool check_times(struct assertion *a)
{
    const struct json *claim = json_member(a->claims, "exp");
    long long now = (long long)sandbox_now(a->rq->sb), exp;

    if (!claim)
        return not_valid(a, "the assertion has no exp");
    if (!read_time(claim, &exp))
        return not_valid(a, "the exp is not an integer");
    if (exp <= now)
        return not_valid(a, "the assertion has expired");
    if (exp > now + LATEST_EXP)
        return not_valid(a, "the exp is more than 300 seconds ahead");
    return check_not_ahead(a, "iat", now) && check_not_ahead(a, "nbf", now);
}

/* Notes the jti. Returns false if it was used before. */
static bool use_jti(struct sandbox *sb, const char *jti)
{
    struct used_jti *u;

    pthread_mutex_lock(&sb->lock);
    for (u = sb->jtis; u && strcmp(u->text, jti) != 0; u = u->next)
        ;
    if (!u) {
        struct used_jti *added = xcalloc(1, sizeof *added);

        added->text = xstrdup(jti);
        added->next = sb->jtis;
        sb->jtis = added;
    }
    pthread_mutex_unlock(&sb->lock);
    return u == NULL;
}

static bool check_jti(struct assertion *a)
{
    const char *jti = json_string(a->claims, "jti");

    if (!jti || !*jti)
        return not_valid(a, "the assertion has no jti, or an empty one");
    return use_jti(a->rq->sb, jti) || not_valid(a, "the jti was used before");
}

bool assertion_check(struct request *rq, const char *text)
{
    struct assertion a = {.rq = rq, .text = text};
    /* The jti comes last: only that of an assertion that is valid otherwise counts as used. */
    bool good = split_assertion(&a) && read_parts(&a) && check_header(&a) && choose_key(&a) &&
                check_signature(&a) && check_parties(&a) && check_times(&a) && check_jti(&a);

    for (int i = 0; i < 3; i++)
        buf_free(&a.part[i]);
    json_free(a.head);
    json_free(a.claims);
    return good;
}

void jtis_free(struct sandbox *sb)
{
    while (sb->jtis) {
        struct used_jti *u = sb->jtis;

        sb->jtis = u->next;
        free(u->text);
        free(u);
    }
}
