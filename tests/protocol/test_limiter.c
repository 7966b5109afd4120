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

SUITE("limiter")
{
    suite_case("all");
    suite_test(burst_then_rate);
    suite_loop(burst_after_a_pause, 0, 4);
    suite_loop(over_time, 0, 8);
    suite_test(clock_back);
}
