#include "codec/key.h"

#include <libtasn1.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "bcda/error.h"
#include "codec/bytes.h"
#include "codec/key_asn1.h"
#include "codec/pem.h"

enum {
    ITERATIONS_MAX = 10000000, /* about ten seconds; OpenSSL uses 2048 */
    OID_MAX = 128,
    DERIVED_MAX = 32
};

#define OID_RSA    "1.2.840.113549.1.1.1"
#define OID_EC     "1.2.840.10045.2.1"
#define OID_PBES2  "1.2.840.113549.1.5.13"
#define OID_PBKDF2 "1.2.840.113549.1.5.12"

#define CONVERT "convert it with `openssl pkcs8 -topk8 -v2 aes-256-cbc`"

/* The state of reading one key. */
struct reader {
    const char *name;
    const char *passphrase; /* NULL = none */
    struct bcda_error *err;
    asn1_node grammar;
    int signing; /* 1 = the key is to sign, so it may be an EC key */
};

static const char *wanted_kind(const struct reader *r)
{
    return r->signing ? BCDA__SIGNING_KEYS : "an RSA private key is needed";
}

static int fail_format(const struct reader *r, const char *what)
{
    return bcda__err_set(r->err, BCDA_ERR_KEY_FORMAT, "%s: %s", r->name, what);
}

static int fail_unsupported(const struct reader *r, const char *what)
{
    return bcda__err_set(r->err, BCDA_ERR_KEY_UNSUPPORTED, "%s: %s", r->name, what);
}

static int fail_passphrase(const struct reader *r)
{
    return bcda__err_set(r->err, BCDA_ERR_KEY_PASSPHRASE,
                         "%s: the passphrase is wrong, or the key is damaged", r->name);
}

/* Sets the error for a code that a function returned without setting an error. */
static int fail_with(const struct reader *r, int rc)
{
    switch (rc) {
    case BCDA_ERR_NOMEM:
        return bcda__err_nomem(r->err);
    case BCDA_ERR_KEY_PASSPHRASE:
        return fail_passphrase(r);
    case BCDA_ERR_KEY_FIPS:
        return bcda__err_set(r->err, rc,
                             "%s is encrypted the old way, with MD5, which FIPS mode forbids; "
                             "elsewhere, " CONVERT,
                             r->name);
    case BCDA_ERR_KEY_FORMAT:
        return fail_format(r, "the parts of the key do not fit together; it is damaged");
    default:
        return bcda__err_set(r->err, rc, "%s: libgcrypt refuses to work on this key%s", r->name,
                             bcda__crypto_fips()
                                 ? " (in FIPS mode, which wants passphrases of 14 bytes or more)"
                                 : "");
    }
}

/* ---- DER ---- */

static void node_free(asn1_node *node)
{
    asn1_delete_structure2(node, ASN1_DELETE_FLAG_ZEROIZE);
}

/* Returns 0, BCDA_ERR_NOMEM or BCDA_ERR_KEY_FORMAT, and sets no error text. */
static int decode_asn1(const struct reader *r, const char *type, struct bcda__bytes der,
                       asn1_node *out)
{
    int len = (int)der.len;
    int arc;

    if (der.len > INT32_MAX)
        return BCDA_ERR_KEY_FORMAT;
    arc = asn1_create_element(r->grammar, type, out);
    if (arc == ASN1_SUCCESS)
        arc = asn1_der_decoding2(out, der.at, &len, ASN1_DECODE_FLAG_STRICT_DER, NULL);
    if (arc == ASN1_SUCCESS)
        return 0;
    node_free(out);
    return arc == ASN1_MEM_ERROR || arc == ASN1_MEM_ALLOC_ERROR ? BCDA_ERR_NOMEM
                                                                : BCDA_ERR_KEY_FORMAT;
}

/* Finds a field in `der`, with its tag and length. Returns -1 if it is absent. */
static int read_field_whole(asn1_node node, struct bcda__bytes der, const char *path,
                            struct bcda__bytes *out)
{
    int start, end; /* `end` is the offset of the last byte */

