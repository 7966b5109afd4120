/* The base layer: memory, buffers, secrets, errors, text, URLs, clock, log. */
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/process.h"
#include "base/secret.h"
#include "base/text.h"
#include "base/texts.h"
#include "base/url.h"
#include "bcda/error.h"
#include "helper.h"
#include "suite.h"

#ifndef SOURCE_ROOT
#define SOURCE_ROOT "."
#endif

/* ---- mem ---- */

START_TEST(test_mem)
{
    volatile size_t huge = SIZE_MAX / 2;
    char *p = bcda__alloc(0);
    char *zeroed;
    int i;

    ck_assert_ptr_nonnull(p);
    p = bcda__realloc(p, 0);
    ck_assert_ptr_nonnull(p);
    p = bcda__realloc(p, 100);
    memset(p, 'x', 100);
    bcda__free(p);
    bcda__free(NULL);
    zeroed = bcda__calloc(10, 10);
    for (i = 0; i < 100; i++)
        ck_assert_int_eq(zeroed[i], 0);
    bcda__free(zeroed);
    p = bcda__calloc(0, 8);
    ck_assert_ptr_nonnull(p);
    bcda__free(p);
    ck_assert_ptr_null(bcda__calloc(huge, 3));
    ck_assert_ptr_null(bcda__calloc(3, huge));
}
END_TEST

/* ---- buf ---- */

START_TEST(test_buf_limits)
{
    static const size_t limits[] = {0, 1, 7, 62, 63, 64, 65, 127, 128, 1000, 100000};
    struct bcda__buf b;
    char *block = calloc(1, 100001);
    size_t i, n;

    memset(block, 'b', 100000);
    for (i = 0; i < COUNT(limits); i++) {
        bcda__buf_init(&b, limits[i]);
        ck_assert_ptr_null(b.data);
        /* one call that exceeds the limit */
        ck_assert_int_eq(bcda__buf_add(&b, block, limits[i] + 1), BCDA_ERR_BODY_TOO_LARGE);
        ck_assert_uint_eq(b.len, 0);
        /* one byte at a time up to the limit, then beyond it */
        for (n = 0; n < limits[i]; n++) {
            ck_assert_int_eq(bcda__buf_add(&b, block, 1), 0);
            ck_assert_uint_eq(b.len, n + 1);
            ck_assert_int_eq(b.data[n + 1], '\0');
        }
        ck_assert_int_eq(bcda__buf_add(&b, block, 1), BCDA_ERR_BODY_TOO_LARGE);
        ck_assert_int_eq(bcda__buf_adds(&b, "x"), BCDA_ERR_BODY_TOO_LARGE);
        ck_assert_int_eq(bcda__buf_addf(&b, "%d", 7), BCDA_ERR_BODY_TOO_LARGE);
        ck_assert_uint_eq(b.len, limits[i]);
        ck_assert_int_eq(bcda__buf_add(&b, NULL, 0), 0); /* a full buffer takes zero bytes */
        ck_assert_int_eq(bcda__buf_adds(&b, ""), 0);
        ck_assert_int_eq(bcda__buf_addf(&b, "%s", ""), 0);
        ck_assert_ptr_nonnull(b.data);
        ck_assert_uint_eq(strlen(b.data), limits[i]);
        ck_assert_int_eq(memcmp(b.data, block, limits[i]), 0);
        bcda__buf_free(&b);
        /* bcda__buf_free() keeps the limit: one call fills the buffer up to it */
        ck_assert_int_eq(bcda__buf_add(&b, block, limits[i]), 0);
        ck_assert_int_eq(bcda__buf_add(&b, block, 1), BCDA_ERR_BODY_TOO_LARGE);
        bcda__buf_free_secret(&b);
        ck_assert_ptr_null(b.data);
    }
    free(block);
}
END_TEST

START_TEST(test_buf_overflow)
{
    struct bcda__buf b;
    size_t tail;

    /* Adding `len` bytes must fail if the new length would exceed SIZE_MAX, even with the greatest
     * limit, and before it reads the bytes to add: `data` does not have that many. */
    bcda__buf_init(&b, SIZE_MAX);
    ck_assert_int_eq(bcda__buf_adds(&b, "x"), 0);
    for (tail = 0; tail < 80; tail++)
        ck_assert_int_eq(bcda__buf_add(&b, "y", SIZE_MAX - tail), BCDA_ERR_BODY_TOO_LARGE);
    ck_assert_int_eq(bcda__buf_add(&b, "y", SIZE_MAX / 2), BCDA_ERR_BODY_TOO_LARGE);
    ck_assert_str_eq(b.data, "x");
    bcda__buf_free(&b);
    bcda__buf_init(&b, SIZE_MAX - 1);
    ck_assert_int_ne(bcda__buf_add(&b, "y", SIZE_MAX), 0);
    ck_assert_int_ne(bcda__buf_add(&b, "y", SIZE_MAX - 1), 0);
    ck_assert_ptr_null(b.data);
}
END_TEST

START_TEST(test_buf_use)
{
    struct bcda__buf b;
    char expect[3000] = "";
    char *stolen;
    int i;

    bcda__buf_init(&b, 10000);
    for (i = 0; i < 300; i++) {
        ck_assert_int_eq(bcda__buf_addf(&b, "%d-%s,", i, "é"), 0);
        snprintf(expect + strlen(expect), sizeof expect - strlen(expect), "%d-%s,", i, "é");
    }
    ck_assert_str_eq(b.data, expect);
    stolen = b.data;
    bcda__buf_clear(&b);
    ck_assert_ptr_eq(b.data, stolen);
    ck_assert_str_eq(b.data, "");
    ck_assert_int_eq(bcda__buf_add(&b, "a\0b", 3), 0);
    ck_assert_uint_eq(b.len, 3);
    ck_assert_int_eq(memcmp(b.data, "a\0b", 4), 0);
    stolen = bcda__buf_steal(&b);
    ck_assert_int_eq(memcmp(stolen, "a\0b", 4), 0);
    bcda__free(stolen);
    ck_assert_ptr_null(b.data);
    ck_assert_ptr_null(bcda__buf_steal(&b));
    bcda__buf_clear(&b);
    ck_assert_int_eq(bcda__buf_adds(&b, "more"), 0);
    ck_assert_str_eq(b.data, "more");
    bcda__buf_free(&b);
    bcda__buf_free(&b);
    bcda__buf_free_secret(&b);
}
END_TEST

/* ---- secret ---- */

START_TEST(test_wipe)
{
    char bytes[100];
    size_t i;

    memset(bytes, 's', sizeof bytes);
    bcda__wipe(bytes + 10, 80);
    for (i = 0; i < sizeof bytes; i++)
        ck_assert_int_eq(bytes[i], i >= 10 && i < 90 ? 0 : 's');
    bcda__wipe(NULL, 0);
}
END_TEST

