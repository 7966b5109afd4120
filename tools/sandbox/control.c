/* Requests that steer a running sandbox (--control). They need no token, and have no faults. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool parse_day(const char *s, unsigned *day)
{
    char *end;
    unsigned long n;

    errno = 0;
    n = strtoul(s, &end, 10);
    *day = (unsigned)n;
    return *s >= '0' && *s <= '9' && !*end && !errno && n <= UINT32_MAX;
}

static enum MHD_Result reply_day(struct request *rq)
{
    struct buf b = {0};

    pthread_mutex_lock(&rq->sb->lock);
    buf_printf(&b, "%u\n", rq->sb->day);
    pthread_mutex_unlock(&rq->sb->lock);
    return reply_buf(rq, 200, "text/plain; charset=utf-8", &b);
}

enum MHD_Result control_day(struct request *rq)
{
    char *text;
    unsigned day;
    bool good;

    if (request_is(rq, "GET"))
        return reply_day(rq);
    if (!request_is(rq, "POST"))
        return reply_method(rq);
    text = request_parameter(rq, "day", NULL);
    good = text && parse_day(text, &day) && sandbox_set_day(rq->sb, day) == 0;
    free(text);
    return good ? reply_day(rq) : reply_text(rq, 400, "Bad Request");
}

enum MHD_Result control_clock(struct request *rq)
{
    char *text, *end = NULL;
    long long skew = 0;
    bool good;

    if (!request_is(rq, "POST"))
        return reply_method(rq);
    text = request_parameter(rq, "skew", NULL);
    errno = 0;
    if (text)
        skew = strtoll(text, &end, 10);
    good = text && end != text && !*end && !errno;
    free(text);
    if (!good)
        return reply_text(rq, 400, "Bad Request");
    sandbox_set_clock_skew(rq->sb, skew);
    return reply_empty(rq, 204);
}

enum MHD_Result control_count(struct request *rq)
{
    char *name;
    struct buf b = {0};

    if (!request_is(rq, "GET"))
        return reply_method(rq);
    name = request_parameter(rq, "name", NULL);
    buf_printf(&b, "%u\n", sandbox_count(rq->sb, name ? name : ""));
    free(name);
    return reply_buf(rq, 200, "text/plain; charset=utf-8", &b);
}

enum MHD_Result control_fault(struct request *rq)
{
    char *spec;
    bool good;

    if (request_is(rq, "DELETE")) {
        sandbox_clear_faults(rq->sb);
        return reply_empty(rq, 204);
    }
    if (!request_is(rq, "POST"))
        return reply_method(rq);
    spec = request_parameter(rq, "spec", NULL);
    good = spec && fault_add(rq->sb, spec) == 0;
    free(spec);
    return good ? reply_empty(rq, 204) : reply_text(rq, 400, "Bad Request");
}
