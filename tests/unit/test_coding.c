/* The table of content codings. */
#include "codec/coding.h"

#include <string.h>

#include "bcda/error.h"
#include "helper.h"
#include "suite.h"

static const struct {
    const char *value; /* value of a Content-Encoding header */
    const struct bcda__coding *coding;
    int rc;
} names[] = {
    {"gzip", &bcda__coding_gzip, 0},
    {"x-gzip", &bcda__coding_gzip, 0},
    {"GZIP", &bcda__coding_gzip, 0},
    {"gZip", &bcda__coding_gzip, 0},
    {"X-GZip", &bcda__coding_gzip, 0},
    {"", NULL, 0},
    {"identity", NULL, 0},
    {"Identity", NULL, 0},
    {"IDENTITY", NULL, 0},
    {"x-identity", NULL, BCDA_ERR_HTTP},
    {"identity, gzip", NULL, BCDA_ERR_HTTP},
    {"gzip, gzip", NULL, BCDA_ERR_HTTP},
    {"gzi", NULL, BCDA_ERR_HTTP},
    {"gzipp", NULL, BCDA_ERR_HTTP},
    {" gzip", NULL, BCDA_ERR_HTTP},
    {"gzip ", NULL, BCDA_ERR_HTTP},
    {"x-", NULL, BCDA_ERR_HTTP},
    {"xgzip", NULL, BCDA_ERR_HTTP},
    {"deflate", NULL, BCDA_ERR_HTTP},
    {"compress", NULL, BCDA_ERR_HTTP},
    {"br", NULL, BCDA_ERR_HTTP},
    {"zstd", NULL, BCDA_ERR_HTTP},
};

START_TEST(found_by_name)
{
    const struct bcda__coding *c =
        names[_i].coding ? NULL
                         : &bcda__coding_gzip; /* a value that bcda__coding_find() must replace */

    ck_assert_int_eq(bcda__coding_find(&c, names[_i].value), names[_i].rc);
    ck_assert_ptr_eq(c, names[_i].coding);
}
END_TEST

START_TEST(guessed_by_bytes)
{
    static const struct {
        const char *bytes;
        size_t len;
        const struct bcda__coding *coding;
    } starts[] = {
        {"\x1f\x8b", 2, &bcda__coding_gzip},
        {"\x1f\x8b\x08\x00\x00", 5, &bcda__coding_gzip},
        {"\x1f\x8b{}", 4, &bcda__coding_gzip}, /* only the first two bytes are compared */
        {"\x1f\x8b", 1, NULL},
        {"\x1f\x8b", 0, NULL},
        {"\x1f\x8c", 2, NULL},
        {"\x1e\x8b", 2, NULL},
        {"\x8b\x1f", 2, NULL},
        {" \x1f\x8b", 3, NULL},
        {"\x78\x9c", 2, NULL},
        {"\x28\xb5\x2f\xfd", 4, NULL},
        {"{\"resourceType\"", 15, NULL},
    };
    size_t i;

    for (i = 0; i < COUNT(starts); i++)
        ck_assert_msg(bcda__coding_guess((const uint8_t *)starts[i].bytes, starts[i].len) ==
                          starts[i].coding,
                      "%zu", i);
}
END_TEST

/* Calls the functions of bcda__coding_gzip. `packed` is a gzip file of "hello\n". */
START_TEST(functions)
{
    static const uint8_t packed[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02,
                                     0x03, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xe7, 0x02, 0x00,
                                     0x20, 0x30, 0x3a, 0x36, 0x06, 0x00, 0x00, 0x00};
    const struct bcda__coding *c = bcda__coding_guess(packed, sizeof packed);
    uint8_t out[20];
    size_t used, made;
    void *state;

    ck_assert_ptr_nonnull(c);
    ck_assert_str_eq(c->name, "gzip");
    ck_assert_str_eq(c->old_name, "x-gzip");
    ck_assert_int_eq(memcmp(c->first_byte, packed, 2), 0);
    ck_assert_int_eq(c->open(&state), 0);
    ck_assert_int_eq(c->finish(state), BCDA_ERR_GZIP_CUT); /* no bytes were given */
    c->close(state);
    ck_assert_int_eq(c->open(&state), 0);
    ck_assert_int_eq(c->run(state, packed, sizeof packed, &used, out, sizeof out, &made), 0);
    ck_assert_uint_eq(used, sizeof packed);
    ck_assert_uint_eq(made, 6);
    ck_assert_int_eq(memcmp(out, "hello\n", 6), 0);
    ck_assert_int_eq(c->finish(state), 0);
    ck_assert_int_eq(c->end_at(state, (int64_t)sizeof packed), 0);
    ck_assert_int_eq(c->end_at(state, 5), BCDA_ERR_GZIP_CUT);
    c->close(state);
    c->close(NULL);
    ck_assert_int_eq(c->open(&state), 0);
    ck_assert_int_eq(c->run(state, out, 6, &used, out + 6, 14, &made), BCDA_ERR_GZIP);
    c->close(state);
}
END_TEST

SUITE("coding")
{
    suite_case("coding");
    suite_loop(found_by_name, 0, (int)COUNT(names));
    suite_test(guessed_by_bytes, functions);
}