    if (asn1_der_decoding_startEnd(node, der.at, (int)der.len, path, &start, &end) !=
            ASN1_SUCCESS ||
        start < 0 || end < start || (size_t)end >= der.len)
        return -1;
    out->at = der.at + start;
    out->len = (size_t)(end - start) + 1;
    return 0;
}

enum { EXPLICIT = ASN1_CLASS_CONTEXT_SPECIFIC | ASN1_CLASS_STRUCTURED };

/* Removes the tag and the length from a field. Returns -1 if the class and the tag are not those
 * that are wanted, or if the length is wrong. */
static int unwrap_tag(struct bcda__bytes *s, unsigned want_class, unsigned long want)
{
    unsigned char class;
    unsigned long tag;
    int tag_len, len_len;
    long len;

    if (s->len > INT32_MAX ||
        asn1_get_tag_der(s->at, (int)s->len, &class, &tag_len, &tag) != ASN1_SUCCESS ||
        class != want_class || tag != want)
        return -1;
    *s = bcda__bytes_skip(*s, (size_t)tag_len);
    len = asn1_get_length_der(s->at, (int)s->len, &len_len);
    if (len < 0 || (size_t)len != s->len - (size_t)len_len)
        return -1;
    *s = bcda__bytes_skip(*s, (size_t)len_len);
    return 0;
}

static int read_field(asn1_node node, struct bcda__bytes der, const char *path, unsigned long tag,
                      struct bcda__bytes *out)
{
    return read_field_whole(node, der, path, out) || unwrap_tag(out, ASN1_CLASS_UNIVERSAL, tag) ? -1
                                                                                                : 0;
}

/* Finds the value of an optional field with an EXPLICIT tag. If the field is absent, out->at is
 * NULL.
 */
static int read_explicit(asn1_node node, struct bcda__bytes der, const char *path,
                         unsigned long number, struct bcda__bytes *out)
{
    memset(out, 0, sizeof *out);
    if (read_field_whole(node, der, path, out))
        return 0;
    return unwrap_tag(out, EXPLICIT, number);
}

static int read_field_oid(asn1_node node, const char *path, char oid[OID_MAX])
{
    int len = OID_MAX;

    return asn1_read_value(node, path, oid, &len) == ASN1_SUCCESS ? 0 : -1;
}

/* Finds the value of a positive INTEGER, without its sign octet. */
static int field_number(asn1_node node, struct bcda__bytes der, const char *path,
                        struct bcda__bytes *out)
{
    if (read_field(node, der, path, ASN1_TAG_INTEGER, out) || out->len == 0 || out->at[0] & 0x80)
        return -1;
    while (out->len && out->at[0] == 0)
        *out = bcda__bytes_skip(*out, 1);
    return out->len ? 0 : -1;
}

static int field_uint32(asn1_node node, struct bcda__bytes der, const char *path, uint32_t *out)
{
    struct bcda__bytes number;
    size_t i;

    if (field_number(node, der, path, &number))
        return -1;
    for (*out = 0, i = 0; i < number.len; i++)
        *out = number.len > sizeof *out ? UINT32_MAX : *out << 8 | number.at[i];
    return 0;
}

/* ---- The RSA key ---- */

static unsigned count_bits(struct bcda__bytes number)
{
    unsigned bits = (unsigned)number.len * 8;
    unsigned top = number.at[0];

    for (; !(top & 0x80); top <<= 1)
        bits--;
    return bits;
}

static int is_multi_prime(asn1_node node, struct bcda__bytes der)
{
    struct bcda__bytes s;

    return read_field(node, der, "version", ASN1_TAG_INTEGER, &s) == 0 && s.len == 1 &&
           s.at[0] == 1;
}

/* Sets key->parts, which point into key->der. Sets no error text, because only the caller can
 * distinguish a damaged key from a wrong passphrase. */
