/* The file encryption of the first BCDA servers, from 2018 on (bcda-api 7.1), done with
 * libcrypto. */
#include "internal.h"

#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void crypt_random(void *p, size_t n)
{
    if (RAND_bytes(p, (int)n) != 1)
        abort();
}

void crypt_uuid(char out[37])
{
    uint8_t b[16];
    char *p = out;

    crypt_random(b, sizeof b);
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        p += snprintf(p, 3, "%02x", b[i]);
    }
}

void crypt_hex(struct buf *b, const void *data, size_t n)
{
    const uint8_t *p = data;

    for (size_t i = 0; i < n; i++)
        buf_printf(b, "%02x", p[i]);
}

void crypt_base64url(struct buf *b, const void *data, size_t n)
{
    char *text = xcalloc(1, n / 3 * 4 + 8);
    int len = EVP_EncodeBlock((unsigned char *)text, data, (int)n);

    for (int i = 0; i < len && text[i] != '='; i++)
        buf_printf(b, "%c", text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i]);
    free(text);
}

bool crypt_unbase64url(struct buf *out, const char *text, size_t n)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned bits = 0, held = 0;

    buf_str(out, "");
    for (size_t i = 0; i < n; i++) {
        const char *found = text[i] ? strchr(set, text[i]) : NULL;

        if (!found)
            return false;
        held = (held << 6 | (unsigned)(found - set)) & 0xfff;
        bits += 6;
        if (bits >= 8) {
            const char byte = (char)(held >> (bits - 8));

            buf_add(out, &byte, 1);
            bits -= 8;
        }
    }
    return bits < 6 && (held & ((1u << bits) - 1)) == 0;
}

static int set_oaep(EVP_PKEY_CTX *ctx, const char *label)
{
    size_t n = strlen(label);
    void *copy;

    if (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) <= 0 ||
        EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) <= 0 ||
        EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) <= 0)
        return -1;
    copy = OPENSSL_memdup(label, n);
    if (!copy || EVP_PKEY_CTX_set0_rsa_oaep_label(ctx, copy, (int)n) <= 0) {
        OPENSSL_free(copy);
        return -1;
    }
    return 0;
}

char *crypt_wrap(EVP_PKEY *key, const uint8_t aes[32], const char *label)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    uint8_t out[2048];
    size_t n = sizeof out;
    struct buf hex = {0};

    if (ctx && EVP_PKEY_encrypt_init(ctx) > 0 && set_oaep(ctx, label) == 0 &&
        EVP_PKEY_encrypt(ctx, out, &n, aes, 32) > 0)
        crypt_hex(&hex, out, n);
    EVP_PKEY_CTX_free(ctx);
    return hex.p;
}

int crypt_empty(const uint8_t aes[32], uint8_t out[28])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t none[16];
    int n, ok;

    crypt_random(out, 12);
    ok = ctx && EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, aes, out) == 1 &&
         EVP_EncryptFinal_ex(ctx, none, &n) == 1 &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, out + 12) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return ok ? 0 : -1;
}
