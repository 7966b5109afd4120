#include "protocol/assertion.h"

#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "base/url.h"
#include "bcda/error.h"
#include "codec/json.h"
#include "codec/utf8.h"

/* Far more than any clock shows. It only prevents an overflow. */
static const int64_t NOW_MAX_S = INT64_C(1) << 53;

static int is_utf8(const char *text)
{
    return bcda__utf8_check(text, strlen(text)) == strlen(text);
}

/* ---- the JWS ---- */

static int add_base64url(struct bcda__buf *to, const void *data, size_t len)
{
    size_t size = bcda__text_base64url_size(len);
    int rc = bcda__buf_reserve(to, size);

    if (rc)
        return rc;
    bcda__text_base64url(data, len, to->data + to->len);
    to->len += size - 1;
    return 0;
}

/* Adds `before`, which ends with the name of a member, and the value of that member. */
static int add_text_member(struct bcda__buf *json, const char *before, const char *value)
{
    int rc = bcda__buf_adds(json, before);

    return rc ? rc : bcda__json_add_string(json, value);
}

static int add_header(struct bcda__buf *json, const struct bcda__signing_key *key)
{
    const char *id = bcda__signing_key_id(key);
    int rc = add_text_member(json, "{\"alg\":", bcda__signing_key_algorithm(key));

    if (!rc)
        rc = bcda__buf_adds(json, ",\"typ\":\"JWT\"");
    if (!rc && id)
        rc = add_text_member(json, ",\"kid\":", id);
    return rc ? rc : bcda__buf_adds(json, "}");
}

static int add_assertion_claims(struct bcda__buf *json, const struct bcda__assertion *a)
{
    char jti[32];
    int rc;

    bcda__text_base64url(a->random, sizeof a->random, jti);
    rc = add_text_member(json, "{\"iss\":", a->client_id);
    if (!rc)
        rc = add_text_member(json, ",\"sub\":", a->client_id);
    if (!rc)
        rc = add_text_member(json, ",\"aud\":", a->audience);
    if (!rc)
        rc = add_text_member(json, ",\"jti\":", jti);
    return rc ? rc
              : bcda__buf_addf(json, ",\"iat\":%" PRId64 ",\"exp\":%" PRId64 "}", a->now_s,
                               a->now_s + BCDA__ASSERTION_SECONDS);
}

/* Adds what is signed: the header and the claims. `json` is scratch memory. */
static int add_signed_part(struct bcda__buf *jws, struct bcda__buf *json,
                           const struct bcda__assertion *a)
{
    int rc = add_header(json, a->key);

    if (!rc)
        rc = add_base64url(jws, json->data, json->len);
    if (!rc)
        rc = bcda__buf_adds(jws, ".");
    bcda__buf_clear(json);
    if (!rc)
        rc = add_assertion_claims(json, a);
    return rc ? rc : add_base64url(jws, json->data, json->len);
}

static int add_signature(struct bcda__buf *jws, const struct bcda__signing_key *key)
{
    uint8_t signature[BCDA__SIGNATURE_MAX];
    size_t len;
    int rc = bcda__signing_key_sign(key, jws->data, jws->len, signature, &len);

    if (!rc)
        rc = bcda__buf_adds(jws, ".");
    if (!rc)
        rc = add_base64url(jws, signature, len);
    bcda__wipe(signature, sizeof signature);
    return rc;
}

int bcda__assertion_make(struct bcda__secret *out, const struct bcda__assertion *a)
{
    struct bcda__buf jws, json;
    int rc;

    if (!is_utf8(a->client_id) || !is_utf8(a->audience) || a->now_s < 0 || a->now_s > NOW_MAX_S)
        return BCDA_ERR_INVALID;
    bcda__buf_init(&jws, SIZE_MAX);
    bcda__buf_init(&json, SIZE_MAX);
    rc = add_signed_part(&jws, &json, a);
    if (!rc)
        rc = add_signature(&jws, a->key);
    if (!rc)
        rc = bcda__secret_set(out, jws.data, jws.len);
    bcda__buf_free_secret(&jws);
    bcda__buf_free_secret(&json);
    return rc;
}

/* ---- the request ---- */

int bcda__assertion_form(struct bcda__secret *out, const struct bcda__secret *assertion,
                         const char *scope)
{
    struct bcda__buf form;
    int rc;

    bcda__buf_init(&form, SIZE_MAX);
    rc = bcda__buf_adds(&form, "grant_type=client_credentials");
    if (!rc && scope)
        rc = bcda__buf_adds(&form, "&scope=");
    if (!rc && scope)
        rc = bcda__url_add_escaped(&form, scope, "");
    if (!rc)
        rc = bcda__buf_adds(&form, "&client_assertion_type="
                                   "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-"
                                   "bearer&client_assertion=");
    if (!rc) /* base64url and dots, which need no escapes */
        rc = bcda__buf_add(&form, assertion->data, assertion->len);
    if (!rc)
        rc = bcda__secret_set(out, form.data, form.len);
    bcda__buf_free_secret(&form);
    return rc;
}
