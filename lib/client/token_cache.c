#include "client/token_cache.h"

#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "client/shared_file.h"
#include "codec/crypto.h"
#include "codec/document.h"
#include "protocol/token.h"

#define CACHE_BEGIN "{\"version\":1,\"origin\":"
/* How the document ends: CACHE_CHECK, the check in base64, CACHE_END. */
#define CACHE_CHECK ",\"check\":\""
#define CACHE_END   "\"}"
enum {
    DOCUMENT_MAX = 64 * 1024,
    HASH_LEN = 32,
    MISSING_SIZE = 512,
    CHECK_SIZE = 45, /* base64 of a hash, with the NUL */
    TAIL_LEN = sizeof CACHE_CHECK - 1 + CHECK_SIZE - 1 + sizeof CACHE_END - 1,
};
/* A token that is valid for longer is an error, as in protocol/token.c. */
static const int64_t VALIDITY_MAX_MS = INT64_C(100) * 366 * 86400 * 1000;

/* Which tokens were refused by the server. */
enum refused {
    REFUSED_NONE,
    REFUSED_ONE, /* the one whose hash is stored */
    REFUSED_ANY, /* there was no memory to hash it, so it could be any */
};

struct bcda__token_cache {
    struct bcda__shared_file file; /* open only while this process has the lock after MISS */
    char *origin, *client_id, *scope;
    char missing[MISSING_SIZE]; /* bcda__token_cache_set_missing() */
    enum refused refused;
    uint8_t refused_hash[HASH_LEN];
};

int bcda__token_cache_new(struct bcda__token_cache **out, const char *path, const char *origin,
                          const char *client_id, const char *scope)
{
    struct bcda__token_cache *c = bcda__calloc(1, sizeof *c);

    if (!c)
        return BCDA_ERR_NOMEM;
    c->origin = bcda__strdup(origin);
    c->client_id = bcda__strdup(client_id);
    c->scope = bcda__strdup(scope);
    if (bcda__shared_file_init(&c->file, "the token cache", CACHE_BEGIN, path) || !c->origin ||
        !c->client_id || (scope && !c->scope)) {
        bcda__token_cache_free(c);
        return BCDA_ERR_NOMEM;
    }
    *out = c;
    return 0;
}

void bcda__token_cache_free(struct bcda__token_cache *c)
{
    if (!c)
        return;
    bcda__shared_file_free(&c->file);
    bcda__free(c->origin);
    bcda__free(c->client_id);
    bcda__free(c->scope);
    bcda__free(c);
}

void bcda__token_cache_set_forked(struct bcda__token_cache *c)
{
    bcda__shared_file_abandon(&c->file);
}

static int has_cache_lock(const struct bcda__token_cache *c)
{
    return c->file.fd >= 0;
}

int bcda__token_cache_check(struct bcda__token_cache *c, struct bcda_error *err)
{
    int rc;

    if (has_cache_lock(c))
        return 0;
    rc = bcda__shared_file_lock(&c->file, BCDA__SHARED_READ, 1, err);
    bcda__shared_file_close(&c->file);
    return rc < 0 ? rc : 0;
}

static int hash_bytes(const char *data, size_t len, uint8_t hash[HASH_LEN])
{
    struct bcda__sha256 *sum;
    int rc = bcda__sha256_new(&sum);

    if (rc)
        return rc;
    bcda__sha256_add(sum, data, len);
    rc = bcda__sha256_read(sum, hash);
    bcda__sha256_free(sum);
    return rc;
}

static int fail_cache(int rc, struct bcda_error *err)
{
    return rc == BCDA_ERR_NOMEM
               ? bcda__err_nomem(err)
               : bcda__err_set(err, rc, "the token cache: %s", bcda_error_string(rc));
}

/* ---- reading ---- */

enum cache_member {
    CACHE_VERSION,
    CACHE_ORIGIN,
    CACHE_CLIENT_ID,
    CACHE_SCOPE,
    CACHE_EXPIRES,
    CACHE_TOKEN,
    CACHE_MISSING, /* may be absent */
    CACHE_MEMBERS,
};