START_TEST(test_secret)
{
    struct bcda__secret s = {0}, t = {0};
    size_t page = (size_t)sysconf(_SC_PAGESIZE), sizes[] = {0, 1, 100, 0, 0, 0, 0}, i;
    char *bytes;

    sizes[3] = page - 1; /* exactly one page together with the NUL */
    sizes[4] = page;
    sizes[5] = page + 1;
    sizes[6] = 10 * page;
    bytes = malloc(11 * page);
    memset(bytes, 'k', 11 * page);
    for (i = 0; i < COUNT(sizes); i++) {
        ck_assert_int_eq(bcda__secret_set(&s, bytes, sizes[i]),
                         0); /* replaces the previous value */
        ck_assert_uint_eq(s.len, sizes[i]);
        ck_assert_uint_eq(strlen(s.data), sizes[i]);
        ck_assert_uint_ge(s.mapped, sizes[i] + 1);
        ck_assert_uint_eq((uintptr_t)s.data % page, 0); /* a secret has pages of its own */
        ck_assert_uint_eq(s.mapped % page, 0);
        ck_assert_int_eq(bcda__secret_copy(&t, &s), 0);
        ck_assert_ptr_ne(t.data, s.data);
        ck_assert_uint_eq(t.len, s.len);
        ck_assert_int_eq(memcmp(t.data, s.data, s.len + 1), 0);
    }
    ck_assert_int_eq(bcda__secret_set(&s, "ab", 2), 0);
    ck_assert_int_eq(bcda__secret_set(&s, NULL, 50), 0); /* 50 zero bytes replace "ab" */
    for (i = 0; i <= 50; i++)
        ck_assert_int_eq(s.data[i], 0);
    ck_assert_int_eq(bcda__secret_set(&s, "self", 4), 0);
    ck_assert_int_eq(bcda__secret_set(&s, s.data + 1, 3), 0);
    ck_assert_str_eq(s.data, "elf");
    ck_assert_int_eq(bcda__secret_copy(&s, &s), 0);
    ck_assert_str_eq(s.data, "elf");
    /* The old value remains if the new length cannot be allocated. */
    ck_assert_int_eq(bcda__secret_set(&s, NULL, SIZE_MAX), BCDA_ERR_NOMEM);
    ck_assert_int_eq(bcda__secret_set(&s, NULL, SIZE_MAX - 1), BCDA_ERR_NOMEM);
    ck_assert_int_eq(bcda__secret_set(&s, NULL, SIZE_MAX / 4), BCDA_ERR_NOMEM);
    ck_assert_str_eq(s.data, "elf");
    bcda__secret_free(&t);
    ck_assert_int_eq(bcda__secret_copy(&s, &t), 0); /* the copy of an empty secret is empty */
    ck_assert_ptr_null(s.data);
    ck_assert_uint_eq(s.len + s.mapped, 0);
    bcda__secret_free(&s);
    free(bytes);
}
END_TEST

/* Writes to `out` the VmFlags line of /proc/self/smaps for the memory mapping that contains `at`.
 * On systems other than Linux, writes "". */
static void read_flags(const void *at, char *out, size_t size)
{
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[512];
    uintptr_t from, to;
    int inside = 0;

    out[0] = '\0';
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "%lx-%lx", &from, &to) == 2)
            inside = (uintptr_t)at >= from && (uintptr_t)at < to;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            snprintf(out, size, "%s", line + 8);
    }
    if (f)
        fclose(f);
}

START_TEST(test_secret_pages)
{
    struct bcda__secret s = {0};
    char flags[512];
    char *probe = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int can_lock;

    can_lock = probe != MAP_FAILED && mlock(probe, 4096) == 0;
    if (can_lock) {
        read_flags(probe, flags, sizeof flags);
        can_lock = strstr(flags, " lo") != NULL; /* with a sanitizer mlock() does nothing */
    }
    munmap(probe, 4096);
    ck_assert_int_eq(bcda__secret_set(&s, "hunter2", 7), 0);
    read_flags(s.data, flags, sizeof flags);
    if (flags[0])
        ck_assert_msg(strstr(flags, " dd"), "not left out of core dumps:%s", flags);
    if (flags[0] && can_lock)
        ck_assert_msg(strstr(flags, " lo"), "not locked:%s", flags);
    bcda__secret_free(&s);
}
END_TEST

/* ---- err ---- */

static struct bcda_error e;

/* For each `#define BCDA_ERR_X (-n)` in the header, the library must know the name and a one-line
 * description. */
START_TEST(test_error_codes)
{
    FILE *f = fopen(SOURCE_ROOT "/include/bcda/error.h", "r");
    char line[256], name[64];
    int codes[200], code, count = 0, i;

    ck_assert_msg(f != NULL, "%s", SOURCE_ROOT "/include/bcda/error.h");
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "#define %63[A-Z0-9_] (%d)", name, &code) != 2)
            continue;
        ck_assert_msg(strncmp(name, "BCDA_ERR_", 9) == 0, "%s", name);
        ck_assert_str_eq(bcda_error_name(code), name);
        ck_assert_msg(strcmp(bcda_error_string(code), "an unknown error") != 0, "%s", name);
        ck_assert_msg(!strpbrk(bcda_error_string(code), "\n\r\t"), "%s", name);
        ck_assert_msg(bcda_error_string(code)[strlen(bcda_error_string(code)) - 1] != '.', "%s",
                      name);
        ck_assert_int_lt(code, 0);
        for (i = 0; i < count; i++)
            ck_assert_msg(codes[i] != code, "%d twice", code);
        codes[count++] = code;
    }
    fclose(f);
    ck_assert_int_ge(count, 70);
    /* The library knows no code that the header does not define. */
    for (code = -1; code > -1000; code--) {
        int known = 0;

        for (i = 0; i < count; i++)
            known |= codes[i] == code;
        ck_assert_msg(known == (strcmp(bcda_error_name(code), "BCDA_ERR_UNKNOWN") != 0), "%d",
                      code);
    }
    ck_assert_str_eq(bcda_error_name(0), "BCDA_OK");
    ck_assert_str_eq(bcda_error_name(1), "BCDA_ERR_UNKNOWN");
    ck_assert_str_eq(bcda_error_string(12345), "an unknown error");
}
END_TEST

START_TEST(test_error_retryable)
{
    static const int yes[] = {BCDA_ERR_NOMEM,    BCDA_ERR_RESOLVE,  BCDA_ERR_CONNECT,
                              BCDA_ERR_TRANSFER, BCDA_ERR_TOO_MANY, BCDA_ERR_SERVER,
                              BCDA_ERR_SYSTEM,   BCDA_ERR_TRUNCATED};
    static const int no[] = {BCDA_OK,          BCDA_ERR_INVALID, BCDA_ERR_TLS_VERIFY, BCDA_ERR_AUTH,
                             BCDA_ERR_GONE,    BCDA_ERR_TAG,     BCDA_ERR_LINE_JSON,  9999,
                             BCDA_ERR_STOPPED, BCDA_ERR_GZIP_CUT};
    size_t i;

    for (i = 0; i < COUNT(yes); i++)
        ck_assert_msg(bcda__err_default_retryable(yes[i]) == 1, "%d", yes[i]);
    for (i = 0; i < COUNT(no); i++)
        ck_assert_msg(bcda__err_default_retryable(no[i]) == 0, "%d", no[i]);
}
END_TEST

