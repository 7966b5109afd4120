#include "codec/jwk.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "bcda/error.h"
#include "codec/document.h"

enum {
    WORD_MAX = 24,          /* of kty, use, alg and crv, including the NUL */
    NUMBER_TEXT_MAX = 4096, /* an 8192-bit number has 1366 characters */
    LABEL_MAX = 240,
    ID_MAX = 80, /* of a key id in an error text */
};

/* ---- members ---- */

/* Those up to CRV are words. Those from NUMBER_N on are numbers in base64url. */
enum jwk_member {
    WORD_KTY,
    WORD_USE,
    WORD_ALG,
    WORD_CRV,
    WORDS,
    KID = WORDS,
    KEY_OPS,
    OTHER_PRIMES,
    NUMBERS,
    NUMBER_N = NUMBERS,
    NUMBER_E,
    NUMBER_D,
    NUMBER_P,
    NUMBER_Q,
    NUMBER_DP,
    NUMBER_DQ,
    NUMBER_QI,
    NUMBER_X,
    NUMBER_Y,
    MEMBER_COUNT, /* also a member that is not read */
};

static const char *const member_names[MEMBER_COUNT] = {
    [WORD_KTY] = "kty", [WORD_USE] = "use",    [WORD_ALG] = "alg",     [WORD_CRV] = "crv",
    [KID] = "kid",      [KEY_OPS] = "key_ops", [OTHER_PRIMES] = "oth", [NUMBER_N] = "n",
    [NUMBER_E] = "e",   [NUMBER_D] = "d",      [NUMBER_P] = "p",       [NUMBER_Q] = "q",
    [NUMBER_DP] = "dp", [NUMBER_DQ] = "dq",    [NUMBER_QI] = "qi",     [NUMBER_X] = "x",
    [NUMBER_Y] = "y",
};

struct jwk {
    uint32_t seen;   /* the set of members that are there, one bit each */
    uint32_t broken; /* the set of numbers that are not base64url */
    int number;      /* of the key in the JWKS, from 1; 0 = a single JWK */
    int can_sign;    /* key_ops has "sign" */
    char words[WORDS][WORD_MAX];
    char *kid;                                           /* NULL = none */
    struct bcda__secret numbers[MEMBER_COUNT - NUMBERS]; /* decoded */
};

/* The state of reading a JWK or JWKS. */
struct jwk_reader {
    const char *name;
    const char *key_id;
    struct bcda_error *err;
    enum jwk_member member; /* the member whose value follows */
    struct jwk top;         /* the top object, if that is a JWK */
    struct jwk element;     /* the key of a JWKS that is being read */
    struct jwk chosen;      /* the first key of a JWKS that fits; before that, its first key */
    int top_rc;             /* an error in the top object, if that is a JWK */
    int is_set;             /* the top object has the member "keys" */
    int keys;               /* counts of a JWKS: all keys, */
    int fitting;            /* those that fit, */
    int public_keys;        /* and public keys with the wanted kid */
    char kids[LABEL_MAX];   /* the kids to choose from */
};

static int has(const struct jwk *k, enum jwk_member member)
{
    return (k->seen & UINT32_C(1) << member) != 0;
}

static const struct bcda__secret *jwk_number(const struct jwk *k, enum jwk_member member)
{
    return &k->numbers[member - NUMBERS];
}

static void jwk_free(struct jwk *k)
{
    size_t i;

    for (i = 0; i < sizeof k->numbers / sizeof k->numbers[0]; i++)
        bcda__secret_free(&k->numbers[i]);
    bcda__free(k->kid);
    memset(k, 0, sizeof *k);
}

/* ---- errors ---- */

/* Sets an error that names the file and the key. */
static int fail_jwk(const struct jwk_reader *r, const struct jwk *k, int code, const char *format,
                    ...) __attribute__((format(printf, 4, 5)));
static int fail_jwk(const struct jwk_reader *r, const struct jwk *k, int code, const char *format,
                    ...)
{
    char text[LABEL_MAX];
    char which[LABEL_MAX] = "";
    char id[ID_MAX];
    va_list args;

    va_start(args, format);
    bcda__text_format(text, sizeof text, format, args);
    va_end(args);
    if (k && k->kid) {
        bcda__text_show(id, sizeof id, k->kid);
        bcda__text_print(which, sizeof which, ", key \"%s\"", id);
    } else if (k && k->number) {
        bcda__text_print(which, sizeof which, ", key number %d", k->number);
    }
    return bcda__err_set(r->err, code, "%s%s: %s", r->name, which, text);
}