static const struct bcda__document_path cache_paths[CACHE_MEMBERS] = {
    {"version", CACHE_VERSION}, {"origin", CACHE_ORIGIN},   {"client_id", CACHE_CLIENT_ID},
    {"scope", CACHE_SCOPE},     {"expires", CACHE_EXPIRES}, {"token", CACHE_TOKEN},
    {"missing", CACHE_MISSING},
};

struct cached {
    const struct bcda__token_cache *cache;
    unsigned seen; /* one bit for each member that is as it must be */
    int64_t expires_ms;
    struct bcda__secret token;
    char missing[MISSING_SIZE];
};

/* Checks a member. Returns 0, BCDA_ERR_NOMEM, or BCDA_ERR_NOT_JSON: the document is of another
 * identity, or of another version. */
static int read_cache_member(struct cached *d, enum cache_member member,
                             enum bcda__json_event event, const char *text, size_t len)
{
    const struct bcda__token_cache *c = d->cache;
    const char *wanted[CACHE_MEMBERS] = {
        [CACHE_ORIGIN] = c->origin, [CACHE_CLIENT_ID] = c->client_id, [CACHE_SCOPE] = c->scope};
    int right = 0;

    switch (member) {
    case CACHE_VERSION:
        right = event == BCDA__JSON_NUMBER && bcda__document_is(text, len, "1");
        break;
    case CACHE_ORIGIN:
    case CACHE_CLIENT_ID:
    case CACHE_SCOPE:
        right = wanted[member]
                    ? event == BCDA__JSON_STRING && bcda__document_is(text, len, wanted[member])
                    : event == BCDA__JSON_NULL;
        break;
    case CACHE_EXPIRES:
        right = event == BCDA__JSON_NUMBER && bcda__text_to_int64(text, len, &d->expires_ms) == 0;
        break;
    case CACHE_TOKEN:
        right = event == BCDA__JSON_STRING && bcda__token_is_valid(text, len);
        if (right && bcda__secret_set(&d->token, text, len))
            return BCDA_ERR_NOMEM;
        break;
    case CACHE_MISSING:
        right = event == BCDA__JSON_STRING && len < sizeof d->missing && !memchr(text, '\0', len);
        if (right)
            memcpy(d->missing, text, len); /* the rest is zero */
        break;
    case CACHE_MEMBERS:
        break;
    }
    d->seen |= 1u << member;
    return right ? 0 : BCDA_ERR_NOT_JSON;
}

static int cache_on_value(void *ctx, int what, enum bcda__json_event event, const char *text,
                          size_t len)
{
    if (event == BCDA__JSON_KEY)
        return 0;
    return read_cache_member(ctx, (enum cache_member)what, event, text, len);
}

/* Writes the end of a document: the check of the text before it. */
static int make_tail(const char *text, size_t len, char tail[TAIL_LEN + 1])
{
    uint8_t hash[HASH_LEN];
    char check[CHECK_SIZE];
    int rc = hash_bytes(text, len, hash);

    if (rc)
        return rc;
    bcda__text_base64(hash, sizeof hash, check);
    bcda__text_print(tail, TAIL_LEN + 1, CACHE_CHECK "%s" CACHE_END, check);
    return 0;
}

/* Parses the content of the file. Returns 1 if it is a document of this identity, 0 if it counts as
 * empty, or BCDA_ERR_NOMEM or BCDA_ERR_LIBRARY. */
static int parse_cached(struct cached *d, const char *text, size_t len)
{
    char tail[TAIL_LEN + 1];
    int rc;

    if (len <= TAIL_LEN || len > DOCUMENT_MAX)
        return 0;
    rc = make_tail(text, len - TAIL_LEN, tail);
    if (rc)
        return rc;
    if (memcmp(text + len - TAIL_LEN, tail, TAIL_LEN) != 0)
        return 0;
    rc = bcda__document_parse(text, len, cache_paths, CACHE_MEMBERS, cache_on_value, d);
    if (rc == BCDA_ERR_NOMEM)
        return rc;
    return !rc && (d->seen | 1u << CACHE_MISSING) == (1u << CACHE_MEMBERS) - 1;
}

