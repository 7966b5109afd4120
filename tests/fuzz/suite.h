/* Takes the place of tests/suite.h in a program that is not a test suite: an assertion that does
 * not hold ends the program. */
#ifndef BCDA_TESTS_FUZZ_SUITE_H
#define BCDA_TESTS_FUZZ_SUITE_H

#include <stdio.h>
#include <stdlib.h>

#define ck_abort_msg(...)                               \
    do {                                                \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
        fprintf(stderr, __VA_ARGS__);                   \
        fputc('\n', stderr);                            \
        abort();                                        \
    } while (0)
#define ck_assert_msg(expr, ...)       \
    do {                               \
        if (!(expr))                   \
            ck_abort_msg(__VA_ARGS__); \
    } while (0)
#define ck_assert(expr)          ck_assert_msg(expr, "%s", #expr)
#define ck_assert_int_eq(a, b)   ck_assert((a) == (b))
#define ck_assert_uint_eq(a, b)  ck_assert((a) == (b))
#define ck_assert_ptr_nonnull(p) ck_assert((p) != NULL)

#endif