static int find_parts(const struct reader *r, struct bcda__key *key, int *multi_prime)
{
    static const char *const paths[] = {"modulus", "publicExponent", "privateExponent", "prime1",
                                        "prime2"};
    struct bcda__bytes der = {(const uint8_t *)key->der.data, key->der.len};
    struct bcda__bytes found[5];
    asn1_node node = NULL;
    size_t i;
    int rc = decode_asn1(r, "KEY.RSAPrivateKey", der, &node);

    if (rc)
        return rc;
    *multi_prime = is_multi_prime(node, der);
    for (i = 0; i < 5 && !rc; i++)
        rc = field_number(node, der, paths[i], &found[i]) ? BCDA_ERR_KEY_FORMAT : 0;
    node_free(&node);
    if (rc)
        return rc;
    key->parts.n = found[0].at, key->parts.n_len = found[0].len;
    key->parts.e = found[1].at, key->parts.e_len = found[1].len;
    key->parts.d = found[2].at, key->parts.d_len = found[2].len;
    key->parts.p = found[3].at, key->parts.p_len = found[3].len;
    key->parts.q = found[4].at, key->parts.q_len = found[4].len;
    key->bits = count_bits(found[0]);
    return 0;
}

/* Reads an RSAPrivateKey. `decrypted` = `der` was decrypted, so if it cannot be read, the
 * passphrase may be wrong. */
static int read_rsa(const struct reader *r, struct bcda__bytes der, int decrypted,
                    struct bcda__key *key)
{
    int multi_prime = 0;
    int rc = bcda__secret_set(&key->der, der.at, der.len);

    if (rc)
        return fail_with(r, rc);
    rc = find_parts(r, key, &multi_prime);
    if (rc == BCDA_ERR_KEY_FORMAT && decrypted)
        return fail_passphrase(r);
    if (rc == BCDA_ERR_KEY_FORMAT)
        return fail_format(r, "the RSA key cannot be read; it is damaged or cut");
    if (rc)
        return fail_with(r, rc);
    if (multi_prime)
        return fail_unsupported(r, "an RSA key with more than two primes is not supported");
    if (key->bits < BCDA__RSA_BITS_MIN || key->bits > BCDA__RSA_BITS_MAX)
        return bcda__err_set(r->err, BCDA_ERR_KEY_UNSUPPORTED,
                             "%s is an RSA key of %u bits; %d to %d are supported", r->name,
                             key->bits, BCDA__RSA_BITS_MIN, BCDA__RSA_BITS_MAX);
    rc = bcda__rsa_check(&key->parts);
    return rc ? fail_with(r, rc) : 0;
}

/* ---- The EC key ---- */

struct curve_row {
    const char *name;
    const char *oid; /* in DER */
};

static const struct curve_row curves[] = {
    {"P-384", "\x06\x05\x2b\x81\x04\x00\x22"},
    {"P-256", "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"},
    {"P-521", "\x06\x05\x2b\x81\x04\x00\x23"},
    {"secp256k1", "\x06\x05\x2b\x81\x04\x00\x0a"},
};

/* Checks that `oid`, an ECParameters, names P-384. */
static int check_curve(const struct reader *r, struct bcda__bytes oid)
{
    const char *name = "a curve that is not supported";
    size_t i;

    if (oid.len && oid.at[0] != ASN1_TAG_OBJECT_ID)
        return fail_unsupported(r, "the EC key has the parameters of its curve, not its name; "
                                   "convert it with `openssl ec -param_enc named_curve`");
    for (i = 0; i < sizeof curves / sizeof curves[0]; i++)
        /* The second byte is the length. There may be zeros after it, so this is no string. */
        if (oid.len == 2u + (unsigned char)curves[i].oid[1] &&
            memcmp(oid.at, curves[i].oid, oid.len) == 0)
            name = curves[i].name;
    if (name == curves[0].name)
        return 0;
    return bcda__err_set(r->err, BCDA_ERR_KEY_UNSUPPORTED, "%s is an EC key on %s; %s", r->name,
                         name, wanted_kind(r));
}

/* The parts of an ECPrivateKey. */
struct ec_parts {
    struct bcda__bytes d, curve, point; /* the last two: .at = NULL: none */
};

