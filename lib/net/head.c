#include "net/head.h"

#include <string.h>

#include "base/text.h"
#include "bcda/error.h"

void bcda__head_init(struct bcda__head *h, size_t max)
{
    memset(h, 0, sizeof *h);
    bcda__buf_init(&h->lines, max);
}

void bcda__head_free(struct bcda__head *h)
{
    /* the header lines may contain URLs with signatures, which are secrets */
    bcda__buf_free_secret(&h->lines);
}

/* Returns the value of the next header called `name` after the value `after`, or of the first one
 * if `after` is NULL. Returns NULL if there is none. */
static const char *next_value(const struct bcda__head *h, const char *name, const char *after)
{
    const char *p = after ? after + strlen(after) + 1 : h->lines.data;
    size_t len = strlen(name);

    for (; p && p < h->lines.data + h->lines.len; p += strlen(p) + 1) {
        if (!bcda__text_starts_nocase(p, name) || p[len] != ':')
            continue;
        p += len + 1;
        return p + strspn(p, " \t");
    }
    return NULL;
}

/* Returns what makes the length of the body unclear: a proxy might read such a head differently
 * than libcurl does. Returns NULL if the length is clear. */
static const char *find_unclear_length(const struct bcda__head *h)
{
    const char *coding = next_value(h, "Transfer-Encoding", NULL);
    const char *first = next_value(h, "Content-Length", NULL), *next = first;
    int64_t length, other;

    if (coding && (!bcda__text_equal_nocase(coding, strlen(coding), "chunked") ||
                   next_value(h, "Transfer-Encoding", coding)))
        return "a Transfer-Encoding that was not asked for";
    if (coding && first)
        return "both a Transfer-Encoding and a Content-Length";
    if (first && bcda__text_to_int64(first, strlen(first), &length))
        return "a Content-Length that is no length";
    while (next && (next = next_value(h, "Content-Length", next)))
        if (bcda__text_to_int64(next, strlen(next), &other) || other != length)
            return "several Content-Length that differ";
    return NULL;
}

static int refuse_head(struct bcda__head *h, int code, const char *cause)
{
    h->state = BCDA__HEAD_REFUSED;
    h->code = code;
    h->cause = cause;
    return code;
}

/* A status line ("HTTP/1.1 200 OK" or "HTTP/2 200") begins a new head. The headers of an interim
 * response before it are dropped. */
static void begin_response(struct bcda__head *h, const char *line, size_t len)
{
    const char *space = memchr(line, ' ', len);
    int64_t status = 0;

    bcda__buf_clear(&h->lines);
    h->version = len > 5 && line[5] >= '0' && line[5] <= '9' ? line[5] - '0' : 0;
    if (space && len - (size_t)(space - line) >= 4)
        bcda__text_to_int64(space + 1, 3, &status);
    h->status = (int)status;
}

static int complete_head(struct bcda__head *h)
{
    const char *cause;

    if (h->status < 200)
        return 0;
    cause = find_unclear_length(h);
    if (cause)
        return refuse_head(h, BCDA_ERR_HTTP, cause);
    h->state = BCDA__HEAD_COMPLETE;
    return 1;
}

static int add_header_line(struct bcda__head *h, const char *line, size_t len)
{
    int rc;

    while (len && (line[len - 1] == ' ' || line[len - 1] == '\t'))
        len--;
    rc = bcda__buf_add(&h->lines, line, len);
    if (!rc)
        rc = bcda__buf_add(&h->lines, "", 1);
    if (rc == BCDA_ERR_BODY_TOO_LARGE)
        rc = BCDA_ERR_HEADERS_TOO_LARGE; /* the buffer also counts the NUL bytes, so it may be full
                                            first */
    return rc ? refuse_head(h, rc, NULL) : 0;
}

int bcda__head_line(struct bcda__head *h, const char *line, size_t len)
{
    size_t text = len;

    if (h->state == BCDA__HEAD_REFUSED)
        return h->code;
    h->size += len;
    if (h->size > h->lines.max)
        return refuse_head(h, BCDA_ERR_HEADERS_TOO_LARGE, NULL);
    if (h->state == BCDA__HEAD_COMPLETE)
        return 0;
    while (text && (line[text - 1] == '\r' || line[text - 1] == '\n'))
        text--;
    if (text == 0)
        return complete_head(h);
    if (len < 5 || memcmp(line, "HTTP/", 5) != 0)
        return add_header_line(h, line, text);
    begin_response(h, line, text);
    return 0;
}

const char *bcda__head_value(const struct bcda__head *h, const char *name)
{
    const char *found = "", *next = NULL;

    while ((next = next_value(h, name, next)))
        found = next;
    return found;
}

int64_t bcda__head_content_length(const struct bcda__head *h)
{
    const char *value = bcda__head_value(h, "Content-Length");
    int64_t length;

    return bcda__text_to_int64(value, strlen(value), &length) ? -1 : length;
}

int bcda__head_is_chunked(const struct bcda__head *h)
{
    return bcda__text_starts_nocase(bcda__head_value(h, "Transfer-Encoding"), "chunked");
}