START_TEST(test_error_text)
{
    memset(&e, 0x55, sizeof e);
    ck_assert_int_eq(bcda__err_set(&e, BCDA_ERR_SERVER, "a%s\tc \x7F\x01\n", "\r\nb"),
                     BCDA_ERR_SERVER);
    ck_assert_str_eq(e.text, "a  b c"); /* one line, without blanks at its end */
    ck_assert_int_eq(e.code, BCDA_ERR_SERVER);
    ck_assert_int_eq(e.retryable, 1);
    ck_assert_int_eq(e.http_status, 0);
    ck_assert_int_eq(e.retry_after, -1);
    ck_assert_int_eq(e.line, 0);
    ck_assert_int_eq(e.offset, -1);
    ck_assert_str_eq(e.file, "");
    ck_assert_str_eq(e.server, "");
    bcda__err_context(&e, "while %s\n%d", "doing", 5);
    ck_assert_str_eq(e.text, "while doing 5: a  b c");
    bcda__err_context(&e, "top");
    ck_assert_str_eq(e.text, "top: while doing 5: a  b c");
    ck_assert_int_eq(e.code, BCDA_ERR_SERVER);
    bcda__err_where(&e, "a\nfile.ndjson", 7, 99);
    ck_assert_str_eq(e.file, "a file.ndjson");
    ck_assert_int_eq(e.line, 7);
    ck_assert_int_eq(e.offset, 99);
    bcda__err_where(&e, NULL, 8, 100);
    ck_assert_str_eq(e.file, "a file.ndjson");
    /* A new error keeps nothing of the previous one. */
    ck_assert_int_eq(bcda__err_set(&e, BCDA_ERR_AUTH, "x"), BCDA_ERR_AUTH);
    ck_assert_int_eq(e.line, 0);
    ck_assert_str_eq(e.file, "");
    ck_assert_int_eq(bcda__err_nomem(&e), BCDA_ERR_NOMEM);
    ck_assert_int_eq(e.code, BCDA_ERR_NOMEM);
    /* An error may be NULL. */
    ck_assert_int_eq(bcda__err_set(NULL, BCDA_ERR_AUTH, "x"), BCDA_ERR_AUTH);
    ck_assert_int_eq(bcda__err_nomem(NULL), BCDA_ERR_NOMEM);
    bcda__err_context(NULL, "x");
    bcda__err_where(NULL, "x", 1, 2);
    bcda__err_server(NULL, "x", 1);
}
END_TEST

/* Checks a text that was shortened to fit an array of `size` bytes: it does not end inside a
 * character, and fewer than 4 bytes are left over. */
static void check_whole(const char *text, size_t size)
{
    size_t len = strlen(text), at = 0;

    ck_assert_uint_lt(len, size);
    ck_assert_uint_gt(len, size - 5);
    while (at < len) {
        unsigned char c = (unsigned char)text[at];
        size_t need = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;

        ck_assert_msg(at + need <= len, "cut inside a character: …%s", text + len - 8);
        at += need;
    }
}

/* Checks a shortened text with check_whole(), and checks that it ends with "...". */
static void check_cut(const char *text, size_t size)
{
    check_whole(text, size);
    ck_assert_msg(strlen(text) > 3 && strcmp(text + strlen(text) - 3, "...") == 0, "%s", text);
}

START_TEST(test_error_add)
{
    char big[600];

    bcda__err_set(&e, BCDA_ERR_AUTH, "it failed");
    e.http_status = 401;
    bcda__err_server(&e, "words", 5);
    bcda__err_add(&e, "for %d reasons", 2);
    ck_assert_str_eq(e.text, "it failed; for 2 reasons");
    ck_assert_int_eq(e.code, BCDA_ERR_AUTH);
    ck_assert_int_eq(e.http_status, 401);
    ck_assert_str_eq(e.server, "words");
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    bcda__err_add(&e, "%s", big);
    ck_assert_uint_eq(strlen(e.text), sizeof e.text - 1);
    ck_assert_str_eq(e.text + strlen(e.text) - 3, "...");
    bcda__err_add(NULL, "nothing");
}
END_TEST

START_TEST(test_error_cut)
{
    static const char *chars[] = {"a", "é", "…", "\xF0\x9F\x98\x80"};
    const char *c = chars[_i % 4];
    char text[2000] = "", context[2000];
    int pad = _i / 4;

    snprintf(text, sizeof text, "%.*s", pad, "xxx");
    while (strlen(text) < 1500)
        strcat(text, c);
    bcda__err_set(&e, BCDA_ERR_AUTH, "%s", text);
    check_cut(e.text, sizeof e.text);
    bcda__err_context(&e, "outer");
    check_cut(e.text, sizeof e.text);
    ck_assert_int_eq(strncmp(e.text, "outer: ", 7), 0);
    bcda__err_set(&e, BCDA_ERR_AUTH, "inner");
    bcda__err_context(&e, "%s", text);
    check_cut(e.text, sizeof e.text);
    snprintf(context, sizeof context, "%.*s", (int)sizeof e.text - 1, text);
    bcda__err_where(&e, text, 1, 1);
    check_cut(e.file, sizeof e.file);
    bcda__err_server(&e, text, strlen(text));
    check_whole(e.server, sizeof e.server);
    /* The length 4 ends inside the character "…", which has 3 bytes. */
    bcda__err_server(&e, "ab\xE2\x80\xA6", 4);
    ck_assert_str_eq(e.server, "ab");
    bcda__err_server(&e, "ab\xE2\x80\xA6", 5);
    ck_assert_str_eq(e.server, "ab…");
}
END_TEST

START_TEST(test_error_server)
{
    bcda__err_set(&e, BCDA_ERR_STATUS, "t");
    bcda__err_server(&e, "\x1B[31mred\x07\r\nline two\x7F", 20);
    ck_assert_str_eq(e.server, " [31mred   line two");
    bcda__err_server(&e, "", 0);
    ck_assert_str_eq(e.server, "");
    bcda__err_server(&e, "not terminated", 3);
    ck_assert_str_eq(e.server, "not");
    ck_assert_str_eq(e.text, "t");
}
END_TEST

