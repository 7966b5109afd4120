/* Content codings (RFC 9110 8.4.1): the form in which a body is sent or a file is stored. A coding
 * is one row of the table in coding.c; NULL is "identity". */
#ifndef BCDA_CODEC_CODING_H
#define BCDA_CODEC_CODING_H

#include <stddef.h>
#include <stdint.h>

/* `state` is what `open` made. The functions are as those of inflate.h. */
struct bcda__coding {
    const char *name;      /* as in Accept-Encoding */
    const char *old_name;  /* accepted in Content-Encoding, too; NULL = none */
    uint8_t first_byte[2]; /* of all that is coded so */
    int (*open)(void **state);
    int (*run)(void *state, const uint8_t *in, size_t len, size_t *used, uint8_t *out, size_t cap,
               size_t *made);
    int (*finish)(void *state);
    int (*end_at)(void *state, int64_t at);
    void (*close)(void *state);
};

extern const struct bcda__coding bcda__coding_gzip;

/* The value of a Content-Encoding, "" = none is there. BCDA_ERR_HTTP: no coding of the table. */
int bcda__coding_find(const struct bcda__coding **out, const char *content_encoding);
/* The coding by the first bytes of a body; NULL = none of the table. */
const struct bcda__coding *bcda__coding_guess(const uint8_t *data, size_t len);

#endif
