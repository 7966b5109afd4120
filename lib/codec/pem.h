/* Private keys as PEM text (RFC 7468): finds the block, and decodes its base64. */
#ifndef BCDA_CODEC_PEM_H
#define BCDA_CODEC_PEM_H

#include "base/err.h"
#include "base/secret.h"
#include "codec/bytes.h"

enum { BCDA__PEM_DER_MAX = 65536 }; /* an 8192-bit RSA key has under 5 KiB */

/* All members but `der` point into the text. */
struct bcda__pem {
    struct bcda__bytes label;     /* such as `PRIVATE KEY` */
    struct bcda__bytes proc_type; /* this and dek_info: headers of RFC 1421; .at = NULL: none */
    struct bcda__bytes dek_info;
    struct bcda__secret der; /* may be longer than BCDA__PEM_DER_MAX */
};

/* Reads the first private key in `text` into *out, which is zero before. The caller frees out->der,
 * also after an error. Error texts call the key `name`, and name the line `wanted` if there is no
 * private key. Returns 0, BCDA_ERR_KEY_FORMAT or BCDA_ERR_NOMEM; `err` is filled. */
int bcda__pem_read(struct bcda__pem *out, const char *name, struct bcda__bytes text,
                   const char *wanted, struct bcda_error *err);

#endif
