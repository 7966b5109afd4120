/* The limiter of requests (a token bucket): the burst, the rate, and clocks of every kind. */

#include "protocol/limiter.h"
#include "suite.h"

START_TEST(burst_then_rate)
{
    struct bcda__limiter l;
    int64_t now = 1000, i;

    bcda__limiter_init(&l, 3, 1, now);
    for (i = 0; i < 3; i++)
        ck_assert_int_eq(bcda__limiter_take(&l, now), 0);
    ck_assert_int_eq(bcda__limiter_take(&l, now), 1000);
    ck_assert_int_eq(bcda__limiter_take(&l, now), 1000); /* a refused request uses no token */
    ck_assert_int_eq(bcda__limiter_take(&l, now + 1), 999);
    ck_assert_int_eq(bcda__limiter_take(&l, now + 999), 1);
    ck_assert_int_eq(bcda__limiter_take(&l, now + 1000), 0);
    ck_assert_int_eq(bcda__limiter_take(&l, now + 1000), 1000);
    ck_assert_int_eq(bcda__limiter_take(&l, now + 2500), 0);
    ck_assert_int_eq(bcda__limiter_take(&l, now + 2500), 500); /* half a token was left */
}
END_TEST

/* After a pause of any length, the burst is no more than the size of the bucket. */
START_TEST(burst_after_a_pause)
{
    static const int64_t gaps[] = {3000, 3001, 86400000, INT64_MAX / 2};
    struct bcda__limiter l;
    int i;

    bcda__limiter_init(&l, 3, 1, 0);
    for (i = 0; i < 3; i++)
        ck_assert_int_eq(bcda__limiter_take(&l, 0), 0);
    for (i = 0; i < 3; i++)
        ck_assert_int_eq(bcda__limiter_take(&l, gaps[_i]), 0);
    ck_assert_int_gt(bcda__limiter_take(&l, gaps[_i]), 0);
}
END_TEST

/* bcda__limiter_take() returns how long to wait: after that time it must allow the request. Over a
 * long time it allows no more requests than the rate and the burst of 5. */
START_TEST(over_time)
{
    static const int64_t rates[] = {1, 3, 7, 10, 999, 1000, 1001, 1000000};
    int64_t rate = rates[_i], now = 0, wait, sent = 0, most;
    struct bcda__limiter l;

    bcda__limiter_init(&l, 5, rate, now);
    while (sent < 10000 && now < 1000000) {
        wait = bcda__limiter_take(&l, now);
        if (wait) {
            ck_assert_int_gt(wait, 0);
            now += wait;
            ck_assert_int_eq(bcda__limiter_take(&l, now), 0);
        }
        sent++;
        ck_assert_int_le(sent, 5 + now * rate / 1000);
    }
    most = 5 + now * rate / 1000;
    ck_assert_int_ge(sent, rate <= 1000 ? most - 5 : 1); /* hardly fewer than the rate allows */
}
END_TEST

START_TEST(clock_back)
{
    struct bcda__limiter l;

    bcda__limiter_init(&l, 1, 1, 5000);
    ck_assert_int_eq(bcda__limiter_take(&l, 5000), 0);
    ck_assert_int_eq(bcda__limiter_take(&l, 4000),
                     1000); /* a clock that goes back neither adds nor removes requests */
    ck_assert_int_eq(bcda__limiter_take(&l, 5999), 1);
    ck_assert_int_eq(bcda__limiter_take(&l, 6000), 0);
}
END_TEST

/* A stored bucket: its level and time, and what a process makes of it at 10,000 ms with a bucket of
 * 3 requests that is filled in 300 ms. */
START_TEST(stored)
{
    static const struct {
        int64_t level, at_ms;
        int allowed;  /* requests at once */
        int64_t wait; /* after these */
    } rows[] = {
        {3000, 10000, 3, 100},      {2500, 10000, 2, 50},      {0, 10000, 0, 100},
        {0, 9950, 0, 50},           {0, 9900, 1, 100},         {0, 0, 3, 100},
        {INT64_MAX, 10000, 3, 100},                        /* more than full */
        {3001, 10000, 3, 100},      {-1, 10000, 0, 100},   /* less than empty */
        {INT64_MIN, 10000, 0, 100}, {1000, 10300, 1, 100}, /* from a clock that is a little ahead */
        {0, 10301, 0, 100},                                /* the clock went back */
        {0, INT64_MAX, 0, 100},     {3000, INT64_MAX, 3, 100},
    };
    struct bcda__limiter l;
    int i;

    bcda__limiter_resume(&l, 3, 10, rows[_i].level, rows[_i].at_ms, 10000);
    for (i = 0; i < rows[_i].allowed; i++)
        ck_assert_int_eq(bcda__limiter_take(&l, 10000), 0);
    ck_assert_int_eq(bcda__limiter_take(&l, 10000), rows[_i].wait);
}
END_TEST

/* A process that has read the clock before another one, and takes a request after it, does not make
 * the time between the two count twice. Once the clock went back, no wait is longer than filling
 * the bucket takes. */
START_TEST(stored_clock_back)
{
    static const int64_t fill_ms = 3 * 1000 / 10;
    struct bcda__limiter l;
    int64_t back, wait;
    int i;

    bcda__limiter_resume(&l, 3, 10, 0, 10000, 10000);
    for (i = 0; i < 1000; i++) {
        ck_assert_int_gt(bcda__limiter_take(&l, 10050), 0);
        bcda__limiter_resume(&l, 3, 10, l.level, l.at_ms, 10049);
        ck_assert_int_gt(bcda__limiter_take(&l, 10049), 0);
        bcda__limiter_resume(&l, 3, 10, l.level, l.at_ms, 10050);
    }
    for (back = 0; back < 3000; back++) {
        bcda__limiter_resume(&l, 3, 10, 0, 10000 + back, 10000);
        for (wait = 0; bcda__limiter_take(&l, 10000 + wait);)
            wait++;
        ck_assert_int_le(wait, fill_ms + 100);
        if (back > fill_ms)
            ck_assert_int_eq(wait, 100);
    }
    bcda__limiter_resume(&l, 1000000, 1, 0, 11001, 10000); /* at most a second */
    ck_assert_int_eq(l.at_ms, 10000);
    bcda__limiter_resume(&l, 1000000, 1, 0, 11000, 10000);
    ck_assert_int_eq(l.at_ms, 11000);
}
END_TEST

SUITE("limiter")
{
    suite_case("all");
    suite_test(burst_then_rate);
    suite_loop(burst_after_a_pause, 0, 4);
    suite_loop(over_time, 0, 8);
    suite_test(clock_back, stored_clock_back);
    suite_loop(stored, 0, 14);
}