START_TEST(test_error_object)
{
    struct bcda_error *o = bcda__err_new();

    ck_assert_ptr_nonnull(o);
    ck_assert_int_eq(bcda_error_code(o), 0);
    ck_assert_str_eq(bcda_error_text(o), "");
    bcda__err_set(&e, BCDA_ERR_TOO_MANY, "slow down");
    e.http_status = 429;
    e.retry_after = 1500;
    bcda__err_where(&e, "f.ndjson", 3, 4);
    bcda__err_server(&e, "busy", 4);
    bcda__err_copy(o, &e);
    ck_assert_ptr_eq(bcda_error_ref(o), o);
    bcda_error_unref(o);
    ck_assert_int_eq(bcda_error_code(o), BCDA_ERR_TOO_MANY);
    ck_assert_str_eq(bcda_error_text(o), "slow down");
    ck_assert_int_eq(bcda_error_is_retryable(o), 1);
    ck_assert_int_eq(bcda_error_http_status(o), 429);
    ck_assert_int_eq(bcda_error_retry_after_ms(o), 1500);
    ck_assert_str_eq(bcda_error_file(o), "f.ndjson");
    ck_assert_int_eq(bcda_error_line(o), 3);
    ck_assert_int_eq(bcda_error_offset(o), 4);
    ck_assert_str_eq(bcda_error_server_text(o), "busy");
    bcda_error_unref(o);

    ck_assert_ptr_null(bcda_error_ref(NULL));
    bcda_error_unref(NULL);
    ck_assert_int_eq(bcda_error_code(NULL), BCDA_OK);
    ck_assert_str_eq(bcda_error_text(NULL), "");
    ck_assert_int_eq(bcda_error_is_retryable(NULL), 0);
    ck_assert_int_eq(bcda_error_http_status(NULL), 0);
    ck_assert_int_eq(bcda_error_retry_after_ms(NULL), -1);
    ck_assert_str_eq(bcda_error_file(NULL), "");
    ck_assert_int_eq(bcda_error_line(NULL), 0);
    ck_assert_int_eq(bcda_error_offset(NULL), -1);
    ck_assert_str_eq(bcda_error_server_text(NULL), "");
}
END_TEST

/* ---- text ---- */

START_TEST(test_text_copy)
{
    static const struct {
        size_t size;
        const char *from, *copy;
    } rows[] = {
        {1, "abc", ""},
        {4, "abc", "abc"},
        {3, "abc", "ab"},
        {4, "", ""},
        {3, "aé", "a"},
        {4, "aé", "aé"},
        {2, "é", ""},
        {3, "…", ""},
        {4, "…", "…"},
        {4, "\xF0\x9F\x98", "\xF0\x9F\x98"}, /* the source ends inside a character */
        {4, "\xF0\x9F\x98\x80", ""},
        {5, "\xF0\x9F\x98\x80x", "\xF0\x9F\x98\x80"},
        {6, "a\xF0\x9F\x98\x80x", "a\xF0\x9F\x98\x80"},
    };
    char to[16], *copy;
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        memset(to, '#', sizeof to);
        bcda__text_copy(to, rows[i].size, rows[i].from);
        ck_assert_str_eq(to, rows[i].copy);
        ck_assert_int_eq(to[rows[i].size], '#');
    }
    bcda__text_copy(to, 8, "abc");
    bcda__text_append(to, 8, "def");
    ck_assert_str_eq(to, "abcdef");
    bcda__text_append(to, 8, "ghi");
    ck_assert_str_eq(to, "abcdefg");
    bcda__text_append(to, 8, "x");
    ck_assert_str_eq(to, "abcdefg");
    ck_assert_ptr_null(bcda__strdup(NULL));
    copy = bcda__strdup("aé");
    ck_assert_str_eq(copy, "aé");
    bcda__free(copy);
    copy = bcda__strndup("abcdef", 3);
    ck_assert_str_eq(copy, "abc");
    bcda__free(copy);
    copy = bcda__strndup("", 0);
    ck_assert_str_eq(copy, "");
    bcda__free(copy);
}
END_TEST

START_TEST(test_text_case)
{
    ck_assert_int_eq(bcda__text_equal_nocase("HeLLo", 5, "hEllO"), 1);
    ck_assert_int_eq(bcda__text_equal_nocase("HeLLo", 4, "hEllO"), 0);
    ck_assert_int_eq(bcda__text_equal_nocase("HeLLo!", 6, "hEllO"), 0);
    ck_assert_int_eq(bcda__text_equal_nocase("", 0, ""), 1);
    ck_assert_int_eq(bcda__text_equal_nocase("", 0, "a"), 0);
    ck_assert_int_eq(bcda__text_equal_nocase("a\0b", 3, "a"), 0);
    ck_assert_int_eq(bcda__text_equal_nocase("[", 1, "{"),
                     0); /* they differ in the same bit as "a" and "A", but are no letters */
    ck_assert_int_eq(bcda__text_equal_nocase("\xC9", 1, "\xE9"), 0); /* ASCII only */
    ck_assert_int_eq(bcda__text_starts_nocase("HTTPS://x", "https://"), 1);
    ck_assert_int_eq(bcda__text_starts_nocase("HTTP", "https"), 0);
    ck_assert_int_eq(bcda__text_starts_nocase("x", ""), 1);
    ck_assert_int_eq(bcda__text_is_alpha("azAZ", 4), 1);
    ck_assert_int_eq(bcda__text_is_alpha("az1Z", 4), 0);
    ck_assert_int_eq(bcda__text_is_alpha("az@Z", 4), 0);
    ck_assert_int_eq(bcda__text_is_alpha("a[", 2), 0);
    ck_assert_int_eq(bcda__text_is_alpha("", 0), 0);
}
END_TEST

START_TEST(test_text_int64)
{
    static const struct {
        const char *text;
        int64_t value;
    } rows[] = {
        {"0", 0},
        {"7", 7},
        {"007", 7},
        {"999999999999999999", INT64_C(999999999999999999)},
    };
    static const char *const bad[] = {
        "1000000000000000000", "", "-1", "+1", " 1", "1 ", "1.0", "0x10", "/", ":"};
    int64_t value;
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        ck_assert_int_eq(bcda__text_to_int64(rows[i].text, strlen(rows[i].text), &value), 0);
        ck_assert_msg(value == rows[i].value, "%s", rows[i].text);
    }
    value = 42;
    for (i = 0; i < COUNT(bad); i++) {
        ck_assert_msg(bcda__text_to_int64(bad[i], strlen(bad[i]), &value) == -1, "%s", bad[i]);
        ck_assert_int_eq(value, 42);
    }
    ck_assert_int_eq(bcda__text_to_int64("123456", 3, &value), 0);
    ck_assert_int_eq(value, 123);
}
END_TEST

START_TEST(test_text_whole)
{
    static const struct {
        const char *text;
        int64_t value; /* -1 = refused */
    } rows[] = {
        {"0", 0},
        {"1700000000", 1700000000},
        {"1700000000.", 1700000000},
        {"1700000000.0", 1700000000},
        {"7.99999999999999999999999999", 7},
        {"007.5", 7},
        {"999999999999999999.9", INT64_C(999999999999999999)},
        {"1000000000000000000", -1}, /* 19 digits */
        {"", -1},
        {".", -1},
        {".5", -1},
        {"-1", -1},
        {"-1.5", -1},
        {"+1", -1},
        {"1e9", -1},
        {"1.5e3", -1},
        {"1.5.", -1},
        {"1.5 ", -1},
        {" 1", -1},
        {"1,5", -1},
        {"1.-5", -1},
    };
    int64_t value;
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        int rc = bcda__text_to_whole(rows[i].text, strlen(rows[i].text), &value);

        ck_assert_msg(rc == (rows[i].value < 0 ? -1 : 0), "%s: %d", rows[i].text, rc);
        ck_assert_msg(rc || value == rows[i].value, "%s", rows[i].text);
    }
    ck_assert_int_eq(bcda__text_to_whole("12.5x", 4, &value), 0); /* only `len` bytes */
}
END_TEST

