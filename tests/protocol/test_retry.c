/* All forms of Retry-After, and the delays before retries and polls. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bcda/error.h"
#include "helper.h"
#include "protocol/retry.h"
#include "suite.h"

/* The example date of RFC 9110: Sun, 06 Nov 1994 08:49:37 GMT. */
#define T94 INT64_C(784111777000)

static void expect(const char *value, int64_t wall, int64_t wait)
{
    int64_t got = bcda__retry_after(value, wall);

    ck_assert_msg(got == wait, "'%s': %lld instead of %lld", value ? value : "(null)",
                  (long long)got, (long long)wait);
}

START_TEST(seconds)
{
    expect("0", 0, 0);
    expect("1", 0, 1000);
    expect("300", 12345, 300000);
    expect(" \t120 ", 0, 120000);
    expect("000000000000000000000000000007", 0, 7000);
    expect("1700000000000", 0, INT64_C(1700000000000000));
    expect("9223372036854775807", 0, INT64_MAX);
    expect("9223372036854775808", 0, INT64_MAX);
    expect("99999999999999999999999999999999999999999999999999999999999999999999", 0, INT64_MAX);
}
END_TEST

START_TEST(dates)
{
    expect("Sun, 06 Nov 1994 08:49:37 GMT", T94 - 30000, 30000);
    expect("Sunday, 06-Nov-94 08:49:37 GMT", T94 - 30000, 30000);
    expect("Sun Nov  6 08:49:37 1994", T94 - 30000, 30000);
    expect(" Sun, 06 Nov 1994 08:49:37 GMT\t", T94 - 1, 1);
    expect("Sun, 06 Nov 1994 08:49:37 GMT", T94, 0);
    expect("Sun, 06 Nov 1994 08:49:37 GMT", T94 + 5000, 0); /* a date in the past */
    expect("Thu, 01 Jan 1970 00:00:01 GMT", 0, 1000);
    expect("Mon, 01 Jan 0001 00:00:00 GMT", T94, 0);
    expect("Tue, 29 Feb 2000 00:00:00 GMT", INT64_C(951782400000) - 1000, 1000);
    expect("Thu, 29 Feb 2024 23:59:60 GMT", INT64_C(1709251200000) - 1000, 1000);
    expect("Fri Dec 31 23:59:59 2027", INT64_C(1830297599000) - 1000, 1000);
    expect("Fri, 31 Dec 9999 23:59:59 GMT", 0, INT64_C(253402300799000));
    expect("Sun, 06 Nov 1994 08:49:37 GMT", INT64_MIN, INT64_MAX);
    expect("Sun, 06 Nov 1994 08:49:37 GMT", INT64_MAX, 0);
}
END_TEST

/* A time in seconds since 1970, as some servers send it: 2026-11-30 02:30:42 UTC. */
#define EPOCH INT64_C(1795994242)
#define DAY   (INT64_C(24) * 3600 * 1000)

static void expect_number(int64_t number, int64_t wall, int64_t wait)
{
    char text[32];

    snprintf(text, sizeof text, "%" PRId64, number);
    expect(text, wall, wait);
}

