/* What bcda-export says on standard error: a bar on a terminal, plain lines elsewhere. */
#include "export.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define BAR_EVERY_MS  100
#define LINE_EVERY_MS 10000

static int terminal;
static int silent;
static int bar_shown;
static int64_t last_progress;

void report_init(int quiet)
{
    silent = quiet;
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
    fputs("bcda-export: ", stderr);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}

const char *clean(char *to, size_t size, const char *text)
{
    size_t n = 0;

    for (; *text && n + 1 < size; text++) {
        unsigned char c = (unsigned char)*text;
        unsigned char next = (unsigned char)text[1];

        if (c == 0xc2 && next >= 0x80 && next < 0xa0) { /* a control character in UTF-8 */
            to[n++] = '?';
            text++;
        } else {
            to[n++] = c < 0x20 || c == 0x7f ? '?' : (char)c;
        }
    }
    to[n] = '\0';
    return to;
}

void complain_error(const char *what, const bcda_error *error)
{
    char text[1024];
    char server[640];

    clean(text, sizeof text, bcda_error_text(error));
    complain("%s%s%s", what, *what ? ": " : "", text);
    if (*bcda_error_server_text(error))
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

static int columns(void)
{
    struct winsize w;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) || !w.ws_col)
        return 80;
    return w.ws_col;
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
    fprintf(stderr, "\r%.*s\033[K", columns() - 1, line);
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