/* The examples of RFC 4648, section 10; then all bytes, encoded and decoded again by other code. */
START_TEST(test_text_base64)
{
    static const char *rows[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xFB\xFF\xBF", "+/+/"},
    };
    uint8_t bytes[256];
    char out[400];
    size_t i, len;

    for (i = 0; i < COUNT(rows); i++) {
        len = strlen(rows[i][0]);
        memset(out, '#', sizeof out);
        bcda__text_base64(rows[i][0], len, out);
        ck_assert_str_eq(out, rows[i][1]);
        ck_assert_uint_eq(bcda__text_base64_size(len), strlen(out) + 1);
    }
    for (i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    for (len = 0; len <= sizeof bytes; len++) {
        unsigned bits = 0, have = 0;
        size_t n = 0;

        bcda__text_base64(bytes, len, out);
        ck_assert_uint_eq(strlen(out) + 1, bcda__text_base64_size(len));
        for (i = 0; out[i] && out[i] != '='; i++) {
            int c = out[i];
            unsigned v = isupper(c)   ? (unsigned)(c - 'A')
                         : islower(c) ? (unsigned)(c - 'a' + 26)
                         : isdigit(c) ? (unsigned)(c - '0' + 52)
                         : c == '+'   ? 62u
                                      : 63u;

            bits = bits << 6 | v;
            have += 6;
            if (have >= 8) {
                have -= 8;
                ck_assert_uint_eq(bits >> have & 255, bytes[n++]);
            }
        }
        ck_assert_uint_eq(n, len);
    }
}
END_TEST

/* All texts of bytes that bcda__text_base64() encodes, with the alphabet of base64url. */
START_TEST(test_text_base64url)
{
    static const char *bad[] = {
        "=",    "A",    "A===", "Zg==",   "Zm8=", "Zm9vY",                    /* lengths, padding */
        "+/+/", "-_-/", "-_+_",                                               /* base64 */
        "Zm 9", " Zm9", "Zm9 ", "Zm9v\n", "Z.g",  "Zm9v,", "Zm9@", "Zm9\x80", /* characters */
        "Zm9[", "Zm9`", "Zm9{", "Zm9:",                                       /* beside a range */
        "Zh",   "Zi",   "Zo",   "Zm9",    "Zm-",                              /* unused bits */
    };
    uint8_t bytes[256], out[257];
    char text[400];
    size_t i, len, n;

    for (i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + 251);
    for (len = 0; len <= sizeof bytes; len++) {
        bcda__text_base64(bytes, len, text);
        text[strcspn(text, "=")] = '\0';
        for (i = 0; text[i]; i++)
            text[i] = (char)(text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i]);
        memset(out, '#', sizeof out);
        ck_assert_int_eq(bcda__text_base64url_decode(text, strlen(text), out, len, &n), 0);
        ck_assert_uint_eq(n, len);
        ck_assert_int_eq(memcmp(out, bytes, len), 0);
        ck_assert_int_eq(out[len], '#');
        if (len)
            ck_assert_int_eq(bcda__text_base64url_decode(text, strlen(text), out, len - 1, &n), -1);
    }
    for (i = 0; i < COUNT(bad); i++)
        ck_assert_msg(bcda__text_base64url_decode(bad[i], strlen(bad[i]), out, sizeof out, &n) ==
                          -1,
                      "%s", bad[i]);
    ck_assert_int_eq(bcda__text_base64url_decode("Zg\0Z", 4, out, sizeof out, &n), -1);
    ck_assert_int_eq(bcda__text_base64url_decode("Zm9vZm9v", 4, out, 3, &n), 0);
    ck_assert_uint_eq(n, 3);
}
END_TEST

/* The same examples in base64url, and texts of all lengths, which are decoded again. */
START_TEST(test_text_base64url_encoded)
{
    static const char *rows[][2] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xFB\xFF\xBF", "-_-_"},
        {"\xFB", "-w"},     {"\xFF\xFF", "__8"},
    };
    uint8_t bytes[256];
    char out[400];
    size_t i, len, n;

    for (i = 0; i < COUNT(rows); i++) {
        len = strlen(rows[i][0]);
        bcda__text_base64url(rows[i][0], len, out);
        ck_assert_str_eq(out, rows[i][1]);
    }
    for (i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    for (len = 0; len <= sizeof bytes; len++) {
        uint8_t *exact = malloc(len + !len);

        bcda__text_base64url(bytes, len, out);
        ck_assert_uint_eq(strlen(out) + 1, bcda__text_base64url_size(len));
        ck_assert_uint_eq(bcda__text_base64url_decoded(strlen(out)), len);
        ck_assert_int_eq(bcda__text_base64url_decode(out, strlen(out), exact, len, &n), 0);
        ck_assert_uint_eq(n, len);
        ck_assert_int_eq(memcmp(exact, bytes, len), 0);
        free(exact);
    }
}
END_TEST

/* Of all texts of three bytes, exactly those are decoded that the encoder writes: 2^16. */
START_TEST(test_text_base64url_all)
{
    long decoded = 0;
    uint32_t n;
    size_t len;

    for (n = 0; n < 1u << 24; n++) {
        char text[3] = {(char)(n >> 16), (char)(n >> 8), (char)n}, again[4];
        uint8_t bytes[2];

        if (bcda__text_base64url_decode(text, 3, bytes, 2, &len))
            continue;
        decoded++;
        bcda__text_base64url(bytes, 2, again);
        ck_assert(memcmp(text, again, 3) == 0);
    }
    ck_assert_int_eq(decoded, 65536);
}
END_TEST

START_TEST(test_text_hex)
{
    static const char *bad[] = {"0", "abc", "0g", "g0", "0x", " 0", "0 ", "-1", "0:", "@0", "`0"};
    uint8_t out[300];
    char hex[600] = "";
    size_t len, i;

    /* an example of RFC 4648, section 10 */
    ck_assert_int_eq(bcda__text_hex_decode("666F6f626172", 12, out, 6, &len), 0);
    ck_assert_uint_eq(len, 6);
    ck_assert_int_eq(memcmp(out, "foobar", 6), 0);
    for (i = 0; i < 256; i++)
        snprintf(hex + 2 * i, 3, i % 2 ? "%02x" : "%02X", (unsigned)i);
    ck_assert_int_eq(bcda__text_hex_decode(hex, 512, out, 256, &len), 0);
    ck_assert_uint_eq(len, 256);
    for (i = 0; i < 256; i++)
        ck_assert_uint_eq(out[i], i);
    ck_assert_int_eq(bcda__text_hex_decode(hex, 512, out, 255, &len), -1);
    ck_assert_int_eq(bcda__text_hex_decode("", 0, out, 0, &len), 0);
    ck_assert_uint_eq(len, 0);
    for (i = 0; i < COUNT(bad); i++)
        ck_assert_msg(bcda__text_hex_decode(bad[i], strlen(bad[i]), out, 300, &len) == -1, "%s",
                      bad[i]);
}
END_TEST

