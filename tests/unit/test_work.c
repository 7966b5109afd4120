/* How much work a call does, counted and not timed: the linker sends each call of yajl_parse()
 * through a wrapper. */
#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "base/buf.h"
#include "codec/json.h"

/* ---- a document in pieces ---- */

static size_t calls, given, lexed;
static size_t open_token; /* bytes that yajl got since it last reported anything */

yajl_status __real_yajl_parse(yajl_handle h, const unsigned char *text, size_t len);
yajl_status __wrap_yajl_parse(yajl_handle h, const unsigned char *text, size_t len);

/* A token that was not whole is read again from its beginning. */
yajl_status __wrap_yajl_parse(yajl_handle h, const unsigned char *text, size_t len)
{
    calls++;
    given += len;
    open_token += len;
    lexed += open_token;
    return __real_yajl_parse(h, text, len);
}

static int on_event(void *ctx, enum bcda__json_event event, int depth, const char *text, size_t len)
{
    size_t *strings = ctx;

    (void)depth;
    (void)text;
    open_token = 0;
    if (event == BCDA__JSON_STRING)
        *strings += len;
    return 0;
}

static void check_pieces(const char *text, size_t len, size_t step, size_t want)
{
    struct bcda__json *j;
    size_t at, strings = 0;

    calls = given = lexed = open_token = 0;
    ck_assert_int_eq(bcda__json_new(&j, 64, on_event, &strings), 0);
    for (at = 0; at < len; at += step)
        ck_assert_int_eq(bcda__json_write(j, text + at, step < len - at ? step : len - at), 0);
    ck_assert_int_eq(bcda__json_finish(j), 0);
    bcda__json_free(j);
    ck_assert_uint_eq(strings, want);
    ck_assert_uint_eq(given, len);
    ck_assert_uint_le(lexed, 2 * len + 8192);
    ck_assert_uint_le(calls, len / 2048 + 2);
}

enum { MEGA = 1024 * 1024 };

static const size_t steps[] = {1, 7, 1000, 4095, 4096, 4097, 100000, 2 * MEGA};

START_TEST(long_string_in_pieces)
{
    char *text = malloc(MEGA + 4);

    memset(text, 'x', MEGA + 4);
    memcpy(text, "[\"", 2);
    memcpy(text + MEGA + 2, "\"]", 2);
    check_pieces(text, MEGA + 4, steps[_i], MEGA);
    memcpy(text + 2, "\\n", 2);
    check_pieces(text, MEGA + 4, steps[_i], MEGA - 1);
    free(text);
}
END_TEST

/* Long and short ones, so that the pieces end anywhere in them. */
START_TEST(strings_in_pieces)
{
    struct bcda__buf text;
    size_t n, sum = 0;

    bcda__buf_init(&text, 10 * MEGA);
    bcda__buf_adds(&text, "[");
    for (n = 1; n < 1200; n = n + 1 + n / 40 * 3) {
        bcda__buf_addf(&text, "%s\"%0*d\", [12345, true, {\"k\":\"\\\\\\\"\"}]", n > 1 ? "," : "",
                       (int)(n * 37), 7);
        sum += n * 37 + 2;
    }
    bcda__buf_adds(&text, "]");
    check_pieces(text.data, text.len, steps[_i], sum);
    bcda__buf_free(&text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("work");
    TCase *tc = tcase_create("work");
    int count = (int)(sizeof steps / sizeof steps[0]);
    SRunner *sr;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, long_string_in_pieces, 0, count);
    tcase_add_loop_test(tc, strings_in_pieces, 0, count);
    suite_add_tcase(suite, tc);
    sr = srunner_create(suite);
    srunner_set_tap(sr, "-");
    srunner_run_all(sr, CK_SILENT);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
