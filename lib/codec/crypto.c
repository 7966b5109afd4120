#include "codec/crypto.h"

#include <gcrypt.h>
#include <string.h>

#include "base/mem.h"
#include "bcda/error.h"

/* libgcrypt is shared with the rest of the process. So this file allocates no secure memory (its
 * pool belongs to the application), calls no function that may abort (gcry_x*,
 * gcry_md_hash_buffer), and sets no handlers. This file wipes its own copies of keys. It cannot
 * wipe the copies that libgcrypt has on its heap. */

#define GCRYPT_MIN "1.8.0"

enum { SHA256_LEN = 32 };

static int map_error(gcry_error_t e)
{
    switch (gcry_err_code(e)) {
    case GPG_ERR_NO_ERROR:
        return 0;
    case GPG_ERR_ENOMEM:
        return BCDA_ERR_NOMEM;
    default:
        return BCDA_ERR_LIBRARY;
    }
}

/* ---- The library itself ---- */

int bcda__crypto_init(int leave_alone, struct bcda_error *err)
{
    if (!gcry_check_version(GCRYPT_MIN))
        return bcda__err_set(err, BCDA_ERR_LIBRARY,
                             "libgcrypt %s is too old: %s or newer is needed",
                             gcry_check_version(NULL), GCRYPT_MIN);
    if (!gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P)) {
        if (leave_alone)
            return bcda__err_set(err, BCDA_ERR_LIBRARY,
                                 "libgcrypt is not initialised: the program that wants to do it "
                                 "itself has to do it first");
        /* libgcrypt's RSA allocates secure memory. If that memory cannot be locked, libgcrypt would
         * write a warning to the application's stderr. The application has not initialised
         * libgcrypt, so this function disables the warning. */
        gcry_control(GCRYCTL_DISABLE_SECMEM_WARN);
        gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
    }
    if (gcry_fips_mode_active() && !gcry_control(GCRYCTL_OPERATIONAL_P))
        return bcda__err_set(err, BCDA_ERR_LIBRARY,
                             "libgcrypt is in FIPS mode and its self-tests have failed");
    return 0;
}

int bcda__crypto_fips(void)
{
    return gcry_fips_mode_active() ? 1 : 0;
}

int bcda__crypto_random(void *out, size_t len)
{
    if (!gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P))
        return BCDA_ERR_LIBRARY; /* initialising libgcrypt is left to the application */
    if (len)
        gcry_randomize(out, len, GCRY_STRONG_RANDOM);
    return 0;
}

/* ---- SHA-256 ---- */

struct bcda__sha256 {
    gcry_md_hd_t md;
};

int bcda__sha256_new(struct bcda__sha256 **out)
{
    struct bcda__sha256 *h = bcda__calloc(1, sizeof *h);
    int rc;

    if (!h)
        return BCDA_ERR_NOMEM;
    rc = map_error(gcry_md_open(&h->md, GCRY_MD_SHA256, 0));
    if (rc) {
        bcda__free(h);
        return rc;
    }
    *out = h;
    return 0;
}

void bcda__sha256_add(struct bcda__sha256 *h, const void *data, size_t len)
{
    if (len)
        gcry_md_write(h->md, data, len);
}

/* gcry_md_read() finishes the hash, so it is called on a copy. */
int bcda__sha256_read(struct bcda__sha256 *h, uint8_t out[32])
{
    gcry_md_hd_t copy;
    int rc = map_error(gcry_md_copy(&copy, h->md));

    if (rc) {
        memset(out, 0, SHA256_LEN);
        return rc;
    }
    memcpy(out, gcry_md_read(copy, GCRY_MD_SHA256), SHA256_LEN);
    gcry_md_close(copy);
    return 0;
}

void bcda__sha256_free(struct bcda__sha256 *h)
{
    if (!h)
        return;
    gcry_md_close(h->md);
    bcda__free(h);
}

/* ---- counter mode ---- */

struct bcda__ctr {
    gcry_cipher_hd_t handle;
};

int bcda__ctr_new(struct bcda__ctr **out, const uint8_t key[32])
{
    static const uint8_t start[16];
    struct bcda__ctr *c = bcda__calloc(1, sizeof *c);
    gcry_error_t e;

    if (!c)
        return BCDA_ERR_NOMEM;
    e = gcry_cipher_open(&c->handle, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_CTR, 0);
    if (!e)
        e = gcry_cipher_setkey(c->handle, key, 32);
    if (!e)
        e = gcry_cipher_setctr(c->handle, start, sizeof start);
    if (e) {
        bcda__ctr_free(c);
        return map_error(e);
    }
    *out = c;
    return 0;
}

