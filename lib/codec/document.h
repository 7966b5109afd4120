/* Reads a JSON document by paths: a table lists the paths of the wanted values, and one callback
 * receives these values. */
#ifndef BCDA_CODEC_DOCUMENT_H
#define BCDA_CODEC_DOCUMENT_H

#include "codec/json.h"

/* The path of a wanted value. A path consists of steps: the name of a member, "[]" (each element of
 * an array) or "[0]" (the first element). "" is the top value. A dot separates a name from the step
 * before it: "issue[].details.coding[0].code". "a|b" matches both names, "value*" each name with
 * this prefix, "*" each name. */
struct bcda__document_path {
    const char *path;
    int what; /* passed on to the callback */
};

enum { BCDA__DOCUMENT_PATHS_MAX = 32, BCDA__DOCUMENT_STEPS_MAX = 8 };

/* Receives the values of the path with number `what`: first the KEY, if the value is a member of an
 * object, then the value. An object or array has a second event, its END, after its content.
 * Returns 0, or a code that ends parsing, as bcda__json_cb does. */
typedef int (*bcda__document_cb)(void *ctx, int what, enum bcda__json_event event, const char *text,
                                 size_t len);

struct bcda__document {
    const struct bcda__document_path *paths;
    int count;
    bcda__document_cb cb;
    void *ctx;
    /* For each path: the offsets of its steps, and after them the length of the path. */
    unsigned char step[BCDA__DOCUMENT_PATHS_MAX][BCDA__DOCUMENT_STEPS_MAX + 1];
    unsigned char steps[BCDA__DOCUMENT_PATHS_MAX];
    /* By depth: the paths that match the current value down to this depth, one bit each. */
    uint32_t open[BCDA__DOCUMENT_STEPS_MAX + 1];
    /* By depth: the number of the next element of an array; -1 = an object. */
    int64_t next[BCDA__DOCUMENT_STEPS_MAX + 1];
};

/* Prepares `d` for bcda__json_new(), whose arguments are then bcda__document_event() and `d`. There
 * are at most BCDA__DOCUMENT_PATHS_MAX paths, each with at most BCDA__DOCUMENT_STEPS_MAX steps and
 * 255 characters. `paths` must outlive `d`. */
void bcda__document_init(struct bcda__document *d, const struct bcda__document_path *paths,
                         int count, bcda__document_cb cb, void *ctx);
int bcda__document_event(void *document, enum bcda__json_event event, int depth, const char *text,
                         size_t len);

/* Parse a whole document, as bcda__json_parse() and bcda__json_parse_first() do, with at most 64
 * nested objects and arrays. */
int bcda__document_parse(const void *data, size_t len, const struct bcda__document_path *paths,
                         int count, bcda__document_cb cb, void *ctx);
int bcda__document_parse_first(const void *data, size_t len,
                               const struct bcda__document_path *paths, int count,
                               bcda__document_cb cb, void *ctx);

/* 1 = the text is equal to `word`. */
int bcda__document_is(const char *text, size_t len, const char *word);
/* Copies a text. The copy is "" if the text and its NUL do not fit, or if the text contains a NUL.
 */
void bcda__document_copy(char *to, size_t size, const char *text, size_t len);

#endif