/* ---- reading the members ---- */

static enum jwk_member find_member(const char *name, size_t len)
{
    int i;

    for (i = 0; i < MEMBER_COUNT; i++)
        if (bcda__document_is(name, len, member_names[i]))
            break;
    return (enum jwk_member)i;
}

static int take_jwk_name(struct jwk_reader *r, struct jwk *k, const char *name, size_t len)
{
    r->member = find_member(name, len);
    if (r->member == MEMBER_COUNT)
        return 0;
    if (has(k, r->member)) /* another program might read the other one */
        return fail_jwk(r, k, BCDA_ERR_KEY_FORMAT, "the member %s is there twice",
                        member_names[r->member]);
    k->seen |= UINT32_C(1) << r->member;
    return 0;
}

static int take_kid(struct jwk_reader *r, struct jwk *k, const char *text, size_t len)
{
    if (memchr(text, '\0', len))
        return fail_jwk(r, k, BCDA_ERR_KEY_FORMAT, "the member kid has a character of value 0");
    k->kid = bcda__strndup(text, len);
    return k->kid ? 0 : BCDA_ERR_NOMEM;
}

/* Words that are unknown anyway may be cut. A word with other characters is not shown in errors. */
static void take_word(struct jwk *k, enum jwk_member member, const char *text, size_t len)
{
    size_t n = len < WORD_MAX ? len : WORD_MAX - 1;
    size_t i;

    for (i = 0; i < n; i++)
        if (!bcda__text_is_alpha(text + i, 1) && !memchr("0123456789-+", text[i], 12))
            n = 0;
    memcpy(k->words[member], n ? text : "(not a name)", n ? n : 12);
}

/* A number that is not base64url is an error only if the key is used. */
static int take_jwk_number(struct jwk *k, enum jwk_member member, const char *text, size_t len)
{
    struct bcda__secret *to = &k->numbers[member - NUMBERS];
    size_t n;
    int rc;

    if (len > NUMBER_TEXT_MAX || bcda__text_base64url_decoded(len) == 0) {
        k->broken |= UINT32_C(1) << member;
        return 0;
    }
    rc = bcda__secret_set(to, NULL, bcda__text_base64url_decoded(len));
    if (!rc && bcda__text_base64url_decode(text, len, (uint8_t *)to->data, to->len, &n))
        k->broken |= UINT32_C(1) << member;
    return rc;
}

static int take_jwk_value(struct jwk_reader *r, struct jwk *k, enum bcda__json_event event,
                          const char *text, size_t len)
{
    enum jwk_member member = r->member;

    if (member == MEMBER_COUNT || member == OTHER_PRIMES)
        return 0;
    if (event != (member == KEY_OPS ? BCDA__JSON_ARRAY : BCDA__JSON_STRING))
        return fail_jwk(r, k, BCDA_ERR_KEY_FORMAT, "the member %s is not %s", member_names[member],
                        member == KEY_OPS ? "an array" : "a string");
    if (member == KEY_OPS)
        return 0;
    if (member == KID)
        return take_kid(r, k, text, len);
    if (member >= NUMBERS)
        return take_jwk_number(k, member, text, len);
    take_word(k, member, text, len);
    return 0;
}

static int take_member(struct jwk_reader *r, struct jwk *k, enum bcda__json_event event,
                       const char *text, size_t len)
{
    if (event == BCDA__JSON_OBJECT_END || event == BCDA__JSON_ARRAY_END)
        return 0;
    return event == BCDA__JSON_KEY ? take_jwk_name(r, k, text, len)
                                   : take_jwk_value(r, k, event, text, len);
}

/* ---- is it a key for a signature? ---- */

static int is_word(const struct jwk *k, enum jwk_member member, const char *word)
{
    return strcmp(k->words[member], word) == 0;
}

static unsigned jwk_bits(const struct jwk *k)
{
    const struct bcda__secret *n = jwk_number(k, NUMBER_N);
    unsigned bits = (unsigned)n->len * 8;
    size_t i;

    for (i = 0; i < n->len; i++) {
        unsigned top = (unsigned char)n->data[i];

        for (; top && !(top & 0x80); top <<= 1)
            bits--;
        if (top)
            return bits;
        bits -= 8;
    }
    return 0;
}

