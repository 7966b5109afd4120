#include "protocol/retry.h"

#include <string.h>

#include "base/text.h"
#include "bcda/error.h"
#include "protocol/calendar.h"

/* ---- HTTP dates (RFC 9110 5.6.7); the C library's functions would depend on the locale ---- */

struct date {
    int year, month, day; /* month and day from 1 */
    int hour, minute, second;
};

struct cursor {
    const char *at;
    const char *end;
};

static int take_number(struct cursor *c, size_t digits, int *out)
{
    int64_t value;

    if ((size_t)(c->end - c->at) < digits || bcda__text_to_int64(c->at, digits, &value))
        return -1;
    c->at += digits;
    *out = (int)value;
    return 0;
}

/* Takes the day of a date in the form of asctime(), which pads a day of one digit with a space. */
static int take_padded_day(struct cursor *c, int *out)
{
    if (c->at < c->end && *c->at == ' ') {
        c->at++;
        return take_number(c, 1, out);
    }
    return take_number(c, 2, out);
}

/* Takes one of `count` names, or, if `len` is not 0, the first `len` characters of one. Returns the
 * index of the name, or -1 if none matches. */
static int take_name(struct cursor *c, const char *const *names, int count, size_t len)
{
    int i;

    for (i = 0; i < count; i++) {
        size_t n = len ? len : strlen(names[i]);

        if ((size_t)(c->end - c->at) < n || memcmp(c->at, names[i], n) != 0)
            continue;
        c->at += n;
        return i;
    }
    return -1;
}

static int take_weekday(struct cursor *c, size_t len)
{
    static const char *const names[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                        "Friday", "Saturday", "Sunday"};

    return take_name(c, names, 7, len) < 0 ? -1 : 0;
}

