#include "codec/key.h"

#include <libtasn1.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "bcda/error.h"
#include "codec/key_asn1.h"

enum {
    BITS_MIN = 2048,
    BITS_MAX = 8192,
    DER_MAX = 65536,           /* an 8192-bit key has under 5 KiB */
    ITERATIONS_MAX = 10000000, /* about ten seconds; OpenSSL uses 2048 */
    OID_MAX = 128,
    DERIVED_MAX = 32
};

#define OID_RSA    "1.2.840.113549.1.1.1"
#define OID_EC     "1.2.840.10045.2.1"
#define OID_PBES2  "1.2.840.113549.1.5.13"
#define OID_PBKDF2 "1.2.840.113549.1.5.12"

#define CONVERT "convert it with `openssl pkcs8 -topk8 -v2 aes-256-cbc`"

struct span {
    const uint8_t *at;
    size_t len;
};

/* The state of reading one key. */
struct reader {
    const char *name;
    const char *passphrase; /* NULL = none */
    struct bcda_error *err;
    asn1_node grammar;
};

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

/* ---- PEM ---- */

struct lines {
    const char *at, *end;
};

/* Reads the next line, without its line end and surrounding blanks. Returns 0 at the end of the
 * text. */
static int next_line(struct lines *l, struct span *line)
{
    const char *from = l->at;
    const char *to;

    if (from == l->end)
        return 0;
    to = memchr(from, '\n', (size_t)(l->end - from));
    l->at = to ? to + 1 : l->end;
    if (!to)
        to = l->end;
    while (from < to && (*from == ' ' || *from == '\t'))
        from++;
    while (to > from && (to[-1] == ' ' || to[-1] == '\t' || to[-1] == '\r'))
        to--;
    line->at = (const uint8_t *)from;
    line->len = (size_t)(to - from);
    return 1;
}

static int span_is(struct span s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}

static int span_starts(struct span s, const char *text)
{
    size_t len = strlen(text);

    return s.len >= len && memcmp(s.at, text, len) == 0;
}

static int span_ends(struct span s, const char *text)
{
    size_t len = strlen(text);

    return s.len >= len && memcmp(s.at + s.len - len, text, len) == 0;
}

static struct span span_skip(struct span s, size_t n)
{
    struct span rest = {s.at + n, s.len - n};

    return rest;
}

/* 1 if `line` consists of `word` ("-----BEGIN " or "-----END "), a label, and "-----". */
static int is_boundary(struct span line, const char *word, struct span *label)
{
    if (!span_starts(line, word) || !span_ends(line, "-----") || line.len < strlen(word) + 5)
        return 0;
    *label = span_skip(line, strlen(word));
    label->len -= 5;
    return 1;
}

/* Sets the error for a file without a private key, and describes what the file contains. */
static int explain_no_key(const struct reader *r, struct span pem, int public_key, int certificate)
{
    if (public_key || certificate)
        return bcda__err_set(r->err, BCDA_ERR_KEY_FORMAT,
                             "%s holds a %s; a private key is needed: give the file with the line "
                             "`-----BEGIN PRIVATE KEY-----` or `-----BEGIN RSA PRIVATE KEY-----`",
                             r->name, public_key ? "public key" : "certificate");
    if (pem.len == 0)
        return fail_format(r, "the private key is empty");
    if (pem.at[0] == 0x30)
        return fail_format(r, "this is no PEM text, but perhaps DER or PKCS#12; convert it with "
                              "`openssl pkey -inform DER` or `openssl pkcs12 -nocerts`");
    if (span_starts(pem, "\xFF\xFE") || span_starts(pem, "\xFE\xFF"))
        return fail_format(r, "this is UTF-16 text; save the PEM file as ASCII or UTF-8");
    return fail_format(r, "no PEM private key in it: a line `-----BEGIN PRIVATE KEY-----` or "
                          "`-----BEGIN RSA PRIVATE KEY-----` is needed");
}

/* Moves to the line after the first line "-----BEGIN … PRIVATE KEY-----". */
static int find_begin(const struct reader *r, struct span pem, struct lines *l, struct span *label)
{
    struct span line;
    int public_key = 0;
    int certificate = 0;
    int first = 1;

    while (next_line(l, &line)) {
        if (first && span_starts(line, "\xEF\xBB\xBF"))
            line = span_skip(line, 3); /* a byte order mark */
        first = 0;
        if (!is_boundary(line, "-----BEGIN ", label))
            continue;
        if (span_ends(*label, "PRIVATE KEY"))
            return 0;
        public_key |= span_ends(*label, "PUBLIC KEY");
        certificate |= span_ends(*label, "CERTIFICATE");
    }
    return explain_no_key(r, pem, public_key, certificate);
}