/* Reads the file. Returns the results of parse_cached(), or BCDA_ERR_IO; `err` is filled. */
static int read_cached(struct bcda__token_cache *c, struct cached *d, struct bcda_error *err)
{
    struct bcda__secret text = {0};
    size_t len;
    int rc;

    d->cache = c;
    /* one more byte, so that a larger file is noticed */
    if (bcda__secret_set(&text, NULL, DOCUMENT_MAX + 1))
        return bcda__err_nomem(err);
    rc = bcda__shared_file_read(&c->file, text.data, text.len, &len, err);
    if (!rc) {
        rc = parse_cached(d, text.data, len);
        if (rc < 0)
            fail_cache(rc, err);
    }
    bcda__secret_free(&text);
    return rc;
}

/* ---- looking ---- */

static int is_valid_at(const struct cached *d, int64_t wall_ms, int64_t margin_ms)
{
    int64_t left, spare;

    return !__builtin_sub_overflow(d->expires_ms, wall_ms, &left) && left > 0 &&
           left <= VALIDITY_MAX_MS && !__builtin_sub_overflow(left, margin_ms, &spare) &&
           spare >= 0;
}

/* Returns 1 if the server refused this token, 0, or an error of hash_bytes(). */
static int was_refused(const struct bcda__token_cache *c, const struct bcda__secret *token)
{
    uint8_t hash[HASH_LEN];
    int rc;

    if (c->refused != REFUSED_ONE)
        return c->refused == REFUSED_ANY;
    rc = hash_bytes(token->data, token->len, hash);
    return rc ? rc : memcmp(hash, c->refused_hash, sizeof hash) == 0;
}

/* Reads the file, which is locked. Returns BCDA__CACHE_HIT, 0 = there is no token to use, or an
 * error. */
static int find_cached_token(struct bcda__token_cache *c, int64_t wall_ms, int64_t margin_ms,
                             struct bcda__secret *token, int64_t *expires_ms,
                             struct bcda_error *err)
{
    struct cached d = {0};
    int rc = read_cached(c, &d, err);

    if (rc == 1 && !is_valid_at(&d, wall_ms, margin_ms))
        rc = 0;
    if (rc == 1) {
        rc = was_refused(c, &d.token);
        rc = rc < 0 ? fail_cache(rc, err) : !rc;
    }
    if (rc == 1) {
        bcda__secret_free(token);
        *token = d.token;
        memcpy(c->missing, d.missing, sizeof c->missing);
        *expires_ms = d.expires_ms;
        return BCDA__CACHE_HIT;
    }
    bcda__secret_free(&d.token);
    return rc;
}

/* The file is read again with the exclusive lock: another process may have stored a token between
 * the two locks. */
int bcda__token_cache_look(struct bcda__token_cache *c, int64_t wall_ms, int64_t margin_ms,
                           struct bcda__secret *token, int64_t *expires_ms, struct bcda_error *err)
{
    static const enum bcda__shared_lock locks[] = {BCDA__SHARED_READ, BCDA__SHARED_WRITE};
    int i, rc;

    if (has_cache_lock(c))
        return BCDA__CACHE_MISS;
    for (i = 0; i < 2; i++) {
        rc = bcda__shared_file_lock(&c->file, locks[i], 1, err);
        if (rc == BCDA__SHARED_BUSY)
            return BCDA__CACHE_BUSY;
        if (rc < 0)
            return rc;
        rc = find_cached_token(c, wall_ms, margin_ms, token, expires_ms, err);
        if (rc) {
            bcda__shared_file_close(&c->file);
            return rc;
        }
    }
    return BCDA__CACHE_MISS;
}

/* ---- storing ---- */

static int write_document(const struct bcda__token_cache *c, const char *token, int64_t expires_ms,
                          struct bcda__buf *out)
{
    char tail[TAIL_LEN + 1];
    int rc = bcda__buf_adds(out, CACHE_BEGIN);

    rc = rc ? rc : bcda__json_add_string(out, c->origin);
    rc = rc ? rc : bcda__buf_adds(out, ",\"client_id\":");
    rc = rc ? rc : bcda__json_add_string(out, c->client_id);
    rc = rc ? rc : bcda__buf_adds(out, ",\"scope\":");
    rc = rc ? rc : c->scope ? bcda__json_add_string(out, c->scope) : bcda__buf_adds(out, "null");
    if (!rc && c->missing[0])
        rc = bcda__buf_adds(out, ",\"missing\":");
    if (!rc && c->missing[0])
        rc = bcda__json_add_string(out, c->missing);
    rc = rc ? rc : bcda__buf_addf(out, ",\"expires\":%" PRId64 ",\"token\":", expires_ms);
    rc = rc ? rc : bcda__json_add_string(out, token);
    rc = rc ? rc : make_tail(out->data, out->len, tail);
    return rc ? rc : bcda__buf_adds(out, tail);
}

