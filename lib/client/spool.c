#include "client/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/secret.h"
#include "codec/crypto.h"

enum { PIECE = 16 * 1024 };

struct bcda__spool {
    struct bcda__source source; /* must be first: a pointer to it is cast to the spool */
    int fd;
    struct bcda__secret key;
    struct bcda__ctr *seal; /* encrypts what is written */
    struct bcda__ctr *open; /* decrypts what is read */
    uint8_t piece[PIECE];
    size_t at, len; /* bytes in `piece` that were read and not yet taken */
    /* The offsets in the file of the next write and the next read. The offset of the descriptor is
     * not used, because a child of fork() shares it. */
    off_t write_at, read_at;
};

static int code_of_errno(int number)
{
    if (number == EMFILE || number == ENFILE)
        return BCDA_ERR_SYSTEM;
    return number == ENOSPC || number == EDQUOT || number == EFBIG ? BCDA_ERR_SPOOL_FULL
                                                                   : BCDA_ERR_SPOOL;
}

static int spool_error(struct bcda_error *err, const char *what)
{
    char words[128] = "";
    int code = code_of_errno(errno);
    const char *text = strerror_r(errno, words, sizeof words);

    return bcda__err_set(err, code, "the spool for verified delivery: %s: %s", what, text);
}

/* Creates a file without a name. If the file system does not support that, the file is unlinked at
 * once. */
static int open_unlinked(const char *directory)
{
    char path[4096];
    int fd = -1, n;

#ifdef O_TMPFILE
    fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR);
#endif
    if (fd >= 0)
        return fd;
    n = snprintf(path, sizeof path, "%s/bcda-spool-XXXXXX", directory);
    if (n < 0 || (size_t)n >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static int new_key(struct bcda__spool *s)
{
    int rc = bcda__secret_set(&s->key, NULL, 32);

    bcda__ctr_free(s->seal);
    bcda__ctr_free(s->open);
    s->seal = s->open = NULL;
    if (!rc)
        rc = bcda__crypto_random(s->key.data, s->key.len);
    if (!rc)
        rc = bcda__ctr_new(&s->seal, (const uint8_t *)s->key.data);
    return rc ? rc : bcda__ctr_new(&s->open, (const uint8_t *)s->key.data);
}

int bcda__spool_new(struct bcda__spool **out, const char *directory, struct bcda_error *err)
{
    struct bcda__spool *s = bcda__calloc(1, sizeof *s);
    int rc;

    if (!s)
        return bcda__err_nomem(err);
    s->fd = open_unlinked(directory);
    if (s->fd < 0) {
        rc = spool_error(err, "no file can be made in its directory");
        goto fail;
    }
    rc = new_key(s);
    if (rc) {
        bcda__err_set(err, rc, "%s", bcda_error_string(rc));
        goto fail;
    }
    *out = s;
    return 0;
fail:
    bcda__spool_free(s);
    return rc;
}

static int write_spool(struct bcda__spool *s, const uint8_t *data, size_t len)
{
    while (len) {
        ssize_t n = pwrite(s->fd, data, len, s->write_at);

        if (n < 0 && errno != EINTR)
            return -1;
        if (n > 0) {
            data += n;
            len -= (size_t)n;
            s->write_at += n;
        }
    }
    return 0;
}

int bcda__spool_add(struct bcda__spool *s, const uint8_t *data, size_t len, struct bcda_error *err)
{
    while (len) {
        size_t n = len < PIECE ? len : PIECE;

        if (bcda__ctr_apply(s->seal, data, s->piece, n))
            return bcda__err_set(err, BCDA_ERR_LIBRARY, "libgcrypt could not encrypt");
        if (write_spool(s, s->piece, n))
            return spool_error(err, "writing");
        data += n;
        len -= n;
    }
    return 0;
}

int bcda__spool_reset(struct bcda__spool *s, struct bcda_error *err)
{
    int rc;

    if (ftruncate(s->fd, 0))
        return spool_error(err, "beginning anew");
    s->write_at = 0;
    rc = new_key(s); /* AES in counter mode: a key must never encrypt two different texts */
    return rc ? bcda__err_set(err, rc, "%s", bcda_error_string(rc)) : 0;
}

int bcda__spool_cut(struct bcda__spool *s, int64_t len, struct bcda_error *err)
{
    return ftruncate(s->fd, (off_t)len) ? spool_error(err, "cutting it to the file's length") : 0;
}

static int read_piece(struct bcda__spool *s, struct bcda_error *err)
{
    ssize_t n;

    if (s->seal) { /* the first read: nothing can be added after this */
        bcda__ctr_free(s->seal);
        s->seal = NULL;
    }
    do
        n = pread(s->fd, s->piece, PIECE, s->read_at);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return spool_error(err, "reading");
    s->read_at += n;
    s->at = 0;
    s->len = (size_t)n;
    if (bcda__ctr_apply(s->open, s->piece, s->piece, s->len))
        return bcda__err_set(err, BCDA_ERR_LIBRARY, "libgcrypt could not decrypt");
    return 0;
}

static enum bcda__source_state peek_spool(struct bcda__source *source, const uint8_t **data,
                                          size_t *len, struct bcda_error *err)
{
    struct bcda__spool *s = (struct bcda__spool *)(void *)source;

    if (s->at == s->len && read_piece(s, err))
        return BCDA__SOURCE_FAILED;
    *data = s->piece + s->at;
    *len = s->len - s->at;
    return *len ? BCDA__SOURCE_BYTES : BCDA__SOURCE_OVER;
}

static void take_spool(struct bcda__source *source, const uint8_t *data, size_t len)
{
    (void)data;
    ((struct bcda__spool *)(void *)source)->at += len;
}

struct bcda__source *bcda__spool_source(struct bcda__spool *s)
{
    s->source.peek = peek_spool;
    s->source.take = take_spool;
    return &s->source;
}

void bcda__spool_free(struct bcda__spool *s)
{
    if (!s)
        return;
    if (s->fd >= 0)
        close(s->fd);
    bcda__ctr_free(s->seal);
    bcda__ctr_free(s->open);
    bcda__secret_free(&s->key);
    bcda__wipe(s->piece, sizeof s->piece);
    bcda__free(s);
}
