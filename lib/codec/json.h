/* JSON by events; json.c is the only includer of yajl.
 *
 * yajl does not check its allocations and knows no limits, so every call runs with an
 * arena of its own: a refused allocation leaves yajl by longjmp to the one entry function, which
 * gives BCDA_ERR_NOMEM. For that reason an event callback must only write to memory that is ready,
 * or note a failure and stop: it never allocates through yajl and never calls the host. */
#ifndef BCDA_CODEC_JSON_H
#define BCDA_CODEC_JSON_H

#include <stddef.h>
#include <stdint.h>

enum bcda__json_event {
    BCDA__JSON_OBJECT = 1, /* { */
    BCDA__JSON_OBJECT_END,
    BCDA__JSON_ARRAY, /* [ */
    BCDA__JSON_ARRAY_END,
    BCDA__JSON_KEY,    /* text: unescaped, valid during the call, no NUL at its end */
    BCDA__JSON_STRING, /* text: likewise */
    BCDA__JSON_NUMBER, /* text: as written, so that no digit is lost */
    BCDA__JSON_TRUE,
    BCDA__JSON_FALSE,
    BCDA__JSON_NULL,
};

/* Gives 0 to go on; else parsing ends with that code (a negative BCDA_ERR_*). `depth` is 0 for the
 * top value, 1 for what stands inside it, and so on; an END has the depth of its beginning. */
typedef int (*bcda__json_cb)(void *ctx, enum bcda__json_event event, int depth, const char *text,
                             size_t len);

enum {
    BCDA__JSON_STRING_MAX = 1024 * 1024, /* a string of a document, as written */
    BCDA__JSON_NUMBER_MAX = 4 * 1024,    /* a number, as written */
};

struct bcda__json;
/* One document, given in pieces of any size. `max_depth` counts nested objects and arrays. What is
 * accepted is RFC 8259 without half surrogate pairs and without a byte order mark. */
int bcda__json_new(struct bcda__json **out, int max_depth, bcda__json_cb cb, void *ctx);
/* Events come late: input is gathered until it is worth parsing. 0; BCDA_ERR_NOT_JSON (syntax, or
 * bytes that are not UTF-8, or too deep, or a number over its limit, or anything but white space
 * behind the top value); BCDA_ERR_BODY_TOO_LARGE (a string over its limit); BCDA_ERR_NOMEM; a
 * callback's code. */
int bcda__json_write(struct bcda__json *j, const void *data, size_t len);
/* The input is over, and the last events come. As above; BCDA_ERR_NOT_JSON also where the top value
 * has not ended. */
int bcda__json_finish(struct bcda__json *j);
/* 1: the top value was whole. What is wrong then stands behind it. */
int bcda__json_has_ended(const struct bcda__json *j);
void bcda__json_free(struct bcda__json *j);

/* A whole document at once. */
int bcda__json_parse(const void *data, size_t len, int max_depth, bcda__json_cb cb, void *ctx);
/* The same, and whatever stands behind the top value is ignored: this server's errors can be two
 * documents in one body, or one with a text behind it (bcda-api 5.1, 5.4, 6.1). For nothing else:
 * of two tokens or two lists of files nobody knows which one was meant. */
int bcda__json_parse_first(const void *data, size_t len, int max_depth, bcda__json_cb cb,
                           void *ctx);

/* Writes `text` as a JSON string with its quotes; what is not UTF-8 is the caller's fault. */
struct bcda__buf;
int bcda__json_add_string(struct bcda__buf *to, const char *text);

/* ---- one NDJSON line ---- */

/* A span of the bytes of a line: where a value's text stands. `copy` = the value had escapes, and
 * stands unescaped in the scanner's side buffer instead. */
struct bcda__span {
    size_t at;
    size_t len;
    int copy;
};

/* Paths of fields that a host wants out of each resource, compiled once: "patient.reference",
 * "identifier.value". Arrays are walked through. */
struct bcda__field_set;
enum {
    BCDA__FIELDS_MAX = 64,
    BCDA__FIELD_DEPTH_MAX = 16,
    BCDA__VALUES_MAX =
        65536, /* of all fields in one line: memory must not go by what a server puts there */
};
int bcda__field_set_new(struct bcda__field_set **out);
/* A path that is there already gets the same index. 0, BCDA_ERR_INVALID, BCDA_ERR_NOMEM. */
int bcda__field_set_add(struct bcda__field_set *set, const char *path, int *index);
int bcda__field_set_count(const struct bcda__field_set *set);
int bcda__field_set_copy(struct bcda__field_set **out, const struct bcda__field_set *from);
void bcda__field_set_free(struct bcda__field_set *set);

struct bcda__field_value {
    int field;
    struct bcda__span span;
};

/* What one pass over a line finds. Spans of length 0 at 0 = not there. */
struct bcda__line_info {
    struct bcda__span resource; /* the bare resource: the line itself, or what its envelope holds */
    struct bcda__span type;     /* resourceType */
    struct bcda__span id;
    struct bcda__span last_updated; /* meta.lastUpdated */
    struct bcda__span full_url;     /* of the envelope */
    const struct bcda__field_value *values;
    size_t value_count;
    const char *side; /* the side buffer of spans with `copy` */
    size_t side_len;
    int code; /* 0, or BCDA_ERR_LINE_JSON, _LINE_UTF8, _LINE_DEPTH, _LINE_TYPE, _LINE_TOO_LONG */
    size_t bad_at; /* where in the line it went wrong, as near as is known; LINE_JSON: the line's
                      length where only its end is missing */
};

/* Decoded bytes of resourceType, id, meta.lastUpdated and fullUrl, and of the names of the members
 * beside them. */
enum { BCDA__MEMBER_MAX = 4 * 1024 };

struct bcda__scanner; /* reused for all lines of a file */
int bcda__scanner_new(struct bcda__scanner **out, int max_depth,
                      const struct bcda__field_set *fields);
/* Reads one line without its LF. 0 (then `info` holds the verdict on the line, valid until the next
 * call) or BCDA_ERR_NOMEM. */
int bcda__scanner_line(struct bcda__scanner *s, const char *line, size_t len,
                       struct bcda__line_info *info);
/* After a line that is longer than BCDA__SCANNER_KEEP: gives back the memory that it took. What
 * `info` points to is gone then. */
enum { BCDA__SCANNER_KEEP = 64 * 1024 };
void bcda__scanner_trim(struct bcda__scanner *s);
void bcda__scanner_free(struct bcda__scanner *s);

#endif
