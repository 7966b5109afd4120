/* The table of all faults and their names, from which the parser and the help text are made. */
#include "internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum argument { ARG_NONE, ARG_NUMBER, ARG_TEXT };

struct fault_kind {
    const char *name;
    enum argument argument;
    const char *shown; /* how the help text shows the argument */
    long count;        /* default number of occurrences, -1: unlimited */
    const char *what;
};

static const struct fault_kind kinds[F_COUNT] = {
    [F_TOKEN_HTML] = {"token-html", ARG_NONE, "", -1, "token: 200 with an HTML page"},
    [F_TOKEN_NO_TOKEN] = {"token-no-token", ARG_NONE, "", -1,
                          "token: 200 with JSON without access_token"},
    [F_TOKEN_NUMBER_EXPIRES] = {"token-number-expires", ARG_NONE, "", -1,
                                "token: expires_in is a number"},
    [F_TOKEN_SECONDS] = {"token-seconds", ARG_NUMBER, ":N", -1, "token: tokens live N seconds"},
    [F_TOKEN_500_ONCE] = {"token-500-once", ARG_NONE, "", 1, "token: 500"},
    [F_TOKEN_429] = {"token-429", ARG_NUMBER, ":N", 1, "token: 429 with Retry-After N"},
    [F_TOKEN_INVALID_CLIENT] = {"token-invalid-client", ARG_NONE, "", -1,
                                "token, smart: 400 invalid_client"},
    [F_TOKEN_INVALID_SCOPE] = {"token-invalid-scope", ARG_NONE, "", -1,
                               "token, smart: 400 invalid_scope"},
    [F_TOKEN_REFUSE_ALG] = {"token-refuse-alg", ARG_TEXT, ":ALG", -1,
                            "token, smart: invalid_client if ALG signed, names the other one"},
    [F_TOKEN_REDIRECT] = {"token-redirect", ARG_NONE, "", -1,
                          "token, smart: 307 to 127.0.0.1 for localhost"},
    [F_TOKEN_ECHO] = {"token-echo", ARG_NONE, "", -1,
                      "token, smart: invalid_client, its text has the assertion"},
    [F_SMART_HTML] = {"smart-configuration-html", ARG_NONE, "", -1,
                      "discovery: 200 with an HTML page"},
    [F_SMART_NO_TOKEN_ENDPOINT] = {"smart-configuration-no-token-endpoint", ARG_NONE, "", -1,
                                   "discovery: no token_endpoint"},
    [F_SMART_HTTP] = {"smart-configuration-http", ARG_NONE, "", -1,
                      "discovery: token_endpoint has the scheme http"},
    [F_SMART_500] = {"smart-configuration-500", ARG_NONE, "", -1, "discovery: 500"},
    [F_KICKOFF_401_ONCE] = {"kickoff-401-once", ARG_NONE, "", 1, "start: 401 whatever the token"},
    [F_KICKOFF_429] = {"kickoff-429", ARG_NUMBER, ":N", 1, "start: 429 with Retry-After N"},
    [F_KICKOFF_500_ONCE] = {"kickoff-500-once", ARG_NONE, "", 1,
                            "start: 500 with an OperationOutcome"},
    [F_KICKOFF_404] = {"kickoff-404", ARG_NONE, "", -1,
                       "start: 404, no attribution data of this year yet"},
    [F_KICKOFF_HTML] = {"kickoff-html", ARG_NONE, "", -1, "start: 200 with an HTML page"},
    [F_KICKOFF_NO_LOCATION] = {"kickoff-no-location", ARG_NONE, "", -1,
                               "start: 202 without Content-Location"},
    [F_LOCATION_HTTP] = {"location-http", ARG_NONE, "", -1,
                         "start: Content-Location has the scheme http"},
    [F_STATUS_401_ONCE] = {"status-401-once", ARG_NONE, "", 1, "status: 401 whatever the token"},
    [F_STATUS_429] = {"status-429", ARG_NUMBER, ":N", 1, "status: 429 with Retry-After N"},
    [F_STATUS_500_ONCE] = {"status-500-once", ARG_NONE, "", 1, "status: 500, the job continues"},
    [F_STATUS_500] = {"status-500", ARG_NONE, "", -1, "status: 500 always, the job continues"},
    [F_STATUS_503] = {"status-503", ARG_NUMBER, ":N", 1, "status: 503 with Retry-After N"},
    [F_STATUS_HTML] = {"status-html", ARG_NONE, "", -1, "status: 200 with an HTML page"},
    [F_MANIFEST_NULL_OUTPUT_ONCE] =
        {"manifest-null-output-once", ARG_NONE, "", 1,
         "status: 200 with output null (era A race, 5.1), later the manifest"},
    [F_MANIFEST_NOT_JSON] = {"manifest-not-json", ARG_NONE, "", -1,
                             "status: the finished body is cut in half"},
    [F_MANIFEST_NOT_MANIFEST] = {"manifest-not-manifest", ARG_NONE, "", -1,
                                 "status: 200 with a Bundle"},
    [F_MANIFEST_NEXT_PAGE] = {"manifest-next-page", ARG_NONE, "", -1,
                              "manifest: a `link` to a next page (Bulk Data STU 3)"},
    [F_DELETED] = {"deleted", ARG_NONE, "", -1,
                   "at generation: a file of deleted resources (Bulk Data `deleted`)"},
    [F_DELETED_CUT] = {"deleted-cut", ARG_NONE, "", -1,
                       "at generation: a file as of deleted, last line cut in half, no LF"},
    [F_DELETED_INVALID] = {"deleted-invalid", ARG_NONE, "", -1,
                           "at generation: a file as of deleted, line 2 is a Patient"},
    [F_DELETED_TWICE] = {"deleted-twice", ARG_NONE, "", -1,
                         "at generation: a file as of deleted, listed twice in the manifest"},
    [F_OUTPUT_OTHER_ORIGIN] = {"output-other-origin", ARG_NONE, "", -1,
                               "manifest: file URLs name 127.0.0.1 for localhost (or the reverse)"},
    [F_UPPER_NAMES] = {"upper-names", ARG_NONE, "", -1, "at generation: file names in upper case"},
    [F_EXPIRES_NOT_DATE] = {"expires-not-date", ARG_NONE, "", -1, "status: Expires is not a date"},
    [F_PROGRESS] = {"progress", ARG_TEXT, ":TEXT", -1, "status: X-Progress is TEXT"},
    [F_JOB_EXPIRED] = {"job-expired", ARG_NONE, "", -1,
                       "job is archived: 410, in current 404 and two bodies"},
    [F_JOB_EXPIRES_AFTER] = {"job-expires-after", ARG_NUMBER, ":N", -1,
                             "job is archived after N answers with a file were begun"},
    [F_JOB_FAILED] = {"job-failed", ARG_NONE, "", -1, "job has failed: 500 as of the era"},
    [F_JOB_CANCELLED] = {"job-cancelled", ARG_NONE, "", -1, "job was cancelled: 404"},
    [F_DATA_429] = {"data-429", ARG_NUMBER, ":N", 1, "file: 429 with Retry-After N"},
    [F_DATA_500] = {"data-500", ARG_NONE, "", -1, "file: 500"},
    [F_DATA_401_ONCE] = {"data-401-once", ARG_NONE, "", 1, "file: 401 whatever the token"},
    [F_DATA_404_ONCE] = {"data-404-once", ARG_NONE, "", 1, "file: 404"},
    [F_DATA_404] = {"data-404", ARG_NONE, "", -1, "file: 404 always"},
    [F_DATA_503_ONCE] = {"data-503-once", ARG_NONE, "", 1, "file: 503 with Retry-After 0"},
    [F_DATA_FLIP] =
        {"data-flip", ARG_NUMBER, ":OFFSET", -1,
         "file: lowest bit of the stored byte at OFFSET flipped (negative: from the end)"},
    [F_DATA_CUT] = {"data-cut", ARG_NUMBER, ":N", -1,
                    "file: connection closed after N bytes of the body"},
    [F_DATA_CUT_LINES] = {"data-cut-lines", ARG_NUMBER, ":N", -1,
                          "file: connection closed after N lines, if it is not gzip"},
    [F_DATA_RESET] = {"data-reset", ARG_NUMBER, ":N", -1,
                      "file: connection reset (RST) after N bytes of the body"},
    [F_LENGTH_MORE] = {"length-more", ARG_NUMBER, ":N", -1,
                       "file: Content-Length is N too much, then closed"},
    [F_LENGTH_LESS] = {"length-less", ARG_NUMBER, ":N", -1, "file: Content-Length is N too little"},
    [F_LENGTH_NONE] = {"length-none", ARG_NONE, "", -1,
                       "file: neither Content-Length nor chunks, ends with the connection"},
    [F_DATA_SHORT] = {"data-short", ARG_NUMBER, ":N", -1,
                      "file: stored file N bytes long, correct length"},
    [F_DATA_SHORT_LINES] = {"data-short-lines", ARG_NUMBER, ":N", -1,
                            "file: stored file N lines long, if it is not gzip"},
    [F_DATA_EMPTY] = {"data-empty", ARG_NONE, "", -1, "file: zero bytes"},
    [F_DATA_28] = {"data-28", ARG_NONE, "", -1,
                   "file: the 28 bytes of an encrypted empty file (6.5)"},
    [F_DATA_EXTRA] = {"data-extra", ARG_NUMBER, ":N", -1, "file: N bytes of garbage after the end"},
    [F_DATA_HTML] = {"data-html", ARG_NONE, "", -1, "file: 200 with an HTML page"},
    [F_EXTRA_MEMBERS] = {"extra-members", ARG_NUMBER, ":N", -1,
                         "file: N more empty gzip members, if it is gzip"},
    [F_BUFFERED] = {"buffered", ARG_NONE, "", -1,
                    "file: Content-Length in place of chunks, as of a proxy that buffers"},
    [F_CHUNKED_NO_END] = {"chunked-no-end", ARG_NONE, "", -1,
                          "file: chunked, the final chunk missing"},
    [F_NO_RANGE] = {"no-range", ARG_NONE, "", -1, "file: Range is ignored, no Accept-Ranges"},
    [F_RANGE_IGNORED] = {"range-ignored", ARG_NONE, "", -1,
                         "file: Accept-Ranges is sent, Range is ignored"},
    [F_RANGE_MAX] = {"range-max", ARG_NUMBER, ":N", -1, "file: at most N bytes of any range"},
    [F_RANGE_WRONG] = {"range-wrong", ARG_NONE, "", -1,
                       "file: Content-Range has a start 1 byte later"},
    [F_CHANGED] = {"changed", ARG_NONE, "", -1,
                   "file: Last-Modified is a minute later (as if it had changed)"},
    [F_SLOW] = {"slow", ARG_NUMBER, ":BYTES_PER_SECOND", -1, "file: slow body"},
    [F_STALL] = {"stall", ARG_NONE, "", -1, "file: stops in the middle, connection stays open"},
    [F_REDIRECT] = {"redirect", ARG_TEXT, ":URL", -1, "file: 302 to URL"},
    [F_WRONG_LABEL] = {"wrong-label", ARG_NONE, "", -1,
                       "at generation: key wrapped with another label"},
    [F_WRONG_KEY] = {"wrong-key", ARG_NONE, "", -1,
                     "at generation: key wrapped for another RSA key"},
    [F_KEY_NOT_HEX] = {"key-not-hex", ARG_NONE, "", -1,
                       "at generation: the wrapped key is not hexadecimal"},
    [F_NO_KEY] = {"no-key", ARG_NONE, "", -1,
                  "at generation: encrypted, but no key in the manifest"},
    [F_CUT_LINE] = {"cut-line", ARG_NONE, "", -1, "at generation: last line cut in half, no LF"},
    [F_BAD_UTF8] = {"bad-utf8", ARG_NONE, "", -1,
                    "at generation: byte ff inside a string of line 2"},
    [F_BAD_JSON] = {"bad-json", ARG_NONE, "", -1, "at generation: line 2 is not JSON"},
    [F_TWO_ON_LINE] = {"two-on-line", ARG_NONE, "", -1,
                       "at generation: line 2 has two JSON documents"},
    [F_LONG_LINE] = {"long-line", ARG_NUMBER, ":N", -1, "at generation: line 2 is N bytes long"},
    [F_DEEP_LINE] = {"deep-line", ARG_NUMBER, ":N", -1, "at generation: line 2 is nested N deep"},
    [F_ERROR_FILE] = {"error-file", ARG_NONE, "", -1, "at generation: one error file per job"},
    [F_WARNINGS_FILE] = {"warnings-file", ARG_NONE, "", -1,
                         "at generation: warnings-and-info.ndjson"},
    [F_RESET] = {"reset", ARG_NONE, "", -1, "any request: connection closed without an answer"},
    [F_GATEWAY] = {"gateway", ARG_NONE, "", -1, "any request: 502 with an HTML page"},
    [F_HEADERS_HUGE] = {"headers-huge", ARG_NUMBER, ":N", -1,
                        "any request: N more bytes of headers (up to 400,000)"},
    [F_REDIRECT_ELSEWHERE] = {"redirect-elsewhere", ARG_NONE, "", -1,
                              "any request: 302 to 127.0.0.1 for localhost (or the reverse)"},
    [F_REDIRECT_HTTP] = {"redirect-http", ARG_NONE, "", -1,
                         "any request: 302 to the same URL with the scheme http"},
    [F_REDIRECT_LOOP] = {"redirect-loop", ARG_NONE, "", -1, "any request: 302 to itself"},
    [F_TWO_DOCUMENTS] = {"two-documents", ARG_NONE, "", -1,
                         "token, manifest: the same JSON twice in one body"},
    [F_TOKEN_USES] = {"token-uses", ARG_NUMBER, ":N", -1,
                      "token: each is valid for N requests, then 401"},
    [F_RETRY_AFTER] = {"retry-after", ARG_TEXT, ":TEXT", -1,
                       "any 429 or 503 by fault: Retry-After is TEXT; absent if TEXT is empty"},
    [F_RANDOM] = {"random", ARG_NUMBER, ":SEED", -1,
                  "any request: a transient fault in every third answer, by seed"},
};