/* Sets no error text, as find_parts(). */
static int find_ec_parts(const struct reader *r, struct bcda__bytes der, struct ec_parts *parts)
{
    asn1_node node = NULL;
    uint32_t version;
    int rc = decode_asn1(r, "KEY.ECPrivateKey", der, &node);

    if (rc)
        return rc;
    if (field_uint32(node, der, "version", &version) || version != 1 ||
        read_field(node, der, "privateKey", ASN1_TAG_OCTET_STRING, &parts->d) ||
        read_explicit(node, der, "parameters", 0, &parts->curve) ||
        read_explicit(node, der, "publicKey", 1, &parts->point))
        rc = BCDA_ERR_KEY_FORMAT;
    if (!rc && parts->point.at) {
        if (unwrap_tag(&parts->point, ASN1_CLASS_UNIVERSAL, ASN1_TAG_BIT_STRING) ||
            parts->point.len == 0 || parts->point.at[0] != 0)
            rc = BCDA_ERR_KEY_FORMAT;
        else /* without the number of unused bits */
            parts->point = bcda__bytes_skip(parts->point, 1);
    }
    node_free(&node);
    return rc;
}

/* Reads an ECPrivateKey (RFC 5915). `curve` is its ECParameters in PKCS#8; .at = NULL: none. For
 * `decrypted` see read_rsa(). */
static int read_ec(const struct reader *r, struct bcda__bytes der, struct bcda__bytes curve,
                   int decrypted, struct bcda__key *key)
{
    struct ec_parts parts = {0};
    int rc = find_ec_parts(r, der, &parts);

    if (rc == BCDA_ERR_KEY_FORMAT && decrypted)
        return fail_passphrase(r);
    if (rc == BCDA_ERR_KEY_FORMAT)
        return fail_format(r, "the EC key cannot be read; it is damaged or cut");
    if (rc)
        return fail_with(r, rc);
    if (!curve.at && !parts.curve.at)
        return fail_format(r, "the EC key does not name its curve");
    if ((curve.at && (rc = check_curve(r, curve))) ||
        (parts.curve.at && (rc = check_curve(r, parts.curve))))
        return rc;
    if (parts.d.len != BCDA__P384_LEN)
        return fail_format(r, "the private value of the EC key has a wrong length");
    rc = bcda__secret_set(&key->p384, NULL, sizeof(struct bcda__p384));
    if (!rc)
        rc = bcda__p384_new((struct bcda__p384 *)(void *)key->p384.data, parts.d.at, parts.point.at,
                            parts.point.len);
    return rc ? fail_with(r, rc) : 0;
}

/* ---- PKCS#8 ---- */

/* Checks the kind of the key. For an EC key, *curve gets its ECParameters. */
static int check_algorithm(const struct reader *r, asn1_node node, struct bcda__bytes der,
                           struct bcda__bytes *curve)
{
    char oid[OID_MAX];

    if (read_field_oid(node, "algorithm.algorithm", oid))
        return fail_format(r, "the key does not say of which kind it is");
    if (strcmp(oid, OID_RSA) == 0)
        return 0;
    if (strcmp(oid, OID_EC) != 0)
        return bcda__err_set(r->err, BCDA_ERR_KEY_UNSUPPORTED, "%s: a key of kind %s; %s", r->name,
                             oid, wanted_kind(r));
    if (!r->signing)
        return fail_unsupported(r, "this is an EC key; an RSA private key is needed");
    if (read_field_whole(node, der, "algorithm.parameters", curve))
        return fail_format(r, "the EC key does not name its curve");
    return 0;
}

static int read_pkcs8(const struct reader *r, struct bcda__bytes der, int decrypted,
                      struct bcda__key *key)
{
    asn1_node node = NULL;
    struct bcda__bytes inner;
    struct bcda__bytes curve = {0};
    int rc = decode_asn1(r, "KEY.PrivateKeyInfo", der, &node);

