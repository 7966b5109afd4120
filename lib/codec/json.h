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

/* The position of a value's text in the line. If `copy` is 1, the value has escapes, and the
 * position is that of the unescaped text in the scanner's side buffer. */
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
    /* The maximum number of values of all fields in one line. Without it, the server's data could
     * take any amount of memory. */
    BCDA__VALUES_MAX = 65536,
};
int bcda__field_set_new(struct bcda__field_set **out);
/* Adds a path and sets *index. A path that was added before keeps its index. Returns 0,
 * BCDA_ERR_INVALID or BCDA_ERR_NOMEM. */
int bcda__field_set_add(struct bcda__field_set *set, const char *path, int *index);
int bcda__field_set_count(const struct bcda__field_set *set);
int bcda__field_set_copy(struct bcda__field_set **out, const struct bcda__field_set *from);
void bcda__field_set_free(struct bcda__field_set *set);

struct bcda__field_value {
    int field;
    struct bcda__span span;
};

/* The result of scanning a line. A member that was not found has a span with `at` 0 and `len` 0. */
struct bcda__line_info {
    struct bcda__span resource; /* the whole line, or the `resource` of an envelope */
    struct bcda__span type;     /* resourceType */
    struct bcda__span id;
    struct bcda__span last_updated; /* meta.lastUpdated */
    struct bcda__span full_url;     /* fullUrl, which only an envelope has */
    const struct bcda__field_value *values;
    size_t value_count;
    const char *side; /* the side buffer, for spans with `copy` 1 */
    size_t side_len;
    int code; /* 0, or BCDA_ERR_LINE_JSON, _LINE_UTF8, _LINE_DEPTH, _LINE_TYPE, _LINE_TOO_LONG */
    /* The approximate offset of the error in the line. With LINE_JSON it is the length of the line
     * if the only error is that the line is incomplete. */
    size_t bad_at;
};

/* The maximum length of resourceType, id, meta.lastUpdated and fullUrl, unescaped, and of all
 * member names in the objects that contain them. */
enum { BCDA__MEMBER_MAX = 4 * 1024 };

struct bcda__scanner; /* one scanner reads all lines of a file */
int bcda__scanner_new(struct bcda__scanner **out, int max_depth,
                      const struct bcda__field_set *fields);
/* Scans one line, which is passed without its LF. Returns 0 and sets *info to the result, which is
 * valid until the next call; or returns BCDA_ERR_NOMEM. An invalid line is reported in
 * info->code. */
int bcda__scanner_line(struct bcda__scanner *s, const char *line, size_t len,
                       struct bcda__line_info *info);
/* Frees large buffers. Called after a line that is longer than BCDA__SCANNER_KEEP. The call makes
 * the pointers in the `info` of that line invalid. */
enum { BCDA__SCANNER_KEEP = 64 * 1024 };
void bcda__scanner_trim(struct bcda__scanner *s);
void bcda__scanner_free(struct bcda__scanner *s);

#endif
