#include "codec/signing_key.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "bcda/error.h"
#include "codec/bytes.h"
#include "codec/crypto.h"
#include "codec/jwk.h"
#include "codec/key.h"
#include "codec/utf8.h"

_Static_assert(BCDA__RSA_BITS_MAX / 8 <= BCDA__SIGNATURE_MAX, "room for a signature");

struct bcda__signing_key {
    struct bcda__key *key;
    char *id; /* NULL = none */
};

/* Skips a byte order mark, which JSON does not allow, but some editors write. */
static struct bcda__bytes skip_mark(struct bcda__bytes text)
{
    return bcda__bytes_starts(text, "\xEF\xBB\xBF") ? bcda__bytes_skip(text, 3) : text;
}

/* 1 if the text begins as a JSON object or array. No PEM text does. */
static int looks_like_json(struct bcda__bytes text)
{
    while (text.len && memchr(" \t\r\n", text.at[0], 4))
        text = bcda__bytes_skip(text, 1);
    return text.len && (text.at[0] == '{' || text.at[0] == '[');
}

static int read_text_of_key(struct bcda__signing_key *k, const char *name, struct bcda__bytes text,
                            const char *passphrase, const char *key_id, struct bcda_error *err)
{
    struct bcda__bytes json = skip_mark(text);

    if (looks_like_json(json))
        return bcda__jwk_read(&k->key, &k->id, name, json.at, json.len, key_id, err);
    return bcda__key_new_signing(&k->key, name, text.at, text.len, passphrase, err);
}

int bcda__signing_key_new(struct bcda__signing_key **out, const char *name, const void *text,
                          size_t len, const char *passphrase, const char *key_id,
                          struct bcda_error *err)
{
    struct bcda__bytes bytes = {text, len};
    struct bcda__signing_key *k;
    int rc;

    if (key_id && bcda__utf8_check(key_id, strlen(key_id)) != strlen(key_id))
        return bcda__err_set(err, BCDA_ERR_INVALID, "%s: the key id is not UTF-8", name);
    k = bcda__calloc(1, sizeof *k);
    if (!k)
        return bcda__err_nomem(err);
    rc = read_text_of_key(k, name, bytes, passphrase, key_id, err);
    if (!rc && key_id && bcda__text_replace(&k->id, key_id))
        rc = bcda__err_nomem(err);
    if (rc)
        bcda__signing_key_free(k);
    else
        *out = k;
    return rc;
}

static int signs_by_rsa(const struct bcda__signing_key *k)
{
    return k->key->p384.data == NULL;
}

const char *bcda__signing_key_algorithm(const struct bcda__signing_key *k)
{
    return signs_by_rsa(k) ? "RS384" : "ES384";
}

const char *bcda__signing_key_id(const struct bcda__signing_key *k)
{
    return k->id;
}

int bcda__signing_key_sign(const struct bcda__signing_key *k, const void *data, size_t len,
                           uint8_t *out, size_t *out_len)
{
    if (signs_by_rsa(k)) {
        *out_len = k->key->parts.n_len;
        return bcda__rsa_sign(&k->key->parts, data, len, out);
    }
    *out_len = BCDA__P384_SIGNATURE;
    return bcda__p384_sign((const struct bcda__p384 *)(const void *)k->key->p384.data, data, len,
                           out);
}

void bcda__signing_key_free(struct bcda__signing_key *k)
{
    if (!k)
        return;
    bcda__key_free(k->key);
    bcda__free(k->id);
    bcda__free(k);
}