START_TEST(epochs)
{
    int64_t now = EPOCH * 1000, least = INT64_C(1000000000) * 1000;

    expect("1795994242", now - 120000, 120000);
    expect("1795994242000", now - 120000, 120000);
    expect("1795994242123", now - 120000, 120123);
    expect(" 1795994242 ", now, 0);
    expect("1795994242", now + 1, 0); /* this time was 1 ms ago */
    /* A number is read as a time since 1970 if that time is at most a day in the past and at most
     * 366 days in the future. Any other number is a delay in seconds, however absurd. */
    expect_number(EPOCH, now + DAY, 0);
    expect_number(EPOCH, now + DAY + 1, EPOCH * 1000);
    expect_number(EPOCH, now - 366 * DAY, 366 * DAY);
    expect_number(EPOCH, now - 366 * DAY - 1, EPOCH * 1000);
    expect_number(EPOCH * 1000, now + DAY, 0);
    expect_number(EPOCH * 1000, now + DAY + 1, EPOCH * 1000 * 1000);
    expect_number(EPOCH * 1000, now - 366 * DAY, 366 * DAY);
    expect_number(EPOCH * 1000, now - 366 * DAY - 1, EPOCH * 1000 * 1000);
    /* a number below 1,000,000,000 is always a delay, whatever the clock says */
    expect_number(999999999, least, INT64_C(999999999) * 1000);
    expect_number(1000000000, least, 0);
    expect_number(300, 300000, 300000);
    expect_number(300, 0, 300000);
    expect_number(86400, 12345, 86400000);
    expect("1795994242", 0, EPOCH * 1000); /* a clock that was never set */
    expect("1795994242", INT64_MIN, EPOCH * 1000);
    expect("1795994242", INT64_MAX, EPOCH * 1000);
}
END_TEST

START_TEST(two_digit_years)
{
    int64_t y2026 = INT64_C(1767225600000); /* 2026-01-01 */
    int64_t y2099 = INT64_C(4070908800000); /* 2099-01-01 */

    expect("Friday, 02-Jan-26 00:00:00 GMT", y2026, 86400000);
    expect("Sunday, 06-Nov-94 08:49:37 GMT", y2026, 0); /* 1994, not 2094 */
    expect("Thursday, 01-Jan-76 00:00:00 GMT", y2026, INT64_C(50) * 365 * 86400000 + 12 * 86400000);
    expect("Thursday, 01-Jan-77 00:00:00 GMT", y2026, 0);
    expect("Friday, 01-Jan-00 00:00:00 GMT", y2099, INT64_C(365) * 86400000); /* the year 2100 */
}
END_TEST

START_TEST(nonsense)
{
    static const char *const values[] = {
        /* not a number of seconds */
        "", " ", "soon", "-1", "+5", "1.5", "5 s", "5, 6", "0x10", "1e3",
        /* parts of dates, and dates in other forms; the first of these is the server's Expires */
        "Sun", "Sun,", "GMT", "2026-11-24 00:03:34.258995 +0000 UTC", "1994-11-06T08:49:37Z",
        "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 GMT+1",
        "Sun, 06 Nov 1994 08:49:37 +0100", "Sun, 6 Nov 1994 08:49:37 GMT",
        /* no such date or time */
        "Xun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nox 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT", "Sun, 29 Feb 2023 08:49:37 GMT",
        "Sun, 29 Feb 1900 08:49:37 GMT", "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT", "Sun, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT", "Sun Nov 6 08:49:37 1994", "Sun Nov  6 08:49:37 94",
        "Sun Nov   6 08:49:37 1994", "Sun Nov  6 08:49:37 1994 GMT"};
    size_t i, cut;
    char part[64];

    expect(NULL, 0, -1);
    for (i = 0; i < COUNT(values); i++)
        expect(values[i], T94, -1);
    for (cut = 0; cut < strlen("Sun, 06 Nov 1994 08:49:37 GMT"); cut++) {
        snprintf(part, sizeof part, "%.*s", (int)cut, "Sun, 06 Nov 1994 08:49:37 GMT");
        expect(part, 0, -1);
    }
}
END_TEST

/* Compares every day of 60 years with the calendar of the C library. */
START_TEST(calendar)
{
    char text[64];
    int64_t day;

    for (day = 0; day < 60 * 366; day++) {
        time_t t = (time_t)(day * 86400 + day % 86400);
        struct tm tm;
        char *digits;

        gmtime_r(&t, &tm);
        strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        expect(text, 0, (int64_t)t * 1000);
        strftime(text, sizeof text, "%a %b %e %H:%M:%S %Y", &tm);
        expect(text, 0, (int64_t)t * 1000);
        strftime(text, sizeof text, "%A, %d-%b-yy %H:%M:%S GMT", &tm);
        digits = strstr(text, "yy");
        digits[0] = (char)('0' + tm.tm_year / 10 % 10);
        digits[1] = (char)('0' + tm.tm_year % 10);
        expect(text, (int64_t)t * 1000, 0);
        expect(text, (int64_t)t * 1000 - 1000, 1000);
    }
}
END_TEST

