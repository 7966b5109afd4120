#include "protocol/joblist.h"

#include <string.h>

#include "base/url.h"
#include "codec/document.h"

enum { URL_MAX = 16 * 1024 };

enum joblist_value { ENTRY, STATUS, IDENTIFIER, INPUT };

static const struct bcda__document_path joblist_paths[] = {
    {"entry[]", ENTRY},
    {"entry[].resource.status", STATUS},
    {"entry[].resource.identifier[].value", IDENTIFIER},
    {"entry[].resource.input[].valueString", INPUT},
};

struct search {
    const char *wanted; /* the path and query of the kick-off URL */
    char id[BCDA__JOB_ID_MAX + 1];
    int runs, is_same; /* of the current Task: its job is running; its request is the wanted one */
    int found;
    char *out;
};

/* ---- comparing URLs ---- */

/* Returns the next character of a URL, for comparisons. An escaped character is equal to the plain
 * one: %41 and A give the same result. Characters with a syntactic meaning are an exception: %26
 * and & give different results. */
static int next_char(const char **at)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    static const char as_written[] = "%&=+#?/";
    const char *p = *at, *high, *low;
    int c;

    *at += *p != '\0';
    if (*p != '%' || !p[1] || !(high = strchr(digits, p[1])) || !p[2] ||
        !(low = strchr(digits, p[2])))
        return (unsigned char)*p;
    *at += 2;
    c = (int)((high - digits) % 16 * 16 + (low - digits) % 16);
    return c && strchr(as_written, c) ? c + 256 : c ? c : 256;
}

static int is_same_request(const char *a, const char *b)
{
    int c;

    do {
        c = next_char(&a);
        if (c != next_char(&b))
            return 0;
    } while (c);
    return 1;
}

/* 1 if `text` is "GET https://host/path?query" with the wanted path and query. */
static int is_wanted(const struct search *s, const char *text, size_t len)
{
    char url[URL_MAX];
    struct bcda__url u;

    if (len < 4 || len - 4 >= sizeof url || memcmp(text, "GET ", 4) != 0 || memchr(text, '\0', len))
        return 0;
    memcpy(url, text + 4, len - 4);
    url[len - 4] = '\0';
    return !bcda__url_parse(url, &u) && is_same_request(u.path, s->wanted);
}

/* ---- tasks ---- */

/* Stores the id of a job. The id becomes part of a URL, so it is ignored if it has characters with
 * a special meaning in URLs. */
static void take_id(struct search *s, const char *text, size_t len)
{
    size_t i;

    if (s->id[0] || !len || len >= sizeof s->id)
        return;
    for (i = 0; i < len; i++)
        if (!(text[i] >= '0' && text[i] <= '9') && !(text[i] >= 'a' && text[i] <= 'z') &&
            !(text[i] >= 'A' && text[i] <= 'Z') && text[i] != '-' && text[i] != '_')
            return;
    memcpy(s->id, text, len);
    s->id[len] = '\0';
}

static void end_entry(struct search *s)
{
    if (!s->found && s->runs && s->is_same && s->id[0]) {
        memcpy(s->out, s->id, sizeof s->id);
        s->found = 1;
    }
    s->runs = s->is_same = 0;
    s->id[0] = '\0';
}

static void take_job_text(struct search *s, enum joblist_value what, const char *text, size_t len)
{
    if (what == STATUS)
        s->runs =
            bcda__document_is(text, len, "accepted") || bcda__document_is(text, len, "in-progress");
    else if (what == IDENTIFIER)
        take_id(s, text, len);
    else if (what == INPUT)
        s->is_same |= is_wanted(s, text, len);
}

static int joblist_on_value(void *ctx, int what, enum bcda__json_event event, const char *text,
                            size_t len)
{
    if (event == BCDA__JSON_STRING)
        take_job_text(ctx, (enum joblist_value)what, text, len);
    else if (event == BCDA__JSON_OBJECT_END && what == ENTRY)
        end_entry(ctx);
    return 0;
}

int bcda__joblist_twin(const char *body, size_t len, const char *kickoff_url,
                       char id[BCDA__JOB_ID_MAX + 1])
{
    struct search s = {0};
    struct bcda__url u;
    int rc;

    if (bcda__url_parse(kickoff_url, &u))
        return 0;
    s.wanted = u.path;
    s.out = id;
    /* If there are no jobs, the body is an OperationOutcome followed by a Bundle (bcda-api 5.4). */
    rc = bcda__document_parse_first(body, len, joblist_paths,
                                    sizeof joblist_paths / sizeof joblist_paths[0],
                                    joblist_on_value, &s);
    return rc ? rc : s.found;
}