static int find_kind(const char *name, size_t n)
{
    for (int i = 0; i < F_COUNT; i++)
        if (strlen(kinds[i].name) == n && memcmp(kinds[i].name, name, n) == 0)
            return i;
    return -1;
}

/* Parses [*COUNT][+SKIP][@TYPE]. Returns false for anything else. */
static bool parse_suffix(const char *s, struct fault *f)
{
    char *end;

    if (*s == '*') {
        f->remaining = strtol(s + 1, &end, 10);
        if (end == s + 1 || f->remaining < 0)
            return false;
        s = end;
    }
    if (*s == '+') {
        f->skip = strtol(s + 1, &end, 10);
        if (end == s + 1 || f->skip < 0)
            return false;
        s = end;
    }
    if (*s == '@') {
        size_t n = strspn(s + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

        if (n == 0)
            return false;
        f->type = xstrndup(s + 1, n);
        s += n + 1;
    }
    return *s == '\0';
}

static bool parse_fault(const char *spec, struct fault *f)
{
    size_t n = strcspn(spec, ":*+@");
    int id = find_kind(spec, n);
    const struct fault_kind *kind;
    char *end;

    if (id < 0)
        return false;
    kind = &kinds[id];
    *f = (struct fault){.id = (enum fault_id)id, .remaining = kind->count};
    spec += n;
    if (kind->argument == ARG_NONE)
        return parse_suffix(spec, f);
    if (*spec != ':')
        return false;
    spec++;
    f->text = xstrdup(spec);
    if (kind->argument == ARG_TEXT)
        return true;
    f->num = strtoll(spec, &end, 10);
    f->percent = end != spec && *end == '%';
    if (f->percent)
        end++;
    return end != spec && parse_suffix(end, f);
}

int fault_add(struct sandbox *sb, const char *spec)
{
    struct fault f = {0};

    if (!parse_fault(spec, &f)) {
        free(f.text);
        free(f.type);
        sandbox_set_error("unknown or malformed fault: %s", spec);
        return -1;
    }
    if (f.id == F_RANDOM)
        random_set(sb, (uint64_t)f.num, 3);
    pthread_mutex_lock(&sb->lock);
    sb->faults.item = xrealloc(sb->faults.item, (sb->faults.count + 1) * sizeof *sb->faults.item);
    sb->faults.item[sb->faults.count++] = f;
    pthread_mutex_unlock(&sb->lock);
    return 0;
}

void faults_clear(struct fault_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->item[i].text);
        free(list->item[i].type);
    }
    free(list->item);
    *list = (struct fault_list){0};
}