START_TEST(retry_delays)
{
    static const int64_t tops[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000};
    int i, k;

    for (i = 0; i < 8; i++) {
        int64_t sum = 0;

        ck_assert_int_eq(bcda__retry_delay(i + 1, -1, 30000, 60000, 0), tops[i] / 2);
        ck_assert_int_eq(bcda__retry_delay(i + 1, -1, 30000, 60000, UINT32_MAX), tops[i]);
        for (k = 0; k < 1000; k++)
            sum += bcda__retry_delay(i + 1, -1, 30000, 60000, (uint32_t)k * 4294967u);
        ck_assert_int_ge(sum / 1000, tops[i] * 74 / 100);
        ck_assert_int_le(sum / 1000, tops[i] * 76 / 100);
    }
    ck_assert_int_eq(bcda__retry_delay(0, -1, 30000, 60000, 0), 500);
    ck_assert_int_eq(bcda__retry_delay(-7, -1, 30000, 60000, 0), 500);
    ck_assert_int_eq(bcda__retry_delay(INT32_MAX, -1, 30000, 60000, UINT32_MAX), 30000);
    ck_assert_int_eq(bcda__retry_delay(INT32_MAX, -1, INT64_MAX, 60000, UINT32_MAX), INT32_MAX);
    ck_assert_int_eq(bcda__retry_delay(1, -1, 10, 60000, UINT32_MAX), 10);
    ck_assert_int_eq(bcda__retry_delay(1, -1, 0, 60000, UINT32_MAX), 0);
}
END_TEST

START_TEST(what_the_server_asks)
{
    ck_assert_int_eq(bcda__retry_delay(1, 5000, 30000, 60000, 0), 5000);
    ck_assert_int_eq(bcda__retry_delay(1, 300000, 30000, 600000, 0),
                     300000); /* Retry-After may exceed the library's own maximum of 30 s */
    ck_assert_int_eq(bcda__retry_delay(1, 300000, 30000, 60000, 0), 60000);
    ck_assert_int_eq(bcda__retry_delay(1, INT64_MAX, 30000, 60000, 0), 60000);
    ck_assert_int_eq(bcda__retry_delay(1, INT64_C(1700000000000000), 30000, 60000, 0), 60000);
    ck_assert_int_eq(bcda__retry_delay(1, 0, 30000, 60000, 0),
                     500); /* a Retry-After of 0 has no effect */
    ck_assert_int_eq(bcda__retry_delay(1, 100, 30000, 60000, 0),
                     500); /* nor has a Retry-After shorter than the library's own delay */
    ck_assert_int_eq(bcda__retry_delay(5, 1000, 30000, 60000, UINT32_MAX), 16000);
}
END_TEST