static int check_kty(const struct jwk_reader *r, const struct jwk *k)
{
    if (!has(k, WORD_KTY))
        return fail_jwk(r, k, BCDA_ERR_KEY_FORMAT,
                        "this is no JWK, because it has no member kty; " BCDA__SIGNING_KEYS);
    if (!is_word(k, WORD_KTY, "RSA") && !is_word(k, WORD_KTY, "EC"))
        return fail_jwk(r, k, BCDA_ERR_KEY_UNSUPPORTED, "a key with the kty %s; %s",
                        k->words[WORD_KTY], BCDA__SIGNING_KEYS);
    if (!has(k, NUMBER_D))
        return fail_jwk(r, k, BCDA_ERR_KEY_FORMAT,
                        "this is only the public key; the private key is needed, which has the "
                        "member d");
    return 0;
}

/* Checks the members that say what the key is for. */
static int check_purpose(const struct jwk_reader *r, const struct jwk *k, const char *alg)
{
    if (has(k, WORD_USE) && !is_word(k, WORD_USE, "sig"))
        return fail_jwk(r, k, BCDA_ERR_KEY_UNSUPPORTED,
                        "its use is %s; a key that signs has sig, or no use", k->words[WORD_USE]);
    if (has(k, KEY_OPS) && !k->can_sign)
        return fail_jwk(r, k, BCDA_ERR_KEY_UNSUPPORTED,
                        "its key_ops do not have sign, so it may not sign");
    if (has(k, WORD_ALG) && !is_word(k, WORD_ALG, alg))
        return fail_jwk(r, k, BCDA_ERR_KEY_UNSUPPORTED, "its alg is %s, not %s; %s",
                        k->words[WORD_ALG], alg, BCDA__SIGNING_KEYS);
    return 0;
}

static int check_rsa(const struct jwk_reader *r, const struct jwk *k)
{
    unsigned bits = jwk_bits(k);

    if (has(k, OTHER_PRIMES))
        return fail_jwk(r, k, BCDA_ERR_KEY_UNSUPPORTED,
                        "an RSA key with more than two primes is not supported");
    if (has(k, NUMBER_N) && !(k->broken & UINT32_C(1) << NUMBER_N) &&
        (bits < BCDA__RSA_BITS_MIN || bits > BCDA__RSA_BITS_MAX))
        return fail_jwk(r, k, BCDA_ERR_KEY_UNSUPPORTED, "an RSA key of %u bits; %s", bits,
                        BCDA__SIGNING_KEYS);
    return 0;
}

static int check_ec(const struct jwk_reader *r, const struct jwk *k)
{
    if (has(k, WORD_CRV) && !is_word(k, WORD_CRV, "P-384"))
        return fail_jwk(r, k, BCDA_ERR_KEY_UNSUPPORTED, "an EC key on %s; %s", k->words[WORD_CRV],
                        BCDA__SIGNING_KEYS);
    return 0;
}

/* Returns 0 if the key is private, and for RS384 or ES384. Its numbers are checked later. */
static int check_jwk(const struct jwk_reader *r, const struct jwk *k)
{
    int rc = check_kty(r, k);

    if (rc)
        return rc;
    if (is_word(k, WORD_KTY, "RSA"))
        return (rc = check_rsa(r, k)) ? rc : check_purpose(r, k, "RS384");
    return (rc = check_ec(r, k)) ? rc : check_purpose(r, k, "ES384");
}

/* ---- from the members to a key ---- */

/* Checks that the members are there, and that all numbers are base64url. `needed` ends with
 * MEMBER_COUNT. */
static int check_jwk_members(const struct jwk_reader *r, const struct jwk *k,
                             const enum jwk_member *needed)
{
    int i;

    for (; *needed != MEMBER_COUNT; needed++)
        if (!has(k, *needed))
            return fail_jwk(r, k, BCDA_ERR_KEY_FORMAT,
                            "the member %s is missing; export the private key with all its members",
                            member_names[*needed]);
    for (i = NUMBERS; i < MEMBER_COUNT; i++)
        if (k->broken & UINT32_C(1) << i)
            return fail_jwk(r, k, BCDA_ERR_KEY_FORMAT,
                            "the member %s is not base64url, or too long", member_names[i]);
    return 0;
}