    if (rc == BCDA_ERR_KEY_FORMAT && decrypted)
        return fail_passphrase(r);
    if (rc == BCDA_ERR_KEY_FORMAT)
        return fail_format(r, "the PKCS#8 structure cannot be read; it is damaged or cut");
    if (rc)
        return fail_with(r, rc);
    rc = check_algorithm(r, node, der, &curve);
    if (!rc && read_field(node, der, "privateKey", ASN1_TAG_OCTET_STRING, &inner))
        rc = fail_format(r, "there is no key in the PKCS#8 structure; it is damaged");
    node_free(&node);
    if (rc)
        return rc;
    /* The outer structure is valid, so the passphrase was right. Therefore `decrypted` is 0
     * here. */
    return curve.at ? read_ec(r, inner, curve, 0, key) : read_rsa(r, inner, 0, key);
}

/* ---- Encrypted keys ---- */

struct name_row {
    const char *name;
    int value;
};

/* Returns the value of the row with this name, or 0. */
static int look_up(const struct name_row *rows, size_t count, const char *name, size_t len)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (bcda__text_equal_nocase(name, len, rows[i].name))
            return rows[i].value;
    return 0;
}

#define LOOK_UP(rows, name, len) look_up(rows, sizeof(rows) / sizeof *(rows), name, len)

static const struct name_row cipher_oids[] = {
    {"2.16.840.1.101.3.4.1.2", BCDA__CIPHER_AES128_CBC},
    {"2.16.840.1.101.3.4.1.22", BCDA__CIPHER_AES192_CBC},
    {"2.16.840.1.101.3.4.1.42", BCDA__CIPHER_AES256_CBC},
    {"1.2.840.113549.3.7", BCDA__CIPHER_3DES_CBC},
};

static const struct name_row cipher_names[] = {
    {"AES-128-CBC", BCDA__CIPHER_AES128_CBC},
    {"AES-192-CBC", BCDA__CIPHER_AES192_CBC},
    {"AES-256-CBC", BCDA__CIPHER_AES256_CBC},
    {"DES-EDE3-CBC", BCDA__CIPHER_3DES_CBC},
};

static const struct name_row prf_oids[] = {
    {"1.2.840.113549.2.7", BCDA__PRF_HMAC_SHA1},
    {"1.2.840.113549.2.9", BCDA__PRF_HMAC_SHA256},
    {"1.2.840.113549.2.10", BCDA__PRF_HMAC_SHA384},
    {"1.2.840.113549.2.11", BCDA__PRF_HMAC_SHA512},
};

static int need_passphrase(const struct reader *r)
{
    if (r->passphrase)
        return 0;
    return bcda__err_set(r->err, BCDA_ERR_KEY_PASSPHRASE,
                         "%s is encrypted; its passphrase is needed", r->name);
}

static int fail_scheme(const struct reader *r, const char *what, const char *which)
{
    return bcda__err_set(r->err, BCDA_ERR_KEY_UNSUPPORTED,
                         "%s is encrypted with %s %s, which is not supported; " CONVERT, r->name,
                         what, which);
}

struct pbes2 {
    enum bcda__cipher cipher;
    enum bcda__prf prf;
    uint32_t iterations;
    uint32_t key_len; /* 0 = the key file does not give it */
    struct bcda__bytes salt;
    struct bcda__bytes iv;
};

static int read_pbkdf2(const struct reader *r, struct bcda__bytes der, struct pbes2 *p)
{
    char oid[OID_MAX];
    asn1_node node = NULL;
    struct bcda__bytes whole;
    int rc = decode_asn1(r, "KEY.PBKDF2", der, &node);

    if (rc)
        return rc == BCDA_ERR_KEY_FORMAT ? fail_format(r, "the PBKDF2 parameters cannot be read")
                                         : fail_with(r, rc);
    if (read_field(node, der, "salt.specified", ASN1_TAG_OCTET_STRING, &p->salt) ||
        p->salt.len == 0 || field_uint32(node, der, "iterations", &p->iterations)) {
        rc = fail_format(r, "the PBKDF2 parameters have no salt or no count");
        goto out;
    }
    if (read_field_whole(node, der, "keyLength", &whole) == 0 &&
        field_uint32(node, der, "keyLength", &p->key_len))
        rc = fail_format(r, "the PBKDF2 parameters have a wrong key length");
    p->prf = BCDA__PRF_HMAC_SHA1; /* the default of RFC 8018, if the key names no PRF */
    if (!rc && read_field_oid(node, "prf.algorithm", oid) == 0) {
        p->prf = (enum bcda__prf)LOOK_UP(prf_oids, oid, strlen(oid));
        if (!p->prf)
            rc = fail_scheme(r, "PBKDF2 and the pseudo-random function", oid);
    }
out:
    node_free(&node);
    return rc;
}

