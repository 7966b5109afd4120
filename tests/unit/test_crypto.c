#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "bcda/error.h"
#include "codec/crypto.h"
#include "codec/key.h"
#include "helper.h"
#include "sample.h"
#include "shell.h"
#include "signature.h"
#include "suite.h"

/* The test vectors of bcda-api 7.4. */
static const char file_hex[] = "000102030405060708090a0b3c20a47eb68ab769ee24c3f2c18c5a57a186e640991"
                               "e31081a1aef7c5bedca7fbcab9120b11a7c1784252b";
static const char file_text[] = "{\"resourceType\":\"Patient\"}\n";
static const char empty_hex[] = "000102030405060708090a0bf4c2db1dc38805a37b92171c5d0a81cc";
static const char label[] = "0c527d2e-2e8a-4808-b11d-0fa06baf8254.ndjson";
static const char label_hash[] = "a9d5c230a6e760a69bb833d7fc4987d5dccfbf70b98e83a37c6f082ed3fefe32";

static uint8_t key[32];
static void setup(void)
{
    size_t i;

    for (i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)i;
    ck_assert_int_eq(bcda__crypto_init(0, NULL), 0);
}

static void spill(const char *name, const void *data, size_t len)
{
    char path[300];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "wb");
    ck_assert(f != NULL);
    ck_assert_uint_eq(fwrite(data, 1, len, f), len);
    ck_assert_int_eq(fclose(f), 0);
}

static size_t unhex(const char *hex, uint8_t *out, size_t size)
{
    size_t len;

    ck_assert_int_eq(bcda__text_hex_decode(hex, strlen(hex), out, size, &len), 0);
    return len;
}

static void hex(const void *data, size_t len, char *out)
{
    size_t i;

    for (i = 0; i < len; i++)
        sprintf(out + 2 * i, "%02x", ((const uint8_t *)data)[i]);
}

/* ---- initialisation of libgcrypt, hashes ---- */

START_TEST(test_init_twice)
{
    struct bcda_error err;
    uint8_t a[32] = {0};
    uint8_t b[32] = {0};

    ck_assert_int_eq(bcda__crypto_init(0, &err), 0);
    ck_assert_int_eq(bcda__crypto_init(1, &err), 0);
    ck_assert_int_eq(bcda__crypto_fips(), 0);
    ck_assert_int_eq(bcda__crypto_random(a, 0), 0);
    ck_assert_int_eq(bcda__crypto_random(a, sizeof a), 0);
    ck_assert_int_eq(bcda__crypto_random(b, sizeof b), 0);
    ck_assert_int_ne(memcmp(a, b, sizeof a), 0);
}
END_TEST

/* Runs without setup(), so that libgcrypt is not yet initialised. bcda__crypto_init(1, ...) leaves
 * the initialisation to the application. */
START_TEST(test_left_alone)
{
    struct bcda_error err;
    uint8_t a[4];

    ck_assert_int_eq(bcda__crypto_init(1, &err), BCDA_ERR_LIBRARY);
    ck_assert(strstr(err.text, "not initialised") != NULL);
    ck_assert_int_eq(bcda__crypto_init(1, NULL), BCDA_ERR_LIBRARY);
    ck_assert_int_eq(bcda__crypto_random(a, 4), BCDA_ERR_LIBRARY);
    ck_assert_int_eq(bcda__crypto_init(0, &err), 0);
    ck_assert_int_eq(bcda__crypto_init(1, &err), 0);
}
END_TEST

