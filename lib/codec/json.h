/* An event-based JSON parser. Only json.c includes yajl.
 *
 * yajl does not check its allocations and has no limits. So each parser has an arena. If an
 * allocation is refused, longjmp() leaves yajl for the function that called it, which returns
 * BCDA_ERR_NOMEM. Therefore an event callback never allocates memory through yajl, and never calls
 * the application. */
#ifndef BCDA_CODEC_JSON_H
#define BCDA_CODEC_JSON_H

#include <stddef.h>
#include <stdint.h>

enum bcda__json_event {
    BCDA__JSON_OBJECT = 1, /* { */
    BCDA__JSON_OBJECT_END,
    BCDA__JSON_ARRAY, /* [ */
    BCDA__JSON_ARRAY_END,
    BCDA__JSON_KEY,    /* text: unescaped, valid during the call, without a NUL */
    BCDA__JSON_STRING, /* text: as for KEY */
    BCDA__JSON_NUMBER, /* text: as written in the document */
    BCDA__JSON_TRUE,
    BCDA__JSON_FALSE,
    BCDA__JSON_NULL,
};

/* Returns 0, or a BCDA_ERR_* with which parsing ends. `depth` is 0 for the top value, 1 for values
 * and keys directly inside it, and so on. An END has the same depth as its start. */
typedef int (*bcda__json_cb)(void *ctx, enum bcda__json_event event, int depth, const char *text,
                             size_t len);

enum {
    BCDA__JSON_STRING_MAX = 1024 * 1024, /* of a string, as written in the document */
    BCDA__JSON_NUMBER_MAX = 4 * 1024,    /* of a number, as written in the document */
};

struct bcda__json;
/* Parses one document, in pieces of any size. `max_depth` is the maximum number of nested objects
 * and arrays. Accepts RFC 8259, but no single surrogates and no byte order mark. */
int bcda__json_new(struct bcda__json **out, int max_depth, bcda__json_cb cb, void *ctx);
/* Events may be delayed, because small pieces are collected. 0;
 * BCDA_ERR_NOT_JSON: wrong syntax, bytes that are not UTF-8, nested too deep, a number that exceeds
 * its limit, or anything but white space after the top value;
 * BCDA_ERR_BODY_TOO_LARGE: a string exceeds its limit;
 * BCDA_ERR_NOMEM; the code of a callback. */
int bcda__json_write(struct bcda__json *j, const void *data, size_t len);
/* Ends the input and reports the last events. Same errors; BCDA_ERR_NOT_JSON also if the top value
 * is incomplete. */
int bcda__json_finish(struct bcda__json *j);
/* 1 = the top value is complete. BCDA_ERR_NOT_JSON is then caused by the bytes after it. */
int bcda__json_has_ended(const struct bcda__json *j);
void bcda__json_free(struct bcda__json *j);

/* Parses a whole document. */
int bcda__json_parse(const void *data, size_t len, int max_depth, bcda__json_cb cb, void *ctx);
/* The same, but bytes after the top value are ignored: error bodies of the server may be two
 * documents, or a document and a text (bcda-api 5.1, 5.4, 6.1). Only for these. Of two tokens or
 * two manifests in one body, none can be trusted. */
int bcda__json_parse_first(const void *data, size_t len, int max_depth, bcda__json_cb cb,
                           void *ctx);

/* Adds `text`, which must be UTF-8, as a JSON string with its quotes. */
struct bcda__buf;
int bcda__json_add_string(struct bcda__buf *to, const char *text);

/* ---- one NDJSON line ---- */

/* The text of a value, as a span of the bytes of the line. `copy` = the value has escapes, and the
 * span is the unescaped text in the scanner's side buffer. */
struct bcda__span {
    size_t at;
    size_t len;
    int copy;
};

/* The compiled paths of the fields that the application requests of each resource, such as
 * "patient.reference" or "identifier.value". A path continues into each element of an array. */
struct bcda__field_set;
enum {
    BCDA__FIELDS_MAX = 64,
    BCDA__FIELD_DEPTH_MAX = 16,
    /* Of all fields in one line, because memory must not depend on the data of the server. */
    BCDA__VALUES_MAX = 65536,
};
int bcda__field_set_new(struct bcda__field_set **out);
/* The same path always has the same index. 0, BCDA_ERR_INVALID, BCDA_ERR_NOMEM. */
int bcda__field_set_add(struct bcda__field_set *set, const char *path, int *index);
int bcda__field_set_count(const struct bcda__field_set *set);
int bcda__field_set_copy(struct bcda__field_set **out, const struct bcda__field_set *from);
void bcda__field_set_free(struct bcda__field_set *set);

struct bcda__field_value {
    int field;
    struct bcda__span span;
};

/* The result of scanning a line. A span with `at` 0 and `len` 0 = not found. */
struct bcda__line_info {
    struct bcda__span resource; /* the whole line, or the `resource` of an envelope */
    struct bcda__span type;     /* resourceType */
    struct bcda__span id;
    struct bcda__span last_updated; /* meta.lastUpdated */
    struct bcda__span full_url;     /* of the envelope */
    const struct bcda__field_value *values;
    size_t value_count;
    const char *side; /* the side buffer of spans with `copy` */
    size_t side_len;
    int code; /* 0, or BCDA_ERR_LINE_JSON, _LINE_UTF8, _LINE_DEPTH, _LINE_TYPE, _LINE_TOO_LONG */
    /* The offset of the error in the line, as near as is known. With LINE_JSON, the length of the
     * line if the line is only incomplete. */
    size_t bad_at;
};

/* The maximum length, unescaped, of resourceType, id, meta.lastUpdated and fullUrl, and of all
 * member names of the objects that contain them. */
enum { BCDA__MEMBER_MAX = 4 * 1024 };

struct bcda__scanner; /* reused for all lines of a file */
int bcda__scanner_new(struct bcda__scanner **out, int max_depth,
                      const struct bcda__field_set *fields);
/* Scans one line, without its LF. 0, and `info` is the result, valid until the next call. Or
 * BCDA_ERR_NOMEM. */
int bcda__scanner_line(struct bcda__scanner *s, const char *line, size_t len,
                       struct bcda__line_info *info);
/* Frees large buffers. Called after a line that is longer than BCDA__SCANNER_KEEP. The pointers of
 * its `info` are then invalid. */
enum { BCDA__SCANNER_KEEP = 64 * 1024 };
void bcda__scanner_trim(struct bcda__scanner *s);
void bcda__scanner_free(struct bcda__scanner *s);

#endif