/* Sets the error for a code of crypto.c. */
static int fail_numbers(const struct jwk_reader *r, const struct jwk *k, int rc)
{
    switch (rc) {
    case 0:
        return 0;
    case BCDA_ERR_NOMEM:
        return bcda__err_nomem(r->err);
    case BCDA_ERR_KEY_FORMAT:
        return fail_jwk(r, k, rc, "the parts of the key do not fit together; it is damaged");
    default:
        return fail_jwk(r, k, rc, "libgcrypt refuses to work on this key");
    }
}

/* Copies a number without leading zeros to the memory of the key. */
static void add_number(struct bcda__key *key, const struct bcda__secret *number, const uint8_t **at,
                       size_t *len)
{
    uint8_t *to = (uint8_t *)key->der.data + key->der.len;
    size_t zeros = 0;

    while (zeros < number->len && number->data[zeros] == 0)
        zeros++;
    *at = to;
    *len = number->len - zeros;
    memcpy(to, number->data + zeros, *len);
    key->der.len += *len;
}

static int load_rsa(const struct jwk_reader *r, const struct jwk *k, struct bcda__key *key)
{
    static const enum jwk_member needed[] = {NUMBER_N, NUMBER_E, NUMBER_P, NUMBER_Q, MEMBER_COUNT};
    struct bcda__rsa_parts *parts = &key->parts;
    size_t size = 0;
    int i;
    int rc = check_jwk_members(r, k, needed);

    if (rc)
        return rc;
    for (i = NUMBER_N; i <= NUMBER_Q; i++)
        size += jwk_number(k, (enum jwk_member)i)->len;
    if (bcda__secret_set(&key->der, NULL, size))
        return bcda__err_nomem(r->err);
    key->der.len = 0;
    add_number(key, jwk_number(k, NUMBER_N), &parts->n, &parts->n_len);
    add_number(key, jwk_number(k, NUMBER_E), &parts->e, &parts->e_len);
    add_number(key, jwk_number(k, NUMBER_D), &parts->d, &parts->d_len);
    add_number(key, jwk_number(k, NUMBER_P), &parts->p, &parts->p_len);
    add_number(key, jwk_number(k, NUMBER_Q), &parts->q, &parts->q_len);
    key->bits = jwk_bits(k);
    return fail_numbers(r, k, bcda__rsa_check(parts));
}

static int load_ec(const struct jwk_reader *r, const struct jwk *k, struct bcda__key *key)
{
    static const enum jwk_member needed[] = {WORD_CRV, NUMBER_X, NUMBER_Y, MEMBER_COUNT};
    static const enum jwk_member sized[] = {NUMBER_D, NUMBER_X, NUMBER_Y};
    uint8_t point[BCDA__P384_POINT_MAX] = {4};
    int i;
    int rc = check_jwk_members(r, k, needed);

    if (rc)
        return rc;
    for (i = 0; i < 3; i++)
        if (jwk_number(k, sized[i])->len != BCDA__P384_LEN)
            return fail_jwk(r, k, BCDA_ERR_KEY_FORMAT,
                            "the member %s has %zu bytes; on P-384 it has %d",
                            member_names[sized[i]], jwk_number(k, sized[i])->len, BCDA__P384_LEN);
    memcpy(point + 1, jwk_number(k, NUMBER_X)->data, BCDA__P384_LEN);
    memcpy(point + 1 + BCDA__P384_LEN, jwk_number(k, NUMBER_Y)->data, BCDA__P384_LEN);
    rc = bcda__secret_set(&key->p384, NULL, sizeof(struct bcda__p384));
    if (!rc)
        rc = bcda__p384_new((struct bcda__p384 *)(void *)key->p384.data,
                            (const uint8_t *)jwk_number(k, NUMBER_D)->data, point, sizeof point);
    return fail_numbers(r, k, rc);
}

static int load_jwk(const struct jwk_reader *r, const struct jwk *k, struct bcda__key **out)
{
    struct bcda__key *key = bcda__calloc(1, sizeof *key);
    int rc;

    if (!key)
        return bcda__err_nomem(r->err);
    rc = is_word(k, WORD_KTY, "RSA") ? load_rsa(r, k, key) : load_ec(r, k, key);
    if (rc)
        bcda__key_free(key);
    else
        *out = key;
    return rc;
}

/* ---- the keys of a JWKS ---- */

static void list_kid(struct jwk_reader *r, const struct jwk *k)
{
    char more[LABEL_MAX];

    bcda__text_print(more, sizeof more, "%s%s%s", r->kids, r->kids[0] ? ", " : "",
                     k->kid ? k->kid : "(one without kid)");
    bcda__text_copy(r->kids, sizeof r->kids, more);
}

