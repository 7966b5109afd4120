/* Reads a JSON document by paths: a table says which values are wanted, and one function receives
 * them. */
#ifndef BCDA_CODEC_DOCUMENT_H
#define BCDA_CODEC_DOCUMENT_H

#include "codec/json.h"

/* Where a wanted value stands. A path is made of steps: the name of a member, "[]" (each element of
 * an array) or "[0]" (its first); "" is the top value. Names are separated by dots:
 * "issue[].details.coding[0].code". "a|b" is either name, "value*" each name that begins so, "*"
 * each name. */
struct bcda__document_path {
    const char *path;
    int what; /* passed on to the callback */
};

enum { BCDA__DOCUMENT_PATHS_MAX = 32, BCDA__DOCUMENT_STEPS_MAX = 8 };

/* The value at path `what`: its KEY where it is a member of an object, then the value itself; an
 * object or array has an END after all that is in it. Returns as bcda__json_cb. */
typedef int (*bcda__document_cb)(void *ctx, int what, enum bcda__json_event event, const char *text,
                                 size_t len);

struct bcda__document {
    const struct bcda__document_path *paths;
    int count;
    bcda__document_cb cb;
    void *ctx;
    /* Of each path, where its steps begin, and at the end where it ends. */
    unsigned char step[BCDA__DOCUMENT_PATHS_MAX][BCDA__DOCUMENT_STEPS_MAX + 1];
    unsigned char steps[BCDA__DOCUMENT_PATHS_MAX];
    /* By depth: the paths whose steps so far are those of the current value, one bit each; and of
     * an array which element is next, -1 = it is an object. */
    uint32_t open[BCDA__DOCUMENT_STEPS_MAX + 1];
    int64_t next[BCDA__DOCUMENT_STEPS_MAX + 1];
};

/* For bcda__json_new() with bcda__document_event() and `d`. At most BCDA__DOCUMENT_PATHS_MAX paths,
 * each of at most BCDA__DOCUMENT_STEPS_MAX steps and 255 characters, which live as long as `d`. */
void bcda__document_init(struct bcda__document *d, const struct bcda__document_path *paths,
                         int count, bcda__document_cb cb, void *ctx);
int bcda__document_event(void *document, enum bcda__json_event event, int depth, const char *text,
                         size_t len);

/* A whole document at once: as bcda__json_parse() and bcda__json_parse_first(), with at most 64
 * nested objects and arrays. */
int bcda__document_parse(const void *data, size_t len, const struct bcda__document_path *paths,
                         int count, bcda__document_cb cb, void *ctx);
int bcda__document_parse_first(const void *data, size_t len,
                               const struct bcda__document_path *paths, int count,
                               bcda__document_cb cb, void *ctx);

/* 1 where the text is this word; and a copy of a text that fits `size` with its NUL, else "". */
int bcda__document_is(const char *text, size_t len, const char *word);
void bcda__document_copy(char *to, size_t size, const char *text, size_t len);

#endif