int bcda__ctr_apply(struct bcda__ctr *c, const uint8_t *in, uint8_t *out, size_t len)
{
    return len && gcry_cipher_encrypt(c->handle, out, len, in, len) ? BCDA_ERR_LIBRARY : 0;
}

void bcda__ctr_free(struct bcda__ctr *c)
{
    if (!c)
        return;
    gcry_cipher_close(c->handle);
    bcda__free(c);
}

/* ---- GMAC ---- */

struct bcda__mac {
    gcry_mac_hd_t handle;
    int failed;
};

int bcda__mac_new(struct bcda__mac **out, const uint8_t key[32])
{
    /* A fixed nonce is safe, because each key is used for one file only, and no tag leaves the
     * process. */
    static const uint8_t iv[12];
    struct bcda__mac *m = bcda__calloc(1, sizeof *m);
    gcry_error_t e;

    if (!m)
        return BCDA_ERR_NOMEM;
    e = gcry_mac_open(&m->handle, GCRY_MAC_GMAC_AES, 0, NULL);
    if (!e)
        e = gcry_mac_setkey(m->handle, key, 32);
    if (!e)
        e = gcry_mac_setiv(m->handle, iv, sizeof iv);
    if (e) {
        bcda__mac_free(m);
        return map_error(e);
    }
    *out = m;
    return 0;
}

void bcda__mac_add(struct bcda__mac *m, const void *data, size_t len)
{
    if (len && gcry_mac_write(m->handle, data, len))
        m->failed = 1;
}

int bcda__mac_finish(struct bcda__mac *m, uint8_t out[16])
{
    size_t len = 16;

    if (m->failed || gcry_mac_read(m->handle, out, &len) || len != 16)
        return BCDA_ERR_LIBRARY;
    return 0;
}

void bcda__mac_free(struct bcda__mac *m)
{
    if (!m)
        return;
    gcry_mac_close(m->handle);
    bcda__free(m);
}

/* ---- AES-256-GCM ---- */

/* The maximum number of bytes that GCM may encrypt with one nonce (NIST SP 800-38D 5.2.1.1). */
#define GCM_TEXT_MAX ((UINT64_C(1) << 36) - 32)

struct bcda__gcm {
    gcry_cipher_hd_t cipher;
    uint64_t text_len;
    size_t nonce_len;
    size_t tail_len;
    int rc; /* the first error; later calls return it */
    uint8_t nonce[BCDA__GCM_NONCE];
    uint8_t tail[BCDA__GCM_TAG]; /* the last bytes received, which may be the tag */
};

