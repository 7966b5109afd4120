/* The output on standard error: a progress bar on a terminal, plain lines otherwise.
 */
#include "common.h"

#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define BAR_EVERY_MS  100
#define LINE_EVERY_MS 10000

static const char *program = "";
static int terminal;
static int silent;
static int is_utf8; /* 1 = the character set of the terminal is UTF-8 */
static int bar_shown;
static int64_t last_progress;

void report_program(const char *name)
{
    program = name;
}

const char *report_program_name(void)
{
    return program;
}

void report_init(int quiet)
{
    silent = quiet;
    is_utf8 = setlocale(LC_CTYPE, "") && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    terminal = !quiet && isatty(STDERR_FILENO) == 1;
    last_progress = now_ms();
}

int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void report_clear(void)
{
    if (bar_shown)
        fputs("\r\033[K", stderr);
    bar_shown = 0;
}

void say(const char *format, ...)
{
    va_list list;

    if (silent)
        return;
    report_clear();
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}

void complain(const char *format, ...)
{
    va_list list;

    report_clear();
    fprintf(stderr, "%s: ", program);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}

/* ---- making text safe for a terminal ---- */

/* Returns the length of the UTF-8 sequence at `text`, or 0 if it is not valid. Sets *code to the
 * code point. */
static size_t utf8_sequence(const unsigned char *text, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = *text < 0x80 ? 1 : *text >= 0xf0 ? 4 : *text >= 0xe0 ? 3 : 2;
    size_t i;

    if (n == 1) {
        *code = *text;
        return 1;
    }
    if (*text < 0xc0 || *text > 0xf4)
        return 0;
    *code = *text & (0x7fU >> n);
    for (i = 1; i < n; i++) {
        if ((text[i] & 0xc0) != 0x80)
            /* also if the text ends inside the sequence, because its NUL is no continuation byte */
            return 0;
        *code = *code << 6 | (text[i] & 0x3f);
    }
    return *code < least[n] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000) ? 0 : n;
}

/* Returns 0 for control characters, and for characters that change the direction or order of text.
 */
static int is_harmless(uint32_t code)
{
    return code >= 0x20 && (code < 0x7f || code >= 0xa0) && code != 0x61c &&
           (code < 0x200e || code > 0x200f) && (code < 0x2028 || code > 0x202e) &&
           (code < 0x2066 || code > 0x2069);
}

const char *clean(char *to, size_t size, const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t n = 0;

    while (*p && n + 1 < size) {
        uint32_t code;
        size_t len = utf8_sequence(p, &code);
        int fine = len && is_harmless(code) && (len == 1 || is_utf8);

        if (fine && n + len >= size)
            break; /* never copy a part of a sequence */
        if (fine)
            memcpy(to + n, p, len);
        else
            to[n] = '?';
        n += fine ? len : 1;
        p += len ? len : 1;
    }
    to[n] = '\0';
    return to;
}

/* Returns 1 if the server's text only repeats the HTTP status, or is empty. */
static int is_noise(const char *said)
{
    static const char *const noise[] = {"Request Error", "Formatting Error", "Internal Error",
                                        "Not Found",     "Not Found Error",  "Deleted",
                                        "Deleted Error"};
    size_t i;

    for (i = 0; i < sizeof noise / sizeof noise[0]; i++)
        if (strcmp(said, noise[i]) == 0)
            return 1;
    return *said == '\0';
}

void complain_error(const char *what, const bcda_error *error)
{
    char text[1024];
    char server[640];

    clean(text, sizeof text, bcda_error_text(error));
    complain("%s%s%s", what, *what ? ": " : "", text);
    if (!is_noise(bcda_error_server_text(error)))
        complain("  the server says: %s",
                 clean(server, sizeof server, bcda_error_server_text(error)));
    if (bcda_error_retry_after_ms(error) > 0)
        complain("  the server asks to wait %" PRId64 " seconds",
                 (bcda_error_retry_after_ms(error) + 999) / 1000);
}

