/* A chain of hashes: each line gives a hash of that line and the hash before it. If two texts have
 * the same hash after n lines, their first n lines are equal. */
#include "bench.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

void truth_start(uint8_t hash[32])
{
    memset(hash, 0, 32);
}

void truth_add(uint8_t hash[32], const char *line, size_t len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned n = 0;

    ck_assert_ptr_nonnull(ctx);
    ck_assert(EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) && EVP_DigestUpdate(ctx, hash, 32) &&
              EVP_DigestUpdate(ctx, line, len) && EVP_DigestUpdate(ctx, "\n", 1) &&
              EVP_DigestFinal_ex(ctx, hash, &n));
    ck_assert_uint_eq(n, 32);
    EVP_MD_CTX_free(ctx);
}

static void add_room(struct truth *t)
{
    t->after = realloc(t->after, (t->count + 1) * sizeof *t->after);
    ck_assert_ptr_nonnull(t->after);
}

void truth_of(struct truth *t, const char *text, size_t len)
{
    memset(t, 0, sizeof *t);
    add_room(t);
    truth_start(t->after[0]);
    while (len) {
        const char *end = memchr(text, '\n', len);
        size_t n = end ? (size_t)(end - text) : len, taken = end ? n + 1 : n;

        t->count++;
        add_room(t);
        memcpy(t->after[t->count], t->after[t->count - 1], 32);
        truth_add(t->after[t->count], text, n);
        text += taken;
        len -= taken;
    }
}

void truth_free(struct truth *t)
{
    free(t->after);
    memset(t, 0, sizeof *t);
}

/* Converts the argument of a sandbox fault to an offset in the stored file of `size` bytes: N bytes
 * ("N"), N percent ("N%"), or N bytes before the end ("-N"). */
static size_t offset_of(const char *text, size_t size)
{
    char *end;
    long long n = strtoll(text, &end, 10);

    if (*end == '%')
        return size * (size_t)n / 100;
    return n < 0 ? size - (size_t)-n : (size_t)n;
}

/* Does to the plain text what the fault data-flip does to the stored file. An encrypted file is a
 * nonce (12 bytes), the ciphertext and a tag. A bit flipped in the ciphertext flips the same bit of
 * the plain text, because GCM is a counter mode. */
static void flip(const char *argument, enum form form, char *text, size_t len)
{
    size_t head = form == ENCRYPTED ? 12 : 0, tail = form == ENCRYPTED ? 16 : 0;
    size_t at = offset_of(argument, head + len + tail);

    if (form != GZIP && at >= head && at - head < len)
        text[at - head] ^= 1;
}

/* Returns the length of the first N lines, N being the argument. */
static size_t lines(const char *argument, const char *text, size_t len)
{
    long n = strtol(argument, NULL, 10);
    size_t at = 0;

    while (n > 0 && at < len)
        n -= text[at++] == '\n';
    return at;
}

size_t truth_alter(const struct row *row, enum form form, char *text, size_t len)
{
    int i;

    for (i = 0; i < SPECS_MAX && row->specs[i]; i++) {
        if (strncmp(row->specs[i], "data-flip:", 10) == 0)
            flip(row->specs[i] + 10, form, text, len);
        else if (strcmp(row->specs[i], "data-empty") == 0 || strcmp(row->specs[i], "data-28") == 0)
            len = 0;
        else if (strncmp(row->specs[i], "data-short-lines:", 17) == 0)
            len = lines(row->specs[i] + 17, text, len);
    }
    return len;
}