START_TEST(test_sha256)
{
    struct bcda__sha256 *h;
    uint8_t got[32];
    char text[65];

    ck_assert_int_eq(bcda__sha256_new(&h), 0);
    ck_assert_int_eq(bcda__sha256_read(h, got), 0);
    hex(got, 32, text);
    ck_assert_str_eq(text, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    bcda__sha256_add(h, label, 10);
    ck_assert_int_eq(bcda__sha256_read(h, got), 0);
    bcda__sha256_add(h, NULL, 0);
    bcda__sha256_add(h, label + 10, sizeof label - 1 - 10);
    ck_assert_int_eq(bcda__sha256_read(h, got), 0);
    ck_assert_int_eq(bcda__sha256_read(h, got), 0);
    hex(got, 32, text);
    ck_assert_str_eq(text, label_hash);
    bcda__sha256_free(h);
    bcda__sha256_free(NULL);
}
END_TEST

/* ---- GCM ---- */

struct text {
    uint8_t at[100100];
    size_t len;
};

static struct text plain;

/* Calls bcda__gcm_open() once and appends the decrypted bytes to `plain`. The copies of input and
 * output have exactly `len` and `cap` bytes, so that a sanitizer detects an access beyond them. */
static int open_some(struct bcda__gcm *g, const uint8_t *in, size_t len, size_t cap, size_t *used,
                     size_t *made)
{
    uint8_t *exact_in = malloc(len + !len);
    uint8_t *exact_out = malloc(cap + !cap);
    int rc;

    memcpy(exact_in, in, len);
    rc = bcda__gcm_open(g, len ? exact_in : NULL, len, used, cap ? exact_out : NULL, cap, made);
    ck_assert_uint_le(*used, len);
    ck_assert_uint_le(*made, cap);
    ck_assert(rc || *used == len || *made == cap);
    ck_assert_uint_le(plain.len + *made, sizeof plain.at);
    memcpy(plain.at + plain.len, exact_out, *made);
    plain.len += *made;
    free(exact_in);
    free(exact_out);
    return rc;
}

/* Decrypts a whole file with inputs of at most `in_max` bytes and outputs of at most `cap` bytes
 * (0: random sizes). Returns 0 or an error. `plain` gets the decrypted bytes, also those before an
 * error. */
static int decrypt(const uint8_t *file, size_t len, size_t in_max, size_t cap)
{
    struct bcda__gcm *g;
    size_t at = 0, piece, used, made;
    int rc = 0;

    plain.len = 0;
    ck_assert_int_eq(bcda__gcm_new(&g, key), 0);
    while (at < len && !rc) {
        size_t room = cap ? cap : roll(40);

        piece = in_max ? in_max : roll(40);
        piece = piece < len - at ? piece : len - at;
        rc = open_some(g, file + at, piece, room, &used, &made);
        at += used;
        /* After the nonce (12 bytes), all bytes but the last 16 are decrypted at once: the last 16
         * may be the tag. */
        if (made < room && at >= 28)
            ck_assert_uint_eq(plain.len, at - 28);
    }
    if (!rc)
        rc = bcda__gcm_finish(g);
    ck_assert(rc || bcda__gcm_finish(g) == 0);
    bcda__gcm_free(g);
    return rc;
}

static void expect_plain(int rc, const void *want, size_t len)
{
    ck_assert_int_eq(rc, 0);
    ck_assert_uint_eq(plain.len, len);
    ck_assert_int_eq(memcmp(plain.at, want, len), 0);
}

START_TEST(test_gcm_numbers)
{
    uint8_t file[64];
    size_t len = unhex(file_hex, file, sizeof file);
    size_t piece, cap;

    ck_assert_uint_eq(len, 55);
    for (piece = 1; piece <= 56; piece++)
        for (cap = 1; cap <= 40; cap++)
            expect_plain(decrypt(file, len, piece, cap), file_text, 27);
    len = unhex(empty_hex, file, sizeof file);
    ck_assert_uint_eq(len, 28);
    for (piece = 1; piece <= 29; piece++)
        expect_plain(decrypt(file, len, piece, 5), "", 0);
    bcda__gcm_free(NULL);
}
END_TEST

/* Decrypts the file of bcda-api 7.4 in two pieces and in three, cut at every offset. */
START_TEST(test_gcm_splits)
{
    uint8_t file[64];
    size_t len = unhex(file_hex, file, sizeof file);
    size_t a, b, used, made;

    for (a = 0; a <= len; a++) {
        for (b = a; b <= len; b++) {
            struct bcda__gcm *g;

            plain.len = 0;
            ck_assert_int_eq(bcda__gcm_new(&g, key), 0);
            ck_assert_int_eq(open_some(g, file, a, 64, &used, &made), 0);
            ck_assert_int_eq(open_some(g, file + a, b - a, 64, &used, &made), 0);
            ck_assert_int_eq(open_some(g, file + b, len - b, 64, &used, &made), 0);
            expect_plain(bcda__gcm_finish(g), file_text, 27);
            bcda__gcm_free(g);
        }
    }
}
END_TEST

START_TEST(test_gcm_flips)
{
    uint8_t file[64];
    size_t len = unhex(file_hex, file, sizeof file);
    size_t i;
    int bit;

    for (i = 0; i < len; i++) {
        for (bit = 0; bit < 8; bit++) {
            file[i] ^= (uint8_t)(1 << bit);
            ck_assert_int_eq(decrypt(file, len, len, 64), BCDA_ERR_TAG);
            ck_assert_int_eq(decrypt(file, len, 0, 0), BCDA_ERR_TAG);
            file[i] ^= (uint8_t)(1 << bit);
        }
    }
    file[len] = 0; /* one byte too many */
    ck_assert_int_eq(decrypt(file, len + 1, len + 1, 64), BCDA_ERR_TAG);
    key[31] ^= 1;
    ck_assert_int_eq(decrypt(file, len, len, 64), BCDA_ERR_TAG);
}
END_TEST

START_TEST(test_gcm_cuts)
{
    uint8_t file[64];
    size_t whole = unhex(file_hex, file, sizeof file);
    size_t len;

    for (len = 0; len < whole; len++) {
        int want = len < 28 ? BCDA_ERR_CIPHER_SHORT : BCDA_ERR_TAG;

        ck_assert_int_eq(decrypt(file, len, len, 64), want);
        ck_assert_int_eq(decrypt(file, len, 1, 1), want);
        ck_assert_int_eq(decrypt(file, len, 0, 0), want);
    }
    unhex(empty_hex, file, sizeof file);
    for (len = 0; len < 28; len++)
        ck_assert_int_eq(decrypt(file, len, 1, 1), BCDA_ERR_CIPHER_SHORT);
}
END_TEST

/* Decrypts files that another implementation has encrypted. */
START_TEST(test_gcm_others)
{
    static const size_t sizes[] = {0,  1,  2,   15,  16,  17,   31,   32,    33,
                                   47, 48, 255, 256, 257, 4095, 4096, 65536, 100000};
    char key_hex[65];
    size_t i, k;

    hex(key, 32, key_hex);
    run("/usr/bin/python3 -c \"import os\n"
        "from cryptography.hazmat.primitives.ciphers.aead import AESGCM\n"
        "for n in [0,1,2,15,16,17,31,32,33,47,48,255,256,257,4095,4096,65536,100000]:\n"
        "    text = os.urandom(n); nonce = os.urandom(12)\n"
        "    open('p%%d' %% n, 'wb').write(text)\n"
        "    c = AESGCM(bytes.fromhex('%s')).encrypt(nonce, text, None)\n"
        "    open('c%%d' %% n, 'wb').write(nonce + c)\"",
        key_hex);
    for (i = 0; i < COUNT(sizes); i++) {
        char name[32];
        uint8_t *text, *file;
        size_t text_len, len;

        snprintf(name, sizeof name, "p%zu", sizes[i]);
        text = slurp(name, &text_len);
        name[0] = 'c';
        file = slurp(name, &len);
        ck_assert_uint_eq(len, sizes[i] + 28);
        expect_plain(decrypt(file, len, len, sizeof plain.at), text, text_len);
        expect_plain(decrypt(file, len, 1, 7), text, text_len);
        expect_plain(decrypt(file, len, 1000, 4096), text, text_len);
        for (k = 0; k < 20; k++)
            expect_plain(decrypt(file, len, 0, 0), text, text_len);
        for (k = 1; k <= 40 && len < 1000; k++)
            expect_plain(decrypt(file, len, len, k), text, text_len);
        file[roll((uint32_t)len)] ^= 0x10;
        ck_assert_int_eq(decrypt(file, len, 4096, 4096), BCDA_ERR_TAG);
        free(text);
        free(file);
    }
}
END_TEST

/* After BCDA_ERR_TAG, each further call returns BCDA_ERR_TAG and no decrypted bytes. */
START_TEST(test_gcm_after_the_end)
{
    struct bcda__gcm *g;
    uint8_t file[64];
    size_t len = unhex(file_hex, file, sizeof file);
    size_t used, made;

    ck_assert_int_eq(bcda__gcm_new(&g, key), 0);
    file[20] ^= 1;
    ck_assert_int_eq(open_some(g, file, len, 64, &used, &made), 0);
    ck_assert_int_eq(bcda__gcm_finish(g), BCDA_ERR_TAG);
    ck_assert_int_eq(bcda__gcm_finish(g), BCDA_ERR_TAG);
    ck_assert_int_eq(open_some(g, file, len, 64, &used, &made), BCDA_ERR_TAG);
    ck_assert_uint_eq(made, 0);
    bcda__gcm_free(g);
}
END_TEST

/* ---- RSA-OAEP ---- */

static struct bcda__key *make_key(int bits, const char *name)
{
    struct bcda__key *k = NULL;
    struct bcda_error err;
    uint8_t *pem;
    size_t len;

    run("openssl genrsa -out %s %d 2>err && openssl pkey -in %s -pubout -out %s.pub", name, bits,
        name, name);
    pem = slurp(name, &len);
    ck_assert_msg(bcda__key_new(&k, name, pem, len, NULL, &err) == 0, "%s", err.text);
    free(pem);
    return k;
}

static uint8_t *wrap(const char *name, const void *data, size_t data_len, const char *with,
                     size_t *len)
{
    char label_hex[600] = "";

    spill("data", data, data_len);
    hex(with, strlen(with), label_hex);
    run("openssl pkeyutl -encrypt -pubin -inkey %s.pub -in data -out wrapped "
        "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256 "
        "%s%s",
        name, *with ? "-pkeyopt rsa_oaep_label:" : "", label_hex);
    return slurp("wrapped", len);
}

static int unwrap(const struct bcda__key *k, const uint8_t *wrapped, size_t len, const char *with,
                  uint8_t *out, size_t out_len)
{
    uint8_t *exact = malloc(len + !len);
    int rc;

    memcpy(exact, wrapped, len);
    rc = bcda__rsa_unwrap(&k->parts, exact, len, with, strlen(with), out, out_len);
    free(exact);
    return rc;
}

START_TEST(test_oaep_sizes)
{
    static const int bits[] = {2048, 3072, 4096};
    struct bcda__key *k = make_key(bits[_i], "key");
    uint8_t data[32], out[32];
    size_t len, i;
    int round;

    ck_assert_uint_eq(k->bits, (unsigned)bits[_i]);
    ck_assert_uint_eq(k->parts.n_len, (size_t)bits[_i] / 8);
    for (round = 0; round < 6; round++) {
        const char *with = round == 5 ? "" : label;
        uint8_t *wrapped;

        for (i = 0; i < sizeof data; i++)
            data[i] = round == 0 ? 0 : (uint8_t)roll(256);
        if (round == 1)
            data[0] = data[1] = 0;
        wrapped = wrap("key", data, sizeof data, with, &len);
        memset(out, 0xAA, sizeof out);
        ck_assert_int_eq(unwrap(k, wrapped, len, with, out, 32), 0);
        ck_assert_int_eq(memcmp(out, data, 32), 0);
        ck_assert_int_eq(unwrap(k, wrapped, len, "another.ndjson", out, 32), BCDA_ERR_KEY_LABEL);
        ck_assert_int_eq(unwrap(k, wrapped, len, round == 5 ? label : "", out, 32),
                         BCDA_ERR_KEY_LABEL);
        ck_assert_int_eq(unwrap(k, wrapped, len - 1, with, out, 32), BCDA_ERR_KEY_VALUE);
        ck_assert_int_eq(unwrap(k, wrapped, 0, with, out, 32), BCDA_ERR_KEY_VALUE);
        free(wrapped);
    }
    bcda__key_free(k);
}
END_TEST

START_TEST(test_oaep_wrong_key)
{
    struct bcda__key *ours = make_key(2048, "ours");
    struct bcda__key *theirs = make_key(2048, "theirs");
    uint8_t out[32];
    size_t len;
    int round;

    for (round = 0; round < 10; round++) { /* some ciphertexts exceed the modulus of `ours` */
        uint8_t *wrapped = wrap("theirs", key, 32, label, &len);

        ck_assert_int_eq(unwrap(theirs, wrapped, len, label, out, 32), 0);
        ck_assert_int_eq(unwrap(ours, wrapped, len, label, out, 32), BCDA_ERR_KEY_UNWRAP);
        free(wrapped);
    }
    bcda__key_free(ours);
    bcda__key_free(theirs);
}
END_TEST

START_TEST(test_oaep_lengths)
{
    struct bcda__key *k = make_key(2048, "key");
    uint8_t data[190] = {7}; /* the longest message that RSA-OAEP allows with 2048 bits */
    uint8_t out[400];
    static const size_t lens[] = {0, 1, 16, 31, 33, 190};
    size_t len, i;

    for (i = 0; i < COUNT(lens); i++) {
        uint8_t *wrapped = wrap("key", data, lens[i], label, &len);

        ck_assert_int_eq(unwrap(k, wrapped, len, label, out, lens[i]), 0);
        ck_assert_int_eq(memcmp(out, data, lens[i]), 0);
        ck_assert_int_eq(unwrap(k, wrapped, len, label, out, 32), BCDA_ERR_KEY_UNWRAP);
        /* With the wrong label "x" and a wrong length, the error is that of the length. */
        ck_assert_int_eq(unwrap(k, wrapped, len, "x", out, 32), BCDA_ERR_KEY_UNWRAP);
        ck_assert_int_eq(unwrap(k, wrapped, len, "x", out, lens[i]), BCDA_ERR_KEY_LABEL);
        ck_assert_int_eq(unwrap(k, wrapped, len, label, out, 191), BCDA_ERR_KEY_UNWRAP);
        ck_assert_int_eq(unwrap(k, wrapped, len, label, out, 400), BCDA_ERR_KEY_UNWRAP);
        free(wrapped);
    }
    bcda__key_free(k);
}
END_TEST

START_TEST(test_oaep_flips)
{
    struct bcda__key *k = make_key(2048, "key");
    uint8_t out[32];
    size_t len, i;
    uint8_t *wrapped = wrap("key", key, 32, label, &len);

    for (i = 0; i < len; i++) {
        uint8_t flip = (uint8_t)(1 + roll(255));

        if (!sample_takes(i, len, 64))
            continue;
        wrapped[i] ^= flip;
        ck_assert_int_eq(unwrap(k, wrapped, len, label, out, 32), BCDA_ERR_KEY_UNWRAP);
        wrapped[i] ^= flip;
    }
    ck_assert_int_eq(unwrap(k, wrapped, len, label, out, 32), 0);
    free(wrapped);
    bcda__key_free(k);
}
END_TEST

/* The ciphertexts 0, 1, n - 1, n, n + 1 and 2^2048 - 1, where n is the modulus, must be refused. */
START_TEST(test_oaep_edges)
{
    struct bcda__key *k = make_key(2048, "key");
    uint8_t edge[256] = {0};
    uint8_t out[32];
    uint8_t *more;
    size_t len;
    int add;

    ck_assert_int_eq(unwrap(k, edge, 256, label, out, 32), BCDA_ERR_KEY_UNWRAP);
    edge[255] = 1;
    ck_assert_int_eq(unwrap(k, edge, 256, label, out, 32), BCDA_ERR_KEY_UNWRAP);
    for (add = -1; add <= 1; add++) {
        memcpy(edge, k->parts.n,
               256); /* the last byte of n is odd, so n - 1 needs no borrow, n + 1 rarely a carry */
        edge[255] = (uint8_t)(edge[255] + add);
        ck_assert_int_eq(unwrap(k, edge, 256, label, out, 32), BCDA_ERR_KEY_UNWRAP);
    }
    memset(edge, 0xFF, 256);
    ck_assert_int_eq(unwrap(k, edge, 256, label, out, 32), BCDA_ERR_KEY_UNWRAP);
    /* c + n decrypts to the same message as the ciphertext c. It must still be refused, because a
     * valid ciphertext is less than n. */
    run("/usr/bin/python3 -c \"from cryptography.hazmat.primitives import hashes, serialization\n"
        "from cryptography.hazmat.primitives.asymmetric import padding\n"
        "pub = serialization.load_pem_public_key(open('key.pub', 'rb').read())\n"
        "n = pub.public_numbers().n\n"
        "while True:\n"
        "    h = hashes.SHA256()\n"
        "    c = pub.encrypt(bytes(32), padding.OAEP(padding.MGF1(h), h, b'%s'))\n"
        "    more = int.from_bytes(c, 'big') + n\n"
        "    if more < 1 << 2048: break\n"
        "open('more', 'wb').write(more.to_bytes(256, 'big') + c)\"",
        label);
    more = slurp("more", &len);
    ck_assert_uint_eq(len, 512);
    ck_assert_int_eq(unwrap(k, more + 256, 256, label, out, 32), 0);
    ck_assert_int_eq(unwrap(k, more, 256, label, out, 32), BCDA_ERR_KEY_UNWRAP);
    free(more);
    bcda__key_free(k);
}
END_TEST

/* OAEP blocks with one wrong byte. libgcrypt refuses them, even with the right label. With the
 * label "other" the error must be BCDA_ERR_KEY_UNWRAP too, and not BCDA_ERR_KEY_LABEL. */
START_TEST(test_oaep_damaged_blocks)
{
    static const char *const change[] = {
        "", "em[0] = 1", "db[32] = 5", "db[100] = 1", "db[190] = 2", "db[191 - 1] = 0"};
    struct bcda__key *k = make_key(2048, "key");
    uint8_t out[32];
    size_t i, len;

    for (i = 0; i < COUNT(change); i++) {
        uint8_t *wrapped;

        run("/usr/bin/python3 -c \"import os, hashlib\n"
            "from cryptography.hazmat.primitives.serialization import load_pem_public_key\n"
            "def mgf(s, n):\n"
            "    b = b''.join(hashlib.sha256(s + bytes([0, 0, 0, i])).digest() for i in range(9))\n"
            "    return b[:n]\n"
            "def xor(a, b): return bytearray(x ^ y for x, y in zip(a, b))\n"
            "pub = load_pem_public_key(open('key.pub', 'rb').read()).public_numbers()\n"
            "em = bytearray(1)\n"
            "db = bytearray(hashlib.sha256(b'label').digest() + bytes(158) + bytes([1]) + "
            "bytes(range(32)))\n"
            "%s\n"
            "seed = os.urandom(32)\n"
            "mdb = xor(db, mgf(seed, 223)); mseed = xor(seed, mgf(bytes(mdb), 32))\n"
            "m = int.from_bytes(em + mseed + mdb, 'big')\n"
            "if m >= pub.n: m = m %% pub.n\n"
            "open('wrapped', 'wb').write(pow(m, pub.e, pub.n).to_bytes(256, 'big'))\"",
            change[i]);
        wrapped = slurp("wrapped", &len);
        if (i == 0) {
            ck_assert_int_eq(unwrap(k, wrapped, len, "label", out, 32), 0);
            ck_assert_int_eq(memcmp(out, key, 32), 0);
            ck_assert_int_eq(unwrap(k, wrapped, len, "other", out, 32), BCDA_ERR_KEY_LABEL);
        } else {
            /* "db[32] = 5" changes the zero padding, which libgcrypt does not check, so with the
             * right label this block may be accepted. */
            ck_assert_msg(strcmp(change[i], "db[32] = 5") == 0 ||
                              unwrap(k, wrapped, len, "label", out, 32) == BCDA_ERR_KEY_UNWRAP,
                          "%s", change[i]);
            ck_assert_msg(unwrap(k, wrapped, len, "other", out, 32) == BCDA_ERR_KEY_UNWRAP, "%s",
                          change[i]);
        }
        free(wrapped);
    }
    bcda__key_free(k);
}
END_TEST

/* If memory cannot be locked, libgcrypt by default prints a warning to stderr. The library must
 * prevent this. */
START_TEST(test_no_output)
{
    struct bcda__key *k = make_key(2048, "key");
    size_t len;
    uint8_t *wrapped = wrap("key", key, 32, label, &len);
    struct rlimit none = {0, 0};
    uint8_t out[32];
    char said[400];
    ssize_t n;
    int ends[2], status;
    pid_t child;

    ck_assert_int_eq(pipe(ends), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        if (dup2(ends[1], 2) < 0 || dup2(ends[1], 1) < 0 || setrlimit(RLIMIT_MEMLOCK, &none) ||
            (getuid() == 0 && setresuid(65534, 65534, 65534)))
            _exit(2);
        _exit(unwrap(k, wrapped, len, label, out, 32) != 0);
    }
    close(ends[1]);
    n = read(ends[0], said, sizeof said - 1);
    said[n > 0 ? n : 0] = '\0';
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ck_assert_str_eq(said, "");
    free(wrapped);
    bcda__key_free(k);
}
END_TEST

/* Numbers that do not form an RSA key must be refused, and so must numbers with which libgcrypt
 * would divide by zero. */
START_TEST(test_rsa_check)
{
    struct bcda__key *k = make_key(2048, "key");
    struct bcda__rsa_parts bad;
    static const uint8_t one[] = {1}, two[] = {2}, three[] = {3}, zero[] = {0};
    static const uint8_t *const small[] = {one, two, three, zero};
    const uint8_t **values[] = {&bad.n, &bad.e, &bad.d, &bad.p, &bad.q};
    size_t *lens[] = {&bad.n_len, &bad.e_len, &bad.d_len, &bad.p_len, &bad.q_len};
    size_t i, part;

    ck_assert_int_eq(bcda__rsa_check(&k->parts), 0);
    bad = k->parts; /* the same key with p and q exchanged */
    bad.p = k->parts.q, bad.p_len = k->parts.q_len;
    bad.q = k->parts.p, bad.q_len = k->parts.p_len;
    ck_assert_int_eq(bcda__rsa_check(&bad), 0);
    for (part = 0; part < 5; part++)
        for (i = 0; i < 4; i++) {
            bad = k->parts;
            *values[part] = small[i];
            *lens[part] = 1;
            ck_assert_int_eq(bcda__rsa_check(&bad), BCDA_ERR_KEY_FORMAT);
        }
    bad = k->parts;
    bad.p = k->parts.q, bad.p_len = k->parts.q_len;
    ck_assert_int_eq(bcda__rsa_check(&bad), BCDA_ERR_KEY_FORMAT);
    bad = k->parts; /* p = 1, q = n */
    bad.p = one, bad.p_len = 1;
    bad.q = k->parts.n, bad.q_len = k->parts.n_len;
    ck_assert_int_eq(bcda__rsa_check(&bad), BCDA_ERR_KEY_FORMAT);
    bcda__key_free(k);
}
END_TEST

/* ---- PBKDF2 and CBC, for encrypted keys ---- */

START_TEST(test_pbkdf2)
{
    static const struct {
        enum bcda__prf prf;
        const char *name;
    } rows[] = {{BCDA__PRF_HMAC_SHA1, "sha1"},
                {BCDA__PRF_HMAC_SHA256, "sha256"},
                {BCDA__PRF_HMAC_SHA384, "sha384"},
                {BCDA__PRF_HMAC_SHA512, "sha512"}};
    uint8_t out[32], want[32];
    uint8_t *text;
    size_t i, len;

    for (i = 0; i < 4; i++) {
        run("/usr/bin/python3 -c \"import hashlib\n"
            "print(hashlib.pbkdf2_hmac('%s', b'a passphrase', b'saltsalt', 777, 32).hex(), "
            "end='')\" > want",
            rows[i].name);
        text = slurp("want", &len);
        unhex((char *)text, want, 32);
        free(text);
        ck_assert_int_eq(bcda__kdf_pbkdf2(rows[i].prf, "a passphrase", (const uint8_t *)"saltsalt",
                                          8, 777, out, 32),
                         0);
        ck_assert_int_eq(memcmp(out, want, 32), 0);
    }
}
END_TEST

static int open_cbc(uint8_t *data, size_t len, size_t *text_len)
{
    static const uint8_t iv[16];

    return bcda__cipher_cbc_open(BCDA__CIPHER_AES256_CBC, key, iv, data, len, text_len);
}

START_TEST(test_cbc_padding)
{
    uint8_t *data;
    size_t len, text_len, n;

    for (n = 0; n <= 33; n++) {
        char key_hex[65];

        hex(key, 32, key_hex);
        run("head -c %zu /dev/zero | openssl enc -aes-256-cbc -K %s -iv 0 -out c 2>err", n,
            key_hex);
        data = slurp("c", &len);
        ck_assert_int_eq(open_cbc(data, len, &text_len), n ? 0 : BCDA_ERR_KEY_PASSPHRASE);
        ck_assert(!n || text_len == n); /* an empty plaintext is refused: it cannot be a key */
        ck_assert_int_eq(open_cbc(data, len - 1, &text_len), BCDA_ERR_KEY_PASSPHRASE);
        ck_assert_int_eq(open_cbc(data, 0, &text_len), BCDA_ERR_KEY_PASSPHRASE);
        free(data);
    }
}
END_TEST

START_TEST(test_cbc_wrong_padding)
{
    static const char *const ends[] = {"\\000\\000\\000\\000", "\\021\\021\\021\\021",
                                       "\\004\\004\\005\\004", "\\005\\004\\004\\004",
                                       "\\000\\000\\000\\002", "\\377\\377\\377\\377"};
    char key_hex[65];
    uint8_t *data;
    size_t i, len, text_len;

    hex(key, 32, key_hex);
    for (i = 0; i < COUNT(ends); i++) {
        run("printf '0123456789ab%s' | openssl enc -aes-256-cbc -nopad -K %s -iv 0 -out c 2>err",
            ends[i], key_hex);
        data = slurp("c", &len);
        ck_assert_uint_eq(len, 16);
        ck_assert_int_eq(open_cbc(data, len, &text_len), BCDA_ERR_KEY_PASSPHRASE);
        free(data);
    }
}
END_TEST

/* ---- EC keys and signatures ---- */

/* The key of RFC 6979 A.2.6, and its public point. */
static const char p384_d[] = "6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D57"
                             "24E4C70A825F872C9EA60D2EDF5";
static const char p384_point[] =
    "04EC3A4E415B4E19A4568618029F427FA5DA9A8BC4AE92E02E06AAE5286B300C64DEF8F0EA9055866064A2545154"
    "80BC138015D9B72D7D57244EA8EF9AC0C621896708A59367F9DFB9F54CA84B3F1C9DB1288B231C3AE0D4FE7344FD"
    "2533264720";
/* The order of the curve. */
static const char p384_order[] =
    "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581"
    "A0DB248B0A77AECEC196ACCC52973";

START_TEST(test_p384_point)
{
    struct bcda__p384 k, zero = {0};
    uint8_t d[48], point[97], wrong[97];
    size_t i;

    unhex(p384_d, d, sizeof d);
    unhex(p384_point, point, sizeof point);
    ck_assert_int_eq(bcda__p384_new(&k, d, NULL, 0), 0);
    ck_assert_int_eq(memcmp(k.d, d, 48), 0);
    ck_assert_int_eq(memcmp(k.x, point + 1, 48), 0);
    ck_assert_int_eq(memcmp(k.y, point + 49, 48), 0);
    ck_assert_int_eq(bcda__p384_new(&k, d, point, 97), 0);
    for (i = 0; i < 97 * 8; i += 7) {
        memcpy(wrong, point, sizeof wrong);
        wrong[i / 8] ^= (uint8_t)(1 << i % 8);
        ck_assert_int_eq(bcda__p384_new(&k, d, wrong, 97), BCDA_ERR_KEY_FORMAT);
        ck_assert_int_eq(memcmp(&k, &zero, sizeof k), 0);
    }
    for (i = 0; i < 97; i++)
        ck_assert_int_eq(bcda__p384_new(&k, d, point, i), BCDA_ERR_KEY_FORMAT);
    point[0] = 2; /* compressed: the last bit of y is 0 */
    ck_assert_int_eq(bcda__p384_new(&k, d, point, 49), 0);
    ck_assert_int_eq(memcmp(k.y, point + 49, 48), 0);
    ck_assert_int_eq(bcda__p384_new(&k, d, point, 97), BCDA_ERR_KEY_FORMAT);
    point[0] = 3;
    ck_assert_int_eq(bcda__p384_new(&k, d, point, 49), BCDA_ERR_KEY_FORMAT);
    point[0] = 6; /* the hybrid form */
    ck_assert_int_eq(bcda__p384_new(&k, d, point, 97), BCDA_ERR_KEY_FORMAT);
}
END_TEST

START_TEST(test_p384_range)
{
    struct bcda__p384 k;
    uint8_t d[48] = {0}, x[48];

    ck_assert_int_eq(bcda__p384_new(&k, d, NULL, 0), BCDA_ERR_KEY_FORMAT);
    d[47] = 1;
    ck_assert_int_eq(bcda__p384_new(&k, d, NULL, 0), 0);
    memcpy(x, k.x, sizeof x);
    unhex(p384_order, d, sizeof d);
    ck_assert_int_eq(bcda__p384_new(&k, d, NULL, 0), BCDA_ERR_KEY_FORMAT);
    d[47]--; /* -1: the same x as 1 */
    ck_assert_int_eq(bcda__p384_new(&k, d, NULL, 0), 0);
    ck_assert_int_eq(memcmp(k.x, x, sizeof x), 0);
    memset(d, 0xFF, sizeof d);
    ck_assert_int_eq(bcda__p384_new(&k, d, NULL, 0), BCDA_ERR_KEY_FORMAT);
}
END_TEST

/* The signatures of RFC 6979 A.2.6 with SHA-384. */
START_TEST(test_p384_known)
{
    static const char *rows[][2] = {
        {"sample", "94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF"
                   "96E36DD1E80FABE4699EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A9"
                   "4FA329C145786E679E7B82C71A38628AC8"},
        {"test",
         "8203B63D3C853E8D77227FB377BCF7B7B772E97892A80F36AB775D509D7A5FEB0542A7F0812998DA8F"
         "1DD3CA3CF023DBDDD0760448D42D8A43AF45AF836FCE4DE8BE06B485E9B61B827C2F13173923E06A73"
         "9F040649A667BF3B828246BAA5A5"},
    };
    struct bcda__p384 k;
    uint8_t d[48], sig[96], want[96];
    size_t i;

    unhex(p384_d, d, sizeof d);
    ck_assert_int_eq(bcda__p384_new(&k, d, NULL, 0), 0);
    for (i = 0; i < COUNT(rows); i++) {
        unhex(rows[i][1], want, sizeof want);
        ck_assert_int_eq(bcda__p384_sign(&k, rows[i][0], strlen(rows[i][0]), sig), 0);
        ck_assert_int_eq(memcmp(sig, want, sizeof want), 0);
    }
}
END_TEST

/* Signatures in which r or s begins with a zero byte, which must not be lost. The nonce depends
 * only on key and message, so these messages have them: r of number 6, and s of number 420. */
START_TEST(test_p384_zeros)
{
    struct bcda__p384 k;
    uint8_t d[48], point[97], sig[96];
    char message[32];
    int i;
    EVP_PKEY *pkey;

    unhex(p384_d, d, sizeof d);
    unhex(p384_point, point, sizeof point);
    pkey = pkey_of_point(point);
    ck_assert_int_eq(bcda__p384_new(&k, d, NULL, 0), 0);
    for (i = 0; i <= 420; i += i < 20 ? 1 : 400) {
        snprintf(message, sizeof message, "message %d", i);
        ck_assert_int_eq(bcda__p384_sign(&k, message, strlen(message), sig), 0);
        ck_assert(verify(pkey, message, strlen(message), sig, sizeof sig));
        ck_assert_int_eq(sig[0] == 0, i == 6);
        ck_assert_int_eq(sig[48] == 0, i == 420);
    }
    ck_assert(!verify(pkey, "x", 1, sig, sizeof sig));
    EVP_PKEY_free(pkey);
}
END_TEST

SUITE("crypto")
{
    suite_case("bare");
    suite_test(test_left_alone);
    suite_case("crypto");
    suite_timeout(120);
    suite_unchecked(make_dir, remove_dir);
    suite_checked(setup, NULL);
    suite_test(test_init_twice, test_sha256, test_gcm_numbers, test_gcm_splits, test_gcm_flips,
               test_gcm_cuts, test_gcm_others, test_gcm_after_the_end);
    suite_loop(test_oaep_sizes, 0, 3);
    suite_test(test_oaep_wrong_key, test_oaep_lengths, test_oaep_flips, test_oaep_edges,
               test_oaep_damaged_blocks, test_no_output, test_rsa_check, test_pbkdf2,
               test_cbc_padding, test_cbc_wrong_padding, test_p384_point, test_p384_range,
               test_p384_known, test_p384_zeros);
}