static void keep_element(struct jwk_reader *r)
{
    jwk_free(&r->chosen);
    r->chosen = r->element;
    memset(&r->element, 0, sizeof r->element);
}

/* Looks at a key of a JWKS if no key id is given. */
static void weigh_element(struct jwk_reader *r)
{
    struct bcda_error *err = r->err;
    int fits;

    r->err = NULL; /* that another key does not fit is no error */
    fits = check_jwk(r, &r->element) == 0;
    r->err = err;
    if (fits)
        list_kid(r, &r->element);
    r->fitting += fits;
    if (fits ? r->fitting == 1 : r->keys == 1)
        keep_element(r);
}

/* Looks at a key of a JWKS, when all its members were read. */
static int end_element(struct jwk_reader *r)
{
    struct jwk *k = &r->element;

    if (!r->key_id) {
        weigh_element(r);
    } else if (!k->kid || strcmp(k->kid, r->key_id) != 0) {
        if (k->kid && has(k, NUMBER_D))
            list_kid(r, k);
    } else if (!has(k, NUMBER_D)) {
        r->public_keys++;
    } else if (r->fitting++) {
        return fail_jwk(r, k, BCDA_ERR_KEY_FORMAT, "two private keys have this kid");
    } else {
        keep_element(r);
    }
    jwk_free(k);
    return 0;
}

static int fail_key_id(const struct jwk_reader *r)
{
    char id[ID_MAX];

    bcda__text_show(id, sizeof id, r->key_id);
    if (r->public_keys)
        return fail_jwk(r, NULL, BCDA_ERR_KEY_FORMAT,
                        "of the key \"%s\" there is only the public key; the private key is "
                        "needed, which has the member d",
                        id);
    if (!r->kids[0])
        return fail_jwk(r, NULL, BCDA_ERR_CONFIG, "no private key has the key id \"%s\"", id);
    return bcda__err_set(r->err, BCDA_ERR_CONFIG,
                         "%s: no private key has the key id \"%s\"; the key ids are: %s", r->name,
                         id, r->kids);
}

static int fail_selection(const struct jwk_reader *r)
{
    if (r->keys == 0)
        return fail_jwk(r, NULL, BCDA_ERR_KEY_FORMAT, "this JWKS has no keys");
    if (r->key_id)
        return fail_key_id(r);
    if (r->fitting > 1)
        return bcda__err_set(r->err, BCDA_ERR_CONFIG,
                             "%s: %d of its keys can sign; choose one by its key id: %s", r->name,
                             r->fitting, r->kids);
    return fail_jwk(r, NULL, BCDA_ERR_KEY_UNSUPPORTED, "none of its %d keys can sign; %s", r->keys,
                    BCDA__SIGNING_KEYS);
}

static int fail_contradiction(const struct jwk_reader *r)
{
    char kid[ID_MAX];
    char id[ID_MAX];

    bcda__text_show(kid, sizeof kid, r->top.kid);
    bcda__text_show(id, sizeof id, r->key_id);
    return bcda__err_set(r->err, BCDA_ERR_CONFIG,
                         "%s: the kid of the key is \"%s\", not the key id \"%s\"", r->name, kid,
                         id);
}

/* Checks that `k` is the key to use: the only one that can be meant, and for a signature. */
static int check_selection(const struct jwk_reader *r, const struct jwk *k)
{
    if (r->is_set && has(&r->top, WORD_KTY))
        return fail_jwk(r, NULL, BCDA_ERR_KEY_FORMAT,
                        "this is neither a JWK nor a JWKS, because it has kty and keys");
    if (r->is_set && r->fitting != 1 && (r->keys != 1 || r->key_id))
        return fail_selection(r);
    if (!r->is_set && r->top_rc)
        return r->top_rc;
    if (!r->is_set && r->key_id && r->top.kid && strcmp(r->top.kid, r->key_id) != 0)
        return fail_contradiction(r);
    return check_jwk(r, k);
}

/* ---- the document ---- */

/* Takes a member of the top object. If that is a JWKS, these members have no meaning (RFC 7517 5),
 * so a wrong one is an error only at the end. */
