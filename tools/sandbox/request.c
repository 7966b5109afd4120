/* One HTTP exchange: reads the request as Go does, and answers it. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct request *request_new(struct sandbox *sb, const char *target)
{
    struct request *rq = xcalloc(1, sizeof *rq);
    size_t n = strcspn(target, "?");

    rq->sb = sb;
    rq->api = 1;
    rq->target = xstrdup(target);
    rq->path = xstrndup(target, n);
    rq->query = target[n] == '?' ? rq->target + n + 1 : NULL;
    return rq;
}

void request_free(struct request *rq)
{
    if (!rq)
        return;
    for (size_t i = 0; i < rq->out_count; i++)
        free(rq->out[i].value);
    buf_free(&rq->body);
    free(rq->assertion);
    free(rq->scope);
    free(rq->refusal.description);
    free(rq->target);
    free(rq->path);
    free(rq);
}

struct lookup {
    const char *name;
    const char *value;
};

static enum MHD_Result match_first(void *cls, enum MHD_ValueKind kind, const char *key,
                                   const char *value)
{
    struct lookup *l = cls;

    (void)kind;
    if (strcasecmp(key, l->name) != 0)
        return MHD_YES;
    l->value = value ? value : "";
    return MHD_NO;
}

const char *request_header(struct request *rq, const char *name)
{
    struct lookup l = {name, NULL};

    MHD_get_connection_values(rq->connection, MHD_HEADER_KIND, match_first, &l);
    return l.value;
}

bool request_is(struct request *rq, const char *method)
{
    return strcmp(rq->method, method) == 0;
}

char *request_origin(struct request *rq)
{
    const char *host = request_header(rq, "Host");

    return xasprintf("%s://%s", rq->sb->options.tls ? "https" : "http", host ? host : "localhost");
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static char *unescape(const char *s, size_t n)
{
    char *out = xcalloc(1, n + 1), *p = out;

    for (size_t i = 0; i < n; i++) {
        if (s[i] == '+') {
            *p++ = ' ';
        } else if (s[i] == '%' && i + 2 < n && hex_value(s[i + 1]) >= 0 &&
                   hex_value(s[i + 2]) >= 0) {
            *p++ = (char)(hex_value(s[i + 1]) * 16 + hex_value(s[i + 2]));
            i += 2;
        } else {
            *p++ = s[i];
        }
    }
    return out;
}

char *request_parameter(struct request *rq, const char *name, unsigned *count)
{
    const char *s = rq->query ? rq->query : "";
    char *found = NULL;
    unsigned n = 0;

    while (*s) {
        size_t len = strcspn(s, "&"), eq = strcspn(s, "=&");
        char *key = unescape(s, eq);

        if (strcmp(key, name) == 0) {
            n++;
            if (!found)
                found = eq < len ? unescape(s + eq + 1, len - eq - 1) : xstrdup("");
        }
        free(key);
        s += len + (s[len] == '&');
    }
    if (count)
        *count = n;
    return found;
}

void reply_header(struct request *rq, const char *name, const char *value)
{
    for (size_t i = 0; i < rq->out_count; i++)
        if (strcasecmp(rq->out[i].name, name) == 0) {
            free(rq->out[i].value);
            rq->out[i].value = xstrdup(value);
            return;
        }
    if (rq->out_count == sizeof rq->out / sizeof *rq->out)
        abort();
    rq->out[rq->out_count++] = (struct header){name, xstrdup(value)};
}

/* Sets a header as the real server's middleware does: a value that the handler has set remains. */
static void default_header(struct request *rq, const char *name, const char *value)
{
    for (size_t i = 0; i < rq->out_count; i++)
        if (strcasecmp(rq->out[i].name, name) == 0)
            return;
    reply_header(rq, name, value);
}

/* libmicrohttpd would write the true time, so its own Date is off. */
static void add_date(const struct request *rq, struct MHD_Response *response)
{
    char text[48];

    time_http(sandbox_now(rq->sb), text);
    MHD_add_response_header(response, "Date", text);
}

