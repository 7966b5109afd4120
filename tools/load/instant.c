/* FHIR instants, such as 2024-01-31T12:00:00.123+01:00. They are compared as points in time. */
#include "load.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The first second after the year 9999, and the first of the year 1. */
#define SECONDS_END   INT64_C(253402300800)
#define SECONDS_BEGIN (-INT64_C(62135596800))

/* Reads `digits` digits. Returns the number, or -1. */
static int instant_number(const char **p, int digits)
{
    int n = 0;

    while (digits--) {
        if (!isdigit((unsigned char)**p))
            return -1;
        n = n * 10 + (*(*p)++ - '0');
    }
    return n;
}

static int instant_expect(const char **p, char c)
{
    if (**p != c)
        return -1;
    ++*p;
    return 0;
}

/* Returns the number of days from 1970-01-01 to a date of the Gregorian calendar. */
static int64_t days_from_date(int year, int month, int day)
{
    int64_t y = month > 2 ? year : year - 1;
    int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return y * 365 + y / 4 - y / 100 + y / 400 + of_year - 719468;
}

static void date_from_days(int64_t days, int *year, int *month, int *day)
{
    int64_t n = days + 719468; /* from 0000-03-01; not negative for the years 1 to 9999 */
    int64_t era = n / 146097;
    int64_t of_era = n % 146097;
    int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
    int64_t m = (5 * of_year + 2) / 153;

    *day = (int)(of_year - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = (int)(y + era * 400 + (*month <= 2));
}

static int days_of_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month == 2 && leap ? 29 : days[month - 1];
}

static int instant_date(const char **p, int64_t *days)
{
    int year = instant_number(p, 4);
    int month = instant_expect(p, '-') ? -1 : instant_number(p, 2);
    int day = instant_expect(p, '-') ? -1 : instant_number(p, 2);

    if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_of_month(year, month))
        return -1;
    *days = days_from_date(year, month, day);
    return 0;
}

/* A leap second, :60, counts as the first second of the next minute. */
static int instant_time(const char **p, int64_t *seconds, int32_t *nanoseconds)
{
    int hour = instant_number(p, 2);
    int minute = instant_expect(p, ':') ? -1 : instant_number(p, 2);
    int second = instant_expect(p, ':') ? -1 : instant_number(p, 2);
    int32_t unit = 100000000;

    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return -1;
    *seconds = hour * 3600 + minute * 60 + second;
    *nanoseconds = 0;
    if (**p != '.')
        return 0;
    if (!isdigit((unsigned char)*++*p))
        return -1;
    for (; isdigit((unsigned char)**p); ++*p) {
        *nanoseconds += (**p - '0') * unit;
        unit /= 10;
    }
    return 0;
}

static int instant_zone(const char **p, int64_t *offset)
{
    int sign = **p == '-' ? -1 : 1;
    int hour;
    int minute;

    *offset = 0;
    if (**p == 'Z') {
        ++*p;
        return 0;
    }
    if (**p != '+' && **p != '-')
        return -1;
    ++*p;
    hour = instant_number(p, 2);
    minute = instant_expect(p, ':') ? -1 : instant_number(p, 2);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59)
        return -1;
    *offset = sign * (hour * 3600 + minute * 60);
    return 0;
}

struct instant instant_parse(const char *text)
{
    struct instant t = {0};
    int64_t days;
    int64_t seconds;
    int64_t offset;

    if (instant_date(&text, &days) || instant_expect(&text, 'T') ||
        instant_time(&text, &seconds, &t.nanoseconds) || instant_zone(&text, &offset) || *text)
        return (struct instant){0};
    t.seconds = days * 86400 + seconds - offset;
    t.is_known = t.seconds >= SECONDS_BEGIN && t.seconds < SECONDS_END;
    return t.is_known ? t : (struct instant){0};
}

const char *instant_text(char to[INSTANT_SIZE], const struct instant *t)
{
    int64_t days = t->seconds >= 0 ? t->seconds / 86400 : -((86399 - t->seconds) / 86400);
    int of_day = (int)(t->seconds - days * 86400);
    int year;
    int month;
    int day;

    date_from_days(days, &year, &month, &day);
    snprintf(to, INSTANT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%09" PRId32 "Z", year, month, day,
             of_day / 3600, of_day / 60 % 60, of_day % 60, t->nanoseconds);
    return to;
}

int instant_compare(const struct instant *a, const struct instant *b)
{
    if (a->seconds != b->seconds)
        return a->seconds < b->seconds ? -1 : 1;
    return (a->nanoseconds > b->nanoseconds) - (a->nanoseconds < b->nanoseconds);
}
