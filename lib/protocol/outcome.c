#include "protocol/outcome.h"

#include <string.h>

#include "base/text.h"
#include "codec/document.h"
#include "codec/utf8.h"

/* ---- the reader ---- */

enum outcome_value {
    RESOURCE_TYPE,
    ISSUE,
    SEVERITY,
    ISSUE_CODE,
    DIAGNOSTICS,
    DETAILS_TEXT,
    CODING_DISPLAY,
    CODING_CODE,
};

static const struct bcda__document_path outcome_paths[] = {
    {"resourceType", RESOURCE_TYPE},
    {"issue[]", ISSUE},
    {"issue[].severity", SEVERITY},
    {"issue[].code", ISSUE_CODE},
    {"issue[].diagnostics", DIAGNOSTICS},
    {"issue[].details.text", DETAILS_TEXT},
    {"issue[].details.coding[0].display", CODING_DISPLAY},
    {"issue[].details.coding[0].code", CODING_CODE},
};

/* The texts of an issue in order of preference (bcda-api 8.1). */
enum rank {
    RANK_DIAGNOSTICS,
    RANK_DETAILS_TEXT,
    RANK_DISPLAY,
    RANK_CODE,
    RANK_NONE,
};

struct reader {
    bcda__issue_cb each; /* NULL in the first pass, which reports nothing */
    void *ctx;
    int is_outcome; /* 1 = resourceType is OperationOutcome; -1 = it is not; 0 = not read yet */
    enum rank rank;
    struct bcda__issue issue;
};

/* Copies a text as one line. It is cut to size - 1 bytes. */
static void put_text(char *to, size_t size, const char *text, size_t len)
{
    size_t i;

    while (len && (unsigned char)*text <= 0x20) {
        text++;
        len--;
    }
    if (len >= size)
        len = size - 1;
    for (i = 0; i < len; i++)
        to[i] = text[i] ? text[i] : ' ';
    to[len] = '\0';
    bcda__text_cut_utf8(to);
    bcda__text_one_line(to);
}

static void offer_issue(struct reader *r, enum rank rank, const char *text, size_t len)
{
    char found[sizeof r->issue.text];

    if (rank >= r->rank)
        return;
    put_text(found, sizeof found, text, len);
    if (!found[0])
        return;
    memcpy(r->issue.text, found, sizeof found);
    r->rank = rank;
}

static enum bcda__severity severity_of(const char *text, size_t len)
{
    static const char *const names[] = {
        [BCDA__SEVERITY_INFORMATION] = "information",
        [BCDA__SEVERITY_WARNING] = "warning",
        [BCDA__SEVERITY_ERROR] = "error",
        [BCDA__SEVERITY_FATAL] = "fatal",
    };
    size_t i;

    for (i = BCDA__SEVERITY_INFORMATION; i < sizeof names / sizeof names[0]; i++)
        if (bcda__text_equal_nocase(text, len, names[i]))
            return (enum bcda__severity)i;
    return BCDA__SEVERITY_UNKNOWN;
}

static void on_resource_type(struct reader *r, enum bcda__json_event event, const char *text,
                             size_t len)
{
    int right = event == BCDA__JSON_STRING && bcda__document_is(text, len, "OperationOutcome");

    r->is_outcome = right && r->is_outcome >= 0 ? 1 : -1;
}

static void outcome_on_string(struct reader *r, enum outcome_value what, const char *text,
                              size_t len)
{
    switch (what) {
    case SEVERITY:
        r->issue.severity = severity_of(text, len);
        break;
    case ISSUE_CODE:
        put_text(r->issue.code, sizeof r->issue.code, text, len);
        break;
    case DIAGNOSTICS:
        offer_issue(r, RANK_DIAGNOSTICS, text, len);
        break;
    case DETAILS_TEXT:
        offer_issue(r, RANK_DETAILS_TEXT, text, len);
        break;
    case CODING_DISPLAY:
        offer_issue(r, RANK_DISPLAY, text, len);
        break;
    case CODING_CODE:
        offer_issue(r, RANK_CODE, text, len);
        break;
    case RESOURCE_TYPE:
    case ISSUE:
        break;
    }
}

