/* Times as Go writes them. */
#include "internal.h"

#include <stdio.h>
#include <string.h>

/* Writes the fraction of a second in microseconds, which is what the server stores, without
 * trailing zeros, as Go's layout ".999999999" does. */
static void fraction(long nanoseconds, char out[16])
{
    size_t n;

    snprintf(out, 16, ".%06ld", nanoseconds / 1000 % 1000000);
    n = strlen(out);
    while (n > 1 && out[n - 1] == '0')
        n--;
    out[n == 1 ? 0 : n] = '\0';
}

void time_rfc3339(struct timespec t, char out[48])
{
    struct tm tm;
    char part[24], frac[16];

    gmtime_r(&t.tv_sec, &tm);
    strftime(part, sizeof part, "%Y-%m-%dT%H:%M:%S", &tm);
    fraction(t.tv_nsec, frac);
    snprintf(out, 48, "%s%sZ", part, frac);
}

void time_go(struct timespec t, char out[64])
{
    struct tm tm;
    char part[24], frac[16];

    gmtime_r(&t.tv_sec, &tm);
    strftime(part, sizeof part, "%Y-%m-%d %H:%M:%S", &tm);
    fraction(t.tv_nsec, frac);
    snprintf(out, 64, "%s%s +0000 UTC", part, frac);
}

static const char days[] = "SunMonTueWedThuFriSat";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

/* Does not use strftime(): the names of days and months must not depend on the locale. */
void time_http(time_t t, char out[48])
{
    struct tm tm;

    gmtime_r(&t, &tm);
    snprintf(out, 48, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * (size_t)tm.tm_wday,
             tm.tm_mday, months + 3 * (size_t)tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
             tm.tm_sec);
}

bool time_parse_http(const char *s, time_t *out)
{
    struct tm tm = {0};
    char month[4] = "";
    const char *found;
    int end = 0;

    if (sscanf(s, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &tm.tm_mday, month,
               &tm.tm_year, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &end) != 6 ||
        end == 0 || s[end] != '\0')
        return false;
    found = strlen(month) == 3 ? strstr(months, month) : NULL;
    if (!found)
        return false;
    tm.tm_mon = (int)(found - months) / 3;
    tm.tm_year -= 1900;
    *out = timegm(&tm);
    return true;
}

static bool digits(const char *s, size_t n)
{
    return strspn(s, "0123456789") >= n;
}

static bool parse_zone(const char *s, long *seconds)
{
    int hours, minutes;

    *seconds = 0;
    if (strcmp(s, "Z") == 0)
        return true;
    if ((*s != '+' && *s != '-') || strlen(s) != 6 || !digits(s + 1, 2) || s[3] != ':' ||
        !digits(s + 4, 2))
        return false;
    sscanf(s + 1, "%2d:%2d", &hours, &minutes);
    *seconds = (*s == '-' ? -1L : 1L) * (hours * 3600L + minutes * 60L);
    return hours < 24 && minutes < 60;
}

/* Returns the nanoseconds of the digits of a fraction. */
static long nanoseconds(const char *digits_, size_t n)
{
    long value = 0;

    for (size_t i = 0; i < 9; i++)
        value = value * 10 + (i < n ? digits_[i] - '0' : 0);
    return value;
}

bool time_parse_rfc3339(const char *s, struct timespec *out)
{
    struct tm tm = {0};
    long zone, fraction_ns = 0;
    int end = 0;

    if (!digits(s, 4) || sscanf(s, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon,
                                &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &end) != 6)
        return false;
    if (end != 19 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
        tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 59)
        return false;
    s += end;
    if (*s == '.') {
        size_t n = strspn(s + 1, "0123456789");

        if (n == 0)
            return false;
        fraction_ns = nanoseconds(s + 1, n);
        s += n + 1;
    }
    if (!parse_zone(s, &zone))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon--;
    *out = (struct timespec){timegm(&tm) - zone, fraction_ns};
    return true;
}