/* Makes sure that the locked file is the one that the path names. Returns 1, 0 = another process
 * has locked the file that the path now names, or BCDA_ERR_IO. */
static int relock_named(struct bcda__token_cache *c, struct bcda_error *err)
{
    int rc;

    if (bcda__shared_file_is_named(&c->file))
        return 1;
    bcda__shared_file_close(&c->file);
    rc = bcda__shared_file_lock(&c->file, BCDA__SHARED_WRITE, 1, err);
    return rc < 0 ? rc : rc == BCDA__SHARED_LOCKED;
}

/* The old content is removed first, so a process that is killed here leaves a prefix of the new
 * document, which counts as empty. */
static int replace_document(struct bcda__token_cache *c, const struct bcda__buf *text,
                            struct bcda_error *err)
{
    int rc = bcda__shared_file_cut(&c->file, 0, err);

    if (rc)
        return rc;
    rc = bcda__shared_file_write(&c->file, text->data, text->len, err);
    if (rc)
        bcda__shared_file_wipe(&c->file);
    return rc;
}

static void forget_refused(struct bcda__token_cache *c, const struct bcda__secret *stored)
{
    if (was_refused(c, stored) == 1)
        c->refused = REFUSED_NONE;
}

int bcda__token_cache_store(struct bcda__token_cache *c, const char *token, size_t len,
                            int64_t expires_ms, struct bcda_error *err)
{
    struct bcda__secret copy = {0}; /* with a NUL */
    struct bcda__buf text;
    int rc;

    bcda__buf_init(&text, DOCUMENT_MAX);
    if (!has_cache_lock(c) || expires_ms <= 0) {
        rc = 0;
        goto out;
    }
    rc = bcda__secret_set(&copy, token, len);
    if (!rc)
        rc = write_document(c, copy.data, expires_ms, &text);
    if (rc == BCDA_ERR_BODY_TOO_LARGE)
        rc = bcda__err_set(err, BCDA_ERR_IO, "the token cache cannot hold such a large token");
    else if (rc)
        rc = fail_cache(rc, err);
    if (rc)
        goto out;
    forget_refused(c, &copy);
    rc = relock_named(c, err);
    if (rc == 1)
        rc = replace_document(c, &text, err);
out:
    bcda__shared_file_close(&c->file);
    bcda__buf_free_secret(&text);
    bcda__secret_free(&copy);
    return rc;
}

void bcda__token_cache_set_missing(struct bcda__token_cache *c, const char *scopes)
{
    bcda__text_copy(c->missing, sizeof c->missing, scopes);
}

const char *bcda__token_cache_missing(const struct bcda__token_cache *c)
{
    return c->missing;
}

void bcda__token_cache_release(struct bcda__token_cache *c)
{
    bcda__shared_file_close(&c->file);
}

/* ---- a token that the server refused ---- */

/* Wipes the file, which is locked, if it contains this token for this identity. */
static void wipe_refused(struct bcda__token_cache *c, const char *token, size_t len)
{
    struct cached d = {0};

    if (read_cached(c, &d, NULL) == 1 && d.token.data && d.token.len == len &&
        memcmp(d.token.data, token, len) == 0)
        bcda__shared_file_wipe(&c->file);
    bcda__secret_free(&d.token);
}

void bcda__token_cache_refuse(struct bcda__token_cache *c, const char *token, size_t len)
{
    c->refused = hash_bytes(token, len, c->refused_hash) ? REFUSED_ANY : REFUSED_ONE;
    if (has_cache_lock(c)) {
        wipe_refused(c, token, len);
        return;
    }
    if (bcda__shared_file_lock(&c->file, BCDA__SHARED_WRITE, 0, NULL) == BCDA__SHARED_LOCKED)
        wipe_refused(c, token, len);
    bcda__shared_file_close(&c->file);
}