static int read_scheme(const struct reader *r, asn1_node node, struct bcda__bytes der,
                       struct pbes2 *p)
{
    char oid[OID_MAX];
    struct bcda__bytes kdf;

    if (read_field_oid(node, "kdf.algorithm", oid))
        return fail_format(r, "the encryption parameters cannot be read");
    if (strcmp(oid, OID_PBKDF2) != 0)
        return fail_scheme(r, "the key derivation", oid);
    if (read_field_oid(node, "cipher.algorithm", oid))
        return fail_format(r, "the encryption parameters cannot be read");
    p->cipher = (enum bcda__cipher)LOOK_UP(cipher_oids, oid, strlen(oid));
    if (!p->cipher)
        return fail_scheme(r, "the cipher", oid);
    if (read_field(node, der, "cipher.parameters", ASN1_TAG_OCTET_STRING, &p->iv) ||
        p->iv.len != bcda__cipher_iv_len(p->cipher))
        return fail_format(r, "the initialisation vector of the encryption is wrong");
    if (read_field_whole(node, der, "kdf.parameters", &kdf))
        return fail_format(r, "the PBKDF2 parameters are missing");
    return read_pbkdf2(r, kdf, p);
}

static int check_pbes2(const struct reader *r, const struct pbes2 *p)
{
    if (p->iterations > ITERATIONS_MAX)
        return bcda__err_set(r->err, BCDA_ERR_KEY_UNSUPPORTED,
                             "%s: its encryption asks for over %d PBKDF2 iterations; " CONVERT,
                             r->name, (int)ITERATIONS_MAX);
    if (p->key_len && p->key_len != bcda__cipher_key_len(p->cipher))
        return fail_format(r, "the PBKDF2 key length does not fit the cipher");
    return 0;
}

static int read_pbes2(const struct reader *r, struct bcda__bytes der, struct pbes2 *p)
{
    asn1_node node = NULL;
    int rc = decode_asn1(r, "KEY.PBES2", der, &node);

    if (rc)
        return rc == BCDA_ERR_KEY_FORMAT
                   ? fail_format(r, "the encryption parameters cannot be read")
                   : fail_with(r, rc);
    rc = read_scheme(r, node, der, p);
    node_free(&node);
    return rc ? rc : check_pbes2(r, p);
}

/* Reads the encryption parameters of an EncryptedPrivateKeyInfo, and finds the cipher text. */
static int read_envelope(const struct reader *r, struct bcda__bytes der, struct pbes2 *p,
                         struct bcda__bytes *data)
{
    char oid[OID_MAX];
    struct bcda__bytes parameters;
    asn1_node node = NULL;
    int rc = decode_asn1(r, "KEY.EncryptedPrivateKeyInfo", der, &node);

    if (rc)
        return rc == BCDA_ERR_KEY_FORMAT
                   ? fail_format(r, "the encrypted key cannot be read; it is damaged or cut")
                   : fail_with(r, rc);
    if (read_field_oid(node, "algorithm.algorithm", oid) ||
        read_field(node, der, "data", ASN1_TAG_OCTET_STRING, data))
        rc = fail_format(r, "the encrypted key cannot be read; it is damaged");
    else if (strcmp(oid, OID_PBES2) != 0)
        rc = fail_scheme(r, "the scheme", oid);
    else if (read_field_whole(node, der, "algorithm.parameters", &parameters))
        rc = fail_format(r, "the encryption parameters are missing");
    else
        rc = read_pbes2(r, parameters, p);
    node_free(&node);
    return rc;
}

static int read_encrypted_pkcs8(const struct reader *r, struct bcda__secret *der,
                                struct bcda__key *key)
{
    struct bcda__bytes whole = {(const uint8_t *)der->data, der->len};
    struct bcda__bytes data = {NULL, 0};
    struct pbes2 p = {0};
    uint8_t derived[DERIVED_MAX];
    int rc = read_envelope(r, whole, &p, &data);

