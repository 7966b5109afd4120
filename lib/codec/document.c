#include "codec/document.h"

#include <string.h>

enum { DOCUMENT_DEPTH_MAX = 64 };

/* ---- steps ---- */

/* Returns the start of the step that follows the step at `at`. */
static size_t next_step(const char *path, size_t at)
{
    size_t end = at + 1;

    if (path[at] == '[')
        return at + strcspn(path + at, "]") + 1;
    while (path[end] && path[end] != '.' && path[end] != '[')
        end++;
    return end;
}

static void find_steps(struct bcda__document *d, int i)
{
    const char *path = d->paths[i].path;
    size_t at = 0;
    int n = 0;

    while (path[at] && n < BCDA__DOCUMENT_STEPS_MAX) {
        d->step[i][n++] = (unsigned char)at;
        at = next_step(path, at);
    }
    d->step[i][n] = (unsigned char)at;
    d->steps[i] = (unsigned char)n;
}

void bcda__document_init(struct bcda__document *d, const struct bcda__document_path *paths,
                         int count, bcda__document_cb cb, void *ctx)
{
    int i;

    memset(d, 0, sizeof *d);
    d->paths = paths;
    d->count = count;
    d->cb = cb;
    d->ctx = ctx;
    for (i = 0; i < count; i++)
        find_steps(d, i);
}

/* 1 if a step such as "type", "value*" or "output|error" matches the member `name`. The step is the
 * text from `step` to `end`. */
static int step_has_name(const char *step, const char *end, const char *name, size_t len)
{
    while (step < end) {
        const char *bar = memchr(step, '|', (size_t)(end - step));
        size_t n = (size_t)((bar ? bar : end) - step);

        if (step[n - 1] == '*' ? len >= n - 1 && memcmp(step, name, n - 1) == 0
                               : len == n && memcmp(step, name, n) == 0)
            return 1;
        step += n + 1;
    }
    return 0;
}

/* 1 if the step of path `i` at this depth matches the member `name`, or, if `name` is NULL, the
 * array element with the index `element`. */
static int step_agrees(const struct bcda__document *d, int i, int depth, const char *name,
                       size_t len, int64_t element)
{
    const char *step = d->paths[i].path + d->step[i][depth - 1];
    const char *end = d->paths[i].path + d->step[i][depth];

    if (!name)
        return *step == '[' && (step[1] == ']' || element == 0);
    return *step != '[' && step_has_name(step + (*step == '.'), end, name, len);
}

/* Returns the set of paths, one bit each, whose steps down to this depth all match. */
static uint32_t descend(const struct bcda__document *d, int depth, const char *name, size_t len,
                        int64_t element)
{
    uint32_t open = 0;
    int i;

    for (i = 0; i < d->count; i++)
        if (d->open[depth - 1] & UINT32_C(1) << i && d->steps[i] >= depth &&
            step_agrees(d, i, depth, name, len, element))
            open |= UINT32_C(1) << i;
    return open;
}

/* ---- events ---- */

static int report_value(struct bcda__document *d, int depth, enum bcda__json_event event,
                        const char *text, size_t len)
{
    int i, rc = 0;

    for (i = 0; !rc && i < d->count; i++)
        if (d->open[depth] & UINT32_C(1) << i && d->steps[i] == depth)
            rc = d->cb(d->ctx, d->paths[i].what, event, text, len);
    return rc;
}

int bcda__document_event(void *document, enum bcda__json_event event, int depth, const char *text,
                         size_t len)
{
    struct bcda__document *d = document;

    if (depth > BCDA__DOCUMENT_STEPS_MAX)
        return 0;
    if (event == BCDA__JSON_KEY)
        d->open[depth] = descend(d, depth, text, len, -1);
    else if (depth == 0)
        d->open[0] = UINT32_MAX;
    else if (event != BCDA__JSON_OBJECT_END && event != BCDA__JSON_ARRAY_END &&
             d->next[depth - 1] >= 0)
        d->open[depth] = descend(d, depth, NULL, 0, d->next[depth - 1]++);
    if (event == BCDA__JSON_OBJECT || event == BCDA__JSON_ARRAY)
        d->next[depth] = event == BCDA__JSON_ARRAY ? 0 : -1;
    return d->open[depth] ? report_value(d, depth, event, text, len) : 0;
}

/* ---- whole documents ---- */

int bcda__document_parse(const void *data, size_t len, const struct bcda__document_path *paths,
                         int count, bcda__document_cb cb, void *ctx)
{
    struct bcda__document d;

    bcda__document_init(&d, paths, count, cb, ctx);
    return bcda__json_parse(data, len, DOCUMENT_DEPTH_MAX, bcda__document_event, &d);
}

int bcda__document_parse_first(const void *data, size_t len,
                               const struct bcda__document_path *paths, int count,
                               bcda__document_cb cb, void *ctx)
{
    struct bcda__document d;

    bcda__document_init(&d, paths, count, cb, ctx);
    return bcda__json_parse_first(data, len, DOCUMENT_DEPTH_MAX, bcda__document_event, &d);
}

int bcda__document_is(const char *text, size_t len, const char *word)
{
    return strlen(word) == len && memcmp(text, word, len) == 0;
}

void bcda__document_copy(char *to, size_t size, const char *text, size_t len)
{
    to[0] = '\0';
    if (len >= size || memchr(text, '\0', len))
        return;
    memcpy(to, text, len);
    to[len] = '\0';
}