static void common_headers(struct request *rq)
{
    /* The real server can serve only one request per connection (bcda-api 1). */
    reply_header(rq, "Connection", "close");
    if (!rq->sb->options.tls)
        return;
    reply_header(rq, "Strict-Transport-Security", "max-age=31536000; includeSubDomains; preload");
    if (!rq->sb->era->nocache)
        return;
    default_header(rq, "Cache-Control", "no-cache; no-store; must-revalidate; max-age=0");
    default_header(rq, "Pragma", "no-cache");
    default_header(rq, "X-Content-Type-Options", "nosniff");
}

/* Adds the padding in several headers, each short enough for a client to accept. */
static void add_padding(const struct request *rq, struct MHD_Response *response)
{
    char text[8001];
    long long left = rq->padding;

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (; left > 0; left -= (long long)sizeof text)
        MHD_add_response_header(response, "X-Padding", text);
}

enum MHD_Result reply_response(struct request *rq, unsigned status, struct MHD_Response *response)
{
    enum MHD_Result result;

    if (!response)
        return MHD_NO;
    common_headers(rq);
    add_date(rq, response);
    for (size_t i = 0; i < rq->out_count; i++)
        MHD_add_response_header(response, rq->out[i].name, rq->out[i].value);
    if (status == 401)
        rq->sb->counts[C_401]++;
    else if (status == 429)
        rq->sb->counts[C_429]++;
    else if (status == 202)
        rq->sb->counts[C_202]++;
    add_padding(rq, response);
    result = MHD_queue_response(rq->connection, status, response);
    MHD_destroy_response(response);
    return result;
}

enum MHD_Result reply_empty(struct request *rq, unsigned status)
{
    return reply_response(rq, status,
                          MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT));
}

static ssize_t read_memory(void *cls, uint64_t pos, char *out, size_t max)
{
    struct buf *b = cls;
    size_t n = b->len - (size_t)pos;

    if (n == 0)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (n > max)
        n = max;
    memcpy(out, b->p + pos, n);
    return (ssize_t)n;
}

static void free_memory(void *cls)
{
    struct buf *b = cls;

    buf_free(b);
    free(b);
}

enum MHD_Result reply_buf(struct request *rq, unsigned status, const char *type, struct buf *body)
{
    struct buf *copy;

    if (type)
        reply_header(rq, "Content-Type", type);
    if (body->len <= 2048) {
        struct MHD_Response *r =
            MHD_create_response_from_buffer(body->len, body->p, MHD_RESPMEM_MUST_COPY);

        buf_free(body);
        return reply_response(rq, status, r);
    }
    copy = xcalloc(1, sizeof *copy);
    *copy = *body;
    *body = (struct buf){0};
    return reply_response(
        rq, status,
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, read_memory, copy, free_memory));
}

enum MHD_Result reply_string(struct request *rq, unsigned status, const char *type,
                             const char *body)
{
    struct buf b = {0};

    buf_str(&b, body);
    return reply_buf(rq, status, type, &b);
}

enum MHD_Result reply_text(struct request *rq, unsigned status, const char *text)
{
    struct buf b = {0};

    buf_printf(&b, "%s\n", text);
    reply_header(rq, "X-Content-Type-Options", "nosniff");
    return reply_buf(rq, status, "text/plain; charset=utf-8", &b);
}

enum MHD_Result reply_later(struct request *rq, unsigned status, long long seconds,
                            const char *text)
{
    char *said = fault_take_text(rq->sb, F_RETRY_AFTER, NULL);

    if (!said)
        said = xasprintf("%lld", seconds);
    if (*said)
        reply_header(rq, "Retry-After", said);
    free(said);
    return text ? reply_text(rq, status, text) : reply_empty(rq, status);
}

enum MHD_Result reply_html(struct request *rq, unsigned status)
{
    return reply_string(rq, status, "text/html; charset=utf-8",
                        "<!DOCTYPE html>\n<html><head><title>Scheduled maintenance</title></head>"
                        "<body><h1>We will be back soon</h1></body></html>\n");
}

enum MHD_Result reply_not_found(struct request *rq)
{
    return reply_text(rq, 404, "404 page not found");
}

enum MHD_Result reply_method(struct request *rq)
{
    return reply_empty(rq, 405);
}