    if (!rc)
        rc = need_passphrase(r);
    if (rc)
        return rc;
    rc = bcda__kdf_pbkdf2(p.prf, r->passphrase, p.salt.at, p.salt.len, p.iterations, derived,
                          bcda__cipher_key_len(p.cipher));
    if (!rc) /* this decrypts in place */
        rc =
            bcda__cipher_cbc_open(p.cipher, derived, p.iv.at,
                                  (uint8_t *)der->data + (data.at - whole.at), data.len, &data.len);
    bcda__wipe(derived, sizeof derived);
    return rc ? fail_with(r, rc) : read_pkcs8(r, data, 1, key);
}

/* Reads the cipher and the initialisation vector in a header such as "DEK-Info: AES-256-CBC,0123…".
 * The first 8 bytes of the vector are also the salt. */
static int read_dek_info(const struct reader *r, struct bcda__bytes info, enum bcda__cipher *cipher,
                         uint8_t iv[16])
{
    const uint8_t *comma = info.len ? memchr(info.at, ',', info.len) : NULL;
    struct bcda__bytes hex;
    char name[32] = "";
    size_t name_len, iv_len;

    if (!comma)
        return fail_format(r, "the key is encrypted, but its DEK-Info header cannot be read");
    name_len = (size_t)(comma - info.at);
    *cipher = (enum bcda__cipher)LOOK_UP(cipher_names, (const char *)info.at, name_len);
    if (!*cipher) {
        memcpy(name, info.at, name_len < sizeof name - 1 ? name_len : sizeof name - 1);
        return fail_scheme(r, "the cipher", name);
    }
    hex = bcda__bytes_skip(info, name_len + 1);
    if (bcda__text_hex_decode((const char *)hex.at, hex.len, iv, 16, &iv_len) ||
        iv_len != bcda__cipher_iv_len(*cipher))
        return fail_format(r, "the initialisation vector in its DEK-Info header is wrong");
    return 0;
}

/* Reads the key in a block `RSA PRIVATE KEY` or `EC PRIVATE KEY`. */
static int read_labelled(const struct reader *r, struct bcda__bytes label, struct bcda__bytes der,
                         int decrypted, struct bcda__key *key)
{
    static const struct bcda__bytes no_curve;

    return bcda__bytes_is(label, "EC PRIVATE KEY") ? read_ec(r, der, no_curve, decrypted, key)
                                                   : read_rsa(r, der, decrypted, key);
}

/* Reads OpenSSL's traditional form of an encrypted key: the DER is encrypted, and headers of the
 * PEM block name the cipher. */
static int read_traditional(const struct reader *r, struct bcda__pem *k, struct bcda__key *key)
{
    enum bcda__cipher cipher = BCDA__CIPHER_AES256_CBC;
    uint8_t iv[16];
    uint8_t derived[DERIVED_MAX];
    struct bcda__bytes der = {(const uint8_t *)k->der.data, k->der.len};
    int rc = read_dek_info(r, k->dek_info, &cipher, iv);

    if (!rc)
        rc = need_passphrase(r);
    if (rc)
        return rc;
    rc = bcda__kdf_openssl_md5(r->passphrase, iv, derived, bcda__cipher_key_len(cipher));
    if (!rc)
        rc = bcda__cipher_cbc_open(cipher, derived, iv, (uint8_t *)k->der.data, k->der.len,
                                   &der.len);
    bcda__wipe(derived, sizeof derived);
    return rc ? fail_with(r, rc) : read_labelled(r, k->label, der, 1, key);
}

/* ---- The public functions ---- */

