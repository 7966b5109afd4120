/* Content codings (RFC 9110 8.4.1) of response bodies and stored files. The table in coding.c lists
 * the supported codings. Where a pointer to a coding is NULL, the coding is "identity". */
#ifndef BCDA_CODEC_CODING_H
#define BCDA_CODEC_CODING_H

#include <stddef.h>
#include <stdint.h>

/* `open` creates the `state` that the other functions get. The functions are specified in
 * inflate.h. */
struct bcda__coding {
    const char *name;      /* as in Accept-Encoding */
    const char *old_name;  /* also accepted in Content-Encoding; NULL = none */
    uint8_t first_byte[2]; /* every body with this coding begins with these two bytes */
    int (*open)(void **state);
    int (*run)(void *state, const uint8_t *in, size_t len, size_t *used, uint8_t *out, size_t cap,
               size_t *made);
    int (*finish)(void *state);
    int (*end_at)(void *state, int64_t at);
    void (*close)(void *state);
};

extern const struct bcda__coding bcda__coding_gzip;

/* Finds the coding of a Content-Encoding value; "" = there is no such header. Returns 0, or
 * BCDA_ERR_HTTP if the coding is not supported. */
int bcda__coding_find(const struct bcda__coding **out, const char *content_encoding);
/* Returns the coding that the first bytes of a body indicate, or NULL if they indicate none. */
const struct bcda__coding *bcda__coding_guess(const uint8_t *data, size_t len);

#endif