int bcda__gcm_new(struct bcda__gcm **out, const uint8_t key[BCDA__GCM_KEY])
{
    struct bcda__gcm *g = bcda__calloc(1, sizeof *g);
    int rc;

    if (!g)
        return BCDA_ERR_NOMEM;
    rc = map_error(gcry_cipher_open(&g->cipher, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_GCM, 0));
    if (!rc)
        rc = map_error(gcry_cipher_setkey(g->cipher, key, BCDA__GCM_KEY));
    if (rc) {
        bcda__gcm_free(g);
        return rc;
    }
    *out = g;
    return 0;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Reads the nonce from the start of the input. Returns the number of bytes that were taken. When
 * the nonce is complete, passes it to libgcrypt. */
static size_t take_nonce(struct bcda__gcm *g, const uint8_t *in, size_t len)
{
    size_t n = min_size(len, BCDA__GCM_NONCE - g->nonce_len);

    if (n == 0)
        return 0;
    memcpy(g->nonce + g->nonce_len, in, n);
    g->nonce_len += n;
    if (g->nonce_len == BCDA__GCM_NONCE)
        g->rc = map_error(gcry_cipher_setiv(g->cipher, g->nonce, BCDA__GCM_NONCE));
    return n;
}

/* `len` need not be a multiple of the block size: libgcrypt keeps the state of an incomplete block.
 */
static void decrypt_chunk(struct bcda__gcm *g, const uint8_t *in, size_t len, uint8_t *out)
{
    if (len == 0 || g->rc)
        return;
    if (len > GCM_TEXT_MAX - g->text_len) {
        g->rc = BCDA_ERR_TAG;
        return;
    }
    g->text_len += len;
    g->rc = map_error(gcry_cipher_decrypt(g->cipher, out, len, in, len));
}

/* Decrypts the bytes of the tail first, and then bytes of `in`. The last bytes of `in` become the
 * new tail. */
static void take_ciphertext(struct bcda__gcm *g, const uint8_t *in, size_t len, size_t *used,
                            uint8_t *out, size_t cap, size_t *made)
{
    size_t over = g->tail_len + len > BCDA__GCM_TAG ? g->tail_len + len - BCDA__GCM_TAG : 0;
    size_t n = min_size(over, cap);
    size_t from_tail = min_size(n, g->tail_len);
    size_t from_in = n - from_tail;
    size_t keep;

    if (from_tail) {
        decrypt_chunk(g, g->tail, from_tail, out);
        g->tail_len -= from_tail;
        memmove(g->tail, g->tail + from_tail, g->tail_len);
    }
    if (from_in)
        decrypt_chunk(g, in, from_in, out + from_tail);
    keep = min_size(len - from_in, BCDA__GCM_TAG - g->tail_len);
    if (keep)
        memcpy(g->tail + g->tail_len, in + from_in, keep);
    g->tail_len += keep;
    *used += from_in + keep;
    *made = n;
}

int bcda__gcm_open(struct bcda__gcm *g, const uint8_t *in, size_t len, size_t *used, uint8_t *out,
                   size_t cap, size_t *made)
{
    *used = *made = 0;
    if (g->rc)
        return g->rc;
    *used = take_nonce(g, in, len);
    if (!g->rc && *used < len)
        take_ciphertext(g, in + *used, len - *used, used, out, cap, made);
    if (g->rc)
        *made = 0;
    return g->rc;
}

int bcda__gcm_finish(struct bcda__gcm *g)
{
    gcry_error_t e;

    if (g->rc)
        return g->rc;
    if (g->tail_len < BCDA__GCM_TAG)
        return BCDA_ERR_CIPHER_SHORT;
    e = gcry_cipher_checktag(g->cipher, g->tail, BCDA__GCM_TAG); /* in constant time */
    if (gcry_err_code(e) == GPG_ERR_CHECKSUM)
        return g->rc = BCDA_ERR_TAG;
    return g->rc = map_error(e);
}

void bcda__gcm_free(struct bcda__gcm *g)
{
    if (!g)
        return;
    gcry_cipher_close(g->cipher); /* wipes the key schedule; NULL is allowed */
    bcda__wipe(g, sizeof *g);
    bcda__free(g);
}

/* ---- RSA keys ---- */

struct rsa {
    gcry_mpi_t n, e, d, p, q;
    gcry_mpi_t u; /* p^-1 mod q */
};

static void rsa_free(struct rsa *k)
{
    gcry_mpi_release(k->n); /* wipes the number; NULL is allowed */
    gcry_mpi_release(k->e);
    gcry_mpi_release(k->d);
    gcry_mpi_release(k->p);
    gcry_mpi_release(k->q);
    gcry_mpi_release(k->u);
}

/* Converts a number of an RSA key. All these numbers are odd and greater than 1. With others
 * libgcrypt would divide by zero. */
static int scan_odd(gcry_mpi_t *out, const uint8_t *at, size_t len)
{
    gcry_error_t e = gcry_mpi_scan(out, GCRYMPI_FMT_USG, at, len, NULL);

    if (e)
        return gcry_err_code(e) == GPG_ERR_ENOMEM ? BCDA_ERR_NOMEM : BCDA_ERR_KEY_FORMAT;
    if (gcry_mpi_cmp_ui(*out, 1) <= 0 || !gcry_mpi_test_bit(*out, 0))
        return BCDA_ERR_KEY_FORMAT;
    return 0;
}

/* Converts a key. In PKCS#1, usually p > q. libgcrypt requires p < q and u = p^-1 mod q, so p and q
 * may be swapped, and u is computed. */
static int rsa_load(struct rsa *k, const struct bcda__rsa_parts *key)
{
    int rc;

    if (key->e_len > key->n_len || key->d_len > key->n_len || key->p_len > key->n_len ||
        key->q_len > key->n_len)
        return BCDA_ERR_KEY_FORMAT;
    if ((rc = scan_odd(&k->n, key->n, key->n_len)) || (rc = scan_odd(&k->e, key->e, key->e_len)) ||
        (rc = scan_odd(&k->d, key->d, key->d_len)) || (rc = scan_odd(&k->p, key->p, key->p_len)) ||
        (rc = scan_odd(&k->q, key->q, key->q_len)))
        return rc;
    if (gcry_mpi_cmp(k->p, k->q) > 0)
        gcry_mpi_swap(k->p, k->q);
    k->u = gcry_mpi_new(0);
    if (!gcry_mpi_invm(k->u, k->p, k->q))
        return BCDA_ERR_KEY_FORMAT;
    return 0;
}

/* 1 if e * d = 1 modulo prime - 1. */
static int exponents_fit(const struct rsa *k, gcry_mpi_t prime)
{
    gcry_mpi_t order = gcry_mpi_new(0);
    gcry_mpi_t product = gcry_mpi_new(0);
    int fit;

    gcry_mpi_sub_ui(order, prime, 1);
    gcry_mpi_mulm(product, k->e, k->d, order);
    fit = gcry_mpi_cmp_ui(product, 1) == 0;
    gcry_mpi_release(order);
    gcry_mpi_release(product);
    return fit;
}

static size_t mpi_len(gcry_mpi_t number)
{
    return (gcry_mpi_get_nbits(number) + 7) / 8;
}

/* Wipes memory that libgcrypt owns and would free without wiping. */
static void wipe_const(const void *at, size_t len)
{
    bcda__wipe((void *)(uintptr_t)at, len);
}

/* Wipes an S-expression of a private key, because libgcrypt does so only in secure memory. An
 * S-expression is one block of memory that contains its atoms, including the numbers, in the order
 * in which it was built. So wiping as many bytes as all numbers have together, from the start of
 * the first atom, stays within the block. The bytes that remain belong to n, the last number, which
 * is public. */
static void wipe_sexp(gcry_sexp_t sexp, size_t numbers)
{
    size_t len;
    const char *at = sexp ? gcry_sexp_nth_data(sexp, 0, &len) : NULL;

    if (at)
        wipe_const(at, numbers);
}

struct rsa_sexp {
    gcry_sexp_t sexp;
    size_t numbers; /* the total length of the numbers, in bytes */
};

static int rsa_sexp_new(struct rsa_sexp *out, const struct rsa *k)
{
    gcry_error_t e =
        gcry_sexp_build(&out->sexp, NULL, "(private-key(rsa(d%m)(p%m)(q%m)(u%m)(e%m)(n%m)))", k->d,
                        k->p, k->q, k->u, k->e, k->n);

    if (e)
        return map_error(e);
    out->numbers = mpi_len(k->d) + mpi_len(k->p) + mpi_len(k->q) + mpi_len(k->u) + mpi_len(k->e) +
                   mpi_len(k->n);
    return 0;
}

static void rsa_sexp_free(struct rsa_sexp *s)
{
    wipe_sexp(s->sexp, s->numbers);
    gcry_sexp_release(s->sexp);
}

int bcda__rsa_check(const struct bcda__rsa_parts *key)
{
    struct rsa k = {0};
    struct rsa_sexp s = {0};
    gcry_error_t e;
    int rc = rsa_load(&k, key);

    if (rc)
        goto out;
    rc = BCDA_ERR_KEY_FORMAT;
    if (!exponents_fit(&k, k.p) || !exponents_fit(&k, k.q))
        goto out; /* gcry_pk_testkey() only checks n = p * q */
    rc = rsa_sexp_new(&s, &k);
    if (rc)
        goto out;
    e = gcry_pk_testkey(s.sexp);
    rc = gcry_err_code(e) == GPG_ERR_BAD_SECKEY ? BCDA_ERR_KEY_FORMAT : map_error(e);
out:
    rsa_sexp_free(&s);
    rsa_free(&k);
    return rc;
}

/* ---- RSA-OAEP ---- */

static int mgf1_xor(gcry_md_hd_t md, const uint8_t *seed, size_t seed_len, uint8_t *data,
                    size_t len)
{
    uint32_t counter;
    size_t at, i;

    for (counter = 0, at = 0; at < len; counter++, at += SHA256_LEN) {
        uint8_t be[4] = {(uint8_t)(counter >> 24), (uint8_t)(counter >> 16),
                         (uint8_t)(counter >> 8), (uint8_t)counter};
        const uint8_t *mask;

        gcry_md_reset(md);
        gcry_md_write(md, seed, seed_len);
        gcry_md_write(md, be, sizeof be);
        mask = gcry_md_read(md, GCRY_MD_SHA256);
        if (!mask)
            return BCDA_ERR_LIBRARY;
        for (i = 0; i < SHA256_LEN && i < len - at; i++)
            data[at + i] ^= mask[i];
    }
    return 0;
}

/* Decodes the padded message `em` in place (RFC 8017 7.1.2 step 3), without checking the label.
 * Sets *whole to 1 if it contains a message of `want` bytes. */
static int oaep_is_whole(uint8_t *em, size_t len, size_t want, int *whole)
{
    uint8_t *seed = em + 1;
    uint8_t *block = seed + SHA256_LEN;
    size_t block_len = len - 1 - SHA256_LEN;
    size_t i, zeros;
    gcry_md_hd_t md;
    int rc = map_error(gcry_md_open(&md, GCRY_MD_SHA256, 0));

    if (rc)
        return rc;
    rc = mgf1_xor(md, block, block_len, seed, SHA256_LEN);
    if (!rc)
        rc = mgf1_xor(md, seed, SHA256_LEN, block, block_len);
    gcry_md_close(md);
    if (rc)
        return rc;
    zeros = block_len - SHA256_LEN - 1 - want;
    *whole = em[0] == 0 && block[SHA256_LEN + zeros] == 1;
    for (i = 0; i < zeros; i++)
        if (block[SHA256_LEN + i] != 0)
            *whole = 0;
    return 0;
}

/* Decrypts `data` with the key `secret`. *at points to the result, which is a part of *plain.
 * libgcrypt allocated *plain; the caller wipes the result and then releases *plain. */
static gcry_error_t rsa_run(gcry_sexp_t *plain, gcry_sexp_t data, gcry_sexp_t secret,
                            const uint8_t **at, size_t *len)
{
    gcry_error_t e = gcry_pk_decrypt(plain, data, secret);

    if (e)
        return e;
    *at = (const uint8_t *)gcry_sexp_nth_data(*plain, 1, len); /* *plain is (value …) */
    if (!*at) {                                                /* the number 0 is an empty atom */
        *at = (const uint8_t *)"";
        *len = 0;
    }
    return 0;
}

/* Finds out why libgcrypt refused the padding. Returns BCDA_ERR_KEY_LABEL if only the label is
 * wrong, else BCDA_ERR_KEY_UNWRAP, or another error. */
static int why_refused(gcry_sexp_t secret, const uint8_t *wrapped, size_t n_len, size_t want)
{
    gcry_sexp_t data = NULL;
    gcry_sexp_t plain = NULL;
    const uint8_t *raw = NULL;
    uint8_t *em = bcda__calloc(1, n_len);
    size_t len = 0;
    size_t zeros = 0;
    int whole = 0;
    int rc = BCDA_ERR_NOMEM;

    if (!em)
        goto out;
    rc = map_error(
        gcry_sexp_build(&data, NULL, "(enc-val(flags raw)(rsa(a%b)))", (int)n_len, wrapped));
    if (!rc)
        rc = map_error(rsa_run(&plain, data, secret, &raw, &len));
    if (rc)
        goto out;
    /* libgcrypt returns the padded message as a number, which may begin with a sign octet, or lack
     * the leading zeros of the message. `em` gets the message with its full length. */
    while (zeros < len && raw[zeros] == 0)
        zeros++;
    rc = BCDA_ERR_KEY_UNWRAP;
    if (len - zeros > n_len)
        goto out;
    if (len > zeros)
        memcpy(em + n_len - (len - zeros), raw + zeros, len - zeros);
    rc = oaep_is_whole(em, n_len, want, &whole);
    if (!rc)
        rc = whole ? BCDA_ERR_KEY_LABEL : BCDA_ERR_KEY_UNWRAP;
out:
    wipe_const(raw, len);
    gcry_sexp_release(plain);
    gcry_sexp_release(data);
    if (em)
        bcda__wipe(em, n_len);
    bcda__free(em);
    return rc;
}

static int oaep_data(gcry_sexp_t *out, const uint8_t *wrapped, size_t len, const void *label,
                     size_t label_len)
{
    if (label_len == 0) /* libgcrypt does not accept an empty label; the default is empty */
        return map_error(gcry_sexp_build(
            out, NULL, "(enc-val(flags oaep)(hash-algo sha256)(rsa(a%b)))", (int)len, wrapped));
    return map_error(gcry_sexp_build(out, NULL,
                                     "(enc-val(flags oaep)(hash-algo sha256)(label%b)(rsa(a%b)))",
                                     (int)label_len, label, (int)len, wrapped));
}

static int oaep_open(gcry_sexp_t secret, const uint8_t *wrapped, size_t n_len, const void *label,
                     size_t label_len, uint8_t *out, size_t out_len)
{
    gcry_sexp_t data = NULL;
    gcry_sexp_t plain = NULL;
    const uint8_t *at = NULL;
    size_t len = 0;
    gcry_error_t e;
    int rc = oaep_data(&data, wrapped, n_len, label, label_len);

    if (rc)
        return rc;
    e = rsa_run(&plain, data, secret, &at, &len);
    if (gcry_err_code(e) == GPG_ERR_ENCODING_PROBLEM) {
        rc = why_refused(secret, wrapped, n_len, out_len);
    } else if (e) {
        rc = map_error(e);
    } else if (len != out_len) {
        rc = BCDA_ERR_KEY_UNWRAP;
    } else {
        memcpy(out, at, len);
    }
    wipe_const(at, len);
    gcry_sexp_release(plain);
    gcry_sexp_release(data);
    return rc;
}

int bcda__rsa_unwrap(const struct bcda__rsa_parts *key, const uint8_t *wrapped, size_t wrapped_len,
                     const void *label, size_t label_len, uint8_t *out, size_t out_len)
{
    struct rsa k = {0};
    struct rsa_sexp s = {0};
    int rc;

    if (wrapped_len != key->n_len)
        return BCDA_ERR_KEY_VALUE;
    if (key->n_len < 2 * SHA256_LEN + 2 || out_len > key->n_len - 2 * SHA256_LEN - 2)
        return BCDA_ERR_KEY_UNWRAP; /* the key is too small for a message of this length */
    if (label_len > INT32_MAX || memcmp(wrapped, key->n, key->n_len) >= 0)
        return BCDA_ERR_KEY_UNWRAP; /* a wrapped value is always less than n */
    rc = rsa_load(&k, key);
    if (!rc)
        rc = rsa_sexp_new(&s, &k);
    if (!rc)
        rc = oaep_open(s.sexp, wrapped, wrapped_len, label, label_len, out, out_len);
    rsa_sexp_free(&s);
    rsa_free(&k);
    return rc;
}

/* ---- EC keys ---- */

static const char p384_curve[] = "NIST P-384";

/* Writes a number with leading zeros. Returns 0, or BCDA_ERR_LIBRARY if it is too long. */
static int write_number(gcry_mpi_t number, uint8_t *out, size_t len)
{
    size_t n = mpi_len(number);

    if (n > len)
        return BCDA_ERR_LIBRARY;
    memset(out, 0, len - n);
    return map_error(gcry_mpi_print(GCRYMPI_FMT_USG, out + len - n, n, NULL, number));
}

/* Multiplies the curve's base point by `d`. */
static int p384_multiply(gcry_ctx_t curve, gcry_mpi_t d, struct bcda__p384 *out)
{
    gcry_mpi_point_t base = gcry_mpi_ec_get_point("g", curve, 1);
    gcry_mpi_point_t product = gcry_mpi_point_new(0);
    gcry_mpi_t x = gcry_mpi_new(0);
    gcry_mpi_t y = gcry_mpi_new(0);
    int rc = BCDA_ERR_LIBRARY;

    if (!base)
        goto out;
    gcry_mpi_ec_mul(product, d, base, curve);
    if (gcry_mpi_ec_get_affine(x, y, product, curve))
        goto out;
    rc = write_number(x, out->x, sizeof out->x);
    if (!rc)
        rc = write_number(y, out->y, sizeof out->y);
out:
    gcry_mpi_point_release(base); /* NULL is allowed */
    gcry_mpi_point_release(product);
    gcry_mpi_release(x);
    gcry_mpi_release(y);
    return rc;
}

static int p384_compute_point(struct bcda__p384 *key)
{
    gcry_ctx_t curve = NULL;
    gcry_mpi_t d = NULL;
    gcry_mpi_t order = NULL;
    int rc = map_error(gcry_mpi_ec_new(&curve, NULL, p384_curve));

    if (!rc)
        rc = map_error(gcry_mpi_scan(&d, GCRYMPI_FMT_USG, key->d, sizeof key->d, NULL));
    if (rc)
        goto out;
    order = gcry_mpi_ec_get_mpi("n", curve, 1);
    if (!order)
        rc = BCDA_ERR_LIBRARY;
    else if (gcry_mpi_cmp_ui(d, 0) == 0 || gcry_mpi_cmp(d, order) >= 0)
        rc = BCDA_ERR_KEY_FORMAT;
    else
        rc = p384_multiply(curve, d, key);
out:
    gcry_mpi_release(d);
    gcry_mpi_release(order);
    gcry_ctx_release(curve);
    return rc;
}

/* 1 if the encoded point is that of the key. */
static int p384_has_point(const struct bcda__p384 *key, const uint8_t *point, size_t len)
{
    uint8_t compressed = 2 | (key->y[BCDA__P384_LEN - 1] & 1);

    if (len != BCDA__P384_POINT_MAX && len != 1 + BCDA__P384_LEN)
        return 0;
    if (point[0] != (len == BCDA__P384_POINT_MAX ? 4 : compressed))
        return 0;
    return memcmp(point + 1, key->x, BCDA__P384_LEN) == 0 &&
           (point[0] != 4 || memcmp(point + 1 + BCDA__P384_LEN, key->y, BCDA__P384_LEN) == 0);
}

int bcda__p384_new(struct bcda__p384 *out, const uint8_t d[BCDA__P384_LEN], const uint8_t *point,
                   size_t point_len)
{
    int rc;

    memmove(out->d, d, sizeof out->d);
    rc = p384_compute_point(out);
    if (!rc && point && !p384_has_point(out, point, point_len))
        rc = BCDA_ERR_KEY_FORMAT;
    if (rc)
        bcda__wipe(out, sizeof *out);
    return rc;
}

/* ---- Signatures ---- */

enum { SHA384_LEN = 48 };

static int hash_sha384(const void *data, size_t len, uint8_t out[SHA384_LEN])
{
    gcry_md_hd_t md;
    int rc = map_error(gcry_md_open(&md, GCRY_MD_SHA384, 0));

    if (rc)
        return rc;
    if (len)
        gcry_md_write(md, data, len);
    memcpy(out, gcry_md_read(md, GCRY_MD_SHA384), SHA384_LEN);
    gcry_md_close(md);
    return 0;
}

/* Signs `data` with the key `secret`. `flags` is the padding, or how the nonce is made. */
static int run_signature(gcry_sexp_t *out, const char *flags, const void *data, size_t len,
                         gcry_sexp_t secret)
{
    uint8_t hash[SHA384_LEN];
    gcry_sexp_t input = NULL;
    int rc = hash_sha384(data, len, hash);

    if (!rc)
        rc = map_error(gcry_sexp_build(&input, NULL, "(data(flags %s)(hash sha384 %b))", flags,
                                       (int)sizeof hash, hash));
    if (!rc)
        rc = map_error(gcry_pk_sign(out, input, secret));
    gcry_sexp_release(input);
    return rc;
}

/* Writes the number `name` of a signature with leading zeros. */
static int write_signature_part(gcry_sexp_t signature, const char *name, uint8_t *out, size_t len)
{
    gcry_sexp_t part = gcry_sexp_find_token(signature, name, 0);
    gcry_mpi_t number = part ? gcry_sexp_nth_mpi(part, 1, GCRYMPI_FMT_USG) : NULL;
    int rc = number ? write_number(number, out, len) : BCDA_ERR_LIBRARY;

    gcry_mpi_release(number);
    gcry_sexp_release(part);
    return rc;
}

int bcda__rsa_sign(const struct bcda__rsa_parts *key, const void *data, size_t len, uint8_t *out)
{
    struct rsa k = {0};
    struct rsa_sexp s = {0};
    gcry_sexp_t signature = NULL;
    int rc = rsa_load(&k, key);

    if (!rc)
        rc = rsa_sexp_new(&s, &k);
    if (!rc)
        rc = run_signature(&signature, "pkcs1", data, len, s.sexp);
    if (!rc)
        rc = write_signature_part(signature, "s", out, key->n_len);
    gcry_sexp_release(signature);
    rsa_sexp_free(&s);
    rsa_free(&k);
    return rc;
}

/* The point is the last atom, and longer than `d` and what stands before it, so wiping as many
 * bytes as the point has overwrites all of `d` (see wipe_sexp()). */
static int p384_sexp_new(gcry_sexp_t *out, const struct bcda__p384 *key)
{
    uint8_t point[BCDA__P384_POINT_MAX] = {4};
    gcry_mpi_t d = NULL;
    int rc = map_error(gcry_mpi_scan(&d, GCRYMPI_FMT_USG, key->d, sizeof key->d, NULL));

    memcpy(point + 1, key->x, sizeof key->x);
    memcpy(point + 1 + sizeof key->x, key->y, sizeof key->y);
    if (!rc)
        rc = map_error(gcry_sexp_build(out, NULL, "(private-key(ecc(d%m)(curve %s)(q%b)))", d,
                                       p384_curve, (int)sizeof point, point));
    gcry_mpi_release(d);
    return rc;
}

int bcda__p384_sign(const struct bcda__p384 *key, const void *data, size_t len,
                    uint8_t out[BCDA__P384_SIGNATURE])
{
    gcry_sexp_t secret = NULL;
    gcry_sexp_t signature = NULL;
    int rc = p384_sexp_new(&secret, key);

    if (!rc)
        rc = run_signature(&signature, "rfc6979", data, len, secret);
    if (!rc)
        rc = write_signature_part(signature, "r", out, BCDA__P384_LEN);
    if (!rc)
        rc = write_signature_part(signature, "s", out + BCDA__P384_LEN, BCDA__P384_LEN);
    gcry_sexp_release(signature);
    wipe_sexp(secret, BCDA__P384_POINT_MAX);
    gcry_sexp_release(secret);
    return rc;
}

/* ---- Encrypted keys ---- */

struct cipher_row {
    int algo;
    size_t key_len;
    size_t iv_len;
};

static const struct cipher_row ciphers[] = {
    [BCDA__CIPHER_AES128_CBC] = {GCRY_CIPHER_AES128, 16, 16},
    [BCDA__CIPHER_AES192_CBC] = {GCRY_CIPHER_AES192, 24, 16},
    [BCDA__CIPHER_AES256_CBC] = {GCRY_CIPHER_AES256, 32, 16},
    [BCDA__CIPHER_3DES_CBC] = {GCRY_CIPHER_3DES, 24, 8},
};

static const int prfs[] = {
    [BCDA__PRF_HMAC_SHA1] = GCRY_MD_SHA1,
    [BCDA__PRF_HMAC_SHA256] = GCRY_MD_SHA256,
    [BCDA__PRF_HMAC_SHA384] = GCRY_MD_SHA384,
    [BCDA__PRF_HMAC_SHA512] = GCRY_MD_SHA512,
};

size_t bcda__cipher_key_len(enum bcda__cipher cipher)
{
    return ciphers[cipher].key_len;
}

size_t bcda__cipher_iv_len(enum bcda__cipher cipher)
{
    return ciphers[cipher].iv_len;
}

int bcda__kdf_pbkdf2(enum bcda__prf prf, const char *passphrase, const uint8_t *salt,
                     size_t salt_len, uint32_t iterations, uint8_t *out, size_t out_len)
{
    return map_error(gcry_kdf_derive(passphrase, strlen(passphrase), GCRY_KDF_PBKDF2, prfs[prf],
                                     salt, salt_len, iterations, out_len, out));
}

int bcda__kdf_openssl_md5(const char *passphrase, const uint8_t salt[8], uint8_t *out,
                          size_t out_len)
{
    enum { MD5_LEN = 16 };
    gcry_md_hd_t md;
    gcry_error_t e;
    size_t at, n;

    if (bcda__crypto_fips())
        return BCDA_ERR_KEY_FIPS;
    e = gcry_md_open(&md, GCRY_MD_MD5, 0);
    if (e) /* libgcrypt may be built without MD5 */
        return gcry_err_code(e) == GPG_ERR_DIGEST_ALGO ? BCDA_ERR_KEY_FIPS : map_error(e);
    for (at = 0; at < out_len; at += n) {
        n = min_size(out_len - at, MD5_LEN);
        gcry_md_reset(md);
        if (at)
            gcry_md_write(md, out + at - MD5_LEN, MD5_LEN); /* the previous block */
        gcry_md_write(md, passphrase, strlen(passphrase));
        gcry_md_write(md, salt, 8);
        memcpy(out + at, gcry_md_read(md, GCRY_MD_MD5), n);
    }
    gcry_md_close(md); /* wipes its state */
    return 0;
}

/* Returns the length without PKCS#7 padding, or 0 if the padding is wrong. 0 is never a valid
 * length, because a key is not empty. */
static size_t unpad_pkcs7(const uint8_t *data, size_t len, size_t block)
{
    size_t pad = data[len - 1];
    size_t i;

    if (pad == 0 || pad > block)
        return 0;
    for (i = 1; i <= pad; i++)
        if (data[len - i] != pad)
            return 0;
    return len - pad;
}

int bcda__cipher_cbc_open(enum bcda__cipher cipher, const uint8_t *key, const uint8_t *iv,
                          uint8_t *data, size_t len, size_t *out_len)
{
    const struct cipher_row *row = &ciphers[cipher];
    gcry_cipher_hd_t hd;
    int rc;

    if (len == 0 || len % row->iv_len != 0)
        return BCDA_ERR_KEY_PASSPHRASE;
    rc = map_error(gcry_cipher_open(&hd, row->algo, GCRY_CIPHER_MODE_CBC, 0));
    if (rc)
        return rc;
    rc = map_error(gcry_cipher_setkey(hd, key, row->key_len));
    if (!rc)
        rc = map_error(gcry_cipher_setiv(hd, iv, row->iv_len));
    if (!rc)
        rc = map_error(gcry_cipher_decrypt(hd, data, len, NULL, 0));
    gcry_cipher_close(hd);
    if (rc)
        return rc;
    *out_len = unpad_pkcs7(data, len, row->iv_len);
    return *out_len ? 0 : BCDA_ERR_KEY_PASSPHRASE;
}
