/* Writes plain bytes to a stored file: unchanged, encrypted (bcda-api 7.1) or gzipped
 * (bcda-api 6.1), and optionally a plain copy. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define BLOCK (256 * 1024)

struct sink {
    struct sandbox *sb;
    int fd, plain_fd;
    EVP_CIPHER_CTX *cipher;
    z_stream zip;
    bool zipping;
    int failed;
    uint64_t bytes;
    size_t fill;
    uint8_t in[BLOCK], out[BLOCK + 64];
};

static int write_socket(int fd, const uint8_t *p, size_t n)
{
    while (n) {
        ssize_t w = write(fd, p, n);

        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return -1;
        p += w;
        n -= (size_t)w;
    }
    return 0;
}

static int create(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

static int start_cipher(struct sink *s, const uint8_t *key)
{
    uint8_t nonce[12];

    crypt_random(nonce, sizeof nonce);
    s->cipher = EVP_CIPHER_CTX_new();
    if (!s->cipher || EVP_EncryptInit_ex(s->cipher, EVP_aes_256_gcm(), NULL, key, nonce) != 1)
        return -1;
    return write_socket(s->fd, nonce, sizeof nonce);
}

struct sink *sink_open(struct sandbox *sb, const char *path, const char *plain_path,
                       const uint8_t *key, bool gzip)
{
    struct sink *s = xcalloc(1, sizeof *s);

    s->sb = sb;
    s->fd = create(path);
    s->plain_fd = plain_path ? create(plain_path) : -1;
    if (s->fd < 0 || (plain_path && s->plain_fd < 0))
        s->failed = -1;
    if (!s->failed && key && start_cipher(s, key))
        s->failed = -1;
    if (!s->failed && gzip) {
        /* 15 + 16 asks for a gzip header, in which zlib sets OS 3. Level 6 is Go's default. */
        s->zipping = deflateInit2(&s->zip, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK;
        s->failed = s->zipping ? 0 : -1;
    }
    return s;
}

static int zip_block(struct sink *s, int flush)
{
    int rc;

    s->zip.next_in = s->in;
    s->zip.avail_in = (uInt)s->fill;
    do {
        s->zip.next_out = s->out;
        s->zip.avail_out = sizeof s->out;
        rc = deflate(&s->zip, flush);
        if (rc == Z_STREAM_ERROR || write_socket(s->fd, s->out, sizeof s->out - s->zip.avail_out))
            return -1;
    } while (s->zip.avail_out == 0);
    return 0;
}

static int flush_block(struct sink *s, int flush)
{
    int n = 0;

    if (s->failed || sandbox_stopping(s->sb))
        return s->failed = -1;
    if (s->plain_fd >= 0 && write_socket(s->plain_fd, s->in, s->fill))
        return s->failed = -1;
    if (s->zipping) {
        s->failed = zip_block(s, flush);
    } else if (s->cipher) {
        if (EVP_EncryptUpdate(s->cipher, s->out, &n, s->in, (int)s->fill) != 1 ||
            write_socket(s->fd, s->out, (size_t)n))
            s->failed = -1;
    } else {
        s->failed = write_socket(s->fd, s->in, s->fill);
    }
    s->fill = 0;
    return s->failed;
}

int sink_write(struct sink *s, const void *data, size_t n)
{
    const uint8_t *p = data;

    s->bytes += n;
    while (n && !s->failed) {
        size_t part = BLOCK - s->fill < n ? BLOCK - s->fill : n;

        memcpy(s->in + s->fill, p, part);
        s->fill += part;
        p += part;
        n -= part;
        if (s->fill == BLOCK)
            flush_block(s, Z_NO_FLUSH);
    }
    return s->failed;
}

uint64_t sink_bytes(const struct sink *s)
{
    return s->bytes;
}

static int finish(struct sink *s)
{
    uint8_t tag[16];
    int n = 0;

    if (flush_block(s, Z_FINISH))
        return -1;
    if (!s->cipher)
        return 0;
    if (EVP_EncryptFinal_ex(s->cipher, s->out, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(s->cipher, EVP_CTRL_AEAD_GET_TAG, sizeof tag, tag) != 1)
        return -1;
    return write_socket(s->fd, tag, sizeof tag);
}

int sink_close(struct sink *s)
{
    int result = s->failed ? -1 : finish(s);

    if (s->fd >= 0 && close(s->fd))
        result = -1;
    if (s->plain_fd >= 0 && close(s->plain_fd))
        result = -1;
    EVP_CIPHER_CTX_free(s->cipher);
    if (s->zipping)
        deflateEnd(&s->zip);
    free(s);
    return result;
}