START_TEST(poll_delays)
{
    static const struct {
        int64_t elapsed, want;
    } polls[] = {{0, 1000},        {1000, 1000},  {8000, 1000},       {8007, 1000},
                 {8008, 1001},     {34000, 4250}, {80000, 10000},     {80008, 10000},
                 {3600000, 10000}, {-5000, 1000}, {INT64_MAX, 10000}, {INT64_MIN, 1000}};
    int64_t now, last = 0;
    size_t i;

    for (i = 0; i < COUNT(polls); i++)
        ck_assert_int_eq(bcda__poll_delay(polls[i].elapsed, -1, 10000, 60000), polls[i].want);
    ck_assert_int_eq(bcda__poll_delay(INT64_MAX, -1, INT64_MAX, 60000), INT64_MAX / 8);
    ck_assert_int_eq(bcda__poll_delay(0, -1, 20, 60000), 20);
    ck_assert_int_eq(bcda__poll_delay(90000, 2000, 10000, 60000), 2000);
    ck_assert_int_eq(bcda__poll_delay(0, 30000, 10000, 60000), 30000);
    ck_assert_int_eq(bcda__poll_delay(0, INT64_MAX, 10000, 60000), 60000);
    ck_assert_int_eq(bcda__poll_delay(0, 0, 10000, 60000), 1000);
    /* The end of a job is noticed within a second, or within an eighth of the job's duration. */
    for (now = 0; now < 3600000; now += bcda__poll_delay(now, -1, 600000, 60000)) {
        ck_assert_int_le(now - last, last / 8 > 1000 ? last / 8 : 1000);
        last = now;
    }
}
END_TEST

/* The number of attempts for every error code. The arrays repeat the codes that the library
 * retries; for every other code bcda__err_attempts() must return 1. */
START_TEST(what_is_retried)
{
    static const int often[] = {
        BCDA_ERR_CONNECT,  BCDA_ERR_CONNECT_TIMEOUT, BCDA_ERR_PROXY,     BCDA_ERR_TLS,
        BCDA_ERR_TRANSFER, BCDA_ERR_STALLED,         BCDA_ERR_TRUNCATED, BCDA_ERR_HTTP,
        BCDA_ERR_TOO_MANY, BCDA_ERR_SERVER,          BCDA_ERR_SYSTEM};
    static const int briefly[] = {BCDA_ERR_RESOLVE, BCDA_ERR_JOB_FAILED, BCDA_ERR_NOT_FOUND};
    int code, want;
    size_t i;

    for (code = 0; code > -1000; code--) {
        want = 1;
        for (i = 0; i < COUNT(often); i++)
            want = often[i] == code ? 8 : want;
        for (i = 0; i < COUNT(briefly); i++)
            want = briefly[i] == code ? 4 : want;
        ck_assert_msg(bcda__err_attempts(code, 8) == want, "%s", bcda_error_name(code));
        ck_assert_int_eq(bcda__err_attempts(code, 2), want > 2 ? 2 : want);
        ck_assert_int_eq(bcda__err_attempts(code, 1), 1);
        ck_assert_int_eq(bcda__err_attempts(code, 100), want == 8 ? 100 : want);
    }
}
END_TEST

/* The library retries each error code after which a later attempt may succeed. Exceptions are
 * BCDA_ERR_NOMEM (a pause does not end a lack of memory) and the codes about one call of an API
 * function. A code after which no later attempt may succeed gets at most 4 attempts. */
START_TEST(later_and_attempts_agree)
{
    int code, attempts;

    for (code = 0; code > -1000; code--) {
        attempts = bcda__err_attempts(code, 8);
        if (bcda__err_default_retryable(code))
            ck_assert_msg(attempts > 1 || code >= BCDA_ERR_NOMEM, "%s", bcda_error_name(code));
        else
            ck_assert_msg(attempts <= 4, "%s", bcda_error_name(code));
    }
}
END_TEST

/* An error whose `retryable` was set to 0 is not retried. Other errors get the number of attempts
 * of their code. */
START_TEST(attempts_of_an_error)
{
    struct bcda_error e;
    int code;

    for (code = 0; code > -1000; code--) {
        bcda__err_set(&e, code, "x");
        ck_assert_int_eq(bcda__retry_attempts(&e, 8), bcda__err_attempts(code, 8));
        ck_assert_int_eq(bcda_error_is_retryable(&e), bcda__err_default_retryable(code));
        if (!e.retryable)
            continue;
        e.retryable = 0;
        ck_assert_int_eq(bcda__retry_attempts(&e, 8), 1);
    }
}
END_TEST

/* ---- the tables in doc/guide/errors.md ---- */

