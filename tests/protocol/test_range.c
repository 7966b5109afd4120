/* All forms of Content-Range, and the buffer of the last bytes received. */
#include <string.h>

#include "helper.h"
#include "protocol/range.h"
#include "suite.h"

struct range_case {
    const char *value;
    int64_t first, last, total; /* `first` -1: refused */
};

static const struct range_case ranges[] = {
    {"bytes 0-0/1", 0, 0, 1},
    {"bytes 100-199/1000", 100, 199, 1000},
    {"bytes 100-199/*", 100, 199, -1},
    {"BYTES 100-199/200", 100, 199, 200},
    {"bytes 99999999999999998-99999999999999998/99999999999999999", 99999999999999998,
     99999999999999998, 99999999999999999},
    {"bytes 007-8/0009", 7, 8, 9},
    {"bytes 199-100/1000", -1, 0, 0}, /* backwards */
    {"bytes 100-199/199", -1, 0, 0},  /* beyond the total */
    {"bytes 100-199/0", -1, 0, 0},
    {"bytes 9223372036854775808-9223372036854775809/*", -1, 0, 0},
    {"bytes 0-1/99999999999999999999", -1, 0, 0},
    {"bytes 100-199/1000 ", -1, 0, 0},
    {"bytes 100-199/1000,", -1, 0, 0},
    {"bytes 100-199/**", -1, 0, 0},
    {"bytes 100-199/", -1, 0, 0},
    {"bytes 100-199", -1, 0, 0},
    {"bytes 100-/1000", -1, 0, 0},
    {"bytes -199/1000", -1, 0, 0},
    {"bytes +1-2/3", -1, 0, 0},
    {"bytes -1-2/3", -1, 0, 0},
    {"bytes  1-2/3", -1, 0, 0},
    {"bytes=1-2/3", -1, 0, 0},
    {"bytes */1000", -1, 0, 0}, /* Content-Range of a 416 answer: no first and last byte */
    {"bytes", -1, 0, 0},
    {"bytes ", -1, 0, 0},
    {"lines 1-2/3", -1, 0, 0},
    {"", -1, 0, 0},
};

START_TEST(content_range)
{
    const struct range_case *c = &ranges[_i];
    int64_t first = 0, last = 0, total = 0;
    int rc = bcda__content_range(c->value, &first, &last, &total);

    ck_assert_msg((rc == 0) == (c->first >= 0), "'%s'", c->value);
    if (rc)
        return;
    ck_assert_int_eq(first, c->first);
    ck_assert_int_eq(last, c->last);
    ck_assert_int_eq(total, c->total);
}
END_TEST

START_TEST(unsatisfied)
{
    static const struct {
        const char *value;
        int64_t length;
    } cases[] = {
        {"bytes */0", 0},
        {"bytes */1234", 1234},
        {"Bytes */999999999999999999", INT64_C(999999999999999999)},
        {"bytes */*", -1},
        {"bytes */", -1},
        {"bytes */9223372036854775808", -1},
        {"bytes */12 ", -1},
        {"bytes */-1", -1},
        {"bytes 0-1/12", -1},
        {"bytes * /12", -1},
        {"", -1},
        {"bytes", -1},
    };
    size_t i;

    for (i = 0; i < COUNT(cases); i++)
        ck_assert_msg(bcda__unsatisfied_range(cases[i].value) == cases[i].length, "'%s'",
                      cases[i].value);
}
END_TEST

/* struct bcda__tail must hold the last BCDA__OVERLAP bytes received, whatever the sizes of the
 * pieces. */
START_TEST(tail)
{
    uint8_t all[4000];
    size_t i, at;

    seed = 7;
    for (i = 0; i < sizeof all; i++)
        all[i] = (uint8_t)(i * 31 + i / 256);
    for (i = 0; i < 200; i++) {
        struct bcda__tail t = {0};

        for (at = 0; at < sizeof all;) {
            size_t n = roll(i % 2 ? 200 : 20), len;

            n = n > sizeof all - at ? sizeof all - at : n;
            bcda__tail_add(&t, all + at, n);
            at += n;
            len = at < BCDA__OVERLAP ? at : BCDA__OVERLAP;
            ck_assert_uint_eq(t.len, len);
            ck_assert_int_eq(memcmp(t.at, all + at - len, len), 0);
        }
    }
}
END_TEST

SUITE("range")
{
    suite_case("all");
    suite_loop(content_range, 0, COUNT(ranges));
    suite_test(unsatisfied, tail);
}