static struct fault *take(struct sandbox *sb, enum fault_id id, const char *type)
{
    for (size_t i = 0; i < sb->faults.count; i++) {
        struct fault *f = &sb->faults.item[i];

        if (f->id != id || f->remaining == 0)
            continue;
        if (f->type && (!type || strcmp(f->type, type) != 0))
            continue;
        if (f->skip > 0) {
            f->skip--;
            continue;
        }
        if (f->remaining > 0)
            f->remaining--;
        return f;
    }
    return NULL;
}

bool fault_take(struct sandbox *sb, enum fault_id id, const char *type, long long *num)
{
    struct fault *f;
    bool on;

    pthread_mutex_lock(&sb->lock);
    f = take(sb, id, type);
    on = f != NULL;
    if (on && num)
        *num = f->num;
    pthread_mutex_unlock(&sb->lock);
    return on;
}

bool fault_take_offset(struct sandbox *sb, enum fault_id id, const char *type, uint64_t size,
                       uint64_t *offset)
{
    struct fault *f;
    bool on;

    pthread_mutex_lock(&sb->lock);
    f = take(sb, id, type);
    on = f != NULL;
    if (on && f->percent)
        *offset = size * (uint64_t)f->num / 100;
    else if (on && f->num < 0)
        *offset = size > (uint64_t)-f->num ? size - (uint64_t)-f->num : 0;
    else if (on)
        *offset = (uint64_t)f->num;
    pthread_mutex_unlock(&sb->lock);
    return on;
}