const char *bytes_text(char *to, size_t size, double bytes)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    size_t u = 0;

    while (bytes >= 1000 && u + 1 < sizeof units / sizeof units[0]) {
        bytes /= 1000;
        u++;
    }
    snprintf(to, size, u ? "%.1f %s" : "%.0f %s", bytes, units[u]);
    return to;
}

static int terminal_columns(void)
{
    struct winsize w;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) || !w.ws_col)
        return 80;
    return w.ws_col;
}

/* Returns the length of `line`, cut to at most `max` bytes, but not inside a UTF-8 sequence. */
static size_t cut_to_width(const char *line, size_t max)
{
    size_t n = strnlen(line, max + 1);

    if (n <= max)
        return n;
    for (n = max; n && ((unsigned char)line[n] & 0xc0) == 0x80; n--)
        ;
    return n;
}

static void draw_bar(const struct progress *p)
{
    char bar[31];
    char line[512];
    char bytes[32];
    char server[64];
    size_t done;

    if (p->state < BCDA_JOB_DOWNLOADING) {
        snprintf(line, sizeof line, "%s %s",
                 p->state == BCDA_JOB_STARTING ? "signing in" : "waiting for the server:",
                 p->state == BCDA_JOB_STARTING ? "" : clean(server, sizeof server, p->server));
    } else {
        done = (size_t)(p->share * (sizeof bar - 1));
        memset(bar, '-', sizeof bar - 1);
        memset(bar, '#', done < sizeof bar ? done : sizeof bar - 1);
        bar[sizeof bar - 1] = '\0';
        snprintf(line, sizeof line, "[%s] %3.0f%%  %zu/%zu files  %" PRId64 " resources  %s", bar,
                 p->share * 100, p->ended, p->files, p->resources,
                 bytes_text(bytes, sizeof bytes, (double)p->bytes));
    }
    fprintf(stderr, "\r%.*s\033[K", (int)cut_to_width(line, (size_t)terminal_columns() - 1), line);
    fflush(stderr);
    bar_shown = 1;
}

void report_progress(const struct progress *p)
{
    char bytes[32];
    int64_t now = now_ms();

    if (silent || now - last_progress < (terminal ? BAR_EVERY_MS : LINE_EVERY_MS))
        return;
    last_progress = now;
    if (terminal)
        draw_bar(p);
    else if (p->state >= BCDA_JOB_DOWNLOADING)
        say("%zu of %zu files, %" PRId64 " resources, %s", p->ended, p->files, p->resources,
            bytes_text(bytes, sizeof bytes, (double)p->bytes));
}

/* ---- --statistics ---- */

static int64_t stat_of(const bcda_session *session, int stat)
{
    int64_t n = 0;

    bcda_session_stat(session, stat, &n);
    return n;
}

void report_statistics(bcda_session *session, const char *writing)
{
    static const struct {
        int stat;
        const char *what;
    } stages[] = {
        {BCDA_STAT_TRANSPORT_NS, "network and TLS"},
        {BCDA_STAT_HASH_NS, "hashing"},
        {BCDA_STAT_INFLATE_NS, "inflating"},
        {BCDA_STAT_DECRYPT_NS, "decrypting"},
        {BCDA_STAT_PARSE_NS, "parsing"},
        {BCDA_STAT_SPOOL_NS, "spool"},
        {BCDA_STAT_DELIVER_NS, NULL},
        {BCDA_STAT_SLEEP_NS, "waiting"},
    };
    size_t i;

    say("%" PRId64 " requests, %" PRId64 " of them retries; %" PRId64 " tokens; %" PRId64
        " waits for the limit of requests",
        stat_of(session, BCDA_STAT_REQUESTS), stat_of(session, BCDA_STAT_RETRIES),
        stat_of(session, BCDA_STAT_TOKENS), stat_of(session, BCDA_STAT_WAITS));
    for (i = 0; i < sizeof stages / sizeof *stages; i++)
        say("  %-16s %8.3f s", stages[i].what ? stages[i].what : writing,
            (double)stat_of(session, stages[i].stat) / 1e9);
    say("%" PRId64 " lines were read by yajl, not by the faster scanner",
        stat_of(session, BCDA_STAT_YAJL_LINES));
}