static int take_month(struct cursor *c, int *out)
{
    static const char *const names[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

    *out = take_name(c, names, 12, 0) + 1;
    return *out ? 0 : -1;
}

static int take_literal(struct cursor *c, char want)
{
    if (c->at == c->end || *c->at != want)
        return -1;
    c->at++;
    return 0;
}

static int take_time(struct cursor *c, struct date *d)
{
    if (take_number(c, 2, &d->hour) || take_literal(c, ':') || take_number(c, 2, &d->minute) ||
        take_literal(c, ':') || take_number(c, 2, &d->second))
        return -1;
    return 0;
}

static int take_field(struct cursor *c, char field, struct date *d)
{
    switch (field) {
    case 'w':
        return take_weekday(c, 3);
    case 'W':
        return take_weekday(c, 0);
    case 'd':
        return take_number(c, 2, &d->day);
    case 'D':
        return take_padded_day(c, &d->day);
    case 'm':
        return take_month(c, &d->month);
    case 'y':
        return take_number(c, 2, &d->year);
    case 'Y':
        return take_number(c, 4, &d->year);
    case 't':
        return take_time(c, d);
    default:
        return take_literal(c, field);
    }
}

static int date_matches(const char *pattern, struct cursor c, struct date *d)
{
    for (; *pattern; pattern++)
        if (take_field(&c, *pattern, d))
            return 0;
    return c.at == c.end;
}

/* Returns the year with these last two digits that is nearest to now and at most 50 years in the
 * future (RFC 9110). */
static int full_year(int two_digits, int64_t wall_ms)
{
    /* the current year; around the new year it may be off by one */
    int64_t now = 1970 + wall_ms / 86400000 * 400 / 146097;
    int64_t year = now / 100 * 100 + two_digits;

    if (year > now + 50)
        year -= 100;
    else if (year < now - 50)
        year += 100;
    return (int)year;
}

static int date_in_range(const struct date *d)
{
    return d->year >= 1 && d->month >= 1 && d->month <= 12 && d->day >= 1 &&
           d->day <= bcda__days_in_month(d->year, d->month) && d->hour <= 23 && d->minute <= 59 &&
           d->second <= 60;
}

/* Returns the days since 1970-01-01. The calculation uses years that begin in March, so that the
 * leap day is the last day of a year. */
static int64_t days_from_civil(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

/* Returns Unix time in milliseconds, or -1 if the text is not a date. For a date before 1970 it
 * returns 0, because the caller only needs a time in the past. */
static int64_t parse_date(struct cursor c, int64_t wall_ms)
{
    struct date d = {0};
    int64_t days;

    if (date_matches("W, d-m-y t GMT", c, &d))
        d.year = full_year(d.year, wall_ms);
    else if (!date_matches("w, d m Y t GMT", c, &d) && !date_matches("w m D t Y", c, &d))
        return -1;
    if (!date_in_range(&d))
        return -1;
    days = days_from_civil(d.year, d.month, d.day);
    if (days < 0)
        return 0;
    return (days * 86400 + d.hour * 3600 + d.minute * 60 + d.second) * 1000;
}

/* ---- Retry-After ---- */

static int is_space(char c)
{
    return c == ' ' || c == '\t';
}

static int all_digits(const struct cursor *c)
{
    const char *p;

    for (p = c->at; p < c->end; p++)
        if (*p < '0' || *p > '9')
            return 0;
    return c->at < c->end;
}

/* Converts any number of digits. A number that is too large becomes INT64_MAX. */
static int64_t digits_to_int64(const struct cursor *c)
{
    int64_t value = 0;
    const char *p;

    for (p = c->at; p < c->end; p++) {
        if (value > INT64_MAX / 10 - 1)
            return INT64_MAX;
        value = value * 10 + (*p - '0');
    }
    return value;
}

static int64_t seconds_to_ms(int64_t seconds)
{
    return seconds > INT64_MAX / 1000 ? INT64_MAX : seconds * 1000;
}

/* 1 if `time_ms`, read as milliseconds since 1970, is so near to now that a server may mean that
 * point in time. */
static int is_near(int64_t time_ms, int64_t wall_ms)
{
    const int64_t day = INT64_C(24) * 3600 * 1000;
    int64_t ahead;

    return time_ms >= INT64_C(1000000000) * 1000 &&
           !__builtin_sub_overflow(time_ms, wall_ms, &ahead) && ahead >= -day && ahead <= 366 * day;
}

/* Returns the milliseconds from now to `time_ms`, or 0 if that time is in the past. */
static int64_t ms_until(int64_t time_ms, int64_t wall_ms)
{
    int64_t wait;

    if (__builtin_sub_overflow(time_ms, wall_ms, &wait))
        return INT64_MAX;
    return wait > 0 ? wait : 0;
}

/* Returns the value without the spaces around it. */
static struct cursor trim_value(const char *value)
{
    struct cursor c = {value, value ? value + strlen(value) : NULL};

    while (c.at < c.end && is_space(*c.at))
        c.at++;
    while (c.end > c.at && is_space(c.end[-1]))
        c.end--;
    return c;
}

int64_t bcda__http_date(const char *value, int64_t wall_ms)
{
    return parse_date(trim_value(value), wall_ms);
}

int64_t bcda__retry_after(const char *value, int64_t wall_ms)
{
    struct cursor c = trim_value(value);
    int64_t number, date;

    if (all_digits(&c)) {
        number = digits_to_int64(&c);
        if (is_near(number, wall_ms))
            return ms_until(number, wall_ms);
        number = seconds_to_ms(number);
        return is_near(number, wall_ms) ? ms_until(number, wall_ms) : number;
    }
    date = parse_date(c, wall_ms);
    return date < 0 ? -1 : ms_until(date, wall_ms);
}

/* ---- the number of attempts ---- */

int bcda__retry_attempts(const struct bcda_error *e, int most)
{
    if (!e->retryable && bcda__err_default_retryable(e->code))
        return 1;
    return bcda__err_attempts(e->code, most);
}

/* ---- waits ---- */

/* Returns the wait that the server requested, but at most `clamp_ms`, or 0 if there is none. BCDA
 * sends Retry-After 0 with a 429 by default; it means nothing (bcda-api 4.6). */
static int64_t clamp_retry_after(int64_t asked_ms, int64_t clamp_ms)
{
    if (asked_ms <= 0)
        return 0;
    return asked_ms < clamp_ms ? asked_ms : clamp_ms;
}

int64_t bcda__retry_delay(int attempt, int64_t asked_ms, int64_t max_ms, int64_t clamp_ms,
                          uint32_t random)
{
    int64_t top = 1000;
    int64_t least = clamp_retry_after(asked_ms, clamp_ms);
    int64_t half, delay;

    if (max_ms > INT32_MAX)
        max_ms = INT32_MAX; /* 24 days; the product below must not overflow */
    while (attempt-- > 1 && top < max_ms)
        top *= 2;
    if (top > max_ms)
        top = max_ms;
    half = top / 2;
    delay = half + (int64_t)((uint64_t)(top - half + 1) * random >> 32);
    return delay > least ? delay : least;
}

int64_t bcda__poll_delay(int64_t elapsed_ms, int64_t asked_ms, int64_t max_ms, int64_t clamp_ms)
{
    int64_t asked = clamp_retry_after(asked_ms, clamp_ms);
    int64_t delay = elapsed_ms / 8 > 1000 ? elapsed_ms / 8 : 1000;

    if (asked)
        return asked;
    return delay < max_ms ? delay : max_ms;
}