char *fault_take_text(struct sandbox *sb, enum fault_id id, const char *type)
{
    struct fault *f;
    char *text;

    pthread_mutex_lock(&sb->lock);
    f = take(sb, id, type);
    text = f ? xstrdup(f->text) : NULL;
    pthread_mutex_unlock(&sb->lock);
    return text;
}

static char help_text[16384];
static pthread_once_t help_once = PTHREAD_ONCE_INIT;

static void make_help(void)
{
    size_t n = (size_t)snprintf(
        help_text, sizeof help_text,
        "Faults: NAME[:ARG][*COUNT][+SKIP][@TYPE]. COUNT says how often (default in brackets),\n"
        "SKIP how many opportunities pass before. TYPE limits a fault of files to one resource\n"
        "type (OperationOutcome: error files), and one of any request to a stage: token,\n"
        "discovery, kickoff, status or data. An offset may be N, N%% of the size, or negative: "
        "from the end.\n\n");

    for (int i = 0; i < F_COUNT && n < sizeof help_text; i++) {
        char name[64], times[16];

        snprintf(name, sizeof name, "%s%s", kinds[i].name, kinds[i].shown);
        snprintf(times, sizeof times, kinds[i].count < 0 ? "[ever]" : "[%ld]", kinds[i].count);
        n += (size_t)snprintf(help_text + n, sizeof help_text - n, "  %-26s %-6s %s\n", name, times,
                              kinds[i].what);
    }
}

const char *sandbox_fault_help(void)
{
    pthread_once(&help_once, make_help);
    return help_text;
}
