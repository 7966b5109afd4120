/* Damages lines on purpose before they are encrypted and stored. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

void lines_begin(struct lines *l, struct sandbox *sb, struct sink *sink, const char *type,
                 bool envelope)
{
    *l = (struct lines){.sink = sink, .type = type, .envelope = envelope};
    l->bad_utf8 = fault_take(sb, F_BAD_UTF8, type, NULL);
    l->bad_json = fault_take(sb, F_BAD_JSON, type, NULL);
    l->two = fault_take(sb, F_TWO_ON_LINE, type, NULL);
    l->cut_line = fault_take(sb, F_CUT_LINE, type, NULL);
    fault_take(sb, F_LONG_LINE, type, &l->long_line);
    fault_take(sb, F_DEEP_LINE, type, &l->deep_line);
}

bool lines_faulty(const struct lines *l)
{
    return l->bad_utf8 || l->bad_json || l->two || l->cut_line || l->long_line || l->deep_line;
}

/* before() and after() return the text around the resource in a generated line. */
static const char *before(const struct lines *l)
{
    return l->envelope ? "{\"fullUrl\":\"https:///v1/fhir/Fault/1\",\"resource\":" : "";
}

static const char *after(const struct lines *l)
{
    return l->envelope ? "}" : "";
}

static int emit(struct lines *l, const char *line, size_t n)
{
    if (!l->cut_line)
        return sink_write(l->sink, line, n) || sink_write(l->sink, "\n", 1) ? -1 : 0;
    /* Only lines_end() knows which line is the last one of the file, so the newest line is always
     * kept back in `held`. */
    if (l->held.len && sink_write(l->sink, l->held.p, l->held.len))
        return -1;
    l->held.len = 0;
    buf_add(&l->held, line, n);
    buf_str(&l->held, "\n");
    return 0;
}

/* Writes a line of exactly long_line bytes without holding it in memory as a whole. */
static int put_long(struct lines *l)
{
    struct buf head = {0}, tail = {0};
    char pad[65536];
    long long left;
    int result;

    memset(pad, 'x', sizeof pad);
    json_fmt(&head, "%r{'id':'long-line','resourceType':'%s','text':{'div':'", before(l), l->type);
    json_fmt(&tail, "','status':'generated'}}%r\n", after(l));
    left = l->long_line - (long long)(head.len + tail.len - 1);
    result = l->held.len ? sink_write(l->sink, l->held.p, l->held.len) : 0;
    l->held.len = 0;
    result = result || sink_write(l->sink, head.p, head.len);
    while (!result && left > 0) {
        size_t n = left < (long long)sizeof pad ? (size_t)left : sizeof pad;

        result = sink_write(l->sink, pad, n);
        left -= (long long)n;
    }
    result = result || sink_write(l->sink, tail.p, tail.len);
    buf_free(&head);
    buf_free(&tail);
    return result ? -1 : 0;
}

/* Writes a line with deep_line levels of nesting; the outermost object is level 1. */
static int put_deep(struct lines *l)
{
    struct buf b = {0};
    long long inner = l->deep_line - (l->envelope ? 2 : 1);
    size_t n = inner > 0 ? (size_t)inner : 0;
    int result;

    json_fmt(&b, "%r{'extension':", before(l));
    buf_fill(&b, '[', n);
    buf_str(&b, n ? "" : "0");
    buf_fill(&b, ']', n);
    json_fmt(&b, ",'id':'deep-line','resourceType':'%s'}%r", l->type, after(l));
    result = emit(l, b.p, b.len);
    buf_free(&b);
    return result;
}

static int put_bad_utf8(struct lines *l, const char *line, size_t n)
{
    static const char mark[] = "\"id\":\"";
    struct buf b = {0};
    char *at;
    int result;

    buf_add(&b, line, n);
    at = b.len ? strstr(b.p, mark) : NULL;
    if (!at) {
        b.len = 0;
        json_fmt(&b, "%r{'id':'1','resourceType':'%s'}%r", before(l), l->type, after(l));
        at = strstr(b.p, mark);
    }
    at[sizeof mark - 1] = (char)0xff;
    result = emit(l, b.p, b.len);
    buf_free(&b);
    return result;
}

static int put_two(struct lines *l, const char *line, size_t n)
{
    struct buf b = {0};
    int result;

    buf_add(&b, line, n);
    buf_add(&b, line, n);
    result = emit(l, b.p ? b.p : "", b.len);
    buf_free(&b);
    return result;
}

static int put_second(struct lines *l, const char *line, size_t n)
{
    static const char broken[] = "{\"resourceType\":\"Patient\",\"id\":";

    if (l->bad_json)
        return emit(l, broken, sizeof broken - 1);
    if (l->two)
        return put_two(l, line, n);
    if (l->bad_utf8)
        return put_bad_utf8(l, line, n);
    if (l->long_line)
        return put_long(l);
    if (l->deep_line)
        return put_deep(l);
    return emit(l, line, n);
}

int lines_put(struct lines *l, const char *line, size_t n)
{
    l->number++;
    return l->number == 2 ? put_second(l, line, n) : emit(l, line, n);
}

int lines_end(struct lines *l)
{
    bool second = l->bad_utf8 || l->bad_json || l->long_line || l->deep_line;
    int result = 0;

    if (second && l->number < 2)
        result = put_second(l, "", 0);
    if (l->held.len && !result)
        result = sink_write(l->sink, l->held.p, l->held.len / 2);
    buf_free(&l->held);
    return result;
}
