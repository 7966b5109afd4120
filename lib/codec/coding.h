/* Content codings (RFC 9110 8.4.1), of a response body or of a stored file. Each coding is a row of
 * the table in coding.c. NULL is "identity". */
#ifndef BCDA_CODEC_CODING_H
#define BCDA_CODEC_CODING_H

#include <stddef.h>
#include <stdint.h>

/* `open` creates `state`. The functions have the meaning of those in inflate.h. */
struct bcda__coding {
    const char *name;      /* as in Accept-Encoding */
    const char *old_name;  /* also accepted in Content-Encoding; NULL = none */
    uint8_t first_byte[2]; /* every body with this coding begins with these */
    int (*open)(void **state);
    int (*run)(void *state, const uint8_t *in, size_t len, size_t *used, uint8_t *out, size_t cap,
               size_t *made);
    int (*finish)(void *state);
    int (*end_at)(void *state, int64_t at);
    void (*close)(void *state);
};

extern const struct bcda__coding bcda__coding_gzip;

/* Finds the coding of a Content-Encoding value; "" = no header. BCDA_ERR_HTTP: the table does not
 * have it. */
int bcda__coding_find(const struct bcda__coding **out, const char *content_encoding);
/* Finds the coding by the first bytes of a body. NULL = no coding of the table. */
const struct bcda__coding *bcda__coding_guess(const uint8_t *data, size_t len);

#endif
