#include "protocol/jwt.h"

#include <string.h>

#include "base/secret.h"
#include "base/text.h"
#include "codec/document.h"

static const int64_t EXPIRY_MAX = INT64_C(253402300799); /* the last second of the year 9999 */

enum jwt_value { JWT_DOCUMENT, JWT_EXP };

static const struct bcda__document_path jwt_paths[] = {
    {"", JWT_DOCUMENT},
    {"exp", JWT_EXP},
};

struct jwt_reader {
    int is_object;
    int exps; /* how many claims exp */
    int64_t expiry;
};

static int64_t expiry_of_number(const char *text, size_t len)
{
    int64_t expiry;

    if (bcda__text_to_whole(text, len, &expiry) || expiry < 1 || expiry > EXPIRY_MAX)
        return -1;
    return expiry;
}

static int jwt_on_value(void *ctx, int what, enum bcda__json_event event, const char *text,
                        size_t len)
{
    struct jwt_reader *r = ctx;

    if (what == JWT_DOCUMENT)
        r->is_object |= event == BCDA__JSON_OBJECT;
    else if (event == BCDA__JSON_KEY)
        r->exps++;
    else if (event == BCDA__JSON_NUMBER)
        r->expiry = expiry_of_number(text, len);
    return 0;
}

/* Decodes a part into `buffer`, and parses it as a JSON object. Returns 1 if it is one. */
static int read_jwt_part(struct jwt_reader *r, const char *part, size_t len,
                         struct bcda__secret *buffer)
{
    size_t decoded;

    memset(r, 0, sizeof *r);
    r->expiry = -1;
    if (bcda__text_base64url_decode(part, len, (uint8_t *)buffer->data, buffer->len, &decoded))
        return 0;
    return !bcda__document_parse(buffer->data, decoded, jwt_paths,
                                 sizeof jwt_paths / sizeof jwt_paths[0], jwt_on_value, r) &&
           r->is_object;
}

int64_t bcda__jwt_expiry(const char *token, size_t len)
{
    const char *end = token + len;
    const char *payload = memchr(token, '.', len);
    const char *signature = payload ? memchr(payload + 1, '.', (size_t)(end - payload - 1)) : NULL;
    struct bcda__secret buffer = {0}; /* the claims are a part of the token */
    struct jwt_reader r;
    int64_t expiry = -1;
    size_t decoded;

    if (!signature || bcda__secret_set(&buffer, NULL, len))
        return -1;
    if (read_jwt_part(&r, token, (size_t)(payload - token), &buffer) &&
        read_jwt_part(&r, payload + 1, (size_t)(signature - payload - 1), &buffer) &&
        !bcda__text_base64url_decode(signature + 1, (size_t)(end - signature - 1),
                                     (uint8_t *)buffer.data, buffer.len, &decoded) &&
        r.exps == 1)
        expiry = r.expiry;
    bcda__secret_free(&buffer);
    return expiry;
}