static int outcome_on_value(void *ctx, int what, enum bcda__json_event event, const char *text,
                            size_t len)
{
    struct reader *r = ctx;

    if (event == BCDA__JSON_KEY || event == BCDA__JSON_ARRAY_END)
        return 0;
    if (event == BCDA__JSON_OBJECT_END)
        return what == ISSUE && r->each ? r->each(r->ctx, &r->issue) : 0;
    if (what == RESOURCE_TYPE) {
        on_resource_type(r, event, text, len);
    } else if (what == ISSUE) {
        memset(&r->issue, 0, sizeof r->issue);
        r->rank = RANK_NONE;
    } else if (event == BCDA__JSON_STRING) {
        outcome_on_string(r, (enum outcome_value)what, text, len);
    }
    return 0;
}

static int read_outcome(const char *body, size_t len, struct reader *r)
{
    return bcda__document_parse_first(body, len, outcome_paths,
                                      sizeof outcome_paths / sizeof outcome_paths[0],
                                      outcome_on_value, r);
}

/* Reads the document twice: first to check that it is complete and an OperationOutcome, then to
 * report its issues. A single pass would report issues before that is known, because for five years
 * the server wrote `issue` before `resourceType` (bcda-api 0.2). */
int bcda__outcome_each(const char *body, size_t len, bcda__issue_cb each, void *ctx)
{
    struct reader check = {0};
    struct reader r = {.each = each, .ctx = ctx};
    int rc = read_outcome(body, len, &check);

    if (rc)
        return rc;
    if (check.is_outcome != 1)
        return BCDA_ERR_LINE_TYPE;
    return read_outcome(body, len, &r);
}

/* ---- the uses of an outcome ---- */

static int note_transient(void *ctx, const struct bcda__issue *issue)
{
    int *found = ctx;

    if (bcda__text_equal_nocase(issue->code, strlen(issue->code), "transient"))
        *found = 1;
    return 0;
}

int bcda__outcome_is_transient(const char *body, size_t len)
{
    int found = 0;

    return bcda__outcome_each(body, len, note_transient, &found) == 0 && found;
}

static int keep_first_text(void *ctx, const struct bcda__issue *issue)
{
    struct bcda__issue *kept = ctx;

    if (!kept->text[0])
        *kept = *issue;
    return 0;
}

/* 1 if the text is UTF-8 without control characters. C1 controls (U+0080 to U+009F) are refused,
 * too, because terminals interpret them. */
static int is_printable(const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t i;

    if (bcda__utf8_check(text, len) != len)
        return 0;
    for (i = 0; i < len; i++) {
        if ((p[i] < 0x20 && p[i] != '\t') || p[i] == 0x7F)
            return 0;
        if (p[i] == 0xC2 && p[i + 1] < 0xA0) /* in valid UTF-8 a byte follows 0xC2 */
            return 0;
    }
    return 1;
}

/* Sets the server's own text to the first line of a plain text body, such as "404 page not found\n"
 * (bcda-api 1, 3.3). */
static void describe_plain(struct bcda_error *err, const char *body, size_t len)
{
    char line[sizeof err->server];
    size_t n = 0;

    while (len && (*body == ' ' || *body == '\t' || *body == '\r' || *body == '\n')) {
        body++;
        len--;
    }
    if (len == 0 || *body == '<')
        return;
    while (n < len && n < sizeof line - 1 && body[n] != '\n' && body[n] != '\r')
        n++;
    memcpy(line, body, n);
    line[n] = '\0';
    if (memchr(line, '\0', n))
        return;
    bcda__text_cut_utf8(line);
    n = strlen(line);
    if (is_printable(line, n))
        bcda__err_server(err, line, n);
}

void bcda__outcome_describe(struct bcda_error *err, const char *body, size_t len)
{
    struct bcda__issue first = {0};
    int rc;

    if (len == 0)
        return;
    rc = bcda__outcome_each(body, len, keep_first_text, &first);
    if (rc == 0)
        bcda__err_server(err, first.text, strlen(first.text));
    else if (rc != BCDA_ERR_NOMEM)
        describe_plain(err, body, len);
}