struct pem_key {
    struct span label;
    struct span proc_type; /* this and dek_info: headers of RFC 1421; .at = NULL: none */
    struct span dek_info;
    struct bcda__secret der;
};

/* Stores the value of a "Name: value" header of the PEM block. Returns 0 if the line is no header,
 * that is, has no colon. base64 text has no colon. */
static int take_header(struct span line, struct pem_key *k)
{
    const uint8_t *colon = line.len ? memchr(line.at, ':', line.len) : NULL;
    struct span name, value;

    if (!colon)
        return 0;
    name.at = line.at;
    name.len = (size_t)(colon - line.at);
    value = span_skip(line, name.len + 1);
    while (value.len && (*value.at == ' ' || *value.at == '\t'))
        value = span_skip(value, 1);
    if (span_is(name, "Proc-Type"))
        k->proc_type = value;
    else if (span_is(name, "DEK-Info"))
        k->dek_info = value;
    return 1;
}

static int base64_value(int c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* The state of decoding base64 over several lines. */
struct base64 {
    uint32_t bits;
    unsigned count; /* characters of the current group of four, including padding */
    unsigned padding;
    uint8_t *out;
    size_t len;
};

static int base64_add(struct base64 *b, int c)
{
    int value = c == '=' ? 0 : base64_value(c);

    if (value < 0 || (b->padding && c != '=') || (c == '=' && (b->count < 2 || b->padding == 2)))
        return -1;
    b->padding += c == '=';
    b->bits = b->bits << 6 | (uint32_t)value;
    if (++b->count < 4)
        return 0;
    if (b->bits & ((1u << 8 * b->padding) - 1))
        return -1; /* an encoder sets unused bits to zero, so the text is damaged */
    b->out[b->len++] = (uint8_t)(b->bits >> 16);
    if (b->padding < 2)
        b->out[b->len++] = (uint8_t)(b->bits >> 8);
    if (b->padding < 1)
        b->out[b->len++] = (uint8_t)b->bits;
    b->count = b->padding ? 5 : 0; /* 5 = padding was read; no character may follow */
    b->bits = 0;
    return 0;
}

/* Decodes the lines up to "-----END label-----" into k->der, which read_pem() has made large
 * enough.
 */
static int read_pem_body(const struct reader *r, struct lines *l, struct pem_key *k)
{
    struct base64 b = {.out = (uint8_t *)k->der.data};
    struct span line, label;
    int in_headers = 1;
    size_t i;

    while (next_line(l, &line)) {
        if (in_headers && take_header(line, k))
            continue;
        if (is_boundary(line, "-----END ", &label)) {
            if (label.len != k->label.len || memcmp(label.at, k->label.at, label.len) != 0)
                return fail_format(r, "the END line does not fit the BEGIN line");
            if ((b.count != 0 && b.count != 5) || b.len == 0)
                return fail_format(r, "the base64 text is incomplete");
            k->der.len = b.len;
            return 0;
        }
        in_headers &= line.len == 0;
        for (i = 0; i < line.len; i++)
            if (b.count == 5 || base64_add(&b, line.at[i]))
                return fail_format(r, "the base64 text has a character that does not belong there");
    }
    return fail_format(r, "the END line is missing; the file seems to be cut");
}

static int read_pem(const struct reader *r, struct span pem, struct pem_key *k)
{
    struct lines l = {(const char *)pem.at, (const char *)pem.at + pem.len};
    int rc = find_begin(r, pem, &l, &k->label);
    size_t left;

    if (rc)
        return rc;
    left = (size_t)(l.end - l.at);
    if (left > DER_MAX * 2) /* the file may contain more than this key */
        l.end = l.at + DER_MAX * 2;
    rc = bcda__secret_set(&k->der, NULL, (size_t)(l.end - l.at) / 4 * 3 + 3);
    return rc ? bcda__err_nomem(r->err) : read_pem_body(r, &l, k);
}

/* ---- DER ---- */

static void node_free(asn1_node *node)
{
    asn1_delete_structure2(node, ASN1_DELETE_FLAG_ZEROIZE);
}

/* Returns 0, BCDA_ERR_NOMEM or BCDA_ERR_KEY_FORMAT, and sets no error text. */
static int decode_asn1(const struct reader *r, const char *type, struct span der, asn1_node *out)
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
static int read_field_whole(asn1_node node, struct span der, const char *path, struct span *out)
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

/* Removes the tag and the length from a field. Returns -1 if the tag is not `want`, or if the
 * length is wrong. */
static int unwrap_tag(struct span *s, unsigned long want)
{
    unsigned char class;
    unsigned long tag;
    int tag_len, len_len;
    long len;

    if (s->len > INT32_MAX ||
        asn1_get_tag_der(s->at, (int)s->len, &class, &tag_len, &tag) != ASN1_SUCCESS ||
        class != ASN1_CLASS_UNIVERSAL || tag != want)
        return -1;
    *s = span_skip(*s, (size_t)tag_len);
    len = asn1_get_length_der(s->at, (int)s->len, &len_len);
    if (len < 0 || (size_t)len != s->len - (size_t)len_len)
        return -1;
    *s = span_skip(*s, (size_t)len_len);
    return 0;
}

static int read_field(asn1_node node, struct span der, const char *path, unsigned long tag,
                      struct span *out)
{
    return read_field_whole(node, der, path, out) || unwrap_tag(out, tag) ? -1 : 0;
}

static int read_field_oid(asn1_node node, const char *path, char oid[OID_MAX])
{
    int len = OID_MAX;

    return asn1_read_value(node, path, oid, &len) == ASN1_SUCCESS ? 0 : -1;
}

/* Finds the value of a positive INTEGER, without its sign octet. */
static int field_number(asn1_node node, struct span der, const char *path, struct span *out)
{
    if (read_field(node, der, path, ASN1_TAG_INTEGER, out) || out->len == 0 || out->at[0] & 0x80)
        return -1;
    while (out->len && out->at[0] == 0)
        *out = span_skip(*out, 1);
    return out->len ? 0 : -1;
}

static int field_uint32(asn1_node node, struct span der, const char *path, uint32_t *out)
{
    struct span number;
    size_t i;

    if (field_number(node, der, path, &number))
        return -1;
    for (*out = 0, i = 0; i < number.len; i++)
        *out = number.len > sizeof *out ? UINT32_MAX : *out << 8 | number.at[i];
    return 0;
}

/* ---- The RSA key ---- */

static unsigned count_bits(struct span number)
{
    unsigned bits = (unsigned)number.len * 8;
    unsigned top = number.at[0];

    for (; !(top & 0x80); top <<= 1)
        bits--;
    return bits;
}

static int is_multi_prime(asn1_node node, struct span der)
{
    struct span s;

    return read_field(node, der, "version", ASN1_TAG_INTEGER, &s) == 0 && s.len == 1 &&
           s.at[0] == 1;
}

/* Sets key->parts, which point into key->der. Sets no error text, because only the caller can
 * distinguish a damaged key from a wrong passphrase. */
static int find_parts(const struct reader *r, struct bcda__key *key, int *multi_prime)
{
    static const char *const paths[] = {"modulus", "publicExponent", "privateExponent", "prime1",
                                        "prime2"};
    struct span der = {(const uint8_t *)key->der.data, key->der.len};
    struct span found[5];
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
static int read_rsa(const struct reader *r, struct span der, int decrypted, struct bcda__key *key)
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
    if (key->bits < BITS_MIN || key->bits > BITS_MAX)
        return bcda__err_set(r->err, BCDA_ERR_KEY_UNSUPPORTED,
                             "%s is an RSA key of %u bits; %d to %d are supported", r->name,
                             key->bits, BITS_MIN, BITS_MAX);
    rc = bcda__rsa_check(&key->parts);
    return rc ? fail_with(r, rc) : 0;
}

static int check_algorithm(const struct reader *r, asn1_node node)
{
    char oid[OID_MAX];

    if (read_field_oid(node, "algorithm.algorithm", oid))
        return fail_format(r, "the key does not say of which kind it is");
    if (strcmp(oid, OID_RSA) == 0)
        return 0;
    if (strcmp(oid, OID_EC) == 0)
        return fail_unsupported(r, "this is an EC key; an RSA private key is needed");
    return bcda__err_set(r->err, BCDA_ERR_KEY_UNSUPPORTED,
                         "%s: a key of kind %s; an RSA private key is needed", r->name, oid);
}

static int read_pkcs8(const struct reader *r, struct span der, int decrypted, struct bcda__key *key)
{
    asn1_node node = NULL;
    struct span inner;
    int rc = decode_asn1(r, "KEY.PrivateKeyInfo", der, &node);

    if (rc == BCDA_ERR_KEY_FORMAT && decrypted)
        return fail_passphrase(r);
    if (rc == BCDA_ERR_KEY_FORMAT)
        return fail_format(r, "the PKCS#8 structure cannot be read; it is damaged or cut");
    if (rc)
        return fail_with(r, rc);
    rc = check_algorithm(r, node);
    if (!rc && read_field(node, der, "privateKey", ASN1_TAG_OCTET_STRING, &inner))
        rc = fail_format(r, "there is no key in the PKCS#8 structure; it is damaged");
    node_free(&node);
    /* The outer structure is valid, so the passphrase was right. Therefore `decrypted` is 0
     * here. */
    return rc ? rc : read_rsa(r, inner, 0, key);
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
    struct span salt;
    struct span iv;
};

static int read_pbkdf2(const struct reader *r, struct span der, struct pbes2 *p)
{
    char oid[OID_MAX];
    asn1_node node = NULL;
    struct span whole;
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

static int read_scheme(const struct reader *r, asn1_node node, struct span der, struct pbes2 *p)
{
    char oid[OID_MAX];
    struct span kdf;

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

static int read_pbes2(const struct reader *r, struct span der, struct pbes2 *p)
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
static int read_envelope(const struct reader *r, struct span der, struct pbes2 *p,
                         struct span *data)
{
    char oid[OID_MAX];
    struct span parameters;
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
    struct span whole = {(const uint8_t *)der->data, der->len};
    struct span data = {NULL, 0};
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
static int read_dek_info(const struct reader *r, struct span info, enum bcda__cipher *cipher,
                         uint8_t iv[16])
{
    const uint8_t *comma = info.len ? memchr(info.at, ',', info.len) : NULL;
    struct span hex;
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
    hex = span_skip(info, name_len + 1);
    if (bcda__text_hex_decode((const char *)hex.at, hex.len, iv, 16, &iv_len) ||
        iv_len != bcda__cipher_iv_len(*cipher))
        return fail_format(r, "the initialisation vector in its DEK-Info header is wrong");
    return 0;
}

/* Reads OpenSSL's traditional form of an encrypted key: the DER is encrypted, and headers of the
 * PEM block name the cipher. */
static int read_encrypted_pkcs1(const struct reader *r, struct pem_key *k, struct bcda__key *key)
{
    enum bcda__cipher cipher = BCDA__CIPHER_AES256_CBC;
    uint8_t iv[16];
    uint8_t derived[DERIVED_MAX];
    struct span der = {(const uint8_t *)k->der.data, k->der.len};
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
    return rc ? fail_with(r, rc) : read_rsa(r, der, 1, key);
}

/* ---- The public functions ---- */

static int fail_label(const struct reader *r, struct span label)
{
    char text[64] = "";

    if (span_is(label, "OPENSSH PRIVATE KEY"))
        return fail_unsupported(r, "this key is in OpenSSH's own form; convert a copy with "
                                   "`ssh-keygen -p -m PEM -f COPY`");
    if (span_is(label, "EC PRIVATE KEY"))
        return fail_unsupported(r, "this is an EC key; an RSA private key is needed");
    memcpy(text, label.at, label.len < sizeof text - 1 ? label.len : sizeof text - 1);
    return bcda__err_set(r->err, BCDA_ERR_KEY_UNSUPPORTED,
                         "%s holds a `%s`; an RSA private key is needed", r->name, text);
}

static int read_block(const struct reader *r, struct pem_key *k, struct bcda__key *key)
{
    struct span der = {(const uint8_t *)k->der.data, k->der.len};

    if (k->der.len > DER_MAX)
        return fail_format(r, "far too long for a private key");
    if (span_is(k->label, "ENCRYPTED PRIVATE KEY"))
        return read_encrypted_pkcs8(r, &k->der, key);
    if (span_is(k->label, "PRIVATE KEY"))
        return read_pkcs8(r, der, 0, key);
    if (k->proc_type.at && span_ends(k->proc_type, "ENCRYPTED"))
        return read_encrypted_pkcs1(r, k, key);
    return read_rsa(r, der, 0, key);
}

static int is_label_known(struct span label)
{
    return span_is(label, "RSA PRIVATE KEY") || span_is(label, "PRIVATE KEY") ||
           span_is(label, "ENCRYPTED PRIVATE KEY");
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

int bcda__key_new(struct bcda__key **out, const char *name, const void *pem, size_t len,
                  const char *passphrase, struct bcda_error *err)
{
    struct reader r = {.name = name, .passphrase = passphrase, .err = err};
    struct span text = {pem, len};
    struct pem_key k = {0};
    struct bcda__key *key = bcda__calloc(1, sizeof *key);
    int rc;

    if (!key)
        return bcda__err_nomem(err);
    rc = read_pem(&r, text, &k);
    if (!rc && !is_label_known(k.label))
        rc = fail_label(&r, k.label);
    if (!rc)
        rc = make_grammar(&r);
    if (!rc)
        rc = read_block(&r, &k, key);
    bcda__secret_free(&k.der);
    asn1_delete_structure(&r.grammar);
    if (rc)
        bcda__key_free(key);
    else
        *out = key;
    return rc;
}

void bcda__key_free(struct bcda__key *key)
{
    if (!key)
        return;
    bcda__secret_free(&key->der);
    bcda__free(key);
}