static FILE *open_guide(void)
{
    FILE *f = fopen(SOURCE_ROOT "/doc/guide/errors.md", "r");

    ck_assert_ptr_nonnull(f);
    return f;
}

static int code_by_name(const char *name)
{
    int code;

    for (code = 0; code > -1000; code--)
        if (strcmp(bcda_error_name(code), name) == 0)
            return code;
    ck_abort_msg("%s is no code", name);
    return 0;
}

/* The guide has a row for each code, with the number of attempts and whether a later attempt may
 * help.
 */
START_TEST(rows_of_the_guide)
{
    char line[2048], name[64], later[8];
    FILE *f = open_guide();
    int rows = 0, codes = 0, code, value, attempts;

    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "| `%63[A-Z_0-9]` | %d | %d | %7[a-z] |", name, &value, &attempts,
                   later) != 4)
            continue;
        rows++;
        ck_assert_str_eq(bcda_error_name(value), name);
        ck_assert_msg(bcda__err_attempts(value, 8) == attempts, "%s", line);
        ck_assert_msg(strcmp(later, bcda__err_default_retryable(value) ? "yes" : "no") == 0, "%s",
                      line);
    }
    fclose(f);
    for (code = -1; code > -1000; code--)
        codes += strcmp(bcda_error_name(code), "BCDA_ERR_UNKNOWN") != 0;
    ck_assert_int_eq(rows, codes);
}
END_TEST

/* The guide's summary of what is retried has each code that is retried, with the number of
 * attempts.
 */
START_TEST(summary_of_the_guide)
{
    int told[1000] = {0}, attempts, code;
    char line[2048], *name, *end;
    FILE *f = open_guide();

    while (fgets(line, sizeof line, f)) {
        name = strrchr(line, '|');
        if (line[0] != '|' || strncmp(line, "| `BCDA_ERR", 11) == 0 || !name)
            continue;
        *name = '\0';
        name = strrchr(line, '|');
        if (!name || sscanf(name, "| %d", &attempts) != 1)
            continue;
        for (name = line; (name = strstr(name, "`BCDA_ERR_")); name = end + 1) {
            end = strchr(++name, '`');
            ck_assert_ptr_nonnull(end);
            *end = '\0';
            code = code_by_name(name);
            told[-code] = 1;
            ck_assert_msg(bcda__err_attempts(code, 8) == attempts, "%s: %d", name, attempts);
        }
    }
    fclose(f);
    for (code = 0; code > -1000; code--)
        ck_assert_msg(told[-code] == (bcda__err_attempts(code, 8) > 1), "%s",
                      bcda_error_name(code));
}
END_TEST

/* The Date header, in the forms of RFC 9110. */
START_TEST(http_dates)
{
    static const struct {
        const char *value;
        int64_t ms;
    } rows[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", INT64_C(784111777000)},
        {"  Sun, 06 Nov 1994 08:49:37 GMT\t", INT64_C(784111777000)},
        {"Sunday, 06-Nov-94 08:49:37 GMT", INT64_C(784111777000)},
        {"Sun Nov  6 08:49:37 1994", INT64_C(784111777000)},
        {"Thu, 01 Jan 1970 00:00:01 GMT", 1000},
        {"120", -1}, /* a number is no date here */
        {"Sun, 06 Nov 1994 08:49:37", -1},
        {"", -1},
        {NULL, -1},
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg(bcda__http_date(rows[i].value, INT64_C(1600000000000)) == rows[i].ms, "%s",
                      rows[i].value ? rows[i].value : "(null)");
}
END_TEST

SUITE("retry")
{
    suite_case("all");
    suite_timeout(120);
    suite_test(seconds, dates, http_dates, epochs, two_digit_years, nonsense, calendar,
               retry_delays, what_the_server_asks, poll_delays, what_is_retried,
               later_and_attempts_agree, attempts_of_an_error, rows_of_the_guide,
               summary_of_the_guide);
}
