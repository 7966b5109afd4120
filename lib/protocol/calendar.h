/* Calendar arithmetic for kickoff.c and retry.c. */
#ifndef BCDA_PROTOCOL_CALENDAR_H
#define BCDA_PROTOCOL_CALENDAR_H

/* Returns the number of days of a month in the Gregorian calendar; `month` is 1 to 12. */
static inline int bcda__days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}

#endif