static int take_top_member(struct jwk_reader *r, enum bcda__json_event event, const char *text,
                           size_t len)
{
    if (!r->top_rc)
        r->top_rc = take_member(r, &r->top, event, text, len);
    return r->top_rc == BCDA_ERR_NOMEM ? BCDA_ERR_NOMEM : 0;
}

enum { DOCUMENT_ITSELF, SET, SET_ELEMENT, TOP_MEMBER, TOP_OP, ELEMENT_MEMBER, ELEMENT_OP };

static const struct bcda__document_path jwk_paths[] = {
    {"", DOCUMENT_ITSELF},
    {"*", TOP_MEMBER},
    {"key_ops[]", TOP_OP},
    {"keys", SET},
    {"keys[]", SET_ELEMENT},
    {"keys[].*", ELEMENT_MEMBER},
    {"keys[].key_ops[]", ELEMENT_OP},
};

static int on_jwks_keys(struct jwk_reader *r, enum bcda__json_event event)
{
    if (event == BCDA__JSON_KEY && r->is_set++)
        return fail_jwk(r, NULL, BCDA_ERR_KEY_FORMAT, "the member keys is there twice");
    if (event != BCDA__JSON_KEY && event != BCDA__JSON_ARRAY && event != BCDA__JSON_ARRAY_END)
        return fail_jwk(r, NULL, BCDA_ERR_KEY_FORMAT, "the member keys is not an array");
    return 0;
}

static int on_jwks_element(struct jwk_reader *r, enum bcda__json_event event)
{
    if (event == BCDA__JSON_OBJECT_END)
        return end_element(r);
    if (event != BCDA__JSON_OBJECT)
        return fail_jwk(r, NULL, BCDA_ERR_KEY_FORMAT, "an element of keys is not an object");
    r->element.number = ++r->keys;
    return 0;
}

static void take_op(struct jwk *k, enum bcda__json_event event, const char *text, size_t len)
{
    if (event == BCDA__JSON_STRING && bcda__document_is(text, len, "sign"))
        k->can_sign = 1;
}

static int jwk_on_value(void *ctx, int what, enum bcda__json_event event, const char *text,
                        size_t len)
{
    struct jwk_reader *r = ctx;

    switch (what) {
    case SET:
        return on_jwks_keys(r, event);
    case SET_ELEMENT:
        return on_jwks_element(r, event);
    case TOP_MEMBER:
        return take_top_member(r, event, text, len);
    case ELEMENT_MEMBER:
        return take_member(r, &r->element, event, text, len);
    case TOP_OP:
        take_op(&r->top, event, text, len);
        return 0;
    case ELEMENT_OP:
        take_op(&r->element, event, text, len);
        return 0;
    default:
        if (event == BCDA__JSON_OBJECT || event == BCDA__JSON_OBJECT_END)
            return 0;
        return fail_jwk(r, NULL, BCDA_ERR_KEY_FORMAT,
                        "neither a JWK nor a JWKS, because it is not a JSON object");
    }
}

static int parse_jwk(struct jwk_reader *r, const void *text, size_t len)
{
    int rc = bcda__document_parse(text, len, jwk_paths, sizeof jwk_paths / sizeof jwk_paths[0],
                                  jwk_on_value, r);

    if (rc == BCDA_ERR_NOMEM)
        return bcda__err_nomem(r->err);
    if (rc == BCDA_ERR_NOT_JSON)
        return fail_jwk(r, NULL, BCDA_ERR_KEY_FORMAT,
                        "it begins as a JWK, but is not one JSON document");
    if (rc == BCDA_ERR_BODY_TOO_LARGE)
        return fail_jwk(r, NULL, BCDA_ERR_KEY_FORMAT, "far too long for a JWK");
    return rc; /* the error is set */
}

int bcda__jwk_read(struct bcda__key **out, char **id, const char *name, const void *text,
                   size_t len, const char *key_id, struct bcda_error *err)
{
    struct jwk_reader r = {.name = name, .key_id = key_id, .err = err};
    struct jwk *k;
    int rc = parse_jwk(&r, text, len);

    k = r.is_set ? &r.chosen : &r.top;
    if (!rc)
        rc = check_selection(&r, k);
    if (!rc)
        rc = load_jwk(&r, k, out);
    if (!rc) {
        *id = k->kid;
        k->kid = NULL;
        if (err)
            bcda__err_clear(err); /* a member of the JWKS itself may have set it */
    }
    jwk_free(&r.top);
    jwk_free(&r.element);
    jwk_free(&r.chosen);
    return rc;
}
