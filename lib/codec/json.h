/* An event-based JSON parser. Only json.c includes yajl.
 *
 * yajl does not check whether its allocations succeed, and has no limits. So each parser gives yajl
 * its own allocator, the arena. If an allocation is refused, the arena leaves yajl by longjmp() to
 * the function that called yajl, and this function returns BCDA_ERR_NOMEM. Therefore an event
 * callback must not allocate memory through yajl or call the application. */
#ifndef BCDA_CODEC_JSON_H
#define BCDA_CODEC_JSON_H

#include <stddef.h>
#include <stdint.h>

#include "codec/fields.h"
#include "codec/values.h"

enum bcda__json_event {
    BCDA__JSON_OBJECT = 1, /* { */
    BCDA__JSON_OBJECT_END,
    BCDA__JSON_ARRAY, /* [ */
    BCDA__JSON_ARRAY_END,
    BCDA__JSON_KEY,    /* text: unescaped, not NUL-terminated, valid during the call */
    BCDA__JSON_STRING, /* text: as for KEY */
    BCDA__JSON_NUMBER, /* text: as written in the document */
    BCDA__JSON_TRUE,
    BCDA__JSON_FALSE,
    BCDA__JSON_NULL,
};

/* Receives an event. Returns 0, or a BCDA_ERR_* to end parsing with this code. `depth` is 0 for the
 * top value, 1 for values and keys directly inside it, and so on. An END has the same depth as the
 * start of its object or array. */
typedef int (*bcda__json_cb)(void *ctx, enum bcda__json_event event, int depth, const char *text,
                             size_t len);

/* Maximum lengths. */
enum {
    BCDA__JSON_STRING_MAX = 1024 * 1024, /* of a string in the document, in bytes as written */
    BCDA__JSON_NUMBER_MAX = 4 * 1024,    /* of a number in the document, in bytes as written */
};

struct bcda__json;
/* Parses one document, in pieces of any size. `max_depth` is the maximum number of nested objects
 * and arrays. Accepts the JSON of RFC 8259, except surrogates that are not in a pair, and no byte
 * order mark. */
int bcda__json_new(struct bcda__json **out, int max_depth, bcda__json_cb cb, void *ctx);
/* Parses the next bytes. Events may be delayed, because small pieces are collected. Returns 0;
 * BCDA_ERR_NOT_JSON: wrong syntax, bytes that are not UTF-8, too many nested levels, a number that
 * exceeds its limit, or anything but white space after the top value; BCDA_ERR_BODY_TOO_LARGE: a
 * string exceeds its limit; BCDA_ERR_NOMEM; the code of a callback. */
int bcda__json_write(struct bcda__json *j, const void *data, size_t len);
/* Ends the input and reports the last events. Returns the same codes as bcda__json_write(), and
 * also BCDA_ERR_NOT_JSON if the top value is incomplete. */
int bcda__json_finish(struct bcda__json *j);
/* Returns 1 if the top value is complete. If parsing failed with BCDA_ERR_NOT_JSON although the top
 * value is complete, the bytes after that value caused the error. */
int bcda__json_has_ended(const struct bcda__json *j);
void bcda__json_free(struct bcda__json *j);

/* Parses a whole document. */
int bcda__json_parse(const void *data, size_t len, int max_depth, bcda__json_cb cb, void *ctx);
/* Parses a whole document, but ignores bytes after the top value. This is only for
 * OperationOutcomes and job lists, because the server may send two documents, or a document and a
 * text (bcda-api 5.1, 5.4, 6.1). It must not be used for tokens and manifests: if there are two in
 * one body, neither can be trusted. */
int bcda__json_parse_first(const void *data, size_t len, int max_depth, bcda__json_cb cb,
                           void *ctx);

/* Adds `text`, which must be UTF-8, as a JSON string with quotes and escapes. */
struct bcda__buf;
int bcda__json_add_string(struct bcda__buf *to, const char *text);

/* ---- one NDJSON line ---- */

/* Reads lines by yajl, one after the other. line.c calls it for the lines that the scanner is not
 * sure of. */
struct bcda__json_line;
int bcda__json_line_new(struct bcda__json_line **out, int max_depth,
                        const struct bcda__field_set *fields);
/* As bcda__line_read(). The bytes after the line are not read. */
int bcda__json_line_read(struct bcda__json_line *s, const char *line, size_t len,
                         struct bcda__line_info *info);
/* Frees buffers that are larger than `keep` bytes. */
void bcda__json_line_trim(struct bcda__json_line *s, size_t keep);
void bcda__json_line_free(struct bcda__json_line *s);

#endif
