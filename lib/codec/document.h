/* Reads selected values of a JSON document. A table lists the paths of the wanted values, and one
 * callback receives these values. */
#ifndef BCDA_CODEC_DOCUMENT_H
#define BCDA_CODEC_DOCUMENT_H

#include "codec/json.h"

/* The path of a wanted value. A path consists of steps: the name of a member, "[]" (each element of
 * an array) or "[0]" (the first element). "" is the top value. A dot separates a name from the step
 * before it: "issue[].details.coding[0].code". "a|b" matches both names, "value*" each name that
 * begins with "value", and "*" each name. */
struct bcda__document_path {
    const char *path;
    int what; /* identifies the path to the callback */
};

enum { BCDA__DOCUMENT_PATHS_MAX = 32, BCDA__DOCUMENT_STEPS_MAX = 8 };

/* Receives the events of a wanted value. `what` is the number that the table gives to the path of
 * the value. If the value is a member of an object, the first event is the KEY. Then the value
 * itself follows. After the content of an object or array, its END follows. Returns 0, or a code
 * that ends parsing, as bcda__json_cb does. */
typedef int (*bcda__document_cb)(void *ctx, int what, enum bcda__json_event event, const char *text,
                                 size_t len);

struct bcda__document {
    const struct bcda__document_path *paths;
    int count;
    bcda__document_cb cb;
    void *ctx;
    /* For each path: the offset of each step in the path, and then the length of the path. */
    unsigned char step[BCDA__DOCUMENT_PATHS_MAX][BCDA__DOCUMENT_STEPS_MAX + 1];
    unsigned char steps[BCDA__DOCUMENT_PATHS_MAX];
    /* For each depth: the set of paths, one bit each, that match the current value down to this
     * depth. */
    uint32_t open[BCDA__DOCUMENT_STEPS_MAX + 1];
    /* For each depth: the index of the next element of the array there; -1 = an object. */
    int64_t next[BCDA__DOCUMENT_STEPS_MAX + 1];
};

/* Prepares `d`. Then call bcda__json_new() with bcda__document_event() as `cb` and `d` as `ctx`.
 * There may be at most BCDA__DOCUMENT_PATHS_MAX paths, each with at most BCDA__DOCUMENT_STEPS_MAX
 * steps and 255 characters. `paths` must outlive `d`. */
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

/* Returns 1 if the text is equal to `word`. */
int bcda__document_is(const char *text, size_t len, const char *word);
/* Copies a text and adds a NUL. If that does not fit, or if the text contains a NUL, the copy is
 * "". */
void bcda__document_copy(char *to, size_t size, const char *text, size_t len);

#endif