static int fail_label(const struct reader *r, struct bcda__bytes label)
{
    char text[64] = "";

    if (bcda__bytes_is(label, "OPENSSH PRIVATE KEY"))
        return fail_unsupported(r, "this key is in OpenSSH's own form; convert a copy with "
                                   "`ssh-keygen -p -m PEM -f COPY`");
    if (bcda__bytes_is(label, "EC PRIVATE KEY"))
        return fail_unsupported(r, "this is an EC key; an RSA private key is needed");
    memcpy(text, label.at, label.len < sizeof text - 1 ? label.len : sizeof text - 1);
    return bcda__err_set(r->err, BCDA_ERR_KEY_UNSUPPORTED, "%s holds a `%s`; %s", r->name, text,
                         wanted_kind(r));
}

static int read_block(const struct reader *r, struct bcda__pem *k, struct bcda__key *key)
{
    struct bcda__bytes der = {(const uint8_t *)k->der.data, k->der.len};

    if (k->der.len > BCDA__PEM_DER_MAX)
        return fail_format(r, "far too long for a private key");
    if (bcda__bytes_is(k->label, "ENCRYPTED PRIVATE KEY"))
        return read_encrypted_pkcs8(r, &k->der, key);
    if (bcda__bytes_is(k->label, "PRIVATE KEY"))
        return read_pkcs8(r, der, 0, key);
    if (k->proc_type.at && bcda__bytes_ends(k->proc_type, "ENCRYPTED"))
        return read_traditional(r, k, key);
    return read_labelled(r, k->label, der, 0, key);
}

static int is_label_known(const struct reader *r, struct bcda__bytes label)
{
    return (r->signing && bcda__bytes_is(label, "EC PRIVATE KEY")) ||
           bcda__bytes_is(label, "RSA PRIVATE KEY") || bcda__bytes_is(label, "PRIVATE KEY") ||
           bcda__bytes_is(label, "ENCRYPTED PRIVATE KEY");
}

static int make_grammar(struct reader *r)
{
    int arc = asn1_array2tree(key_asn1, &r->grammar, NULL);

    if (arc == ASN1_SUCCESS)
        return 0;
    if (arc == ASN1_MEM_ALLOC_ERROR)
        return bcda__err_nomem(r->err);
    return bcda__err_set(r->err, BCDA_ERR_LIBRARY, "%s: libtasn1 refuses our grammar (%d)", r->name,
                         arc);
}

/* Reads the key by the rules of `r`. `wanted`: see bcda__pem_read(). */
static int read_pem_key(struct reader *r, struct bcda__key **out, struct bcda__bytes text,
                        const char *wanted)
{
    struct bcda__pem k = {0};
    struct bcda__key *key = bcda__calloc(1, sizeof *key);
    int rc;

    if (!key)
        return bcda__err_nomem(r->err);
    rc = bcda__pem_read(&k, r->name, text, wanted, r->err);
    if (!rc && !is_label_known(r, k.label))
        rc = fail_label(r, k.label);
    if (!rc)
        rc = make_grammar(r);
    if (!rc)
        rc = read_block(r, &k, key);
    bcda__secret_free(&k.der);
    asn1_delete_structure(&r->grammar);
    if (rc)
        bcda__key_free(key);
    else
        *out = key;
    return rc;
}

int bcda__key_new(struct bcda__key **out, const char *name, const void *pem, size_t len,
                  const char *passphrase, struct bcda_error *err)
{
    struct reader r = {.name = name, .passphrase = passphrase, .err = err};
    struct bcda__bytes text = {pem, len};

    return read_pem_key(&r, out, text,
                        "`-----BEGIN PRIVATE KEY-----` or `-----BEGIN RSA PRIVATE KEY-----`");
}

int bcda__key_new_signing(struct bcda__key **out, const char *name, const void *pem, size_t len,
                          const char *passphrase, struct bcda_error *err)
{
    struct reader r = {.name = name, .passphrase = passphrase, .err = err, .signing = 1};
    struct bcda__bytes text = {pem, len};

    return read_pem_key(
        &r, out, text,
        "`-----BEGIN PRIVATE KEY-----` or `-----BEGIN EC PRIVATE KEY-----`, or a JWK "
        "with the member d");
}

void bcda__key_free(struct bcda__key *key)
{
    if (!key)
        return;
    bcda__secret_free(&key->der);
    bcda__secret_free(&key->p384);
    bcda__free(key);
}