START_TEST(test_text_one_line)
{
    char text[] = "a\x01\x1F\x7F\tb é\x80 \r\n\t";

    bcda__text_one_line(text);
    ck_assert_str_eq(text, "a    b é\x80");
    strcpy(text, "\n\n");
    bcda__text_one_line(text);
    ck_assert_str_eq(text, "");
}
END_TEST

/* ---- url ---- */

START_TEST(test_url_accept)
{
    static const struct {
        const char *text;
        int https;
        const char *host;
        int port;
        const char *path;
        const char *query; /* NULL: the URL has none */
    } rows[] = {
        {"https://a.b", 1, "a.b", 443, "", NULL},
        {"http://a.b", 0, "a.b", 80, "", NULL},
        {"HTTPS://A.B/C", 1, "a.b", 443, "/C", NULL},
        {"https://sandbox.bcda.cms.gov/api/v1/Patient/$export?_type=Patient,Coverage", 1,
         "sandbox.bcda.cms.gov", 443, "/api/v1/Patient/$export", "_type=Patient,Coverage"},
        {"https://h:1/", 1, "h", 1, "/", NULL},
        {"https://h:65535", 1, "h", 65535, "", NULL},
        {"https://h:00443/", 1, "h", 443, "/", NULL},
        {"http://h:80?x", 0, "h", 80, "", "x"},
        {"https://h?", 1, "h", 443, "", ""},
        {"https://h/a?b?c", 1, "h", 443, "/a", "b?c"},
        {"https://h/a@b:c", 1, "h", 443, "/a@b:c", NULL},
        {"https://h/?u=https://x@y/", 1, "h", 443, "/", "u=https://x@y/"},
        {"https://[::1]/", 1, "::1", 443, "/", NULL},
        {"http://[FE80::1]:8080/x", 0, "fe80::1", 8080, "/x", NULL},
        {"http://[::ffff:127.0.0.1]/x", 0, "::ffff:127.0.0.1", 80, "/x", NULL},
        {"https://under_score-1.x/", 1, "under_score-1.x", 443, "/", NULL},
        {"https://h//a//", 1, "h", 443, "//a//", NULL},
        {"https://h/%20%zz", 1, "h", 443, "/%20%zz", NULL},
    };
    struct bcda__url u;
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        ck_assert_msg(bcda__url_parse(rows[i].text, &u) == 0, "%s", rows[i].text);
        ck_assert_int_eq(u.https, rows[i].https);
        ck_assert_str_eq(u.host, rows[i].host);
        ck_assert_int_eq(u.is_ipv6, strchr(rows[i].host, ':') != NULL);
        ck_assert_int_eq(u.port, rows[i].port);
        ck_assert_uint_eq(u.path_len, strlen(rows[i].path));
        ck_assert_int_eq(memcmp(u.path, rows[i].path, u.path_len), 0);
        ck_assert_int_eq(u.query == NULL, rows[i].query == NULL);
        if (rows[i].query) {
            ck_assert_uint_eq(u.query_len, strlen(rows[i].query));
            ck_assert_str_eq(u.query, rows[i].query);
        }
        /* the path points into the text that was parsed */
        ck_assert(u.path >= rows[i].text && u.path <= rows[i].text + strlen(rows[i].text));
    }
}
END_TEST

START_TEST(test_url_refuse)
{
    static const char *rows[] = {
        /* no scheme, or no host */
        "", "h", "/path", "//h/path", "ftp://h/", "https:/h", "https:h", "https//h", "https://",
        "https:///v1/fhir/Patient", "https://?x", "https://:443/",
        /* characters that are not allowed in a URL, and fragments */
        " https://h/", "https://h/ ", "https://h/a b", "https://h /", "https://h/a\tb",
        "https://h/\n", "https://h/\x7F", "https://h/\xC3\xA9", "https://h\xC3\xA9/", "https://h/#",
        "https://h/a#b", "https://h#b",
        /* user information */
        "https://u@h/", "https://u:p@h/", "https://h:443@evil/", "https://@h/",
        /* backslashes and other characters */
        "https://h\\@evil/", "https://h/a\\b", "https://h/\"", "https://h/<a>", "https://h/a^b",
        "https://h/a`b", "https://h/{a}", "https://h/a|b",
        /* ports; the last is 2^32 + 443 */
        "https://h:/", "https://h:", "https://h:0/", "https://h:65536/", "https://h:-1/",
        "https://h:+1/", "https://h:1x/", "https://h:443:443/", "https://h:99999999999999999999/",
        "https://h:4294967739/",
        /* invalid hosts */
        "https://h%2e/", "https://h,i/", "https://h;i/", "https://h&i/", "https://*.h/",
        "https://::1/", "https://[::1/", "https://[::1]x/", "https://[]/", "https://[::1%25eth0]/",
        "https://[v1.x]/", "https://[h]/", "https://[::1]443/", "https://[:::]/",
        "https://[1.2.3.4]/", "https://[abc]/", "https://[1:2:3:4:5:6:7:8:9]/"};
    struct bcda__url u, before;
    size_t i;

    memset(&before, 0x33, sizeof before);
    for (i = 0; i < COUNT(rows); i++) {
        u = before;
        ck_assert_msg(bcda__url_parse(rows[i], &u) == BCDA_ERR_URL, "%s", rows[i]);
        ck_assert_int_eq(memcmp(&u, &before, sizeof u), 0);
    }
}
END_TEST

START_TEST(test_url_long_host)
{
    struct bcda__url u;
    char text[400];
    int len;

    for (len = 253; len <= 258; len++) {
        strcpy(text, "https://");
        memset(text + 8, 'a', (size_t)len);
        strcpy(text + 8 + len, ":8443/x");
        ck_assert_int_eq(bcda__url_parse(text, &u), len <= 255 ? 0 : BCDA_ERR_URL);
        if (len <= 255) {
            ck_assert_uint_eq(strlen(u.host), (size_t)len);
            ck_assert_int_eq(u.port, 8443);
        }
    }
}
END_TEST

START_TEST(test_url_same_origin)
{
    static const struct {
        const char *a, *b;
        int same;
    } rows[] = {
        {"https://h/a", "https://h/b?c", 1},
        {"https://H/", "https://h", 1},
        {"https://h:443/", "https://h/", 1},
        {"http://h:80/", "http://h/", 1},
        {"https://h/", "http://h/", 0},
        {"https://h:80/", "http://h/", 0},
        {"http://h:443/", "https://h:443/", 0},
        {"https://h/", "https://h:444/", 0},
        {"https://h/", "https://h.example/", 0},
        {"https://h.e/", "https://he/", 0},
        {"https://a.h/", "https://h/", 0},
        {"https://h/", "https://h./", 0},
        {"https://[::1]/", "https://[::1]:443", 1},
        {"https://[::1]/", "https://[::2]/", 0},
        {"https://[::A]/", "https://[::a]/", 1},
    };
    struct bcda__url a, b;
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        ck_assert_int_eq(bcda__url_parse(rows[i].a, &a), 0);
        ck_assert_int_eq(bcda__url_parse(rows[i].b, &b), 0);
        ck_assert_msg(bcda__url_same_origin(&a, &b) == rows[i].same, "%s %s", rows[i].a, rows[i].b);
        ck_assert_msg(bcda__url_same_origin(&b, &a) == rows[i].same, "%s %s", rows[i].a, rows[i].b);
    }
}
END_TEST

START_TEST(test_url_loopback)
{
    static const char *const loopback[] = {"http://localhost/",    "http://LOCALHOST:8080/",
                                           "http://127.0.0.1/",    "http://127.255.255.255/",
                                           "http://127.1.2.3:99/", "http://[::1]/"};
    static const char *const others[] = {
        /* names that look like a loopback address with parts added or missing */
        "http://127.0.0.1.example.com/", "http://127.0.0.1.5/", "http://127.0.0/", "http://127.1/",
        "http://127.0.0.1./", "http://127..0.1/", "http://127.../",
        /* not addresses, so these are names of unknown hosts */
        "http://127.0.0.999/", "http://127.0.0.0001/",
        /* other addresses and names */
        "http://128.0.0.1/", "http://1270.0.0.1/", "http://localhost.example.com/",
        "http://localhost./", "http://notlocalhost/", "http://[::2]/", "http://[::]/",
        "http://0.0.0.0/", "http://example.com/localhost"};
    struct bcda__url u;
    size_t i;

    for (i = 0; i < COUNT(loopback) + COUNT(others); i++) {
        int yes = i < COUNT(loopback);
        const char *text = yes ? loopback[i] : others[i - COUNT(loopback)];

        ck_assert_int_eq(bcda__url_parse(text, &u), 0);
        ck_assert_msg(bcda__url_is_loopback(&u) == yes, "%s", text);
    }
}
END_TEST

START_TEST(test_url_parts)
{
    static const struct {
        const char *text, *origin, *last;
    } rows[] = {
        {"https://h", "https://h", ""},
        {"https://h/", "https://h", ""},
        {"https://h/data/x.ndjson", "https://h", "x.ndjson"},
        {"https://h:443/data/x.ndjson?a=/b", "https://h", "x.ndjson"},
        {"https://H:444/data/x%20y", "https://h:444", "x%20y"},
        {"http://h:443/x/", "http://h:443", ""},
        {"http://h:80?a/b", "http://h", ""},
        {"https://[::1]:1/a", "https://[::1]:1", "a"},
        {"http://[::1]/a//b", "http://[::1]", "b"},
    };
    struct bcda__buf b;
    struct bcda__url u;
    const char *name;
    size_t i, len;

    bcda__buf_init(&b, 1000);
    for (i = 0; i < COUNT(rows); i++) {
        ck_assert_int_eq(bcda__url_parse(rows[i].text, &u), 0);
        bcda__buf_clear(&b);
        ck_assert_int_eq(bcda__url_add_origin(&b, &u), 0);
        ck_assert_str_eq(b.data, rows[i].origin);
        bcda__url_last_segment(&u, &name, &len);
        ck_assert_uint_eq(len, strlen(rows[i].last));
        ck_assert_int_eq(memcmp(name, rows[i].last, len), 0);
    }
    bcda__buf_free(&b);
    bcda__buf_init(&b, 10);
    bcda__url_parse("https://longer.than.ten:8443/", &u);
    ck_assert_int_eq(bcda__url_add_origin(&b, &u), BCDA_ERR_BODY_TOO_LARGE);
    bcda__buf_free(&b);
}
END_TEST

START_TEST(test_url_escaped)
{
    struct bcda__buf b;
    char all[256];
    int c;

    bcda__buf_init(&b, 2000);
    ck_assert_int_eq(bcda__url_add_escaped(&b, "aZ09-._~", ""), 0);
    ck_assert_str_eq(b.data, "aZ09-._~");
    bcda__buf_clear(&b);
    ck_assert_int_eq(bcda__url_add_escaped(&b, "a b/c?d=é&+%,:", ",:/"), 0);
    ck_assert_str_eq(b.data, "a%20b/c%3Fd%3D%C3%A9%26%2B%25,:");
    bcda__buf_clear(&b);
    for (c = 1; c < 256; c++)
        all[c - 1] = (char)c;
    all[255] = '\0';
    ck_assert_int_eq(bcda__url_add_escaped(&b, all, ""), 0);
    ck_assert_uint_eq(b.len, 66 + (255 - 66) * 3);
    bcda__buf_clear(&b);
    ck_assert_int_eq(bcda__url_add_escaped(&b, "", ""), 0);
    ck_assert_uint_eq(b.len, 0);
    bcda__buf_free(&b);
    bcda__buf_init(&b, 4);
    ck_assert_int_eq(bcda__url_add_escaped(&b, "ab cd", ""), BCDA_ERR_BODY_TOO_LARGE);
    bcda__buf_free(&b);
}
END_TEST

START_TEST(test_url_show)
{
    static const char *rows[][2] = {
        {"https://h/a", "https://h/a"},
        {"https://h/a?token=SECRET", "https://h/a"},
        {"https://h/a?b?SECRET", "https://h/a"},
        {"?SECRET", ""},
        {"https://h/a#access_token=SECRET", "https://h/a"},
        {"https://me:SECRET@h/a", "https://h/a"},
        {"https://me:SECRET@h", "https://h"},
        {"https://me:SE@CRET@h/a@b", "https://h/a@b"},
        {"https://h/a@b", "https://h/a@b"},
        {"https://h/x\ny\x1B[0m", "https://h/x y [0m"},
        {"not a URL", "not a URL"},
        {"", ""},
    };
    char out[64], long_url[300];
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        bcda__url_show(rows[i][0], out, sizeof out);
        ck_assert_str_eq(out, rows[i][1]);
    }
    memset(long_url, 'a', sizeof long_url);
    memcpy(long_url, "https://h/", 10);
    strcpy(long_url + 100, "?token=SECRET");
    bcda__url_show(long_url, out, sizeof out);
    ck_assert_uint_eq(strlen(out), sizeof out - 1);
    ck_assert_str_eq(out + sizeof out - 6, "aa...");
    ck_assert_ptr_null(strchr(out, '?'));
    /* The URL fits once its query is left out, so nothing is cut and "..." is not added. */
    strcpy(long_url + sizeof out - 1, "?token=SECRET");
    bcda__url_show(long_url, out, sizeof out);
    ck_assert_uint_eq(strlen(out), sizeof out - 1);
    ck_assert_str_eq(out + sizeof out - 6, "aaaaa");
    strcpy(long_url + sizeof out - 1, "b?token=SECRET");
    bcda__url_show(long_url, out, sizeof out);
    ck_assert_str_eq(out + sizeof out - 6, "aa...");
    memset(long_url + 10, 'a', sizeof long_url - 10);
    /* User information that is longer than the output buffer. */
    strcpy(long_url + 100, "SECRET@h/a");
    memcpy(long_url, "https://SECRET:aaaa", 19);
    bcda__url_show(long_url, out, sizeof out);
    ck_assert_str_eq(out, "https://h/a");
}
END_TEST

/* ---- clock, log ---- */

static int64_t fake_now(void *ctx)
{
    return *(int64_t *)ctx;
}

static int64_t fake_wall(void *ctx)
{
    return *(int64_t *)ctx * 2;
}

START_TEST(test_clock)
{
    int64_t at = 21;
    struct bcda__clock fake = {fake_now, fake_wall, &at};
    struct bcda__clock c = bcda__clock_system();
    int64_t a = bcda__clock_now(&c), b;

    usleep(3000);
    b = bcda__clock_now(&c);
    ck_assert_int_ge(b - a, 2);
    ck_assert_int_lt(b - a, 60000);
    ck_assert_int_gt(bcda__clock_wall(&c), INT64_C(1700000000000)); /* in milliseconds since 1970 */
    ck_assert_int_lt(bcda__clock_wall(&c), INT64_C(7000000000000));
    ck_assert_int_eq(bcda__clock_now(&fake), 21);
    ck_assert_int_eq(bcda__clock_wall(&fake), 42);
}
END_TEST

static char logged[1200];
static int log_count;

static void on_log(int level, const char *component, const char *message, void *userdata)
{
    ck_assert_ptr_eq(userdata, logged);
    snprintf(logged, sizeof logged, "%d %s %s", level, component, message);
    log_count++;
}

START_TEST(test_log)
{
    struct bcda__log log = {on_log, logged, BCDA_LOG_WARNING};
    char big[1000];

    bcda__log(&log, BCDA_LOG_WARNING, "net", "a\n%d", 5);
    ck_assert_str_eq(logged, "2 net a 5");
    bcda__log(&log, BCDA_LOG_INFO, "net", "no");
    ck_assert_int_eq(log_count, 1);
    bcda__log(&log, BCDA_LOG_ERROR, "net", "yes");
    ck_assert_int_eq(log_count, 2);
    memset(big, 'x', sizeof big);
    strcpy(big + sizeof big - 5, "…");
    bcda__log(&log, BCDA_LOG_ERROR, "n", "%s", big);
    ck_assert_uint_eq(strlen(logged),
                      4 + strlen(big)); /* a log message has room for the text of an error */
    bcda__log(&log, BCDA_LOG_ERROR, "n", "%s%s", big, big);
    ck_assert_uint_eq(strlen(logged), 4 + 1023);
    ck_assert_str_eq(logged + 4 + 1020, "...");
    log.cb = NULL;
    bcda__log(&log, BCDA_LOG_ERROR, "net", "no");
    bcda__log(NULL, BCDA_LOG_ERROR, "net", "no");
    ck_assert_int_eq(log_count, 4);
}
END_TEST

/* ---- process ---- */

/* Waits for a child process and returns its exit status. The children of these tests exit with the
 * value of bcda__process_is_child(): 1 if the function recognised that it ran in a child. */
static int status_of(pid_t child)
{
    int status = -1;

    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Runs in a child process, and forks a second child. Returns true if bcda__process_is_child()
 * recognises both as children. With `free_it` this process frees its copy of *p before the fork,
 * and the second child exits with 1 without calling the function. */
static int look_twice(struct bcda__process *p, int free_it)
{
    int is_child = bcda__process_is_child(p);
    pid_t pid;

    if (free_it)
        bcda__process_free(p);
    pid = fork();
    if (pid == 0)
        _exit(free_it || bcda__process_is_child(p));
    return is_child && status_of(pid) == 1;
}

START_TEST(test_process)
{
    struct bcda__process p, other;
    pid_t pid;
    int i;

    bcda__process_init(&p);
    ck_assert_int_eq(bcda__process_is_child(&p), 0);
    for (i = 0; i < 2; i++) {
        fflush(NULL);
        pid = fork();
        if (pid == 0)
            _exit(look_twice(&p, i));
        ck_assert_int_eq(status_of(pid), 1);
    }
    ck_assert_int_eq(bcda__process_is_child(&p), 0);
    bcda__process_init(&other);
    bcda__process_free(&p);
    ck_assert_int_eq(bcda__process_is_child(&other), 0);
    bcda__process_free(&other);
}
END_TEST

#ifdef __linux__
/* A child made by a system call, so that the C library does not run its fork handlers. */
START_TEST(test_process_clone)
{
    struct bcda__process p;
    pid_t pid;

    bcda__process_init(&p);
    fflush(NULL);
    pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(bcda__process_is_child(&p));
    ck_assert_int_eq(status_of(pid), 1);
    bcda__process_free(&p);
}
END_TEST
#endif

/* The array of a list grows in steps. Texts are added and removed on both sides of each step. */
START_TEST(test_texts)
{
    struct bcda__texts t = {0}, copy = {0};
    char text[16];
    size_t i, k;

    for (i = 0; i < 300; i++) {
        for (k = 0; k < 2; k++) {
            snprintf(text, sizeof text, "%03zu and more", i);
            ck_assert_int_eq(bcda__texts_add(&t, text, 3), 0);
            if (k == 0)
                bcda__texts_drop_last(&t);
        }
        ck_assert_uint_eq(t.count, i + 1);
    }
    ck_assert_int_eq(bcda__texts_copy(&copy, &t), 0);
    bcda__texts_free(&t);
    ck_assert_ptr_null(t.at);
    ck_assert_uint_eq(copy.count, 300);
    for (i = 0; i < 300; i++) {
        snprintf(text, sizeof text, "%03zu", i);
        ck_assert_str_eq(copy.at[i], text);
        ck_assert_int_eq(bcda__texts_has(&copy, text), 1);
    }
    ck_assert_int_eq(bcda__texts_has(&copy, "300"), 0);
    while (copy.count > 1)
        bcda__texts_drop_last(&copy);
    ck_assert_int_eq(bcda__texts_add(&copy, "a", 1), 0);
    ck_assert_int_eq(bcda__texts_add(&copy, "b", 1), 0);
    ck_assert_str_eq(copy.at[2], "b");
    bcda__texts_free(&copy);
}
END_TEST

SUITE("base")
{
    suite_case("base");
    suite_test(test_mem, test_buf_limits, test_buf_overflow, test_buf_use, test_wipe, test_process);
#ifdef __linux__
    suite_test(test_process_clone);
#endif
    suite_test(test_secret, test_secret_pages, test_error_codes, test_error_retryable,
               test_error_text);
    suite_loop(test_error_cut, 0, 16);
    suite_test(test_error_add);
    suite_test(test_error_server, test_error_object, test_text_copy, test_text_case,
               test_text_int64, test_text_whole, test_text_base64, test_text_base64url,
               test_text_base64url_encoded, test_text_base64url_all, test_text_hex,
               test_text_one_line, test_texts, test_url_accept, test_url_refuse, test_url_long_host,
               test_url_same_origin, test_url_loopback, test_url_parts, test_url_escaped,
               test_url_show, test_clock, test_log);
}
